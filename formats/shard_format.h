/* shard_format.h - what writer and reader of shards share; FORMATS.md describes the bytes. */
#ifndef SP_FORMATS_SHARD_FORMAT_H
#define SP_FORMATS_SHARD_FORMAT_H

#include "shard.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SP_ZSTD_MAGIC 0xFD2FB528u
#define SP_SEEK_FRAME_MAGIC 0x184D2A5Eu /* skippable frame that holds the table */
#define SP_SEEK_FOOTER_MAGIC 0x8F92EAB1u
#define SP_SEEK_CHECKSUM_FLAG 0x80u
#define SP_SEEK_HEADER 8 /* bytes: magic, size of what follows */
#define SP_SEEK_ENTRY 12 /* compressed size, raw size, low half of the raw bytes' XXH64 */
#define SP_SEEK_FOOTER 9 /* number of frames, descriptor, magic */

/* No line, and so no frame, is longer. */
#define SP_SCORE_LINE_CEILING ((size_t)256 << 20)

static inline void sp_put_le32(unsigned char *to, uint32_t value) {
  for (int k = 0; k < 4; k++) {
    to[k] = (unsigned char)(value >> (8 * k));
  }
}

static inline uint32_t sp_get_le32(const unsigned char *from) {
  return (uint32_t)from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 |
         (uint32_t)from[3] << 24;
}

static inline void sp_seek_entry(unsigned char entry[SP_SEEK_ENTRY], size_t zst_bytes,
                                 size_t raw_bytes, uint64_t raw_xxh64) {
  sp_put_le32(entry, (uint32_t)zst_bytes);
  sp_put_le32(entry + 4, (uint32_t)raw_bytes);
  sp_put_le32(entry + 8, (uint32_t)raw_xxh64);
}

static inline void sp_seek_footer(unsigned char footer[SP_SEEK_FOOTER], uint32_t frames) {
  sp_put_le32(footer, frames);
  footer[4] = SP_SEEK_CHECKSUM_FLAG;
  sp_put_le32(footer + 5, SP_SEEK_FOOTER_MAGIC);
}

/* Appends the only text that stands for `done`. */
SP_MUST_CHECK enum sp_status sp_shard_done_text(const struct sp_shard_done *done,
                                                struct sp_buf *out, struct sp_error *err);
/* The inverse: any other text than sp_shard_done_text's is SP_EDAMAGED. `path` is for the
 * message. */
SP_MUST_CHECK enum sp_status sp_shard_done_parse(struct sp_text text, const char *path,
                                                 struct sp_shard_done *done, struct sp_error *err);
SP_MUST_CHECK enum sp_status sp_shard_done_write(const char *run, size_t index, size_t count,
                                                 const struct sp_shard_done *done,
                                                 struct sp_error *err);

/* Size and XXH64 of a file's bytes, which go to `to_fd` too unless that is -1; `to` is its name, for
 * messages. */
SP_MUST_CHECK enum sp_status sp_shard_file_copy(const char *path, int to_fd, const char *to,
                                                uint64_t *bytes, uint64_t *xxh64,
                                                struct sp_error *err);
/* *same: the bytes of the file `path` are those that `done` tells. */
SP_MUST_CHECK enum sp_status sp_shard_file_compare(const char *path,
                                                   const struct sp_shard_done *done, bool *same,
                                                   struct sp_error *err);

#ifdef __cplusplus
}
#endif
#endif
