/* report_picks.h - what a report keeps of single hypotheses and utterances, whatever the archive's
 * size: a sample of points, and the utterances that changed most. */
#ifndef SP_RESCORE_REPORT_PICKS_H
#define SP_RESCORE_REPORT_PICKS_H

#include "buf.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One hypothesis. `relative`: it is not the first pass's best, and the d_ are its scores minus those
 * of that one. */
struct sp_point {
  uint64_t key; /* what decides whether it stays */
  double first, second, d_first, d_second;
  bool relative;
  int8_t errors; /* against the first pass's best: -1 fewer, 0 as many, 1 more */
};

/* The `room` points with the smallest keys: a sample when keys are hashes, the same in whatever order
 * they come. */
struct sp_points {
  struct sp_point *heap; /* (n) largest key first */
  size_t n, room;
};

SP_MUST_CHECK enum sp_status sp_points_create(struct sp_points *points, size_t room,
                                              struct sp_error *err);
void sp_points_release(struct sp_points *points);
void sp_points_add(struct sp_points *points, const struct sp_point *point);
/* By key, smallest first; no more adding after that. */
void sp_points_finish(struct sp_points *points);

/* An utterance with another best hypothesis; its texts are one after the other in `text`. */
struct sp_example {
  uint64_t gain;                 /* errors fewer, or more */
  uint64_t rank;                 /* of the new best in the first pass, from 0 */
  size_t id, ref, before, after; /* lengths */
  struct sp_buf text;
};

/* The largest gains, largest first, of equal ones those that came first. */
struct sp_examples {
  struct sp_example *items; /* (n) of (room) */
  size_t n, room;
};

#define SP_EXAMPLE_CEILING ((size_t)64 << 10) /* longer ones are left out */

SP_MUST_CHECK enum sp_status sp_examples_create(struct sp_examples *examples, size_t room,
                                                struct sp_error *err);
void sp_examples_release(struct sp_examples *examples);
/* Would an example of this gain be kept? */
bool sp_examples_wants(const struct sp_examples *examples, uint64_t gain);
/* texts: id, reference, best hypothesis before and after; copied. */
SP_MUST_CHECK enum sp_status sp_examples_add(struct sp_examples *examples, uint64_t gain,
                                             uint64_t rank, const struct sp_text texts[4],
                                             struct sp_error *err);
/* Text 0 to 3 in the order of add. */
struct sp_text sp_example_text(const struct sp_example *example, int which);

#ifdef __cplusplus
}
#endif
#endif
