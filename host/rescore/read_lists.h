/* read_lists.h - a whole archive with its scores as lists to tune on. */
#ifndef SP_RESCORE_READ_LISTS_H
#define SP_RESCORE_READ_LISTS_H

#include "join.h"
#include "lists.h"

#ifdef __cplusplus
extern "C" {
#endif

enum sp_block {
  SP_BLOCK_UTTERANCE,
  SP_BLOCK_SPEAKER /* what stands before the first '-' or space of an id */
};

struct sp_read_counts {
  uint64_t utts;        /* with a reference: these are read */
  uint64_t without_ref; /* these are left out */
};

/* Reads the join to its end. The join must have the combination's scores selected. `lists` is
 * initialised here, and released by the caller, also on failure. */
SP_MUST_CHECK enum sp_status sp_read_lists(struct sp_join *join,
                                           const struct sp_combination *combination,
                                           enum sp_block block, struct sp_lists *lists,
                                           struct sp_read_counts *counts, struct sp_error *err);

#ifdef __cplusplus
}
#endif
#endif
