/* weights_file.h - WEIGHTS.json: a combination that was tuned, and how.
 *
 * FORMATS.md has the members.  What `rescore` needs is read strictly: a missing, unknown, doubled
 * or ill-typed member is refused. "tuned" is for people and reports and is not read back. */
#ifndef SP_RESCORE_WEIGHTS_FILE_H
#define SP_RESCORE_WEIGHTS_FILE_H

#include "signature.h"
#include "tune.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SP_WEIGHTS_VERSION 1
#define SP_WEIGHTS_CEILING ((size_t)16 << 20)

struct sp_weights_file {
  struct sp_combination combination;
  /* (combination.second.n) the model a weight was tuned for; "" for scores from a file */
  char model_hashes[sp_max_weights][64];
  /* (combination.second.n) the mask it was tuned under (signature.h); "" where nothing tells it */
  char masks[sp_max_weights][SP_SIGNATURE_MASK];
};

/* What the file tells of the tuning. */
struct sp_tuned {
  const struct sp_tune_options *options;
  const struct sp_tune_result *result;
  const struct sp_archive_file *files; /* (n_files) of the archive */
  size_t n_files;
  uint64_t utts, hyps, ref_words;
  uint32_t blocks;
  const char *block_by, *signature;
};

/* Appends the text. */
SP_MUST_CHECK enum sp_status sp_weights_file_text(const struct sp_weights_file *weights,
                                                  const struct sp_tuned *tuned, struct sp_buf *out,
                                                  struct sp_error *err);
/* SP_EINPUT "path: reason" (with the line where it is no JSON). */
SP_MUST_CHECK enum sp_status sp_weights_file_parse(struct sp_text text, const char *path,
                                                   struct sp_weights_file *out,
                                                   struct sp_error *err);
SP_MUST_CHECK enum sp_status sp_weights_file_read(const char *path, struct sp_weights_file *out,
                                                  struct sp_error *err);

#ifdef __cplusplus
}
#endif
#endif
