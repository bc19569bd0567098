// Norms, embeddings, sums over rows and the activations of training, against double.
#include "simt_op_test.h"
#include "train_ops.h"

namespace {

using namespace sp_test;

float *F32(const Bytes &data) {
  return static_cast<float *>(data.get());
}

class SimtTrainRows : public SimtOpTest {
 protected:
  void TearDown() override {
    sp_simt::SetReverse(false);
    SimtOpTest::TearDown();
  }
  // Elements that follow `shift` others, for places that are not aligned.
  void *At(const Bytes &data, size_t element) const {
    return static_cast<char *>(data.get()) + element * ActBytes();
  }
};

struct NormProblem {
  size_t rows, d;
  std::vector<float> x, residual, gamma, beta, d_y;
  NormProblem(size_t rows_, size_t d_, float mean)
      : rows(rows_),
        d(d_),
        x(Random(rows * d, 2.0f, 1)),
        residual(Random(rows * d, 2.0f, 2)),
        gamma(Random(d, 1.0f, 3)),
        beta(Random(d, 1.0f, 4)),
        d_y(Random(rows * d, 1.0f, 5)) {
    for (float &v : x)
      v += mean;
  }
};

constexpr float kNormEps = 1e-5f;

struct NormReference {
  std::vector<double> y, mean, rstd, d_s, d_gamma, d_beta;
};

NormReference ExactNorm(const NormProblem &p, bool residual) {
  const double d = static_cast<double>(p.d);
  NormReference to;
  to.d_gamma.resize(p.d);
  to.d_beta.resize(p.d);
  for (size_t r = 0; r < p.rows; r++) {
    std::vector<double> s(p.d), g(p.d);
    double mean = 0, variance = 0, plain = 0, along = 0;
    for (size_t i = 0; i < p.d; i++) { /* s as it is stored */
      s[i] = residual ? p.x[r * p.d + i] + p.residual[r * p.d + i] : p.x[r * p.d + i];
      mean += s[i] / d;
    }
    for (double v : s)
      variance += (v - mean) * (v - mean) / d;
    const double rstd = 1 / std::sqrt(variance + kNormEps);
    for (size_t i = 0; i < p.d; i++) {
      const double dy = p.d_y[r * p.d + i];
      s[i] = (s[i] - mean) * rstd;
      to.y.push_back(s[i] * p.gamma[i] + p.beta[i]);
      g[i] = dy * p.gamma[i];
      plain += g[i] / d;
      along += g[i] * s[i] / d;
      to.d_gamma[i] += dy * s[i];
      to.d_beta[i] += dy;
    }
    for (size_t i = 0; i < p.d; i++)
      to.d_s.push_back(rstd * (g[i] - plain - s[i] * along));
    to.mean.push_back(mean);
    to.rstd.push_back(rstd);
  }
  return to;
}

std::vector<double> Same(size_t n, double bound) {
  return std::vector<double>(n, bound);
}

TEST_P(SimtTrainRows, NormsAndTheirGradients) {
  for (size_t d : {1, 7, 32, 64, 130, 312, 768, 1024, 3072, 4097}) {
    for (float mean : {0.0f, 100.0f}) {
      NormProblem p(d < 500 ? 141 : 3, d, mean);
      const bool residual = d % 2 == 0;
      NormReference want = ExactNorm(p, residual);
      Bytes x = Res(p.x), other = Res(p.residual), gamma = Res(p.gamma), beta = Res(p.beta),
            rstd = Res(p.rows), row_mean = Res(p.rows), res = Res(p.x.size()),
            act = Act(p.x.size()), d_y = Res(p.d_y), d_gamma = Res(Random(d, 1.0f, 6)),
            d_beta = Res(Random(d, 1.0f, 7));
      sp_train_norm_args args{};
      args.x = args.sum = F32(x);
      args.residual = residual ? F32(other) : nullptr;
      args.gamma = F32(gamma);
      args.beta = F32(beta);
      args.eps = kNormEps;
      args.rows = p.rows;
      args.d = d;
      args.mean = F32(row_mean);
      args.rstd = F32(rstd);
      args.res = F32(res);
      args.act = act.get();
      SP_ASSERT_LAUNCH(sp_cuda_train_add_norm(nullptr, bf16_, &args));
      sp_train_norm_backward_args back{};
      back.sum = F32(x);
      back.mean = F32(row_mean);
      back.rstd = F32(rstd);
      back.gamma = F32(gamma);
      back.rows = p.rows;
      back.d = d;
      back.d_y = F32(d_y);
      back.d_gamma = F32(d_gamma);
      back.d_beta = F32(d_beta);
      Bytes scratch(sp_cuda_train_add_norm_backward_scratch_bytes(p.rows, d));
      SP_ASSERT_LAUNCH(sp_cuda_train_add_norm_backward(nullptr, &back, scratch.get()));

      const std::string what = "width " + std::to_string(d) + ", mean " + std::to_string(mean);
      const double far = d == 1 ? 400 : 1 + std::fabs(mean), slip = 3e-6 * far;
      const double rows = static_cast<double>(p.rows);
      ExpectWithin(ReadRes(row_mean), want.mean, Same(p.rows, 2e-6 * far), what + ": mean");
      ExpectWithin(ReadRes(res), want.y, Same(p.x.size(), slip), what + ": y");
      EXPECT_TRUE(act == Act(ReadRes(res))) << what;
      std::vector<double> loose(p.x.size());
      for (size_t i = 0; i < loose.size(); i++)
        loose[i] = 4 * slip * want.rstd[i / d];
      ExpectWithin(ReadRes(d_y), want.d_s, loose, what + ": d_s");
      std::vector<float> gamma0 = Random(d, 1.0f, 6), beta0 = Random(d, 1.0f, 7);
      for (size_t i = 0; i < d; i++) {
        want.d_gamma[i] += gamma0[i];
        want.d_beta[i] += beta0[i];
      }
      ExpectWithin(ReadRes(d_gamma), want.d_gamma, Same(d, slip * rows / 4 + slip), what);
      ExpectWithin(ReadRes(d_beta), want.d_beta, Same(d, 2e-7 * rows + 1e-6), what);
    }
  }
}

TEST_P(SimtTrainRows, ANormAsksForNoMoreThanItsSum) {
  NormProblem p(5, 64, 0);
  Bytes x = Res(p.x), gamma = Res(p.gamma), beta = Res(p.beta), sum = Res(p.x.size()),
        mean = Res(5), rstd = Res(5);
  sp_train_norm_args args{};
  args.x = F32(x);
  args.gamma = F32(gamma);
  args.beta = F32(beta);
  args.rows = 5;
  args.d = 64;
  args.sum = F32(sum);
  args.mean = F32(mean);
  args.rstd = F32(rstd);
  SP_ASSERT_LAUNCH(sp_cuda_train_add_norm(nullptr, bf16_, &args));
  EXPECT_TRUE(sum == x);
}

// The gradient's bits do not depend on the order of threads.
TEST_P(SimtTrainRows, NormGradientsAreRepeatable) {
  NormProblem p(300, 96, 0);
  std::vector<Bytes> got;
  for (bool reverse : {false, true}) {
    sp_simt::SetReverse(reverse);
    Bytes sum = Res(p.x), mean = Res(std::vector<float>(300, 0.1f)),
          rstd = Res(std::vector<float>(300, 0.9f)), gamma = Res(p.gamma), d_y = Res(p.d_y);
    got.push_back(Res(std::vector<float>(2 * 96)));
    sp_train_norm_backward_args back{};
    back.sum = F32(sum);
    back.mean = F32(mean);
    back.rstd = F32(rstd);
    back.gamma = F32(gamma);
    back.rows = 300;
    back.d = 96;
    back.d_y = F32(d_y);
    back.d_gamma = F32(got.back());
    back.d_beta = back.d_gamma + 96;
    Bytes scratch(sp_cuda_train_add_norm_backward_scratch_bytes(300, 96));
    SP_ASSERT_LAUNCH(sp_cuda_train_add_norm_backward(nullptr, &back, scratch.get()));
  }
  EXPECT_TRUE(got[0] == got[1]);
}

TEST_P(SimtTrainRows, EmbedAddsThreeRows) {
  for (size_t d : {1, 30, 64, 312}) {
    std::vector<float> words = Random(9 * d, 1.0f, 1), positions = Random(5 * d, 1.0f, 2),
                       type = Random(d, 1.0f, 3);
    std::vector<int32_t> ids = {8, 0, 3, 3, 1, 7, 2};
    std::vector<uint32_t> at = {0, 1, 2, 3, 4, 0, 1};
    Bytes w = Res(words), p = Res(positions), t = Res(type), x = Res(ids.size() * d);
    sp_train_embed_args args = {F32(w),    F32(p),     F32(t), ids.data(),
                                at.data(), ids.size(), d,      F32(x)};
    SP_ASSERT_LAUNCH(sp_cuda_train_embed(nullptr, &args));
    std::vector<float> got = ReadRes(x);
    for (size_t i = 0; i < got.size(); i++) {
      const size_t word = static_cast<size_t>(ids[i / d]), c = i % d;
      ASSERT_EQ(got[i], (words[word * d + c] + positions[at[i / d] * d + c]) + type[c]) << i;
    }
  }
}

TEST_P(SimtTrainRows, SegmentsAreAddedToTheirTargets) {
  for (size_t d : {1, 31, 64, 300}) {
    for (const std::vector<uint32_t> &lengths :
         std::vector<std::vector<uint32_t>>{{1}, {1, 0, 3, 2}, {700}, {5, 1, 130, 0, 1, 1, 64}}) {
      std::vector<uint32_t> start = {0}, target, row;
      for (uint32_t n : lengths) {
        target.push_back(static_cast<uint32_t>(lengths.size() - target.size()));
        start.push_back(start.back() + n);
      }
      for (uint32_t m = 0; m < start.back(); m++)
        row.push_back(m * 7 % 50);
      std::vector<float> from = Random(50 * d, 1.0f, 4),
                         before = Random((lengths.size() + 1) * d, 1.0f, 5);
      std::vector<double> want(before.begin(), before.end());
      for (size_t g = 0; g < lengths.size(); g++) {
        for (size_t m = start[g]; m < start[g + 1]; m++) {
          for (size_t c = 0; c < d; c++)
            want[target[g] * d + c] += from[row[m] * d + c];
        }
      }
      Bytes rows = Res(from);
      std::vector<Bytes> to;
      for (bool reverse : {false, true}) {
        sp_simt::SetReverse(reverse);
        to.push_back(Res(before));
        sp_train_segment_args args = {
            F32(rows),  row.data(), start.data(),  target.data(), lengths.size(),
            row.size(), d,          F32(to.back())};
        SP_ASSERT_LAUNCH(sp_cuda_train_segment_add(nullptr, &args));
      }
      EXPECT_TRUE(to[0] == to[1]) << "threads reversed";
      ExpectWithin(ReadRes(to[0]), want, Same(want.size(), 1e-6 + 1e-7 * start.back()),
                   std::to_string(d));
    }
  }
}

TEST_P(SimtTrainRows, ColumnsAreSummed) {
  for (size_t n : {1, 8, 33, 264, 520}) {
    for (size_t rows : {1, 7, 128, 129, 400}) {
      for (size_t gap : {0, 8, 3}) {
        const size_t pitch = n + gap;
        std::vector<float> v = Rounded(Random(rows * pitch, 1.0f, 8)), before = Random(n, 1.0f, 9);
        std::vector<double> want(before.begin(), before.end());
        for (size_t i = 0; i < rows * pitch; i++) {
          if (i % pitch < n) {
            want[i % pitch] += v[i];
          } else {
            v[i] = NAN;
          }
        }
        Bytes values = Act(v), sum = Res(before), again = Res(before),
              scratch(sp_cuda_train_column_sum_scratch_bytes(rows, n));
        SP_ASSERT_LAUNCH(sp_cuda_train_column_sum(nullptr, bf16_, values.get(), rows, n, pitch,
                                                  F32(sum), scratch.get()));
        ExpectWithin(ReadRes(sum), want, Same(n, 1e-6 + 1e-7 * static_cast<double>(rows)),
                     std::to_string(rows) + " rows of " + std::to_string(n));
        sp_simt::SetReverse(true);
        SP_ASSERT_LAUNCH(sp_cuda_train_column_sum(nullptr, bf16_, values.get(), rows, n, pitch,
                                                  F32(again), scratch.get()));
        sp_simt::SetReverse(false);
        EXPECT_TRUE(sum == again);
      }
    }
  }
}

double Activated(sp_activation activation, double x) {
  const double u = std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x);
  return activation == SP_ACT_GELU_ERF    ? 0.5 * x * std::erfc(-x / std::sqrt(2.0))
         : activation == SP_ACT_GELU_TANH ? 0.5 * x * (1 + std::tanh(u))
         : activation == SP_ACT_RELU      ? std::max(x, 0.0)
         : activation == SP_ACT_TANH      ? std::tanh(x)
                                          : x;
}

double Slope(sp_activation activation, double x) {
  const double h = 1e-5;
  if (activation == SP_ACT_RELU)
    return x > 0;
  return (Activated(activation, x + h) - Activated(activation, x - h)) / (2 * h);
}

const sp_activation kActivations[] = {SP_ACT_GELU_ERF, SP_ACT_GELU_TANH, SP_ACT_RELU, SP_ACT_TANH,
                                      SP_ACT_NONE};

TEST_P(SimtTrainRows, ActivationsKeepWhatTheyRead) {
  for (size_t n : {1, 30, 64, 520}) {
    for (sp_activation activation : kActivations) {
      for (bool out_f32 : {true, false}) {
        const size_t rows = 5;
        std::vector<float> v = Rounded(Random(rows * n, 6.0f, 10)), add = Random(n, 2.0f, 11);
        for (bool with : {false, true}) {
          const float *bias = with ? add.data() : nullptr;
          Bytes pre = Act(v), out(rows * n * (out_f32 ? 4 : ActBytes()));
          SP_ASSERT_LAUNCH(sp_cuda_train_activate(nullptr, bf16_, bias, activation, pre.get(), rows,
                                                  n, out.get(), out_f32));
          std::vector<float> kept = Read(pre), got = out_f32 ? ReadRes(out) : Read(out);
          for (size_t i = 0; i < v.size(); i++) {
            ASSERT_EQ(kept[i], RoundAct(bias ? v[i] + add[i % n] : v[i], GetParam()));
            double want = Activated(activation, kept[i]);
            ASSERT_TRUE(std::fabs(got[i] - want) <= 2e-6 + (out_f32 ? 0 : 1.01 * Storing(want)))
                << activation << " of " << kept[i] << ": " << got[i];
          }
        }
      }
    }
  }
}

TEST_P(SimtTrainRows, ActivationsGoBack) {
  for (size_t n : {1, 30, 64, 520}) {
    for (sp_activation activation : kActivations) {
      for (bool f32 : {true, false}) {
        const size_t rows = 5;
        std::vector<float> x = Rounded(Random(rows * n, 6.0f, 12)), d = Random(rows * n, 1.0f, 13);
        if (!f32)
          d = Rounded(d);
        Bytes pre = Act(x), d_out = f32 ? Res(d) : Act(d), d_pre = Act(x.size());
        SP_ASSERT_LAUNCH(sp_cuda_train_activate_backward(
            nullptr, bf16_, activation, activation == SP_ACT_NONE ? nullptr : pre.get(),
            d_out.get(), f32, rows, n, d_pre.get()));
        std::vector<float> got = Read(d_pre);
        for (size_t i = 0; i < x.size(); i++) {
          double want = d[i] * Slope(activation, x[i]);
          ASSERT_TRUE(std::fabs(got[i] - want) <= 2e-6 + 1.01 * Storing(want))
              << activation << "' of " << x[i] << ": " << got[i] << ", want " << want;
        }
      }
    }
  }
}

// Far from 0 slopes are 0 or 1, and not NaN.
TEST_P(SimtTrainRows, SlopesOfHugeValues) {
  const std::vector<float> x = {-1e30f, -3e4f, -60.0f, 60.0f, 3e4f, 1e30f};
  for (sp_activation activation : {SP_ACT_GELU_ERF, SP_ACT_GELU_TANH, SP_ACT_RELU}) {
    Bytes pre = Act(x), d = Act(std::vector<float>(6, 1.0f)), d_pre = Act(6);
    SP_ASSERT_LAUNCH(sp_cuda_train_activate_backward(nullptr, bf16_, activation, pre.get(), d.get(),
                                                     !bf16_, 1, 6, d_pre.get()));
    EXPECT_EQ(Read(d_pre), (std::vector<float>{0, 0, 0, 1, 1, 1})) << activation;
  }
}

TEST_P(SimtTrainRows, NothingIsNoLaunch) {
  sp_train_norm_args norm{};
  sp_train_norm_backward_args back{};
  sp_train_embed_args embed{};
  sp_train_segment_args segment{};
  EXPECT_EQ(sp_cuda_train_add_norm(nullptr, bf16_, &norm), cudaSuccess);
  EXPECT_EQ(sp_cuda_train_add_norm_backward(nullptr, &back, nullptr), cudaSuccess);
  EXPECT_EQ(sp_cuda_train_embed(nullptr, &embed), cudaSuccess);
  EXPECT_EQ(sp_cuda_train_segment_add(nullptr, &segment), cudaSuccess);
  EXPECT_EQ(sp_cuda_train_column_sum(nullptr, bf16_, nullptr, 0, 3, 3, nullptr, nullptr),
            cudaSuccess);
  EXPECT_EQ(sp_cuda_train_column_sum(nullptr, bf16_, nullptr, 1, 3, 2, nullptr, nullptr),
            cudaErrorInvalidValue);
  EXPECT_EQ(sp_cuda_train_activate_backward(nullptr, bf16_, SP_ACT_TANH, nullptr, nullptr, false, 1,
                                            1, nullptr),
            cudaErrorInvalidValue);
}

SP_SIMT_CASES(SimtTrainRows);

}  // namespace
