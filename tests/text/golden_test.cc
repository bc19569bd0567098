// Words, ids and word indices against the oracle's, through the goldens of tests/golden/tokens.
#include <gtest/gtest.h>
#include <zlib.h>

#include <fstream>
#include <memory>
#include <sstream>

#include "synthetic.h"

using namespace sp_test;

namespace {

class Golden : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(sp_unicode_init(&unicode_, nullptr), SP_OK);
  }
  void TearDown() override {
    sp_unicode_release(&unicode_);
  }
  struct sp_unicode unicode_ = {};
};

uint32_t Crc(uint32_t crc, const std::string &bytes) {
  return static_cast<uint32_t>(crc32(crc, reinterpret_cast<const unsigned char *>(bytes.data()),
                                     static_cast<unsigned>(bytes.size())));
}

std::string Hex(uint32_t value) {
  char text[9];
  snprintf(text, sizeof text, "%08x", value);
  return text;
}

TEST_F(Golden, EveryCodePointAloneAndInsideAWord) {
  std::vector<Hashes> all = ReadHashes("chars.txt");
  ASSERT_EQ(all.size(), 8u);
  for (const Hashes &golden : all) {
    struct sp_normalizer normalizer = Setting(golden.setting, &unicode_);
    ASSERT_EQ(golden.hashes.size(), 272u);
    for (uint32_t block = 0; block < 272; block++) {
      uint32_t crc = 0;
      for (uint32_t c = block * 4096; c < (block + 1) * 4096; c++) {
        if (c < 0xD800 || c >= 0xE000) {
          crc = Crc(crc, WordStream(normalizer, Utf8(c)));
          crc = Crc(crc, WordStream(normalizer, "a" + Utf8(c) + "b"));
        }
      }
      ASSERT_EQ(Hex(crc), golden.hashes[block]) << golden.setting << " block " << block;
    }
  }
}

TEST_F(Golden, RandomTexts) {
  std::vector<Hashes> all = ReadHashes("random.txt");
  ASSERT_EQ(all.size(), 6u);
  for (const Hashes &golden : all) {
    struct sp_normalizer normalizer = Setting(golden.setting, &unicode_);
    Tokenizer tokenizer(VocabFile(SyntheticPieces()), ConfigOf(golden.setting),
                        normalizer.lower_first);
    Random random(1234567);
    ASSERT_EQ(golden.hashes.size(), 80u);
    for (size_t block = 0; block < golden.hashes.size(); block++) {
      uint32_t crc = 0;
      for (int i = 0; i < 250; i++) {
        std::string text = RandomText(&random);
        crc = Crc(crc, WordStream(normalizer, text));
        crc = Crc(crc, tokenizer.Line(text) + "\n");
      }
      ASSERT_EQ(Hex(crc), golden.hashes[block]) << golden.setting << " block " << block;
    }
  }
}

std::string FromHex(const std::string &hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  }
  return bytes;
}

// Two lists of equal length as "a:x b:y".
std::string Zip(const std::string &a, const std::string &b) {
  std::istringstream left(a), right(b);
  std::string x, y, out;
  while (left >> x && right >> y) {
    out += (out.empty() ? "" : " ") + x + ":" + y;
  }
  return out;
}

TEST_F(Golden, AdversarialLines) {
  std::ifstream in(SP_SOURCE_DIR "/tests/golden/tokens/lines.tsv");
  std::unique_ptr<Tokenizer> tokenizer;
  std::string line, setting;
  int count = 0;
  while (std::getline(in, line)) {
    std::vector<std::string> field(1);
    for (char c : line) {
      c == '\t' ? field.push_back("") : field.back().push_back(c);
    }
    ASSERT_EQ(field.size(), 4u) << line;
    if (field[0] != setting) {
      setting = field[0];
      tokenizer = std::make_unique<Tokenizer>(VocabFile(SyntheticPieces()), ConfigOf(setting),
                                              Setting(setting, nullptr).lower_first);
    }
    EXPECT_EQ(tokenizer->Line(FromHex(field[1])), Zip(field[2], field[3]))
        << setting << " " << FromHex(field[1]);
    count++;
  }
  EXPECT_GT(count, 400);
}

}  // namespace
