// Workers that are gone, and the beats by which others tell.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <cmath>
#include <thread>

#include "claims_fixture.h"

namespace {

using namespace sp_test;

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
  FileSizeLimit full(SP_WORKER_BYTES);
  EXPECT_SP_OK(sp_claims_beat(a.get(), 1, 1, &err));
}

TEST_F(RunClaims, AFullDiskRefusesAWorkerAndHoldsNothing) {
  Claims a;
  sp_status status;
  {
    FileSizeLimit full(5);
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
  SCOPED_TRACE("12 seconds, but a beat in between");
  ExpectHeldForALease(b, 0);
  EXPECT_EQ(ReadFile(In("00000.2")), std::string(sp_claims_id(b.get())) + "\n");
}

TEST_F(RunClaims, TheLeaseBeginsWhenTheObserverFirstLooks) {
  Claims a = Open();
  EXPECT_EQ(Take(a, 0), 'm');
  clock_ += 1e6;
  Claims b = Open();
  SCOPED_TRACE("it may have beaten just now");
  ExpectHeldForALease(b, 0);
}

TEST_F(RunClaims, AWorkerThatWakesHasNoRightAndDoesNoHarm) {
  Claims a = Open(), b = Open(), c = Open();
  EXPECT_EQ(Take(a, 0), 'm');
  ExpectHeldForALease(b, 0);
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
  ExpectHeldForALease(a, 0);
}

TEST_F(RunClaims, AWorkerOfAnotherHostIsGoneAfterItsLease) {
  Remote remote(run_.path(), "elsewhere-4711-0");
  remote.Claim("00000.1");
  Claims a = Open();
  EXPECT_EQ(Take(a, 0), 'h') << "its lock is free here, which says nothing";
  clock_ += 9;
  remote.Beat();
  ExpectHeldForALease(a, 0);
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
  ExpectHeldForALease(a, 0);
}

}  // namespace
