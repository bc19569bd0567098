#include "masks_json.h"

#include "output.h"

json_t *sp_masks_text_json(struct sp_text text) {
  json_t *json = json_stringn(text.data, text.len);
  return json ? json : json_null();
}

static json_t *number(size_t value) {
  return json_integer((json_int_t)value);
}

static bool has_bit(const uint64_t *bits, size_t j) {
  return bits[j / 64] >> j % 64 & 1;
}

/* Runs of set bits, [[first, last], ..]. */
static json_t *ranges_json(const uint64_t *bits, size_t len) {
  json_t *ranges = json_array();
  for (size_t j = 0; j < len; j++) {
    if (has_bit(bits, j)) {
      json_t *range = json_array();
      json_array_append_new(range, number(j));
      for (; j + 1 < len && has_bit(bits, j + 1); j++) {
      }
      json_array_append_new(range, number(j));
      json_array_append_new(ranges, range);
    }
  }
  return ranges;
}

static json_t *layer_json(const struct sp_mask_graph *graph, size_t layer) {
  json_t *object = json_object(), *rows = json_array();
  for (size_t i = 0; i < graph->len; i++) {
    json_array_append_new(rows, ranges_json(sp_mask_graph_row(graph, layer, i), graph->len));
  }
  json_object_set_new(object, "layer", number(layer));
  json_object_set_new(object, "rows", rows);
  return object;
}

static enum sp_status cone_json(const struct sp_masks_view *view, size_t position, json_t **out,
                                struct sp_error *err) {
  struct sp_mask_cone cone;
  SP_TRY(sp_mask_cone_create(view->graph, position, &cone, err));
  json_t *levels = json_array();
  for (size_t l = 0; l <= cone.layers; l++) {
    json_array_append_new(levels, ranges_json(cone.node + l * cone.words, cone.len));
  }
  sp_mask_cone_release(&cone);
  *out = json_object();
  json_object_set_new(*out, "output", number(position));
  json_object_set_new(*out, "latency",
                      number(sp_latency_of(view->latency, view->graph->layers, position)));
  json_object_set_new(*out, "levels", levels);
  return SP_OK;
}

enum sp_status sp_masks_view_json(const struct sp_masks_view *view, const bool *wanted,
                                  size_t position, json_t *object, struct sp_error *err) {
  const struct sp_mask_graph *graph = view->graph;
  json_t *tokens = json_array(), *masks = json_array(), *latency = json_array();
  json_t *clipped = json_array(), *cone = NULL;
  json_object_set_new(object, "tokens", tokens);
  json_object_set_new(object, "masks", masks);
  json_object_set_new(object, "latency", latency);
  json_object_set_new(object, "clipped", clipped);
  for (size_t i = 0; i < graph->len; i++) {
    json_array_append_new(tokens, sp_masks_text_json(view->pieces[i]));
    json_array_append_new(latency, number(sp_latency_of(view->latency, graph->layers, i)));
    json_array_append_new(clipped,
                          json_boolean(sp_latency_is_clipped(view->latency, graph->layers, i)));
  }
  for (size_t l = 0; l < graph->layers; l++) {
    if (wanted[l]) {
      json_array_append_new(masks, layer_json(graph, l));
    }
  }
  SP_TRY(cone_json(view, position, &cone, err));
  json_object_set_new(object, "cone", cone);
  return SP_OK;
}

/* Counts of distances from 0 to the largest that occurs. */
static json_t *counts_json(const uint64_t *counts, size_t n) {
  json_t *array = json_array();
  while (n > 0 && counts[n - 1] == 0) {
    n--;
  }
  for (size_t r = 0; r < n; r++) {
    json_array_append_new(array, json_integer((json_int_t)counts[r]));
  }
  return array;
}

json_t *sp_masks_reach_json(const struct sp_reach_counts *counts) {
  json_t *array = json_array();
  for (size_t l = 0; l < counts->layers; l++) {
    json_t *object = json_object();
    json_object_set_new(object, "layer", number(l));
    json_object_set_new(object, "mean", sp_json_real(sp_reach_mean(counts, l)));
    json_object_set_new(object, "rows", counts_json(counts->rows + l * counts->n, counts->n));
    json_object_set_new(object, "cut", counts_json(counts->cut + l * counts->n, counts->n));
    json_array_append_new(array, object);
  }
  return array;
}
