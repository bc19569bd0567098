#include <jansson.h>

#include <cmath>
#include <filesystem>
#include <map>

#include "data_fixture.h"
#include "run_manifest.h"
#include "score_line.h"
#include "shard.h"
#include "source.h"

namespace {

struct Scored {
  std::string id;
  std::vector<float> pll;  // NaN: null
};

class ListData : public sp_test::DataTest {
 protected:
  void SetUp() override {
    DataTest::SetUp();
    settings_.max_tokens = 8;
  }

  static std::string Line(const std::string &id, const char *ref,
                          const std::vector<std::string> &texts) {
    std::string line = "{\"id\":\"" + id + "\"";
    line += ref ? std::string(",\"ref\":\"") + ref + "\"" : "";
    line += ",\"hyps\":[";
    for (size_t i = 0; i < texts.size(); i++)
      line += std::string(i ? "," : "") + "{\"text\":\"" + texts[i] + "\",\"score\":-" +
              std::to_string(i + 1) + ",\"ctc\":-0.5}";
    return line + "]}\n";
  }
  // Three utterances: of 3, 2 and 1 hypotheses.
  std::string Archive(const std::string &name = "a.jsonl") {
    return File(name, Line("u1", "w1 w2 w3", {"w1 w2 w3", "w1 w9", "w2 w2 w3 w4"}) +
                          Line("u2", "w5", {"w5 w6", "w5"}) + Line("u3", nullptr, {"w7"}));
  }

  // A finished run of one shard that says it read `files`.
  std::string Run(const std::string &name, const std::vector<std::string> &files,
                  const std::vector<Scored> &utts, const char *methods = "pll") {
    std::string run = scratch_ / name;
    std::filesystem::create_directory(run);
    json_t *inputs = json_array();
    for (const std::string &file : files) {
      sp_source *source = nullptr;
      sp_file_digest digest{};
      EXPECT_EQ(sp_source_open(file.c_str(), &source, &err_), SP_OK);
      EXPECT_EQ(sp_source_digest(source, &digest, &err_), SP_OK);
      sp_source_close(source);
      json_array_append_new(inputs, json_pack("{s:s}", "xxh128", digest.xxh128));
    }
    size_t hyps = 0;
    for (const Scored &utt : utts)
      hyps += utt.pll.size();
    json_t *manifest = json_pack("{s:{s:i,s:i,s:s,s:s,s:o},s:{s:i,s:i,s:s}}", "identity", "shards",
                                 1, "shard_utts", 100, "method", methods, "model_hash", "00",
                                 "inputs", inputs, "info", "utts", static_cast<int>(utts.size()),
                                 "hyps", static_cast<int>(hyps), "signature", "s");
    EXPECT_EQ(sp_run_manifest_write(run.c_str(), manifest, &err_), SP_OK) << err_.message;
    json_decref(manifest);
    WriteShard(run, utts,
               std::string(methods) == "pll" ? 1u << SP_PLL : 1u << SP_PLL | 1u << SP_CLS);
    EXPECT_EQ(sp_run_success_write(run.c_str(), 1, &err_), SP_OK) << err_.message;
    return run;
  }
  void WriteShard(const std::string &run, const std::vector<Scored> &utts, unsigned methods) {
    sp_shard_writer *writer = nullptr;
    ASSERT_EQ(sp_shard_writer_create(run.c_str(), 0, 1, &writer, &err_), SP_OK);
    for (const Scored &utt : utts) {
      std::vector<sp_hyp_score> hyps(utt.pll.size());
      for (size_t i = 0; i < hyps.size(); i++) {
        hyps[i] = sp_hyp_score{};
        hyps[i].rank = static_cast<uint32_t>(i);
        hyps[i].score[SP_PLL] = utt.pll[i];
        hyps[i].score[SP_CLS] = utt.pll[i] / 2;
        hyps[i].flag = std::isnan(utt.pll[i]) ? SP_FLAG_TOO_LONG : SP_FLAG_NONE;
      }
      sp_buf line{};
      sp_text id{utt.id.data(), utt.id.size()};
      ASSERT_EQ(sp_score_line_write(&line, id, hyps.data(), hyps.size(), methods, &err_), SP_OK);
      ASSERT_EQ(sp_shard_writer_append(writer, {line.data, line.len}, id, hyps.size(), 0, &err_),
                SP_OK);
      sp_buf_release(&line);
    }
    ASSERT_EQ(sp_shard_writer_publish(writer, &err_), SP_OK) << err_.message;
  }
  // All lists of an epoch, by the id of their utterance.
  std::map<std::string, Batch> Lists(size_t budget = 1) {
    std::map<std::string, Batch> lists;
    for (sp_train_position at{}; at.epoch == 0;) {
      Batch batch = Next(&at, budget);
      EXPECT_EQ(batch.list_start.size(), 2u);
      lists[Name(false, batch.item[0])] = batch;
    }
    return lists;
  }
  const std::vector<Scored> scores_ = {
      {"u1", {-1.5f, -2.5f, -3.5f}}, {"u2", {-4.5f, -5.5f}}, {"u3", {-6.5f}}};
};

TEST_F(ListData, ListsHaveTheirScoresAndErrors) {
  ASSERT_EQ(Open(SP_OBJECTIVE_MWER, {Archive()}), SP_OK) << err_.message;
  EXPECT_EQ(Counts().items, 2u);
  EXPECT_EQ(Counts().hyps, 5u);
  EXPECT_EQ(Counts().tokens, 12u);
  EXPECT_EQ(Counts().without_ref, 1u);
  auto lists = Lists();
  const Batch &one = lists.at("u1"), &two = lists.at("u2");
  EXPECT_EQ(one.list_start, (std::vector<uint32_t>{0, 3}));
  EXPECT_EQ(Text(one, 0), "[CLS] w1 w2 w3 [SEP]");
  EXPECT_EQ(Text(one, 2), "[CLS] w2 w2 w3 w4 [SEP]");
  EXPECT_EQ(one.first_pass, (std::vector<float>{-1, -2, -3}));
  EXPECT_EQ(one.errors, (std::vector<float>{0, 2, 2}));
  EXPECT_EQ(one.ref_words, (std::vector<float>{3}));
  EXPECT_EQ(two.errors, (std::vector<float>{1, 0}));
  EXPECT_TRUE(one.teacher.empty());
  EXPECT_TRUE(one.target_row.empty());
  EXPECT_EQ(one.positions[5], 0u);
}

TEST_F(ListData, RatesAndNamedScoresAndFirstHypotheses) {
  settings_.error_rates = true;
  settings_.first_pass = "ctc";
  settings_.max_hyps = 2;
  ASSERT_EQ(Open(SP_OBJECTIVE_MWED, {Archive()}), SP_OK) << err_.message;
  const Batch one = Lists().at("u1");
  EXPECT_EQ(one.errors, (std::vector<float>{0, 2.0f / 3}));
  EXPECT_EQ(one.first_pass, (std::vector<float>{-0.5f, -0.5f}));
}

TEST_F(ListData, AListIsNeverSplit) {
  ASSERT_EQ(Open(SP_OBJECTIVE_MWER, {Archive()}), SP_OK);
  size_t tokens, sequences, targets;
  sp_train_data_limits(data_, 7, &tokens, &sequences, &targets);
  EXPECT_EQ(tokens, 15u);  // of u1
  EXPECT_EQ(sequences, 3u);
  EXPECT_EQ(targets, 0u);
  sp_train_position at{};
  Batch both = Next(&at, 100);
  EXPECT_EQ(both.list_start.size(), 3u);
  EXPECT_EQ(both.list_start.back(), 5u);
  EXPECT_EQ(at.epoch, 1u);
}

TEST_F(ListData, EmptyAndLongHypothesesAreLeftOut) {
  std::string file = File("a.jsonl", Line("u1", "w1", {"w1 w1 w1 w1 w1 w1 w1", "", "w2", "w1"}) +
                                         Line("u2", "w1", {"", " "}) + Line("u3", "w1", {}));
  ASSERT_EQ(Open(SP_OBJECTIVE_MWER, {file}), SP_OK) << err_.message;
  EXPECT_EQ(Counts().items, 1u);
  EXPECT_EQ(Counts().left_out, 5u);  // two of u1, two of u2, u3
  const Batch one = Lists().at("u1");
  EXPECT_EQ(one.first_pass, (std::vector<float>{-3, -4}));
  EXPECT_EQ(one.errors, (std::vector<float>{1, 0}));
}

TEST_F(ListData, ATeacherIsReadInStep) {
  std::string file = Archive();
  std::vector<Scored> scores = scores_;
  scores[0].pll[1] = std::nanf("");
  ASSERT_EQ(Open(SP_OBJECTIVE_DISTILL, {file}, {Run("run", {file}, scores)}), SP_OK)
      << err_.message;
  EXPECT_EQ(Counts().items, 3u);  // references are not needed
  EXPECT_EQ(Counts().teacher_null, 1u);
  auto lists = Lists();
  EXPECT_EQ(lists.at("u1").teacher[0], -1.5f);
  EXPECT_TRUE(std::isnan(lists.at("u1").teacher[1]));
  EXPECT_EQ(lists.at("u1").teacher[2], -3.5f);
  EXPECT_EQ(lists.at("u3").teacher[0], -6.5f);
  EXPECT_TRUE(lists.at("u1").errors.empty());
  EXPECT_TRUE(lists.at("u1").first_pass.empty());
}

TEST_F(ListData, ListsWithoutAnyTeacherScoreAreNoUseToDistill) {
  std::string file = Archive();
  std::vector<Scored> scores = scores_;
  scores[1].pll = {std::nanf(""), std::nanf("")};
  std::string run = Run("run", {file}, scores);
  ASSERT_EQ(Open(SP_OBJECTIVE_DISTILL, {file}, {run}), SP_OK);
  EXPECT_EQ(Counts().items, 2u);
  EXPECT_EQ(Counts().left_out, 2u);
  ASSERT_EQ(Open(SP_OBJECTIVE_MWER, {file}, {run}), SP_OK);  // an auxiliary term may lack it
  EXPECT_EQ(Counts().items, 2u);
  EXPECT_EQ(Counts().teacher_null, 2u);
  EXPECT_EQ(Lists().at("u1").teacher, (std::vector<float>{-1.5f, -2.5f, -3.5f}));
}

TEST_F(ListData, PlainTextHasTheIdsThatScoreGivesIt) {
  std::string a = File("a.txt", "w1 w2\n\nw3\n"), b = File("b.txt", "w4\nw5\n");
  float nan = std::nanf("");
  // One run of both files counts on; a run a file begins anew.
  std::string both =
      Run("both", {a, b}, {{"1", {-1}}, {"2", {nan}}, {"3", {-3}}, {"4", {-4}}, {"5", {-5}}});
  std::string one = Run("one", {a}, {{"1", {-1}}, {"2", {nan}}, {"3", {-3}}});
  std::string two = Run("two", {b}, {{"1", {-4}}, {"2", {-5}}});
  for (const auto &runs : {std::vector<std::string>{both}, {one, two}, {two, one}}) {
    ASSERT_EQ(Open(SP_OBJECTIVE_DISTILL, {a, b}, runs), SP_OK) << err_.message;
    EXPECT_EQ(Counts().items, 4u);
    sp_train_position at{};
    Batch batch = Next(&at, 100);
    for (size_t s = 0; s < 4; s++) {
      std::string text = Text(batch, s);
      float wanted = text == "[CLS] w1 w2 [SEP]" ? -1 : -static_cast<float>(text[7] - '0');
      EXPECT_EQ(batch.teacher[s], wanted) << text;
    }
  }
}

TEST_F(ListData, HeldOutUtterancesAndFiles) {
  std::string file = Archive();
  settings_.holdout_every = 2;
  ASSERT_EQ(Open(SP_OBJECTIVE_MWER, {file}), SP_OK);
  EXPECT_EQ(Counts().items, 1u);
  EXPECT_EQ(Counts().holdout_hyps, 2u);
  EXPECT_EQ(Name(true, 0), "u2");
  std::string other = File("b.jsonl", Line("x", "w1 w1", {"w1"}));
  settings_.holdout_every = 0;
  std::string run = Run("run", {file}, scores_), held = Run("held", {other}, {{"x", {-7}}});
  ASSERT_EQ(Open(SP_OBJECTIVE_DISTILL, {file}, {run}, {other}, {held}), SP_OK) << err_.message;
  EXPECT_EQ(Holdout(10).at(0).teacher, (std::vector<float>{-7}));
  ASSERT_EQ(Open(SP_OBJECTIVE_MWER, {file}, {run}, {other}), SP_OK);
  EXPECT_TRUE(Holdout(10).at(0).teacher.empty());
  EXPECT_EQ(Holdout(10).at(0).errors, (std::vector<float>{1}));
}

TEST_F(ListData, OnlyNamedIdsAreTaken) {
  std::string file = Archive(), ids = File("ids", "u2\n\nu1 \nu2\n");
  settings_.only_ids = ids.c_str();
  ASSERT_EQ(Open(SP_OBJECTIVE_DISTILL, {file}, {Run("run", {file}, scores_)}), SP_OK)
      << err_.message;
  EXPECT_EQ(Counts().items, 2u);
  EXPECT_EQ(Lists().count("u3"), 0u);
  File("ids", "u2\nu9\nu8\n");
  ExpectFault(Open(SP_OBJECTIVE_MWER, {file}), SP_EINPUT,
              "ids:2: no utterance of the data has the id 'u9'");
  File("ids", "\n");
  ExpectFault(Open(SP_OBJECTIVE_MWER, {file}), SP_EINPUT, "names no utterance");
}

TEST_F(ListData, DataThatCannotBeTrainedOnIsNamed) {
  std::string none = File("none.jsonl", Line("u1", nullptr, {"w1"}));
  ExpectFault(Open(SP_OBJECTIVE_MWER, {none}), SP_EINPUT, "no utterance has a reference");
  ExpectFault(Open(SP_OBJECTIVE_MWED, {none}), SP_EINPUT, "mwed");
  ExpectFault(Open(SP_OBJECTIVE_MWER, {File("empty.jsonl", "")}), SP_EINPUT, "empty.jsonl");
  ExpectFault(
      Open(SP_OBJECTIVE_MWER, {File("twice.jsonl", Line("u", "a", {"a"}) + Line("u", "a", {"a"}))}),
      SP_EINPUT, "twice.jsonl:2: the id 'u' occurs twice");
  ExpectFault(Open(SP_OBJECTIVE_MWER, {File("bad.jsonl", Line("u", "a", {"a"}) + "{\"id\"\n")}),
              SP_EINPUT, "bad.jsonl:2");
  ExpectFault(Open(SP_OBJECTIVE_DISTILL, {Archive()}), SP_EUSAGE, "needs a teacher");
  settings_.first_pass = "lm";
  ExpectFault(Open(SP_OBJECTIVE_MWER, {Archive()}), SP_EINPUT,
              "no hypothesis has the first-pass score 'lm'");
}

TEST_F(ListData, TeachersOfAnotherArchiveAreRefused) {
  std::string file = Archive(), other = File("b.jsonl", Line("u1", "w1", {"w1"}));
  std::string elsewhere = Run("elsewhere", {other}, {{"u1", {-1}}});
  ExpectFault(Open(SP_OBJECTIVE_DISTILL, {file}, {elsewhere}), SP_EINPUT,
              "is not what the teacher scored");
  ExpectFault(Open(SP_OBJECTIVE_DISTILL, {file}, {Run("good", {file}, scores_), elsewhere}),
              SP_EINPUT, "elsewhere scored none of the files");
  auto scores = scores_;
  scores[1].id = "u7";
  ExpectFault(Open(SP_OBJECTIVE_DISTILL, {file}, {Run("id", {file}, scores)}), SP_EINPUT,
              "a.jsonl:2: " + (scratch_ / "id") + " has scores of 'u7' where the data has 'u2'");
  scores = scores_;
  scores[0].pll.pop_back();
  ExpectFault(Open(SP_OBJECTIVE_DISTILL, {file}, {Run("length", {file}, scores)}), SP_EINPUT,
              "a.jsonl:1: 'u1' has 3 hypotheses");
  scores = scores_;
  scores.pop_back();
  ExpectFault(Open(SP_OBJECTIVE_DISTILL, {file}, {Run("short", {file}, scores)}), SP_EINPUT,
              "ends before 'u3'");
  scores = scores_;
  scores.push_back({"u4", {-1}});
  ExpectFault(Open(SP_OBJECTIVE_DISTILL, {file}, {Run("long", {file}, scores)}), SP_EINPUT,
              "goes on with 'u4'");
}

TEST_F(ListData, TheTeachersScoreIsChosen) {
  std::string file = Archive(), run = Run("run", {file}, scores_, "pll,cls");
  ExpectFault(Open(SP_OBJECTIVE_DISTILL, {file}, {run}), SP_EUSAGE, "several scores");
  settings_.teacher_method = "maskless";
  ExpectFault(Open(SP_OBJECTIVE_DISTILL, {file}, {run}), SP_EUSAGE, "has no score 'maskless'");
  settings_.teacher_method = "cls";
  ASSERT_EQ(Open(SP_OBJECTIVE_DISTILL, {file}, {run}), SP_OK) << err_.message;
  EXPECT_EQ(Lists().at("u3").teacher, (std::vector<float>{-3.25f}));
}

}  // namespace
