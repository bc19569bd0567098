#include "run_plan.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "checked.h"
#include "file.h"
#include "float_text.h"
#include "json_fast.h"
#include "shard_format.h"
#include "sink.h"

/* ---- a line ---- */

/* Whole numbers, in the order of the line; a shard without a place has none of the first ones. */
static const struct member {
  const char *head; /* what stands before the number */
  size_t at;        /* offset in struct sp_plan_shard */
} members[] = {
    {",\"file\":", offsetof(struct sp_plan_shard, place.file)},
    {",\"stored\":", offsetof(struct sp_plan_shard, place.stored)},
    {",\"raw\":", offsetof(struct sp_plan_shard, place.raw)},
    {",\"line\":", offsetof(struct sp_plan_shard, place.line)},
    {",\"records\":", offsetof(struct sp_plan_shard, place.records)},
    {",\"utts\":", offsetof(struct sp_plan_shard, utts)},
    {",\"hyps\":", offsetof(struct sp_plan_shard, hyps)},
    {",\"tokens\":", offsetof(struct sp_plan_shard, tokens)},
};
enum { place_members = 5, all_members = sizeof members / sizeof *members };

enum sp_status sp_run_plan_line(const struct sp_plan_shard *shard, size_t index, struct sp_buf *out,
                                struct sp_error *err) {
  SP_TRY(sp_buf_printf(out, err, "{\"shard\":%zu", index));
  for (size_t m = shard->has_place ? 0 : place_members; m < all_members; m++) {
    uint64_t value = *(const uint64_t *)((const char *)shard + members[m].at);
    SP_TRY(sp_buf_printf(out, err, "%s%" PRIu64, members[m].head, value));
  }
  char cost[SP_DOUBLE_TEXT_MAX];
  sp_double_text(shard->cost, cost);
  return sp_buf_printf(out, err, ",\"cost\":%s,\"xxh64\":\"%016" PRIx64 "\"}\n", cost,
                       shard->xxh64);
}

/* Passes `literal` at the beginning of *rest. */
static bool pass(struct sp_text *rest, const char *literal) {
  size_t len = strlen(literal);
  if (rest->len < len || memcmp(rest->data, literal, len) != 0) {
    return false;
  }
  *rest = (struct sp_text){rest->data + len, rest->len - len};
  return true;
}

/* Passes digits that make a number below 2^63. */
static bool pass_number(struct sp_text *rest, uint64_t *value) {
  size_t n = 0;
  *value = 0;
  for (; n < rest->len && rest->data[n] >= '0' && rest->data[n] <= '9'; n++) {
    uint64_t digit = (uint64_t)(rest->data[n] - '0');
    if (*value > (INT64_MAX - digit) / 10) {
      return false;
    }
    *value = *value * 10 + digit;
  }
  *rest = (struct sp_text){rest->data + n, rest->len - n};
  return n > 0;
}

static bool pass_cost(struct sp_text *rest, double *cost) {
  size_t len = 0;
  while (len < rest->len && rest->data[len] != ',') {
    len++;
  }
  struct sp_text number = {rest->data, len};
  *rest = (struct sp_text){rest->data + len, rest->len - len};
  return sp_number_parse(number, cost) && *cost >= 0;
}

static bool pass_hash(struct sp_text *rest, uint64_t *hash) {
  enum { digits = 16 };
  char text[digits + 1] = "", *end = NULL;
  if (rest->len < digits) {
    return false;
  }
  memcpy(text, rest->data, digits);
  *rest = (struct sp_text){rest->data + digits, rest->len - digits};
  *hash = strtoull(text, &end, 16);
  return end == text + digits;
}

/* Lenient: the caller writes the result out again and compares, which is the strict check. */
static bool read_line(struct sp_text rest, struct sp_plan_shard *shard) {
  uint64_t index;
  *shard = (struct sp_plan_shard){0};
  if (!pass(&rest, "{\"shard\":") || !pass_number(&rest, &index)) {
    return false;
  }
  shard->has_place = rest.len > 2 && rest.data[2] == 'f';
  for (size_t m = shard->has_place ? 0 : place_members; m < all_members; m++) {
    uint64_t *value = (uint64_t *)((char *)shard + members[m].at);
    if (!pass(&rest, members[m].head) || !pass_number(&rest, value)) {
      return false;
    }
  }
  return pass(&rest, ",\"cost\":") && pass_cost(&rest, &shard->cost) &&
         pass(&rest, ",\"xxh64\":\"") && pass_hash(&rest, &shard->xxh64);
}

/* ---- all lines ---- */

struct plan_reader {
  const char *path;
  size_t n, n_read;
  struct sp_plan_shard *shards; /* (n) */
  uint64_t utts;                /* of those read */
  struct sp_buf again;
};

static bool goes_on(const struct sp_place *last, const struct sp_place *place) {
  if (last->file != place->file) {
    return last->file < place->file;
  }
  bool later =
      last->stored == place->stored ? last->raw < place->raw : last->stored < place->stored;
  return later && last->line <= place->line; /* JSON may stand on one line */
}

/* What is wrong with a shard behind those that were read; NULL: nothing. */
static const char *fault_of(const struct plan_reader *reader, const struct sp_plan_shard *shard) {
  const struct sp_plan_shard *last =
      reader->n_read > 0 ? &reader->shards[reader->n_read - 1] : NULL;
  if (shard->utts == 0) {
    return "a shard without utterances";
  }
  if (shard->utts > INT64_MAX - reader->utts) {
    return "more utterances than can be counted";
  }
  if (last && last->has_place != shard->has_place) {
    return "one shard has a place, another has none";
  }
  if (!shard->has_place) {
    return NULL;
  }
  if (last && !goes_on(&last->place, &shard->place)) {
    return "its place is not behind that of the shard before";
  }
  return shard->place.records != reader->utts
             ? "its records are not the utterances of the shards before"
             : NULL;
}

static enum sp_status fail_line(const struct plan_reader *reader, const char *fault,
                                struct sp_error *err) {
  return sp_fail(err, SP_EDAMAGED, "%s:%zu: %s", reader->path, reader->n_read + 1, fault);
}

static enum sp_status take_line(void *context, struct sp_text line, struct sp_error *err) {
  struct plan_reader *reader = context;
  struct sp_plan_shard shard;
  if (reader->n_read == reader->n) {
    return fail_line(reader, "more lines than the run has shards", err);
  }
  if (!read_line(line, &shard)) {
    return fail_line(reader, "no line of a plan", err);
  }
  sp_buf_clear(&reader->again);
  SP_TRY(sp_run_plan_line(&shard, reader->n_read, &reader->again, err));
  struct sp_text again = {reader->again.data, reader->again.len - 1};
  if (!sp_text_equal(line, again)) {
    return fail_line(reader, "not the line of the shard that is next", err);
  }
  const char *fault = fault_of(reader, &shard);
  if (fault) {
    return fail_line(reader, fault, err);
  }
  reader->shards[reader->n_read++] = shard;
  reader->utts += shard.utts;
  return SP_OK;
}

static enum sp_status start(struct plan_reader *reader, struct sp_error *err) {
  reader->shards = calloc(sp_max_size(reader->n, 1), sizeof *reader->shards);
  return reader->shards ? SP_OK
                        : sp_fail_memory(err, sp_mul_sat(reader->n, sizeof *reader->shards));
}

/* Hands the shards over, or frees them when `status`, of reading the lines, is no success. */
static enum sp_status end(struct plan_reader *reader, enum sp_status status,
                          struct sp_plan_shard **out, struct sp_error *err) {
  sp_buf_release(&reader->again);
  if (status == SP_OK && reader->n_read < reader->n) {
    status = sp_fail(err, SP_EDAMAGED, "%s has %zu lines, but the run %zu shards", reader->path,
                     reader->n_read, reader->n);
  }
  if (status == SP_OK) {
    *out = reader->shards;
  } else {
    free(reader->shards);
  }
  return status;
}

enum sp_status sp_run_plan_parse(struct sp_text lines, const char *path, size_t n,
                                 struct sp_plan_shard **out, struct sp_error *err) {
  struct plan_reader reader = {.path = path, .n = n};
  *out = NULL;
  enum sp_status status = start(&reader, err);
  while (status == SP_OK && lines.len > 0) {
    const char *line_end = memchr(lines.data, '\n', lines.len);
    if (!line_end) {
      status = fail_line(&reader, "the last line has no end", err);
      break;
    }
    size_t len = (size_t)(line_end - lines.data);
    status = take_line(&reader, (struct sp_text){lines.data, len}, err);
    lines = (struct sp_text){line_end + 1, lines.len - len - 1};
  }
  return end(&reader, status, out, err);
}

enum sp_status sp_run_plan_read(const char *run, size_t n, struct sp_plan_shard **out, bool *found,
                                struct sp_error *err) {
  struct sp_buf path = {0};
  *out = NULL;
  *found = false;
  enum sp_status status = sp_run_path(&path, run, SP_RUN_PLAN, err);
  if (status == SP_OK && sp_file_exists(path.data)) {
    struct plan_reader reader = {.path = path.data, .n = n};
    *found = true;
    status = start(&reader, err);
    if (status == SP_OK) {
      status = sp_shard_read(path.data, take_line, &reader, NULL, err);
    }
    status = end(&reader, status, out, err);
  }
  sp_buf_release(&path);
  return status;
}

static enum sp_status write_lines(struct sp_sink *sink, const struct sp_plan_shard *shards,
                                  size_t n, struct sp_error *err) {
  struct sp_buf line = {0};
  enum sp_status status = SP_OK;
  for (size_t i = 0; i < n && status == SP_OK; i++) {
    sp_buf_clear(&line);
    status = sp_run_plan_line(&shards[i], i, &line, err);
    if (status == SP_OK) {
      status = sp_sink_write(sink, line.data, line.len, err);
    }
  }
  sp_buf_release(&line);
  return status;
}

/* existed NULL: replaces what is there. */
static enum sp_status write_file(const char *path, const struct sp_plan_shard *shards, size_t n,
                                 bool *existed, struct sp_error *err) {
  struct sp_sink *sink;
  SP_TRY(sp_sink_open(path, &sink, err));
  enum sp_status status = write_lines(sink, shards, n, err);
  if (status != SP_OK) {
    sp_sink_discard(sink);
    return status;
  }
  return existed ? sp_sink_close_first(sink, existed, err) : sp_sink_close(sink, err);
}

enum sp_status sp_run_plan_write(const char *run, const struct sp_plan_shard *shards, size_t n,
                                 struct sp_error *err) {
  struct sp_buf path = {0};
  enum sp_status status = sp_run_path(&path, run, SP_RUN_PLAN, err);
  if (status == SP_OK) {
    status = write_file(path.data, shards, n, NULL, err);
  }
  sp_buf_release(&path);
  return status;
}

/* ---- a plan that several may write ---- */

struct plan_compare {
  const struct sp_plan_shard *shards; /* (n) */
  size_t n, n_read;
  struct sp_buf own;
};

static enum sp_status compare_line(void *context, struct sp_text line, struct sp_error *err) {
  struct plan_compare *with = context;
  sp_buf_clear(&with->own);
  if (with->n_read < with->n) {
    SP_TRY(sp_run_plan_line(&with->shards[with->n_read], with->n_read, &with->own, err));
  }
  bool equal = with->own.len == line.len + 1 && memcmp(with->own.data, line.data, line.len) == 0;
  with->n_read++;
  return equal ? SP_OK : sp_fail(err, SP_EDAMAGED, "another plan");
}

/* Whether the file is there with these very lines: compressed by another libzstd they may be other bytes. */
static bool is_written(const char *path, const struct sp_plan_shard *shards, size_t n) {
  struct plan_compare with = {.shards = shards, .n = n};
  bool equal = sp_file_exists(path) &&
               sp_shard_read(path, compare_line, &with, NULL, NULL) == SP_OK && with.n_read == n;
  sp_buf_release(&with.own);
  return equal;
}

enum sp_status sp_run_plan_publish(const char *run, const struct sp_plan_shard *shards, size_t n,
                                   struct sp_error *err) {
  struct sp_buf path = {0};
  bool existed;
  enum sp_status status;
  SP_TRY_GOTO(sp_run_path(&path, run, SP_RUN_PLAN, err), release);
  if (is_written(path.data, shards, n)) {
    goto release;
  }
  SP_TRY_GOTO(write_file(path.data, shards, n, &existed, err), release);
  if (existed && !is_written(path.data, shards, n)) {
    status = write_file(path.data, shards, n, NULL, err);
  }
release:
  sp_buf_release(&path);
  return status;
}
