// vocab_logp against a double reference: vocabularies around the chunk, rows with several targets.
#include <cstring>

#include "op_test.h"

namespace {

using namespace sp_test;

class VocabLogpTest : public OpTest {
 protected:
  void Make(size_t v, size_t d, float range = 1.0f) {
    v_ = v;
    d_ = d;
    weight_ = Random(v * d, range, 61);
    bias_ = Random(v, 1.0f, 62);
    ASSERT_EQ(backend_->vocab_create(device_, weight_.data(), bias_.data(), v, d, &vocab_, &err_),
              SP_OK)
        << err_.message;
    BeginStream();
  }
  void Drop() {
    EndStream();
    backend_->vocab_destroy(vocab_);
  }
  std::vector<float> Run(const std::vector<float> &h, size_t rows, const std::vector<uint32_t> &row,
                         const std::vector<int32_t> &id) {
    void *in = ActRows(h, rows, d_, 5.0f);
    float *logp = Put(std::vector<float>(row.size(), NAN));
    EXPECT_EQ(
        backend_->vocab_logp(stream_, vocab_, in, rows, Put(row), Put(id), row.size(), logp, &err_),
        SP_OK)
        << err_.message;
    return Get<float>(logp, row.size());
  }
  std::vector<double> Exact(const std::vector<float> &h, const std::vector<uint32_t> &row,
                            const std::vector<int32_t> &id, bool rounded,
                            std::vector<double> *bound) {
    std::vector<double> out(row.size());
    bound->resize(row.size());
    for (size_t t = 0; t < row.size(); t++) {
      std::vector<double> logit(v_);
      double top = -INFINITY, size = 0, sum = 0;
      for (size_t j = 0; j < v_; j++) {
        double dot = bias_[j], magnitude = std::fabs(bias_[j]);
        for (size_t i = 0; i < d_; i++) {
          float w = weight_[j * d_ + i], x = h[row[t] * d_ + i];
          double term = rounded ? static_cast<double>(RoundAct(w, compute_)) * RoundAct(x, compute_)
                                : static_cast<double>(w) * x;
          dot += term;
          magnitude += std::fabs(term);
        }
        logit[j] = dot;
        size = std::max(size, magnitude);
        top = std::max(top, dot);
      }
      for (double x : logit)
        sum += std::exp(x - top);
      out[t] = logit[static_cast<size_t>(id[t])] - top - std::log(sum);
      (*bound)[t] = 2 * (4 + 2 * std::sqrt(static_cast<double>(d_))) * kEps * size + 1e-6 +
                    2 * kEps * std::fabs(out[t]);
    }
    return out;
  }
  void Check(size_t rows, const std::vector<uint32_t> &row, const std::vector<int32_t> &id,
             const std::string &what) {
    std::vector<float> h = Random(rows * d_, 1.0f, 63);
    std::vector<float> got = Run(h, rows, row, id);
    std::vector<double> bound, ignored;
    std::vector<double> exact = Exact(h, row, id, false, &bound);
    if (bf16_) {
      ExpectTwiceBaseline(got, exact, Exact(h, row, id, true, &ignored), bound, what);
    } else {
      ExpectWithin(got, exact, bound, what);
    }
  }

  sp_vocab *vocab_ = nullptr;
  size_t v_ = 0, d_ = 0;
  std::vector<float> weight_, bias_;
};

TEST_P(VocabLogpTest, MatchesTheReference) {
  for (size_t v : {1, 2, 31, 997, 2047, 2048, 2049, 4096, 5003}) {
    if (kSlowDevice && v > 2049)
      continue;
    Make(v, v < 3000 ? 33 : 16);
    std::vector<uint32_t> row;
    std::vector<int32_t> id;
    for (uint32_t r = 0; r < 9; r++) {
      for (size_t pick : {size_t{0}, v / 3, v - 1}) {
        row.push_back(r);
        id.push_back(static_cast<int32_t>(pick));
      }
    }
    Check(9, row, id, "vocabulary of " + std::to_string(v));
    Drop();
  }
}

TEST_P(VocabLogpTest, RowsWithoutTargetsAndManyTiles) {
  Make(301, 24);
  std::vector<uint32_t> row;
  std::vector<int32_t> id;
  for (uint32_t r = 0; r < 400; r += r % 5 + 1) {
    row.push_back(r);
    id.push_back(static_cast<int32_t>(r * 7 % 301));
  }
  Check(401, row, id, "sparse targets");
  Drop();
}

TEST_P(VocabLogpTest, ProbabilitiesSumToOneUnderLargeLogits) {
  Make(2500, 64, 8.0f);
  std::vector<uint32_t> row(2500, 0);
  std::vector<int32_t> id(2500);
  for (size_t i = 0; i < id.size(); i++)
    id[i] = static_cast<int32_t>(i);
  std::vector<float> logp = Run(Random(64, 4.0f, 64), 1, row, id);
  double sum = 0;
  for (float x : logp)
    sum += std::exp(static_cast<double>(x));
  EXPECT_TRUE(std::fabs(sum - 1) <= 1e-3) << sum;
  Drop();
}

TEST_P(VocabLogpTest, RowsDoNotDependOnTheBatch) {
  const size_t v = kSlowDevice ? 259 : 4099;
  Make(v, 96);
  const size_t rows = 300;
  std::vector<float> h = Random(rows * d_, 1.0f, 65);
  std::vector<uint32_t> row(rows);
  std::vector<int32_t> id(rows);
  for (size_t r = 0; r < rows; r++) {
    row[r] = static_cast<uint32_t>(r);
    id[r] = static_cast<int32_t>(r * 13 % v);
  }
  std::vector<float> all = Run(h, rows, row, id);
  for (size_t count : {1, 3, 64, 65, 129}) {
    size_t from = (rows - count) / 3;
    auto at = static_cast<ptrdiff_t>(from), end = static_cast<ptrdiff_t>(from + count);
    std::vector<float> some(h.begin() + at * static_cast<ptrdiff_t>(d_),
                            h.begin() + end * static_cast<ptrdiff_t>(d_));
    std::vector<uint32_t> some_row(row.begin(), row.begin() + static_cast<ptrdiff_t>(count));
    std::vector<int32_t> some_id(id.begin() + at, id.begin() + end);
    std::vector<float> got = Run(some, count, some_row, some_id);
    ASSERT_EQ(0, memcmp(got.data(), all.data() + from, count * sizeof(float))) << count;
  }
  Drop();
}

SP_OP_CASES(VocabLogpTest);

}  // namespace
