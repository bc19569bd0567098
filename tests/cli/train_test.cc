// train from end to end: what it makes, what it prints, and how it refuses.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>
#include <sstream>
#include <vector>

#include "program.h"

namespace sp_test {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> Lines(const std::string &text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);)
    lines.push_back(line + "\n");
  return lines;
}

std::set<std::string> Keys(const Json &json) {
  std::set<std::string> keys;
  const char *key;
  json_t *value;
  json_object_foreach(json.get(), key, value) keys.insert(key);
  return keys;
}

size_t Count(const std::string &text, const std::string &part) {
  size_t n = 0;
  for (size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size())
    n++;
  return n;
}

class TrainTest : public Workplace {
 protected:
  void SetUp() override {
    Workplace::SetUp();
    WriteFile(Path("text.txt"), Text(100));
    WriteFile(Path("lists.jsonl"), Lists());
  }

  // Every second word follows from the one before it.
  static std::string Text(int sentences) {
    std::string text;
    for (int i = 0; i < sentences; i++) {
      for (int w = 0; w < 4; w++) {
        int word = (i * 7 + w * 5) % 11;
        text += (w ? " w" : "w") + std::to_string(60 + word) + " w" + std::to_string(80 + word);
      }
      text += "\n";
    }
    return text;
  }
  // The second of three hypotheses is right, the first pass prefers the first.
  static std::string Lists() {
    std::string lines;
    for (int i = 0; i < 40; i++) {
      std::string word = "w" + std::to_string(60 + i % 11) + " w";
      std::string right = word + std::to_string(80 + i % 11),
                  wrong = word + std::to_string(93 + i % 5);
      lines += "{\"id\":\"s" + std::to_string(i) + "\",\"ref\":\"" + right +
               "\",\"hyps\":[{\"text\":\"" + wrong + "\",\"score\":-1.0},{\"text\":\"" + right +
               "\",\"score\":-1.5},{\"text\":\"" + wrong + " w98\",\"score\":-2.5}]}\n";
    }
    return lines;
  }

  // Twelve short steps that hold every tenth item out; the last value of an option counts.
  std::string Train(const std::string &objective, const std::string &run,
                    const std::string &more = "") const {
    std::string data = objective == "mlm" || objective == "distill" ? "text.txt" : "lists.jsonl";
    return "train --objective " + objective + " --out " + Path(run) + " --data " + Path(data) +
           " --threads 1 --dtype f32 --steps 12 --step-tokens 200 --batch-tokens 200 --rate 1e-3"
           " --warmup 2 --eval-every 4 --save-every 5 --holdout-every 10 --progress none " +
           more;
  }
  std::string FromModel(const std::string &objective, const std::string &run,
                        const std::string &more = "") const {
    return Train(objective, run, "--model " + Path("model") + " " + more);
  }
  // A model that no earlier test made: other sizes, other heads.
  std::string Make(const std::string &name, const struct sp_random_model &model) const {
    struct sp_error err = {};
    EXPECT_EQ(sp_random_model_write(&model, Path(name).c_str(), &err), SP_OK) << err.message;
    return Path(name);
  }
  void ScoreText(const std::string &run, const std::string &options = "") const {
    Said said = Program("score --model " + Path("model") + " --dtype f32 --out " + Path(run) + " " +
                        options + " " + Path("text.txt"));
    ASSERT_EQ(said.code, 0) << said.err;
  }
  // Scores of the file by a trained model are finite numbers below 0, or any for cls.
  void ExpectScored(const std::string &run, const std::string &method,
                    const std::string &data) const {
    Said said = Program("score --out - --dtype f32 --method " + method + " --model " +
                        Path(run + "/model") + " " + Path(data));
    ASSERT_EQ(said.code, 0) << said.err;
    for (const std::string &line : Lines(said.out)) {
      Json json = ParseJson(line);
      json_t *hyps = Member(json, "hyps");
      for (size_t i = 0; i < json_array_size(hyps); i++) {
        json_t *score = json_object_get(json_array_get(hyps, i), method.c_str());
        ASSERT_TRUE(json_is_number(score)) << line;
        EXPECT_TRUE(std::isfinite(json_number_value(score))) << line;
      }
    }
    EXPECT_EQ(Lines(said.out).size(), Lines(ReadFile(Path(data))).size());
  }
  std::vector<Json> Steps(const std::string &run) const {
    std::vector<Json> steps;
    for (const std::string &line : Lines(ReadFile(Path(run + "/steps.jsonl"))))
      steps.push_back(ParseJson(line));
    return steps;
  }

  // Refused before the first update: message, exit code, and no directory.
  void ExpectRefused(const std::string &command, int code, const std::string &part,
                     const std::string &run = "run") const {
    Said said = Program(command);
    EXPECT_EQ(said.code, code) << command << "\n" << said.err;
    EXPECT_EQ(said.out, "");
    EXPECT_EQ(said.err.rfind("secondpass: ", 0), 0u) << said.err;
    EXPECT_NE(said.err.find(part), std::string::npos) << part << " not in: " << said.err;
    EXPECT_FALSE(fs::exists(Path(run))) << "left behind by: " << command;
  }
};

// ---- what it makes ----

TEST_F(TrainTest, MlmFromScratchWithAVocabularyOfOurOwn) {
  Said made = Program("vocab --data " + Path("text.txt") + " --size 60 --out " + Path("vocab"));
  ASSERT_EQ(made.code, 0) << made.err;
  size_t pieces = Lines(ReadFile(Path("vocab/vocab.txt"))).size();
  WriteFile(Path("config.json"),
            "{\"architectures\":[\"BertForMaskedLM\"],\"model_type\":\"bert\",\"vocab_size\":" +
                std::to_string(pieces) +
                ",\"hidden_size\":32,\"num_hidden_layers\":2,\"num_attention_heads\":2,"
                "\"intermediate_size\":64,\"max_position_embeddings\":32,\"type_vocab_size\":2,"
                "\"hidden_act\":\"gelu\",\"layer_norm_eps\":1e-12}");
  std::string from = "--config " + Path("config.json") + " --vocab " + Path("vocab");
  Said said = Program(Train("mlm", "run", from + " --steps 40 --rate 5e-3"));
  ASSERT_EQ(said.code, 0) << said.err;
  EXPECT_EQ(said.out, "");
  EXPECT_NE(said.err.find("/run/model is the model of step 40, held-out loss "), std::string::npos)
      << said.err;
  std::vector<Json> steps = Steps("run");
  double first = json_number_value(Member(steps.front(), "loss"));
  double last = json_number_value(Member(steps.back(), "loss"));
  EXPECT_LT(last, 0.8 * first) << "nothing was learned";
  EXPECT_TRUE(fs::exists(Path("run/_SUCCESS")));
  ExpectScored("run", "pll", "text.txt");
}

TEST_F(TrainTest, AStudentIsDistilledFromScoredText) {
  ScoreText("teacher");
  Said said = Program(FromModel("distill", "run", "--init-layers 1 --teacher " + Path("teacher")));
  ASSERT_EQ(said.code, 0) << said.err;
  EXPECT_NE(said.err.find("new, not in " + Path("model") + ": "), std::string::npos) << said.err;
  ExpectScored("run", "cls", "text.txt");
  Json model = ParseJson(Program("model --json " + Path("run/model")).out);
  EXPECT_EQ(Integer(model, "config.layers"), 1);
}

TEST_F(TrainTest, ListsAreLearnedFromByBothLosses) {
  for (const std::string objective : {"mwer", "mwed"}) {
    Said said = Program(FromModel(objective, objective, "--steps 60 --rate 3e-3"));
    ASSERT_EQ(said.code, 0) << said.err;
    ExpectScored(objective, "cls", "lists.jsonl");
    Json last = std::move(Steps(objective).back());
    EXPECT_TRUE(json_is_true(Member(last, "eval")));
    EXPECT_TRUE(json_number_value(Member(last, "first_wer")) == 0.5);
    EXPECT_TRUE(json_number_value(Member(last, "oracle_wer")) == 0);
    EXPECT_TRUE(json_number_value(Member(last, "wer")) < 0.5) << objective;
  }
}

TEST_F(TrainTest, ATeacherOfTheListsIsTheAuxiliaryTerm) {
  Said scored = Program("score --model " + Path("model") + " --dtype f32 --out " + Path("teacher") +
                        " " + Path("lists.jsonl"));
  ASSERT_EQ(scored.code, 0) << scored.err;
  Said said =
      Program(FromModel("mwer", "run", "--distill-weight 0.01 --teacher " + Path("teacher")));
  ASSERT_EQ(said.code, 0) << said.err;
  EXPECT_GT(json_number_value(Member(Steps("run").front(), "distill")), 0);
}

TEST_F(TrainTest, ALookaheadIsLearnedAndOpened) {
  for (const std::string cells : {"independent", "span"}) {
    Said said = Program(FromModel("mlm", cells,
                                  "--lookahead dynamic:3,2 --penalty naive "
                                  "--lookahead-cells " +
                                      cells));
    ASSERT_EQ(said.code, 0) << said.err;
    Json model = ParseJson(Program("model --json " + Path(cells + "/model")).out);
    EXPECT_EQ(String(model, "lookahead.policy"), "dynamic");
    EXPECT_EQ(String(model, "lookahead.cells"), cells);
    ExpectScored(cells, "pll", "text.txt");
    Said masks = Program("masks --json --limit 2 --out " + Path(cells + "-masks") + " --model " +
                         Path(cells + "/model") + " " + Path("text.txt"));
    EXPECT_EQ(masks.code, 0) << masks.err;
    for (const Json &step : Steps(cells)) {
      double settled = json_number_value(Member(step, "settled"));
      EXPECT_TRUE(settled >= 0 && settled <= 1) << settled;
    }
  }
}

TEST_F(TrainTest, Bf16ModelsAreHalfAsLargeAndOpen) {
  ASSERT_EQ(Program(FromModel("mlm", "f32")).code, 0);
  Said said = Program(FromModel("mlm", "bf16", "--save-dtype bf16"));
  ASSERT_EQ(said.code, 0) << said.err;
  double f32 = (double)fs::file_size(Path("f32/model/model.safetensors"));
  double bf16 = (double)fs::file_size(Path("bf16/model/model.safetensors"));
  EXPECT_TRUE(bf16 > 0.45 * f32 && bf16 < 0.6 * f32) << bf16 << " of " << f32;
  EXPECT_NE(ReadFile(Path("bf16/model/model.safetensors")).find("BF16"), std::string::npos);
  ExpectScored("bf16", "pll", "text.txt");
}

TEST_F(TrainTest, ThreadsNeverChangeAByte) {
  ASSERT_EQ(Program(FromModel("mlm", "one")).code, 0);
  ASSERT_EQ(Program(FromModel("mlm", "three", "--threads 3")).code, 0);
  for (const char *name : {"train.json", "model/model.safetensors", "state-00000012.sptrain"})
    EXPECT_TRUE(ReadFile(Path("one/") + name) == ReadFile(Path("three/") + name)) << name;
}

TEST_F(TrainTest, ACompleteRunIsLeftAlone) {
  ASSERT_EQ(Program(FromModel("mlm", "run")).code, 0);
  std::string log = ReadFile(Path("run/steps.jsonl"));
  Said said = Program(FromModel("mlm", "run", "--threads 2"));
  EXPECT_EQ(said.code, 0) << said.err;
  EXPECT_NE(said.err.find("run is complete already"), std::string::npos) << said.err;
  EXPECT_TRUE(ReadFile(Path("run/steps.jsonl")) == log);
}

// ---- what it prints and logs ----

TEST_F(TrainTest, TheSummaryAsJson) {
  Said said = Program(FromModel("mlm", "run", "--json"));
  ASSERT_EQ(said.code, 0) << said.err;
  Json json = ParseJson(said.out);
  EXPECT_EQ(Keys(json),
            (std::set<std::string>{"schema",       "command",   "exit_code",     "error",
                                   "out",          "step",      "resumed_from",  "best_step",
                                   "parameters",   "tokens",    "lists_skipped", "items",
                                   "data_tokens",  "data_hyps", "holdout_items", "holdout_tokens",
                                   "holdout_hyps", "cut",       "left_out",      "without_ref",
                                   "teacher_null", "best_loss", "early"}));
  EXPECT_EQ(String(json, "command"), "train");
  EXPECT_EQ(Integer(json, "step"), 12);
  EXPECT_EQ(Integer(json, "items"), 90);
  EXPECT_EQ(Integer(json, "holdout_items"), 10);
  EXPECT_TRUE(json_number_value(Member(json, "best_loss")) > 0);
}

TEST_F(TrainTest, AFailureAsJson) {
  WriteFile(Path("text.txt"), "");
  Said said = Program(FromModel("mlm", "run", "--json"));
  EXPECT_EQ(said.code, 3);
  Json json = ParseJson(said.out);
  EXPECT_EQ(Integer(json, "exit_code"), 3);
  EXPECT_NE(String(json, "error").find("empty"), std::string::npos);
}

TEST_F(TrainTest, TheLogHasAStepALineAndItsEvaluations) {
  const std::set<std::string> step = {"step", "epoch",  "loss",  "rate",    "norm",
                                      "clip", "tokens", "parts", "seconds", "tokens_per_second"};
  const std::set<std::string> eval = {"eval", "step", "epoch", "loss", "best"};
  const std::set<std::string> lists = {"distill", "skipped"};
  const std::set<std::string> words = {"wer", "first_wer", "oracle_wer"};
  const std::set<std::string> masks = {"latency", "lookahead", "settled"};
  auto with = [](std::set<std::string> a, const std::set<std::string> &b) {
    a.insert(b.begin(), b.end());
    return a;
  };
  struct {
    const char *objective, *options;
    std::set<std::string> step, eval;
  } cases[] = {
      {"mlm", "", step, eval},
      {"mwer", "", with(step, lists), with(eval, words)},
      {"mlm", "--lookahead dynamic:2", with(with(step, masks), {"tau", "penalty"}),
       with(with(eval, masks), {"rounded"})},
  };
  for (const auto &one : cases) {
    std::string run = "run" + std::to_string(&one - cases);
    Said said = Program(FromModel(one.objective, run, one.options));
    ASSERT_EQ(said.code, 0) << said.err;
    std::vector<Json> lines = Steps(run);
    ASSERT_EQ(lines.size(), 12u + 3u);
    json_int_t expected = 0;
    for (const Json &line : lines) {
      bool is_eval = json_object_get(line.get(), "eval") != nullptr;
      EXPECT_EQ(Keys(line), is_eval ? one.eval : one.step);
      expected += !is_eval;
      EXPECT_EQ(Integer(line, "step"), expected);
      EXPECT_TRUE(!is_eval || expected % 4 == 0) << expected;
    }
  }
}

TEST_F(TrainTest, APictureOfTheLosses) {
  Said said = Program(FromModel("mlm", "run", "--plot " + Path("loss.svg")));
  ASSERT_EQ(said.code, 0) << said.err;
  std::string svg = ReadFile(Path("loss.svg"));
  EXPECT_EQ(Count(svg, "class=\"step\""), 12u);
  EXPECT_EQ(Count(svg, "class=\"training\""), 11u) << "pieces of the moving mean";
  EXPECT_EQ(Count(svg, "class=\"held-out\""), 2u + 3u) << "pieces and points";
  EXPECT_EQ(Count(svg, "class=\"axis\""), 2u);
  EXPECT_EQ(Count(svg, "<svg"), 1u);
  EXPECT_EQ(Count(svg, "</svg>"), 1u);
}

TEST_F(TrainTest, ProgressAsJson) {
  Said said = Program(FromModel("mlm", "run", "--progress json"));
  ASSERT_EQ(said.code, 0) << said.err;
  size_t events = 0;
  for (const std::string &line : Lines(said.err)) {
    if (line.rfind("secondpass: ", 0) == 0)
      continue;
    Json json = ParseJson(line);
    EXPECT_EQ(Keys(json),
              (std::set<std::string>{"schema", "event", "step", "steps", "epoch", "loss", "rate",
                                     "tokens_per_second", "seconds_left"}));
    EXPECT_EQ(String(json, "event"), "step");
    EXPECT_EQ(Integer(json, "steps"), 12);
    events++;
  }
  EXPECT_GT(events, 0u) << said.err;
  EXPECT_EQ(said.err.find('\r'), std::string::npos);
}

// ---- how it refuses ----

TEST_F(TrainTest, WhatIsMissingIsNamed) {
  std::string out = "--out " + Path("run"), data = " --data " + Path("text.txt");
  std::string model = " --model " + Path("model"),
              config = " --config " + Path("model/config.json");
  ExpectRefused("train " + out + data + model, 2, "--objective NAME");
  ExpectRefused("train --objective mlm" + data + model, 2, "--out DIR");
  ExpectRefused("train --objective mlm " + out + model, 2, "--data FILE");
  ExpectRefused("train --objective mlm " + out + data, 2, "either --model DIR");
  ExpectRefused("train --objective mlm " + out + data + model + config, 2, "either --model DIR");
  ExpectRefused("train --objective mlm " + out + data + config, 2, "--config needs --vocab DIR");
  ExpectRefused("train --objective none " + out + data + model, 2, "mlm, distill, mwer");
}

TEST_F(TrainTest, ValuesOutOfRangeAreNamed) {
  const struct {
    const char *options, *part;
  } cases[] = {
      {"--mask-split 80,10", "three percentages"},
      {"--mask-split 80,10,20", "three percentages"},
      {"--mask-split 110,-5,-5", "three percentages"},
      {"--lookahead bidi", "--lookahead 'bidi'"},
      {"--lookahead dynamic:33", "--lookahead 'dynamic:33'"},
      {"--lookahead dynamic:", "--lookahead 'dynamic:'"},
      {"--lookahead dynamic", "dynamic:4"},
      {"--lookahead layerwise:1,2,3", "2 layers"},
      {"--init-layers 0,2", "--init-layers '0,2'"},
      {"--init-layers 0,", "--init-layers '0,'"},
      {"--init-layers x", "--init-layers 'x'"},
      {"--init-layers +1", "--init-layers '+1'"},
      {"--max-tokens 65", "--max-tokens is 65; it takes 3 to 64"},
      {"--max-tokens 2", "--max-tokens"},
      {"--beta1 1", "--beta1 is 1"},
      {"--beta2 1", "--beta2 is 1"},
      {"--end-rate 1", "--end-rate is 1"},
      {"--mask-rate 1", "masked tokens"},
      {"--teacher x,,y", "empty name"},
      {"--teacher x", "mlm has no teacher"},
      {"--device abacus", "abacus"},
  };
  for (const auto &one : cases)
    ExpectRefused(FromModel("mlm", "run", one.options), 2, one.part);
}

TEST_F(TrainTest, DataThatNothingCanBeLearnedFrom) {
  WriteFile(Path("empty.txt"), "");
  WriteFile(Path("blank.txt"), "\n \n\n");
  std::string lists = ReadFile(Path("lists.jsonl"));
  for (size_t at; (at = lists.find("\"ref\"")) != std::string::npos;)
    lists.replace(at, 5, "\"was\"");
  WriteFile(Path("bare.jsonl"), lists);
  ExpectRefused(FromModel("mlm", "run", "--data " + Path("empty.txt")), 3, "empty.txt");
  ExpectRefused(FromModel("mlm", "run", "--data " + Path("blank.txt")), 3, "blank.txt");
  ExpectRefused(FromModel("mlm", "run", "--data " + Path("lists.jsonl")), 3, "--format text");
  ExpectRefused(FromModel("mlm", "run", "--data " + Path("none.txt")), 6, "none.txt");
  ExpectRefused(FromModel("mwer", "run", "--data " + Path("bare.jsonl")), 3,
                "no utterance has a reference");
  ExpectRefused(FromModel("mwed", "run", "--data " + Path("bare.jsonl")), 3,
                "no utterance has a reference");
  ExpectRefused(FromModel("mwer", "run", "--data " + Path("text.txt")), 3,
                "no utterance has a reference");
  WriteFile(Path("text.txt"), Text(5) + "w60 \xff\n");
  ExpectRefused(FromModel("mlm", "run"), 3, "text.txt:6");
}

TEST_F(TrainTest, TeachersThatDoNotFit) {
  ExpectRefused(FromModel("distill", "run"), 2, "distill needs a teacher");
  ExpectRefused(FromModel("distill", "run", "--teacher " + Path("none")), 3, Path("none"));
  ScoreText("teacher");
  std::string with = "--teacher " + Path("teacher");
  ExpectRefused(FromModel("distill", "run", with + " --teacher-method cls"), 2, "no score 'cls'");
  fs::rename(Path("teacher/_SUCCESS"), Path("kept"));
  ExpectRefused(FromModel("distill", "run", with), 7, Path("teacher"));
  fs::rename(Path("kept"), Path("teacher/_SUCCESS"));
  WriteFile(Path("text.txt"), Text(101));
  ExpectRefused(FromModel("distill", "run", with), 3, "is not what the teacher scored");
}

TEST_F(TrainTest, ModelsThatDoNotFit) {
  struct sp_random_model other = sp_random_model_default();
  other.vocab = 110;
  std::string vocab = Make("other", other);
  ExpectRefused(FromModel("mlm", "run", "--vocab " + vocab), 4, "110");
  ExpectRefused(Train("mlm", "run", "--config " + Path("model/config.json") + " --vocab " + vocab),
                4, "110");
  other = sp_random_model_default();
  other.arch = SP_RANDOM_CLS;
  ExpectRefused(Train("mlm", "run", "--model " + Make("cls", other)), 4,
                "no masked-language-model head");
  ExpectRefused(Train("mlm", "run", "--model " + Path("none")), 4, Path("none"));
  ExpectRefused(Train("mlm", "run", "--config " + Path("none") + " --vocab " + vocab), 6,
                Path("none"));
  WriteFile(Path("config.json"), "{\"vocab_size\":");
  ExpectRefused(Train("mlm", "run", "--config " + Path("config.json") + " --vocab " + vocab), 4,
                "config.json");
}

TEST_F(TrainTest, ADeviceThatIsNotThere) {
  Json env = ParseJson(Program("env --json").out);
  json_t *cuda = json_object_get(Member(env, "device_list"), "cuda");
  if (json_array_size(cuda) > 0)
    GTEST_SKIP() << "there is a GPU";
  ExpectRefused(FromModel("mlm", "run", "--device cuda"), 5, "device");
}

TEST_F(TrainTest, PlacesThatCannotBeWritten) {
  WriteFile(Path("file"), "");
  ExpectRefused(FromModel("mlm", "none/run"), 6, Path("none/run"), "none");
  ExpectRefused(FromModel("mlm", "file/run"), 6, Path("file/run"), "file/run");
  Said said = Program(FromModel("mlm", "file"));
  EXPECT_EQ(said.code, 6) << said.err;
  EXPECT_EQ(ReadFile(Path("file")), "");
}

TEST_F(TrainTest, APlotThatCannotBeWrittenLosesNothing) {
  Said said = Program(FromModel("mlm", "run", "--plot " + Path("none/loss.svg")));
  EXPECT_EQ(said.code, 6) << said.err;
  EXPECT_NE(said.err.find("none/loss.svg"), std::string::npos) << said.err;
  EXPECT_TRUE(fs::exists(Path("run/_SUCCESS")));
  said = Program(FromModel("mlm", "run", "--plot " + Path("loss.svg")));
  EXPECT_EQ(said.code, 0) << said.err;
  EXPECT_EQ(Count(ReadFile(Path("loss.svg")), "class=\"step\""), 12u) << "drawn from the log";
}

TEST_F(TrainTest, AnotherRunsDirectory) {
  ASSERT_EQ(Program(FromModel("mlm", "run")).code, 0);
  std::string before = ReadFile(Path("run/train.json"));
  std::string vocab = ReadFile(Path("model/vocab.txt"));
  fs::copy(Path("model"), Path("swapped"));
  std::swap(vocab[vocab.find("w70") + 2], vocab[vocab.find("w71") + 2]);
  WriteFile(Path("swapped/vocab.txt"), vocab);
  const struct {
    std::string options, key;
  } cases[] = {{"--rate 2e-3", "'rate'"},
               {"--seed 2", "'seed'"},
               {"--steps 13", "'steps'"},
               {"--lookahead causal", "'lookahead'"},
               {"--save-dtype bf16", "'save_dtype'"},
               {"--mask-split 100,0,0", "'mask_as_mask'"},
               {"--data " + Path("text.txt") + "," + Path("text.txt"), "'files'"},
               {"--vocab " + Path("swapped"), "'config_and_vocabulary'"}};
  for (const auto &one : cases) {
    Said said = Program(FromModel("mlm", "run", one.options));
    EXPECT_EQ(said.code, 2) << one.options << said.err;
    EXPECT_NE(said.err.find(one.key), std::string::npos) << one.key << " not in: " << said.err;
  }
  EXPECT_EQ(ReadFile(Path("run/train.json")), before);
}

TEST_F(TrainTest, ADirectoryOfSomethingElse) {
  ScoreText("run");
  std::string success = ReadFile(Path("run/_SUCCESS"));
  Said said = Program(FromModel("mlm", "run"));
  EXPECT_EQ(said.code, 2) << said.err;
  EXPECT_NE(said.err.find("not empty"), std::string::npos) << said.err;
  EXPECT_EQ(ReadFile(Path("run/_SUCCESS")), success);
  EXPECT_FALSE(fs::exists(Path("run/train.json")));
  EXPECT_EQ(Program("verify " + Path("run")).code, 0);
}

TEST_F(TrainTest, ALockedDirectory) {
  fs::create_directory(Path("run"));
  Said said = Shell("exec 9>" + Path("run/.lock") + "\nflock 9\n$SP " + FromModel("mlm", "run"));
  EXPECT_EQ(said.code, 6) << said.err;
  EXPECT_NE(said.err.find(Path("run")), std::string::npos) << said.err;
  EXPECT_FALSE(fs::exists(Path("run/train.json")));
}

TEST_F(TrainTest, AFileThatMayNotGrow) {
  Said said = Shell("ulimit -f 16\ntrap '' XFSZ\n$SP " + FromModel("mlm", "run"));
  EXPECT_EQ(said.code, 6) << said.err;
  EXPECT_NE(said.err.find(Path("run")), std::string::npos) << said.err;
  EXPECT_FALSE(fs::exists(Path("run/_SUCCESS")));
  said = Program(FromModel("mlm", "run"));
  EXPECT_EQ(said.code, 0) << "the same command goes on: " << said.err;
}

TEST_F(TrainTest, ALossThatIsNotFiniteKeepsTheCheckpoints) {
  Said said = Program(FromModel("mlm", "run", "--rate 1000 --clip 0 --warmup 0 --save-every 1"));
  EXPECT_EQ(said.code, 4) << said.err;
  EXPECT_NE(said.err.find("secondpass: step "), std::string::npos) << said.err;
  EXPECT_NE(said.err.find("text.txt:"), std::string::npos) << said.err;
  EXPECT_FALSE(fs::exists(Path("run/_SUCCESS")));
}

}  // namespace
}  // namespace sp_test
