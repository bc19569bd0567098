#include "plan.h"

#include <stdlib.h>
#include <string.h>

#include "checked.h"
#include "intern.h"

#define NONE UINT32_MAX

/* Rows and targets are chained while the plan grows and laid out in order at the end. */
struct seq_node {
  uint32_t base, mask_lo, mask_hi;
  uint32_t first_row, last_row;
  bool traced;
  uint32_t place; /* once laid out */
};
struct row_node {
  uint32_t position;
  bool is_cls;
  uint32_t first_target, last_target, n_targets;
  uint32_t next;
  uint32_t place; /* of a cls row among the cls rows, once laid out */
};
struct target_node {
  int32_t id;
  uint32_t next;
  uint32_t place; /* once laid out */
};

struct builder {
  struct sp_plan *plan;
  const struct sp_plan_rule *rule;
  uint32_t *base_word; /* word of each base token, parallel to base_ids */
  struct seq_node *seqs;
  struct row_node *rows;
  struct target_node *targets;
  uint32_t n_seqs, n_rows, n_targets, n_results;
  struct sp_intern seq_table;
};

/* Upper bounds of everything, so that nothing has to grow. */
struct bounds {
  size_t base_tokens, seqs, results;
};

static unsigned count_bits(unsigned bits) {
  return (unsigned)__builtin_popcount(bits);
}

static bool has(const struct sp_plan_rule *rule, enum sp_method method) {
  return (rule->methods >> method & 1u) != 0;
}

static enum sp_status find_bounds(const struct sp_plan_hyp *hyps, size_t n_hyps,
                                  const struct sp_plan_rule *rule, struct bounds *bounds,
                                  struct sp_error *err) {
  unsigned masked = count_bits(rule->methods & (1u << SP_PLL | 1u << SP_PLL_L2R));
  unsigned plain = count_bits(rule->methods) - masked + rule->trace;
  *bounds = (struct bounds){0};
  for (size_t h = 0; h < n_hyps; h++) {
    bounds->base_tokens += (size_t)hyps[h].n + 2;
    bounds->seqs += (size_t)hyps[h].n * masked + plain;
    bounds->results += (size_t)hyps[h].n * (masked + has(rule, SP_MASKLESS)) + has(rule, SP_CLS);
  }
  if (bounds->base_tokens >= NONE || bounds->seqs >= NONE || bounds->results >= NONE) {
    return sp_fail(err, SP_EUSAGE, "a shard has too many tokens; use a smaller --shard-utts");
  }
  return SP_OK;
}

/* ---- texts ---- */

struct text_key {
  struct builder *builder;
  const struct sp_plan_hyp *hyp;
};

static bool same_text(void *context, uint32_t base) {
  const struct text_key *key = context;
  const struct sp_plan *plan = key->builder->plan;
  uint32_t n = key->hyp->n;
  uint32_t start = plan->base_start[base];
  return plan->base_start[base + 1] - start == n + 2 &&
         memcmp(plan->base_ids + start + 1, key->hyp->ids, n * sizeof(int32_t)) == 0 &&
         memcmp(key->builder->base_word + start + 1, key->hyp->word, n * sizeof(uint32_t)) == 0;
}

static void add_text(struct builder *b, const struct sp_plan_hyp *hyp) {
  struct sp_plan *plan = b->plan;
  uint32_t start = plan->base_start[plan->bases];
  plan->base_ids[start] = b->rule->cls;
  memcpy(plan->base_ids + start + 1, hyp->ids, hyp->n * sizeof(int32_t));
  memcpy(b->base_word + start + 1, hyp->word, hyp->n * sizeof(uint32_t));
  plan->base_ids[start + 1 + hyp->n] = b->rule->sep;
  plan->base_list[plan->bases] = hyp->list;
  plan->bases++;
  plan->base_start[plan->bases] = start + hyp->n + 2;
}

static enum sp_status add_texts(struct builder *b, const struct sp_plan_hyp *hyps, size_t n_hyps,
                                struct sp_error *err) {
  struct sp_intern table = {0};
  if (!sp_intern_init(&table, &b->plan->arena, n_hyps)) {
    return sp_fail_memory(err, n_hyps);
  }
  for (size_t h = 0; h < n_hyps; h++) {
    struct text_key key = {b, &hyps[h]};
    uint32_t next = (uint32_t)b->plan->bases;
    uint32_t found = next;
    if (b->rule->dedupe) {
      uint64_t hash = sp_intern_hash(hyps[h].ids, hyps[h].n * sizeof(int32_t));
      found = sp_intern_find(&table, hash, next, same_text, &key);
    }
    if (found == next) {
      add_text(b, &hyps[h]);
    }
    b->plan->hyp_base[h] = found;
  }
  return SP_OK;
}

/* ---- sequences, rows, targets ---- */

struct seq_key {
  const struct builder *builder;
  uint32_t base, mask_lo, mask_hi;
};

static int32_t token_at(const struct builder *b, uint32_t base, uint32_t lo, uint32_t hi,
                        uint32_t position) {
  return position >= lo && position < hi ? b->rule->mask
                                         : b->plan->base_ids[b->plan->base_start[base] + position];
}

static bool same_sequence(void *context, uint32_t index) {
  const struct seq_key *key = context;
  const struct builder *b = key->builder;
  const struct seq_node *node = &b->seqs[index];
  uint32_t len = sp_plan_base_len(b->plan, key->base);
  if (sp_plan_base_len(b->plan, node->base) != len) {
    return false;
  }
  for (uint32_t i = 0; i < len; i++) {
    if (token_at(b, key->base, key->mask_lo, key->mask_hi, i) !=
        token_at(b, node->base, node->mask_lo, node->mask_hi, i)) {
      return false;
    }
  }
  return true;
}

/* sum of token * P^position modulo 2^64: a masked copy's hash follows from its text's. */
static const uint64_t hash_base = 0x9e3779b97f4a7c15u;

static uint64_t plain_hash(const struct sp_plan *plan, uint32_t base) {
  uint64_t hash = 0;
  for (uint32_t i = plan->base_start[base + 1]; i > plan->base_start[base]; i--) {
    hash = hash * hash_base + (uint64_t)(uint32_t)plan->base_ids[i - 1] + 1;
  }
  return hash;
}

/* `power` is hash_base^mask_lo. */
static uint64_t masked_hash(const struct builder *b, uint64_t plain, uint32_t base, uint32_t lo,
                            uint32_t hi, uint64_t power) {
  uint64_t hash = plain;
  const int32_t *ids = b->plan->base_ids + b->plan->base_start[base];
  for (uint32_t i = lo; i < hi; i++) {
    hash += ((uint64_t)(uint32_t)b->rule->mask - (uint64_t)(uint32_t)ids[i]) * power;
    power *= hash_base;
  }
  return hash;
}

static uint32_t append_sequence(struct builder *b, uint32_t base, uint32_t lo, uint32_t hi) {
  b->seqs[b->n_seqs] = (struct seq_node){base, lo, hi, NONE, NONE, false, 0};
  return b->n_seqs++;
}

static uint32_t add_sequence(struct builder *b, uint32_t base, uint32_t lo, uint32_t hi,
                             uint64_t hash) {
  struct seq_key key = {b, base, lo, hi};
  uint32_t next = b->n_seqs;
  uint32_t found = next;
  b->plan->copies++;
  if (b->rule->dedupe) {
    found = sp_intern_find(&b->seq_table, sp_intern_mix(hash), next, same_sequence, &key);
  }
  return found == next ? append_sequence(b, base, lo, hi) : found;
}

/* Rows of a sequence stand in the order of their positions; the usual place is the end. */
static uint32_t add_row(struct builder *b, uint32_t seq, uint32_t position, bool is_cls) {
  struct seq_node *node = &b->seqs[seq];
  uint32_t *link = &node->first_row;
  if (node->last_row != NONE && b->rows[node->last_row].position < position) {
    link = &b->rows[node->last_row].next;
  }
  while (*link != NONE && b->rows[*link].position < position) {
    link = &b->rows[*link].next;
  }
  if (*link != NONE && b->rows[*link].position == position) {
    return *link;
  }
  uint32_t row = b->n_rows++;
  b->rows[row] = (struct row_node){position, is_cls, NONE, NONE, 0, *link, 0};
  node->last_row = *link == NONE ? row : node->last_row;
  *link = row;
  return row;
}

static uint32_t add_target(struct builder *b, uint32_t row, int32_t id) {
  struct row_node *node = &b->rows[row];
  for (uint32_t t = node->first_target; t != NONE; t = b->targets[t].next) {
    if (b->targets[t].id == id) {
      return t;
    }
  }
  uint32_t target = b->n_targets++;
  b->targets[target] = (struct target_node){id, NONE, 0};
  if (node->first_target == NONE) {
    node->first_target = target;
  } else {
    b->targets[node->last_target].next = target;
  }
  node->last_target = target;
  node->n_targets++;
  return target;
}

/* The end of the masked range of position `at`: one token, or to the end of its word. */
static uint32_t mask_end(const struct builder *b, uint32_t base, uint32_t at, bool to_word_end) {
  const uint32_t *word = b->base_word + b->plan->base_start[base];
  uint32_t end = at + 1;
  uint32_t sep = sp_plan_base_len(b->plan, base) - 1;
  while (to_word_end && end < sep && word[end] == word[at]) {
    end++;
  }
  return end;
}

static void add_masked_copies(struct builder *b, uint32_t base, bool to_word_end) {
  const int32_t *ids = b->plan->base_ids + b->plan->base_start[base];
  uint32_t sep = sp_plan_base_len(b->plan, base) - 1;
  uint64_t plain = b->rule->dedupe ? plain_hash(b->plan, base) : 0;
  uint64_t power = hash_base;
  for (uint32_t at = 1; at < sep; at++) {
    uint32_t end = mask_end(b, base, at, to_word_end);
    uint64_t hash = b->rule->dedupe ? masked_hash(b, plain, base, at, end, power) : 0;
    uint32_t row = add_row(b, add_sequence(b, base, at, end, hash), at, false);
    if (b->rows[row].n_targets >= SP_PLAN_MAX_TARGETS - 1) { /* this copy stays unshared; the last
                                                               place is maskless's, below */
      row = add_row(b, append_sequence(b, base, at, end), at, false);
    }
    b->plan->result[b->n_results++] = add_target(b, row, ids[at]);
    power *= hash_base;
  }
}

/* Every token is a target of the one plain sequence: one more target of a row at most, since equal
 * sequences have equal tokens. */
static void add_maskless(struct builder *b, uint32_t base) {
  const int32_t *ids = b->plan->base_ids + b->plan->base_start[base];
  uint32_t sep = sp_plan_base_len(b->plan, base) - 1;
  uint64_t hash = b->rule->dedupe ? plain_hash(b->plan, base) : 0;
  uint32_t seq = add_sequence(b, base, 0, 0, hash);
  for (uint32_t at = 1; at < sep; at++) {
    b->plan->result[b->n_results++] = add_target(b, add_row(b, seq, at, false), ids[at]);
  }
}

static void add_cls(struct builder *b, uint32_t base) {
  uint64_t hash = b->rule->dedupe ? plain_hash(b->plan, base) : 0;
  uint32_t seq = add_sequence(b, base, 0, 0, hash);
  uint32_t at = b->rule->cls_last ? sp_plan_base_len(b->plan, base) - 1 : 0;
  b->plan->result[b->n_results++] = add_row(b, seq, at, true);
}

/* The sequence needs no row of its own; it is no copy that a method asks for. */
static void add_trace(struct builder *b, uint32_t base) {
  uint64_t hash = b->rule->dedupe ? plain_hash(b->plan, base) : 0;
  uint32_t seq = add_sequence(b, base, 0, 0, hash);
  b->plan->copies--;
  b->seqs[seq].traced = true;
  b->plan->base_trace[base] = seq;
}

static void add_copies(struct builder *b) {
  struct sp_plan *plan = b->plan;
  for (uint32_t base = 0; base < plan->bases; base++) {
    for (int m = 0; m < SP_METHOD_COUNT; m++) {
      if (!has(b->rule, (enum sp_method)m)) {
        continue;
      }
      plan->result_first[m][base] = b->n_results;
      if (m == SP_PLL || m == SP_PLL_L2R) {
        add_masked_copies(b, base, m == SP_PLL_L2R);
      } else if (m == SP_MASKLESS) {
        add_maskless(b, base);
      } else {
        add_cls(b, base);
      }
    }
    if (b->rule->trace) {
      add_trace(b, base);
    }
  }
}

/* ---- layout ---- */

static uint32_t *order_by_appearance(struct builder *b) {
  uint32_t *order = sp_arena_alloc(&b->plan->arena, b->n_seqs, sizeof *order);
  for (uint32_t s = 0; order && s < b->n_seqs; s++) {
    order[s] = s;
  }
  return order;
}

/* Indices of the sequences, longest first, stable: a counting sort. */
static uint32_t *order_by_length(struct builder *b) {
  uint32_t longest = 0;
  for (uint32_t s = 0; s < b->n_seqs; s++) {
    uint32_t len = sp_plan_base_len(b->plan, b->seqs[s].base);
    longest = len > longest ? len : longest;
  }
  uint32_t *at = sp_arena_calloc(&b->plan->arena, (size_t)longest + 2, sizeof *at);
  uint32_t *order = sp_arena_alloc(&b->plan->arena, b->n_seqs, sizeof *order);
  if (!at || !order) {
    return NULL;
  }
  for (uint32_t s = 0; s < b->n_seqs; s++) {
    at[longest - sp_plan_base_len(b->plan, b->seqs[s].base) + 1]++;
  }
  for (uint32_t i = 1; i <= longest + 1; i++) {
    at[i] += at[i - 1];
  }
  for (uint32_t s = 0; s < b->n_seqs; s++) {
    order[at[longest - sp_plan_base_len(b->plan, b->seqs[s].base)]++] = s;
  }
  return order;
}

static void lay_out_row(struct builder *b, struct row_node *row) {
  struct sp_plan *plan = b->plan;
  size_t r = plan->rows++;
  plan->row_position[r] = row->position;
  row->place = (uint32_t)plan->cls_rows;
  plan->cls_rows += row->is_cls;
  for (uint32_t t = row->first_target; t != NONE; t = b->targets[t].next) {
    b->targets[t].place = (uint32_t)plan->targets;
    plan->target_id[plan->targets++] = b->targets[t].id;
  }
  plan->row_target[r + 1] = (uint32_t)plan->targets;
  plan->row_cls[r + 1] = (uint32_t)plan->cls_rows;
}

static void lay_out(struct builder *b, const uint32_t *order) {
  struct sp_plan *plan = b->plan;
  plan->row_target[0] = 0;
  plan->row_cls[0] = 0;
  for (uint32_t i = 0; i < b->n_seqs; i++) {
    struct seq_node *node = &b->seqs[order[i]];
    uint32_t len = sp_plan_base_len(plan, node->base);
    node->place = i;
    plan->sequence[i] =
        (struct sp_sequence){node->base, node->mask_lo, node->mask_hi, (uint32_t)plan->rows,
                             node->traced ? (uint32_t)plan->traced : NONE};
    plan->tokens += len;
    plan->traced += node->traced ? len : 0;
    for (uint32_t r = node->first_row; r != NONE; r = b->rows[r].next) {
      lay_out_row(b, &b->rows[r]);
    }
  }
  plan->sequences = b->n_seqs;
  plan->sequence[b->n_seqs] = (struct sp_sequence){.row_first = (uint32_t)plan->rows};
}

/* Results were recorded as nodes; they become places. */
static void place_results(struct builder *b) {
  struct sp_plan *plan = b->plan;
  for (uint32_t base = 0; base < plan->bases; base++) {
    uint32_t n = sp_plan_base_len(plan, base) - 2;
    if (b->rule->trace) {
      plan->base_trace[base] = b->seqs[plan->base_trace[base]].place;
    }
    for (int m = 0; m < SP_METHOD_COUNT; m++) {
      if (!has(b->rule, (enum sp_method)m)) {
        continue;
      }
      uint32_t *result = plan->result + plan->result_first[m][base];
      for (uint32_t i = 0; i < (m == SP_CLS ? 1 : n); i++) {
        result[i] = m == SP_CLS ? b->rows[result[i]].place : b->targets[result[i]].place;
      }
    }
  }
}

static bool allocate(struct builder *b, size_t n_hyps, const struct bounds *bounds) {
  struct sp_plan *plan = b->plan;
  struct sp_arena *arena = &plan->arena;
  size_t rows = bounds->results; /* a row has a result of its own or is shared */
  bool ok = true;
#define TAKE(field, count) ok = ((field) = sp_arena_alloc(arena, (count), sizeof *(field))) && ok
  TAKE(plan->base_ids, bounds->base_tokens);
  TAKE(b->base_word, bounds->base_tokens);
  TAKE(plan->base_start, n_hyps + 1);
  TAKE(plan->base_list, n_hyps);
  TAKE(plan->hyp_base, n_hyps);
  TAKE(plan->sequence, bounds->seqs + 1);
  TAKE(plan->row_position, rows);
  TAKE(plan->row_target, rows + 1);
  TAKE(plan->row_cls, rows + 1);
  TAKE(plan->target_id, bounds->results);
  TAKE(plan->result, bounds->results);
  TAKE(b->seqs, bounds->seqs);
  TAKE(b->rows, rows);
  TAKE(b->targets, bounds->results);
  for (int m = 0; m < SP_METHOD_COUNT; m++) {
    if (has(b->rule, (enum sp_method)m)) {
      TAKE(plan->result_first[m], n_hyps);
    }
  }
  if (b->rule->trace) {
    TAKE(plan->base_trace, n_hyps);
  }
#undef TAKE
  return ok && sp_intern_init(&b->seq_table, arena, b->rule->dedupe ? bounds->seqs : 0);
}

enum sp_status sp_plan_build(struct sp_plan *plan, const struct sp_plan_hyp *hyps, size_t n_hyps,
                             const struct sp_plan_rule *rule, struct sp_error *err) {
  struct sp_arena arena = plan->arena;
  sp_arena_clear(&arena);
  *plan = (struct sp_plan){.arena = arena};
  struct bounds bounds;
  SP_TRY(find_bounds(hyps, n_hyps, rule, &bounds, err));
  struct builder b = {.plan = plan, .rule = rule};
  if (!allocate(&b, n_hyps, &bounds)) {
    return sp_fail_memory(err, bounds.results * sizeof(struct target_node));
  }
  plan->base_start[0] = 0;
  SP_TRY(add_texts(&b, hyps, n_hyps, err));
  add_copies(&b);
  const uint32_t *order = rule->keep_lists ? order_by_appearance(&b) : order_by_length(&b);
  if (!order) {
    return sp_fail_memory(err, b.n_seqs * sizeof *order);
  }
  lay_out(&b, order);
  place_results(&b);
  return SP_OK;
}

void sp_plan_release(struct sp_plan *plan) {
  sp_arena_release(&plan->arena);
  *plan = (struct sp_plan){0};
}
