// plan_described_test.cc - a described archive against a real one that is like it.
#include <cstring>

#include "engine_fixture.h"

namespace {

using namespace sp_test;

class PlanDescribed : public testing::Test {
 protected:
  void SetUp() override {
    model_ = MakeModel(scratch_ / "model");
  }
  Job MakeJob(const std::string &methods = "pll") {
    Job job;
    job.model = model_;
    job.methods = methods;
    return job;
  }
  // The text of members that follow the version.
  sp_describe Describe(const std::string &members) {
    path_ = scratch_ / "d.json";
    WriteFile(path_, "{\"secondpass_description\":1," + members + "}");
    sp_describe describe{};
    describe.path = path_.c_str();
    return describe;
  }
  // Lists of two hypotheses of one length, words of one letter; `lengths` are used in turn.
  Archive Like(size_t utts, const std::vector<size_t> &lengths) {
    Archive archive;
    unsigned state = 1;
    for (size_t u = 0; u < utts; u++) {
      Utt utt{"utterance-" + std::to_string(100000 + u), {}};
      for (int h = 0; h < 2; h++) {
        std::string text;
        for (size_t i = 0; i < lengths[u % lengths.size()]; i++) {
          state = state * 1103515245u + 12345u;
          text += std::string(i ? " " : "") + static_cast<char>('a' + (state >> 16) % 26);
        }
        utt.hyps.push_back(text);
      }
      archive.push_back(utt);
    }
    return archive;
  }

  Scratch scratch_;
  std::string model_, path_;
};

const char kLike[] = R"("utterances":40,"hypotheses":2,"lengths":[[0,10],[7,10],[30,10],[70,10]])";

TEST_F(PlanDescribed, CountsAreThoseOfSuchAnArchive) {
  WriteFile(scratch_ / "a.jsonl", ToJsonl(Like(40, {0, 7, 30, 70})));
  for (const char *methods : {"pll", "cls", "maskless", "cls,maskless", "pll,cls", "pll,pll_l2r"}) {
    for (const char *on_long : {"null", "truncate"}) {
      Job job = MakeJob(methods);
      job.on_long = on_long;
      job.eos = "z";
      job.without = "dedupe";
      Described described = PlanFrom(job, Describe(kLike));
      ASSERT_EQ(described.status, SP_OK) << described.message;
      job.archives = {scratch_ / "a.jsonl"};
      Planned planned = Plan(job);
      ASSERT_EQ(planned.status, SP_OK) << planned.message;
      sp_counts got = described.summary.plan.counts, want = planned.summary.counts;
      want.without_ref = want.without_score = 0;
      EXPECT_EQ(memcmp(&got, &want, offsetof(sp_counts, flops)), 0) << methods << " " << on_long;
      EXPECT_NEAR(got.flops / want.flops, 1, 1e-12);
      EXPECT_EQ(described.summary.plan.shards, planned.summary.shards);
      EXPECT_EQ(described.summary.plan.shard_utts, planned.summary.shard_utts);
      EXPECT_EQ(described.summary.plan.longest_tokens, planned.summary.longest_tokens);
      EXPECT_STREQ(described.summary.plan.model_hash, planned.summary.model_hash);
      EXPECT_FALSE(described.summary.at_most);
    }
  }
}

TEST_F(PlanDescribed, SharesOfEqualOnesAreTakenOff) {
  sp_describe describe = Describe(R"("utterances":50,"hypotheses":2,"lengths":[[8,1]],
                                     "duplicates":0.25,"equal_copies":0.1)");
  Job job = MakeJob("pll,cls");
  sp_counts c = PlanFrom(job, describe).summary.plan.counts;
  EXPECT_EQ(c.hyps, 100u);
  EXPECT_EQ(c.duplicate_hyps, 25u);
  EXPECT_EQ(c.tokens, 800u);
  EXPECT_EQ(c.copies, 75u * 9);
  EXPECT_EQ(c.sequences, 540u + 75);
  EXPECT_EQ(c.sequence_tokens, 5400u + 750);
  job.without = "dedupe";
  c = PlanFrom(job, describe).summary.plan.counts;
  EXPECT_EQ(c.duplicate_hyps, 0u);
  EXPECT_EQ(c.sequences, 900u);
  job = MakeJob("pll,pll_l2r");
  EXPECT_TRUE(PlanFrom(job, describe).summary.at_most) << "which copies are equal is not told";
}

TEST_F(PlanDescribed, SpeedIsMeasuredOrGiven) {
  Job job = MakeJob();
  sp_describe describe = Describe(kLike);
  sp_described_summary measured = PlanFrom(job, describe).summary;
  EXPECT_GT(measured.plan.measured_flops, 0);
  EXPECT_EQ(measured.devices, 1u);
  EXPECT_NEAR(measured.device_flops / measured.plan.measured_flops, 2, 1e-9) << "two threads";
  EXPECT_NE(measured.plan.device_type[0], '\0');
  EXPECT_GT(measured.plan.memory_bytes, 0u);
  EXPECT_GT(measured.read_seconds, 0);
  describe.devices = 10;
  describe.device_flops = 1e9;
  sp_described_summary given = PlanFrom(job, describe).summary;
  EXPECT_EQ(given.devices, 10u);
  EXPECT_NEAR(given.score_seconds / (given.plan.counts.flops / 1e10), 1, 1e-12);
  EXPECT_EQ(given.plan.measured_flops, 0);
  EXPECT_EQ(given.plan.device_type[0], '\0') << "no device was opened";
  EXPECT_EQ(given.scores_raw_bytes, measured.scores_raw_bytes);
}

// Against a run: bytes of lines within a few per cent, of files as they are.
TEST_F(PlanDescribed, BytesAreThoseOfARun) {
  WriteFile(scratch_ / "a.jsonl", ToJsonl(Like(2000, {5, 7, 9, 14})));
  for (bool rich : {false, true}) {
    Job job = MakeJob();
    job.per_token = job.with_text = rich;
    job.archives = {scratch_ / "a.jsonl"};
    job.out = scratch_ / (rich ? "rich" : "run");
    job.shard_utts = 500;
    Outcome run = Score(job);
    ASSERT_EQ(run.status, SP_OK) << run.message;
    sp_described_summary s =
        PlanFrom(job, Describe(R"("utterances":2000,"hypotheses":2,"id_bytes":16,
                                       "lengths":[[5,1],[7,1],[9,1],[14,1]])"))
            .summary;
    EXPECT_NEAR(static_cast<double>(s.scores_raw_bytes) / run.summary.raw_bytes, 1, 0.05) << rich;
    EXPECT_NEAR(static_cast<double>(s.scores_zst_bytes) / run.summary.zst_bytes, 1, 0.15) << rich;
    std::map<std::string, std::string> files = FilesOf(job.out);
    EXPECT_NEAR(s.success_bytes, files["_SUCCESS"].size(), 64)
        << "the lines of two names are shorter";
    EXPECT_NEAR(static_cast<double>(s.markers_bytes) / 4,
                files["scores-00000-of-00004.done"].size(), 8);
    EXPECT_EQ(s.plan.shards, 4u);
    EXPECT_EQ(s.run_files, 11u);
  }
}

TEST_F(PlanDescribed, ABillionHypotheses) {
  Job job = MakeJob();
  sp_describe describe = Describe(
      R"("utterances":100000000,"hypotheses":10,"lengths":"librispeech-10best","equal_copies":0)");
  describe.devices = 1024;
  describe.device_flops = 4e14;
  job.on_long = "truncate";
  Described described = PlanFrom(job, describe);
  ASSERT_EQ(described.status, SP_OK) << described.message;
  const sp_described_summary &s = described.summary;
  EXPECT_EQ(s.plan.counts.hyps, 1000000000u);
  EXPECT_EQ(s.archive_bytes, 148000000000u);
  EXPECT_EQ(s.plan.shard_utts % 512, 0u) << "whole blocks of the first pass";
  EXPECT_EQ(s.plan.shards, (100000000 + s.plan.shard_utts - 1) / s.plan.shard_utts);
  EXPECT_LT(s.head_ids_bytes, 1u << 30);
  EXPECT_EQ(s.head_spilled_bytes, 2400000000u);
  EXPECT_LT(s.head_shards_bytes, 200u << 20);
  EXPECT_GT(s.scores_zst_bytes, 1000000000u * 4);
  EXPECT_LT(s.scores_zst_bytes, s.scores_raw_bytes);
  EXPECT_GT(s.run_plan_bytes, s.plan.shards * 20);
  EXPECT_LT(s.run_plan_bytes, s.plan.shards * 200);
}

TEST_F(PlanDescribed, WhatCannotBeIsNamed) {
  Job job = MakeJob();
  const struct {
    std::string members, said;
    sp_status status;
  } cases[] = {
      {R"("utterances":1,"hypotheses":1)", "lengths is missing", SP_EINPUT},
      {R"("utterances":1000000000000000,"hypotheses":1000000,"lengths":[[60,1]])", "beyond 2^63",
       SP_EINPUT},
      {R"("utterances":1,"hypotheses":1000000,"lengths":[[60,1]])", "pass 64 MiB", SP_EINPUT},
      {R"("utterances":100000000000,"hypotheses":1,"lengths":[[1,1]])", "--shard-utts 10001",
       SP_EUSAGE},
  };
  for (const auto &one : cases) {
    job.shard_utts = one.status == SP_EUSAGE ? 100 : 0;
    sp_describe describe = Describe(one.members);
    describe.device_flops = 1e12;
    Described described = PlanFrom(job, describe);
    EXPECT_EQ(described.status, one.status) << one.members;
    EXPECT_NE(described.message.find(one.said), std::string::npos) << described.message;
  }
  job = MakeJob();
  job.on_long = "error";
  Described described = PlanFrom(job, Describe(kLike));
  EXPECT_EQ(described.status, SP_EINPUT);
  EXPECT_NE(described.message.find("70 tokens, the model takes 62"), std::string::npos)
      << described.message;
  sp_describe absent{};
  absent.path = "/nonexistent/d.json";
  EXPECT_NE(PlanFrom(job, absent).status, SP_OK);
}

TEST_F(PlanDescribed, ALimitIsKept) {
  Job job = MakeJob();
  job.limit = 10;
  EXPECT_EQ(PlanFrom(job, Describe(kLike)).summary.plan.counts.utts, 10u);
}

}  // namespace
