/* writer_json.c - the output formats that are JSON: own lines, mlm-scoring, ESPnet1, NeMo,
 * HyPoradise, and the lines that regression trainers read. */
#include <stdio.h>
#include <string.h>

#include "writer_format.h"

static enum sp_status put_ref(struct sp_archive_writer *w, const char *key,
                              const struct sp_utt *utt, struct sp_error *err) {
  if (!utt->has_ref) {
    return SP_OK;
  }
  SP_TRY(sp_writer_key(w, false, (struct sp_text){key, strlen(key)}, err));
  return sp_writer_string(w, utt->ref, err);
}

/* "text":..,"score":.. and the other members of a hypothesis. */
static enum sp_status put_hyp(struct sp_archive_writer *w, const struct sp_utt *utt,
                              const struct sp_hyp *hyp, const char *const *reserved,
                              struct sp_error *err) {
  SP_TRY(sp_writer_raw(w, "{\"text\":", err));
  SP_TRY(sp_writer_string(w, hyp->text, err));
  if (hyp->has_score) {
    SP_TRY(sp_writer_raw(w, ",\"score\":", err));
    SP_TRY(sp_writer_score(w, hyp->score, err));
  }
  SP_TRY(sp_writer_members(w, utt, hyp, reserved, err));
  return sp_writer_raw(w, "}", err);
}

/* ---- jsonl ---- */

static const char *const hyp_names[] = {"text", "score", "i", "total", NULL};

static enum sp_status put_jsonl(struct sp_archive_writer *w, const struct sp_utt *utt,
                                struct sp_error *err) {
  static const char *const reserved[] = {"id", "ref", "hyps", NULL};
  SP_TRY(sp_writer_raw(w, "{\"id\":", err));
  SP_TRY(sp_writer_string(w, utt->id, err));
  SP_TRY(put_ref(w, "ref", utt, err));
  SP_TRY(sp_writer_raw(w, ",", err));
  SP_TRY(sp_writer_utt_members(w, utt, reserved, NULL, err));
  SP_TRY(sp_writer_raw(w, "\"hyps\":[", err));
  for (size_t i = 0; i < utt->n_hyps; i++) {
    SP_TRY(sp_writer_raw(w, i > 0 ? "," : "", err));
    SP_TRY(put_hyp(w, utt, &utt->hyps[i], hyp_names, err));
  }
  return sp_writer_raw(w, "]}\n", err);
}

const struct sp_writer_format sp_writer_jsonl = {.holds = SP_HOLDS_ALL, .put = put_jsonl};

/* ---- mlm ---- */

static enum sp_status put_mlm(struct sp_archive_writer *w, const struct sp_utt *utt,
                              struct sp_error *err) {
  static const char *const reserved[] = {"ref", NULL};
  SP_TRY(sp_writer_raw(w, w->begun ? ",\n" : "{\n", err));
  SP_TRY(sp_writer_key(w, true, utt->id, err));
  SP_TRY(sp_writer_raw(w, "{", err));
  SP_TRY(sp_writer_utt_members(w, utt, reserved, "hyp_", err));
  for (size_t i = 0; i < utt->n_hyps; i++) {
    SP_TRY(sp_buf_printf(&w->buf, err, "\"hyp_%zu\":", i + 1));
    SP_TRY(put_hyp(w, utt, &utt->hyps[i], hyp_names, err));
    SP_TRY(sp_writer_raw(w, ",", err));
  }
  if (utt->has_ref) {
    SP_TRY(sp_writer_raw(w, "\"ref\":", err));
    SP_TRY(sp_writer_string(w, utt->ref, err));
    return sp_writer_raw(w, "}", err);
  }
  w->buf.len -= w->buf.data[w->buf.len - 1] == ','; /* of the last member */
  return sp_writer_raw(w, "}", err);
}

static enum sp_status end_object(struct sp_archive_writer *w, struct sp_error *err) {
  return sp_writer_raw(w, w->begun ? "\n}\n" : "{}\n", err);
}

const struct sp_writer_format sp_writer_mlm = {
    .holds = SP_HOLDS_ALL, .put = put_mlm, .finish = end_object};

/* ---- espnet1 ---- */

static enum sp_status put_output(struct sp_archive_writer *w, const struct sp_utt *utt, size_t rank,
                                 struct sp_error *err) {
  static const char *const reserved[] = {"rec_text", "score", "text", "i", "total", NULL};
  const struct sp_hyp *hyp = &utt->hyps[rank];
  if (memmem(hyp->text.data ? hyp->text.data : "", hyp->text.len, "\xe2\x96\x81", 3)) {
    return sp_writer_fail(utt, err, "its text has a U+2581, which stands for a space there");
  }
  SP_TRY(sp_writer_raw(w, "{", err));
  if (!sp_field_find(hyp->fields, hyp->n_fields, SP_TEXT_LITERAL("name"))) {
    SP_TRY(sp_buf_printf(&w->buf, err, "\"name\":\"target1[%zu]\",", rank + 1));
  }
  SP_TRY(sp_writer_raw(w, "\"rec_text\":", err));
  SP_TRY(sp_writer_string(w, hyp->text, err));
  w->buf.len--; /* the quote */
  SP_TRY(sp_writer_raw(w, " <eos>\"", err));
  SP_TRY(put_ref(w, "text", utt, err));
  if (hyp->has_score) {
    SP_TRY(sp_writer_raw(w, ",\"score\":", err));
    SP_TRY(sp_writer_score(w, hyp->score, err));
  }
  SP_TRY(sp_writer_members(w, utt, hyp, reserved, err));
  return sp_writer_raw(w, "}", err);
}

static enum sp_status put_espnet1(struct sp_archive_writer *w, const struct sp_utt *utt,
                                  struct sp_error *err) {
  static const char *const reserved[] = {"output", NULL};
  SP_TRY(sp_writer_lose(w, utt, "references of utterances without hypotheses", (struct sp_text){0},
                        utt->has_ref && utt->n_hyps == 0, err));
  SP_TRY(sp_writer_raw(w, w->begun ? ",\n" : "{\"utts\":{\n", err));
  SP_TRY(sp_writer_key(w, true, utt->id, err));
  SP_TRY(sp_writer_raw(w, "{", err));
  SP_TRY(sp_writer_utt_members(w, utt, reserved, NULL, err));
  SP_TRY(sp_writer_raw(w, "\"output\":[", err));
  for (size_t i = 0; i < utt->n_hyps; i++) {
    SP_TRY(sp_writer_raw(w, i > 0 ? "," : "", err));
    SP_TRY(put_output(w, utt, i, err));
  }
  return sp_writer_raw(w, "]}", err);
}

static enum sp_status end_espnet1(struct sp_archive_writer *w, struct sp_error *err) {
  return sp_writer_raw(w, w->begun ? "\n}}\n" : "{\"utts\":{}}\n", err);
}

const struct sp_writer_format sp_writer_espnet1 = {
    .holds = SP_HOLDS_ALL, .put = put_espnet1, .finish = end_espnet1};

/* ---- nemo ---- */

static enum sp_status put_nemo(struct sp_archive_writer *w, const struct sp_utt *utt,
                               struct sp_error *err) {
  static const char *const reserved[] = {"audio_filepath", "text", "beams", NULL};
  SP_TRY(sp_writer_raw(w, "{\"audio_filepath\":", err));
  SP_TRY(sp_writer_string(w, utt->id, err));
  SP_TRY(put_ref(w, "text", utt, err));
  SP_TRY(sp_writer_raw(w, ",", err));
  SP_TRY(sp_writer_utt_members(w, utt, reserved, NULL, err));
  SP_TRY(sp_writer_raw(w, "\"beams\":[", err));
  for (size_t i = 0; i < utt->n_hyps; i++) {
    const struct sp_hyp *hyp = &utt->hyps[i];
    SP_TRY(sp_writer_raw(w, i > 0 ? ",[" : "[", err));
    SP_TRY(sp_writer_string(w, hyp->text, err));
    SP_TRY(sp_writer_raw(w, ",", err));
    SP_TRY(hyp->has_score ? sp_writer_score(w, hyp->score, err) : sp_writer_raw(w, "null", err));
    SP_TRY(sp_writer_raw(w, "]", err));
  }
  return sp_writer_raw(w, "]}\n", err);
}

const struct sp_writer_format sp_writer_nemo = {
    .holds = SP_HOLDS_LISTS | SP_HOLDS_EMPTY | SP_HOLDS_REF | SP_HOLDS_SCORE | SP_HOLDS_UTT_FIELDS,
    .put = put_nemo};

/* ---- hyporadise ---- */

/* Whether any hypothesis before `rank` has the component, too. */
static bool seen_before(const struct sp_utt *utt, size_t rank, struct sp_text name) {
  double value;
  for (size_t i = 0; i < rank; i++) {
    if (sp_hyp_component(&utt->hyps[i], name, &value)) {
      return true;
    }
  }
  return false;
}

static enum sp_status put_component_array(struct sp_archive_writer *w, const struct sp_utt *utt,
                                          struct sp_text name, struct sp_error *err) {
  double value;
  SP_TRY(sp_writer_raw(w, ",", err));
  SP_TRY(sp_writer_string(w, name, err));
  w->buf.len--; /* the quote */
  SP_TRY(sp_writer_raw(w, "_score\":[", err));
  for (size_t i = 0; i < utt->n_hyps; i++) {
    SP_TRY(sp_writer_raw(w, i > 0 ? "," : "", err));
    SP_TRY(sp_hyp_component(&utt->hyps[i], name, &value) ? sp_writer_score(w, value, err)
                                                         : sp_writer_raw(w, "null", err));
  }
  return sp_writer_raw(w, "]", err);
}

static enum sp_status put_score_arrays(struct sp_archive_writer *w, const struct sp_utt *utt,
                                       struct sp_error *err) {
  bool any = false;
  for (size_t i = 0; i < utt->n_hyps; i++) {
    any = any || utt->hyps[i].has_score || utt->hyps[i].n_components > 0;
  }
  for (size_t i = 0; i < utt->n_hyps && any; i++) {
    const struct sp_hyp *hyp = &utt->hyps[i];
    SP_TRY(sp_writer_raw(w, i > 0 ? "," : ",\"score\":[", err));
    SP_TRY(hyp->has_score ? sp_writer_score(w, hyp->score, err) : sp_writer_raw(w, "null", err));
  }
  SP_TRY(sp_writer_raw(w, any ? "]" : "", err));
  for (size_t i = 0; i < utt->n_hyps; i++) {
    for (size_t c = 0; c < utt->hyps[i].n_components; c++) {
      struct sp_text name = utt->hyps[i].components[c].name;
      if (!seen_before(utt, i, name)) {
        SP_TRY(put_component_array(w, utt, name, err));
      }
    }
  }
  return SP_OK;
}

static bool ends_in_score(struct sp_text name) {
  return name.len > 6 && memcmp(name.data + name.len - 6, "_score", 6) == 0;
}

static enum sp_status put_other_fields(struct sp_archive_writer *w, const struct sp_utt *utt,
                                       struct sp_error *err) {
  static const char *const known[] = {"id", "input", "output", "score"};
  for (size_t i = 0; i < utt->n_fields; i++) {
    const struct sp_field *field = &utt->fields[i];
    bool taken = ends_in_score(field->name);
    for (size_t k = 0; k < sizeof known / sizeof *known; k++) {
      taken = taken || sp_text_equal(field->name, (struct sp_text){known[k], strlen(known[k])});
    }
    if (taken) {
      SP_TRY(sp_writer_lose(w, utt, "fields", field->name, 1, err));
      continue;
    }
    SP_TRY(sp_writer_key(w, false, field->name, err));
    SP_TRY(sp_writer_bytes(w, field->json, err));
  }
  return SP_OK;
}

static enum sp_status put_hyporadise(struct sp_archive_writer *w, const struct sp_utt *utt,
                                     struct sp_error *err) {
  SP_TRY(sp_writer_raw(w, w->begun ? ",\n" : "[\n", err));
  SP_TRY(sp_writer_raw(w, "{\"id\":", err));
  SP_TRY(sp_writer_string(w, utt->id, err));
  SP_TRY(sp_writer_raw(w, ",\"input\":[", err));
  for (size_t i = 0; i < utt->n_hyps; i++) {
    SP_TRY(sp_writer_raw(w, i > 0 ? "," : "", err));
    SP_TRY(sp_writer_string(w, utt->hyps[i].text, err));
  }
  SP_TRY(sp_writer_raw(w, "]", err));
  SP_TRY(put_ref(w, "output", utt, err));
  SP_TRY(put_score_arrays(w, utt, err));
  SP_TRY(put_other_fields(w, utt, err));
  return sp_writer_raw(w, "}", err);
}

static enum sp_status end_array(struct sp_archive_writer *w, struct sp_error *err) {
  return sp_writer_raw(w, w->begun ? "\n]\n" : "[]\n", err);
}

const struct sp_writer_format sp_writer_hyporadise = {
    .holds = SP_HOLDS_LISTS | SP_HOLDS_EMPTY | SP_HOLDS_REF | SP_HOLDS_SCORE | SP_HOLDS_COMPONENTS |
             SP_HOLDS_UTT_FIELDS,
    .put = put_hyporadise,
    .finish = end_array};

/* ---- hf-regression ---- */

/* The score that is learnt; false when the hypothesis has none. */
static bool find_label(const struct sp_archive_writer *w, const struct sp_hyp *hyp, double *label) {
  const char *name = w->options.label ? w->options.label : "score";
  if (strcmp(name, "total") == 0) {
    *label = hyp->total;
    return hyp->has_total;
  }
  return sp_hyp_named_score(hyp, (struct sp_text){name, strlen(name)}, label);
}

static enum sp_status put_example(struct sp_archive_writer *w, const struct sp_utt *utt,
                                  const struct sp_hyp *hyp, struct sp_error *err) {
  double label, n_tokens;
  if (!find_label(w, hyp, &label)) {
    return sp_writer_lose(w, utt, "hypotheses without a label", (struct sp_text){0}, 1, err);
  }
  SP_TRY(sp_writer_raw(w, "{\"id\":", err));
  SP_TRY(sp_writer_string(w, utt->id, err));
  SP_TRY(sp_writer_raw(w, ",\"text\":", err));
  SP_TRY(sp_writer_string(w, hyp->text, err));
  SP_TRY(sp_writer_raw(w, ",\"label\":", err));
  SP_TRY(sp_writer_score(w, label, err));
  if (sp_hyp_component(hyp, SP_TEXT_LITERAL("n"), &n_tokens)) {
    SP_TRY(sp_writer_raw(w, ",\"n_tokens\":", err));
    SP_TRY(sp_writer_number(w, n_tokens, err));
  }
  return sp_writer_raw(w, "}\n", err);
}

static enum sp_status put_examples(struct sp_archive_writer *w, const struct sp_utt *utt,
                                   struct sp_error *err) {
  for (size_t i = 0; i < utt->n_hyps; i++) {
    SP_TRY(put_example(w, utt, &utt->hyps[i], err));
  }
  return SP_OK;
}

/* All else than its four columns is left behind on purpose, so it is no loss. */
const struct sp_writer_format sp_writer_hf_regression = {.holds = SP_HOLDS_ALL,
                                                         .put = put_examples};
