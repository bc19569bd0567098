/* sink.h - bytes of an output file, compressed on the way: the other end of source.h.
 *
 * The name decides: .zst is written as zstd frames of lines with a seek table (frame_writer.h), .gz as one
 * gzip member without a time, anything else plain; "-" is standard output, plain.  A file appears under its name
 * only when it is whole and on the disk: until then it is NAME.tmp.N (file.h).  What is no regular file (a
 * pipe, /dev/null) is written as it goes.
 *
 * Flow       open; write; close, or discard.
 * Errors     SP_EIO with the path.
 * Threads    a sink belongs to one thread at a time. */
#ifndef SP_FORMATS_SINK_H
#define SP_FORMATS_SINK_H

#include "buf.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sp_sink;

SP_MUST_CHECK enum sp_status sp_sink_open(const char *path, struct sp_sink **out,
                                          struct sp_error *err);
SP_MUST_CHECK enum sp_status sp_sink_write(struct sp_sink *sink, const void *data, size_t len,
                                           struct sp_error *err);
/* Finishes and publishes the file, and frees the sink; on failure nothing of the file stays. */
SP_MUST_CHECK enum sp_status sp_sink_close(struct sp_sink *sink, struct sp_error *err);
/* The same where several may make the file and the first one's stays: *existed says that it was there. */
SP_MUST_CHECK enum sp_status sp_sink_close_first(struct sp_sink *sink, bool *existed,
                                                 struct sp_error *err);
/* Removes what was written, and frees. NULL is fine. */
void sp_sink_discard(struct sp_sink *sink);

#ifdef __cplusplus
}
#endif
#endif
