/* onednn_context.h - oneDNN's engine for one device, and its thread count held at one.
 *
 * oneDNN takes OpenMP's thread count when it plans and when it runs, so every call is made between
 * enter_one_thread and leave_one_thread.  Included by gemm_onednn.c and train_gemm_onednn.c alone. */
#ifndef SP_CPU_ONEDNN_CONTEXT_H
#define SP_CPU_ONEDNN_CONTEXT_H

#include "onednn_version.h"

struct sp_gemm_context {
  dnnl_engine_t engine;
  int (*get_threads)(void);
  void (*set_threads)(int);
};

static inline int enter_one_thread(const struct sp_gemm_context *context) {
  int before = 1;
  if (context->set_threads) {
    before = context->get_threads();
    context->set_threads(1);
  }
  return before;
}

static inline void leave_one_thread(const struct sp_gemm_context *context, int before) {
  if (context->set_threads) {
    context->set_threads(before);
  }
}

#endif
