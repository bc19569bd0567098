#include "utf8_valid.h"

#include <gtest/gtest.h>

#include <string>

namespace {

size_t Prefix(const std::string &text) {
  return sp_utf8_valid_prefix({text.data(), text.size()});
}

// The encoding as the code point's bits say, valid or not.
std::string Encode(uint32_t code, int len) {
  if (len == 1)
    return std::string(1, static_cast<char>(code));
  std::string out;
  for (int i = len - 1; i > 0; i--, code >>= 6) {
    out.insert(out.begin(), static_cast<char>(0x80 | (code & 0x3f)));
  }
  out.insert(out.begin(), static_cast<char>((0xf00 >> len & 0xff) | code));
  return out;
}

int LengthOf(uint32_t code) {
  return code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
}

TEST(Utf8, TakesEveryScalarValueInItsShortestFormOnly) {
  for (uint32_t code = 0; code < 0x110000; code++) {
    bool surrogate = code >= 0xd800 && code < 0xe000;
    int shortest = LengthOf(code);
    for (int len = shortest; len <= 4; len++) {
      std::string text = Encode(code, len);
      bool valid = len == shortest && !surrogate;
      ASSERT_EQ(Prefix(text), valid ? text.size() : 0) << std::hex << code << " as " << len;
    }
  }
}

TEST(Utf8, RefusesWhatLiesBeyondUnicode) {
  for (uint32_t code : {0x110000u, 0x13ffffu, 0x140000u, 0x1fffffu}) {
    EXPECT_EQ(Prefix(Encode(code, 4)), 0u) << std::hex << code;
  }
  for (int lead = 0xf5; lead <= 0xff; lead++) {
    EXPECT_EQ(Prefix(std::string(1, static_cast<char>(lead)) + "\x80\x80\x80\x80\x80"), 0u);
  }
}

TEST(Utf8, RefusesEveryTruncationAndSaysWhereItBegins) {
  for (uint32_t code : {0x80u, 0x7ffu, 0x800u, 0xffffu, 0x10000u, 0x10ffffu}) {
    std::string whole = Encode(code, LengthOf(code));
    for (size_t cut = 1; cut < whole.size(); cut++) {
      EXPECT_EQ(Prefix("ab" + whole.substr(0, cut)), 2u);
      EXPECT_EQ(Prefix("ab" + whole.substr(0, cut) + "c"), 2u);
      EXPECT_EQ(Prefix("ab" + whole.substr(0, cut) + whole), 2u);
    }
  }
}

TEST(Utf8, RefusesAContinuationByItself) {
  for (int byte = 0x80; byte < 0xc2; byte++) {
    EXPECT_EQ(Prefix(std::string("x") + static_cast<char>(byte)), 1u) << byte;
  }
}

TEST(Utf8, FindsABadByteAtAnyPlaceOfALongText) {
  for (size_t len : {1u, 7u, 8u, 9u, 16u, 31u, 64u}) {
    EXPECT_EQ(Prefix(std::string(len, 'a')), len);
    for (size_t at = 0; at < len; at++) {
      std::string text(len, 'a');
      text[at] = '\xff';
      EXPECT_EQ(Prefix(text), at) << len;
    }
  }
  EXPECT_EQ(Prefix(""), 0u);
  EXPECT_TRUE(sp_utf8_valid({nullptr, 0}));
  EXPECT_TRUE(sp_utf8_valid(SP_TEXT_LITERAL("a\0b")));
}

TEST(Utf8, ACharacterMayStraddleEightBytes) {
  for (size_t before = 0; before < 16; before++) {
    std::string text = std::string(before, 'a') + "\xf0\x9f\x99\x82" + std::string(9, 'b');
    EXPECT_EQ(Prefix(text), text.size());
  }
}

}  // namespace
