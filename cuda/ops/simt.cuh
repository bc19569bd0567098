/* simt.cuh - the machine as kernels see it: CUDA, or the emulator of tests/simt.
 *
 * The same kernel source is compiled by nvcc and, as C++17, against the emulator, which finds
 * shared reads out of bounds or of bytes never written, races, divergent barriers and wide loads
 * that are not aligned.
 * So kernels use what stands here and nothing else of CUDA but these: __global__, __device__,
 * __launch_bounds__, __restrict__, threadIdx, blockIdx, blockDim, gridDim, dim3, the vector types
 * with their makers, and the f32 functions of math.h.
 *
 * Blocks     one-dimensional, a multiple of 32 threads
 * Warps      every warp function is for all 32 lanes, at one place in the source
 * Shared     only sp_shared; a SharedPtr is indexed, moved and compared like a pointer.  An element
 *            of it is not to be held by `auto`: in the emulator it is a proxy; `&p[i]` is
 *            written p + i.  An allocation's bounds are checked, so what is laid out apart is
 *            allocated apart.  Elements have 2 bytes or more
 * Order      sp_sync_threads orders shared memory within the block, sp_sync_warp within the warp,
 *            and nothing else does: neither shuffles nor mma
 * Copies     sp_cp_async16 may be read by its thread after sp_cp_async_wait, by others after a
 *            barrier behind that.  A kernel waits for all of its copies before it ends
 * Rounding   nvcc gets -fmad=false and the emulator's build -ffp-contract=off: what is fused is
 *            written fmaf */
#ifndef SP_CUDA_SIMT_CUH
#define SP_CUDA_SIMT_CUH

#include <cuda_runtime_api.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>

/* A bf16 in memory. */
struct sp_bf16 {
  uint16_t bits;
};

#ifndef __CUDACC__

#include "simt.h"

#else

#define SP_DEVICE __device__ __forceinline__
#define SP_DEVICE_MEMBER __device__ __forceinline__ /* of a struct */
#define SP_WHERE /* the emulator's last parameter: the place of the call */
#define SP_HERE
#define SP_PRAGMA_(text) _Pragma(#text)
#define SP_UNROLL SP_PRAGMA_(unroll)
#define SP_UNROLL_BY(n) SP_PRAGMA_(unroll n)

/* ---- launches ---- */

/* SP_LAUNCH(kernel, grid, block, shared_bytes, stream, args...): cudaError_t of the launch.  A
 * kernel with commas in its template arguments stands in parentheses. */
#define SP_LAUNCH(kernel, grid, block, shared_bytes, stream, ...) \
  sp_launch((kernel), (grid), (block), (shared_bytes), (stream), __VA_ARGS__)

template <typename... Parameters, typename... Arguments>
cudaError_t sp_launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes,
                      cudaStream_t stream, Arguments... arguments) {
  if (shared_bytes > 48 * 1024) { /* more has to be asked for */
    cudaError_t error = cudaFuncSetAttribute((const void *)kernel,
                                             cudaFuncAttributeMaxDynamicSharedMemorySize,
                                             (int)shared_bytes);
    if (error != cudaSuccess) {
      (void)cudaGetLastError();
      return error;
    }
  }
  kernel<<<grid, block, shared_bytes, stream>>>(static_cast<Parameters>(arguments)...);
  return cudaGetLastError();
}

/* ---- shared memory ---- */

template <typename T>
using SharedPtr = T *;

/* `count` elements at that byte of the block's shared memory; the place is aligned as T needs, or
 * to 16 bytes where wide loads, copies or ldmatrix go there. */
template <typename T>
SP_DEVICE SharedPtr<T> sp_shared(size_t byte_offset, size_t count) {
  extern __shared__ __align__(128) unsigned char sp_shared_bytes[];
  (void)count;
  return reinterpret_cast<T *>(sp_shared_bytes + byte_offset);
}

template <typename U, typename T>
SP_DEVICE SharedPtr<U> sp_shared_cast(T *p) {
  return reinterpret_cast<U *>(p);
}

SP_DEVICE uint32_t sp_shared_address(const void *p) {
  return (uint32_t)__cvta_generic_to_shared(p);
}

/* ---- barriers and warps ---- */

SP_DEVICE void sp_sync_threads() {
  __syncthreads();
}

SP_DEVICE void sp_sync_warp() {
  __syncwarp();
}

/* T has 4 or 8 bytes. */
template <typename T>
SP_DEVICE T sp_shfl_xor(T v, int mask) {
  return __shfl_xor_sync(0xffffffffu, v, mask);
}

template <typename T>
SP_DEVICE T sp_shfl(T v, int lane) {
  return __shfl_sync(0xffffffffu, v, lane);
}

SP_DEVICE uint32_t sp_ballot(bool p) {
  return __ballot_sync(0xffffffffu, p);
}

/* ---- wide loads and stores, aligned to their own size; global or shared ---- */

SP_DEVICE uint4 sp_load16(const void *p) {
  return *static_cast<const uint4 *>(p);
}
SP_DEVICE uint2 sp_load8(const void *p) {
  return *static_cast<const uint2 *>(p);
}
SP_DEVICE uint32_t sp_load4(const void *p) {
  return *static_cast<const uint32_t *>(p);
}
SP_DEVICE void sp_store16(void *p, uint4 v) {
  *static_cast<uint4 *>(p) = v;
}
SP_DEVICE void sp_store8(void *p, uint2 v) {
  *static_cast<uint2 *>(p) = v;
}
SP_DEVICE void sp_store4(void *p, uint32_t v) {
  *static_cast<uint32_t *>(p) = v;
}

/* ---- asynchronous copies of 16 aligned bytes; not valid: zeros, and src is not read ---- */

template <typename T>
SP_DEVICE void sp_cp_async16(SharedPtr<T> dst, const T *src, bool valid) {
  int bytes = valid ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(sp_shared_address(dst)),
               "l"(src), "r"(bytes)
               : "memory");
}

SP_DEVICE void sp_cp_async_commit() {
  asm volatile("cp.async.commit_group;\n" ::: "memory");
}

/* Waits until at most `kPending` of the thread's newest groups are under way. */
template <int kPending>
SP_DEVICE void sp_cp_async_wait() {
  asm volatile("cp.async.wait_group %0;\n" ::"n"(kPending) : "memory");
}

/* ---- tensor cores ---- */

/* Loads 8x8 matrices of bf16.  Lane 8 i + j gives the place of row j of matrix i, 16 aligned bytes;
 * lane l receives in r[i] elements (l / 4, 2 (l % 4)) and the next of matrix i; transposed, (2 (l %
 * 4), l / 4) and (2 (l % 4) + 1, l / 4).  The x2 forms read the places of lanes 0 to 15. */
SP_DEVICE void sp_ldmatrix_x4(uint32_t r[4], SharedPtr<sp_bf16> row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(sp_shared_address(row))
               : "memory");
}
SP_DEVICE void sp_ldmatrix_x4_trans(uint32_t r[4], SharedPtr<sp_bf16> row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(sp_shared_address(row))
               : "memory");
}
SP_DEVICE void sp_ldmatrix_x2(uint32_t r[2], SharedPtr<sp_bf16> row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];\n"
               : "=r"(r[0]), "=r"(r[1])
               : "r"(sp_shared_address(row))
               : "memory");
}
SP_DEVICE void sp_ldmatrix_x2_trans(uint32_t r[2], SharedPtr<sp_bf16> row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];\n"
               : "=r"(r[0]), "=r"(r[1])
               : "r"(sp_shared_address(row))
               : "memory");
}

/* d (16, 8) f32 += a (16, 16) bf16, row-major, times b (16, 8) bf16.  With g = lane / 4, t = lane %
 * 4, low half first:
 *   a[0] (g, 2t) (g, 2t+1)      a[1] the same of row g+8
 *   a[2] (g, 2t+8) (g, 2t+9)    a[3] the same of row g+8
 *   b[0] (2t, g) (2t+1, g)      b[1] (2t+8, g) (2t+9, g)
 *   d[0] (g, 2t)  d[1] (g, 2t+1)  d[2] (g+8, 2t)  d[3] (g+8, 2t+1) */
SP_DEVICE void sp_mma_bf16(float d[4], const uint32_t a[4], const uint32_t b[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};\n"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/* ---- numbers ---- */

SP_DEVICE float sp_float_of(uint32_t bits) {
  return __uint_as_float(bits);
}
SP_DEVICE uint32_t sp_bits_of(float x) {
  return __float_as_uint(x);
}

/* Two floats as bf16, nearest, ties to even; `low` in the low half. */
SP_DEVICE uint32_t sp_pack_bf16(float low, float high) {
  uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}

SP_DEVICE float sp_exp(float x) { /* 2 units in the last place */
  return expf(x);
}
SP_DEVICE float sp_exp2(float x) { /* 2 units, one instruction; -inf gives 0, so do results below
                                      the normal range */
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
SP_DEVICE float sp_log(float x) {
  return logf(x);
}
SP_DEVICE float sp_erf(float x) {
  return erff(x);
}
SP_DEVICE float sp_rcp(float x) { /* 1 unit, one instruction */
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

#endif /* __CUDACC__ */

/* ---- the same on both machines ---- */

SP_DEVICE float sp_bf16_low(uint32_t pair) {
  return sp_float_of(pair << 16);
}
SP_DEVICE float sp_bf16_high(uint32_t pair) {
  return sp_float_of(pair & 0xffff0000u);
}
SP_DEVICE float sp_to_f32(sp_bf16 x) {
  return sp_float_of((uint32_t)x.bits << 16);
}
SP_DEVICE float sp_to_f32(float x) {
  return x;
}
SP_DEVICE sp_bf16 sp_to_bf16(float x) {
  return sp_bf16{(uint16_t)sp_pack_bf16(x, 0.0f)};
}
/* sp_from_f32<T>: an act element. */
template <typename T>
SP_DEVICE T sp_from_f32(float x) {
  if constexpr (sizeof(T) == sizeof(float)) {
    return x;
  } else {
    return sp_to_bf16(x);
  }
}

SP_DEVICE int sp_lane() {
  return (int)(threadIdx.x % 32);
}
SP_DEVICE int sp_warp() {
  return (int)(threadIdx.x / 32);
}

/* In every lane the same bits: each step adds or compares the same two values. */
SP_DEVICE float sp_warp_sum(float x SP_WHERE) {
  for (int step = 16; step > 0; step /= 2) {
    x += sp_shfl_xor(x, step SP_HERE);
  }
  return x;
}
SP_DEVICE float sp_warp_max(float x SP_WHERE) {
  for (int step = 16; step > 0; step /= 2) {
    x = fmaxf(x, sp_shfl_xor(x, step SP_HERE));
  }
  return x;
}

#endif
