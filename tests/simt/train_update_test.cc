// Losses, soft masks and updates of training, against double.
#include "simt_op_test.h"
#include "train_ops.h"

namespace {

using namespace sp_test;

float *F32(const Bytes &data) {
  return static_cast<float *>(data.get());
}

class SimtTrainUpdate : public SimtOpTest {};

struct Logits {
  size_t rows, v, pitch;
  std::vector<float> z, bias;
  std::vector<int32_t> target;
  Logits(size_t rows_, size_t v_, size_t pitch_, float range)
      : rows(rows_),
        v(v_),
        pitch(pitch_),
        z(Random(rows * pitch, range, 1)),
        bias(Random(v, 1.0f, 2)) {
    for (size_t r = 0; r < rows; r++) {
      target.push_back(static_cast<int32_t>(r * 37 % v));
      for (size_t c = v; c < pitch; c++)
        z[r * pitch + c] = NAN;
    }
  }
};

TEST_P(SimtTrainUpdate, SoftmaxLossAndItsGradient) {
  for (size_t v : {1, 2, 255, 1000, 4099}) {
    for (size_t pitch : {v, (v + 7) / 8 * 8}) {
      Logits p(3, v, pitch, 12.0f);
      for (bool bias : {false, true}) {
        Bytes z = Res(p.z), loss = Res(p.rows), d = Act(p.z.size()), alone = Res(p.rows);
        sp_cuda_softmax_loss_args args{};
        args.logits = F32(z);
        args.bias = bias ? p.bias.data() : nullptr;
        args.target = p.target.data();
        args.rows = p.rows;
        args.v = v;
        args.pitch = pitch;
        args.scale = 0.25f;
        args.loss = F32(alone);
        SP_ASSERT_LAUNCH(sp_cuda_train_softmax_loss(nullptr, bf16_, &args));
        args.loss = F32(loss);
        args.d_logits = bf16_ ? d.get() : z.get();
        sp_simt::SetReverse(true);
        SP_ASSERT_LAUNCH(sp_cuda_train_softmax_loss(nullptr, bf16_, &args));
        sp_simt::SetReverse(false);
        EXPECT_TRUE(loss == alone);
        std::vector<float> got = bf16_ ? Read(d) : ReadRes(z);
        for (size_t r = 0; r < p.rows; r++) {
          const size_t target = static_cast<size_t>(p.target[r]);
          auto logit = [&](size_t c) {
            return p.z[r * pitch + c] + (bias ? double{p.bias[c]} : 0.0);
          };
          double total = 0;
          for (size_t c = 0; c < v; c++)
            total += std::exp(logit(c));
          ASSERT_TRUE(std::fabs(ReadRes(loss)[r] - (std::log(total) - logit(target))) <= 5e-6);
          for (size_t c = 0; c < pitch; c++) {
            double want = c < v ? 0.25 * (std::exp(logit(c)) / total - (c == target)) : 0.0;
            ASSERT_TRUE(std::fabs(got[r * pitch + c] - want) <=
                        1e-6 * std::fabs(want) + 2e-7 + 1.01 * Storing(want))
                << c << " of " << v << ": " << got[r * pitch + c] << ", want " << want;
          }
        }
      }
    }
  }
}

TEST_P(SimtTrainUpdate, HugeLogitsAndNaN) {
  Logits p(2, 300, 300, 1.0f);
  p.z[5] = 3e4f;
  p.z[300 + 5] = NAN;
  Bytes z = Res(p.z), loss = Res(2), d = Act(600);
  sp_cuda_softmax_loss_args args{};
  args.logits = F32(z);
  args.target = p.target.data();
  args.rows = 2;
  args.v = args.pitch = 300;
  args.scale = 1;
  args.loss = F32(loss);
  args.d_logits = d.get();
  SP_ASSERT_LAUNCH(sp_cuda_train_softmax_loss(nullptr, bf16_, &args));
  EXPECT_NEAR(ReadRes(loss)[0], 3e4 - p.z[0], 1e-2);
  EXPECT_TRUE(std::isnan(ReadRes(loss)[1]));
  EXPECT_EQ(Read(d)[5], 1.0f);
  EXPECT_TRUE(std::isnan(Read(d)[300]));
  args.pitch = 299;
  EXPECT_EQ(sp_cuda_train_softmax_loss(nullptr, bf16_, &args), cudaErrorInvalidValue);
}

TEST_P(SimtTrainUpdate, SoftMasksAndTheirGradients) {
  const size_t rows = 150, reach = 6;
  std::vector<float> g = Random(rows * reach, 4.0f, 3), d = Random(rows * reach, 1.0f, 4);
  g[0] = 200.0f;
  g[1] = -200.0f;
  std::vector<uint32_t> room(rows);
  for (uint32_t r = 0; r < rows; r++)
    room[r] = r % 9;
  for (bool span : {false, true}) {
    for (float tau : {1.0f, 20.0f}) {
      Bytes logits = Res(g), log_a = Res(g.size()), d_log_a = Res(d), d_g = Res(g.size());
      sp_train_soften_backward_args args{};
      args.forward = {F32(logits), room.data(), rows, reach, tau, span, false, F32(log_a)};
      args.d_log_a = F32(d_log_a);
      args.d_g = F32(d_g);
      SP_ASSERT_LAUNCH(sp_cuda_train_soften(nullptr, &args.forward));
      SP_ASSERT_LAUNCH(sp_cuda_train_soften_backward(nullptr, &args));
      std::vector<float> got = ReadRes(log_a), back = ReadRes(d_g);
      for (size_t r = 0; r < rows; r++) {
        double sum = 0;
        for (size_t c = 0; c < reach; c++) {
          const size_t i = r * reach + c;
          if (c >= room[r]) {
            ASSERT_EQ(got[i], -INFINITY);
            ASSERT_EQ(back[i], 0.0f);
            continue;
          }
          const double x = double{tau} * g[i];
          const double one = x > 0 ? -std::log1p(std::exp(-x)) : x - std::log1p(std::exp(x));
          sum = span ? sum + one : one;
          ASSERT_TRUE(std::fabs(got[i] - sum) <= 1e-6 * (1 + std::fabs(sum)) * 4) << i;
          double above = 0;
          for (size_t m = c; m < (span ? std::min<size_t>(reach, room[r]) : c + 1); m++)
            above += d[r * reach + m];
          const double want = tau / (1 + std::exp(x)) * above;
          ASSERT_TRUE(std::fabs(back[i] - want) <= 1e-5 * tau) << i << ": " << back[i];
        }
      }
    }
  }
}

TEST_P(SimtTrainUpdate, HardMasksRoundAsSchedulersDo) {
  std::vector<float> g = {0.0f, -1e-30f, 3.0f, 2.0f, 0.5f, -0.5f, 5.0f, 9.0f};
  std::vector<uint32_t> room = {4, 9};
  Bytes logits = Res(g), log_a = Res(8);
  sp_train_soften_args args = {F32(logits), room.data(), 2, 4, 1.0f, false, true, F32(log_a)};
  SP_ASSERT_LAUNCH(sp_cuda_train_soften(nullptr, &args));
  EXPECT_EQ(ReadRes(log_a), (std::vector<float>{0, -INFINITY, 0, 0, 0, -INFINITY, 0, 0}));
  args.span = true; /* 0.5, 0.25, ..; 0.62, 0.23, .. */
  SP_ASSERT_LAUNCH(sp_cuda_train_soften(nullptr, &args));
  EXPECT_EQ(ReadRes(log_a), (std::vector<float>{0, -INFINITY, -INFINITY, -INFINITY, 0, -INFINITY,
                                                -INFINITY, -INFINITY}));
  sp_train_soften_backward_args back{};
  back.forward = args;
  EXPECT_EQ(sp_cuda_train_soften_backward(nullptr, &back), cudaErrorInvalidValue);
}

TEST_P(SimtTrainUpdate, AdamwStepsEachElement) {
  for (size_t count : {1, 4, 1030, 4096}) {
    for (size_t shift : {0, 1}) {
      const size_t n = count + shift;
      std::vector<float> p = Random(n, 1.0f, 5), m = Random(n, 0.1f, 6), v = Random(n, 0.1f, 7),
                         g = Random(n, 2.0f, 8);
      for (float &x : v)
        x = std::fabs(x);
      Bytes param = Res(p), first = Res(m), second = Res(v), grad = Res(g);
      sp_train_adamw_args a = {F32(param) + shift,
                               F32(first) + shift,
                               F32(second) + shift,
                               F32(grad) + shift,
                               count,
                               0.5f,
                               1e-3f,
                               0.9f,
                               0.999f,
                               1e-6f,
                               0.01f,
                               0.271f,
                               0.002997f};
      SP_ASSERT_LAUNCH(sp_cuda_train_adamw(nullptr, &a));
      std::vector<float> p1 = ReadRes(param), m1 = ReadRes(first), v1 = ReadRes(second);
      for (size_t i = 0; i < n; i++) {
        double c = 0.5 * g[i], mm = 0.9 * m[i] + 0.1 * c, vv = 0.999 * v[i] + 0.001 * c * c;
        double step = mm / 0.271 / (std::sqrt(vv / 0.002997) + 1e-6) + 0.01 * p[i];
        if (i < shift) {
          c = mm = vv = 0;
          ASSERT_EQ(p1[i], p[i]);
          continue;
        }
        ASSERT_TRUE(std::fabs(m1[i] - mm) <= 1e-6) << i;
        ASSERT_TRUE(std::fabs(v1[i] - vv) <= 1e-6) << i;
        ASSERT_TRUE(std::fabs(p1[i] - (p[i] - 1e-3 * step)) <= 1e-6) << i;
      }
    }
  }
}

TEST_P(SimtTrainUpdate, SquaresAreSummedInDouble) {
  for (size_t count : {0, 1, 3, 1024, 16385, 40003}) {
    for (size_t shift : {0, 1}) {
      std::vector<float> x = Random(count + shift, 3.0f, 9);
      double want = 0, sums[2];
      for (size_t i = shift; i < x.size(); i++)
        want += double{x[i]} * x[i];
      Bytes data = Res(x), out(8), scratch(sp_cuda_train_square_sum_scratch_bytes(count));
      for (bool reverse : {false, true}) {
        sp_simt::SetReverse(reverse);
        SP_ASSERT_LAUNCH(sp_cuda_train_square_sum(nullptr, F32(data) + shift, count,
                                                  static_cast<double *>(out.get()), scratch.get()));
        memcpy(&sums[reverse], out.get(), 8);
      }
      ASSERT_EQ(sums[0], sums[1]);
      ASSERT_TRUE(std::fabs(sums[0] - want) <= 1e-12 * want) << count << ": " << sums[0];
    }
  }
}

TEST_P(SimtTrainUpdate, SquaresOfNaNAndInfinity) {
  for (float bad : {NAN, INFINITY}) {
    std::vector<float> x(20000, 1.0f);
    x[17000] = bad;
    Bytes data = Res(x), out(8), scratch(sp_cuda_train_square_sum_scratch_bytes(x.size()));
    SP_ASSERT_LAUNCH(sp_cuda_train_square_sum(nullptr, F32(data), x.size(),
                                              static_cast<double *>(out.get()), scratch.get()));
    double sum;
    memcpy(&sum, out.get(), 8);
    EXPECT_FALSE(std::isfinite(sum));
  }
}

TEST_P(SimtTrainUpdate, ConvertRoundsToNearestEven) {
  for (size_t count : {1, 8, 2050}) {
    for (size_t shift : {0, 1}) {
      std::vector<float> x = Random(count + shift, 3.0f, 10);
      Bytes from = Res(x), to(count * 2);
      SP_ASSERT_LAUNCH(sp_cuda_train_convert(nullptr, F32(from) + shift, count, to.get()));
      for (size_t i = 0; i < count; i++)
        ASSERT_EQ(static_cast<uint16_t *>(to.get())[i], sp_bf16_from_f32(x[i + shift]));
    }
  }
}

TEST_P(SimtTrainUpdate, ArraysAreSummedInTheirOrder) {
  for (size_t n : {1, 2, 5}) {
    for (size_t count : {1, 4, 1027}) {
      std::vector<Bytes> arrays;
      std::vector<const float *> from;
      std::vector<float> want(count);
      for (size_t d = 0; d < n; d++) {
        std::vector<float> x = Random(count, 1e3f, static_cast<uint32_t>(11 + d));
        for (size_t i = 0; i < count; i++)
          want[i] = d == 0 ? x[i] : want[i] + x[i];
        arrays.push_back(Res(x));
        from.push_back(F32(arrays.back()));
      }
      Bytes to = Res(count);
      SP_ASSERT_LAUNCH(sp_cuda_train_ordered_sum(nullptr, from.data(), n, count, F32(to)));
      EXPECT_EQ(ReadRes(to), want);
      SP_ASSERT_LAUNCH(
          sp_cuda_train_ordered_sum(nullptr, from.data(), n, count, F32(arrays.back())));
      EXPECT_EQ(ReadRes(arrays.back()), want);
    }
  }
  EXPECT_EQ(sp_cuda_train_ordered_sum(nullptr, nullptr, 0, 1, nullptr), cudaErrorInvalidValue);
  EXPECT_EQ(sp_cuda_train_ordered_sum(nullptr, nullptr, SP_MAX_DEVICES + 1, 1, nullptr),
            cudaErrorInvalidValue);
}

SP_SIMT_CASES(SimtTrainUpdate);

}  // namespace
