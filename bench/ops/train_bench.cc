// The trainer's own ops on one batch of 4096 tokens: attention, norms, embeddings and updates, with
// their gradients, beside the products of the same layer.
#include <algorithm>

#include "op_bench.h"
#include "train.h"

namespace {

using sp_bench::Device;

constexpr size_t kTokens = 4096, kVocab = 30522;

// A trainer, its threads SP_BENCH_THREADS or all, and sequences of 20 to 190 tokens.
struct Trainer {
  Trainer(Device &device, size_t hidden, size_t n_heads)
      : d(device), ops(device.backend->train), width(hidden), heads(n_heads) {
    for (size_t i = 0; tokens < kTokens; i++) {
      size_t len = std::min(20 + i * 7919 % 171, kTokens - tokens);
      tokens += len;
      for (size_t p = 0; p < len; p++)
        position.push_back(static_cast<uint32_t>(p));
      start.push_back(static_cast<uint32_t>(tokens));
    }
    const char *threads = getenv("SP_BENCH_THREADS");
    sp_train_limits limits{};
    limits.rows = kTokens;
    limits.sequences = start.size() - 1;
    limits.length = 190;
    limits.width = 4 * width;
    limits.heads = heads;
    limits.head_dim = width / heads;
    limits.threads = threads ? strtoul(threads, nullptr, 10) : 0;
    d.Check(ops->open(d.device, &limits, &trainer, &d.err));
  }
  ~Trainer() {
    ops->close(trainer);
  }
  Trainer(const Trainer &) = delete;
  Trainer &operator=(const Trainer &) = delete;

  float *F32(size_t rows, size_t columns) {
    return static_cast<float *>(d.Rows(rows, columns, true));
  }

  Device &d;
  const sp_train_backend *ops;
  size_t width, heads, tokens = 0;
  std::vector<uint32_t> start{0}, position;
  sp_trainer *trainer = nullptr;
};

struct Attention {
  explicit Attention(Trainer &t) {
    char *qkv = static_cast<char *>(t.d.Rows(kTokens, 3 * t.width));
    char *d_qkv = static_cast<char *>(t.d.Rows(kTokens, 3 * t.width));
    size_t bytes = t.width * (t.d.device->compute == SP_COMPUTE_BF16 ? 2 : 4);
    sp_train_attention_args &f = back.forward;
    f.q = qkv;
    f.k = qkv + bytes;
    f.v = qkv + 2 * bytes;
    f.q_stride = f.kv_stride = back.d_q_stride = back.d_kv_stride = 3 * t.width;
    f.heads = t.heads;
    f.head_dim = t.width / t.heads;
    f.sequences = t.start.size() - 1;
    f.rows = f.keys = kTokens;
    f.row_start = f.key_start = t.start.data();
    f.row_position = t.position.data();
    f.out = t.d.Rows(kTokens, t.width);
    f.lse = t.F32(kTokens, t.heads);
    back.d_out = t.d.Rows(kTokens, t.width);
    back.d_q = d_qkv;
    back.d_k = d_qkv + bytes;
    back.d_v = d_qkv + 2 * bytes;
    t.d.Check(t.ops->attention(t.trainer, &f, &t.d.err));
  }
  sp_train_attention_backward_args back{};
};

// width, heads, compute
void TrainAttention(benchmark::State &state) {
  Device d(static_cast<sp_compute>(state.range(2)));
  Trainer t(d, static_cast<size_t>(state.range(0)), static_cast<size_t>(state.range(1)));
  Attention a(t);
  for (auto _ : state)
    d.Check(t.ops->attention(t.trainer, &a.back.forward, &d.err));
}
void TrainAttentionBackward(benchmark::State &state) {
  Device d(static_cast<sp_compute>(state.range(2)));
  Trainer t(d, static_cast<size_t>(state.range(0)), static_cast<size_t>(state.range(1)));
  Attention a(t);
  for (auto _ : state)
    d.Check(t.ops->attention_backward(t.trainer, &a.back, &d.err));
}
void Encoders(benchmark::internal::Benchmark *b) {
  b->ArgNames({"width", "heads", "bf16"})->Unit(benchmark::kMillisecond)->UseRealTime();
  for (int64_t bf16 : {1, 0}) {
    b->Args({256, 4, bf16})->Args({312, 12, bf16})->Args({768, 12, bf16});
  }
}
BENCHMARK(TrainAttention)->Apply(Encoders);
BENCHMARK(TrainAttentionBackward)->Apply(Encoders);

// The four products of a layer, with their gradients: what attention's time is beside.
void TrainLayerProducts(benchmark::State &state) {
  Device d(static_cast<sp_compute>(state.range(2)));
  Trainer t(d, static_cast<size_t>(state.range(0)), static_cast<size_t>(state.range(1)));
  const size_t w = t.width, shapes[4][2] = {{3 * w, w}, {w, w}, {4 * w, w}, {w, 4 * w}};
  std::vector<sp_train_linear_args> forward;
  std::vector<sp_train_linear_backward_args> backward;
  std::vector<sp_train_weight *> weights;
  for (const auto &[n, k] : shapes) {
    sp_train_weight *weight = nullptr;
    d.Check(t.ops->weight_create(t.trainer, d.device->compute, t.F32(n, k), n, k, &weight, &d.err));
    weights.push_back(weight);
    bool gelu = n == 4 * w;
    sp_train_linear_args f{};
    f.weight = weight;
    f.bias = t.F32(1, n);
    f.in = d.Rows(kTokens, k);
    f.rows = kTokens;
    f.activation = gelu ? SP_ACT_GELU_ERF : SP_ACT_NONE;
    f.pre = gelu ? d.Rows(kTokens, n) : nullptr;
    f.out = d.Rows(kTokens, n);
    sp_train_linear_backward_args b{};
    b.weight = weight;
    b.in = f.in;
    b.pre = f.pre;
    b.activation = f.activation;
    b.rows = kTokens;
    b.d_out = f.out;
    b.d_in = d.Rows(kTokens, k);
    b.d_weight = t.F32(n, k);
    b.d_bias = t.F32(1, n);
    forward.push_back(f);
    backward.push_back(b);
  }
  for (auto _ : state) {
    for (const sp_train_linear_args &f : forward)
      d.Check(t.ops->linear(t.trainer, &f, &d.err));
    for (const sp_train_linear_backward_args &b : backward)
      d.Check(t.ops->linear_backward(t.trainer, &b, &d.err));
  }
  for (sp_train_weight *weight : weights)
    t.ops->weight_destroy(weight);
}
BENCHMARK(TrainLayerProducts)->Apply(Encoders);

struct Norm {
  explicit Norm(Trainer &t) {
    forward.x = t.F32(kTokens, t.width);
    forward.residual = t.F32(kTokens, t.width);
    forward.gamma = t.F32(1, t.width);
    forward.beta = t.F32(1, t.width);
    forward.eps = 1e-12f;
    forward.rows = kTokens;
    forward.d = t.width;
    forward.sum = t.F32(kTokens, t.width);
    forward.mean = t.F32(kTokens, 1);
    forward.rstd = t.F32(kTokens, 1);
    forward.res = t.F32(kTokens, t.width);
    forward.act = t.d.Rows(kTokens, t.width);
    t.d.Check(t.ops->add_norm(t.trainer, &forward, &t.d.err));
    backward.sum = forward.sum;
    backward.mean = forward.mean;
    backward.rstd = forward.rstd;
    backward.gamma = forward.gamma;
    backward.rows = kTokens;
    backward.d = t.width;
    backward.d_y = t.F32(kTokens, t.width);
    backward.d_gamma = t.F32(1, t.width);
    backward.d_beta = t.F32(1, t.width);
  }
  sp_train_norm_args forward{};
  sp_train_norm_backward_args backward{};
};

void TrainAddNorm(benchmark::State &state) {
  Device d(static_cast<sp_compute>(state.range(2)));
  Trainer t(d, static_cast<size_t>(state.range(0)), static_cast<size_t>(state.range(1)));
  Norm n(t);
  for (auto _ : state)
    d.Check(t.ops->add_norm(t.trainer, &n.forward, &d.err));
}
void TrainAddNormBackward(benchmark::State &state) {
  Device d(static_cast<sp_compute>(state.range(2)));
  Trainer t(d, static_cast<size_t>(state.range(0)), static_cast<size_t>(state.range(1)));
  Norm n(t);
  for (auto _ : state)
    d.Check(t.ops->add_norm_backward(t.trainer, &n.backward, &d.err));
}
BENCHMARK(TrainAddNorm)->Apply(Encoders);
BENCHMARK(TrainAddNormBackward)->Apply(Encoders);

// The token type's gradient: all rows into one.
void TrainSegmentAdd(benchmark::State &state) {
  Device d(SP_COMPUTE_F32);
  Trainer t(d, static_cast<size_t>(state.range(0)), 4);
  std::vector<uint32_t> row(kTokens), start = {0, kTokens}, target = {0};
  for (size_t i = 0; i < kTokens; i++)
    row[i] = static_cast<uint32_t>(i);
  sp_train_segment_args a{};
  a.from = t.F32(kTokens, t.width);
  a.row = row.data();
  a.start = start.data();
  a.target = target.data();
  a.groups = 1;
  a.members = kTokens;
  a.d = t.width;
  a.to = t.F32(1, t.width);
  for (auto _ : state)
    d.Check(t.ops->segment_add(t.trainer, &a, &d.err));
}
BENCHMARK(TrainSegmentAdd)
    ->ArgName("width")
    ->Arg(256)
    ->Arg(768)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

// The word table of width 256.
void TrainAdamw(benchmark::State &state) {
  Device d(SP_COMPUTE_F32);
  Trainer t(d, 256, 4);
  sp_train_adamw_args a{};
  a.count = kVocab * 256;
  a.param = t.F32(kVocab, 256);
  a.m = t.F32(kVocab, 256);
  a.v = t.F32(kVocab, 256);
  std::fill_n(a.v, a.count, 1.0f);
  a.grad = t.F32(kVocab, 256);
  a.clip = a.correction1 = a.correction2 = 1;
  a.rate = 1e-4f;
  a.beta1 = 0.9f;
  a.beta2 = 0.999f;
  a.eps = 1e-8f;
  a.decay = 0.01f;
  for (auto _ : state)
    d.Check(t.ops->adamw(t.trainer, &a, &d.err));
}
void TrainSquareSum(benchmark::State &state) {
  Device d(SP_COMPUTE_F32);
  Trainer t(d, 256, 4);
  const float *x = t.F32(kVocab, 256);
  double sum = 0;
  for (auto _ : state)
    d.Check(t.ops->square_sum(t.trainer, x, kVocab * 256, &sum, &d.err));
  benchmark::DoNotOptimize(sum);
}
BENCHMARK(TrainAdamw)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK(TrainSquareSum)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
