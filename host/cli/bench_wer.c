/* bench_wer.c - `secondpass bench wer`: how fast word errors are counted on one thread.
 *
 * The lists are held in memory, so that reading is not measured; two stages over all of them:
 *   distance  texts are numbers already: the edit distance of every hypothesis to its reference
 *   text      texts are split into units as well: all that lies between an archive and its counts
 * A stage runs --repeat times; medians of processor time. */
#include <stdlib.h>

#include "archive.h"
#include "arena.h"
#include "bench_stats.h"
#include "clock.h"
#include "commands.h"
#include "edit.h"
#include "output.h"
#include "wer_args.h"

enum { default_repeat = 7, max_repeat = 101 };

struct wer_bench_args {
  const char *unit, *format;
  size_t repeat;
  bool json;
};

struct text {
  struct sp_text text;
  const uint32_t *ids;
  size_t n;
};

/* A list with its reference, one behind the other in `texts`. */
struct list {
  size_t first, n_hyps;
};

struct lists {
  struct sp_arena arena;
  struct text *texts;
  size_t n_texts, texts_capacity;
  struct list *items;
  size_t n, capacity;
  uint64_t hyps, units;
};

struct result {
  double distance, text; /* seconds, medians */
  uint64_t errors;       /* of all hypotheses; equal in both stages */
};

static enum sp_status grow(void **array, size_t *capacity, size_t n, size_t size,
                           struct sp_error *err) {
  if (n < *capacity) {
    return SP_OK;
  }
  size_t wanted = *capacity ? *capacity * 2 : 4096;
  void *grown = realloc(*array, wanted * size);
  if (!grown) {
    return sp_fail_memory(err, wanted * size);
  }
  *array = grown;
  *capacity = wanted;
  return SP_OK;
}

static enum sp_status add_text(struct lists *lists, struct sp_units *units, struct sp_text text,
                               struct sp_error *err) {
  SP_TRY(grow((void **)&lists->texts, &lists->texts_capacity, lists->n_texts, sizeof *lists->texts,
              err));
  struct text *out = &lists->texts[lists->n_texts++];
  out->text = (struct sp_text){sp_arena_copy(&lists->arena, text.data, text.len), text.len};
  if (!out->text.data) {
    return sp_fail_memory(err, text.len);
  }
  return sp_units_split(units, out->text, &out->ids, &out->n, err);
}

static enum sp_status add_list(struct lists *lists, struct sp_units *units,
                               const struct sp_utt *utt, struct sp_error *err) {
  if (!utt->has_ref) {
    return SP_OK;
  }
  SP_TRY(grow((void **)&lists->items, &lists->capacity, lists->n, sizeof *lists->items, err));
  lists->items[lists->n++] = (struct list){lists->n_texts, utt->n_hyps};
  SP_TRY(add_text(lists, units, utt->ref, err));
  for (size_t i = 0; i < utt->n_hyps; i++) {
    SP_TRY(add_text(lists, units, utt->hyps[i].text, err));
    lists->units += lists->texts[lists->n_texts - 1].n;
  }
  lists->hyps += utt->n_hyps;
  return SP_OK;
}

static enum sp_status read_lists(struct lists *lists, struct sp_units *units,
                                 const struct wer_bench_args *args,
                                 const struct sp_operands *operands, struct sp_error *err) {
  enum sp_archive_format format = SP_FORMAT_AUTO;
  if (args->format) {
    SP_TRY(sp_archive_format_parse(args->format, &format, err));
  }
  struct sp_archive *archive;
  SP_TRY(sp_archive_open(operands->items, operands->n, format, &archive, err));
  enum sp_status status = SP_OK;
  for (bool found = true; status == SP_OK && found;) {
    struct sp_utt utt;
    status = sp_archive_next(archive, &utt, &found, err);
    if (status == SP_OK && found) {
      status = add_list(lists, units, &utt, err);
    }
  }
  sp_archive_close(archive);
  return status == SP_OK && lists->hyps == 0
             ? sp_fail(err, SP_EINPUT, "%s: no list with a reference to measure with",
                       operands->items[0])
             : status;
}

/* One pass; with `units` the texts are split anew. */
static enum sp_status pass(const struct lists *lists, struct sp_units *units, struct sp_edit *edit,
                           uint64_t *errors, struct sp_error *err) {
  *errors = 0;
  for (size_t u = 0; u < lists->n; u++) {
    const struct text *text = &lists->texts[lists->items[u].first];
    const uint32_t *ids = text->ids;
    size_t n = text->n, distance;
    if (units) {
      sp_units_clear(units);
      SP_TRY(sp_units_split(units, text->text, &ids, &n, err));
    }
    SP_TRY(sp_edit_set_reference(edit, ids, n, err));
    for (size_t h = 1; h <= lists->items[u].n_hyps; h++) {
      ids = text[h].ids;
      n = text[h].n;
      if (units) {
        SP_TRY(sp_units_split(units, text[h].text, &ids, &n, err));
      }
      SP_TRY(sp_edit_distance(edit, ids, n, &distance, err));
      *errors += distance;
    }
  }
  return SP_OK;
}

static enum sp_status measure(const struct lists *lists, struct sp_units *units, size_t repeat,
                              double *seconds, uint64_t *errors, struct sp_error *err) {
  double all[max_repeat];
  struct sp_edit *edit;
  enum sp_status status = SP_OK;
  SP_TRY(sp_edit_create(&edit, err));
  for (size_t i = 0; status == SP_OK && i < repeat; i++) {
    double start = sp_clock_cpu_seconds();
    status = pass(lists, units, edit, errors, err);
    all[i] = sp_clock_cpu_seconds() - start;
  }
  sp_edit_destroy(edit);
  *seconds = sp_median(all, repeat);
  return status;
}

static enum sp_status show(const struct lists *lists, const struct result *result, bool json,
                           struct sp_error *err) {
  double hyps = (double)lists->hyps;
  if (!json) {
    sp_row("edit distance", "%s hypotheses/s a core",
           sp_number((uint64_t)(hyps / result->distance)).text);
    sp_row("with splitting", "%s hypotheses/s a core",
           sp_number((uint64_t)(hyps / result->text)).text);
    sp_row("over", "%s, %.1f units each, %s",
           sp_count_of(lists->hyps, "hypothesis", "hypotheses").text, (double)lists->units / hyps,
           sp_count_of(result->errors, "error", "errors").text);
    return SP_OK;
  }
  json_t *object = sp_json_begin("bench wer", SP_OK, NULL);
  json_object_set_new(object, "hyps", json_integer((json_int_t)lists->hyps));
  json_object_set_new(object, "units", json_integer((json_int_t)lists->units));
  json_object_set_new(object, "errors", json_integer((json_int_t)result->errors));
  json_object_set_new(object, "distance_hyps_per_core_second",
                      sp_json_real(hyps / result->distance));
  json_object_set_new(object, "text_hyps_per_core_second", sp_json_real(hyps / result->text));
  return sp_json_print(object, stdout, err);
}

static enum sp_status run_stages(const struct wer_bench_args *args,
                                 const struct sp_operands *operands, struct lists *lists,
                                 struct sp_units *numbered, struct sp_units *units,
                                 struct sp_error *err) {
  struct result result;
  uint64_t errors;
  size_t repeat = args->repeat ? args->repeat : default_repeat;
  SP_TRY(read_lists(lists, numbered, args, operands, err));
  SP_TRY(measure(lists, NULL, repeat, &result.distance, &result.errors, err));
  SP_TRY(measure(lists, units, repeat, &result.text, &errors, err));
  if (errors != result.errors) {
    return sp_fail(err, SP_EDEVICE, "the two stages do not count the same errors");
  }
  return show(lists, &result, args->json, err);
}

static enum sp_status run_bench_wer(const void *values, const struct sp_operands *operands,
                                    struct sp_error *err) {
  const struct wer_bench_args *args = values;
  enum sp_unit unit = SP_UNIT_WORD;
#define X(name, option, rate)                       \
  if (args->unit && args->unit[0] == (option)[0]) { \
    unit = name;                                    \
  }
  SP_UNIT_MAP(X)
#undef X
  struct lists lists = {0};
  struct sp_units *numbered = NULL, *units = NULL;
  enum sp_status status = sp_units_create(unit, &numbered, err);
  if (status == SP_OK) {
    status = sp_units_create(unit, &units, err);
  }
  if (status == SP_OK) {
    status = run_stages(args, operands, &lists, numbered, units, err);
  }
  sp_units_destroy(numbered);
  sp_units_destroy(units);
  sp_arena_release(&lists.arena);
  free(lists.texts);
  free(lists.items);
  return status;
}

static const struct sp_opt options[] = {
    {.name = "unit",
     .kind = SP_OPT_CHOICE,
     .offset = offsetof(struct wer_bench_args, unit),
     .argument = "UNIT",
     .choices = sp_unit_choices,
     .fallback = "word",
     .help = "what is counted"},
    {.name = "format",
     .kind = SP_OPT_TEXT,
     .offset = offsetof(struct wer_bench_args, format),
     .argument = "NAME",
     .help = "format of the archives, as for score",
     .fallback = "auto"},
    {.name = "repeat",
     .kind = SP_OPT_SIZE,
     .offset = offsetof(struct wer_bench_args, repeat),
     .argument = "N",
     .min = 1,
     .max = max_repeat,
     .help = "runs of a stage, median reported",
     .fallback = "7"},
    {.name = "json",
     .kind = SP_OPT_FLAG,
     .offset = offsetof(struct wer_bench_args, json),
     .help = "print one JSON object"},
};
static const struct sp_opt_group group = {"Options", options, sizeof options / sizeof *options};
static const struct sp_opt_group *const groups[] = {&group, NULL};

const struct sp_command sp_command_bench_wer = {
    .name = "bench wer",
    .summary = "counting word errors",
    .example = "secondpass bench wer dev.jsonl.zst",
    .usage = "[OPTIONS] ARCHIVE...",
    .description =
        "Measures on one thread how many hypotheses a second are compared with their "
        "references: the edit distance alone, and with splitting texts into units. The lists are "
        "held in memory; those without a reference are left out.",
    .groups = groups,
    .values_bytes = sizeof(struct wer_bench_args),
    .min_operands = 1,
    .max_operands = SIZE_MAX,
    .run = run_bench_wer,
};
