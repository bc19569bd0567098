#include "archive.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "archive_detect.h"
#include "archive_espnet2.h"
#include "archive_reader.h"
#include "checked.h"
#include "file.h"
#include "kaldi_tables.h"

static const char *const format_names[] = {
#define X(name, option, text) option,
    X(SP_FORMAT_AUTO, "auto", "") SP_ARCHIVE_OUTPUT_MAP(X)
#undef X
};

static const struct sp_reader_format *const readers[] = {
    [SP_FORMAT_JSONL] = &sp_reader_jsonl,
    [SP_FORMAT_MLM] = &sp_reader_mlm,
    [SP_FORMAT_ESPNET2] = NULL, /* directories: struct sp_espnet2 */
    [SP_FORMAT_ESPNET1] = &sp_reader_espnet1,
    [SP_FORMAT_KALDI] = &sp_reader_kaldi,
    [SP_FORMAT_NEMO] = &sp_reader_nemo,
    [SP_FORMAT_NEMO_TSV] = &sp_reader_nemo_tsv,
    [SP_FORMAT_HYPORADISE] = &sp_reader_hyporadise,
    [SP_FORMAT_MOSES] = &sp_reader_moses,
    [SP_FORMAT_FAIRSEQ] = &sp_reader_fairseq,
    [SP_FORMAT_TSV] = &sp_reader_tsv,
    [SP_FORMAT_TRN] = &sp_reader_trn,
    [SP_FORMAT_KALDI_TEXT] = &sp_reader_kaldi_text,
    [SP_FORMAT_TEXT] = &sp_reader_text,
};

enum { n_formats = (int)(sizeof format_names / sizeof format_names[0]) };

struct sp_archive {
  enum sp_archive_format format;
  char **paths; /* (n_paths) */
  size_t n_paths, next_path;
  const char *path; /* of the open file, as given */
  struct sp_reader reader;
  struct sp_espnet2 *espnet2; /* the open directory */
  bool costs, texts_have_ids;
  bool one_source;               /* given open: there is no file to open again */
  bool at_utt;                   /* the last call handed an utterance out */
  bool moved;                    /* by a seek: the digests cannot be had any more */
  struct sp_archive_file *files; /* (n_files) finished; paths are owned */
  size_t n_files;
  struct sp_buf place;
};

const char *sp_archive_format_name(enum sp_archive_format format) {
  return (int)format >= 0 && (int)format < n_formats ? format_names[format] : "unknown";
}

/* One of format_names[first .. last]. */
static enum sp_status parse_format(const char *name, int first, int last,
                                   enum sp_archive_format *out, struct sp_error *err) {
  char known[256] = "";
  for (int i = first; i <= last; i++) {
    if (strcmp(name, format_names[i]) == 0) {
      *out = (enum sp_archive_format)i;
      return SP_OK;
    }
    size_t used = strlen(known);
    snprintf(known + used, sizeof known - used, "%s%s", i > first ? ", " : "", format_names[i]);
  }
  return sp_fail(err, SP_EUSAGE, "unknown archive format '%s'; known are %s", name, known);
}

enum sp_status sp_archive_format_parse(const char *name, enum sp_archive_format *out,
                                       struct sp_error *err) {
  return parse_format(name, SP_FORMAT_AUTO, SP_FORMAT_TEXT, out, err);
}

enum sp_status sp_archive_output_parse(const char *name, enum sp_archive_format *out,
                                       struct sp_error *err) {
  return parse_format(name, SP_FORMAT_JSONL, n_formats - 1, out, err);
}

static void close_file(struct sp_archive *archive) {
  const struct sp_reader_format *format = readers[archive->format];
  if (archive->reader.source && format && format->stop) {
    format->stop(&archive->reader);
  }
  archive->reader.records_before = archive->reader.records;
  archive->reader.lines_before = 0;
  archive->reader.has_pending = false;
  sp_source_close(archive->reader.source);
  archive->reader.source = NULL;
  sp_espnet2_close(archive->espnet2);
  archive->espnet2 = NULL;
}

void sp_archive_close(struct sp_archive *archive) {
  if (!archive) {
    return;
  }
  close_file(archive);
  sp_reader_release(&archive->reader);
  for (size_t i = 0; i < archive->n_paths; i++) {
    free(archive->paths[i]);
  }
  for (size_t i = 0; i < archive->n_files; i++) {
    free((char *)archive->files[i].path);
  }
  free(archive->paths);
  free(archive->files);
  sp_buf_release(&archive->place);
  free(archive);
}

/* Keeps path and digest of a file that was read. */
static enum sp_status add_file(struct sp_archive *archive, const char *path,
                               struct sp_source *source, struct sp_error *err) {
  struct sp_archive_file file;
  SP_TRY(sp_source_digest(source, &file.digest, err));
  size_t bytes = sp_mul_sat(archive->n_files + 1, sizeof file);
  struct sp_archive_file *files = realloc(archive->files, bytes);
  archive->files = files ? files : archive->files;
  file.path = strdup(path);
  if (!files || !file.path) {
    free((char *)file.path);
    return sp_fail_memory(err, bytes);
  }
  files[archive->n_files++] = file;
  return SP_OK;
}

static enum sp_status add_espnet2_file(void *context, struct sp_source *source,
                                       struct sp_error *err) {
  struct sp_archive *archive = context;
  return archive->moved ? SP_OK : add_file(archive, sp_source_path(source), source, err);
}

static enum sp_status copy_paths(struct sp_archive *archive, const char *const *paths,
                                 size_t n_paths, struct sp_error *err) {
  archive->paths = calloc(n_paths ? n_paths : 1, sizeof *archive->paths);
  if (!archive->paths) {
    return sp_fail_memory(err, sp_mul_sat(n_paths, sizeof *archive->paths));
  }
  for (; archive->n_paths < n_paths; archive->n_paths++) {
    char *copy = strdup(paths[archive->n_paths]);
    if (!copy) {
      return sp_fail_memory(err, strlen(paths[archive->n_paths]));
    }
    archive->paths[archive->n_paths] = copy;
  }
  return SP_OK;
}

static bool is_directory(const char *path) {
  return strcmp(path, "-") != 0 && sp_file_is_directory(path);
}

/* All paths must exist before the first is read, so that a typing error is told at once. */
static enum sp_status check_paths(struct sp_archive *archive, struct sp_error *err) {
  size_t n_directories = 0, n_standard_input = 0;
  if (archive->n_paths == 0) {
    return sp_fail(err, SP_EUSAGE, "no archive is given");
  }
  for (size_t i = 0; i < archive->n_paths; i++) {
    struct stat info;
    const char *path = archive->paths[i];
    bool standard_input = strcmp(path, "-") == 0;
    n_standard_input += standard_input;
    n_directories += is_directory(path);
    if (!standard_input && stat(path, &info) != 0) {
      return sp_fail_errno(err, SP_EIO, "cannot open %s", path);
    }
  }
  if (n_standard_input > 1) {
    return sp_fail(err, SP_EUSAGE, "standard input (-) is given twice");
  }
  if (archive->format == SP_FORMAT_AUTO && n_directories > 0) {
    archive->format = SP_FORMAT_ESPNET2;
  }
  bool want_directories = archive->format == SP_FORMAT_ESPNET2;
  for (size_t i = 0; i < archive->n_paths; i++) {
    if (is_directory(archive->paths[i]) != want_directories) {
      return sp_fail(
          err, SP_EUSAGE, "%s is %s directory, but %s archives are %s", archive->paths[i],
          want_directories ? "no" : "a",
          archive->format == SP_FORMAT_AUTO ? "other" : sp_archive_format_name(archive->format),
          want_directories ? "directories" : "files");
    }
  }
  return SP_OK;
}

/* Leaves SP_FORMAT_AUTO when the file is blank and there is a next one, which tells. */
static enum sp_status detect_format(struct sp_archive *archive, struct sp_error *err) {
  struct sp_source *source = archive->reader.source;
  SP_TRY(sp_archive_detect(source, archive->reader.json, &archive->format, err));
  if (archive->format == SP_FORMAT_AUTO && archive->next_path == archive->n_paths) {
    archive->format = SP_FORMAT_TEXT;
  }
  return archive->format == SP_FORMAT_TEXT && archive->texts_have_ids
             ? sp_archive_detect_ids(source, &archive->format, err)
             : SP_OK;
}

/* Makes the reader ready for its source; resolves the format at the first one. */
static enum sp_status start_source(struct sp_archive *archive, struct sp_error *err) {
  struct sp_reader *reader = &archive->reader;
  SP_TRY(sp_source_skip_bom(reader->source, err));
  if (archive->format == SP_FORMAT_AUTO) {
    SP_TRY(detect_format(archive, err));
  }
  if (archive->format == SP_FORMAT_AUTO) {
    return SP_OK;
  }
  const struct sp_reader_format *format = readers[archive->format];
  return format->start ? format->start(reader, err) : SP_OK;
}

/* Keeps the digest of what is open, if that can be had, whether it was read to its end or not, and
 * closes it. */
static enum sp_status end_file(struct sp_archive *archive, struct sp_error *err) {
  enum sp_status status = SP_OK;
  if (archive->espnet2 && !archive->moved) {
    status = sp_espnet2_finish(archive->espnet2, err);
  } else if (archive->reader.source && !archive->moved) {
    status = add_file(archive, archive->path, archive->reader.source, err);
  }
  close_file(archive);
  return status;
}

static enum sp_status open_next(struct sp_archive *archive, struct sp_error *err) {
  archive->path = archive->paths[archive->next_path++];
  if (archive->format == SP_FORMAT_ESPNET2) {
    return sp_espnet2_open(archive->path, add_espnet2_file, archive, &archive->espnet2, err);
  }
  SP_TRY(sp_source_open(archive->path, &archive->reader.source, err));
  SP_TRY(start_source(archive, err));
  if (archive->format == SP_FORMAT_AUTO) {
    SP_TRY(end_file(archive, err));
    return open_next(archive, err);
  }
  return SP_OK;
}

/* Options that only some formats take. */
static enum sp_status set_options(struct sp_archive *archive,
                                  const struct sp_archive_options *options, struct sp_error *err) {
  struct sp_reader *reader = &archive->reader;
  enum sp_archive_format format = options->format;
  if (options->tsv && format != SP_FORMAT_TSV) {
    return sp_fail(err, SP_EUSAGE, "--tsv goes with --format tsv");
  }
  if (options->tables && format != SP_FORMAT_KALDI) {
    return sp_fail(err, SP_EUSAGE, "--kaldi-scores goes with --format kaldi");
  }
  if ((options->beam_size > 0) != (format == SP_FORMAT_NEMO_TSV)) {
    return sp_fail(err, SP_EUSAGE,
                   options->beam_size > 0
                       ? "--beam-size goes with --format nemo-tsv"
                       : "--format nemo-tsv needs --beam-size, the number of lines "
                         "of an utterance, since the file does not tell");
  }
  archive->format = format;
  archive->costs = options->costs;
  archive->texts_have_ids = options->texts_have_ids;
  reader->beam_size = options->beam_size;
  SP_TRY(sp_tsv_columns_parse(options->tsv, &reader->columns, err));
  return options->tables ? sp_kaldi_tables_open(options->tables, &reader->tables, err) : SP_OK;
}

static enum sp_status create(const struct sp_archive_options *options, struct sp_archive **out,
                             struct sp_error *err) {
  struct sp_archive *archive = calloc(1, sizeof *archive);
  if (!archive) {
    return sp_fail_memory(err, sizeof *archive);
  }
  archive->reader.json = sp_json_create();
  enum sp_status status = archive->reader.json ? set_options(archive, options, err)
                                               : sp_fail_memory(err, sizeof *archive);
  if (status != SP_OK) {
    sp_archive_close(archive);
    return status;
  }
  *out = archive;
  return SP_OK;
}

enum sp_status sp_archive_open_with(const char *const *paths, size_t n_paths,
                                    const struct sp_archive_options *options,
                                    struct sp_archive **out, struct sp_error *err) {
  enum sp_status status;
  struct sp_archive *archive = NULL;
  SP_TRY(create(options, &archive, err));
  SP_TRY_GOTO(copy_paths(archive, paths, n_paths, err), close_archive);
  SP_TRY_GOTO(check_paths(archive, err), close_archive);
  SP_TRY_GOTO(open_next(archive, err), close_archive);
  *out = archive;
  return SP_OK;

close_archive:
  sp_archive_close(archive);
  return status;
}

enum sp_status sp_archive_open(const char *const *paths, size_t n_paths,
                               enum sp_archive_format format, struct sp_archive **out,
                               struct sp_error *err) {
  struct sp_archive_options options = {.format = format};
  return sp_archive_open_with(paths, n_paths, &options, out, err);
}

enum sp_status sp_archive_open_source_with(struct sp_source *source,
                                           const struct sp_archive_options *options,
                                           struct sp_archive **out, struct sp_error *err) {
  enum sp_status status;
  struct sp_archive *archive = NULL;
  if (options->format == SP_FORMAT_ESPNET2) {
    sp_source_close(source);
    return sp_fail(err, SP_EUSAGE, "an ESPnet2 archive is a directory, not one stream");
  }
  status = create(options, &archive, err);
  if (status != SP_OK) {
    sp_source_close(source);
    return status;
  }
  const char *path = sp_source_path(source);
  archive->reader.source = source;
  archive->one_source = true;
  SP_TRY_GOTO(copy_paths(archive, &path, 1, err), close_archive);
  archive->path = archive->paths[archive->next_path++];
  SP_TRY_GOTO(start_source(archive, err), close_archive);
  *out = archive;
  return SP_OK;

close_archive:
  sp_archive_close(archive);
  return status;
}

enum sp_status sp_archive_open_source(struct sp_source *source, enum sp_archive_format format,
                                      struct sp_archive **out, struct sp_error *err) {
  struct sp_archive_options options = {.format = format};
  return sp_archive_open_source_with(source, &options, out, err);
}

/* Costs become scores. */
static void negate(const struct sp_utt *utt) {
  for (size_t i = 0; i < utt->n_hyps; i++) {
    struct sp_hyp *hyp = (struct sp_hyp *)&utt->hyps[i]; /* the reader's own, as all it points to */
    struct sp_component *components = (struct sp_component *)hyp->components;
    hyp->score = 0 - hyp->score;
    for (size_t c = 0; c < hyp->n_components; c++) {
      components[c].value = 0 - components[c].value;
    }
  }
}

enum sp_archive_format sp_archive_get_format(const struct sp_archive *archive) {
  return archive->format;
}

enum sp_status sp_archive_next(struct sp_archive *archive, struct sp_utt *utt, bool *found,
                               struct sp_error *err) {
  archive->at_utt = false;
  for (;;) {
    *found = false;
    if (archive->espnet2) {
      SP_TRY(sp_espnet2_next(archive->espnet2, utt, found, err));
    } else if (archive->reader.source) {
      sp_arena_clear(&archive->reader.arena);
      SP_TRY(readers[archive->format]->next(&archive->reader, utt, found, err));
    }
    if (*found) {
      archive->reader.records++;
      archive->at_utt = true;
      if (archive->costs) {
        negate(utt);
      }
      return SP_OK;
    }
    SP_TRY(end_file(archive, err));
    if (archive->next_path == archive->n_paths) {
      return sp_kaldi_tables_end(archive->reader.tables, err);
    }
    SP_TRY(open_next(archive, err));
  }
}

/* Score tables are read in step with the text, from their starts. */
static bool can_seek(const struct sp_archive *archive) {
  return archive->format != SP_FORMAT_AUTO && !archive->reader.tables;
}

bool sp_archive_tell(const struct sp_archive *archive, struct sp_place *place) {
  const struct sp_reader *reader = &archive->reader;
  if (!archive->at_utt || !can_seek(archive) ||
      (reader->source && !sp_source_seekable(reader->source))) {
    return false;
  }
  *place = (struct sp_place){.file = archive->next_path - 1,
                             .stored = reader->begin.stored,
                             .raw = reader->begin.raw,
                             .line = reader->begin.line,
                             .records = reader->records - 1,
                             .offset = reader->begin.offset};
  if (archive->espnet2) {
    sp_espnet2_tell(archive->espnet2, place);
  }
  return true;
}

static bool is_pending(const struct sp_reader *reader, const struct sp_source_place *place) {
  return reader->has_pending && reader->pending_place.stored == place->stored &&
         reader->pending_place.raw == place->raw && reader->pending_place.line == place->line;
}

/* Opens a file to be sought in: neither its beginning nor its byte order mark is looked at. */
static enum sp_status open_to_seek(struct sp_archive *archive, size_t file, struct sp_error *err) {
  const struct sp_reader_format *format = readers[archive->format];
  close_file(archive);
  archive->path = archive->paths[file];
  archive->next_path = file + 1;
  if (archive->format == SP_FORMAT_ESPNET2) {
    return sp_espnet2_open(archive->path, add_espnet2_file, archive, &archive->espnet2, err);
  }
  SP_TRY(sp_source_open(archive->path, &archive->reader.source, err));
  return format->start ? format->start(&archive->reader, err) : SP_OK;
}

/* Makes what stands at the place the next utterance of the open file. */
static enum sp_status seek_in_file(struct sp_archive *archive, const struct sp_place *place,
                                   struct sp_error *err) {
  struct sp_reader *reader = &archive->reader;
  struct sp_source_place at = {place->stored, place->raw, place->line, 0};
  if (archive->espnet2) {
    return sp_espnet2_seek(archive->espnet2, place, err);
  }
  if (reader->members) {
    return sp_json_members_seek(reader->members, &at, err);
  }
  if (is_pending(reader, &at)) {
    return SP_OK; /* the source has passed it */
  }
  reader->has_pending = false;
  return sp_source_seek(reader->source, &at, err);
}

enum sp_status sp_archive_seek(struct sp_archive *archive, const struct sp_place *place,
                               struct sp_error *err) {
  struct sp_reader *reader = &archive->reader;
  if (!can_seek(archive)) {
    return sp_fail(err, SP_EUSAGE, "%s can only be read from its start", archive->paths[0]);
  }
  if (place->file >= archive->n_paths) {
    return sp_fail(err, SP_EINPUT, "file %llu of the archive is wanted, which has %zu",
                   (unsigned long long)place->file + 1, archive->n_paths);
  }
  if (!reader->source && archive->one_source) {
    return sp_fail(err, SP_EUSAGE, "%s was read to its end and is closed", archive->paths[0]);
  }
  archive->moved = true;
  archive->at_utt = false;
  bool is_open = reader->source || archive->espnet2;
  if (!is_open || archive->next_path != place->file + 1) {
    SP_TRY(open_to_seek(archive, (size_t)place->file, err));
  }
  SP_TRY(seek_in_file(archive, place, err));
  reader->records = reader->records_before = place->records;
  reader->lines_before = place->line;
  return SP_OK;
}

/* After a seek only the open file is known, at its place. */
static size_t opened_since_seek(const struct sp_archive *archive, uint64_t *stamps, size_t room) {
  const struct sp_source *source = archive->reader.source;
  size_t n = archive->format == SP_FORMAT_ESPNET2 ? 0 : sp_min_size(archive->next_path, room);
  for (size_t i = 0; i < n; i++) {
    bool open = source && i + 1 == archive->next_path;
    stamps[i] = open ? sp_source_opened_stamp(source) : 0;
  }
  return n;
}

size_t sp_archive_opened(const struct sp_archive *archive, uint64_t *stamps, size_t room) {
  size_t n = 0;
  if (archive->moved) {
    return opened_since_seek(archive, stamps, room);
  }
  for (; n < archive->n_files && n < room; n++) {
    stamps[n] = archive->files[n].digest.stamp;
  }
  if (!archive->espnet2 && archive->reader.source && n < room) {
    stamps[n++] = sp_source_opened_stamp(archive->reader.source);
  }
  return n;
}

const char *sp_archive_place(struct sp_archive *archive) {
  struct sp_reader *reader = &archive->reader;
  uint64_t line = reader->line;
  const char *path = archive->path;
  if (archive->espnet2) {
    path = sp_espnet2_place(archive->espnet2, &line);
  } else if (reader->source) {
    path = sp_source_path(reader->source);
  }
  sp_buf_clear(&archive->place);
  if (sp_buf_printf(&archive->place, NULL, "%s:%llu", path, (unsigned long long)line) != SP_OK ||
      !sp_buf_cstr(&archive->place)) {
    return path;
  }
  return archive->place.data;
}

enum sp_status sp_archive_files(struct sp_archive *archive, const struct sp_archive_file **files,
                                size_t *n_files, struct sp_error *err) {
  archive->at_utt = false;
  if (archive->moved) {
    return sp_fail(err, SP_EUSAGE, "%s was not read from its start: it has no digest",
                   archive->paths[0]);
  }
  SP_TRY(end_file(archive, err));
  while (archive->next_path < archive->n_paths) {
    SP_TRY(open_next(archive, err));
    SP_TRY(end_file(archive, err));
  }
  *files = archive->files;
  *n_files = archive->n_files;
  return SP_OK;
}

enum sp_status sp_archive_open_text(const char *path, enum sp_archive_format format,
                                    struct sp_archive **out, struct sp_error *err) {
  SP_TRY(sp_archive_open(&path, 1, format, out, err));
  format = sp_archive_get_format(*out);
  if (format == SP_FORMAT_TEXT) {
    return SP_OK;
  }
  sp_archive_close(*out);
  *out = NULL;
  return sp_fail(err, SP_EINPUT,
                 "%s: text is wanted, one sentence a line, and this looks like %s (--format text "
                 "reads it as text)",
                 path, sp_archive_format_name(format));
}
