/* vec.h - one register of floats in the compilers' vector extensions.
 *
 * Written for three widths: 16 floats (AVX-512), 8 (AVX2), 4 (everything else).  Files that include
 * this are compiled with -ffp-contract=off: a multiply and an add are fused only where vf_fma says
 * so, which keeps a row's bits equal in whole and in partial blocks. */
#ifndef SP_CPU_VEC_H
#define SP_CPU_VEC_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
#include <immintrin.h>
#define SP_LANES 16
#if defined(__AVX512BF16__)
#define SP_BF16 1 /* bf16 is rounded to and multiplied in hardware */
#endif
#elif defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#define SP_LANES 8
#else
#define SP_LANES 4
#if defined(__ARM_NEON)
#include <arm_neon.h>
#elif defined(__SSE2__)
#include <emmintrin.h>
#endif
#endif

typedef float vf __attribute__((vector_size(4 * SP_LANES)));
typedef int32_t vi __attribute__((vector_size(4 * SP_LANES)));
typedef uint32_t vu __attribute__((vector_size(4 * SP_LANES)));
typedef uint16_t vh __attribute__((vector_size(2 * SP_LANES)));

#define SP_VEC_INLINE static inline __attribute__((always_inline))

SP_VEC_INLINE vf vf_splat(float x) {
  return x - (vf){0};
}

SP_VEC_INLINE vf vf_load(const float *p) {
  vf v;
  memcpy(&v, p, sizeof v);
  return v;
}

SP_VEC_INLINE void vf_store(float *p, vf v) {
  memcpy(p, &v, sizeof v);
}

/* The first n < SP_LANES floats, zeros behind them. */
SP_VEC_INLINE vf vf_load_part(const float *p, size_t n) {
#if SP_LANES == 16
  return (vf)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
#else
  vf v = {0};
  memcpy(&v, p, n * sizeof *p);
  return v;
#endif
}

SP_VEC_INLINE void vf_store_part(float *p, size_t n, vf v) {
#if SP_LANES == 16
  _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v);
#else
  memcpy(p, &v, n * sizeof *p);
#endif
}

/* n lanes, SP_LANES or fewer; callers inline it with n known in their main loops. */
SP_VEC_INLINE vf vf_load_some(const float *p, size_t n) {
  return n == SP_LANES ? vf_load(p) : vf_load_part(p, n);
}

SP_VEC_INLINE void vf_store_some(float *p, size_t n, vf v) {
  if (n == SP_LANES) {
    vf_store(p, v);
  } else {
    vf_store_part(p, n, v);
  }
}

SP_VEC_INLINE vh vh_load_part(const uint16_t *p, size_t n) {
#if SP_LANES == 16
  return (vh)_mm256_maskz_loadu_epi16((__mmask16)((1u << n) - 1), p);
#else
  vh v = {0};
  memcpy(&v, p, n * sizeof *p);
  return v;
#endif
}

SP_VEC_INLINE void vh_store_part(uint16_t *p, size_t n, vh v) {
#if SP_LANES == 16
  _mm256_mask_storeu_epi16(p, (__mmask16)((1u << n) - 1), (__m256i)v);
#else
  memcpy(p, &v, n * sizeof *p);
#endif
}

/* Widening and narrowing of integers; gcc splits the 16-lane forms in two, so those are named. */
SP_VEC_INLINE vu vu_from_half(vh half) {
#if SP_LANES == 16
  return (vu)_mm512_cvtepu16_epi32((__m256i)half);
#else
  return __builtin_convertvector(half, vu);
#endif
}

SP_VEC_INLINE vh vh_from_low(vu v) {
#if SP_LANES == 16
  return (vh)_mm512_cvtepi32_epi16((__m512i)v);
#else
  return __builtin_convertvector(v, vh);
#endif
}

SP_VEC_INLINE vf vf_from_bf16(vh half) {
  return (vf)(vu_from_half(half) << 16);
}

/* a * b + c, fused where the instruction set has it. */
SP_VEC_INLINE vf vf_fma(vf a, vf b, vf c) {
#if SP_LANES == 16
  return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif SP_LANES == 8
  return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(__ARM_NEON)
  return (vf)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#else
  return a * b + c;
#endif
}

/* Lanes of a where mask is all ones, of b where it is zero. */
SP_VEC_INLINE vf vf_select(vi mask, vf a, vf b) {
  return (vf)(((vi)a & mask) | ((vi)b & ~mask));
}

/* a where a > b, else b: b where either is NaN. */
SP_VEC_INLINE vf vf_max(vf a, vf b) {
#if SP_LANES == 16
  return (vf)_mm512_max_ps((__m512)a, (__m512)b);
#elif SP_LANES == 8
  return (vf)_mm256_max_ps((__m256)a, (__m256)b);
#elif defined(__SSE2__)
  return (vf)_mm_max_ps((__m128)a, (__m128)b);
#else
  return vf_select(a > b, a, b);
#endif
}

SP_VEC_INLINE vf vf_sqrt(vf a) {
#if SP_LANES == 16
  return (vf)_mm512_sqrt_ps((__m512)a);
#elif SP_LANES == 8
  return (vf)_mm256_sqrt_ps((__m256)a);
#elif defined(__SSE2__)
  return (vf)_mm_sqrt_ps((__m128)a);
#elif defined(__ARM_NEON) && defined(__aarch64__)
  return (vf)vsqrtq_f32((float32x4_t)a);
#else
  for (int i = 0; i < SP_LANES; i++) {
    a[i] = sqrtf(a[i]);
  }
  return a;
#endif
}

#if SP_BF16
/* c + the products of both bf16 halves of each lane; subnormal numbers are zeros. */
SP_VEC_INLINE vf vf_dot_pairs(vf a, vf b, vf c) {
  return (vf)_mm512_dpbf16_ps((__m512)c, (__m512bh)a, (__m512bh)b);
}
#endif

SP_VEC_INLINE vf vf_abs(vf a) {
  return (vf)((vu)a & 0x7fffffffu);
}

SP_VEC_INLINE vi vi_lane_numbers(void) {
  vi v;
  for (int i = 0; i < SP_LANES; i++) {
    v[i] = i;
  }
  return v;
}

/* SP_SWAPn exchanges lanes whose numbers differ by n; SP_LOW and SP_HIGH interleave two registers'
 * lower and upper halves. */
#if SP_LANES == 16
#define SP_SWAP8(v) \
  __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7)
#define SP_SWAP4(v) \
  __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11)
#define SP_SWAP2(v) \
  __builtin_shufflevector(v, v, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13)
#define SP_SWAP1(v) \
  __builtin_shufflevector(v, v, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14)
#define SP_LOW(a, b) \
  __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define SP_HIGH(a, b) \
  __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#elif SP_LANES == 8
#define SP_SWAP4(v) __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3)
#define SP_SWAP2(v) __builtin_shufflevector(v, v, 2, 3, 0, 1, 6, 7, 4, 5)
#define SP_SWAP1(v) __builtin_shufflevector(v, v, 1, 0, 3, 2, 5, 4, 7, 6)
#define SP_LOW(a, b) __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define SP_HIGH(a, b) __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#else
#define SP_SWAP2(v) __builtin_shufflevector(v, v, 2, 3, 0, 1)
#define SP_SWAP1(v) __builtin_shufflevector(v, v, 1, 0, 3, 2)
#define SP_LOW(a, b) __builtin_shufflevector(a, b, 0, 4, 1, 5)
#define SP_HIGH(a, b) __builtin_shufflevector(a, b, 2, 6, 3, 7)
#endif

/* Sum and maximum of the lanes by halves, in one fixed order. */
SP_VEC_INLINE float vf_sum(vf v) {
#if SP_LANES == 16
  v += SP_SWAP8(v);
#endif
#if SP_LANES >= 8
  v += SP_SWAP4(v);
#endif
  v += SP_SWAP2(v);
  v += SP_SWAP1(v);
  return v[0];
}

SP_VEC_INLINE float vf_max_lane(vf v) {
#if SP_LANES == 16
  v = vf_max(v, SP_SWAP8(v));
#endif
#if SP_LANES >= 8
  v = vf_max(v, SP_SWAP4(v));
#endif
  v = vf_max(v, SP_SWAP2(v));
  v = vf_max(v, SP_SWAP1(v));
  return v[0];
}

/* Each round moves the top bit of the row number to the bottom of the lane number; after as many
 * rounds as either has bits, rows and lanes have changed places. */
SP_VEC_INLINE void vf_transpose(vf rows[SP_LANES]) {
  for (int round = 1; round < SP_LANES; round *= 2) {
    vf next[SP_LANES];
    for (int i = 0; i < SP_LANES / 2; i++) {
      next[2 * i] = SP_LOW(rows[i], rows[i + SP_LANES / 2]);
      next[2 * i + 1] = SP_HIGH(rows[i], rows[i + SP_LANES / 2]);
    }
    for (int i = 0; i < SP_LANES; i++) {
      rows[i] = next[i];
    }
  }
}

/* Rounds to nearest, ties to even; NaN stays NaN.  In hardware subnormal numbers become zeros. */
SP_VEC_INLINE vh vf_to_bf16(vf v) {
#if SP_BF16
  return (vh)_mm512_cvtneps_pbh((__m512)v);
#else
  vu bits = (vu)v;
  vu rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  vu quiet = (bits >> 16) | 0x40u;
  vu nan = (vu)(v != v);
  return vh_from_low((quiet & nan) | (rounded & ~nan));
#endif
}

/* Stores n lanes (SP_LANES or fewer) as the compute type at element `at`; callers inline it with
 * bf16 and, in their main loops, n known. */
SP_VEC_INLINE void vf_store_act(void *to, size_t at, bool bf16, size_t n, vf v) {
  if (bf16) {
    vh half = vf_to_bf16(v);
    if (n == SP_LANES) {
      memcpy((uint16_t *)to + at, &half, sizeof half);
    } else {
      vh_store_part((uint16_t *)to + at, n, half);
    }
  } else if (n == SP_LANES) {
    vf_store((float *)to + at, v);
  } else {
    vf_store_part((float *)to + at, n, v);
  }
}

/* Loads n lanes of the compute type, zeros behind them. */
SP_VEC_INLINE vf vf_load_act(const void *from, size_t at, bool bf16, size_t n) {
  if (!bf16) {
    const float *p = (const float *)from + at;
    return n == SP_LANES ? vf_load(p) : vf_load_part(p, n);
  }
  vh half;
  if (n == SP_LANES) {
    memcpy(&half, (const uint16_t *)from + at, sizeof half);
  } else {
    half = vh_load_part((const uint16_t *)from + at, n);
  }
  return vf_from_bf16(half);
}

#endif
