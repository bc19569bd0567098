/* train_ops.h - launchers of the CUDA kernels of training; rules and limits are those of ops.h.
 *
 * Argument structs are the contract's (train.h): host memory, read before the call returns, whose
 * pointers are to device memory.
 * Types      `bf16` says what act is, else f32
 * Scratch    where a launcher takes some, a function beside it gives the bytes, which depend on shapes
 *            alone and never fall as one grows.  It begins at 16 bytes and belongs to the stream
 * Exactness  every sum has one order that depends on shapes alone; no atomics
 * Alignment  any that the types need is right; 16 bytes, of rows too, is fast */
#ifndef SP_CUDA_TRAIN_OPS_H
#define SP_CUDA_TRAIN_OPS_H

#include "ops.h"
#include "train.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- attention ---- */

cudaError_t sp_cuda_train_attention(cudaStream_t stream, bool bf16,
                                    const struct sp_train_attention_args *args);

/* reach: 0 without bias. */
size_t sp_cuda_train_attention_backward_scratch_bytes(size_t rows, size_t heads, size_t reach);
cudaError_t sp_cuda_train_attention_backward(cudaStream_t stream, bool bf16,
                                             const struct sp_train_attention_backward_args *args,
                                             void *scratch);

/* ---- norms, embeddings ---- */

cudaError_t sp_cuda_train_add_norm(cudaStream_t stream, bool bf16,
                                   const struct sp_train_norm_args *args);

size_t sp_cuda_train_add_norm_backward_scratch_bytes(size_t rows, size_t d);
cudaError_t sp_cuda_train_add_norm_backward(cudaStream_t stream,
                                            const struct sp_train_norm_backward_args *args,
                                            void *scratch);

cudaError_t sp_cuda_train_embed(cudaStream_t stream, const struct sp_train_embed_args *args);
cudaError_t sp_cuda_train_segment_add(cudaStream_t stream,
                                      const struct sp_train_segment_args *args);

/* ---- what stands around products ---- */

/* pre += bias in place, out = activation(pre) of pre as it is stored; pre (R, N) act, bias (N) f32 or
 * NULL, out (R, N) f32 where out_f32 is set, else act.  out may be pre where their types are equal. */
cudaError_t sp_cuda_train_activate(cudaStream_t stream, bool bf16, const float *bias,
                                   enum sp_activation activation, void *pre, size_t rows, size_t n,
                                   void *out, bool out_f32);

/* d_pre = d_out * activation'(pre); pre (R, N) act, NULL without an activation (a conversion then);
 * d_out (R, N) f32 where d_out_f32 is set, else act; d_pre (R, N) act, may be d_out where their types
 * are equal. */
cudaError_t sp_cuda_train_activate_backward(cudaStream_t stream, bool bf16,
                                            enum sp_activation activation, const void *pre,
                                            const void *d_out, bool d_out_f32, size_t rows,
                                            size_t n, void *d_pre);

/* sum[c] += sum over rows of values(r, c); values (R, pitch) act, of which the first n columns. */
size_t sp_cuda_train_column_sum_scratch_bytes(size_t rows, size_t n);
cudaError_t sp_cuda_train_column_sum(cudaStream_t stream, bool bf16, const void *values,
                                     size_t rows, size_t n, size_t pitch, float *sum /* (N) */,
                                     void *scratch);

/* to = from as bf16, nearest, ties to even. */
cudaError_t sp_cuda_train_convert(cudaStream_t stream, const float *from, size_t count,
                                  void *to /* (count) bf16 */);

/* ---- losses ---- */

/* Whole rows of logits: loss[r] = logsumexp_v z_rv - z_r,target[r], z = logits + bias; where d_logits
 * is not NULL, d_logits = scale (softmax(z) - one-hot). */
struct sp_cuda_softmax_loss_args {
  const float *logits;   /* (R, pitch), of which the first v columns count */
  const float *bias;     /* (V) or NULL */
  const int32_t *target; /* (R) in [0, V) */
  size_t rows, v, pitch; /* pitch >= v, elements */
  float scale;
  float *loss;    /* out (R), natural log */
  void *d_logits; /* out (R, pitch) act, columns from v on zero; where act is f32 it may be
                            `logits`; NULL: not asked for */
};
cudaError_t sp_cuda_train_softmax_loss(cudaStream_t stream, bool bf16,
                                       const struct sp_cuda_softmax_loss_args *args);

cudaError_t sp_cuda_train_soften(cudaStream_t stream, const struct sp_train_soften_args *args);
cudaError_t sp_cuda_train_soften_backward(cudaStream_t stream,
                                          const struct sp_train_soften_backward_args *args);

/* ---- updates ---- */

cudaError_t sp_cuda_train_adamw(cudaStream_t stream, const struct sp_train_adamw_args *args);

/* out = sum of x_i^2 in f64, on the device. */
size_t sp_cuda_train_square_sum_scratch_bytes(size_t count);
cudaError_t sp_cuda_train_square_sum(cudaStream_t stream, const float *x, size_t count, double *out,
                                     void *scratch);

/* to[i] = ((from[0][i] + from[1][i]) + from[2][i]) + ..; `from` is host memory, n pointers, at most
 * SP_MAX_DEVICES, to memory that the stream's device reads; `to` may be one of them. */
cudaError_t sp_cuda_train_ordered_sum(cudaStream_t stream, const float *const *from, size_t n,
                                      size_t count, float *to);

#ifdef __cplusplus
}
#endif
#endif
