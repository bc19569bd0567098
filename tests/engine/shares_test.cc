// shares_test.cc - every shard is one part's, parts cost alike, the longest come first.
#include "shares.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <vector>

namespace {

std::vector<sp_plan_shard> Shards(const std::vector<double> &costs) {
  std::vector<sp_plan_shard> shards(costs.size());
  for (size_t i = 0; i < costs.size(); i++)
    shards[i].cost = costs[i];
  return shards;
}

std::vector<uint32_t> Share(const std::vector<double> &costs, size_t part, size_t parts) {
  sp_shares shares;
  sp_error err{};
  const auto shards = Shards(costs);
  EXPECT_EQ(sp_shares_make(shards.data(), shards.size(), part, parts, &shares, &err), SP_OK);
  std::vector<uint32_t> order(shares.order, shares.order + shares.n);
  sp_shares_release(&shares);
  return order;
}

TEST(Shares, TheLongestFirstAndEqualOnesByIndex) {
  EXPECT_EQ(Share({1, 5, 3, 5}, 0, 1), (std::vector<uint32_t>{1, 3, 2, 0}));
  EXPECT_EQ(Share({}, 0, 1), (std::vector<uint32_t>{}));
}

TEST(Shares, TheOrderIsDealtToAndFro) {
  const std::vector<double> costs = {9, 8, 7, 6, 5, 4, 3};
  EXPECT_EQ(Share(costs, 0, 3), (std::vector<uint32_t>{0, 5, 6}));
  EXPECT_EQ(Share(costs, 1, 3), (std::vector<uint32_t>{1, 4}));
  EXPECT_EQ(Share(costs, 2, 3), (std::vector<uint32_t>{2, 3}));
  EXPECT_EQ(Share({1, 2}, 3, 5), (std::vector<uint32_t>{})) << "more parts than shards";
}

TEST(Shares, PartsCoverAllOnceAndCostAlike) {
  std::vector<double> costs;
  for (int i = 0; i < 1000; i++)
    costs.push_back(1 + i * 7919 % 1000);
  const double total = std::accumulate(costs.begin(), costs.end(), 0.0);
  for (size_t parts : {1, 2, 7, 64}) {
    std::vector<uint32_t> all;
    for (size_t part = 0; part < parts; part++) {
      double cost = 0;
      for (uint32_t shard : Share(costs, part, parts)) {
        cost += costs[shard];
        all.push_back(shard);
      }
      EXPECT_LE(std::abs(cost - total / static_cast<double>(parts)), 1000)
          << part << " of " << parts;
    }
    std::sort(all.begin(), all.end());
    ASSERT_EQ(all.size(), costs.size());
    for (size_t i = 0; i < all.size(); i++)
      ASSERT_EQ(all[i], i);
  }
}

TEST(Shares, OneIsTakenOutOfTheWholeOrder) {
  std::vector<double> costs;
  for (int i = 0; i < 101; i++)
    costs.push_back(1 + i * 37 % 101);
  const auto shards = Shards(costs);
  sp_shares all, share;
  sp_error err{};
  ASSERT_EQ(sp_shares_make(shards.data(), shards.size(), 0, 1, &all, &err), SP_OK);
  for (size_t parts : {1, 2, 5, 100, 101, 102, 1000}) {
    for (size_t part = 0; part < parts; part += 1 + parts / 9) {
      std::vector<uint32_t> expected;
      for (size_t k = 0; k < all.n; k++) {
        if (sp_shares_part(k, parts) == part)
          expected.push_back(all.order[k]);
      }
      ASSERT_EQ(sp_shares_of(&all, part, parts, &share, &err), SP_OK);
      EXPECT_EQ(sp_shares_count(all.n, part, parts), expected.size());
      EXPECT_EQ(std::vector<uint32_t>(share.order, share.order + share.n), expected)
          << part << " of " << parts;
      sp_shares_release(&share);
    }
  }
  sp_shares_release(&all);
}

// ---- helping

std::vector<size_t> Probes(size_t n, uint64_t salt) {
  std::vector<size_t> places;
  size_t place;
  for (unsigned step = 0; sp_shares_probe(n, step, salt, &place); step++)
    places.push_back(place);
  return places;
}

TEST(Shares, HelpersProbeFromTheEnd) {
  EXPECT_TRUE(Probes(0, 1).empty());
  EXPECT_EQ(Probes(1, 1), std::vector<size_t>{0});
  for (uint64_t salt = 0; salt < 50; salt++) {
    const std::vector<size_t> places = Probes(100, salt);
    ASSERT_EQ(places.size(), 7u);
    EXPECT_EQ(places[0], 99u);
    for (size_t step = 1; step < places.size(); step++) {
      EXPECT_LT(places[step], places[step - 1]);
      EXPECT_LE(places[step], 100 - (size_t{1} << step)) << "not in the stretch of its step";
      EXPECT_GT(places[step] + (size_t{2} << step), 100u) << "beyond the stretch of its step";
    }
  }
}

TEST(Shares, HelpersSpread) {
  std::vector<size_t> seen(100);
  for (uint64_t salt = 0; salt < 1000; salt++) {
    for (size_t place : Probes(100, salt))
      seen[place]++;
  }
  for (size_t place = 0; place < 100; place++)
    EXPECT_GT(seen[place], 0u) << place;
  std::vector<size_t> first(8);
  for (uint64_t salt = 0; salt < 8000; salt++) {
    size_t best = 0;
    for (size_t part = 1; part < 8; part++)
      best = sp_shares_draw(part, salt) < sp_shares_draw(best, salt) ? part : best;
    first[best]++;
  }
  for (size_t part = 0; part < 8; part++)
    EXPECT_NEAR(static_cast<double>(first[part]), 1000, 150) << part;
}

}  // namespace
