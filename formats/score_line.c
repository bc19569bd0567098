#include "score_line.h"

#include <assert.h>
#include <string.h>

#include "float_text.h"

static const struct {
  const char *key, *token_key;
} method_table[SP_METHOD_COUNT] = {
#define X(name, key, token_key) {key, token_key},
    SP_METHOD_MAP(X)
#undef X
};

static const char *const flag_table[SP_FLAG_COUNT] = {
#define X(name, text) text,
    SP_FLAG_MAP(X)
#undef X
};

const char *sp_method_key(enum sp_method method) {
  assert((unsigned)method < SP_METHOD_COUNT);
  return method_table[method].key;
}

const char *sp_method_token_key(enum sp_method method) {
  assert((unsigned)method < SP_METHOD_COUNT);
  return method_table[method].token_key;
}

const char *sp_flag_name(enum sp_flag flag) {
  assert((unsigned)flag < SP_FLAG_COUNT);
  return flag_table[flag];
}

/* The put_x functions write at `to`, where the caller has made room, and return the new end. */

static char *put_bytes(char *to, const char *from, size_t len) {
  memcpy(to, from, len);
  return to + len;
}

static char *put_literal(char *to, const char *text) {
  return put_bytes(to, text, strlen(text));
}

static char *put_u32(char *to, uint32_t value) {
  char digits[10];
  size_t count = 0;
  do {
    digits[count++] = (char)('0' + value % 10);
    value /= 10;
  } while (value > 0);
  while (count > 0) {
    *to++ = digits[--count];
  }
  return to;
}

static char *put_key(char *to, const char *key) {
  *to++ = ',';
  *to++ = '"';
  to = put_literal(to, key);
  *to++ = '"';
  *to++ = ':';
  return to;
}

/* The letter of a two-character escape, 'u' for a six-character one, 0 for none. */
static char escape_of(unsigned char c) {
  if (c == '"' || c == '\\') {
    return (char)c;
  }
  if (c >= 0x20) {
    return 0;
  }
  static const char short_escapes[] = "uuuuuuuubtnufr";
  return c < sizeof short_escapes - 1 ? short_escapes[c] : 'u';
}

static char *put_escape(char *to, unsigned char c, char letter) {
  *to++ = '\\';
  *to++ = letter;
  if (letter == 'u') {
    *to++ = '0';
    *to++ = '0';
    *to++ = (char)('0' + (c >> 4));
    *to++ = "0123456789abcdef"[c & 15];
  }
  return to;
}

static char *put_string(char *to, struct sp_text text) {
  *to++ = '"';
  for (size_t i = 0; i < text.len; i++) {
    unsigned char c = (unsigned char)text.data[i];
    char letter = escape_of(c);
    if (letter) {
      to = put_escape(to, c, letter);
    } else {
      *to++ = (char)c;
    }
  }
  *to++ = '"';
  return to;
}

/* Bytes that put_string writes. */
static size_t string_bytes(struct sp_text text) {
  size_t bytes = 2;
  for (size_t i = 0; i < text.len; i++) {
    char letter = escape_of((unsigned char)text.data[i]);
    bytes += letter == 0 ? 1 : letter == 'u' ? 6 : 2;
  }
  return bytes;
}

/* Makes room for `extra` bytes and gives the place to write them. */
static enum sp_status begin(struct sp_buf *out, size_t extra, char **to, struct sp_error *err) {
  SP_TRY(sp_buf_reserve(out, extra, err));
  *to = out->data + out->len;
  return SP_OK;
}

static void end(struct sp_buf *out, const char *to) {
  out->len = (size_t)(to - out->data);
}

/* An upper bound of what write_hyp adds for one hypothesis. */
static size_t hyp_bytes(const struct sp_hyp_score *hyp) {
  enum { fixed = 96, score = 24 + SP_FLOAT_TEXT_MAX, list = 24 };
  size_t bytes = fixed + SP_METHOD_COUNT * (score + list);
  if (hyp->text) {
    bytes += string_bytes(*hyp->text) + list;
  }
  if (hyp->latency) {
    bytes += SP_LATENCY_TEXT_MAX + list;
  }
  if (hyp->tokens) {
    bytes += list;
    for (uint32_t t = 0; t < hyp->n_tokens; t++) {
      bytes += string_bytes(hyp->tokens[t]) + 1;
    }
  }
  for (int m = 0; m < SP_METHOD_COUNT; m++) {
    if (hyp->logp[m]) {
      bytes += (size_t)hyp->n_tokens * (SP_FLOAT_TEXT_MAX + 1);
    }
  }
  return bytes;
}

static char *put_tokens(char *to, const struct sp_hyp_score *hyp) {
  to = put_key(to, "tokens");
  *to++ = '[';
  for (uint32_t t = 0; t < hyp->n_tokens; t++) {
    if (t > 0) {
      *to++ = ',';
    }
    to = put_string(to, hyp->tokens[t]);
  }
  *to++ = ']';
  return to;
}

static char *put_floats(char *to, const char *key, const float *values, uint32_t count) {
  to = put_key(to, key);
  *to++ = '[';
  for (uint32_t t = 0; t < count; t++) {
    if (t > 0) {
      *to++ = ',';
    }
    to += sp_float_text(values[t], to);
  }
  *to++ = ']';
  return to;
}

static char *put_per_token(char *to, const struct sp_hyp_score *hyp, unsigned methods) {
  if (hyp->tokens) {
    to = put_tokens(to, hyp);
  }
  for (int m = 0; m < SP_METHOD_COUNT; m++) {
    if ((methods >> m & 1u) && hyp->logp[m] && method_table[m].token_key) {
      to = put_floats(to, method_table[m].token_key, hyp->logp[m], hyp->n_tokens);
    }
  }
  return to;
}

static enum sp_status write_hyp(struct sp_buf *out, const struct sp_hyp_score *hyp,
                                unsigned methods, struct sp_error *err) {
  char *to;
  SP_TRY(begin(out, hyp_bytes(hyp), &to, err));
  to = put_literal(to, "{\"i\":");
  to = put_u32(to, hyp->rank);
  for (int m = 0; m < SP_METHOD_COUNT; m++) {
    if (methods >> m & 1u) {
      to = put_key(to, method_table[m].key);
      to += sp_float_text(hyp->score[m], to);
    }
  }
  to = put_key(to, "n");
  to = put_u32(to, hyp->n_tokens);
  if (hyp->flag != SP_FLAG_NONE) {
    to = put_key(to, "flag");
    *to++ = '"';
    to = put_literal(to, sp_flag_name(hyp->flag));
    *to++ = '"';
  }
  to = put_per_token(to, hyp, methods);
  if (hyp->text) {
    to = put_key(to, "text");
    to = put_string(to, *hyp->text);
  }
  if (hyp->latency) {
    to = put_key(to, "latency");
    to += sp_latency_stats_text(hyp->latency, to);
  }
  *to++ = '}';
  end(out, to);
  return SP_OK;
}

enum sp_status sp_score_line_write(struct sp_buf *out, struct sp_text id,
                                   const struct sp_hyp_score *hyps, size_t n_hyps, unsigned methods,
                                   struct sp_error *err) {
  char *to;
  SP_TRY(begin(out, string_bytes(id) + 32, &to, err));
  to = put_literal(to, "{\"id\":");
  to = put_string(to, id);
  to = put_literal(to, ",\"hyps\":[");
  end(out, to);
  for (size_t k = 0; k < n_hyps; k++) {
    if (k > 0) {
      SP_TRY(sp_buf_append(out, ",", 1, err));
    }
    SP_TRY(write_hyp(out, &hyps[k], methods, err));
  }
  return sp_buf_append(out, "]}\n", 3, err);
}

enum sp_status sp_score_line_add_latency(struct sp_buf *line,
                                         const struct sp_latency_stats *latency,
                                         struct sp_error *err) {
  char *to;
  SP_TRY(begin(line, SP_LATENCY_TEXT_MAX + 24, &to, err));
  to = put_key(to - 2, "latency"); /* in place of "}\n" */
  to += sp_latency_stats_text(latency, to);
  end(line, put_literal(to, "}\n"));
  return SP_OK;
}

enum sp_status sp_json_string_write(struct sp_buf *out, struct sp_text text, struct sp_error *err) {
  char *to;
  SP_TRY(begin(out, string_bytes(text), &to, err));
  end(out, put_string(to, text));
  return SP_OK;
}
