/* masks.c - `secondpass masks`: who sees whom in the encoder, text by text, as pictures or as JSON. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checked.h"
#include "commands.h"
#include "masks_files.h"
#include "masks_inputs.h"
#include "masks_json.h"
#include "output.h"
#include "trace.h"

struct work {
  const struct sp_masks_args *args;
  struct sp_masks_inputs inputs;
  struct sp_tracer *tracer;
  const struct sp_context *context; /* the tracer's */
  bool *wanted;                     /* (layers) to show */
  struct sp_reach_counts counts;
  struct sp_masks_files files;
  struct sp_buf model, heading; /* lines of the pictures' titles */
  char mask[SP_LOOKAHEAD_TEXT];
  json_t *utterances; /* with --json */
};

static void on_warn(void *context, const char *message) {
  (void)context;
  sp_say("warning: %s", message);
}

static void release(struct work *w) {
  sp_tracer_close(w->tracer);
  sp_masks_inputs_release(&w->inputs);
  sp_reach_counts_release(&w->counts);
  sp_masks_files_release(&w->files);
  sp_buf_release(&w->model);
  sp_buf_release(&w->heading);
  json_decref(w->utterances);
  free(w->wanted);
}

static enum sp_status choose_layers(struct work *w, struct sp_error *err) {
  size_t layers = w->context->config.layers, layer;
  w->wanted = calloc(layers, sizeof *w->wanted);
  if (!w->wanted) {
    return sp_fail_memory(err, layers);
  }
  for (size_t l = 0; l < layers; l++) {
    w->wanted[l] = !w->args->layers;
  }
  for (const char *rest = w->args->layers; rest;) {
    SP_TRY(sp_masks_next_number("layer", "layers", layers, &rest, &layer, err));
    w->wanted[layer] = true;
  }
  return SP_OK;
}

/* "model NAME, mask layerwise:2": the directory's own name, not where it lies. */
static enum sp_status name_model(struct work *w, struct sp_error *err) {
  const char *path = w->args->options.model;
  size_t end = strlen(path);
  while (end > 1 && path[end - 1] == '/') {
    end--;
  }
  size_t from = end;
  while (from > 0 && path[from - 1] != '/') {
    from--;
  }
  sp_lookahead_print(&w->context->lookahead, w->mask, sizeof w->mask);
  return sp_buf_printf(&w->model, err, "model %.*s, mask %s%s", (int)(end - from), path + from,
                       w->mask, w->context->mask_forced ? " (not the model's own)" : "");
}

static enum sp_status open_work(struct work *w, const struct sp_operands *operands,
                                struct sp_error *err) {
  struct sp_score_options options = w->args->options;
  if (!options.model) {
    return sp_fail(err, SP_EUSAGE, "--model DIR is missing; usage: secondpass masks %s",
                   sp_command_masks.usage);
  }
  SP_TRY(sp_masks_inputs_read(w->args, operands, &w->inputs, err));
  options.warn = on_warn;
  options.force_mask = true; /* nothing is scored with it */
  options.limit = 0;
  SP_TRY(sp_tracer_open(&options, &w->inputs.look, &w->tracer, err));
  w->context = sp_tracer_context(w->tracer);
  SP_TRY(choose_layers(w, err));
  SP_TRY(sp_reach_counts_init(&w->counts, w->context->config.layers,
                              w->context->config.max_positions, err));
  SP_TRY(name_model(w, err));
  w->utterances = w->args->json ? json_array() : NULL;
  return sp_masks_files_init(&w->files, w->args, err);
}

/* Orders outputs by what they wait, those that the end of the sentence clips before all others: the last
 * one is the maximum of a text's row, as `score --latency` has it. */
static size_t weigh_output(const struct sp_masks_view *view, size_t i) {
  size_t layers = view->graph->layers;
  bool clipped = sp_latency_is_clipped(view->latency, layers, i);
  return 1 + sp_latency_of(view->latency, layers, i) + (clipped ? 0 : view->graph->len);
}

/* The output that --cone names; else of the tokens of most weight the one in the middle. */
static enum sp_status choose_output(const struct sp_masks_args *args,
                                    const struct sp_masks_view *view, size_t *out,
                                    struct sp_error *err) {
  size_t len = view->graph->len, most = 0, ties = 0;
  const char *rest = args->cone;
  if (rest) {
    SP_TRY(sp_masks_next_number("cone", "positions of this text", len, &rest, out, err));
    return rest ? sp_fail(err, SP_EUSAGE, "--cone %s: one position is taken", args->cone) : SP_OK;
  }
  for (size_t i = 1; i + 1 < len; i++) {
    size_t weight = weigh_output(view, i);
    ties = weight > most ? 1 : ties + (weight == most);
    most = sp_max_size(most, weight);
  }
  ties = (ties + 1) / 2;
  for (*out = 0; ties > 0;) {
    ties -= weigh_output(view, ++*out) == most;
  }
  return SP_OK;
}

static enum sp_status draw_view(struct work *w, const struct sp_masks_view *view, const char *name,
                                size_t output, struct sp_error *err) {
  struct sp_canvas canvas;
  struct sp_text title = view->picture.heading;
  sp_picture_masks(view, w->wanted, &canvas, err);
  enum sp_status status = sp_masks_files_write(&w->files, &canvas, name, "masks", title, err);
  sp_canvas_release(&canvas);
  SP_TRY(status);
  status = sp_picture_cone(view, output, &canvas, err);
  if (status == SP_OK) {
    status = sp_masks_files_write(&w->files, &canvas, name, "cone", title, err);
  }
  sp_canvas_release(&canvas);
  return status;
}

/* "latency mean 2, max 2 (5 outputs); clipped: mean 0.5 (2 outputs)", either where there are some. */
static void describe_latency(const struct sp_latency_counts *counts, char *out, size_t room) {
  struct sp_latency_stats stats = sp_latency_stats_of(counts);
  const double *value = stats.value;
  uint64_t whole = counts->outputs - counts->clipped;
  int at = 0;
  if (whole > 0) {
    at = snprintf(out, room, "latency mean %.4g, max %.0f (%s)", value[SP_LATENCY_MEAN],
                  value[SP_LATENCY_MAX], sp_count_of(whole, "output", "outputs").text);
  }
  if (counts->clipped > 0) {
    snprintf(out + at, room - (size_t)at, "%s: mean %.4g (%s)",
             whole > 0 ? "; clipped" : "latency, all clipped", value[SP_LATENCY_CLIPPED_MEAN],
             sp_count_of(counts->clipped, "output", "outputs").text);
  }
}

static enum sp_status print_row(const struct work *w, const struct sp_masks_view *view,
                                const struct sp_masks_input *input, struct sp_error *err) {
  struct sp_latency_counts counts = {0};
  enum sp_status status = sp_latency_count(view->latency, 0, &counts, err); /* no UPL is shown */
  if (status == SP_OK) {
    char label[64], latency[256];
    snprintf(label, sizeof label, "%.*s", (int)sp_min_size(input->id.len, 60), input->id.data);
    describe_latency(&counts, latency, sizeof latency);
    sp_row(label, "hypothesis %zu, %s, %s", w->args->hyp,
           sp_count_of(view->graph->len - 2, "token", "tokens").text, latency);
  }
  sp_latency_counts_release(&counts);
  return status;
}

static enum sp_status show_view(struct work *w, const struct sp_masks_view *view,
                                const struct sp_masks_input *input, struct sp_error *err) {
  char name[SP_MASKS_NAME];
  size_t output;
  SP_TRY(choose_output(w->args, view, &output, err));
  sp_reach_counts_add(&w->counts, view->graph);
  if (w->args->out) {
    sp_masks_files_name(&w->files, input->id, w->args->hyp, name);
    SP_TRY(draw_view(w, view, name, output, err));
  }
  if (!w->args->json) {
    return print_row(w, view, input, err);
  }
  json_t *object = json_object();
  json_array_append_new(w->utterances, object);
  json_object_set_new(object, "id", sp_masks_text_json(input->id));
  json_object_set_new(object, "i", json_integer((json_int_t)w->args->hyp));
  json_object_set_new(object, "text", sp_masks_text_json(input->text));
  return sp_masks_view_json(view, w->wanted, output, object, err);
}

static enum sp_status measure(struct work *w, struct sp_masks_view *view,
                              const struct sp_trace *trace, struct sp_mask_graph *graph,
                              struct sp_latency *latency, struct sp_error *err) {
  view->pieces = trace->pieces;
  SP_TRY(sp_mask_graph_create(&w->context->lookahead, w->context->config.layers, trace->len,
                              trace->bits, graph, err));
  view->graph = graph;
  SP_TRY(sp_latency_create(graph, latency, err));
  view->latency = latency;
  return SP_OK;
}

static enum sp_status show_input(struct work *w, const struct sp_masks_input *input,
                                 struct sp_error *err) {
  struct sp_trace trace;
  struct sp_mask_graph graph = {0};
  struct sp_latency latency = {0};
  struct sp_masks_view view = {0};
  SP_TRY(sp_tracer_run(w->tracer, input->text, &trace, err));
  if (trace.len == 0) {
    return sp_fail(err, SP_EINPUT,
                   "%.*s, hypothesis %zu: nothing to draw, it is %s (%s; the model takes %zu)",
                   (int)sp_min_size(input->id.len, 200), input->id.data, w->args->hyp,
                   sp_flag_name(trace.flag), sp_count_of(trace.tokens, "token", "tokens").text,
                   w->context->max_tokens);
  }
  sp_buf_clear(&w->heading);
  SP_TRY(sp_buf_printf(&w->heading, err, "%.*s, hypothesis %zu: %.*s", (int)input->id.len,
                       input->id.data, w->args->hyp, (int)input->text.len, input->text.data));
  view.picture =
      (struct sp_picture){{w->heading.data, w->heading.len}, {w->model.data, w->model.len}};
  enum sp_status status = measure(w, &view, &trace, &graph, &latency, err);
  if (status == SP_OK) {
    status = show_view(w, &view, input, err);
  }
  sp_latency_release(&latency);
  sp_mask_graph_release(&graph);
  return status;
}

static enum sp_status draw_reach(struct work *w, struct sp_error *err) {
  struct sp_canvas canvas;
  sp_buf_clear(&w->heading);
  SP_TRY(sp_buf_printf(&w->heading, err, "lookahead by layer, %s",
                       sp_count_of(w->inputs.n, "text", "texts").text));
  struct sp_text heading = {w->heading.data, w->heading.len};
  struct sp_picture picture = {heading, {w->model.data, w->model.len}};
  sp_picture_reach(&picture, &w->counts, &canvas, err);
  enum sp_status status = sp_masks_files_write(&w->files, &canvas, "", "lookahead", heading, err);
  sp_canvas_release(&canvas);
  return status;
}

static enum sp_status show_all(struct work *w, struct sp_error *err) {
  for (size_t i = 0; i < w->inputs.n; i++) {
    SP_TRY(show_input(w, &w->inputs.items[i], err));
  }
  return w->args->out ? draw_reach(w, err) : SP_OK;
}

static enum sp_status print_json(const struct work *w, struct sp_error *err) {
  json_t *object = sp_json_begin("masks", SP_OK, NULL);
  json_object_set_new(object, "model_hash", sp_json_text(w->context->model_hash));
  json_object_set_new(object, "mask", sp_json_text(w->mask));
  json_object_set_new(object, "mask_forced", json_boolean(w->context->mask_forced));
  sp_json_set_count(object, "layers", w->context->config.layers);
  json_object_set(object, "utterances", w->utterances);
  json_object_set_new(object, "lookahead", sp_masks_reach_json(&w->counts));
  json_object_set(object, "files", w->files.paths);
  return sp_json_print(object, stdout, err);
}

static void print_files(const struct work *w) {
  size_t i;
  json_t *path;
  json_array_foreach(w->files.paths, i, path) {
    printf("%s\n", json_string_value(path));
  }
}

static enum sp_status run_masks(const void *values, const struct sp_operands *operands,
                                struct sp_error *err) {
  struct work w = {.args = values};
  enum sp_status status = open_work(&w, operands, err);
  if (status == SP_OK) {
    status = show_all(&w, err);
  }
  if (status == SP_OK && w.args->json) {
    status = print_json(&w, err);
  } else if (status == SP_OK) {
    print_files(&w);
  } else {
    status = sp_json_failure(w.args->json, "masks", status, err);
  }
  release(&w);
  return status;
}

const struct sp_command sp_command_masks = {
    .name = "masks",
    .summary = "draws what the rows of the encoder see, and how long outputs wait",
    .example =
        "secondpass masks --model streaming --out pictures dev.jsonl.zst\n"
        "secondpass masks --model bert --mask layerwise:2 --out . --text \"there is stew\"",
    .usage = "--model DIR [OPTIONS] --text TEXT | ARCHIVE...",
    .description =
        "For each utterance two pictures, as SVG and as PNG: ID.masks, the mask of every layer, "
        "rows "
        "being outputs and columns inputs; ID.cone, everything that one output depends on, with "
        "the "
        "path that makes it wait. lookahead is the histogram of all of them by layer.\n"
        "Masks are those of the pass in which nothing is masked. A dynamic mask is computed by the "
        "model and can be drawn of models with schedulers alone; others follow from the number of "
        "tokens and are drawn of any model, whose directory must be as complete as for score.\n"
        "Latencies are in tokens, those of `score --latency`: [CLS] and [SEP] are no outputs, and "
        "clipped ones, which depend on a row that would see beyond the end of the sentence, are "
        "counted apart. Unless --cone names one, the cone is of the output that has the largest "
        "latency of the unclipped, of the clipped where there are no others; of equals, the one in "
        "the middle.",
    .groups = sp_masks_groups,
    .values_bytes = sizeof(struct sp_masks_args),
    .max_operands = SIZE_MAX,
    .run = run_masks,
};
