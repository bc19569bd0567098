// Memory, copies, streams and weights of the CUDA backend, and what the fake runtime finds.
#include <cublasLt.h>

#include <cmath>
#include <cstring>

#include "cuda_fixture.h"

namespace {

using sp_test::CudaTest;

class MemoryTest : public CudaTest {
 protected:
  sp_device *One(sp_compute compute = SP_COMPUTE_F32) {
    EXPECT_EQ(Open("0", 1, compute), SP_OK) << err_.message;
    return devices_[0];
  }
  std::vector<float> Download(sp_stream *stream, const void *from, size_t n) {
    std::vector<float> out(n);
    EXPECT_EQ(cuda_.download(stream, out.data(), from, n * sizeof(float), &err_), SP_OK);
    EXPECT_EQ(cuda_.finish(stream, &err_), SP_OK);
    return out;
  }
};

// Pinned memory is read and written when the stream gets there: only finish makes it safe.
TEST_F(MemoryTest, CopiesOfPinnedMemoryWaitForFinish) {
  sp_device *device = One();
  sp_stream *stream = nullptr;
  void *data = nullptr, *up = nullptr, *down = nullptr;
  ASSERT_EQ(cuda_.stream_create(device, &stream, &err_), SP_OK);
  ASSERT_EQ(cuda_.alloc(device, 64, &data, &err_), SP_OK);
  ASSERT_EQ(cuda_.alloc_host(device, 64, &up, &err_), SP_OK);
  ASSERT_EQ(cuda_.alloc_host(device, 64, &down, &err_), SP_OK);
  EXPECT_EQ(static_cast<char *>(down)[63], 0);
  memset(up, 7, 64);
  ASSERT_EQ(cuda_.upload(stream, data, up, 64, &err_), SP_OK);
  ASSERT_EQ(cuda_.download(stream, down, data, 64, &err_), SP_OK);
  EXPECT_EQ(static_cast<char *>(down)[63], 0);
  ASSERT_EQ(cuda_.finish(stream, &err_), SP_OK);
  EXPECT_EQ(static_cast<char *>(down)[63], 7);
  cuda_.free_host(device, up);
  cuda_.free_host(device, down);
  cuda_.free(device, data);
  cuda_.free(device, nullptr);
  cuda_.free_host(device, nullptr);
  cuda_.stream_destroy(stream);
  cuda_.stream_destroy(nullptr);
  Close();
  cuda_.close(nullptr);
}

TEST_F(MemoryTest, WeightsTakeChunksAndGiveThemBack) {
  sp_device *device = One();
  size_t before = sp_fake_cuda::LiveBytes();
  std::vector<float> values(40000, 0.5f);
  sp_norm *small = nullptr, *large = nullptr;
  const std::string type = device->type;
  for (int round = 0; round < 2; round++) {
    ASSERT_EQ(cuda_.norm_create(device, values.data(), values.data(), 100, 1e-5f, &small, &err_),
              SP_OK);
    EXPECT_EQ(sp_fake_cuda::LiveBytes(), before + 65536);
    ASSERT_EQ(cuda_.norm_create(device, nullptr, nullptr, 40000, 1e-5f, &large, &err_), SP_OK);
    EXPECT_EQ(sp_fake_cuda::LiveBytes(), before + 65536 + 2 * 160000);  // each on its own
    sp_linear *linear = nullptr;
    ASSERT_EQ(cuda_.linear_create(device, values.data(), values.data(), 8, 8, SP_ACT_NONE,
                                  SP_ROWS_TOKENS, false, &linear, &err_),
              SP_OK);
    EXPECT_NE(type, device->type);
    cuda_.norm_destroy(small);
    cuda_.norm_destroy(large);
    EXPECT_GT(sp_fake_cuda::LiveBytes(), before);
    cuda_.linear_destroy(linear);
    EXPECT_EQ(sp_fake_cuda::LiveBytes(), before);
    EXPECT_EQ(type, device->type);
  }
  Close();
}

// Widths that cuBLASLt has nothing for run on padded copies, more rows than one block has.
TEST_F(MemoryTest, PaddedProductsGiveTheSameBits) {
  const size_t n = 13, k = 11, rows = 2100, whole = 2176;
  std::vector<float> weight(n * k), bias(n), in(whole * k), add(whole * n);
  uint32_t state = 1;
  for (std::vector<float> *v : {&weight, &bias, &in, &add}) {
    for (float &x : *v) {
      state = state * 1664525u + 1013904223u;
      x = static_cast<float>(state >> 8) * 0x1p-23f - 1.0f;
    }
  }
  std::vector<float> got[2];
  std::vector<uint16_t> halves(whole * k);
  for (int padded = 0; padded < 2; padded++) {
    options_.refuse_unaligned = padded == 1;
    Restart();
    sp_device *device = One(SP_COMPUTE_BF16);
    sp_linear *linear = nullptr;
    sp_stream *stream = nullptr;
    void *from = nullptr, *residual = nullptr, *to = nullptr;
    ASSERT_EQ(cuda_.linear_create(device, weight.data(), bias.data(), n, k, SP_ACT_NONE,
                                  SP_ROWS_TOKENS, true, &linear, &err_),
              SP_OK)
        << err_.message;
    ASSERT_EQ(cuda_.stream_create(device, &stream, &err_), SP_OK);
    ASSERT_EQ(cuda_.alloc(device, whole * k * 2, &from, &err_), SP_OK);
    ASSERT_EQ(cuda_.alloc(device, whole * n * 4, &residual, &err_), SP_OK);
    ASSERT_EQ(cuda_.alloc(device, whole * n * 4, &to, &err_), SP_OK);
    auto put = [&](void *where, const std::vector<float> &v) {
      for (size_t i = 0; i < v.size(); i++) {
        uint32_t bits;
        memcpy(&bits, &v[i], 4);
        halves[i] = static_cast<uint16_t>(bits >> 16);
      }
      ASSERT_EQ(cuda_.upload(stream, where, halves.data(), v.size() * 2, &err_), SP_OK);
    };
    put(from, in);
    ASSERT_EQ(cuda_.upload(stream, residual, add.data(), add.size() * 4, &err_), SP_OK);
    ASSERT_EQ(cuda_.linear(stream, linear, from, residual, rows, to, &err_), SP_OK) << err_.message;
    got[padded].resize(rows * n);
    ASSERT_EQ(cuda_.download(stream, got[padded].data(), to, rows * n * 4, &err_), SP_OK);
    ASSERT_EQ(cuda_.finish(stream, &err_), SP_OK);
    for (void *data : {from, residual, to})
      cuda_.free(device, data);
    cuda_.stream_destroy(stream);
    cuda_.linear_destroy(linear);
    Close();
  }
  EXPECT_EQ(got[0], got[1]);
}

TEST_F(MemoryTest, AResidualBehindAnActivationIsRefused) {
  sp_device *device = One();
  std::vector<float> zeros(64);
  sp_linear *linear = nullptr;
  sp_stream *stream = nullptr;
  ASSERT_EQ(cuda_.linear_create(device, zeros.data(), zeros.data(), 8, 8, SP_ACT_RELU,
                                SP_ROWS_TOKENS, true, &linear, &err_),
            SP_OK);
  ASSERT_EQ(cuda_.stream_create(device, &stream, &err_), SP_OK);
  EXPECT_EQ(cuda_.linear(stream, linear, &zeros, &zeros, 1, &zeros, &err_), SP_EMODEL);
  EXPECT_EQ(cuda_.linear(stream, linear, nullptr, nullptr, 0, nullptr, &err_), SP_OK);
  cuda_.stream_destroy(stream);
  cuda_.linear_destroy(linear);
  Close();
}

TEST_F(MemoryTest, ALostDeviceFailsEveryCallAndIsNamed) {
  options_.devices = 2;
  options_.lose_device = 1;
  options_.lose_at = 12;
  Restart();
  ASSERT_EQ(Open(""), SP_OK);
  void *data = nullptr;
  sp_status status = SP_OK;
  for (int i = 0; i < 9 && status == SP_OK; i++) {
    status = cuda_.alloc(devices_[1], 64, &data, &err_);
    if (status == SP_OK)
      cuda_.free(devices_[1], data);
  }
  ASSERT_EQ(status, SP_EDEVICE);
  const std::string message = err_.message;
  EXPECT_EQ(message.rfind("cuda:1: cuda", 0), 0u) << message;
  EXPECT_NE(message.find("an illegal memory access was encountered"), std::string::npos);
  EXPECT_EQ(cuda_.alloc(devices_[1], 64, &data, &err_), SP_EDEVICE);
  ASSERT_EQ(cuda_.alloc(devices_[0], 64, &data, &err_), SP_OK) << err_.message;
  cuda_.free(devices_[0], data);
  Close();
}

class ShareTest : public MemoryTest, public ::testing::WithParamInterface<bool> {};

// Three devices, one of which reads the weights: the same bits everywhere.
TEST_P(ShareTest, EveryDeviceHasTheWeights) {
  options_.devices = 3;
  options_.nccl_fails = GetParam();
  Restart();
  ASSERT_EQ(Open(""), SP_OK);
  const size_t d = 160;  // 100 KiB of weights: more than a chunk
  std::vector<float> weight(d * d), bias(d, 0.25f), in(128 * d, 0.5f);
  for (size_t i = 0; i < weight.size(); i++)
    weight[i] = static_cast<float>(i % 97) / 64;
  sp_linear *linear[3];
  sp_norm *norm[3];
  for (int i = 0; i < 3; i++) {
    const float *w = i == 0 ? weight.data() : nullptr, *b = i == 0 ? bias.data() : nullptr;
    ASSERT_EQ(cuda_.linear_create(devices_[i], w, b, d, d, SP_ACT_NONE, SP_ROWS_TOKENS, false,
                                  &linear[i], &err_),
              SP_OK);
    ASSERT_EQ(cuda_.norm_create(devices_[i], b, b, d, 1e-5f, &norm[i], &err_), SP_OK);
  }
  ASSERT_EQ(cuda_.share_weights(devices_.data(), 3, nullptr, &err_), SP_OK) << err_.message;
  EXPECT_EQ(sp_fake_cuda::Broadcasts() > 0, !GetParam());
  EXPECT_EQ(sp_fake_cuda::PeerCopies() > 0, GetParam());
  std::vector<float> out[3];
  for (int i = 0; i < 3; i++) {
    sp_stream *stream = nullptr;
    void *from = nullptr, *to = nullptr;
    ASSERT_EQ(cuda_.stream_create(devices_[i], &stream, &err_), SP_OK);
    ASSERT_EQ(cuda_.alloc(devices_[i], in.size() * 4, &from, &err_), SP_OK);
    ASSERT_EQ(cuda_.alloc(devices_[i], in.size() * 4, &to, &err_), SP_OK);
    ASSERT_EQ(cuda_.upload(stream, from, in.data(), in.size() * 4, &err_), SP_OK);
    ASSERT_EQ(cuda_.linear(stream, linear[i], from, nullptr, 100, to, &err_), SP_OK);
    ASSERT_EQ(cuda_.add_norm(stream, norm[i], to, nullptr, 100, to, to, &err_), SP_OK);
    out[i] = Download(stream, to, 100 * d);
    cuda_.free(devices_[i], from);
    cuda_.free(devices_[i], to);
    cuda_.stream_destroy(stream);
  }
  EXPECT_EQ(out[0], out[1]);
  EXPECT_EQ(out[0], out[2]);
  EXPECT_FALSE(std::isnan(out[0][0]));
  for (int i = 0; i < 3; i++) {
    cuda_.linear_destroy(linear[i]);
    cuda_.norm_destroy(norm[i]);
  }
  Close();
}

INSTANTIATE_TEST_SUITE_P(Copies, ShareTest, ::testing::Bool());

TEST_F(MemoryTest, UnequalWeightsAreNotShared) {
  options_.devices = 2;
  Restart();
  ASSERT_EQ(Open(""), SP_OK);
  std::vector<float> ones(32, 1.0f);
  sp_norm *norm = nullptr;
  ASSERT_EQ(cuda_.norm_create(devices_[0], ones.data(), ones.data(), 32, 1e-5f, &norm, &err_),
            SP_OK);
  EXPECT_EQ(cuda_.share_weights(devices_.data(), 1, nullptr, &err_), SP_OK);
  EXPECT_EQ(cuda_.share_weights(devices_.data(), 2, nullptr, &err_), SP_EDEVICE);
  cuda_.norm_destroy(norm);
  Close();
}

// ---- the fake runtime itself: it must see what it is there to see ----

class MachineTest : public CudaTest {
 protected:
  void SetUp() override {
    options_.tolerant = true;
    CudaTest::SetUp();
    ASSERT_EQ(cudaMalloc(&data_, 64), cudaSuccess);
    ASSERT_EQ(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), cudaSuccess);
  }
  void TearDown() override {
    EXPECT_EQ(cudaStreamDestroy(stream_), cudaSuccess);
    if (data_) {
      EXPECT_EQ(cudaFree(data_), cudaSuccess);
    }
    CudaTest::TearDown();
  }
  void *data_ = nullptr;
  cudaStream_t stream_ = nullptr;
};

TEST_F(MachineTest, SeesCopiesBeyondTheEndAndOfTheWrongSide) {
  char host[128] = {};
  EXPECT_NE(cudaMemcpyAsync(data_, host, 65, cudaMemcpyHostToDevice, stream_), cudaSuccess);
  EXPECT_NE(cudaMemcpyAsync(host, host + 64, 8, cudaMemcpyHostToDevice, stream_), cudaSuccess);
  EXPECT_NE(
      cudaMemcpyAsync(host, static_cast<char *>(data_) + 60, 8, cudaMemcpyDeviceToHost, stream_),
      cudaSuccess);
  EXPECT_EQ(sp_fake_cuda::Mistakes(), 3u);
}

TEST_F(MachineTest, SeesMemoryThatWasGivenBack) {
  void *data = data_;
  char host[8] = {};
  EXPECT_EQ(cudaFree(data_), cudaSuccess);
  data_ = nullptr;
  EXPECT_NE(cudaMemcpyAsync(host, data, 8, cudaMemcpyDeviceToHost, stream_), cudaSuccess);
  EXPECT_NE(cudaFree(data), cudaSuccess);
  EXPECT_NE(cudaFreeHost(host), cudaSuccess);
  EXPECT_EQ(sp_fake_cuda::Mistakes(), 3u);
}

TEST_F(MachineTest, SeesAllocationThatIsForbidden) {
  void *more = nullptr;
  sp_fake_cuda::ForbidAllocation(true);
  EXPECT_NE(cudaMalloc(&more, 8), cudaSuccess);
  EXPECT_NE(cudaHostAlloc(&more, 8, 0), cudaSuccess);
  sp_fake_cuda::ForbidAllocation(false);
  EXPECT_EQ(sp_fake_cuda::Mistakes(), 2u);
}

TEST_F(MachineTest, SeesHandlesAndStreamsThatAreGone) {
  cublasLtHandle_t handle = nullptr;
  ASSERT_EQ(cublasLtCreate(&handle), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(cublasLtDestroy(handle), CUBLAS_STATUS_SUCCESS);
  EXPECT_NE(cublasLtDestroy(handle), CUBLAS_STATUS_SUCCESS);
  cudaStream_t gone = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&gone, cudaStreamNonBlocking), cudaSuccess);
  EXPECT_EQ(cudaStreamDestroy(gone), cudaSuccess);
  EXPECT_NE(cudaStreamSynchronize(gone), cudaSuccess);
  EXPECT_EQ(sp_fake_cuda::Mistakes(), 2u);
}

}  // namespace
