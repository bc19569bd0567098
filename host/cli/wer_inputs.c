#include "wer_inputs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checked.h"
#include "id_set.h"
#include "text_table.h"

enum { most_others = 64, ids_shown = 10 };

/* Utterances that one side lacks. */
struct missing {
  uint64_t count;
  struct sp_buf ids; /* of the first ones */
};

/* A file that is held in memory. */
struct held {
  const char *path;
  struct sp_text_table *texts;
  struct missing missing; /* ids of the system that the file lacks */
};

struct sp_wer_inputs {
  struct sp_hyp_source *source;
  const char *path;
  struct held ref; /* path NULL: the source's own references */
  struct held others[most_others];
  size_t n_others;
  char *names; /* copy of --against, cut at the commas */
  struct missing own_ref;
  struct sp_id_set *ids;
  struct sp_text *hyps; /* (hyps_capacity) */
  size_t hyps_capacity;
  struct sp_text answers[most_others];
};

static void release_held(struct held *held) {
  sp_text_table_destroy(held->texts);
  sp_buf_release(&held->missing.ids);
}

void sp_wer_inputs_close(struct sp_wer_inputs *inputs) {
  if (inputs) {
    sp_hyp_source_close(inputs->source);
    release_held(&inputs->ref);
    for (size_t i = 0; i < inputs->n_others; i++) {
      release_held(&inputs->others[i]);
    }
    sp_buf_release(&inputs->own_ref.ids);
    sp_id_set_destroy(inputs->ids);
    free(inputs->names);
    free(inputs->hyps);
    free(inputs);
  }
}

size_t sp_wer_inputs_others(const struct sp_wer_inputs *inputs) {
  return inputs->n_others;
}

const char *sp_wer_inputs_name(const struct sp_wer_inputs *inputs, size_t other) {
  return inputs->others[other].path;
}

const char *sp_wer_inputs_place(struct sp_wer_inputs *inputs) {
  return sp_hyp_source_place(inputs->source);
}

static enum sp_status note(struct missing *missing, struct sp_text id, struct sp_error *err) {
  if (missing->count++ < ids_shown) {
    SP_TRY(sp_buf_printf(&missing->ids, err, "%s%.*s", missing->count > 1 ? ", " : "",
                         (int)sp_min_size(id.len, 60), id.data));
  }
  return SP_OK;
}

static enum sp_status fail_missing(const struct missing *missing, const char *what,
                                   const char *path, struct sp_error *err) {
  return sp_fail(err, SP_EINPUT, "%s: %llu utterance%s %s: %.*s%s", path,
                 (unsigned long long)missing->count, missing->count == 1 ? "" : "s", what,
                 (int)missing->ids.len, missing->ids.data,
                 missing->count > ids_shown ? ", .." : "");
}

static enum sp_status fail_twice(const char *place, struct sp_text id, struct sp_error *err) {
  return sp_fail(err, SP_EINPUT, "%s: utterance %.*s is there twice", place,
                 (int)sp_min_size(id.len, 200), id.data);
}

/* The text that `held` keeps of an utterance; false when it has none. */
static bool text_of(const struct sp_hyp_source *source, const struct sp_utt *utt, bool references,
                    struct sp_text *text) {
  if (references && !sp_hyp_source_is_text(source)) {
    *text = utt->ref;
    return utt->has_ref;
  }
  *text = utt->n_hyps > 0 ? utt->hyps[0].text : (struct sp_text){"", 0};
  return true;
}

static enum sp_status hold_all(struct held *held, struct sp_hyp_source *source, bool references,
                               struct sp_error *err) {
  bool found = true;
  for (;;) {
    struct sp_utt utt;
    struct sp_text text;
    size_t index;
    bool existed;
    SP_TRY(sp_hyp_source_next(source, &utt, &found, err));
    if (!found) {
      return SP_OK;
    }
    if (!text_of(source, &utt, references, &text)) {
      return sp_fail(err, SP_EINPUT, "%s: utterance %.*s has no reference",
                     sp_hyp_source_place(source), (int)sp_min_size(utt.id.len, 200), utt.id.data);
    }
    SP_TRY(sp_text_table_add(held->texts, utt.id, text, &index, &existed, err));
    if (existed) {
      return fail_twice(sp_hyp_source_place(source), utt.id, err);
    }
  }
}

static enum sp_status hold(struct held *held, const char *path, bool references,
                           struct sp_error *err) {
  struct sp_hyp_source *source;
  held->path = path;
  SP_TRY(sp_text_table_create(&held->texts, err));
  SP_TRY(sp_hyp_source_open(&path, 1, &(struct sp_archive_options){0}, &source, err));
  enum sp_status status = hold_all(held, source, references, err);
  sp_hyp_source_close(source);
  return status;
}

static enum sp_status hold_others(struct sp_wer_inputs *inputs, const char *list,
                                  struct sp_error *err) {
  inputs->names = strdup(list);
  if (!inputs->names) {
    return sp_fail_memory(err, strlen(list));
  }
  for (char *name = inputs->names; name;) {
    char *comma = strchr(name, ',');
    if (comma) {
      *comma = '\0';
    }
    if (inputs->n_others == most_others) {
      return sp_fail(err, SP_EUSAGE, "--against: more than %d systems", most_others);
    }
    SP_TRY(hold(&inputs->others[inputs->n_others++], name, false, err));
    name = comma ? comma + 1 : NULL;
  }
  return SP_OK;
}

static enum sp_status open_all(struct sp_wer_inputs *inputs, const struct sp_wer_args *args,
                               const struct sp_operands *operands, struct sp_error *err) {
  const char *const *paths = args->hyp ? &args->hyp : operands->items;
  struct sp_archive_options options;
  inputs->path = strcmp(paths[0], "-") == 0 ? "(standard input)" : paths[0];
  SP_TRY(sp_archive_args_resolve(&args->archive, &options, err));
  SP_TRY(sp_hyp_source_open(paths, args->hyp ? 1 : operands->n, &options, &inputs->source, err));
  SP_TRY(sp_id_set_create(SP_ID_SET_MEMORY, NULL, &inputs->ids, err));
  if (args->ref) {
    SP_TRY(hold(&inputs->ref, args->ref, true, err));
  } else if (sp_hyp_source_is_text(inputs->source)) {
    return sp_fail(err, SP_EUSAGE, "%s has no references; give them with --ref FILE", inputs->path);
  }
  return args->against ? hold_others(inputs, args->against, err) : SP_OK;
}

enum sp_status sp_wer_inputs_open(const struct sp_wer_args *args,
                                  const struct sp_operands *operands, struct sp_wer_inputs **out,
                                  struct sp_error *err) {
  struct sp_wer_inputs *inputs = calloc(1, sizeof *inputs);
  if (!inputs) {
    return sp_fail_memory(err, sizeof *inputs);
  }
  enum sp_status status = open_all(inputs, args, operands, err);
  if (status != SP_OK) {
    sp_wer_inputs_close(inputs);
    return status;
  }
  *out = inputs;
  return SP_OK;
}

static enum sp_status copy_hyps(struct sp_wer_inputs *inputs, const struct sp_utt *utt,
                                struct sp_error *err) {
  if (utt->n_hyps > inputs->hyps_capacity) {
    size_t bytes = sp_mul_sat(utt->n_hyps, sizeof *inputs->hyps);
    struct sp_text *hyps = realloc(inputs->hyps, bytes);
    if (!hyps) {
      return sp_fail_memory(err, bytes);
    }
    inputs->hyps = hyps;
    inputs->hyps_capacity = utt->n_hyps;
  }
  for (size_t i = 0; i < utt->n_hyps; i++) {
    inputs->hyps[i] = utt->hyps[i].text;
  }
  return SP_OK;
}

/* Looks everything up that belongs to the utterance; *complete when all of it is there. */
static enum sp_status join(struct sp_wer_inputs *inputs, const struct sp_utt *utt,
                           struct sp_wer_input *out, bool *complete, struct sp_error *err) {
  *complete = true;
  out->ref = utt->ref;
  if (inputs->ref.path && !sp_text_table_use(inputs->ref.texts, utt->id, &out->ref)) {
    *complete = false;
    SP_TRY(note(&inputs->ref.missing, utt->id, err));
  } else if (!inputs->ref.path && !utt->has_ref) {
    *complete = false;
    SP_TRY(note(&inputs->own_ref, utt->id, err));
  }
  for (size_t i = 0; i < inputs->n_others; i++) {
    struct held *other = &inputs->others[i];
    if (!sp_text_table_use(other->texts, utt->id, &inputs->answers[i])) {
      *complete = false;
      SP_TRY(note(&other->missing, utt->id, err));
    }
  }
  return SP_OK;
}

enum sp_status sp_wer_inputs_next(struct sp_wer_inputs *inputs, struct sp_wer_input *out,
                                  bool *found, struct sp_error *err) {
  struct sp_utt utt;
  bool complete, duplicate;
  do {
    SP_TRY(sp_hyp_source_next(inputs->source, &utt, found, err));
    if (!*found) {
      return SP_OK;
    }
    SP_TRY(sp_id_set_add(inputs->ids, utt.id, &duplicate, err));
    if (duplicate) {
      return fail_twice(sp_hyp_source_place(inputs->source), utt.id, err);
    }
    SP_TRY(join(inputs, &utt, out, &complete, err));
  } while (!complete);
  SP_TRY(copy_hyps(inputs, &utt, err));
  out->id = utt.id;
  out->hyps = inputs->hyps;
  out->n_hyps = utt.n_hyps;
  out->others = inputs->answers;
  out->fields = utt.fields;
  out->n_fields = utt.n_fields;
  return SP_OK;
}

/* What `held` lacks, and what it has that the system lacks. */
static enum sp_status check_held(const struct sp_wer_inputs *inputs, const struct held *held,
                                 const char *lacking, struct sp_error *err) {
  if (held->missing.count > 0) {
    return fail_missing(&held->missing, lacking, held->path, err);
  }
  struct missing extra = {0};
  enum sp_status status = SP_OK;
  for (size_t i = 0; status == SP_OK && i < sp_text_table_count(held->texts); i++) {
    if (!sp_text_table_used(held->texts, i)) {
      status = note(&extra, sp_text_table_id(held->texts, i), err);
    }
  }
  if (status == SP_OK && extra.count > 0) {
    char what[256];
    snprintf(what, sizeof what, "that %.200s lacks", inputs->path);
    status = fail_missing(&extra, what, held->path, err);
  }
  sp_buf_release(&extra.ids);
  return status;
}

enum sp_status sp_wer_inputs_finish(struct sp_wer_inputs *inputs, struct sp_error *err) {
  uint64_t first, second;
  SP_TRY(sp_id_set_finish(inputs->ids, &first, &second, err));
  if (first != second) {
    return sp_fail(err, SP_EINPUT, "%s: utterances %llu and %llu have the same id", inputs->path,
                   (unsigned long long)first + 1, (unsigned long long)second + 1);
  }
  if (inputs->own_ref.count > 0) {
    return fail_missing(&inputs->own_ref, "without a reference", inputs->path, err);
  }
  if (inputs->ref.path) {
    SP_TRY(check_held(inputs, &inputs->ref, "without a reference", err));
  }
  for (size_t i = 0; i < inputs->n_others; i++) {
    SP_TRY(check_held(inputs, &inputs->others[i], "without an answer", err));
  }
  return SP_OK;
}
