#include "added_tokens.h"

#include <stdlib.h>
#include <string.h>

#include "checked.h"
#include "utf8.h"

void sp_added_set_release(struct sp_added_set *set) {
  for (size_t i = 0; i < set->n; i++) {
    free(set->tokens[i].content);
  }
  free(set->tokens);
  memset(set, 0, sizeof *set);
}

const struct sp_added_token *sp_added_set_find(const struct sp_added_set *set,
                                               struct sp_text content) {
  for (size_t i = 0; i < set->n; i++) {
    struct sp_text have = {set->tokens[i].content, set->tokens[i].len};
    if (sp_text_equal(have, content)) {
      return &set->tokens[i];
    }
  }
  return NULL;
}

static enum sp_status grow(struct sp_added_set *set, struct sp_error *err) {
  if (set->n == SP_MAX_ADDED_TOKENS) {
    return sp_fail(err, SP_EMODEL, "more than %d added tokens", SP_MAX_ADDED_TOKENS);
  }
  if (set->n < set->capacity) {
    return SP_OK;
  }
  size_t capacity = set->capacity ? set->capacity * 2 : 16;
  struct sp_added_token *tokens = realloc(set->tokens, sp_mul_sat(capacity, sizeof *tokens));
  if (!tokens) {
    return sp_fail_memory(err, capacity * sizeof *tokens);
  }
  set->tokens = tokens;
  set->capacity = capacity;
  return SP_OK;
}

enum sp_status sp_added_set_put(struct sp_added_set *set, const struct sp_added_token *token,
                                struct sp_error *err) {
  struct sp_added_token *same =
      (struct sp_added_token *)sp_added_set_find(set, (struct sp_text){token->content, token->len});
  if (!same) {
    SP_TRY(grow(set, err));
  }
  char *content = malloc(token->len + 1);
  if (!content) {
    return sp_fail_memory(err, token->len + 1);
  }
  memcpy(content, token->content, token->len);
  content[token->len] = '\0';
  if (same) {
    free(same->content);
  } else {
    same = &set->tokens[set->n++];
  }
  *same = *token;
  same->content = content;
  return SP_OK;
}

static int longer_first(const void *a, const void *b) {
  const struct sp_added_token *x = a, *y = b;
  return x->len != y->len ? (x->len > y->len ? -1 : 1) : (x->id > y->id) - (x->id < y->id);
}

void sp_added_set_finish(struct sp_added_set *set) {
  if (set->n > 1) {
    qsort(set->tokens, set->n, sizeof *set->tokens, longer_first);
  }
  set->only_start = -1;
  size_t distinct = 0;
  for (size_t i = 0; i < set->n; i++) {
    if (set->tokens[i].len > 0) {
      unsigned char first = (unsigned char)set->tokens[i].content[0];
      distinct += !set->starts[first];
      set->starts[first] = true;
      set->only_start = distinct == 1 ? first : -1;
    }
  }
}

/* Offset of the next byte that may start a token, or the length of the text. */
static size_t candidate(const struct sp_added_set *set, struct sp_text text, size_t at) {
  if (set->n == 0) {
    return text.len;
  }
  if (set->only_start >= 0) {
    const char *hit = at < text.len ? memchr(text.data + at, set->only_start, text.len - at) : NULL;
    return hit ? (size_t)(hit - text.data) : text.len;
  }
  while (at < text.len && !set->starts[(unsigned char)text.data[at]]) {
    at++;
  }
  return at;
}

static const struct sp_added_token *token_at(const struct sp_added_set *set, struct sp_text text,
                                             size_t at) {
  for (size_t i = 0; i < set->n; i++) {
    const struct sp_added_token *token = &set->tokens[i];
    if (token->len > 0 && token->len <= text.len - at &&
        memcmp(token->content, text.data + at, token->len) == 0) {
      return token;
    }
  }
  return NULL;
}

static bool is_space(const struct sp_added_cursor *cursor, uint32_t code) {
  return (sp_unicode_flags(cursor->unicode, code) & SP_CHAR_SPACE) != 0;
}

/* Start of the white space that ends at `at`, not before cursor->done. */
static size_t skip_back(const struct sp_added_cursor *cursor, size_t at) {
  const unsigned char *s = (const unsigned char *)cursor->text.data;
  while (at > cursor->done) {
    size_t from = at - 1;
    while (from > cursor->done && at - from < 4 && (s[from] & 0xc0) == 0x80) {
      from--;
    }
    uint32_t code;
    if (sp_utf8_sequence(s + from, at - from, &code) != at - from || !is_space(cursor, code)) {
      break;
    }
    at = from;
  }
  return at;
}

static size_t skip_forward(const struct sp_added_cursor *cursor, size_t at) {
  const unsigned char *s = (const unsigned char *)cursor->text.data;
  while (at < cursor->text.len) {
    uint32_t code;
    size_t wide = sp_utf8_decode(s + at, cursor->text.len - at, &code);
    if (!is_space(cursor, code)) {
      break;
    }
    at += wide;
  }
  return at;
}

struct sp_added_match sp_added_next(struct sp_added_cursor *cursor) {
  struct sp_text text = cursor->text;
  size_t at = candidate(cursor->set, text, cursor->search);
  const struct sp_added_token *token = NULL;
  while (at < text.len && !(token = token_at(cursor->set, text, at))) {
    at = candidate(cursor->set, text, at + 1);
  }
  size_t start = at, done = cursor->done;
  if (token) {
    cursor->search = at + token->len;
    cursor->done = token->rstrip ? skip_forward(cursor, cursor->search) : cursor->search;
    if (token->lstrip) {
      struct sp_added_cursor back = *cursor;
      back.done = done;
      start = skip_back(&back, at);
    }
  } else {
    cursor->search = cursor->done = text.len;
  }
  size_t len = start > done ? start - done : 0;
  return (struct sp_added_match){{text.data + done, len}, token};
}
