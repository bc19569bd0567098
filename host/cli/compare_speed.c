#include "compare_speed.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

#include "file.h"

enum { summary_ceiling = 1 << 20 };

static bool is_text(const json_t *object, const char *member, const char *text) {
  const char *own = json_string_value(json_object_get(object, member));
  return own && strcmp(own, text) == 0;
}

static enum sp_status read_root(const json_t *root, const char *signature, struct sp_run_speed *out,
                                struct sp_error *err) {
  const json_t *rate = json_object_get(root, "hyps_per_second");
  const json_t *seconds = json_object_get(json_object_get(root, "seconds"), "score");
  if (!is_text(root, "command", "score") || !json_is_number(seconds)) {
    return sp_fail(err, SP_EINPUT, "%s is not what `secondpass score --json` prints", out->path);
  }
  if (!is_text(root, "signature", signature)) {
    return sp_fail(err, SP_EINPUT, "%s is of another run: its signature is not %s", out->path,
                   signature);
  }
  bool measured = json_is_number(rate) &&
                  !json_is_true(json_object_get(root, "already_complete")) &&
                  json_number_value(rate) > 0;
  out->hyps_per_second = measured ? json_number_value(rate) : NAN;
  out->seconds = json_number_value(seconds);
  return SP_OK;
}

enum sp_status sp_run_speed_read(const char *path, const char *signature, struct sp_run_speed *out,
                                 struct sp_error *err) {
  struct sp_buf text = {.ceiling = summary_ceiling};
  json_error_t fault;
  *out = (struct sp_run_speed){.path = path, .hyps_per_second = NAN, .seconds = NAN};
  if (!path) {
    return SP_OK;
  }
  enum sp_status status = sp_file_read(path, &text, err);
  if (status == SP_OK) {
    json_t *root = json_loadb(text.data ? text.data : "", text.len, JSON_REJECT_DUPLICATES, &fault);
    status = root ? read_root(root, signature, out, err)
                  : sp_fail(err, SP_EINPUT, "%s:%d: %s", path, fault.line, fault.text);
    json_decref(root);
  }
  sp_buf_release(&text);
  return status;
}

double sp_run_slowdown(const struct sp_run_speed *a, const struct sp_run_speed *b) {
  return 100 * (1 - b->hyps_per_second / a->hyps_per_second);
}
