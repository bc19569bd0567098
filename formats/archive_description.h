/* archive_description.h - an archive that is only described: how many hypotheses, how long, how large.
 *
 * One JSON object (FORMATS.md, "Described archives"), for plans of archives that do not exist yet.  The
 * lengths are a histogram; a described archive of H hypotheses has exactly H of them, parted by the
 * histogram's counts in whole numbers. */
#ifndef SP_FORMATS_ARCHIVE_DESCRIPTION_H
#define SP_FORMATS_ARCHIVE_DESCRIPTION_H

#include "buf.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SP_DESCRIPTION_VERSION 1
#define SP_DESCRIPTION_CEILING ((size_t)16 << 20) /* of the file */
#define SP_DESCRIBED_UTTS ((uint64_t)1 << 50)
#define SP_DESCRIBED_HYPS 1000000
#define SP_DESCRIBED_TOKENS ((uint64_t)1 << 20) /* of one hypothesis */

struct sp_length_count {
  uint32_t tokens; /* without [CLS] and [SEP] */
  uint64_t count;  /* at least 1 */
  uint64_t below;  /* sum of the counts of shorter ones */
};

struct sp_description {
  uint64_t utts;       /* 1 to SP_DESCRIBED_UTTS */
  uint32_t hyps;       /* an utterance, 1 to SP_DESCRIBED_HYPS */
  uint32_t utt_bytes;  /* of an archive line; 0: not said */
  uint32_t id_bytes;   /* of an id, 1 to 4096 */
  double duplicates;   /* share of hypotheses that equal an earlier one of their shard, in [0, 1) */
  double equal_copies; /* share of the others' masked copies that equal another one, in [0, 1) */
  struct sp_length_count *lengths; /* (n_lengths) owned; by tokens, ascending */
  size_t n_lengths;
  uint64_t total; /* sum of the counts */
};

/* SP_EINPUT names the member. Release also after a failure. */
SP_MUST_CHECK enum sp_status sp_description_read(const char *path, struct sp_description *out,
                                                 struct sp_error *err);
/* The same from text; `path` is for messages. */
SP_MUST_CHECK enum sp_status sp_description_parse(struct sp_text text, const char *path,
                                                  struct sp_description *out, struct sp_error *err);
void sp_description_release(struct sp_description *description);

/* How many of `hyps` hypotheses have the i-th length: over all i they add up to `hyps`. */
uint64_t sp_description_share(const struct sp_description *description, size_t i, uint64_t hyps);
/* Length of the hypotheses of utterance u: a fixed low-discrepancy walk over the histogram, so that
 * any first few utterances have about its mix. */
uint32_t sp_description_length(const struct sp_description *description, uint64_t u);

#ifdef __cplusplus
}
#endif
#endif
