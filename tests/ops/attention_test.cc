// attention against a naive double implementation: lengths, masks, head sizes, single rows.
#include <algorithm>
#include <cstring>
#include <numeric>

#include "op_test.h"

namespace {

using namespace sp_test;

// What a call of gathered attention names; a group is a sequence of its own.
struct Groups {
  std::vector<uint32_t> row_start{0}, q_row, key_start, key_len, key_row, key_split, key_own;
  std::vector<uint64_t> mask, mask_start;
};

class AttentionTest : public OpTest {
 protected:
  // Packed sequences of `lens`, every token a query row, q k v side by side as a fused product
  // writes them.
  void Lay(const std::vector<uint32_t> &lens, size_t heads, size_t dim, float range, uint32_t seed);
  void RandomMasks(double share, uint32_t seed);
  std::vector<float> RunAll();
  // Row `row` by itself.
  std::vector<float> RunOne(size_t s, uint32_t position);
  // The same rows scattered over a larger matrix, most of them twice, and every slot named.
  struct Scattered {
    std::vector<uint32_t> place;  // (2, tokens) rows that hold each token's
    size_t rows;
    void *qkv;
  };
  Scattered Scatter(uint32_t seed);
  std::vector<float> RunGroups(const Scattered &from, const Groups &g);
  std::vector<double> Naive(bool rounded, std::vector<double> *bound);
  void Check(const std::string &what);
  bool Sees(size_t s, size_t i, size_t j) const {
    if (mask_.empty())
      return true;
    size_t words = (lens_[s] + 63) / 64;
    return mask_[mask_start_[s] + i * words + j / 64] >> (j % 64) & 1;
  }

  sp_attention_args args_{};
  std::vector<uint32_t> lens_, start_, position_;
  std::vector<uint64_t> mask_, mask_start_;
  std::vector<float> qkv_;
  void *qkv_rows_ = nullptr;
  size_t heads_ = 0, dim_ = 0, tokens_ = 0;
};

void AttentionTest::Lay(const std::vector<uint32_t> &lens, size_t heads, size_t dim, float range,
                        uint32_t seed) {
  lens_ = lens;
  heads_ = heads;
  dim_ = dim;
  mask_.clear();
  mask_start_.clear();
  start_.assign(1, 0);
  position_.clear();
  for (uint32_t len : lens) {
    start_.push_back(start_.back() + len);
    for (uint32_t i = 0; i < len; i++)
      position_.push_back(i);
  }
  tokens_ = start_.back();
  size_t width = heads * dim;
  qkv_ = Random(tokens_ * 3 * width, range, seed);
  qkv_rows_ = ActRows(qkv_, tokens_, 3 * width, NAN);
  if (!stream_)
    BeginStream();
}

void AttentionTest::RandomMasks(double share, uint32_t seed) {
  std::mt19937_64 bits(seed);
  mask_.clear();
  mask_start_.clear();
  for (uint32_t len : lens_) {
    mask_start_.push_back(mask_.size());
    size_t words = (len + 63) / 64;
    for (size_t i = 0; i < len; i++) {
      std::vector<uint64_t> row(words);
      for (size_t j = 0; j < words * 64; j++) {  // bits beyond the length are noise
        bool seen = static_cast<double>(bits() >> 11) * 0x1p-53 < share;
        if (i % 7 == 3)
          seen = j == i;  // itself only
        if (i % 11 == 5)
          seen = j >= len;  // nothing
        if (seen)
          row[j / 64] |= uint64_t{1} << (j % 64);
      }
      mask_.insert(mask_.end(), row.begin(), row.end());
    }
  }
}

std::vector<float> AttentionTest::RunAll() {
  size_t width = heads_ * dim_;
  void *out = ActRows(tokens_, width);
  char *base = static_cast<char *>(qkv_rows_);
  args_ = {};
  args_.q = base;
  args_.k = base + width * device_->act_bytes;
  args_.v = base + 2 * width * device_->act_bytes;
  args_.out = out;
  args_.q_stride = args_.kv_stride = 3 * width;
  args_.heads = heads_;
  args_.head_dim = dim_;
  args_.sequences = lens_.size();
  args_.row_start = args_.key_start = Put(start_);
  args_.key_len = Put(lens_);
  args_.mask = mask_.empty() ? nullptr : Put(mask_);
  args_.mask_start = mask_.empty() ? nullptr : Put(mask_start_);
  EXPECT_EQ(backend_->attention(stream_, &args_, &err_), SP_OK) << err_.message;
  return ReadAct(out, tokens_ * width);
}

std::vector<float> AttentionTest::RunOne(size_t s, uint32_t position) {
  size_t width = heads_ * dim_;
  sp_attention_args one = args_;
  std::vector<uint32_t> row_start(lens_.size() + 1, 0);
  for (size_t i = s + 1; i < row_start.size(); i++)
    row_start[i] = 1;
  void *out = ActRows(1, width);
  one.q =
      static_cast<const char *>(args_.q) + (start_[s] + position) * 3 * width * device_->act_bytes;
  one.out = out;
  one.row_start = Put(row_start);
  if (!mask_.empty()) {  // the row's own words
    std::vector<uint64_t> mask_start = mask_start_;
    mask_start[s] += position * ((lens_[s] + 63) / 64);
    one.mask_start = Put(mask_start);
  }
  EXPECT_EQ(backend_->attention(stream_, &one, &err_), SP_OK) << err_.message;
  return ReadAct(out, width);
}

AttentionTest::Scattered AttentionTest::Scatter(uint32_t seed) {
  size_t width = 3 * heads_ * dim_;
  Scattered to{{}, 3 * tokens_, nullptr};
  std::vector<uint32_t> order(to.rows);
  std::iota(order.begin(), order.end(), 0u);
  std::shuffle(order.begin(), order.end(), std::mt19937(seed));
  to.place.assign(order.begin(), order.begin() + static_cast<ptrdiff_t>(2 * tokens_));
  std::vector<float> rows(to.rows * width, NAN);
  for (size_t i = 0; i < 2 * tokens_; i++)
    std::copy_n(&qkv_[i % tokens_ * width], width, &rows[to.place[i] * width]);
  to.qkv = ActRows(rows, to.rows, width, NAN);
  return to;
}

std::vector<float> AttentionTest::RunGroups(const Scattered &from, const Groups &g) {
  size_t width = heads_ * dim_, rows = g.q_row.size();
  void *out = ActRows(rows, width);
  char *base = static_cast<char *>(from.qkv);
  sp_attention_args args = args_;
  args.q = base;
  args.k = base + width * device_->act_bytes;
  args.v = base + 2 * width * device_->act_bytes;
  args.out = out;
  args.sequences = g.key_len.size();
  args.row_start = Put(g.row_start);
  args.q_row = Put(g.q_row);
  args.key_start = Put(g.key_start);
  args.key_len = Put(g.key_len);
  args.key_row = Put(g.key_row);
  args.key_split = Put(g.key_split);
  args.key_own = Put(g.key_own);
  args.mask = g.mask_start.empty() ? nullptr : Put(g.mask);
  args.mask_start = g.mask_start.empty() ? nullptr : Put(g.mask_start);
  EXPECT_EQ(backend_->attention(stream_, &args, &err_), SP_OK) << err_.message;
  return ReadAct(out, rows * width);
}

std::vector<double> AttentionTest::Naive(bool rounded, std::vector<double> *bound) {
  size_t width = heads_ * dim_;
  auto at = [&](size_t token, size_t part, size_t h, size_t d) -> double {
    float x = qkv_[token * 3 * width + part * width + h * dim_ + d];
    return rounded ? RoundAct(x, compute_) : x;
  };
  std::vector<double> out(tokens_ * width, 0.0);
  bound->assign(tokens_ * width, 0.0);
  for (size_t s = 0; s < lens_.size(); s++) {
    for (size_t h = 0; h < heads_; h++) {
      for (size_t i = 0; i < lens_[s]; i++) {
        std::vector<double> score(lens_[s], -INFINITY);
        double top = -INFINITY, size = 0, sum = 0;
        for (size_t j = 0; j < lens_[s]; j++) {
          if (!Sees(s, i, j))
            continue;
          double dot = 0, magnitude = 0;
          for (size_t d = 0; d < dim_; d++) {
            double term = at(start_[s] + i, 0, h, d) * at(start_[s] + j, 1, h, d);
            dot += term;
            magnitude += std::fabs(term);
          }
          score[j] = dot / std::sqrt(static_cast<double>(dim_));
          size = std::max(size, magnitude / std::sqrt(static_cast<double>(dim_)));
          top = std::max(top, score[j]);
        }
        if (top == -INFINITY)
          continue;
        for (double &x : score)
          sum += x = std::exp(x - top);
        double steps = 8 + 2 * std::sqrt(static_cast<double>(dim_ + lens_[s]));
        for (size_t d = 0; d < dim_; d++) {
          double y = 0, magnitude = 0;
          for (size_t j = 0; j < lens_[s]; j++) {
            y += score[j] / sum * at(start_[s] + j, 2, h, d);
            magnitude += score[j] / sum * std::fabs(at(start_[s] + j, 2, h, d));
          }
          size_t o = (start_[s] + i) * width + h * dim_ + d;
          out[o] = y;
          (*bound)[o] = steps * kEps * (2 + 2 * size) * magnitude + 1e-37;
        }
      }
    }
  }
  return out;
}

void AttentionTest::Check(const std::string &what) {
  std::vector<float> got = RunAll();
  std::vector<double> bound, ignored;
  std::vector<double> exact = Naive(false, &bound);
  if (bf16_) {
    std::vector<double> baseline = Naive(true, &ignored);
    for (double &y : baseline)
      y = RoundBf16(static_cast<float>(y));
    ExpectTwiceBaseline(got, exact, baseline, bound, what);
  } else {
    ExpectWithin(got, exact, bound, what);
  }
  for (size_t s = 0; s < lens_.size(); s++) {
    for (uint32_t i : {0u, lens_[s] / 2, lens_[s] - 1}) {
      size_t width = heads_ * dim_;
      std::vector<float> one = RunOne(s, i);
      ASSERT_EQ(0, memcmp(one.data(), got.data() + (start_[s] + i) * width, width * sizeof(float)))
          << what << ": row " << i << " of sequence " << s << " alone";
    }
  }
}

TEST_P(AttentionTest, Lengths) {
  Lay({1, 2, 3, 15, 16, 17, 24, 31, 33, 63, 64, 65, 127, 128, 129, 200}, 2, 64, 2.0f, 1);
  Check("lengths");
}

TEST_P(AttentionTest, HeadSizes) {
  for (size_t dim : {1, 2, 7, 16, 26, 31, 32, 33, 64, 80, 127, 128, 256}) {
    if (dim > 128 && !IsCpu())
      continue;
    Lay({1, 5, 24, 67}, 3, dim, 1.5f, static_cast<uint32_t>(dim));
    Check("head of " + std::to_string(dim));
  }
}

TEST_P(AttentionTest, RandomMasksOfOneAndMoreWords) {
  for (double share : {0.02, 0.5, 0.98}) {
    Lay({1, 63, 64, 65, 128, 24, 191}, 2, 26, 2.0f, 5);
    RandomMasks(share, 99);
    Check("masks of " + std::to_string(share));
  }
}

TEST_P(AttentionTest, ARowThatSeesNothingIsZero) {
  Lay({70}, 2, 26, 2.0f, 5);
  mask_.assign(140, 0);
  mask_start_ = {0};
  for (float y : RunAll())
    ASSERT_EQ(y, 0.0f);
}

TEST_P(AttentionTest, LargeScoresDoNotOverflow) {
  Lay({24, 100}, 1, 64, 40.0f, 8);
  for (float y : RunAll())
    ASSERT_TRUE(std::fabs(y) <= 40.1f);
}

// One NaN in a query is NaN in all of that row and head, and nowhere else: no score may hide it.
TEST_P(AttentionTest, NaNInOneQueryStaysInItsRow) {
  const struct {
    size_t sequence;
    uint32_t position;
  } places[] = {{0, 0}, {0, 23}, {1, 70}, {1, 149}};
  for (const auto &place : places) {
    for (bool masked : {false, true}) {
      Lay({24, 150}, 2, 26, 2.0f, 5);
      if (masked)
        RandomMasks(0.5, 7);
      std::vector<float> clean = RunAll();
      size_t row = start_[place.sequence] + place.position, width = heads_ * dim_;
      qkv_[row * 3 * width + dim_ + 3] = NAN;  // the second head's
      qkv_rows_ = ActRows(qkv_, tokens_, 3 * width, NAN);
      std::vector<float> got = RunAll();
      size_t first = row * width + dim_;
      for (size_t i = 0; i < got.size(); i++) {
        if (i >= first && i < first + dim_) {
          ASSERT_TRUE(std::isnan(got[i])) << got[i] << " in row " << row;
        } else {
          ASSERT_EQ(got[i], clean[i]) << "element " << i << " with NaN in row " << row;
        }
      }
    }
  }
}

// A sequence's rows must not depend on where it is packed or on its neighbours.
TEST_P(AttentionTest, SequencesDoNotTouchEachOther) {
  Lay({24, 65, 24}, 2, 26, 2.0f, 5);
  size_t width = 3 * heads_ * dim_;
  memcpy(&qkv_[(24 + 65) * width], &qkv_[0], 24 * width * sizeof(float));
  qkv_rows_ = ActRows(qkv_, tokens_, width, NAN);
  std::vector<float> got = RunAll();
  size_t out = heads_ * dim_;
  ASSERT_EQ(0, memcmp(&got[0], &got[(24 + 65) * out], 24 * out * sizeof(float)));
}

// Keys that no row sees change no bit.
TEST_P(AttentionTest, TrailingMaskedKeysChangeNothing) {
  Lay({40}, 2, 26, 2.0f, 5);
  std::vector<float> plain = RunAll();
  std::vector<float> kept = qkv_;
  Lay({150}, 2, 26, 2.0f, 6);
  std::copy(kept.begin(), kept.end(), qkv_.begin());
  qkv_rows_ = ActRows(qkv_, tokens_, 3 * heads_ * dim_, NAN);
  mask_start_ = {0};
  mask_.assign(150 * 3, 0);
  for (size_t i = 0; i < 150; i++)
    mask_[i * 3] = (uint64_t{1} << 40) - 1;
  std::vector<float> masked = RunAll();
  ASSERT_EQ(0, memcmp(plain.data(), masked.data(), plain.size() * sizeof(float)));
}

// Slots keep their place and their values, wherever the rows lie: the bits of the plain call.
TEST_P(AttentionTest, NamedRowsGiveThePlainBits) {
  for (size_t dim : {26, 64}) {
    for (bool masked : {false, true}) {
      Lay(kSlowDevice ? std::vector<uint32_t>{1, 24, 65, 130}
                         : std::vector<uint32_t>{1, 24, 63, 64, 65, 128, 130, 200},
          3, dim, 2.0f, 5);
      if (masked)
        RandomMasks(0.5, 7);
      std::vector<float> plain = RunAll();
      for (uint32_t turn = 0; turn < 4; turn++) {
        std::mt19937 bits(turn);
        Scattered to = Scatter(turn);
        Groups g;
        for (size_t s = 0; s < lens_.size(); s++) {
          auto place = [&](size_t j) { return to.place[bits() % 2 * tokens_ + start_[s] + j]; };
          uint32_t len = lens_[s];
          uint32_t split = turn == 0 ? len : turn == 1 ? 0 : bits() % (len + 1);
          g.key_start.push_back(static_cast<uint32_t>(g.key_row.size()));
          for (uint32_t j = 0; j < split; j++)
            g.key_row.push_back(place(j));
          g.key_row.insert(g.key_row.end(), 3, UINT32_MAX);  // nobody's
          g.key_own.push_back(static_cast<uint32_t>(g.key_row.size()));
          for (uint32_t j = split; j < len; j++)
            g.key_row.push_back(place(j));
          g.key_split.push_back(split);
          for (uint32_t i = 0; i < len; i++)
            g.q_row.push_back(place(i));
        }
        g.row_start = start_;
        g.key_len = lens_;
        g.mask = mask_;
        g.mask_start = mask_start_;
        ASSERT_EQ(plain, RunGroups(to, g)) << "head of " << dim << ", turn " << turn;
      }
    }
  }
}

// Every query by itself: keys up to the last that it sees, the ones before it from a table that the
// sequence's queries share, the rest its own.
TEST_P(AttentionTest, GroupsOfOneQueryGiveThePlainBits) {
  for (size_t dim : {26, 64}) {
    Lay({1, 24, 64, 65, 130, 200}, 2, dim, 2.0f, 5);
    RandomMasks(0.3, 7);
    std::vector<float> plain = RunAll();
    Scattered to = Scatter(3);
    Groups g;
    std::mt19937 bits(9);
    for (size_t s = 0; s < lens_.size(); s++) {
      auto place = [&](size_t j) { return to.place[bits() % 2 * tokens_ + start_[s] + j]; };
      size_t words = (lens_[s] + 63) / 64;
      uint32_t shared = static_cast<uint32_t>(g.key_row.size());
      for (uint32_t j = 0; j < lens_[s]; j++)
        g.key_row.push_back(place(j));
      for (uint32_t i = 0; i < lens_[s]; i++) {
        uint32_t keys = lens_[s];
        while (keys > 0 && !Sees(s, i, keys - 1))
          keys--;
        g.q_row.push_back(place(i));
        g.row_start.push_back(g.row_start.back() + 1);
        g.key_start.push_back(shared);
        g.key_len.push_back(keys);
        g.key_split.push_back(std::min(i, keys));
        g.key_own.push_back(static_cast<uint32_t>(g.key_row.size()));
        for (uint32_t j = g.key_split.back(); j < keys; j++)
          g.key_row.push_back(place(j));
        g.mask_start.push_back(g.mask.size());
        auto row = mask_.begin() + static_cast<ptrdiff_t>(mask_start_[s] + i * words);
        g.mask.insert(g.mask.end(), row, row + (keys + 63) / 64);
      }
    }
    ASSERT_EQ(plain, RunGroups(to, g)) << "head of " << dim;
  }
}

TEST_P(AttentionTest, HeadsTooWideAreRefused) {
  Lay({3}, 1, 257, 1.0f, 5);
  sp_attention_args args{};
  args.heads = 1;
  args.head_dim = 257;
  EXPECT_EQ(backend_->attention(stream_, &args, &err_), SP_EMODEL);
}

SP_OP_CASES(AttentionTest);

}  // namespace
