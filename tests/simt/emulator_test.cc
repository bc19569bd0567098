// The emulator finds what it says that it finds, and its twins of warp instructions are right.
#include <gtest/gtest.h>

#include <random>
#include <thread>
#include <vector>

#include "simt.cuh"

namespace {

using sp_simt::Failure;

class EmulatorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    sp_simt::ClearFailure();
  }
  void TearDown() override {
    sp_simt::SetReverse(false);
  }

  template <typename Kernel, typename... Arguments>
  void ExpectFinds(const std::string &what, Kernel kernel, size_t shared_bytes, unsigned threads,
                   Arguments... arguments) {
    for (bool reverse : {false, true}) {
      sp_simt::SetReverse(reverse);
      sp_simt::ClearFailure();
      EXPECT_EQ(SP_LAUNCH(kernel, 2, threads, shared_bytes, nullptr, arguments...),
                cudaErrorLaunchFailure)
          << what;
      EXPECT_NE(Failure().find(what), std::string::npos) << Failure();
      EXPECT_NE(Failure().find("block (" + std::to_string(reverse)), std::string::npos);
    }
  }

  template <typename Kernel, typename... Arguments>
  void ExpectClean(Kernel kernel, size_t shared_bytes, unsigned threads, Arguments... arguments) {
    for (bool reverse : {false, true}) {
      sp_simt::SetReverse(reverse);
      EXPECT_EQ(SP_LAUNCH(kernel, 2, threads, shared_bytes, nullptr, arguments...), cudaSuccess)
          << Failure();
    }
  }
};

// ---- where threads are ----

__global__ void number(unsigned *out) {
  unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  out[block * blockDim.x + threadIdx.x] += block * 1000 + threadIdx.x;
}

TEST_F(EmulatorTest, EveryThreadRunsOnce) {
  for (bool reverse : {false, true}) {
    sp_simt::SetReverse(reverse);
    std::vector<unsigned> out(3 * 5 * 7 * 96);
    ASSERT_EQ(SP_LAUNCH(number, dim3(3, 5, 7), 96, 0, nullptr, out.data()), cudaSuccess);
    for (unsigned i = 0; i < out.size(); i++)
      ASSERT_EQ(out[i], i / 96 * 1000 + i % 96);
  }
}

TEST_F(EmulatorTest, RefusesShapesThatNoDeviceTakes) {
  unsigned out[2048] = {};
  for (auto [grid, block, bytes] : {std::tuple<dim3, dim3, size_t>{0, 32, 0},
                                    {1, 0, 0},
                                    {1, 33, 0},
                                    {1, 2048, 0},
                                    {dim3(1, 65536), 32, 0},
                                    {1, 32, 200 * 1024}}) {
    EXPECT_EQ(SP_LAUNCH(number, grid, block, bytes, nullptr, out), cudaErrorInvalidConfiguration);
    EXPECT_NE(Failure(), "");
  }
}

// A fake runtime's way: launches are kept with their arguments, and run later in another thread.
std::vector<std::function<cudaError_t()>> queue;

TEST_F(EmulatorTest, ARuntimeMayRunLaunchesLater) {
  sp_simt_submit = [](cudaStream_t, const char *kernel, std::function<cudaError_t()> run) {
    EXPECT_NE(std::string(kernel).find("number"), std::string::npos);
    queue.push_back(std::move(run));
    return cudaSuccess;
  };
  std::vector<unsigned> out(64);
  {
    unsigned *data = out.data();
    EXPECT_EQ(SP_LAUNCH(number, 2, 32, 0, nullptr, data), cudaSuccess);
    data = nullptr;
  }
  EXPECT_EQ(out[33], 0u);
  std::thread([] {
    for (const auto &run : queue)
      EXPECT_EQ(run(), cudaSuccess);
  }).join();
  EXPECT_EQ(out[33], 1001u);
  queue.clear();
  sp_simt_submit = nullptr;
}

// ---- shared memory ----

__global__ void shift(const float *in, float *out, int by, int count, bool sync) {
  SharedPtr<float> s = sp_shared<float>(0, (size_t)count);
  s[threadIdx.x] = in[threadIdx.x];
  if (sync) {
    sp_sync_threads();
  }
  out[threadIdx.x] = s[(int)threadIdx.x + by];
}

TEST_F(EmulatorTest, SharedMemoryCarriesValues) {
  std::vector<float> in(65, 3), out(64);
  in[7] = 8;
  ExpectClean(shift, 256, 64, in.data(), out.data(), 0, 64, true);
  EXPECT_EQ(out[7], 8);
}

TEST_F(EmulatorTest, ThreadsOfTheSystemLaunchAtOnce) {
  auto run = [](int by) {
    std::vector<float> in(64), out(64);
    for (int i = 0; i < 50; i++) {
      in[5] = static_cast<float>(by + i);
      EXPECT_EQ(SP_LAUNCH(shift, 3, 64, 256, nullptr, in.data(), out.data(), 0, 64, true),
                cudaSuccess);
      EXPECT_EQ(out[5], static_cast<float>(by + i));
      EXPECT_EQ(SP_LAUNCH(shift, 3, 64, 256, nullptr, in.data(), out.data(), by, 64, true),
                cudaErrorLaunchFailure);
    }
    EXPECT_NE(Failure().find("out of bounds"), std::string::npos);
  };
  std::thread first(run, 1), second(run, 2);
  first.join();
  second.join();
}

TEST_F(EmulatorTest, FindsSharedReadsOutOfBounds) {
  std::vector<float> in(64), out(64);
  ExpectFinds("out of bounds", shift, 256, 64, in.data(), out.data(), 1, 64, true);
  ExpectFinds("out of bounds", shift, 1024, 64, in.data(), out.data(), -1, 64, true);
  ExpectFinds("out of bounds", shift, 256, 64, in.data(), out.data(), 0, 63, true);
  ExpectFinds("allocation [0, +260)", shift, 256, 64, in.data(), out.data(), 0, 65, true);
}

TEST_F(EmulatorTest, FindsReadsOfWhatNothingWrote) {
  std::vector<float> in(64), out(64);
  ExpectFinds("nothing has written", shift, 512, 64, in.data(), out.data(), 1, 128, true);
}

TEST_F(EmulatorTest, FindsAMissingBarrierBetweenWriteAndRead) {
  std::vector<float> in(64), out(64);
  // In one of the orders the value is there already: the account of accesses tells.
  for (bool reverse : {false, true}) {
    sp_simt::SetReverse(reverse);
    sp_simt::ClearFailure();
    EXPECT_EQ(
        SP_LAUNCH(shift, 1, 64, 512, nullptr, in.data(), out.data(), reverse ? 1 : -1, 64, false),
        cudaErrorLaunchFailure);
  }
  ExpectClean(shift, 256, 64, in.data(), out.data(), 0, 64, false);  // its own element
}

__global__ void overwrite(float *out, bool second_barrier) {
  SharedPtr<float> s = sp_shared<float>(0, 64);
  s[threadIdx.x] = 1.0f;
  sp_sync_threads();
  out[threadIdx.x] = s[63 - (int)threadIdx.x];
  if (second_barrier) {
    sp_sync_threads();
  }
  s[threadIdx.x] = 2.0f;
}

TEST_F(EmulatorTest, FindsAMissingBarrierBetweenReadAndWrite) {
  std::vector<float> out(64);
  ExpectFinds("race: a", overwrite, 256, 64, out.data(), false);
  ExpectClean(overwrite, 256, 64, out.data(), true);
}

__global__ void same_place() {
  sp_shared<float>(0, 1)[0] = 1.0f;
}

TEST_F(EmulatorTest, FindsTwoWritersOfOnePlace) {
  ExpectFinds("race: a write", same_place, 4, 32);
}

// Lanes hand values on within their warp, or across warps, with a barrier of the warp.
__global__ void hand_on(float *out, int by, bool sync) {
  SharedPtr<float> s = sp_shared<float>(0, 64);
  s[threadIdx.x] = (float)threadIdx.x;
  if (sync) {
    sp_sync_warp();
  } else {
    (void)sp_shfl(1.0f, 0);  // orders nothing
  }
  out[threadIdx.x] = s[(int)threadIdx.x ^ by];
}

TEST_F(EmulatorTest, TheWarpsBarrierOrdersTheWarpAlone) {
  std::vector<float> out(64);
  ExpectClean(hand_on, 256, 64, out.data(), 5, true);
  EXPECT_EQ(out[33], 36);
  ExpectFinds("race: a read", hand_on, 256, 64, out.data(), 5, false);
  sp_simt::SetReverse(true);  // the other warp's values are there, and not ordered
  EXPECT_EQ(SP_LAUNCH(hand_on, 1, 64, 256, nullptr, out.data(), 32, true), cudaErrorLaunchFailure);
}

// ---- barriers ----

__global__ void diverge(int kind) {
  int lane = sp_lane();
  if (kind == 0 && threadIdx.x == 40) {
    return;
  }
  if (kind == 1 && threadIdx.x == 40) {
    sp_sync_threads();
  } else {
    sp_sync_threads();
  }
  if (kind == 2 && lane == 7) {
    return;
  }
  if (kind == 3 && lane == 7) {
    sp_sync_threads();
  }
  if (kind == 4 && lane == 0) {
    sp_sync_threads();
  }
  if (kind == 5 && lane == 9) {
    (void)sp_ballot(true);
  }
  (void)sp_shfl_xor(lane, 1);
}

TEST_F(EmulatorTest, FindsDivergentBarriers) {
  ExpectFinds("divergent barrier", diverge, 0, 64, 0);
  ExpectFinds("divergent barrier", diverge, 0, 64, 1);
  ExpectFinds("ended", diverge, 0, 64, 2);
  ExpectFinds("divergent warp", diverge, 0, 64, 3);
  ExpectFinds("divergent warp", diverge, 0, 64, 4);
  ExpectFinds("divergent warp", diverge, 0, 64, 5);
  ExpectClean(diverge, 0, 64, 6);
}

TEST_F(EmulatorTest, AFailureLeavesTheEmulatorUsable) {
  for (int i = 0; i < 5; i++) {
    ExpectFinds("divergent barrier", diverge, 0, 512, 0);
    ExpectClean(diverge, 0, 512, 6);
  }
}

// ---- wide accesses and copies ----

__global__ void wide(const unsigned char *in, unsigned char *out, int from, int shared, int to) {
  SharedPtr<uint16_t> s = sp_shared<uint16_t>(0, 64);
  uint4 v = sp_load16(in + from);
  if (threadIdx.x == 0) {
    sp_store16(s + shared, v);
    sp_store16(out + to, sp_load16(s + shared));
  }
}

TEST_F(EmulatorTest, FindsWideAccessesThatAreNotAligned) {
  alignas(16) unsigned char in[64], out[64];
  for (unsigned char i = 0; i < 64; i++)
    in[i] = i;
  ExpectClean(wide, 128, 32, in, out, 16, 8, 32);
  EXPECT_EQ(out[32 + 5], 21);
  ExpectFinds("a wide load", wide, 128, 32, in, out, 8, 8, 32);
  ExpectFinds("a wide store", wide, 128, 32, in, out, 16, 4, 32);
  ExpectFinds("a wide store", wide, 128, 32, in, out, 16, 8, 36);
}

// Two groups of copies, of which the first is waited for.
__global__ void stage(const float *in, float *out, int wait, int read) {
  SharedPtr<float> s = sp_shared<float>(0, 256);
  int at = (int)threadIdx.x * 4;
  sp_cp_async16(s + at, in + at, true);
  sp_cp_async_commit();
  sp_cp_async16(s + 128 + at, in + 128 + at, threadIdx.x != 3);
  sp_cp_async_commit();
  if (wait == 1) {
    sp_cp_async_wait<1>();
  } else if (wait == 0) {
    sp_cp_async_wait<0>();
  }
  sp_sync_threads();
  out[threadIdx.x] = s[read + (int)threadIdx.x];
  if (wait == 1) {
    sp_cp_async_wait<0>();
  }
}

TEST_F(EmulatorTest, FindsMissingWaitsForCopies) {
  alignas(16) float in[256], out[32];
  for (int i = 0; i < 256; i++)
    in[i] = (float)i + 1;
  ExpectClean(stage, 1024, 32, in, out, 1, 0);
  EXPECT_EQ(out[31], 32);
  ExpectClean(stage, 1024, 32, in, out, 0, 128);
  EXPECT_EQ(out[11], 140);
  EXPECT_EQ(out[12], 0);  // not valid: zeros
  ExpectFinds("before the wait", stage, 1024, 32, in, out, 1, 128);
  ExpectFinds("before the wait", stage, 1024, 32, in, out, 2, 0);
}

__global__ void copy_badly(const float *in, int kind) {
  SharedPtr<float> s = sp_shared<float>(0, 260);
  int at = (int)threadIdx.x * 4;
  if (kind == 0) {
    sp_cp_async16(s + at, in + at, true);
    sp_cp_async_commit();
    s[at] = 1.0f;
  } else if (kind == 1) {
    sp_cp_async16(s + at + 1, in + at, true);
  } else if (kind == 2) {
    sp_cp_async16(s + at, in + at + 1, true);
  } else if (kind == 3) {
    sp_cp_async16(s + at, in + at, true);  // not committed, so not waited for
    sp_cp_async_wait<0>();
  } else if (kind == 4) {
    sp_cp_async16(s + at, in + at, true);
    sp_cp_async_commit();
    sp_cp_async_wait<0>();
    (void)(float)s[at ^ 4];  // another thread's
  }
  sp_cp_async_wait<0>();
}

TEST_F(EmulatorTest, FindsCopiesThatAreWrong) {
  alignas(16) float in[256] = {};
  ExpectFinds("which an asynchronous copy is writing", copy_badly, 1040, 32, in, 0);
  ExpectFinds("a copy's destination", copy_badly, 1040, 32, in, 1);
  ExpectFinds("a copy's source", copy_badly, 1040, 32, in, 2);
  ExpectFinds("copies under way", copy_badly, 1040, 32, in, 3);
  EXPECT_EQ(SP_LAUNCH(copy_badly, 1, 32, 1040, nullptr, in, 4), cudaErrorLaunchFailure);
}

// ---- warp functions ----

__global__ void shuffle(uint32_t *out) {
  int lane = sp_lane();
  bool good = sp_shfl_xor(lane * 3, 5) == (lane ^ 5) * 3;
  good = good && sp_shfl((double)lane, 31 - lane) == 31 - lane;
  good = good && sp_ballot(lane % 3 == 0) == 0x49249249u;
  good = good && sp_warp_sum((float)lane) == 496.0f && sp_warp_max((float)-lane) == 0.0f;
  out[threadIdx.x] = good;
}

TEST_F(EmulatorTest, ShufflesAndVotes) {
  std::vector<uint32_t> out(64);
  ExpectClean(shuffle, 0, 64, out.data());
  for (uint32_t good : out)
    ASSERT_TRUE(good);
}

TEST_F(EmulatorTest, RoundsToBf16) {
  EXPECT_EQ(sp_pack_bf16(1.0f, -2.0f), 0xc0003f80u);
  EXPECT_EQ(sp_pack_bf16(1.00390625f, 1.01171875f), 0x3f823f80u);  // halves go to even
  EXPECT_EQ(sp_pack_bf16(3.4e38f, INFINITY), 0x7f807f80u);
  EXPECT_TRUE(std::isnan(sp_to_f32(sp_to_bf16(NAN))));
  EXPECT_EQ(sp_bf16_high(sp_pack_bf16(1.0f, -2.5f)), -2.5f);
  EXPECT_EQ(sp_bf16_low(sp_pack_bf16(1.5f, -2.5f)), 1.5f);
}

// out (16, 8) = a (16, 16) b (16, 8) + out, fragments by the layouts that PTX documents, without
// ldmatrix; or with it, from shared memory, b as (k, n) or as (n, k).
__global__ void multiply(const sp_bf16 *a, const sp_bf16 *b, float *out, int how) {
  int lane = sp_lane(), g = lane / 4, t = lane % 4;
  uint32_t fa[4], fb[2];
  float d[4];
  for (int i = 0; i < 4; i++) {
    d[i] = out[(g + i / 2 * 8) * 8 + 2 * t + i % 2];
  }
  if (how == 0) {
    auto pair = [](sp_bf16 low, sp_bf16 high) { return low.bits | (uint32_t)high.bits << 16; };
    for (int i = 0; i < 4; i++) {
      const sp_bf16 *at = a + (g + i % 2 * 8) * 16 + 2 * t + i / 2 * 8;
      fa[i] = pair(at[0], at[1]);
    }
    for (int i = 0; i < 2; i++) {
      const sp_bf16 *at = b + (2 * t + 8 * i) * 8 + g;
      fb[i] = pair(at[0], at[8]);
    }
  } else {
    SharedPtr<sp_bf16> sa = sp_shared<sp_bf16>(0, 256), sb = sp_shared<sp_bf16>(512, 128);
    for (int i = lane; i < 256; i += 32) {
      sa[i] = a[i];
    }
    for (int i = lane; i < 128; i += 32) {
      sb[how == 1 ? i : i % 8 * 16 + i / 8] = b[i];
    }
    sp_sync_warp();
    sp_ldmatrix_x4(fa, sa + lane % 16 * 16 + lane / 16 * 8);
    if (how == 1) {
      sp_ldmatrix_x2_trans(fb, sb + lane % 16 * 8);
    } else {
      sp_ldmatrix_x2(fb, sb + lane % 8 * 16 + lane / 8 % 2 * 8);
    }
  }
  sp_mma_bf16(d, fa, fb);
  for (int i = 0; i < 4; i++) {
    out[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = d[i];
  }
}

TEST_F(EmulatorTest, ProductsMatchANaiveOne) {
  std::mt19937 bits(5);
  std::vector<sp_bf16> a(256), b(128);
  for (sp_bf16 &x : a)
    x = sp_to_bf16((float)(bits() % 1000) - 500);
  for (sp_bf16 &x : b)
    x = sp_to_bf16((float)(bits() % 1000) - 500);
  for (int how : {0, 1, 2}) {
    std::vector<float> out(128, 0.5f);
    ASSERT_EQ(SP_LAUNCH(multiply, 1, 32, 768, nullptr, a.data(), b.data(), out.data(), how),
              cudaSuccess)
        << Failure();
    for (int i = 0; i < 128; i++) {
      double want = 0.5;
      for (int k = 0; k < 16; k++)
        want += (double)sp_to_f32(a[i / 8 * 16 + k]) * sp_to_f32(b[k * 8 + i % 8]);
      ASSERT_EQ(out[i], (float)want) << how << ": " << i;
    }
  }
}

// Matrix i of the four holds i * 64 + row * 8 + column.
__global__ void load_matrices(uint32_t *out, bool transposed) {
  SharedPtr<sp_bf16> s = sp_shared<sp_bf16>(0, 256);
  for (int i = sp_lane(); i < 256; i += 32) {
    s[i] = sp_bf16{(uint16_t)i};
  }
  sp_sync_warp();
  uint32_t r[4];
  if (transposed) {
    sp_ldmatrix_x4_trans(r, s + sp_lane() * 8);
  } else {
    sp_ldmatrix_x4(r, s + sp_lane() * 8);
  }
  for (int i = 0; i < 4; i++) {
    out[sp_lane() * 4 + i] = r[i];
  }
}

TEST_F(EmulatorTest, LoadsMatricesAsPtxSays) {
  std::vector<uint32_t> out(128);
  for (bool transposed : {false, true}) {
    ASSERT_EQ(SP_LAUNCH(load_matrices, 1, 32, 512, nullptr, out.data(), transposed), cudaSuccess);
    for (unsigned lane = 0; lane < 32; lane++) {
      for (unsigned i = 0; i < 4; i++) {
        unsigned row = lane / 4, column = lane % 4 * 2;
        unsigned low = i * 64 + (transposed ? column * 8 + row : row * 8 + column);
        ASSERT_EQ(out[lane * 4 + i], low | (low + (transposed ? 8 : 1)) << 16);
      }
    }
  }
}

}  // namespace
