#include "text_profile.h"

#include <stdlib.h>
#include <string.h>

#include "archive.h"
#include "file.h"
#include "text_steps.h"

struct sp_text_profile {
  struct sp_text_steps steps;
  struct sp_buf name;
  struct sp_buf texts[2]; /* input and output of a step take turns */
};

void sp_text_profile_close(struct sp_text_profile *profile) {
  if (profile) {
    sp_text_steps_release(&profile->steps);
    sp_buf_release(&profile->name);
    sp_buf_release(&profile->texts[0]);
    sp_buf_release(&profile->texts[1]);
    free(profile);
  }
}

static enum sp_status add_file(struct sp_text_profile *profile, const char *path, bool glm,
                               const char **name, struct sp_error *err) {
  struct sp_buf bytes = {.ceiling = SP_RULES_CEILING};
  enum sp_status status = sp_file_read(path, &bytes, err);
  if (status == SP_OK) {
    struct sp_text text = {bytes.len ? bytes.data : "", bytes.len};
    status = (glm ? sp_glm_parse : sp_rules_parse)(text, path, &profile->steps, name, err);
  }
  sp_buf_release(&bytes);
  return status;
}

/* One member of the list. */
static enum sp_status add_part(struct sp_text_profile *profile, const char *part,
                               struct sp_error *err) {
  const char *name = part;
  if (strcmp(part, "librispeech") == 0) {
    name = "librispeech.v1";
    struct sp_text_step step = {.kind = SP_STEP_LIBRISPEECH};
    SP_TRY(sp_text_steps_add(&profile->steps, step, err));
  } else if (strncmp(part, "rules:", 6) == 0) {
    SP_TRY(add_file(profile, part + 6, false, &name, err));
  } else if (strncmp(part, "glm:", 4) == 0) {
    SP_TRY(add_file(profile, part + 4, true, &name, err));
  } else if (strcmp(part, "none") != 0) {
    return sp_fail(err, SP_EUSAGE,
                   "unknown text profile '%s'; known are none, librispeech, rules:FILE and "
                   "glm:FILE, joined by commas",
                   part);
  }
  return sp_buf_printf(&profile->name, err, "%s%s", profile->name.len ? "+" : "", name);
}

static enum sp_status add_parts(struct sp_text_profile *profile, char *spec, struct sp_error *err) {
  for (char *part = spec; part;) {
    char *comma = strchr(part, ',');
    if (comma) {
      *comma = '\0';
    }
    SP_TRY(add_part(profile, part, err));
    part = comma ? comma + 1 : NULL;
  }
  sp_text_steps_finish(&profile->steps);
  return sp_buf_cstr(&profile->name) ? SP_OK : sp_fail_memory(err, 1);
}

enum sp_status sp_text_profile_open(const char *spec, struct sp_text_profile **out,
                                    struct sp_error *err) {
  struct sp_text_profile *profile = calloc(1, sizeof *profile);
  char *copy = strdup(spec);
  enum sp_status status = SP_OK;
  if (!profile || !copy) {
    status = sp_fail_memory(err, sizeof *profile);
  } else {
    profile->texts[0].ceiling = profile->texts[1].ceiling = SP_RECORD_CEILING;
    status = add_parts(profile, copy, err);
  }
  free(copy);
  if (status != SP_OK) {
    sp_text_profile_close(profile);
    return status;
  }
  *out = profile;
  return SP_OK;
}

const char *sp_text_profile_name(const struct sp_text_profile *profile) {
  return profile->name.data;
}

enum sp_status sp_text_profile_apply(struct sp_text_profile *profile, struct sp_text text,
                                     struct sp_text *out, struct sp_error *err) {
  for (size_t i = 0; i < profile->steps.n; i++) {
    struct sp_buf *to = &profile->texts[i % 2];
    sp_buf_clear(to);
    SP_TRY(sp_text_step_apply(&profile->steps.items[i], text, to, err));
    text = (struct sp_text){to->len ? to->data : "", to->len};
  }
  *out = text;
  return SP_OK;
}
