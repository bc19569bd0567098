// Coordinate descent: equal seeds give equal weights, and claims are what reranking gives.
#include "tune.h"

#include <cstring>
#include <memory>

#include "random_lists.h"

namespace sp_test {
namespace {

sp_tune_options Options(size_t n, double lo, double hi) {
  sp_tune_options options{};
  options.start.n = n;
  for (size_t dim = 0; dim <= n; dim++)
    options.ranges[dim] = {true, lo, hi};
  options.restarts = 4;
  options.seed = 1;
  return options;
}

std::unique_ptr<sp_tune_result> Tune(const Lists &lists, const sp_tune_options &options) {
  auto result = std::make_unique<sp_tune_result>();
  sp_error err{};
  EXPECT_EQ(sp_tune(&lists.lists, &options, result.get(), &err), SP_OK) << err.message;
  return result;
}

TEST(Tune, ClaimsWhatRerankingGives) {
  for (uint32_t seed = 0; seed < 10; seed++) {
    ListShape shape;
    shape.n_second = 3;
    shape.nulls = 0.02;
    Lists lists(3);
    FillRandom(shape, seed, &lists);
    auto result = Tune(lists, Options(3, 0, 2));
    EXPECT_EQ(result->errors, sp_lists_errors(&lists.lists, &result->linear));
    EXPECT_EQ(result->gain.errors,
              static_cast<int64_t>(result->first_errors) - static_cast<int64_t>(result->errors));
    EXPECT_LE(result->oracle_errors, result->errors);
    for (size_t dim = 0; dim <= 3; dim++) {
      const sp_tune_axis &axis = result->axes[dim];
      EXPECT_EQ(axis.interval.errors, result->errors);
      EXPECT_LE(axis.interval.from, result->linear.weights[dim]);
      EXPECT_GE(axis.interval.to, result->linear.weights[dim]);
      for (uint64_t errors : axis.errors)
        EXPECT_GE(errors, result->errors);
    }
  }
}

TEST(Tune, IsDeterministicAndRestartsNeverHurt) {
  ListShape shape;
  shape.n_second = 3;
  Lists lists(3);
  FillRandom(shape, 5, &lists);
  sp_tune_options options = Options(3, -1, 1);
  auto one = Tune(lists, options), same = Tune(lists, options);
  EXPECT_EQ(memcmp(one->linear.weights, same->linear.weights, sizeof one->linear.weights), 0);
  options.restarts = 0;
  EXPECT_LE(one->errors, Tune(lists, options)->errors);
}

TEST(Tune, LeavesFixedWeightsAlone) {
  ListShape shape;
  shape.n_second = 2;
  Lists lists(2);
  FillRandom(shape, 6, &lists);
  sp_tune_options options = Options(2, 0, 1);
  options.ranges[0].tuned = options.ranges[2].tuned = false;
  options.start.weights[0] = 0.125;
  options.start.weights[2] = -0.5;
  auto result = Tune(lists, options);
  EXPECT_EQ(result->linear.weights[0], 0.125);
  EXPECT_EQ(result->linear.weights[2], -0.5);
}

// The second pass is right about every list, by far: it pays, and every weight beyond 1 is as good.
TEST(Tune, TellsTheEdgeOfTheRangeAndASolidGain) {
  Lists lists(1);
  for (int list = 0; list < 100; list++)
    lists.Add({0, -1, 5, -1, 0, 5}, {2, 0});
  sp_tune_options options = Options(1, 0, 10);
  options.ranges[1].tuned = false;
  auto result = Tune(lists, options);
  EXPECT_EQ(result->errors, 0u);
  EXPECT_TRUE(result->axes[0].at_upper);
  EXPECT_FALSE(result->axes[0].at_lower);
  EXPECT_EQ(result->axes[0].gain.errors, 200);
  EXPECT_EQ(result->axes[0].gain.standard_error, 0);
  EXPECT_FALSE(result->axes[0].flat);
}

// Of 100 lists 10 gain an error and 8 lose one: d is 1, -1 and 0, the standard error
// sqrt(18 - 100 * 0.02^2).
TEST(Tune, AGainWithinNoiseIsFlat) {
  Lists lists(1);
  for (int list = 0; list < 100; list++) {
    uint32_t first = list < 10 ? 1 : 0, second = list >= 10 && list < 18 ? 1 : 0;
    lists.Add({0, -1, 5, -1, 0, 5}, {first, second});
  }
  sp_tune_options options = Options(1, 0, 10);
  options.ranges[1].tuned = false;
  auto result = Tune(lists, options);
  EXPECT_EQ(result->axes[0].gain.errors, 2);
  EXPECT_NEAR(result->axes[0].gain.standard_error, std::sqrt(18 - 100 * 0.0004), 1e-12);
  EXPECT_TRUE(result->axes[0].flat);
}

TEST(Tune, BlocksAreResampledAsOne) {
  Lists lists(1);
  for (int list = 0; list < 100; list++) {
    uint32_t first = list < 10 ? 1 : 0;
    lists.Add({0, -1, 5, -1, 0, 5}, {first, 0});
    lists.lists.blocks[list] = list < 10 ? 0 : 1;
  }
  lists.lists.n_blocks = 2;
  sp_tune_options options = Options(1, 0, 10);
  options.ranges[1].tuned = false;
  auto result = Tune(lists, options);
  EXPECT_NEAR(result->axes[0].gain.standard_error, std::sqrt(50.0), 1e-12);  // 10 and 0, mean 5
  EXPECT_TRUE(result->axes[0].flat);
}

}  // namespace
}  // namespace sp_test
