#include "json_fast.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "fault.h"

namespace {

class Json : public ::testing::Test {
 protected:
  void SetUp() override {
    json_ = sp_json_create();
    ASSERT_NE(json_, nullptr);
  }
  void TearDown() override {
    sp_json_destroy(json_);
  }

  sp_status Parse(const std::string &doc, sp_json_value *root) {
    kept_ = doc + std::string(SP_BUF_PADDING, '\0');
    err_ = {};
    return sp_json_parse(json_, {kept_.data(), doc.size()}, "f", 10, root, &err_);
  }

  sp_json *json_ = nullptr;
  std::string kept_;
  sp_error err_ = {};
};

TEST_F(Json, WalksObjectsAndArraysInOrder) {
  sp_json_value root, value, item;
  sp_json_cursor cursor, items;
  sp_text key;
  ASSERT_EQ(Parse(R"({"b":[1,-2.5,"x"],"a":null,"b":true,"c":{}})", &root), SP_OK);
  ASSERT_TRUE(sp_json_object_begin(root, &cursor));
  ASSERT_TRUE(sp_json_object_next(&cursor, &key, &value));
  EXPECT_EQ(std::string(key.data, key.len), "b");
  ASSERT_TRUE(sp_json_array_begin(value, &items));
  double number;
  ASSERT_TRUE(sp_json_array_next(&items, &item) && sp_json_number(item, &number));
  EXPECT_EQ(number, 1.0);
  ASSERT_TRUE(sp_json_array_next(&items, &item) && sp_json_number(item, &number));
  EXPECT_EQ(number, -2.5);
  ASSERT_TRUE(sp_json_array_next(&items, &item));
  EXPECT_FALSE(sp_json_number(item, &number));
  EXPECT_EQ(sp_json_type_of(item), SP_JSON_STRING);
  EXPECT_FALSE(sp_json_array_next(&items, &item));
  std::vector<sp_json_type> types;
  while (sp_json_object_next(&cursor, &key, &value))
    types.push_back(sp_json_type_of(value));
  EXPECT_EQ(types, (std::vector<sp_json_type>{SP_JSON_NULL, SP_JSON_BOOL, SP_JSON_OBJECT}));
  EXPECT_FALSE(sp_json_array_begin(root, &items));
}

TEST_F(Json, UnescapesAndRefusesHalfSurrogates) {
  sp_json_value root;
  sp_text text;
  ASSERT_EQ(Parse(R"("a\u0000\n\u00e9\ud83d\ude00")", &root), SP_OK);
  ASSERT_TRUE(sp_json_string(json_, root, &text));
  EXPECT_EQ(std::string(text.data, text.len), std::string("a\0\n\xc3\xa9\xf0\x9f\x98\x80", 9));
  for (const char *half :
       {R"("\ud800")", R"("\udc00")", R"("\ud800\u0041")", R"("\udfff\ud800")"}) {
    bool refused = Parse(half, &root) != SP_OK || !sp_json_string(json_, root, &text);
    EXPECT_TRUE(refused) << half;
  }
}

TEST_F(Json, NamesLineAndReason) {
  struct {
    const char *doc, *message;
  } cases[] = {
      {"{\n\"a\":\nNaN}", "f:12: NaN is not a JSON number, at 'NaN}'"},
      {"[1,2", "f:10: the value ends early"},
      {"[1,]", "f:10: a value is expected, at ']'"},
      {"[01]", "f:10: not a JSON number, at '01]'"},
      {"[1 2]", "f:10: ',' or ']' is expected, at '2]'"},
      {"{\"a\":1}\n\nx", "f:12: something follows the end of the JSON value, at 'x'"},
      {"[\"\x01\"]", "f:10: a control character inside a string, at '?\"]'"},
      {"[\"\xff\"]", "f:10: invalid UTF-8, at '?\"]'"},
      {"[1e999]", "f:10: a number is out of range"},
      {"", "f:10: the value ends early"},
  };
  for (const auto &c : cases) {
    sp_json_value root;
    EXPECT_EQ(Parse(c.doc, &root), SP_EINPUT) << c.doc;
    EXPECT_STREQ(err_.message, c.message);
  }
}

TEST(JsonFault, AcceptsWhatIsJson) {
  for (std::string doc :
       {"1", "-0", "0.5e-7", "[]", "{}", " [ {} , [ ] , \"\\u00e9\\ud83d\\ude00\" ] ",
        "{\"a\":{\"b\":[true,false,null]},\"c\":-12}"}) {
    size_t offset;
    EXPECT_EQ(sp_json_fault({doc.data(), doc.size()}, &offset), nullptr) << doc;
  }
}

TEST(JsonFault, PointsAtTheFirstBadByte) {
  struct {
    std::string doc;
    size_t offset;
  } cases[] = {{"[1,x]", 3},         {"{\"a\" 1}", 5},  {"[1}", 2},        {"-", 0},
               {"[1.]", 1},          {"tru", 0},        {"{\"a\":1,}", 7}, {"[\"\\x\"]", 3},
               {"[\"\\u12g4\"]", 6}, {"[-Infinity]", 1}};
  for (const auto &c : cases) {
    size_t offset = SIZE_MAX;
    EXPECT_NE(sp_json_fault({c.doc.data(), c.doc.size()}, &offset), nullptr) << c.doc;
    EXPECT_EQ(offset, c.offset) << c.doc;
  }
}

TEST(NumberParse, TakesDecimalsOnly) {
  double value;
  for (auto [text, expected] : std::vector<std::pair<std::string, double>>{
           {"-4.0636", -4.0636}, {"-4.", -4.0}, {"0", 0.0}, {"1e-5", 1e-5}, {"-0.5E2", -50.0}}) {
    ASSERT_TRUE(sp_number_parse({text.data(), text.size()}, &value)) << text;
    EXPECT_EQ(value, expected);
  }
  for (std::string text : {"", "nan", "inf", "-inf", "0x10", "1,5", " 1", "1 ", "+1", "1e999"}) {
    EXPECT_FALSE(sp_number_parse({text.data(), text.size()}, &value)) << text;
  }
}

}  // namespace
