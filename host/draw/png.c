/* png.c - a canvas as a PNG file, by zlib alone: 8-bit RGB, one IDAT chunk.
 *
 * Source  PNG (ISO/IEC 15948): 5.2 signature, 5.3 chunks, 9.2 filters, 11.2 IHDR, IDAT, IEND. */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "shapes.h"

static void put_u32(uint8_t *to, uint32_t value) {
  for (int i = 0; i < 4; i++) {
    to[i] = (uint8_t)(value >> (24 - 8 * i));
  }
}

/* A chunk whose type and data are the bytes of `out` from `from` + 4 on: its length goes before them,
 * its checksum behind. */
static enum sp_status close_chunk(struct sp_buf *out, size_t from, struct sp_error *err) {
  uint8_t crc[4];
  size_t len = out->len - from - 8;
  if (len > INT32_MAX) {
    return sp_fail(err, SP_EUSAGE, "the picture is too large for a PNG");
  }
  put_u32((uint8_t *)out->data + from, (uint32_t)len);
  put_u32(crc, (uint32_t)crc32(0, (const Bytef *)out->data + from + 4, (uInt)len + 4));
  return sp_buf_append(out, crc, sizeof crc, err);
}

static enum sp_status open_chunk(struct sp_buf *out, const char *type, struct sp_error *err) {
  SP_TRY(sp_buf_append(out, "\0\0\0", 4, err));
  return sp_buf_append(out, type, 4, err);
}

static enum sp_status put_header(const struct sp_canvas *canvas, struct sp_buf *out,
                                 struct sp_error *err) {
  static const uint8_t signature[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
  uint8_t header[13] = {[8] = 8, [9] = 2}; /* bits a sample, RGB; defaults of the rest */
  put_u32(header, (uint32_t)canvas->width);
  put_u32(header + 4, (uint32_t)canvas->height);
  SP_TRY(sp_buf_append(out, signature, sizeof signature, err));
  size_t from = out->len;
  SP_TRY(open_chunk(out, "IHDR", err));
  SP_TRY(sp_buf_append(out, header, sizeof header, err));
  return close_chunk(out, from, err);
}

/* Feeds `len` bytes, and at the end what the compressor still holds. */
static enum sp_status pump(z_stream *z, uint8_t *data, size_t len, bool last, struct sp_buf *out,
                           struct sp_error *err) {
  enum { room = 1 << 16 };
  z->next_in = data;
  z->avail_in = (uInt)len;
  do {
    SP_TRY(sp_buf_reserve(out, room, err));
    z->next_out = (Bytef *)out->data + out->len;
    z->avail_out = room;
    deflate(z, last ? Z_FINISH : Z_NO_FLUSH); /* cannot fail: the stream is whole, and has room */
    out->len += room - z->avail_out;
  } while (z->avail_out == 0);
  return SP_OK;
}

/* Every row as its difference from the one above: rows of a drawing are often equal. */
static enum sp_status put_rows(const struct sp_canvas *canvas, const uint8_t *pixels, z_stream *z,
                               uint8_t *line, struct sp_buf *out, struct sp_error *err) {
  enum { filter_up = 2 };
  size_t width = (size_t)canvas->width * 3;
  line[0] = filter_up;
  for (int y = 0; y < canvas->height; y++) {
    const uint8_t *row = pixels + (size_t)y * width, *above = y > 0 ? row - width : NULL;
    for (size_t x = 0; x < width; x++) {
      line[1 + x] = (uint8_t)(row[x] - (above ? above[x] : 0));
    }
    SP_TRY(pump(z, line, width + 1, y + 1 == canvas->height, out, err));
  }
  return SP_OK;
}

static enum sp_status put_data(const struct sp_canvas *canvas, const uint8_t *pixels,
                               struct sp_buf *out, struct sp_error *err) {
  size_t from = out->len, width = (size_t)canvas->width * 3;
  z_stream z = {0};
  SP_TRY(open_chunk(out, "IDAT", err));
  uint8_t *line = malloc(width + 1);
  if (!line || deflateInit(&z, Z_DEFAULT_COMPRESSION) != Z_OK) {
    free(line);
    return sp_fail_memory(err, width + 1);
  }
  enum sp_status status = put_rows(canvas, pixels, &z, line, out, err);
  deflateEnd(&z);
  free(line);
  return status == SP_OK ? close_chunk(out, from, err) : status;
}

enum sp_status sp_canvas_png(const struct sp_canvas *canvas, struct sp_buf *out,
                             struct sp_error *err) {
  SP_TRY(canvas->status);
  uint8_t *pixels = sp_canvas_raster(canvas);
  if (!pixels) {
    return sp_fail_memory(err, (size_t)canvas->width * (size_t)canvas->height * 3);
  }
  enum sp_status status = put_header(canvas, out, err);
  if (status == SP_OK) {
    status = put_data(canvas, pixels, out, err);
  }
  free(pixels);
  SP_TRY(status);
  size_t from = out->len;
  SP_TRY(open_chunk(out, "IEND", err));
  return close_chunk(out, from, err);
}
