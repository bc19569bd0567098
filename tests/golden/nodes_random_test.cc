// nodes_random_test.cc - each distinct node once, under rules and lists that a generator draws: bit by
// bit the scores and the scheduler bits of the plain pass.
#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "golden.h"
#include "score_ids.h"
#include "scratch.h"

namespace {

using sp_test::GoldenCase;
using sp_test::GoldenModel;
using sp_test::ScoreRule;
using sp_test::Scores;
using sp_test::ScoringModel;
using Ids = std::vector<int32_t>;
using Bits = std::vector<std::vector<uint32_t>>;

constexpr size_t kPositions = 70;  // rows of two mask words
enum Piece : int32_t { kCls = 2, kSep = 3, kMask = 4 };

class Draw {
 public:
  explicit Draw(unsigned seed) : random_(seed) {}
  size_t Below(size_t n) {
    return random_() % n;
  }
  bool OneIn(size_t n) {
    return Below(n) == 0;
  }

  // Few words, and the tokens that the plan itself puts into sequences.
  int32_t Token() {
    const int32_t odd[] = {0, kCls, kSep, kMask, kMask};
    return OneIn(4) ? odd[Below(5)] : static_cast<int32_t>(10 + Below(4));
  }
  size_t Length() {
    return OneIn(8) ? kPositions - 2 - Below(4) : 1 + Below(9);
  }
  Ids Text() {
    Ids ids(Length());
    for (int32_t &id : ids)
      id = Token();
    return ids;
  }
  void Edit(Ids *ids) {
    size_t at = Below(ids->size());
    if (OneIn(3) && ids->size() + 2 < kPositions)
      ids->insert(ids->begin() + static_cast<long>(at), Token());
    else if (OneIn(3) && ids->size() > 1)
      ids->resize(ids->size() - 1);
    else
      (*ids)[at] = OneIn(2) ? kMask : Token();
  }
  std::vector<GoldenCase> Lists() {
    std::vector<GoldenCase> cases;
    Ids ids = Text();
    for (size_t hyp = 0, n = 1 + Below(14); hyp < n; hyp++) {
      GoldenCase one;
      if (hyp % 4 == 0 && !OneIn(3))
        ids = Text();
      else
        Edit(&ids);
      one.ids = ids;
      uint32_t word = 0;
      for (size_t i = 0; i < ids.size(); i++)
        one.word.push_back(word += i > 0 && !OneIn(3));
      cases.push_back(one);
    }
    return cases;
  }
  std::vector<std::string> Methods() {
    std::vector<std::string> methods;
    while (methods.empty()) {
      for (const char *name : {"pll", "pll_l2r", "maskless", "cls"}) {
        if (OneIn(2))
          methods.push_back(name);
      }
    }
    return methods;
  }
  // A policy of any kind, dynamic only as the model has it.
  sp_lookahead Rule(const sp_lookahead &model, size_t layers) {
    sp_lookahead rule = model;
    const size_t policy = Below(model.policy == SP_MASK_DYNAMIC ? 6 : 3);
    if (policy < 3) {
      rule = {};
      rule.policy = policy == 0   ? SP_MASK_CAUSAL
                    : policy == 1 ? SP_MASK_LAYERWISE
                                  : SP_MASK_CHUNKED;
      rule.n_reach = policy == 0 ? 0 : policy == 1 && OneIn(2) ? layers : 1;
      for (size_t l = 0; l < rule.n_reach; l++)
        rule.reach[l] = static_cast<uint32_t>(policy == 2 ? 1 + Below(OneIn(3) ? 100 : 8)
                                                          : Below(OneIn(4) ? 33 : 4));
    }
    rule.left = OneIn(2) ? 0 : 1 + Below(OneIn(3) ? 80 : 6);
    rule.span = rule.policy == SP_MASK_DYNAMIC && OneIn(3);
    rule.tau = 1.5f;
    rule.cls_last = OneIn(2);
    rule.cls_view = OneIn(3) ? sp_lookahead::SP_CLS_LAST_LAYER : sp_lookahead::SP_CLS_BOUND;
    return rule;
  }

 private:
  std::mt19937 random_;
};

struct Schedulers {
  const char *name, *scheduler, *percent, *config;
};
void PrintTo(const Schedulers &s, std::ostream *out) {
  *out << s.name;
}

class RandomNodes : public testing::TestWithParam<Schedulers> {
 protected:
  void SetUp() override {
    const Schedulers &from = GetParam();
    GoldenModel golden;
    golden.random = {{"positions", std::to_string(kPositions)},
                     {"layers", "3"},
                     {"hidden", "16"},
                     {"ffn", "32"},
                     {"arch", "both"}};
    if (from.scheduler) {
      golden.random["scheduler"] = from.scheduler;
      golden.random["scheduler_percent"] = from.percent;
      golden.random["config_extra"] = std::string("\"lookahead\": {") + from.config + "}";
    }
    model_ = std::make_unique<ScoringModel>(
        sp_test::GoldenModelDirectory(golden, SP_SOURCE_DIR, scratch_ / "model"), "cpu",
        SP_COMPUTE_F32, true, true);
  }

  void Compare(const std::vector<GoldenCase> &cases, const std::vector<std::string> &methods,
               ScoreRule rule, size_t plain_tokens, const std::string &what) {
    Bits bits, plain_bits;
    std::vector<Scores> nodes = model_->Score(cases, methods, rule, &bits);
    rule.savings &= ~static_cast<unsigned>(SP_SAVING_NODES);
    rule.tokens = plain_tokens;
    EXPECT_EQ(nodes, model_->Score(cases, methods, rule, &plain_bits)) << what;
    EXPECT_EQ(bits, plain_bits) << what;
  }

  std::unique_ptr<ScoringModel> model_;

 private:
  sp_test::Scratch scratch_;
};

// SP_TEST_SEEDS asks for more of them.
TEST_P(RandomNodes, ScoreAsThePlainPass) {
  const char *asked = getenv("SP_TEST_SEEDS");
  const unsigned seeds = asked ? static_cast<unsigned>(atoi(asked)) : 60;
  for (unsigned seed = 1; seed <= seeds && !HasFailure(); seed++) {
    Draw draw(seed);
    ScoreRule rule;
    rule.lookahead = draw.Rule(model_->lookahead(), model_->weights()->config.layers);
    rule.tokens = 2 * kPositions + draw.Below(draw.OneIn(2) ? 30 : 900);
    rule.trace = rule.lookahead.policy == SP_MASK_DYNAMIC && draw.OneIn(2);
    std::vector<GoldenCase> cases = draw.Lists();
    Compare(cases, draw.Methods(), rule, kPositions + draw.Below(300),
            "seed " + std::to_string(seed));
  }
}

// Copies of a text stand beside what another text holds literally, its [SEP] and its [MASK]s included,
// and rows look past what of a text its copies share.
TEST_P(RandomNodes, TextsThatHoldWhatThePlanPutsIn) {
  std::vector<GoldenCase> cases;
  for (const Ids &ids : std::vector<Ids>{{10, kSep, 11},
                                         {10},
                                         {kMask},
                                         {kMask, kSep},
                                         {10, kMask, 11},
                                         {kMask, kSep, 11},
                                         {kCls, 10, kSep},
                                         {10, kSep, kMask},
                                         {10, kSep, 11, 12, 13, kSep}}) {
    GoldenCase one;
    one.ids = ids;
    one.word.resize(ids.size());
    cases.push_back(one);
  }
  for (const char *method : {"pll", "pll_l2r", "maskless", "cls"}) {
    ScoreRule rule;
    rule.lookahead = model_->lookahead();
    if (rule.lookahead.policy == SP_MASK_FULL)
      rule.lookahead.policy = SP_MASK_CAUSAL;
    Compare(cases, {method}, rule, 500, method);
    rule.trace = rule.lookahead.policy == SP_MASK_DYNAMIC;
    Compare(cases, {method}, rule, 100, method);
  }
}

// One copy a place of a long text, each of which is another text as it stands: all of them are traced.
TEST_P(RandomNodes, ManyTracedCopiesOfOneText) {
  std::vector<GoldenCase> cases(1);
  for (size_t i = 0; i < kPositions - 2; i++)
    cases[0].ids.push_back(static_cast<int32_t>(10 + i % 40));
  cases[0].word.resize(cases[0].ids.size());
  for (size_t i = 0; i < cases[0].ids.size(); i++) {
    cases.push_back(cases[0]);
    cases.back().ids[i] = kMask;
  }
  ScoreRule rule;
  rule.lookahead = model_->lookahead();
  rule.trace = rule.lookahead.policy == SP_MASK_DYNAMIC;
  if (rule.lookahead.policy == SP_MASK_FULL)
    rule.lookahead.policy = SP_MASK_CAUSAL;
  for (size_t tokens : {2 * kPositions, size_t{2500}}) {
    rule.tokens = tokens;
    Compare(cases, {"pll", "cls"}, rule, 300, std::to_string(tokens));
  }
}

// Under a causal mask copies that differ behind what is scored are one node, and its targets are many.
TEST_P(RandomNodes, MoreTargetsOfARowThanAPlanGivesOne) {
  std::vector<GoldenCase> cases;
  for (int32_t last = 5; last < 95; last++) {
    GoldenCase one;
    one.ids = {10, 11, last};
    one.word = {0, 1, 2};
    cases.push_back(one);
  }
  ScoreRule rule;
  rule.lookahead.policy = SP_MASK_CAUSAL;
  rule.tokens = 5000;
  Compare(cases, {"pll", "maskless"}, rule, 300, "causal");
}

const Schedulers kSchedulers[] = {
    {"none", nullptr, nullptr, nullptr},
    {"seldom", "3", "10", R"("policy": "dynamic", "max": 3)"},
    {"half", "2,0,3", "50", R"("policy": "dynamic", "max": 3, "layers": [2, 0, 3])"},
    {"last_only", "0,0,1", "60", R"("policy": "dynamic", "max": 1, "layers": [0, 0, 1])"},
    {"often", "32", "90", R"("policy": "dynamic", "max": 32)"},
    {"always", "32", "100", R"("policy": "dynamic", "max": 32)"},
    {"never", "4", "0", R"("policy": "dynamic", "max": 4)"},
};
INSTANTIATE_TEST_SUITE_P(Models, RandomNodes, testing::ValuesIn(kSchedulers),
                         [](const auto &given) { return std::string(given.param.name); });

}  // namespace
