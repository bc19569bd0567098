/* wer_report.h - the result of `wer`: intervals and tests, as a table or as JSON. */
#ifndef SP_CLI_WER_REPORT_H
#define SP_CLI_WER_REPORT_H

#include <jansson.h>

#include "wer.h"
#include "wer_args.h"

struct sp_wer_comparison {
  const char *name;
  struct sp_bootstrap by_utt, by_block;
  struct sp_mapsswe_result test;
  double holm_p; /* the test's p, corrected for the number of comparisons */
};

struct sp_wer_report {
  const struct sp_wer *wer;
  const struct sp_wer_args *args;
  const char *name;   /* the system's file */
  const char *rate;   /* "WER", "CER", "MER" */
  const char *blocks; /* "speaker", "prefix:_"; NULL: none */
  size_t n_blocks;
  struct sp_bootstrap by_utt, by_block;
  struct sp_wer_comparison *others; /* (n_others) owned */
  size_t n_others;
  char signature[512];
};

/* Resamples and tests; `names` (n_others) are the other systems' files. */
SP_MUST_CHECK enum sp_status sp_wer_report_make(const struct sp_wer *wer,
                                                const struct sp_wer_args *args, const char *name,
                                                const char *profile, const char *const *names,
                                                size_t n_others, struct sp_wer_report *out,
                                                struct sp_error *err);
void sp_wer_report_release(struct sp_wer_report *report);

/* On standard output. */
void sp_wer_report_print(const struct sp_wer_report *report);
/* Adds its members to an object of sp_json_begin. */
void sp_wer_report_json(const struct sp_wer_report *report, json_t *object);

#endif
