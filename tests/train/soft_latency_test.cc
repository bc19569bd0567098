// soft_latency_test.cc - soft latencies against exact ones, against all edges, and against slopes.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "soft_masks.h"

namespace {

using sp_test::RandomRule;
using sp_test::SoftMasks;

std::vector<double> Latency(const SoftMasks &soft) {
  sp_soft_masks masks = soft.get();
  std::vector<double> latency(soft.len),
      scratch(sp_soft_latency_scratch(soft.len, soft.layers) / sizeof(double) + 1);
  sp_soft_latency(&masks, latency.data(), scratch.data());
  return latency;
}

std::vector<float> Gradient(const SoftMasks &soft, const std::vector<double> &weight) {
  sp_soft_masks masks = soft.get();
  std::vector<double> latency(soft.len),
      scratch(sp_soft_latency_scratch(soft.len, soft.layers) / sizeof(double) + 1);
  std::vector<float> gradient(soft.cells());
  sp_soft_latency(&masks, latency.data(), scratch.data());
  sp_soft_latency_backward(&masks, weight.data(), gradient.data(), scratch.data());
  return gradient;
}

// Of the rounded masks, by the exact tools. No row is cut, as only keys that are there are asked for.
std::vector<double> Exact(const SoftMasks &soft) {
  sp_error err{};
  sp_mask_graph graph{};
  sp_latency latency{};
  const std::vector<uint32_t> bits = soft.Bits();
  EXPECT_EQ(sp_mask_graph_create(&soft.rule, soft.layers, soft.len, bits.data(), &graph, &err),
            SP_OK);
  EXPECT_EQ(sp_latency_create(&graph, &latency, &err), SP_OK);
  std::vector<double> out;
  for (size_t i = 0; i < soft.len; i++)
    out.push_back(static_cast<double>(sp_latency_of(&latency, soft.layers, i)));
  sp_latency_release(&latency);
  sp_mask_graph_release(&graph);
  return out;
}

// The definition, over every edge of every row.
std::vector<double> Plain(SoftMasks *soft) {
  std::vector<double> below(soft->len, 0), above(soft->len);
  for (size_t l = 0; l < soft->layers; l++) {
    for (size_t i = 0; i < soft->len; i++) {
      above[i] = below[i];
      for (size_t j = 0; j < soft->len; j++) {
        bool past = j <= i && (soft->rule.left == 0 || i - j <= soft->rule.left);
        bool ahead = j > i && j - i <= soft->Room(l, i);
        double a = past ? 1 : ahead ? soft->At(l, i, j - i) : 0;
        double distance = static_cast<double>(j) - static_cast<double>(i);
        if (past || ahead)
          above[i] = std::max(above[i], a * (distance + below[j]));
      }
    }
    below = above;
  }
  return above;
}

TEST(SoftLatency, HardMasksHaveTheirExactLatency) {
  std::mt19937 random(1);
  for (int trial = 0; trial < 3000; trial++) {
    size_t layers = 1 + random() % 5, len = 2 + random() % 40, most = 1 + random() % 6;
    SoftMasks soft(RandomRule(random, layers, most), layers, len, most + random() % 3);
    soft.FillHard(random, (random() % 100) / 100.0);
    ASSERT_EQ(Latency(soft), Exact(soft)) << "trial " << trial;
  }
}

TEST(SoftLatency, IsTheLargestOverAllEdges) {
  std::mt19937 random(2);
  for (int trial = 0; trial < 1000; trial++) {
    size_t layers = 1 + random() % 5, len = 2 + random() % 40, most = 1 + random() % 6;
    SoftMasks soft(RandomRule(random, layers, most), layers, len, most);
    soft.FillSoft(random);
    std::vector<double> got = Latency(soft), want = Plain(&soft);
    for (size_t i = 0; i < len; i++)
      ASSERT_NEAR(got[i], want[i], 1e-12) << "trial " << trial << " row " << i;
  }
}

TEST(SoftLatency, ThePastCarriesLatency) {
  sp_lookahead rule{};
  rule.policy = SP_MASK_DYNAMIC;
  rule.n_reach = 1;
  rule.reach[0] = 4;
  SoftMasks soft(rule, 2, 8, 4);
  soft.At(0, 1, 4) = 0.75f;
  EXPECT_EQ(Latency(soft), (std::vector<double>{0, 3, 2, 1, 0, 0, 0, 0}));
  std::vector<float> gradient = Gradient(soft, std::vector<double>(8, 1));
  EXPECT_EQ(gradient[1 * 4 + 3], 3 * 4.0f);  // of rows 1, 2 and 3
}

TEST(SoftLatency, GradientIsTheSlope) {
  std::mt19937 random(3);
  std::uniform_real_distribution<double> weight(-1, 1);
  size_t compared = 0, ties = 0;
  for (int trial = 0; trial < 60; trial++) {
    size_t layers = 1 + random() % 3, len = 2 + random() % 12, most = 1 + random() % 4;
    SoftMasks soft(RandomRule(random, layers, most), layers, len, most + random() % 2);
    soft.FillSoft(random);
    std::vector<double> weights(len);
    for (double &w : weights)
      w = weight(random);
    auto value = [&] {
      std::vector<double> latency = Latency(soft);
      return std::inner_product(latency.begin(), latency.end(), weights.begin(), 0.0);
    };
    std::vector<float> got = Gradient(soft, weights);
    std::vector<double> want = sp_test::Slopes(&soft, value);
    for (size_t c = 0; c < got.size(); c++) {
      // Where another path is nearly as long the slope is of neither.
      (std::fabs(got[c] - want[c]) <= 1e-5 * (1 + std::fabs(want[c])) ? compared : ties)++;
    }
  }
  EXPECT_GT(compared, 2000u);
  EXPECT_LT(ties, compared / 50);
}

TEST(SoftLatency, OfEqualPathsTheFirstHasTheGradient) {
  sp_lookahead rule{};
  rule.policy = SP_MASK_DYNAMIC;
  rule.n_reach = 1;
  rule.reach[0] = 2;
  SoftMasks soft(rule, 1, 3, 2);
  soft.At(0, 0, 1) = 1;
  soft.At(0, 0, 2) = 0.5f;  // as far as the first
  EXPECT_EQ(Latency(soft)[0], 1);
  EXPECT_EQ(Gradient(soft, {1, 0, 0}), (std::vector<float>{1, 0, 0, 0, 0, 0}));
}

TEST(SoftLatency, ASliceOfABatchIsTheSequenceAlone) {
  std::mt19937 random(4);
  SoftMasks soft(RandomRule(random, 3, 4), 3, 9, 4);
  soft.FillSoft(random);
  const size_t rows = 30, start = 11;
  std::vector<float> batch(3 * rows * 4, 9), gradient(batch.size());
  for (size_t l = 0; l < 3; l++)
    std::copy_n(soft.data() + l * 9 * 4, 9 * 4, batch.begin() + (l * rows + start) * 4);
  sp_soft_masks masks = soft.get();
  masks.a = batch.data() + start * 4;
  masks.stride = rows;
  std::vector<double> latency(9), ones(9, 1), scratch(sp_soft_latency_scratch(9, 3) / 8 + 1);
  sp_soft_latency(&masks, latency.data(), scratch.data());
  EXPECT_EQ(latency, Latency(soft));
  sp_soft_latency_backward(&masks, ones.data(), gradient.data() + start * 4, scratch.data());
  std::vector<float> alone = Gradient(soft, ones);
  for (size_t l = 0; l < 3; l++) {
    for (size_t i = 0; i < rows * 4; i++) {
      bool inside = i >= start * 4 && i < (start + 9) * 4;
      EXPECT_EQ(gradient[l * rows * 4 + i], inside ? alone[l * 36 + i - start * 4] : 0);
    }
  }
}

TEST(SoftLatency, AnExemptClsRowWaitsForNothing) {
  std::mt19937 random(5);
  for (bool last : {false, true}) {
    for (auto view : {sp_lookahead::SP_CLS_LAST_LAYER, sp_lookahead::SP_CLS_HIDDEN}) {
      for (int trial = 0; trial < 50; trial++) {
        sp_lookahead rule = RandomRule(random, 3, 3);
        rule.cls_last = last;
        rule.cls_view = view;
        SoftMasks soft(rule, 3, 10, 3);
        soft.FillHard(random, 0.5);
        // The exact tools let hidden columns out of the rows, so that bits on them ask for nothing.
        std::vector<double> got = Latency(soft), want = Exact(soft);
        want[last ? 9 : 0] = 0;
        ASSERT_EQ(got, want) << last << view << trial;
        std::vector<double> weight(10, 0);
        weight[last ? 9 : 0] = 1;
        ASSERT_EQ(Gradient(soft, weight), std::vector<float>(soft.cells(), 0));
      }
    }
  }
}

}  // namespace
