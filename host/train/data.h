/* data.h - where batches come from: text for mlm, scored text or lists for distillation, lists with
 * references for mwer and mwed.
 *
 * Opening reads every input once, checks it whole, tokenizes it, and keeps token ids in an unlinked file
 * under `scratch_dir` that is mapped (host memory stays bounded whatever the input's size).  After that a
 * batch is a pure function of the settings and the position: order, joins and masks are drawn by counter
 * (draws.h), so that a run can go on anywhere.
 *
 * Order      an epoch is a permutation of the items by a keyed bijection of their numbers
 * Joins      mlm: with probability join_share a sentence takes along those that follow it in its file,
 *            line by line, as far as they fit whole into a length drawn uniformly from 1 to max_tokens;
 *            nothing stands between them.  An empty or held-out line ends it
 * Masks      mlm: mask_rate of a sample's tokens, rounded up with the probability of the fraction, one
 *            at least; never [CLS], [SEP], [MASK] or [PAD] (in the text).  A random token is any but
 *            the five special ones
 * Lists      the archive's order; texts are tokenized as `score` does with --case auto and without
 *            --eos.  Left out: a hypothesis that is empty or too long; a list of which nothing is left,
 *            for distill also one without any teacher score.  A score of a cut text is no teacher score
 * Split      with holdout_every = N, text line N - 1, 2N - 1, .. (zero-based over all files) is held out
 *            (methods: every N-th sentence); lists and scored items by the same rule on utterances.
 *            With holdout files, those instead
 * Errors     SP_EINPUT before the first batch, with file and line: empty data, no references (mwer, mwed),
 *            teacher shards of another archive (by hash, or an id or length that does not fit),
 *            SP_EMODEL where the vocabulary lacks [CLS], [SEP] or [MASK]; SP_EUSAGE for settings */
#ifndef SP_TRAIN_DATA_H
#define SP_TRAIN_DATA_H

#include "batch_train.h"
#include "tokenizer.h"

#ifdef __cplusplus
extern "C" {
#endif

enum sp_objective { SP_OBJECTIVE_MLM, SP_OBJECTIVE_DISTILL, SP_OBJECTIVE_MWER, SP_OBJECTIVE_MWED };

enum { SP_N_OBJECTIVES = 4 };
/* "mlm", "distill", "mwer", "mwed" */
const char *sp_objective_name(enum sp_objective objective);

struct sp_train_data_settings {
  enum sp_objective objective;
  const char *const *files;    /* (n_files) text, or archives of any format that `score` reads */
  size_t n_files;
  const char *format;          /* of archives; NULL: told from the file */
  const char *const *teacher;  /* (n_teacher) run directories of `score` over these very files: distill, and
                                  the auxiliary term of mwer and mwed */
  size_t n_teacher;
  const char *teacher_method;  /* "pll", "pll_l2r", ..; NULL: the run's only one */
  const char *const *holdout;  /* (n_holdout) files */
  size_t n_holdout;
  const char *const *holdout_teacher;
  size_t n_holdout_teacher;
  uint64_t holdout_every;      /* 0: none */
  const char *first_pass;      /* name of the archive's score, NULL: "score" */
  bool error_rates;            /* errors divided by the reference's words (one at least), else counts */
  size_t max_hyps;             /* of a list, the first ones; 0: all */
  const char *only_ids;        /* file of utterance ids, one a line: of `files` nothing else is taken; NULL:
                                  all.  Held-out files are read whole */

  size_t max_tokens;           /* positions of a sequence with [CLS] and [SEP]; longer ones are cut
                                  (mlm: into pieces) or left out (lists: the hypothesis), and counted */
  double join_share;           /* mlm: share of samples in which following sentences are joined */
  double mask_rate;            /* mlm: share of tokens that are targets, 0 < rate < 1; at least one */
  double mask_as_mask, mask_as_random; /* of the targets, shown as [MASK], as a random token; the rest as
                                          they are */
  uint64_t seed;
  const char *scratch_dir;
};

struct sp_train_data;

struct sp_train_data_counts {
  uint64_t items;         /* of the training part: sentences, or utterances with a list */
  uint64_t tokens, hyps;
  uint64_t holdout_items, holdout_tokens, holdout_hyps;
  uint64_t cut, left_out; /* by length or emptiness */
  uint64_t without_ref;   /* utterances */
  uint64_t teacher_null;  /* hypotheses without a teacher score */
  bool lowered;           /* texts were lowered first: a cased vocabulary, and all upper case (as `score`
                             does with --case auto) */
};

/* Where the next batch begins. */
struct sp_train_position {
  uint64_t epoch, item; /* items of the epoch that were handed out */
};

SP_MUST_CHECK enum sp_status sp_train_data_open(const struct sp_tokenizer *tokenizer,
                                                const struct sp_train_data_settings *settings,
                                                struct sp_train_data **out, struct sp_error *err);
/* NULL is fine. */
void sp_train_data_close(struct sp_train_data *data);
const struct sp_train_data_counts *sp_train_data_get_counts(const struct sp_train_data *data);
/* The greatest T, S and N that next may give for `token_budget`. */
void sp_train_data_limits(const struct sp_train_data *data, size_t token_budget,
                          size_t *tokens, size_t *sequences, size_t *targets);

/* The batch at *at, of whole items and at most `token_budget` tokens (one item at least), and *at moved
 * behind it, over the end of an epoch too; a batch never spans two epochs. Arrays are valid until the next
 * call. */
SP_MUST_CHECK enum sp_status sp_train_data_next(struct sp_train_data *data,
                                                struct sp_train_position *at, size_t token_budget,
                                                struct sp_train_batch *out, struct sp_error *err);
/* The same of the held-out part, in file order, each item once, masks by a fixed seed: *found is false
 * at the end. Sentences are not joined. */
SP_MUST_CHECK enum sp_status sp_train_data_next_holdout(struct sp_train_data *data, uint64_t *at,
                                                        size_t token_budget,
                                                        struct sp_train_batch *out, bool *found,
                                                        struct sp_error *err);
/* What an item is for a message: an utterance's id, or "file:line". Valid until the next call. */
const char *sp_train_data_item_name(struct sp_train_data *data, bool holdout, uint64_t item);

#ifdef __cplusplus
}
#endif
#endif
