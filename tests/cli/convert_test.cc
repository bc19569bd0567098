// `secondpass convert` as a user runs it.
#include <algorithm>

#include "program.h"

namespace {

using sp_test::Integer;
using sp_test::ParseJson;
using sp_test::Program;
using sp_test::ReadFile;
using sp_test::Said;
using sp_test::Scratch;
using sp_test::Shell;
using sp_test::String;
using sp_test::WriteFile;

const std::string kGood = SP_SOURCE_DIR "/tests/golden/formats/good/";

TEST(Convert, WritesOwnLinesToStandardOutput) {
  Said said = Program("convert " + kGood + "mlm.json --to jsonl --out -");
  EXPECT_EQ(said.code, 0) << said.err;
  EXPECT_EQ(said.out, ReadFile(kGood + "mlm.expected"));
}

TEST(Convert, ReportsWhatWasDropped) {
  Scratch scratch;
  Said said =
      Program("convert --json " + kGood + "moses.nbest --to kaldi-text --out " + (scratch / "x"));
  ASSERT_EQ(said.code, 0) << said.err;
  auto json = ParseJson(said.out);
  EXPECT_EQ(String(json, "format"), "moses");
  EXPECT_EQ(Integer(json, "utts"), 2);
  EXPECT_EQ(Integer(json, "losses.hypotheses beyond the first"), 1);
  EXPECT_NE(said.err.find("2 first-pass scores"), std::string::npos) << said.err;
  EXPECT_EQ(ReadFile(scratch / "x"), "0 some translation\n1 a | b || c\n");
  said = Program("convert --strict " + kGood + "moses.nbest --to kaldi-text --out -");
  EXPECT_EQ(said.code, 3);
}

TEST(Convert, NamesThePlaceOfWhatBreaksTheFormat) {
  Scratch scratch;
  WriteFile(scratch / "in",
            "{\"id\":\"a\",\"hyps\":[]}\n{\"id\":\"b\",\"hyps\":[{\"text\":\"(\"}]}\n");
  Said said = Program("convert " + (scratch / "in") + " --to trn --out " + (scratch / "x"));
  EXPECT_EQ(said.code, 3);
  EXPECT_NE(said.err.find(scratch / "in:2: utterance b"), std::string::npos) << said.err;
  EXPECT_NE(Shell("ls " + (scratch / "x") + "*").code, 0) << "output stayed";
}

TEST(Convert, RefusesADuplicateId) {
  Scratch scratch;
  WriteFile(scratch / "in", "a x\na y\n");
  Said said = Program("convert --format kaldi-text " + (scratch / "in") + " --to jsonl --out -");
  EXPECT_EQ(said.code, 3);
  EXPECT_NE(said.err.find("in:2: the id 'a' occurs twice"), std::string::npos) << said.err;
}

TEST(Convert, TellsWhatIsMissing) {
  EXPECT_EQ(Program("convert x").code, 2);
  EXPECT_NE(Program("convert x").err.find("--to FORMAT"), std::string::npos);
  Said said = Program("convert --format nemo-tsv " + kGood + "nemo.tsv --to jsonl --out -");
  EXPECT_EQ(said.code, 2);
  EXPECT_NE(said.err.find("--beam-size"), std::string::npos) << said.err;
  EXPECT_EQ(Program("convert --tsv id=1 --format tsv x --to jsonl --out -").code, 2);
  EXPECT_EQ(Program("convert --to auto --out - x").code, 2);
}

TEST(Convert, LimitsAndReadsStandardInput) {
  Said said = Shell("printf 'one\\ntwo\\n' | $SP convert - --limit 1 --to jsonl --out -");
  EXPECT_EQ(said.code, 0) << said.err;
  EXPECT_EQ(said.out, "{\"id\":\"1\",\"hyps\":[{\"text\":\"one\"}]}\n");
}

class ConvertRun : public sp_test::Workplace {};

TEST_F(ConvertRun, MakesDistillationData) {
  ASSERT_EQ(Program(Score("run", "--with-text")).code, 0);
  Said said =
      Shell("$SP cat " + Path("run") + " | $SP convert - --to hf-regression --label pll --out -");
  ASSERT_EQ(said.code, 0) << said.err;
  EXPECT_EQ(std::count(said.out.begin(), said.out.end(), '\n'), 120);
  auto first = ParseJson(said.out.substr(0, said.out.find('\n') + 1));
  EXPECT_EQ(String(first, "id"), "utt-0");
  EXPECT_GT(Integer(first, "n_tokens"), 0);
}

TEST_F(ConvertRun, ScoreReadsWhatConvertWrites) {
  ASSERT_EQ(Program("convert " + Path("dev.jsonl") + " --to tsv --out " + Path("dev.tsv")).code, 0);
  std::string score = "score --model " + Path("model") + " --threads 2 --out - ";
  Said from_json = Program(score + Path("dev.jsonl"));
  Said from_tsv = Program(score + "--format tsv --tsv id=1,text=2 " + Path("dev.tsv"));
  ASSERT_EQ(from_tsv.code, 0) << from_tsv.err;
  EXPECT_EQ(from_json.out, from_tsv.out);
}

}  // namespace
