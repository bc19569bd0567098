/* vec_math.h - exp and the activations, one register at a time.
 *
 * Coefficients are minimax fits of relative error made for this file: exp 3.3e-9 on
 * [-ln2 / 2, ln2 / 2], the normal tail's ratio 3.2e-8 on [0, 14], tanh 4.4e-9 on [0, 0.625].  What
 * remains is rounding; tests/ops/vec_math_test.cc holds the bounds. */
#ifndef SP_CPU_VEC_MATH_H
#define SP_CPU_VEC_MATH_H

#include "backend.h"
#include "vec.h"

/* e^x for x <= 88; exactly 1 at 0, and exactly 0 below -87.3, -inf included. */
SP_VEC_INLINE vf vf_exp(vf x) {
  const vf round = vf_splat(12582912.0f); /* adding it leaves the nearest integer in low bits */
  vi tiny = x < -87.3f;
  x = vf_max(vf_splat(-87.3f), x); /* in this order a NaN stays */
  vf shifted = vf_fma(x, vf_splat(1.44269504f), round);
  vf n = shifted - round;
  vf r = vf_fma(n, vf_splat(-0.693359375f), x); /* n * 0.693359375 is exact */
  r = vf_fma(n, vf_splat(2.12194440e-4f), r);
  vf p = vf_splat(1.3813144522e-3f);
  p = vf_fma(p, r, vf_splat(8.3694189674e-3f));
  p = vf_fma(p, r, vf_splat(4.1668456797e-2f));
  p = vf_fma(p, r, vf_splat(1.6666514790e-1f));
  p = vf_fma(p, r, vf_splat(4.9999993051e-1f));
  p = vf_fma(p * r, r, r) + 1.0f;
  vu scaled = (vu)p + ((vu)shifted << 23);
  return (vf)(scaled & ~(vu)tiny);
}

/* Chance that a standard normal value exceeds a >= 0: e^(-a^2/2) times a polynomial in
 * t = 1 / (1 + 0.35 a). */
SP_VEC_INLINE vf vf_normal_tail(vf a) {
  vf t = 1.0f / vf_fma(a, vf_splat(0.35f), vf_splat(1.0f));
  vf p = vf_splat(-2.9145907002e-2f);
  p = vf_fma(p, t, vf_splat(1.4397158965e-1f));
  p = vf_fma(p, t, vf_splat(-2.5571404171e-1f));
  p = vf_fma(p, t, vf_splat(1.5917393014e-1f));
  p = vf_fma(p, t, vf_splat(-2.3109685645e-2f));
  p = vf_fma(p, t, vf_splat(1.0550794468e-1f));
  p = vf_fma(p, t, vf_splat(1.1983288167e-1f));
  p = vf_fma(p, t, vf_splat(1.3986186788e-1f));
  p = vf_fma(p, t, vf_splat(1.3962140439e-1f));
  return p * t * vf_exp(-0.5f * a * a);
}

/* x Phi(x), by the tail on both sides: no cancellation for negative x. */
SP_VEC_INLINE vf vf_gelu_erf(vf x) {
  vf part = x * vf_normal_tail(vf_abs(x));
  return vf_select(x > 0.0f, x - part, part);
}

/* 0.5 x (1 + tanh(u)) = x / (1 + e^(-2u)), u = sqrt(2 / pi) (x + 0.044715 x^3). */
SP_VEC_INLINE vf vf_gelu_tanh(vf x) {
  vf u2 = x * vf_fma(x * x, vf_splat(7.1354816e-2f), vf_splat(1.5957691216f));
  vf e = vf_exp(-vf_abs(u2));
  vf q = x / (1.0f + e);
  return vf_select(u2 > 0.0f, q, q * e);
}

SP_VEC_INLINE vf vf_tanh(vf x) {
  vf a = vf_abs(x);
  vf z = x * x;
  vf p = vf_splat(-5.7049843917e-3f);
  p = vf_fma(p, z, vf_splat(2.0639085049e-2f));
  p = vf_fma(p, z, vf_splat(-5.3739714459e-2f));
  p = vf_fma(p, z, vf_splat(1.3331442191e-1f));
  p = vf_fma(p, z, vf_splat(-3.3333281942e-1f));
  vf small = vf_fma(p * z, x, x);
  vf e = vf_exp(-2.0f * a);
  vf large = (1.0f - e) / (1.0f + e);
  large = (vf)((vu)large | ((vu)x & 0x80000000u));
  return vf_select(a < 0.625f, small, large);
}

SP_VEC_INLINE vf vf_activate(enum sp_activation activation, vf x) {
  switch (activation) {
    case SP_ACT_GELU_ERF:
      return vf_gelu_erf(x);
    case SP_ACT_GELU_TANH:
      return vf_gelu_tanh(x);
    case SP_ACT_RELU:
      return vf_select(x < 0.0f, (vf){0}, x);
    case SP_ACT_TANH:
      return vf_tanh(x);
    case SP_ACT_NONE:
      break;
  }
  return x;
}

/* Phi(x) + x phi(x). */
SP_VEC_INLINE vf vf_gelu_erf_slope(vf x) {
  vf a = vf_abs(x);
  vf tail = vf_normal_tail(a);
  vf density = vf_exp(-0.5f * a * a) * 3.989422804e-1f;
  return vf_fma(x, density, vf_select(x > 0.0f, 1.0f - tail, tail));
}

/* s + x s (1 - s) u2', s = 1 / (1 + e^-u2), u2 as in vf_gelu_tanh. */
SP_VEC_INLINE vf vf_gelu_tanh_slope(vf x) {
  vf z = x * x;
  vf u2 = x * vf_fma(z, vf_splat(7.1354816e-2f), vf_splat(1.5957691216f));
  vf rise = vf_fma(z, vf_splat(2.14064448e-1f), vf_splat(1.5957691216f));
  vf e = vf_exp(-vf_abs(u2));
  vf q = 1.0f / (1.0f + e);
  vf s = vf_select(u2 > 0.0f, q, q * e);
  return vf_fma(x * rise, q * q * e, s);
}

/* 1 - tanh(x)^2 without cancellation. */
SP_VEC_INLINE vf vf_tanh_slope(vf x) {
  vf e = vf_exp(-2.0f * vf_abs(x));
  vf q = 1.0f / (1.0f + e);
  return 4.0f * e * q * q;
}

/* The activation's derivative. */
SP_VEC_INLINE vf vf_activate_slope(enum sp_activation activation, vf x) {
  switch (activation) {
    case SP_ACT_GELU_ERF:
      return vf_gelu_erf_slope(x);
    case SP_ACT_GELU_TANH:
      return vf_gelu_tanh_slope(x);
    case SP_ACT_RELU:
      return vf_select(x > 0.0f, vf_splat(1.0f), (vf){0});
    case SP_ACT_TANH:
      return vf_tanh_slope(x);
    case SP_ACT_NONE:
      break;
  }
  return vf_splat(1.0f);
}

#endif
