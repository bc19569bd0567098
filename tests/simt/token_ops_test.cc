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

// Sequences of which every position asks, or every third, or none; keys cut short in some.
struct MaskRows {
  std::vector<uint32_t> len, key_len, row_start{0}, row_position, bits_row;
  std::vector<uint64_t> mask_start;
  uint64_t words = 0;

  explicit MaskRows(const std::vector<uint32_t> &lengths) : len(lengths) {
    for (uint32_t n : len) {
      size_t s = key_len.size();
      uint32_t keys = s % 4 == 3 ? n - n / 3 : n, step = s % 3 == 1 ? 3 : 1;
      mask_start.push_back(words);
      for (uint32_t i = 0; i < n && s % 5 != 4; i += step) {
        row_position.push_back(i);
        words += (keys + 63) / 64;
      }
      key_len.push_back(keys);
      row_start.push_back(static_cast<uint32_t>(row_position.size()));
    }
    for (uint32_t r = 0; r < row_position.size(); r++)
      bits_row.push_back(r * 7 % 101);
  }
};

TEST_P(TokenOpsTest, MaskWritesWhatTheCpuWrites) {
  MaskRows rows({1, 2, 63, 64, 65, 127, 128, 129, 24, 31, 191, 192, 193, 512, 513, 7, 33});
  Bytes row_start = Copy(rows.row_start), position = Copy(rows.row_position), len = Copy(rows.len),
        key_len = Copy(rows.key_len), firsts = Copy(rows.mask_start),
        bits_row = Copy(rows.bits_row);
  std::mt19937 random(91);
  std::vector<uint32_t> lookahead(rows.row_position.size());
  for (uint32_t &x : lookahead)
    x = random() % 5 == 0 ? UINT32_MAX : random() & random();
  Bytes bits = Copy(lookahead);
  for (size_t reach : {1, 2, 3, 16, 31, 32, 63, 64, 65, 200, 1000}) {
    for (int policy = SP_MASK_FULL; policy <= SP_MASK_DYNAMIC; policy++) {
      if (policy == SP_MASK_DYNAMIC && reach > SP_MAX_REACH)
        continue;
      sp_mask_args args{};
      args.policy = static_cast<sp_mask_policy>(policy);
      args.reach = reach;
      args.bits = static_cast<const uint32_t *>(bits.get());
      args.bits_row = reach % 2 ? static_cast<const uint32_t *>(bits_row.get()) : nullptr;
      args.sequences = rows.len.size();
      args.row_start = static_cast<const uint32_t *>(row_start.get());
      args.row_position = static_cast<const uint32_t *>(position.get());
      args.len = static_cast<const uint32_t *>(len.get());
      args.key_len = static_cast<const uint32_t *>(key_len.get());
      args.mask_start = static_cast<const uint64_t *>(firsts.get());
      for (size_t left : {size_t{0}, size_t{5}, size_t{64}, SIZE_MAX}) {
        for (int exempt = policy == SP_MASK_FULL ? 0 : 4; exempt >= 0; exempt--) {
          args.left = left;
          args.exempt = static_cast<sp_mask_exempt>((exempt + 1) / 2);
          args.exempt_last = exempt % 2;
          Compare(args, &sp_mask_args::mask, rows.words * 8, cpu_->mask, sp_cuda_mask,
                  "policy " + std::to_string(policy) + ", reach " + std::to_string(reach) +
                      ", left " + std::to_string(left) + ", exempt " + std::to_string(exempt));
        }
      }
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
  mask.policy = SP_MASK_DYNAMIC;
  mask.reach = SP_MAX_REACH + 1;
  EXPECT_EQ(sp_cuda_mask(nullptr, &mask), cudaErrorInvalidValue);
}

SP_SIMT_CASES(TokenOpsTest);

}  // namespace
