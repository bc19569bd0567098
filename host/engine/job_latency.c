#include "job_latency.h"

#include <math.h>

struct sp_latency_costs sp_latency_costs_of(const struct sp_settings *settings,
                                            const struct sp_context *context) {
  const struct sp_score_options *options = settings->options;
  struct sp_latency_costs costs = sp_latency_default_costs(context->config.layers);
  if (options->node_cost > 0) {
    costs.node = options->node_cost;
    costs.capacity *= options->node_cost;
  }
  costs.key = options->key_cost;
  costs.scheduler = options->scheduler_cost;
  if (options->capacity > 0) {
    costs.capacity = options->capacity;
  }
  return costs;
}

enum sp_status sp_job_measure_latency(const struct sp_job *job, const struct sp_settings *settings,
                                      const struct sp_context *context,
                                      const struct sp_job_hyp *hyp,
                                      struct sp_latency_counts *counts, struct sp_error *err) {
  struct sp_latency_costs costs = sp_latency_costs_of(settings, context);
  const uint32_t *bits = sp_job_bits(job, context, hyp); /* there wherever the rule is dynamic */
  return sp_latency_measure(&context->lookahead, context->config.layers, (size_t)hyp->n + 2, bits,
                            &costs, counts, err);
}

struct sp_latency_summary sp_latency_summarize(const struct sp_latency_counts *counts,
                                               const struct sp_latency_costs *costs) {
  struct sp_latency_stats stats = sp_latency_stats_of(counts);
  const double *value = stats.value;
  return (struct sp_latency_summary){.measured = true,
                                     .mean = value[SP_LATENCY_MEAN],
                                     .p50 = value[SP_LATENCY_P50],
                                     .p90 = value[SP_LATENCY_P90],
                                     .p99 = value[SP_LATENCY_P99],
                                     .max = value[SP_LATENCY_MAX],
                                     .emission_mean = value[SP_LATENCY_EMISSION],
                                     .clipped_mean = value[SP_LATENCY_CLIPPED_MEAN],
                                     .clipped = counts->clipped,
                                     .outputs = counts->outputs,
                                     .upl_mean = value[SP_LATENCY_UPL],
                                     .upl_max = counts->hyps > 0 ? counts->upl_max : NAN,
                                     .capacity = costs->capacity,
                                     .node_cost = costs->node,
                                     .key_cost = costs->key,
                                     .scheduler_cost = costs->scheduler};
}
