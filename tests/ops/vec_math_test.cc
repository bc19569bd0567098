// exp and the activations of every instruction set against libm in double, over dense grids.
#include <cmath>
#include <cstring>
#include <limits>

#include "op_test.h"
#include "vec_probe.h"

namespace {

using sp_test::Activate;

std::vector<const sp_vec_probe *> Probes() {
  std::vector<const sp_vec_probe *> probes = {&sp_vec_probe_baseline};
#ifdef __x86_64__
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    probes.push_back(&sp_vec_probe_avx2);
  }
  if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl")) {
    probes.push_back(&sp_vec_probe_avx512);
    if (__builtin_cpu_supports("avx512bf16")) {
      probes.push_back(&sp_vec_probe_avx512_bf16);
    }
  }
#endif
  return probes;
}

std::vector<float> Grid(double from, double to, size_t n) {
  std::vector<float> x(n);
  for (size_t i = 0; i < n; i++) {
    x[i] = static_cast<float>(from +
                              (to - from) * static_cast<double>(i) / static_cast<double>(n - 1));
  }
  return x;
}

double Ulp(double y) {
  float f = static_cast<float>(std::fabs(y));
  return std::nextafterf(f, std::numeric_limits<float>::infinity()) - f;
}

constexpr size_t kPoints = 1 << 20;

TEST(VecMath, ExpWithinTwoUlp) {
  std::vector<float> x = Grid(-87.29, 88.0, kPoints), y(kPoints);
  for (const sp_vec_probe *probe : Probes()) {
    probe->exp(x.data(), y.data(), kPoints);
    double worst = 0;
    for (size_t i = 0; i < kPoints; i++) {
      double want = std::exp(static_cast<double>(x[i]));
      double error = std::fabs(y[i] - want) / Ulp(want);
      ASSERT_TRUE(error <= 2) << probe->isa << " exp(" << x[i] << ") is " << error << " ulp off";
      worst = std::max(worst, error);
    }
    RecordProperty(std::string("ulp_") + probe->isa, std::to_string(worst));
  }
}

TEST(VecMath, ExpAtItsEnds) {
  const float inf = std::numeric_limits<float>::infinity();
  float x[16] = {0.0f, -0.0f, -inf, -88.0f, -1e30f, -87.31f, 1e-30f, -1e-30f};
  float y[16];
  for (const sp_vec_probe *probe : Probes()) {
    probe->exp(x, y, 16);
    const float want[8] = {1, 1, 0, 0, 0, 0, 1, 1};
    for (int i = 0; i < 8; i++)
      EXPECT_EQ(y[i], want[i]) << probe->isa << " exp(" << x[i] << ")";
  }
}

TEST(VecMath, NormalTailRelativeError) {
  std::vector<float> x = Grid(0, 13, kPoints), y(kPoints);
  for (const sp_vec_probe *probe : Probes()) {
    probe->normal_tail(x.data(), y.data(), kPoints);
    for (size_t i = 0; i < kPoints; i++) {
      double a = x[i];
      double want = 0.5 * std::erfc(a / std::sqrt(2.0));
      // a^2 / 2 is rounded before it is an exponent.
      double bound = (8 + 2 * a * a) * 0x1p-24 * want;
      ASSERT_TRUE(std::fabs(y[i] - want) <= bound)
          << probe->isa << " tail(" << a << ") " << y[i] << " want " << want;
    }
  }
}

// Absolute error at most 3e-7 of the exact value's size or of one.
TEST(VecMath, ActivationsOverAGrid) {
  std::vector<float> x = Grid(-20, 20, kPoints), y(kPoints);
  for (const sp_vec_probe *probe : Probes()) {
    for (sp_activation activation :
         {SP_ACT_NONE, SP_ACT_GELU_ERF, SP_ACT_GELU_TANH, SP_ACT_RELU, SP_ACT_TANH}) {
      probe->activate(activation, x.data(), y.data(), kPoints);
      for (size_t i = 0; i < kPoints; i++) {
        double want = Activate(activation, x[i]);
        ASSERT_TRUE(std::fabs(y[i] - want) <= 3e-7 * std::max(1.0, std::fabs(want)))
            << probe->isa << " activation " << activation << " of " << x[i] << " is " << y[i]
            << ", want " << want;
      }
    }
  }
}

// Near zero the error is relative.
TEST(VecMath, ActivationsNearZero) {
  std::vector<float> x = Grid(-1e-3, 1e-3, 1 << 16), y(x.size());
  for (const sp_vec_probe *probe : Probes()) {
    for (sp_activation activation : {SP_ACT_GELU_ERF, SP_ACT_GELU_TANH, SP_ACT_TANH}) {
      probe->activate(activation, x.data(), y.data(), x.size());
      for (size_t i = 0; i < x.size(); i++) {
        double want = Activate(activation, x[i]);
        ASSERT_TRUE(std::fabs(y[i] - want) <= 6e-7 * std::fabs(want))
            << probe->isa << " activation " << activation << " of " << x[i];
      }
    }
  }
}

TEST(VecMath, Bf16RoundsAsTheScalarDoes) {
  std::vector<float> x = sp_test::Random(4096, 1e3f, 7);
  for (size_t i = 0; i < 2048; i++) {
    uint32_t bits = static_cast<uint32_t>(0x3f800000u + i * 0x800u);  // exact ties among them
    memcpy(&x[i], &bits, sizeof bits);
  }
  x[4000] = std::numeric_limits<float>::infinity();
  x[4001] = -std::numeric_limits<float>::infinity();
  x[4002] = std::numeric_limits<float>::max();
  x[4003] = std::numeric_limits<float>::quiet_NaN();
  x[4004] = 0x1p-140f;
  std::vector<uint16_t> y(x.size());
  for (const sp_vec_probe *probe : Probes()) {
    probe->to_bf16(x.data(), y.data(), x.size());
    for (size_t i = 0; i < x.size(); i++) {
      ASSERT_EQ(y[i], sp_bf16_from_f32(x[i])) << probe->isa << " of " << x[i];
    }
  }
}

}  // namespace
