// Every file of golden/bad/run, each named after its fault, and the good-* controls beside them.
#include <gtest/gtest.h>

#include <algorithm>

#include "run_fixture.h"
#include "shard.h"

namespace {

using sp_test::CollectLine;
using sp_test::Contains;
using sp_test::FilesOf;
using sp_test::ReadFile;
using sp_test::Scratch;
using sp_test::ShardPath;
using sp_test::WriteFile;

const std::string kFolder = SP_SOURCE_DIR "/tests/golden/bad/run";

std::vector<std::string> Named(const std::string &prefix, const std::string &suffix) {
  std::vector<std::string> names;
  for (const std::string &name : FilesOf(kFolder)) {
    bool ends = name.size() > suffix.size() &&
                name.compare(name.size() - suffix.size(), suffix.size(), suffix) == 0;
    if (name.rfind(prefix, 0) == 0 && ends)
      names.push_back(name);
  }
  return names;
}

TEST(BadRunFiles, EveryBadShardIsRefusedWithItsPlace) {
  std::vector<std::string> names = Named("shard-", ".jsonl.zst");
  EXPECT_EQ(names.size(), 22u);
  for (const std::string &name : names) {
    std::string path = kFolder + "/" + name, lines;
    sp_error err{};
    EXPECT_EQ(sp_shard_read(path.c_str(), CollectLine, &lines, nullptr, &err), SP_EDAMAGED) << name;
    EXPECT_TRUE(Contains(err.message, path + ": offset ")) << err.message;
  }
}

// Shards of another program, written after FORMATS.md.
TEST(BadRunFiles, GoodShardsAreRead) {
  sp_error err{};
  std::string lines;
  ASSERT_SP_OK(sp_shard_read((kFolder + "/good-two-frames.jsonl.zst").c_str(), CollectLine, &lines,
                             nullptr, &err));
  EXPECT_EQ(std::count(lines.begin(), lines.end(), '\n'), 3);
  lines.clear();
  ASSERT_SP_OK(sp_shard_read((kFolder + "/good-no-lines.jsonl.zst").c_str(), CollectLine, &lines,
                             nullptr, &err));
  EXPECT_EQ(lines, "");
}

TEST(BadRunFiles, EveryBadMarkerIsRefused) {
  Scratch run;
  std::vector<std::string> names = Named("done-", ".done");
  EXPECT_EQ(names.size(), 15u);
  for (const std::string &name : names) {
    std::string path = ShardPath(run.path(), 0, 1, ".done");
    WriteFile(path, ReadFile(kFolder + "/" + name));
    sp_shard_done done{};
    bool found;
    sp_error err{};
    EXPECT_EQ(sp_shard_done_read(run.path().c_str(), 0, 1, &done, &found, &err), SP_EDAMAGED)
        << name;
    EXPECT_TRUE(Contains(err.message, path)) << err.message;
  }
}

TEST(BadRunFiles, TheGoodMarkerIsRead) {
  Scratch run;
  WriteFile(ShardPath(run.path(), 0, 1, ".done"), ReadFile(kFolder + "/good-marker.done"));
  sp_shard_done done{};
  bool found;
  sp_error err{};
  ASSERT_SP_OK(sp_shard_done_read(run.path().c_str(), 0, 1, &done, &found, &err));
  EXPECT_TRUE(found);
  EXPECT_EQ(done.utts, 3u);
  EXPECT_EQ(done.raw_xxh64, 0x00ff00ff00ff00ffu);
  EXPECT_STREQ(done.last_id, "c");
  sp_shard_done_release(&done);
}

}  // namespace
