// changed_input_test.cc - the archive changes after it was validated: no shard may be left as done.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "engine_fixture.h"
#include "run_manifest.h"

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
    job.shard_utts = shard_utts_;
    return job;
  }
  // Changes the file once, when scoring has begun. Either the reading of what is left or the next
  // shard that is finished finds it out.
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
    EXPECT_TRUE(outcome.message.find(word) != std::string::npos ||
                outcome.message.find("a.txt: the file changed while it was being scored") !=
                    std::string::npos)
        << outcome.message;
    EXPECT_EQ(CountEnding(job.out, ".done"), 0u);
    EXPECT_EQ(CountEnding(job.out, ".jsonl.zst"), 1u) << "the plan alone";
    EXPECT_EQ(CountEnding(job.out, "_SUCCESS"), 0u);
    Outcome again = Score(job); /* the manifest is still the first input's */
    EXPECT_EQ(again.status, still_text ? SP_EIDENTITY : SP_EINPUT) << again.message;
    EXPECT_EQ(again.message.find("inputs") != std::string::npos, still_text) << again.message;
    WriteFile(scratch_ / "a.txt", text_);
    job.on_progress = nullptr;
    Outcome restored = Score(job);
    EXPECT_EQ(restored.status, SP_OK) << restored.message;
  }

  // The first pass sees the archive, shards are made while it is another one, the run is stopped, and
  // the archive is put back: no shard of the other text may be left to be resumed from.
  void Interrupt(const std::function<bool(const sp_progress &)> &change, uint64_t stop_after) {
    Job whole = MakeJob(), job = MakeJob();
    whole.out = scratch_ / "whole";
    job.threads = 1;
    ASSERT_EQ(Score(whole).status, SP_OK);
    bool changed = false;
    job.on_progress = [&](const sp_progress &progress) {
      changed = changed || change(progress);
      if (changed && !progress.validating && progress.utts_done >= stop_after)
        job.stop = 1;
    };
    Outcome outcome = Score(job);
    ASSERT_TRUE(changed || outcome.status == SP_EINPUT);  // told before the second pass had a tick
    EXPECT_TRUE(outcome.status == SP_EINTERRUPTED || outcome.status == SP_EINPUT)
        << outcome.status << " " << outcome.message;
    EXPECT_EQ(CountEnding(job.out, "_SUCCESS"), 0u);
    PutBack();
    job.on_progress = nullptr;
    job.stop = 0;
    outcome = Score(job);
    EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
    EXPECT_TRUE(SameFiles(FilesOf(job.out), FilesOf(whole.out)));
    sp_error err{};
    sp_run_totals totals{};
    EXPECT_EQ(sp_run_verify(job.out.c_str(), &totals, &err), SP_OK) << err.message;
  }
  // As many utterances, of other words and the same length.
  std::string OtherText() const {
    std::string other = text_;
    std::replace(other.begin(), other.end(), 'x', 'q');
    return other;
  }

  // So many utterances that the first pass, and each of four shards, takes more than one tick of
  // progress.
  void MakeLong() {
    for (bool ticked = false; !ticked;) {
      text_ += text_;
      WriteFile(scratch_ / "a.txt", text_);
      Job job = MakeJob();
      job.on_progress = [&](const sp_progress &progress) {
        ticked = ticked || progress.validating;
        job.stop = 1;
      };
      EXPECT_EQ(Score(job).status, SP_EINTERRUPTED);
      fs::remove_all(job.out);
    }
    text_ += text_ + text_ + text_;
    WriteFile(scratch_ / "a.txt", text_);
    shard_utts_ = static_cast<size_t>(std::count(text_.begin(), text_.end(), '\n')) / 4;
  }
  void PutAnotherInItsPlace() {
    fs::rename(scratch_ / "a.txt", scratch_ / "kept");
    WriteFile(scratch_ / "a.txt", OtherText());
  }
  void PutBack() {
    if (fs::exists(scratch_ / "kept")) {
      fs::rename(scratch_ / "kept", scratch_ / "a.txt");
    } else if (ReadFile(scratch_ / "a.txt") != text_) {
      WriteFile(scratch_ / "a.txt", text_);
    }
  }

  Scratch scratch_;
  std::string model_, text_;
  size_t shard_utts_ = 250;
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

// 0: at once, when a few shards are under way; else when many were read from the other text.
TEST_F(ChangedInput, OverwrittenThenInterruptedAndPutBack) {
  for (uint64_t stop_after : {uint64_t{0}, uint64_t{kLines} * 2 / 3}) {
    fs::remove_all(scratch_ / "whole");
    fs::remove_all(scratch_ / "run");
    Interrupt(
        [&](const sp_progress &progress) {
          if (progress.validating)
            return false;
          const std::string other = OtherText();
          int fd = open((scratch_ / "a.txt").c_str(), O_WRONLY);
          EXPECT_EQ(pwrite(fd, other.data(), other.size(), 0), static_cast<ssize_t>(other.size()));
          close(fd);
          return true;
        },
        stop_after);
  }
}

// Another file of that name, put there while the first pass reads the archive: the second pass opens
// what the first one never saw.
TEST_F(ChangedInput, ReplacedThenInterruptedAndPutBack) {
  MakeLong();
  Interrupt(
      [&](const sp_progress &progress) {
        EXPECT_TRUE(progress.validating) << "the first pass took no tick";
        PutAnotherInItsPlace();
        return true;
      },
      2 * shard_utts_);
}

// The same, but it is put back as soon as the second pass has opened the other one.
TEST_F(ChangedInput, ReplacedAndPutBackThenInterrupted) {
  MakeLong();
  bool replaced = false;
  Interrupt(
      [&](const sp_progress &progress) {
        if (!replaced)
          PutAnotherInItsPlace();
        EXPECT_TRUE(replaced || progress.validating) << "the first pass took no tick";
        replaced = true;
        if (!progress.validating)
          PutBack();
        return !progress.validating;
      },
      2 * shard_utts_);
}

}  // namespace
