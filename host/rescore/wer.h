/* wer.h - error rates of one or several systems against the same references.
 *
 * Errors are counted as sclite does (edit.h). Of a list the first hypothesis is the system's answer;
 * the oracle is the hypothesis of least edit distance, the first of equal ones, the anti-oracle that
 * of the largest. An empty list counts as an empty hypothesis.
 *
 * Flow     create; add every utterance; totals, samples; destroy.
 * Memory   a few bytes an utterance and system: no text is kept.
 * Threads  one a thread. */
#ifndef SP_RESCORE_WER_H
#define SP_RESCORE_WER_H

#include "bootstrap.h"
#include "buf.h"
#include "edit.h"
#include "mapsswe.h"
#include "text_profile.h"
#include "units.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sp_wer;

/* Sums of struct sp_edit_counts. */
struct sp_wer_sum {
  uint64_t correct, substitutions, deletions, insertions;
};
void sp_wer_sum_add(struct sp_wer_sum *sum, const struct sp_edit_counts *counts);
uint64_t sp_wer_sum_errors(const struct sp_wer_sum *sum);
uint64_t sp_wer_sum_reference(const struct sp_wer_sum *sum);
/* Errors over reference units; 0 when both are 0, NaN for errors against nothing. */
double sp_wer_sum_rate(const struct sp_wer_sum *sum);

/* Of one system. `chars`: the same in characters. */
struct sp_wer_totals {
  uint64_t utts, wrong_utts; /* with an error */
  struct sp_wer_sum units, chars;
};

/* Of the first system's lists. */
struct sp_wer_lists {
  uint64_t hyps, empty_lists, longest;
  uint64_t rank_sum; /* of the oracle, from 1, over lists that are not empty */
  struct sp_wer_sum oracle, worst;
};

/* One utterance; pointers are valid until the next. */
struct sp_wer_utt {
  const uint32_t *ref, *hyp; /* (n_ref), (n_hyp) units of the first system's answer */
  size_t n_ref, n_hyp;
  const char *ops; /* (n_ops) its path, enum sp_edit_op */
  size_t n_ops;
  struct sp_edit_counts units, chars, oracle, worst;
  size_t n_hyps, oracle_rank;          /* from 0 */
  const struct sp_edit_counts *others; /* (n_systems - 1) */
};

/* `n_systems` > 0 with the first one. The profile stays the caller's. */
SP_MUST_CHECK enum sp_status sp_wer_create(enum sp_unit unit, struct sp_text_profile *profile,
                                           size_t n_systems, struct sp_wer **out,
                                           struct sp_error *err);
/* NULL is fine. */
void sp_wer_destroy(struct sp_wer *wer);

/* The first system's list, and the other systems' answers (n_systems - 1). `block` is the name of the
 * utterance's block; len 0 when it has none: then there are no blocks at all. */
SP_MUST_CHECK enum sp_status sp_wer_add(struct sp_wer *wer, struct sp_text ref,
                                        const struct sp_text *hyps, size_t n_hyps,
                                        const struct sp_text *others, struct sp_text block,
                                        struct sp_wer_utt *out, struct sp_error *err);

const struct sp_wer_totals *sp_wer_get_totals(const struct sp_wer *wer, size_t system);
const struct sp_wer_lists *sp_wer_get_lists(const struct sp_wer *wer);
/* The first system as a, `system` (from 1) as b. */
struct sp_mapsswe_result sp_wer_get_mapsswe(const struct sp_wer *wer, size_t system);
struct sp_text sp_wer_unit_text(struct sp_wer *wer, uint32_t id);

/* Blocks found; 0 when an utterance had none. */
size_t sp_wer_blocks(const struct sp_wer *wer);
/* Resamples the first system against `system` (0: against itself), by block or by utterance. */
SP_MUST_CHECK enum sp_status sp_wer_bootstrap(const struct sp_wer *wer, size_t system,
                                              bool by_block, size_t replicates, uint64_t seed,
                                              struct sp_bootstrap *out, struct sp_error *err);

/* One line that says how error rates were counted and resampled; `blocks` NULL: by utterance. */
void sp_wer_signature(enum sp_unit unit, const char *profile, const char *blocks,
                      size_t replicates, uint64_t seed, char *out, size_t capacity);

#ifdef __cplusplus
}
#endif
#endif
