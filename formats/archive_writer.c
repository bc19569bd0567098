#include "archive_writer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checked.h"
#include "float_text.h"
#include "score_line.h"
#include "utf8_valid.h"
#include "writer_format.h"

enum { flush_bytes = 1 << 20 };

static const struct sp_writer_format *const formats[] = {
    [SP_FORMAT_AUTO] = NULL,
    [SP_FORMAT_JSONL] = &sp_writer_jsonl,
    [SP_FORMAT_MLM] = &sp_writer_mlm,
    [SP_FORMAT_ESPNET2] = &sp_writer_espnet2,
    [SP_FORMAT_ESPNET1] = &sp_writer_espnet1,
    [SP_FORMAT_KALDI] = &sp_writer_kaldi,
    [SP_FORMAT_NEMO] = &sp_writer_nemo,
    [SP_FORMAT_NEMO_TSV] = &sp_writer_nemo_tsv,
    [SP_FORMAT_HYPORADISE] = &sp_writer_hyporadise,
    [SP_FORMAT_MOSES] = &sp_writer_moses,
    [SP_FORMAT_FAIRSEQ] = &sp_writer_fairseq,
    [SP_FORMAT_TSV] = &sp_writer_tsv,
    [SP_FORMAT_TRN] = &sp_writer_trn,
    [SP_FORMAT_KALDI_TEXT] = &sp_writer_kaldi_text,
    [SP_FORMAT_TEXT] = &sp_writer_text,
    [SP_FORMAT_HF_REGRESSION] = &sp_writer_hf_regression,
};

/* ---- what the formats call ---- */

enum sp_status sp_writer_fail(const struct sp_utt *utt, struct sp_error *err, const char *format,
                              ...) {
  char reason[512];
  va_list args;
  va_start(args, format);
  vsnprintf(reason, sizeof reason, format, args);
  va_end(args);
  return sp_fail(err, SP_EINPUT, "utterance %.*s: %s", (int)sp_min_size(utt->id.len, 200),
                 utt->id.data, reason);
}

static struct sp_loss *find_loss(struct sp_archive_writer *w, const char *what) {
  for (size_t i = 0; i < w->n_losses; i++) {
    if (strcmp(w->losses[i].what, what) == 0) {
      return &w->losses[i];
    }
  }
  if (w->n_losses == SP_MOST_LOSSES) {
    return NULL;
  }
  struct sp_loss *loss = &w->losses[w->n_losses++];
  snprintf(loss->what, sizeof loss->what, "%s", what);
  return loss;
}

enum sp_status sp_writer_lose(struct sp_archive_writer *w, const struct sp_utt *utt,
                              const char *what, struct sp_text name, uint64_t count,
                              struct sp_error *err) {
  char full[sizeof w->losses->what];
  if (count == 0) {
    return SP_OK;
  }
  struct sp_text shown = {name.data, sp_min_size(name.len, 48)};
  shown.len = shown.len > 0 ? sp_utf8_valid_prefix(shown) : 0;
  snprintf(full, sizeof full, "%s%s%.*s", what, shown.len > 0 ? " " : "", (int)shown.len,
           shown.len > 0 ? shown.data : "");
  if (w->options.strict) {
    return sp_writer_fail(utt, err, "%s has no place for its %s (--strict)",
                          sp_archive_format_name(w->options.format), full);
  }
  struct sp_loss *loss = find_loss(w, full);
  loss = loss ? loss : &w->losses[SP_MOST_LOSSES - 1]; /* more names than we tell apart */
  loss->count += count;
  return SP_OK;
}

enum sp_status sp_writer_raw(struct sp_archive_writer *w, const char *literal,
                             struct sp_error *err) {
  return sp_buf_append(&w->buf, literal, strlen(literal), err);
}

enum sp_status sp_writer_bytes(struct sp_archive_writer *w, struct sp_text text,
                               struct sp_error *err) {
  return sp_buf_append(&w->buf, text.data, text.len, err);
}

enum sp_status sp_writer_number(struct sp_archive_writer *w, double value, struct sp_error *err) {
  char text[SP_DOUBLE_TEXT_MAX];
  return sp_buf_append(&w->buf, text, sp_double_text(value, text), err);
}

enum sp_status sp_writer_score(struct sp_archive_writer *w, double value, struct sp_error *err) {
  return sp_writer_number(w, w->options.costs ? 0 - value : value, err);
}

enum sp_status sp_writer_string(struct sp_archive_writer *w, struct sp_text text,
                                struct sp_error *err) {
  return sp_json_string_write(&w->buf, text, err);
}

enum sp_status sp_writer_key(struct sp_archive_writer *w, bool first, struct sp_text key,
                             struct sp_error *err) {
  if (!first) {
    SP_TRY(sp_writer_raw(w, ",", err));
  }
  SP_TRY(sp_writer_string(w, key, err));
  return sp_writer_raw(w, ":", err);
}

enum sp_status sp_writer_check(const struct sp_utt *utt, const char *what, struct sp_text text,
                               const char *forbidden, struct sp_error *err) {
  for (size_t i = 0; i < text.len; i++) {
    unsigned char c = (unsigned char)text.data[i];
    if (c == '\n' || c == '\r' || c == '\0' || strchr(forbidden, c)) {
      return c > 0x20 && c < 0x7f
                 ? sp_writer_fail(utt, err, "its %s has a '%c', which the format cannot hold", what,
                                  c)
                 : sp_writer_fail(utt, err, "its %s has %s, which the format cannot hold", what,
                                  c == '\t'   ? "a tab"
                                  : c == ' '  ? "a space"
                                  : c == '\0' ? "a NUL"
                                              : "a line break");
    }
  }
  return SP_OK;
}

static bool is_listed(const char *const *names, struct sp_text name) {
  for (; *names; names++) {
    if (sp_text_equal(name, (struct sp_text){*names, strlen(*names)})) {
      return true;
    }
  }
  return false;
}

enum sp_status sp_writer_members(struct sp_archive_writer *w, const struct sp_utt *utt,
                                 const struct sp_hyp *hyp, const char *const *reserved,
                                 struct sp_error *err) {
  if (hyp->has_rank) {
    SP_TRY(sp_buf_printf(&w->buf, err, ",\"i\":%u", (unsigned)hyp->rank));
  }
  if (hyp->has_total) {
    SP_TRY(sp_writer_raw(w, ",\"total\":", err));
    SP_TRY(sp_writer_number(w, hyp->total, err));
  }
  for (size_t i = 0; i < hyp->n_components; i++) {
    const struct sp_component *component = &hyp->components[i];
    if (is_listed(reserved, component->name)) {
      SP_TRY(sp_writer_lose(w, utt, "components", component->name, 1, err));
      continue;
    }
    SP_TRY(sp_writer_key(w, false, component->name, err));
    SP_TRY(sp_writer_score(w, component->value, err));
  }
  for (size_t i = 0; i < hyp->n_fields; i++) {
    const struct sp_field *field = &hyp->fields[i];
    if (is_listed(reserved, field->name)) {
      SP_TRY(sp_writer_lose(w, utt, "fields", field->name, 1, err));
      continue;
    }
    SP_TRY(sp_writer_key(w, false, field->name, err));
    SP_TRY(sp_writer_bytes(w, field->json, err));
  }
  return SP_OK;
}

enum sp_status sp_writer_utt_members(struct sp_archive_writer *w, const struct sp_utt *utt,
                                     const char *const *reserved, const char *prefix,
                                     struct sp_error *err) {
  size_t wide = prefix ? strlen(prefix) : 0;
  for (size_t i = 0; i < utt->n_fields; i++) {
    const struct sp_field *field = &utt->fields[i];
    bool taken = prefix && field->name.len >= wide && memcmp(field->name.data, prefix, wide) == 0;
    if (taken || is_listed(reserved, field->name)) {
      SP_TRY(sp_writer_lose(w, utt, "fields", field->name, 1, err));
      continue;
    }
    SP_TRY(sp_writer_key(w, true, field->name, err));
    SP_TRY(sp_writer_bytes(w, field->json, err));
    SP_TRY(sp_writer_raw(w, ",", err));
  }
  return SP_OK;
}

static bool is_number(struct sp_text id) {
  for (size_t i = 0; i < id.len; i++) {
    if (id.data[i] < '0' || id.data[i] > '9') {
      return false;
    }
  }
  return id.len > 0;
}

enum sp_status sp_writer_sentence_number(struct sp_archive_writer *w, const struct sp_utt *utt,
                                         uint64_t base, char out[24], struct sp_text *id,
                                         struct sp_error *err) {
  bool number = is_number(utt->id);
  if (!w->begun) {
    w->renumbers = !number;
  }
  if (w->renumbers) {
    int wide = snprintf(out, 24, "%llu", (unsigned long long)(w->utts + base));
    *id = (struct sp_text){out, (size_t)wide};
    return sp_writer_lose(w, utt, "ids, which became numbers", (struct sp_text){0}, 1, err);
  }
  *id = utt->id;
  return number ? SP_OK
                : sp_writer_fail(utt, err, "its id is no number, as that of the first one was");
}

enum sp_status sp_writer_drop_id(struct sp_archive_writer *w, const struct sp_utt *utt,
                                 struct sp_error *err) {
  char digits[24];
  int wide = snprintf(digits, sizeof digits, "%llu", (unsigned long long)(w->utts + 1));
  bool same = sp_text_equal(utt->id, (struct sp_text){digits, (size_t)wide});
  return same ? SP_OK : sp_writer_lose(w, utt, "ids", (struct sp_text){0}, 1, err);
}

enum sp_status sp_writer_need_scores(const struct sp_utt *utt, struct sp_error *err) {
  for (size_t i = 0; i < utt->n_hyps; i++) {
    if (!utt->hyps[i].has_score) {
      return sp_writer_fail(
          utt, err, "hypothesis %zu has no first-pass score, which the format needs", i + 1);
    }
  }
  return SP_OK;
}

/* ---- the writer ---- */

static enum sp_status check_options(const struct sp_archive_writer_options *o,
                                    struct sp_error *err) {
  enum sp_archive_format f = o->format;
  const char *fault =
      f <= SP_FORMAT_AUTO || f > SP_FORMAT_HF_REGRESSION ? "the output format is not named"
      : o->tsv && f != SP_FORMAT_TSV                     ? "output columns go with --to tsv"
      : o->tables && f != SP_FORMAT_KALDI                ? "score tables go with --to kaldi"
      : o->label && f != SP_FORMAT_HF_REGRESSION         ? "a label goes with --to hf-regression"
      : o->refs && !(formats[f]->holds & SP_HOLDS_ONE_TEXT)
          ? "references alone go with --to trn, kaldi-text or text"
          : NULL;
  return fault ? sp_fail(err, SP_EUSAGE, "%s", fault) : SP_OK;
}

enum sp_status sp_archive_writer_open_with(const char *path,
                                           const struct sp_archive_writer_options *options,
                                           struct sp_archive_writer **out, struct sp_error *err) {
  enum sp_status status;
  SP_TRY(check_options(options, err));
  struct sp_archive_writer *w = calloc(1, sizeof *w);
  if (!w) {
    return sp_fail_memory(err, sizeof *w);
  }
  w->options = *options;
  w->format = formats[options->format];
  if (!w->format->own_files) {
    SP_TRY_GOTO(sp_sink_open(path, &w->sink, err), discard);
  }
  if (w->format->start) {
    SP_TRY_GOTO(w->format->start(w, path, err), discard);
  }
  *out = w;
  return SP_OK;

discard:
  sp_archive_writer_discard(w);
  return status;
}

enum sp_status sp_archive_writer_open(const char *path, enum sp_archive_format format,
                                      struct sp_archive_writer **out, struct sp_error *err) {
  struct sp_archive_writer_options options = {.format = format};
  return sp_archive_writer_open_with(path, &options, out, err);
}

void sp_archive_writer_discard(struct sp_archive_writer *w) {
  if (!w) {
    return;
  }
  if (w->format && w->format->stop) {
    w->format->stop(w);
  }
  sp_sink_discard(w->sink);
  sp_tsv_columns_release(&w->columns);
  sp_buf_release(&w->buf);
  free(w);
}

static enum sp_status lose_hyp(struct sp_archive_writer *w, const struct sp_utt *utt,
                               const struct sp_hyp *hyp, struct sp_error *err) {
  unsigned holds = w->format->holds;
  struct sp_text none = {0};
  SP_TRY(sp_writer_lose(w, utt, "first-pass scores", none,
                        hyp->has_score && !(holds & SP_HOLDS_SCORE), err));
  SP_TRY(sp_writer_lose(w, utt, "original ranks", none, hyp->has_rank && !(holds & SP_HOLDS_RANK),
                        err));
  SP_TRY(sp_writer_lose(w, utt, "totals", none, hyp->has_total && !(holds & SP_HOLDS_TOTAL), err));
  for (size_t i = 0; i < hyp->n_components && !(holds & SP_HOLDS_COMPONENTS); i++) {
    SP_TRY(sp_writer_lose(w, utt, "components", hyp->components[i].name, 1, err));
  }
  for (size_t i = 0; i < hyp->n_fields && !(holds & SP_HOLDS_FIELDS); i++) {
    SP_TRY(sp_writer_lose(w, utt, "fields", hyp->fields[i].name, 1, err));
  }
  return SP_OK;
}

/* Counts what the format has no place for; *skip: all of it. */
static enum sp_status count_losses(struct sp_archive_writer *w, const struct sp_utt *utt,
                                   bool *skip, struct sp_error *err) {
  unsigned holds = w->format->holds;
  struct sp_text none = {0};
  *skip = false;
  if (w->options.refs) {
    return SP_OK; /* the reference was asked for, and nothing else */
  }
  if (utt->n_hyps == 0 && !(holds & SP_HOLDS_EMPTY)) {
    *skip = !(holds & SP_HOLDS_ONE_TEXT);
    return sp_writer_lose(w, utt,
                          *skip ? "utterances without hypotheses"
                                : "utterances without hypotheses, now with an empty one",
                          none, 1, err);
  }
  SP_TRY(sp_writer_lose(w, utt, "references", none, utt->has_ref && !(holds & SP_HOLDS_REF), err));
  for (size_t i = 0; i < utt->n_fields && !(holds & SP_HOLDS_UTT_FIELDS); i++) {
    SP_TRY(sp_writer_lose(w, utt, "fields", utt->fields[i].name, 1, err));
  }
  size_t kept = holds & SP_HOLDS_LISTS ? utt->n_hyps : sp_min_size(utt->n_hyps, 1);
  SP_TRY(sp_writer_lose(w, utt, "hypotheses beyond the first", none, utt->n_hyps - kept, err));
  for (size_t i = 0; i < kept; i++) {
    SP_TRY(lose_hyp(w, utt, &utt->hyps[i], err));
  }
  return SP_OK;
}

static enum sp_status put(struct sp_archive_writer *w, const struct sp_utt *utt,
                          struct sp_error *err) {
  bool skip;
  SP_TRY(count_losses(w, utt, &skip, err));
  if (skip) {
    return SP_OK;
  }
  SP_TRY(w->format->put(w, utt, err));
  w->utts++;
  if (!w->begun && w->buf.len >= 3 && memcmp(w->buf.data, "\xef\xbb\xbf", 3) == 0) {
    return sp_writer_fail(utt, err, "it begins with a byte order mark, which a reader would skip");
  }
  w->begun = true;
  if (w->sink && w->buf.len >= flush_bytes) {
    SP_TRY(sp_sink_write(w->sink, w->buf.data, w->buf.len, err));
    sp_buf_clear(&w->buf);
  }
  return SP_OK;
}

enum sp_status sp_archive_writer_put(struct sp_archive_writer *w, const struct sp_utt *utt,
                                     struct sp_error *err) {
  enum sp_status status = put(w, utt, &w->failure);
  if (status != SP_OK && err) {
    *err = w->failure;
  }
  return status;
}

size_t sp_archive_writer_losses(const struct sp_archive_writer *w, const struct sp_loss **losses) {
  *losses = w->losses;
  return w->n_losses;
}

static enum sp_status finish(struct sp_archive_writer *w, struct sp_error *err) {
  if (w->failure.status != SP_OK) {
    return sp_fail(err, w->failure.status, "%s", w->failure.message);
  }
  if (w->format->finish) {
    SP_TRY(w->format->finish(w, err));
  }
  if (!w->sink) {
    return SP_OK;
  }
  SP_TRY(sp_sink_write(w->sink, w->buf.data, w->buf.len, err));
  struct sp_sink *sink = w->sink;
  w->sink = NULL;
  return sp_sink_close(sink, err);
}

enum sp_status sp_archive_writer_close(struct sp_archive_writer *w, struct sp_error *err) {
  enum sp_status status = finish(w, err);
  sp_archive_writer_discard(w);
  return status;
}
