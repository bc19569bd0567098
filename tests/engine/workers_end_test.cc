// workers_end_test.cc - workers that are killed or told to stop, and who takes their shards.
#include "run_worker.h"
#include "workers_fixture.h"

namespace {

using namespace sp_test;
namespace fs = std::filesystem;

// ---- the dead ----

TEST_F(Workers, TheShardsOfADeadWorkerAreTakenOver) {
  Job dead = MakeJob("run", 0, 1);
  dead.methods = "pll,pll_l2r";
  ASSERT_TRUE(Meet(100, [&](size_t) { return KilledInItsMiddle(dead); }));
  auto expected = Alone(dead);
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
    ASSERT_LT(texts.size(), size_t{1} << 28) << "nothing is told of the reading";
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
  uint64_t more = 10;
  auto is_killed = [&](size_t) {
    return Killed(job, [&](const sp_progress &progress) {
      return !progress.validating && progress.hyps_done >= progress.hyps_resumed + more;
    });
  };
  const size_t utts = Meet(120, is_killed);
  ASSERT_TRUE(utts);
  auto expected = Alone(job);
  int kills = 1;
  for (more = 20; kills < 40 && is_killed(utts); more += 10)
    kills++;
  Outcome outcome = Score(job);
  EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
  EXPECT_TRUE(SameFiles(FilesOf(job.out), expected)) << kills << " kills";
}

// Who sealed the run died before it removed the claims; on another host, nobody can tell that it is gone.
TEST_F(Workers, ClaimsLeftBesideASealAreNobodys) {
  for (size_t parts : {0, 2}) {
    Job job = MakeJob("run" + std::to_string(parts), 0, 1);
    ASSERT_EQ(Score(job).status, SP_OK);
    auto sealed = FilesOf(job.out);
    sp_worker worker{};
    sp_buf text{};
    sp_error err{};
    snprintf(worker.owner.host, sizeof worker.owner.host, "elsewhere.example");
    snprintf(worker.owner.start, sizeof worker.owner.start, "2026-01-02T03:04:05Z");
    snprintf(worker.owner.mount, sizeof worker.owner.mount, "another-kernel/1f");
    worker.owner.pid = 4711;
    worker.flocked = true;
    worker.lease = 3600;
    ASSERT_EQ(sp_worker_write(&worker, &text, &err), SP_OK);
    fs::create_directory(job.out + "/.claims");
    WriteFile(job.out + "/.claims/worker-elsewhere", std::string(text.data, text.len));
    WriteFile(job.out + "/.claims/finish.1", "elsewhere\n");
    sp_buf_release(&text);
    job.parts = parts;
    Outcome outcome = Score(job);
    EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
    EXPECT_TRUE(outcome.summary.already_complete);
    EXPECT_FALSE(fs::exists(job.out + "/.claims"));
    EXPECT_TRUE(SameFiles(FilesOf(job.out), sealed));
  }
}

// ---- the wish to stop ----

TEST_F(Workers, StoppedBeforeItBegins) {
  Job job = MakeJob("run", 0, 2);
  job.stop = 1;
  EXPECT_EQ(Score(job).status, SP_EINTERRUPTED);
  EXPECT_FALSE(fs::exists(job.out + "/run.json"));
  EXPECT_FALSE(fs::exists(job.out));
}

// Of a run of two shards, the wish to stop comes in the middle of the first: with enough grace it is
// finished, without it is dropped.
TEST_F(Workers, WithinTheGraceTheShardUnderWorkIsFinished) {
  std::map<size_t, std::map<std::string, std::string>> expected;  // by utterances
  for (size_t parts : {0, 1}) {
    for (double grace : {0.0, 600.0}) {
      Job job = MakeJob("run", 0, parts);
      job.methods = "pll,pll_l2r";
      job.batch_tokens = 64;
      job.grace = grace;
      job.on_progress = [&](const sp_progress &progress) {
        const bool in_first = progress.hyps_done < progress.hyps_total / 4;
        if (!progress.validating && progress.hyps_done > 0 && in_first)
          job.stop = 1;
      };
      Outcome outcome{};
      const size_t utts = Meet(40, [&](size_t n) {
        job.shard_utts = n / 2;
        outcome = Score(job);
        return job.stop != 0;
      });
      ASSERT_TRUE(utts);
      ASSERT_EQ(outcome.status, SP_EINTERRUPTED) << outcome.message;
      EXPECT_EQ(Done("run") > 0, grace > 0) << parts;
      for (const auto &[name, bytes] : FilesOf(job.out))
        EXPECT_NE(name.rfind(".tmp", 0), 0u) << name;
      EXPECT_TRUE(NobodyClaims("run"));
      job.stop = 0;
      job.on_progress = nullptr;
      job.grace = 0;
      if (expected[utts].empty())
        expected[utts] = Alone(job);
      EXPECT_EQ(Score(job).status, SP_OK);
      EXPECT_TRUE(SameFiles(FilesOf(job.out), expected[utts]));
    }
  }
}

TEST_F(Workers, ASecondWishEndsTheGrace) {
  Job job = MakeJob("run", 0, 1);
  job.methods = "pll,pll_l2r";
  job.grace = 600;
  job.batch_tokens = 64;
  job.on_progress = [&](const sp_progress &progress) {
    if (!progress.validating && progress.hyps_done > 0 &&
        progress.hyps_done < progress.hyps_total / 2)
      job.stop = job.stop + 1;
  };
  Outcome outcome{};
  ASSERT_TRUE(Meet(40, [&](size_t utts) {
    job.shard_utts = utts;
    job.stop = 0;
    outcome = Score(job);
    return job.stop > 1;
  }));
  EXPECT_EQ(outcome.status, SP_EINTERRUPTED) << outcome.message;
  EXPECT_EQ(Done("run"), 0u);
}

}  // namespace
