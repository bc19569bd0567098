/* compare_args.h - what `compare` takes on the command line. */
#ifndef SP_CLI_COMPARE_ARGS_H
#define SP_CLI_COMPARE_ARGS_H

#include "compare.h"
#include "wer_args.h"

struct sp_compare_args {
  struct sp_wer_args wer; /* first: sp_wer_count_group fills it */
  const char *archive, *weight, *weights, *first;
  const char *max_diff, *max_nulls, *max_changed_best, *max_wer_increase, *max_slowdown;
  const char *summary_a, *summary_b;
  const char *history;
  size_t last;
  bool fail_on_drift;
};

extern const struct sp_opt_group sp_compare_ranking_group, sp_compare_gate_group,
    sp_compare_speed_group, sp_compare_history_group, sp_compare_output_group;

/* What the gate lets pass; NaN: anything. */
struct sp_compare_limits {
  double diff;         /* of any value; 0: bit by bit */
  double nulls;        /* that appeared or vanished, of any method */
  double changed_best; /* percent of utterances */
  double wer_increase; /* points */
  double slowdown;     /* percent of hypotheses a second */
};

/* SP_EUSAGE for what does not fit together or is no number. Fills in defaults. */
SP_MUST_CHECK enum sp_status sp_compare_args_check(struct sp_compare_args *args,
                                                   const struct sp_operands *operands,
                                                   struct sp_compare_limits *limits,
                                                   struct sp_error *err);
/* The combination of --weight or --weights; second.n is 0 without. */
SP_MUST_CHECK enum sp_status sp_compare_args_combination(const struct sp_compare_args *args,
                                                         struct sp_combination *out,
                                                         struct sp_error *err);

#endif
