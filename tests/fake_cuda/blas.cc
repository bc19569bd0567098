// blas.cc - the functions of cuBLASLt that the glue calls: plain loops, sums in f32 and in order.
#include <cublasLt.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "bf16.h"
#include "machine.h"

using namespace sp_fake_cuda;

struct cublasLtContext {
  int device;
};

struct cublasLtMatmulPreferenceStruct {
  uint64_t workspace;
  uint32_t schemes, alignment[4];
};

namespace {

// What stands in the opaque structs.
struct Layout {
  uint64_t type, rows, columns;
  int64_t ld;
};
struct Desc {
  uint32_t transposed_a, transposed_b, epilogue;
  const void *bias;
};
struct Algorithm {
  uint32_t id, tile, split_k, scheme, swizzle, custom, stages;
};

template <typename T, typename Opaque>
T Open(const Opaque *from) {
  static_assert(sizeof(T) <= sizeof(Opaque), "the opaque struct has no room");
  T value;
  memcpy(&value, from, sizeof value);
  return value;
}

template <typename T, typename Opaque>
void Close(const T &value, Opaque *to) {
  memset(to, 0, sizeof *to);
  memcpy(to, &value, sizeof value);
}

cublasStatus_t Status(cudaError_t error) {
  return error == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}

size_t TypeBytes(uint64_t type) {
  return type == CUDA_R_16BF ? 2 : 4;
}

float ReadAt(const void *data, uint64_t type, size_t i) {
  return type == CUDA_R_16BF ? sp_bf16_to_f32(static_cast<const uint16_t *>(data)[i])
                             : static_cast<const float *>(data)[i];
}

void WriteAt(void *data, uint64_t type, size_t i, float x) {
  if (type == CUDA_R_16BF) {
    static_cast<uint16_t *>(data)[i] = sp_bf16_from_f32(x);
  } else {
    static_cast<float *>(data)[i] = x;
  }
}

size_t LayoutBytes(const Layout &layout) {
  return ((layout.columns - 1) * static_cast<size_t>(layout.ld) + layout.rows) *
         TypeBytes(layout.type);
}

// The matrix with its summed dimension lying together: that of the rows, or of the columns where
// `along_columns`.
std::vector<float> Sums(const void *data, const Layout &layout, bool along_columns) {
  std::vector<float> out(layout.rows * layout.columns);
  for (size_t c = 0; c < layout.columns; c++) {
    for (size_t r = 0; r < layout.rows; r++) {
      size_t at = along_columns ? r * layout.columns + c : c * layout.rows + r;
      out[at] = ReadAt(data, layout.type, c * static_cast<size_t>(layout.ld) + r);
    }
  }
  return out;
}

float Activate(uint32_t epilogue, float x) {
  if (epilogue == CUBLASLT_EPILOGUE_RELU_BIAS)
    return x > 0 ? x : 0;
  if (epilogue == CUBLASLT_EPILOGUE_GELU_BIAS)
    return 0.5f * x * (1 + std::tanh(0.7978845608f * (x + 0.044715f * x * x * x)));
  return x;
}

// A product, with everything that it needs when it runs. Operands as the descriptor turns them.
struct Product {
  Desc desc;
  Layout a_layout, b_layout, d_layout;
  float alpha, beta;
  const void *a, *b, *c;
  void *d;
  int device;
  uint32_t parts;  // of every sum
  void *workspace;

  // What is summed over, as either operand has it.
  size_t SummedOfA() const {
    return desc.transposed_a ? a_layout.rows : a_layout.columns;
  }
  size_t SummedOfB() const {
    return desc.transposed_b ? b_layout.columns : b_layout.rows;
  }
};

size_t PartsBytes(const Layout &d, uint32_t parts) {
  return parts > 1 ? d.rows * d.columns * sizeof(float) * parts : 0;
}

bool HasMemory(const Product &p) {
  size_t out = LayoutBytes(p.d_layout), parts = PartsBytes(p.d_layout, p.parts);
  bool bias = p.desc.epilogue == CUBLASLT_EPILOGUE_DEFAULT ||
              IsDeviceMemory(p.desc.bias, p.d_layout.rows * TypeBytes(p.d_layout.type), p.device);
  bool room = parts == 0 || TheMachine().options.divided_sums ||
              IsDeviceMemory(p.workspace, parts, p.device);
  return bias && room && IsDeviceMemory(p.a, LayoutBytes(p.a_layout), p.device) &&
         IsDeviceMemory(p.b, LayoutBytes(p.b_layout), p.device) &&
         IsDeviceMemory(p.d, out, p.device) && (p.beta == 0 || IsDeviceMemory(p.c, out, p.device));
}

// In order, or by parts that are added in order.
float Dot(const float *a, const float *b, size_t k, uint32_t parts) {
  size_t each = (k + parts - 1) / parts;
  float sum = 0;
  for (size_t first = 0; first < k; first += each) {
    float part = 0;
    for (size_t i = first; i < std::min(first + each, k); i++)
      part += a[i] * b[i];
    sum += part;
  }
  return sum;
}

cudaError_t Run(const Product &p) {
  if (!HasMemory(p))
    return Mistake("cublasLtMatmul with memory that is no device's, freed, or too small");
  std::vector<float> a = Sums(p.a, p.a_layout, !p.desc.transposed_a);
  std::vector<float> b = Sums(p.b, p.b_layout, p.desc.transposed_b);
  size_t k = p.SummedOfA();
  uint64_t type = p.d_layout.type;
  for (size_t r = 0; r < p.d_layout.columns; r++) {
    for (size_t j = 0; j < p.d_layout.rows; j++) {
      size_t at = r * static_cast<size_t>(p.d_layout.ld) + j;
      float value = p.alpha * Dot(&a[j * k], &b[r * k], k, p.parts) +
                    (p.beta != 0 ? p.beta * ReadAt(p.c, type, at) : 0);
      if (p.desc.epilogue != CUBLASLT_EPILOGUE_DEFAULT)
        value += ReadAt(p.desc.bias, type, j);
      WriteAt(p.d, type, at, Activate(p.desc.epilogue, value));
    }
  }
  return cudaSuccess;
}

bool Fit(const Product &p) {
  size_t m = p.desc.transposed_a ? p.a_layout.columns : p.a_layout.rows;
  size_t n = p.desc.transposed_b ? p.b_layout.rows : p.b_layout.columns;
  auto whole = [](const Layout &l) {
    return l.rows > 0 && l.columns > 0 && static_cast<uint64_t>(l.ld) >= l.rows;
  };
  return whole(p.a_layout) && whole(p.b_layout) && whole(p.d_layout) &&
         p.SummedOfA() == p.SummedOfB() && m == p.d_layout.rows && n == p.d_layout.columns &&
         p.a_layout.type == p.b_layout.type &&
         (p.d_layout.type == p.a_layout.type || p.d_layout.type == CUDA_R_32F);
}

cublasLtMatmulHeuristicResult_t Proposal(uint32_t split_k, uint32_t scheme, size_t workspace,
                                         uint32_t tile) {
  cublasLtMatmulHeuristicResult_t result{};
  Close(Algorithm{21, tile, split_k, scheme, 0, 0, 4}, &result.algo);
  result.workspaceSize = workspace;
  result.state = CUBLAS_STATUS_SUCCESS;
  result.wavesCount = 1;
  return result;
}

}  // namespace

extern "C" {

const char *cublasLtGetStatusString(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return "the operation completed successfully";
    case CUBLAS_STATUS_EXECUTION_FAILED:
      return "the function failed to launch on the GPU";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "the requested functionality is not supported";
    default:
      return "an internal operation failed";
  }
}

size_t cublasLtGetVersion(void) {
  return 130099;
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle) {
  Lock lock(TheMachine().mutex);
  cudaError_t error = Begin("cublasLtCreate", CurrentDevice());
  if (error == cudaSuccess) {
    *handle = new cublasLtContext{CurrentDevice()};
    AddObject(*handle);
  }
  return Status(error);
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  Lock lock(TheMachine().mutex);
  if (!DropObject(handle))
    return Status(Mistake("cublasLtDestroy of what is no handle"));
  int device = handle->device;
  delete handle;
  return Status(Begin("cublasLtDestroy", device));
}

cublasStatus_t cublasLtMatrixLayoutInit(cublasLtMatrixLayout_t layout, cudaDataType_t type,
                                        uint64_t rows, uint64_t columns, int64_t ld) {
  Lock lock(TheMachine().mutex);
  Close(Layout{static_cast<uint64_t>(type), rows, columns, ld}, layout);
  return Status(Begin("cublasLtMatrixLayoutInit", kHost));
}

cublasStatus_t cublasLtMatmulDescInit(cublasLtMatmulDesc_t desc, cublasComputeType_t,
                                      cudaDataType_t) {
  Lock lock(TheMachine().mutex);
  Close(Desc{0, 0, CUBLASLT_EPILOGUE_DEFAULT, nullptr}, desc);
  return Status(Begin("cublasLtMatmulDescInit", kHost));
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc,
                                              cublasLtMatmulDescAttributes_t which,
                                              const void *value, size_t bytes) {
  Lock lock(TheMachine().mutex);
  Desc open = Open<Desc>(desc);
  void *to = which == CUBLASLT_MATMUL_DESC_TRANSA     ? static_cast<void *>(&open.transposed_a)
             : which == CUBLASLT_MATMUL_DESC_TRANSB   ? static_cast<void *>(&open.transposed_b)
             : which == CUBLASLT_MATMUL_DESC_EPILOGUE ? static_cast<void *>(&open.epilogue)
                                                      : static_cast<void *>(&open.bias);
  memcpy(to, value, bytes);
  Close(open, desc);
  return Status(Begin("cublasLtMatmulDescSetAttribute", kHost));
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *preference) {
  Lock lock(TheMachine().mutex);
  cudaError_t error = Begin("cublasLtMatmulPreferenceCreate", kHost);
  if (error == cudaSuccess) {
    *preference = new cublasLtMatmulPreferenceStruct{};
    AddObject(*preference);
  }
  return Status(error);
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  Lock lock(TheMachine().mutex);
  if (!DropObject(preference))
    return Status(Mistake("cublasLtMatmulPreferenceDestroy of what is none"));
  delete preference;
  return Status(Begin("cublasLtMatmulPreferenceDestroy", kHost));
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t which,
                                                    const void *value, size_t bytes) {
  Lock lock(TheMachine().mutex);
  void *to = &preference->workspace;
  if (which == CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK) {
    to = &preference->schemes;
  } else if (which >= CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES) {
    to = &preference->alignment[which - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES];
  }
  memcpy(to, value, bytes);
  return Status(Begin("cublasLtMatmulPreferenceSetAttribute", kHost));
}

// Two that a caller who wants one fixed order of sums must pass over, one with divided sums for
// whom it is enough that they are added in order and has room for them, then the one for all
// others.
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int wanted,
                                              cublasLtMatmulHeuristicResult_t results[],
                                              int *found) {
  Machine &m = TheMachine();
  Lock lock(m.mutex);
  cudaError_t error = Begin("cublasLtMatmulAlgoGetHeuristic", handle->device);
  if (error != cudaSuccess)
    return Status(error);
  Layout weight = Open<Layout>(a), out = Open<Layout>(d);
  bool unaligned =
      weight.type == CUDA_R_16BF && (weight.ld % 8 || Open<Layout>(b).ld % 8 ||
                                     static_cast<size_t>(out.ld) * TypeBytes(out.type) % 16);
  if (wanted < 4 || m.options.refuse_all || (unaligned && m.options.refuse_unaligned))
    return CUBLAS_STATUS_NOT_SUPPORTED;
  uint32_t tile = static_cast<uint32_t>(weight.rows * 31 + weight.columns) % 97;
  size_t parts = PartsBytes(out, 3);
  results[0] = Proposal(4, CUBLASLT_REDUCTION_SCHEME_INPLACE, 0, tile);
  results[1] = Proposal(1, CUBLASLT_REDUCTION_SCHEME_NONE, 4096, tile);
  results[2] = Proposal(3, CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE, parts, tile);
  results[3] = Proposal(1, CUBLASLT_REDUCTION_SCHEME_NONE, 0, tile);
  if (parts > preference->workspace)
    results[2] = results[3];
  *found = 4;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoConfigGetAttribute(const cublasLtMatmulAlgo_t *algo,
                                                    cublasLtMatmulAlgoConfigAttributes_t which,
                                                    void *value, size_t bytes, size_t *written) {
  Algorithm open = Open<Algorithm>(algo);
  const uint32_t ids[] = {
      open.id, open.tile, open.split_k, open.scheme, open.swizzle, open.custom, open.stages, 0, 1};
  if (bytes != (which >= CUBLASLT_ALGO_CONFIG_INNER_SHAPE_ID ? 2 : 4))
    return CUBLAS_STATUS_INVALID_VALUE;
  memcpy(value, &ids[which], bytes);
  *written = bytes;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, const void *alpha,
                              const void *a, cublasLtMatrixLayout_t a_layout, const void *b,
                              cublasLtMatrixLayout_t b_layout, const void *beta, const void *c,
                              cublasLtMatrixLayout_t, void *d, cublasLtMatrixLayout_t d_layout,
                              const cublasLtMatmulAlgo_t *algo, void *workspace,
                              size_t workspace_bytes, cudaStream_t stream) {
  Machine &m = TheMachine();
  Lock lock(m.mutex);
  if (!m.objects.count(handle) || !IsLive(stream) || stream->device != handle->device ||
      stream->device != CurrentDevice())
    return Status(Mistake("cublasLtMatmul with a handle or stream that is none here"));
  cudaError_t error = Begin("cublasLtMatmul", stream->device);
  if (error != cudaSuccess)
    return Status(error);
  Algorithm algorithm = Open<Algorithm>(algo);
  Product p{Open<Desc>(desc),
            Open<Layout>(a_layout),
            Open<Layout>(b_layout),
            Open<Layout>(d_layout),
            0,
            0,
            a,
            b,
            c,
            d,
            stream->device,
            algorithm.split_k,
            workspace};
  memcpy(&p.alpha, alpha, sizeof p.alpha);
  memcpy(&p.beta, beta, sizeof p.beta);
  bool ordered =
      algorithm.split_k == 1 || (algorithm.scheme == CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE &&
                                 PartsBytes(p.d_layout, algorithm.split_k) <= workspace_bytes);
  if (!Fit(p) || !(ordered || m.options.divided_sums))
    return Status(Mistake("cublasLtMatmul with shapes that do not fit, or a sum without order"));
  Queue(stream, [=]() { return Run(p); });
  return CUBLAS_STATUS_SUCCESS;
}

}  // extern "C"
