// Who works on which shard: claims by generation, damage, races.
#include "run_claims.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <set>
#include <sstream>

#include "claims_fixture.h"
#include "run_claims_state.h"

namespace {

using namespace sp_test;

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
    RenewFile(path, bytes);
    remote.Claim("0000" + std::to_string(shard) + ".1");
    SCOPED_TRACE(bytes);
    ExpectHeldForALease(a, shard++);
  }
  std::filesystem::remove(path);
  ASSERT_EQ(mkfifo(path.c_str(), 0666), 0);
  Claims a = Open();
  remote.Claim("00009.1");
  ExpectHeldForALease(a, 9);
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
        Await(run + "/ready." + std::to_string(k));
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
        Await(run + "/got." + std::to_string(k));
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

}  // namespace
