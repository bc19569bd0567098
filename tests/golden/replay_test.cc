// replay_test.cc - the streamed pass against the whole one, and outputs against their dependency cones.
#include "replay.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "golden.h"
#include "latency.h"
#include "score_ids.h"
#include "scratch.h"

namespace {

using sp_test::GoldenCase;
using sp_test::GoldenModel;
using sp_test::ScoringModel;

constexpr size_t kLayers = 3;

// "layerwise:2" and so on, with what the words cannot say.
sp_lookahead Rule(const char *text, size_t left = 0) {
  sp_lookahead rule{};
  sp_error err{};
  if (sp_lookahead_parse(text, &rule, &err) != SP_OK)
    throw std::runtime_error(err.message);
  rule.left = left;
  return rule;
}

sp_lookahead Dynamic(std::vector<uint32_t> reach, bool span = false) {
  sp_lookahead rule = Rule("dynamic");
  rule.n_reach = reach.size();
  for (size_t l = 0; l < reach.size(); l++)
    rule.reach[l] = reach[l];
  rule.span = span;
  return rule;
}

class Replayer {
 public:
  Replayer(const ScoringModel &model, const sp_lookahead &rule, size_t max_len)
      : weights_(model.weights()) {
    Check(sp_replay_create(weights_, &rule, max_len, &replay_, &err_));
  }
  ~Replayer() {
    sp_replay_destroy(replay_);
  }
  void Begin(const std::vector<int32_t> &ids, const sp_mask_graph *masks = nullptr) {
    Check(sp_replay_begin(replay_, ids.data(), ids.size(), masks, &err_));
  }
  size_t Step(size_t arrived) {
    size_t nodes = 0;
    Check(sp_replay_step(replay_, arrived, &nodes, &err_));
    return nodes;
  }
  bool Has(size_t i) const {
    return sp_replay_output(replay_, i) != nullptr;
  }
  std::string Output(size_t i) const {
    size_t bytes = weights_->config.hidden * weights_->device->act_bytes;
    return std::string(static_cast<const char *>(sp_replay_output(replay_, i)), bytes);
  }
  const sp_mask_graph *masks() const {
    return sp_replay_masks(replay_);
  }

  // log P of every token between the ends at its own position, through the MLM head.
  std::vector<float> Maskless(const std::vector<int32_t> &ids) {
    const sp_backend *b = weights_->device->backend;
    size_t d = weights_->config.hidden, n = ids.size() - 2;
    size_t room = (n + weights_->device->row_quantum) * d * sizeof(float);
    std::vector<float> logp(n);
    std::vector<uint32_t> row(n);
    void *act = nullptr, *sum = nullptr, *normed = nullptr;
    sp_stream *stream = nullptr;
    Check(b->alloc(weights_->device, room, &act, &err_));
    Check(b->alloc(weights_->device, room, &sum, &err_));
    Check(b->alloc(weights_->device, room, &normed, &err_));
    Check(b->stream_create(weights_->device, &stream, &err_));
    std::string rows;
    for (size_t i = 0; i < n; i++) {
      rows += Output(i + 1);
      row[i] = static_cast<uint32_t>(i);
    }
    memcpy(act, rows.data(), rows.size());
    Check(b->linear(stream, weights_->transform, act, nullptr, n, sum, &err_));
    Check(b->add_norm(stream, weights_->transform_norm, sum, nullptr, n, sum,
                      weights_->device->act_bytes == sizeof(float) ? sum : normed, &err_));
    Check(b->vocab_logp(stream, weights_->vocab,
                        weights_->device->act_bytes == sizeof(float) ? sum : normed, n, row.data(),
                        ids.data() + 1, n, logp.data(), &err_));
    b->stream_destroy(stream);
    for (void *data : {act, sum, normed})
      b->free(weights_->device, data);
    return logp;
  }

 private:
  void Check(sp_status status) {
    if (status != SP_OK)
      throw std::runtime_error(err_.message);
  }
  const sp_weights *weights_;
  sp_replay *replay_ = nullptr;
  sp_error err_{};
};

class Replay : public testing::TestWithParam<sp_compute> {
 protected:
  void Open(const std::string &schedulers = "", const std::string &config = "") {
    GoldenModel model;
    model.name = "replay";
    model.random = {{"positions", "172"}, {"layers", std::to_string(kLayers)}};
    if (!schedulers.empty()) {
      model.random["scheduler"] = schedulers;
      model.random["scheduler_percent"] = "25";
    }
    if (!config.empty())
      model.random["config_extra"] = config;
    model_ = std::make_unique<ScoringModel>(
        sp_test::GoldenModelDirectory(model, SP_SOURCE_DIR, scratch_ / ("model" + schedulers)),
        "cpu", GetParam(), true, false);
  }
  std::vector<int32_t> Sequence(size_t n, unsigned seed) const {
    std::mt19937 random(seed);
    std::vector<int32_t> ids{model_->tokenizer()->cls};
    for (size_t i = 0; i < n; i++)
      ids.push_back(static_cast<int32_t>(10 + random() % 80));
    ids.push_back(model_->tokenizer()->sep);
    return ids;
  }
  // In bursts of 1 to `burst` positions.
  void ExpectAsWhole(const sp_lookahead &rule, size_t n, unsigned burst) {
    std::vector<int32_t> ids = Sequence(n, burst);
    GoldenCase one;
    one.ids.assign(ids.begin() + 1, ids.end() - 1);
    for (size_t i = 0; i < n; i++)
      one.word.push_back(static_cast<uint32_t>(i));
    std::vector<float> whole = model_->Score({one}, {"maskless"}, rule)[0].at("maskless");
    Replayer replayer(*model_, rule, ids.size());
    for (int round = 0; round < 2; round++) {  // the second in used memory
      std::mt19937 random(7);
      std::vector<std::vector<bool>> seen;
      std::vector<size_t> after;
      size_t nodes = 0;
      replayer.Begin(ids);
      for (size_t arrived = 0; arrived < ids.size();) {
        arrived = std::min(ids.size(), arrived + 1 + random() % burst);
        nodes += replayer.Step(arrived);
        after.push_back(arrived);
        seen.emplace_back();
        for (size_t i = 0; i < ids.size(); i++)
          seen.back().push_back(replayer.Has(i));
      }
      EXPECT_EQ(nodes, kLayers * ids.size()) << "every node once";
      EXPECT_EQ(replayer.Maskless(ids), whole);
      sp_latency latency{};
      sp_error err{};
      ASSERT_EQ(sp_latency_create(replayer.masks(), &latency, &err), SP_OK);
      for (size_t s = 0; s < after.size(); s++)
        for (size_t i = 0; i < ids.size(); i++)
          ASSERT_EQ(seen[s][i], i + sp_latency_of(&latency, kLayers, i) < after[s])
              << "output " << i << " after " << after[s];
      sp_latency_release(&latency);
    }
  }

  sp_test::Scratch scratch_;
  std::unique_ptr<ScoringModel> model_;
};

TEST_P(Replay, IsTheWholePassUnderEveryStaticMask) {
  Open();
  sp_lookahead last_layer = Rule("layerwise:1"), hidden = Rule("chunked:4", 6);
  last_layer.cls_view = sp_lookahead::SP_CLS_LAST_LAYER;
  hidden.cls_view = sp_lookahead::SP_CLS_HIDDEN;
  hidden.cls_last = true;
  for (const sp_lookahead &rule :
       {Rule("full"), Rule("causal"), Rule("causal", 3), Rule("layerwise:1"), Rule("layerwise:5"),
        Rule("layerwise:2,0,1"), Rule("layerwise:2", 4), Rule("chunked:1"), Rule("chunked:7"),
        last_layer, hidden}) {
    for (size_t n : {1, 9, 70}) {
      ExpectAsWhole(rule, n, 1);
      ExpectAsWhole(rule, n, 5);
    }
  }
}

TEST_P(Replay, IsTheWholePassUnderRandomSchedulers) {
  Open("3", R"("lookahead": {"policy": "dynamic", "max": 3})");
  for (size_t n : {1, 9, 70, 130}) {
    for (bool span : {false, true}) {
      ExpectAsWhole(Dynamic({3}, span), n, 1);
      ExpectAsWhole(Dynamic({3}, span), n, 4);
    }
    sp_lookahead left = Dynamic({3});
    left.left = 5;
    left.cls_view = sp_lookahead::SP_CLS_HIDDEN;
    ExpectAsWhole(left, n, 2);
  }
}

TEST_P(Replay, SchedulersOfSomeLayersAlone) {
  Open("2,0,4", R"("lookahead": {"policy": "dynamic", "max": 4, "layers": [2, 0, 4]})");
  for (size_t n : {9, 70})
    ExpectAsWhole(Dynamic({2, 0, 4}), n, 3);
}

// Any masks at all: a changed input changes exactly the outputs that it reaches.
TEST_P(Replay, AChangedInputChangesWhatItReaches) {
  Open();
  std::mt19937 random(11);
  for (int trial = 0; trial < 400; trial++) {
    size_t n = 1 + random() % 9, len = n + 2, words = 1;
    std::vector<uint64_t> row(kLayers * len);
    uint64_t inside = (uint64_t{1} << len) - 1;
    for (uint64_t &r : row)
      r = (trial % 2 ? random() & random() & random() : random()) & inside;
    const sp_mask_graph graph{kLayers, len, words, row.data(), nullptr};
    std::vector<int32_t> ids = Sequence(n, static_cast<unsigned>(trial));
    Replayer replayer(*model_, Rule("full"), len);
    replayer.Begin(ids, &graph);
    replayer.Step(len);
    std::vector<std::string> before;
    for (size_t i = 0; i < len; i++)
      before.push_back(replayer.Output(i));
    for (size_t j = 0; j < len; j++) {
      std::vector<int32_t> changed = ids;
      changed[j] = 95 - changed[j] % 10;
      if (changed[j] == ids[j])
        changed[j]--;
      replayer.Begin(changed, &graph);
      for (size_t arrived = 1; arrived <= len; arrived++)
        replayer.Step(arrived);
      std::vector<bool> reached(len);
      reached[j] = true;
      for (size_t l = 0; l < kLayers; l++) {
        std::vector<bool> next = reached;
        for (size_t i = 0; i < len; i++)
          for (size_t k = 0; k < len; k++)
            if (reached[k] && sp_mask_graph_sees(&graph, l, i, k))
              next[i] = true;
        reached = next;
      }
      for (size_t i = 0; i < len; i++)
        ASSERT_EQ(replayer.Output(i) != before[i], reached[i])
            << "trial " << trial << ": input " << j << ", output " << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, Replay, testing::Values(SP_COMPUTE_F32, SP_COMPUTE_BF16),
                         [](const auto &given) {
                           return given.param == SP_COMPUTE_BF16 ? "bf16" : "f32";
                         });

TEST(ReplayLimits, ASequenceThatIsTooLongIsRefused) {
  sp_test::Scratch scratch;
  GoldenModel golden;
  golden.name = "replay";
  golden.random = {{"layers", "2"}};
  ScoringModel model(sp_test::GoldenModelDirectory(golden, SP_SOURCE_DIR, scratch / "model"), "cpu",
                     SP_COMPUTE_F32, true, false);
  Replayer replayer(model, Rule("causal"), 4);
  EXPECT_THROW(replayer.Begin({1, 2, 3, 4, 5}), std::runtime_error);
}

}  // namespace
