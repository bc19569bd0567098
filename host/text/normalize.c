#include "normalize.h"

#include <assert.h>
#include <string.h>

#include "checked.h"
#include "utf8.h"

/* No input byte becomes more than 4 of output: make_unicode_tables.py checks it for every code
 * point and setting, and an invalid byte becomes the 3 of U+FFFD: the output is reserved once. */
enum { growth = 4 };

struct state {
  const struct sp_normalizer *normalizer;
  struct sp_buf *out;
  size_t run;          /* offset in `out` of the non-starters since the last starter */
  unsigned last_class; /* combining class of the last of them, 0 when there is none */
  bool unsorted;
};

/* Lowers and writes; the last stage. */
static inline void put(struct state *state, uint32_t code) {
  struct sp_buf *out = state->out;
  const struct sp_unicode *unicode = state->normalizer->unicode;
  if (state->normalizer->lowercase && (sp_unicode_flags(unicode, code) & SP_CHAR_LOWERS)) {
    uint32_t lower[SP_UNICODE_EXPANSION];
    size_t n = sp_unicode_lower(unicode, code, lower);
    for (size_t i = 0; i < n; i++) {
      out->len += sp_utf8_encode(lower[i], out->data + out->len);
    }
  } else {
    out->len += sp_utf8_encode(code, out->data + out->len);
  }
  assert(out->len <= out->capacity);
}

/* Sorts the run that ends here by combining class, equal classes in their order: one pass a class
 * that occurs (they are few), so that a hostile run costs linear time. */
static enum sp_status sort_run(struct state *state, struct sp_buf *spare, struct sp_error *err) {
  struct sp_buf *out = state->out;
  const unsigned char *from = (const unsigned char *)out->data + state->run;
  size_t n = out->len - state->run;
  sp_buf_clear(spare);
  SP_TRY(sp_buf_reserve(spare, n, err));
  for (unsigned now = 0, next; now < 256 && spare->len < n; now = next) {
    next = 256;
    for (size_t at = 0, wide; at < n; at += wide) {
      uint32_t code;
      wide = sp_utf8_decode(from + at, n - at, &code);
      unsigned class = sp_unicode_class(state->normalizer->unicode, code);
      if (class == now) {
        memcpy(spare->data + spare->len, from + at, wide);
        spare->len += wide;
      } else if (class > now && class < next) {
        next = class;
      }
    }
  }
  assert(spare->len == n);
  memcpy(out->data + state->run, spare->data, n);
  return SP_OK;
}

static inline enum sp_status end_run(struct state *state, struct sp_buf *spare,
                                     struct sp_error *err) {
  if (state->unsorted) {
    SP_TRY(sort_run(state, spare, err));
  }
  state->last_class = 0;
  state->unsorted = false;
  return SP_OK;
}

static void put_nonstarter(struct state *state, uint32_t code) {
  unsigned class = sp_unicode_class(state->normalizer->unicode, code);
  if (state->last_class == 0) {
    state->run = state->out->len;
  }
  state->unsorted = state->unsorted || class < state->last_class;
  state->last_class = class;
  put(state, code);
}

/* Decomposes, drops marks, keeps canonical order. A dropped mark of class 0 still ends a run. */
static enum sp_status put_stripped(struct state *state, uint32_t code, struct sp_buf *spare,
                                   struct sp_error *err) {
  const struct sp_unicode *unicode = state->normalizer->unicode;
  unsigned flags = sp_unicode_flags(unicode, code);
  if (flags & SP_CHAR_MARK) {
    return flags & SP_CHAR_NONSTARTER ? SP_OK : end_run(state, spare, err);
  }
  uint32_t parts[SP_UNICODE_EXPANSION];
  size_t n = sp_unicode_strip(unicode, code, parts);
  for (size_t i = 0; i < n; i++) {
    if (sp_unicode_flags(unicode, parts[i]) & SP_CHAR_NONSTARTER) {
      put_nonstarter(state, parts[i]);
    } else {
      SP_TRY(end_run(state, spare, err));
      put(state, parts[i]);
    }
  }
  return SP_OK;
}

static inline enum sp_status put_next(struct state *state, uint32_t code, struct sp_buf *spare,
                                      struct sp_error *err) {
  if (state->normalizer->strip_accents) {
    return put_stripped(state, code, spare, err);
  }
  put(state, code);
  return SP_OK;
}

static enum sp_status put_raw(struct state *state, uint32_t code, struct sp_buf *spare,
                              struct sp_error *err) {
  unsigned flags = sp_unicode_flags(state->normalizer->unicode, code);
  if (state->normalizer->clean_text) {
    if (flags & SP_CHAR_DROP) {
      return SP_OK;
    }
    code = flags & SP_CHAR_SPACE ? ' ' : code;
  }
  if (state->normalizer->split_cjk && (flags & SP_CHAR_CJK)) {
    SP_TRY(put_next(state, ' ', spare, err));
    SP_TRY(put_next(state, code, spare, err));
    return put_next(state, ' ', spare, err);
  }
  return put_next(state, code, spare, err);
}

static enum sp_status normalize_unicode(const struct sp_normalizer *normalizer, struct sp_text text,
                                        struct sp_buf *out, struct sp_buf *spare,
                                        struct sp_error *err) {
  struct state state = {normalizer, out, 0, 0, false};
  const unsigned char *s = (const unsigned char *)text.data;
  for (size_t at = 0, wide; at < text.len; at += wide) {
    uint32_t code, lower[SP_UNICODE_EXPANSION];
    wide = sp_utf8_decode(s + at, text.len - at, &code);
    if (normalizer->lower_first) {
      size_t n = sp_unicode_lower(normalizer->unicode, code, lower);
      for (size_t i = 0; i < n; i++) {
        SP_TRY(put_raw(&state, lower[i], spare, err));
      }
    } else {
      SP_TRY(put_raw(&state, code, spare, err));
    }
  }
  return end_run(&state, spare, err);
}

/* Copies, lowered or not; false when a byte needs the long way (controls, anything but ASCII).
 * Written so that compilers make vector code of it. */
static bool normalize_ascii(struct sp_text text, bool lower, char *to) {
  const unsigned char *from = (const unsigned char *)text.data;
  unsigned char capitals = lower ? 26 : 0, odd = 0;
  for (size_t i = 0; i < text.len; i++) {
    unsigned char c = from[i];
    odd |= (unsigned char)((unsigned char)(c - 0x20) >= 0x5f);
    to[i] = (char)(c + ((unsigned char)(c - 'A') < capitals ? 0x20 : 0));
  }
  return !odd;
}

enum sp_status sp_normalize(const struct sp_normalizer *normalizer, struct sp_text text,
                            struct sp_buf *out, struct sp_buf *spare, struct sp_error *err) {
  bool lower = normalizer->lowercase || normalizer->lower_first;
  sp_buf_clear(out);
  SP_TRY(sp_buf_reserve(out, text.len, err));
  if (normalize_ascii(text, lower, out->data)) {
    out->len = text.len;
    return SP_OK;
  }
  SP_TRY(sp_buf_reserve(out, sp_mul_sat(text.len, growth), err));
  return normalize_unicode(normalizer, text, out, spare, err);
}
