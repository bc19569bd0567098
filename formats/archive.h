/* archive.h - N-best archives in every input format, one utterance at a time.
 *
 * Flow       sp_archive_open, sp_archive_next until *found is false, sp_archive_files,
 *            sp_archive_close.
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
#define SP_ARCHIVE_FORMAT_MAP(X)                                                       \
  X(SP_FORMAT_AUTO, "auto", "told from the content")                                   \
  X(SP_FORMAT_JSONL, "jsonl", "own archive, one utterance a line")                     \
  X(SP_FORMAT_MLM, "mlm", "mlm-scoring JSON, one object of all utterances")            \
  X(SP_FORMAT_ESPNET2, "espnet2", "ESPnet2 directory with {k}best_recog/{text,score}") \
  X(SP_FORMAT_TEXT, "text", "plain text, one sentence a line")
/* what is only written */
#define SP_ARCHIVE_OUTPUT_ONLY_MAP(X)                   \
  X(SP_FORMAT_TRN, "trn", "SCTK transcript, 'words (id)'") \
  X(SP_FORMAT_KALDI_TEXT, "kaldi-text", "Kaldi text, 'id words'")

enum sp_archive_format {
#define X(name, option, text) name,
  SP_ARCHIVE_FORMAT_MAP(X) SP_ARCHIVE_OUTPUT_ONLY_MAP(X)
#undef X
};

const char *sp_archive_format_name(enum sp_archive_format format);
SP_MUST_CHECK enum sp_status sp_archive_format_parse(const char *name, enum sp_archive_format *out,
                                                     struct sp_error *err);
/* As above for an output: no auto. */
SP_MUST_CHECK enum sp_status sp_archive_output_parse(const char *name, enum sp_archive_format *out,
                                                     struct sp_error *err);

struct sp_hyp {
  struct sp_text text; /* UTF-8, validated; may hold NUL when JSON says so; may be empty */
  double score;        /* first-pass total, as the file has it; finite; 0 without */
  bool has_score;
  bool has_rank, has_total; /* in reranked archives */
  uint32_t rank;            /* zero-based original rank, `i` */
  double total;             /* what it was reranked by; finite */
};

struct sp_utt {
  struct sp_text id; /* unique in an archive; for plain text the line number, "1" is the first */
  struct sp_text ref;
  bool has_ref;
  const struct sp_hyp *hyps; /* (n_hyps), may be empty */
  size_t n_hyps;
};

struct sp_archive;

/* `paths` are files, directories (ESPnet2) or "-"; all are of one format. With SP_FORMAT_AUTO the
 * first file's content decides. The strings are copied. */
SP_MUST_CHECK enum sp_status sp_archive_open(const char *const *paths, size_t n_paths,
                                             enum sp_archive_format format, struct sp_archive **out,
                                             struct sp_error *err);
/* Reads one open source, which becomes the archive's, also on failure. Not for ESPnet2. */
SP_MUST_CHECK enum sp_status sp_archive_open_source(struct sp_source *source,
                                                    enum sp_archive_format format,
                                                    struct sp_archive **out, struct sp_error *err);
/* NULL is fine. */
void sp_archive_close(struct sp_archive *archive);

/* The resolved format. */
enum sp_archive_format sp_archive_get_format(const struct sp_archive *archive);

/* *utt and all it points to are valid until the next call. */
SP_MUST_CHECK enum sp_status sp_archive_next(struct sp_archive *archive, struct sp_utt *utt,
                                             bool *found, struct sp_error *err);

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
 * returns how many, at most `room`.  Of an ESPnet2 directory only files that were read to the end. */
size_t sp_archive_opened(const struct sp_archive *archive, uint64_t *stamps, size_t room);

#ifdef __cplusplus
}
#endif
#endif
