// The team: every task once, in no thread beyond its own, round after round.
#include "team.h"

#include <gtest/gtest.h>

#include <atomic>
#include <vector>

namespace {

struct Round {
  std::vector<std::atomic<int>> runs;
  size_t threads;
  std::atomic<bool> strange{false};
  explicit Round(size_t tasks, size_t n) : runs(tasks), threads(n) {}
};

void Count(void *arg, size_t task, size_t thread) {
  Round *round = static_cast<Round *>(arg);
  round->runs[task]++;
  if (thread >= round->threads)
    round->strange = true;
}

sp_team *Team(size_t threads) {
  sp_team *team = nullptr;
  sp_error err{};
  EXPECT_EQ(sp_team_create(threads, &team, &err), SP_OK) << err.message;
  return team;
}

TEST(TeamTest, RunsEveryTaskOnce) {
  for (size_t threads : {1, 2, 3, 5, 16}) {
    sp_team *team = Team(threads);
    ASSERT_NE(team, nullptr);
    EXPECT_EQ(sp_team_threads(team), threads);
    for (size_t tasks : {0, 1, 2, 3, 7, 64, 1001}) {
      Round round(tasks, threads);
      sp_team_run(team, tasks, Count, &round);
      for (auto &runs : round.runs)
        ASSERT_EQ(runs, 1);
      EXPECT_FALSE(round.strange);
    }
    sp_team_destroy(team);
  }
}

// What tasks wrote is there when run returns, though rounds follow each other closely or after sleep.
TEST(TeamTest, RoundsFollowEachOther) {
  sp_team *team = Team(4);
  std::vector<size_t> values(37, 0);
  auto add = [](void *arg, size_t task, size_t) {
    (*static_cast<std::vector<size_t> *>(arg))[task]++;
  };
  for (size_t round = 1; round <= 3000; round++) {
    sp_team_run(team, values.size(), add, &values);
    for (size_t value : values)
      ASSERT_EQ(value, round);
    if (round % 1000 == 0) {
      timespec pause = {0, 20000000};
      nanosleep(&pause, nullptr);
    }
  }
  sp_team_destroy(team);
}

TEST(TeamTest, ZeroThreadsAreAllThereAre) {
  sp_team *team = Team(0);
  EXPECT_GE(sp_team_threads(team), 1u);
  sp_team_destroy(team);
  sp_team_destroy(nullptr);
}

TEST(TeamTest, IsDestroyedWithoutARound) {
  for (int i = 0; i < 50; i++)
    sp_team_destroy(Team(3));
}

}  // namespace
