/* normalize.h - BertNormalizer: clean, space CJK, strip accents, lower.
 *
 * Pure ASCII text takes a path of its own; both give the same bytes where both apply. */
#ifndef SP_TEXT_NORMALIZE_H
#define SP_TEXT_NORMALIZE_H

#include "buf.h"
#include "unicode_bert.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sp_normalizer {
  const struct sp_unicode *unicode;
  bool clean_text;    /* drop controls, make white space a space */
  bool split_cjk;     /* spaces around CJK ideographs */
  bool strip_accents; /* NFD without marks */
  bool lowercase;
  bool lower_first; /* lower before all of the above */
};

/* Replaces `out` by the normal form of `text` as UTF-8; `spare` is scratch for the caller to keep.
 * Fails only when out of memory. */
SP_MUST_CHECK enum sp_status sp_normalize(const struct sp_normalizer *normalizer,
                                          struct sp_text text, struct sp_buf *out,
                                          struct sp_buf *spare, struct sp_error *err);

#ifdef __cplusplus
}
#endif
#endif
