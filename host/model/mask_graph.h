/* mask_graph.h - who reads whom: the masks of every layer of one sequence, as bits.
 *
 * Node (0, j) is the embedding of position j; node (l + 1, i) reads the nodes (l, j) that row i of
 * layer l sees. Positions count [CLS] and [SEP].
 * Source: ANCAT, Strimel et al. 2023 (methods.md 2.1, 2.3). */
#ifndef SP_MODEL_MASK_GRAPH_H
#define SP_MODEL_MASK_GRAPH_H

#include "lookahead.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sp_mask_graph {
  size_t layers, len;
  size_t words;  /* ceil(len / 64) */
  uint64_t *row; /* (layers, len, words) bit j of row i of layer l: i sees j; bits past len are 0 */
  uint64_t
      *cut; /* (layers, words) bit i of layer l: row i would see beyond the end; NULL: none would */
};

/* The graph of a sequence of `len` >= 1 positions under a rule; `bits` (layers, len) are the
 * schedulers' and must be there for a dynamic rule, else they are not looked at.
 * Fails only for want of memory. */
SP_MUST_CHECK enum sp_status sp_mask_graph_create(const struct sp_lookahead *rule, size_t layers,
                                                  size_t len, const uint32_t *bits,
                                                  struct sp_mask_graph *out, struct sp_error *err);
/* Writes row i of a layer anew, for scheduler bits that come one after the other. */
void sp_mask_graph_set_row(struct sp_mask_graph *graph, const struct sp_lookahead *rule,
                           size_t layer, size_t i, uint32_t bits);
void sp_mask_graph_release(struct sp_mask_graph *graph);

static inline bool sp_mask_graph_is_cut(const struct sp_mask_graph *graph, size_t layer, size_t i) {
  return graph->cut && (graph->cut[layer * graph->words + i / 64] >> i % 64 & 1);
}

static inline uint64_t *sp_mask_graph_row(const struct sp_mask_graph *graph, size_t layer,
                                          size_t i) {
  return graph->row + (layer * graph->len + i) * graph->words;
}

static inline bool sp_mask_graph_sees(const struct sp_mask_graph *graph, size_t layer, size_t i,
                                      size_t j) {
  return sp_mask_graph_row(graph, layer, i)[j / 64] >> j % 64 & 1;
}

#ifdef __cplusplus
}
#endif
#endif
