// The table of host/engine/ranks.h as MPI gives it, under a real mpirun: ranks_case.c has the cases.
#include <gtest/gtest.h>

#include <string>
#include <tuple>

#include "mpirun.h"

namespace {

using sp_test::Mpirun;
using sp_test::Said;

std::string Case(int ranks, const std::string &name) {
  return "-n " + std::to_string(ranks) + " '" SP_RANKS_CASE "' " + name;
}

class Table : public ::testing::TestWithParam<std::tuple<const char *, int>> {};

TEST_P(Table, Holds) {
  auto [name, ranks] = GetParam();
  Said said = Mpirun(Case(ranks, name));
  EXPECT_EQ(said.code, 0) << said.out << said.err;
}

INSTANTIATE_TEST_SUITE_P(Ranks, Table,
                         ::testing::Combine(::testing::Values("place", "tickets", "busy",
                                                              "broadcast", "sum", "failure",
                                                              "worst", "early", "unlike"),
                                            ::testing::Values(1, 2, 4)),
                         [](const auto &at) {
                           return std::string(std::get<0>(at.param)) +
                                  std::to_string(std::get<1>(at.param));
                         });

// Between nodes that have no shared memory and no atomics in the network, rank 0 must serve.
TEST(Table, TicketsOverTcpDoNotWaitForRank0) {
  Said said = Mpirun(Case(3, "busy"), "OMPI_MCA_osc=pt2pt OMPI_MCA_pml=ob1 OMPI_MCA_btl=self,tcp");
  if (said.err.find("pt2pt") != std::string::npos && said.code != 0) {
    GTEST_SKIP() << "this Open MPI has no osc/pt2pt: " << said.err;
  }
  EXPECT_EQ(said.code, 0) << said.out << said.err;
}

// What ends badly ends for all, soon and with a code that is not 0.
class Ends : public ::testing::TestWithParam<std::tuple<const char *, int>> {};

TEST_P(Ends, ForAllRanks) {
  auto [name, ranks] = GetParam();
  Said said = Mpirun(Case(ranks, name));
  EXPECT_NE(said.code, 0) << said.out << said.err;
  EXPECT_NE(said.code, 124) << "hung: " << said.out << said.err;
  EXPECT_EQ(said.err.find("came through"), std::string::npos) << said.err;
}

INSTANTIATE_TEST_SUITE_P(Ranks, Ends,
                         ::testing::Combine(::testing::Values("broken_ticket", "broken_meeting",
                                                              "killed_head", "killed_other"),
                                            ::testing::Values(2, 4)),
                         [](const auto &at) {
                           return std::string(std::get<0>(at.param)) +
                                  std::to_string(std::get<1>(at.param));
                         });

TEST(Ends, WithCallRankAndNode) {
  Said ticket = Mpirun(Case(2, "broken_ticket")), meeting = Mpirun(Case(2, "broken_meeting"));
  EXPECT_NE(ticket.err.find("MPI_Fetch_and_op failed on rank 1 of 2 (node "), std::string::npos)
      << ticket.err;
  EXPECT_NE(meeting.err.find("MPI_Iallgather failed on rank 1 of 2 (node "), std::string::npos)
      << meeting.err;
  EXPECT_EQ(ticket.code, 5) << ticket.err;
}

}  // namespace
