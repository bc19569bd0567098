// soft_backlog_test.cc - the soft backlog against the exact one, against drawn masks, and against slopes.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "soft_masks.h"

namespace {

using sp_test::RandomRule;
using sp_test::SoftMasks;

double Backlog(const SoftMasks &soft, const sp_latency_costs &costs, double scale = 0,
               std::vector<float> *gradient = nullptr) {
  sp_soft_masks masks = soft.get();
  sp_error err{};
  double backlog = NAN;
  EXPECT_EQ(
      sp_soft_backlog(&masks, &costs, &backlog, scale, gradient ? gradient->data() : nullptr, &err),
      SP_OK);
  return backlog;
}

double Exact(const SoftMasks &soft, const std::vector<uint32_t> &bits,
             const sp_latency_costs &costs) {
  sp_error err{};
  sp_mask_graph graph{};
  sp_latency latency{};
  sp_backlog backlog{};
  bool scheduled[SP_MAX_LAYERS];
  for (size_t l = 0; l < soft.layers; l++)
    scheduled[l] = sp_lookahead_reach(&soft.rule, l) > 0;
  EXPECT_EQ(sp_mask_graph_create(&soft.rule, soft.layers, soft.len, bits.data(), &graph, &err),
            SP_OK);
  EXPECT_EQ(sp_latency_create(&graph, &latency, &err), SP_OK);
  EXPECT_EQ(sp_latency_backlog(&graph, &latency, scheduled, &costs, &backlog, &err), SP_OK);
  sp_latency_release(&latency);
  sp_mask_graph_release(&graph);
  return backlog.upl;
}

sp_latency_costs RandomCosts(std::mt19937 &random, size_t layers) {
  sp_latency_costs costs{1, (random() % 3) / 8.0, (random() % 3) / 4.0, 0};
  costs.capacity = static_cast<double>(layers) * (0.5 + (random() % 100) / 100.0);
  return costs;
}

TEST(SoftBacklog, HardMasksHaveTheirExactBacklog) {
  std::mt19937 random(1);
  for (int trial = 0; trial < 3000; trial++) {
    size_t layers = 1 + random() % 5, len = 2 + random() % 40, most = 1 + random() % 6;
    sp_lookahead rule = RandomRule(random, layers, most);
    rule.cls_last = trial % 2;
    rule.cls_view = static_cast<decltype(rule.cls_view)>(random() % 3);
    SoftMasks soft(rule, layers, len, most + random() % 3);
    soft.FillHard(random, (random() % 100) / 100.0);
    sp_latency_costs costs = RandomCosts(random, layers);
    ASSERT_NEAR(Backlog(soft, costs), Exact(soft, soft.Bits(), costs), 1e-9) << "trial " << trial;
  }
}

// Values of methods.md 2.7: three layers, unit costs, C = 3.5, T = 40.
TEST(SoftBacklog, ToyValues) {
  const struct {
    size_t reach, chunk; /* chunk 0: layerwise */
    double backlog;
  } cases[] = {{0, 0, 0},    {2, 0, 3.29}, {5, 0, 8.43},  {10, 0, 17.0},
               {2, 3, 1.43}, {5, 6, 3.57}, {10, 11, 7.43}};
  for (const auto &c : cases) {
    sp_lookahead rule{};
    rule.policy = SP_MASK_DYNAMIC;
    rule.n_reach = 1;
    rule.reach[0] = static_cast<uint32_t>(c.reach);
    SoftMasks soft(rule, 3, 40, 10);
    for (size_t l = 0; l < 3; l++) {
      for (size_t i = 0; i < 40; i++)
        for (size_t r = 1; r <= soft.Room(l, i); r++)
          soft.At(l, i, r) = c.chunk == 0 || (i + r) / c.chunk == i / c.chunk;
    }
    EXPECT_NEAR(Backlog(soft, {1, 0, 0, 3.5}), c.backlog, 0.005) << c.reach << " " << c.chunk;
  }
}

// Mean number of nodes that are released in each period, of masks drawn cell by cell.
std::vector<double> DrawnWork(std::mt19937 &random, SoftMasks *soft, int draws) {
  std::vector<double> work(soft->len);
  std::uniform_real_distribution<float> uniform(0, 1);
  for (int draw = 0; draw < draws; draw++) {
    SoftMasks hard(soft->rule, soft->layers, soft->len, soft->reach);
    for (size_t l = 0; l < soft->layers; l++) {
      for (size_t i = 0; i < soft->len; i++)
        for (size_t r = 1; r <= soft->Room(l, i); r++)
          hard.At(l, i, r) = uniform(random) < soft->At(l, i, r);
    }
    sp_error err{};
    sp_mask_graph graph{};
    sp_latency latency{};
    EXPECT_EQ(
        sp_mask_graph_create(&hard.rule, hard.layers, hard.len, hard.Bits().data(), &graph, &err),
        SP_OK);
    EXPECT_EQ(sp_latency_create(&graph, &latency, &err), SP_OK);
    for (size_t node = soft->len; node < (soft->layers + 1) * soft->len; node++)
      work[latency.ready[node]] += 1.0 / draws;
    sp_latency_release(&latency);
    sp_mask_graph_release(&graph);
  }
  return work;
}

// A capacity that only the last period exceeds leaves the expected work of that one less itself.
TEST(SoftBacklog, ExpectedWorkIsThatOfDrawnMasks) {
  std::mt19937 random(2);
  int compared = 0;
  for (int trial = 0; trial < 16; trial++) {
    size_t layers = 1 + trial % 4, len = 6;
    sp_lookahead rule = RandomRule(random, layers, 3);
    SoftMasks soft(rule, layers, len, 3);
    soft.FillSoft(random);
    std::vector<double> work = DrawnWork(random, &soft, 20000);
    double capacity = 0.1 + *std::max_element(work.begin(), work.end() - 1);
    if (work.back() < capacity + 1)
      continue;
    double expected = (Backlog(soft, {1, 0, 0, capacity}) + 1) * capacity;
    // Nodes of one layer hang together from the second on: what reads them is released no sooner than so.
    EXPECT_GE(expected, work.back() - 0.05) << layers;
    EXPECT_LE(expected, work.back() + (layers <= 2 ? 0.05 : 1)) << layers;
    compared++;
  }
  EXPECT_GE(compared, 8);
}

TEST(SoftBacklog, GradientIsTheSlope) {
  std::mt19937 random(3);
  size_t compared = 0, empty = 0;
  for (int trial = 0; trial < 150; trial++) {
    size_t layers = 1 + random() % 4, len = 2 + random() % 10, most = 1 + random() % 4;
    sp_lookahead rule = RandomRule(random, layers, most);
    rule.cls_last = trial % 2;
    rule.cls_view = static_cast<decltype(rule.cls_view)>(random() % 3);
    SoftMasks soft(rule, layers, len, most + random() % 2);
    soft.FillSoft(random);
    sp_latency_costs costs = RandomCosts(random, layers);
    std::vector<float> got(soft.cells());
    empty += Backlog(soft, costs, 0.5, &got) == 0;
    std::vector<double> want = sp_test::Slopes(&soft, [&] { return 0.5 * Backlog(soft, costs); });
    for (size_t c = 0; c < got.size(); c++)
      ASSERT_NEAR(got[c], want[c], 2e-6 * (1 + std::fabs(want[c]))) << "trial " << trial;
    compared += got.size();
  }
  EXPECT_GT(compared, 3000u);
  EXPECT_LT(empty, 75u);
}

TEST(SoftBacklog, ZerosAndOnesHaveSlopesToo) {
  std::mt19937 random(4);
  for (int trial = 0; trial < 100; trial++) {
    SoftMasks soft(RandomRule(random, 3, 3), 3, 8, 3);
    soft.FillHard(random, 0.5);
    sp_latency_costs costs{1, 0.25, 0, 2.9 + 0.001 * trial};
    std::vector<float> got(soft.cells());
    Backlog(soft, costs, 1, &got);
    // A polynomial in the cells, so that values beyond [0, 1] are as good.
    std::vector<double> want = sp_test::Slopes(&soft, [&] { return Backlog(soft, costs); });
    for (size_t c = 0; c < got.size(); c++)
      ASSERT_NEAR(got[c], want[c], 2e-6 * (1 + std::fabs(want[c]))) << "trial " << trial;
  }
}

TEST(SoftBacklog, NothingLeftHasNoGradient) {
  std::mt19937 random(5);
  SoftMasks soft(RandomRule(random, 3, 3), 3, 12, 3);
  soft.FillSoft(random);
  std::vector<float> gradient(soft.cells());
  EXPECT_EQ(Backlog(soft, {1, 0.5, 0, 1000}, 1, &gradient), 0);
  EXPECT_EQ(gradient, std::vector<float>(soft.cells(), 0));
}

}  // namespace
