// A file once more in small frames, and going to its places by the table at its end.
#include "reframe.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <random>
#include <string>

#include "packed.h"
#include "scratch.h"

namespace {

using namespace sp_test;
namespace fs = std::filesystem;

constexpr size_t kBytes = 9 << 20;

// Half of it stays when it is compressed.
std::string Lines() {
  std::mt19937 random(3);
  std::string out(kBytes, '\n');
  for (char &byte : out)
    byte = random() % 100 == 0 ? '\n' : static_cast<char>('a' + random() % 16);
  return out;
}

// Bytes that this process has read from files.
size_t BytesRead() {
  std::ifstream io("/proc/self/io");
  std::string name;
  size_t bytes = 0;
  io >> name >> bytes;
  EXPECT_EQ(name, "rchar:");
  return bytes;
}

std::string ReadSome(sp_source *source, size_t n) {
  std::string out(n, '\0');
  sp_error err;
  size_t all = 0;
  for (size_t got = 1; all < n && got > 0; all += got)
    EXPECT_EQ(sp_source_read(source, &out[all], n - all, &got, &err), SP_OK) << err.message;
  out.resize(all);
  return out;
}

class Reframe : public ::testing::Test {
 protected:
  // A file as it is now, or as the last Make saw it.
  sp_status Make(const std::string &from, const std::string &to, bool stop = false,
                 bool look = true) {
    sp_source *source = nullptr;
    fs::remove(to);
    if (look && sp_source_open(from.c_str(), &source, &err_) == SP_OK) {
      EXPECT_EQ(sp_source_digest(source, &digest_, &err_), SP_OK) << err_.message;
      sp_source_close(source);
    }
    sp_reframe_rules rules = {};
    rules.from = from.c_str();
    rules.to = to.c_str();
    rules.xxh128 = digest_.xxh128;
    rules.stop = [](void *wanted) { return *static_cast<bool *>(wanted); };
    rules.context = &stop;
    return sp_reframe(&rules, &may_go_on_, &err_);
  }
  sp_source *Open(const std::string &path) {
    sp_source *source = nullptr;
    EXPECT_EQ(sp_source_open(path.c_str(), &source, &err_), SP_OK) << err_.message;
    return source;
  }
  // 100 bytes at many places; how often more than two frames were read on the way.
  size_t GoToPlaces(const std::string &path, const std::string &raw) {
    std::mt19937 random(5);
    sp_source *source = Open(path);
    size_t far = 0;
    for (int i = 0; i < 60; i++) {
      sp_source_place place = {};
      place.raw = random() % (raw.size() - 100);
      const size_t before = BytesRead();
      EXPECT_EQ(sp_source_seek(source, &place, &err_), SP_OK) << err_.message;
      EXPECT_EQ(ReadSome(source, 100), raw.substr(place.raw, 100)) << place.raw;
      far += BytesRead() - before > 2800000;
    }
    sp_source_close(source);
    return far;
  }
  size_t FilesThere() {
    size_t n = 0;
    for (const auto &entry : fs::directory_iterator(scratch_.path()))
      n += entry.exists();
    return n;
  }

  Scratch scratch_;
  sp_file_digest digest_ = {};
  bool may_go_on_ = false;
  sp_error err_ = {};
};

TEST_F(Reframe, HoldsTheBytes) {
  const std::string raw = Lines();
  for (const std::string &stored : {raw, Zstd(raw), Gzip(raw), std::string()}) {
    WriteFile(scratch_ / "in", stored);
    ASSERT_EQ(Make(scratch_ / "in", scratch_ / "out"), SP_OK) << err_.message;
    sp_source *out = Open(scratch_ / "out");
    EXPECT_EQ(ReadSome(out, raw.size() + 1), stored.empty() ? "" : raw);
    sp_source_close(out);
    EXPECT_EQ(sp_test::Run("zstd -q -t " + (scratch_ / "out")).exit_code, 0);
  }
}

TEST_F(Reframe, PlacesAreTwoFramesAway) {
  const std::string raw = Lines();
  WriteFile(scratch_ / "in", Gzip(raw));
  ASSERT_EQ(Make(scratch_ / "in", scratch_ / "out"), SP_OK) << err_.message;
  EXPECT_GT(GoToPlaces(scratch_ / "in", raw), 15u);
  EXPECT_EQ(GoToPlaces(scratch_ / "out", raw), 0u);
}

// What does not fit the file is as if it were not there.
TEST_F(Reframe, OtherTablesAreNotBelieved) {
  const std::string raw = Lines();
  WriteFile(scratch_ / "in", raw);
  ASSERT_EQ(Make(scratch_ / "in", scratch_ / "out"), SP_OK) << err_.message;
  const std::string whole = ReadFile(scratch_ / "out");
  const size_t end = whole.size(), frames = static_cast<unsigned char>(whole[end - 9]);
  const size_t table = end - 9 - 12 * frames;
  ASSERT_EQ(frames, 5u);
  const std::vector<std::pair<const char *, std::function<void(std::string &)>>> harms = {
      {"another magic at the end", [&](std::string &s) { s[end - 1] ^= 1; }},
      {"reserved bits", [&](std::string &s) { s[end - 5] ^= 4; }},
      {"no checksums", [&](std::string &s) { s[end - 5] ^= static_cast<char>(0x80); }},
      {"one frame more", [&](std::string &s) { s[end - 9]++; }},
      {"no frame", [&](std::string &s) { s[end - 9] = 0; }},
      {"more frames than bytes", [&](std::string &s) { s[end - 6] = '\xff'; }},
      {"another magic at the beginning", [&](std::string &s) { s[table - 8] ^= 1; }},
      {"another size", [&](std::string &s) { s[table - 4] ^= 1; }},
      {"a frame of another size", [&](std::string &s) { s[table] ^= 1; }},
      {"no table", [&](std::string &s) { s.resize(table - 8); }},
  };
  for (const auto &harm : harms) {
    std::string harmed = whole;
    harm.second(harmed);
    // A skippable frame of another size ends elsewhere: what is before it is read all the same.
    WriteFile(scratch_ / "harmed", harmed);
    EXPECT_GT(GoToPlaces(scratch_ / "harmed", raw), 15u) << harm.first;
  }
}

TEST_F(Reframe, FailuresLeaveNothing) {
  WriteFile(scratch_ / "in", Zstd(Lines()).substr(0, 1000));
  EXPECT_EQ(Make(scratch_ / "in", scratch_ / "out"), SP_EINPUT);
  EXPECT_FALSE(may_go_on_);
  EXPECT_EQ(Make(scratch_ / "none", scratch_ / "out"), SP_EIO);
  EXPECT_FALSE(may_go_on_);
  WriteFile(scratch_ / "in", Lines());
  EXPECT_EQ(Make(scratch_ / "in", scratch_ / "none/out"), SP_EIO);
  EXPECT_TRUE(may_go_on_);
  EXPECT_EQ(Make(scratch_ / "in", scratch_ / "out", true), SP_EINTERRUPTED);
  EXPECT_FALSE(may_go_on_);
  WriteFile(scratch_ / "in", Lines() + "more");
  EXPECT_EQ(Make(scratch_ / "in", scratch_ / "out", false, false), SP_EINPUT);
  EXPECT_NE(std::string(err_.message).find("changed"), std::string::npos) << err_.message;
  EXPECT_EQ(FilesThere(), 1u);
}

// Another worker may have made it, and others read it by now.
TEST_F(Reframe, OneThatIsThereStays) {
  WriteFile(scratch_ / "in", Lines());
  ASSERT_EQ(Make(scratch_ / "in", scratch_ / "first"), SP_OK) << err_.message;
  fs::create_hard_link(scratch_ / "first", scratch_ / "out");
  sp_reframe_rules rules = {};
  const std::string from = scratch_ / "in", to = scratch_ / "out";
  rules.from = from.c_str();
  rules.to = to.c_str();
  rules.xxh128 = digest_.xxh128;
  EXPECT_EQ(sp_reframe(&rules, &may_go_on_, &err_), SP_OK) << err_.message;
  EXPECT_EQ(fs::hard_link_count(to), 2u);
  EXPECT_EQ(FilesThere(), 3u);
}

}  // namespace
