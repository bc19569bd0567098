#include "bootstrap.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "checked.h"

static const uint64_t golden = 0x9e3779b97f4a7c15u;

/* splitmix64 (G. Steele, D. Lea, C. Flood, OOPSLA 2014): the mix of a counter. */
static inline uint64_t mix(uint64_t x) {
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
  x = (x ^ x >> 27) * 0x94d049bb133111ebu;
  return x ^ x >> 31;
}

static inline size_t below(uint64_t random, size_t n) {
  return (size_t)((unsigned __int128)random * n >> 64);
}

struct sums {
  uint64_t ref, a, b;
};

static struct sums draw(const struct sp_sample *samples, size_t n, uint64_t seed,
                        uint64_t replicate) {
  uint64_t state = mix(seed + golden * (replicate + 1));
  struct sums sums = {0};
  for (size_t i = 0; i < n; i++) {
    const struct sp_sample *sample = &samples[below(mix(state += golden), n)];
    sums.ref += sample->ref;
    sums.a += sample->a;
    sums.b += sample->b;
  }
  return sums;
}

static int compare(const void *x, const void *y) {
  double a = *(const double *)x, b = *(const double *)y;
  return a < b ? -1 : a > b;
}

static double quantile(const double *sorted, size_t n, double q) {
  double at = q * (double)(n - 1);
  size_t i = (size_t)at;
  double next = sorted[i + 1 < n ? i + 1 : i];
  return sorted[i] + (at - (double)i) * (next - sorted[i]);
}

static struct sp_interval interval(double *rates, size_t n) {
  qsort(rates, n, sizeof *rates, compare);
  return (struct sp_interval){quantile(rates, n, 0.025), quantile(rates, n, 0.975)};
}

enum sp_status sp_bootstrap_run(const struct sp_sample *samples, size_t n, size_t replicates,
                                uint64_t seed, struct sp_bootstrap *out, struct sp_error *err) {
  const struct sp_interval none = {NAN, NAN};
  *out = (struct sp_bootstrap){none, none, none, NAN};
  size_t bytes = sp_mul_sat(replicates, 3 * sizeof(double));
  double *a = malloc(bytes), *b = a + replicates, *difference = b + replicates;
  if (!a) {
    return sp_fail_memory(err, bytes);
  }
  size_t kept = 0, better = 0;
  for (size_t r = 0; r < replicates; r++) {
    struct sums sums = draw(samples, n, seed, r);
    if (sums.ref > 0) { /* a draw of empty references has no rate */
      a[kept] = (double)sums.a / (double)sums.ref;
      b[kept] = (double)sums.b / (double)sums.ref;
      difference[kept] = ((double)sums.a - (double)sums.b) / (double)sums.ref;
      better += sums.a < sums.b;
      kept++;
    }
  }
  if (kept > 0) {
    *out = (struct sp_bootstrap){interval(a, kept), interval(b, kept), interval(difference, kept),
                                 (double)better / (double)kept};
  }
  free(a);
  return SP_OK;
}

enum sp_status sp_bootstrap_blocks(const struct sp_sample *samples, const uint32_t *block, size_t n,
                                   struct sp_sample *out, size_t n_blocks, struct sp_error *err) {
  memset(out, 0, n_blocks * sizeof *out);
  for (size_t i = 0; i < n; i++) {
    struct sp_sample *sum = &out[block[i]];
    if (__builtin_add_overflow(sum->ref, samples[i].ref, &sum->ref) ||
        __builtin_add_overflow(sum->a, samples[i].a, &sum->a) ||
        __builtin_add_overflow(sum->b, samples[i].b, &sum->b)) {
      return sp_fail(err, SP_EINPUT, "a block of more than %u words", UINT32_MAX);
    }
  }
  return SP_OK;
}
