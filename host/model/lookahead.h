/* lookahead.h - how far attention looks ahead: a mask policy and its reach in every layer.
 *
 * Written as on the command line: "full", "causal", "layerwise:R[,R..]" (R positions ahead; one value
 * for all layers or one a layer), "chunked:C" (to the end of a chunk of C positions), "dynamic" (the
 * model's schedulers decide, row by row).  Layer l, from 0, makes x^{l+1} of x^l.
 * Source: ANCAT, Strimel et al. 2023 (methods.md 2.3, 2.4, 2.8). */
#ifndef SP_MODEL_LOOKAHEAD_H
#define SP_MODEL_LOOKAHEAD_H

#include "backend.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { SP_MAX_LAYERS = 512 };

struct sp_lookahead {
  enum sp_mask_policy policy;    /* SP_MASK_FULL: no mask at all */
  size_t n_reach;                /* values of `reach`: 0 (full, causal), 1 (all layers), or L */
  uint32_t reach[SP_MAX_LAYERS]; /* R of layerwise and dynamic (0: causal there), C of chunked */
  size_t left;                   /* past positions that a row sees; 0: all of them */
  bool span;                     /* dynamic: how logits become bits, see sp_schedule_args */
  float tau;
  /* The cls row: which position is scored, and whether it may see beyond its bound. */
  bool cls_last;                 /* [SEP], else [CLS] */
  enum sp_cls_view {
    SP_CLS_BOUND,      /* no more than any row */
    SP_CLS_LAST_LAYER, /* everything, in the last layer alone */
    SP_CLS_HIDDEN      /* everything, in every layer, and no other row sees it */
  } cls_view;
};

/* The policy and its reach from the command line's words; the rest is that of `full`. SP_EUSAGE, saying
 * what is taken. */
SP_MUST_CHECK enum sp_status sp_lookahead_parse(const char *text, struct sp_lookahead *out,
                                                struct sp_error *err);
#define SP_LOOKAHEAD_TEXT 2048 /* bytes that hold any rule as text */
/* As parse reads it, with the properties that the words cannot say: what a signature records. `out`
 * has room for `room` bytes; returns the length without the end, cut at the room. */
size_t sp_lookahead_print(const struct sp_lookahead *rule, char *out, size_t room);
/* One reach for all layers where every layer has the same, and causal where none looks ahead: rules that
 * mask alike print alike. */
void sp_lookahead_simplify(struct sp_lookahead *rule);
/* "full", "causal", "layerwise", "chunked", "dynamic" */
const char *sp_lookahead_policy_name(enum sp_mask_policy policy);
/* Its cls_view: "bound", "last-layer", "hidden" */
const char *sp_lookahead_cls_view_name(const struct sp_lookahead *rule);
/* Whether they mask alike, both as simplify leaves them. */
bool sp_lookahead_equal(const struct sp_lookahead *a, const struct sp_lookahead *b);

/* R or C of a layer; 0 where the policy has none. */
static inline size_t sp_lookahead_reach(const struct sp_lookahead *rule, size_t layer) {
  return rule->n_reach == 0 ? 0 : rule->reach[rule->n_reach == 1 ? 0 : layer];
}

/* What the mask op is told of layer `layer` of `layers`; the arrays are the caller's to set. A layer
 * of a dynamic rule with reach 0 is causal. */
struct sp_mask_args sp_lookahead_mask(const struct sp_lookahead *rule, size_t layer, size_t layers);

/* The last position that row i of a sequence of `len` may see in a layer, exempt rows apart; a dynamic
 * row may see its whole reach. */
size_t sp_lookahead_last_seen(const struct sp_lookahead *rule, size_t layer, size_t i, size_t len);
/* Tokens of the text, of the len - 2 in a sequence of len >= 2 positions, that the scored cls row can
 * depend on: the first ones where it is [CLS], the last ones where it is [SEP]. */
size_t sp_lookahead_cls_tokens(const struct sp_lookahead *rule, size_t layers, size_t len);
/* The first row that may see position j. */
size_t sp_lookahead_first_reader(const struct sp_lookahead *rule, size_t layer, size_t j);

#ifdef __cplusplus
}
#endif
#endif
