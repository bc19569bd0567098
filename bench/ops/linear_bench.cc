// linear: the products of real encoders, by activation, row kind and compute type.
#include "op_bench.h"

namespace {

using sp_bench::Device;

// rows, n, k, activation, row kind, compute, out_res
void Linear(benchmark::State &state) {
  size_t rows = static_cast<size_t>(state.range(0)), n = static_cast<size_t>(state.range(1)),
         k = static_cast<size_t>(state.range(2));
  Device d(static_cast<sp_compute>(state.range(5)));
  bool out_res = state.range(6) != 0;
  std::vector<float> weight = Device::Numbers(n * k, 1.0f / std::sqrt(static_cast<float>(k)));
  std::vector<float> bias = Device::Numbers(n, 0.1f);
  sp_linear *linear = nullptr;
  d.Check(d.backend->linear_create(
      d.device, weight.data(), bias.data(), n, k, static_cast<sp_activation>(state.range(3)),
      static_cast<sp_row_kind>(state.range(4)), out_res, &linear, &d.err));
  d.BeginStream();
  void *in = d.Rows(rows, k), *out = d.Rows(rows, n, out_res);
  for (auto _ : state) {
    d.Check(d.backend->linear(d.stream, linear, in, nullptr, rows, out, &d.err));
  }
  sp_bench::Rate(state, "FLOP/s", 2.0 * static_cast<double>(rows * n * k));
  sp_bench::PerRow(state, static_cast<double>(rows));
  d.backend->linear_destroy(linear);
}

void Shapes(benchmark::internal::Benchmark *b) {
  b->ArgNames({"rows", "n", "k", "act", "kind", "bf16", "res"});
  for (int bf16 : {1, 0}) {
    b->Args({512, 2304, 768, SP_ACT_NONE, SP_ROWS_TOKENS, bf16, 0});
    b->Args({512, 768, 768, SP_ACT_NONE, SP_ROWS_TOKENS, bf16, 1});
    b->Args({512, 3072, 768, SP_ACT_NONE, SP_ROWS_TOKENS, bf16, 0});
    b->Args({512, 3072, 768, SP_ACT_GELU_ERF, SP_ROWS_TOKENS, bf16, 0});
    b->Args({512, 768, 3072, SP_ACT_NONE, SP_ROWS_TOKENS, bf16, 1});
    b->Args({512, 3072, 768, SP_ACT_GELU_ERF, SP_ROWS_SCORED, bf16, 0});
    b->Args({512, 936, 312, SP_ACT_NONE, SP_ROWS_TOKENS, bf16, 0});
    b->Args({512, 1200, 312, SP_ACT_GELU_ERF, SP_ROWS_TOKENS, bf16, 0});
    b->Args({512, 312, 1200, SP_ACT_NONE, SP_ROWS_TOKENS, bf16, 1});
    b->Args({512, 768, 256, SP_ACT_NONE, SP_ROWS_TOKENS, bf16, 0});
    b->Args({512, 1024, 256, SP_ACT_GELU_ERF, SP_ROWS_TOKENS, bf16, 0});
    b->Args({512, 256, 1024, SP_ACT_NONE, SP_ROWS_TOKENS, bf16, 1});
  }
}
BENCHMARK(Linear)->Apply(Shapes);

}  // namespace
