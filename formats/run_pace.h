/* run_pace.h - speed from what was done at earlier looks. */
#ifndef SP_FORMATS_RUN_PACE_H
#define SP_FORMATS_RUN_PACE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { SP_PACE_POINTS = 32 };

/* The last looks that saw something new, oldest first; all zero to begin with. */
struct sp_run_pace {
  struct {
    double at, cost; /* seconds; predicted FLOPs done */
    uint64_t hyps;   /* done */
  } points[SP_PACE_POINTS];
  size_t n;
};

/* Fewer hypotheses than before begin it anew. */
void sp_run_pace_note(struct sp_run_pace *pace, double now, uint64_t hyps, double cost);
/* A second, from the oldest point until now; NaN before anything was seen to be done. */
double sp_run_pace_hyps(const struct sp_run_pace *pace, double now);
double sp_run_pace_costs(const struct sp_run_pace *pace, double now);

#ifdef __cplusplus
}
#endif
#endif
