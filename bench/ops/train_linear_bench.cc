// Products of training by pass and shape, and the loss over a vocabulary.  SP_BENCH_THREADS sets the
// threads of a CPU trainer, 2 without it.
#include "op_bench.h"
#include "train.h"

namespace {

using sp_bench::Device;

struct Trainer {
  Device d;
  const sp_train_backend *ops;
  sp_trainer *trainer = nullptr;
  Trainer(sp_compute compute, size_t rows, size_t width, size_t vocab) : d(compute) {
    const char *threads = getenv("SP_BENCH_THREADS");
    ops = d.backend->train;
    sp_train_limits limits{};
    limits.rows = limits.scored = rows;
    limits.width = width;
    limits.vocab = vocab;
    limits.threads = threads ? static_cast<size_t>(atoi(threads)) : 2;
    d.Check(ops->open(d.device, &limits, &trainer, &d.err));
  }
  ~Trainer() {
    ops->close(trainer);
  }
  Trainer(const Trainer &) = delete;
  Trainer &operator=(const Trainer &) = delete;
  sp_train_weight *Weight(size_t n, size_t k) {
    sp_train_weight *weight = nullptr;
    d.Check(ops->weight_create(trainer, d.device->compute, static_cast<float *>(d.Rows(n, k, true)),
                               n, k, &weight, &d.err));
    return weight;
  }
};

// rows, n, k, activation, compute; two linears by turns so that none finds its rows in cache
void Forward(benchmark::State &state) {
  size_t rows = static_cast<size_t>(state.range(0)), n = static_cast<size_t>(state.range(1)),
         k = static_cast<size_t>(state.range(2));
  Trainer t(static_cast<sp_compute>(state.range(4)), rows, std::max(n, k), 0);
  sp_train_weight *weight = t.Weight(n, k);
  sp_train_linear_args args{};
  args.weight = weight;
  args.bias = static_cast<float *>(t.d.Rows(1, n, true));
  args.in = t.d.Rows(rows, k);
  args.rows = rows;
  args.activation = static_cast<sp_activation>(state.range(3));
  args.pre = t.d.Rows(rows, n);
  args.out = t.d.Rows(rows, n);
  for (auto _ : state) {
    t.d.Check(t.ops->linear(t.trainer, &args, &t.d.err));
  }
  sp_bench::Rate(state, "FLOP/s", 2.0 * static_cast<double>(rows * n * k));
  t.ops->weight_destroy(weight);
}

// rows, n, k, activation, compute, with d_in (2: added to)
void Backward(benchmark::State &state) {
  size_t rows = static_cast<size_t>(state.range(0)), n = static_cast<size_t>(state.range(1)),
         k = static_cast<size_t>(state.range(2));
  Trainer t(static_cast<sp_compute>(state.range(4)), rows, std::max(n, k), 0);
  sp_train_weight *weight = t.Weight(n, k);
  sp_train_linear_backward_args args{};
  args.weight = weight;
  args.in = t.d.Rows(rows, k);
  args.pre = t.d.Rows(rows, n);
  args.activation = static_cast<sp_activation>(state.range(3));
  args.rows = rows;
  args.d_out = t.d.Rows(rows, n);
  args.d_in_add = state.range(5) == 2;
  args.d_in = state.range(5) ? t.d.Rows(rows, k, args.d_in_add) : nullptr;
  args.d_weight = static_cast<float *>(t.d.Rows(n, k, true));
  args.d_bias = static_cast<float *>(t.d.Rows(1, n, true));
  for (auto _ : state) {
    t.d.Check(t.ops->linear_backward(t.trainer, &args, &t.d.err));
  }
  double products = state.range(5) ? 4.0 : 2.0;
  sp_bench::Rate(state, "FLOP/s", products * static_cast<double>(rows * n * k));
  t.ops->weight_destroy(weight);
}

// rows, v, d, backward, compute
void VocabLoss(benchmark::State &state) {
  size_t rows = static_cast<size_t>(state.range(0)), v = static_cast<size_t>(state.range(1)),
         d = static_cast<size_t>(state.range(2));
  Trainer t(static_cast<sp_compute>(state.range(4)), rows, d, v);
  sp_train_weight *weight = t.Weight(v, d);
  std::vector<int32_t> target(rows);
  for (size_t r = 0; r < rows; r++)
    target[r] = static_cast<int32_t>(r * 7919 % v);
  sp_train_vocab_args args{};
  args.weight = weight;
  args.bias = static_cast<float *>(t.d.Rows(1, v, true));
  args.h = t.d.Rows(rows, d);
  args.target = target.data();
  args.rows = rows;
  args.loss = static_cast<float *>(t.d.Rows(rows, 1, true));
  args.backward = state.range(3) != 0;
  args.scale = 1.0f / static_cast<float>(rows);
  args.d_h = static_cast<float *>(t.d.Rows(rows, d, true));
  args.d_weight = static_cast<float *>(t.d.Rows(v, d, true));
  args.d_bias = static_cast<float *>(t.d.Rows(1, v, true));
  for (auto _ : state) {
    t.d.Check(t.ops->vocab_loss(t.trainer, &args, &t.d.err));
  }
  double products = args.backward ? 6.0 : 2.0;
  sp_bench::Rate(state, "FLOP/s", products * static_cast<double>(rows * v * d));
  t.ops->weight_destroy(weight);
}

// n, k, compute
void Refresh(benchmark::State &state) {
  size_t n = static_cast<size_t>(state.range(0)), k = static_cast<size_t>(state.range(1));
  Trainer t(static_cast<sp_compute>(state.range(2)), 128, k, n);
  sp_train_weight *weight = t.Weight(n, k);
  for (auto _ : state) {
    t.d.Check(t.ops->weight_refresh(t.trainer, weight, &t.d.err));
  }
  sp_bench::Rate(state, "weights/s", static_cast<double>(n * k));
  t.ops->weight_destroy(weight);
}

const std::vector<std::vector<int64_t>> kShapes = {
    {256, 256}, {768, 256}, {1024, 256}, {256, 1024}, {768, 768}, {3072, 768}, {768, 3072}};

void ForwardShapes(benchmark::internal::Benchmark *b) {
  b->ArgNames({"rows", "n", "k", "act", "bf16"});
  for (int bf16 : {1, 0}) {
    for (const auto &s : kShapes)
      b->Args({4096, s[0], s[1], SP_ACT_NONE, bf16});
    b->Args({4096, 1024, 256, SP_ACT_GELU_ERF, bf16});
  }
}
void BackwardShapes(benchmark::internal::Benchmark *b) {
  b->ArgNames({"rows", "n", "k", "act", "bf16", "d_in"});
  for (int bf16 : {1, 0}) {
    for (int d_in : {0, 1, 2})
      for (const auto &s : kShapes)
        b->Args({4096, s[0], s[1], SP_ACT_NONE, bf16, d_in});
    b->Args({4096, 1024, 256, SP_ACT_GELU_ERF, bf16, 2});
  }
}
void VocabShapes(benchmark::internal::Benchmark *b) {
  b->ArgNames({"rows", "v", "d", "backward", "bf16"});
  for (int bf16 : {1, 0}) {
    for (int backward : {0, 1}) {
      b->Args({800, 8192, 256, backward, bf16});
      b->Args({800, 30522, 256, backward, bf16});
      b->Args({800, 30522, 768, backward, bf16});
    }
  }
}
BENCHMARK(Forward)->Apply(ForwardShapes)->UseRealTime();
BENCHMARK(Backward)->Apply(BackwardShapes)->UseRealTime();
BENCHMARK(VocabLoss)->Apply(VocabShapes)->UseRealTime();
BENCHMARK(Refresh)->Args({1024, 256, 1})->Args({30522, 256, 1})->UseRealTime();

}  // namespace
