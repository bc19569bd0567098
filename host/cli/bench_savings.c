/* bench_savings.c - `secondpass bench savings`: what each exact saving brings.
 *
 * One round with all savings and one without each of them take turns; the ratio is the median of
 * the rounds' ratios. Every round's scores are compared bit by bit with the first round's.  Equal nodes
 * are told only with all other savings on: what those bring is measured without `nodes`. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench_args.h"
#include "bench_stats.h"
#include "clock.h"
#include "commands.h"
#include "output.h"

struct savings_result {
  double seconds;              /* with all */
  double ratio[SP_N_SAVINGS];  /* without it over with it; nodes: NAN where it does not apply */
  uint64_t nodes, plain_nodes; /* computed with `nodes` and without */
  char mask[SP_LOOKAHEAD_TEXT];
  size_t rounds;
};

/* Scores of all tokens in the order of the hypotheses, whatever the plan's order. */
static float *copy_scores(const struct sp_workload *w, size_t *count) {
  const struct sp_job *job = &w->job;
  float *scores = malloc((job->n_tokens * SP_METHOD_COUNT + 1) * sizeof *scores);
  *count = 0;
  for (size_t h = 0; scores && h < job->n_hyps; h++) {
    const struct sp_job_hyp *hyp = &job->hyps[h];
    for (int m = 0; hyp->n && m < SP_METHOD_COUNT; m++) {
      if (!(w->settings.methods >> m & 1u)) {
        continue;
      }
      uint32_t base = job->plan.hyp_base[hyp->plan_hyp];
      const uint32_t *result = job->plan.result + job->plan.result_first[m][base];
      for (uint32_t i = 0; i < (m == SP_CLS ? 1 : hyp->n); i++) {
        scores[(*count)++] = m == SP_CLS ? job->cls[result[i]] : job->logp[result[i]];
      }
    }
  }
  return scores;
}

static enum sp_status check_scores(const struct sp_workload *w, float **first, const char *without,
                                   struct sp_error *err) {
  size_t count;
  float *scores = copy_scores(w, &count);
  if (!scores) {
    return sp_fail_memory(err, count);
  }
  if (!*first) {
    *first = scores;
    return SP_OK;
  }
  bool equal = memcmp(*first, scores, count * sizeof *scores) == 0;
  free(scores);
  return equal ? SP_OK
               : sp_fail(err, SP_EDEVICE, "scores without '%s' are not the same bits", without);
}

static enum sp_status one_round(struct sp_workload *w, unsigned bits, const char *without,
                                float **first, double *seconds, struct sp_error *err) {
  SP_TRY(sp_workload_replan(w, bits, err));
  SP_TRY(sp_workload_round(w, NULL, seconds, err));
  return check_scores(w, first, without, err);
}

/* Every saving in its turn; *seconds with all of them. */
static enum sp_status time_each(struct sp_workload *w, bool nodes, float **first,
                                struct savings_result *out, double *seconds, double *ratio,
                                struct sp_error *err) {
  const unsigned plain = SP_SAVING_ALL & ~SP_SAVING_NODES;
  double without;
  SP_TRY(one_round(w, plain, "nodes", first, seconds, err));
  for (int s = 0; s < SP_N_SAVINGS; s++) {
    ratio[s] = NAN;
    if (1u << s != SP_SAVING_NODES) {
      SP_TRY(one_round(w, plain & ~(1u << s), sp_saving_names[s], first, &without, err));
      ratio[s] = without / *seconds;
    }
  }
  out->nodes = out->plain_nodes = w->job.counts.plain_nodes;
  if (!nodes) {
    return SP_OK;
  }
  without = *seconds;
  SP_TRY(one_round(w, SP_SAVING_ALL, "none", first, seconds, err));
  ratio[__builtin_ctz(SP_SAVING_NODES)] = without / *seconds;
  out->nodes = w->job.counts.nodes;
  out->plain_nodes = w->job.counts.plain_nodes;
  return SP_OK;
}

static enum sp_status time_savings(const struct sp_bench_args *args, struct sp_workload *w,
                                   float **first, struct savings_result *out,
                                   struct sp_error *err) {
  double all[sp_bench_max_rounds];
  static double ratio[SP_N_SAVINGS][sp_bench_max_rounds];
  double start = sp_clock_seconds();
  bool nodes = sp_nodes_fits(&w->context.lookahead);
  size_t n = 0;
  sp_lookahead_print(&w->context.lookahead, out->mask, sizeof out->mask);
  SP_TRY(one_round(w, SP_SAVING_ALL, "none", first, &all[0], err)); /* does not count */
  for (; sp_bench_goes_on(args, n, start); n++) {
    double each[SP_N_SAVINGS];
    SP_TRY(time_each(w, nodes, first, out, &all[n], each, err));
    for (int s = 0; s < SP_N_SAVINGS; s++) {
      ratio[s][n] = each[s];
    }
  }
  for (int s = 0; s < SP_N_SAVINGS; s++) {
    bool told = nodes || 1u << s != SP_SAVING_NODES;
    out->ratio[s] = told ? sp_median(ratio[s], n) : NAN;
  }
  out->seconds = sp_median(all, n);
  out->rounds = n;
  return SP_OK;
}

static json_t *result_json(const struct sp_workload *w, const struct savings_result *r) {
  json_t *object = sp_json_begin("bench savings", SP_OK, NULL);
  json_object_set_new(object, "device_type", sp_json_text(w->context.devices[0]->type));
  json_object_set_new(object, "dtype",
                      sp_json_text(sp_compute_name(w->context.devices[0]->compute)));
  json_object_set_new(object, "mask", sp_json_text(r->mask));
  json_object_set_new(object, "rounds", json_integer((json_int_t)r->rounds));
  json_object_set_new(object, "seconds", sp_json_real(r->seconds));
  for (int s = 0; s < SP_N_SAVINGS; s++) {
    json_object_set_new(object, sp_saving_names[s], sp_json_real(r->ratio[s]));
  }
  json_object_set_new(object, "computed_nodes", json_integer((json_int_t)r->nodes));
  json_object_set_new(object, "plain_nodes", json_integer((json_int_t)r->plain_nodes));
  return object;
}

static void print_result(const struct savings_result *r) {
  sp_row("mask", "%s", r->mask);
  sp_row("all savings", "%s a round (median of %zu)", sp_duration(r->seconds).text, r->rounds);
  for (int s = 0; s < SP_N_SAVINGS; s++) {
    if (isnan(r->ratio[s])) {
      sp_row(sp_saving_names[s], "does not apply to this mask");
      continue;
    }
    sp_row(sp_saving_names[s], "%.3f times as long without it, the same scores bit by bit",
           r->ratio[s]);
  }
  if (!isnan(r->ratio[SP_N_SAVINGS - 1])) {
    sp_row("", "%.3f times as many nodes without it: %s for %s",
           (double)r->plain_nodes / (double)r->nodes, sp_number(r->plain_nodes).text,
           sp_number(r->nodes).text);
  }
}

static enum sp_status bench_savings(const struct sp_bench_args *args,
                                    const struct sp_operands *operands, struct sp_error *err) {
  struct sp_workload workload;
  struct savings_result result;
  float *first = NULL;
  SP_TRY(sp_bench_open(args, operands, &workload, err));
  enum sp_status status = time_savings(args, &workload, &first, &result, err);
  if (status == SP_OK && args->json) {
    status = sp_json_print(result_json(&workload, &result), stdout, err);
  } else if (status == SP_OK) {
    print_result(&result);
  }
  free(first);
  sp_workload_close(&workload);
  return status;
}

static enum sp_status run_bench_savings(const void *values, const struct sp_operands *operands,
                                        struct sp_error *err) {
  const struct sp_bench_args *args = values;
  return sp_json_failure(args->json, "bench savings", bench_savings(args, operands, err), err);
}

static const struct sp_opt_group *const groups[] = {&sp_bench_group, &sp_bench_mask_group, NULL};

const struct sp_command sp_command_bench_savings = {
    .name = "bench savings",
    .summary = "what each exact saving brings",
    .example = "secondpass bench savings --model bert-base-uncased --limit 50 dev.jsonl.zst",
    .usage = "--model DIR [OPTIONS] --length L | ARCHIVE...",
    .description =
        "Scores one workload with all savings and without each of them in turn, and "
        "checks that the scores stay the same bit by bit. 'head' off implies 'trim' "
        "off: the head then sees every token of the last layer. 'nodes' applies under a bounded "
        "lookahead, the model's or --mask's, and needs all others: they are measured without it, "
        "and "
        "it stands beside the ratio of nodes.",
    .groups = groups,
    .values_bytes = sizeof(struct sp_bench_args),
    .max_operands = SIZE_MAX,
    .run = run_bench_savings,
};
