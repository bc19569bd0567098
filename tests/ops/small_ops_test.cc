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
  int32_t *ids = Put(std::vector<int32_t>(18, -1));
  uint32_t *positions = Put(std::vector<uint32_t>(18, 77));
  sp_expand_args args{};
  args.base_ids = Put(base);
  args.base_start = Put(base_start);
  args.len = Put(len);
  args.mask_lo = Put(lo);
  args.mask_hi = Put(hi);
  args.token_start = Put(start);
  args.sequences = 4;
  args.mask_id = 4;
  args.pad_id = 0;
  args.ids = ids;
  args.positions = positions;
  ASSERT_EQ(backend_->expand(stream, &args, &err_), SP_OK);
  const std::vector<int32_t> want = {2, 4, 11, 12, 3, 2, 10, 4, 4, 3, 0, 0, 2, 4, 3, 2, 20, 3};
  const std::vector<uint32_t> where = {0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 0, 0, 1, 2, 0, 1, 2};
  EXPECT_EQ(Get<int32_t>(ids, 18), want);
  EXPECT_EQ(Get<uint32_t>(positions, 18), where);
}

// The mask of three sequences, their rows in full, policy by policy; what a row sees said once more.
struct MaskCase {
  sp_mask_policy policy;
  size_t reach, left;
  sp_mask_exempt exempt;
  bool last;
};

bool Sees(const MaskCase &c, size_t i, size_t j, size_t len, uint32_t bits) {
  size_t exempt = c.last ? len - 1 : 0;
  if (c.exempt != SP_EXEMPT_NONE && i == exempt)
    return true;
  if (c.exempt == SP_EXEMPT_HIDDEN && j == exempt)
    return false;
  if (c.policy == SP_MASK_FULL)
    return true;
  if (j + c.left < i && c.left < len)
    return false;
  return j <= i || (c.policy == SP_MASK_LAYERWISE && j <= i + c.reach) ||
         (c.policy == SP_MASK_CHUNKED && j / c.reach == i / c.reach) ||
         (c.policy == SP_MASK_DYNAMIC && j <= i + 32 && (bits >> (j - i - 1) & 1));
}

TEST_P(SmallOpsTest, MaskWritesEveryPolicy) {
  sp_stream *stream = BeginStream();
  const std::vector<uint32_t> start = {0, 70, 71, 200}, len = {70, 1, 129};
  const std::vector<uint64_t> first = {0, 140, 141};
  const size_t words = 141 + 129 * 3;
  std::vector<uint32_t> position, bits;
  for (uint32_t n : len) {
    for (uint32_t i = 0; i < n; i++) {
      position.push_back(i);
      bits.push_back(0x9e3779b9u * (i + 1) & 0x5555ffffu);
    }
  }
  bits[0] = UINT32_MAX;
  const size_t none = SIZE_MAX;
  for (const MaskCase &c : {MaskCase{SP_MASK_FULL, 0, none, SP_EXEMPT_NONE, false},
                            {SP_MASK_CAUSAL, 0, none, SP_EXEMPT_NONE, false},
                            {SP_MASK_CAUSAL, 0, 3, SP_EXEMPT_HIDDEN, false},
                            {SP_MASK_LAYERWISE, 5, none, SP_EXEMPT_NONE, false},
                            {SP_MASK_LAYERWISE, 5, 66, SP_EXEMPT_SEES_ALL, false},
                            {SP_MASK_LAYERWISE, 2, none, SP_EXEMPT_HIDDEN, true},
                            {SP_MASK_CHUNKED, 5, none, SP_EXEMPT_HIDDEN, false},
                            {SP_MASK_CHUNKED, 70, 1, SP_EXEMPT_SEES_ALL, true},
                            {SP_MASK_DYNAMIC, 32, none, SP_EXEMPT_NONE, false},
                            {SP_MASK_DYNAMIC, 32, 7, SP_EXEMPT_HIDDEN, true}}) {
    uint64_t *mask = Put(std::vector<uint64_t>(words, 0xabababababababab));
    sp_mask_args args{};
    args.policy = c.policy;
    args.reach = c.reach;
    args.left = c.left;
    args.exempt = c.exempt;
    args.exempt_last = c.last;
    args.bits = Put(bits);
    args.sequences = len.size();
    args.row_start = Put(start);
    args.row_position = Put(position);
    args.len = args.key_len = Put(len);
    args.mask_start = Put(first);
    args.mask = mask;
    ASSERT_EQ(backend_->mask(stream, &args, &err_), SP_OK) << err_.message;
    const std::vector<uint64_t> got = Get<uint64_t>(mask, words);
    for (size_t s = 0; s < len.size(); s++) {
      size_t row_words = (len[s] + 63) / 64;
      for (size_t i = 0; i < len[s]; i++) {
        for (size_t j = 0; j < row_words * 64; j++) {
          bool sees = j < len[s] && Sees(c, i, j, len[s], bits[start[s] + i]);
          ASSERT_EQ(got[first[s] + i * row_words + j / 64] >> (j % 64) & 1, sees)
              << "policy " << c.policy << ", sequence " << s << ", row " << i << ", key " << j;
        }
      }
    }
  }
}

TEST_P(SmallOpsTest, GatherCopiesRows) {
  sp_stream *stream = BeginStream();
  std::vector<float> from = Random(7 * 13, 1.0f, 3);
  const std::vector<uint32_t> index = {6, 0, 3, 3};
  void *rows = Alloc(4 * 13 * sizeof(float));
  ASSERT_EQ(backend_->gather(stream, Put(from), 13 * sizeof(float), Put(index), 4, rows, &err_),
            SP_OK);
  const std::vector<float> to = Get<float>(rows, 4 * 13);
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
  std::vector<float> x = Random(rows * d, 1.0f, 74);
  char *x_rows = static_cast<char *>(ResRows(x, rows, d));
  float *scores = Put(std::vector<float>(rows, NAN));
  const sp_dense *chain[2] = {layers[0], layers[1]};
  ASSERT_EQ(backend_->score_head(stream, chain, 2, x_rows, rows, scores, &err_), SP_OK);
  const std::vector<float> score = Get<float>(scores, rows);
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
  ASSERT_EQ(backend_->score_head(stream, chain, 2, x_rows + 100 * d * device_->res_bytes, 1, scores,
                                 &err_),
            SP_OK);
  EXPECT_EQ(Get<float>(scores, 1)[0], score[100]);
  EndStream();
  backend_->dense_destroy(layers[0]);
  backend_->dense_destroy(layers[1]);
}

TEST_P(SmallOpsTest, MemoryIsZeroedAndAligned) {
  for (size_t bytes : {0, 1, 63, 64, 1000}) {
    const void *data = Alloc(bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(data) % 64, 0u);
    EXPECT_EQ(Get<char>(data, bytes), std::vector<char>(bytes, 0));
  }
}

// A stream made by one thread and used by another, two at a time: the bits stay.
TEST_P(SmallOpsTest, StreamsOfOtherThreadsGiveTheSameBits) {
  const size_t rows = 300, n = 768, k = 768;
  std::vector<float> w = Random(n * k, 0.05f, 81), b = Random(n, 0.1f, 82);
  sp_linear *linear = nullptr;
  ASSERT_EQ(backend_->linear_create(device_, w.data(), b.data(), n, k, SP_ACT_GELU_ERF,
                                    SP_ROWS_TOKENS, false, &linear, &err_),
            SP_OK);
  void *in = ActRows(Random(rows * k, 1.0f, 83), rows, k, 0.0f);
  void *out[3] = {ActRows(rows, n), ActRows(rows, n), ActRows(rows, n)};
  sp_stream *streams[3] = {};
  for (sp_stream *&stream : streams) {
    ASSERT_EQ(backend_->stream_create(device_, &stream, &err_), SP_OK);
  }
  ASSERT_EQ(backend_->linear(streams[0], linear, in, nullptr, rows, out[0], &err_), SP_OK);
  sp_status status[2];
  auto run = [&](int i) {
    sp_error err;
    status[i] = backend_->linear(streams[i + 1], linear, in, nullptr, rows, out[i + 1], &err);
  };
  std::thread first(run, 0), second(run, 1);
  first.join();
  second.join();
  for (sp_stream *stream : streams)
    EXPECT_EQ(backend_->finish(stream, &err_), SP_OK) << err_.message;
  const std::vector<float> want = ReadAct(out[0], rows * n);
  for (int i = 0; i < 2; i++) {
    EXPECT_EQ(status[i], SP_OK);
    EXPECT_EQ(ReadAct(out[i + 1], rows * n), want);
  }
  for (sp_stream *stream : streams)
    backend_->stream_destroy(stream);
  backend_->linear_destroy(linear);
}

TEST_P(SmallOpsTest, TheDeviceSaysWhatItIs) {
  if (IsCpu()) {
    EXPECT_EQ(std::string(device_->type).rfind("cpu ", 0), 0u) << device_->type;
  }
  EXPECT_EQ(std::string(device_->name).rfind(backend_->name, 0), 0u) << device_->name;
  EXPECT_EQ(device_->res_bytes, 4u);
  EXPECT_EQ(device_->act_bytes, bf16_ ? 2u : 4u);
  EXPECT_GT(device_->row_quantum, 0u);
  EXPECT_GE(device_->lanes, 1u);
  EXPECT_EQ(device_->chunk_rows % device_->row_quantum, 0u);
}

SP_OP_CASES(SmallOpsTest);

TEST(Registry, FindsTheCpu) {
  const sp_backend *backend = nullptr;
  const char *spec = nullptr;
  sp_error err;
  for (const char *name : {"cpu", "cpu:"}) {
    ASSERT_EQ(sp_backend_find(name, &backend, &spec, &err), SP_OK) << name;
    EXPECT_STREQ(backend->name, "cpu");
    EXPECT_STREQ(spec, "");
  }
  ASSERT_EQ(sp_backend_find("cpu:built-in", &backend, &spec, &err), SP_OK);
  EXPECT_STREQ(spec, "built-in");
}

TEST(Registry, AutoIsTheLastBackendWithADevice) {
  size_t count;
  const sp_backend *const *list = sp_backend_list(&count);
  const sp_backend *want = list[0], *got = nullptr;
  for (size_t i = 0; i < count; i++) {
    char line[1][SP_DEVICE_LINE];
    want = list[i]->list(line, 1) > 0 ? list[i] : want;
  }
  const char *spec = nullptr;
  sp_error err;
  ASSERT_EQ(sp_backend_find("auto", &got, &spec, &err), SP_OK) << err.message;
  EXPECT_STREQ(got->name, want->name);
  EXPECT_STREQ(spec, "");
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
  size_t opened = 0;
  EXPECT_EQ(backend->open(spec, SP_COMPUTE_F32, &device, 1, &opened, &err), SP_EUSAGE);
  EXPECT_EQ(opened, 0u);
}

TEST(Registry, FactsAreFilled) {
  sp_cpu_facts facts;
  sp_cpu_get_facts(&facts);
  EXPECT_STRNE(facts.isa, "");
  EXPECT_STRNE(facts.gemm, "");
  EXPECT_TRUE(facts.avx512_bf16 || !facts.amx);
}

}  // namespace
