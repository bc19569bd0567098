#include "buf.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>

namespace {

// Releases its buffer at the end of the test.
struct Buf : sp_buf {
  explicit Buf(size_t limit = 0) : sp_buf{} {
    ceiling = limit;
  }
  ~Buf() {
    sp_buf_release(this);
  }
  std::string text() const {
    return std::string(data, len);
  }
};

TEST(Buf, AppendsAndGrowsWithoutLosingBytes) {
  Buf buf;
  std::string expected;
  sp_error err{};
  for (int i = 0; i < 5000; i++) {
    std::string piece = std::to_string(i) + (i % 7 == 0 ? std::string(1, '\0') : ",");
    expected += piece;
    ASSERT_EQ(sp_buf_append(&buf, piece.data(), piece.size(), &err), SP_OK);
    ASSERT_LE(buf.len, buf.capacity);
  }
  EXPECT_EQ(buf.text(), expected);
}

TEST(Buf, GrowsGeometrically) {
  Buf buf;
  sp_error err{};
  int moves = 0;
  for (size_t i = 0, capacity = 0; i < 1 << 20; i++) {
    ASSERT_EQ(sp_buf_append(&buf, "x", 1, &err), SP_OK);
    moves += buf.capacity != capacity;
    capacity = buf.capacity;
  }
  EXPECT_LE(moves, 20);
}

TEST(Buf, PaddingIsReadableAndSetToZeroWhenItIsMade) {
  Buf buf;
  sp_error err{};
  ASSERT_EQ(sp_buf_reserve(&buf, 1000, &err), SP_OK);
  for (size_t i = 0; i < buf.capacity + SP_BUF_PADDING; i++)
    ASSERT_EQ(buf.data[i], 0) << i;
}

TEST(Buf, HoldsItsCeilingToTheByte) {
  Buf buf(1000);
  sp_error err{};
  std::string thousand(1000, 'x');
  ASSERT_EQ(sp_buf_append(&buf, thousand.data(), 1000, &err), SP_OK);
  EXPECT_EQ(sp_buf_append(&buf, "y", 1, &err), SP_EINPUT);
  EXPECT_NE(std::string(err.message).find("1000 bytes"), std::string::npos) << err.message;
  EXPECT_EQ(buf.text(), thousand);
}

TEST(Buf, RefusesASizeThatOverflows) {
  Buf buf;
  sp_error err{};
  ASSERT_EQ(sp_buf_append(&buf, "abc", 3, &err), SP_OK);
  EXPECT_EQ(sp_buf_reserve(&buf, SIZE_MAX - 1, &err), SP_EINPUT);
  EXPECT_EQ(sp_buf_reserve(&buf, SP_BUF_CEILING, &err), SP_EINPUT);
  EXPECT_EQ(buf.text(), "abc");
}

TEST(Buf, PrintsTextsLongerThanItsRoom) {
  Buf buf;
  sp_error err{};
  std::string expected;
  for (size_t wide : {0u, 1u, 127u, 128u, 129u, 255u, 256u, 257u, 300u, 5000u}) {
    std::string piece(wide, 'p');
    expected += piece + ":" + std::to_string(wide);
    ASSERT_EQ(sp_buf_printf(&buf, &err, "%s:%zu", piece.c_str(), wide), SP_OK);
    ASSERT_EQ(buf.text(), expected) << wide;
  }
}

TEST(Buf, PrintingStopsAtTheCeiling) {
  Buf buf(1000);
  sp_error err{};
  std::string piece(2000, 'p');
  EXPECT_EQ(sp_buf_printf(&buf, &err, "%s", piece.c_str()), SP_EINPUT);
  EXPECT_EQ(buf.len, 0u);
}

TEST(Buf, TerminatesWithoutCounting) {
  Buf buf;
  sp_error err{};
  EXPECT_STREQ(sp_buf_cstr(&buf), "");
  ASSERT_EQ(sp_buf_append(&buf, "abc", 3, &err), SP_OK);
  EXPECT_STREQ(sp_buf_cstr(&buf), "abc");
  EXPECT_EQ(buf.len, 3u);
}

TEST(Buf, ReleaseKeepsTheCeilingAndMakesItUsableAgain) {
  Buf buf(300);
  sp_error err{};
  ASSERT_EQ(sp_buf_append(&buf, "abc", 3, &err), SP_OK);
  sp_buf_release(&buf);
  EXPECT_EQ(buf.len, 0u);
  EXPECT_EQ(buf.ceiling, 300u);
  ASSERT_EQ(sp_buf_append(&buf, "de", 2, &err), SP_OK);
  EXPECT_EQ(buf.text(), "de");
}

TEST(Text, ComparesBytes) {
  EXPECT_TRUE(sp_text_equal(SP_TEXT_LITERAL("ab"), SP_TEXT_LITERAL("ab")));
  EXPECT_FALSE(sp_text_equal(SP_TEXT_LITERAL("ab"), SP_TEXT_LITERAL("aB")));
  EXPECT_FALSE(sp_text_equal(SP_TEXT_LITERAL("ab"), SP_TEXT_LITERAL("abc")));
  EXPECT_FALSE(sp_text_equal(SP_TEXT_LITERAL("a\0b"), SP_TEXT_LITERAL("a\0c")));
  EXPECT_TRUE(sp_text_equal(sp_text{nullptr, 0}, SP_TEXT_LITERAL("")));
}

}  // namespace
