// workers_input_test.cc - what each worker reads of the input, and inputs that are not what they were.
#include <algorithm>
#include <set>
#include <sstream>

#include "workers_fixture.h"

namespace {

using namespace sp_test;
namespace fs = std::filesystem;

TEST_F(Workers, AChangedInputIsToldByShardAndFile) {
  Job first = MakeJob("run", 0, 2), second = MakeJob("run", 1, 2);
  auto expected = Alone(first);
  ASSERT_EQ(Score(first).status, SP_OK);
  const std::string text = ReadFile(scratch_ / "a.jsonl");
  std::string other = text;
  for (size_t at = 0; (at = other.find("\"text\":\"", at)) != std::string::npos; at++) {
    if (other[at + 8] >= 'a' && other[at + 8] < 'z')
      other[at + 8]++;
  }
  ASSERT_NE(other, text);
  WriteFile(scratch_ / "a.jsonl", other);
  Outcome changed = Score(second);
  EXPECT_EQ(changed.status, SP_EINPUT);
  EXPECT_NE(changed.message.find("the input changed"), std::string::npos) << changed.message;
  EXPECT_NE(changed.message.find("a.jsonl:"), std::string::npos) << changed.message;
  EXPECT_NE(changed.message.find("shard "), std::string::npos) << changed.message;
  EXPECT_EQ(Done("run"), 12u) << "nothing of the other input is published";
  EXPECT_TRUE(NobodyClaims("run"));
  WriteFile(scratch_ / "a.jsonl", text);
  EXPECT_EQ(Score(second).status, SP_OK);
  EXPECT_TRUE(SameFiles(FilesOf(first.out), expected));
}

// One whose format cannot tell by its first file, which is blank: those who join know the format.
TEST_F(Workers, TheFirstFileMayBeBlank) {
  WriteFile(scratch_ / "empty", "");
  WriteFile(scratch_ / "blank", "\n\n");
  WriteFile(scratch_ / "m.json", ToMlm(MakeArchive(20), 0, 20));
  WriteFile(scratch_ / "espnet1.json",
            R"({"utts":{"u":{"output":[{"rec_text":"ab c","score":-1.0,"text":"ab"}]}}})");
  WriteFile(scratch_ / "text", "u ab c\nv d\n");
  for (const char *blank : {"empty", "blank"}) {
    for (const char *name : {"a.jsonl", "m.json", "espnet1.json", "text"}) {
      Job job = MakeJob(std::string(name) + blank, 0, 1);
      job.methods = "cls";
      job.shard_utts = 1000;
      job.archives = {scratch_ / blank, scratch_ / name};
      Job alone = job;
      alone.out += ".whole";
      alone.parts = 0;
      Outcome whole = Score(alone), part = Score(job);
      EXPECT_EQ(whole.status, part.status) << name << ": " << part.message << whole.message;
      EXPECT_TRUE(SameFiles(FilesOf(job.out), FilesOf(alone.out))) << name;
    }
  }
}

// What the other part has scored may be anything by now.
TEST_F(Workers, OnlyTheOwnShardsAreRead) {
  Job first = MakeJob("run", 0, 2), second = MakeJob("run", 1, 2);
  auto expected = Alone(first);
  ASSERT_EQ(Score(first).status, SP_OK);
  std::vector<std::string> lines;
  std::istringstream in(ReadFile(scratch_ / "a.jsonl"));
  for (std::string line; std::getline(in, line);)
    lines.push_back(line);
  size_t emptied = 0;
  for (size_t shard = 0; shard < 24; shard++) {
    char marker[64];
    snprintf(marker, sizeof marker, "/scores-%05zu-of-00024.done", shard);
    for (size_t u = 5 * shard; fs::exists(first.out + marker) && u < 5 * shard + 5; u++, emptied++)
      std::fill(lines[u].begin(), lines[u].end(), '?');
  }
  ASSERT_EQ(emptied, 60u);
  std::string text;
  for (const std::string &line : lines)
    text += line + "\n";
  WriteFile(scratch_ / "a.jsonl", text);
  Outcome outcome = Score(second);
  EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
  EXPECT_TRUE(SameFiles(FilesOf(first.out), expected));
}

// The shards of a part that are not scored yet, and the files, of `per_file` shards each, that hold none.
std::set<size_t> FilesWithoutWork(const std::string &run, size_t shards, size_t per_file) {
  std::set<size_t> files;
  for (size_t file = 0; file < shards / per_file; file++)
    files.insert(file);
  for (size_t shard = 0; shard < shards; shard++) {
    char marker[64];
    snprintf(marker, sizeof marker, "/scores-%05zu-of-%05zu.done", shard, shards);
    if (!fs::exists(run + marker))
      files.erase(shard / per_file);
  }
  return files;
}

// A late part over many files needs those alone that hold its shards; the others may be anything.
TEST_F(Workers, OnlyTheFilesOfTheOwnShardsAreRead) {
  Archive archive = MakeArchive(400);
  Job part = MakeJob("run", 0, 2);
  for (size_t file = 0; file < 40; file++) {
    part.archives.resize(file);
    part.archives.push_back(scratch_ / std::to_string(file));
    WriteFile(part.archives.back(), ToMlm(archive, 10 * file, 10 * file + 10));
  }
  part.format = "mlm";
  part.methods = "cls";
  part.shard_utts = 10;
  auto expected = Alone(part);
  ASSERT_EQ(Score(part).status, SP_OK);
  std::set<size_t> others = FilesWithoutWork(part.out, 40, 1);
  ASSERT_EQ(others.size(), 20u);
  for (size_t file : others)
    WriteFile(part.archives[file], std::string(ReadFile(part.archives[file]).size(), '?'));
  part.part = 1;
  Outcome outcome = Score(part);
  EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
  EXPECT_TRUE(SameFiles(FilesOf(part.out), expected));
}

TEST_F(Workers, OnlyTheGroupsOfTheOwnShardsAreRead) {
  WriteEspnet2(scratch_ / "espnet2", 12);
  Job part = MakeJob("run", 0, 4);
  part.archives = {scratch_ / "espnet2"};
  part.methods = "cls";
  part.shard_utts = 5;
  auto expected = Alone(part);
  for (size_t p : {0, 1, 2}) {
    part.part = p;
    ASSERT_EQ(Score(part).status, SP_OK);
  }
  std::set<size_t> others = FilesWithoutWork(part.out, 24, 2);
  ASSERT_GE(others.size(), 3u);
  for (size_t group : others) {
    std::string list =
        scratch_ / "espnet2/output." + std::to_string(group + 1) + "/1best_recog/text";
    WriteFile(list, std::string(ReadFile(list).size(), '?'));
  }
  part.part = 3;
  Outcome outcome = Score(part);
  EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
  EXPECT_TRUE(SameFiles(FilesOf(part.out), expected));
}

TEST_F(Workers, AnInputOfAnotherSizeIsAnotherRun) {
  Job first = MakeJob("run", 0, 2), second = MakeJob("run", 1, 2);
  ASSERT_EQ(Score(first).status, SP_OK);
  WriteFile(scratch_ / "a.jsonl", ReadFile(scratch_ / "a.jsonl") + ToJsonl({{"more", {"a"}}}));
  Outcome outcome = Score(second);
  EXPECT_EQ(outcome.status, SP_EIDENTITY);
  EXPECT_NE(outcome.message.find("inputs.0.bytes"), std::string::npos) << outcome.message;
  second.archives.push_back(scratch_ / "a.jsonl");
  outcome = Score(second);
  EXPECT_EQ(outcome.status, SP_EIDENTITY);
  second.archives = {scratch_ / "none.jsonl"};
  outcome = Score(second);
  EXPECT_EQ(outcome.status, SP_EIO);
  EXPECT_NE(outcome.message.find("none.jsonl"), std::string::npos) << outcome.message;
}

// Hosts may have the file system mounted at different places.
TEST_F(Workers, TheFileMayStandElsewhere) {
  Job first = MakeJob("run", 0, 2), second = MakeJob("run", 1, 2);
  auto expected = Alone(first);
  ASSERT_EQ(Score(first).status, SP_OK);
  fs::create_directory(scratch_ / "other");
  fs::rename(scratch_ / "a.jsonl", scratch_ / "other/b.jsonl");
  second.archives = {scratch_ / "other/b.jsonl"};
  Outcome outcome = Score(second);
  EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
  EXPECT_TRUE(SameFiles(FilesOf(first.out), expected));
}

TEST_F(Workers, ABadInputLeavesNothing) {
  WriteFile(scratch_ / "a.jsonl", ToJsonl(MakeArchive(20)) + "{\n");
  Job job = MakeJob("run", 0, 2);
  Outcome outcome = Score(job);
  EXPECT_EQ(outcome.status, SP_EINPUT);
  EXPECT_NE(outcome.message.find("a.jsonl:21"), std::string::npos) << outcome.message;
  EXPECT_FALSE(fs::exists(job.out));
}

}  // namespace
