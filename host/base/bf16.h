/* bf16.h - bfloat16 as the upper half of a float; round to nearest, ties to even; NaN stays NaN. */
#ifndef SP_BASE_BF16_H
#define SP_BASE_BF16_H

#include <stdint.h>
#include <string.h>

static inline float sp_bf16_to_f32(uint16_t half) {
  uint32_t bits = (uint32_t)half << 16;
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

static inline uint16_t sp_bf16_from_f32(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  if ((bits & 0x7fffffffu) > 0x7f800000u) {
    return (uint16_t)((bits >> 16) | 0x40u);
  }
  return (uint16_t)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

#endif
