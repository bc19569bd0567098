// Edit distances and alignments against the plain tables that define them.
#include "edit.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

namespace sp_test {
namespace {

using Ids = std::vector<uint32_t>;

size_t PlainDistance(const Ids &ref, const Ids &hyp) {
  std::vector<size_t> row(hyp.size() + 1);
  for (size_t j = 0; j <= hyp.size(); j++)
    row[j] = j;
  for (size_t i = 1; i <= ref.size(); i++) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= hyp.size(); j++) {
      size_t best = std::min({diagonal + (ref[i - 1] != hyp[j - 1]), row[j] + 1, row[j - 1] + 1});
      diagonal = row[j];
      row[j] = best;
    }
  }
  return row[hyp.size()];
}

// The whole table with sclite's costs and its order among equal ones.
std::string PlainPath(const Ids &ref, const Ids &hyp) {
  const size_t n = ref.size(), m = hyp.size();
  std::vector<std::vector<int>> cost(n + 1, std::vector<int>(m + 1));
  std::vector<std::string> back(n + 1, std::string(m + 1, '?'));
  for (size_t i = 0; i <= n; i++) {
    for (size_t j = 0; j <= m; j++) {
      if (i == 0 || j == 0) {
        cost[i][j] = 3 * static_cast<int>(i + j);
        back[i][j] = i == 0 ? 'I' : 'D';
        continue;
      }
      const bool equal = ref[i - 1] == hyp[j - 1];
      const int sub = cost[i - 1][j - 1] + (equal ? 0 : 4);
      const int del = cost[i - 1][j] + 3, ins = cost[i][j - 1] + 3;
      const char op = sub <= del && sub <= ins ? (equal ? 'C' : 'S') : del < ins ? 'D' : 'I';
      back[i][j] = op;
      cost[i][j] = op == 'D' ? del : op == 'I' ? ins : sub;
    }
  }
  std::string path;
  for (size_t i = n, j = m; i > 0 || j > 0;) {
    const char op = back[i][j];
    path.insert(path.begin(), op);
    i -= op != 'I';
    j -= op != 'D';
  }
  return path;
}

class EditTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(sp_edit_create(&edit_, nullptr), SP_OK);
  }
  void TearDown() override {
    sp_edit_destroy(edit_);
  }

  size_t Distance(const Ids &ref, const Ids &hyp) {
    size_t errors = SIZE_MAX;
    EXPECT_EQ(sp_edit_set_reference(edit_, ref.data(), ref.size(), nullptr), SP_OK);
    EXPECT_EQ(sp_edit_distance(edit_, hyp.data(), hyp.size(), &errors, nullptr), SP_OK);
    return errors;
  }
  std::string Path(const Ids &ref, const Ids &hyp) {
    const char *ops = nullptr;
    size_t n = 0;
    EXPECT_EQ(sp_edit_set_reference(edit_, ref.data(), ref.size(), nullptr), SP_OK);
    EXPECT_EQ(sp_edit_align(edit_, hyp.data(), hyp.size(), &ops, &n, nullptr), SP_OK);
    return std::string(ops, n);
  }
  void ExpectAll(const Ids &ref, const Ids &hyp) {
    EXPECT_EQ(Distance(ref, hyp), PlainDistance(ref, hyp));
    const std::string want = PlainPath(ref, hyp), path = Path(ref, hyp);
    const sp_edit_counts expected = sp_edit_tally(want.data(), want.size());
    EXPECT_EQ(path, want);
    sp_edit_counts counts;
    ASSERT_EQ(sp_edit_count(edit_, hyp.data(), hyp.size(), &counts, nullptr), SP_OK);
    EXPECT_EQ(counts.correct, expected.correct);
    EXPECT_EQ(counts.substitutions, expected.substitutions);
    EXPECT_EQ(counts.deletions, expected.deletions);
    EXPECT_EQ(counts.insertions, expected.insertions);
    EXPECT_EQ(sp_edit_reference(&counts), ref.size());
  }

  sp_edit *edit_ = nullptr;
  std::mt19937 random_{7};

  Ids Random(size_t n, uint32_t kinds) {
    Ids ids(n);
    for (uint32_t &id : ids)
      id = random_() % kinds;
    return ids;
  }
  // `ids` with about one in `period` units changed, lost or doubled.
  Ids Disturbed(const Ids &ids, uint32_t kinds, uint32_t period) {
    Ids out;
    for (uint32_t id : ids) {
      const uint32_t kind = random_() % period;
      if (kind != 0)
        out.push_back(kind == 1 ? random_() % kinds : id);
      if (kind == 2)
        out.push_back(random_() % kinds);
    }
    return out;
  }
};

TEST_F(EditTest, EveryPairOfLengths) {
  const size_t lengths[] = {0, 1, 2, 63, 64, 65, 127, 128, 129, 500};
  for (size_t n : lengths) {
    for (size_t m : lengths) {
      for (uint32_t kinds : {2u, 5u, 1000u}) {
        SCOPED_TRACE(std::to_string(n) + " against " + std::to_string(m) + " of " +
                     std::to_string(kinds));
        ExpectAll(Random(n, kinds), Random(m, kinds));
      }
    }
  }
}

TEST_F(EditTest, DisturbedCopies) {
  for (int round = 0; round < 3000; round++) {
    const size_t n = random_() % (round % 10 == 0 ? 200 : 24);
    const uint32_t kinds = 1 + random_() % 12;
    const Ids ref = Random(n, kinds);
    SCOPED_TRACE(round);
    ExpectAll(ref, Disturbed(ref, kinds, 3 + random_() % 20));
    if (HasFailure())
      return;
  }
}

// Every text of up to five units of two kinds against every other.
TEST_F(EditTest, AllShortPairs) {
  std::vector<Ids> all;
  for (size_t n = 0; n <= 5; n++) {
    for (uint32_t bits = 0; bits < 1u << n; bits++) {
      Ids ids(n);
      for (size_t i = 0; i < n; i++)
        ids[i] = bits >> i & 1;
      all.push_back(ids);
    }
  }
  for (const Ids &ref : all) {
    for (const Ids &hyp : all)
      ExpectAll(ref, hyp);
    if (HasFailure())
      return;
  }
}

// a b c against x a y: three substitutions cost 12, so do a deletion, two insertions..: the counts
// of sclite are not those of the distance.
TEST_F(EditTest, ErrorsBeyondTheDistance) {
  EXPECT_EQ(Distance({1, 2, 3}, {9, 9, 1}), 3u);
  EXPECT_EQ(Path({1, 2, 3}, {9, 9, 1}), "SSS");
  EXPECT_EQ(Distance({1, 2, 3, 4}, {3, 4, 8, 9}), 4u);
  EXPECT_EQ(Path({1, 2, 3, 4}, {3, 4, 8, 9}), "DDCCII");  // 12, against 16 of SSSS
  EXPECT_EQ(Path({1, 2, 3, 4, 5}, {3, 4, 5, 6, 7}), PlainPath({1, 2, 3, 4, 5}, {3, 4, 5, 6, 7}));
}

TEST_F(EditTest, OneReferenceManyHypothesesAndBack) {
  const Ids first = {5, 6, 7}, second = {7, 8};
  EXPECT_EQ(Distance(first, {5, 6, 7}), 0u);
  EXPECT_EQ(Distance(second, {5, 6, 7}), 3u) << "rows of the first reference are gone";
  EXPECT_EQ(Distance(first, {5, 7}), 1u);
  EXPECT_EQ(Distance({}, {5, 7}), 2u);
  EXPECT_EQ(Distance({0x10ffff}, {0x10ffff, 4000000000u}), 1u);
}

TEST_F(EditTest, TooLongToAlign) {
  const Ids ref(40000, 1), hyp(40000, 2);
  sp_error err = {};
  const char *ops;
  size_t n;
  ASSERT_EQ(sp_edit_set_reference(edit_, ref.data(), ref.size(), nullptr), SP_OK);
  EXPECT_EQ(sp_edit_align(edit_, hyp.data(), hyp.size(), &ops, &n, &err), SP_EINPUT);
  EXPECT_NE(std::string(err.message).find("40000"), std::string::npos) << err.message;
  EXPECT_EQ(Distance(ref, hyp), 40000u) << "the distance takes no table";
}

}  // namespace
}  // namespace sp_test
