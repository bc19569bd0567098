/* nodes_state.h - what stands behind sp_nodes; private to the files named nodes*.c. */
#ifndef SP_MODEL_NODES_STATE_H
#define SP_MODEL_NODES_STATE_H

#include <string.h>

#include "nodes.h"

#define SP_NO_NODE UINT32_MAX

/* ---- numbers for pairs ---- */

/* An open hash table from a pair of numbers to the number of the pair, at most two thirds full. */
struct sp_node_pairs {
  struct sp_node_slot {
    uint64_t pair;
    uint32_t number;
    uint32_t round; /* not the table's: free */
  } * slots;
  size_t mask; /* slots less one */
  uint32_t n, round;
};

static inline void sp_node_clear(struct sp_node_pairs *p) {
  p->n = 0;
  if (++p->round == 0) {
    memset(p->slots, 0, (p->mask + 1) * sizeof *p->slots);
    p->round = 1;
  }
}

/* Number of the pair; p->n before the call when it is new. */
static inline uint32_t sp_node_number(struct sp_node_pairs *p, uint32_t a, uint32_t b) {
  uint64_t pair = (uint64_t)a << 32 | b, hash = pair * 0x9e3779b97f4a7c15u;
  for (size_t i = (hash ^ hash >> 32) & p->mask;; i = (i + 1) & p->mask) {
    if (p->slots[i].round != p->round) {
      p->slots[i] = (struct sp_node_slot){pair, p->n, p->round};
      return p->n++;
    }
    if (p->slots[i].pair == pair) {
      return p->slots[i].number;
    }
  }
}

/* ---- what a batch is made of ---- */

/* A text or a masked copy of one. */
struct sp_node_unit {
  uint32_t text; /* the unit of its text; its own for a text */
  uint32_t base, len;
  uint32_t mask_lo, mask_hi;   /* of a copy */
  uint32_t top;                /* last scored position; SP_NO_NODE: none */
  uint32_t row_first, row_end; /* rows of the plan */
  uint32_t trace;              /* as in sp_sequence */
  bool wide;                   /* every position is asked for below the last level */
  bool tried;                  /* nothing past `top` is there from level 1 on */
  bool left_out;               /* for the second round */
  uint32_t last_mask;          /* of a text: the greatest mask_lo of its copies + 1 */
};

/* Positions [lo, lo + n) of a unit on one level, from `start` of the level's table on. */
struct sp_node_span {
  uint32_t lo, n, start;
};

/* One level: what stands at each position that is looked at. */
struct sp_node_table {
  struct sp_node_span *span; /* (units) */
  uint32_t *node;            /* (T) */
  uint32_t *prefix;          /* (T) */
};

struct sp_nodes {
  struct sp_nodes_rule rule;
  size_t *ahead, *behind; /* (L + 1) reach of the layers from a level on, and of those below it */
  const struct sp_plan *plan;
  struct sp_batch_range range;
  struct sp_node_unit *unit; /* (T) */
  size_t units;
  size_t at; /* level that `now` holds */
  struct sp_node_table now, next;
  struct sp_node_pairs nodes, prefixes, owns, chains;
  bool again;          /* in the second round */
  size_t all_mlm_rows; /* of both rounds */
  size_t count;        /* rows of the levels so far, level 0 apart */

  size_t rows, groups;
  uint32_t *own, *position;                                  /* (T) */
  int32_t *ids;                                              /* (T) level 0 */
  uint32_t *row_start;                                       /* (T + 1) */
  uint32_t *len, *key_start, *key_len, *key_split, *key_own; /* (T) groups */
  uint64_t *mask_start;                                      /* (T) */
  uint64_t mask_words;

  uint32_t *top_row; /* (T) by row of the plan: its place among the rows of its kind */
  uint32_t *mlm_row, *cls_row, *kind_place; /* (T) */
  size_t mlm_rows, cls_rows;
  uint32_t *target_row, *place_of_target, *place_of_cls; /* (N), (N), (T) */
  int32_t *target_id;                                    /* (N) */
  uint32_t *bucket; /* (T + 1) targets of each row, while they are sorted */
  uint32_t *trace;  /* (L, T) with a dynamic rule */
  uint32_t first_trace;
};

static inline bool sp_node_is_copy(const struct sp_node_unit *u) {
  return u->mask_lo < u->mask_hi;
}

/* ---- nodes_reach.c: how far a position is felt, and feels ---- */

struct sp_node_reach {
  const struct sp_lookahead *rule;
  const size_t *ahead, *behind;
  size_t layers;
};

static inline struct sp_node_reach sp_node_reach_of(const struct sp_nodes *n) {
  return (struct sp_node_reach){n->rule.lookahead, n->ahead, n->behind, n->rule.layers};
}

void sp_node_fill_reach(const struct sp_nodes_rule *rule, size_t *ahead, size_t *behind);
/* The first position of a level that may depend on position `at` of level 0. */
uint32_t sp_node_first_felt(const struct sp_node_reach *r, size_t level, uint32_t at);
/* End of the positions of a unit that a level below the last may need. */
uint32_t sp_node_end_asked(const struct sp_node_reach *r, const struct sp_node_unit *u,
                           size_t level);
/* A sequence of the plan as a unit. */
struct sp_node_unit sp_node_unit_of(const struct sp_plan *plan, const struct sp_lookahead *rule,
                                    uint32_t s);

/* ---- tables ---- */

static inline void sp_node_set_span(struct sp_node_table *level, uint32_t u, uint32_t lo,
                                    uint32_t end, uint32_t *used) {
  uint32_t count = end > lo ? end - lo : 0;
  level->span[u] = (struct sp_node_span){lo, count, *used};
  *used += count;
}

/* What stands at position j: in the unit's own span, or in its text's. */
static inline uint32_t sp_node_at(const struct sp_nodes *n, const struct sp_node_table *level,
                                  const uint32_t *value, uint32_t u, uint32_t j) {
  const struct sp_node_span *span = &level->span[u];
  if (j < span->lo) {
    span = &level->span[n->unit[u].text];
  }
  return value[span->start + j - span->lo];
}

/* The prefixes of a unit's span, once its nodes are there. */
void sp_node_number_prefixes(struct sp_nodes *n, struct sp_node_table *level, uint32_t u);

#endif
