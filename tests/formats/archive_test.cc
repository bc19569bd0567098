#include "archive.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "archive_read.h"
#include "scratch.h"

namespace {

using sp_test::Archive;
using sp_test::ReadBytes;
using sp_test::ReadPaths;

const std::string kLine = R"({"id":"a","hyps":[{"text":"x"}]})";
const std::string kMlm = R"({"a":{"hyp_1":{"text":"x","score":-1}}})";

TEST(ArchiveFormat, NamesRoundTrip) {
  for (int i = 0; i <= SP_FORMAT_TEXT; i++) {
    auto format = static_cast<sp_archive_format>(i);
    sp_archive_format parsed;
    ASSERT_EQ(sp_archive_format_parse(sp_archive_format_name(format), &parsed, nullptr), SP_OK);
    EXPECT_EQ(parsed, format);
  }
  sp_archive_format parsed;
  sp_error err = {};
  EXPECT_EQ(sp_archive_format_parse("xml", &parsed, &err), SP_EUSAGE);
  EXPECT_NE(std::string(err.message).find("jsonl"), std::string::npos);
}

TEST(ArchiveDetect, TellsFormatsApart) {
  struct {
    std::string bytes;
    sp_archive_format format;
  } cases[] = {
      {kLine + "\n" + kLine + "\n", SP_FORMAT_JSONL},
      {"\n  \n" + kLine, SP_FORMAT_JSONL},
      {"\xef\xbb\xbf" + kLine, SP_FORMAT_JSONL},
      {R"({"meta":{"x":1},"hyps":[],"id":"a"})", SP_FORMAT_JSONL},
      {kMlm, SP_FORMAT_MLM},
      {"{\n\"id\":{\"ref\":\"x\"}}", SP_FORMAT_MLM},  // an utterance named id
      {"{\n\n\"a\":\n{}}", SP_FORMAT_MLM},
      {"{}", SP_FORMAT_MLM},
      {R"({"text":"x","beams":[["x",-1]],"audio_filepath":"a"})", SP_FORMAT_NEMO},
      {R"({"utts": {"a":{"output":[]}}})", SP_FORMAT_ESPNET1},
      {R"({"utts":{"hyp_1":{"text":"x"}}})", SP_FORMAT_MLM},  // an utterance named utts
      {R"([ {"output":"x","input":["x"]}])", SP_FORMAT_HYPORADISE},
      {"0 ||| x ||| F= 1 ||| -1\n", SP_FORMAT_MOSES},
      {"0 ||| x\n", SP_FORMAT_TEXT},
      {"S-0\tx\nH-0\t-1\ty\n", SP_FORMAT_FAIRSEQ},
      {"S-0 x\n", SP_FORMAT_TEXT},
      {"hello world\n", SP_FORMAT_TEXT},
      {"[noise] hello\n", SP_FORMAT_TEXT},
      {"\"quoted\"\n", SP_FORMAT_TEXT},
      {"", SP_FORMAT_TEXT},
  };
  for (const auto &c : cases) {
    Archive archive = ReadBytes(c.bytes);
    EXPECT_EQ(archive.status, SP_OK) << c.bytes << ": " << archive.message;
    EXPECT_EQ(archive.format, c.format) << c.bytes;
  }
}

TEST(ArchiveDetect, LooksBehindLongFirstMembers) {
  std::string words(300 * 1000, 'x');
  EXPECT_EQ(ReadBytes("{\"a\":{\"hyp_1\":{\"text\":\"" + words + "\"}}}").format, SP_FORMAT_MLM);
  EXPECT_EQ(ReadBytes("{\"note\":\"" + words + "\",\"id\":\"a\",\"hyps\":[]}").format,
            SP_FORMAT_JSONL);
}

TEST(ArchiveDetect, RefusesOtherJsonWithAHint) {
  for (std::string bytes : {R"({"text":"x","nbest":[["x",-1.0]]})", R"([{"inputs":["x"]}])",
                            R"([ ["x"] ])", "{\"audio\":\"a.wav\"}\n{\"audio\":\"b.wav\"}\n"}) {
    Archive archive = ReadBytes(bytes);
    EXPECT_EQ(archive.status, SP_EINPUT) << bytes;
    EXPECT_NE(archive.message.find("--format"), std::string::npos) << archive.message;
  }
  EXPECT_EQ(ReadBytes("[ [\"x\"] ]", SP_FORMAT_TEXT).status, SP_OK);
}

TEST(ArchiveDetect, ForeignPackingIsNamed) {
  Archive archive = ReadBytes(
      "\xfd"
      "7zXZ" +
      std::string("\0junk", 5));
  EXPECT_EQ(archive.status, SP_EINPUT);
  EXPECT_NE(archive.message.find("zstd or gzip"), std::string::npos) << archive.message;
}

TEST(Archive, ReadsSeveralFilesInOrder) {
  sp_test::Scratch scratch;
  sp_test::WriteFile(scratch / "1", R"({"id":"a","hyps":[]})"
                                    "\n");
  sp_test::WriteFile(scratch / "2",
                     "\n"
                     R"({"id":"b","hyps":[]})");
  sp_test::WriteFile(scratch / "3", "");
  Archive archive = ReadPaths({scratch / "1", scratch / "2", scratch / "3"});
  ASSERT_EQ(archive.status, SP_OK) << archive.message;
  ASSERT_EQ(archive.utts.size(), 2u);
  EXPECT_EQ(archive.utts[0].place, scratch / "1:1");
  EXPECT_EQ(archive.utts[1].id, "b");
  EXPECT_EQ(archive.utts[1].place, scratch / "2:2");
  ASSERT_EQ(archive.files.size(), 3u);
  EXPECT_EQ(archive.files[1].first, scratch / "2");
  EXPECT_EQ(archive.files[1].second.bytes, 21u);
}

TEST(Archive, FilesAreTheSameWhenReadInPart) {
  sp_test::Scratch scratch;
  std::string text;
  for (int i = 0; i < 100000; i++)
    text += "some words\n";
  sp_test::WriteFile(scratch / "1", text);
  sp_test::WriteFile(scratch / "2", "more words\n");
  Archive whole = ReadPaths({scratch / "1", scratch / "2"});
  Archive part = ReadPaths({scratch / "1", scratch / "2"}, SP_FORMAT_AUTO, 3);
  ASSERT_EQ(whole.utts.size(), 100001u);
  ASSERT_EQ(part.utts.size(), 3u);
  ASSERT_EQ(part.files.size(), 2u);
  for (size_t i = 0; i < 2; i++) {
    EXPECT_STREQ(part.files[i].second.xxh128, whole.files[i].second.xxh128);
    EXPECT_EQ(part.files[i].second.bytes, whole.files[i].second.bytes);
  }
}

TEST(Archive, BadPathsAreToldAtOnce) {
  sp_test::Scratch scratch;
  sp_test::WriteFile(scratch / "1", kLine);
  EXPECT_EQ(ReadPaths({scratch / "1", scratch / "none"}).status, SP_EIO);
  EXPECT_EQ(ReadPaths({}).status, SP_EUSAGE);
  EXPECT_EQ(ReadPaths({"-", "-"}).status, SP_EUSAGE);
  EXPECT_EQ(ReadPaths({scratch / "1", scratch.path()}).status, SP_EUSAGE);
  EXPECT_EQ(ReadPaths({scratch.path()}, SP_FORMAT_JSONL).status, SP_EUSAGE);
  EXPECT_EQ(ReadPaths({scratch / "1"}, SP_FORMAT_ESPNET2).status, SP_EUSAGE);
}

TEST(Archive, AFileThatVanishesIsAnIoError) {
  sp_test::Scratch scratch;
  sp_test::WriteFile(scratch / "1", kLine);
  sp_test::WriteFile(scratch / "2", kLine);
  std::string first = scratch / "1", second = scratch / "2";
  const char *paths[] = {first.c_str(), second.c_str()};
  sp_archive *archive = nullptr;
  sp_error err = {};
  ASSERT_EQ(sp_archive_open(paths, 2, SP_FORMAT_AUTO, &archive, &err), SP_OK);
  std::filesystem::remove(second);
  sp_utt utt;
  bool found;
  ASSERT_EQ(sp_archive_next(archive, &utt, &found, &err), SP_OK);
  EXPECT_EQ(sp_archive_next(archive, &utt, &found, &err), SP_EIO);
  EXPECT_NE(std::string(err.message).find(second), std::string::npos);
  sp_archive_close(archive);
}

TEST(ArchiveText, EveryLineIsAnUtterance) {
  sp_test::Scratch scratch;
  sp_test::WriteFile(scratch / "1", "one\r\n\n  three \n");
  sp_test::WriteFile(scratch / "2", "na\xc3\xafve");
  Archive archive = ReadPaths({scratch / "1", scratch / "2"});
  ASSERT_EQ(archive.status, SP_OK) << archive.message;
  EXPECT_EQ(archive.format, SP_FORMAT_TEXT);
  ASSERT_EQ(archive.utts.size(), 4u);
  const char *texts[] = {"one", "", "  three ", "na\xc3\xafve"};
  for (size_t i = 0; i < 4; i++) {
    EXPECT_EQ(archive.utts[i].id, std::to_string(i + 1));
    ASSERT_EQ(archive.utts[i].hyps.size(), 1u);
    EXPECT_EQ(archive.utts[i].hyps[0].text, texts[i]);
    EXPECT_FALSE(archive.utts[i].hyps[0].score || archive.utts[i].ref);
  }
  EXPECT_EQ(archive.utts[3].place, scratch / "2:1");
}

}  // namespace
