#include "canvas.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checked.h"
#include "shapes.h"
#include "utf8.h"

void sp_canvas_init(struct sp_canvas *canvas, int width, int height, struct sp_error *err) {
  *canvas = (struct sp_canvas){.width = width, .height = height, .err = err};
  if (width < 1 || height < 1 || width > SP_CANVAS_SIDE || height > SP_CANVAS_SIDE ||
      (int64_t)width * height > SP_CANVAS_AREA) {
    canvas->status =
        sp_fail(err, SP_EUSAGE, "a picture of %d x %d pixels cannot be drawn", width, height);
  }
}

void sp_canvas_release(struct sp_canvas *canvas) {
  free(canvas->shapes);
  sp_arena_release(&canvas->texts);
  *canvas = (struct sp_canvas){0};
}

static void add(struct sp_canvas *canvas, struct sp_shape shape) {
  if (canvas->status != SP_OK) {
    return;
  }
  if (canvas->n == canvas->room) {
    size_t room = sp_max_size(256, canvas->room * 2);
    size_t bytes = sp_mul_sat(room, sizeof *canvas->shapes);
    struct sp_shape *grown = realloc(canvas->shapes, bytes);
    if (!grown) {
      canvas->status = sp_fail_memory(canvas->err, bytes);
      return;
    }
    canvas->shapes = grown;
    canvas->room = room;
  }
  canvas->shapes[canvas->n++] = shape;
}

void sp_canvas_rect(struct sp_canvas *canvas, int x, int y, int width, int height,
                    struct sp_colour colour, const char *kind) {
  struct sp_shape shape = {SP_SHAPE_RECT, colour, kind, x, y, {.rect = {width, height}}};
  if (width > 0 && height > 0) {
    add(canvas, shape);
  }
}

void sp_canvas_line(struct sp_canvas *canvas, int x1, int y1, int x2, int y2, int width,
                    struct sp_colour colour, const char *kind) {
  struct sp_shape shape = {SP_SHAPE_LINE, colour, kind, x1, y1, {.line = {x2, y2, width}}};
  add(canvas, shape);
}

void sp_canvas_text(struct sp_canvas *canvas, int x, int y, const struct sp_text_style *style,
                    struct sp_text text) {
  char *copy = sp_arena_copy(&canvas->texts, text.data, text.len);
  if (!copy) {
    if (canvas->status == SP_OK) {
      canvas->status = sp_fail_memory(canvas->err, text.len);
    }
    return;
  }
  struct sp_shape shape = {
      SP_SHAPE_TEXT, style->colour, NULL, x, y, {.text = {{copy, text.len}, *style}}};
  add(canvas, shape);
}

void sp_canvas_words(struct sp_canvas *canvas, int x, int y, const struct sp_text_style *style,
                     const char *format, ...) {
  char words[512];
  va_list arguments;
  va_start(arguments, format);
  int wide = vsnprintf(words, sizeof words, format, arguments);
  va_end(arguments);
  size_t len = wide < 0 ? 0 : sp_min_size((size_t)wide, sizeof words - 1);
  sp_canvas_text(canvas, x, y, style, (struct sp_text){words, len});
}

/* Bytes of the first `most` code points; *n of them there are. */
static size_t points_prefix(struct sp_text text, size_t most, size_t *n) {
  size_t at = 0;
  uint32_t code;
  for (*n = 0; at < text.len && *n < most; ++*n) {
    at += sp_utf8_decode((const unsigned char *)text.data + at, text.len - at, &code);
  }
  return at;
}

size_t sp_text_points(struct sp_text text) {
  size_t n;
  points_prefix(text, SIZE_MAX, &n);
  return n;
}

struct sp_text sp_text_shorten(struct sp_text text, size_t most, struct sp_arena *arena) {
  size_t n;
  if (points_prefix(text, most, &n) == text.len) {
    return text;
  }
  size_t kept = points_prefix(text, most - 2, &n);
  char *cut = sp_arena_alloc(arena, kept + 2, 1);
  if (!cut) {
    return (struct sp_text){text.data, kept};
  }
  memcpy(cut, text.data, kept);
  memcpy(cut + kept, "..", 2);
  return (struct sp_text){cut, kept + 2};
}
