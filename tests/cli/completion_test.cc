// The scripts for the shells: read without a complaint, with every option of help, and bash is
// driven through its own variables.
#include <gtest/gtest.h>

#include <algorithm>

#include "tables.h"

namespace sp_test {
namespace {

// What bash would offer for `words`, a bash array's elements; the last is the one at the cursor.
// compopt, which works in a terminal only, says what it is asked for.
std::string Bash(const std::string &words) {
  Said said =
      Shell("bash -c 'source <(\"$0\" completion bash); compopt() { echo \"$*\"; }; COMP_WORDS=(" +
            words +
            "); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _secondpass; echo \"${COMPREPLY[*]}\"' $SP");
  EXPECT_EQ(said.code, 0);
  EXPECT_EQ(said.err, "");
  return said.out;
}

TEST(Completion, BashOffersCommands) {
  EXPECT_EQ(Bash("secondpass ver"), "verify\n");
  EXPECT_EQ(Bash("secondpass bench i"), "io\n");
  EXPECT_EQ(Bash("secondpass help bench i"), "io\n");
  EXPECT_EQ(Bash("secondpass help ver"), "verify\n");
  EXPECT_EQ(Bash("secondpass env ver"), "\n");
  EXPECT_EQ(Bash("secondpass --vers"), "--version\n");
  EXPECT_EQ(Bash("secondpass completion \"\""), "bash zsh fish\n");
}

TEST(Completion, BashOffersOptionsAndTheirChoices) {
  EXPECT_EQ(Bash("secondpass score --batch"), "--batch-tokens\n");
  EXPECT_EQ(Bash("secondpass score --json --dt"), "--dtype\n");
  EXPECT_EQ(Bash("secondpass score --dtype \"\""), "auto f32 bf16\n");
  EXPECT_EQ(Bash("secondpass score --dtype b"), "bf16\n");
  EXPECT_EQ(Bash("secondpass score --dtype ="), "auto f32 bf16\n");
  EXPECT_EQ(Bash("secondpass score --dtype = b"), "bf16\n");
  EXPECT_EQ(Bash("secondpass score --method pll,c"), "pll,cls\n");
  EXPECT_EQ(Bash("secondpass score --mask \"\""), "model full causal dynamic\n");
  EXPECT_EQ(Bash("secondpass score --threads \"\""), "\n") << "a number";
  EXPECT_EQ(Bash("secondpass score -- --dt"), "-o default\n\n") << "an operand";
  EXPECT_EQ(Bash("secondpass bench io --form"), "--format\n");
  EXPECT_EQ(Bash("secondpass man --t"), "--to\n");
}

TEST(Completion, BashOffersEveryOptionOfHelp) {
  for (const std::string &command : CommandsBelow()) {
    std::string options;
    for (const std::string &option : OptionsOf(command))
      options += "--" + option + " ";
    EXPECT_EQ(Bash("secondpass " + command + " --"), options + "--help\n") << command;
  }
}

TEST(Completion, BashLeavesPathsToReadline) {
  EXPECT_EQ(Bash("secondpass score --model mod"), "-o dirnames\n\n");
  EXPECT_EQ(Bash("secondpass verify ru"), "-o dirnames\n\n");
  EXPECT_EQ(Bash("secondpass score --json dev"), "-o default\n\n");
}

TEST(Completion, ZshAndFishNameEveryOptionOfHelp) {
  std::string zsh = Program("completion zsh").out, fish = Program("completion fish").out;
  for (const std::string &command : CommandsBelow()) {
    std::string name = command.empty() ? "" : "_" + command;
    std::replace(name.begin(), name.end(), ' ', '_');
    size_t from = zsh.find("\n_secondpass" + name + "() {\n");
    ASSERT_NE(from, std::string::npos) << command;
    std::string function = zsh.substr(from, zsh.find("\n}\n", from) - from);
    bool parent = function.find("->rest") != std::string::npos;
    std::string begin = std::string("complete -c secondpass -n '__secondpass_") +
                        (parent ? "is" : "at") + (command.empty() ? "" : " ") + command + "'";
    for (const std::string &option : OptionsOf(command)) {
      bool found = function.find("'--" + option + "=[") != std::string::npos ||
                   function.find("'--" + option + "[") != std::string::npos;
      EXPECT_TRUE(found) << command << " --" << option;
      EXPECT_NE(fish.find("\n" + begin + " -l " + option + " "), std::string::npos)
          << command << " --" << option;
    }
  }
}

class ShellTest : public ::testing::TestWithParam<const char *> {};

TEST_P(ShellTest, ReadsItsScript) {
  std::string shell = GetParam();
  if (!HaveTool(shell))
    GTEST_SKIP() << "no " << shell << " here";
  Scratch scratch;
  Said said = Shell("$SP completion " + shell + " > '" + scratch / "script" + "' && " + shell +
                    " -n '" + scratch / "script" + "'");
  EXPECT_EQ(said.code, 0);
  EXPECT_EQ(said.err, "");
}
INSTANTIATE_TEST_SUITE_P(Shells, ShellTest, ::testing::Values("bash", "zsh", "fish"));

TEST(Completion, FishOffersOptionsAndTheirChoices) {
  if (!HaveTool("fish"))
    GTEST_SKIP() << "no fish here";
  Scratch home;
  auto offered = [&](const std::string &line) { /* fish 4 adds what has the letters of the word anywhere */
    return Shell("HOME='" + home.path() + "' SP=\"$SP\" fish -c '$SP completion fish | source; complete -C \"" +
                 line + "\"' | cut -f 1 | grep -e '^" + line.substr(line.rfind(' ') + 1) + "'")
        .out;
  };
  EXPECT_EQ(offered("secondpass ver"), "verify\n");
  EXPECT_EQ(offered("secondpass bench i"), "io\n");
  EXPECT_EQ(offered("secondpass score --dt"), "--dtype\n");
  EXPECT_EQ(offered("secondpass score --dtype b"), "bf16\n");
}

TEST(Completion, AnotherShellIsAUsageError) {
  Said said = Program("completion bsh");
  EXPECT_EQ(said.code, 2);
  EXPECT_EQ(said.err,
            "secondpass: 'bsh' is none of bash, zsh, fish; did you mean 'bash'?\n"
            "secondpass: see `secondpass help completion`\n");
}

}  // namespace
}  // namespace sp_test
