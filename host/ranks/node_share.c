#include "node_share.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mix.h"

bool sp_node_device_is_open(const char *asked) {
  return asked && (strcmp(asked, "cuda") == 0 || strcmp(asked, "auto") == 0);
}

static int by_id(const void *left, const void *right) {
  const struct sp_device_identity *a = left, *b = right;
  return a->id != b->id ? (a->id > b->id) - (a->id < b->id)
                        : (a->number > b->number) - (a->number < b->number);
}

static int by_number(const void *left, const void *right) {
  const struct sp_device_identity *a = left, *b = right;
  return (a->number > b->number) - (a->number < b->number);
}

void sp_node_gpus_sort(struct sp_node_gpus *gpus) {
  qsort(gpus->gpus, gpus->n, sizeof *gpus->gpus, by_id);
}

uint64_t sp_node_gpus_key(const struct sp_node_gpus *gpus) {
  uint64_t key = gpus->n;
  for (size_t g = 0; g < gpus->n; g++) {
    key = sp_mix64(key + gpus->gpus[g].id);
  }
  return gpus->n == 0 ? 0 : key ? key : 1;
}

const char *sp_node_device(const struct sp_node_gpus *gpus, const char *asked,
                           char out[SP_NODE_DEVICE]) {
  struct sp_device_identity mine[SP_MAX_DEVICES];
  size_t n = 0, used = (size_t)snprintf(out, SP_NODE_DEVICE, "cuda:");
  if (!sp_node_device_is_open(asked) || gpus->n == 0 || gpus->count < 2) {
    return asked;
  }
  for (size_t g = gpus->rank % gpus->n; g < gpus->n; g += gpus->count) {
    mine[n++] = gpus->gpus[g];
  }
  qsort(mine, n, sizeof *mine, by_number);
  for (size_t k = 0; k < n && used < SP_NODE_DEVICE; k++) {
    used +=
        (size_t)snprintf(out + used, SP_NODE_DEVICE - used, "%s%zu", k ? "," : "", mine[k].number);
  }
  return out;
}

size_t sp_node_threads(const struct sp_ranks *ranks, size_t usable) {
  if (ranks->local_cpus == 0 || ranks->local_count == 0) {
    return usable;
  }
  size_t share = ranks->local_cpus / ranks->local_count;
  return share >= usable ? usable : share > 0 ? share : 1;
}

bool sp_node_is_bound(const struct sp_ranks *ranks, size_t allowed) {
  return ranks->local_cpus > 0 && ranks->local_cpus <= allowed / 2;
}
