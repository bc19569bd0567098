#include "latency.h"

#include <math.h>
#include <stdlib.h>

#include "checked.h"

/* What row i of a layer waits for, from the layer below. */
static void derive_node(const struct sp_mask_graph *graph, size_t layer, size_t i,
                        const uint32_t *ready, const unsigned char *clipped, uint32_t *r,
                        unsigned char *c) {
  const uint64_t *row = sp_mask_graph_row(graph, layer, i);
  bool cut = sp_mask_graph_is_cut(graph, layer, i);
  *r = cut ? (uint32_t)graph->len - 1 : ready[i];
  *c = cut || clipped[i];
  for (size_t w = 0; w < graph->words; w++) {
    for (uint64_t left = row[w]; left != 0; left &= left - 1) {
      size_t j = w * 64 + (size_t)__builtin_ctzll(left);
      *r = ready[j] > *r ? ready[j] : *r;
      *c |= clipped[j];
    }
  }
}

enum sp_status sp_latency_create(const struct sp_mask_graph *graph, struct sp_latency *out,
                                 struct sp_error *err) {
  size_t len = graph->len, n = (graph->layers + 1) * len; /* as the graph has memory, no overflow */
  *out = (struct sp_latency){.layers = graph->layers, .len = len};
  out->ready = calloc(n, sizeof *out->ready);
  out->clipped = calloc(n, 1);
  if (!out->ready || !out->clipped) {
    sp_latency_release(out);
    return sp_fail_memory(err, n * (sizeof *out->ready + 1));
  }
  for (size_t i = 0; i < len; i++) {
    out->ready[i] = (uint32_t)i;
  }
  for (size_t l = 0; l < graph->layers; l++) {
    for (size_t i = 0; i < len; i++) {
      size_t to = (l + 1) * len + i;
      derive_node(graph, l, i, out->ready + l * len, out->clipped + l * len, &out->ready[to],
                  &out->clipped[to]);
    }
  }
  return SP_OK;
}

void sp_latency_release(struct sp_latency *latency) {
  free(latency->ready);
  free(latency->clipped);
  *latency = (struct sp_latency){0};
}

struct sp_latency_costs sp_latency_default_costs(size_t layers) {
  return (struct sp_latency_costs){.node = 1, .capacity = (double)layers};
}

/* What is released in one period, counted, so that the sum of its costs has one order. */
struct released {
  uint64_t nodes, keys, schedulers;
};

static void count_released(const struct sp_mask_graph *graph, const struct sp_latency *latency,
                           const bool *scheduled, struct released *at) {
  for (size_t l = 0; l < graph->layers; l++) {
    for (size_t i = 0; i < graph->len; i++) {
      struct released *node = &at[latency->ready[(l + 1) * graph->len + i]];
      const uint64_t *row = sp_mask_graph_row(graph, l, i);
      node->nodes++;
      for (size_t w = 0; w < graph->words; w++) {
        node->keys += (uint64_t)__builtin_popcountll(row[w]);
      }
      if (scheduled && scheduled[l]) {
        at[latency->ready[l * graph->len + i]].schedulers++;
      }
    }
  }
}

enum sp_status sp_latency_backlog(const struct sp_mask_graph *graph,
                                  const struct sp_latency *latency, const bool *scheduled,
                                  const struct sp_latency_costs *costs, struct sp_backlog *out,
                                  struct sp_error *err) {
  struct released *at = calloc(graph->len, sizeof *at);
  double backlog = 0;
  if (!at) {
    return sp_fail_memory(err, graph->len * sizeof *at);
  }
  *out = (struct sp_backlog){0};
  count_released(graph, latency, scheduled, at);
  for (size_t t = 0; t < graph->len; t++) {
    double work = (double)at[t].nodes * costs->node + (double)at[t].keys * costs->key +
                  (double)at[t].schedulers * costs->scheduler;
    out->peak = fmax(out->peak, work);
    out->finish = (backlog + work) / costs->capacity;
    backlog = fmax(0, backlog + work - costs->capacity);
  }
  out->upl = backlog / costs->capacity;
  free(at);
  return SP_OK;
}

enum sp_status sp_latency_count(const struct sp_latency *latency, double upl,
                                struct sp_latency_counts *counts, struct sp_error *err) {
  const uint32_t *ready = latency->ready + latency->layers * latency->len;
  size_t latest = 0;
  for (size_t i = 1; i + 1 < latency->len; i++) {
    latest = sp_max_size(latest, ready[i]);
    if (sp_latency_is_clipped(latency, latency->layers, i)) {
      counts->outputs++;
      counts->clipped++;
      counts->clipped_sum += ready[i] - i;
    } else {
      SP_TRY(sp_latency_counts_note(counts, ready[i] - i, latest - i, err));
    }
  }
  counts->hyps++;
  counts->upl_sum += upl;
  counts->upl_max = fmax(counts->upl_max, upl);
  return SP_OK;
}

enum sp_status sp_latency_measure(const struct sp_lookahead *rule, size_t layers, size_t len,
                                  const uint32_t *bits, const struct sp_latency_costs *costs,
                                  struct sp_latency_counts *counts, struct sp_error *err) {
  struct sp_mask_graph graph = {0};
  struct sp_latency latency = {0};
  struct sp_backlog backlog;
  bool scheduled[SP_MAX_LAYERS];
  for (size_t l = 0; l < layers; l++) {
    scheduled[l] = rule->policy == SP_MASK_DYNAMIC && sp_lookahead_reach(rule, l) > 0;
  }
  enum sp_status status;
  SP_TRY_GOTO(sp_mask_graph_create(rule, layers, len, bits, &graph, err), release);
  SP_TRY_GOTO(sp_latency_create(&graph, &latency, err), release);
  SP_TRY_GOTO(sp_latency_backlog(&graph, &latency, scheduled, costs, &backlog, err), release);
  status = sp_latency_count(&latency, backlog.upl, counts, err);
release:
  sp_latency_release(&latency);
  sp_mask_graph_release(&graph);
  return status;
}
