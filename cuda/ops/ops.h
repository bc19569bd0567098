/* ops.h - launchers of the CUDA kernels: each checks its arguments, launches and returns.
 *
 * Plain C, so that the glue stays C.  Every pointer is to device memory, but for the argument
 * structs themselves.  A launcher never allocates, never waits and never touches another stream.
 *
 * Letters    as in backend.h
 * Types      `bf16` says what act is, else f32; res is f32
 * Rows       row buffers have room for the row count rounded up to SP_CUDA_ROW_QUANTUM; launchers
 *            read surplus rows where that is simpler, and never write them
 * Alignment  row buffers and weights begin at 16 bytes or better.  Rows of any width are right;
 *            widths whose rows keep 16 bytes are fast
 * Nothing    zero rows, sequences or targets: cudaSuccess, and no launch
 * Errors     the launch's own; cudaErrorInvalidValue where a limit below is broken */
#ifndef SP_CUDA_OPS_H
#define SP_CUDA_OPS_H

#include <cuda_runtime_api.h>

#include "backend.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
  SP_CUDA_ROW_QUANTUM = 128,
  SP_CUDA_MAX_WIDTH = 16384, /* of a chain of dense layers, inputs included */
  SP_CUDA_MAX_DENSE = 32,    /* layers of such a chain */
  SP_CUDA_MAX_HEAD_DIM = 128 /* of attention */
};

/* Weights as kernels read them. */
struct sp_cuda_embedding {
  const float *words;     /* (V, D) */
  const float *positions; /* (P, D) f32, the type row added */
  size_t d;
};

struct sp_cuda_norm {
  const float *gamma, *beta; /* (D) */
  size_t d;
  float eps;
};

struct sp_cuda_vocab {
  const void *weight; /* (V, D) act */
  const float *bias;  /* (V) */
  size_t v, d;
};

struct sp_cuda_dense {
  const float *weight; /* (K, N): the contract's matrix transposed, so that outputs lie together */
  const float *bias;   /* (N) */
  size_t n, k;
  enum sp_activation activation;
};

/* The contract's expand and mask; `args` is host memory, read before the call returns. */
cudaError_t sp_cuda_expand(cudaStream_t stream, const struct sp_expand_args *args);
cudaError_t sp_cuda_mask(cudaStream_t stream, const struct sp_mask_args *args);

/* The contract's embed: res f32 and act (T, D), the same memory only where act is f32. */
cudaError_t sp_cuda_embed(cudaStream_t stream, bool bf16, const struct sp_cuda_embedding *embedding,
                          const struct sp_cuda_norm *norm, const int32_t *ids /* (T) */,
                          const uint32_t *positions /* (T) */, size_t rows, void *res, void *act);

/* The contract's add_norm; residual may be NULL; res may be x or residual, act may be res where it
 * is f32. */
cudaError_t sp_cuda_add_norm(cudaStream_t stream, bool bf16, const struct sp_cuda_norm *norm,
                             const void *x, const void *residual, size_t rows, void *res,
                             void *act);

/* The contract's gather; to and from do not overlap. */
cudaError_t sp_cuda_gather(cudaStream_t stream, const void *from, size_t row_bytes,
                           const uint32_t *index /* (R) */, size_t rows, void *to);

/* values = activation(values + bias) in place, (R, N) bf16 or f32, f32 inside; bias (N) f32 or NULL.
 * For what a product's epilogue cannot do: the library's GELU is the tanh form. */
cudaError_t sp_cuda_bias_activate(cudaStream_t stream, bool bf16, const float *bias,
                                  enum sp_activation activation, void *values, size_t rows,
                                  size_t n);

/* The contract's attention.  Query rows and keys of a sequence are found on the device, so that the
 * launch depends on the number of sequences alone. */
cudaError_t sp_cuda_attention(cudaStream_t stream, bool bf16, const struct sp_attention_args *args);

/* The contract's vocab_logp.  Rows go through the vocabulary at most `scratch_rows` at a time;
 * scratch has room for sp_cuda_vocab_logp_scratch_bytes(v, scratch_rows) and belongs to the stream.
 * scratch_rows is a multiple of SP_CUDA_ROW_QUANTUM and does not change any result. */
size_t sp_cuda_vocab_logp_scratch_bytes(size_t v, size_t scratch_rows);
cudaError_t sp_cuda_vocab_logp(cudaStream_t stream, bool bf16, const struct sp_cuda_vocab *vocab,
                               const void *h /* (R, D) act */, size_t rows,
                               const uint32_t *target_row /* (N) */,
                               const int32_t *target_id /* (N) */, size_t targets,
                               float *logp /* (N) */, void *scratch, size_t scratch_rows);

/* The contract's score_head on (R, D) res rows; layers is host memory. */
cudaError_t sp_cuda_score_head(cudaStream_t stream, const struct sp_cuda_dense *layers,
                               size_t n_layers, const void *rows_res, size_t rows,
                               float *score /* (R) */);

/* The contract's schedule; `layers`, args->n_layers of them, stands for args->layers. */
cudaError_t sp_cuda_schedule(cudaStream_t stream, const struct sp_cuda_dense *layers,
                             const struct sp_schedule_args *args);

#ifdef __cplusplus
}
#endif
#endif
