/* training_files.c - what a run leaves on disk: its identity, its log, checkpoints, the model. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "model_write.h"
#include "run_files.h"
#include "source.h"
#include "training_state.h"

static enum sp_status path_of(const struct sp_training *t, const char *name, struct sp_buf *out,
                              struct sp_error *err) {
  return sp_run_path(out, t->settings->out, name, err);
}

enum sp_status sp_training_open_directory(struct sp_training *t, struct sp_error *err) {
  if (!t->settings->out) {
    return sp_fail(err, SP_EUSAGE, "train needs --out DIR");
  }
  struct sp_buf path = {0};
  bool existed = sp_file_exists(t->settings->out);
  SP_TRY(sp_file_make_directory(t->settings->out, err));
  t->made = !existed;
  SP_TRY(sp_run_lock_take(t->settings->out, &t->lock, err));
  t->locked = true;
  enum sp_status status = path_of(t, "train.json", &path, err);
  if (status == SP_OK && !sp_file_exists(path.data)) {
    status = sp_run_check_empty(t->settings->out, "train.json", err);
  }
  sp_buf_release(&path);
  return status;
}

/* ---- train.json ---- */

static bool put(json_t *object, const char *key, json_t *value) {
  return json_object_set_new(object, key, value) == 0;
}

static json_t *text(const char *value) {
  return value ? json_string(value) : json_null();
}

/* Files by their contents, wherever they lie. */
static enum sp_status digest_files(const char *const *files, size_t n, json_t **out,
                                   struct sp_error *err) {
  json_t *list = json_array();
  enum sp_status status = SP_OK;
  for (size_t i = 0; status == SP_OK && i < n; i++) {
    struct sp_source *source;
    struct sp_file_digest digest;
    SP_TRY_GOTO(sp_source_open(files[i], &source, err), failed);
    status = sp_source_digest(source, &digest, err);
    sp_source_close(source);
    if (status == SP_OK && json_array_append_new(list, json_string(digest.xxh128)) != 0) {
      status = sp_fail_memory(err, sizeof digest);
    }
  }
  if (status == SP_OK) {
    *out = list;
    return SP_OK;
  }
failed:
  json_decref(list);
  return status;
}

/* What a teacher's runs are: their _SUCCESS files hash all else. */
static enum sp_status digest_runs(const char *const *runs, size_t n, json_t **out,
                                  struct sp_error *err) {
  struct sp_buf *paths = calloc(n + 1, sizeof *paths);
  const char **names = calloc(n + 1, sizeof *names);
  enum sp_status status = paths && names ? SP_OK : sp_fail_memory(err, n * sizeof *paths);
  for (size_t i = 0; status == SP_OK && i < n; i++) {
    status = sp_run_path(&paths[i], runs[i], SP_RUN_SUCCESS, err);
    names[i] = paths[i].data;
  }
  if (status == SP_OK) {
    status = digest_files(names, n, out, err);
  }
  for (size_t i = 0; paths && i < n; i++) {
    sp_buf_release(&paths[i]);
  }
  free(paths);
  free(names);
  return status;
}

/* The inputs' digests, each a list: {"files": [..], ..}. */
static enum sp_status digest_inputs(const struct sp_train_data_settings *d, json_t *to,
                                    struct sp_error *err) {
  json_t *list;
  SP_TRY(digest_files(d->files, d->n_files, &list, err));
  put(to, "files", list);
  SP_TRY(digest_files(d->holdout, d->n_holdout, &list, err));
  put(to, "holdout", list);
  SP_TRY(digest_files(&d->only_ids, d->only_ids != NULL, &list, err));
  put(to, "only_ids", list);
  SP_TRY(digest_runs(d->teacher, d->n_teacher, &list, err));
  put(to, "teacher", list);
  SP_TRY(digest_runs(d->holdout_teacher, d->n_holdout_teacher, &list, err));
  put(to, "holdout_teacher", list);
  return SP_OK;
}

static enum sp_status data_identity(const struct sp_train_data_settings *d, json_t **out,
                                    struct sp_error *err) {
  *out = json_pack("{ss so so sI so sb sI sI sf sf sf sf sI}", "objective",
                   sp_objective_name(d->objective), "format", text(d->format), "teacher_method",
                   text(d->teacher_method), "holdout_every", (json_int_t)d->holdout_every,
                   "first_pass", text(d->first_pass), "error_rates", d->error_rates, "max_hyps",
                   (json_int_t)d->max_hyps, "max_tokens", (json_int_t)d->max_tokens, "join_share",
                   d->join_share, "mask_rate", d->mask_rate, "mask_as_mask", d->mask_as_mask,
                   "mask_as_random", d->mask_as_random, "seed", (json_int_t)d->seed);
  if (!*out) {
    return sp_fail_memory(err, 4096);
  }
  enum sp_status status = digest_inputs(d, *out, err);
  if (status != SP_OK) {
    json_decref(*out);
    *out = NULL;
  }
  return status;
}

static json_t *loss_identity(const struct sp_train_settings *s) {
  return json_pack(
      "{sf sf sb sb sf sf ss sf sf sf sf sf}", "beta", s->beta, "distill_weight", s->distill_weight,
      "distill_sum", s->distill_sum, "detach", s->detach, "tau_start", s->tau_start, "tau_end",
      s->tau_end, "penalty", sp_penalty_name(s->penalty.kind), "penalty_weight", s->penalty.lambda,
      "node_cost", s->penalty.backlog.node, "key_cost", s->penalty.backlog.key, "capacity",
      s->penalty.backlog.capacity, "latency_momentum", s->latency_momentum);
}

static json_t *update_identity(const struct sp_training *t) {
  static const char *const decays[] = {"linear", "cosine", "constant"};
  const struct sp_train_settings *s = t->settings;
  return json_pack("{sI sI sI sf sf sI ss sf sf sf sf sf sI sI sI}", "steps", (json_int_t)t->steps,
                   "step_tokens", (json_int_t)s->step_tokens, "batch_tokens",
                   (json_int_t)s->batch_tokens, "rate", s->rate, "end_rate", s->end_rate, "warmup",
                   (json_int_t)s->warmup, "decay", decays[s->decay], "beta1", s->beta1, "beta2",
                   s->beta2, "eps", s->eps, "weight_decay", s->weight_decay, "clip", s->clip,
                   "seed", (json_int_t)s->seed, "eval_every", (json_int_t)s->eval_every, "patience",
                   (json_int_t)s->patience);
}

static json_t *model_identity(const struct sp_training *t) {
  char rule[SP_LOOKAHEAD_TEXT];
  sp_lookahead_print(&t->params->config.lookahead, rule, sizeof rule);
  return json_pack("{so so ss sb sI ss}", "from", text(t->checkpoint ? t->checkpoint->hash : NULL),
                   "init_layers", text(t->settings->init_layers), "lookahead", rule, "lowercase",
                   sp_tokenizer_get_info(t->tokenizer)->lowercase, "parameters",
                   (json_int_t)t->params->parameters, "save_dtype",
                   sp_dtype_name(t->settings->save_dtype));
}

/* What says how the numbers are read: the config and the vocabulary. */
static enum sp_status digest_model(const struct sp_training *t, json_t *to, struct sp_error *err) {
  struct sp_buf vocabulary = {0};
  json_t *list;
  enum sp_status status =
      sp_run_path(&vocabulary, t->tokenizer_from, sp_tokenizer_get_info(t->tokenizer)->source, err);
  if (status == SP_OK) {
    const char *files[] = {t->config_from, vocabulary.data};
    status = digest_files(files, 2, &list, err);
  }
  if (status == SP_OK) {
    put(to, "config_and_vocabulary", list);
  }
  sp_buf_release(&vocabulary);
  return status;
}

static enum sp_status make_identity(const struct sp_training *t, json_t **out,
                                    struct sp_error *err) {
  json_t *data;
  SP_TRY(data_identity(&t->settings->data, &data, err));
  *out = json_pack("{so so so so ss ss sI}", "model", model_identity(t), "data", data, "loss",
                   loss_identity(t->settings), "update", update_identity(t), "dtype",
                   t->settings->bf16 ? "bf16" : "f32", "device_type", t->worker[0].device->type,
                   "devices", (json_int_t)t->workers);
  return *out ? digest_model(t, json_object_get(*out, "model"), err) : sp_fail_memory(err, 4096);
}

/* The same object, but for what text cannot keep: as it reads back from the file. */
static enum sp_status check_same(const struct sp_training *t, const json_t *theirs,
                                 const json_t *ours, struct sp_error *err) {
  const char *key, *inner;
  json_t *value, *part;
  json_object_foreach((json_t *)(uintptr_t)ours, key, value) {
    const json_t *other = json_object_get(theirs, key);
    if (json_equal(value, (json_t *)(uintptr_t)other)) {
      continue;
    }
    const char *at = key;
    json_object_foreach(value, inner, part) {
      if (!json_equal(part, json_object_get(other, inner))) {
        at = inner;
        break;
      }
    }
    return sp_fail(
        err, SP_EIDENTITY,
        "%s is of another training run: its '%s' is not this command's (train.json has it); "
        "choose another --out",
        t->settings->out, at);
  }
  return SP_OK;
}

static enum sp_status read_identity(const char *path, json_t **out, struct sp_error *err) {
  struct sp_buf bytes = {.ceiling = (size_t)1 << 20};
  json_error_t fault;
  enum sp_status status = sp_file_read(path, &bytes, err);
  *out = status == SP_OK ? json_loadb(bytes.data, bytes.len, JSON_REJECT_DUPLICATES, &fault) : NULL;
  sp_buf_release(&bytes);
  SP_TRY(status);
  if (!json_is_object(*out)) {
    json_decref(*out);
    return sp_fail(err, SP_EDAMAGED, "%s: not the train.json of a training run", path);
  }
  return SP_OK;
}

static enum sp_status write_identity(json_t *identity, const char *path, struct sp_error *err) {
  char *out = json_dumps(identity, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
  struct sp_buf line = {0};
  enum sp_status status = out ? sp_buf_printf(&line, err, "%s\n", out) : sp_fail_memory(err, 4096);
  if (status == SP_OK) {
    status = sp_file_replace(path, line.data, line.len, err);
  }
  sp_buf_release(&line);
  free(out);
  return status;
}

enum sp_status sp_training_check_identity(struct sp_training *t, bool *finished,
                                          struct sp_error *err) {
  json_t *ours = NULL, *theirs = NULL;
  struct sp_buf path = {0}, success = {0};
  enum sp_status status;
  SP_TRY_GOTO(make_identity(t, &ours, err), done);
  SP_TRY_GOTO(path_of(t, "train.json", &path, err), done);
  SP_TRY_GOTO(path_of(t, SP_RUN_SUCCESS, &success, err), done);
  *finished = sp_file_exists(success.data);
  if (!sp_file_exists(path.data)) {
    status = write_identity(ours, path.data, err);
    goto done;
  }
  SP_TRY_GOTO(read_identity(path.data, &theirs, err), done);
  status = check_same(t, theirs, ours, err);
done:
  json_decref(ours);
  json_decref(theirs);
  sp_buf_release(&path);
  sp_buf_release(&success);
  return status;
}

/* ---- checkpoints ---- */

enum sp_status sp_training_save(struct sp_training *t, struct sp_error *err) {
  const struct sp_train_progress *p = &t->progress;
  SP_TRY(sp_training_to_host(t, true, err));
  json_t *facts = json_pack(
      "{sI sI sI sf so sI sI sI sI sb}", "step", (json_int_t)p->step, "epoch",
      (json_int_t)p->at.epoch, "item", (json_int_t)p->at.item, "average", p->average, "best_loss",
      isnan(p->best_loss) ? json_null() : json_real(p->best_loss), "best_step",
      (json_int_t)p->best_step, "bad_evals", (json_int_t)p->bad_evals, "tokens",
      (json_int_t)p->tokens, "skipped", (json_int_t)p->skipped, "early", p->early);
  if (!facts) {
    return sp_fail_memory(err, 4096);
  }
  enum sp_status status =
      sp_state_save(t->settings->out, p->step, facts, &t->host, t->settings->keep, err);
  json_decref(facts);
  return status;
}

static enum sp_status read_facts(struct sp_training *t, json_t *facts, struct sp_error *err) {
  struct sp_train_progress *p = &t->progress;
  json_int_t step, epoch, item, best_step, bad, tokens, skipped;
  json_t *best;
  int early;
  if (json_unpack(facts, "{sI sI sI sF so sI sI sI sI sb}", "step", &step, "epoch", &epoch, "item",
                  &item, "average", &p->average, "best_loss", &best, "best_step", &best_step,
                  "bad_evals", &bad, "tokens", &tokens, "skipped", &skipped, "early",
                  &early) != 0 ||
      step < 0 || epoch < 0 || item < 0 || tokens < 0) {
    return sp_fail(err, SP_EDAMAGED, "%s: a checkpoint lacks what a run needs to go on",
                   t->settings->out);
  }
  p->step = (uint64_t)step;
  p->at = (struct sp_train_position){(uint64_t)epoch, (uint64_t)item};
  p->best_loss = json_is_number(best) ? json_number_value(best) : NAN;
  p->best_step = (uint64_t)best_step;
  p->bad_evals = (uint64_t)bad;
  p->tokens = (uint64_t)tokens;
  p->skipped = (uint64_t)skipped;
  p->early = early;
  return SP_OK;
}

enum sp_status sp_training_load(struct sp_training *t, bool *found, struct sp_error *err) {
  json_t *facts = NULL;
  char note[400];
  SP_TRY(sp_state_load(t->settings->out, &t->host, &facts, note, sizeof note, err));
  if (note[0] && t->events->note) {
    t->events->note(t->events->arg, note);
  }
  *found = facts != NULL;
  enum sp_status status = facts ? read_facts(t, facts, err) : SP_OK;
  json_decref(facts);
  return status;
}

/* ---- steps.jsonl ---- */

/* Bytes of the lines up to the checkpoint's step; what a killed process wrote after it is done again. */
static off_t kept_bytes(FILE *log, uint64_t step) {
  char *line = NULL;
  size_t room = 0;
  off_t kept = 0;
  for (ssize_t len; (len = getline(&line, &room, log)) > 0 && line[len - 1] == '\n';) {
    json_t *object = json_loadb(line, (size_t)len, 0, NULL);
    const json_t *at = json_object_get(object, "step");
    bool ours = json_is_integer(at) && (uint64_t)json_integer_value(at) <= step;
    json_decref(object);
    if (!ours) {
      break;
    }
    kept += len;
  }
  free(line);
  return kept;
}

enum sp_status sp_training_open_log(struct sp_training *t, struct sp_error *err) {
  struct sp_buf path = {0};
  SP_TRY(path_of(t, "steps.jsonl", &path, err));
  t->log = fopen(path.data, sp_file_exists(path.data) ? "r+" : "w+");
  off_t kept = t->log ? kept_bytes(t->log, t->progress.step) : 0;
  bool cut = t->log && !ferror(t->log) && ftruncate(fileno(t->log), kept) == 0 &&
             fseek(t->log, 0, SEEK_END) == 0;
  enum sp_status status = cut ? SP_OK : sp_fail_errno(err, SP_EIO, "cannot write %s", path.data);
  sp_buf_release(&path);
  return status;
}

static enum sp_status log_line(struct sp_training *t, json_t *line, struct sp_error *err) {
  char *out = line ? json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
  json_decref(line);
  if (!out) {
    return sp_fail_memory(err, 1024);
  }
  bool written = fprintf(t->log, "%s\n", out) > 0 && fflush(t->log) == 0;
  free(out);
  return written ? SP_OK
                 : sp_fail_errno(err, SP_EIO, "cannot write %s/steps.jsonl", t->settings->out);
}

static json_t *number(double value) {
  return isfinite(value) ? json_real(value) : json_null();
}

enum sp_status sp_training_log_step(struct sp_training *t, const struct sp_train_step *s,
                                    struct sp_error *err) {
  json_t *line =
      json_pack("{sI sI so so so so sI sI so so}", "step", (json_int_t)s->step, "epoch",
                (json_int_t)s->epoch, "loss", number(s->loss), "rate", number(s->rate), "norm",
                number(s->norm), "clip", number(s->clip), "tokens", (json_int_t)s->tokens, "parts",
                (json_int_t)(s->targets ? s->targets : s->lists), "seconds", number(s->seconds),
                "tokens_per_second", number(s->tokens_per_second));
  bool lists = s->lists != 0;
  if (line && lists) {
    put(line, "distill", number(s->distill));
    put(line, "skipped", json_integer((json_int_t)s->skipped));
  }
  if (line && t->reach != 0) {
    put(line, "tau", number(s->tau));
    put(line, "penalty", number(s->penalty));
    put(line, "latency", number(s->latency));
    put(line, "lookahead", number(s->lookahead));
    put(line, "settled", number(s->settled));
  }
  return log_line(t, line, err);
}

enum sp_status sp_training_log_eval(struct sp_training *t, const struct sp_train_eval *e,
                                    struct sp_error *err) {
  json_t *line = json_pack("{sb sI sI so sb}", "eval", 1, "step", (json_int_t)e->step, "epoch",
                           (json_int_t)e->epoch, "loss", number(e->loss), "best", e->best);
  if (line && t->reach != 0) {
    put(line, "rounded", number(e->rounded));
    put(line, "latency", number(e->latency));
    put(line, "lookahead", number(e->lookahead));
    put(line, "settled", number(e->settled));
  }
  if (line && isfinite(e->wer)) {
    put(line, "wer", number(e->wer));
    put(line, "first_wer", number(e->first_wer));
    put(line, "oracle_wer", number(e->oracle_wer));
  }
  return log_line(t, line, err);
}

/* ---- the model ---- */

enum sp_status sp_training_write_model(struct sp_training *t, struct sp_error *err) {
  struct sp_buf path = {0};
  SP_TRY(sp_training_to_host(t, false, err));
  sp_training_leave_scale(t, t->host.param);
  SP_TRY(path_of(t, "model", &path, err));
  t->params->config.lookahead.tau = (float)sp_train_tau(t->settings, t->progress.step, t->steps);
  struct sp_model_content content = {
      .params = t->params,
      .values = t->host.param,
      .dtype = t->settings->save_dtype,
      .config_from = t->config_from,
      .tokenizer_from = t->tokenizer_from,
  };
  enum sp_status status = sp_model_write(path.data, &content, err);
  sp_buf_release(&path);
  return status;
}

enum sp_status sp_training_succeed(struct sp_training *t, struct sp_error *err) {
  struct sp_buf path = {0}, content = {0};
  SP_TRY(path_of(t, SP_RUN_SUCCESS, &path, err));
  enum sp_status status = sp_buf_printf(&content, err, "{\"step\":%llu,\"best_step\":%llu}\n",
                                        (unsigned long long)t->progress.step,
                                        (unsigned long long)t->progress.best_step);
  if (status == SP_OK) {
    status = sp_file_replace(path.data, content.data, content.len, err);
  }
  sp_buf_release(&path);
  sp_buf_release(&content);
  return status;
}
