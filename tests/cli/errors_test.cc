// What can go wrong with files ends in the stated exit code and a message that names the file.
#include <gtest/gtest.h>

#include <filesystem>

#include "program.h"

namespace sp_test {
namespace {

class ErrorsTest : public Workplace {
 protected:
  static void Expect(const Said &said, int code, const std::string &part) {
    EXPECT_EQ(said.code, code) << said.err;
    EXPECT_EQ(said.out, "");
    EXPECT_EQ(said.err.rfind("secondpass: ", 0), 0u) << said.err;
    EXPECT_NE(said.err.find(part), std::string::npos) << said.err;
  }
  std::string ScoreOf(const std::string &model, const std::string &run,
                      const std::string &archive) const {
    return "score --model " + model + " --out " + run + " " + archive;
  }
};

TEST_F(ErrorsTest, AModelThatIsNotThere) {
  Expect(Program(ScoreOf(Path("none"), Path("run"), Path("dev.jsonl"))), 4, Path("none"));
  Expect(Program("model " + Path("none")), 4, Path("none"));
  EXPECT_FALSE(std::filesystem::exists(Path("run")));
}

TEST_F(ErrorsTest, AModelThatIsAFile) {
  Expect(Program("model " + Path("dev.jsonl")), 4, Path("dev.jsonl"));
}

TEST_F(ErrorsTest, AModelWithoutTheHead) {
  Expect(Program(Score("run", "--method cls")), 4, "cls");
  EXPECT_FALSE(std::filesystem::exists(Path("run")));
}

TEST_F(ErrorsTest, AMaskThatTheModelDoesNotHave) {
  Expect(Program(Score("run", "--mask causal")), 2, "trained with full; --force-mask");
  Expect(Program("plan --mask causal --model " + Path("model") + " " + Path("dev.jsonl")), 2,
         "--force-mask");
  Expect(Program(Score("run", "--mask layerwise:1,2,3 --force-mask")), 2, "has 2");
  Expect(Program(Score("run", "--mask dynamic --force-mask")), 4, "schedulers");
  EXPECT_FALSE(std::filesystem::exists(Path("run")));
}

TEST_F(ErrorsTest, ALookaheadThatTheTensorsContradict) {
  struct sp_random_model model = sp_random_model_default();
  struct sp_error err = {};
  model.scheduler = "3";
  ASSERT_EQ(sp_random_model_write(&model, Path("model").c_str(), &err), SP_OK) << err.message;
  Expect(Program(Score("run")), 4, "lookahead.dense.bias contradicts the lookahead policy");
  model.config_extra = R"("lookahead": {"policy": "dynamic", "max": 4})";
  ASSERT_EQ(sp_random_model_write(&model, Path("model").c_str(), &err), SP_OK) << err.message;
  Expect(Program(Score("run")), 4, "has shape (3, 32), the config needs (4, 32)");
  model.scheduler = nullptr;
  ASSERT_EQ(sp_random_model_write(&model, Path("model").c_str(), &err), SP_OK) << err.message;
  Expect(Program("model " + Path("model")), 4, "4 tensors are missing: bert.encoder.layer.0.look");
}

TEST_F(ErrorsTest, AVocabularyOfTheWrongSize) {
  WriteFile(Path("model/vocab.txt"), ReadFile(Path("model/vocab.txt")) + "onemore\n");
  Expect(Program("model " + Path("model")), 4, "101");
  Expect(Program(Score("run")), 4, "101");
}

TEST_F(ErrorsTest, AnArchiveThatIsNotThere) {
  Expect(Program(ScoreOf(Path("model"), Path("run"), Path("none.jsonl"))), 6, Path("none.jsonl"));
  EXPECT_FALSE(std::filesystem::exists(Path("run")));
}

TEST_F(ErrorsTest, AnArchiveWithABrokenLine) {
  WriteFile(Path("dev.jsonl"), Archive(2) + "{\"id\":\"x\",\"hyps\":[\n");
  Expect(Program(Score("run")), 3, Path("dev.jsonl") + ":3");
  Expect(Program("plan --model " + Path("model") + " " + Path("dev.jsonl")), 3, ":3");
  EXPECT_FALSE(std::filesystem::exists(Path("run")));
}

TEST_F(ErrorsTest, ARunDirectoryThatCannotBeMade) {
  WriteFile(Path("file"), "");
  Expect(Program(Score("file/run")), 6, Path("file/run"));
  Expect(Program(Score("file")), 6, Path("file"));
  Expect(Program(Score("none/run")), 6, Path("none/run"));
}

TEST_F(ErrorsTest, ARunDirectoryThatCannotBeMadeIsToldBeforeTheArchiveIsRead) {
  WriteFile(Path("dev.jsonl"), "{\"id\":\n");  // which would be exit code 3
  Expect(Program(Score("missing/dir/run")), 6, Path("missing/dir/run"));
  EXPECT_FALSE(std::filesystem::exists(Path("missing")));
}

TEST_F(ErrorsTest, AnIndexThatIsTooLarge) {
  const std::string index = Path("model/model.safetensors.index.json");
  std::filesystem::remove(Path("model/model.safetensors"));
  WriteFile(index, "{\"weight_map\":{");
  std::filesystem::resize_file(index, 70000000);
  Expect(Program("model " + Path("model")), 4, index);
  Expect(Program(Score("run")), 4, index);
  EXPECT_FALSE(std::filesystem::exists(Path("run")));
}

TEST_F(ErrorsTest, AMarkerWithoutItsShard) {
  ASSERT_EQ(Program(Score("run", "--shard-utts 10")).code, 0);
  std::string all = Program("cat " + Path("run")).out;
  const std::string shard = Path("run/scores-00002-of-00004.jsonl.zst");
  ASSERT_TRUE(std::filesystem::remove(shard));
  for (const char *command : {"cat ", "cat --partial "}) {
    Said said = Program(command + Path("run"));
    EXPECT_EQ(said.code, 3);
    EXPECT_NE(said.err.find(shard), std::string::npos) << said.err;
    EXPECT_EQ(all.substr(0, said.out.size()), said.out) << "what lies before it is printed";
  }
}

TEST_F(ErrorsTest, AnUnknownDevice) {
  Expect(Program(Score("run", "--device abacus")), 2, "abacus");
}

TEST_F(ErrorsTest, TooLongWithOnLongError) {
  std::string text = "{\"id\":\"long\",\"hyps\":[{\"text\":\"";
  for (int i = 0; i < 200; i++)
    text += "be ";
  WriteFile(Path("dev.jsonl"), text + "\"}]}\n");
  Expect(Program(Score("run", "--on-long error")), 3, "long");
  EXPECT_FALSE(std::filesystem::exists(Path("run")));
}

TEST_F(ErrorsTest, NoRunDirectory) {
  Expect(Program("verify " + Path("none")), 3, Path("none"));
  Expect(Program("cat " + Path("none")), 3, Path("none"));
  Expect(Program("cat " + Path("model")), 3, "run.json");
}

TEST_F(ErrorsTest, AFullStandardOutput) {
  for (const char *command : {"env", "env --json", "help", "--version"}) {
    Expect(Shell("$SP " + std::string(command) + " >/dev/full"), 6, "No space left");
  }
  Expect(Shell("$SP " + Score("-") + " >/dev/full"), 6, "No space left");
}

TEST_F(ErrorsTest, AClosedStandardOutput) {
  Expect(Shell("$SP env >&-"), 6, "standard output");
  Expect(Shell("$SP " + Score("-") + " >&-"), 6, "standard output");
}

TEST_F(ErrorsTest, AClosedStandardErrorLeavesTheFilesAlone) {
  EXPECT_EQ(Shell("$SP " + Score("run", "--shard-utts 4") + " 2>&-").code, 0);
  EXPECT_EQ(Program("verify " + Path("run")).code, 0);
}

TEST_F(ErrorsTest, AFileSizeLimit) {
  WriteFile(Path("dev.jsonl"), Archive(4000));
  Said said = Shell("ulimit -f 2\n$SP " + Score("run"));
  EXPECT_EQ(said.code, 6) << said.err;
  EXPECT_NE(said.err.find("File too large"), std::string::npos) << said.err;
  EXPECT_NE(Program("verify " + Path("run")).code, 0);
}

}  // namespace
}  // namespace sp_test
