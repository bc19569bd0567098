#include "lookahead.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* Positions: more than any model has, and no overflow in what is computed with it. */
enum { most_reach = 1 << 20 };

static const struct {
  const char *name;
  enum sp_mask_policy policy;
  size_t least; /* reach; 0 where the policy takes none */
} policies[] = {
    {"full", SP_MASK_FULL, 0},
    {"causal", SP_MASK_CAUSAL, 0},
    {"layerwise", SP_MASK_LAYERWISE, 1},
    {"chunked", SP_MASK_CHUNKED, 1},
};

/* Reads ":N" up to the end. */
static bool read_reach(const char *text, size_t least, size_t *reach) {
  char *end;
  if (*text != ':' || !isdigit((unsigned char)text[1])) {
    return false;
  }
  unsigned long value = strtoul(text + 1, &end, 10);
  *reach = value;
  return *end == '\0' && value >= least && value <= most_reach;
}

enum sp_status sp_lookahead_parse(const char *text, struct sp_lookahead *out,
                                  struct sp_error *err) {
  for (size_t i = 0; i < sizeof policies / sizeof *policies; i++) {
    size_t len = strlen(policies[i].name);
    if (strncmp(text, policies[i].name, len) != 0) {
      continue;
    }
    *out = (struct sp_lookahead){.policy = policies[i].policy};
    if (policies[i].least == 0 ? text[len] == '\0'
                               : read_reach(text + len, policies[i].least, &out->reach)) {
      return SP_OK;
    }
  }
  return sp_fail(
      err, SP_EUSAGE,
      "mask '%s' is unknown; it takes full, causal, layerwise:R or chunked:C, with R and "
      "C from 1 to %d",
      text, most_reach);
}
