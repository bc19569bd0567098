// Weights of rank 0's first device on every device of a job. Ranks are threads here, each with devices of the
// fake machine for its own; under mpirun they are processes (tests/ranks).
#include <algorithm>
#include <string>
#include <thread>

#include "cuda_fixture.h"
#include "device.h"
#include "rank_threads.h"

namespace {

using sp_fake_cuda::NcclFault;
using sp_test::CudaTest;
using sp_test::RankRoom;

struct RankResult {
  sp_status status = SP_OK;
  std::string message, notice;
  std::vector<std::string> bytes;  // of each device's weights
};

class ShareJobTest : public CudaTest {
 protected:
  // The weight has a chunk for itself, between two. Rank 0's first device has values.
  static sp_status Make(sp_device *device, bool filled, size_t norm_width, sp_linear **linear,
                        sp_norm **norm, sp_error *err) {
    const size_t d = 160;
    std::vector<float> weight(d * d), bias(std::max(d, norm_width), 0.25f);
    for (size_t i = 0; i < weight.size(); i++)
      weight[i] = static_cast<float>(i % 97) / 64;
    const float *w = filled ? weight.data() : nullptr, *b = filled ? bias.data() : nullptr;
    const sp_backend &cuda = sp_cuda_backend;
    SP_TRY(cuda.linear_create(device, w, b, d, d, SP_ACT_NONE, SP_ROWS_TOKENS, false, linear, err));
    return cuda.norm_create(device, b, b, norm_width, 1e-5f, norm, err);
  }
  static std::string Bytes(sp_device *device) {
    std::string bytes;
    for (const sp_cuda_chunk *c = sp_cuda_device_of(device)->chunks; c; c = c->next)
      bytes.append(c->data, c->used);  // it is host memory
    return bytes;
  }

  sp_status Share(const sp_ranks *ranks, sp_device *const *devices, size_t n, RankResult *result,
                  sp_error *err) {
    sp_linear *linear[SP_MAX_DEVICES] = {};
    sp_norm *norm[SP_MAX_DEVICES] = {};
    sp_share_job job{};
    job.rank = ranks->rank;
    job.count = ranks->count;
    job.context = ranks->context;
    job.broadcast = ranks->broadcast;
    job.sum = ranks->sum;
    sp_status status = SP_OK;
    for (size_t i = 0; i < n && status == SP_OK; i++) {
      size_t width = ranks->rank == other_rank_ ? other_width_ : 160;
      status = Make(devices[i], ranks->rank == 0 && i == 0, width, &linear[i], &norm[i], err);
    }
    if (status == SP_OK)
      status = cuda_.share_weights(devices, n, &job, err);
    for (size_t i = 0; i < n; i++) {
      if (status == SP_OK)
        result->bytes.push_back(Bytes(devices[i]));
      cuda_.linear_destroy(linear[i]);
      cuda_.norm_destroy(norm[i]);
    }
    result->notice = job.notice;
    return status;
  }

  void RunRank(const sp_ranks *ranks, const std::string &spec, RankResult *result) {
    sp_device *devices[SP_MAX_DEVICES];
    size_t n = 0;
    sp_error err{};
    result->status = cuda_.open(spec.c_str(), SP_COMPUTE_F32, devices, SP_MAX_DEVICES, &n, &err);
    if (result->status == SP_OK)
      result->status = Share(ranks, devices, n, result, &err);
    result->status = ranks->agree(ranks->context, result->status, &err);
    result->message = err.message;
    for (size_t i = 0; i < n; i++)
      cuda_.close(devices[i]);
  }
  // `specs`: the devices of each rank.
  std::vector<RankResult> Run(const std::vector<std::string> &specs) {
    RankRoom room(specs.size());
    std::vector<RankResult> results(specs.size());
    std::vector<std::thread> threads;
    for (size_t i = 0; i < specs.size(); i++)
      threads.emplace_back([&, i] { RunRank(room.Table(i), specs[i], &results[i]); });
    for (std::thread &thread : threads)
      thread.join();
    largest_ = room.largest_broadcast;
    return results;
  }
  void ExpectSame(const std::vector<RankResult> &results) {
    size_t bytes = 160 * 160 * 4 + 3 * 160 * 4;
    for (const RankResult &result : results) {
      EXPECT_EQ(result.status, SP_OK) << result.message;
      for (const std::string &got : result.bytes) {
        EXPECT_GE(got.size(), bytes);
        EXPECT_TRUE(got == results[0].bytes[0]);
      }
    }
  }

  size_t largest_ = 0;  // bytes that went through the hosts at once
  size_t other_rank_ = 99, other_width_ = 0;
};

TEST_F(ShareJobTest, EveryDeviceOfEveryRankHasTheWeights) {
  options_.devices = 8;
  const std::vector<std::vector<std::string>> jobs = {
      {"0", "1"}, {"0", "1", "2", "3"}, {"0,1", "2,3"}, {"3", "0,1,2"}, {"0,2", "1", "7,5", "6"}};
  for (const std::vector<std::string> &specs : jobs) {
    Restart();
    std::vector<RankResult> results = Run(specs);
    ExpectSame(results);
    size_t devices = 0;
    for (const RankResult &result : results) {
      EXPECT_EQ(result.notice, "");
      devices += result.bytes.size();
    }
    EXPECT_EQ(sp_fake_cuda::JobBroadcasts(), 3 * devices);
    EXPECT_EQ(sp_fake_cuda::PeerCopies(), 0u);
    EXPECT_LT(largest_, 1000u);
    EXPECT_EQ(sp_fake_cuda::LiveObjects(), 0u);
  }
}

struct Fault {
  const char *name;
  NcclFault fault;
  const char *says;
};

class ShareJobFaultTest : public ShareJobTest, public ::testing::WithParamInterface<Fault> {};

// On one device of one rank: all ranks go through the hosts, after a while.
TEST_P(ShareJobFaultTest, TheHostsDoIt) {
  options_.devices = 4;
  options_.nccl_fault = GetParam().fault;
  options_.nccl_seconds = 1;
  for (int device : {0, 3}) {
    options_.nccl_fault_device = device;
    Restart();
    std::vector<RankResult> results = Run({"0,1", "2,3"});
    ExpectSame(results);
    for (const RankResult &result : results) {
      EXPECT_EQ(result.notice.find("NCCL failed on rank "), 0u) << result.notice;
      EXPECT_NE(result.notice.find(" of 2, the weights go through the hosts: nccl"),
                std::string::npos)
          << result.notice;
      EXPECT_NE(result.notice.find(GetParam().says), std::string::npos) << result.notice;
    }
    EXPECT_EQ(sp_fake_cuda::PeerCopies(), 6u);  // three chunks to the second device of each
    EXPECT_EQ(largest_, 5000u);
    EXPECT_EQ(sp_fake_cuda::LiveObjects(), 0u);
  }
}

INSTANTIATE_TEST_SUITE_P(Faults, ShareJobFaultTest,
                         ::testing::Values(Fault{"start", NcclFault::kStart,
                                                 "ncclCommInitRankConfig: "},
                                           Fault{"never", NcclFault::kNever, "not done after 1 s"},
                                           Fault{"broadcast", NcclFault::kBroadcast, "nccl"},
                                           Fault{"stuck", NcclFault::kStuck, "not done after 1 s"}),
                         [](const auto &at) { return std::string(at.param.name); });

TEST_F(ShareJobTest, RanksThatShareAGpuDoWithoutNccl) {
  options_.devices = 2;
  Restart();
  std::vector<RankResult> results = Run({"0,1", "1"});
  ExpectSame(results);
  for (const RankResult &result : results)
    EXPECT_NE(result.notice.find("ranks share a GPU"), std::string::npos) << result.notice;
  EXPECT_EQ(sp_fake_cuda::JobBroadcasts(), 0u);
}

TEST_F(ShareJobTest, DevicesOfAnotherTypeAreRefused) {
  options_.devices = 3;
  options_.names = {"Fake GPU", "Fake GPU", "Other GPU"};
  Restart();
  for (const RankResult &result : Run({"0", "1", "2"})) {
    EXPECT_EQ(result.status, SP_EDEVICE);
    EXPECT_EQ(result.message.find("cuda:2 is 'Other GPU sm_90"), 0u) << result.message;
    EXPECT_NE(result.message.find("those of rank 0 are 'Fake GPU sm_90"), std::string::npos);
  }
}

TEST_F(ShareJobTest, OtherLayoutsAreRefused) {
  options_.devices = 3;
  Restart();
  other_rank_ = 1;
  other_width_ = 260;
  for (const RankResult &result : Run({"0", "1", "2"})) {
    EXPECT_EQ(result.status, SP_EDEVICE);
    EXPECT_EQ(result.message.find("cuda:1 and the devices of rank 0 hold different weights: "), 0u)
        << result.message;
  }
}

TEST_F(ShareJobTest, ADeviceWithoutRoomEndsAllRanks) {
  options_.devices = 2;
  options_.memory = 100000;
  Restart();
  for (const RankResult &result : Run({"0", "1"})) {
    EXPECT_EQ(result.status, SP_EDEVICE);
    EXPECT_NE(result.message.find("out of memory"), std::string::npos) << result.message;
  }
}

// Whatever call fails: all ranks end alike, soon, with the weights or without, and nothing is left over.
TEST_F(ShareJobTest, AnyCallMayFail) {
  options_.devices = 3;
  options_.nccl_seconds = 1;
  size_t ended = 0, done = 0;
  for (uint64_t k = 1; k < 300; k += k < 130 ? 2 : 40) {
    options_.fail_call = k;
    Restart();
    std::vector<RankResult> results = Run({"0", "1,2"});
    for (const RankResult &result : results)
      EXPECT_EQ(result.status, results[0].status) << k << ": " << result.message;
    if (results[0].status == SP_OK)
      ExpectSame(results);
    (results[0].status == SP_OK ? done : ended)++;
    EXPECT_EQ(sp_fake_cuda::LiveObjects(), 0u) << k;
    ASSERT_FALSE(HasFailure()) << k << " " << sp_fake_cuda::FailedCall();
  }
  EXPECT_GT(ended, 0u);
  EXPECT_GT(done, 0u);
}

}  // namespace
