/* picture.h - the pictures of `secondpass masks`.
 *
 * Each is drawn on a canvas of its own, whose size is bounded whatever the model and the sequence: where
 * there is no room for labels, squares or edges they are left out or merged, and the picture says so.
 * Kinds (classes in the SVG)  self, past, ahead, absent: cells, or runs of them in a row; edge-past,
 * edge-ahead, path: edges of a cone; node, node-other: what is in it and what is not; rows, rows-cut:
 * bars of a histogram. */
#ifndef SP_CLI_PICTURE_H
#define SP_CLI_PICTURE_H

#include "canvas.h"
#include "mask_cone.h"

struct sp_picture {
  struct sp_text heading; /* whose masks: the utterance and its hypothesis, or how many */
  struct sp_text model;   /* and the policy */
};

/* One sequence. */
struct sp_masks_view {
  struct sp_picture picture;
  const struct sp_text *pieces; /* (len) [CLS] and [SEP] included */
  const struct sp_mask_graph *graph;
  const struct sp_latency *latency;
};

/* Adjacency pictures of the layers that are wanted, at least one: rows are outputs, columns inputs. */
void sp_picture_masks(const struct sp_masks_view *view, const bool *wanted /* (layers) */,
                      struct sp_canvas *canvas, struct sp_error *err);

/* The nodes and edges that output `position` depends on: columns are positions, rows layers. */
SP_MUST_CHECK enum sp_status sp_picture_cone(const struct sp_masks_view *view, size_t position,
                                             struct sp_canvas *canvas, struct sp_error *err);

/* How far rows look ahead: the distance of the farthest position that a row sees. */
struct sp_reach_counts {
  size_t layers, n; /* distances from 0 to n - 1 */
  uint64_t *rows;   /* (layers, n) rows whose mask is whole */
  uint64_t *cut;    /* (layers, n) rows that would see beyond the end of the sequence */
};
/* For distances below `n`. */
SP_MUST_CHECK enum sp_status sp_reach_counts_init(struct sp_reach_counts *counts, size_t layers,
                                                  size_t n, struct sp_error *err);
void sp_reach_counts_release(struct sp_reach_counts *counts);
/* Adds the rows of a sequence of at most n + 1 positions, [CLS] and [SEP] left out. */
void sp_reach_counts_add(struct sp_reach_counts *counts, const struct sp_mask_graph *graph);
/* Of the rows of a layer; NaN without any. */
double sp_reach_mean(const struct sp_reach_counts *counts, size_t layer);

/* A histogram a layer. */
void sp_picture_reach(const struct sp_picture *picture, const struct sp_reach_counts *counts,
                      struct sp_canvas *canvas, struct sp_error *err);

#endif
