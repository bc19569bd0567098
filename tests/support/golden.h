// golden.h - the score goldens of tests/golden (README.md there describes them) for C++ tests.
#ifndef SP_TESTS_GOLDEN_H
#define SP_TESTS_GOLDEN_H

#include <cstdint>
#include <map>
#include <string>
#include <vector>

struct json_t;

namespace sp_test {

struct GoldenCase {
  std::string text;           // empty where only ids are given
  std::vector<int32_t> ids;   // without [CLS] and [SEP]
  std::vector<uint32_t> word;
  // Method to log-probabilities, one a token; cls has one value. The base goldens have "pll_f32" and
  // so on too, from transformers in float32; those of dynamic models "pll_steady" and so on, "bits" and
  // "unsure".
  std::map<std::string, std::vector<double>> scores;
};

// Of plain arithmetic in one precision, over all cases: root mean square and largest error.
struct Deviation {
  double rms, worst;
};

struct GoldenModel {
  std::string name;
  std::string path;                           // below the source tree; empty for a random model
  std::map<std::string, std::string> random;  // members of sp_random_model
  std::vector<std::string> methods;
  std::vector<GoldenCase> cases;
  // "f32" or "bf16", then the method.
  std::map<std::string, std::map<std::string, Deviation>> deviation;
};

// Whether score i of a method hangs on no bit of a scheduler that bf16 may turn.
bool IsSteady(const GoldenCase &one, const std::string &method, size_t i);
// Both throw std::runtime_error when something is wrong.
std::vector<GoldenModel> ReadGoldens(const std::string &path);
// Members of sp_random_model as a golden file has them: texts, numbers, or true.
std::map<std::string, std::string> RandomOptions(json_t *object);
void WriteRandomModel(const std::map<std::string, std::string> &options,
                      const std::string &directory);
// The model's directory: in `source_dir`, or written into the absent directory `scratch_dir`.
std::string GoldenModelDirectory(const GoldenModel &model, const std::string &source_dir,
                                 const std::string &scratch_dir);

}  // namespace sp_test
#endif
