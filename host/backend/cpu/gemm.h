/* gemm.h - the matrix product inside the CPU backend: packed weights, fixed tiles of rows.
 *
 * Flow       open a context; create gemms (weights are copied and packed); make one lane a thread;
 *            run.  A lane holds the memory that a run writes, for all gemms of its list.
 * Threads    gemms are immutable and shared; a lane is used by one thread at a time. A run computes
 *            in the calling thread only.
 * Exactness  a row's result depends on that row, the weights and the tile alone, bit for bit.
 * Errors     SP_EDEVICE. */
#ifndef SP_CPU_GEMM_H
#define SP_CPU_GEMM_H

#include "backend.h"

struct sp_gemm_context;
struct sp_gemm_lane;
struct sp_gemm_engine;

/* out (rows, n) = activation(in (rows, k) W^T + bias). A gemm holds `slabs` weight matrices of one
 * shape: consecutive row ranges of one big matrix, the last filled up with zeros. */
struct sp_gemm_spec {
  enum sp_compute compute; /* type of `in`; weights are rounded to it */
  enum sp_activation activation;
  bool act_out, f32_out; /* which outputs run() may be asked for: the compute type, or f32 */
  size_t tile;           /* the greatest row count of a run */
  size_t n, k, slabs;
};

/* First member of an engine's own struct. */
struct sp_gemm {
  struct sp_gemm_spec spec;
  struct sp_gemm *next; /* gemms of one list, newest first; index counts from the oldest */
  size_t index;
};

struct sp_gemm_engine {
  enum sp_status (*open)(struct sp_gemm_context **out, struct sp_error *err);
  void (*close)(struct sp_gemm_context *context);
  /* What of the engine decides bits, as text. */
  void (*describe)(char *text, size_t size);
  enum sp_status (*create)(struct sp_gemm_context *context, const struct sp_gemm_spec *spec,
                           const float *weight /* (total, k) */, const float *bias /* (total) */,
                           size_t total, struct sp_gemm **out, struct sp_error *err);
  void (*destroy)(struct sp_gemm *gemm);
  enum sp_status (*lane_create)(struct sp_gemm_context *context, const struct sp_gemm *newest,
                                struct sp_gemm_lane **out, struct sp_error *err);
  void (*lane_destroy)(struct sp_gemm_lane *lane);
  /* in has room for tile rows of k, out for tile rows of n; rows from `rows` on are meaningless. */
  enum sp_status (*run)(struct sp_gemm_lane *lane, const struct sp_gemm *gemm, size_t slab,
                        const void *in, size_t rows, bool out_f32, void *out, struct sp_error *err);
};

#ifdef SP_HAVE_ONEDNN
extern const struct sp_gemm_engine sp_gemm_onednn;
/* Bf16 products in hardware, as this oneDNN would use them. */
bool sp_gemm_onednn_has_bf16(void);
bool sp_gemm_onednn_has_amx(void);
#endif

#endif
