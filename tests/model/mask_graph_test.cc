// mask_graph_test.cc - the rows of every policy, cell by cell against their rules.
#include "mask_graph.h"

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <vector>

namespace {

sp_lookahead Rule(sp_mask_policy policy, std::vector<uint32_t> reach) {
  sp_lookahead rule{};
  rule.policy = policy;
  rule.n_reach = reach.size();
  for (size_t l = 0; l < reach.size(); l++)
    rule.reach[l] = reach[l];
  return rule;
}

class Graph {
 public:
  Graph(const sp_lookahead &rule, size_t layers, size_t len, const uint32_t *bits = nullptr) {
    sp_error err{};
    if (sp_mask_graph_create(&rule, layers, len, bits, &graph_, &err) != SP_OK)
      throw std::runtime_error(err.message);
  }
  ~Graph() {
    sp_mask_graph_release(&graph_);
  }
  // A row a text: '1' where it sees.
  std::string Row(size_t layer, size_t i) const {
    std::string out;
    for (size_t j = 0; j < graph_.len; j++)
      out += sp_mask_graph_sees(&graph_, layer, i, j) ? '1' : '0';
    return out;
  }
  std::vector<std::string> Layer(size_t layer) const {
    std::vector<std::string> rows;
    for (size_t i = 0; i < graph_.len; i++)
      rows.push_back(Row(layer, i));
    return rows;
  }
  const sp_mask_graph *get() const {
    return &graph_;
  }

 private:
  sp_mask_graph graph_{};
};

using Rows = std::vector<std::string>;

TEST(MaskGraph, EveryPolicyCellByCell) {
  EXPECT_EQ(Graph(Rule(SP_MASK_FULL, {}), 1, 3).Layer(0), (Rows{"111", "111", "111"}));
  EXPECT_EQ(Graph(Rule(SP_MASK_CAUSAL, {}), 1, 3).Layer(0), (Rows{"100", "110", "111"}));
  EXPECT_EQ(Graph(Rule(SP_MASK_LAYERWISE, {2}), 1, 5).Layer(0),
            (Rows{"11100", "11110", "11111", "11111", "11111"}));
  EXPECT_EQ(Graph(Rule(SP_MASK_CHUNKED, {2}), 1, 5).Layer(0),
            (Rows{"11000", "11000", "11110", "11110", "11111"}));
}

TEST(MaskGraph, AReachForEachLayer) {
  Graph graph(Rule(SP_MASK_LAYERWISE, {1, 0}), 2, 3);
  EXPECT_EQ(graph.Layer(0), (Rows{"110", "111", "111"}));
  EXPECT_EQ(graph.Layer(1), (Rows{"100", "110", "111"}));
}

TEST(MaskGraph, DynamicRowsSeeTheirBits) {
  const uint32_t bits[] = {0b10, 0b00, 0b11, 0b11, /* layer 1, reach 0: not read */ 3, 3, 3, 3};
  Graph graph(Rule(SP_MASK_DYNAMIC, {2, 0}), 2, 4, bits);
  EXPECT_EQ(graph.Layer(0), (Rows{"1010", "1100", "1111", "1111"}));
  EXPECT_EQ(graph.Layer(1), (Rows{"1000", "1100", "1110", "1111"}));
}

TEST(MaskGraph, ALeftWindowCutsThePast) {
  sp_lookahead rule = Rule(SP_MASK_LAYERWISE, {1});
  rule.left = 1;
  EXPECT_EQ(Graph(rule, 1, 5).Layer(0), (Rows{"11000", "11100", "01110", "00111", "00011"}));
}

TEST(MaskGraph, TheClsRowSeesAllInTheLastLayerAlone) {
  sp_lookahead rule = Rule(SP_MASK_CAUSAL, {});
  rule.cls_view = sp_lookahead::SP_CLS_LAST_LAYER;
  Graph graph(rule, 2, 3);
  EXPECT_EQ(graph.Layer(0), (Rows{"100", "110", "111"}));
  EXPECT_EQ(graph.Layer(1), (Rows{"111", "110", "111"}));
}

TEST(MaskGraph, AHiddenClsRowIsSeenByNobodyElse) {
  sp_lookahead rule = Rule(SP_MASK_CAUSAL, {});
  rule.cls_view = sp_lookahead::SP_CLS_HIDDEN;
  EXPECT_EQ(Graph(rule, 1, 3).Layer(0), (Rows{"111", "010", "011"}));
  rule.cls_last = true;
  rule.policy = SP_MASK_LAYERWISE;
  rule.n_reach = 1;
  rule.reach[0] = 2;
  EXPECT_EQ(Graph(rule, 1, 3).Layer(0), (Rows{"110", "110", "111"}));
}

TEST(MaskGraph, BitsPastTheEndAreClear) {
  for (size_t len : {1, 63, 64, 65, 130}) {
    Graph graph(Rule(SP_MASK_FULL, {}), 1, len);
    for (size_t i = 0; i < len; i++) {
      size_t seen = 0;
      for (size_t w = 0; w < graph.get()->words; w++)
        seen += static_cast<size_t>(__builtin_popcountll(sp_mask_graph_row(graph.get(), 0, i)[w]));
      EXPECT_EQ(seen, len);
    }
  }
}

}  // namespace
