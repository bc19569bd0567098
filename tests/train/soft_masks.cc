#include "soft_masks.h"

#include <algorithm>

namespace sp_test {

sp_lookahead RandomRule(std::mt19937 &random, size_t layers, size_t most) {
  sp_lookahead rule{};
  rule.policy = SP_MASK_DYNAMIC;
  rule.n_reach = layers;
  for (size_t l = 0; l < layers; l++)
    rule.reach[l] = static_cast<uint32_t>(random() % (most + 1));
  rule.reach[random() % layers] = static_cast<uint32_t>(most);
  rule.left = random() % 3 == 0 ? 1 + random() % 5 : 0;
  return rule;
}

SoftMasks::SoftMasks(const sp_lookahead &of, size_t n_layers, size_t positions, size_t stride,
                     float beyond)
    : rule(of),
      layers(n_layers),
      len(positions),
      reach(stride),
      a_(n_layers * positions * stride, beyond) {
  for (size_t l = 0; l < layers; l++) {
    for (size_t i = 0; i < len; i++)
      for (size_t r = 1; r <= Room(l, i); r++)
        At(l, i, r) = 0;
  }
}

sp_soft_masks SoftMasks::get() const {
  sp_soft_masks masks{};
  masks.len = len;
  masks.layers = layers;
  masks.reach = reach;
  masks.rule = &rule;
  masks.a = a_.data();
  return masks;
}

size_t SoftMasks::Room(size_t layer, size_t i) const {
  return std::min(sp_lookahead_reach(&rule, layer), len - 1 - i);
}

void SoftMasks::FillSoft(std::mt19937 &random) {
  for (size_t l = 0; l < layers; l++) {
    for (size_t i = 0; i < len; i++)
      for (size_t r = 1; r <= Room(l, i); r++)
        At(l, i, r) = static_cast<float>(1 + random() % 255) / 256;
  }
}

void SoftMasks::FillHard(std::mt19937 &random, double density) {
  std::bernoulli_distribution edge(density);
  for (size_t l = 0; l < layers; l++) {
    for (size_t i = 0; i < len; i++)
      for (size_t r = 1; r <= Room(l, i); r++)
        At(l, i, r) = edge(random);
  }
}

std::vector<uint32_t> SoftMasks::Bits() const {
  std::vector<uint32_t> bits(layers * len);
  for (size_t l = 0; l < layers; l++) {
    for (size_t i = 0; i < len; i++)
      for (size_t r = 1; r <= Room(l, i); r++)
        bits[l * len + i] |= static_cast<uint32_t>(a_[(l * len + i) * reach + r - 1] != 0)
                             << (r - 1);
  }
  return bits;
}

std::vector<double> Slopes(SoftMasks *masks, const std::function<double()> &value) {
  const float step = 0x1p-10f;
  std::vector<double> slopes(masks->cells());
  for (size_t l = 0; l < masks->layers; l++) {
    for (size_t i = 0; i < masks->len; i++) {
      for (size_t r = 1; r <= masks->Room(l, i); r++) {
        float &cell = masks->At(l, i, r), was = cell;
        auto at = [&](float off) {
          cell = was + off * step;
          double result = value();
          cell = was;
          return result;
        };
        slopes[(l * masks->len + i) * masks->reach + r - 1] =
            (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * static_cast<double>(step));
      }
    }
  }
  return slopes;
}

}  // namespace sp_test
