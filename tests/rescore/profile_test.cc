// Text profiles: what they make of texts, and what of their files is refused.
#include <gtest/gtest.h>

#include <string>

#include "scratch.h"
#include "text_profile.h"

namespace sp_test {
namespace {

class ProfileTest : public ::testing::Test {
 protected:
  void TearDown() override {
    sp_text_profile_close(profile_);
  }

  sp_status Open(const std::string &spec) {
    sp_text_profile_close(profile_);
    profile_ = nullptr;
    return sp_text_profile_open(spec.c_str(), &profile_, &err_);
  }
  std::string Apply(const std::string &text) {
    sp_text out = {};
    EXPECT_EQ(sp_text_profile_apply(profile_, {text.data(), text.size()}, &out, nullptr), SP_OK);
    return std::string(out.data, out.len);
  }
  // Opens `bytes` as a file of that kind.
  sp_status OpenBytes(const std::string &kind, const std::string &bytes) {
    WriteFile(scratch_ / "file", bytes);
    return Open(kind + ":" + (scratch_ / "file"));
  }
  void Refused(const std::string &kind, const std::string &bytes, int line,
               const std::string &part) {
    EXPECT_EQ(OpenBytes(kind, bytes), SP_EINPUT) << bytes;
    const std::string message = err_.message;
    EXPECT_NE(message.find("file:" + std::to_string(line) + ": "), std::string::npos) << message;
    EXPECT_NE(message.find(part), std::string::npos) << message;
  }

  Scratch scratch_;
  sp_text_profile *profile_ = nullptr;
  sp_error err_ = {};
};

TEST_F(ProfileTest, None) {
  ASSERT_EQ(Open("none"), SP_OK);
  EXPECT_STREQ(sp_text_profile_name(profile_), "none");
  EXPECT_EQ(Apply(" As it, Is "), " As it, Is ");
}

TEST_F(ProfileTest, Librispeech) {
  ASSERT_EQ(Open("librispeech"), SP_OK);
  EXPECT_STREQ(sp_text_profile_name(profile_), "librispeech.v1");
  EXPECT_EQ(Apply("MISTER QUILTER'S"), "mister quilter's");
  EXPECT_EQ(Apply("Well-known, \"yes\"!"), "well known   yes  ");
  EXPECT_EQ(Apply("it\u2019s 'tis boys' ' x"), "it's 'tis boys'   x");
  EXPECT_EQ(Apply("\u00c9T\u00c9 \u2014 \u0416"), "\u00e9t\u00e9   \u0436");
}

TEST_F(ProfileTest, Rules) {
  ASSERT_EQ(OpenBytes("rules",
                      "# ours\nprofile house v3\nlower\npunctuation delete keep \"'-\"\n"
                      "replace \"colour\" => \"color\"\n"
                      "word \"gonna\" => \"going to\"  # spoken\n"
                      "word \"uh\" => \"\"\nword \"new york city\" => \"nyc\"\n"
                      "word \"new york\" => \"ny\"\n"),
            SP_OK)
      << err_.message;
  EXPECT_EQ(std::string(sp_text_profile_name(profile_)).substr(0, 9), "house.v3@");
  EXPECT_EQ(Apply("I'm  GONNA, uh, see New  York City's colours."),
            "i'm going to see ny city's colors")
      << "whole words only";
  EXPECT_EQ(Apply("new york city uh new york new"), "nyc ny new") << "the longest goes first";
  EXPECT_EQ(Apply(""), "");
}

TEST_F(ProfileTest, RulesRefused) {
  Refused("rules", "lower\n", 1, "profile NAME");
  Refused("rules", "", 0, "profile NAME");
  Refused("rules", "profile a 1\n", 1, "vVERSION");
  Refused("rules", "profile a v1\nprofile a v1\n", 2, "twice");
  Refused("rules", "profile a v1\nloewr\n", 2, "'loewr'");
  Refused("rules", "profile a v1\nlower upper\n", 2, "more than one");
  Refused("rules", "profile a v1\n\nword \"a\" \"b\"\n", 3, "=>");
  Refused("rules", "profile a v1\nword \"a => \"b\"\n", 2, "=>");
  Refused("rules", "profile a v1\nword \"a\" => \"b\n", 2, "closing quote");
  Refused("rules", "profile a v1\nword \" \" => \"b\"\n", 2, "left side");
  Refused("rules", "profile a v1\nreplace \"\\n\" => \"b\"\n", 2, "backslash");
  Refused("rules", "profile a v1\npunctuation\n", 2, "space or delete");
  Refused("rules", "profile a v1\n\xff\n", 2, "UTF-8");
}

TEST_F(ProfileTest, Glm) {
  ASSERT_EQ(OpenBytes("glm",
                      ";; a file\n* name \"x\"\n* format = \"NIST1\"\n"
                      "* case_sensitive = \"F\"\n\n[CAN NOT] => [CANNOT] / [ ] __ [ ]\n"
                      "[I'M] => {[I'M] / [I AM]} / [ ] __ [ ] ;; both\nUH => [ ]\n"),
            SP_OK)
      << err_.message;
  EXPECT_EQ(std::string(sp_text_profile_name(profile_)).substr(0, 9), "glm:file@");
  EXPECT_EQ(Apply("I'm sure I can not uh"), Apply("I AM SURE I CANNOT"));
  EXPECT_EQ(Apply("SCAN NOTHING"), "scan nothing");
}

TEST_F(ProfileTest, GlmRefused) {
  Refused("glm", "* case_sensitive = \"X\"\n", 1, "header");
  Refused("glm", "* format = \"NIST2\"\n", 1, "header");
  Refused("glm", "\nwords without an arrow\n", 2, "not a rule");
  Refused("glm", "[A] => [B] / [C] __ [ ]\n", 1, "context");
  Refused("glm", "[A] => {[A] / [B] / [C]} / [ ] __ [ ]\n", 1, "more than two");
  Refused("glm", "[A] => {[B] / [C]}\n", 1, "left side itself");
  Refused("glm", "[A] => {[A] / [B]\n", 1, "without }");
  Refused("glm", "[UH] => [(%HESITATION)]\n", 1, "optionally deletable");
}

TEST_F(ProfileTest, Chains) {
  WriteFile(scratch_ / "a.rules", "profile a v1\nword \"well known\" => \"famous\"\n");
  ASSERT_EQ(Open("librispeech,rules:" + (scratch_ / "a.rules")), SP_OK) << err_.message;
  EXPECT_EQ(Apply("WELL-KNOWN"), "famous");
  EXPECT_EQ(std::string(sp_text_profile_name(profile_)).substr(0, 20), "librispeech.v1+a.v1@");
}

TEST_F(ProfileTest, NoSuchProfileOrFile) {
  EXPECT_EQ(Open("librispech"), SP_EUSAGE);
  EXPECT_NE(std::string(err_.message).find("librispech"), std::string::npos);
  EXPECT_EQ(Open("rules:" + (scratch_ / "none")), SP_EIO);
}

}  // namespace
}  // namespace sp_test
