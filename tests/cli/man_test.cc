// Every command has a manual page that names its options, and that roff reads without a complaint.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "tables.h"

namespace sp_test {
namespace {

namespace fs = std::filesystem;

std::string PageName(const std::string &command) {
  std::string name = "secondpass" + (command.empty() ? "" : "-" + command);
  std::replace(name.begin(), name.end(), ' ', '-');
  return name;
}

// As roff wants a name: each - as \-.
std::string Roff(const std::string &text) {
  std::string roff;
  for (char c : text)
    roff += c == '-' ? std::string("\\-") : std::string(1, c);
  return roff;
}

TEST(Man, EveryCommandHasAPageWithAllSections) {
  for (const std::string &command : CommandsBelow()) {
    SCOPED_TRACE(command);
    Said said = Program("man " + command);
    EXPECT_EQ(said.code, 0);
    EXPECT_EQ(said.err, "");
    size_t at = 0;
    for (const char *section :
         {"\n.TH ", "\n.SH NAME\n", "\n.SH SYNOPSIS\n", "\n.SH DESCRIPTION\n", "\n.SH OPTIONS\n",
          "\n.SH EXAMPLES\n", "\n.SH EXIT STATUS\n", "\n.SH SEE ALSO\n"}) {
      size_t found = said.out.find(section);
      ASSERT_NE(found, std::string::npos) << section;
      EXPECT_GE(found, at) << section << " is out of order";
      at = found;
    }
    EXPECT_NE(said.out.find("\n" + Roff(PageName(command)) + " \\- "), std::string::npos);
    EXPECT_NE(said.out.find("\n\\fB130\\fR\n"), std::string::npos);
  }
}

TEST(Man, NamesEveryOptionOfHelpAndHelpItself) {
  for (const std::string &command : CommandsBelow()) {
    SCOPED_TRACE(command);
    std::string page = Program("man " + command).out;
    size_t from = page.find("\n.SH OPTIONS\n");
    std::string section = page.substr(from, page.find("\n.SH EXAMPLES\n") - from);
    for (const std::string &option : OptionsOf(command)) {
      EXPECT_NE(section.find("\n\\fB\\-\\-" + Roff(option) + "\\fR"), std::string::npos) << option;
    }
    EXPECT_NE(section.find("\n\\fB\\-h\\fR, \\fB\\-\\-help\\fR\n"), std::string::npos);
  }
  EXPECT_GT(OptionsOf("score").size(), 15u) << "help is read well";
}

TEST(Man, NoLineBeginsARequestByAccidentAndNoCharacterChanges) {
  std::string page = Program("man score").out;
  EXPECT_NE(page.find("such as \\(dq.\\(dq"), std::string::npos);
  EXPECT_NE(page.find("model\\(aqs"), std::string::npos);
  std::istringstream lines(page);
  for (std::string line; std::getline(lines, line);) {
    if (line.empty())
      ADD_FAILURE() << "an empty line";
    std::string known = line.substr(0, line.find(' '));
    if (line[0] == '.') {
      EXPECT_TRUE(known == ".\\\"" || known == ".TH" || known == ".SH" || known == ".SS" ||
                  known == ".TP" || known == ".PP" || known == ".IP" || known == ".RS" ||
                  known == ".RE" || known == ".nf" || known == ".fi")
          << line;
    }
  }
}

TEST(Man, WritesAllPagesIntoADirectory) {
  Scratch scratch;
  Said said = Program("man --to " + scratch / "man1");
  ASSERT_EQ(said.code, 0) << said.err;
  EXPECT_EQ(said.out, "");
  std::vector<std::string> commands = CommandsBelow();
  for (const std::string &command : commands) {
    EXPECT_EQ(ReadFile(scratch / "man1/" + PageName(command) + ".1"),
              Program("man " + command).out);
  }
  auto files = fs::directory_iterator(scratch / "man1");
  EXPECT_EQ((size_t)std::distance(fs::begin(files), fs::end(files)), commands.size());
}

TEST(Man, GroffFindsNothing) {
  if (!HaveTool("groff"))
    GTEST_SKIP() << "no groff here";
  for (const std::string &command : CommandsBelow()) {
    Said said = Shell("$SP man " + command + " | groff -man -ww -z -Tutf8");
    EXPECT_EQ(said.code, 0);
    EXPECT_EQ(said.err, "") << command;
  }
}

TEST(Man, GroffShowsOptionsThatCanBePasted) {
  if (!HaveTool("groff"))
    GTEST_SKIP() << "no groff here";
  std::string text = Shell("$SP man score | groff -man -P-c -P-b -P-u -Tutf8").out;
  for (const char *shown : {"secondpass score --model DIR --out RUN|- [OPTIONS] ARCHIVE...",
                            "\n       --batch-tokens N\n",
                            "secondpass score --model bert-base-uncased --out run dev.jsonl.zst",
                            "such as \".\" (default: none)"}) {
    EXPECT_NE(text.find(shown), std::string::npos) << shown << "\n" << text;
  }
}

TEST(Man, AWrongRequestIsAUsageError) {
  for (const char *arguments : {"man --to x score", "man scor", "man bench oi", "man --too x"}) {
    EXPECT_EQ(Program(arguments).code, 2) << arguments;
  }
  EXPECT_EQ(Program("man --to /nowhere/at/all").code, 6);
}

}  // namespace
}  // namespace sp_test
