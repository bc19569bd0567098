#include <gtest/gtest.h>

#include <random>

#include "run_fixture.h"
#include "run_manifest.h"

namespace {

using sp_test::BuildRun;
using sp_test::Contains;
using sp_test::FilesOf;
using sp_test::Line;
using sp_test::MakeLine;
using sp_test::MakeLines;
using sp_test::MakeManifest;
using sp_test::ReadFile;
using sp_test::RenewFile;
using sp_test::Scratch;
using sp_test::ShardPath;
using sp_test::WriteShard;

class RunVerify : public ::testing::Test {
 protected:
  sp_status Verify() {
    err = {};
    return sp_run_verify(run_.c_str(), &totals_, &err);
  }
  void ExpectDamaged(const std::string &part) {
    EXPECT_EQ(Verify(), SP_EDAMAGED) << part << ": " << err.message;
    EXPECT_TRUE(Contains(err.message, part)) << err.message;
  }
  // A run whose shards hold these lines and whose run.json counts what `utts` and `hyps` say.
  void Build(const std::vector<std::vector<Line>> &shards, size_t utts, size_t hyps) {
    std::filesystem::create_directory(run_);
    json_t *manifest = MakeManifest(shards.size(), 10, utts, hyps);
    ASSERT_SP_OK(sp_run_manifest_write(run_.c_str(), manifest, &err));
    json_decref(manifest);
    for (size_t k = 0; k < shards.size(); k++) {
      ASSERT_SP_OK(WriteShard(run_, k, shards.size(), shards[k], &err));
    }
    ASSERT_SP_OK(sp_run_success_write(run_.c_str(), shards.size(), &err));
  }
  // Replaces a shard's marker and closes the run again, so that only the later checks can object.
  void ReplaceMarker(const std::string &from, const std::string &to) {
    std::string path = ShardPath(run_, 0, 1, ".done"), text = ReadFile(path);
    size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos) << text;
    RenewFile(path, text.replace(at, from.size(), to));
    ASSERT_SP_OK(sp_run_success_write(run_.c_str(), 1, &err));
  }

  Scratch scratch_;
  std::string run_ = scratch_ / "RUN";
  sp_error err{};
  sp_run_totals totals_{};
};

TEST_F(RunVerify, AWholeRunIsWhole) {
  BuildRun(run_, 3, 20, 5);
  ASSERT_SP_OK(Verify());
  EXPECT_EQ(totals_.shards, 3u);
  EXPECT_EQ(totals_.utts, 60u);
  EXPECT_EQ(totals_.hyps, 300u);
  uint64_t bytes = 0;
  for (size_t k = 0; k < 3; k++) {
    bytes += std::filesystem::file_size(ShardPath(run_, k, 3, ".jsonl.zst"));
  }
  EXPECT_EQ(totals_.zst_bytes, bytes);
  EXPECT_GT(totals_.tokens, 0u);
  RenewFile(run_ + "/notes.txt", "a file of the user's own");
  EXPECT_SP_OK(Verify());
}

TEST_F(RunVerify, ARunWithAShardWithoutLinesIsWhole) {
  Build({{}}, 0, 0);
  EXPECT_SP_OK(Verify());
}

TEST_F(RunVerify, ThreeHundredFlippedBytesAreAllFound) {
  BuildRun(run_, 4, 60, 8);
  std::vector<std::pair<std::string, std::string>> files;
  size_t total = 0;
  for (const std::string &name : FilesOf(run_)) {
    files.emplace_back(run_ + "/" + name, ReadFile(run_ + "/" + name));
    total += files.back().second.size();
  }
  ASSERT_EQ(files.size(), 10u);
  std::mt19937 random(20);
  for (int k = 0; k < 300; k++) {
    size_t at = random() % total, file = 0;
    while (at >= files[file].second.size())
      at -= files[file++].second.size();
    const auto &[path, good] = files[file];
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ (1 + random() % 255));
    RenewFile(path, bad);
    EXPECT_EQ(Verify(), SP_EDAMAGED) << path << " byte " << at << ": " << err.message;
    EXPECT_NE(err.message[0], '\0');
    RenewFile(path, good);
  }
  EXPECT_SP_OK(Verify());
}

TEST_F(RunVerify, EveryByteOfTheSmallFilesMatters) {
  BuildRun(run_, 1, 2, 1);
  for (const std::string &name : FilesOf(run_)) {
    std::string path = run_ + "/" + name, good = ReadFile(path);
    for (size_t at = 0; at < good.size(); at++) {
      for (int mask : {0x20, 0x01, 0x80}) {
        std::string bad = good;
        bad[at] = static_cast<char>(bad[at] ^ mask);
        RenewFile(path, bad);
        EXPECT_EQ(Verify(), SP_EDAMAGED) << name << " byte " << at << ": " << err.message;
      }
    }
    RenewFile(path, good + "\n");
    EXPECT_EQ(Verify(), SP_EDAMAGED) << name << " with a byte more";
    RenewFile(path, good.substr(0, good.size() - 1));
    EXPECT_EQ(Verify(), SP_EDAMAGED) << name << " with a byte less";
    RenewFile(path, good);
  }
  EXPECT_SP_OK(Verify());
}

TEST_F(RunVerify, AnUnfinishedRunSaysHowManyShardsAreMissing) {
  BuildRun(run_, 3, 5, 2);
  std::filesystem::remove(run_ + "/_SUCCESS");
  EXPECT_EQ(Verify(), SP_ESHARD);
  EXPECT_TRUE(Contains(err.message, "all 3 shards are done")) << err.message;
  std::filesystem::remove(ShardPath(run_, 1, 3, ".done"));
  EXPECT_EQ(Verify(), SP_ESHARD);
  EXPECT_TRUE(Contains(err.message, "1 of 3 shards are missing")) << err.message;
  EXPECT_EQ(sp_status_exit_code(SP_ESHARD), 7);
}

TEST_F(RunVerify, MissingFilesAreNamed) {
  BuildRun(run_, 2, 5, 2);
  for (const std::string &name : FilesOf(run_)) {
    if (name == "_SUCCESS")
      continue;
    std::filesystem::rename(run_ + "/" + name, scratch_ / "aside");
    ExpectDamaged(name == "run.json" ? "no run.json" : name.substr(0, name.find('.')));
    std::filesystem::rename(scratch_ / "aside", run_ + "/" + name);
  }
  EXPECT_SP_OK(Verify());
}

TEST_F(RunVerify, NoRunDirectory) {
  EXPECT_EQ(Verify(), SP_EDAMAGED);
  EXPECT_TRUE(Contains(err.message, run_)) << err.message;
}

TEST_F(RunVerify, LeftOverAndForeignFilesAreNamed) {
  BuildRun(run_, 2, 5, 2);
  for (const char *name : {"scores-00002-of-00002.jsonl.zst", "scores-00000-of-00003.done",
                           "scores-0-of-2.done", "scores-00000-of-00002.jsonl", "scores-x",
                           ".tmp-scores-00000-of-00002.1.0", "scores-00000-of-00002.done.tmp.12"}) {
    RenewFile(run_ + "/" + name, "x");
    ExpectDamaged(name);
    std::filesystem::remove(run_ + "/" + std::string(name));
  }
  EXPECT_SP_OK(Verify());
}

TEST_F(RunVerify, AMarkerThatLiesIsFound) {
  Build({MakeLines("u", 10, 2)}, 10, 20);
  ASSERT_SP_OK(Verify());
  const std::pair<std::string, std::string> lies[] = {
      {"\"utts\":10", "\"utts\":11"},
      {"\"hyps\":20", "\"hyps\":21"},
      {"\"first_id\":\"u0\"", "\"first_id\":\"u1\""},
      {"\"last_id\":\"u9\"", "\"last_id\":\"u8\""},
  };
  for (const auto &[from, to] : lies) {
    ReplaceMarker(from, to);
    ExpectDamaged("is not what the marker says");
    ReplaceMarker(to, from);
  }
  ReplaceMarker("\"tokens\":", "\"tokens\":1");
  ExpectDamaged("number of utterances, hypotheses or tokens");
}

TEST_F(RunVerify, AnIdTwiceInAShardIsFound) {
  Build({{MakeLine("a", 1, 1), MakeLine("b", 1, 2), MakeLine("a", 1, 3)}}, 3, 3);
  ExpectDamaged("line 3: the id a occurs twice");
}

TEST_F(RunVerify, AnIdTwiceAcrossShardsIsFound) {
  Build({{MakeLine("a", 1, 1)}, {MakeLine("b", 1, 2)}, {MakeLine("a", 1, 3)}}, 3, 3);
  ExpectDamaged("scores-00002-of-00003.jsonl.zst: line 1: the id a occurs twice");
}

TEST_F(RunVerify, TotalsMustFitTheManifest) {
  Build({MakeLines("u", 10, 2)}, 11, 20);
  ExpectDamaged("10 utterances and 20 hypotheses");
  std::filesystem::remove_all(run_);
  Build({MakeLines("u", 10, 2)}, 10, 21);
  ExpectDamaged("10 utterances and 20 hypotheses");
}

TEST_F(RunVerify, ALineThatIsNoScoreLineIsNamed) {
  Build({{MakeLine("a", 1, 1), {"b", "{\"id\":\"b\"}\n", 0, 0}}}, 2, 1);
  ExpectDamaged("scores-00000-of-00001.jsonl.zst: line 2: ");
}

TEST_F(RunVerify, SuccessIsNotWrittenForAnUnfinishedRun) {
  BuildRun(run_, 2, 5, 2);
  std::filesystem::remove(run_ + "/_SUCCESS");
  std::filesystem::remove(ShardPath(run_, 1, 2, ".done"));
  EXPECT_EQ(sp_run_success_write(run_.c_str(), 2, &err), SP_EDAMAGED);
  EXPECT_TRUE(Contains(err.message, "scores-00001-of-00002.done is missing")) << err.message;
  EXPECT_FALSE(std::filesystem::exists(run_ + "/_SUCCESS"));
}

}  // namespace
