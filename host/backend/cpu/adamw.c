/* adamw.c - one update of AdamW (Loshchilov and Hutter 2019), in one pass:
 *
 *   c = clip grad;  m = b1 m + (1 - b1) c;  v = b2 v + (1 - b2) c^2
 *   p -= rate (m / correction1 / (sqrt(v / correction2) + eps) + decay p)
 *
 * Shapes    param, m, v, grad (count) f32
 * Parallel  tasks of SP_CPU_TRAIN_BLOCK elements
 * Numerics  f32, each element by itself
 * Bound     memory: 16 bytes read and 12 written an element */
#include "checked.h"
#include "train_kernels.h"
#include "vec.h"

SP_VEC_INLINE void update(const struct sp_train_adamw_args *a, size_t i, size_t n) {
  vf c = vf_load_some(a->grad + i, n) * a->clip;
  vf m = vf_fma(vf_splat(a->beta1), vf_load_some(a->m + i, n), (1.0f - a->beta1) * c);
  vf v = vf_fma(vf_splat(a->beta2), vf_load_some(a->v + i, n), (1.0f - a->beta2) * c * c);
  vf p = vf_load_some(a->param + i, n);
  vf step = m / a->correction1 / (vf_sqrt(v / a->correction2) + a->eps);
  vf_store_some(a->m + i, n, m);
  vf_store_some(a->v + i, n, v);
  vf_store_some(a->param + i, n, p - a->rate * vf_fma(vf_splat(a->decay), p, step));
}

static void update_block(void *arg, size_t task, size_t thread) {
  (void)thread;
  const struct sp_train_adamw_args *a = arg;
  size_t i = task * SP_CPU_TRAIN_BLOCK;
  size_t end = sp_min_size(a->count, i + SP_CPU_TRAIN_BLOCK);
  for (; i + SP_LANES <= end; i += SP_LANES) {
    update(a, i, SP_LANES);
  }
  if (i < end) {
    update(a, i, end - i);
  }
}

enum sp_status SP_ISA_NAME(sp_cpu_train_adamw)(struct sp_trainer *trainer,
                                               const struct sp_train_adamw_args *args,
                                               struct sp_error *err) {
  (void)err;
  struct sp_train_adamw_args copy = *args;
  size_t blocks = (args->count + SP_CPU_TRAIN_BLOCK - 1) / SP_CPU_TRAIN_BLOCK;
  sp_team_run(trainer->team, blocks, update_block, &copy);
  return SP_OK;
}
