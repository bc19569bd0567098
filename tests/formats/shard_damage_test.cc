// Shards that are not as they were written.
#include <gtest/gtest.h>

#include <random>

#include "run_fixture.h"

namespace {

using sp_test::CollectLine;
using sp_test::Contains;
using sp_test::MakeLines;
using sp_test::ReadFile;
using sp_test::RenewFile;
using sp_test::Scratch;
using sp_test::ShardPath;
using sp_test::WriteShard;

class ShardDamage : public ::testing::Test {
 protected:
  void Write(size_t utts, size_t hyps) {
    ASSERT_SP_OK(WriteShard(scratch_.path(), 0, 1, MakeLines("u", utts, hyps), &err));
    path_ = ShardPath(scratch_.path(), 0, 1, ".jsonl.zst");
    good_ = ReadFile(path_);
    ASSERT_EQ(Read(good_), SP_OK) << err.message;
    good_lines_ = lines_;
    good_hash_ = measured_.zst_xxh64;
  }
  sp_status Read(const std::string &bytes) {
    RenewFile(path_, bytes);
    lines_.clear();
    err = {};
    return sp_shard_read(path_.c_str(), CollectLine, &lines_, &measured_, &err);
  }
  void ExpectDamaged(const std::string &bytes, const std::string &what) {
    EXPECT_EQ(Read(bytes), SP_EDAMAGED) << what;
    EXPECT_TRUE(Contains(err.message, path_ + ": offset ")) << what << ": " << err.message;
  }
  // Zstd leaves a few bits without meaning; then the lines must be the same, and the hash another.
  void ExpectFound(const std::string &bytes, const std::string &what) {
    sp_status status = Read(bytes);
    if (status == SP_OK) {
      EXPECT_EQ(lines_, good_lines_) << what;
      EXPECT_NE(measured_.zst_xxh64, good_hash_) << what;
      silent_++;
    } else {
      EXPECT_EQ(status, SP_EDAMAGED) << what << ": " << err.message;
      EXPECT_TRUE(Contains(err.message, path_ + ": offset ")) << what << ": " << err.message;
    }
  }

  Scratch scratch_;
  sp_error err{};
  std::string path_, good_, lines_, good_lines_;
  uint64_t good_hash_ = 0;
  sp_shard_done measured_{};
  int silent_ = 0;
};

TEST_F(ShardDamage, EveryByteOfASmallShardMatters) {
  Write(12, 3);
  for (size_t at = 0; at < good_.size(); at++) {
    for (int mask : {0x01, 0x10, 0x80, 0xff}) {
      std::string bad = good_;
      bad[at] = static_cast<char>(bad[at] ^ mask);
      ExpectFound(bad, "byte " + std::to_string(at) + " mask " + std::to_string(mask));
    }
  }
  EXPECT_LT(silent_, static_cast<int>(good_.size()) / 25);  // of four times as many
}

TEST_F(ShardDamage, RandomBytesOfSeveralFrames) {
  Write(3000, 40);
  std::mt19937 random(3);
  for (int k = 0; k < 100; k++) {
    std::string bad = good_;
    size_t at = random() % bad.size();
    bad[at] = static_cast<char>(bad[at] ^ (1 + random() % 255));
    ExpectFound(bad, "byte " + std::to_string(at));
  }
}

TEST_F(ShardDamage, EveryTruncationIsFound) {
  Write(12, 3);
  for (size_t keep = 0; keep < good_.size(); keep++) {
    ExpectDamaged(good_.substr(0, keep), "cut to " + std::to_string(keep));
  }
}

TEST_F(ShardDamage, AppendedBytesAreFound) {
  Write(12, 3);
  ExpectDamaged(good_ + std::string(1, '\0'), "a byte more");
  ExpectDamaged(good_ + "\n", "a line end more");
  ExpectDamaged(good_ + good_, "the file twice");
}

TEST_F(ShardDamage, MovedAndDoubledFramesAreFound) {
  Write(3000, 40);
  uint32_t first = 0, second = 0;
  size_t table = good_.size() - 9;
  uint32_t frames;
  memcpy(&frames, good_.data() + table, 4);
  ASSERT_GE(frames, 2u);
  memcpy(&first, good_.data() + table - 12 * frames, 4);
  memcpy(&second, good_.data() + table - 12 * (frames - 1), 4);
  std::string a = good_.substr(0, first), b = good_.substr(first, second);
  std::string rest = good_.substr(first + second);
  ASSERT_NE(a, b);
  ExpectDamaged(b + a + rest, "two frames swapped");
  ExpectDamaged(a + rest, "a frame gone");
  ExpectDamaged(a + b + b + rest, "a frame twice");
  const std::string skippable("\x50\x2a\x4d\x18\x01\0\0\0x", 9);
  ExpectDamaged(skippable + good_, "a skippable frame first");
  ExpectDamaged(a + skippable + b + rest, "a skippable frame between");
  ExpectDamaged(rest, "the table alone");
}

}  // namespace
