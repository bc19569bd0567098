/* nodes_cut.c - batches whose nodes fit, and what a plan will come to. */
#include "checked.h"
#include "nodes_state.h"

/* Positions that a level may look at in a copy. */
static size_t most_of(const struct sp_node_reach *r, const struct sp_node_unit *u, size_t level) {
  uint32_t end = sp_node_end_asked(r, u, level), first = sp_node_first_felt(r, level, u->mask_lo);
  return end > first ? end - first : 0;
}

struct cutter {
  const struct sp_plan *plan;
  const struct sp_nodes_rule *rule;
  struct sp_node_reach reach;
  size_t *sum; /* (L) positions of each level in the batch so far, then those of one sequence */
};

/* Adds sequence s to the sums; false when a level would pass the limit, with the sums as they were. */
static bool add_sequence(struct cutter *c, uint32_t s, bool new_text) {
  struct sp_node_unit u = sp_node_unit_of(c->plan, c->rule->lookahead, s);
  size_t *more = c->sum + c->rule->layers;
  bool fits = true;
  for (size_t l = 0; l < c->rule->layers; l++) {
    more[l] = !sp_node_is_copy(&u)    ? 0
              : u.trace != SP_NO_NODE ? u.len /* its bits have room too */
                                      : sp_max_size(1, most_of(&c->reach, &u, l));
    more[l] += new_text ? u.len : 0;
    fits = fits && c->sum[l] + more[l] <= c->rule->limits.tokens;
  }
  for (size_t l = 0; fits && l < c->rule->layers; l++) {
    c->sum[l] += more[l];
  }
  return fits;
}

/* The sequence that ends the batch which begins at `first`. */
static uint32_t batch_end(struct cutter *c, uint32_t first) {
  const struct sp_plan *plan = c->plan;
  const struct sp_sequence *seq = plan->sequence;
  uint32_t s = first, list_start = first;
  memset(c->sum, 0, c->rule->layers * sizeof *c->sum);
  for (; s < plan->sequences; s++) {
    bool new_text = s == first || seq[s].base != seq[s - 1].base;
    size_t targets =
        plan->row_target[seq[s + 1].row_first] - plan->row_target[seq[first].row_first];
    size_t rows = seq[s + 1].row_first - seq[first].row_first;
    if (new_text && s > first && plan->base_list[seq[s].base] != plan->base_list[seq[s - 1].base]) {
      list_start = s;
    }
    bool fits = targets <= c->rule->limits.targets && rows <= c->rule->limits.tokens;
    if ((!fits || !add_sequence(c, s, new_text)) && s > first) {
      return list_start > first ? list_start : s;
    }
  }
  return s;
}

struct sp_batch_range *sp_nodes_cut(struct sp_plan *plan, const struct sp_nodes_rule *rule,
                                    size_t *n_batches) {
  size_t layers = rule->layers;
  size_t *memory = sp_arena_alloc(&plan->arena, 4 * layers + 2, sizeof *memory);
  struct sp_batch_range *ranges = sp_arena_alloc(&plan->arena, plan->sequences, sizeof *ranges);
  *n_batches = 0;
  if (!memory || !ranges) {
    return NULL;
  }
  size_t *ahead = memory + 2 * layers, *behind = ahead + layers + 1;
  sp_node_fill_reach(rule, ahead, behind);
  struct cutter c = {plan, rule, {rule->lookahead, ahead, behind, layers}, memory};
  for (uint32_t s = 0; s < plan->sequences;) {
    uint32_t end = batch_end(&c, s);
    ranges[(*n_batches)++] = (struct sp_batch_range){s, end - s};
    s = end;
  }
  return ranges;
}

/* Positions at the start that a text has in common with the text before it. */
static uint32_t common_start(const struct sp_plan *plan, uint32_t base) {
  if (base == 0) {
    return 0;
  }
  const int32_t *a = plan->base_ids + plan->base_start[base - 1];
  const int32_t *b = plan->base_ids + plan->base_start[base];
  uint32_t len = sp_plan_base_len(plan, base - 1), other = sp_plan_base_len(plan, base), i = 0;
  len = other < len ? other : len;
  while (i < len && a[i] == b[i]) {
    i++;
  }
  return i;
}

/* Nodes of one sequence that may be new, below the last level. */
static size_t new_nodes(const struct sp_node_reach *r, const struct sp_node_unit *u,
                        uint32_t common, bool new_text) {
  size_t sum = 0;
  bool copy = sp_node_is_copy(u) && sp_node_end_asked(r, u, 0) > common;
  for (size_t l = 1; l < r->layers; l++) {
    sum +=
        (copy ? most_of(r, u, l) : 0) + (new_text ? u->len - sp_node_first_felt(r, l, common) : 0);
  }
  return sum;
}

double sp_nodes_bound(const struct sp_plan *plan, const struct sp_nodes_rule *rule) {
  size_t ahead[SP_MAX_LAYERS + 1], behind[SP_MAX_LAYERS + 1];
  struct sp_node_reach r = {rule->lookahead, ahead, behind, rule->layers};
  double sum = (double)plan->rows;
  uint32_t common = 0;
  sp_node_fill_reach(rule, ahead, behind);
  for (uint32_t s = 0; s < plan->sequences; s++) {
    struct sp_node_unit u = sp_node_unit_of(plan, rule->lookahead, s);
    bool new_text = s == 0 || u.base != plan->sequence[s - 1].base;
    common = new_text ? common_start(plan, u.base) : common;
    sum += (double)new_nodes(&r, &u, common, new_text);
  }
  return sum;
}
