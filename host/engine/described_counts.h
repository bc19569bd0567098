/* described_counts.h - what scoring a described archive takes, by arithmetic on its lengths. */
#ifndef SP_ENGINE_DESCRIBED_COUNTS_H
#define SP_ENGINE_DESCRIBED_COUNTS_H

#include "archive_description.h"
#include "context.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Fills *counts as a plan of such an archive has them, and *longest with its longest hypothesis.
 * Hypotheses and masked copies that are equal are taken off by the description's shares; otherwise all
 * are taken for different, as are copies of `pll` and of `pll_l2r` and all nodes.  `eos_tokens` are added
 * to each hypothesis. SP_EINPUT when a count passes 2^63, or with --on-long error for a length that the
 * model does not take. */
SP_MUST_CHECK enum sp_status sp_described_count(const struct sp_description *description,
                                                const struct sp_settings *settings,
                                                const struct sp_context *context, size_t eos_tokens,
                                                struct sp_counts *counts, uint64_t *longest,
                                                struct sp_error *err);

/* Utterances of a shard of so many, of counts->utts (at least one) and counts->tokens: what the user said,
 * or what the first pass would choose (sp_scan_shard_utts). */
size_t sp_described_shard_utts(const struct sp_settings *settings, const struct sp_counts *counts);

#ifdef __cplusplus
}
#endif
#endif
