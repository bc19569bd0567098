/* reframe.h - a file's decompressed bytes once more, as a seekable zstd file of small frames. */
#ifndef SP_FORMATS_REFRAME_H
#define SP_FORMATS_REFRAME_H

#include "source.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sp_reframe_rules {
  const char *from, *to; /* `to` appears when it is whole and durable; one that is there stays */
  const char *xxh128;    /* of what is stored in `from`, as sp_source_digest gives it */
  bool (*stop)(void *context); /* (optional) asked after every step of a megabyte */
  void *context;
};

/* SP_EINPUT when `from` is another file or cannot be read on.  *may_go_on: the failure is of writing alone.  After a
 * failure no unfinished file stays.  Memory: two frames of 2 MiB, 12 bytes a frame for the table, and what a source takes. */
SP_MUST_CHECK enum sp_status sp_reframe(const struct sp_reframe_rules *rules, bool *may_go_on,
                                        struct sp_error *err);

#ifdef __cplusplus
}
#endif
#endif
