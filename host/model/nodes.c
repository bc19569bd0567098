#include "nodes.h"

#include <stdlib.h>
#include <string.h>

#include "checked.h"

#define NONE UINT32_MAX

/* ---- numbers for pairs ---- */

/* An open hash table from a pair of numbers to the number of the pair, at most two thirds full. */
struct pairs {
  struct pair_slot {
    uint64_t pair;
    uint32_t number;
    uint32_t round; /* not the table's: free */
  } *slots;
  size_t mask; /* slots less one */
  uint32_t n, round;
};

static size_t pair_slots(size_t count) {
  size_t slots = 64;
  while (slots < count + count / 2) {
    slots *= 2;
  }
  return slots;
}

static void clear_pairs(struct pairs *p) {
  p->n = 0;
  if (++p->round == 0) {
    memset(p->slots, 0, (p->mask + 1) * sizeof *p->slots);
    p->round = 1;
  }
}

/* Number of the pair; p->n before the call when it is new. */
static inline uint32_t number_of(struct pairs *p, uint32_t a, uint32_t b) {
  uint64_t pair = (uint64_t)a << 32 | b, hash = pair * 0x9e3779b97f4a7c15u;
  for (size_t i = (hash ^ hash >> 32) & p->mask;; i = (i + 1) & p->mask) {
    if (p->slots[i].round != p->round) {
      p->slots[i] = (struct pair_slot){pair, p->n, p->round};
      return p->n++;
    }
    if (p->slots[i].pair == pair) {
      return p->slots[i].number;
    }
  }
}

/* ---- what a batch is made of ---- */

/* A text or a masked copy of one. */
struct unit {
  uint32_t text;             /* the unit of its text; its own for a text */
  uint32_t base, len;
  uint32_t mask_lo, mask_hi; /* of a copy */
  uint32_t top;              /* last scored position; NONE: none */
  uint32_t row_first, row_end; /* rows of the plan */
  uint32_t trace;            /* as in sp_sequence */
  bool wide;                 /* every position is asked for below the last level */
  bool tried;                /* nothing past `top` is there from level 1 on */
  bool left_out;             /* for the second round */
  uint32_t last_mask;        /* of a text: the greatest mask_lo of its copies + 1 */
};

/* Positions [lo, lo + n) of a unit on one level, from `start` of the level's table on. */
struct span {
  uint32_t lo, n, start;
};

/* One level: what stands at each position that is looked at. */
struct level {
  struct span *span; /* (units) */
  uint32_t *node;    /* (T) */
  uint32_t *prefix;  /* (T) */
};

struct sp_nodes {
  struct sp_nodes_rule rule;
  size_t *ahead, *behind; /* (L + 1) reach of the layers from a level on, and of those below it */
  const struct sp_plan *plan;
  struct sp_batch_range range;
  struct unit *unit; /* (T) */
  size_t units;
  size_t at; /* level that `now` holds */
  struct level now, next;
  struct pairs nodes, prefixes, owns, chains;
  bool again;   /* in the second round */
  size_t all_mlm_rows; /* of both rounds */
  size_t count; /* rows of the levels so far, level 0 apart */

  size_t rows, groups;
  uint32_t *own, *position;       /* (T) */
  int32_t *ids;                   /* (T) level 0 */
  uint32_t *row_start;            /* (T + 1) */
  uint32_t *len, *key_start, *key_len, *key_split, *key_own; /* (T) groups */
  uint64_t *mask_start;           /* (T) */
  uint64_t mask_words;

  uint32_t *top_row;      /* (T) by row of the plan: its place among the rows of its kind */
  uint32_t *mlm_row, *cls_row, *kind_place; /* (T) */
  size_t mlm_rows, cls_rows;
  uint32_t *target_row, *place_of_target, *place_of_cls; /* (N), (N), (T) */
  int32_t *target_id;     /* (N) */
  uint32_t *bucket;       /* (T + 1) targets of each row, while they are sorted */
  uint32_t *trace;        /* (L, T) with a dynamic rule */
  uint32_t first_trace;
};

bool sp_nodes_fits(const struct sp_lookahead *lookahead) {
  return lookahead->policy != SP_MASK_FULL && lookahead->cls_view != SP_CLS_HIDDEN;
}

/* ---- how far a position is felt, and feels ---- */

struct reach {
  const struct sp_lookahead *rule;
  const size_t *ahead, *behind;
  size_t layers;
};

static struct reach reach_of(const struct sp_nodes *n) {
  return (struct reach){n->rule.lookahead, n->ahead, n->behind, n->rule.layers};
}

static void fill_reach(const struct sp_nodes_rule *rule, size_t *ahead, size_t *behind) {
  ahead[rule->layers] = behind[0] = 0;
  for (size_t l = 0; l < rule->layers; l++) {
    behind[l + 1] = behind[l] + sp_lookahead_reach(rule->lookahead, l);
  }
  for (size_t l = rule->layers; l-- > 0;) {
    ahead[l] = ahead[l + 1] + sp_lookahead_reach(rule->lookahead, l);
  }
}

/* The last position of a level that a node at `top` of the last level may depend on. */
static uint32_t last_asked(const struct reach *r, size_t level, uint32_t top, uint32_t len) {
  size_t last = top + r->ahead[level];
  if (r->rule->policy == SP_MASK_CHUNKED) {
    size_t chunk = r->rule->reach[0];
    last = level < r->layers ? top / chunk * chunk + chunk - 1 : top;
  }
  return (uint32_t)sp_min_size(last, len - 1);
}

/* The first position of a level that may depend on position `at` of level 0. */
static uint32_t first_felt(const struct reach *r, size_t level, uint32_t at) {
  if (r->rule->policy == SP_MASK_CHUNKED) {
    size_t chunk = r->rule->reach[0];
    return level > 0 ? (uint32_t)(at / chunk * chunk) : at;
  }
  return at > r->behind[level] ? at - (uint32_t)r->behind[level] : 0;
}

/* End of the positions of a unit that a level below the last may need. */
static uint32_t end_asked(const struct reach *r, const struct unit *u, size_t level) {
  uint32_t end = 0;
  if (u->wide) {
    return u->len;
  }
  if (u->top != NONE) {
    end = last_asked(r, level, u->top, u->len) + 1;
  }
  if (u->last_mask > 0) { /* what its copies share with it */
    bool dynamic = r->rule->policy == SP_MASK_DYNAMIC;
    uint32_t shared = first_felt(r, dynamic ? 0 : level, u->last_mask - 1);
    end = shared > end ? shared : end;
  }
  return end;
}

/* ---- memory ---- */

/* Takes arrays, zeroed, or only counts what they come to. */
struct taker {
  bool takes, failed;
  size_t bytes;
};

static void take(struct taker *t, void *out, size_t count, size_t size) {
  size_t bytes = sp_max_size(1, sp_mul_sat(count, size));
  t->bytes += sp_min_size(bytes, SIZE_MAX - t->bytes);
  if (t->takes) {
    void *memory = calloc(bytes, 1);
    memcpy(out, &memory, sizeof memory);
    t->failed = t->failed || !memory;
  }
}

static void take_pairs(struct taker *t, struct pairs *p, size_t count) {
  p->mask = pair_slots(count) - 1;
  take(t, &p->slots, p->mask + 1, sizeof *p->slots);
}

static void take_level(struct taker *t, struct level *level, size_t tokens) {
  take(t, &level->span, tokens, sizeof *level->span);
  take(t, &level->node, tokens, 4);
  take(t, &level->prefix, tokens, 4);
}

/* Chains that rows of the longest reach can have: bits beyond the first. */
static size_t most_chains(const struct sp_nodes_rule *rule) {
  size_t reach = 1;
  for (size_t l = 0; l < rule->layers; l++) {
    reach = sp_max_size(reach, sp_lookahead_reach(rule->lookahead, l));
  }
  return sp_mul_sat(rule->limits.tokens, reach - 1);
}

/* Everything that n->rule asks for. */
static void take_all(struct taker *t, struct sp_nodes *n) {
  size_t tokens = n->rule.limits.tokens, targets = n->rule.limits.targets, layers = n->rule.layers;
  uint32_t **of_tokens[] = {&n->own,       &n->position,  &n->len,        &n->key_start,
                            &n->key_len,   &n->key_split, &n->key_own,    &n->top_row,
                            &n->mlm_row,   &n->cls_row,   &n->kind_place, &n->place_of_cls,
                            &n->row_start, &n->bucket};
  for (size_t i = 0; i < sizeof of_tokens / sizeof *of_tokens; i++) {
    take(t, of_tokens[i], tokens + 1, 4);
  }
  take(t, &n->ahead, layers + 1, sizeof *n->ahead);
  take(t, &n->behind, layers + 1, sizeof *n->behind);
  take(t, &n->unit, tokens, sizeof *n->unit);
  take_level(t, &n->now, tokens);
  take_level(t, &n->next, tokens);
  take_pairs(t, &n->nodes, tokens);
  take_pairs(t, &n->prefixes, tokens);
  take(t, &n->ids, tokens, 4);
  take(t, &n->mask_start, tokens, 8);
  take(t, &n->target_row, targets, 4);
  take(t, &n->target_id, targets, 4);
  take(t, &n->place_of_target, targets, 4);
  if (n->rule.lookahead->policy == SP_MASK_DYNAMIC) {
    take_pairs(t, &n->owns, tokens);
    take_pairs(t, &n->chains, most_chains(&n->rule));
    take(t, &n->trace, sp_mul_sat(layers, tokens), 4);
  }
}

size_t sp_nodes_bytes(const struct sp_nodes_rule *rule) {
  struct sp_nodes none = {.rule = *rule};
  struct taker counts = {.bytes = sizeof none};
  take_all(&counts, &none);
  return counts.bytes;
}

enum sp_status sp_nodes_create(const struct sp_nodes_rule *rule, struct sp_nodes **out,
                               struct sp_error *err) {
  *out = NULL;
  struct sp_nodes *n = calloc(1, sizeof *n);
  if (!n) {
    return sp_fail_memory(err, sizeof *n);
  }
  n->rule = *rule;
  struct taker taker = {.takes = true};
  take_all(&taker, n);
  if (taker.failed) {
    sp_nodes_destroy(n);
    return sp_fail_memory(err, taker.bytes);
  }
  fill_reach(rule, n->ahead, n->behind);
  *out = n;
  return SP_OK;
}

void sp_nodes_destroy(struct sp_nodes *n) {
  if (!n) {
    return;
  }
  void *all[] = {n->ahead,         n->behind,      n->unit,           n->now.span,
                 n->now.node,      n->now.prefix,  n->next.span,      n->next.node,
                 n->next.prefix,   n->nodes.slots, n->prefixes.slots, n->owns.slots,
                 n->chains.slots,  n->own,         n->position,       n->ids,
                 n->row_start,     n->len,         n->key_start,      n->key_len,
                 n->key_split,     n->key_own,     n->mask_start,     n->top_row,
                 n->mlm_row,       n->cls_row,     n->kind_place,     n->target_row,
                 n->target_id,     n->bucket,      n->place_of_target, n->place_of_cls,
                 n->trace};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    free(all[i]);
  }
  free(n);
}

/* ---- units ---- */

/* A sequence of the plan as a unit. */
static struct unit unit_of(const struct sp_plan *plan, const struct sp_lookahead *rule,
                           uint32_t s) {
  const struct sp_sequence *seq = &plan->sequence[s];
  struct unit u = {.base = seq->base,
                   .len = sp_plan_base_len(plan, seq->base),
                   .mask_lo = seq->mask_lo,
                   .mask_hi = seq->mask_hi,
                   .top = NONE,
                   .row_first = seq->row_first,
                   .row_end = seq[1].row_first,
                   .trace = seq->trace};
  if (u.row_end > u.row_first) { /* rows stand in the order of their positions */
    u.top = plan->row_position[u.row_end - 1];
  }
  bool cls = plan->row_cls[u.row_end] > plan->row_cls[u.row_first];
  u.wide = u.trace != NONE || (cls && rule->cls_view == SP_CLS_LAST_LAYER);
  return u;
}

static bool is_copy(const struct unit *u) { return u->mask_lo < u->mask_hi; }

/* Positions that a level may look at in a copy. */
static size_t most_of(const struct reach *r, const struct unit *u, size_t level) {
  uint32_t end = end_asked(r, u, level), first = first_felt(r, level, u->mask_lo);
  return end > first ? end - first : 0;
}

/* ---- cutting ---- */

struct cutter {
  const struct sp_plan *plan;
  const struct sp_nodes_rule *rule;
  struct reach reach;
  size_t *sum; /* (L) positions of each level in the batch so far, then those of one sequence */
};

/* Adds sequence s to the sums; false when a level would pass the limit, with the sums as they were. */
static bool add_sequence(struct cutter *c, uint32_t s, bool new_text) {
  struct unit u = unit_of(c->plan, c->rule->lookahead, s);
  size_t *more = c->sum + c->rule->layers;
  bool fits = true;
  for (size_t l = 0; l < c->rule->layers; l++) {
    more[l] = !is_copy(&u)     ? 0
              : u.trace != NONE ? u.len /* its bits have room too */
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
    size_t targets = plan->row_target[seq[s + 1].row_first] - plan->row_target[seq[first].row_first];
    size_t rows = seq[s + 1].row_first - seq[first].row_first;
    if (new_text && s > first &&
        plan->base_list[seq[s].base] != plan->base_list[seq[s - 1].base]) {
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
  fill_reach(rule, ahead, behind);
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
static size_t new_nodes(const struct reach *r, const struct unit *u, uint32_t common,
                        bool new_text) {
  size_t sum = 0;
  bool copy = is_copy(u) && end_asked(r, u, 0) > common;
  for (size_t l = 1; l < r->layers; l++) {
    sum += (copy ? most_of(r, u, l) : 0) + (new_text ? u->len - first_felt(r, l, common) : 0);
  }
  return sum;
}

double sp_nodes_bound(const struct sp_plan *plan, const struct sp_nodes_rule *rule) {
  size_t ahead[SP_MAX_LAYERS + 1], behind[SP_MAX_LAYERS + 1];
  struct reach r = {rule->lookahead, ahead, behind, rule->layers};
  double sum = (double)plan->rows;
  uint32_t common = 0;
  fill_reach(rule, ahead, behind);
  for (uint32_t s = 0; s < plan->sequences; s++) {
    struct unit u = unit_of(plan, rule->lookahead, s);
    bool new_text = s == 0 || u.base != plan->sequence[s - 1].base;
    common = new_text ? common_start(plan, u.base) : common;
    sum += (double)new_nodes(&r, &u, common, new_text);
  }
  return sum;
}

/* ---- a batch ---- */

/* Adds a text for the sequences that follow, and one of them where it is a copy. */
static void add_units(struct sp_nodes *n, uint32_t s) {
  const struct sp_sequence *seq = n->plan->sequence;
  struct unit u = unit_of(n->plan, n->rule.lookahead, s);
  if (s == n->range.first || seq[s].base != seq[s - 1].base) {
    struct unit text = {.base = u.base, .len = u.len, .top = NONE, .trace = NONE};
    text.text = (uint32_t)n->units;
    n->unit[n->units++] = text;
  }
  struct unit *last = &n->unit[n->units - 1];
  struct unit *text = &n->unit[last->text];
  if (!is_copy(&u)) {
    u.text = last->text;
    u.last_mask = text->last_mask;
    *text = u;
    return;
  }
  u.text = last->text;
  text->last_mask = u.mask_lo + 1 > text->last_mask ? u.mask_lo + 1 : text->last_mask;
  n->unit[n->units++] = u;
}

static void set_span(struct level *level, uint32_t u, uint32_t lo, uint32_t end, uint32_t *used) {
  uint32_t count = end > lo ? end - lo : 0;
  level->span[u] = (struct span){lo, count, *used};
  *used += count;
}

/* What stands at position j: in the unit's own span, or in its text's. */
static inline uint32_t at_position(const struct sp_nodes *n, const struct level *level,
                                   const uint32_t *value, uint32_t u, uint32_t j) {
  const struct span *span = &level->span[u];
  if (j < span->lo) {
    span = &level->span[n->unit[u].text];
  }
  return value[span->start + j - span->lo];
}

/* The prefixes of a unit's span, once its nodes are there. */
static void number_prefixes(struct sp_nodes *n, struct level *level, uint32_t u) {
  const struct span *span = &level->span[u];
  uint32_t prefix = span->lo == 0 || span->n == 0
                        ? NONE
                        : at_position(n, level, level->prefix, u, span->lo - 1);
  for (uint32_t i = span->start; i < span->start + span->n; i++) {
    prefix = number_of(&n->prefixes, prefix, level->node[i]);
    level->prefix[i] = prefix;
  }
}

/* Level 0 of the units. */
static void start_units(struct sp_nodes *n, struct sp_node_inputs *out) {
  struct reach r = reach_of(n);
  uint32_t used = 0;
  n->at = 0;
  clear_pairs(&n->nodes);
  clear_pairs(&n->prefixes);
  for (uint32_t u = 0; u < n->units; u++) {
    const struct unit *unit = &n->unit[u];
    const int32_t *text = n->plan->base_ids + n->plan->base_start[unit->base];
    set_span(&n->now, u, unit->mask_lo, end_asked(&r, unit, 0), &used);
    for (uint32_t i = 0; i < n->now.span[u].n; i++) {
      uint32_t j = unit->mask_lo + i;
      int32_t id = j >= unit->mask_lo && j < unit->mask_hi ? n->rule.mask_id : text[j];
      uint32_t node = number_of(&n->nodes, (uint32_t)id, j);
      n->ids[node] = id;
      n->position[node] = j;
      n->now.node[n->now.span[u].start + i] = node;
    }
    number_prefixes(n, &n->now, u);
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
  n->first_trace = NONE;
  memset(n->top_row, 0xff, (end - first) * sizeof *n->top_row);
  for (uint32_t s = range.first; s < range.first + range.count; s++) {
    n->first_trace = plan->sequence[s].trace < n->first_trace ? plan->sequence[s].trace
                                                              : n->first_trace;
    add_units(n, s);
  }
  start_units(n, out);
}

/* Keeps the units that were left out, and their texts for what they share. */
bool sp_nodes_again(struct sp_nodes *n, struct sp_node_inputs *out) {
  uint32_t first = n->plan->sequence[n->range.first].row_first;
  uint32_t end = n->plan->sequence[n->range.first + n->range.count].row_first;
  uint32_t kept = 0, text = NONE;
  for (uint32_t u = 0; u < n->units; u++) {
    struct unit unit = n->unit[u];
    if (!unit.left_out) {
      continue;
    }
    if (unit.text != text) {
      text = unit.text;
      n->unit[kept] = (struct unit){.text = kept, .base = unit.base, .len = unit.len, .top = NONE,
                                    .trace = NONE};
      kept++;
    }
    uint32_t shared = kept - 1;
    while (is_copy(&n->unit[shared])) {
      shared--;
    }
    unit.text = shared;
    unit.tried = unit.left_out = false;
    if (unit.mask_lo + 1 > n->unit[shared].last_mask) {
      n->unit[shared].last_mask = unit.mask_lo + 1;
    }
    n->unit[kept++] = unit;
  }
  n->units = kept;
  n->again = true;
  n->first_trace = NONE;
  memset(n->top_row, 0xff, (end - first) * sizeof *n->top_row);
  if (kept > 0) {
    start_units(n, out);
  }
  return kept > 0;
}

/* ---- a level ---- */

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
  uint32_t row = bits[at_position(n, &n->now, n->now.node, u, i)];
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
  struct reach r = reach_of(n);
  return n->rule.lookahead->policy == SP_MASK_DYNAMIC
             ? first_that_sees(n, n->unit[u].text, n->now.span[u].lo, bits)
             : first_felt(&r, n->at + 1, n->unit[u].mask_lo);
}

/* Whether a copy is worth trying without what stands past its scored position. */
static bool is_tried(const struct sp_nodes *n, uint32_t u, const uint32_t *bits) {
  const struct unit *unit = &n->unit[u];
  return n->rule.lookahead->policy == SP_MASK_DYNAMIC && n->at == 0 && !n->again &&
         is_copy(unit) && !unit->wide && unit->top != NONE && unit->top >= unit->mask_lo &&
         n->ahead[1] > 0 &&
         first_that_sees(n, u, unit->top + 1, bits) == unit->top + 1;
}

/* End of a unit's positions on the next level.  What is there of it may end before what its rows see:
 * from the first such row on no copy shares a text's nodes, and a copy that is tried has failed. */
static uint32_t end_of(struct sp_nodes *n, uint32_t u, const uint32_t *bits) {
  struct reach r = reach_of(n);
  struct unit *unit = &n->unit[u];
  const struct span *now = &n->now.span[u];
  uint32_t end = end_asked(&r, unit, n->at + 1);
  unit->tried = unit->tried || is_tried(n, u, bits);
  if (n->rule.lookahead->policy != SP_MASK_DYNAMIC || (is_copy(unit) && !unit->tried)) {
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
  const struct span *own = &n->now.span[u], *text = &n->now.span[n->unit[u].text];
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
  uint32_t own = at_position(n, &n->now, n->now.node, u, i);
  uint32_t prefix = at_position(n, &n->now, n->now.prefix, u, seen.end);
  uint32_t far = seen.end, node;
  if (n->rule.lookahead->policy == SP_MASK_DYNAMIC) {
    uint32_t chain = NONE;
    for (uint32_t rest = seen.rest; rest != 0; rest &= rest - 1) {
      far = i + 1 + (uint32_t)__builtin_ctz(rest);
      chain = number_of(&n->chains, chain, at_position(n, &n->now, n->now.node, u, far));
    }
    node = number_of(&n->nodes, number_of(&n->owns, prefix, own | kind), chain);
  } else {
    node = number_of(&n->nodes, prefix, own | kind);
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
static bool is_complete(const struct sp_nodes *n, const struct unit *unit, uint32_t u,
                        const uint32_t *bits) {
  const struct span *now = &n->now.span[u];
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
  struct unit *unit = &n->unit[u];
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
  for (uint32_t u = 0; n->trace && n->first_trace != NONE && u < n->units; u++) {
    const struct unit *unit = &n->unit[u];
    if (unit->trace == NONE) {
      continue;
    }
    size_t at = (size_t)(unit->trace - n->first_trace) * n->rule.layers + n->at * unit->len;
    for (uint32_t i = 0; i < unit->len; i++) {
      n->trace[at + i] = bits ? bits[at_position(n, &n->now, n->now.node, u, i)] : 0;
    }
  }
}

static void clear_level(struct sp_nodes *n) {
  clear_pairs(&n->nodes);
  clear_pairs(&n->prefixes);
  if (n->rule.lookahead->policy == SP_MASK_DYNAMIC) {
    clear_pairs(&n->owns);
    clear_pairs(&n->chains);
  }
  n->rows = n->groups = n->mlm_rows = n->cls_rows = 0;
  n->mask_words = 0;
}

/* The nodes of a unit on the next level. */
static void add_span(struct sp_nodes *n, uint32_t u, const uint32_t *bits, uint32_t *used) {
  uint32_t lo = is_copy(&n->unit[u]) ? first_changed(n, u, bits) : 0;
  uint32_t end = end_of(n, u, bits);
  set_span(&n->next, u, lo, n->unit[u].left_out ? lo : end, used);
  for (uint32_t i = 0; i < n->next.span[u].n; i++) {
    n->next.node[n->next.span[u].start + i] = add_node(n, u, lo + i, false, 0, bits);
  }
  number_prefixes(n, &n->next, u);
}

void sp_nodes_next(struct sp_nodes *n, const uint32_t *bits, struct sp_node_level *out) {
  bool last = n->at + 1 == n->rule.layers;
  uint32_t used = 0, key_rows = 0;
  trace_bits(n, bits);
  clear_level(n);
  for (uint32_t u = 0; u < n->units; u++) {
    const struct unit *unit = &n->unit[u];
    key_rows += n->now.span[u].n;
    if (unit->left_out) {
      n->next.span[u] = (struct span){n->now.span[u].lo, 0, used};
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
  struct level held = n->now; /* its table stays as it is until the next call */
  n->now = n->next;
  n->next = held;
  n->at++;
}

/* ---- what becomes of the last level ---- */

/* Targets in the order of their rows: a counting sort that keeps the plan's order within a row.
 * Returns how many there are. */
static size_t sort_targets(struct sp_nodes *n, uint32_t row_first, uint32_t row_end) {
  const struct sp_plan *plan = n->plan;
  uint32_t first = plan->row_target[row_first];
  size_t sorted = 0;
  memset(n->bucket, 0, (n->mlm_rows + 1) * sizeof *n->bucket);
  for (uint32_t r = row_first; r < row_end; r++) {
    if (plan->row_cls[r + 1] == plan->row_cls[r] && n->top_row[r - row_first] != NONE) {
      n->bucket[n->top_row[r - row_first] + 1] += plan->row_target[r + 1] - plan->row_target[r];
    }
  }
  for (size_t m = 0; m < n->mlm_rows; m++) {
    n->bucket[m + 1] += n->bucket[m];
  }
  for (uint32_t r = row_first; r < row_end; r++) {
    for (uint32_t t = plan->row_target[r]; t < plan->row_target[r + 1]; t++) {
      n->place_of_target[t - first] = NONE;
      if (n->top_row[r - row_first] == NONE) {
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

const uint32_t *sp_nodes_trace(const struct sp_nodes *n) { return n->trace; }
struct sp_node_counts sp_nodes_get_counts(const struct sp_nodes *n) {
  return (struct sp_node_counts){n->count, n->all_mlm_rows};
}
