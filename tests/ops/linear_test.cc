// linear against a double reference, and its rows bit for bit under any row count and place.
#include <dlfcn.h>

#include <cstring>

#include "bf16.h"
#include "op_test.h"

namespace {

using namespace sp_test;

struct Shape {
  size_t rows, n, k;
};

// Calls of omp_set_num_threads, where an OpenMP is loaded; the count is put back in the end.
class OpenMpThreads {
 public:
  OpenMpThreads() {
    void *get = dlsym(RTLD_DEFAULT, "omp_get_max_threads");
    void *set = dlsym(RTLD_DEFAULT, "omp_set_num_threads");
    memcpy(&get_, &get, sizeof get);
    memcpy(&set_, &set, sizeof set);
    if (get_ && set_)
      before_ = get_();
  }
  ~OpenMpThreads() {
    Set(before_);
  }
  OpenMpThreads(const OpenMpThreads &) = delete;
  OpenMpThreads &operator=(const OpenMpThreads &) = delete;
  void Set(int threads) {
    if (get_ && set_)
      set_(threads);
  }

 private:
  int (*get_)(void) = nullptr;
  void (*set_)(int) = nullptr;
  int before_ = 1;
};

class LinearTest : public OpTest {
 protected:
  sp_linear *Make(size_t n, size_t k, sp_activation activation, sp_row_kind kind, bool out_res) {
    weight_ = Random(n * k, 1.5f / std::sqrt(static_cast<float>(k)), 11);
    bias_ = Random(n, 0.5f, 12);
    sp_linear *linear = nullptr;
    EXPECT_EQ(backend_->linear_create(device_, weight_.data(), bias_.data(), n, k, activation, kind,
                                      out_res, &linear, &err_),
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

  // The bytes of a product of s.rows rows of `in`, from row `from` on; the surplus rows hold `poison`.
  std::vector<char> Product(const sp_linear *linear, const std::vector<float> &in, size_t from,
                            const Shape &s, float poison, bool out_res) {
    std::vector<float> some(in.begin() + static_cast<ptrdiff_t>(from * s.k),
                            in.begin() + static_cast<ptrdiff_t>((from + s.rows) * s.k));
    void *out = out_res ? ResRows(s.rows, s.n) : ActRows(s.rows, s.n);
    EXPECT_EQ(backend_->linear(stream_, linear, ActRows(some, s.rows, s.k, poison), nullptr, s.rows,
                               out, &err_),
              SP_OK)
        << err_.message;
    return Get<char>(out, s.rows * RowBytes(s.n, out_res));
  }
  size_t RowBytes(size_t n, bool out_res) const {
    return n * (out_res ? device_->res_bytes : device_->act_bytes);
  }

  bool IsDefault() const {
    return *GetParam().spec == 0;
  }

  void CheckShape(const Shape &s, sp_activation activation, bool out_res, sp_row_kind kind);
  void CheckRowsInBatches(const Shape &s, sp_row_kind kind, bool out_res, sp_activation activation);
  void CheckOpenMpThreads(const Shape &s, sp_row_kind kind, bool out_res);

  std::vector<float> weight_, bias_;
};

void LinearTest::CheckShape(const Shape &s, sp_activation activation, bool out_res,
                            sp_row_kind kind) {
  std::string what = std::to_string(s.rows) + "x" + std::to_string(s.n) + "x" +
                     std::to_string(s.k) + " activation " + std::to_string(activation);
  sp_linear *linear = Make(s.n, s.k, activation, kind, out_res);
  sp_stream *stream = BeginStream();
  std::vector<float> in = Random(s.rows * s.k, 1.0f, 13);
  void *in_rows = ActRows(in, s.rows, s.k, 3.0f);
  void *out = out_res ? ResRows(s.rows, s.n) : ActRows(s.rows, s.n);
  ASSERT_EQ(backend_->linear(stream, linear, in_rows, nullptr, s.rows, out, &err_), SP_OK)
      << err_.message;
  std::vector<double> sizes, ignored;
  std::vector<double> exact = Exact(in, s, false, activation, &sizes);
  std::vector<double> bound(exact.size());
  double steps = 4 + 2 * std::sqrt(static_cast<double>(s.k));
  for (size_t i = 0; i < bound.size(); i++)
    bound[i] = 1.2 * steps * kEps * sizes[i] + 4e-7;
  for (size_t i = 0; i < bound.size() && !IsCpu() && bf16_ && !out_res; i++)
    bound[i] += std::fabs(exact[i]) * 0x1p-8;  // an act between product and activation
  size_t count = s.rows * s.n;
  std::vector<float> got = out_res ? ReadRes(out, count) : ReadAct(out, count);
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

void LinearTest::CheckRowsInBatches(const Shape &s, sp_row_kind kind, bool out_res,
                                    sp_activation activation) {
  sp_linear *linear = Make(s.n, s.k, activation, kind, out_res);
  BeginStream();
  std::vector<float> in = Random(s.rows * s.k, 1.0f, 21);
  std::vector<char> all = Product(linear, in, 0, s, 0.0f, out_res);
  size_t row_bytes = RowBytes(s.n, out_res);
  for (size_t rows : {1, 5, 13, 16, 64, 100, 257}) {
    size_t from = (s.rows - rows) * 3 / 7;
    std::vector<char> some = Product(linear, in, from, {rows, s.n, s.k}, 1e20f, out_res);
    ASSERT_EQ(0, memcmp(some.data(), all.data() + from * row_bytes, rows * row_bytes))
        << rows << " rows of " << s.n << "x" << s.k << (out_res ? " to res" : " to act");
  }
  EndStream();
  FreeMemory();
  backend_->linear_destroy(linear);
}

void LinearTest::CheckOpenMpThreads(const Shape &s, sp_row_kind kind, bool out_res) {
  std::vector<float> in = Random(s.rows * s.k, 1.0f, 22);
  OpenMpThreads openmp;
  std::vector<char> first;
  for (int threads : {1, 2, 3, 4}) {
    openmp.Set(threads);
    sp_linear *linear = Make(s.n, s.k, SP_ACT_NONE, kind, out_res);
    BeginStream();
    std::vector<char> got = Product(linear, in, 0, s, 0.0f, out_res);
    if (threads == 1)
      first = got;
    ASSERT_EQ(got.size(), first.size());
    ASSERT_EQ(0, memcmp(got.data(), first.data(), got.size()))
        << threads << " threads, to " << (out_res ? "res" : "act");
    EndStream();
    FreeMemory();
    backend_->linear_destroy(linear);
  }
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
    ASSERT_EQ(backend_->linear_create(device_, &one, &zero, 1, 1, activation, SP_ROWS_TOKENS, false,
                                      &linear, &err_),
              SP_OK);
    sp_stream *stream = BeginStream();
    std::vector<float> in(rows);
    for (size_t i = 0; i < rows; i++)
      in[i] = static_cast<float>(i) * 1e-3f - 10.0f;
    void *out = ActRows(rows, 1);
    void *in_rows = ActRows(in, rows, 1, 0.0f);
    ASSERT_EQ(backend_->linear(stream, linear, in_rows, nullptr, rows, out, &err_), SP_OK);
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
// Both outputs, since each is a plan of its own to oneDNN: `up` goes to act, `down` and `o` go to res
// and `transform` does with its activation. The default device alone has oneDNN, which plans by shape;
// our own kernels go in small tiles, which small shapes show as well.
TEST_P(LinearTest, RowsDoNotDependOnTheBatch) {
  const Shape shapes[] = {{600, 768, 3072}, {600, 3072, 768},  {600, 312, 1200},
                          {600, 256, 256},  {600, 1024, 1024}, {600, 101, 211}};
  for (const Shape &s : shapes) {
    if (s.n * s.k > (kSlowDevice ? 50000 : IsDefault() ? SIZE_MAX : 400000))
      continue;
    for (sp_row_kind kind : {SP_ROWS_TOKENS, SP_ROWS_SCORED}) {
      CheckRowsInBatches(s, kind, false, SP_ACT_GELU_ERF);
      CheckRowsInBatches(s, kind, true, SP_ACT_NONE);
      CheckRowsInBatches(s, kind, true, SP_ACT_GELU_ERF);
    }
  }
}

// oneDNN plans and runs by OpenMP's thread count, which is the caller's and not ours. (Its AVX2
// products would show it, the AVX-512 ones of 2.6 would not: see CMakeLists.txt.)
TEST_P(LinearTest, OpenMpThreadsChangeNothing) {
  if (!IsCpu())
    GTEST_SKIP() << "no OpenMP in this device";
  for (sp_row_kind kind : {SP_ROWS_TOKENS, SP_ROWS_SCORED}) {
    for (bool out_res : {false, true})
      CheckOpenMpThreads(IsDefault() ? Shape{600, 768, 3072} : Shape{600, 96, 384}, kind, out_res);
  }
}

TEST_P(LinearTest, AddsTheResidual) {
  if (!device_->adds_residual)
    GTEST_SKIP() << "add_norm adds it on this device";
  for (const Shape &s : {Shape{1, 5, 3}, {129, 48, 64}, {37, 31, 17}}) {
    sp_linear *linear = Make(s.n, s.k, SP_ACT_NONE, SP_ROWS_TOKENS, true);
    sp_stream *stream = BeginStream();
    std::vector<float> in = Random(s.rows * s.k, 1.0f, 31), add = Random(s.rows * s.n, 2.0f, 32);
    void *in_rows = ActRows(in, s.rows, s.k, 3.0f), *residual = ResRows(add, s.rows, s.n, 3.0f);
    void *out = ResRows(s.rows, s.n);
    ASSERT_EQ(backend_->linear(stream, linear, in_rows, residual, s.rows, out, &err_), SP_OK)
        << err_.message;
    std::vector<double> sizes, exact = Exact(in, s, false, SP_ACT_NONE, &sizes);
    std::vector<double> baseline = Exact(in, s, true, SP_ACT_NONE, &sizes), bound(exact.size());
    for (size_t i = 0; i < exact.size(); i++) {
      exact[i] += add[i];
      baseline[i] = static_cast<double>(static_cast<float>(baseline[i] + add[i]));
      bound[i] = (8 + 4 * std::sqrt(static_cast<double>(s.k))) * kEps * (sizes[i] + 2) + 4e-7;
    }
    ExpectTwiceBaseline(ReadRes(out, exact.size()), exact, baseline, bound, "residual");
    EndStream();
    backend_->linear_destroy(linear);
  }
}

SP_OP_CASES(LinearTest);

}  // namespace
