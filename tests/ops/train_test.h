// train_test.h - what the tests of a trainer's ops share: a trainer of the case's device.
//
// A device without training is skipped, the CPU never.
#ifndef SP_TESTS_TRAIN_TEST_H
#define SP_TESTS_TRAIN_TEST_H

#include "op_test.h"
#include "train.h"

namespace sp_test {

class TrainTest : public OpTest {
 protected:
  void SetUp() override {
    OpTest::SetUp();
    if (!device_)
      return;
    ops_ = backend_->train;
    if (!ops_ && !IsCpu())
      GTEST_SKIP() << "this device does not train";
    ASSERT_NE(ops_, nullptr);
  }

  void TearDown() override {
    CloseTrainer();
    OpTest::TearDown();
  }

  void OpenTrainer(const sp_train_limits &limits) {
    CloseTrainer();
    ASSERT_EQ(ops_->open(device_, &limits, &trainer_, &err_), SP_OK) << err_.message;
  }

  void CloseTrainer() {
    if (trainer_)
      ops_->close(trainer_);
    trainer_ = nullptr;
  }

  // As Get, ReadAct and ReadRes, after all that the trainer was given.
  template <typename T>
  std::vector<T> Fetch(const void *data, size_t n) {
    EXPECT_EQ(ops_->finish(trainer_, &err_), SP_OK) << err_.message;
    return Get<T>(data, n);
  }
  std::vector<float> FetchAct(const void *data, size_t n) {
    EXPECT_EQ(ops_->finish(trainer_, &err_), SP_OK) << err_.message;
    return ReadAct(data, n);
  }

  // Relative error of what a device rounds to the compute type on the way into a product or an
  // epilogue: softmax weights, biases, gradients before they are summed.  The CPU keeps f32.
  double ProductRounding() const {
    return IsCpu() || compute_ == SP_COMPUTE_F32 ? 0 : 0x1p-8;
  }

  const sp_train_backend *ops_ = nullptr;
  sp_trainer *trainer_ = nullptr;
};

// Thread counts that a CPU trainer's results must not depend on.
constexpr size_t kThreads[] = {1, 2, 3, 5};

// Relative error of rounding to the compute type.
inline double RoundingOf(sp_compute compute) {
  return compute == SP_COMPUTE_BF16 ? 0x1p-8 : 2 * kEps;
}

}  // namespace sp_test
#endif
