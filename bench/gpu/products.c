/* products.c - the matrix products of BERT encoders on one GPU: what one algorithm for every number
 * of rows costs beside the best that cuBLASLt has for each (bench/gpu.sh runs it).
 *
 * usage: gpu_products [ROWS,.. [N:K,..]]
 *
 * For each weight (N, K), number of rows and epilogue: "ours", the time of the backend's product,
 * whose algorithm does not depend on the rows, and "best", that of the fastest of cuBLASLt's
 * proposals for these rows, with split-K and a workspace allowed.  bf16 in and out, f32 sums, f32 out
 * with a residual; random data.  Times are in microseconds, of back-to-back launches, medians of five.  Prints JSON. */
#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "bf16.h"
#include "clock.h"

enum { proposals = 8, repeats = 5, max_list = 32 };
static const size_t workspace_bytes = (size_t)32 << 20;

extern const struct sp_backend sp_cuda_backend;

/* A kind of product: what ours does, and what the library is asked for. */
static const struct kind {
  const char *name;
  bool ours, residual; /* with a residual the output is f32 */
  enum sp_activation activation;
  cublasLtEpilogue_t epilogue;
} kinds[] = {
    {"plain", false, false, SP_ACT_NONE, CUBLASLT_EPILOGUE_DEFAULT},
    {"bias", true, false, SP_ACT_NONE, CUBLASLT_EPILOGUE_BIAS},
    {"bias_residual", true, true, SP_ACT_NONE, CUBLASLT_EPILOGUE_BIAS},
    {"gelu_tanh", true, false, SP_ACT_GELU_TANH, CUBLASLT_EPILOGUE_GELU_BIAS},
    {"gelu_erf", true, false, SP_ACT_GELU_ERF, CUBLASLT_EPILOGUE_GELU_BIAS},
};
enum { n_kinds = sizeof kinds / sizeof *kinds };

/* qkv, output, up, down of base, the 24x1024 teacher, 4x512 and 4x312. */
static const char standard_shapes[] =
    "2304:768,768:768,3072:768,768:3072,3072:1024,1024:1024,4096:1024,1024:4096,"
    "1536:512,512:512,2048:512,512:2048,936:312,312:312,1200:312,312:1200";
static const char standard_rows[] = "2816,4224,5632,8448,16896,67584";

struct bench {
  struct sp_device *device;
  struct sp_stream *stream;
  cudaStream_t raw;
  cublasLtHandle_t lt;
  void *in, *residual, *out, *weight, *bias, *workspace;
};

/* A product that can be run again and again: ours, or one proposal of the library. */
struct product {
  struct bench *bench;
  const struct kind *kind;
  size_t n, k, rows;
  struct sp_linear *linear; /* ours */
  cublasLtMatmulDesc_t desc;
  cublasLtMatrixLayout_t weight, in, out;
  const cublasLtMatmulAlgo_t *algorithm;
};

static void die(const char *what, const char *why) {
  fprintf(stderr, "gpu_products: %s: %s\n", what, why);
  exit(5);
}
static void check(cudaError_t error, const char *what) {
  if (error != cudaSuccess) {
    die(what, cudaGetErrorString(error));
  }
}
static void check_lt(cublasStatus_t status, const char *what) {
  if (status != CUBLAS_STATUS_SUCCESS) {
    die(what, cublasLtGetStatusString(status));
  }
}
static void check_sp(enum sp_status status, const struct sp_error *err) {
  if (status != SP_OK) {
    die("backend", err->message);
  }
}

static bool launch(const struct product *p) {
  struct bench *b = p->bench;
  if (p->linear) {
    struct sp_error err = {0};
    check_sp(sp_cuda_backend.linear(b->stream, p->linear, b->in,
                                    p->kind->residual ? b->residual : NULL, p->rows, b->out, &err),
             &err);
    return true;
  }
  const float one = 1, beta = p->kind->residual ? 1 : 0;
  return cublasLtMatmul(b->lt, p->desc, &one, b->weight, p->weight, b->in, p->in, &beta,
                        p->kind->residual ? b->residual : b->out, p->out, b->out, p->out,
                        p->algorithm, b->workspace, workspace_bytes,
                        b->raw) == CUBLAS_STATUS_SUCCESS;
}

static void wait_for(const struct product *p) {
  struct sp_error err = {0};
  if (p->linear) {
    check_sp(sp_cuda_backend.finish(p->bench->stream, &err), &err);
  } else {
    check(cudaStreamSynchronize(p->bench->raw), "a product");
  }
}

static double seconds_of(const struct product *p, size_t times) {
  double start = sp_clock_seconds();
  for (size_t i = 0; i < times; i++) {
    launch(p);
  }
  wait_for(p);
  return (sp_clock_seconds() - start) / (double)times;
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* Microseconds; 0 where it does not run. Enough launches for 5 ms a measurement. */
static double time_of(const struct product *p) {
  double all[repeats];
  if (!launch(p)) {
    return 0;
  }
  wait_for(p);
  double once = seconds_of(p, 3);
  size_t times = once < 5e-3 ? (size_t)(5e-3 / once) + 1 : 1;
  for (int i = 0; i < repeats; i++) {
    all[i] = seconds_of(p, times);
  }
  qsort(all, repeats, sizeof *all, by_value);
  return all[repeats / 2] * 1e6;
}

static double time_ours(struct product p, struct sp_linear *linear) {
  p.linear = linear;
  return time_of(&p);
}

static int propose(const struct product *p, cublasLtMatmulHeuristicResult_t *results) {
  cublasLtMatmulPreference_t preference;
  int n = 0;
  check_lt(cublasLtMatmulPreferenceCreate(&preference), "preference");
  check_lt(
      cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                           &workspace_bytes, sizeof workspace_bytes),
      "preference");
  if (cublasLtMatmulAlgoGetHeuristic(p->bench->lt, p->desc, p->weight, p->in, p->out, p->out,
                                     preference, proposals, results, &n) != CUBLAS_STATUS_SUCCESS) {
    n = 0;
  }
  cublasLtMatmulPreferenceDestroy(preference);
  return n;
}

/* The fastest proposal for these rows; 0 without any. */
static double time_best(struct product p) {
  cublasLtMatmulDescOpaque_t desc;
  cublasLtMatrixLayoutOpaque_t weight, in, out;
  cublasLtMatmulHeuristicResult_t results[proposals] = {0};
  const cublasOperation_t turned = CUBLAS_OP_T;
  double best = 0;
  check_lt(cublasLtMatmulDescInit(&desc, CUBLAS_COMPUTE_32F, CUDA_R_32F), "product");
  check_lt(
      cublasLtMatmulDescSetAttribute(&desc, CUBLASLT_MATMUL_DESC_TRANSA, &turned, sizeof turned),
      "product");
  check_lt(cublasLtMatmulDescSetAttribute(&desc, CUBLASLT_MATMUL_DESC_EPILOGUE, &p.kind->epilogue,
                                          sizeof p.kind->epilogue),
           "product");
  if (p.kind->epilogue != CUBLASLT_EPILOGUE_DEFAULT) {
    check_lt(cublasLtMatmulDescSetAttribute(&desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER,
                                            &p.bench->bias, sizeof p.bench->bias),
             "product");
  }
  check_lt(cublasLtMatrixLayoutInit(&weight, CUDA_R_16BF, p.k, p.n, (int64_t)p.k), "layout");
  check_lt(cublasLtMatrixLayoutInit(&in, CUDA_R_16BF, p.k, p.rows, (int64_t)p.k), "layout");
  cudaDataType_t out_type = p.kind->residual ? CUDA_R_32F : CUDA_R_16BF;
  check_lt(cublasLtMatrixLayoutInit(&out, out_type, p.n, p.rows, (int64_t)p.n), "layout");
  p.desc = &desc;
  p.weight = &weight;
  p.in = &in;
  p.out = &out;
  int n = propose(&p, results);
  for (int i = 0; i < n; i++) {
    p.algorithm = &results[i].algo;
    double time = results[i].state == CUBLAS_STATUS_SUCCESS ? time_of(&p) : 0;
    best = time > 0 && (best == 0 || time < best) ? time : best;
  }
  return best;
}

/* ---- data ---- */

static uint64_t next_random(uint64_t *state) { /* splitmix64 */
  uint64_t z = (*state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

static float random_value(uint64_t *state) {
  return (float)(next_random(state) >> 40) * 0x1p-23f - 1;
}

/* Zeros would run faster than any real data. */
static void *random_bf16(const struct bench *b, size_t count) {
  uint64_t state = count;
  uint16_t *host = malloc(count * sizeof *host);
  void *out;
  struct sp_error err = {0};
  if (!host) {
    die("memory", "not enough");
  }
  for (size_t i = 0; i < count; i++) {
    host[i] = sp_bf16_from_f32(random_value(&state));
  }
  check_sp(sp_cuda_backend.alloc(b->device, count * sizeof *host, &out, &err), &err);
  check_sp(sp_cuda_backend.upload(b->stream, out, host, count * sizeof *host, &err), &err);
  check_sp(sp_cuda_backend.finish(b->stream, &err), &err);
  free(host);
  return out;
}

static float *random_f32(size_t count) {
  uint64_t state = count;
  float *out = malloc(count * sizeof *out);
  for (size_t i = 0; out && i < count; i++) {
    out[i] = random_value(&state) * 0.05f;
  }
  return out;
}

static void open_bench(struct bench *b) {
  struct sp_error err = {0};
  size_t n;
  check_sp(sp_cuda_backend.open("0", SP_COMPUTE_BF16, &b->device, 1, &n, &err), &err);
  check_lt(cublasLtCreate(&b->lt), "cuBLASLt");
  check(cudaStreamCreateWithFlags(&b->raw, cudaStreamNonBlocking), "stream");
}

static void close_bench(struct bench *b) {
  check(cudaStreamDestroy(b->raw), "stream");
  cublasLtDestroy(b->lt);
  sp_cuda_backend.close(b->device);
}

/* ---- the table ---- */

static void print_row(const struct product *p, double ours, double best, bool first) {
  double flops = 2.0 * (double)p->n * (double)p->k * (double)p->rows;
  printf("%s  {\"n\": %zu, \"k\": %zu, \"rows\": %zu, \"epilogue\": \"%s\"", first ? "" : ",\n",
         p->n, p->k, p->rows, p->kind->name);
  if (ours > 0) {
    printf(", \"ours_us\": %.2f, \"ours_tflops\": %.1f", ours, flops / ours * 1e-6);
  }
  if (best > 0) {
    printf(", \"best_us\": %.2f, \"best_tflops\": %.1f", best, flops / best * 1e-6);
  }
  if (ours > 0 && best > 0) {
    printf(", \"cost\": %.4f", ours / best - 1);
  }
  printf("}");
}

/* All rows and kinds of one weight; its memory is the backend's until it is destroyed. */
static void measure_shape(struct bench *b, size_t n, size_t k, const size_t *rows, size_t n_rows,
                          bool *first) {
  struct sp_error err = {0};
  size_t most = 0;
  for (size_t i = 0; i < n_rows; i++) {
    most = rows[i] > most ? rows[i] : most;
  }
  float *weight = random_f32(n * k), *bias = random_f32(n);
  struct sp_linear *linear[n_kinds] = {NULL};
  for (int i = 0; weight && bias && i < n_kinds; i++) {
    if (kinds[i].ours) {
      check_sp(sp_cuda_backend.linear_create(b->device, weight, bias, n, k, kinds[i].activation,
                                             SP_ROWS_TOKENS, kinds[i].residual, &linear[i], &err),
               &err);
    }
  }
  check_sp(sp_cuda_backend.stream_create(b->device, &b->stream, &err), &err);
  most += b->device->row_quantum;
  void **buffers[] = {&b->in, &b->residual, &b->out, &b->weight, &b->bias, &b->workspace};
  const size_t counts[] = {most * k, 2 * most * n, 2 * most * n, n * k, 2 * n, workspace_bytes / 2};
  for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
    *buffers[i] = random_bf16(b, counts[i]);
  }
  for (size_t r = 0; r < n_rows; r++) {
    for (int i = 0; i < n_kinds; i++) {
      struct product p = {.bench = b, .kind = &kinds[i], .n = n, .k = k, .rows = rows[r]};
      double ours = linear[i] ? time_ours(p, linear[i]) : 0;
      print_row(&p, ours, time_best(p), *first);
      *first = false;
    }
  }
  for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
    sp_cuda_backend.free(b->device, *buffers[i]);
  }
  sp_cuda_backend.stream_destroy(b->stream);
  for (int i = 0; i < n_kinds; i++) {
    sp_cuda_backend.linear_destroy(linear[i]);
  }
  free(weight);
  free(bias);
}

/* Reads "A,B,.." or with pairs "A:B,..". */
static size_t read_list(const char *text, bool pairs, size_t (*out)[2]) {
  size_t n = 0;
  for (char *end; *text && n < max_list; text = *end == ',' ? end + 1 : end) {
    out[n][0] = strtoul(text, &end, 10);
    if (pairs && *end == ':') {
      out[n][1] = strtoul(end + 1, &end, 10);
    }
    bool good = end != text && (*end == ',' || *end == '\0') && out[n][0] > 0 &&
                out[n][0] <= 1 << 20 && (!pairs || (out[n][1] > 0 && out[n][1] <= 1 << 16));
    if (!good) {
      fprintf(stderr, "usage: gpu_products [ROWS,.. [N:K,..]]\n");
      exit(2);
    }
    n++;
  }
  return n;
}

int main(int argc, char **argv) {
  size_t list[max_list][2], shapes[max_list][2], rows[max_list];
  size_t n_rows = read_list(argc > 1 ? argv[1] : standard_rows, false, list);
  size_t n_shapes = read_list(argc > 2 ? argv[2] : standard_shapes, true, shapes);
  struct bench bench = {0};
  bool first = true;
  for (size_t i = 0; i < n_rows; i++) {
    rows[i] = list[i][0];
  }
  open_bench(&bench);
  printf("{\"device\": \"%s\", \"products\": [\n", bench.device->type);
  for (size_t i = 0; i < n_shapes; i++) {
    measure_shape(&bench, shapes[i][0], shapes[i][1], rows, n_rows, &first);
  }
  printf("\n]}\n");
  close_bench(&bench);
  return 0;
}
