#include "mask_cone.h"

#include <stdlib.h>

/* Nodes below those of a level that the output depends on. */
static void derive_level(const struct sp_mask_graph *graph, size_t layer, const uint64_t *above,
                         uint64_t *below) {
  for (size_t w = 0; w < graph->words; w++) {
    below[w] |= above[w];
    for (uint64_t left = above[w]; left != 0; left &= left - 1) {
      const uint64_t *row = sp_mask_graph_row(graph, layer, w * 64 + (size_t)__builtin_ctzll(left));
      for (size_t k = 0; k < graph->words; k++) {
        below[k] |= row[k];
      }
    }
  }
}

enum sp_status sp_mask_cone_create(const struct sp_mask_graph *graph, size_t position,
                                   struct sp_mask_cone *out, struct sp_error *err) {
  size_t words = graph->words, n = (graph->layers + 1) * words; /* less than the graph's own */
  *out = (struct sp_mask_cone){.layers = graph->layers, .len = graph->len, .words = words};
  out->node = calloc(n, sizeof *out->node);
  if (!out->node) {
    return sp_fail_memory(err, n * sizeof *out->node);
  }
  out->node[graph->layers * words + position / 64] = (uint64_t)1 << position % 64;
  for (size_t l = graph->layers; l-- > 0;) {
    derive_level(graph, l, out->node + (l + 1) * words, out->node + l * words);
  }
  return SP_OK;
}

void sp_mask_cone_release(struct sp_mask_cone *cone) {
  free(cone->node);
  *cone = (struct sp_mask_cone){0};
}

/* The farthest node of a level that node i above depends on and that is ready at `when`; len: none. */
static size_t waits_for(const struct sp_mask_graph *graph, const struct sp_latency *latency,
                        size_t layer, size_t i, uint32_t when) {
  const uint32_t *ready = latency->ready + layer * graph->len;
  for (size_t j = graph->len; j-- > 0;) {
    if ((j == i || sp_mask_graph_sees(graph, layer, i, j)) && ready[j] == when) {
      return j;
    }
  }
  return graph->len;
}

size_t sp_mask_cone_path(const struct sp_mask_graph *graph, const struct sp_latency *latency,
                         size_t position, size_t *path) {
  size_t level = graph->layers;
  uint32_t when = latency->ready[level * graph->len + position];
  for (path[level] = position; level > 0; level--) {
    size_t next = waits_for(graph, latency, level - 1, path[level], when);
    if (next == graph->len) {
      return level;
    }
    path[level - 1] = next;
  }
  return 0;
}
