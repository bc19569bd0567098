#include "draws.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <vector>

namespace {

TEST(Draws, AreSplitMix64OfTheKey) {
  // The published first outputs of SplitMix64 seeded with 1234567.
  sp_draws draws{1234567, 0};
  EXPECT_EQ(sp_draw_bits(&draws), 6457827717110365317u);
  EXPECT_EQ(sp_draw_bits(&draws), 3203168211198807973u);
  EXPECT_EQ(sp_draw_bits(&draws), 9817491932198370423u);
}

TEST(Draws, DependOnEveryPartOfTheirPlace) {
  std::set<uint64_t> keys;
  for (uint64_t seed : {0, 1, 2})
    for (auto stream : {SP_DRAW_ORDER, SP_DRAW_JOIN, SP_DRAW_MASK})
      for (uint64_t a : {0, 1, 2})
        for (uint64_t b : {0, 1, 2})
          keys.insert(sp_draws_at(seed, stream, a, b).key);
  EXPECT_EQ(keys.size(), 81u);
}

TEST(Draws, AreEvenlySpread) {
  sp_draws draws = sp_draws_at(7, SP_DRAW_MASK, 0, 0);
  const int n = 100000;
  std::vector<int> count(10);
  double sum = 0;
  for (int i = 0; i < n; i++) {
    count[sp_draw_below(&draws, 10)]++;
    double unit = sp_draw_unit(&draws);
    ASSERT_GE(unit, 0);
    ASSERT_LT(unit, 1);
    sum += unit;
  }
  for (int c : count)
    EXPECT_NEAR(c, n / 10, 5 * std::sqrt(n * 0.09));
  EXPECT_NEAR(sum / n, 0.5, 5 / std::sqrt(12.0 * n));
}

TEST(Order, IsAPermutationOfAnySize) {
  for (uint64_t n : {1, 2, 3, 4, 5, 16, 17, 1000, 4096, 4097, 65537}) {
    sp_order order = sp_order_make(n, sp_draws_at(1, SP_DRAW_ORDER, 0, 0));
    std::vector<bool> seen(n);
    for (uint64_t i = 0; i < n; i++) {
      uint64_t to = sp_order_at(&order, i);
      ASSERT_LT(to, n);
      ASSERT_FALSE(seen[to]) << n;
      seen[to] = true;
    }
  }
}

TEST(Order, DiffersByEpochAndMixes) {
  const uint64_t n = 10000;
  sp_order one = sp_order_make(n, sp_draws_at(1, SP_DRAW_ORDER, 0, 0));
  sp_order two = sp_order_make(n, sp_draws_at(1, SP_DRAW_ORDER, 1, 0));
  int same = 0, ascending = 0;
  double product = 0;
  for (uint64_t i = 0; i < n; i++) {
    same += sp_order_at(&one, i) == sp_order_at(&two, i);
    ascending += i > 0 && sp_order_at(&one, i) > sp_order_at(&one, i - 1);
    product += (i - n / 2.0) * (static_cast<double>(sp_order_at(&one, i)) - n / 2.0);
  }
  EXPECT_LT(same, 10);                                     // 1 is expected
  EXPECT_NEAR(ascending, n / 2, 5 * std::sqrt(n / 12.0));  // variance of ascents
  EXPECT_LT(std::fabs(product / n / (n * n / 12.0)), 0.05);
}

}  // namespace
