#include "wer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checked.h"
#include "text_table.h"

/* What is kept of each utterance for resampling. */
struct kept {
  uint32_t *numbers; /* (n, 2 + n_systems) reference units, block, errors of each system */
  size_t n, capacity;
};

struct sp_wer {
  enum sp_unit unit;
  struct sp_text_profile *profile;
  size_t n_systems;
  struct sp_units *units, *char_units;
  struct sp_edit *edit, *char_edit;
  struct sp_wer_totals *totals;  /* (n_systems) */
  struct sp_mapsswe *tests;      /* (n_systems) the first is not used */
  struct sp_edit_counts *counts; /* (n_systems) of the utterance */
  struct sp_wer_lists lists;
  struct sp_buf path; /* of the utterance, the first system's */
  struct kept kept;
  struct sp_text_table *blocks; /* their names; NULL once an utterance had none */
};

void sp_wer_sum_add(struct sp_wer_sum *sum, const struct sp_edit_counts *counts) {
  sum->correct += counts->correct;
  sum->substitutions += counts->substitutions;
  sum->deletions += counts->deletions;
  sum->insertions += counts->insertions;
}

uint64_t sp_wer_sum_errors(const struct sp_wer_sum *sum) {
  return sum->substitutions + sum->deletions + sum->insertions;
}

uint64_t sp_wer_sum_reference(const struct sp_wer_sum *sum) {
  return sum->correct + sum->substitutions + sum->deletions;
}

double sp_wer_sum_rate(const struct sp_wer_sum *sum) {
  uint64_t errors = sp_wer_sum_errors(sum), ref = sp_wer_sum_reference(sum);
  return ref > 0 ? (double)errors / (double)ref : errors > 0 ? NAN : 0.0;
}

void sp_wer_destroy(struct sp_wer *wer) {
  if (wer) {
    sp_units_destroy(wer->units);
    sp_units_destroy(wer->char_units);
    sp_edit_destroy(wer->edit);
    sp_edit_destroy(wer->char_edit);
    sp_text_table_destroy(wer->blocks);
    sp_buf_release(&wer->path);
    free(wer->totals);
    free(wer->tests);
    free(wer->counts);
    free(wer->kept.numbers);
    free(wer);
  }
}

static enum sp_status fill(struct sp_wer *wer, struct sp_error *err) {
  wer->totals = calloc(wer->n_systems, sizeof *wer->totals);
  wer->tests = calloc(wer->n_systems, sizeof *wer->tests);
  wer->counts = calloc(wer->n_systems, sizeof *wer->counts);
  if (!wer->totals || !wer->tests || !wer->counts) {
    return sp_fail_memory(err, wer->n_systems * sizeof *wer->totals);
  }
  SP_TRY(sp_units_create(wer->unit, &wer->units, err));
  SP_TRY(sp_units_create(SP_UNIT_CHAR, &wer->char_units, err));
  SP_TRY(sp_edit_create(&wer->edit, err));
  SP_TRY(sp_edit_create(&wer->char_edit, err));
  return sp_text_table_create(&wer->blocks, err);
}

enum sp_status sp_wer_create(enum sp_unit unit, struct sp_text_profile *profile, size_t n_systems,
                             struct sp_wer **out, struct sp_error *err) {
  struct sp_wer *wer = calloc(1, sizeof *wer);
  if (!wer) {
    return sp_fail_memory(err, sizeof *wer);
  }
  wer->unit = unit;
  wer->profile = profile;
  wer->n_systems = n_systems;
  enum sp_status status = fill(wer, err);
  if (status != SP_OK) {
    sp_wer_destroy(wer);
    return status;
  }
  *out = wer;
  return SP_OK;
}

/* A text's units, and its characters as well when `n_chars` is there. */
static enum sp_status split(struct sp_wer *wer, struct sp_text text, const uint32_t **ids,
                            size_t *n, const uint32_t **chars, size_t *n_chars,
                            struct sp_error *err) {
  SP_TRY(sp_text_profile_apply(wer->profile, text, &text, err));
  SP_TRY(sp_units_split(wer->units, text, ids, n, err));
  return n_chars ? sp_units_split(wer->char_units, text, chars, n_chars, err) : SP_OK;
}

static enum sp_status set_reference(struct sp_wer *wer, struct sp_text ref, struct sp_wer_utt *utt,
                                    struct sp_error *err) {
  const uint32_t *chars;
  size_t n_chars;
  sp_units_clear(wer->units);
  sp_units_clear(wer->char_units);
  SP_TRY(split(wer, ref, &utt->ref, &utt->n_ref, &chars, &n_chars, err));
  SP_TRY(sp_edit_set_reference(wer->edit, utt->ref, utt->n_ref, err));
  return sp_edit_set_reference(wer->char_edit, chars, n_chars, err);
}

/* A system's answer: counts, and the path when it is wanted. */
static enum sp_status count_answer(struct sp_wer *wer, struct sp_text text, size_t system,
                                   struct sp_wer_utt *utt, const char **ops, size_t *n_ops,
                                   struct sp_error *err) {
  const uint32_t *hyp, *chars;
  size_t n, n_chars;
  struct sp_edit_counts in_chars;
  SP_TRY(split(wer, text, &hyp, &n, &chars, &n_chars, err));
  SP_TRY(sp_edit_align(wer->edit, hyp, n, ops, n_ops, err));
  wer->counts[system] = sp_edit_tally(*ops, *n_ops);
  SP_TRY(sp_edit_count(wer->char_edit, chars, n_chars, &in_chars, err));
  struct sp_wer_totals *totals = &wer->totals[system];
  totals->utts++;
  totals->wrong_utts += sp_edit_errors(&wer->counts[system]) > 0;
  sp_wer_sum_add(&totals->units, &wer->counts[system]);
  sp_wer_sum_add(&totals->chars, &in_chars);
  if (system == 0) {
    utt->hyp = hyp;
    utt->n_hyp = n;
    utt->chars = in_chars;
  }
  return SP_OK;
}

static enum sp_status count_systems(struct sp_wer *wer, struct sp_text answer,
                                    const struct sp_text *others, struct sp_wer_utt *utt,
                                    struct sp_error *err) {
  const char *ops;
  size_t n_ops;
  SP_TRY(count_answer(wer, answer, 0, utt, &ops, &n_ops, err));
  sp_buf_clear(&wer->path);
  SP_TRY(sp_buf_append(&wer->path, ops, n_ops, err));
  for (size_t s = 1; s < wer->n_systems; s++) {
    SP_TRY(count_answer(wer, others[s - 1], s, utt, &ops, &n_ops, err));
    sp_mapsswe_add(&wer->tests[s], wer->path.data, wer->path.len, ops, n_ops);
  }
  utt->ops = wer->path.data;
  utt->n_ops = wer->path.len;
  utt->units = wer->counts[0];
  utt->others = wer->counts + 1;
  return SP_OK;
}

/* Least and largest distance; sclite's counts of those two hypotheses. */
static enum sp_status count_list(struct sp_wer *wer, const struct sp_text *hyps, size_t n_hyps,
                                 struct sp_wer_utt *utt, struct sp_error *err) {
  const uint32_t *ids, *best = utt->hyp, *worst = utt->hyp;
  size_t n, n_best = utt->n_hyp, n_worst = utt->n_hyp, least, most, distance;
  SP_TRY(sp_edit_distance(wer->edit, utt->hyp, utt->n_hyp, &least, err));
  most = least;
  for (size_t h = 1; h < n_hyps; h++) {
    SP_TRY(split(wer, hyps[h], &ids, &n, NULL, NULL, err));
    SP_TRY(sp_edit_distance(wer->edit, ids, n, &distance, err));
    if (distance < least) {
      least = distance;
      best = ids;
      n_best = n;
      utt->oracle_rank = h;
    }
    if (distance > most) {
      most = distance;
      worst = ids;
      n_worst = n;
    }
  }
  SP_TRY(sp_edit_count(wer->edit, best, n_best, &utt->oracle, err));
  SP_TRY(sp_edit_count(wer->edit, worst, n_worst, &utt->worst, err));
  struct sp_wer_lists *lists = &wer->lists;
  lists->hyps += n_hyps;
  lists->empty_lists += n_hyps == 0;
  lists->longest = n_hyps > lists->longest ? n_hyps : lists->longest;
  lists->rank_sum += n_hyps > 0 ? utt->oracle_rank + 1 : 0;
  sp_wer_sum_add(&lists->oracle, &utt->oracle);
  sp_wer_sum_add(&lists->worst, &utt->worst);
  return SP_OK;
}

static enum sp_status find_block(struct sp_wer *wer, struct sp_text block, uint32_t *number,
                                 struct sp_error *err) {
  bool existed;
  size_t index = 0;
  if (wer->blocks && block.len == 0) {
    sp_text_table_destroy(wer->blocks);
    wer->blocks = NULL;
  }
  if (wer->blocks) {
    SP_TRY(sp_text_table_add(wer->blocks, block, (struct sp_text){"", 0}, &index, &existed, err));
  }
  *number = (uint32_t)index;
  return SP_OK;
}

static enum sp_status keep(struct sp_wer *wer, const struct sp_wer_utt *utt, struct sp_text block,
                           struct sp_error *err) {
  struct kept *kept = &wer->kept;
  size_t wide = wer->n_systems + 2;
  if (kept->n == kept->capacity) {
    size_t capacity = sp_max_size(1024, kept->capacity * 2);
    size_t bytes = sp_mul_sat(capacity, sp_mul_sat(wide, sizeof *kept->numbers));
    uint32_t *numbers = realloc(kept->numbers, bytes);
    if (!numbers) {
      return sp_fail_memory(err, bytes);
    }
    kept->numbers = numbers;
    kept->capacity = capacity;
  }
  uint32_t *numbers = kept->numbers + kept->n * wide;
  SP_TRY(find_block(wer, block, &numbers[1], err));
  numbers[0] = (uint32_t)utt->n_ref;
  for (size_t s = 0; s < wer->n_systems; s++) {
    numbers[2 + s] = (uint32_t)sp_edit_errors(&wer->counts[s]);
  }
  kept->n++;
  return SP_OK;
}

enum sp_status sp_wer_add(struct sp_wer *wer, struct sp_text ref, const struct sp_text *hyps,
                          size_t n_hyps, const struct sp_text *others, struct sp_text block,
                          struct sp_wer_utt *out, struct sp_error *err) {
  struct sp_text answer = n_hyps > 0 ? hyps[0] : (struct sp_text){"", 0};
  *out = (struct sp_wer_utt){.n_hyps = n_hyps};
  SP_TRY(set_reference(wer, ref, out, err));
  SP_TRY(count_systems(wer, answer, others, out, err));
  SP_TRY(count_list(wer, hyps, n_hyps, out, err));
  return keep(wer, out, block, err);
}

const struct sp_wer_totals *sp_wer_get_totals(const struct sp_wer *wer, size_t system) {
  return &wer->totals[system];
}

const struct sp_wer_lists *sp_wer_get_lists(const struct sp_wer *wer) {
  return &wer->lists;
}

struct sp_mapsswe_result sp_wer_get_mapsswe(const struct sp_wer *wer, size_t system) {
  return sp_mapsswe_finish(&wer->tests[system]);
}

struct sp_text sp_wer_unit_text(struct sp_wer *wer, uint32_t id) {
  return sp_units_text(wer->units, id);
}

size_t sp_wer_blocks(const struct sp_wer *wer) {
  return wer->blocks ? sp_text_table_count(wer->blocks) : 0;
}

static enum sp_status run_bootstrap(const struct sp_wer *wer, struct sp_sample *samples,
                                    uint32_t *block, struct sp_sample *sums, size_t n_blocks,
                                    size_t replicates, uint64_t seed, struct sp_bootstrap *out,
                                    struct sp_error *err) {
  if (n_blocks == 0) {
    return sp_bootstrap_run(samples, wer->kept.n, replicates, seed, out, err);
  }
  SP_TRY(sp_bootstrap_blocks(samples, block, wer->kept.n, sums, n_blocks, err));
  return sp_bootstrap_run(sums, n_blocks, replicates, seed, out, err);
}

enum sp_status sp_wer_bootstrap(const struct sp_wer *wer, size_t system, bool by_block,
                                size_t replicates, uint64_t seed, struct sp_bootstrap *out,
                                struct sp_error *err) {
  size_t n = wer->kept.n, n_blocks = by_block ? sp_wer_blocks(wer) : 0;
  size_t wide = wer->n_systems + 2;
  struct sp_sample *samples = calloc(n + 1, sizeof *samples);
  struct sp_sample *sums = calloc(n_blocks + 1, sizeof *sums);
  uint32_t *block = calloc(n + 1, sizeof *block);
  enum sp_status status;
  if (!samples || !sums || !block) {
    status = sp_fail_memory(err, n * sizeof *samples);
  } else {
    for (size_t i = 0; i < n; i++) {
      const uint32_t *numbers = wer->kept.numbers + i * wide;
      samples[i] = (struct sp_sample){numbers[0], numbers[2], numbers[2 + system]};
      block[i] = numbers[1];
    }
    status = run_bootstrap(wer, samples, block, sums, n_blocks, replicates, seed, out, err);
  }
  free(samples);
  free(sums);
  free(block);
  return status;
}

void sp_wer_signature(enum sp_unit unit, const char *profile, const char *blocks,
                      size_t replicates, uint64_t seed, char *out, size_t capacity) {
  static const char *const options[] = {
#define X(name, option, rate) [name] = option,
      SP_UNIT_MAP(X)
#undef X
  };
  snprintf(out, capacity, "wer|unit:%s|norm:%s|blocks:%s|boot:%zu/seed:%llu|v:%s", options[unit],
           profile, blocks ? blocks : "utterance", replicates, (unsigned long long)seed,
           SP_VERSION);
}
