// schedule, with the mask of its rows, and mask by itself: packed sequences of 24 tokens.
#include "op_bench.h"

namespace {

using sp_bench::Device;

// What both need of the sequences.
struct Sequences {
  static constexpr uint32_t kCount = 11, kLen = 24;

  Sequences() : len(kCount, kLen), words(kCount * kLen) {
    for (uint32_t s = 0; s <= kCount; s++) {
      start.push_back(s * kLen);
      first.push_back(s * kLen);
    }
    for (uint32_t r = 0; r < kCount * kLen; r++)
      position.push_back(r % kLen);
  }
  sp_mask_args Args(sp_mask_policy policy, size_t reach) {
    sp_mask_args args{};
    args.policy = policy;
    args.reach = reach;
    args.left = SIZE_MAX;
    args.sequences = kCount;
    args.row_start = start.data();
    args.row_position = position.data();
    args.len = args.key_len = len.data();
    args.mask_start = first.data();
    args.mask = words.data();
    return args;
  }
  size_t Rows() const {
    return position.size();
  }

  std::vector<uint32_t> start, position, len;
  std::vector<uint64_t> first, words;
};

// width, reach
void Schedule(benchmark::State &state) {
  size_t width = static_cast<size_t>(state.range(0)), reach = static_cast<size_t>(state.range(1));
  Device d(SP_COMPUTE_F32);
  Sequences sequences;
  std::vector<float> weight = Device::Numbers(reach * width, 0.1f),
                     bias = Device::Numbers(reach, 0.1f);
  sp_dense *dense = nullptr;
  d.Check(d.backend->dense_create(d.device, weight.data(), bias.data(), reach, width, SP_ACT_NONE,
                                  &dense, &d.err));
  d.BeginStream();
  std::vector<uint32_t> bits(sequences.Rows()), nan(1);
  sp_mask_args mask = sequences.Args(SP_MASK_DYNAMIC, reach);
  sp_schedule_args args{};
  args.layers = &dense;
  args.n_layers = 1;
  args.reach = reach;
  args.rows_res = d.Rows(sequences.Rows(), width, true);
  args.rows = sequences.Rows();
  args.bits = bits.data();
  args.nan = nan.data();
  args.mask = &mask;
  for (auto _ : state)
    d.Check(d.backend->schedule(d.stream, &args, &d.err));
  sp_bench::PerRow(state, static_cast<double>(sequences.Rows()));
  d.backend->stream_destroy(d.stream);
  d.stream = nullptr;
  d.backend->dense_destroy(dense);
}
BENCHMARK(Schedule)->ArgNames({"width", "reach"})->ArgsProduct({{312, 512, 768}, {1, 2, 5, 32}});

void Mask(benchmark::State &state) {
  Device d(SP_COMPUTE_F32);
  Sequences sequences;
  d.BeginStream();
  sp_mask_args args = sequences.Args(static_cast<sp_mask_policy>(state.range(0)), 2);
  std::vector<uint32_t> bits(sequences.Rows(), 3);
  args.bits = bits.data();
  for (auto _ : state)
    d.Check(d.backend->mask(d.stream, &args, &d.err));
  sp_bench::PerRow(state, static_cast<double>(sequences.Rows()));
}
BENCHMARK(Mask)
    ->ArgNames({"policy"})
    ->Args({SP_MASK_CAUSAL})
    ->Args({SP_MASK_LAYERWISE})
    ->Args({SP_MASK_CHUNKED})
    ->Args({SP_MASK_DYNAMIC});

}  // namespace
