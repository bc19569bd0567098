#include "config.h"

#include <gtest/gtest.h>
#include <jansson.h>

#include <cstring>
#include <string>

#include "scratch.h"

namespace {

using sp_test::Scratch;
using sp_test::WriteFile;

sp_status Parse(const std::string &json, sp_model_config *config, sp_error *err) {
  return sp_model_config_parse({json.data(), json.size()}, "config.json", config, err);
}

std::string With(const std::string &members) {
  return R"({"model_type":"bert","architectures":["BertForMaskedLM"])" +
         (members.empty() ? "" : "," + members) + "}";
}

TEST(Config, AbsentKeysHaveTheDefaultsOfBert) {
  sp_model_config config;
  sp_error err{};
  ASSERT_EQ(Parse(With(""), &config, &err), SP_OK) << err.message;
  EXPECT_EQ(config.arch, SP_BERT_MLM);
  EXPECT_STREQ(config.arch_text, "BertForMaskedLM");
  EXPECT_EQ(config.layers, 12u);
  EXPECT_EQ(config.hidden, 768u);
  EXPECT_EQ(config.heads, 12u);
  EXPECT_EQ(config.head_dim, 64u);
  EXPECT_EQ(config.ffn, 3072u);
  EXPECT_EQ(config.vocab_size, 30522u);
  EXPECT_EQ(config.max_positions, 512u);
  EXPECT_EQ(config.type_vocab, 2u);
  EXPECT_EQ(config.act, SP_ACT_GELU_ERF);
  EXPECT_EQ(config.classifier_act, SP_ACT_TANH);
  EXPECT_EQ(config.layer_norm_eps, 1e-12f);
  EXPECT_TRUE(config.tied);
  EXPECT_EQ(config.score_kind, SP_SCORE_LOGPROB);
  EXPECT_FALSE(config.has_score_kind);
  EXPECT_STREQ(config.dtype_text, "");
}

TEST(Config, ReadsEveryKey) {
  sp_model_config config;
  sp_error err{};
  ASSERT_EQ(Parse(R"({"model_type":"bert","architectures":["BertForSequenceClassification"],
      "num_hidden_layers":3,"hidden_size":104,"num_attention_heads":4,"intermediate_size":99,
      "vocab_size":321,"max_position_embeddings":77,"type_vocab_size":1,"hidden_act":"relu",
      "classifier_act":"gelu","layer_norm_eps":1e-5,"tie_word_embeddings":false,
      "score_kind":"cost","torch_dtype":"bfloat16","head_dim":26,"embedding_size":104,
      "position_embedding_type":"absolute","is_decoder":false,"pruned_heads":{},
      "quantization_config":null,"num_labels":1,"problem_type":"regression",
      "chunk_size_feed_forward":3,"id2label":{"0":"x"}})",
                  &config, &err),
            SP_OK)
      << err.message;
  EXPECT_EQ(config.arch, SP_BERT_CLS);
  EXPECT_EQ(config.layers, 3u);
  EXPECT_EQ(config.hidden, 104u);
  EXPECT_EQ(config.head_dim, 26u);
  EXPECT_EQ(config.ffn, 99u);
  EXPECT_EQ(config.vocab_size, 321u);
  EXPECT_EQ(config.max_positions, 77u);
  EXPECT_EQ(config.type_vocab, 1u);
  EXPECT_EQ(config.act, SP_ACT_RELU);
  EXPECT_EQ(config.classifier_act, SP_ACT_GELU_ERF);
  EXPECT_EQ(config.layer_norm_eps, 1e-5f);
  EXPECT_FALSE(config.tied);
  EXPECT_EQ(config.score_kind, SP_SCORE_COST);
  EXPECT_TRUE(config.has_score_kind);
  EXPECT_STREQ(config.dtype_text, "bfloat16");
}

TEST(Config, ActivationsByTheirNames) {
  const struct {
    const char *name;
    sp_activation act;
  } cases[] = {{"gelu", SP_ACT_GELU_ERF},
               {"gelu_new", SP_ACT_GELU_TANH},
               {"gelu_pytorch_tanh", SP_ACT_GELU_TANH},
               {"relu", SP_ACT_RELU}};
  for (const auto &one : cases) {
    sp_model_config config;
    sp_error err{};
    ASSERT_EQ(Parse(With("\"hidden_act\":\"" + std::string(one.name) + "\""), &config, &err), SP_OK);
    EXPECT_EQ(config.act, one.act) << one.name;
  }
  EXPECT_STREQ(sp_activation_name(SP_ACT_GELU_TANH), "gelu_new");
}

TEST(Config, PreTrainingCheckpointsHaveTheMaskedHead) {
  sp_model_config config;
  sp_error err{};
  ASSERT_EQ(Parse(R"({"model_type":"bert","architectures":["BertForPreTraining"]})", &config, &err),
            SP_OK);
  EXPECT_EQ(config.arch, SP_BERT_MLM);
}

TEST(Config, EveryDefectIsNamedWithItsKeyAndValue) {
  const std::string folder = SP_SOURCE_DIR "/tests/golden/bad/model/";
  json_error_t fault;
  json_t *expected = json_load_file((folder + "expected.json").c_str(), 0, &fault);
  ASSERT_TRUE(expected) << fault.text;
  size_t count = 0;
  const char *name;
  json_t *message;
  json_object_foreach(expected, name, message) {
    if (!strstr(name, ".config.json")) continue;
    Scratch scratch;
    WriteFile(scratch / "config.json", sp_test::ReadFile(folder + name));
    sp_error err{};
    sp_model_config config;
    sp_folder directory = sp_folder_at(scratch.path().c_str());
    EXPECT_EQ(sp_model_config_read(&directory, &config, &err), SP_EMODEL) << name;
    EXPECT_TRUE(strstr(err.message, json_string_value(message))) << name << ": " << err.message;
    EXPECT_TRUE(strstr(err.message, (scratch / "config.json").c_str())) << err.message;
    count++;
  }
  json_decref(expected);
  EXPECT_GE(count, 35u);
}

TEST(Config, ADirectoryWithoutAConfigIsNoModel) {
  Scratch scratch;
  sp_error err{};
  sp_model_config config;
  sp_folder directory = sp_folder_at(scratch.path().c_str());
  EXPECT_EQ(sp_model_config_read(&directory, &config, &err), SP_EMODEL);
  EXPECT_TRUE(strstr(err.message, "it has no config.json")) << err.message;
}

}  // namespace
