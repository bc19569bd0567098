// workers_help_test.cc - parts that are done help others.
#include "run_claims.h"
#include "workers_fixture.h"

namespace {

using namespace sp_test;
namespace fs = std::filesystem;

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
  // Runs `body` in the progress of a part, once.
  std::function<void(const sp_progress &)> Meanwhile(const std::function<void()> &body) {
    return [this, body](const sp_progress &progress) {
      if (progress.validating || met_ || UnderWork("run") == 0)
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

// Of a run of many names nobody counts what is open who knows that another is at work, and ends after it.
class LargeRun : public Helpers {
 protected:
  void SetUp() override {
    Helpers::SetUp();
    WriteFile(scratch_ / "a.jsonl", ToJsonl(MakeArchive(1100)));
  }
  Job Part(size_t part, size_t parts) {
    Job job = Helpers::Part(part, parts);
    job.methods = "cls";
    job.shard_utts = 1;
    return job;
  }
  // A worker that is alive and has that shard.
  sp_claims *Holder(const Job &job, size_t shard) {
    sp_claims_rules rules{};
    rules.run = job.out.c_str();
    sp_claims *claims = nullptr;
    sp_claim claim = SP_CLAIM_HELD;
    bool took_over;
    sp_error err{};
    EXPECT_EQ(sp_claims_open(&rules, &claims, &err), SP_OK) << err.message;
    EXPECT_EQ(sp_claims_take(claims, shard, &claim, &took_over, &err), SP_OK) << err.message;
    EXPECT_EQ(claim, SP_CLAIM_MINE);
    return claims;
  }
};

TEST_F(LargeRun, WhoEndsLastClosesIt) {
  Job slow = Part(0, 2), quick = Part(1, 2);
  auto expected = Alone(slow);
  quick.own_share = true;
  Outcome other{};
  slow.on_progress = Meanwhile([&] { other = Score(quick); });
  Outcome owner = Score(slow);
  ASSERT_TRUE(met_);
  EXPECT_EQ(other.status, SP_OK) << other.message;
  EXPECT_GT(other.summary.shards_open, 500u);
  EXPECT_LE(other.summary.shards_open, 550u);
  EXPECT_EQ(owner.status, SP_OK) << owner.message;
  EXPECT_EQ(owner.summary.shards_open, 0u);
  EXPECT_TRUE(SameFiles(FilesOf(slow.out), expected));
}

// Nobody else is at work, and then one that has a shard of the other part.
TEST_F(LargeRun, WhoEndsBesideOthersDoesNotCount) {
  Job first = Part(0, 2), second = Part(1, 2);
  auto expected = Alone(first);
  first.own_share = true;
  Outcome outcome = Score(first);
  EXPECT_EQ(outcome.summary.shards_open, 550u) << outcome.message;
  EXPECT_FALSE(outcome.summary.open_is_most);
  size_t open = 0;
  char name[64];
  do
    snprintf(name, sizeof name, "/scores-%05zu-of-01100.done", open);
  while (fs::exists(first.out + name) && ++open < 1100);
  sp_claims *claims = Holder(first, open);
  outcome = Score(first);
  sp_claims_close(claims);
  EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
  EXPECT_EQ(outcome.summary.shards_open, 550u);
  EXPECT_TRUE(outcome.summary.open_is_most);
  EXPECT_EQ(Score(second).summary.shards_open, 0u);
  EXPECT_TRUE(SameFiles(FilesOf(first.out), expected));
}

// Its worker is alive, but between publishing and letting go of the claim.
TEST_F(LargeRun, AClaimThatOutlivesItsShardKeepsNobodyFromClosing) {
  Job job = Part(0, 1);
  ASSERT_EQ(Score(job).status, SP_OK);
  auto expected = FilesOf(job.out);
  fs::remove(job.out + "/_SUCCESS");
  sp_claims *claims = Holder(job, 7);
  EXPECT_EQ(Score(job).status, SP_OK);
  EXPECT_TRUE(fs::exists(job.out + "/_SUCCESS"));
  sp_claims_close(claims);
  EXPECT_TRUE(SameFiles(FilesOf(job.out), expected));
}

TEST_F(LargeRun, PartsThatEndTogetherCloseIt) {
  std::vector<Job> jobs = {Part(0, 3), Part(1, 3), Part(2, 3)};
  auto expected = Alone(jobs[0]);
  for (Job &job : jobs)
    job.lease = 60; /* they wait for each other for 5 s at most */
  Together(jobs);
  EXPECT_TRUE(SameFiles(FilesOf(jobs[0].out), expected));
}

// One that dies while the other is at work: nobody has to start it again.
TEST_F(Helpers, TheShareOfAPartThatDiesBesideIsDone) {
  Job quick = Part(1, 2), dies = Part(0, 2);
  Outcome outcome{};
  ASSERT_TRUE(Meet(200, [&](size_t) {
    const pid_t child = fork();
    if (child == 0) {
      for (int k = 0; k < 60000 && !fs::exists(quick.out + "/run.json"); k++)
        usleep(1000);
      dies.on_progress = [](const sp_progress &progress) {
        if (!progress.validating && progress.hyps_done > 0)
          kill(getpid(), SIGKILL);
      };
      _exit(Score(dies).status == SP_OK ? 0 : 1);
    }
    outcome = Score(quick);
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) && outcome.summary.shards_taken_over > 0;
  }));
  EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
  EXPECT_EQ(outcome.summary.shards_open, 0u);
  auto files = FilesOf(quick.out);
  EXPECT_TRUE(SameFiles(files, Alone(quick)));
}

TEST_F(Helpers, TheShareOfADeadPartIsLeft) {
  Job dead = Part(0, 2), quick = Part(1, 2);
  const size_t utts = Meet(100, [&](size_t) { return KilledInItsMiddle(dead); });
  ASSERT_TRUE(utts);
  const size_t before = Done("run");
  Outcome other = Score(quick);
  EXPECT_EQ(other.status, SP_OK) << other.message;
  EXPECT_EQ(other.summary.shards_helped, 0u);
  EXPECT_EQ(Done("run"), before + utts / dead.shard_utts / 2);
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

}  // namespace
