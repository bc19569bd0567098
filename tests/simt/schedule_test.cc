// schedule against the CPU's, on whole numbers, whose sums have no rounding: the same bits and words.
#include "simt_op_test.h"

namespace {

using namespace sp_test;

Bytes Put32(const std::vector<uint32_t> &v) {
  Bytes data(v.size() * 4);
  memcpy(data.get(), v.data(), data.size());
  return data;
}

class ScheduleKernelTest : public SimtOpTest {
 protected:
  struct Layer {
    Bytes transposed, bias;  // (K, N), (N)
    size_t n, k;
  };

  void TearDown() override {
    Clear();
    SimtOpTest::TearDown();
  }
  void Clear() {
    EndStream();
    for (const sp_dense *dense : dense_)
      cpu_->dense_destroy(const_cast<sp_dense *>(dense));
    dense_.clear();
    cuda_.clear();
    layers_.clear();
  }
  std::vector<float> Whole(size_t n, uint32_t range) {
    std::vector<float> v(n);
    for (float &x : v)
      x = static_cast<float>(random_() % (2 * range + 1)) - static_cast<float>(range);
    return v;
  }
  // Layers of these widths, the input's first, RELU between them.
  void Make(const std::vector<size_t> &widths) {
    Clear();
    for (size_t i = 0; i + 1 < widths.size(); i++) {
      size_t n = widths[i + 1], k = widths[i];
      sp_activation activation = i + 2 == widths.size() ? SP_ACT_NONE : SP_ACT_RELU;
      std::vector<float> weight = Whole(n * k, 2), bias = Whole(n, 9), transposed(n * k);
      for (size_t j = 0; j < n * k; j++)
        transposed[j % k * n + j / k] = weight[j];
      sp_dense *dense = nullptr;
      ASSERT_EQ(
          cpu_->dense_create(device_, weight.data(), bias.data(), n, k, activation, &dense, &err_),
          SP_OK);
      dense_.push_back(dense);
      layers_.push_back({Res(transposed), Res(bias), n, k});
      cuda_.push_back({static_cast<const float *>(layers_.back().transposed.get()),
                       static_cast<const float *>(layers_.back().bias.get()), n, k, activation});
    }
    BeginStream();
  }
  // Bits, NaN flag and words of `rows` rows, all in one piece of memory each.
  struct Got {
    Bytes bits, nan, mask;
    bool operator==(const Got &o) const {
      return bits == o.bits && nan == o.nan && mask == o.mask;
    }
  };
  template <typename Op>
  Got Run(sp_schedule_args args, size_t words, Op op) {
    Got got{Bytes(args.rows * 4), Put32({0}), Bytes(words * 8)};
    sp_mask_args mask;
    args.bits = static_cast<uint32_t *>(got.bits.get());
    args.nan = static_cast<uint32_t *>(got.nan.get());
    if (args.mask) {
      mask = *args.mask;
      mask.mask = static_cast<uint64_t *>(got.mask.get());
      args.mask = &mask;
    }
    op(&args);
    return got;
  }
  void Compare(size_t rows, bool span, const sp_mask_args *mask, size_t words,
               const std::string &what) {
    Bytes x = Res(Whole(rows * cuda_[0].k, 3));
    sp_schedule_args args{};
    args.layers = dense_.data();
    args.n_layers = dense_.size();
    args.reach = cuda_.back().n;
    args.span = span;
    args.tau = 0.25f;
    args.rows_res = x.get();
    args.rows = rows;
    args.mask = mask;
    Got want = Run(args, words, [&](const sp_schedule_args *a) {
      ASSERT_EQ(cpu_->schedule(stream_, a, &err_), SP_OK) << err_.message;
    });
    for (bool reverse : {false, true}) {
      sp_simt::SetReverse(reverse);
      Got got = Run(args, words, [&](const sp_schedule_args *a) {
        SP_ASSERT_LAUNCH(sp_cuda_schedule(nullptr, cuda_.data(), a)) << what;
      });
      ASSERT_TRUE(got == want) << what << ", rows " << rows;
    }
  }

  std::mt19937 random_{5};
  std::vector<Layer> layers_;
  std::vector<const sp_dense *> dense_;
  std::vector<sp_cuda_dense> cuda_;
};

TEST_P(ScheduleKernelTest, BitsAreTheCpus) {
  for (const std::vector<size_t> &widths : std::vector<std::vector<size_t>>{
           {1, 1}, {26, 8}, {33, 9}, {768, 5}, {1024, 2}, {1025, 32}, {26, 7, 5}, {40, 64, 32}}) {
    Make(widths);
    for (size_t rows : {1, 4, 31, 32, 33, 65})
      Compare(rows, rows % 2, nullptr, 0, "width " + std::to_string(widths[0]));
  }
}

// Fewer rows a block where a row takes more of shared memory; more columns than are held at once.
TEST_P(ScheduleKernelTest, WideLayers) {
  for (size_t width : {1536, 1537, 3073, 6145, 16384}) {
    Make({12, width, 3});
    Compare(5, false, nullptr, 0, "hidden " + std::to_string(width));
    Make({width, 3});
    Compare(5, false, nullptr, 0, "width " + std::to_string(width));
  }
}

TEST_P(ScheduleKernelTest, WordsAreTheCpus) {
  const std::vector<uint32_t> len = {70, 1, 24, 129, 9, 40, 512};
  std::vector<uint32_t> row_start = {0}, position, key_len;
  std::vector<uint64_t> mask_start;
  size_t words = 0;
  for (size_t s = 0; s < len.size(); s++) {
    key_len.push_back(s % 2 ? len[s] : len[s] - len[s] / 4);
    mask_start.push_back(words);
    for (uint32_t i = 0; i < len[s] && s != 2 && s != 4; i += s == 3 ? 1 : 5)
      position.push_back(i);
    row_start.push_back(static_cast<uint32_t>(position.size()));
    words += (row_start[s + 1] - row_start[s]) * ((key_len[s] + 63) / 64);
  }
  Bytes starts = Put32(row_start), positions = Put32(position), lens = Put32(len),
        key_lens = Put32(key_len), firsts(mask_start.size() * 8);
  memcpy(firsts.get(), mask_start.data(), firsts.size());
  sp_mask_args mask{};
  mask.policy = SP_MASK_DYNAMIC;
  mask.left = 30;
  mask.exempt = SP_EXEMPT_HIDDEN;
  mask.sequences = len.size();
  mask.row_start = static_cast<const uint32_t *>(starts.get());
  mask.row_position = static_cast<const uint32_t *>(positions.get());
  mask.len = static_cast<const uint32_t *>(lens.get());
  mask.key_len = static_cast<const uint32_t *>(key_lens.get());
  mask.mask_start = static_cast<const uint64_t *>(firsts.get());
  for (const std::vector<size_t> &widths :
       std::vector<std::vector<size_t>>{{26, 32}, {26, 5}, {26, 9, 32}, {12, 6145, 3}}) {
    Make(widths);
    mask.reach = widths.back();
    Compare(position.size(), false, &mask, words, "reach " + std::to_string(mask.reach));
  }
}

TEST_P(ScheduleKernelTest, RefusesWhatItCannotRun) {
  Make({8, 4});
  Bytes x = Res(8);
  sp_mask_args mask{};
  sp_schedule_args args{};
  args.n_layers = 1;
  args.reach = 4;
  args.rows_res = x.get();
  auto run = [&] { return sp_cuda_schedule(nullptr, cuda_.data(), &args); };
  EXPECT_EQ(run(), cudaSuccess);  // no rows
  args.reach = 3;
  EXPECT_EQ(run(), cudaErrorInvalidValue);
  args.reach = 4;
  args.n_layers = 0;
  EXPECT_EQ(run(), cudaErrorInvalidValue);
  args.n_layers = 1;
  args.mask = &mask;  // of another policy
  EXPECT_EQ(run(), cudaErrorInvalidValue);
  Make({8, SP_MAX_REACH + 1});
  args.mask = nullptr;
  args.reach = SP_MAX_REACH + 1;
  EXPECT_EQ(run(), cudaErrorInvalidValue);
}

SP_SIMT_CASES(ScheduleKernelTest);

}  // namespace
