// text_test.cc - what becomes of a hypothesis: too long, empty, eos, letter case, special tokens,
// costs, and scores that are no numbers.
#include <unistd.h>

#include <cmath>
#include <cstring>

#include "engine_fixture.h"

namespace {

using namespace sp_test;

class Text : public testing::Test {
 protected:
  void SetUp() override {
    model_ = MakeModel(scratch_ / "model");
  }

  Outcome Run(const std::vector<std::string> &hyps, const std::function<void(Job &)> &adjust = {}) {
    WriteFile(scratch_ / "a.jsonl", ToJsonl({{"u", hyps}}));
    Job job;
    job.model = model_;
    job.archives = {scratch_ / "a.jsonl"};
    job.out = "-";
    job.methods = "pll,cls";
    if (adjust)
      adjust(job);
    Outcome outcome = Score(job);
    last_ = ToTable(outcome.lines);
    return outcome;
  }
  std::string Get(size_t rank, const std::string &member) {
    const Members &members = last_.at({"u", rank});
    return members.count(member) ? members.at(member) : "";
  }
  void ExpectNull(size_t rank, const std::string &flag) {
    EXPECT_EQ(Get(rank, "pll"), "null") << rank;
    EXPECT_EQ(Get(rank, "cls"), "null") << rank;
    EXPECT_EQ(Get(rank, "n"), "0") << rank;
    EXPECT_EQ(Get(rank, "flag"), "\"" + flag + "\"") << rank;
  }
  void ExpectScored(size_t rank, const std::string &n) {
    EXPECT_TRUE(std::isfinite(std::stod(Get(rank, "pll")))) << rank;
    EXPECT_TRUE(std::isfinite(std::stod(Get(rank, "cls")))) << rank;
    EXPECT_EQ(Get(rank, "n"), n) << rank;
    EXPECT_EQ(Get(rank, "flag"), "") << rank;
  }
  void ExpectEqual(size_t a, size_t b) {
    for (const char *member : {"pll", "cls", "n"})
      EXPECT_EQ(Get(a, member), Get(b, member));
  }

  Scratch scratch_;
  std::string model_;
  ScoreTable last_;
};

std::string Words(size_t n) {
  std::string text;
  for (size_t i = 0; i < n; i++)
    text += (i ? " " : "") + std::string(1, "abcdefgh"[i % 8]);
  return text;
}

TEST_F(Text, TooLongIsNullByDefault) {
  Outcome outcome = Run({Words(62), Words(63), Words(5)});
  ASSERT_EQ(outcome.status, SP_OK) << outcome.message;
  ExpectScored(0, "62");
  ExpectNull(1, "too_long");
  ExpectScored(2, "5");
  EXPECT_EQ(outcome.summary.counts.too_long, 1u);
  EXPECT_EQ(outcome.summary.counts.tokens, 67u);
  EXPECT_EQ(outcome.summary.counts.hyps, 3u);
}

TEST_F(Text, TruncatedScoresItsBeginning) {
  Outcome outcome = Run({Words(62), Words(80)}, [](Job &job) { job.on_long = "truncate"; });
  ASSERT_EQ(outcome.status, SP_OK) << outcome.message;
  ExpectScored(0, "62");
  ExpectEqual(1, 0);
  EXPECT_EQ(Get(1, "flag"), "\"truncated\"");
  EXPECT_EQ(outcome.summary.counts.truncated, 1u);
  EXPECT_EQ(outcome.summary.counts.too_long, 0u);
}

TEST_F(Text, TooLongAsAnErrorNamesThePlace) {
  for (const char *out : {"-", "run"}) {
    Outcome outcome = Run({Words(3), Words(70)}, [&](Job &job) {
      job.on_long = "error";
      if (*out != '-')
        job.out = scratch_ / out;
    });
    EXPECT_EQ(outcome.status, SP_EINPUT);
    for (const char *word : {"hypothesis 2", "70 tokens", "62"}) {
      EXPECT_NE(outcome.message.find(word), std::string::npos) << outcome.message;
    }
  }
  EXPECT_NE(access((scratch_ / "run").c_str(), F_OK), 0);
}

TEST_F(Text, NothingToScoreIsEmpty) {
  const std::vector<std::string> blanks = {"",
                                           " ",
                                           " \t ",
                                           "\n",
                                           "\xc2\xa0",
                                           "\xe2\x80\x8b",
                                           "\xef\xbb\xbf",
                                           std::string("\0", 1),
                                           "\x01\x02"};
  for (const char *eos : {"", "z"}) {
    Outcome outcome = Run(blanks, [&](Job &job) { job.eos = eos; });
    ASSERT_EQ(outcome.status, SP_OK) << outcome.message;
    for (size_t i = 0; i < blanks.size(); i++)
      ExpectNull(i, "empty");
    EXPECT_EQ(outcome.summary.counts.empty, blanks.size()) << eos;
    EXPECT_EQ(outcome.summary.counts.tokens, 0u);
    EXPECT_EQ(outcome.summary.counts.copies, 0u);
  }
}

TEST_F(Text, AnEmptyListKeepsItsLine) {
  Outcome outcome = Run({});
  ASSERT_EQ(outcome.status, SP_OK) << outcome.message;
  EXPECT_EQ(outcome.lines, "{\"id\":\"u\",\"hyps\":[]}\n");
  EXPECT_EQ(outcome.summary.counts.empty_lists, 1u);
  EXPECT_EQ(outcome.summary.counts.utts, 1u);
}

TEST_F(Text, WhiteSpaceDoesNotCount) {
  Run({"ab c", " ab  c ", "\tab\nc",
       "ab\xc2\xa0"
       "c",
       "AB C", "abc"});
  for (size_t i = 1; i < 5; i++)
    ExpectEqual(0, i);
  EXPECT_NE(Get(0, "pll"), Get(5, "pll"));
}

TEST_F(Text, EosIsTheLastWord) {
  Run({"ab c z", "ab z", "z"});
  ScoreTable plain = last_;
  Run({"ab c", "ab", "", "z"}, [](Job &job) { job.eos = "z"; });
  for (size_t i = 0; i < 2; i++) {
    EXPECT_EQ(Get(i, "pll"), plain.at({"u", i}).at("pll"));
    EXPECT_EQ(Get(i, "cls"), plain.at({"u", i}).at("cls"));
    EXPECT_EQ(Get(i, "n"), plain.at({"u", i}).at("n"));
  }
  ExpectNull(2, "empty");
  ExpectScored(3, "2"); /* "z z" */
}

TEST_F(Text, EosMakesATextTooLong) {
  Run({Words(61), Words(62)}, [](Job &job) { job.eos = "z"; });
  ExpectScored(0, "62");
  ExpectNull(1, "too_long");
}

TEST_F(Text, AnEosThatIsCutInTheSignatureIsWholeInTheIdentity) {
  std::string eos = std::string(15, 'z') +
                    "\xe2\x82\xac"
                    "zz"; /* 16 bytes end in a character */
  Outcome outcome = Run({"ab"}, [&](Job &job) {
    job.eos = eos;
    job.out = scratch_ / "run";
  });
  ASSERT_EQ(outcome.status, SP_OK) << outcome.message;
  EXPECT_NE(ReadFile(scratch_ / "run/run.json").find(eos), std::string::npos);
}

TEST_F(Text, CaseOfACasedModel) {
  WriteFile(model_ + "/tokenizer_config.json", "{\"do_lower_case\": false}");
  const std::vector<std::string> lower = {"ab c", "x"}, upper = {"AB C", "X"},
                                 mixed = {"AB C", "x"};
  Run(lower);
  ScoreTable expected = last_;
  Outcome outcome = Run(upper);
  EXPECT_TRUE(SameScores(last_, expected)) << "auto lowers what is all upper case";
  EXPECT_STREQ(outcome.summary.letter_case, "lower");
  EXPECT_EQ(outcome.warnings.size(), 1u);
  outcome = Run(upper, [](Job &job) { job.letter_case = "lower"; });
  EXPECT_TRUE(SameScores(last_, expected));
  EXPECT_TRUE(outcome.warnings.empty());
  outcome = Run(upper, [](Job &job) { job.letter_case = "keep"; });
  EXPECT_EQ(Get(0, "n"), "2") << "two unknown words";
  EXPECT_EQ(outcome.summary.counts.unknown_tokens, 3u);
  EXPECT_STREQ(outcome.summary.letter_case, "keep");
  outcome = Run(mixed);
  EXPECT_STREQ(outcome.summary.letter_case, "keep");
  EXPECT_TRUE(outcome.warnings.empty());
  outcome = Run({"12", "7"});
  EXPECT_STREQ(outcome.summary.letter_case, "keep") << "no letters at all";
}

TEST_F(Text, CaseOfAnUncasedModelNeedsNothing) {
  Outcome outcome = Run({"AB C", "ab c"});
  ExpectEqual(0, 1);
  EXPECT_STREQ(outcome.summary.letter_case, "keep");
  EXPECT_TRUE(outcome.warnings.empty());
}

TEST_F(Text, SpecialTokensInTheTextAreTokensAndCounted) {
  Outcome outcome = Run({"a [MASK] b", "a [SEP] b", "a b", "[mask]"});
  ASSERT_EQ(outcome.status, SP_OK) << outcome.message;
  ExpectScored(0, "3");
  ExpectScored(1, "3");
  EXPECT_NE(Get(0, "pll"), Get(1, "pll"));
  EXPECT_EQ(outcome.summary.counts.special_in_text, 2u);
}

TEST_F(Text, PerTokenSumsToTheScore) {
  Run({"ab c don't", Words(60)}, [](Job &job) {
    job.methods = "pll,pll_l2r,maskless";
    job.per_token = true;
  });
  EXPECT_EQ(Get(0, "tokens"), "[\"a\",\"##b\",\"c\",\"d\",\"##o\",\"##n\",\"'\",\"t\"]");
  const std::pair<const char *, const char *> members[] = {
      {"pll", "logp"}, {"pll_l2r", "logp_l2r"}, {"maskless", "logp_maskless"}};
  for (size_t rank : {0u, 1u}) {
    for (const auto &[score, values] : members) {
      std::string list = Get(rank, values);
      double sum = 0;
      size_t n = 0;
      for (size_t at = 1; at < list.size(); at = list.find_first_of(",]", at) + 1, n++) {
        sum += std::stod(list.substr(at));
      }
      EXPECT_EQ(std::to_string(n), Get(rank, "n"));
      EXPECT_EQ(static_cast<float>(sum), std::stof(Get(rank, score))) << score;
    }
  }
}

TEST_F(Text, WithTextGivesTheTextAsItIs) {
  const std::vector<std::string> hyps = {" Ab\t\"c\" \xe2\x82\xac", ""};
  Run(hyps, [](Job &job) { job.with_text = true; });
  EXPECT_EQ(Get(0, "text"), "\" Ab\\t\\\"c\\\" \xe2\x82\xac\"");
  EXPECT_EQ(Get(1, "text"), "\"\"");
}

TEST_F(Text, ACostIsNegated) {
  const std::vector<std::string> hyps = {"ab c", "x y", "q"};
  sp_random_model cost = TinyModel();
  cost.config_extra = "\"score_kind\": \"cost\"";
  const std::string models[] = {model_, MakeModel(scratch_ / "cost", cost)};
  std::vector<double> values;
  Run(hyps);
  for (size_t i = 0; i < hyps.size(); i++)
    values.push_back(std::stod(Get(i, "cls")));
  const struct {
    int model;
    const char *sign;
    double factor;
  } cases[] = {{0, "auto", 1},  {0, "logprob", 1}, {0, "cost", -1},
               {1, "auto", -1}, {1, "logprob", 1}, {1, "cost", -1}};
  for (const auto &one : cases) {
    model_ = models[one.model];
    Run(hyps, [&](Job &job) { job.cls_sign = one.sign; });
    for (size_t i = 0; i < hyps.size(); i++) {
      EXPECT_EQ(std::stod(Get(i, "cls")), one.factor * values[i]) << one.model << one.sign;
    }
  }
}

// Where a float tensor's data begins in a safetensors file.
size_t DataOf(const std::string &file, const std::string &name) {
  uint64_t header;
  memcpy(&header, file.data(), 8);
  size_t at = file.find("\"" + name + "\"");
  const std::string key = "\"data_offsets\":[";
  return 8 + header + std::stoul(file.substr(file.find(key, at) + key.size()));
}

// Replaces the `count` floats of a tensor from element `first` on.
void SetFloats(const std::string &model, const std::string &tensor, size_t first, size_t count,
               const std::function<float(size_t)> &value) {
  const std::string path = model + "/model.safetensors";
  std::string file = ReadFile(path);
  size_t data = DataOf(file, tensor);
  for (size_t i = first; i < first + count; i++) {
    float x = value(i);
    memcpy(&file[data + 4 * i], &x, sizeof x);
  }
  WriteFile(path, file);
}

// One token's bias is so large that every other token's log-probability is -3e38: one is a number,
// two are not.
TEST_F(Text, WhatIsNotFiniteIsNullWithAFlag) {
  SetFloats(model_, "cls.predictions.bias", 99, 1, [](size_t) { return 3e38f; });
  Outcome outcome = Run({"a", "a b", "c d", ""});
  ASSERT_EQ(outcome.status, SP_OK) << outcome.message;
  EXPECT_EQ(std::stof(Get(0, "pll")), -3e38f);
  EXPECT_EQ(Get(0, "flag"), "");
  for (size_t rank : {1u, 2u}) {
    EXPECT_EQ(Get(rank, "pll"), "null");
    EXPECT_EQ(Get(rank, "flag"), "\"not_finite\"");
    EXPECT_NE(Get(rank, "cls"), "null") << "the other method has its score";
  }
  EXPECT_EQ(Get(3, "flag"), "\"empty\"");
  EXPECT_EQ(outcome.summary.counts.not_finite, 2u);
}

// Query weights that are finite, but whose products are not: attention has nothing to go by.
TEST_F(Text, AnOverflowInsideAttentionIsNullWithAFlag) {
  for (const char *layer : {"0", "1"}) {
    model_ = MakeModel(scratch_ / ("overflow-" + std::string(layer)));
    const std::string query = "bert.encoder.layer." + std::string(layer) + ".attention.self.query";
    SetFloats(model_, query + ".weight", 0, 32 * 32,
              [](size_t i) { return i % 7 < 4 ? 3e38f : -3e38f; });
    for (const char *dtype : {"f32", "bf16"}) {
      Outcome outcome = Run({"a", "a b", "c d e f", ""}, [&](Job &job) { job.dtype = dtype; });
      ASSERT_EQ(outcome.status, SP_OK) << outcome.message;
      for (size_t rank : {0u, 1u, 2u}) {
        EXPECT_EQ(Get(rank, "pll"), "null") << layer << dtype;
        EXPECT_EQ(Get(rank, "cls"), "null") << layer << dtype;
        EXPECT_EQ(Get(rank, "flag"), "\"not_finite\"") << layer << dtype;
      }
      EXPECT_EQ(Get(3, "flag"), "\"empty\"");
      EXPECT_EQ(outcome.summary.counts.not_finite, 3u);
    }
  }
}

}  // namespace
