/* archive_reader.h - what the archive formats share; private to formats/.
 *
 * A format is a table of three calls over struct sp_reader. archive.c opens the files one after the
 * other and runs start, next until *found is false, stop for each; the state lives on between
 * files. What the calls put into *utt stays valid until the next call. */
#ifndef SP_FORMATS_ARCHIVE_READER_H
#define SP_FORMATS_ARCHIVE_READER_H

#include "archive.h"
#include "json_fast.h"
#include "json_members.h"

struct sp_reader {
  struct sp_json *json;
  struct sp_source *source;        /* the file being read; archive.c owns it */
  struct sp_json_members *members; /* mlm: over the source */
  uint64_t line;                   /* of the utterance last handed out */
  struct sp_text utt;              /* mlm: the id of the utterance being read, for messages */
  uint64_t lines_before;           /* text: lines in the files before this one */
  char number[24];                 /* text: the id */
  struct sp_hyp *hyps;             /* (hyps_capacity) reused for every utterance */
  size_t hyps_capacity;
};

struct sp_reader_format {
  enum sp_status (*start)(struct sp_reader *reader, struct sp_error *err); /* (optional) */
  enum sp_status (*next)(struct sp_reader *reader, struct sp_utt *utt, bool *found,
                         struct sp_error *err);
  void (*stop)(struct sp_reader *reader); /* (optional) */
};

extern const struct sp_reader_format sp_reader_jsonl;
extern const struct sp_reader_format sp_reader_mlm;
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

/* Reads one hypothesis object, {"text":..,"score":..}; `rank` from 0 is for the message. */
SP_MUST_CHECK enum sp_status sp_reader_hyp(struct sp_reader *reader, struct sp_json_value value,
                                           size_t rank, struct sp_hyp *hyp, struct sp_error *err);

/* A "ref" member: a string or null. */
SP_MUST_CHECK enum sp_status sp_reader_ref(struct sp_reader *reader, struct sp_json_value value,
                                           struct sp_utt *utt, struct sp_error *err);

#endif
