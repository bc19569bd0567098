#include "list_loss.h"

#include <math.h>

/* A list as the discriminative losses see it. */
struct list {
  const float *first, *model, *errors;
  size_t n;
  double beta;
};

static bool takes_part(const struct list *list, size_t i) {
  return isfinite(list->first[i]) && isfinite(list->errors[i]);
}

static double score(const struct list *list, size_t i) {
  return list->first[i] + list->beta * list->model[i];
}

struct totals {
  size_t used;
  double score, error;
};

static struct totals add_up(const struct list *list) {
  struct totals totals = {0};
  for (size_t i = 0; i < list->n; i++) {
    if (takes_part(list, i)) {
      totals.used++;
      totals.score += score(list, i);
      totals.error += list->errors[i];
    }
  }
  return totals;
}

/* What a softmax is of. */
typedef double term_of(const struct list *list, double scale, size_t i);
static double scaled_score(const struct list *list, double scale, size_t i) {
  return scale * score(list, i);
}
static double scaled_error(const struct list *list, double scale, size_t i) {
  return scale * list->errors[i];
}

static double log_sum_exp(const struct list *list, term_of *term, double scale) {
  double max = -INFINITY, sum = 0;
  for (size_t i = 0; i < list->n; i++) {
    if (takes_part(list, i)) {
      max = fmax(max, term(list, scale, i));
    }
  }
  for (size_t i = 0; i < list->n; i++) {
    if (takes_part(list, i)) {
      sum += exp(term(list, scale, i) - max);
    }
  }
  return max + log(sum);
}

static struct sp_list_loss no_loss(const struct list *list, const struct totals *totals,
                                   double *d_l) {
  for (size_t i = 0; i < list->n; i++) {
    d_l[i] = 0;
  }
  bool strayed = !isfinite(totals->score);
  return (struct sp_list_loss){
      .value = strayed ? NAN : 0, .skipped = !strayed, .used = totals->used};
}

/* With errors counted from their mean, equal errors give exactly nothing. */
struct sp_list_loss sp_mwer(const float *first, const float *model, const float *errors, size_t n,
                            double beta, double *d_l) {
  const struct list list = {first, model, errors, n, beta};
  struct totals totals = add_up(&list);
  if (totals.used < 2 || !isfinite(totals.score)) {
    return no_loss(&list, &totals, d_l);
  }
  double mean = totals.error / (double)totals.used, value = 0;
  double log_sum = log_sum_exp(&list, scaled_score, 1);
  for (size_t i = 0; i < n; i++) {
    if (takes_part(&list, i)) {
      value += exp(score(&list, i) - log_sum) * (errors[i] - mean);
    }
  }
  for (size_t i = 0; i < n; i++) {
    d_l[i] = takes_part(&list, i)
                 ? beta * exp(score(&list, i) - log_sum) * ((errors[i] - mean) - value)
                 : 0;
  }
  return (struct sp_list_loss){.value = value, .used = totals.used};
}

/* Softmax of the errors, and of the scores over T. */
struct matched {
  double scale; /* 1 / T */
  double score_log_sum, error_log_sum;
};

static double log_wanted(const struct list *list, const struct matched *m, size_t i) {
  return list->errors[i] - m->error_log_sum;
}
static double log_given(const struct list *list, const struct matched *m, size_t i) {
  return m->scale * score(list, i) - m->score_log_sum;
}

/* d value / d l_i = beta / T (given_i - wanted_i - pull), where pull = sum_k s_k (given_k - wanted_k) / sum s
 * comes from T and makes s . d value / d s zero. */
static void mwed_gradient(const struct list *list, const struct matched *m, double pull,
                          double *d_l) {
  for (size_t i = 0; i < list->n; i++) {
    d_l[i] = takes_part(list, i)
                 ? list->beta * m->scale *
                       (exp(log_given(list, m, i)) - exp(log_wanted(list, m, i)) - pull)
                 : 0;
  }
}

/* Whether T and the scores over T are numbers. */
static bool has_temperature(const struct list *list, const struct totals *totals) {
  double scale = totals->error / totals->score;
  if (totals->used < 2 || totals->error == 0 || !isfinite(totals->score) || !isfinite(scale)) {
    return false;
  }
  for (size_t i = 0; i < list->n; i++) {
    if (takes_part(list, i) && !isfinite(scale * score(list, i))) {
      return false;
    }
  }
  return true;
}

struct sp_list_loss sp_mwed(const float *first, const float *model, const float *errors, size_t n,
                            double beta, bool detach, double *d_l) {
  const struct list list = {first, model, errors, n, beta};
  struct totals totals = add_up(&list);
  if (!has_temperature(&list, &totals)) {
    return no_loss(&list, &totals, d_l);
  }
  struct matched m = {.scale = totals.error / totals.score};
  m.score_log_sum = log_sum_exp(&list, scaled_score, m.scale);
  m.error_log_sum = log_sum_exp(&list, scaled_error, 1);
  double value = 0, dot = 0;
  for (size_t i = 0; i < n; i++) {
    if (takes_part(&list, i)) {
      double wanted = log_wanted(&list, &m, i), given = log_given(&list, &m, i);
      value += exp(wanted) * (wanted - given);
      dot += score(&list, i) * (exp(given) - exp(wanted));
    }
  }
  mwed_gradient(&list, &m, detach ? 0 : dot / totals.score, d_l);
  return (struct sp_list_loss){.value = value, .used = totals.used};
}

struct sp_list_loss sp_distill(const float *model, const float *teacher, size_t n, double *d_l) {
  struct sp_list_loss loss = {0};
  for (size_t i = 0; i < n; i++) {
    d_l[i] = 0;
    if (isfinite(teacher[i])) {
      double off = (double)model[i] - teacher[i];
      loss.value += off * off;
      d_l[i] = 2 * off;
      loss.used++;
    }
  }
  loss.skipped = loss.used == 0;
  return loss;
}
