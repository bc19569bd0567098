// expand, gather and mask against the CPU's: the same bytes.
#include <cstring>

#include "simt_op_test.h"

namespace {

using namespace sp_test;

template <typename T>
Bytes Copy(const std::vector<T> &v) {
  Bytes data(v.size() * sizeof(T));
  memcpy(data.get(), v.data(), data.size());
  return data;
}

class TokenOpsTest : public SimtOpTest {
 protected:
  void SetUp() override {
    SimtOpTest::SetUp();
    BeginStream();
  }

  // Both backends on the same arguments; `out` points at the arguments' output, `bytes` long.
  template <typename Args, typename Out>
  void Compare(Args args, Out *Args::*out, size_t bytes,
               sp_status (*cpu)(sp_stream *, const Args *, sp_error *),
               cudaError_t (*cuda)(cudaStream_t, const Args *), const std::string &what) {
    Bytes want(bytes);
    args.*out = static_cast<Out *>(want.get());
    ASSERT_EQ(cpu(stream_, &args, &err_), SP_OK) << err_.message;
    for (bool reverse : {false, true}) {
      Bytes got(bytes);
      args.*out = static_cast<Out *>(got.get());
      sp_simt::SetReverse(reverse);
      SP_ASSERT_LAUNCH(cuda(nullptr, &args)) << what;
      ASSERT_TRUE(got == want) << what;
    }
  }
};

struct Sequences {
  std::vector<uint32_t> base_start, len, low, high, start;
  std::vector<int32_t> base;
};

// Sequences of every length in `lengths`, masked at random, with up to 5 tokens of padding.
Sequences MakeSequences(const std::vector<uint32_t> &lengths) {
  Sequences s;
  std::mt19937 bits(7);
  s.start.push_back(0);
  for (uint32_t len : lengths) {
    s.base_start.push_back(static_cast<uint32_t>(s.base.size()));
    for (uint32_t i = 0; i < len; i++)
      s.base.push_back(static_cast<int32_t>(bits() % 30000));
    uint32_t a = bits() % (len + 1), b = bits() % (len + 1);
    s.len.push_back(len);
    s.low.push_back(std::min(a, b));
    s.high.push_back(std::max(a, b));
    s.start.push_back(s.start.back() + len + bits() % 6);
  }
  return s;
}

TEST_P(TokenOpsTest, ExpandWritesWhatTheCpuWrites) {
  for (const std::vector<uint32_t> &lengths : std::vector<std::vector<uint32_t>>{
           {1}, {0, 3}, {31}, {32, 33}, {2, 5, 24, 7, 13}, {512, 1, 100, 65, 64, 63, 700, 9, 3}}) {
    Sequences s = MakeSequences(lengths);
    Bytes base = Copy(s.base), base_start = Copy(s.base_start), len = Copy(s.len),
          low = Copy(s.low), high = Copy(s.high), start = Copy(s.start);
    sp_expand_args args{};
    args.base_ids = static_cast<const int32_t *>(base.get());
    args.base_start = static_cast<const uint32_t *>(base_start.get());
    args.len = static_cast<const uint32_t *>(len.get());
    args.mask_lo = static_cast<const uint32_t *>(low.get());
    args.mask_hi = static_cast<const uint32_t *>(high.get());
    args.token_start = static_cast<const uint32_t *>(start.get());
    args.sequences = lengths.size();
    args.mask_id = 103;
    args.pad_id = 1;
    size_t bytes = s.start.back() * 4;
    Bytes other(bytes);
    args.ids = static_cast<int32_t *>(other.get());
    args.positions = static_cast<uint32_t *>(other.get());
    sp_expand_args ids_only = args, positions_only = args;
    Bytes second(bytes);
    ids_only.positions = static_cast<uint32_t *>(second.get());
    positions_only.ids = static_cast<int32_t *>(second.get());
    Compare(ids_only, &sp_expand_args::ids, bytes, cpu_->expand, sp_cuda_expand, "ids");
    Compare(positions_only, &sp_expand_args::positions, bytes, cpu_->expand, sp_cuda_expand,
            "positions");
  }
}

TEST_P(TokenOpsTest, GatherCopiesRows) {
  for (size_t row_bytes : {1, 2, 3, 4, 6, 16, 31, 48, 52, 624, 1536, 4096, 8190}) {
    const size_t from_rows = 37;
    Bytes from(from_rows * row_bytes);
    for (size_t i = 0; i < from.size(); i++)
      static_cast<unsigned char *>(from.get())[i] = static_cast<unsigned char>(i * 31 + i / 256);
    for (size_t rows : {1, 2, 4, 5, 67}) {
      std::vector<uint32_t> at(rows);
      for (size_t i = 0; i < rows; i++)
        at[i] = static_cast<uint32_t>((i * 17 + 36) % from_rows);
      Bytes index = Copy(at), got(rows * row_bytes), want(rows * row_bytes);
      ASSERT_EQ(cpu_->gather(stream_, from.get(), row_bytes, at.data(), rows, want.get(), &err_),
                SP_OK);
      SP_ASSERT_LAUNCH(sp_cuda_gather(nullptr, from.get(), row_bytes,
                                      static_cast<const uint32_t *>(index.get()), rows, got.get()));
      ASSERT_TRUE(got == want) << row_bytes << " bytes, " << rows << " rows";
    }
  }
}

TEST_P(TokenOpsTest, MaskWritesWhatTheCpuWrites) {
  const std::vector<uint32_t> lengths = {1,  2,   63,  64,  65,  127, 128, 129, 24,
                                         31, 191, 192, 193, 512, 513, 7,   0,   33};
  std::vector<uint32_t> key_start;
  std::vector<uint64_t> mask_start;
  uint32_t tokens = 0;
  uint64_t words = 0;
  for (uint32_t len : lengths) {
    key_start.push_back(tokens);
    mask_start.push_back(words);
    tokens += len + 2;
    words += static_cast<uint64_t>(len) * ((len + 63) / 64);
  }
  Bytes starts = Copy(key_start), lens = Copy(lengths), firsts = Copy(mask_start);
  for (size_t reach : {1, 2, 3, 16, 63, 64, 65, 200, 1000}) {
    std::vector<float> logits = Random(tokens * reach, 1.0f, 91);
    for (size_t i = 0; i < logits.size(); i += 13)
      logits[i] = i % 2 ? 0.0f : -0.0f;
    for (size_t i = 5; i < logits.size(); i += 41)
      logits[i] = NAN;
    Bytes gate = Copy(logits);
    for (int policy = SP_MASK_FULL; policy <= SP_MASK_DYNAMIC; policy++) {
      sp_mask_args args{};
      args.policy = static_cast<sp_mask_policy>(policy);
      args.reach = reach;
      args.gate = static_cast<const float *>(gate.get());
      args.sequences = lengths.size();
      args.key_start = static_cast<const uint32_t *>(starts.get());
      args.key_len = static_cast<const uint32_t *>(lens.get());
      args.mask_start = static_cast<const uint64_t *>(firsts.get());
      Compare(args, &sp_mask_args::mask, words * 8, cpu_->mask, sp_cuda_mask,
              "policy " + std::to_string(policy) + ", reach " + std::to_string(reach));
    }
  }
}

TEST_P(TokenOpsTest, NothingIsNoLaunch) {
  sp_expand_args expand{};
  sp_mask_args mask{};
  EXPECT_EQ(sp_cuda_expand(nullptr, &expand), cudaSuccess);
  EXPECT_EQ(sp_cuda_mask(nullptr, &mask), cudaSuccess);
  EXPECT_EQ(sp_cuda_gather(nullptr, nullptr, 16, nullptr, 0, nullptr), cudaSuccess);
  mask.policy = SP_MASK_CHUNKED;
  mask.sequences = 1;
  EXPECT_EQ(sp_cuda_mask(nullptr, &mask), cudaErrorInvalidValue);  // no reach
}

SP_SIMT_CASES(TokenOpsTest);

}  // namespace
