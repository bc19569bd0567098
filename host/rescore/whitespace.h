/* whitespace.h - the words of a text as blanks part them; blanks at either end make no words.
 *
 * A blank is one of ASCII's six: space, \t, \n, \v, \f, \r. */
#ifndef SP_RESCORE_WHITESPACE_H
#define SP_RESCORE_WHITESPACE_H

#include "buf.h"

static inline bool sp_is_blank(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Cuts the first word off *rest; false when there is none. */
static inline bool sp_cut_word(struct sp_text *rest, struct sp_text *word) {
  size_t at = 0;
  while (at < rest->len && sp_is_blank(rest->data[at])) {
    at++;
  }
  size_t from = at;
  while (at < rest->len && !sp_is_blank(rest->data[at])) {
    at++;
  }
  *word = (struct sp_text){rest->data + from, at - from};
  *rest = (struct sp_text){rest->data + at, rest->len - at};
  return word->len > 0;
}

static inline size_t sp_count_words(struct sp_text text) {
  struct sp_text word;
  size_t n = 0;
  while (sp_cut_word(&text, &word)) {
    n++;
  }
  return n;
}

#endif
