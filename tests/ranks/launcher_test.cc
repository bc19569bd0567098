// Which environments are a launcher's, and what a build without MPI says under one.
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "mpi_ranks.h"

namespace {

using Variables = std::vector<std::pair<const char *, const char *>>;

class Launcher : public ::testing::Test {
 protected:
  static constexpr const char *kNames[] = {
      "OMPI_COMM_WORLD_SIZE", "PMI_SIZE",     "MV2_COMM_WORLD_SIZE", "PMIX_RANK",
      "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS", "SLURM_PROCID",        "SLURM_ARRAY_TASK_ID",
      "SLURM_JOB_ID"};

  void SetUp() override {
    for (const char *name : kNames)
      unsetenv(name);
  }
  void TearDown() override {
    SetUp();
  }
  size_t Launched(const Variables &variables) {
    SetUp();
    for (const auto &[name, value] : variables)
      setenv(name, value, 1);
    return sp_ranks_launched();
  }
};

TEST_F(Launcher, MpirunTellsItsProcesses) {
  EXPECT_EQ(Launched({{"OMPI_COMM_WORLD_SIZE", "4"}}), 4u);
  EXPECT_EQ(Launched({{"PMI_SIZE", "16"}}), 16u);
  EXPECT_EQ(Launched({{"OMPI_COMM_WORLD_SIZE", "1"}}), 1u);
}

TEST_F(Launcher, SrunCountsWithAProcessManagerOnly) {
  EXPECT_EQ(Launched({{"PMIX_RANK", "0"}, {"SLURM_STEP_NUM_TASKS", "8"}}), 8u);
  EXPECT_EQ(Launched({{"PMI_SIZE", "8"}, {"SLURM_STEP_NUM_TASKS", "8"}}), 8u);
  EXPECT_EQ(Launched({{"SLURM_STEP_NUM_TASKS", "8"}, {"SLURM_PROCID", "3"}}), 0u);
}

TEST_F(Launcher, ABatchScriptAndATaskOfAnArrayAreNoLaunch) {
  EXPECT_EQ(Launched({}), 0u);
  EXPECT_EQ(Launched({{"SLURM_JOB_ID", "7"}, {"SLURM_NTASKS", "8"}, {"SLURM_PROCID", "0"}}), 0u);
  EXPECT_EQ(Launched({{"SLURM_JOB_ID", "7"}, {"SLURM_NTASKS", "1"}, {"SLURM_ARRAY_TASK_ID", "3"}}),
            0u);
}

TEST_F(Launcher, WhatIsNoNumberIsNoLaunch) {
  for (const char *text : {"", "x", "-4", "4x", "99999999999999999999", " 4"}) {
    EXPECT_EQ(Launched({{"OMPI_COMM_WORLD_SIZE", text}}), 0u) << text;
  }
}

TEST_F(Launcher, ABuildWithoutMpiSaysHowToGetIt) {
  if (SP_WITH_MPI) {
    EXPECT_TRUE(sp_ranks_library());
    GTEST_SKIP() << "this build has MPI";
  }
  EXPECT_EQ(sp_ranks_library(), nullptr);
  EXPECT_EQ(Launched({{"OMPI_COMM_WORLD_SIZE", "4"}}), 4u);
  sp_ranks *ranks;
  sp_error err{};
  EXPECT_EQ(sp_ranks_open(&ranks, &err), SP_EUSAGE);
  EXPECT_EQ(ranks, nullptr);
  std::string message = err.message;
  EXPECT_NE(message.find("one of 4 processes"), std::string::npos) << message;
  EXPECT_NE(message.find("libopenmpi-dev"), std::string::npos) << message;
  EXPECT_NE(message.find("--part i/n"), std::string::npos) << message;
}

}  // namespace
