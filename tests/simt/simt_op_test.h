// simt_op_test.h - what the kernels' tests share: both types, buffers that the address sanitizer
// guards to the byte, and the CPU backend as the oracle.
#ifndef SP_TESTS_SIMT_OP_TEST_H
#define SP_TESTS_SIMT_OP_TEST_H

#include <memory>

#include "op_test.h"
#include "ops.h"
#include "simt_host.h"

namespace sp_test {

#define SP_ASSERT_LAUNCH(call) ASSERT_EQ((call), cudaSuccess) << sp_simt::Failure()

// Bytes of "device" memory, 64-byte aligned: nothing but the sanitizer's guard behind the last.
class Bytes {
 public:
  explicit Bytes(size_t bytes) : data_(static_cast<unsigned char *>(Aligned(bytes))), size_(bytes) {
    memset(data_.get(), 0xa5, bytes);
  }
  void *get() const {
    return data_.get();
  }
  size_t size() const {
    return size_;
  }
  bool operator==(const Bytes &other) const {
    return size_ == other.size_ && memcmp(get(), other.get(), size_) == 0;
  }

 private:
  static void *Aligned(size_t bytes) {
    void *data = nullptr;
    return posix_memalign(&data, 64, bytes ? bytes : 1) == 0 ? data : nullptr;
  }
  struct Free {
    void operator()(unsigned char *data) const {
      free(data);
    }
  };
  std::unique_ptr<unsigned char, Free> data_;
  size_t size_;
};

// The parameter: the compute type of the kernels and of the CPU's device.
class SimtOpTest : public ::testing::TestWithParam<sp_compute> {
 protected:
  void SetUp() override {
    size_t count, opened = 0;
    cpu_ = sp_backend_list(&count)[0];
    bf16_ = GetParam() == SP_COMPUTE_BF16;
    ASSERT_EQ(cpu_->open("", GetParam(), &device_, 1, &opened, &err_), SP_OK) << err_.message;
    sp_simt::ClearFailure();
  }
  void TearDown() override {
    sp_simt::SetReverse(false);
    EndStream();
    if (device_)
      cpu_->close(device_);
  }

  // The CPU's; after the weights of a test are made.
  sp_stream *BeginStream() {
    EndStream();
    EXPECT_EQ(cpu_->stream_create(device_, &stream_, &err_), SP_OK) << err_.message;
    return stream_;
  }
  void EndStream() {
    if (stream_)
      cpu_->stream_destroy(stream_);
    stream_ = nullptr;
  }

  size_t ActBytes() const {
    return bf16_ ? 2 : 4;
  }
  // Act elements with these values.
  Bytes Act(const std::vector<float> &v) const {
    Bytes data(v.size() * ActBytes());
    for (size_t i = 0; i < v.size(); i++) {
      if (bf16_) {
        static_cast<uint16_t *>(data.get())[i] = sp_bf16_from_f32(v[i]);
      } else {
        static_cast<float *>(data.get())[i] = v[i];
      }
    }
    return data;
  }
  Bytes Act(size_t n) const {
    return Bytes(n * ActBytes());
  }
  // Elements of the residual stream.
  static Bytes Res(const std::vector<float> &v) {
    Bytes data(v.size() * sizeof(float));
    if (!v.empty()) /* memcpy takes no null pointer */
      memcpy(data.get(), v.data(), data.size());
    return data;
  }
  static Bytes Res(size_t n) {
    return Bytes(n * sizeof(float));
  }
  static std::vector<float> ReadRes(const Bytes &data) {
    const float *v = static_cast<const float *>(data.get());
    return {v, v + data.size() / sizeof(float)};
  }
  std::vector<float> Read(const Bytes &data) const {
    std::vector<float> v(data.size() / ActBytes());
    for (size_t i = 0; i < v.size(); i++) {
      v[i] = bf16_ ? sp_bf16_to_f32(static_cast<const uint16_t *>(data.get())[i])
                   : static_cast<const float *>(data.get())[i];
    }
    return v;
  }
  std::vector<float> Rounded(const std::vector<float> &v) const {
    return RoundedAct(v, GetParam());
  }
  // `count` bytes from byte `from` on, on their own.
  static Bytes Part(const Bytes &data, size_t from, size_t count) {
    Bytes part(count);
    memcpy(part.get(), static_cast<const char *>(data.get()) + from, count);
    return part;
  }

  // What storing x as an act element may be off.
  double Storing(double x) const {
    return bf16_ ? std::ldexp(1.0, std::max(std::ilogb(x == 0 ? 1e-38 : x), -126) - 8) : 0;
  }
  // Within `bound` (what f32 arithmetic may add) and the rounding of the output; and within twice
  // the error of the CPU's op, rounded alike.
  void Expect(const std::vector<float> &got, const std::vector<double> &exact,
              const std::vector<float> &cpu, const std::vector<double> &bound,
              const std::string &what) const {
    std::vector<double> whole(bound), baseline(cpu.size());
    for (size_t i = 0; i < whole.size(); i++)
      whole[i] += Storing(exact[i]) * 1.01;
    for (size_t i = 0; i < baseline.size(); i++)
      baseline[i] = RoundAct(cpu[i], GetParam());
    ExpectWithin(got, exact, whole, what);
    ExpectTwiceBaseline(got, exact, baseline, bound, what);
  }

  const sp_backend *cpu_ = nullptr;
  sp_device *device_ = nullptr;
  sp_stream *stream_ = nullptr;
  bool bf16_ = false;
  sp_error err_{};
};

inline std::string SimtCaseName(const ::testing::TestParamInfo<sp_compute> &info) {
  return info.param == SP_COMPUTE_F32 ? "f32" : "bf16";
}

#define SP_SIMT_CASES(suite)                                                                   \
  INSTANTIATE_TEST_SUITE_P(Kernels, suite, ::testing::Values(SP_COMPUTE_F32, SP_COMPUTE_BF16), \
                           sp_test::SimtCaseName)

}  // namespace sp_test
#endif
