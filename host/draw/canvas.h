/* canvas.h - a picture as a list of shapes, written as SVG or as PNG.
 *
 * Both forms come from the one list: a unit is a pixel of the PNG, x grows to the right and y down,
 * coordinates are the corners of pixels.  Text is monospaced, so that its width is known without any
 * font: a character is SP_GLYPH_ADVANCE wide and SP_GLYPH_RISE high, times the text's size.
 *
 * Flow    init; shapes, in drawing order; sp_canvas_svg, sp_canvas_png; release.
 * Errors  the first failure of a shape is kept and ends all drawing: the writers return it. */
#ifndef SP_DRAW_CANVAS_H
#define SP_DRAW_CANVAS_H

#include "arena.h"
#include "buf.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
  SP_GLYPH_ADVANCE = 6,
  SP_GLYPH_RISE = 7,
  SP_CANVAS_SIDE = 1 << 15, /* of a picture, at most */
  SP_CANVAS_AREA = 1 << 26  /* pixels of a PNG, at most */
};

struct sp_colour {
  uint8_t r, g, b;
};

enum sp_anchor { SP_ANCHOR_START, SP_ANCHOR_MIDDLE, SP_ANCHOR_END };

struct sp_text_style {
  int size; /* 1: the smallest that can be read */
  enum sp_anchor anchor;
  struct sp_colour colour;
  bool bold;
  bool up; /* reads from the bottom upwards */
};

struct sp_shape;

struct sp_canvas {
  int width, height;
  struct sp_shape *shapes; /* (n) */
  size_t n, room;
  struct sp_arena texts;
  enum sp_status status;
  struct sp_error *err;
};

/* A white picture. SP_EUSAGE, kept as of a shape, when it has no pixel or is beyond the limits. */
void sp_canvas_init(struct sp_canvas *canvas, int width, int height, struct sp_error *err);
void sp_canvas_release(struct sp_canvas *canvas);

/* `kind` says what a shape is, one word of ours, as its class in the SVG; NULL: none.  It must live as
 * long as the canvas. */
void sp_canvas_rect(struct sp_canvas *canvas, int x, int y, int width, int height,
                    struct sp_colour colour, const char *kind);
/* With round ends; from a point to itself it is a disc. */
void sp_canvas_line(struct sp_canvas *canvas, int x1, int y1, int x2, int y2, int width,
                    struct sp_colour colour, const char *kind);
/* (x, y) is the anchor on the baseline. The text, UTF-8, is copied; what is not printable ASCII is a
 * box in the PNG, and what is not UTF-8 U+FFFD in the SVG. */
void sp_canvas_text(struct sp_canvas *canvas, int x, int y, const struct sp_text_style *style,
                    struct sp_text text);
/* The same of our own words. */
void sp_canvas_words(struct sp_canvas *canvas, int x, int y, const struct sp_text_style *style,
                     const char *format, ...) SP_PRINTF(5, 6);

/* Code points of a text, each one character wide. */
size_t sp_text_points(struct sp_text text);
/* At most `most` >= 3 of them: the end of a longer text becomes "..". */
struct sp_text sp_text_shorten(struct sp_text text, size_t most, struct sp_arena *arena);

/* Appends the picture as one SVG document; `title` is for readers who do not see it. */
SP_MUST_CHECK enum sp_status sp_canvas_svg(const struct sp_canvas *canvas, struct sp_text title,
                                           struct sp_buf *out, struct sp_error *err);
/* Appends the picture as one PNG file of 8-bit RGB, lines smoothed. */
SP_MUST_CHECK enum sp_status sp_canvas_png(const struct sp_canvas *canvas, struct sp_buf *out,
                                           struct sp_error *err);

#ifdef __cplusplus
}
#endif
#endif
