#include "join.h"

#include <stdlib.h>

#include "id_set.h"

struct sp_join {
  struct sp_archive *archive;
  struct sp_scores *scores;
  struct sp_id_set *ids;
  uint64_t limit;
  struct sp_join_counts counts;
};

static enum sp_status open_parts(struct sp_join *join, const struct sp_join_options *options,
                                 struct sp_error *err) {
  enum { id_bytes = 256 << 20 };
  SP_TRY(sp_archive_open_with(options->paths, options->n_paths, &options->archive, &join->archive,
                              err));
  SP_TRY(sp_scores_open(&options->scores, &join->scores, err));
  return sp_id_set_create(id_bytes, NULL, &join->ids, err);
}

enum sp_status sp_join_open(const struct sp_join_options *options, struct sp_join **out,
                            struct sp_error *err) {
  struct sp_join *join = calloc(1, sizeof *join);
  *out = NULL;
  if (!join) {
    return sp_fail_memory(err, sizeof *join);
  }
  join->limit = options->limit;
  enum sp_status status = open_parts(join, options, err);
  if (status != SP_OK) {
    sp_join_close(join);
    return status;
  }
  *out = join;
  return SP_OK;
}

void sp_join_close(struct sp_join *join) {
  if (join) {
    sp_archive_close(join->archive);
    sp_scores_close(join->scores);
    sp_id_set_destroy(join->ids);
    free(join);
  }
}

struct sp_scores *sp_join_scores(struct sp_join *join) {
  return join->scores;
}

static enum sp_status finish(struct sp_join *join, bool partly, struct sp_error *err) {
  uint64_t first, second;
  SP_TRY(sp_scores_finish(join->scores, partly, err));
  SP_TRY(sp_id_set_finish(join->ids, &first, &second, err));
  if (first != second) {
    return sp_fail(err, SP_EINPUT, "utterances %llu and %llu of the archive have the same id",
                   (unsigned long long)first + 1, (unsigned long long)second + 1);
  }
  return SP_OK;
}

enum sp_status sp_join_next(struct sp_join *join, struct sp_utt *utt,
                            const struct sp_second **second, bool *found, struct sp_error *err) {
  bool cut = join->limit != 0 && join->counts.utts == join->limit, duplicate;
  *found = false;
  if (!cut) {
    SP_TRY(sp_archive_next(join->archive, utt, found, err));
  }
  if (!*found) {
    return finish(join, cut, err);
  }
  SP_TRY(sp_id_set_add(join->ids, utt->id, &duplicate, err));
  if (duplicate) {
    return sp_fail(err, SP_EINPUT, "%s: the id %.*s occurs twice", sp_archive_place(join->archive),
                   utt->id.len < 200 ? (int)utt->id.len : 200, utt->id.data);
  }
  join->counts.utts++;
  join->counts.hyps += utt->n_hyps;
  for (size_t i = 0; i < utt->n_hyps; i++) {
    join->counts.without_score += !utt->hyps[i].has_score;
  }
  return sp_scores_next(join->scores, utt, second, err);
}

const char *sp_join_place(struct sp_join *join) {
  return sp_archive_place(join->archive);
}

struct sp_join_counts sp_join_get_counts(const struct sp_join *join) {
  return join->counts;
}

enum sp_status sp_join_files(struct sp_join *join, const struct sp_archive_file **files,
                             size_t *n_files, struct sp_error *err) {
  return sp_archive_files(join->archive, files, n_files, err);
}
