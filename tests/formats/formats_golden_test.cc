// The files of tests/golden/formats: each good one gives its own lines, each bad one its reason.
#include <gtest/gtest.h>

#include <filesystem>
#include <map>

#include "archive_copy.h"
#include "scratch.h"

namespace {

namespace fs = std::filesystem;

const std::string kGolden = SP_SOURCE_DIR "/tests/golden/formats/";

sp_archive_options Options(const std::string &format) {
  sp_archive_options options = {};
  EXPECT_EQ(sp_archive_format_parse(format.c_str(), &options.format, nullptr), SP_OK) << format;
  options.beam_size = format == "nemo-tsv" ? 2 : 0;
  return options;
}

struct Good {
  const char *file, *format, *expected, *tsv;
};

TEST(GoodFormats, GiveTheirOwnLines) {
  const Good cases[] = {
      {"own.jsonl", "auto", "own", nullptr},
      {"mlm.json", "auto", "mlm", nullptr},
      {"espnet1.json", "auto", "espnet1", nullptr},
      {"kaldi.words_text", "kaldi", "kaldi", nullptr},
      {"nemo.json", "auto", "nemo", nullptr},
      {"nemo.tsv", "nemo-tsv", "nemo-tsv", nullptr},
      {"hyporadise.json", "auto", "hyporadise", nullptr},
      {"moses.nbest", "auto", "moses", nullptr},
      {"fairseq.out", "fairseq", "fairseq", nullptr},
      {"columns.tsv", "tsv", "tsv", "id=1,text=2,score=3,ref=4,header"},
      {"sclite.trn", "trn", "trn", nullptr},
      {"kaldi.text", "kaldi-text", "kaldi-text", nullptr},
      {"plain.txt", "auto", "text", nullptr},
  };
  for (const Good &c : cases) {
    sp_archive_options options = Options(c.format);
    options.tsv = c.tsv;
    sp_test::Scratch scratch;
    sp_archive_writer_options output = {};
    output.format = SP_FORMAT_JSONL;
    output.strict = true;
    sp_test::Copied copied =
        sp_test::CopyArchive(kGolden + "good/" + c.file, options, scratch / "out", output);
    ASSERT_EQ(copied.status, SP_OK) << copied.message;
    EXPECT_EQ(sp_test::ReadFile(scratch / "out"),
              sp_test::ReadFile(kGolden + "good/" + c.expected + ".expected"))
        << c.file;
  }
}

// File, and what its message says after the file's path.
const std::map<std::string, std::string> kMessages = {
    {"espnet1.rec-text-missing.json", ":3: utterance b: rec_text of output 1 is missing"},
    {"espnet1.refs-differ.json", ":2: utterance a: the text of output 2 is another"},
    {"espnet1.output-not-array.json", ":2: utterance a: output is not an array"},
    {"espnet1.other-member.json", ":3: the document has another member"},
    {"espnet1.truncated.json", ":3: the file ends early"},
    {"kaldi.no-number.text", ":2: utterance a: the first word is no utt-n"},
    {"kaldi.gap.text", ":1: utterance a: of 2 hypotheses one is number 3"},
    {"kaldi.twice.text", ":2: utterance b: hypothesis 1 is given twice"},
    {"kaldi.leading-zero.text", ":1: the first word is no utt-n"},
    {"nemo.beam-of-three.json", ":2: beam 1 is not [text, score]"},
    {"nemo.beams-missing.json", ":1: beams is missing"},
    {"nemo.id-missing.json", ":1: audio_filepath is missing"},
    {"nemo.score-string.json", ":1: beam 1 has a score that is not a number"},
    {"nemo-tsv.short.tsv", ":3: utterance 2: the file ends after 1 of its 2 lines"},
    {"nemo-tsv.tab-missing.tsv", ":2: utterance 1: the line has no tab"},
    {"nemo-tsv.nan.tsv", ":2: utterance 1: score 'nan' is not a finite number"},
    {"hyporadise.input-missing.json", ":2: input is missing"},
    {"hyporadise.score-length.json", ":1: utterance 1: score and input are not of one length"},
    {"hyporadise.score-string.json", ":1: utterance 1: score of hypothesis 1 is not a number"},
    {"hyporadise.text-number.json", ":2: utterance 2: input 1 is not a string"},
    {"hyporadise.id-fraction.json", ":1: id is neither a string nor a whole number"},
    {"moses.three-fields.nbest", ":2: utterance 0: the line is no 'id ||| text"},
    {"moses.infinity.nbest", ":1: utterance 0: feature value '-inf' is not a finite number"},
    {"moses.feature-twice.nbest", ":1: utterance 0: F of hypothesis 1 is given twice"},
    {"moses.total-missing.nbest", ":1: utterance 0: the total '' is not a finite number"},
    {"fairseq.score.out", ":2: utterance 2: score 'x' is not a finite number"},
    {"fairseq.d-first.out", ":1: utterance 1: a D- line before the first H- line"},
    {"fairseq.spaces.out", ":1: no tab behind the sentence number"},
    {"fairseq.refs-differ.out", ":3: utterance 1: the reference differs"},
    {"tsv.text-missing.tsv", ":2: utterance b: column 2, the text, is missing"},
    {"tsv.score.tsv", ":1: utterance a: score '-1x' is not a finite number"},
    {"tsv.refs-differ.tsv", ":2: utterance a: the reference differs"},
    {"tsv.id-empty.tsv", ":1: the utterance id is empty"},
    {"trn.id-missing.trn", ":2: the line does not end in (id)"},
    {"trn.open-missing.trn", ":1: ')' without '('"},
    {"trn.id-empty.trn", ":1: the utterance id is empty"},
    {"kaldi-text.id-empty.text", ":2: the utterance id is empty"},
    {"kaldi-text.utf8.text", ":2: invalid UTF-8 at byte 3"},
    {"jsonl.component-twice.jsonl", ":1: ctc of hypothesis 1 is given twice"},
    {"jsonl.rank-negative.jsonl", ":1: i of hypothesis 1 is no rank"},
    {"jsonl.field-twice.jsonl", ":1: x is given twice"},
};

TEST(BadFormats, AreRefusedForTheirDefect) {
  size_t seen = 0;
  for (const auto &entry : fs::directory_iterator(kGolden + "bad")) {
    std::string name = entry.path().filename().string(), path = entry.path().string();
    auto expected = kMessages.find(name);
    ASSERT_NE(expected, kMessages.end()) << path;
    sp_test::Scratch scratch;
    sp_archive_writer_options output = {};
    output.format = SP_FORMAT_JSONL;
    sp_test::Copied copied = sp_test::CopyArchive(path, Options(name.substr(0, name.find('.'))),
                                                  scratch / "out", output);
    EXPECT_EQ(copied.status, SP_EINPUT) << path;
    EXPECT_EQ(copied.message.rfind(path + expected->second, 0), 0u) << copied.message;
    EXPECT_TRUE(fs::is_empty(scratch.path())) << "something of the output stayed";
    seen++;
  }
  EXPECT_EQ(seen, kMessages.size());
}

}  // namespace
