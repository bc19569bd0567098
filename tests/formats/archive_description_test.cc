#include "archive_description.h"

#include <gtest/gtest.h>

#include <numeric>

#include "run_fixture.h"

namespace {

using sp_test::Scratch;
using sp_test::Text;
using sp_test::WriteFile;

class Description : public testing::Test {
 protected:
  ~Description() override {
    sp_description_release(&d_);
  }
  sp_status Parse(const std::string &text) {
    sp_description_release(&d_);
    err_ = {};
    return sp_description_parse(Text(text), "d.json", &d_, &err_);
  }
  uint64_t Sum(uint64_t hyps) {
    uint64_t sum = 0;
    for (size_t i = 0; i < d_.n_lengths; i++)
      sum += sp_description_share(&d_, i, hyps);
    return sum;
  }
  sp_description d_ = {};
  sp_error err_ = {};
};

const char kOwn[] = R"({"secondpass_description":1,"utterances":100,"hypotheses":3,
  "lengths":[[0,1],[5,2],[9,1]],"utterance_bytes":500,"id_bytes":8,"duplicates":0.25,"equal_copies":0})";

TEST_F(Description, OfItsOwnLengths) {
  ASSERT_EQ(Parse(kOwn), SP_OK) << err_.message;
  EXPECT_EQ(d_.utts, 100u);
  EXPECT_EQ(d_.hyps, 3u);
  EXPECT_EQ(d_.utt_bytes, 500u);
  EXPECT_EQ(d_.id_bytes, 8u);
  EXPECT_EQ(d_.duplicates, 0.25);
  EXPECT_EQ(d_.equal_copies, 0);
  ASSERT_EQ(d_.n_lengths, 3u);
  EXPECT_EQ(d_.total, 4u);
  EXPECT_EQ(sp_description_share(&d_, 0, 300), 75u);
  EXPECT_EQ(sp_description_share(&d_, 1, 300), 150u);
  EXPECT_EQ(sp_description_share(&d_, 2, 300), 75u);
}

TEST_F(Description, LibriSpeechBringsItsDefaults) {
  ASSERT_EQ(Parse(R"({"secondpass_description":1,"utterances":1,"hypotheses":10,
                      "lengths":"librispeech-10best","duplicates":0.5})"),
            SP_OK)
      << err_.message;
  EXPECT_EQ(d_.total, 2000u);
  EXPECT_EQ(d_.utt_bytes, 1480u);
  EXPECT_EQ(d_.duplicates, 0.5);
  EXPECT_GT(d_.equal_copies, 0.03);
  uint64_t tokens = 0;
  for (size_t i = 0; i < d_.n_lengths; i++)
    tokens += d_.lengths[i].tokens * d_.lengths[i].count;
  EXPECT_EQ(tokens, 45954u) << "of the sample's 2,000 hypotheses";
}

// Every hypothesis has a length, also where counts and hypotheses are as large as they may be.
TEST_F(Description, SharesAddUp) {
  ASSERT_EQ(Parse(kOwn), SP_OK);
  for (uint64_t hyps : {0ull, 1ull, 2ull, 7ull, 1000000007ull, ~0ull})
    EXPECT_EQ(Sum(hyps), hyps);
  ASSERT_EQ(Parse(R"({"secondpass_description":1,"utterances":1,"hypotheses":1,
                      "lengths":[[1,9000000000000000000],[2,9000000000000000000]]})"),
            SP_OK);
  for (uint64_t hyps : {1ull, 1000000007ull, ~0ull})
    EXPECT_EQ(Sum(hyps), hyps);
}

// A few utterances have about the mix already.
TEST_F(Description, LengthsWalkOverTheHistogram) {
  ASSERT_EQ(Parse(kOwn), SP_OK);
  int count[10] = {};
  for (uint64_t u = 0; u < 400; u++) {
    uint32_t tokens = sp_description_length(&d_, u);
    ASSERT_TRUE(tokens == 0 || tokens == 5 || tokens == 9) << tokens;
    count[tokens]++;
  }
  EXPECT_NEAR(count[0], 100, 3);
  EXPECT_NEAR(count[5], 200, 3);
  EXPECT_NEAR(count[9], 100, 3);
}

TEST_F(Description, FaultsAreNamed) {
  const std::string head =
      R"({"secondpass_description":1,"utterances":10,"hypotheses":2,"lengths":)";
  const struct {
    std::string text, said;
  } cases[] = {
      {"", "d.json:"},
      {"[]", "not a JSON object"},
      {R"({"secondpass_description":2})", "secondpass_description is not 1"},
      {R"({"utterances":1})", "secondpass_description is not 1"},
      {head + "[[1,1]],\"hyps\":3}", "hyps is no member"},
      {head + "[[1,1]],\"utterances\":3}", "duplicate"},
      {R"({"secondpass_description":1,"hypotheses":2,"lengths":[[1,1]]})", "utterances is missing"},
      {R"({"secondpass_description":1,"utterances":0,"hypotheses":2,"lengths":[[1,1]]})",
       "utterances is no whole number from 1"},
      {R"({"secondpass_description":1,"utterances":1e9,"hypotheses":2,"lengths":[[1,1]]})",
       "utterances is no whole number"},
      {R"({"secondpass_description":1,"utterances":9,"hypotheses":2000000,"lengths":[[1,1]]})",
       "hypotheses is no whole number from 1 to 1000000"},
      {R"({"secondpass_description":1,"utterances":9,"hypotheses":2})", "lengths is missing"},
      {head + "[]}", "lengths is missing"},
      {head + "\"tedlium\"}", "'tedlium' is no mix that is built in (librispeech-10best)"},
      {head + "[[1]]}", "no pair of whole numbers"},
      {head + "[[1,2.5]]}", "no pair of whole numbers"},
      {head + "[[-1,2]]}", "-1 tokens"},
      {head + "[[2000000,2]]}", "2000000 tokens"},
      {head + "[[1,0]]}", "count below 1"},
      {head + "[[3,1],[3,1]]}", "3 tokens after 3: they must ascend"},
      {head + "[[1,9000000000000000000],[2,9000000000000000000],[3,9000000000000000000]]}",
       "pass 2^64"},
      {head + "[[1,1]],\"duplicates\":1}", "duplicates is no number from 0 to below 1"},
      {head + "[[1,1]],\"equal_copies\":\"x\"}", "equal_copies is no number"},
      {head + "[[1,1]],\"id_bytes\":5000}", "id_bytes is no whole number from 1 to 4096"},
  };
  for (const auto &one : cases) {
    EXPECT_EQ(Parse(one.text), SP_EINPUT) << one.text;
    EXPECT_NE(std::string(err_.message).find(one.said), std::string::npos) << err_.message;
  }
}

TEST_F(Description, IsReadFromAFile) {
  Scratch scratch;
  WriteFile(scratch / "d.json", kOwn);
  EXPECT_EQ(sp_description_read((scratch / "d.json").c_str(), &d_, &err_), SP_OK) << err_.message;
  EXPECT_EQ(d_.utts, 100u);
  sp_description_release(&d_);
  EXPECT_NE(sp_description_read((scratch / "absent").c_str(), &d_, &err_), SP_OK);
}

}  // namespace
