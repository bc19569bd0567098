// mask_test.cc - which lookahead mask a run scores under: the model's, or the one that was asked for.
#include <cfloat>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "engine_fixture.h"

namespace {

using namespace sp_test;
namespace fs = std::filesystem;

constexpr char kLayerwise[] =
    R"("lookahead": {"policy": "layerwise", "max": 2, "layers": [2, 0], "left": 9, "cls": "last"})";
constexpr char kDynamic[] = R"("lookahead": {"policy": "dynamic", "max": 3})";

class Mask : public testing::Test {
 protected:
  void SetUp() override {
    WriteFile(scratch_ / "a.jsonl", ToJsonl(MakeArchive(6)));
  }
  // A model of this "lookahead", or a plain one.
  std::string Model(const char *lookahead = nullptr, const char *scheduler = nullptr,
                    size_t percent = 50) {
    sp_random_model model = TinyModel();
    model.config_extra = lookahead;
    model.scheduler = scheduler;
    model.scheduler_percent = percent;
    return MakeModel(scratch_ / ("model-" + std::to_string(models_++)), model);
  }
  Job MakeJob(const std::string &model, const std::string &mask = "", bool force = false) {
    Job job;
    job.model = model;
    job.archives = {scratch_ / "a.jsonl"};
    job.out = "-";
    job.methods = "pll,pll_l2r,cls,maskless";
    job.mask = mask;
    job.force_mask = force;
    return job;
  }
  Outcome Run(const std::string &model, const std::string &mask = "", bool force = false) {
    Job job = MakeJob(model, mask, force);
    return Score(job);
  }
  void Refused(const Outcome &outcome, sp_status status, const std::vector<std::string> &words) {
    EXPECT_EQ(outcome.status, status) << outcome.message;
    for (const std::string &word : words)
      EXPECT_NE(outcome.message.find(word), std::string::npos) << word << ": " << outcome.message;
  }

  Scratch scratch_;
  int models_ = 0;
};

TEST_F(Mask, IsTheModelsUnlessAskedFor) {
  const struct {
    std::string model, mask;
  } cases[] = {{Model(), "full"},
               {Model(R"("lookahead": {"policy": "causal"})"), "causal"},
               {Model(kLayerwise), "layerwise:2,0 left:9 cls:last,bound"},
               {Model(R"("lookahead": {"policy": "chunked", "chunk": 4})"), "chunked:4"},
               {Model(kDynamic, "3"), "dynamic:3"}};
  for (const auto &one : cases) {
    Outcome outcome = Run(one.model);
    ASSERT_EQ(outcome.status, SP_OK) << outcome.message;
    EXPECT_EQ(outcome.summary.mask, one.mask);
    EXPECT_FALSE(outcome.summary.mask_forced);
    EXPECT_NE(std::string(outcome.summary.signature).find("|mask:" + one.mask + "|"),
              std::string::npos)
        << outcome.summary.signature;
    Job job = MakeJob(one.model);
    EXPECT_EQ(Plan(job).summary.mask, one.mask);
  }
}

TEST_F(Mask, WordsThatComeToTheModelsRuleAreTheSame) {
  const struct {
    std::string model;
    std::vector<std::string> words;
  } cases[] = {
      {Model(), {"full", "model"}},
      {Model(kLayerwise), {"layerwise:2,0", "model"}},
      {Model(R"("lookahead": {"policy": "layerwise", "max": 2})"),
       {"layerwise:2", "layerwise:2,2"}},
      {Model(R"("lookahead": {"policy": "causal", "left": 3})"), {"causal", "layerwise:0,0"}},
      {Model(R"("lookahead": {"policy": "causal"})"), {"causal", "chunked:1"}},
      {Model(R"("lookahead": {"policy": "chunked", "chunk": 1})"), {"causal", "chunked:1"}},
      {Model(R"("lookahead": {"policy": "layerwise", "max": 1, "layers": [0, 0]})"), {"causal"}},
      {Model(kDynamic, "3"), {"dynamic"}}};
  for (const auto &one : cases) {
    Outcome own = Run(one.model);
    ASSERT_EQ(own.status, SP_OK) << own.message;
    for (const std::string &word : one.words) {
      for (bool force : {false, true}) {
        Outcome outcome = Run(one.model, word, force);
        ASSERT_EQ(outcome.status, SP_OK) << word << ": " << outcome.message;
        EXPECT_EQ(outcome.lines, own.lines) << word;
        EXPECT_STREQ(outcome.summary.signature, own.summary.signature);
        EXPECT_FALSE(outcome.summary.mask_forced);
      }
    }
  }
}

TEST_F(Mask, ThatContradictsTheModelNeedsForce) {
  const struct {
    std::string model, word, trained;
  } cases[] = {
      {Model(), "causal", "full"},
      {Model(kLayerwise), "layerwise:2", "layerwise:2,0 left:9"},
      {Model(kLayerwise), "full", "layerwise:2,0 left:9"},
      {Model(kDynamic, "3"), "layerwise:3", "dynamic:3"},
      {Model(R"("lookahead": {"policy": "chunked", "chunk": 4})"), "chunked:5", "chunked:4"}};
  for (const auto &one : cases) {
    Refused(Run(one.model, one.word), SP_EUSAGE,
            {"--mask " + one.word + " contradicts", "trained with " + one.trained, "--force-mask"});
    Outcome forced = Run(one.model, one.word, true);
    ASSERT_EQ(forced.status, SP_OK) << forced.message;
    EXPECT_TRUE(forced.summary.mask_forced);
    EXPECT_NE(std::string(forced.summary.signature).find(" forced|long:"), std::string::npos)
        << forced.summary.signature;
    EXPECT_NE(forced.lines, Run(one.model).lines);
  }
}

TEST_F(Mask, OfTheSamePolicyKeepsWhatWordsCannotSay) {
  Outcome outcome = Run(Model(kLayerwise), "layerwise:1", true);
  EXPECT_STREQ(outcome.summary.mask, "layerwise:1 left:9 cls:last,bound");
  outcome = Run(Model(kLayerwise), "causal", true);
  EXPECT_STREQ(outcome.summary.mask, "causal cls:last,bound") << "the window was of another policy";
}

// Whatever the policy, a head scores the row that it was trained on.
TEST_F(Mask, ThatIsForcedFullKeepsTheRowOfTheHead) {
  std::string model = Model(kLayerwise);
  Outcome last = Run(model, "full", true);
  ASSERT_EQ(last.status, SP_OK) << last.message;
  EXPECT_STREQ(last.summary.mask, "full cls:last,bound");
  EXPECT_NE(std::string(last.summary.signature).find("|mask:full cls:last,bound forced|"),
            std::string::npos)
      << last.summary.signature;
  Outcome first = Run(Model());
  EXPECT_STREQ(first.summary.mask, "full");
  ASSERT_EQ(first.status, SP_OK) << first.message;
  ScoreTable a = ToTable(first.lines), b = ToTable(last.lines);
  EXPECT_TRUE(SameScores(OnlyMethods(a, {"pll", "maskless"}), OnlyMethods(b, {"pll", "maskless"})));
  EXPECT_FALSE(SameScores(OnlyMethods(a, {"cls"}), OnlyMethods(b, {"cls"})));
  std::string hidden = Model(R"("lookahead": {"policy": "causal", "cls_view": "hidden"})");
  Outcome shown = Run(hidden, "full", true);
  ASSERT_EQ(shown.status, SP_OK) << shown.message;
  EXPECT_STREQ(shown.summary.mask, "full") << "without a mask every row sees everything";
  EXPECT_TRUE(SameScores(a, ToTable(shown.lines)));
}

TEST_F(Mask, ThatTheModelCannotHaveIsRefusedAlsoWithForce) {
  for (bool force : {false, true}) {
    Refused(Run(Model(), "dynamic", force), SP_EMODEL, {"--mask dynamic", "schedulers", "full"});
    Refused(Run(Model(kLayerwise), "dynamic", force), SP_EMODEL, {"its mask is layerwise:2,0"});
    Refused(Run(Model(), "layerwise:1,2,3", force), SP_EUSAGE,
            {"--mask layerwise:1,2,3", "3 layers", "has 2"});
  }
}

TEST_F(Mask, WordsThatSayNothingAreRefused) {
  std::string model = Model();
  for (const char *word : {"bidirectional", "Causal", "layerwise", "chunked", "causal:1",
                           "dynamic:2", "model:2", "full,causal"}) {
    Refused(Run(model, word), SP_EUSAGE,
            {"--mask '" + std::string(word) + "'", "model, full, causal, layerwise:R"});
  }
  for (const char *word : {"layerwise:0", "layerwise:33", "layerwise:1,33", "layerwise:x"})
    Refused(Run(model, word), SP_EUSAGE,
            {"--mask '" + std::string(word) + "': R is a whole number from 1 to 32 (0 too"});
  for (const char *word : {"chunked:0", "chunked:1048577", "chunked:2,2"})
    Refused(Run(model, word), SP_EUSAGE,
            {"--mask '" + std::string(word) + "': C is a whole number from 1 to 1048576"});
}

TEST_F(Mask, ASchedulerThatIsAlwaysOnIsLayerwiseAndOneThatIsOffIsCausal) {
  for (const char *dtype : {"f32", "bf16"}) {
    const struct {
      size_t percent;
      const char *same;
    } cases[] = {{100, "layerwise:3"}, {0, "causal"}};
    for (const auto &one : cases) {
      Job job = MakeJob(Model(kDynamic, "3", one.percent));
      job.dtype = dtype;
      Outcome dynamic = Score(job);
      job.mask = one.same;
      job.force_mask = true;
      Outcome fixed = Score(job);
      ASSERT_EQ(dynamic.status, SP_OK) << dynamic.message;
      ASSERT_EQ(fixed.status, SP_OK) << fixed.message;
      EXPECT_TRUE(SameScores(ToTable(dynamic.lines), ToTable(fixed.lines))) << one.same;
    }
  }
}

TEST_F(Mask, ReachOfALayerIsItsOwn) {
  const char *config = R"("lookahead": {"policy": "dynamic", "max": 3, "layers": [0, 3]})";
  std::string model = Model(config, "0,3", 100);
  Outcome dynamic = Run(model), fixed = Run(model, "layerwise:0,3", true);
  ASSERT_EQ(dynamic.status, SP_OK) << dynamic.message;
  EXPECT_TRUE(SameScores(ToTable(dynamic.lines), ToTable(fixed.lines)));
}

TEST_F(Mask, AHiddenLayerAndSpanCellsAreRun) {
  sp_random_model model = TinyModel();
  model.scheduler = "3";
  model.scheduler_hidden = 8;
  std::map<std::string, std::string> lines;
  for (const char *more : {"", R"(, "hidden_act": "relu")", R"(, "cells": "span", "tau": 0.5)"}) {
    const std::string config = R"("lookahead": {"policy": "dynamic", "max": 3, "hidden_size": 8)" +
                               std::string(more) + "}";
    model.config_extra = config.c_str();
    Outcome outcome = Run(MakeModel(scratch_ / "hidden", model));
    ASSERT_EQ(outcome.status, SP_OK) << outcome.message;
    for (const auto &before : lines)
      EXPECT_NE(before.second, outcome.lines) << before.first << " and " << more;
    lines[more] = outcome.lines;
    fs::remove_all(scratch_ / "hidden");
  }
}

// Sets every element of an f32 tensor.
void FillTensor(const std::string &path, const std::string &name, float value) {
  std::string bytes = ReadFile(path);
  uint64_t header = 0;
  memcpy(&header, bytes.data(), sizeof header);
  const std::string key = "\"data_offsets\":[";
  size_t first = 0, last = 0, at = bytes.find(key, bytes.find('"' + name + '"'));
  ASSERT_NE(at, std::string::npos);
  ASSERT_EQ(sscanf(&bytes[at + key.size()], "%zu,%zu]", &first, &last), 2);
  for (size_t i = first; i < last; i += sizeof value)
    memcpy(&bytes[8 + header + i], &value, sizeof value);
  WriteFile(path, bytes);
}

// Every weight of a hidden layer is the largest float: finite, but its outputs are not, and the logits
// are differences of infinities.
TEST_F(Mask, ASchedulerThatGivesNaNIsRefused) {
  sp_random_model options = TinyModel();
  options.config_extra =
      R"("lookahead": {"policy": "dynamic", "max": 3, "hidden_size": 8, "hidden_act": "relu"})";
  options.scheduler = "3";
  options.scheduler_hidden = 8;
  std::string model = MakeModel(scratch_ / "nan", options);
  ASSERT_EQ(Run(model).status, SP_OK);
  FillTensor(model + "/model.safetensors", "bert.encoder.layer.1.lookahead.hidden.weight", FLT_MAX);
  Refused(Run(model), SP_EMODEL,
          {model, "layer 1's lookahead scheduler gives NaN (encoder.layer.1.lookahead)"});
  Job job = MakeJob(model);
  job.out = scratch_ / "run";
  Refused(Score(job), SP_EMODEL, {"NaN"});
  EXPECT_FALSE(fs::exists(job.out + "/_SUCCESS"));
  EXPECT_EQ(CountEnding(job.out, ".done"), 0u);
}

// The words of every layer are apart: the first one that fails is named, by nodes and without.
TEST_F(Mask, TheFirstSchedulerThatGivesNaNIsNamed) {
  sp_random_model options = TinyModel();
  options.config_extra =
      R"("lookahead": {"policy": "dynamic", "max": 3, "hidden_size": 8, "hidden_act": "relu"})";
  options.scheduler = "3";
  options.scheduler_hidden = 8;
  std::string model = MakeModel(scratch_ / "nan", options);
  for (const char *layer : {"0", "1"})
    FillTensor(model + "/model.safetensors",
               "bert.encoder.layer." + std::string(layer) + ".lookahead.hidden.weight", FLT_MAX);
  for (const char *without : {"", "nodes"}) {
    Job job = MakeJob(model);
    job.without = without;
    Refused(Score(job), SP_EMODEL, {model, "layer 0's lookahead scheduler gives NaN"});
  }
}

TEST_F(Mask, WarnsOnceOfAClsRowThatSeesTooLittle) {
  const struct {
    const char *lookahead;
    std::string says;  // nothing: no warning
  } cases[] = {
      {R"("lookahead": {"policy": "causal"})",
       "sees no token, so that all hypotheses get the same"},
      {R"("lookahead": {"policy": "layerwise", "max": 2, "layers": [2, 0]})", "first 2 tokens"},
      {R"("lookahead": {"policy": "layerwise", "max": 1, "layers": [1, 0]})", "first 1 token of"},
      {R"("lookahead": {"policy": "chunked", "chunk": 4})", "first 3 tokens"},
      {R"("lookahead": {"policy": "causal", "cls": "last", "left": 2})", "last 4 tokens"},
      {R"("lookahead": {"policy": "causal", "cls": "last"})", ""},
      {R"("lookahead": {"policy": "causal", "cls_view": "last-layer"})", ""},
      {R"("lookahead": {"policy": "causal", "cls_view": "hidden"})", ""},
      {R"("lookahead": {"policy": "full"})", ""}};
  for (const auto &one : cases) {
    Job job = MakeJob(Model(one.lookahead));
    for (const auto &warnings : {Score(job).warnings, Plan(job).warnings}) {
      ASSERT_EQ(warnings.size(), one.says.empty() ? 0u : 1u) << one.lookahead;
      if (one.says.empty())
        continue;
      EXPECT_NE(warnings[0].find(one.says), std::string::npos) << warnings[0];
      EXPECT_NE(warnings[0].find("\"cls_view\""), std::string::npos) << warnings[0];
    }
    job.methods = "pll,maskless";
    EXPECT_TRUE(Score(job).warnings.empty()) << "nothing scores that row";
  }
}

TEST_F(Mask, IsPartOfARunsIdentity) {
  std::string model = Model();
  Job job = MakeJob(model);
  job.out = scratch_ / "run";
  ASSERT_EQ(Score(job).status, SP_OK);
  EXPECT_NE(ReadFile(job.out + "/run.json").find("\"mask\": \"full\""), std::string::npos)
      << "as runs had it before there were others";
  EXPECT_EQ(ReadFile(job.out + "/run.json").find("force_mask"), std::string::npos);
  job.force_mask = true;
  EXPECT_TRUE(Score(job).summary.already_complete) << "nothing is forced";
  job.mask = "causal";
  Refused(Score(job), SP_EIDENTITY,
          {"mask: the run has \"full\", this command \"causal\"", "force_mask: the run has none"});
  job.out = scratch_ / "causal";
  ASSERT_EQ(Score(job).status, SP_OK);
  const std::string manifest = ReadFile(job.out + "/run.json");
  EXPECT_NE(manifest.find("\"mask\": \"causal\""), std::string::npos);
  EXPECT_NE(manifest.find("\"force_mask\": true"), std::string::npos);
  fs::remove(job.out + "/_SUCCESS");
  job.mask = "chunked:4";
  Refused(Score(job), SP_EIDENTITY, {"mask: the run has \"causal\", this command \"chunked:4\""});
  job.mask = "";
  Refused(Score(job), SP_EIDENTITY, {"force_mask: the run has true, this command none"});
}

TEST_F(Mask, AModelTrainedWithItIsAnotherRunThanAForcedOne) {
  std::string trained = Model(R"("lookahead": {"policy": "causal"})");
  Outcome own = Run(trained), forced = Run(Model(), "causal", true);
  EXPECT_TRUE(SameScores(ToTable(own.lines), ToTable(forced.lines)));
  EXPECT_STRNE(own.summary.signature, forced.summary.signature);
}

TEST_F(Mask, OfManyLayersIsShortInTheSignatureAndWholeInTheIdentity) {
  sp_random_model model = TinyModel();
  model.layers = 24;
  Job job = MakeJob(MakeModel(scratch_ / "deep", model));
  job.methods = "maskless";
  job.out = scratch_ / "run";
  job.force_mask = true;
  for (size_t l = 0; l < model.layers; l++)
    job.mask += (l ? "," : "layerwise:") + std::to_string(10 + l % 3);
  Outcome outcome = Score(job);
  ASSERT_EQ(outcome.status, SP_OK) << outcome.message;
  const std::string signature = outcome.summary.signature;
  EXPECT_NE(signature.find("|mask:layerwise#"), std::string::npos) << signature;
  EXPECT_NE(signature.find("|v:" SP_VERSION), std::string::npos) << "cut: " << signature;
  EXPECT_NE(ReadFile(job.out + "/run.json").find('"' + job.mask + '"'), std::string::npos);
  job.mask.back()--;
  job.out = "-";
  EXPECT_NE(Score(job).summary.signature, signature);
}

}  // namespace
