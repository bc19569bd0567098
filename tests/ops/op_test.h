// op_test.h - what the op tests share: a device per case, row buffers, and the error criteria.
#ifndef SP_TESTS_OP_TEST_H
#define SP_TESTS_OP_TEST_H

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "backend.h"
#include "bf16.h"

namespace sp_test {

struct Case {
  const char *spec;
  sp_compute compute;
};

// Every set of kernels that the CPU has, in both compute types.
inline std::vector<Case> AllCases() {
  std::vector<Case> cases;
  for (const char *spec : {"", "built-in", "avx2", "baseline"}) {
    cases.push_back({spec, SP_COMPUTE_F32});
    cases.push_back({spec, SP_COMPUTE_BF16});
  }
  return cases;
}

inline std::string CaseName(const ::testing::TestParamInfo<Case> &info) {
  std::string name = *info.param.spec ? info.param.spec : "default";
  for (char &c : name) {
    if (c == '-')
      c = '_';
  }
  return name + (info.param.compute == SP_COMPUTE_F32 ? "_f32" : "_bf16");
}

#define SP_OP_CASES(suite) \
  INSTANTIATE_TEST_SUITE_P(Cpu, suite, ::testing::ValuesIn(sp_test::AllCases()), sp_test::CaseName)

inline float RoundBf16(float x) {
  return sp_bf16_to_f32(sp_bf16_from_f32(x));
}

// What an act element holds of x.
inline float RoundAct(float x, sp_compute compute) {
  return compute == SP_COMPUTE_BF16 ? RoundBf16(x) : x;
}

inline std::vector<float> Random(size_t n, float range, uint32_t seed) {
  std::mt19937 bits(seed);
  std::vector<float> v(n);
  for (float &x : v) {
    x = range * (static_cast<float>(bits() >> 8) * 0x1p-23f - 1.0f);
  }
  return v;
}

inline std::vector<float> RoundedAct(std::vector<float> v, sp_compute compute) {
  for (float &x : v)
    x = RoundAct(x, compute);
  return v;
}

class OpTest : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    const sp_backend *const *list;
    size_t count;
    list = sp_backend_list(&count);
    backend_ = list[0];
    sp_status status = backend_->open(GetParam().spec, GetParam().compute, &device_, &err_);
    if (status == SP_EUSAGE)  // this processor lacks the instruction set of the variant
      GTEST_SKIP() << err_.message;
    ASSERT_EQ(status, SP_OK) << err_.message;
    compute_ = device_->compute;
    bf16_ = compute_ == SP_COMPUTE_BF16;
  }

  void TearDown() override {
    if (!device_)
      return;
    EndStream();
    FreeMemory();
    backend_->close(device_);
  }

  // After the weights of a test are made.
  sp_stream *BeginStream() {
    EndStream();
    EXPECT_EQ(backend_->stream_create(device_, &stream_, &err_), SP_OK) << err_.message;
    return stream_;
  }

  void EndStream() {
    if (stream_)
      backend_->stream_destroy(stream_);
    stream_ = nullptr;
  }

  // What Alloc and the row buffers gave; TearDown does so too.
  void FreeMemory() {
    for (void *data : memory_)
      backend_->free(device_, data);
    memory_.clear();
  }

  void *Alloc(size_t bytes) {
    void *data = nullptr;
    EXPECT_EQ(backend_->alloc(device_, bytes, &data, &err_), SP_OK) << err_.message;
    memory_.push_back(data);
    return data;
  }

  size_t RoundedRows(size_t rows) const {
    size_t q = device_->row_quantum;
    return (rows + q - 1) / q * q;
  }

  // Room for `rows` rows as the contract asks; the surplus holds `poison`.
  void *ActRows(const std::vector<float> &v, size_t rows, size_t columns, float poison = 1e30f) {
    size_t all = RoundedRows(rows) * columns;
    void *data = Alloc(all * device_->act_bytes);
    for (size_t i = 0; i < all; i++)
      SetAct(data, i, i < rows * columns ? v[i] : poison);
    return data;
  }
  void *ActRows(size_t rows, size_t columns) {
    return Alloc(RoundedRows(rows) * columns * device_->act_bytes);
  }
  float *F32Rows(const std::vector<float> &v, size_t rows, size_t columns, float poison = 1e30f) {
    size_t all = RoundedRows(rows) * columns;
    float *data = static_cast<float *>(Alloc(all * sizeof(float)));
    for (size_t i = 0; i < all; i++)
      data[i] = i < rows * columns ? v[i] : poison;
    return data;
  }
  float *F32Rows(size_t rows, size_t columns) {
    return static_cast<float *>(Alloc(RoundedRows(rows) * columns * sizeof(float)));
  }

  void SetAct(void *data, size_t i, float x) const {
    if (bf16_) {
      static_cast<uint16_t *>(data)[i] = sp_bf16_from_f32(x);
    } else {
      static_cast<float *>(data)[i] = x;
    }
  }
  std::vector<float> ReadAct(const void *data, size_t n) const {
    std::vector<float> v(n);
    for (size_t i = 0; i < n; i++) {
      v[i] = bf16_ ? sp_bf16_to_f32(static_cast<const uint16_t *>(data)[i])
                   : static_cast<const float *>(data)[i];
    }
    return v;
  }

  const sp_backend *backend_ = nullptr;
  sp_device *device_ = nullptr;
  sp_stream *stream_ = nullptr;
  sp_compute compute_ = SP_COMPUTE_F32;
  bool bf16_ = false;
  sp_error err_{};

 private:
  std::vector<void *> memory_;
};

// Element by element: |got - want| <= bound; NaN fails.
inline void ExpectWithin(const std::vector<float> &got, const std::vector<double> &want,
                         const std::vector<double> &bound, const std::string &what) {
  ASSERT_EQ(got.size(), want.size()) << what;
  for (size_t i = 0; i < got.size(); i++) {
    if (!(std::fabs(got[i] - want[i]) <= bound[i])) {
      ADD_FAILURE() << what << ": element " << i << " is " << got[i] << ", want " << want[i]
                    << " within " << bound[i];
      return;
    }
  }
}

// Error against `exact` (unrounded inputs) at most twice that of `baseline`, the exact op on
// rounded inputs with a rounded output; in the mean square and in the maximum. `bound` is what f32
// arithmetic may add.
inline void ExpectTwiceBaseline(const std::vector<float> &got, const std::vector<double> &exact,
                                const std::vector<double> &baseline,
                                const std::vector<double> &bound, const std::string &what) {
  ASSERT_EQ(got.size(), exact.size()) << what;
  double ours = 0, theirs = 0, ours_max = 0, theirs_max = 0, slack = 0;
  for (size_t i = 0; i < got.size(); i++) {
    double a = std::fabs(got[i] - exact[i]);
    double b = std::fabs(baseline[i] - exact[i]);
    ASSERT_FALSE(std::isnan(a)) << what << ": element " << i << " is NaN";
    ours += a * a;
    theirs += b * b;
    ours_max = std::max(ours_max, a);
    theirs_max = std::max(theirs_max, b);
    slack = std::max(slack, bound[i]);
  }
  double n = static_cast<double>(got.size());
  EXPECT_TRUE(std::sqrt(ours / n) <= 2 * std::sqrt(theirs / n) + slack)
      << what << ": rms " << std::sqrt(ours / n) << " against " << std::sqrt(theirs / n);
  EXPECT_TRUE(ours_max <= 2 * theirs_max + slack)
      << what << ": maximum " << ours_max << " against " << theirs_max;
}

inline double Activate(sp_activation activation, double x) {
  switch (activation) {
    case SP_ACT_GELU_ERF:
      return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
    case SP_ACT_GELU_TANH:
      return 0.5 * x * (1 + std::tanh(std::sqrt(2 / std::acos(-1.0)) * (x + 0.044715 * x * x * x)));
    case SP_ACT_RELU:
      return x > 0 ? x : 0;
    case SP_ACT_TANH:
      return std::tanh(x);
    case SP_ACT_NONE:
      break;
  }
  return x;
}

constexpr double kEps = 0x1p-24;  // half a unit in the last place of f32, relative

}  // namespace sp_test
#endif
