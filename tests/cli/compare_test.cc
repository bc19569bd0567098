// `secondpass compare` on runs of the built program: what passes, what does not, what is refused.
#include <gtest/gtest.h>

#include <sstream>

#include "program.h"

namespace sp_test {
namespace {

class CompareTest : public Workplace {
 protected:
  void MustScore(const std::string &run, const std::string &options = "") {
    Said said = Program(Score(run, options + " --json"));
    ASSERT_EQ(said.code, 0) << said.err;
    WriteFile(Path(run + ".json"), said.out);
  }
  Said Compare(const std::string &arguments) {
    return Shell("cd " + scratch_.path() + " && $SP compare " + arguments);
  }
  // The dev archive with references, right for some.
  void AddReferences() {
    std::istringstream lines(Archive(40));
    std::string out;
    for (std::string line; std::getline(lines, line);) {
      size_t text = line.find("\"text\":\"") + 8, end = line.find('"', text);
      line.insert(line.find(",\"hyps\""), ",\"ref\":\"" + line.substr(text, end - text) + "\"");
      out += line + "\n";
    }
    WriteFile(Path("dev.jsonl"), out);
  }
};

TEST_F(CompareTest, ARunAgainstItselfScoredAgain) {
  MustScore("a", "--per-token");
  MustScore("b", "--per-token --batch-tokens 64 --without dedupe");
  Said said = Compare("a b");
  EXPECT_EQ(said.code, 0) << said.err;
  EXPECT_EQ(said.err, "");
  EXPECT_NE(said.out.find("40 utterances, 120 hypotheses; a difference in 0 utterances"),
            std::string::npos)
      << said.out;
  EXPECT_NE(said.out.find("thresholds                 kept"), std::string::npos) << said.out;
  EXPECT_NE(said.out.find("not recorded"), std::string::npos) << said.out;
}

TEST_F(CompareTest, AnotherMaskIsNamed) {
  MustScore("a", "");
  MustScore("b", "--mask causal --force-mask");
  Json json = ParseJson(Compare("a b --json").out);
  EXPECT_EQ(json_array_size(Member(json, "identity")), 2u);
  const char *members[] = {"mask", "force_mask"};
  for (size_t i = 0; i < 2; i++) {
    json_t *entry = json_array_get(Member(json, "identity"), i);
    EXPECT_STREQ(json_string_value(json_object_get(entry, "member")), members[i]);
  }
  Said said = Compare("a b");
  EXPECT_NE(said.out.find("causal"), std::string::npos) << said.out;
}

TEST_F(CompareTest, AnotherPrecisionIsBeyondBitwiseAndWithinATolerance) {
  MustScore("a", "--dtype f32 --per-token");
  MustScore("b", "--dtype bf16 --per-token");
  Said strict = Compare("a b --json");
  EXPECT_EQ(strict.code, 1);
  Json json = ParseJson(strict.out);
  EXPECT_EQ(Integer(json, "exit_code"), 1);
  EXPECT_EQ(String(json, "command"), "compare");
  EXPECT_NE(String(json, "error").find("beyond the thresholds: pll: "), std::string::npos);
  EXPECT_EQ(json_array_size(Member(json, "beyond")), 2u);
  EXPECT_EQ(json_array_size(Member(json, "identity")), 1u);
  EXPECT_STREQ(
      json_string_value(json_object_get(json_array_get(Member(json, "identity"), 0), "member")),
      "dtype");
  EXPECT_EQ(Integer(json, "methods.pll.hyps.compared"), 120);
  EXPECT_GT(Integer(json, "methods.pll.hyps.differ"), 60);
  double largest = json_real_value(Member(json, "methods.pll.hyps.largest"));
  EXPECT_GT(largest, 0);
  EXPECT_LT(largest, 2);
  for (const char *key : {"mean", "p50", "p90", "p99", "p99_9", "nulls", "nulls_appeared",
                          "nulls_vanished", "largest", "compared", "differ"}) {
    Member(json, std::string("methods.pll.hyps.") + key);
    Member(json, std::string("methods.pll.tokens.") + key);
  }
  for (const char *key : {"a.run", "a.signature", "a.hyps_per_second", "a.seconds", "b.run", "utts",
                          "hyps", "differing_utts", "counts_differ", "flags_differ", "total",
                          "changed_best", "changed_best_percent", "wer", "slowdown_percent",
                          "history", "methods.pll.furthest.id", "methods.pll.changed_best"}) {
    Member(json, key);
  }
  std::string above = std::to_string(largest * 1.01), below = std::to_string(largest * 0.99);
  EXPECT_EQ(Compare("a b --max-diff " + above).code, 0);
  Said said = Compare("a b --max-diff " + below);
  EXPECT_EQ(said.code, 1);
  EXPECT_NE(said.err.find("secondpass: beyond the thresholds: pll: scores differ by up to "),
            std::string::npos)
      << said.err;
}

TEST_F(CompareTest, NullsThatAppearAreBeyond) {
  MustScore("a");
  WriteFile(Path("short.jsonl"), Archive(40));
  std::string archive = Archive(40), from = "\"text\":\"";
  size_t text = archive.find(from) + from.size();
  archive.erase(text, archive.find('"', text) - text);  // the first hypothesis becomes empty
  WriteFile(Path("dev.jsonl"), archive);
  MustScore("b");
  Said said = Compare("a b --max-diff 100");
  EXPECT_EQ(said.code, 1);
  EXPECT_NE(said.err.find("pll: 1 null appeared, 0 vanished (--max-nulls 0)"), std::string::npos)
      << said.err;
  EXPECT_EQ(Compare("a b --max-diff 100 --max-nulls 1").code, 0);
  EXPECT_NE(Compare("a b").err.find("token counts of 1 hypothesis differ; flags of 1 hypothesis"),
            std::string::npos);
}

TEST_F(CompareTest, ErrorRatesAndSignificance) {
  AddReferences();
  MustScore("a", "--dtype f32");
  MustScore("b", "--dtype bf16");
  const std::string options = "a b --max-diff 10 --archive dev.jsonl --json ";
  Said said = Compare(options + "--weight pll=0.1 --max-wer-increase 0 --max-changed-best 0");
  Json json = ParseJson(said.out);
  EXPECT_EQ(String(json, "total"),
            "comb:additive|first:score=1|second:pll=0.1|ln:none|bonus:0|v:" SP_VERSION);
  json_t *against = json_array_get(Member(json, "wer.against"), 0);
  ASSERT_NE(against, nullptr);
  EXPECT_NE(json_object_get(json_object_get(against, "mapsswe"), "p"), nullptr);
  EXPECT_NE(json_object_get(against, "p_improvement"), nullptr);
  EXPECT_EQ(Integer(json, "wer.result.utts"), 40);
  EXPECT_EQ(Integer(json, "wer.without_ref"), 0);
  // The first pass is right everywhere: with a weight of 0 nothing can change.
  said = Compare(options + "--weight pll=0 --max-wer-increase 0 --max-changed-best 0");
  EXPECT_EQ(said.code, 0) << said.err;
  json = ParseJson(said.out);
  EXPECT_EQ(Integer(json, "wer.result.errors"), 0);
  EXPECT_EQ(Integer(json, "changed_best"), 0);
  EXPECT_EQ(json_real_value(Member(json, "wer.increase")), 0.0);
  EXPECT_TRUE(json_is_false(Member(json, "other_input")));
  WriteFile(Path("dev.jsonl"), ReadFile(Path("dev.jsonl")) + "\n");
  said = Compare(options);
  EXPECT_TRUE(json_is_true(Member(ParseJson(said.out), "other_input")));
  EXPECT_NE(said.err.find("a run scored other files than those of --archive"), std::string::npos)
      << said.err;
}

TEST_F(CompareTest, AWorseErrorRateIsBeyond) {
  AddReferences();
  MustScore("a");
  struct sp_random_model model = sp_random_model_default();
  struct sp_error err = {};
  model.seed = 5;  // other weights: other best hypotheses
  ASSERT_EQ(sp_random_model_write(&model, Path("model").c_str(), &err), SP_OK) << err.message;
  MustScore("b");
  const std::string options = " --max-diff 1e6 --archive dev.jsonl ";
  Json json = ParseJson(Compare("a b --json" + options).out);
  double increase = json_real_value(Member(json, "wer.increase"));
  ASSERT_NE(increase, 0.0);
  EXPECT_GT(Integer(json, "changed_best"), 0);
  std::string worse = increase > 0 ? "a b" : "b a", better = increase > 0 ? "b a" : "a b";
  Said said = Compare(worse + options + "--max-wer-increase 0.01");
  EXPECT_EQ(said.code, 1);
  EXPECT_NE(said.err.find("points higher (--max-wer-increase 0.01)"), std::string::npos)
      << said.err;
  EXPECT_EQ(Compare(better + options + "--max-wer-increase 0").code, 0);
  said = Compare("a b" + options + "--max-changed-best 0");
  EXPECT_EQ(said.code, 1);
  EXPECT_NE(said.err.find("have another best hypothesis (--max-changed-best 0)"),
            std::string::npos);
  EXPECT_EQ(Compare("a b" + options + "--max-changed-best 100").code, 0);
}

TEST_F(CompareTest, SpeedFromSummaries) {
  MustScore("a");
  MustScore("b");
  std::string both = "a b --summary-a a.json --summary-b b.json ";
  Json json = ParseJson(Compare(both + "--json").out);
  EXPECT_GT(json_real_value(Member(json, "a.hyps_per_second")), 0);
  EXPECT_TRUE(json_is_real(Member(json, "slowdown_percent")));
  std::string summary = ReadFile(Path("a.json")), key = "\"hyps_per_second\":";
  size_t at = summary.find(key) + key.size();
  auto with_speed = [&](const std::string &speed) {
    std::string text = summary;
    text.replace(at, text.find(',', at) - at, speed);
    return text;
  };
  WriteFile(Path("a.json"), with_speed("200.0"));
  WriteFile(Path("b.json"), with_speed("150.0"));
  EXPECT_EQ(Compare(both + "--max-slowdown 25").code, 0);
  Said said = Compare(both + "--max-slowdown 24.9");
  EXPECT_EQ(said.code, 1);
  EXPECT_NE(said.err.find("25 % slower (--max-slowdown 24.9)"), std::string::npos) << said.err;
  WriteFile(Path("b.json"), with_speed("null"));
  EXPECT_NE(Compare(both + "--max-slowdown 25").err.find("record no speed"), std::string::npos);
}

TEST_F(CompareTest, SummariesOfSomethingElse) {
  MustScore("a", "--dtype f32");
  MustScore("b", "--dtype bf16");
  Said said = Compare("a a --summary-a b.json");
  EXPECT_EQ(said.code, 3);
  EXPECT_NE(said.err.find("b.json is of another run: its signature is not pll|"), std::string::npos)
      << said.err;
  WriteFile(Path("c.json"), "{}");
  EXPECT_EQ(Compare("a a --summary-b c.json").err,
            "secondpass: c.json is not what `secondpass score --json` prints\n");
  WriteFile(Path("c.json"), "{\n\"a\":}");
  EXPECT_EQ(Compare("a a --summary-b c.json").err.rfind("secondpass: c.json:2: ", 0), 0u);
  EXPECT_EQ(Compare("a a --summary-b none.json").code, 6);
}

TEST_F(CompareTest, HistoryAndDrift) {
  MustScore("a", "--dtype f32");
  MustScore("b", "--dtype bf16");
  for (int night = 0; night < 4; night++) {
    Said said = Compare("a a --history nights.jsonl");
    ASSERT_EQ(said.code, 0) << said.err;
    EXPECT_NE(said.out.find("held against " + std::to_string(night) + " earlier line"),
              std::string::npos)
        << said.out;
  }
  Said said = Compare("a b --max-diff 10 --history nights.jsonl --last 3 --json");
  EXPECT_EQ(said.code, 0) << said.err;
  Json json = ParseJson(said.out);
  EXPECT_EQ(Integer(json, "history.lines"), 3);
  EXPECT_TRUE(json_is_true(Member(json, "history.signature_changed")));
  json_t *drifts = Member(json, "history.drift");
  ASSERT_GT(json_array_size(drifts), 0u);
  EXPECT_STREQ(json_string_value(json_object_get(json_array_get(drifts, 0), "number")),
               "differing_utts");
  EXPECT_STREQ(json_string_value(json_object_get(json_array_get(drifts, 0), "kind")), "outside");
  said = Compare("a a --history nights.jsonl --last 2 --fail-on-drift");
  EXPECT_EQ(said.code, 0) << "two lines tell nothing: " << said.err;
  for (int night = 0; night < 3; night++) {
    Compare("a a --history nights.jsonl");
  }
  said = Compare("a b --max-diff 10 --history nights.jsonl --last 3 --fail-on-drift");
  EXPECT_EQ(said.code, 1);
  EXPECT_NE(said.err.find("pll.largest drifts: outside (--fail-on-drift)"), std::string::npos)
      << said.err;
  std::istringstream lines(ReadFile(Path("nights.jsonl")));
  int n = 0;
  for (std::string line; std::getline(lines, line); n++) {
    Json parsed = ParseJson(line + "\n");
    EXPECT_EQ(Integer(parsed, "exit_code"), n == 9 ? 1 : 0);
    Member(parsed, "numbers");
  }
  EXPECT_EQ(n, 10);
}

TEST_F(CompareTest, ADamagedHistoryIsRefusedAndLeftAlone) {
  MustScore("a");
  ASSERT_EQ(Compare("a a --history nights.jsonl").code, 0);
  std::string damaged = ReadFile(Path("nights.jsonl")) + "{\"date\":\n";
  WriteFile(Path("nights.jsonl"), damaged);
  Said said = Compare("a a --history nights.jsonl");
  EXPECT_EQ(said.code, 3);
  EXPECT_EQ(said.err.rfind("secondpass: nights.jsonl:2: not a JSON object", 0), 0u) << said.err;
  EXPECT_EQ(said.out, "");
  EXPECT_EQ(ReadFile(Path("nights.jsonl")), damaged);
  EXPECT_EQ(Compare("a a --history none/nights.jsonl").code, 6);
}

TEST_F(CompareTest, RunsThatDoNotBelongTogether) {
  MustScore("a");
  MustScore("b", "--limit 39");
  Said said = Compare("a b");
  EXPECT_EQ(said.code, 3);
  EXPECT_EQ(said.err, "secondpass: b ends before utterance 40, utt-39, of a\n");
  EXPECT_EQ(Compare("a dev.jsonl").code, 3);
  EXPECT_EQ(Compare("a nothing").err,
            "secondpass: nothing is no run directory: it has no run.json\n");
  Json json = ParseJson(Compare("a b --json").out);
  EXPECT_EQ(Integer(json, "exit_code"), 3);
  EXPECT_EQ(String(json, "error"), "b ends before utterance 40, utt-39, of a");
}

TEST_F(CompareTest, AnIncompleteRunIsSeven) {
  MustScore("a");
  ASSERT_EQ(Shell("rm " + Path("a/_SUCCESS")).code, 0);
  MustScore("b");
  Said said = Compare("b a");
  EXPECT_EQ(said.code, 7);
  EXPECT_EQ(said.err, "secondpass: a is not complete; the command that began it finishes it\n");
}

TEST_F(CompareTest, AHarmedRunIsThree) {
  MustScore("a");
  MustScore("b");
  std::string shard = Path("b/scores-00000-of-00001.jsonl.zst"), bytes = ReadFile(shard);
  bytes[bytes.size() / 2] ^= 1;
  WriteFile(shard, bytes);
  EXPECT_EQ(Compare("a b").code, 3);
}

struct Slip {
  const char *arguments, *message;
};
class CompareUsage : public ::testing::TestWithParam<Slip> {};

TEST_P(CompareUsage, IsNamedWithExitCodeTwo) {
  Said said = Program(std::string("compare ") + GetParam().arguments);
  EXPECT_EQ(said.code, 2);
  EXPECT_EQ(said.out, "");
  EXPECT_EQ(said.err.rfind(std::string("secondpass: ") + GetParam().message, 0), 0u) << said.err;
  EXPECT_NE(said.err.find("see `secondpass help compare`"), std::string::npos);
}

const Slip slips[] = {
    {"a", "an argument is missing; usage: secondpass compare [OPTIONS] RUN_A RUN_B"},
    {"a b c", "too many arguments ('c')"},
    {"a b --max-dif 1", "unknown option --max-dif; did you mean --max-diff?"},
    {"a b --max-diff -1", "--max-diff: '-1' is below 0"},
    {"a b --max-diff little", "--max-diff: 'little' is not a number within 1e+09"},
    {"a b --max-nulls 1x", "--max-nulls: '1x' is not a number"},
    {"a b --weight pll=1", "--weight needs --archive"},
    {"a b --weights w.json", "--weights needs --archive"},
    {"a b --archive x --first none", "--first needs --weight"},
    {"a b --archive x --weight pll=1 --weights w", "--weight does not go with --weights"},
    {"a b --max-wer-increase 1", "--max-wer-increase needs --archive"},
    {"a b --max-slowdown 5 --summary-a x", "--max-slowdown needs --summary-a and --summary-b"},
    {"a b --fail-on-drift", "--fail-on-drift needs --history"},
    {"a b --last 3", "--last needs --history"},
    {"a b --last 0 --history x", "--last"},
    {"a b --archive x --block-by house", "--block-by: 'house' is none of"},
};
INSTANTIATE_TEST_SUITE_P(Slips, CompareUsage, ::testing::ValuesIn(slips));

TEST_F(CompareTest, ACombinationTheRunsCannotMake) {
  MustScore("a");
  Said said = Compare("a a --archive dev.jsonl --weight cls=1");
  EXPECT_EQ(said.code, 2);
  EXPECT_EQ(
      said.err.rfind("secondpass: the combination uses 'cls', which a and a do not both have", 0),
      0u)
      << said.err;
  said = Compare("a a --archive dev.jsonl --max-wer-increase 1");
  EXPECT_EQ(said.code, 3);
  EXPECT_EQ(said.err, "secondpass: --max-wer-increase: the archive has no references\n");
  EXPECT_EQ(Compare("a a --archive , ").code, 2);
  EXPECT_EQ(Compare("a a --archive none.jsonl").code, 6);
}

TEST(CompareHelp, BeginsWithAnExampleAndFitsATerminal) {
  Said said = Program("compare --help");
  EXPECT_EQ(said.code, 0);
  EXPECT_EQ(said.out.rfind("Example\n  secondpass compare ", 0), 0u);
  std::istringstream lines(said.out);
  for (std::string line; std::getline(lines, line);) {
    EXPECT_LE(line.size(), 100u) << line;
  }
  EXPECT_NE(Program("help").out.find("\n  1    a comparison is beyond its thresholds"),
            std::string::npos);
}

// The model and the sample that come with the program.
TEST(CompareSample, SinglePrecisionAgainstBfloat16) {
  Scratch scratch;
  const std::string data = SP_SOURCE_DIR "/bench/data", archive = data + "/dev-clean-200.jsonl.zst";
  for (const char *dtype : {"f32", "bf16"}) {
    Said said = Program("score --model " + data + "/model --limit 2 --dtype " + dtype + " --out " +
                        (scratch / dtype) + " " + archive);
    ASSERT_EQ(said.code, 0) << said.err;
  }
  const std::string runs = "compare " + (scratch / "f32") + " " + (scratch / "bf16");
  EXPECT_EQ(Program(runs).code, 1);
  Said said = Program(runs + " --max-diff 0.5 --archive " + archive +
                      " --weight pll=0.35 --max-wer-increase 5 --json");
  EXPECT_EQ(said.code, 0) << said.err;
  Json json = ParseJson(said.out);
  EXPECT_EQ(Integer(json, "utts"), 2);
  EXPECT_EQ(Integer(json, "methods.pll.hyps.differ"), Integer(json, "hyps"));
}

}  // namespace
}  // namespace sp_test
