// simt_warp.cc - the scalar twins of warp-wide instructions.
#include <cmath>
#include <cstring>

#include "simt.cuh"
#include "simt_memory.h"

uint32_t sp_pack_bf16(float low, float high) {
  auto half = [](float x) -> uint32_t {
    uint32_t bits = sp_bits_of(x);
    if (std::isnan(x))
      return 0x7fff;  // as the instruction gives it
    return (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  };
  return half(low) | half(high) << 16;
}

void sp_sync_warp(sp_simt::Site site) {
  sp_simt::WarpAct(
      "sp_sync_warp", [](void *const[32]) { sp_simt::OrderWarp(); }, nullptr, site);
}

uint32_t sp_ballot(bool p, sp_simt::Site site) {
  struct Operand {
    bool p;
    uint32_t result;
  } operand{p, 0};
  auto act = [](void *const lanes[32]) {
    uint32_t bits = 0;
    for (int i = 0; i < 32; i++)
      bits |= static_cast<uint32_t>(static_cast<Operand *>(lanes[i])->p) << i;
    for (int i = 0; i < 32; i++)
      static_cast<Operand *>(lanes[i])->result = bits;
  };
  sp_simt::WarpAct("sp_ballot", act, &operand, site);
  return operand.result;
}

namespace sp_simt {

namespace {

struct MatrixOperand {
  int count;
  bool transposed;
  uint32_t *r;
  size_t row;
};

void LoadMatricesOfWarp(void *const lanes[32]) {
  auto of = [&](int lane) { return static_cast<MatrixOperand *>(lanes[lane]); };
  for (int i = 0; i < of(0)->count; i++) {
    uint16_t m[8][8];
    for (int row = 0; row < 8; row++)
      memcpy(m[row], SharedOfLane(8 * i + row, of(8 * i + row)->row, 16), 16);
    for (int lane = 0; lane < 32; lane++) {
      int g = lane / 4, t = lane % 4;
      uint32_t low = of(0)->transposed ? m[2 * t][g] : m[g][2 * t];
      uint32_t high = of(0)->transposed ? m[2 * t + 1][g] : m[g][2 * t + 1];
      of(lane)->r[i] = low | high << 16;
    }
  }
}

struct ProductOperand {
  float *d;
  const uint32_t *a, *b;
};

float Half(uint32_t pair, int high) {
  return sp_float_of(high ? pair & 0xffff0000u : pair << 16);
}

// Products are exact in double; the sum is rounded once, after d is added.
void MultiplyOfWarp(void *const lanes[32]) {
  double a[16][16], b[16][8];
  for (int lane = 0; lane < 32; lane++) {
    const ProductOperand *mine = static_cast<ProductOperand *>(lanes[lane]);
    int g = lane / 4, t = lane % 4;
    for (int h = 0; h < 2; h++) {
      a[g][2 * t + h] = Half(mine->a[0], h);
      a[g + 8][2 * t + h] = Half(mine->a[1], h);
      a[g][2 * t + 8 + h] = Half(mine->a[2], h);
      a[g + 8][2 * t + 8 + h] = Half(mine->a[3], h);
      b[2 * t + h][g] = Half(mine->b[0], h);
      b[2 * t + 8 + h][g] = Half(mine->b[1], h);
    }
  }
  for (int lane = 0; lane < 32; lane++) {
    float *d = static_cast<ProductOperand *>(lanes[lane])->d;
    for (int i = 0; i < 4; i++) {
      int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
      double sum = d[i];
      for (int k = 0; k < 16; k++)
        sum += a[row][k] * b[k][column];
      d[i] = static_cast<float>(sum);
    }
  }
}

}  // namespace

void LoadMatrices(int count, bool transposed, uint32_t *r, size_t row, Site site) {
  MatrixOperand operand{count, transposed, r, row};
  WarpAct("sp_ldmatrix", LoadMatricesOfWarp, &operand, site);
}

}  // namespace sp_simt

void sp_mma_bf16(float d[4], const uint32_t a[4], const uint32_t b[2], sp_simt::Site site) {
  sp_simt::ProductOperand operand{d, a, b};
  sp_simt::WarpAct("sp_mma_bf16", sp_simt::MultiplyOfWarp, &operand, site);
}
