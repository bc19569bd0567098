/* raster.c - a canvas as pixels. Rectangles and letters are whole pixels; lines are smoothed by how
 * far a pixel's middle is from them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "font.h"
#include "shapes.h"
#include "utf8.h"

struct raster {
  int width, height;
  uint8_t *pixels; /* (height, width, 3) */
};

static int clamp(int value, int lo, int hi) {
  return value < lo ? lo : value > hi ? hi : value;
}

static uint8_t *pixel_at(const struct raster *to, int x, int y) {
  return to->pixels + ((size_t)y * (size_t)to->width + (size_t)x) * 3;
}

static void fill(const struct raster *to, int x, int y, int width, int height,
                 struct sp_colour colour) {
  int left = clamp(x, 0, to->width), right = clamp(x + width, 0, to->width);
  int top = clamp(y, 0, to->height), bottom = clamp(y + height, 0, to->height);
  for (int at = top; at < bottom; at++) {
    for (int i = left; i < right; i++) {
      memcpy(pixel_at(to, i, at), &colour, 3);
    }
  }
}

static void blend(uint8_t *pixel, struct sp_colour colour, double share) {
  const uint8_t parts[] = {colour.r, colour.g, colour.b};
  for (int i = 0; i < 3; i++) {
    pixel[i] = (uint8_t)lround(pixel[i] + share * (parts[i] - pixel[i]));
  }
}

/* Distance of (x, y) from the segment that starts at (x1, y1) and goes (dx, dy) on. */
static double distance(double x, double y, double x1, double y1, double dx, double dy) {
  double square = dx * dx + dy * dy;
  double t = square > 0 ? ((x - x1) * dx + (y - y1) * dy) / square : 0;
  t = fmin(fmax(t, 0), 1);
  return hypot(x - x1 - t * dx, y - y1 - t * dy);
}

/* Pixels of a row that a line of that reach can touch: *left up to before *right. */
static void line_span(const struct raster *to, const struct sp_shape *shape, int y, double reach,
                      int *left, int *right) {
  double x1 = shape->x, x2 = shape->of.line.x2, dx = x2 - x1, dy = shape->of.line.y2 - shape->y;
  double lo = fmin(x1, x2) - reach, hi = fmax(x1, x2) + reach;
  if (dy != 0) { /* the strip along the line, where the row's middle crosses it */
    double middle = x1 + (y + 0.5 - shape->y) * dx / dy, half = reach * hypot(dx, dy) / fabs(dy);
    lo = fmax(lo, middle - half);
    hi = fmin(hi, middle + half);
  }
  *left = clamp((int)floor(fmax(lo, -1)), 0, to->width);
  *right = clamp((int)ceil(fmin(hi, to->width)) + 1, 0, to->width);
}

static void draw_line(const struct raster *to, const struct sp_shape *shape) {
  double reach = shape->of.line.width / 2.0 + 0.5;
  int first = shape->y < shape->of.line.y2 ? shape->y : shape->of.line.y2;
  int last = shape->y + shape->of.line.y2 - first;
  int top = clamp(first - (int)ceil(reach), 0, to->height);
  int bottom = clamp(last + (int)ceil(reach), 0, to->height);
  for (int y = top; y < bottom; y++) {
    int left, right;
    line_span(to, shape, y, reach, &left, &right);
    for (int x = left; x < right; x++) {
      double far = distance(x + 0.5, y + 0.5, shape->x, shape->y, shape->of.line.x2 - shape->x,
                            shape->of.line.y2 - shape->y);
      double share = fmin(reach - far, 1);
      if (share > 0) {
        blend(pixel_at(to, x, y), shape->colour, share);
      }
    }
  }
}

/* One dot of a letter; `along` counts dots from the text's start, `down` from its baseline. */
static void draw_dot(const struct raster *to, const struct sp_shape *shape, int along, int down) {
  const struct sp_text_style *style = &shape->of.text.style;
  int size = style->size, wide = size + (style->bold ? (size + 1) / 2 : 0);
  if (style->up) {
    fill(to, shape->x + down * size, shape->y - along * size - wide, size, wide, style->colour);
  } else {
    fill(to, shape->x + along * size, shape->y + down * size, wide, size, style->colour);
  }
}

static void draw_glyph(const struct raster *to, const struct sp_shape *shape, uint32_t code,
                       int along) {
  const uint8_t *rows = sp_font_glyph(code);
  for (int y = 0; y < SP_FONT_ROWS; y++) {
    for (int x = 0; x < SP_FONT_COLUMNS; x++) {
      if (rows[y] >> (SP_FONT_COLUMNS - 1 - x) & 1) {
        draw_dot(to, shape, along + x, y - SP_GLYPH_RISE);
      }
    }
  }
}

static void draw_text(const struct raster *to, const struct sp_shape *shape) {
  struct sp_text text = shape->of.text.text;
  int points = (int)sp_text_points(text);
  int along = -(int)shape->of.text.style.anchor * points * SP_GLYPH_ADVANCE / 2;
  for (size_t at = 0; at < text.len; along += SP_GLYPH_ADVANCE) {
    uint32_t code;
    at += sp_utf8_decode((const unsigned char *)text.data + at, text.len - at, &code);
    draw_glyph(to, shape, code, along);
  }
}

static void draw_shape(const struct raster *to, const struct sp_shape *shape) {
  switch (shape->type) {
    case SP_SHAPE_RECT:
      fill(to, shape->x, shape->y, shape->of.rect.width, shape->of.rect.height, shape->colour);
      break;
    case SP_SHAPE_LINE:
      draw_line(to, shape);
      break;
    case SP_SHAPE_TEXT:
      draw_text(to, shape);
      break;
  }
}

uint8_t *sp_canvas_raster(const struct sp_canvas *canvas) {
  size_t bytes = (size_t)canvas->width * (size_t)canvas->height * 3;
  struct raster to = {canvas->width, canvas->height, malloc(bytes)};
  if (!to.pixels) {
    return NULL;
  }
  memset(to.pixels, 0xff, bytes);
  for (size_t i = 0; i < canvas->n; i++) {
    draw_shape(&to, &canvas->shapes[i]);
  }
  return to.pixels;
}
