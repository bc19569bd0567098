/* device.h - what stands behind the contract's opaque structs on the CPU; private to this folder.
 *
 * Letters as in backend.h.  Rows of parameter vectors are padded with zeros to a multiple of
 * SP_CPU_PAD floats, so that kernels read whole registers. */
#ifndef SP_CPU_DEVICE_H
#define SP_CPU_DEVICE_H

#include <pthread.h>

#include "backend.h"
#include "gemm.h"

#define SP_CPU_PAD 16
#define SP_CPU_HEAD_DIM_MAX 256
/* Keys of one attention tile: a mask word. Query rows that are worked on together. */
#define SP_CPU_KEY_TILE 64
#define SP_CPU_QUERY_TILE 64
#define SP_CPU_VOCAB_CHUNK 2048
#define SP_CPU_TILE_TOKENS 256
#define SP_CPU_TILE_SCORED 64
/* Rows of the scalar head that are worked on together. */
#define SP_CPU_TILE_DENSE 64

struct sp_cpu_kernels;

/* The gemms of one engine on one device, and the engine's context. */
struct sp_gemm_set {
  const struct sp_gemm_engine *engine;
  struct sp_gemm_context *context;
  struct sp_gemm *newest;
};

struct sp_cpu_device {
  struct sp_device base; /* first: the contract's view */
  const struct sp_cpu_kernels *kernels;
  pthread_mutex_t lock;        /* guards what follows while weights are made */
  struct sp_gemm_set products; /* linear and vocab */
  struct sp_gemm_set heads;    /* dense: always the portable engine in f32 */
  size_t max_norm_width;       /* D of the widest norm */
  size_t max_dense_width;      /* N of the widest dense layer */
  bool has_vocab;
};

struct sp_linear {
  struct sp_cpu_device *device;
  struct sp_gemm *gemm;
  enum sp_activation after; /* of the f32 product, by our own kernel */
  bool out_res;
};

struct sp_vocab {
  struct sp_cpu_device *device;
  struct sp_gemm *gemm; /* slabs of SP_CPU_VOCAB_CHUNK columns */
  size_t v;
};

struct sp_dense {
  struct sp_cpu_device *device;
  struct sp_gemm *gemm;
};

struct sp_norm {
  float *gamma, *beta; /* (D) padded */
  size_t d;
  float eps;
};

struct sp_embedding {
  float *words;     /* (V, D) */
  float *positions; /* (P, D) with type0 added */
  size_t d;
};

/* One thread's memory. */
struct sp_stream {
  struct sp_cpu_device *device;
  struct sp_gemm_lane *product_lane, *head_lane;
  float *row;          /* (D) of the widest norm, padded */
  float *attention;    /* struct of arrays, laid out in attention.c */
  float *logits;       /* (tile, SP_CPU_VOCAB_CHUNK); NULL without a vocab */
  float *logit_max;    /* (tile) */
  double *logit_sum;   /* (tile) */
  float *head_rows[2]; /* (SP_CPU_TILE_DENSE, N) of the widest dense layer */
};

/* Floats that attention needs a stream. */
#define SP_CPU_ATTENTION_FLOATS                                          \
  (SP_CPU_HEAD_DIM_MAX * (2 * SP_CPU_QUERY_TILE + 2 * SP_CPU_KEY_TILE) + \
   SP_CPU_QUERY_TILE * SP_CPU_KEY_TILE + 2 * SP_CPU_QUERY_TILE + SP_CPU_PAD)

static inline struct sp_cpu_device *sp_cpu_device_of(struct sp_device *device) {
  return (struct sp_cpu_device *)device;
}

/* `count` floats aligned to 64 bytes and padded to SP_CPU_PAD, zeroed; NULL when out of memory. */
void *sp_cpu_alloc_floats(size_t count);

/* Makes a gemm and puts it into the set, under the device's lock. */
enum sp_status sp_cpu_gemm_create(struct sp_cpu_device *device, struct sp_gemm_set *set,
                                  const struct sp_gemm_spec *spec, const float *weight,
                                  const float *bias, size_t total, struct sp_gemm **out,
                                  struct sp_error *err);
void sp_cpu_gemm_destroy(struct sp_cpu_device *device, struct sp_gemm_set *set,
                         struct sp_gemm *gemm);

/* The contract's functions, each in the file of its name; objects in weights.c. */
size_t sp_cpu_list(char (*lines)[SP_DEVICE_LINE], size_t room);
enum sp_status sp_cpu_open(const char *spec, enum sp_compute compute, struct sp_device **out,
                           size_t room, size_t *n, struct sp_error *err);
void sp_cpu_close(struct sp_device *device);
enum sp_status sp_cpu_linear_create(struct sp_device *device, const float *weight,
                                    const float *bias, size_t n, size_t k,
                                    enum sp_activation activation, enum sp_row_kind rows,
                                    bool out_res, struct sp_linear **out, struct sp_error *err);
void sp_cpu_linear_destroy(struct sp_linear *linear);
enum sp_status sp_cpu_vocab_create(struct sp_device *device, const float *weight, const float *bias,
                                   size_t v, size_t d, struct sp_vocab **out, struct sp_error *err);
void sp_cpu_vocab_destroy(struct sp_vocab *vocab);
enum sp_status sp_cpu_norm_create(struct sp_device *device, const float *gamma, const float *beta,
                                  size_t d, float eps, struct sp_norm **out, struct sp_error *err);
void sp_cpu_norm_destroy(struct sp_norm *norm);
enum sp_status sp_cpu_embedding_create(struct sp_device *device, const float *words,
                                       const float *positions, const float *type0, size_t v,
                                       size_t p, size_t d, struct sp_embedding **out,
                                       struct sp_error *err);
void sp_cpu_embedding_destroy(struct sp_embedding *embedding);
enum sp_status sp_cpu_dense_create(struct sp_device *device, const float *weight, const float *bias,
                                   size_t n, size_t k, enum sp_activation activation,
                                   struct sp_dense **out, struct sp_error *err);
void sp_cpu_dense_destroy(struct sp_dense *dense);
enum sp_status sp_cpu_stream_create(struct sp_device *device, struct sp_stream **out,
                                    struct sp_error *err);
void sp_cpu_stream_destroy(struct sp_stream *stream);
enum sp_status sp_cpu_expand(struct sp_stream *stream, const struct sp_expand_args *args,
                             struct sp_error *err);
enum sp_status sp_cpu_linear(struct sp_stream *stream, const struct sp_linear *linear,
                             const void *in, const void *residual, size_t rows, void *out,
                             struct sp_error *err);
enum sp_status sp_cpu_mask(struct sp_stream *stream, const struct sp_mask_args *args,
                           struct sp_error *err);
enum sp_status sp_cpu_schedule(struct sp_stream *stream, const struct sp_schedule_args *args,
                               struct sp_error *err);
enum sp_status sp_cpu_gather(struct sp_stream *stream, const void *from, size_t row_bytes,
                             const uint32_t *index, size_t rows, void *to, struct sp_error *err);
enum sp_status sp_cpu_score_head(struct sp_stream *stream, const struct sp_dense *const *layers,
                                 size_t n_layers, const void *rows_res, size_t rows, float *score,
                                 struct sp_error *err);

#endif
