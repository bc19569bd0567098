// trn and Kaldi text files.
#include "transcripts.h"

#include <gtest/gtest.h>

#include <string>

namespace sp_test {
namespace {

// "id=text;.." of all lines, or the message.
std::string Read(const std::string &bytes, sp_transcript_format format = SP_TRANSCRIPT_AUTO) {
  sp_source *source = nullptr;
  sp_transcripts *transcripts = nullptr;
  sp_error err = {};
  std::string out;
  EXPECT_EQ(sp_source_open_memory("mem", {bytes.data(), bytes.size()}, &source, &err), SP_OK);
  EXPECT_EQ(sp_transcripts_open_source(source, format, &transcripts, &err), SP_OK);
  for (bool found = true; found;) {
    sp_text id, text;
    if (sp_transcripts_next(transcripts, &id, &text, &found, &err) != SP_OK) {
      EXPECT_EQ(err.status, SP_EINPUT);
      out = err.message;
      break;
    }
    if (found)
      out += std::string(id.data, id.len) + "=" + std::string(text.data, text.len) + ";";
  }
  sp_transcripts_close(transcripts);
  return out;
}

TEST(TranscriptsTest, Trn) {
  EXPECT_EQ(Read("he hoped (a-1)\n\n;; a comment\nthere would be stew  (b-2) \r\n(c-3)\n"),
            "a-1=he hoped;b-2=there would be stew;c-3=;");
  EXPECT_EQ(Read("a (b) c (id)\n"), "id=a (b) c;");
  EXPECT_EQ(Read("\xef\xbb\xbfx (id)"), "id=x;");
}

TEST(TranscriptsTest, Kaldi) {
  EXPECT_EQ(Read("a-1 he hoped\nb-2\tthere would \n\nc-3\n"), "a-1=he hoped;b-2=there would;c-3=;");
  EXPECT_EQ(Read("a-1 he (laughs)\n", SP_TRANSCRIPT_KALDI), "a-1=he (laughs);");
  EXPECT_EQ(Read("a-1 x(y)\n"), "a-1=x(y);") << "no white space before the parenthesis";
}

TEST(TranscriptsTest, Refused) {
  EXPECT_EQ(Read("x (id)\ny\n"), "mem:2: no utterance id in parentheses at the end of the line");
  EXPECT_EQ(Read("x ()\n"), "mem:1: the utterance id is empty");
  EXPECT_EQ(Read("{ a / b } (id)\n"), "mem:1: sclite's alternations { a / b } are not read");
  EXPECT_EQ(Read("a @ (id)\n"), "mem:1: sclite's empty word @ is not read; leave it out");
  EXPECT_EQ(Read(std::string("a b\0c", 5)), "mem:1: a NUL byte: this is not a text file");
  EXPECT_EQ(Read("a \xff\n"), "mem:1: invalid UTF-8");
  EXPECT_EQ(Read("a\x01 b\n"), "mem:1: the utterance id holds a control character");
}

TEST(TranscriptsTest, Empty) {
  EXPECT_EQ(Read(""), "");
}

}  // namespace
}  // namespace sp_test
