#include "score_errors.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace sp_test {

void ScoreErrors::Add(double got, double want) {
  double error = std::fabs(got - want);
  if (!std::isfinite(error))
    error = std::numeric_limits<double>::infinity();  // NaN would vanish
  count_++;
  worst_ = std::max(worst_, error);
  sum_ += error;
  sum_sq_ += error * error;
}

double ScoreErrors::rms() const {
  return std::sqrt(sum_sq_ / static_cast<double>(count_));
}

double ScoreErrors::mean() const {
  return sum_ / static_cast<double>(count_);
}

double ShareOfAllowed(const ScoreErrors &errors, const Deviation &deviation) {
  if (errors.count() == 0)
    return std::numeric_limits<double>::infinity();
  return std::max(errors.rms() / deviation.rms, errors.worst() / deviation.worst) /
         kAllowedDeviations;
}

}  // namespace sp_test
