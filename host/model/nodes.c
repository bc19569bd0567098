/* nodes.c - a batch: its units and level 0, its rounds, and what becomes of the last level. */
#include "nodes_state.h"

/* Adds a text for the sequences that follow, and one of them where it is a copy. */
static void add_units(struct sp_nodes *n, uint32_t s) {
  const struct sp_sequence *seq = n->plan->sequence;
  struct sp_node_unit u = sp_node_unit_of(n->plan, n->rule.lookahead, s);
  if (s == n->range.first || seq[s].base != seq[s - 1].base) {
    struct sp_node_unit text = {
        .base = u.base, .len = u.len, .top = SP_NO_NODE, .trace = SP_NO_NODE};
    text.text = (uint32_t)n->units;
    n->unit[n->units++] = text;
  }
  struct sp_node_unit *last = &n->unit[n->units - 1];
  struct sp_node_unit *text = &n->unit[last->text];
  if (!sp_node_is_copy(&u)) {
    u.text = last->text;
    u.last_mask = text->last_mask;
    *text = u;
    return;
  }
  u.text = last->text;
  text->last_mask = u.mask_lo + 1 > text->last_mask ? u.mask_lo + 1 : text->last_mask;
  n->unit[n->units++] = u;
}

void sp_node_number_prefixes(struct sp_nodes *n, struct sp_node_table *level, uint32_t u) {
  const struct sp_node_span *span = &level->span[u];
  uint32_t prefix = span->lo == 0 || span->n == 0
                        ? SP_NO_NODE
                        : sp_node_at(n, level, level->prefix, u, span->lo - 1);
  for (uint32_t i = span->start; i < span->start + span->n; i++) {
    prefix = sp_node_number(&n->prefixes, prefix, level->node[i]);
    level->prefix[i] = prefix;
  }
}

/* Level 0 of the units. */
static void start_units(struct sp_nodes *n, struct sp_node_inputs *out) {
  struct sp_node_reach r = sp_node_reach_of(n);
  uint32_t used = 0;
  n->at = 0;
  sp_node_clear(&n->nodes);
  sp_node_clear(&n->prefixes);
  for (uint32_t u = 0; u < n->units; u++) {
    const struct sp_node_unit *unit = &n->unit[u];
    const int32_t *text = n->plan->base_ids + n->plan->base_start[unit->base];
    sp_node_set_span(&n->now, u, unit->mask_lo, sp_node_end_asked(&r, unit, 0), &used);
    for (uint32_t i = 0; i < n->now.span[u].n; i++) {
      uint32_t j = unit->mask_lo + i;
      int32_t id = j >= unit->mask_lo && j < unit->mask_hi ? n->rule.mask_id : text[j];
      uint32_t node = sp_node_number(&n->nodes, (uint32_t)id, j);
      n->ids[node] = id;
      n->position[node] = j;
      n->now.node[n->now.span[u].start + i] = node;
    }
    sp_node_number_prefixes(n, &n->now, u);
  }
  n->rows = n->nodes.n;
  *out = (struct sp_node_inputs){n->rows, n->ids, n->position};
}

void sp_nodes_begin(struct sp_nodes *n, const struct sp_plan *plan, struct sp_batch_range range,
                    struct sp_node_inputs *out) {
  uint32_t first = plan->sequence[range.first].row_first;
  uint32_t end = plan->sequence[range.first + range.count].row_first;
  n->plan = plan;
  n->range = range;
  n->units = n->count = n->all_mlm_rows = 0;
  n->again = false;
  n->first_trace = SP_NO_NODE;
  memset(n->top_row, 0xff, (end - first) * sizeof *n->top_row);
  for (uint32_t s = range.first; s < range.first + range.count; s++) {
    n->first_trace =
        plan->sequence[s].trace < n->first_trace ? plan->sequence[s].trace : n->first_trace;
    add_units(n, s);
  }
  start_units(n, out);
}

/* Keeps the units that were left out, and their texts for what they share. */
bool sp_nodes_again(struct sp_nodes *n, struct sp_node_inputs *out) {
  uint32_t first = n->plan->sequence[n->range.first].row_first;
  uint32_t end = n->plan->sequence[n->range.first + n->range.count].row_first;
  uint32_t kept = 0, text = SP_NO_NODE, kept_text = 0; /* a text by its place before and after */
  for (uint32_t u = 0; u < n->units; u++) {
    struct sp_node_unit unit = n->unit[u];
    if (!unit.left_out) {
      continue;
    }
    if (unit.text != text) {
      text = unit.text;
      kept_text = kept++;
      n->unit[kept_text] = (struct sp_node_unit){.text = kept_text,
                                                 .base = unit.base,
                                                 .len = unit.len,
                                                 .top = SP_NO_NODE,
                                                 .trace = SP_NO_NODE};
    }
    struct sp_node_unit *shared = &n->unit[kept_text];
    unit.text = kept_text;
    unit.tried = unit.left_out = false;
    if (unit.mask_lo + 1 > shared->last_mask) {
      shared->last_mask = unit.mask_lo + 1;
    }
    n->unit[kept++] = unit;
  }
  n->units = kept;
  n->again = true;
  n->first_trace = SP_NO_NODE;
  memset(n->top_row, 0xff, (end - first) * sizeof *n->top_row);
  if (kept > 0) {
    start_units(n, out);
  }
  return kept > 0;
}

/* Targets in the order of their rows: a counting sort that keeps the plan's order within a row.
 * Returns how many there are. */
static size_t sort_targets(struct sp_nodes *n, uint32_t row_first, uint32_t row_end) {
  const struct sp_plan *plan = n->plan;
  uint32_t first = plan->row_target[row_first];
  size_t sorted = 0;
  memset(n->bucket, 0, (n->mlm_rows + 1) * sizeof *n->bucket);
  for (uint32_t r = row_first; r < row_end; r++) {
    if (plan->row_cls[r + 1] == plan->row_cls[r] && n->top_row[r - row_first] != SP_NO_NODE) {
      n->bucket[n->top_row[r - row_first] + 1] += plan->row_target[r + 1] - plan->row_target[r];
    }
  }
  for (size_t m = 0; m < n->mlm_rows; m++) {
    n->bucket[m + 1] += n->bucket[m];
  }
  for (uint32_t r = row_first; r < row_end; r++) {
    for (uint32_t t = plan->row_target[r]; t < plan->row_target[r + 1]; t++) {
      n->place_of_target[t - first] = SP_NO_NODE;
      if (n->top_row[r - row_first] == SP_NO_NODE) {
        continue;
      }
      uint32_t place = n->bucket[n->top_row[r - row_first]]++;
      sorted++;
      n->target_row[place] = n->top_row[r - row_first];
      n->target_id[place] = plan->target_id[t];
      n->place_of_target[t - first] = place;
    }
  }
  return sorted;
}

void sp_nodes_end(struct sp_nodes *n, struct sp_node_outputs *out) {
  const struct sp_plan *plan = n->plan;
  uint32_t row_first = plan->sequence[n->range.first].row_first;
  uint32_t row_end = plan->sequence[n->range.first + n->range.count].row_first;
  size_t cls = 0;
  for (uint32_t r = row_first; r < row_end; r++) {
    if (plan->row_cls[r + 1] > plan->row_cls[r]) {
      n->place_of_cls[cls++] = n->top_row[r - row_first];
    }
  }
  size_t targets = plan->row_target[row_end] - plan->row_target[row_first];
  *out = (struct sp_node_outputs){.mlm_rows = n->mlm_rows,
                                  .cls_rows = n->cls_rows,
                                  .targets = sort_targets(n, row_first, row_end),
                                  .mlm_row = n->mlm_row,
                                  .cls_row = n->cls_row,
                                  .target_row = n->target_row,
                                  .target_id = n->target_id,
                                  .place_of_target = n->place_of_target,
                                  .place_of_cls = n->place_of_cls,
                                  .plan_targets = targets,
                                  .plan_cls = cls,
                                  .first_target = plan->row_target[row_first],
                                  .first_cls = plan->row_cls[row_first]};
}

const uint32_t *sp_nodes_trace(const struct sp_nodes *n) {
  return n->trace;
}
struct sp_node_counts sp_nodes_get_counts(const struct sp_nodes *n) {
  return (struct sp_node_counts){n->count, n->all_mlm_rows};
}
