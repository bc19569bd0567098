// score_head and the activation behind products, against double and the CPU's.
#include <cstring>

#include "simt_op_test.h"

namespace {

using namespace sp_test;

// As Activate, and without the cancellation of 1 + tanh(u).
double ExactActivation(sp_activation activation, double x) {
  if (activation != SP_ACT_GELU_TANH)
    return Activate(activation, x);
  return x / (1 + std::exp(-2 * std::sqrt(2 / std::acos(-1.0)) * (x + 0.044715 * x * x * x)));
}

class HeadKernelTest : public SimtOpTest {
 protected:
  struct Layer {
    std::vector<float> weight, bias;  // (N, K), (N)
    std::vector<float> transposed;    // (K, N)
    size_t n, k;
    sp_activation activation;
  };

  void TearDown() override {
    EndStream();
    for (sp_dense *dense : dense_)
      cpu_->dense_destroy(dense);
    dense_.clear();
    SimtOpTest::TearDown();
  }

  // Layers of these widths, the first the input's; small enough that no activation saturates.
  void Make(const std::vector<size_t> &widths, const std::vector<sp_activation> &activations) {
    EndStream();
    for (sp_dense *dense : dense_)
      cpu_->dense_destroy(dense);
    dense_.clear();
    layers_.clear();
    cuda_.clear();
    for (size_t i = 0; i + 1 < widths.size(); i++) {
      Layer layer;
      layer.k = widths[i];
      layer.n = widths[i + 1];
      layer.activation = activations[i];
      float size = 1.5f / std::sqrt(static_cast<float>(layer.k));
      uint32_t seed = 60 + static_cast<uint32_t>(i);
      layer.weight = Random(layer.n * layer.k, size, seed);
      layer.bias = Random(layer.n, 0.3f, seed + 50);
      layer.transposed.resize(layer.weight.size());
      for (size_t j = 0; j < layer.weight.size(); j++)
        layer.transposed[j % layer.k * layer.n + j / layer.k] = layer.weight[j];
      sp_dense *dense = nullptr;
      ASSERT_EQ(cpu_->dense_create(device_, layer.weight.data(), layer.bias.data(), layer.n,
                                   layer.k, layer.activation, &dense, &err_),
                SP_OK);
      dense_.push_back(dense);
      layers_.push_back(std::move(layer));
    }
    for (const Layer &layer : layers_)
      cuda_.push_back(
          {layer.transposed.data(), layer.bias.data(), layer.n, layer.k, layer.activation});
    BeginStream();
  }

  // The score of a row, and what f32 sums may be off: each value carries its own bound, and every
  // activation's slope is below 1.2.
  double Exact(const float *row, double *bound) const {
    std::vector<double> x(row, row + layers_[0].k), off(x.size(), 0.0);
    for (const Layer &layer : layers_) {
      std::vector<double> y(layer.n), y_off(layer.n);
      for (size_t j = 0; j < layer.n; j++) {
        double sum = layer.bias[j], size = std::fabs(sum), carried = 0;
        for (size_t i = 0; i < layer.k; i++) {
          double w = layer.weight[j * layer.k + i];
          sum += w * x[i];
          size += std::fabs(w * x[i]);
          carried += std::fabs(w) * off[i];
        }
        y[j] = Activate(layer.activation, sum);
        double steps = 2 * std::sqrt(static_cast<double>(layer.k)) + 8;
        y_off[j] = 1.2 * (carried + size * steps * kEps) + 4 * kEps * std::fabs(y[j]);
      }
      x = y;
      off = y_off;
    }
    *bound = off[0];
    return x[0];
  }

  void Check(size_t rows, const std::string &what) {
    size_t d = layers_[0].k;
    std::vector<float> x = Random(rows * d, 1.0f, 74), cpu(rows), got(rows, NAN);
    ASSERT_EQ(
        cpu_->score_head(stream_, dense_.data(), dense_.size(), x.data(), rows, cpu.data(), &err_),
        SP_OK);
    Bytes in = Res(x);
    SP_ASSERT_LAUNCH(
        sp_cuda_score_head(nullptr, cuda_.data(), cuda_.size(), in.get(), rows, got.data()));
    std::vector<double> exact(rows), bound(rows), baseline(cpu.begin(), cpu.end());
    for (size_t r = 0; r < rows; r++)
      exact[r] = Exact(x.data() + r * d, &bound[r]);
    ExpectWithin(got, exact, bound, what);
    for (double &b : bound)
      b = b / 8;  // of f32, since the CPU's may be exact by chance
    ExpectTwiceBaseline(got, exact, baseline, bound, what);
    for (size_t r = 0; r < rows; r += 3) {
      float alone = NAN;
      size_t row_bytes = d * sizeof(float);
      Bytes one = Part(in, r * row_bytes, row_bytes);
      sp_simt::SetReverse(r % 2);
      SP_ASSERT_LAUNCH(
          sp_cuda_score_head(nullptr, cuda_.data(), cuda_.size(), one.get(), 1, &alone));
      ASSERT_EQ(alone, got[r]) << what << ": row " << r;
    }
    sp_simt::SetReverse(false);
  }

  std::vector<Layer> layers_;
  std::vector<sp_dense *> dense_;
  std::vector<sp_cuda_dense> cuda_;
};

TEST_P(HeadKernelTest, ScoreHeadIsAChainOfDenseLayers) {
  const std::vector<sp_activation> chain = {SP_ACT_TANH, SP_ACT_GELU_ERF, SP_ACT_RELU, SP_ACT_NONE};
  for (const std::vector<size_t> &widths : std::vector<std::vector<size_t>>{{1, 1, 1},
                                                                            {26, 26, 1},
                                                                            {33, 31, 1},
                                                                            {31, 32, 33, 1},
                                                                            {312, 312, 1},
                                                                            {64, 257, 7, 33, 1}}) {
    std::vector<sp_activation> activations(chain.end() - static_cast<long>(widths.size() - 1),
                                           chain.end());
    Make(widths, activations);
    for (size_t rows : {1, 7, 8, 9, 17})
      Check(rows, "first width " + std::to_string(widths[0]) + ", rows " + std::to_string(rows));
  }
  Make({768, 768, 1}, {SP_ACT_TANH, SP_ACT_NONE});
  Check(9, "pooler and score");
  Make({40, 1}, {SP_ACT_NONE});
  Check(3, "one layer");
}

// Fewer rows a block where a row takes more of shared memory: the same bits.
TEST_P(HeadKernelTest, WideLayersTakeFewerRows) {
  for (size_t width : {1536, 1537, 3073, 6145, 16384}) {
    Make({40, width, 1}, {SP_ACT_GELU_TANH, SP_ACT_NONE});
    Check(5, "width " + std::to_string(width));
  }
}

TEST_P(HeadKernelTest, RefusesChainsThatAreNone) {
  Make({8, 4, 1}, {SP_ACT_TANH, SP_ACT_NONE});
  Bytes x = Res(8);
  float score = 0;
  auto run = [&](const std::vector<sp_cuda_dense> &layers) {
    return sp_cuda_score_head(nullptr, layers.data(), layers.size(), x.get(), 1, &score);
  };
  EXPECT_EQ(run({}), cudaErrorInvalidValue);
  EXPECT_EQ(run({cuda_[0]}), cudaErrorInvalidValue);  // four outputs
  EXPECT_EQ(run({cuda_[1], cuda_[1]}), cudaErrorInvalidValue);
  EXPECT_EQ(
      run(std::vector<sp_cuda_dense>(SP_CUDA_MAX_DENSE + 1, {nullptr, nullptr, 1, 1, SP_ACT_NONE})),
      cudaErrorInvalidValue);
  EXPECT_EQ(run({{nullptr, nullptr, 1, SP_CUDA_MAX_WIDTH + 1, SP_ACT_NONE}}),
            cudaErrorInvalidValue);
  EXPECT_EQ(sp_cuda_score_head(nullptr, cuda_.data(), 2, nullptr, 0, nullptr), cudaSuccess);
}

// Against double, relative to the value: a GELU's left tail has no cancellation to hide behind.
TEST_P(HeadKernelTest, BiasActivateMatchesTheReference) {
  for (sp_activation activation :
       {SP_ACT_NONE, SP_ACT_GELU_ERF, SP_ACT_GELU_TANH, SP_ACT_RELU, SP_ACT_TANH}) {
    for (size_t n : {1, 7, 8, 26, 33, 312, 1024, 1200, 2048, 2056, 3072}) {
      for (size_t rows : {1, 7, 8, 9}) {
        std::vector<float> x = Rounded(Random(rows * n, 6.0f, 91)), bias = Random(n, 1.0f, 92);
        for (bool with : {true, false}) {
          Bytes values = Act(x);
          SP_ASSERT_LAUNCH(sp_cuda_bias_activate(nullptr, bf16_, with ? bias.data() : nullptr,
                                                 activation, values.get(), rows, n));
          std::vector<double> exact(rows * n), bound(rows * n);
          for (size_t i = 0; i < exact.size(); i++) {
            float v = with ? x[i] + bias[i % n] : x[i];  // rounded once, as the kernel does
            exact[i] = ExactActivation(activation, v);
            bound[i] =
                1.01 * Storing(exact[i]) + (16 + 4 * v * v) * kEps * std::fabs(exact[i]) + 1e-37;
          }
          ExpectWithin(Read(values), exact, bound,
                       "activation " + std::to_string(activation) + ", n " + std::to_string(n));
        }
      }
    }
  }
}

// What the kernel makes of a value does not depend on its column, row or neighbours.
TEST_P(HeadKernelTest, AnActivationDependsOnItsValueAlone) {
  std::vector<float> x = Random(11 * 3072, 6.0f, 93);
  Bytes wide = Act(x), narrow = Act(x);
  SP_ASSERT_LAUNCH(
      sp_cuda_bias_activate(nullptr, bf16_, nullptr, SP_ACT_GELU_ERF, wide.get(), 11, 3072));
  sp_simt::SetReverse(true);
  SP_ASSERT_LAUNCH(
      sp_cuda_bias_activate(nullptr, bf16_, nullptr, SP_ACT_GELU_ERF, narrow.get(), 11 * 3072, 1));
  EXPECT_TRUE(wide == narrow);
}

SP_SIMT_CASES(HeadKernelTest);

}  // namespace
