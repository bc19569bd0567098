/* soft_backlog.c - expected work that is left when the last period ends, and its gradient.
 *
 * With S(t) the work released until t, B_(len-1) = max over t of S(len-1) - S(t) - C (len - 1 - t), t from
 * -1 (S = 0) to len - 1: what Lindley's recursion B_t = max(0, B_(t-1) + W_t - C) comes to.  S(t) needs
 * F^l_i(t) of one t at a time, and only of rows i that may still wait at t: lags d = t - i below
 * 1 + the sum of reaches.  The gradient needs it for one t. */
#include <stdlib.h>

#include "soft_layer.h"

struct backlog {
  const struct sp_soft_masks *masks;
  struct sp_soft_layer layer[SP_MAX_LAYERS];
  size_t lags;
  double *due;    /* (L + 1, len) cost of what becomes possible with node (l, i); 0: exempt nodes */
  double *column; /* (L + 1, lags) F of the nodes at one t, by lag */
  double *d_below, *d_above; /* (lags) */
  double *factor, *d_factor; /* (lags + SP_MAX_REACH) of one node */
  double total;              /* of all due, and of exempt nodes: S(len - 1) */
};

static double row_cost(const struct backlog *b, const struct sp_latency_costs *costs, size_t l,
                       size_t i) {
  const struct sp_soft_layer *layer = &b->layer[l];
  const float *a = b->masks->a + sp_soft_cell(layer, i);
  double keys = (double)(i - sp_soft_first(layer, i) + 1);
  if (i == layer->exempt) {
    return costs->node + costs->key * (double)b->masks->len;
  }
  for (size_t r = 0; r < sp_soft_room(layer, i); r++) {
    keys += a[r];
  }
  return costs->node + costs->key * keys;
}

/* A scheduler is due when its input is there, an exempt node at the end. */
static void price(struct backlog *b, const struct sp_latency_costs *costs) {
  size_t len = b->masks->len, layers = b->masks->layers;
  for (size_t l = 0; l <= layers; l++) {
    double scheduler = l < layers && b->layer[l].reach > 0 ? costs->scheduler : 0;
    for (size_t i = 0; i < len; i++) {
      double cost = scheduler + (l > 0 ? row_cost(b, costs, l - 1, i) : 0);
      bool late = l > 0 && i == b->layer[l - 1].exempt;
      b->due[l * len + i] = late ? 0 : cost;
      b->total += cost;
    }
  }
}

static size_t rows_at(const struct backlog *b, size_t t) {
  return sp_min_size(b->lags, t + 1);
}

/* F of the key r ahead of the row with lag d. */
static double ahead(const double *below, size_t d, size_t r) {
  return d >= r ? below[d - r] : 0;
}

/* Lags of the past columns that row t - d sees and that may still wait: [d, past_end). */
static size_t past_end(const struct sp_soft_layer *layer, size_t n, size_t t, size_t d) {
  return sp_min_size(n, t - sp_soft_first(layer, t - d) + 1);
}

static double product(const double *x, size_t n) {
  double result = 1;
  for (size_t k = 0; k < n; k++) {
    result *= x[k];
  }
  return result;
}

/* Column F^{l+1}(t) from F^l(t). What stands for an exempt node is read by nobody. */
static void column_forward(const struct backlog *b, size_t l, size_t t, const double *below,
                           double *above) {
  const struct sp_soft_layer *layer = &b->layer[l];
  size_t n = rows_at(b, t), window = SIZE_MAX;
  double past = 1;
  for (size_t d = n; d-- > 0;) {
    size_t i = t - d, end = past_end(layer, n, t, d), room = sp_soft_room(layer, i);
    const float *a = b->masks->a + sp_soft_cell(layer, i);
    past = end == window ? past * below[d] : product(below + d, end - d);
    window = end;
    above[d] = past;
    for (size_t r = 1; r <= room; r++) {
      above[d] *= 1 - a[r - 1] * (1 - ahead(below, d, r));
    }
  }
}

/* All columns of one t; S(t) of the rows in them. */
static double columns_forward(const struct backlog *b, size_t t) {
  size_t n = rows_at(b, t), len = b->masks->len;
  double work = 0;
  for (size_t d = 0; d < n; d++) {
    b->column[d] = 1;
  }
  for (size_t l = 0; l <= b->masks->layers; l++) {
    double *column = b->column + l * b->lags;
    if (l > 0) {
      column_forward(b, l - 1, t, column - b->lags, column);
    }
    for (size_t d = 0; d < n; d++) {
      work += b->due[l * len + t - d] * column[d];
    }
  }
  return work;
}

/* The largest S(len-1) - S(t) - C (len - 1 - t), and one past the last t that has it. */
static double largest(const struct backlog *b, double capacity, size_t *until) {
  size_t len = b->masks->len;
  double settled = 0, best = b->total - capacity * (double)len;
  *until = 0;
  for (size_t t = 0; t < len; t++) {
    for (size_t l = 0; l <= b->masks->layers && t >= b->lags; l++) {
      settled += b->due[l * len + t - b->lags];
    }
    double left = 0;
    if (t + 1 < len) {
      left = b->total - settled - columns_forward(b, t) - capacity * (double)(len - 1 - t);
    }
    if (left >= best) {
      best = left;
      *until = t + 1;
    }
  }
  return best;
}

/* d_factor = d_out * the product of the others, zeros allowed. */
static void product_backward(const double *factor, size_t n, double d_out, double *d_factor) {
  double before = d_out, after = 1;
  for (size_t k = 0; k < n; k++) {
    d_factor[k] = before;
    before *= factor[k];
  }
  for (size_t k = n; k-- > 0;) {
    d_factor[k] *= after;
    after *= factor[k];
  }
}

/* One node's way back, to the column below and its row of a. */
static void node_backward(const struct backlog *b, const struct sp_soft_layer *layer, size_t t,
                          size_t d, const double *below, float *d_a) {
  size_t i = t - d, room = sp_soft_room(layer, i), cell = sp_soft_cell(layer, i);
  size_t n_past = past_end(layer, rows_at(b, t), t, d) - d;
  const float *a = b->masks->a + cell;
  for (size_t k = 0; k < n_past; k++) {
    b->factor[k] = below[d + k];
  }
  for (size_t r = 1; r <= room; r++) {
    b->factor[n_past + r - 1] = 1 - a[r - 1] * (1 - ahead(below, d, r));
  }
  product_backward(b->factor, n_past + room, b->d_above[d], b->d_factor);
  for (size_t k = 0; k < n_past; k++) {
    b->d_below[d + k] += b->d_factor[k];
  }
  for (size_t r = 1; r <= room; r++) {
    double d_factor = b->d_factor[n_past + r - 1];
    d_a[cell + r - 1] -= (float)(d_factor * (1 - ahead(below, d, r)));
    if (d >= r) {
      b->d_below[d - r] += d_factor * a[r - 1];
    }
  }
}

/* Of -scale S(t), by F. */
static void columns_backward(struct backlog *b, size_t t, double scale, float *d_a) {
  size_t n = rows_at(b, t), len = b->masks->len;
  for (size_t l = b->masks->layers; l > 0; l--) {
    double *swap = b->d_above;
    for (size_t d = 0; d < n; d++) {
      b->d_above[d] -= scale * b->due[l * len + t - d];
      b->d_below[d] = 0;
    }
    for (size_t d = 0; d < n; d++) {
      node_backward(b, &b->layer[l - 1], t, d, b->column + (l - 1) * b->lags, d_a);
    }
    b->d_above = b->d_below;
    b->d_below = swap;
  }
}

/* Of scale (S(len-1) - S(t)), by the number of keys. `until` is t + 1. */
static void keys_backward(const struct backlog *b, size_t until, double scale, float *d_a) {
  for (size_t l = 0; l < b->masks->layers; l++) {
    const double *released = b->column + (l + 1) * b->lags;
    for (size_t i = 0; i < b->masks->len; i++) {
      size_t cell = sp_soft_cell(&b->layer[l], i), room = sp_soft_room(&b->layer[l], i);
      double done = i >= until ? 0 : until - 1 - i < b->lags ? released[until - 1 - i] : 1;
      for (size_t r = 0; r < room; r++) {
        d_a[cell + r] += (float)(scale * (1 - done));
      }
    }
  }
}

static void backward(struct backlog *b, const struct sp_latency_costs *costs, size_t until,
                     double scale, float *d_a) {
  if (until == b->masks->len) {
    return;
  }
  if (until > 0) {
    columns_forward(b, until - 1);
  }
  keys_backward(b, until, scale * costs->key, d_a);
  if (until > 0) {
    columns_backward(b, until - 1, scale, d_a);
  }
}

/* One block of memory, zeroed, for all arrays. */
static double *lay_out(struct backlog *b) {
  size_t levels = b->masks->layers + 1, len = b->masks->len, due, all;
  b->lags = 1;
  for (size_t l = 0; l < b->masks->layers; l++) {
    b->layer[l] = sp_soft_layer_of(b->masks, l);
    b->lags += b->layer[l].reach;
  }
  b->lags = sp_min_size(b->lags, len);
  if (!sp_mul_size(levels, len, &due) || !sp_mul_size(due, 6, &all)) {
    return NULL;
  }
  size_t column = levels * b->lags, node = b->lags + SP_MAX_REACH;
  double *block = calloc(due + column + 2 * b->lags + 2 * node, sizeof *block);
  b->due = block;
  b->column = b->due + due;
  b->d_below = b->column + column;
  b->d_above = b->d_below + b->lags;
  b->factor = b->d_above + b->lags;
  b->d_factor = b->factor + node;
  return block;
}

enum sp_status sp_soft_backlog(const struct sp_soft_masks *masks,
                               const struct sp_latency_costs *costs, double *backlog, double scale,
                               float *d_a, struct sp_error *err) {
  struct backlog b = {.masks = masks};
  size_t until;
  double *block = lay_out(&b);
  if (!block) {
    return sp_fail_memory(err, sp_mul_sat(sp_mul_sat(masks->layers + 1, masks->len), 16));
  }
  price(&b, costs);
  *backlog = largest(&b, costs->capacity, &until) / costs->capacity;
  if (d_a) {
    backward(&b, costs, until, scale / costs->capacity, d_a);
  }
  free(block);
  return SP_OK;
}
