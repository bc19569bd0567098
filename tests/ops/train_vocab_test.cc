// vocab_loss and its gradients against a double reference, which finite differences hold to be right;
// bit for bit under any number of threads.
#include <algorithm>

#include "train_test.h"

namespace {

using namespace sp_test;

struct Setting {
  size_t rows, v, d;
  float range = 1.5f;  // of logits, about
  size_t threads = 2;
  std::string Name() const {
    return std::to_string(rows) + " rows, " + std::to_string(v) + "x" + std::to_string(d);
  }
};

struct Inputs {
  std::vector<float> weight, bias, h, d_weight, d_bias;
  std::vector<int32_t> target;
};

struct Results {
  std::vector<float> loss, d_h, d_weight, d_bias;
  bool operator==(const Results &o) const {
    auto same = [](const std::vector<float> &a, const std::vector<float> &b) {
      return a.size() == b.size() && memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
    };
    return same(loss, o.loss) && same(d_h, o.d_h) && same(d_weight, o.d_weight) &&
           same(d_bias, o.d_bias);
  }
};

// The reference: losses, and softmax - one-hot of every row.
struct Exact {
  std::vector<double> loss, d_logits;
  Exact(const Setting &s, const std::vector<double> &weight, const std::vector<double> &h,
        const Inputs &x)
      : loss(s.rows), d_logits(s.rows * s.v) {
    for (size_t r = 0; r < s.rows; r++) {
      double *p = &d_logits[r * s.v], top = -INFINITY, sum = 0;
      for (size_t j = 0; j < s.v; j++) {
        p[j] = x.bias[j];
        for (size_t i = 0; i < s.d; i++)
          p[j] += weight[j * s.d + i] * h[r * s.d + i];
        top = std::max(top, p[j]);
      }
      for (size_t j = 0; j < s.v; j++)
        sum += std::exp(p[j] - top);
      size_t target = static_cast<size_t>(x.target[r]);
      loss[r] = top + std::log(sum) - p[target];
      for (size_t j = 0; j < s.v; j++)
        p[j] = std::exp(p[j] - top) / sum;
      p[target] = std::expm1(-loss[r]);
    }
  }
};

Inputs Make(const Setting &s, sp_compute type) {
  Inputs x;
  x.weight = Random(s.v * s.d, s.range * 1.7f / std::sqrt(static_cast<float>(s.d)), 1);
  x.bias = Random(s.v, 0.5f, 2);
  x.h = RoundedAct(Random(s.rows * s.d, 1.7f, 3), type);
  x.d_weight = Random(s.v * s.d, 0.01f, 4);
  x.d_bias = Random(s.v, 0.01f, 5);
  for (size_t r = 0; r < s.rows; r++)
    x.target.push_back(static_cast<int32_t>(r == 0 ? s.v - 1 : r * 7919 % s.v));
  return x;
}

std::vector<double> Doubles(const std::vector<float> &v, sp_compute type) {
  std::vector<float> rounded = RoundedAct(v, type);
  return {rounded.begin(), rounded.end()};
}

class TrainVocabTest : public TrainTest {
 protected:
  Results Run(const Setting &s, const Inputs &x, float scale, bool backward = true) {
    const float nan = std::numeric_limits<float>::quiet_NaN();
    sp_train_limits limits{};
    limits.rows = limits.scored = s.rows;
    limits.width = s.d;
    limits.vocab = s.v;
    limits.threads = s.threads;
    OpenTrainer(limits);
    sp_train_weight *weight = nullptr;
    EXPECT_EQ(ops_->weight_create(trainer_, compute_, Put(x.weight), s.v, s.d, &weight, &err_),
              SP_OK)
        << err_.message;
    sp_train_vocab_args args{};
    args.weight = weight;
    args.bias = Put(x.bias);
    args.h = ActRows(x.h, s.rows, s.d, nan);
    args.target = Put(x.target);
    args.rows = s.rows;
    args.loss = static_cast<float *>(ResRows(s.rows, 1));
    args.backward = backward;
    args.scale = scale;
    args.d_h = static_cast<float *>(ResRows(s.rows, s.d));
    args.d_weight = Put(x.d_weight);
    args.d_bias = Put(x.d_bias);
    EXPECT_EQ(ops_->vocab_loss(trainer_, &args, &err_), SP_OK) << err_.message;
    Results y;
    y.loss = Fetch<float>(args.loss, s.rows);
    y.d_h = Fetch<float>(args.d_h, s.rows * s.d);
    y.d_weight = Fetch<float>(args.d_weight, s.v * s.d);
    y.d_bias = Fetch<float>(args.d_bias, s.v);
    ops_->weight_destroy(weight);
    CloseTrainer();
    FreeMemory();
    return y;
  }
  void Check(const Setting &s);
};

// Logits are off by their f32 sums; probabilities by as much relative, and twice by their rounding.
void TrainVocabTest::Check(const Setting &s) {
  const float scale = 0.037f;
  Inputs x = Make(s, compute_);
  Results y = Run(s, x, scale);
  std::vector<double> w = Doubles(x.weight, compute_), h = Doubles(x.h, compute_);
  Exact exact(s, w, h, x);
  double logit_error = 2 * s.range * 8 * (4 + 2 * std::sqrt(static_cast<double>(s.d))) * kEps;
  double cell = 2 * RoundingOf(compute_) + logit_error + 1e-6;
  ExpectWithin(y.loss, exact.loss, std::vector<double>(s.rows, 2 * logit_error + 2e-6),
               s.Name() + ": loss");
  std::vector<double> d_h(s.rows * s.d), d_h_off(d_h.size()), d_bias(s.v), d_bias_off(s.v),
      d_weight(s.v * s.d), d_weight_off(d_weight.size());
  for (size_t j = 0; j < s.v; j++) {
    d_bias[j] = x.d_bias[j];
    d_bias_off[j] = 1e-6 * std::fabs(d_bias[j]) + 1e-9;
    for (size_t i = 0; i < s.d; i++) {
      d_weight[j * s.d + i] = x.d_weight[j * s.d + i];
      d_weight_off[j * s.d + i] = 1e-6 * std::fabs(x.d_weight[j * s.d + i]) + 1e-9;
    }
  }
  for (size_t r = 0; r < s.rows; r++) {
    for (size_t j = 0; j < s.v; j++) {
      double d = scale * exact.d_logits[r * s.v + j];
      double off = (cell + 1e-6) * std::fabs(d) + 1e-9 * scale;
      off += static_cast<size_t>(x.target[r]) == j ? scale * logit_error : 0;
      d_bias[j] += d;
      d_bias_off[j] += off;
      for (size_t i = 0; i < s.d; i++) {
        d_h[r * s.d + i] += d * w[j * s.d + i];
        d_h_off[r * s.d + i] += off * std::fabs(w[j * s.d + i]);
        d_weight[j * s.d + i] += d * h[r * s.d + i];
        d_weight_off[j * s.d + i] += off * std::fabs(h[r * s.d + i]);
      }
    }
  }
  ExpectWithin(y.d_bias, d_bias, d_bias_off, s.Name() + ": d_bias");
  ExpectWithin(y.d_weight, d_weight, d_weight_off, s.Name() + ": d_weight");
  ExpectWithin(y.d_h, d_h, d_h_off, s.Name() + ": d_h");
}

TEST_P(TrainVocabTest, MatchesTheReference) {
  for (const Setting &s : {Setting{1, 1, 1},
                           {1, 3, 5},
                           {7, 31, 26},
                           {3, 511, 8},
                           {5, 512, 16},
                           {127, 513, 17},
                           {129, 600, 26},
                           {130, 1025, 65},
                           {260, 1100, 52}})
    Check(s);
}

TEST_P(TrainVocabTest, SharpRows) {
  Check({33, 700, 24, 20.0f});
}

TEST_P(TrainVocabTest, LossAloneIsTheSameLoss) {
  Setting s{140, 600, 26};
  Inputs x = Make(s, compute_);
  Results with = Run(s, x, 0.5f), alone = Run(s, x, 0.5f, false);
  EXPECT_EQ(with.loss, alone.loss);
  EXPECT_EQ(alone.d_weight, x.d_weight);
  EXPECT_EQ(alone.d_bias, x.d_bias);
}

TEST_P(TrainVocabTest, ThreadsChangeNothing) {
  Setting s{300, 1300, 40};
  Inputs x = Make(s, compute_);
  s.threads = 1;
  Results first = Run(s, x, 0.1f);
  for (size_t threads : kThreads) {
    s.threads = threads;
    for (int again = 0; again < 2; again++)
      ASSERT_TRUE(Run(s, x, 0.1f) == first) << threads << " threads";
  }
}

TEST_P(TrainVocabTest, NanIsSeenInTheLoss) {
  Setting s{5, 600, 8};
  Inputs x = Make(s, compute_);
  x.h[2 * s.d] = std::numeric_limits<float>::quiet_NaN();
  Results y = Run(s, x, 1.0f);
  EXPECT_TRUE(std::isnan(y.loss[2]));
  EXPECT_FALSE(std::isnan(y.loss[1]));
  EXPECT_FALSE(std::isnan(y.loss[3]));
}

// The reference's own derivative, in two weights and two activations.
TEST(TrainVocabReference, GradientsAreFiniteDifferences) {
  Setting s{3, 11, 4};
  Inputs x = Make(s, SP_COMPUTE_F32);
  std::vector<double> w = Doubles(x.weight, SP_COMPUTE_F32), h = Doubles(x.h, SP_COMPUTE_F32);
  Exact exact(s, w, h, x);
  auto total = [&] {
    Exact e(s, w, h, x);
    double sum = 0;
    for (double loss : e.loss)
      sum += loss;
    return sum;
  };
  const double step = 1e-5;
  auto difference = [&](double *at) {
    double before = *at;
    *at = before + step;
    double up = total();
    *at = before - step;
    double down = total();
    *at = before;
    return (up - down) / (2 * step);
  };
  for (size_t j = 0; j < s.v; j++) {
    for (size_t i = 0; i < s.d; i++) {
      double want = 0;
      for (size_t r = 0; r < s.rows; r++)
        want += exact.d_logits[r * s.v + j] * h[r * s.d + i];
      EXPECT_TRUE(std::fabs(difference(&w[j * s.d + i]) - want) <= 1e-8);
    }
  }
  for (size_t r = 0; r < s.rows; r++) {
    for (size_t i = 0; i < s.d; i++) {
      double want = 0;
      for (size_t j = 0; j < s.v; j++)
        want += exact.d_logits[r * s.v + j] * w[j * s.d + i];
      EXPECT_TRUE(std::fabs(difference(&h[r * s.d + i]) - want) <= 1e-8);
    }
  }
}

SP_OP_CASES(TrainVocabTest);

}  // namespace
