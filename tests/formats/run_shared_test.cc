// A run directory alone or shared, and jobs that one of many workers does.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <set>

#include "claims_fixture.h"

namespace {

using namespace sp_test;

class RunShared : public ::testing::Test {
 protected:
  sp_status Open(Claims *claims) {
    err = {};
    return OpenClaims(run_.path(), &clock_, claims, &err);
  }
  sp_status Lock(sp_run_lock *lock) {
    err = {};
    return sp_run_lock_take(run_.path().c_str(), lock, &err);
  }
  void Unlock(sp_run_lock *lock) {
    sp_run_lock_release(run_.path().c_str(), lock);
  }
  Scratch run_;
  double clock_ = 0;
  sp_error err{};
};

// ---- alone or shared

TEST_F(RunShared, WorkersKeepOutWhoWantsTheRunAlone) {
  Claims a;
  sp_run_lock lock;
  ASSERT_SP_OK(Open(&a));
  EXPECT_EQ(Lock(&lock), SP_ELOCK);
  EXPECT_EQ(lock.fd, -1);
  for (const std::string &part :
       {std::string("worker ") + sp_claims_id(a.get()), "process " + std::to_string(getpid()),
        std::string("on host "), "remove " + run_.path() + "/.claims", std::string("--part")}) {
    EXPECT_TRUE(Contains(err.message, part)) << err.message;
  }
  EXPECT_FALSE(std::filesystem::exists(run_ / ".lock")) << "refused is not held";
  a.reset();
  ASSERT_SP_OK(Lock(&lock));
  Unlock(&lock);
}

TEST_F(RunShared, WorkersThatDiedHereKeepNobodyOut) {
  StartHolder(run_.path(), 3)->End(SIGKILL);
  std::filesystem::remove(run_ / ".ready");
  sp_run_lock lock;
  ASSERT_SP_OK(Lock(&lock));
  EXPECT_EQ(FilesOf(run_.path()), std::vector<std::string>{".lock"});
  Unlock(&lock);
}

TEST_F(RunShared, AWorkerOfAnotherHostKeepsOutWhoWantsTheRunAlone) {
  Remote remote(run_.path(), "elsewhere-4711-0");
  sp_run_lock lock;
  EXPECT_EQ(Lock(&lock), SP_ELOCK);
  EXPECT_TRUE(Contains(err.message, "process 4711 on host elsewhere.example")) << err.message;
  std::filesystem::remove_all(run_ / ".claims");
  EXPECT_SP_OK(Lock(&lock));
  Unlock(&lock);
}

TEST_F(RunShared, WhoHasTheRunAloneKeepsWorkersOut) {
  sp_run_lock lock;
  ASSERT_SP_OK(Lock(&lock));
  Claims a;
  EXPECT_EQ(Open(&a), SP_ELOCK);
  EXPECT_TRUE(Contains(err.message, "process " + std::to_string(getpid()))) << err.message;
  EXPECT_TRUE(Contains(err.message, "alone: wait for its end")) << err.message;
  EXPECT_EQ(FilesOf(run_.path()), std::vector<std::string>{".lock"});
  Unlock(&lock);
  EXPECT_SP_OK(Open(&a));
}

TEST_F(RunShared, ALockThatADeadProcessLeftKeepsWorkersOutOnlyElsewhere) {
  Child dead([&] {
    sp_run_lock lock;
    return Lock(&lock) == SP_OK ? 7 : 1;
  });
  ASSERT_EQ(dead.End(), 7);
  ASSERT_TRUE(std::filesystem::exists(run_ / ".lock"));
  Claims a;
  EXPECT_SP_OK(Open(&a));
  a.reset();
  WriteFile(run_ / ".lock", "{\"host\":\"elsewhere.example\",\"pid\":42,\"start\":\"x\"}\n");
  EXPECT_EQ(Open(&a), SP_ELOCK);
  EXPECT_TRUE(Contains(err.message, "remove " + run_.path() + "/.lock")) << err.message;
  WriteFile(run_ / ".lock", "");
  EXPECT_SP_OK(Open(&a));
}

TEST_F(RunShared, TheLockTellsItsHolder) {
  sp_run_owner owner;
  bool found;
  ASSERT_SP_OK(sp_run_lock_look(run_.path().c_str(), &owner, &found, &err));
  EXPECT_FALSE(found);
  sp_run_lock lock;
  ASSERT_SP_OK(Lock(&lock));
  ASSERT_SP_OK(sp_run_lock_look(run_.path().c_str(), &owner, &found, &err));
  EXPECT_TRUE(found && owner.here && owner.locked);
  EXPECT_EQ(owner.pid, getpid());
  const std::string text = ReadFile(run_ / ".lock");
  Unlock(&lock);
  WriteFile(run_ / ".lock", text);
  ASSERT_SP_OK(sp_run_lock_look(run_.path().c_str(), &owner, &found, &err));
  EXPECT_TRUE(found && owner.here && !owner.locked);
  for (const char *damaged : {"", "{", "[]", "{\"host\":\"\",\"pid\":1}"}) {
    WriteFile(run_ / ".lock", damaged);
    ASSERT_SP_OK(sp_run_lock_look(run_.path().c_str(), &owner, &found, &err));
    EXPECT_FALSE(found) << damaged;
  }
}

// Of a process that wants the run alone and a worker, never both are let in.
TEST_F(RunShared, NeverAloneAndShared) {
  auto contend = [&](bool alone) {
    int entered = 0;
    for (int k = 0; k < 100000 && entered < 15; k++) {
      sp_run_lock lock;
      Claims claims;
      sp_status status = alone ? Lock(&lock) : Open(&claims);
      if (status == SP_ELOCK) {
        usleep(300);
        continue;
      }
      if (status != SP_OK) {
        return 2;
      }
      const std::string mine = run_ / (alone ? "alone" : "shared." + std::to_string(getpid()));
      WriteFile(mine, "x");
      usleep(200);
      for (const std::string &name : FilesOf(run_.path())) {
        if (alone ? name.rfind("shared.", 0) == 0 : name == "alone") {
          return 1;
        }
      }
      std::filesystem::remove(mine);
      if (alone) {
        Unlock(&lock);
      }
      claims.reset();
      entered++;
      usleep(500);
    }
    return entered > 0 ? 0 : 3;
  };
  std::vector<std::unique_ptr<Child>> children;
  for (bool alone : {true, true, false, false}) {
    children.push_back(std::make_unique<Child>([&, alone] { return contend(alone); }));
  }
  for (auto &child : children) {
    EXPECT_EQ(child->End(), 0);
  }
}

// ---- one of many

sp_status IsThere(void *path, bool *done, sp_error *) {
  *done = std::filesystem::exists(*static_cast<std::string *>(path));
  return SP_OK;
}

sp_status Fails(void *, bool *, sp_error *err) {
  return sp_fail(err, SP_EIO, "no");
}

class Election : public RunShared {
 protected:
  sp_status Elect(const Claims &claims, bool *mine, size_t job = SP_CLAIM_PLAN) {
    err = {};
    return sp_claims_elect(claims.get(), job, IsThere, &plan_, mine, &err);
  }
  std::string plan_ = run_ / "plan";
};

TEST_F(Election, OneMakesTheRunAndTheOthersFindIt) {
  Claims a, b;
  bool mine;
  ASSERT_SP_OK(Open(&a));
  ASSERT_SP_OK(Open(&b));
  ASSERT_SP_OK(Elect(a, &mine));
  EXPECT_TRUE(mine);
  WriteFile(plan_, "x");
  ASSERT_SP_OK(Elect(b, &mine));
  EXPECT_FALSE(mine) << "as soon as it is there";
  sp_claims_done(a.get(), SP_CLAIM_PLAN);
  ASSERT_SP_OK(Elect(b, &mine));
  EXPECT_FALSE(mine);
  EXPECT_EQ(FilesOf(run_ / ".claims").size(), 4u) << "two workers, a claim, its mark";
}

TEST_F(Election, WhoFailsLeavesItToTheNext) {
  Claims a, b;
  bool mine;
  ASSERT_SP_OK(Open(&a));
  ASSERT_SP_OK(Open(&b));
  ASSERT_SP_OK(Elect(a, &mine));
  sp_claims_drop(a.get(), SP_CLAIM_PLAN);
  ASSERT_SP_OK(Elect(b, &mine));
  EXPECT_TRUE(mine);
  b.reset();
  EXPECT_EQ(sp_claims_elect(a.get(), SP_CLAIM_PLAN, Fails, nullptr, &mine, &err), SP_EIO);
  ASSERT_SP_OK(Elect(a, &mine));
  EXPECT_TRUE(mine);
}

TEST_F(Election, AMakerThatIsKilledIsReplacedAtOnce) {
  auto maker = StartHolder(run_.path(), 0);
  sp_claim_list list;
  ASSERT_SP_OK(sp_claims_list(run_.path().c_str(), 0, &list, &err));
  ASSERT_EQ(list.n_workers, 1u);
  WriteFile(run_ / ".claims/plan.1", std::string(list.workers[0].id) + "\n");
  sp_claim_list_release(&list);
  maker->End(SIGKILL);
  Claims a;
  bool mine;
  ASSERT_SP_OK(Open(&a));
  ASSERT_SP_OK(Elect(a, &mine));
  EXPECT_TRUE(mine);
  EXPECT_EQ(clock_, 0.0);
}

TEST_F(Election, AMakerOfAnotherHostIsReplacedAfterItsLease) {
  Remote remote(run_.path(), "elsewhere-4711-0");
  remote.Claim("plan.1");
  Claims a;
  bool mine;
  ASSERT_SP_OK(Open(&a));
  ASSERT_SP_OK(Elect(a, &mine));
  EXPECT_TRUE(mine);
  EXPECT_GE(clock_, kLease);
  EXPECT_LE(clock_, kLease + 2.1);
}

// A worker whose view is late meets the mark when it tries to take over.
TEST_F(Election, ALateViewMakesNoSecondRun) {
  Claims a;
  bool mine;
  ASSERT_SP_OK(Open(&a));
  {
    Claims maker;
    ASSERT_SP_OK(Open(&maker));
    ASSERT_SP_OK(Elect(maker, &mine));
    EXPECT_TRUE(mine);
    sp_claims_done(maker.get(), SP_CLAIM_PLAN); /* but nothing is to be seen */
  }
  EXPECT_EQ(Elect(a, &mine), SP_EIO);
  EXPECT_FALSE(mine);
  EXPECT_TRUE(Contains(err.message, "remove " + run_.path() + "/.claims")) << err.message;
  EXPECT_GT(clock_, 2 * kLease);
}

// The first maker ended between our look and our claim.
TEST_F(Election, TheWorkIsLookedForOnceMoreWhenItIsOurs) {
  Claims a;
  bool mine = true;
  int looks = 0;
  ASSERT_SP_OK(Open(&a));
  auto late = [](void *count, bool *done, sp_error *) {
    *done = (*static_cast<int *>(count))++ > 0;
    return SP_OK;
  };
  ASSERT_SP_OK(sp_claims_elect(a.get(), SP_CLAIM_FINISH, late, &looks, &mine, &err));
  EXPECT_FALSE(mine);
  EXPECT_EQ(looks, 2);
  EXPECT_FALSE(std::filesystem::exists(run_ / ".claims/finish.1"));
  EXPECT_EQ(FilesOf(run_.path()), std::vector<std::string>{".claims"});
}

TEST_F(Election, WaitingCanBeEnded) {
  Remote remote(run_.path(), "elsewhere-4711-0");
  remote.Claim("plan.1");
  sp_claims_rules rules{};
  rules.run = run_.path().c_str();
  rules.pause = [](void *, double) { return false; };
  sp_claims *claims;
  bool mine;
  ASSERT_SP_OK(sp_claims_open(&rules, &claims, &err));
  EXPECT_EQ(sp_claims_elect(claims, SP_CLAIM_PLAN, IsThere, &plan_, &mine, &err), SP_EINTERRUPTED);
  sp_claims_close(claims);
}

// Each process of many is elected or finds the work done; the work is done once, also when the first that
// gets it dies over it.
TEST_F(Election, OfManyProcessesOneDoesTheWork) {
  for (size_t job : {size_t{SP_CLAIM_PLAN}, size_t{SP_CLAIM_FINISH}}) {
    std::filesystem::remove(plan_);
    std::vector<std::unique_ptr<Child>> children;
    for (int k = 0; k < 6; k++) {
      children.push_back(std::make_unique<Child>([&, k] {
        Claims claims;
        bool mine;
        sp_claims_rules rules{};
        rules.run = run_.path().c_str();
        rules.lease = 1;
        sp_claims *opened = nullptr;
        if (sp_claims_open(&rules, &opened, &err) != SP_OK) {
          return 1;
        }
        claims.reset(opened);
        if (sp_claims_elect(opened, job, IsThere, &plan_, &mine, &err) != SP_OK) {
          return 2;
        }
        if (!mine) {
          return 0;
        }
        if (mkdir((run_ / ("died." + std::to_string(job))).c_str(), 0777) == 0) {
          raise(SIGKILL);
        }
        usleep(2000);
        if (mkdir(plan_.c_str(), 0777) != 0) {
          return 3;
        }
        sp_claims_done(opened, job);
        return 9;
      }));
    }
    std::multiset<int> ends;
    for (auto &child : children) {
      ends.insert(child->End());
    }
    EXPECT_EQ(ends, (std::multiset<int>{0, 0, 0, 0, 9, 128 + SIGKILL}));
  }
}

}  // namespace
