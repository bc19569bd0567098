#include "train_op_list.h"

#include <cmath>
#include <limits>
#include <random>

namespace sp_test {
namespace {

constexpr size_t kRows = 37, kWidth = 48, kVocab = 83, kHeads = 2, kHeadDim = 8;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<float> Random(size_t n, float range, uint32_t seed) {
  std::mt19937 bits(seed);
  std::vector<float> v(n);
  for (float &x : v)
    x = range * (static_cast<float>(bits() >> 8) * 0x1p-23f - 1.0f);
  return v;
}

class Outputs {
 public:
  Outputs(TrainSide &side, TrainOutputs *out) : side_(side), out_(out) {}
  void Floats(const float *from, size_t n) {
    side_.Down(from, n, &out_->values);
    out_->parts.push_back(n);
  }
  void Act(const void *from, size_t n) {
    side_.DownAct(from, n, &out_->values);
    out_->parts.push_back(n);
  }
  void Typed(const void *from, size_t n, bool f32) {
    if (f32) {
      Floats(static_cast<const float *>(from), n);
    } else {
      Act(from, n);
    }
  }

 private:
  TrainSide &side_;
  TrainOutputs *out_;
};

// ---- products ----

struct LinearCase {
  size_t n, k, rows;
  sp_activation activation;
  bool f32_weight, out_f32, d_in_add;
};

void Linear(TrainSide &side, TrainOutputs *out, const LinearCase &c) {
  Outputs outputs(side, out);
  const size_t n = c.n, k = c.k, rows = c.rows;
  const bool f32 = c.f32_weight, active = c.activation != SP_ACT_NONE;
  auto act = [&](const std::vector<float> &v) {
    return f32 ? static_cast<void *>(side.Up(v, rows)) : side.UpAct(v, rows);
  };
  auto room = [&](size_t width, bool wide) {
    return wide || f32 ? static_cast<void *>(side.Floats(rows, width)) : side.Act(rows, width);
  };
  sp_train_weight *weight = side.Weight(Random(n * k, 0.3f, 1), n, k, f32);
  const void *in = act(Random(rows * k, 1, 2));
  sp_train_linear_args forward{};
  forward.weight = weight;
  forward.bias = side.Up(Random(n, 0.5f, 3));
  forward.in = in;
  forward.rows = rows;
  forward.activation = c.activation;
  forward.pre = active ? room(n, false) : nullptr;
  forward.out = room(n, c.out_f32);
  forward.out_f32 = c.out_f32;
  side.Run(side.table().linear, forward);
  outputs.Typed(forward.out, rows * n, c.out_f32 || f32);
  if (active)
    outputs.Typed(forward.pre, rows * n, f32);

  sp_train_linear_backward_args backward{};
  backward.weight = weight;
  backward.in = in;
  backward.pre = forward.pre;
  backward.activation = c.activation;
  backward.rows = rows;
  backward.d_out_f32 = c.out_f32;
  const std::vector<float> d_out = Random(rows * n, 1, 4);
  backward.d_out = c.out_f32 ? side.Up(d_out, rows) : act(d_out);
  backward.d_in_add = c.d_in_add;
  backward.d_in =
      c.d_in_add ? static_cast<void *>(side.Up(Random(rows * k, 1, 5), rows)) : room(k, false);
  backward.d_weight = side.Up(Random(n * k, 1, 6), n);
  backward.d_bias = side.Up(Random(n, 1, 7));
  side.Run(side.table().linear_backward, backward);
  outputs.Typed(backward.d_in, rows * k, c.d_in_add || f32);
  outputs.Floats(backward.d_weight, n * k);
  outputs.Floats(backward.d_bias, n);
}

void LinearPlain(TrainSide &side, TrainOutputs *out) {
  Linear(side, out, {kWidth, 40, kRows, SP_ACT_NONE, false, false, false});
}
void LinearResidual(TrainSide &side, TrainOutputs *out) {
  Linear(side, out, {24, kWidth, kRows, SP_ACT_NONE, false, true, true});
}
void LinearGeluErf(TrainSide &side, TrainOutputs *out) {
  Linear(side, out, {kWidth, 24, kRows, SP_ACT_GELU_ERF, false, false, true});
}
void LinearGeluTanh(TrainSide &side, TrainOutputs *out) {
  Linear(side, out, {40, 24, 5, SP_ACT_GELU_TANH, false, true, false});
}
void LinearRelu(TrainSide &side, TrainOutputs *out) {
  Linear(side, out, {kWidth, 24, 5, SP_ACT_RELU, false, false, false});
}
void LinearTanh(TrainSide &side, TrainOutputs *out) {
  Linear(side, out, {24, 24, 3, SP_ACT_TANH, true, true, true});
}
// A scalar head, and widths that no library likes.
void LinearOne(TrainSide &side, TrainOutputs *out) {
  Linear(side, out, {1, kWidth, 3, SP_ACT_NONE, true, true, true});
}
void LinearOdd(TrainSide &side, TrainOutputs *out) {
  Linear(side, out, {13, 11, kRows, SP_ACT_GELU_ERF, false, false, true});
}

void VocabLoss(TrainSide &side, TrainOutputs *out) {
  Outputs outputs(side, out);
  std::vector<int32_t> target;
  for (size_t r = 0; r < kRows; r++)
    target.push_back(static_cast<int32_t>(r * 29 % kVocab));
  sp_train_vocab_args args{};
  args.weight = side.Weight(Random(kVocab * kWidth, 0.6f, 1), kVocab, kWidth);
  args.bias = side.Up(Random(kVocab, 1, 2));
  args.h = side.UpAct(Random(kRows * kWidth, 1, 3), kRows);
  args.target = side.Up(target);
  args.rows = kRows;
  for (bool backward : {false, true}) {
    args.loss = side.Floats(kRows);
    args.backward = backward;
    args.scale = 0.125f;
    args.d_h = side.Floats(kRows, kWidth);
    args.d_weight = side.Up(Random(kVocab * kWidth, 0.1f, 4), kVocab);
    args.d_bias = side.Up(Random(kVocab, 0.1f, 5));
    side.Run(side.table().vocab_loss, args);
    outputs.Floats(args.loss, kRows);
  }
  outputs.Floats(args.d_h, kRows * kWidth);
  outputs.Floats(args.d_weight, kVocab * kWidth);
  outputs.Floats(args.d_bias, kVocab);
}

// ---- attention ----

struct AttentionCase {
  std::vector<uint32_t> lens;
  bool scored_rows;  // two rows of every sequence, else all
  bool masked;       // to the keys up to the row and `reach` beyond
  size_t reach;      // of a soft mask; 0: none
};

// Packed sequences as the network lays them.
struct Layout {
  std::vector<uint32_t> row_start{0}, key_start{0}, position;
  std::vector<uint64_t> mask, mask_start;
  std::vector<float> bias;
};

void AddMask(uint32_t position, uint32_t len, size_t reach, Layout *layout) {
  for (uint32_t word = 0; word < (len + 63) / 64; word++) {
    uint64_t bits = 0;
    for (uint32_t j = word * 64; j < len && j < word * 64 + 64; j++) {
      if (j <= position + reach)
        bits |= uint64_t{1} << (j - word * 64);
    }
    layout->mask.push_back(bits);
  }
}

void AddBias(uint32_t position, uint32_t len, size_t reach, Layout *layout) {
  std::vector<float> cells = Random(reach, 2, 100 + position + len);
  for (size_t r = 0; r < reach; r++)
    layout->bias.push_back(position + 1 + r < len ? cells[r] - 2 : -kInfinity);
}

Layout Lay(const AttentionCase &c) {
  Layout layout;
  for (uint32_t len : c.lens) {
    layout.mask_start.push_back(layout.mask.size());
    for (uint32_t p = 0; p < len; p++) {
      if (c.scored_rows && p != 0 && p != len / 2)
        continue;
      layout.position.push_back(p);
      AddMask(p, len, c.reach, &layout);
      AddBias(p, len, c.reach, &layout);
    }
    layout.row_start.push_back(static_cast<uint32_t>(layout.position.size()));
    layout.key_start.push_back(layout.key_start.back() + len);
  }
  return layout;
}

void Attention(TrainSide &side, TrainOutputs *out, const AttentionCase &c) {
  Outputs outputs(side, out);
  const Layout layout = Lay(c);
  const size_t rows = layout.position.size(), keys = layout.key_start.back();
  const size_t width = kHeads * kHeadDim, bytes = side.bf16() ? 2 : 4;
  char *qkv = static_cast<char *>(side.UpAct(Random(keys * 3 * width, 1.5f, 1), keys));
  sp_train_attention_args args{};
  args.q = c.scored_rows ? side.UpAct(Random(rows * width, 1.5f, 2), rows) : qkv;
  args.k = qkv + width * bytes;
  args.v = qkv + 2 * width * bytes;
  args.q_stride = c.scored_rows ? width : 3 * width;
  args.kv_stride = 3 * width;
  args.heads = kHeads;
  args.head_dim = kHeadDim;
  args.sequences = c.lens.size();
  args.rows = rows;
  args.keys = keys;
  args.row_start = side.Up(layout.row_start);
  args.key_start = side.Up(layout.key_start);
  args.row_position = side.Up(layout.position);
  args.mask = c.masked ? side.Up(layout.mask) : nullptr;
  args.mask_start = c.masked ? side.Up(layout.mask_start) : nullptr;
  args.bias = c.reach > 0 ? side.Up(layout.bias, rows) : nullptr;
  args.reach = c.reach;
  args.out = side.Act(rows, width);
  args.lse = side.Floats(rows, kHeads);
  side.Run(side.table().attention, args);
  outputs.Act(args.out, rows * width);
  outputs.Floats(args.lse, rows * kHeads);

  sp_train_attention_backward_args back{};
  back.forward = args;
  back.d_out = side.UpAct(Random(rows * width, 1, 3), rows);
  char *d_qkv = static_cast<char *>(side.UpAct(std::vector<float>(keys * 3 * width, 0), keys));
  back.d_q = c.scored_rows ? side.Act(rows, width) : d_qkv;
  back.d_k = d_qkv + width * bytes;
  back.d_v = d_qkv + 2 * width * bytes;
  back.d_q_stride = args.q_stride;
  back.d_kv_stride = 3 * width;
  back.d_bias = c.reach > 0 ? side.Floats(rows, c.reach) : nullptr;
  side.Run(side.table().attention_backward, back);
  outputs.Act(d_qkv, keys * 3 * width);
  if (c.scored_rows)
    outputs.Act(back.d_q, rows * width);
  if (c.reach > 0)
    outputs.Floats(back.d_bias, rows * c.reach);
}

void AttentionFull(TrainSide &side, TrainOutputs *out) {
  Attention(side, out, {{5, 1, 70}, false, false, 0});
}
void AttentionScored(TrainSide &side, TrainOutputs *out) {
  Attention(side, out, {{9, 17}, true, false, 0});
}
void AttentionMasked(TrainSide &side, TrainOutputs *out) {
  Attention(side, out, {{3, 66}, false, true, 0});
}
void AttentionSoft(TrainSide &side, TrainOutputs *out) {
  Attention(side, out, {{4, 65, 1}, false, true, 3});
}

// ---- norms, embeddings ----

void AddNorm(TrainSide &side, TrainOutputs *out) {
  Outputs outputs(side, out);
  sp_train_norm_args args{};
  args.x = side.Up(Random(kRows * kWidth, 3, 1), kRows);
  args.residual = side.Up(Random(kRows * kWidth, 1, 2), kRows);
  args.gamma = side.Up(Random(kWidth, 1, 3));
  args.beta = side.Up(Random(kWidth, 1, 4));
  args.eps = 1e-12f;
  args.rows = kRows;
  args.d = kWidth;
  args.sum = side.Floats(kRows, kWidth);
  args.mean = side.Floats(kRows);
  args.rstd = side.Floats(kRows);
  args.res = side.Floats(kRows, kWidth);
  args.act = side.Act(kRows, kWidth);
  side.Run(side.table().add_norm, args);
  outputs.Floats(args.sum, kRows * kWidth);
  outputs.Floats(args.mean, kRows);
  outputs.Floats(args.rstd, kRows);
  outputs.Floats(args.res, kRows * kWidth);
  outputs.Act(args.act, kRows * kWidth);

  sp_train_norm_backward_args back{};
  back.sum = args.sum;
  back.mean = args.mean;
  back.rstd = args.rstd;
  back.gamma = args.gamma;
  back.rows = kRows;
  back.d = kWidth;
  back.d_y = side.Up(Random(kRows * kWidth, 1, 5), kRows);
  back.d_gamma = side.Up(Random(kWidth, 1, 6));
  back.d_beta = side.Up(Random(kWidth, 1, 7));
  side.Run(side.table().add_norm_backward, back);
  outputs.Floats(back.d_y, kRows * kWidth);
  outputs.Floats(back.d_gamma, kWidth);
  outputs.Floats(back.d_beta, kWidth);
}

void Embed(TrainSide &side, TrainOutputs *out) {
  Outputs outputs(side, out);
  std::vector<int32_t> ids;
  std::vector<uint32_t> position;
  for (size_t r = 0; r < kRows; r++) {
    ids.push_back(static_cast<int32_t>(r * 31 % kVocab));
    position.push_back(static_cast<uint32_t>(r % 7));
  }
  sp_train_embed_args args{};
  args.words = side.Up(Random(kVocab * kWidth, 1, 1), kVocab);
  args.positions = side.Up(Random(7 * kWidth, 1, 2), 7);
  args.type = side.Up(Random(kWidth, 1, 3));
  args.ids = side.Up(ids);
  args.position = side.Up(position);
  args.rows = kRows;
  args.d = kWidth;
  args.x = side.Floats(kRows, kWidth);
  side.Run(side.table().embed, args);
  outputs.Floats(args.x, kRows * kWidth);
}

void SegmentAdd(TrainSide &side, TrainOutputs *out) {
  Outputs outputs(side, out);
  sp_train_segment_args args{};
  args.from = side.Up(Random(kRows * kWidth, 1, 1), kRows);
  args.row = side.Up(std::vector<uint32_t>{3, 36, 0, 3, 17, 5});
  args.start = side.Up(std::vector<uint32_t>{0, 1, 1, 6});
  args.target = side.Up(std::vector<uint32_t>{4, 0, 2});
  args.groups = 3;
  args.members = 6;
  args.d = kWidth;
  args.to = side.Up(Random(5 * kWidth, 1, 2), 5);
  side.Run(side.table().segment_add, args);
  outputs.Floats(args.to, 5 * kWidth);
}

void Gather(TrainSide &side, TrainOutputs *out) {
  Outputs outputs(side, out);
  const void *from = side.UpAct(Random(kRows * kWidth, 1, 1), kRows);
  const uint32_t *index = side.Up(std::vector<uint32_t>{36, 0, 7, 7, 1});
  void *to = side.Act(5, kWidth);
  if (side.ok())
    side.Do(side.table().gather(side.trainer(), from, kWidth * (side.bf16() ? 2 : 4), index, 5, to,
                                side.err()));
  outputs.Act(to, 5 * kWidth);
}

// ---- soft masks, updates ----

void Soften(TrainSide &side, TrainOutputs *out) {
  Outputs outputs(side, out);
  const size_t reach = 4;
  std::vector<uint32_t> room;
  for (uint32_t r = 0; r < kRows; r++)
    room.push_back(r % 6);
  sp_train_soften_args args{};
  args.g = side.Up(Random(kRows * reach, 4, 1), kRows);
  args.room = side.Up(room);
  args.rows = kRows;
  args.reach = reach;
  args.tau = 1.5f;
  for (bool span : {false, true}) {
    args.span = span;
    for (bool hard : {false, true}) {
      args.hard = hard;
      args.log_a = side.Floats(kRows, reach);
      side.Run(side.table().soften, args);
      outputs.Floats(args.log_a, kRows * reach);
    }
    sp_train_soften_backward_args back{};
    back.forward = args;
    back.forward.hard = false;
    back.d_log_a = side.Up(Random(kRows * reach, 1, 2), kRows);
    back.d_g = side.Floats(kRows, reach);
    side.Run(side.table().soften_backward, back);
    outputs.Floats(back.d_g, kRows * reach);
  }
}

void AdamW(TrainSide &side, TrainOutputs *out) {
  Outputs outputs(side, out);
  const size_t count = 1003;
  std::vector<float> v = Random(count, 0.5f, 3);
  for (float &x : v)
    x = std::fabs(x);
  sp_train_adamw_args args{};
  args.param = side.Up(Random(count, 1, 1));
  args.m = side.Up(Random(count, 0.5f, 2));
  args.v = side.Up(v);
  args.grad = side.Up(Random(count, 2, 4));
  args.count = count;
  args.clip = 0.75f;
  args.rate = 1e-2f;
  args.beta1 = 0.9f;
  args.beta2 = 0.98f;
  args.eps = 1e-6f;
  args.decay = 0.01f;
  args.correction1 = 0.19f;
  args.correction2 = 0.0396f;
  side.Run(side.table().adamw, args);
  outputs.Floats(args.param, count);
  outputs.Floats(args.m, count);
  outputs.Floats(args.v, count);
}

void SquareSum(TrainSide &side, TrainOutputs *out) {
  const size_t count = 9001;
  double sum = 0;
  const float *x = side.Up(Random(count, 2, 1));
  if (side.ok())
    side.Do(side.table().square_sum(side.trainer(), x, count, &sum, side.err()));
  out->values.push_back(static_cast<float>(sum));
  out->parts.push_back(1);
}

void Zero(TrainSide &side, TrainOutputs *out) {
  Outputs outputs(side, out);
  float *x = side.Up(Random(99, 1, 1));
  if (side.ok())
    side.Do(side.table().fill_zero(side.trainer(), x + 1, 97 * sizeof(float), side.err()));
  if (side.ok())
    side.Do(side.table().finish(side.trainer(), side.err()));
  outputs.Floats(x, 99);
}

}  // namespace

sp_train_limits TrainOpLimits() {
  sp_train_limits limits{};
  limits.rows = 76;
  limits.scored = kRows;
  limits.sequences = 3;
  limits.length = 70;
  limits.width = kWidth;
  limits.heads = kHeads;
  limits.head_dim = kHeadDim;
  limits.vocab = kVocab;
  limits.threads = 2;
  return limits;
}

const std::vector<TrainOp> &TrainOps() {
  static const std::vector<TrainOp> ops = {
      {"linear_plain", LinearPlain},
      {"linear_residual", LinearResidual},
      {"linear_gelu_erf", LinearGeluErf},
      {"linear_gelu_tanh", LinearGeluTanh},
      {"linear_relu", LinearRelu},
      {"linear_tanh", LinearTanh},
      {"linear_one", LinearOne},
      {"linear_odd", LinearOdd},
      {"vocab_loss", VocabLoss},
      {"attention_full", AttentionFull},
      {"attention_scored", AttentionScored},
      {"attention_masked", AttentionMasked},
      {"attention_soft", AttentionSoft},
      {"add_norm", AddNorm},
      {"embed", Embed},
      {"segment_add", SegmentAdd},
      {"gather", Gather},
      {"soften", Soften},
      {"adamw", AdamW},
      {"square_sum", SquareSum},
      {"zero", Zero},
  };
  return ops;
}

}  // namespace sp_test
