/* manifest.h - what a scoring run writes into run.json, and its one-line signature. */
#ifndef SP_ENGINE_MANIFEST_H
#define SP_ENGINE_MANIFEST_H

#include <jansson.h>

#include "scan.h"

/* The manifest of a run over `scan` in shards of shard_utts; the caller owns it. NULL when out of
 * memory. */
json_t *sp_manifest_make(const struct sp_settings *settings, const struct sp_context *context,
                         const struct sp_scan *scan, size_t shard_utts, size_t shards,
                         const char *signature);

/* sacreBLEU-style: everything that decides the scores, in one line. */
void sp_manifest_signature(const struct sp_settings *settings, const struct sp_context *context,
                           enum sp_letter_case letter_case, char *out, size_t capacity);

#endif
