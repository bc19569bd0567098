/* attention.c - out[r] = sum_j softmax_j(q[r] k[j] / sqrt(head_dim)) v[j], j the keys that r sees.
 *
 * Shapes    see struct sp_attention_args; head_dim <= SP_CPU_HEAD_DIM_MAX
 * Parallel  the calling thread alone: sequence, head, SP_CPU_QUERY_TILE query rows, then key tiles
 *           of SP_CPU_KEY_TILE keys from the sequence's first token: one mask word a row and tile
 * Numerics  f32 inside (attention_tile.h)
 *
 * Bound     arithmetic in f32 and one exp a score */
#include "attention_tile.h"
#include "kernels.h"

enum { KEYS = SP_CPU_KEY_TILE, QUERIES = SP_CPU_QUERY_TILE };

/* The stream's scratch for one head. */
static struct sp_tile tile_of(float *scratch, size_t head_dim) {
  struct sp_tile t = {.dim = head_dim, .width = sp_tile_width(head_dim)};
  t.q = scratch;
  t.out = t.q + QUERIES * SP_CPU_HEAD_DIM_MAX;
  t.k = t.out + QUERIES * SP_CPU_HEAD_DIM_MAX;
  t.v = t.k + KEYS * SP_CPU_HEAD_DIM_MAX;
  t.weight = t.v + KEYS * SP_CPU_HEAD_DIM_MAX;
  t.top = t.weight + QUERIES * KEYS;
  t.sum = t.top + QUERIES;
  return t;
}

/* Asks for the block that starts n elements further on: the next head's. */
SP_VEC_INLINE void prefetch_next(const struct sp_tile_block *b, bool bf16) {
  const size_t bytes = bf16 ? 2 : 4;
  for (size_t r = 0; r < b->rows; r++) {
    const char *row = (const char *)b->from + (sp_tile_element(b, r) + b->n) * bytes;
    for (size_t i = 0; i < b->n * bytes; i += 64) {
      __builtin_prefetch(row + i);
    }
  }
}

/* seen[r]: which keys of the tile from key0 on row row0 + r of sequence s sees. */
static void see_rows(const struct sp_attention_args *args, const struct sp_tile *t, size_t s,
                     size_t row0, size_t key0, uint64_t *seen) {
  size_t len = args->key_len[s], words = (len + 63) / 64;
  const uint64_t *mask = NULL;
  if (args->mask) {
    mask = args->mask + args->mask_start[s] + (row0 - args->row_start[s]) * words;
  }
  for (size_t r = 0; r < t->rows; r++) {
    seen[r] = sp_tile_seen(mask ? mask + r * words : NULL, len, key0);
  }
}

/* Rows of the keys [key0, key0 + count) of sequence s, in `room` where they stand in two pieces; NULL:
 * one after the other, from *first on. */
static const uint32_t *key_rows(const struct sp_attention_args *args, size_t s, size_t key0,
                                size_t count, uint32_t *room, size_t *first) {
  *first = 0;
  if (!args->key_row) {
    *first = args->key_start[s] + key0;
    return NULL;
  }
  size_t split = args->key_split[s];
  const uint32_t *shared = args->key_row + args->key_start[s];
  const uint32_t *own = args->key_row + args->key_own[s];
  if (key0 + count <= split) {
    return shared + key0;
  }
  for (size_t j = key0; j < key0 + count; j++) {
    room[j - key0] = j < split ? shared[j] : own[j - split];
  }
  return room;
}

/* Queries [row0, row0 + t->rows) of sequence s in one head. */
SP_VEC_INLINE void attend(const struct sp_attention_args *args, struct sp_tile *t, size_t s,
                          size_t row0, size_t head, bool bf16) {
  size_t dim = args->head_dim;
  struct sp_tile_block q = {args->q, head * dim, args->q_stride, t->rows, dim, NULL};
  if (args->q_row) {
    q.row = args->q_row + row0;
  } else {
    q.base += row0 * args->q_stride;
  }
  prefetch_next(&q, bf16);
  sp_tile_load_rows(&q, bf16, 1.0f / sqrtf((float)dim), t->q, t->width);
  sp_tile_begin(t);
  for (size_t key0 = 0; key0 < args->key_len[s]; key0 += KEYS) {
    size_t left = args->key_len[s] - key0;
    uint32_t room[KEYS];
    size_t first;
    t->keys = left < KEYS ? left : KEYS;
    const uint32_t *row = key_rows(args, s, key0, t->keys, room, &first);
    size_t base = first * args->kv_stride + head * dim;
    struct sp_tile_block k = {args->k, base, args->kv_stride, t->keys, dim, row};
    struct sp_tile_block v = {args->v, base, args->kv_stride, t->keys, dim, row};
    prefetch_next(&k, bf16);
    prefetch_next(&v, bf16);
    sp_tile_load_transposed(&k, bf16, t->k);
    sp_tile_load_rows(&v, bf16, 1.0f, t->v, t->width);
    sp_tile_score(t);
    uint64_t seen[QUERIES];
    see_rows(args, t, s, row0, key0, seen);
    sp_tile_mix(t, seen, key0 == 0);
  }
  size_t at = (row0 * args->heads + head) * dim;
  sp_tile_store(t, args->out, at, args->heads * dim, bf16);
}

enum sp_status SP_ISA_NAME(sp_cpu_attention)(struct sp_stream *stream,
                                             const struct sp_attention_args *args,
                                             struct sp_error *err) {
  if (args->head_dim > SP_CPU_HEAD_DIM_MAX) {
    return sp_fail(err, SP_EMODEL, "attention heads of %zu dimensions; at most %d are supported",
                   args->head_dim, SP_CPU_HEAD_DIM_MAX);
  }
  bool bf16 = stream->device->base.compute == SP_COMPUTE_BF16;
  struct sp_tile t = tile_of(stream->attention, args->head_dim);
  for (size_t s = 0; s < args->sequences; s++) {
    size_t end = args->row_start[s + 1];
    for (size_t row0 = args->row_start[s]; row0 < end; row0 += QUERIES) {
      t.rows = end - row0 < QUERIES ? end - row0 : QUERIES;
      for (size_t head = 0; head < args->heads; head++) {
        if (bf16) {
          attend(args, &t, s, row0, head, true);
        } else {
          attend(args, &t, s, row0, head, false);
        }
      }
    }
  }
  return SP_OK;
}
