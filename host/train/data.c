#include "data.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "checked.h"
#include "data_inside.h"

/* ---- settings ---- */

static enum sp_status check_masks(const struct sp_train_data_settings *s, struct sp_error *err) {
  if (!(s->mask_rate > 0 && s->mask_rate < 1)) {
    return sp_fail(err, SP_EUSAGE, "the share of masked tokens, %g, is not between 0 and 1",
                   s->mask_rate);
  }
  if (!(s->join_share >= 0 && s->join_share <= 1)) {
    return sp_fail(err, SP_EUSAGE, "the share of joined samples, %g, is not from 0 to 1",
                   s->join_share);
  }
  if (!(s->mask_as_mask >= 0 && s->mask_as_random >= 0 &&
        s->mask_as_mask + s->mask_as_random <= 1)) {
    return sp_fail(err, SP_EUSAGE,
                   "of the targets %g shown as [MASK] and %g as a random token are no shares",
                   s->mask_as_mask, s->mask_as_random);
  }
  return SP_OK;
}

static enum sp_status check_teachers(const struct sp_train_data_settings *s, struct sp_error *err) {
  bool distill = s->objective == SP_OBJECTIVE_DISTILL;
  if (s->objective == SP_OBJECTIVE_MLM && (s->n_teacher > 0 || s->n_holdout_teacher > 0)) {
    return sp_fail(err, SP_EUSAGE, "mlm has no teacher");
  }
  if (distill && s->n_teacher == 0) {
    return sp_fail(err, SP_EUSAGE, "distill needs a teacher: a run directory of `score`");
  }
  if (distill && s->n_holdout > 0 && s->n_holdout_teacher == 0) {
    return sp_fail(err, SP_EUSAGE, "distill needs a teacher of the held-out files too");
  }
  if (s->n_holdout == 0 && s->n_holdout_teacher > 0) {
    return sp_fail(err, SP_EUSAGE, "a teacher of held-out files is given, but no such files");
  }
  return SP_OK;
}

static enum sp_status check_files(const char *const *files, size_t n, struct sp_error *err) {
  for (size_t i = 0; i < n; i++) {
    if (strcmp(files[i], "-") == 0) {
      return sp_fail(err, SP_EUSAGE,
                     "training reads its data again when it goes on: standard "
                     "input cannot be trained on");
    }
  }
  return SP_OK;
}

static bool is_same_file(const char *a, const char *b) {
  struct stat left, right;
  return stat(a, &left) == 0 && stat(b, &right) == 0 && left.st_dev == right.st_dev &&
         left.st_ino == right.st_ino;
}

/* What is trained on tells nothing of what was never seen. */
static enum sp_status check_apart(const struct sp_train_data_settings *s, struct sp_error *err) {
  for (size_t h = 0; h < s->n_holdout; h++) {
    for (size_t i = 0; i < s->n_files; i++) {
      if (is_same_file(s->holdout[h], s->files[i])) {
        return sp_fail(err, SP_EUSAGE, "%s is both trained on and held out", s->holdout[h]);
      }
    }
  }
  return SP_OK;
}

static enum sp_status check_settings(const struct sp_train_data_settings *s, struct sp_error *err) {
  if (s->n_files == 0) {
    return sp_fail(err, SP_EUSAGE, "no data is given");
  }
  if (s->max_tokens < 3 || s->max_tokens > UINT16_MAX) {
    return sp_fail(err, SP_EUSAGE, "a sequence of %zu tokens: it takes 3 to %d", s->max_tokens,
                   UINT16_MAX);
  }
  if (s->holdout_every == 1 || (s->holdout_every > 0 && s->n_holdout > 0)) {
    return sp_fail(err, SP_EUSAGE,
                   s->n_holdout > 0 ? "held-out files and every N-th: one of the two"
                                    : "with every 1st held out there is nothing to train on");
  }
  if (s->objective == SP_OBJECTIVE_MLM && s->only_ids) {
    return sp_fail(err, SP_EUSAGE, "sentences of text have no ids to choose by");
  }
  SP_TRY(check_files(s->files, s->n_files, err));
  SP_TRY(check_files(s->holdout, s->n_holdout, err));
  SP_TRY(check_apart(s, err));
  SP_TRY(check_teachers(s, err));
  return s->objective == SP_OBJECTIVE_MLM ? check_masks(s, err) : SP_OK;
}

/* ---- vocabulary ---- */

static enum sp_status set_tokens(struct sp_train_data *data, const struct sp_tokenizer *tokenizer,
                                 struct sp_error *err) {
  const struct sp_tokenizer_info *info = sp_tokenizer_get_info(tokenizer);
  const int32_t all[5] = {info->cls, info->sep, info->mask, info->pad, info->unk};
  static const char *const names[] = {"[CLS]", "[SEP]", "[MASK]"};
  bool mlm = data->objective == SP_OBJECTIVE_MLM;
  for (int i = 0; i < (mlm ? 3 : 2); i++) {
    if (all[i] < 0) {
      return sp_fail(err, SP_EMODEL, "the vocabulary has no %s, which %s needs", names[i],
                     mlm ? "mlm" : "a model");
    }
  }
  data->vocab_size = info->vocab_size;
  data->cls = info->cls;
  data->sep = info->sep;
  data->mask = info->mask;
  memcpy(data->untouched, all, sizeof data->untouched);
  for (int32_t id = 0; (size_t)id < info->vocab_size && data->n_special < 5; id++) {
    bool special = false;
    for (int i = 0; i < 5; i++) {
      special = special || id == all[i];
    }
    if (special) {
      data->special[data->n_special++] = id;
    }
  }
  return data->vocab_size > data->n_special
             ? SP_OK
             : sp_fail(err, SP_EMODEL, "the vocabulary has nothing but special tokens");
}

/* ---- opening ---- */

static enum sp_status keep_files(struct sp_train_data *data, const struct sp_train_data_settings *s,
                                 struct sp_error *err) {
  size_t n = s->n_files + s->n_holdout;
  data->files = calloc(n, sizeof *data->files);
  if (!data->files) {
    return sp_fail_memory(err, n * sizeof *data->files);
  }
  for (; data->n_files < n; data->n_files++) {
    const char *path = data->n_files < s->n_files ? s->files[data->n_files]
                                                  : s->holdout[data->n_files - s->n_files];
    if (!(data->files[data->n_files] = strdup(path))) {
      return sp_fail_memory(err, strlen(path));
    }
  }
  return SP_OK;
}

static enum sp_status check_split(const struct sp_train_data *data,
                                  const struct sp_train_data_settings *s, struct sp_error *err) {
  if (s->holdout_every > 0 && data->part[SP_HOLDOUT_PART].items == 0) {
    return sp_fail(err, SP_EINPUT, "%s: the data is too short to hold out one of %" PRIu64,
                   s->files[0], s->holdout_every);
  }
  return SP_OK;
}

static void count_parts(struct sp_train_data *data) {
  const struct sp_data_part *train = &data->part[SP_TRAINING_PART];
  const struct sp_data_part *held = &data->part[SP_HOLDOUT_PART];
  struct sp_train_data_counts *counts = &data->counts;
  counts->items = train->items;
  counts->tokens = train->tokens;
  counts->hyps = train->sequences;
  counts->holdout_items = held->items;
  counts->holdout_tokens = held->tokens;
  counts->holdout_hyps = held->sequences;
}

static enum sp_status open_data(struct sp_train_data *data, const struct sp_tokenizer *tokenizer,
                                const struct sp_train_data_settings *s, struct sp_error *err) {
  bool lists = s->objective != SP_OBJECTIVE_MLM;
  SP_TRY(check_settings(s, err));
  SP_TRY(set_tokens(data, tokenizer, err));
  SP_TRY(keep_files(data, s, err));
  for (int p = 0; p < 2; p++) {
    sp_data_part_init(&data->part[p], s->scratch_dir, lists, data->vocab_size <= UINT16_MAX + 1u);
  }
  data->has_teacher[SP_TRAINING_PART] = s->n_teacher > 0;
  data->has_teacher[SP_HOLDOUT_PART] =
      s->n_holdout > 0 ? s->n_holdout_teacher > 0 : s->n_teacher > 0;
  SP_TRY(sp_data_read(data, tokenizer, s, err));
  SP_TRY(check_split(data, s, err));
  for (int p = 0; p < 2; p++) {
    SP_TRY(sp_data_part_finish(&data->part[p], err));
  }
  count_parts(data);
  return SP_OK;
}

enum sp_status sp_train_data_open(const struct sp_tokenizer *tokenizer,
                                  const struct sp_train_data_settings *settings,
                                  struct sp_train_data **out, struct sp_error *err) {
  struct sp_train_data *data = calloc(1, sizeof *data);
  *out = NULL;
  if (!data) {
    return sp_fail_memory(err, sizeof *data);
  }
  *data = (struct sp_train_data){.objective = settings->objective,
                                 .max_tokens = settings->max_tokens,
                                 .join_share = settings->join_share,
                                 .mask_rate = settings->mask_rate,
                                 .mask_as_mask = settings->mask_as_mask,
                                 .mask_as_random = settings->mask_as_random,
                                 .seed = settings->seed};
  for (int p = 0; p < 2; p++) {
    sp_data_part_init(&data->part[p], settings->scratch_dir, false, false);
  }
  enum sp_status status = open_data(data, tokenizer, settings, err);
  if (status != SP_OK) {
    sp_train_data_close(data);
    return status;
  }
  *out = data;
  return SP_OK;
}

void sp_train_data_close(struct sp_train_data *data) {
  if (data) {
    for (size_t i = 0; i < data->n_files; i++) {
      free(data->files[i]);
    }
    free(data->files);
    for (int p = 0; p < 2; p++) {
      sp_data_part_release(&data->part[p]);
    }
    sp_data_arrays_release(&data->arrays);
    sp_buf_release(&data->name);
    free(data);
  }
}

const struct sp_train_data_counts *sp_train_data_get_counts(const struct sp_train_data *data) {
  return &data->counts;
}

const char *sp_train_data_item_name(struct sp_train_data *data, bool holdout, uint64_t item) {
  const struct sp_data_part *part = &data->part[holdout ? SP_HOLDOUT_PART : SP_TRAINING_PART];
  enum sp_status status;
  sp_buf_clear(&data->name);
  if (part->lists) {
    struct sp_text name = sp_data_part_name(part, item);
    status = sp_buf_append(&data->name, name.data, name.len, NULL);
  } else {
    uint64_t place = sp_data_number(part, SP_DATA_PLACE, item);
    status = sp_buf_printf(&data->name, NULL, "%s:%" PRIu64, data->files[sp_place_file(place)],
                           sp_place_line(place));
  }
  const char *text = status == SP_OK ? sp_buf_cstr(&data->name) : NULL;
  return text ? text : "(out of memory)";
}
