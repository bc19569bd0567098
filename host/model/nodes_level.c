/* nodes_level.c - from one level to the next. */
#include "nodes_state.h"

/* What a row sees: every position up to `end`, and those of `rest`, bit r - 1 for the row's + r. */
struct seen {
  uint32_t end, rest;
};

static struct seen seen_by(const struct sp_nodes *n, uint32_t u, uint32_t i, bool exempt,
                           const uint32_t *bits) {
  const struct sp_lookahead *rule = n->rule.lookahead;
  uint32_t last = n->unit[u].len - 1;
  if (exempt) {
    return (struct seen){last, 0};
  }
  if (rule->policy != SP_MASK_DYNAMIC) {
    return (struct seen){(uint32_t)sp_lookahead_last_seen(rule, n->at, i, last + 1), 0};
  }
  if (sp_lookahead_reach(rule, n->at) == 0) {
    return (struct seen){i, 0};
  }
  uint32_t row = bits[sp_node_at(n, &n->now, n->now.node, u, i)];
  if (last - i < 32) {
    row &= (UINT32_C(1) << (last - i)) - 1;
  }
  uint32_t run = row == UINT32_MAX ? 32 : (uint32_t)__builtin_ctz(~row);
  return (struct seen){i + run, run == 32 ? 0 : row >> run << run};
}

/* The last position that row i sees. */
static uint32_t farthest(struct seen seen, uint32_t i) {
  return seen.rest ? i + 32 - (uint32_t)__builtin_clz(seen.rest) : seen.end;
}

/* The first position of a unit whose row sees position `at` or beyond; `at` itself where none does. */
static uint32_t first_that_sees(const struct sp_nodes *n, uint32_t u, uint32_t at,
                                const uint32_t *bits) {
  size_t reach = sp_lookahead_reach(n->rule.lookahead, n->at);
  for (uint32_t i = at > reach ? at - (uint32_t)reach : 0; i < at; i++) {
    if (farthest(seen_by(n, u, i, false, bits), i) >= at) {
      return i;
    }
  }
  return at;
}

/* Where a copy begins to differ on the next level: where its text looks into what differs. */
static uint32_t first_changed(const struct sp_nodes *n, uint32_t u, const uint32_t *bits) {
  struct sp_node_reach r = sp_node_reach_of(n);
  return n->rule.lookahead->policy == SP_MASK_DYNAMIC
             ? first_that_sees(n, n->unit[u].text, n->now.span[u].lo, bits)
             : sp_node_first_felt(&r, n->at + 1, n->unit[u].mask_lo);
}

/* Whether a copy is worth trying without what stands past its scored position. */
static bool is_tried(const struct sp_nodes *n, uint32_t u, const uint32_t *bits) {
  const struct sp_node_unit *unit = &n->unit[u];
  return n->rule.lookahead->policy == SP_MASK_DYNAMIC && n->at == 0 && !n->again &&
         sp_node_is_copy(unit) && !unit->wide && unit->top != SP_NO_NODE &&
         unit->top >= unit->mask_lo && n->ahead[1] > 0 &&
         first_that_sees(n, u, unit->top + 1, bits) == unit->top + 1;
}

/* End of a unit's positions on the next level.  What is there of it may end before what its rows see:
 * from the first such row on no copy shares a text's nodes, and a copy that is tried has failed. */
static uint32_t end_of(struct sp_nodes *n, uint32_t u, const uint32_t *bits) {
  struct sp_node_reach r = sp_node_reach_of(n);
  struct sp_node_unit *unit = &n->unit[u];
  const struct sp_node_span *now = &n->now.span[u];
  uint32_t end = sp_node_end_asked(&r, unit, n->at + 1);
  unit->tried = unit->tried || is_tried(n, u, bits);
  if (n->rule.lookahead->policy != SP_MASK_DYNAMIC || (sp_node_is_copy(unit) && !unit->tried)) {
    return end;
  }
  uint32_t known = first_that_sees(n, u, now->lo + now->n, bits);
  if (unit->tried) {
    end = unit->top + 1;
    unit->left_out = known < end;
  }
  return known < end ? known : end;
}

/* A group of rows that begins with the next one, reading the keys of unit u. */
static void open_group(struct sp_nodes *n, uint32_t u) {
  const struct sp_node_span *own = &n->now.span[u], *text = &n->now.span[n->unit[u].text];
  size_t g = n->groups;
  n->row_start[g] = (uint32_t)n->rows;
  n->len[g] = n->unit[u].len;
  n->key_start[g] = text->start;
  n->key_split[g] = own->lo;
  n->key_own[g] = own->start;
  n->key_len[g] = 0;
}

static void close_group(struct sp_nodes *n) {
  size_t g = n->groups, rows = n->rows - n->row_start[g];
  if (rows == 0) {
    return;
  }
  if (n->key_split[g] > n->key_len[g]) {
    n->key_split[g] = n->key_len[g];
  }
  n->mask_start[g] = n->mask_words;
  n->mask_words += rows * ((n->key_len[g] + 63) / 64);
  n->groups++;
}

/* The number of the node at position i on the next level; a new one becomes a row. `kind` tells nodes
 * apart that only the last level has. */
static uint32_t add_node(struct sp_nodes *n, uint32_t u, uint32_t i, bool exempt, uint32_t kind,
                         const uint32_t *bits) {
  struct seen seen = seen_by(n, u, i, exempt, bits);
  uint32_t own = sp_node_at(n, &n->now, n->now.node, u, i);
  uint32_t prefix = sp_node_at(n, &n->now, n->now.prefix, u, seen.end);
  uint32_t far = seen.end, node;
  if (n->rule.lookahead->policy == SP_MASK_DYNAMIC) {
    uint32_t chain = SP_NO_NODE;
    for (uint32_t rest = seen.rest; rest != 0; rest &= rest - 1) {
      far = i + 1 + (uint32_t)__builtin_ctz(rest);
      chain = sp_node_number(&n->chains, chain, sp_node_at(n, &n->now, n->now.node, u, far));
    }
    node = sp_node_number(&n->nodes, sp_node_number(&n->owns, prefix, own | kind), chain);
  } else {
    node = sp_node_number(&n->nodes, prefix, own | kind);
  }
  if (node == n->rows) {
    n->own[node] = own;
    n->position[node] = i;
    n->rows++;
    uint32_t *keys = &n->key_len[n->groups];
    *keys = far + 1 > *keys ? far + 1 : *keys;
  }
  return node;
}

/* Whether everything that the rows of a unit see is there. */
static bool is_complete(const struct sp_nodes *n, const struct sp_node_unit *unit, uint32_t u,
                        const uint32_t *bits) {
  const struct sp_node_span *now = &n->now.span[u];
  for (uint32_t r = unit->row_first; unit->tried && r < unit->row_end; r++) {
    uint32_t i = n->plan->row_position[r];
    if (farthest(seen_by(n, u, i, false, bits), i) >= now->lo + now->n) {
      return false;
    }
  }
  return true;
}

/* The rows of the plan that a sequence has, on the last level. */
static void add_top_rows(struct sp_nodes *n, uint32_t u, const uint32_t *bits) {
  const struct sp_lookahead *rule = n->rule.lookahead;
  struct sp_node_unit *unit = &n->unit[u];
  unit->left_out = !is_complete(n, unit, u, bits);
  if (unit->left_out) {
    return;
  }
  uint32_t first = n->plan->sequence[n->range.first].row_first;
  for (uint32_t r = unit->row_first; r < unit->row_end; r++) {
    bool cls = n->plan->row_cls[r + 1] > n->plan->row_cls[r];
    uint32_t i = n->plan->row_position[r];
    bool exempt = rule->cls_view == SP_CLS_LAST_LAYER && i == (rule->cls_last ? unit->len - 1 : 0);
    size_t rows = n->rows;
    uint32_t node = add_node(n, u, i, exempt, cls ? UINT32_C(1) << 31 : 0, bits);
    if (n->rows > rows) {
      uint32_t *list = cls ? n->cls_row : n->mlm_row;
      size_t *count = cls ? &n->cls_rows : &n->mlm_rows;
      n->kind_place[node] = (uint32_t)*count;
      list[(*count)++] = node;
    }
    n->top_row[r - first] = n->kind_place[node];
  }
}

static void trace_bits(struct sp_nodes *n, const uint32_t *bits) {
  for (uint32_t u = 0; n->trace && n->first_trace != SP_NO_NODE && u < n->units; u++) {
    const struct sp_node_unit *unit = &n->unit[u];
    if (unit->trace == SP_NO_NODE) {
      continue;
    }
    size_t at = (size_t)(unit->trace - n->first_trace) * n->rule.layers + n->at * unit->len;
    for (uint32_t i = 0; i < unit->len; i++) {
      n->trace[at + i] = bits ? bits[sp_node_at(n, &n->now, n->now.node, u, i)] : 0;
    }
  }
}

static void clear_level(struct sp_nodes *n) {
  sp_node_clear(&n->nodes);
  sp_node_clear(&n->prefixes);
  if (n->rule.lookahead->policy == SP_MASK_DYNAMIC) {
    sp_node_clear(&n->owns);
    sp_node_clear(&n->chains);
  }
  n->rows = n->groups = n->mlm_rows = n->cls_rows = 0;
  n->mask_words = 0;
}

/* The nodes of a unit on the next level. */
static void add_span(struct sp_nodes *n, uint32_t u, const uint32_t *bits, uint32_t *used) {
  uint32_t lo = sp_node_is_copy(&n->unit[u]) ? first_changed(n, u, bits) : 0;
  uint32_t end = end_of(n, u, bits);
  sp_node_set_span(&n->next, u, lo, n->unit[u].left_out ? lo : end, used);
  for (uint32_t i = 0; i < n->next.span[u].n; i++) {
    n->next.node[n->next.span[u].start + i] = add_node(n, u, lo + i, false, 0, bits);
  }
  sp_node_number_prefixes(n, &n->next, u);
}

void sp_nodes_next(struct sp_nodes *n, const uint32_t *bits, struct sp_node_level *out) {
  bool last = n->at + 1 == n->rule.layers;
  uint32_t used = 0, key_rows = 0;
  trace_bits(n, bits);
  clear_level(n);
  for (uint32_t u = 0; u < n->units; u++) {
    const struct sp_node_unit *unit = &n->unit[u];
    key_rows += n->now.span[u].n;
    if (unit->left_out) {
      n->next.span[u] = (struct sp_node_span){n->now.span[u].lo, 0, used};
      continue;
    }
    open_group(n, u);
    if (last) {
      add_top_rows(n, u, bits);
    } else {
      add_span(n, u, bits, &used);
    }
    close_group(n);
  }
  n->row_start[n->groups] = (uint32_t)n->rows;
  n->count += n->rows;
  n->all_mlm_rows += n->mlm_rows; /* none below the last level */
  *out = (struct sp_node_level){.rows = n->rows,
                                .groups = n->groups,
                                .key_rows = key_rows,
                                .own = n->own,
                                .position = n->position,
                                .row_start = n->row_start,
                                .len = n->len,
                                .key_start = n->key_start,
                                .key_len = n->key_len,
                                .key_split = n->key_split,
                                .key_own = n->key_own,
                                .key_row = n->now.node,
                                .mask_start = n->mask_start};
  struct sp_node_table held = n->now; /* its table stays as it is until the next call */
  n->now = n->next;
  n->next = held;
  n->at++;
}
