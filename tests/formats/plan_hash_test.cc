// What a shard's input is known by.
#include "plan_hash.h"

#include <gtest/gtest.h>
#include <xxhash.h>

#include <string>
#include <vector>

namespace {

struct Utt {
  std::string id;
  std::vector<std::string> texts;
};

uint64_t Hash(const Utt &utt, uint64_t ordinal) {
  std::vector<sp_hyp> hyps(utt.texts.size());
  for (size_t i = 0; i < hyps.size(); i++)
    hyps[i].text = {utt.texts[i].data(), utt.texts[i].size()};
  sp_utt view{};
  view.id = {utt.id.data(), utt.id.size()};
  view.hyps = hyps.data();
  view.n_hyps = hyps.size();
  return sp_plan_hash(&view, ordinal);
}

TEST(PlanHash, IsThatOfXxh3SeededOnAndOn) {
  uint64_t expected = XXH3_64bits_withSeed("utt", 3, 7);
  expected = XXH3_64bits_withSeed("ab", 2, expected);
  expected = XXH3_64bits_withSeed("", 0, expected);
  EXPECT_EQ(Hash({"utt", {"ab", ""}}, 7), expected);
}

TEST(PlanHash, TellsWhereATextEndsAndWhatIsMissing) {
  const Utt whole{"u", {"ab", "c"}};
  for (const Utt &other : {Utt{"u", {"a", "bc"}}, Utt{"ua", {"b", "c"}}, Utt{"u", {"c", "ab"}},
                           Utt{"u", {"ab", "c", ""}}, Utt{"u", {"abc"}}, Utt{"u", {}}})
    EXPECT_NE(Hash(other, 0), Hash(whole, 0)) << other.id;
}

// Sums add up over blocks, and two utterances that change places do not.
TEST(PlanHash, SumsKeepTheOrder) {
  const Utt a{"a", {"x"}}, b{"b", {"y"}};
  EXPECT_NE(Hash(a, 0) + Hash(b, 1), Hash(b, 0) + Hash(a, 1));
  EXPECT_NE(Hash(a, 0), Hash(a, 1));
}

TEST(PlanHash, ATextWithoutDataIsAnEmptyOne) {
  sp_hyp hyp{};
  sp_utt utt{};
  utt.id = {"u", 1};
  utt.hyps = &hyp;
  utt.n_hyps = 1;
  EXPECT_EQ(sp_plan_hash(&utt, 3), Hash({"u", {""}}, 3));
}

}  // namespace
