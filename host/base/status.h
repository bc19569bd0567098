/* status.h - the error idiom of the whole tree.
 *
 * A fallible function returns enum sp_status and takes `struct sp_error *err` last.  The message is
 * written once, where the fact is known, by sp_fail; callers only pass the status on with SP_TRY, or
 * jump to a label named after what has to be undone with SP_TRY_GOTO. */
#ifndef SP_BASE_STATUS_H
#define SP_BASE_STATUS_H

#include "secondpass.h"

#define SP_MUST_CHECK __attribute__((warn_unused_result))
#define SP_PRINTF(format_index, first) __attribute__((format(printf, format_index, first)))

#ifdef __cplusplus
extern "C" {
#endif

/* Sets *err (if not NULL) and returns `status`, so that `return sp_fail(..)` reads as one step.
 * Control characters in the message are shown as \xNN: a hostile name cannot drive a terminal. */
enum sp_status sp_fail(struct sp_error *err, enum sp_status status, const char *format, ...)
    SP_PRINTF(3, 4);

/* As sp_fail with ": " and strerror(errno) appended; errno is read on entry. */
enum sp_status sp_fail_errno(struct sp_error *err, enum sp_status status, const char *format, ...)
    SP_PRINTF(3, 4);

enum sp_status sp_fail_memory(struct sp_error *err, size_t bytes);

#define SP_TRY(call)                           \
  do {                                         \
    enum sp_status sp_try_status_ = (call);    \
    if (sp_try_status_ != SP_OK) {             \
      return sp_try_status_;                   \
    }                                          \
  } while (0)

/* Needs a variable `status` in scope. */
#define SP_TRY_GOTO(call, label) \
  do {                           \
    status = (call);             \
    if (status != SP_OK) {       \
      goto label;                \
    }                            \
  } while (0)

#ifdef __cplusplus
}
#endif
#endif
