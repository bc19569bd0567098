// score_errors.h - how far scores are from their goldens, and how far they may be.
//
// The bound follows from the precision and the model, not from what the engine happens to do. Every
// operation rounds its result by at most u of it (f32: u = 2^-24, bf16: u = 2^-8), in the root mean
// square by 0.39 u. Roundings are independent and add in quadrature on the way to a score, but how
// much of one arrives is the model's own affair: a trained one damps them, one that is 8 wide
// amplifies them, and no formula of its sizes tells that. So tests/golden/oracle_rounded.py makes
// the roundings, apart from the engine's code, and the golden keeps how far that is from float64:
//
//   f32   Every operation rounds. A sum of K products is added up term after term: K roundings of
//         partial sums, together 0.28 u sqrt(K) of the result. Engines sum in blocks and lanes and
//         fuse multiply and add: a term meets fewer roundings there, never more.
//   bf16  Both operands of every product are rounded, and q, k and v. The rest is exact: sums in f32
//         would add some thousandth.
//
// An engine with other kernels is another draw of the same roundings. It may be off by 3 times that
// deviation in the root mean square, and in its worst token by 3 times the worst: 51 tokens, of
// which a few count most, vary by a factor of 1.8 from draw to draw.
#ifndef SP_TESTS_SCORE_ERRORS_H
#define SP_TESTS_SCORE_ERRORS_H

#include <string>

#include "golden.h"

namespace sp_test {

// Differences of all tokens of a model in one method.
class ScoreErrors {
 public:
  void Add(double got, double want);
  size_t count() const {
    return count_;
  }
  double rms() const;
  double worst() const {
    return worst_;
  }
  double mean() const;

 private:
  size_t count_ = 0;
  double worst_ = 0, sum_ = 0, sum_sq_ = 0;  // infinite once a difference is no number
};

constexpr double kAllowedDeviations = 3;

// The share of what is allowed that is used, of the root mean square or the worst; over 1 is a
// failure, and so is infinity.
double ShareOfAllowed(const ScoreErrors &errors, const Deviation &deviation);

}  // namespace sp_test
#endif
