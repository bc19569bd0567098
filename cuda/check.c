#include "check.h"

#include <string.h>

static int name_len(const char *call) {
  return (int)strcspn(call, "(");
}

enum sp_status sp_cuda_check(const struct sp_cuda_device *cuda, cudaError_t error, const char *call,
                             struct sp_error *err) {
  if (error == cudaSuccess) {
    return SP_OK;
  }
  (void)cudaGetLastError(); /* else the next launch would report it again */
  return sp_fail(err, SP_EDEVICE, "%s: %.*s: %s", cuda->base.name, name_len(call), call,
                 cudaGetErrorString(error));
}

enum sp_status sp_cuda_check_blas(const struct sp_cuda_device *cuda, cublasStatus_t status,
                                  const char *call, struct sp_error *err) {
  if (status == CUBLAS_STATUS_SUCCESS) {
    return SP_OK;
  }
  (void)cudaGetLastError();
  return sp_fail(err, SP_EDEVICE, "%s: %.*s: %s", cuda->base.name, name_len(call), call,
                 cublasLtGetStatusString(status));
}

enum sp_status sp_cuda_enter(const struct sp_cuda_device *cuda, struct sp_error *err) {
  return SP_CUDA(cuda, cudaSetDevice(cuda->ordinal), err);
}

void sp_cuda_ignore(cudaError_t error) {
  if (error != cudaSuccess) {
    (void)cudaGetLastError();
  }
}
