/* names.h - finds tensors by the names that checkpoints of one architecture use for them.
 *
 * Takes the differences between savers away: a prefix on the encoder's names, gamma and beta for
 * weight and bias of a LayerNorm.  Remembers what was asked for and is not there, and what is there
 * and was not asked for, so that a user hears of all of it at once. */
#ifndef SP_MODEL_NAMES_H
#define SP_MODEL_NAMES_H

#include "arena.h"
#include "safetensors.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SP_NAMES_MISSING_SHOWN 10

struct sp_names {
  const struct sp_safetensors *tensors;
  const char *prefix; /* "bert." or "" */
  bool *used;         /* (count of tensors) */
  size_t n_missing;
  struct sp_buf missing; /* the first of them, "a, b, c" */
};

/* Tells the prefix from the name of the word embeddings. `used` lives in the arena. */
SP_MUST_CHECK enum sp_status sp_names_init(struct sp_names *names,
                                           const struct sp_safetensors *tensors,
                                           struct sp_arena *arena, struct sp_error *err);
void sp_names_release(struct sp_names *names);

/* Looks the formatted name up as it is (the caller puts names->prefix), and where it ends in
 * LayerNorm.weight or .bias by its older name too. A tensor that is found counts as used; *out is
 * NULL when it is absent, which is noted and no failure yet. */
SP_MUST_CHECK enum sp_status sp_names_get(struct sp_names *names, const struct sp_tensor **out,
                                          struct sp_error *err, const char *format, ...)
    SP_PRINTF(4, 5);
/* Whether it is there; leaves no note. */
bool sp_names_has(const struct sp_names *names, const char *name);

/* SP_EMODEL with the missing names, or SP_OK when nothing is missing. `place` begins the message.
 */
SP_MUST_CHECK enum sp_status sp_names_check(const struct sp_names *names, const char *place,
                                            struct sp_error *err);

/* The names of tensors that were never got, in the arena. */
SP_MUST_CHECK enum sp_status sp_names_extra(const struct sp_names *names, struct sp_arena *arena,
                                            const char *const **out, size_t *n_out,
                                            struct sp_error *err);

#ifdef __cplusplus
}
#endif
#endif
