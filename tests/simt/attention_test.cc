// The attention kernels on the emulator against doubles and the CPU op, on the same rounded inputs.
#include <algorithm>
#include <cstring>
#include <deque>

#include "simt_op_test.h"

namespace {

using namespace sp_test;

// Packed sequences, every token or a few of each asking; `mask` has a row a token.
struct Layout {
  std::vector<uint32_t> lens, start, position, row_start, row_position;
  std::vector<uint64_t> mask, mask_start;
  size_t heads = 0, dim = 0, tokens = 0;

  Layout(const std::vector<uint32_t> &l, size_t h, size_t d) : lens(l), start(1), heads(h), dim(d) {
    for (uint32_t len : lens) {
      start.push_back(start.back() + len);
      for (uint32_t i = 0; i < len; i++)
        position.push_back(i);
    }
    tokens = start.back();
    row_start = start;
    row_position = position;
  }
  // Random bits, noise past the length; some rows see themselves alone, some nothing.
  void RandomMasks(double share, uint32_t seed) {
    std::mt19937_64 bits(seed);
    mask.clear();
    mask_start.clear();
    for (uint32_t len : lens) {
      mask_start.push_back(mask.size());
      size_t words = (len + 63) / 64;
      for (size_t i = 0; i < len; i++) {
        std::vector<uint64_t> row(words);
        for (size_t j = 0; j < words * 64; j++) {
          bool seen = static_cast<double>(bits() >> 11) * 0x1p-53 < share;
          if (i % 7 == 3)
            seen = j == i;
          if (i % 11 == 5)
            seen = j >= len;
          if (seen)
            row[j / 64] |= uint64_t{1} << (j % 64);
        }
        mask.insert(mask.end(), row.begin(), row.end());
      }
    }
  }
  // The rows at these places of each sequence ask, where it has them.
  void Ask(const std::vector<std::vector<uint32_t>> &places) {
    row_start.assign(1, 0);
    row_position.clear();
    for (const std::vector<uint32_t> &rows : places) {
      row_position.insert(row_position.end(), rows.begin(), rows.end());
      row_start.push_back(static_cast<uint32_t>(row_position.size()));
    }
  }
  bool Sees(size_t s, size_t i, size_t j) const {
    size_t words = (lens[s] + 63) / 64;
    return mask.empty() || (mask[mask_start[s] + i * words + j / 64] >> (j % 64) & 1);
  }
};

class SimtAttention : public SimtOpTest {
 protected:
  void SetUp() override {
    SimtOpTest::SetUp();
    BeginStream();
  }

  std::vector<float> Values(const Layout &l, float range, uint32_t seed) const {
    return Rounded(Random(l.tokens * 3 * l.heads * l.dim, range, seed));
  }
  // q, k and v of a token side by side, rows `gap` elements further apart than they need be, from
  // `shift` elements behind an aligned place on; all else is NaN.
  sp_attention_args Lay(const Layout &l, const std::vector<float> &qkv, size_t gap, size_t shift) {
    size_t width = l.heads * l.dim, stride = 3 * width + gap, rows = l.row_position.size();
    std::vector<float> kv(shift + l.tokens * stride, NAN), q(shift + rows * stride, NAN);
    for (size_t t = 0; t < l.tokens; t++)
      std::copy_n(&qkv[t * 3 * width], 3 * width, &kv[shift + t * stride]);
    for (size_t s = 0; s < l.lens.size(); s++) {
      for (size_t r = l.row_start[s]; r < l.row_start[s + 1]; r++) {
        size_t token = l.start[s] + l.row_position[r];
        std::copy_n(&qkv[token * 3 * width], width, &q[shift + r * stride]);
      }
    }
    memory_.clear();
    memory_.push_back(Act(kv));
    memory_.push_back(Act(q));
    sp_attention_args args{};
    args.k = At(memory_[0], shift + width);
    args.v = At(memory_[0], shift + 2 * width);
    args.q = At(memory_[1], shift);
    args.q_stride = args.kv_stride = stride;
    args.heads = l.heads;
    args.head_dim = l.dim;
    args.sequences = l.lens.size();
    args.row_start = l.row_start.data();
    args.key_start = l.start.data();
    args.key_len = l.lens.data();
    LayMask(l, &args);
    return args;
  }
  // The rows that ask, their words one after the other.
  void LayMask(const Layout &l, sp_attention_args *args) {
    if (l.mask.empty())
      return;
    mask_.clear();
    mask_start_.clear();
    for (size_t s = 0; s < l.lens.size(); s++) {
      size_t words = (l.lens[s] + 63) / 64;
      mask_start_.push_back(mask_.size());
      for (size_t r = l.row_start[s]; r < l.row_start[s + 1]; r++) {
        for (size_t w = 0; w < words; w++)
          mask_.push_back(l.mask[l.mask_start[s] + l.row_position[r] * words + w]);
      }
    }
    args->mask = mask_.data();
    args->mask_start = mask_start_.data();
  }
  void *At(const Bytes &data, size_t element) const {
    return static_cast<char *>(data.get()) + element * ActBytes();
  }
  std::vector<float> Run(const Layout &l, const std::vector<float> &qkv, size_t gap = 0,
                         size_t shift = 0) {
    sp_attention_args args = Lay(l, qkv, gap, shift);
    Bytes out = Act(shift + l.row_position.size() * l.heads * l.dim);
    args.out = At(out, shift);
    EXPECT_EQ(sp_cuda_attention(nullptr, bf16_, &args), cudaSuccess) << sp_simt::Failure();
    std::vector<float> all = Read(out);
    return std::vector<float>(all.begin() + static_cast<ptrdiff_t>(shift), all.end());
  }
  std::vector<float> Cpu(const Layout &l, const std::vector<float> &qkv) {
    sp_attention_args args = Lay(l, qkv, 0, 0);
    Bytes out = Act(l.row_position.size() * l.heads * l.dim);
    args.out = out.get();
    EXPECT_EQ(cpu_->attention(stream_, &args, &err_), SP_OK) << err_.message;
    return Read(out);
  }
  // Doubles; magnitude: the same sums of absolute terms; size: the largest score's.
  std::vector<double> Exact(const Layout &l, const std::vector<float> &qkv,
                            std::vector<double> *magnitude, std::vector<double> *size);
  void Check(const Layout &l, const std::vector<float> &qkv, const std::string &what);

  std::deque<Bytes> memory_;
  std::vector<uint64_t> mask_, mask_start_;
};

std::vector<double> SimtAttention::Exact(const Layout &l, const std::vector<float> &qkv,
                                         std::vector<double> *magnitude,
                                         std::vector<double> *size) {
  size_t width = l.heads * l.dim;
  auto at = [&](size_t token, size_t part, size_t i) -> double {
    return qkv[token * 3 * width + part * width + i];
  };
  std::vector<double> out(l.row_position.size() * width, 0.0);
  magnitude->assign(out.size(), 0.0);
  size->assign(out.size(), 0.0);
  double scale = 1 / std::sqrt(static_cast<double>(l.dim));
  for (size_t s = 0; s < l.lens.size(); s++) {
    for (size_t r = l.row_start[s]; r < l.row_start[s + 1]; r++) {
      for (size_t h = 0; h < l.heads; h++) {
        std::vector<double> w(l.lens[s], -INFINITY);
        double top = -INFINITY, largest = 0, sum = 0;
        for (size_t j = 0; j < l.lens[s]; j++) {
          if (!l.Sees(s, l.row_position[r], j))
            continue;
          double dot = 0, terms = 0;
          for (size_t d = h * l.dim; d < (h + 1) * l.dim; d++) {
            double term = at(l.start[s] + l.row_position[r], 0, d) * at(l.start[s] + j, 1, d);
            dot += term;
            terms += std::fabs(term);
          }
          w[j] = dot * scale;
          largest = std::max(largest, terms * scale);
          top = std::max(top, w[j]);
        }
        if (top == -INFINITY)
          continue;
        for (double &x : w)
          sum += x = std::exp(x - top);
        for (size_t d = h * l.dim; d < (h + 1) * l.dim; d++) {
          size_t o = r * width + d;
          for (size_t j = 0; j < l.lens[s]; j++) {
            double v = at(l.start[s] + j, 2, d);
            out[o] += w[j] / sum * v;
            (*magnitude)[o] += w[j] / sum * std::fabs(v);
          }
          (*size)[o] = largest;
        }
      }
    }
  }
  return out;
}

// Twice the CPU op's error, in the mean square and in the maximum, and half a unit of the output's
// rounding in the maximum; every element within what its roundings can do.
void SimtAttention::Check(const Layout &l, const std::vector<float> &qkv, const std::string &what) {
  std::vector<double> magnitude, size;
  std::vector<double> exact = Exact(l, qkv, &magnitude, &size);
  std::vector<float> got = Run(l, qkv), cpu = Cpu(l, qkv);
  double ours = 0, theirs = 0, ours_max = 0, theirs_max = 0, fine = 0, rounding = 0;
  double steps = 8 + 2 * std::sqrt(static_cast<double>(l.dim) + 512);
  for (size_t i = 0; i < got.size(); i++) {
    double a = std::fabs(got[i] - exact[i]), b = std::fabs(cpu[i] - exact[i]);
    double f32 = steps * kEps * (2 + 2 * size[i]) * magnitude[i] + 1e-37;
    double bf16 = bf16_ ? 0x1p-9 * std::fabs(exact[i]) : 0; /* half a unit */
    double weights = bf16_ ? 0x1p-8 * magnitude[i] : 0;
    if (!(a <= f32 + bf16 * 1.01 + weights)) {
      ADD_FAILURE() << what << ": element " << i << " is " << got[i] << ", want " << exact[i];
      return;
    }
    ours += a * a;
    theirs += b * b;
    ours_max = std::max(ours_max, a);
    theirs_max = std::max(theirs_max, b);
    fine = std::max(fine, f32);
    rounding = std::max(rounding, bf16);
  }
  double n = static_cast<double>(got.size());
  EXPECT_TRUE(std::sqrt(ours / n) <= 2 * std::sqrt(theirs / n) + fine)
      << what << ": rms " << std::sqrt(ours / n) << " against " << std::sqrt(theirs / n);
  EXPECT_TRUE(ours_max <= 2 * theirs_max + rounding + fine)
      << what << ": maximum " << ours_max << " against " << theirs_max;
}

const std::vector<uint32_t> kLengths = {1, 15, 16, 17, 24, 63, 64, 65, 128, 129, 200};

TEST_P(SimtAttention, Lengths) {
  Layout l(kLengths, 2, 64);
  Check(l, Values(l, 2.0f, 1), "lengths");
}

// Eight words of a mask, and more keys than any mask has.
TEST_P(SimtAttention, LongSequences) {
  Layout l({257, 511, 512}, 1, 26);
  l.RandomMasks(0.5, 17);
  l.Ask({{0, 255, 256}, {510, 64, 63}, {511, 448, 447, 1}});
  Check(l, Values(l, 2.0f, 11), "masks of eight words");
  Layout whole({513, 700}, 1, 16);
  Check(whole, Values(whole, 2.0f, 12), "more than 512 keys");
}

TEST_P(SimtAttention, HeadSizes) {
  for (size_t dim : {1, 2, 7, 16, 26, 31, 32, 33, 40, 64, 80, 96, 127, 128}) {
    Layout l({1, 5, 24, 67}, 3, dim);
    Check(l, Values(l, 1.5f, static_cast<uint32_t>(dim)), "head of " + std::to_string(dim));
  }
}

TEST_P(SimtAttention, RandomMasks) {
  for (double share : {0.02, 0.5, 0.98}) {
    for (size_t dim : {26, 64}) {
      Layout l({1, 63, 64, 65, 128, 24, 191}, 2, dim);
      l.RandomMasks(share, 99);
      Check(l, Values(l, 2.0f, 5), "masks of " + std::to_string(share));
    }
  }
}

TEST_P(SimtAttention, FewRowsAsk) {
  Layout l({9, 24, 70, 140, 5, 200}, 5, 33);
  l.RandomMasks(0.5, 3);
  l.Ask({{4}, {23, 0}, {69}, {}, {0, 1, 2, 3, 4}, {199, 100, 64, 63}});
  Check(l, Values(l, 2.0f, 7), "few rows");
}

// Everything but the row itself and its keys changes: which rows ask, what lies before and behind,
// how many sequences and heads a launch has (and so what its blocks take), how wide loads are, and
// the order of threads.
TEST_P(SimtAttention, ARowsBitsAreItsOwn) {
  const size_t heads = 5;
  for (size_t dim : bf16_ ? std::vector<size_t>{26, 64} : std::vector<size_t>{26}) {
    Layout l({24, 100, 130, 24}, heads, dim);
    l.RandomMasks(0.7, 11);
    size_t width = heads * dim;
    std::vector<float> qkv = Values(l, 2.0f, 5), all = Run(l, qkv);
    sp_simt::SetReverse(true);
    ASSERT_EQ(0, memcmp(all.data(), Run(l, qkv).data(), all.size() * 4)) << "threads reversed";
    sp_simt::SetReverse(false);
    for (size_t shift : {0, 1, 2}) {
      std::vector<float> other = Run(l, qkv, shift + 1, shift);
      ASSERT_EQ(0, memcmp(all.data(), other.data(), all.size() * 4)) << "shifted by " << shift;
    }
    Layout few = l;
    few.Ask({{23}, {64}, {0, 129}, {11}});
    std::vector<float> some = Run(few, qkv);
    for (size_t s = 0, r = 0; s < l.lens.size(); s++) {
      for (; r < few.row_start[s + 1]; r++) {
        size_t row = l.start[s] + few.row_position[r];
        ASSERT_EQ(0, memcmp(&some[r * width], &all[row * width], width * 4)) << "row " << row;
      }
    }
  }
}

// Blocks of launches with many sequences take several heads, in one round or more.
TEST_P(SimtAttention, ASequencesBitsDoNotDependOnTheLaunch) {
  const size_t heads = 5, dim = 24, width = heads * dim;
  std::vector<uint32_t> lens(300, 1);
  for (uint32_t len : {24, 60, 45, 130, 100})
    lens.push_back(len);
  Layout many(lens, heads, dim);
  std::vector<float> qkv = Values(many, 2.0f, 5), all = Run(many, qkv);
  for (size_t s = 299; s < lens.size(); s++) {
    Layout one({lens[s]}, heads, dim);
    auto at = qkv.begin() + static_cast<ptrdiff_t>(many.start[s] * 3 * width);
    std::vector<float> mine(at, at + static_cast<ptrdiff_t>(lens[s] * 3 * width));
    std::vector<float> alone = Run(one, mine);
    ASSERT_EQ(0, memcmp(&all[many.start[s] * width], alone.data(), alone.size() * 4)) << lens[s];
  }
}

// Rows in reverse, each slot named, the first of a sequence's keys in one table and the rest in
// another: the plain bits, whatever a block takes, however wide loads are.
TEST_P(SimtAttention, NamedRowsGiveThePlainBits) {
  const size_t heads = 5;
  std::vector<uint32_t> lens(280, 1);
  for (uint32_t len : {24, 60, 45, 130, 100})
    lens.push_back(len);
  for (size_t dim : {24, 26, 27}) {
    Layout l(lens, heads, dim);
    l.RandomMasks(0.6, 12);
    size_t width = 3 * heads * dim;
    std::vector<float> qkv = Values(l, 2.0f, 5), all = Run(l, qkv), reversed(qkv.size());
    for (size_t t = 0; t < l.tokens; t++)
      std::copy_n(&qkv[t * width], width, &reversed[(l.tokens - 1 - t) * width]);
    std::vector<uint32_t> q_row, key_row, key_start, key_split, key_own;
    for (size_t s = 0; s < lens.size(); s++) {
      key_start.push_back(static_cast<uint32_t>(key_row.size()));
      key_split.push_back(static_cast<uint32_t>(s * 17 % (lens[s] + 1)));
      for (uint32_t j = 0; j < lens[s]; j++) {
        if (j == key_split.back())
          key_row.push_back(UINT32_MAX);
        key_row.push_back(static_cast<uint32_t>(l.tokens - 1 - l.start[s] - j));
        q_row.push_back(key_row.back());
      }
      key_own.push_back(key_start.back() + key_split.back() + 1);
    }
    for (bool reverse : {false, true}) {
      sp_attention_args args = Lay(l, reversed, 0, 0);
      Bytes out = Act(l.tokens * heads * dim);
      args.q = memory_[0].get();
      args.out = out.get();
      args.q_row = q_row.data();
      args.key_row = key_row.data();
      args.key_start = key_start.data();
      args.key_split = key_split.data();
      args.key_own = key_own.data();
      sp_simt::SetReverse(reverse);
      SP_ASSERT_LAUNCH(sp_cuda_attention(nullptr, bf16_, &args));
      ASSERT_EQ(0, memcmp(all.data(), Read(out).data(), all.size() * 4)) << "head of " << dim;
    }
    sp_simt::SetReverse(false);
  }
}

TEST_P(SimtAttention, ARowThatSeesNothingIsZero) {
  Layout l({70, 24}, 2, 26);
  l.mask.assign(140 + 24, 0);
  l.mask_start = {0, 140};
  for (float y : Run(l, Values(l, 2.0f, 5)))
    ASSERT_EQ(y, 0.0f);
}

TEST_P(SimtAttention, LargeScoresDoNotOverflow) {
  Layout l({24, 100}, 1, 64);
  for (float y : Run(l, Values(l, 40.0f, 8)))
    ASSERT_TRUE(std::fabs(y) <= 40.5f);
}

// Keys that no row sees change no bit.
TEST_P(SimtAttention, TrailingMaskedKeysChangeNothing) {
  for (uint32_t longer : {41u, 64u, 150u, 260u}) {
    Layout plain({40}, 2, 26), padded({longer}, 2, 26);
    std::vector<float> qkv = Values(padded, 2.0f, 6);
    size_t words = (longer + 63) / 64;
    padded.mask_start = {0};
    padded.mask.assign(longer * words, 0);
    for (size_t i = 0; i < longer; i++)
      padded.mask[i * words] = (uint64_t{1} << 40) - 1;
    std::vector<float> want = Run(plain, qkv), got = Run(padded, qkv);
    ASSERT_EQ(0, memcmp(want.data(), got.data(), want.size() * 4)) << longer;
  }
}

// What is not a number stays so; in values exactly where the CPU op has it.
TEST_P(SimtAttention, NotANumberGoesOn) {
  Layout l({24, 130}, 2, 26);
  l.RandomMasks(0.5, 4);
  size_t width = l.heads * l.dim;
  std::vector<float> qkv = Values(l, 2.0f, 5);
  for (float bad : {NAN, INFINITY, -INFINITY}) {
    std::vector<float> values = qkv;
    values[(24 + 70) * 3 * width + 2 * width + 30] = bad; /* head 1, dimension 4 */
    std::vector<float> got = Run(l, values), cpu = Cpu(l, values);
    for (size_t i = 0; i < got.size(); i++)
      ASSERT_EQ(std::isfinite(got[i]), std::isfinite(cpu[i])) << bad << " at " << i;
  }
  Layout full({24, 130}, 2, 26);
  qkv[(24 + 70) * 3 * width + 30] = NAN; /* the query of one row */
  std::vector<float> got = Run(full, qkv);
  for (size_t i = 0; i < got.size(); i++)
    ASSERT_EQ(std::isnan(got[i]), i / width == 24 + 70 && i % width >= 26) << i;
}

TEST_P(SimtAttention, RefusesWhatItCannotRun) {
  Layout l({3}, 1, 8);
  sp_attention_args args = Lay(l, Values(l, 1.0f, 1), 0, 0);
  args.head_dim = SP_CUDA_MAX_HEAD_DIM + 1;
  EXPECT_EQ(sp_cuda_attention(nullptr, bf16_, &args), cudaErrorInvalidValue);
  args.head_dim = 8;
  args.sequences = 0;
  EXPECT_EQ(sp_cuda_attention(nullptr, bf16_, &args), cudaSuccess);
}

SP_SIMT_CASES(SimtAttention);

}  // namespace
