#include "params.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "random_model.h"
#include "scratch.h"

namespace {

using sp_test::Scratch;

class Params : public testing::Test {
 protected:
  ~Params() override {
    sp_params_destroy(params_);
    sp_checkpoint_close(model_);
  }
  void Open() {
    ASSERT_EQ(sp_random_model_write(&options_, (scratch_ / "model").c_str(), &err_), SP_OK);
    sp_checkpoint_close(model_);
    model_ = nullptr;
    ASSERT_EQ(sp_checkpoint_open((scratch_ / "model").c_str(), &model_, &err_), SP_OK)
        << err_.message;
  }
  sp_status Create(const sp_model_config &config, bool mlm, bool cls,
                   const sp_cls_head *like = nullptr) {
    sp_params_destroy(params_);
    params_ = nullptr;
    sp_status status = sp_params_create(&config, mlm, cls, like, &params_, &err_);
    values_.assign(status == SP_OK ? params_->count : 0, NAN);
    return status;
  }
  sp_status Load(const uint32_t *layer_from = nullptr) {
    return sp_params_load(params_, model_, layer_from, values_.data(), fresh_, sizeof fresh_,
                          &err_);
  }
  void ExpectRefused(sp_status status, sp_status want, const char *part) {
    EXPECT_EQ(status, want);
    EXPECT_TRUE(strstr(err_.message, part)) << err_.message;
  }
  const sp_param *Find(const std::string &name) {
    for (size_t i = 0; i < params_->n_tensors; i++) {
      if (name == params_->tensor[i].name) {
        return &params_->tensor[i];
      }
    }
    return nullptr;
  }
  // Bits of a tensor of ours against the file's.
  void ExpectSame(const std::string &ours, const std::string &theirs) {
    const sp_param *to = Find(ours);
    const sp_tensor *from = sp_safetensors_find(model_->tensors, theirs.c_str());
    ASSERT_TRUE(to && from) << ours << " " << theirs;
    std::vector<float> want(to->count, NAN);
    ASSERT_EQ(from->bytes, to->count * sp_dtype_bytes(from->dtype));
    sp_tensor_to_f32(from, 0, to->count, want.data());
    EXPECT_EQ(memcmp(want.data(), values_.data() + to->offset, 4 * to->count), 0) << ours;
  }
  Scratch scratch_;
  sp_error err_{};
  sp_random_model options_ = sp_random_model_default();
  sp_checkpoint *model_ = nullptr;
  sp_params *params_ = nullptr;
  std::vector<float> values_;
  char fresh_[512] = "none";
};

const char kDynamic[] = R"("lookahead": {"policy": "dynamic", "max": 3})";

// Every tensor is named once and lies in its part, in order, without overlap.
TEST_F(Params, LieInOrderMatricesFirst) {
  options_.hidden = 20;  // D * D is no multiple of the alignment
  options_.scheduler = "3";
  options_.scheduler_hidden = 5;
  const std::string extra = R"("lookahead": {"policy": "dynamic", "max": 3, "hidden_size": 5})";
  options_.config_extra = extra.c_str();
  Open();
  ASSERT_EQ(Create(model_->config, true, true), SP_OK) << err_.message;
  size_t end = 0, parameters = 0;
  for (size_t i = 0; i < params_->n_tensors; i++) {
    const sp_param &tensor = params_->tensor[i];
    bool follows = strstr(tensor.name, "self.key") || strstr(tensor.name, "self.value");
    EXPECT_EQ(tensor.offset, follows ? end : (end + 63) / 64 * 64) << tensor.name;
    EXPECT_EQ(tensor.decay, tensor.rank == 2 && !strstr(tensor.name, "token_type")) << tensor.name;
    EXPECT_EQ(tensor.decay, tensor.offset < params_->n_decay) << tensor.name;
    EXPECT_EQ(Find(tensor.name), &tensor);
    end = tensor.offset + tensor.count;
    parameters += tensor.count;
  }
  EXPECT_EQ(params_->count, (end + 63) / 64 * 64);
  EXPECT_EQ(params_->parameters, parameters);
  EXPECT_EQ(parameters, model_->parameters + 20 * 20 + 20 + 20 + 1);  // with a new cls head
}

TEST_F(Params, NameTheirPlaces) {
  Open();
  ASSERT_EQ(Create(model_->config, true, true), SP_OK);
  const sp_param_layer &layer = params_->layers[1];
  const std::string base = "bert.encoder.layer.1.";
  EXPECT_EQ(layer.qkv.weight, Find(base + "attention.self.query.weight")->offset);
  EXPECT_EQ(layer.qkv.weight + 2 * 32 * 32, Find(base + "attention.self.value.weight")->offset);
  EXPECT_EQ(layer.qkv.bias + 32, Find(base + "attention.self.key.bias")->offset);
  EXPECT_EQ(layer.qkv.n, 96u);
  EXPECT_EQ(layer.down.weight, Find(base + "output.dense.weight")->offset);
  EXPECT_EQ(layer.down.k, 64u);
  EXPECT_EQ(layer.output_norm.beta, Find(base + "output.LayerNorm.bias")->offset);
  EXPECT_EQ(params_->decoder.weight, params_->words);
  EXPECT_EQ(params_->decoder.bias, Find("cls.predictions.bias")->offset);
  EXPECT_EQ(params_->types, Find("bert.embeddings.token_type_embeddings.weight")->offset);
  EXPECT_EQ(params_->cls[0].weight, Find("bert.pooler.dense.weight")->offset);
  EXPECT_EQ(params_->cls[1].n, 1u);
  EXPECT_EQ(params_->cls_act[0], SP_ACT_TANH);
  EXPECT_EQ(params_->cls_act[1], SP_ACT_NONE);
}

TEST_F(Params, AnUntiedDecoderIsItsOwn) {
  options_.decoder = SP_RANDOM_UNTIED;
  Open();
  ASSERT_EQ(Create(model_->config, true, false), SP_OK);
  EXPECT_NE(params_->decoder.weight, params_->words);
  EXPECT_EQ(params_->parameters, model_->parameters);
  ASSERT_EQ(Load(), SP_OK) << err_.message;
  ExpectSame("cls.predictions.decoder.weight", "cls.predictions.decoder.weight");
  ExpectSame("cls.predictions.decoder.bias", "cls.predictions.decoder.bias");
}

TEST_F(Params, InitIsAFunctionOfSeedAndName) {
  Open();
  ASSERT_EQ(Create(model_->config, true, false), SP_OK);
  sp_params_init(params_, 7, 0.02f, 0, values_.data());
  std::vector<float> first = values_;
  const sp_param *words = Find("bert.embeddings.word_embeddings.weight");
  std::vector<float> row(&first[words->offset], &first[words->offset] + words->count);
  sp_params_init(params_, 8, 0.02f, 0, values_.data());
  EXPECT_NE(values_[words->offset], row[0]);
  ASSERT_EQ(Create(model_->config, false, true), SP_OK);  // other tensors, other offsets
  sp_params_init(params_, 7, 0.02f, 0, values_.data());
  EXPECT_EQ(memcmp(&values_[params_->words], row.data(), 4 * row.size()), 0);
}

// A pinned draw: another machine or compiler must make the same bits.
TEST_F(Params, InitIsPinned) {
  Open();
  ASSERT_EQ(Create(model_->config, true, false), SP_OK);
  sp_params_init(params_, 1, 1.0f, 0, values_.data());
  const float *words = &values_[params_->words];
  EXPECT_EQ(words[0] * 65536, -50248);
  EXPECT_EQ(words[1] * 65536, -53358);
  EXPECT_EQ(words[3199] * 65536, 22646);
}

TEST_F(Params, InitHasTheMomentsOfANormal) {
  options_.vocab = 20000;
  Open();
  ASSERT_EQ(Create(model_->config, true, false), SP_OK);
  sp_params_init(params_, 3, 0.02f, 0, values_.data());
  const double n = 20000.0 * 32;
  double sum = 0, square = 0, fourth = 0, pairs = 0;
  for (size_t i = 0; i < 20000 * 32; i++) {
    double x = values_[params_->words + i] / 0.02;
    sum += x;
    square += x * x;
    fourth += x * x * x * x;
    pairs += i ? x * values_[params_->words + i - 1] / 0.02 : 0;
  }
  EXPECT_LE(std::fabs(sum / n), 5 / std::sqrt(n));
  EXPECT_LE(std::fabs(square / n - 1), 5 * std::sqrt(2 / n));
  EXPECT_LE(std::fabs(fourth / n - 2.9), 5 * std::sqrt(96 / n));  // 3 - 6 / (5 * 12)
  EXPECT_LE(std::fabs(pairs / n), 5 / std::sqrt(n));
}

TEST_F(Params, InitFillsTheRestAndLeavesGapsZero) {
  options_.hidden = 20;
  options_.scheduler = "3";
  options_.config_extra = kDynamic;
  Open();
  ASSERT_EQ(Create(model_->config, true, true), SP_OK) << err_.message;
  sp_params_init(params_, 1, 0.02f, 1.5f, values_.data());
  std::vector<bool> taken(params_->count);
  for (size_t i = 0; i < params_->n_tensors; i++) {
    const sp_param &tensor = params_->tensor[i];
    bool open = strstr(tensor.name, "lookahead.dense.bias");
    for (size_t j = tensor.offset; j < tensor.offset + tensor.count; j++) {
      taken[j] = true;
      if (tensor.init != SP_INIT_NORMAL) {
        ASSERT_EQ(values_[j], open                         ? 1.5f
                              : tensor.init == SP_INIT_ONE ? 1.0f
                                                           : 0.0f)
            << tensor.name;
      }
    }
  }
  for (size_t j = 0; j < params_->count; j++) {
    ASSERT_TRUE(taken[j] || values_[j] == 0.0f) << j;
  }
  EXPECT_EQ(Find("bert.encoder.layer.0.output.LayerNorm.weight")->init, SP_INIT_ONE);
}

TEST_F(Params, LoadCopiesEveryTensor) {
  options_.arch = SP_RANDOM_BOTH;
  options_.pooler = true;
  options_.scheduler = "3";
  options_.config_extra = kDynamic;
  options_.dtype = SP_RANDOM_BF16;
  Open();
  ASSERT_EQ(Create(model_->config, true, true, &model_->cls), SP_OK) << err_.message;
  EXPECT_EQ(params_->parameters, model_->parameters);
  ASSERT_EQ(Load(), SP_OK) << err_.message;
  EXPECT_STREQ(fresh_, "");
  for (size_t i = 0; i < params_->n_tensors; i++) {
    ExpectSame(params_->tensor[i].name, params_->tensor[i].name);
  }
}

TEST_F(Params, LoadReadsOlderNames) {
  options_.gamma_beta = true;
  options_.no_prefix = true;
  options_.arch = SP_RANDOM_CLS;
  options_.pooler = true;
  Open();
  ASSERT_EQ(Create(model_->config, false, true, &model_->cls), SP_OK) << err_.message;
  ASSERT_EQ(Load(), SP_OK) << err_.message;
  ExpectSame("bert.encoder.layer.0.output.LayerNorm.weight",
             "encoder.layer.0.output.LayerNorm.gamma");
  ExpectSame("bert.pooler.dense.weight", "pooler.dense.weight");
}

TEST_F(Params, AClassifierOfSeveralLayersKeepsItsNames) {
  options_.arch = SP_RANDOM_CLS;
  options_.classifier_hidden = 2;
  Open();
  ASSERT_EQ(Create(model_->config, false, true, &model_->cls), SP_OK) << err_.message;
  EXPECT_FALSE(params_->pooler);
  EXPECT_EQ(params_->n_cls, 3u);
  ASSERT_EQ(Load(), SP_OK) << err_.message;
  ExpectSame("classifier.4.weight", "classifier.4.weight");
}

TEST_F(Params, LoadTakesLayersByNumber) {
  options_.layers = 4;
  Open();
  sp_model_config config = model_->config;
  config.layers = 2;
  ASSERT_EQ(Create(config, true, false), SP_OK);
  const uint32_t from[] = {3, 1};
  ASSERT_EQ(Load(from), SP_OK) << err_.message;
  ExpectSame("bert.encoder.layer.0.output.dense.weight",
             "bert.encoder.layer.3.output.dense.weight");
  ExpectSame("bert.encoder.layer.1.attention.self.value.bias",
             "bert.encoder.layer.1.attention.self.value.bias");
  ExpectRefused(Load(), SP_EMODEL, "has 4 layers, the one trained 2");
  const uint32_t beyond[] = {0, 4};
  ExpectRefused(Load(beyond), SP_EUSAGE, "layer 4 cannot be taken");
}

TEST_F(Params, LoadListsWhatIsNew) {
  Open();
  sp_model_config config = model_->config;
  config.lookahead.policy = SP_MASK_DYNAMIC;
  config.lookahead.n_reach = 2;
  config.lookahead.reach[0] = 2;
  config.lookahead.reach[1] = 0;
  ASSERT_EQ(Create(config, true, true), SP_OK);
  sp_params_init(params_, 1, 0.02f, 1.0f, values_.data());
  std::vector<float> before = values_;
  ASSERT_EQ(Load(), SP_OK) << err_.message;
  EXPECT_STREQ(fresh_, "bert.encoder.layer.0.lookahead, bert.pooler, classifier");
  EXPECT_EQ(values_[params_->cls[1].weight], before[params_->cls[1].weight]);
  EXPECT_NE(values_[params_->words], before[params_->words]);
  char small[40];
  ASSERT_EQ(sp_params_load(params_, model_, nullptr, values_.data(), small, sizeof small, &err_),
            SP_OK);
  EXPECT_STREQ(small, "bert.encoder.layer.0.lookahead");
  options_.arch = SP_RANDOM_CLS;
  Open();
  ASSERT_EQ(Create(model_->config, true, false), SP_OK);
  ASSERT_EQ(Load(), SP_OK) << err_.message;
  EXPECT_STREQ(fresh_, "cls.predictions");
}

TEST_F(Params, OtherShapesAreNamed) {
  Open();
  sp_model_config config = model_->config;
  config.ffn = 48;
  ASSERT_EQ(Create(config, true, false), SP_OK);
  ExpectRefused(Load(), SP_EMODEL,
                "tensor bert.encoder.layer.0.intermediate.dense.weight of the model to begin from "
                "has the shape (64, 32); (48, 32) is trained");
  config = model_->config;
  config.max_positions = 128;
  ASSERT_EQ(Create(config, true, false), SP_OK);
  ExpectRefused(Load(), SP_EMODEL, "position_embeddings.weight");
}

TEST_F(Params, AnotherSchedulerIsRefused) {
  options_.scheduler = "3";
  options_.config_extra = kDynamic;
  Open();
  sp_model_config config = model_->config;
  config.lookahead.reach[0] = 2;
  ASSERT_EQ(Create(config, true, false), SP_OK);
  ExpectRefused(Load(), SP_EMODEL, "lookahead.dense.weight");
  config = model_->config;
  config.scheduler_hidden = 8;
  ASSERT_EQ(Create(config, true, false), SP_OK);
  ExpectRefused(Load(), SP_EMODEL, "the scheduler of layer 0");
  config.lookahead.policy = SP_MASK_FULL;  // what the model has and we have not is left behind
  ASSERT_EQ(Create(config, true, false), SP_OK);
  EXPECT_EQ(Load(), SP_OK) << err_.message;
}

TEST_F(Params, ADecoderIsNotLost) {
  options_.decoder = SP_RANDOM_UNTIED;
  Open();
  sp_model_config config = model_->config;
  config.tied = true;
  ASSERT_EQ(Create(config, true, false), SP_OK);
  ExpectRefused(Load(), SP_EMODEL, "a decoder of its own");
}

TEST_F(Params, AnotherClassifierIsRefused) {
  options_.arch = SP_RANDOM_CLS;
  Open();
  ASSERT_EQ(Create(model_->config, false, true), SP_OK);  // a new one has a pooler
  ExpectRefused(Load(), SP_EMODEL, "the classifier of the model to begin from has 1 layers");
}

TEST_F(Params, SizesBeyondMemoryAreRefused) {
  Open();
  sp_model_config config = model_->config;
  config.vocab_size = size_t{1} << 40;
  config.hidden = size_t{1} << 40;
  ExpectRefused(Create(config, true, false), SP_EMODEL, "does not fit into memory");
}

}  // namespace
