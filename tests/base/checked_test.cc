#include "checked.h"

#include <gtest/gtest.h>

#include <cstdint>

namespace {

TEST(Checked, AddsUpToTheLastValue) {
  size_t out = 7;
  EXPECT_TRUE(sp_add_size(SIZE_MAX - 5, 5, &out));
  EXPECT_EQ(out, SIZE_MAX);
  out = 7;
  EXPECT_FALSE(sp_add_size(SIZE_MAX - 5, 6, &out));
  EXPECT_EQ(out, 7u) << "left alone";
}

TEST(Checked, MultipliesUpToTheLastValue) {
  size_t out = 7;
  EXPECT_TRUE(sp_mul_size(SIZE_MAX / 3, 3, &out));
  EXPECT_EQ(out, SIZE_MAX);
  EXPECT_TRUE(sp_mul_size(0, SIZE_MAX, &out));
  EXPECT_EQ(out, 0u);
  out = 7;
  EXPECT_FALSE(sp_mul_size(SIZE_MAX / 2 + 1, 2, &out));
  EXPECT_FALSE(sp_mul_size(SIZE_MAX, SIZE_MAX, &out));
  EXPECT_EQ(out, 7u) << "left alone";
}

TEST(Checked, Saturates) {
  EXPECT_EQ(sp_mul_sat(6, 7), 42u);
  EXPECT_EQ(sp_mul_sat(SIZE_MAX, 2), SIZE_MAX);
}

TEST(Checked, RoundsUp) {
  EXPECT_EQ(sp_round_up(0, 64), 0u);
  EXPECT_EQ(sp_round_up(1, 64), 64u);
  EXPECT_EQ(sp_round_up(64, 64), 64u);
  EXPECT_EQ(sp_round_up(65, 64), 128u);
  EXPECT_EQ(sp_round_up(10, 3), 12u);
}

TEST(Checked, SmallerAndLarger) {
  EXPECT_EQ(sp_min_size(3, 4), 3u);
  EXPECT_EQ(sp_max_size(3, 4), 4u);
}

}  // namespace
