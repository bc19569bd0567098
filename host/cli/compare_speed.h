/* compare_speed.h - how fast a run was, from what `secondpass score --json` printed for it. */
#ifndef SP_CLI_COMPARE_SPEED_H
#define SP_CLI_COMPARE_SPEED_H

#include "buf.h"

struct sp_run_speed {
  const char *path;       /* NULL: nothing was recorded */
  double hyps_per_second; /* NaN: the command scored nothing itself */
  double seconds;         /* of scoring */
};

/* `path` NULL gives nothing. SP_EINPUT when the file is no such summary, or of a run with another
 * signature. */
SP_MUST_CHECK enum sp_status sp_run_speed_read(const char *path, const char *signature,
                                               struct sp_run_speed *out, struct sp_error *err);
/* Percent of hypotheses a second that b is slower than a; below 0: faster. NaN: not recorded. */
double sp_run_slowdown(const struct sp_run_speed *a, const struct sp_run_speed *b);

#endif
