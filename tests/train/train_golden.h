// train_golden.h - tests/golden/train_gradients.json (README.md there) for C++ tests.
#ifndef SP_TESTS_TRAIN_GOLDEN_H
#define SP_TESTS_TRAIN_GOLDEN_H

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace sp_test {

struct TrainSequences {
  std::vector<std::vector<int32_t>> ids;  // with [CLS] and [SEP]
  // mlm: position and id of each sequence's targets.
  std::vector<std::vector<std::pair<uint32_t, int32_t>>> targets;
  // Else: hypotheses of each list, and their numbers, NaN where missing.
  std::vector<size_t> lists;
  std::vector<float> first, errors, teacher;
};

struct TrainRun {
  std::string objective, penalty;
  double beta, distill_weight, tau;
  bool detach;
  double weight, average, costs[4];  // of the penalty
  double loss, penalty_value;        // without and before the weight
  // Of each tensor: norm, two sums with fixed signs, four entries (SummaryOf).
  std::vector<std::vector<double>> gradients;
};

struct TrainGolden {
  std::string name;
  std::map<std::string, std::string> random;
  TrainSequences text, lists;
  std::vector<std::string> tensors;
  std::vector<TrainRun> runs;
};

// What some steps of training make of a model: tests/golden/train_steps.json.
struct TrainedGolden {
  std::string name;
  std::map<std::string, std::string> random;
  std::map<std::string, std::string> run;   // its settings, as text
  std::string archive;                      // jsonl
  std::vector<std::vector<double>> losses;  // loss and gradient norm of each step
  std::vector<std::string> tensors;
  std::vector<std::vector<double>> changes;  // SummaryOf what the steps added to each tensor
  double Number(const std::string &setting) const {
    return std::stod(run.at(setting));
  }
};

// Both throw std::runtime_error when something is wrong.
std::vector<TrainedGolden> ReadTrainedGoldens(const std::string &path);
std::vector<TrainGolden> ReadTrainGoldens(const std::string &path);
std::vector<double> SummaryOf(const float *gradient, size_t count);

}  // namespace sp_test
#endif
