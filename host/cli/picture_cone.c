/* picture_cone.c - the computation graph of one sequence, and in it what one output depends on. */
#include <stdio.h>
#include <stdlib.h>

#include "checked.h"
#include "picture_parts.h"

enum {
  widest = 1800, /* span of all columns together */
  widest_column = 64,
  highest = 1200, /* of all rows together, as long as they have `least_row` */
  highest_row = 96,
  least_row = 12,
  names = 100, /* room for the names of rows */
  most_edges = 6000,
  most_nodes = 20000
};

struct drawing {
  const struct sp_masks_view *view;
  struct sp_canvas *canvas;
  struct sp_mask_cone cone;
  size_t position;
  size_t *path; /* (layers + 1) what makes the output wait; entries below path_end are not set */
  size_t path_end;
  bool crowded;   /* too many nodes: runs of them are lines, and no edge but the path is drawn */
  bool outermost; /* too many edges: of each node the nearest to either end */
  int span, column, row; /* pixels of all columns, of one, of one row */
  int top;
};

static int at_x(const struct drawing *d, size_t position) {
  int len = (int)d->view->graph->len;
  return SP_PICTURE_MARGIN + names + (2 * (int)position + 1) * d->span / (2 * len);
}

/* Inputs are at the bottom. */
static int at_y(const struct drawing *d, size_t level) {
  return d->top + ((int)d->view->graph->layers - (int)level) * d->row;
}

/* Edges of the cone, as far as it matters. */
static size_t count_edges(const struct drawing *d) {
  const struct sp_mask_graph *graph = d->view->graph;
  size_t n = 0;
  for (size_t l = 0; l < graph->layers && n <= most_edges; l++) {
    for (size_t i = 0; i < graph->len && n <= most_edges; i++) {
      const uint64_t *row = sp_mask_graph_row(graph, l, i);
      for (size_t w = 0; sp_mask_cone_has(&d->cone, l + 1, i) && w < graph->words; w++) {
        n += (size_t)__builtin_popcountll(row[w]);
      }
    }
  }
  return n;
}

static void draw_edge(const struct drawing *d, size_t layer, size_t i, size_t j) {
  bool ahead = j > i;
  sp_canvas_line(d->canvas, at_x(d, j), at_y(d, layer), at_x(d, i), at_y(d, layer + 1),
                 ahead ? 2 : 1, ahead ? SP_COLOUR_AHEAD : SP_COLOUR_PAST,
                 ahead ? "edge-ahead" : "edge-past");
}

/* Edges from row i of a layer to positions from `from` up to before `end`. */
static void draw_edges(const struct drawing *d, size_t layer, size_t i, size_t from, size_t end) {
  const struct sp_mask_graph *graph = d->view->graph;
  size_t first = end, last = end;
  for (size_t j = from; j < end; j++) {
    if (sp_mask_graph_sees(graph, layer, i, j)) {
      first = first == end ? j : first;
      last = j;
      if (!d->outermost) {
        draw_edge(d, layer, i, j);
      }
    }
  }
  if (d->outermost && first != end) {
    draw_edge(d, layer, i, from > i ? last : first);
  }
}

/* Edges into the past lie below those ahead, and the path above all. */
static void draw_cone_edges(const struct drawing *d) {
  const struct sp_mask_graph *graph = d->view->graph;
  for (int ahead = 0; ahead < 2 && !d->crowded; ahead++) {
    for (size_t l = 0; l < graph->layers; l++) {
      for (size_t i = 0; i < graph->len; i++) {
        if (sp_mask_cone_has(&d->cone, l + 1, i)) {
          draw_edges(d, l, i, ahead ? i + 1 : 0, ahead ? graph->len : i + 1);
        }
      }
    }
  }
  for (size_t l = graph->layers; l > d->path_end; l--) {
    sp_canvas_line(d->canvas, at_x(d, d->path[l - 1]), at_y(d, l - 1), at_x(d, d->path[l]),
                   at_y(d, l), 5, SP_COLOUR_INK, "path");
  }
}

static void draw_level(const struct drawing *d, size_t level, int size) {
  for (size_t j = 0; j < d->view->graph->len; j++) {
    bool in = sp_mask_cone_has(&d->cone, level, j);
    int x = at_x(d, j), y = at_y(d, level);
    sp_canvas_line(d->canvas, x, y, x, y, in ? size : (size + 1) / 2,
                   in ? SP_COLOUR_SELF : SP_COLOUR_LINE, in ? "node" : "node-other");
  }
}

static void draw_crowded_level(const struct drawing *d, size_t level, int size) {
  size_t len = d->view->graph->len;
  int y = at_y(d, level);
  sp_canvas_line(d->canvas, at_x(d, 0), y, at_x(d, len - 1), y, 1, SP_COLOUR_LINE, "node-other");
  for (size_t j = 0; j < len; j++) {
    if (sp_mask_cone_has(&d->cone, level, j)) {
      size_t from = j;
      for (; j + 1 < len && sp_mask_cone_has(&d->cone, level, j + 1); j++) {
      }
      sp_canvas_line(d->canvas, at_x(d, from), y, at_x(d, j), y, size, SP_COLOUR_SELF, "node");
    }
  }
}

/* The ends of the path stand out. */
static void draw_path_node(const struct drawing *d, size_t level, int size) {
  size_t layers = d->view->graph->layers;
  int x = at_x(d, d->path[level]), y = at_y(d, level);
  bool end = level == d->path_end || level == layers;
  sp_canvas_line(d->canvas, x, y, x, y, end ? size + 8 : size + 2, SP_COLOUR_INK, NULL);
  if (end) {
    sp_canvas_line(d->canvas, x, y, x, y, size + 2,
                   level == layers ? SP_COLOUR_SELF : SP_COLOUR_AHEAD, NULL);
  }
}

static void draw_nodes(const struct drawing *d) {
  size_t layers = d->view->graph->layers;
  int size = (int)sp_max_size(2, sp_min_size(14, (size_t)d->column * 2 / 3));
  for (size_t level = 0; level <= layers; level++) {
    (d->crowded ? draw_crowded_level : draw_level)(d, level, size);
  }
  for (size_t level = d->path_end; level <= layers; level++) {
    draw_path_node(d, level, size);
  }
}

static void draw_names(const struct drawing *d) {
  const struct sp_mask_graph *graph = d->view->graph;
  struct sp_text_style style = sp_picture_style(d->row >= 20 ? 2 : 1, SP_ANCHOR_START);
  for (size_t level = 0; level <= graph->layers; level++) {
    int y = sp_picture_baseline(at_y(d, level), style.size);
    if (level == 0) {
      sp_canvas_words(d->canvas, SP_PICTURE_MARGIN, y, &style, "inputs");
    } else {
      sp_canvas_words(d->canvas, SP_PICTURE_MARGIN, y, &style, "layer %zu", level - 1);
    }
  }
}

/* From the output's column to that of the input it waits for. */
static void draw_latency(const struct drawing *d) {
  size_t layers = d->view->graph->layers;
  size_t wait = sp_latency_of(d->view->latency, layers, d->position);
  int from = at_x(d, d->position), to = at_x(d, d->position + wait), y = at_y(d, 0) + 24;
  sp_canvas_line(d->canvas, from, y - 6, from, y + 6, 3, SP_COLOUR_AHEAD, NULL);
  sp_canvas_line(d->canvas, to, y - 6, to, y + 6, 3, SP_COLOUR_AHEAD, NULL);
  sp_canvas_line(d->canvas, from, y, to, y, 3, SP_COLOUR_AHEAD, "latency");
}

/* Numbers of columns too narrow for labels have room again. */
static int label_size(const struct drawing *d) {
  return d->column >= 20 || d->column < 10 ? 2 : 1;
}

/* Tokens under their columns, or where they have no room numbers. */
static void draw_labels(const struct drawing *d) {
  size_t len = d->view->graph->len;
  size_t step = d->column >= 10 ? 1 : sp_picture_step(len, d->span, 50);
  int size = label_size(d), y = at_y(d, 0) + 40;
  struct sp_text_style style = sp_picture_style(size, SP_ANCHOR_END);
  style.up = true;
  for (size_t i = 0; i < len; i += step) {
    char number[24];
    int n = snprintf(number, sizeof number, "%zu", i);
    struct sp_text label = {number, (size_t)n};
    if (step == 1) {
      label = sp_text_shorten(d->view->pieces[i], SP_PIECE_POINTS, &d->canvas->texts);
    }
    style.bold = i == d->position;
    sp_canvas_text(d->canvas, sp_picture_baseline(at_x(d, i), size), y, &style, label);
  }
}

static void describe(const struct drawing *d, char *out, size_t room) {
  const struct sp_masks_view *view = d->view;
  size_t wait = sp_latency_of(view->latency, view->graph->layers, d->position);
  size_t on = d->position + wait;
  bool clipped = sp_latency_is_clipped(view->latency, view->graph->layers, d->position);
  const struct sp_text *from = &view->pieces[d->position], *to = &view->pieces[on];
  int at = snprintf(out, room, "output %zu '%.*s': latency %zu%s", d->position,
                    (int)sp_min_size(from->len, 40), from->data, wait, clipped ? " (clipped)" : "");
  if (wait > 0 && d->path_end == 0) {
    at += snprintf(out + at, room - (size_t)at, ", it waits for input %zu '%.*s'", on,
                   (int)sp_min_size(to->len, 40), to->data);
  } else if (wait > 0) {
    at += snprintf(out + at, room - (size_t)at, ", it waits for the end of the sentence");
  }
  if (d->crowded) {
    snprintf(out + at, room - (size_t)at, "; too many nodes for edges");
  } else if (d->outermost) {
    snprintf(out + at, room - (size_t)at, "; only the outermost edges of each node are drawn");
  }
}

static void draw(struct drawing *d, struct sp_error *err) {
  static const struct sp_legend legend[] = {{SP_COLOUR_SELF, "needed"},
                                            {SP_COLOUR_PAST, "past"},
                                            {SP_COLOUR_AHEAD, "lookahead"},
                                            {SP_COLOUR_INK, "what is waited for"},
                                            {SP_COLOUR_LINE, "not needed"}};
  const struct sp_mask_graph *graph = d->view->graph;
  char facts[256];
  int columns = (int)sp_min_size(graph->len, widest), layers = (int)graph->layers;
  d->span = columns * widest_column < widest ? columns * widest_column : widest;
  d->column = d->span / (int)graph->len;
  d->row = (int)sp_max_size(least_row, sp_min_size(highest_row, (size_t)(highest / layers)));
  d->top = SP_PICTURE_HEAD + 30;
  d->crowded = graph->len > most_nodes / (graph->layers + 1);
  d->outermost = !d->crowded && count_edges(d) > most_edges;
  int width = names + d->span;
  int labels =
      (d->column >= 10 ? sp_picture_label_points(d->view) : 5) * SP_GLYPH_ADVANCE * label_size(d);
  sp_canvas_init(d->canvas,
                 2 * SP_PICTURE_MARGIN + (width < SP_PICTURE_LEAST ? SP_PICTURE_LEAST : width),
                 at_y(d, 0) + 40 + labels + SP_PICTURE_MARGIN, err);
  describe(d, facts, sizeof facts);
  sp_picture_head(d->canvas, &d->view->picture, facts, legend, sizeof legend / sizeof *legend);
  draw_names(d);
  draw_cone_edges(d);
  draw_nodes(d);
  draw_latency(d);
  draw_labels(d);
}

enum sp_status sp_picture_cone(const struct sp_masks_view *view, size_t position,
                               struct sp_canvas *canvas, struct sp_error *err) {
  struct drawing d = {.view = view, .canvas = canvas, .position = position};
  *canvas = (struct sp_canvas){0};
  SP_TRY(sp_mask_cone_create(view->graph, position, &d.cone, err));
  d.path = calloc(view->graph->layers + 1, sizeof *d.path);
  if (!d.path) {
    sp_mask_cone_release(&d.cone);
    return sp_fail_memory(err, (view->graph->layers + 1) * sizeof *d.path);
  }
  d.path_end = sp_mask_cone_path(view->graph, view->latency, position, d.path);
  draw(&d, err);
  free(d.path);
  sp_mask_cone_release(&d.cone);
  return SP_OK;
}
