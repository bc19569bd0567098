/* train_attention.c - out[r] = sum_j p_rj v_j, p = softmax_j(q[r] k[j] / sqrt(head_dim) + b_rj), and the
 * logarithm of the softmax's denominator for the way back.
 *
 * Shapes    see struct sp_train_attention_args; head_dim <= SP_CPU_HEAD_DIM_MAX
 * Parallel  a task is one head of one sequence: its keys are transposed and its values widened once,
 *           then SP_CPU_QUERY_TILE rows at a time see SP_CPU_KEY_TILE keys at a time; tiles that
 *           no row sees are left out
 * Numerics  f32 inside (attention_tile.h), the scores of pairs of bf16 where the processor multiplies
 *           those; lse = maximum + log(sum), -inf where a row sees nothing
 *
 * Bound     arithmetic in f32 and one exp a score */
#include "train_attention.h"

enum { KEYS = SP_CPU_KEY_TILE, QUERIES = SP_CPU_QUERY_TILE };

struct job {
  struct sp_trainer *trainer;
  const struct sp_train_attention_args *args;
};

/* A thread's scratch; returns where the keys (tiles, head_dim, KEYS) and values (keys, width) of the
 * whole sequence begin. */
static float *lay_out(float *scratch, size_t dim, struct sp_tile *t) {
  *t = (struct sp_tile){.dim = dim, .width = sp_tile_width(dim)};
  t->q = scratch;
  t->out = t->q + QUERIES * t->width;
  t->weight = t->out + QUERIES * t->width;
  t->top = t->weight + QUERIES * KEYS;
  t->sum = t->top + QUERIES;
  return t->sum + QUERIES;
}

SP_VEC_INLINE void load_keys(const struct sp_train_head *h, const struct sp_tile *t, float *k,
                             float *v, bool bf16, bool pairs) {
  const struct sp_train_attention_args *args = h->args;
  for (size_t key = 0; key < h->keys; key += KEYS) {
    size_t now = h->keys - key < KEYS ? h->keys - key : KEYS;
    struct sp_tile_block from =
        sp_train_head_block(h, args->k, args->kv_stride, h->key0 + key, now);
    sp_train_load_transposed(from, bf16, pairs, k + key * t->width);
  }
  struct sp_tile_block from = sp_train_head_block(h, args->v, args->kv_stride, h->key0, h->keys);
  sp_tile_load_rows(&from, bf16, 1.0f, v, t->width);
}

/* The rows of `q`, from row0 of the sequence on, over all keys. */
static void attend(const struct sp_train_head *h, struct sp_tile *t, const struct sp_tile_block *q,
                   size_t row0, float *k, float *v, bool pairs) {
  uint64_t seen[QUERIES];
  bool first = true;
  sp_tile_begin(t);
  for (size_t key = 0; key < h->keys; key += KEYS) {
    if (!sp_train_head_seen(h, row0, t->rows, key, seen)) {
      continue;
    }
    t->keys = h->keys - key < KEYS ? h->keys - key : KEYS;
    t->k = k + key * t->width;
    t->v = v + key * t->width;
    if (pairs) {
      sp_train_score_pairs(q, t->k, t->keys, 1.0f / sqrtf((float)t->dim), t->weight);
    } else {
      sp_tile_score(t);
    }
    sp_train_head_bias(h, row0, t->rows, key, t->keys, t->weight);
    sp_tile_mix(t, seen, first);
    first = false;
  }
}

SP_VEC_INLINE void run_head(const struct sp_train_head *h, float *scratch, bool bf16) {
  const struct sp_train_attention_args *args = h->args;
  struct sp_tile t;
  float *k = lay_out(scratch, args->head_dim, &t);
  float *v = k + (h->keys + KEYS - 1) / KEYS * KEYS * t.width;
  bool pairs = sp_train_head_pairs(h, bf16);
  load_keys(h, &t, k, v, bf16, pairs);
  for (size_t row0 = 0; row0 < h->rows; row0 += QUERIES) {
    t.rows = h->rows - row0 < QUERIES ? h->rows - row0 : QUERIES;
    struct sp_tile_block q =
        sp_train_head_block(h, args->q, args->q_stride, h->row0 + row0, t.rows);
    if (pairs) {
      q = sp_train_pairs(q);
    } else {
      sp_tile_load_rows(&q, bf16, 1.0f / sqrtf((float)t.dim), t.q, t.width);
    }
    attend(h, &t, &q, row0, k, v, pairs);
    size_t at = (h->row0 + row0) * args->heads + h->head;
    sp_tile_store(&t, args->out, at * t.dim, args->heads * t.dim, bf16);
    for (size_t r = 0; r < t.rows; r++) {
      args->lse[at + r * args->heads] = t.top[r] + logf(t.sum[r]);
    }
  }
}

static void run_task(void *arg, size_t task, size_t thread) {
  const struct job *job = arg;
  size_t heads = job->args->heads;
  bool bf16 = job->trainer->device->base.compute == SP_COMPUTE_BF16;
  struct sp_train_head h = sp_train_head_of(job->args, task / heads, task % heads);
  float *scratch = sp_cpu_train_scratch(job->trainer, thread);
  if (bf16) {
    run_head(&h, scratch, true);
  } else {
    run_head(&h, scratch, false);
  }
}

enum sp_status SP_ISA_NAME(sp_cpu_train_attention)(struct sp_trainer *trainer,
                                                   const struct sp_train_attention_args *args,
                                                   struct sp_error *err) {
  SP_TRY(sp_cpu_train_attention_fits(trainer, args, err));
  struct job job = {trainer, args};
  sp_team_run(trainer->team, args->sequences * args->heads, run_task, &job);
  return SP_OK;
}
