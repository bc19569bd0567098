/* writer_format.h - what the output formats share; private to formats/.
 *
 * A format is a table over struct sp_archive_writer.  put appends an utterance to `buf`, which is
 * written out between the calls; it sees only what the format holds, and counts what else it drops. */
#ifndef SP_FORMATS_WRITER_FORMAT_H
#define SP_FORMATS_WRITER_FORMAT_H

#include "archive_writer.h"
#include "sink.h"
#include "tsv_columns.h"

enum sp_holds {
  SP_HOLDS_LISTS = 1, /* all hypotheses; else the first one */
  SP_HOLDS_EMPTY = 2, /* an utterance without hypotheses; else it is left out */
  SP_HOLDS_REF = 4,
  SP_HOLDS_SCORE = 8,
  SP_HOLDS_COMPONENTS = 16,
  SP_HOLDS_RANK = 32,
  SP_HOLDS_TOTAL = 64,
  SP_HOLDS_FIELDS = 128, /* of hypotheses */
  SP_HOLDS_UTT_FIELDS = 256,
  SP_HOLDS_ALL = 511,
  SP_HOLDS_ONE_TEXT = 512 /* trn and the like: an empty list becomes an empty text */
};

enum { SP_MOST_TABLES = 16, SP_MOST_LOSSES = 64 };

/* A Kaldi score table. */
struct sp_table_out {
  struct sp_text name; /* in options.tables */
  struct sp_sink *sink;
  struct sp_buf buf;
};

struct sp_archive_writer {
  struct sp_archive_writer_options options;
  const struct sp_writer_format *format;
  struct sp_sink *sink; /* NULL: the format opens its own files */
  struct sp_buf buf;
  uint64_t utts;    /* put so far */
  bool begun;       /* something was written */
  bool renumbers;   /* ids are positions, as those of the archive are no numbers */
  size_t list_size; /* nemo-tsv: hypotheses of every utterance */
  struct sp_tsv_columns columns;
  struct sp_table_out tables[SP_MOST_TABLES];
  size_t n_tables;
  void *state; /* espnet2 */
  struct sp_loss losses[SP_MOST_LOSSES];
  size_t n_losses;
  struct sp_error failure; /* of a put; status SP_OK: none */
};

struct sp_writer_format {
  unsigned holds; /* enum sp_holds */
  bool own_files;
  enum sp_status (*start)(struct sp_archive_writer *w, const char *path,
                          struct sp_error *err); /* (optional) */
  enum sp_status (*put)(struct sp_archive_writer *w, const struct sp_utt *utt,
                        struct sp_error *err);
  /* (optional) appends what ends the document, or publishes own files */
  enum sp_status (*finish)(struct sp_archive_writer *w, struct sp_error *err);
  void (*stop)(struct sp_archive_writer *w); /* (optional) frees, removes what is not published */
};

extern const struct sp_writer_format sp_writer_jsonl;
extern const struct sp_writer_format sp_writer_mlm;
extern const struct sp_writer_format sp_writer_espnet2;
extern const struct sp_writer_format sp_writer_espnet1;
extern const struct sp_writer_format sp_writer_kaldi;
extern const struct sp_writer_format sp_writer_nemo;
extern const struct sp_writer_format sp_writer_nemo_tsv;
extern const struct sp_writer_format sp_writer_hyporadise;
extern const struct sp_writer_format sp_writer_moses;
extern const struct sp_writer_format sp_writer_fairseq;
extern const struct sp_writer_format sp_writer_tsv;
extern const struct sp_writer_format sp_writer_trn;
extern const struct sp_writer_format sp_writer_kaldi_text;
extern const struct sp_writer_format sp_writer_text;
extern const struct sp_writer_format sp_writer_hf_regression;

/* SP_EINPUT "utterance ID: message". */
enum sp_status sp_writer_fail(const struct sp_utt *utt, struct sp_error *err, const char *format,
                              ...) SP_PRINTF(3, 4);

/* Counts `count` dropped things called `what`, with a name behind it when `name` is not empty. */
SP_MUST_CHECK enum sp_status sp_writer_lose(struct sp_archive_writer *w, const struct sp_utt *utt,
                                            const char *what, struct sp_text name, uint64_t count,
                                            struct sp_error *err);

/* These append to w->buf. */
SP_MUST_CHECK enum sp_status sp_writer_raw(struct sp_archive_writer *w, const char *literal,
                                           struct sp_error *err);
SP_MUST_CHECK enum sp_status sp_writer_bytes(struct sp_archive_writer *w, struct sp_text text,
                                             struct sp_error *err);
SP_MUST_CHECK enum sp_status sp_writer_number(struct sp_archive_writer *w, double value,
                                              struct sp_error *err);
/* A score or component, negated when the output has costs. */
SP_MUST_CHECK enum sp_status sp_writer_score(struct sp_archive_writer *w, double value,
                                             struct sp_error *err);
SP_MUST_CHECK enum sp_status sp_writer_string(struct sp_archive_writer *w, struct sp_text text,
                                              struct sp_error *err);
/* "key": with a comma before it unless `first`. */
SP_MUST_CHECK enum sp_status sp_writer_key(struct sp_archive_writer *w, bool first,
                                           struct sp_text key, struct sp_error *err);

/* SP_EINPUT when `text` has a line break or NUL, or one of the bytes of `forbidden`; `what` is "text",
 * "reference", "id". */
SP_MUST_CHECK enum sp_status sp_writer_check(const struct sp_utt *utt, const char *what,
                                             struct sp_text text, const char *forbidden,
                                             struct sp_error *err);

/* The members of a JSON hypothesis beside text, score and ref, each with a comma before it; those
 * whose names the format needs itself (`reserved`, ends with NULL) are dropped and counted. */
SP_MUST_CHECK enum sp_status sp_writer_members(struct sp_archive_writer *w,
                                               const struct sp_utt *utt, const struct sp_hyp *hyp,
                                               const char *const *reserved, struct sp_error *err);
/* The same of an utterance, each with a comma behind it; `prefix` (NULL: none) begins further
 * names that are the format's. */
SP_MUST_CHECK enum sp_status sp_writer_utt_members(struct sp_archive_writer *w,
                                                   const struct sp_utt *utt,
                                                   const char *const *reserved, const char *prefix,
                                                   struct sp_error *err);

/* The id of a format that numbers its sentences from `base`: the archive's own when the first one is
 * a number, else the position, and the ids are counted as lost. Digits are put at `out`. */
SP_MUST_CHECK enum sp_status sp_writer_sentence_number(struct sp_archive_writer *w,
                                                       const struct sp_utt *utt, uint64_t base,
                                                       char out[24], struct sp_text *id,
                                                       struct sp_error *err);
/* Counts an id that is not the position from 1, in a format without ids. */
SP_MUST_CHECK enum sp_status sp_writer_drop_id(struct sp_archive_writer *w,
                                               const struct sp_utt *utt, struct sp_error *err);
/* SP_EINPUT unless every hypothesis has a score. */
SP_MUST_CHECK enum sp_status sp_writer_need_scores(const struct sp_utt *utt, struct sp_error *err);

#endif
