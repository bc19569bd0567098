// attention and attention_backward of training against a double reference, which finite differences
// hold to be right.
#include <algorithm>
#include <functional>

#include "train_test.h"

namespace {

using namespace sp_test;

// Whether row i of a sequence of `len` sees key j.
using Sees = std::function<bool(size_t len, size_t i, size_t j)>;

struct Shape {
  std::vector<uint32_t> lens;
  size_t heads, dim;
  size_t reach = 0;    // 0: no bias
  Sees sees{};         // empty: every key
  uint32_t every = 1;  // query rows: each `every`-th position, and the last
  float range = 1.5f;
};

// A problem with its inputs as doubles: q (R, heads, dim), k and v (T, heads, dim).
struct Problem {
  Shape shape;
  std::vector<uint32_t> row_start{0}, key_start{0}, position;
  std::vector<double> q, k, v, d_out, bias;
  size_t Rows() const {
    return row_start.back();
  }
  size_t Keys() const {
    return key_start.back();
  }
  size_t Width() const {
    return shape.heads * shape.dim;
  }
  bool See(size_t s, size_t r, size_t j) const {
    return !shape.sees || shape.sees(shape.lens[s], position[r], j);
  }
  // The bias cell of row r that is key j; -1: none.
  ptrdiff_t Cell(size_t r, size_t j) const {
    size_t p = position[r];
    bool inside = j > p && j <= p + shape.reach;
    return inside ? static_cast<ptrdiff_t>(r * shape.reach + j - p - 1) : -1;
  }
};

std::vector<double> Doubles(const std::vector<float> &v) {
  return {v.begin(), v.end()};
}

Problem Make(const Shape &shape, sp_compute compute, uint32_t seed) {
  Problem p;
  p.shape = shape;
  for (uint32_t len : shape.lens) {
    for (uint32_t i = 0; i < len; i++)
      if (i % shape.every == 0 || i + 1 == len)
        p.position.push_back(i);
    p.row_start.push_back(static_cast<uint32_t>(p.position.size()));
    p.key_start.push_back(p.key_start.back() + len);
  }
  size_t q = p.Rows() * p.Width(), kv = p.Keys() * p.Width();
  p.q = Doubles(RoundedAct(Random(q, shape.range, seed), compute));
  p.k = Doubles(RoundedAct(Random(kv, shape.range, seed + 1), compute));
  p.v = Doubles(RoundedAct(Random(kv, 1.0f, seed + 2), compute));
  p.d_out = Doubles(RoundedAct(Random(q, 1.0f, seed + 3), compute));
  p.bias = Doubles(Random(p.Rows() * shape.reach, 3.0f, seed + 4));
  for (double &b : p.bias) {
    b = b > 1.5 ? -std::numeric_limits<double>::infinity() : std::min(b, 0.0);
  }
  return p;
}

struct Gradients {
  std::vector<double> out, lse, d_q, d_k, d_v, d_bias;
};

// One row of one head: scores of the keys it sees, as offsets of k.
struct Row {
  std::vector<size_t> key;      // rows of k
  std::vector<ptrdiff_t> cell;  // of bias, or -1
  std::vector<double> p;
  std::vector<double> slip;  // what f32 may be off in a score
  double lse;
};

Row Softmax(const Problem &p, size_t s, size_t r, size_t h) {
  Row row;
  std::vector<double> score;
  double scale = 1 / std::sqrt(static_cast<double>(p.shape.dim)), top = -INFINITY, sum = 0;
  for (size_t j = 0; j < p.shape.lens[s]; j++) {
    ptrdiff_t cell = p.Cell(r, j);
    double bias = cell < 0 ? 0 : p.bias[static_cast<size_t>(cell)];
    if (!p.See(s, r, j) || bias == -INFINITY)
      continue;
    double dot = 0, size = 0;
    for (size_t i = 0; i < p.shape.dim; i++) {
      double x = p.q[r * p.Width() + h * p.shape.dim + i] *
                 p.k[(p.key_start[s] + j) * p.Width() + h * p.shape.dim + i];
      dot += x;
      size += std::fabs(x);
    }
    row.key.push_back(p.key_start[s] + j);
    row.cell.push_back(cell);
    score.push_back(dot * scale + bias);
    row.slip.push_back(kEps *
                       (static_cast<double>(p.shape.dim + 4) * size * scale + 2 * std::fabs(bias)));
    top = std::max(top, score.back());
  }
  for (double x : score)
    sum += std::exp(x - top);
  row.lse = score.empty() ? -INFINITY : top + std::log(sum);
  for (double x : score)
    row.p.push_back(std::exp(x - row.lse));
  return row;
}

// The exact values, and in `bound` what f32 arithmetic on the same inputs may be off with outputs
// rounded to `rounding`, and weights and their gradients rounded to `inner` before they are multiplied.
Gradients Exact(const Problem &p, double rounding, double inner, Gradients *bound) {
  size_t width = p.Width(), dim = p.shape.dim;
  Gradients g, b;
  for (Gradients *x : {&g, &b}) {
    x->out.assign(p.q.size(), 0);
    x->lse.assign(p.Rows() * p.shape.heads, 0);
    x->d_q.assign(p.q.size(), 0);
    x->d_k.assign(p.k.size(), 0);
    x->d_v.assign(p.k.size(), 0);
    x->d_bias.assign(p.bias.size(), 0);
  }
  double scale = 1 / std::sqrt(static_cast<double>(dim));
  for (size_t s = 0; s < p.shape.lens.size(); s++) {
    double count = p.shape.lens[s] + 32.0;  // roundings of a sum over keys or rows
    for (size_t r = p.row_start[s]; r < p.row_start[s + 1]; r++) {
      for (size_t h = 0; h < p.shape.heads; h++) {
        Row row = Softmax(p, s, r, h);
        const double *d_out = &p.d_out[r * width + h * dim], *q = &p.q[r * width + h * dim];
        double *out = &g.out[r * width + h * dim], *out_b = &b.out[r * width + h * dim];
        double slip = 0, delta = 0, delta_b = 0;
        for (double x : row.slip)
          slip = std::max(slip, x);
        double off = 2 * slip + count * kEps;  // relative, of a weight
        if (!row.p.empty())
          off += 4 * kEps * std::fabs(row.lse);
        g.lse[r * p.shape.heads + h] = row.lse;
        b.lse[r * p.shape.heads + h] = row.p.empty() ? 0 : off;
        for (size_t n = 0; n < row.p.size(); n++) {
          for (size_t i = 0; i < dim; i++) {
            double x = row.p[n] * p.v[row.key[n] * width + h * dim + i];
            out[i] += x;
            out_b[i] += std::fabs(x) * (off + inner);
          }
        }
        for (size_t i = 0; i < dim; i++) {
          out_b[i] += rounding * std::fabs(out[i]);
          delta += d_out[i] * out[i];
          delta_b += std::fabs(d_out[i]) *
                     (out_b[i] + static_cast<double>(dim) * kEps * std::fabs(out[i]));
        }
        for (size_t n = 0; n < row.p.size(); n++) {
          size_t at = row.key[n] * width + h * dim;
          double d_p = 0, d_p_b = 0;
          for (size_t i = 0; i < dim; i++) {
            d_p += d_out[i] * p.v[at + i];
            d_p_b += std::fabs(d_out[i] * p.v[at + i]) * static_cast<double>(dim + 2) * kEps;
          }
          double ds = row.p[n] * (d_p - delta);
          double ds_b = std::fabs(ds) * off + row.p[n] * (d_p_b + delta_b);
          double add = ds_b + std::fabs(ds) * count * kEps, product = add + std::fabs(ds) * inner;
          for (size_t i = 0; i < dim; i++) {
            g.d_q[r * width + h * dim + i] += ds * scale * p.k[at + i];
            b.d_q[r * width + h * dim + i] += product * scale * std::fabs(p.k[at + i]);
            g.d_k[at + i] += ds * scale * q[i];
            b.d_k[at + i] += product * scale * std::fabs(q[i]);
            g.d_v[at + i] += row.p[n] * d_out[i];
            b.d_v[at + i] += row.p[n] * (off + inner + count * kEps) * std::fabs(d_out[i]);
          }
          if (row.cell[n] >= 0) {
            g.d_bias[static_cast<size_t>(row.cell[n])] += ds;
            b.d_bias[static_cast<size_t>(row.cell[n])] += add + 8 * kEps * std::fabs(ds);
          }
        }
      }
    }
  }
  auto round = [rounding](const std::vector<double> &x, std::vector<double> *y) {
    for (size_t i = 0; i < x.size(); i++)
      (*y)[i] += rounding * std::fabs(x[i]) + 1e-30;
  };
  round(g.d_q, &b.d_q);
  round(g.d_k, &b.d_k);
  round(g.d_v, &b.d_v);
  *bound = b;
  return g;
}

double Loss(const Problem &p) {
  Gradients bound;
  std::vector<double> out = Exact(p, 0, 0, &bound).out;
  double sum = 0;
  for (size_t i = 0; i < out.size(); i++)
    sum += out[i] * p.d_out[i];
  return sum;
}

bool Causal(size_t, size_t i, size_t j) {
  return j <= i;
}
bool Layerwise(size_t, size_t i, size_t j) {
  return j <= i + 3;
}
bool Chunked(size_t, size_t i, size_t j) {
  return j < (i / 5 + 1) * 5;
}
bool Window(size_t, size_t i, size_t j) {
  return j <= i && j + 9 > i;
}
// Holes everywhere; some rows see themselves only, some nothing.
bool Holes(size_t, size_t i, size_t j) {
  if (i % 7 == 3)
    return j == i;
  return i % 11 != 5 && (i * 2654435761u ^ j * 40503u) % 5 > 1;
}
// Half of the keys are seen by nobody: whole tiles of them.
bool LateKeysOnly(size_t len, size_t, size_t j) {
  return j >= len / 2;
}

TEST(TrainAttentionReference, FiniteDifferencesAgree) {
  for (bool bias : {false, true}) {
    Shape shape{{5, 1, 4}, 2, 3};
    shape.every = 2;
    if (bias) {
      shape.reach = 2;
      shape.sees = [](size_t, size_t i, size_t j) { return j <= i + 2; };
    } else {
      shape.sees = Holes;
    }
    Problem p = Make(shape, SP_COMPUTE_F32, 7);
    Gradients bound, g = Exact(p, 0, 0, &bound);
    auto check = [&p](std::vector<double> *x, const std::vector<double> &d, const char *what) {
      for (size_t i = 0; i < x->size(); i++) {
        const double was = (*x)[i], h = 1e-5;
        if (was == -INFINITY) {
          EXPECT_EQ(d[i], 0.0);
          continue;
        }
        (*x)[i] = was + h;
        double up = Loss(p);
        (*x)[i] = was - h;
        double slope = (up - Loss(p)) / (2 * h);
        (*x)[i] = was;
        EXPECT_NEAR(d[i], slope, 1e-8) << what << " " << i;
      }
    };
    check(&p.q, g.d_q, "d_q");
    check(&p.k, g.d_k, "d_k");
    check(&p.v, g.d_v, "d_v");
    check(&p.bias, g.d_bias, "d_bias");
  }
}

struct Result {
  std::vector<float> out, lse, d_q, d_k, d_v, d_bias;
};

class TrainAttentionTest : public TrainTest {
 protected:
  void Open(const Shape &shape, size_t threads = 2) {
    sp_train_limits limits{};
    for (uint32_t len : shape.lens) {
      limits.rows += len;
      limits.length = std::max<size_t>(limits.length, len);
    }
    limits.sequences = shape.lens.size();
    limits.width = 3 * shape.heads * shape.dim;
    limits.heads = shape.heads;
    limits.head_dim = shape.dim;
    limits.threads = threads;
    OpenTrainer(limits);
  }

  // Masks with noise behind each row's length.
  void PutMask(const Problem &p, sp_train_attention_args *args) {
    if (!p.shape.sees)
      return;
    std::vector<uint64_t> words, start;
    for (size_t s = 0; s < p.shape.lens.size(); s++) {
      size_t len = p.shape.lens[s];
      start.push_back(words.size());
      for (size_t r = p.row_start[s]; r < p.row_start[s + 1]; r++) {
        std::vector<uint64_t> row((len + 63) / 64);
        for (size_t j = 0; j < row.size() * 64; j++) {
          if (j < len ? p.See(s, r, j) : j % 3 == 0)
            row[j / 64] |= uint64_t{1} << (j % 64);
        }
        words.insert(words.end(), row.begin(), row.end());
      }
    }
    args->mask = Put(words);
    args->mask_start = Put(start);
  }

  // q, k and v side by side where every key has a row; else q by itself.
  sp_train_attention_args Lay(const Problem &p) {
    size_t width = p.Width(), bytes = device_->act_bytes;
    bool fused = p.Rows() == p.Keys();
    size_t columns = fused ? 3 * width : 2 * width;
    std::vector<float> all(p.Keys() * columns);
    for (size_t t = 0; t < p.Keys(); t++) {
      for (size_t i = 0; i < width; i++) {
        float *row = &all[t * columns];
        if (fused)
          row[i] = static_cast<float>(p.q[t * width + i]);
        row[columns - 2 * width + i] = static_cast<float>(p.k[t * width + i]);
        row[columns - width + i] = static_cast<float>(p.v[t * width + i]);
      }
    }
    sp_train_attention_args a{};
    char *base = static_cast<char *>(ActRows(all, p.Keys(), columns, NAN));
    a.k = base + (columns - 2 * width) * bytes;
    a.v = base + (columns - width) * bytes;
    a.kv_stride = columns;
    a.q = fused ? base : ActRows({p.q.begin(), p.q.end()}, p.Rows(), width, NAN);
    a.q_stride = fused ? columns : width;
    a.heads = p.shape.heads;
    a.head_dim = p.shape.dim;
    a.sequences = p.shape.lens.size();
    a.rows = p.Rows();
    a.keys = p.Keys();
    a.row_start = Put(p.row_start);
    a.key_start = Put(p.key_start);
    a.row_position = Put(p.position);
    PutMask(p, &a);
    if (p.shape.reach > 0) {
      a.reach = p.shape.reach;
      a.bias = Put(std::vector<float>(p.bias.begin(), p.bias.end()));
    }
    a.out = ActRows(std::vector<float>(p.Rows() * width, NAN), p.Rows(), width);
    a.lse = Put(std::vector<float>(p.Rows() * p.shape.heads, NAN));
    return a;
  }

  std::vector<float> Columns(const void *data, size_t rows, size_t stride, size_t from, size_t n) {
    std::vector<float> all = FetchAct(data, rows * stride), part;
    for (size_t r = 0; r < rows; r++)
      part.insert(part.end(), &all[r * stride + from], &all[r * stride + from] + n);
    return part;
  }

  Result Run(const Problem &p) {
    size_t width = p.Width(), bytes = device_->act_bytes;
    sp_train_attention_backward_args b{};
    b.forward = Lay(p);
    EXPECT_EQ(ops_->attention(trainer_, &b.forward, &err_), SP_OK) << err_.message;
    bool fused = p.Rows() == p.Keys();
    size_t columns = fused ? 3 * width : 2 * width;
    char *base = static_cast<char *>(
        ActRows(std::vector<float>(p.Keys() * columns, NAN), p.Keys(), columns, NAN));
    b.d_k = base + (columns - 2 * width) * bytes;
    b.d_v = base + (columns - width) * bytes;
    b.d_kv_stride = columns;
    b.d_q = fused ? base : ActRows(std::vector<float>(p.q.size(), NAN), p.Rows(), width);
    b.d_q_stride = fused ? columns : width;
    b.d_out = ActRows({p.d_out.begin(), p.d_out.end()}, p.Rows(), width, NAN);
    if (p.shape.reach > 0)
      b.d_bias = Put(std::vector<float>(p.bias.size(), NAN));
    EXPECT_EQ(ops_->attention_backward(trainer_, &b, &err_), SP_OK) << err_.message;
    Result r;
    r.out = FetchAct(b.forward.out, p.q.size());
    r.lse = Fetch<float>(b.forward.lse, p.Rows() * p.shape.heads);
    r.d_q = Columns(b.d_q, p.Rows(), b.d_q_stride, 0, width);
    r.d_k = Columns(base, p.Keys(), columns, columns - 2 * width, width);
    r.d_v = Columns(base, p.Keys(), columns, columns - width, width);
    if (p.shape.reach > 0)
      r.d_bias = Fetch<float>(b.d_bias, p.bias.size());
    return r;
  }

  void Check(const Shape &shape, const std::string &what) {
    Open(shape);
    Problem p = Make(shape, compute_, 11);
    Gradients bound, want = Exact(p, RoundingOf(compute_), ProductRounding(), &bound);
    Result got = Run(p);
    ExpectWithin(got.out, want.out, bound.out, what + " out");
    for (size_t i = 0; i < want.lse.size(); i++) {
      if (want.lse[i] == -INFINITY) {
        EXPECT_EQ(got.lse[i], -INFINITY) << what << " lse " << i;
      } else {
        EXPECT_TRUE(std::fabs(got.lse[i] - want.lse[i]) <= bound.lse[i])
            << what << " lse " << i << " is " << got.lse[i] << ", want " << want.lse[i];
      }
    }
    ExpectWithin(got.d_q, want.d_q, bound.d_q, what + " d_q");
    ExpectWithin(got.d_k, want.d_k, bound.d_k, what + " d_k");
    ExpectWithin(got.d_v, want.d_v, bound.d_v, what + " d_v");
    ExpectWithin(got.d_bias, want.d_bias, bound.d_bias, what + " d_bias");
    CloseTrainer();
    FreeMemory();
  }
};

TEST_P(TrainAttentionTest, LengthsMatchTheReference) {
  for (uint32_t len : {1, 2, 3, 7, 16, 31, 63, 64, 65, 127, 129, 200})
    Check({{len, 2}, 2, 16}, "length " + std::to_string(len));
  if (!kSlowDevice)
    Check({{513}, 1, 16}, "length 513");
}

TEST_P(TrainAttentionTest, HeadSizesMatchTheReference) {
  for (size_t dim : {2, 8, 26, 32, 52, 64, 96})
    Check({{9, 70}, 2, dim}, "head size " + std::to_string(dim));
  if (IsCpu()) {
    for (size_t dim : {1, 13, 65, 256})
      Check({{9, 17}, 3, dim}, "head size " + std::to_string(dim));
  }
}

TEST_P(TrainAttentionTest, MasksMatchTheReference) {
  const std::pair<const char *, Sees> masks[] = {{"causal", Causal},   {"layerwise", Layerwise},
                                                 {"chunked", Chunked}, {"window", Window},
                                                 {"holes", Holes},     {"late keys", LateKeysOnly}};
  for (const auto &[name, sees] : masks) {
    for (uint32_t every : {1, 5}) {
      Shape shape{{1, 12, 64, 66, 150}, 2, 20};
      shape.sees = sees;
      shape.every = every;
      Check(shape, std::string(name) + " every " + std::to_string(every));
    }
  }
}

TEST_P(TrainAttentionTest, BiasesMatchTheReference) {
  for (size_t reach : {1, 3, 32}) {
    for (uint32_t every : {1, 4}) {
      Shape shape{{1, 2, 33, 65, 131}, 3, 18};
      shape.reach = reach;
      shape.every = every;
      shape.sees = [reach](size_t, size_t i, size_t j) { return j <= i + reach; };
      Check(shape, "reach " + std::to_string(reach) + " every " + std::to_string(every));
      // The row's own past may be hidden as a whole, and every biased key be absent.
      shape.sees = [reach](size_t, size_t i, size_t j) { return j > i && j <= i + reach; };
      Check(shape, "future only, reach " + std::to_string(reach));
    }
  }
  Shape full{{40, 70}, 2, 18};
  full.reach = 5;
  Check(full, "bias without a mask");
}

TEST_P(TrainAttentionTest, LargeScoresMatchTheReference) {
  Shape shape{{70, 5}, 2, 16};
  shape.range = 12.0f;
  Check(shape, "large scores");
}

TEST_P(TrainAttentionTest, EqualBitsForAnyNumberOfThreads) {
  if (!IsCpu())
    GTEST_SKIP() << "a device's threads are its own";
  for (size_t reach : {0, 4}) {
    Shape shape{{3, 130, 64, 1, 31, 77}, 3, 20};
    shape.reach = reach;
    shape.sees = [](size_t, size_t i, size_t j) { return j <= i + 4; };
    Problem p = Make(shape, compute_, 21);
    Result first;
    for (size_t threads : kThreads) {
      Open(shape, threads);
      Result r = Run(p);
      if (threads == kThreads[0])
        first = r;
      EXPECT_EQ(r.out, first.out) << threads;
      EXPECT_EQ(r.lse, first.lse) << threads;
      EXPECT_EQ(r.d_q, first.d_q) << threads;
      EXPECT_EQ(r.d_k, first.d_k) << threads;
      EXPECT_EQ(r.d_v, first.d_v) << threads;
      EXPECT_EQ(r.d_bias, first.d_bias) << threads;
      CloseTrainer();
    }
  }
}

// A row's bits are its own, whatever rows and sequences stand beside it.
TEST_P(TrainAttentionTest, PickedRowsAreTheRowsOfAll) {
  Shape shape{{90, 20}, 2, 24};
  shape.sees = Layerwise;
  Problem all = Make(shape, compute_, 5);
  shape.every = 3;
  Problem some = Make(shape, compute_, 5);
  some.k = all.k;
  some.v = all.v;
  size_t width = all.Width();
  for (size_t s = 0; s < shape.lens.size(); s++) {
    for (size_t r = some.row_start[s]; r < some.row_start[s + 1]; r++) {
      size_t t = all.row_start[s] + some.position[r];
      std::copy_n(&all.q[t * width], width, &some.q[r * width]);
    }
  }
  Open(shape);
  std::vector<float> of_all = Run(all).out, of_some = Run(some).out;
  for (size_t s = 0; s < shape.lens.size(); s++) {
    for (size_t r = some.row_start[s]; r < some.row_start[s + 1]; r++) {
      size_t t = all.row_start[s] + some.position[r];
      for (size_t i = 0; i < width; i++)
        ASSERT_EQ(of_some[r * width + i], of_all[t * width + i]) << r;
    }
  }
}

// A NaN in a key reaches every row that sees it; forward no other row, backward no other head.
TEST_P(TrainAttentionTest, NanStaysWhereItIsSeen) {
  Shape shape{{70, 8}, 2, 16};
  shape.sees = Causal;
  Problem p = Make(shape, compute_, 31);
  const size_t bad = 66, width = p.Width();
  p.k[bad * width] = NAN;  // head 0
  Open(shape);
  Result r = Run(p);
  for (size_t t = 0; t < p.Rows(); t++) {
    for (size_t i = 0; i < width; i++) {
      bool sees = i < 16 && t >= bad && t < 70;
      ASSERT_EQ(std::isnan(r.out[t * width + i]), sees) << t << " " << i;
      if (sees || i >= 16) {
        ASSERT_EQ(std::isnan(r.d_q[t * width + i]), sees) << t << " " << i;
      }
    }
  }
  EXPECT_TRUE(std::isnan(r.d_v[0]));
  EXPECT_FALSE(std::isnan(r.d_v[16]));
}

TEST_P(TrainAttentionTest, CallsBeyondTheLimitsAreRefused) {
  if (!IsCpu())
    GTEST_SKIP() << "the CPU's scratch";
  Shape small{{8}, 2, 16};
  Problem longer = Make({{9}, 2, 16}, compute_, 1), wider = Make({{8}, 2, 17}, compute_, 1);
  for (const Problem *p : {&longer, &wider}) {
    Open(small);
    sp_train_attention_args args = Lay(*p);
    EXPECT_EQ(ops_->attention(trainer_, &args, &err_), SP_EMODEL);
  }
}

SP_OP_CASES(TrainAttentionTest);

}  // namespace
