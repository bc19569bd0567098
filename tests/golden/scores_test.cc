// scores_test.cc - every token's log-probability against the float64 goldens, with every set of
// kernels that the CPU has. How far it may be off is what score_errors.h says.
//
// In bf16 a bit of a dynamic mask may flip, and the score then is another one. Compared are the scores
// and bits that hang on none which rounding could turn (oracle_steady.py); how many bits flip is
// recorded.
//
// For BERT-base the golden also has what Hugging Face transformers makes of it in float32: the worst
// token of the engine's f32 may be off by 3 times as much as theirs.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "golden.h"
#include "score_errors.h"
#include "score_ids.h"
#include "scratch.h"

namespace {

using sp_test::GoldenCase;
using sp_test::GoldenModel;
using sp_test::IsSteady;
using sp_test::ScoreErrors;
using sp_test::Scores;
using sp_test::ScoringModel;

struct Kernels {
  const char *device;
  sp_compute compute;
};

std::string TypeName(const Kernels &kernels) {
  return kernels.compute == SP_COMPUTE_BF16 ? "bf16" : "f32";
}

ScoreErrors Compare(const std::vector<GoldenCase> &cases, const std::vector<Scores> &got,
                    const std::string &method, const std::string &against,
                    bool steady_alone = false) {
  ScoreErrors errors;
  for (size_t c = 0; c < cases.size(); c++) {
    const std::vector<double> &want = cases[c].scores.at(against);
    const std::vector<float> &have = got[c].at(method);
    EXPECT_EQ(have.size(), want.size()) << "case " << c;
    for (size_t i = 0; i < std::min(have.size(), want.size()); i++) {
      if (!steady_alone || IsSteady(cases[c], method, i))
        errors.Add(have[i], want[i]);
    }
  }
  return errors;
}

void Record(const std::string &name, double value) {
  char text[32];
  snprintf(text, sizeof text, "%.3g", value);
  std::string key = name;
  std::replace(key.begin(), key.end(), '-', '_');
  testing::Test::RecordProperty(key, text);
  printf("    %-44s %s\n", name.c_str(), text);
}

bool Has(const GoldenModel &model, const char *method) {
  return std::count(model.methods.begin(), model.methods.end(), method) > 0;
}

// A dynamic model's bits, all in f32, in bf16 those that are sure; and how many flipped.
void CheckBits(const GoldenModel &model, const ScoringModel &scoring, bool all) {
  size_t flipped = 0, sure_flipped = 0, rows = 0;
  for (const GoldenCase &one : model.cases) {
    const std::vector<double> &want = one.scores.at("bits"), &unsure = one.scores.at("unsure");
    const std::vector<uint32_t> have = scoring.Bits(one);
    ASSERT_EQ(have.size(), want.size());
    for (size_t i = 0; i < have.size(); i++) {
      const uint32_t wrong = have[i] ^ static_cast<uint32_t>(want[i]);
      flipped += wrong != 0;
      sure_flipped += (wrong & ~(all ? 0 : static_cast<uint32_t>(unsure.at(i)))) != 0;
    }
    rows += have.size();
  }
  EXPECT_EQ(sure_flipped, 0u) << model.name;
  Record(model.name + (all ? "_f32" : "_bf16") + "_share_of_rows_with_flipped_bits",
         static_cast<double>(flipped) / static_cast<double>(rows));
}

// Returns the engine's scores.
std::vector<Scores> CheckModel(const GoldenModel &model, const std::string &directory,
                               const Kernels &kernels) {
  const std::string type = TypeName(kernels);
  bool with_cls = Has(model, "cls"), with_mlm = model.methods.size() > with_cls;
  ScoringModel scoring(directory, kernels.device, kernels.compute, with_mlm, with_cls);
  const bool bf16 = kernels.compute == SP_COMPUTE_BF16;
  std::vector<Scores> got = scoring.Score(model.cases, model.methods, scoring.lookahead());
  if (scoring.lookahead().policy == SP_MASK_DYNAMIC)
    CheckBits(model, scoring, !bf16);
  for (const std::string &method : model.methods) {
    const std::string name = model.name + "_" + method + "_" + type;
    ScoreErrors errors = Compare(model.cases, got, method, method, bf16);
    double share = ShareOfAllowed(errors, model.deviation.at(type).at(method));
    Record(name + "_mean", errors.mean());
    Record(name + "_max", errors.worst());
    Record(name + "_of_allowed", share);
    EXPECT_TRUE(share <= 1) << name << ": off by " << errors.rms() << " in the root mean square, "
                            << errors.worst() << " at the worst";
  }
  return got;
}

std::vector<GoldenModel> Goldens(const std::string &file) {
  return sp_test::ReadGoldens(std::string(SP_SOURCE_DIR) + "/tests/golden/" + file);
}

class GoldenScores : public testing::TestWithParam<Kernels> {
 protected:
  void SetUp() override {
    if (!ScoringModel::HasDevice(GetParam().device))
      GTEST_SKIP() << "this processor lacks the instruction set";
  }
  void CheckAll(const std::string &file) {
    sp_test::Scratch scratch;
    std::vector<GoldenModel> models = Goldens(file);
    ASSERT_FALSE(models.empty());
    for (const GoldenModel &model : models) {
      CheckModel(model, sp_test::GoldenModelDirectory(model, SP_SOURCE_DIR, scratch / model.name),
                 GetParam());
    }
  }
};

TEST_P(GoldenScores, SmallModel) {
  CheckAll("scores_small.json");
}
TEST_P(GoldenScores, Variants) {
  CheckAll("scores_variants.json");
}

TEST_P(GoldenScores, Lookahead) {
  CheckAll("scores_lookahead.json");
}

std::vector<Kernels> AllKernels() {
  std::vector<Kernels> all;
  for (const char *device : {"cpu", "cpu:built-in", "cpu:avx512", "cpu:avx2", "cpu:baseline"}) {
    all.push_back({device, SP_COMPUTE_F32});
    all.push_back({device, SP_COMPUTE_BF16});
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(Cpu, GoldenScores, testing::ValuesIn(AllKernels()), [](const auto &given) {
  std::string name = given.param.device + ("_" + TypeName(given.param));
  std::replace_if(
      name.begin(), name.end(), [](char c) { return !isalnum(c); }, '_');
  return name;
});

// In one test, so that the weights are made once.
TEST(GoldenBase, BertBase) {
  sp_test::Scratch scratch;
  std::vector<GoldenModel> models = Goldens("scores_base.json");
  ASSERT_EQ(models.size(), 1u);
  const GoldenModel &model = models[0];
  std::string directory = sp_test::GoldenModelDirectory(model, SP_SOURCE_DIR, scratch / model.name);
  CheckModel(model, directory, {"cpu", SP_COMPUTE_BF16});
  std::vector<Scores> got = CheckModel(model, directory, {"cpu", SP_COMPUTE_F32});
  for (const std::string &method : model.methods) {
    std::vector<Scores> theirs;
    for (const GoldenCase &one : model.cases) {
      const std::vector<double> &values = one.scores.at(method + "_f32");
      theirs.push_back({{method, std::vector<float>(values.begin(), values.end())}});
    }
    ScoreErrors ours = Compare(model.cases, got, method, method);
    ScoreErrors reference = Compare(model.cases, theirs, method, method);
    Record("base_" + method + "_transformers_f32_max", reference.worst());
    EXPECT_TRUE(ours.worst() <= 3 * reference.worst()) << method;
  }
}

// A NaN must never count as equal.
TEST(GoldenErrors, TheComparisonSeesNaN) {
  const std::vector<std::vector<float>> wrong = {
      {-1.0f, NAN}, {NAN, -2.0f}, {-INFINITY, -2.0f}, {-1.0f, -2.5f}};
  std::vector<GoldenCase> cases(1);
  cases[0].scores["pll"] = {-1.0, -2.0};
  const sp_test::Deviation allowed = {0.1, 0.1};
  for (const std::vector<float> &values : wrong) {
    EXPECT_FALSE(ShareOfAllowed(Compare(cases, {{{"pll", values}}}, "pll", "pll"), allowed) <= 1);
  }
  EXPECT_TRUE(ShareOfAllowed(Compare(cases, {{{"pll", {-1.0f, -2.25f}}}}, "pll", "pll"), allowed) <=
              1);
  EXPECT_FALSE(ShareOfAllowed(ScoreErrors(), allowed) <= 1) << "nothing was compared";
}

}  // namespace
