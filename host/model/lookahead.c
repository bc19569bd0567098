#include "lookahead.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checked.h"

/* Positions: more than any model has, and no overflow in what is computed with it. */
enum { most_chunk = 1 << 20 };

enum reach_words { NO_REACH, ONE_REACH, REACHES };

static const struct {
  const char *name;
  enum sp_mask_policy policy;
  enum reach_words words;
  size_t least, most;
} policies[] = {
    {"full", SP_MASK_FULL, NO_REACH, 0, 0},
    {"causal", SP_MASK_CAUSAL, NO_REACH, 0, 0},
    {"layerwise", SP_MASK_LAYERWISE, REACHES, 0, SP_MAX_REACH},
    {"chunked", SP_MASK_CHUNKED, ONE_REACH, 1, most_chunk},
    {"dynamic", SP_MASK_DYNAMIC, NO_REACH, 0, 0},
};

enum { n_policies = sizeof policies / sizeof *policies };

/* Reads "N" or "N,N.." up to the end. */
static bool read_reaches(const char *text, size_t p, struct sp_lookahead *out) {
  size_t most = policies[p].words == REACHES ? SP_MAX_LAYERS : 1;
  for (;;) {
    char *end;
    if (out->n_reach == most || !isdigit((unsigned char)*text)) {
      return false;
    }
    unsigned long value = strtoul(text, &end, 10);
    if (value < policies[p].least || value > policies[p].most) {
      return false;
    }
    out->reach[out->n_reach++] = (uint32_t)value;
    if (*end == '\0') {
      return out->n_reach > 1 || value > 0; /* layerwise:0 is causal, and is called so */
    }
    if (*end != ',') {
      return false;
    }
    text = end + 1;
  }
}

static enum sp_status refuse_reaches(const char *text, size_t p, struct sp_error *err) {
  return policies[p].words == REACHES
             ? sp_fail(
                   err, SP_EUSAGE,
                   "--mask '%s': R is a whole number from 1 to %d (0 too in a list of one a layer)",
                   text, SP_MAX_REACH)
             : sp_fail(err, SP_EUSAGE, "--mask '%s': C is a whole number from 1 to %d", text,
                       most_chunk);
}

enum sp_status sp_lookahead_parse(const char *text, struct sp_lookahead *out,
                                  struct sp_error *err) {
  for (size_t p = 0; p < n_policies; p++) {
    size_t len = strlen(policies[p].name);
    if (strncmp(text, policies[p].name, len) != 0) {
      continue;
    }
    *out = (struct sp_lookahead){.policy = policies[p].policy, .tau = 1.0f};
    if (policies[p].words == NO_REACH && text[len] == '\0') {
      return SP_OK;
    }
    if (policies[p].words != NO_REACH && text[len] == ':') {
      return read_reaches(text + len + 1, p, out) ? SP_OK : refuse_reaches(text, p, err);
    }
  }
  return sp_fail(
      err, SP_EUSAGE,
      "--mask '%s' is unknown; it takes model, full, causal, layerwise:R[,R..] with R from "
      "1 to %d (0 too in a list), chunked:C with C from 1 to %d, or dynamic",
      text, SP_MAX_REACH, most_chunk);
}

/* Adds formatted text as far as it fits. */
static void SP_PRINTF(4, 5) add(char *out, size_t room, size_t *at, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  int n = vsnprintf(out + *at, room - *at, format, arguments);
  va_end(arguments);
  if (n > 0) {
    *at = sp_min_size(*at + (size_t)n, room - 1);
  }
}

size_t sp_lookahead_print(const struct sp_lookahead *rule, char *out, size_t room) {
  size_t at = 0;
  add(out, room, &at, "%s", policies[rule->policy].name);
  for (size_t i = 0; i < rule->n_reach; i++) {
    add(out, room, &at, "%c%u", i == 0 ? ':' : ',', rule->reach[i]);
  }
  if (rule->left > 0) {
    add(out, room, &at, " left:%zu", rule->left);
  }
  if (rule->policy == SP_MASK_DYNAMIC && rule->span) {
    add(out, room, &at, " span:%.9g", (double)rule->tau);
  }
  if (rule->cls_last || rule->cls_view != SP_CLS_BOUND) {
    add(out, room, &at, " cls:%s,%s", rule->cls_last ? "last" : "first",
        sp_lookahead_cls_view_name(rule));
  }
  return at;
}

void sp_lookahead_simplify(struct sp_lookahead *rule) {
  for (size_t l = 1; l < rule->n_reach; l++) {
    if (rule->reach[l] != rule->reach[0]) {
      return;
    }
  }
  rule->n_reach = sp_min_size(rule->n_reach, 1);
  if ((rule->policy == SP_MASK_LAYERWISE && rule->reach[0] == 0) ||
      (rule->policy == SP_MASK_CHUNKED && rule->reach[0] == 1)) {
    rule->policy = SP_MASK_CAUSAL;
    rule->n_reach = 0;
  }
}

const char *sp_lookahead_cls_view_name(const struct sp_lookahead *rule) {
  static const char *const names[] = {"bound", "last-layer", "hidden"};
  return names[rule->cls_view];
}

const char *sp_lookahead_policy_name(enum sp_mask_policy policy) {
  return policies[policy].name;
}

bool sp_lookahead_equal(const struct sp_lookahead *a, const struct sp_lookahead *b) {
  size_t n = sp_max_size(a->n_reach, b->n_reach);
  bool equal = a->policy == b->policy && a->left == b->left && a->cls_last == b->cls_last &&
               a->cls_view == b->cls_view && a->span == b->span && (!a->span || a->tau == b->tau);
  for (size_t l = 0; equal && l < n; l++) {
    equal = sp_lookahead_reach(a, l) == sp_lookahead_reach(b, l);
  }
  return equal;
}

struct sp_mask_args sp_lookahead_mask(const struct sp_lookahead *rule, size_t layer,
                                      size_t layers) {
  struct sp_mask_args args = {.policy = rule->policy,
                              .reach = sp_lookahead_reach(rule, layer),
                              .left = rule->left > 0 ? rule->left : SIZE_MAX,
                              .exempt_last = rule->cls_last};
  if (args.reach == 0 && args.policy != SP_MASK_FULL) {
    args.policy = SP_MASK_CAUSAL;
  }
  if (rule->cls_view == SP_CLS_HIDDEN) {
    args.exempt = SP_EXEMPT_HIDDEN;
  } else if (rule->cls_view == SP_CLS_LAST_LAYER && layer + 1 == layers) {
    args.exempt = SP_EXEMPT_SEES_ALL;
  }
  return args;
}

size_t sp_lookahead_last_seen(const struct sp_lookahead *rule, size_t layer, size_t i, size_t len) {
  size_t reach = sp_lookahead_reach(rule, layer), last = i;
  if (rule->policy == SP_MASK_FULL) {
    return len - 1;
  }
  if (rule->policy == SP_MASK_CHUNKED) {
    last = i / reach * reach + reach - 1;
  } else {
    last = i + reach;
  }
  return sp_min_size(last, len - 1);
}

size_t sp_lookahead_cls_tokens(const struct sp_lookahead *rule, size_t layers, size_t len) {
  size_t text = len - 2, seen = 0;
  if (rule->policy == SP_MASK_FULL || rule->cls_view != SP_CLS_BOUND) {
    return text;
  }
  if (rule->cls_last) {
    return rule->left > 0 ? sp_min_size(sp_mul_sat(layers, rule->left), text) : text;
  }
  for (size_t l = layers; l-- > 0;) {
    seen = sp_lookahead_last_seen(rule, l, seen, len);
  }
  return sp_min_size(seen, text);
}

size_t sp_lookahead_first_reader(const struct sp_lookahead *rule, size_t layer, size_t j) {
  size_t reach = sp_lookahead_reach(rule, layer);
  if (rule->policy == SP_MASK_FULL) {
    return 0;
  }
  if (rule->policy == SP_MASK_CHUNKED) {
    return j / reach * reach;
  }
  return j > reach ? j - reach : 0;
}
