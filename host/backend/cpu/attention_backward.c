/* attention_backward.c - the gradients of attention for training, from its inputs, out and lse.
 *
 *   p_rj = exp(s_rj - lse_r),  D_r = sum_d d_out_rd out_rd,  ds_rj = p_rj (d_out_r v_j - D_r)
 *   d_q_r = sum_j ds_rj k_j / sqrt(head_dim),  d_k_j = sum_r ds_rj q_r / sqrt(head_dim),
 *   d_v_j = sum_r p_rj d_out_r,  d_bias_rc = sum over heads of ds_rj, j = p_r + 1 + c
 *   (the recomputation of Dao et al. 2022, FlashAttention, algorithm 4)
 *
 * Shapes    see struct sp_train_attention_backward_args
 * Parallel  a task is one head of one sequence; with a bias one sequence, its heads in order, since
 *           they add to the same d_bias.  SP_CPU_KEY_TILE keys at a time meet SP_CPU_QUERY_TILE
 *           rows at a time in five block products (micro.h); tiles that no row sees are left out
 * Numerics  f32 inside, scores and d_out v of pairs of bf16 where the processor multiplies those; the
 *           scores are forward's to the bit.  p and ds of an absent key are exactly 0, so is the whole
 *           row of one that sees nothing
 *
 * Bound     arithmetic in f32: 2.5 times forward's */
#include "train_attention.h"

enum { KEYS = SP_CPU_KEY_TILE, QUERIES = SP_CPU_QUERY_TILE };

struct job {
  struct sp_trainer *trainer;
  const struct sp_train_attention_backward_args *args;
};

/* A thread's scratch: the head's rows as a whole, then one tile of keys. */
struct back {
  float *q;     /* (rows, width) scaled */
  float *d_out; /* (rows, width) */
  float *d_q;   /* (rows, width) before its scale */
  float *lse;   /* (rows) */
  float *delta; /* (rows) D */
  float *k;     /* (KEYS, width) */
  float *k_t;   /* (head_dim, KEYS) transposed, or pairs of it */
  float *v_t;   /* (head_dim, KEYS) transposed, or pairs of it */
  float *d_k;   /* (KEYS, width) */
  float *d_v;   /* (KEYS, width) */
  float *p;     /* (QUERIES, KEYS) scores, then weights */
  float *ds;    /* (QUERIES, KEYS) d_out v, then ds */
  size_t dim, width;
  float scale;
  bool pairs; /* k_t and v_t */
};

static float *take(float **at, size_t floats) {
  float *taken = *at;
  *at += floats;
  return taken;
}

static struct back lay_out(float *scratch, size_t rows, size_t dim) {
  struct back b = {.dim = dim, .width = sp_tile_width(dim), .scale = 1.0f / sqrtf((float)dim)};
  rows = (rows + QUERIES - 1) / QUERIES * QUERIES;
  b.q = take(&scratch, rows * b.width);
  b.d_out = take(&scratch, rows * b.width);
  b.d_q = take(&scratch, rows * b.width);
  b.lse = take(&scratch, rows);
  b.delta = take(&scratch, rows);
  b.k = take(&scratch, KEYS * b.width);
  b.k_t = take(&scratch, KEYS * b.width);
  b.v_t = take(&scratch, KEYS * b.width);
  b.d_k = take(&scratch, KEYS * b.width);
  b.d_v = take(&scratch, KEYS * b.width);
  b.p = take(&scratch, QUERIES * KEYS);
  b.ds = take(&scratch, QUERIES * KEYS);
  return b;
}

/* D of one row. */
SP_VEC_INLINE float out_product(const float *d_out, const void *out, size_t at, size_t dim,
                                bool bf16) {
  vf sum = {0};
  size_t i = 0;
  for (; i + SP_LANES <= dim; i += SP_LANES) {
    sum = vf_fma(vf_load(d_out + i), vf_load_act(out, at + i, bf16, SP_LANES), sum);
  }
  if (i < dim) {
    sum = vf_fma(vf_load(d_out + i), vf_load_act(out, at + i, bf16, dim - i), sum);
  }
  return vf_sum(sum);
}

/* Everything of the head that has a row's shape. */
SP_VEC_INLINE void load_head(const struct sp_train_head *h,
                             const struct sp_train_attention_backward_args *args, struct back *b,
                             bool bf16) {
  const struct sp_train_attention_args *f = h->args;
  size_t stride = f->heads * b->dim;
  struct sp_tile_block q = sp_train_head_block(h, f->q, f->q_stride, h->row0, h->rows);
  struct sp_tile_block d_out = sp_train_head_block(h, args->d_out, stride, h->row0, h->rows);
  sp_tile_load_rows(&q, bf16, b->scale, b->q, b->width);
  sp_tile_load_rows(&d_out, bf16, 1.0f, b->d_out, b->width);
  memset(b->d_q, 0, h->rows * b->width * sizeof *b->d_q);
  for (size_t r = 0; r < h->rows; r++) {
    b->lse[r] = f->lse[(h->row0 + r) * f->heads + h->head];
    b->delta[r] =
        out_product(b->d_out + r * b->width, f->out, sp_tile_element(&d_out, r), b->dim, bf16);
  }
}

SP_VEC_INLINE void load_keys(const struct sp_train_head *h, const struct back *b, size_t key,
                             size_t keys, bool bf16) {
  const struct sp_train_attention_args *f = h->args;
  struct sp_tile_block k = sp_train_head_block(h, f->k, f->kv_stride, h->key0 + key, keys);
  struct sp_tile_block v = sp_train_head_block(h, f->v, f->kv_stride, h->key0 + key, keys);
  sp_tile_load_rows(&k, bf16, 1.0f, b->k, b->width);
  sp_train_load_transposed(k, bf16, b->pairs, b->k_t);
  sp_train_load_transposed(v, bf16, b->pairs, b->v_t);
}

/* c (rows, keys) = a b, a (rows, width), b (head_dim, KEYS). */
static void multiply_keys(const struct back *b, const float *a, const float *keys_t, size_t rows,
                          size_t keys, float *c) {
  struct sp_micro m = {.a = a,
                       .b = keys_t,
                       .c = c,
                       .a_stride = b->width,
                       .b_stride = KEYS,
                       .c_stride = KEYS,
                       .depth = b->dim};
  sp_micro_block(m, rows, keys);
}

/* Both products of the scores' shape, of pairs. */
static void score_pairs(const struct sp_train_head *h, const struct back *b,
                        const struct sp_train_attention_backward_args *args, size_t row0,
                        size_t rows, size_t keys) {
  const struct sp_train_attention_args *f = h->args;
  size_t row = h->row0 + row0, stride = f->heads * b->dim;
  struct sp_tile_block q = sp_train_pairs(sp_train_head_block(h, f->q, f->q_stride, row, rows));
  struct sp_tile_block d_out =
      sp_train_pairs(sp_train_head_block(h, args->d_out, stride, row, rows));
  sp_train_score_pairs(&q, b->k_t, keys, b->scale, b->p);
  sp_train_score_pairs(&d_out, b->v_t, keys, 1.0f, b->ds);
}

/* c (keys, width) (+)= weights^T a, a (rows, width). */
static void gather_keys(const struct back *b, const float *weights, const float *a, size_t rows,
                        size_t keys, bool add, float *c) {
  struct sp_micro m = {.a = weights,
                       .b = a,
                       .c = c,
                       .a_stride = KEYS,
                       .transposed = true,
                       .b_stride = b->width,
                       .c_stride = b->width,
                       .depth = rows,
                       .add = add};
  sp_micro_block(m, keys, b->width);
}

/* d_q (rows, width) += ds k. */
static void gather_rows(const struct back *b, size_t row0, size_t rows, size_t keys) {
  struct sp_micro m = {.a = b->ds,
                       .b = b->k,
                       .c = b->d_q + row0 * b->width,
                       .a_stride = KEYS,
                       .b_stride = b->width,
                       .c_stride = b->width,
                       .depth = keys,
                       .add = true};
  sp_micro_block(m, rows, b->width);
}

/* One row: scores to p, d_out v to ds. */
SP_VEC_INLINE void weigh(float *p, float *ds, size_t vectors, uint64_t seen, float lse,
                         float delta) {
  vf top = vf_splat(lse), center = vf_splat(delta);
  for (size_t i = 0; i < vectors; i++) {
    vi present = sp_tile_present(seen, i * SP_LANES);
    vf w = vf_exp(vf_load(p + i * SP_LANES) - top);
    vf d = w * (vf_load(ds + i * SP_LANES) - center);
    vf_store(p + i * SP_LANES, vf_select(present, w, (vf){0}));
    vf_store(ds + i * SP_LANES, vf_select(present, d, (vf){0}));
  }
}

static void add_bias_gradient(const struct sp_train_head *h, const struct back *b, size_t row0,
                              size_t rows, size_t key, size_t keys, float *d_bias) {
  for (size_t r = 0; r < rows; r++) {
    struct sp_train_cells cells = sp_train_head_cells(h, row0 + r, key, keys);
    const float *ds = b->ds + r * KEYS + cells.key;
    float *to = d_bias + (h->row0 + row0 + r) * h->args->reach;
    for (size_t c = cells.first; c < cells.end; c++) {
      to[c] += *ds++;
    }
  }
}

/* Rows [row0, row0 + rows) against the tile of keys; returns whether any of them sees a key. */
static bool meet(const struct sp_train_head *h, const struct back *b,
                 const struct sp_train_attention_backward_args *args, size_t row0, size_t rows,
                 size_t key, size_t keys, bool add) {
  uint64_t seen[QUERIES];
  if (!sp_train_head_seen(h, row0, rows, key, seen)) {
    return false;
  }
  const float *q = b->q + row0 * b->width, *d_out = b->d_out + row0 * b->width;
  if (b->pairs) {
    score_pairs(h, b, args, row0, rows, keys);
  } else {
    multiply_keys(b, q, b->k_t, rows, keys, b->p);
    multiply_keys(b, d_out, b->v_t, rows, keys, b->ds);
  }
  sp_train_head_bias(h, row0, rows, key, keys, b->p);
  for (size_t r = 0; r < rows; r++) {
    float lse = b->lse[row0 + r];
    weigh(b->p + r * KEYS, b->ds + r * KEYS, (keys + SP_LANES - 1) / SP_LANES,
          lse == -INFINITY ? 0 : seen[r], lse, b->delta[row0 + r]);
  }
  if (args->d_bias) {
    add_bias_gradient(h, b, row0, rows, key, keys, args->d_bias);
  }
  gather_keys(b, b->p, d_out, rows, keys, add, b->d_v);
  gather_keys(b, b->ds, q, rows, keys, add, b->d_k);
  gather_rows(b, row0, rows, keys);
  return true;
}

SP_VEC_INLINE void store_rows(const struct sp_train_head *h, const float *from, float scale,
                              size_t width, size_t row, size_t rows, void *to, size_t stride,
                              bool bf16) {
  struct sp_tile_block at = sp_train_head_block(h, to, stride, row, rows);
  for (size_t r = 0; r < rows; r++, from += width) {
    sp_tile_store_row(from, scale, at.n, to, sp_tile_element(&at, r), bf16);
  }
}

SP_VEC_INLINE void run_head(const struct sp_train_head *h,
                            const struct sp_train_attention_backward_args *args, float *scratch,
                            bool bf16) {
  struct back b = lay_out(scratch, h->rows, h->args->head_dim);
  b.pairs = sp_train_head_pairs(h, bf16);
  load_head(h, args, &b, bf16);
  for (size_t key = 0; key < h->keys; key += KEYS) {
    size_t keys = h->keys - key < KEYS ? h->keys - key : KEYS;
    bool met = false;
    load_keys(h, &b, key, keys, bf16);
    for (size_t row0 = 0; row0 < h->rows; row0 += QUERIES) {
      size_t rows = h->rows - row0 < QUERIES ? h->rows - row0 : QUERIES;
      met |= meet(h, &b, args, row0, rows, key, keys, met);
    }
    if (!met) {
      memset(b.d_k, 0, keys * b.width * sizeof *b.d_k);
      memset(b.d_v, 0, keys * b.width * sizeof *b.d_v);
    }
    store_rows(h, b.d_k, 1.0f, b.width, h->key0 + key, keys, args->d_k, args->d_kv_stride, bf16);
    store_rows(h, b.d_v, 1.0f, b.width, h->key0 + key, keys, args->d_v, args->d_kv_stride, bf16);
  }
  store_rows(h, b.d_q, b.scale, b.width, h->row0, h->rows, args->d_q, args->d_q_stride, bf16);
}

static void run_one(const struct job *job, size_t s, size_t head, size_t thread) {
  bool bf16 = job->trainer->device->base.compute == SP_COMPUTE_BF16;
  struct sp_train_head h = sp_train_head_of(&job->args->forward, s, head);
  float *scratch = sp_cpu_train_scratch(job->trainer, thread);
  if (bf16) {
    run_head(&h, job->args, scratch, true);
  } else {
    run_head(&h, job->args, scratch, false);
  }
}

static void run_head_task(void *arg, size_t task, size_t thread) {
  const struct job *job = arg;
  size_t heads = job->args->forward.heads;
  run_one(job, task / heads, task % heads, thread);
}

/* A sequence with its bias. */
static void run_sequence_task(void *arg, size_t task, size_t thread) {
  const struct job *job = arg;
  const struct sp_train_attention_args *f = &job->args->forward;
  size_t first = f->row_start[task], rows = f->row_start[task + 1] - first;
  memset(job->args->d_bias + first * f->reach, 0, rows * f->reach * sizeof(float));
  for (size_t head = 0; head < f->heads; head++) {
    run_one(job, task, head, thread);
  }
}

enum sp_status SP_ISA_NAME(sp_cpu_train_attention_backward)(
    struct sp_trainer *trainer, const struct sp_train_attention_backward_args *args,
    struct sp_error *err) {
  const struct sp_train_attention_args *f = &args->forward;
  SP_TRY(sp_cpu_train_attention_fits(trainer, f, err));
  struct job job = {trainer, args};
  if (args->d_bias) {
    sp_team_run(trainer->team, f->sequences, run_sequence_task, &job);
  } else {
    sp_team_run(trainer->team, f->sequences * f->heads, run_head_task, &job);
  }
  return SP_OK;
}
