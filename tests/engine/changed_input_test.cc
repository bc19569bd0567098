// changed_input_test.cc - the archive changes after it was validated: no shard may be left as done.
#include <fcntl.h>
#include <unistd.h>

#include <filesystem>

#include "engine_fixture.h"

namespace {

using namespace sp_test;
namespace fs = std::filesystem;

// Plain text, so long that the second pass has not read its end when the first shards are scored.
class ChangedInput : public testing::Test {
 protected:
  static constexpr size_t kLines = 30000;

  void SetUp() override {
    sp_random_model model = TinyModel();
    model.layers = 1;
    model.hidden = 8;
    model.ffn = 8;
    model_ = MakeModel(scratch_ / "model", model);
    for (size_t i = 0; i < kLines; i++)
      text_ += "ab cd w70 " + std::to_string(i % 10) + " x\n";
    WriteFile(scratch_ / "a.txt", text_);
  }
  Job MakeJob() {
    Job job;
    job.model = model_;
    job.archives = {scratch_ / "a.txt"};
    job.format = "text";
    job.methods = "cls";
    job.out = scratch_ / "run";
    job.shard_utts = 250;
    return job;
  }
  // Changes the file once, when scoring has begun.
  void Check(const std::function<void()> &change, const std::string &word, bool still_text = true) {
    Job job = MakeJob();
    bool changed = false;
    job.on_progress = [&](const sp_progress &progress) {
      if (!progress.validating && !changed) {
        changed = true;
        change();
      }
    };
    Outcome outcome = Score(job);
    ASSERT_TRUE(changed);
    EXPECT_EQ(outcome.status, SP_EINPUT);
    EXPECT_NE(outcome.message.find(word), std::string::npos) << outcome.message;
    EXPECT_EQ(CountEnding(job.out, ".done"), 0u);
    EXPECT_EQ(CountEnding(job.out, ".jsonl.zst"), 0u);
    EXPECT_EQ(CountEnding(job.out, "_SUCCESS"), 0u);
    Outcome again = Score(job); /* the manifest is still the first input's */
    EXPECT_EQ(again.status, still_text ? SP_EIDENTITY : SP_EINPUT) << again.message;
    EXPECT_EQ(again.message.find("inputs") != std::string::npos, still_text) << again.message;
    WriteFile(scratch_ / "a.txt", text_);
    job.on_progress = nullptr;
    Outcome restored = Score(job);
    EXPECT_EQ(restored.status, SP_OK) << restored.message;
  }

  Scratch scratch_;
  std::string model_, text_;
};

TEST_F(ChangedInput, OneLetterInPlace) {
  Check(
      [&] {
        int fd = open((scratch_ / "a.txt").c_str(), O_WRONLY);
        ASSERT_EQ(pwrite(fd, "q", 1, static_cast<off_t>(text_.size()) - 2), 1);
        close(fd);
      },
      "changed while it was being scored");
}

TEST_F(ChangedInput, Shorter) {
  Check([&] { fs::resize_file(scratch_ / "a.txt", text_.size() - 1600); }, "shorter");
}

TEST_F(ChangedInput, Longer) {
  Check(
      [&] {
        int fd = open((scratch_ / "a.txt").c_str(), O_WRONLY | O_APPEND);
        ASSERT_EQ(write(fd, "ab\n", 3), 3);
        close(fd);
      },
      "changed while it was being scored");
}

TEST_F(ChangedInput, NoLongerText) {
  Check(
      [&] {
        int fd = open((scratch_ / "a.txt").c_str(), O_WRONLY);
        ASSERT_EQ(pwrite(fd, "\xff", 1, static_cast<off_t>(text_.size()) - 2), 1);
        close(fd);
      },
      "a.txt:30000", false);
}

// Shards that an earlier process made from the right input stay, with their markers or without.
TEST_F(ChangedInput, KeepsWhatWasMadeBefore) {
  Job job = MakeJob();
  ASSERT_EQ(Score(job).status, SP_OK);
  auto expected = FilesOf(job.out);
  fs::remove(job.out + "/_SUCCESS");
  for (int i = 60; i < 120; i++) {
    char name[64];
    snprintf(name, sizeof name, "/scores-%05d-of-00120.done", i);
    ASSERT_TRUE(fs::remove(job.out + name));
    snprintf(name, sizeof name, "/scores-%05d-of-00120.jsonl.zst", i);
    ASSERT_TRUE(i % 2 || fs::remove(job.out + name));
  }
  bool changed = false;
  job.on_progress = [&](const sp_progress &progress) {
    if (!progress.validating && !changed) {
      changed = true;
      fs::resize_file(scratch_ / "a.txt", text_.size() - 3);
    }
  };
  Outcome outcome = Score(job);
  EXPECT_EQ(outcome.status, SP_EINPUT) << outcome.message;
  EXPECT_NE(outcome.message.find("a.txt"), std::string::npos) << outcome.message;
  EXPECT_EQ(CountEnding(job.out, ".done"), 60u);
  WriteFile(scratch_ / "a.txt", text_);
  job.on_progress = nullptr;
  EXPECT_EQ(Score(job).status, SP_OK);
  EXPECT_TRUE(SameFiles(FilesOf(job.out), expected));
}

}  // namespace
