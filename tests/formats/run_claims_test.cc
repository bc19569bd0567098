// Who works on which shard: claims by generation, workers that are gone, races, damage.
#include "run_claims.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <cmath>
#include <set>
#include <sstream>
#include <thread>

#include "claims_fixture.h"
#include "run_claims_state.h"
#include "run_scan.h"

namespace {

using sp_test::Child;
using sp_test::Claims;
using sp_test::Contains;
using sp_test::FilesOf;
using sp_test::kLease;
using sp_test::OpenClaims;
using sp_test::ReadFile;
using sp_test::Remote;
using sp_test::Scratch;
using sp_test::StartHolder;
using sp_test::WriteFile;

class RunClaims : public ::testing::Test {
 protected:
  Claims Open(double lease = kLease) {
    Claims claims;
    EXPECT_SP_OK(OpenClaims(run_.path(), &clock_, &claims, &err, lease));
    return claims;
  }
  // 'm'ine, 'M'ine taken over, 'h'eld, 'd'one; 'x' for a failure.
  char Take(const Claims &claims, size_t shard) {
    sp_claim claim;
    bool took_over;
    err = {};
    if (sp_claims_take(claims.get(), shard, &claim, &took_over, &err) != SP_OK) {
      return 'x';
    }
    if (claim != SP_CLAIM_MINE) {
      return claim == SP_CLAIM_HELD ? 'h' : 'd';
    }
    return took_over ? 'M' : 'm';
  }
  std::string In(const std::string &name) const {
    return run_ / (".claims/" + name);
  }
  bool Has(const std::string &name) const {
    return std::filesystem::exists(In(name));
  }
  Scratch run_;
  double clock_ = 1000;
  sp_error err{};
};

// ---- claims of live workers

TEST_F(RunClaims, OneHasAShardTheOthersDoNot) {
  Claims a = Open(), b = Open();
  EXPECT_EQ(Take(a, 0), 'm');
  EXPECT_EQ(Take(a, 0), 'm') << "what is mine stays mine";
  EXPECT_EQ(Take(b, 0), 'h');
  EXPECT_EQ(Take(b, 7), 'm');
  EXPECT_EQ(Take(a, 7), 'h');
  EXPECT_EQ(ReadFile(In("00000.1")), std::string(sp_claims_id(a.get())) + "\n");
  EXPECT_EQ(ReadFile(In("00007.1")), std::string(sp_claims_id(b.get())) + "\n");
}

TEST_F(RunClaims, ADroppedShardIsFree) {
  Claims a = Open(), b = Open();
  EXPECT_EQ(Take(a, 3), 'm');
  sp_claims_drop(b.get(), 3);
  EXPECT_EQ(Take(b, 3), 'h') << "only its owner can drop it";
  sp_claims_drop(a.get(), 3);
  EXPECT_FALSE(Has("00003.1"));
  EXPECT_EQ(Take(b, 3), 'm');
}

TEST_F(RunClaims, ClosingDropsAllAndLeavesNothing) {
  Claims a = Open(), b = Open();
  for (size_t shard = 0; shard < 40; shard++) {
    EXPECT_EQ(Take(a, shard), 'm');
  }
  a.reset();
  EXPECT_EQ(FilesOf(run_ / ".claims"),
            std::vector<std::string>{"worker-" + std::string(sp_claims_id(b.get()))});
  EXPECT_EQ(Take(b, 39), 'm');
  b.reset();
  EXPECT_TRUE(FilesOf(run_.path()).empty());
  sp_claims_close(nullptr);
}

TEST_F(RunClaims, IdsAreUniqueAndFitIntoNames) {
  std::set<std::string> ids;
  for (int k = 0; k < 50; k++) {
    char id[SP_WORKER_ID];
    sp_worker_make_id(id);
    EXPECT_TRUE(ids.insert(id).second) << id;
    EXPECT_TRUE(sp_worker_is_id(id, strlen(id))) << id;
    EXPECT_LT(strlen(id), 80u);
  }
  const std::string longest(SP_WORKER_ID - 2, 'a');
  EXPECT_TRUE(sp_worker_is_id((longest + "-").c_str(), SP_WORKER_ID - 1));
  EXPECT_FALSE(sp_worker_is_id((longest + "--").c_str(), SP_WORKER_ID));
  for (const char *text : {"", "done", "a.b-c", "a/b-c", "a b-", "..", "\xff-", "4711"}) {
    EXPECT_FALSE(sp_worker_is_id(text, strlen(text))) << text;
  }
}

// ---- what others work on

TEST_F(RunClaims, WhatOthersHoldIsToldFromNames) {
  Claims a = Open(), b = Open();
  for (size_t shard : {3, 5, 900})
    EXPECT_EQ(Take(a, shard), 'm');
  EXPECT_EQ(Take(b, 4), 'm');
  WriteFile(In("plan.1"), "x\n");
  WriteFile(In("4x.1"), "x\n");
  auto held = [&](const Claims &claims) {
    uint32_t *shards = nullptr;
    size_t n = 0;
    EXPECT_SP_OK(sp_claims_held(claims.get(), 100, &shards, &n, &err));
    std::set<uint32_t> out(shards, shards + n);
    free(shards);
    return out;
  };
  EXPECT_EQ(held(a), std::set<uint32_t>{4});
  EXPECT_EQ(held(b), (std::set<uint32_t>{3, 5})) << "of the first 100";
  std::filesystem::remove_all(run_ / ".claims");
  EXPECT_TRUE(held(a).empty());
}

TEST_F(RunClaims, TheHolderOfAShardIsTold) {
  Claims a = Open(), b = Open();
  sp_claim_worker holder;
  bool live;
  EXPECT_EQ(Take(a, 3), 'm');
  EXPECT_SP_OK(sp_claims_holder(b.get(), 3, &holder, &live, &err));
  EXPECT_TRUE(live);
  EXPECT_STREQ(holder.part, "2/8");
  EXPECT_STREQ(holder.id, sp_claims_id(a.get()));
  EXPECT_SP_OK(sp_claims_holder(b.get(), 4, &holder, &live, &err));
  EXPECT_FALSE(live) << "nobody";
}

TEST_F(RunClaims, AHolderIsAtWorkWhileItsBeatIsRecent) {
  Claims a = Open();
  Remote other(run_.path(), "elsewhere-1");
  sp_claim_worker holder;
  bool live;
  other.Claim("00003.1");
  EXPECT_SP_OK(sp_claims_holder(a.get(), 3, &holder, &live, &err));
  EXPECT_TRUE(live);
  std::filesystem::last_write_time(
      In("worker-elsewhere-1"),
      std::filesystem::last_write_time(In("worker-elsewhere-1")) - std::chrono::seconds(11));
  EXPECT_SP_OK(sp_claims_holder(a.get(), 3, &holder, &live, &err));
  EXPECT_FALSE(live) << "not known to be gone yet, but silent for a lease";
  other.Beat();
  EXPECT_SP_OK(sp_claims_holder(a.get(), 3, &holder, &live, &err));
  EXPECT_TRUE(live);
  clock_ += kLease + 1;
  EXPECT_SP_OK(sp_claims_holder(a.get(), 3, &holder, &live, &err));
  EXPECT_FALSE(live) << "gone";
}

// ---- the beat

TEST_F(RunClaims, ABeatIsWrittenInPlace) {
  Claims a = Open();
  const std::string path = In("worker-" + std::string(sp_claims_id(a.get())));
  struct stat before, after;
  ASSERT_EQ(stat(path.c_str(), &before), 0);
  const std::string text = ReadFile(path);
  ASSERT_SP_OK(sp_claims_beat(a.get(), 123456, 78.5, &err));
  ASSERT_EQ(stat(path.c_str(), &after), 0);
  EXPECT_EQ(before.st_ino, after.st_ino);
  EXPECT_EQ(text.size(), size_t{SP_WORKER_BYTES});
  EXPECT_EQ(ReadFile(path).size(), text.size());
  EXPECT_NE(ReadFile(path), text);
  // Half of one write and half of another is still a worker.
  const std::string later = ReadFile(path);
  for (size_t cut = 0; cut <= text.size(); cut++) {
    const std::string torn = later.substr(0, cut) + text.substr(cut);
    sp_worker worker;
    ASSERT_TRUE(sp_worker_parse({torn.data(), torn.size()}, &worker)) << cut;
  }
}

TEST_F(RunClaims, ABeatThatIsNotANumberIsWrittenAsOne) {
  Claims a = Open();
  for (double rate : {std::nan(""), HUGE_VAL, -3.0, 1e300}) {
    ASSERT_SP_OK(sp_claims_beat(a.get(), 1, rate, &err));
    sp_claim_list list;
    ASSERT_SP_OK(sp_claims_list(run_.path().c_str(), 1, &list, &err));
    ASSERT_EQ(list.n_workers, 1u);
    EXPECT_GE(list.workers[0].hyps_per_second, 0.0);
    EXPECT_LE(list.workers[0].hyps_per_second, 1e15);
    sp_claim_list_release(&list);
  }
}

TEST_F(RunClaims, AFullDiskStopsNoBeat) {
  Claims a = Open();
  sp_test::FileSizeLimit full(SP_WORKER_BYTES);
  EXPECT_SP_OK(sp_claims_beat(a.get(), 1, 1, &err));
}

TEST_F(RunClaims, AFullDiskRefusesAWorkerAndHoldsNothing) {
  Claims a;
  sp_status status;
  {
    sp_test::FileSizeLimit full(5);
    status = OpenClaims(run_.path(), &clock_, &a, &err);
  }
  EXPECT_EQ(status, SP_EIO);
  EXPECT_TRUE(FilesOf(run_.path()).empty());
}

// ---- workers that are gone

TEST_F(RunClaims, ASilentWorkerIsGoneAfterItsLease) {
  Claims a = Open(), b = Open();
  EXPECT_EQ(Take(a, 0), 'm');
  EXPECT_EQ(Take(b, 0), 'h');
  clock_ += 5;
  ASSERT_SP_OK(sp_claims_beat(a.get(), 0, 0, &err));
  clock_ += 7;
  EXPECT_EQ(Take(b, 0), 'h') << "12 seconds, but a beat in between";
  clock_ += 9.9;
  EXPECT_EQ(Take(b, 0), 'h');
  clock_ += 0.2;
  EXPECT_EQ(Take(b, 0), 'M');
  EXPECT_EQ(ReadFile(In("00000.2")), std::string(sp_claims_id(b.get())) + "\n");
}

TEST_F(RunClaims, TheLeaseBeginsWhenTheObserverFirstLooks) {
  Claims a = Open();
  EXPECT_EQ(Take(a, 0), 'm');
  clock_ += 1e6;
  Claims b = Open();
  EXPECT_EQ(Take(b, 0), 'h') << "it may have beaten just now";
  clock_ += 10.1;
  EXPECT_EQ(Take(b, 0), 'M');
}

TEST_F(RunClaims, AWorkerThatWakesHasNoRightAndDoesNoHarm) {
  Claims a = Open(), b = Open(), c = Open();
  EXPECT_EQ(Take(a, 0), 'm');
  EXPECT_EQ(Take(b, 0), 'h');
  clock_ += 10.1;
  EXPECT_EQ(Take(b, 0), 'M');
  ASSERT_SP_OK(sp_claims_beat(a.get(), 0, 0, &err));
  EXPECT_EQ(Take(a, 0), 'h');
  sp_claims_drop(a.get(), 0);
  EXPECT_TRUE(Has("00000.1") && Has("00000.2"));
  ASSERT_SP_OK(sp_claims_beat(b.get(), 0, 0, &err));
  EXPECT_EQ(Take(c, 0), 'h') << "the old claim must not open the shard";
  EXPECT_EQ(Take(a, 1), 'm') << "it goes on with another";
  sp_claims_done(a.get(), 0);
  EXPECT_FALSE(Has("00000.1") || Has("00000.2"));
  sp_claims_done(b.get(), 0);
  sp_claims_drop(b.get(), 0);
}

TEST_F(RunClaims, AWorkerThatWasSweptShowsItselfAgain) {
  Claims a = Open(), b = Open();
  std::filesystem::remove_all(run_ / ".claims");
  ASSERT_SP_OK(sp_claims_beat(a.get(), 0, 0, &err));
  EXPECT_FALSE(std::filesystem::exists(run_ / ".claims")) << "the run may be complete";
  EXPECT_EQ(Take(a, 0), 'm');
  EXPECT_TRUE(Has("worker-" + std::string(sp_claims_id(a.get()))));
  EXPECT_EQ(Take(b, 0), 'h');
  a.reset();
  b.reset();
  EXPECT_TRUE(FilesOf(run_.path()).empty());
}

// As after a lock that a restarted server forgot: others took it for gone, but it works on.
TEST_F(RunClaims, ABeatBringsASweptFileBack) {
  Claims a = Open();
  const std::string file = "worker-" + std::string(sp_claims_id(a.get()));
  EXPECT_EQ(Take(a, 0), 'm');
  for (bool replaced : {false, true}) {
    std::filesystem::remove(In(file));
    if (replaced) {
      WriteFile(In(file), "another's");
    }
    ASSERT_SP_OK(sp_claims_beat(a.get(), 7, 0, &err));
    EXPECT_EQ(FilesOf(run_ / ".claims"), (std::vector<std::string>{"00000.1", file}));
    sp_claim_list list;
    ASSERT_SP_OK(sp_claims_list(run_.path().c_str(), 1, &list, &err));
    ASSERT_EQ(list.n_workers, 1u);
    EXPECT_TRUE(list.workers[0].locked && !list.workers[0].gone);
    EXPECT_EQ(list.workers[0].hyps_done, 7u);
    sp_claim_list_release(&list);
  }
  EXPECT_EQ(sp_claims_refuse(run_.path().c_str(), &err), SP_ELOCK);
}

// Both are made under the worker's one temporary name, in two threads.
TEST_F(RunClaims, BeatsThatMakeTheFileDisturbNoClaim) {
  Claims a = Open();
  const std::string id = sp_claims_id(a.get());
  std::atomic<bool> end{false};
  sp_error fault{};
  std::thread heart([&] {
    while (!end) {
      EXPECT_EQ(sp_claims_beat(a.get(), 0, 0, &fault), SP_OK) << fault.message;
    }
  });
  for (size_t shard = 0; shard < 1000; shard++) {
    unlink(In("worker-" + id).c_str());
    EXPECT_EQ(Take(a, shard), 'm') << shard << ": " << err.message;
  }
  end = true;
  heart.join();
  ASSERT_SP_OK(sp_claims_beat(a.get(), 0, 0, &err));
  sp_claim_list list;
  ASSERT_SP_OK(sp_claims_list(run_.path().c_str(), 1000, &list, &err));
  EXPECT_EQ(list.n_workers, 1u);
  EXPECT_EQ(list.n_shards, 1000u);
  sp_claim_list_release(&list);
}

TEST_F(RunClaims, AKilledProcessOfThisHostIsGoneAtOnce) {
  auto holder = StartHolder(run_.path(), 1);
  Claims a = Open();
  EXPECT_EQ(Take(a, 0), 'h');
  EXPECT_EQ(holder->End(SIGKILL), 128 + SIGKILL);
  EXPECT_EQ(Take(a, 0), 'M');
}

TEST_F(RunClaims, AStoppedProcessOfThisHostIsGoneAfterItsLease) {
  auto holder = StartHolder(run_.path(), 1);
  holder->Signal(SIGSTOP);
  Claims a = Open();
  EXPECT_EQ(Take(a, 0), 'h');
  clock_ += 9.9;
  EXPECT_EQ(Take(a, 0), 'h');
  clock_ += 0.2;
  EXPECT_EQ(Take(a, 0), 'M');
}

TEST_F(RunClaims, AWorkerOfAnotherHostIsGoneAfterItsLease) {
  Remote remote(run_.path(), "elsewhere-4711-0");
  remote.Claim("00000.1");
  Claims a = Open();
  EXPECT_EQ(Take(a, 0), 'h') << "its lock is free here, which says nothing";
  clock_ += 9;
  remote.Beat();
  EXPECT_EQ(Take(a, 0), 'h');
  clock_ += 9.9;
  EXPECT_EQ(Take(a, 0), 'h');
  clock_ += 0.2;
  EXPECT_EQ(Take(a, 0), 'M');
}

// Of what tells two hosts apart each alone is not enough to trust a free lock.
TEST_F(RunClaims, AFreeLockCountsOnlyOnTheSameHostAndMount) {
  Claims a = Open();
  sp_worker_look own;
  ASSERT_SP_OK(sp_worker_look_at(run_.path().c_str(), sp_claims_id(a.get()), &own, &err));
  ASSERT_TRUE(own.here && own.locked && own.worker.flocked && !own.gone);
  ASSERT_NE(own.worker.owner.mount[0], '\0');
  Remote twin(run_.path(), "twin-1-0");
  twin.worker = own.worker;
  twin.Write();
  sp_worker_look look;
  auto is_gone = [&] {
    EXPECT_SP_OK(sp_worker_look_at(run_.path().c_str(), "twin-1-0", &look, &err));
    return look.gone;
  };
  EXPECT_TRUE(is_gone());
  twin.worker.flocked = false;
  twin.Write();
  EXPECT_FALSE(is_gone()) << "on a file system without locks";
  twin.worker.flocked = true;
  snprintf(twin.worker.owner.host, sizeof twin.worker.owner.host, "container-7");
  twin.Write();
  EXPECT_FALSE(is_gone());
  twin.worker = own.worker;
  twin.worker.owner.mount[0] ^= 1;
  twin.Write();
  EXPECT_FALSE(is_gone()) << "a container of the same name elsewhere";
  twin.worker.owner.mount[0] = '\0';
  twin.Write();
  EXPECT_FALSE(is_gone());
}

TEST_F(RunClaims, OfTwoLeasesTheLongerCountsUpToADay) {
  Remote patient(run_.path(), "patient-1-0"), endless(run_.path(), "endless-1-0"),
      hasty(run_.path(), "hasty-1-0");
  patient.worker.lease = 600;
  endless.worker.lease = 1e18;
  hasty.worker.lease = 0.001;
  patient.Write();
  endless.Write();
  hasty.Write();
  patient.Claim("00000.1");
  endless.Claim("00001.1");
  hasty.Claim("00002.1");
  Claims a = Open();
  EXPECT_EQ(Take(a, 0), 'h');
  EXPECT_EQ(Take(a, 1), 'h');
  EXPECT_EQ(Take(a, 2), 'h');
  clock_ += 9.9;
  EXPECT_EQ(Take(a, 2), 'h');
  clock_ += 100;
  EXPECT_EQ(Take(a, 2), 'M');
  EXPECT_EQ(Take(a, 0), 'h');
  clock_ += 500;
  EXPECT_EQ(Take(a, 0), 'M');
  EXPECT_EQ(Take(a, 1), 'h');
  clock_ += 86400;
  EXPECT_EQ(Take(a, 1), 'M');
}

// Its claim may be visible before its file is.
TEST_F(RunClaims, AMissingWorkerFileIsNoProof) {
  Remote remote(run_.path(), "elsewhere-4711-0");
  remote.Claim("00000.1");
  std::filesystem::remove(In("worker-elsewhere-4711-0"));
  Claims a = Open();
  EXPECT_EQ(Take(a, 0), 'h');
  clock_ += 9;
  remote.Write();
  EXPECT_EQ(Take(a, 0), 'h');
  clock_ += 9;
  EXPECT_EQ(Take(a, 0), 'h');
  std::filesystem::remove(In("worker-elsewhere-4711-0"));
  EXPECT_EQ(Take(a, 0), 'h');
  clock_ += 10.1;
  EXPECT_EQ(Take(a, 0), 'M');
}

// ---- damage

class DamagedClaim : public RunClaims {};

TEST_F(DamagedClaim, NamesNobodyAndIsTakenOver) {
  Claims a = Open();
  size_t shard = 0;
  auto name = [&] { return In("0000" + std::to_string(shard) + ".1"); };
  for (const std::string &bytes :
       {std::string(), std::string("\n"), std::string("../../etc/passwd\n"), std::string(97, 'a'),
        std::string(1 << 20, '-'), std::string("a-\0b", 4), std::string("a-b\n\n")}) {
    WriteFile(name(), bytes);
    EXPECT_EQ(Take(a, shard), 'M') << bytes.substr(0, 40);
    shard++;
  }
  ASSERT_EQ(mkfifo(name().c_str(), 0666), 0);
  EXPECT_EQ(Take(a, shard++), 'M') << "a pipe";
  WriteFile(run_ / "target", std::string(sp_claims_id(a.get())));
  std::filesystem::create_symlink(run_ / "target", name());
  EXPECT_EQ(Take(a, shard), 'M') << "a link";
  EXPECT_EQ(ReadFile(run_ / "target"), sp_claims_id(a.get()));
  sp_claims_done(a.get(), shard);
  std::filesystem::create_directory(name());
  EXPECT_EQ(Take(a, shard++), 'M') << "a directory";
}

TEST_F(DamagedClaim, OneThatSaysDoneIsLeftAlone) {
  Claims a = Open();
  WriteFile(In("00000.1"), "done\n");
  EXPECT_EQ(Take(a, 0), 'd');
}

TEST_F(RunClaims, ADamagedWorkerFileTakesALease) {
  Remote remote(run_.path(), "elsewhere-4711-0");
  const std::string path = In("worker-elsewhere-4711-0");
  size_t shard = 0;
  for (const std::string &bytes :
       {std::string(), std::string("{\"host\":"), std::string(2000, ' '), std::string(1024, '['),
        std::string("{\"host\":3,\"pid\":\"x\"}"), std::string("{\"host\":\"a\",\"pid\":1e9}"),
        std::string("\xff\xfe\x00\x01", 4)}) {
    Claims a = Open();
    sp_test::RenewFile(path, bytes);
    remote.Claim("0000" + std::to_string(shard) + ".1");
    EXPECT_EQ(Take(a, shard), 'h') << bytes;
    clock_ += 10.1;
    EXPECT_EQ(Take(a, shard++), 'M') << bytes;
  }
  std::filesystem::remove(path);
  ASSERT_EQ(mkfifo(path.c_str(), 0666), 0);
  Claims a = Open();
  remote.Claim("00009.1");
  EXPECT_EQ(Take(a, 9), 'h');
  clock_ += 10.1;
  EXPECT_EQ(Take(a, 9), 'M');
}

TEST_F(RunClaims, WhatIsNoDirectoryIsRefused) {
  Claims a;
  WriteFile(run_ / ".claims", "x");
  EXPECT_EQ(OpenClaims(run_.path(), &clock_, &a, &err), SP_EIO);
  EXPECT_TRUE(Contains(err.message, ".claims is no directory")) << err.message;
  std::filesystem::remove(run_ / ".claims");
  std::filesystem::create_directory(run_ / "elsewhere");
  std::filesystem::create_symlink(run_ / "elsewhere", run_ / ".claims");
  EXPECT_EQ(OpenClaims(run_.path(), &clock_, &a, &err), SP_EIO);
  WriteFile(run_ / "elsewhere/precious", "x");
  EXPECT_SP_OK(sp_claims_remove_all(run_.path().c_str(), &err));
  EXPECT_TRUE(std::filesystem::exists(run_ / "elsewhere/precious"));
  EXPECT_EQ(OpenClaims(run_ / "missing", &clock_, &a, &err), SP_EIO);
}

TEST(ClaimNames, AreReadAsTheyAreWritten) {
  size_t shard;
  uint32_t generation;
  for (size_t s : {size_t{0}, size_t{99999}, size_t{1234567}, size_t{SP_CLAIM_PLAN},
                   size_t{SP_CLAIM_FINISH}}) {
    for (uint32_t g : {1u, 7u, 4294967295u}) {
      char name[64];
      sp_claim_name(s, g, name);
      ASSERT_TRUE(sp_claim_name_parse(name, &shard, &generation)) << name;
      EXPECT_EQ(shard, s);
      EXPECT_EQ(generation, g);
    }
  }
  for (const char *name : {"",
                           ".",
                           "00000",
                           "00000.",
                           "00000.0",
                           "0.1",
                           "00000.01",
                           "00000.1x",
                           "-0001.1",
                           "00000.-1",
                           "000000.1",
                           "18446744073709551615.1",
                           "99999999999999999999.1",
                           "00000.4294967297",
                           "plan",
                           "plan.",
                           "plan.0",
                           "plan.01",
                           "pla.1",
                           "planx.1",
                           ".1",
                           "worker-a",
                           " 0000.1",
                           "00000.1.1"}) {
    EXPECT_FALSE(sp_claim_name_parse(name, &shard, &generation)) << name;
  }
}

// ---- races

// Each of `workers` processes walks all shards from its own place, and keeps what it gets until all have
// walked. Returns how many got each shard.
std::vector<int> Race(const std::string &run, size_t shards, int workers) {
  std::vector<std::unique_ptr<Child>> children;
  for (int w = 0; w < workers; w++) {
    children.push_back(std::make_unique<Child>([&run, shards, workers, w] {
      double clock = 0;
      sp_error err{};
      Claims claims;
      std::string got;
      if (OpenClaims(run, &clock, &claims, &err) != SP_OK) {
        return 1;
      }
      WriteFile(run + "/ready." + std::to_string(w), "x");
      for (int k = 0; k < workers; k++) {
        sp_test::Await(run + "/ready." + std::to_string(k));
      }
      for (size_t k = 0; k < shards; k++) {
        sp_claim claim;
        bool took_over;
        const size_t shard = (k + static_cast<size_t>(w)) % shards;
        if (sp_claims_take(claims.get(), shard, &claim, &took_over, &err) != SP_OK) {
          return 2;
        }
        got += claim == SP_CLAIM_MINE ? std::to_string(shard) + "\n" : "";
      }
      WriteFile(run + "/.got." + std::to_string(w), got);
      std::filesystem::rename(run + "/.got." + std::to_string(w),
                              run + "/got." + std::to_string(w));
      for (int k = 0; k < workers; k++) {
        sp_test::Await(run + "/got." + std::to_string(k));
      }
      return 0;
    }));
  }
  std::vector<int> owners(shards, 0);
  for (int w = 0; w < workers; w++) {
    EXPECT_EQ(children[static_cast<size_t>(w)]->End(), 0);
    std::istringstream got(ReadFile(run + "/got." + std::to_string(w)));
    for (size_t shard; got >> shard;) {
      owners[shard]++;
    }
  }
  return owners;
}

TEST_F(RunClaims, OfManyProcessesOneGetsEachShard) {
  EXPECT_EQ(Race(run_.path(), 60, 6), std::vector<int>(60, 1));
}

TEST_F(RunClaims, OfManyProcessesOneTakesEachShardOver) {
  auto dead = StartHolder(run_.path(), 30);
  dead->End(SIGKILL);
  EXPECT_EQ(Race(run_.path(), 60, 6), std::vector<int>(60, 1));
  EXPECT_TRUE(Has("00029.1"));
  EXPECT_FALSE(Has("00029.3"));
}

// Shards are published while workers are killed at any moment; what they held is taken over.
int ScoreUntilDone(const std::string &run, size_t shards, uint32_t seed) {
  std::mt19937 random(seed);
  double clock = 0;
  sp_error err{};
  Claims claims;
  if (OpenClaims(run, &clock, &claims, &err) != SP_OK) {
    return 1;
  }
  for (size_t open = shards; open > 0;) {
    open = 0;
    for (size_t shard = 0; shard < shards; shard++) {
      const std::string name = run + "/shard." + std::to_string(shard);
      sp_claim claim;
      bool took_over;
      if (std::filesystem::exists(name)) {
        continue;
      }
      open++;
      if (sp_claims_take(claims.get(), shard, &claim, &took_over, &err) != SP_OK) {
        return 2;
      }
      if (claim == SP_CLAIM_MINE) {
        usleep(random() % 3000);
        WriteFile(name, "x");
        sp_claims_done(claims.get(), shard);
      }
    }
  }
  return 0;
}

TEST_F(RunClaims, KilledWorkersStopNobody) {
  constexpr size_t kShards = 120;
  std::mt19937 random(1);
  std::vector<std::unique_ptr<Child>> children;
  auto start = [&] {
    const uint32_t seed = random();
    return std::make_unique<Child>(
        [this, seed] { return ScoreUntilDone(run_.path(), kShards, seed); });
  };
  for (int k = 0; k < 4; k++) {
    children.push_back(start());
  }
  for (int kills = 0; kills < 15; kills++) {
    usleep(random() % 10000);
    auto &victim = children[random() % children.size()];
    victim->End(SIGKILL);
    victim = start();
  }
  for (auto &child : children) {
    EXPECT_EQ(child->End(), 0);
  }
  for (size_t shard = 0; shard < kShards; shard++) {
    EXPECT_TRUE(std::filesystem::exists(run_ / ("shard." + std::to_string(shard))));
  }
}

// ---- who looks on

TEST_F(RunClaims, TheListSaysWhatTheFilesSay) {
  sp_claim_list list;
  ASSERT_SP_OK(sp_claims_list(run_.path().c_str(), 5, &list, &err));
  EXPECT_EQ(list.n_workers + list.n_shards, 0u);
  Claims a = Open(25);
  ASSERT_SP_OK(sp_claims_beat(a.get(), 4321, 98.75, &err));
  ASSERT_SP_OK(sp_claims_beat(a.get(), 4322, 98.75, &err));
  Remote remote(run_.path(), "elsewhere-4711-0");
  remote.Claim("00002.1");
  remote.Claim("00002.2");
  remote.Claim("00002.10");
  remote.Claim("00004.1");
  remote.Claim("00005.1");
  remote.Claim("plan.1");
  for (const char *stray : {"notes", "00001.x", "worker-", "worker-no_dash", "worker-a.b-c"}) {
    WriteFile(In(stray), "x");
  }
  WriteFile(In("00001.1"), "damaged");
  EXPECT_EQ(Take(a, 0), 'm');
  ASSERT_SP_OK(sp_claims_list(run_.path().c_str(), 5, &list, &err));
  ASSERT_EQ(list.n_workers, 2u);
  const bool first = strcmp(list.workers[0].id, sp_claims_id(a.get())) == 0;
  const sp_claim_worker &own = list.workers[first ? 0 : 1], &other = list.workers[first ? 1 : 0];
  EXPECT_STREQ(own.id, sp_claims_id(a.get()));
  EXPECT_EQ(own.pid, getpid());
  EXPECT_STREQ(own.part, "2/8");
  EXPECT_EQ(own.beat, 2u);
  EXPECT_EQ(own.hyps_done, 4322u);
  EXPECT_EQ(own.hyps_per_second, 98.75);
  EXPECT_EQ(own.lease, 25.0);
  EXPECT_TRUE(own.here && own.locked && !own.gone);
  EXPECT_STREQ(other.host, "elsewhere.example");
  EXPECT_STREQ(other.start, "2026-01-02T03:04:05Z");
  EXPECT_EQ(other.pid, 4711);
  EXPECT_FALSE(other.here || other.locked || other.gone);
  ASSERT_EQ(list.n_shards, 3u);
  EXPECT_EQ(list.shards[0].shard, 0u);
  EXPECT_STREQ(list.shards[0].worker, sp_claims_id(a.get()));
  EXPECT_EQ(list.shards[1].shard, 2u);
  EXPECT_EQ(list.shards[1].generation, 10u);
  EXPECT_EQ(list.shards[2].shard, 4u);
  sp_claim_list_release(&list);
}

TEST_F(RunClaims, TheListKnowsTheDeadOfThisHost) {
  auto holder = StartHolder(run_.path(), 2);
  holder->End(SIGKILL);
  sp_claim_list list;
  ASSERT_SP_OK(sp_claims_list(run_.path().c_str(), 5, &list, &err));
  ASSERT_EQ(list.n_workers, 1u);
  EXPECT_TRUE(list.workers[0].here && !list.workers[0].locked && list.workers[0].gone);
  EXPECT_EQ(list.n_shards, 2u);
  sp_claim_list_release(&list);
}

TEST_F(RunClaims, WhatAHostileFileSaysDrivesNoTerminal) {
  Remote remote(run_.path(), "elsewhere-4711-0");
  sp_test::RenewFile(
      In("worker-elsewhere-4711-0"),
      "{\"host\":\"a\\u001b[2Jb\\\"\",\"pid\":-5,\"part\":\"\\u00e9\\n\",\"beat\":-1,"
      "\"lease\":\"x\",\"hyps_per_second\":[]}");
  sp_claim_list list;
  ASSERT_SP_OK(sp_claims_list(run_.path().c_str(), 5, &list, &err));
  ASSERT_EQ(list.n_workers, 1u);
  EXPECT_STREQ(list.workers[0].host, "a?[2Jb?");
  EXPECT_STREQ(list.workers[0].part, "???");
  EXPECT_EQ(list.workers[0].beat, 0u);
  sp_claim_list_release(&list);
}

// ---- the end

std::string Temporary(const std::string &worker, const char *shard = "00000") {
  return ".tmp-scores-" + std::string(shard) + "-of-00002." + worker + ".00ff";
}

TEST_F(RunClaims, ASweepTakesWhatTheDeadLeftOfDoneShards) {
  auto dead = StartHolder(run_.path(), 0);
  sp_claim_list list;
  ASSERT_SP_OK(sp_claims_list(run_.path().c_str(), 5, &list, &err));
  ASSERT_EQ(list.n_workers, 1u);
  const std::string killed = list.workers[0].id;
  sp_claim_list_release(&list);
  Claims a = Open(), b = Open();
  const std::string alive = sp_claims_id(b.get()), own = sp_claims_id(a.get());
  const std::vector<std::string> keep = {
      Temporary(killed, "00001"),  Temporary(alive),        Temporary(own),
      Temporary("4711"),           Temporary("unseen-1-0"), ".tmp-scores-x.a-b.0",
      "scores-00000-of-00002.done"};
  for (const std::string &name : keep) {
    WriteFile(run_ / name, "x");
  }
  WriteFile(run_ / Temporary(killed), "x");
  dead->End(SIGKILL);
  ASSERT_SP_OK(sp_claims_sweep(a.get(), &err));
  EXPECT_FALSE(std::filesystem::exists(run_ / Temporary(killed)));
  EXPECT_FALSE(Has("worker-" + killed));
  for (const std::string &name : keep) {
    EXPECT_TRUE(std::filesystem::exists(run_ / name)) << name;
  }
  EXPECT_TRUE(Has("worker-" + alive) && Has("worker-" + own));
  ASSERT_SP_OK(sp_claims_beat(b.get(), 0, 0, &err));
  ASSERT_SP_OK(sp_claims_sweep(a.get(), &err));
  clock_ += 10.1;
  ASSERT_SP_OK(sp_claims_beat(b.get(), 0, 0, &err));
  ASSERT_SP_OK(sp_claims_sweep(a.get(), &err));
  EXPECT_FALSE(std::filesystem::exists(run_ / Temporary("unseen-1-0"))) << "unseen for a lease";
  EXPECT_TRUE(std::filesystem::exists(run_ / Temporary(alive)));
  ASSERT_SP_OK(sp_run_sweep(run_.path().c_str(), &err));
  EXPECT_FALSE(std::filesystem::exists(run_ / Temporary("4711"))) << "a lone process's";
}

TEST_F(RunClaims, AGoneWorkersFileStaysWhileItsClaimCounts) {
  Remote remote(run_.path(), "elsewhere-4711-0");
  remote.Claim("00000.1");
  Claims a = Open();
  ASSERT_SP_OK(sp_claims_sweep(a.get(), &err));
  clock_ += 10.1;
  ASSERT_SP_OK(sp_claims_sweep(a.get(), &err));
  EXPECT_TRUE(Has("worker-elsewhere-4711-0"));
  EXPECT_EQ(Take(a, 0), 'M');
  ASSERT_SP_OK(sp_claims_sweep(a.get(), &err));
  EXPECT_FALSE(Has("worker-elsewhere-4711-0"));
}

TEST_F(RunClaims, OfManyThatAreGoneThoseWithClaimsStay) {
  Claims a = Open();
  std::set<std::string> holders, rest;
  for (int k = 0; k < 90; k++) {
    const std::string id = "far" + std::to_string(k * 37 % 90) + "-1-0";
    Remote remote(run_.path(), id);
    if (k % 3 == 0) {
      remote.Claim("000" + std::to_string(10 + k) + ".1");
    }
    (k % 3 == 0 ? holders : rest).insert(id);
  }
  ASSERT_SP_OK(sp_claims_sweep(a.get(), &err));
  clock_ += 10.1;
  ASSERT_SP_OK(sp_claims_sweep(a.get(), &err));
  for (const std::string &id : holders) {
    EXPECT_TRUE(Has("worker-" + id)) << id;
  }
  for (const std::string &id : rest) {
    EXPECT_FALSE(Has("worker-" + id)) << id;
  }
}

TEST_F(RunClaims, RemovingAllLeavesNothingOfOurs) {
  ASSERT_SP_OK(sp_claims_remove_all(run_.path().c_str(), &err));
  Claims a = Open(), b = Open();
  EXPECT_EQ(Take(a, 0), 'm');
  WriteFile(In("stray"), "x");
  std::filesystem::create_directory(In("empty"));
  ASSERT_SP_OK(sp_claims_remove_all(run_.path().c_str(), &err));
  EXPECT_TRUE(FilesOf(run_.path()).empty());
  a.reset();
  b.reset();
  EXPECT_TRUE(FilesOf(run_.path()).empty());
  std::filesystem::create_directories(In("full/of"));
  EXPECT_SP_OK(sp_claims_remove_all(run_.path().c_str(), &err));
  EXPECT_TRUE(Has("full/of")) << "none of ours";
}

// ---- temporary files of shards

class WorkersShard : public RunClaims {
 protected:
  void Start(const char *worker) {
    ASSERT_SP_OK(sp_shard_writer_create_for(run_.path().c_str(), 0, 1, worker, &writer_, &err));
    line_ = sp_test::MakeLine("u", 2, 1);
    ASSERT_SP_OK(sp_shard_writer_append(writer_, sp_test::Text(line_.text), sp_test::Text(line_.id),
                                        line_.hyps, line_.tokens, &err));
  }
  sp_shard_writer *writer_ = nullptr;
  sp_test::Line line_;
};

TEST_F(WorkersShard, SaysWhoseItIs) {
  Start("node1-42-0");
  const std::string name = FilesOf(run_.path()).front();
  EXPECT_EQ(name.rfind(".tmp-scores-00000-of-00001.node1-42-0.", 0), 0u) << name;
  EXPECT_EQ(sp_run_name_of(name.c_str(), 1), SP_NAME_TEMPORARY);
  ASSERT_SP_OK(sp_shard_writer_publish(writer_, &err));
  EXPECT_EQ(FilesOf(run_.path()), (std::vector<std::string>{"scores-00000-of-00001.done",
                                                            "scores-00000-of-00001.jsonl.zst"}));
}

TEST_F(WorkersShard, SweptWhileItSleptIsNoFailure) {
  Start("node1-42-0");
  ASSERT_SP_OK(sp_test::WriteShard(run_.path(), 0, 1, {line_}, &err));
  ASSERT_SP_OK(sp_run_sweep(run_.path().c_str(), &err));
  EXPECT_EQ(FilesOf(run_.path()).size(), 2u);
  EXPECT_SP_OK(sp_shard_writer_publish(writer_, &err));
}

TEST_F(WorkersShard, OtherBytesAreAFailureStill) {
  Start("node1-42-0");
  ASSERT_SP_OK(sp_test::WriteShard(run_.path(), 0, 1, {sp_test::MakeLine("other", 2, 1)}, &err));
  ASSERT_SP_OK(sp_run_sweep(run_.path().c_str(), &err));
  EXPECT_EQ(sp_shard_writer_publish(writer_, &err), SP_ESHARD);
}

}  // namespace
