/* algorithm.c - chooses how cuBLASLt computes a product, once for every number of rows.
 *
 * A row's sum must not depend on how many rows there are.  So the algorithm is chosen at one
 * reference number of rows and used for all, and only those count that give a whole dot product to
 * one block: split-K 1, no reduction scheme, and no workspace, which a product that divides K among
 * blocks in any other way would need for the parts.  The first that the library proposes is taken;
 * its proposals are a pure function of GPU, library version and shape.
 *
 * Training asks for less where it sums over rows: gradients of weights have few tiles and long
 * sums. Equal calls must give equal bits, and there the parts may lie in a workspace, f32, to be
 * summed in their order by a pass of their own; never where blocks add to one place. */
#include "check.h"

enum { proposals = 32, alignment_bytes = 16 };

static cudaDataType_t type_of(const struct sp_cuda_device *cuda) {
  return cuda->base.compute == SP_COMPUTE_BF16 ? CUDA_R_16BF : CUDA_R_32F;
}

enum sp_status sp_cuda_lay_out(const struct sp_linear *linear, size_t rows,
                               struct sp_cuda_layouts *out, struct sp_error *err) {
  const struct sp_cuda_device *cuda = linear->device;
  cudaDataType_t type = type_of(cuda), out_type = linear->out_f32 ? CUDA_R_32F : type;
  size_t n = linear->n_run, k = linear->k_run;
  SP_TRY(SP_CUBLAS(cuda, cublasLtMatrixLayoutInit(&out->a, type, k, n, (int64_t)k), err));
  SP_TRY(SP_CUBLAS(cuda, cublasLtMatrixLayoutInit(&out->b, type, k, rows, (int64_t)k), err));
  return SP_CUBLAS(cuda, cublasLtMatrixLayoutInit(&out->d, out_type, n, rows, (int64_t)n), err);
}

static cublasStatus_t set_preference(cublasLtMatmulPreference_t preference, uint64_t workspace) {
  static const cublasLtMatmulPreferenceAttributes_t alignments[] = {
      CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
      CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES};
  const uint32_t schemes =
      workspace ? CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE : CUBLASLT_REDUCTION_SCHEME_NONE;
  const uint32_t bytes = alignment_bytes;
  cublasStatus_t status = cublasLtMatmulPreferenceSetAttribute(
      preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace);
  if (status == CUBLAS_STATUS_SUCCESS) {
    status = cublasLtMatmulPreferenceSetAttribute(
        preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &schemes, sizeof schemes);
  }
  for (int i = 0; i < 4 && status == CUBLAS_STATUS_SUCCESS; i++) {
    status = cublasLtMatmulPreferenceSetAttribute(preference, alignments[i], &bytes, sizeof bytes);
  }
  return status;
}

/* The library's proposals; none is no failure. */
static enum sp_status ask(const struct sp_cuda_device *cuda, cublasLtMatmulDescOpaque_t *desc,
                          struct sp_cuda_layouts *layouts, cublasLtMatmulPreference_t preference,
                          cublasLtMatmulHeuristicResult_t results[proposals], int *n,
                          struct sp_error *err) {
  *n = 0;
  cublasStatus_t status =
      cublasLtMatmulAlgoGetHeuristic(cuda->lt, desc, &layouts->a, &layouts->b, &layouts->d,
                                     &layouts->d, preference, proposals, results, n);
  if (status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_INVALID_VALUE) {
    *n = 0;
    return SP_OK;
  }
  return SP_CUBLAS(cuda, status, err);
}

/* Shapes are of 16 bits, the others of 32. What the algorithm lacks counts as 0. */
static uint32_t read_id(const cublasLtMatmulAlgo_t *algorithm,
                        cublasLtMatmulAlgoConfigAttributes_t which) {
  bool shape = which == CUBLASLT_ALGO_CONFIG_INNER_SHAPE_ID ||
               which == CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID;
  uint32_t value = 0;
  uint16_t half = 0;
  size_t written = 0;
  (void)cublasLtMatmulAlgoConfigGetAttribute(algorithm, which, shape ? (void *)&half : &value,
                                             shape ? sizeof half : sizeof value, &written);
  return shape ? half : value;
}

static bool sums_in_order(const cublasLtMatmulHeuristicResult_t *result, size_t workspace) {
  uint32_t parts = read_id(&result->algo, CUBLASLT_ALGO_CONFIG_SPLITK_NUM);
  uint32_t scheme = read_id(&result->algo, CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME);
  bool whole = parts <= 1 && scheme == CUBLASLT_REDUCTION_SCHEME_NONE && result->workspaceSize == 0;
  bool divided = parts > 1 && scheme == CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE &&
                 result->workspaceSize <= workspace;
  return result->state == CUBLAS_STATUS_SUCCESS && (whole || divided);
}

enum sp_status sp_cuda_find_algorithm(const struct sp_cuda_device *cuda,
                                      cublasLtMatmulDescOpaque_t *desc,
                                      struct sp_cuda_layouts *layouts, size_t workspace,
                                      cublasLtMatmulAlgo_t *out, bool *found,
                                      struct sp_error *err) {
  cublasLtMatmulHeuristicResult_t results[proposals] = {0};
  cublasLtMatmulPreference_t preference;
  int n = 0;
  *found = false;
  SP_TRY(sp_cuda_enter(cuda, err));
  SP_TRY(SP_CUBLAS(cuda, cublasLtMatmulPreferenceCreate(&preference), err));
  enum sp_status status = SP_CUBLAS(cuda, set_preference(preference, workspace), err);
  if (status == SP_OK) {
    status = ask(cuda, desc, layouts, preference, results, &n, err);
  }
  (void)cublasLtMatmulPreferenceDestroy(preference);
  for (int i = 0; i < n && status == SP_OK && !*found; i++) {
    if (sums_in_order(&results[i], workspace)) {
      *out = results[i].algo;
      *found = true;
    }
  }
  return status;
}

void sp_cuda_record_product(struct sp_cuda_device *cuda, size_t n, size_t k, bool out_f32,
                            const cublasLtMatmulAlgo_t *algorithm) {
  static const cublasLtMatmulAlgoConfigAttributes_t which[] = {
      CUBLASLT_ALGO_CONFIG_ID,
      CUBLASLT_ALGO_CONFIG_TILE_ID,
      CUBLASLT_ALGO_CONFIG_STAGES_ID,
      CUBLASLT_ALGO_CONFIG_CTA_SWIZZLING,
      CUBLASLT_ALGO_CONFIG_CUSTOM_OPTION,
      CUBLASLT_ALGO_CONFIG_INNER_SHAPE_ID,
      CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID};
  enum { n_ids = sizeof which / sizeof which[0] };
  uint32_t ids[n_ids + 4] = {(uint32_t)n, (uint32_t)k, out_f32};
  uint32_t parts = read_id(algorithm, CUBLASLT_ALGO_CONFIG_SPLITK_NUM);
  for (int i = 0; i < n_ids; i++) {
    ids[i + 3] = read_id(algorithm, which[i]);
  }
  ids[n_ids + 3] = parts;
  sp_cuda_record_algorithm(cuda, ids, parts > 1 ? n_ids + 4 : n_ids + 3);
}

enum sp_status sp_cuda_choose_algorithm(struct sp_linear *linear, size_t reference_rows,
                                        bool *found, struct sp_error *err) {
  struct sp_cuda_device *cuda = linear->device;
  struct sp_cuda_layouts layouts;
  *found = false;
  SP_TRY(sp_cuda_lay_out(linear, reference_rows, &layouts, err));
  SP_TRY(sp_cuda_find_algorithm(cuda, &linear->desc, &layouts, 0, &linear->algorithm, found, err));
  if (*found) {
    sp_cuda_record_product(cuda, linear->n, linear->k, linear->out_f32, &linear->algorithm);
  }
  return SP_OK;
}
