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

// Throws std::runtime_error when something is wrong.
std::vector<TrainGolden> ReadTrainGoldens(const std::string &path);
std::vector<double> SummaryOf(const float *gradient, size_t count);

}  // namespace sp_test
#endif
