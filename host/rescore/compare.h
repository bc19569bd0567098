/* compare.h - two score runs of one archive, read in step and compared value by value.
 *
 * Values     the scores of every method that both runs have, and their per-token values where both
 *            runs have them. A hypothesis whose token counts differ has no per-token comparison.
 * Best       the hypothesis of a list with the highest score of a method, and, with an archive, with
 *            the highest total of a combination (combine.h); equal ones in original order, nulls last.
 * Flow       open; next until *found is false; result; close.
 * Memory     an utterance of each, and 2 MiB a series of values.
 * Errors     those of score_run.h and archive.h; SP_EINPUT "utterance 3 is .." where runs and archive
 *            are not of the same utterances in the same order; SP_EUSAGE for a combination that names
 *            a score which the runs do not have. */
#ifndef SP_RESCORE_COMPARE_H
#define SP_RESCORE_COMPARE_H

#include <jansson.h>

#include "combine.h"
#include "difference.h"
#include "score_line.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sp_compare_options {
  const char *a, *b; /* run directories: the one compared with, and the new one */
  /* (n_paths) the archive that both scored, or none: then there are no totals */
  const char *const *paths;
  size_t n_paths;
  struct sp_archive_options archive;
  /* second names methods; second.n == 0: the first common method alone */
  struct sp_combination combination;
};

/* The pair that lies furthest apart. */
struct sp_compare_place {
  char id[256]; /* cut at a whole character; empty: no pair differs by more than 0 */
  uint32_t rank;
  float a, b;
};

struct sp_compare_method {
  enum sp_method method;
  bool has_tokens; /* both runs are per-token, and the method has such values */
  struct sp_difference_summary hyps, tokens;
  struct sp_compare_place furthest; /* of hyps */
  uint64_t changed_best;            /* utterances */
};

struct sp_compare_result {
  uint64_t utts, hyps;
  uint64_t differing_utts;              /* with any difference at all */
  uint64_t counts_differ, flags_differ; /* hypotheses with another `n`, another `flag` */
  struct sp_compare_method methods[SP_METHOD_COUNT];
  size_t n_methods;
  bool has_totals;
  bool other_input;      /* at the end: a run scored other files than the archive's */
  uint64_t changed_best; /* by the totals; without totals of the method where it is largest */
};

/* An utterance with its answers; everything is valid until the next. */
struct sp_compare_utt {
  struct sp_text id;
  /* with an archive: */
  bool has_ref;
  struct sp_text ref, best_a, best_b; /* texts; empty for an empty list */
  const struct sp_field *fields;      /* (n_fields) of the archive's utterance */
  size_t n_fields;
};

struct sp_compare;

SP_MUST_CHECK enum sp_status sp_compare_open(const struct sp_compare_options *options,
                                             struct sp_compare **out, struct sp_error *err);
/* NULL is fine. */
void sp_compare_close(struct sp_compare *compare);
SP_MUST_CHECK enum sp_status sp_compare_next(struct sp_compare *compare, struct sp_compare_utt *utt,
                                             bool *found, struct sp_error *err);
/* Of the utterances so far. */
void sp_compare_get_result(const struct sp_compare *compare, struct sp_compare_result *out);

/* run.json of a and of b; they live as long as `compare`. */
const json_t *sp_compare_manifest(const struct sp_compare *compare, bool of_b);
/* The combination in use. */
const struct sp_combination *sp_compare_combination(const struct sp_compare *compare);

/* What two manifests say differently of their runs: an array of {"member":..,"a":..,"b":..} (null:
 * absent), the members of "identity" and "info.version". NULL when out of memory; the caller owns
 * it. */
json_t *sp_compare_identity(const json_t *a, const json_t *b);

#ifdef __cplusplus
}
#endif
#endif
