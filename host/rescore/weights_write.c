/* weights_write.c - WEIGHTS.json as text; doubles in their shortest form, which jansson lacks. */
#include <inttypes.h>
#include <string.h>

#include "float_text.h"
#include "score_line.h"
#include "utf8_valid.h"
#include "weights_file.h"

struct number {
  char text[SP_DOUBLE_TEXT_MAX];
};

static struct number number_of(double value) {
  struct number number;
  sp_double_text(value, number.text);
  return number;
}

static enum sp_status put_string(struct sp_buf *out, const char *text, struct sp_error *err) {
  struct sp_text valid = {text, strlen(text)};
  return sp_json_string_write(out, sp_utf8_valid(valid) ? valid : SP_TEXT_LITERAL("?"), err);
}

static enum sp_status put_combination(const struct sp_weights_file *weights, struct sp_buf *out,
                                      struct sp_error *err) {
  const struct sp_combination *combination = &weights->combination;
  const struct sp_named_weights *first = &combination->first, *second = &combination->second;
  SP_TRY(sp_buf_printf(
      out, err, "{\n  \"secondpass_weights\": %d,\n  \"combine\": \"%s\",\n  \"first\": {",
      SP_WEIGHTS_VERSION, combination->kind == SP_COMBINE_CONVEX ? "convex" : "additive"));
  for (size_t c = 0; c < first->n; c++) {
    SP_TRY(sp_buf_printf(out, err, "%s\"%s\": %s", c ? ", " : "", first->items[c].name,
                         number_of(first->items[c].value).text));
  }
  SP_TRY(sp_buf_printf(out, err, "},\n  \"second\": ["));
  for (size_t k = 0; k < second->n; k++) {
    SP_TRY(sp_buf_printf(
        out, err, "%s\n    {\"name\": \"%s\", \"weight\": %s, \"model_hash\": ", k ? "," : "",
        second->items[k].name, number_of(second->items[k].value).text));
    SP_TRY(put_string(out, weights->model_hashes[k], err));
    if (*weights->masks[k]) {
      SP_TRY(sp_buf_printf(out, err, ", \"mask\": "));
      SP_TRY(put_string(out, weights->masks[k], err));
    }
    SP_TRY(sp_buf_append(out, "}", 1, err));
  }
  SP_TRY(sp_buf_printf(out, err, "\n  ],\n  \"length_norm\": \""));
  SP_TRY(sp_length_norm_text(combination, out, err));
  return sp_buf_printf(out, err, "\",\n  \"insertion_bonus\": %s",
                       number_of(combination->bonus).text);
}

static enum sp_status put_axis(const struct sp_tuned *tuned, size_t dim, const char *name,
                               struct sp_buf *out, struct sp_error *err) {
  const struct sp_tune_range *range = &tuned->options->ranges[dim];
  const struct sp_tune_axis *axis = &tuned->result->axes[dim];
  SP_TRY(sp_buf_printf(out, err,
                       "\n      {\"name\": \"%s\", \"lo\": %s, \"hi\": %s, \"best_from\": %s, "
                       "\"best_to\": %s,\n       \"gain\": %" PRId64
                       ", \"gain_standard_error\": %s, \"at_edge\": %s, \"flat\": %s,\n"
                       "       \"curve\": [",
                       name, number_of(range->lo).text, number_of(range->hi).text,
                       number_of(axis->interval.from).text, number_of(axis->interval.to).text,
                       axis->gain.errors, number_of(axis->gain.standard_error).text,
                       axis->at_lower || axis->at_upper ? "true" : "false",
                       axis->flat ? "true" : "false"));
  for (int i = 0; i < sp_tune_samples; i++) {
    SP_TRY(sp_buf_printf(out, err, "%s[%s, %" PRIu64 "]", i ? ", " : "",
                         number_of(axis->weights[i]).text, axis->errors[i]));
  }
  return sp_buf_printf(out, err, "]}");
}

static enum sp_status put_axes(const struct sp_weights_file *weights, const struct sp_tuned *tuned,
                               struct sp_buf *out, struct sp_error *err) {
  const struct sp_named_weights *second = &weights->combination.second;
  bool any = false;
  SP_TRY(sp_buf_printf(out, err, "    \"axes\": ["));
  for (size_t dim = 0; dim <= second->n; dim++) {
    if (tuned->options->ranges[dim].tuned) {
      SP_TRY(sp_buf_append(out, ",", any, err));
      SP_TRY(put_axis(tuned, dim, dim < second->n ? second->items[dim].name : "insertion_bonus",
                      out, err));
      any = true;
    }
  }
  return sp_buf_printf(out, err, "\n    ]\n");
}

static enum sp_status put_tuned(const struct sp_weights_file *weights, const struct sp_tuned *tuned,
                                struct sp_buf *out, struct sp_error *err) {
  const struct sp_tune_result *result = tuned->result;
  SP_TRY(sp_buf_printf(
      out, err, "  \"tuned\": {\n    \"version\": \"%s\",\n    \"signature\": ", SP_VERSION));
  SP_TRY(put_string(out, tuned->signature, err));
  SP_TRY(sp_buf_printf(out, err, ",\n    \"inputs\": ["));
  for (size_t i = 0; i < tuned->n_files; i++) {
    const struct sp_file_digest *digest = &tuned->files[i].digest;
    SP_TRY(sp_buf_printf(out, err, "%s{\"bytes\": %" PRIu64 ", \"xxh128\": \"%s\"}", i ? ", " : "",
                         digest->bytes, digest->xxh128));
  }
  SP_TRY(sp_buf_printf(out, err,
                       "],\n    \"utts\": %" PRIu64 ", \"hyps\": %" PRIu64
                       ", \"ref_words\": %" PRIu64 ", \"blocks\": %" PRIu32
                       ", \"block_by\": \"%s\",\n    \"errors\": %" PRIu64
                       ", \"first_pass_errors\": %" PRIu64 ", \"oracle_errors\": %" PRIu64
                       ",\n    \"gain\": %" PRId64 ", \"gain_standard_error\": %s,\n"
                       "    \"starts\": %zu, \"seed\": %" PRIu64 ", \"searches\": %zu,\n",
                       tuned->utts, tuned->hyps, tuned->ref_words, tuned->blocks, tuned->block_by,
                       result->errors, result->first_errors, result->oracle_errors,
                       result->gain.errors, number_of(result->gain.standard_error).text,
                       result->starts, tuned->options->seed, result->searches));
  SP_TRY(put_axes(weights, tuned, out, err));
  return sp_buf_printf(out, err, "  }\n}\n");
}

enum sp_status sp_weights_file_text(const struct sp_weights_file *weights,
                                    const struct sp_tuned *tuned, struct sp_buf *out,
                                    struct sp_error *err) {
  SP_TRY(put_combination(weights, out, err));
  SP_TRY(sp_buf_append(out, ",\n", 2, err));
  return put_tuned(weights, tuned, out, err);
}
