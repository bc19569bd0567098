// workers_test.cc - many workers on one run directory: whoever does what, the bytes are those of one.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <sstream>
#include <thread>

#include "engine_fixture.h"
#include "sink.h"

namespace {

using namespace sp_test;
namespace fs = std::filesystem;

class Workers : public testing::Test {
 protected:
  void SetUp() override {
    model_ = MakeModel(scratch_ / "model");
    WriteFile(scratch_ / "a.jsonl", ToJsonl(MakeArchive(120)));
  }
  Job MakeJob(const std::string &run, size_t part = 0, size_t parts = 0) {
    Job job;
    job.model = model_;
    job.archives = {scratch_ / "a.jsonl"};
    job.out = scratch_ / run;
    job.methods = "pll,cls";
    job.threads = 1;
    job.shard_utts = 5;
    job.part = part;
    job.parts = parts;
    job.lease = 2;
    return job;
  }
  std::map<std::string, std::string> Alone(Job job) {
    job.out = scratch_ / "whole";
    job.parts = 0;
    fs::remove_all(job.out);
    Outcome outcome = Score(job);
    EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
    return FilesOf(job.out);
  }
  // All at once, each in a thread.
  std::vector<Outcome> Together(std::vector<Job> &jobs) {
    std::vector<Outcome> outcomes(jobs.size());
    std::vector<std::thread> threads;
    for (size_t i = 0; i < jobs.size(); i++)
      threads.emplace_back([&, i] { outcomes[i] = Score(jobs[i]); });
    for (std::thread &thread : threads)
      thread.join();
    for (const Outcome &outcome : outcomes)
      EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
    return outcomes;
  }
  // Runs the job in a process that kills itself as soon as `when` says so of its progress; false when it
  // came to its end before.
  static bool Killed(Job &job, const std::function<bool(const sp_progress &)> &when) {
    pid_t child = fork();
    if (child == 0) {
      job.on_progress = [&](const sp_progress &progress) {
        if (when(progress))
          kill(getpid(), SIGKILL);
      };
      _exit(Score(job).status == SP_OK ? 0 : 1);
    }
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
  }
  size_t Done(const std::string &run) {
    return CountEnding(scratch_ / run, ".done");
  }

  // No worker, and no claim of a shard.
  testing::AssertionResult NobodyClaims(const std::string &run) {
    const std::string claims = (scratch_ / run) + "/.claims";
    if (!fs::exists(claims))
      return testing::AssertionSuccess();
    for (const auto &[name, bytes] : FilesOf(claims)) {
      if (name.rfind("plan.", 0) != 0)
        return testing::AssertionFailure() << name << " is left";
    }
    return testing::AssertionSuccess();
  }

  Scratch scratch_;
  std::string model_;
};

// Compressed as our own writers do.
void WritePacked(const std::string &path, const std::string &text) {
  sp_sink *sink = nullptr;
  sp_error err{};
  ASSERT_EQ(sp_sink_open(path.c_str(), &sink, &err), SP_OK) << err.message;
  ASSERT_EQ(sp_sink_write(sink, text.data(), text.size(), &err), SP_OK) << err.message;
  ASSERT_EQ(sp_sink_close(sink, &err), SP_OK) << err.message;
}

// Utterances from..to of an archive as mlm-scoring JSON.
std::string ToMlm(const Archive &archive, size_t from, size_t to) {
  std::string out = "{";
  for (size_t u = from; u < to; u++) {
    out += (u > from ? ",\"" : "\"") + archive[u].id + "\":{";
    for (size_t k = 0; k < archive[u].hyps.size(); k++)
      out += (k ? ",\"hyp_" : "\"hyp_") + std::to_string(k + 1) + "\":{\"score\":-1,\"text\":\"" +
             archive[u].hyps[k] + "\"}";
    out += "}";
  }
  return out + "}";
}

// n groups of 10 utterances with 2 lists, and references.
void WriteEspnet2(const std::string &dir, size_t n) {
  std::string refs;
  for (size_t group = 0; group < n; group++) {
    for (std::string k : {"1", "2"}) {
      std::string text,
          list = dir + "/output." + std::to_string(group + 1) + "/" + k + "best_recog";
      for (size_t u = 10 * group; u < 10 * group + 10; u++) {
        text += "utt-" + std::to_string(u) + " ab " + std::string(1 + u % 9, 'c') + k + "\n";
        refs += k == "1" ? "utt-" + std::to_string(u) + " ab\n" : "";
      }
      fs::create_directories(list);
      WriteFile(list + "/text", text);
    }
  }
  WriteFile(dir + "/ref.text", refs);
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

TEST_F(Workers, AChangedInputIsToldByShardAndFile) {
  Job first = MakeJob("run", 0, 2), second = MakeJob("run", 1, 2);
  auto expected = Alone(first);
  ASSERT_EQ(Score(first).status, SP_OK);
  const std::string text = ReadFile(scratch_ / "a.jsonl");
  std::string other = text;
  for (size_t at = 0; (at = other.find("\"text\":\"", at)) != std::string::npos; at++) {
    if (other[at + 8] >= 'a' && other[at + 8] < 'z')
      other[at + 8]++;
  }
  ASSERT_NE(other, text);
  WriteFile(scratch_ / "a.jsonl", other);
  Outcome changed = Score(second);
  EXPECT_EQ(changed.status, SP_EINPUT);
  EXPECT_NE(changed.message.find("the input changed"), std::string::npos) << changed.message;
  EXPECT_NE(changed.message.find("a.jsonl:"), std::string::npos) << changed.message;
  EXPECT_NE(changed.message.find("shard "), std::string::npos) << changed.message;
  EXPECT_EQ(Done("run"), 12u) << "nothing of the other input is published";
  EXPECT_TRUE(NobodyClaims("run"));
  WriteFile(scratch_ / "a.jsonl", text);
  EXPECT_EQ(Score(second).status, SP_OK);
  EXPECT_TRUE(SameFiles(FilesOf(first.out), expected));
}

// What the other part has scored may be anything by now.
TEST_F(Workers, OnlyTheOwnShardsAreRead) {
  Job first = MakeJob("run", 0, 2), second = MakeJob("run", 1, 2);
  auto expected = Alone(first);
  ASSERT_EQ(Score(first).status, SP_OK);
  std::vector<std::string> lines;
  std::istringstream in(ReadFile(scratch_ / "a.jsonl"));
  for (std::string line; std::getline(in, line);)
    lines.push_back(line);
  size_t emptied = 0;
  for (size_t shard = 0; shard < 24; shard++) {
    char marker[64];
    snprintf(marker, sizeof marker, "/scores-%05zu-of-00024.done", shard);
    for (size_t u = 5 * shard; fs::exists(first.out + marker) && u < 5 * shard + 5; u++, emptied++)
      std::fill(lines[u].begin(), lines[u].end(), '?');
  }
  ASSERT_EQ(emptied, 60u);
  std::string text;
  for (const std::string &line : lines)
    text += line + "\n";
  WriteFile(scratch_ / "a.jsonl", text);
  Outcome outcome = Score(second);
  EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
  EXPECT_TRUE(SameFiles(FilesOf(first.out), expected));
}

// The shards of a part that are not scored yet, and the files, of `per_file` shards each, that hold none.
std::set<size_t> FilesWithoutWork(const std::string &run, size_t shards, size_t per_file) {
  std::set<size_t> files;
  for (size_t file = 0; file < shards / per_file; file++)
    files.insert(file);
  for (size_t shard = 0; shard < shards; shard++) {
    char marker[64];
    snprintf(marker, sizeof marker, "/scores-%05zu-of-%05zu.done", shard, shards);
    if (!fs::exists(run + marker))
      files.erase(shard / per_file);
  }
  return files;
}

// A late part over many files needs those alone that hold its shards; the others may be anything.
TEST_F(Workers, OnlyTheFilesOfTheOwnShardsAreRead) {
  Archive archive = MakeArchive(400);
  Job part = MakeJob("run", 0, 2);
  for (size_t file = 0; file < 40; file++) {
    part.archives.resize(file);
    part.archives.push_back(scratch_ / std::to_string(file));
    WriteFile(part.archives.back(), ToMlm(archive, 10 * file, 10 * file + 10));
  }
  part.format = "mlm";
  part.methods = "cls";
  part.shard_utts = 10;
  auto expected = Alone(part);
  ASSERT_EQ(Score(part).status, SP_OK);
  std::set<size_t> others = FilesWithoutWork(part.out, 40, 1);
  ASSERT_EQ(others.size(), 20u);
  for (size_t file : others)
    WriteFile(part.archives[file], std::string(ReadFile(part.archives[file]).size(), '?'));
  part.part = 1;
  Outcome outcome = Score(part);
  EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
  EXPECT_TRUE(SameFiles(FilesOf(part.out), expected));
}

TEST_F(Workers, OnlyTheGroupsOfTheOwnShardsAreRead) {
  WriteEspnet2(scratch_ / "espnet2", 12);
  Job part = MakeJob("run", 0, 4);
  part.archives = {scratch_ / "espnet2"};
  part.methods = "cls";
  part.shard_utts = 5;
  auto expected = Alone(part);
  for (size_t p : {0, 1, 2}) {
    part.part = p;
    ASSERT_EQ(Score(part).status, SP_OK);
  }
  std::set<size_t> others = FilesWithoutWork(part.out, 24, 2);
  ASSERT_GE(others.size(), 3u);
  for (size_t group : others) {
    std::string list =
        scratch_ / "espnet2/output." + std::to_string(group + 1) + "/1best_recog/text";
    WriteFile(list, std::string(ReadFile(list).size(), '?'));
  }
  part.part = 3;
  Outcome outcome = Score(part);
  EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
  EXPECT_TRUE(SameFiles(FilesOf(part.out), expected));
}

TEST_F(Workers, AnInputOfAnotherSizeIsAnotherRun) {
  Job first = MakeJob("run", 0, 2), second = MakeJob("run", 1, 2);
  ASSERT_EQ(Score(first).status, SP_OK);
  WriteFile(scratch_ / "a.jsonl", ReadFile(scratch_ / "a.jsonl") + ToJsonl({{"more", {"a"}}}));
  Outcome outcome = Score(second);
  EXPECT_EQ(outcome.status, SP_EIDENTITY);
  EXPECT_NE(outcome.message.find("inputs.0.bytes"), std::string::npos) << outcome.message;
  second.archives.push_back(scratch_ / "a.jsonl");
  outcome = Score(second);
  EXPECT_EQ(outcome.status, SP_EIDENTITY);
  second.archives = {scratch_ / "none.jsonl"};
  outcome = Score(second);
  EXPECT_EQ(outcome.status, SP_EIO);
  EXPECT_NE(outcome.message.find("none.jsonl"), std::string::npos) << outcome.message;
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

// Hosts may have the file system mounted at different places.
TEST_F(Workers, TheFileMayStandElsewhere) {
  Job first = MakeJob("run", 0, 2), second = MakeJob("run", 1, 2);
  auto expected = Alone(first);
  ASSERT_EQ(Score(first).status, SP_OK);
  fs::create_directory(scratch_ / "other");
  fs::rename(scratch_ / "a.jsonl", scratch_ / "other/b.jsonl");
  second.archives = {scratch_ / "other/b.jsonl"};
  Outcome outcome = Score(second);
  EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
  EXPECT_TRUE(SameFiles(FilesOf(first.out), expected));
}

TEST_F(Workers, ABadInputLeavesNothing) {
  WriteFile(scratch_ / "a.jsonl", ToJsonl(MakeArchive(20)) + "{\n");
  Job job = MakeJob("run", 0, 2);
  Outcome outcome = Score(job);
  EXPECT_EQ(outcome.status, SP_EINPUT);
  EXPECT_NE(outcome.message.find("a.jsonl:21"), std::string::npos) << outcome.message;
  EXPECT_FALSE(fs::exists(job.out));
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

// ---- who is alone, and who is dead ----

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

TEST_F(Workers, TheShardsOfADeadWorkerAreTakenOver) {
  WriteFile(scratch_ / "a.jsonl", ToJsonl(MakeArchive(400)));
  Job dead = MakeJob("run", 0, 1);
  dead.methods = "pll,pll_l2r";
  auto expected = Alone(dead);
  ASSERT_TRUE(Killed(dead, [](const sp_progress &progress) {
    return !progress.validating && progress.hyps_done > 0;
  })) << "too fast a run";
  ASSERT_LT(Done("run"), 80u);
  std::vector<Job> jobs = {MakeJob("run", 0, 2), MakeJob("run", 1, 2)};
  for (Job &job : jobs)
    job.methods = dead.methods;
  size_t taken_over = 0;
  for (const Outcome &outcome : Together(jobs))
    taken_over += outcome.summary.shards_taken_over;
  EXPECT_GT(taken_over, 0u);
  EXPECT_TRUE(SameFiles(FilesOf(dead.out), expected));
}

TEST_F(Workers, AWorkerThatDiesWhileItReadsTheArchiveIsReplaced) {
  std::string texts;
  for (int i = 0; i < 20000; i++)
    texts += "ab cd w70 " + std::to_string(i % 10) + " x\n";
  Job job = MakeJob("run", 0, 1);
  job.archives = {scratch_ / "t.txt"};
  job.format = "text";
  job.methods = "cls";
  job.shard_utts = 5000;
  bool killed = false;
  while (!killed) { /* until reading it takes more than one tick */
    texts += texts;
    fs::remove_all(job.out);
    WriteFile(scratch_ / "t.txt", texts);
    killed = Killed(job, [](const sp_progress &progress) {
      return progress.validating && progress.utts_done > 0;
    });
  }
  EXPECT_FALSE(fs::exists(job.out + "/run.json"));
  EXPECT_TRUE(fs::exists(job.out + "/.claims"));
  WriteFile(scratch_ / "t.txt", texts.substr(0, 100 * texts.find('\n') + 100));
  auto expected = Alone(job);
  Outcome outcome = Score(job);
  EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
  EXPECT_TRUE(SameFiles(FilesOf(job.out), expected));
}

TEST_F(Workers, KilledAgainAndAgain) {
  Job job = MakeJob("run", 0, 1);
  auto expected = Alone(job);
  int kills = 0;
  for (uint64_t more = 10; kills < 40; more += 10) {
    bool killed = Killed(job, [&](const sp_progress &progress) {
      return !progress.validating && progress.hyps_done >= progress.hyps_resumed + more;
    });
    if (!killed)
      break;
    kills++;
  }
  Outcome outcome = Score(job);
  EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
  EXPECT_TRUE(SameFiles(FilesOf(job.out), expected)) << kills << " kills";
}

// ---- parts that help ----

// One part waits in its progress, with claims on the few shards that it has under work then.
class Helpers : public Workers {
 protected:
  void SetUp() override {
    Workers::SetUp();
    WriteFile(scratch_ / "a.jsonl", ToJsonl(MakeArchive(400)));
  }
  Job Part(size_t part, size_t parts) {
    Job job = MakeJob("run", part, parts);
    job.lease = 6;
    return job;
  }
  bool HasClaims() {
    for (const auto &[name, bytes] : FilesOf(scratch_ / "run/.claims")) {
      if (isdigit(static_cast<unsigned char>(name[0])))
        return true;
    }
    return false;
  }
  // Runs `body` in the progress of a part, once.
  std::function<void(const sp_progress &)> Meanwhile(const std::function<void()> &body) {
    return [this, body](const sp_progress &progress) {
      if (progress.validating || met_ || !HasClaims())
        return;
      met_ = true;
      body();
    };
  }
  bool met_ = false;
};

TEST_F(Helpers, ASlowPartIsHelped) {
  Job slow = Part(0, 2), quick = Part(1, 2);
  auto expected = Alone(slow);
  Outcome helper{};
  slow.on_progress = Meanwhile([&] { helper = Score(quick); });
  Outcome owner = Score(slow);
  ASSERT_TRUE(met_);
  EXPECT_EQ(owner.status, SP_OK) << owner.message;
  EXPECT_EQ(helper.status, SP_OK) << helper.message;
  EXPECT_GT(helper.summary.shards_helped, 25u) << "of 40, of which few are the owner's by then";
  EXPECT_EQ(owner.summary.shards_helped, 0u);
  EXPECT_EQ(owner.summary.shards_late + helper.summary.shards_late, 0u);
  EXPECT_EQ(owner.summary.shards_taken_over + helper.summary.shards_taken_over, 0u);
  EXPECT_EQ(owner.summary.hyps_scored + helper.summary.hyps_scored, owner.summary.counts.hyps);
  EXPECT_TRUE(SameFiles(FilesOf(slow.out), expected));
}

TEST_F(Helpers, NotWhoKeepsToItsShare) {
  Job slow = Part(0, 2), quick = Part(1, 2);
  quick.own_share = true;
  Outcome other{};
  slow.on_progress = Meanwhile([&] { other = Score(quick); });
  EXPECT_EQ(Score(slow).status, SP_OK);
  EXPECT_EQ(other.status, SP_OK) << other.message;
  EXPECT_EQ(other.summary.shards_helped, 0u);
  EXPECT_GT(other.summary.shards_open, 25u);
}

// Of 8 parts two are at work; the other six keep their shares.
TEST_F(Helpers, PartsThatHaveNotBegunKeepTheirShares) {
  Job slow = Part(3, 8), quick = Part(5, 8);
  Outcome helper{};
  slow.on_progress = Meanwhile([&] { helper = Score(quick); });
  Outcome owner = Score(slow);
  ASSERT_TRUE(met_);
  EXPECT_EQ(owner.status, SP_OK) << owner.message;
  EXPECT_GT(helper.summary.shards_helped, 0u);
  EXPECT_EQ(owner.summary.shards_open, 60u);
  EXPECT_EQ(Done("run"), 20u);
}

TEST_F(Helpers, PartsOfOtherNumbers) {
  Job slow = Part(0, 3), quick = Part(2, 8), last = Part(0, 1);
  auto expected = Alone(slow);
  Outcome helper{};
  slow.on_progress = Meanwhile([&] { helper = Score(quick); });
  Outcome owner = Score(slow);
  ASSERT_TRUE(met_);
  EXPECT_GT(helper.summary.shards_helped, 10u);
  EXPECT_EQ(owner.summary.shards_open, 80u - Done("run"));
  EXPECT_GE(owner.summary.shards_open, 40u);
  Outcome rest = Score(last);
  EXPECT_EQ(rest.status, SP_OK) << rest.message;
  EXPECT_EQ(owner.summary.hyps_scored + helper.summary.hyps_scored + rest.summary.hyps_scored,
            rest.summary.counts.hyps);
  EXPECT_TRUE(SameFiles(FilesOf(slow.out), expected));
}

TEST_F(Helpers, TheShareOfADeadPartIsLeft) {
  Job dead = Part(0, 2), quick = Part(1, 2);
  ASSERT_TRUE(Killed(dead, [](const sp_progress &progress) {
    return !progress.validating && progress.hyps_done > 0;
  })) << "too fast a run";
  const size_t before = Done("run");
  Outcome other = Score(quick);
  EXPECT_EQ(other.status, SP_OK) << other.message;
  EXPECT_EQ(other.summary.shards_helped, 0u);
  EXPECT_EQ(Done("run"), before + 40);
}

// One whose own share was done before it came helps too, and the progress that it tells has an end.
TEST_F(Helpers, APartWithoutAShardOfItsOwnHelps) {
  Job slow = Part(0, 1), idle = Part(99, 100);
  auto expected = Alone(slow);
  Outcome helper{};
  sp_progress last{};
  idle.on_progress = [&](const sp_progress &progress) { last = progress; };
  slow.on_progress = Meanwhile([&] { helper = Score(idle); });
  EXPECT_EQ(Score(slow).status, SP_OK);
  ASSERT_TRUE(met_);
  EXPECT_GT(helper.summary.shards_helped, 40u);
  EXPECT_EQ(last.hyps_total, helper.summary.hyps_scored);
  EXPECT_EQ(static_cast<uint64_t>(last.hyps_done), last.hyps_total);
  EXPECT_TRUE(SameFiles(FilesOf(slow.out), expected));
}

// Many at once, one of which is paused again and again.
TEST_F(Helpers, ManyOfDifferentSpeed) {
  std::vector<Job> jobs;
  for (size_t part = 0; part < 4; part++)
    jobs.push_back(Part(part, 4));
  auto expected = Alone(jobs[0]);
  jobs[0].on_progress = [](const sp_progress &progress) {
    if (!progress.validating)
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
  };
  uint64_t scored = 0, hyps = 0;
  for (const Outcome &outcome : Together(jobs)) {
    scored += outcome.summary.hyps_scored;
    hyps = outcome.summary.counts.hyps;
    EXPECT_EQ(outcome.summary.shards_late, 0u);
  }
  EXPECT_EQ(scored, hyps);
  EXPECT_TRUE(SameFiles(FilesOf(jobs[0].out), expected));
}

// ---- the wish to stop ----

TEST_F(Workers, StoppedBeforeItBegins) {
  Job job = MakeJob("run", 0, 2);
  job.stop = 1;
  EXPECT_EQ(Score(job).status, SP_EINTERRUPTED);
  EXPECT_FALSE(fs::exists(job.out + "/run.json"));
  EXPECT_FALSE(fs::exists(job.out));
}

// A shard is so long that progress comes while it is being scored: with enough grace it is finished, without
// it is dropped.
TEST_F(Workers, WithinTheGraceTheShardUnderWorkIsFinished) {
  WriteFile(scratch_ / "a.jsonl", ToJsonl(MakeArchive(300)));
  std::map<std::string, std::string> expected;
  for (size_t parts : {0, 1}) {
    for (double grace : {0.0, 600.0}) {
      fs::remove_all(scratch_ / "run");
      Job job = MakeJob("run", 0, parts);
      job.methods = "pll,pll_l2r";
      job.shard_utts = 150;
      job.grace = grace;
      job.batch_tokens = 64;
      job.on_progress = [&](const sp_progress &progress) {
        if (!progress.validating && progress.hyps_done > 0 && !job.stop)
          job.stop = 1;
      };
      Outcome outcome = Score(job);
      if (outcome.status == SP_OK)
        GTEST_SKIP() << "too fast a run";
      ASSERT_EQ(outcome.status, SP_EINTERRUPTED) << outcome.message;
      EXPECT_EQ(Done("run") > 0, grace > 0) << parts;
      for (const auto &[name, bytes] : FilesOf(job.out))
        EXPECT_NE(name.rfind(".tmp", 0), 0u) << name;
      EXPECT_TRUE(NobodyClaims("run"));
      job.stop = 0;
      job.on_progress = nullptr;
      job.grace = 0;
      if (expected.empty())
        expected = Alone(job);
      EXPECT_EQ(Score(job).status, SP_OK);
      EXPECT_TRUE(SameFiles(FilesOf(job.out), expected));
    }
  }
}

TEST_F(Workers, ASecondWishEndsTheGrace) {
  WriteFile(scratch_ / "a.jsonl", ToJsonl(MakeArchive(600)));
  Job job = MakeJob("run", 0, 1);
  job.methods = "pll,pll_l2r";
  job.shard_utts = 600;
  job.grace = 600;
  job.batch_tokens = 64;
  int told = 0;
  job.on_progress = [&](const sp_progress &progress) {
    if (!progress.validating && progress.hyps_done > 0)
      job.stop = ++told > 1 ? 2 : 1;
  };
  Outcome outcome = Score(job);
  if (told < 2)
    GTEST_SKIP() << "too fast a run";
  EXPECT_EQ(outcome.status, SP_EINTERRUPTED) << outcome.message;
  EXPECT_EQ(Done("run"), 0u);
}

}  // namespace
