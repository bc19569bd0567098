#include "buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checked.h"

void sp_buf_release(struct sp_buf *buf) {
  free(buf->data);
  *buf = (struct sp_buf){.ceiling = buf->ceiling};
}

enum sp_status sp_buf_reserve(struct sp_buf *buf, size_t extra, struct sp_error *err) {
  size_t ceiling = buf->ceiling ? buf->ceiling : SP_BUF_CEILING;
  size_t need;
  if (!sp_add_size(buf->len, extra, &need) || need > ceiling) {
    return sp_fail(err, SP_EINPUT, "a record is larger than %zu bytes", ceiling);
  }
  if (need <= buf->capacity && buf->data) {
    return SP_OK;
  }
  size_t capacity = sp_max_size(sp_max_size(need, 256), sp_min_size(buf->capacity * 2, ceiling));
  char *data = realloc(buf->data, capacity + SP_BUF_PADDING);
  if (!data) {
    return sp_fail_memory(err, capacity);
  }
  memset(data + buf->capacity, 0, capacity - buf->capacity + SP_BUF_PADDING);
  buf->data = data;
  buf->capacity = capacity;
  return SP_OK;
}

enum sp_status sp_buf_append(struct sp_buf *buf, const void *data, size_t len,
                             struct sp_error *err) {
  SP_TRY(sp_buf_reserve(buf, len, err));
  if (len > 0) {
    memcpy(buf->data + buf->len, data, len);
  }
  buf->len += len;
  return SP_OK;
}

enum sp_status sp_buf_printf(struct sp_buf *buf, struct sp_error *err, const char *format, ...) {
  SP_TRY(sp_buf_reserve(buf, 128, err));
  for (;;) {
    size_t room = buf->capacity - buf->len + SP_BUF_PADDING;
    va_list args;
    va_start(args, format);
    int wide = vsnprintf(buf->data + buf->len, room, format, args);
    va_end(args);
    if (wide < 0) {
      return sp_fail(err, SP_EUSAGE, "cannot format '%s'", format);
    }
    if ((size_t)wide <= buf->capacity - buf->len) {
      buf->len += (size_t)wide;
      return SP_OK;
    }
    SP_TRY(sp_buf_reserve(buf, (size_t)wide, err));
  }
}

const char *sp_buf_cstr(struct sp_buf *buf) {
  if (sp_buf_reserve(buf, 0, NULL) != SP_OK) {
    return NULL;
  }
  buf->data[buf->len] = '\0';
  return buf->data;
}
