// prepare_test.cc - a run directory that is made before anybody scores, on a machine without the device.
#include <sys/stat.h>

#include <cstring>
#include <filesystem>
#include <thread>

#include "engine_fixture.h"

namespace {

using namespace sp_test;
namespace fs = std::filesystem;

class Prepare : public testing::Test {
 protected:
  void SetUp() override {
    model_ = MakeModel(scratch_ / "model");
    WriteFile(scratch_ / "a.jsonl", ToJsonl(MakeArchive(60)));
    run_ = scratch_ / "run";
  }
  Job MakeJob() {
    Job job;
    job.model = model_;
    job.archives = {scratch_ / "a.jsonl"};
    job.out = run_;
    job.dtype = "f32";
    job.methods = "cls";
    job.threads = 1;
    job.shard_utts = 7;
    job.lease = 2;
    return job;
  }
  Job Preparer() {
    Job job = MakeJob();
    job.dtype.clear();
    job.prepare = true;
    return job;
  }
  Job Part(size_t part, size_t parts) {
    Job job = MakeJob();
    job.part = part;
    job.parts = parts;
    return job;
  }
  std::map<std::string, std::string> Alone() {
    Job job = MakeJob();
    job.out = scratch_ / "whole";
    Outcome outcome = Score(job);
    EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
    return FilesOf(job.out);
  }
  void ExpectOk(Job job) {
    Outcome outcome = Score(job);
    EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
  }
  void ExpectRefused(Job job, sp_status status, const std::string &part) {
    auto before = FilesOf(run_);
    Outcome outcome = Score(job);
    EXPECT_EQ(outcome.status, status) << outcome.message;
    EXPECT_NE(outcome.message.find(part), std::string::npos) << outcome.message;
    EXPECT_TRUE(SameFiles(FilesOf(run_), before));
  }

  Scratch scratch_;
  std::string model_, run_;
};

TEST_F(Prepare, LeavesPlanAndManifestAlone) {
  Job job = Preparer();
  Outcome outcome = Score(job);
  ASSERT_EQ(outcome.status, SP_OK) << outcome.message;
  auto files = FilesOf(run_);
  EXPECT_EQ(files.size(), 2u);
  EXPECT_EQ(files.count("plan.jsonl.zst"), 1u);
  ASSERT_EQ(files.count("run.json"), 1u);
  EXPECT_NE(files["run.json"].find("\"device_type\": null"), std::string::npos);
  EXPECT_FALSE(fs::exists(run_ + "/.claims"));
  const sp_score_summary &s = outcome.summary;
  EXPECT_EQ(s.counts.utts, 60u);
  EXPECT_EQ(s.shards, 9u);
  EXPECT_EQ(s.shards_open, 9u);
  EXPECT_EQ(s.hyps_scored, 0u);
  EXPECT_EQ(s.devices, 0u);
  EXPECT_STREQ(s.device_type, "");
}

TEST_F(Prepare, PartsThenMakeTheBytesOfALoneRun) {
  auto whole = Alone();
  ExpectOk(Preparer());
  EXPECT_EQ(FilesOf(run_)["plan.jsonl.zst"], whole["plan.jsonl.zst"]);
  for (size_t part = 0; part < 3; part++)
    ExpectOk(Part(part, 3));
  EXPECT_TRUE(SameFiles(FilesOf(run_), whole));
}

TEST_F(Prepare, PartsAtOnceAgreeOnWhoDecides) {
  auto whole = Alone();
  ExpectOk(Preparer());
  std::vector<std::thread> threads;
  for (size_t part = 0; part < 4; part++)
    threads.emplace_back([this, part] { ExpectOk(Part(part, 4)); });
  for (std::thread &thread : threads)
    thread.join();
  EXPECT_TRUE(SameFiles(FilesOf(run_), whole));
}

TEST_F(Prepare, OneWhoWantsTheRunAloneGoesOnToo) {
  auto whole = Alone();
  ExpectOk(Preparer());
  ExpectOk(MakeJob());
  EXPECT_TRUE(SameFiles(FilesOf(run_), whole));
}

TEST_F(Prepare, ManyAtOnceBesideParts) {
  auto whole = Alone();
  std::vector<std::thread> threads;
  for (size_t k = 0; k < 3; k++)
    threads.emplace_back([this] { ExpectOk(Preparer()); });
  for (size_t part = 0; part < 2; part++)
    threads.emplace_back([this, part] { ExpectOk(Part(part, 2)); });
  for (std::thread &thread : threads)
    thread.join();
  EXPECT_TRUE(SameFiles(FilesOf(run_), whole));
}

TEST_F(Prepare, TwiceIsOnce) {
  ExpectOk(Preparer());
  auto once = FilesOf(run_);
  ExpectOk(Preparer());
  EXPECT_TRUE(SameFiles(FilesOf(run_), once));
  ExpectOk(Part(0, 2));
  auto half = FilesOf(run_);
  Job job = Preparer();
  Outcome outcome = Score(job);
  EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
  EXPECT_EQ(outcome.summary.shards_open + outcome.summary.shards_resumed, 9u);
  EXPECT_GT(outcome.summary.shards_resumed, 0u);
  EXPECT_TRUE(SameFiles(FilesOf(run_), half)) << "what decides the bits stays decided";
  ExpectOk(Part(1, 2));
  outcome = Score(job);
  EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
  EXPECT_TRUE(outcome.summary.already_complete);
}

// A job that checks is submitted again when the archive has changed since, and nothing may depend on it then.
TEST_F(Prepare, AgainChecksAgain) {
  std::string text = ReadFile(scratch_ / "a.jsonl");
  ExpectOk(Preparer());
  std::string other = text;
  const size_t at = other.find("\"text\":\"") + strlen("\"text\":\"");
  other[at] = other[at] == 'b' ? 'c' : 'b';
  WriteFile(scratch_ / "a.jsonl", other);
  ExpectRefused(Preparer(), SP_EIDENTITY, "inputs.0.xxh128");
  WriteFile(scratch_ / "a.jsonl", text + "{\"id\"");
  ExpectRefused(Preparer(), SP_EINPUT, "a.jsonl:61");
  WriteFile(scratch_ / "a.jsonl", text);
  ExpectOk(Preparer());
}

TEST_F(Prepare, APipeCannotBeReadByMany) {
  ASSERT_EQ(mkfifo((scratch_ / "fifo").c_str(), 0600), 0);
  for (size_t parts : {0, 2}) {
    Job job = parts ? Part(0, parts) : Preparer();
    job.archives = {scratch_ / "fifo"};
    Outcome outcome = Score(job);
    EXPECT_EQ(outcome.status, SP_EUSAGE);
    EXPECT_NE(outcome.message.find("give a file, which all"), std::string::npos) << outcome.message;
  }
}

TEST_F(Prepare, OtherSettingsAreRefusedAndNamed) {
  ExpectOk(Preparer());
  Job job = Preparer();
  job.methods = "pll";
  job.eos = "z";
  ExpectRefused(job, SP_EIDENTITY, R"(method: the run has "cls", this command "pll")");
  ExpectRefused(job, SP_EIDENTITY, R"(eos: the run has null, this command "z")");
  job = Part(0, 2);
  job.shard_utts = 8;
  ExpectRefused(job, SP_EIDENTITY, "shard_utts: the run has 7, this command 8");
  EXPECT_FALSE(fs::exists(run_ + "/.claims")) << "nor has it decided anything";
  WriteFile(scratch_ / "a.jsonl", ToJsonl(MakeArchive(61)));
  ExpectRefused(Part(0, 2), SP_EIDENTITY, "inputs.0.bytes");
  ExpectRefused(Preparer(), SP_EIDENTITY, "inputs.0.bytes");
}

TEST_F(Prepare, WhatWasAskedForIsKept) {
  Job job = Preparer();
  job.device = "cuda:0";  // which this machine need not have
  job.dtype = "bf16";
  ExpectOk(job);
  auto manifest = FilesOf(run_)["run.json"];
  EXPECT_NE(manifest.find("\"backend\": \"cuda\""), std::string::npos);
  EXPECT_NE(manifest.find("\"dtype\": \"bf16\""), std::string::npos);
  ExpectRefused(Part(0, 2), SP_EIDENTITY, R"(backend: the run has "cuda", this command "cpu")");
  ExpectRefused(Part(0, 2), SP_EIDENTITY, R"(dtype: the run has "bf16", this command "f32")");
  ExpectOk(Preparer());
  job.device = "cpu";
  ExpectRefused(job, SP_EIDENTITY, R"(backend: the run has "cuda", this command "cpu")");
  job.device = "toaster";
  ExpectRefused(job, SP_EUSAGE, "unknown device 'toaster'");
}

TEST_F(Prepare, WhatCannotBeSharedIsRefused) {
  ExpectOk(Preparer());
  Job job = Preparer();
  job.parts = 2;
  ExpectRefused(job, SP_EUSAGE, "by one process");
  job = Preparer();
  job.out = "-";
  ExpectRefused(job, SP_EUSAGE, "by one process");
  job = Preparer();
  job.archives = {"-"};
  ExpectRefused(job, SP_EUSAGE, "by one process");
}

TEST_F(Prepare, BadInputLeavesNothing) {
  WriteFile(scratch_ / "a.jsonl", ToJsonl(MakeArchive(20)) + "{\"id\":\n");
  Job job = Preparer();
  Outcome outcome = Score(job);
  EXPECT_EQ(outcome.status, SP_EINPUT);
  EXPECT_NE(outcome.message.find("a.jsonl:21: "), std::string::npos) << outcome.message;
  EXPECT_FALSE(fs::exists(run_));
  job.stop = 1;
  WriteFile(scratch_ / "a.jsonl", ToJsonl(MakeArchive(20)));
  EXPECT_EQ(Score(job).status, SP_EINTERRUPTED);
  EXPECT_FALSE(fs::exists(run_));
}

}  // namespace
