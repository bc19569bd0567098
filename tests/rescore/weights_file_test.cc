// WEIGHTS.json comes back as it was written, and nothing else is taken.
#include "weights_file.h"

#include <gtest/gtest.h>
#include <jansson.h>

#include <cstring>
#include <memory>
#include <string>

namespace sp_test {
namespace {

sp_status Parse(const std::string &text, sp_weights_file *out, sp_error *err) {
  return sp_weights_file_parse({text.data(), text.size()}, "w.json", out, err);
}

const char kGood[] =
    R"({"secondpass_weights":1,"combine":"convex","first":{"score":0.7,"ctc":0.3},)"
    R"("second":[{"name":"pll","weight":0.35,"model_hash":"ab","mask":"causal forced"},)"
    R"({"name":"llm","weight":-1e-3,"model_hash":""}],)"
    R"("length_norm":"gnmt:0.6","insertion_bonus":-0.5})";

TEST(WeightsFile, IsReadAsItSays) {
  sp_weights_file weights;
  sp_error err{};
  ASSERT_EQ(Parse(kGood, &weights, &err), SP_OK) << err.message;
  const sp_combination &c = weights.combination;
  EXPECT_EQ(c.kind, SP_COMBINE_CONVEX);
  ASSERT_EQ(c.first.n, 2u);
  EXPECT_STREQ(c.first.items[1].name, "ctc");
  EXPECT_EQ(c.first.items[1].value, 0.3);
  ASSERT_EQ(c.second.n, 2u);
  EXPECT_EQ(c.second.items[1].value, -1e-3);
  EXPECT_STREQ(weights.model_hashes[0], "ab");
  EXPECT_STREQ(weights.masks[0], "causal forced");
  EXPECT_STREQ(weights.masks[1], "") << "it may be absent";
  EXPECT_EQ(c.norm, SP_NORM_GNMT);
  EXPECT_EQ(c.gnmt_alpha, 0.6);
  EXPECT_EQ(c.bonus, -0.5);
}

TEST(WeightsFile, RoundTripsEveryBit) {
  sp_weights_file weights, again;
  sp_error err{};
  ASSERT_EQ(Parse(kGood, &weights, &err), SP_OK);
  weights.combination.second.items[0].value = 0.1 + 0.2;
  weights.combination.bonus = 5e-324;
  auto options = std::make_unique<sp_tune_options>();
  auto result = std::make_unique<sp_tune_result>();
  options->ranges[0] = options->ranges[2] = {true, 0, 10};
  sp_tuned tuned{};
  tuned.options = options.get();
  tuned.result = result.get();
  tuned.block_by = "speaker";
  tuned.signature = "a \"quoted\" \xff signature";
  sp_buf text{};
  ASSERT_EQ(sp_weights_file_text(&weights, &tuned, &text, &err), SP_OK) << err.message;
  std::string written(text.data, text.len);
  sp_buf_release(&text);
  ASSERT_EQ(Parse(written, &again, &err), SP_OK) << err.message << written;
  EXPECT_EQ(again.combination.second.items[0].value, 0.1 + 0.2);
  EXPECT_EQ(again.combination.bonus, 5e-324);
  EXPECT_EQ(memcmp(&weights.model_hashes, &again.model_hashes, sizeof weights.model_hashes), 0);
  EXPECT_EQ(memcmp(&weights.masks, &again.masks, sizeof weights.masks), 0);
  json_error_t fault;
  json_t *json = json_loads(written.c_str(), JSON_REJECT_DUPLICATES, &fault);
  ASSERT_NE(json, nullptr) << fault.text;
  json_t *axes = json_object_get(json_object_get(json, "tuned"), "axes");
  ASSERT_EQ(json_array_size(axes), 2u);
  EXPECT_EQ(json_array_size(json_object_get(json_array_get(axes, 0), "curve")),
            static_cast<size_t>(sp_tune_samples));
  json_decref(json);
}

TEST(Signature, TellsTheMask) {
  const struct {
    std::string signature, mask;
  } cases[] = {
      {"pll|m:ab|eos:|mask:layerwise:2,0 left:9|long:null", "layerwise:2,0 left:9"},
      {"pll|eos:|mask:full|mask:causal forced|long:null", "causal forced"},
      {"pll|mask:full", "full"},
      {"pll|m:ab", ""},
      {"xxh128:0123", ""},
      {"", ""},
      {"pll|mask:" + std::string(63, 'x') + "|v:1", std::string(63, 'x')},
      {"pll|mask:" + std::string(64, 'x') + "|v:1", ""},
  };
  for (const auto &one : cases) {
    char mask[SP_SIGNATURE_MASK];
    sp_signature_mask(one.signature.c_str(), mask);
    EXPECT_EQ(mask, one.mask) << one.signature;
  }
}

TEST(WeightsFile, RefusesEverythingElse) {
  const struct {
    const char *from, *to, *part;
  } cases[] = {
      {"{\"secondpass", "[\"secondpass", "w.json:1:"},
      {"weights\":1,", "weights\":2,", "secondpass_weights"},
      {"weights\":1,", "weights\":\"1\",", "secondpass_weights"},
      {"\"combine\":\"convex\",", "", "combine"},
      {"convex", "Convex", "combine"},
      {"\"combine\"", "\"extra\":1,\"combine\"", "extra"},
      {"\"combine\"", "\"tuned\":1,\"combine\"", "tuned"},
      {"\"combine\"", "\"combine\":\"convex\",\"combine\"", "w.json:1:"},
      {"{\"score\":0.7,\"ctc\":0.3}", "[]", "first"},
      {"\"score\":0.7", "\"score\":\"0.7\"", "score"},
      {"\"score\":0.7", "\"sc ore\":0.7", "first"},
      {"\"name\":\"llm\"", "\"name\":\"pll\"", "second"},
      {"\"name\":\"llm\"", "\"name\":\"../x\"", "second"},
      {"\"weight\":0.35", "\"weight\":1e10", "pll"},
      {"\"weight\":0.35", "\"weight\":null", "pll"},
      {"\"weight\":0.35", "\"wait\":0.35", "pll"},
      {"\"weight\":0.35,", "", "second"},
      {"\"model_hash\":\"ab\"", "\"model_hash\":1", "second"},
      {"\"mask\":\"causal forced\"", "\"mask\":1", "second"},
      {"\"mask\":\"causal", "\"other\":\"causal", "second"},
      {"\"mask\":\"causal",
       "\"mask\":\"0123456789012345678901234567890123456789012345678901234567890123",
       "pll has a mask that is too long"},
      {"gnmt:0.6", "gnmt", "gnmt"},
      {"\"length_norm\":\"gnmt:0.6\",", "", "length_norm"},
      {"-0.5}", "\"tune\"}", "insertion_bonus"},
      {",\"insertion_bonus\":-0.5", "", "insertion_bonus"},
      {"-0.5}", "1e999}", "w.json"},
      {"-0.5}", "-0.5} x", "w.json:1:"},
  };
  for (const auto &one : cases) {
    std::string text = kGood;
    ASSERT_NE(text.find(one.from), std::string::npos) << one.from;
    text.replace(text.find(one.from), strlen(one.from), one.to);
    sp_weights_file weights;
    sp_error err{};
    EXPECT_EQ(Parse(text, &weights, &err), SP_EINPUT) << text;
    EXPECT_NE(strstr(err.message, one.part), nullptr) << err.message;
  }
  sp_weights_file weights;
  sp_error err{};
  EXPECT_EQ(Parse("", &weights, &err), SP_EINPUT);
}

}  // namespace
}  // namespace sp_test
