// ranks_test.cc - ranks of one job, as threads: one counter, one summary, one status.
#include "ranks.h"

#include <chrono>
#include <filesystem>
#include <thread>

#include "engine_fixture.h"
#include "rank_threads.h"
#include "run_claims.h"

namespace {

using namespace sp_test;
namespace fs = std::filesystem;

class Ranks : public testing::Test {
 protected:
  void SetUp() override {
    model_ = MakeModel(scratch_ / "model");
    WriteFile(scratch_ / "a.jsonl", ToJsonl(MakeArchive(120)));
  }
  Job MakeJob(const std::string &run) {
    Job job;
    job.model = model_;
    job.archives = {scratch_ / "a.jsonl"};
    job.out = scratch_ / run;
    job.threads = 1;
    job.shard_utts = 5;
    job.lease = 2;
    return job;
  }
  std::vector<Outcome> Run(const Job &job, size_t count, bool fails = false) {
    RankRoom room(count);
    room.fails = fails;
    return ScoreRanks(job, room);
  }

  Scratch scratch_;
  std::string model_;
};

TEST_F(Ranks, AnyNumberMakesTheBytesOfOneAndOneSummary) {
  Job whole = MakeJob("whole");
  Outcome alone = Score(whole);
  ASSERT_EQ(alone.status, SP_OK) << alone.message;
  for (size_t count : {1, 2, 4}) {
    Job job = MakeJob("run");
    fs::remove_all(job.out);
    for (const Outcome &outcome : Run(job, count)) {
      EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
      EXPECT_EQ(outcome.summary.hyps_scored, alone.summary.hyps_scored);
      EXPECT_EQ(outcome.summary.counts.sequences, alone.summary.counts.sequences);
      EXPECT_NEAR(outcome.summary.counts.flops, alone.summary.counts.flops,
                  1e-9 * alone.summary.counts.flops)
          << "shards add up in another order";
      EXPECT_EQ(outcome.summary.counts.duplicate_hyps, alone.summary.counts.duplicate_hyps);
      EXPECT_EQ(outcome.summary.threads, count);
      EXPECT_EQ(outcome.summary.shards_open, 0u);
    }
    EXPECT_TRUE(SameFiles(FilesOf(job.out), FilesOf(whole.out))) << count;
    for (const Outcome &outcome : Run(job, count)) {
      EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
      EXPECT_TRUE(outcome.summary.already_complete);
    }
  }
}

TEST_F(Ranks, AHalfDoneRunIsGoneOnWith) {
  Job whole = MakeJob("whole"), job = MakeJob("run"), part = MakeJob("run");
  ASSERT_EQ(Score(whole).status, SP_OK);
  part.part = 1;
  part.parts = 3;
  ASSERT_EQ(Score(part).status, SP_OK);
  for (const Outcome &outcome : Run(job, 2)) {
    EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
    EXPECT_EQ(outcome.summary.shards_resumed, 8u);
  }
  EXPECT_TRUE(SameFiles(FilesOf(job.out), FilesOf(whole.out)));
}

// Each rank looks at its part of what is listed as done; whichever finds one cut or lost, it is scored again.
TEST_F(Ranks, LostAndCutShardsAreMadeAgain) {
  Job whole = MakeJob("whole"), job = MakeJob("run");
  ASSERT_EQ(Score(whole).status, SP_OK);
  for (int shard = 0; shard < 12; shard++) {
    const std::string path =
        job.out + "/scores-000" + (shard < 10 ? "0" : "") + std::to_string(shard) + "-of-00024";
    fs::remove_all(job.out);
    fs::copy(whole.out, job.out);
    fs::remove(job.out + "/_SUCCESS");
    if (shard % 2)
      fs::remove(path + ".jsonl.zst");
    else
      fs::resize_file(path + ".jsonl.zst", 20);
    for (const Outcome &outcome : Run(job, 3)) {
      EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
      EXPECT_EQ(outcome.summary.shards_resumed, 23u) << shard;
      EXPECT_EQ(outcome.summary.shards_open, 0u) << shard;
    }
    EXPECT_TRUE(SameFiles(FilesOf(job.out), FilesOf(whole.out))) << shard;
  }
}

size_t CountMarkers(const std::string &run) {
  size_t n = 0;
  for (const auto &entry : fs::directory_iterator(run))
    n += entry.path().extension() == ".done";
  return n;
}

// Another job's worker has a shard, and lets go of it when all else is done.
TEST_F(Ranks, WhatAnotherWorkerHoldsIsScoredWhenItLetsGo) {
  Job whole = MakeJob("whole"), job = MakeJob("run");
  ASSERT_EQ(Score(whole).status, SP_OK);
  job.prepare = true;
  ASSERT_EQ(Score(job).status, SP_OK);
  job.prepare = false;
  sp_claims_rules rules{};
  rules.run = job.out.c_str();
  rules.lease = 300;
  sp_claims *claims;
  sp_claim claim;
  bool took_over;
  sp_error err{};
  ASSERT_EQ(sp_claims_open(&rules, &claims, &err), SP_OK) << err.message;
  ASSERT_EQ(sp_claims_take(claims, 7, &claim, &took_over, &err), SP_OK) << err.message;
  ASSERT_EQ(claim, SP_CLAIM_MINE);
  std::vector<Outcome> outcomes;
  std::atomic<bool> ended{false};
  std::thread ranks([&] {
    outcomes = Run(job, 3);
    ended = true;
  });
  while (CountMarkers(job.out) < 23 && !ended)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  EXPECT_EQ(CountMarkers(job.out), 23u);
  sp_claims_drop(claims, 7);
  ranks.join();
  sp_claims_close(claims);
  for (const Outcome &outcome : outcomes) {
    EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
    EXPECT_EQ(outcome.summary.shards_open, 0u);
  }
  EXPECT_TRUE(SameFiles(FilesOf(job.out), FilesOf(whole.out)));
}

TEST_F(Ranks, TheFailureOfOneIsEverybodys) {
  WriteFile(scratch_ / "a.jsonl", ToJsonl(MakeArchive(20)) + "{\n");
  Job job = MakeJob("run");
  for (const Outcome &outcome : Run(job, 3)) {
    EXPECT_EQ(outcome.status, SP_EINPUT);
    EXPECT_NE(outcome.message.find("a.jsonl:21"), std::string::npos) << outcome.message;
  }
  EXPECT_FALSE(fs::exists(job.out));
}

// The job has failed, but what the others completed is closed.
TEST_F(Ranks, ARunThatIsWholeIsClosedThoughARankFailed) {
  Job whole = MakeJob("whole"), job = MakeJob("run");
  ASSERT_EQ(Score(whole).status, SP_OK);
  std::vector<Outcome> outcomes = Run(job, 3, true);
  for (const Outcome &outcome : outcomes) {
    EXPECT_EQ(outcome.status, SP_EDEVICE);
    EXPECT_EQ(outcome.message, "the network is down");
  }
  EXPECT_TRUE(SameFiles(FilesOf(job.out), FilesOf(whole.out)));
  ASSERT_EQ(outcomes[0].warnings.size(), 1u);
  EXPECT_NE(outcomes[0].warnings[0].find("run is complete all the same"), std::string::npos)
      << outcomes[0].warnings[0];
}

}  // namespace
