#include "state_file.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "checked.h"
#include "sink.h"

#define FORMAT "secondpass-state"

enum { version = 1, n_arrays = 3, header_ceiling = 16 << 20 };

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "arrays are written as they lie in memory");

struct writer {
  struct sp_sink *sink;
  XXH3_state_t *hash;
};

static enum sp_status put(struct writer *to, const void *data, size_t len, struct sp_error *err) {
  XXH3_128bits_update(to->hash, data, len);
  return sp_sink_write(to->sink, data, len, err);
}

static enum sp_status put_header(struct writer *to, const char *path, uint64_t step, size_t count,
                                 const json_t *facts, struct sp_error *err) {
  json_t *root = json_pack("{s:s, s:i, s:I, s:I, s:O}", "format", FORMAT, "version", version,
                           "step", (json_int_t)step, "count", (json_int_t)count, "facts", facts);
  char *text = root ? json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
  enum sp_status status = text ? SP_OK : sp_fail_memory(err, 0);
  size_t len = text ? strlen(text) : 0;
  if (len >= header_ceiling) {
    status =
        sp_fail(err, SP_EIO, "%s: the facts of a state are beyond %d bytes", path, header_ceiling);
  }
  if (status == SP_OK) {
    text[len] = '\n'; /* for its end */
    status = put(to, text, len + 1, err);
  }
  free(text);
  json_decref(root);
  return status;
}

static enum sp_status put_all(struct writer *to, const char *path, uint64_t step,
                              const json_t *facts, const struct sp_train_arrays *arrays,
                              struct sp_error *err) {
  const float *const parts[n_arrays] = {arrays->param, arrays->m, arrays->v};
  XXH128_canonical_t trailer;
  SP_TRY(put_header(to, path, step, arrays->count, facts, err));
  for (size_t i = 0; i < n_arrays; i++) {
    SP_TRY(put(to, parts[i], arrays->count * sizeof *parts[i], err));
  }
  XXH128_canonicalFromHash(&trailer, XXH3_128bits_digest(to->hash));
  return sp_sink_write(to->sink, &trailer, sizeof trailer, err);
}

enum sp_status sp_state_file_write(const char *path, uint64_t step, const json_t *facts,
                                   const struct sp_train_arrays *arrays, struct sp_error *err) {
  struct writer to = {.hash = XXH3_createState()};
  enum sp_status status;
  if (!to.hash) {
    return sp_fail_memory(err, 0);
  }
  XXH3_128bits_reset(to.hash);
  SP_TRY_GOTO(sp_sink_open(path, &to.sink, err), free_hash);
  status = put_all(&to, path, step, facts, arrays, err);
  if (status == SP_OK) {
    status = sp_sink_close(to.sink, err);
  } else {
    sp_sink_discard(to.sink);
  }
free_hash:
  XXH3_freeState(to.hash);
  return status;
}

static bool hash_holds(struct sp_text bytes) {
  XXH128_canonical_t trailer;
  size_t len = bytes.len - sizeof trailer;
  memcpy(&trailer, bytes.data + len, sizeof trailer);
  return XXH128_isEqual(XXH128_hashFromCanonical(&trailer), XXH3_128bits(bytes.data, len));
}

static bool read_count(const json_t *root, const char *key, uint64_t *out) {
  const json_t *value = json_object_get(root, key);
  *out = (uint64_t)json_integer_value(value);
  return json_is_integer(value) && json_integer_value(value) >= 0;
}

static bool is_state(const json_t *root) {
  const char *format = json_string_value(json_object_get(root, "format"));
  return format && strcmp(format, FORMAT) == 0;
}

/* `body` is what lies between the header's line and the trailer. */
static enum sp_status take(const json_t *root, struct sp_text body, const char *path, uint64_t step,
                           struct sp_train_arrays *arrays, json_t **facts, struct sp_error *err) {
  float *const parts[n_arrays] = {arrays->param, arrays->m, arrays->v};
  uint64_t named_version, named_step, count;
  json_t *inner = json_object_get(root, "facts");
  if (!is_state(root) || !read_count(root, "version", &named_version)) {
    return sp_fail(err, SP_EDAMAGED, "%s is no state of a training run", path);
  }
  if (named_version != version) {
    return sp_fail(err, SP_EMODEL, "%s: version %llu of states is not known", path,
                   (unsigned long long)named_version);
  }
  if (!read_count(root, "step", &named_step) || !read_count(root, "count", &count) ||
      !json_is_object(inner) || named_step != step ||
      body.len != sp_mul_sat(count, n_arrays * sizeof(float))) {
    return sp_fail(err, SP_EDAMAGED, "%s: its header contradicts its size or name", path);
  }
  if (count != arrays->count) {
    return sp_fail(err, SP_EMODEL, "%s is of a model with %llu numbers, this one has %zu", path,
                   (unsigned long long)count, arrays->count);
  }
  for (size_t i = 0; i < n_arrays; i++) {
    memcpy(parts[i], body.data + i * count * sizeof(float), count * sizeof(float));
  }
  *facts = json_incref(inner);
  return SP_OK;
}

enum sp_status sp_state_file_parse(struct sp_text bytes, const char *path, uint64_t step,
                                   struct sp_train_arrays *arrays, json_t **facts,
                                   struct sp_error *err) {
  const size_t tail = sizeof(XXH128_canonical_t);
  if (bytes.len <= tail) {
    return sp_fail(err, SP_EDAMAGED, "%s is cut: %zu bytes", path, bytes.len);
  }
  if (!hash_holds(bytes)) {
    return sp_fail(err, SP_EDAMAGED, "%s is cut or harmed: its hash does not fit", path);
  }
  size_t room = bytes.len - tail;
  const char *line_end = memchr(bytes.data, '\n', sp_min_size(room, header_ceiling));
  size_t line = line_end ? (size_t)(line_end - bytes.data) : 0;
  json_t *root = json_loadb(bytes.data, line, JSON_REJECT_DUPLICATES, NULL);
  if (!root) {
    return sp_fail(err, SP_EDAMAGED, "%s has no header", path);
  }
  struct sp_text body = {bytes.data + line + 1, room - line - 1};
  enum sp_status status = take(root, body, path, step, arrays, facts, err);
  json_decref(root);
  return status;
}
