// Every training op of a device beside the CPU's: the same calls, the same outputs, and the same
// bits when they are made again. SP_TEST_DEVICE is the device; tests/cuda compiles this for the
// fake one.
#include <gtest/gtest.h>

#include <cmath>

#include "train_op_list.h"

namespace {

using namespace sp_test;

struct Case {
  size_t op;
  sp_compute compute;
};

std::vector<Case> AllCases() {
  std::vector<Case> cases;
  for (size_t op = 0; op < TrainOps().size(); op++) {
    for (sp_compute compute : {SP_COMPUTE_F32, SP_COMPUTE_BF16})
      cases.push_back({op, compute});
  }
  return cases;
}

std::string CaseName(const ::testing::TestParamInfo<Case> &info) {
  return TrainOps()[info.param.op].name +
         std::string(info.param.compute == SP_COMPUTE_BF16 ? "_bf16" : "_f32");
}

class TrainOpsTest : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    sp_error err{};
    const char *spec;
    char line[1][SP_DEVICE_LINE];
    ASSERT_EQ(sp_backend_find("cpu", &cpu_, &spec, &err), SP_OK) << err.message;
    ASSERT_EQ(sp_backend_find(SP_TEST_DEVICE, &backend_, &spec, &err), SP_OK) << err.message;
    if (backend_->list(line, 1) == 0)
      GTEST_SKIP() << "no " SP_TEST_DEVICE " device here";
    if (!cpu_->train)
      GTEST_SKIP() << "the CPU's table of this build has no training";
    ASSERT_NE(backend_->train, nullptr);
  }

  TrainOutputs Run(const sp_backend &backend, const char *spec) {
    TrainOutputs out;
    TrainSide side(backend, spec, GetParam().compute, TrainOpLimits());
    TrainOps()[GetParam().op].run(side, &out);
    EXPECT_TRUE(side.ok()) << side.message();
    return out;
  }

  const sp_backend *cpu_ = nullptr, *backend_ = nullptr;
};

// Of the output that holds value `i`, by the CPU: what errors are judged by.
float Size(const TrainOutputs &out, size_t first, size_t n) {
  float most = 0;
  for (size_t i = first; i < first + n; i++) {
    if (std::isfinite(out.values[i]))
      most = std::max(most, std::fabs(out.values[i]));
  }
  return most;
}

TEST_P(TrainOpsTest, AsTheCpu) {
  const TrainOutputs want = Run(*cpu_, ""), got = Run(*backend_, "0");
  const float tolerance = GetParam().compute == SP_COMPUTE_BF16 ? 2e-2f : 2e-5f;
  ASSERT_EQ(got.parts, want.parts);
  ASSERT_EQ(got.values.size(), want.values.size());
  size_t first = 0, wrong = 0;
  for (size_t part = 0; part < want.parts.size(); first += want.parts[part++]) {
    const float allowed = tolerance * Size(want, first, want.parts[part]);
    for (size_t i = first; i < first + want.parts[part]; i++) {
      const float a = got.values[i], b = want.values[i];
      if (!(a == b || std::fabs(a - b) <= allowed) && ++wrong <= 5)
        ADD_FAILURE() << "output " << part << ", value " << i - first << ": " << a << ", want " << b
                      << " within " << allowed;
    }
  }
  EXPECT_EQ(wrong, 0u);
}

TEST_P(TrainOpsTest, AgainGivesTheSameBits) {
  const TrainOutputs a = Run(*backend_, "0"), b = Run(*backend_, "0");
  ASSERT_EQ(a.values.size(), b.values.size());
  EXPECT_EQ(memcmp(a.values.data(), b.values.data(), a.values.size() * sizeof(float)), 0);
}

INSTANTIATE_TEST_SUITE_P(Device, TrainOpsTest, ::testing::ValuesIn(AllCases()), CaseName);

}  // namespace
