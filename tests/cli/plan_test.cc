// What `plan --list` names.
#include "program.h"

namespace sp_test {
namespace {

class PlanList : public Workplace {};

TEST_F(PlanList, NamesWhatIsNotScoredOnItsOwn) {
  std::string long_text = "a";
  for (int i = 0; i < 70; i++)
    long_text += " b";  // 71 words for a model of 64 positions
  WriteFile(scratch_ / "odd.jsonl",
            R"({"id":"one","hyps":[{"text":"a b"},{"text":"A B"},{"text":""},{"text":")" +
                long_text + "\"}]}\n" + R"({"id":"two","hyps":[{"text":"a b"},{"text":"b a"}]})" +
                "\n");
  std::string command = "plan --list --model " + Path("model") + " " + Path("odd.jsonl");
  Said said = Program(command);
  ASSERT_EQ(said.code, 0) << said.err;
  const std::string names =
      "duplicate\tone\t1\nempty\tone\t2\ntoo_long\tone\t3\nduplicate\ttwo\t0\n";
  ASSERT_GE(said.out.size(), names.size());
  EXPECT_EQ(said.out.substr(said.out.size() - names.size()), names);

  Json json = ParseJson(Program(command + " --json").out);
  json_t *list = Member(json, "list");
  ASSERT_EQ(json_array_size(list), 4u);
  EXPECT_STREQ(json_string_value(json_object_get(json_array_get(list, 2), "what")), "too_long");
  EXPECT_EQ(json_integer_value(json_object_get(json_array_get(list, 2), "i")), 3);

  Said truncated = Program(command + " --on-long truncate");
  EXPECT_NE(truncated.out.find("\ntruncated\tone\t3\n"), std::string::npos) << truncated.out;
}

TEST_F(PlanList, SaysWhereSchedulersDecide) {
  struct sp_random_model model = sp_random_model_default();
  struct sp_error err = {};
  model.config_extra = R"("lookahead": {"policy": "dynamic", "max": 1})";
  model.scheduler = "1";
  ASSERT_EQ(sp_random_model_write(&model, Path("dynamic").c_str(), &err), SP_OK) << err.message;
  const std::string rest = " " + Path("dev.jsonl");
  Said table = Program("plan --model " + Path("dynamic") + rest);
  ASSERT_EQ(table.code, 0) << table.err;
  for (const char *label : {"nodes computed, at most ", "head, at most ", "at most 1", "FLOP"})
    EXPECT_NE(table.out.find(label), std::string::npos) << label << "\n" << table.out;
  Json bound = ParseJson(Program("plan --json --model " + Path("dynamic") + rest).out);
  EXPECT_TRUE(json_is_true(Member(bound, "nodes_bound")));
  const struct {
    std::string model, options;
  } exact[] = {
      {"dynamic", "--without nodes"}, {"dynamic", "--mask causal --force-mask"}, {"model", ""}};
  for (const auto &one : exact) {
    const std::string command = "plan " + one.options + " --model " + Path(one.model) + rest;
    EXPECT_EQ(Program(command).out.find("at most"), std::string::npos) << command;
    EXPECT_TRUE(json_is_false(Member(ParseJson(Program(command + " --json").out), "nodes_bound")));
  }
}

class PlanDescribe : public Workplace {
 protected:
  void SetUp() override {
    Workplace::SetUp();
    WriteFile(scratch_ / "d.json",
              R"({"secondpass_description":1,"utterances":100000000,"hypotheses":10,
                  "lengths":"librispeech-10best"})");
  }
  std::string Command() { return "plan --model " + Path("model") + " --describe " + Path("d.json"); }
};

TEST_F(PlanDescribe, SaysWhatABillionTakes) {
  Said said = Program(Command() + " --devices 1024 --device-flops 4e14");
  ASSERT_EQ(said.code, 0) << said.err;
  for (const char *part : {"1,000,000,000", "1,024 of 4e+14 FLOP/s", "validating pass", "run directory",
                           "plan.jsonl.zst", "head: ids", "more in $TMPDIR"})
    EXPECT_NE(said.out.find(part), std::string::npos) << part << "\n" << said.out;
  Json json = ParseJson(Program(Command() + " --devices 1024 --device-flops 4e14 --json").out);
  EXPECT_EQ(Integer(json, "counts.hyps"), 1000000000);
  EXPECT_EQ(String(json, "format"), "described");
  EXPECT_EQ(Integer(json, "described.devices"), 1024);
  EXPECT_GT(Integer(json, "described.run_bytes"), 1000000000);
  EXPECT_GT(json_real_value(Member(json, "described.score_seconds")), 0);
}

TEST_F(PlanDescribe, MeasuresThisMachine) {
  Json json = ParseJson(Program(Command() + " --threads 1 --json").out);
  EXPECT_GT(json_real_value(Member(json, "measured_flops")), 0);
  EXPECT_GT(Integer(json, "described.head_bytes"), Integer(json, "described.head_ids_bytes"));
  Said said = Program(Command() + " --threads 1");
  EXPECT_NE(said.out.find("head, all"), std::string::npos) << said.out;
}

TEST_F(PlanDescribe, WrongUsesAreNamed) {
  const struct {
    std::string arguments, said;
  } cases[] = {{"plan --model m --devices 4 a.jsonl", "--devices needs --describe FILE"},
               {"plan --model m --device-flops 4 a.jsonl", "--device-flops needs --describe FILE"},
               {Command() + " a.jsonl", "'a.jsonl' is too much"},
               {Command() + " --list", "--list does not go with --describe"},
               {"plan --describe " + Path("d.json"), "no model directory"}};
  for (const auto &one : cases) {
    Said said = Program(one.arguments);
    EXPECT_EQ(said.code, 2) << one.arguments;
    EXPECT_NE(said.err.find(one.said), std::string::npos) << said.err;
  }
  WriteFile(scratch_ / "d.json", "{}");
  Said said = Program(Command() + " --json");
  EXPECT_EQ(said.code, 3);
  EXPECT_NE(said.err.find("secondpass_description is not 1"), std::string::npos) << said.err;
  EXPECT_EQ(Integer(ParseJson(said.out), "exit_code"), 3);
}

}  // namespace
}  // namespace sp_test
