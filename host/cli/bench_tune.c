/* bench_tune.c - `secondpass bench tune`: the exact line search against a grid of weights.
 *
 * Both look for the weight with the fewest errors on the same random lists, on one thread: the
 * search by envelopes, and reranking the archive at each of --grid even weights of the same range.
 * Medians of --repeat searches against one grid, which takes long enough. */
#include "bench_stats.h"
#include "clock.h"
#include "commands.h"
#include "line_search.h"
#include "output.h"

enum {
  default_lists = 2703,
  default_hyps = 10,
  default_grid = 10000,
  default_repeat = 5,
  max_repeat = 101
};

struct tune_bench_args {
  size_t lists, hyps, grid, repeat;
  uint64_t seed;
  bool json;
};

struct measured {
  struct sp_line_best best;
  uint64_t grid_errors, steps;
  double search_seconds, grid_seconds;
};

static double random_share(uint64_t *state) {
  *state = *state * 6364136223846793005u + 1442695040888963407u;
  return (double)(*state >> 11) * 0x1p-53;
}

/* Errors grow, and both scores fall, with a hidden badness, so that there is something to find. */
static enum sp_status make_lists(const struct tune_bench_args *args, struct sp_lists *lists,
                                 struct sp_error *err) {
  enum { most_hyps = 1000 };
  static double x[most_hyps * 3];
  static uint32_t errors[most_hyps];
  uint64_t state = args->seed ? args->seed : 1;
  for (size_t list = 0; list < args->lists; list++) {
    for (size_t i = 0; i < args->hyps; i++) {
      double badness = 6 * random_share(&state);
      x[3 * i] = -8 - badness - 6 * random_share(&state);
      x[3 * i + 1] = -40 - 4 * badness - 30 * random_share(&state);
      x[3 * i + 2] = 20;
      errors[i] = (uint32_t)badness;
    }
    SP_TRY(sp_lists_add(lists, x, errors, args->hyps, lists->n_blocks++, err));
  }
  return SP_OK;
}

static enum sp_status time_search(const struct sp_lists *lists, size_t repeat, struct measured *out,
                                  struct sp_error *err) {
  struct sp_linear linear = {.kind = SP_COMBINE_ADDITIVE, .n = 1};
  double seconds[max_repeat];
  for (size_t i = 0; i < repeat; i++) {
    struct sp_curve curve;
    double start = sp_clock_seconds();
    enum sp_status status = sp_curve_make(lists, &linear, 0, 0, 1, &curve, err);
    if (status == SP_OK) {
      sp_line_search(lists, &linear, 0, &curve, &out->best);
    }
    seconds[i] = sp_clock_seconds() - start;
    out->steps = curve.n_steps;
    sp_curve_release(&curve);
    SP_TRY(status);
  }
  out->search_seconds = sp_median(seconds, repeat);
  return SP_OK;
}

static void time_grid(const struct sp_lists *lists, size_t grid, struct measured *out) {
  struct sp_linear linear = {.kind = SP_COMBINE_ADDITIVE, .n = 1};
  double start = sp_clock_seconds();
  out->grid_errors = UINT64_MAX;
  for (size_t i = 0; i < grid; i++) {
    linear.weights[0] = (double)i / (double)(grid - 1);
    uint64_t errors = sp_lists_errors(lists, &linear);
    out->grid_errors = errors < out->grid_errors ? errors : out->grid_errors;
  }
  out->grid_seconds = sp_clock_seconds() - start;
}

static void print_table(const struct measured *measured, size_t grid) {
  printf("%-26s %12s %12s\n", "one weight, one thread", "seconds", "errors");
  printf("%-26s %12.6f %12llu\n", "line search", measured->search_seconds,
         (unsigned long long)measured->best.errors);
  printf("grid of %-18zu %12.6f %12llu\n", grid, measured->grid_seconds,
         (unsigned long long)measured->grid_errors);
  printf("the line search is %.0f times as fast; errors change at %s\n",
         measured->grid_seconds / measured->search_seconds,
         sp_count_of(measured->steps, "weight", "weights").text);
}

static json_t *measured_json(const struct measured *measured, const struct sp_lists *lists,
                             size_t grid) {
  json_t *object = sp_json_begin("bench tune", SP_OK, NULL);
  json_object_set_new(object, "lists", json_integer((json_int_t)lists->n_lists));
  json_object_set_new(object, "hyps", json_integer((json_int_t)lists->n_hyps));
  json_object_set_new(object, "grid", json_integer((json_int_t)grid));
  json_object_set_new(object, "search_seconds", sp_json_real(measured->search_seconds));
  json_object_set_new(object, "grid_seconds", sp_json_real(measured->grid_seconds));
  json_object_set_new(object, "ratio",
                      sp_json_real(measured->grid_seconds / measured->search_seconds));
  json_object_set_new(object, "search_errors", json_integer((json_int_t)measured->best.errors));
  json_object_set_new(object, "grid_errors", json_integer((json_int_t)measured->grid_errors));
  json_object_set_new(object, "steps", json_integer((json_int_t)measured->steps));
  return object;
}

static enum sp_status run_bench_tune(const void *values, const struct sp_operands *operands,
                                     struct sp_error *err) {
  (void)operands;
  struct tune_bench_args args = *(const struct tune_bench_args *)values;
  struct sp_lists lists;
  struct measured measured = {0};
  args.lists = args.lists ? args.lists : default_lists;
  args.hyps = args.hyps ? args.hyps : default_hyps;
  args.grid = args.grid ? args.grid : default_grid;
  sp_lists_init(&lists, 1);
  enum sp_status status = make_lists(&args, &lists, err);
  if (status == SP_OK) {
    status = time_search(&lists, args.repeat ? args.repeat : default_repeat, &measured, err);
  }
  if (status == SP_OK) {
    time_grid(&lists, args.grid, &measured);
    if (args.json) {
      status = sp_json_print(measured_json(&measured, &lists, args.grid), stdout, err);
    } else {
      print_table(&measured, args.grid);
    }
  }
  sp_lists_release(&lists);
  return status;
}

#define NUMBER(option, field, least, most, text, default_text)                              \
  {                                                                                         \
    .name = option, .kind = SP_OPT_SIZE, .offset = offsetof(struct tune_bench_args, field), \
    .argument = "N", .min = least, .max = most, .help = text, .fallback = default_text      \
  }

static const struct sp_opt options[] = {
    NUMBER("lists", lists, 1, 10000000, "N-best lists", "2703"),
    NUMBER("hyps", hyps, 1, 1000, "hypotheses of a list", "10"),
    NUMBER("grid", grid, 2, 1000000, "weights of the grid", "10000"),
    NUMBER("repeat", repeat, 1, max_repeat, "searches, median reported", "5"),
    {.name = "seed",
     .kind = SP_OPT_U64,
     .offset = offsetof(struct tune_bench_args, seed),
     .argument = "S",
     .min = 1,
     .max = UINT64_MAX,
     .help = "of the random lists",
     .fallback = "1"},
    {.name = "json",
     .kind = SP_OPT_FLAG,
     .offset = offsetof(struct tune_bench_args, json),
     .help = "print one JSON object"},
};
static const struct sp_opt_group group = {"Options", options, sizeof options / sizeof *options};
static const struct sp_opt_group *const groups[] = {&group, NULL};

const struct sp_command sp_command_bench_tune = {
    .name = "bench tune",
    .summary = "the exact search of a weight against a grid",
    .example = "secondpass bench tune",
    .usage = "[OPTIONS]",
    .description =
        "Random lists, one second-pass weight from 0 to 1. Reading and word errors are not "
        "part of it.",
    .groups = groups,
    .values_bytes = sizeof(struct tune_bench_args),
    .run = run_bench_tune,
};
