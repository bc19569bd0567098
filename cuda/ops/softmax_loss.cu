/* softmax_loss.cu - the cross-entropy of whole rows of logits, and its gradient.
 *                                                              twin: host/backend/cpu/train_vocab.c
 *
 * Maths     z = logits + bias;  loss = log sum_v e^(z_v) - z_target;
 *           d_logits = scale (softmax(z) - one-hot)
 * Layout    logits (R, pitch) f32, d_logits (R, pitch) act; a block takes a row, a thread 8 columns at a
 *           time where rows keep 16 bytes, else one
 * Numerics  f32 terms relative to the thread's running maximum; threads are joined relative to the
 *           row's: lanes by a butterfly, warps in order, the logarithm in f64.  A row's bits are its own
 * Bound     memory: logits read twice (the second time from L2: the rows under way are some 30 MB at
 *           30 k words), d_logits written once */
#include "train_ops.h"
#include "wide.cuh"

namespace {

enum : uint32_t { THREADS = 256, WARPS = THREADS / 32 };

using Args = sp_cuda_softmax_loss_args;

/* z of columns [c, c + kCount) of the row; -inf from v on. */
template <int kCount>
SP_DEVICE void load_logits(const Args &a, const float *row, size_t c, float z[kCount]) {
  if constexpr (kCount == 1) {
    z[0] = row[c];
  } else {
    SP_UNROLL
    for (int j = 0; j < kCount; j += kWide<float>) {
      sp_load_some<kWide<float>>(row + c + j, z + j);
    }
  }
  SP_UNROLL
  for (int j = 0; j < kCount; j++) {
    const size_t v = c + (size_t)j;
    z[j] = v >= a.v ? -INFINITY : a.bias ? z[j] + a.bias[v] : z[j];
  }
}

/* e^(z - top), and nothing of what is -inf. */
SP_DEVICE float share_of(float z, float top) {
  return z == -INFINITY ? 0.0f : sp_exp(z - top);
}

/* A maximum and the sum of shares relative to it. */
struct Total {
  float top, sum;
};

template <int kCount>
SP_DEVICE Total thread_total(const Args &a, const float *row) {
  Total t = {-INFINITY, 0.0f};
  float z[kCount];
  for (size_t c = threadIdx.x * (size_t)kCount; c < a.v; c += THREADS * (size_t)kCount) {
    load_logits<kCount>(a, row, c, z);
    float top = t.top;
    SP_UNROLL
    for (int j = 0; j < kCount; j++) {
      top = fmaxf(top, z[j]);
    }
    t.sum *= top == t.top ? 1.0f : share_of(t.top, top);
    t.top = top;
    SP_UNROLL
    for (int j = 0; j < kCount; j++) {
      t.sum += share_of(z[j], top);
    }
  }
  return t;
}

/* The row's, in every thread. */
SP_DEVICE Total block_total(Total t) {
  SharedPtr<float> tops = sp_shared<float>(0, WARPS);
  SharedPtr<float> sums = sp_shared<float>(WARPS * sizeof(float), WARPS);
  Total all = {sp_warp_max(t.top), 0.0f};
  if (sp_lane() == 0) {
    tops[sp_warp()] = all.top;
  }
  sp_sync_threads();
  for (uint32_t w = 0; w < WARPS; w++) {
    all.top = fmaxf(all.top, tops[w]);
  }
  const float sum = sp_warp_sum(t.sum * share_of(t.top, all.top));
  if (sp_lane() == 0) {
    sums[sp_warp()] = sum;
  }
  sp_sync_threads();
  for (uint32_t w = 0; w < WARPS; w++) {
    all.sum += sums[w];
  }
  return all;
}

template <typename T, int kCount>
SP_DEVICE void write_gradient(const Args &a, const float *row, size_t r, const Total &all) {
  const size_t target = (size_t)a.target[r];
  const float factor = 1.0f / all.sum;
  T *to = static_cast<T *>(a.d_logits) + r * a.pitch;
  float z[kCount];
  for (size_t c = threadIdx.x * (size_t)kCount; c < a.pitch; c += THREADS * (size_t)kCount) {
    load_logits<kCount>(a, row, c, z);
    SP_UNROLL
    for (int j = 0; j < kCount; j++) {
      const float p = share_of(z[j], all.top) * factor;
      z[j] = a.scale * (c + (size_t)j == target ? p - 1.0f : p);
      z[j] = c + (size_t)j < a.v ? z[j] : 0.0f;
    }
    sp_store_some<kCount>(to + c, z);
  }
}

template <typename T, int kCount>
__global__ void __launch_bounds__(THREADS) softmax_loss(const Args a) {
  const size_t r = blockIdx.x;
  const float *row = a.logits + r * a.pitch;
  const Total all = block_total(thread_total<kCount>(a, row));
  if (threadIdx.x == 0) {
    float z[1];
    load_logits<1>(a, row, (size_t)a.target[r], z);
    a.loss[r] = (float)(log((double)all.sum) + ((double)all.top - (double)z[0]));
  }
  if (a.d_logits) {
    sp_sync_threads(); /* the target's logit is read: its place may be written */
    write_gradient<T, kCount>(a, row, r, all);
  }
}

template <typename T>
cudaError_t launch(cudaStream_t stream, const Args &a) {
  const bool wide = a.pitch % 8 == 0 && sp_is_aligned(a.logits) && sp_is_aligned(a.d_logits);
  auto kernel = wide ? softmax_loss<T, 8> : softmax_loss<T, 1>;
  return SP_LAUNCH(kernel, dim3((unsigned)a.rows), dim3(THREADS), 2 * WARPS * sizeof(float), stream,
                   a);
}

}  // namespace

cudaError_t sp_cuda_train_softmax_loss(cudaStream_t stream, bool bf16,
                                       const sp_cuda_softmax_loss_args *args) {
  if (args->pitch < args->v || args->v == 0 || args->rows > INT32_MAX) {
    return cudaErrorInvalidValue;
  }
  if (args->rows == 0) {
    return cudaSuccess;
  }
  return bf16 ? launch<sp_bf16>(stream, *args) : launch<float>(stream, *args);
}
