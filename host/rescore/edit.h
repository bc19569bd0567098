/* edit.h - edit distance of one reference to many hypotheses, and alignments as sclite makes them.
 *
 * Distance   the least number of substitutions, deletions and insertions; bit-parallel (G. Myers,
 *            J. ACM 46(3), 1999; H. Hyyro, "Explaining and extending the bit-parallel approximate
 *            string matching algorithm of Myers", 2001; in blocks beyond 64 units): 64 cells of the
 *            table a step.
 * Alignment  NIST sclite's: least cost with 4 a substitution and 3 a deletion or an insertion; of
 *            equal costs the diagonal before an insertion before a deletion, traced from the end. Its
 *            number of errors can be larger than the distance.  Only a band of the table is computed:
 *            an alignment of distance k costs at most 4k, which bounds how far it leaves the diagonal.
 *
 * Flow       create; set_reference; then distance, count or align of any hypotheses; destroy.
 * Units      ids as of units.h; memory grows with the largest id of a reference.
 * Threads    one a thread. */
#ifndef SP_RESCORE_EDIT_H
#define SP_RESCORE_EDIT_H

#include "status.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sp_edit;

struct sp_edit_counts {
  uint32_t correct, substitutions, deletions, insertions;
};

static inline uint64_t sp_edit_errors(const struct sp_edit_counts *counts) {
  return (uint64_t)counts->substitutions + counts->deletions + counts->insertions;
}
/* Units of the reference. */
static inline uint64_t sp_edit_reference(const struct sp_edit_counts *counts) {
  return (uint64_t)counts->correct + counts->substitutions + counts->deletions;
}

/* One column of an alignment, as a letter. */
enum sp_edit_op { SP_CORRECT = 'C', SP_SUBSTITUTION = 'S', SP_DELETION = 'D', SP_INSERTION = 'I' };

SP_MUST_CHECK enum sp_status sp_edit_create(struct sp_edit **out, struct sp_error *err);
/* NULL is fine. */
void sp_edit_destroy(struct sp_edit *edit);

/* `ref` is kept by pointer until the next reference. */
SP_MUST_CHECK enum sp_status sp_edit_set_reference(struct sp_edit *edit, const uint32_t *ref,
                                                   size_t n, struct sp_error *err);
SP_MUST_CHECK enum sp_status sp_edit_distance(struct sp_edit *edit, const uint32_t *hyp, size_t n,
                                              size_t *errors, struct sp_error *err);
/* SP_EINPUT when the table would take more than a gibibyte. */
SP_MUST_CHECK enum sp_status sp_edit_count(struct sp_edit *edit, const uint32_t *hyp, size_t n,
                                           struct sp_edit_counts *counts, struct sp_error *err);
/* *ops (*n_ops letters, enum sp_edit_op) from the first unit to the last; valid until the next call. */
SP_MUST_CHECK enum sp_status sp_edit_align(struct sp_edit *edit, const uint32_t *hyp, size_t n,
                                           const char **ops, size_t *n_ops, struct sp_error *err);

/* How often each operation comes. */
struct sp_edit_counts sp_edit_tally(const char *ops, size_t n_ops);

#ifdef __cplusplus
}
#endif
#endif
