// gradients_test.cc - losses and gradients through whole models against PyTorch in float64, and what must
// not matter to them.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>

#include "golden.h"
#include "network_model.h"
#include "scratch.h"

namespace {

using sp_test::NetworkModel;
using sp_test::TrainGolden;
using sp_test::TrainLosses;
using sp_test::TrainRun;
using sp_test::TrainSequences;

const std::vector<TrainGolden> &Goldens() {
  static const std::vector<TrainGolden> goldens =
      sp_test::ReadTrainGoldens(SP_SOURCE_DIR "/tests/golden/train_gradients.json");
  return goldens;
}

const TrainSequences &BatchOf(const TrainGolden &golden, const TrainRun &run) {
  return run.objective == "mlm" ? golden.text : golden.lists;
}

std::string NameOf(const TrainRun &run) {
  return run.objective + (run.detach ? " detached" : "") +
         (run.distill_weight != 0 ? " distill" : "") + " " + run.penalty;
}

double Norm(const std::vector<float> &x) {
  double square = 0;
  for (float v : x)
    square += static_cast<double>(v) * v;
  return std::sqrt(square);
}

class Gradients : public testing::TestWithParam<size_t> {
 protected:
  void SetUp() override {
    sp_test::WriteRandomModel(golden().random, scratch_ / "model");
    for (const TrainSequences *batch : {&golden().text, &golden().lists})
      tokens_ = std::max(tokens_, static_cast<size_t>(TotalsOf(*batch).positions));
  }
  const TrainGolden &golden() const {
    return Goldens()[GetParam()];
  }
  std::unique_ptr<NetworkModel> Open(size_t threads = 1) const {
    return std::make_unique<NetworkModel>(scratch_ / "model", tokens_, threads);
  }

 private:
  sp_test::Scratch scratch_;
  size_t tokens_ = 0;
};

// float32 against float64: of each tensor's gradient, by its norm, with a floor for those that are zero in
// theory (the bias of keys) or nearly.
constexpr double kRelative = 1e-5, kFloor = 5e-7;

void ExpectClose(const NetworkModel &model, const TrainGolden &golden, const TrainRun &run,
                 const std::vector<float> &gradients) {
  double total = 0;
  for (const auto &want : run.gradients)
    total += want[0] * want[0];
  const double floor = kFloor * std::sqrt(total);
  size_t found = 0;
  for (size_t i = 0; i < golden.tensors.size(); i++) {
    const sp_param *const first = model.params().tensor, *const last =
                                                             first + model.params().n_tensors;
    const sp_param *tensor =
        std::find_if(first, last, [&](const sp_param &p) { return golden.tensors[i] == p.name; });
    const auto &want = run.gradients[i];
    if (tensor == last) {  // a tensor that nothing reads: the tied bias beside an untied one
      EXPECT_EQ(want[0], 0) << golden.tensors[i];
      continue;
    }
    found++;
    const auto got = sp_test::SummaryOf(&gradients[tensor->offset], tensor->count);
    // A sum with signs differs by some standard deviations of the whole difference.
    for (size_t k = 0; k < want.size(); k++) {
      double limit = (k == 1 || k == 2 ? 4 : 1) * (kRelative * want[0] + floor);
      EXPECT_TRUE(std::fabs(got[k] - want[k]) <= limit)
          << NameOf(run) << " " << golden.tensors[i] << " [" << k << "]: " << got[k] << " and "
          << want[k] << ", norm " << want[0] << " of " << std::sqrt(total);
    }
  }
  EXPECT_EQ(found, model.params().n_tensors);
}

TEST_P(Gradients, AreThoseOfPyTorch) {
  auto model = Open();
  for (const TrainRun &run : golden().runs) {
    std::vector<float> gradients;
    TrainLosses got = model->Run(BatchOf(golden(), run), run, &gradients);
    EXPECT_TRUE(std::fabs(got.loss - run.loss) <= 1e-5 * (1 + std::fabs(run.loss)))
        << NameOf(run) << " " << got.loss << " " << run.loss;
    EXPECT_TRUE(std::fabs(got.penalty - run.penalty_value) <= 1e-5 * (1 + run.penalty_value))
        << NameOf(run) << " " << got.penalty << " " << run.penalty_value;
    ExpectClose(*model, golden(), run, gradients);
  }
}

// Sequences [first, last) of text, or so of lists.
TrainSequences PartOf(const TrainSequences &batch, size_t first, size_t last) {
  TrainSequences part;
  size_t begin = first, end = last;
  if (!batch.lists.empty()) {
    auto start = [&](size_t list) {
      return std::accumulate(batch.lists.begin(), batch.lists.begin() + static_cast<long>(list),
                             size_t{0});
    };
    begin = start(first);
    end = start(last);
    part.lists.assign(batch.lists.begin() + static_cast<long>(first),
                      batch.lists.begin() + static_cast<long>(last));
  }
  for (size_t i = begin; i < end; i++) {
    part.ids.push_back(batch.ids[i]);
    if (batch.lists.empty()) {
      part.targets.push_back(batch.targets[i]);
    } else {
      part.first.push_back(batch.first[i]);
      part.errors.push_back(batch.errors[i]);
      part.teacher.push_back(batch.teacher[i]);
    }
  }
  return part;
}

void ExpectSame(const std::vector<float> &a, const std::vector<float> &b, const TrainRun &run) {
  std::vector<float> difference(a.size());
  for (size_t i = 0; i < a.size(); i++)
    difference[i] = a[i] - b[i];
  EXPECT_GT(Norm(a), 0);
  EXPECT_TRUE(Norm(difference) <= 2e-6 * Norm(a))
      << NameOf(run) << " " << Norm(difference) / Norm(a);
}

TEST_P(Gradients, OfABatchAreTheSumOfItsParts) {
  auto model = Open();
  for (const TrainRun &run : golden().runs) {
    const TrainSequences &batch = BatchOf(golden(), run);
    std::vector<float> whole;
    TrainLosses of_whole = model->Run(batch, run, &whole), sum{};
    const size_t n = batch.lists.empty() ? batch.ids.size() : batch.lists.size();
    for (const TrainSequences &part : {PartOf(batch, 0, n / 2), PartOf(batch, n / 2, n)}) {
      TrainLosses of_part = model->Add(part, run, TotalsOf(batch));
      sum.loss += of_part.loss;
      sum.penalty += of_part.penalty;
    }
    ExpectSame(whole, model->TakeGradients(), run);
    EXPECT_NEAR(of_whole.loss, sum.loss, 1e-5 * (1 + std::fabs(sum.loss)));
    EXPECT_NEAR(of_whole.penalty, sum.penalty, 1e-5 * (1 + sum.penalty));
  }
}

// Takes out what no loss asks for: every hypothesis without a first pass or errors.
TrainSequences WithoutMissing(const TrainSequences &batch) {
  TrainSequences out;
  size_t at = 0;
  for (size_t size : batch.lists) {
    out.lists.push_back(0);
    for (size_t i = at; i < at + size; i++) {
      if (std::isnan(batch.first[i]) || std::isnan(batch.errors[i]))
        continue;
      out.lists.back()++;
      out.ids.push_back(batch.ids[i]);
      out.first.push_back(batch.first[i]);
      out.errors.push_back(batch.errors[i]);
      out.teacher.push_back(batch.teacher[i]);
    }
    at += size;
  }
  return out;
}

TEST_P(Gradients, MissingHypothesesNeverMatter) {
  auto model = Open();
  for (TrainRun run : golden().runs) {
    if (run.objective == "mlm" || run.objective == "distill" || run.penalty != "none")
      continue;
    run.distill_weight = 0;
    std::vector<float> with, without;
    const TrainSequences fewer = WithoutMissing(golden().lists);
    ASSERT_LT(fewer.ids.size(), golden().lists.ids.size());
    double loss = model->Run(golden().lists, run, &with).loss;
    EXPECT_EQ(loss, model->Run(fewer, run, &without).loss);
    ExpectSame(with, without, run);
    // Nor do their tokens.
    TrainSequences other = golden().lists;
    for (size_t i = 0; i < other.ids.size(); i++) {
      if (std::isnan(other.first[i]) || std::isnan(other.errors[i]))
        std::fill(other.ids[i].begin() + 1, other.ids[i].end() - 1, 7);
    }
    EXPECT_EQ(loss, model->Run(other, run, &without).loss);
    ExpectSame(with, without, run);
  }
}

TEST_P(Gradients, AreTheSameBitsWhateverTheThreads) {
  auto one = Open(1), three = Open(3);
  for (const TrainRun &run : golden().runs) {
    std::vector<float> a, b, again;
    TrainLosses x = one->Run(BatchOf(golden(), run), run, &a);
    TrainLosses y = three->Run(BatchOf(golden(), run), run, &b);
    three->Run(BatchOf(golden(), run), run, &again);
    EXPECT_EQ(x.loss, y.loss) << NameOf(run);
    EXPECT_EQ(a, b) << NameOf(run);
    EXPECT_EQ(b, again) << NameOf(run);
  }
}

std::string CaseName(const testing::TestParamInfo<size_t> &info) {
  std::string name = Goldens()[info.param].name;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Models, Gradients, testing::Range(size_t{0}, Goldens().size()), CaseName);

}  // namespace
