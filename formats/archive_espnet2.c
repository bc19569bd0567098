#include "archive_espnet2.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive_reader.h"
#include "checked.h"
#include "file.h"
#include "utf8_valid.h"

struct list {
  struct sp_source *text, *score; /* score NULL: the list has none */
  bool pending;                   /* id and hyp hold an utterance that was not handed out */
  bool taken;                     /* .. or one that was: the next call reads on */
  struct sp_text id;
  struct sp_hyp hyp;
};

struct sp_espnet2 {
  sp_espnet2_done_fn done;
  void *context;
  struct sp_espnet2_dirs dirs;
  size_t next_dir;
  struct list *lists; /* (n_lists) of the open group */
  size_t n_lists;
  struct sp_hyp *hyps; /* (n_lists) */
  struct sp_source *refs;
  char *place; /* path of the last utterance; its list may be closed since */
  uint64_t line;
  uint64_t before,
      passed;         /* bytes of ids and texts of the group, without and with the last utterance */
  uint64_t ref_lines; /* of refs before the last utterance's */
};

enum sp_status sp_espnet2_create(sp_espnet2_done_fn done, void *context, struct sp_espnet2 **out,
                                 struct sp_error *err) {
  struct sp_espnet2 *reader = calloc(1, sizeof *reader);
  if (!reader) {
    return sp_fail_memory(err, sizeof *reader);
  }
  reader->done = done;
  reader->context = context;
  *out = reader;
  return SP_OK;
}

static enum sp_status open_refs(struct sp_espnet2 *reader, struct sp_error *err) {
  if (!reader->dirs.ref_path) {
    return SP_OK;
  }
  SP_TRY(sp_source_open(reader->dirs.ref_path, &reader->refs, err));
  return sp_source_skip_bom(reader->refs, err);
}

enum sp_status sp_espnet2_open(const char *path, sp_espnet2_done_fn done, void *context,
                               struct sp_espnet2 **out, struct sp_error *err) {
  enum sp_status status;
  struct sp_espnet2 *reader = NULL;
  SP_TRY(sp_espnet2_create(done, context, &reader, err));
  SP_TRY_GOTO(sp_espnet2_find(path, &reader->dirs, err), close_reader);
  SP_TRY_GOTO(open_refs(reader, err), close_reader);
  *out = reader;
  return SP_OK;

close_reader:
  sp_espnet2_close(reader);
  return status;
}

static void close_lists(struct sp_espnet2 *reader) {
  for (size_t i = 0; i < reader->n_lists; i++) {
    sp_source_close(reader->lists[i].text);
    sp_source_close(reader->lists[i].score);
  }
  reader->n_lists = 0;
}

void sp_espnet2_close(struct sp_espnet2 *reader) {
  if (!reader) {
    return;
  }
  close_lists(reader);
  sp_source_close(reader->refs);
  sp_espnet2_dirs_release(&reader->dirs);
  free(reader->lists);
  free(reader->hyps);
  free(reader->place);
  free(reader);
}

enum sp_status sp_espnet2_add_list(struct sp_espnet2 *reader, struct sp_source *text,
                                   struct sp_source *score, struct sp_error *err) {
  size_t n = reader->n_lists + 1;
  struct list *lists = realloc(reader->lists, sp_mul_sat(n, sizeof *lists));
  reader->lists = lists ? lists : reader->lists;
  struct sp_hyp *hyps = realloc(reader->hyps, sp_mul_sat(n, sizeof *hyps));
  reader->hyps = hyps ? hyps : reader->hyps;
  if (!lists || !hyps) {
    sp_source_close(text);
    sp_source_close(score);
    return sp_fail_memory(err, sp_mul_sat(n, sizeof *lists));
  }
  lists[n - 1] = (struct list){.text = text, .score = score, .taken = true};
  reader->n_lists = n;
  SP_TRY(sp_source_skip_bom(text, err));
  return score ? sp_source_skip_bom(score, err) : SP_OK;
}

void sp_espnet2_set_refs(struct sp_espnet2 *reader, struct sp_source *refs) {
  reader->refs = refs;
}

bool sp_espnet2_score(struct sp_text text, double *score) {
  struct sp_text prefix = SP_TEXT_LITERAL("tensor(");
  while (text.len > 0 && text.data[text.len - 1] == ' ') {
    text.len--;
  }
  if (text.len > prefix.len && memcmp(text.data, prefix.data, prefix.len) == 0) {
    if (text.data[text.len - 1] != ')') {
      return false;
    }
    text.data += prefix.len;
    text.len -= prefix.len + 1;
    const char *comma = text.len > 0 ? memchr(text.data, ',', text.len) : NULL;
    text.len = comma ? (size_t)(comma - text.data) : text.len;
  }
  return sp_number_parse(text, score);
}

static enum sp_status fail_at(const struct sp_source *source, const char *reason,
                              struct sp_error *err) {
  return sp_fail(err, SP_EINPUT, "%s:%llu: %s", sp_source_path(source),
                 (unsigned long long)sp_source_line_number(source), reason);
}

static enum sp_status fail_id(const struct sp_source *source, struct sp_text id, const char *reason,
                              struct sp_error *err) {
  return sp_fail(err, SP_EINPUT, "%s:%llu: utterance %.*s %s", sp_source_path(source),
                 (unsigned long long)sp_source_line_number(source), (int)sp_min_size(id.len, 200),
                 id.data, reason);
}

/* One "id value" line; the value may be empty. */
static enum sp_status read_pair(struct sp_source *source, struct sp_text *id, struct sp_text *value,
                                bool *found, struct sp_error *err) {
  struct sp_text line;
  SP_TRY(sp_source_line(source, SP_RECORD_CEILING, &line, found, err));
  if (!*found) {
    return SP_OK;
  }
  size_t cut = 0;
  while (cut < line.len && line.data[cut] != ' ' && line.data[cut] != '\t') {
    cut++;
  }
  size_t skip = cut < line.len ? cut + 1 : cut;
  *id = (struct sp_text){line.data, cut};
  *value = (struct sp_text){line.data + skip, line.len - skip};
  const char *fault = sp_id_fault(*id);
  if (!fault && !sp_utf8_valid(*value)) {
    fault = "invalid UTF-8";
  }
  if (!fault && value->len > 0 && memchr(value->data, '\0', value->len)) {
    fault = "a NUL byte";
  }
  return fault ? fail_at(source, fault, err) : SP_OK;
}

static enum sp_status read_score(struct list *list, bool text_found, struct sp_error *err) {
  struct sp_text id, value;
  bool found;
  SP_TRY(read_pair(list->score, &id, &value, &found, err));
  if (!found) {
    return text_found ? sp_fail(err, SP_EINPUT, "%s: ends early: no score for utterance %.*s",
                                sp_source_path(list->score), (int)sp_min_size(list->id.len, 200),
                                list->id.data)
                      : SP_OK;
  }
  if (!text_found || !sp_text_equal(id, list->id)) {
    return fail_id(list->score, id, "is not the one on this line of the file text", err);
  }
  list->hyp.has_score = sp_espnet2_score(value, &list->hyp.score);
  return list->hyp.has_score ? SP_OK : fail_at(list->score, "not a finite number", err);
}

static enum sp_status read_on(struct list *list, struct sp_error *err) {
  list->taken = false;
  list->hyp = (struct sp_hyp){0};
  SP_TRY(read_pair(list->text, &list->id, &list->hyp.text, &list->pending, err));
  return list->score ? read_score(list, list->pending, err) : SP_OK;
}

/* After the last utterance of 1best_recog the other lists must be at their ends. */
static enum sp_status check_ends(const struct sp_espnet2 *reader, struct sp_error *err) {
  for (size_t i = 1; i < reader->n_lists; i++) {
    if (reader->lists[i].pending) {
      return fail_id(reader->lists[i].text, reader->lists[i].id,
                     "is not in 1best_recog, or not in its order", err);
    }
  }
  return SP_OK;
}

static enum sp_status take_hyps(struct sp_espnet2 *reader, struct sp_utt *utt,
                                struct sp_error *err) {
  size_t n = 0;
  reader->before = reader->passed;
  for (size_t i = 0; i < reader->n_lists; i++) {
    struct list *list = &reader->lists[i];
    if (!list->pending || !sp_text_equal(list->id, utt->id)) {
      continue;
    }
    if (n != i) {
      return fail_id(list->text, list->id, "is missing in the list before", err);
    }
    list->taken = true;
    reader->passed += list->id.len + list->hyp.text.len;
    reader->hyps[n++] = list->hyp;
  }
  utt->hyps = reader->hyps;
  utt->n_hyps = n;
  return SP_OK;
}

/* References are in the archive's order, so reading on from the last one must find this one. */
static enum sp_status take_ref(struct sp_espnet2 *reader, struct sp_utt *utt,
                               struct sp_error *err) {
  struct sp_text id;
  bool found;
  reader->ref_lines = sp_source_line_number(reader->refs);
  do {
    SP_TRY(read_pair(reader->refs, &id, &utt->ref, &found, err));
    if (!found) {
      return sp_fail(err, SP_EINPUT,
                     "%s: no reference for utterance %.*s; every utterance needs one, in the order "
                     "of the lists",
                     sp_source_path(reader->refs), (int)sp_min_size(utt->id.len, 200),
                     utt->id.data);
    }
  } while (!sp_text_equal(id, utt->id));
  utt->has_ref = true;
  return SP_OK;
}

/* Without its reference. */
static enum sp_status next_in_group(struct sp_espnet2 *reader, struct sp_utt *utt, bool *found,
                                    struct sp_error *err) {
  struct list *first = &reader->lists[0];
  for (size_t i = 0; i < reader->n_lists; i++) {
    if (reader->lists[i].taken) {
      SP_TRY(read_on(&reader->lists[i], err));
    }
  }
  *found = first->pending;
  if (!*found) {
    return check_ends(reader, err);
  }
  *utt = (struct sp_utt){.id = first->id};
  reader->line = sp_source_line_number(first->text);
  return take_hyps(reader, utt, err);
}

/* Opens dir/{k}best_recog/name. A missing file gives NULL when it may be missing. */
static enum sp_status open_file(const char *dir, size_t k, const char *name, bool optional,
                                struct sp_source **out, struct sp_error *err) {
  struct sp_buf path = {0};
  enum sp_status status;
  *out = NULL;
  SP_TRY_GOTO(sp_buf_printf(&path, err, "%s/%zubest_recog/%s", dir, k, name), release_path);
  if (!sp_buf_cstr(&path)) {
    status = sp_fail_memory(err, path.len);
  } else if (!optional || sp_file_exists(path.data)) {
    status = sp_source_open(path.data, out, err);
  }

release_path:
  sp_buf_release(&path);
  return status;
}

static enum sp_status open_group(struct sp_espnet2 *reader, const char *dir, struct sp_error *err) {
  size_t n_lists;
  bool scored = false;
  reader->passed = 0;
  SP_TRY(sp_espnet2_count_lists(dir, &n_lists, err));
  for (size_t k = 1; k <= n_lists; k++) {
    struct sp_source *text = NULL, *score = NULL;
    SP_TRY(open_file(dir, k, "text", false, &text, err));
    enum sp_status status = open_file(dir, k, "score", !scored, &score, err);
    if (status != SP_OK) {
      sp_source_close(text);
      return status;
    }
    scored = scored || score;
    SP_TRY(sp_espnet2_add_list(reader, text, score, err));
  }
  char *place = strdup(n_lists > 0 ? sp_source_path(reader->lists[0].text) : dir);
  free(reader->place);
  reader->place = place;
  return place ? SP_OK : sp_fail_memory(err, strlen(dir));
}

/* Hands a finished group's files over and closes them. */
static enum sp_status end_group(struct sp_espnet2 *reader, struct sp_error *err) {
  enum sp_status status = SP_OK;
  for (size_t i = 0; i < reader->n_lists && status == SP_OK; i++) {
    status = reader->done(reader->context, reader->lists[i].text, err);
    if (status == SP_OK && reader->lists[i].score) {
      status = reader->done(reader->context, reader->lists[i].score, err);
    }
  }
  close_lists(reader);
  return status;
}

static enum sp_status end_refs(struct sp_espnet2 *reader, struct sp_error *err) {
  enum sp_status status = reader->refs ? reader->done(reader->context, reader->refs, err) : SP_OK;
  sp_source_close(reader->refs);
  reader->refs = NULL;
  return status;
}

enum sp_status sp_espnet2_next(struct sp_espnet2 *reader, struct sp_utt *utt, bool *found,
                               struct sp_error *err) {
  *found = false;
  for (;;) {
    if (reader->n_lists > 0) {
      SP_TRY(next_in_group(reader, utt, found, err));
      if (*found) {
        return reader->refs ? take_ref(reader, utt, err) : SP_OK;
      }
      SP_TRY(end_group(reader, err));
    }
    if (reader->next_dir == reader->dirs.n_dirs) {
      return end_refs(reader, err);
    }
    SP_TRY(open_group(reader, reader->dirs.dirs[reader->next_dir++], err));
  }
}

enum sp_status sp_espnet2_finish(struct sp_espnet2 *reader, struct sp_error *err) {
  SP_TRY(end_group(reader, err));
  while (reader->next_dir < reader->dirs.n_dirs) {
    SP_TRY(open_group(reader, reader->dirs.dirs[reader->next_dir++], err));
    SP_TRY(end_group(reader, err));
  }
  return end_refs(reader, err);
}

void sp_espnet2_tell(const struct sp_espnet2 *reader, struct sp_place *place) {
  place->stored = reader->next_dir - 1;
  place->raw = reader->before;
  place->line = reader->ref_lines;
}

/* Makes the reference behind `lines` lines the next one. */
static enum sp_status seek_ref(struct sp_espnet2 *reader, uint64_t lines, struct sp_error *err) {
  struct sp_text line;
  bool found = true;
  if (!reader->refs || sp_source_line_number(reader->refs) > lines) {
    sp_source_close(reader->refs);
    reader->refs = NULL;
    SP_TRY(open_refs(reader, err));
  }
  while (reader->refs && found && sp_source_line_number(reader->refs) < lines) {
    SP_TRY(sp_source_line(reader->refs, SP_RECORD_CEILING, &line, &found, err));
  }
  return SP_OK; /* a file that ends before has no reference for the utterance */
}

enum sp_status sp_espnet2_seek(struct sp_espnet2 *reader, const struct sp_place *place,
                               struct sp_error *err) {
  struct sp_utt utt;
  bool found;
  if (place->stored >= reader->dirs.n_dirs) {
    return sp_fail(err, SP_EINPUT, "group %llu of the directory is wanted, which has %zu",
                   (unsigned long long)place->stored + 1, reader->dirs.n_dirs);
  }
  SP_TRY(seek_ref(reader, place->line, err));
  bool on_the_way =
      reader->n_lists > 0 && reader->next_dir == place->stored + 1 && reader->passed <= place->raw;
  if (!on_the_way) {
    close_lists(reader);
    reader->next_dir = (size_t)place->stored + 1;
    SP_TRY(open_group(reader, reader->dirs.dirs[place->stored], err));
  }
  found = reader->n_lists > 0;
  while (found && reader->passed < place->raw) {
    SP_TRY(next_in_group(reader, &utt, &found, err));
  }
  return found && reader->passed == place->raw
             ? SP_OK
             : sp_fail(err, SP_EINPUT,
                       "%s: has no utterance at the place that is wanted: not the file it was",
                       reader->place);
}

const char *sp_espnet2_place(const struct sp_espnet2 *reader, uint64_t *line) {
  *line = reader->line;
  return reader->place ? reader->place : "";
}
