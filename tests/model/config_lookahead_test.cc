// config_lookahead_test.cc - the object "lookahead" of config.json.
#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "config.h"

namespace {

class LookaheadConfig : public testing::Test {
 protected:
  sp_status Parse(const std::string &object) {
    const std::string json =
        R"({"model_type":"bert","architectures":["BertForMaskedLM"],"num_hidden_layers":3,
            "max_position_embeddings":64,"lookahead":)" +
        object + "}";
    err_ = {};
    return sp_model_config_parse({json.data(), json.size()}, "config.json", &config_, &err_);
  }
  std::string Printed() {
    char text[256];
    return std::string(text, sp_lookahead_print(&config_.lookahead, text, sizeof text));
  }
  sp_model_config config_{};
  sp_error err_{};
};

TEST_F(LookaheadConfig, AbsentIsTheFullMask) {
  for (const char *object : {"null", R"({"policy":"full"})"}) {
    ASSERT_EQ(Parse(object), SP_OK) << err_.message;
    EXPECT_EQ(config_.lookahead.policy, SP_MASK_FULL);
    EXPECT_EQ(config_.scheduler_hidden, 0u);
    EXPECT_EQ(Printed(), "full");
  }
}

TEST_F(LookaheadConfig, EveryPolicyIsRead) {
  const struct {
    const char *object, *printed;
  } cases[] = {
      {R"({"policy":"causal"})", "causal"},
      {R"({"policy":"causal","left":7,"cls":"last"})", "causal left:7 cls:last,bound"},
      {R"({"policy":"layerwise","max":32})", "layerwise:32"},
      {R"({"policy":"layerwise","max":5,"layers":[5,0,2]})", "layerwise:5,0,2"},
      {R"({"policy":"layerwise","max":5,"layers":[2,2,2]})", "layerwise:2"},
      {R"({"policy":"layerwise","max":5,"layers":[0,0,0],"left":4})", "causal left:4"},
      {R"({"policy":"chunked","chunk":1})", "causal"},
      {R"({"policy":"chunked","chunk":64,"cls_view":"hidden"})", "chunked:64 cls:first,hidden"},
      {R"({"policy":"dynamic","max":1,"layers":null})", "dynamic:1"},
      {R"({"policy":"dynamic","max":3,"layers":[0,3,1],"cells":"span","tau":0.5,"cls":"last",
           "cls_view":"last-layer"})",
       "dynamic:0,3,1 span:0.5 cls:last,last-layer"},
  };
  for (const auto &one : cases) {
    ASSERT_EQ(Parse(one.object), SP_OK) << err_.message;
    EXPECT_EQ(Printed(), one.printed);
  }
}

TEST_F(LookaheadConfig, DefaultsOfADynamicPolicy) {
  ASSERT_EQ(Parse(R"({"policy":"dynamic","max":4})"), SP_OK) << err_.message;
  EXPECT_FALSE(config_.lookahead.span);
  EXPECT_EQ(config_.lookahead.tau, 1.0f);
  EXPECT_EQ(config_.lookahead.left, 0u);
  EXPECT_FALSE(config_.lookahead.cls_last);
  EXPECT_EQ(config_.lookahead.cls_view, sp_lookahead::SP_CLS_BOUND);
  EXPECT_EQ(config_.scheduler_hidden, 0u);
}

TEST_F(LookaheadConfig, TheHiddenLayerOfItsSchedulers) {
  ASSERT_EQ(Parse(R"({"policy":"dynamic","max":4,"hidden_size":8})"), SP_OK) << err_.message;
  EXPECT_EQ(config_.scheduler_hidden, 8u);
  EXPECT_EQ(config_.scheduler_act, SP_ACT_TANH);
  ASSERT_EQ(Parse(R"({"policy":"dynamic","max":4,"hidden_size":8,"hidden_act":"gelu"})"), SP_OK);
  EXPECT_EQ(config_.scheduler_act, SP_ACT_GELU_ERF);
}

TEST_F(LookaheadConfig, WhatIsWrongIsNamedWithKeyAndValue) {
  const struct {
    const char *object, *message;
  } cases[] = {
      {"[]", "lookahead is []: an object is needed"},
      {"{}", "lookahead.policy is missing"},
      {R"({"policy":3})", "lookahead.policy is 3: a text is needed"},
      {R"({"policy":"sometimes"})", "lookahead.policy is \"sometimes\": \"full\""},
      {R"({"policy":"layerwise:3"})", "lookahead.policy is \"layerwise:3\""},
      {R"({"policy":"layerwise"})", "lookahead.max is missing"},
      {R"({"policy":"dynamic"})", "lookahead.max is missing"},
      {R"({"policy":"chunked"})", "lookahead.chunk is missing"},
      {R"({"policy":"dynamic","max":0})", "lookahead.max is 0: a whole number from 1 to 32"},
      {R"({"policy":"dynamic","max":33})", "lookahead.max is 33: a whole number from 1 to 32"},
      {R"({"policy":"layerwise","max":-1})", "lookahead.max is -1"},
      {R"({"policy":"layerwise","max":2.0})", "lookahead.max is 2.0"},
      {R"({"policy":"layerwise","max":"2"})", "lookahead.max is \"2\""},
      {R"({"policy":"chunked","chunk":0})", "lookahead.chunk is 0"},
      {R"({"policy":"chunked","chunk":65})", "lookahead.chunk is 65: a whole number from 1 to 64"},
      {R"({"policy":"chunked","chunk":8,"max":2})",
       "lookahead.max is 2: the policy \"chunked\" does not take it"},
      {R"({"policy":"causal","max":2})", "the policy \"causal\" does not take it"},
      {R"({"policy":"full","left":2})", "lookahead.left is 2: the policy \"full\""},
      {R"({"policy":"full","cls":"last"})", "lookahead.cls is \"last\": the policy \"full\""},
      {R"({"policy":"layerwise","max":2,"chunk":2})", "lookahead.chunk is 2: the policy"},
      {R"({"policy":"layerwise","max":2,"cells":"span"})",
       "lookahead.cells is \"span\": the policy"},
      {R"({"policy":"layerwise","max":2,"hidden_size":8})",
       "lookahead.hidden_size is 8: the policy"},
      {R"({"policy":"dynamic","max":2,"layers":[1,2]})",
       "lookahead.layers is [1,2]: a list of 3 numbers is needed, one a layer"},
      {R"({"policy":"dynamic","max":2,"layers":2})", "lookahead.layers is 2: a list of 3"},
      {R"({"policy":"dynamic","max":2,"layers":[1,3,2]})",
       "lookahead.layers is [1,3,2]: whole numbers from 0 to max, 2, are needed"},
      {R"({"policy":"dynamic","max":2,"layers":[1,-1,2]})", "lookahead.layers is [1,-1,2]"},
      {R"({"policy":"dynamic","max":2,"layers":[1,null,2]})", "lookahead.layers is [1,null,2]"},
      {R"({"policy":"dynamic","max":2,"layers":[0,0,0]})", "no layer looks ahead"},
      {R"({"policy":"causal","left":0})", "lookahead.left is 0: a whole number from 1 to 64"},
      {R"({"policy":"causal","left":65})", "lookahead.left is 65"},
      {R"({"policy":"dynamic","max":2,"cells":"spans"})", "lookahead.cells is \"spans\""},
      {R"({"policy":"dynamic","max":2,"tau":2})", "lookahead.tau is 2: only \"cells\": \"span\""},
      {R"({"policy":"dynamic","max":2,"cells":"span","tau":0})",
       "lookahead.tau is 0: a number over 0"},
      {R"({"policy":"dynamic","max":2,"cells":"span","tau":1e39})", "lookahead.tau is"},
      {R"({"policy":"dynamic","max":2,"cells":"span","tau":"1"})", "lookahead.tau is \"1\""},
      {R"({"policy":"dynamic","max":2,"hidden_size":65537})", "lookahead.hidden_size is 65537"},
      {R"({"policy":"dynamic","max":2,"hidden_act":"relu"})",
       "lookahead.hidden_act is \"relu\": only a scheduler with hidden_size"},
      {R"({"policy":"dynamic","max":2,"hidden_size":4,"hidden_act":"mish"})",
       "lookahead.hidden_act is \"mish\""},
      {R"({"policy":"causal","cls":"middle"})", "lookahead.cls is \"middle\""},
      {R"({"policy":"causal","cls_view":true})", "lookahead.cls_view is true"},
      {R"({"policy":"causal","window":3})",
       "lookahead.window is 3: the keys are policy, max, layers"},
      {R"({"policy":"causal","window":null})", "lookahead.window is null"},
      {R"({"policy":"causal","policy":"full"})", "duplicate"},
  };
  for (const auto &one : cases) {
    EXPECT_EQ(Parse(one.object), SP_EMODEL) << one.object;
    EXPECT_TRUE(strstr(err_.message, one.message)) << one.object << ": " << err_.message;
    EXPECT_TRUE(strstr(err_.message, "config.json")) << err_.message;
  }
}

}  // namespace
