/* cuda_runtime_api.h - what this project uses of the CUDA runtime's names, for builds without the
 * toolkit: the SIMT emulator's kernels and the fake runtime's glue.
 *
 * Written for this project; values of the enums are those that the runtime documents. */
#ifndef SP_SHIM_CUDA_RUNTIME_API_H
#define SP_SHIM_CUDA_RUNTIME_API_H

#include <stddef.h>

#ifdef __cplusplus
#define SP_SHIM_ALIGNED(n) alignas(n)
extern "C" {
#else
#define SP_SHIM_ALIGNED(n) _Alignas(n)
#endif

typedef enum cudaError {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorNoDevice = 100,
  cudaErrorInvalidDevice = 101,
  cudaErrorNotReady = 600,
  cudaErrorIllegalAddress = 700,
  cudaErrorLaunchFailure = 719,
  cudaErrorUnknown = 999
} cudaError_t;

typedef struct CUstream_st *cudaStream_t;

struct dim3 {
  unsigned x, y, z;
#ifdef __cplusplus
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
#endif
};
typedef struct dim3 dim3;

struct uint3 {
  unsigned x, y, z;
};
struct int2 {
  SP_SHIM_ALIGNED(8) int x;
  int y;
};
struct uint2 {
  SP_SHIM_ALIGNED(8) unsigned x;
  unsigned y;
};
struct float2 {
  SP_SHIM_ALIGNED(8) float x;
  float y;
};
struct int4 {
  SP_SHIM_ALIGNED(16) int x;
  int y, z, w;
};
struct uint4 {
  SP_SHIM_ALIGNED(16) unsigned x;
  unsigned y, z, w;
};
struct float4 {
  SP_SHIM_ALIGNED(16) float x;
  float y, z, w;
};
typedef struct uint3 uint3;
typedef struct int2 int2;
typedef struct uint2 uint2;
typedef struct float2 float2;
typedef struct int4 int4;
typedef struct uint4 uint4;
typedef struct float4 float4;

#ifdef __cplusplus
}
#endif

#include "cuda_runtime_calls.h"
#endif
