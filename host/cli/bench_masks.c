/* bench_masks.c - `secondpass bench masks`: what attention under a lookahead mask costs.
 *
 * One round without a mask and one under each policy take turns over the same batches; the ratio is
 * the median of the rounds' ratios.  Every policy does the same products: what differs is how masks
 * are made and how attention reads them.  A dynamic model is timed under its own policy too, beside the
 * layerwise one that always reaches as far as its schedulers may. */
#include <string.h>

#include "bench_args.h"
#include "bench_stats.h"
#include "clock.h"
#include "commands.h"
#include "output.h"

static const char *const fixed[] = {"causal", "layerwise:1", "layerwise:5", "chunked:5",
                                    "chunked:10"};
enum { n_fixed = sizeof fixed / sizeof *fixed, max_policies = n_fixed + 2 };

struct masks_result {
  double seconds; /* without a mask */
  const char *policy[max_policies];
  double ratio[max_policies]; /* under it over without */
  size_t n_policies;
  char widest[SP_LOOKAHEAD_TEXT]; /* "layerwise:3": all that a dynamic model may see */
  size_t rounds;
};

static void add_policy(struct masks_result *r, const char *policy) {
  for (size_t p = 0; p < r->n_policies; p++) {
    if (strcmp(r->policy[p], policy) == 0) {
      return;
    }
  }
  r->policy[r->n_policies++] = policy;
}

static void choose_policies(const struct sp_model_config *config, struct masks_result *out) {
  *out = (struct masks_result){0};
  for (size_t p = 0; p < n_fixed; p++) {
    add_policy(out, fixed[p]);
  }
  if (config->lookahead.policy == SP_MASK_DYNAMIC) {
    struct sp_lookahead widest = {.policy = SP_MASK_LAYERWISE,
                                  .n_reach = config->lookahead.n_reach};
    memcpy(widest.reach, config->lookahead.reach, sizeof widest.reach);
    sp_lookahead_print(&widest, out->widest, sizeof out->widest);
    add_policy(out, "dynamic");
    add_policy(out, out->widest);
  }
}

static enum sp_status one_round(struct sp_workload *w, const char *policy, double *seconds,
                                struct sp_error *err) {
  SP_TRY(sp_settings_set_mask(&w->settings, policy, true, err));
  SP_TRY(sp_context_set_mask(&w->context, &w->settings, err));
  return sp_workload_round(w, NULL, seconds, err);
}

static enum sp_status time_masks(const struct sp_bench_args *args, struct sp_workload *w,
                                 struct masks_result *out, struct sp_error *err) {
  double full[sp_bench_max_rounds];
  static double ratio[max_policies][sp_bench_max_rounds];
  double start = sp_clock_seconds();
  size_t n = 0;
  choose_policies(&w->context.config, out);
  SP_TRY(one_round(w, "full", &full[0], err)); /* does not count */
  for (; sp_bench_goes_on(args, n, start); n++) {
    SP_TRY(one_round(w, "full", &full[n], err));
    for (size_t p = 0; p < out->n_policies; p++) {
      double seconds;
      SP_TRY(one_round(w, out->policy[p], &seconds, err));
      ratio[p][n] = seconds / full[n];
    }
  }
  for (size_t p = 0; p < out->n_policies; p++) {
    out->ratio[p] = sp_median(ratio[p], n);
  }
  out->seconds = sp_median(full, n);
  out->rounds = n;
  return SP_OK;
}

static json_t *result_json(const struct sp_workload *w, const struct masks_result *r) {
  json_t *object = sp_json_begin("bench masks", SP_OK, NULL);
  const struct sp_device *device = w->context.devices[0];
  json_object_set_new(object, "device_type", sp_json_text(device->type));
  json_object_set_new(object, "dtype", sp_json_text(sp_compute_name(device->compute)));
  json_object_set_new(object, "rounds", json_integer((json_int_t)r->rounds));
  json_object_set_new(object, "seconds", sp_json_real(r->seconds));
  for (size_t p = 0; p < r->n_policies; p++) {
    json_object_set_new(object, r->policy[p], sp_json_real(r->ratio[p]));
  }
  return object;
}

static void print_result(const struct masks_result *r) {
  sp_row("full", "%s a round, no mask (median of %zu)", sp_duration(r->seconds).text, r->rounds);
  for (size_t p = 0; p < r->n_policies; p++) {
    sp_row(r->policy[p], "%.3f times as long", r->ratio[p]);
  }
}

static enum sp_status bench_masks(const struct sp_bench_args *args,
                                  const struct sp_operands *operands, struct sp_error *err) {
  struct sp_workload workload;
  struct masks_result result;
  SP_TRY(sp_bench_open(args, operands, &workload, err));
  enum sp_status status = time_masks(args, &workload, &result, err);
  if (status == SP_OK && args->json) {
    status = sp_json_print(result_json(&workload, &result), stdout, err);
  } else if (status == SP_OK) {
    print_result(&result);
  }
  sp_workload_close(&workload);
  return status;
}

static enum sp_status run_bench_masks(const void *values, const struct sp_operands *operands,
                                      struct sp_error *err) {
  const struct sp_bench_args *args = values;
  return sp_json_failure(args->json, "bench masks", bench_masks(args, operands, err), err);
}

static const struct sp_opt_group *const groups[] = {&sp_bench_group, NULL};

const struct sp_command sp_command_bench_masks = {
    .name = "bench masks",
    .summary = "what attention under a lookahead mask costs",
    .example = "secondpass bench masks --model bert-base-uncased --device cuda --length 24",
    .usage = "--model DIR [OPTIONS] --length L | ARCHIVE...",
    .description =
        "Scores one workload without a mask and under causal, layerwise and chunked masks in "
        "turn; with a dynamic model under its own as well, and under the layerwise one that always "
        "reaches as far as it may. All of them do the same matrix products, so the difference is "
        "what masks cost. The scores are thrown away: the model was not trained for most of these "
        "masks.",
    .groups = groups,
    .values_bytes = sizeof(struct sp_bench_args),
    .max_operands = SIZE_MAX,
    .run = run_bench_masks,
};
