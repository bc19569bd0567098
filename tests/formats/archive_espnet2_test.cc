#include "archive_espnet2.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "archive_read.h"
#include "scratch.h"

namespace {

using sp_test::Archive;
using sp_test::Hyp;
using sp_test::ReadPaths;
using sp_test::WriteFile;

class Espnet2 : public ::testing::Test {
 protected:
  // Writes dir/{k}best_recog/{text,score}; an empty score means no file.
  void List(const std::string &dir, int k, const std::string &text, const std::string &score) {
    std::string folder = scratch_ / (dir + "/" + std::to_string(k) + "best_recog");
    std::filesystem::create_directories(folder);
    WriteFile(folder + "/text", text);
    if (!score.empty())
      WriteFile(folder + "/score", score);
  }
  Archive Read(const std::string &dir) {
    return ReadPaths({scratch_ / dir});
  }
  std::string Failure(const std::string &dir) {
    Archive archive = Read(dir);
    EXPECT_EQ(archive.status, SP_EINPUT);
    size_t root = archive.message.find(scratch_.path());
    return root == 0 ? archive.message.substr(scratch_.path().size() + 1) : archive.message;
  }
  sp_test::Scratch scratch_;
};

TEST_F(Espnet2, ReadsListsInStep) {
  List("d", 1, "u1 A B\nu2\nu3  \n", "u1 tensor(-4.06)\nu2 -1.5\nu3 0.0\n");
  List("d", 2, "u1 A C\nu3 X\n", "u1 tensor(-5., device='cuda:0')\nu3 tensor(-2e-05)\n");
  List("d", 3, "u3 Y\n", "u3 -3\n");
  std::filesystem::create_directories(scratch_ / "d/log");
  Archive archive = Read("d");
  ASSERT_EQ(archive.status, SP_OK) << archive.message;
  EXPECT_EQ(archive.format, SP_FORMAT_ESPNET2);
  ASSERT_EQ(archive.utts.size(), 3u);
  EXPECT_EQ(archive.utts[0].hyps, (std::vector<Hyp>{{"A B", -4.06}, {"A C", -5.0}}));
  EXPECT_EQ(archive.utts[1].hyps, (std::vector<Hyp>{{"", -1.5}}));
  EXPECT_EQ(archive.utts[2].hyps, (std::vector<Hyp>{{" ", 0.0}, {"X", -2e-05}, {"Y", -3.0}}));
  EXPECT_EQ(archive.utts[2].place, scratch_ / "d/1best_recog/text:3");
  EXPECT_EQ(archive.utts[0].ref, std::nullopt);
  EXPECT_EQ(archive.files.size(), 6u);
}

TEST_F(Espnet2, ScoresAreOptional) {
  List("d", 1, "u1 A\n", "");
  List("d", 2, "u1 B\n", "");
  Archive archive = Read("d");
  ASSERT_EQ(archive.status, SP_OK) << archive.message;
  EXPECT_EQ(archive.utts[0].hyps, (std::vector<Hyp>{{"A", std::nullopt}, {"B", std::nullopt}}));
}

TEST_F(Espnet2, JobsComeInNumericOrderFromEveryLevel) {
  for (int job = 1; job <= 11; job++) {
    std::string id = "u" + std::to_string(job);
    List("d/logdir/output." + std::to_string(job), 1, id + " A\n", id + " -1\n");
  }
  WriteFile(scratch_ / "d/ref.text",
            "u0 no\nu1 R1\nu2 R2\nu3 R3\nu4\nu5 R5\nu6 R6\nu7 R7\nu8 R8\n"
            "u9 R9\nu10 R10\nu11 R11\nu12 no\n");
  for (const char *dir : {"d", "d/logdir"}) {
    Archive archive = Read(dir);
    ASSERT_EQ(archive.status, SP_OK) << archive.message;
    ASSERT_EQ(archive.utts.size(), 11u);
    for (size_t i = 0; i < 11; i++) {
      EXPECT_EQ(archive.utts[i].id, "u" + std::to_string(i + 1));
      EXPECT_EQ(archive.utts[i].ref, i == 3 ? "" : "R" + std::to_string(i + 1));
    }
    EXPECT_EQ(archive.files.size(), 23u);
    EXPECT_NE(archive.files[22].first.find("ref.text"), std::string::npos);
  }
  Archive one = Read("d/logdir/output.2");
  ASSERT_EQ(one.utts.size(), 1u) << one.message;
  EXPECT_EQ(one.utts[0].ref, std::nullopt);
}

TEST_F(Espnet2, FilesAreListedWhenReadInPart) {
  for (int job = 1; job <= 3; job++) {
    std::string id = "u" + std::to_string(job);
    List("d/output." + std::to_string(job), 1, id + " A\n", id + " -1\n");
  }
  Archive whole = Read("d"), part = ReadPaths({scratch_ / "d"}, SP_FORMAT_AUTO, 1);
  ASSERT_EQ(part.utts.size(), 1u);
  ASSERT_EQ(part.files.size(), whole.files.size());
  for (size_t i = 0; i < part.files.size(); i++) {
    EXPECT_EQ(part.files[i].first, whole.files[i].first);
    EXPECT_STREQ(part.files[i].second.xxh128, whole.files[i].second.xxh128);
  }
}

TEST_F(Espnet2, NamesTheFileAndLineOfAFault) {
  List("extra", 1, "u1 A\nu2 B\n", "");
  List("extra", 2, "u1 A\nu9 B\n", "");
  EXPECT_EQ(Failure("extra"),
            "extra/2best_recog/text:2: utterance u9 is not in 1best_recog, or not in its order");
  List("gap", 1, "u1 A\n", "");
  List("gap", 2, "u2 A\n", "");
  List("gap", 3, "u1 A\n", "");
  EXPECT_EQ(Failure("gap"), "gap/3best_recog/text:1: utterance u1 is missing in the list before");
  List("short", 1, "u1 A\nu2 B\n", "u1 -1\n");
  EXPECT_EQ(Failure("short"), "short/1best_recog/score: ends early: no score for utterance u2");
  List("other", 1, "u1 A\nu2 B\n", "u1 -1\nu3 -1\n");
  EXPECT_EQ(Failure("other"),
            "other/1best_recog/score:2: utterance u3 is not the one on this line of the file text");
  List("more", 1, "u1 A\n", "u1 -1\nu2 -1\n");
  EXPECT_EQ(Failure("more"),
            "more/1best_recog/score:2: utterance u2 is not the one on this line of the file text");
  List("nan", 1, "u1 A\n", "u1 tensor(nan)\n");
  EXPECT_EQ(Failure("nan"), "nan/1best_recog/score:1: not a finite number");
  List("blank", 1, "u1 A\n\n", "");
  EXPECT_EQ(Failure("blank"), "blank/1best_recog/text:2: the utterance id is empty");
  List("utf8", 1, "u1 caf\xe9\n", "");
  EXPECT_EQ(Failure("utf8"), "utf8/1best_recog/text:1: invalid UTF-8");
  List("refs", 1, "u1 A\nu2 B\n", "");
  WriteFile(scratch_ / "refs/ref.text", "u2 B\nu1 A\n");
  EXPECT_NE(Failure("refs").find("refs/ref.text: no reference for utterance u2"),
            std::string::npos);
}

TEST_F(Espnet2, NamesWhatADirectoryLacks) {
  List("hole", 1, "u1 A\n", "");
  List("hole", 3, "u1 A\n", "");
  EXPECT_EQ(Failure("hole"), "hole/2best_recog is missing, but 3best_recog is there");
  List("jobs/output.2", 1, "u1 A\n", "");
  EXPECT_EQ(Failure("jobs"), "jobs/output.1 is missing, but output.2 is there");
  std::filesystem::create_directories(scratch_ / "none/output.1");
  EXPECT_EQ(Failure("none"), "none/output.1 holds no 1best_recog");
  std::filesystem::create_directories(scratch_ / "empty");
  EXPECT_NE(Failure("empty").find("not an ESPnet2 decoding directory"), std::string::npos);
  List("scores", 1, "u1 A\n", "u1 -1\n");
  List("scores", 2, "u1 A\n", "");
  EXPECT_EQ(Read("scores").status, SP_EIO);
}

TEST(Espnet2Score, TakesFloatsAndTensors) {
  double score;
  for (auto [text, expected] :
       std::vector<std::pair<std::string, double>>{{"tensor(-4.0636)", -4.0636},
                                                   {"tensor(-4.)", -4.0},
                                                   {"tensor(-4.06, device='cuda:0')", -4.06},
                                                   {"tensor(-4.06, dtype=torch.float64)", -4.06},
                                                   {"-0.5 ", -0.5}}) {
    ASSERT_TRUE(sp_espnet2_score({text.data(), text.size()}, &score)) << text;
    EXPECT_EQ(score, expected);
  }
  for (std::string text : {"", "tensor(", "tensor()", "tensor(nan)", "tensor(-inf)", "-inf", "x",
                           "tensor(-1", "tensor([-1])", "-1)"}) {
    EXPECT_FALSE(sp_espnet2_score({text.data(), text.size()}, &score)) << text;
  }
}

}  // namespace
