/* mix.h - a fixed scramble of 64 bits: numbers that look drawn, the same everywhere. */
#ifndef SP_BASE_MIX_H
#define SP_BASE_MIX_H

#include <stdint.h>

/* A bijection; sp_mix64 of 1, 2, 3, .. times an odd constant is SplitMix64 (Steele, Lea, Flood 2014). */
static inline uint64_t sp_mix64(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

/* In [0, 1). */
static inline double sp_unit64(uint64_t bits) {
  return (double)(bits >> 11) * 0x1p-53;
}

#endif
