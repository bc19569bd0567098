/* shapes.h - what a canvas holds; private to host/draw. */
#ifndef SP_DRAW_SHAPES_H
#define SP_DRAW_SHAPES_H

#include "canvas.h"

#ifdef __cplusplus
extern "C" {
#endif

enum sp_shape_type { SP_SHAPE_RECT, SP_SHAPE_LINE, SP_SHAPE_TEXT };

struct sp_shape {
  enum sp_shape_type type;
  struct sp_colour colour;
  const char *kind; /* NULL: none */
  int x, y;
  union {
    struct {
      int width, height;
    } rect;
    struct {
      int x2, y2, width;
    } line;
    struct {
      struct sp_text text;
      struct sp_text_style style;
    } text;
  } of;
};

/* (height, width, 3) bytes, the picture in pixels; NULL when out of memory. Free it. */
uint8_t *sp_canvas_raster(const struct sp_canvas *canvas);

#ifdef __cplusplus
}
#endif
#endif
