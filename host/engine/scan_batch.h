/* scan_batch.h - a run of utterances on its way through the first pass: copied where they are read, looked at
 * by any thread, added up in the order of the archive.
 *
 * Memory     of copies SP_SCAN_BATCH_BYTES, or those of one utterance that is longer. */
#ifndef SP_ENGINE_SCAN_BATCH_H
#define SP_ENGINE_SCAN_BATCH_H

#include "run_plan.h"
#include "text_rule.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SP_SCAN_BATCH_BYTES ((size_t)1 << 18)
enum { SP_SCAN_BATCH_UTTS = 1024 };

/* What is left of an utterance. */
struct sp_scan_utt {
  struct sp_text id;
  const struct sp_text *texts; /* (mark.hyps) */
  const char *where;           /* "path:line", for a message; NULL where none is to be feared */
  uint64_t ordinal;            /* in the archive, from 0 */
  struct sp_plan_shard
      mark; /* of the utterance alone; tokens, cost and hash once it was looked at */
};

struct sp_scan_batch {
  struct sp_arena arena; /* texts and ids */
  struct sp_scan_utt utts[SP_SCAN_BATCH_UTTS];
  size_t n, bytes; /* utterances, and what they take of the arena */
  struct sp_counts counts;
  /* of looking at it */
  uint64_t longest_tokens;
  double seconds;        /* of the processor */
  enum sp_status status; /* of the first utterance that fails; none after it was looked at */
  struct sp_error err;
};

/* Whether an utterance fits beside what is there; everything fits into an empty batch. */
bool sp_scan_batch_fits(const struct sp_scan_batch *batch, const struct sp_utt *utt,
                        const char *where);
/* Copies what matters of one that fits. `place` NULL: it has none; `where` NULL is fine. */
SP_MUST_CHECK enum sp_status sp_scan_batch_add(struct sp_scan_batch *batch,
                                               const struct sp_utt *utt, uint64_t ordinal,
                                               const struct sp_place *place, const char *where,
                                               struct sp_error *err);
/* Tokens, hashes and costs of all its utterances; failures go into the batch. */
void sp_scan_batch_look(struct sp_scan_batch *batch, struct sp_text_rule *rule,
                        const struct sp_settings *settings, const struct sp_context *context);
/* Empties it. */
void sp_scan_batch_clear(struct sp_scan_batch *batch);

#ifdef __cplusplus
}
#endif
#endif
