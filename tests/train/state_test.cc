#include "state.h"

#include <gtest/gtest.h>
#include <xxhash.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "file.h"
#include "scratch.h"
#include "state_file.h"

namespace {

using sp_test::ReadFile;
using sp_test::Scratch;
using sp_test::WriteFile;

const float kUntouched = 77;

struct Arrays {
  explicit Arrays(size_t count) : param(count, kUntouched), m(param), v(param) {}
  sp_train_arrays View() {
    return {param.data(), m.data(), v.data(), param.size()};
  }
  std::vector<float> param, m, v;
};

class State : public testing::Test {
 protected:
  ~State() override {
    json_decref(facts_);
  }
  std::string Path(uint64_t step) {
    char name[64];
    snprintf(name, sizeof name, "state-%08llu.sptrain", (unsigned long long)step);
    return scratch_ / name;
  }
  bool Has(uint64_t step) {
    return sp_file_exists(Path(step).c_str());
  }
  sp_status Save(uint64_t step, size_t keep = 9, float value = 0) {
    Arrays arrays(5);
    for (size_t i = 0; i < 5; i++) {
      arrays.param[i] = value + static_cast<float>(step) + static_cast<float>(i) / 8;
      arrays.m[i] = -arrays.param[i];
      arrays.v[i] = std::numeric_limits<float>::denorm_min() * static_cast<float>(i);
    }
    json_t *facts = json_pack("{s:I}", "mine", (json_int_t)step);
    sp_train_arrays view = arrays.View();
    sp_status status = sp_state_save(scratch_.path().c_str(), step, facts, &view, keep, &err_);
    json_decref(facts);
    return status;
  }
  sp_status Load(size_t count = 5) {
    loaded_ = Arrays(count);
    sp_train_arrays view = loaded_.View();
    json_decref(facts_);
    facts_ = nullptr;
    err_ = {};
    return sp_state_load(scratch_.path().c_str(), &view, &facts_, note_, sizeof note_, &err_);
  }
  void ExpectLoaded(uint64_t step) {
    ASSERT_EQ(Load(), SP_OK) << err_.message;
    ASSERT_TRUE(facts_);
    EXPECT_EQ(json_integer_value(json_object_get(facts_, "mine")), (json_int_t)step);
    EXPECT_EQ(loaded_.param[1], static_cast<float>(step) + 0.125f);
    EXPECT_EQ(loaded_.m[1], -loaded_.param[1]);
    EXPECT_EQ(loaded_.v[4], 4 * std::numeric_limits<float>::denorm_min());
  }
  void ExpectUntouched() {
    EXPECT_EQ(loaded_.param, std::vector<float>(loaded_.param.size(), kUntouched));
    EXPECT_EQ(loaded_.v, loaded_.param);
  }
  // The bytes with a right hash behind them.
  sp_status Parse(std::string bytes, uint64_t step = 3) {
    XXH128_canonical_t hash;
    XXH128_canonicalFromHash(&hash, XXH3_128bits(bytes.data(), bytes.size()));
    bytes.append(reinterpret_cast<char *>(hash.digest), sizeof hash.digest);
    json_decref(facts_);
    facts_ = nullptr;
    loaded_ = Arrays(1);
    sp_train_arrays view = loaded_.View();
    err_ = {};
    return sp_state_file_parse({bytes.data(), bytes.size()}, "a.sptrain", step, &view, &facts_,
                               &err_);
  }
  Scratch scratch_;
  sp_error err_{};
  Arrays loaded_{0};
  json_t *facts_ = nullptr;
  char note_[2048] = "";
};

TEST_F(State, AnEmptyDirectoryHasNone) {
  ASSERT_EQ(Load(), SP_OK) << err_.message;
  EXPECT_EQ(facts_, nullptr);
  EXPECT_STREQ(note_, "");
  ExpectUntouched();
}

TEST_F(State, NoDirectoryIsAnError) {
  sp_train_arrays view = loaded_.View();
  EXPECT_EQ(sp_state_load((scratch_ / "no").c_str(), &view, &facts_, note_, sizeof note_, &err_),
            SP_EIO);
  EXPECT_TRUE(strstr(err_.message, "/no")) << err_.message;
}

TEST_F(State, TheNewestComesBackToTheBit) {
  ASSERT_EQ(Save(9), SP_OK) << err_.message;
  ASSERT_EQ(Save(10), SP_OK) << err_.message;
  ExpectLoaded(10);
  EXPECT_STREQ(note_, "");
}

TEST_F(State, EqualStatesAreEqualBytes) {
  ASSERT_EQ(Save(3), SP_OK);
  std::string first = ReadFile(Path(3));
  ASSERT_EQ(Save(3), SP_OK);
  EXPECT_EQ(ReadFile(Path(3)), first);
}

TEST_F(State, DoublesOfFactsComeBackToTheBit) {
  const double values[] = {0.1,   1.0 / 3, -0.0,   5e-324, 1.7976931348623157e308,
                           3.0,   1e22,    2.5e-7, M_PI,   0.99999999999999989,
                           1e-300};
  json_t *facts = json_object(), *list = json_array();
  for (double value : values) {
    json_array_append_new(list, json_real(value));
  }
  json_object_set_new(facts, "list", list);
  json_object_set_new(facts, "whole", json_integer(INT64_MAX));
  json_object_set_new(facts, "text", json_string("line\nä\"\\"));
  Arrays arrays(5);
  sp_train_arrays view = arrays.View();
  ASSERT_EQ(sp_state_save(scratch_.path().c_str(), 1, facts, &view, 1, &err_), SP_OK);
  ASSERT_EQ(Load(), SP_OK) << err_.message;
  EXPECT_TRUE(json_equal(facts, facts_));
  for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
    const json_t *item = json_array_get(json_object_get(facts_, "list"), i);
    double back = json_real_value(item);
    EXPECT_TRUE(json_is_real(item));
    EXPECT_EQ(memcmp(&back, &values[i], 8), 0) << values[i];
  }
  json_decref(facts);
}

TEST_F(State, EveryHarmedByteAndEveryCutIsFound) {
  ASSERT_EQ(Save(4), SP_OK);
  const std::string good = ReadFile(Path(4));
  for (size_t i = 0; i < good.size(); i++) {
    for (int change : {1, 128}) {
      std::string bad = good;
      bad[i] = static_cast<char>(bad[i] ^ change);
      WriteFile(Path(4), bad);
      ASSERT_EQ(Load(), SP_EDAMAGED) << i;
      ExpectUntouched();
    }
    WriteFile(Path(4), good.substr(0, i));
    ASSERT_EQ(Load(), SP_EDAMAGED) << i;
  }
  EXPECT_TRUE(strstr(err_.message, "state-00000004.sptrain")) << err_.message;
  WriteFile(Path(4), good + '\0');
  EXPECT_EQ(Load(), SP_EDAMAGED);
  WriteFile(Path(4), good);
  ExpectLoaded(4);
}

TEST_F(State, AHarmedOneIsPassedOverWithANote) {
  ASSERT_EQ(Save(5), SP_OK);
  ASSERT_EQ(Save(6), SP_OK);
  ASSERT_EQ(Save(7), SP_OK);
  WriteFile(Path(7), "");
  std::string bytes = ReadFile(Path(6));
  bytes[bytes.size() / 2]++;
  WriteFile(Path(6), bytes);
  ExpectLoaded(5);
  EXPECT_TRUE(strstr(note_, "state-00000007.sptrain is cut")) << note_;
  EXPECT_TRUE(strstr(note_, "; ")) << note_;
  EXPECT_TRUE(strstr(note_, "state-00000006.sptrain is cut or harmed")) << note_;
}

TEST_F(State, AFileUnderAnotherStepsNameIsNotTaken) {
  ASSERT_EQ(Save(5), SP_OK);
  WriteFile(Path(8), ReadFile(Path(5)));
  ExpectLoaded(5);
  EXPECT_TRUE(strstr(note_, "contradicts its size or name")) << note_;
}

TEST_F(State, TheNewestAreKept) {
  for (uint64_t step : {1, 2, 3, 4}) {
    ASSERT_EQ(Save(step, 2), SP_OK) << err_.message;
  }
  EXPECT_FALSE(Has(1) || Has(2));
  EXPECT_TRUE(Has(3) && Has(4));
  ASSERT_EQ(Save(5, 0), SP_OK);  // one at least
  EXPECT_FALSE(Has(4));
  ExpectLoaded(5);
}

// A run that went back behind harmed states must not lose its own to them.
TEST_F(State, StatesOfLaterStepsGo) {
  ASSERT_EQ(Save(2), SP_OK);
  ASSERT_EQ(Save(9), SP_OK);
  WriteFile(Path(9), "harmed");
  ExpectLoaded(2);
  ASSERT_EQ(Save(3, 1), SP_OK) << err_.message;
  EXPECT_FALSE(Has(9) || Has(2));
  ExpectLoaded(3);
  EXPECT_STREQ(note_, "");
}

TEST_F(State, WhatAKilledSaveLeftIsNeitherReadNorKept) {
  ASSERT_EQ(Save(2), SP_OK);
  const std::string cut = Path(3) + ".tmp.4711", other = scratch_ / "state-notes.sptrain",
                    alike = Path(3) + ".tmp.x", padded = scratch_ / "state-3.sptrain";
  for (const std::string &path : {cut, other, alike, padded}) {
    WriteFile(path, "half");
  }
  ExpectLoaded(2);
  EXPECT_STREQ(note_, "");
  ASSERT_EQ(Save(3, 1), SP_OK) << err_.message;
  EXPECT_FALSE(sp_file_exists(cut.c_str()));
  for (const std::string &path : {other, alike, padded}) {
    EXPECT_TRUE(sp_file_exists(path.c_str())) << path;
  }
}

TEST_F(State, AnotherModelIsNamed) {
  ASSERT_EQ(Save(2), SP_OK);
  EXPECT_EQ(Load(6), SP_EMODEL);
  EXPECT_TRUE(strstr(err_.message, "is of a model with 5 numbers, this one has 6")) << err_.message;
  ExpectUntouched();
}

TEST_F(State, LargeStepsHaveLongNames) {
  ASSERT_EQ(Save(99999999), SP_OK);
  ASSERT_EQ(Save(123456789012), SP_OK);
  ASSERT_EQ(Load(), SP_OK) << err_.message;
  EXPECT_EQ(json_integer_value(json_object_get(facts_, "mine")), 123456789012);
}

TEST_F(State, ASaveThatFailsLeavesTheOldOne) {
  ASSERT_EQ(Save(1), SP_OK);
  ASSERT_EQ(sp_file_make_directory(Path(2).c_str(), &err_), SP_OK); /* in the way of the rename */
  EXPECT_EQ(Save(2, 1), SP_EIO);
  EXPECT_TRUE(strstr(err_.message, "state-00000002.sptrain")) << err_.message;
  ExpectLoaded(1);
}

TEST_F(State, HeadersWithARightHashAreStillChecked) {
  const std::string body(12, '\0');
  const std::string start = R"({"format":"secondpass-state","version":1,)";
  EXPECT_EQ(Parse(start + R"("step":3,"count":1,"facts":{}})" + "\n" + body), SP_OK)
      << err_.message;
  const struct {
    std::string bytes;
    sp_status status;
    const char *part;
  } cases[] = {
      {"", SP_EDAMAGED, "is cut"},
      {"{}", SP_EDAMAGED, "has no header"},
      {"{}\n", SP_EDAMAGED, "is no state"},
      {"[1]\n" + body, SP_EDAMAGED, "is no state"},
      {start + R"("step":3,"step":3,"count":1,"facts":{}})" + "\n" + body, SP_EDAMAGED,
       "has no header"},
      {R"({"format":"secondpass-state","version":2,"step":3,"count":1,"facts":{}})"
       "\n" +
           body,
       SP_EMODEL, "version 2"},
      {start + R"("step":4,"count":1,"facts":{}})" + "\n" + body, SP_EDAMAGED, "contradicts"},
      {start + R"("step":3,"count":2,"facts":{}})" + "\n" + body, SP_EDAMAGED, "contradicts"},
      {start + R"("step":3,"count":-1,"facts":{}})" + "\n" + body, SP_EDAMAGED, "contradicts"},
      {start + R"("step":3,"count":1537228672809129302,"facts":{}})" + "\n", SP_EDAMAGED,
       "contradicts"},  // times 12 it is 8 modulo 2^64
      {start + R"("step":3,"count":1.0,"facts":{}})" + "\n" + body, SP_EDAMAGED, "contradicts"},
      {start + R"("step":3,"count":1,"facts":[]})" + "\n" + body, SP_EDAMAGED, "contradicts"},
      {start + R"("step":3,"count":0,"facts":{}})" + "\n", SP_EMODEL, "with 0 numbers"},
  };
  for (const auto &each : cases) {
    EXPECT_EQ(Parse(each.bytes), each.status) << each.bytes;
    EXPECT_TRUE(strstr(err_.message, each.part)) << err_.message;
    EXPECT_EQ(facts_, nullptr);
  }
}

}  // namespace
