// Attention of training, forward and backward, against double.
#include <algorithm>
#include <deque>

#include "simt_op_test.h"
#include "train_ops.h"

namespace {

using namespace sp_test;

// Sequences whose rows ask at some of their positions; values are what act holds.
struct Problem {
  Problem(size_t heads_, size_t dim_) : heads(heads_), dim(dim_) {}
  size_t heads, dim, reach = 0;
  std::vector<uint32_t> key_start{0}, row_start{0}, position;
  std::vector<uint64_t> mask, mask_start;
  std::vector<float> q, k, v, d_out, bias;

  size_t Width() const {
    return heads * dim;
  }
  size_t Rows() const {
    return position.size();
  }
  size_t Keys(size_t s) const {
    return key_start[s + 1] - key_start[s];
  }
  size_t Sequences() const {
    return key_start.size() - 1;
  }
  void Add(uint32_t length, const std::vector<uint32_t> &places) {
    key_start.push_back(key_start.back() + length);
    position.insert(position.end(), places.begin(), places.end());
    row_start.push_back(static_cast<uint32_t>(position.size()));
  }
  void AddWhole(uint32_t length) {
    std::vector<uint32_t> all(length);
    for (uint32_t i = 0; i < length; i++)
      all[i] = i;
    Add(length, all);
  }
  // Each row sees a share of the keys, and all of its soft ones; bits past the end are noise.
  void RandomMask(double share, uint32_t seed) {
    std::mt19937_64 bits(seed);
    for (size_t s = 0; s < Sequences(); s++) {
      mask_start.push_back(mask.size());
      for (size_t r = row_start[s]; r < row_start[s + 1]; r++) {
        std::vector<uint64_t> row((Keys(s) + 63) / 64);
        for (size_t j = 0; j < row.size() * 64; j++) {
          bool seen = static_cast<double>(bits() >> 11) * 0x1p-53 < share;
          bool soft = j > position[r] && j <= position[r] + reach;
          row[j / 64] |= uint64_t{seen || soft || j == position[r]} << (j % 64);
        }
        mask.insert(mask.end(), row.begin(), row.end());
      }
    }
  }
  // Cells that the sequence has no key for are poison.
  void RandomBias(size_t reach_, uint32_t seed) {
    reach = reach_;
    bias = Random(Rows() * reach, 3.0f, seed);
    std::mt19937 bits(seed);
    for (size_t s = 0; s < Sequences(); s++) {
      for (size_t r = row_start[s]; r < row_start[s + 1]; r++) {
        for (size_t c = 0; c < reach; c++) {
          float *b = &bias[r * reach + c];
          *b = position[r] + 1 + c >= Keys(s) ? NAN : bits() % 5 == 0 ? -INFINITY : *b - 3.0f;
        }
      }
    }
  }
  bool Sees(size_t s, size_t r, size_t j) const {
    size_t words = (Keys(s) + 63) / 64;
    return mask.empty() ||
           (mask[mask_start[s] + (r - row_start[s]) * words + j / 64] >> (j % 64) & 1);
  }
  double Bias(size_t r, size_t j) const {
    size_t p = position[r];
    return j > p && j <= p + reach ? bias[r * reach + j - p - 1] : 0.0;
  }
};

// One array, and the sums of its terms' magnitudes.
struct Array {
  std::vector<double> want, size;
  explicit Array(size_t n = 0) : want(n), size(n) {}
  void Add(size_t i, double x, double magnitude) {
    want[i] += x;
    size[i] += magnitude;
  }
};

struct Reference {
  Array out, lse, d_q, d_k, d_v, d_bias;
};

struct Result {
  std::vector<float> out, lse, d_q, d_k, d_v, d_bias;
  bool operator==(const Result &o) const {
    auto same = [](const std::vector<float> &a, const std::vector<float> &b) {
      return a.size() == b.size() &&
             (a.empty() || memcmp(a.data(), b.data(), a.size() * 4) == 0);
    };
    return same(out, o.out) && same(lse, o.lse) && same(d_q, o.d_q) && same(d_k, o.d_k) &&
           same(d_v, o.d_v) && same(d_bias, o.d_bias);
  }
};

// Row r of sequence s and one head, in double.
void AddRow(const Problem &p, size_t s, size_t r, size_t head, Reference *to) {
  const size_t w = p.Width(), d = p.dim, at = r * w + head * d, keys = p.Keys(s);
  const double scale = 1 / std::sqrt(static_cast<double>(d));
  std::vector<double> logit(keys, -INFINITY), d_p(keys), d_p_size(keys);
  double top = -INFINITY, total = 0, delta = 0, delta_size = 0;
  for (size_t j = 0; j < keys; j++) {
    const size_t key = (p.key_start[s] + j) * w + head * d;
    double dot = 0;
    for (size_t i = 0; i < d; i++) {
      dot += double{p.q[at + i]} * p.k[key + i];
      d_p[j] += double{p.d_out[at + i]} * p.v[key + i];
      d_p_size[j] += std::fabs(double{p.d_out[at + i]} * p.v[key + i]);
    }
    if (p.Sees(s, r, j))
      logit[j] = dot * scale + p.Bias(r, j);
    top = std::max(top, logit[j]);
  }
  for (size_t j = 0; j < keys && top > -INFINITY; j++)
    total += std::exp(logit[j] - top);
  to->lse.Add(r * p.heads + head, top > -INFINITY ? top + std::log(total) : -INFINITY, 8);
  if (total == 0)
    return;
  for (double &x : logit)
    x = std::exp(x - top) / total;
  for (size_t j = 0; j < keys; j++) {
    const size_t key = (p.key_start[s] + j) * w + head * d;
    for (size_t i = 0; i < d; i++)
      to->out.Add(at + i, logit[j] * p.v[key + i], std::fabs(logit[j] * p.v[key + i]));
    delta += logit[j] * d_p[j];
    delta_size += logit[j] * d_p_size[j];
  }
  for (size_t j = 0; j < keys; j++) {
    const size_t key = (p.key_start[s] + j) * w + head * d;
    const double d_s = logit[j] * (d_p[j] - delta);
    const double d_s_size = logit[j] * (d_p_size[j] + delta_size);
    for (size_t i = 0; i < d; i++) {
      to->d_q.Add(at + i, scale * d_s * p.k[key + i], scale * d_s_size * std::fabs(p.k[key + i]));
      to->d_k.Add(key + i, scale * d_s * p.q[at + i], scale * d_s_size * std::fabs(p.q[at + i]));
      to->d_v.Add(key + i, logit[j] * p.d_out[at + i], logit[j] * std::fabs(p.d_out[at + i]));
    }
    if (j > p.position[r] && j <= p.position[r] + p.reach)
      to->d_bias.Add(r * p.reach + j - p.position[r] - 1, d_s, d_s_size);
  }
}

Reference Exact(const Problem &p) {
  const size_t q = p.Rows() * p.Width(), k = p.key_start.back() * p.Width();
  Reference to = {Array(q), Array(p.Rows() * p.heads), Array(q), Array(k),
                  Array(k), Array(p.Rows() * p.reach)};
  for (size_t s = 0; s < p.Sequences(); s++) {
    for (size_t r = p.row_start[s]; r < p.row_start[s + 1]; r++) {
      for (size_t head = 0; head < p.heads; head++)
        AddRow(p, s, r, head, &to);
    }
  }
  return to;
}

class SimtTrainAttention : public SimtOpTest {
 protected:
  void Fill(Problem *p, float range, uint32_t seed) const {
    const size_t q = p->Rows() * p->Width(), k = p->key_start.back() * p->Width();
    p->q = Rounded(Random(q, range, seed));
    p->k = Rounded(Random(k, range, seed + 1));
    p->v = Rounded(Random(k, 1.0f, seed + 2));
    p->d_out = Rounded(Random(q, 1.0f, seed + 3));
  }
  // Rows of `width` elements, `stride` apart from element `shift` on; all else is NaN.
  Bytes Spread(const std::vector<float> &v, size_t width, size_t stride, size_t shift) const {
    size_t rows = v.size() / width;
    std::vector<float> all(shift + rows * stride, NAN);
    for (size_t r = 0; r < rows; r++)
      std::copy_n(&v[r * width], width, &all[shift + r * stride]);
    return Act(all);
  }
  std::vector<float> Gathered(const Bytes &data, size_t rows, size_t width, size_t stride,
                              size_t shift) const {
    std::vector<float> all = Read(data), v(rows * width);
    for (size_t r = 0; r < rows; r++)
      std::copy_n(&all[shift + r * stride], width, &v[r * width]);
    return v;
  }
  void *At(const Bytes &data, size_t element) const {
    return static_cast<char *>(data.get()) + element * ActBytes();
  }

  // Both passes; rows lie `gap` elements further apart than they need and `shift` behind their start.
  Result Run(const Problem &p, size_t gap = 0, size_t shift = 0) const {
    const size_t w = p.Width(), stride = w + gap, rows = p.Rows(), keys = p.key_start.back();
    Bytes q = Spread(p.q, w, stride, shift), k = Spread(p.k, w, stride, shift),
          v = Spread(p.v, w, stride, shift), d_out = Spread(p.d_out, w, w, 0), out = Act(rows * w),
          lse = Res(rows * p.heads), bias = Res(p.bias);
    sp_train_attention_backward_args args{};
    sp_train_attention_args &a = args.forward;
    a.q = At(q, shift);
    a.k = At(k, shift);
    a.v = At(v, shift);
    a.q_stride = a.kv_stride = stride;
    a.heads = p.heads;
    a.head_dim = p.dim;
    a.sequences = p.Sequences();
    a.rows = rows;
    a.keys = keys;
    a.row_start = p.row_start.data();
    a.key_start = p.key_start.data();
    a.row_position = p.position.data();
    a.mask = p.mask.empty() ? nullptr : p.mask.data();
    a.mask_start = p.mask.empty() ? nullptr : p.mask_start.data();
    a.bias = p.bias.empty() ? nullptr : static_cast<const float *>(bias.get());
    a.reach = p.reach;
    a.out = out.get();
    a.lse = static_cast<float *>(lse.get());
    EXPECT_EQ(sp_cuda_train_attention(nullptr, bf16_, &a), cudaSuccess) << sp_simt::Failure();
    Bytes d_q = Act(shift + rows * stride), d_k = Act(shift + keys * stride),
          d_v = Act(shift + keys * stride), d_bias = Res(p.bias.size());
    args.d_out = d_out.get();
    args.d_q = At(d_q, shift);
    args.d_k = At(d_k, shift);
    args.d_v = At(d_v, shift);
    args.d_q_stride = args.d_kv_stride = stride;
    args.d_bias = static_cast<float *>(d_bias.get());
    Bytes scratch(sp_cuda_train_attention_backward_scratch_bytes(rows, p.heads, p.reach));
    EXPECT_EQ(sp_cuda_train_attention_backward(nullptr, bf16_, &args, scratch.get()), cudaSuccess)
        << sp_simt::Failure();
    return {Read(out),
            ReadRes(lse),
            Gathered(d_q, rows, w, stride, shift),
            Gathered(d_k, keys, w, stride, shift),
            Gathered(d_v, keys, w, stride, shift),
            ReadRes(d_bias)};
  }

  // Each element within `part` of its terms, and all of them in the mean square.
  void Near(const std::vector<float> &got, const Array &array, bool act, const char *name,
            const std::string &what) const {
    const double part = bf16_ ? 1.5 * 0x1p-8 : 2e-5, mean = bf16_ ? 1.2 * 0x1p-8 : 5e-6;
    double error = 0, total = 0;
    ASSERT_EQ(got.size(), array.want.size());
    for (size_t i = 0; i < got.size(); i++) {
      double want = array.want[i];
      if (want == got[i])
        continue;
      double off = got[i] - want;
      ASSERT_TRUE(std::fabs(off) <= part * array.size[i] + (act ? 1.01 * Storing(want) : 0) + 1e-7)
          << name << ", " << what << ": element " << i << " is " << got[i] << ", want " << want;
      error += off * off;
      total += want * want;
    }
    ASSERT_TRUE(std::sqrt(error) <= mean * std::sqrt(total) + 1e-6)
        << name << ", " << what << ": " << std::sqrt(error / total);
  }
  void Check(const Problem &p, const std::string &what) const {
    Result got = Run(p, p.dim % 3, p.heads % 2);
    Reference want = Exact(p);
    Near(got.out, want.out, true, "out", what);
    Array lse = want.lse; /* f32 in both types */
    for (size_t i = 0; i < lse.want.size(); i++)
      ASSERT_TRUE(lse.want[i] == got.lse[i] ||
                  std::fabs(lse.want[i] - got.lse[i]) <= 4e-6 * (4 + std::fabs(lse.want[i])))
          << what << ": lse " << got.lse[i] << ", want " << lse.want[i];
    Near(got.d_q, want.d_q, true, "d_q", what);
    Near(got.d_k, want.d_k, true, "d_k", what);
    Near(got.d_v, want.d_v, true, "d_v", what);
    Near(got.d_bias, want.d_bias, false, "d_bias", what);
  }
};

TEST_P(SimtTrainAttention, HeadsOfEveryWidth) {
  for (size_t dim : {1, 2, 8, 16, 24, 26, 33, 48, 64, 72, 96, 127, 128}) {
    Problem p(3, dim);
    p.AddWhole(19);
    p.AddWhole(1);
    Fill(&p, 1.5f, 7);
    Check(p, "head of " + std::to_string(dim));
  }
}

TEST_P(SimtTrainAttention, SequencesOfManyLengths) {
  Problem p(2, 26);
  for (uint32_t length : {1, 2, 15, 16, 17, 63, 64, 65, 130})
    p.AddWhole(length);
  Fill(&p, 1.5f, 11);
  Check(p, "all seen");
  p.RandomMask(0.5, 3);
  Check(p, "half seen");
}

TEST_P(SimtTrainAttention, LongSequencesAreTiled) {
  Problem p(1, 8);
  p.AddWhole(520);
  Fill(&p, 2.0f, 13);
  p.RandomBias(32, 5);
  p.RandomMask(0.3, 4);
  Check(p, "520 tokens");
}

TEST_P(SimtTrainAttention, RowsAskFromSomePositions) {
  Problem p(2, 40);
  p.Add(70, {69, 3, 40});
  p.Add(20, {});
  p.Add(5, {0, 1, 2, 3, 4});
  p.Add(140, {139, 0, 64, 63});
  Fill(&p, 1.5f, 17);
  p.RandomBias(5, 6);
  p.RandomMask(0.6, 5);
  Check(p, "some rows");
}

TEST_P(SimtTrainAttention, SoftMasks) {
  for (size_t reach : {1, 4, 32}) {
    for (size_t dim : {16, 64, 80, 128}) {
      Problem p(3, dim);
      p.AddWhole(24);
      p.AddWhole(dim == 64 ? 100 : 3);
      Fill(&p, 1.5f, 19);
      p.RandomBias(reach, 7);
      p.RandomMask(0.4, 6);
      Check(p, "reach " + std::to_string(reach) + ", head of " + std::to_string(dim));
    }
  }
}

// Cells of 0 and -inf are the hard mask's, to the bit.
TEST_P(SimtTrainAttention, ASoftMaskOfZerosAndOnesIsAHardOne) {
  Problem p(2, 26);
  p.AddWhole(24);
  p.AddWhole(90);
  Fill(&p, 1.5f, 23);
  p.RandomBias(7, 8);
  for (float &b : p.bias)
    b = b == -INFINITY ? b : 0.0f;
  p.RandomMask(0.4, 7);
  Problem hard = p;
  hard.bias.clear();
  hard.reach = 0;
  for (size_t s = 0; s < p.Sequences(); s++) {
    const size_t words = (p.Keys(s) + 63) / 64;
    for (size_t r = p.row_start[s]; r < p.row_start[s + 1]; r++) {
      for (size_t j = p.position[r] + 1; j < std::min(p.Keys(s), p.position[r] + 1 + p.reach);
           j++) {
        if (p.Bias(r, j) == -INFINITY)
          hard.mask[p.mask_start[s] + (r - p.row_start[s]) * words + j / 64] &=
              ~(uint64_t{1} << j % 64);
      }
    }
  }
  Result soft = Run(p), want = Run(hard);
  soft.d_bias.clear();
  EXPECT_TRUE(soft == want);
}

TEST_P(SimtTrainAttention, ARowThatSeesNothingHasNoGradient) {
  Problem p(2, 26);
  p.AddWhole(70);
  p.AddWhole(9);
  Fill(&p, 1.5f, 29);
  p.RandomMask(0.5, 8);
  for (size_t w = 0; w < 2; w++)
    p.mask[5 * 2 + w] = 0;
  std::fill_n(p.mask.begin() + static_cast<ptrdiff_t>(p.mask_start[1]), 9, 0);
  Check(p, "blind rows");
  Result got = Run(p);
  EXPECT_EQ(got.lse[5 * 2], -INFINITY);
  for (size_t i = 70 * p.Width(); i < got.d_k.size(); i++)
    ASSERT_EQ(got.d_k[i] * got.d_k[i] + got.d_v[i] * got.d_v[i] + got.d_q[i] * got.d_q[i], 0.0f);
}

// The order of threads, how wide loads are and what else a launch has change no bit.
TEST_P(SimtTrainAttention, BitsAreASequencesOwn) {
  Problem p(2, 24), alone(2, 24);
  for (uint32_t length : {3, 70, 30})
    p.AddWhole(length);
  alone.AddWhole(70);
  Fill(&p, 1.5f, 31);
  p.RandomBias(4, 9);
  Result all = Run(p);
  sp_simt::SetReverse(true);
  EXPECT_TRUE(all == Run(p)) << "threads reversed";
  sp_simt::SetReverse(false);
  EXPECT_TRUE(all == Run(p, 1, 1)) << "rows that are not aligned";
  EXPECT_TRUE(all == Run(p, 8, 2)) << "pairs";
  auto part = [](const std::vector<float> &v, size_t per_row) {
    auto first = v.begin() + static_cast<ptrdiff_t>(3 * per_row);
    return std::vector<float>(first, first + static_cast<ptrdiff_t>(70 * per_row));
  };
  const size_t w = p.Width();
  alone.reach = 4;
  alone.q = part(p.q, w);
  alone.k = part(p.k, w);
  alone.v = part(p.v, w);
  alone.d_out = part(p.d_out, w);
  alone.bias = part(p.bias, 4);
  Result want = {part(all.out, w), part(all.lse, 2), part(all.d_q, w),
                 part(all.d_k, w), part(all.d_v, w), part(all.d_bias, 4)};
  EXPECT_TRUE(want == Run(alone)) << "alone";
}

TEST_P(SimtTrainAttention, LargeLogitsStayFinite) {
  Problem p(1, 64);
  p.AddWhole(40);
  Fill(&p, 1.0f, 37);
  for (float &x : p.q)
    x *= 64.0f;
  Result got = Run(p);
  for (const std::vector<float> *v : {&got.out, &got.lse, &got.d_q, &got.d_k, &got.d_v}) {
    for (float x : *v)
      ASSERT_TRUE(std::isfinite(x));
  }
}

TEST_P(SimtTrainAttention, NotANumberGoesOn) {
  Problem p(2, 26);
  p.AddWhole(24);
  p.AddWhole(5);
  Fill(&p, 1.5f, 41);
  p.q[3 * p.Width() + 26] = NAN; /* row 3, head 1 */
  Result got = Run(p);
  for (size_t r = 0; r < p.Rows(); r++) {
    for (size_t i = 0; i < p.Width(); i++) {
      ASSERT_EQ(std::isnan(got.out[r * p.Width() + i]), r == 3 && i >= 26);
      ASSERT_EQ(std::isnan(got.d_q[r * p.Width() + i]), r == 3 && i >= 26);
      ASSERT_EQ(std::isnan(got.d_v[r * p.Width() + i]), r < 24 && i >= 26);
    }
  }
}

TEST_P(SimtTrainAttention, RefusesWhatItCannotRun) {
  sp_train_attention_backward_args args{};
  args.forward.heads = 1;
  args.forward.head_dim = SP_CUDA_MAX_HEAD_DIM + 1;
  EXPECT_EQ(sp_cuda_train_attention(nullptr, bf16_, &args.forward), cudaErrorInvalidValue);
  EXPECT_EQ(sp_cuda_train_attention_backward(nullptr, bf16_, &args, nullptr),
            cudaErrorInvalidValue);
  args.forward.head_dim = 8;
  EXPECT_EQ(sp_cuda_train_attention(nullptr, bf16_, &args.forward), cudaSuccess);
  EXPECT_EQ(sp_cuda_train_attention_backward(nullptr, bf16_, &args, nullptr), cudaSuccess);
}

SP_SIMT_CASES(SimtTrainAttention);

}  // namespace
