// `secondpass wer`: results on small files, and what users do wrong.
#include <gtest/gtest.h>

#include <string>

#include "program.h"

namespace sp_test {
namespace {

class WerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    WriteFile(Path("ref.trn"), "a b c d (s1-1)\ne f (s1-2)\ng h i (s2-1)\n");
    WriteFile(Path("hyp.trn"), "a x c d (s1-1)\ne f (s1-2)\ng i (s2-1)\n");
    WriteFile(Path("old.text"), "s2-1 g i j\ns1-1 x y c d\ns1-2 e f f\n");
    WriteFile(Path("lists.jsonl"),
              "{\"id\":\"s1-1\",\"ref\":\"a b c d\",\"hyps\":[{\"text\":\"a x c d\"},"
              "{\"text\":\"a b c d\"},{\"text\":\"x\"}]}\n"
              "{\"id\":\"s1-2\",\"ref\":\"e f\",\"hyps\":[]}\n");
  }
  std::string Path(const std::string &name) const {
    return scratch_ / name;
  }
  std::string Files() const {
    return "wer --ref " + Path("ref.trn") + " --hyp " + Path("hyp.trn");
  }
  static void Refused(const std::string &arguments, int code, const std::string &part) {
    Said said = Program(arguments);
    EXPECT_EQ(said.code, code) << said.err;
    EXPECT_EQ(said.out, "");
    EXPECT_NE(said.err.find(part), std::string::npos) << said.err;
  }
  Scratch scratch_;
};

TEST_F(WerTest, TwoFiles) {
  Json json = ParseJson(Program(Files() + " --json").out);
  EXPECT_EQ(Integer(json, "result.errors"), 2);
  EXPECT_EQ(Integer(json, "result.ref"), 9);
  EXPECT_EQ(Integer(json, "result.sub"), 1);
  EXPECT_EQ(Integer(json, "result.del"), 1);
  EXPECT_EQ(Integer(json, "result.wrong_utts"), 2);
  EXPECT_EQ(Integer(json, "result.chars.errors"), 2);
  EXPECT_EQ(Integer(json, "blocks"), 2);
  EXPECT_EQ(String(json, "signature"),
            "wer|unit:word|norm:none|blocks:speaker|boot:1000/seed:1|v:0.1.0");
}

TEST_F(WerTest, AnyFormatOfAnArchive) {
  WriteFile(Path("nbest.tsv"), "a\tx\t-1\tx y\na\tx y\t-2\tx y\n");
  Json json = ParseJson(
      Program("wer --json --format tsv --tsv id=1,text=2,score=3,ref=4 " + Path("nbest.tsv")).out);
  EXPECT_EQ(Integer(json, "result.errors"), 1);
  EXPECT_EQ(Integer(json, "lists.oracle.errors"), 0);
  WriteFile(Path("more.trn"), "q (s3-1)\n");
  WriteFile(Path("ref.trn"), "a b c d (s1-1)\ne f (s1-2)\ng h i (s2-1)\nq (s3-1)\n");
  json = ParseJson(Program("wer --json --ref " + Path("ref.trn") + " " + Path("hyp.trn") + " " +
                           Path("more.trn"))
                       .out);
  EXPECT_EQ(Integer(json, "result.ref"), 10);
  EXPECT_EQ(Integer(json, "result.errors"), 2);
}

TEST_F(WerTest, ListsHaveAnOracle) {
  Json json = ParseJson(Program("wer --json " + Path("lists.jsonl")).out);
  EXPECT_EQ(Integer(json, "result.errors"), 3) << "an empty list loses all words";
  EXPECT_EQ(Integer(json, "lists.oracle.errors"), 2);
  EXPECT_EQ(Integer(json, "lists.anti_oracle.errors"), 6);
  EXPECT_EQ(Integer(json, "lists.empty"), 1);
  EXPECT_TRUE(json_real_value(Member(json, "lists.oracle_rank")) == 2.0);
}

TEST_F(WerTest, AgainstAnotherSystem) {
  Json json = ParseJson(Program(Files() + " --json --against " + Path("old.text")).out);
  json_t *other = json_array_get(Member(json, "against"), 0);
  EXPECT_EQ(json_integer_value(json_object_get(other, "errors")), 5);
  EXPECT_TRUE(json_real_value(json_object_get(other, "p_improvement")) == 1.0);
  Said said = Program(Files() + " --against " + Path("old.text") + "," + Path("hyp.trn"));
  EXPECT_EQ(said.code, 0) << said.err;
  EXPECT_NE(said.out.find("after Holm"), std::string::npos) << said.out;
}

TEST_F(WerTest, LinesAndAlignments) {
  Said said = Program(Files() + " --per-utt " + Path("rows.tsv") + " --align -");
  ASSERT_EQ(said.code, 0) << said.err;
  EXPECT_NE(said.out.find("REF: a b c d\nHYP: a x c d\n       S    \n"), std::string::npos)
      << said.out;
  EXPECT_NE(said.out.find("REF: g h i\nHYP: g * i\n       D  \n"), std::string::npos) << said.out;
  const std::string rows = ReadFile(Path("rows.tsv"));
  EXPECT_NE(rows.find("\ns1-1\t4\t3\t1\t0\t0\t1\t4\t1\t1\t1\t1\t1\t\n"), std::string::npos) << rows;
  ASSERT_EQ(Program(Files() + " --per-utt " + Path("rows.jsonl")).code, 0);
  const std::string lines = ReadFile(Path("rows.jsonl"));
  EXPECT_EQ(Integer(ParseJson(lines.substr(0, lines.find('\n') + 1)), "errors"), 1);
}

TEST_F(WerTest, UnitsAndProfiles) {
  WriteFile(Path("r"), "u1 \u6211\u8981 Book\n");
  WriteFile(Path("h"), "u1 \u6211\u4e0d book\n");
  const std::string files = "wer --json --ref " + Path("r") + " --hyp " + Path("h");
  EXPECT_EQ(Integer(ParseJson(Program(files).out), "result.errors"), 2);
  Json mixed = ParseJson(Program(files + " --unit mixed --normalize librispeech").out);
  EXPECT_EQ(Integer(mixed, "result.errors"), 1);
  EXPECT_EQ(Integer(mixed, "result.ref"), 3);
  EXPECT_EQ(String(mixed, "signature"),
            "wer|unit:mixed|norm:librispeech.v1|blocks:utterance|boot:1000/seed:1|v:0.1.0");
  EXPECT_EQ(Integer(ParseJson(Program(files + " --unit char").out), "result.ref"), 6);
}

TEST_F(WerTest, BlocksByAField) {
  WriteFile(Path("lists.jsonl"),
            "{\"id\":\"1\",\"ref\":\"a\",\"speaker\":\"\\u00e4 \\\"b\\\"\",\"room\":7,\"hyps\":[]}\n"
            "{\"id\":\"2\",\"ref\":\"b\",\"speaker\":\"\u00e4 \\\"b\\\"\",\"room\":8,\"hyps\":[]}\n"
            "{\"id\":\"3\",\"ref\":\"c\",\"speaker\":\"c\",\"room\":8,\"side\":null,\"hyps\":[]}\n");
  const std::string wer = "wer --json " + Path("lists.jsonl") + " --block-by field:";
  Json speakers = ParseJson(Program(wer + "speaker").out);
  EXPECT_EQ(Integer(speakers, "blocks"), 2) << "an escaped letter is the letter";
  EXPECT_EQ(String(speakers, "block_by"), "field:speaker");
  EXPECT_EQ(Integer(ParseJson(Program(wer + "room").out), "blocks"), 2);
  for (const char *absent : {"side", "hyps", "none"}) {
    Said said = Program("wer " + Path("lists.jsonl") + " --block-by field:" + absent);
    EXPECT_EQ(said.code, 3) << said.out;
    EXPECT_NE(said.err.find(":1: utterance 1 has no block: --block-by field:"), std::string::npos)
        << said.err;
  }
}

TEST_F(WerTest, MissingUtterancesAreNamed) {
  WriteFile(Path("ref.trn"), "a b c d (s1-1)\ne f (s1-2)\n");
  Refused(Files(), 3, "1 utterance without a reference: s2-1");
  WriteFile(Path("ref.trn"), "a (s1-1)\ne (s1-2)\ng (s2-1)\nx (s9-1)\ny (s9-2)\n");
  Refused(Files(), 3, "2 utterances that " + Path("hyp.trn") + " lacks: s9-1, s9-2");
  WriteFile(Path("old.text"), "s1-1 a\n");
  WriteFile(Path("ref.trn"), "a (s1-1)\ne (s1-2)\ng (s2-1)\n");
  Refused(Files() + " --against " + Path("old.text"), 3, "2 utterances without an answer: s1-2");
  WriteFile(Path("lists.jsonl"), "{\"id\":\"q\",\"hyps\":[{\"text\":\"a\"}]}\n");
  Refused("wer " + Path("lists.jsonl"), 3, "1 utterance without a reference: q");
}

TEST_F(WerTest, IdsThatComeTwice) {
  WriteFile(Path("hyp.trn"), "a (s1-1)\nb (s1-1)\n");
  Refused(Files(), 3, Path("hyp.trn") + ":2: utterance s1-1 is there twice");
  WriteFile(Path("ref.trn"), "a (s1-1)\nb (s1-1)\n");
  Refused(Files(), 3, Path("ref.trn") + ":2: utterance s1-1 is there twice");
}

TEST_F(WerTest, WhatIsAskedWrongly) {
  Refused("wer", 2, "no HYP");
  Refused("wer " + Path("hyp.trn"), 2, "--ref");
  Refused(Files() + " " + Path("hyp.trn"), 2, "given twice");
  Refused(Files() + " --block-by colour", 2, "--block-by");
  Refused(Files() + " --block-by field:", 2, "field:NAME");
  Refused(Files() + " --block-by prefix:_", 3, "s1-1 has no block");
  Refused(Files() + " --block-by field:speaker", 3, "s1-1 has no block");
  Refused(Files() + " --normalize whisper", 2, "whisper");
  Refused(Files() + " --unit phone", 2, "phone");
  Refused(Files() + " --format text", 2, "plain text has no utterance ids");
  Refused(Files() + " --format tnr", 2, "--format: 'tnr' is none of auto");
  Refused(Files() + " --tsv id=1,text=2", 2, "--tsv goes with --format tsv");
  Refused(Files() + " --per-utt - --align -", 2, "standard output");
  Refused(Files() + " --against " + Path("none"), 6, Path("none"));
  Refused(Files() + " --per-utt " + Path("none/rows"), 6, Path("none/rows"));
  WriteFile(Path("hyp.trn"), "");
  WriteFile(Path("ref.trn"), "");
  Refused(Files(), 3, "no utterances");
}

}  // namespace
}  // namespace sp_test
