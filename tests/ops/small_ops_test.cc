// expand, gather, score_head, memory and streams.
#include <cstring>
#include <thread>

#include "op_test.h"

namespace {

using namespace sp_test;

class SmallOpsTest : public OpTest {};

TEST_P(SmallOpsTest, ExpandMasksItsRangeAndPads) {
  sp_stream *stream = BeginStream();
  const std::vector<int32_t> base = {2, 10, 11, 12, 3, 2, 20, 3};
  const std::vector<uint32_t> base_start = {0, 0, 5, 5}, len = {5, 5, 3, 3}, lo = {1, 2, 1, 0},
                              hi = {2, 4, 2, 0}, start = {0, 5, 12, 15, 18};
  std::vector<int32_t> ids(18, -1);
  std::vector<uint32_t> positions(18, 77);
  sp_expand_args args{};
  args.base_ids = base.data();
  args.base_start = base_start.data();
  args.len = len.data();
  args.mask_lo = lo.data();
  args.mask_hi = hi.data();
  args.token_start = start.data();
  args.sequences = 4;
  args.mask_id = 4;
  args.pad_id = 0;
  args.ids = ids.data();
  args.positions = positions.data();
  ASSERT_EQ(backend_->expand(stream, &args, &err_), SP_OK);
  const std::vector<int32_t> want = {2, 4, 11, 12, 3, 2, 10, 4, 4, 3, 0, 0, 2, 4, 3, 2, 20, 3};
  const std::vector<uint32_t> where = {0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 0, 0, 1, 2, 0, 1, 2};
  EXPECT_EQ(ids, want);
  EXPECT_EQ(positions, where);
}

TEST_P(SmallOpsTest, GatherCopiesRows) {
  sp_stream *stream = BeginStream();
  std::vector<float> from = Random(7 * 13, 1.0f, 3);
  const std::vector<uint32_t> index = {6, 0, 3, 3};
  std::vector<float> to(4 * 13);
  ASSERT_EQ(
      backend_->gather(stream, from.data(), 13 * sizeof(float), index.data(), 4, to.data(), &err_),
      SP_OK);
  for (size_t r = 0; r < 4; r++) {
    for (size_t i = 0; i < 13; i++)
      ASSERT_EQ(to[r * 13 + i], from[index[r] * 13 + i]);
  }
}

TEST_P(SmallOpsTest, ScoreHeadIsAChainOfDenseLayers) {
  const size_t rows = 131, d = 37, hidden = 53;
  std::vector<float> w1 = Random(hidden * d, 0.4f, 71), b1 = Random(hidden, 0.3f, 72),
                     w2 = Random(hidden, 0.4f, 73), b2 = {0.25f};
  sp_dense *layers[2] = {nullptr, nullptr};
  ASSERT_EQ(backend_->dense_create(device_, w1.data(), b1.data(), hidden, d, SP_ACT_TANH,
                                   &layers[0], &err_),
            SP_OK);
  ASSERT_EQ(backend_->dense_create(device_, w2.data(), b2.data(), 1, hidden, SP_ACT_NONE,
                                   &layers[1], &err_),
            SP_OK);
  sp_stream *stream = BeginStream();
  std::vector<float> x = Random(rows * d, 1.0f, 74), score(rows, NAN);
  const sp_dense *chain[2] = {layers[0], layers[1]};
  ASSERT_EQ(backend_->score_head(stream, chain, 2, x.data(), rows, score.data(), &err_), SP_OK);
  std::vector<double> want(rows), bound(rows);
  for (size_t r = 0; r < rows; r++) {
    double sum = b2[0], size = std::fabs(b2[0]);
    for (size_t j = 0; j < hidden; j++) {
      double inner = b1[j];
      for (size_t i = 0; i < d; i++)
        inner += static_cast<double>(w1[j * d + i]) * x[r * d + i];
      sum += std::tanh(inner) * w2[j];
      size += std::fabs(w2[j]) * 4;
    }
    want[r] = sum;
    bound[r] = size * 16 * kEps;
  }
  ExpectWithin(score, want, bound, "score head");
  float alone = NAN;
  ASSERT_EQ(backend_->score_head(stream, chain, 2, x.data() + 100 * d, 1, &alone, &err_), SP_OK);
  EXPECT_EQ(alone, score[100]);
  EndStream();
  backend_->dense_destroy(layers[0]);
  backend_->dense_destroy(layers[1]);
}

TEST_P(SmallOpsTest, MemoryIsZeroedAndAligned) {
  for (size_t bytes : {0, 1, 63, 64, 1000}) {
    const char *data = static_cast<const char *>(Alloc(bytes));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(data) % 64, 0u);
    for (size_t i = 0; i < bytes; i++)
      ASSERT_EQ(data[i], 0);
  }
}

// A stream made by one thread and used by another, two at a time: the bits stay.
TEST_P(SmallOpsTest, StreamsOfOtherThreadsGiveTheSameBits) {
  const size_t rows = 300, n = 768, k = 768;
  std::vector<float> w = Random(n * k, 0.05f, 81), b = Random(n, 0.1f, 82);
  sp_linear *linear = nullptr;
  ASSERT_EQ(backend_->linear_create(device_, w.data(), b.data(), n, k, SP_ACT_GELU_ERF,
                                    SP_ROWS_TOKENS, &linear, &err_),
            SP_OK);
  void *in = ActRows(Random(rows * k, 1.0f, 83), rows, k, 0.0f);
  void *out[3] = {ActRows(rows, n), ActRows(rows, n), ActRows(rows, n)};
  sp_stream *streams[3] = {};
  for (sp_stream *&stream : streams) {
    ASSERT_EQ(backend_->stream_create(device_, &stream, &err_), SP_OK);
  }
  ASSERT_EQ(backend_->linear(streams[0], linear, in, rows, false, out[0], &err_), SP_OK);
  sp_status status[2];
  auto run = [&](int i) {
    sp_error err;
    status[i] = backend_->linear(streams[i + 1], linear, in, rows, false, out[i + 1], &err);
  };
  std::thread first(run, 0), second(run, 1);
  first.join();
  second.join();
  for (int i = 0; i < 2; i++) {
    EXPECT_EQ(status[i], SP_OK);
    EXPECT_EQ(0, memcmp(out[0], out[i + 1], rows * n * device_->act_bytes));
  }
  for (sp_stream *stream : streams)
    backend_->stream_destroy(stream);
  backend_->linear_destroy(linear);
}

TEST_P(SmallOpsTest, TheDeviceSaysWhatItIs) {
  EXPECT_EQ(std::string(device_->type).rfind("cpu ", 0), 0u) << device_->type;
  EXPECT_EQ(device_->res_bytes, 4u);
  EXPECT_EQ(device_->act_bytes, bf16_ ? 2u : 4u);
  EXPECT_GT(device_->row_quantum, 0u);
  EXPECT_EQ(device_->chunk_rows % device_->row_quantum, 0u);
}

SP_OP_CASES(SmallOpsTest);

TEST(Registry, FindsTheCpu) {
  const sp_backend *backend = nullptr;
  const char *spec = nullptr;
  sp_error err;
  for (const char *name : {"cpu", "cpu:", "auto"}) {
    ASSERT_EQ(sp_backend_find(name, &backend, &spec, &err), SP_OK) << name;
    EXPECT_STREQ(backend->name, "cpu");
    EXPECT_STREQ(spec, "");
  }
  ASSERT_EQ(sp_backend_find("cpu:built-in", &backend, &spec, &err), SP_OK);
  EXPECT_STREQ(spec, "built-in");
}

TEST(Registry, NamesWhatItKnows) {
  const sp_backend *backend = nullptr;
  const char *spec = nullptr;
  sp_error err;
  for (const char *name : {"", "gpu", "cpux", "cp", "auto:1"}) {
    EXPECT_EQ(sp_backend_find(name, &backend, &spec, &err), SP_EUSAGE) << name;
    EXPECT_NE(std::string(err.message).find("auto, cpu"), std::string::npos) << err.message;
  }
  sp_device *device = nullptr;
  ASSERT_EQ(sp_backend_find("cpu:nonsense", &backend, &spec, &err), SP_OK);
  EXPECT_EQ(backend->open(spec, SP_COMPUTE_F32, &device, &err), SP_EUSAGE);
}

TEST(Registry, FactsAreFilled) {
  sp_cpu_facts facts;
  sp_cpu_get_facts(&facts);
  EXPECT_STRNE(facts.isa, "");
  EXPECT_STRNE(facts.gemm, "");
  EXPECT_TRUE(facts.avx512_bf16 || !facts.amx);
}

}  // namespace
