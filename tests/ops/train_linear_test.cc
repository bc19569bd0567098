// linear of training and its gradients against a double reference, which finite differences hold to be
// right; bit for bit under any number of threads.
#include <algorithm>
#include <numeric>

#include "train_test.h"

namespace {

using namespace sp_test;

struct Setting {
  size_t rows, n, k;
  sp_activation activation = SP_ACT_NONE;
  bool out_f32 = false, d_out_f32 = false, d_in_add = false;
  bool f32_weight = false;  // in a device of any type
  size_t threads = 2;
  std::string Name() const {
    return std::to_string(rows) + "x" + std::to_string(n) + "x" + std::to_string(k) +
           " activation " + std::to_string(activation) + (out_f32 ? " out f32" : "") +
           (d_out_f32 ? " d_out f32" : "") + (d_in_add ? " d_in added" : "") +
           (f32_weight ? " f32 weight" : "");
  }
};

double Slope(sp_activation activation, double x) {
  const double pi = std::acos(-1.0);
  switch (activation) {
    case SP_ACT_GELU_ERF:
      return 0.5 * std::erfc(-x / std::sqrt(2.0)) + x * std::exp(-0.5 * x * x) / std::sqrt(2 * pi);
    case SP_ACT_GELU_TANH: {
      double c = std::sqrt(2 / pi), t = std::tanh(c * (x + 0.044715 * x * x * x));
      return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * c * (1 + 3 * 0.044715 * x * x);
    }
    case SP_ACT_RELU:
      return x > 0 ? 1 : 0;
    case SP_ACT_TANH:
      return 1 - std::tanh(x) * std::tanh(x);
    case SP_ACT_NONE:
      break;
  }
  return 1;
}

// Inputs as the op sees them.
struct Inputs {
  std::vector<float> weight, bias, in, d_out, d_in, d_weight, d_bias;
};

struct Results {
  std::vector<float> pre, out, d_in, d_weight, d_bias;
  bool operator==(const Results &o) const {
    auto same = [](const std::vector<float> &a, const std::vector<float> &b) {
      return a.size() == b.size() &&
             (a.empty() || memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
    };
    return same(pre, o.pre) && same(out, o.out) && same(d_in, o.d_in) &&
           same(d_weight, o.d_weight) && same(d_bias, o.d_bias);
  }
};

class TrainLinearTest : public TrainTest {
 protected:
  sp_compute Type(const Setting &s) const {
    return s.f32_weight ? SP_COMPUTE_F32 : compute_;
  }

  Inputs Make(const Setting &s, uint32_t seed = 1) const {
    sp_compute type = Type(s);
    Inputs x;
    x.weight = Random(s.n * s.k, 1.5f / std::sqrt(static_cast<float>(s.k)), seed);
    x.bias = Random(s.n, 0.5f, seed + 1);
    x.in = RoundedAct(Random(s.rows * s.k, 1.0f, seed + 2), type);
    x.d_out = Random(s.rows * s.n, 1.0f, seed + 3);
    if (!s.d_out_f32)
      x.d_out = RoundedAct(x.d_out, type);
    x.d_in = Random(s.rows * s.k, 2.0f, seed + 4);
    x.d_weight = Random(s.n * s.k, 3.0f, seed + 5);
    x.d_bias = Random(s.n, 3.0f, seed + 6);
    return x;
  }

  // Surplus rows hold NaN: nobody may read them.
  void *TypedRows(const std::vector<float> &v, size_t rows, size_t columns, bool f32) {
    const float nan = std::numeric_limits<float>::quiet_NaN();
    return f32 ? ResRows(v, rows, columns, nan) : ActRows(v, rows, columns, nan);
  }
  std::vector<float> FetchTyped(const void *data, size_t n, bool f32) {
    return f32 ? Fetch<float>(data, n) : FetchAct(data, n);
  }

  Results Run(const Setting &s, const Inputs &x, bool backward = true) {
    sp_train_limits limits{};
    limits.rows = s.rows;
    limits.width = std::max(s.n, s.k);
    limits.threads = s.threads;
    OpenTrainer(limits);
    bool f32 = s.f32_weight || !bf16_;
    sp_train_weight *weight = nullptr;
    EXPECT_EQ(ops_->weight_create(trainer_, Type(s), Put(x.weight), s.n, s.k, &weight, &err_),
              SP_OK)
        << err_.message;
    sp_train_linear_args args{};
    args.weight = weight;
    args.bias = Put(x.bias);
    args.in = TypedRows(x.in, s.rows, s.k, f32);
    args.rows = s.rows;
    args.activation = s.activation;
    if (s.activation != SP_ACT_NONE)
      args.pre = f32 ? ResRows(s.rows, s.n) : ActRows(s.rows, s.n);
    args.out_f32 = s.out_f32;
    args.out = f32 || s.out_f32 ? ResRows(s.rows, s.n) : ActRows(s.rows, s.n);
    EXPECT_EQ(ops_->linear(trainer_, &args, &err_), SP_OK) << err_.message;
    Results y;
    y.out = FetchTyped(args.out, s.rows * s.n, f32 || s.out_f32);
    if (args.pre)
      y.pre = FetchTyped(args.pre, s.rows * s.n, f32);
    if (backward)
      Backward(s, x, args, &y);
    ops_->weight_destroy(weight);
    CloseTrainer();
    FreeMemory();
    return y;
  }

  void Backward(const Setting &s, const Inputs &x, const sp_train_linear_args &forward,
                Results *y) {
    bool f32 = s.f32_weight || !bf16_;
    sp_train_linear_backward_args args{};
    args.weight = forward.weight;
    args.in = forward.in;
    args.pre = forward.pre;
    args.activation = s.activation;
    args.rows = s.rows;
    args.d_out_f32 = s.d_out_f32;
    args.d_out = TypedRows(x.d_out, s.rows, s.n, f32 || s.d_out_f32);
    args.d_in_add = s.d_in_add;
    args.d_in = TypedRows(x.d_in, s.rows, s.k, f32 || s.d_in_add);
    args.d_weight = Put(x.d_weight);
    args.d_bias = Put(x.d_bias);
    EXPECT_EQ(ops_->linear_backward(trainer_, &args, &err_), SP_OK) << err_.message;
    y->d_in = FetchTyped(args.d_in, s.rows * s.k, f32 || s.d_in_add);
    y->d_weight = Fetch<float>(args.d_weight, s.n * s.k);
    y->d_bias = Fetch<float>(args.d_bias, s.n);
  }

  void CheckForward(const Setting &s, const Inputs &x, const Results &y);
  void CheckBackward(const Setting &s, const Inputs &x, const Results &y);
  void Check(const Setting &s) {
    Inputs x = Make(s);
    Results y = Run(s, x);
    CheckForward(s, x, y);
    CheckBackward(s, x, y);
  }
  double Weight(const Setting &s, const Inputs &x, size_t j, size_t i) const {
    return RoundAct(x.weight[j * s.k + i], Type(s));
  }
};

// What f32 sums of so many terms may be off, relative to the terms' magnitudes.
double SumError(size_t terms) {
  return 1.2 * (4 + 2 * std::sqrt(static_cast<double>(terms))) * kEps;
}

void TrainLinearTest::CheckForward(const Setting &s, const Inputs &x, const Results &y) {
  sp_compute type = Type(s);
  std::vector<double> pre(s.rows * s.n), bound(pre.size());
  double rounding = s.out_f32 && s.activation == SP_ACT_NONE ? 0 : RoundingOf(type);
  double inner = type == SP_COMPUTE_F32 ? 0 : ProductRounding();
  for (size_t r = 0; r < s.rows; r++) {
    for (size_t j = 0; j < s.n; j++) {
      double sum = x.bias[j], size = std::fabs(sum);
      for (size_t i = 0; i < s.k; i++) {
        double term = Weight(s, x, j, i) * x.in[r * s.k + i];
        sum += term;
        size += std::fabs(term);
      }
      pre[r * s.n + j] = sum;
      bound[r * s.n + j] = rounding * std::fabs(sum) + SumError(s.k) * size + 1e-7 +
                           inner * std::fabs(x.bias[j]);
    }
  }
  if (s.activation == SP_ACT_NONE) {
    ExpectWithin(y.out, pre, bound, s.Name() + ": out");
    return;
  }
  ExpectWithin(y.pre, pre, bound, s.Name() + ": pre");
  std::vector<double> out(pre.size());
  for (size_t i = 0; i < out.size(); i++) {
    out[i] = Activate(s.activation, y.pre[i]);
    bound[i] = (s.out_f32 ? 4e-7 : RoundingOf(type) + 4e-7) * std::fabs(out[i]) + 4e-7;
  }
  ExpectWithin(y.out, out, bound, s.Name() + ": out of pre");
}

void TrainLinearTest::CheckBackward(const Setting &s, const Inputs &x, const Results &y) {
  double rounding = RoundingOf(Type(s));
  double inner = Type(s) == SP_COMPUTE_F32 ? 0 : ProductRounding();
  std::vector<double> d_pre(s.rows * s.n), slack(d_pre.size());
  for (size_t i = 0; i < d_pre.size(); i++) {
    double slope = s.activation == SP_ACT_NONE ? 1 : Slope(s.activation, y.pre[i]);
    d_pre[i] = x.d_out[i] * slope;
    slack[i] = s.activation == SP_ACT_NONE ? 0 : 1e-6 * std::fabs(x.d_out[i]);
  }
  std::vector<double> d_in(s.rows * s.k), d_in_bound(d_in.size());
  for (size_t r = 0; r < s.rows; r++) {
    for (size_t i = 0; i < s.k; i++) {
      double sum = s.d_in_add ? x.d_in[r * s.k + i] : 0, size = std::fabs(sum), off = 0;
      for (size_t j = 0; j < s.n; j++) {
        double w = Weight(s, x, j, i);
        sum += d_pre[r * s.n + j] * w;
        size += std::fabs(d_pre[r * s.n + j] * w);
        off += (rounding * std::fabs(d_pre[r * s.n + j]) + slack[r * s.n + j]) * std::fabs(w);
      }
      d_in[r * s.k + i] = sum;
      d_in_bound[r * s.k + i] =
          off + SumError(s.n) * size + (s.d_in_add ? 0 : rounding * std::fabs(sum)) + 1e-7;
    }
  }
  ExpectWithin(y.d_in, d_in, d_in_bound, s.Name() + ": d_in");
  std::vector<double> d_weight(s.n * s.k), weight_bound(d_weight.size()), d_bias(s.n),
      bias_bound(s.n);
  for (size_t j = 0; j < s.n; j++) {
    std::vector<double> size(s.k), off(s.k);
    double bias_size = std::fabs(x.d_bias[j]), bias_off = 0;
    d_bias[j] = x.d_bias[j];
    for (size_t i = 0; i < s.k; i++) {
      d_weight[j * s.k + i] = x.d_weight[j * s.k + i];
      size[i] = std::fabs(d_weight[j * s.k + i]);
    }
    for (size_t r = 0; r < s.rows; r++) {
      double d = d_pre[r * s.n + j], e = rounding * std::fabs(d) + slack[r * s.n + j];
      d_bias[j] += d;
      bias_size += std::fabs(d);
      bias_off += slack[r * s.n + j] + inner * std::fabs(d);
      for (size_t i = 0; i < s.k; i++) {
        double in = x.in[r * s.k + i];
        d_weight[j * s.k + i] += d * in;
        size[i] += std::fabs(d * in);
        off[i] += e * std::fabs(in);
      }
    }
    bias_bound[j] = SumError(s.rows) * bias_size + bias_off + 1e-7;
    for (size_t i = 0; i < s.k; i++)
      weight_bound[j * s.k + i] = off[i] + SumError(s.rows) * size[i] + 1e-7;
  }
  ExpectWithin(y.d_weight, d_weight, weight_bound, s.Name() + ": d_weight");
  ExpectWithin(y.d_bias, d_bias, bias_bound, s.Name() + ": d_bias");
}

TEST_P(TrainLinearTest, MatchesTheReference) {
  for (auto [rows, n, k] : std::vector<std::array<size_t, 3>>{{1, 1, 1},
                                                              {1, 2, 31},
                                                              {7, 17, 13},
                                                              {127, 26, 52},
                                                              {128, 64, 65},
                                                              {129, 127, 7},
                                                              {255, 128, 26},
                                                              {257, 129, 97},
                                                              {385, 37, 64},
                                                              {5, 312, 256}}) {
    Setting s{rows, n, k};
    Check(s);
    s.out_f32 = s.d_in_add = true;
    Check(s);
    s.d_out_f32 = true;
    Check(s);
    s.d_in_add = s.out_f32 = false;
    s.activation = SP_ACT_GELU_ERF;
    Check(s);
  }
}

TEST_P(TrainLinearTest, EveryActivation) {
  for (sp_activation activation :
       {SP_ACT_NONE, SP_ACT_GELU_ERF, SP_ACT_GELU_TANH, SP_ACT_RELU, SP_ACT_TANH}) {
    for (bool f32 : {false, true}) {
      Setting s{131, 53, 67, activation};
      s.out_f32 = s.d_out_f32 = s.d_in_add = f32;
      Check(s);
    }
  }
}

// Schedulers and the head of scores are f32 whatever the device's type.
TEST_P(TrainLinearTest, WeightsOfF32) {
  for (sp_activation activation : {SP_ACT_NONE, SP_ACT_GELU_ERF, SP_ACT_TANH}) {
    Setting s{130, 33, 70, activation};
    s.f32_weight = true;
    Check(s);
    s.d_in_add = true;
    Check(s);
  }
}

TEST_P(TrainLinearTest, ThreadsChangeNothing) {
  for (sp_activation activation : {SP_ACT_NONE, SP_ACT_GELU_TANH}) {
    Setting s{700, 300, 72, activation};
    s.d_out_f32 = activation == SP_ACT_NONE;
    s.d_in_add = true;
    Inputs x = Make(s);
    s.threads = 1;
    Results first = Run(s, x);
    for (size_t threads : kThreads) {
      s.threads = threads;
      for (int again = 0; again < 2; again++)
        ASSERT_TRUE(Run(s, x) == first) << threads << " threads, " << s.Name();
    }
  }
}

// A row's forward has the same bits in any place of any number of rows.
TEST_P(TrainLinearTest, RowsDoNotDependOnTheBatch) {
  for (sp_activation activation : {SP_ACT_NONE, SP_ACT_GELU_ERF}) {
    Setting s{600, 256, 101, activation};
    Inputs x = Make(s);
    Results all = Run(s, x, false);
    for (size_t rows : {1, 5, 13, 64, 128, 257}) {
      size_t from = (s.rows - rows) * 3 / 7;
      Setting part = s;
      part.rows = rows;
      Inputs some = x;
      some.in.assign(x.in.begin() + static_cast<ptrdiff_t>(from * s.k),
                     x.in.begin() + static_cast<ptrdiff_t>((from + rows) * s.k));
      Results got = Run(part, some, false);
      ASSERT_EQ(0, memcmp(got.out.data(), all.out.data() + from * s.n, rows * s.n * sizeof(float)))
          << rows << " rows";
    }
  }
}

TEST_P(TrainLinearTest, RefreshReadsTheMasterAgain) {
  Setting s{40, 24, 30};
  Inputs x = Make(s), other = Make(s, 50);
  std::vector<float> want = Run(s, other, false).out;
  sp_train_limits limits{};
  limits.rows = s.rows;
  limits.width = 64;
  OpenTrainer(limits);
  float *master = Put(x.weight);
  sp_train_weight *weight = nullptr;
  ASSERT_EQ(ops_->weight_create(trainer_, compute_, master, s.n, s.k, &weight, &err_), SP_OK);
  ASSERT_EQ(ops_->upload(trainer_, master, other.weight.data(), s.n * s.k * 4, &err_), SP_OK);
  ASSERT_EQ(ops_->weight_refresh(trainer_, weight, &err_), SP_OK) << err_.message;
  sp_train_linear_args args{};
  args.weight = weight;
  args.bias = Put(other.bias);
  args.in = ActRows(other.in, s.rows, s.k);
  args.rows = s.rows;
  args.out = ActRows(s.rows, s.n);
  ASSERT_EQ(ops_->linear(trainer_, &args, &err_), SP_OK) << err_.message;
  EXPECT_EQ(FetchAct(args.out, s.rows * s.n), want);
  ops_->weight_destroy(weight);
}

TEST_P(TrainLinearTest, RefusesWhatTheTrainerHasNoRoomFor) {
  sp_train_limits limits{};
  limits.rows = 100;
  limits.width = 32;
  OpenTrainer(limits);
  std::vector<float> values(64 * 33);
  sp_train_weight *weight = nullptr;
  EXPECT_EQ(ops_->weight_create(trainer_, compute_, Put(values), 64, 33, &weight, &err_),
            SP_EMODEL);
  EXPECT_TRUE(strstr(err_.message, "64x33") || strstr(err_.message, "64 x 33")) << err_.message;
}

// The reference's own derivative.
TEST(TrainLinearReference, SlopesAreFiniteDifferences) {
  for (sp_activation activation :
       {SP_ACT_NONE, SP_ACT_GELU_ERF, SP_ACT_GELU_TANH, SP_ACT_RELU, SP_ACT_TANH}) {
    for (double x = -6.005; x < 6; x += 0.01) {
      const double h = 1e-5;
      double difference = (Activate(activation, x + h) - Activate(activation, x - h)) / (2 * h);
      ASSERT_TRUE(std::fabs(difference - Slope(activation, x)) <= 1e-9)
          << "activation " << activation << " at " << x;
    }
  }
}

SP_OP_CASES(TrainLinearTest);

}  // namespace
