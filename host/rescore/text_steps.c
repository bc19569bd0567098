#include "text_steps.h"

#include <stdlib.h>
#include <string.h>

#include "checked.h"
#include "unicode_class.h"
#include "utf8.h"

void sp_text_steps_release(struct sp_text_steps *steps) {
  for (size_t i = 0; i < steps->n; i++) {
    free(steps->items[i].words);
  }
  free(steps->items);
  sp_arena_release(&steps->arena);
  *steps = (struct sp_text_steps){0};
}

enum sp_status sp_text_steps_add(struct sp_text_steps *steps, struct sp_text_step step,
                                 struct sp_error *err) {
  size_t bytes = sp_mul_sat(steps->n + 1, sizeof step);
  struct sp_text_step *items = realloc(steps->items, bytes);
  if (!items) {
    return sp_fail_memory(err, bytes);
  }
  steps->items = items;
  items[steps->n++] = step;
  return SP_OK;
}

bool sp_rules_line(struct sp_text *rest, struct sp_text *line) {
  if (rest->len == 0) {
    return false;
  }
  const char *end = memchr(rest->data, '\n', rest->len);
  *line = (struct sp_text){rest->data, end ? (size_t)(end - rest->data) : rest->len};
  rest->data += line->len + (end != NULL);
  rest->len -= line->len + (end != NULL);
  return true;
}

struct sp_text sp_rules_trim(struct sp_text text) {
  while (text.len > 0 && sp_is_ascii_space((unsigned char)text.data[text.len - 1])) {
    text.len--;
  }
  while (text.len > 0 && sp_is_ascii_space((unsigned char)text.data[0])) {
    text.data++;
    text.len--;
  }
  return text;
}

/* The next word and the white space before it; false when only white space is left. */
static bool next_word(struct sp_text text, size_t *at, struct sp_text *word) {
  size_t i = *at, start = 0;
  bool inside = false;
  while (i < text.len) {
    uint32_t code;
    size_t wide = sp_utf8_decode((const unsigned char *)text.data + i, text.len - i, &code);
    bool space = sp_is_space(code);
    if (inside && space) {
      break;
    }
    if (!inside && !space) {
      inside = true;
      start = i;
    }
    i += wide;
  }
  *at = i;
  *word = (struct sp_text){text.data + start, inside ? i - start : 0};
  return inside;
}

static enum sp_status append_code(struct sp_buf *out, uint32_t code, struct sp_error *err) {
  char bytes[4];
  return sp_buf_append(out, bytes, sp_utf8_encode(code, bytes), err);
}

static enum sp_status map_case(struct sp_text in, uint32_t (*map)(uint32_t), struct sp_buf *out,
                               struct sp_error *err) {
  for (size_t i = 0; i < in.len;) {
    uint32_t code;
    i += sp_utf8_decode((const unsigned char *)in.data + i, in.len - i, &code);
    SP_TRY(append_code(out, map(code), err));
  }
  return SP_OK;
}

/* `text` copied with one space between its words. */
static enum sp_status copy_words(struct sp_text_steps *steps, struct sp_text text, bool lower,
                                 struct sp_text *out, size_t *n, struct sp_error *err) {
  struct sp_buf joined = {0};
  enum sp_status status = SP_OK;
  struct sp_text word;
  *n = 0;
  for (size_t at = 0; status == SP_OK && next_word(text, &at, &word);) {
    status = ++*n > 1 ? sp_buf_append(&joined, " ", 1, err) : SP_OK;
    if (status == SP_OK) {
      status = lower ? map_case(word, sp_to_lower, &joined, err)
                     : sp_buf_append(&joined, word.data, word.len, err);
    }
  }
  if (status == SP_OK) {
    out->data = sp_arena_copy(&steps->arena, joined.len ? joined.data : "", joined.len);
    out->len = joined.len;
    status = out->data ? SP_OK : sp_fail_memory(err, joined.len);
  }
  sp_buf_release(&joined);
  return status;
}

enum sp_status sp_text_steps_add_word(struct sp_text_steps *steps, struct sp_text from,
                                      struct sp_text to, bool lower, struct sp_error *err) {
  struct sp_word_rule rule;
  size_t n_from, n_to;
  SP_TRY(copy_words(steps, from, lower, &rule.from, &n_from, err));
  SP_TRY(copy_words(steps, to, lower, &rule.to, &n_to, err));
  if (steps->n == 0 || steps->items[steps->n - 1].kind != SP_STEP_WORDS) {
    SP_TRY(sp_text_steps_add(steps, (struct sp_text_step){.kind = SP_STEP_WORDS}, err));
  }
  struct sp_text_step *step = &steps->items[steps->n - 1];
  if (step->n_words == step->capacity) {
    size_t capacity = sp_max_size(16, step->capacity * 2);
    struct sp_word_rule *words = realloc(step->words, capacity * sizeof *words);
    if (!words) {
      return sp_fail_memory(err, capacity * sizeof *words);
    }
    step->words = words;
    step->capacity = capacity;
  }
  rule.order = (uint32_t)step->n_words;
  step->words[step->n_words++] = rule;
  step->longest = sp_max_size(step->longest, n_from);
  return SP_OK;
}

static int compare_texts(struct sp_text a, struct sp_text b) {
  int order = memcmp(a.data, b.data, sp_min_size(a.len, b.len));
  return order ? order : a.len < b.len ? -1 : a.len > b.len;
}

static int compare_rules(const void *x, const void *y) {
  const struct sp_word_rule *a = x, *b = y;
  int order = compare_texts(a->from, b->from);
  return order ? order : a->order < b->order ? -1 : a->order > b->order;
}

void sp_text_steps_finish(struct sp_text_steps *steps) {
  for (size_t i = 0; i < steps->n; i++) {
    struct sp_text_step *step = &steps->items[i];
    if (step->n_words > 0) {
      qsort(step->words, step->n_words, sizeof *step->words, compare_rules);
    }
  }
}

/* The first rule of that left side, NULL when there is none. */
static const struct sp_word_rule *find_rule(const struct sp_text_step *step, struct sp_text from) {
  size_t low = 0, high = step->n_words;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (compare_texts(step->words[middle].from, from) < 0) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low < step->n_words && sp_text_equal(step->words[low].from, from) ? &step->words[low]
                                                                           : NULL;
}

/* The longest left side that begins at `at` in `text`, words parted by one space; *used bytes. */
static const struct sp_word_rule *match(const struct sp_text_step *step, struct sp_text text,
                                        size_t at, size_t *used) {
  const struct sp_word_rule *best = NULL;
  size_t end = at;
  for (size_t k = 0; k < step->longest && end < text.len; k++) {
    const char *space = memchr(text.data + end + 1, ' ', text.len - end - 1);
    end = space ? (size_t)(space - text.data) : text.len;
    const struct sp_word_rule *rule = find_rule(step, (struct sp_text){text.data + at, end - at});
    if (rule) {
      best = rule;
      *used = end - at;
    }
  }
  return best;
}

static enum sp_status join_words(struct sp_text in, struct sp_buf *out, struct sp_error *err) {
  struct sp_text word;
  for (size_t at = 0; next_word(in, &at, &word);) {
    if (out->len > 0) {
      SP_TRY(sp_buf_append(out, " ", 1, err));
    }
    SP_TRY(sp_buf_append(out, word.data, word.len, err));
  }
  return SP_OK;
}

static enum sp_status replace_words(const struct sp_text_step *step, struct sp_text text,
                                    struct sp_buf *out, struct sp_error *err) {
  for (size_t at = 0; at < text.len;) {
    const char *space = memchr(text.data + at, ' ', text.len - at);
    size_t used = space ? (size_t)(space - text.data) - at : text.len - at;
    const struct sp_word_rule *rule = match(step, text, at, &used);
    struct sp_text put = rule ? rule->to : (struct sp_text){text.data + at, used};
    if (put.len > 0 && out->len > 0) {
      SP_TRY(sp_buf_append(out, " ", 1, err));
    }
    SP_TRY(sp_buf_append(out, put.data, put.len, err));
    at += used + 1;
  }
  return SP_OK;
}

static enum sp_status apply_words(const struct sp_text_step *step, struct sp_text in,
                                  struct sp_buf *out, struct sp_error *err) {
  struct sp_buf joined = {.ceiling = out->ceiling};
  enum sp_status status = join_words(in, &joined, err);
  if (status == SP_OK) {
    status = replace_words(step, (struct sp_text){joined.data, joined.len}, out, err);
  }
  sp_buf_release(&joined);
  return status;
}

static enum sp_status apply_replace(const struct sp_text_step *step, struct sp_text in,
                                    struct sp_buf *out, struct sp_error *err) {
  while (in.len > 0) {
    const char *hit = memmem(in.data, in.len, step->from.data, step->from.len);
    size_t before = hit ? (size_t)(hit - in.data) : in.len;
    SP_TRY(sp_buf_append(out, in.data, before, err));
    if (!hit) {
      return SP_OK;
    }
    SP_TRY(sp_buf_append(out, step->to.data, step->to.len, err));
    in.data = hit + step->from.len;
    in.len -= before + step->from.len;
  }
  return SP_OK;
}

static bool contains(struct sp_text set, uint32_t code) {
  for (size_t i = 0; i < set.len;) {
    uint32_t member;
    i += sp_utf8_decode((const unsigned char *)set.data + i, set.len - i, &member);
    if (member == code) {
      return true;
    }
  }
  return false;
}

static enum sp_status apply_punctuation(const struct sp_text_step *step, struct sp_text in,
                                        struct sp_buf *out, struct sp_error *err) {
  for (size_t i = 0; i < in.len;) {
    uint32_t code;
    size_t wide = sp_utf8_decode((const unsigned char *)in.data + i, in.len - i, &code);
    bool drop = sp_is_punctuation(code) && !contains(step->from, code);
    SP_TRY(sp_buf_append(out, drop ? step->to.data : in.data + i, drop ? step->to.len : wide, err));
    i += wide;
  }
  return SP_OK;
}

static bool is_apostrophe(uint32_t code) {
  return code == '\'' || code == 0x2018 || code == 0x2019 || code == 0x2bc || code == 0xff07;
}

static bool is_letter(uint32_t code) {
  return code != 0 && !sp_is_space(code) && !sp_is_punctuation(code) && code > ' ' &&
         !is_apostrophe(code);
}

static enum sp_status apply_librispeech(struct sp_text in, struct sp_buf *out,
                                        struct sp_error *err) {
  uint32_t before = 0;
  for (size_t i = 0; i < in.len;) {
    uint32_t code, after = 0;
    i += sp_utf8_decode((const unsigned char *)in.data + i, in.len - i, &code);
    if (i < in.len) {
      sp_utf8_decode((const unsigned char *)in.data + i, in.len - i, &after);
    }
    uint32_t put = sp_to_lower(code);
    if (is_apostrophe(code)) {
      put = is_letter(before) || is_letter(after) ? '\'' : ' ';
    } else if (sp_is_punctuation(code)) {
      put = ' ';
    }
    SP_TRY(append_code(out, put, err));
    before = code;
  }
  return SP_OK;
}

enum sp_status sp_text_step_apply(const struct sp_text_step *step, struct sp_text in,
                                  struct sp_buf *out, struct sp_error *err) {
  switch (step->kind) {
    case SP_STEP_LOWER:
      return map_case(in, sp_to_lower, out, err);
    case SP_STEP_UPPER:
      return map_case(in, sp_to_upper, out, err);
    case SP_STEP_LIBRISPEECH:
      return apply_librispeech(in, out, err);
    case SP_STEP_PUNCTUATION:
      return apply_punctuation(step, in, out, err);
    case SP_STEP_REPLACE:
      return apply_replace(step, in, out, err);
    case SP_STEP_WORDS:
      break;
  }
  return apply_words(step, in, out, err);
}
