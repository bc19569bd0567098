// Weights of the fake devices: handles around the CPU's, which can be shared.
#include <algorithm>

#include "fake_parts.h"

namespace sp_test {
namespace {

// `create` makes the CPU's from `args`, where there are sources.
template <typename T, typename Create, typename... Args>
sp_status MakeWeight(sp_device *base, const char *kind, std::vector<size_t> shape, bool has_source,
                     void (*destroy)(T *), T **out, sp_error *err, Create create, Args... args) {
  FakeDevice *device = Fake(base);
  SP_TRY(Enter(device, err));
  EXPECT_TRUE(has_source || orders.share) << kind;
  auto weight = std::make_unique<FakeWeight>();
  weight->device = device;
  weight->kind = kind;
  weight->shape = std::move(shape);
  if (has_source) {
    T *inner;
    SP_TRY(create(device->cpu.get(), args..., &inner, err));
    weight->inner.reset(
        inner, [destroy, cpu = device->cpu](void *data) { destroy(static_cast<T *>(data)); });
  }
  alive++;
  device->weights.push_back(weight.get());
  *out = reinterpret_cast<T *>(weight.release());
  return SP_OK;
}

void DestroyWeight(void *handle) {
  std::unique_ptr<FakeWeight> weight(static_cast<FakeWeight *>(handle));
  if (!weight)
    return;
  auto &siblings = weight->device->weights;
  siblings.erase(std::find(siblings.begin(), siblings.end(), weight.get()));
  alive--;
}

template <typename T>
void Destroy(T *weight) {
  DestroyWeight(weight);
}

sp_status LinearCreate(sp_device *device, const float *weight, const float *bias, size_t n,
                       size_t k, sp_activation activation, sp_row_kind rows, bool out_res,
                       sp_linear **out, sp_error *err) {
  return MakeWeight(device, "linear", {n, k, activation, rows, out_res}, weight && bias,
                    sp_cpu_backend.linear_destroy, out, err, sp_cpu_backend.linear_create, weight,
                    bias, n, k, activation, rows, out_res);
}

sp_status VocabCreate(sp_device *device, const float *weight, const float *bias, size_t v, size_t d,
                      sp_vocab **out, sp_error *err) {
  return MakeWeight(device, "vocab", {v, d}, weight && bias, sp_cpu_backend.vocab_destroy, out, err,
                    sp_cpu_backend.vocab_create, weight, bias, v, d);
}

sp_status NormCreate(sp_device *device, const float *gamma, const float *beta, size_t d, float eps,
                     sp_norm **out, sp_error *err) {
  return MakeWeight(device, "norm", {d}, gamma && beta, sp_cpu_backend.norm_destroy, out, err,
                    sp_cpu_backend.norm_create, gamma, beta, d, eps);
}

sp_status EmbeddingCreate(sp_device *device, const float *words, const float *positions,
                          const float *type0, size_t v, size_t p, size_t d, sp_embedding **out,
                          sp_error *err) {
  return MakeWeight(device, "embedding", {v, p, d}, words && positions && type0,
                    sp_cpu_backend.embedding_destroy, out, err, sp_cpu_backend.embedding_create,
                    words, positions, type0, v, p, d);
}

sp_status DenseCreate(sp_device *device, const float *weight, const float *bias, size_t n, size_t k,
                      sp_activation activation, sp_dense **out, sp_error *err) {
  return MakeWeight(device, "dense", {n, k, activation}, weight && bias,
                    sp_cpu_backend.dense_destroy, out, err, sp_cpu_backend.dense_create, weight,
                    bias, n, k, activation);
}

// Ranks are threads here: what rank 0 has can be seen by all, as long as it waits.
sp_status ShareWeights(sp_device *const *devices, size_t n, sp_share_job *job, sp_error *err) {
  FakeDevice *first = Fake(devices[0]);
  double nothing = 0;
  for (size_t i = 0; i < n; i++)
    SP_TRY(Enter(Fake(devices[i]), err));
  if (job)
    SP_TRY(job->broadcast(job->context, &first, sizeof first, err));
  for (size_t i = 0; i < n; i++) {
    FakeDevice *device = Fake(devices[i]);
    EXPECT_EQ(device->weights.size(), first->weights.size());
    for (size_t w = 0; w < first->weights.size(); w++) {
      EXPECT_STREQ(device->weights[w]->kind, first->weights[w]->kind);
      EXPECT_EQ(device->weights[w]->shape, first->weights[w]->shape);
      EXPECT_EQ(device->weights[w]->inner != nullptr, device == first) << "who reads?";
      if (device != first)
        device->weights[w]->inner = first->weights[w]->inner;
    }
  }
  return job ? job->sum(job->context, &nothing, 1, err) : SP_OK;
}

}  // namespace

void AddWeights(sp_backend *backend) {
  backend->linear_create = LinearCreate;
  backend->linear_destroy = Destroy<sp_linear>;
  backend->vocab_create = VocabCreate;
  backend->vocab_destroy = Destroy<sp_vocab>;
  backend->norm_create = NormCreate;
  backend->norm_destroy = Destroy<sp_norm>;
  backend->embedding_create = EmbeddingCreate;
  backend->embedding_destroy = Destroy<sp_embedding>;
  backend->dense_create = DenseCreate;
  backend->dense_destroy = Destroy<sp_dense>;
  backend->share_weights = orders.share ? ShareWeights : nullptr;
}

}  // namespace sp_test
