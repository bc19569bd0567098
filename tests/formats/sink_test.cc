// Output files: the frames of .zst, and when a name appears.
#include "sink.h"

#include <gtest/gtest.h>

#include <random>

#include "frame_writer.h"
#include "packed.h"
#include "run_fixture.h"
#include "seek_table.h"

namespace {

using sp_test::Contains;
using sp_test::FilesOf;
using sp_test::Frame;
using sp_test::Joined;
using sp_test::Line;
using sp_test::MakeLines;
using sp_test::ReadFile;
using sp_test::ReadThroughSeekTable;
using sp_test::Scratch;
using sp_test::ShardPath;
using sp_test::WriteShard;

sp_status Put(const std::string &path, const std::string &bytes, size_t step, sp_error *err) {
  sp_sink *sink = nullptr;
  SP_TRY(sp_sink_open(path.c_str(), &sink, err));
  for (size_t at = 0; at < bytes.size(); at += step) {
    sp_status status =
        sp_sink_write(sink, bytes.data() + at, std::min(step, bytes.size() - at), err);
    if (status != SP_OK) {
      sp_sink_discard(sink);
      return status;
    }
  }
  return sp_sink_close(sink, err);
}

// Over 6 MiB; one line is longer than a frame, the last one has no end.
std::string ManyLines() {
  std::vector<Line> lines = MakeLines("utt-", 3500, 40);
  lines.insert(lines.begin() + 700, {"long", std::string(SP_FRAME_RAW + 5, 'x') + "\n", 0, 0});
  return Joined(lines) + "no end";
}

TEST(Sink, FramesEndAtLineEnds) {
  Scratch scratch;
  sp_error err{};
  std::string raw = ManyLines(), all;
  ASSERT_SP_OK(Put(scratch / "a.zst", raw, raw.size(), &err));
  std::vector<Frame> frames = ReadThroughSeekTable(ReadFile(scratch / "a.zst"));
  EXPECT_GE(frames.size(), 4u);
  size_t longer = 0;
  for (size_t k = 0; k < frames.size(); k++) {
    const std::string &frame = frames[k].raw;
    bool is_long = frame == std::string(SP_FRAME_RAW + 5, 'x') + "\n";
    longer += is_long;
    EXPECT_TRUE(is_long || frame.size() <= SP_FRAME_RAW);
    EXPECT_TRUE(frame.back() == '\n' || k + 1 == frames.size());
    all += frame;
  }
  EXPECT_EQ(longer, 1u);
  EXPECT_TRUE(all == raw);
}

TEST(Sink, FramesDoNotDependOnTheCalls) {
  Scratch scratch;
  sp_error err{};
  std::string raw = ManyLines();
  ASSERT_SP_OK(Put(scratch / "a.zst", raw, raw.size(), &err));
  std::string expected = ReadFile(scratch / "a.zst");
  for (size_t step : {7u, 1000u, 1u << 20, 3u << 20}) {
    ASSERT_SP_OK(Put(scratch / "b.zst", raw, step, &err));
    EXPECT_TRUE(ReadFile(scratch / "b.zst") == expected) << step;
  }
}

TEST(Sink, LinesGetTheBytesOfAShard) {
  Scratch scratch;
  sp_error err{};
  std::vector<Line> lines = MakeLines("utt-", 3000, 40);
  ASSERT_SP_OK(WriteShard(scratch.path(), 0, 1, lines, &err));
  ASSERT_SP_OK(Put(scratch / "a.zst", Joined(lines), 5000, &err));
  EXPECT_TRUE(ReadFile(scratch / "a.zst") ==
              ReadFile(ShardPath(scratch.path(), 0, 1, ".jsonl.zst")));
}

TEST(Sink, NothingIsAnEmptyFrame) {
  Scratch scratch;
  sp_error err{};
  ASSERT_SP_OK(Put(scratch / "a.zst", "", 1, &err));
  std::vector<Frame> frames = ReadThroughSeekTable(ReadFile(scratch / "a.zst"));
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(frames[0].raw, "");
}

TEST(FrameWriter, CutsWhatHasNoLineEnd) {
  Scratch scratch;
  sp_error err{};
  std::string raw(3 * SP_FRAME_RAW + 10, 'x');
  for (size_t step : {raw.size(), size_t{300000}}) {
    FILE *file = fopen((scratch / "a").c_str(), "w+");
    ASSERT_NE(file, nullptr);
    sp_frame_writer *writer = nullptr;
    ASSERT_SP_OK(sp_frame_writer_create(fileno(file), "a", SP_FRAME_RAW, &writer, &err));
    ASSERT_SP_OK(sp_frame_writer_write(writer, "line\n", 5, &err));
    for (size_t at = 0; at < raw.size(); at += step)
      ASSERT_SP_OK(
          sp_frame_writer_write(writer, raw.data() + at, std::min(step, raw.size() - at), &err));
    sp_frame_sums sums{};
    ASSERT_SP_OK(sp_frame_writer_finish(writer, &sums, &err));
    sp_frame_writer_destroy(writer);
    fclose(file);
    std::string stored = ReadFile(scratch / "a");
    std::vector<Frame> frames = ReadThroughSeekTable(stored);
    ASSERT_EQ(frames.size(), 5u);
    EXPECT_EQ(frames[0].raw, "line\n");
    for (size_t k = 1; k < 4; k++)
      EXPECT_EQ(frames[k].raw.size(), SP_FRAME_RAW);
    EXPECT_EQ(frames[4].raw.size(), 10u);
    EXPECT_EQ(sums.raw_bytes, raw.size() + 5);
    EXPECT_EQ(sums.zst_bytes, stored.size());
    EXPECT_EQ(sums.zst_xxh64, XXH64(stored.data(), stored.size(), 0));
  }
}

TEST(Sink, OfSeveralTheFirstOnesStays) {
  Scratch scratch;
  sp_error err{};
  for (std::string name : {"a", "a.gz", "a.zst"}) {
    sp_sink *first = nullptr, *second = nullptr;
    bool existed = true;
    ASSERT_SP_OK(sp_sink_open((scratch / name).c_str(), &first, &err));
    ASSERT_SP_OK(sp_sink_open((scratch / name).c_str(), &second, &err));
    ASSERT_SP_OK(sp_sink_write(first, "first\n", 6, &err));
    ASSERT_SP_OK(sp_sink_write(second, "second\n", 7, &err));
    ASSERT_SP_OK(sp_sink_close_first(first, &existed, &err));
    EXPECT_FALSE(existed);
    const std::string bytes = ReadFile(scratch / name);
    ASSERT_SP_OK(sp_sink_close_first(second, &existed, &err));
    EXPECT_TRUE(existed);
    EXPECT_TRUE(ReadFile(scratch / name) == bytes);
    EXPECT_EQ(FilesOf(scratch.path()), std::vector<std::string>{name});
    std::filesystem::remove(scratch / name);
  }
}

TEST(Sink, TheNameAppearsWhenTheFileIsWhole) {
  Scratch scratch;
  sp_error err{};
  for (std::string name : {"a", "a.gz", "a.zst"}) {
    sp_sink *sink = nullptr;
    ASSERT_SP_OK(sp_sink_open((scratch / name).c_str(), &sink, &err));
    ASSERT_SP_OK(sp_sink_write(sink, "x\n", 2, &err));
    ASSERT_EQ(FilesOf(scratch.path()).size(), 1u);
    EXPECT_EQ(FilesOf(scratch.path())[0].rfind(name + ".tmp.", 0), 0u);
    sp_sink_discard(sink);
    EXPECT_TRUE(FilesOf(scratch.path()).empty());
  }
}

TEST(Sink, AFullDiskLeavesNothing) {
  std::string raw;
  std::mt19937 random(1);
  while (raw.size() < (5u << 20))
    raw += std::to_string(random()) + "\n";
  for (std::string name : {"a", "a.gz", "a.zst"}) {
    Scratch scratch;
    sp_error err{};
    sp_status status;
    {
      sp_test::FileSizeLimit full(1 << 20);
      status = Put(scratch / name, raw, 1 << 20, &err);
    }
    EXPECT_EQ(status, SP_EIO) << name;
    EXPECT_TRUE(Contains(err.message, scratch / name)) << err.message;
    EXPECT_TRUE(FilesOf(scratch.path()).empty()) << name;
  }
}

}  // namespace
