// mask_cone_test.cc - cones against a search over paths, on random graphs and known policies.
#include "mask_cone.h"

#include <gtest/gtest.h>

#include <functional>
#include <random>
#include <set>
#include <stdexcept>
#include <vector>

namespace {

using Node = std::pair<size_t, size_t>;

struct Graph {
  sp_mask_graph graph{};
  sp_latency latency{};
  explicit Graph(const char *mask, size_t layers, size_t len) {
    sp_lookahead rule{};
    sp_error err{};
    if (sp_lookahead_parse(mask, &rule, &err) != SP_OK ||
        sp_mask_graph_create(&rule, layers, len, nullptr, &graph, &err) != SP_OK)
      throw std::runtime_error(err.message);
    Measure();
  }
  // Each cell with probability `density`, the row itself not always among them.
  Graph(std::mt19937 *random, size_t layers, size_t len, double density)
      : Graph("causal", layers, len) {
    std::bernoulli_distribution coin(density);
    for (size_t l = 0; l < layers; l++)
      for (size_t i = 0; i < len; i++)
        for (size_t j = 0; j < len; j++) {
          uint64_t &word = sp_mask_graph_row(&graph, l, i)[j / 64], bit = uint64_t{1} << j % 64;
          word = coin(*random) ? word | bit : word & ~bit;
        }
    Measure();
  }
  void Measure() {
    sp_error err{};
    sp_latency_release(&latency);
    if (sp_latency_create(&graph, &latency, &err) != SP_OK)
      throw std::runtime_error(err.message);
  }
  ~Graph() {
    sp_latency_release(&latency);
    sp_mask_graph_release(&graph);
  }
  Graph(const Graph &) = delete;
  Graph &operator=(const Graph &) = delete;
};

std::set<Node> Cone(const sp_mask_graph &graph, size_t position) {
  sp_mask_cone cone{};
  sp_error err{};
  if (sp_mask_cone_create(&graph, position, &cone, &err) != SP_OK)
    throw std::runtime_error(err.message);
  std::set<Node> nodes;
  for (size_t l = 0; l <= graph.layers; l++)
    for (size_t j = 0; j < graph.len; j++)
      if (sp_mask_cone_has(&cone, l, j))
        nodes.insert({l, j});
  sp_mask_cone_release(&cone);
  return nodes;
}

// Every node met on a walk down from the output.
std::set<Node> Reached(const sp_mask_graph &graph, size_t position) {
  std::set<Node> seen;
  std::function<void(Node)> visit = [&](Node node) {
    if (!seen.insert(node).second || node.first == 0)
      return;
    for (size_t j = 0; j < graph.len; j++)
      if (j == node.second || sp_mask_graph_sees(&graph, node.first - 1, node.second, j))
        visit({node.first - 1, j});
  };
  visit({graph.layers, position});
  return seen;
}

// A path must follow edges and end in a node that waits that long by itself.
void ExpectPath(const Graph &g, size_t position) {
  std::vector<size_t> path(g.graph.layers + 1, 0);
  size_t end = sp_mask_cone_path(&g.graph, &g.latency, position, path.data());
  uint32_t when = g.latency.ready[g.graph.layers * g.graph.len + position];
  EXPECT_EQ(path[g.graph.layers], position);
  for (size_t l = g.graph.layers; l > end; l--) {
    EXPECT_TRUE(path[l] == path[l - 1] ||
                sp_mask_graph_sees(&g.graph, l - 1, path[l], path[l - 1]));
    EXPECT_EQ(g.latency.ready[(l - 1) * g.graph.len + path[l - 1]], when);
  }
  if (end == 0)
    EXPECT_EQ(path[0], when);
  else
    EXPECT_TRUE(g.graph.cut[(end - 1) * g.graph.words + path[end] / 64] >> path[end] % 64 & 1);
}

TEST(MaskCone, IsWhatASearchReaches) {
  std::mt19937 random(5);
  for (int round = 0; round < 300; round++) {
    size_t layers = 1 + random() % 5, len = 1 + random() % (round % 10 ? 20 : 150);
    Graph g(&random, layers, len, 0.02 + 0.3 * (round % 7) / 7.0);
    size_t position = random() % len;
    ASSERT_EQ(Cone(g.graph, position), Reached(g.graph, position)) << round;
  }
}

TEST(MaskCone, PathsFollowTheEdgesToWhatIsWaitedFor) {
  std::mt19937 random(6);
  for (int round = 0; round < 200; round++) {
    size_t len = 1 + random() % 80;
    Graph g(&random, 1 + random() % 5, len, 0.1);
    for (size_t i = 0; i < len; i++)
      ExpectPath(g, i);
  }
  for (const char *mask : {"full", "causal", "layerwise:1", "layerwise:2,0,3", "chunked:4"}) {
    Graph g(mask, 3, 19);
    for (size_t i = 0; i < 19; i++)
      ExpectPath(g, i);
  }
}

TEST(MaskCone, PoliciesHaveTheirShapes) {
  Graph causal("causal", 4, 20), layerwise("layerwise:2", 3, 70), full("full", 2, 9);
  EXPECT_EQ(Cone(causal.graph, 0).size(), 5u);
  EXPECT_EQ(Cone(causal.graph, 6).size(), 1u + 4 * 7);
  EXPECT_EQ(Cone(layerwise.graph, 60).size(), 1u + 63 + 65 + 67);
  EXPECT_EQ(Cone(full.graph, 3).size(), 1u + 9 + 9);
}

}  // namespace
