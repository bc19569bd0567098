/* activate.c - an activation in place, for products that leave it to us (linear.c).
 *
 * Shapes    values (count) f32
 * Parallel  the calling thread alone
 * Numerics  vec_math.h
 * Bound     arithmetic while the tile is in cache, else memory: 8 bytes an element */
#include "kernels.h"
#include "vec_math.h"

void SP_ISA_NAME(sp_cpu_activate)(enum sp_activation activation, float *values, size_t count) {
  size_t i = 0;
  for (; i + SP_LANES <= count; i += SP_LANES) {
    vf_store(values + i, vf_activate(activation, vf_load(values + i)));
  }
  if (i < count) {
    vf x = vf_load_part(values + i, count - i);
    vf_store_part(values + i, count - i, vf_activate(activation, x));
  }
}
