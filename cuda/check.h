/* check.h - every result of the CUDA libraries becomes a status and a message with the facts:
 * "cuda:1: cudaMalloc: out of memory".
 *
 * A sticky error (a fault in a kernel, a lost device) comes back from every later call, and so
 * fails every later op of that device with SP_EDEVICE; nothing else has to remember it. */
#ifndef SP_CUDA_CHECK_H
#define SP_CUDA_CHECK_H

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include "device.h"

/* SP_OK, or SP_EDEVICE with a message; `call` is cut at its first parenthesis. */
SP_MUST_CHECK enum sp_status sp_cuda_check(const struct sp_cuda_device *cuda, cudaError_t error,
                                           const char *call, struct sp_error *err);
SP_MUST_CHECK enum sp_status sp_cuda_check_blas(const struct sp_cuda_device *cuda,
                                                cublasStatus_t status, const char *call,
                                                struct sp_error *err);

#define SP_CUDA(cuda, call, err) sp_cuda_check((cuda), (call), #call, (err))
#define SP_CUBLAS(cuda, call, err) sp_cuda_check_blas((cuda), (call), #call, (err))

/* Makes the device the calling thread's; before any call that works on it. */
SP_MUST_CHECK enum sp_status sp_cuda_enter(const struct sp_cuda_device *cuda, struct sp_error *err);

/* For what is undone, where nobody can be told: drops the result and the thread's last error. */
void sp_cuda_ignore(cudaError_t error);

#endif
