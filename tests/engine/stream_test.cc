// stream_test.cc - lines to a sink, and standard input kept in the run directory.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "engine_fixture.h"

namespace {

using namespace sp_test;

class Stream : public testing::Test {
 protected:
  void SetUp() override {
    model_ = MakeModel(scratch_ / "model");
    archive_ = MakeArchive(40);
    WriteFile(scratch_ / "a.jsonl", ToJsonl(archive_));
  }
  Job MakeJob(const std::string &out) {
    Job job;
    job.model = model_;
    job.archives = {scratch_ / "a.jsonl"};
    job.out = out == "-" ? out : scratch_ / out;
    job.methods = "pll,cls";
    job.per_token = job.with_text = true;
    return job;
  }
  std::string Expected(uint64_t limit = 0) {
    Job job = MakeJob("expected");
    job.limit = limit;
    std::filesystem::remove_all(job.out);
    Outcome outcome = Score(job);
    EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
    return LinesOf(job.out);
  }

  Scratch scratch_;
  std::string model_;
  Archive archive_;
};

// Standard input is `path` while it lives.
class StandardInput {
 public:
  explicit StandardInput(const std::string &path) : before_(dup(STDIN_FILENO)) {
    int fd = open(path.c_str(), O_RDONLY);
    dup2(fd, STDIN_FILENO);
    close(fd);
  }
  ~StandardInput() {
    dup2(before_, STDIN_FILENO);
    close(before_);
  }

 private:
  int before_;
};

TEST_F(Stream, LinesAreThoseOfARun) {
  const std::string expected = Expected();
  for (size_t unit : {0u, 1u, 3u, 1000u}) {
    for (size_t threads : {1u, 4u}) {
      Job job = MakeJob("-");
      job.shard_utts = unit;
      job.threads = threads;
      Outcome outcome = Score(job);
      EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
      EXPECT_EQ(outcome.lines, expected) << unit << " " << threads;
      EXPECT_EQ(outcome.summary.counts.utts, 40u);
    }
  }
}

// More utterances than the first unit, which is read before the letter case is known.
TEST_F(Stream, AnArchiveOfManyUnits) {
  WriteFile(scratch_ / "a.jsonl", ToJsonl(MakeArchive(1203, 4)));
  const std::string expected = Expected();
  Job job = MakeJob("-");
  Outcome outcome = Score(job);
  EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
  EXPECT_EQ(outcome.lines, expected);
  EXPECT_EQ(outcome.summary.counts.utts, 1203u);
}

TEST_F(Stream, ALimitIsTheFirstLines) {
  const std::string all = Expected();
  for (uint64_t limit : {1u, 7u, 40u, 41u}) {
    Job job = MakeJob("-");
    job.limit = limit;
    job.shard_utts = 3;
    Outcome outcome = Score(job);
    EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
    EXPECT_EQ(outcome.lines, Expected(limit));
    EXPECT_EQ(all.substr(0, outcome.lines.size()), outcome.lines);
    EXPECT_EQ(outcome.summary.counts.utts, std::min<uint64_t>(limit, 40));
  }
}

TEST_F(Stream, ASinkThatFailsEndsTheRunWithItsMessage) {
  for (size_t threads : {1u, 4u}) {
    size_t lines = 0;
    Job job = MakeJob("-");
    job.threads = threads;
    job.shard_utts = 2;
    job.on_line = [&](const std::string &, sp_error *err) {
      lines++;
      if (lines < 5)
        return SP_OK;
      err->status = SP_EIO;
      snprintf(err->message, sizeof err->message, "the pipe is gone");
      return SP_EIO;
    };
    Outcome outcome = Score(job);
    EXPECT_EQ(outcome.status, SP_EIO);
    EXPECT_EQ(outcome.message, "the pipe is gone");
    EXPECT_EQ(lines, 5u) << "nothing follows the failure";
  }
}

TEST_F(Stream, StoppedOutputIsWholeLinesFromTheBeginning) {
  WriteFile(scratch_ / "a.jsonl", ToJsonl(MakeArchive(900, 4)));
  const std::string expected = Expected();
  Job job = MakeJob("-");
  job.threads = 1;
  std::string lines;
  job.on_line = [&](const std::string &line, sp_error *) {
    lines += line;
    return SP_OK;
  };
  job.on_progress = [&](const sp_progress &) { job.stop = 1; };
  Outcome outcome = Score(job);
  EXPECT_EQ(outcome.status, SP_EINTERRUPTED) << outcome.message;
  EXPECT_LT(lines.size(), expected.size());
  EXPECT_EQ(expected.substr(0, lines.size()), lines);
  EXPECT_TRUE(lines.empty() || lines.back() == '\n');
}

TEST_F(Stream, ADuplicateIdIsFoundWhereverItIs) {
  archive_[39].id = archive_[2].id;
  WriteFile(scratch_ / "a.jsonl", ToJsonl(archive_));
  for (const char *out : {"-", "run"}) {
    Job job = MakeJob(out);
    Outcome outcome = Score(job);
    EXPECT_EQ(outcome.status, SP_EINPUT);
    EXPECT_NE(outcome.message.find("a.jsonl:40"), std::string::npos) << outcome.message;
    EXPECT_NE(outcome.message.find("utt-2"), std::string::npos) << outcome.message;
  }
  EXPECT_FALSE(std::filesystem::exists(scratch_ / "run")) << "nothing may be written";
}

TEST_F(Stream, SeveralArchivesAreOne) {
  const std::string expected = Expected();
  WriteFile(scratch_ / "1.jsonl", ToJsonl(Archive(archive_.begin(), archive_.begin() + 9)));
  WriteFile(scratch_ / "2.jsonl", ToJsonl(Archive(archive_.begin() + 9, archive_.end())));
  Job job = MakeJob("-");
  job.archives = {scratch_ / "1.jsonl", scratch_ / "2.jsonl"};
  EXPECT_EQ(Score(job).lines, expected);
  job.out = scratch_ / "run";
  EXPECT_EQ(Score(job).status, SP_OK);
  EXPECT_EQ(LinesOf(job.out), expected);
}

TEST_F(Stream, EmptyInputIsBadInput) {
  WriteFile(scratch_ / "a.jsonl", "");
  for (const char *out : {"-", "run"}) {
    Job job = MakeJob(out);
    job.format = "jsonl";
    EXPECT_EQ(Score(job).status, SP_EINPUT);
  }
  EXPECT_FALSE(std::filesystem::exists(scratch_ / "run"));
}

TEST_F(Stream, StandardInputScoresAsTheFile) {
  const std::string expected = Expected();
  for (const char *out : {"-", "run"}) {
    StandardInput input(scratch_ / "a.jsonl");
    Job job = MakeJob(out);
    job.archives = {"-"};
    Outcome outcome = Score(job);
    EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
    EXPECT_EQ(*out == '-' ? outcome.lines : LinesOf(job.out), expected);
  }
  EXPECT_EQ(CountEnding(scratch_ / "run", ".stdin"), 0u);
}

// The same bytes are the same run, from a file or from standard input; the spool never stays.
TEST_F(Stream, StandardInputFindsACompleteRun) {
  Job job = MakeJob("run");
  ASSERT_EQ(Score(job).status, SP_OK);
  auto before = FilesOf(job.out);
  StandardInput input(scratch_ / "a.jsonl");
  job.archives = {"-"};
  Outcome outcome = Score(job);
  EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
  EXPECT_TRUE(outcome.summary.already_complete);
  EXPECT_TRUE(SameFiles(FilesOf(job.out), before));
}

TEST_F(Stream, BadStandardInputLeavesNothing) {
  WriteFile(scratch_ / "bad.jsonl", ToJsonl(archive_) + "{\"id\":\n");
  StandardInput input(scratch_ / "bad.jsonl");
  Job job = MakeJob("run");
  job.archives = {"-"};
  Outcome outcome = Score(job);
  EXPECT_EQ(outcome.status, SP_EINPUT);
  EXPECT_NE(outcome.message.find(":41"), std::string::npos) << outcome.message;
  EXPECT_FALSE(std::filesystem::exists(job.out));
}

TEST_F(Stream, StandardInputOnce) {
  StandardInput input(scratch_ / "a.jsonl");
  Job job = MakeJob("run");
  job.archives = {"-", "-"};
  EXPECT_EQ(Score(job).status, SP_EUSAGE);
  EXPECT_FALSE(std::filesystem::exists(job.out));
  job.archives = {"-"};
  EXPECT_EQ(Plan(job).status, SP_EUSAGE) << "a plan reads twice";
}

TEST_F(Stream, ANamedPipeIsRefusedWhereItWouldBeReadTwice) {
  const std::string fifo = scratch_ / "fifo";
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  Job job = MakeJob("run");
  job.archives = {fifo};
  Outcome outcome = Score(job);
  EXPECT_EQ(outcome.status, SP_EUSAGE);
  EXPECT_NE(outcome.message.find(fifo), std::string::npos) << outcome.message;
  EXPECT_EQ(Plan(job).status, SP_EUSAGE);
  EXPECT_FALSE(std::filesystem::exists(job.out));
  const std::string expected = Expected();
  std::thread writer([&] { WriteFile(fifo, ToJsonl(archive_)); });
  job.out = "-";
  outcome = Score(job);
  writer.join();
  EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
  EXPECT_EQ(outcome.lines, expected);
}

// What a limit leaves out must not decide the letter case, which one pass could not know.
TEST_F(Stream, LetterCaseIsDecidedByTheUtterancesThatAreScored) {
  WriteFile(model_ + "/tokenizer_config.json", "{\"do_lower_case\": false}");
  WriteFile(scratch_ / "a.jsonl", ToJsonl({{"1", {"AB C"}}, {"2", {"ab c"}}}));
  Job job = MakeJob("-");
  job.limit = 1;
  Outcome outcome = Score(job);
  EXPECT_STREQ(outcome.summary.letter_case, "lower");
  EXPECT_EQ(outcome.lines, Expected(1));
  job.limit = 0;
  outcome = Score(job);
  EXPECT_STREQ(outcome.summary.letter_case, "keep");
  EXPECT_EQ(outcome.lines, Expected());
}

}  // namespace
