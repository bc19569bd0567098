// vocab_logp: one target a row against BERT's vocabulary.
#include "op_bench.h"

namespace {

using sp_bench::Device;

// rows, width, compute
void VocabLogp(benchmark::State &state) {
  const size_t v = 30522;
  size_t rows = static_cast<size_t>(state.range(0)), width = static_cast<size_t>(state.range(1));
  Device d(static_cast<sp_compute>(state.range(2)));
  std::vector<float> weight = Device::Numbers(v * width, 0.05f), bias = Device::Numbers(v, 0.1f);
  sp_vocab *vocab = nullptr;
  d.Check(d.backend->vocab_create(d.device, weight.data(), bias.data(), v, width, &vocab, &d.err));
  d.BeginStream();
  void *h = d.Rows(rows, width);
  std::vector<uint32_t> row(rows);
  std::vector<int32_t> id(rows);
  for (size_t i = 0; i < rows; i++) {
    row[i] = static_cast<uint32_t>(i);
    id[i] = static_cast<int32_t>(i * 7919 % v);
  }
  std::vector<float> logp(rows);
  for (auto _ : state) {
    d.Check(d.backend->vocab_logp(d.stream, vocab, h, rows, row.data(), id.data(), rows,
                                  logp.data(), &d.err));
  }
  sp_bench::PerRow(state, static_cast<double>(rows));
  sp_bench::Rate(state, "FLOP/s", 2.0 * static_cast<double>(rows * v * width));
  d.backend->vocab_destroy(vocab);
}
BENCHMARK(VocabLogp)
    ->ArgNames({"rows", "width", "bf16"})
    ->ArgsProduct({{64, 512}, {256, 312, 768}, {1, 0}});

}  // namespace
