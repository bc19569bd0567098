/* activate.cuh - the activations of one f32 value, in the forms of host/backend/cpu/vec_math.h. */
#ifndef SP_CUDA_ACTIVATE_CUH
#define SP_CUDA_ACTIVATE_CUH

#include "backend.h"
#include "simt.cuh"

/* Chance that a standard normal value exceeds a >= 0: e^(-a^2/2) times a polynomial in
 * t = 1 / (1 + 0.35 a), whose relative error is 3.2e-8 on [0, 14]. */
SP_DEVICE float sp_normal_tail(float a) {
  float t = sp_rcp(fmaf(a, 0.35f, 1.0f));
  float p = -2.9145907002e-2f;
  p = fmaf(p, t, 1.4397158965e-1f);
  p = fmaf(p, t, -2.5571404171e-1f);
  p = fmaf(p, t, 1.5917393014e-1f);
  p = fmaf(p, t, -2.3109685645e-2f);
  p = fmaf(p, t, 1.0550794468e-1f);
  p = fmaf(p, t, 1.1983288167e-1f);
  p = fmaf(p, t, 1.3986186788e-1f);
  p = fmaf(p, t, 1.3962140439e-1f);
  return p * t * sp_exp(-0.5f * a * a);
}

/* x Phi(x), by the tail on both sides: no cancellation for negative x. */
SP_DEVICE float sp_gelu_erf(float x) {
  float part = x * sp_normal_tail(fabsf(x));
  return x > 0.0f ? x - part : part;
}

/* 0.5 x (1 + tanh(u)) = x / (1 + e^(-2u)), u = sqrt(2 / pi) (x + 0.044715 x^3). */
SP_DEVICE float sp_gelu_tanh(float x) {
  float u2 = x * fmaf(x * x, 7.1354816e-2f, 1.5957691216f);
  float e = sp_exp(-fabsf(u2));
  float q = x * sp_rcp(1.0f + e);
  return u2 > 0.0f ? q : q * e;
}

template <sp_activation kActivation>
SP_DEVICE float sp_activate(float x) {
  if constexpr (kActivation == SP_ACT_GELU_ERF) {
    return sp_gelu_erf(x);
  } else if constexpr (kActivation == SP_ACT_GELU_TANH) {
    return sp_gelu_tanh(x);
  } else if constexpr (kActivation == SP_ACT_RELU) {
    return x < 0.0f ? 0.0f : x;
  } else if constexpr (kActivation == SP_ACT_TANH) {
    return tanhf(x);
  } else {
    return x;
  }
}

/* Phi(x) + x phi(x). */
SP_DEVICE float sp_gelu_erf_slope(float x) {
  const float tail = sp_normal_tail(fabsf(x));
  const float density = 3.9894228040e-1f * sp_exp(-0.5f * x * x);
  return fmaf(x, density, x > 0.0f ? 1.0f - tail : tail);
}

/* With s = 1 / (1 + e^(-2u)) as above: s + x s (1 - s) (2u)'. */
SP_DEVICE float sp_gelu_tanh_slope(float x) {
  const float u2 = x * fmaf(x * x, 7.1354816e-2f, 1.5957691216f);
  const float e = sp_exp(-fabsf(u2)), r = sp_rcp(1.0f + e);
  const float slope = fmaf(x * x, 3.0f * 7.1354816e-2f, 1.5957691216f);
  const float turn = e == 0.0f ? 0.0f : x * slope * (e * r * r); /* the slope may be infinite */
  return (u2 > 0.0f ? r : e * r) + turn;
}

/* The derivative of sp_activate at x. */
template <sp_activation kActivation>
SP_DEVICE float sp_activate_slope(float x) {
  if constexpr (kActivation == SP_ACT_GELU_ERF) {
    return sp_gelu_erf_slope(x);
  } else if constexpr (kActivation == SP_ACT_GELU_TANH) {
    return sp_gelu_tanh_slope(x);
  } else if constexpr (kActivation == SP_ACT_RELU) {
    return x <= 0.0f ? 0.0f : 1.0f;
  } else if constexpr (kActivation == SP_ACT_TANH) {
    const float y = tanhf(x);
    return 1.0f - y * y;
  } else {
    return 1.0f;
  }
}

/* Where it is known when the kernel runs, and time does not matter. */
SP_DEVICE float sp_activate_any(sp_activation activation, float x) {
  switch (activation) {
    case SP_ACT_GELU_ERF:
      return sp_gelu_erf(x);
    case SP_ACT_GELU_TANH:
      return sp_gelu_tanh(x);
    case SP_ACT_RELU:
      return sp_activate<SP_ACT_RELU>(x);
    case SP_ACT_TANH:
      return tanhf(x);
    case SP_ACT_NONE:
      break;
  }
  return x;
}

#endif
