/* report_data.h - what a report shows of an archive and of one or several rescored systems.
 *
 * Flow     sp_report_create; sp_report_add for every system, each reading the archive once;
 *          sp_report_finish; the members are then read (report_html.h); destroy.
 * Memory   numbers of a hypothesis for the weight curve (lists.h) while a system is added, a few
 *          bytes an utterance and system; texts of the shown examples only.
 * Errors   those of join.h, text_profile.h and wer.h; SP_EINPUT when no utterance has a reference. */
#ifndef SP_RESCORE_REPORT_DATA_H
#define SP_RESCORE_REPORT_DATA_H

#include "join.h"
#include "line_search.h"
#include "lists.h"
#include "report_bins.h"
#include "report_picks.h"
#include "signature.h"
#include "wer.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { sp_oracle_sizes = 6, sp_curve_samples = 201 };

struct sp_report_options {
  const char *const *paths; /* (n_paths) of the archive */
  size_t n_paths;
  struct sp_archive_options archive;
  uint64_t limit; /* 0: all */
  enum sp_unit unit;
  const char *normalize; /* a profile, text_profile.h */
  size_t replicates;
  uint64_t seed;
  /* The block of an utterance, len 0 for none; blocks that are single utterances, or one alone, do
   * not count unless they are wanted. */
  enum sp_status (*block_of)(void *context, const struct sp_utt *utt, struct sp_text *block,
                             struct sp_error *err);
  void *block_context;
  const char *block_by; /* how it is called */
  bool wants_blocks;
  size_t examples, points;
};

/* Oracle of the first `size` hypotheses; size 0: all. */
struct sp_oracle {
  size_t size;
  struct sp_wer_sum sum;
};

/* Errors against one weight, the others as they are. */
struct sp_report_curve {
  char name[sp_score_name_max + 1]; /* of the score, or "insertion bonus" */
  bool is_bonus;
  double weight;
  uint64_t errors;            /* at `weight` */
  struct sp_weight_run equal; /* as far as the weight may move at equal errors */
  struct sp_line_best best;   /* of this archive, in hindsight */
  double lo, hi, at[sp_curve_samples];
  uint64_t at_errors[sp_curve_samples];
};

/* A member of run.json: its name in it, and its value as JSON. Owned. */
struct sp_report_fact {
  char *name, *value;
};
struct sp_report_facts {
  struct sp_report_fact *items; /* (n) */
  size_t n;
};

struct sp_report_score {
  char name[sp_score_name_max + 1];
  double weight;
  char *path, *model_hash; /* owned; the hash is "" for scores from a file */
  char mask[SP_SIGNATURE_MASK];
  uint64_t hyps, nulls, missing;
  bool other_input; /* a run of other files than the archive's: texts may differ */
};

/* One system: the archive reranked by one combination. */
struct sp_report_run {
  char *name; /* its scores as the user named them */
  struct sp_combination combination;
  struct sp_buf signature; /* NUL-terminated */
  struct sp_wer_totals before, after;
  struct sp_bootstrap by_utt, by_block; /* a: after, b: before, difference: after - before */
  struct sp_mapsswe_result test;        /* the same */
  double holm_p;                        /* corrected for the number of runs */
  uint64_t changed, nulls;              /* other best hypotheses; hypotheses without a total */
  uint64_t better_utts, worse_utts;
  struct sp_report_score scores[sp_max_weights]; /* (combination.second.n) */
  struct sp_report_facts facts;                  /* of its run directories */
  double seconds, hyps_per_second; /* of scoring; for the caller to fill in, 0: not known */
  struct sp_report_curve curves[sp_max_weights + 1]; /* (n_curves) */
  size_t n_curves;
  uint64_t curve_ref; /* reference units of the curves */
  struct sp_histogram histogram;
  struct sp_points points;
  bool one_score; /* points' `second` is the only score; else what is added to the first pass */
  double slope;   /* d_second = slope d_first where totals are equal; NaN: no such line */
  struct sp_examples improved, harmed;
};

struct sp_report {
  struct sp_report_options options;
  struct sp_report_run **runs; /* (n_runs) */
  size_t n_runs;
  uint64_t utts, hyps, without_ref, without_score;
  size_t longest;
  struct sp_oracle oracles[sp_oracle_sizes];
  struct sp_archive_file *files; /* (n_files) paths owned */
  size_t n_files;
  size_t n_blocks; /* 0: resampled by utterance */
  char profile[256], signature[512];
};

/* The options are copied, but not what they point to. */
SP_MUST_CHECK enum sp_status sp_report_create(const struct sp_report_options *options,
                                              struct sp_report **out, struct sp_error *err);
/* NULL is fine. */
void sp_report_destroy(struct sp_report *report);
/* Reads the archive with these scores. */
SP_MUST_CHECK enum sp_status sp_report_add(struct sp_report *report,
                                           const struct sp_scores_options *scores,
                                           const struct sp_combination *combination,
                                           struct sp_error *err);
/* Corrects the tests of several runs. At least one was added. */
SP_MUST_CHECK enum sp_status sp_report_finish(struct sp_report *report, struct sp_error *err);

/* Appends identity and info of RUN/run.json. */
SP_MUST_CHECK enum sp_status sp_report_facts_read(const char *run, struct sp_report_facts *facts,
                                                  struct sp_error *err);
/* The value of the first of that name, NULL when there is none. */
const char *sp_report_fact_find(const struct sp_report_facts *facts, const char *name);
void sp_report_facts_release(struct sp_report_facts *facts);

#ifdef __cplusplus
}
#endif
#endif
