// Training on the fake runtime: products against f64, failures of every call, sums over devices.
#include <cmath>
#include <random>

#include "cuda_fixture.h"
#include "train_op_list.h"

namespace {

using sp_test::CudaTest;
using sp_test::TrainOp;
using sp_test::TrainOpLimits;
using sp_test::TrainOps;
using sp_test::TrainOutputs;
using sp_test::TrainSide;

std::vector<float> Random(size_t n, float range, uint32_t seed) {
  std::mt19937 bits(seed);
  std::vector<float> v(n);
  for (float &x : v)
    x = range * (static_cast<float>(bits() >> 8) * 0x1p-23f - 1.0f);
  return v;
}

class TrainTest : public CudaTest {
 protected:
  // As act holds it.
  static std::vector<float> Rounded(std::vector<float> v, bool bf16) {
    for (float &x : v)
      x = bf16 ? sp_bf16_to_f32(sp_bf16_from_f32(x)) : x;
    return v;
  }
  static void ExpectClose(const std::vector<float> &got, const std::vector<double> &want,
                          double tolerance, const char *what) {
    ASSERT_EQ(got.size(), want.size()) << what;
    double size = 0;
    for (double x : want)
      size = std::max(size, std::fabs(x));
    for (size_t i = 0; i < want.size(); i++) {
      ASSERT_TRUE(std::fabs(got[i] - want[i]) <= tolerance * size)
          << what << "[" << i << "] is " << got[i] << ", want " << want[i];
    }
  }
  // y (R, N) = x W^T + bias; d_x (R, K) += y W; d_w (N, K) += y^T x; d_bias += column sums of y.
  struct Reference {
    std::vector<double> y, d_x, d_w, d_bias;
  };
  static Reference Products(const std::vector<float> &w, const std::vector<float> &bias,
                            const std::vector<float> &x, const std::vector<float> &d_y, size_t rows,
                            size_t n, size_t k) {
    Reference r{std::vector<double>(rows * n), std::vector<double>(rows * k),
                std::vector<double>(n * k), std::vector<double>(n)};
    for (size_t i = 0; i < rows; i++) {
      for (size_t j = 0; j < n; j++) {
        double sum = bias[j], d = d_y[i * n + j];
        r.d_bias[j] += d;
        for (size_t l = 0; l < k; l++) {
          sum += static_cast<double>(x[i * k + l]) * w[j * k + l];
          r.d_x[i * k + l] += d * w[j * k + l];
          r.d_w[j * k + l] += d * x[i * k + l];
        }
        r.y[i * n + j] = sum;
      }
    }
    return r;
  }
  void CheckProducts(sp_compute compute, size_t rows, size_t n, size_t k, bool wide);
  void CheckReduce(int devices, size_t count, bool nccl);
};

void Add(std::vector<double> *to, const std::vector<float> &from) {
  for (size_t i = 0; i < from.size(); i++)
    (*to)[i] += from[i];
}

// The whole of linear and its way back without an activation; wide: f32 outputs, added to.
void TrainTest::CheckProducts(sp_compute compute, size_t rows, size_t n, size_t k, bool wide) {
  SCOPED_TRACE(::testing::Message() << rows << " rows, " << n << " x " << k << " wide " << wide);
  const bool bf16 = compute == SP_COMPUTE_BF16;
  const double exact = 2e-6, rounded = bf16 ? 6e-3 : exact;
  sp_train_limits limits = TrainOpLimits();
  limits.rows = 2200;
  TrainSide side(cuda_, "0", compute, limits);
  const std::vector<float> w = Random(n * k, 0.5f, 1), x = Random(rows * k, 1, 2),
                           bias = Random(n, 1, 3), d_y = Random(rows * n, 1, 4),
                           add_x = Random(rows * k, 1, 5), add_w = Random(n * k, 1, 6);
  Reference want = Products(Rounded(w, bf16), Rounded(bias, bf16 && !wide), Rounded(x, bf16),
                            Rounded(d_y, bf16), rows, n, k);
  sp_train_linear_args forward{};
  forward.weight = side.Weight(w, n, k);
  forward.bias = side.Up(bias);
  forward.in = side.UpAct(x, rows);
  forward.rows = rows;
  forward.out_f32 = wide;
  forward.out = wide ? side.Floats(rows, n) : side.Act(rows, n);
  side.Run(side.table().linear, forward);
  sp_train_linear_backward_args back{};
  back.weight = forward.weight;
  back.in = forward.in;
  back.rows = rows;
  back.d_out_f32 = wide;
  back.d_out = wide ? side.Up(d_y, rows) : side.UpAct(d_y, rows);
  back.d_in_add = wide;
  back.d_in = wide ? side.Up(add_x, rows) : side.Act(rows, k);
  back.d_weight = side.Up(add_w, n);
  back.d_bias = side.Up(bias);
  side.Run(side.table().linear_backward, back);
  std::vector<float> y, d_x, d_w, d_bias;
  if (wide) {
    Add(&want.d_x, add_x);
    side.Down(static_cast<float *>(forward.out), rows * n, &y);
    side.Down(static_cast<float *>(back.d_in), rows * k, &d_x);
  } else {
    side.DownAct(forward.out, rows * n, &y);
    side.DownAct(back.d_in, rows * k, &d_x);
  }
  Add(&want.d_w, add_w);
  Add(&want.d_bias, bias);
  side.Down(back.d_weight, n * k, &d_w);
  side.Down(back.d_bias, n, &d_bias);
  ASSERT_TRUE(side.ok()) << side.message();
  ExpectClose(y, want.y, wide ? exact : rounded, "y");
  ExpectClose(d_x, want.d_x, wide ? exact : rounded, "d_x");
  ExpectClose(d_w, want.d_w, exact, "d_weight");
  ExpectClose(d_bias, want.d_bias, exact, "d_bias");
}

TEST_F(TrainTest, ProductsAsInF64) {
  for (sp_compute compute : {SP_COMPUTE_F32, SP_COMPUTE_BF16}) {
    for (bool wide : {false, true}) {
      CheckProducts(compute, 40, 24, 16, wide);
      CheckProducts(compute, 1500, 8, 8, wide);  // divided sums
      CheckProducts(compute, 1, 48, 3, wide);
    }
  }
}

// Padded copies, more rows than they have room for at once, give what the library would have.
TEST_F(TrainTest, WidthsWithoutAnAlgorithmArePadded) {
  options_.refuse_unaligned = true;
  Restart();
  for (bool wide : {false, true}) {
    CheckProducts(SP_COMPUTE_BF16, 2100, 13, 11, wide);
    CheckProducts(SP_COMPUTE_BF16, 5, 16, 11, wide);
    CheckProducts(SP_COMPUTE_BF16, 5, 3, 16, wide);
  }
}

TEST_F(TrainTest, VocabularyAsInF64) {
  const size_t rows = 37, v = 83, d = 24;  // three chunks of rows
  for (sp_compute compute : {SP_COMPUTE_F32, SP_COMPUTE_BF16}) {
    const bool bf16 = compute == SP_COMPUTE_BF16;
    TrainSide side(cuda_, "0", compute, TrainOpLimits());
    const std::vector<float> w = Random(v * d, 0.6f, 1), h = Random(rows * d, 1, 2),
                             bias = Random(v, 1, 3), add_w = Random(v * d, 0.1f, 4);
    Reference logits = Products(Rounded(w, bf16), bias, Rounded(h, bf16),
                                std::vector<float>(rows * v), rows, v, d);
    std::vector<int32_t> target;
    std::vector<double> loss;
    std::vector<float> d_logits(rows * v);
    for (size_t r = 0; r < rows; r++) {
      target.push_back(static_cast<int32_t>(r * 29 % v));
      double sum = 0;
      for (size_t j = 0; j < v; j++)
        sum += std::exp(logits.y[r * v + j]);
      const size_t at = r * v + static_cast<size_t>(target[r]);
      loss.push_back(std::log(sum) - logits.y[at]);
      for (size_t j = 0; j < v; j++)
        d_logits[r * v + j] =
            static_cast<float>(0.25 * (std::exp(logits.y[r * v + j]) / sum - (r * v + j == at)));
    }
    Reference want = Products(Rounded(w, bf16), bias, Rounded(h, bf16), d_logits, rows, v, d);
    sp_train_vocab_args args{};
    args.weight = side.Weight(w, v, d);
    args.bias = side.Up(bias);
    args.h = side.UpAct(h, rows);
    args.target = side.Up(target);
    args.rows = rows;
    args.loss = side.Floats(rows);
    args.backward = true;
    args.scale = 0.25f;
    args.d_h = side.Floats(rows, d);
    args.d_weight = side.Up(add_w, v);
    args.d_bias = side.Up(bias);
    side.Run(side.table().vocab_loss, args);
    std::vector<float> got_loss, d_h, d_w, d_bias;
    side.Down(args.loss, rows, &got_loss);
    side.Down(args.d_h, rows * d, &d_h);
    side.Down(args.d_weight, v * d, &d_w);
    side.Down(args.d_bias, v, &d_bias);
    ASSERT_TRUE(side.ok()) << side.message();
    Add(&want.d_w, add_w);
    Add(&want.d_bias, bias);
    const double tolerance = bf16 ? 6e-3 : 3e-6;
    ExpectClose(got_loss, loss, 3e-6, "loss");
    ExpectClose(d_h, want.d_x, tolerance, "d_h");
    ExpectClose(d_w, want.d_w, tolerance, "d_weight");
    ExpectClose(d_bias, want.d_bias, tolerance, "d_bias");
  }
}

// What the trainer was not made for is refused, with the numbers.
TEST_F(TrainTest, RefusesWhatItHasNoRoomFor) {
  TrainSide side(cuda_, "0", SP_COMPUTE_BF16, TrainOpLimits());
  ASSERT_TRUE(side.ok());
  const sp_train_backend &train = side.table();
  float *data = side.Floats(200, 200);
  sp_train_weight *weight = nullptr;
  EXPECT_EQ(train.weight_create(side.trainer(), SP_COMPUTE_BF16, data, 49, 8, &weight, &err_),
            SP_EMODEL);
  EXPECT_STREQ(err_.message, "cuda:0: a trainer is too narrow for a product of 49 x 8");
  sp_train_linear_args linear{};
  linear.weight = side.Weight(Random(64, 1, 1), 8, 8);
  linear.bias = data;
  linear.in = linear.out = data;
  linear.rows = 77;
  EXPECT_EQ(train.linear(side.trainer(), &linear, &err_), SP_EMODEL);
  EXPECT_STREQ(err_.message,
               "cuda:0: a trainer of 76 rows, width 48 has no room for 77 rows, width 8");
  sp_train_vocab_args vocab{};
  vocab.weight = linear.weight;
  vocab.rows = 1;
  EXPECT_EQ(train.vocab_loss(side.trainer(), &vocab, &err_), SP_EMODEL);
  EXPECT_NE(std::string(err_.message).find("vocabulary 83"), std::string::npos) << err_.message;
  sp_train_attention_args attention{};
  attention.rows = 1;
  attention.heads = 2;
  attention.head_dim = 129;
  EXPECT_EQ(train.attention(side.trainer(), &attention, &err_), SP_EMODEL);
  EXPECT_STREQ(err_.message, "cuda:0: heads of 129 dimensions (128 at most)");
}

TEST_F(TrainTest, AProductWithoutAnyAlgorithmIsTheModelsFault) {
  options_.refuse_all = true;
  Restart();
  TrainSide side(cuda_, "0", SP_COMPUTE_F32, TrainOpLimits());
  side.Weight(Random(12, 1, 1), 3, 4);
  EXPECT_EQ(side.status(), SP_EMODEL);
  EXPECT_STREQ(side.message(), "cuda:0: cuBLASLt has no algorithm to train a product of 3 x 4");
}

// The device's type names the products' algorithms while there is a trainer.
TEST_F(TrainTest, TheTypeRecordsTheAlgorithms) {
  ASSERT_EQ(Open("0"), SP_OK);
  const std::string before = devices_[0]->type;
  const sp_train_limits limits = TrainOpLimits();
  sp_trainer *trainer = nullptr;
  sp_train_weight *weight = nullptr;
  void *master = nullptr;
  ASSERT_EQ(cuda_.train->open(devices_[0], &limits, &trainer, &err_), SP_OK) << err_.message;
  ASSERT_EQ(cuda_.alloc(devices_[0], 256, &master, &err_), SP_OK);
  ASSERT_EQ(cuda_.train->weight_create(trainer, SP_COMPUTE_F32, static_cast<float *>(master), 8, 8,
                                       &weight, &err_),
            SP_OK);
  EXPECT_NE(before, devices_[0]->type);
  cuda_.train->weight_destroy(weight);
  cuda_.free(devices_[0], master);
  cuda_.train->close(trainer);
  EXPECT_EQ(before, devices_[0]->type);
  Close();
}

// All ops, one after the other, until one fails; *calls that were made until then.
sp_status RunAll(const sp_backend &backend, sp_compute compute, uint64_t *calls) {
  TrainSide side(backend, "0", compute, TrainOpLimits());
  for (const TrainOp &op : TrainOps()) {
    TrainOutputs out;
    op.run(side, &out);
  }
  *calls = sp_fake_cuda::Calls();
  return side.status();
}

// Ops take no memory: all of it comes with the trainer and its weights.
TEST_F(TrainTest, OpsAllocateNothing) {
  TrainSide side(cuda_, "0", SP_COMPUTE_BF16, TrainOpLimits());
  sp_train_linear_args linear{};
  linear.weight = side.Weight(Random(64, 1, 1), 8, 8);
  linear.bias = side.Up(Random(8, 1, 2));
  linear.in = side.UpAct(Random(64, 1, 3), 8);
  linear.out = side.Act(8, 8);
  linear.rows = 8;
  sp_fake_cuda::ForbidAllocation(true);
  side.Run(side.table().linear, linear);
  if (side.ok())
    side.Do(side.table().finish(side.trainer(), side.err()));
  EXPECT_TRUE(side.ok()) << side.message();
  sp_fake_cuda::ForbidAllocation(false);
}

// Whatever call fails, the status says so and nothing is left behind. What fails while all is given
// back has nobody to be told.
TEST_F(TrainTest, EveryFailingCallIsAnError) {
  uint64_t all, calls;
  ASSERT_EQ(RunAll(cuda_, SP_COMPUTE_BF16, &all), SP_OK);
  EXPECT_GT(all, 1000u);
  for (uint64_t k = 1; k <= all + 20; k += k < 60 ? 1 : 7) {
    options_.fail_call = k;
    Restart();
    const sp_status status = RunAll(cuda_, SP_COMPUTE_BF16, &calls);
    const bool dropped = sp_fake_cuda::FailedCall() == "cublasLtMatmulPreferenceDestroy";
    ASSERT_EQ(status, k <= all && !dropped ? SP_EDEVICE : SP_OK)
        << sp_fake_cuda::FailedCall() << ", call " << k;
    ASSERT_EQ(sp_fake_cuda::LiveObjects(), 0u) << sp_fake_cuda::FailedCall() << ", call " << k;
  }
}

TEST_F(TrainTest, EveryFailingKernelIsAnError) {
  uint64_t calls;
  options_.fail_work = 0;
  Restart();
  ASSERT_EQ(RunAll(cuda_, SP_COMPUTE_F32, &calls), SP_OK);
  const uint64_t pieces = sp_fake_cuda::Work();
  for (uint64_t k = 1; k <= pieces; k += 11) {
    options_.fail_work = k;
    Restart();
    ASSERT_EQ(RunAll(cuda_, SP_COMPUTE_F32, &calls), SP_EDEVICE) << "piece " << k;
    ASSERT_EQ(sp_fake_cuda::LiveObjects(), 0u) << "piece " << k;
  }
}

// ---- sums over devices ----

struct Group {
  Group(const sp_backend &backend, int n, size_t count) : x(static_cast<size_t>(n)) {
    sp_train_limits limits = TrainOpLimits();
    for (int d = 0; d < n; d++) {
      sides.push_back(
          std::make_unique<TrainSide>(backend, std::to_string(d).c_str(), SP_COMPUTE_F32, limits));
      values.push_back(Random(count, 1.0f + static_cast<float>(d), 50 + static_cast<uint32_t>(d)));
      x[static_cast<size_t>(d)] = sides.back()->Up(values.back());
      trainers.push_back(sides.back()->trainer());
    }
  }
  bool ok() const {
    for (const auto &side : sides) {
      if (!side->ok())
        return false;
    }
    return true;
  }
  sp_status Reduce(sp_error *err) {
    return sides[0]->table().all_reduce(trainers.data(), x.data(), trainers.size(),
                                        values[0].size(), err);
  }

  std::vector<std::unique_ptr<TrainSide>> sides;
  std::vector<std::vector<float>> values;
  std::vector<float *> x;
  std::vector<sp_trainer *> trainers;
};

void TrainTest::CheckReduce(int devices, size_t count, bool nccl) {
  SCOPED_TRACE(::testing::Message() << devices << " devices, " << count << " floats");
  options_.devices = devices;
  options_.nccl_fails = !nccl;
  Restart();
  Group group(cuda_, devices, count);
  ASSERT_TRUE(group.ok());
  std::vector<float> want(count);
  for (size_t i = 0; i < count; i++) {
    want[i] = group.values[0][i];
    for (size_t d = 1; d < group.values.size(); d++)
      want[i] += group.values[d][i];
  }
  for (int again = 0; again < 2; again++) {
    for (size_t d = 0; d < group.sides.size() && again; d++) {
      ASSERT_EQ(group.sides[d]->table().upload(group.trainers[d], group.x[d],
                                               group.values[d].data(), count * 4, &err_),
                SP_OK);
    }
    ASSERT_EQ(group.Reduce(&err_), SP_OK) << err_.message;
    for (size_t d = 0; d < group.sides.size(); d++) {
      std::vector<float> got;
      group.sides[d]->Down(group.x[d], count, &got);
      ASSERT_EQ(got, want) << "device " << d;
    }
  }
  EXPECT_EQ(sp_fake_cuda::Transfers() > 0, nccl && count > 0);
  EXPECT_EQ(sp_fake_cuda::PeerCopies() > 0, !nccl && count > 0);
}

TEST_F(TrainTest, SumsOverDevicesHaveOneOrder) {
  for (bool nccl : {true, false}) {
    for (int devices : {2, 3, 5}) {
      for (size_t count : {size_t{1}, size_t{59}, size_t{60}, size_t{64}, size_t{1000}})
        CheckReduce(devices, count, nccl);
    }
  }
}

// Another set of trainers, and one alone.
TEST_F(TrainTest, GroupsAreMadeAnew) {
  options_.devices = 3;
  Restart();
  Group group(cuda_, 3, 10);
  ASSERT_TRUE(group.ok());
  ASSERT_EQ(group.Reduce(&err_), SP_OK);
  sp_trainer *two[] = {group.trainers[2], group.trainers[1]};
  float *x[] = {group.x[2], group.x[1]};
  const sp_train_backend &train = *cuda_.train;
  ASSERT_EQ(train.all_reduce(two, x, 2, 10, &err_), SP_OK) << err_.message;
  ASSERT_EQ(group.Reduce(&err_), SP_OK);
  ASSERT_EQ(train.all_reduce(two, x, 1, 10, &err_), SP_OK);
  std::vector<float> a, b, want;
  group.sides[0]->Down(group.x[0], 10, &a);
  group.sides[2]->Down(group.x[2], 10, &b);
  EXPECT_EQ(a, b);
  for (size_t i = 0; i < 10; i++) {
    float sum = group.values[0][i] + group.values[1][i] + group.values[2][i];
    want.push_back(sum + (sum + sum) + (sum + sum));
  }
  EXPECT_EQ(a, want);
}

TEST_F(TrainTest, EveryFailingCallOfASumIsAnError) {
  for (bool nccl : {true, false}) {
    options_.devices = 3;
    options_.nccl_fails = !nccl;
    options_.fail_call = 0;
    Restart();
    uint64_t before, after;
    {
      Group group(cuda_, 3, 100);
      ASSERT_TRUE(group.ok());
      before = sp_fake_cuda::Calls();
      ASSERT_EQ(group.Reduce(&err_), SP_OK);
      after = sp_fake_cuda::Calls();
    }
    for (uint64_t k = before + 1; k <= after; k++) {
      options_.fail_call = k;
      Restart();
      {
        Group group(cuda_, 3, 100);
        ASSERT_TRUE(group.ok());
        sp_status status = group.Reduce(&err_);
        // A group that cannot start is copies.
        ASSERT_EQ(status, sp_fake_cuda::FailedCall() == "ncclCommInitAll" ? SP_OK : SP_EDEVICE)
            << sp_fake_cuda::FailedCall() << ", call " << k;
      }
      ASSERT_EQ(sp_fake_cuda::LiveObjects(), 0u) << "call " << k;
    }
  }
}

TEST_F(TrainTest, DevicesOfASumAreOfOneType) {
  options_.devices = 2;
  options_.names = {"Fake A", "Fake B"};
  Restart();
  Group group(cuda_, 2, 10);
  ASSERT_TRUE(group.ok());
  EXPECT_EQ(group.Reduce(&err_), SP_EDEVICE);
  EXPECT_NE(std::string(err_.message).find("of one type"), std::string::npos) << err_.message;
}

}  // namespace
