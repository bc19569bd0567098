// Matched pairs, Holm's correction and the bootstrap against values worked out elsewhere.
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "bootstrap.h"
#include "mapsswe.h"

namespace sp_test {
namespace {

void ExpectNear(double value, double want, double tolerance) {
  EXPECT_TRUE(std::abs(value - want) <= tolerance) << value << " instead of " << want;
}

sp_mapsswe_result Tested(const std::vector<std::pair<std::string, std::string>> &pairs) {
  sp_mapsswe test = {};
  for (const auto &[a, b] : pairs)
    sp_mapsswe_add(&test, a.data(), a.size(), b.data(), b.size());
  return sp_mapsswe_finish(&test);
}

sp_mapsswe Segments(const std::string &a, const std::string &b) {
  sp_mapsswe test = {};
  sp_mapsswe_add(&test, a.data(), a.size(), b.data(), b.size());
  return test;
}

TEST(MapssweTest, SegmentsEndAfterTwoUnitsThatBothHaveRight) {
  EXPECT_EQ(Segments("CCCC", "CCCC").segments, 0u);
  EXPECT_EQ(Segments("CSCCSC", "CCCCCC").segments, 2u);
  EXPECT_EQ(Segments("CSCSC", "CCCCC").segments, 1u) << "one right unit parts nothing";
  EXPECT_EQ(Segments("SCCCCC", "CCSCCC").segments, 1u) << "wrong in either";
  EXPECT_EQ(Segments("SCICCC", "CCCCC").segments, 1u) << "an insertion between the two";
  EXPECT_EQ(Segments("SCCICC", "CCCCC").segments, 2u);
  EXPECT_EQ(Segments("CC", "CCI").segments, 1u) << "errors behind the last unit";
  EXPECT_EQ(Segments("", "II").errors_b, 2u);
  EXPECT_EQ(Segments("", "").segments, 0u);
  const sp_mapsswe sums = Segments("SDCCIC", "CCCCS");
  EXPECT_EQ(sums.segments, 2u);
  EXPECT_EQ(sums.errors_a, 3u);
  EXPECT_EQ(sums.errors_b, 1u);
}

// d = 1, 1, -1, 2, 0: mean 0.6, variance 5.2 / 4 = 1.3, Z = 0.6 / sqrt(1.3 / 5) = 1.17670,
// p = 2 (1 - Phi(Z)) = 0.239317 (scipy.stats.norm.sf).
TEST(MapssweTest, Statistic) {
  const auto result = Tested({{"SC", "CC"}, {"DC", "CC"}, {"CC", "SC"}, {"SD", "CC"}, {"SC", "SC"}});
  EXPECT_EQ(result.segments, 5u);
  ExpectNear(result.mean, 0.6, 1e-12);
  ExpectNear(result.deviation, std::sqrt(1.3), 1e-12);
  ExpectNear(result.z, 1.1766968108, 1e-9);
  ExpectNear(result.p, 0.2393165, 1e-6);
}

TEST(MapssweTest, WithoutAStatistic) {
  EXPECT_EQ(Tested({{"SC", "SC"}, {"DC", "DC"}}).p, 1.0);
  EXPECT_EQ(Tested({}).p, 1.0);
  EXPECT_TRUE(std::isnan(Tested({{"SC", "CC"}}).p)) << "one segment";
  EXPECT_TRUE(std::isnan(Tested({{"SC", "CC"}, {"SC", "CC"}}).p)) << "no variance";
}

// statsmodels.stats.multitest.multipletests(.., method="holm") by hand: sorted 0.01 0.02 0.03 0.04
// times 4 3 2 1, made monotone.
TEST(HolmTest, StepDown) {
  double p[] = {0.03, 0.01, 0.04, 0.02};
  ASSERT_EQ(sp_holm(p, 4, nullptr), SP_OK);
  ExpectNear(p[0], 0.06, 1e-15);
  ExpectNear(p[1], 0.04, 1e-15);
  ExpectNear(p[2], 0.06, 1e-15);
  ExpectNear(p[3], 0.06, 1e-15);
  double some[] = {0.7, NAN, 0.4};
  ASSERT_EQ(sp_holm(some, 3, nullptr), SP_OK);
  ExpectNear(some[0], 0.8, 1e-15);
  EXPECT_TRUE(std::isnan(some[1]));
  ExpectNear(some[2], 0.8, 1e-15);
  EXPECT_EQ(sp_holm(nullptr, 0, nullptr), SP_OK);
}

std::vector<sp_sample> Samples(uint32_t n) {
  std::vector<sp_sample> samples;
  for (uint32_t i = 0; i < n; i++)
    samples.push_back({5 + i * 7 % 11, i * i % 4, (i * i + i) % 5});
  return samples;
}

// NumPy: splitmix64 in Python over the same samples, numpy.quantile(.., [0.025, 0.975]).
TEST(BootstrapTest, Golden) {
  const auto samples = Samples(40);
  sp_bootstrap out;
  ASSERT_EQ(sp_bootstrap_run(samples.data(), samples.size(), 500, 7, &out, nullptr), SP_OK);
  ExpectNear(out.a.low, 0.03389439988743492, 1e-12);
  ExpectNear(out.a.high, 0.06642058306107061, 1e-12);
  ExpectNear(out.b.low, 0.07038537759218629, 1e-12);
  ExpectNear(out.b.high, 0.12824036783460865, 1e-12);
  ExpectNear(out.difference.low, -0.08386464999030445, 1e-12);
  ExpectNear(out.difference.high, -0.019184652278177457, 1e-12);
  ExpectNear(out.better, 1.0, 1e-12);
}

TEST(BootstrapTest, SeedDecides) {
  const auto samples = Samples(40);
  sp_bootstrap first, again, other;
  ASSERT_EQ(sp_bootstrap_run(samples.data(), 40, 100, 1, &first, nullptr), SP_OK);
  ASSERT_EQ(sp_bootstrap_run(samples.data(), 40, 100, 1, &again, nullptr), SP_OK);
  ASSERT_EQ(sp_bootstrap_run(samples.data(), 40, 100, 2, &other, nullptr), SP_OK);
  EXPECT_EQ(first.a.low, again.a.low);
  EXPECT_NE(first.a.low, other.a.low);
}

TEST(BootstrapTest, NothingToDrawFrom) {
  sp_bootstrap out;
  const sp_sample empty = {0, 2, 0};
  ASSERT_EQ(sp_bootstrap_run(&empty, 1, 10, 1, &out, nullptr), SP_OK);
  EXPECT_TRUE(std::isnan(out.a.low));
  ASSERT_EQ(sp_bootstrap_run(nullptr, 0, 10, 1, &out, nullptr), SP_OK);
  EXPECT_TRUE(std::isnan(out.better));
}

TEST(BootstrapTest, Blocks) {
  const sp_sample samples[] = {{1, 2, 3}, {10, 20, 30}, {100, 200, 300}};
  const uint32_t block[] = {1, 0, 1};
  sp_sample sums[2];
  ASSERT_EQ(sp_bootstrap_blocks(samples, block, 3, sums, 2, nullptr), SP_OK);
  EXPECT_EQ(sums[0].ref, 10u);
  EXPECT_EQ(sums[1].a, 202u);
  EXPECT_EQ(sums[1].b, 303u);
  const sp_sample huge[] = {{4000000000u, 0, 0}, {4000000000u, 0, 0}};
  const uint32_t same[] = {0, 0};
  EXPECT_EQ(sp_bootstrap_blocks(huge, same, 2, sums, 1, nullptr), SP_EINPUT);
}

}  // namespace
}  // namespace sp_test
