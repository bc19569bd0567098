/* report_bins.h - errors by utterance length and by first-pass margin.
 *
 * A histogram has fine fixed bins, so that utterances can be added as they come; groups for people
 * are made of neighbouring bins at the end, each with about as many reference units as the others. */
#ifndef SP_RESCORE_REPORT_BINS_H
#define SP_RESCORE_REPORT_BINS_H

#include "status.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sp_bin {
  uint64_t utts, ref, before, after; /* utterances, reference units, errors of both systems */
};

enum { sp_length_bins = 2048, sp_margin_bins = 450, sp_group_max = 8 };

struct sp_histogram {
  struct sp_bin lengths[sp_length_bins]; /* of references; longer ones in the last */
  struct sp_bin margins[sp_margin_bins]; /* 16 an octave; the first: none above 0 */
  struct sp_bin no_margin;               /* fewer than two scored hypotheses */
};

/* Values from `from` up to `to`: lengths with both ends, margins without the upper one. */
struct sp_bin_group {
  double from, to; /* INFINITY in the last group of a histogram that is cut off there */
  struct sp_bin sum;
};

/* `margin` is NaN when there is none. */
void sp_histogram_add(struct sp_histogram *histogram, size_t length, double margin,
                      uint64_t errors_before, uint64_t errors_after);
/* groups (sp_group_max); return how many. Margins up to 0 are a group of their own, from -INFINITY. */
size_t sp_length_groups(const struct sp_histogram *histogram, struct sp_bin_group *groups);
size_t sp_margin_groups(const struct sp_histogram *histogram, struct sp_bin_group *groups);

#ifdef __cplusplus
}
#endif
#endif
