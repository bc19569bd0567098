// What the names and files of claims tell: workers that look at others, and who looks on.
#include <gtest/gtest.h>

#include <set>

#include "claims_fixture.h"

namespace {

using namespace sp_test;

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
  sp_claim_life life;
  EXPECT_EQ(Take(a, 3), 'm');
  EXPECT_SP_OK(sp_claims_holder(b.get(), 3, &holder, &life, &err));
  EXPECT_EQ(life, SP_LIFE_AT_WORK);
  EXPECT_STREQ(holder.part, "2/8");
  EXPECT_STREQ(holder.id, sp_claims_id(a.get()));
  EXPECT_SP_OK(sp_claims_holder(b.get(), 4, &holder, &life, &err));
  EXPECT_EQ(life, SP_LIFE_NONE) << "nobody";
}

// By the file server's times alone, and for the taking over by the own clock.
TEST_F(RunClaims, AHolderIsAtWorkWhileItsBeatIsRecent) {
  using std::chrono::seconds;
  Claims a = Open();
  Remote other(run_.path(), "elsewhere-1");
  const std::string own_file = In(std::string("worker-") + sp_claims_id(a.get()));
  const auto opened = std::filesystem::last_write_time(own_file);
  auto life = [&] {
    sp_claim_worker holder;
    sp_claim_life out = SP_LIFE_NONE;
    EXPECT_SP_OK(sp_claims_holder(a.get(), 3, &holder, &out, &err));
    return out;
  };
  auto beats = [&](int own, int others) {
    std::filesystem::last_write_time(own_file, opened + seconds(own));
    std::filesystem::last_write_time(In("worker-elsewhere-1"), opened + seconds(others));
  };
  other.Claim("00003.1");
  EXPECT_EQ(life(), SP_LIFE_AT_WORK);
  beats(0, -11);
  EXPECT_EQ(life(), SP_LIFE_NONE) << "of a worker that was silent before";
  beats(12, 1);
  EXPECT_EQ(life(), SP_LIFE_SILENT) << "not known to be gone yet, but silent for a lease";
  beats(12, 3);
  EXPECT_EQ(life(), SP_LIFE_AT_WORK);
  beats(20, 3);
  clock_ += kLease + 1;
  EXPECT_EQ(life(), SP_LIFE_DIED);
  EXPECT_EQ(Take(a, 3), 'M');
  other.Claim("00003.3");
  beats(0, -1);
  EXPECT_EQ(life(), SP_LIFE_NONE) << "gone, but not beside this worker";
  other.Beat();
  EXPECT_EQ(life(), SP_LIFE_AT_WORK);
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
  RenewFile(In("worker-elsewhere-4711-0"),
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

}  // namespace
