// simulator_test.cc - small runs whose times can be told by hand.
#include "simulator.h"

#include <gtest/gtest.h>

#include <vector>

namespace {

// Shards of 10 seconds on workers that do one after the other; nothing else takes time.
class Simulator : public testing::Test {
 protected:
  Simulator() {
    rules_.depth = rules_.end_depth = 1;
    rules_.rate = 1;
    rules_.lease = 20;
    rules_.restart = 3;
  }
  void Shards(std::vector<double> costs) {
    shards_.clear();
    for (double cost : costs) {
      sp_plan_shard shard = {};
      shard.utts = 1;
      shard.cost = cost;
      shards_.push_back(shard);
    }
  }
  void Equal(size_t n, double cost = 10) {
    Shards(std::vector<double>(n, cost));
  }
  sim_result Run(sim_way way, size_t workers) {
    rules_.way = way;
    rules_.workers = workers;
    rules_.shards = shards_.data();
    rules_.n_shards = shards_.size();
    rules_.speed = speed_.empty() ? nullptr : speed_.data();
    rules_.deaths = deaths_.data();
    rules_.n_deaths = deaths_.size();
    sim_result result = {};
    sp_error err = {};
    EXPECT_EQ(sim_run(&rules_, &result, &err), SP_OK) << err.message;
    return result;
  }

  sim_rules rules_ = {};
  std::vector<sp_plan_shard> shards_;
  std::vector<double> speed_;
  std::vector<sim_death> deaths_;
};

constexpr double kSame = 1e-9;

TEST_F(Simulator, EqualShardsOnEqualWorkers) {
  Equal(8);
  rules_.shard_seconds = 1;
  for (sim_way way : {SIM_COUNTER, SIM_OWN_SHARE}) {
    sim_result r = Run(way, 2);
    EXPECT_NEAR(r.seconds, 44, kSame);
    EXPECT_NEAR(r.ideal, 88, kSame);
    EXPECT_NEAR(r.idle_end, 0, kSame);
    EXPECT_NEAR(sim_efficiency(&rules_, &r), 1, kSame);
    EXPECT_EQ(r.lost_shards, 0u);
  }
}

// 9 shards on 2 workers: one has the last alone.
TEST_F(Simulator, AnOddShardIsWaitedFor) {
  Equal(9);
  sim_result r = Run(SIM_COUNTER, 2);
  EXPECT_NEAR(r.seconds, 50, kSame);
  EXPECT_NEAR(r.idle_end, 5, kSame);
  EXPECT_NEAR(sim_efficiency(&rules_, &r), 0.9, kSame);
}

// The longest comes first, so that the others fill up beside it: 8 | 5 + 3.
TEST_F(Simulator, LongestFirst) {
  Shards({3, 5, 8});
  EXPECT_NEAR(Run(SIM_COUNTER, 2).seconds, 8, kSame);
  EXPECT_NEAR(Run(SIM_OWN_SHARE, 2).seconds, 8, kSame);  // dealt 8 | 5 3
}

// At half the speed: tickets give it 2 of 6, a part has 3 whatever happens.
TEST_F(Simulator, AStraggler) {
  Equal(6);
  speed_ = {1, 0.5};
  sim_result tickets = Run(SIM_COUNTER, 2);
  EXPECT_NEAR(tickets.seconds, 40, kSame);
  EXPECT_NEAR(sim_efficiency(&rules_, &tickets), 0.75, kSame);
  EXPECT_NEAR(sim_efficiency_of_capacity(&tickets), 1, kSame);
  EXPECT_NEAR(Run(SIM_OWN_SHARE, 2).seconds, 60, kSame);
}

// Worker 0 is through its three at 30, takes the third of worker 1 and is done with it at 40.
TEST_F(Simulator, AHelper) {
  Equal(6);
  speed_ = {1, 0.5};
  sim_result r = Run(SIM_PARTS, 2);
  EXPECT_NEAR(r.seconds, 40, kSame);
  EXPECT_EQ(r.helped, 1u);
}

// It dies with that shard. It is back at 36; but by 40 worker 1, whose share it is of, waits for the lease from
// then on, and looks every five seconds: it has it from 60 to 80.
TEST_F(Simulator, AHelperDies) {
  Equal(6);
  speed_ = {1, 0.5};
  deaths_ = {{33, 0}};
  sim_result r = Run(SIM_PARTS, 2);
  EXPECT_NEAR(r.seconds, 80, kSame);
  EXPECT_NEAR(r.lost, 3, kSame);
  EXPECT_EQ(r.taken_over, 1u);
}

// Worker 1 dies with its first of two and stays away. Worker 0 is through its own at 20, alone, and waits for
// the end of the lease: from 25 on it does what the other had left, from the end.
TEST_F(Simulator, ADeadPartIsHelpedAfterTheLease) {
  Equal(4);
  rules_.restart = 1000;
  deaths_ = {{5, 1}};
  sim_result r = Run(SIM_PARTS, 2);
  EXPECT_NEAR(r.seconds, 45, kSame);
  EXPECT_EQ(r.helped, 2u);
  EXPECT_EQ(r.taken_over, 1u);
  EXPECT_NEAR(r.lost, 5, kSame);
}

// The last at work waits; who ends beside others does not: worker 1 has ended at 10, worker 0 takes the shard at 30.
TEST_F(Simulator, WhoEndsBesideOthersLeavesTheDeadToThem) {
  Shards({30, 10, 10});  // dealt 0 | 1 | 2
  rules_.restart = 1000;
  deaths_ = {{1, 2}};
  sim_result r = Run(SIM_PARTS, 3);
  EXPECT_NEAR(r.seconds, 40, kSame);
  EXPECT_EQ(r.taken_over, 1u);
}

// A part that dies again leaves what it held in both lives, sees both claims from 18 on, and has them at 38.
TEST_F(Simulator, ADeathInTheSecondLife) {
  Equal(4);
  deaths_ = {{5, 1}, {15, 1}};
  sim_result r = Run(SIM_PARTS, 2);
  EXPECT_EQ(r.lost_shards, 2u);
  EXPECT_NEAR(r.lost, 5 + 7, kSame);
  EXPECT_NEAR(r.seconds, 58, kSame);
}

// Of 12 shards each the slow one has done some 5 when the other three are through; then all share the rest.
TEST_F(Simulator, ManyHelpers) {
  Equal(48);
  rules_.depth = 2;
  rules_.end_depth = 1;
  rules_.end_tickets = 4;
  speed_ = {1, 1, 1, 0.4};
  sim_result r = Run(SIM_PARTS, 4);
  EXPECT_GE(r.helped, 4u);
  EXPECT_LE(r.seconds, 160) << "48 shards at a speed of 3.4 take 141";
  EXPECT_NEAR(Run(SIM_OWN_SHARE, 4).seconds, 300, kSame);
}

// A worker without work in the beginning lends a hand at once.
TEST_F(Simulator, OneWithoutAShare) {
  Equal(2);
  EXPECT_NEAR(Run(SIM_PARTS, 4).seconds, 10, kSame);
}

// One in flight waits for each ticket; the second in flight hides it.
TEST_F(Simulator, TicketsTakeTime) {
  Equal(3);
  rules_.ticket = {1, 1};
  EXPECT_NEAR(Run(SIM_COUNTER, 1).seconds, 33, kSame);
  rules_.depth = 2;
  EXPECT_NEAR(Run(SIM_COUNTER, 1).seconds, 31, kSame);
}

// Eight tickets of two seconds each are given out by 16, however many ask.
TEST_F(Simulator, TheCounterIsTheLimit) {
  Equal(8, 4);
  rules_.ticket = {2, 2};
  for (size_t workers : {4u, 8u}) {
    sim_result r = Run(SIM_COUNTER, workers);
    EXPECT_NEAR(r.seconds, 20, kSame);
    EXPECT_NEAR(r.counter.busy, 16, kSame);
    EXPECT_EQ(r.counter.visits, 8u);
  }
}

// Publication is beside scoring when there is more in flight, and the directory does one at a time.
TEST_F(Simulator, TheDirectoryIsTheLimit) {
  Equal(4);
  rules_.publish = {6, 6};
  EXPECT_NEAR(Run(SIM_OWN_SHARE, 1).seconds, 64, kSame);
  rules_.depth = 2;
  EXPECT_NEAR(Run(SIM_OWN_SHARE, 1).seconds, 46, kSame);
  EXPECT_NEAR(Run(SIM_OWN_SHARE, 4).seconds, 10 + 24, kSame);
}

// 5 seconds into its first shard worker 1 dies. Its part is back at 8, sees its own old claim then, does
// its other shard until 18, and may have the first when it was silent for 20 seconds, at 28.
TEST_F(Simulator, ADeathWithParts) {
  Equal(4);
  deaths_ = {{5, 1}};
  sim_result r = Run(SIM_OWN_SHARE, 2);
  EXPECT_NEAR(r.seconds, 38, kSame);
  EXPECT_NEAR(r.lost, 5, kSame);
  EXPECT_EQ(r.lost_shards, 1u);
  EXPECT_EQ(r.taken_over, 1u);
}

// Back at 18 it reads the list first, of the one shard's file and marker, a half second each: it does its second
// shard until 29, and has seen then for 20 seconds, since 19, that nobody is at its first one.
TEST_F(Simulator, AListTakesTime) {
  Equal(4);
  rules_.restart = 13;
  rules_.name = {0.5, 0.5};
  deaths_ = {{5, 1}};
  EXPECT_NEAR(Run(SIM_OWN_SHARE, 2).seconds, 39 + 10, kSame);
}

// At 15 two of four shards are published; the job is back at 18 and does the other two until 28.
TEST_F(Simulator, ADeathWithTheCounter) {
  Equal(4);
  deaths_ = {{15, 0}, {16, 1}};  // the second finds nobody alive
  sim_result r = Run(SIM_COUNTER, 2);
  EXPECT_NEAR(r.seconds, 28, kSame);
  EXPECT_NEAR(r.lost, 10, kSame);
  EXPECT_EQ(r.lost_shards, 2u);
}

// Who has done its part has ended: its node may fail.
TEST_F(Simulator, ADeathAfterTheEnd) {
  Equal(3);
  deaths_ = {{12, 1}};
  sim_result r = Run(SIM_OWN_SHARE, 3);
  EXPECT_NEAR(r.seconds, 10, kSame);
  Equal(5);  // dealt 0 | 1 4 | 2 3, and worker 0 is done at 10
  deaths_ = {{12, 0}};
  r = Run(SIM_OWN_SHARE, 3);
  EXPECT_NEAR(r.seconds, 20, kSame);
  EXPECT_EQ(r.lost_shards, 0u);
}

// Both read the model with parts, one after the other; one reads for all with a job.
TEST_F(Simulator, AColdModel) {
  Equal(2);
  rules_.model = {4, 4};
  rules_.launch = 1;
  EXPECT_NEAR(Run(SIM_OWN_SHARE, 2).seconds, 19, kSame);
  EXPECT_NEAR(Run(SIM_COUNTER, 2).seconds, 15, kSame);
}

// Input is read ahead: only the first shard waits for it.
TEST_F(Simulator, ColdInput) {
  Equal(3);
  rules_.input = {2, 2};
  rules_.depth = 2;
  EXPECT_NEAR(Run(SIM_COUNTER, 1).seconds, 32, kSame);
}

// Three in flight leave the slow one with half of all; near the end it takes one at a time.
TEST_F(Simulator, FewInFlightNearTheEnd) {
  Equal(6);
  rules_.depth = 3;
  speed_ = {1, 0.24};
  EXPECT_NEAR(Run(SIM_COUNTER, 2).seconds, 125, kSame);
  rules_.end_tickets = 3;
  EXPECT_NEAR(Run(SIM_COUNTER, 2).seconds, 50, kSame);
}

TEST_F(Simulator, SealingComesLast) {
  Equal(2);
  rules_.seal = 7;
  EXPECT_NEAR(Run(SIM_COUNTER, 2).seconds, 17, kSame);
}

TEST_F(Simulator, TheSameTwice) {
  Equal(500);
  rules_.depth = 4;
  rules_.jitter = 0.3;
  rules_.ticket = {0.01, 0.01};
  rules_.publish = {0.2, 0.02};
  for (int i = 0; i < 20; i++) {
    deaths_.push_back({7.0 * i, static_cast<size_t>(i * 5 % 16)});
  }
  for (sim_way way : {SIM_COUNTER, SIM_OWN_SHARE}) {
    sim_result first = Run(way, 16), second = Run(way, 16);
    EXPECT_EQ(first.seconds, second.seconds);
    EXPECT_EQ(first.lost, second.lost);
    EXPECT_GT(first.lost_shards, 0u);
  }
}

TEST_F(Simulator, NonsenseIsRefused) {
  Equal(2);
  sim_result result;
  sp_error err = {};
  EXPECT_EQ(sim_run(&rules_, &result, &err), SP_EUSAGE);
  Run(SIM_COUNTER, 1);
  speed_ = {0};
  rules_.speed = speed_.data();
  EXPECT_EQ(sim_run(&rules_, &result, &err), SP_EUSAGE);
  rules_.speed = nullptr;
  deaths_ = {{3, 5}};
  rules_.deaths = deaths_.data();
  rules_.n_deaths = 1;
  EXPECT_EQ(sim_run(&rules_, &result, &err), SP_EUSAGE);
}

}  // namespace
