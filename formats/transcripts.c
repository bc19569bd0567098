#include "transcripts.h"

#include <stdlib.h>
#include <string.h>

#include "archive_reader.h"
#include "utf8_valid.h"

struct sp_transcripts {
  struct sp_source *source;
  enum sp_transcript_format format;
};

enum sp_status sp_transcripts_open_source(struct sp_source *source,
                                          enum sp_transcript_format format,
                                          struct sp_transcripts **out, struct sp_error *err) {
  struct sp_transcripts *transcripts = calloc(1, sizeof *transcripts);
  if (!transcripts) {
    sp_source_close(source);
    return sp_fail_memory(err, sizeof *transcripts);
  }
  *transcripts = (struct sp_transcripts){.source = source, .format = format};
  enum sp_status status = sp_source_skip_bom(source, err);
  if (status != SP_OK) {
    sp_transcripts_close(transcripts);
    return status;
  }
  *out = transcripts;
  return SP_OK;
}

enum sp_status sp_transcripts_open(const char *path, enum sp_transcript_format format,
                                   struct sp_transcripts **out, struct sp_error *err) {
  struct sp_source *source;
  SP_TRY(sp_source_open(path, &source, err));
  return sp_transcripts_open_source(source, format, out, err);
}

void sp_transcripts_close(struct sp_transcripts *transcripts) {
  if (transcripts) {
    sp_source_close(transcripts->source);
    free(transcripts);
  }
}

const char *sp_transcripts_path(const struct sp_transcripts *transcripts) {
  return sp_source_path(transcripts->source);
}

uint64_t sp_transcripts_line(const struct sp_transcripts *transcripts) {
  return sp_source_line_number(transcripts->source);
}

enum sp_transcript_format sp_transcripts_get_format(const struct sp_transcripts *transcripts) {
  return transcripts->format;
}

static bool is_blank(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

static struct sp_text trim(struct sp_text text) {
  while (text.len > 0 && is_blank(text.data[text.len - 1])) {
    text.len--;
  }
  while (text.len > 0 && is_blank(text.data[0])) {
    text.data++;
    text.len--;
  }
  return text;
}

static enum sp_status fail(const struct sp_transcripts *transcripts, const char *reason,
                           struct sp_error *err) {
  return sp_fail(err, SP_EINPUT, "%s:%llu: %s", sp_transcripts_path(transcripts),
                 (unsigned long long)sp_transcripts_line(transcripts), reason);
}

static enum sp_status check_bytes(const struct sp_transcripts *transcripts, struct sp_text line,
                                  struct sp_error *err) {
  if (memchr(line.data, '\0', line.len)) {
    return fail(transcripts, "a NUL byte: this is not a text file", err);
  }
  return sp_utf8_valid(line) ? SP_OK : fail(transcripts, "invalid UTF-8", err);
}

/* "words (id)" cut in two; false when the line is not so. It is trimmed and not empty. */
static bool cut_trn(struct sp_text line, struct sp_text *id, struct sp_text *text) {
  if (line.data[line.len - 1] != ')') {
    return false;
  }
  const char *open = memrchr(line.data, '(', line.len);
  if (!open || (open > line.data && !is_blank(open[-1]))) {
    return false;
  }
  *id = trim((struct sp_text){open + 1, (size_t)(line.data + line.len - 1 - (open + 1))});
  *text = trim((struct sp_text){line.data, (size_t)(open - line.data)});
  for (size_t i = 0; i < id->len; i++) {
    if (is_blank(id->data[i])) {
      return false;
    }
  }
  return true;
}

static void cut_kaldi(struct sp_text line, struct sp_text *id, struct sp_text *text) {
  size_t n = 0;
  while (n < line.len && !is_blank(line.data[n])) {
    n++;
  }
  *id = (struct sp_text){line.data, n};
  *text = trim((struct sp_text){line.data + n, line.len - n});
}

/* A word of sclite's markup, NULL when there is none. */
static const char *find_markup(struct sp_text text) {
  for (size_t i = 0; i < text.len;) {
    size_t start = i;
    while (i < text.len && !is_blank(text.data[i])) {
      i++;
    }
    if (i - start == 1 && strchr("{}@", text.data[start])) {
      return text.data[start] == '@' ? "sclite's empty word @ is not read; leave it out"
                                     : "sclite's alternations { a / b } are not read";
    }
    i += i < text.len;
  }
  return NULL;
}

static enum sp_status cut(struct sp_transcripts *transcripts, struct sp_text line,
                          struct sp_text *id, struct sp_text *text, struct sp_error *err) {
  bool trn = transcripts->format != SP_TRANSCRIPT_KALDI && cut_trn(line, id, text);
  if (transcripts->format == SP_TRANSCRIPT_AUTO) {
    transcripts->format = trn ? SP_TRANSCRIPT_TRN : SP_TRANSCRIPT_KALDI;
  }
  if (transcripts->format == SP_TRANSCRIPT_KALDI) {
    cut_kaldi(line, id, text);
  } else if (!trn) {
    return fail(transcripts, "no utterance id in parentheses at the end of the line", err);
  } else if (find_markup(*text)) {
    return fail(transcripts, find_markup(*text), err);
  }
  const char *fault = sp_id_fault(*id);
  return fault ? fail(transcripts, fault, err) : SP_OK;
}

static bool is_comment(const struct sp_transcripts *transcripts, struct sp_text line) {
  return transcripts->format != SP_TRANSCRIPT_KALDI && line.len >= 2 && line.data[0] == ';' &&
         line.data[1] == ';';
}

enum sp_status sp_transcripts_next(struct sp_transcripts *transcripts, struct sp_text *id,
                                   struct sp_text *text, bool *found, struct sp_error *err) {
  struct sp_text line;
  do {
    SP_TRY(sp_source_line(transcripts->source, SP_RECORD_CEILING, &line, found, err));
    if (!*found) {
      return SP_OK;
    }
    line = trim(line);
  } while (line.len == 0 || is_comment(transcripts, line));
  SP_TRY(check_bytes(transcripts, line, err));
  return cut(transcripts, line, id, text, err);
}
