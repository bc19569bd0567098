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

}  // namespace
}  // namespace sp_test
