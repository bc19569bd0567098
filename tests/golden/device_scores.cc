// device_scores.cc - scores on a GPU (SP_TEST_DEVICE) beside the CPU's, from tokens to scores.
// Compiled by tests/gpu for a real one and by tests/cuda for the emulated.
//
// Both are compared with the float64 goldens. A device may be off by twice as much as the CPU in the
// same precision: its roundings are others and, in bf16, more, since its residual stream is bf16.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "golden.h"
#include "score_errors.h"
#include "score_ids.h"
#include "scratch.h"
#include "source_dir.h"

namespace {

using sp_test::GoldenModel;
using sp_test::IsSteady;
using sp_test::ScoreErrors;
using sp_test::Scores;
using sp_test::ScoringModel;

std::vector<GoldenModel> Models(const std::string &file) {
  return sp_test::ReadGoldens(sp_test::SourceDir() + "/tests/golden/" + file);
}

std::unique_ptr<ScoringModel> Open(const GoldenModel &model, const std::string &directory,
                                   const char *device, sp_compute compute) {
  bool with_cls = std::count(model.methods.begin(), model.methods.end(), "cls") > 0;
  return std::make_unique<ScoringModel>(directory, device, compute, model.methods.size() > with_cls,
                                        with_cls);
}

// Differences from the goldens in units of what plain arithmetic of that precision deviates by
// (score_errors.h), so that models can be taken together.
void AddErrors(const GoldenModel &model, const std::string &type, const std::vector<Scores> &got,
               ScoreErrors *errors) {
  for (size_t c = 0; c < model.cases.size(); c++) {
    for (const std::string &method : model.methods) {
      const double unit = model.deviation.at(type).at(method).rms;
      const std::vector<double> &want = model.cases[c].scores.at(method);
      const std::vector<float> &have = got[c].at(method);
      EXPECT_EQ(have.size(), want.size());
      for (size_t i = 0; i < std::min(have.size(), want.size()); i++) {
        if (type == "f32" || IsSteady(model.cases[c], method, i))
          errors->Add(have[i] / unit, want[i] / unit);
      }
    }
  }
}

class DeviceScores : public testing::TestWithParam<sp_compute> {
 protected:
  void SetUp() override {
    const sp_backend *backend = nullptr;
    const char *spec;
    char line[1][SP_DEVICE_LINE];
    sp_error err{};
    ASSERT_EQ(sp_backend_find(SP_TEST_DEVICE, &backend, &spec, &err), SP_OK) << err.message;
    if (backend->list(line, 1) == 0)
      GTEST_SKIP() << "no " SP_TEST_DEVICE " here";
  }
  // The two of a model and, in `all_`, of all models. What has few values has no typical worst one,
  // nor a reliable mean: it counts among all alone.
  void Check(const GoldenModel &model) {
    sp_test::Scratch scratch;
    const std::string directory =
        sp_test::GoldenModelDirectory(model, sp_test::SourceDir(), scratch / model.name);
    const std::string type = GetParam() == SP_COMPUTE_BF16 ? "bf16" : "f32";
    std::vector<ScoreErrors> errors(2);
    for (int i = 0; i < 2; i++) {
      auto scoring = Open(model, directory, i ? SP_TEST_DEVICE : "cpu", GetParam());
      std::vector<Scores> got = scoring->Score(model.cases, model.methods, scoring->lookahead());
      AddErrors(model, type, got, &errors[i]);
      AddErrors(model, type, got, &all_[i]);
    }
    if (errors[0].count() >= 40)
      Compare(model.name, errors[1], errors[0]);
  }
  void Compare(const std::string &name, const ScoreErrors &device, const ScoreErrors &cpu) {
    printf("    %-24s of the deviation: rms %.3f (CPU %.3f), worst %.3f (CPU %.3f)\n", name.c_str(),
           device.rms(), cpu.rms(), device.worst(), cpu.worst());
    EXPECT_TRUE(device.rms() <= 2 * cpu.rms()) << name;
    EXPECT_TRUE(device.worst() <= 2 * cpu.worst()) << name;
  }
  ScoreErrors all_[2];
};

// Under the emulator a few tokens must do.
GoldenModel Shortened(GoldenModel model) {
#ifdef SP_TEST_SLOW
  model.cases = {model.cases[2], model.cases[3]};
#endif
  return model;
}

TEST_P(DeviceScores, SmallModel) {
  for (const GoldenModel &model : Models("scores_small.json"))
    Check(Shortened(model));
  Compare("all", all_[1], all_[0]);
}

TEST_P(DeviceScores, Variants) {
  for (const GoldenModel &model : Models("scores_variants.json"))
    Check(Shortened(model));
  Compare("all", all_[1], all_[0]);
}

TEST_P(DeviceScores, Lookahead) {
  for (const GoldenModel &model : Models("scores_lookahead.json"))
    Check(Shortened(model));
  Compare("all", all_[1], all_[0]);
}

// Each distinct node once, and the plain pass with and without its savings: the same bits.
TEST_P(DeviceScores, NoSavingChangesALookahead) {
  sp_test::Scratch scratch;
  for (const GoldenModel &golden : Models("scores_lookahead.json")) {
    const GoldenModel model = Shortened(golden);
    const std::string directory =
        sp_test::GoldenModelDirectory(model, sp_test::SourceDir(), scratch / model.name);
    auto scoring = Open(model, directory, SP_TEST_DEVICE, GetParam());
    auto score = [&](unsigned savings) {
      return scoring->Score(model.cases, model.methods, scoring->lookahead(), savings);
    };
    const std::vector<Scores> all = score(SP_SAVING_ALL);
    for (unsigned without : {SP_SAVING_NODES, SP_SAVING_TRIM, SP_SAVING_HEAD, SP_SAVING_PACK})
      EXPECT_EQ(score(SP_SAVING_ALL & ~without), all) << model.name << " without " << without;
  }
}

INSTANTIATE_TEST_SUITE_P(Types, DeviceScores, testing::Values(SP_COMPUTE_F32, SP_COMPUTE_BF16),
                         [](const auto &given) {
                           return given.param == SP_COMPUTE_BF16 ? "bf16" : "f32";
                         });

}  // namespace
