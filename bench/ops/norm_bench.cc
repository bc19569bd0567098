// add_norm and embed on rows that fit in the second-level cache.
#include "op_bench.h"

namespace {

using sp_bench::Device;

struct Norm {
  Norm(Device &device, size_t width) : d(device) {
    std::vector<float> gamma(width, 1.0f), beta(width, 0.0f);
    d.Check(
        d.backend->norm_create(d.device, gamma.data(), beta.data(), width, 1e-12f, &norm, &d.err));
  }
  ~Norm() {
    d.backend->norm_destroy(norm);
  }
  Device &d;
  sp_norm *norm = nullptr;
};

// width, compute
void AddNorm(benchmark::State &state) {
  const size_t rows = 256;
  size_t width = static_cast<size_t>(state.range(0));
  Device d(static_cast<sp_compute>(state.range(1)));
  Norm norm(d, width);
  d.BeginStream();
  void *x = d.Rows(rows, width, true), *res = d.Rows(rows, width, true), *act = d.Rows(rows, width);
  for (auto _ : state) {
    d.Check(d.backend->add_norm(d.stream, norm.norm, x, res, rows, res, act, &d.err));
  }
  sp_bench::PerRow(state, static_cast<double>(rows));
}
BENCHMARK(AddNorm)->ArgNames({"width", "bf16"})->ArgsProduct({{256, 312, 768, 1024}, {1, 0}});

void Embed(benchmark::State &state) {
  const size_t rows = 256, v = 30522, p = 512;
  size_t width = static_cast<size_t>(state.range(0));
  Device d(static_cast<sp_compute>(state.range(1)));
  Norm norm(d, width);
  std::vector<float> words = Device::Numbers(v * width, 1.0f),
                     positions = Device::Numbers(p * width, 1.0f),
                     type0 = Device::Numbers(width, 1.0f);
  sp_embedding *embedding = nullptr;
  d.Check(d.backend->embedding_create(d.device, words.data(), positions.data(), type0.data(), v, p,
                                      width, &embedding, &d.err));
  d.BeginStream();
  std::vector<int32_t> ids(rows);
  std::vector<uint32_t> at(rows);
  for (size_t i = 0; i < rows; i++) {
    ids[i] = static_cast<int32_t>(i * 7919 % v);
    at[i] = static_cast<uint32_t>(i % 24);
  }
  void *res = d.Rows(rows, width, true), *act = d.Rows(rows, width);
  for (auto _ : state) {
    d.Check(d.backend->embed(d.stream, embedding, norm.norm, ids.data(), at.data(), rows, res, act,
                             &d.err));
  }
  sp_bench::PerRow(state, static_cast<double>(rows));
  d.backend->embedding_destroy(embedding);
}
BENCHMARK(Embed)->ArgNames({"width", "bf16"})->ArgsProduct({{256, 768}, {1, 0}});

}  // namespace
