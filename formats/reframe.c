#include "reframe.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "frame_writer.h"

enum { step_bytes = 1 << 20 };

struct reframing {
  const struct sp_reframe_rules *rules;
  struct sp_source *source;
  struct sp_frame_writer *writer;
  char *step; /* (step_bytes) */
  int fd;
  struct sp_buf temporary;
  bool writing; /* what fails now is of the file that is made */
};

static enum sp_status begin(struct reframing *r, struct sp_error *err) {
  SP_TRY(sp_source_open(r->rules->from, &r->source, err));
  r->step = malloc(step_bytes);
  if (!r->step) {
    return sp_fail_memory(err, step_bytes);
  }
  r->writing = true;
  SP_TRY(sp_file_create_beside(r->rules->to, &r->temporary, &r->fd, err));
  return sp_frame_writer_create(r->fd, r->temporary.data, SP_FRAME_RAW, &r->writer, err);
}

static enum sp_status copy(struct reframing *r, struct sp_error *err) {
  for (;;) {
    size_t got;
    r->writing = false;
    if (r->rules->stop && r->rules->stop(r->rules->context)) {
      return sp_fail(err, SP_EINTERRUPTED, "interrupted while %s was read", r->rules->from);
    }
    SP_TRY(sp_source_read(r->source, r->step, step_bytes, &got, err));
    if (got == 0) {
      return SP_OK;
    }
    r->writing = true;
    SP_TRY(sp_frame_writer_write(r->writer, r->step, got, err));
  }
}

static enum sp_status check_digest(struct reframing *r, struct sp_error *err) {
  struct sp_file_digest digest;
  SP_TRY(sp_source_digest(r->source, &digest, err));
  return strcmp(digest.xxh128, r->rules->xxh128) == 0
             ? SP_OK
             : sp_fail(err, SP_EINPUT, "%s: the file changed while it was being read",
                       r->rules->from);
}

static enum sp_status publish(struct reframing *r, struct sp_error *err) {
  r->writing = true;
  SP_TRY(sp_frame_writer_finish(r->writer, NULL, err));
  if (fsync(r->fd) != 0) {
    return sp_fail_errno(err, SP_EIO, "cannot write %s", r->temporary.data);
  }
  bool existed; /* made by another worker, of the same bytes */
  return sp_file_publish(r->temporary.data, r->rules->to, &existed, err);
}

static enum sp_status do_all(struct reframing *r, struct sp_error *err) {
  SP_TRY(begin(r, err));
  SP_TRY(copy(r, err));
  SP_TRY(check_digest(r, err));
  return publish(r, err);
}

enum sp_status sp_reframe(const struct sp_reframe_rules *rules, bool *may_go_on,
                          struct sp_error *err) {
  struct reframing r = {.rules = rules, .fd = -1};
  enum sp_status status = do_all(&r, err);
  *may_go_on = status == SP_EIO && r.writing;
  if (r.fd >= 0) {
    close(r.fd);
  }
  if (status != SP_OK && r.fd >= 0) {
    unlink(r.temporary.data);
  }
  sp_frame_writer_destroy(r.writer);
  sp_source_close(r.source);
  sp_buf_release(&r.temporary);
  free(r.step);
  return status;
}
