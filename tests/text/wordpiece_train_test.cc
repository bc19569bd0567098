#include "wordpiece_train.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "pair_merges.h"
#include "word_counts.h"

namespace {

using Pieces = std::vector<std::string>;

struct Learned {
  sp_status status;
  Pieces pieces;
  sp_wordpiece_learned counts;
  sp_error err;
};

Learned Learn(const std::vector<std::string> &texts, size_t size, uint64_t min_frequency = 1,
              size_t alphabet = 0, bool lowercase = true) {
  Learned out{};
  sp_wordpiece_training training{size, min_frequency, alphabet, lowercase, lowercase, true};
  sp_wordpiece_trainer *trainer = nullptr;
  EXPECT_EQ(sp_wordpiece_trainer_create(&training, &trainer, &out.err), SP_OK);
  for (const std::string &text : texts)
    EXPECT_EQ(sp_wordpiece_trainer_add(trainer, {text.data(), text.size()}, &out.err), SP_OK);
  sp_buf vocab{};
  out.status = sp_wordpiece_trainer_finish(trainer, &vocab, &out.counts, &out.err);
  std::istringstream lines(std::string(vocab.data ? vocab.data : "", vocab.len));
  for (std::string line; std::getline(lines, line);)
    out.pieces.push_back(line);
  sp_buf_release(&vocab);
  sp_wordpiece_trainer_destroy(trainer);
  return out;
}

TEST(WordpieceTrain, WorkedExample) {
  // "ab" x 5, "abc" x 3, "bc" x 2: a ##b comes 8 times, then ab ##c 3 times (b ##c only 2).
  std::vector<std::string> texts(5, "ab");
  texts.insert(texts.end(), 3, "Abc");
  texts.insert(texts.end(), 2, "bc");
  Pieces wanted = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b",
                   "c",     "##b",   "##c",   "ab",    "abc",    "bc"};
  Learned all = Learn(texts, 100);
  EXPECT_EQ(all.pieces, wanted);
  EXPECT_EQ(all.counts.merges, 3u);
  EXPECT_EQ(all.counts.words, 10u);
  EXPECT_EQ(all.counts.distinct, 3u);
  EXPECT_EQ(Learn(texts, 12).pieces, Pieces(wanted.begin(), wanted.begin() + 12));
  EXPECT_EQ(Learn(texts, 100, 3).pieces, Pieces(wanted.begin(), wanted.begin() + 12));
}

TEST(WordpieceTrain, TiesGoToSmallerIds) {
  Learned learned = Learn({"da cb"}, 100);
  EXPECT_EQ(Pieces(learned.pieces.end() - 2, learned.pieces.end()), (Pieces{"cb", "da"}));
}

TEST(WordpieceTrain, RareCharactersAreLeftOutOfTheWords) {
  std::vector<std::string> texts(4, "ab");
  texts.push_back("azb");
  Learned learned = Learn(texts, 100, 1, 2);
  EXPECT_EQ(Pieces(learned.pieces.begin() + 5, learned.pieces.end()),
            (Pieces{"a", "b", "##b", "ab"}));
  EXPECT_EQ(learned.counts.dropped_characters, 1u);
}

TEST(WordpieceTrain, CaseAccentsPunctuationAndLongWords) {
  Learned learned = Learn({"\u00c9\u00e9, " + std::string(101, 'x')}, 100);
  EXPECT_EQ(Pieces(learned.pieces.begin() + 5, learned.pieces.end()),
            (Pieces{",", "e", "##e", "ee"}));
  EXPECT_EQ(learned.counts.too_long, 1u);
  Learned cased = Learn({"\u00c9e"}, 100, 1, 0, false);
  EXPECT_EQ(cased.pieces.back(), "\u00c9e");
}

TEST(WordpieceTrain, FaultsAreNamed) {
  EXPECT_EQ(Learn({" "}, 100).status, SP_EINPUT);
  Learned small = Learn({"abcdef"}, 8);
  EXPECT_EQ(small.status, SP_EUSAGE);
  EXPECT_NE(std::string(small.err.message).find("8 pieces have no room"), std::string::npos);
}

// Counts and choices against counting everything anew before each merge.
TEST(PairMerges, AreThoseOfCountingAnew) {
  std::mt19937 random(5);
  for (int round = 0; round < 20; round++) {
    std::vector<std::pair<std::vector<uint32_t>, uint64_t>> words;
    sp_pair_merges merges;
    sp_error err{};
    sp_pair_merges_init(&merges);
    for (int w = 0; w < 60; w++) {
      std::vector<uint32_t> word(1 + random() % 9);
      for (uint32_t &symbol : word)
        symbol = random() % 3;
      words.push_back({word, 1 + random() % 4});
      ASSERT_EQ(sp_pair_merges_add(&merges, word.data(), word.size(), words.back().second, &err),
                SP_OK);
    }
    ASSERT_EQ(sp_pair_merges_begin(&merges, &err), SP_OK);
    for (uint32_t symbol = 3; symbol < 80; symbol++) {
      std::map<std::pair<uint32_t, uint32_t>, uint64_t> counts;
      for (auto &[word, count] : words)
        for (size_t i = 0; i + 1 < word.size(); i++)
          counts[{word[i], word[i + 1]}] += count;
      sp_pair best;
      ASSERT_EQ(sp_pair_merges_best(&merges, &best), !counts.empty());
      if (counts.empty())
        break;
      auto wanted = counts.begin();
      for (auto at = counts.begin(); at != counts.end(); ++at)
        wanted = at->second > wanted->second ? at : wanted;
      ASSERT_EQ(best.a, wanted->first.first);
      ASSERT_EQ(best.b, wanted->first.second);
      ASSERT_EQ(best.count, wanted->second);
      ASSERT_EQ(sp_pair_merges_apply(&merges, &best, symbol, &err), SP_OK);
      for (auto &[word, count] : words) {
        std::vector<uint32_t> merged;
        for (size_t i = 0; i < word.size(); i++) {
          bool here = i + 1 < word.size() && word[i] == best.a && word[i + 1] == best.b;
          merged.push_back(here ? symbol : word[i]);
          i += here;
        }
        word = merged;
      }
    }
    sp_pair_merges_release(&merges);
  }
}

TEST(WordCounts, ForgetRareWordsWhenFull) {
  sp_word_counts counts;
  sp_error err{};
  sp_word_counts_init(&counts, 64);
  auto add = [&](const std::string &word, uint64_t times) {
    EXPECT_EQ(sp_word_counts_add(&counts, {word.data(), word.size()},
                                 std::hash<std::string>{}(word), times, nullptr, &err),
              SP_OK);
  };
  for (int i = 0; i < 20; i++)
    add("often" + std::to_string(i), 10);
  for (int i = 0; i < 1000; i++)
    add("once" + std::to_string(i), 1);
  EXPECT_LE(counts.n, 64u);
  EXPECT_EQ(counts.words, 1200u);
  EXPECT_EQ(counts.floor, 1u);
  int often = 0;
  for (size_t i = 0; i < counts.n; i++)
    often += sp_word_count_at(&counts, i)->count == 10;
  EXPECT_EQ(often, 20);
  sp_word_counts_release(&counts);
}

}  // namespace
