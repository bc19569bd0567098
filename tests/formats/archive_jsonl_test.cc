#include <gtest/gtest.h>

#include "archive_read.h"

namespace {

using sp_test::Archive;
using sp_test::Hyp;
using sp_test::ReadBytes;

TEST(ArchiveJsonl, ReadsAllFields) {
  Archive archive = ReadBytes(
      R"({"x":[{"id":1}],"hyps":[{"score":-1.5,"text":" a","ctc":-3},{"text":"","score":null}],)"
      R"("ref":"a b","id":"u 1/--\"é\\"})"
      "\n \t\r\n"
      R"({"id":"u2","ref":null,"hyps":[]})"
      "\r\n"
      R"({"id":"u3","hyps":[{"text":"x\u0000y","score":7}]})");
  ASSERT_EQ(archive.status, SP_OK) << archive.message;
  EXPECT_EQ(archive.format, SP_FORMAT_JSONL);
  ASSERT_EQ(archive.utts.size(), 3u);
  EXPECT_EQ(archive.utts[0].id, "u 1/--\"\xc3\xa9\\");
  EXPECT_EQ(archive.utts[0].ref, "a b");
  EXPECT_EQ(archive.utts[0].hyps, (std::vector<Hyp>{{" a", -1.5}, {"", std::nullopt}}));
  EXPECT_EQ(archive.utts[1].ref, std::nullopt);
  EXPECT_TRUE(archive.utts[1].hyps.empty());
  EXPECT_EQ(archive.utts[1].place, "mem:3");
  EXPECT_EQ(archive.utts[2].hyps, (std::vector<Hyp>{{std::string("x\0y", 3), 7.0}}));
}

TEST(ArchiveJsonl, HugeHypothesesAndLists) {
  std::string words, list;
  for (int i = 0; i < 100000; i++)
    words += "word ";
  for (int i = 0; i < 5000; i++) {
    list += (i ? "," : "") + std::string("{\"text\":\"h") + std::to_string(i) + "\"}";
  }
  Archive archive = ReadBytes("{\"id\":\"a\",\"hyps\":[{\"text\":\"" + words +
                              "\"}]}\n{\"id\":\"b\",\"hyps\":[" + list + "]}\n");
  ASSERT_EQ(archive.status, SP_OK) << archive.message;
  EXPECT_EQ(archive.utts[0].hyps[0].text, words);
  ASSERT_EQ(archive.utts[1].hyps.size(), 5000u);
  EXPECT_EQ(archive.utts[1].hyps[4999].text, "h4999");
}

TEST(ArchiveJsonl, ALineOverTheCeilingIsBadInput) {
  std::string line =
      "{\"id\":\"a\",\"hyps\":[],\"x\":\"" + std::string(SP_RECORD_CEILING, 'x') + "\"}";
  Archive archive = ReadBytes(line, SP_FORMAT_JSONL);
  EXPECT_EQ(archive.status, SP_EINPUT);
  EXPECT_EQ(archive.message, "mem:1: the line is longer than 67108864 bytes");
}

TEST(ArchiveJsonl, EveryCutIsBadInput) {
  std::string line = R"({"id":"a","hyps":[{"text":"x"}]})";
  for (size_t len = 1; len < line.size(); len++) {
    Archive archive = ReadBytes(line.substr(0, len), SP_FORMAT_JSONL);
    EXPECT_EQ(archive.status, SP_EINPUT) << len;
    EXPECT_EQ(archive.message.rfind("mem:1: ", 0), 0u) << archive.message;
  }
}

}  // namespace
