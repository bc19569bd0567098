#include "combine.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "float_text.h"
#include "json_fast.h"
#include "text_words.h"

double sp_total(const struct sp_linear *linear, const double *x) {
  size_t n = linear->n;
  double total = x[0];
  if (linear->kind == SP_COMBINE_CONVEX) {
    double left = 1;
    for (size_t k = 0; k < n; k++) {
      left -= linear->weights[k];
    }
    total *= left;
  }
  for (size_t k = 0; k <= n; k++) {
    total += linear->weights[k] * x[1 + k];
  }
  return total;
}

size_t sp_best_of(const struct sp_linear *linear, const double *x, size_t n) {
  size_t best = 0;
  double most = sp_total(linear, x);
  for (size_t i = 1; i < n; i++) {
    double total = sp_total(linear, x + i * (linear->n + 2));
    if (total > most || (isnan(most) && !isnan(total))) {
      best = i;
      most = total;
    }
  }
  return best;
}

static int compare_ranks(const void *a, const void *b, void *context) {
  const double *totals = context;
  uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
  double x = totals[i], y = totals[j];
  if (isnan(x) != isnan(y)) {
    return isnan(x) ? 1 : -1;
  }
  if (x > y || x < y) {
    return x > y ? -1 : 1;
  }
  return i < j ? -1 : i > j;
}

void sp_rank(const double *totals, size_t n, uint32_t *order) {
  for (size_t i = 0; i < n; i++) {
    order[i] = (uint32_t)i;
  }
  qsort_r(order, n, sizeof *order, compare_ranks, (void *)totals);
}

bool sp_score_name_valid(struct sp_text name) {
  for (size_t i = 0; i < name.len; i++) {
    char c = name.data[i];
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    bool other = (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
    if (!letter && (i == 0 || !other)) {
      return false;
    }
  }
  return name.len > 0 && name.len <= sp_score_name_max;
}

const struct sp_named_weight *sp_named_weight_find(const struct sp_named_weights *weights,
                                                   const char *name) {
  for (size_t k = 0; k < weights->n; k++) {
    if (strcmp(weights->items[k].name, name) == 0) {
      return &weights->items[k];
    }
  }
  return NULL;
}

static enum sp_status parse_weight(struct sp_text item, const char *option,
                                   struct sp_named_weights *out, struct sp_error *err) {
  const char *equals = memchr(item.data, '=', item.len);
  struct sp_text name = {item.data, equals ? (size_t)(equals - item.data) : item.len};
  if (!equals || !sp_score_name_valid(name)) {
    return sp_fail(err, SP_EUSAGE, "--%s: '%.*s' is not NAME=NUMBER", option, (int)item.len,
                   item.data);
  }
  if (out->n == sp_max_weights) {
    return sp_fail(err, SP_EUSAGE, "--%s: more than %d names", option, (int)sp_max_weights);
  }
  struct sp_named_weight *weight = &out->items[out->n];
  memcpy(weight->name, name.data, name.len);
  weight->name[name.len] = '\0';
  if (sp_named_weight_find(out, weight->name)) {
    return sp_fail(err, SP_EUSAGE, "--%s: %s is given twice", option, weight->name);
  }
  struct sp_text number = {equals + 1, item.len - name.len - 1};
  if (!sp_number_parse(number, &weight->value) || fabs(weight->value) > SP_WEIGHT_LIMIT) {
    return sp_fail(err, SP_EUSAGE, "--%s: '%.*s' of %s is not a number within %g", option,
                   (int)number.len, number.data, weight->name, SP_WEIGHT_LIMIT);
  }
  out->n++;
  return SP_OK;
}

enum sp_status sp_named_weights_parse(const char *text, const char *option,
                                      struct sp_named_weights *out, struct sp_error *err) {
  *out = (struct sp_named_weights){0};
  for (bool more = true; more;) {
    struct sp_text item = {text, strcspn(text, ",")};
    SP_TRY(parse_weight(item, option, out, err));
    more = text[item.len] == ',';
    text += item.len + more;
  }
  return SP_OK;
}

static const char *const norm_names[] = {"none", "tokens", "words", "gnmt"};

enum sp_status sp_length_norm_parse(const char *text, enum sp_length_norm *norm, double *gnmt_alpha,
                                    struct sp_error *err) {
  *gnmt_alpha = 0;
  for (int k = SP_NORM_NONE; k < SP_NORM_GNMT; k++) {
    if (strcmp(text, norm_names[k]) == 0) {
      *norm = (enum sp_length_norm)k;
      return SP_OK;
    }
  }
  struct sp_text alpha = {text + 5, strlen(text) > 5 ? strlen(text) - 5 : 0};
  if (strncmp(text, "gnmt:", 5) == 0 && sp_number_parse(alpha, gnmt_alpha) && *gnmt_alpha >= 0 &&
      *gnmt_alpha <= 10) {
    *norm = SP_NORM_GNMT;
    return SP_OK;
  }
  return sp_fail(err, SP_EUSAGE,
                 "length norm '%s' is none of none, tokens, words and gnmt:A with A from 0 to 10",
                 text);
}

enum sp_status sp_length_norm_text(const struct sp_combination *combination, struct sp_buf *out,
                                   struct sp_error *err) {
  const char *name = norm_names[combination->norm];
  SP_TRY(sp_buf_append(out, name, strlen(name), err));
  if (combination->norm != SP_NORM_GNMT) {
    return SP_OK;
  }
  char alpha[SP_DOUBLE_TEXT_MAX];
  size_t wide = sp_double_text(combination->gnmt_alpha, alpha);
  SP_TRY(sp_buf_append(out, ":", 1, err));
  return sp_buf_append(out, alpha, wide, err);
}

static enum sp_status check_weights(const struct sp_named_weights *weights, struct sp_error *err) {
  for (size_t k = 0; k < weights->n; k++) {
    if (!(fabs(weights->items[k].value) <= SP_WEIGHT_LIMIT)) {
      return sp_fail(err, SP_EUSAGE, "the weight of %s is not a number within %g",
                     weights->items[k].name, SP_WEIGHT_LIMIT);
    }
  }
  return SP_OK;
}

enum sp_status sp_combination_check(const struct sp_combination *combination,
                                    struct sp_error *err) {
  SP_TRY(check_weights(&combination->first, err));
  SP_TRY(check_weights(&combination->second, err));
  if (!(fabs(combination->bonus) <= SP_WEIGHT_LIMIT)) {
    return sp_fail(err, SP_EUSAGE, "the insertion bonus is not a number within %g",
                   SP_WEIGHT_LIMIT);
  }
  return SP_OK;
}

void sp_combination_linear(const struct sp_combination *combination, struct sp_linear *out) {
  *out = (struct sp_linear){.kind = combination->kind, .n = combination->second.n};
  for (size_t k = 0; k < out->n; k++) {
    out->weights[k] = combination->second.items[k].value;
  }
  out->weights[out->n] = combination->bonus;
}

static double within_limit(double value) {
  return fabs(value) <= SP_SCORE_LIMIT ? value : NAN;
}

static double first_of(const struct sp_named_weights *first, const struct sp_hyp *hyp) {
  double sum = 0;
  for (size_t c = 0; c < first->n; c++) {
    const char *name = first->items[c].name;
    double value = NAN;
    if (!sp_hyp_named_score(hyp, (struct sp_text){name, strlen(name)}, &value)) {
      return NAN;
    }
    sum += first->items[c].value * within_limit(value);
  }
  return sum;
}

static double penalty(const struct sp_combination *combination, double tokens, double words) {
  switch (combination->norm) {
    case SP_NORM_NONE:
      break;
    case SP_NORM_TOKENS:
      return fmax(tokens, 1);
    case SP_NORM_WORDS:
      return fmax(words, 1);
    case SP_NORM_GNMT:
      return pow((5 + fmax(tokens, 1)) / 6, combination->gnmt_alpha);
  }
  return 1;
}

enum sp_status sp_features(const struct sp_combination *combination, const struct sp_hyp *hyp,
                           const struct sp_second *second, double *x, struct sp_error *err) {
  size_t n = combination->second.n;
  double words = (double)sp_count_words(hyp->text);
  bool by_tokens = combination->norm == SP_NORM_TOKENS || combination->norm == SP_NORM_GNMT;
  x[0] = first_of(&combination->first, hyp);
  x[n + 1] = words;
  for (size_t k = 0; k < n; k++) {
    x[1 + k] = within_limit(second[k].value);
    if (isnan(x[1 + k])) {
      continue;
    }
    if (by_tokens && !second[k].has_tokens) {
      return sp_fail(err, SP_EINPUT, "%s has no token counts (n), which the length norm needs",
                     combination->second.items[k].name);
    }
    x[1 + k] /= penalty(combination, second[k].n_tokens, words);
  }
  return SP_OK;
}
