/* soft_layer.h - one layer's soft masks in one sequence: which cells there are; private to the latency
 * losses. */
#ifndef SP_TRAIN_SOFT_LAYER_H
#define SP_TRAIN_SOFT_LAYER_H

#include "checked.h"
#include "latency_loss.h"

struct sp_soft_layer {
  size_t start, stride; /* row i's cells are [start + i stride, ..) of the array */
  size_t reach;
  size_t first, past, end; /* past columns i - past .. i, none before `first`; none from `end` on */
  size_t exempt;           /* the row that sees everything and waits for nothing; SIZE_MAX: none */
};

static inline struct sp_soft_layer sp_soft_layer_of(const struct sp_soft_masks *masks, size_t l) {
  struct sp_mask_args args = sp_lookahead_mask(masks->rule, l, masks->layers);
  size_t rows = masks->stride > 0 ? masks->stride : masks->len,
         cls = args.exempt_last ? masks->len - 1 : 0;
  bool hidden = args.exempt == SP_EXEMPT_HIDDEN;
  return (struct sp_soft_layer){.start = l * rows * masks->reach,
                                .stride = masks->reach,
                                .reach = args.reach,
                                .first = hidden && !args.exempt_last,
                                .past = args.left,
                                .end = masks->len - (hidden && args.exempt_last),
                                .exempt = args.exempt == SP_EXEMPT_NONE ? SIZE_MAX : cls};
}

/* Cells of row i, for the columns i + 1, i + 2, .. */
static inline size_t sp_soft_room(const struct sp_soft_layer *layer, size_t i) {
  return i == layer->exempt || i + 1 >= layer->end ? 0
                                                   : sp_min_size(layer->reach, layer->end - 1 - i);
}
static inline size_t sp_soft_cell(const struct sp_soft_layer *layer, size_t i) {
  return layer->start + i * layer->stride;
}
/* The first column that row i sees. */
static inline size_t sp_soft_first(const struct sp_soft_layer *layer, size_t i) {
  return i > layer->past ? sp_max_size(i - layer->past, layer->first) : layer->first;
}

#endif
