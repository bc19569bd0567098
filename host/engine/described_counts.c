#include "described_counts.h"

#include <math.h>

#include "forward.h"
#include "scan.h"

/* Sums over hypotheses. `len` counts [CLS] and [SEP]. */
struct sums {
  uint64_t copies, copy_tokens;     /* masked copies: pll, pll_l2r */
  uint64_t plain, plain_tokens;     /* unmasked sequences: maskless, cls */
  uint64_t plain_targets, cls_rows; /* rows of those */
  double copy_sum_sq, plain_sum_sq; /* sums of len^2 */
};

struct counter {
  const struct sp_settings *settings;
  size_t max_tokens;
  struct sp_counts *counts;
  struct sums sums;
  uint64_t longest;
  bool overflow;
};

/* JSON and most readers know signed integers. */
static uint64_t checked(struct counter *c, unsigned __int128 value) {
  c->overflow |= value > INT64_MAX;
  return (uint64_t)value;
}

static void add_product(struct counter *c, uint64_t *sum, uint64_t a, uint64_t b) {
  *sum = checked(c, (unsigned __int128)a * b + *sum);
}

static uint64_t scaled(uint64_t value, double factor) {
  return factor == 1 ? value : (uint64_t)llround((double)value * factor);
}

static bool has(const struct counter *c, enum sp_method method) {
  return c->settings->methods >> method & 1u;
}

/* `hyps` different hypotheses of n tokens. */
static void add_sequences(struct counter *c, uint64_t hyps, uint64_t n) {
  struct sums *s = &c->sums;
  uint64_t masked = (uint64_t)has(c, SP_PLL) + has(c, SP_PLL_L2R), len = n + 2;
  bool both = has(c, SP_MASKLESS) && has(c, SP_CLS);
  bool shared = both && (c->settings->savings & SP_SAVING_DEDUPE);
  uint64_t plain = (uint64_t)has(c, SP_MASKLESS) + has(c, SP_CLS) - shared;
  double square = (double)len * (double)len * (double)hyps;
  add_product(c, &s->copies, hyps, masked * n);
  add_product(c, &s->copy_tokens, hyps, masked * n * len);
  add_product(c, &s->plain, hyps, plain);
  add_product(c, &s->plain_tokens, hyps, plain * len);
  add_product(c, &s->plain_targets, hyps, has(c, SP_MASKLESS) ? n : 0);
  add_product(c, &s->cls_rows, hyps, has(c, SP_CLS));
  add_product(c, &c->counts->copies, hyps, both ? 2 : has(c, SP_MASKLESS) || has(c, SP_CLS));
  s->copy_sum_sq += (double)(masked * n) * square;
  s->plain_sum_sq += (double)plain * square;
}

/* `hyps` hypotheses of `tokens`: 0 is nothing to score, and so is end of sentence alone. */
static enum sp_status add_length(struct counter *c, const struct sp_description *d, uint64_t hyps,
                                 uint64_t tokens, size_t eos_tokens, struct sp_error *err) {
  uint64_t n = tokens ? tokens + eos_tokens : 0;
  if (hyps == 0) {
    return SP_OK;
  }
  if (n == 0) {
    c->counts->empty += hyps;
    return SP_OK;
  }
  bool cut = n > c->max_tokens && c->settings->on_long == SP_LONG_TRUNCATE;
  uint64_t told = cut ? c->max_tokens : n;
  c->longest = told > c->longest ? told : c->longest;
  if (n > c->max_tokens) {
    if (c->settings->on_long == SP_LONG_ERROR) {
      return sp_fail(err, SP_EINPUT,
                     "the description has hypotheses of %llu tokens, the model takes %zu "
                     "(--on-long null|truncate goes on)",
                     (unsigned long long)n, c->max_tokens);
    }
    if (c->settings->on_long == SP_LONG_NULL) {
      c->counts->too_long += hyps;
      return SP_OK;
    }
    c->counts->truncated += hyps;
    n = told;
  }
  uint64_t equal = c->settings->savings & SP_SAVING_DEDUPE ? scaled(hyps, d->duplicates) : 0;
  c->counts->duplicate_hyps += equal;
  add_product(c, &c->counts->tokens, hyps, n);
  add_sequences(c, hyps - equal, n);
  return SP_OK;
}

/* From sums to counts. Equal copies are computed once. */
static void finish(struct counter *c, const struct sp_description *d,
                   const struct sp_context *context) {
  struct sp_counts *counts = c->counts;
  const struct sums *s = &c->sums;
  unsigned savings = c->settings->savings;
  double kept = savings & SP_SAVING_DEDUPE ? 1 - d->equal_copies : 1;
  uint64_t copies = scaled(s->copies, kept);
  counts->copies = checked(c, (unsigned __int128)counts->copies + s->copies);
  counts->sequences = checked(c, (unsigned __int128)copies + s->plain);
  counts->sequence_tokens =
      checked(c, (unsigned __int128)scaled(s->copy_tokens, kept) + s->plain_tokens);
  uint64_t targets = checked(c, (unsigned __int128)copies + s->plain_targets);
  counts->scored_rows = checked(c, (unsigned __int128)targets + s->cls_rows);
  counts->plain_nodes = counts->scored_rows;
  add_product(c, &counts->plain_nodes, context->config.layers - 1, counts->sequence_tokens);
  counts->nodes = counts->plain_nodes;
  counts->flops = sp_forward_flops(&context->config, savings, (double)counts->sequence_tokens,
                                   s->copy_sum_sq * kept + s->plain_sum_sq,
                                   (double)counts->scored_rows, (double)targets);
}

enum sp_status sp_described_count(const struct sp_description *description,
                                  const struct sp_settings *settings,
                                  const struct sp_context *context, size_t eos_tokens,
                                  struct sp_counts *counts, uint64_t *longest,
                                  struct sp_error *err) {
  struct counter c = {.settings = settings, .max_tokens = context->max_tokens, .counts = counts};
  uint64_t limit = settings->options->limit;
  *counts = (struct sp_counts){.utts = description->utts};
  if (limit && limit < counts->utts) {
    counts->utts = limit;
  }
  add_product(&c, &counts->hyps, counts->utts, description->hyps);
  for (size_t i = 0; i < description->n_lengths && !c.overflow; i++) {
    uint64_t hyps = sp_description_share(description, i, counts->hyps);
    SP_TRY(add_length(&c, description, hyps, description->lengths[i].tokens, eos_tokens, err));
  }
  if (!c.overflow) {
    finish(&c, description, context);
  }
  *longest = c.longest;
  return c.overflow ? sp_fail(err, SP_EINPUT, "the description comes to counts beyond 2^63")
                    : SP_OK;
}

size_t sp_described_shard_utts(const struct sp_settings *settings, const struct sp_counts *counts) {
  struct sp_scan like = {.counts = *counts, .marks = {.block = 1}};
  while ((counts->utts - 1) / like.marks.block >= SP_MARKS) {
    like.marks.block *= 2;
  }
  return sp_scan_shard_utts(settings, &like);
}
