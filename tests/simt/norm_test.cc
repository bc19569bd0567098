// embed and add_norm against double and the CPU's.
#include <cstring>

#include "simt_op_test.h"

namespace {

using namespace sp_test;

constexpr float kNormEps = 1e-12f;

class NormKernelTest : public SimtOpTest {
 protected:
  void TearDown() override {
    EndStream();
    if (norm_)
      cpu_->norm_destroy(norm_);
    SimtOpTest::TearDown();
  }

  void Make(size_t d, float eps = kNormEps) {
    EndStream();
    if (norm_)
      cpu_->norm_destroy(norm_);
    gamma_ = Random(d, 1.0f, 31);
    beta_ = Random(d, 1.0f, 32);
    ASSERT_EQ(cpu_->norm_create(device_, gamma_.data(), beta_.data(), d, eps, &norm_, &err_),
              SP_OK);
    cuda_ = sp_cuda_norm{gamma_.data(), beta_.data(), d, eps};
    BeginStream();
  }

  // As tests/ops/norm_test.cc: an error of t's sum is a few eps of the largest element, and is
  // divided by sigma.
  std::vector<double> Exact(const std::vector<double> &t, std::vector<double> *bound) const {
    size_t d = cuda_.d;
    std::vector<double> out(t.size());
    bound->resize(t.size());
    for (size_t at = 0; at < t.size(); at += d) {
      double mean = 0, variance = 0, top = 0;
      for (size_t i = at; i < at + d; i++)
        mean += t[i] / static_cast<double>(d);
      for (size_t i = at; i < at + d; i++) {
        variance += std::pow(t[i] - mean, 2) / static_cast<double>(d);
        top = std::max(top, std::fabs(t[i]));
      }
      double sigma = std::sqrt(variance + cuda_.eps), slip = 4 * kEps * top / sigma;
      for (size_t i = at; i < at + d; i++) {
        double x = (t[i] - mean) / sigma, g = std::fabs(gamma_[i - at]);
        out[i] = x * gamma_[i - at] + beta_[i - at];
        (*bound)[i] = (slip * (1 + std::fabs(x) * slip) + 8 * kEps * std::fabs(x)) * g +
                      2 * kEps * std::fabs(beta_[i - at]) + 2 * kEps;
      }
    }
    return out;
  }

  cudaError_t AddNorm(const Bytes &x, const Bytes *residual, const Bytes &res, const Bytes &act) {
    return sp_cuda_add_norm(nullptr, bf16_, &cuda_, x.get(), residual ? residual->get() : nullptr,
                            x.size() / sizeof(float) / cuda_.d, res.get(), act.get());
  }

  // res within what f32 may be off, and twice the CPU's error; act is res, rounded.
  void Check(const Bytes &res, const Bytes &act, const std::vector<double> &exact,
             const std::vector<float> &cpu, const std::vector<double> &bound,
             const std::string &what) {
    std::vector<float> got = ReadRes(res);
    ExpectWithin(got, exact, bound, what);
    ExpectTwiceBaseline(got, exact, {cpu.begin(), cpu.end()}, bound, what);
    ASSERT_TRUE(act == Act(got)) << what;
  }

  void CheckAddNorm(const std::vector<float> &x, const std::vector<float> *residual,
                    const std::string &what) {
    size_t rows = x.size() / cuda_.d;
    std::vector<double> t(x.size()), bound;
    for (size_t i = 0; i < t.size(); i++)
      t[i] = static_cast<double>(x[i]) + (residual ? (*residual)[i] : 0.0f);
    std::vector<double> exact = Exact(t, &bound);
    std::vector<float> cpu(x.size());
    Bytes cpu_act = Act(x.size());
    ASSERT_EQ(cpu_->add_norm(stream_, norm_, x.data(), residual ? residual->data() : nullptr, rows,
                             cpu.data(), bf16_ ? cpu_act.get() : cpu.data(), &err_),
              SP_OK);
    Bytes in = Res(x), add = Res(residual ? *residual : x), res = Res(x.size()),
          act = Act(x.size());
    SP_ASSERT_LAUNCH(AddNorm(in, residual ? &add : nullptr, res, act));
    Check(res, act, exact, cpu, bound, what);
  }

  std::vector<float> gamma_, beta_;
  sp_norm *norm_ = nullptr;
  sp_cuda_norm cuda_{};
};

const size_t kWidths[] = {1,    2,    3,    7,    8,    13,   26,   31,   32,   33,   64,
                          255,  256,  257,  264,  312,  511,  512,  513,  520,  768,  1016,
                          1021, 1024, 1032, 1536, 2040, 2048, 2056, 3072, 4096, 4097, 8192};

TEST_P(NormKernelTest, AddNormMatchesTheReference) {
  for (size_t d : kWidths) {
    Make(d);
    for (size_t rows : {1, 5}) {
      std::vector<float> x = Random(rows * d, 2.0f, 41), residual = Random(rows * d, 3.0f, 42);
      CheckAddNorm(x, &residual, "width " + std::to_string(d));
      CheckAddNorm(x, nullptr, "width " + std::to_string(d) + ", no residual");
    }
  }
}

// E[x^2] - mean^2 would lose all digits here.
TEST_P(NormKernelTest, AFarMeanKeepsItsDigits) {
  for (size_t d : {33, 768, 4096}) {
    Make(d);
    std::vector<float> x = Random(3 * d, 1.0f, 43);
    for (float &v : x)
      v += 1000.0f;
    CheckAddNorm(x, nullptr, "mean 1000");
  }
}

TEST_P(NormKernelTest, AConstantRowGivesBeta) {
  for (size_t d : {33, 768, 4096}) {
    Make(d, 1e-5f);
    Bytes x = Res(std::vector<float>(d, 0.5f)), res = Res(d), act = Act(d);
    SP_ASSERT_LAUNCH(AddNorm(x, nullptr, res, act));
    EXPECT_TRUE(res == Res(beta_));
  }
}

TEST_P(NormKernelTest, OutputsMayBeInputs) {
  for (size_t d : {33, 312, 768, 4096}) {
    Make(d);
    std::vector<float> x = Random(3 * d, 2.0f, 41), residual = Random(3 * d, 3.0f, 42);
    Bytes a = Res(x), b = Res(residual), res = Res(3 * d), act = Act(3 * d);
    SP_ASSERT_LAUNCH(AddNorm(a, &b, res, act));
    Bytes into_x = Res(x), into_residual = Res(residual), other = Act(3 * d);
    SP_ASSERT_LAUNCH(AddNorm(into_x, &b, into_x, bf16_ ? other : into_x));
    EXPECT_TRUE(into_x == res);
    SP_ASSERT_LAUNCH(AddNorm(a, &into_residual, into_residual, other));
    EXPECT_TRUE(into_residual == res);
    EXPECT_TRUE(other == act);
  }
}

// A row alone, in a batch, and with blocks and lanes in another order: the same bits.
TEST_P(NormKernelTest, ARowDependsOnItselfAlone) {
  for (size_t d : {33, 312, 768, 1024, 3072}) {
    Make(d);
    const size_t rows = 11, row_bytes = d * sizeof(float);
    Bytes x = Res(Random(rows * d, 2.0f, 44)), residual = Res(Random(rows * d, 2.0f, 45)),
          res = Res(rows * d), act = Act(rows * d);
    SP_ASSERT_LAUNCH(AddNorm(x, &residual, res, act));
    for (size_t r = 0; r < rows; r++) {
      sp_simt::SetReverse(r % 2);
      Bytes mine = Part(x, r * row_bytes, row_bytes);
      Bytes add = Part(residual, r * row_bytes, row_bytes), out = Res(d), out_act = Act(d);
      SP_ASSERT_LAUNCH(AddNorm(mine, &add, out, out_act));
      ASSERT_TRUE(out == Part(res, r * row_bytes, row_bytes)) << d << ": row " << r;
    }
    sp_simt::SetReverse(false);
  }
}

TEST_P(NormKernelTest, EmbedMatchesTheReference) {
  const size_t v = 11, p = 7, rows = 9;
  for (size_t d : kWidths) {
    Make(d);
    EndStream();
    std::vector<float> words = Random(v * d, 1.0f, 51), positions = Random(p * d, 1.0f, 52),
                       type0 = Random(d, 1.0f, 53), both(p * d);
    sp_embedding *embedding = nullptr;
    ASSERT_EQ(cpu_->embedding_create(device_, words.data(), positions.data(), type0.data(), v, p, d,
                                     &embedding, &err_),
              SP_OK);
    BeginStream();
    for (size_t i = 0; i < p * d; i++)
      both[i] = positions[i] + type0[i % d];
    const std::vector<int32_t> ids = {0, 10, 3, 3, 5, 1, 2, 9, 8};
    const std::vector<uint32_t> at = {0, 6, 1, 2, 0, 1, 2, 3, 4};
    std::vector<double> t(rows * d), bound;
    for (size_t i = 0; i < rows * d; i++) {
      t[i] = static_cast<double>(words[static_cast<size_t>(ids[i / d]) * d + i % d]) +
             both[at[i / d] * d + i % d];
    }
    std::vector<double> exact = Exact(t, &bound);
    std::vector<float> cpu(rows * d);
    Bytes cpu_act = Act(rows * d);
    ASSERT_EQ(cpu_->embed(stream_, embedding, norm_, ids.data(), at.data(), rows, cpu.data(),
                          bf16_ ? cpu_act.get() : cpu.data(), &err_),
              SP_OK);
    Bytes table = Res(words), places = Res(both), res = Res(rows * d), act = Act(rows * d);
    sp_cuda_embedding cuda = {static_cast<const float *>(table.get()),
                              static_cast<const float *>(places.get()), d};
    SP_ASSERT_LAUNCH(sp_cuda_embed(nullptr, bf16_, &cuda, &cuda_, ids.data(), at.data(), rows,
                                   res.get(), act.get()));
    Check(res, act, exact, cpu, bound, "width " + std::to_string(d));
    EndStream();
    cpu_->embedding_destroy(embedding);
  }
}

TEST_P(NormKernelTest, RefusesWhatItCannotRead) {
  Make(32);
  Bytes x = Res(64);
  char *odd = static_cast<char *>(x.get()) + 4;
  EXPECT_EQ(sp_cuda_add_norm(nullptr, bf16_, &cuda_, odd, nullptr, 1, x.get(), x.get()),
            cudaErrorInvalidValue);
  EXPECT_EQ(sp_cuda_add_norm(nullptr, bf16_, &cuda_, x.get(), nullptr, 0, x.get(), x.get()),
            cudaSuccess);
  sp_cuda_embedding other = {static_cast<const float *>(x.get()), nullptr, 31};
  EXPECT_EQ(sp_cuda_embed(nullptr, bf16_, &other, &cuda_, nullptr, nullptr, 1, x.get(), x.get()),
            cudaErrorInvalidValue);
}

SP_SIMT_CASES(NormKernelTest);

}  // namespace
