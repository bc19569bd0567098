/* data_block.h - a piece of the input on its way to token ids; private to data*.c.
 *
 * The reader fills blocks, one a worker; workers tokenize them side by side and count word errors; then
 * they are stored in their order.  So the result does not depend on the number of workers. */
#ifndef SP_TRAIN_DATA_BLOCK_H
#define SP_TRAIN_DATA_BLOCK_H

#include "edit.h"
#include "tokenizer.h"
#include "units.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes of texts, and of what is kept of empty ones too, after which a block is full. */
#define SP_DATA_BLOCK_BYTES ((size_t)1 << 20)

/* A stretch of the block's bytes. */
struct sp_data_span {
  size_t start, len;
};

struct sp_data_text {
  struct sp_data_span text;
  float first_pass, teacher; /* NaN: has none */
  size_t n_ids;              /* filled by the worker; its ids follow those of the text before */
  float errors;              /* the same; NaN without a reference */
};

struct sp_data_utt {
  size_t n_texts; /* the ones that follow those of the utterance before */
  struct sp_data_span id, ref;
  bool has_ref;
  uint64_t place;   /* see data_part.h */
  uint64_t ordinal; /* of what was taken, from 0 */
  size_t ref_words; /* filled by the worker */
};

struct sp_data_block {
  struct sp_buf bytes;
  struct sp_buf texts; /* struct sp_data_text */
  struct sp_buf utts;  /* struct sp_data_utt */
  struct sp_buf ids;   /* int32_t, of all texts */
};

static inline size_t sp_data_block_utts(const struct sp_data_block *block) {
  return block->utts.len / sizeof(struct sp_data_utt);
}
static inline bool sp_data_block_is_full(const struct sp_data_block *block) {
  return block->bytes.len + block->texts.len + block->utts.len >= SP_DATA_BLOCK_BYTES;
}
void sp_data_block_clear(struct sp_data_block *block);
void sp_data_block_release(struct sp_data_block *block);
SP_MUST_CHECK enum sp_status sp_data_block_keep(struct sp_data_block *block, struct sp_text text,
                                                struct sp_data_span *span, struct sp_error *err);

/* What one thread needs. */
struct sp_data_worker {
  struct sp_encoder *encoder;
  struct sp_units *units; /* NULL: word errors are not asked for */
  struct sp_edit *edit;
  bool error_rates;
  struct sp_data_block block;
  enum sp_status status; /* of the last run */
  struct sp_error err;
};

SP_MUST_CHECK enum sp_status sp_data_worker_init(struct sp_data_worker *worker,
                                                 const struct sp_tokenizer *tokenizer,
                                                 bool lower_first, bool errors, bool error_rates,
                                                 struct sp_error *err);
void sp_data_worker_release(struct sp_data_worker *worker);
/* Fills in what the block's texts come to; the outcome is in the worker. */
void sp_data_worker_run(struct sp_data_worker *worker);

#ifdef __cplusplus
}
#endif
#endif
