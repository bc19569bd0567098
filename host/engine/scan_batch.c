#include "scan_batch.h"

#include <string.h>

#include "checked.h"
#include "clock.h"
#include "cost.h"
#include "plan_hash.h"

/* One piece of the arena an utterance: the views of its texts, then the bytes of id, place and texts. */
static size_t bytes_of(const struct sp_utt *utt, const char *where) {
  size_t bytes = utt->n_hyps * sizeof(struct sp_text) + utt->id.len;
  for (size_t h = 0; h < utt->n_hyps; h++) {
    bytes += utt->hyps[h].text.len; /* a record of the archive: far from overflow */
  }
  return sp_round_up(bytes + (where ? strlen(where) + 1 : 0), 64);
}

bool sp_scan_batch_fits(const struct sp_scan_batch *batch, const struct sp_utt *utt,
                        const char *where) {
  return batch->n == 0 || (batch->n < SP_SCAN_BATCH_UTTS && batch->bytes < SP_SCAN_BATCH_BYTES &&
                           bytes_of(utt, where) <= SP_SCAN_BATCH_BYTES - batch->bytes);
}

static struct sp_text copy(char **to, struct sp_text text) {
  struct sp_text copied = {*to, text.len};
  if (text.len > 0) {
    memcpy(*to, text.data, text.len);
  }
  *to += text.len;
  return copied;
}

static void count(struct sp_counts *counts, const struct sp_utt *utt) {
  counts->utts++;
  counts->without_ref += !utt->has_ref;
  counts->empty_lists += utt->n_hyps == 0;
  for (size_t h = 0; h < utt->n_hyps; h++) {
    counts->without_score += !utt->hyps[h].has_score;
  }
}

enum sp_status sp_scan_batch_add(struct sp_scan_batch *batch, const struct sp_utt *utt,
                                 uint64_t ordinal, const struct sp_place *place, const char *where,
                                 struct sp_error *err) {
  size_t bytes = bytes_of(utt, where);
  struct sp_text *texts = sp_arena_alloc(&batch->arena, bytes, 1);
  if (!texts) {
    return sp_fail_memory(err, bytes);
  }
  char *to = (char *)(texts + utt->n_hyps);
  struct sp_scan_utt *kept = &batch->utts[batch->n++];
  *kept = (struct sp_scan_utt){.id = copy(&to, utt->id), .texts = texts, .ordinal = ordinal};
  kept->mark = (struct sp_plan_shard){.utts = 1, .hyps = utt->n_hyps, .has_place = place != NULL};
  if (place) {
    kept->mark.place = *place;
  }
  for (size_t h = 0; h < utt->n_hyps; h++) {
    texts[h] = copy(&to, utt->hyps[h].text);
  }
  if (where) {
    kept->where = copy(&to, (struct sp_text){where, strlen(where) + 1}).data;
  }
  batch->bytes += bytes;
  count(&batch->counts, utt);
  return SP_OK;
}

/* ---- looking ---- */

struct look {
  struct sp_scan_batch *batch;
  struct sp_text_rule *rule;
  const struct sp_settings *settings;
  const struct sp_context *context;
};

static enum sp_status look_at_hyp(const struct look *look, struct sp_scan_utt *utt, size_t rank,
                                  struct sp_error *err) {
  struct sp_scan_batch *batch = look->batch;
  struct sp_tokens tokens;
  enum sp_flag flag;
  SP_TRY(sp_text_rule_apply(look->rule, utt->texts[rank], &tokens, &flag, err));
  batch->longest_tokens = sp_max_size(batch->longest_tokens, tokens.n);
  if (flag == SP_FLAG_TOO_LONG && look->settings->on_long == SP_LONG_ERROR) {
    return sp_fail(err, SP_EINPUT,
                   "%s: hypothesis %zu has %zu tokens, the model takes %zu (--on-long "
                   "null|truncate goes on)",
                   utt->where ? utt->where : "?", rank + 1, tokens.n, look->context->max_tokens);
  }
  uint64_t before = batch->counts.tokens;
  sp_count_hyp(&batch->counts, &tokens, flag);
  uint64_t scored = batch->counts.tokens - before;
  utt->mark.tokens += scored;
  utt->mark.cost += sp_cost_of_hyp(&look->context->config, look->settings->methods, scored);
  return SP_OK;
}

static enum sp_status look_at_utt(const struct look *look, struct sp_scan_utt *utt,
                                  struct sp_error *err) {
  uint64_t hash = sp_plan_hash_id(utt->id, utt->ordinal);
  for (size_t h = 0; h < utt->mark.hyps; h++) {
    hash = sp_plan_hash_text(utt->texts[h], hash);
    SP_TRY(look_at_hyp(look, utt, h, err));
  }
  utt->mark.xxh64 = hash;
  return SP_OK;
}

void sp_scan_batch_look(struct sp_scan_batch *batch, struct sp_text_rule *rule,
                        const struct sp_settings *settings, const struct sp_context *context) {
  struct look look = {batch, rule, settings, context};
  double start = sp_clock_thread_seconds();
  for (size_t u = 0; u < batch->n && batch->status == SP_OK; u++) {
    batch->status = look_at_utt(&look, &batch->utts[u], &batch->err);
  }
  batch->seconds = sp_clock_thread_seconds() - start;
}

void sp_scan_batch_clear(struct sp_scan_batch *batch) {
  if (batch->bytes > SP_SCAN_BATCH_BYTES) { /* one long utterance: its memory is not kept */
    sp_arena_release(&batch->arena);
  }
  sp_arena_clear(&batch->arena);
  batch->n = batch->bytes = 0;
  batch->counts = (struct sp_counts){0};
  batch->longest_tokens = 0;
  batch->seconds = 0;
  batch->status = SP_OK;
}
