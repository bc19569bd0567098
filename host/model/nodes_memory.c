#include <stdlib.h>

#include "checked.h"
#include "nodes_state.h"

bool sp_nodes_fits(const struct sp_lookahead *lookahead) {
  return lookahead->policy != SP_MASK_FULL && lookahead->cls_view != SP_CLS_HIDDEN;
}

static size_t pair_slots(size_t count) {
  size_t slots = 64;
  while (slots < count + count / 2) {
    slots *= 2;
  }
  return slots;
}

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

static void take_pairs(struct taker *t, struct sp_node_pairs *p, size_t count) {
  p->mask = pair_slots(count) - 1;
  take(t, &p->slots, p->mask + 1, sizeof *p->slots);
}

static void take_level(struct taker *t, struct sp_node_table *level, size_t tokens) {
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
  sp_node_fill_reach(rule, n->ahead, n->behind);
  *out = n;
  return SP_OK;
}

void sp_nodes_destroy(struct sp_nodes *n) {
  if (!n) {
    return;
  }
  void *all[] = {n->ahead,
                 n->behind,
                 n->unit,
                 n->now.span,
                 n->now.node,
                 n->now.prefix,
                 n->next.span,
                 n->next.node,
                 n->next.prefix,
                 n->nodes.slots,
                 n->prefixes.slots,
                 n->owns.slots,
                 n->chains.slots,
                 n->own,
                 n->position,
                 n->ids,
                 n->row_start,
                 n->len,
                 n->key_start,
                 n->key_len,
                 n->key_split,
                 n->key_own,
                 n->mask_start,
                 n->top_row,
                 n->mlm_row,
                 n->cls_row,
                 n->kind_place,
                 n->target_row,
                 n->target_id,
                 n->bucket,
                 n->place_of_target,
                 n->place_of_cls,
                 n->trace};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    free(all[i]);
  }
  free(n);
}
