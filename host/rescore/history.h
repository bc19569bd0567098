/* history.h - one line a night: what `compare` found, and whether it drifts.
 *
 * The file is JSON lines (FORMATS.md, "History").  A line is read strictly: a missing, unknown,
 * doubled or ill-typed member is bad input.
 * Appending  one write(2) at the end under an flock(2), then fsync(2): lines of several processes do
 *            not mix, and a write that falls short is taken back.
 * Memory     9 KiB for each of the last lines asked for. */
#ifndef SP_RESCORE_HISTORY_H
#define SP_RESCORE_HISTORY_H

#include "buf.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SP_HISTORY_CEILING ((size_t)1 << 16) /* bytes of a line */

enum { sp_history_max_numbers = 100, sp_history_max_lines = 1000, sp_history_max_signature = 1023 };

struct sp_history_number {
  char name[64];
  double value; /* NaN: null */
};

struct sp_history_line {
  char date[21];                                  /* "2025-01-31T23:59:59Z" */
  char signature_a[sp_history_max_signature + 1]; /* of the runs; may be empty */
  char signature_b[sp_history_max_signature + 1];
  int exit_code; /* of the comparison: 0 or 1 */
  struct sp_history_number numbers[sp_history_max_numbers];
  size_t n_numbers;
};

/* Adds a number; a value that is not finite is null. SP_EINPUT when there are too many. */
SP_MUST_CHECK enum sp_status sp_history_add(struct sp_history_line *line, const char *name,
                                            double value, struct sp_error *err);
/* SP_EINPUT with the reason. */
SP_MUST_CHECK enum sp_status sp_history_parse(struct sp_text text, struct sp_history_line *out,
                                              struct sp_error *err);
/* Appends the line's text with its "\n". */
SP_MUST_CHECK enum sp_status sp_history_text(const struct sp_history_line *line, struct sp_buf *out,
                                             struct sp_error *err);

/* The last lines of a file, oldest first. */
struct sp_history {
  struct sp_history_line *lines; /* (n) owned */
  size_t n;
};
/* At most `last` (1 .. sp_history_max_lines) lines; all are checked. No file: none. SP_EINPUT
 * "path:line: reason", SP_EIO. */
SP_MUST_CHECK enum sp_status sp_history_read(const char *path, size_t last, struct sp_history *out,
                                             struct sp_error *err);
void sp_history_release(struct sp_history *history);
/* Creates the file when there is none. SP_EIO. */
SP_MUST_CHECK enum sp_status sp_history_append(const char *path, const struct sp_history_line *line,
                                               struct sp_error *err);

enum sp_drift_kind {
  SP_DRIFT_OUTSIDE, /* beyond mean +- 3 sd of the earlier values; of equal ones: any other value */
  SP_DRIFT_RISING,  /* every value above the one before it */
  SP_DRIFT_FALLING
};

struct sp_drift {
  const char *name; /* the line's */
  enum sp_drift_kind kind;
  double value, mean, deviation; /* mean and standard deviation (n - 1) of the earlier values */
  size_t n;                      /* how many these are */
};

enum { sp_drift_least_lines = 3, sp_drift_least_trend = 5 };

/* Compares each number of `line` with its values in `history`, nulls left out. Outside needs
 * sp_drift_least_lines earlier values, a trend sp_drift_least_trend values, the new one included, and
 * all of them.  *drifts (2 * line->n_numbers at most) is the caller's to free. */
SP_MUST_CHECK enum sp_status sp_history_drift(const struct sp_history *history,
                                              const struct sp_history_line *line,
                                              struct sp_drift **drifts, size_t *n_drifts,
                                              struct sp_error *err);

#ifdef __cplusplus
}
#endif
#endif
