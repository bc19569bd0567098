// refusal_test.cc - run directories of other runs, damaged ones, locked ones, and none at all.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "engine_fixture.h"
#include "run_manifest.h"

namespace {

using namespace sp_test;
namespace fs = std::filesystem;

class Refusal : public testing::Test {
 protected:
  void SetUp() override {
    model_ = MakeModel(scratch_ / "model");
    WriteFile(scratch_ / "a.jsonl", ToJsonl(MakeArchive(12)));
  }
  Job MakeJob() {
    Job job;
    job.model = model_;
    job.archives = {scratch_ / "a.jsonl"};
    job.out = scratch_ / "run";
    job.shard_utts = 4;
    return job;
  }
  void Run() {
    Job job = MakeJob();
    Outcome outcome = Score(job);
    ASSERT_EQ(outcome.status, SP_OK) << outcome.message;
  }
  // The job is refused, `member` is named, and the directory stays as it is.
  void Refused(Job job, const std::string &member) {
    SCOPED_TRACE(member);
    auto before = FilesOf(job.out);
    Outcome outcome = Score(job);
    EXPECT_EQ(outcome.status, SP_EIDENTITY) << outcome.message;
    EXPECT_NE(outcome.message.find(member), std::string::npos) << outcome.message;
    EXPECT_TRUE(SameFiles(FilesOf(job.out), before));
  }

  Scratch scratch_;
  std::string model_;
};

TEST_F(Refusal, AnotherIdentityIsNamed) {
  Run();
  for (bool complete : {true, false}) {
    if (!complete)
      fs::remove(scratch_ / "run/_SUCCESS");
    Job job = MakeJob();
    job.methods = "pll,cls";
    Refused(job, "method: the run has \"pll\", this command \"pll,cls\"");
    job = MakeJob();
    job.dtype = "bf16";
    Refused(job, "dtype");
    job = MakeJob();
    job.eos = "z";
    Refused(job, "eos");
    job = MakeJob();
    job.on_long = "truncate";
    Refused(job, "on_long");
    job = MakeJob();
    job.letter_case = "lower";
    Refused(job, "case");
    job = MakeJob();
    job.cls_sign = "cost";
    Refused(job, "cls_negated");
    job = MakeJob();
    job.per_token = true;
    Refused(job, "per_token");
    job = MakeJob();
    job.with_text = true;
    Refused(job, "with_text");
    job = MakeJob();
    job.limit = 12;
    Refused(job, "limit");
    job = MakeJob();
    job.shard_utts = 6;
    Refused(job, "shard_utts");
  }
}

TEST_F(Refusal, AnotherModelIsNamed) {
  Run();
  sp_random_model other = TinyModel();
  other.seed = 2;
  Job job = MakeJob();
  job.model = MakeModel(scratch_ / "other", other);
  Refused(job, "model_hash");
  /* the same model elsewhere is the same */
  fs::copy(model_, scratch_ / "copy");
  job.model = scratch_ / "copy";
  EXPECT_EQ(Score(job).status, SP_OK);
}

TEST_F(Refusal, AnotherInputIsNamed) {
  Run();
  Archive archive = MakeArchive(12);
  archive[3].hyps.push_back("a b");
  WriteFile(scratch_ / "b.jsonl", ToJsonl(archive));
  Job job = MakeJob();
  job.archives = {scratch_ / "b.jsonl"};
  Refused(job, "inputs");
  job.archives = {scratch_ / "a.jsonl", scratch_ / "b.jsonl"};
  Outcome outcome = Score(job);
  EXPECT_EQ(outcome.status, SP_EINPUT) << "the ids occur twice";
  /* the same bytes elsewhere are the same */
  fs::copy(scratch_ / "a.jsonl", scratch_ / "c.jsonl");
  job.archives = {scratch_ / "c.jsonl"};
  EXPECT_EQ(Score(job).status, SP_OK);
}

TEST_F(Refusal, WhatIsOutsideTheIdentityIsNotLookedAt) {
  Run();
  Job job = MakeJob();
  job.threads = 7;
  job.batch_tokens = 99;
  job.without = "head,pack,dedupe";
  Outcome outcome = Score(job);
  EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
  EXPECT_TRUE(outcome.summary.already_complete);
}

TEST_F(Refusal, ADamagedMarkerIsNamed) {
  Run();
  const std::string marker = scratch_ / "run/scores-00001-of-00003.done";
  const std::string good = ReadFile(marker);
  for (const std::string &bad :
       {std::string(), std::string("{}\n"), good.substr(0, good.size() / 2), good + " ",
        std::string(good).replace(good.find("\"hyps\":") + 7, 1, "x")}) {
    fs::remove(scratch_ / "run/_SUCCESS");
    WriteFile(marker, bad);
    Job job = MakeJob();
    Outcome outcome = Score(job);
    EXPECT_EQ(outcome.status, SP_EDAMAGED) << bad;
    EXPECT_NE(outcome.message.find("scores-00001-of-00003.done"), std::string::npos)
        << outcome.message;
  }
}

TEST_F(Refusal, ADamagedManifestIsNamed) {
  Run();
  const std::string manifest = scratch_ / "run/run.json";
  const std::string good = ReadFile(manifest);
  for (const std::string &bad : {std::string(), std::string("[]"), good.substr(0, 100)}) {
    WriteFile(manifest, bad);
    Job job = MakeJob();
    Outcome outcome = Score(job);
    EXPECT_EQ(outcome.status, SP_EDAMAGED) << bad;
    EXPECT_NE(outcome.message.find("run.json"), std::string::npos) << outcome.message;
  }
}

TEST_F(Refusal, AChangedMarkerOfACompleteRunIsDamage) {
  Run();
  fs::copy_file(scratch_ / "run/scores-00001-of-00003.done",
                scratch_ / "run/scores-00000-of-00003.done", fs::copy_options::overwrite_existing);
  Job job = MakeJob();
  EXPECT_EQ(Score(job).status, SP_EDAMAGED);
}

TEST_F(Refusal, ADirectoryOfOtherThingsIsLeftAlone) {
  fs::create_directory(scratch_ / "run");
  WriteFile(scratch_ / "run/thesis.tex", "ten years");
  Refused(MakeJob(), "thesis.tex");
}

TEST_F(Refusal, AnEmptyDirectoryIsTaken) {
  fs::create_directory(scratch_ / "run");
  Run();
}

TEST_F(Refusal, APathThatIsNoDirectoryIsAnIoError) {
  WriteFile(scratch_ / "run", "a file");
  Job job = MakeJob();
  Outcome outcome = Score(job);
  EXPECT_EQ(outcome.status, SP_EIO);
  EXPECT_NE(outcome.message.find(job.out), std::string::npos) << outcome.message;
  EXPECT_EQ(ReadFile(job.out), "a file");
  job.out = scratch_ / "no/such/run";
  EXPECT_EQ(Score(job).status, SP_EIO);
  EXPECT_FALSE(fs::exists(scratch_ / "no"));
}

// A child process that holds the run's lock until it is killed.
class Holder {
 public:
  explicit Holder(const std::string &run) {
    int ready[2];
    EXPECT_EQ(pipe(ready), 0);
    child_ = fork();
    if (child_ == 0) {
      sp_run_lock lock;
      sp_error err{};
      char taken = sp_run_lock_take(run.c_str(), &lock, &err) == SP_OK ? 'y' : 'n';
      if (write(ready[1], &taken, 1) != 1)
        _exit(1);
      for (;;)
        pause();
    }
    close(ready[1]);
    EXPECT_EQ(read(ready[0], &taken_, 1), 1);
    close(ready[0]);
  }
  ~Holder() {
    Kill();
  }
  void Kill() {
    if (child_ > 0) {
      kill(child_, SIGKILL);
      waitpid(child_, nullptr, 0);
      child_ = 0;
    }
  }
  pid_t pid() const {
    return child_;
  }
  bool holds() const {
    return taken_ == 'y';
  }

 private:
  pid_t child_ = 0;
  char taken_ = '?';
};

TEST_F(Refusal, ALiveLockIsRefusedAndADeadOneTakenOver) {
  fs::create_directory(scratch_ / "run");
  Holder holder(scratch_ / "run");
  ASSERT_TRUE(holder.holds());
  auto before = FilesOf(scratch_ / "run");
  Job job = MakeJob();
  Outcome outcome = Score(job);
  EXPECT_EQ(outcome.status, SP_ELOCK);
  EXPECT_NE(outcome.message.find(std::to_string(holder.pid())), std::string::npos)
      << outcome.message;
  EXPECT_TRUE(SameFiles(FilesOf(job.out), before));
  holder.Kill();
  outcome = Score(job);
  EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
}

TEST_F(Refusal, TheLockIsGivenBackAlsoAfterAFailure) {
  Run();
  Job job = MakeJob();
  job.methods = "cls";
  EXPECT_EQ(Score(job).status, SP_EIDENTITY);
  Holder holder(job.out);
  EXPECT_TRUE(holder.holds());
}

TEST_F(Refusal, WrongOptionsAreNamed) {
  const struct {
    const char *word;
    void (*spoil)(Job &);
  } cases[] = {
      {"model", [](Job &job) { job.model = ""; }},
      {"output", [](Job &job) { job.out = ""; }},
      {"archive", [](Job &job) { job.archives.clear(); }},
      {"pll3", [](Job &job) { job.methods = "pll,pll3"; }},
      {"empty", [](Job &job) { job.methods = "pll,"; }},
      {"fp8", [](Job &job) { job.dtype = "fp8"; }},
      {"cut", [](Job &job) { job.on_long = "cut"; }},
      {"upper", [](Job &job) { job.letter_case = "upper"; }},
      {"sign", [](Job &job) { job.cls_sign = "sign"; }},
      {"heads", [](Job &job) { job.without = "head,heads"; }},
      {"eos", [](Job &job) { job.eos = "\xff"; }},
      {"csv", [](Job &job) { job.format = "csv"; }},
      {"1025", [](Job &job) { job.threads = 1025; }},
      {"batch-tokens", [](Job &job) { job.batch_tokens = SIZE_MAX; }},
  };
  for (const auto &one : cases) {
    Job job = MakeJob();
    one.spoil(job);
    Outcome outcome = Score(job);
    EXPECT_TRUE(outcome.status == SP_EUSAGE || (job.model.empty() && outcome.status != SP_OK))
        << one.word << ": " << outcome.message;
    EXPECT_NE(outcome.message.find(one.word), std::string::npos) << outcome.message;
    EXPECT_FALSE(fs::exists(scratch_ / "run"));
  }
}

TEST_F(Refusal, MissingInputIsAnIoErrorThatNamesIt) {
  Job job = MakeJob();
  job.archives = {scratch_ / "a.jsonl", scratch_ / "none.jsonl"};
  Outcome outcome = Score(job);
  EXPECT_EQ(outcome.status, SP_EIO);
  EXPECT_NE(outcome.message.find("none.jsonl"), std::string::npos) << outcome.message;
  EXPECT_FALSE(fs::exists(job.out));
}

}  // namespace
