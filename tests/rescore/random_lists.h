// random_lists.h - N-best lists of numbers from a seed, ready for tuning.
#ifndef SP_TESTS_RESCORE_RANDOM_LISTS_H
#define SP_TESTS_RESCORE_RANDOM_LISTS_H

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "lists.h"

namespace sp_test {

struct ListShape {
  size_t lists = 50, most_hyps = 10, n_second = 1;
  bool whole = false;  // scores are small whole numbers: ties and common crossings
  double nulls = 0;    // share of hypotheses that lack a score
};

class Lists {
 public:
  explicit Lists(size_t n_second) {
    sp_lists_init(&lists, n_second);
  }
  ~Lists() {
    sp_lists_release(&lists);
  }
  Lists(const Lists &) = delete;
  Lists &operator=(const Lists &) = delete;

  // Features of the list's hypotheses one after the other.
  void Add(const std::vector<double> &x, const std::vector<uint32_t> &errors) {
    sp_error err{};
    uint32_t block = lists.n_blocks++;
    ASSERT_EQ(x.size(), errors.size() * (lists.n_second + 2));
    ASSERT_EQ(sp_lists_add(&lists, x.data(), errors.data(), errors.size(), block, &err), SP_OK)
        << err.message;
  }

  sp_lists lists;
};

inline void FillRandom(const ListShape &shape, uint32_t seed, Lists *out) {
  std::mt19937 random(seed);
  auto below = [&](size_t n) { return random() % n; };
  auto score = [&](double scale) {
    return shape.whole ? -static_cast<double>(below(6)) : -scale * (random() * 0x1p-32);
  };
  for (size_t list = 0; list < shape.lists; list++) {
    size_t n = 1 + below(shape.most_hyps);
    std::vector<double> x;
    std::vector<uint32_t> errors;
    for (size_t i = 0; i < n; i++) {
      x.push_back(score(10));
      for (size_t k = 0; k < shape.n_second; k++) {
        bool null = random() * 0x1p-32 < shape.nulls;
        x.push_back(null ? std::numeric_limits<double>::quiet_NaN() : score(30));
      }
      x.push_back(static_cast<double>(3 + below(4)));
      errors.push_back(static_cast<uint32_t>(below(8)));
    }
    out->Add(x, errors);
  }
}

}  // namespace sp_test
#endif
