#include "hyp_source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "transcripts.h"

struct sp_hyp_source {
  struct sp_archive *archive; /* or: */
  struct sp_transcripts *transcripts;
  struct sp_hyp hyp; /* of a transcript */
  struct sp_buf place;
};

void sp_hyp_source_close(struct sp_hyp_source *source) {
  if (source) {
    sp_archive_close(source->archive);
    sp_transcripts_close(source->transcripts);
    sp_buf_release(&source->place);
    free(source);
  }
}

static bool is_directory(const char *path) {
  struct stat info;
  return strcmp(path, "-") != 0 && stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static enum sp_status looks_like_archive(struct sp_source *source, bool *archive,
                                         struct sp_error *err) {
  struct sp_text head;
  SP_TRY(sp_source_skip_bom(source, err));
  SP_TRY(sp_source_peek(source, 4096, &head, err));
  size_t i = 0;
  while (i < head.len && memchr(" \t\r\n", head.data[i], 4)) {
    i++;
  }
  *archive = i < head.len && (head.data[i] == '{' || head.data[i] == '[');
  return SP_OK;
}

static enum sp_status transcript_format(const char *format, enum sp_transcript_format *out) {
  *out = strcmp(format, "trn") == 0          ? SP_TRANSCRIPT_TRN
         : strcmp(format, "kaldi-text") == 0 ? SP_TRANSCRIPT_KALDI
                                             : SP_TRANSCRIPT_AUTO;
  return SP_OK;
}

/* One file, or standard input, of whatever kind. */
static enum sp_status open_file(struct sp_hyp_source *out, const char *path, const char *format,
                                struct sp_error *err) {
  struct sp_source *source;
  bool archive = false;
  enum sp_transcript_format transcripts;
  SP_TRY(transcript_format(format, &transcripts));
  SP_TRY(sp_source_open(path, &source, err));
  if (transcripts == SP_TRANSCRIPT_AUTO) {
    enum sp_status status = looks_like_archive(source, &archive, err);
    if (status != SP_OK) {
      sp_source_close(source);
      return status;
    }
  }
  return archive ? sp_archive_open_source(source, SP_FORMAT_AUTO, &out->archive, err)
                 : sp_transcripts_open_source(source, transcripts, &out->transcripts, err);
}

static enum sp_status open_archive(struct sp_hyp_source *out, const char *const *paths,
                                   size_t n_paths, const char *name, struct sp_error *err) {
  enum sp_archive_format format;
  SP_TRY(sp_archive_format_parse(name, &format, err));
  SP_TRY(sp_archive_open(paths, n_paths, format, &out->archive, err));
  if (sp_archive_get_format(out->archive) == SP_FORMAT_TEXT) {
    return sp_fail(err, SP_EUSAGE,
                   "%s: %s has no utterance ids to find references by; give one file of trn or "
                   "Kaldi text, or archives",
                   paths[0], n_paths > 1 ? "what is no archive" : "plain text");
  }
  return SP_OK;
}

enum sp_status sp_hyp_source_open(const char *const *paths, size_t n_paths, const char *format,
                                  struct sp_hyp_source **out, struct sp_error *err) {
  struct sp_hyp_source *source = calloc(1, sizeof *source);
  if (!source) {
    return sp_fail_memory(err, sizeof *source);
  }
  const char *name = format ? format : "auto";
  bool told =
      strcmp(name, "auto") != 0 && strcmp(name, "trn") != 0 && strcmp(name, "kaldi-text") != 0;
  bool one_file = n_paths == 1 && !is_directory(paths[0]);
  enum sp_status status = one_file && !told ? open_file(source, paths[0], name, err)
                                            : open_archive(source, paths, n_paths, name, err);
  if (status != SP_OK) {
    sp_hyp_source_close(source);
    return status;
  }
  *out = source;
  return SP_OK;
}

enum sp_status sp_hyp_source_next(struct sp_hyp_source *source, struct sp_utt *utt, bool *found,
                                  struct sp_error *err) {
  if (source->archive) {
    return sp_archive_next(source->archive, utt, found, err);
  }
  struct sp_text id, text;
  SP_TRY(sp_transcripts_next(source->transcripts, &id, &text, found, err));
  if (*found) {
    source->hyp = (struct sp_hyp){.text = text};
    *utt = (struct sp_utt){.id = id, .hyps = &source->hyp, .n_hyps = 1};
  }
  return SP_OK;
}

const char *sp_hyp_source_place(struct sp_hyp_source *source) {
  if (source->archive) {
    return sp_archive_place(source->archive);
  }
  const char *path = sp_transcripts_path(source->transcripts);
  sp_buf_clear(&source->place);
  if (sp_buf_printf(&source->place, NULL, "%s:%llu", path,
                    (unsigned long long)sp_transcripts_line(source->transcripts)) != SP_OK) {
    return path;
  }
  const char *place = sp_buf_cstr(&source->place);
  return place ? place : path;
}

bool sp_hyp_source_is_text(const struct sp_hyp_source *source) {
  return source->transcripts != NULL;
}
