// linear against a double reference, and its rows bit for bit under any row count and place.
#include <cstring>

#include "bf16.h"
#include "op_test.h"

namespace {

using namespace sp_test;

struct Shape {
  size_t rows, n, k;
};

class LinearTest : public OpTest {
 protected:
  sp_linear *Make(size_t n, size_t k, sp_activation activation, sp_row_kind kind) {
    weight_ = Random(n * k, 1.5f / std::sqrt(static_cast<float>(k)), 11);
    bias_ = Random(n, 0.5f, 12);
    sp_linear *linear = nullptr;
    EXPECT_EQ(backend_->linear_create(device_, weight_.data(), bias_.data(), n, k, activation, kind,
                                      &linear, &err_),
              SP_OK)
        << err_.message;
    return linear;
  }

  // Exact values for `in` (rows, k) and, in *sizes, the sum of the terms' magnitudes.
  std::vector<double> Exact(const std::vector<float> &in, const Shape &s, bool rounded,
                            sp_activation activation, std::vector<double> *sizes) {
    std::vector<double> out(s.rows * s.n);
    sizes->assign(s.rows * s.n, 0);
    for (size_t r = 0; r < s.rows; r++) {
      for (size_t j = 0; j < s.n; j++) {
        double sum = bias_[j], size = std::fabs(bias_[j]);
        for (size_t i = 0; i < s.k; i++) {
          float w = weight_[j * s.k + i], x = in[r * s.k + i];
          double term = rounded ? static_cast<double>(RoundAct(w, compute_)) * RoundAct(x, compute_)
                                : static_cast<double>(w) * x;
          sum += term;
          size += std::fabs(term);
        }
        out[r * s.n + j] = Activate(activation, sum);
        (*sizes)[r * s.n + j] = size;
      }
    }
    return out;
  }

  void CheckShape(const Shape &s, sp_activation activation, bool out_res, sp_row_kind kind);

  std::vector<float> weight_, bias_;
};

void LinearTest::CheckShape(const Shape &s, sp_activation activation, bool out_res,
                            sp_row_kind kind) {
  std::string what = std::to_string(s.rows) + "x" + std::to_string(s.n) + "x" +
                     std::to_string(s.k) + " activation " + std::to_string(activation);
  sp_linear *linear = Make(s.n, s.k, activation, kind);
  sp_stream *stream = BeginStream();
  std::vector<float> in = Random(s.rows * s.k, 1.0f, 13);
  void *in_rows = ActRows(in, s.rows, s.k, 3.0f);
  void *out = out_res ? F32Rows(s.rows, s.n) : ActRows(s.rows, s.n);
  ASSERT_EQ(backend_->linear(stream, linear, in_rows, s.rows, out_res, out, &err_), SP_OK)
      << err_.message;
  std::vector<double> sizes, ignored;
  std::vector<double> exact = Exact(in, s, false, activation, &sizes);
  std::vector<double> bound(exact.size());
  double steps = 4 + 2 * std::sqrt(static_cast<double>(s.k));
  for (size_t i = 0; i < bound.size(); i++)
    bound[i] = 1.2 * steps * kEps * sizes[i] + 4e-7;
  size_t count = s.rows * s.n;
  std::vector<float> got(count);
  if (out_res) {
    memcpy(got.data(), out, count * sizeof(float));
  } else {
    got = ReadAct(out, count);
  }
  if (bf16_) {
    std::vector<double> baseline = Exact(in, s, true, activation, &ignored);
    for (double &y : baseline) {
      if (!out_res)
        y = RoundBf16(static_cast<float>(y));
    }
    ExpectTwiceBaseline(got, exact, baseline, bound, what);
  } else {
    ExpectWithin(got, exact, bound, what);
  }
  EndStream();
  backend_->linear_destroy(linear);
}

TEST_P(LinearTest, MatchesTheReference) {
  const Shape shapes[] = {{1, 1, 1},    {1, 2, 31},    {7, 17, 13},   {63, 33, 64}, {64, 64, 65},
                          {65, 127, 7}, {257, 37, 97}, {5, 312, 312}, {3, 768, 256}};
  for (const Shape &s : shapes) {
    CheckShape(s, SP_ACT_NONE, false, SP_ROWS_TOKENS);
    CheckShape(s, SP_ACT_GELU_ERF, true, SP_ROWS_SCORED);
  }
}

TEST_P(LinearTest, EveryActivation) {
  for (sp_activation activation :
       {SP_ACT_NONE, SP_ACT_GELU_ERF, SP_ACT_GELU_TANH, SP_ACT_RELU, SP_ACT_TANH}) {
    CheckShape({9, 53, 67}, activation, false, SP_ROWS_SCORED);
    CheckShape({9, 53, 67}, activation, true, SP_ROWS_TOKENS);
  }
}

// The product is the input itself here: what is off is the activation's, however it is computed.
TEST_P(LinearTest, ActivationsAreExactToTheType) {
  const double limit = bf16_ ? 0x1p-8 : 3e-7;  // bf16: the output's rounding
  const size_t rows = 20001;
  for (sp_activation activation : {SP_ACT_GELU_ERF, SP_ACT_GELU_TANH, SP_ACT_TANH}) {
    const float one = 1, zero = 0;
    sp_linear *linear = nullptr;
    ASSERT_EQ(backend_->linear_create(device_, &one, &zero, 1, 1, activation, SP_ROWS_TOKENS,
                                      &linear, &err_),
              SP_OK);
    sp_stream *stream = BeginStream();
    std::vector<float> in(rows);
    for (size_t i = 0; i < rows; i++)
      in[i] = static_cast<float>(i) * 1e-3f - 10.0f;
    void *out = ActRows(rows, 1);
    ASSERT_EQ(backend_->linear(stream, linear, ActRows(in, rows, 1, 0.0f), rows, false, out, &err_),
              SP_OK);
    std::vector<float> got = ReadAct(out, rows);
    double worst = 0;
    for (size_t i = 0; i < rows; i++) {
      double want = Activate(activation, bf16_ ? sp_bf16_to_f32(sp_bf16_from_f32(in[i])) : in[i]);
      worst = std::max(worst, std::fabs(got[i] - want) / std::max(1.0, std::fabs(want)));
      ASSERT_FALSE(std::isnan(got[i]));
    }
    EXPECT_TRUE(worst <= limit) << "activation " << activation << " is off by " << worst;
    RecordProperty("worst_" + std::to_string(activation), std::to_string(worst * 1e9) + "e-9");
    EndStream();
    backend_->linear_destroy(linear);
  }
}

// The same row must give the same bits in any place of any number of rows, whatever surrounds it.
TEST_P(LinearTest, RowsDoNotDependOnTheBatch) {
  const Shape shapes[] = {{600, 768, 3072}, {600, 3072, 768},  {600, 312, 1200},
                          {600, 256, 256},  {600, 1024, 1024}, {600, 101, 211}};
  for (const Shape &s : shapes) {
    for (sp_row_kind kind : {SP_ROWS_TOKENS, SP_ROWS_SCORED}) {
      sp_linear *linear = Make(s.n, s.k, SP_ACT_GELU_ERF, kind);
      sp_stream *stream = BeginStream();
      std::vector<float> in = Random(s.rows * s.k, 1.0f, 21);
      void *all_in = ActRows(in, s.rows, s.k, 0.0f);
      void *all_out = ActRows(s.rows, s.n);
      ASSERT_EQ(backend_->linear(stream, linear, all_in, s.rows, false, all_out, &err_), SP_OK);
      size_t row_bytes = s.n * device_->act_bytes;
      for (size_t rows : {1, 5, 13, 16, 64, 100, 257}) {
        size_t from = (s.rows - rows) * 3 / 7;
        std::vector<float> some(in.begin() + static_cast<ptrdiff_t>(from * s.k),
                                in.begin() + static_cast<ptrdiff_t>((from + rows) * s.k));
        void *some_in = ActRows(some, rows, s.k, 1e20f);
        void *some_out = ActRows(rows, s.n);
        ASSERT_EQ(backend_->linear(stream, linear, some_in, rows, false, some_out, &err_), SP_OK);
        ASSERT_EQ(
            0, memcmp(some_out, static_cast<char *>(all_out) + from * row_bytes, rows * row_bytes))
            << rows << " rows of " << s.n << "x" << s.k;
      }
      EndStream();
      backend_->linear_destroy(linear);
    }
  }
}

SP_OP_CASES(LinearTest);

}  // namespace
