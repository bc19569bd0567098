/* unicode_bert.h - what BERT's normaliser and pre-tokenizer do with each code point.
 *
 * The facts are frozen in unicode_bert.inc, which tests/golden/tokens/make_unicode_tables.py asks
 * of the oracle; no Unicode library is used. Tables are expanded once a tokenizer: a byte of flags
 * a code point, and sorted arrays for what maps to something else. */
#ifndef SP_TEXT_UNICODE_BERT_H
#define SP_TEXT_UNICODE_BERT_H

#include "status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SP_CODE_POINTS 0x110000u
/* The most code points that one becomes, when lowered or stripped. */
#define SP_UNICODE_EXPANSION 4

enum sp_char_flag {
  SP_CHAR_DROP = 1,        /* clean_text removes it: controls, formats, unassigned, U+FFFD */
  SP_CHAR_SPACE = 2,       /* white space */
  SP_CHAR_PUNCT = 4,       /* a word of its own */
  SP_CHAR_CJK = 8,         /* handle_chinese_chars puts spaces around it */
  SP_CHAR_MARK = 16,       /* strip_accents removes it */
  SP_CHAR_NONSTARTER = 32, /* canonical combining class not 0 */
  SP_CHAR_STRIPS = 64,     /* strip_accents makes something else of it */
  SP_CHAR_LOWERS = 128     /* it has a lower-case mapping */
};

struct sp_unicode {
  uint8_t *flags;  /* (SP_CODE_POINTS) */
  uint32_t *lower; /* (n_lower, 2) code point, lower case; sorted */
  size_t n_lower;
  uint32_t *strip; /* (n_strip, 2) code point, what is left when that is one; sorted */
  size_t n_strip;
};

SP_MUST_CHECK enum sp_status sp_unicode_init(struct sp_unicode *unicode, struct sp_error *err);
void sp_unicode_release(struct sp_unicode *unicode);

static inline unsigned sp_unicode_flags(const struct sp_unicode *unicode, uint32_t code) {
  return unicode->flags[code];
}

/* The full lower-case mapping without context (no final sigma), 1 or 2 code points. */
size_t sp_unicode_lower(const struct sp_unicode *unicode, uint32_t code,
                        uint32_t out[SP_UNICODE_EXPANSION]);
/* What is left of the canonical decomposition when marks are dropped; 0 to 4 code points. */
size_t sp_unicode_strip(const struct sp_unicode *unicode, uint32_t code,
                        uint32_t out[SP_UNICODE_EXPANSION]);
/* Canonical combining class of a code point that stripping keeps; 0 for starters. */
unsigned sp_unicode_class(const struct sp_unicode *unicode, uint32_t code);

#ifdef __cplusplus
}
#endif
#endif
