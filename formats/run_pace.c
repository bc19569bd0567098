#include "run_pace.h"

#include <math.h>
#include <string.h>

void sp_run_pace_note(struct sp_run_pace *pace, double now, uint64_t hyps, double cost) {
  if (pace->n > 0 && pace->points[pace->n - 1].hyps == hyps) {
    return;
  }
  if (pace->n > 0 && pace->points[pace->n - 1].hyps > hyps) {
    pace->n = 0;
  }
  if (pace->n == SP_PACE_POINTS) {
    memmove(pace->points, pace->points + 1, (SP_PACE_POINTS - 1) * sizeof *pace->points);
    pace->n--;
  }
  pace->points[pace->n].at = now;
  pace->points[pace->n].hyps = hyps;
  pace->points[pace->n].cost = cost;
  pace->n++;
}

static double seconds(const struct sp_run_pace *pace, double now) {
  return pace->n >= 2 && now > pace->points[0].at ? now - pace->points[0].at : NAN;
}

double sp_run_pace_hyps(const struct sp_run_pace *pace, double now) {
  double span = seconds(pace, now);
  return isnan(span) ? NAN : (double)(pace->points[pace->n - 1].hyps - pace->points[0].hyps) / span;
}

double sp_run_pace_costs(const struct sp_run_pace *pace, double now) {
  double span = seconds(pace, now);
  return isnan(span) ? NAN : (pace->points[pace->n - 1].cost - pace->points[0].cost) / span;
}
