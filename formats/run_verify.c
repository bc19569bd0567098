#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "id_set.h"
#include "run_files.h"
#include "run_manifest.h"
#include "run_scan.h"
#include "run_success.h"
#include "score_line.h"
#include "shard.h"

struct verifier {
  const char *run;
  size_t shards;
  struct sp_id_set *ids;
  bool among; /* `ids` is the caller's and holds those of other runs */
  struct sp_score_parser *parser;
  struct sp_run_totals totals;
  /* of the shard under work */
  struct sp_buf path;
  struct sp_shard_done done, measured;
  uint64_t line;
  bool first_id_fits;
  struct sp_buf last_id;
};

static enum sp_status check_name(void *context, const char *name, struct sp_error *err) {
  const struct verifier *verifier = context;
  switch (sp_run_name_of(name, verifier->shards)) {
    case SP_NAME_FOREIGN:
      return sp_fail(err, SP_EDAMAGED, "%s/%s is no file of this run of %zu shards", verifier->run,
                     name, verifier->shards);
    case SP_NAME_TEMPORARY:
      return sp_fail(err, SP_EDAMAGED,
                     "%s/%s was left over by a process that was killed; remove it", verifier->run,
                     name);
    case SP_NAME_SHARD:
    case SP_NAME_OTHER:
      break;
  }
  return SP_OK;
}

static enum sp_status refuse_unfinished(const struct verifier *verifier, struct sp_error *err) {
  size_t missing = 0;
  for (size_t k = 0; k < verifier->shards; k++) {
    struct sp_shard_done done;
    bool found;
    SP_TRY(sp_shard_done_read(verifier->run, k, verifier->shards, &done, &found, err));
    sp_shard_done_release(&done);
    missing += !found;
  }
  if (missing == 0) {
    return sp_fail(err, SP_ESHARD,
                   "%s: all %zu shards are done, but the run was not closed (no %s)", verifier->run,
                   verifier->shards, SP_RUN_SUCCESS);
  }
  return sp_fail(err, SP_ESHARD, "%s: %zu of %zu shards are missing", verifier->run, missing,
                 verifier->shards);
}

static bool equals_id(struct sp_text id, const char *wanted) {
  return wanted && id.len == strlen(wanted) && memcmp(id.data, wanted, id.len) == 0;
}

static enum sp_status check_line(struct verifier *verifier, struct sp_text text,
                                 struct sp_error *err) {
  struct sp_score_line line;
  bool duplicate;
  SP_TRY(sp_score_parse(verifier->parser, text, &line, err));
  SP_TRY(sp_id_set_add(verifier->ids, line.id, &duplicate, err));
  if (duplicate) {
    return sp_fail(err, verifier->among ? SP_EINPUT : SP_EDAMAGED, "the id %.*s occurs twice%s",
                   line.id.len < 200 ? (int)line.id.len : 200, line.id.data,
                   verifier->among ? "" : " in the run");
  }
  verifier->measured.utts++;
  verifier->measured.hyps += line.n_hyps;
  verifier->measured.tokens += line.n_tokens;
  if (line.latency) {
    verifier->measured.latency.outputs += (uint64_t)line.latency->value[SP_LATENCY_OUTPUTS];
    verifier->measured.latency.clipped += (uint64_t)line.latency->value[SP_LATENCY_CLIPPED];
  }
  if (verifier->line == 1) {
    verifier->first_id_fits = equals_id(line.id, verifier->done.first_id);
  }
  sp_buf_clear(&verifier->last_id);
  return sp_buf_append(&verifier->last_id, line.id.data, line.id.len, err);
}

/* The status is that of the line; the message gets the place in front. */
static enum sp_status each_line(void *context, struct sp_text text, struct sp_error *err) {
  struct verifier *verifier = context;
  struct sp_error inner = {0};
  verifier->line++;
  enum sp_status status = check_line(verifier, text, &inner);
  if (status == SP_OK) {
    return SP_OK;
  }
  return sp_fail(err, status, "%s: line %" PRIu64 ": %s", verifier->path.data, verifier->line,
                 inner.message);
}

static enum sp_status check_measured(const struct verifier *verifier,
                                     const struct sp_shard_done *file, struct sp_error *err) {
  const struct sp_shard_done *lines = &verifier->measured, *done = &verifier->done;
  const char *wrong = NULL;
  if (file->zst_bytes != done->zst_bytes || file->zst_xxh64 != done->zst_xxh64) {
    wrong = "size or hash of the file";
  } else if (file->raw_bytes != done->raw_bytes || file->raw_xxh64 != done->raw_xxh64) {
    wrong = "size or hash of the lines";
  } else if (lines->utts != done->utts || lines->hyps != done->hyps ||
             lines->tokens != done->tokens) {
    wrong = "number of utterances, hypotheses or tokens";
  } else if (lines->latency.outputs != done->latency.outputs ||
             lines->latency.clipped != done->latency.clipped) {
    wrong = "number of outputs that have a latency";
  } else if (done->utts > 0 &&
             (!verifier->first_id_fits ||
              !equals_id((struct sp_text){verifier->last_id.data, verifier->last_id.len},
                         done->last_id))) {
    wrong = "first or last id";
  }
  return wrong ? sp_fail(err, SP_EDAMAGED, "%s: %s is not what the marker says",
                         verifier->path.data, wrong)
               : SP_OK;
}

static void add_totals(struct verifier *verifier) {
  struct sp_run_totals *totals = &verifier->totals;
  totals->shards++;
  totals->utts += verifier->done.utts;
  totals->hyps += verifier->done.hyps;
  totals->tokens += verifier->done.tokens;
  totals->raw_bytes += verifier->done.raw_bytes;
  totals->zst_bytes += verifier->done.zst_bytes;
}

static enum sp_status check_shard(struct verifier *verifier, size_t index, struct sp_error *err) {
  bool found;
  verifier->measured = (struct sp_shard_done){0};
  verifier->line = 0;
  verifier->first_id_fits = false;
  sp_buf_clear(&verifier->path);
  SP_TRY(
      sp_shard_path(&verifier->path, verifier->run, index, verifier->shards, SP_SHARD_DATA, err));
  SP_TRY(sp_shard_done_read(verifier->run, index, verifier->shards, &verifier->done, &found, err));
  struct sp_shard_done file = {0};
  enum sp_status status;
  if (!found || access(verifier->path.data, F_OK) != 0) {
    status = sp_fail(err, SP_EDAMAGED, "%s%s is missing", found ? "" : "the marker of ",
                     verifier->path.data);
    goto release;
  }
  SP_TRY_GOTO(sp_shard_read(verifier->path.data, each_line, verifier, &file, err), release);
  SP_TRY_GOTO(check_measured(verifier, &file, err), release);
  add_totals(verifier);
release:
  sp_shard_done_release(&verifier->done);
  return status;
}

static uint64_t count_of(const json_t *manifest, const char *object, const char *key) {
  return (uint64_t)json_integer_value(json_object_get(json_object_get(manifest, object), key));
}

static enum sp_status check_totals(const struct verifier *verifier, const json_t *manifest,
                                   struct sp_error *err) {
  uint64_t utts = count_of(manifest, "info", "utts"), hyps = count_of(manifest, "info", "hyps");
  if (verifier->totals.utts != utts || verifier->totals.hyps != hyps) {
    return sp_fail(err, SP_EDAMAGED,
                   "%s: the shards hold %" PRIu64 " utterances and %" PRIu64
                   " hypotheses, %s says %" PRIu64 " and %" PRIu64,
                   verifier->run, verifier->totals.utts, verifier->totals.hyps, SP_RUN_MANIFEST,
                   utts, hyps);
  }
  return SP_OK;
}

static enum sp_status check_ids(struct verifier *verifier, struct sp_error *err) {
  uint64_t first, second;
  SP_TRY(sp_id_set_finish(verifier->ids, &first, &second, err));
  if (first != second) {
    return sp_fail(err, SP_EDAMAGED,
                   "%s: utterances %" PRIu64 " and %" PRIu64 " of the run have the same id",
                   verifier->run, first + 1, second + 1);
  }
  return SP_OK;
}

static enum sp_status verify(struct verifier *verifier, const json_t *manifest,
                             struct sp_error *err) {
  bool found;
  verifier->shards = (size_t)count_of(manifest, "identity", "shards");
  SP_TRY(sp_run_success_check(verifier->run, verifier->shards, &found, err));
  if (!found) {
    return refuse_unfinished(verifier, err);
  }
  SP_TRY(sp_run_scan(verifier->run, check_name, verifier, err));
  if (!verifier->among) {
    SP_TRY(sp_id_set_create(SP_ID_SET_MEMORY, NULL, &verifier->ids, err));
  }
  SP_TRY(sp_score_parser_create(&verifier->parser, err));
  for (size_t k = 0; k < verifier->shards; k++) {
    SP_TRY(check_shard(verifier, k, err));
  }
  SP_TRY(check_totals(verifier, manifest, err));
  return verifier->among ? SP_OK : check_ids(verifier, err);
}

static enum sp_status verify_run(struct verifier *verifier, struct sp_run_totals *totals,
                                 struct sp_error *err) {
  const char *run = verifier->run;
  json_t *manifest = NULL;
  bool found;
  enum sp_status status;
  SP_TRY_GOTO(sp_run_manifest_read(run, &manifest, &found, err), release);
  if (!found) {
    status =
        sp_fail(err, SP_EDAMAGED, "%s is no run directory: it has no %s", run, SP_RUN_MANIFEST);
    goto release;
  }
  SP_TRY_GOTO(verify(verifier, manifest, err), release);
  *totals = verifier->totals;
release:
  sp_score_parser_destroy(verifier->parser);
  sp_buf_release(&verifier->path);
  sp_buf_release(&verifier->last_id);
  json_decref(manifest);
  return status;
}

enum sp_status sp_run_verify(const char *run, struct sp_run_totals *totals, struct sp_error *err) {
  struct verifier verifier = {.run = run};
  enum sp_status status = verify_run(&verifier, totals, err);
  sp_id_set_destroy(verifier.ids);
  return status;
}

enum sp_status sp_run_verify_among(const char *run, struct sp_id_set *ids,
                                   struct sp_run_totals *totals, struct sp_error *err) {
  struct verifier verifier = {.run = run, .ids = ids, .among = true};
  return verify_run(&verifier, totals, err);
}
