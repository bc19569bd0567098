// The scoring rule against a direct reading of its definition: every result of every hypothesis must
// name a sequence with the right tokens, the right scored position and the right target.
#include "plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <vector>

#include "batch.h"

namespace {

constexpr int32_t kCls = 2, kSep = 3, kMask = 4;
constexpr unsigned kAll = 1u << SP_PLL | 1u << SP_PLL_L2R | 1u << SP_CLS | 1u << SP_MASKLESS;

struct Hyp {
  std::vector<int32_t> ids;
  std::vector<uint32_t> word;
};

class Plan {
 public:
  Plan(const std::vector<Hyp> &hyps, unsigned methods, bool dedupe = true) {
    std::vector<sp_plan_hyp> list;
    for (const Hyp &h : hyps) {
      list.push_back({h.ids.data(), h.word.data(), static_cast<uint32_t>(h.ids.size()), 0});
    }
    sp_plan_rule rule{};
    rule.methods = methods;
    rule.dedupe = dedupe;
    rule.cls = kCls;
    rule.sep = kSep;
    rule.mask = kMask;
    sp_error err{};
    EXPECT_EQ(sp_plan_build(&plan_, list.data(), list.size(), &rule, &err), SP_OK) << err.message;
  }
  ~Plan() {
    sp_plan_release(&plan_);
  }
  Plan(const Plan &) = delete;
  Plan &operator=(const Plan &) = delete;
  sp_plan *operator->() {
    return &plan_;
  }
  sp_plan *get() {
    return &plan_;
  }
  std::vector<int32_t> Tokens(uint32_t s) const {
    const sp_sequence &seq = plan_.sequence[s];
    std::vector<int32_t> ids(plan_.base_ids + plan_.base_start[seq.base],
                             plan_.base_ids + plan_.base_start[seq.base + 1]);
    for (uint32_t i = seq.mask_lo; i < seq.mask_hi; i++) {
      ids[i] = kMask;
    }
    return ids;
  }
  uint32_t RowOfTarget(uint32_t target) const {
    uint32_t row = 0;
    while (plan_.row_target[row + 1] <= target) {
      row++;
    }
    return row;
  }
  uint32_t SequenceOfRow(uint32_t row) const {
    uint32_t s = 0;
    while (plan_.sequence[s + 1].row_first <= row) {
      s++;
    }
    return s;
  }
  uint32_t RowOfCls(uint32_t cls) const {
    uint32_t row = 0;
    while (plan_.row_cls[row + 1] <= cls) {
      row++;
    }
    return row;
  }

 private:
  sp_plan plan_{};
};

std::vector<int32_t> Expected(const Hyp &h, enum sp_method method, size_t k) {
  std::vector<int32_t> ids{kCls};
  ids.insert(ids.end(), h.ids.begin(), h.ids.end());
  ids.push_back(kSep);
  if (method == SP_PLL) {
    ids[k + 1] = kMask;
  }
  for (size_t j = k; method == SP_PLL_L2R && j < h.ids.size() && h.word[j] == h.word[k]; j++) {
    ids[j + 1] = kMask;
  }
  return ids;
}

void CheckRule(const std::vector<Hyp> &hyps, unsigned methods, bool dedupe) {
  Plan plan(hyps, methods, dedupe);
  for (size_t h = 0; h < hyps.size(); h++) {
    uint32_t base = plan->hyp_base[h];
    for (int m = 0; m < SP_METHOD_COUNT; m++) {
      if (!(methods >> m & 1u)) {
        continue;
      }
      const uint32_t *result = plan->result + plan->result_first[m][base];
      if (m == SP_CLS) {
        uint32_t row = plan.RowOfCls(result[0]);
        ASSERT_EQ(plan->row_position[row], 0u);
        ASSERT_EQ(plan.Tokens(plan.SequenceOfRow(row)), Expected(hyps[h], SP_CLS, 0));
        continue;
      }
      for (size_t k = 0; k < hyps[h].ids.size(); k++) {
        ASSERT_LT(result[k], plan->targets);
        uint32_t row = plan.RowOfTarget(result[k]);
        ASSERT_EQ(plan->target_id[result[k]], hyps[h].ids[k]);
        ASSERT_EQ(plan->row_position[row], k + 1);
        ASSERT_EQ(plan.Tokens(plan.SequenceOfRow(row)),
                  Expected(hyps[h], static_cast<enum sp_method>(m), k));
      }
    }
  }
}

std::vector<Hyp> RandomHyps(uint32_t seed, size_t n, int vocabulary, size_t longest) {
  std::mt19937 random(seed);
  std::vector<Hyp> hyps(n);
  for (Hyp &h : hyps) {
    size_t len = 1 + random() % longest;
    uint32_t word = 0;
    for (size_t i = 0; i < len; i++) {
      h.ids.push_back(static_cast<int32_t>(random() % static_cast<unsigned>(vocabulary)));
      word += i > 0 && random() % 3 != 0;
      h.word.push_back(word);
    }
  }
  return hyps;
}

TEST(Plan, FollowsTheRuleOnRandomLists) {
  for (uint32_t seed = 0; seed < 20; seed++) {
    // A vocabulary of six with [MASK] in it makes equal texts, equal copies and literal masks common.
    for (const auto &hyps : {RandomHyps(seed, 30, 6, 4), RandomHyps(seed, 10, 1000, 12)}) {
      for (unsigned methods = 1; methods <= kAll; methods++) {
        CheckRule(hyps, methods, true);
      }
      CheckRule(hyps, kAll, false);
    }
  }
}

TEST(Plan, SharesEqualTextsAndCopies) {
  Hyp a{{10, 11, 12}, {0, 1, 2}}, b{{10, 99, 12}, {0, 1, 2}};
  Plan plan({a, a, b}, 1u << SP_PLL);
  EXPECT_EQ(plan->bases, 2u);
  EXPECT_EQ(plan->copies, 6u);     // of two texts; the equal hypothesis adds none
  EXPECT_EQ(plan->sequences, 5u);  // 10 [MASK] 12 is both's
  EXPECT_EQ(plan->targets, 6u);    // with two targets in its row
}

TEST(Plan, SingleTokenWordsShareTheirCopiesAcrossMethods) {
  Hyp a{{10, 11, 12}, {0, 1, 1}};
  Plan plan({a}, 1u << SP_PLL | 1u << SP_PLL_L2R);
  EXPECT_EQ(plan->copies, 6u);
  EXPECT_EQ(plan->sequences, 4u);  // only token 11 is masked with its successor
}

TEST(Plan, KeepsNothingTogetherWithoutDedupe) {
  Hyp a{{10, 11}, {0, 1}};
  Plan plan({a, a}, 1u << SP_PLL | 1u << SP_PLL_L2R, false);
  EXPECT_EQ(plan->bases, 2u);
  EXPECT_EQ(plan->sequences, 8u);
}

TEST(Plan, BoundsTheTargetsOfOneRow) {
  std::vector<Hyp> hyps;
  for (int32_t id = 100; id < 100 + 5 * SP_PLAN_MAX_TARGETS; id++) {
    hyps.push_back({{10, id, 12}, {0, 1, 2}});
  }
  CheckRule(hyps, 1u << SP_PLL, true);
  Plan plan(hyps, 1u << SP_PLL);
  for (size_t r = 0; r < plan->rows; r++) {
    EXPECT_LE(plan->row_target[r + 1] - plan->row_target[r], uint32_t{SP_PLAN_MAX_TARGETS});
  }
}

TEST(Plan, BoundsTheTargetsOfOneRowWithMaskless) {
  const int32_t mask = 103;
  std::vector<Hyp> hyps;
  for (int32_t id = 200; id < 200 + SP_PLAN_MAX_TARGETS; id++) {
    hyps.push_back({{id}, {0}});
  }
  hyps.push_back({{mask}, {0}});  // its plain sequence is every other's masked copy
  Plan plan(hyps, 1u << SP_PLL | 1u << SP_MASKLESS);
  for (size_t r = 0; r < plan->rows; r++) {
    EXPECT_LE(plan->row_target[r + 1] - plan->row_target[r], uint32_t{SP_PLAN_MAX_TARGETS});
  }
}

TEST(Plan, OrdersSequencesByLength) {
  auto hyps = RandomHyps(7, 50, 100, 20);
  Plan plan(hyps, kAll);
  size_t tokens = 0;
  for (uint32_t s = 0; s < plan->sequences; s++) {
    tokens += plan.Tokens(s).size();
    if (s > 0) {
      EXPECT_LE(plan.Tokens(s).size(), plan.Tokens(s - 1).size());
    }
  }
  EXPECT_EQ(tokens, plan->tokens);
}

TEST(Plan, TakesNoHypotheses) {
  Plan plan({}, kAll);
  EXPECT_EQ(plan->sequences, 0u);
  sp_batch_limits limits{64, 4096};
  size_t n = 1;
  sp_plan_cut(plan.get(), &limits, true, &n);
  EXPECT_EQ(n, 0u);
}

// Every sequence, row and target of the plan is in exactly one batch, at its place.
void CheckBatches(Plan &plan, const sp_batch_limits &limits, bool pack) {
  size_t n = 0;
  sp_batch_range *ranges = sp_plan_cut(plan.get(), &limits, pack, &n);
  ASSERT_NE(ranges, nullptr);
  sp_arena arena{};
  sp_batch batch;
  ASSERT_TRUE(sp_batch_init(&batch, &limits, &arena));
  uint32_t next = 0;
  size_t targets = 0, cls = 0;
  for (size_t i = 0; i < n; i++) {
    ASSERT_EQ(ranges[i].first, next);
    next += ranges[i].count;
    sp_batch_fill(&batch, plan.get(), ranges[i], pack);
    ASSERT_LE(batch.tokens, limits.tokens);
    ASSERT_LE(batch.targets, limits.targets);
    ASSERT_LE(batch.base_tokens, batch.tokens);
    ASSERT_EQ(batch.first_target, targets);
    ASSERT_EQ(batch.first_cls, cls);
    targets += batch.targets;
    cls += batch.cls_rows;
    for (size_t s = 0; s < batch.sequences; s++) {
      uint32_t slots = batch.token_start[s + 1] - batch.token_start[s];
      ASSERT_EQ(slots, pack ? batch.len[s] : batch.len[0]);
      const int32_t *text = batch.base_ids + batch.base_start[s];
      uint32_t base = plan->sequence[ranges[i].first + s].base;
      ASSERT_LE(batch.base_start[s] + batch.len[s], batch.base_tokens);
      ASSERT_TRUE(std::equal(text, text + batch.len[s], plan->base_ids + plan->base_start[base]));
      for (uint32_t r = batch.row_start[s]; r < batch.row_start[s + 1]; r++) {
        ASSERT_LT(batch.row_position[r], batch.len[s]);
        ASSERT_EQ(batch.row_token[r], batch.token_start[s] + batch.row_position[r]);
      }
    }
    std::set<uint32_t> rows;
    for (size_t r = 0; r < batch.rows - batch.cls_rows; r++) {
      rows.insert(batch.mlm_row[r]);
    }
    for (size_t r = 0; r < batch.cls_rows; r++) {
      rows.insert(batch.cls_row[r]);
      ASSERT_EQ(batch.row_position[batch.cls_row[r]], 0u);
    }
    ASSERT_EQ(rows.size(), batch.rows);
    for (size_t t = 0; t < batch.targets; t++) {
      uint32_t row = plan.RowOfTarget(static_cast<uint32_t>(batch.first_target + t));
      uint32_t local = batch.mlm_row[batch.target_row[t]];
      ASSERT_EQ(row, plan->sequence[ranges[i].first].row_first + local);
    }
  }
  EXPECT_EQ(next, plan->sequences);
  EXPECT_EQ(targets, plan->targets);
  EXPECT_EQ(cls, plan->cls_rows);
  sp_arena_release(&arena);
}

TEST(Batch, CoversThePlanOnce) {
  for (uint32_t seed = 0; seed < 5; seed++) {
    auto hyps = RandomHyps(seed, 20, 8, 12);
    for (size_t tokens : {14, 15, 40, 1000}) {
      for (bool pack : {true, false}) {
        Plan plan(hyps, kAll);
        CheckBatches(plan, {tokens, tokens * SP_PLAN_MAX_TARGETS}, pack);
      }
    }
  }
}

}  // namespace
