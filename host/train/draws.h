/* draws.h - random numbers by counter, and a permutation without a table.
 *
 * Every number is a pure function of a key and a counter, so that a run can go on anywhere and no draw
 * depends on how many came before in another place.  The mixer is the finaliser of SplitMix64 (G. Steele,
 * D. Lea, C. Flood, OOPSLA 2014; constants of D. Stafford's mix 13): draw c of key k is the (c + 1)-th
 * output of that generator seeded with k. */
#ifndef SP_TRAIN_DRAWS_H
#define SP_TRAIN_DRAWS_H

#include <stdbool.h>
#include <stdint.h>

static inline uint64_t sp_mix64(uint64_t x) {
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
  x = (x ^ x >> 27) * 0x94d049bb133111ebu;
  return x ^ x >> 31;
}

/* What draws are for: equal counters of different streams have nothing to do with each other. */
enum sp_draw_stream { SP_DRAW_ORDER = 1, SP_DRAW_JOIN, SP_DRAW_MASK, SP_DRAW_WEIGHTS };

/* The draws of one place: `a` and `b` say which (epoch and item, tensor and part, ..). */
struct sp_draws {
  uint64_t key, counter;
};

static inline struct sp_draws sp_draws_at(uint64_t seed, enum sp_draw_stream stream, uint64_t a,
                                          uint64_t b) {
  uint64_t key = sp_mix64(seed + 0x9e3779b97f4a7c15u * (uint64_t)stream);
  key = sp_mix64(key ^ sp_mix64(a + 0xd1b54a32d192ed03u));
  key = sp_mix64(key ^ sp_mix64(b + 0x8cb92ba72f3d8dd7u));
  struct sp_draws draws = {key, 0};
  return draws;
}

static inline uint64_t sp_draw_bits(struct sp_draws *draws) {
  return sp_mix64(draws->key + 0x9e3779b97f4a7c15u * ++draws->counter);
}

/* In [0, 1), of 53 bits. */
static inline double sp_draw_unit(struct sp_draws *draws) {
  return (double)(sp_draw_bits(draws) >> 11) * 0x1p-53;
}

/* In [0, n), n > 0; each value's share is off by at most 2^-64. */
static inline uint64_t sp_draw_below(struct sp_draws *draws, uint64_t n) {
  return (uint64_t)(((unsigned __int128)sp_draw_bits(draws) * n) >> 64);
}

/* A permutation of [0, n) by key: a balanced Feistel network on the next even number of bits, walked along
 * its cycle until the value is below n (Black and Rogaway 2002); under four steps on average. */
#define SP_ORDER_ROUNDS 6
struct sp_order {
  uint64_t n;    /* at most 2^62 */
  unsigned half; /* bits of a half */
  uint64_t keys[SP_ORDER_ROUNDS];
};

static inline struct sp_order sp_order_make(uint64_t n, struct sp_draws draws) {
  struct sp_order order;
  order.n = n;
  order.half = 1;
  while (order.half < 31 && n > (uint64_t)1 << 2 * order.half) {
    order.half++;
  }
  for (int r = 0; r < SP_ORDER_ROUNDS; r++) {
    order.keys[r] = sp_draw_bits(&draws);
  }
  return order;
}

/* Where place i < n goes. */
static inline uint64_t sp_order_at(const struct sp_order *order, uint64_t i) {
  uint64_t mask = ((uint64_t)1 << order->half) - 1;
  do {
    uint64_t left = i >> order->half, right = i & mask;
    for (int r = 0; r < SP_ORDER_ROUNDS; r++) {
      uint64_t next = left ^ (sp_mix64(right ^ order->keys[r]) & mask);
      left = right;
      right = next;
    }
    i = left << order->half | right;
  } while (i >= order->n);
  return i;
}

#endif
