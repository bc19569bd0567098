// nodes_test.cc - each distinct node once: bit by bit the scores of the plain pass, and no more nodes
// than there are.
#include "nodes.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "golden.h"
#include "lookahead.h"
#include "score_ids.h"
#include "scratch.h"

namespace {

using sp_test::GoldenCase;
using sp_test::GoldenModel;
using sp_test::Scores;
using sp_test::ScoringModel;
using Members = std::map<std::string, std::string>;

// Lists of hypotheses that differ in a word here and there, words of one to three tokens, one text long
// enough for two mask words; equal ones and one of a single token among them.
std::vector<GoldenCase> Lists(unsigned seed) {
  std::mt19937 random(seed);
  std::vector<GoldenCase> cases;
  for (size_t list = 0; list < 4; list++) {
    std::vector<int32_t> text;
    for (size_t i = 0; i < (list == 3 ? 70 : 3 + random() % 9); i++)
      text.push_back(static_cast<int32_t>(10 + random() % 80));
    for (size_t hyp = 0; hyp < 5; hyp++) {
      GoldenCase one;
      std::vector<int32_t> ids = text;
      for (size_t edit = 0; edit < hyp % 4; edit++) {
        size_t at = random() % ids.size();
        if (random() % 3 == 0)
          ids.erase(ids.begin() + static_cast<long>(at));
        else
          ids[at] = static_cast<int32_t>(4 + random() % 86);  // [MASK] is 4
        if (ids.empty())
          ids.push_back(20);
      }
      uint32_t word = 0;
      for (size_t i = 0; i < ids.size(); i++) {
        word += i > 0 && (ids[i] + i) % 3 != 0;
        one.word.push_back(word);
      }
      one.ids = ids;
      cases.push_back(one);
    }
  }
  return cases;
}

struct Model {
  const char *name, *lookahead;
  Members members;
};

void PrintTo(const Model &model, std::ostream *out) { *out << model.name; }

const Model kModels[] = {
    {"causal", R"("policy": "causal")", {}},
    {"causal_left", R"("policy": "causal", "left": 4)", {}},
    {"layerwise", R"("policy": "layerwise", "max": 1)", {}},
    {"layers", R"("policy": "layerwise", "max": 3, "layers": [2, 0, 3], "left": 70)", {}},
    {"wide", R"("policy": "layerwise", "max": 32)", {}},
    {"chunked", R"("policy": "chunked", "chunk": 4)", {}},
    {"chunked_cls", R"("policy": "chunked", "chunk": 7, "cls": "last")", {}},
    {"last_layer", R"("policy": "layerwise", "max": 2, "cls_view": "last-layer")", {}},
    {"last_layer_sep", R"("policy": "causal", "cls": "last", "cls_view": "last-layer")", {}},
    {"dynamic", R"("policy": "dynamic", "max": 3)", {{"scheduler", "3"}}},
    {"seldom",
     R"("policy": "dynamic", "max": 8)",
     {{"scheduler", "8"}, {"scheduler_percent", "5"}}},
    {"shut",
     R"("policy": "dynamic", "max": 2)",
     {{"scheduler", "2"}, {"scheduler_percent", "0"}}},
    {"open",
     R"("policy": "dynamic", "max": 2, "cls_view": "last-layer")",
     {{"scheduler", "2"}, {"scheduler_percent", "100"}}},
    {"farthest", R"("policy": "dynamic", "max": 32)", {{"scheduler", "32"}}},
    {"span",
     R"("policy": "dynamic", "max": 4, "cells": "span", "tau": 2.5, "left": 5, "cls": "last")",
     {{"scheduler", "4"}, {"scheduler_percent", "80"}}},
    {"dynamic_layers",
     R"("policy": "dynamic", "max": 4, "layers": [4, 0, 2], "hidden_size": 12)",
     {{"scheduler", "4,0,2"}, {"scheduler_hidden", "12"}, {"scheduler_percent", "30"}}},
};

class Nodes : public testing::TestWithParam<std::tuple<Model, sp_compute>> {
 protected:
  void SetUp() override {
    const Model &from = std::get<0>(GetParam());
    GoldenModel golden;
    golden.random = {{"positions", "128"},
                     {"layers", "3"},
                     {"arch", "both"},
                     {"config_extra", "\"lookahead\": {" + std::string(from.lookahead) + "}"}};
    golden.random.insert(from.members.begin(), from.members.end());
    model_ = std::make_unique<ScoringModel>(
        sp_test::GoldenModelDirectory(golden, SP_SOURCE_DIR, scratch_ / "model"), "cpu",
        std::get<1>(GetParam()), true, true);
    ASSERT_TRUE(sp_nodes_fits(&model_->lookahead()));
  }
  std::vector<Scores> Score(const std::vector<GoldenCase> &cases,
                            const std::vector<std::string> &methods, unsigned savings) {
    return model_->Score(cases, methods, model_->lookahead(), savings);
  }

 private:
  sp_test::Scratch scratch_;
  std::unique_ptr<ScoringModel> model_;
};

TEST_P(Nodes, ScoreAsThePlainPassBitByBit) {
  const std::vector<std::vector<std::string>> sets = {
      {"pll"}, {"pll_l2r"}, {"maskless"}, {"cls"}, {"pll", "pll_l2r", "maskless", "cls"}};
  for (unsigned seed = 1; seed <= 3; seed++) {
    const std::vector<GoldenCase> cases = Lists(seed);
    for (const auto &methods : sets)
      EXPECT_EQ(Score(cases, methods, SP_SAVING_ALL),
                Score(cases, methods, SP_SAVING_ALL & ~SP_SAVING_NODES))
          << "seed " << seed << ", " << methods[0] << " and " << methods.size() - 1 << " more";
  }
}

INSTANTIATE_TEST_SUITE_P(Models, Nodes,
                         testing::Combine(testing::ValuesIn(kModels),
                                          testing::Values(SP_COMPUTE_F32, SP_COMPUTE_BF16)),
                         [](const auto &given) {
                           return std::get<0>(given.param).name +
                                  std::string(std::get<1>(given.param) ? "_bf16" : "_f32");
                         });

// ---- how many there are ----

// The nodes that scored rows depend on, told apart by what they are made of: a node's name spells its
// own child and every child that it sees, each with its slot.
class Counted : public testing::Test {
 protected:
  void SetUp() override {
    for (const GoldenCase &one : Lists(7)) {
      if (one.ids.size() < 20)
        cases_.push_back(one);
    }
    for (const GoldenCase &one : cases_)
      hyps_.push_back({one.ids.data(), one.word.data(), static_cast<uint32_t>(one.ids.size()), 0});
    rule_.dedupe = rule_.keep_lists = true;
    rule_.cls = 2;
    rule_.sep = 3;
    rule_.mask = 4;
    Build(1u << SP_PLL | 1u << SP_PLL_L2R | 1u << SP_MASKLESS);
  }
  void Build(unsigned methods) {
    rule_.methods = methods;
    sp_error err{};
    ASSERT_EQ(sp_plan_build(&plan_, hyps_.data(), hyps_.size(), &rule_, &err), SP_OK);
  }
  void TearDown() override { sp_plan_release(&plan_); }

  static bool Sees(const sp_lookahead &rule, size_t layer, size_t i, size_t j) {
    size_t reach = sp_lookahead_reach(&rule, layer);
    return rule.policy == SP_MASK_CHUNKED ? j <= i || j / reach == i / reach : j <= i + reach;
  }

  size_t Number(size_t level, const std::string &name) {
    auto &names = names_[level];
    return names.emplace(name, names.size()).first->second;
  }
  // Distinct nodes of the levels above 0.
  size_t BruteForce(const sp_lookahead &rule) {
    names_.assign(kLayers + 1, {});
    for (size_t s = 0; s < plan_.sequences; s++) {
      for (uint32_t r = plan_.sequence[s].row_first; r < plan_.sequence[s + 1].row_first; r++)
        NodeOf(rule, s, kLayers, plan_.row_position[r]);
    }
    size_t sum = 0;
    for (size_t level = 1; level <= kLayers; level++)
      sum += names_[level].size();
    return sum;
  }
  size_t NodeOf(const sp_lookahead &rule, size_t s, size_t level, size_t i) {
    const sp_sequence &seq = plan_.sequence[s];
    const int32_t *ids = plan_.base_ids + plan_.base_start[seq.base];
    std::string name = std::to_string(i) + ":";
    if (level == 0) {
      bool masked = i >= seq.mask_lo && i < seq.mask_hi;
      return Number(0, name + std::to_string(masked ? rule_.mask : ids[i]));
    }
    for (size_t j = 0; j < sp_plan_base_len(&plan_, seq.base); j++) {
      if (Sees(rule, level - 1, i, j))
        name += " " + std::to_string(NodeOf(rule, s, level - 1, j));
    }
    return Number(level, name);
  }
  // Under a dynamic rule every scheduler gives `word`.
  size_t Told(const sp_lookahead &rule, size_t tokens, size_t *batches, uint32_t word = 0) {
    const std::vector<uint32_t> bits(tokens, word);
    const sp_nodes_rule nodes_rule{&rule, kLayers, {tokens, tokens * 64}, rule_.mask};
    sp_nodes *nodes = nullptr;
    sp_error err{};
    size_t n = 0, sum = 0;
    EXPECT_EQ(sp_nodes_create(&nodes_rule, &nodes, &err), SP_OK);
    sp_batch_range *range = sp_nodes_cut(&plan_, &nodes_rule, &n);
    uint32_t next = 0;
    for (size_t b = 0; b < n; b++) {
      sp_node_inputs inputs;
      sp_node_level level;
      EXPECT_EQ(range[b].first, next);
      next += range[b].count;
      sp_nodes_begin(nodes, &plan_, range[b], &inputs);
      do {
        EXPECT_LE(inputs.rows, tokens);
        for (size_t l = 0; l < kLayers; l++) {
          sp_nodes_next(nodes, rule.policy == SP_MASK_DYNAMIC ? bits.data() : nullptr, &level);
          EXPECT_LE(level.rows, tokens);
          EXPECT_LE(level.key_rows, tokens);
        }
      } while (sp_nodes_again(nodes, &inputs));
      sum += sp_nodes_get_counts(nodes).nodes;
    }
    EXPECT_EQ(next, plan_.sequences);
    sp_nodes_destroy(nodes);
    *batches = n;
    return sum;
  }

  static constexpr size_t kLayers = 3;
  sp_plan plan_{};
  sp_plan_rule rule_{};

 private:
  std::vector<GoldenCase> cases_;
  std::vector<sp_plan_hyp> hyps_;
  std::vector<std::map<std::string, size_t>> names_;
};

TEST_F(Counted, AreNoMoreThanThereAre) {
  for (const char *mask :
       {"causal", "layerwise:1", "layerwise:2,0,1", "layerwise:3", "chunked:3", "chunked:100"}) {
    sp_lookahead rule{};
    sp_error err{};
    size_t batches;
    ASSERT_EQ(sp_lookahead_parse(mask, &rule, &err), SP_OK);
    EXPECT_EQ(Told(rule, 100000, &batches), BruteForce(rule)) << mask;
    EXPECT_EQ(batches, 1u);
  }
}

// Schedulers that stay shut cost what causal masks do, whatever their reach; open ones what layerwise
// masks do.
TEST_F(Counted, FollowWhatSchedulersDecide) {
  sp_lookahead causal{}, layerwise{}, dynamic{};
  sp_error err{};
  size_t batches;
  ASSERT_EQ(sp_lookahead_parse("causal", &causal, &err), SP_OK);
  ASSERT_EQ(sp_lookahead_parse("layerwise:2", &layerwise, &err), SP_OK);
  ASSERT_EQ(sp_lookahead_parse("dynamic", &dynamic, &err), SP_OK);
  Build(1u << SP_PLL | 1u << SP_PLL_L2R);
  dynamic.n_reach = 1;
  dynamic.reach[0] = 2;
  EXPECT_EQ(Told(dynamic, 100000, &batches, 0), BruteForce(causal));
  EXPECT_EQ(Told(dynamic, 100000, &batches, 3), BruteForce(layerwise));
  dynamic.reach[0] = 32;
  EXPECT_EQ(Told(dynamic, 100000, &batches, 0), BruteForce(causal));
}

TEST_F(Counted, FitAnyLimit) {
  for (const char *mask : {"causal", "layerwise:2", "chunked:5"}) {
    sp_lookahead rule{};
    sp_error err{};
    size_t all, batches, last = SIZE_MAX;
    ASSERT_EQ(sp_lookahead_parse(mask, &rule, &err), SP_OK);
    size_t least = Told(rule, 100000, &all);
    for (size_t tokens : {40, 60, 150, 1000}) {
      EXPECT_GE(Told(rule, tokens, &batches), least) << mask;
      EXPECT_LE(batches, last);
      last = batches;
    }
  }
}

TEST_F(Counted, BoundIsNoLessThanTheCount) {
  for (const char *mask : {"causal", "layerwise:1", "layerwise:2,0,1", "chunked:3"}) {
    sp_lookahead rule{};
    sp_error err{};
    size_t batches;
    ASSERT_EQ(sp_lookahead_parse(mask, &rule, &err), SP_OK);
    const sp_nodes_rule nodes_rule{&rule, kLayers, {100000, 100000}, rule_.mask};
    EXPECT_GE(sp_nodes_bound(&plan_, &nodes_rule),
              static_cast<double>(Told(rule, 100000, &batches)))
        << mask;
  }
}

}  // namespace
