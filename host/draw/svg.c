/* svg.c - a canvas as an SVG document. */
#include "markup.h"
#include "shapes.h"
#include "utf8.h"

/* Of most monospaced fonts an advance is 0.6 of the size. */
enum { font_size = SP_GLYPH_ADVANCE * 10 / 6 };

struct colour_text {
  char text[8];
};

static struct colour_text hex(struct sp_colour colour) {
  static const char digits[] = "0123456789abcdef";
  const uint8_t parts[] = {colour.r, colour.g, colour.b};
  struct colour_text out = {"#000000"};
  for (int i = 0; i < 3; i++) {
    out.text[1 + 2 * i] = digits[parts[i] >> 4];
    out.text[2 + 2 * i] = digits[parts[i] & 15];
  }
  return out;
}

static void put_kind(struct sp_markup *to, const char *kind) {
  if (kind) {
    sp_markup_put(to, " class=\"%s\"", kind);
  }
}

static void put_rect(struct sp_markup *to, const struct sp_shape *shape) {
  sp_markup_put(to, "<rect");
  put_kind(to, shape->kind);
  sp_markup_put(to, " x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"%s\"/>\n", shape->x,
                shape->y, shape->of.rect.width, shape->of.rect.height, hex(shape->colour).text);
}

static void put_line(struct sp_markup *to, const struct sp_shape *shape) {
  sp_markup_put(to, "<line");
  put_kind(to, shape->kind);
  sp_markup_put(to,
                " x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\" stroke=\"%s\" stroke-width=\"%d\"/>\n",
                shape->x, shape->y, shape->of.line.x2, shape->of.line.y2, hex(shape->colour).text,
                shape->of.line.width);
}

/* U+FFFE and U+FFFF are UTF-8, but no XML has them. */
static void put_escaped(struct sp_markup *to, struct sp_text text) {
  for (size_t at = 0, wide; at < text.len; at += wide) {
    uint32_t code;
    wide = sp_utf8_decode((const unsigned char *)text.data + at, text.len - at, &code);
    if (code == 0xfffe || code == 0xffff) {
      sp_markup_string(to, "\xef\xbf\xbd");
    } else {
      sp_markup_text(to, (struct sp_text){text.data + at, wide});
    }
  }
}

static void put_text(struct sp_markup *to, const struct sp_shape *shape) {
  static const char *const anchors[] = {"start", "middle", "end"};
  const struct sp_text_style *style = &shape->of.text.style;
  sp_markup_put(to, "<text x=\"%d\" y=\"%d\" font-size=\"%d\" fill=\"%s\"", shape->x, shape->y,
                font_size * style->size, hex(shape->colour).text);
  if (style->anchor != SP_ANCHOR_START) {
    sp_markup_put(to, " text-anchor=\"%s\"", anchors[style->anchor]);
  }
  if (style->bold) {
    sp_markup_put(to, " font-weight=\"bold\"");
  }
  if (style->up) {
    sp_markup_put(to, " transform=\"rotate(-90 %d %d)\"", shape->x, shape->y);
  }
  sp_markup_put(to, ">");
  put_escaped(to, shape->of.text.text);
  sp_markup_put(to, "</text>\n");
}

static void put_shape(struct sp_markup *to, const struct sp_shape *shape) {
  switch (shape->type) {
    case SP_SHAPE_RECT:
      put_rect(to, shape);
      break;
    case SP_SHAPE_LINE:
      put_line(to, shape);
      break;
    case SP_SHAPE_TEXT:
      put_text(to, shape);
      break;
  }
}

enum sp_status sp_canvas_svg(const struct sp_canvas *canvas, struct sp_text title,
                             struct sp_buf *out, struct sp_error *err) {
  struct sp_markup to = {.out = out, .err = err};
  SP_TRY(canvas->status);
  sp_markup_put(&to,
                "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
                "viewBox=\"0 0 %d %d\" font-family=\"DejaVu Sans Mono,Menlo,Consolas,monospace\" "
                "stroke-linecap=\"round\" xml:space=\"preserve\" role=\"img\">\n<title>",
                canvas->width, canvas->height, canvas->width, canvas->height);
  put_escaped(&to, title);
  sp_markup_put(&to, "</title>\n<rect width=\"%d\" height=\"%d\" fill=\"#ffffff\"/>\n",
                canvas->width, canvas->height);
  for (size_t i = 0; i < canvas->n; i++) {
    put_shape(&to, &canvas->shapes[i]);
  }
  sp_markup_put(&to, "</svg>\n");
  return to.status;
}
