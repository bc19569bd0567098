// add_norm and its backward of training against a double reference, which finite differences hold to
// be right.
#include "train_test.h"

namespace {

using namespace sp_test;

constexpr float kNormEps = 1e-12f;

struct Norm {
  size_t rows, d;
  std::vector<double> x, gamma, beta, d_y;
};

struct Values {
  std::vector<double> y, mean, rstd, d_s, d_gamma, d_beta;
};

Norm Make(size_t rows, size_t d, uint32_t seed, double shift = 0) {
  auto doubles = [](const std::vector<float> &v) {
    return std::vector<double>(v.begin(), v.end());
  };
  Norm n{rows,
         d,
         doubles(Random(rows * d, 2.0f, seed)),
         doubles(Random(d, 1.0f, seed + 1)),
         doubles(Random(d, 1.0f, seed + 2)),
         doubles(Random(rows * d, 1.0f, seed + 3))};
  for (double &x : n.x)
    x = static_cast<float>(x + shift);
  return n;
}

// Forward and backward of t = x + residual, exact; `bound` is what f32 may be off: an error of t is
// a few eps of its largest element, and is divided by sigma.
Values Exact(const Norm &n, Values *bound) {
  Values v, b;
  size_t d = n.d;
  double width = static_cast<double>(d);
  for (Values *each : {&v, &b}) {
    each->y.resize(n.rows * d);
    each->d_s.resize(n.rows * d);
    each->mean.resize(n.rows);
    each->rstd.resize(n.rows);
    each->d_gamma.assign(d, 0);
    each->d_beta.assign(d, 0);
  }
  for (size_t r = 0; r < n.rows; r++) {
    const double *x = &n.x[r * d], *d_y = &n.d_y[r * d];
    double mean = 0, variance = 0, top = 0;
    for (size_t i = 0; i < d; i++) {
      mean += x[i] / width;
      top = std::max(top, std::fabs(x[i]));
    }
    for (size_t i = 0; i < d; i++)
      variance += (x[i] - mean) * (x[i] - mean) / width;
    double rstd = 1 / std::sqrt(variance + kNormEps), slip = 8 * kEps * top * rstd;
    v.mean[r] = mean;
    v.rstd[r] = rstd;
    b.mean[r] = 8 * kEps * top;
    b.rstd[r] = rstd * (slip + 16 * kEps);
    double g_mean = 0, gn_mean = 0, g_size = 0, gn_size = 0, n_top = 0;
    for (size_t i = 0; i < d; i++) {
      double g = d_y[i] * n.gamma[i], xn = (x[i] - mean) * rstd;
      g_mean += g / width;
      gn_mean += g * xn / width;
      g_size += std::fabs(g) / width;
      gn_size += std::fabs(g * xn) / width;
      n_top = std::max(n_top, std::fabs(xn));
    }
    for (size_t i = 0; i < d; i++) {
      double g = d_y[i] * n.gamma[i], xn = (x[i] - mean) * rstd;
      double xn_b = slip * (1 + std::fabs(xn)) + 8 * kEps * std::fabs(xn);
      v.y[r * d + i] = xn * n.gamma[i] + n.beta[i];
      b.y[r * d + i] = xn_b * std::fabs(n.gamma[i]) + 4 * kEps * (std::fabs(n.beta[i]) + 1);
      v.d_s[r * d + i] = rstd * (g - g_mean - xn * gn_mean);
      double inner = (32 * kEps + slip) * (std::fabs(g) + g_size + std::fabs(xn) * gn_size) +
                     xn_b * gn_size + std::fabs(xn) * g_size * (slip * (1 + n_top) + 8 * kEps);
      b.d_s[r * d + i] = rstd * inner * 2 + 1e-30;
      v.d_gamma[i] += d_y[i] * xn;
      v.d_beta[i] += d_y[i];
      double count = static_cast<double>(n.rows) / 64 + 72;
      b.d_gamma[i] += std::fabs(d_y[i]) * (xn_b + count * kEps * std::fabs(xn));
      b.d_beta[i] += std::fabs(d_y[i]) * count * kEps;
    }
  }
  for (size_t i = 0; i < d; i++) {  // what stood there before is 1 or less
    b.d_gamma[i] += 2 * kEps * (1 + std::fabs(v.d_gamma[i]));
    b.d_beta[i] += 2 * kEps * (1 + std::fabs(v.d_beta[i]));
  }
  *bound = b;
  return v;
}

double Loss(const Norm &n) {
  Values bound, v = Exact(n, &bound);
  double sum = 0;
  for (size_t i = 0; i < v.y.size(); i++)
    sum += v.y[i] * n.d_y[i];
  return sum;
}

TEST(TrainNormReference, FiniteDifferencesAgree) {
  Norm n = Make(3, 7, 3);
  Values bound, v = Exact(n, &bound);
  auto check = [&n](std::vector<double> *x, const std::vector<double> &d, const char *what) {
    for (size_t i = 0; i < x->size(); i++) {
      const double was = (*x)[i], h = 1e-5;
      (*x)[i] = was + h;
      double up = Loss(n);
      (*x)[i] = was - h;
      double slope = (up - Loss(n)) / (2 * h);
      (*x)[i] = was;
      EXPECT_NEAR(d[i], slope, 1e-7) << what << " " << i;
    }
  };
  check(&n.x, v.d_s, "d_s");
  check(&n.gamma, v.d_gamma, "d_gamma");
  check(&n.beta, v.d_beta, "d_beta");
}

class TrainNormTest : public TrainTest {
 protected:
  void Open(size_t rows, size_t d, size_t threads = 2) {
    sp_train_limits limits{};
    limits.rows = rows;
    limits.sequences = limits.length = limits.heads = limits.head_dim = 1;
    limits.width = d;
    limits.threads = threads;
    OpenTrainer(limits);
  }
  float *F32(const std::vector<double> &v) {
    return Put(std::vector<float>(v.begin(), v.end()));
  }
  float *Blank(size_t n) {
    return Put(std::vector<float>(n, NAN));
  }

  sp_train_norm_args Forward(const Norm &n) {
    sp_train_norm_args a{};
    a.x = F32(n.x);
    a.gamma = F32(n.gamma);
    a.beta = F32(n.beta);
    a.eps = kNormEps;
    a.rows = n.rows;
    a.d = n.d;
    a.sum = Blank(n.x.size());
    a.mean = Blank(n.rows);
    a.rstd = Blank(n.rows);
    a.res = Blank(n.x.size());
    a.act = ActRows(n.rows, n.d);
    EXPECT_EQ(ops_->add_norm(trainer_, &a, &err_), SP_OK) << err_.message;
    return a;
  }

  sp_train_norm_backward_args Backward(const Norm &n, const sp_train_norm_args &f) {
    sp_train_norm_backward_args a{};
    a.sum = f.sum;
    a.mean = f.mean;
    a.rstd = f.rstd;
    a.gamma = f.gamma;
    a.rows = n.rows;
    a.d = n.d;
    a.d_y = F32(n.d_y);
    a.d_gamma = Put(std::vector<float>(n.d, 1.0f));
    a.d_beta = Put(std::vector<float>(n.d, -1.0f));
    EXPECT_EQ(ops_->add_norm_backward(trainer_, &a, &err_), SP_OK) << err_.message;
    return a;
  }

  void Check(const Norm &n, const std::string &what) {
    Open(n.rows, n.d);
    Values bound, want = Exact(n, &bound);
    sp_train_norm_args f = Forward(n);
    std::vector<float> y = Fetch<float>(f.res, n.x.size()), act = FetchAct(f.act, n.x.size());
    ExpectWithin(y, want.y, bound.y, what + " y");
    for (size_t i = 0; i < y.size(); i++)
      ASSERT_EQ(act[i], RoundAct(y[i], compute_)) << what << " act " << i;
    ExpectWithin(Fetch<float>(f.sum, n.x.size()), n.x, std::vector<double>(n.x.size()),
                 what + " sum");
    ExpectWithin(Fetch<float>(f.mean, n.rows), want.mean, bound.mean, what + " mean");
    ExpectWithin(Fetch<float>(f.rstd, n.rows), want.rstd, bound.rstd, what + " rstd");
    sp_train_norm_backward_args b = Backward(n, f);
    ExpectWithin(Fetch<float>(b.d_y, n.x.size()), want.d_s, bound.d_s, what + " d_s");
    for (size_t i = 0; i < n.d; i++) {
      want.d_gamma[i] += 1;
      want.d_beta[i] -= 1;
    }
    ExpectWithin(Fetch<float>(b.d_gamma, n.d), want.d_gamma, bound.d_gamma, what + " d_gamma");
    ExpectWithin(Fetch<float>(b.d_beta, n.d), want.d_beta, bound.d_beta, what + " d_beta");
    CloseTrainer();
    FreeMemory();
  }
};

TEST_P(TrainNormTest, WidthsMatchTheReference) {
  for (size_t d : {2, 3, 15, 16, 17, 31, 64, 65, 256, 312, 768, 1021})
    Check(Make(5, d, 41), "width " + std::to_string(d));
}

TEST_P(TrainNormTest, RowCountsMatchTheReference) {
  for (size_t rows : {1, 2, 63, 64, 65, 127, 200})
    Check(Make(rows, 48, 43), "rows " + std::to_string(rows));
}

// E[x^2] - mean^2 would lose all digits here.
TEST_P(TrainNormTest, AFarMeanKeepsItsDigits) {
  Check(Make(3, 768, 45, 1000.0), "mean 1000");
}

TEST_P(TrainNormTest, ResidualIsAddedAndOutputsMayBeInputs) {
  const size_t rows = 70, d = 67;
  Norm n = Make(rows, d, 47);
  Open(rows, d);
  std::vector<float> x(n.x.begin(), n.x.end()), residual = Random(rows * d, 3.0f, 48), sum(x);
  for (size_t i = 0; i < sum.size(); i++)
    sum[i] += residual[i];
  sp_train_norm_args a = Forward({rows, d, {sum.begin(), sum.end()}, n.gamma, n.beta, {}});
  const std::vector<float> want = Fetch<float>(a.res, rows * d);
  a.x = a.sum = Put(x);
  a.residual = Put(residual);
  a.act = nullptr;
  ASSERT_EQ(ops_->add_norm(trainer_, &a, &err_), SP_OK) << err_.message;
  EXPECT_EQ(Fetch<float>(a.sum, rows * d), sum);
  EXPECT_EQ(Fetch<float>(a.res, rows * d), want);
  a.x = Put(x);
  a.res = nullptr;
  a.act = ActRows(rows, d);
  ASSERT_EQ(ops_->add_norm(trainer_, &a, &err_), SP_OK) << err_.message;
  EXPECT_EQ(FetchAct(a.act, rows * d), RoundedAct(want, compute_));
}

TEST_P(TrainNormTest, ANanRowPoisonsItselfAndTheSums) {
  Norm n = Make(3, 20, 49);
  n.x[20] = NAN;
  Open(3, 20);
  sp_train_norm_args f = Forward(n);
  std::vector<float> y = Fetch<float>(f.res, 60);
  sp_train_norm_backward_args b = Backward(n, f);
  std::vector<float> d_s = Fetch<float>(b.d_y, 60), d_gamma = Fetch<float>(b.d_gamma, 20);
  for (size_t i = 0; i < 60; i++) {
    EXPECT_EQ(std::isnan(y[i]), i / 20 == 1) << i;
    EXPECT_EQ(std::isnan(d_s[i]), i / 20 == 1) << i;
    EXPECT_TRUE(std::isnan(d_gamma[i % 20])) << i;
  }
}

TEST_P(TrainNormTest, EqualBitsForAnyNumberOfThreads) {
  if (!IsCpu())
    GTEST_SKIP() << "a device's threads are its own";
  Norm n = Make(333, 200, 51);
  std::vector<float> first[4];
  for (size_t threads : kThreads) {
    Open(n.rows, n.d, threads);
    sp_train_norm_args f = Forward(n);
    std::vector<float> y = Fetch<float>(f.res, n.x.size());
    sp_train_norm_backward_args b = Backward(n, f);
    std::vector<float> all[4] = {y, Fetch<float>(b.d_y, n.x.size()), Fetch<float>(b.d_gamma, n.d),
                                 Fetch<float>(b.d_beta, n.d)};
    for (size_t i = 0; i < 4; i++) {
      if (threads == kThreads[0])
        first[i] = all[i];
      EXPECT_EQ(all[i], first[i]) << threads << " threads, " << i;
    }
  }
}

TEST_P(TrainNormTest, CallsBeyondTheLimitsAreRefused) {
  if (!IsCpu())
    GTEST_SKIP() << "the CPU's scratch";
  Open(4, 8);
  sp_train_norm_args wide{};
  wide.rows = 4;
  wide.d = 9;
  EXPECT_EQ(ops_->add_norm(trainer_, &wide, &err_), SP_EMODEL);
  sp_train_norm_backward_args tall{};
  tall.rows = 5;
  tall.d = 8;
  EXPECT_EQ(ops_->add_norm_backward(trainer_, &tall, &err_), SP_EMODEL);
}

SP_OP_CASES(TrainNormTest);

}  // namespace
