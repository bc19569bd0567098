#include "checkpoint.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "random_model.h"
#include "scratch.h"

namespace {

using sp_test::ReadFile;
using sp_test::Scratch;
using sp_test::WriteFile;

struct Closer {
  void operator()(sp_checkpoint *model) const { sp_checkpoint_close(model); }
};
using Handle = std::unique_ptr<sp_checkpoint, Closer>;

class Checkpoint : public testing::Test {
 protected:
  void Write(const sp_random_model &options) {
    ASSERT_EQ(sp_random_model_write(&options, Dir().c_str(), &err_), SP_OK) << err_.message;
  }
  std::string Dir() { return scratch_ / "model"; }
  Handle Open() {
    sp_checkpoint *model = nullptr;
    err_ = {};
    sp_status status = sp_checkpoint_open(Dir().c_str(), &model, &err_);
    EXPECT_EQ(status, err_.status);
    return Handle(status == SP_OK ? model : nullptr);
  }
  Handle WriteAndOpen(const sp_random_model &options) {
    Write(options);
    return Open();
  }
  // Replaces one text of the same length in the weights: a name or a shape in the header.
  void Patch(const std::string &from, const std::string &to) {
    std::string bytes = ReadFile(Dir() + "/model.safetensors");
    size_t at = bytes.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    ASSERT_EQ(from.size(), to.size());
    WriteFile(Dir() + "/model.safetensors", bytes.replace(at, from.size(), to));
  }
  void ExpectRefused(const char *message) {
    EXPECT_FALSE(Open());
    EXPECT_EQ(err_.status, SP_EMODEL) << err_.message;
    EXPECT_TRUE(strstr(err_.message, message)) << err_.message;
  }
  Scratch scratch_;
  sp_error err_{};
  sp_random_model options_ = sp_random_model_default();
};

std::vector<float> All(const sp_tensor *tensor) {
  std::vector<float> out(tensor->bytes / sp_dtype_bytes(tensor->dtype), NAN);
  sp_tensor_to_f32(tensor, 0, out.size(), out.data());
  return out;
}

TEST_F(Checkpoint, ResolvesAMaskedLanguageModel) {
  Handle model = WriteAndOpen(options_);
  ASSERT_TRUE(model) << err_.message;
  EXPECT_TRUE(model->has_mlm);
  EXPECT_FALSE(model->has_cls);
  EXPECT_EQ(model->config.hidden, 32u);
  EXPECT_EQ(model->dtype, SP_F32);
  EXPECT_EQ(model->n_extra, 0u);
  EXPECT_STREQ(model->word_embeddings->name, "bert.embeddings.word_embeddings.weight");
  EXPECT_STREQ(model->position_embeddings->name, "bert.embeddings.position_embeddings.weight");
  EXPECT_STREQ(model->token_type_embeddings->name, "bert.embeddings.token_type_embeddings.weight");
  EXPECT_STREQ(model->embedding_norm.gamma->name, "bert.embeddings.LayerNorm.weight");
  EXPECT_STREQ(model->embedding_norm.beta->name, "bert.embeddings.LayerNorm.bias");
  const std::string base = "bert.encoder.layer.1.";
  const sp_bert_layer &layer = model->layers[1];
  const struct {
    const sp_ckpt_linear &linear;
    const char *name;
    size_t out, in;
  } linears[] = {{layer.q, "attention.self.query", 32, 32}, {layer.k, "attention.self.key", 32, 32},
                 {layer.v, "attention.self.value", 32, 32}, {layer.o, "attention.output.dense", 32, 32},
                 {layer.up, "intermediate.dense", 64, 32},  {layer.down, "output.dense", 32, 64}};
  for (const auto &one : linears) {
    EXPECT_EQ(one.linear.weight->name, base + one.name + ".weight");
    EXPECT_EQ(one.linear.bias->name, base + one.name + ".bias");
    EXPECT_EQ(one.linear.out, one.out) << one.name;
    EXPECT_EQ(one.linear.in, one.in) << one.name;
  }
  EXPECT_EQ(layer.attention_norm.gamma->name, base + "attention.output.LayerNorm.weight");
  EXPECT_EQ(layer.output_norm.beta->name, base + "output.LayerNorm.bias");
  EXPECT_STREQ(model->mlm.transform.weight->name, "cls.predictions.transform.dense.weight");
  EXPECT_STREQ(model->mlm.norm.gamma->name, "cls.predictions.transform.LayerNorm.weight");
  EXPECT_TRUE(model->mlm.tied);
  EXPECT_EQ(model->mlm.decoder.weight, model->word_embeddings);
  EXPECT_EQ(model->mlm.decoder.out, 100u);
  EXPECT_STREQ(model->mlm.decoder.bias->name, "cls.predictions.bias");
  EXPECT_EQ(model->parameters,
            (100 + 64 + 2) * 32 + 64 + 2 * (4 * (32 * 32 + 32) + 64 * 32 * 2 + 64 + 32 + 4 * 32) +
                32 * 32 + 32 + 64 + 100);
}

// Sample values computed by hand from the rule in random_model.h, by the Python twin.
TEST_F(Checkpoint, RandomWeightsFollowTheStatedRule) {
  Handle model = WriteAndOpen(options_);
  ASSERT_TRUE(model) << err_.message;
  std::vector<float> words = All(model->word_embeddings);
  EXPECT_EQ(words[0], -0x1.2e62b00000000p-1f);
  EXPECT_EQ(words[1], 0x1.7b54e00000000p-2f);
  EXPECT_EQ(words[3199], 0x1.ced2c00000000p-3f);
  EXPECT_EQ(All(model->layers[1].output_norm.gamma)[31], 0x1.0649680000000p+0f);
  double sum = 0, squares = 0;
  for (float value : words) {
    sum += value;
    squares += static_cast<double>(value) * value;
  }
  EXPECT_LE(std::fabs(sum / 3200), 0.03);
  EXPECT_LE(std::fabs(std::sqrt(squares / 3200 * 32) - 2.8), 0.2);
}

TEST_F(Checkpoint, RandomSchedulersEqualThePythonTwins) {
  const struct {
    size_t hidden, percent;
    uint64_t hash;
  } cases[] = {
      {0, 30, 0x1d14a9003c175d21u}, {8, 75, 0x6863a479286ab64fu}, {0, 0, 0x66c4ea62f70a4f61u}};
  for (const auto &one : cases) {
    options_.scheduler = "2,3";
    options_.scheduler_hidden = one.hidden;
    options_.scheduler_percent = one.percent;
    Write(options_);
    std::string bytes = ReadFile(Dir() + "/model.safetensors");
    EXPECT_EQ(sp_fnv1a(SP_FNV_START, bytes.data(), bytes.size()), one.hash) << one.percent;
  }
}

// tests/golden/random_model.py writes the same bytes: these are hashes of its output.
TEST_F(Checkpoint, RandomModelsEqualThePythonTwins) {
  sp_random_model many = options_;
  many.arch = SP_RANDOM_BOTH;
  many.dtype = SP_RANDOM_F16;
  many.pooler = many.gamma_beta = many.no_prefix = many.extra = true;
  many.classifier_hidden = 2;
  many.decoder = SP_RANDOM_UNTIED;
  many.seed = 77;
  Write(many);
  std::string bytes = ReadFile(Dir() + "/model.safetensors");
  EXPECT_EQ(sp_fnv1a(SP_FNV_START, bytes.data(), bytes.size()), 0x484ad91ed35211eeu);
  bytes = ReadFile(Dir() + "/config.json") + ReadFile(Dir() + "/vocab.txt");
  EXPECT_EQ(sp_fnv1a(SP_FNV_START, bytes.data(), bytes.size()), 0x5a19181331dc49aeu);
}

TEST_F(Checkpoint, NamesOfAnySaverGiveTheSameTensors) {
  Handle plain = WriteAndOpen(options_);
  ASSERT_TRUE(plain) << err_.message;
  std::vector<float> gamma = All(plain->layers[1].output_norm.gamma);
  std::vector<float> query = All(plain->layers[0].q.weight);
  sp_random_model other = options_;
  other.gamma_beta = other.no_prefix = other.extra = true;
  other.shards = 3;
  Scratch elsewhere;
  std::string directory = elsewhere / "m";
  ASSERT_EQ(sp_random_model_write(&other, directory.c_str(), &err_), SP_OK);
  sp_checkpoint *opened = nullptr;
  ASSERT_EQ(sp_checkpoint_open(directory.c_str(), &opened, &err_), SP_OK) << err_.message;
  Handle model(opened);
  EXPECT_EQ(sp_safetensors_file_count(model->tensors), 3u);
  EXPECT_EQ(All(model->layers[1].output_norm.gamma), gamma);
  EXPECT_EQ(All(model->layers[0].q.weight), query);
  std::vector<std::string> extra(model->extra, model->extra + model->n_extra);
  EXPECT_EQ(extra, (std::vector<std::string>{"cls.seq_relationship.bias",
                                             "cls.seq_relationship.weight",
                                             "embeddings.position_ids", "pooler.dense.bias",
                                             "pooler.dense.weight"}));
  EXPECT_EQ(model->parameters, plain->parameters);
}

TEST_F(Checkpoint, EveryFloatTypeIsRead) {
  for (sp_random_dtype dtype : {SP_RANDOM_F32, SP_RANDOM_BF16, SP_RANDOM_F16}) {
    options_.dtype = dtype;
    Handle model = WriteAndOpen(options_);
    ASSERT_TRUE(model) << err_.message;
    EXPECT_LE(std::fabs(All(model->word_embeddings)[0] - -0x1.2e62b00000000p-1f), 2e-3) << dtype;
    EXPECT_EQ(model->dtype == SP_F32, dtype == SP_RANDOM_F32);
  }
}

TEST_F(Checkpoint, DecoderTiedCopiedAndItsOwn) {
  options_.decoder = SP_RANDOM_COPY;
  Handle model = WriteAndOpen(options_);
  ASSERT_TRUE(model) << err_.message;
  EXPECT_EQ(model->mlm.decoder.weight, model->word_embeddings);
  EXPECT_EQ(model->n_extra, 0u);
  options_.decoder = SP_RANDOM_UNTIED;
  model = WriteAndOpen(options_);
  ASSERT_TRUE(model) << err_.message;
  EXPECT_FALSE(model->mlm.tied);
  EXPECT_STREQ(model->mlm.decoder.weight->name, "cls.predictions.decoder.weight");
  EXPECT_NE(All(model->mlm.decoder.weight), All(model->word_embeddings));
  EXPECT_STREQ(model->mlm.decoder.bias->name, "cls.predictions.decoder.bias");
  ASSERT_EQ(model->n_extra, 1u);
  EXPECT_STREQ(model->extra[0], "cls.predictions.bias");
}

TEST_F(Checkpoint, ATiedConfigWithAnotherDecoderIsAContradiction) {
  options_.decoder = SP_RANDOM_UNTIED;
  Write(options_);
  std::string config = ReadFile(Dir() + "/config.json");
  size_t at = config.find("false");
  ASSERT_NE(at, std::string::npos);
  WriteFile(Dir() + "/config.json", config.replace(at, 5, "true"));
  ExpectRefused("cls.predictions.decoder.weight and bert.embeddings.word_embeddings.weight differ");
}

TEST_F(Checkpoint, AnUntiedConfigNeedsADecoder) {
  Write(options_);
  std::string config = ReadFile(Dir() + "/config.json");
  size_t at = config.find("\"tie_word_embeddings\": true");
  ASSERT_NE(at, std::string::npos);
  WriteFile(Dir() + "/config.json", config.replace(at, 27, "\"tie_word_embeddings\": false"));
  ExpectRefused("1 tensor is missing: cls.predictions.decoder.weight");
}

TEST_F(Checkpoint, TheBiasMayBeTheDecoders) {
  Write(options_);
  std::string bytes = ReadFile(Dir() + "/model.safetensors");
  size_t at = bytes.find("cls.predictions.bias\"");
  ASSERT_NE(at, std::string::npos);
  bytes.replace(at, 21, "cls.predictions.decoder.bias\"");
  bytes[0] = static_cast<char>(bytes[0] + 8);  // the header is eight bytes longer
  ASSERT_LT(static_cast<unsigned char>(bytes[0]), 248);
  WriteFile(Dir() + "/model.safetensors", bytes);
  Handle model = Open();
  ASSERT_TRUE(model) << err_.message;
  EXPECT_STREQ(model->mlm.decoder.bias->name, "cls.predictions.decoder.bias");
}

TEST_F(Checkpoint, ClassifierHeads) {
  options_.arch = SP_RANDOM_CLS;
  for (bool pooler : {false, true}) {
    for (size_t hidden : {0, 1, 2, 3}) {
      options_.pooler = pooler;
      options_.classifier_hidden = hidden;
      Handle model = WriteAndOpen(options_);
      ASSERT_TRUE(model) << err_.message;
      EXPECT_FALSE(model->has_mlm);
      ASSERT_TRUE(model->has_cls);
      EXPECT_EQ(model->cls.pooler, pooler);
      ASSERT_EQ(model->cls.n_layers, hidden + 1 + pooler);
      for (size_t i = 0; i < model->cls.n_layers; i++) {
        const sp_cls_layer &layer = model->cls.layers[i];
        bool last = i + 1 == model->cls.n_layers;
        EXPECT_EQ(layer.linear.in, 32u);
        EXPECT_EQ(layer.linear.out, last ? 1u : 32u);
        EXPECT_EQ(layer.act, last ? SP_ACT_NONE : SP_ACT_TANH);
      }
      if (pooler) {
        EXPECT_STREQ(model->cls.layers[0].linear.weight->name, "bert.pooler.dense.weight");
      }
      EXPECT_EQ(model->n_extra, 0u);
    }
  }
}

TEST_F(Checkpoint, TheActivationOfAClassifierComesFromTheConfig) {
  options_.arch = SP_RANDOM_CLS;
  options_.classifier_hidden = 1;
  options_.pooler = true;
  options_.config_extra = "\"classifier_act\": \"relu\"";
  Handle model = WriteAndOpen(options_);
  ASSERT_TRUE(model) << err_.message;
  EXPECT_EQ(model->cls.layers[0].act, SP_ACT_TANH);
  EXPECT_EQ(model->cls.layers[1].act, SP_ACT_RELU);
  EXPECT_STREQ(model->cls.layers[1].linear.weight->name, "classifier.dense.weight");
  EXPECT_STREQ(model->cls.layers[2].linear.weight->name, "classifier.out_proj.weight");
}

TEST_F(Checkpoint, BothHeadsAreFound) {
  options_.arch = SP_RANDOM_BOTH;
  options_.no_prefix = options_.pooler = true;
  Handle model = WriteAndOpen(options_);
  ASSERT_TRUE(model) << err_.message;
  EXPECT_TRUE(model->has_mlm);
  EXPECT_TRUE(model->has_cls);
  EXPECT_STREQ(model->cls.layers[0].linear.weight->name, "pooler.dense.weight");
}

TEST_F(Checkpoint, TwoLabelsAreRefused) {
  options_.arch = SP_RANDOM_CLS;
  Write(options_);
  // Two rows of 16: the same bytes.
  Patch("\"classifier.weight\":{\"dtype\":\"F32\",\"shape\":[1,32]",
        "\"classifier.weight\":{\"dtype\":\"F32\",\"shape\":[2,16]");
  ExpectRefused("tensor classifier.weight has 2 outputs");
}

TEST_F(Checkpoint, AMissingHeadIsNamed) {
  Write(options_);
  std::string config = ReadFile(Dir() + "/config.json");
  size_t at = config.find("BertForMaskedLM");
  WriteFile(Dir() + "/config.json", config.replace(at, 15, "BertForSequenceClassification"));
  ExpectRefused("2 tensors are missing: classifier.weight, classifier.bias");
}

TEST_F(Checkpoint, MissingTensorsAreNamedTogether) {
  Write(options_);
  Patch("bert.encoder.layer.0.attention.self.key.bias", "bert.encoder.layer.0.attention.self.kex.bias");
  Patch("bert.encoder.layer.1.output.dense.weight", "bert.encoder.layer.1.outpux.dense.weight");
  ExpectRefused(
      "2 tensors are missing: bert.encoder.layer.0.attention.self.key.bias, "
      "bert.encoder.layer.1.output.dense.weight");
}

TEST_F(Checkpoint, AWrongShapeIsNamed) {
  Write(options_);
  Patch("position_embeddings.weight\":{\"dtype\":\"F32\",\"shape\":[64,32]",
        "position_embeddings.weight\":{\"dtype\":\"F32\",\"shape\":[32,64]");
  ExpectRefused(
      "tensor bert.embeddings.position_embeddings.weight has shape (32, 64), the config needs "
      "(64, 32)");
}

TEST_F(Checkpoint, AnIntegerTensorIsRefused) {
  Write(options_);
  Patch("query.weight\":{\"dtype\":\"F32\"", "query.weight\":{\"dtype\":\"I32\"");
  ExpectRefused("query.weight has dtype I32; F32, F16, BF16 and F64 are supported");
}

// The last value of the file belongs to cls.predictions.bias.
TEST_F(Checkpoint, ValuesThatAreNotFiniteAreRefused) {
  const struct {
    sp_random_dtype dtype;
    std::string bits;
  } cases[] = {{SP_RANDOM_F32, std::string("\0\0\xc0\x7f", 4)},
               {SP_RANDOM_F32, std::string("\0\0\x80\xff", 4)},
               {SP_RANDOM_BF16, "\xc1\x7f"},
               {SP_RANDOM_BF16, std::string("\x80\xff", 2)},
               {SP_RANDOM_F16, std::string("\0\x7c", 2)},
               {SP_RANDOM_F16, "\x01\xfe"}};
  for (const auto &one : cases) {
    options_.dtype = one.dtype;
    Write(options_);
    std::string bytes = ReadFile(Dir() + "/model.safetensors");
    bytes.replace(bytes.size() - one.bits.size(), one.bits.size(), one.bits);
    WriteFile(Dir() + "/model.safetensors", bytes);
    ExpectRefused("tensor cls.predictions.bias holds a NaN");
  }
}

TEST_F(Checkpoint, TheLargestFiniteValuesPass) {
  Write(options_);
  std::string bytes = ReadFile(Dir() + "/model.safetensors");
  bytes.replace(bytes.size() - 4, 4, "\xff\xff\x7f\x7f");
  WriteFile(Dir() + "/model.safetensors", bytes);
  EXPECT_TRUE(Open()) << err_.message;
}

TEST_F(Checkpoint, TheHashCoversEveryFile) {
  options_.shards = 2;
  Write(options_);
  Handle model = Open();
  ASSERT_TRUE(model) << err_.message;
  const std::string first = model->hash;
  EXPECT_EQ(first.size(), 32u);
  EXPECT_EQ(first, Open()->hash);
  for (const char *name : {"config.json", "vocab.txt", "model-00001-of-00002.safetensors",
                           "model-00002-of-00002.safetensors", "model.safetensors.index.json",
                           "tokenizer.json", "tokenizer_config.json", "added_tokens.json",
                           "special_tokens_map.json"}) {
    const std::string path = Dir() + "/" + name;
    const bool there = sp_test::Run("test -e '" + path + "'").exit_code == 0;
    const std::string before = there ? ReadFile(path) : "";
    std::string after = before + " ";
    if (strstr(name, "-of-")) {
      after = before;
      after.back() = static_cast<char>(after.back() ^ 1);
      after[after.size() - 4] = static_cast<char>(after[after.size() - 4] ^ 1);
    }
    WriteFile(path, after);
    Handle changed = Open();
    ASSERT_TRUE(changed) << name << ": " << err_.message;
    EXPECT_NE(changed->hash, first) << name;
    if (there) {
      WriteFile(path, before);
    } else {
      ASSERT_EQ(remove(path.c_str()), 0);
    }
  }
  EXPECT_EQ(first, Open()->hash);
}

class SchedulerTensors : public Checkpoint {
 protected:
  // A model of two layers with these schedulers and this config.
  void WriteScheduled(const char *scheduler, size_t hidden, const char *lookahead) {
    options_.scheduler = scheduler;
    options_.scheduler_hidden = hidden;
    options_.config_extra = lookahead;
    Write(options_);
  }
};

TEST_F(SchedulerTensors, ArePartOfADynamicModel) {
  uint64_t without = WriteAndOpen(options_)->parameters;
  WriteScheduled("3", 0, R"("lookahead": {"policy": "dynamic", "max": 3})");
  Handle model = Open();
  ASSERT_TRUE(model) << err_.message;
  EXPECT_EQ(model->n_extra, 0u);
  EXPECT_EQ(model->scheduler_parameters, 2u * 3 * (32 + 1));
  EXPECT_EQ(model->parameters, without + model->scheduler_parameters);
  const sp_bert_layer &layer = model->layers[1];
  ASSERT_EQ(layer.n_scheduler, 1u);
  EXPECT_STREQ(layer.scheduler[0].weight->name, "bert.encoder.layer.1.lookahead.dense.weight");
  EXPECT_STREQ(layer.scheduler[0].bias->name, "bert.encoder.layer.1.lookahead.dense.bias");
  EXPECT_EQ(layer.scheduler[0].out, 3u);
  EXPECT_EQ(layer.scheduler[0].in, 32u);
}

TEST_F(SchedulerTensors, MayHaveAHiddenLayerAndOwnReaches) {
  options_.no_prefix = true;
  WriteScheduled("0,3", 8, R"("lookahead": {"policy": "dynamic", "max": 4, "layers": [0, 3],
                              "hidden_size": 8})");
  Handle model = Open();
  ASSERT_TRUE(model) << err_.message;
  EXPECT_EQ(model->layers[0].n_scheduler, 0u);
  const sp_bert_layer &layer = model->layers[1];
  ASSERT_EQ(layer.n_scheduler, 2u);
  EXPECT_STREQ(layer.scheduler[0].weight->name, "encoder.layer.1.lookahead.hidden.weight");
  EXPECT_EQ(layer.scheduler[0].out, 8u);
  EXPECT_EQ(layer.scheduler[0].in, 32u);
  EXPECT_EQ(layer.scheduler[1].out, 3u);
  EXPECT_EQ(layer.scheduler[1].in, 8u);
  EXPECT_EQ(model->scheduler_parameters, 8u * 33 + 3u * 9);
}

TEST_F(SchedulerTensors, ThatAreMissingAreNamed) {
  WriteScheduled("3,0", 0, R"("lookahead": {"policy": "dynamic", "max": 3})");
  ExpectRefused(
      "2 tensors are missing: bert.encoder.layer.1.lookahead.dense.weight, "
      "bert.encoder.layer.1.lookahead.dense.bias");
  WriteScheduled("3", 0, R"("lookahead": {"policy": "dynamic", "max": 3, "hidden_size": 8})");
  ExpectRefused("4 tensors are missing: bert.encoder.layer.0.lookahead.hidden.weight");
}

TEST_F(SchedulerTensors, OfAWrongShapeAreNamed) {
  WriteScheduled("3,2", 0, R"("lookahead": {"policy": "dynamic", "max": 3})");
  ExpectRefused(
      "tensor bert.encoder.layer.1.lookahead.dense.weight has shape (2, 32), the config needs "
      "(3, 32)");
  WriteScheduled("3", 8, R"("lookahead": {"policy": "dynamic", "max": 3, "hidden_size": 9})");
  ExpectRefused(
      "tensor bert.encoder.layer.0.lookahead.hidden.weight has shape (8, 32), the config needs "
      "(9, 32)");
}

TEST_F(SchedulerTensors, WithoutAPolicyAreRefused) {
  WriteScheduled("3", 0, nullptr);
  ExpectRefused(
      "tensor bert.encoder.layer.0.lookahead.dense.bias contradicts the lookahead policy of "
      "config.json, full,");
  WriteScheduled("3", 0, R"("lookahead": {"policy": "layerwise", "max": 3})");
  ExpectRefused("contradicts the lookahead policy of config.json, layerwise:3,");
  WriteScheduled("3", 0, R"("lookahead": {"policy": "dynamic", "max": 3, "layers": [3, 0]})");
  ExpectRefused(
      "tensor bert.encoder.layer.1.lookahead.dense.bias contradicts the lookahead policy of "
      "config.json, dynamic:3,0,");
  WriteScheduled("3", 8, R"("lookahead": {"policy": "dynamic", "max": 3})");
  ExpectRefused("has shape (3, 8), the config needs (3, 32)");
}

// The last but one value of the file's schedulers: every tensor must be finite.
TEST_F(SchedulerTensors, MustBeFinite) {
  options_.scheduler_percent = 100;
  WriteScheduled("3", 0, R"("lookahead": {"policy": "dynamic", "max": 3})");
  std::string bytes = ReadFile(Dir() + "/model.safetensors");
  const std::string three(std::string("\0\0\x80\x3f", 4) + std::string("\0\0\x80\x3f", 4) +
                          std::string("\0\0\x80\x3f", 4));  // a bias of three ones
  size_t at = bytes.find(three);
  ASSERT_NE(at, std::string::npos);
  WriteFile(Dir() + "/model.safetensors", bytes.replace(at + 4, 4, std::string("\0\0\xc0\x7f", 4)));
  ExpectRefused("tensor bert.encoder.layer.0.lookahead.dense.bias holds a NaN");
}

}  // namespace
