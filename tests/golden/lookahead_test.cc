// lookahead_test.cc - the encoder under a lookahead mask: what a score depends on, and that no saving
// changes it.
#include "lookahead.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "golden.h"
#include "score_ids.h"
#include "scratch.h"

namespace {

using sp_test::GoldenCase;
using sp_test::GoldenModel;
using sp_test::Scores;
using sp_test::ScoringModel;

constexpr size_t kLayers = 2, kTokens = 90;  // rows of two mask words
const std::vector<std::string> kMethods = {"pll", "pll_l2r", "maskless"};

sp_lookahead Rule(sp_mask_policy policy, size_t reach) {
  sp_lookahead rule{};
  rule.policy = policy;
  rule.n_reach = reach > 0;
  rule.reach[0] = static_cast<uint32_t>(reach);
  return rule;
}

// Three texts of one token a word: the second is the first up to token `changed`, the third is short.
std::vector<GoldenCase> Texts(size_t changed) {
  std::vector<GoldenCase> cases(3);
  for (size_t c = 0; c < cases.size(); c++) {
    for (size_t i = 0; i < (c == 2 ? 9 : kTokens); i++) {
      bool other = c == 1 && i >= changed;
      cases[c].ids.push_back(static_cast<int32_t>(10 + (i * 7 + other) % 80));
      cases[c].word.push_back(static_cast<uint32_t>(i));
    }
  }
  return cases;
}

class Lookahead : public testing::TestWithParam<sp_compute> {
 protected:
  void SetUp() override {
    GoldenModel model;
    model.name = "lookahead";
    model.random = {{"positions", "172"}, {"layers", std::to_string(kLayers)}};
    model_ = std::make_unique<ScoringModel>(
        sp_test::GoldenModelDirectory(model, SP_SOURCE_DIR, scratch_ / "model"), "cpu", GetParam(),
        true, false);
  }
  std::vector<Scores> Score(size_t changed, sp_lookahead rule, unsigned savings = SP_SAVING_ALL) {
    return model_->Score(Texts(changed), kMethods, rule, savings);
  }
  // Token i stands at position i + 1, behind [CLS]. Its masked copy is scored at its own row, which
  // sees so many positions beyond it.
  void ExpectSeesBeyond(sp_lookahead rule, size_t changed, size_t beyond) {
    std::vector<Scores> got = Score(changed, rule);
    const std::vector<float> &a = got[0].at("pll"), &b = got[1].at("pll");
    for (size_t i = 0; i + beyond < changed; i++)
      EXPECT_EQ(a[i], b[i]) << "token " << i << " sees token " << changed;
    EXPECT_NE(a[changed - beyond], b[changed - beyond]) << "does not see token " << changed;
  }

 private:
  sp_test::Scratch scratch_;
  std::unique_ptr<ScoringModel> model_;
};

TEST_P(Lookahead, CausalSeesNothingAhead) {
  for (size_t changed : {1, 40, 62, 63, 64, 89})
    ExpectSeesBeyond(Rule(SP_MASK_CAUSAL, 0), changed, 0);
}

TEST_P(Lookahead, LayerwiseReachesOnceALayer) {
  for (size_t changed : {20, 62, 63, 64, 70}) {
    ExpectSeesBeyond(Rule(SP_MASK_LAYERWISE, 1), changed, kLayers);
    ExpectSeesBeyond(Rule(SP_MASK_LAYERWISE, 5), changed, 5 * kLayers);
  }
}

TEST_P(Lookahead, ChunkedSeesItsChunkWhateverTheDepth) {
  for (size_t chunk : {4, 10}) {
    for (size_t changed : {20, 63, 66, 71})  // at position changed + 1
      ExpectSeesBeyond(Rule(SP_MASK_CHUNKED, chunk), changed, (changed + 1) % chunk);
  }
}

TEST_P(Lookahead, WideEnoughIsFullBitByBit) {
  std::vector<Scores> full = Score(40, Rule(SP_MASK_FULL, 0));
  EXPECT_EQ(Score(40, Rule(SP_MASK_LAYERWISE, kTokens + 2)), full);
  EXPECT_EQ(Score(40, Rule(SP_MASK_CHUNKED, kTokens + 2)), full);
  EXPECT_NE(Score(40, Rule(SP_MASK_CAUSAL, 0)), full);
}

TEST_P(Lookahead, NoSavingChangesAScore) {
  for (sp_lookahead rule :
       {Rule(SP_MASK_CAUSAL, 0), Rule(SP_MASK_LAYERWISE, 2), Rule(SP_MASK_CHUNKED, 7)}) {
    std::vector<Scores> all = Score(40, rule);
    for (unsigned without : {SP_SAVING_HEAD, SP_SAVING_TRIM, SP_SAVING_PACK, SP_SAVING_DEDUPE, SP_SAVING_NODES})
      EXPECT_EQ(Score(40, rule, SP_SAVING_ALL & ~without), all) << "without " << without;
  }
}

INSTANTIATE_TEST_SUITE_P(Types, Lookahead, testing::Values(SP_COMPUTE_F32, SP_COMPUTE_BF16),
                         [](const auto &given) {
                           return given.param == SP_COMPUTE_BF16 ? "bf16" : "f32";
                         });

TEST(LookaheadText, TakesEveryPolicy) {
  sp_lookahead got{};
  sp_error err{};
  ASSERT_EQ(sp_lookahead_parse("full", &got, &err), SP_OK);
  EXPECT_EQ(got.policy, SP_MASK_FULL);
  ASSERT_EQ(sp_lookahead_parse("causal", &got, &err), SP_OK);
  EXPECT_EQ(got.policy, SP_MASK_CAUSAL);
  ASSERT_EQ(sp_lookahead_parse("layerwise:3", &got, &err), SP_OK);
  EXPECT_EQ(got.policy, SP_MASK_LAYERWISE);
  EXPECT_EQ(got.reach[0], 3u);
  ASSERT_EQ(sp_lookahead_parse("chunked:10", &got, &err), SP_OK);
  EXPECT_EQ(got.policy, SP_MASK_CHUNKED);
  EXPECT_EQ(got.reach[0], 10u);
  ASSERT_EQ(sp_lookahead_parse("layerwise:2,0,1", &got, &err), SP_OK);
  EXPECT_EQ(got.n_reach, 3u);
  EXPECT_EQ(sp_lookahead_reach(&got, 1), 0u);
  EXPECT_EQ(sp_lookahead_reach(&got, 2), 1u);
  ASSERT_EQ(sp_lookahead_parse("dynamic", &got, &err), SP_OK);
  EXPECT_EQ(got.policy, SP_MASK_DYNAMIC);
}

TEST(LookaheadText, RefusesWhatIsNone) {
  for (const char *text :
       {"", "ful", "fully", "causal:1", "layerwise", "layerwise:", "layerwise:0", "layerwise:-1",
        "layerwise: 2", "layerwise:2x", "layerwise:33",
        "layerwise:1,", "layerwise:1,,2", "chunked:1,2", "chunked:0", "dynamic:2", "chunked:1048577", "chunked:99999999999999999999"}) {
    sp_lookahead got{};
    sp_error err{};
    EXPECT_EQ(sp_lookahead_parse(text, &got, &err), SP_EUSAGE) << text;
    EXPECT_NE(std::string(err.message).find("'" + std::string(text) + "'"), std::string::npos);
  }
}

}  // namespace
