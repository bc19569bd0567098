/* archive.h - N-best archives in every input format, one utterance at a time.
 *
 * Flow       sp_archive_open, sp_archive_next until *found is false, sp_archive_files,
 *            sp_archive_close.  Or from places that an earlier reading told: open, seek, next.
 * Order      utterances come in the order of the files and within a file; hypotheses in original
 *            rank order (hyp_k is rank k-1, whatever the file's key order).
 * Memory     bounded by the largest record (64 MiB); ESPnet2 directories are read in step, all
 *            their {k}best_recog files at once.
 * Errors     SP_EINPUT with "path:line: reason" (or path and byte offset of compressed data);
 *            SP_EIO when a file cannot be opened or read; SP_EUSAGE for an unknown format name or
 *            a mix that cannot be read.  After a failure only close is allowed.
 * Ids        are not empty, valid UTF-8 and free of control characters; whether one comes twice is
 *            for the caller to find out (id_set.h).
 * Threads    an archive belongs to one thread at a time. */
#ifndef SP_FORMATS_ARCHIVE_H
#define SP_FORMATS_ARCHIVE_H

#include "source.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SP_RECORD_CEILING ((size_t)64 << 20)

/* name on the command line, what it is */
#define SP_NBEST_FORMAT_MAP(X)                                                             \
  X(SP_FORMAT_JSONL, "jsonl", "own archive, one utterance a line")                         \
  X(SP_FORMAT_MLM, "mlm", "mlm-scoring JSON, one object of all utterances")                \
  X(SP_FORMAT_ESPNET2, "espnet2", "ESPnet2 directory with {k}best_recog/{text,score}")     \
  X(SP_FORMAT_ESPNET1, "espnet1", "ESPnet1 JSON, {\"utts\":{..}}")                         \
  X(SP_FORMAT_KALDI, "kaldi", "Kaldi N-best text, 'utt-n words', scores in tables beside") \
  X(SP_FORMAT_NEMO, "nemo", "NeMo manifest with \"beams\"")                                \
  X(SP_FORMAT_NEMO_TSV, "nemo-tsv", "NeMo beams, 'text TAB score', equal lists, no ids")   \
  X(SP_FORMAT_HYPORADISE, "hyporadise", "HyPoradise JSON, [{\"input\":[..]}]")             \
  X(SP_FORMAT_MOSES, "moses", "Moses N-best, 'id ||| text ||| features ||| total'")        \
  X(SP_FORMAT_FAIRSEQ, "fairseq", "fairseq-generate output, S-, T-, H-, D-, P- lines")     \
  X(SP_FORMAT_TSV, "tsv", "columns parted by tabs")                                        \
  X(SP_FORMAT_TRN, "trn", "SCTK transcript, 'words (id)'")                                 \
  X(SP_FORMAT_KALDI_TEXT, "kaldi-text", "Kaldi text, 'id words'")                          \
  X(SP_FORMAT_TEXT, "text", "plain text, one sentence a line")
/* what can be read */
#define SP_ARCHIVE_FORMAT_MAP(X)                     \
  X(SP_FORMAT_AUTO, "auto", "told from the content") \
  SP_NBEST_FORMAT_MAP(X)
/* what can be written */
#define SP_ARCHIVE_OUTPUT_MAP(X) \
  SP_NBEST_FORMAT_MAP(X)         \
  X(SP_FORMAT_HF_REGRESSION, "hf-regression", "a hypothesis a line, for regression trainers")

enum sp_archive_format {
#define X(name, option, text) name,
  X(SP_FORMAT_AUTO, "auto", "") SP_ARCHIVE_OUTPUT_MAP(X)
#undef X
};

const char *sp_archive_format_name(enum sp_archive_format format);
SP_MUST_CHECK enum sp_status sp_archive_format_parse(const char *name, enum sp_archive_format *out,
                                                     struct sp_error *err);
/* As above for an output: no auto. */
SP_MUST_CHECK enum sp_status sp_archive_output_parse(const char *name, enum sp_archive_format *out,
                                                     struct sp_error *err);

/* Named members of one hypothesis, or of one utterance: components and fields together; a reader
 * refuses more. */
#define SP_MEMBERS_CEILING 256

/* A named number of a hypothesis, {"ctc":-3.1}: a part of the first-pass total, or a later score. */
struct sp_component {
  struct sp_text name; /* not empty; once in a hypothesis, fields included */
  double value;        /* finite */
};

/* A member that means nothing to us and is kept for the formats that can hold it. */
struct sp_field {
  struct sp_text name; /* may be empty */
  struct sp_text json; /* its value, one valid JSON value on one line */
};

/* The first of fields (n) that has this name, or NULL. */
const struct sp_field *sp_field_find(const struct sp_field *fields, size_t n, struct sp_text name);

struct sp_hyp {
  struct sp_text text; /* UTF-8, validated; may hold NUL when JSON says so; may be empty */
  double score;        /* first-pass total, as the file has it; finite; 0 without */
  bool has_score;
  bool has_rank, has_total;              /* in reranked archives */
  uint32_t rank;                         /* zero-based original rank, `i` */
  double total;                          /* what it was reranked by; finite */
  const struct sp_component *components; /* (n_components), in the order of the file */
  size_t n_components;
  const struct sp_field *fields; /* (n_fields) */
  size_t n_fields;
};

struct sp_utt {
  struct sp_text id; /* unique in an archive; where there is none, the position: "1" is the first */
  struct sp_text ref;
  bool has_ref;
  const struct sp_hyp *hyps; /* (n_hyps), may be empty */
  size_t n_hyps;
  const struct sp_field *fields; /* (n_fields) */
  size_t n_fields;
};

/* The value of the component of that name, or false. */
bool sp_hyp_component(const struct sp_hyp *hyp, struct sp_text name, double *value);
/* The same where "score" stands for the first-pass total. */
bool sp_hyp_named_score(const struct sp_hyp *hyp, struct sp_text name, double *value);

struct sp_archive;

/* How an archive is read; all zero stands for the defaults. */
struct sp_archive_options {
  enum sp_archive_format format; /* SP_FORMAT_AUTO: the first file's content decides */
  const char *tsv;               /* tsv: columns, see tsv_columns.h */
  const char *tables;  /* kaldi: score tables, "NAME=FILE,..", NAME score or a component */
  size_t beam_size;    /* nemo-tsv: lines of an utterance; needed there */
  bool costs;          /* scores and components are costs: they are negated */
  bool texts_have_ids; /* auto: lines of text are trn or Kaldi text, never plain text */
};

/* As sp_archive_open and sp_archive_open_source below, with options.  Their strings are not kept
 * beyond the call. SP_EUSAGE when the format lacks one it needs, or cannot take one. */
SP_MUST_CHECK enum sp_status sp_archive_open_with(const char *const *paths, size_t n_paths,
                                                  const struct sp_archive_options *options,
                                                  struct sp_archive **out, struct sp_error *err);
SP_MUST_CHECK enum sp_status sp_archive_open_source_with(struct sp_source *source,
                                                         const struct sp_archive_options *options,
                                                         struct sp_archive **out,
                                                         struct sp_error *err);

/* `paths` are files, directories (ESPnet2) or "-"; all are of one format. With SP_FORMAT_AUTO the
 * first file's content decides. The strings are copied. */
SP_MUST_CHECK enum sp_status sp_archive_open(const char *const *paths, size_t n_paths,
                                             enum sp_archive_format format, struct sp_archive **out,
                                             struct sp_error *err);
/* Reads one open source, which becomes the archive's, also on failure. Not for ESPnet2. */
SP_MUST_CHECK enum sp_status sp_archive_open_source(struct sp_source *source,
                                                    enum sp_archive_format format,
                                                    struct sp_archive **out, struct sp_error *err);
/* One file of text, a sentence a line: with SP_FORMAT_AUTO, what looks like anything else is SP_EINPUT. */
SP_MUST_CHECK enum sp_status sp_archive_open_text(const char *path, enum sp_archive_format format,
                                                  struct sp_archive **out, struct sp_error *err);
/* NULL is fine. */
void sp_archive_close(struct sp_archive *archive);

/* The resolved format. */
enum sp_archive_format sp_archive_get_format(const struct sp_archive *archive);

/* *utt and all it points to are valid until the next call. */
SP_MUST_CHECK enum sp_status sp_archive_next(struct sp_archive *archive, struct sp_utt *utt,
                                             bool *found, struct sp_error *err);

/* Where an utterance begins: enough to go on from there without reading what lies before.  Many files
 * are read in step in an ESPnet2 directory: places count otherwise there. */
struct sp_place {
  uint64_t file;    /* number among the archive's files, or directories, in reading order */
  uint64_t stored;  /* offset in it of the zstd frame, gzip member or byte that decoding begins at;
                     * ESPnet2: number of the group (output.J) in the directory */
  uint64_t raw;     /* decompressed bytes from there to the utterance's first line, or its member of a JSON
                     * document; ESPnet2: of ids and texts of the group's utterances before it */
  uint64_t line;    /* lines of the file before it; ESPnet2: of ref.text before its reference */
  uint64_t records; /* utterances of the archive before it, for ids that are made of positions */
  uint64_t offset;  /* decompressed bytes of the file before it; 0 after a seek, which does not look at it,
                     * and in ESPnet2 */
};
/* Place of the last utterance handed out.  False where the archive can only be read from its start: when
 * it has Kaldi score tables, or comes from standard input or a pipe.  In the order of the archive places go
 * on, by file and then by stored, raw; `line` never goes back in a file. */
bool sp_archive_tell(const struct sp_archive *archive, struct sp_place *place);
/* Goes on with the utterance at a place that tell gave for equal files, whatever was read before; allowed
 * at any time before a failure.  Other files are not opened.  Decompresses `place->raw` bytes to get there: at
 * most one frame where frames are small (our own writers cut at 2 MiB), all before it in a gzip file or in one
 * huge frame, but from where the reader is when that is on the way.  The lists of an ESPnet2 group are read
 * from their beginnings.  SP_EINPUT when the file ends before that, has no frame there, or there is no such
 * file; what else is wrong with other files shows in the content. SP_EUSAGE where tell says false, or an open
 * source has been read to its end; and from sp_archive_files afterwards, as the digests are not to be had any
 * more. */
SP_MUST_CHECK enum sp_status sp_archive_seek(struct sp_archive *archive,
                                             const struct sp_place *place,
                                             struct sp_error *err);

/* "path:line" of the last utterance handed out: for the caller's messages. Valid until the next
 * call. */
const char *sp_archive_place(struct sp_archive *archive);

/* The files of the archive in reading order, with the digests of all their bytes. `path` is as
 * given to open, and lives until close. Called before the last utterance it hashes what is left
 * without looking at it; sp_archive_next then finds nothing more. */
struct sp_archive_file {
  const char *path;
  struct sp_file_digest digest;
};
SP_MUST_CHECK enum sp_status sp_archive_files(struct sp_archive *archive,
                                              const struct sp_archive_file **files, size_t *n_files,
                                              struct sp_error *err);

/* Stamps (source.h) of the files opened so far, as they were then, in the order of sp_archive_files;
 * returns how many, at most `room`.  Of an ESPnet2 directory only files that were read to the end; after a
 * seek only the open file, 0 for those before it, and none of directories. */
size_t sp_archive_opened(const struct sp_archive *archive, uint64_t *stamps, size_t room);

#ifdef __cplusplus
}
#endif
#endif
