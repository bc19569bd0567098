// fit_test.cc - speeds told from times, costs from lists, and the program itself.
#include "fit.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <vector>

#include "costs.h"
#include "scratch.h"

namespace {

using namespace sp_test;

TEST(Fit, FindsBothNumbers) {
  std::vector<double> flops, seconds;
  for (int i = 1; i <= 20; i++) {
    flops.push_back(1e9 * i);
    seconds.push_back(0.25 + i * 0.5);
  }
  sim_fit fit;
  sp_error err = {};
  ASSERT_EQ(sim_fit_pairs(flops.data(), seconds.data(), flops.size(), &fit, &err), SP_OK);
  EXPECT_NEAR(fit.shard_seconds, 0.25, 1e-9);
  EXPECT_NEAR(fit.rate, 2e9, 1);
  EXPECT_NEAR(fit.jitter, 0, 1e-9);
}

TEST(Fit, EqualShardsTellTheRateAlone) {
  std::vector<double> flops(8, 1e9), seconds = {2, 2, 2.2, 1.8, 2, 2, 2.2, 1.8};
  sim_fit fit;
  sp_error err = {};
  ASSERT_EQ(sim_fit_pairs(flops.data(), seconds.data(), flops.size(), &fit, &err), SP_OK);
  EXPECT_EQ(fit.shard_seconds, 0);
  EXPECT_NEAR(fit.rate, 5e8, 1);
  EXPECT_NEAR(fit.jitter, 0.0707, 1e-3);
  EXPECT_EQ(sim_fit_pairs(flops.data(), seconds.data(), 3, &fit, &err), SP_EUSAGE);
}

class Shards : public testing::Test {
 protected:
  Shards() {
    flops_ = {0, 1, 3, 6};
    hyps_ = {0, 2, 4, 6};
    tokens_ = {0, 10, 20, 30};
    lists_ = {3, flops_.data(), hyps_.data(), tokens_.data(), 300};
  }
  std::vector<sp_plan_shard> Make(uint64_t hyps, size_t shard_utts) {
    sp_plan_shard *shards = nullptr;
    size_t n = 0;
    sp_error err = {};
    EXPECT_EQ(sim_shards_make(&lists_, hyps, 1, &shard_utts, &shards, &n, &err), SP_OK)
        << err.message;
    std::vector<sp_plan_shard> made(shards, shards + n);
    free(shards);
    return made;
  }
  std::vector<double> flops_;
  std::vector<uint64_t> hyps_, tokens_;
  sim_lists lists_;
};

TEST_F(Shards, OfTheListsThemselves) {
  std::vector<sp_plan_shard> made = Make(0, 2);
  ASSERT_EQ(made.size(), 2u);
  EXPECT_EQ(made[0].cost, 3);
  EXPECT_EQ(made[1].cost, 3);
  EXPECT_EQ(made[1].utts, 1u);
  EXPECT_EQ(made[1].hyps, 2u);
}

// 7 utterances are the lists twice and one more, wherever they begin.
TEST_F(Shards, OfALargerCorpus) {
  std::vector<sp_plan_shard> made = Make(28, 7);
  ASSERT_EQ(made.size(), 2u);
  for (const sp_plan_shard &shard : made) {
    EXPECT_EQ(shard.utts, 7u);
    EXPECT_EQ(shard.hyps, 14u);
    EXPECT_EQ(shard.tokens, 70u);
    EXPECT_GE(shard.cost, 12 + 1);
    EXPECT_LE(shard.cost, 12 + 3);
  }
}

class Program : public testing::Test {
 protected:
  Result Simulate(const std::string &arguments) {
    const std::string data = SP_SOURCE_DIR "/bench/data/";
    return sp_test::Run(std::string(SP_SCALING) + " --model " + data +
                        "model --hyps 0,200000 --workers 1,8 " + arguments + " " + data +
                        "dev-clean-200.jsonl.zst");
  }
  Scratch scratch_;
};

TEST_F(Program, PrintsATableAndItsLimits) {
  Result ran = Simulate("--mtbf-hours 1 --json " + (scratch_ / "all.json"));
  ASSERT_EQ(ran.exit_code, 0) << ran.output;
  EXPECT_NE(ran.output.find("| parts | all | 8 |"), std::string::npos) << ran.output;
  EXPECT_NE(ran.output.find("The counter is the limit from"), std::string::npos);
  EXPECT_NE(ReadFile(scratch_ / "all.json").find("\"share_of_limit\""), std::string::npos);
  EXPECT_EQ(Simulate("--mtbf-hours 1").output, ran.output) << "the same seed";
}

TEST_F(Program, MeasuresADirectory) {
  Result ran = Simulate("--clients 2 --directory " + scratch_.path());
  EXPECT_EQ(ran.exit_code, 0) << ran.output;
  EXPECT_NE(ran.output.find("measured"), std::string::npos);
  EXPECT_EQ(Simulate("--directory " + (scratch_ / "absent")).exit_code, 6);
}

// Two runs of eight shards each of other sizes, a second an utterance: fourteen intervals.
TEST_F(Program, TakesItsSpeedFromRuns) {
  std::string fits;
  for (int utts : {1, 2}) {
    std::string run = scratch_ / ("run-" + std::to_string(utts));
    Result ran = sp_test::Run(SP_PROGRAM " score --method cls --threads 1 --limit " +
                              std::to_string(8 * utts) + " --shard-utts " + std::to_string(utts) +
                              " --model " SP_SOURCE_DIR "/bench/data/student --out " + run +
                              " " SP_SOURCE_DIR "/bench/data/dev-clean-200.jsonl.zst");
    ASSERT_EQ(ran.exit_code, 0) << ran.output;
    for (int shard = 0; shard < 8; shard++) {
      std::string marker = run + "/scores-0000" + std::to_string(shard) + "-of-00008.done";
      timespec at = {1000000000 + shard * utts, 0};
      const timespec times[2] = {at, at};
      ASSERT_EQ(utimensat(AT_FDCWD, marker.c_str(), times, 0), 0) << marker;
    }
    fits += " --fit " + run;
  }
  Result ran = Simulate("--shape model --json " + (scratch_ / "all.json") + fits);
  ASSERT_EQ(ran.exit_code, 0) << ran.output;
  EXPECT_NE(ran.output.find("(fitted)"), std::string::npos) << ran.output;
  EXPECT_NE(ReadFile(scratch_ / "all.json").find("\"fitted_intervals\": 14"), std::string::npos);
}

TEST_F(Program, SaysWhatIsWrong) {
  EXPECT_EQ(Simulate("--lease 0").exit_code, 2);
  EXPECT_EQ(Simulate("--workers x").exit_code, 2);
  EXPECT_EQ(Simulate("--no-such-thing 1").exit_code, 2);
  EXPECT_EQ(Simulate("--shape 12").exit_code, 2);
  EXPECT_EQ(Simulate("--fit " + scratch_.path()).exit_code, 2);
}

}  // namespace
