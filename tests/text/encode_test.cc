// What an encoder promises beyond the goldens: counts, lowering first, the cache, hostile runs.
#include <gtest/gtest.h>

#include "synthetic.h"
#include "words.h"

using namespace sp_test;

namespace {

const char kVocab[] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n##b\nB\n'\ndon\nt\n<x>\n";
const char kUncased[] = R"({"do_lower_case": true})";
const char kCased[] = R"({"do_lower_case": false})";

TEST(Encode, CountsUnknownAndSpecialTokens) {
  Tokenizer tokenizer(kVocab, kUncased);
  struct sp_tokens tokens = tokenizer.Encode("a [MASK] zz[UNK]");
  EXPECT_EQ(tokens.n, 4u);
  EXPECT_EQ(tokens.n_unk, 2u);
  EXPECT_EQ(tokens.n_special, 2u);
  EXPECT_FALSE(tokens.no_vocab);
  EXPECT_EQ(tokenizer.Line("don't"), "9:0 8:1 10:2");
  EXPECT_EQ(tokenizer.Line(" \t"), "");
  EXPECT_EQ(tokenizer.Encode("").n, 0u);
}

TEST(Encode, WithoutUnkAWordThatCannotBeSpelledVoidsTheText) {
  Tokenizer tokenizer("[CLS]\n[SEP]\na\n", kUncased);
  EXPECT_EQ(tokenizer.Line("a a"), "2:0 2:1");
  for (int i = 0; i < 2; i++) {  // the second time from the cache
    struct sp_tokens tokens = tokenizer.Encode("a zz a");
    EXPECT_TRUE(tokens.no_vocab);
    EXPECT_EQ(tokens.n, 0u);
  }
  EXPECT_FALSE(tokenizer.Encode("a").no_vocab);
}

TEST(Encode, LowerFirstSparesSpecialTokens) {
  Tokenizer keep(kVocab, kCased), lower(kVocab, kCased, true);
  EXPECT_EQ(keep.Line("A B [MASK]"), "1:0 7:1 4:2");
  EXPECT_EQ(lower.Line("AB [MASK] [mask]").substr(0, 11), "5:0 6:0 4:1");
  // U+0130 becomes two code points.
  Tokenizer dotted("[UNK]\n[CLS]\n[SEP]\ni\xcc\x87\n", kCased, true);
  EXPECT_EQ(dotted.Line("\xc4\xb0"), "3:0");
}

TEST(Encode, InvalidBytesCountAsReplacementCharacters) {
  Tokenizer tokenizer(kVocab, kUncased);
  EXPECT_EQ(tokenizer.Line("a\xff"), "5:0");
  EXPECT_EQ(tokenizer.Line("a\xe2\x82"
                           "b"),
            "5:0 6:0");
  EXPECT_EQ(tokenizer.Line("\xed\xa0\x80"), "");
}

TEST(Encode, TheHundredthCharacterIsTheLast) {
  Tokenizer tokenizer(
      "[UNK]\n[CLS]\n[SEP]\na\n##a\n" + std::string(101, 'a') + "\n\xc3\xa9\n##\xc3\xa9\n",
      R"({"do_lower_case": false})");
  EXPECT_EQ(tokenizer.Encode(std::string(100, 'a')).n, 100u);
  EXPECT_EQ(tokenizer.Line(std::string(101, 'a')), "0:0");  // although it is a piece
  std::string accents;
  for (int i = 0; i < 100; i++) {
    accents += "\xc3\xa9";
  }
  EXPECT_EQ(tokenizer.Encode(accents).n, 100u);
  EXPECT_EQ(tokenizer.Line(accents + "\xc3\xa9"), "0:0");
}

TEST(Encode, TheCacheChangesNothing) {
  std::string vocab = VocabFile(SyntheticPieces());
  Tokenizer tokenizer(vocab, ConfigOf("uncased"));
  Random random(7);
  std::vector<std::string> words, fresh;
  for (int i = 0; i < 30000; i++) {  // more than the cache holds
    std::string word;
    for (uint32_t n = 4 + random.Below(12); n > 0; n--) {
      word += "etaoinshrdluxq"[random.Below(14)];
    }
    words.push_back(word);
    fresh.push_back(tokenizer.Line(word));
  }
  for (size_t i = 0; i < words.size(); i++) {
    ASSERT_EQ(tokenizer.Line(words[i]), fresh[i]) << words[i];
    if (i % 500 == 0) {
      Tokenizer other(vocab, ConfigOf("uncased"));
      ASSERT_EQ(other.Line(words[i]), fresh[i]) << words[i];
    }
  }
}

TEST(Encode, LongRunsOfMarksTakeLinearTime) {
  Tokenizer tokenizer(kVocab, kUncased);
  std::string run = "a";
  for (int i = 0; i < 300000; i++) {  // two classes that stripping keeps, in the wrong order
    run += Utf8(i % 2 ? 0x1B44 : 0x302E);
  }
  EXPECT_EQ(tokenizer.Line(run), "1:0");
}

TEST(Words, TheAsciiTableAgreesWithTheFrozenOne) {
  struct sp_unicode unicode;
  ASSERT_EQ(sp_unicode_init(&unicode, nullptr), SP_OK);
  for (uint32_t c = 0; c < 0x80; c++) {
    std::string text = "a" + Utf8(c) + "b";
    struct sp_word_cursor cursor = {&unicode, text.data(), text.data() + text.size(), 1};
    struct sp_word word;
    int words = 0;
    while (sp_next_word(&cursor, &word)) {
      words++;
    }
    unsigned flags = sp_unicode_flags(&unicode, c);
    EXPECT_EQ(words, flags & SP_CHAR_PUNCT ? 3 : flags & SP_CHAR_SPACE ? 2 : 1) << c;
  }
  sp_unicode_release(&unicode);
}

}  // namespace
