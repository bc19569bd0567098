// workers_test.cc - many workers on one run directory: whoever does what, the bytes are those of one.
#include "sink.h"
#include "workers_fixture.h"

namespace {

using namespace sp_test;
namespace fs = std::filesystem;

// Compressed as our own writers do.
void WritePacked(const std::string &path, const std::string &text) {
  sp_sink *sink = nullptr;
  sp_error err{};
  ASSERT_EQ(sp_sink_open(path.c_str(), &sink, &err), SP_OK) << err.message;
  ASSERT_EQ(sp_sink_write(sink, text.data(), text.size(), &err), SP_OK) << err.message;
  ASSERT_EQ(sp_sink_close(sink, &err), SP_OK) << err.message;
}

// What two parts do at once, of every way in which an archive is read.
TEST_F(Workers, PartsAtOnceMakeTheBytesOfOne) {
  WritePacked(scratch_ / "a.jsonl.zst", ReadFile(scratch_ / "a.jsonl"));
  ASSERT_EQ(sp_test::Run("gzip -k " + (scratch_ / "a.jsonl")).exit_code, 0);
  std::string texts;
  for (int i = 0; i < 130; i++)
    texts += "ab c" + std::string(static_cast<size_t>(i % 7), 'x') + " w7\n";
  WriteFile(scratch_ / "t.txt", texts);
  WriteFile(scratch_ / "m.json", ToMlm(MakeArchive(60), 0, 60));
  WriteEspnet2(scratch_ / "espnet2", 6);
  WriteFile(scratch_ / "b.jsonl", ToJsonl({{"last", {"a b c", "d"}}}));
  struct Case {
    std::string name, format, methods;
    std::vector<std::string> archives;
  };
  for (const Case &of : {Case{"jsonl", "", "pll,pll_l2r,cls,maskless", {scratch_ / "a.jsonl"}},
                         Case{"text", "text", "pll", {scratch_ / "t.txt"}},
                         Case{"mlm", "", "maskless", {scratch_ / "m.json"}},
                         Case{"groups", "", "cls", {scratch_ / "espnet2"}},
                         Case{"zst", "", "cls", {scratch_ / "a.jsonl.zst"}},
                         Case{"gz", "", "cls", {scratch_ / "a.jsonl.gz"}},
                         Case{"two", "", "cls", {scratch_ / "a.jsonl", scratch_ / "b.jsonl"}}}) {
    std::vector<Job> jobs = {MakeJob(of.name, 0, 2), MakeJob(of.name, 1, 2)};
    for (Job &job : jobs) {
      job.format = of.format;
      job.methods = of.methods;
      job.archives = of.archives;
    }
    auto expected = Alone(jobs[0]);
    Together(jobs);
    EXPECT_TRUE(SameFiles(FilesOf(jobs[0].out), expected)) << of.name;
  }
}

TEST_F(Workers, OnePartAfterTheOther) {
  Job first = MakeJob("run", 0, 2), second = MakeJob("run", 1, 2);
  auto expected = Alone(first);
  Outcome half = Score(first);
  EXPECT_EQ(half.status, SP_OK) << half.message;
  EXPECT_EQ(half.summary.shards, 24u);
  EXPECT_EQ(half.summary.shards_open, 12u);
  EXPECT_EQ(half.summary.zst_bytes, 0u);
  EXPECT_EQ(Done("run"), 12u);
  EXPECT_EQ(CountEnding(first.out, "_SUCCESS"), 0u);
  Outcome rest = Score(second);
  EXPECT_EQ(rest.status, SP_OK) << rest.message;
  EXPECT_EQ(rest.summary.shards_open, 0u);
  EXPECT_EQ(rest.summary.shards_resumed, 0u) << "of its own share";
  EXPECT_EQ(half.summary.hyps_scored + rest.summary.hyps_scored, rest.summary.counts.hyps);
  EXPECT_GT(rest.summary.zst_bytes, 0u);
  EXPECT_TRUE(SameFiles(FilesOf(first.out), expected));
  Outcome again = Score(first);
  EXPECT_TRUE(again.summary.already_complete);
  EXPECT_TRUE(SameFiles(FilesOf(first.out), expected));
  Job alone = MakeJob("run");
  EXPECT_TRUE(Score(alone).summary.already_complete);
}

TEST_F(Workers, TheCountsAreThoseOfTheFirstPass) {
  Job first = MakeJob("run", 0, 2), second = MakeJob("run", 1, 2), alone = MakeJob("alone");
  const sp_counts whole = Score(alone).summary.counts;
  for (Job *job : {&first, &second}) {
    const sp_counts counts = Score(*job).summary.counts;
    EXPECT_EQ(counts.utts, whole.utts);
    EXPECT_EQ(counts.hyps, whole.hyps);
    EXPECT_EQ(counts.tokens, whole.tokens);
    EXPECT_EQ(counts.empty, whole.empty);
    EXPECT_EQ(counts.too_long, whole.too_long);
    EXPECT_EQ(counts.empty_lists, whole.empty_lists);
    EXPECT_EQ(counts.special_in_text, whole.special_in_text);
    EXPECT_EQ(counts.without_score, whole.without_score);
    EXPECT_LT(counts.sequences, whole.sequences) << "what this part computed";
  }
}

TEST_F(Workers, OtherNumbersOfPartsGoOn) {
  Job half = MakeJob("run", 1, 2);
  auto expected = Alone(half);
  ASSERT_EQ(Score(half).status, SP_OK);
  std::vector<Job> jobs = {MakeJob("run", 0, 3), MakeJob("run", 1, 3), MakeJob("run", 2, 3)};
  size_t resumed = 0;
  for (const Outcome &outcome : Together(jobs))
    resumed += outcome.summary.shards_resumed;
  EXPECT_EQ(resumed, 12u);
  EXPECT_TRUE(SameFiles(FilesOf(half.out), expected));
}

// Two of the same part, and more parts than shards.
TEST_F(Workers, NobodyDoesWhatAnotherHas) {
  std::vector<Job> jobs;
  for (size_t i = 0; i < 3; i++)
    jobs.push_back(MakeJob("run", 0, 1));
  jobs.push_back(MakeJob("run", 99, 100));
  for (Job &job : jobs)
    job.lease = 30;  // nobody is to seem gone because this machine is busy
  auto expected = Alone(jobs[0]);
  uint64_t scored = 0, hyps = 0;
  for (const Outcome &outcome : Together(jobs)) {
    scored += outcome.summary.hyps_scored;
    hyps = outcome.summary.counts.hyps;
    EXPECT_EQ(outcome.summary.shards_taken_over, 0u);
    EXPECT_EQ(outcome.summary.shards_late, 0u);
  }
  EXPECT_EQ(scored, hyps);
  EXPECT_TRUE(SameFiles(FilesOf(jobs[0].out), expected));
}

TEST_F(Workers, ARunThatWasBegunAloneAndOneWithoutAPlanAreJoined) {
  Job alone = MakeJob("run"), worker = MakeJob("run", 0, 1);
  auto expected = Alone(alone);
  for (bool plan : {true, false}) {
    fs::remove_all(alone.out);
    uint64_t before = 0;
    alone.stop = 0;
    alone.on_progress = [&](const sp_progress &progress) {
      alone.stop = !progress.validating && progress.hyps_done > before;
    };
    Outcome stopped = Score(alone);
    ASSERT_TRUE(stopped.status == SP_EINTERRUPTED || stopped.status == SP_OK) << stopped.message;
    fs::remove(alone.out + "/_SUCCESS");
    if (!plan)
      fs::remove(alone.out + "/plan.jsonl.zst");
    Outcome outcome = Score(worker);
    EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
    EXPECT_TRUE(SameFiles(FilesOf(alone.out), expected)) << plan;
  }
}

// Whoever made the run was killed before its plan was there; or the plan is one of a run that is gone.
TEST_F(Workers, APlanThatIsMissingOrOfAnotherRunIsMade) {
  Job other = MakeJob("other");
  other.shard_utts = 7;
  ASSERT_EQ(Score(other).status, SP_OK);
  const std::string old = ReadFile(other.out + "/plan.jsonl.zst");
  for (size_t parts : {0, 1}) {
    Job job = MakeJob("run", 0, parts);
    auto expected = Alone(job);
    fs::create_directory(job.out);
    WriteFile(job.out + "/run.json", expected["run.json"]);
    ASSERT_EQ(Score(job).status, SP_OK);
    EXPECT_TRUE(SameFiles(FilesOf(job.out), expected));
    fs::remove_all(job.out);
    fs::create_directory(job.out);
    WriteFile(job.out + "/plan.jsonl.zst", old);
    ASSERT_EQ(Score(job).status, SP_OK);
    EXPECT_TRUE(SameFiles(FilesOf(job.out), expected));
    fs::remove_all(job.out);
  }
  std::vector<Job> jobs = {MakeJob("run", 0, 2), MakeJob("run", 1, 2)};
  auto expected = Alone(jobs[0]);
  fs::create_directory(jobs[0].out);
  WriteFile(jobs[0].out + "/plan.jsonl.zst", old);
  Together(jobs);
  EXPECT_TRUE(SameFiles(FilesOf(jobs[0].out), expected));
}

TEST_F(Workers, LostAndCutShardsAreMadeAgain) {
  Job job = MakeJob("run", 0, 1);
  auto expected = Alone(job);
  ASSERT_EQ(Score(job).status, SP_OK);
  for (bool complete : {true, false}) {
    fs::remove(job.out + "/scores-00003-of-00024.jsonl.zst");
    fs::resize_file(job.out + "/scores-00007-of-00024.jsonl.zst", 20);
    fs::remove(job.out + "/scores-00009-of-00024.done");
    if (!complete)
      fs::remove(job.out + "/_SUCCESS");
    Outcome outcome = Score(job);
    if (complete) { /* the seal names a marker that is gone */
      EXPECT_EQ(outcome.status, SP_EDAMAGED) << outcome.message;
      continue;
    }
    EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
    EXPECT_EQ(outcome.summary.shards_resumed, 21u);
    EXPECT_EQ(outcome.summary.shards_late, 1u) << "its file was there, and has equal bytes";
    EXPECT_TRUE(SameFiles(FilesOf(job.out), expected));
  }
}

TEST_F(Workers, OtherOptionsAreAnotherRun) {
  Job first = MakeJob("run", 0, 2), second = MakeJob("run", 1, 2);
  ASSERT_EQ(Score(first).status, SP_OK);
  second.shard_utts = 6;
  Outcome outcome = Score(second);
  EXPECT_EQ(outcome.status, SP_EIDENTITY);
  EXPECT_NE(outcome.message.find("shard_utts"), std::string::npos) << outcome.message;
  second.shard_utts = 0; /* as the run has it */
  second.methods = "pll";
  outcome = Score(second);
  EXPECT_EQ(outcome.status, SP_EIDENTITY);
  EXPECT_NE(outcome.message.find("method"), std::string::npos) << outcome.message;
  second.methods = "cls,pll";
  EXPECT_EQ(Score(second).status, SP_OK);
}

TEST_F(Workers, ADamagedPlanIsTold) {
  Job job = MakeJob("run", 0, 2);
  ASSERT_EQ(Score(job).status, SP_OK);
  const std::string plan = ReadFile(job.out + "/plan.jsonl.zst");
  WriteFile(job.out + "/plan.jsonl.zst", plan.substr(0, plan.size() / 2));
  Outcome outcome = Score(job);
  EXPECT_EQ(outcome.status, SP_EDAMAGED);
  EXPECT_NE(outcome.message.find("plan.jsonl.zst"), std::string::npos) << outcome.message;
}

TEST_F(Workers, AloneAndPartsRefuseEachOther) {
  Job worker = MakeJob("run", 0, 1), alone = MakeJob("run"), other = MakeJob("run");
  Outcome refused{};
  bool tried = false;
  worker.on_progress = [&](const sp_progress &progress) {
    if (!progress.validating && !tried) {
      tried = true;
      refused = Score(alone);
    }
  };
  EXPECT_EQ(Score(worker).status, SP_OK);
  ASSERT_TRUE(tried);
  EXPECT_EQ(refused.status, SP_ELOCK) << refused.message;
  EXPECT_NE(refused.message.find(std::to_string(getpid())), std::string::npos) << refused.message;

  fs::remove_all(worker.out);
  worker.on_progress = nullptr;
  tried = false;
  alone.on_progress = [&](const sp_progress &progress) {
    if (!progress.validating && !tried) {
      tried = true;
      refused = Score(worker);
    }
  };
  EXPECT_EQ(Score(alone).status, SP_OK);
  ASSERT_TRUE(tried);
  EXPECT_EQ(refused.status, SP_ELOCK) << refused.message;
}

}  // namespace
