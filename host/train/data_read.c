/* Files to parts: archives are read by one thread into blocks, tokenized by several, and stored in order. */
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "checked.h"
#include "cpus.h"
#include "data_block.h"
#include "data_groups.h"
#include "data_inside.h"
#include "data_teacher.h"
#include "id_list.h"
#include "id_set.h"
#include "letter_case.h"
#include "thread.h"

#define MAX_WORKERS 8

struct reader {
  struct sp_train_data *data;
  const struct sp_train_data_settings *settings;
  const struct sp_tokenizer *tokenizer;
  struct sp_data_worker workers[MAX_WORKERS];
  size_t n_workers, filling; /* blocks before `filling` are full */
  struct sp_id_list *only;
  /* of the input that is being read */
  bool holdout;
  uint64_t utts;     /* that were taken */
  uint64_t with_ref; /* of these */
  uint64_t scored;   /* hypotheses with the first-pass score that was asked for */
};

static bool is_mlm(const struct reader *r) {
  return r->data->objective == SP_OBJECTIVE_MLM;
}
static bool needs_errors(const struct reader *r) {
  return r->data->objective == SP_OBJECTIVE_MWER || r->data->objective == SP_OBJECTIVE_MWED;
}

/* ---- storing ---- */

static struct sp_data_part *part_of(struct reader *r, const struct sp_data_utt *utt) {
  uint64_t every = r->settings->holdout_every;
  bool held = r->holdout || (every > 0 && utt->ordinal % every == every - 1);
  return &r->data->part[held ? SP_HOLDOUT_PART : SP_TRAINING_PART];
}

static bool has_target(const struct sp_train_data *data, const int32_t *ids, size_t n) {
  for (size_t i = 0; i < n; i++) {
    if (sp_data_may_mask(data, ids[i])) {
      return true;
    }
  }
  return false;
}

/* A line: a piece of at most max_tokens positions after the other. */
static enum sp_status store_sentence(struct reader *r, const struct sp_data_utt *utt,
                                     const struct sp_data_text *text, const int32_t *ids,
                                     struct sp_error *err) {
  struct sp_data_part *part = part_of(r, utt);
  size_t room = r->data->max_tokens - 2;
  r->data->counts.cut += text->n_ids > room;
  r->data->counts.left_out += text->n_ids == 0;
  for (size_t at = 0; at < text->n_ids; at += room) {
    struct sp_data_sequence piece = {.ids = ids + at, .n = sp_min_size(room, text->n_ids - at)};
    if (!has_target(r->data, piece.ids, piece.n)) {
      r->data->counts.left_out++;
      continue;
    }
    SP_TRY(sp_data_part_add(part, &piece, err));
    SP_TRY(sp_data_part_end_sentence(part, utt->place, err));
  }
  return SP_OK;
}

static bool fits(const struct reader *r, const struct sp_data_text *text) {
  return text->n_ids > 0 && text->n_ids <= r->data->max_tokens - 2;
}

/* Whether a list has anything to learn from. */
static bool is_useful(const struct reader *r, const struct sp_data_utt *utt,
                      const struct sp_data_text *texts) {
  bool distill = r->data->objective == SP_OBJECTIVE_DISTILL;
  for (size_t i = 0; i < utt->n_texts; i++) {
    if (fits(r, &texts[i]) && (!distill || !isnan(texts[i].teacher))) {
      return true;
    }
  }
  return false;
}

static enum sp_status store_list(struct reader *r, const struct sp_data_block *block,
                                 const struct sp_data_utt *utt, const struct sp_data_text *texts,
                                 const int32_t *ids, struct sp_error *err) {
  struct sp_train_data_counts *counts = &r->data->counts;
  struct sp_data_part *part = part_of(r, utt);
  bool teacher = r->data->has_teacher[r->holdout];
  if (needs_errors(r) && !utt->has_ref) {
    counts->without_ref++;
    return SP_OK;
  }
  if (!is_useful(r, utt, texts)) {
    counts->left_out += sp_max_size(utt->n_texts, 1);
    return SP_OK;
  }
  for (size_t i = 0; i < utt->n_texts; ids += texts[i++].n_ids) {
    struct sp_data_sequence hyp = {ids, texts[i].n_ids, texts[i].first_pass, texts[i].errors,
                                   texts[i].teacher};
    counts->left_out += !fits(r, &texts[i]);
    if (fits(r, &texts[i])) {
      counts->teacher_null += teacher && isnan(hyp.teacher);
      SP_TRY(sp_data_part_add(part, &hyp, err));
    }
  }
  struct sp_text name = {block->bytes.data + utt->id.start, utt->id.len};
  return sp_data_part_end_list(part, name, (float)utt->ref_words, err);
}

static enum sp_status store_block(struct reader *r, struct sp_data_block *block,
                                  struct sp_error *err) {
  const struct sp_data_utt *utts = (const struct sp_data_utt *)block->utts.data;
  const struct sp_data_text *texts = (const struct sp_data_text *)block->texts.data;
  const int32_t *ids = (const int32_t *)block->ids.data;
  for (size_t u = 0; u < sp_data_block_utts(block); u++) {
    SP_TRY(is_mlm(r) ? store_sentence(r, &utts[u], texts, ids, err)
                     : store_list(r, block, &utts[u], texts, ids, err));
    for (size_t i = 0; i < utts[u].n_texts; i++) {
      ids += texts++->n_ids;
    }
  }
  sp_data_block_clear(block);
  return SP_OK;
}

static void *run_worker(void *arg) {
  sp_data_worker_run(arg);
  return NULL;
}

/* Tokenizes the blocks that are there, one a thread, and stores them in order. */
static enum sp_status flush(struct reader *r, struct sp_error *err) {
  pthread_t threads[MAX_WORKERS];
  bool started[MAX_WORKERS] = {false};
  size_t n = sp_min_size(r->filling + 1, r->n_workers);
  for (size_t w = 1; w < n; w++) {
    started[w] = sp_thread_start(&threads[w], run_worker, &r->workers[w]) == 0;
  }
  for (size_t w = 0; w < n; w++) {
    if (started[w]) {
      pthread_join(threads[w], NULL);
    } else {
      sp_data_worker_run(&r->workers[w]);
    }
  }
  r->filling = 0;
  for (size_t w = 0; w < n; w++) {
    if (r->workers[w].status != SP_OK) {
      *err = r->workers[w].err;
      return r->workers[w].status;
    }
    SP_TRY(store_block(r, &r->workers[w].block, err));
  }
  return SP_OK;
}

/* ---- reading ---- */

static enum sp_status keep_text(struct reader *r, struct sp_data_block *block,
                                const struct sp_hyp *hyp, float teacher, struct sp_error *err) {
  const char *name = r->settings->first_pass ? r->settings->first_pass : "score";
  struct sp_data_text text = {.teacher = teacher, .first_pass = NAN};
  double value;
  if (needs_errors(r) && sp_hyp_named_score(hyp, (struct sp_text){name, strlen(name)}, &value)) {
    text.first_pass = (float)value;
    r->scored++;
  }
  SP_TRY(sp_data_block_keep(block, hyp->text, &text.text, err));
  return sp_buf_append(&block->texts, &text, sizeof text, err);
}

static enum sp_status keep_utt(struct reader *r, const struct sp_utt *utt, const float *teacher,
                               uint64_t place, struct sp_error *err) {
  struct sp_data_block *block = &r->workers[r->filling].block;
  size_t most = r->settings->max_hyps && !is_mlm(r) ? r->settings->max_hyps : SIZE_MAX;
  struct sp_data_utt kept = {.n_texts = sp_min_size(utt->n_hyps, most),
                             .has_ref = utt->has_ref,
                             .place = place,
                             .ordinal = r->utts++};
  r->with_ref += utt->has_ref;
  if (!is_mlm(r)) {
    SP_TRY(sp_data_block_keep(block, utt->id, &kept.id, err));
  }
  if (utt->has_ref && needs_errors(r)) {
    SP_TRY(sp_data_block_keep(block, utt->ref, &kept.ref, err));
  }
  for (size_t i = 0; i < kept.n_texts; i++) {
    SP_TRY(keep_text(r, block, &utt->hyps[i], teacher ? teacher[i] : NAN, err));
  }
  SP_TRY(sp_buf_append(&block->utts, &kept, sizeof kept, err));
  if (sp_data_block_is_full(block) && ++r->filling == r->n_workers) {
    return flush(r, err);
  }
  return SP_OK;
}

static enum sp_status check_id(struct sp_id_set *ids, struct sp_archive *archive, struct sp_text id,
                               struct sp_error *err) {
  bool twice;
  SP_TRY(sp_id_set_add(ids, id, &twice, err));
  return !twice ? SP_OK
                : sp_fail(err, SP_EINPUT, "%s: the id '%.*s' occurs twice",
                          sp_archive_place(archive), (int)sp_min_size(id.len, 200), id.data);
}

/* One archive. Ids of text are line numbers: no two are equal, and no set is kept of them. */
static enum sp_status read_utts(struct reader *r, struct sp_archive *archive,
                                struct sp_data_teacher *teacher, struct sp_id_set *ids, size_t file,
                                struct sp_error *err) {
  bool text = sp_archive_get_format(archive) == SP_FORMAT_TEXT;
  for (uint64_t line = 1;; line++) {
    struct sp_utt utt;
    const float *scores = NULL;
    bool found;
    SP_TRY(sp_archive_next(archive, &utt, &found, err));
    if (!found) {
      return teacher ? sp_data_teacher_finish(teacher, err) : SP_OK;
    }
    if (!text) {
      SP_TRY(check_id(ids, archive, utt.id, err));
    }
    if (teacher) {
      SP_TRY(sp_data_teacher_next(teacher, &utt, sp_archive_place(archive), &scores, err));
    }
    if (!r->only || r->holdout || sp_id_list_has(r->only, utt.id)) {
      SP_TRY(keep_utt(r, &utt, scores, sp_place_make(file, line), err));
    }
  }
}

static enum sp_status finish_ids(struct sp_id_set *ids, struct sp_error *err) {
  uint64_t first, second;
  SP_TRY(sp_id_set_finish(ids, &first, &second, err));
  return first == second
             ? SP_OK
             : sp_fail(err, SP_EINPUT, "utterances %llu and %llu of the data have the same id",
                       (unsigned long long)first + 1, (unsigned long long)second + 1);
}

static enum sp_status open_group(const struct reader *r, const struct sp_data_input *input,
                                 const struct sp_data_group *group, struct sp_archive **archive,
                                 struct sp_error *err) {
  const char *const *files = input->files + group->from;
  return is_mlm(r) ? sp_archive_open_text(files[0], input->format, archive, err)
                   : sp_archive_open(files, group->n, input->format, archive, err);
}

static enum sp_status read_group(struct reader *r, const struct sp_data_input *input,
                                 const struct sp_data_group *group, struct sp_error *err) {
  struct sp_archive *archive = NULL;
  struct sp_data_teacher teacher = {0};
  struct sp_id_set *ids = NULL;
  size_t file = group->from + (r->holdout ? r->settings->n_files : 0);
  enum sp_status status;
  SP_TRY_GOTO(sp_id_set_create(SP_ID_SET_MEMORY, r->settings->scratch_dir, &ids, err), release);
  SP_TRY_GOTO(open_group(r, input, group, &archive, err), release);
  if (group->teacher) {
    SP_TRY_GOTO(sp_data_teacher_open(&teacher, group->teacher, r->settings->teacher_method, err),
                release);
  }
  SP_TRY_GOTO(read_utts(r, archive, group->teacher ? &teacher : NULL, ids, file, err), release);
  SP_TRY_GOTO(finish_ids(ids, err), release);
release:
  sp_data_teacher_close(&teacher);
  sp_id_set_destroy(ids);
  sp_archive_close(archive);
  return status;
}

static enum sp_status check_input(const struct reader *r, const char *first, struct sp_error *err) {
  const struct sp_data_part *part = &r->data->part[r->holdout];
  const char *name = r->settings->first_pass ? r->settings->first_pass : "score";
  if (r->utts == 0) {
    return sp_fail(err, SP_EINPUT, "%s: the data is empty", first);
  }
  if (needs_errors(r) && r->with_ref == 0) {
    return sp_fail(err, SP_EINPUT, "%s: no utterance has a reference, which %s counts errors by",
                   first, sp_objective_name(r->data->objective));
  }
  if (needs_errors(r) && r->scored == 0) {
    return sp_fail(err, SP_EINPUT, "%s: no hypothesis has the first-pass score '%s'", first, name);
  }
  if (part->items == 0) {
    return sp_fail(err, SP_EINPUT,
                   "%s: nothing is left of %llu utterances: empty, longer than %zu tokens, or "
                   "without a score of the teacher",
                   first, (unsigned long long)r->utts, r->data->max_tokens);
  }
  return SP_OK;
}

static enum sp_status read_input(struct reader *r, const struct sp_data_input *input, bool holdout,
                                 struct sp_error *err) {
  struct sp_data_groups groups;
  r->holdout = holdout;
  r->utts = r->with_ref = r->scored = 0;
  enum sp_status status = sp_data_groups_make(&groups, input, err);
  for (size_t g = 0; status == SP_OK && g < groups.n; g++) {
    status = read_group(r, input, &groups.group[g], err);
  }
  sp_data_groups_release(&groups);
  SP_TRY(status);
  SP_TRY(flush(r, err));
  if (r->only && !holdout) {
    SP_TRY(sp_id_list_check_all_seen(r->only, err));
  }
  return check_input(r, input->files[0], err);
}

/* ---- letter case ---- */

static enum sp_status look_at_case(const struct sp_data_input *input, struct sp_case_look *look,
                                   struct sp_error *err) {
  struct sp_archive *archive;
  SP_TRY(sp_archive_open(input->files, input->n_files, input->format, &archive, err));
  enum sp_status status = SP_OK;
  bool found = true;
  for (size_t u = 0; status == SP_OK && found && u < SP_CASE_LOOK_UTTS; u++) {
    struct sp_utt utt = {0};
    status = sp_archive_next(archive, &utt, &found, err);
    for (size_t h = 0; status == SP_OK && found && h < utt.n_hyps; h++) {
      sp_case_look_at(look, utt.hyps[h].text);
    }
  }
  sp_archive_close(archive);
  return status;
}

static enum sp_status make_workers(struct reader *r, struct sp_error *err) {
  size_t wanted = sp_min_size(sp_usable_cpus(), MAX_WORKERS);
  bool lower = r->data->counts.lowered;
  for (; r->n_workers < wanted; r->n_workers++) {
    SP_TRY(sp_data_worker_init(&r->workers[r->n_workers], r->tokenizer, lower, needs_errors(r),
                               r->settings->error_rates, err));
  }
  return SP_OK;
}

static enum sp_status read_all(struct reader *r, struct sp_error *err) {
  const struct sp_train_data_settings *s = r->settings;
  struct sp_data_input input = {s->files,     s->n_files,     s->teacher,
                                s->n_teacher, SP_FORMAT_AUTO, is_mlm(r)};
  struct sp_case_look look = {0};
  if (s->format) {
    SP_TRY(sp_archive_format_parse(s->format, &input.format, err));
  }
  if (s->only_ids) {
    SP_TRY(sp_id_list_read(s->only_ids, &r->only, err));
  }
  SP_TRY(look_at_case(&input, &look, err));
  r->data->counts.lowered = sp_case_wants_lower(&look, sp_tokenizer_get_info(r->tokenizer));
  SP_TRY(make_workers(r, err));
  SP_TRY(read_input(r, &input, false, err));
  if (s->n_holdout == 0) {
    return SP_OK;
  }
  input.files = s->holdout;
  input.n_files = s->n_holdout;
  input.teacher = s->holdout_teacher;
  input.n_teacher = s->n_holdout_teacher;
  return read_input(r, &input, true, err);
}

enum sp_status sp_data_read(struct sp_train_data *data, const struct sp_tokenizer *tokenizer,
                            const struct sp_train_data_settings *settings, struct sp_error *err) {
  struct reader *r = calloc(1, sizeof *r);
  if (!r) {
    return sp_fail_memory(err, sizeof *r);
  }
  *r = (struct reader){.data = data, .settings = settings, .tokenizer = tokenizer};
  enum sp_status status = read_all(r, err);
  for (size_t w = 0; w < MAX_WORKERS; w++) {
    sp_data_worker_release(&r->workers[w]);
  }
  sp_id_list_destroy(r->only);
  free(r);
  return status;
}
