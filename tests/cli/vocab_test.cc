// `secondpass vocab` as a user runs it.
#include "program.h"

namespace {

using sp_test::Integer;
using sp_test::ParseJson;
using sp_test::Program;
using sp_test::ReadFile;
using sp_test::Said;
using sp_test::Scratch;
using sp_test::WriteFile;

const std::string kText = "the cat sat\nthe hat\nthat cat\n";

TEST(Vocab, MakesADirectoryThatScoreReads) {
  Scratch scratch;
  WriteFile(scratch / "a.txt", kText);
  std::string command = "vocab --json --size 30 --min-frequency 1 --out " + (scratch / "v") +
                        " --data " + (scratch / "a.txt");
  Said said = Program(command);
  ASSERT_EQ(said.code, 0) << said.err;
  auto json = ParseJson(said.out);
  EXPECT_EQ(Integer(json, "words"), 7);
  EXPECT_EQ(Integer(json, "distinct_words"), 5);
  std::string vocab = ReadFile(scratch / "v/vocab.txt");
  EXPECT_EQ(vocab.rfind("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nc\n", 0), 0u) << vocab;
  EXPECT_NE(vocab.find("\nthe\n"), std::string::npos) << vocab;
  EXPECT_NE(ReadFile(scratch / "v/tokenizer_config.json").find("\"do_lower_case\": true"),
            std::string::npos);
  EXPECT_EQ(Program(command).code, 0) << "the same again";
  WriteFile(scratch / "b.txt", "other words\n");
  said = Program(command + " " + (scratch / "b.txt"));
  EXPECT_EQ(said.code, 2);
  EXPECT_NE(said.err.find("has another vocabulary already (vocab.txt)"), std::string::npos)
      << said.err;
  EXPECT_EQ(ReadFile(scratch / "v/vocab.txt"), vocab);
}

TEST(Vocab, NamesWhatIsWrongWithTheText) {
  Scratch scratch;
  WriteFile(scratch / "bad.txt", "fine\n\xff\n");
  WriteFile(scratch / "a.jsonl", "{\"id\":\"a\",\"hyps\":[]}\n");
  WriteFile(scratch / "empty.txt", "");
  std::string command = "vocab --size 100 --out " + (scratch / "v") + " --data ";
  Said said = Program(command + (scratch / "bad.txt"));
  EXPECT_EQ(said.code, 3);
  EXPECT_NE(said.err.find("bad.txt:2"), std::string::npos) << said.err;
  said = Program(command + (scratch / "a.jsonl"));
  EXPECT_EQ(said.code, 3);
  EXPECT_NE(said.err.find("this looks like jsonl"), std::string::npos) << said.err;
  EXPECT_EQ(Program(command + (scratch / "empty.txt")).code, 3);
  EXPECT_EQ(Program(command + (scratch / "none.txt")).code, 6);
}

}  // namespace
