#include "source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>
#include <zlib.h>
#include <zstd.h>

#include "checked.h"
#include "frame_table.h"

enum { least_block = 512, most_block = 128 * 1024 };
enum { near_bytes = 4 << 20 };    /* raw bytes that a seek passes without asking for the seek table */
enum { anchor_step = 32 * 1024 }; /* raw bytes between anchors: bounds their number in a window */

enum packing { packing_unknown, packing_plain, packing_zstd, packing_gzip };

/* What decoding can begin at: a frame, a member, or a plain file's first byte. */
struct anchor {
  uint64_t stored; /* its offset in the file */
  uint64_t raw;    /* bytes produced before it */
};

struct sp_source {
  char *path;
  int fd;         /* -1: memory */
  uint64_t stamp; /* of the file when it was opened */
  bool owns_fd;
  bool seekable, moved;
  struct sp_text memory;
  XXH3_state_t *hash;

  size_t block;
  unsigned char *stored; /* (block) bytes as stored */
  size_t stored_at, stored_len;
  uint64_t offset; /* file offset of stored[stored_len] */
  bool stored_end; /* nothing is left behind stored[stored_len] */

  enum packing packing;
  ZSTD_DStream *zstd;
  z_stream gzip;
  bool gzip_ready;
  bool in_frame; /* inside a zstd frame or gzip member */

  struct sp_buf window; /* decompressed bytes that are not consumed: from window_at on */
  size_t window_at;
  bool end; /* the decompressed stream has nothing more for the window */
  uint64_t line_number;
  struct sp_source_place line_place; /* of the last line */
  uint64_t read_at;                  /* where the last read began, as `produced` counts */

  uint64_t produced;      /* decompressed bytes since the source was opened or moved */
  struct anchor *anchors; /* (n_anchors) the last one before the next byte, those in the window */
  size_t n_anchors, anchors_capacity;
  struct sp_frame_table table; /* once a seek has wanted it */
  bool table_read;
};

void sp_source_close(struct sp_source *source) {
  if (!source) {
    return;
  }
  if (source->owns_fd) {
    close(source->fd);
  }
  if (source->gzip_ready) {
    inflateEnd(&source->gzip);
  }
  ZSTD_freeDStream(source->zstd);
  XXH3_freeState(source->hash);
  sp_buf_release(&source->window);
  sp_frame_table_release(&source->table);
  free(source->stored);
  free(source->anchors);
  free(source->path);
  free(source);
}

static enum sp_status create(const char *path, size_t block, struct sp_source **out,
                             struct sp_error *err) {
  struct sp_source *source = calloc(1, sizeof *source);
  if (!source) {
    return sp_fail_memory(err, sizeof *source);
  }
  source->fd = -1;
  source->path = strdup(path);
  source->block = block;
  source->stored = malloc(block);
  source->hash = XXH3_createState();
  if (!source->path || !source->stored || !source->hash) {
    sp_source_close(source);
    return sp_fail_memory(err, block);
  }
  XXH3_128bits_reset(source->hash);
  *out = source;
  return SP_OK;
}

static uint64_t stamp_of(const struct stat *info) {
  uint64_t facts[] = {(uint64_t)info->st_dev, (uint64_t)info->st_ino, (uint64_t)info->st_size,
                      (uint64_t)info->st_mtim.tv_sec, (uint64_t)info->st_mtim.tv_nsec};
  return XXH3_64bits(facts, sizeof facts);
}

uint64_t sp_source_stamp(const char *path) {
  struct stat info;
  return stat(path, &info) == 0 ? stamp_of(&info) : 0;
}

enum sp_status sp_source_open(const char *path, struct sp_source **out, struct sp_error *err) {
  bool standard_input = strcmp(path, "-") == 0;
  struct sp_source *source = NULL;
  SP_TRY(create(standard_input ? "(standard input)" : path, most_block, &source, err));
  source->fd = standard_input ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
  if (source->fd < 0) {
    enum sp_status status = sp_fail_errno(err, SP_EIO, "cannot open %s", path);
    sp_source_close(source);
    return status;
  }
  source->owns_fd = !standard_input;
  source->seekable = !standard_input && lseek(source->fd, 0, SEEK_CUR) == 0;
  struct stat info;
  source->stamp = fstat(source->fd, &info) == 0 ? stamp_of(&info) : 0;
  *out = source;
  return SP_OK;
}

enum sp_status sp_source_open_memory(const char *name, struct sp_text bytes, struct sp_source **out,
                                     struct sp_error *err) {
  size_t block = sp_max_size(least_block, sp_min_size(bytes.len, most_block));
  SP_TRY(create(name, block, out, err));
  (*out)->memory = bytes;
  (*out)->seekable = true;
  return SP_OK;
}

/* Up to `capacity` stored bytes; 0 at the end of the file. */
static enum sp_status read_stored(struct sp_source *source, unsigned char *data, size_t capacity,
                                  size_t *got, struct sp_error *err) {
  if (source->fd < 0) {
    size_t len = source->memory.len, at = source->offset < len ? (size_t)source->offset : len;
    *got = sp_min_size(capacity, len - at);
    if (*got > 0) {
      memcpy(data, source->memory.data + at, *got);
    }
    return SP_OK;
  }
  for (;;) {
    ssize_t n = read(source->fd, data, capacity);
    if (n >= 0) {
      *got = (size_t)n;
      return SP_OK;
    }
    if (errno == EINTR && source->fd == STDIN_FILENO) { /* it may be silent for ever */
      return sp_fail(err, SP_EINTERRUPTED, "interrupted while standard input was read");
    }
    if (errno != EINTR) {
      return sp_fail_errno(err, SP_EIO, "cannot read %s", source->path);
    }
  }
}

/* Adds stored bytes behind stored_len, or sets stored_end. */
static enum sp_status fill_stored(struct sp_source *source, struct sp_error *err) {
  if (source->stored_at == source->stored_len) {
    source->stored_at = source->stored_len = 0;
  }
  size_t got = 0;
  SP_TRY(read_stored(source, source->stored + source->stored_len,
                     source->block - source->stored_len, &got, err));
  if (got == 0) {
    source->stored_end = true;
    return SP_OK;
  }
  if (!source->moved) {
    XXH3_128bits_update(source->hash, source->stored + source->stored_len, got);
  }
  source->stored_len += got;
  source->offset += got;
  return SP_OK;
}

/* The file offset of the next stored byte to be decompressed. */
static unsigned long long stored_offset(const struct sp_source *source) {
  return source->offset - (source->stored_len - source->stored_at);
}

static enum sp_status fail_corrupt(const struct sp_source *source, const char *kind,
                                   const char *reason, struct sp_error *err) {
  return sp_fail(err, SP_EINPUT, "%s: the %s data is corrupt at or after byte offset %llu: %s",
                 source->path, kind, stored_offset(source), reason);
}

static enum sp_status fail_truncated(const struct sp_source *source, const char *kind,
                                     struct sp_error *err) {
  return sp_fail(err, SP_EINPUT, "%s: the %s data ends early, at byte offset %llu", source->path,
                 kind, stored_offset(source));
}

static enum packing packing_of(const unsigned char *head, size_t len) {
  static const unsigned char zstd_frame[4] = {0x28, 0xb5, 0x2f, 0xfd};
  static const unsigned char zstd_skippable[3] = {0x2a, 0x4d, 0x18};
  if (len >= 4 && memcmp(head, zstd_frame, 4) == 0) {
    return packing_zstd;
  }
  if (len >= 4 && (head[0] & 0xf0) == 0x50 && memcmp(head + 1, zstd_skippable, 3) == 0) {
    return packing_zstd;
  }
  return len >= 2 && head[0] == 0x1f && head[1] == 0x8b ? packing_gzip : packing_plain;
}

static enum sp_status start(struct sp_source *source, struct sp_error *err) {
  while (source->stored_len < 4 && !source->stored_end) {
    SP_TRY(fill_stored(source, err));
  }
  source->packing = packing_of(source->stored, source->stored_len);
  if (source->packing == packing_zstd) {
    source->zstd = ZSTD_createDStream();
    return source->zstd ? SP_OK : sp_fail_memory(err, ZSTD_DStreamOutSize());
  }
  if (source->packing == packing_gzip) {
    source->gzip_ready = inflateInit2(&source->gzip, 15 + 16) == Z_OK;
    return source->gzip_ready ? SP_OK : sp_fail_memory(err, (size_t)1 << 15);
  }
  return SP_OK;
}

/* Of the next byte, in bytes produced. */
static uint64_t raw_position(const struct sp_source *source) {
  return source->produced - (source->window.len - source->window_at);
}

/* Of byte `at`, as `produced` counts. */
static struct sp_source_place place_of(const struct sp_source *source, uint64_t at) {
  size_t n = source->n_anchors;
  while (n > 0 && source->anchors[n - 1].raw > at) {
    n--;
  }
  struct sp_source_place place = {.stored = stored_offset(source),
                                  .line = source->line_number,
                                  .offset = source->moved ? 0 : at};
  if (n > 0) {
    uint64_t stored = source->anchors[n - 1].stored, raw = at - source->anchors[n - 1].raw;
    bool plain = source->packing == packing_plain; /* where decoding can begin at every byte */
    place.stored = plain ? stored + raw : stored;
    place.raw = plain ? 0 : raw;
  }
  return place;
}

/* Of the next byte. */
static struct sp_source_place here(const struct sp_source *source) {
  return place_of(source, raw_position(source));
}

/* Drops the anchors that lie behind the one before the next byte. */
static void drop_anchors(struct sp_source *source) {
  uint64_t at = raw_position(source);
  size_t passed = 0;
  while (passed + 1 < source->n_anchors && source->anchors[passed + 1].raw <= at) {
    passed++;
  }
  if (passed > 0) {
    source->n_anchors -= passed;
    memmove(source->anchors, source->anchors + passed, source->n_anchors * sizeof *source->anchors);
  }
}

/* Decoding can begin at the next stored byte. */
static enum sp_status add_anchor(struct sp_source *source, struct sp_error *err) {
  size_t n = source->n_anchors;
  bool needed = n == 0 || (source->packing != packing_plain &&
                           source->produced - source->anchors[n - 1].raw >= anchor_step);
  if (!needed) {
    return SP_OK;
  }
  drop_anchors(source);
  if (source->n_anchors == source->anchors_capacity) {
    size_t capacity = sp_max_size(16, 2 * source->anchors_capacity);
    struct anchor *anchors = realloc(source->anchors, sp_mul_sat(capacity, sizeof *anchors));
    if (!anchors) {
      return sp_fail_memory(err, sp_mul_sat(capacity, sizeof *anchors));
    }
    source->anchors = anchors;
    source->anchors_capacity = capacity;
  }
  source->anchors[source->n_anchors++] = (struct anchor){stored_offset(source), source->produced};
  return SP_OK;
}

static enum sp_status produce_plain(struct sp_source *source, char *data, size_t capacity,
                                    size_t *got) {
  *got = sp_min_size(capacity, source->stored_len - source->stored_at);
  memcpy(data, source->stored + source->stored_at, *got);
  source->stored_at += *got;
  return SP_OK;
}

static enum sp_status produce_zstd(struct sp_source *source, char *data, size_t capacity,
                                   size_t *got, struct sp_error *err) {
  ZSTD_inBuffer in = {source->stored, source->stored_len, source->stored_at};
  ZSTD_outBuffer out = {data, capacity, 0};
  size_t left = ZSTD_decompressStream(source->zstd, &out, &in);
  if (ZSTD_isError(left)) {
    return fail_corrupt(source, "zstd", ZSTD_getErrorName(left), err);
  }
  source->stored_at = in.pos;
  source->in_frame = left != 0;
  *got = out.pos;
  return SP_OK;
}

static enum sp_status produce_gzip(struct sp_source *source, char *data, size_t capacity,
                                   size_t *got, struct sp_error *err) {
  z_stream *gzip = &source->gzip;
  if (!source->in_frame) {
    inflateReset(gzip);
    source->in_frame = true;
  }
  uInt room = (uInt)sp_min_size(capacity, (size_t)1 << 30);
  gzip->next_in = source->stored + source->stored_at;
  gzip->avail_in = (uInt)(source->stored_len - source->stored_at);
  gzip->next_out = (unsigned char *)data;
  gzip->avail_out = room;
  int code = inflate(gzip, Z_NO_FLUSH);
  source->stored_at = source->stored_len - gzip->avail_in;
  if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR) {
    return fail_corrupt(source, "gzip", gzip->msg ? gzip->msg : "bad data", err);
  }
  source->in_frame = code != Z_STREAM_END;
  *got = room - gzip->avail_out;
  return SP_OK;
}

/* Up to `capacity` (at least 1) decompressed bytes, past the window; 0 at the end. */
static enum sp_status produce(struct sp_source *source, char *data, size_t capacity, size_t *got,
                              struct sp_error *err) {
  if (source->packing == packing_unknown) {
    SP_TRY(start(source, err));
  }
  for (;;) {
    bool starved = source->stored_at == source->stored_len;
    if (starved && !source->stored_end) {
      SP_TRY(fill_stored(source, err));
      continue;
    }
    *got = 0;
    if (starved && !source->in_frame) {
      return SP_OK;
    }
    if (!source->in_frame) {
      SP_TRY(add_anchor(source, err));
    }
    switch (source->packing) {
      case packing_zstd:
        SP_TRY(produce_zstd(source, data, capacity, got, err));
        break;
      case packing_gzip:
        SP_TRY(produce_gzip(source, data, capacity, got, err));
        break;
      default:
        SP_TRY(produce_plain(source, data, capacity, got));
        break;
    }
    if (*got > 0) {
      source->produced += *got;
      return SP_OK;
    }
    if (starved && source->in_frame) {
      return fail_truncated(source, source->packing == packing_zstd ? "zstd" : "gzip", err);
    }
  }
}

/* Appends to the window, dropping what is consumed when that makes the room, or sets end. */
static enum sp_status fill_window(struct sp_source *source, struct sp_error *err) {
  size_t step = 2 * source->block;
  struct sp_buf *window = &source->window;
  size_t kept = window->len - source->window_at;
  if (source->window_at > 0 && (kept == 0 || window->capacity - window->len < step)) {
    memmove(window->data, window->data + source->window_at, kept);
    window->len = kept;
    source->window_at = 0;
  }
  SP_TRY(sp_buf_reserve(window, step, err));
  size_t got = 0;
  SP_TRY(produce(source, window->data + window->len, window->capacity - window->len, &got, err));
  window->len += got;
  source->end = got == 0;
  return SP_OK;
}

enum sp_status sp_source_read(struct sp_source *source, void *data, size_t capacity, size_t *got,
                              struct sp_error *err) {
  size_t kept = source->window.len - source->window_at;
  source->read_at = raw_position(source);
  *got = sp_min_size(kept, capacity);
  if (*got > 0) {
    memcpy(data, source->window.data + source->window_at, *got);
    source->window_at += *got;
    return SP_OK;
  }
  return capacity > 0 && !source->end ? produce(source, data, capacity, got, err) : SP_OK;
}

enum sp_status sp_source_peek(struct sp_source *source, size_t want, struct sp_text *head,
                              struct sp_error *err) {
  while (source->window.len - source->window_at < want && !source->end) {
    SP_TRY(fill_window(source, err));
  }
  size_t kept = source->window.len - source->window_at;
  *head = (struct sp_text){kept > 0 ? source->window.data + source->window_at : "",
                           sp_min_size(kept, want)};
  return SP_OK;
}

enum sp_status sp_source_skip_bom(struct sp_source *source, struct sp_error *err) {
  struct sp_text head;
  SP_TRY(sp_source_peek(source, 3, &head, err));
  if (sp_text_equal(head, SP_TEXT_LITERAL("\xef\xbb\xbf"))) {
    source->window_at += 3;
  }
  return SP_OK;
}

/* Makes a line end, or the end of the stream, lie in the window; *end is the offset of either. */
static enum sp_status find_line_end(struct sp_source *source, size_t ceiling, size_t *end,
                                    struct sp_error *err) {
  size_t seen = 0;
  for (;;) {
    size_t kept = source->window.len - source->window_at;
    const char *from = kept > 0 ? source->window.data + source->window_at : "";
    const char *hit = memchr(from + seen, '\n', kept - seen);
    size_t len = hit ? (size_t)(hit - from) : kept;
    if (len > ceiling) {
      return sp_fail(err, SP_EINPUT, "%s:%llu: the line is longer than %zu bytes", source->path,
                     (unsigned long long)source->line_number + 1, ceiling);
    }
    if (hit || source->end) {
      *end = source->window_at + len;
      return SP_OK;
    }
    seen = kept;
    SP_TRY(fill_window(source, err));
  }
}

enum sp_status sp_source_line(struct sp_source *source, size_t ceiling, struct sp_text *line,
                              bool *found, struct sp_error *err) {
  size_t end = 0;
  SP_TRY(find_line_end(source, ceiling, &end, err));
  *found = source->window_at < source->window.len;
  if (!*found) {
    return SP_OK;
  }
  const char *data = source->window.data + source->window_at;
  size_t len = end - source->window_at;
  bool ended = end < source->window.len;
  source->line_place = here(source);
  source->window_at = end + ended;
  source->line_number++;
  *line = (struct sp_text){data, len - (ended && len > 0 && data[len - 1] == '\r')};
  return SP_OK;
}

uint64_t sp_source_line_number(const struct sp_source *source) {
  return source->line_number;
}

bool sp_source_seekable(const struct sp_source *source) {
  return source->seekable;
}

struct sp_source_place sp_source_line_place(const struct sp_source *source) {
  return source->line_place;
}

struct sp_source_place sp_source_read_place(const struct sp_source *source, size_t offset) {
  return place_of(source, source->read_at + offset);
}

static enum sp_status fail_ends_before(const struct sp_source *source, struct sp_error *err) {
  return sp_fail(err, SP_EINPUT, "%s: ends before the place that is wanted: not the file it was",
                 source->path);
}

/* Makes `stored` the next stored byte, at which decoding begins. */
static enum sp_status move(struct sp_source *source, uint64_t stored, struct sp_error *err) {
  if (stored > INT64_MAX) {
    return fail_ends_before(source, err);
  }
  if (source->fd >= 0 && lseek(source->fd, (off_t)stored, SEEK_SET) < 0) {
    return errno == EINVAL ? fail_ends_before(source, err) /* longer than any file can be */
                           : sp_fail_errno(err, SP_EIO, "cannot seek in %s", source->path);
  }
  if (source->zstd) {
    ZSTD_DCtx_reset(source->zstd, ZSTD_reset_session_only);
  }
  source->offset = stored;
  source->stored_at = source->stored_len = 0;
  source->window_at = source->window.len = 0;
  source->produced = 0;
  source->n_anchors = 0;
  source->stored_end = source->in_frame = source->end = false;
  return SP_OK;
}

/* Passes `bytes` decompressed bytes, behind which there must be one more. */
static enum sp_status pass_raw(struct sp_source *source, uint64_t bytes, struct sp_error *err) {
  for (;;) {
    size_t kept = source->window.len - source->window_at;
    size_t step = bytes < kept ? (size_t)bytes : kept;
    source->window_at += step;
    bytes -= step;
    if (step < kept) {
      return SP_OK;
    }
    if (source->end) {
      return fail_ends_before(source, err);
    }
    SP_TRY(fill_window(source, err));
  }
}

enum sp_status sp_source_seek(struct sp_source *source, const struct sp_source_place *place,
                              struct sp_error *err) {
  if (!source->seekable) {
    return sp_fail(err, SP_EUSAGE, "%s can only be read from its start", source->path);
  }
  if (source->packing == packing_unknown) {
    SP_TRY(start(source, err)); /* the file's first bytes tell, not those of the place */
  }
  const struct sp_source_place now = here(source);
  const bool ahead = !source->end && now.stored == place->stored && now.raw <= place->raw;
  uint64_t between = ahead ? place->raw - now.raw : place->raw, stored = place->stored,
           raw = place->raw;
  if (between > near_bytes && source->packing == packing_zstd) {
    SP_TRY(source->table_read ? SP_OK
                              : sp_frame_table_read(source->fd, source->memory, &source->table, err));
    source->table_read = true;
    sp_frame_table_enter(&source->table, &stored, &raw);
  }
  source->moved = true;
  if (!ahead || raw < between) {
    SP_TRY(move(source, stored, err));
    between = raw;
  }
  SP_TRY(pass_raw(source, between, err));
  source->line_number = place->line;
  return SP_OK;
}

uint64_t sp_source_opened_stamp(const struct sp_source *source) {
  return source->stamp;
}

const char *sp_source_path(const struct sp_source *source) {
  return source->path;
}

enum sp_status sp_source_digest(struct sp_source *source, struct sp_file_digest *digest,
                                struct sp_error *err) {
  if (source->moved) {
    return sp_fail(err, SP_EUSAGE, "%s was not read from its start: it has no digest",
                   source->path);
  }
  while (!source->stored_end) {
    source->stored_at = source->stored_len;
    SP_TRY(fill_stored(source, err));
  }
  source->window_at = source->window.len;
  source->end = true;
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(source->hash));
  for (size_t i = 0; i < sizeof canonical.digest; i++) {
    static const char digits[] = "0123456789abcdef";
    digest->xxh128[2 * i] = digits[canonical.digest[i] >> 4];
    digest->xxh128[2 * i + 1] = digits[canonical.digest[i] & 15];
  }
  digest->xxh128[32] = '\0';
  digest->bytes = source->offset;
  digest->stamp = source->stamp;
  return SP_OK;
}
