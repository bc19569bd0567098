/* cat.c - `secondpass cat`: the score lines of a run directory, in archive order. */
#include <unistd.h>

#include "commands.h"
#include "file.h"
#include "output.h"
#include "run_manifest.h"
#include "shard.h"

enum { write_bytes = 1 << 20 };

struct cat_args {
  bool partial;
  uint64_t limit;
};

struct cat_state {
  struct sp_stream_out out;
  struct sp_buf buf;
  uint64_t left; /* lines that --limit still allows */
  bool ended;    /* the limit is reached: not an error */
};

static enum sp_status flush_lines(struct cat_state *state, struct sp_error *err) {
  SP_TRY(sp_stream_write(&state->out, state->buf.data, state->buf.len, err));
  sp_buf_clear(&state->buf);
  return SP_OK;
}

static enum sp_status each_line(void *context, struct sp_text line, struct sp_error *err) {
  struct cat_state *state = context;
  SP_TRY(sp_buf_append(&state->buf, line.data, line.len, err));
  SP_TRY(sp_buf_append(&state->buf, "\n", 1, err));
  if (state->buf.len >= write_bytes) {
    SP_TRY(flush_lines(state, err));
  }
  state->ended = --state->left == 0;
  /* any status but SP_OK ends sp_shard_read; `ended` tells the caller that nothing is wrong */
  return state->ended ? SP_EINTERRUPTED : SP_OK;
}

static enum sp_status count_shards(const char *run, size_t *shards, struct sp_error *err) {
  json_t *manifest = NULL;
  bool found;
  SP_TRY(sp_run_manifest_read(run, &manifest, &found, err));
  if (!found) {
    return sp_fail(err, SP_EDAMAGED, "%s is no run directory: it has no run.json", run);
  }
  json_t *identity = json_object_get(manifest, "identity");
  *shards = (size_t)json_integer_value(json_object_get(identity, "shards"));
  json_decref(manifest);
  return SP_OK;
}

static enum sp_status is_done(const char *run, size_t index, size_t shards, bool *found,
                              struct sp_error *err) {
  struct sp_shard_done done = {0};
  enum sp_status status = sp_shard_done_read(run, index, shards, &done, found, err);
  sp_shard_done_release(&done);
  return status;
}

static enum sp_status check_complete(const char *run, size_t shards, struct sp_error *err) {
  size_t missing = 0;
  for (size_t i = 0; i < shards; i++) {
    bool found;
    SP_TRY(is_done(run, i, shards, &found, err));
    missing += !found;
  }
  return missing == 0
             ? SP_OK
             : sp_fail(err, SP_ESHARD,
                       "%s: %zu of %zu shards are not done yet; --partial prints the others", run,
                       missing, shards);
}

static enum sp_status cat_shard(const char *run, size_t index, size_t shards,
                                const struct sp_shard_done *done, struct cat_state *state,
                                struct sp_error *err) {
  struct sp_buf path = {0};
  struct sp_shard_done measured = {0};
  enum sp_status status = sp_shard_path(&path, run, index, shards, ".jsonl.zst", err);
  if (status == SP_OK) {
    status = sp_file_exists(path.data) ? sp_shard_read(path.data, each_line, state, &measured, err)
                                       : sp_fail(err, SP_EDAMAGED, "%s is missing", path.data);
  }
  if (status == SP_OK &&
      (measured.raw_xxh64 != done->raw_xxh64 || measured.zst_xxh64 != done->zst_xxh64)) {
    status = sp_fail(err, SP_EDAMAGED, "%s is not the file of its marker", path.data);
  }
  sp_shard_done_release(&measured);
  sp_buf_release(&path);
  return state->ended ? SP_OK : status;
}

static enum sp_status cat_run(const char *run, size_t shards, struct cat_state *state,
                              struct sp_error *err) {
  enum sp_status status = SP_OK; /* what is read before damage is still printed */
  for (size_t i = 0; i < shards && status == SP_OK && !state->ended; i++) {
    struct sp_shard_done done = {0};
    bool found = false;
    status = sp_shard_done_read(run, i, shards, &done, &found, err);
    if (status == SP_OK && found) {
      status = cat_shard(run, i, shards, &done, state, err);
    }
    sp_shard_done_release(&done);
  }
  enum sp_status flushed = flush_lines(state, status == SP_OK ? err : NULL);
  return status == SP_OK ? flushed : status;
}

static enum sp_status run_cat(const void *values, const struct sp_operands *operands,
                              struct sp_error *err) {
  const struct cat_args *args = values;
  const char *run = operands->items[0];
  struct cat_state state = {.out = {.fd = STDOUT_FILENO},
                            .left = args->limit ? args->limit : UINT64_MAX};
  size_t shards = 0;
  SP_TRY(count_shards(run, &shards, err));
  if (!args->partial) {
    SP_TRY(check_complete(run, shards, err));
  }
  enum sp_status status = cat_run(run, shards, &state, err);
  sp_buf_release(&state.buf);
  return state.out.closed ? SP_OK : status;
}

static const struct sp_opt options[] = {
    SP_LIMIT_OPTION(offsetof(struct cat_args, limit), "the first N lines only"),
    {.name = "partial",
     .kind = SP_OPT_FLAG,
     .offset = offsetof(struct cat_args, partial),
     .help = "print the shards that are done of a run that is not complete"},
};
static const struct sp_opt_group group = {"Options", options, sizeof options / sizeof *options};
static const struct sp_opt_group *const groups[] = {&group, NULL};

const struct sp_command sp_command_cat = {
    .name = "cat",
    .summary = "prints the score lines of a run in archive order",
    .example = "secondpass cat run | head",
    .usage = "[--limit N] [--partial] RUN",
    .description =
        "Checksums are checked on the way. A run that is not complete is refused with "
        "exit code 7. A reader that goes away early, as head does, is not an error.",
    .groups = groups,
    .values_bytes = sizeof(struct cat_args),
    .min_operands = 1,
    .max_operands = 1,
    .run = run_cat,
};
