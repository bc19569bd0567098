/* soft_latency.c - algorithmic latency of soft masks, and its way back. */
#include <string.h>

#include "soft_layer.h"

enum { NOWHERE = UINT32_MAX };

/* What the scratch memory holds, in this order. */
struct paths {
  double *delta;    /* (L + 1, len) */
  double *grad[2];  /* (len) of a layer and the one below */
  uint32_t *reader; /* (L, len) the column that decides a row's latency; NOWHERE: an exempt row */
  uint32_t *queue;  /* (len) */
};

size_t sp_soft_latency_scratch(size_t len, size_t layers) {
  /* each of the kinds has at most len (L + 3) */
  return sp_mul_sat(sp_mul_sat(len, layers + 3), sizeof(double) + sizeof(uint32_t));
}

static struct paths lay_out(const struct sp_soft_masks *masks, void *scratch) {
  size_t len = masks->len, layers = masks->layers;
  struct paths paths = {.delta = scratch};
  paths.grad[0] = paths.delta + (layers + 1) * len;
  paths.grad[1] = paths.grad[0] + len;
  paths.reader = (uint32_t *)(paths.grad[1] + len);
  paths.queue = paths.reader + layers * len;
  return paths;
}

/* Columns of the past that can still be the largest of j + below[j]: falling values, ends of `column`. */
struct queue {
  uint32_t *column;
  size_t head, tail;
};

static double arrival(const double *below, size_t j) {
  return (double)j + below[j];
}

/* Takes column i in and lets go of those before `first`; the largest, of equal ones the nearest, is at the
 * head. */
static void queue_move(struct queue *queue, const double *below, size_t i, size_t first) {
  while (queue->tail > queue->head &&
         arrival(below, queue->column[queue->tail - 1]) <= arrival(below, i)) {
    queue->tail--;
  }
  queue->column[queue->tail++] = (uint32_t)i;
  while (queue->column[queue->head] < first) {
    queue->head++;
  }
}

/* The row's latency, and the column that decides it: of the past the one at hand, or one ahead. */
static uint32_t decide(const struct sp_soft_layer *layer, const float *a, const double *below,
                       size_t i, uint32_t past, double *latency) {
  size_t room = sp_soft_room(layer, i);
  uint32_t reader = past;
  a += sp_soft_cell(layer, i);
  *latency = arrival(below, past) - (double)i;
  for (size_t r = 1; r <= room; r++) {
    double value = a[r - 1] * ((double)r + below[i + r]);
    if (value > *latency) {
      *latency = value;
      reader = (uint32_t)(i + r);
    }
  }
  return reader;
}

static void layer_forward(const struct sp_soft_layer *layer, const struct sp_soft_masks *masks,
                          const double *below, double *above, uint32_t *reader, uint32_t *column) {
  struct queue queue = {column, 0, 0};
  for (size_t i = 0; i < masks->len; i++) {
    if (i >= layer->first && i < layer->end) {
      queue_move(&queue, below, i, sp_soft_first(layer, i));
    }
    above[i] = 0;
    reader[i] = i == layer->exempt
                    ? NOWHERE
                    : decide(layer, masks->a, below, i, queue.column[queue.head], &above[i]);
  }
}

void sp_soft_latency(const struct sp_soft_masks *masks, double *latency, void *scratch) {
  size_t len = masks->len;
  struct paths paths = lay_out(masks, scratch);
  memset(paths.delta, 0, len * sizeof *paths.delta);
  for (size_t l = 0; l < masks->layers; l++) {
    struct sp_soft_layer layer = sp_soft_layer_of(masks, l);
    layer_forward(&layer, masks, paths.delta + l * len, paths.delta + (l + 1) * len,
                  paths.reader + l * len, paths.queue);
  }
  memcpy(latency, paths.delta + masks->layers * len, len * sizeof *latency);
}

static void layer_backward(const struct sp_soft_layer *layer, const struct sp_soft_masks *masks,
                           const double *below, const uint32_t *reader, const double *d_above,
                           double *d_below, float *d_a) {
  memset(d_below, 0, masks->len * sizeof *d_below);
  for (size_t i = 0; i < masks->len; i++) {
    size_t j = reader[i];
    if (j == NOWHERE) {
      continue;
    }
    double share = 1;
    if (j > i) {
      size_t cell = sp_soft_cell(layer, i) + (j - i - 1);
      d_a[cell] += (float)(d_above[i] * ((double)(j - i) + below[j]));
      share = masks->a[cell];
    }
    d_below[j] += d_above[i] * share;
  }
}

void sp_soft_latency_backward(const struct sp_soft_masks *masks, const double *d_latency,
                              float *d_a, void *scratch) {
  size_t len = masks->len;
  struct paths paths = lay_out(masks, scratch);
  const double *d_above = d_latency;
  for (size_t l = masks->layers; l-- > 0;) {
    struct sp_soft_layer layer = sp_soft_layer_of(masks, l);
    layer_backward(&layer, masks, paths.delta + l * len, paths.reader + l * len, d_above,
                   paths.grad[l % 2], d_a);
    d_above = paths.grad[l % 2];
  }
}
