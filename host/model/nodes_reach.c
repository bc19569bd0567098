#include "checked.h"
#include "nodes_state.h"

void sp_node_fill_reach(const struct sp_nodes_rule *rule, size_t *ahead, size_t *behind) {
  ahead[rule->layers] = behind[0] = 0;
  for (size_t l = 0; l < rule->layers; l++) {
    behind[l + 1] = behind[l] + sp_lookahead_reach(rule->lookahead, l);
  }
  for (size_t l = rule->layers; l-- > 0;) {
    ahead[l] = ahead[l + 1] + sp_lookahead_reach(rule->lookahead, l);
  }
}

/* The last position of a level that a node at `top` of the last level may depend on. */
static uint32_t last_asked(const struct sp_node_reach *r, size_t level, uint32_t top,
                           uint32_t len) {
  size_t last = top + r->ahead[level];
  if (r->rule->policy == SP_MASK_CHUNKED) {
    size_t chunk = r->rule->reach[0];
    last = level < r->layers ? top / chunk * chunk + chunk - 1 : top;
  }
  return (uint32_t)sp_min_size(last, len - 1);
}

uint32_t sp_node_first_felt(const struct sp_node_reach *r, size_t level, uint32_t at) {
  if (r->rule->policy == SP_MASK_CHUNKED) {
    size_t chunk = r->rule->reach[0];
    return level > 0 ? (uint32_t)(at / chunk * chunk) : at;
  }
  return at > r->behind[level] ? at - (uint32_t)r->behind[level] : 0;
}

uint32_t sp_node_end_asked(const struct sp_node_reach *r, const struct sp_node_unit *u,
                           size_t level) {
  uint32_t end = 0;
  if (u->wide) {
    return u->len;
  }
  if (u->top != SP_NO_NODE) {
    end = last_asked(r, level, u->top, u->len) + 1;
  }
  if (u->last_mask > 0) { /* what its copies share with it */
    bool dynamic = r->rule->policy == SP_MASK_DYNAMIC;
    uint32_t shared = sp_node_first_felt(r, dynamic ? 0 : level, u->last_mask - 1);
    end = shared > end ? shared : end;
  }
  return end;
}

struct sp_node_unit sp_node_unit_of(const struct sp_plan *plan, const struct sp_lookahead *rule,
                                    uint32_t s) {
  const struct sp_sequence *seq = &plan->sequence[s];
  struct sp_node_unit u = {.base = seq->base,
                           .len = sp_plan_base_len(plan, seq->base),
                           .mask_lo = seq->mask_lo,
                           .mask_hi = seq->mask_hi,
                           .top = SP_NO_NODE,
                           .row_first = seq->row_first,
                           .row_end = seq[1].row_first,
                           .trace = seq->trace};
  if (u.row_end > u.row_first) { /* rows stand in the order of their positions */
    u.top = plan->row_position[u.row_end - 1];
  }
  bool cls = plan->row_cls[u.row_end] > plan->row_cls[u.row_first];
  u.wide = u.trace != SP_NO_NODE || (cls && rule->cls_view == SP_CLS_LAST_LAYER);
  return u;
}
