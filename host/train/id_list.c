#include "id_list.h"

#include <stdlib.h>
#include <string.h>

#include "archive.h"
#include "checked.h"
#include "source.h"

struct entry {
  struct sp_text id; /* into the list's bytes, once they are complete */
  size_t start;      /* there */
  uint64_t line;     /* of the file */
  bool seen;
};

struct sp_id_list {
  char *path;
  struct sp_buf bytes;
  struct sp_buf entries; /* struct entry, sorted by id */
  size_t n;
};

static int compare(const void *a, const void *b) {
  const struct entry *left = a, *right = b;
  size_t common = sp_min_size(left->id.len, right->id.len);
  int order = common ? memcmp(left->id.data, right->id.data, common) : 0;
  return order ? order : (left->id.len > right->id.len) - (left->id.len < right->id.len);
}

static struct entry *entries_of(const struct sp_id_list *list) {
  return (struct entry *)list->entries.data;
}

static enum sp_status add_line(struct sp_id_list *list, struct sp_text line, uint64_t number,
                               struct sp_error *err) {
  while (line.len > 0 && strchr(" \t\r", line.data[line.len - 1])) {
    line.len--;
  }
  if (line.len == 0) {
    return SP_OK;
  }
  struct entry entry = {.id = line, .start = list->bytes.len, .line = number};
  SP_TRY(sp_buf_append(&list->bytes, line.data, line.len, err));
  return sp_buf_append(&list->entries, &entry, sizeof entry, err);
}

static enum sp_status read_lines(struct sp_id_list *list, struct sp_source *source,
                                 struct sp_error *err) {
  SP_TRY(sp_source_skip_bom(source, err));
  for (;;) {
    struct sp_text line;
    bool found;
    SP_TRY(sp_source_line(source, SP_RECORD_CEILING, &line, &found, err));
    if (!found) {
      return SP_OK;
    }
    SP_TRY(add_line(list, line, sp_source_line_number(source), err));
  }
}

static void sort_entries(struct sp_id_list *list) {
  struct entry *entries = entries_of(list);
  size_t n = list->entries.len / sizeof *entries;
  for (size_t i = 0; i < n; i++) {
    entries[i].id.data = list->bytes.data + entries[i].start;
  }
  qsort(entries, n, sizeof *entries, compare);
  for (size_t i = 0; i < n; i++) {
    if (list->n == 0 || compare(&entries[list->n - 1], &entries[i]) != 0) {
      entries[list->n++] = entries[i];
    }
  }
}

enum sp_status sp_id_list_read(const char *path, struct sp_id_list **out, struct sp_error *err) {
  struct sp_source *source = NULL;
  struct sp_id_list *list = calloc(1, sizeof *list);
  enum sp_status status = SP_OK;
  *out = list;
  if (!list || !(list->path = strdup(path))) {
    status = sp_fail_memory(err, strlen(path));
    goto release;
  }
  SP_TRY_GOTO(sp_source_open(path, &source, err), release);
  SP_TRY_GOTO(read_lines(list, source, err), release);
  if (list->entries.len == 0) {
    status = sp_fail(err, SP_EINPUT, "%s names no utterance", path);
    goto release;
  }
  sort_entries(list);
release:
  sp_source_close(source);
  if (status != SP_OK) {
    sp_id_list_destroy(list);
    *out = NULL;
  }
  return status;
}

void sp_id_list_destroy(struct sp_id_list *list) {
  if (list) {
    free(list->path);
    sp_buf_release(&list->bytes);
    sp_buf_release(&list->entries);
    free(list);
  }
}

bool sp_id_list_has(struct sp_id_list *list, struct sp_text id) {
  struct entry wanted = {.id = id};
  struct entry *entry = bsearch(&wanted, entries_of(list), list->n, sizeof wanted, compare);
  if (entry) {
    entry->seen = true;
  }
  return entry != NULL;
}

enum sp_status sp_id_list_check_all_seen(const struct sp_id_list *list, struct sp_error *err) {
  const struct entry *entries = entries_of(list), *first = NULL;
  for (size_t i = 0; i < list->n; i++) {
    if (!entries[i].seen && (!first || entries[i].line < first->line)) {
      first = &entries[i];
    }
  }
  return !first ? SP_OK
                : sp_fail(err, SP_EINPUT, "%s:%llu: no utterance of the data has the id '%.*s'",
                          list->path, (unsigned long long)first->line,
                          (int)sp_min_size(first->id.len, 200), first->id.data);
}
