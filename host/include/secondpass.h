/* secondpass.h - the public interface of secondpass (C11 and C++17).
 *
 * secondpass rescores N-best lists with BERT-type encoders: an archive of hypotheses and a Hugging
 * Face model directory go in, natural-log scores (higher is better) come out.
 *
 * Flow       sp_model_open -> sp_scorer_create -> sp_scorer_score ..  for texts in memory;
 *            sp_score_run                                             for archives on disk.
 * Ownership  what X_open or X_create returns is yours until X_close or X_destroy, which accept NULL.
 * Errors     every fallible function returns a status and fills the caller's `err` (NULL is allowed).
 *            The library never prints, exits or aborts.
 * Threads    objects are not shared between threads unless their section says so.
 */
#ifndef SECONDPASS_H
#define SECONDPASS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SP_VERSION "0.1.0"

/* name, exit code of the command line, what it means.  Codes are stable: only appended to. */
#define SP_STATUS_MAP(X)                                                      \
  X(SP_OK, 0, "success")                                                      \
  X(SP_EUSAGE, 2, "wrong option or argument")                                 \
  X(SP_EIDENTITY, 2, "the run directory belongs to another run")              \
  X(SP_EINPUT, 3, "bad input")                                                \
  X(SP_EDAMAGED, 3, "a run directory is incomplete or damaged")               \
  X(SP_EMODEL, 4, "bad or unsupported model")                                 \
  X(SP_EDEVICE, 5, "device error or out of memory")                           \
  X(SP_EIO, 6, "input or output failed")                                      \
  X(SP_ELOCK, 6, "another process works on the run directory")                \
  X(SP_ESHARD, 7, "shards are missing or failed")                             \
  X(SP_EINTERRUPTED, 130, "interrupted; the run can be resumed")

enum sp_status {
#define X(name, exit_code, text) name,
  SP_STATUS_MAP(X)
#undef X
};

/* Caller-owned message of a failure.  `message` names the fact: file, line or offset, tensor. */
struct sp_error {
  enum sp_status status;
  char message[1024];
};

/* Static strings; never NULL. */
const char *sp_status_text(enum sp_status status);
/* The process exit code that the command line uses for a status. */
int sp_status_exit_code(enum sp_status status);

#ifdef __cplusplus
}
#endif
#endif
