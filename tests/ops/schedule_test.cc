// schedule: bits of logits that every device computes exactly, so that no bit may differ; and the mask
// that the same pass writes.
#include "op_test.h"

namespace {

using namespace sp_test;

// Whole numbers in [-range, range].
std::vector<float> Whole(size_t n, int range, uint32_t seed) {
  std::mt19937 bits(seed);
  std::vector<float> v(n);
  for (float &x : v)
    x = static_cast<float>(static_cast<int>(bits() % static_cast<uint32_t>(2 * range + 1)) - range);
  return v;
}

class ScheduleTest : public OpTest {
 protected:
  struct Layer {
    std::vector<float> weight, bias;  // (N, K), (N)
    size_t n, k;
    sp_activation activation;
  };

  void TearDown() override {
    Clear();
    OpTest::TearDown();
  }
  void Clear() {
    EndStream();
    for (const sp_dense *layer : dense_)
      backend_->dense_destroy(const_cast<sp_dense *>(layer));
    dense_.clear();
    layers_.clear();
  }
  // Layers of these widths, the input's first: RELU between them, nothing behind the last.
  void Make(const std::vector<size_t> &widths, uint32_t seed) {
    Clear();
    for (size_t i = 0; i + 1 < widths.size(); i++) {
      bool last = i + 2 == widths.size();
      Add({Whole(widths[i + 1] * widths[i], 4, seed + 10), Whole(widths[i + 1], 20, seed + 20),
           widths[i + 1], widths[i], last ? SP_ACT_NONE : SP_ACT_RELU});
    }
    BeginStream();
  }
  // Logits that are these, whatever the row.
  void MakeConstant(size_t width, const std::vector<float> &logits) {
    Clear();
    Add({std::vector<float>(logits.size() * width, 0.0f), logits, logits.size(), width,
         SP_ACT_NONE});
    BeginStream();
  }
  void Add(const Layer &l) {
    sp_dense *dense = nullptr;
    ASSERT_EQ(backend_->dense_create(device_, l.weight.data(), l.bias.data(), l.n, l.k,
                                     l.activation, &dense, &err_),
              SP_OK)
        << err_.message;
    dense_.push_back(dense);
    layers_.push_back(l);
  }

  std::vector<double> Logits(const float *row) const {
    std::vector<double> x(row, row + layers_[0].k);
    for (const Layer &l : layers_) {
      std::vector<double> y(l.n);
      for (size_t j = 0; j < l.n; j++) {
        y[j] = l.bias[j];
        for (size_t k = 0; k < l.k; k++)
          y[j] += x[k] * static_cast<double>(l.weight[j * l.k + k]);
        y[j] = Activate(l.activation, y[j]);
      }
      x = y;
    }
    return x;
  }
  uint32_t Bits(const std::vector<double> &logits) const {
    uint32_t bits = 0;
    float product = 1;
    for (size_t r = 0; r < logits.size(); r++) {
      product *= 1 / (1 + std::exp(-tau_ * static_cast<float>(logits[r])));
      bits |= static_cast<uint32_t>(span_ ? product >= 0.5f : logits[r] >= 0) << r;
    }
    return bits;
  }

  std::vector<uint32_t> Run(const std::vector<float> &x, const sp_mask_args *mask = nullptr) {
    size_t d = layers_[0].k, rows = x.size() / d;
    uint32_t *bits = Put(std::vector<uint32_t>(rows + 1, 0xabababab));
    uint32_t *nan = Put(std::vector<uint32_t>(1, 0));
    sp_schedule_args args{};
    args.layers = dense_.data();
    args.n_layers = dense_.size();
    args.reach = layers_.back().n;
    args.span = span_;
    args.tau = tau_;
    args.rows_res = ResRows(x, rows, d, NAN);
    args.rows = rows;
    args.bits = bits;
    args.nan = nan;
    args.mask = mask;
    EXPECT_EQ(backend_->schedule(stream_, &args, &err_), SP_OK) << err_.message;
    std::vector<uint32_t> got = Get<uint32_t>(bits, rows + 1);
    EXPECT_EQ(got.back(), 0xabababab);
    got.pop_back();
    nan_ = Get<uint32_t>(nan, 1)[0];
    return got;
  }
  void Check(size_t rows, const std::string &what) {
    size_t d = layers_[0].k;
    std::vector<float> x = Whole(rows * d, 8, 74);
    std::vector<uint32_t> got = Run(x);
    EXPECT_EQ(nan_, 0u) << what;
    for (size_t r = 0; r < rows; r++)
      ASSERT_EQ(got[r], Bits(Logits(&x[r * d]))) << what << ": row " << r << " of " << rows;
  }

  std::vector<Layer> layers_;
  std::vector<const sp_dense *> dense_;
  bool span_ = false;
  float tau_ = 1;
  uint32_t nan_ = 0;
};

TEST_P(ScheduleTest, ABitIsTheSignOfItsLogit) {
  for (const std::vector<size_t> &widths : std::vector<std::vector<size_t>>{
           {1, 1}, {26, 5}, {31, 32}, {312, 2}, {768, 9}, {1025, 17}, {2050, 1}}) {
    Make(widths, 60);
    for (size_t rows : {1, 3, 31, 32, 33, 100})
      Check(rows, "width " + std::to_string(widths[0]));
  }
}

TEST_P(ScheduleTest, HiddenLayers) {
  for (const std::vector<size_t> &widths :
       std::vector<std::vector<size_t>>{{26, 7, 5}, {40, 64, 32}, {64, 33, 31, 3}, {24, 1600, 4}}) {
    Make(widths, 61);
    for (size_t rows : {1, 7, 8, 9, 33})
      Check(rows, "hidden width " + std::to_string(widths[1]));
  }
}

// What is far from 0 by more than the roundings of an activation.
TEST_P(ScheduleTest, HiddenActivations) {
  const size_t rows = 20, d = 37, hidden = 19, reach = 6;
  for (sp_activation activation : {SP_ACT_TANH, SP_ACT_GELU_ERF, SP_ACT_GELU_TANH}) {
    Clear();
    Add({Random(hidden * d, 0.3f, 1), Random(hidden, 0.3f, 2), hidden, d, activation});
    Add({Random(reach * hidden, 0.5f, 3), Random(reach, 0.3f, 4), reach, hidden, SP_ACT_NONE});
    BeginStream();
    std::vector<float> x = Random(rows * d, 1.0f, 5);
    std::vector<uint32_t> got = Run(x);
    size_t near = 0;
    for (size_t r = 0; r < rows; r++) {
      std::vector<double> logits = Logits(&x[r * d]);
      for (size_t j = 0; j < reach; j++) {
        if (std::fabs(logits[j]) < 1e-4) {
          near++;
        } else {
          ASSERT_EQ(got[r] >> j & 1, logits[j] >= 0) << "activation " << activation;
        }
      }
    }
    EXPECT_LE(near, 2u);
  }
}

TEST_P(ScheduleTest, ZeroIsSet) {
  const float least = std::numeric_limits<float>::denorm_min();
  MakeConstant(20, {0.0f, -0.0f, least, -least, INFINITY, -INFINITY, 1.0f, -1.0f});
  for (uint32_t bits : Run(Whole(40 * 20, 8, 1)))
    ASSERT_EQ(bits, 0x57u);
}

TEST_P(ScheduleTest, ASpanEndsWhereTheProductFallsBelowOneHalf) {
  span_ = true;
  for (float tau : {0.5f, 1.0f, 4.0f}) {
    tau_ = tau;
    for (const std::vector<float> &logits :
         std::vector<std::vector<float>>{{0.0f},
                                         {0.0f, 60.0f, 1.0f},
                                         {3.0f, 2.0f, 1.0f, 60.0f},
                                         {-1.0f, 60.0f},
                                         {60.0f, INFINITY, -INFINITY, INFINITY},
                                         std::vector<float>(32, 3.5f),
                                         std::vector<float>(32, 90.0f)}) {
      MakeConstant(7, logits);
      uint32_t want = Bits(std::vector<double>(logits.begin(), logits.end()));
      for (uint32_t bits : Run(Whole(35 * 7, 8, 1)))
        ASSERT_EQ(bits, want) << "tau " << tau;
      ASSERT_EQ(want & (want + 1), 0u) << "a span has no gap";
    }
    for (const std::vector<size_t> &widths : std::vector<std::vector<size_t>>{{5, 32}, {9, 4, 8}}) {
      Make(widths, 62);
      Check(40, "span");
    }
  }
}

TEST_P(ScheduleTest, WhatIsNoNumberIsToldAndSeesNothing) {
  const size_t rows = 40, d = 30, reach = 9;
  for (bool span : {false, true}) {
    for (bool hidden : {false, true}) {
      span_ = span;
      Make(hidden ? std::vector<size_t>{d, 11, reach} : std::vector<size_t>{d, reach}, 63);
      std::vector<float> x = Whole(rows * d, 8, 75);
      std::vector<uint32_t> clean = Run(x);
      ASSERT_EQ(nan_, 0u);
      x[17 * d + 3] = NAN;
      std::vector<uint32_t> got = Run(x);
      EXPECT_EQ(nan_, 1u);
      clean[17] = hidden ? got[17] : 0;  // RELU of NaN is the device's own
      EXPECT_EQ(got, clean) << "span " << span << ", hidden " << hidden;
    }
    // One logit alone: a span ends before it.
    MakeConstant(d, {90.0f, 90.0f, NAN, 90.0f});
    EXPECT_EQ(Run(Whole(d, 8, 1))[0], span ? 0x3u : 0xbu);
    EXPECT_EQ(nan_, 1u);
  }
}

// A row's bits are its own, wherever it stands.
TEST_P(ScheduleTest, ARowsBitsAreItsOwn) {
  const size_t rows = 70;
  for (const std::vector<size_t> &widths :
       std::vector<std::vector<size_t>>{{768, 5}, {100, 40, 12}}) {
    size_t d = widths[0];
    Clear();
    for (size_t i = 0; i + 1 < widths.size(); i++)
      Add({Random(widths[i + 1] * widths[i], 0.1f, 7), Random(widths[i + 1], 0.1f, 8),
           widths[i + 1], widths[i], SP_ACT_NONE});
    BeginStream();
    std::vector<float> x = Random(rows * d, 1.0f, 9);
    std::vector<uint32_t> all = Run(x);
    for (size_t r : {0, 5, 31, 69}) {
      auto at = x.begin() + static_cast<ptrdiff_t>(r * d);
      EXPECT_EQ(Run({at, at + static_cast<ptrdiff_t>(d)})[0], all[r]) << "row " << r;
    }
  }
}

// Sequences that ask everywhere, in places, or not at all, some with keys cut short.
struct MaskRows {
  std::vector<uint32_t> len{70, 24, 5, 129, 1, 40, 3, 200}, key_len, row_start{0}, position;
  std::vector<uint64_t> mask_start;
  size_t words = 0;

  MaskRows() {
    for (size_t s = 0; s < len.size(); s++) {
      key_len.push_back(s % 3 == 2 ? (len[s] + 1) / 2 : len[s]);
      mask_start.push_back(words);
      for (uint32_t i = 0; i < len[s] && s != 2 && s != 6; i += s % 2 ? 1 : 3) {
        position.push_back(i);
        words += (key_len[s] + 63) / 64;
      }
      row_start.push_back(static_cast<uint32_t>(position.size()));
    }
  }
};

TEST_P(ScheduleTest, ThePassWritesTheMaskOfItsBits) {
  const MaskRows rows;
  for (const std::vector<size_t> &widths :
       std::vector<std::vector<size_t>>{{26, 32}, {26, 3}, {26, 9, 32}}) {
    Make(widths, 64);
    for (size_t left : {size_t{2}, SIZE_MAX}) {
      for (sp_mask_exempt exempt : {SP_EXEMPT_NONE, SP_EXEMPT_SEES_ALL, SP_EXEMPT_HIDDEN}) {
        sp_mask_args args{};
        args.policy = SP_MASK_DYNAMIC;
        args.reach = widths.back();
        args.left = left;
        args.exempt = exempt;
        args.exempt_last = left != 2;
        args.sequences = rows.len.size();
        args.row_start = Put(rows.row_start);
        args.row_position = Put(rows.position);
        args.len = Put(rows.len);
        args.key_len = Put(rows.key_len);
        args.mask_start = Put(rows.mask_start);
        args.mask = Put(std::vector<uint64_t>(rows.words, 0xabababababababab));
        std::vector<uint32_t> bits = Run(Whole(rows.position.size() * widths[0], 8, 76), &args);
        const std::vector<uint64_t> got = Get<uint64_t>(args.mask, rows.words);
        args.bits = Put(bits);
        args.mask = Put(std::vector<uint64_t>(rows.words, 0xcdcdcdcdcdcdcdcd));
        ASSERT_EQ(backend_->mask(stream_, &args, &err_), SP_OK) << err_.message;
        ASSERT_EQ(got, Get<uint64_t>(args.mask, rows.words)) << "exempt " << exempt;
      }
    }
  }
}

SP_OP_CASES(ScheduleTest);

}  // namespace
