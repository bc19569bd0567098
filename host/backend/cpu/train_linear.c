/* train_linear.c - pre = in W^T + bias, out = activation(pre), and the way back.
 *
 * Shapes    tiles of SP_TRAIN_TILE rows; rows of the last tile beyond R are computed from whatever
 *           stands there and read by nobody
 * Parallel  forward: a task is a tile.  Backward: first tiles (d_pre, d_in, and the inputs laid out for
 *           the weight's gradient), then blocks of that gradient's rows, each over all rows of the
 *           batch in order
 * Numerics  products of the weight's type, summed in f32.  out is the activation of `pre` as it was
 *           rounded, so that forward and backward stand at one point.  d_pre is rounded to the type for
 *           its products, d_bias sums it before
 * Bound     arithmetic of the products; beside it one or two exps an element of pre */
#include "checked.h"
#include "train_products.h"

/* ---- forward ---- */

struct forward {
  struct sp_trainer *trainer;
  const struct sp_train_linear_args *args;
  const struct sp_product *product;
  atomic_int failure;
};

static void forward_tile(void *arg, size_t tile, size_t thread) {
  struct forward *op = arg;
  const struct sp_train_linear_args *args = op->args;
  const struct sp_train_weight *weight = args->weight;
  struct sp_train_products *products = op->trainer->products;
  bool bf16 = weight->type == SP_COMPUTE_BF16;
  bool out_bf16 = bf16 && !args->out_f32;
  size_t bytes = sp_train_bytes(weight->type), row = tile * SP_TRAIN_TILE;
  size_t rows = sp_min_size(args->rows - row, SP_TRAIN_TILE);
  const char *in = (const char *)args->in + row * weight->k * bytes;
  char *out = (char *)args->out + row * weight->n * (out_bf16 ? 2 : 4);
  bool activates = args->activation != SP_ACT_NONE;
  char *product_out = activates ? (char *)args->pre + row * weight->n * bytes : out;
  enum sp_status status = products->engine->run(products->context, op->product, thread, in,
                                                weight->packed_forward, args->bias, product_out);
  sp_train_note(&op->failure, status);
  if (status == SP_OK && activates) {
    op->trainer->kernels->tiles->activate(args->activation, product_out, bf16, rows * weight->n,
                                          out, out_bf16);
  }
}

static enum sp_status check_linear(const struct sp_trainer *trainer,
                                   const struct sp_train_weight *weight, size_t rows,
                                   struct sp_error *err) {
  if (weight->slabs > 1) {
    return sp_fail(err, SP_EMODEL, "a linear of %zu outputs; the trainer has room for %zu",
                   weight->n, trainer->limits.width);
  }
  if (rows > trainer->limits.rows) {
    return sp_fail(err, SP_EMODEL, "a linear of %zu rows; the trainer has room for %zu", rows,
                   trainer->limits.rows);
  }
  return SP_OK;
}

enum sp_status sp_cpu_train_linear(struct sp_trainer *trainer,
                                   const struct sp_train_linear_args *args, struct sp_error *err) {
  SP_TRY(check_linear(trainer, args->weight, args->rows, err));
  struct sp_product *product = args->weight->forward;
  bool direct_f32 = args->out_f32 && args->activation == SP_ACT_NONE;
  if (direct_f32 && args->weight->type == SP_COMPUTE_BF16) {
    struct sp_product_spec spec = product->spec;
    spec.out_f32 = true;
    spec.like = product;
    SP_TRY(sp_train_product_get(trainer, &spec, &product, err));
  }
  struct forward op = {.trainer = trainer, .args = args, .product = product};
  atomic_init(&op.failure, SP_OK);
  sp_team_run(trainer->team, sp_train_tiles(args->rows), forward_tile, &op);
  return sp_train_outcome(&op.failure, err);
}

/* ---- backward ---- */

#define TURNED_BYTES (SP_TRAIN_BLOCK_ROWS * SP_TRAIN_PIECE * sizeof(float))

struct backward {
  struct sp_trainer *trainer;
  const struct sp_train_linear_backward_args *args;
  const struct sp_product *to_in; /* d_pre W */
  struct sp_train_outer outer;    /* d_pre^T in */
  struct sp_row_layout layout;
  bool in_place; /* d_out is d_pre as it stands */
  atomic_int failure;
};

/* d_pre of a tile, in d_out itself or in memory of ours, and its sums. */
static const void *make_d_pre(const struct backward *op, size_t tile, size_t rows) {
  const struct sp_train_linear_backward_args *args = op->args;
  const struct sp_train_products *products = op->trainer->products;
  size_t n = args->weight->n, at = tile * SP_TRAIN_TILE * n;
  size_t bytes = sp_train_bytes(args->weight->type);
  bool bf16 = args->weight->type == SP_COMPUTE_BF16;
  bool d_out_bf16 = bf16 && !args->d_out_f32;
  struct sp_tile_gradient gradient = {
      .activation = args->activation,
      .pre = args->activation == SP_ACT_NONE ? NULL : (const char *)args->pre + at * bytes,
      .d_out = (const char *)args->d_out + at * (d_out_bf16 ? 2 : 4),
      .rows = rows,
      .n = n,
      .bf16 = bf16,
      .d_out_bf16 = d_out_bf16,
      .sums = (float *)products->sums.data + tile * n};
  if (!op->in_place) {
    gradient.d_pre = (char *)products->d_pre.data + at * bytes;
  }
  op->trainer->kernels->tiles->gradient(&gradient);
  return op->in_place ? gradient.d_out : gradient.d_pre;
}

/* The piece of rows that a tile is in: its first row, and how many it has room for. */
struct piece {
  size_t first, rows;
};

static struct piece piece_of(size_t tile, size_t tiles) {
  size_t first = tile / 2 * 2;
  return (struct piece){.first = first * SP_TRAIN_TILE,
                        .rows = first + 1 < tiles ? SP_TRAIN_PIECE : SP_TRAIN_TILE};
}

/* A piece of inputs in the row layout. */
static char *packed_piece(const struct backward *op, struct piece piece) {
  size_t columns = sp_train_padded(&op->layout, op->args->weight->k);
  return (char *)op->trainer->products->packed.data +
         piece.first * columns * sp_train_row_bytes(&op->layout);
}

static void pack_tile(const struct backward *op, size_t tile, size_t rows) {
  const struct sp_train_linear_backward_args *args = op->args;
  enum sp_compute type = args->weight->type;
  size_t k = args->weight->k, row = tile * SP_TRAIN_TILE;
  struct piece piece = piece_of(tile, sp_train_tiles(args->rows));
  op->trainer->kernels->tiles->pack(
      &op->layout, (const char *)args->in + row * k * sp_train_bytes(type), type == SP_COMPUTE_BF16,
      rows, SP_TRAIN_TILE, k, packed_piece(op, piece), piece.rows, row - piece.first);
}

static void backward_tile(void *arg, size_t tile, size_t thread) {
  struct backward *op = arg;
  const struct sp_train_linear_backward_args *args = op->args;
  const struct sp_train_weight *weight = args->weight;
  struct sp_train_products *products = op->trainer->products;
  size_t row = tile * SP_TRAIN_TILE;
  size_t rows = sp_min_size(args->rows - row, SP_TRAIN_TILE);
  const void *d_pre = make_d_pre(op, tile, rows);
  if (args->d_in) {
    size_t bytes = args->d_in_add ? 4 : sp_train_bytes(weight->type);
    char *d_in = (char *)args->d_in + row * weight->k * bytes;
    sp_train_note(&op->failure, products->engine->run(products->context, op->to_in, thread, d_pre,
                                                      weight->packed_backward, NULL, d_in));
  }
  pack_tile(op, tile, rows);
}

/* d_bias of the block's rows: tiles in order. */
static void add_bias_block(const struct backward *op, size_t first, size_t rows) {
  const float *sums = (const float *)op->trainer->products->sums.data;
  size_t n = op->args->weight->n, tiles = sp_train_tiles(op->args->rows);
  for (size_t j = first; j < first + rows; j++) {
    float sum = 0;
    for (size_t t = 0; t < tiles; t++) {
      sum += sums[t * n + j];
    }
    op->args->d_bias[j] += sum;
  }
}

/* Columns [first, first + columns) of a piece of d_pre, turned into the thread's memory: just before they
 * are read, since the whole of them would leave the cache. */
static const void *turn_block(const struct backward *op, struct piece piece, size_t first,
                              size_t columns, size_t thread) {
  const struct sp_train_linear_backward_args *args = op->args;
  const struct sp_train_products *products = op->trainer->products;
  enum sp_compute type = args->weight->type;
  size_t n = args->weight->n;
  const char *d_pre = op->in_place ? args->d_out : products->d_pre.data;
  char *turned = (char *)products->tiles.data + thread * TURNED_BYTES;
  op->trainer->kernels->tiles->turn(
      &op->layout, d_pre + (piece.first * n + first) * sp_train_bytes(type),
      type == SP_COMPUTE_BF16, n, sp_min_size(args->rows - piece.first, piece.rows), piece.rows,
      columns, turned, piece.rows);
  return turned;
}

static void backward_block(void *arg, size_t task, size_t thread) {
  struct backward *op = arg;
  const struct sp_train_weight *weight = op->args->weight;
  struct sp_train_products *products = op->trainer->products;
  size_t first = task * SP_TRAIN_BLOCK_ROWS, tiles = sp_train_tiles(op->args->rows);
  size_t rows = sp_min_size(weight->n - first, SP_TRAIN_BLOCK_ROWS);
  struct sp_product *const *pair = rows == SP_TRAIN_BLOCK_ROWS ? op->outer.whole : op->outer.rest;
  for (size_t tile = 0; tile < tiles; tile += 2) {
    struct piece piece = piece_of(tile, tiles);
    const void *turned = turn_block(op, piece, first, rows, thread);
    enum sp_status status = products->engine->run(
        products->context, pair[piece.rows == SP_TRAIN_TILE], thread, turned,
        packed_piece(op, piece), NULL, op->args->d_weight + first * weight->k);
    sp_train_note(&op->failure, status);
  }
  add_bias_block(op, first, rows);
}

static enum sp_status backward_memory(struct sp_trainer *trainer, const struct backward *op,
                                      struct sp_error *err) {
  const struct sp_train_weight *weight = op->args->weight;
  struct sp_train_products *products = trainer->products;
  size_t tiles = sp_train_tiles(op->args->rows), rows = tiles * SP_TRAIN_TILE;
  size_t columns = sp_train_padded(&op->layout, weight->k);
  size_t packed = sp_mul_sat(sp_mul_sat(rows, columns), sp_train_row_bytes(&op->layout));
  if (!op->in_place) {
    size_t d_pre = sp_mul_sat(sp_mul_sat(rows, weight->n), sp_train_bytes(weight->type));
    SP_TRY(sp_train_buffer_grow(&products->d_pre, d_pre, err));
  }
  SP_TRY(sp_train_buffer_grow(&products->packed, packed, err));
  SP_TRY(sp_train_buffer_grow(&products->sums, tiles * weight->n * sizeof(float), err));
  return sp_train_buffer_grow(&products->tiles, TURNED_BYTES * sp_team_threads(trainer->team), err);
}

static enum sp_status backward_products(struct sp_trainer *trainer, struct backward *op,
                                        struct sp_error *err) {
  struct sp_train_weight const *weight = op->args->weight;
  struct sp_product *to_in = weight->backward;
  if (op->args->d_in && op->args->d_in_add) {
    struct sp_product_spec spec = to_in->spec;
    spec.add = spec.out_f32 = true;
    spec.like = to_in;
    SP_TRY(sp_train_product_get(trainer, &spec, &to_in, err));
  }
  op->to_in = to_in;
  return sp_train_outer_get(trainer, weight->type, weight->n, weight->k, &op->outer, err);
}

enum sp_status sp_cpu_train_linear_backward(struct sp_trainer *trainer,
                                            const struct sp_train_linear_backward_args *args,
                                            struct sp_error *err) {
  const struct sp_train_weight *weight = args->weight;
  SP_TRY(check_linear(trainer, weight, args->rows, err));
  struct sp_train_products *products = trainer->products;
  struct backward op = {.trainer = trainer, .args = args};
  op.layout = products->engine->row_layout(products->context, weight->type);
  op.in_place =
      args->activation == SP_ACT_NONE && (weight->type == SP_COMPUTE_F32 || !args->d_out_f32);
  atomic_init(&op.failure, SP_OK);
  SP_TRY(backward_products(trainer, &op, err));
  SP_TRY(backward_memory(trainer, &op, err));
  size_t blocks = (weight->n + SP_TRAIN_BLOCK_ROWS - 1) / SP_TRAIN_BLOCK_ROWS;
  sp_team_run(trainer->team, sp_train_tiles(args->rows), backward_tile, &op);
  sp_team_run(trainer->team, blocks, backward_block, &op);
  return sp_train_outcome(&op.failure, err);
}
