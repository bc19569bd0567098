/* kernels.h - the functions that are compiled once for each instruction set, as one table each. */
#ifndef SP_CPU_KERNELS_H
#define SP_CPU_KERNELS_H

#include "device.h"

/* SP_ISA_NAME(f) is f_avx512 in the files compiled for avx512. */
#define SP_ISA_JOIN_(name, isa) name##_##isa
#define SP_ISA_JOIN(name, isa) SP_ISA_JOIN_(name, isa)
#define SP_ISA_NAME(name) SP_ISA_JOIN(name, SP_ISA)

struct sp_cpu_train_kernels; /* train_kernels.h */

struct sp_cpu_kernels {
  const char *isa;
  const struct sp_cpu_train_kernels *train;
  const struct sp_gemm_engine *portable;
  void (*activate)(enum sp_activation activation, float *values, size_t count);
  enum sp_status (*attention)(struct sp_stream *stream, const struct sp_attention_args *args,
                              struct sp_error *err);
  void (*embed)(struct sp_stream *stream, const struct sp_embedding *embedding,
                const struct sp_norm *norm, const int32_t *ids, const uint32_t *positions,
                size_t rows, float *res, void *act);
  void (*add_norm)(struct sp_stream *stream, const struct sp_norm *norm, const float *x,
                   const float *residual, size_t rows, float *res, void *act);
  enum sp_status (*vocab_logp)(struct sp_stream *stream, const struct sp_vocab *vocab,
                               const void *h, size_t rows, const uint32_t *target_row,
                               const int32_t *target_id, size_t targets, float *logp,
                               struct sp_error *err);
};

extern const struct sp_cpu_kernels sp_cpu_kernels_baseline;
#ifdef __x86_64__
extern const struct sp_cpu_kernels sp_cpu_kernels_avx2, sp_cpu_kernels_avx512,
    sp_cpu_kernels_avx512_bf16;
#endif

#ifdef SP_ISA
extern const struct sp_gemm_engine SP_ISA_NAME(sp_gemm_portable);
void SP_ISA_NAME(sp_cpu_activate)(enum sp_activation activation, float *values, size_t count);
enum sp_status SP_ISA_NAME(sp_cpu_attention)(struct sp_stream *stream,
                                             const struct sp_attention_args *args,
                                             struct sp_error *err);
void SP_ISA_NAME(sp_cpu_embed)(struct sp_stream *stream, const struct sp_embedding *embedding,
                               const struct sp_norm *norm, const int32_t *ids,
                               const uint32_t *positions, size_t rows, float *res, void *act);
void SP_ISA_NAME(sp_cpu_add_norm)(struct sp_stream *stream, const struct sp_norm *norm,
                                  const float *x, const float *residual, size_t rows, float *res,
                                  void *act);
enum sp_status SP_ISA_NAME(sp_cpu_vocab_logp)(struct sp_stream *stream,
                                              const struct sp_vocab *vocab, const void *h,
                                              size_t rows, const uint32_t *target_row,
                                              const int32_t *target_id, size_t targets, float *logp,
                                              struct sp_error *err);
#endif

#endif
