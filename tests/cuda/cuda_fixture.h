// cuda_fixture.h - a fake machine a test, and small models on it.
#ifndef SP_TESTS_CUDA_FIXTURE_H
#define SP_TESTS_CUDA_FIXTURE_H

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "backend.h"
#include "fake_cuda.h"
#include "forward.h"
#include "random_model.h"
#include "scratch.h"

extern "C" const struct sp_backend sp_cuda_backend;

namespace sp_test {

class CudaTest : public ::testing::Test {
 protected:
  void SetUp() override {
    sp_fake_cuda::Reset(options_);
  }
  void TearDown() override {
    EXPECT_EQ(sp_fake_cuda::LiveObjects(), 0u);
    EXPECT_EQ(sp_fake_cuda::LiveBytes(), 0u);
    sp_fake_cuda::Reset({});
  }
  void Restart() {
    sp_fake_cuda::Reset(options_);
  }

  sp_status Open(const char *spec, size_t room = SP_MAX_DEVICES,
                 sp_compute compute = SP_COMPUTE_F32) {
    devices_.assign(SP_MAX_DEVICES, nullptr);
    opened_ = 99;
    err_ = {};
    return cuda_.open(spec, compute, devices_.data(), room, &opened_, &err_);
  }
  void Close() {
    for (size_t i = 0; i < opened_; i++)
      cuda_.close(devices_[i]);
    opened_ = 0;
  }

  const sp_backend &cuda_ = sp_cuda_backend;
  sp_fake_cuda::Options options_;
  std::vector<sp_device *> devices_;
  size_t opened_ = 0;
  sp_error err_{};
};

}  // namespace sp_test
#endif
