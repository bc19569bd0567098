/* vec.h - one register of floats in the compilers' vector extensions.
 *
 * Written for three widths: 16 floats (AVX-512), 8 (AVX2), 4 (everything else).  Files that include
 * this are compiled with -ffp-contract=off: a multiply and an add are fused only where vf_fma says
 * so, which keeps a row's bits equal in whole and in partial blocks. */
#ifndef SP_CPU_VEC_H
#define SP_CPU_VEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
#include <immintrin.h>
#define SP_LANES 16
#elif defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#define SP_LANES 8
#else
#define SP_LANES 4
#if defined(__ARM_NEON)
#include <arm_neon.h>
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
  vf v = {0};
  memcpy(&v, p, n * sizeof *p);
  return v;
}

SP_VEC_INLINE vf vf_load_bf16(const uint16_t *p) {
  vh half;
  memcpy(&half, p, sizeof half);
  return (vf)(__builtin_convertvector(half, vu) << 16);
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

SP_VEC_INLINE vf vf_max(vf a, vf b) {
  return vf_select(a > b, a, b);
}
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

/* Sum and maximum of the lanes by halves, in one fixed order. */
SP_VEC_INLINE float vf_sum(vf v) {
  float lane[SP_LANES];
  vf_store(lane, v);
  for (int half = SP_LANES / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; i++) {
      lane[i] += lane[i + half];
    }
  }
  return lane[0];
}

SP_VEC_INLINE float vf_max_lane(vf v) {
  float lane[SP_LANES];
  vf_store(lane, v);
  for (int half = SP_LANES / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; i++) {
      lane[i] = lane[i] > lane[i + half] ? lane[i] : lane[i + half];
    }
  }
  return lane[0];
}

/* Rounds to nearest, ties to even; NaN stays NaN. */
SP_VEC_INLINE vh vf_to_bf16(vf v) {
  vu bits = (vu)v;
  vu rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  vu quiet = (bits >> 16) | 0x40u;
  vu nan = (vu)(v != v);
  return __builtin_convertvector((quiet & nan) | (rounded & ~nan), vh);
}

/* Stores n lanes (SP_LANES or fewer) as the compute type at element `at`. */
SP_VEC_INLINE void vf_store_act(void *to, size_t at, bool bf16, size_t n, vf v) {
  if (bf16) {
    vh half = vf_to_bf16(v);
    uint16_t *p = (uint16_t *)to + at;
    if (n == SP_LANES) {
      memcpy(p, &half, sizeof half);
    } else {
      memcpy(p, &half, n * sizeof *p);
    }
  } else {
    float *p = (float *)to + at;
    if (n == SP_LANES) {
      memcpy(p, &v, sizeof v);
    } else {
      memcpy(p, &v, n * sizeof *p);
    }
  }
}

/* Loads n lanes of the compute type, zeros behind them. */
SP_VEC_INLINE vf vf_load_act(const void *from, size_t at, bool bf16, size_t n) {
  if (!bf16) {
    const float *p = (const float *)from + at;
    return n == SP_LANES ? vf_load(p) : vf_load_part(p, n);
  }
  const uint16_t *p = (const uint16_t *)from + at;
  if (n == SP_LANES) {
    return vf_load_bf16(p);
  }
  uint16_t part[SP_LANES] = {0};
  memcpy(part, p, n * sizeof *p);
  return vf_load_bf16(part);
}

#endif
