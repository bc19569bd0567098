#include "score_line.h"

#include <gtest/gtest.h>
#include <jansson.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>

#include "float_text.h"
#include "run_fixture.h"

namespace {

using sp_test::Contains;
using sp_test::Text;

const float kNaN = std::numeric_limits<float>::quiet_NaN();

std::string FloatText(float value) {
  char text[SP_FLOAT_TEXT_MAX];
  return std::string(text, sp_float_text(value, text));
}

uint32_t Bits(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

std::string LineText(const std::string &id, const std::vector<sp_hyp_score> &hyps,
                     unsigned methods) {
  sp_buf out{};
  sp_error err{};
  EXPECT_SP_OK(sp_score_line_write(&out, Text(id), hyps.data(), hyps.size(), methods, &err));
  std::string text(out.data, out.len);
  sp_buf_release(&out);
  return text;
}

TEST(FloatText, IsShortAndJson) {
  EXPECT_EQ(FloatText(-31.41593f), "-31.41593");
  EXPECT_EQ(FloatText(0.1f), "0.1");
  EXPECT_EQ(FloatText(0.0f), "0");
  EXPECT_EQ(FloatText(-0.0f), "-0.0");
  EXPECT_EQ(FloatText(1e10f), "1e+10");
  EXPECT_EQ(FloatText(kNaN), "null");
  EXPECT_EQ(FloatText(std::numeric_limits<float>::infinity()), "null");
  EXPECT_EQ(FloatText(-std::numeric_limits<float>::infinity()), "null");
}

// Both as a float reader and as a double reader (Python, JavaScript) sees it.
void ExpectRoundTrip(float value) {
  std::string text = FloatText(value);
  json_error_t fault;
  json_t *json = json_loadb(text.data(), text.size(), JSON_DECODE_ANY, &fault);
  ASSERT_TRUE(json) << text;
  json_decref(json);
  EXPECT_EQ(Bits(strtof(text.c_str(), nullptr)), Bits(value)) << text;
  EXPECT_EQ(Bits(static_cast<float>(strtod(text.c_str(), nullptr))), Bits(value)) << text;
}

TEST(FloatText, ReadsBackToTheSameBits) {
  std::mt19937 random(1);
  for (int k = 0; k < 200000; k++) {
    uint32_t bits = static_cast<uint32_t>(random());
    float value;
    memcpy(&value, &bits, sizeof value);
    if (std::isfinite(value))
      ExpectRoundTrip(value);
  }
  for (float value : {0.0f, -0.0f, 0x1p-149f, 0x1p-126f, 0x1.fffffep127f, -0x1.fffffep127f,
                      16777216.0f, 16777217.0f, 1.0f / 3.0f}) {
    ExpectRoundTrip(value);
  }
}

TEST(FloatText, TheOneDoubleRoundingTrapIsAvoided) {
  uint32_t bits = 0x15ae43fd;
  float value;
  memcpy(&value, &bits, sizeof value);
  ExpectRoundTrip(value);
  ExpectRoundTrip(-value);
}

TEST(JsonString, EveryByteReadsBack) {
  std::string all;
  for (int c = 1; c < 0x80; c++)
    all += static_cast<char>(c);
  all += std::string("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", 9) + std::string(1, '\0');
  sp_buf out{};
  sp_error err{};
  ASSERT_SP_OK(sp_json_string_write(&out, Text(all), &err));
  json_error_t fault;
  json_t *json = json_loadb(out.data, out.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, &fault);
  ASSERT_TRUE(json) << fault.text;
  EXPECT_EQ(std::string(json_string_value(json), json_string_length(json)), all);
  EXPECT_TRUE(Contains(std::string(out.data, out.len), "\\u0001"));
  EXPECT_TRUE(Contains(std::string(out.data, out.len), "\\b\\t\\n\\u000b\\f\\r\\u000e"));
  EXPECT_TRUE(Contains(std::string(out.data, out.len), "\\u001f !\\\"#"));
  json_decref(json);
  sp_buf_release(&out);
}

TEST(ScoreLine, IsAsTheDesignSaysIt) {
  std::vector<sp_hyp_score> hyps(2);
  hyps[0].n_tokens = 27;
  hyps[0].score[SP_PLL] = -31.41593f;
  hyps[1].rank = 1;
  hyps[1].flag = SP_FLAG_EMPTY;
  hyps[1].score[SP_PLL] = kNaN;
  EXPECT_EQ(LineText("1089-134686-0000", hyps, 1u << SP_PLL),
            "{\"id\":\"1089-134686-0000\",\"hyps\":[{\"i\":0,\"pll\":-31.41593,\"n\":27},"
            "{\"i\":1,\"pll\":null,\"n\":0,\"flag\":\"empty\"}]}\n");
  EXPECT_EQ(LineText("e", {}, 1u << SP_PLL), "{\"id\":\"e\",\"hyps\":[]}\n");
}

TEST(ScoreLine, SeveralMethodsTokensAndText) {
  const sp_text tokens[] = {SP_TEXT_LITERAL("a\""), SP_TEXT_LITERAL("##b")};
  const float logp[] = {-1.5f, kNaN}, l2r[] = {-2.0f, -0.25f};
  const sp_text text = SP_TEXT_LITERAL("a\"b\n");
  sp_hyp_score hyp{};
  hyp.rank = 4294967295u;
  hyp.n_tokens = 2;
  hyp.flag = SP_FLAG_TRUNCATED;
  hyp.score[SP_PLL] = -1.5f;
  hyp.score[SP_PLL_L2R] = -2.25f;
  hyp.score[SP_CLS] = 3.0f;
  hyp.score[SP_MASKLESS] = -0.5f;
  hyp.tokens = tokens;
  hyp.logp[SP_PLL] = logp;
  hyp.logp[SP_PLL_L2R] = l2r;
  hyp.text = &text;
  EXPECT_EQ(LineText("x", {hyp}, 15),
            "{\"id\":\"x\",\"hyps\":[{\"i\":4294967295,\"pll\":-1.5,\"pll_l2r\":-2.25,\"cls\":3,"
            "\"maskless\":-0.5,\"n\":2,\"flag\":\"truncated\",\"tokens\":[\"a\\\"\",\"##b\"],"
            "\"logp\":[-1.5,null],\"logp_l2r\":[-2,-0.25],\"text\":\"a\\\"b\\n\"}]}\n");
  EXPECT_EQ(LineText("x", {hyp}, 1u << SP_CLS),
            "{\"id\":\"x\",\"hyps\":[{\"i\":4294967295,\"cls\":3,\"n\":2,\"flag\":\"truncated\","
            "\"tokens\":[\"a\\\"\",\"##b\"],\"text\":\"a\\\"b\\n\"}]}\n");
}

class ScoreParser : public ::testing::Test {
 protected:
  ScoreParser() {
    EXPECT_SP_OK(sp_score_parser_create(&parser_, &err));
  }
  ~ScoreParser() override {
    sp_score_parser_destroy(parser_);
    sp_buf_release(&padded_);
  }
  sp_status Parse(const std::string &line) {
    sp_buf_clear(&padded_);
    EXPECT_SP_OK(sp_buf_append(&padded_, line.data(), line.size(), &err));
    err = {};
    return sp_score_parse(parser_, {padded_.data, padded_.len}, &line_, &err);
  }
  sp_error err{};
  sp_score_line line_{};

  sp_score_parser *parser_ = nullptr;

 private:
  sp_buf padded_{};
};

TEST_F(ScoreParser, ReadsWhatTheWriterWrites) {
  std::mt19937 random(7);
  for (int round = 0; round < 200; round++) {
    std::vector<sp_hyp_score> hyps(random() % 12);
    uint64_t tokens = 0;
    for (size_t k = 0; k < hyps.size(); k++) {
      hyps[k].rank = static_cast<uint32_t>(k);
      hyps[k].n_tokens = random();
      hyps[k].flag = static_cast<sp_flag>(random() % SP_FLAG_COUNT);
      hyps[k].score[SP_PLL] = random() % 5 ? -static_cast<float>(random()) / 3e7f : kNaN;
      hyps[k].score[SP_CLS] = -0.0f;
      tokens += hyps[k].n_tokens;
    }
    std::string id = "id \"\\\t" + std::to_string(round);
    std::string text = LineText(id, hyps, 1u << SP_PLL | 1u << SP_CLS);
    ASSERT_EQ(Parse(text.substr(0, text.size() - 1)), SP_OK) << err.message;
    EXPECT_EQ(std::string(line_.id.data, line_.id.len), id);
    EXPECT_EQ(line_.n_tokens, tokens);
    ASSERT_EQ(line_.n_hyps, hyps.size());
    for (size_t k = 0; k < hyps.size(); k++) {
      EXPECT_EQ(line_.hyps[k].rank, hyps[k].rank);
      EXPECT_EQ(line_.hyps[k].n_tokens, hyps[k].n_tokens);
      EXPECT_EQ(line_.hyps[k].flag, hyps[k].flag);
      EXPECT_EQ(Bits(line_.hyps[k].score[SP_PLL]), Bits(hyps[k].score[SP_PLL]));
      EXPECT_EQ(Bits(line_.hyps[k].score[SP_CLS]), Bits(-0.0f));
      EXPECT_TRUE(std::isnan(line_.hyps[k].score[SP_MASKLESS]));
    }
  }
}

TEST_F(ScoreParser, TakesPerTokenListsAndAnyOrder) {
  EXPECT_EQ(Parse("{\"hyps\":[{\"n\":2,\"i\":3,\"logp\":[-1,null],\"tokens\":[\"a\",\"b\"],"
                  "\"text\":\"t\",\"pll\":-1.5}, {\"i\":0,\"n\":0}],\"id\":\"z\"}"),
            SP_OK)
      << err.message;
  EXPECT_EQ(line_.n_hyps, 2u);
  EXPECT_EQ(line_.hyps[0].rank, 3u);
}

TEST_F(ScoreParser, RefusesEverythingElse) {
  const char *bad[] = {
      "",
      "null",
      "[]",
      "{}",
      "{\"id\":\"a\"}",
      "{\"hyps\":[]}",
      "{\"id\":1,\"hyps\":[]}",
      "{\"id\":\"a\",\"hyps\":{}}",
      "{\"id\":\"a\",\"hyps\":[],\"id\":\"a\"}",
      "{\"id\":\"a\",\"hyps\":[],\"hyps\":[]}",
      "{\"id\":\"a\",\"hyps\":[],\"more\":1}",
      "{\"id\":\"a\",\"hyps\":[]} x",
      "{\"id\":\"a\",\"hyps\":[]",
      "{\"id\":\"a\",\"hyps\":[1]}",
      "{\"id\":\"\xff\",\"hyps\":[]}",
      "{\"id\":\"a\",\"hyps\":[{\"i\":0}]}",
      "{\"id\":\"a\",\"hyps\":[{\"n\":0}]}",
      "{\"id\":\"a\",\"hyps\":[{\"i\":-1,\"n\":0}]}",
      "{\"id\":\"a\",\"hyps\":[{\"i\":0.5,\"n\":0}]}",
      "{\"id\":\"a\",\"hyps\":[{\"i\":4294967296,\"n\":0}]}",
      "{\"id\":\"a\",\"hyps\":[{\"i\":0,\"n\":null}]}",
      "{\"id\":\"a\",\"hyps\":[{\"i\":0,\"n\":0,\"n\":0}]}",
      "{\"id\":\"a\",\"hyps\":[{\"i\":0,\"n\":0,\"pll\":\"x\"}]}",
      "{\"id\":\"a\",\"hyps\":[{\"i\":0,\"n\":0,\"pll\":1e39}]}",
      "{\"id\":\"a\",\"hyps\":[{\"i\":0,\"n\":0,\"pll\":NaN}]}",
      "{\"id\":\"a\",\"hyps\":[{\"i\":0,\"n\":0,\"pll\":1,\"pll\":1}]}",
      "{\"id\":\"a\",\"hyps\":[{\"i\":0,\"n\":0,\"flag\":\"\"}]}",
      "{\"id\":\"a\",\"hyps\":[{\"i\":0,\"n\":0,\"flag\":\"odd\"}]}",
      "{\"id\":\"a\",\"hyps\":[{\"i\":0,\"n\":0,\"flag\":null}]}",
      "{\"id\":\"a\",\"hyps\":[{\"i\":0,\"n\":0,\"text\":null}]}",
      "{\"id\":\"a\",\"hyps\":[{\"i\":0,\"n\":1,\"tokens\":[1]}]}",
      "{\"id\":\"a\",\"hyps\":[{\"i\":0,\"n\":1,\"tokens\":[]}]}",
      "{\"id\":\"a\",\"hyps\":[{\"i\":0,\"n\":1,\"tokens\":[\"a\"],\"logp\":[1,2]}]}",
      "{\"id\":\"a\",\"hyps\":[{\"i\":0,\"n\":1,\"logp_l2r\":[\"a\"]}]}",
      "{\"id\":\"a\",\"hyps\":[{\"i\":0,\"n\":0,\"other\":0}]}",
      "{\"id\":\"a\",\"hyps\":[{\"i\":1,\"n\":0},{\"i\":0,\"n\":0},{\"i\":1,\"n\":0}]}",
  };
  for (const char *line : bad) {
    EXPECT_EQ(Parse(line), SP_EDAMAGED) << line;
    EXPECT_NE(err.message[0], '\0') << line;
  }
}

sp_latency_stats Latency() {
  return {{3.25, 3, 4, 5, 5, 3.5, kNaN, 0, 12, 0.1}};
}
const std::string kLatency =
    R"({"mean":3.25,"p50":3,"p90":4,"p99":5,"max":5,"emission_mean":3.5,"clipped_mean":null,)"
    R"("clipped":0,"outputs":12,"upl":0.1})";

TEST_F(ScoreParser, LatencyGoesThroughALine) {
  sp_latency_stats of_hyp = Latency(), of_list = Latency();
  of_list.value[SP_LATENCY_OUTPUTS] = 1 << 30;
  std::vector<sp_hyp_score> hyps(2);
  hyps[0].latency = &of_hyp;
  hyps[1].rank = 1;
  sp_buf out{};
  EXPECT_SP_OK(sp_score_line_write(&out, Text("u"), hyps.data(), 2, 0, &err));
  EXPECT_SP_OK(sp_score_line_add_latency(&out, &of_list, &err));
  std::string line(out.data, out.len);
  sp_buf_release(&out);
  EXPECT_EQ(line.rfind(R"({"id":"u","hyps":[{"i":0,"n":0,"latency":)" + kLatency +
                           R"(},{"i":1,"n":0}],"latency":{"mean":3.25,)", 0), 0u) << line;
  ASSERT_EQ(line.back(), '\n');
  ASSERT_SP_OK(Parse(line.substr(0, line.size() - 1)));
  ASSERT_NE(line_.hyps[0].latency, nullptr);
  EXPECT_EQ(line_.hyps[1].latency, nullptr);
  EXPECT_EQ(line_.hyps[0].latency->value[SP_LATENCY_MEAN], 3.25);
  EXPECT_TRUE(std::isnan(line_.hyps[0].latency->value[SP_LATENCY_CLIPPED_MEAN]));
  ASSERT_NE(line_.latency, nullptr);
  EXPECT_EQ(line_.latency->value[SP_LATENCY_OUTPUTS], 1 << 30);
  ASSERT_SP_OK(Parse(R"({"id":"v","hyps":[]})"));
  EXPECT_EQ(line_.latency, nullptr) << "left from the line before";
}

TEST_F(ScoreParser, RefusesOtherLatencies) {
  auto with = [&](const std::string &latency) {
    return Parse(R"({"id":"a","hyps":[{"i":0,"n":0,"latency":)" + latency + "}]}");
  };
  auto changed = [](const std::string &from, const std::string &to) {
    std::string text = kLatency;
    return text.replace(text.find(from), from.size(), to);
  };
  EXPECT_SP_OK(with(kLatency));
  EXPECT_EQ(with("null"), SP_EDAMAGED);
  EXPECT_EQ(with("{}"), SP_EDAMAGED);
  EXPECT_EQ(with(changed(",\"p50\":3", "")), SP_EDAMAGED) << "a member is missing";
  EXPECT_EQ(with(changed("\"p50\"", "\"mean\"")), SP_EDAMAGED) << "a member comes twice";
  EXPECT_EQ(with(changed("\"p50\"", "\"p51\"")), SP_EDAMAGED);
  EXPECT_EQ(with(changed(":12", ":-12")), SP_EDAMAGED);
  EXPECT_EQ(with(changed(":12", ":1.5")), SP_EDAMAGED);
  EXPECT_EQ(with(changed(":12", ":null")), SP_EDAMAGED);
  EXPECT_EQ(with(changed("3.25", "\"3\"")), SP_EDAMAGED);
  EXPECT_EQ(Parse(R"({"id":"a","hyps":[],"latency":)" + kLatency + R"(,"latency":)" + kLatency + "}"),
            SP_EDAMAGED);
}

TEST_F(ScoreParser, RefusesHalfASurrogatePair) {
  EXPECT_EQ(Parse("{\"id\":\"\\ud800\",\"hyps\":[]}"), SP_EDAMAGED);
  EXPECT_EQ(Parse("{\"id\":\"\\udc00\",\"hyps\":[]}"), SP_EDAMAGED);
  EXPECT_EQ(Parse("{\"id\":\"\\ud83d\\ude00\",\"hyps\":[]}"), SP_OK) << err.message;
}

TEST_F(ScoreParser, KeepsPerTokenValuesWhenAsked) {
  const std::string line =
      R"({"id":"x","hyps":[{"i":0,"pll":-3,"n":2,"tokens":["a","b"],"logp":[-1,null]},)"
      R"({"i":1,"pll":-4,"n":0,"logp":[]},{"i":2,"pll":-4,"n":1},)"
      R"({"i":3,"pll":-4,"n":1,"logp":[-4],"logp_l2r":[-0.5]}]})";
  EXPECT_SP_OK(Parse(line));
  EXPECT_EQ(line_.hyps[0].logp[SP_PLL], nullptr);
  sp_score_parser_keep_logp(parser_);
  for (int round = 0; round < 2; round++) {
    EXPECT_SP_OK(Parse(line));
    ASSERT_EQ(line_.n_hyps, 4u);
    ASSERT_NE(line_.hyps[0].logp[SP_PLL], nullptr);
    EXPECT_EQ(line_.hyps[0].logp[SP_PLL][0], -1.0f);
    EXPECT_TRUE(std::isnan(line_.hyps[0].logp[SP_PLL][1]));
    EXPECT_EQ(line_.hyps[0].logp[SP_PLL_L2R], nullptr);
    EXPECT_EQ(line_.hyps[2].logp[SP_PLL], nullptr);
    ASSERT_NE(line_.hyps[3].logp[SP_PLL_L2R], nullptr);
    EXPECT_EQ(line_.hyps[3].logp[SP_PLL][0], -4.0f);
    EXPECT_EQ(line_.hyps[3].logp[SP_PLL_L2R][0], -0.5f);
  }
}

}  // namespace
