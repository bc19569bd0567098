// The vocabulary head's kernels on the emulator against doubles and the CPU op, on the same rounded
// inputs.
#include <algorithm>
#include <cstring>

#include "simt_op_test.h"

namespace {

using namespace sp_test;

class SimtVocab : public SimtOpTest {
 protected:
  void TearDown() override {
    Drop();
    SimtOpTest::TearDown();
  }

  void Make(size_t v, size_t d, float range = 1.0f) {
    Drop();
    v_ = v;
    d_ = d;
    weight_ = Rounded(Random(v * d, range, 61));
    bias_ = Random(v, 1.0f, 62);
    weight_rows_ = std::make_unique<Bytes>(Act(weight_));
    ASSERT_EQ(cpu_->vocab_create(device_, weight_.data(), bias_.data(), v, d, &vocab_, &err_),
              SP_OK)
        << err_.message;
    BeginStream();
  }
  void Drop() {
    EndStream();
    if (vocab_)
      cpu_->vocab_destroy(vocab_);
    vocab_ = nullptr;
  }
  std::vector<float> Run(const std::vector<float> &h, size_t rows, const std::vector<uint32_t> &row,
                         const std::vector<int32_t> &id, size_t scratch_rows = 4096) {
    scratch_rows = std::min(scratch_rows, (rows + 127) / 128 * 128);
    Bytes in = Act(h), scratch(sp_cuda_vocab_logp_scratch_bytes(v_, scratch_rows));
    std::vector<float> logp(row.size());
    sp_cuda_vocab vocab{weight_rows_->get(), bias_.data(), v_, d_};
    EXPECT_EQ(sp_cuda_vocab_logp(nullptr, bf16_, &vocab, in.get(), rows, row.data(), id.data(),
                                 row.size(), logp.data(), scratch.get(), scratch_rows),
              cudaSuccess)
        << sp_simt::Failure();
    return logp;
  }
  std::vector<float> Cpu(const std::vector<float> &h, size_t rows, const std::vector<uint32_t> &row,
                         const std::vector<int32_t> &id) {
    std::vector<float> logp(row.size(), NAN);
    std::vector<float> all = h; /* the CPU may read whole tiles of rows */
    size_t quantum = device_->row_quantum;
    all.resize((rows + quantum - 1) / quantum * quantum * d_, 5.0f);
    EXPECT_EQ(cpu_->vocab_logp(stream_, vocab_, Act(all).get(), rows, row.data(), id.data(),
                               row.size(), logp.data(), &err_),
              SP_OK)
        << err_.message;
    return logp;
  }
  std::vector<double> Exact(const std::vector<float> &h, const std::vector<uint32_t> &row,
                            const std::vector<int32_t> &id, std::vector<double> *bound) {
    std::vector<double> out(row.size()), logit(v_);
    double top = 0, sum = 0, size = 0;
    bound->resize(row.size());
    for (size_t t = 0; t < row.size(); t++) {
      if (t == 0 || row[t] != row[t - 1]) {
        top = -INFINITY;
        sum = size = 0;
        for (size_t j = 0; j < v_; j++) {
          double dot = bias_[j], magnitude = std::fabs(bias_[j]);
          for (size_t i = 0; i < d_; i++) {
            double term = static_cast<double>(weight_[j * d_ + i]) * h[row[t] * d_ + i];
            dot += term;
            magnitude += std::fabs(term);
          }
          logit[j] = dot;
          size = std::max(size, magnitude);
          top = std::max(top, dot);
        }
        for (double x : logit)
          sum += std::exp(x - top);
      }
      out[t] = logit[static_cast<size_t>(id[t])] - top - std::log(sum);
      (*bound)[t] = 2 * (4 + 2 * std::sqrt(static_cast<double>(d_))) * kEps * size + 1e-6 +
                    2 * kEps * std::fabs(out[t]);
    }
    return out;
  }
  void Check(size_t rows, const std::vector<uint32_t> &row, const std::vector<int32_t> &id,
             const std::string &what) {
    std::vector<float> h = Rounded(Random(rows * d_, 1.0f, 63));
    std::vector<float> got = Run(h, rows, row, id), cpu = Cpu(h, rows, row, id);
    std::vector<double> bound, baseline(cpu.begin(), cpu.end());
    std::vector<double> exact = Exact(h, row, id, &bound);
    ExpectWithin(got, exact, bound, what);
    ExpectTwiceBaseline(got, exact, baseline, std::vector<double>(row.size(), 2e-6), what);
  }
  // One target a row, every row.
  static std::vector<uint32_t> EachRow(size_t rows) {
    std::vector<uint32_t> row(rows);
    for (size_t r = 0; r < rows; r++)
      row[r] = static_cast<uint32_t>(r);
    return row;
  }
  std::vector<int32_t> SomeIds(size_t n) const {
    std::vector<int32_t> id(n);
    for (size_t i = 0; i < n; i++)
      id[i] = static_cast<int32_t>((i * 37 + 11) % v_);
    return id;
  }

  sp_vocab *vocab_ = nullptr;
  std::unique_ptr<Bytes> weight_rows_;
  size_t v_ = 0, d_ = 0;
  std::vector<float> weight_, bias_;
};

TEST_P(SimtVocab, Vocabularies) {
  for (size_t v : {1, 2, 63, 64, 65, 127, 128, 129, 1000}) {
    Make(v, 72);
    std::vector<uint32_t> row;
    std::vector<int32_t> id;
    for (uint32_t r = 0; r < 9; r++) {
      for (size_t pick : {size_t{0}, v / 3, v - 1}) {
        row.push_back(r);
        id.push_back(static_cast<int32_t>(pick));
      }
    }
    Check(9, row, id, "vocabulary of " + std::to_string(v));
  }
}

TEST_P(SimtVocab, Widths) {
  for (size_t d : {1, 7, 8, 16, 26, 63, 64, 65, 72, 128, 200, 312}) {
    Make(150, d);
    Check(5, EachRow(5), SomeIds(5), "width of " + std::to_string(d));
  }
}

TEST_P(SimtVocab, Rows) {
  Make(200, 24);
  for (size_t rows : {1, 31, 32, 33, 63, 64, 65, 127, 128, 129, 257})
    Check(rows, EachRow(rows), SomeIds(rows), std::to_string(rows) + " rows");
}

TEST_P(SimtVocab, RowsWithoutTargets) {
  Make(301, 24);
  std::vector<uint32_t> row;
  for (uint32_t r = 0; r < 400; r += r % 5 + r % 131 + 1)
    row.push_back(r);
  Check(401, row, SomeIds(row.size()), "sparse targets");
  Check(401, {400}, {300}, "one target");
}

TEST_P(SimtVocab, ProbabilitiesSumToOneUnderLargeLogits) {
  Make(500, 64, 8.0f);
  std::vector<uint32_t> row(500, 2);
  std::vector<int32_t> id(500);
  for (size_t i = 0; i < id.size(); i++)
    id[i] = static_cast<int32_t>(i);
  double sum = 0;
  for (float x : Run(Rounded(Random(3 * 64, 4.0f, 64)), 3, row, id))
    sum += std::exp(static_cast<double>(x));
  EXPECT_TRUE(std::fabs(sum - 1) <= 1e-3) << sum;
}

TEST_P(SimtVocab, RowsDoNotDependOnTheBatch) {
  Make(331, 40);
  const size_t rows = 300;
  std::vector<float> h = Rounded(Random(rows * d_, 1.0f, 65));
  std::vector<uint32_t> row = EachRow(rows);
  std::vector<int32_t> id = SomeIds(rows);
  std::vector<float> all = Run(h, rows, row, id);
  ASSERT_EQ(0, memcmp(all.data(), Run(h, rows, row, id, 128).data(), rows * 4)) << "in passes";
  sp_simt::SetReverse(true);
  ASSERT_EQ(0, memcmp(all.data(), Run(h, rows, row, id, 256).data(), rows * 4)) << "reversed";
  sp_simt::SetReverse(false);
  for (size_t count : {1, 3, 64, 65, 129}) {
    size_t from = (rows - count) / 3;
    auto at = static_cast<ptrdiff_t>(from), end = static_cast<ptrdiff_t>(from + count);
    std::vector<float> some(h.begin() + at * static_cast<ptrdiff_t>(d_),
                            h.begin() + end * static_cast<ptrdiff_t>(d_));
    std::vector<float> got =
        Run(some, count, EachRow(count), std::vector<int32_t>(id.begin() + at, id.begin() + end));
    ASSERT_EQ(0, memcmp(got.data(), all.data() + from, count * 4)) << count;
  }
}

TEST_P(SimtVocab, NotANumberGoesOn) {
  Make(300, 16);
  std::vector<uint32_t> row = EachRow(6);
  std::vector<int32_t> id = SomeIds(6);
  std::vector<float> h = Rounded(Random(6 * d_, 1.0f, 65));
  h[2 * d_ + 3] = NAN;
  h[4 * d_ + 3] = INFINITY;
  std::vector<float> got = Run(h, 6, row, id), cpu = Cpu(h, 6, row, id);
  for (size_t t = 0; t < 6; t++)
    EXPECT_EQ(std::isnan(got[t]), std::isnan(cpu[t])) << t << ": " << got[t];
}

TEST_P(SimtVocab, AColumnOfNoProbability) {
  Make(300, 16);
  bias_[7] = -INFINITY;
  std::fill(bias_.begin() + 64, bias_.begin() + 128, -INFINITY);
  std::vector<float> got = Run(Rounded(Random(d_, 1.0f, 65)), 1, {0, 0, 0, 0}, {7, 8, 100, 299});
  EXPECT_EQ(got[0], -INFINITY);
  EXPECT_TRUE(std::isfinite(got[1])) << got[1];
  EXPECT_EQ(got[2], -INFINITY);
  EXPECT_TRUE(std::isfinite(got[3])) << got[3];
}

TEST_P(SimtVocab, NothingToDo) {
  Make(3, 8);
  sp_cuda_vocab vocab{weight_rows_->get(), bias_.data(), v_, d_};
  EXPECT_EQ(sp_cuda_vocab_logp(nullptr, bf16_, &vocab, nullptr, 0, nullptr, nullptr, 0, nullptr,
                               nullptr, 128),
            cudaSuccess);
  EXPECT_EQ(sp_cuda_vocab_logp(nullptr, bf16_, &vocab, nullptr, 5, nullptr, nullptr, 0, nullptr,
                               nullptr, 100),
            cudaErrorInvalidValue);
}

SP_SIMT_CASES(SimtVocab);

}  // namespace
