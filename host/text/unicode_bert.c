#include "unicode_bert.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "unicode_bert.inc"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

enum { hangul_first = 0xac00, hangul_count = 11172, dotted_capital_i = 0x130 };

static void set_flag(uint8_t *flags, const uint32_t *gaps, size_t n, unsigned flag) {
  uint32_t at = 0;
  for (size_t i = 0; i + 1 < n; i += 2) {
    at += gaps[i];
    assert(at + gaps[i + 1] <= SP_CODE_POINTS);
    for (uint32_t k = 0; k < gaps[i + 1]; k++, at++) {
      flags[at] |= (uint8_t)flag;
    }
  }
}

static void expand_sets(uint8_t *flags) {
  set_flag(flags, gaps_drop, COUNT(gaps_drop), SP_CHAR_DROP);
  set_flag(flags, gaps_space, COUNT(gaps_space), SP_CHAR_SPACE);
  set_flag(flags, gaps_punct, COUNT(gaps_punct), SP_CHAR_PUNCT);
  set_flag(flags, gaps_cjk, COUNT(gaps_cjk), SP_CHAR_CJK);
  set_flag(flags, gaps_mark, COUNT(gaps_mark), SP_CHAR_MARK);
  set_flag(flags, gaps_nonstarter, COUNT(gaps_nonstarter), SP_CHAR_NONSTARTER);
}

static int compare_code(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return x < y ? -1 : x > y;
}

/* Runs overlap in code points (capitals and small letters alternate), so the pairs are sorted. */
static void expand_lower(struct sp_unicode *unicode) {
  uint32_t start = 0;
  size_t n = 0;
  for (size_t i = 0; i + 3 < COUNT(lower_runs); i += 4) {
    start += (uint32_t)lower_runs[i];
    for (int32_t k = 0; k < lower_runs[i + 1]; k++) {
      uint32_t code = start + (uint32_t)(k * lower_runs[i + 2]);
      unicode->lower[2 * n] = code;
      unicode->lower[2 * n + 1] = code + (uint32_t)lower_runs[i + 3];
      unicode->flags[code] |= SP_CHAR_LOWERS;
      n++;
    }
  }
  assert(n == lower_count);
  unicode->n_lower = n;
  unicode->flags[dotted_capital_i] |= SP_CHAR_LOWERS;
  qsort(unicode->lower, n, 2 * sizeof *unicode->lower, compare_code);
}

static void expand_strip(struct sp_unicode *unicode) {
  uint32_t code = 0;
  for (size_t i = 0; i + 1 < COUNT(strip_one); i += 2) {
    code += strip_one[i];
    unicode->strip[i] = code;
    unicode->strip[i + 1] = strip_one[i + 1];
    unicode->flags[code] |= SP_CHAR_STRIPS;
  }
  unicode->n_strip = COUNT(strip_one) / 2;
  for (size_t i = 0; i < COUNT(strip_many); i += 2 + strip_many[i + 1]) {
    unicode->flags[strip_many[i]] |= SP_CHAR_STRIPS;
  }
  for (uint32_t i = 0; i < hangul_count; i++) {
    unicode->flags[hangul_first + i] |= SP_CHAR_STRIPS;
  }
}

enum sp_status sp_unicode_init(struct sp_unicode *unicode, struct sp_error *err) {
  memset(unicode, 0, sizeof *unicode);
  unicode->flags = calloc(SP_CODE_POINTS, 1);
  unicode->lower = calloc(lower_count, 2 * sizeof *unicode->lower);
  unicode->strip = calloc(COUNT(strip_one), sizeof *unicode->strip);
  if (!unicode->flags || !unicode->lower || !unicode->strip) {
    sp_unicode_release(unicode);
    return sp_fail_memory(err, SP_CODE_POINTS);
  }
  expand_sets(unicode->flags);
  expand_lower(unicode);
  expand_strip(unicode);
  return SP_OK;
}

void sp_unicode_release(struct sp_unicode *unicode) {
  free(unicode->flags);
  free(unicode->lower);
  free(unicode->strip);
  memset(unicode, 0, sizeof *unicode);
}

static const uint32_t *find_pair(const uint32_t *pairs, size_t n, uint32_t code) {
  return n ? bsearch(&code, pairs, n, 2 * sizeof *pairs, compare_code) : NULL;
}

size_t sp_unicode_lower(const struct sp_unicode *unicode, uint32_t code,
                        uint32_t out[SP_UNICODE_EXPANSION]) {
  out[0] = code;
  if (!(unicode->flags[code] & SP_CHAR_LOWERS)) {
    return 1;
  }
  if (code == dotted_capital_i) { /* the one code point whose lower case is two: i, dot above */
    out[0] = 'i';
    out[1] = 0x307;
    return 2;
  }
  out[0] = find_pair(unicode->lower, unicode->n_lower, code)[1];
  return 1;
}

static size_t strip_hangul(uint32_t code, uint32_t out[SP_UNICODE_EXPANSION]) {
  enum { lead = 0x1100, vowel = 0x1161, tail = 0x11a7, n_tail = 28, n_vowel_tail = 588 };
  uint32_t index = code - hangul_first;
  out[0] = lead + index / n_vowel_tail;
  out[1] = vowel + index % n_vowel_tail / n_tail;
  out[2] = tail + index % n_tail;
  return index % n_tail ? 3 : 2;
}

size_t sp_unicode_strip(const struct sp_unicode *unicode, uint32_t code,
                        uint32_t out[SP_UNICODE_EXPANSION]) {
  out[0] = code;
  if (unicode->flags[code] & SP_CHAR_MARK) {
    return 0;
  }
  if (!(unicode->flags[code] & SP_CHAR_STRIPS)) {
    return 1;
  }
  if (code >= hangul_first && code < hangul_first + hangul_count) {
    return strip_hangul(code, out);
  }
  const uint32_t *pair = find_pair(unicode->strip, unicode->n_strip, code);
  if (pair) {
    out[0] = pair[1];
    return 1;
  }
  size_t i = 0;
  while (strip_many[i] != code) {
    i += 2 + strip_many[i + 1];
  }
  memcpy(out, strip_many + i + 2, strip_many[i + 1] * sizeof *out);
  return strip_many[i + 1];
}

unsigned sp_unicode_class(const struct sp_unicode *unicode, uint32_t code) {
  if (!(unicode->flags[code] & SP_CHAR_NONSTARTER)) {
    return 0;
  }
  const uint32_t *pair = find_pair(class_kept, COUNT(class_kept) / 2, code);
  return pair ? pair[1] : 0;
}
