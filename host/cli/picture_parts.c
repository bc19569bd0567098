#include "picture_parts.h"

#include <string.h>

#include "checked.h"

struct sp_text_style sp_picture_style(int size, enum sp_anchor anchor) {
  return (struct sp_text_style){.size = size, .anchor = anchor, .colour = SP_COLOUR_INK};
}

/* Cut to the picture's width. */
static void put_line(struct sp_canvas *canvas, int y, const struct sp_text_style *style,
                     struct sp_text text) {
  int room = canvas->width - 2 * SP_PICTURE_MARGIN;
  size_t most = (size_t)(room / (SP_GLYPH_ADVANCE * style->size));
  sp_canvas_text(canvas, SP_PICTURE_MARGIN, y, style,
                 sp_text_shorten(text, sp_max_size(most, 3), &canvas->texts));
}

void sp_picture_head(struct sp_canvas *canvas, const struct sp_picture *picture, const char *facts,
                     const struct sp_legend *legend, size_t n) {
  enum { line = 22, square = 14 };
  struct sp_text_style style = sp_picture_style(2, SP_ANCHOR_START);
  int y = SP_PICTURE_MARGIN + SP_GLYPH_RISE * style.size, x = SP_PICTURE_MARGIN;
  style.bold = true;
  put_line(canvas, y, &style, picture->heading);
  style.bold = false;
  put_line(canvas, y + line, &style, picture->model);
  style.colour = SP_COLOUR_SOFT;
  put_line(canvas, y + 2 * line, &style, (struct sp_text){facts, strlen(facts)});
  y += 3 * line;
  for (size_t i = 0; i < n; i++) {
    sp_canvas_rect(canvas, x, y - square, square, square, SP_COLOUR_LINE, NULL);
    sp_canvas_rect(canvas, x + 1, y - square + 1, square - 2, square - 2, legend[i].colour, NULL);
    sp_canvas_words(canvas, x + square + 8, y, &style, "%s", legend[i].words);
    x += square + 32 + (int)strlen(legend[i].words) * SP_GLYPH_ADVANCE * style.size;
  }
}

size_t sp_picture_step(size_t positions, int pixels, int least) {
  static const size_t factors[] = {2, 5, 10};
  size_t power = 1, step = 1;
  for (size_t i = 0; step < positions && step * (size_t)pixels < positions * (size_t)least; i++) {
    step = power * factors[i % 3];
    power *= i % 3 == 2 ? 10 : 1;
  }
  return step;
}

int sp_picture_label_points(const struct sp_masks_view *view) {
  size_t most = 1;
  for (size_t i = 0; i < view->graph->len; i++) {
    most = sp_max_size(most, sp_text_points(view->pieces[i]));
  }
  return (int)sp_min_size(most, SP_PIECE_POINTS);
}
