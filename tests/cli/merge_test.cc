// merge from end to end: what joins, what is refused, and that all that reads runs takes the result.
#include <filesystem>

#include "program.h"

namespace sp_test {
namespace {

class MergeTest : public Workplace {
 protected:
  void SetUp() override {
    Workplace::SetUp();
    std::string all = Archive(40);
    size_t cut = all.find("{\"id\":\"utt-23\"");
    WriteFile(Path("a.jsonl"), all.substr(0, cut));
    WriteFile(Path("b.jsonl"), all.substr(cut));
    Made("a", "--shard-utts 10", "a.jsonl");
    Made("b", "--shard-utts 7", "b.jsonl");
  }
  void Made(const std::string &run, const std::string &options, const std::string &archive) {
    Said said = Program("score --model " + Path("model") + " --threads 2 --dtype f32 --out " +
                        Path(run) + " " + options + " " + Path(archive));
    ASSERT_EQ(said.code, 0) << said.err;
  }
  Said Merge(const std::string &runs, const std::string &options = "") {
    std::string command =
        "cd " + scratch_.path() + "; $SP merge " + runs + " --out joined " + options;
    return Shell(command);
  }
};

TEST_F(MergeTest, TheLinesAreThoseOfOneRunOverAll) {
  Said said = Merge("a b");
  ASSERT_EQ(said.code, 0) << said.err;
  EXPECT_EQ(said.out,
            "joined is complete: 6 shards, 40 utterances, 120 hypotheses (6 linked, 0 copied, 0 "
            "found)\n");
  EXPECT_EQ(said.err,
            "secondpass: a is whole: 3 shards, 23 utterances\n"
            "secondpass: b is whole: 3 shards, 17 utterances\n");
  ASSERT_EQ(Program(Score("whole", "--dtype f32")).code, 0);
  EXPECT_EQ(Program("verify " + Path("joined")).code, 0);
  EXPECT_EQ(Program("cat " + Path("joined")).out, Program("cat " + Path("whole")).out);
  EXPECT_EQ(Program("status " + Path("joined")).code, 0);
}

TEST_F(MergeTest, ARunThatWasOnlyPreparedIsToldSo) {
  Made("c", "--prepare", "b.jsonl");
  Said said = Merge("a c");
  EXPECT_EQ(said.code, 7);
  EXPECT_NE(said.err.find("c is only prepared: nothing of it is scored"), std::string::npos)
      << said.err;
  EXPECT_FALSE(std::filesystem::exists(Path("joined")));
}

TEST_F(MergeTest, RerankingTakesIt) {
  ASSERT_EQ(Merge("a b").code, 0);
  ASSERT_EQ(Program(Score("whole", "--dtype f32")).code, 0);
  auto rescore = [&](const std::string &run, const std::string &archives) {
    Said said = Shell("cd " + scratch_.path() + "; $SP rescore --scores " + run +
                      " --weight pll=0.5 --out " + run + ".jsonl " + archives);
    EXPECT_EQ(said.code, 0) << said.err;
    return ReadFile(Path(run + ".jsonl"));
  };
  EXPECT_EQ(rescore("joined", "a.jsonl b.jsonl"), rescore("whole", "dev.jsonl"));
}

TEST_F(MergeTest, TheObjectTellsAll) {
  Json json = ParseJson(Merge("a b", "--json").out);
  EXPECT_EQ(String(json, "command"), "merge");
  EXPECT_EQ(Integer(json, "exit_code"), 0);
  EXPECT_EQ(String(json, "run"), "joined");
  EXPECT_EQ(Integer(json, "runs"), 2);
  EXPECT_EQ(Integer(json, "shards"), 6);
  EXPECT_EQ(Integer(json, "utts"), 40);
  EXPECT_EQ(Integer(json, "hyps"), 120);
  EXPECT_EQ(Integer(json, "shards_linked"), 6);
  EXPECT_EQ(Integer(json, "shards_copied"), 0);
  EXPECT_TRUE(json_is_true(Member(json, "plan")));
  json = ParseJson(Merge("a b", "--json").out);
  EXPECT_EQ(Integer(json, "shards_found"), 6) << "the same again finds all";
  json = ParseJson(Merge("a none", "--json").out);
  EXPECT_EQ(Integer(json, "exit_code"), 3);
}

TEST_F(MergeTest, ScoreDoesNotGoOnWithIt) {
  ASSERT_EQ(Merge("a b").code, 0);
  Said said = Shell("cd " + scratch_.path() +
                    "; $SP score --model model --dtype f32 --out joined a.jsonl b.jsonl");
  EXPECT_EQ(said.code, 2);
  EXPECT_NE(said.err.find("joined belongs to another run"), std::string::npos) << said.err;
  EXPECT_NE(said.err.find("merged: the run has [{"), std::string::npos) << said.err;
  EXPECT_EQ(Program("verify " + Path("joined")).code, 0);
}

TEST_F(MergeTest, Refusals) {
  Made("bf16", "--dtype bf16", "b.jsonl");
  Made("all", "", "dev.jsonl");
  struct {
    const char *runs;
    int code;
    const char *message;
  } const cases[] = {
      {"a bf16", 2,
       "a and bf16 were not scored alike: dtype: the first has \"f32\", the other \"bf16\""},
      {"a all", 3, "utt-0 occurs twice: it is utterance 1 of a too"},
      {"a a", 2, "a and a are the same run"},
      {"a joined", 3, "joined is no run directory"},
      {"a", 2, "an argument is missing; usage: secondpass merge --out RUN [--json] RUN RUN..."},
  };
  for (const auto &refusal : cases) {
    Said said = Merge(refusal.runs);
    EXPECT_EQ(said.code, refusal.code) << refusal.runs << said.err;
    EXPECT_NE(said.err.find(refusal.message), std::string::npos) << said.err;
    EXPECT_EQ(said.out, "");
  }
  EXPECT_EQ(Shell("test -e " + Path("joined")).code, 1) << "a refusal leaves nothing";
  Said said = Program("merge " + Path("a") + " " + Path("b"));
  EXPECT_EQ(said.code, 2);
  EXPECT_NE(said.err.find("--out RUN is missing"), std::string::npos) << said.err;
}

TEST_F(MergeTest, ARunThatIsNotComplete) {
  ASSERT_EQ(Shell("cd " + scratch_.path() + "; rm b/_SUCCESS b/scores-00001-of-00003.*").code, 0);
  Said said = Merge("a b");
  EXPECT_EQ(said.code, 7);
  EXPECT_NE(said.err.find("b: 1 of 3 shards are missing"), std::string::npos) << said.err;
}

}  // namespace
}  // namespace sp_test
