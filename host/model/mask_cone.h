/* mask_cone.h - what one output of a mask graph depends on.
 *
 * Level l holds the nodes (l, .) of mask_graph.h: level 0 the inputs, level `layers` the outputs. A
 * node depends on itself one level below, by its residual connection, and on what its row sees. */
#ifndef SP_MODEL_MASK_CONE_H
#define SP_MODEL_MASK_CONE_H

#include "latency.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sp_mask_cone {
  size_t layers, len, words;
  uint64_t *node; /* (layers + 1, words) bit j of level l: the output depends on node (l, j) */
};

/* The cone of output `position` < graph->len. Fails only for want of memory. */
SP_MUST_CHECK enum sp_status sp_mask_cone_create(const struct sp_mask_graph *graph, size_t position,
                                                 struct sp_mask_cone *out, struct sp_error *err);
void sp_mask_cone_release(struct sp_mask_cone *cone);

static inline bool sp_mask_cone_has(const struct sp_mask_cone *cone, size_t level, size_t j) {
  return cone->node[level * cone->words + j / 64] >> j % 64 & 1;
}

/* A dependency path that makes output `position` wait as long as it does: path (layers + 1) positions,
 * one a level, path[layers] the output.  Returns the level where it ends, whose node waits by itself:
 * 0, an input, or that of a row that would see beyond the end of the sentence. Entries below stay. */
size_t sp_mask_cone_path(const struct sp_mask_graph *graph, const struct sp_latency *latency,
                         size_t position, size_t *path);

#ifdef __cplusplus
}
#endif
#endif
