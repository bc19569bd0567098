/* masks_json.h - what `secondpass masks --json` says (FORMATS.md). */
#ifndef SP_CLI_MASKS_JSON_H
#define SP_CLI_MASKS_JSON_H

#include <jansson.h>

#include "picture.h"

/* A JSON string; null for what is not UTF-8. */
json_t *sp_masks_text_json(struct sp_text text);

/* Tokens, masks of the wanted layers, latencies, and the cone of output `position`. */
SP_MUST_CHECK enum sp_status sp_masks_view_json(const struct sp_masks_view *view,
                                                const bool *wanted /* (layers) */, size_t position,
                                                json_t *object, struct sp_error *err);
/* One object a layer. */
json_t *sp_masks_reach_json(const struct sp_reach_counts *counts);

#endif
