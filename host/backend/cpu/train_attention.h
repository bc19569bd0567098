/* train_attention.h - what attention for training and its backward share: a task is one head of one
 * sequence, whose keys and rows lie in the thread's scratch as f32. */
#ifndef SP_CPU_TRAIN_ATTENTION_H
#define SP_CPU_TRAIN_ATTENTION_H

#include "attention_tile.h"
#include "train_kernels.h"

/* One head of sequence s. */
struct sp_train_head {
  const struct sp_train_attention_args *args;
  size_t s, head;
  size_t row0, rows; /* its query rows */
  size_t key0, keys; /* its keys */
};

static inline struct sp_train_head sp_train_head_of(const struct sp_train_attention_args *args,
                                                    size_t s, size_t head) {
  return (struct sp_train_head){.args = args,
                                .s = s,
                                .head = head,
                                .row0 = args->row_start[s],
                                .rows = args->row_start[s + 1] - args->row_start[s],
                                .key0 = args->key_start[s],
                                .keys = args->key_start[s + 1] - args->key_start[s]};
}

/* Rows [row, row + rows) of a (.., stride) matrix, the head's part of them. */
static inline struct sp_tile_block sp_train_head_block(const struct sp_train_head *h,
                                                       const void *from, size_t stride, size_t row,
                                                       size_t rows) {
  size_t dim = h->args->head_dim;
  return (struct sp_tile_block){from, row * stride + h->head * dim, stride, rows, dim, NULL};
}

/* Whether the operands of scores are read as pairs of bf16 (micro.h), where they stand. */
SP_VEC_INLINE bool sp_train_head_pairs(const struct sp_train_head *h, bool bf16) {
#if SP_BF16
  const struct sp_train_attention_args *args = h->args;
  return bf16 && (args->head_dim | args->q_stride | args->kv_stride) % 2 == 0;
#else
  (void)h;
  (void)bf16;
  return false;
#endif
}

/* A block of bf16 as one of pairs. */
static inline struct sp_tile_block sp_train_pairs(struct sp_tile_block b) {
  return (struct sp_tile_block){b.from, b.base / 2, b.stride / 2, b.rows, b.n / 2, NULL};
}

/* Keys or values transposed, into (head_dim, SP_CPU_KEY_TILE) or pairs of it. */
SP_VEC_INLINE void sp_train_load_transposed(struct sp_tile_block b, bool bf16, bool pairs,
                                            float *to) {
  if (pairs) {
    b = sp_train_pairs(b);
    sp_tile_load_transposed(&b, false, to);
  } else {
    sp_tile_load_transposed(&b, bf16, to);
  }
}

/* score (rows, SP_CPU_KEY_TILE) = scale a keys, a block of pairs by keys (pairs, SP_CPU_KEY_TILE). */
static inline void sp_train_score_pairs(const struct sp_tile_block *a, const float *keys_t,
                                        size_t keys, float scale, float *score) {
  struct sp_micro m = {.a = (const float *)a->from + a->base,
                       .b = keys_t,
                       .c = score,
                       .a_stride = a->stride,
                       .b_stride = SP_CPU_KEY_TILE,
                       .c_stride = SP_CPU_KEY_TILE,
                       .depth = a->n,
                       .pairs = true,
                       .scale = scale};
  sp_micro_block(m, a->rows, keys);
}

/* seen[r]: the bits of row0 + r in the tile from key0 on; returns whether any
 * row sees a key. */
static inline bool sp_train_head_seen(const struct sp_train_head *h, size_t row0, size_t rows,
                                      size_t key0, uint64_t *seen) {
  const struct sp_train_attention_args *args = h->args;
  size_t words = (h->keys + 63) / 64;
  uint64_t any = 0;
  for (size_t r = 0; r < rows; r++) {
    const uint64_t *mask = NULL;
    if (args->mask) {
      mask = args->mask + args->mask_start[h->s] + (row0 + r) * words;
    }
    seen[r] = sp_tile_seen(mask, h->keys, key0);
    any |= seen[r];
  }
  return any != 0;
}

/* The cells of a row's bias that lie in the tile [key0, key0 + keys): cell c is key p + 1 + c. */
struct sp_train_cells {
  size_t first, end; /* cells */
  size_t key;        /* in the tile, of cell `first` */
};

static inline struct sp_train_cells sp_train_head_cells(const struct sp_train_head *h, size_t row,
                                                        size_t key0, size_t keys) {
  size_t next = (size_t)h->args->row_position[h->row0 + row] + 1;
  size_t reach = h->args->reach;
  struct sp_train_cells c = {0, 0, 0};
  if (next < key0 + keys && next + reach > key0) {
    c.first = next < key0 ? key0 - next : 0;
    c.end = next + reach < key0 + keys ? reach : key0 + keys - next;
    c.key = next + c.first - key0;
  }
  return c;
}

/* Adds the bias to the scores of `rows` rows from row0 on. */
static inline void sp_train_head_bias(const struct sp_train_head *h, size_t row0, size_t rows,
                                      size_t key0, size_t keys, float *score) {
  for (size_t r = 0; h->args->bias && r < rows; r++) {
    const float *bias = h->args->bias + (h->row0 + row0 + r) * h->args->reach;
    struct sp_train_cells cells = sp_train_head_cells(h, row0 + r, key0, keys);
    float *at = score + r * SP_CPU_KEY_TILE + cells.key;
    for (size_t c = cells.first; c < cells.end; c++) {
      *at++ += bias[c];
    }
  }
}

#endif
