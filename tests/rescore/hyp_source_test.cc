// What `wer` reads: trn and Kaldi text told apart, archives, and what is refused.
#include "hyp_source.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "scratch.h"

namespace sp_test {
namespace {

class HypSourceTest : public ::testing::Test {
 protected:
  std::string Path(const std::string &name) const {
    return scratch_ / name;
  }
  // "id=text;.." of the first hypotheses, or the message without the scratch folder.
  std::string ReadFiles(const std::vector<std::string> &names,
                        sp_archive_format format = SP_FORMAT_AUTO) {
    std::vector<std::string> paths;
    std::vector<const char *> operands;
    for (const std::string &name : names)
      paths.push_back(Path(name));
    for (const std::string &path : paths)
      operands.push_back(path.c_str());
    sp_archive_options options = {};
    options.format = format;
    sp_hyp_source *source = nullptr;
    sp_error err = {};
    std::string out;
    status_ = sp_hyp_source_open(operands.data(), operands.size(), &options, &source, &err);
    if (status_ == SP_OK)
      out = ReadOpen(source, &err);
    if (status_ != SP_OK)
      out = std::string(err.message).replace(0, scratch_.path().size() + 1, "");
    return out;
  }
  std::string Read(const std::string &bytes, sp_archive_format format = SP_FORMAT_AUTO) {
    WriteFile(Path("f"), bytes);
    return ReadFiles({"f"}, format);
  }
  sp_status status_ = SP_OK;
  bool is_text_ = false;

 private:
  std::string ReadOpen(sp_hyp_source *source, sp_error *err) {
    std::string out;
    sp_utt utt;
    bool found = true;
    is_text_ = sp_hyp_source_is_text(source);
    while ((status_ = sp_hyp_source_next(source, &utt, &found, err)) == SP_OK && found) {
      const sp_text text = utt.n_hyps > 0 ? utt.hyps[0].text : sp_text{"", 0};
      out += std::string(utt.id.data, utt.id.len) + "=" + std::string(text.data, text.len) + ";";
    }
    sp_hyp_source_close(source);
    return out;
  }
  Scratch scratch_;
};

TEST_F(HypSourceTest, Trn) {
  EXPECT_EQ(Read("he hoped (a-1)\n\n;; a comment\nthere would be stew (b-2) \r\n(c-3)\n"),
            "a-1=he hoped;b-2=there would be stew;c-3=;");
  EXPECT_TRUE(is_text_);
  EXPECT_EQ(Read("a (b) c (id)\n"), "id=a (b) c;");
  EXPECT_EQ(Read("\xef\xbb\xbfx (id)"), "id=x;");
  EXPECT_EQ(Read("[noise] x (id)\n"), "id=[noise] x;");
  EXPECT_EQ(Read("\n;; the first (line)\n" + std::string(5000, ' ') + "\nx (id)\n"), "id=x;");
  EXPECT_EQ(Read(std::string(70000, 'x') + " (id)\n").size(), 70004u)
      << "the line goes on behind the first look";
}

TEST_F(HypSourceTest, Kaldi) {
  EXPECT_EQ(Read("a-1 he hoped\nb-2\tthere would\n\nc-3\n"), "a-1=he hoped;b-2=there would;c-3=;");
  EXPECT_TRUE(is_text_);
  EXPECT_EQ(Read("a-1 x(y)\n"), "a-1=x(y);") << "no white space before the parenthesis";
  EXPECT_EQ(Read("a-1 he (well laughs)\n"), "a-1=he (well laughs);") << "no id has a space";
  EXPECT_EQ(Read("a-1 he (laughs)\n", SP_FORMAT_KALDI_TEXT), "a-1=he (laughs);");
  EXPECT_EQ(Read("a-1 @ { x }\n"), "a-1=@ { x };") << "markup of trn alone";
}

TEST_F(HypSourceTest, SeveralFilesAndNone) {
  WriteFile(Path("blank"), " \n\n");
  WriteFile(Path("one"), "x (a)\n");
  WriteFile(Path("two"), "y (b)\n");
  EXPECT_EQ(ReadFiles({"blank", "one", "two"}), "a=x;b=y;");
  EXPECT_EQ(ReadFiles({"blank"}), "");
  EXPECT_EQ(Read(""), "");
  EXPECT_EQ(Read(";; nothing but a comment\n"), "");
}

TEST_F(HypSourceTest, Archives) {
  EXPECT_EQ(Read("{\"id\":\"a\",\"hyps\":[{\"text\":\"x @\"}]}\n"), "a=x @;");
  EXPECT_FALSE(is_text_);
  EXPECT_EQ(Read("0 ||| x ||| F= 1 ||| -1\n"), "0=x;");
}

TEST_F(HypSourceTest, Refused) {
  EXPECT_EQ(Read("x (id)\ny\n"), "f:2: the line does not end in (id)");
  EXPECT_EQ(Read("x ()\n"), "f:1: the utterance id is empty");
  EXPECT_EQ(Read("x (a)\nuh { a / b } (id)\n"),
            "f:2: sclite's alternations { a / b } are not read");
  EXPECT_EQ(Read("a @ (id)\n"), "f:1: sclite's empty word @ is not read; leave it out");
  EXPECT_EQ(status_, SP_EINPUT);
  EXPECT_EQ(Read(std::string("a b\0c", 5)),
            "f:1: a NUL byte at byte 4 of the line: this is not plain text");
  EXPECT_EQ(Read("a \xff\n"), "f:1: invalid UTF-8 at byte 3 of the line");
  EXPECT_EQ(Read("a\x01 b\n"), "f:1: the utterance id holds a control character");
  EXPECT_EQ(Read("a b\n", SP_FORMAT_TEXT).find("f: plain text has no utterance ids"), 0u);
  EXPECT_EQ(status_, SP_EUSAGE);
}

}  // namespace
}  // namespace sp_test
