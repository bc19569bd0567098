/* device.h - what stands behind the contract's opaque structs on CUDA; private to this folder.
 *
 * Memory    Weights lie in a list of chunks, one cudaMalloc each.  Every weight takes room from the
 *           newest chunk, so that their addresses are a pure function of the calls that made them:
 *           share_weights copies chunk to chunk.  Room comes back, all of it, when the device's
 *           last weight is destroyed.  The forward pass takes its buffers by one alloc a stream, a
 *           stream its scratch when it is made.  After that nothing is allocated.
 * Threads   weights and streams of one device are made by one thread at a time; a stream is used by
 *           one thread at a time.  Every call makes its device the thread's current one.
 * Type      base.type names what decides bits: GPU, cuBLASLt and a hash of the products'
 *           algorithms, which linear_create chooses.  So it is complete when the weights are made.
 *           The choice is a pure function of GPU, library and shape: equal models on equal devices
 *           agree, and a run that goes on under another library is refused. */
#ifndef SP_CUDA_DEVICE_H
#define SP_CUDA_DEVICE_H

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include "backend.h"
#include "ops.h"

/* Rows of the vocabulary head, and of a padded product, that are worked on together. */
#define SP_CUDA_VOCAB_ROWS 2048
#define SP_CUDA_PAD_ROWS 2048
/* Most models are one chunk of weights; what is larger gets one of its own size. */
#ifndef SP_CUDA_CHUNK_BYTES
#define SP_CUDA_CHUNK_BYTES ((size_t)256 << 20)
#endif
/* Everything that we place begins at a multiple of this. */
#define SP_CUDA_ALIGN 256

extern const struct sp_backend sp_cuda_backend;
extern const struct sp_train_backend sp_cuda_train;

struct sp_cuda_chunk {
  char *data;
  size_t bytes, used;
  struct sp_cuda_chunk *next; /* made after this one */
};

struct sp_cuda_device {
  struct sp_device base; /* first: the contract's view */
  int ordinal;
  size_t sms;
  cudaStream_t setup;  /* copies of weights, zeros */
  cublasLtHandle_t lt; /* asked for algorithms */
  struct sp_cuda_chunk *chunks, *newest;
  size_t weights;      /* objects alive */
  char kind[120];      /* base.type without the algorithms */
  uint64_t algorithms; /* hash of those chosen so far */
  size_t vocab_v;      /* V of the largest vocab; 0 without */
  size_t pad_bytes;    /* that a stream needs for padded products */
};

struct sp_linear {
  struct sp_cuda_device *device;
  size_t n, k;         /* the contract's */
  size_t n_run, k_run; /* as the library sees them: the same, or padded */
  enum sp_activation activation;
  bool out_f32;      /* what it writes, else act */
  bool own_epilogue; /* bias and activation by our kernel, behind the product */
  void *weight;      /* (n_run, k_run) act */
  void *bias;        /* (n) f32 for our kernel, else the output's type with zeros up to n_run */
  cublasLtMatmulDescOpaque_t desc;
  cublasLtMatmulAlgo_t algorithm;
};

struct sp_vocab {
  struct sp_cuda_device *device;
  struct sp_cuda_vocab data;
};
struct sp_embedding {
  struct sp_cuda_device *device;
  struct sp_cuda_embedding data;
};
struct sp_norm {
  struct sp_cuda_device *device;
  struct sp_cuda_norm data;
};
struct sp_dense {
  struct sp_cuda_device *device;
  struct sp_cuda_dense data;
};

struct sp_stream {
  struct sp_cuda_device *device;
  cudaStream_t stream;
  cublasLtHandle_t lt;
  void *scratch; /* one allocation: */
  void *vocab;   /* of vocab_logp */
  char *pad_in;  /* (SP_CUDA_PAD_ROWS, k_run) of a padded product */
  char *pad_out; /* (SP_CUDA_PAD_ROWS, n_run) */
};

static inline struct sp_cuda_device *sp_cuda_device_of(struct sp_device *device) {
  return (struct sp_cuda_device *)device;
}

/* ---- choose.c: which devices there are, and which of them are meant ---- */

struct sp_cuda_facts {
  char name[64];
  int major, minor;
  size_t sms, memory_bytes;
  uint64_t id; /* a hash of its UUID */
};
/* False: there is no such device, or our kernels do not run on it. */
bool sp_cuda_read_facts(int ordinal, struct sp_cuda_facts *facts);
size_t sp_cuda_list(char (*lines)[SP_DEVICE_LINE], size_t room);
size_t sp_cuda_identify(struct sp_device_identity *out, size_t room);
/* "" all usable devices, "0,2" those; at most `room`. */
enum sp_status sp_cuda_choose(const char *spec, int *ordinals, size_t room, size_t *n,
                              struct sp_error *err);

/* ---- device.c ---- */

enum sp_status sp_cuda_open(const char *spec, enum sp_compute compute, struct sp_device **out,
                            size_t room, size_t *n, struct sp_error *err);
void sp_cuda_close(struct sp_device *device);
size_t sp_cuda_batch_tokens(const struct sp_device *device, size_t hidden);
/* Adds an algorithm to the device's type; the other forgets them all. */
void sp_cuda_record_algorithm(struct sp_cuda_device *cuda, const uint32_t *ids, size_t n);
void sp_cuda_forget_algorithms(struct sp_cuda_device *cuda);
/* SP_EDEVICE, naming both, where two devices have not one type. */
enum sp_status sp_cuda_check_types(struct sp_device *const *devices, size_t n,
                                   struct sp_error *err);

/* ---- memory.c ---- */

/* Room for weights, SP_CUDA_ALIGN aligned. */
enum sp_status sp_cuda_carve(struct sp_cuda_device *cuda, size_t bytes, void **out,
                             struct sp_error *err);
void sp_cuda_free_chunks(struct sp_cuda_device *cuda);
/* Counts an object; the last one's end frees the chunks and forgets the algorithms. */
void sp_cuda_weight_made(struct sp_cuda_device *cuda);
void sp_cuda_weight_gone(struct sp_cuda_device *cuda);
/* Device memory that is not zeroed. */
enum sp_status sp_cuda_malloc(const struct sp_cuda_device *cuda, size_t bytes, void **out,
                              struct sp_error *err);
/* Fills weights, and waits until they are there. */
enum sp_status sp_cuda_put(const struct sp_cuda_device *cuda, void *to, const void *from,
                           size_t bytes, struct sp_error *err);
enum sp_status sp_cuda_zero(const struct sp_cuda_device *cuda, void *data, size_t bytes,
                            struct sp_error *err);
enum sp_status sp_cuda_alloc(struct sp_device *device, size_t bytes, void **out,
                             struct sp_error *err);
void sp_cuda_free(struct sp_device *device, void *data);
enum sp_status sp_cuda_alloc_host(struct sp_device *device, size_t bytes, void **out,
                                  struct sp_error *err);
void sp_cuda_free_host(struct sp_device *device, void *data);

/* ---- weights.c ---- */

/* `rows` rows of `width` floats as (rows_run, pitch) elements, of act or f32, with zeros around
 * them; a NULL source only takes the room. */
enum sp_status sp_cuda_make_rows(struct sp_cuda_device *cuda, enum sp_compute type,
                                 const float *from, size_t rows, size_t width, size_t rows_run,
                                 size_t pitch, void **out, struct sp_error *err);
enum sp_status sp_cuda_make_act(struct sp_cuda_device *cuda, const float *from, size_t rows,
                                size_t width, size_t rows_run, size_t pitch, void **out,
                                struct sp_error *err);
enum sp_status sp_cuda_make_f32(struct sp_cuda_device *cuda, const float *from, size_t count,
                                float **out, struct sp_error *err);
enum sp_status sp_cuda_vocab_create(struct sp_device *device, const float *weight,
                                    const float *bias, size_t v, size_t d, struct sp_vocab **out,
                                    struct sp_error *err);
void sp_cuda_vocab_destroy(struct sp_vocab *vocab);
enum sp_status sp_cuda_norm_create(struct sp_device *device, const float *gamma, const float *beta,
                                   size_t d, float eps, struct sp_norm **out, struct sp_error *err);
void sp_cuda_norm_destroy(struct sp_norm *norm);
enum sp_status sp_cuda_embedding_create(struct sp_device *device, const float *words,
                                        const float *positions, const float *type0, size_t v,
                                        size_t p, size_t d, struct sp_embedding **out,
                                        struct sp_error *err);
void sp_cuda_embedding_destroy(struct sp_embedding *embedding);
enum sp_status sp_cuda_dense_create(struct sp_device *device, const float *weight,
                                    const float *bias, size_t n, size_t k,
                                    enum sp_activation activation, struct sp_dense **out,
                                    struct sp_error *err);
void sp_cuda_dense_destroy(struct sp_dense *dense);

/* ---- linear.c, algorithm.c ---- */

enum sp_status sp_cuda_linear_create(struct sp_device *device, const float *weight,
                                     const float *bias, size_t n, size_t k,
                                     enum sp_activation activation, enum sp_row_kind rows,
                                     bool out_res, struct sp_linear **out, struct sp_error *err);
void sp_cuda_linear_destroy(struct sp_linear *linear);
enum sp_status sp_cuda_linear(struct sp_stream *stream, const struct sp_linear *linear,
                              const void *in, const void *residual, size_t rows, void *out,
                              struct sp_error *err);
/* The matrices of a product as the library counts them, column by column: d = a b. */
struct sp_cuda_layouts {
  cublasLtMatrixLayoutOpaque_t a, b, d;
};
/* Of a linear, `rows` rows: out^T (n, rows) = weight (n, k) in^T (k, rows), with the weight read
 * transposed. */
enum sp_status sp_cuda_lay_out(const struct sp_linear *linear, size_t rows,
                               struct sp_cuda_layouts *out, struct sp_error *err);
/* Sets linear->algorithm and records it; *found false: the library has none for n_run, k_run. */
enum sp_status sp_cuda_choose_algorithm(struct sp_linear *linear, size_t reference_rows,
                                        bool *found, struct sp_error *err);
/* The library's first proposal that gives a whole dot product to one block; where `workspace`
 * (bytes) is not 0, also one that divides it, leaves the parts there in f32, and sums them in their
 * order. */
enum sp_status sp_cuda_find_algorithm(const struct sp_cuda_device *cuda,
                                      cublasLtMatmulDescOpaque_t *desc,
                                      struct sp_cuda_layouts *layouts, size_t workspace,
                                      cublasLtMatmulAlgo_t *out, bool *found, struct sp_error *err);
/* Adds what decides the algorithm's bits, and the product's n, k and output type, to the type. */
void sp_cuda_record_product(struct sp_cuda_device *cuda, size_t n, size_t k, bool out_f32,
                            const cublasLtMatmulAlgo_t *algorithm);

/* ---- share.c, stream.c ---- */

enum sp_status sp_cuda_share_weights(struct sp_device *const *devices, size_t n,
                                     struct sp_share_job *job, struct sp_error *err);
enum sp_status sp_cuda_stream_create(struct sp_device *device, struct sp_stream **out,
                                     struct sp_error *err);
void sp_cuda_stream_destroy(struct sp_stream *stream);
enum sp_status sp_cuda_upload(struct sp_stream *stream, void *to, const void *from, size_t bytes,
                              struct sp_error *err);
enum sp_status sp_cuda_download(struct sp_stream *stream, void *to, const void *from, size_t bytes,
                                struct sp_error *err);
enum sp_status sp_cuda_finish(struct sp_stream *stream, struct sp_error *err);

#endif
