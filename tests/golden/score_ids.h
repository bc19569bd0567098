// score_ids.h - token ids through plan, batches and encoder, with no text and no engine.
#ifndef SP_TESTS_GOLDEN_SCORE_IDS_H
#define SP_TESTS_GOLDEN_SCORE_IDS_H

#include <map>
#include <string>
#include <vector>

#include "backend.h"
#include "forward.h"
#include "golden.h"
#include "tokenizer.h"

namespace sp_test {

// Method to values of one case, as in a golden.
using Scores = std::map<std::string, std::vector<float>>;

// How a plan is computed.
struct ScoreRule {
  sp_lookahead lookahead{};
  unsigned savings = SP_SAVING_ALL;
  size_t tokens = 1024;  // of a batch
  bool trace = false;    // dynamic lookahead only
};

// An open model on one device ("cpu:avx2") at one compute type. Throws std::runtime_error when anything fails.
class ScoringModel {
 public:
  ScoringModel(const std::string &directory, const char *device, sp_compute compute, bool with_mlm,
               bool with_cls);
  ~ScoringModel();
  ScoringModel(const ScoringModel &) = delete;
  ScoringModel &operator=(const ScoringModel &) = delete;

  // False where the processor cannot run it.
  static bool HasDevice(const char *device);
  const sp_weights *weights() const;
  const sp_tokenizer_info *tokenizer() const;
  // Scores all cases in one plan.
  std::vector<Scores> Score(const std::vector<GoldenCase> &cases,
                            const std::vector<std::string> &methods,
                            const sp_lookahead &lookahead = {},
                            unsigned savings = SP_SAVING_ALL) const;
  // Cases 4n to 4n + 3 are one list. `bits`, where the rule traces: of each case (L, tokens + 2).
  std::vector<Scores> Score(const std::vector<GoldenCase> &cases,
                            const std::vector<std::string> &methods, const ScoreRule &rule,
                            std::vector<std::vector<uint32_t>> *bits) const;
  // What the model's config says.
  const sp_lookahead &lookahead() const;
  // The schedulers' bits in the unmasked pass of a case: (L, tokens + 2), edges beyond its end 0.
  std::vector<uint32_t> Bits(const GoldenCase &one) const;

 private:
  struct Parts;
  Parts *parts_;
};

}  // namespace sp_test
#endif
