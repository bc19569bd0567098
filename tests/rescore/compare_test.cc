// Two runs with known scores: every count, difference and refusal.
#include "compare.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <filesystem>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "run_manifest.h"
#include "scratch.h"
#include "shard.h"

namespace sp_test {
namespace {

const float kNull = std::nanf("");

// ---- difference.h ----

TEST(Difference, QuantilesAreAtMostATenthOfAPercentAboveTheTrueOnes) {
  std::mt19937 random(5);
  for (size_t n : {1u, 2u, 9u, 1000u, 5003u}) {
    sp_difference *difference = nullptr;
    ASSERT_EQ(sp_difference_create(&difference, nullptr), SP_OK);
    std::vector<double> distances;
    for (size_t k = 0; k < n; k++) {
      float a = -30.0f * static_cast<float>(random() % 1000) / 1000.0f;
      float b = random() % 4 == 0 ? a : a + std::ldexp(static_cast<float>(random() % 999), -20);
      bool grew;
      sp_difference_add(difference, a, b, &grew);
      distances.push_back(std::fabs(static_cast<double>(b) - static_cast<double>(a)));
    }
    sp_difference_summary summary;
    sp_difference_summarize(difference, &summary);
    std::sort(distances.begin(), distances.end());
    EXPECT_EQ(summary.largest, distances.back());
    for (int q = 0; q < sp_difference_levels; q++) {
      double rank = std::ceil(sp_difference_level[q] * static_cast<double>(n));
      double truth = distances[static_cast<size_t>(rank) - 1];
      EXPECT_GE(summary.quantiles[q], truth) << n << " " << q;
      EXPECT_LE(summary.quantiles[q], truth * (1 + 1.0 / 1024)) << n << " " << q;
    }
    sp_difference_destroy(difference);
  }
}

TEST(Difference, OddFloats) {
  struct {
    float a, b;
    double largest;
    uint64_t differ;
  } const cases[] = {
      {0.0f, -0.0f, 0.0, 1},
      {FLT_MAX, -FLT_MAX, 2.0 * static_cast<double>(FLT_MAX), 1},
      {0.0f, FLT_TRUE_MIN, static_cast<double>(FLT_TRUE_MIN), 1},
      {-3.5f, -3.5f, 0.0, 0},
  };
  for (const auto &c : cases) {
    sp_difference *difference = nullptr;
    bool grew;
    ASSERT_EQ(sp_difference_create(&difference, nullptr), SP_OK);
    EXPECT_EQ(sp_difference_add(difference, c.a, c.b, &grew), c.differ == 1);
    EXPECT_EQ(grew, c.largest > 0);
    sp_difference_summary summary;
    sp_difference_summarize(difference, &summary);
    EXPECT_EQ(summary.compared, 1u);
    EXPECT_EQ(summary.differ, c.differ);
    EXPECT_EQ(summary.largest, c.largest);
    EXPECT_EQ(summary.quantiles[0], c.largest);
    EXPECT_EQ(summary.quantiles[3], c.largest);
    sp_difference_destroy(difference);
  }
}

// ---- compare.h ----

struct Hyp {
  float pll = 0, cls = 0;
  std::vector<float> logp;
  uint32_t rank = 0;
  sp_flag flag = SP_FLAG_NONE;
};
struct Utt {
  std::string id;
  std::vector<Hyp> hyps;
};
using Utts = std::vector<Utt>;

// Three lists; by pll the best are 1, 0 and 1.
Utts Sample() {
  Utts utts = {{"one", {{-4, 1, {-1, -3}}, {-3, 2, {-1, -2}}}},
               {"two", {{-2, 0, {-2}}, {-7, 0, {-3, -4}}, {-9, 0, {-9}}}},
               {"three", {{-8, 5, {-8}}, {-6, 4, {-6}}}}};
  for (Utt &utt : utts) {
    for (size_t i = 0; i < utt.hyps.size(); i++) {
      utt.hyps[i].rank = static_cast<uint32_t>(i);
    }
  }
  return utts;
}

std::string LineOf(const Utt &utt, unsigned methods, bool per_token) {
  std::vector<sp_hyp_score> hyps(utt.hyps.size());
  std::vector<std::vector<sp_text>> tokens(utt.hyps.size());
  for (size_t i = 0; i < hyps.size(); i++) {
    const Hyp &from = utt.hyps[i];
    hyps[i] = sp_hyp_score{};
    hyps[i].rank = from.rank;
    hyps[i].flag = from.flag;
    hyps[i].n_tokens = static_cast<uint32_t>(from.logp.size());
    hyps[i].score[SP_PLL] = from.pll;
    hyps[i].score[SP_CLS] = from.cls;
    tokens[i].assign(from.logp.size(), SP_TEXT_LITERAL("w"));
    hyps[i].tokens = per_token ? tokens[i].data() : nullptr;
    hyps[i].logp[SP_PLL] = per_token ? from.logp.data() : nullptr;
  }
  sp_buf out{};
  sp_error err{};
  EXPECT_EQ(sp_score_line_write(&out, {utt.id.data(), utt.id.size()}, hyps.data(), hyps.size(),
                                methods, &err),
            SP_OK);
  std::string line(out.data, out.len);
  sp_buf_release(&out);
  return line;
}

struct RunOptions {
  std::string methods = "pll";
  bool per_token = false, sealed = true;
  int limit = 0;
  std::string dtype = "f32";
};

void BuildRun(const std::string &run, const Utts &utts, const RunOptions &options = {}) {
  sp_error err{};
  size_t hyps = 0;
  unsigned bits = (options.methods.find("pll") != std::string::npos ? 1u << SP_PLL : 0) |
                  (options.methods.find("cls") != std::string::npos ? 1u << SP_CLS : 0);
  std::filesystem::create_directory(run);
  sp_shard_writer *writer = nullptr;
  ASSERT_EQ(sp_shard_writer_create(run.c_str(), 0, 1, &writer, &err), SP_OK) << err.message;
  for (const Utt &utt : utts) {
    std::string line = LineOf(utt, bits, options.per_token);
    hyps += utt.hyps.size();
    ASSERT_EQ(sp_shard_writer_append(writer, {line.data(), line.size()},
                                     {utt.id.data(), utt.id.size()}, utt.hyps.size(), 0, &err),
              SP_OK);
  }
  ASSERT_EQ(sp_shard_writer_publish(writer, &err), SP_OK) << err.message;
  json_t *manifest = json_pack(
      "{s:{s:i,s:i,s:s,s:s,s:b,s:i},s:{s:I,s:I,s:s,s:s}}", "identity", "shards", 1, "shard_utts",
      100, "method", options.methods.c_str(), "dtype", options.dtype.c_str(), "per_token",
      options.per_token, "limit", options.limit, "info", "utts",
      static_cast<json_int_t>(utts.size()), "hyps", static_cast<json_int_t>(hyps), "version",
      "0.1.0", "signature", ("pll|dt:" + options.dtype).c_str());
  ASSERT_EQ(sp_run_manifest_write(run.c_str(), manifest, &err), SP_OK) << err.message;
  json_decref(manifest);
  if (options.sealed) {
    ASSERT_EQ(sp_run_success_write(run.c_str(), 1, &err), SP_OK) << err.message;
  }
}

class Compare : public ::testing::Test {
 protected:
  std::string A() const {
    return scratch_ / "a";
  }
  std::string B() const {
    return scratch_ / "b";
  }

  // Sample in a, changed in b.
  void Build(const std::function<void(Utts &)> &change, const RunOptions &options = {}) {
    Utts utts = Sample();
    BuildRun(A(), utts, options);
    change(utts);
    BuildRun(B(), utts, options);
  }

  // "one", "two" and "three" with first-pass scores -1, -2, ..
  void WriteArchive(const std::string &lines) {
    WriteFile(scratch_ / "x.jsonl", lines);
  }

  sp_status Run(const char *weight = nullptr, bool archive = false) {
    std::string path = scratch_ / "x.jsonl", a = A(), b = B();
    const char *paths[] = {path.c_str()};
    sp_compare_options options{};
    options.a = a.c_str();
    options.b = b.c_str();
    options.paths = paths;
    options.n_paths = archive;
    if (weight) {
      EXPECT_EQ(sp_named_weights_parse(weight, "weight", &options.combination.second, &err_),
                SP_OK);
      EXPECT_EQ(sp_named_weights_parse("score=1", "first", &options.combination.first, &err_),
                SP_OK);
    }
    sp_compare *compare = nullptr;
    answers_.clear();
    SP_TRY(sp_compare_open(&options, &compare, &err_));
    sp_status status;
    bool found = true;
    while ((status = Next(compare, &found)) == SP_OK && found) {
    }
    sp_compare_get_result(compare, &result_);
    sp_compare_close(compare);
    return status;
  }

  sp_status Next(sp_compare *compare, bool *found) {
    sp_compare_utt utt;
    SP_TRY(sp_compare_next(compare, &utt, found, &err_));
    if (*found && utt.best_a.data) {
      answers_.push_back(std::string(utt.best_a.data, utt.best_a.len) + "/" +
                         std::string(utt.best_b.data, utt.best_b.len));
    }
    return SP_OK;
  }

  // The message after a refusal.
  std::string Refused(sp_status expected, const char *weight = nullptr, bool archive = false) {
    EXPECT_EQ(Run(weight, archive), expected) << err_.message;
    std::string message = err_.message;
    for (size_t at; (at = message.find(scratch_.path() + "/")) != std::string::npos;) {
      message.erase(at, scratch_.path().size() + 1);
    }
    return message;
  }

  static constexpr const char *kArchive =
      "{\"id\":\"one\",\"ref\":\"a\",\"hyps\":[{\"text\":\"a\",\"score\":-1},"
      "{\"text\":\"b\",\"score\":-2}]}\n"
      "{\"id\":\"two\",\"ref\":\"c\",\"hyps\":[{\"text\":\"c\",\"score\":-1},"
      "{\"text\":\"d\",\"score\":-2},{\"text\":\"e\",\"score\":-3}]}\n"
      "{\"id\":\"three\",\"hyps\":[{\"text\":\"f\",\"score\":-1},{\"text\":\"g\",\"score\":-2}]}\n";

  Scratch scratch_;
  sp_error err_{};
  sp_compare_result result_{};
  std::vector<std::string> answers_;
};

TEST_F(Compare, EqualRunsDifferInNothing) {
  Build([](Utts &) {}, {"pll,cls", true, true, 0, "f32"});
  ASSERT_EQ(Run(), SP_OK) << err_.message;
  EXPECT_EQ(result_.utts, 3u);
  EXPECT_EQ(result_.hyps, 7u);
  EXPECT_EQ(result_.differing_utts, 0u);
  ASSERT_EQ(result_.n_methods, 2u);
  EXPECT_EQ(result_.methods[0].method, SP_PLL);
  EXPECT_EQ(result_.methods[0].hyps.compared, 7u);
  EXPECT_TRUE(result_.methods[0].has_tokens);
  EXPECT_EQ(result_.methods[0].tokens.compared, 10u);
  EXPECT_EQ(result_.methods[1].method, SP_CLS);
  EXPECT_FALSE(result_.methods[1].has_tokens);
  for (size_t m = 0; m < 2; m++) {
    EXPECT_EQ(result_.methods[m].hyps.differ, 0u);
    EXPECT_EQ(result_.methods[m].hyps.largest, 0.0);
    EXPECT_EQ(result_.methods[m].changed_best, 0u);
    EXPECT_STREQ(result_.methods[m].furthest.id, "");
  }
  EXPECT_FALSE(result_.has_totals);
}

TEST_F(Compare, ScoresThatMovedAreFoundAndTheFurthestIsNamed) {
  Build([](Utts &utts) {
    utts[0].hyps[0].pll = std::nextafterf(-4.0f, 0.0f);
    utts[2].hyps[0].pll = -5.5f;  // now better than -6
  });
  ASSERT_EQ(Run(), SP_OK) << err_.message;
  const sp_compare_method &pll = result_.methods[0];
  EXPECT_EQ(pll.hyps.differ, 2u);
  EXPECT_EQ(pll.hyps.largest, 2.5);
  EXPECT_EQ(pll.hyps.quantiles[0], 0.0);
  EXPECT_EQ(pll.hyps.quantiles[3], 2.5);
  EXPECT_NEAR(pll.hyps.mean, 2.5 / 7, 1e-6);
  EXPECT_STREQ(pll.furthest.id, "three");
  EXPECT_EQ(pll.furthest.rank, 0u);
  EXPECT_EQ(pll.furthest.a, -8.0f);
  EXPECT_EQ(pll.furthest.b, -5.5f);
  EXPECT_EQ(pll.changed_best, 1u);
  EXPECT_EQ(result_.changed_best, 1u);
  EXPECT_EQ(result_.differing_utts, 2u);
}

TEST_F(Compare, NullsThatAppearAndVanish) {
  Utts utts = Sample();
  utts[1].hyps[2].pll = kNull;
  utts[0].hyps[0].pll = kNull;
  BuildRun(A(), utts);
  utts[0].hyps[0].pll = -4;
  utts[0].hyps[1].pll = kNull;  // the best of its list: another one is
  utts[0].hyps[1].flag = SP_FLAG_TOO_LONG;
  utts[2].hyps[0].pll = kNull;
  BuildRun(B(), utts);
  ASSERT_EQ(Run(), SP_OK) << err_.message;
  const sp_compare_method &pll = result_.methods[0];
  EXPECT_EQ(pll.hyps.compared, 3u);
  EXPECT_EQ(pll.hyps.nulls, 1u);
  EXPECT_EQ(pll.hyps.nulls_appeared, 2u);
  EXPECT_EQ(pll.hyps.nulls_vanished, 1u);
  EXPECT_EQ(pll.changed_best, 1u);
  EXPECT_EQ(result_.flags_differ, 1u);
  EXPECT_EQ(result_.differing_utts, 2u);
}

TEST_F(Compare, PerTokenValuesUnlessTheCountsDiffer) {
  Build(
      [](Utts &utts) {
        utts[1].hyps[1].logp[1] = -4.25f;
        utts[2].hyps[1].logp = {-3, -3};
      },
      {"pll", true, true, 0, "f32"});
  ASSERT_EQ(Run(), SP_OK) << err_.message;
  const sp_compare_method &pll = result_.methods[0];
  EXPECT_EQ(pll.tokens.compared, 9u);
  EXPECT_EQ(pll.tokens.differ, 1u);
  EXPECT_EQ(pll.tokens.largest, 0.25);
  EXPECT_EQ(pll.hyps.differ, 0u);
  EXPECT_EQ(result_.counts_differ, 1u);
  EXPECT_EQ(result_.differing_utts, 2u);
}

TEST_F(Compare, OnlyCommonMethodsAndOnlyWhereBothArePerToken) {
  BuildRun(A(), Sample(), {"pll,cls", true, true, 0, "f32"});
  BuildRun(B(), Sample(), {"pll", false, true, 0, "bf16"});
  ASSERT_EQ(Run(), SP_OK) << err_.message;
  ASSERT_EQ(result_.n_methods, 1u);
  EXPECT_EQ(result_.methods[0].method, SP_PLL);
  EXPECT_FALSE(result_.methods[0].has_tokens);
}

TEST_F(Compare, EqualScoresKeepTheOriginalOrder) {
  Build([](Utts &utts) { utts[0].hyps[0].pll = -3; });  // as good as its second
  ASSERT_EQ(Run(), SP_OK) << err_.message;
  EXPECT_EQ(result_.changed_best, 1u);
}

TEST_F(Compare, TotalsRankWithTheFirstPass) {
  Build([](Utts &utts) { utts[0].hyps[1].pll = -0.5f; });
  WriteArchive(kArchive);
  ASSERT_EQ(Run("pll=0.5", true), SP_OK) << err_.message;
  // one: -1 - 2, -2 - 1.5 in a; -2 - 0.25 in b.  three: -1 - 4, -2 - 3 are equal.
  EXPECT_EQ(answers_, (std::vector<std::string>{"a/b", "c/c", "f/f"}));
  EXPECT_TRUE(result_.has_totals);
  EXPECT_EQ(result_.changed_best, 1u);
  EXPECT_EQ(result_.methods[0].changed_best, 0u);
  ASSERT_EQ(Run(nullptr, true), SP_OK) << err_.message;  // by pll alone
  EXPECT_EQ(answers_, (std::vector<std::string>{"b/b", "c/c", "g/g"}));
  EXPECT_EQ(result_.changed_best, 0u);
}

TEST_F(Compare, AListOfNullsKeepsItsFirst) {
  Build([](Utts &utts) {
    for (Hyp &hyp : utts[1].hyps) {
      hyp.pll = kNull;
    }
  });
  WriteArchive(kArchive);
  ASSERT_EQ(Run(nullptr, true), SP_OK) << err_.message;
  EXPECT_EQ(answers_, (std::vector<std::string>{"b/b", "c/c", "g/g"}));
  EXPECT_EQ(result_.changed_best, 0u);
  EXPECT_EQ(result_.methods[0].hyps.nulls_appeared, 3u);
}

TEST_F(Compare, RunsOfOtherUtterancesAreRefusedWithTheFirstOne) {
  struct {
    std::function<void(Utts &)> change;
    const char *message;
  } const cases[] = {
      {[](Utts &utts) { std::swap(utts[1], utts[2]); },
       "utterance 2 is two in a, three in b: not of one archive, or in another order"},
      {[](Utts &utts) { utts.pop_back(); }, "b ends before utterance 3, three, of a"},
      {[](Utts &utts) {
         utts.push_back({"four", {}});
       },
       "a ends before utterance 4, four, of b"},
      {[](Utts &utts) { utts[1].hyps.pop_back(); },
       "utterance 2, two, has 3 hypotheses in a, 2 in b"},
      {[](Utts &utts) { std::swap(utts[0].hyps[0].rank, utts[0].hyps[1].rank); },
       "utterance 1, one, has its hypotheses in another order in a than in b"},
  };
  for (const auto &c : cases) {
    std::filesystem::remove_all(A());
    std::filesystem::remove_all(B());
    Build(c.change);
    EXPECT_EQ(Refused(SP_EINPUT), c.message);
  }
}

TEST_F(Compare, RunsThatCannotBeReadAreRefused) {
  BuildRun(A(), Sample());
  EXPECT_EQ(Refused(SP_EDAMAGED), "b is no run directory: it has no run.json");
  BuildRun(B(), Sample(), {"pll", false, false, 0, "f32"});
  EXPECT_EQ(Refused(SP_ESHARD), "b is not complete; the command that began it finishes it");
  std::filesystem::remove_all(B());
  BuildRun(B(), Sample(), {"cls", false, true, 0, "f32"});
  EXPECT_EQ(Refused(SP_EINPUT), "a and b have no method in common");
}

TEST_F(Compare, AnArchiveOfOtherUtterancesIsRefused) {
  std::string archive = kArchive, first = archive.substr(0, archive.find('\n') + 1);
  std::string rest = archive.substr(first.size());
  Build([](Utts &) {});
  WriteArchive(first);
  EXPECT_EQ(Refused(SP_EINPUT, "pll=1", true), "the archive ends before utterance two of the runs");
  WriteArchive(rest + first);
  EXPECT_EQ(Refused(SP_EINPUT, "pll=1", true),
            "x.jsonl:1: the archive has two (3 hypotheses) where the runs have one (2)");
  WriteArchive(archive + "{\"id\":\"four\",\"hyps\":[]}\n");
  EXPECT_EQ(Refused(SP_EINPUT, "pll=1", true), "x.jsonl:4: the runs end before four");
}

TEST_F(Compare, RunsOfTheArchivesBeginning) {
  Build([](Utts &) {}, {"pll", false, true, 3, "f32"});
  WriteArchive(std::string(kArchive) + "{\"id\":\"four\",\"hyps\":[]}\n");
  EXPECT_EQ(Run("pll=1", true), SP_OK) << err_.message;
}

TEST_F(Compare, ACombinationThatCannotBeIsRefused) {
  Build([](Utts &) {});
  WriteArchive(kArchive);
  EXPECT_EQ(Refused(SP_EUSAGE, "llm=1", true),
            "the combination uses 'llm', which a and b do not both have");
  std::string archive = kArchive;
  for (size_t at; (at = archive.find(",\"score\":-")) != std::string::npos;) {
    archive.erase(at, 11);
  }
  WriteArchive(archive);
  EXPECT_EQ(Refused(SP_EINPUT, "pll=1", true),
            "no hypothesis has a total: does the archive lack the first pass's score?");
}

TEST(CompareIdentity, NamesWhatDiffersOnEitherSide) {
  json_t *a = json_pack("{s:{s:s,s:s,s:i},s:{s:s,s:i}}", "identity", "dtype", "f32", "model_hash",
                        "00", "old", 1, "info", "version", "0.1.0", "utts", 3);
  json_t *b = json_pack("{s:{s:s,s:s,s:i},s:{s:s,s:i}}", "identity", "dtype", "bf16", "model_hash",
                        "00", "new", 2, "info", "version", "0.2.0", "utts", 4);
  json_t *found = sp_compare_identity(a, b);
  char *text = json_dumps(found, JSON_COMPACT);
  EXPECT_STREQ(text,
               "[{\"member\":\"dtype\",\"a\":\"f32\",\"b\":\"bf16\"},"
               "{\"member\":\"old\",\"a\":1,\"b\":null},{\"member\":\"new\",\"a\":null,\"b\":2},"
               "{\"member\":\"version\",\"a\":\"0.1.0\",\"b\":\"0.2.0\"}]");
  free(text);
  json_decref(found);
  found = sp_compare_identity(a, a);
  EXPECT_EQ(json_array_size(found), 0u);
  json_decref(found);
  json_decref(a);
  json_decref(b);
}

}  // namespace
}  // namespace sp_test
