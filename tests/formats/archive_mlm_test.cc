#include <gtest/gtest.h>

#include "archive_read.h"

namespace {

using sp_test::Archive;
using sp_test::Hyp;
using sp_test::ReadBytes;

TEST(ArchiveMlm, HypothesesComeByRankWhateverTheKeyOrder) {
  std::string members;
  for (int k = 12; k >= 1; k--) {
    members += "\"hyp_" + std::to_string(k) + "\":{\"score\":-" + std::to_string(k) +
               ",\"text\":\"t" + std::to_string(k) + "\"},";
  }
  Archive archive = ReadBytes("{\"u\":{" + members + "\"ref\":\"r\",\"duration\":3.5}}");
  ASSERT_EQ(archive.status, SP_OK) << archive.message;
  EXPECT_EQ(archive.format, SP_FORMAT_MLM);
  ASSERT_EQ(archive.utts.size(), 1u);
  EXPECT_EQ(archive.utts[0].ref, "r");
  ASSERT_EQ(archive.utts[0].hyps.size(), 12u);
  for (int k = 1; k <= 12; k++) {
    EXPECT_EQ(archive.utts[0].hyps[static_cast<size_t>(k) - 1],
              (Hyp{"t" + std::to_string(k), -1.0 * k}));
  }
}

TEST(ArchiveMlm, UtterancesKeepFileOrderAndOddIds) {
  Archive archive = ReadBytes(
      "{\n\"z--1\": {\"hyp_1\": {\"text\": \"a\"}},\n\"a \\u00e9\": {\"hyp_1\": {\"text\": \"\", "
      "\"score\": null}},\n\"m\": {\"ref\": null, \"hyp_x\": 3}\n}\n");
  ASSERT_EQ(archive.status, SP_OK) << archive.message;
  ASSERT_EQ(archive.utts.size(), 3u);
  EXPECT_EQ(archive.utts[0].id, "z--1");
  EXPECT_EQ(archive.utts[0].place, "mem:2");
  EXPECT_EQ(archive.utts[1].id, "a \xc3\xa9");
  EXPECT_EQ(archive.utts[1].hyps, (std::vector<Hyp>{{"", std::nullopt}}));
  EXPECT_EQ(archive.utts[2].id, "m");
  EXPECT_EQ(archive.utts[2].place, "mem:4");
  EXPECT_TRUE(archive.utts[2].hyps.empty());
  EXPECT_EQ(archive.utts[2].ref, std::nullopt);
}

TEST(ArchiveMlm, ManyUtterancesOnOneLine) {
  std::string doc = "{";
  for (int i = 0; i < 20000; i++) {
    doc += (i ? "," : "") + std::string("\"u") + std::to_string(i) +
           "\":{\"hyp_1\":{\"score\":-1.25,\"text\":\"some \\\"quoted\\\" words\"}}";
  }
  Archive archive = ReadBytes(doc + "}");
  ASSERT_EQ(archive.status, SP_OK) << archive.message;
  ASSERT_EQ(archive.utts.size(), 20000u);
  for (size_t i = 0; i < archive.utts.size(); i++) {
    ASSERT_EQ(archive.utts[i].id, "u" + std::to_string(i));
    ASSERT_EQ(archive.utts[i].hyps, (std::vector<Hyp>{{"some \"quoted\" words", -1.25}}));
  }
}

TEST(ArchiveMlm, EveryCutIsBadInput) {
  std::string doc = "{\n\"u1\": {\"hyp_1\": {\"text\": \"x\"}},\n\"u2\": {\"ref\": \"y\"}\n}";
  for (size_t len = 1; len < doc.size(); len++) {
    Archive archive = ReadBytes(doc.substr(0, len), SP_FORMAT_MLM);
    EXPECT_EQ(archive.status, SP_EINPUT) << len;
    EXPECT_EQ(archive.message.rfind("mem:", 0), 0u) << archive.message;
  }
}

TEST(ArchiveMlm, RanksBeyondAnyListAreRefused) {
  for (std::string key : {"hyp_2", "hyp_0", "hyp_01", "hyp_99999999999999999999"}) {
    Archive archive = ReadBytes("{\"u\":{\"" + key + "\":{\"text\":\"x\"}}}", SP_FORMAT_MLM);
    EXPECT_EQ(archive.status, SP_EINPUT) << key;
    EXPECT_NE(archive.message.find("mem:1: utterance u: hyp_"), std::string::npos)
        << archive.message;
  }
}

TEST(ArchiveMlm, DocumentsOfAnotherShapeAreRefused) {
  EXPECT_EQ(ReadBytes("[{\"u\":{\"hyp_1\":{\"text\":\"x\"}}}]", SP_FORMAT_MLM).message,
            "mem:1: a JSON object is expected");
  EXPECT_EQ(ReadBytes("{\"u\":[]}", SP_FORMAT_MLM).message,
            "mem:1: utterance u: not an object of hypotheses");
}

}  // namespace
