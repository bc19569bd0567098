/* joined_scan.h - what the first pass of another worker found, taken from the run's manifest. */
#ifndef SP_ENGINE_JOINED_SCAN_H
#define SP_ENGINE_JOINED_SCAN_H

#include <jansson.h>

#include "scan.h"

/* The counts of a scan that run.json keeps, under their names; NULL when out of memory. */
json_t *sp_scan_counts_json(const struct sp_counts *counts);

/* Fills *out (no marks) as sp_scan_archive would: what the options leave open is as the run has it, and the
 * digests are the run's as long as the files' sizes agree, so that comparing identities says what does
 * not.  SP_EIO when an archive is not there; SP_EDAMAGED when the manifest lacks something. */
SP_MUST_CHECK enum sp_status sp_scan_join(const struct sp_settings *settings,
                                          const struct sp_context *context, const json_t *manifest,
                                          struct sp_scan *out, struct sp_error *err);

#endif
