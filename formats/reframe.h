/* reframe.h - a file's decompressed bytes once more, as a seekable zstd file of small frames. */
#ifndef SP_FORMATS_REFRAME_H
#define SP_FORMATS_REFRAME_H

#include "source.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sp_reframe_rules {
  const char *from, *to;       /* `to` is replaced when it is whole and durable */
  bool (*stop)(void *context); /* (optional) asked after every step of a megabyte */
  void *context;
};

/* *digest is that of the file `from`, as it was read. *may_go_on: the failure is of writing alone. On failure
 * nothing of it stays.  Memory: two frames of 2 MiB, 12 bytes a frame for the table, and what a source takes. */
SP_MUST_CHECK enum sp_status sp_reframe(const struct sp_reframe_rules *rules,
                                        struct sp_file_digest *digest, bool *may_go_on,
                                        struct sp_error *err);

#ifdef __cplusplus
}
#endif
#endif
