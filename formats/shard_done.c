#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "file.h"
#include "run_files.h"
#include "score_line.h"
#include "shard_format.h"

/* Two ids, each at most six bytes a byte of a line that fits SP_SCORE_LINE_CEILING. */
#define DONE_CEILING (SP_SCORE_LINE_CEILING * 2 + 1024 + SP_LATENCY_CEILING * 21)

void sp_shard_done_release(struct sp_shard_done *done) {
  free(done->first_id);
  free(done->last_id);
  sp_latency_counts_release(&done->latency);
  *done = (struct sp_shard_done){0};
}

enum sp_status sp_shard_path(struct sp_buf *out, const char *run, size_t index, size_t count,
                             const char *suffix, struct sp_error *err) {
  SP_TRY(
      sp_buf_printf(out, err, "%s/" SP_SHARD_PREFIX "%05zu-of-%05zu%s", run, index, count, suffix));
  return sp_buf_cstr(out) ? SP_OK : sp_fail_memory(err, out->len);
}

static enum sp_status append_id(struct sp_buf *out, const char *id, struct sp_error *err) {
  if (!id) {
    return sp_buf_append(out, "null", 4, err);
  }
  return sp_json_string_write(out, (struct sp_text){id, strlen(id)}, err);
}

enum sp_status sp_shard_done_text(const struct sp_shard_done *done, struct sp_buf *out,
                                  struct sp_error *err) {
  SP_TRY(sp_buf_printf(out, err,
                       "{\"utts\":%" PRIu64 ",\"hyps\":%" PRIu64 ",\"tokens\":%" PRIu64
                       ",\"raw_bytes\":%" PRIu64 ",\"xxh64\":\"%016" PRIx64
                       "\",\"zst_bytes\":%" PRIu64 ",\"zst_xxh64\":\"%016" PRIx64
                       "\",\"first_id\":",
                       done->utts, done->hyps, done->tokens, done->raw_bytes, done->raw_xxh64,
                       done->zst_bytes, done->zst_xxh64));
  SP_TRY(append_id(out, done->first_id, err));
  SP_TRY(sp_buf_append(out, ",\"last_id\":", 11, err));
  SP_TRY(append_id(out, done->last_id, err));
  if (done->has_latency) {
    SP_TRY(sp_buf_append(out, ",\"latency\":", 11, err));
    SP_TRY(sp_latency_counts_write(out, &done->latency, err));
  }
  return sp_buf_append(out, "}\n", 2, err);
}

static uint64_t get_count(const json_t *root, const char *key) {
  json_int_t value = json_integer_value(json_object_get(root, key));
  return value < 0 ? 0 : (uint64_t)value;
}

static uint64_t get_hash(const json_t *root, const char *key) {
  const char *text = json_string_value(json_object_get(root, key));
  return text ? strtoull(text, NULL, 16) : 0;
}

/* *out is NULL when the member is no string. */
static enum sp_status get_id(const json_t *root, const char *key, char **out,
                             struct sp_error *err) {
  const char *text = json_string_value(json_object_get(root, key));
  *out = text ? strdup(text) : NULL;
  return text && !*out ? sp_fail_memory(err, strlen(text)) : SP_OK;
}

static enum sp_status get_latency(const json_t *root, struct sp_shard_done *done,
                                  struct sp_error *err) {
  const json_t *from = json_object_get(root, "latency"), *of = json_object_get(from, "of");
  size_t n = json_array_size(of) < SP_LATENCY_CEILING ? json_array_size(of) : 0;
  struct sp_latency_counts *to = &done->latency;
  done->has_latency = from != NULL;
  if (n > 0) {
    to->of = calloc(n, sizeof *to->of);
    if (!to->of) {
      return sp_fail_memory(err, n * sizeof *to->of);
    }
  }
  to->room = n;
  for (size_t v = 0; v < n; v++) {
    json_int_t count = json_integer_value(json_array_get(of, v));
    to->of[v] = count < 0 ? 0 : (uint64_t)count;
  }
  to->outputs = get_count(from, "outputs");
  to->clipped = get_count(from, "clipped");
  to->emission_sum = get_count(from, "emission_sum");
  to->clipped_sum = get_count(from, "clipped_sum");
  to->hyps = get_count(from, "hyps");
  to->upl_sum = json_number_value(json_object_get(from, "upl_sum"));
  to->upl_max = json_number_value(json_object_get(from, "upl_max"));
  return SP_OK;
}

/* Whether the counts of the unclipped outputs are as many as there are. */
static bool latency_adds_up(const struct sp_latency_counts *counts) {
  uint64_t left = counts->outputs;
  bool fits = counts->clipped <= left;
  left -= fits ? counts->clipped : 0;
  for (size_t v = 0; fits && v < counts->room; v++) {
    fits = counts->of[v] <= left;
    left -= fits ? counts->of[v] : 0;
  }
  return fits && left == 0;
}

/* Lenient: the caller writes the result out again and compares, which is the strict check. */
static enum sp_status get_members(const json_t *root, struct sp_shard_done *done,
                                  struct sp_error *err) {
  done->utts = get_count(root, "utts");
  done->hyps = get_count(root, "hyps");
  done->tokens = get_count(root, "tokens");
  done->raw_bytes = get_count(root, "raw_bytes");
  done->raw_xxh64 = get_hash(root, "xxh64");
  done->zst_bytes = get_count(root, "zst_bytes");
  done->zst_xxh64 = get_hash(root, "zst_xxh64");
  SP_TRY(get_id(root, "first_id", &done->first_id, err));
  SP_TRY(get_id(root, "last_id", &done->last_id, err));
  return get_latency(root, done, err);
}

enum sp_status sp_shard_done_parse(struct sp_text text, const char *path,
                                   struct sp_shard_done *done, struct sp_error *err) {
  *done = (struct sp_shard_done){0};
  struct sp_buf again = {0};
  enum sp_status status;
  json_error_t fault;
  json_t *root = json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES, &fault);
  if (!root) {
    status = sp_fail(err, SP_EDAMAGED, "%s: %s", path, fault.text);
    goto release;
  }
  SP_TRY_GOTO(get_members(root, done, err), release);
  SP_TRY_GOTO(sp_shard_done_text(done, &again, err), release);
  bool no_utts = done->utts == 0;
  if (!sp_text_equal(text, (struct sp_text){again.data, again.len}) || no_utts != !done->first_id ||
      no_utts != !done->last_id || !latency_adds_up(&done->latency)) {
    status = sp_fail(err, SP_EDAMAGED, "%s: not a marker of a finished shard", path);
  }
release:
  if (status != SP_OK) {
    sp_shard_done_release(done);
  }
  sp_buf_release(&again);
  json_decref(root);
  return status;
}

enum sp_status sp_shard_done_read(const char *run, size_t index, size_t count,
                                  struct sp_shard_done *done, bool *found, struct sp_error *err) {
  *done = (struct sp_shard_done){0};
  *found = false;
  struct sp_buf path = {0}, text = {0};
  enum sp_status status;
  SP_TRY_GOTO(sp_shard_path(&path, run, index, count, SP_SHARD_DONE, err), release);
  SP_TRY_GOTO(sp_run_file_read(path.data, DONE_CEILING, &text, found, err), release);
  if (*found) {
    status = sp_shard_done_parse((struct sp_text){text.data, text.len}, path.data, done, err);
    done->marker_xxh64 = XXH64(text.data, text.len, 0);
  }
release:
  sp_buf_release(&path);
  sp_buf_release(&text);
  return status;
}

/* Of several workers that published one shard each writes its marker: equal texts. */
static bool is_written(const char *path, const struct sp_buf *text) {
  struct sp_buf there = {0};
  bool found, equal = sp_run_file_read(path, DONE_CEILING, &there, &found, NULL) == SP_OK &&
                      found && there.len == text->len &&
                      memcmp(there.data, text->data, there.len) == 0;
  sp_buf_release(&there);
  return equal;
}

enum sp_status sp_shard_done_write(const char *run, size_t index, size_t count,
                                   const struct sp_shard_done *done, struct sp_error *err) {
  struct sp_buf path = {0}, text = {0};
  enum sp_status status;
  SP_TRY_GOTO(sp_shard_path(&path, run, index, count, SP_SHARD_DONE, err), release);
  SP_TRY_GOTO(sp_shard_done_text(done, &text, err), release);
  if (is_written(path.data, &text)) {
    goto release;
  }
  status = sp_file_replace(path.data, text.data, text.len, err);
  if (status != SP_OK && is_written(path.data, &text)) {
    status = SP_OK; /* by another, who swept our temporary file; or rename's answer was lost */
  }
release:
  sp_buf_release(&path);
  sp_buf_release(&text);
  return status;
}
