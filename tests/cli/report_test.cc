// `report`: the numbers of rescore and wer on one page, and what users get wrong.
#include <filesystem>

#include "program.h"

namespace sp_test {
namespace {

class ReportCommandTest : public Workplace {
 protected:
  void SetUp() override {
    std::string archive, scores = "id\ti\tvalue\n";
    for (int u = 0; u < 30; u++) {
      std::string id = "s" + std::to_string(u % 5) + "-" + std::to_string(u);
      archive += "{\"id\":\"" + id +
                 "\",\"ref\":\"a b c\",\"hyps\":[{\"text\":\"a x c\",\"score\":-1},"
                 "{\"text\":\"a b c\",\"score\":-2},{\"text\":\"c\",\"score\":-3}]}\n";
      for (int i = 0; i < 3; i++)
        scores += id + "\t" + std::to_string(i) + "\t-" +
                  std::to_string((u % 3 ? i != 1 : i != 0) ? 5 : 2) + "\n";
    }
    WriteFile(Path("dev.jsonl"), archive);
    WriteFile(Path("lm.tsv"), scores);
  }
  std::string Report(const std::string &rest) const {
    return "report lm=" + Path("lm.tsv") + " --archive " + Path("dev.jsonl") + " " + rest;
  }
  static void Expect(const Said &said, int code, const std::string &part) {
    EXPECT_EQ(said.code, code) << said.err;
    EXPECT_EQ(said.out, "");
    EXPECT_NE(said.err.find(part), std::string::npos) << said.err;
  }
};

TEST_F(ReportCommandTest, HasTheNumbersOfRescoreAndWer) {
  Said said = Program(Report("--weight lm=0.5 --out " + Path("r.html") + " --json"));
  ASSERT_EQ(said.code, 0) << said.err;
  Json summary = ParseJson(said.out);
  ASSERT_EQ(Program("rescore " + Path("dev.jsonl") + " --scores lm=" + Path("lm.tsv") +
                    " --weight lm=0.5 --out " + Path("re.jsonl"))
                .code,
            0);
  Said wer = Program("wer " + Path("re.jsonl") + " --against " + Path("dev.jsonl") + " --json");
  ASSERT_EQ(wer.code, 0) << wer.err;
  Json result = ParseJson(wer.out);
  json_t *run = json_array_get(Member(summary, "runs"), 0);
  json_t *other = json_array_get(Member(result, "against"), 0);
  EXPECT_EQ(json_real_value(json_object_get(run, "rate")),
            json_real_value(Member(result, "result.rate")));
  EXPECT_EQ(json_real_value(Member(summary, "first_pass_rate")),
            json_real_value(json_object_get(other, "rate")));
  EXPECT_EQ(json_real_value(json_object_get(run, "low")),
            json_real_value(json_array_get(Member(result, "interval.block"), 0)));
  EXPECT_EQ(json_real_value(json_object_get(run, "high")),
            json_real_value(json_array_get(Member(result, "interval.block"), 1)));
  EXPECT_EQ(json_real_value(json_object_get(run, "mapsswe_p")),
            json_real_value(json_object_get(json_object_get(other, "mapsswe"), "p")));
  EXPECT_EQ(String(summary, "signature"), String(result, "signature"));
  std::string page = ReadFile(Path("r.html"));
  EXPECT_NE(page.find("33.33 → 11.11 %"), std::string::npos);
}

TEST_F(ReportCommandTest, StandardOutputHasThePageAlone) {
  ASSERT_EQ(Program(Report("--weight lm=0.5 --out " + Path("r.html"))).code, 0);
  Said said = Program(Report("--weight lm=0.5 --out -"));
  EXPECT_EQ(said.code, 0);
  EXPECT_EQ(said.out, ReadFile(Path("r.html")));
  EXPECT_NE(said.err.find("WER"), std::string::npos);
}

TEST_F(ReportCommandTest, SeveralRunsHaveTheirOwnWeights) {
  std::string lm = "lm=" + Path("lm.tsv");
  Said said = Program(Report("--weight lm=0.5:lm=0 --out " + Path("r.html")) + " " + lm);
  ASSERT_EQ(said.code, 0) << said.err;
  std::string page = ReadFile(Path("r.html"));
  EXPECT_NE(page.find("33.33 → 11.11 %"), std::string::npos);
  EXPECT_NE(page.find("33.33 → 33.33 %"), std::string::npos);
  EXPECT_NE(page.find("p, Holm"), std::string::npos);
}

TEST_F(ReportCommandTest, ARunDirectoryTellsItsConfiguration) {
  Workplace::SetUp();
  std::string archive;
  for (int u = 0; u < 6; u++)
    archive += "{\"id\":\"u-" + std::to_string(u) +
               "\",\"ref\":\"stew and carrots\",\"hyps\":[{\"text\":\"stew and\",\"score\":-1},"
               "{\"text\":\"stew and carrots\",\"score\":-2}]}\n";
  WriteFile(Path("dev.jsonl"), archive);
  Said scored = Program(Score("run", "--json"));
  ASSERT_EQ(scored.code, 0) << scored.err;
  WriteFile(Path("score.json"), scored.out);
  Said said =
      Program("report " + Path("run") + " --archive " + Path("dev.jsonl") +
              " --weight pll=0.1 --summary " + Path("score.json") + " --out " + Path("r.html"));
  ASSERT_EQ(said.code, 0) << said.err;
  std::string page = ReadFile(Path("r.html"));
  for (const char *part :
       {"model_hash", "shard_utts", "second:pll=0.1{pll|m:", "archives", "hypotheses a second"})
    EXPECT_NE(page.find(part), std::string::npos) << part;
}

TEST_F(ReportCommandTest, WeightsOfAnotherModelAreSaid) {
  ASSERT_EQ(Program("tune " + Path("dev.jsonl") + " --scores lm=" + Path("lm.tsv") + " --out " +
                    Path("w.json"))
                .code,
            0);
  std::string with = Report("--weights " + Path("w.json") + " --out " + Path("r.html"));
  Said said = Program(with);
  ASSERT_EQ(said.code, 0) << said.err;
  EXPECT_EQ(said.err, "");
  std::string weights = ReadFile(Path("w.json")), none = "\"model_hash\": \"\"";
  ASSERT_NE(weights.find(none), std::string::npos);
  weights.replace(weights.find(none), none.size(), "\"model_hash\": \"0123456789abcdef\"");
  WriteFile(Path("w.json"), weights);
  said = Program(with);
  EXPECT_EQ(said.code, 0);
  EXPECT_NE(said.err.find("tuned for another model"), std::string::npos) << said.err;
}

TEST_F(ReportCommandTest, WeightsTunedUnderAnotherMaskAreSaid) {
  Workplace::SetUp();
  WriteFile(
      Path("dev.jsonl"),
      "{\"id\":\"u-1\",\"ref\":\"stew and carrots\",\"hyps\":[{\"text\":\"stew and\",\"score\":-1},"
      "{\"text\":\"stew and carrots\",\"score\":-2}]}\n");
  ASSERT_EQ(Program(Score("run")).code, 0);
  ASSERT_EQ(Program(Score("causal", "--mask causal --force-mask")).code, 0);
  Said tuned = Program("tune " + Path("dev.jsonl") + " --scores " + Path("run") + " --out " +
                       Path("w.json"));
  ASSERT_EQ(tuned.code, 0) << tuned.err;
  EXPECT_NE(ReadFile(Path("w.json")).find("\"mask\": \"full\"}"), std::string::npos);
  auto use = [&](const std::string &run) {
    return std::vector<Said>{
        Program("report " + Path(run) + " --archive " + Path("dev.jsonl") + " --weights " +
                Path("w.json") + " --out " + Path("r.html")),
        Program("rescore " + Path("dev.jsonl") + " --scores " + Path(run) + " --weights " +
                Path("w.json") + " --out " + Path("best-" + run + ".jsonl"))};
  };
  for (const Said &said : use("run")) {
    EXPECT_EQ(said.code, 0) << said.err;
    EXPECT_EQ(said.err.find("tuned"), std::string::npos) << said.err;
  }
  for (const Said &said : use("causal")) {
    EXPECT_EQ(said.code, 0) << said.err;
    EXPECT_NE(said.err.find("the weight of pll was tuned under the mask full, but "),
              std::string::npos)
        << said.err;
    EXPECT_NE(said.err.find(" was scored under causal forced"), std::string::npos) << said.err;
  }
}

TEST_F(ReportCommandTest, WhatIsMissingIsNamed) {
  std::string lm = "lm=" + Path("lm.tsv"), archive = " --archive " + Path("dev.jsonl");
  Expect(Program("report " + lm + " --weight lm=1 --out x"), 2, "--archive");
  Expect(Program("report " + lm + archive + " --weight lm=1"), 2, "--out");
  Expect(Program("report " + lm + archive + " --out " + Path("x")), 2, "--weight");
  Expect(Program("report" + archive + " --weight lm=1 --out " + Path("x")), 2, "");
  EXPECT_FALSE(std::filesystem::exists(Path("x")));
}

TEST_F(ReportCommandTest, WhatDoesNotFitIsRefused) {
  std::string out = " --out " + Path("x");
  Expect(Program(Report("--weight pll=1" + out)), 2, "pll");
  Expect(Program(Report("--weight lm=1:lm=2:lm=3" + out)), 2, "3 parts for 1 run");
  Expect(Program(Report("--weight lm=1 --weights w.json" + out)), 2, "--weights");
  Expect(Program(Report("--weights " + Path("none.json") + out)), 6, "none.json");
  Expect(Program(Report("--weight lm=1 --summary a,b" + out)), 2, "2 files for 1 run");
  WriteFile(Path("s.json"), "{}");
  Expect(Program(Report("--weight lm=1 --summary " + Path("s.json") + out)), 3, "s.json");
  Expect(Program(Report("--weight lm=1 --block-by house" + out)), 2, "--block-by");
  Expect(Program(Report("--weight lm=1 --block-by prefix:_" + out)), 3, "has no block");
  Expect(Program(Report("--weight lm=1 --normalize nothing" + out)), 2, "nothing");
  Expect(Program(Report("--weight lm=1 --out " + Path("none/x"))), 6, "none");
  Expect(Program(Report("--weight lm=1" + out) + " " + Path("no-run")), 6, "no-run");
  EXPECT_FALSE(std::filesystem::exists(Path("x")));
}

TEST_F(ReportCommandTest, AnArchiveWithoutReferencesIsRefused) {
  WriteFile(Path("dev.jsonl"), "{\"id\":\"s0-0\",\"hyps\":[{\"text\":\"a\",\"score\":-1}]}\n");
  WriteFile(Path("lm.tsv"), "id\ti\tvalue\ns0-0\t0\t-1\n");
  Expect(Program(Report("--weight lm=1 --out " + Path("x"))), 3, "no reference");
  EXPECT_FALSE(std::filesystem::exists(Path("x")));
}

}  // namespace
}  // namespace sp_test
