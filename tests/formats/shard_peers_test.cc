// What other programs make of our shards: the zstd command and Debian's python3-zstandard.
#include <gtest/gtest.h>

#include "run_fixture.h"
#include "seek_table.h"
#include "sink.h"

namespace {

using sp_test::Joined;
using sp_test::Line;
using sp_test::MakeLines;
using sp_test::ReadFile;
using sp_test::Result;
using sp_test::Scratch;
using sp_test::ShardPath;
using sp_test::WriteFile;
using sp_test::WriteShard;

// Each way of reading a stream prints its lines' count and hash; all must agree with the plain
// file.
const char kPython[] = R"(
import hashlib, io, sys, zstandard

def digest(lines):
    count, total = 0, hashlib.sha256()
    for line in lines:
        assert line.endswith(b"\n"), line[-40:]
        count += 1
        total.update(line)
    return count, total.hexdigest()

def chunks(read):
    while True:
        piece = read(65536)
        if not piece:
            return
        yield piece

shard, plain = sys.argv[1:]
with open(plain, "rb") as f:
    want = digest(f)
with open(shard, "rb") as f:
    reader = zstandard.ZstdDecompressor().stream_reader(f, read_across_frames=True)
    assert digest(io.BufferedReader(reader)) == want, "stream_reader"
with zstandard.open(shard, "rb") as f:
    assert digest(io.BytesIO(b"".join(chunks(f.read)))) == want, "open, binary"
with zstandard.open(shard, "rt", encoding="utf-8", newline="") as f:
    assert digest(line.encode() for line in f) == want, "open, text"
with open(shard, "rb") as f:
    out = io.BytesIO()
    zstandard.ZstdDecompressor().copy_stream(f, out)
    out.seek(0)
    assert digest(out) == want, "copy_stream"
print(want[0], "lines")
)";

class ShardPeers : public ::testing::Test {
 protected:
  void Write(const std::vector<Line> &lines) {
    sp_error err{};
    ASSERT_SP_OK(WriteShard(scratch_.path(), 0, 1, lines, &err));
    shard_ = ShardPath(scratch_.path(), 0, 1, ".jsonl.zst");
    WriteFile(scratch_ / "plain", Joined(lines));
  }
  void ExpectReadable(size_t lines) {
    Result zstd = sp_test::Run("zstd -dc '" + shard_ + "' | cmp - '" + (scratch_ / "plain") + "'");
    EXPECT_EQ(zstd.exit_code, 0) << zstd.output;
    Result test = sp_test::Run("zstd -t '" + shard_ + "'");
    EXPECT_EQ(test.exit_code, 0) << test.output;
    WriteFile(scratch_ / "read.py", kPython);
    Result python = sp_test::Run("/usr/bin/python3 '" + (scratch_ / "read.py") + "' '" + shard_ +
                                 "' '" + (scratch_ / "plain") + "'");
    EXPECT_EQ(python.exit_code, 0) << python.output;
    EXPECT_EQ(python.output, std::to_string(lines) + " lines\n");
  }
  Scratch scratch_;
  std::string shard_;
};

TEST_F(ShardPeers, ReadManyFrames) {
  Write(MakeLines("utt-", 4000, 60));
  ExpectReadable(4000);
}

TEST_F(ShardPeers, ReadOneFrame) {
  Write(MakeLines("utt-", 3, 2));
  ExpectReadable(3);
}

TEST_F(ShardPeers, ReadAShardWithoutLines) {
  Write({});
  ExpectReadable(0);
}

// What `convert` and `rescore` write as .zst, and the plan of a run.
TEST_F(ShardPeers, ReadAnArchiveOfManyFrames) {
  std::vector<Line> lines = MakeLines("utt-", 4000, 60);
  shard_ = scratch_ / "archive.jsonl.zst";
  sp_error err{};
  sp_sink *sink = nullptr;
  ASSERT_SP_OK(sp_sink_open(shard_.c_str(), &sink, &err));
  std::string all = Joined(lines);
  ASSERT_SP_OK(sp_sink_write(sink, all.data(), all.size(), &err));
  ASSERT_SP_OK(sp_sink_close(sink, &err));
  WriteFile(scratch_ / "plain", all);
  EXPECT_GE(sp_test::ReadThroughSeekTable(ReadFile(shard_)).size(), 3u);
  ExpectReadable(4000);
}

}  // namespace
