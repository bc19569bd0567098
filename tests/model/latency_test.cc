// latency_test.cc - latencies against brute force over paths, and the numbers that theory gives.
#include "latency.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <random>
#include <stdexcept>
#include <vector>

namespace {

// A graph of chosen cells, with its memory.
class Graph {
 public:
  Graph(size_t layers, size_t len) {
    graph_.layers = layers;
    graph_.len = len;
    graph_.words = (len + 63) / 64;
    row_.resize(layers * len * graph_.words);
    cut_.resize(layers * graph_.words);
    graph_.row = row_.data();
    graph_.cut = cut_.data();
  }
  void Set(size_t layer, size_t i, size_t j) {
    sp_mask_graph_row(&graph_, layer, i)[j / 64] |= uint64_t{1} << j % 64;
  }
  void Cut(size_t layer, size_t i) {
    cut_[layer * graph_.words + i / 64] |= uint64_t{1} << i % 64;
  }
  bool IsCut(size_t layer, size_t i) const {
    return cut_[layer * graph_.words + i / 64] >> i % 64 & 1;
  }
  const sp_mask_graph *get() const {
    return &graph_;
  }

 private:
  std::vector<uint64_t> row_, cut_;
  sp_mask_graph graph_{};
};

class Latency {
 public:
  explicit Latency(const sp_mask_graph *graph) {
    sp_error err{};
    if (sp_latency_create(graph, &latency_, &err) != SP_OK)
      throw std::runtime_error(err.message);
  }
  ~Latency() {
    sp_latency_release(&latency_);
  }
  Latency(const Latency &) = delete;
  Latency &operator=(const Latency &) = delete;
  size_t Of(size_t i) const {
    return sp_latency_of(&latency_, latency_.layers, i);
  }
  bool Clipped(size_t i) const {
    return sp_latency_is_clipped(&latency_, latency_.layers, i);
  }
  const sp_latency *get() const {
    return &latency_;
  }

 private:
  sp_latency latency_{};
};

sp_lookahead Rule(sp_mask_policy policy, std::vector<uint32_t> reach = {}) {
  sp_lookahead rule{};
  rule.policy = policy;
  rule.n_reach = reach.size();
  std::copy(reach.begin(), reach.end(), rule.reach);
  return rule;
}

// A graph and its latencies under a rule.
struct Ruled {
  sp_mask_graph graph{};
  std::unique_ptr<Latency> latency;
  Ruled(const sp_lookahead &rule, size_t layers, size_t len, const uint32_t *bits = nullptr) {
    sp_error err{};
    if (sp_mask_graph_create(&rule, layers, len, bits, &graph, &err) != SP_OK)
      throw std::runtime_error(err.message);
    latency = std::make_unique<Latency>(&graph);
  }
  ~Ruled() {
    sp_mask_graph_release(&graph);
  }
};

// The farthest input on any path down from node (layer, i), and whether a cut node is on one.
struct Farthest {
  size_t input;
  bool cut;
};
Farthest Search(const Graph &graph, size_t layer, size_t i) {
  if (layer == 0)
    return {i, false};
  size_t last = graph.get()->len - 1;
  Farthest found = Search(graph, layer - 1, i);
  if (graph.IsCut(layer - 1, i))
    found = {last, true};
  for (size_t j = 0; j <= last; j++) {
    if (!sp_mask_graph_sees(graph.get(), layer - 1, i, j))
      continue;
    Farthest below = Search(graph, layer - 1, j);
    found.input = std::max(found.input, below.input);
    found.cut |= below.cut;
  }
  return found;
}

TEST(Latency, RecursionIsTheMaximumOverAllPaths) {
  std::mt19937 random(7);
  for (int trial = 0; trial < 4000; trial++) {
    size_t layers = 1 + random() % 4, len = 1 + random() % 8;
    double density = (random() % 100) / 100.0, cuts = trial % 2 ? 0.1 : 0.0;
    std::bernoulli_distribution edge(density), cut(cuts);
    Graph graph(layers, len);
    for (size_t l = 0; l < layers; l++) {
      for (size_t i = 0; i < len; i++) {
        for (size_t j = 0; j < len; j++)
          if (edge(random))
            graph.Set(l, i, j);
        if (cut(random))
          graph.Cut(l, i);
      }
    }
    Latency latency(graph.get());
    for (size_t i = 0; i < len; i++) {
      Farthest want = Search(graph, layers, i);
      ASSERT_EQ(latency.Of(i), want.input - i) << "trial " << trial << " output " << i;
      ASSERT_EQ(latency.Clipped(i), want.cut) << "trial " << trial << " output " << i;
    }
  }
}

TEST(Latency, GraphsOverSeveralWords) {
  Graph graph(2, 200);
  graph.Set(0, 3, 70);
  graph.Set(1, 2, 3);
  graph.Set(1, 199, 0);
  Latency latency(graph.get());
  EXPECT_EQ(latency.Of(2), 68u);
  EXPECT_EQ(latency.Of(3), 67u);
  EXPECT_EQ(latency.Of(199), 0u);
}

TEST(Latency, ThePastCarriesLatency) {
  Graph graph(2, 6);  // row 2 looks ahead to nothing, but row 1 below it waited for position 5
  graph.Set(0, 1, 5);
  graph.Set(1, 2, 1);
  EXPECT_EQ(Latency(graph.get()).Of(2), 3u);
}

TEST(Latency, LayerwiseAddsUpOverLayers) {
  for (size_t layers : {1, 3, 12}) {
    for (uint32_t reach : {1, 2, 5}) {
      size_t far = layers * reach, len = 100;
      Ruled ruled(Rule(SP_MASK_LAYERWISE, {reach}), layers, len);
      for (size_t i = 0; i < len; i++) {
        EXPECT_EQ(ruled.latency->Clipped(i), i + far >= len);
        EXPECT_EQ(ruled.latency->Of(i), std::min(far, len - 1 - i));
      }
    }
  }
}

TEST(Latency, ReachesOfLayersAddUp) {
  Ruled ruled(Rule(SP_MASK_LAYERWISE, {3, 0, 1}), 3, 20);
  EXPECT_EQ(ruled.latency->Of(5), 4u);
}

TEST(Latency, ChunkedStaysBelowItsChunkWhateverTheDepth) {
  for (size_t layers : {1, 2, 12}) {
    Ruled ruled(Rule(SP_MASK_CHUNKED, {5}), layers, 23);
    for (size_t i = 0; i < 20; i++) {
      EXPECT_EQ(ruled.latency->Of(i), 4 - i % 5);
      EXPECT_FALSE(ruled.latency->Clipped(i));
    }
    for (size_t i = 20; i < 23; i++)
      EXPECT_TRUE(ruled.latency->Clipped(i));
    EXPECT_EQ(ruled.latency->Of(20), 2u);
  }
}

TEST(Latency, CausalHasNoneAndFullWaitsForTheEnd) {
  Ruled causal(Rule(SP_MASK_CAUSAL), 4, 30), full(Rule(SP_MASK_FULL), 4, 30);
  for (size_t i = 0; i < 30; i++) {
    EXPECT_EQ(causal.latency->Of(i), 0u);
    EXPECT_EQ(full.latency->Of(i), 29 - i);
    EXPECT_FALSE(causal.latency->Clipped(i));
    EXPECT_FALSE(full.latency->Clipped(i));
  }
}

TEST(Latency, ALeftWindowLetsGoOfOldLatency) {
  // Row 0 of layer 0 sees position 6; only rows near it may inherit that.
  std::vector<uint32_t> bits(2 * 10, 0);
  bits[0] = 1u << 5;
  sp_lookahead rule = Rule(SP_MASK_DYNAMIC, {6});
  EXPECT_EQ(Ruled(rule, 2, 10, bits.data()).latency->Of(3), 3u);
  rule.left = 2;
  EXPECT_EQ(Ruled(rule, 2, 10, bits.data()).latency->Of(2), 4u);
  EXPECT_EQ(Ruled(rule, 2, 10, bits.data()).latency->Of(3), 0u);
}

TEST(Latency, ADynamicRowThatAsksBeyondTheEndWaitsForTheEnd) {
  std::vector<uint32_t> bits(8, 0);
  bits[6] = 0b10;  // position 8 of 8: not there
  bits[3] = 0b10;  // position 5
  Ruled ruled(Rule(SP_MASK_DYNAMIC, {2}), 1, 8, bits.data());
  EXPECT_EQ(ruled.latency->Of(3), 2u);
  EXPECT_FALSE(ruled.latency->Clipped(3));
  EXPECT_EQ(ruled.latency->Of(6), 1u);
  EXPECT_TRUE(ruled.latency->Clipped(6));
}

sp_latency_stats Stats(const sp_lookahead &rule, size_t layers, std::vector<size_t> lens,
                       const uint32_t *bits = nullptr) {
  sp_latency_counts counts{};
  sp_latency_costs costs = sp_latency_default_costs(layers);
  sp_error err{};
  for (size_t len : lens)
    EXPECT_EQ(sp_latency_measure(&rule, layers, len, bits, &costs, &counts, &err), SP_OK);
  sp_latency_stats stats = sp_latency_stats_of(&counts);
  sp_latency_counts_release(&counts);
  return stats;
}

TEST(LatencyStats, LeaveOutTheEndsAndWhatIsClipped) {
  sp_latency_stats got = Stats(Rule(SP_MASK_LAYERWISE, {2}), 2, {12});
  EXPECT_EQ(got.value[SP_LATENCY_OUTPUTS], 10u);  // positions 1 to 10
  EXPECT_EQ(got.value[SP_LATENCY_CLIPPED], 3u);   // 8, 9, 10: 4 more than 11
  EXPECT_EQ(got.value[SP_LATENCY_MEAN], 4.0f);
  EXPECT_EQ(got.value[SP_LATENCY_MAX], 4.0f);
  EXPECT_EQ(got.value[SP_LATENCY_EMISSION], 4.0f);
  EXPECT_EQ(got.value[SP_LATENCY_CLIPPED_MEAN], 2.0f);  // 3, 2, 1
}

TEST(LatencyStats, NearestRanks) {
  sp_latency_counts counts{};
  sp_error err{};
  for (size_t v = 1; v <= 10; v++)
    ASSERT_EQ(sp_latency_counts_note(&counts, v, v, &err), SP_OK);
  sp_latency_stats got = sp_latency_stats_of(&counts);
  EXPECT_EQ(got.value[SP_LATENCY_P50], 5.0f);
  EXPECT_EQ(got.value[SP_LATENCY_P90], 9.0f);
  EXPECT_EQ(got.value[SP_LATENCY_P99], 10.0f);
  EXPECT_EQ(got.value[SP_LATENCY_MAX], 10.0f);
  EXPECT_EQ(got.value[SP_LATENCY_MEAN], 5.5f);
  sp_latency_counts_release(&counts);
}

TEST(LatencyStats, AgainstSortedValues) {
  std::mt19937 random(3);
  for (int trial = 0; trial < 200; trial++) {
    sp_latency_counts parts[2] = {};
    std::vector<size_t> values;
    sp_error err{};
    for (size_t n = 1 + random() % 300; n > 0; n--) {
      values.push_back(random() % 40);
      ASSERT_EQ(sp_latency_counts_note(&parts[n % 2], values.back(), 0, &err), SP_OK);
    }
    ASSERT_EQ(sp_latency_counts_add(&parts[0], &parts[1], &err), SP_OK);
    std::sort(values.begin(), values.end());
    auto rank = [&](double percent) {
      return static_cast<float>(
          values[static_cast<size_t>(std::ceil(percent / 100 * values.size() - 1e-9)) - 1]);
    };
    sp_latency_stats got = sp_latency_stats_of(&parts[0]);
    EXPECT_EQ(got.value[SP_LATENCY_P50], rank(50));
    EXPECT_EQ(got.value[SP_LATENCY_P90], rank(90));
    EXPECT_EQ(got.value[SP_LATENCY_P99], rank(99));
    EXPECT_EQ(got.value[SP_LATENCY_MAX], static_cast<float>(values.back()));
    sp_latency_counts_release(&parts[0]);
    sp_latency_counts_release(&parts[1]);
  }
}

TEST(LatencyStats, InOrderOutputsWaitForEarlierOnes) {
  std::vector<uint32_t> bits(10, 0);
  bits[2] = 1u << 3;  // output 2 waits for position 6; 3, 4, 5 are ready before it
  sp_latency_stats got = Stats(Rule(SP_MASK_DYNAMIC, {4}), 1, {10}, bits.data());
  EXPECT_FLOAT_EQ(got.value[SP_LATENCY_MEAN], 4.0f / 8);
  EXPECT_FLOAT_EQ(got.value[SP_LATENCY_EMISSION], (4.0f + 3 + 2 + 1) / 8);
}

TEST(LatencyStats, AnExemptClsRowIsNoOutput) {
  sp_lookahead rule = Rule(SP_MASK_CAUSAL);
  rule.cls_view = sp_lookahead::SP_CLS_LAST_LAYER;
  sp_latency_stats got = Stats(rule, 2, {10});
  EXPECT_EQ(got.value[SP_LATENCY_MEAN], 0.0f);
  EXPECT_EQ(got.value[SP_LATENCY_EMISSION], 0.0f);
}

TEST(LatencyStats, NothingCountedIsNotANumber) {
  sp_latency_stats got = Stats(Rule(SP_MASK_LAYERWISE, {20}), 2, {12});
  EXPECT_EQ(got.value[SP_LATENCY_CLIPPED], got.value[SP_LATENCY_OUTPUTS]);
  EXPECT_TRUE(std::isnan(got.value[SP_LATENCY_MEAN]) && std::isnan(got.value[SP_LATENCY_P50]) &&
              std::isnan(got.value[SP_LATENCY_EMISSION]));
  EXPECT_TRUE(std::isnan(Stats(Rule(SP_MASK_CAUSAL), 2, {12}).value[SP_LATENCY_CLIPPED_MEAN]));
}

sp_backlog Backlog(const Ruled &ruled, const sp_latency_costs &costs,
                   const bool *scheduled = nullptr) {
  sp_backlog backlog{};
  sp_error err{};
  EXPECT_EQ(
      sp_latency_backlog(&ruled.graph, ruled.latency->get(), scheduled, &costs, &backlog, &err),
      SP_OK);
  return backlog;
}

// Values of methods.md 2.7: three layers, unit costs, C = 3.5, T = 40.
TEST(LatencyBacklog, ToyValues) {
  sp_latency_costs costs{1, 0, 0, 3.5};
  const struct {
    sp_lookahead rule;
    double upl;
  } cases[] = {
      {Rule(SP_MASK_CAUSAL), 0},
      {Rule(SP_MASK_LAYERWISE, {2}), 3.29},
      {Rule(SP_MASK_LAYERWISE, {5}), 8.43},
      {Rule(SP_MASK_LAYERWISE, {10}), 17.0},
      {Rule(SP_MASK_CHUNKED, {3}), 1.43},
      {Rule(SP_MASK_CHUNKED, {6}), 3.57},
      {Rule(SP_MASK_CHUNKED, {11}), 7.43},
  };
  for (const auto &c : cases) {
    Ruled ruled(c.rule, 3, 40);
    EXPECT_NEAR(Backlog(ruled, costs).upl, c.upl, 0.005) << c.rule.policy << c.rule.reach[0];
  }
}

TEST(LatencyBacklog, NothingIsLeftWhereCapacityMeetsThePeak) {
  std::mt19937 random(5);
  for (int trial = 0; trial < 300; trial++) {
    size_t layers = 1 + random() % 4, len = 2 + random() % 30;
    std::vector<uint32_t> bits(layers * len);
    for (uint32_t &b : bits)
      b = random() & random() & 0xf;
    Ruled ruled(Rule(SP_MASK_DYNAMIC, {4}), layers, len, bits.data());
    const bool scheduled[] = {true, true, true, true};
    sp_latency_costs costs{1.5, 0.25, 0.125, 1e-3};
    sp_backlog scarce = Backlog(ruled, costs, scheduled);
    // Every cost is paid: the whole work, less what the capacity took.
    double work = 0;
    for (size_t l = 0; l < layers; l++) {
      for (size_t i = 0; i < len; i++) {
        work += 1.5 + 0.125;
        for (size_t j = 0; j < len; j++)
          work += sp_mask_graph_sees(&ruled.graph, l, i, j) * 0.25;
      }
    }
    EXPECT_NEAR(scarce.upl * 1e-3, work - 1e-3 * static_cast<double>(len), 1e-9 * work);
    costs.capacity = scarce.peak;
    EXPECT_EQ(Backlog(ruled, costs, scheduled).upl, 0);
    EXPECT_LE(Backlog(ruled, costs, scheduled).finish, 1);
    costs.capacity = scarce.peak * 0.9;
    EXPECT_GE(Backlog(ruled, costs, scheduled).finish, Backlog(ruled, costs, scheduled).upl);
  }
}

}  // namespace
