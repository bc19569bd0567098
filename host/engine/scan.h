/* scan.h - the first pass over an archive: everything is validated and counted, nothing written. */
#ifndef SP_ENGINE_SCAN_H
#define SP_ENGINE_SCAN_H

#include "marks.h"
#include "text_rule.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sp_scan_file {
  char *path; /* owned */
  struct sp_file_digest digest;
};

struct sp_scan {
  enum sp_archive_format format;     /* resolved */
  enum sp_letter_case letter_case;   /* resolved */
  struct sp_counts counts;           /* what one pass over the texts tells */
  uint64_t longest_tokens;
  struct sp_scan_file *files;
  size_t n_files;
  struct sp_marks marks;             /* of which the run's plan is made */
  size_t threads;                    /* that looked at texts beside the one that read */
  double read_seconds, look_seconds; /* of the processor: of the thread that read, of all for texts */
};

/* Reads `paths` to the end, and has the settings' threads look at the texts (scan_team.h): neither what it
 * finds nor which error comes first depends on them.  Duplicate ids, bad records, and with --on-long error a
 * text that is too long are SP_EINPUT; SP_EINTERRUPTED when stopped. */
SP_MUST_CHECK enum sp_status sp_scan_archive(const struct sp_settings *settings,
                                             const struct sp_context *context,
                                             const char *const *paths, size_t n_paths,
                                             struct sp_scan *out, struct sp_error *err);
void sp_scan_release(struct sp_scan *scan);

/* Utterances a shard: what the user said, or about SP_SHARD_TOKENS tokens' worth in whole blocks of the
 * marks; more where an archive would have over SP_SHARDS_WANTED shards, since each costs a run's directory some
 * twenty calls, up to SP_SHARD_TOKENS_MOST. By the archive alone. */
#define SP_SHARD_TOKENS 100000
#define SP_SHARD_TOKENS_MOST 1600000
#define SP_SHARDS_WANTED 65536
size_t sp_scan_shard_utts(const struct sp_settings *settings, const struct sp_scan *scan);

/* SP_EINPUT when the files that a second pass read differ from the first pass's. */
SP_MUST_CHECK enum sp_status sp_scan_check_unchanged(const struct sp_scan *scan,
                                                     struct sp_archive *archive,
                                                     struct sp_error *err);

/* The same by device, inode, size and time of change, of the files and of what `archive`, the second
 * pass, opened: cheap enough for every shard that was read, so that an interrupted run keeps none of
 * another input. */
SP_MUST_CHECK enum sp_status sp_scan_check_untouched(const struct sp_scan *scan,
                                                     const struct sp_archive *archive,
                                                     struct sp_error *err);

/* Tells duplicate ids while an archive is read; used by the scan and by one-pass streaming. */
struct sp_id_set;
SP_MUST_CHECK enum sp_status sp_scan_add_id(struct sp_id_set *ids, struct sp_archive *archive,
                                            struct sp_text id, struct sp_error *err);
SP_MUST_CHECK enum sp_status sp_scan_finish_ids(struct sp_id_set *ids, struct sp_error *err);

#ifdef __cplusplus
}
#endif
#endif
