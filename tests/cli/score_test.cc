// score, verify and cat from end to end, with signals, pipes and progress.
#include <gtest/gtest.h>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <sstream>

#include "program.h"

namespace sp_test {
namespace {

class ScoreTest : public Workplace {
 protected:
  static long Lines(const std::string &text) {
    return std::count(text.begin(), text.end(), '\n');
  }
  // Starts a long run, interrupts it after its second shard, returns what it said.
  Said Interrupted(const char *signal) {
    WriteFile(Path("dev.jsonl"), Archive(6000));
    return Shell("$SP " + Score("run", "--shard-utts 30 --threads 1") + " &\npid=$!\n" +
                 "while kill -0 $pid 2>/dev/null && [ ! -e " + Path("run") +
                 "/scores-00001-of-00200.done ]; do sleep 0.01; done\nkill -" + signal +
                 " $pid\nwait $pid");
  }
  // SIGTERM while standard input is open and silent; killed, and 137, when that takes too long.
  Said Terminated(const std::string &run) {
    const std::string pipe = Path("pipe");
    return Shell(
        "mkfifo " + pipe + "\nexec 3<>" + pipe + "\n$SP score --model " + Path("model") +
        " --out " + run + " - <" + pipe + " &\npid=$!\n" +
        "while kill -0 $pid 2>/dev/null && ! grep -q '^SigCgt:.*[4-7c-f]...$' /proc/$pid/status\n" +
        "do sleep 0.05; done\n" + "sleep 0.7\nkill -TERM $pid\nfor i in $(seq 400); do\n" +
        "kill -0 $pid 2>/dev/null || break\nsleep 0.05\ndone\n" +
        "kill -KILL $pid 2>/dev/null\nrm " + pipe + "\nwait $pid");
  }
};

TEST_F(ScoreTest, ARunIsVerifiedAndPrintedInArchiveOrder) {
  Said scored = Program(Score("run", "--shard-utts 7"));
  ASSERT_EQ(scored.code, 0) << scored.err;
  EXPECT_EQ(scored.out, "") << "the summary is a message";
  EXPECT_NE(scored.err.find("is complete: 6 shards"), std::string::npos) << scored.err;
  EXPECT_NE(scored.err.find("signature: pll"), std::string::npos) << scored.err;

  Said verified = Program("verify " + Path("run"));
  EXPECT_EQ(verified.code, 0);
  EXPECT_EQ(verified.out.rfind(Path("run") + " is complete: 6 shards, 40 utterances, 120 hyp", 0),
            0u)
      << verified.out;

  Said printed = Program("cat " + Path("run"));
  EXPECT_EQ(printed.code, 0);
  std::istringstream lines(printed.out);
  std::string line;
  for (int u = 0; u < 40; u++) {
    ASSERT_TRUE(std::getline(lines, line));
    Json json = ParseJson(line + "\n");
    EXPECT_EQ(String(json, "id"), "utt-" + std::to_string(u));
    EXPECT_EQ(json_array_size(Member(json, "hyps")), 3u);
  }
  EXPECT_FALSE(std::getline(lines, line));
}

TEST_F(ScoreTest, StreamedLinesEqualThoseOfARun) {
  ASSERT_EQ(Program(Score("run", "--shard-utts 7")).code, 0);
  Said streamed = Program(Score("-"));
  EXPECT_EQ(streamed.code, 0);
  EXPECT_EQ(streamed.out, Program("cat " + Path("run")).out);
  Said piped =
      Shell("cat " + Path("dev.jsonl") + " | $SP score --model " + Path("model") + " --out - -");
  EXPECT_EQ(piped.out, streamed.out) << piped.err;
}

TEST_F(ScoreTest, OptionsMayStandAnywhereAndTheLastOneCounts) {
  Said one = Program("score " + Path("dev.jsonl") +
                     " --limit 9 --out=- --limit=3 --model=" + Path("model"));
  EXPECT_EQ(one.code, 0) << one.err;
  EXPECT_EQ(Lines(one.out), 3);
}

TEST_F(ScoreTest, PerTokenAndTextAreWrittenOnDemand) {
  Said said = Program(Score("-", "--limit 1 --per-token --with-text"));
  Json json = ParseJson(said.out);
  json_t *hyp = json_array_get(Member(json, "hyps"), 0);
  EXPECT_STREQ(json_string_value(json_object_get(hyp, "text")), "stew turnips and");
  size_t n = (size_t)json_integer_value(json_object_get(hyp, "n"));
  EXPECT_GT(n, 3u);
  EXPECT_EQ(json_array_size(json_object_get(hyp, "tokens")), n);
  EXPECT_EQ(json_array_size(json_object_get(hyp, "logp")), n);
}

TEST_F(ScoreTest, ACompleteRunIsLeftAloneAndAnotherIsRefused) {
  ASSERT_EQ(Program(Score("run")).code, 0);
  Said again = Program(Score("run"));
  EXPECT_EQ(again.code, 0);
  EXPECT_NE(again.err.find("is complete already"), std::string::npos) << again.err;
  Said other = Program(Score("run", "--method maskless"));
  EXPECT_EQ(other.code, 2);
  EXPECT_NE(other.err.find("maskless"), std::string::npos) << other.err;
}

TEST_F(ScoreTest, NullsByPolicyAreCountedAndNoError) {
  WriteFile(Path("dev.jsonl"),
            "{\"id\":\"a\",\"hyps\":[{\"text\":\"\"},{\"text\":\"be\"}]}\n"
            "{\"id\":\"b\",\"hyps\":[]}\n");
  Said said = Program(Score("-"));
  EXPECT_EQ(said.code, 0);
  EXPECT_NE(said.out.find("{\"i\":0,\"pll\":null,\"n\":0,\"flag\":\"empty\"}"), std::string::npos)
      << said.out;
  EXPECT_NE(said.err.find("secondpass: 1 hypothesis without a token: score null\n"),
            std::string::npos)
      << said.err;
  EXPECT_NE(said.err.find("1 utterance without hypotheses"), std::string::npos) << said.err;
}

TEST_F(ScoreTest, InterruptedThenResumedByTheSameCommand) {
  for (const char *signal : {"INT", "TERM"}) {
    Said stopped = Interrupted(signal);
    ASSERT_EQ(stopped.code, 130) << stopped.err;
    EXPECT_NE(stopped.err.find("the same command resumes it"), std::string::npos) << stopped.err;
    EXPECT_EQ(Program("verify " + Path("run")).code, 7);
    EXPECT_EQ(Program("cat " + Path("run")).code, 7);
    long done = Lines(Program("cat --partial " + Path("run")).out);
    EXPECT_GT(done, 0);
    EXPECT_EQ(done % 30, 0) << "whole shards only";

    WriteFile(Path("json"), Program(Score("run", "--shard-utts 30 --json")).out);
    Json json = ParseJson(ReadFile(Path("json")));
    EXPECT_EQ(Integer(json, "shards_resumed"), done / 30);
    EXPECT_EQ(Integer(json, "hyps_resumed"), done * 3);
    EXPECT_EQ(Lines(Program("cat " + Path("run")).out), 6000);
    std::filesystem::remove_all(Path("run"));
  }
}

TEST_F(ScoreTest, ASignalEndsTheWaitForStandardInput) {
  for (const std::string &run : {std::string("-"), Path("run")}) {
    Said stopped = Terminated(run);
    EXPECT_EQ(stopped.code, 130) << run << ": " << stopped.err;
    EXPECT_EQ(stopped.out, "");
    EXPECT_NE(stopped.err, "");
  }
  EXPECT_FALSE(std::filesystem::exists(Path("run")));
}

TEST_F(ScoreTest, ABlankFirstFileDoesNotDecideTheFormat) {
  const std::string score = "score --model " + Path("model") + " --out - ";
  const std::string expected = Program(score + Path("dev.jsonl")).out;
  ASSERT_EQ(Lines(expected), 40);
  for (const char *blank : {"", "\n", " \n\r\n"}) {
    WriteFile(Path("empty.jsonl"), blank);
    Said said = Program(score + Path("empty.jsonl") + " " + Path("dev.jsonl"));
    EXPECT_EQ(said.code, 0) << said.err;
    EXPECT_TRUE(said.out == expected) << "after '" << blank << "': " << said.out;
  }
}

TEST_F(ScoreTest, CatTakesLimitsAndReadersThatGoAway) {
  WriteFile(Path("dev.jsonl"), Archive(5000));
  ASSERT_EQ(Program(Score("run", "--shard-utts 300 --method maskless")).code, 0);
  Said all = Program("cat " + Path("run"));
  Said some = Program("cat --limit 301 " + Path("run"));
  EXPECT_EQ(some.code, 0);
  EXPECT_EQ(Lines(some.out), 301);
  EXPECT_EQ(some.out, all.out.substr(0, some.out.size()));
  EXPECT_EQ(Program("cat --limit 999999999 " + Path("run")).out, all.out);
  /* "true" reads nothing: the pipe is closed long before the lines are through */
  Said piped = Shell("{ $SP cat " + Path("run") + "; echo \"code $?\" >&2; } | true");
  EXPECT_EQ(piped.err, "code 0\n");
}

TEST_F(ScoreTest, AReaderOfScoresThatGoesAwayIsAnError) {
  WriteFile(Path("dev.jsonl"), Archive(5000));
  Said piped =
      Shell("{ $SP " + Score("-", "--method maskless") + "; echo \"code $?\" >&2; } | true");
  EXPECT_EQ(piped.err,
            "secondpass: the reader of standard output went away before all lines were written\n"
            "code 6\n");
}

TEST_F(ScoreTest, TheSampleThatComesWithTheProgram) {
  std::string data = SP_SOURCE_DIR "/bench/data";
  Said said = Program("score --model " + data + "/model --dtype f32 --limit 2 --method maskless " +
                      "--out - --with-text " + data + "/dev-clean-200.jsonl.zst");
  ASSERT_EQ(said.code, 0) << said.err;
  ASSERT_EQ(Lines(said.out), 2);
  Json json = ParseJson(said.out.substr(0, said.out.find('\n') + 1));
  EXPECT_EQ(String(json, "id"), "1272-128104-0000");
  json_t *hyps = Member(json, "hyps");
  ASSERT_EQ(json_array_size(hyps), 10u);
  for (size_t i = 0; i < 10; i++) {
    json_t *hyp = json_array_get(hyps, i);
    double score = json_number_value(json_object_get(hyp, "maskless"));
    EXPECT_TRUE(score < 0 && score > -500) << score;
    EXPECT_GT(json_integer_value(json_object_get(hyp, "n")), 10);
  }
}

TEST_F(ScoreTest, ProgressAsJson) {
  Said said = Program(Score("run", "--progress json --json"));
  std::istringstream lines(said.err);
  std::string line;
  Json last;
  while (std::getline(lines, line)) {
    if (line.rfind("secondpass: ", 0) != 0) {
      last = ParseJson(line + "\n");
      EXPECT_EQ(String(last, "event"), "progress");
    }
  }
  ASSERT_TRUE(last) << said.err;
  EXPECT_EQ(String(last, "phase"), "scoring");
  EXPECT_EQ(Integer(last, "hyps_done"), 120);
  EXPECT_EQ(Integer(last, "hyps_total"), 120);
  EXPECT_EQ(Integer(last, "tokens_done"), Integer(last, "tokens_total"));
}

TEST_F(ScoreTest, NothingIsRewrittenWhereStandardErrorIsAFile) {
  Said said = Program(Score("run"));
  EXPECT_EQ(said.err.find('\r'), std::string::npos);
  EXPECT_EQ(said.err.find('\033'), std::string::npos);
}

// What a terminal shows of the command.
std::string OnTerminal(const std::string &command) {
  int terminal;
  struct winsize size = {24, 60, 0, 0};
  pid_t child = forkpty(&terminal, nullptr, nullptr, &size);
  if (child < 0) {
    ADD_FAILURE() << "no terminal can be had (is /dev/pts mounted?): " << strerror(errno);
    return "";
  }
  if (child == 0) {
    setenv("TERM", "xterm", 1);
    execl("/bin/sh", "sh", "-c", command.c_str(), nullptr);
    _exit(127);
  }
  std::string shown;
  char piece[1024];
  for (ssize_t got; (got = read(terminal, piece, sizeof piece)) > 0;)
    shown.append(piece, got);
  close(terminal);
  waitpid(child, nullptr, 0);
  return shown;
}

TEST_F(ScoreTest, ATerminalHasOneRewrittenLine) {
  WriteFile(Path("dev.jsonl"), Archive(3000));
  std::string shown = OnTerminal(SP_BINARY " " + Score("run"));
  size_t first = shown.find(" hypotheses");
  ASSERT_NE(first, std::string::npos) << shown;
  EXPECT_NE(shown.find("\r"), std::string::npos);
  /* the line is taken off before the summary */
  size_t summary = shown.find("secondpass: scored");
  ASSERT_NE(summary, std::string::npos) << shown;
  EXPECT_EQ(shown.substr(summary - 4, 4), "\r\033[K");
  /* no drawn line is wider than the terminal */
  for (size_t at = 0; (at = shown.find('\r', at)) != std::string::npos; at++) {
    size_t end = shown.find_first_of("\r\n\033", at + 1);
    EXPECT_LT(std::min(end, shown.size()) - at - 1, 60u);
  }
}

TEST_F(ScoreTest, ProgressNoneIsSilentOnATerminal) {
  std::string shown = OnTerminal(SP_BINARY " " + Score("run", "--progress none"));
  EXPECT_EQ(shown.find('\033'), std::string::npos) << shown;
}

}  // namespace
}  // namespace sp_test
