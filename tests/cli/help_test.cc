// Help is data: it goes to standard output with exit code 0 and begins with an example.
#include <gtest/gtest.h>

#include <cstring>
#include <sstream>

#include "program.h"

namespace sp_test {
namespace {

class HelpTest : public ::testing::TestWithParam<const char *> {};

TEST_P(HelpTest, BeginsWithAnExampleAndFitsATerminal) {
  std::string command = GetParam();
  Said said = Program(command + " --help");
  EXPECT_EQ(said.code, 0);
  EXPECT_EQ(said.err, "");
  std::string begin = "Example\n  secondpass " + command;
  EXPECT_EQ(said.out.substr(0, begin.size()), begin);
  std::istringstream lines(said.out);
  for (std::string line; std::getline(lines, line);) {
    EXPECT_LE(line.size(), 100u) << line;
    EXPECT_TRUE(line.empty() || line.back() != ' ') << line;
  }
}

TEST_P(HelpTest, IsTheSameThroughHelp) {
  std::string command = GetParam();
  Said direct = Program(command + " -h"), through = Program("help " + command);
  EXPECT_EQ(through.code, 0);
  EXPECT_EQ(direct.out, through.out);
}

INSTANTIATE_TEST_SUITE_P(Commands, HelpTest,
                         ::testing::Values("score", "rescore", "tune", "wer", "compare", "report",
                                           "plan", "status", "verify", "merge", "cat", "convert", "model", "masks",
                                           "env", "bench", "bench engine", "bench savings",
                                           "bench masks", "bench lists", "bench replay", "bench io",
                                           "bench wer", "bench tune", "help", "man", "completion"));

TEST(Help, ListsEveryCommandAndEveryExitCode) {
  Said said = Program("help");
  EXPECT_EQ(said.code, 0);
  for (const char *line :
       {"\n  score ",     "\n  rescore ", "\n  tune ",    "\n  wer ",   "\n  plan ",
        "\n  status ",    "\n  verify ",  "\n  merge ",   "\n  cat ",   "\n  convert ",
        "\n  model ",     "\n  masks ",
        "\n  env ",       "\n  bench ",   "\n  help ",    "\n  man ",   "\n  completion ",
        "\n  --version ", "\n  0 ",       "\n  2 ",       "\n  3 ",     "\n  4 ",
        "\n  5 ",         "\n  6 ",       "\n  7 ",       "\n  130 "}) {
    EXPECT_NE(said.out.find(line), std::string::npos) << line;
  }
  EXPECT_EQ(said.out, Program("--help").out);
}

TEST(Help, NamesEveryOptionOfScore) {
  Said said = Program("score --help");
  for (const char *option :
       {"--model DIR",    "--method NAME[,..]",  "--format NAME",  "--limit N",
        "--case HOW",     "--on-long HOW",       "--eos TEXT",     "--cls-sign SIGN",
        "--device NAME",  "--dtype TYPE",        "--threads N",    "--batch-tokens N",
        "--shard-utts N", "--without NAME[,..]", "--out RUN|-",    "--per-token",
        "--with-text",    "--allow-mixed",       "--progress HOW", "--json",
        "--mask MASK",    "--force-mask"}) {
    EXPECT_NE(said.out.find(std::string("\n  ") + option), std::string::npos) << option;
  }
}

TEST(Help, WinsOverOtherMistakes) {
  Said said = Program("score --modl x --help");
  EXPECT_EQ(said.code, 0);
  EXPECT_EQ(said.out, Program("help score").out);
}

TEST(Help, NamesEveryFormOfAMask) {
  for (const char *command : {"score", "masks", "bench replay", "bench savings"})
    for (const char *form : {"layerwise:R[,R..]", "chunked:C", "causal", "dynamic", "--force-mask"})
      EXPECT_NE(Program(std::string("help ") + command).out.find(form), std::string::npos)
          << command << " " << form;
}

TEST(Help, AfterTheEndOfOptionsIsAnOperand) {
  EXPECT_EQ(Program("verify -- --help").code, 3);
}

TEST(Version, NamesProgramAndLibraries) {
  Said said = Program("--version");
  EXPECT_EQ(said.code, 0);
  EXPECT_EQ(said.out.substr(0, strlen("secondpass " SP_VERSION " (")),
            "secondpass " SP_VERSION " (");
  for (const char *library : {"zstd 1.", "zlib 1.", "jansson 2.", "simdjson ", "xxhash 0."}) {
    EXPECT_NE(said.out.find(library), std::string::npos) << library;
  }
}

}  // namespace
}  // namespace sp_test
