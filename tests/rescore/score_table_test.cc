// Scores from a file are found again under their own id and rank.
#include "score_table.h"

#include <gtest/gtest.h>

#include <string>

#include "scratch.h"

namespace sp_test {
namespace {

TEST(ScoreTable, ShortIdsAndRanksDoNotMeet) {
  Scratch scratch;
  std::string path = scratch / "scores.tsv", lines = "id\ti\tvalue\n";
  for (int u = 0; u < 3000; u++)
    for (int i = 0; i < 10; i++)
      lines += std::to_string(u % 7) + "-" + std::to_string(u) + "\t" + std::to_string(i) + "\t-" +
               std::to_string(10 * u + i) + "\n";
  WriteFile(path, lines);
  sp_source *source = nullptr;
  sp_score_table *table = nullptr;
  sp_error err{};
  ASSERT_EQ(sp_source_open(path.c_str(), &source, &err), SP_OK) << err.message;
  ASSERT_EQ(sp_score_table_read(source, "lm", false, &table, &err), SP_OK) << err.message;
  for (int u = 0; u < 3000; u++) {
    std::string id = std::to_string(u % 7) + "-" + std::to_string(u);
    for (uint32_t i = 0; i < 10; i++) {
      sp_second second{};
      ASSERT_TRUE(sp_score_table_find(table, {id.data(), id.size()}, i, &second));
      EXPECT_EQ(second.value, -static_cast<double>(10 * u + static_cast<int>(i)));
    }
  }
  sp_score_table_destroy(table);
  sp_source_close(source);
}

// `cat RUN` of a run with latency.
TEST(ScoreTable, TakesScoreLinesWithLatency) {
  Scratch scratch;
  std::string path = scratch / "scores.jsonl";
  WriteFile(path, R"({"id":"a","hyps":[{"i":0,"pll":-3.5,"n":2,"latency":{"mean":1,"upl":0}},)"
                  R"({"i":1,"pll":null,"n":0,"flag":"empty"}],"latency":{"mean":1,"upl":0}})"
                  "\n");
  sp_source *source = nullptr;
  sp_score_table *table = nullptr;
  sp_error err{};
  ASSERT_EQ(sp_source_open(path.c_str(), &source, &err), SP_OK) << err.message;
  ASSERT_EQ(sp_score_table_read(source, "pll", false, &table, &err), SP_OK) << err.message;
  sp_second second{};
  ASSERT_TRUE(sp_score_table_find(table, {"a", 1}, 0, &second));
  EXPECT_EQ(second.value, -3.5);
  EXPECT_EQ(second.n_tokens, 2u);
  sp_score_table_destroy(table);
  sp_source_close(source);
}

}  // namespace
}  // namespace sp_test
