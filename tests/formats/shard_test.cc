#include "shard.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <xxhash.h>
#include <zstd.h>

#include <cstdio>

#include "run_fixture.h"
#include "seek_table.h"

namespace {

using sp_test::CollectLine;
using sp_test::Contains;
using sp_test::FilesOf;
using sp_test::Frame;
using sp_test::Joined;
using sp_test::Le32;
using sp_test::Line;
using sp_test::MakeLine;
using sp_test::MakeLines;
using sp_test::ReadFile;
using sp_test::ReadThroughSeekTable;
using sp_test::Scratch;
using sp_test::ShardPath;
using sp_test::WriteFile;
using sp_test::WriteShard;

sp_status ReadLines(const std::string &path, std::string *lines, sp_shard_done *measured,
                    sp_error *err) {
  return sp_shard_read(path.c_str(), CollectLine, lines, measured, err);
}

// Lines of over 2 MiB together, one of them longer than a frame.
std::vector<Line> ManyLines() {
  std::vector<Line> lines = MakeLines("utt-", 3000, 40);
  std::string long_text = "{\"id\":\"long\",\"hyps\":[]" + std::string(SP_FRAME_RAW, ' ') + "}\n";
  lines.insert(lines.begin() + 1500, {"long", long_text, 0, 0});
  return lines;
}

TEST(Shard, PathsAreNamedByIndexAndCount) {
  EXPECT_EQ(ShardPath("RUN", 3, 12, ".jsonl.zst"), "RUN/scores-00003-of-00012.jsonl.zst");
  EXPECT_EQ(ShardPath("a/b", 0, 123456, ".done"), "a/b/scores-00000-of-123456.done");
}

TEST(Shard, RoundTripAndMarker) {
  Scratch run;
  sp_error err{};
  std::vector<Line> lines = MakeLines("u\"\xc3\xa4", 50, 5);
  ASSERT_SP_OK(WriteShard(run.path(), 0, 1, lines, &err));
  EXPECT_EQ(FilesOf(run.path()), (std::vector<std::string>{"scores-00000-of-00001.done",
                                                           "scores-00000-of-00001.jsonl.zst"}));
  std::string raw, path = ShardPath(run.path(), 0, 1, ".jsonl.zst");
  sp_shard_done measured{}, done{};
  ASSERT_SP_OK(ReadLines(path, &raw, &measured, &err));
  EXPECT_EQ(raw, Joined(lines));
  bool found = false;
  ASSERT_SP_OK(sp_shard_done_read(run.path().c_str(), 0, 1, &done, &found, &err));
  ASSERT_TRUE(found);
  uint64_t tokens = 0;
  for (const Line &line : lines)
    tokens += line.tokens;
  EXPECT_EQ(done.utts, 50u);
  EXPECT_EQ(done.hyps, 250u);
  EXPECT_EQ(done.tokens, tokens);
  EXPECT_EQ(done.raw_bytes, raw.size());
  EXPECT_EQ(done.raw_xxh64, XXH64(raw.data(), raw.size(), 0));
  std::string file = ReadFile(path);
  EXPECT_EQ(done.zst_bytes, file.size());
  EXPECT_EQ(done.zst_xxh64, XXH64(file.data(), file.size(), 0));
  EXPECT_STREQ(done.first_id,
               "u\"\xc3\xa4"
               "0");
  EXPECT_STREQ(done.last_id,
               "u\"\xc3\xa4"
               "49");
  EXPECT_EQ(measured.raw_bytes, done.raw_bytes);
  EXPECT_EQ(measured.raw_xxh64, done.raw_xxh64);
  EXPECT_EQ(measured.zst_bytes, done.zst_bytes);
  EXPECT_EQ(measured.zst_xxh64, done.zst_xxh64);
  char expected[512];
  snprintf(expected, sizeof expected,
           "{\"utts\":50,\"hyps\":250,\"tokens\":%llu,\"raw_bytes\":%zu,\"xxh64\":\"%016llx\","
           "\"zst_bytes\":%zu,\"zst_xxh64\":\"%016llx\",\"first_id\":\"u\\\"\xc3\xa4"
           "0\","
           "\"last_id\":\"u\\\"\xc3\xa4"
           "49\"}\n",
           static_cast<unsigned long long>(tokens), raw.size(),
           static_cast<unsigned long long>(done.raw_xxh64), file.size(),
           static_cast<unsigned long long>(done.zst_xxh64));
  EXPECT_EQ(ReadFile(ShardPath(run.path(), 0, 1, ".done")), expected);
  sp_shard_done_release(&done);
}

TEST(Shard, AMarkerCarriesLatency) {
  Scratch run;
  sp_error err{};
  sp_shard_writer *writer = nullptr;
  sp_latency_counts counts{};
  ASSERT_SP_OK(sp_latency_counts_note(&counts, 2, 3, &err));
  counts.outputs += 4;
  counts.clipped = 4;
  counts.clipped_sum = 6;
  counts.hyps = 3;
  counts.upl_sum = 0.1;
  counts.upl_max = 1e-7;
  ASSERT_SP_OK(sp_shard_writer_create(run.path().c_str(), 0, 1, &writer, &err));
  ASSERT_SP_OK(sp_shard_writer_add_latency(writer, &counts, &err));
  ASSERT_SP_OK(sp_shard_writer_publish(writer, &err));
  std::string path = ShardPath(run.path(), 0, 1, ".done"), text = ReadFile(path);
  const std::string member =
      R"("latency":{"of":[0,0,1],"outputs":5,"clipped":4,"emission_sum":3,"clipped_sum":6,)"
      R"("hyps":3,"upl_sum":0.1,"upl_max":1e-07}})";
  EXPECT_TRUE(Contains(text, R"("last_id":null,)" + member + "\n")) << text;
  sp_shard_done done{};
  bool found = false;
  ASSERT_SP_OK(sp_shard_done_read(run.path().c_str(), 0, 1, &done, &found, &err));
  EXPECT_TRUE(done.has_latency);
  EXPECT_EQ(done.latency.of[2], 1u);
  EXPECT_EQ(done.latency.upl_sum, 0.1);
  sp_shard_done_release(&done);
  sp_latency_counts_release(&counts);
  for (auto [from, to] : {std::pair{"[0,0,1]", "[0,0,2]"}, {"[0,0,1]", "[0,0,1,0]"},
                          {"\"clipped\":4", "\"clipped\":6"}, {"0.1", "0.10"}, {"\"hyps\":3", "\"h\":3"}}) {
    std::string bad = text;
    size_t at = bad.rfind(from);
    ASSERT_NE(at, std::string::npos);
    WriteFile(path, bad.replace(at, strlen(from), to));
    EXPECT_EQ(sp_shard_done_read(run.path().c_str(), 0, 1, &done, &found, &err), SP_EDAMAGED) << bad;
  }
}

TEST(Shard, FilesFollowTheUmask) {
  Scratch run;
  sp_error err{};
  mode_t before = umask(027);
  sp_status status = WriteShard(run.path(), 0, 1, MakeLines("u", 2, 1), &err);
  umask(before);
  ASSERT_SP_OK(status);
  struct stat info;
  ASSERT_EQ(stat(ShardPath(run.path(), 0, 1, ".jsonl.zst").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0640u);
}

TEST(Shard, FramesAreCutAtLineEndsAndTheTableFindsThem) {
  Scratch run;
  sp_error err{};
  std::vector<Line> lines = ManyLines();
  ASSERT_SP_OK(WriteShard(run.path(), 0, 1, lines, &err));
  std::vector<Frame> frames =
      ReadThroughSeekTable(ReadFile(ShardPath(run.path(), 0, 1, ".jsonl.zst")));
  EXPECT_GE(frames.size(), 3u);
  std::string all;
  size_t beyond = 0;
  for (const Frame &frame : frames) {
    EXPECT_EQ(frame.raw.back(), '\n');
    bool one_line = frame.raw.find('\n') == frame.raw.size() - 1;
    EXPECT_TRUE(one_line || frame.raw.size() <= SP_FRAME_RAW);
    beyond += frame.raw.size() > SP_FRAME_RAW;
    all += frame.raw;
  }
  EXPECT_EQ(beyond, 1u);
  EXPECT_EQ(all, Joined(lines));
  std::string read;
  ASSERT_SP_OK(ReadLines(ShardPath(run.path(), 0, 1, ".jsonl.zst"), &read, nullptr, &err));
  EXPECT_EQ(read, all);
}

// Frames as FORMATS.md has them, compressed here: the bytes of shards may not change.
TEST(Shard, BytesAreThoseOfTheFramesAlone) {
  Scratch run;
  sp_error err{};
  std::vector<Line> lines = ManyLines();
  ASSERT_SP_OK(WriteShard(run.path(), 0, 1, lines, &err));
  std::vector<std::string> frames(1);
  for (const Line &line : lines) {
    if (!frames.back().empty() && frames.back().size() + line.text.size() > SP_FRAME_RAW)
      frames.emplace_back();
    frames.back() += line.text;
  }
  ZSTD_CCtx *zstd = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(zstd, ZSTD_c_compressionLevel, 3);
  ZSTD_CCtx_setParameter(zstd, ZSTD_c_checksumFlag, 1);
  std::string expected;
  for (const std::string &frame : frames) {
    std::string packed(ZSTD_compressBound(frame.size()), '\0');
    packed.resize(ZSTD_compress2(zstd, packed.data(), packed.size(), frame.data(), frame.size()));
    expected += packed;
  }
  ZSTD_freeCCtx(zstd);
  std::string file = ReadFile(ShardPath(run.path(), 0, 1, ".jsonl.zst"));
  EXPECT_EQ(file.size(), expected.size() + 8 + 12 * frames.size() + 9);
  EXPECT_TRUE(file.compare(0, expected.size(), expected) == 0);
}

TEST(Shard, EqualLinesGiveEqualBytes) {
  Scratch a, b;
  sp_error err{};
  ASSERT_SP_OK(WriteShard(a.path(), 0, 1, ManyLines(), &err));
  ASSERT_SP_OK(WriteShard(b.path(), 0, 1, ManyLines(), &err));
  for (const char *suffix : {".jsonl.zst", ".done"}) {
    EXPECT_EQ(ReadFile(ShardPath(a.path(), 0, 1, suffix)),
              ReadFile(ShardPath(b.path(), 0, 1, suffix)));
  }
}

TEST(Shard, WithoutLinesIsAFrameAndAMarker) {
  Scratch run;
  sp_error err{};
  ASSERT_SP_OK(WriteShard(run.path(), 0, 1, {}, &err));
  std::string file = ReadFile(ShardPath(run.path(), 0, 1, ".jsonl.zst"));
  EXPECT_EQ(Le32(file, 0), 0xFD2FB528u);
  EXPECT_EQ(ReadThroughSeekTable(file).size(), 1u);
  std::string raw;
  ASSERT_SP_OK(ReadLines(ShardPath(run.path(), 0, 1, ".jsonl.zst"), &raw, nullptr, &err));
  EXPECT_EQ(raw, "");
  bool found = false;
  sp_shard_done done{};
  ASSERT_SP_OK(sp_shard_done_read(run.path().c_str(), 0, 1, &done, &found, &err));
  EXPECT_TRUE(found);
  EXPECT_EQ(done.utts, 0u);
  EXPECT_EQ(done.first_id, nullptr);
  EXPECT_TRUE(Contains(ReadFile(ShardPath(run.path(), 0, 1, ".done")),
                       "\"first_id\":null,\"last_id\":null}"));
}

TEST(Shard, NothingHasItsNameBeforePublish) {
  Scratch run;
  sp_error err{};
  sp_shard_writer *writer = nullptr;
  ASSERT_SP_OK(sp_shard_writer_create(run.path().c_str(), 2, 3, &writer, &err));
  Line line = MakeLine("a", 2, 1);
  ASSERT_SP_OK(sp_shard_writer_append(writer, sp_test::Text(line.text), sp_test::Text(line.id), 2,
                                      line.tokens, &err));
  std::vector<std::string> files = FilesOf(run.path());
  ASSERT_EQ(files.size(), 1u);
  EXPECT_EQ(files[0].rfind(".tmp-scores-00002-of-00003.", 0), 0u) << files[0];
  sp_shard_writer_abandon(writer);
  EXPECT_TRUE(FilesOf(run.path()).empty());
  sp_shard_writer_abandon(nullptr);
  bool found = true;
  sp_shard_done done{};
  ASSERT_SP_OK(sp_shard_done_read(run.path().c_str(), 2, 3, &done, &found, &err));
  EXPECT_FALSE(found);
}

TEST(Shard, PublishedTwiceWithEqualBytesIsFine) {
  Scratch run;
  sp_error err{};
  ASSERT_SP_OK(WriteShard(run.path(), 0, 1, MakeLines("u", 20, 3), &err));
  std::string marker = ReadFile(ShardPath(run.path(), 0, 1, ".done"));
  std::filesystem::remove(ShardPath(run.path(), 0, 1, ".done"));
  ASSERT_SP_OK(WriteShard(run.path(), 0, 1, MakeLines("u", 20, 3), &err));
  EXPECT_EQ(ReadFile(ShardPath(run.path(), 0, 1, ".done")), marker);
  EXPECT_EQ(FilesOf(run.path()).size(), 2u);
}

TEST(Shard, PublishedTwiceWithOtherBytesIsRefused) {
  Scratch run;
  sp_error err{};
  ASSERT_SP_OK(WriteShard(run.path(), 0, 1, MakeLines("u", 20, 3), &err));
  std::string path = ShardPath(run.path(), 0, 1, ".jsonl.zst"), before = ReadFile(path);
  std::string marker = ReadFile(ShardPath(run.path(), 0, 1, ".done"));
  EXPECT_EQ(WriteShard(run.path(), 0, 1, MakeLines("u", 21, 3), &err), SP_ESHARD);
  EXPECT_TRUE(Contains(err.message, path)) << err.message;
  EXPECT_EQ(ReadFile(path), before);
  EXPECT_EQ(ReadFile(ShardPath(run.path(), 0, 1, ".done")), marker);
  EXPECT_EQ(FilesOf(run.path()).size(), 2u);
}

TEST(Shard, AnIdWithNulIsRefused) {
  Scratch run;
  sp_error err{};
  Line line = MakeLine(std::string("a\0b", 3), 1, 1);
  EXPECT_EQ(WriteShard(run.path(), 0, 1, {line}, &err), SP_EINPUT);
  EXPECT_TRUE(FilesOf(run.path()).empty());
}

TEST(Shard, AFullDiskLeavesNothing) {
  std::vector<Line> lines = ManyLines();
  for (rlim_t limit : {0, 100, 4096, 60000}) {
    Scratch run;
    sp_error err{};
    sp_status status;
    {
      sp_test::FileSizeLimit full(limit);
      status = WriteShard(run.path(), 0, 1, lines, &err);
    }
    EXPECT_EQ(status, SP_EIO) << limit;
    EXPECT_TRUE(Contains(err.message, run.path())) << err.message;
    EXPECT_TRUE(FilesOf(run.path()).empty()) << limit;
  }
}

TEST(Shard, AMarkerThatCannotBeWrittenIsNotThere) {
  Scratch run;
  sp_error err{};
  std::vector<Line> lines = {{std::string(200000, 'a'), "{}\n", 0, 0}};
  sp_status status;
  {
    sp_test::FileSizeLimit full(100000);
    status = WriteShard(run.path(), 0, 1, lines, &err);
  }
  EXPECT_EQ(status, SP_EIO);
  EXPECT_EQ(FilesOf(run.path()), (std::vector<std::string>{"scores-00000-of-00001.jsonl.zst"}));
  ASSERT_SP_OK(WriteShard(run.path(), 0, 1, lines, &err));
  EXPECT_EQ(FilesOf(run.path()).size(), 2u);
}

TEST(Shard, ADirectoryThatIsNotThereIsAnIoError) {
  Scratch scratch;
  sp_error err{};
  EXPECT_EQ(WriteShard(scratch / "missing", 0, 1, {}, &err), SP_EIO);
  EXPECT_TRUE(Contains(err.message, scratch / "missing")) << err.message;
  WriteFile(scratch / "file", "x");
  EXPECT_EQ(WriteShard(scratch / "file", 0, 1, {}, &err), SP_EIO);
  std::string raw;
  EXPECT_EQ(ReadLines(scratch / "missing", &raw, nullptr, &err), SP_EIO);
  EXPECT_TRUE(Contains(err.message, scratch / "missing")) << err.message;
}

TEST(Shard, TheCallbackStopsTheReading) {
  Scratch run;
  sp_error err{};
  ASSERT_SP_OK(WriteShard(run.path(), 0, 1, MakeLines("u", 20, 3), &err));
  int calls = 0;
  auto stop = [](void *context, sp_text, sp_error *error) {
    return ++*static_cast<int *>(context) == 3 ? sp_fail(error, SP_EINTERRUPTED, "enough") : SP_OK;
  };
  EXPECT_EQ(
      sp_shard_read(ShardPath(run.path(), 0, 1, ".jsonl.zst").c_str(), stop, &calls, nullptr, &err),
      SP_EINTERRUPTED);
  EXPECT_EQ(calls, 3);
  EXPECT_STREQ(err.message, "enough");
}

}  // namespace
