// What workers leave, and who takes it away.
#include <gtest/gtest.h>

#include <set>

#include "claims_fixture.h"
#include "run_scan.h"

namespace {

using namespace sp_test;

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
    line_ = MakeLine("u", 2, 1);
    ASSERT_SP_OK(sp_shard_writer_append(writer_, Text(line_.text), Text(line_.id), line_.hyps,
                                        line_.tokens, &err));
  }
  sp_shard_writer *writer_ = nullptr;
  Line line_;
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
  ASSERT_SP_OK(WriteShard(run_.path(), 0, 1, {line_}, &err));
  ASSERT_SP_OK(sp_run_sweep(run_.path().c_str(), &err));
  EXPECT_EQ(FilesOf(run_.path()).size(), 2u);
  EXPECT_SP_OK(sp_shard_writer_publish(writer_, &err));
}

TEST_F(WorkersShard, OtherBytesAreAFailureStill) {
  Start("node1-42-0");
  ASSERT_SP_OK(WriteShard(run_.path(), 0, 1, {MakeLine("other", 2, 1)}, &err));
  ASSERT_SP_OK(sp_run_sweep(run_.path().c_str(), &err));
  EXPECT_EQ(sp_shard_writer_publish(writer_, &err), SP_ESHARD);
}

}  // namespace
