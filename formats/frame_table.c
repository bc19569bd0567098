#include "frame_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "checked.h"
#include "shard_format.h"

enum { size_bytes = 8, checksum_bytes = 4 }; /* of an entry; the checksum is optional */

struct bytes {
  int fd;
  struct sp_text memory;
  uint64_t size;
};

static struct bytes bytes_of(int fd, struct sp_text memory) {
  struct stat info;
  struct bytes bytes = {fd, memory, memory.len};
  if (fd >= 0) {
    bytes.size = fstat(fd, &info) == 0 && info.st_size > 0 ? (uint64_t)info.st_size : 0;
  }
  return bytes;
}

static bool read_at(const struct bytes *bytes, uint64_t offset, void *data, size_t n) {
  if (bytes->fd < 0) {
    memcpy(data, bytes->memory.data + offset, n);
    return true;
  }
  for (size_t done = 0; done < n;) {
    ssize_t got = pread(bytes->fd, (char *)data + done, n - done, (off_t)(offset + done));
    if (got == 0 || (got < 0 && errno != EINTR)) {
      return false;
    }
    done += got > 0 ? (size_t)got : 0;
  }
  return true;
}

void sp_frame_table_release(struct sp_frame_table *table) {
  free(table->stored);
  free(table->raw);
  *table = (struct sp_frame_table){0};
}

/* Size of an entry by the descriptor of the footer; 0: not such a table. */
static size_t entry_bytes(const unsigned char footer[SP_SEEK_FOOTER]) {
  const unsigned reserved = 0x7c;
  if (sp_get_le32(footer + 5) != SP_SEEK_FOOTER_MAGIC || (footer[4] & reserved)) {
    return 0;
  }
  return size_bytes + (footer[4] & SP_SEEK_CHECKSUM_FLAG ? checksum_bytes : 0);
}

static enum sp_status make_room(struct sp_frame_table *table, size_t n, struct sp_error *err) {
  table->stored = calloc(n + 1, sizeof *table->stored);
  table->raw = calloc(n + 1, sizeof *table->raw);
  if (!table->stored || !table->raw) {
    sp_frame_table_release(table);
    return sp_fail_memory(err, sp_mul_sat(n, 2 * sizeof *table->stored));
  }
  table->n = n;
  return SP_OK;
}

/* Sums of at most 2^32 sizes below 2^32 do not overflow. */
static void add_up(struct sp_frame_table *table, const unsigned char *entries, size_t bytes) {
  for (size_t k = 0; k < table->n; k++) {
    table->stored[k + 1] = table->stored[k] + sp_get_le32(entries + k * bytes);
    table->raw[k + 1] = table->raw[k] + sp_get_le32(entries + k * bytes + 4);
  }
}

/* From the table's header on, whose place the footer tells. */
static enum sp_status read_entries(const struct bytes *bytes, uint64_t begin, size_t n,
                                   size_t entry, struct sp_frame_table *out, struct sp_error *err) {
  enum sp_status status = SP_OK;
  const size_t body = n * entry;
  unsigned char *data = malloc(SP_SEEK_HEADER + body);
  if (!data) {
    return sp_fail_memory(err, body);
  }
  if (read_at(bytes, begin, data, SP_SEEK_HEADER + body) &&
      sp_get_le32(data) == SP_SEEK_FRAME_MAGIC && sp_get_le32(data + 4) == body + SP_SEEK_FOOTER) {
    status = make_room(out, n, err);
  }
  if (status == SP_OK && out->n > 0) {
    add_up(out, data + SP_SEEK_HEADER, entry);
  }
  free(data);
  return status;
}

enum sp_status sp_frame_table_read(int fd, struct sp_text memory, struct sp_frame_table *out,
                                   struct sp_error *err) {
  const struct bytes bytes = bytes_of(fd, memory);
  unsigned char footer[SP_SEEK_FOOTER];
  *out = (struct sp_frame_table){0};
  if (bytes.size < SP_SEEK_HEADER + SP_SEEK_FOOTER ||
      !read_at(&bytes, bytes.size - SP_SEEK_FOOTER, footer, sizeof footer)) {
    return SP_OK;
  }
  const size_t entry = entry_bytes(footer), n = sp_get_le32(footer);
  const uint64_t before = bytes.size - SP_SEEK_HEADER - SP_SEEK_FOOTER;
  if (entry == 0 || n == 0 || n > before / entry || n > (UINT32_MAX - SP_SEEK_FOOTER) / entry) {
    return SP_OK;
  }
  const uint64_t begin = before - n * entry;
  SP_TRY(read_entries(&bytes, begin, n, entry, out, err));
  if (out->n > 0 && out->stored[n] != begin) { /* other frames than these, or bytes between them */
    sp_frame_table_release(out);
  }
  return SP_OK;
}

/* The last frame that begins at `value` or before it. */
static size_t find(const uint64_t *begins, size_t n, uint64_t value) {
  size_t low = 0, high = n;
  while (high - low > 1) {
    size_t middle = low + (high - low) / 2;
    if (begins[middle] <= value) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return low;
}

void sp_frame_table_enter(const struct sp_frame_table *table, uint64_t *stored, uint64_t *raw) {
  if (table->n == 0) {
    return;
  }
  size_t from = find(table->stored, table->n, *stored);
  if (table->stored[from] != *stored || *raw >= table->raw[table->n] - table->raw[from]) {
    return;
  }
  uint64_t at = table->raw[from] + *raw;
  size_t frame = find(table->raw, table->n, at);
  *stored = table->stored[frame];
  *raw = at - table->raw[frame];
}
