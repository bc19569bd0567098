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

constexpr size_t kUtts = 48;

// 48 MB of which few are texts; `random` ones do not get smaller.
std::string BigJsonl(const std::string &name, bool random = false) {
  std::mt19937_64 bits(7);
  std::string lines;
  for (size_t i = 0; i < kUtts; i++) {
    std::string pad(1 << 20, 'x');
    for (char &c : pad)
      c = random ? "0123456789abcdef"[bits() >> 60] : c;
    lines += "{\"id\": \"" + name + std::to_string(i) + "\", \"pad\": \"" + pad +
             "\", \"hyps\": [{\"text\": \"ab c\", \"score\": -1}, {\"text\": \"b" +
             std::string(i % 7, 'a') + "\", \"score\": -2}]}\n";
  }
  return lines;
}

std::string Name(const ::testing::TestParamInfo<const char *> &info) {
  return info.param;
}

// A small file, then one that cannot be entered.
class ReframedTest : public ::testing::TestWithParam<const char *> {
 protected:
  void SetUp() override {
    model_ = MakeModel(scratch_ / "model");
    WriteFile(scratch_ / "small.jsonl",
              "{\"id\": \"first\", \"hyps\": [{\"text\": \"a b\", "
              "\"score\": -1}]}\n");
    archives_ = {scratch_ / "small.jsonl", scratch_ / "big"};
    Pack(BigJsonl("u"), "big");
    run_ = scratch_ / "run";
  }

  void Pack(const std::string &lines, const std::string &name) {
    const std::string plain = scratch_ / "plain", kind = GetParam();
    WriteFile(plain, lines);
    std::string command = kind == "zst" ? "zstd -q -1 -c " + plain : "gzip -1 -c " + plain;
    if (kind == "frames")  // a small frame, then a large one
      command =
          "(head -n 3 " + plain + " | zstd -q -1 -c; tail -n +4 " + plain + " | zstd -q -1 -c)";
    ASSERT_EQ(sp_test::Run("sh -c '" + command + " >" + (scratch_ / name) + "'").exit_code, 0);
  }
  // Bytes that nobody can read, as many as there were.
  void Spoil(const std::string &name) {
    WriteFile(scratch_ / name, std::string(fs::file_size(scratch_ / name), '?'));
  }

  Job Worker(size_t part, size_t parts) {
    Job job;
    job.model = model_;
    job.out = run_;
    job.archives = archives_;
    job.shard_utts = 4;
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
  std::vector<std::string> Copies() {
    std::vector<std::string> found;
    for (const auto &entry : fs::directory_iterator(run_)) {
      if (entry.path().filename().string().find(".input-") == 0)
        found.push_back(entry.path());
    }
    return found;
  }
  static size_t Count(const Outcome &outcome, const std::string &part) {
    size_t n = 0;
    for (const std::string &warning : outcome.warnings)
      n += warning.find(part) != std::string::npos;
    return n;
  }

  Scratch scratch_;
  std::string model_, run_;
  std::vector<std::string> archives_;
};

TEST_P(ReframedTest, PartsReadWhatTheRunHasAndLeaveTheBytesOfALoneRun) {
  auto whole = Alone();
  EXPECT_EQ(Count(Do(Preparer()), "once more"), 1u);
  ASSERT_EQ(Copies().size(), 1u);
  Spoil("big");
  for (size_t part = 0; part < 3; part++)
    EXPECT_EQ(Do(Worker(part, 3)).warnings.size(), 0u);
  EXPECT_TRUE(SameFiles(FilesOf(run_), whole));
}

TEST_P(ReframedTest, RanksReadItToo) {
  auto whole = Alone();
  Do(Preparer());
  Spoil("big");
  RankRoom room(2);
  for (const Outcome &outcome : ScoreRanks(Worker(0, 0), room))
    EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
  EXPECT_TRUE(SameFiles(FilesOf(run_), whole));
}

TEST_P(ReframedTest, ALostOneCostsTimeAlone) {
  auto whole = Alone();
  Do(Preparer());
  fs::remove(Copies().at(0));
  for (size_t part = 0; part < 2; part++)
    EXPECT_EQ(Count(Do(Worker(part, 2)), "from its start"), 1u);
  EXPECT_TRUE(SameFiles(FilesOf(run_), whole));
}

INSTANTIATE_TEST_SUITE_P(Kinds, ReframedTest, ::testing::Values("zst", "gzip", "frames"), Name);

using Reframed = ReframedTest;
INSTANTIATE_TEST_SUITE_P(One, Reframed, ::testing::Values("zst"), Name);

TEST_P(Reframed, WhatCanBeEnteredIsNot) {
  WriteFile(scratch_ / "big", BigJsonl("u"));
  EXPECT_EQ(Do(Preparer()).warnings.size(), 0u);
  EXPECT_EQ(Copies().size(), 0u);
}

TEST_P(Reframed, AWorkerAloneNeedsNone) {
  EXPECT_EQ(Do(Worker(0, 1)).warnings.size(), 0u);
}

// Of several, while one is read from: the first shard is of the file that is read last.
TEST_P(Reframed, AllMayBeLostWhileTheyAreRead) {
  Pack(BigJsonl("v"), "more");
  archives_.push_back(scratch_ / "more");
  auto whole = Alone();
  EXPECT_EQ(Count(Do(Preparer()), "once more"), 1u);
  ASSERT_EQ(Copies().size(), 2u);
  Job job = Worker(0, 2);
  size_t lost = 0;
  job.on_progress = [&](const sp_progress &progress) {
    for (const std::string &copy : Copies())
      lost += !progress.validating && fs::remove(copy);
  };
  Do(job);
  EXPECT_EQ(lost, 2u);
  Do(Worker(1, 2));
  EXPECT_TRUE(SameFiles(FilesOf(run_), whole));
}

TEST_P(Reframed, ADamagedOneIsNamed) {
  Do(Preparer());
  const std::string copy = Copies().at(0);
  std::string bytes = ReadFile(copy);
  bytes[bytes.size() / 2] ^= 0x55;
  WriteFile(copy, bytes);
  Job job = Worker(0, 1);
  Outcome outcome = Score(job);
  EXPECT_EQ(outcome.status, SP_EINPUT);
  EXPECT_NE(outcome.message.find(copy), std::string::npos) << outcome.message;
}

// Of a maker that was killed before run.json, when the archive was another.
TEST_P(Reframed, OneOfAnotherArchiveIsNotRead) {
  Do(Preparer());
  fs::remove(run_ + "/run.json");
  fs::remove(run_ + "/plan.jsonl.zst");
  Pack(BigJsonl("other"), "big");
  auto whole = Alone();
  Do(Preparer());
  EXPECT_EQ(Copies().size(), 2u);
  for (size_t part = 0; part < 2; part++)
    Do(Worker(part, 2));
  EXPECT_TRUE(SameFiles(FilesOf(run_), whole));
}

TEST_P(Reframed, OneLeftInACompleteRunGoes) {
  Do(Preparer());
  const std::string copy = Copies().at(0), bytes = ReadFile(copy);
  for (size_t part = 0; part < 2; part++)
    Do(Worker(part, 2));
  for (Job job : {Worker(0, 2), Worker(0, 0)}) {
    WriteFile(copy, bytes);
    Do(job);
    EXPECT_EQ(Copies().size(), 0u);
  }
}

// A maker that was killed left what it had written; the next one begins anew.
TEST_P(Reframed, AnUnfinishedOneGoesBeforeTheNextIsWritten) {
  fs::create_directory(run_);
  const std::string left = run_ + "/.input-0123456789abcdef.zst.tmp.120000000001";
  WriteFile(left, "cut");
  Do(Preparer());
  EXPECT_FALSE(fs::exists(left));
  EXPECT_EQ(Copies().size(), 1u);
}

TEST_P(Reframed, WhereThereIsNoRoomAllReadTheArchive) {
  Pack(BigJsonl("u", true), "big");
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
  EXPECT_EQ(Copies().size(), 0u);
  for (size_t part = 0; part < 2; part++)
    Do(Worker(part, 2));
  EXPECT_TRUE(SameFiles(FilesOf(run_), whole));
}

}  // namespace
