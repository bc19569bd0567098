// dynamic_test.cc - models whose config and tensors decide what attention sees: perturbations of one
// token change what the mask says and nothing else.
#include <gtest/gtest.h>

#include <memory>
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

constexpr size_t kLayers = 2, kTokens = 80;  // rows of two mask words
using Members = std::map<std::string, std::string>;

// Two texts, the same but for token `changed`, and a short one.
std::vector<GoldenCase> Texts(size_t changed) {
  std::vector<GoldenCase> cases(3);
  for (size_t c = 0; c < cases.size(); c++) {
    for (size_t i = 0; i < (c == 2 ? 7 : kTokens); i++) {
      cases[c].ids.push_back(static_cast<int32_t>(10 + (i * 7 + (c == 1 && i == changed)) % 80));
      cases[c].word.push_back(static_cast<uint32_t>(i));
    }
  }
  return cases;
}

class Dynamic : public testing::TestWithParam<sp_compute> {
 protected:
  // Opens a model whose "lookahead" has these members, and such schedulers.
  void Open(const std::string &lookahead, const Members &members = {}) {
    GoldenModel golden;
    golden.random = {{"positions", "128"},
                     {"layers", std::to_string(kLayers)},
                     {"arch", "both"},
                     {"config_extra", "\"lookahead\": {" + lookahead + "}"}};
    for (const auto &member : members)
      golden.random[member.first] = member.second;
    const std::string folder = scratch_ / ("model-" + std::to_string(models_++));
    model_ =
        std::make_unique<ScoringModel>(sp_test::GoldenModelDirectory(golden, SP_SOURCE_DIR, folder),
                                       "cpu", GetParam(), true, true);
  }
  std::vector<Scores> Score(size_t changed, unsigned savings = SP_SAVING_ALL) {
    return model_->Score(Texts(changed), {"pll", "pll_l2r", "maskless", "cls"}, model_->lookahead(),
                         savings);
  }
  // Tokens before and after `changed` whose score is another one.
  struct Reach {
    size_t before, after;
  };
  Reach ReachOf(const std::string &method, size_t changed) {
    std::vector<Scores> got = Score(changed);
    const std::vector<float> &a = got[0].at(method), &b = got[1].at(method);
    Reach reach{0, 0};
    for (size_t i = 0; i < kTokens; i++) {
      if (a[i] != b[i] && i < changed)
        reach.before = std::max(reach.before, changed - i);
      if (a[i] != b[i] && i > changed)
        reach.after = i - changed;
    }
    return reach;
  }
  bool ClsSees(size_t changed) {
    std::vector<Scores> got = Score(changed);
    return got[0].at("cls") != got[1].at("cls");
  }
  // The furthest over tokens at the edges of mask words.
  Reach Furthest(const std::string &method) {
    Reach far{0, 0};
    for (size_t changed : {20, 40, 61, 62, 63, 64}) {
      Reach reach = ReachOf(method, changed);
      far = {std::max(far.before, reach.before), std::max(far.after, reach.after)};
    }
    return far;
  }

 private:
  sp_test::Scratch scratch_;
  std::unique_ptr<ScoringModel> model_;
  int models_ = 0;
};

TEST_P(Dynamic, NothingIsSeenBeyondTheReachOfAllLayers) {
  for (const char *percent : {"20", "50", "100"}) {
    Open(R"("policy": "dynamic", "max": 3)", {{"scheduler", "3"}, {"scheduler_percent", percent}});
    for (const char *method : {"pll", "pll_l2r", "maskless"}) {
      size_t seen = Furthest(method).before;
      EXPECT_GE(seen, 1u) << method << " at " << percent;
      EXPECT_LE(seen, 3 * kLayers) << method << " at " << percent;
    }
  }
  EXPECT_EQ(Furthest("maskless").before, 3 * kLayers) << "schedulers that are always on";
}

TEST_P(Dynamic, ALayerWithoutReachIsCausal) {
  Open(R"("policy": "dynamic", "max": 5, "layers": [0, 5])",
       {{"scheduler", "0,5"}, {"scheduler_percent", "100"}});
  EXPECT_EQ(Furthest("maskless").before, 5u);
  Open(R"("policy": "dynamic", "max": 5)", {{"scheduler", "5"}, {"scheduler_percent", "0"}});
  EXPECT_EQ(Furthest("maskless").before, 0u);
  EXPECT_EQ(Furthest("maskless").after, kTokens - 1 - 20) << "the whole past is seen";
}

TEST_P(Dynamic, ALeftWindowEndsThePast) {
  Open(R"("policy": "dynamic", "max": 2, "left": 4)",
       {{"scheduler", "2"}, {"scheduler_percent", "100"}});
  EXPECT_EQ(Furthest("maskless").before, 2 * kLayers);
  EXPECT_EQ(Furthest("maskless").after, 4 * kLayers);
  Open(R"("policy": "causal", "left": 1)");
  EXPECT_EQ(Furthest("maskless").before, 0u);
  EXPECT_EQ(Furthest("maskless").after, kLayers);
}

// That its own row sees everything brings the tokens nothing from beyond their bound.
TEST_P(Dynamic, TheClsRowSeesWhatItsViewSaysAndSpreadsNothing) {
  const struct {
    const char *view;
    bool all;
  } cases[] = {{"bound", false}, {"last-layer", true}, {"hidden", true}};
  for (const auto &one : cases) {
    Open(R"("policy": "dynamic", "max": 3, "cls_view": ")" + std::string(one.view) + '"',
         {{"scheduler", "3"}, {"scheduler_percent", "100"}});
    EXPECT_EQ(Furthest("maskless").before, 3 * kLayers) << one.view;
    EXPECT_LE(Furthest("pll").before, 3 * kLayers) << one.view;
    EXPECT_TRUE(ClsSees(3 * kLayers - 1)) << one.view;  // token i stands at position i + 1
    EXPECT_EQ(ClsSees(3 * kLayers), one.all) << one.view;
    EXPECT_EQ(ClsSees(kTokens - 1), one.all) << one.view;
  }
}

TEST_P(Dynamic, NoSavingChangesAScore) {
  const struct {
    const char *lookahead;
    Members members;
  } cases[] = {
      {R"("policy": "dynamic", "max": 3)", {{"scheduler", "3"}}},
      {R"("policy": "dynamic", "max": 32, "layers": [32, 1], "cells": "span", "tau": 0.2, "left": 9)",
       {{"scheduler", "32,1"}}},
      {R"("policy": "dynamic", "max": 4, "hidden_size": 5, "hidden_act": "gelu", "cls_view": "hidden")",
       {{"scheduler", "4"}, {"scheduler_hidden", "5"}}}};
  for (const auto &one : cases) {
    Open(one.lookahead, one.members);
    std::vector<Scores> all = Score(40);
    for (unsigned without : {SP_SAVING_HEAD, SP_SAVING_TRIM, SP_SAVING_PACK, SP_SAVING_DEDUPE})
      EXPECT_EQ(Score(40, SP_SAVING_ALL & ~without), all) << one.lookahead << " " << without;
  }
}

INSTANTIATE_TEST_SUITE_P(Types, Dynamic, testing::Values(SP_COMPUTE_F32, SP_COMPUTE_BF16),
                         [](const auto &given) {
                           return given.param == SP_COMPUTE_BF16 ? "bf16" : "f32";
                         });

}  // namespace
