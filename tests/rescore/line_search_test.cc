// The line search against a grid: never worse, and what it claims is what reranking gives.
#include "line_search.h"

#include <algorithm>

#include "random_lists.h"

namespace sp_test {
namespace {

struct Curve {
  Curve(const Lists &lists, const sp_linear &linear, size_t dim, double lo, double hi) {
    sp_error err{};
    EXPECT_EQ(sp_curve_make(&lists.lists, &linear, dim, lo, hi, &curve, &err), SP_OK)
        << err.message;
  }
  ~Curve() {
    sp_curve_release(&curve);
  }
  Curve(const Curve &) = delete;
  Curve &operator=(const Curve &) = delete;
  sp_curve curve{};
};

sp_linear Linear(sp_combine kind, size_t n, double weight = 0) {
  sp_linear linear{};
  linear.kind = kind;
  linear.n = n;
  for (size_t k = 0; k < n; k++)
    linear.weights[k] = weight;
  return linear;
}

uint64_t ErrorsAt(const Lists &lists, sp_linear linear, size_t dim, double weight) {
  linear.weights[dim] = weight;
  return sp_lists_errors(&lists.lists, &linear);
}

sp_line_best Search(const Lists &lists, const sp_linear &linear, size_t dim, double lo, double hi) {
  Curve curve(lists, linear, dim, lo, hi);
  sp_line_best best;
  sp_line_search(&lists.lists, &linear, dim, &curve.curve, &best);
  return best;
}

// Evenly from lo to hi, both included.
std::vector<double> Grid(double lo, double hi, size_t n) {
  std::vector<double> grid(n);
  for (size_t i = 0; i < n; i++)
    grid[i] = lo + (hi - lo) * static_cast<double>(i) / (n - 1);
  return grid;
}

void ExpectBeatsTheGrid(const Lists &lists, const sp_linear &linear, size_t dim, double lo,
                        double hi, size_t points) {
  sp_line_best best = Search(lists, linear, dim, lo, hi);
  uint64_t least = UINT64_MAX;
  for (double weight : Grid(lo, hi, points)) {
    least = std::min(least, ErrorsAt(lists, linear, dim, weight));
  }
  EXPECT_LE(best.errors, least);
  EXPECT_EQ(best.errors, best.interval.errors);
  EXPECT_EQ(best.errors, ErrorsAt(lists, linear, dim, best.weight));
  EXPECT_LE(best.interval.from, best.weight);
  EXPECT_GE(best.interval.to, best.weight);
  EXPECT_GE(best.weight, lo);
  EXPECT_LE(best.weight, hi);
}

struct Case {
  ListShape shape;
  sp_combine kind;
  double lo, hi;
};

TEST(LineSearch, IsNeverWorseThanAGrid) {
  const Case cases[] = {
      {{200, 10, 1, false, 0}, SP_COMBINE_ADDITIVE, 0, 1},
      {{200, 10, 1, false, 0}, SP_COMBINE_ADDITIVE, -3, 20},
      {{200, 10, 1, false, 0.2}, SP_COMBINE_CONVEX, 0, 1},
      {{30, 1, 1, false, 0.1}, SP_COMBINE_ADDITIVE, 0, 1},     // one hypothesis
      {{30, 6, 1, false, 1}, SP_COMBINE_ADDITIVE, 0, 1},       // no scores at all
      {{20, 60, 2, false, 0.05}, SP_COMBINE_ADDITIVE, -1, 1},  // long lists
  };
  for (const Case &c : cases) {
    for (uint32_t seed = 0; seed < 5; seed++) {
      Lists lists(c.shape.n_second);
      FillRandom(c.shape, seed, &lists);
      for (size_t dim = 0; dim <= c.shape.n_second; dim++) {
        ExpectBeatsTheGrid(lists, Linear(c.kind, c.shape.n_second, 0.3), dim, c.lo, c.hi, 1000);
      }
    }
  }
}

TEST(LineSearch, IsNeverWorseThanAGridOfTenThousand) {
  ListShape shape;
  shape.lists = 100;
  Lists lists(1);
  FillRandom(shape, 77, &lists);
  ExpectBeatsTheGrid(lists, Linear(SP_COMBINE_ADDITIVE, 1), 0, 0, 2, 10000);
}

// Small whole scores: many lists cross at the same weights (1/2, 1/3, 2, ..), and at a crossing the
// original rank decides; the grid holds those weights.
TEST(LineSearch, TiesAreThoseOfReranking) {
  for (uint32_t seed = 0; seed < 100; seed++) {
    ListShape shape;
    shape.lists = 1 + seed % 20;
    shape.whole = true;
    shape.nulls = seed % 3 ? 0 : 0.1;
    Lists lists(1);
    FillRandom(shape, 1000 + seed, &lists);
    sp_combine kind = seed % 2 ? SP_COMBINE_CONVEX : SP_COMBINE_ADDITIVE;
    ExpectBeatsTheGrid(lists, Linear(kind, 1), 0, 0, 3, 601);
    ExpectBeatsTheGrid(lists, Linear(kind, 1), 1, -2, 2, 401);
  }
}

// The best of all can be one weight alone: both lists are right only where the original order of
// equals decides for them.
TEST(LineSearch, FindsAnOptimumThatIsASingleWeight) {
  Lists lists(1);
  lists.Add({0, 0, 5, -1, 2, 5}, {0, 9});  // the first is best up to 1/2 and, being first, at it
  lists.Add({-1, 2, 5, 0, 0, 5}, {0, 9});  // the first is best from 1/2 on
  sp_linear linear = Linear(SP_COMBINE_ADDITIVE, 1);
  sp_line_best best = Search(lists, linear, 0, 0, 1);
  EXPECT_EQ(best.weight, 0.5);
  EXPECT_EQ(best.errors, 0u);
  EXPECT_EQ(best.interval.from, best.interval.to);
  EXPECT_EQ(ErrorsAt(lists, linear, 0, 0.4), 9u);
  EXPECT_EQ(ErrorsAt(lists, linear, 0, 0.6), 9u);
}

TEST(LineSearch, TheEndsOfTheRangeCount) {
  Lists lists(1);
  lists.Add({0, 0, 5, 0, 1, 5}, {0, 4});  // equal at 0, where the original order is right
  sp_line_best best = Search(lists, Linear(SP_COMBINE_ADDITIVE, 1), 0, 0, 1);
  EXPECT_EQ(best.weight, 0);
  EXPECT_EQ(best.errors, 0u);
}

TEST(LineSearch, EqualScoresGoByOriginalRank) {
  Lists lists(1);
  lists.Add({-1, -2, 5, -1, -2, 5, -1, -2, 5}, {3, 0, 1});
  sp_line_best best = Search(lists, Linear(SP_COMBINE_ADDITIVE, 1), 0, 0, 1);
  EXPECT_EQ(best.errors, 3u);
  EXPECT_EQ(best.interval.from, 0);
  EXPECT_EQ(best.interval.to, 1);
}

TEST(LineSearch, TakesTheWidestRunAndAReadableWeightInItsMiddle) {
  Lists lists(1);
  // the second is best from 0.1, the third from 0.7137
  lists.Add({0, 0, 5, -0.1, 1, 5, -0.1 - 0.7137, 2, 5}, {1, 0, 1});
  sp_line_best best = Search(lists, Linear(SP_COMBINE_ADDITIVE, 1), 0, 0, 1);
  EXPECT_NEAR(best.interval.from, 0.1, 1e-15);
  EXPECT_NEAR(best.interval.to, 0.7137, 1e-15);
  EXPECT_EQ(best.weight, 0.4);
}

TEST(LineSearch, TheCurveIsWhatRerankingGives) {
  for (uint32_t seed = 0; seed < 20; seed++) {
    ListShape shape;
    shape.n_second = 2;
    shape.nulls = 0.05;
    shape.whole = seed % 2;
    Lists lists(2);
    FillRandom(shape, seed, &lists);
    sp_linear linear = Linear(seed % 3 ? SP_COMBINE_ADDITIVE : SP_COMBINE_CONVEX, 2, 0.25);
    for (size_t dim = 0; dim <= 2; dim++) {
      Curve curve(lists, linear, dim, -1, 2);
      std::vector<double> grid = Grid(-1, 2, 385);  // steps of 1/128: exact sums
      std::vector<uint64_t> errors(grid.size());
      sp_curve_sample(&curve.curve, grid.data(), grid.size(), errors.data());
      for (size_t i = 0; i < grid.size(); i++) {
        ASSERT_EQ(errors[i], ErrorsAt(lists, linear, dim, grid[i])) << grid[i] << " " << seed;
      }
      for (size_t i = 0; i < curve.curve.n_steps; i++) {
        double at = curve.curve.steps[i].at;
        uint64_t on_step;
        sp_curve_sample(&curve.curve, &at, 1, &on_step);
        ASSERT_EQ(on_step, ErrorsAt(lists, linear, dim, at)) << at << " " << seed;
      }
    }
  }
}

TEST(LineSearch, WithoutListsOnlyFixedErrorsCount) {
  Lists lists(1);
  lists.lists.fixed_errors = 7;
  sp_line_best best = Search(lists, Linear(SP_COMBINE_ADDITIVE, 1), 0, 0, 1);
  EXPECT_EQ(best.errors, 7u);
  EXPECT_EQ(best.interval.to, 1);
}

TEST(Lists, RefusesMoreErrorsThanItCanCount) {
  Lists lists(1);
  lists.Add({0, 0, 1}, {INT32_MAX});
  double x[3] = {0, 0, 1};
  uint32_t one = 1;
  sp_error err{};
  EXPECT_EQ(sp_lists_add(&lists.lists, x, &one, 1, 0, &err), SP_EINPUT);
}

}  // namespace
}  // namespace sp_test
