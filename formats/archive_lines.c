#include "archive_lines.h"

#include <string.h>

#include "checked.h"

bool sp_text_cut(struct sp_text *rest, struct sp_text mark, struct sp_text *head) {
  const char *at = rest->len > 0 ? memmem(rest->data, rest->len, mark.data, mark.len) : NULL;
  *head = (struct sp_text){rest->data, at ? (size_t)(at - rest->data) : rest->len};
  size_t used = head->len + (at ? mark.len : 0);
  *rest = (struct sp_text){rest->data + used, rest->len - used};
  return at != NULL;
}

bool sp_text_cut_word(struct sp_text *rest, struct sp_text *head) {
  size_t cut = 0;
  while (cut < rest->len && rest->data[cut] != ' ' && rest->data[cut] != '\t') {
    cut++;
  }
  size_t used = cut < rest->len ? cut + 1 : cut;
  *head = (struct sp_text){rest->data, cut};
  *rest = (struct sp_text){rest->data + used, rest->len - used};
  return used > cut;
}

enum sp_status sp_lines_add_hyp(struct sp_reader *reader, struct sp_utt *utt, struct sp_hyp **hyp,
                                struct sp_error *err) {
  SP_TRY(sp_reader_reserve(reader, utt->n_hyps + 1, err));
  utt->hyps = reader->hyps;
  *hyp = &reader->hyps[utt->n_hyps++];
  **hyp = (struct sp_hyp){0};
  return SP_OK;
}

enum sp_status sp_lines_set_ref(struct sp_reader *reader, struct sp_utt *utt, struct sp_text ref,
                                struct sp_error *err) {
  if (utt->has_ref && !sp_text_equal(utt->ref, ref)) {
    return sp_reader_fail(reader, err, "the reference differs from the one before");
  }
  utt->ref = ref;
  utt->has_ref = true;
  return SP_OK;
}

/* The next line: the one that was put back, or one of the file. */
static enum sp_status take_line(struct sp_reader *reader, struct sp_text *line, bool *found,
                                struct sp_error *err) {
  if (reader->has_pending) {
    *line = reader->pending;
    *found = true;
    reader->has_pending = false;
    reader->line = sp_source_line_number(reader->source); /* it is the last one read */
    reader->begin = reader->pending_place;
    return SP_OK;
  }
  SP_TRY(sp_reader_line(reader, line, found, err));
  return *found ? sp_reader_check_text(reader, *line, err) : SP_OK;
}

static enum sp_status keep_line(struct sp_reader *reader, struct sp_text *line, size_t *bytes,
                                struct sp_error *err) {
  const char *copy;
  if (line->len > SP_RECORD_CEILING - *bytes) {
    return sp_reader_fail(reader, err, "the utterance is longer than %zu bytes", SP_RECORD_CEILING);
  }
  copy = sp_arena_copy(&reader->arena, line->data, line->len);
  *bytes += line->len;
  line->data = copy;
  return copy ? SP_OK : sp_fail_memory(err, line->len);
}

/* The id of the utterance's first line, which has been kept. */
static enum sp_status begin(struct sp_reader *reader, const struct sp_line_format *format,
                            struct sp_text line, struct sp_utt *utt, struct sp_error *err) {
  SP_TRY(format->id(reader, line, &utt->id, err));
  const char *fault = sp_id_fault(utt->id);
  if (fault) {
    return sp_reader_fail(reader, err, "%s", fault);
  }
  reader->utt = utt->id;
  return SP_OK;
}

enum sp_status sp_lines_next(struct sp_reader *reader, const struct sp_line_format *format,
                             struct sp_utt *utt, bool *found, struct sp_error *err) {
  struct sp_text line, id;
  size_t bytes = 0;
  uint64_t first_line = 0;
  struct sp_source_place first_place = {0};
  bool more;
  *utt = (struct sp_utt){0};
  *found = false;
  reader->utt.len = 0;
  for (;;) {
    SP_TRY(take_line(reader, &line, &more, err));
    if (!more) {
      break;
    }
    SP_TRY(format->id(reader, line, &id, err));
    if (!id.data) {
      continue;
    }
    if (*found && !sp_text_equal(id, utt->id)) {
      reader->pending = line;
      reader->pending_place = reader->begin;
      reader->has_pending = true;
      break;
    }
    SP_TRY(keep_line(reader, &line, &bytes, err));
    if (!*found) {
      SP_TRY(begin(reader, format, line, utt, err));
      first_line = reader->line;
      first_place = reader->begin;
      *found = true;
    }
    SP_TRY(format->add(reader, line, utt, err));
  }
  reader->line = *found ? first_line : reader->line;
  reader->begin = first_place;
  return SP_OK;
}
