/* bench_stats.h - medians of repeated measurements. */
#ifndef SP_CLI_BENCH_STATS_H
#define SP_CLI_BENCH_STATS_H

#include <stddef.h>

/* Sorts the values. n > 0. */
double sp_median(double *values, size_t n);

#endif
