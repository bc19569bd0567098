// op_test.h - what the op tests share: a device per case, row buffers, and the error criteria.
//
// The tests are of the backend that test_device.cc names, whose programs link the same objects: here
// "cpu", in tests/gpu and tests/cuda "cuda". What they hand to ops lies in the device's memory: Put and
// Rows bring it there, Get and Read back, after all that was queued.
#ifndef SP_TESTS_OP_TEST_H
#define SP_TESTS_OP_TEST_H

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "backend.h"
#include "bf16.h"

namespace sp_test {

extern const char kTestDevice[];  // "cpu" or "cuda"
extern const bool kSlowDevice;    // on the emulator, whose products are plain loops

struct Case {
  const char *spec;
  sp_compute compute;
};

// Every set of kernels that the CPU has, in both compute types; of another device the first.
inline std::vector<Case> AllCases() {
  std::vector<Case> cases;
  const bool cpu = std::string(kTestDevice) == "cpu";
  for (const char *spec :
       cpu ? std::vector<const char *>{"", "built-in", "avx512", "avx2", "baseline"}
           : std::vector<const char *>{""}) {
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

#define SP_OP_CASES(suite)                                                          \
  INSTANTIATE_TEST_SUITE_P(Device, suite, ::testing::ValuesIn(sp_test::AllCases()), \
                           sp_test::CaseName)

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
    const char *ignored;
    size_t opened = 0;
    ASSERT_EQ(sp_backend_find(kTestDevice, &backend_, &ignored, &err_), SP_OK) << err_.message;
    sp_status status =
        backend_->open(GetParam().spec, GetParam().compute, &device_, 1, &opened, &err_);
    if (status == SP_EUSAGE)  // this processor lacks the instruction set of the variant
      GTEST_SKIP() << err_.message;
    char line[1][SP_DEVICE_LINE];
    if (status != SP_OK && backend_->list(line, 1) == 0)
      GTEST_SKIP() << err_.message;
    ASSERT_EQ(status, SP_OK) << err_.message;
    compute_ = device_->compute;
    bf16_ = compute_ == SP_COMPUTE_BF16;
  }

  void TearDown() override {
    if (!device_)
      return;
    EndStream();
    if (copies_)
      backend_->stream_destroy(copies_);
    FreeMemory();
    backend_->close(device_);
  }

  bool IsCpu() const {
    return std::string(backend_->name) == "cpu";
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

  // Copies of host arrays on the device, and back; on the CPU without a byte to spare, for the
  // address sanitizer.
  template <typename T>
  T *Put(const std::vector<T> &v) {
    size_t bytes = v.size() * sizeof(T);
    if (device_->host_memory) {
      arrays_.push_back(std::make_unique<char[]>(bytes));
      if (bytes > 0)
        memcpy(arrays_.back().get(), v.data(), bytes);
      return reinterpret_cast<T *>(arrays_.back().get());
    }
    void *data = Alloc(bytes);
    Upload(data, v.data(), bytes);
    return static_cast<T *>(data);
  }
  template <typename T>
  std::vector<T> Get(const void *data, size_t n) {
    std::vector<T> v(n);
    Finish();
    EXPECT_EQ(backend_->download(Copies(), v.data(), data, n * sizeof(T), &err_), SP_OK)
        << err_.message;
    EXPECT_EQ(backend_->finish(Copies(), &err_), SP_OK) << err_.message;
    return v;
  }
  void Finish() {
    if (stream_) {
      EXPECT_EQ(backend_->finish(stream_, &err_), SP_OK) << err_.message;
    }
  }

  size_t RoundedRows(size_t rows) const {
    size_t q = device_->row_quantum;
    return (rows + q - 1) / q * q;
  }

  // Room for `rows` rows as the contract asks; the surplus holds `poison`.
  void *ActRows(const std::vector<float> &v, size_t rows, size_t columns, float poison = 1e30f) {
    return Rows(v, rows, columns, poison, device_->act_bytes);
  }
  void *ActRows(size_t rows, size_t columns) {
    return Alloc(RoundedRows(rows) * columns * device_->act_bytes);
  }
  void *ResRows(const std::vector<float> &v, size_t rows, size_t columns, float poison = 1e30f) {
    return Rows(v, rows, columns, poison, device_->res_bytes);
  }
  void *ResRows(size_t rows, size_t columns) {
    return Alloc(RoundedRows(rows) * columns * device_->res_bytes);
  }
  std::vector<float> ReadAct(const void *data, size_t n) {
    return Read(data, n, device_->act_bytes);
  }
  std::vector<float> ReadRes(const void *data, size_t n) {
    return Read(data, n, device_->res_bytes);
  }

  const sp_backend *backend_ = nullptr;
  sp_device *device_ = nullptr;
  sp_stream *stream_ = nullptr;
  sp_compute compute_ = SP_COMPUTE_F32;
  bool bf16_ = false;
  sp_error err_{};

 private:
  // A stream of its own: a test's is made after its weights.
  sp_stream *Copies() {
    if (!copies_) {
      EXPECT_EQ(backend_->stream_create(device_, &copies_, &err_), SP_OK) << err_.message;
    }
    return copies_;
  }
  void Upload(void *to, const void *from, size_t bytes) {
    EXPECT_EQ(backend_->upload(Copies(), to, from, bytes, &err_), SP_OK) << err_.message;
    EXPECT_EQ(backend_->finish(Copies(), &err_), SP_OK) << err_.message;
  }
  void *Rows(const std::vector<float> &v, size_t rows, size_t columns, float poison,
             size_t element) {
    size_t all = RoundedRows(rows) * columns;
    std::vector<char> host(all * element);
    for (size_t i = 0; i < all; i++) {
      float x = i < rows * columns ? v[i] : poison;
      uint16_t half = sp_bf16_from_f32(x);
      memcpy(&host[i * element], element == 2 ? static_cast<void *>(&half) : &x, element);
    }
    void *data = Alloc(host.size());
    Upload(data, host.data(), host.size());
    return data;
  }
  std::vector<float> Read(const void *data, size_t n, size_t element) {
    if (element == sizeof(float))
      return Get<float>(data, n);
    std::vector<float> v(n);
    std::vector<uint16_t> halves = Get<uint16_t>(data, n);
    for (size_t i = 0; i < n; i++)
      v[i] = sp_bf16_to_f32(halves[i]);
    return v;
  }

  sp_stream *copies_ = nullptr;
  std::vector<void *> memory_;
  std::vector<std::unique_ptr<char[]>> arrays_;
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
