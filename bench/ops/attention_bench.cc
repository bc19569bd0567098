// attention: packed sequences of one length; the row is a token.
#include "op_bench.h"

namespace {

using sp_bench::Device;

// length, heads, head_dim, compute, masked
void Attention(benchmark::State &state) {
  uint32_t len = static_cast<uint32_t>(state.range(0));
  size_t heads = static_cast<size_t>(state.range(1)), dim = static_cast<size_t>(state.range(2));
  Device d(static_cast<sp_compute>(state.range(3)));
  size_t sequences = 128 / len + 1, tokens = sequences * len, width = heads * dim;
  d.BeginStream();
  char *qkv = static_cast<char *>(d.Rows(tokens, 3 * width));
  std::vector<uint32_t> start(1, 0), lens(sequences, len);
  size_t words = (len + 63) / 64;
  std::vector<uint64_t> mask_start;
  for (size_t s = 0; s < sequences; s++) {
    mask_start.push_back(s * len * words);
    start.push_back(start.back() + len);
  }
  std::vector<uint64_t> mask(sequences * len * words, 0x7777777777777777u);
  sp_attention_args args{};
  args.q = qkv;
  args.k = qkv + width * d.device->act_bytes;
  args.v = qkv + 2 * width * d.device->act_bytes;
  args.out = d.Rows(tokens, width);
  args.q_stride = args.kv_stride = 3 * width;
  args.heads = heads;
  args.head_dim = dim;
  args.sequences = sequences;
  args.row_start = args.key_start = start.data();
  args.key_len = lens.data();
  if (state.range(4)) {
    args.mask = mask.data();
    args.mask_start = mask_start.data();
  }
  for (auto _ : state)
    d.Check(d.backend->attention(d.stream, &args, &d.err));
  sp_bench::PerRow(state, static_cast<double>(tokens));
  sp_bench::Rate(state, "FLOP/s", 4.0 * static_cast<double>(tokens * len * width));
}

void Shapes(benchmark::internal::Benchmark *b) {
  b->ArgNames({"len", "heads", "dim", "bf16", "mask"});
  for (int bf16 : {1, 0}) {
    for (int len : {8, 17, 24, 32, 48, 72, 128, 512})
      b->Args({len, 12, 64, bf16, 0});
    b->Args({24, 12, 64, bf16, 1});
    b->Args({24, 12, 26, bf16, 0});
    b->Args({24, 4, 64, bf16, 0});
  }
}
BENCHMARK(Attention)->Apply(Shapes);

}  // namespace
