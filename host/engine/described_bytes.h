/* described_bytes.h - what the run directory of a described archive will hold.
 *
 * Nothing is estimated that can be written: score lines of a prepared job go through the writer of lines
 * and through zstd as shards do, with scores that are drawn (only their digits matter); so do a marker
 * and the plan of drawn shards. The rest is scaling. */
#ifndef SP_ENGINE_DESCRIBED_BYTES_H
#define SP_ENGINE_DESCRIBED_BYTES_H

#include "job.h"

/* Fills the summary's bytes and number of files from its counts and shards. `job` is a prepared sample;
 * its results are overwritten. */
SP_MUST_CHECK enum sp_status sp_described_weigh(struct sp_job *job,
                                                const struct sp_settings *settings,
                                                const struct sp_context *context, uint32_t id_bytes,
                                                struct sp_described_summary *summary,
                                                struct sp_error *err);

#endif
