#include "difference.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
  mantissa_bits = 10,
  bucket_shift = 23 - mantissa_bits,
  n_buckets = 1 << (8 + mantissa_bits)
};

const double sp_difference_level[sp_difference_levels] = {0.5, 0.9, 0.99, 0.999};
const char *const sp_difference_level_name[sp_difference_levels] = {"p50", "p90", "p99", "p99_9"};

struct sp_difference {
  struct sp_difference_summary counts;
  double sum;        /* of b - a */
  uint64_t zeros;    /* pairs that differ by 0 */
  uint64_t *buckets; /* (n_buckets) of the others */
};

enum sp_status sp_difference_create(struct sp_difference **out, struct sp_error *err) {
  struct sp_difference *difference = calloc(1, sizeof *difference);
  *out = NULL;
  if (!difference) {
    return sp_fail_memory(err, sizeof *difference);
  }
  difference->buckets = calloc(n_buckets, sizeof *difference->buckets);
  if (!difference->buckets) {
    free(difference);
    return sp_fail_memory(err, n_buckets * sizeof *difference->buckets);
  }
  *out = difference;
  return SP_OK;
}

void sp_difference_destroy(struct sp_difference *difference) {
  if (difference) {
    free(difference->buckets);
    free(difference);
  }
}

/* Two floats that differ do so by a float above 0, maybe a subnormal one. */
static uint32_t bucket_of(double distance) {
  float rounded = (float)distance;
  uint32_t bits;
  memcpy(&bits, &rounded, sizeof bits);
  return bits >> bucket_shift;
}

static double upper_end(uint32_t bucket) {
  uint32_t bits = bucket << bucket_shift | ((1u << bucket_shift) - 1);
  float value;
  memcpy(&value, &bits, sizeof value);
  return isnan(value) ? INFINITY : (double)value;
}

static bool add_null(struct sp_difference_summary *counts, float a, float b) {
  counts->nulls += isnan(a) && isnan(b);
  counts->nulls_appeared += !isnan(a);
  counts->nulls_vanished += !isnan(b);
  return isnan(a) != isnan(b);
}

bool sp_difference_add(struct sp_difference *difference, float a, float b, bool *grew) {
  struct sp_difference_summary *counts = &difference->counts;
  *grew = false;
  if (isnan(a) || isnan(b)) {
    return add_null(counts, a, b);
  }
  double change = (double)b - (double)a, distance = fabs(change);
  bool differ = memcmp(&a, &b, sizeof a) != 0;
  counts->compared++;
  counts->differ += differ;
  difference->sum += change;
  if (distance == 0) {
    difference->zeros++;
    return differ;
  }
  difference->buckets[bucket_of(distance)]++;
  *grew = distance > counts->largest;
  counts->largest = *grew ? distance : counts->largest;
  return true;
}

void sp_difference_summarize(const struct sp_difference *difference,
                             struct sp_difference_summary *out) {
  uint64_t seen = difference->zeros;
  double value = 0; /* the `seen` smallest distances are at most this */
  uint32_t bucket = 0;
  *out = difference->counts;
  if (out->compared == 0) {
    return;
  }
  out->mean = difference->sum / (double)out->compared;
  for (int q = 0; q < sp_difference_levels; q++) {
    double rank = ceil(sp_difference_level[q] * (double)out->compared);
    while ((double)seen < rank && bucket < n_buckets) {
      seen += difference->buckets[bucket];
      value = difference->buckets[bucket] ? upper_end(bucket) : value;
      bucket++;
    }
    out->quantiles[q] = fmin(value, out->largest);
  }
}
