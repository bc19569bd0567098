#include "latency_loss.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "soft_layer.h"

static const char *const names[] = {[SP_PENALTY_NONE] = "none",
                                    [SP_PENALTY_NAIVE] = "naive",
                                    [SP_PENALTY_RELATIVE_EMA] = "relative-ema",
                                    [SP_PENALTY_RELATIVE_HINGE] = "relative-hinge",
                                    [SP_PENALTY_COMPUTATIONAL] = "computational"};

bool sp_penalty_parse(const char *text, enum sp_penalty *out) {
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    if (strcmp(text, names[i]) == 0) {
      *out = (enum sp_penalty)i;
      return true;
    }
  }
  return false;
}

const char *sp_penalty_name(enum sp_penalty penalty) {
  return names[penalty];
}

static const double settled_within = 0.05;

/* One sequence's part of a step. */
struct part {
  const struct sp_penalty_rule *rule;
  const struct sp_soft_masks *masks;
  double average;
  double share; /* of one position, or of the sequence for a backlog */
  struct sp_penalty_sums *sums;
  float *d_a;
};

static double count_row(const float *a, size_t room, struct sp_penalty_sums *sums) {
  double total = 0;
  for (size_t r = 0; r < room; r++) {
    total += a[r];
    sums->settled += a[r] <= settled_within || a[r] >= 1 - settled_within;
  }
  sums->cells += (double)room;
  return total;
}

/* What every kind reports, and what `naive` is: returns the mean of a over layers, summed over rows. */
static double count_cells(const struct part *part) {
  const struct sp_soft_masks *masks = part->masks;
  double total = 0;
  for (size_t l = 0; l < masks->layers; l++) {
    struct sp_soft_layer layer = sp_soft_layer_of(masks, l);
    for (size_t i = 0; i < masks->len; i++) {
      total += count_row(masks->a + sp_soft_cell(&layer, i), sp_soft_room(&layer, i), part->sums);
    }
  }
  return total / (double)masks->layers;
}

static void naive_backward(const struct part *part) {
  const struct sp_soft_masks *masks = part->masks;
  double each = part->rule->lambda * part->share / (double)masks->layers;
  for (size_t l = 0; l < masks->layers; l++) {
    struct sp_soft_layer layer = sp_soft_layer_of(masks, l);
    for (size_t i = 0; i < masks->len; i++) {
      float *d_a = part->d_a + sp_soft_cell(&layer, i);
      for (size_t r = 0; r < sp_soft_room(&layer, i); r++) {
        d_a[r] += (float)each;
      }
    }
  }
}

/* The penalty on one position's latency, and its derivative; 0 for the kinds that have none. */
static double latency_penalty(const struct part *part, double latency, double *derivative) {
  double over = latency - part->average;
  *derivative = 0;
  if (part->rule->kind == SP_PENALTY_RELATIVE_EMA && part->average > 0) {
    *derivative = 1 / part->average;
    return latency / part->average;
  }
  if (part->rule->kind == SP_PENALTY_RELATIVE_HINGE && over > 0) {
    *derivative = 1;
    return over;
  }
  return 0;
}

static bool is_on_latency(enum sp_penalty kind) {
  return kind == SP_PENALTY_RELATIVE_EMA || kind == SP_PENALTY_RELATIVE_HINGE;
}

/* Latency, of which every kind reports the sum. */
static enum sp_status add_latency(const struct part *part, struct sp_error *err) {
  size_t len = part->masks->len, bytes = sp_soft_latency_scratch(len, part->masks->layers);
  double *latency = calloc(len, sizeof *latency);
  void *scratch = bytes < SIZE_MAX ? malloc(bytes) : NULL;
  enum sp_status status = SP_OK;
  if (!latency || !scratch) {
    status = sp_fail_memory(err, bytes);
    goto release;
  }
  sp_soft_latency(part->masks, latency, scratch);
  for (size_t i = 0; i < len; i++) {
    double derivative;
    part->sums->latency += latency[i];
    part->sums->value += part->share * latency_penalty(part, latency[i], &derivative);
    latency[i] = part->rule->lambda * part->share * derivative;
  }
  if (part->d_a && is_on_latency(part->rule->kind)) {
    sp_soft_latency_backward(part->masks, latency, part->d_a, scratch);
  }
release:
  free(scratch);
  free(latency);
  return status;
}

static enum sp_status add_backlog(const struct part *part, struct sp_error *err) {
  struct sp_latency_costs costs = part->rule->backlog;
  double backlog;
  if (costs.capacity == 0) {
    costs.capacity = costs.node * (double)part->masks->layers;
  }
  SP_TRY(sp_soft_backlog(part->masks, &costs, &backlog, part->rule->lambda * part->share, part->d_a,
                         err));
  part->sums->backlog += backlog;
  part->sums->value += part->share * backlog;
  return SP_OK;
}

enum sp_status sp_penalty_add(const struct sp_penalty_rule *rule, const struct sp_soft_masks *masks,
                              double average, double step_positions, double step_sequences,
                              struct sp_penalty_sums *sums, float *d_a, struct sp_error *err) {
  bool computational = rule->kind == SP_PENALTY_COMPUTATIONAL;
  struct part part = {.rule = rule,
                      .masks = masks,
                      .average = average,
                      .share = 1 / (computational ? step_sequences : step_positions),
                      .sums = sums,
                      .d_a = d_a};
  double lookahead = count_cells(&part);
  sums->positions += (double)masks->len;
  sums->lookahead += lookahead;
  SP_TRY(add_latency(&part, err));
  if (rule->kind == SP_PENALTY_NAIVE) {
    sums->value += part.share * lookahead;
    if (d_a) {
      naive_backward(&part);
    }
  }
  return computational ? add_backlog(&part, err) : SP_OK;
}
