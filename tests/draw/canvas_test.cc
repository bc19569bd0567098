// One list of shapes, two pictures: both are read back by readers of their own.
#include "canvas.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>

#include "font.h"
#include "pictures.h"

namespace sp_test {
namespace {

constexpr sp_colour kBlue{0, 114, 178}, kBlack{0, 0, 0};
const Pixel kWhite{255, 255, 255}, kBluePixel{0, 114, 178}, kBlackPixel{0, 0, 0};

sp_text Text(const std::string &text) {
  return {text.data(), text.size()};
}

class CanvasTest : public ::testing::Test {
 protected:
  void TearDown() override {
    sp_canvas_release(&canvas_);
  }
  void Begin(int width, int height) {
    sp_canvas_init(&canvas_, width, height, &err_);
  }
  void Put(int x, int y, const sp_text_style &style, const std::string &text) {
    sp_canvas_text(&canvas_, x, y, &style, Text(text));
  }
  std::string Svg(const std::string &title = "t") {
    return Written([&](sp_buf *out) { return sp_canvas_svg(&canvas_, Text(title), out, &err_); });
  }
  Picture Png() {
    return DecodePng(Written([&](sp_buf *out) { return sp_canvas_png(&canvas_, out, &err_); }));
  }
  template <typename Write>
  std::string Written(Write write) {
    sp_buf out{};
    sp_status status = write(&out);
    std::string bytes(out.data ? out.data : "", out.len);
    sp_buf_release(&out);
    if (status != SP_OK)
      throw std::runtime_error(err_.message);
    return bytes;
  }

  sp_canvas canvas_{};
  sp_error err_{};
};

TEST_F(CanvasTest, RectanglesAreWholePixels) {
  Begin(9, 7);
  sp_canvas_rect(&canvas_, 2, 1, 3, 4, kBlue, "past");
  Picture png = Png();
  ASSERT_EQ(png.width, 9u);
  ASSERT_EQ(png.height, 7u);
  for (size_t y = 0; y < 7; y++)
    for (size_t x = 0; x < 9; x++)
      EXPECT_EQ(png.At(x, y), x >= 2 && x < 5 && y >= 1 && y < 5 ? kBluePixel : kWhite)
          << x << "," << y;
  std::vector<Element> rects = Select(ParseXml(Svg()), "rect", "past");
  ASSERT_EQ(rects.size(), 1u);
  EXPECT_EQ(rects[0].Number("x"), 2);
  EXPECT_EQ(rects[0].Number("y"), 1);
  EXPECT_EQ(rects[0].Number("width"), 3);
  EXPECT_EQ(rects[0].Number("height"), 4);
  EXPECT_EQ(rects[0].attributes.at("fill"), "#0072b2");
}

TEST_F(CanvasTest, WhatLiesOutsideIsCutOff) {
  Begin(4, 4);
  sp_canvas_rect(&canvas_, -5, -5, 7, 7, kBlue, nullptr);
  sp_canvas_rect(&canvas_, 3, 3, 1000, 1000, kBlue, nullptr);
  sp_canvas_rect(&canvas_, 1, 1, 0, 5, kBlack, nullptr);
  sp_canvas_line(&canvas_, -100, 50, -1, 60, 9, kBlack, nullptr);
  sp_text_style style{3, SP_ANCHOR_MIDDLE, kBlack, true, true};
  Put(-40, 70, style, "far away");
  Picture png = Png();
  EXPECT_EQ(png.Count(kBluePixel), 5u);
  EXPECT_EQ(png.Count(kWhite), 11u);
}

TEST_F(CanvasTest, ALineIsAsWideAndLongAsItSays) {
  Begin(40, 40);
  sp_canvas_line(&canvas_, 5, 20, 35, 20, 4, kBlack, "edge");
  Picture png = Png();
  for (size_t y : {18, 19, 20, 21})
    EXPECT_EQ(png.At(20, y), kBlackPixel) << y;
  EXPECT_EQ(png.At(20, 17), kWhite);
  EXPECT_EQ(png.At(20, 22), kWhite);
  EXPECT_EQ(png.At(1, 20), kWhite);
  EXPECT_EQ(png.At(38, 20), kWhite);
  EXPECT_EQ(Select(ParseXml(Svg()), "line", "edge").size(), 1u);
}

TEST_F(CanvasTest, ASlantedLineIsSmoothAndSymmetric) {
  Begin(32, 32);
  sp_canvas_line(&canvas_, 4, 4, 28, 28, 3, kBlack, nullptr);
  Picture png = Png();
  size_t grey = 0;
  for (size_t y = 0; y < 32; y++)
    for (size_t x = 0; x < 32; x++) {
      EXPECT_EQ(png.At(x, y), png.At(y, x));
      grey += png.At(x, y) != kWhite && png.At(x, y) != kBlackPixel;
    }
  EXPECT_GT(grey, 20u);
  EXPECT_EQ(png.At(16, 16), kBlackPixel);
  double ink = 0;
  for (const Pixel &p : png.pixels)
    ink += (255 - p[0]) / 255.0;
  double area = 3 * 24 * std::sqrt(2.0) + 3.14159 * 1.5 * 1.5;
  EXPECT_TRUE(std::abs(ink - area) < 0.03 * area) << ink << " " << area;
}

TEST_F(CanvasTest, ALineWithoutLengthIsADisc) {
  Begin(20, 20);
  sp_canvas_line(&canvas_, 10, 10, 10, 10, 12, kBlue, nullptr);
  Picture png = Png();
  double ink = 0;
  for (const Pixel &p : png.pixels)
    ink += (255 - p[0]) / 255.0;
  EXPECT_TRUE(std::abs(ink - 3.14159 * 36) < 3) << ink;
}

TEST_F(CanvasTest, LettersAreTheFontsDots) {
  Begin(20, 20);
  sp_text_style style{2, SP_ANCHOR_START, kBlack, false, false};
  Put(4, 16, style, "E");
  Picture png = Png();
  const uint8_t *rows = sp_font_glyph('E');
  for (size_t y = 0; y < 8; y++)
    for (size_t x = 0; x < 5; x++)
      for (size_t dot = 0; dot < 4; dot++)
        EXPECT_EQ(png.At(4 + 2 * x + dot % 2, 2 + 2 * y + dot / 2),
                  rows[y] >> (4 - x) & 1 ? kBlackPixel : kWhite)
            << x << "," << y;
}

TEST_F(CanvasTest, TextUpwardsIsTurned) {
  Begin(16, 16);
  sp_text_style style{1, SP_ANCHOR_START, kBlack, false, true};
  Put(10, 14, style, "L");
  Picture png = Png();
  for (size_t y = 7; y < 14; y++)  // L's stroke now lies, its foot stands at the right
    EXPECT_EQ(png.At(9, y), y >= 9 ? kBlackPixel : kWhite) << y;
  for (size_t x = 3; x < 10; x++)
    EXPECT_EQ(png.At(x, 13), kBlackPixel) << x;
  Element text = Select(ParseXml(Svg()), "text", "").at(0);
  EXPECT_EQ(text.attributes.at("transform"), "rotate(-90 10 14)");
}

TEST_F(CanvasTest, AnchorsShiftByTheTextsWidth) {
  Begin(40, 60);
  sp_text_style start{1, SP_ANCHOR_START, kBlack, false, false}, middle = start, end = start;
  middle.anchor = SP_ANCHOR_MIDDLE;
  end.anchor = SP_ANCHOR_END;
  Put(2, 10, start, "Hi\xc3\xa9");
  Put(2 + 9, 30, middle, "Hi\xc3\xa9");
  Put(2 + 18, 50, end, "Hi\xc3\xa9");
  Picture png = Png();
  for (size_t y = 0; y < 20; y++)
    for (size_t x = 0; x < 40; x++) {
      EXPECT_EQ(png.At(x, y), png.At(x, y + 20));
      EXPECT_EQ(png.At(x, y), png.At(x, y + 40));
    }
  std::vector<Element> texts = Select(ParseXml(Svg()), "text", "");
  ASSERT_EQ(texts.size(), 3u);
  EXPECT_EQ(texts[0].attributes.count("text-anchor"), 0u);
  EXPECT_EQ(texts[1].attributes.at("text-anchor"), "middle");
  EXPECT_EQ(texts[2].attributes.at("text-anchor"), "end");
}

TEST_F(CanvasTest, WhatTheFontLacksIsABoxAndStaysInTheSvg) {
  Begin(20, 12);
  sp_text_style style{1, SP_ANCHOR_START, kBlack, false, false};
  Put(2, 9, style, "\xc3\xa9");
  EXPECT_EQ(Png().Count(kBlackPixel), 20u);  // the rim of 5 x 7
  EXPECT_EQ(Select(ParseXml(Svg()), "text", "").at(0).text, "\xc3\xa9");
}

TEST_F(CanvasTest, TheSvgIsWellFormedWhateverTheText) {
  Begin(300, 300);
  sp_text_style style{1, SP_ANCHOR_START, kBlack, true, false};
  const std::string texts[] = {"<script>&\"'</text>",
                               std::string("a\0b\x1b[31m", 8),
                               "\xff\xfe",
                               "\xef\xbf\xbe\xef\xbf\xbf",
                               "]]>",
                               "\xed\xa0\x80"};
  int y = 20;
  for (const std::string &text : texts)
    Put(5, y += 20, style, text);
  std::vector<Element> all = ParseXml(Svg("</title><x a='\""));
  EXPECT_EQ(Select(all, "title", "").at(0).text, "</title><x a='\"");
  std::vector<Element> shown = Select(all, "text", "");
  ASSERT_EQ(shown.size(), 6u);
  EXPECT_EQ(shown[0].text, texts[0]);
  EXPECT_EQ(shown[3].text, "\xef\xbf\xbd\xef\xbf\xbd");
  Png();
}

TEST_F(CanvasTest, EveryPrintableLetterHasInkOfItsOwn) {
  for (uint32_t a = '!'; a <= '~'; a++) {
    const uint8_t *rows = sp_font_glyph(a);
    EXPECT_NE(std::string(reinterpret_cast<const char *>(rows), 8), std::string(8, '\0'));
    for (uint32_t b = '!'; b < a; b++)
      EXPECT_NE(memcmp(rows, sp_font_glyph(b), 8), 0) << char(a) << char(b);
  }
  EXPECT_EQ(sp_font_glyph(0x7f), sp_font_glyph(0x4e00));
}

TEST_F(CanvasTest, SizesBeyondTheLimitsAreRefused) {
  const std::pair<int, int> sizes[] = {
      {0, 5}, {5, -1}, {SP_CANVAS_SIDE + 1, 1}, {SP_CANVAS_SIDE, SP_CANVAS_SIDE}};
  for (auto size : sizes) {
    Begin(size.first, size.second);
    sp_canvas_rect(&canvas_, 0, 0, 1, 1, kBlue, nullptr);
    sp_buf out{};
    sp_error err{};
    EXPECT_EQ(sp_canvas_svg(&canvas_, Text("t"), &out, &err), SP_EUSAGE);
    EXPECT_EQ(sp_canvas_png(&canvas_, &out, &err), SP_EUSAGE);
    EXPECT_EQ(out.len, 0u);
    EXPECT_NE(std::string(err_.message).find("pixels"), std::string::npos);
    sp_canvas_release(&canvas_);
  }
}

TEST_F(CanvasTest, ALargePictureIsAPngOfItsSize) {
  Begin(5000, 900);
  std::srand(1);
  for (int i = 0; i < 20000; i++)
    sp_canvas_rect(&canvas_, std::rand() % 5000, std::rand() % 900, 9, 9,
                   {uint8_t(std::rand()), uint8_t(std::rand()), uint8_t(i)}, nullptr);
  sp_canvas_rect(&canvas_, 4999, 899, 1, 1, kBlue, nullptr);
  Picture png = Png();
  EXPECT_EQ(png.At(4999, 899), kBluePixel);
}

TEST(TextShorten, KeepsWholeCharactersAndSaysThatMoreIsThere) {
  sp_arena arena{};
  auto cut = [&](const std::string &text, size_t most) {
    sp_text got = sp_text_shorten(Text(text), most, &arena);
    return std::string(got.data, got.len);
  };
  EXPECT_EQ(cut("turnips", 7), "turnips");
  EXPECT_EQ(cut("turnips", 6), "turn..");
  EXPECT_EQ(cut("\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9", 4), "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9");
  EXPECT_EQ(cut("\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9", 3), "\xc3\xa9..");
  EXPECT_EQ(cut("", 3), "");
  EXPECT_EQ(sp_text_points(Text("a\xff\xc3\xa9")), 3u);
  sp_arena_release(&arena);
}

}  // namespace
}  // namespace sp_test
