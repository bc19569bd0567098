#include "model_write.h"

#include <dirent.h>
#include <gtest/gtest.h>
#include <jansson.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>
#include <string>
#include <vector>

#include "bf16.h"
#include "file.h"
#include "random_model.h"
#include "safetensors_writer.h"
#include "scratch.h"
#include "tokenizer.h"

namespace {

using sp_test::ReadFile;
using sp_test::Scratch;
using sp_test::WriteFile;

std::set<std::string> List(const std::string &path) {
  std::set<std::string> names;
  DIR *folder = opendir(path.c_str());
  for (dirent *entry; folder && (entry = readdir(folder));) {
    if (entry->d_name[0] != '.') {
      names.insert(entry->d_name);
    }
  }
  if (folder) {
    closedir(folder);
  }
  return names;
}

class ModelWrite : public testing::Test {
 protected:
  ~ModelWrite() override {
    sp_params_destroy(params_);
    sp_checkpoint_close(model_);
    sp_checkpoint_close(back_);
    json_decref(config_);
  }
  std::string From() {
    return scratch_ / "from";
  }
  std::string To() {
    return scratch_ / "out";
  }
  // Parameters of a random model, as they would come out of a run.
  void Make(bool mlm = true, bool cls = false) {
    ASSERT_EQ(sp_random_model_write(&options_, From().c_str(), &err_), SP_OK) << err_.message;
    sp_checkpoint_close(model_);
    model_ = nullptr;
    ASSERT_EQ(sp_checkpoint_open(From().c_str(), &model_, &err_), SP_OK) << err_.message;
    sp_params_destroy(params_);
    params_ = nullptr;
    const sp_cls_head *like = model_->has_cls ? &model_->cls : nullptr;
    ASSERT_EQ(sp_params_create(&model_->config, mlm, cls, like, &params_, &err_), SP_OK);
    values_.resize(params_->count);
    sp_params_init(params_, 5, 0.02f, 1.0f, values_.data());
    char fresh[256];
    ASSERT_EQ(sp_params_load(params_, model_, nullptr, values_.data(), fresh, sizeof fresh, &err_),
              SP_OK)
        << err_.message;
    config_path_ = From() + "/config.json";
    tokenizer_ = From();
  }
  sp_status Write() {
    sp_model_content content = {
        params_, values_.data(), dtype_, config_path_.c_str(), tokenizer_.c_str(), readme_};
    err_ = {};
    return sp_model_write(To().c_str(), &content, &err_);
  }
  void WriteAndOpen() {
    ASSERT_EQ(Write(), SP_OK) << err_.message;
    sp_checkpoint_close(back_);
    back_ = nullptr;
    ASSERT_EQ(sp_checkpoint_open(To().c_str(), &back_, &err_), SP_OK) << err_.message;
    json_decref(config_);
    config_ = json_load_file((To() + "/config.json").c_str(), 0, nullptr);
    ASSERT_TRUE(config_);
  }
  std::string Text(const char *key) {
    const char *text = json_string_value(json_object_get(config_, key));
    return text ? text : "";
  }
  void ExpectRefused(sp_status want, const char *part) {
    EXPECT_EQ(Write(), want);
    EXPECT_TRUE(strstr(err_.message, part)) << err_.message;
    EXPECT_EQ(Strangers(), std::set<std::string>{});
  }
  // Everything beside the model and its source.
  std::set<std::string> Strangers() {
    std::set<std::string> names = List(scratch_.path());
    names.erase("from");
    names.erase("out");
    return names;
  }
  // What the written file has of every tensor, after `round`.
  void ExpectValues(float (*round)(float)) {
    for (size_t i = 0; i < params_->n_tensors; i++) {
      const sp_param &ours = params_->tensor[i];
      const sp_tensor *tensor = sp_safetensors_find(back_->tensors, ours.name);
      ASSERT_TRUE(tensor) << ours.name;
      std::vector<float> got(ours.count, NAN),
          want(&values_[ours.offset], &values_[ours.offset] + ours.count);
      sp_tensor_to_f32(tensor, 0, ours.count, got.data());
      std::transform(want.begin(), want.end(), want.begin(), round);
      EXPECT_EQ(memcmp(got.data(), want.data(), 4 * ours.count), 0) << ours.name;
    }
  }
  Scratch scratch_;
  sp_error err_{};
  sp_random_model options_ = sp_random_model_default();
  sp_checkpoint *model_ = nullptr, *back_ = nullptr;
  sp_params *params_ = nullptr;
  std::vector<float> values_;
  std::string config_path_, tokenizer_;
  const char *readme_ = nullptr;
  sp_dtype dtype_ = SP_F32;
  json_t *config_ = nullptr;
};

TEST_F(ModelWrite, ComesBackBitForBit) {
  Make();
  values_[params_->words] = -0.0f;
  values_[params_->words + 1] = 1e-45f;
  WriteAndOpen();
  ExpectValues([](float x) { return x; });
  EXPECT_EQ(back_->n_extra, 0u);
  EXPECT_EQ(back_->parameters, params_->parameters);
  EXPECT_EQ(back_->dtype, SP_F32);
  EXPECT_EQ(Text("torch_dtype"), "float32");
  EXPECT_EQ(Strangers(), std::set<std::string>{});
}

TEST_F(ModelWrite, Bf16IsRoundedToNearestEven) {
  dtype_ = SP_BF16;
  options_.config_extra = R"("dtype": "float32")";
  Make();
  const float ties[] = {1 + 0x1p-8f, 1 + 3 * 0x1p-8f, 1 + 0x1p-8f + 0x1p-20f, -1 - 0x1p-8f};
  std::copy(ties, ties + 4, &values_[params_->words]);
  WriteAndOpen();
  ExpectValues([](float x) { return sp_bf16_to_f32(sp_bf16_from_f32(x)); });
  float got[4];
  sp_tensor_to_f32(back_->word_embeddings, 0, 4, got);
  EXPECT_EQ(got[0], 1);
  EXPECT_EQ(got[1], 1 + 0x1p-6f);
  EXPECT_EQ(got[2], 1 + 0x1p-7f);
  EXPECT_EQ(got[3], -1);
  EXPECT_EQ(back_->dtype, SP_BF16);
  EXPECT_EQ(Text("torch_dtype"), "bfloat16");
  EXPECT_EQ(Text("dtype"), "bfloat16");
}

TEST_F(ModelWrite, KeepsUnknownKeysAndWhatNumbersSay) {
  options_.eps = "1.0000000000000001e-12";
  options_.config_extra =
      R"("mine": {"a": [1, null]}, "hidden_dropout_prob": 0.1, "long": 0.30000000000000004)";
  Make();
  WriteAndOpen();
  EXPECT_EQ(json_array_size(json_object_get(json_object_get(config_, "mine"), "a")), 2u);
  EXPECT_EQ(json_real_value(json_object_get(config_, "long")), 0.30000000000000004);
  EXPECT_EQ(json_real_value(json_object_get(config_, "hidden_dropout_prob")), 0.1);
  EXPECT_FALSE(json_object_get(config_, "lookahead"));
  EXPECT_FALSE(json_object_get(config_, "problem_type"));
  EXPECT_TRUE(json_is_true(json_object_get(config_, "tie_word_embeddings")));
}

TEST_F(ModelWrite, AClsModelIsARegression) {
  options_.config_extra = R"("score_kind": "cost", "id2label": {"0": "a", "1": "b"})";
  Make(false, true);  // a new head on an encoder
  WriteAndOpen();
  EXPECT_EQ(back_->config.arch, SP_BERT_CLS);
  EXPECT_TRUE(back_->cls.pooler);
  EXPECT_FALSE(back_->has_mlm);
  EXPECT_EQ(back_->config.score_kind, SP_SCORE_LOGPROB);
  EXPECT_TRUE(back_->config.has_score_kind);
  EXPECT_EQ(Text("problem_type"), "regression");
  EXPECT_EQ(json_integer_value(json_object_get(config_, "num_labels")), 1);
  EXPECT_EQ(json_object_size(json_object_get(config_, "id2label")), 1u);
  ExpectValues([](float x) { return x; });
}

TEST_F(ModelWrite, BothHeadsAreThere) {
  options_.arch = SP_RANDOM_BOTH;
  options_.classifier_hidden = 1;
  Make(true, true);
  WriteAndOpen();
  EXPECT_TRUE(back_->has_mlm && back_->has_cls);
  EXPECT_EQ(back_->config.arch, SP_BERT_CLS);
  EXPECT_EQ(back_->n_extra, 0u);
  ExpectValues([](float x) { return x; });
}

TEST_F(ModelWrite, AnUntiedDecoderHasBothNamesOfItsBias) {
  options_.decoder = SP_RANDOM_UNTIED;
  Make();
  WriteAndOpen();
  EXPECT_FALSE(back_->mlm.tied);
  ExpectValues([](float x) { return x; });
  const sp_tensor *copy = sp_safetensors_find(back_->tensors, "cls.predictions.bias");
  ASSERT_TRUE(copy);
  EXPECT_EQ(memcmp(copy->data, back_->mlm.decoder.bias->data, copy->bytes), 0);
}

TEST_F(ModelWrite, WritesWhatTheConfigReaderReads) {
  struct Case {
    const char *scheduler, *rule;
  } cases[] = {
      {nullptr, R"({"policy": "causal", "left": 3, "cls": "last", "cls_view": "hidden"})"},
      {nullptr, R"({"policy": "layerwise", "max": 2})"},
      {nullptr, R"({"policy": "layerwise", "max": 4, "layers": [4, 0]})"},
      {nullptr, R"({"policy": "chunked", "chunk": 5, "cls_view": "last-layer"})"},
      {"3", R"({"policy": "dynamic", "max": 3})"},
      {"3,0", R"({"policy": "dynamic", "max": 3, "layers": [3, 0], "cells": "span", "tau": 0.1,
                  "hidden_size": 5, "hidden_act": "relu", "left": 7})"},
  };
  for (const Case &each : cases) {
    std::string extra = std::string("\"lookahead\": ") + each.rule;
    options_.config_extra = extra.c_str();
    options_.scheduler = each.scheduler;
    options_.scheduler_hidden = strstr(each.rule, "hidden_size") ? 5 : 0;
    Make();
    WriteAndOpen();
    const sp_model_config &a = model_->config, &b = back_->config;
    EXPECT_TRUE(sp_lookahead_equal(&a.lookahead, &b.lookahead)) << each.rule;
    EXPECT_EQ(a.lookahead.tau, b.lookahead.tau);
    EXPECT_EQ(a.scheduler_hidden, b.scheduler_hidden);
    EXPECT_EQ(a.scheduler_act, b.scheduler_act);
    EXPECT_EQ(back_->scheduler_parameters, model_->scheduler_parameters);
    ExpectValues([](float x) { return x; });
  }
}

TEST_F(ModelWrite, AChangedRuleAndFewerLayersReplaceTheFiles) {
  options_.layers = 3;
  options_.config_extra = R"("lookahead": {"policy": "chunked", "chunk": 4})";
  Make();
  sp_model_config config = model_->config;
  config.layers = 2;
  config.lookahead = {};
  config.lookahead.policy = SP_MASK_FULL;
  sp_params_destroy(params_);
  ASSERT_EQ(sp_params_create(&config, true, false, nullptr, &params_, &err_), SP_OK);
  values_.assign(params_->count, 0.5f);
  WriteAndOpen();
  EXPECT_EQ(back_->config.layers, 2u);
  EXPECT_EQ(back_->config.lookahead.policy, SP_MASK_FULL);
  EXPECT_FALSE(json_object_get(config_, "lookahead"));
}

TEST_F(ModelWrite, CopiesTheTokenizerAndSaysWhatItsVocabularySays) {
  Make();
  WriteFile(From() + "/special_tokens_map.json", "{}");
  readme_ = "a model\n";
  WriteAndOpen();
  const std::set<std::string> names = {"README.md",
                                       "config.json",
                                       "model.safetensors",
                                       "special_tokens_map.json",
                                       "tokenizer_config.json",
                                       "vocab.txt"};
  EXPECT_EQ(List(To()), names);
  EXPECT_EQ(ReadFile(To() + "/vocab.txt"), ReadFile(From() + "/vocab.txt"));
  EXPECT_EQ(ReadFile(To() + "/README.md"), "a model\n");
  EXPECT_NE(ReadFile(To() + "/tokenizer_config.json").find("\"do_lower_case\": true"),
            std::string::npos);
  const std::string own = "{\"do_lower_case\": false}";
  WriteFile(From() + "/tokenizer_config.json", own);
  WriteAndOpen();
  EXPECT_EQ(ReadFile(To() + "/tokenizer_config.json"), own);
}

TEST_F(ModelWrite, AVocabularyFileIsATokenizer) {
  Make();
  std::string vocab = ReadFile(From() + "/vocab.txt");
  vocab.replace(vocab.find("\na\n"), 3, "\nA\n");
  tokenizer_ = scratch_ / "from/cased.txt";
  WriteFile(tokenizer_, vocab);
  WriteAndOpen();
  EXPECT_EQ(ReadFile(To() + "/vocab.txt"), vocab);
  sp_tokenizer *tokenizer = nullptr;
  ASSERT_EQ(sp_tokenizer_open(To().c_str(), &tokenizer, &err_), SP_OK) << err_.message;
  EXPECT_FALSE(sp_tokenizer_get_info(tokenizer)->lowercase);
  EXPECT_TRUE(sp_tokenizer_get_info(tokenizer)->lowercase_from_config);
  sp_tokenizer_close(tokenizer);
}

TEST_F(ModelWrite, OwnModelsAreReplacedWhole) {
  Make();
  readme_ = "first";
  WriteAndOpen();
  readme_ = nullptr;
  values_[params_->words] = 42;
  WriteAndOpen();
  EXPECT_FALSE(sp_file_exists((To() + "/README.md").c_str()));
  ExpectValues([](float x) { return x; });
  EXPECT_EQ(Strangers(), std::set<std::string>{});
  const std::string first = ReadFile(To() + "/model.safetensors");
  tokenizer_ = To();  // from itself
  config_path_ = To() + "/config.json";
  WriteAndOpen();
  EXPECT_EQ(ReadFile(To() + "/model.safetensors"), first);
}

TEST_F(ModelWrite, WhatOthersWroteIsNotReplaced) {
  Make();
  ASSERT_EQ(sp_random_model_write(&options_, To().c_str(), &err_), SP_OK);
  ExpectRefused(SP_EUSAGE, "is no model that training wrote");
  WriteFile(To() + "/notes.txt", "mine");
  ExpectRefused(SP_EUSAGE, "holds notes.txt");
  EXPECT_EQ(ReadFile(To() + "/notes.txt"), "mine");
}

TEST_F(ModelWrite, AFileOrALinkIsNotReplaced) {
  Make();
  ASSERT_EQ(symlink(From().c_str(), To().c_str()), 0);
  ExpectRefused(SP_EUSAGE, "is no directory");
  ASSERT_EQ(unlink(To().c_str()), 0);
  WriteFile(To(), "text");
  ExpectRefused(SP_EUSAGE, "is no directory");
}

TEST_F(ModelWrite, AnEmptyDirectoryIsFilled) {
  Make();
  ASSERT_EQ(sp_file_make_directory(To().c_str(), &err_), SP_OK);
  WriteAndOpen();
}

// What a kill leaves: a directory half written, or the old model after the exchange.
TEST_F(ModelWrite, LeftoversOfAKillGo) {
  Make();
  WriteAndOpen();
  for (const char *name : {"out.tmp.17", "out.tmp.170"}) {
    ASSERT_EQ(sp_file_make_directory((scratch_ / name).c_str(), &err_), SP_OK);
    WriteFile(scratch_ / name + "/config.json", "{");
    WriteFile(scratch_ / name + "/model.safetensors.tmp.17", "half");
  }
  WriteFile(scratch_ / "out.tmp.x", "not ours");
  WriteAndOpen();
  EXPECT_EQ(Strangers(), std::set<std::string>{"out.tmp.x"});
}

TEST_F(ModelWrite, AFailureLeavesTheOldModel) {
  Make();
  WriteAndOpen();
  const std::string before = ReadFile(To() + "/model.safetensors");
  values_[params_->words] = 42;
  tokenizer_ = scratch_ / "from/none";
  EXPECT_EQ(Write(), SP_EIO);
  EXPECT_EQ(ReadFile(To() + "/model.safetensors"), before);
  EXPECT_EQ(Strangers(), std::set<std::string>{});
}

TEST_F(ModelWrite, UsersErrorsAreNamed) {
  Make();
  const std::string good = config_path_;
  config_path_ = scratch_ / "from/none.json";
  ExpectRefused(SP_EIO, "none.json");
  config_path_ = scratch_ / "from/bad.json";
  WriteFile(config_path_, "{");
  ExpectRefused(SP_EMODEL, "bad.json:1:");
  WriteFile(config_path_, "[]");
  ExpectRefused(SP_EMODEL, "bad.json is not a JSON object");
  config_path_ = good;
  tokenizer_ = scratch_ / "from/short.txt";
  WriteFile(tokenizer_, "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n" + std::string());
  options_.vocab = 300;
  const std::string kept = tokenizer_;
  Make();
  tokenizer_ = kept;
  ExpectRefused(SP_EMODEL, "has 7 pieces, but the model's vocab_size is 300");
  sp_params_destroy(params_);
  ASSERT_EQ(sp_params_create(&model_->config, false, false, nullptr, &params_, &err_), SP_OK);
  ExpectRefused(SP_EUSAGE, "without a head");
}

}  // namespace
