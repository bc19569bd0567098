// vec_probe.h - the vector functions of each instruction set, for whole arrays.
#ifndef SP_TESTS_VEC_PROBE_H
#define SP_TESTS_VEC_PROBE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* n is a multiple of 16. */
struct sp_vec_probe {
  const char *isa;
  void (*exp)(const float *x, float *y, size_t n);
  void (*normal_tail)(const float *x, float *y, size_t n);
  void (*activate)(int activation, const float *x, float *y, size_t n);
  void (*to_bf16)(const float *x, uint16_t *y, size_t n);
};

extern const struct sp_vec_probe sp_vec_probe_baseline;
#ifdef __x86_64__
extern const struct sp_vec_probe sp_vec_probe_avx2, sp_vec_probe_avx512, sp_vec_probe_avx512_bf16;
#endif

#ifdef __cplusplus
}
#endif
#endif
