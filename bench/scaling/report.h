/* report.h - tables and JSON of simulated runs. */
#ifndef SP_BENCH_REPORT_H
#define SP_BENCH_REPORT_H

#include <jansson.h>
#include <stdio.h>

#include "simulator.h"

/* One simulated run beside what it was of. */
struct sim_row {
  const char *way, *trouble; /* "counter", "parts"; "none", "all" */
  uint64_t hyps;
  double validating; /* seconds of the first pass, not in result.seconds */
  struct sim_rules rules;
  struct sim_result result;
};

void sim_report_head(FILE *to);
void sim_report_row(FILE *to, const struct sim_row *row);
json_t *sim_report_json(const struct sim_row *row);

#endif
