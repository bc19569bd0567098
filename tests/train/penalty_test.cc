// penalty_test.cc - the penalties of a step and what is counted beside them.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "soft_masks.h"

namespace {

using sp_test::RandomRule;
using sp_test::SoftMasks;

constexpr sp_penalty kAll[] = {SP_PENALTY_NONE, SP_PENALTY_NAIVE, SP_PENALTY_RELATIVE_EMA,
                               SP_PENALTY_RELATIVE_HINGE, SP_PENALTY_COMPUTATIONAL};

struct Step {
  sp_penalty_sums sums{};
  std::vector<std::vector<float>> gradient;
};

Step Add(sp_penalty kind, const std::vector<SoftMasks> &sequences, double average,
         double lambda = 1) {
  sp_penalty_rule rule{kind, lambda, {1, 0, 0, 0}};
  double positions = 0;
  for (const SoftMasks &s : sequences)
    positions += static_cast<double>(s.len);
  Step step;
  for (const SoftMasks &s : sequences) {
    sp_soft_masks masks = s.get();
    sp_error err{};
    step.gradient.emplace_back(s.cells());
    EXPECT_EQ(
        sp_penalty_add(&rule, &masks, average, positions, static_cast<double>(sequences.size()),
                       &step.sums, step.gradient.back().data(), &err),
        SP_OK);
  }
  return step;
}

std::vector<SoftMasks> RandomStep(std::mt19937 &random) {
  std::vector<SoftMasks> out;
  const sp_lookahead rule = RandomRule(random, 3, 3);
  for (size_t len : {5, 2, 11}) {
    out.emplace_back(rule, 3, len, 3);
    out.back().FillSoft(random);
  }
  return out;
}

TEST(Penalty, NamesAreRead) {
  for (sp_penalty kind : kAll) {
    sp_penalty read = SP_PENALTY_NONE;
    EXPECT_TRUE(sp_penalty_parse(sp_penalty_name(kind), &read));
    EXPECT_EQ(read, kind);
  }
  sp_penalty read;
  for (const char *text : {"", "Naive", "relative", "relative-ema ", "computational2"})
    EXPECT_FALSE(sp_penalty_parse(text, &read)) << text;
}

TEST(Penalty, GradientIsLambdaTimesTheSlope) {
  std::mt19937 random(1);
  for (sp_penalty kind : kAll) {
    size_t off = 0, all = 0;
    for (int trial = 0; trial < 8; trial++) {
      std::vector<SoftMasks> step = RandomStep(random);
      Step got = Add(kind, step, 0.8, 0.25);
      for (size_t s = 0; s < step.size(); s++) {
        std::vector<double> want =
            sp_test::Slopes(&step[s], [&] { return 0.25 * Add(kind, step, 0.8).sums.value; });
        for (size_t c = 0; c < want.size(); c++)
          off += !(std::fabs(got.gradient[s][c] - want[c]) <= 1e-5 * (0.01 + std::fabs(want[c])));
        all += want.size();
      }
    }
    EXPECT_LE(off, all / 50) << sp_penalty_name(kind);  // kinks of max
  }
}

TEST(Penalty, NaiveIsTheMeanOfWhatIsSeenAhead) {
  std::mt19937 random(2);
  std::vector<SoftMasks> step = RandomStep(random);
  double sum = 0, cells = 0;
  for (SoftMasks &s : step) {
    for (size_t l = 0; l < 3; l++) {
      for (size_t i = 0; i < s.len; i++) {
        for (size_t r = 1; r <= s.Room(l, i); r++) {
          sum += s.At(l, i, r);
          cells++;
        }
      }
    }
  }
  Step got = Add(SP_PENALTY_NAIVE, step, 0);
  EXPECT_NEAR(got.sums.value, sum / (3 * 18), 1e-12);
  EXPECT_NEAR(got.sums.lookahead, sum / 3, 1e-12);
  EXPECT_EQ(got.sums.cells, cells);
  EXPECT_EQ(got.sums.positions, 18);
}

TEST(Penalty, RelativeToTheAverage) {
  std::mt19937 random(3);
  std::vector<SoftMasks> step = RandomStep(random);
  double mean = Add(SP_PENALTY_NONE, step, 0).sums.latency / 18;
  EXPECT_GT(mean, 0);
  EXPECT_NEAR(Add(SP_PENALTY_RELATIVE_EMA, step, mean).sums.value, 1, 1e-12);
  EXPECT_NEAR(Add(SP_PENALTY_RELATIVE_EMA, step, 2 * mean).sums.value, 0.5, 1e-12);
  EXPECT_NEAR(Add(SP_PENALTY_RELATIVE_HINGE, step, 0).sums.value, mean, 1e-12);
  EXPECT_EQ(Add(SP_PENALTY_RELATIVE_HINGE, step, 1000).sums.value, 0);
  double some = Add(SP_PENALTY_RELATIVE_HINGE, step, mean).sums.value;
  EXPECT_TRUE(some > 0 && some < mean);
}

TEST(Penalty, BeforeTheFirstAverageThereIsNoRatio) {
  std::mt19937 random(4);
  std::vector<SoftMasks> step = RandomStep(random);
  Step got = Add(SP_PENALTY_RELATIVE_EMA, step, 0);
  EXPECT_EQ(got.sums.value, 0);
  for (const auto &gradient : got.gradient)
    EXPECT_EQ(gradient, std::vector<float>(gradient.size(), 0));
}

TEST(Penalty, ComputationalIsTheMeanBacklogOfACausalModelsCapacity) {
  std::mt19937 random(5);
  std::vector<SoftMasks> step = RandomStep(random);
  double sum = 0;
  for (SoftMasks &s : step) {
    sp_soft_masks masks = s.get();
    sp_latency_costs costs{1, 0, 0, 3};
    sp_error err{};
    double backlog = NAN;
    ASSERT_EQ(sp_soft_backlog(&masks, &costs, &backlog, 0, nullptr, &err), SP_OK);
    sum += backlog;
  }
  Step got = Add(SP_PENALTY_COMPUTATIONAL, step, 0);
  EXPECT_GT(sum, 0);
  EXPECT_NEAR(got.sums.value, sum / 3, 1e-12);
  EXPECT_NEAR(got.sums.backlog, sum, 1e-12);
  for (SoftMasks &s : step)
    std::memset(s.data(), 0, s.cells() * sizeof(float));
  EXPECT_EQ(Add(SP_PENALTY_COMPUTATIONAL, step, 0).sums.value, 0);
}

TEST(Penalty, CellsNearZeroOrOneAreSettled) {
  sp_lookahead rule{};
  rule.policy = SP_MASK_DYNAMIC;
  rule.n_reach = 1;
  rule.reach[0] = 3;
  SoftMasks soft(rule, 1, 4, 3, 0);  // six cells are there, the others 0 and not counted
  const float values[] = {0, 0.04f, 0.06f, 0.94f, 0.96f, 1};
  size_t at = 0;
  for (size_t i = 0; i < 4; i++)
    for (size_t r = 1; r <= soft.Room(0, i); r++)
      soft.At(0, i, r) = values[at++];
  sp_penalty_sums sums = Add(SP_PENALTY_NONE, {soft}, 0).sums;
  EXPECT_EQ(sums.cells, 6);
  EXPECT_EQ(sums.settled, 4);
}

TEST(Penalty, NoGradientIsAskedFor) {
  std::mt19937 random(6);
  for (sp_penalty kind : kAll) {
    std::vector<SoftMasks> step = RandomStep(random);
    sp_soft_masks masks = step[2].get();
    sp_penalty_rule rule{kind, 1, {1, 0, 0, 0}};
    sp_penalty_sums sums{};
    sp_error err{};
    ASSERT_EQ(sp_penalty_add(&rule, &masks, 0.5, 11, 1, &sums, nullptr, &err), SP_OK);
    EXPECT_NEAR(sums.value, Add(kind, {step[2]}, 0.5).sums.value, 1e-15);
  }
}

}  // namespace
