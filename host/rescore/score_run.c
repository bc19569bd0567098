#define XXH_STATIC_LINKING_ONLY /* for the size of XXH64_state_t */

#include "score_run.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "run_files.h"
#include "run_manifest.h"
#include "run_success.h"
#include "shard_format.h"
#include "source.h"

struct sp_score_run {
  struct sp_score_run_info info;
  char *path;
  json_t *manifest;
  struct sp_score_parser *parser;
  size_t shard, shards;      /* the next to be opened; of how many */
  struct sp_source *source;  /* the open shard's lines */
  struct sp_shard_done done; /* its marker */
  XXH64_state_t hash;        /* of the lines read from it */
  uint64_t bytes, utts;      /* of these lines; of all lines */
};

static const char *text_member(const json_t *manifest, const char *object, const char *key) {
  const char *text = json_string_value(json_object_get(json_object_get(manifest, object), key));
  return text ? text : "";
}

static uint64_t count_member(const json_t *manifest, const char *object, const char *key) {
  return (uint64_t)json_integer_value(json_object_get(json_object_get(manifest, object), key));
}

static enum sp_status read_methods(struct sp_score_run *run, struct sp_error *err) {
  const char *rest = text_member(run->manifest, "identity", "method");
  struct sp_score_run_info *info = &run->info;
  for (int m = 0; m < SP_METHOD_COUNT; m++) {
    const char *key = sp_method_key((enum sp_method)m);
    size_t len = strlen(key);
    if (strncmp(rest, key, len) == 0 && (rest[len] == ',' || rest[len] == '\0')) {
      info->methods[info->n_methods++] = (enum sp_method)m;
      rest += len + (rest[len] == ',');
    }
  }
  if (*rest || info->n_methods == 0) {
    return sp_fail(err, SP_EDAMAGED, "%s/%s: identity.method is no list of known methods",
                   run->path, SP_RUN_MANIFEST);
  }
  return SP_OK;
}

static enum sp_status read_manifest(struct sp_score_run *run, struct sp_error *err) {
  bool found;
  SP_TRY(sp_run_manifest_read(run->path, &run->manifest, &found, err));
  if (!found) {
    return sp_fail(err, SP_EDAMAGED, "%s is no run directory: it has no %s", run->path,
                   SP_RUN_MANIFEST);
  }
  run->shards = (size_t)count_member(run->manifest, "identity", "shards");
  SP_TRY(sp_run_success_check(run->path, run->shards, &found, err));
  if (!found) {
    return sp_fail(err, SP_ESHARD, "%s is not complete; the command that began it finishes it",
                   run->path);
  }
  run->info.path = run->path;
  run->info.utts = count_member(run->manifest, "info", "utts");
  run->info.model_hash = text_member(run->manifest, "identity", "model_hash");
  run->info.signature = text_member(run->manifest, "info", "signature");
  return read_methods(run, err);
}

enum sp_status sp_score_run_open(const char *path, struct sp_score_run **out,
                                 struct sp_error *err) {
  struct sp_score_run *run = calloc(1, sizeof *run);
  *out = NULL;
  if (!run) {
    return sp_fail_memory(err, sizeof *run);
  }
  run->path = strdup(path);
  enum sp_status status = run->path ? SP_OK : sp_fail_memory(err, strlen(path));
  if (status == SP_OK) {
    status = read_manifest(run, err);
  }
  if (status == SP_OK) {
    status = sp_score_parser_create(&run->parser, err);
  }
  if (status != SP_OK) {
    sp_score_run_close(run);
    return status;
  }
  *out = run;
  return SP_OK;
}

void sp_score_run_close(struct sp_score_run *run) {
  if (run) {
    sp_source_close(run->source);
    sp_shard_done_release(&run->done);
    sp_score_parser_destroy(run->parser);
    json_decref(run->manifest);
    free(run->path);
    free(run);
  }
}

const struct sp_score_run_info *sp_score_run_get_info(const struct sp_score_run *run) {
  return &run->info;
}

bool sp_score_run_read_file(const struct sp_score_run *run, const char *xxh128) {
  const json_t *inputs = json_object_get(json_object_get(run->manifest, "identity"), "inputs");
  for (size_t i = 0; i < json_array_size(inputs); i++) {
    const char *own = json_string_value(json_object_get(json_array_get(inputs, i), "xxh128"));
    if (own && strcmp(own, xxh128) == 0) {
      return true;
    }
  }
  return false;
}

static enum sp_status open_shard(struct sp_score_run *run, struct sp_error *err) {
  struct sp_buf path = {0};
  bool found;
  enum sp_status status =
      sp_shard_done_read(run->path, run->shard, run->shards, &run->done, &found, err);
  if (status == SP_OK && !found) {
    status =
        sp_fail(err, SP_EDAMAGED, "%s: the marker of shard %zu is missing", run->path, run->shard);
  }
  if (status == SP_OK) {
    status = sp_shard_path(&path, run->path, run->shard, run->shards, SP_SHARD_DATA, err);
  }
  if (status == SP_OK) {
    status = sp_source_open(path.data, &run->source, err);
  }
  sp_buf_release(&path);
  XXH64_reset(&run->hash, 0);
  run->bytes = 0;
  run->shard++;
  return status;
}

static enum sp_status close_shard(struct sp_score_run *run, struct sp_error *err) {
  bool same = run->bytes == run->done.raw_bytes && XXH64_digest(&run->hash) == run->done.raw_xxh64;
  enum sp_status status =
      same ? SP_OK
           : sp_fail(err, SP_EDAMAGED, "%s: the lines are not those of the marker",
                     sp_source_path(run->source));
  sp_source_close(run->source);
  run->source = NULL;
  sp_shard_done_release(&run->done);
  return status;
}

/* The next line of the run; *found is false behind the last shard. */
static enum sp_status next_text(struct sp_score_run *run, struct sp_text *text, bool *found,
                                struct sp_error *err) {
  for (;;) {
    if (run->source) {
      SP_TRY(sp_source_line(run->source, SP_SCORE_LINE_CEILING, text, found, err));
      if (*found) {
        return SP_OK;
      }
      SP_TRY(close_shard(run, err));
    }
    *found = run->shard < run->shards;
    if (!*found) {
      return SP_OK;
    }
    SP_TRY(open_shard(run, err));
  }
}

enum sp_status sp_score_run_next(struct sp_score_run *run, struct sp_score_line *line, bool *found,
                                 struct sp_error *err) {
  struct sp_text text;
  struct sp_error inner = {0};
  SP_TRY(next_text(run, &text, found, err));
  if (!*found) {
    return run->utts == run->info.utts
               ? SP_OK
               : sp_fail(err, SP_EDAMAGED,
                         "%s: the shards hold %" PRIu64 " utterances, %s says %" PRIu64, run->path,
                         run->utts, SP_RUN_MANIFEST, run->info.utts);
  }
  XXH64_update(&run->hash, text.data, text.len);
  XXH64_update(&run->hash, "\n", 1);
  run->bytes += text.len + 1;
  run->utts++;
  enum sp_status status = sp_score_parse(run->parser, text, line, &inner);
  return status == SP_OK ? SP_OK
                         : sp_fail(err, status, "%s:%" PRIu64 ": %s", sp_source_path(run->source),
                                   sp_source_line_number(run->source), inner.message);
}

void sp_score_run_keep_logp(struct sp_score_run *run) {
  sp_score_parser_keep_logp(run->parser);
}

const json_t *sp_score_run_manifest(const struct sp_score_run *run) {
  return run->manifest;
}
