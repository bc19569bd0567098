#include "bf16.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

namespace {

float FromBits(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

uint32_t Bits(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

TEST(Bf16, EveryHalfSurvivesTheWayThereAndBack) {
  for (uint32_t half = 0; half < 0x10000; half++) {
    float value = sp_bf16_to_f32(static_cast<uint16_t>(half));
    uint16_t again = sp_bf16_from_f32(value);
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(sp_bf16_to_f32(again))) << half;
      EXPECT_EQ(again & 0x8000u, half & 0x8000u) << half;
    } else {
      EXPECT_EQ(again, half);
    }
  }
}

TEST(Bf16, RoundsToTheNearerAndTiesToEven) {
  for (uint32_t half : {0x3f80u, 0x3f81u, 0x0000u, 0x0001u, 0x007fu, 0x0080u, 0xc2ffu, 0x7f7eu}) {
    uint32_t at = half << 16;
    EXPECT_EQ(sp_bf16_from_f32(FromBits(at + 0x7fff)), half);
    EXPECT_EQ(sp_bf16_from_f32(FromBits(at + 0x8001)), half + 1);
    EXPECT_EQ(sp_bf16_from_f32(FromBits(at + 0x8000)), half + (half & 1)) << half;
  }
}

TEST(Bf16, ErrorIsAtMostHalfAStep) {
  std::mt19937 random(3);
  for (int i = 0; i < 200000; i++) {
    float value = FromBits(static_cast<uint32_t>(random()));
    if (!std::isfinite(value) || std::fabs(value) > 1e38f || std::fabs(value) < 1e-37f)
      continue;
    double error = std::fabs(static_cast<double>(sp_bf16_to_f32(sp_bf16_from_f32(value))) - value);
    EXPECT_FALSE(!(error <= std::ldexp(std::fabs(value), -8))) << value;
  }
}

TEST(Bf16, OverflowIsInfinityAndNaNStaysNaN) {
  const float huge = std::numeric_limits<float>::max();
  EXPECT_EQ(sp_bf16_from_f32(huge), 0x7f80);
  EXPECT_EQ(sp_bf16_from_f32(-huge), 0xff80);
  EXPECT_EQ(sp_bf16_from_f32(std::numeric_limits<float>::infinity()), 0x7f80);
  for (uint32_t nan : {0x7f800001u, 0x7fffffffu, 0xff800001u, 0xffffffffu, 0x7fc00000u}) {
    EXPECT_TRUE(std::isnan(sp_bf16_to_f32(sp_bf16_from_f32(FromBits(nan))))) << std::hex << nan;
  }
  EXPECT_EQ(Bits(sp_bf16_to_f32(sp_bf16_from_f32(-0.0f))), 0x80000000u);
}

}  // namespace
