#include "source.h"

#include <gtest/gtest.h>
#include <unistd.h>
#include <xxhash.h>

#include <random>
#include <string>
#include <vector>

#include "packed.h"
#include "scratch.h"

namespace {

using sp_test::Gzip;
using sp_test::Zstd;

std::string Skippable(const std::string &content) {
  std::string out = {'\x53', '\x2a', '\x4d', '\x18', static_cast<char>(content.size()), 0, 0, 0};
  return out + content;
}

struct Drained {
  sp_status status;
  std::string bytes, message;
};

// Reads in steps of `step` bytes.
Drained Drain(const std::string &stored, size_t step) {
  sp_source *source = nullptr;
  sp_error err = {};
  Drained out{sp_source_open_memory("mem", {stored.data(), stored.size()}, &source, &err), "", ""};
  std::vector<char> piece(step);
  for (size_t got = 1; out.status == SP_OK && got > 0;) {
    out.status = sp_source_read(source, piece.data(), step, &got, &err);
    if (out.status == SP_OK)
      out.bytes.append(piece.data(), got);
  }
  sp_source_close(source);
  out.message = err.message;
  return out;
}

std::string Noise(size_t size) {
  std::mt19937 random(7);
  std::string out(size, '\0');
  for (char &byte : out)
    byte = static_cast<char>('a' + random() % 16);
  return out;
}

TEST(Source, ReadsPlainZstdAndGzip) {
  std::string raw = Noise(700 * 1000);
  for (size_t step : {1000u, 131072u, 1000000u}) {
    EXPECT_EQ(Drain(raw, step).bytes, raw);
    EXPECT_EQ(Drain(Zstd(raw), step).bytes, raw);
    EXPECT_EQ(Drain(Gzip(raw), step).bytes, raw);
  }
}

TEST(Source, ReadsEmptyInputs) {
  for (const std::string &stored : {std::string(), Zstd(""), Gzip(""), Skippable("note")}) {
    Drained out = Drain(stored, 100);
    EXPECT_EQ(out.status, SP_OK) << out.message;
    EXPECT_EQ(out.bytes, "");
  }
}

TEST(Source, JoinsFramesAndMembersAndSkipsSkippableFrames) {
  EXPECT_EQ(Drain(Zstd("one ") + Skippable("table") + Zstd("two") + Skippable(""), 5).bytes,
            "one two");
  EXPECT_EQ(Drain(Skippable("first") + Zstd("one"), 5).bytes, "one");
  EXPECT_EQ(Drain(Gzip("one ") + Gzip("") + Gzip("two"), 5).bytes, "one two");
}

TEST(Source, EveryTruncationIsBadInput) {
  for (const std::string &stored : {Zstd(Noise(3000)), Gzip(Noise(3000))}) {
    for (size_t len = 4; len < stored.size(); len += len < 40 ? 1 : 37) {
      Drained out = Drain(stored.substr(0, len), 512);
      ASSERT_EQ(out.status, SP_EINPUT) << len;
      ASSERT_NE(out.message.find("mem: "), std::string::npos) << out.message;
      ASSERT_NE(out.message.find("ends early, at byte offset " + std::to_string(len)),
                std::string::npos)
          << out.message;
    }
  }
}

TEST(Source, CorruptGzipNamesTheOffset) {
  std::string stored = Gzip(Noise(400 * 1000));
  stored[stored.size() - 6] = static_cast<char>(stored[stored.size() - 6] ^ 1);  // of its CRC
  Drained out = Drain(stored, 4096);
  EXPECT_EQ(out.status, SP_EINPUT);
  EXPECT_NE(out.message.find("gzip data is corrupt at or after byte offset"), std::string::npos)
      << out.message;
}

TEST(Source, GarbageBehindAFrameIsBadInput) {
  EXPECT_EQ(Drain(Zstd("one") + "garbage", 100).status, SP_EINPUT);
  EXPECT_EQ(Drain(Gzip("one") + "garbage", 100).status, SP_EINPUT);
}

TEST(Source, LinesKeepOrderNumberAndLength) {
  std::string text = "first\r\n\nthird\n" + std::string(600 * 1000, 'x') + "\nlast\r";
  for (const std::string &stored : {text, Zstd(text), Gzip(text)}) {
    sp_source *source = nullptr;
    ASSERT_EQ(sp_source_open_memory("mem", {stored.data(), stored.size()}, &source, nullptr),
              SP_OK);
    std::vector<std::string> lines;
    sp_text line;
    bool found = true;
    while (sp_source_line(source, 1 << 20, &line, &found, nullptr) == SP_OK && found) {
      lines.emplace_back(line.data, line.len);
      EXPECT_EQ(sp_source_line_number(source), lines.size());
    }
    EXPECT_EQ(lines, (std::vector<std::string>{"first", "", "third", std::string(600 * 1000, 'x'),
                                               "last\r"}));
    sp_source_close(source);
  }
}

TEST(Source, LineCeilingIsExact) {
  std::string text = "ab\n12345\n123456\n";
  sp_source *source = nullptr;
  sp_error err = {};
  ASSERT_EQ(sp_source_open_memory("mem", {text.data(), text.size()}, &source, nullptr), SP_OK);
  sp_text line;
  bool found;
  ASSERT_EQ(sp_source_line(source, 5, &line, &found, &err), SP_OK);
  ASSERT_EQ(sp_source_line(source, 5, &line, &found, &err), SP_OK);
  EXPECT_EQ(sp_source_line(source, 5, &line, &found, &err), SP_EINPUT);
  EXPECT_STREQ(err.message, "mem:3: the line is longer than 5 bytes");
  sp_source_close(source);
}

TEST(Source, PeekDoesNotConsumeAndBomIsSkippedOnce) {
  std::string text = "\xef\xbb\xbf\xef\xbb\xbfrest";
  sp_source *source = nullptr;
  ASSERT_EQ(sp_source_open_memory("mem", {text.data(), text.size()}, &source, nullptr), SP_OK);
  ASSERT_EQ(sp_source_skip_bom(source, nullptr), SP_OK);
  sp_text head;
  for (int turn = 0; turn < 2; turn++) {
    ASSERT_EQ(sp_source_peek(source, 100, &head, nullptr), SP_OK);
    EXPECT_EQ(std::string(head.data, head.len), "\xef\xbb\xbfrest");
  }
  char data[100];
  size_t got;
  ASSERT_EQ(sp_source_read(source, data, sizeof data, &got, nullptr), SP_OK);
  EXPECT_EQ(std::string(data, got), "\xef\xbb\xbfrest");
  sp_source_close(source);
}

TEST(Source, DigestIsOfTheStoredBytesWhetherReadOrNot) {
  std::string stored = Zstd(Noise(500 * 1000));
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits(stored.data(), stored.size()));
  std::string expected;
  for (unsigned char byte : canonical.digest) {
    char hex[3];
    snprintf(hex, sizeof hex, "%02x", byte);
    expected += hex;
  }
  for (size_t read : {0u, 10u, 500000u}) {
    sp_source *source = nullptr;
    sp_file_digest digest;
    std::vector<char> data(read + 1);
    size_t got;
    ASSERT_EQ(sp_source_open_memory("mem", {stored.data(), stored.size()}, &source, nullptr),
              SP_OK);
    ASSERT_EQ(sp_source_read(source, data.data(), read, &got, nullptr), SP_OK);
    ASSERT_EQ(sp_source_digest(source, &digest, nullptr), SP_OK);
    EXPECT_EQ(digest.xxh128, expected);
    EXPECT_EQ(digest.bytes, stored.size());
    ASSERT_EQ(sp_source_read(source, data.data(), 1, &got, nullptr), SP_OK);
    EXPECT_EQ(got, 0u);
    sp_source_close(source);
  }
}

TEST(Source, FilesAndTheirFailures) {
  sp_test::Scratch scratch;
  sp_test::WriteFile(scratch / "a", Zstd("from a file\n"));
  sp_source *source = nullptr;
  sp_error err = {};
  ASSERT_EQ(sp_source_open((scratch / "a").c_str(), &source, &err), SP_OK);
  sp_text line;
  bool found;
  ASSERT_EQ(sp_source_line(source, 100, &line, &found, &err), SP_OK);
  EXPECT_EQ(std::string(line.data, line.len), "from a file");
  sp_source_close(source);

  source = nullptr;
  EXPECT_EQ(sp_source_open((scratch / "none").c_str(), &source, &err), SP_EIO);
  EXPECT_NE(std::string(err.message).find("none: No such file"), std::string::npos) << err.message;
  EXPECT_EQ(source, nullptr);

  ASSERT_EQ(sp_source_open(scratch.path().c_str(), &source, &err), SP_OK);
  EXPECT_EQ(sp_source_line(source, 100, &line, &found, &err), SP_EIO);  // a directory
  sp_source_close(source);
}

TEST(Source, ReadsStandardInput) {
  int pipe_ends[2], kept = dup(STDIN_FILENO);
  ASSERT_EQ(pipe(pipe_ends), 0);
  ASSERT_EQ(write(pipe_ends[1], "a\nb\n", 4), 4);
  close(pipe_ends[1]);
  dup2(pipe_ends[0], STDIN_FILENO);
  close(pipe_ends[0]);
  sp_source *source = nullptr;
  sp_text line;
  bool found;
  EXPECT_EQ(sp_source_open("-", &source, nullptr), SP_OK);
  EXPECT_EQ(sp_source_line(source, 100, &line, &found, nullptr), SP_OK);
  EXPECT_EQ(sp_source_line(source, 100, &line, &found, nullptr), SP_OK);
  EXPECT_EQ(std::string(line.data, line.len), "b");
  EXPECT_STREQ(sp_source_path(source), "(standard input)");
  sp_source_close(source);
  dup2(kept, STDIN_FILENO);
  close(kept);
}

TEST(Source, ABombIsStreamed) {
  std::string stored = Zstd(std::string(200 << 20, 'x'));  // 200 MB from a few kB
  sp_source *source = nullptr;
  sp_error err = {};
  sp_text line;
  bool found;
  ASSERT_EQ(sp_source_open_memory("mem", {stored.data(), stored.size()}, &source, nullptr), SP_OK);
  EXPECT_EQ(sp_source_line(source, 1 << 20, &line, &found, &err), SP_EINPUT);
  EXPECT_STREQ(err.message, "mem:1: the line is longer than 1048576 bytes");
  sp_source_close(source);
}

}  // namespace
