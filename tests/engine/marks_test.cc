// marks_test.cc - blocks of utterances that stay within their memory and add up to shards.
#include "marks.h"

#include <gtest/gtest.h>

#include "cost.h"
#include "run_files.h"
#include "score_line.h"

namespace {

class Marks : public testing::Test {
 protected:
  void TearDown() override {
    sp_marks_release(&marks_);
  }
  // Utterance u has u hypotheses, and stands in line u.
  void Add(size_t from, size_t to) {
    for (size_t u = from; u < to; u++) {
      sp_plan_shard utt{};
      utt.utts = 1;
      utt.hyps = u;
      utt.tokens = 2 * u;
      utt.cost = 0.5 * static_cast<double>(u);
      utt.xxh64 = u * 0x9e3779b97f4a7c15u;
      utt.has_place = sp_marks_begin_next(&marks_);
      utt.place.line = u;
      ASSERT_EQ(sp_marks_add(&marks_, &utt, &err_), SP_OK) << err_.message;
    }
  }
  // Every shard is the sum of its utterances.
  void Check(size_t utts, size_t shard_utts) {
    ASSERT_EQ(marks_.n, (utts + shard_utts - 1) / shard_utts);
    for (size_t s = 0; s < marks_.n; s++) {
      uint64_t n = 0, hyps = 0, hash = 0;
      for (size_t u = s * shard_utts; u < std::min(utts, (s + 1) * shard_utts); u++) {
        n++;
        hyps += u;
        hash += u * 0x9e3779b97f4a7c15u;
      }
      const sp_plan_shard &shard = marks_.mark[s];
      ASSERT_EQ(shard.utts, n) << s;
      ASSERT_EQ(shard.hyps, hyps) << s;
      ASSERT_EQ(shard.tokens, 2 * hyps) << s;
      ASSERT_EQ(shard.cost, 0.5 * static_cast<double>(hyps)) << s;
      ASSERT_EQ(shard.xxh64, hash) << s;
      ASSERT_TRUE(shard.has_place) << s;
      ASSERT_EQ(shard.place.line, s * shard_utts) << s;
    }
  }

  sp_marks marks_{};
  sp_error err_{};
};

TEST_F(Marks, WithAGivenSizeAMarkIsAShard) {
  sp_marks_init(&marks_, 7);
  Add(0, 30);
  EXPECT_EQ(sp_marks_round_up(&marks_, 7), 7u);
  Check(30, 7);
  sp_marks_merge(&marks_, 7);
  Check(30, 7);
}

TEST_F(Marks, FewUtterancesLeaveTheSizeOfShardsAlone) {
  sp_marks_init(&marks_, 0);
  Add(0, 1000);
  EXPECT_EQ(sp_marks_round_up(&marks_, 13), 13u);
  sp_marks_merge(&marks_, 13);
  Check(1000, 13);
}

TEST_F(Marks, ManyAreMergedAndMemoryIsBounded) {
  sp_marks_init(&marks_, 0);
  Add(0, SP_MARKS);
  EXPECT_EQ(marks_.block, 1u);
  EXPECT_EQ(marks_.n, SP_MARKS);
  Add(SP_MARKS, SP_MARKS + 1);
  EXPECT_EQ(marks_.block, 2u);
  Add(SP_MARKS + 1, 2 * SP_MARKS + 3);
  EXPECT_EQ(marks_.block, 4u);
  EXPECT_LE(marks_.n, SP_MARKS);
  EXPECT_LE(marks_.room, SP_MARKS) << "23 MB";
  EXPECT_EQ(sp_marks_round_up(&marks_, 500), 500u);
  EXPECT_EQ(sp_marks_round_up(&marks_, 501), 504u);
  sp_marks_merge(&marks_, 504);
  Check(2 * SP_MARKS + 3, 504);
}

// A pass costs what its tokens do; a masked copy a token is a pass a token.
TEST(Cost, IsThatOfTheSequencesOfEachMethod) {
  sp_model_config config{};
  config.layers = 2;
  config.hidden = 32;
  config.heads = 2;
  config.head_dim = 16;
  config.ffn = 64;
  config.vocab_size = 100;
  const unsigned pll = 1u << SP_PLL, l2r = 1u << SP_PLL_L2R, cls = 1u << SP_CLS;
  EXPECT_EQ(sp_cost_of_hyp(&config, pll, 0), 0);
  EXPECT_EQ(sp_cost_of_hyp(&config, pll, 9), sp_cost_of_hyp(&config, l2r, 9));
  EXPECT_DOUBLE_EQ(sp_cost_of_hyp(&config, pll | cls, 9),
                   sp_cost_of_hyp(&config, pll, 9) + sp_cost_of_hyp(&config, cls, 9));
  EXPECT_GT(sp_cost_of_hyp(&config, pll, 9), 9 * sp_cost_of_hyp(&config, cls, 9));
  // by hand: one sequence of 11 positions, the last layer but for keys and values at one row
  const double position = 8.0 * 32 * 32 + 4.0 * 32 * 64, attention = 4.0 * 32 * 11;
  EXPECT_DOUBLE_EQ(
      sp_cost_of_hyp(&config, cls, 9),
      11 * (position + attention) + 11 * 4.0 * 32 * 32 + (position - 4.0 * 32 * 32 + attention));
}

}  // namespace
