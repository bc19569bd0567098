#include "data_block.h"

#include <math.h>

#include "checked.h"

void sp_data_block_clear(struct sp_data_block *block) {
  sp_buf_clear(&block->bytes);
  sp_buf_clear(&block->texts);
  sp_buf_clear(&block->utts);
  sp_buf_clear(&block->ids);
}

void sp_data_block_release(struct sp_data_block *block) {
  sp_buf_release(&block->bytes);
  sp_buf_release(&block->texts);
  sp_buf_release(&block->utts);
  sp_buf_release(&block->ids);
}

enum sp_status sp_data_block_keep(struct sp_data_block *block, struct sp_text text,
                                  struct sp_data_span *span, struct sp_error *err) {
  *span = (struct sp_data_span){block->bytes.len, text.len};
  return sp_buf_append(&block->bytes, text.data, text.len, err);
}

static struct sp_text text_at(const struct sp_data_block *block, struct sp_data_span span) {
  return (struct sp_text){block->bytes.data + span.start, span.len};
}

enum sp_status sp_data_worker_init(struct sp_data_worker *worker,
                                   const struct sp_tokenizer *tokenizer, bool lower_first,
                                   bool errors, bool error_rates, struct sp_error *err) {
  *worker = (struct sp_data_worker){.error_rates = error_rates};
  SP_TRY(sp_encoder_create(tokenizer, lower_first, &worker->encoder, err));
  if (errors) {
    SP_TRY(sp_units_create(SP_UNIT_WORD, &worker->units, err));
    SP_TRY(sp_edit_create(&worker->edit, err));
  }
  return SP_OK;
}

void sp_data_worker_release(struct sp_data_worker *worker) {
  sp_encoder_destroy(worker->encoder);
  sp_units_destroy(worker->units);
  sp_edit_destroy(worker->edit);
  sp_data_block_release(&worker->block);
  *worker = (struct sp_data_worker){0};
}

static enum sp_status tokenize(struct sp_data_worker *worker, struct sp_data_text *text,
                               struct sp_error *err) {
  struct sp_tokens tokens;
  SP_TRY(sp_encode(worker->encoder, text_at(&worker->block, text->text), &tokens, err));
  text->n_ids = tokens.n;
  text->errors = NAN;
  return sp_buf_append(&worker->block.ids, tokens.ids, tokens.n * sizeof *tokens.ids, err);
}

/* Word errors of the utterance's texts. A rate of an empty reference counts as of one word. */
static enum sp_status count_errors(struct sp_data_worker *worker, struct sp_data_utt *utt,
                                   struct sp_data_text *texts, struct sp_error *err) {
  const uint32_t *ref, *hyp;
  size_t n, errors;
  sp_units_clear(worker->units);
  SP_TRY(
      sp_units_split(worker->units, text_at(&worker->block, utt->ref), &ref, &utt->ref_words, err));
  SP_TRY(sp_edit_set_reference(worker->edit, ref, utt->ref_words, err));
  double divisor = worker->error_rates ? (double)sp_max_size(utt->ref_words, 1) : 1;
  for (size_t i = 0; i < utt->n_texts; i++) {
    SP_TRY(sp_units_split(worker->units, text_at(&worker->block, texts[i].text), &hyp, &n, err));
    SP_TRY(sp_edit_distance(worker->edit, hyp, n, &errors, err));
    texts[i].errors = (float)((double)errors / divisor);
  }
  return SP_OK;
}

static enum sp_status run(struct sp_data_worker *worker, struct sp_error *err) {
  struct sp_data_utt *utts = (struct sp_data_utt *)worker->block.utts.data;
  struct sp_data_text *texts = (struct sp_data_text *)worker->block.texts.data;
  for (size_t u = 0; u < sp_data_block_utts(&worker->block); u++) {
    for (size_t i = 0; i < utts[u].n_texts; i++) {
      SP_TRY(tokenize(worker, &texts[i], err));
    }
    if (worker->units && utts[u].has_ref) {
      SP_TRY(count_errors(worker, &utts[u], texts, err));
    }
    texts += utts[u].n_texts;
  }
  return SP_OK;
}

void sp_data_worker_run(struct sp_data_worker *worker) {
  worker->status = run(worker, &worker->err);
}
