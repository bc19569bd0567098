// The rules of combination, each by a case that another rule would fail.
#include "combine.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

namespace sp_test {
namespace {

const double kNan = std::nan("");

sp_text Text(const char *s) {
  return {s, strlen(s)};
}

sp_hyp Hyp(const char *text, double score) {
  sp_hyp hyp{};
  hyp.text = Text(text);
  hyp.score = score;
  hyp.has_score = !std::isnan(score);
  return hyp;
}

sp_combination Combination(const char *first, const char *second) {
  sp_combination combination{};
  sp_error err{};
  EXPECT_EQ(sp_named_weights_parse(first, "first", &combination.first, &err), SP_OK);
  EXPECT_EQ(sp_named_weights_parse(second, "weight", &combination.second, &err), SP_OK);
  return combination;
}

double Total(const sp_combination &combination, const sp_hyp &hyp,
             const std::vector<sp_second> &second) {
  std::vector<double> x(combination.second.n + 2);
  sp_linear linear;
  sp_error err{};
  EXPECT_EQ(sp_features(&combination, &hyp, second.data(), x.data(), &err), SP_OK) << err.message;
  sp_combination_linear(&combination, &linear);
  return sp_total(&linear, x.data());
}

TEST(Combine, AdditiveAndConvex) {
  sp_combination c = Combination("score=2", "pll=0.25,llm=0.5");
  std::vector<sp_second> second = {{-8, true, 4}, {-6, true, 3}};
  EXPECT_EQ(Total(c, Hyp("a b c", -10), second), 2 * -10 + 0.25 * -8 + 0.5 * -6);
  c.bonus = 1.5;
  EXPECT_EQ(Total(c, Hyp(" a  b c ", -10), second), -25 + 4.5);
  c.kind = SP_COMBINE_CONVEX;
  EXPECT_EQ(Total(c, Hyp("a b c", -10), second), 0.25 * -20 - 2 - 3 + 4.5);
}

TEST(Combine, LengthNormsDivideTheSecondPassAlone) {
  sp_combination c = Combination("score=1", "pll=1");
  std::vector<sp_second> second = {{-8, true, 4}};
  sp_error err{};
  struct {
    const char *name;
    double total;
  } cases[] = {{"none", -18},   {"tokens", -12},           {"words", -14},
               {"gnmt:0", -18}, {"gnmt:1", -10 - 8 / 1.5}, {"gnmt:0.5", -10 - 8 / std::sqrt(1.5)}};
  for (const auto &one : cases) {
    ASSERT_EQ(sp_length_norm_parse(one.name, &c.norm, &c.gnmt_alpha, &err), SP_OK) << one.name;
    double diff = std::fabs(Total(c, Hyp("a b", -10), second) - one.total);
    EXPECT_TRUE(diff <= 1e-12) << one.name;
    sp_buf text{};
    ASSERT_EQ(sp_length_norm_text(&c, &text, &err), SP_OK);
    EXPECT_STREQ(sp_buf_cstr(&text), one.name);
    sp_buf_release(&text);
  }
  for (const char *bad :
       {"", "token", "gnmt", "gnmt:", "gnmt:x", "gnmt:-1", "gnmt:nan", "gnmt:11"}) {
    EXPECT_EQ(sp_length_norm_parse(bad, &c.norm, &c.gnmt_alpha, &err), SP_EUSAGE) << bad;
  }
}

TEST(Combine, ALengthOfNothingCountsAsOne) {
  sp_combination c = Combination("score=1", "llm=1");
  c.norm = SP_NORM_WORDS;
  EXPECT_EQ(Total(c, Hyp("", -1), {{-3, false, 0}}), -4);
}

TEST(Combine, WordsAreThoseOfErrorRates) {
  sp_combination c = Combination("score=1", "llm=1");
  c.bonus = 1;
  const char *text = "\u3000a\u00a0b \t\u2003caf\u00e9\u3000";
  EXPECT_EQ(Total(c, Hyp(text, -1), {{-3, false, 0}}), -4 + 3);
  c.norm = SP_NORM_WORDS;
  EXPECT_EQ(Total(c, Hyp(text, -1), {{-3, false, 0}}), -2 + 3);
}

TEST(Combine, TokenNormsNeedTokenCounts) {
  sp_combination c = Combination("score=1", "llm=1");
  c.norm = SP_NORM_TOKENS;
  sp_hyp hyp = Hyp("a", -1);
  sp_second second = {-3, false, 0};
  double x[3];
  sp_error err{};
  EXPECT_EQ(sp_features(&c, &hyp, &second, x, &err), SP_EINPUT);
  EXPECT_NE(strstr(err.message, "llm"), nullptr);
  second.value = kNan;  // nothing to divide
  EXPECT_EQ(sp_features(&c, &hyp, &second, x, &err), SP_OK);
}

TEST(Combine, WhatLacksAUsedScoreHasNoTotalWhateverTheWeight) {
  sp_combination c = Combination("score=1", "pll=0");
  EXPECT_TRUE(std::isnan(Total(c, Hyp("a", -1), {{kNan, true, 0}})));
  EXPECT_TRUE(std::isnan(Total(c, Hyp("a", kNan), {{-1, true, 1}})));
  EXPECT_TRUE(std::isnan(Total(c, Hyp("a", -1e300), {{-1, true, 1}})));
  EXPECT_TRUE(std::isnan(Total(c, Hyp("a", -1), {{-HUGE_VAL, true, 1}})));
  sp_combination unknown = Combination("ctc=1", "pll=1");
  EXPECT_TRUE(std::isnan(Total(unknown, Hyp("a", -1), {{-1, true, 1}})));
}

TEST(Combine, WithoutFirstPassComponentsOnlyTheSecondCounts) {
  sp_combination c = Combination("score=1", "pll=2");
  c.first.n = 0;
  EXPECT_EQ(Total(c, Hyp("a", kNan), {{-1, true, 1}}), -2);
}

TEST(Rank, IsStableAndPutsNullsLast) {
  std::vector<double> totals = {kNan, -2, -1, -2, kNan, -1};
  std::vector<uint32_t> order(totals.size());
  sp_rank(totals.data(), totals.size(), order.data());
  EXPECT_EQ(order, (std::vector<uint32_t>{2, 5, 1, 3, 0, 4}));
}

TEST(Rank, TheBestIsTheFirstOfTheRanking) {
  sp_linear linear{};
  linear.n = 1;
  linear.weights[0] = 1;
  std::vector<double> x = {kNan, 0, 1, -2, 0, 1, -1, 0, 1, -1, 0, 1};
  EXPECT_EQ(sp_best_of(&linear, x.data(), 4), 2u);
  EXPECT_EQ(sp_best_of(&linear, x.data(), 1), 0u);
}

TEST(NamedWeights, AreReadStrictly) {
  sp_named_weights weights;
  sp_error err{};
  ASSERT_EQ(sp_named_weights_parse("pll=0.35,a.b-c_1=-2e-3", "weight", &weights, &err), SP_OK);
  ASSERT_EQ(weights.n, 2u);
  EXPECT_EQ(weights.items[0].value, 0.35);
  EXPECT_STREQ(weights.items[1].name, "a.b-c_1");
  EXPECT_EQ(weights.items[1].value, -2e-3);
  for (const char *bad : {"", "pll", "pll=", "=1", "pll=1,", ",pll=1", "pll=1,pll=2", "pll=nan",
                          "pll=inf", "pll=1e10", "pll=0x1", "pll= 1", "1pll=1", "p/ll=1"}) {
    EXPECT_EQ(sp_named_weights_parse(bad, "weight", &weights, &err), SP_EUSAGE) << bad;
    EXPECT_NE(strstr(err.message, "--weight"), nullptr) << bad;
  }
}

}  // namespace
}  // namespace sp_test
