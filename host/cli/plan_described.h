/* plan_described.h - `plan --describe`, and what it shares with `plan`. */
#ifndef SP_CLI_PLAN_DESCRIBED_H
#define SP_CLI_PLAN_DESCRIBED_H

#include "score_args.h"

/* Plans what args->describe says and prints table or JSON. */
SP_MUST_CHECK enum sp_status sp_plan_show_described(const struct sp_score_args *args,
                                                    struct sp_error *err);

/* plan.c: rows of the counts; the object that --json prints. */
void sp_plan_print_counts(const struct sp_plan_summary *plan);
json_t *sp_plan_json(const struct sp_plan_summary *plan, enum sp_status status,
                     const struct sp_error *err);

#endif
