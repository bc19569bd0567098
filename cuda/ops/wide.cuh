/* wide.cuh - 16 bytes of act elements at a time, as floats. */
#ifndef SP_CUDA_WIDE_CUH
#define SP_CUDA_WIDE_CUH

#include "simt.cuh"

/* Elements of T in 16 bytes. */
template <typename T>
constexpr int kWide = 16 / (int)sizeof(T);

SP_DEVICE void sp_load_wide(const float *p, float v[4]) {
  uint4 bits = sp_load16(p);
  v[0] = sp_float_of(bits.x);
  v[1] = sp_float_of(bits.y);
  v[2] = sp_float_of(bits.z);
  v[3] = sp_float_of(bits.w);
}

SP_DEVICE void sp_load_wide(const sp_bf16 *p, float v[8]) {
  uint4 bits = sp_load16(p);
  v[0] = sp_bf16_low(bits.x);
  v[1] = sp_bf16_high(bits.x);
  v[2] = sp_bf16_low(bits.y);
  v[3] = sp_bf16_high(bits.y);
  v[4] = sp_bf16_low(bits.z);
  v[5] = sp_bf16_high(bits.z);
  v[6] = sp_bf16_low(bits.w);
  v[7] = sp_bf16_high(bits.w);
}

SP_DEVICE void sp_store_wide(float *p, const float v[4]) {
  sp_store16(p, make_uint4(sp_bits_of(v[0]), sp_bits_of(v[1]), sp_bits_of(v[2]), sp_bits_of(v[3])));
}

SP_DEVICE void sp_store_wide(sp_bf16 *p, const float v[8]) {
  sp_store16(p, make_uint4(sp_pack_bf16(v[0], v[1]), sp_pack_bf16(v[2], v[3]),
                           sp_pack_bf16(v[4], v[5]), sp_pack_bf16(v[6], v[7])));
}

/* kCount elements from p on: 1, or 16 bytes of them once or more often. */
template <int kCount, typename T>
SP_DEVICE void sp_load_some(const T *p, float v[kCount]) {
  if constexpr (kCount == 1) {
    v[0] = sp_to_f32(*p);
  } else {
    SP_UNROLL
    for (int j = 0; j < kCount; j += kWide<T>) {
      sp_load_wide(p + j, v + j);
    }
  }
}

template <int kCount, typename T>
SP_DEVICE void sp_store_some(T *p, const float v[kCount]) {
  if constexpr (kCount == 1) {
    *p = sp_from_f32<T>(v[0]);
  } else {
    SP_UNROLL
    for (int j = 0; j < kCount; j += kWide<T>) {
      sp_store_wide(p + j, v + j);
    }
  }
}

/* For launchers. */
static inline bool sp_is_wide(size_t bytes) {
  return bytes % 16 == 0;
}
static inline bool sp_is_aligned(const void *p) {
  return (uintptr_t)p % 16 == 0;
}
static inline unsigned sp_blocks(size_t count, size_t per_block) {
  return (unsigned)((count + per_block - 1) / per_block);
}

#endif
