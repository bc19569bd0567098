// resume_test.cc - stopped runs go on, and end as if they had never been stopped.
#include <unistd.h>

#include <filesystem>

#include "engine_fixture.h"

namespace {

using namespace sp_test;
namespace fs = std::filesystem;

// In every compute type.
class Resume : public testing::TestWithParam<const char *> {
 protected:
  void SetUp() override {
    sp_random_model model = TinyModel();
    model.layers = 3;
    model_ = MakeModel(scratch_ / "model", model);
    Fill(5);
  }
  // The archive makes 30 shards of so many utterances.
  void Fill(size_t shard_utts) {
    shard_utts_ = shard_utts;
    WriteFile(scratch_ / "a.jsonl", ToJsonl(MakeArchive(30 * shard_utts)));
  }
  Job MakeJob(const std::string &run) {
    Job job;
    job.model = model_;
    job.archives = {scratch_ / "a.jsonl"};
    job.out = scratch_ / run;
    job.methods = "pll,pll_l2r";
    job.dtype = GetParam();
    job.shard_utts = shard_utts_;
    return job;
  }
  std::map<std::string, std::string> Uninterrupted() {
    Job job = MakeJob("whole");
    Outcome outcome = Score(job);
    EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
    EXPECT_EQ(outcome.summary.shards, 30u);
    return FilesOf(job.out);
  }
  // Stops a run, the later the larger k is, and goes on, until it is whole: how often it was met in its middle.
  int StopAgainAndAgain(int k) {
    for (int round = 0; round < 200; round++) {
      Job job = MakeJob("run");
      job.threads = 1 + static_cast<size_t>(round) % 3;
      uint64_t done = 0;
      job.on_progress = [&](const sp_progress &progress) {
        if (progress.validating)
          return;
        EXPECT_GE(progress.hyps_done, progress.hyps_resumed);
        done = progress.hyps_done;
        uint64_t more = static_cast<uint64_t>(20 * k + round); /* grows: every run gets further */
        if (done >= progress.hyps_resumed + more)
          job.stop = 1;
      };
      size_t before = fs::exists(job.out) ? CountEnding(job.out, ".done") : 0;
      Outcome outcome = Score(job);
      EXPECT_EQ(outcome.summary.shards_resumed, before);
      EXPECT_GE(CountEnding(job.out, ".done"), before);
      if (outcome.status == SP_OK) {
        EXPECT_EQ(before < 30 ? done : outcome.summary.counts.hyps, outcome.summary.counts.hyps);
        return round;
      }
      EXPECT_EQ(outcome.status, SP_EINTERRUPTED) << outcome.message;
      EXPECT_EQ(CountEnding(job.out, "_SUCCESS"), 0u);
      if (HasFailure())
        return round;
    }
    ADD_FAILURE() << "no round comes to the end";
    return 0;
  }

  Scratch scratch_;
  std::string model_;
  size_t shard_utts_ = 0;
};

// With twice as many utterances where so few are never met in their middle, however fast this machine is.
TEST_P(Resume, StoppedAfterAnyProgressTheBytesAreThoseOfOneRun) {
  int stops = 0;
  for (size_t utts = 5; stops < 2; utts *= 2) {
    ASSERT_LE(utts, 64u * 5) << "too fast a run to be stopped";
    fs::remove_all(scratch_ / "whole");
    Fill(utts);
    auto expected = Uninterrupted();
    stops = 0;
    for (int k : {1, 3, 8}) {
      fs::remove_all(scratch_ / "run");
      stops += StopAgainAndAgain(k);
      EXPECT_TRUE(SameFiles(FilesOf(scratch_ / "run"), expected)) << "stopped after " << k;
    }
    ASSERT_FALSE(HasFailure());
  }
}

TEST_P(Resume, StoppedBeforeItBeginsNothingIsWritten) {
  Job job = MakeJob("run");
  job.stop = 1;
  EXPECT_EQ(Score(job).status, SP_EINTERRUPTED);
  EXPECT_FALSE(fs::exists(job.out));
}

TEST_P(Resume, ProgressNeverGoesBackAndEndsAtTheTotals) {
  Job job = MakeJob("run");
  sp_progress last{};
  job.on_progress = [&](const sp_progress &progress) {
    if (progress.validating)
      return;
    EXPECT_GE(progress.utts_done, last.utts_done);
    EXPECT_GE(progress.hyps_done, last.hyps_done);
    EXPECT_GE(progress.tokens_done, last.tokens_done);
    EXPECT_LE(progress.tokens_done, progress.tokens_total);
    last = progress;
  };
  Outcome outcome = Score(job);
  ASSERT_EQ(outcome.status, SP_OK) << outcome.message;
  EXPECT_EQ(last.utts_done, outcome.summary.counts.utts);
  EXPECT_EQ(last.hyps_done, outcome.summary.counts.hyps);
  EXPECT_EQ(last.tokens_done, outcome.summary.counts.tokens);
  EXPECT_EQ(last.utts_total, outcome.summary.counts.utts);
}

TEST_P(Resume, ACompleteRunIsLeftAlone) {
  auto expected = Uninterrupted();
  Job job = MakeJob("whole");
  job.threads = 5;
  job.batch_tokens = 100;
  job.without = "trim,dedupe";
  Outcome outcome = Score(job);
  EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
  EXPECT_TRUE(outcome.summary.already_complete);
  EXPECT_EQ(outcome.summary.shards_resumed, 30u);
  EXPECT_EQ(outcome.summary.hyps_resumed, outcome.summary.counts.hyps);
  EXPECT_GT(outcome.summary.raw_bytes, outcome.summary.zst_bytes);
  EXPECT_TRUE(SameFiles(FilesOf(job.out), expected));
}

// A marker by itself is no proof: lost and cut shards are scored again, also of a complete run.
TEST_P(Resume, LostAndCutShardsAreMadeAgain) {
  auto expected = Uninterrupted();
  for (bool complete : {true, false}) {
    const std::string run = scratch_ / "whole";
    fs::remove(run + "/scores-00003-of-00030.jsonl.zst");
    fs::resize_file(run + "/scores-00007-of-00030.jsonl.zst", 20);
    if (!complete)
      fs::remove(run + "/_SUCCESS");
    Job job = MakeJob("whole");
    Outcome outcome = Score(job);
    EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
    EXPECT_FALSE(outcome.summary.already_complete);
    EXPECT_EQ(outcome.summary.shards_resumed, 28u);
    EXPECT_TRUE(SameFiles(FilesOf(run), expected)) << complete;
  }
}

TEST_P(Resume, OnlyTheLastStepMissing) {
  auto expected = Uninterrupted();
  fs::remove(scratch_ / "whole/_SUCCESS");
  Job job = MakeJob("whole");
  Outcome outcome = Score(job);
  EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
  EXPECT_EQ(outcome.summary.shards_resumed, 30u);
  EXPECT_TRUE(SameFiles(FilesOf(job.out), expected));
}

TEST_P(Resume, WhatAKilledProcessLeftIsSweptAway) {
  auto expected = Uninterrupted();
  const std::string run = scratch_ / "whole";
  fs::remove(run + "/_SUCCESS");
  fs::remove(run + "/scores-00004-of-00030.done"); /* killed between shard and marker */
  WriteFile(run + "/scores-00005-of-00030.done.tmp.99999", "half");
  WriteFile(run + "/run.json.tmp.99999", "{");
  Job job = MakeJob("whole");
  Outcome outcome = Score(job);
  EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
  EXPECT_TRUE(SameFiles(FilesOf(run), expected));
}

INSTANTIATE_TEST_SUITE_P(Compute, Resume, testing::Values("f32", "bf16"),
                         [](const auto &given) { return std::string(given.param); });

}  // namespace
