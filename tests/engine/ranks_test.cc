// ranks_test.cc - ranks of one job, as threads: one counter, one summary, one status.
#include "ranks.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <thread>

#include "engine_fixture.h"
#include "run_claims.h"

namespace {

using namespace sp_test;
namespace fs = std::filesystem;

// What all ranks share: each meeting is of all of them.
struct Room {
  explicit Room(size_t n) : count(n) {}
  // The last to come runs `last` before anybody leaves.
  void Meet(const std::function<void()> &last) {
    std::unique_lock<std::mutex> lock(mutex);
    size_t turn = turns;
    if (++here == count) {
      last();
      here = 0;
      turns++;
      all.notify_all();
    } else {
      all.wait(lock, [&] { return turns != turn; });
    }
  }
  size_t count, here = 0, turns = 0;
  std::mutex mutex;
  std::condition_variable all;
  std::atomic<uint64_t> tickets{0};
  std::atomic<bool> fails{false};  // the second rank gets no ticket
  const void *source = nullptr;    // of a broadcast
  std::vector<double *> values;
  std::vector<double> total;
  sp_status status = SP_OK;
  bool ended = false;  // with a failure that all know
  sp_error error{};
};

struct Rank {
  Room *room;
  sp_ranks table{};
};

sp_status Ticket(void *context, uint64_t *ticket, sp_error *err) {
  const Rank *rank = static_cast<Rank *>(context);
  if (rank->room->fails && rank->table.rank == 1) {
    return sp_fail(err, SP_EDEVICE, "the network is down");
  }
  *ticket = static_cast<Rank *>(context)->room->tickets++;
  return SP_OK;
}

// Rank 0's bytes stay where they are until everybody has them.
sp_status Broadcast(void *context, void *data, size_t bytes, sp_error *) {
  const Rank *rank = static_cast<Rank *>(context);
  Room *room = rank->room;
  if (rank->table.rank == 0) {
    std::lock_guard<std::mutex> lock(room->mutex);
    room->source = data;
  }
  room->Meet([] {});
  if (rank->table.rank != 0 && bytes > 0)
    memcpy(data, room->source, bytes);
  room->Meet([] {});
  return SP_OK;
}

sp_status Sum(void *context, double *values, size_t n, sp_error *) {
  Room *room = static_cast<Rank *>(context)->room;
  {
    std::lock_guard<std::mutex> lock(room->mutex);
    room->values.push_back(values);
  }
  room->Meet([&] {
    room->total.assign(n, 0);
    for (const double *of : room->values)
      for (size_t i = 0; i < n; i++)
        room->total[i] += of[i];
    room->values.clear();
  });
  std::copy(room->total.begin(), room->total.end(), values);
  return SP_OK;
}

sp_status Agree(void *context, sp_status status, sp_error *err) {
  Room *room = static_cast<Rank *>(context)->room;
  {
    std::lock_guard<std::mutex> lock(room->mutex);
    if (room->ended) {
      *err = room->error;
      return room->status;
    }
    if (status != SP_OK && room->status == SP_OK) {
      room->status = status;
      room->error = *err;
    }
  }
  room->Meet([&] { room->ended = room->status != SP_OK; });
  if (room->status != SP_OK)
    *err = room->error;
  return room->status;
}

class Ranks : public testing::Test {
 protected:
  void SetUp() override {
    model_ = MakeModel(scratch_ / "model");
    WriteFile(scratch_ / "a.jsonl", ToJsonl(MakeArchive(120)));
  }
  Job MakeJob(const std::string &run) {
    Job job;
    job.model = model_;
    job.archives = {scratch_ / "a.jsonl"};
    job.out = scratch_ / run;
    job.threads = 1;
    job.shard_utts = 5;
    job.lease = 2;
    return job;
  }
  std::vector<Outcome> Run(const Job &job, size_t count, bool fails = false) {
    Room room(count);
    room.fails = fails;
    std::vector<Rank> ranks(count);
    std::vector<Job> jobs(count, job);
    std::vector<Outcome> outcomes(count);
    std::vector<std::thread> threads;
    for (size_t i = 0; i < count; i++) {
      ranks[i].room = &room;
      ranks[i].table = {};
      ranks[i].table.rank = ranks[i].table.local_rank = i;
      ranks[i].table.count = ranks[i].table.local_count = count;
      strcpy(ranks[i].table.node, "here");
      ranks[i].table.context = &ranks[i];
      ranks[i].table.ticket = Ticket;
      ranks[i].table.broadcast = Broadcast;
      ranks[i].table.sum = Sum;
      ranks[i].table.agree = Agree;
      jobs[i].ranks = &ranks[i].table;
    }
    for (size_t i = 0; i < count; i++)
      threads.emplace_back([&, i] { outcomes[i] = Score(jobs[i]); });
    for (std::thread &thread : threads)
      thread.join();
    return outcomes;
  }

  Scratch scratch_;
  std::string model_;
};

TEST_F(Ranks, AnyNumberMakesTheBytesOfOneAndOneSummary) {
  Job whole = MakeJob("whole");
  Outcome alone = Score(whole);
  ASSERT_EQ(alone.status, SP_OK) << alone.message;
  for (size_t count : {1, 2, 4}) {
    Job job = MakeJob("run");
    fs::remove_all(job.out);
    for (const Outcome &outcome : Run(job, count)) {
      EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
      EXPECT_EQ(outcome.summary.hyps_scored, alone.summary.hyps_scored);
      EXPECT_EQ(outcome.summary.counts.sequences, alone.summary.counts.sequences);
      EXPECT_NEAR(outcome.summary.counts.flops, alone.summary.counts.flops,
                  1e-9 * alone.summary.counts.flops)
          << "shards add up in another order";
      EXPECT_EQ(outcome.summary.counts.duplicate_hyps, alone.summary.counts.duplicate_hyps);
      EXPECT_EQ(outcome.summary.threads, count);
      EXPECT_EQ(outcome.summary.shards_open, 0u);
    }
    EXPECT_TRUE(SameFiles(FilesOf(job.out), FilesOf(whole.out))) << count;
    for (const Outcome &outcome : Run(job, count)) {
      EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
      EXPECT_TRUE(outcome.summary.already_complete);
    }
  }
}

TEST_F(Ranks, AHalfDoneRunIsGoneOnWith) {
  Job whole = MakeJob("whole"), job = MakeJob("run"), part = MakeJob("run");
  ASSERT_EQ(Score(whole).status, SP_OK);
  part.part = 1;
  part.parts = 3;
  ASSERT_EQ(Score(part).status, SP_OK);
  for (const Outcome &outcome : Run(job, 2)) {
    EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
    EXPECT_EQ(outcome.summary.shards_resumed, 8u);
  }
  EXPECT_TRUE(SameFiles(FilesOf(job.out), FilesOf(whole.out)));
}

size_t CountMarkers(const std::string &run) {
  size_t n = 0;
  for (const auto &entry : fs::directory_iterator(run))
    n += entry.path().extension() == ".done";
  return n;
}

// Another job's worker has a shard, and lets go of it when all else is done.
TEST_F(Ranks, WhatAnotherWorkerHoldsIsScoredWhenItLetsGo) {
  Job whole = MakeJob("whole"), job = MakeJob("run");
  ASSERT_EQ(Score(whole).status, SP_OK);
  job.prepare = true;
  ASSERT_EQ(Score(job).status, SP_OK);
  job.prepare = false;
  sp_claims_rules rules{};
  rules.run = job.out.c_str();
  rules.lease = 300;
  sp_claims *claims;
  sp_claim claim;
  bool took_over;
  sp_error err{};
  ASSERT_EQ(sp_claims_open(&rules, &claims, &err), SP_OK) << err.message;
  ASSERT_EQ(sp_claims_take(claims, 7, &claim, &took_over, &err), SP_OK) << err.message;
  ASSERT_EQ(claim, SP_CLAIM_MINE);
  std::vector<Outcome> outcomes;
  std::atomic<bool> ended{false};
  std::thread ranks([&] {
    outcomes = Run(job, 3);
    ended = true;
  });
  while (CountMarkers(job.out) < 23 && !ended)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  EXPECT_EQ(CountMarkers(job.out), 23u);
  sp_claims_drop(claims, 7);
  ranks.join();
  sp_claims_close(claims);
  for (const Outcome &outcome : outcomes) {
    EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
    EXPECT_EQ(outcome.summary.shards_open, 0u);
  }
  EXPECT_TRUE(SameFiles(FilesOf(job.out), FilesOf(whole.out)));
}

TEST_F(Ranks, TheFailureOfOneIsEverybodys) {
  WriteFile(scratch_ / "a.jsonl", ToJsonl(MakeArchive(20)) + "{\n");
  Job job = MakeJob("run");
  for (const Outcome &outcome : Run(job, 3)) {
    EXPECT_EQ(outcome.status, SP_EINPUT);
    EXPECT_NE(outcome.message.find("a.jsonl:21"), std::string::npos) << outcome.message;
  }
  EXPECT_FALSE(fs::exists(job.out));
}

// The job has failed, but what the others completed is closed.
TEST_F(Ranks, ARunThatIsWholeIsClosedThoughARankFailed) {
  Job whole = MakeJob("whole"), job = MakeJob("run");
  ASSERT_EQ(Score(whole).status, SP_OK);
  std::vector<Outcome> outcomes = Run(job, 3, true);
  for (const Outcome &outcome : outcomes) {
    EXPECT_EQ(outcome.status, SP_EDEVICE);
    EXPECT_EQ(outcome.message, "the network is down");
  }
  EXPECT_TRUE(SameFiles(FilesOf(job.out), FilesOf(whole.out)));
  ASSERT_EQ(outcomes[0].warnings.size(), 1u);
  EXPECT_NE(outcomes[0].warnings[0].find("run is complete all the same"), std::string::npos)
      << outcomes[0].warnings[0];
}

}  // namespace
