// trace_test.cc - tokens and scheduler bits of single texts: against a batch of many texts, and what a
// static mask does without.
#include "trace.h"

#include <gtest/gtest.h>

#include <set>
#include <stdexcept>

#include "batch.h"
#include "engine_fixture.h"
#include "plan.h"

namespace {

using namespace sp_test;

sp_text Text(const std::string &text) {
  return {text.data(), text.size()};
}

// A tracer of a model directory, f32.
class Tracer {
 public:
  explicit Tracer(const std::string &model, const char *mask = nullptr) {
    sp_score_options options{};
    sp_case_look look{};
    sp_error err{};
    options.model = model.c_str();
    options.mask = mask;
    options.dtype = "f32";
    options.force_mask = true;
    if (sp_tracer_open(&options, &look, &tracer_, &err) != SP_OK)
      throw std::runtime_error(err.message);
  }
  ~Tracer() {
    sp_tracer_close(tracer_);
  }
  Tracer(const Tracer &) = delete;
  Tracer &operator=(const Tracer &) = delete;

  sp_trace Run(const std::string &text) {
    sp_trace trace{};
    sp_error err{};
    if (sp_tracer_run(tracer_, Text(text), &trace, &err) != SP_OK)
      throw std::runtime_error(err.message);
    return trace;
  }
  const sp_context &context() const {
    return *sp_tracer_context(tracer_);
  }

 private:
  sp_tracer *tracer_ = nullptr;
};

sp_random_model DynamicModel() {
  sp_random_model model = TinyModel();
  model.layers = 3;
  model.scheduler = "2,0,3";
  model.config_extra = "\"lookahead\":{\"policy\":\"dynamic\",\"max\":3,\"layers\":[2,0,3]}";
  return model;
}

// Bits of several texts in one batch, a run of its own with all rows scored.
std::vector<std::vector<uint32_t>> BitsInOneBatch(const sp_context &context,
                                                  const std::vector<std::vector<int32_t>> &texts) {
  const sp_tokenizer_info *info = sp_tokenizer_get_info(context.tokenizer);
  std::vector<uint32_t> word(64);
  std::vector<sp_plan_hyp> hyps;
  for (const auto &ids : texts) {
    sp_plan_hyp hyp{};
    hyp.ids = ids.data();
    hyp.word = word.data();
    hyp.n = static_cast<uint32_t>(ids.size());
    hyps.push_back(hyp);
  }
  sp_plan plan{};
  sp_batch batch{};
  sp_arena arena{};
  sp_forward *forward = nullptr;
  sp_error err{};
  sp_plan_rule plan_rule{};
  plan_rule.methods = 1u << SP_CLS;
  plan_rule.cls = info->cls;
  plan_rule.sep = info->sep;
  plan_rule.mask = info->mask;
  sp_forward_rule rule{};
  rule.limits = {1024, SP_PLAN_MAX_TARGETS * 1024};
  rule.savings = 0;
  rule.lookahead = context.lookahead;
  rule.trace = true;
  rule.mask_id = info->mask;
  rule.pad_id = info->pad;
  EXPECT_EQ(sp_plan_build(&plan, hyps.data(), hyps.size(), &plan_rule, &err), SP_OK);
  size_t n = 0;
  sp_batch_range *ranges = sp_plan_cut(&plan, &rule.limits, true, &n);
  EXPECT_EQ(n, 1u);
  EXPECT_TRUE(sp_batch_init(&batch, &rule.limits, &arena));
  sp_batch_fill(&batch, &plan, ranges[0], true);
  batch.rows = batch.tokens;  // every token asks, none is a cls row
  batch.cls_rows = 0;
  for (uint32_t t = 0; t < batch.tokens; t++)
    batch.row_token[t] = t;
  for (size_t s = 0; s <= batch.sequences; s++)
    batch.row_start[s] = batch.token_start[s];
  for (size_t s = 0; s < batch.sequences; s++)
    for (uint32_t t = batch.token_start[s]; t < batch.token_start[s + 1]; t++)
      batch.row_position[t] = t - batch.token_start[s];
  EXPECT_EQ(sp_forward_create(context.weights[0], &rule, &forward, &err), SP_OK) << err.message;
  std::vector<uint32_t> bits(context.config.layers * batch.tokens);
  EXPECT_EQ(sp_forward_run(forward, &batch, nullptr, nullptr, bits.data(), &err), SP_OK)
      << err.message;
  std::vector<std::vector<uint32_t>> out(texts.size());
  for (size_t h = 0; h < texts.size(); h++) {
    size_t s = 0;
    while (plan.sequence[s].base != plan.hyp_base[h])
      s++;
    for (size_t l = 0; l < context.config.layers; l++)
      out[h].insert(out[h].end(), bits.begin() + l * batch.tokens + batch.token_start[s],
                    bits.begin() + l * batch.tokens + batch.token_start[s + 1]);
  }
  sp_forward_destroy(forward);
  sp_arena_release(&arena);
  sp_plan_release(&plan);
  return out;
}

class TraceTest : public testing::Test {
 protected:
  std::string Path(const std::string &name) const {
    return scratch_ / name;
  }
  Scratch scratch_;
};

TEST_F(TraceTest, BitsAreThoseOfABatchOfMany) {
  Tracer tracer(MakeModel(Path("model"), DynamicModel()));
  const std::vector<std::string> texts = {"stew", "a b c d e f g", "turnips and carrots", "x",
                                          "he hoped there would be"};
  std::vector<std::vector<int32_t>> ids;
  std::vector<std::vector<uint32_t>> traced;
  for (const std::string &text : texts) {
    sp_trace trace = tracer.Run(text);
    ASSERT_EQ(trace.flag, SP_FLAG_NONE);
    ASSERT_EQ(trace.len, trace.tokens + 2);
    ASSERT_NE(trace.bits, nullptr);
    traced.emplace_back(trace.bits, trace.bits + 3 * trace.len);
    sp_encoder *encoder = nullptr;
    sp_tokens tokens{};
    sp_error err{};
    ASSERT_EQ(sp_encoder_create(tracer.context().tokenizer, false, &encoder, &err), SP_OK);
    ASSERT_EQ(sp_encode(encoder, Text(text), &tokens, &err), SP_OK);
    ids.emplace_back(tokens.ids, tokens.ids + tokens.n);
    sp_encoder_destroy(encoder);
  }
  auto together = BitsInOneBatch(tracer.context(), ids);
  for (size_t h = 0; h < texts.size(); h++) {
    size_t len = traced[h].size() / 3;
    for (size_t i = 0; i < 3 * len; i++)
      EXPECT_EQ(traced[h][i], together[h][i]) << texts[h] << " " << i;
    for (size_t i = len; i < 2 * len; i++)
      EXPECT_EQ(together[h][i], 0u) << "a layer without reach";
  }
  std::set<uint32_t> first(traced[1].begin(), traced[1].begin() + 9);
  EXPECT_GT(first.size(), 1u) << "the bits differ from row to row";
}

TEST_F(TraceTest, PiecesAreTheVocabularysWithTheEnds) {
  Tracer tracer(MakeModel(Path("model")), "causal");
  sp_trace trace = tracer.Run("ab c");
  std::string pieces;
  for (size_t i = 0; i < trace.len; i++)
    pieces += std::string(trace.pieces[i].data, trace.pieces[i].len) + " ";
  EXPECT_EQ(pieces, "[CLS] a ##b c [SEP] ");
}

TEST_F(TraceTest, AStaticMaskNeedsNoDeviceAndNoWeights) {
  Tracer tracer(MakeModel(Path("model"), DynamicModel()), "layerwise:2");
  EXPECT_EQ(tracer.context().n_devices, 0u);
  EXPECT_EQ(tracer.context().lookahead.policy, SP_MASK_LAYERWISE);
  sp_trace trace = tracer.Run("stew");
  EXPECT_EQ(trace.bits, nullptr);
  EXPECT_EQ(trace.len, 6u);
}

TEST_F(TraceTest, NoHeadIsAskedFor) {
  sp_random_model model = DynamicModel();
  model.arch = SP_RANDOM_CLS;
  Tracer tracer(MakeModel(Path("model"), model));
  EXPECT_EQ(tracer.context().weights[0]->vocab, nullptr);
  EXPECT_EQ(tracer.context().weights[0]->cls, nullptr);
  EXPECT_NE(tracer.Run("stew").bits, nullptr);
}

TEST_F(TraceTest, WhatCannotBeScoredIsNotTraced) {
  for (const char *mask : {"causal", "dynamic"}) {
    Tracer tracer(MakeModel(Path("model"), DynamicModel()), mask);
    std::string longest;
    for (size_t i = 0; i < tracer.context().max_tokens; i++)
      longest += "a ";
    EXPECT_EQ(tracer.Run(longest).len, tracer.context().max_tokens + 2);
    sp_trace trace = tracer.Run(longest + "a");
    EXPECT_EQ(trace.flag, SP_FLAG_TOO_LONG);
    EXPECT_EQ(trace.len, 0u);
    EXPECT_EQ(trace.tokens, tracer.context().max_tokens + 1);
    EXPECT_EQ(tracer.Run(" ").flag, SP_FLAG_EMPTY);
    EXPECT_EQ(tracer.Run("a").len, 3u) << "and it goes on";
  }
}

TEST_F(TraceTest, AModelWithoutSchedulersCannotBeDynamic) {
  MakeModel(Path("model"));
  EXPECT_THROW(Tracer(Path("model"), "dynamic"), std::runtime_error);
  EXPECT_THROW(Tracer(Path("none"), "causal"), std::runtime_error);
}

}  // namespace
