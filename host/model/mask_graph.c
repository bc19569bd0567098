#include "mask_graph.h"

#include <assert.h>
#include <stdlib.h>

#include "checked.h"
#include "mask_row.h"

enum sp_status sp_mask_graph_create(const struct sp_lookahead *rule, size_t layers, size_t len,
                                    const uint32_t *bits, struct sp_mask_graph *out,
                                    struct sp_error *err) {
  size_t words = (len + 63) / 64, bytes = sp_mul_sat(sp_mul_sat(layers, len), words * 8);
  assert(bits || rule->policy != SP_MASK_DYNAMIC);
  *out = (struct sp_mask_graph){layers, len, words, malloc(sp_max_size(bytes, 1))};
  if (!out->row) {
    return sp_fail_memory(err, bytes);
  }
  for (size_t l = 0; l < layers; l++) {
    struct sp_mask_args args = sp_lookahead_mask(rule, l, layers);
    for (size_t i = 0; i < len; i++) {
      uint32_t of_row = args.policy == SP_MASK_DYNAMIC ? bits[l * len + i] : 0;
      sp_mask_row(&args, i, len, len, of_row, sp_mask_graph_row(out, l, i));
    }
  }
  return SP_OK;
}

void sp_mask_graph_release(struct sp_mask_graph *graph) {
  free(graph->row);
  *graph = (struct sp_mask_graph){0};
}
