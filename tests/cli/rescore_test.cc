// `rescore` and `tune` as a user meets them.
#include <cmath>
#include <filesystem>
#include <random>
#include <sstream>
#include <vector>

#include "program.h"

namespace sp_test {
namespace {

std::vector<std::string> Words(const std::string &text) {
  std::istringstream stream(text);
  std::vector<std::string> words;
  for (std::string word; stream >> word;)
    words.push_back(word);
  return words;
}

// Levenshtein's recursion, as a table.
size_t WordErrors(const std::string &ref, const std::string &hyp) {
  std::vector<std::string> a = Words(ref), b = Words(hyp);
  std::vector<std::vector<size_t>> d(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); i++) {
    for (size_t j = 0; j <= b.size(); j++) {
      if (i == 0 || j == 0) {
        d[i][j] = i + j;
      } else {
        d[i][j] =
            std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] != b[j - 1])});
      }
    }
  }
  return d[a.size()][b.size()];
}

std::vector<std::string> Lines(const std::string &text) {
  std::istringstream stream(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);)
    lines.push_back(line);
  return lines;
}

class RescoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    WriteFile(
        Path("a.jsonl"),
        R"({"id":"u1","ref":"a b","hyps":[{"text":"a c","score":-1},{"text":"a b","score":-2},{"text":"x","score":-3}]})"
        "\n"
        R"({"id":"u2","ref":"c","hyps":[{"text":"c","score":-1.5},{"text":"d","score":-1.5}]})"
        "\n"
        R"({"id":"u3","hyps":[]})"
        "\n");
    WriteFile(Path("llm.tsv"), "u1\t0\t-9\nu1\t1\t-1\nu1\t2\tnull\nu2\t0\t-4\nu2\t1\t-4\n");
  }
  std::string Path(const std::string &name) const {
    return scratch_ / name;
  }
  std::string Rescore(const std::string &options) const {
    return "rescore " + Path("a.jsonl") + " --scores llm=" + Path("llm.tsv") + " " + options;
  }
  std::string Tune(const std::string &options) const {
    return "tune " + Path("a.jsonl") + " --scores llm=" + Path("llm.tsv") + " " + options;
  }
  static void Expect(const Said &said, int code, const std::string &part) {
    EXPECT_EQ(said.code, code) << said.err;
    EXPECT_NE(said.err.find(part), std::string::npos) << said.err;
  }
  Scratch scratch_;
};

TEST_F(RescoreTest, WritesListsBestFirst) {
  Said said = Program(Rescore("--weight llm=0.5 --out " + Path("o.jsonl")));
  ASSERT_EQ(said.code, 0) << said.err;
  EXPECT_EQ(
      ReadFile(Path("o.jsonl")),
      R"({"id":"u1","ref":"a b","hyps":[{"text":"a b","score":-2,"i":1,"total":-2.5},{"text":"a c","score":-1,"i":0,"total":-5.5},{"text":"x","score":-3,"i":2}]})"
      "\n"
      R"({"id":"u2","ref":"c","hyps":[{"text":"c","score":-1.5,"i":0,"total":-3.5},{"text":"d","score":-1.5,"i":1,"total":-3.5}]})"
      "\n"
      R"({"id":"u3","hyps":[]})"
      "\n");
  EXPECT_NE(said.out.find("comb:additive|first:score=1|second:llm=0.5{xxh128:"), std::string::npos)
      << said.out;
  EXPECT_NE(said.out.find("another best hypothesis in 1;"), std::string::npos) << said.out;
}

TEST_F(RescoreTest, WritesTheBestHypothesisAsText) {
  EXPECT_EQ(Program(Rescore("--weight llm=1 --to trn --out -")).out, "a b (u1)\nc (u2)\n(u3)\n");
  EXPECT_EQ(Program(Rescore("--weight llm=0 --to text --out -")).out, "a c\nc\n\n");
  Said kaldi = Program(Rescore("--weight llm=-9 --to kaldi-text --out -"));
  EXPECT_EQ(kaldi.out, "u1 a c\nu2 c\nu3\n");
  EXPECT_NE(kaldi.err.find("3 utterances"), std::string::npos) << kaldi.err;
}

TEST_F(RescoreTest, CompressesByNameAndKeepsTheFirstN) {
  ASSERT_EQ(Program(Rescore("--weight llm=1 --nbest 1 --out " + Path("o.jsonl.zst"))).code, 0);
  EXPECT_EQ(ReadFile(Path("o.jsonl.zst")).substr(0, 4), "\x28\xb5\x2f\xfd");
  Said again = Program("rescore " + Path("o.jsonl.zst") + " --scores llm=" + Path("llm.tsv") +
                       " --weight llm=0 --to text --out -");
  EXPECT_EQ(again.out, "a b\nc\n\n");
}

TEST_F(RescoreTest, ReportsAsJson) {
  Json json = ParseJson(Program(Rescore("--weight llm=1 --json --out " + Path("o"))).out);
  EXPECT_EQ(Integer(json, "utts"), 3);
  EXPECT_EQ(Integer(json, "nulls"), 1);
  EXPECT_EQ(Integer(json, "changed_best"), 1);
  EXPECT_EQ(json_array_size(Member(json, "scores")), 1u);
}

TEST_F(RescoreTest, AFailureLeavesNothing) {
  WriteFile(Path("llm.tsv"), "u1\t0\t-9\nu1\t1\t-1\nu1\t2\t-1\n");
  WriteFile(Path("o.jsonl"), "old");
  Expect(Program(Rescore("--weight llm=1 --out " + Path("o.jsonl"))), 3, "--missing null");
  EXPECT_EQ(ReadFile(Path("o.jsonl")), "old");
  size_t files = 0;
  for (const auto &entry : std::filesystem::directory_iterator(scratch_.path())) {
    files += !entry.path().empty();
  }
  EXPECT_EQ(files, 3u);
}

TEST_F(RescoreTest, SaysWhatLooksOdd) {
  WriteFile(Path("llm.tsv"), "u1\t0\t9\nu1\t1\t1\nu2\t0\t4\nu2\t1\t4\nu8\t0\t1\n");
  Said said = Program(Rescore("--weight llm=1 --missing null --out " + Path("o")));
  EXPECT_EQ(said.code, 0);
  EXPECT_NE(said.err.find("1 hypothesis of the archive missing"), std::string::npos) << said.err;
  EXPECT_NE(said.err.find("1 score in "), std::string::npos) << said.err;
  EXPECT_NE(said.err.find("--score-sign NAME=cost"), std::string::npos) << said.err;
  Said cost =
      Program(Rescore("--weight llm=1 --missing null --score-sign llm=cost --to text --out -"));
  EXPECT_EQ(cost.out, "a b\nc\n\n");
  EXPECT_EQ(cost.err.find("--score-sign"), std::string::npos) << cost.err;
}

TEST_F(RescoreTest, AnArchiveWithoutFirstPassScoresNeedsFirstNone) {
  WriteFile(Path("a.jsonl"), R"({"id":"u1","ref":"a","hyps":[{"text":"b"},{"text":"a"}]})"
                             "\n");
  WriteFile(Path("llm.tsv"), "u1\t0\t-9\nu1\t1\t-1\n");
  Expect(Program(Rescore("--weight llm=1 --out " + Path("o"))), 3, "--first none");
  EXPECT_FALSE(std::filesystem::exists(Path("o")));
  EXPECT_EQ(Program(Rescore("--weight llm=1 --first none --to text --out -")).out, "a\n");
  Expect(Program(Tune("--out " + Path("w"))), 3, "--first none");
  EXPECT_EQ(Program(Tune("--first none --out " + Path("w"))).code, 0);
}

TEST_F(RescoreTest, UsageErrors) {
  const struct {
    const char *options;
    int code;
    const char *part;
  } cases[] = {
      {"--weight llm=1", 2, "--out FILE is missing"},
      {"--out o", 2, "--weight NAME=W or --weights FILE"},
      {"--weight lm=1 --out o", 2, "no score named lm"},
      {"--weight llm=x --out o", 2, "--weight: 'x' of llm"},
      {"--weight llm --out o", 2, "'llm' is not NAME=NUMBER"},
      {"--weight llm=1 --to docx --out o", 2, "--to: 'docx' is none of jsonl, "},
      {"--weight llm=1 --first score --out o", 2, "--first"},
      {"--weight llm=1 --length-norm chars --out o", 2, "'chars'"},
      {"--weight llm=1 --length-norm tokens --out o", 3, "no token counts"},
      {"--weight llm=1 --insertion-bonus tune --out o", 2, "--insertion-bonus"},
      {"--weight llm=1 --combine linear --out o", 2, "--combine"},
      {"--weight llm=1 --weights w.json --out o", 2, "does not go with --weights"},
      {"--weights nowhere.json --out o", 6, "nowhere.json"},
      {"--weight llm=1 --out no/such/o", 6, "no/such/o"},
      {"--weight llm=1 --score-sign llm=minus --out o", 2, "--score-sign"},
      {"--weight llm=1 --format odd --out o", 2, "odd"},
      {"--weigth llm=1 --out o", 2, "did you mean --weight"},
  };
  for (const auto &one : cases) {
    Said said = Shell("cd " + scratch_.path() + " && $SP " + Rescore(one.options));
    Expect(said, one.code, one.part);
    EXPECT_FALSE(std::filesystem::exists(Path("o"))) << one.options;
  }
  Expect(Program("rescore " + Path("a.jsonl") + " --weight pll=1 --out " + Path("o")), 2,
         "--scores is missing");
}

TEST_F(RescoreTest, TuneUsageErrors) {
  const struct {
    const char *options;
    int code;
    const char *part;
  } cases[] = {
      {"", 2, "--out WEIGHTS.json is missing"},
      {"--out w --use lm", 2, "no score named lm"},
      {"--out w --range llm=1", 2, "not NAME=LO:HI"},
      {"--out w --range lm=0:1", 2, "lm is not tuned"},
      {"--out w --range insertion-bonus=0:1", 2, "insertion-bonus is not tuned"},
      {"--out w --range llm=2:1", 2, "from high to low"},
      {"--out w --range llm=0:inf", 2, "'inf' is not a number"},
      {"--out w --restarts 1.5", 2, "--restarts"},
      {"--out w --insertion-bonus some", 2, "--insertion-bonus"},
      {"--out no/such/w", 6, "no/such/w"},
  };
  for (const auto &one : cases) {
    Said said = Shell("cd " + scratch_.path() + " && $SP " + Tune(one.options));
    Expect(said, one.code, one.part);
    EXPECT_FALSE(std::filesystem::exists(Path("w"))) << one.options;
  }
  WriteFile(Path("a.jsonl"), R"({"id":"u1","hyps":[{"text":"b","score":-1}]})"
                             "\n");
  Expect(Program(Tune("--out " + Path("w"))), 3, "no reference");
}

TEST_F(RescoreTest, WeightsFilesAreCheckedBeforeAnythingIsWritten) {
  WriteFile(Path("w.json"), R"({"secondpass_weights":1,"second":[]})");
  Expect(Program(Rescore("--weights " + Path("w.json") + " --out " + Path("o"))), 3,
         Path("w.json"));
  EXPECT_FALSE(std::filesystem::exists(Path("o")));
}

// The sample of real lists, with scores that lean towards fewer errors.
class SampleTest : public RescoreTest {
 protected:
  void SetUp() override {
    std::string lists = Shell("zstd -dc " SP_SOURCE_DIR "/bench/data/dev-clean-200.jsonl.zst").out;
    WriteFile(Path("a.jsonl"), lists);
    std::mt19937 random(11);
    std::string table = "id\ti\tvalue\n";
    for (const std::string &line : Lines(lists)) {
      Json json = ParseJson(line + "\n");
      json_t *hyps = Member(json, "hyps");
      for (size_t i = 0; i < json_array_size(hyps); i++) {
        std::string text = json_string_value(json_object_get(json_array_get(hyps, i), "text"));
        double value = -2.0 * WordErrors(String(json, "ref"), text) - 10 * (random() * 0x1p-32);
        if (random() % 100 == 0) {
          table += String(json, "id") + "\t" + std::to_string(i) + "\tnull\n";
        } else {
          table +=
              String(json, "id") + "\t" + std::to_string(i) + "\t" + std::to_string(value) + "\n";
        }
      }
    }
    WriteFile(Path("llm.tsv"), table);
  }

  // Errors of the first hypotheses of a reranked archive.
  size_t ErrorsOf(const std::string &archive) {
    size_t errors = 0;
    for (const std::string &line : Lines(ReadFile(archive))) {
      Json json = ParseJson(line + "\n");
      json_t *best = json_array_get(Member(json, "hyps"), 0);
      errors += WordErrors(String(json, "ref"), json_string_value(json_object_get(best, "text")));
    }
    return errors;
  }
};

TEST_F(SampleTest, TheTunedWeightGivesTheErrorsThatTuneClaims) {
  for (const char *options : {"", "--insertion-bonus tune --seed 7", "--combine convex",
                              "--length-norm words --block-by speaker"}) {
    Said tuned = Program(Tune("--json --out " + Path("w.json") + " " + options));
    ASSERT_EQ(tuned.code, 0) << tuned.err;
    Json json = ParseJson(tuned.out);
    Said said = Program(Rescore("--weights " + Path("w.json") + " --out " + Path("o.jsonl")));
    ASSERT_EQ(said.code, 0) << said.err;
    EXPECT_EQ(static_cast<json_int_t>(ErrorsOf(Path("o.jsonl"))), Integer(json, "errors"))
        << options;
    EXPECT_EQ(static_cast<json_int_t>(ErrorsOf(Path("a.jsonl"))),
              Integer(json, "first_pass_errors"));
    EXPECT_LT(Integer(json, "errors"), Integer(json, "first_pass_errors"));
    EXPECT_GE(Integer(json, "errors"), Integer(json, "oracle_errors"));
    EXPECT_NE(said.out.find(String(json, "signature")), std::string::npos);
    std::string first = ReadFile(Path("w.json"));
    ASSERT_EQ(Program(Tune("--out " + Path("w.json") + " " + options)).code, 0);
    EXPECT_EQ(ReadFile(Path("w.json")), first) << "not deterministic: " << options;
  }
}

}  // namespace
}  // namespace sp_test
