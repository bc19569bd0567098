#include "kaldi_tables.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "archive.h"
#include "checked.h"
#include "json_fast.h"

enum { most_tables = 16 };

struct table {
  char *name; /* owned */
  struct sp_source *source;
};

struct sp_kaldi_tables {
  struct table tables[most_tables];
  size_t n;
};

enum sp_status sp_named_file_cut(const char *option, const char **rest, struct sp_text *name,
                                 struct sp_text *file, bool *more, struct sp_error *err) {
  const char *at = *rest;
  size_t len = strcspn(at, ",");
  *more = *at != '\0';
  if (!*more) {
    return SP_OK;
  }
  const char *equals = memchr(at, '=', len);
  *name = (struct sp_text){at, equals ? (size_t)(equals - at) : 0};
  if (name->len == 0 || name->len + 1 == len) {
    return sp_fail(err, SP_EUSAGE, "%s: '%.*s' is no NAME=FILE", option, (int)len, at);
  }
  *file = (struct sp_text){equals + 1, len - name->len - 1};
  *rest = at + len + (at[len] == ',');
  return SP_OK;
}

static enum sp_status open_table(struct sp_kaldi_tables *tables, struct sp_text name,
                                 struct sp_text file, struct sp_error *err) {
  if (tables->n == most_tables) {
    return sp_fail(err, SP_EUSAGE, "more than %d score tables", most_tables);
  }
  for (size_t i = 0; i < tables->n; i++) {
    if (sp_text_equal(sp_kaldi_tables_name(tables, i), name)) {
      return sp_fail(err, SP_EUSAGE, "score table %.*s is given twice", (int)name.len, name.data);
    }
  }
  struct table *table = &tables->tables[tables->n];
  char *path = strndup(file.data, file.len);
  table->name = strndup(name.data, name.len);
  tables->n++;
  enum sp_status status = path && table->name ? sp_source_open(path, &table->source, err)
                                              : sp_fail_memory(err, file.len);
  free(path);
  return status == SP_OK ? sp_source_skip_bom(table->source, err) : status;
}

enum sp_status sp_kaldi_tables_open(const char *spec, struct sp_kaldi_tables **out,
                                    struct sp_error *err) {
  struct sp_kaldi_tables *tables = calloc(1, sizeof *tables);
  enum sp_status status;
  bool more = true;
  if (!tables) {
    return sp_fail_memory(err, sizeof *tables);
  }
  while (more) {
    struct sp_text name = {0}, file = {0};
    SP_TRY_GOTO(sp_named_file_cut("--kaldi-scores", &spec, &name, &file, &more, err), close_tables);
    if (more) {
      SP_TRY_GOTO(open_table(tables, name, file, err), close_tables);
    }
  }
  *out = tables;
  return SP_OK;

close_tables:
  sp_kaldi_tables_close(tables);
  return status;
}

void sp_kaldi_tables_close(struct sp_kaldi_tables *tables) {
  if (!tables) {
    return;
  }
  for (size_t i = 0; i < tables->n; i++) {
    free(tables->tables[i].name);
    sp_source_close(tables->tables[i].source);
  }
  free(tables);
}

size_t sp_kaldi_tables_count(const struct sp_kaldi_tables *tables) {
  return tables ? tables->n : 0;
}

struct sp_text sp_kaldi_tables_name(const struct sp_kaldi_tables *tables, size_t index) {
  const char *name = tables->tables[index].name;
  return (struct sp_text){name, strlen(name)};
}

static size_t word_end(struct sp_text line, size_t at) {
  while (at < line.len && line.data[at] != ' ' && line.data[at] != '\t') {
    at++;
  }
  return at;
}

/* The sum of the numbers of `line` from `at`; false when there is none, or something else. */
static bool sum_numbers(struct sp_text line, size_t at, double *sum) {
  size_t n = 0;
  *sum = 0;
  while (at < line.len) {
    size_t end = word_end(line, at);
    double value;
    if (end > at) {
      if (!sp_number_parse((struct sp_text){line.data + at, end - at}, &value)) {
        return false;
      }
      *sum += value;
      n++;
    }
    at = end + 1;
  }
  return n > 0 && isfinite(*sum);
}

static enum sp_status fail_at(const struct sp_source *source, struct sp_error *err,
                              const char *reason) {
  return sp_fail(err, SP_EINPUT, "%s:%llu: %s", sp_source_path(source),
                 (unsigned long long)sp_source_line_number(source), reason);
}

enum sp_status sp_kaldi_tables_read(struct sp_kaldi_tables *tables, size_t index,
                                    struct sp_text key, double *value, struct sp_error *err) {
  struct sp_source *source = tables->tables[index].source;
  struct sp_text line;
  bool found;
  SP_TRY(sp_source_line(source, SP_RECORD_CEILING, &line, &found, err));
  if (!found) {
    return sp_fail(err, SP_EINPUT, "%s: ends early: no value for %.*s", sp_source_path(source),
                   (int)sp_min_size(key.len, 200), key.data);
  }
  size_t end = word_end(line, 0);
  if (!sp_text_equal((struct sp_text){line.data, end}, key)) {
    return sp_fail(err, SP_EINPUT,
                   "%s:%llu: the line is not that of %.*s, which is next in the text",
                   sp_source_path(source), (unsigned long long)sp_source_line_number(source),
                   (int)sp_min_size(key.len, 200), key.data);
  }
  return sum_numbers(line, end, value) ? SP_OK
                                       : fail_at(source, err, "not a list of finite numbers");
}

enum sp_status sp_kaldi_tables_end(struct sp_kaldi_tables *tables, struct sp_error *err) {
  for (size_t i = 0; i < sp_kaldi_tables_count(tables); i++) {
    struct sp_text line;
    bool found;
    SP_TRY(sp_source_line(tables->tables[i].source, SP_RECORD_CEILING, &line, &found, err));
    if (found) {
      return fail_at(tables->tables[i].source, err, "not in the text, which has ended");
    }
  }
  return SP_OK;
}
