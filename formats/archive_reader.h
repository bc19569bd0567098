/* archive_reader.h - what the archive formats share; private to formats/.
 *
 * A format is a table of three calls over struct sp_reader. archive.c opens the files one after the
 * other and runs start, next until *found is false, stop for each; the state lives on between
 * files. next sets reader->line and begin, and goes on from wherever a seek led it. What the calls put into *utt stays valid until the next call. */
#ifndef SP_FORMATS_ARCHIVE_READER_H
#define SP_FORMATS_ARCHIVE_READER_H

#include "archive.h"
#include "arena.h"
#include "json_fast.h"
#include "json_members.h"
#include "tsv_columns.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sp_kaldi_tables;

struct sp_reader {
  struct sp_json *json;
  struct sp_source *source;        /* the file being read; archive.c owns it */
  struct sp_json_members *members; /* JSON documents: over the source */
  uint64_t line;                   /* of the utterance last handed out */
  struct sp_text utt;              /* the id of the utterance being read, for messages */
  struct sp_source_place begin;    /* where it begins */
  uint64_t records;                /* utterances of the archive handed out, or passed by a seek */
  uint64_t records_before;         /* .. when the file was opened or sought in */
  uint64_t lines_before;           /* the file's lines that were passed by a seek */
  char number[24];                 /* the id of a record that has only a position */
  struct sp_arena arena;           /* members and copied lines; cleared for every utterance */
  struct sp_hyp *hyps;             /* (hyps_capacity) reused for every utterance */
  size_t hyps_capacity;
  struct sp_text pending; /* formats of lines: the first one of the next utterance */
  struct sp_source_place pending_place;
  bool has_pending;
  struct sp_tsv_columns columns;  /* tsv */
  struct sp_kaldi_tables *tables; /* kaldi; NULL: none */
  size_t beam_size;               /* nemo-tsv */
};

struct sp_reader_format {
  enum sp_status (*start)(struct sp_reader *reader, struct sp_error *err); /* (optional) */
  enum sp_status (*next)(struct sp_reader *reader, struct sp_utt *utt, bool *found,
                         struct sp_error *err);
  void (*stop)(struct sp_reader *reader); /* (optional) */
};

extern const struct sp_reader_format sp_reader_jsonl;
extern const struct sp_reader_format sp_reader_mlm;
extern const struct sp_reader_format sp_reader_espnet1;
extern const struct sp_reader_format sp_reader_kaldi;
extern const struct sp_reader_format sp_reader_nemo;
extern const struct sp_reader_format sp_reader_nemo_tsv;
extern const struct sp_reader_format sp_reader_hyporadise;
extern const struct sp_reader_format sp_reader_moses;
extern const struct sp_reader_format sp_reader_fairseq;
extern const struct sp_reader_format sp_reader_tsv;
extern const struct sp_reader_format sp_reader_trn;
extern const struct sp_reader_format sp_reader_kaldi_text;
extern const struct sp_reader_format sp_reader_text;

/* Frees what the formats keep; not the source. */
void sp_reader_release(struct sp_reader *reader);

/* SP_EINPUT "path:line: <message>", at the reader's line, naming its utterance if known. */
enum sp_status sp_reader_fail(const struct sp_reader *reader, struct sp_error *err,
                              const char *format, ...) SP_PRINTF(3, 4);

/* Makes room for `n` hypotheses, keeping those that are there. */
SP_MUST_CHECK enum sp_status sp_reader_reserve(struct sp_reader *reader, size_t n,
                                               struct sp_error *err);

/* The reason why `id` cannot name an utterance, or NULL. */
const char *sp_id_fault(struct sp_text id);

/* The text without spaces, tabs and \r at its end. */
struct sp_text sp_text_trim_end(struct sp_text text);

/* SP_EINPUT when `text` has a NUL byte or invalid UTF-8, which no text format may. */
SP_MUST_CHECK enum sp_status sp_reader_check_text(const struct sp_reader *reader,
                                                  struct sp_text text, struct sp_error *err);

/* The id of the next record, in an archive without ids. */
struct sp_text sp_reader_number(struct sp_reader *reader);

/* The next line of the file, which becomes the reader's; *found is false at the end. */
SP_MUST_CHECK enum sp_status sp_reader_line(struct sp_reader *reader, struct sp_text *line,
                                            bool *found, struct sp_error *err);
/* The next line that is not blank, parsed; *found is false at the end. */
SP_MUST_CHECK enum sp_status sp_reader_json_line(struct sp_reader *reader,
                                                 struct sp_json_value *root, bool *found,
                                                 struct sp_error *err);
/* The next member of the file's JSON document, parsed; *found is false at the end. */
SP_MUST_CHECK enum sp_status sp_reader_json_member(struct sp_reader *reader,
                                                   struct sp_json_value *root, bool *found,
                                                   struct sp_error *err);

/* Adds a member to `hyp`, which is one of reader->hyps.  SP_EINPUT when it has one of that name, or
 * too many. Names and texts must live as long as the utterance; the JSON value is copied. */
SP_MUST_CHECK enum sp_status sp_reader_add_component(struct sp_reader *reader, struct sp_hyp *hyp,
                                                     struct sp_text name, double value,
                                                     struct sp_error *err);
SP_MUST_CHECK enum sp_status sp_reader_add_field(struct sp_reader *reader, struct sp_hyp *hyp,
                                                 struct sp_text name, struct sp_text json,
                                                 struct sp_error *err);
SP_MUST_CHECK enum sp_status sp_reader_add_utt_field(struct sp_reader *reader, struct sp_utt *utt,
                                                     struct sp_text name, struct sp_text json,
                                                     struct sp_error *err);
/* The JSON string of a text, or a JSON value, in the arena. */
SP_MUST_CHECK enum sp_status sp_reader_quote(struct sp_reader *reader, struct sp_text text,
                                             struct sp_text *json, struct sp_error *err);

/* A member without meaning for the format: i, total, a component when it is a number, else a
 * field. */
SP_MUST_CHECK enum sp_status sp_reader_hyp_member(struct sp_reader *reader, struct sp_text key,
                                                  struct sp_json_value value, struct sp_hyp *hyp,
                                                  struct sp_error *err);
SP_MUST_CHECK enum sp_status sp_reader_utt_member(struct sp_reader *reader, struct sp_text key,
                                                  struct sp_json_value value, struct sp_utt *utt,
                                                  struct sp_error *err);

/* Reads one hypothesis object into `hyp`, one of reader->hyps: its text is called `text_key`. */
SP_MUST_CHECK enum sp_status sp_reader_hyp(struct sp_reader *reader, struct sp_json_value value,
                                           struct sp_text text_key, struct sp_hyp *hyp,
                                           struct sp_error *err);

/* A string, or a score that may be null (*has is false then); NULL or what is wrong. */
const char *sp_reader_string(const struct sp_reader *reader, struct sp_json_value value,
                             struct sp_text *out);
const char *sp_reader_score(struct sp_json_value value, double *score, bool *has);

/* A "ref" member, called `key`: a string or null. */
SP_MUST_CHECK enum sp_status sp_reader_ref(struct sp_reader *reader, const char *key,
                                           struct sp_json_value value, struct sp_utt *utt,
                                           struct sp_error *err);

#ifdef __cplusplus
}
#endif
#endif
