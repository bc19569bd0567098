#include "tsv_columns.h"

#include <stdlib.h>
#include <string.h>

#include "utf8_valid.h"

void sp_tsv_columns_release(struct sp_tsv_columns *columns) {
  free(columns->spec);
  *columns = (struct sp_tsv_columns){0};
}

/* A column number, 0 when it is none. */
static size_t parse_number(struct sp_text digits) {
  size_t number = 0;
  for (size_t i = 0; i < digits.len; i++) {
    if (digits.data[i] < '0' || digits.data[i] > '9' || i == 3) {
      return 0;
    }
    number = number * 10 + (size_t)(digits.data[i] - '0');
  }
  return number;
}

static size_t *known_column(struct sp_tsv_columns *columns, struct sp_text name) {
  return sp_text_equal(name, SP_TEXT_LITERAL("id"))      ? &columns->id
         : sp_text_equal(name, SP_TEXT_LITERAL("text"))  ? &columns->text
         : sp_text_equal(name, SP_TEXT_LITERAL("score")) ? &columns->score
         : sp_text_equal(name, SP_TEXT_LITERAL("ref"))   ? &columns->ref
                                                         : NULL;
}

static bool is_named(const struct sp_tsv_columns *columns, struct sp_text name) {
  for (size_t i = 1; i <= SP_TSV_COLUMNS; i++) {
    if (sp_text_equal(columns->components[i], name)) {
      return true;
    }
  }
  return false;
}

static bool is_taken(const struct sp_tsv_columns *columns, size_t column) {
  return column == columns->id || column == columns->text || column == columns->score ||
         column == columns->ref || columns->components[column].len > 0;
}

static enum sp_status add(struct sp_tsv_columns *columns, struct sp_text word,
                          struct sp_error *err) {
  if (sp_text_equal(word, SP_TEXT_LITERAL("header"))) {
    columns->header = true;
    return SP_OK;
  }
  const char *equals = word.len > 0 ? memchr(word.data, '=', word.len) : NULL;
  struct sp_text name = {word.data, equals ? (size_t)(equals - word.data) : 0};
  struct sp_text digits = {equals ? equals + 1 : "", equals ? word.len - name.len - 1 : 0};
  size_t column = parse_number(digits);
  if (name.len == 0 || column == 0 || column > SP_TSV_COLUMNS) {
    return sp_fail(err, SP_EUSAGE, "--tsv: '%.*s' is no NAME=COLUMN with a column from 1 to %d",
                   (int)word.len, word.data, SP_TSV_COLUMNS);
  }
  size_t *known = known_column(columns, name);
  if (is_taken(columns, column) || (known ? *known > 0 : is_named(columns, name))) {
    return sp_fail(err, SP_EUSAGE, "--tsv: '%.*s' names a column or a value twice", (int)word.len,
                   word.data);
  }
  if (known) {
    *known = column;
  } else {
    columns->components[column] = name;
  }
  columns->last = column > columns->last ? column : columns->last;
  return SP_OK;
}

static enum sp_status parse(struct sp_tsv_columns *columns, struct sp_error *err) {
  if (!sp_utf8_valid((struct sp_text){columns->spec, strlen(columns->spec)})) {
    return sp_fail(err, SP_EUSAGE, "--tsv is not valid UTF-8");
  }
  for (const char *at = columns->spec;;) {
    struct sp_text word = {at, strcspn(at, ",")};
    SP_TRY(add(columns, word, err));
    at += word.len;
    if (*at++ == '\0') {
      break;
    }
  }
  return columns->text > 0 ? SP_OK : sp_fail(err, SP_EUSAGE, "--tsv names no column for text");
}

enum sp_status sp_tsv_columns_parse(const char *spec, struct sp_tsv_columns *out,
                                    struct sp_error *err) {
  *out = (struct sp_tsv_columns){.spec = strdup(spec ? spec : SP_TSV_DEFAULT)};
  if (!out->spec) {
    return sp_fail_memory(err, 0);
  }
  enum sp_status status = parse(out, err);
  if (status != SP_OK) {
    sp_tsv_columns_release(out);
  }
  return status;
}
