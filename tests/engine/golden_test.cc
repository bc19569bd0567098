// golden_test.cc - item 2 from end to end: sentences in, tokenizer, plan, encoder and lines out,
// every token's log-probability against the float64 goldens.
#include "golden.h"

#include <cmath>
#include <cstdlib>

#include "engine_fixture.h"
#include "score_errors.h"

namespace {

using namespace sp_test;

// The numbers of "[-1.5,null]"; what is no number is NaN.
std::vector<double> Numbers(const std::string &list) {
  std::vector<double> out;
  for (size_t at = 1; at < list.size(); at = list.find_first_of(",]", at) + 1) {
    char *end;
    double value = strtod(&list[at], &end);
    out.push_back(end == &list[at] ? NAN : value);
  }
  return out;
}

GoldenModel SmallModel() {
  return ReadGoldens(std::string(SP_SOURCE_DIR) + "/tests/golden/scores_small.json").at(0);
}

// Score lines of the goldens' sentences, one utterance each, named by the case's number.
ScoreTable LinesOfSentences(const GoldenModel &model, const std::string &dtype) {
  Scratch scratch;
  Archive archive;
  for (const GoldenCase &one : model.cases)
    archive.push_back({std::to_string(archive.size()), {one.text}});
  WriteFile(scratch / "a.jsonl", ToJsonl(archive));
  Job job;
  job.model = std::string(SP_SOURCE_DIR) + "/" + model.path;
  job.archives = {scratch / "a.jsonl"};
  job.out = "-";
  job.methods = "pll,pll_l2r,maskless";
  job.dtype = dtype;
  job.per_token = true;
  Outcome outcome = Score(job);
  EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
  return ToTable(outcome.lines);
}

class GoldenSentences : public testing::TestWithParam<const char *> {};

TEST_P(GoldenSentences, EveryTokenHasItsLogProbability) {
  const std::pair<const char *, const char *> members[] = {
      {"pll", "logp"}, {"pll_l2r", "logp_l2r"}, {"maskless", "logp_maskless"}};
  GoldenModel model = SmallModel();
  ASSERT_GE(model.cases.size(), 30u);
  ScoreTable lines = LinesOfSentences(model, GetParam());
  ASSERT_EQ(lines.size(), model.cases.size());
  for (const auto &[method, member] : members) {
    const Deviation deviation = model.deviation.at(GetParam()).at(method);
    ScoreErrors errors;
    for (size_t c = 0; c < model.cases.size(); c++) {
      const GoldenCase &one = model.cases[c];
      const Members &line = lines.at({std::to_string(c), 0});
      ASSERT_EQ(line.at("n"), std::to_string(one.ids.size())) << one.text;
      EXPECT_EQ(line.count("flag"), 0u) << one.text;
      const std::vector<double> got = Numbers(line.at(member)), want = one.scores.at(method);
      ASSERT_EQ(got.size(), want.size()) << one.text;
      double sum = 0;
      for (size_t i = 0; i < got.size(); i++) {
        errors.Add(got[i], want[i]);
        sum += want[i];
      }
      // As if all of its errors had one sign.
      double bound = kAllowedDeviations * deviation.rms * static_cast<double>(want.size());
      EXPECT_TRUE(std::fabs(std::stod(line.at(method)) - sum) <= bound) << one.text;
    }
    EXPECT_TRUE(ShareOfAllowed(errors, deviation) <= 1)
        << method << ": off by " << errors.rms() << " in the root mean square, " << errors.worst()
        << " at the worst";
  }
}

INSTANTIATE_TEST_SUITE_P(Compute, GoldenSentences, testing::Values("f32", "bf16"),
                         [](const auto &given) { return std::string(given.param); });

}  // namespace
