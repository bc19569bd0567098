// soft_masks.h - random soft masks of one sequence, and their gradients by finite differences.
#ifndef SP_TESTS_SOFT_MASKS_H
#define SP_TESTS_SOFT_MASKS_H

#include <functional>
#include <random>
#include <vector>

#include "latency_loss.h"

namespace sp_test {

// A dynamic rule of so many layers; the reaches of layers are 0 .. most, one of them most.
sp_lookahead RandomRule(std::mt19937 &random, size_t layers, size_t most);

class SoftMasks {
 public:
  // Cells beyond the sequence hold `beyond`, which nobody may look at.
  SoftMasks(const sp_lookahead &of, size_t n_layers, size_t positions, size_t stride,
            float beyond = 9);
  sp_soft_masks get() const;
  // Cell r = 1 .. of row i.
  float &At(size_t layer, size_t i, size_t r) {
    return a_[(layer * len + i) * reach + r - 1];
  }
  size_t Room(size_t layer, size_t i) const;
  size_t cells() const {
    return a_.size();
  }
  float *data() {
    return a_.data();
  }
  // Multiples of 2^-8 in (0, 1), so that steps of finite differences are exact.
  void FillSoft(std::mt19937 &random);
  void FillHard(std::mt19937 &random, double density);
  // The cells that are 1 as a scheduler's bits (layers, len).
  std::vector<uint32_t> Bits() const;

  const sp_lookahead rule;
  const size_t layers, len, reach;

 private:
  std::vector<float> a_;
};

// d value / d a of every cell, five points of a step of 2^-10: exact to about 1e-9 for smooth values.
std::vector<double> Slopes(SoftMasks *masks, const std::function<double()> &value);

}  // namespace sp_test
#endif
