// Scores and archive are joined only where they belong together.
#include "scores.h"

#include <cstring>

#include "join.h"
#include "scores_fixture.h"

namespace sp_test {
namespace {

const float kNull = std::nanf("");

class ScoresTest : public ::testing::Test {
 protected:
  void SetUp() override {
    WriteFile(Path("a.jsonl"), ArchiveLine("u1", "a b", {"a b", "a c"}) +
                                   ArchiveLine("u2", "c", {"c", "d", "e"}) +
                                   ArchiveLine("u3", "c", {}));
    BuildScoredRun(Path("run"), {{"u1", {-1.5f, kNull}}, {"u2", {-3, -2, -1}}, {"u3", {}}});
  }
  std::string Path(const std::string &name) const {
    return scratch_ / name;
  }

  // Joins to the end; rows are "id: value/n value/n ..", null as "-".
  sp_status Join(const std::string &spec, const std::string &names, const char *sign = nullptr,
                 sp_missing missing = SP_MISSING_ERROR, uint64_t limit = 0) {
    std::string archive = Path("a.jsonl");
    const char *paths[] = {archive.c_str()};
    sp_join_options options{};
    options.paths = paths;
    options.n_paths = 1;
    options.limit = limit;
    options.scores = {spec.c_str(), sign, missing};
    sp_join *join = nullptr;
    rows_.clear();
    err_ = {};
    sp_status status = sp_join_open(&options, &join, &err_);
    if (status == SP_OK)
      status = Read(join, names);
    sp_join_close(join);
    return status;
  }

  sp_status Read(sp_join *join, const std::string &names) {
    sp_named_weights wanted;
    SP_TRY(sp_named_weights_parse(names.c_str(), "weight", &wanted, &err_));
    SP_TRY(sp_scores_select(sp_join_scores(join), &wanted, &err_));
    for (bool found = true; found;) {
      sp_utt utt;
      const sp_second *second;
      SP_TRY(sp_join_next(join, &utt, &second, &found, &err_));
      if (!found)
        break;
      std::string row = std::string(utt.id.data, utt.id.len) + ":";
      for (size_t k = 0; k < utt.n_hyps * wanted.n; k++) {
        char text[64];
        snprintf(text, sizeof text, " %g/%u", second[k].value, second[k].n_tokens);
        row += std::isnan(second[k].value) ? " -" : text;
      }
      rows_.push_back(row);
    }
    columns_.clear();
    for (size_t k = 0; k < sp_scores_count(sp_join_scores(join)); k++) {
      columns_.push_back(*sp_scores_column(sp_join_scores(join), k));
    }
    return SP_OK;
  }

  void ExpectFails(sp_status status, sp_status expected, const std::string &part) {
    EXPECT_EQ(status, expected) << err_.message;
    EXPECT_NE(std::string(err_.message).find(part), std::string::npos) << err_.message;
  }

  Scratch scratch_;
  std::vector<std::string> rows_;
  std::vector<sp_score_column> columns_;
  sp_error err_{};
};

using Rows = std::vector<std::string>;

TEST_F(ScoresTest, ARunIsReadInStep) {
  ASSERT_EQ(Join(Path("run"), "pll=1"), SP_OK) << err_.message;
  EXPECT_EQ(rows_, (Rows{"u1: -1.5/10 -", "u2: -3/10 -2/20 -1/30", "u3:"}));
  EXPECT_EQ(columns_[0].nulls, 1u);
  EXPECT_EQ(columns_[0].hyps, 5u);
}

TEST_F(ScoresTest, MethodsNameScoresAndPrefixesTellThemApart) {
  BuildScoredRun(Path("two"), {{"u1", {-4, -6}}, {"u2", {-1, -1, -1}}, {"u3", {}}}, "pll,cls");
  ASSERT_EQ(Join(Path("two"), "cls=1,pll=1"), SP_OK) << err_.message;
  EXPECT_EQ(rows_[0], "u1: -2/10 -4/10 -3/20 -6/20");
  ExpectFails(Join(Path("run") + "," + Path("two"), "pll=1"), SP_EUSAGE, "both called pll");
  ASSERT_EQ(Join("big=" + Path("two") + ",small=" + Path("run"), "small=1,big.cls=1"), SP_OK)
      << err_.message;
  EXPECT_EQ(rows_[0], "u1: -1.5/10 -2/10 - -3/20");
  ExpectFails(Join("big=" + Path("two"), "big=1"), SP_EUSAGE, "big.pll, big.cls");
}

TEST_F(ScoresTest, RunsOfSuccessiveArchivesFollowEachOther) {
  BuildScoredRun(Path("r1"), {{"u1", {-1, -2}}});
  BuildScoredRun(Path("r2"), {{"u2", {-3, -2, -1}}, {"u3", {}}});
  ASSERT_EQ(Join(Path("r1") + "+" + Path("r2"), "pll=1"), SP_OK) << err_.message;
  EXPECT_EQ(rows_[1], "u2: -3/10 -2/20 -1/30");
  ExpectFails(Join(Path("r1"), "pll=1"), SP_EINPUT, "ends before utterance u2");
  ExpectFails(Join(Path("r2") + "+" + Path("r1"), "pll=1"), SP_EINPUT, "has u2 where");
  BuildScoredRun(Path("r3"), {{"u2", {-3, -2, -1}}, {"u3", {}}}, "pll", "ffff");
  ExpectFails(Join(Path("r1") + "+" + Path("r3"), "pll=1"), SP_EUSAGE, "not scored alike");
}

TEST_F(ScoresTest, RunsThatDoNotFitTheArchiveAreRefused) {
  BuildScoredRun(Path("order"), {{"u2", {-3, -2, -1}}, {"u1", {-1, -2}}, {"u3", {}}});
  ExpectFails(Join(Path("order"), "pll=1"), SP_EINPUT, "another archive");
  BuildScoredRun(Path("fewer"), {{"u1", {-1}}, {"u2", {-3, -2, -1}}, {"u3", {}}});
  ExpectFails(Join(Path("fewer"), "pll=1"), SP_EINPUT, "has 1 hypotheses, in the archive 2");
  BuildScoredRun(Path("more"), {{"u1", {-1, -2}}, {"u2", {-3, -2, -1}}, {"u3", {}}, {"u4", {}}});
  ExpectFails(Join(Path("more"), "pll=1"), SP_EINPUT, "goes on with u4");
  EXPECT_EQ(Join(Path("more"), "pll=1", nullptr, SP_MISSING_ERROR, 2), SP_OK) << err_.message;
  EXPECT_EQ(rows_.size(), 2u);
}

TEST_F(ScoresTest, UnfinishedAndHarmedRunsAreRefused) {
  BuildScoredRun(Path("open"), {{"u1", {-1, -2}}}, "pll", "0123abcd", false);
  ExpectFails(Join(Path("open"), "pll=1"), SP_ESHARD, "not complete");
  // another shard of good form: its lines are not those that the marker vouches for
  BuildScoredRun(Path("other"), {{"u1", {-1, -2}}, {"u2", {-3, -2, -1}}, {"u3", {}}});
  std::filesystem::remove(Path("run/scores-00000-of-00002.jsonl.zst"));
  std::filesystem::copy(Path("other/scores-00000-of-00002.jsonl.zst"),
                        Path("run/scores-00000-of-00002.jsonl.zst"));
  ExpectFails(Join(Path("run"), "pll=1"), SP_EDAMAGED, "not those of the marker");
  std::filesystem::remove(Path("run/scores-00000-of-00002.done"));
  ExpectFails(Join(Path("run"), "pll=1"), SP_EDAMAGED, "scores-00000-of-00002.done");
}

TEST_F(ScoresTest, FilesAreLookedUpInAnyOrder) {
  WriteFile(Path("x.tsv"),
            "id\ti\tvalue\tn\nu2\t2\t-1\t7\nu1\t1\tnull\nu1\t0\t-2.5\t3\n"
            "u2\t0\t-9\t\nu2\t1\t-8\t9\nu9\t0\t-1\n");
  ASSERT_EQ(Join("llm=" + Path("x.tsv"), "llm=1"), SP_OK) << err_.message;
  EXPECT_EQ(rows_, (Rows{"u1: -2.5/3 -", "u2: -9/0 -8/9 -1/7", "u3:"}));
  EXPECT_EQ(columns_[0].nulls, 1u);
  EXPECT_EQ(columns_[0].surplus, 1u);
  EXPECT_EQ(columns_[0].negative, 5u);
  EXPECT_EQ(columns_[0].positive, 0u);
  ASSERT_EQ(Join("llm=" + Path("x.tsv"), "llm=1", "llm=cost"), SP_OK) << err_.message;
  EXPECT_EQ(rows_[0], "u1: 2.5/3 -");
  EXPECT_EQ(columns_[0].positive, 5u);
}

TEST_F(ScoresTest, JsonLinesOfBothKinds) {
  WriteFile(Path("x.jsonl"),
            "{\"id\":\"u2\",\"hyps\":[{\"i\":1,\"llm\":-1,\"n\":4},{\"i\":0,"
            "\"value\":-2},{\"i\":2,\"llm\":null}]}\n"
            "{\"i\":0,\"id\":\"u1\",\"value\":-5,\"other\":[1]}\n"
            "\n{\"id\":\"u1\",\"i\":1,\"llm\":-6}\n");
  ASSERT_EQ(Join("llm=" + Path("x.jsonl") + "," + Path("run"), "llm=1,pll=1"), SP_OK)
      << err_.message;
  EXPECT_EQ(rows_[0], "u1: -5/0 -1.5/10 -6/0 -");
  EXPECT_EQ(rows_[1], "u2: -2/0 -3/10 -1/4 -2/20 - -1/30");
}

TEST_F(ScoresTest, MissingEntriesAreAnErrorOrNull) {
  WriteFile(Path("x.tsv"), "u1\t0\t-1\nu2\t0\t-1\nu2\t1\t-1\nu2\t2\t-1\n");
  ExpectFails(Join("llm=" + Path("x.tsv"), "llm=1"), SP_EINPUT, "u1, i 1");
  ASSERT_EQ(Join("llm=" + Path("x.tsv"), "llm=1", nullptr, SP_MISSING_NULL), SP_OK);
  EXPECT_EQ(rows_[0], "u1: -1/0 -");
  EXPECT_EQ(columns_[0].missing, 1u);
}

TEST_F(ScoresTest, BadFilesAreRefusedWithTheirLine) {
  const struct {
    const char *text, *part;
  } cases[] = {
      {"u1\t0\t-1\nu1\t0\t-1\n", ":2: this id and i came before"},
      {"u1\t0\n", ":1: not id, i, value"},
      {"u1\t0\t-1\t2\t3\n", ":1: not id, i, value"},
      {"u1\t-1\t-1\n", ":1: i is no whole number"},
      {"u1\t0.5\t-1\n", ":1: i is no whole number"},
      {"u1\t0\tnan\n", ":1: the value is no finite number"},
      {"u1\t0\t-inf\n", ":1: the value is no finite number"},
      {"u1\t0\t1e39\n", ":1: the value is beyond"},
      {"u1\t0\t-1\t-2\n", ":1: n is no whole number"},
      {"\t0\t-1\n", ":1: an entry needs"},
      {"{\"id\":\"u1\",\"i\":0}\n", ":1: an entry needs"},
      {"{\"id\":\"u1\",\"i\":0,\"value\":\"-1\"}\n", ":1: the value comes twice or is neither"},
      {"{\"id\":\"u1\",\"i\":0,\"value\":-1,\"llm\":-1}\n", ":1: the value comes twice"},
      {"{\"id\":\"u1\",\"i\":0,\"i\":1,\"value\":-1}\n", ":1: i comes twice"},
      {"{\"id\":\"u1\",\"i\":1e400,\"value\":-1}\n", ":1: "},
      {"{\"id\":7,\"i\":0,\"value\":-1}\n", ":1: id comes twice or is not"},
      {"{\"id\":\"u1\",\"value\":1,\"hyps\":[]}\n", ":1: a line of hyps"},
      {"{\"id\":\"u1\",\"hyps\":[1]}\n", ":1: a hypothesis is not"},
      {"{\"id\":\"u1\",\"i\":0,\"value\":-1}\n{\"id\"\n", ":2: "},
  };
  for (const auto &one : cases) {
    WriteFile(Path("x"), one.text);
    ExpectFails(Join("llm=" + Path("x"), "llm=1"), SP_EINPUT, Path("x") + one.part);
  }
}

TEST_F(ScoresTest, SpecificationsAreReadStrictly) {
  WriteFile(Path("x.tsv"), "u1\t0\t-1\n");
  ExpectFails(Join(Path("x.tsv"), "llm=1"), SP_EUSAGE, "write NAME=");
  ExpectFails(Join(Path("none"), "pll=1"), SP_EIO, Path("none"));
  ExpectFails(Join("llm=" + Path("none"), "llm=1"), SP_EIO, Path("none"));
  ExpectFails(Join("", "pll=1"), SP_EUSAGE, "a path is missing");
  ExpectFails(Join(Path("run") + ",", "pll=1"), SP_EUSAGE, "a path is missing");
  ExpectFails(Join("llm=", "pll=1"), SP_EUSAGE, "a path is missing");
  ExpectFails(Join(Path("run"), "llm=1"), SP_EUSAGE, "no score named llm; --scores has pll");
  ExpectFails(Join("llm=" + Path("x.tsv"), "llm=1", "llm=loss"), SP_EUSAGE, "neither cost nor");
  ExpectFails(Join("llm=" + Path("x.tsv"), "llm=1", "lm=cost"), SP_EUSAGE, "lm=cost");
  ExpectFails(Join("p=" + Path("run"), "p=1", "p=cost"), SP_EUSAGE, "log probabilities");
}

TEST_F(ScoresTest, AnIdThatComesTwiceInTheArchiveIsRefused) {
  WriteFile(Path("a.jsonl"), ArchiveLine("u1", "a", {"a"}) + ArchiveLine("u1", "a", {"a"}));
  WriteFile(Path("x.tsv"), "u1\t0\t-1\n");
  ExpectFails(Join("llm=" + Path("x.tsv"), "llm=1"), SP_EINPUT, "a.jsonl:2");
}

}  // namespace
}  // namespace sp_test
