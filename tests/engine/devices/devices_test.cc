// devices_test.cc - however many devices compute, and whatever becomes of them, a run's bytes are
// those of the CPU.
#include <algorithm>
#include <cstring>
#include <filesystem>

#include "engine_fixture.h"
#include "fake_devices.h"
#include "measure.h"
#include "rank_threads.h"

namespace {

using namespace sp_test;
namespace fs = std::filesystem;

#ifdef __SANITIZE_THREAD__
constexpr size_t kStep = 5;  // calls between two that are tried
constexpr size_t kMaskedStep = 23;
#else
constexpr size_t kStep = 1;
constexpr size_t kMaskedStep = 1;
#endif

class Devices : public testing::Test {
 protected:
  void SetUp() override {
    model_ = MakeModel(scratch_ / "model");
    WriteFile(scratch_ / "a.jsonl", ToJsonl(MakeArchive(15)));
    GiveOrders(On(1));
  }
  void TearDown() override {
    EXPECT_EQ(Alive(), 0) << "something was not given back";
  }

  Job MakeJob(const std::string &run = "run") {
    Job job;
    job.model = model_;
    job.archives = {scratch_ / "a.jsonl"};
    job.out = scratch_ / run;
    job.methods = small_ ? "pll,cls" : "pll,pll_l2r,cls,maskless";
    job.device = "fake";
    job.shard_utts = 3;
    job.batch_tokens = small_ ? 300 : 150;  // several batches a shard; many
    job.per_token = true;
    return job;
  }

  // For tests that score the archive hundreds of times.
  void BeSmall() {
    small_ = true;
    WriteFile(scratch_ / "a.jsonl", ToJsonl(MakeArchive(6)));
  }

  // The files of a run without mishaps on one device, which are made once.
  const std::map<std::string, std::string> &Expected() {
    if (expected_.empty()) {
      GiveOrders(On(1));
      Job job = MakeJob("expected");
      Outcome outcome = Score(job);
      EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
      expected_ = FilesOf(job.out);
      deeds_ = Deeds();
    }
    return expected_;
  }
  // Calls and batches of that run.
  FakeDeeds Needed() {
    Expected();
    return deeds_;
  }

  Outcome RunOn(const FakeOrders &orders, Job &job) {
    GiveOrders(orders);
    fs::remove_all(job.out);
    return Score(job);
  }

  // The run ends well, with the expected bytes and at most `warnings` warnings.
  Outcome ExpectSame(const FakeOrders &orders, size_t warnings, const std::string &what) {
    Expected();
    Job job = MakeJob();
    Outcome outcome = RunOn(orders, job);
    EXPECT_EQ(outcome.status, SP_OK) << what << ": " << outcome.message;
    EXPECT_TRUE(SameFiles(FilesOf(job.out), Expected())) << what;
    EXPECT_LE(outcome.warnings.size(), warnings) << what;
    return outcome;
  }

  Scratch scratch_;
  std::string model_;

 private:
  bool small_ = false;
  std::map<std::string, std::string> expected_;
  FakeDeeds deeds_;
};

// ---- the same bytes ----

TEST_F(Devices, ScoresAreThoseOfTheCpu) {
  for (const char *dtype : {"f32", "bf16"}) {
    Job cpu = MakeJob("cpu");
    cpu.device = "cpu";
    cpu.dtype = dtype;
    ASSERT_EQ(RunOn(On(1), cpu).status, SP_OK);
    for (size_t devices : {1u, 3u}) {
      Job job = MakeJob();
      job.dtype = dtype;
      Outcome outcome = RunOn(On(devices), job);
      ASSERT_EQ(outcome.status, SP_OK) << outcome.message;
      EXPECT_EQ(outcome.summary.devices, devices);
      EXPECT_EQ(outcome.summary.devices_lost, 0u);
      EXPECT_EQ(LinesOf(job.out), LinesOf(cpu.out)) << dtype << " on " << devices;
    }
  }
}

TEST_F(Devices, AnyNumberOfThem) {
  for (size_t devices : {1u, 2u, 3u, 7u}) {
    for (size_t lanes : {1u, 2u, 3u}) {
      for (bool share : {false, true}) {
        ExpectSame(On(devices).Lanes(lanes).Share(share), 0,
                   std::to_string(devices) + " devices, " + std::to_string(lanes) + " lanes");
      }
    }
  }
}

// ---- ranks ----

size_t TensorBytes(const std::string &model) {
  std::string file = ReadFile(model + "/model.safetensors");
  uint64_t header;
  memcpy(&header, file.data(), sizeof header);
  return file.size() - sizeof header - header;
}

// One reads the tensors; the others' devices get them from its device, and no host but that one sees them.
TEST_F(Devices, RanksShareTheWeightsOfOneDevice) {
  Expected();
  size_t tensors = TensorBytes(model_);
  for (size_t ranks : {2u, 4u}) {
    for (size_t devices : {1u, 2u}) {
      Job job = MakeJob();
      job.threads = 1;
      fs::remove_all(job.out);
      GiveOrders(On(devices).Share());
      RankRoom room(ranks);
      for (const Outcome &outcome : ScoreRanks(job, room)) {
        EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
        EXPECT_EQ(outcome.summary.devices, ranks * devices);
        EXPECT_EQ(outcome.warnings.size(), 0u);
      }
      EXPECT_TRUE(SameFiles(FilesOf(job.out), Expected())) << ranks << " ranks";
      EXPECT_LT(room.largest_broadcast, 20000u) << "of " << tensors << " bytes of tensors";
      EXPECT_LT(room.broadcast_bytes, tensors / 2);
    }
  }
}

TEST_F(Devices, RanksThatCannotShareWeightsReadThemAll) {
  Expected();
  Job job = MakeJob();
  fs::remove_all(job.out);
  GiveOrders(On(2));
  RankRoom room(2);
  for (const Outcome &outcome : ScoreRanks(job, room))
    EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
  EXPECT_TRUE(SameFiles(FilesOf(job.out), Expected()));
  EXPECT_GT(room.largest_broadcast, TensorBytes(model_));
}

// Its values are looked at on one rank; all have its verdict.
TEST_F(Devices, ATensorThatIsNoneEndsAllRanks) {
  std::string path = model_ + "/model.safetensors", file = ReadFile(path);
  memset(&file[file.size() - 400], 0xff, 8);
  WriteFile(path, file);
  Job job = MakeJob();
  GiveOrders(On(1).Share());
  RankRoom room(3);
  for (const Outcome &outcome : ScoreRanks(job, room)) {
    EXPECT_EQ(outcome.status, SP_EMODEL);
    EXPECT_NE(outcome.message.find("holds a NaN"), std::string::npos) << outcome.message;
  }
}

// Any call that fails while the weights are made and shared: all ranks end, alike.
TEST_F(Devices, ADeviceThatFailsInAJobEndsAllRanksAlike) {
  BeSmall();
  for (size_t k = 1; k <= 60; k += 7 * kStep) {
    Job job = MakeJob();
    fs::remove_all(job.out);
    GiveOrders(On(1).Share().FailsAtCall(0, k));
    RankRoom room(3);
    std::vector<Outcome> outcomes = ScoreRanks(job, room);
    for (const Outcome &outcome : outcomes) {
      EXPECT_EQ(outcome.status, SP_EDEVICE) << k;
      EXPECT_EQ(outcome.message, outcomes[0].message) << k;
    }
  }
}

TEST_F(Devices, AnyBatchesThreadsAndSavings) {
  const char *names[] = {"head", "trim", "pack", "dedupe", "nodes"};
  Expected();
  for (int left_out = 0; left_out < 32; left_out++) {
    Job job = MakeJob();
    for (int i = 0; i < 5; i++) {
      if (left_out >> i & 1)
        job.without += (job.without.empty() ? "" : ",") + std::string(names[i]);
    }
    job.batch_tokens = left_out % 3 == 0 ? 0 : 70 + 100 * static_cast<size_t>(left_out);
    job.threads = 1 + static_cast<size_t>(left_out) % 4;
    Outcome outcome = RunOn(On(2), job);
    EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
    EXPECT_TRUE(SameFiles(FilesOf(job.out), Expected())) << "without " << job.without;
  }
}

TEST_F(Devices, AStreamKeepsItsOrder) {
  Job cpu = MakeJob();
  cpu.device = "cpu";
  cpu.out = "-";
  cpu.shard_utts = 2;
  Outcome expected = Score(cpu);
  ASSERT_EQ(expected.status, SP_OK) << expected.message;
  for (size_t devices : {1u, 3u}) {
    Job job = cpu;
    job.device = "fake";
    GiveOrders(On(devices).Slow(0, 2000));
    Outcome outcome = Score(job);
    EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
    EXPECT_EQ(outcome.lines, expected.lines);
  }
}

// ---- under masks ----

struct Masked {
  const char *mask, *lookahead, *scheduler;
  bool latency;
};

class MaskedDevices : public Devices, public testing::WithParamInterface<Masked> {
 protected:
  void SetUp() override {
    Devices::SetUp();
    sp_random_model model = TinyModel();
    model.config_extra = GetParam().lookahead;
    model.scheduler = GetParam().scheduler;
    model.scheduler_percent = 30;
    model_ = MakeModel(scratch_ / "masked", model);
  }
  Job MaskedJob() {
    Job job = MakeJob();
    job.mask = GetParam().mask;
    job.force_mask = !job.mask.empty();
    job.latency = GetParam().latency;
    return job;
  }
  // Lines of the CPU, in batches that go by distinct nodes.
  std::string LinesOfTheCpu() {
    Job job = MaskedJob();
    job.device = "cpu";
    job.out = "-";
    Outcome outcome = Score(job);
    EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
    EXPECT_LT(outcome.summary.counts.nodes, outcome.summary.counts.plain_nodes);
    return outcome.lines;
  }
};

TEST_P(MaskedDevices, ScoresAreThoseOfTheCpu) {
  const std::string expected = LinesOfTheCpu();
  size_t round = 0;
  for (size_t devices : {1u, 3u}) {
    for (size_t lanes : {1u, 2u, 3u}) {
      for (const char *without : {"", "nodes", "head", "pack,dedupe"}) {
        for (size_t tokens : {0u, 1u, 300u}) {
          if (round++ % kMaskedStep != 0)
            continue;
          Job job = MaskedJob();
          job.out = "-";
          job.without = without;
          job.batch_tokens = tokens;
          GiveOrders(On(devices).Lanes(lanes));
          Outcome outcome = Score(job);
          EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
          EXPECT_EQ(outcome.lines, expected) << devices << " devices, " << lanes
                                             << " lanes, without " << without << " at " << tokens;
        }
      }
    }
  }
}

// Somewhere in a batch, between its layers or elsewhere, one of them stops for good.
TEST_P(MaskedDevices, OneFailsAtAnyCall) {
  BeSmall();
  const std::string expected = LinesOfTheCpu();
  Job job = MaskedJob();
  job.out = "-";
  GiveOrders(On(1));
  EXPECT_EQ(Score(job).lines, expected);
  const size_t needed = Deeds().calls[0];
  size_t lost = 0;
  for (size_t k = 1; k <= needed; k += kMaskedStep) {
    GiveOrders(On(2).Lanes(1 + k % 3).FailsAtCall(k % 2, k));
    Outcome outcome = Score(job);
    EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
    EXPECT_EQ(outcome.lines, expected);
    lost += outcome.summary.devices_lost;
    ASSERT_FALSE(HasFailure()) << "device " << k % 2 << " at call " << k;
  }
  EXPECT_GT(lost * kMaskedStep, 3u);
}

TEST_P(MaskedDevices, AllFailAndTheRunIsResumed) {
  BeSmall();
  const std::string expected = LinesOfTheCpu();
  GiveOrders(On(1));
  Job job = MaskedJob();
  ASSERT_EQ(RunOn(On(1), job).status, SP_OK);
  const size_t needed = Deeds().calls[0];
  for (size_t k = needed / 3; k < needed; k += needed / 5) {
    Outcome outcome = RunOn(On(1).FailsAtCall(0, k), job);
    EXPECT_EQ(outcome.status, SP_EDEVICE) << outcome.message;
    GiveOrders(On(2));
    outcome = Score(job);
    EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
    EXPECT_EQ(LinesOf(job.out), expected) << "at call " << k;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Rules, MaskedDevices,
    testing::Values(Masked{"causal", nullptr, nullptr, false},
                    Masked{"layerwise:1", nullptr, nullptr, true},
                    Masked{"", R"("lookahead": {"policy": "dynamic", "max": 2})", "2", true},
                    Masked{"", R"("lookahead": {"policy": "dynamic", "max": 3, "layers": [0, 3]})",
                           "0,3", false}),
    [](const auto &given) {
      return std::string(given.param.scheduler ? "dynamic_"
                         : given.param.latency ? "layerwise"
                                               : "causal") +
             (!given.param.scheduler ? ""
              : given.param.latency  ? "traced"
                                     : "layers");
    });

// ---- what a device decides ----

TEST_F(Devices, TheDtypeIsBf16AndTheBatchTheirs) {
  Job job = MakeJob();
  job.dtype = "auto";
  job.batch_tokens = 0;
  GiveOrders(On(3).BatchTokens(640));
  Planned planned = Plan(job);
  ASSERT_EQ(planned.status, SP_OK) << planned.message;
  EXPECT_STREQ(planned.summary.dtype, "bf16");
  EXPECT_EQ(planned.summary.batch_tokens, 640u);
  EXPECT_EQ(planned.summary.devices, 3u);
  EXPECT_FALSE(planned.summary.on_host);
  EXPECT_GT(planned.summary.device_bytes, 0u);
  EXPECT_GT(planned.summary.memory_bytes, 0u);
  EXPECT_GT(planned.summary.measured_flops, 0);
  EXPECT_GT(planned.summary.estimated_seconds, 0);
  EXPECT_NEAR(planned.summary.estimated_seconds * planned.summary.measured_flops * 3,
              planned.summary.counts.flops, planned.summary.counts.flops * 1e-9);
}

TEST_F(Devices, AutoSaysWhenItIsTheCpu) {
  Job job = MakeJob();
  job.device = "auto";
  Outcome outcome = Score(job);
  ASSERT_EQ(outcome.status, SP_OK) << outcome.message;
  ASSERT_EQ(outcome.warnings.size(), 1u);
  EXPECT_NE(outcome.warnings[0].find("the CPU computes"), std::string::npos);
}

TEST_F(Devices, ASlowOneGetsFewerBatches) {
  ExpectSame(On(2).Slow(0, 20000).Slow(1, 100), 0, "one slow");
  FakeDeeds deeds = Deeds();
  EXPECT_GT(deeds.batches[0], 0u);
  EXPECT_GT(deeds.batches[1], 2 * deeds.batches[0]);
}

TEST_F(Devices, RoundsOfABenchmarkUseAllOfThem) {
  std::vector<float> expected;
  for (const char *device : {"cpu", "fake"}) {
    GiveOrders(On(2).Slow(0, 1000).Slow(1, 1000));
    sp_score_options options{};
    const char *none = "none";
    options.model = model_.c_str();
    options.device = device;
    options.dtype = "f32";
    options.archives = &none;
    options.n_archives = 1;
    options.batch_tokens = 200;
    options.threads = 2;
    sp_workload workload;
    sp_products *products;
    sp_error err{};
    double seconds;
    ASSERT_EQ(sp_workload_open(&options, 12, 20, &workload, &err), SP_OK) << err.message;
    ASSERT_EQ(sp_products_create(&workload, &products, &err), SP_OK) << err.message;
    EXPECT_EQ(sp_workload_round(&workload, products, &seconds, &err), SP_OK) << err.message;
    EXPECT_EQ(sp_workload_round(&workload, nullptr, &seconds, &err), SP_OK) << err.message;
    EXPECT_GT(seconds, 0);
    std::vector<float> got(workload.job.logp, workload.job.logp + workload.job.plan.targets);
    sp_products_destroy(products);
    sp_workload_close(&workload);
    if (expected.empty())
      expected = got;
    EXPECT_EQ(got, expected) << device;
  }
  EXPECT_GT(Deeds().batches[0], 0u);
  EXPECT_GT(Deeds().batches[1], 0u);
}

// ---- failures ----

// Wherever one of two devices stops for good, the other ends the run. Every call is tried (but under
// the thread sanitizer) on a stream, which waits for no disk; some on a run directory.
TEST_F(Devices, OneFailsAtEveryCall) {
  BeSmall();
  size_t needed = Needed().calls[0], lost = 0, left_out = 0;
  EXPECT_GT(needed, 150u);
  Job job = MakeJob();
  job.out = "-";
  GiveOrders(On(1));
  const std::string expected = Score(job).lines;
  for (size_t k = 1; k <= needed; k += kStep) {
    size_t which = k % 2;
    GiveOrders(On(2).FailsAtCall(which, k));
    Outcome outcome = Score(job);
    EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
    EXPECT_EQ(outcome.lines, expected);
    lost += outcome.summary.devices_lost;
    left_out += outcome.summary.devices == 1;
    EXPECT_EQ(outcome.warnings.size(), outcome.summary.devices_lost + 2 - outcome.summary.devices);
    for (const std::string &warning : outcome.warnings) {
      EXPECT_NE(warning.find("fake:" + std::to_string(which)), std::string::npos) << warning;
    }
    ASSERT_FALSE(HasFailure()) << "device " << which << " at call " << k;
  }
  EXPECT_GT(lost * kStep, 10u);
  EXPECT_GT(left_out * kStep, 10u) << "weights are made in as many calls";
}

TEST_F(Devices, OneFailsDuringARun) {
  BeSmall();
  size_t needed = Needed().calls[0];
  for (size_t k = 1; k <= needed; k += 17 * kStep) {
    const std::string what = "device " + std::to_string(k % 2) + " at call " + std::to_string(k);
    ExpectSame(On(2).FailsAtCall(k % 2, k), 1, what);
    ASSERT_FALSE(HasFailure()) << what;
  }
}

TEST_F(Devices, OneFailsWhileWeightsAreCopied) {
  BeSmall();
  size_t needed = Needed().calls[0];
  for (size_t k = 1; k <= std::min<size_t>(needed, 60); k += 3 * kStep) {
    for (size_t which : {0u, 1u}) {
      ExpectSame(On(3).Share().FailsAtCall(which, k), 2,
                 std::to_string(which) + " at call " + std::to_string(k));
      ASSERT_FALSE(HasFailure());
    }
  }
}

TEST_F(Devices, AllButOneFail) {
  for (size_t k = 40; k < 300; k += 37) {
    ExpectSame(On(4).FailsAtCall(0, k).FailsAtCall(1, k + 11).FailsAtCall(3, k + 50), 3,
               "from call " + std::to_string(k));
  }
}

// A device that fails may have lied before: what it made of an unfinished shard is made again.
TEST_F(Devices, ResultsOfAFailedOneAreForgotten) {
  Job job = MakeJob("whole");
  job.shard_utts = 1000;  // one shard
  ASSERT_EQ(RunOn(On(1), job).status, SP_OK);
  auto expected = FilesOf(job.out);
  for (size_t lanes : {1u, 2u}) {
    Job again = job;
    again.out = scratch_ / "run";
    Outcome outcome = RunOn(On(2).Lanes(lanes).Slow(0, 5000).Lies(1).FailsAtBatch(1, 4), again);
    EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
    EXPECT_EQ(outcome.summary.devices_lost, 1u);
    EXPECT_EQ(Deeds().batches[1], 4u);
    EXPECT_TRUE(SameFiles(FilesOf(again.out), expected));
  }
}

// With the last one gone the run ends, keeps what is finished, and goes on where devices are.
TEST_F(Devices, AllFailAndTheRunIsResumed) {
  BeSmall();
  size_t needed = Needed().calls[0], ended = 0;
  for (size_t k = 1; k <= needed; k += 13 * kStep) {
    for (size_t devices : {1u, 2u}) {
      Job job = MakeJob();
      Outcome outcome = RunOn(On(devices).FailsAtCall(0, k).FailsAtCall(1, k + 7), job);
      if (outcome.status != SP_OK) {
        ASSERT_EQ(outcome.status, SP_EDEVICE) << outcome.message;
        EXPECT_EQ(sp_status_exit_code(outcome.status), 5);
        EXPECT_NE(outcome.message.find("fake:"), std::string::npos) << outcome.message;
        bool began = outcome.summary.devices_lost > 0;
        EXPECT_EQ(outcome.message.find("can be resumed") != std::string::npos, began)
            << outcome.message;
        ended++;
        size_t done = fs::exists(job.out) ? CountEnding(job.out, ".done") : 0;
        GiveOrders(On(3 - devices));
        outcome = Score(job);
        EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
        EXPECT_EQ(outcome.summary.shards_resumed, done);
      }
      EXPECT_TRUE(SameFiles(FilesOf(job.out), Expected())) << devices << " at call " << k;
      ASSERT_FALSE(HasFailure());
    }
  }
  EXPECT_GT(ended * kStep, 10u);
}

TEST_F(Devices, AFailureWhileStreaming) {
  Job job = MakeJob();
  job.out = "-";
  job.shard_utts = 2;
  Outcome expected = Score(job);
  ASSERT_EQ(expected.status, SP_OK) << expected.message;
  for (size_t k : {60u, 100u, 200u}) {
    GiveOrders(On(2).FailsAtCall(1, k));
    Outcome outcome = Score(job);
    EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
    EXPECT_EQ(outcome.lines, expected.lines);
  }
}

TEST_F(Devices, InterruptedAndResumed) {
  auto expected = Expected();
  int stops = 0;
  for (int round = 0; round < 100; round++) {
    Job job = MakeJob();
    uint64_t more = 5 + 10 * static_cast<uint64_t>(round);
    job.on_progress = [&](const sp_progress &progress) {
      if (progress.hyps_done >= progress.hyps_resumed + more)
        job.stop = 1;
    };
    GiveOrders(On(2).Slow(0, 5000).Slow(1, 5000));
    Outcome outcome = Score(job);
    if (outcome.status == SP_OK)
      break;
    ASSERT_EQ(outcome.status, SP_EINTERRUPTED) << outcome.message;
    stops++;
  }
  EXPECT_GE(stops, 1);
  EXPECT_TRUE(SameFiles(FilesOf(scratch_ / "run"), expected));
}

TEST_F(Devices, ProgressEndsAtTheTotalsAlsoAfterAFailure) {
  Job job = MakeJob();
  sp_progress last{};
  job.on_progress = [&](const sp_progress &progress) { last = progress; };
  Outcome outcome = RunOn(On(2).FailsAtBatch(1, 3), job);
  ASSERT_EQ(outcome.status, SP_OK) << outcome.message;
  EXPECT_EQ(last.hyps_done, outcome.summary.counts.hyps);
  EXPECT_EQ(last.tokens_done, outcome.summary.counts.tokens);
}

}  // namespace
