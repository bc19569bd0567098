// model_test.cc - models that cannot do what is asked, and paths with odd names.
#include <filesystem>

#include "engine_fixture.h"

namespace {

using namespace sp_test;
namespace fs = std::filesystem;

class Model : public testing::Test {
 protected:
  void SetUp() override {
    WriteFile(scratch_ / "a.jsonl", ToJsonl({{"u", {"ab c", "x"}}}));
  }

  Outcome Run(const std::string &model, const std::string &methods = "pll") {
    Job job;
    job.model = model;
    job.archives = {scratch_ / "a.jsonl"};
    job.out = "-";
    job.methods = methods;
    return Score(job);
  }
  void Refused(const Outcome &outcome, const std::vector<std::string> &words) {
    EXPECT_EQ(outcome.status, SP_EMODEL) << outcome.message;
    for (const std::string &word : words) {
      EXPECT_NE(outcome.message.find(word), std::string::npos) << outcome.message;
    }
  }
  // A model of 300 ids whose vocabulary has `pieces`.
  std::string WithPieces(size_t pieces) {
    sp_random_model options = TinyModel();
    options.vocab = 300;
    std::string model = MakeModel(scratch_ / std::to_string(pieces), options);
    std::string text;
    for (size_t i = 0, at = 0; i < 300; i++) {
      std::string all = i == 0 ? vocab_ = ReadFile(model + "/vocab.txt") : "";
      size_t end = vocab_.find('\n', at) + 1;
      if (i < pieces)
        text += vocab_.substr(at, end - at);
      at = end;
    }
    for (size_t i = 300; i < pieces; i++)
      text += "more" + std::to_string(i) + "\n";
    WriteFile(model + "/vocab.txt", text);
    return model;
  }

  Scratch scratch_;
  std::string vocab_;
};

TEST_F(Model, VocabularyOfTheRightSize) {
  Outcome outcome = Run(WithPieces(300));
  EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
  EXPECT_TRUE(outcome.warnings.empty());
}

TEST_F(Model, UpTo127PaddingIdsAreReported) {
  for (size_t missing : {1u, 127u}) {
    Outcome outcome = Run(WithPieces(300 - missing));
    EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
    ASSERT_EQ(outcome.warnings.size(), 1u);
    EXPECT_NE(outcome.warnings[0].find(std::to_string(missing) + " padding ids"), std::string::npos)
        << outcome.warnings[0];
  }
}

TEST_F(Model, VocabularyOfAnotherSizeIsRefused) {
  Refused(Run(WithPieces(172)), {"172", "300", "vocab.txt"});
  Refused(Run(WithPieces(301)), {"301", "300", "vocab.txt"});
}

TEST_F(Model, AMissingHeadIsNamedWithTheMethod) {
  sp_random_model options = TinyModel();
  options.arch = SP_RANDOM_MLM;
  std::string mlm = MakeModel(scratch_ / "mlm", options);
  Refused(Run(mlm, "pll,cls"), {"cls"});
  options.arch = SP_RANDOM_CLS;
  std::string cls = MakeModel(scratch_ / "cls", options);
  Refused(Run(cls, "pll"), {"pll"});
  Refused(Run(cls, "cls,maskless"), {"maskless"});
  EXPECT_EQ(Run(cls, "cls").status, SP_OK);
}

TEST_F(Model, NoDirectoryAndNoModel) {
  Outcome outcome = Run(scratch_ / "none");
  EXPECT_NE(outcome.status, SP_OK);
  EXPECT_NE(outcome.message.find("none"), std::string::npos) << outcome.message;
  fs::create_directory(scratch_ / "empty");
  EXPECT_NE(Run(scratch_ / "empty").status, SP_OK);
}

// File names are bytes; run.json is UTF-8.
TEST_F(Model, PathsThatAreNoUtf8) {
  const std::string model = MakeModel(scratch_ / "caf\xe9"), archive = scratch_ / "\xff\xfe.jsonl";
  WriteFile(archive, ToJsonl({{"u", {"ab c"}}}));
  Job job;
  job.model = model;
  job.archives = {archive};
  job.out = scratch_ / "r\xfcn";
  for (int round = 0; round < 2; round++) {
    Outcome outcome = Score(job);
    ASSERT_EQ(outcome.status, SP_OK) << outcome.message;
    EXPECT_EQ(outcome.summary.already_complete, round == 1);
  }
}

}  // namespace
