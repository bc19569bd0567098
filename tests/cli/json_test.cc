// --json prints one object with stable keys, also when the command fails.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <tuple>

#include "tables.h"

namespace sp_test {
namespace {

class JsonTest : public Workplace {
 protected:
  static void ExpectHead(const Json &json, const std::string &command) {
    EXPECT_EQ(Integer(json, "schema"), 1);
    EXPECT_EQ(String(json, "command"), command);
    EXPECT_EQ(Integer(json, "exit_code"), 0);
    EXPECT_TRUE(json_is_null(Member(json, "error")));
  }
};

TEST_F(JsonTest, Env) {
  Json json = ParseJson(Program("env --json").out);
  ExpectHead(json, "env");
  EXPECT_EQ(String(json, "build.version"), SP_VERSION);
  EXPECT_NE(String(json, "build.compiler"), "");
  EXPECT_NE(String(json, "build.sanitizers"), "");
  EXPECT_EQ(String(json, "libraries.zstd").substr(0, 2), "1.");
  EXPECT_GE(Integer(json, "cpu.usable"), 1);
  EXPECT_GE(Integer(json, "cpu.processors"), Integer(json, "cpu.usable"));
  EXPECT_GT(Integer(json, "memory_bytes"), 1 << 20);
  EXPECT_STREQ(json_string_value(json_array_get(Member(json, "devices"), 0)), "cpu");
  json_t *cpus = Member(json, "device_list.cpu");
  ASSERT_EQ(json_array_size(cpus), 1u);
  const std::string cpu = json_string_value(json_array_get(cpus, 0));
  EXPECT_EQ(cpu.rfind("cpu " + String(json, "cpu.isa"), 0), 0u) << cpu;
}

TEST_F(JsonTest, Model) {
  Json json = ParseJson(Program("model --json " + Path("model")).out);
  ExpectHead(json, "model");
  EXPECT_EQ(String(json, "architecture"), "BertForMaskedLM");
  EXPECT_EQ(Integer(json, "config.layers"), 2);
  EXPECT_EQ(Integer(json, "config.hidden"), 32);
  EXPECT_EQ(Integer(json, "config.heads"), 2);
  EXPECT_EQ(Integer(json, "config.ffn"), 64);
  EXPECT_EQ(Integer(json, "config.vocab_size"), 100);
  EXPECT_EQ(Integer(json, "config.max_positions"), 64);
  EXPECT_EQ(String(json, "config.activation"), "gelu");
  EXPECT_EQ(String(json, "hash").size(), 32u);
  EXPECT_TRUE(json_is_true(Member(json, "heads.mlm")));
  EXPECT_TRUE(json_is_false(Member(json, "heads.cls")));
  EXPECT_TRUE(json_is_true(Member(json, "heads.tied_decoder")));
  EXPECT_TRUE(json_is_true(Member(json, "methods.pll.available")));
  EXPECT_TRUE(json_is_null(Member(json, "methods.pll.missing")));
  EXPECT_TRUE(json_is_false(Member(json, "methods.cls.available")));
  EXPECT_EQ(String(json, "methods.cls.missing"), "a scalar head");
  EXPECT_EQ(String(json, "tokenizer.kind"), "WordPiece");
  EXPECT_EQ(Integer(json, "tokenizer.pieces"), 100);
  EXPECT_EQ(Integer(json, "tokenizer.mask"), 4);
  EXPECT_EQ(Integer(json, "tokenizer.padding_ids"), 0);
  EXPECT_EQ(Integer(json, "tokenizer.max_tokens"), 62);
  EXPECT_EQ(json_array_size(Member(json, "ignored_tensors")), 0u);
  EXPECT_EQ(String(json, "lookahead.policy"), "full");
  EXPECT_EQ(json_array_size(Member(json, "lookahead.reach")), 0u);
  EXPECT_EQ(Integer(json, "lookahead.scheduler_parameters"), 0);
}

TEST_F(JsonTest, ModelWithALookahead) {
  struct sp_random_model model = sp_random_model_default();
  model.scheduler = "3,0";
  model.scheduler_hidden = 8;
  model.config_extra =
      R"("lookahead": {"policy": "dynamic", "max": 4, "layers": [3, 0], "left": 7, "cells": "span",
         "tau": 0.5, "hidden_size": 8, "hidden_act": "relu", "cls": "last", "cls_view": "hidden"})";
  struct sp_error err = {};
  ASSERT_EQ(sp_random_model_write(&model, Path("dynamic").c_str(), &err), SP_OK) << err.message;
  Json json = ParseJson(Program("model --json " + Path("dynamic")).out);
  EXPECT_EQ(String(json, "lookahead.mask"), "dynamic:3,0 left:7 span:0.5 cls:last,hidden");
  EXPECT_EQ(String(json, "lookahead.policy"), "dynamic");
  ASSERT_EQ(json_array_size(Member(json, "lookahead.reach")), 2u);
  EXPECT_EQ(json_integer_value(json_array_get(Member(json, "lookahead.reach"), 0)), 3);
  EXPECT_EQ(json_integer_value(json_array_get(Member(json, "lookahead.reach"), 1)), 0);
  EXPECT_EQ(Integer(json, "lookahead.left"), 7);
  EXPECT_EQ(String(json, "lookahead.cls"), "last");
  EXPECT_EQ(String(json, "lookahead.cls_view"), "hidden");
  EXPECT_EQ(String(json, "lookahead.cells"), "span");
  EXPECT_EQ(json_real_value(Member(json, "lookahead.tau")), 0.5);
  EXPECT_EQ(Integer(json, "lookahead.scheduler_hidden"), 8);
  EXPECT_EQ(Integer(json, "lookahead.scheduler_parameters"), 8 * 33 + 3 * 9);
  EXPECT_EQ(json_array_size(Member(json, "ignored_tensors")), 0u);
  const std::string text = Program("model " + Path("dynamic")).out;
  for (const char *row :
       {"lookahead                  dynamic:3,0; 7 past positions\n",
        "cls row                    last, sees everything, and no other row sees it\n",
        "schedulers                 291 parameters, span cells, hidden layer of 8 (relu)\n"})
    EXPECT_NE(text.find(row), std::string::npos) << text;
}

TEST_F(JsonTest, ModelWhoseClsRowSeesLittle) {
  struct sp_random_model model = sp_random_model_default();
  struct sp_error err = {};
  const char *const cases[][2] = {
      {R"("lookahead": {"policy": "causal"})", "any row: nothing of the text\n"},
      {R"("lookahead": {"policy": "layerwise", "max": 3})", "any row: the first 6 tokens at most\n"},
      {R"("lookahead": {"policy": "causal", "cls": "last"})", "last, sees no more than any row\n"}};
  for (const auto &one : cases) {
    model.config_extra = one[0];
    const std::string directory = Path("cls" + std::to_string(&one - cases));
    ASSERT_EQ(sp_random_model_write(&model, directory.c_str(), &err), SP_OK) << err.message;
    const std::string text = Program("model " + directory).out;
    EXPECT_NE(text.find(one[1]), std::string::npos) << text;
  }
}

TEST_F(JsonTest, ModelWithBothHeadsAndExtraTensors) {
  struct sp_random_model model = sp_random_model_default();
  model.arch = SP_RANDOM_BOTH;
  model.pooler = true;
  model.extra = true;
  struct sp_error err = {};
  ASSERT_EQ(sp_random_model_write(&model, Path("both").c_str(), &err), SP_OK) << err.message;
  Json json = ParseJson(Program("model --json " + Path("both")).out);
  EXPECT_TRUE(json_is_true(Member(json, "heads.mlm")));
  EXPECT_TRUE(json_is_true(Member(json, "heads.cls")));
  EXPECT_TRUE(json_is_true(Member(json, "heads.pooler")));
  for (const char *method : {"pll", "pll_l2r", "cls", "maskless"}) {
    EXPECT_TRUE(json_is_true(Member(json, std::string("methods.") + method + ".available")));
  }
  EXPECT_GT(json_array_size(Member(json, "ignored_tensors")), 0u);
}

TEST_F(JsonTest, TrailingPaddingIdsAreCounted) {
  std::string vocabulary = ReadFile(Path("model/vocab.txt"));
  vocabulary.resize(vocabulary.rfind('\n', vocabulary.size() - 2) + 1);
  WriteFile(Path("model/vocab.txt"), vocabulary);
  Json json = ParseJson(Program("model --json " + Path("model")).out);
  EXPECT_EQ(Integer(json, "tokenizer.pieces"), 99);
  EXPECT_EQ(Integer(json, "tokenizer.padding_ids"), 1);
}

TEST_F(JsonTest, Plan) {
  Json json = ParseJson(
      Program("plan --json --model " + Path("model") + " --shard-utts 16 " + Path("dev.jsonl"))
          .out);
  ExpectHead(json, "plan");
  EXPECT_EQ(String(json, "format"), "jsonl");
  EXPECT_EQ(Integer(json, "counts.utts"), 40);
  EXPECT_EQ(Integer(json, "counts.hyps"), 120);
  EXPECT_GT(Integer(json, "counts.tokens"), 120);
  EXPECT_GE(Integer(json, "counts.copies"), Integer(json, "counts.sequences"));
  EXPECT_EQ(Integer(json, "counts.too_long"), 0);
  EXPECT_EQ(Integer(json, "counts.without_ref"), 40);
  EXPECT_EQ(Integer(json, "shards"), 3);
  EXPECT_GT(json_real_value(Member(json, "counts.flops")), 0);
  EXPECT_GT(json_real_value(Member(json, "estimated_seconds")), 0);
  EXPECT_GT(Integer(json, "memory_bytes"), 0);
  EXPECT_EQ(Integer(json, "devices"), 1);
  EXPECT_EQ(String(json, "mask"), "full");
  EXPECT_TRUE(json_is_false(Member(json, "mask_forced")));
  EXPECT_EQ(Integer(json, "device_bytes"), 0) << "the processors have none of their own";
}

TEST_F(JsonTest, BenchEngine) {
  Said said = Program(
      "bench engine --json --seconds 1 --device cpu --dtype f32 --length 6 --hyps 4"
      " --model " +
      Path("model"));
  ASSERT_EQ(said.code, 0) << said.err;
  Json json = ParseJson(said.out);
  ExpectHead(json, "bench engine");
  EXPECT_EQ(Integer(json, "devices"), 1);
  EXPECT_EQ(Integer(json, "sequences"), 16);
  EXPECT_GT(Integer(json, "batch_tokens"), 0);
  EXPECT_GT(json_real_value(Member(json, "copies_per_s")), 0);
}

TEST_F(JsonTest, BenchSavings) {
  const std::string command =
      "bench savings --dtype f32 --length 12 --hyps 8 --seconds 1 --model " + Path("model") + " ";
  Json full = ParseJson(Program(command + "--json").out);
  ExpectHead(full, "bench savings");
  EXPECT_EQ(String(full, "mask"), "full");
  EXPECT_TRUE(json_is_null(Member(full, "nodes")));
  EXPECT_EQ(Integer(full, "computed_nodes"), Integer(full, "plain_nodes"));
  Json causal = ParseJson(Program(command + "--json --mask causal --force-mask").out);
  EXPECT_EQ(String(causal, "mask"), "causal");
  for (const char *saving : {"head", "trim", "pack", "dedupe", "nodes"})
    EXPECT_GT(json_real_value(Member(causal, saving)), 0) << saving;
  EXPECT_GT(Integer(causal, "computed_nodes"), 0);
  EXPECT_LT(2 * Integer(causal, "computed_nodes"), Integer(causal, "plain_nodes"));
  EXPECT_NE(Program(command).out.find("does not apply"), std::string::npos);
  EXPECT_NE(Program(command + "--mask causal").err.find("--force-mask"), std::string::npos);
}

// The products alone run on batches of sequences, which a lookahead model's own are not.
TEST_F(JsonTest, BenchEngineOfALookaheadModel) {
  struct sp_random_model model = sp_random_model_default();
  model.config_extra = R"("lookahead": {"policy": "causal"})";
  struct sp_error err = {};
  ASSERT_EQ(sp_random_model_write(&model, Path("causal").c_str(), &err), SP_OK) << err.message;
  Said said = Program(
      "bench engine --json --seconds 1 --dtype f32 --length 40 --hyps 40 --batch-tokens 100 "
      "--model " +
      Path("causal"));
  ASSERT_EQ(said.code, 0) << said.err;
  EXPECT_GT(json_real_value(Member(ParseJson(said.out), "copies_per_s")), 0);
}

TEST_F(JsonTest, BenchLists) {
  const std::string command = "bench lists --dtype f32 --threads 2 --model " + Path("model") + " ";
  Said said = Program(command + "--json --method pll,maskless " + Path("dev.jsonl"));
  ASSERT_EQ(said.code, 0) << said.err;
  Json json = ParseJson(said.out);
  ExpectHead(json, "bench lists");
  EXPECT_EQ(Integer(json, "lists"), 40);
  EXPECT_EQ(Integer(json, "hyps"), 120);
  Json plan = ParseJson(Program("plan --json --model " + Path("model") + " " + Path("dev.jsonl")).out);
  EXPECT_EQ(Integer(json, "tokens"), Integer(plan, "counts.tokens")) << "the warm-up is left out";
  EXPECT_EQ(String(json, "mask"), "full");
  double least = 0;
  for (const char *at : {"p50", "p95", "p99", "max"}) {
    double value = json_real_value(Member(json, std::string("list_ms.") + at));
    EXPECT_TRUE(value > 0 && value >= least) << at;
    least = value;
  }
  double mean = json_real_value(Member(json, "list_ms.mean"));
  double rate = json_real_value(Member(json, "hyps_per_second"));
  EXPECT_TRUE(mean > 0 && mean <= least);
  EXPECT_TRUE(std::abs(rate * mean * 40 / 1e3 - 120) <= 1e-6) << rate << " " << mean;
  Said limited = Program(command + "--limit 1 --batch-tokens 1 " + Path("dev.jsonl"));
  ASSERT_EQ(limited.code, 0) << limited.err;
  EXPECT_NE(limited.out.find("1 list, 3 hypotheses"), std::string::npos) << limited.out;
  EXPECT_NE(limited.out.find("p99"), std::string::npos);
}

TEST_F(JsonTest, BenchListsRefuses) {
  const std::string command = "bench lists --model " + Path("model") + " ";
  WriteFile(Path("none.jsonl"), "{\"id\":\"x\",\"hyps\":[]}\n");
  for (auto [arguments, code, reason] :
       {std::tuple(std::string(), 2, "an ARCHIVE is missing"),
        std::tuple("--shard-utts 3 " + Path("dev.jsonl"), 2, "every list is scored alone"),
        std::tuple("--method cls " + Path("dev.jsonl"), 4, "cls"),
        std::tuple(Path("none.jsonl"), 3, "nothing to score")}) {
    Said said = Program(command + arguments);
    EXPECT_EQ(said.code, code) << arguments << said.err;
    EXPECT_NE(said.err.find(reason), std::string::npos) << said.err;
  }
  EXPECT_EQ(Program("bench lists " + Path("dev.jsonl")).code, 2);
}

TEST_F(JsonTest, BenchReplay) {
  Said said = Program(
      "bench replay --json --dtype f32 --length 9 --hyps 4 --period 2 --mask causal --force-mask"
      " --model " +
      Path("model"));
  ASSERT_EQ(said.code, 0) << said.err;
  Json json = ParseJson(said.out);
  ExpectHead(json, "bench replay");
  EXPECT_EQ(String(json, "mask"), "causal");
  EXPECT_TRUE(json_is_true(Member(json, "mask_forced")));
  EXPECT_EQ(Integer(json, "sentences"), 4);
  EXPECT_EQ(Integer(json, "positions"), 36);
  EXPECT_EQ(json_real_value(Member(json, "period_ms")), 2.0);
  EXPECT_GT(json_real_value(Member(json, "nodes_per_period")), 0);
  EXPECT_GT(json_real_value(Member(json, "measured.last_output_ms.mean")), 0);
}

// The fastest step of the run is the model's capacity, so that no load of the machine undoes the bound.
TEST_F(JsonTest, BenchReplayIsNeverFasterThanItsModel) {
  for (const char *mask : {"full", "causal", "layerwise:1", "chunked:4"}) {
    for (const char *period : {"0.001", "0.05", "2"}) {
      Said said = Program(std::string("bench replay --json --dtype f32 --length 21 --hyps 10 ") +
                          "--force-mask --mask " + mask + " --period " + period + " --model " +
                          Path("model"));
      ASSERT_EQ(said.code, 0) << said.err;
      Json json = ParseJson(said.out);
      for (const char *of : {"upl_ms", "last_output_ms"})
        for (const char *what : {"mean", "p50", "p99", "max"}) {
          std::string name = std::string(".") + of + "." + what;
          double modelled = json_real_value(Member(json, "modelled" + name));
          double measured = json_real_value(Member(json, "measured" + name));
          EXPECT_TRUE(modelled <= measured * (1 + 1e-9) + 1e-9)
              << mask << " " << period << name << " " << modelled << " " << measured;
        }
    }
  }
}

TEST_F(JsonTest, BenchReplaySaysWhatIsForced) {
  std::string line = "bench replay --dtype f32 --length 9 --hyps 1 --model " + Path("model");
  Said said = Program(line + " --mask layerwise:1 --force-mask");
  ASSERT_EQ(said.code, 0) << said.err;
  EXPECT_NE(said.out.find("layerwise:1 (forced)\n"), std::string::npos) << said.out;
  EXPECT_NE(said.out.find("1 sentence, 9 positions"), std::string::npos) << said.out;
  EXPECT_TRUE(json_is_false(Member(ParseJson(Program(line + " --json").out), "mask_forced")));
  EXPECT_EQ(Program(line).out.find("(forced)"), std::string::npos);
}

TEST_F(JsonTest, ScoreWithLatency) {
  const std::string options =
      "--latency --mask chunked:2 --force-mask --capacity 2.5 --key-cost 0.01";
  Said said = Program(Score("run", "--json " + options));
  ASSERT_EQ(said.code, 0) << said.err;
  Json json = ParseJson(said.out);
  EXPECT_EQ(json_real_value(Member(json, "latency.max")), 1.0);
  EXPECT_EQ(json_real_value(Member(json, "latency.capacity")), 2.5);
  EXPECT_EQ(Integer(json, "latency.outputs"), Integer(json, "counts.tokens"));
  Json without = ParseJson(Program(Score("other", "--json")).out);
  EXPECT_TRUE(json_is_null(Member(without, "latency")));
  Json line = ParseJson(Shell("$SP cat " + Path("run") + " | head -1").out);
  EXPECT_TRUE(json_is_object(Member(line, "latency")));
  EXPECT_EQ(Program("verify " + Path("run")).code, 0);
  Said text = Program(Score("run", options));
  EXPECT_NE(text.err.find("is complete already"), std::string::npos);
  EXPECT_NE(text.err.find("secondpass: latency: mean "), std::string::npos) << text.err;
  EXPECT_NE(text.err.find("user-perceived latency: mean "), std::string::npos);
}

TEST_F(JsonTest, ScoreWithLatencyAtTheDefaultCosts) {
  const std::string zero = "--json --latency --key-cost 0 --scheduler-cost -0";
  Json given = ParseJson(Program(Score("run", zero)).out);
  Json again = ParseJson(Program(Score("run", "--json --latency")).out);
  EXPECT_EQ(json_real_value(Member(given, "latency.key_cost")), 0.0);
  EXPECT_TRUE(json_is_true(Member(again, "already_complete"))) << "the same costs, the same run";
}

TEST_F(JsonTest, ScoreWithLatencyOfNothing) {
  WriteFile(Path("dev.jsonl"), "{\"id\":\"a\",\"hyps\":[{\"text\":\"\"}]}\n");
  Said said = Program(Score("run", "--latency"));
  ASSERT_EQ(said.code, 0) << said.err;
  EXPECT_NE(said.err.find("latency: no outputs"), std::string::npos) << said.err;
  EXPECT_EQ(said.err.find("nan"), std::string::npos) << said.err;
  Json json = ParseJson(Program(Score("other", "--latency --json")).out);
  EXPECT_EQ(Integer(json, "latency.outputs"), 0);
  for (const char *key : {"mean", "max", "clipped_mean", "upl_mean", "upl_max"})
    EXPECT_TRUE(json_is_null(Member(json, std::string("latency.") + key))) << key;
}

TEST_F(JsonTest, ScoreAndVerify) {
  Said said = Program(Score("run", "--json --shard-utts 16 --dtype f32"));
  ASSERT_EQ(said.code, 0) << said.err;
  Json json = ParseJson(said.out);
  ExpectHead(json, "score");
  EXPECT_EQ(String(json, "out"), Path("run"));
  EXPECT_EQ(String(json, "dtype"), "f32");
  EXPECT_EQ(Integer(json, "threads"), 2);
  EXPECT_EQ(Integer(json, "devices"), 1);
  EXPECT_EQ(String(json, "mask"), "full");
  EXPECT_TRUE(json_is_false(Member(json, "mask_forced")));
  EXPECT_EQ(Integer(json, "devices_lost"), 0);
  EXPECT_EQ(Integer(json, "shards"), 3);
  EXPECT_EQ(Integer(json, "shards_resumed"), 0);
  EXPECT_EQ(Integer(json, "counts.hyps"), 120);
  EXPECT_TRUE(json_is_false(Member(json, "already_complete")));
  EXPECT_NE(String(json, "signature").find("pll"), std::string::npos);

  Json verified = ParseJson(Program("verify --json " + Path("run")).out);
  ExpectHead(verified, "verify");
  EXPECT_TRUE(json_is_true(Member(verified, "complete")));
  EXPECT_EQ(Integer(verified, "shards"), 3);
  EXPECT_EQ(Integer(verified, "utts"), 40);
  EXPECT_EQ(Integer(verified, "hyps"), 120);
  EXPECT_EQ(Integer(verified, "zst_bytes"), Integer(json, "zst_bytes"));

  Json again = ParseJson(Program(Score("run", "--json --shard-utts 16 --dtype f32")).out);
  EXPECT_TRUE(json_is_true(Member(again, "already_complete")));
}

TEST_F(JsonTest, GoesToStandardErrorWhenScoresTakeStandardOutput) {
  Said said = Program(Score("-", "--json --progress none"));
  ASSERT_EQ(said.code, 0) << said.err;
  EXPECT_EQ(std::count(said.out.begin(), said.out.end(), '\n'), 40);
  EXPECT_EQ(Integer(ParseJson(said.err), "counts.hyps"), 120);
}

TEST_F(JsonTest, AFailureIsAnObjectToo) {
  for (const std::string command : {"model", "verify"}) {
    Said said = Program(command + " --json " + Path("none"));
    Json json = ParseJson(said.out);
    EXPECT_EQ(Integer(json, "exit_code"), said.code);
    EXPECT_NE(String(json, "error").find(Path("none")), std::string::npos);
    EXPECT_EQ(said.err, "secondpass: " + String(json, "error") + "\n");
  }
  Said said = Program("score --json --model " + Path("none") + " --out " + Path("run") + " " +
                      Path("dev.jsonl"));
  EXPECT_EQ(said.code, 4);
  EXPECT_EQ(Integer(ParseJson(said.out), "exit_code"), 4);
}

// Scores are JSON already, and pages, scripts and help are texts; all else has --json.
TEST_F(JsonTest, EveryResultCanBeAnObject) {
  for (const std::string &command : CommandsBelow()) {
    std::string help = Program("help " + command).out;
    bool text = command == "" || command == "bench" || command == "cat" || command == "help" ||
                command == "man" || command == "completion";
    EXPECT_EQ(help.find("\n  --json ") == std::string::npos, text) << command;
  }
}

TEST_F(JsonTest, AFailedBenchIsAnObjectToo) {
  for (const std::string command : {"engine --length 5", "savings --length 5", "masks --length 5",
                                    "replay --length 5", "io dev.jsonl", "lists dev.jsonl"}) {
    Said said = Program("bench " + command + " --json --model " + Path("none"));
    EXPECT_EQ(said.code, 4);
    Json json = ParseJson(said.out);
    EXPECT_EQ(String(json, "command"), "bench " + command.substr(0, command.find(' ')));
    EXPECT_EQ(Integer(json, "exit_code"), 4);
    EXPECT_EQ(said.err, "secondpass: " + String(json, "error") + "\n");
  }
}

TEST_F(JsonTest, BenchMasksTimesADynamicModelUnderItsOwnToo) {
  const char *const fixed[] = {"causal", "layerwise:1", "layerwise:5", "chunked:5", "chunked:10"};
  struct sp_random_model model = sp_random_model_default();
  model.scheduler = "3,2";
  model.config_extra = R"("lookahead": {"policy": "dynamic", "max": 3, "layers": [3, 2]})";
  struct sp_error err = {};
  ASSERT_EQ(sp_random_model_write(&model, Path("dynamic").c_str(), &err), SP_OK) << err.message;
  for (const std::string name : {"model", "dynamic"}) {
    Json json = ParseJson(
        Program("bench masks --json --length 8 --hyps 4 --seconds 1 --model " + Path(name)).out);
    for (const char *policy : fixed)
      EXPECT_GT(json_real_value(Member(json, policy)), 0) << policy;
    for (const char *policy : {"dynamic", "layerwise:3,2"}) {
      json_t *ratio = json_object_get(json.get(), policy);
      EXPECT_EQ(ratio != nullptr, name == "dynamic") << policy;
    }
  }
}

TEST_F(JsonTest, BenchIo) {
  Said said =
      Program("bench io --json --repeat 2 --model " + Path("model") + " " + Path("dev.jsonl"));
  ASSERT_EQ(said.code, 0) << said.err;
  Json json = ParseJson(said.out);
  ExpectHead(json, "bench io");
  EXPECT_EQ(Integer(json, "hyps"), 120);
  EXPECT_GT(Integer(json, "tokens"), 120);
  EXPECT_GT(Integer(json, "zst_bytes"), 0);
  for (const char *stage : {"read", "read_tokenize", "all"}) {
    EXPECT_GT(json_real_value(Member(json, std::string(stage) + ".hyps_per_second")), 0);
  }
}

}  // namespace
}  // namespace sp_test
