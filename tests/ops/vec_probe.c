/* vec_probe.c - see vec_probe.h. */
#include "vec_probe.h"

#include "kernels.h"
#include "vec_math.h"

static void probe_exp(const float *x, float *y, size_t n) {
  for (size_t i = 0; i < n; i += SP_LANES) {
    vf_store(y + i, vf_exp(vf_load(x + i)));
  }
}

static void probe_normal_tail(const float *x, float *y, size_t n) {
  for (size_t i = 0; i < n; i += SP_LANES) {
    vf_store(y + i, vf_normal_tail(vf_load(x + i)));
  }
}

static void probe_activate(int activation, const float *x, float *y, size_t n) {
  for (size_t i = 0; i < n; i += SP_LANES) {
    vf_store(y + i, vf_activate((enum sp_activation)activation, vf_load(x + i)));
  }
}

static void probe_to_bf16(const float *x, uint16_t *y, size_t n) {
  for (size_t i = 0; i < n; i += SP_LANES) {
    vf_store_act(y, i, true, SP_LANES, vf_load(x + i));
  }
}

#define TEXT_OF_(x) #x
#define TEXT_OF(x) TEXT_OF_(x)

const struct sp_vec_probe SP_ISA_NAME(sp_vec_probe) = {
    .isa = TEXT_OF(SP_ISA),
    .exp = probe_exp,
    .normal_tail = probe_normal_tail,
    .activate = probe_activate,
    .to_bf16 = probe_to_bf16,
};
