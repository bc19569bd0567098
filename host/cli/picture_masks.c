/* picture_masks.c - adjacency pictures: a panel a layer, a square a cell. */
#include <stdio.h>

#include "checked.h"
#include "picture_parts.h"

enum {
  page_width = 3600,  /* of all panels of a row together */
  panel_width = 1100, /* of one panel */
  gap = 36,
  caption = 30 /* height of a panel's name */
};

enum cell { ABSENT, PAST, AHEAD, SELF, n_cells };

static const struct {
  const char *kind;
  struct sp_colour colour;
} cells[n_cells] = {[ABSENT] = {"absent", SP_COLOUR_ABSENT},
                    [PAST] = {"past", SP_COLOUR_PAST},
                    [AHEAD] = {"ahead", SP_COLOUR_AHEAD},
                    [SELF] = {"self", SP_COLOUR_SELF}};

/* How large everything is. */
struct layout {
  size_t columns, rows; /* of panels */
  size_t cells;         /* of a panel, each way */
  size_t merge;         /* positions of a square, each way */
  int cell;             /* pixels */
  int size;             /* of labels; 0: numbers instead */
  int room;             /* for labels */
};

static size_t count_layers(const struct sp_masks_view *view, const bool *wanted) {
  size_t n = 0;
  for (size_t l = 0; l < view->graph->layers; l++) {
    n += wanted[l];
  }
  return n;
}

/* Somewhat wider than high. */
static void arrange(struct layout *layout, size_t panels) {
  for (layout->rows = 1; (layout->rows + 1) * (layout->rows + 1) * 6 <= panels * 5;) {
    layout->rows++;
  }
  layout->columns = (panels + layout->rows - 1) / layout->rows;
}

static struct layout make_layout(const struct sp_masks_view *view, size_t panels) {
  struct layout out = {.merge = 1};
  arrange(&out, panels);
  int width = (int)sp_min_size(panel_width, page_width / out.columns) - gap;
  int points = sp_picture_label_points(view), len = (int)view->graph->len;
  for (out.size = 2; out.size > 0; out.size--) {
    out.cell = 10 * out.size;
    out.room = points * SP_GLYPH_ADVANCE * out.size + 8;
    if (out.room + len * out.cell <= width) {
      out.cells = (size_t)len;
      return out;
    }
  }
  out.room = 5 * SP_GLYPH_ADVANCE * 2 + 8;
  width = width > out.room + 16 ? width - out.room : 16;
  out.merge = (size_t)((len + width - 1) / width);
  out.cells = (view->graph->len + out.merge - 1) / out.merge;
  out.cell = (int)sp_min_size((size_t)width / out.cells, 9);
  return out;
}

static enum cell look(const struct sp_mask_graph *graph, size_t layer, size_t i, size_t j) {
  if (!sp_mask_graph_sees(graph, layer, i, j)) {
    return ABSENT;
  }
  return j == i ? SELF : j > i ? AHEAD : PAST;
}

/* Of a square of several positions the most telling one. */
static enum cell look_at_square(const struct sp_mask_graph *graph, size_t merge, size_t layer,
                                size_t row, size_t column) {
  size_t i_end = sp_min_size((row + 1) * merge, graph->len);
  size_t j_end = sp_min_size((column + 1) * merge, graph->len);
  enum cell most = ABSENT;
  for (size_t i = row * merge; i < i_end; i++) {
    for (size_t j = column * merge; j < j_end; j++) {
      enum cell cell = look(graph, layer, i, j);
      most = cell > most ? cell : most;
    }
  }
  return most;
}

/* Runs of equal squares, each one shape. */
static void draw_row(struct sp_canvas *canvas, const struct sp_masks_view *view,
                     const struct layout *layout, size_t layer, size_t row, int x, int y) {
  size_t from = 0;
  enum cell kind = look_at_square(view->graph, layout->merge, layer, row, 0);
  for (size_t column = 1; column <= layout->cells; column++) {
    enum cell next = column == layout->cells
                         ? n_cells
                         : look_at_square(view->graph, layout->merge, layer, row, column);
    if (next != kind) {
      sp_canvas_rect(canvas, x + (int)from * layout->cell, y + (int)row * layout->cell,
                     (int)(column - from) * layout->cell, layout->cell, cells[kind].colour,
                     cells[kind].kind);
      from = column;
      kind = next;
    }
  }
}

static void draw_grid(struct sp_canvas *canvas, const struct layout *layout, int x, int y) {
  int side = (int)layout->cells * layout->cell;
  size_t step = layout->cell >= 6 ? 1 : layout->cells; /* too small: the frame alone */
  for (size_t k = 0; k <= layout->cells; k += step) {
    int at = (int)k * layout->cell;
    sp_canvas_rect(canvas, x, y + at, side + 1, 1, SP_COLOUR_LINE, NULL);
    sp_canvas_rect(canvas, x + at, y, 1, side + 1, SP_COLOUR_LINE, NULL);
  }
}

static void draw_labels(struct sp_canvas *canvas, const struct sp_masks_view *view,
                        const struct layout *layout, int x, int y) {
  struct sp_text_style left = sp_picture_style(layout->size == 1 ? 1 : 2, SP_ANCHOR_END);
  struct sp_text_style top = sp_picture_style(left.size, SP_ANCHOR_START);
  int side = (int)layout->cells * layout->cell;
  size_t step = layout->size ? 1 : sp_picture_step(view->graph->len, side, 50);
  top.up = true;
  for (size_t i = 0; i < view->graph->len; i += step) {
    char number[24];
    int len = snprintf(number, sizeof number, "%zu", i);
    struct sp_text label = {number, (size_t)len};
    if (layout->size) {
      label = sp_text_shorten(view->pieces[i], SP_PIECE_POINTS, &canvas->texts);
    }
    int middle = (int)(i / layout->merge) * layout->cell + layout->cell / 2;
    sp_canvas_text(canvas, x - 5, sp_picture_baseline(y + middle, left.size), &left, label);
    sp_canvas_text(canvas, sp_picture_baseline(x + middle, top.size), y - 5, &top, label);
  }
}

static void draw_panel(struct sp_canvas *canvas, const struct sp_masks_view *view,
                       const struct layout *layout, size_t layer, size_t place) {
  int side = layout->room + (int)layout->cells * layout->cell;
  int x = SP_PICTURE_MARGIN + (int)(place % layout->columns) * (side + gap);
  int y = SP_PICTURE_HEAD + (int)(place / layout->columns) * (side + caption + gap);
  struct sp_text_style name = sp_picture_style(2, SP_ANCHOR_START);
  name.bold = true;
  sp_canvas_words(canvas, x + layout->room, y + caption - 10, &name, "layer %zu", layer);
  x += layout->room;
  y += layout->room + caption;
  for (size_t row = 0; row < layout->cells; row++) {
    draw_row(canvas, view, layout, layer, row, x, y);
  }
  draw_grid(canvas, layout, x, y);
  draw_labels(canvas, view, layout, x, y);
}

static void describe(const struct sp_masks_view *view, const struct layout *layout, char *out,
                     size_t room) {
  char note[96] = "";
  if (layout->merge > 1) {
    snprintf(note, sizeof note, "; a square is %zu x %zu positions, which the axes count",
             layout->merge, layout->merge);
  } else if (layout->size == 0) {
    snprintf(note, sizeof note, "; squares too small for tokens, axes count positions");
  }
  snprintf(out, room, "%zu positions; rows: outputs of a layer, columns: its inputs%s",
           view->graph->len, note);
}

void sp_picture_masks(const struct sp_masks_view *view, const bool *wanted,
                      struct sp_canvas *canvas, struct sp_error *err) {
  static const struct sp_legend legend[] = {{SP_COLOUR_SELF, "itself"},
                                            {SP_COLOUR_PAST, "past"},
                                            {SP_COLOUR_AHEAD, "lookahead"},
                                            {SP_COLOUR_ABSENT, "not seen"}};
  char facts[256];
  struct layout layout = make_layout(view, count_layers(view, wanted));
  int side = layout.room + (int)layout.cells * layout.cell;
  int width = (int)layout.columns * (side + gap) - gap;
  sp_canvas_init(
      canvas, 2 * SP_PICTURE_MARGIN + (width < SP_PICTURE_LEAST ? SP_PICTURE_LEAST : width) + 1,
      SP_PICTURE_HEAD + (int)layout.rows * (side + caption + gap) - gap + SP_PICTURE_MARGIN, err);
  describe(view, &layout, facts, sizeof facts);
  sp_picture_head(canvas, &view->picture, facts, legend, sizeof legend / sizeof *legend);
  for (size_t l = 0, place = 0; l < view->graph->layers; l++) {
    if (wanted[l]) {
      draw_panel(canvas, view, &layout, l, place++);
    }
  }
}
