// Archives that cannot be entered in their middle: many workers read what the run has of them, and without it,
// later or damaged, no score is another.
#include <sys/resource.h>

#include <csignal>
#include <filesystem>
#include <random>

#include "engine_fixture.h"
#include "rank_threads.h"

namespace {

using namespace sp_test;
namespace fs = std::filesystem;

constexpr size_t kUtts = 48, kShards = 12;
const char kCopy[] = ".input-00001.zst";

// 48 MB of which few are texts; `random` ones do not get smaller.
std::string BigJsonl(bool random) {
  std::mt19937_64 bits(7);
  std::string lines;
  for (size_t i = 0; i < kUtts; i++) {
    std::string pad(1 << 20, 'x');
    for (char &c : pad)
      c = random ? "0123456789abcdef"[bits() >> 60] : c;
    lines += "{\"id\": \"u" + std::to_string(i) + "\", \"pad\": \"" + pad +
             "\", \"hyps\": [{\"text\": \"ab c\", \"score\": -1}, {\"text\": \"b" +
             std::string(i % 7, 'a') + "\", \"score\": -2}]}\n";
  }
  return lines;
}

std::string Name(const ::testing::TestParamInfo<const char *> &info) {
  return info.param;
}

// The second of two files is the one that counts; the first is small.
class ReframedTest : public ::testing::TestWithParam<const char *> {
 protected:
  void SetUp() override {
    model_ = MakeModel(scratch_ / "model");
    WriteFile(scratch_ / "small.jsonl", "{\"id\": \"first\", \"hyps\": [{\"text\": \"a b\", "
                                        "\"score\": -1}]}\n");
    WriteFile(scratch_ / "big.jsonl", BigJsonl(false));
    Pack(GetParam());
    run_ = scratch_ / "run";
  }

  void Pack(const std::string &kind) {
    const std::string big = scratch_ / "big.jsonl", out = scratch_ / "big.packed";
    std::string command = kind == "zst" ? "zstd -q -1 -c " + big : "gzip -1 -c " + big;
    if (kind == "frames")  // a small frame, then a large one
      command = "(head -n 3 " + big + " | zstd -q -1 -c; tail -n +4 " + big + " | zstd -q -1 -c)";
    ASSERT_EQ(sp_test::Run("sh -c '" + command + " >" + out + "'").exit_code, 0);
  }

  Job Worker(size_t part, size_t parts) {
    Job job;
    job.model = model_;
    job.out = run_;
    job.archives = {scratch_ / "small.jsonl", scratch_ / "big.packed"};
    job.shard_utts = kUtts / kShards;
    job.part = part;
    job.parts = parts;
    return job;
  }
  Job Preparer() {
    Job job = Worker(0, 0);
    job.prepare = true;
    return job;
  }
  Outcome Do(Job job) {
    Outcome outcome = Score(job);
    EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
    return outcome;
  }
  std::map<std::string, std::string> Alone() {
    Job job = Worker(0, 0);
    job.out = scratch_ / "alone";
    Do(job);
    return FilesOf(job.out);
  }
  static size_t Count(const Outcome &outcome, const std::string &part) {
    size_t n = 0;
    for (const std::string &warning : outcome.warnings)
      n += warning.find(part) != std::string::npos;
    return n;
  }

  Scratch scratch_;
  std::string model_, run_;
};

TEST_P(ReframedTest, PartsReadWhatTheRunHasAndLeaveTheBytesOfALoneRun) {
  auto whole = Alone();
  EXPECT_EQ(Count(Do(Preparer()), "once more"), 1u);
  ASSERT_TRUE(fs::exists(run_ + "/" + kCopy));
  EXPECT_FALSE(fs::exists(run_ + "/.input-00000.zst"));
  const std::string packed = scratch_ / "big.packed";
  WriteFile(packed, std::string(fs::file_size(packed), '?'));  // of which nobody reads a byte
  for (size_t part = 0; part < 3; part++)
    EXPECT_EQ(Count(Do(Worker(part, 3)), "once more"), 0u);
  EXPECT_TRUE(SameFiles(FilesOf(run_), whole));
}

TEST_P(ReframedTest, ALostOneCostsTimeAlone) {
  auto whole = Alone();
  Do(Preparer());
  fs::remove(run_ + "/" + kCopy);
  for (size_t part = 0; part < 2; part++)
    Do(Worker(part, 2));
  EXPECT_TRUE(SameFiles(FilesOf(run_), whole));
}

TEST_P(ReframedTest, RanksReadItToo) {
  auto whole = Alone();
  RankRoom room(2);
  size_t told = 0;
  for (const Outcome &outcome : ScoreRanks(Worker(0, 0), room)) {
    EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
    told += Count(outcome, "once more");
  }
  EXPECT_EQ(told, 1u);
  EXPECT_TRUE(SameFiles(FilesOf(run_), whole));
}

INSTANTIATE_TEST_SUITE_P(Kinds, ReframedTest, ::testing::Values("zst", "gzip", "frames"),
                         Name);

using Reframed = ReframedTest;
INSTANTIATE_TEST_SUITE_P(One, Reframed, ::testing::Values("zst"),
                         Name);

TEST_P(Reframed, WhatCanBeEnteredIsNot) {
  fs::rename(scratch_ / "big.jsonl", scratch_ / "big.packed");
  EXPECT_EQ(Do(Preparer()).warnings.size(), 0u);
  EXPECT_FALSE(fs::exists(run_ + "/" + kCopy));
}

TEST_P(Reframed, AWorkerAloneNeedsNone) {
  EXPECT_EQ(Count(Do(Worker(0, 1)), "once more"), 0u);
}

TEST_P(Reframed, ADamagedOneIsNamed) {
  Do(Preparer());
  std::string bytes = ReadFile(run_ + "/" + kCopy);
  bytes[bytes.size() / 2] ^= 0x55;
  WriteFile(run_ + "/" + kCopy, bytes);
  Job job = Worker(0, 1);
  Outcome outcome = Score(job);
  EXPECT_EQ(outcome.status, SP_EINPUT);
  EXPECT_NE(outcome.message.find(kCopy), std::string::npos) << outcome.message;
}

TEST_P(Reframed, AnArchiveThatChangedMeanwhileIsNotTaken) {
  Do(Preparer());
  WriteFile(scratch_ / "big.jsonl", ReadFile(scratch_ / "big.jsonl") + "{\"id\": \"more\", "
                                    "\"hyps\": [{\"text\": \"a\", \"score\": -1}]}\n");
  Pack("zst");
  Job job = Worker(0, 2);
  EXPECT_EQ(Score(job).status, SP_EIDENTITY);
}

TEST_P(Reframed, WhereThereIsNoRoomAllReadTheArchive) {
  WriteFile(scratch_ / "big.jsonl", BigJsonl(true));
  Pack("zst");
  auto whole = Alone();
  rlimit before, limit;
  getrlimit(RLIMIT_FSIZE, &before);
  limit = before;
  limit.rlim_cur = 4 << 20;
  auto handler = std::signal(SIGXFSZ, SIG_IGN);
  setrlimit(RLIMIT_FSIZE, &limit);
  Job job = Preparer();
  Outcome outcome = Score(job);
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  ASSERT_EQ(outcome.status, SP_OK) << outcome.message;
  EXPECT_EQ(Count(outcome, "stays as it is"), 1u);
  for (const auto &entry : fs::directory_iterator(run_))
    EXPECT_EQ(entry.path().filename().string().find(".input"), std::string::npos) << entry.path();
  for (size_t part = 0; part < 2; part++)
    Do(Worker(part, 2));
  EXPECT_TRUE(SameFiles(FilesOf(run_), whole));
}

}  // namespace
