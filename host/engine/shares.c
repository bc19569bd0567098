#include "shares.h"

#include <stdlib.h>

#include "mix.h"

struct rank {
  double cost;
  uint32_t shard;
};

/* Longest first; ties by index. */
static int by_cost(const void *a, const void *b) {
  const struct rank *x = a, *y = b;
  if (x->cost > y->cost || x->cost < y->cost) {
    return x->cost > y->cost ? -1 : 1;
  }
  return x->shard < y->shard ? -1 : x->shard > y->shard;
}

size_t sp_shares_part(size_t k, size_t parts) {
  size_t at = k % parts;
  return k / parts % 2 == 0 ? at : parts - 1 - at;
}

/* In the whole order, of the k-th of a part. */
static size_t place_of(size_t k, size_t part, size_t parts) {
  return k * parts + (k % 2 == 0 ? part : parts - 1 - part);
}

size_t sp_shares_count(size_t n, size_t part, size_t parts) {
  return n / parts + (place_of(n / parts, part, parts) < n);
}

static enum sp_status sort_all(const struct sp_plan_shard *shards, size_t n, struct sp_shares *out,
                               struct sp_error *err) {
  *out = (struct sp_shares){0};
  if (n > UINT32_MAX) {
    return sp_fail(err, SP_EUSAGE, "%zu shards are too many; use larger ones", n);
  }
  struct rank *ranks = calloc(n ? n : 1, sizeof *ranks);
  uint32_t *order = calloc(n ? n : 1, sizeof *order);
  if (!ranks || !order) {
    free(ranks);
    free(order);
    return sp_fail_memory(err, n * sizeof *ranks);
  }
  for (size_t i = 0; i < n; i++) {
    ranks[i] = (struct rank){shards[i].cost, (uint32_t)i};
  }
  qsort(ranks, n, sizeof *ranks, by_cost);
  for (size_t k = 0; k < n; k++) {
    order[k] = ranks[k].shard;
  }
  free(ranks);
  *out = (struct sp_shares){order, n};
  return SP_OK;
}

enum sp_status sp_shares_of(const struct sp_shares *all, size_t part, size_t parts,
                            struct sp_shares *out, struct sp_error *err) {
  *out = (struct sp_shares){.order = calloc(all->n / parts + 1, sizeof *out->order)};
  if (!out->order) {
    return sp_fail_memory(err, (all->n / parts + 1) * sizeof *out->order);
  }
  for (size_t k = part; k < all->n; k = place_of(++out->n, part, parts)) {
    out->order[out->n] = all->order[k];
  }
  return SP_OK;
}

enum sp_status sp_shares_make(const struct sp_plan_shard *shards, size_t n, size_t part,
                              size_t parts, struct sp_shares *out, struct sp_error *err) {
  struct sp_shares all;
  *out = (struct sp_shares){0};
  SP_TRY(sort_all(shards, n, &all, err));
  enum sp_status status = sp_shares_of(&all, part, parts, out, err);
  sp_shares_release(&all);
  return status;
}

bool sp_shares_probe(size_t n, unsigned step, uint64_t salt, size_t *place) {
  enum { most_steps = 40 };
  size_t stretch = (size_t)1 << (step < most_steps ? step : 0), first = stretch - 1;
  if (step >= most_steps || first >= n) {
    return false;
  }
  size_t width = stretch < n - first ? stretch : n - first;
  *place = n - 1 - first - (size_t)(sp_mix64(salt + step) % width);
  return true;
}

uint64_t sp_shares_draw(size_t part, uint64_t salt) {
  return sp_mix64(sp_mix64(salt + 1) ^ ((uint64_t)part + 1) * 0x9e3779b97f4a7c15u);
}

void sp_shares_release(struct sp_shares *shares) {
  free(shares->order);
  *shares = (struct sp_shares){0};
}
