// add_norm and embed against a double reference.
#include <cstring>

#include "op_test.h"

namespace {

using namespace sp_test;

constexpr float kNormEps = 1e-12f;

class NormTest : public OpTest {
 protected:
  sp_norm *Make(size_t d, float eps = kNormEps) {
    gamma_ = Random(d, 1.0f, 31);
    beta_ = Random(d, 1.0f, 32);
    sp_norm *norm = nullptr;
    EXPECT_EQ(backend_->norm_create(device_, gamma_.data(), beta_.data(), d, eps, &norm, &err_),
              SP_OK);
    return norm;
  }

  // The rows' results, and what f32 may be off: an error of the sum t is a few eps of the largest
  // element, and is divided by sigma.
  std::vector<double> Exact(const std::vector<double> &t, size_t rows, size_t d, double eps,
                            std::vector<double> *bound) {
    std::vector<double> out(rows * d);
    bound->resize(rows * d);
    for (size_t r = 0; r < rows; r++) {
      double mean = 0, variance = 0, top = 0;
      for (size_t i = 0; i < d; i++)
        mean += t[r * d + i] / static_cast<double>(d);
      for (size_t i = 0; i < d; i++) {
        variance += std::pow(t[r * d + i] - mean, 2) / static_cast<double>(d);
        top = std::max(top, std::fabs(t[r * d + i]));
      }
      double sigma = std::sqrt(variance + eps);
      double slip = 4 * kEps * top / sigma;
      for (size_t i = 0; i < d; i++) {
        double x = (t[r * d + i] - mean) / sigma;
        out[r * d + i] = x * gamma_[i] + beta_[i];
        (*bound)[r * d + i] =
            (slip * (1 + std::fabs(x) * slip) + 8 * kEps * std::fabs(x)) * std::fabs(gamma_[i]) +
            2 * kEps * std::fabs(beta_[i]) + 2 * kEps;
      }
    }
    return out;
  }

  void CheckOutputs(const void *res, const void *act, const std::vector<double> &want,
                    const std::vector<double> &bound, const std::string &what) {
    std::vector<float> got = ReadRes(res, want.size());
    ExpectWithin(got, want, bound, what);
    std::vector<float> acts = ReadAct(act, want.size());
    for (size_t i = 0; i < want.size(); i++) {
      ASSERT_EQ(acts[i], RoundAct(got[i], compute_)) << what << " act " << i;
    }
  }

  std::vector<float> gamma_, beta_;
};

TEST_P(NormTest, AddNormMatchesTheReference) {
  for (size_t d : {2, 3, 15, 16, 17, 31, 64, 65, 256, 312, 768, 1021}) {
    sp_norm *norm = Make(d);
    sp_stream *stream = BeginStream();
    size_t rows = 5;
    std::vector<float> x = Random(rows * d, 2.0f, 41), residual = Random(rows * d, 3.0f, 42);
    void *x_rows = ResRows(x, rows, d), *residual_rows = ResRows(residual, rows, d);
    for (bool with : {true, false}) {
      void *res = ResRows(rows, d);
      void *act = ActRows(rows, d);
      ASSERT_EQ(backend_->add_norm(stream, norm, x_rows, with ? residual_rows : nullptr, rows, res,
                                   act, &err_),
                SP_OK);
      std::vector<double> t(rows * d), bound;
      for (size_t i = 0; i < t.size(); i++) {
        t[i] = static_cast<double>(x[i]) + (with ? residual[i] : 0.0f);
      }
      std::vector<double> want = Exact(t, rows, d, kNormEps, &bound);
      CheckOutputs(res, act, want, bound, "width " + std::to_string(d));
    }
    EndStream();
    backend_->norm_destroy(norm);
  }
}

// E[x^2] - mean^2 would lose all digits here.
TEST_P(NormTest, AFarMeanKeepsItsDigits) {
  size_t d = 768;
  sp_norm *norm = Make(d);
  sp_stream *stream = BeginStream();
  std::vector<float> x = Random(d, 1.0f, 43);
  for (float &v : x)
    v += 1000.0f;
  std::vector<double> t(x.begin(), x.end()), bound;
  void *res = ResRows(1, d);
  void *act = ActRows(1, d);
  ASSERT_EQ(backend_->add_norm(stream, norm, ResRows(x, 1, d), nullptr, 1, res, act, &err_), SP_OK);
  std::vector<double> want = Exact(t, 1, d, kNormEps, &bound);
  CheckOutputs(res, act, want, bound, "mean 1000");
  EndStream();
  backend_->norm_destroy(norm);
}

TEST_P(NormTest, AConstantRowGivesBeta) {
  size_t d = 33;
  sp_norm *norm = Make(d, 1e-5f);
  sp_stream *stream = BeginStream();
  std::vector<float> x(d, 0.5f);
  void *res = ResRows(1, d);
  void *act = ActRows(1, d);
  ASSERT_EQ(backend_->add_norm(stream, norm, ResRows(x, 1, d), nullptr, 1, res, act, &err_), SP_OK);
  std::vector<float> got = ReadRes(res, d);
  for (size_t i = 0; i < d; i++)
    ASSERT_EQ(got[i], beta_[i]);
  EndStream();
  backend_->norm_destroy(norm);
}

TEST_P(NormTest, OutputsMayBeInputs) {
  size_t d = 67, rows = 3;
  sp_norm *norm = Make(d);
  sp_stream *stream = BeginStream();
  std::vector<float> x = Random(rows * d, 2.0f, 41), residual = Random(rows * d, 3.0f, 42);
  void *res = ResRows(rows, d), *act = ActRows(rows, d);
  ASSERT_EQ(backend_->add_norm(stream, norm, ResRows(x, rows, d), ResRows(residual, rows, d), rows,
                               res, act, &err_),
            SP_OK);
  const std::vector<float> want = ReadRes(res, rows * d);
  for (bool into_x : {true, false}) {
    void *a = ResRows(x, rows, d), *b = ResRows(residual, rows, d);
    void *to = into_x ? a : b;
    bool shared = device_->act_bytes == device_->res_bytes;
    ASSERT_EQ(backend_->add_norm(stream, norm, a, b, rows, to, shared ? to : act, &err_), SP_OK);
    ASSERT_EQ(ReadRes(to, rows * d), want);
  }
  EndStream();
  backend_->norm_destroy(norm);
}

TEST_P(NormTest, EmbedMatchesTheReference) {
  const size_t v = 11, p = 7, rows = 9;
  for (size_t d : {2, 17, 32, 312}) {
    sp_norm *norm = Make(d);
    std::vector<float> words = Random(v * d, 1.0f, 51), positions = Random(p * d, 1.0f, 52),
                       type0 = Random(d, 1.0f, 53);
    sp_embedding *embedding = nullptr;
    ASSERT_EQ(backend_->embedding_create(device_, words.data(), positions.data(), type0.data(), v,
                                         p, d, &embedding, &err_),
              SP_OK);
    sp_stream *stream = BeginStream();
    std::vector<int32_t> ids = {0, 10, 3, 3, 5, 1, 2, 9, 8};
    std::vector<uint32_t> at = {0, 6, 1, 2, 0, 1, 2, 3, 4};
    void *res = ResRows(rows, d);
    void *act = ActRows(rows, d);
    ASSERT_EQ(backend_->embed(stream, embedding, norm, Put(ids), Put(at), rows, res, act, &err_),
              SP_OK);
    std::vector<double> t(rows * d), bound;
    for (size_t r = 0; r < rows; r++) {
      for (size_t i = 0; i < d; i++) {
        t[r * d + i] = static_cast<double>(words[static_cast<size_t>(ids[r]) * d + i]) +
                       positions[at[r] * d + i] + type0[i];
      }
    }
    std::vector<double> want = Exact(t, rows, d, kNormEps, &bound);
    // Two columns can be nearly equal: both sums' rounding is then large against sigma.
    CheckOutputs(res, act, want, bound, "width " + std::to_string(d));
    EndStream();
    backend_->embedding_destroy(embedding);
    backend_->norm_destroy(norm);
  }
}

SP_OP_CASES(NormTest);

}  // namespace
