#include "mask_graph.h"

#include <assert.h>
#include <stdlib.h>

#include "checked.h"
#include "mask_row.h"

/* Whether the row asks for a position at or past `len`.  A row that sees the whole sentence, by full
 * or by exemption, asks for no more than there is. */
static bool is_cut(const struct sp_mask_args *args, size_t i, size_t len, uint32_t bits) {
  size_t exempt = args->exempt_last ? len - 1 : 0;
  if (args->exempt != SP_EXEMPT_NONE && i == exempt) {
    return false;
  }
  switch (args->policy) {
    case SP_MASK_LAYERWISE:
      return args->reach > len - 1 - i;
    case SP_MASK_CHUNKED:
      return args->reach > len - i / args->reach * args->reach;
    case SP_MASK_DYNAMIC:
      return len - 1 - i < SP_MAX_REACH && bits >> (len - 1 - i) != 0;
    default:
      return false;
  }
}

static void write_row(struct sp_mask_graph *graph, const struct sp_mask_args *args, size_t layer,
                      size_t i, uint32_t bits) {
  uint64_t *cut = &graph->cut[layer * graph->words + i / 64], bit = UINT64_C(1) << i % 64;
  sp_mask_row(args, i, graph->len, graph->len, bits, sp_mask_graph_row(graph, layer, i));
  *cut = is_cut(args, i, graph->len, bits) ? *cut | bit : *cut & ~bit;
}

void sp_mask_graph_set_row(struct sp_mask_graph *graph, const struct sp_lookahead *rule,
                           size_t layer, size_t i, uint32_t bits) {
  struct sp_mask_args args = sp_lookahead_mask(rule, layer, graph->layers);
  write_row(graph, &args, layer, i, bits);
}

enum sp_status sp_mask_graph_create(const struct sp_lookahead *rule, size_t layers, size_t len,
                                    const uint32_t *bits, struct sp_mask_graph *out,
                                    struct sp_error *err) {
  size_t words = (len + 63) / 64, rows = layers * len, n;
  uint64_t *row = NULL;
  assert(bits || rule->policy != SP_MASK_DYNAMIC);
  if (sp_mul_size(sp_mul_sat(layers, len + 1), words, &n)) {
    row = calloc(n, sizeof *row);
  }
  if (!row) {
    return sp_fail_memory(err, sp_mul_sat(sp_mul_sat(layers, len + 1), words * sizeof *row));
  }
  *out = (struct sp_mask_graph){layers, len, words, row, row + rows * words};
  for (size_t l = 0; l < layers; l++) {
    struct sp_mask_args args = sp_lookahead_mask(rule, l, layers);
    for (size_t i = 0; i < len; i++) {
      write_row(out, &args, l, i, args.policy == SP_MASK_DYNAMIC ? bits[l * len + i] : 0);
    }
  }
  return SP_OK;
}

void sp_mask_graph_release(struct sp_mask_graph *graph) {
  free(graph->row);
  *graph = (struct sp_mask_graph){0};
}
