// Texts into words, characters and mixed units.
#include "units.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace sp_test {
namespace {

class Units {
 public:
  explicit Units(sp_unit unit) {
    if (sp_units_create(unit, &units_, nullptr) != SP_OK)
      abort();
  }
  ~Units() {
    sp_units_destroy(units_);
  }
  std::vector<uint32_t> Ids(const std::string &text) {
    const uint32_t *ids = nullptr;
    size_t n = 0;
    EXPECT_EQ(sp_units_split(units_, {text.data(), text.size()}, &ids, &n, nullptr), SP_OK);
    return std::vector<uint32_t>(ids, ids + n);
  }
  // The units between bars.
  std::string Split(const std::string &text) {
    std::string out;
    for (uint32_t id : Ids(text)) {
      const sp_text unit = sp_units_text(units_, id);
      out += (out.empty() ? "" : "|") + std::string(unit.data, unit.len);
    }
    return out;
  }
  void Clear() {
    sp_units_clear(units_);
  }

 private:
  sp_units *units_ = nullptr;
};

TEST(UnitsTest, Words) {
  Units words(SP_UNIT_WORD);
  EXPECT_EQ(words.Split(""), "");
  EXPECT_EQ(words.Split(" \t\r\n\v\f "), "");
  EXPECT_EQ(words.Split("  he hoped\tthere "), "he|hoped|there");
  EXPECT_EQ(words.Split("extraordinarily extraordinarily-long"),
            "extraordinarily|extraordinarily-long");
  EXPECT_EQ(words.Split("caf\u00e9 na\u00efve"), "caf\u00e9|na\u00efve");
  EXPECT_EQ(words.Split("a\u00a0b\u2003c\u3000d\u2028e\u0085f"), "a|b|c|d|e|f");
  EXPECT_EQ(words.Split("a\u200bb\x01"
                        "c\x1f"
                        "d"),
            "a\u200bb\x01"
            "c\x1f"
            "d")
      << "zero-width space and controls are no White_Space";
  EXPECT_EQ(words.Split("\u4f60\u597d \u4e16"), "\u4f60\u597d|\u4e16");
}

TEST(UnitsTest, Characters) {
  Units chars(SP_UNIT_CHAR);
  EXPECT_EQ(chars.Split("he is"), "h|e|i|s");
  EXPECT_EQ(chars.Split("\u4f60\u3000\u597d\U0001f600"), "\u4f60|\u597d|\U0001f600");
  EXPECT_EQ(chars.Split("e\u0301"), "e|\u0301") << "scalar values, not grapheme clusters";
}

TEST(UnitsTest, Mixed) {
  Units mixed(SP_UNIT_MIXED);
  EXPECT_EQ(mixed.Split("\u6211\u8981 book \u4e00\u4e2ameeting room"),
            "\u6211|\u8981|book|\u4e00|\u4e2a|meeting|room");
  EXPECT_EQ(mixed.Split("ok\u597dok"), "ok|\u597d|ok");
  EXPECT_EQ(mixed.Split("\u30c6\u30b9\u30c8\u3057\u30fc"), "\u30c6|\u30b9|\u30c8|\u3057|\u30fc");
  EXPECT_EQ(mixed.Split("\ud55c\uad6d\uc5b4 \ub9d0"), "\ud55c\uad6d\uc5b4|\ub9d0")
      << "Hangul is written in words";
  EXPECT_EQ(mixed.Split("\U00020000a"), "\U00020000|a");
}

TEST(UnitsTest, EqualUnitsHaveEqualIds) {
  for (sp_unit unit : {SP_UNIT_WORD, SP_UNIT_MIXED, SP_UNIT_CHAR}) {
    Units units(unit);
    for (int round = 0; round < 3; round++) {
      const auto first = units.Ids("x y x z"), second = units.Ids("z q y");
      ASSERT_EQ(first.size(), 4u);
      EXPECT_EQ(first[0], first[2]);
      EXPECT_NE(first[0], first[1]);
      EXPECT_EQ(second[0], first[3]);
      EXPECT_EQ(second[2], first[1]);
      EXPECT_NE(second[1], first[0]);
      units.Clear();
    }
  }
}

TEST(UnitsTest, ManyDistinctWords) {
  Units words(SP_UNIT_WORD);
  std::string text;
  for (int i = 0; i < 20000; i++)
    text += "w" + std::to_string(i) + " ";
  for (int round = 0; round < 2; round++) {
    const auto ids = words.Ids(text), again = words.Ids(text);
    ASSERT_EQ(ids.size(), 20000u);
    EXPECT_EQ(ids, again);
    for (uint32_t i = 0; i < 20000; i++)
      ASSERT_EQ(ids[i], i);
    words.Clear();
  }
}

}  // namespace
}  // namespace sp_test
