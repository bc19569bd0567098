/* train_vocab.c - the masked tokens' loss over the vocabulary, and its gradients.
 *
 * Maths     logits = h W^T + bias;  loss[r] = logsumexp(logits[r]) - logits[r][target[r]]
 *           d_logits = scale (e^(logits - logsumexp) - one-hot)
 * Shapes    tiles of SP_TRAIN_TILE rows, slabs of W's rows as the weight is packed.  The exponentials of
 *           a tile and slab are kept, in the type, relative to the greatest logit there; the way back
 *           makes d_logits of them in place, so that logits are multiplied out once
 * Parallel  tiles by slabs; then tiles (loss); then slabs (d_weight, d_bias: tiles in order); then tiles
 *           (d_h: slabs in order)
 * Numerics  logits and exponentials in f32, sums of a slab in f32, of a row in double.  The target's own
 *           cell is made of the loss: 1 - p has no cancellation
 * Bound     arithmetic of three products; memory of R V elements of the type */
#include <math.h>
#include <string.h>

#include "bf16.h"
#include "checked.h"
#include "train_products.h"

/* Of one tile and slab: (tiles, slabs, SP_TRAIN_TILE) floats each. */
struct stats {
  float *top, *sum, *factor;
  float *target; /* (tiles, SP_TRAIN_TILE) the target's logit */
};

struct vocab {
  struct sp_trainer *trainer;
  const struct sp_train_vocab_args *args;
  const struct sp_product *logits, *to_h;
  struct sp_train_outer outer, last_outer; /* of a whole slab, and of the last */
  struct sp_row_layout layout;
  struct stats stats;
  size_t tiles, thread_bytes; /* of products->tiles, a thread */
  atomic_int failure;
};

static size_t tile_rows(const struct vocab *op, size_t tile) {
  return sp_min_size(op->args->rows - tile * SP_TRAIN_TILE, SP_TRAIN_TILE);
}

static size_t slab_rows(const struct vocab *op, size_t slab) {
  const struct sp_train_weight *weight = op->args->weight;
  return sp_min_size(weight->n - slab * weight->slab, weight->slab);
}

static char *thread_memory(const struct vocab *op, size_t thread) {
  return (char *)op->trainer->products->tiles.data + thread * op->thread_bytes;
}

static bool is_bf16(const struct vocab *op) {
  return op->args->weight->type == SP_COMPUTE_BF16;
}

/* (SP_TRAIN_TILE, slab) exponentials or d_logits. */
static char *cells(const struct vocab *op, size_t tile, size_t slab) {
  const struct sp_train_weight *weight = op->args->weight;
  size_t block = (tile * weight->slabs + slab) * SP_TRAIN_TILE * weight->slab;
  return (char *)op->trainer->products->exps.data + block * sp_train_bytes(weight->type);
}

static size_t stats_at(const struct vocab *op, size_t tile, size_t slab) {
  return (tile * op->args->weight->slabs + slab) * SP_TRAIN_TILE;
}

/* The target's row of the slab, or SIZE_MAX where it is in another. */
static size_t target_in(const struct vocab *op, size_t row, size_t slab) {
  size_t id = (size_t)op->args->target[row], first = slab * op->args->weight->slab;
  return id >= first && id - first < op->args->weight->slab ? id - first : (size_t)-1;
}

static void logits_block(void *arg, size_t task, size_t thread) {
  struct vocab *op = arg;
  const struct sp_train_weight *weight = op->args->weight;
  struct sp_train_products *products = op->trainer->products;
  size_t tile = task % op->tiles, slab = task / op->tiles, row = tile * SP_TRAIN_TILE;
  size_t at = stats_at(op, tile, slab);
  float *logits = (float *)(void *)thread_memory(op, thread);
  const char *h = (const char *)op->args->h + row * weight->k * sp_train_bytes(weight->type);
  sp_train_note(&op->failure,
                products->engine->run(products->context, op->logits, thread, h,
                                      weight->packed_forward + slab * weight->forward->packed_bytes,
                                      NULL, logits));
  struct sp_tile_logits t = {.logits = logits,
                             .bias = op->args->bias + slab * weight->slab,
                             .rows = tile_rows(op, tile),
                             .n = slab_rows(op, slab),
                             .stride = weight->slab,
                             .bf16 = is_bf16(op),
                             .e = cells(op, tile, slab),
                             .top = op->stats.top + at,
                             .sum = op->stats.sum + at};
  op->trainer->kernels->tiles->exponents(&t);
  for (size_t r = 0; r < t.rows; r++) {
    size_t target = target_in(op, row + r, slab);
    if (target != (size_t)-1) {
      op->stats.target[row + r] = logits[r * t.stride + target];
    }
  }
}

/* Joins a tile's slabs: its losses, and what each slab's exponentials are to be multiplied with. */
static void join_slabs(void *arg, size_t tile, size_t thread) {
  (void)thread;
  struct vocab *op = arg;
  size_t slabs = op->args->weight->slabs, row = tile * SP_TRAIN_TILE;
  for (size_t r = 0; r < tile_rows(op, tile); r++) {
    double top = -INFINITY, sum = 0;
    for (size_t s = 0; s < slabs; s++) {
      top = fmax(top, op->stats.top[stats_at(op, tile, s) + r]);
    }
    for (size_t s = 0; s < slabs; s++) {
      size_t at = stats_at(op, tile, s) + r;
      double weight = exp(op->stats.top[at] - top);
      sum += weight * op->stats.sum[at];
      op->stats.factor[at] = (float)weight;
    }
    for (size_t s = 0; s < slabs; s++) {
      size_t at = stats_at(op, tile, s) + r;
      op->stats.factor[at] = (float)(op->args->scale / sum * op->stats.factor[at]);
    }
    op->args->loss[row + r] = (float)(top + log(sum) - op->stats.target[row + r]);
  }
}

/* A tile and slab's exponentials to d_logits. */
static void make_d_logits(const struct vocab *op, size_t tile, size_t slab) {
  const struct sp_train_weight *weight = op->args->weight;
  char *d = cells(op, tile, slab);
  size_t rows = tile_rows(op, tile);
  op->trainer->kernels->tiles->scale_rows(d, is_bf16(op), rows, weight->slab, weight->slab,
                                          op->stats.factor + stats_at(op, tile, slab));
  for (size_t r = 0; r < rows; r++) {
    size_t row = tile * SP_TRAIN_TILE + r, target = target_in(op, row, slab);
    if (target == (size_t)-1) {
      continue;
    }
    float x = op->args->scale * expm1f(-op->args->loss[row]);
    uint16_t half = sp_bf16_from_f32(x);
    size_t at = r * weight->slab + target;
    memcpy(d + at * sp_train_bytes(weight->type), is_bf16(op) ? (void *)&half : (void *)&x,
           sp_train_bytes(weight->type));
  }
}

/* Adds a tile's d_logits to d_bias and lays them out for d_weight. */
static void lay_out(const struct vocab *op, size_t tile, size_t slab, size_t piece, size_t at,
                    float *sums, char *turned) {
  const struct sp_cpu_train_tiles *tiles = op->trainer->kernels->tiles;
  const struct sp_train_weight *weight = op->args->weight;
  const char *d = cells(op, tile, slab);
  size_t rows = tile_rows(op, tile), n = slab_rows(op, slab);
  struct sp_tile_gradient gradient = {.activation = SP_ACT_NONE,
                                      .d_out = d,
                                      .rows = rows,
                                      .n = weight->slab,
                                      .bf16 = is_bf16(op),
                                      .d_out_bf16 = is_bf16(op),
                                      .sums = sums};
  tiles->gradient(&gradient);
  float *d_bias = op->args->d_bias + slab * weight->slab;
  for (size_t j = 0; j < n; j++) {
    d_bias[j] += sums[j];
  }
  tiles->turn(&op->layout, d, is_bf16(op), weight->slab, rows, SP_TRAIN_TILE, weight->slab,
              turned + at * sp_train_row_bytes(&op->layout), piece);
}

/* d_weight's rows of one slab and piece. */
static void add_outer(struct vocab *op, size_t slab, size_t first_tile, size_t piece,
                      const char *turned, size_t thread) {
  const struct sp_train_weight *weight = op->args->weight;
  struct sp_train_products *products = op->trainer->products;
  const struct sp_train_outer *outer =
      slab_rows(op, slab) == weight->slab ? &op->outer : &op->last_outer;
  size_t bytes = sp_train_row_bytes(&op->layout), n = slab_rows(op, slab);
  size_t columns = sp_train_padded(&op->layout, weight->k);
  const char *packed =
      (const char *)products->packed.data + first_tile * SP_TRAIN_TILE * columns * bytes;
  for (size_t j = 0; j < n; j += SP_TRAIN_BLOCK_ROWS) {
    struct sp_product *const *pair = n - j >= SP_TRAIN_BLOCK_ROWS ? outer->whole : outer->rest;
    sp_train_note(&op->failure, products->engine->run(
                                    products->context, pair[piece == SP_TRAIN_TILE], thread,
                                    turned + j * piece * bytes, packed, NULL,
                                    op->args->d_weight + (slab * weight->slab + j) * weight->k));
  }
}

static void backward_slab(void *arg, size_t slab, size_t thread) {
  struct vocab *op = arg;
  size_t slab_length = op->args->weight->slab;
  float *sums = (float *)(void *)thread_memory(op, thread);
  char *turned = (char *)(sums + sp_round_up(slab_length, SP_CPU_PAD));
  for (size_t tile = 0; tile < op->tiles; tile += 2) {
    size_t now = sp_min_size(op->tiles - tile, 2), piece = now * SP_TRAIN_TILE;
    for (size_t i = 0; i < now; i++) {
      make_d_logits(op, tile + i, slab);
      lay_out(op, tile + i, slab, piece, i * SP_TRAIN_TILE, sums, turned);
    }
    add_outer(op, slab, tile, piece, turned, thread);
  }
}

/* d_h of a tile: d_logits W, slab by slab. */
static void backward_tile(void *arg, size_t tile, size_t thread) {
  struct vocab *op = arg;
  const struct sp_train_weight *weight = op->args->weight;
  struct sp_train_products *products = op->trainer->products;
  float *d_h = op->args->d_h + tile * SP_TRAIN_TILE * weight->k;
  memset(d_h, 0, SP_TRAIN_TILE * weight->k * sizeof *d_h);
  for (size_t slab = 0; slab < weight->slabs; slab++) {
    const char *packed = weight->packed_backward + slab * weight->backward->packed_bytes;
    sp_train_note(&op->failure, products->engine->run(products->context, op->to_h, thread,
                                                      cells(op, tile, slab), packed, NULL, d_h));
  }
}

static void pack_tile(void *arg, size_t tile, size_t thread) {
  (void)thread;
  struct vocab *op = arg;
  const struct sp_train_weight *weight = op->args->weight;
  size_t first = tile / 2 * 2 * SP_TRAIN_TILE, row = tile * SP_TRAIN_TILE;
  size_t piece = tile / 2 * 2 + 1 < op->tiles ? SP_TRAIN_PIECE : SP_TRAIN_TILE;
  size_t columns = sp_train_padded(&op->layout, weight->k);
  char *to = (char *)op->trainer->products->packed.data +
             first * columns * sp_train_row_bytes(&op->layout);
  op->trainer->kernels->tiles->pack(
      &op->layout, (const char *)op->args->h + row * weight->k * sp_train_bytes(weight->type),
      is_bf16(op), tile_rows(op, tile), SP_TRAIN_TILE, weight->k, to, piece, row - first);
}

static enum sp_status vocab_products(struct sp_trainer *trainer, struct vocab *op,
                                     struct sp_error *err) {
  const struct sp_train_weight *weight = op->args->weight;
  struct sp_product_spec logits = weight->forward->spec, to_h = weight->backward->spec;
  struct sp_product *made;
  logits.bias = false;
  logits.out_f32 = true;
  logits.like = weight->forward;
  SP_TRY(sp_train_product_get(trainer, &logits, &made, err));
  op->logits = made;
  if (!op->args->backward) {
    return SP_OK;
  }
  to_h.add = to_h.out_f32 = true;
  to_h.like = weight->backward;
  SP_TRY(sp_train_product_get(trainer, &to_h, &made, err));
  op->to_h = made;
  size_t last = slab_rows(op, weight->slabs - 1);
  SP_TRY(sp_train_outer_get(trainer, weight->type, weight->slab, weight->k, &op->outer, err));
  return sp_train_outer_get(trainer, weight->type, last, weight->k, &op->last_outer, err);
}

static enum sp_status vocab_memory(struct sp_trainer *trainer, struct vocab *op,
                                   struct sp_error *err) {
  const struct sp_train_weight *weight = op->args->weight;
  struct sp_train_products *products = trainer->products;
  size_t rows = op->tiles * SP_TRAIN_TILE, cell_rows = sp_mul_sat(rows, weight->slabs);
  size_t bytes = sp_train_bytes(weight->type), row_bytes = sp_train_row_bytes(&op->layout);
  size_t exps = sp_mul_sat(cell_rows, weight->slab * bytes);
  SP_TRY(sp_train_buffer_grow(&products->exps, exps, err));
  SP_TRY(sp_train_buffer_grow(&products->stats, (3 * cell_rows + rows) * sizeof(float), err));
  size_t columns = sp_train_padded(&op->layout, weight->k);
  SP_TRY(sp_train_buffer_grow(&products->packed, sp_mul_sat(sp_mul_sat(rows, columns), row_bytes),
                              err));
  size_t slab = sp_round_up(weight->slab, SP_CPU_PAD);
  size_t turned = slab * sizeof(float) + SP_TRAIN_PIECE * slab * row_bytes;
  op->thread_bytes = sp_max_size(turned, SP_TRAIN_TILE * slab * sizeof(float));
  SP_TRY(sp_train_buffer_grow(&products->tiles, op->thread_bytes * sp_team_threads(trainer->team),
                              err));
  float *stats = products->stats.data;
  op->stats = (struct stats){.top = stats,
                             .sum = stats + cell_rows,
                             .factor = stats + 2 * cell_rows,
                             .target = stats + 3 * cell_rows};
  return SP_OK;
}

enum sp_status sp_cpu_train_vocab_loss(struct sp_trainer *trainer,
                                       const struct sp_train_vocab_args *args,
                                       struct sp_error *err) {
  if (args->rows > trainer->limits.scored) {
    return sp_fail(err, SP_EMODEL, "%zu scored rows; the trainer has room for %zu", args->rows,
                   trainer->limits.scored);
  }
  struct sp_train_products *products = trainer->products;
  struct vocab op = {.trainer = trainer, .args = args, .tiles = sp_train_tiles(args->rows)};
  op.layout = products->engine->row_layout(products->context, args->weight->type);
  atomic_init(&op.failure, SP_OK);
  SP_TRY(vocab_products(trainer, &op, err));
  SP_TRY(vocab_memory(trainer, &op, err));
  size_t slabs = args->weight->slabs;
  sp_team_run(trainer->team, op.tiles * slabs, logits_block, &op);
  sp_team_run(trainer->team, op.tiles, join_slabs, &op);
  if (args->backward) {
    sp_team_run(trainer->team, op.tiles, pack_tile, &op);
    sp_team_run(trainer->team, slabs, backward_slab, &op);
    sp_team_run(trainer->team, op.tiles, backward_tile, &op);
  }
  return sp_train_outcome(&op.failure, err);
}
