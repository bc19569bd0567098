/* scores.h - the second-pass scores of an archive, joined with it while it is read.
 *
 * A specification is a comma-separated list of
 *   RUN          a run directory of `secondpass score`; each of its methods is a score of that name
 *   NAME=RUN     the same, called NAME (NAME.method when the run has several methods)
 *   RUN+RUN      runs of successive archives, read one after the other; of one model and method
 *   NAME=FILE    scores made elsewhere (score_table.h)
 * No two scores may have one name.
 *
 * Flow       open; select; next for every utterance in archive order; finish; close.
 * Runs       are read in step: ids must come in the archive's order, with as many hypotheses.
 * Files      are read by open, and looked up by id and rank.
 * Errors     SP_EUSAGE for the specification, SP_EINPUT where scores and archive do not belong
 *            together, and what score_run.h and score_table.h report. */
#ifndef SP_RESCORE_SCORES_H
#define SP_RESCORE_SCORES_H

#include "combine.h"

#ifdef __cplusplus
extern "C" {
#endif

enum sp_missing {
  SP_MISSING_ERROR, /* a hypothesis that a file lacks is bad input */
  SP_MISSING_NULL   /* it has a null score */
};

struct sp_scores_options {
  const char *spec;
  const char *sign; /* NULL, or "NAME=cost,..": what files hold; cost or logprob (the default) */
  enum sp_missing missing;
};

/* One score: where it comes from, and what was seen of it so far. Strings live until close. */
struct sp_score_column {
  char name[sp_score_name_max + 1];
  bool is_run, is_cost;
  bool other_input;            /* see sp_scores_compare_inputs */
  const char *path;            /* of the file or the first run */
  const char *model_hash;      /* of a run; "" otherwise */
  const char *signature;       /* the same; of a file "xxh128:" and the hash of its bytes */
  uint64_t hyps, nulls;        /* of the archive's hypotheses; nulls include the missing */
  uint64_t missing;            /* no entry in the file */
  uint64_t surplus;            /* after finish: entries that no hypothesis of the archive has */
  uint64_t positive, negative; /* of all values in a file, costs already negated */
};

struct sp_scores;

SP_MUST_CHECK enum sp_status sp_scores_open(const struct sp_scores_options *options,
                                            struct sp_scores **out, struct sp_error *err);
/* NULL is fine. */
void sp_scores_close(struct sp_scores *scores);
size_t sp_scores_count(const struct sp_scores *scores);
const struct sp_score_column *sp_scores_column(const struct sp_scores *scores, size_t column);

/* Marks the columns whose runs read other files than these: their texts may differ, whatever the
 * ids. */
void sp_scores_compare_inputs(struct sp_scores *scores, const struct sp_archive_file *files,
                              size_t n_files);

/* The scores that next hands out, in the order of `wanted`; SP_EUSAGE when one is not there. */
SP_MUST_CHECK enum sp_status sp_scores_select(struct sp_scores *scores,
                                              const struct sp_named_weights *wanted,
                                              struct sp_error *err);
/* *second (n_hyps, n_wanted) is valid until the next call. */
SP_MUST_CHECK enum sp_status sp_scores_next(struct sp_scores *scores, const struct sp_utt *utt,
                                            const struct sp_second **second, struct sp_error *err);
/* After the last utterance. Unless only the beginning was wanted (`partly`) the runs must end here
 * too. */
SP_MUST_CHECK enum sp_status sp_scores_finish(struct sp_scores *scores, bool partly,
                                              struct sp_error *err);

#ifdef __cplusplus
}
#endif
#endif
