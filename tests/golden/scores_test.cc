// scores_test.cc - every token's log-probability against the float64 goldens.
//
// How far a correct engine may be off, per token, follows from the precision, not from what passes.
// Errors of independent roundings add in quadrature along the path from the ids to a logit, and a
// logit's error is in proportion to the logits, whose size the log-probabilities tell (their root
// mean square, R).
//
//   f32   u = 2^-24. A sum of K products, added one after the other, is off by u / sqrt(3) *
//         sqrt(K / 2) = 0.41 u sqrt(K) of its size. With S the sum of K over the products on the
//         path (per layer 4D + F, and a head's width + D for the attention's two; 2D in the head)
//         the deviation is 0.41 u sqrt(S) R. The worst of some thousand tokens is within 5
//         deviations, and norms and softmax may amplify by 2:  |error| <= 10 deviations.
//   bf16  u = 2^-9. Both operands of a product are rounded, each off by u / sqrt(3): sqrt(2 / 3) u
//         = 0.82 u of the result, whatever K is, since sums are kept in f32. With P = 8L + 2
//         products (q, k, v, q k, weights v, o, up, down; transform, decoder) the deviation is
//         0.82 u sqrt(P) R. It bounds the root mean square, and 5 of it the worst token: R is some
//         three times what logits deviate, which leaves room for norms and softmax.
//   cls   One value a text, too few for a root mean square. Its size is that of a dense layer's
//         output in random_model.h, at least 1.4, with no such room: 10 deviations in both types.
//
// For BERT-base the golden also has what Hugging Face transformers makes of it in float32: the
// worst token of the engine's f32 may be off by 3 times as much as theirs.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "golden.h"
#include "score_ids.h"
#include "scratch.h"

namespace {

using sp_test::GoldenCase;
using sp_test::GoldenModel;
using sp_test::Scores;
using sp_test::ScoringModel;

// Differences of all tokens of a model in one method.
struct Errors {
  size_t n = 0;
  double worst = 0, sum = 0, sum_sq = 0, golden_sq = 0;
  bool finite = true;

  void Add(double got, double want) {
    double error = std::fabs(got - want);
    finite = finite && std::isfinite(error);
    n++;
    worst = std::max(worst, error);
    sum += error;
    sum_sq += error * error;
    golden_sq += want * want;
  }
  double mean() const {
    return sum / static_cast<double>(n);
  }
  double rms() const {
    return std::sqrt(sum_sq / static_cast<double>(n));
  }
  double golden_rms() const {
    return std::sqrt(golden_sq / static_cast<double>(n));
  }
};

Errors Compare(const std::vector<GoldenCase> &cases, const std::vector<Scores> &got,
               const std::string &method, const std::string &against) {
  Errors errors;
  for (size_t c = 0; c < cases.size(); c++) {
    const std::vector<double> &want = cases[c].scores.at(against);
    const std::vector<float> &have = got[c].at(method);
    EXPECT_EQ(have.size(), want.size()) << "case " << c;
    for (size_t i = 0; i < std::min(have.size(), want.size()); i++)
      errors.Add(have[i], want[i]);
  }
  return errors;
}

double SizeOf(const Errors &errors, const std::string &method) {
  return method == "cls" ? std::max(1.4, errors.golden_rms()) : errors.golden_rms();
}

double F32Deviation(const sp_model_config &c) {
  double d = static_cast<double>(c.hidden), layers = static_cast<double>(c.layers);
  double sum =
      layers * (4 * d + static_cast<double>(c.ffn) + static_cast<double>(c.head_dim) + d) + 2 * d;
  return 0.41 * std::ldexp(1.0, -24) * std::sqrt(sum);
}

double Bf16Deviation(const sp_model_config &c) {
  return 0.82 * std::ldexp(1.0, -9) * std::sqrt(8 * static_cast<double>(c.layers) + 2);
}

void Record(const std::string &name, double value) {
  char text[32];
  snprintf(text, sizeof text, "%.3g", value);
  std::string key = name;
  std::replace(key.begin(), key.end(), '-', '_');
  testing::Test::RecordProperty(key, text);
  printf("    %-44s %s\n", name.c_str(), text);
}

void CheckF32(const std::string &name, const sp_model_config &config, const Errors &errors,
              const std::string &method) {
  double deviation = F32Deviation(config) * SizeOf(errors, method);
  Record(name + "_" + method + "_f32_max", errors.worst);
  Record(name + "_" + method + "_f32_of_bound", errors.worst / (10 * deviation));
  EXPECT_TRUE(errors.finite);
  EXPECT_FALSE(!(errors.worst <= 10 * deviation)) << errors.worst << " over " << 10 * deviation;
}

void CheckBf16(const std::string &name, const sp_model_config &config, const Errors &errors,
               const std::string &method) {
  double deviation = Bf16Deviation(config) * SizeOf(errors, method);
  Record(name + "_" + method + "_bf16_mean", errors.mean());
  Record(name + "_" + method + "_bf16_max", errors.worst);
  Record(name + "_" + method + "_bf16_rms_of_bound", errors.rms() / deviation);
  EXPECT_TRUE(errors.finite);
  double worst = (method == "cls" ? 10 : 5) * deviation;
  if (method != "cls") {
    EXPECT_FALSE(!(errors.rms() <= deviation)) << errors.rms() << " over " << deviation;
  }
  EXPECT_FALSE(!(errors.worst <= worst)) << errors.worst << " over " << worst;
}

bool Has(const GoldenModel &model, const char *method) {
  return std::count(model.methods.begin(), model.methods.end(), method) > 0;
}

// Returns the engine's scores.
std::vector<Scores> CheckModel(const GoldenModel &model, const std::string &directory,
                               sp_compute compute) {
  SCOPED_TRACE(model.name);
  bool with_cls = Has(model, "cls"), with_mlm = model.methods.size() > with_cls;
  ScoringModel scoring(directory, compute, with_mlm, with_cls);
  std::vector<Scores> got = scoring.Score(model.cases, model.methods);
  for (const std::string &method : model.methods) {
    SCOPED_TRACE(method);
    Errors errors = Compare(model.cases, got, method, method);
    EXPECT_GT(errors.n, 0u);
    if (compute == SP_COMPUTE_F32) {
      CheckF32(model.name, scoring.config(), errors, method);
    } else {
      CheckBf16(model.name, scoring.config(), errors, method);
    }
  }
  return got;
}

std::vector<GoldenModel> Goldens(const std::string &file) {
  return sp_test::ReadGoldens(std::string(SP_SOURCE_DIR) + "/tests/golden/" + file);
}

void CheckAll(const std::string &file, sp_compute compute) {
  sp_test::Scratch scratch;
  std::vector<GoldenModel> models = Goldens(file);
  ASSERT_FALSE(models.empty());
  for (const GoldenModel &model : models) {
    CheckModel(model, sp_test::GoldenModelDirectory(model, SP_SOURCE_DIR, scratch / model.name),
               compute);
  }
}

TEST(GoldenScores, SmallModelInF32) {
  CheckAll("scores_small.json", SP_COMPUTE_F32);
}
TEST(GoldenScores, SmallModelInBf16) {
  CheckAll("scores_small.json", SP_COMPUTE_BF16);
}
TEST(GoldenScores, VariantsInF32) {
  CheckAll("scores_variants.json", SP_COMPUTE_F32);
}
TEST(GoldenScores, VariantsInBf16) {
  CheckAll("scores_variants.json", SP_COMPUTE_BF16);
}

// In one test, so that the weights are made once.
TEST(GoldenScores, BertBase) {
  sp_test::Scratch scratch;
  std::vector<GoldenModel> models = Goldens("scores_base.json");
  ASSERT_EQ(models.size(), 1u);
  const GoldenModel &model = models[0];
  std::string directory = sp_test::GoldenModelDirectory(model, SP_SOURCE_DIR, scratch / model.name);
  CheckModel(model, directory, SP_COMPUTE_BF16);
  std::vector<Scores> got = CheckModel(model, directory, SP_COMPUTE_F32);
  for (const std::string &method : model.methods) {
    SCOPED_TRACE(method);
    std::vector<Scores> theirs;
    for (const GoldenCase &one : model.cases) {
      const std::vector<double> &values = one.scores.at(method + "_f32");
      theirs.push_back({{method, std::vector<float>(values.begin(), values.end())}});
    }
    Errors ours = Compare(model.cases, got, method, method);
    Errors reference = Compare(model.cases, theirs, method, method);
    Record("base_" + method + "_transformers_f32_max", reference.worst);
    EXPECT_FALSE(!(ours.worst <= 3 * reference.worst));
  }
}

// A NaN must never count as equal.
TEST(GoldenScores, TheComparisonSeesNaN) {
  std::vector<GoldenCase> cases(1);
  cases[0].scores["pll"] = {-1.0, -2.0};
  EXPECT_FALSE(Compare(cases, {{{"pll", {-1.0f, NAN}}}}, "pll", "pll").finite);
  EXPECT_FALSE(Compare(cases, {{{"pll", {-INFINITY, -2.0f}}}}, "pll", "pll").finite);
  EXPECT_TRUE(Compare(cases, {{{"pll", {-1.0f, -2.5f}}}}, "pll", "pll").finite);
}

}  // namespace
