/* train_embed.c - x[t] = words[id] + (positions[position] + type), row by row.
 *
 * Shapes    words (V, D), positions (P, D), type (D), x (T, D), all f32
 * Parallel  tasks of SP_CPU_TRAIN_ROWS rows
 * Numerics  the sum in the order of embed.c, whose positions hold the type already
 * Bound     memory: reads of table rows at random places */
#include "checked.h"
#include "train_kernels.h"
#include "vec.h"

enum { ROWS = SP_CPU_TRAIN_ROWS };

static void embed_rows(void *arg, size_t task, size_t thread) {
  (void)thread;
  const struct sp_train_embed_args *a = arg;
  size_t end = sp_min_size(a->rows, (task + 1) * ROWS);
  for (size_t t = task * ROWS; t < end; t++) {
    const float *word = a->words + (size_t)a->ids[t] * a->d;
    const float *position = a->positions + (size_t)a->position[t] * a->d;
    float *x = a->x + t * a->d;
    for (size_t i = 0; i < a->d; i += SP_LANES) {
      size_t n = sp_min_size(a->d - i, SP_LANES);
      vf below = vf_load_some(position + i, n) + vf_load_some(a->type + i, n);
      vf_store_some(x + i, n, vf_load_some(word + i, n) + below);
    }
  }
}

enum sp_status SP_ISA_NAME(sp_cpu_train_embed)(struct sp_trainer *trainer,
                                               const struct sp_train_embed_args *args,
                                               struct sp_error *err) {
  (void)err;
  struct sp_train_embed_args copy = *args;
  sp_team_run(trainer->team, (args->rows + ROWS - 1) / ROWS, embed_rows, &copy);
  return SP_OK;
}
