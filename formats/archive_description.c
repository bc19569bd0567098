#include "archive_description.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"

/* dev-clean-200 of bench/data (10-best lists of LibriSpeech) with the vocabulary of 8,192 pieces of the
 * model beside it: {tokens, hypotheses}. */
static const struct {
  uint8_t tokens, count;
} librispeech[] = {{2, 4},   {3, 6},   {4, 6},   {5, 57},  {6, 86},  {7, 70},  {8, 63},  {9, 94},
                   {10, 72}, {11, 46}, {12, 82}, {13, 34}, {14, 33}, {15, 59}, {16, 52}, {17, 28},
                   {18, 29}, {19, 85}, {20, 83}, {21, 86}, {22, 63}, {23, 75}, {24, 67}, {25, 27},
                   {26, 15}, {27, 28}, {28, 32}, {29, 50}, {30, 31}, {31, 40}, {32, 46}, {33, 26},
                   {34, 40}, {35, 46}, {36, 36}, {37, 31}, {38, 30}, {39, 1},  {40, 11}, {41, 10},
                   {42, 22}, {43, 8},  {44, 3},  {45, 33}, {46, 24}, {47, 17}, {48, 3},  {50, 10},
                   {51, 9},  {52, 2},  {53, 10}, {54, 9},  {55, 9},  {56, 5},  {57, 5},  {58, 1},
                   {60, 3},  {61, 6},  {62, 1},  {63, 16}, {64, 4},  {67, 6},  {68, 4},  {84, 1},
                   {85, 8},  {86, 1}};
static const char librispeech_name[] = "librispeech-10best";
/* the same lists: of 2,000 hypotheses 21 are equal; of 45,492 copies 1,404; 295,935 bytes a 200 */
static const struct sp_description librispeech_defaults = {
    .utt_bytes = 1480, .id_bytes = 16, .duplicates = 0.0105, .equal_copies = 0.0309};

struct reader {
  const char *path;
  const json_t *root;
  struct sp_description *out;
};

static enum sp_status bad(const struct reader *r, const char *member, const char *reason,
                          struct sp_error *err) {
  return sp_fail(err, SP_EINPUT, "%s: %s %s", r->path, member, reason);
}

/* A whole number in [1, most]; a member that is absent leaves *out alone unless it is needed. */
static enum sp_status read_count(const struct reader *r, const char *member, bool needed,
                                 uint64_t most, uint64_t *out, struct sp_error *err) {
  const json_t *value = json_object_get(r->root, member);
  if (!value && !needed) {
    return SP_OK;
  }
  if (!value) {
    return bad(r, member, "is missing", err);
  }
  if (!json_is_integer(value) || json_integer_value(value) < 1 ||
      (uint64_t)json_integer_value(value) > most) {
    return sp_fail(err, SP_EINPUT, "%s: %s is no whole number from 1 to %llu", r->path, member,
                   (unsigned long long)most);
  }
  *out = (uint64_t)json_integer_value(value);
  return SP_OK;
}

static enum sp_status read_count32(const struct reader *r, const char *member, bool needed,
                                   uint32_t most, uint32_t *out, struct sp_error *err) {
  uint64_t value = *out;
  SP_TRY(read_count(r, member, needed, most, &value, err));
  *out = (uint32_t)value;
  return SP_OK;
}

static enum sp_status read_share(const struct reader *r, const char *member, double *out,
                                 struct sp_error *err) {
  const json_t *value = json_object_get(r->root, member);
  if (!value) {
    return SP_OK;
  }
  double share = json_number_value(value);
  if (!json_is_number(value) || !(share >= 0 && share < 1)) {
    return bad(r, member, "is no number from 0 to below 1", err);
  }
  *out = share;
  return SP_OK;
}

/* Adds one length; they come ascending. */
static enum sp_status add_length(const struct reader *r, uint64_t tokens, uint64_t count,
                                 struct sp_error *err) {
  struct sp_description *d = r->out;
  if (d->n_lengths > 0 && tokens <= d->lengths[d->n_lengths - 1].tokens) {
    return sp_fail(err, SP_EINPUT, "%s: lengths has %llu tokens after %u: they must ascend",
                   r->path, (unsigned long long)tokens, d->lengths[d->n_lengths - 1].tokens);
  }
  d->lengths[d->n_lengths++] =
      (struct sp_length_count){.tokens = (uint32_t)tokens, .count = count, .below = d->total};
  return __builtin_add_overflow(d->total, count, &d->total)
             ? bad(r, "lengths", "has counts that pass 2^64 together", err)
             : SP_OK;
}

/* [tokens, count] */
static enum sp_status read_pair(const struct reader *r, const json_t *pair, struct sp_error *err) {
  const json_t *tokens = json_array_get(pair, 0), *count = json_array_get(pair, 1);
  if (json_array_size(pair) != 2 || !json_is_integer(tokens) || !json_is_integer(count)) {
    return bad(r, "lengths", "has an element that is no pair of whole numbers, [tokens, count]",
               err);
  }
  if (json_integer_value(tokens) < 0 ||
      json_integer_value(tokens) > (json_int_t)SP_DESCRIBED_TOKENS) {
    return sp_fail(err, SP_EINPUT, "%s: lengths has %lld tokens; a hypothesis has 0 to %llu",
                   r->path, (long long)json_integer_value(tokens),
                   (unsigned long long)SP_DESCRIBED_TOKENS);
  }
  if (json_integer_value(count) < 1) {
    return bad(r, "lengths", "has a count below 1", err);
  }
  return add_length(r, (uint64_t)json_integer_value(tokens), (uint64_t)json_integer_value(count),
                    err);
}

static enum sp_status take_room(const struct reader *r, size_t n, struct sp_error *err) {
  r->out->lengths = calloc(n, sizeof *r->out->lengths);
  return r->out->lengths ? SP_OK : sp_fail_memory(err, n * sizeof *r->out->lengths);
}

static enum sp_status take_librispeech(const struct reader *r, struct sp_error *err) {
  size_t n = sizeof librispeech / sizeof *librispeech;
  *r->out = librispeech_defaults;
  SP_TRY(take_room(r, n, err));
  for (size_t i = 0; i < n; i++) {
    SP_TRY(add_length(r, librispeech[i].tokens, librispeech[i].count, err));
  }
  return SP_OK;
}

/* First of all, since a built-in mix brings defaults along. */
static enum sp_status read_lengths(const struct reader *r, struct sp_error *err) {
  const json_t *lengths = json_object_get(r->root, "lengths");
  const char *name = json_string_value(lengths);
  size_t n = json_array_size(lengths);
  if (name) {
    return strcmp(name, librispeech_name) == 0
               ? take_librispeech(r, err)
               : sp_fail(err, SP_EINPUT, "%s: lengths '%.100s' is no mix that is built in (%s)",
                         r->path, name, librispeech_name);
  }
  if (n == 0) {
    return bad(r, "lengths", "is missing, or neither a name nor an array of [tokens, count]", err);
  }
  SP_TRY(take_room(r, n, err));
  for (size_t i = 0; i < n; i++) {
    SP_TRY(read_pair(r, json_array_get(lengths, i), err));
  }
  return SP_OK;
}

static enum sp_status check_members(const struct reader *r, struct sp_error *err) {
  static const char *const known[] = {
      "secondpass_description", "utterances", "hypotheses", "lengths",
      "utterance_bytes",        "id_bytes",   "duplicates", "equal_copies"};
  const char *name;
  json_t *value;
  if (!json_is_object(r->root)) {
    return sp_fail(err, SP_EINPUT, "%s: not a JSON object", r->path);
  }
  json_object_foreach((json_t *)r->root, name, value) {
    bool found = false;
    for (size_t k = 0; k < sizeof known / sizeof *known; k++) {
      found |= strcmp(name, known[k]) == 0;
    }
    if (!found) {
      return bad(r, name, "is no member of a description", err);
    }
  }
  const json_t *version = json_object_get(r->root, known[0]);
  return json_is_integer(version) && json_integer_value(version) == SP_DESCRIPTION_VERSION
             ? SP_OK
             : bad(r, known[0], "is not 1: no description, or of another version", err);
}

static enum sp_status read_root(const struct reader *r, struct sp_error *err) {
  struct sp_description *out = r->out;
  SP_TRY(check_members(r, err));
  out->id_bytes = librispeech_defaults.id_bytes;
  SP_TRY(read_lengths(r, err));
  SP_TRY(read_count(r, "utterances", true, SP_DESCRIBED_UTTS, &out->utts, err));
  SP_TRY(read_count32(r, "hypotheses", true, SP_DESCRIBED_HYPS, &out->hyps, err));
  SP_TRY(read_count32(r, "utterance_bytes", false, 64 << 20, &out->utt_bytes, err));
  SP_TRY(read_count32(r, "id_bytes", false, 4096, &out->id_bytes, err));
  SP_TRY(read_share(r, "duplicates", &out->duplicates, err));
  return read_share(r, "equal_copies", &out->equal_copies, err);
}

enum sp_status sp_description_parse(struct sp_text text, const char *path,
                                    struct sp_description *out, struct sp_error *err) {
  json_error_t fault;
  *out = (struct sp_description){0};
  json_t *root = json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES, &fault);
  if (!root) {
    return sp_fail(err, SP_EINPUT, "%s:%d: %s", path, fault.line, fault.text);
  }
  struct reader reader = {path, root, out};
  enum sp_status status = read_root(&reader, err);
  json_decref(root);
  return status;
}

enum sp_status sp_description_read(const char *path, struct sp_description *out,
                                   struct sp_error *err) {
  struct sp_buf text = {.ceiling = SP_DESCRIPTION_CEILING};
  *out = (struct sp_description){0};
  enum sp_status status = sp_file_read(path, &text, err);
  if (status == SP_OK) {
    status = sp_description_parse((struct sp_text){text.data ? text.data : "", text.len}, path, out,
                                  err);
  }
  sp_buf_release(&text);
  return status;
}

void sp_description_release(struct sp_description *description) {
  free(description->lengths);
  *description = (struct sp_description){0};
}

uint64_t sp_description_share(const struct sp_description *d, size_t i, uint64_t hyps) {
  unsigned __int128 all = hyps;
  const struct sp_length_count *length = &d->lengths[i];
  return (uint64_t)(all * (length->below + length->count) / d->total) -
         (uint64_t)(all * length->below / d->total);
}

uint32_t sp_description_length(const struct sp_description *d, uint64_t u) {
  uint64_t golden = 0x9e3779b97f4a7c15u; /* 2^64 over the golden ratio */
  uint64_t at = (uint64_t)((unsigned __int128)(golden * u + golden / 2) * d->total >> 64);
  size_t low = 0, high = d->n_lengths - 1; /* the last whose `below` is at most `at` */
  while (low < high) {
    size_t middle = low + (high - low + 1) / 2;
    if (d->lengths[middle].below <= at) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return d->lengths[low].tokens;
}
