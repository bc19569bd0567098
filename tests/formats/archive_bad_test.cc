// Every file of tests/golden/bad/archive is refused for its one defect.
#include <gtest/gtest.h>

#include <filesystem>
#include <map>

#include "archive_read.h"

namespace {

// File, and what its message says after the file's path.
const std::map<std::string, std::string> kMessages = {
    {"brace-missing.jsonl", ":2: the value ends early"},
    {"colon-missing.jsonl", ":2: ':' is expected after a key"},
    {"escape-unknown.jsonl", ":1: unknown escape in a string"},
    {"hyp-not-object.jsonl", ":1: hypothesis 1 is not an object"},
    {"hyps-missing.jsonl", ":1: hyps is missing"},
    {"hyps-not-array.jsonl", ":1: hyps is not an array"},
    {"hyps-twice.jsonl", ":1: hyps is given twice"},
    {"id-control.jsonl", ":1: the utterance id holds a control character"},
    {"id-empty.jsonl", ":1: the utterance id is empty"},
    {"id-missing.jsonl", ":2: id is missing"},
    {"id-nul.jsonl", ":1: the utterance id holds a control character"},
    {"id-number.jsonl", ":1: id is not a string"},
    {"id-surrogate.jsonl", ":1: "},
    {"id-twice.jsonl", ":1: id is given twice"},
    {"line-break-in-string.jsonl", ":1: the value ends inside a string"},
    {"nested-too-deep.jsonl", ":1: objects and arrays are nested too deep"},
    {"ref-number.jsonl", ":1: ref is not a string"},
    {"score-infinity.jsonl", ":1: -Infinity is not a JSON number"},
    {"score-nan.jsonl", ":3: NaN is not a JSON number"},
    {"score-out-of-range.jsonl", ":1: a number is out of range"},
    {"score-string.jsonl", ":1: score of hypothesis 1 is not a number"},
    {"score-twice.jsonl", ":1: score of hypothesis 1 is given twice"},
    {"text-missing.jsonl", ":1: text of hypothesis 2 is missing"},
    {"text-null.jsonl", ":1: text of hypothesis 1 is not a string"},
    {"text-surrogate.jsonl", ":1: "},
    {"trailing-comma.jsonl", ":1: a string is expected"},
    {"two-values.jsonl", ":1: something follows the end of the JSON value"},
    {"utf8.jsonl", ":1: invalid UTF-8"},
    {"truncated.jsonl.zst", ": the zstd data ends early, at byte offset "},
    {"truncated.jsonl.gz", ": the gzip data ends early, at byte offset "},
    {"garbage-behind.jsonl.zst", ": the zstd data is corrupt at or after byte offset "},
    {"garbage-behind.jsonl.gz", ": the gzip data is corrupt at or after byte offset "},
    {"array.json", ": a JSON array"},
    {"other.json", ": JSON, but neither"},
    {"comma-missing.json", ":3: ',' or '}' is expected"},
    {"garbage-behind.json", ":5: something follows the end of the JSON document"},
    {"gap.json", ":3: utterance u2: hyp_2 is missing"},
    {"hyp-0.json", ":3: utterance u2: hyp_0: "},
    {"hyp-list.json", ":3: utterance u2: score of hypothesis 1 is not a number"},
    {"hyp-twice.json", ":3: utterance u2: hyp_1 is given twice"},
    {"id-empty.json", ":3: the utterance id is empty"},
    {"line-break-in-string.json", ":3: a line break inside a string"},
    {"nan.json", ":5: NaN is not a JSON number"},
    {"ref-twice.json", ":3: utterance u2: ref is given twice"},
    {"text-missing.json", ":3: utterance u2: text of hypothesis 1 is missing"},
    {"truncated.json", ":3: the file ends inside a string"},
    {"truncated-between.json", ":3: the file ends early"},
    {"utf8.json", ":3: invalid UTF-8"},
    {"utt-not-object.json", ":3: utterance u2: not an object of hypotheses"},
    {"binary.txt", ":2: invalid UTF-8"},
    {"nul.txt", ":3: a NUL byte at byte 3"},
    {"utf8.txt", ":3: invalid UTF-8 at byte 3"},
    {"utf16.txt", ":1: "},
};

TEST(BadArchives, AreRefusedForTheirDefect) {
  std::filesystem::path folder = SP_SOURCE_DIR "/tests/golden/bad/archive";
  size_t seen = 0;
  for (const auto &entry : std::filesystem::directory_iterator(folder)) {
    std::string path = entry.path().string();
    auto expected = kMessages.find(entry.path().filename().string());
    ASSERT_NE(expected, kMessages.end()) << path;
    sp_test::Archive archive = sp_test::ReadPaths({path});
    EXPECT_EQ(archive.status, SP_EINPUT) << path;
    EXPECT_EQ(archive.message.rfind(path + expected->second, 0), 0u) << archive.message;
    seen++;
  }
  EXPECT_EQ(seen, kMessages.size());
}

TEST(Sample, IsReadable) {
  sp_test::Archive archive =
      sp_test::ReadPaths({SP_SOURCE_DIR "/bench/data/dev-clean-200.jsonl.zst"});
  ASSERT_EQ(archive.status, SP_OK) << archive.message;
  ASSERT_EQ(archive.utts.size(), 200u);
  for (const sp_test::Utt &utt : archive.utts) {
    EXPECT_TRUE(utt.ref && !utt.ref->empty()) << utt.id;
    ASSERT_EQ(utt.hyps.size(), 10u) << utt.id;
    for (const sp_test::Hyp &hyp : utt.hyps)
      EXPECT_TRUE(hyp.score && *hyp.score < 0) << utt.id;
  }
}

}  // namespace
