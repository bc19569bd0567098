#include "run_status.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmath>

#include "child.h"
#include "prometheus.h"
#include "run_fixture.h"
#include "run_metrics.h"
#include "run_pace.h"
#include "run_plan.h"

namespace {

using sp_test::Child;
using sp_test::Contains;
using sp_test::FilesOf;
using sp_test::MakeLines;
using sp_test::MakeManifest;
using sp_test::Metrics;
using sp_test::ReadFile;
using sp_test::ReadMetrics;
using sp_test::RenewFile;
using sp_test::Scratch;
using sp_test::ShardPath;
using sp_test::WriteFile;
using sp_test::WriteShard;

constexpr size_t kShards = 6, kUtts = 4, kHyps = 3;  // utterances a shard, hypotheses an utterance

// What a look saw, released by the destructor.
struct Seen : sp_run_status {
  Seen() : sp_run_status() {}
  ~Seen() {
    sp_run_status_release(this);
  }
  Seen(const Seen &) = delete;
  Seen &operator=(const Seen &) = delete;
};

class RunStatus : public ::testing::Test {
 protected:
  ~RunStatus() override {
    sp_run_watch_destroy(watch_);
  }

  static double Clock(void *self) {
    return static_cast<RunStatus *>(self)->now_;
  }

  // The same watch all the time: what it remembers counts.
  sp_status Look(Seen *seen) {
    if (!watch_) {
      sp_watch_rules rules{};
      rules.run = run_.c_str();
      rules.clock = Clock;
      rules.context = this;
      EXPECT_SP_OK(sp_run_watch_create(&rules, &watch_, &err));
    }
    sp_run_status_release(seen);
    err = {};
    return sp_run_watch_look(watch_, seen, &err);
  }
  // A run without shards.
  void Begin() {
    std::filesystem::create_directory(run_);
    json_t *manifest = MakeManifest(kShards, kUtts, kShards * kUtts, kShards * kUtts * kHyps);
    ASSERT_SP_OK(sp_run_manifest_write(run_.c_str(), manifest, &err));
    json_decref(manifest);
  }
  void Finish(size_t shard) {
    std::string prefix = "utt-" + std::to_string(shard) + "-";
    ASSERT_SP_OK(WriteShard(run_, shard, kShards, MakeLines(prefix, kUtts, kHyps), &err));
  }
  void Plan(double first_cost) {  // shard k costs first_cost / (k + 1)
    std::vector<sp_plan_shard> plan(kShards);
    for (size_t k = 0; k < kShards; k++) {
      plan[k].utts = kUtts;
      plan[k].hyps = kUtts * kHyps;
      plan[k].tokens = 50;
      plan[k].cost = first_cost / static_cast<double>(k + 1);
    }
    ASSERT_SP_OK(sp_run_plan_write(run_.c_str(), plan.data(), kShards, &err));
  }
  sp_claims *Worker(const char *part) {
    sp_claims_rules rules{};
    rules.run = run_.c_str();
    rules.part = part;
    sp_claims *claims = nullptr;
    EXPECT_SP_OK(sp_claims_open(&rules, &claims, &err));
    return claims;
  }
  void Claim(sp_claims *claims, size_t shard) {
    sp_claim claim = SP_CLAIM_HELD;
    bool took_over = false;
    ASSERT_SP_OK(sp_claims_take(claims, shard, &claim, &took_over, &err));
    ASSERT_EQ(claim, SP_CLAIM_MINE);
  }
  void Beat(sp_claims *claims, uint64_t hyps, double speed) {
    ASSERT_SP_OK(sp_claims_beat(claims, hyps, speed, &err));
  }
  // A worker of this host that claims the shards and dies.
  void DeadWorker(const std::vector<size_t> &shards) {
    Child child([&] {
      sp_claims *claims = Worker("2/2");
      for (size_t shard : shards)
        Claim(claims, shard);
      return HasFailure() ? 1 : 0;
    });
    ASSERT_EQ(child.End(), 0);
  }
  void Expect(const Seen &seen, sp_run_stage stage, size_t done, size_t running, size_t stale,
              size_t open) {
    EXPECT_EQ(seen.stage, stage);
    EXPECT_EQ(seen.shards, kShards);
    EXPECT_EQ(seen.done, done);
    EXPECT_EQ(seen.running, running);
    EXPECT_EQ(seen.stale, stale);
    EXPECT_EQ(seen.open, open);
  }

  Scratch scratch_;
  std::string run_ = scratch_ / "RUN";
  sp_error err{};
  double now_ = 1000;
  sp_run_watch *watch_ = nullptr;
};

TEST_F(RunStatus, ACompleteRun) {
  sp_test::BuildRun(run_, kShards, kUtts, kHyps);
  Seen seen;
  ASSERT_SP_OK(Look(&seen));
  Expect(seen, SP_RUN_COMPLETE, kShards, 0, 0, 0);
  EXPECT_EQ(seen.utts_done, seen.utts);
  EXPECT_EQ(seen.hyps, kShards * kUtts * kHyps);
  EXPECT_EQ(seen.hyps_done, seen.hyps);
  EXPECT_EQ(seen.seconds_left, 0);
  EXPECT_EQ(seen.n_workers, 0u);
}

TEST_F(RunStatus, ARunThatNobodyFinishes) {
  Begin();
  Finish(1);
  Finish(4);
  std::filesystem::remove(ShardPath(run_, 4, kShards, ".jsonl.zst"));  // half a shard is none
  WriteFile(run_ + "/scores-00077-of-00006.done", "not of this run");
  WriteFile(run_ + "/.tmp-scores-00000-of-00006.1.2", "unfinished");
  auto before = FilesOf(run_);
  Seen seen;
  ASSERT_SP_OK(Look(&seen));
  Expect(seen, SP_RUN_STOPPED, 1, 0, 0, 5);
  EXPECT_EQ(seen.utts_done, kUtts);
  EXPECT_EQ(seen.hyps_done, kUtts * kHyps);
  EXPECT_TRUE(std::isnan(seen.hyps_per_second));
  EXPECT_TRUE(std::isnan(seen.seconds_left));
  EXPECT_EQ(FilesOf(run_), before) << "a look writes nothing";
}

TEST_F(RunStatus, AllShardsWithoutTheSealAreNotComplete) {
  sp_test::BuildRun(run_, kShards, kUtts, kHyps);
  std::filesystem::remove(run_ + "/_SUCCESS");
  Seen seen;
  ASSERT_SP_OK(Look(&seen));
  Expect(seen, SP_RUN_STOPPED, kShards, 0, 0, 0);
  ASSERT_SP_OK(sp_run_success_write(run_.c_str(), kShards, &err));
  std::filesystem::remove(ShardPath(run_, 0, kShards, ".done"));
  ASSERT_SP_OK(Look(&seen));
  EXPECT_EQ(seen.stage, SP_RUN_STOPPED) << "nor is the seal without all shards";
}

TEST_F(RunStatus, AProcessThatHasTheRunAlone) {
  Begin();
  sp_run_lock lock;
  ASSERT_SP_OK(sp_run_lock_take(run_.c_str(), &lock, &err));
  Seen seen;
  ASSERT_SP_OK(Look(&seen));
  EXPECT_EQ(seen.stage, SP_RUN_RUNNING);
  ASSERT_EQ(seen.n_workers, 1u);
  EXPECT_TRUE(seen.workers[0].alone);
  EXPECT_FALSE(seen.workers[0].gone);
  EXPECT_EQ(seen.workers[0].is.pid, getpid());
  EXPECT_EQ(seen.workers[0].is.start[10], 'T');
  EXPECT_TRUE(std::isnan(seen.hyps_per_second)) << "one look tells no speed";

  now_ += 4;
  Finish(0);
  Finish(1);
  ASSERT_SP_OK(Look(&seen));
  const double speed = 2 * kUtts * kHyps / 4.0;
  EXPECT_DOUBLE_EQ(seen.hyps_per_second, speed);
  EXPECT_DOUBLE_EQ(seen.seconds_left, 4 * kUtts * kHyps / speed);
  now_ += 4;
  ASSERT_SP_OK(Look(&seen));
  EXPECT_DOUBLE_EQ(seen.hyps_per_second, speed / 2) << "nothing was done since";

  sp_run_lock_release(run_.c_str(), &lock);
  ASSERT_SP_OK(Look(&seen));
  EXPECT_EQ(seen.stage, SP_RUN_STOPPED);
  EXPECT_EQ(seen.n_workers, 0u);
}

TEST_F(RunStatus, AProcessThatDiedWithTheLock) {
  Begin();
  sp_run_lock lock;
  Child child([&] { return sp_run_lock_take(run_.c_str(), &lock, nullptr) == SP_OK ? 0 : 1; });
  ASSERT_EQ(child.End(), 0);
  Seen seen;
  ASSERT_SP_OK(Look(&seen));
  EXPECT_EQ(seen.stage, SP_RUN_STOPPED);
  ASSERT_EQ(seen.n_workers, 1u);
  EXPECT_TRUE(seen.workers[0].gone);
}

TEST_F(RunStatus, TheInputIsStillBeingRead) {
  std::filesystem::create_directory(run_);
  sp_run_lock lock;
  ASSERT_SP_OK(sp_run_lock_take(run_.c_str(), &lock, &err));
  Seen seen;
  ASSERT_SP_OK(Look(&seen));
  EXPECT_EQ(seen.stage, SP_RUN_BEGINNING);
  EXPECT_EQ(seen.shards, 0u);
  Begin();
  ASSERT_SP_OK(Look(&seen));
  EXPECT_EQ(seen.stage, SP_RUN_RUNNING) << "the same watch sees run.json come";
  EXPECT_EQ(seen.shards, kShards);
  sp_run_lock_release(run_.c_str(), &lock);
}

TEST_F(RunStatus, APreparedRunIsNotStoppedBeforeSomebodyScored) {
  std::filesystem::create_directory(run_);
  json_t *manifest = MakeManifest(kShards, kUtts, kShards * kUtts, kShards * kUtts * kHyps);
  json_t *identity = json_object_get(manifest, "identity");
  json_object_set_new(identity, "device_type", json_null());
  ASSERT_SP_OK(sp_run_manifest_write(run_.c_str(), manifest, &err));
  Seen seen;
  ASSERT_SP_OK(Look(&seen));
  Expect(seen, SP_RUN_PREPARED, 0, 0, 0, kShards);
  EXPECT_TRUE(std::isnan(seen.seconds_left));
  sp_claims *worker = Worker("1/1");
  ASSERT_SP_OK(Look(&seen));
  EXPECT_EQ(seen.stage, SP_RUN_RUNNING);
  json_object_set_new(identity, "device_type", json_string("cpu"));
  ASSERT_SP_OK(sp_run_manifest_write(run_.c_str(), manifest, &err));
  json_decref(manifest);
  sp_claims_close(worker);
  ASSERT_SP_OK(Look(&seen));
  EXPECT_EQ(seen.stage, SP_RUN_STOPPED) << "the same watch sees that somebody had begun";
}

TEST_F(RunStatus, ADirectoryThatIsNoRun) {
  Seen seen;
  EXPECT_EQ(Look(&seen), SP_EDAMAGED);
  EXPECT_TRUE(Contains(err.message, run_ + " is no run directory")) << err.message;
  std::filesystem::create_directory(run_);
  EXPECT_EQ(Look(&seen), SP_EDAMAGED);
  WriteFile(run_ + "/.lock", "of some other program");
  EXPECT_EQ(Look(&seen), SP_EDAMAGED);
  std::filesystem::remove(run_ + "/.lock");
  ASSERT_EQ(mkfifo((run_ + "/.lock").c_str(), 0600), 0);
  EXPECT_EQ(Look(&seen), SP_EDAMAGED) << "and a pipe must not stop the look";
  std::filesystem::remove_all(run_);
  WriteFile(run_, "a file");
  EXPECT_EQ(Look(&seen), SP_EDAMAGED);
}

TEST_F(RunStatus, ADamagedRun) {
  Begin();
  Finish(0);
  RenewFile(ShardPath(run_, 0, kShards, ".done"), "{}");
  Seen seen;
  EXPECT_EQ(Look(&seen), SP_EDAMAGED);
  EXPECT_TRUE(Contains(err.message, "scores-00000-of-00006.done")) << err.message;
  RenewFile(run_ + "/run.json", "{");
  EXPECT_EQ(Look(&seen), SP_EDAMAGED);
  EXPECT_TRUE(Contains(err.message, "run.json")) << err.message;
}

TEST_F(RunStatus, AnotherRunInItsPlaceIsReadAnew) {
  Begin();
  Finish(0);
  Seen seen;
  ASSERT_SP_OK(Look(&seen));
  std::filesystem::rename(run_, scratch_ / "old");  // keeps its inode from being given again
  sp_test::BuildRun(run_, 2, 5, 1);
  ASSERT_SP_OK(Look(&seen));
  EXPECT_EQ(seen.stage, SP_RUN_COMPLETE);
  EXPECT_EQ(seen.hyps_done, 10u);
}

// ---- many workers ----

TEST_F(RunStatus, WorkersAndWhatTheyHave) {
  Begin();
  Finish(5);
  sp_claims *first = Worker("1/2"), *second = Worker(nullptr);
  Claim(first, 0);
  Claim(first, 2);
  Claim(second, 1);
  Beat(first, 120, 40);
  Beat(second, 60, 20);
  Seen seen;
  ASSERT_SP_OK(Look(&seen));
  Expect(seen, SP_RUN_RUNNING, 1, 3, 0, 2);
  EXPECT_DOUBLE_EQ(seen.hyps_per_second, 60);
  EXPECT_DOUBLE_EQ(seen.seconds_left, 5 * kUtts * kHyps / 60.0);
  ASSERT_EQ(seen.n_workers, 2u);
  const sp_worker_status *one = nullptr;
  for (size_t i = 0; i < 2; i++) {
    EXPECT_EQ(seen.workers[i].is.pid, getpid());
    EXPECT_FALSE(seen.workers[i].alone);
    EXPECT_TRUE(std::isnan(seen.workers[i].beat_age));
    if (seen.workers[i].is.id == std::string(sp_claims_id(first)))
      one = &seen.workers[i];
  }
  ASSERT_TRUE(one);
  EXPECT_STREQ(one->is.part, "1/2");
  EXPECT_EQ(one->is.hyps_done, 120u);
  ASSERT_EQ(one->n_shards, 2u);
  EXPECT_EQ(one->shards[0] + one->shards[1], 2u);

  Finish(0);  // published, but its claim is still there
  ASSERT_SP_OK(Look(&seen));
  Expect(seen, SP_RUN_RUNNING, 2, 2, 0, 2);
  sp_claims_close(first);
  sp_claims_close(second);
  ASSERT_SP_OK(Look(&seen));
  Expect(seen, SP_RUN_STOPPED, 2, 0, 0, 4);
}

TEST_F(RunStatus, AWorkerOfThisHostThatDiedIsGoneAtOnce) {
  Begin();
  DeadWorker({3, 4});
  sp_claims *alive = Worker("1/2");
  Claim(alive, 0);
  Seen seen;
  ASSERT_SP_OK(Look(&seen));
  Expect(seen, SP_RUN_RUNNING, 0, 1, 2, 3);
  ASSERT_EQ(seen.n_workers, 2u);
  EXPECT_NE(seen.workers[0].gone, seen.workers[1].gone);
  sp_claims_close(alive);
  ASSERT_SP_OK(Look(&seen));
  Expect(seen, SP_RUN_STOPPED, 0, 0, 2, 4);
}

TEST_F(RunStatus, AWorkerWhoseBeatStopsIsGoneAfterTheLease) {
  Begin();
  sp_claims *worker = Worker("1/1");
  Claim(worker, 0);
  Seen seen;
  ASSERT_SP_OK(Look(&seen));
  now_ += 50;
  ASSERT_SP_OK(Look(&seen));
  EXPECT_DOUBLE_EQ(seen.workers[0].beat_age, 50);
  Expect(seen, SP_RUN_RUNNING, 0, 1, 0, 5);
  now_ += 11;
  ASSERT_SP_OK(Look(&seen));
  EXPECT_TRUE(seen.workers[0].gone) << "it may sleep: its lock is held";
  Expect(seen, SP_RUN_STOPPED, 0, 0, 1, 5);
  Beat(worker, 0, 0);
  ASSERT_SP_OK(Look(&seen));
  EXPECT_FALSE(seen.workers[0].gone);
  EXPECT_EQ(seen.workers[0].beat_age, 0);
  Expect(seen, SP_RUN_RUNNING, 0, 1, 0, 5);
  sp_claims_close(worker);
}

TEST_F(RunStatus, AClaimWhoseWorkerHasNoFileIsStale) {
  Begin();
  DeadWorker({2});
  for (const std::string &name : FilesOf(run_ + "/" SP_RUN_CLAIMS)) {
    if (name.rfind("worker-", 0) == 0)
      std::filesystem::remove(run_ + "/" SP_RUN_CLAIMS "/" + name);
  }
  Seen seen;
  ASSERT_SP_OK(Look(&seen));
  Expect(seen, SP_RUN_STOPPED, 0, 0, 1, 5);
  EXPECT_EQ(seen.n_workers, 0u);
}

TEST_F(RunStatus, ThePlanSaysWhatIsLeft) {
  Begin();
  Plan(60);  // 60 30 20 15 12 10
  Finish(0);
  sp_claims *worker = Worker("1/1");
  Beat(worker, 12, 6);
  Seen seen;
  ASSERT_SP_OK(Look(&seen));
  EXPECT_TRUE(seen.has_plan);
  EXPECT_DOUBLE_EQ(seen.cost, 147);
  EXPECT_DOUBLE_EQ(seen.cost_done, 60);
  // the 12 hypotheses that are done cost 60: 6 a second are a cost of 30 a second
  EXPECT_NEAR(seen.seconds_left, 87 / 30.0, 1e-9);
  Beat(worker, 12, 0);
  now_ += 2;
  Finish(1);
  ASSERT_SP_OK(Look(&seen));
  EXPECT_NEAR(seen.seconds_left, 57 / 15.0, 1e-9) << "no worker tells a speed: 30 in 2 seconds";
  sp_claims_close(worker);
}

// run.json comes first.
TEST_F(RunStatus, APlanThatComesLaterIsSeen) {
  Begin();
  Finish(0);
  Seen seen;
  ASSERT_SP_OK(Look(&seen));
  EXPECT_FALSE(seen.has_plan);
  Plan(60);
  ASSERT_SP_OK(Look(&seen));
  EXPECT_TRUE(seen.has_plan);
  EXPECT_DOUBLE_EQ(seen.cost_done, 60);
}

TEST_F(RunStatus, HostileClaimsDoNotMislead) {
  Begin();
  Finish(0);
  DeadWorker({1});
  const std::string claims = run_ + "/" SP_RUN_CLAIMS "/";
  WriteFile(claims + "00000.9", "worker of a shard that is done");
  WriteFile(claims + "99999.1", "a shard beyond the run");
  WriteFile(claims + "00002.99999999999999999999", "x");
  WriteFile(claims + "-1.1", "x");
  WriteFile(claims + "worker-\xff\n", "{\"host\":5}");
  std::filesystem::create_directory(claims + "00003.1");
  ASSERT_EQ(mkfifo((claims + "worker-pipe").c_str(), 0600), 0);
  Seen seen;
  ASSERT_SP_OK(Look(&seen));
  Expect(seen, SP_RUN_STOPPED, 1, 0, 1, 4);
  EXPECT_EQ(seen.n_workers, 1u);
}

// ---- speed ----

TEST(RunPace, CountsFromTheOldestPoint) {
  sp_run_pace pace{};
  sp_run_pace_note(&pace, 10, 100, 5);
  EXPECT_TRUE(std::isnan(sp_run_pace_hyps(&pace, 20)));
  sp_run_pace_note(&pace, 12, 100, 5);
  EXPECT_TRUE(std::isnan(sp_run_pace_hyps(&pace, 20)));
  sp_run_pace_note(&pace, 14, 140, 13);
  EXPECT_DOUBLE_EQ(sp_run_pace_hyps(&pace, 14), 10);
  EXPECT_DOUBLE_EQ(sp_run_pace_costs(&pace, 18), 1);
  sp_run_pace_note(&pace, 20, 30, 0);
  EXPECT_TRUE(std::isnan(sp_run_pace_hyps(&pace, 30))) << "shards were taken away: anew";
}

TEST(RunPace, ForgetsWhatIsLongAgo) {
  sp_run_pace pace{};
  for (int k = 0; k < 10 * SP_PACE_POINTS; k++) {
    double speed = k < 5 * SP_PACE_POINTS ? 1 : 100;
    uint64_t hyps = pace.n ? pace.points[pace.n - 1].hyps + static_cast<uint64_t>(speed) : 0;
    sp_run_pace_note(&pace, k, hyps, 0);
  }
  EXPECT_EQ(pace.n, static_cast<size_t>(SP_PACE_POINTS));
  EXPECT_DOUBLE_EQ(sp_run_pace_hyps(&pace, 10 * SP_PACE_POINTS - 1), 100);
}

// ---- metrics ----

std::string TextOf(const std::string &run, const sp_run_status &status) {
  sp_buf out{};
  sp_error err{};
  EXPECT_SP_OK(sp_run_metrics_text(run.c_str(), &status, &out, &err));
  std::string text(out.data, out.len);
  sp_buf_release(&out);
  return text;
}

TEST(RunMetrics, TellWhatTheStatusTells) {
  sp_worker_status workers[2] = {};
  snprintf(workers[0].is.id, sizeof workers[0].is.id, "a");
  snprintf(workers[0].is.host, sizeof workers[0].is.host, "node1");
  snprintf(workers[0].is.part, sizeof workers[0].is.part, "1/2");
  workers[0].is.hyps_done = 40;
  workers[0].is.hyps_per_second = 12.5;
  workers[0].n_shards = 3;
  snprintf(workers[1].is.id, sizeof workers[1].is.id, "b");
  workers[1].gone = true;
  workers[1].is.hyps_per_second = std::nan("");
  sp_run_status status{};
  status.stage = SP_RUN_RUNNING;
  status.shards = 10;
  status.done = 1;
  status.running = 2;
  status.stale = 3;
  status.open = 4;
  status.utts = 50;
  status.utts_done = 5;
  status.hyps = uint64_t{1} << 60;
  status.hyps_done = 500;
  status.has_plan = true;
  status.cost = 1e20;
  status.cost_done = 1e19;
  status.hyps_per_second = 12.5;
  status.seconds_left = std::nan("");
  status.workers = workers;
  status.n_workers = 2;
  std::string text = TextOf("run", status);
  Metrics metrics = ReadMetrics(text);
  EXPECT_EQ(metrics.At("secondpass_shards", {{"run", "run"}, {"state", "done"}}), 1);
  EXPECT_EQ(metrics.At("secondpass_shards", {{"state", "running"}}), 2);
  EXPECT_EQ(metrics.At("secondpass_shards", {{"state", "stale"}}), 3);
  EXPECT_EQ(metrics.At("secondpass_shards", {{"state", "open"}}), 4);
  EXPECT_EQ(metrics.At("secondpass_utterances"), 50);
  EXPECT_EQ(metrics.At("secondpass_utterances_done_total"), 5);
  EXPECT_TRUE(Contains(text, " 1152921504606846976\n")) << "counts are whole";
  EXPECT_EQ(metrics.At("secondpass_hypotheses_done_total"), 500);
  EXPECT_EQ(metrics.At("secondpass_hypotheses_per_second"), 12.5);
  EXPECT_TRUE(std::isnan(metrics.At("secondpass_remaining_seconds")));
  EXPECT_EQ(metrics.At("secondpass_cost_flops"), 1e20);
  EXPECT_EQ(metrics.At("secondpass_cost_done_flops_total"), 1e19);
  EXPECT_EQ(metrics.At("secondpass_run_stage", {{"stage", "running"}}), 1);
  EXPECT_EQ(metrics.At("secondpass_run_stage", {{"stage", "complete"}}), 0);
  EXPECT_EQ(metrics.At("secondpass_workers", {{"state", "live"}}), 1);
  EXPECT_EQ(metrics.At("secondpass_workers", {{"state", "gone"}}), 1);
  EXPECT_EQ(
      metrics.At("secondpass_worker_up", {{"worker", "a"}, {"host", "node1"}, {"part", "1/2"}}), 1);
  EXPECT_EQ(metrics.At("secondpass_worker_up", {{"worker", "b"}}), 0);
  EXPECT_EQ(metrics.At("secondpass_worker_shards", {{"worker", "a"}}), 3);
  EXPECT_EQ(metrics.At("secondpass_worker_hypotheses_total", {{"worker", "a"}}), 40);
  EXPECT_EQ(metrics.At("secondpass_worker_hypotheses_per_second", {{"worker", "a"}}), 12.5);
  EXPECT_TRUE(std::isnan(metrics.At("secondpass_worker_hypotheses_per_second", {{"worker", "b"}})));
}

TEST(RunMetrics, EveryStageIsWellFormed) {
  for (int stage = SP_RUN_BEGINNING; stage <= SP_RUN_COMPLETE; stage++) {
    sp_run_status status{};
    status.stage = static_cast<sp_run_stage>(stage);
    Metrics metrics = ReadMetrics(TextOf("run", status));
    EXPECT_EQ(metrics.At("secondpass_run_stage", {{"stage", sp_run_stage_name(status.stage)}}), 1);
    EXPECT_EQ(metrics.values.count("secondpass_worker_up"), 0u);
    EXPECT_EQ(metrics.values.count("secondpass_cost_flops"), 0u);
  }
}

TEST(RunMetrics, LabelsAreEscaped) {
  sp_run_status status{};
  const std::string name = "a \"b\" \\c\nd{e=\"f\"} \xc3\xa9";
  Metrics metrics = ReadMetrics(TextOf(name, status));
  EXPECT_EQ(metrics.At("secondpass_utterances", {{"run", name}}), 0);
  metrics = ReadMetrics(TextOf("bad \xff\xc3 utf-8", status));
  EXPECT_EQ(metrics.At("secondpass_utterances", {{"run", "bad ?? utf-8"}}), 0);
}

TEST(RunMetrics, TheFileIsReplacedAsAWhole) {
  Scratch scratch;
  sp_run_status status{};
  sp_error err{};
  const std::string path = scratch / "run.prom";
  WriteFile(path, "old");
  ASSERT_SP_OK(sp_run_metrics_write(path.c_str(), "run", &status, &err));
  EXPECT_EQ(ReadFile(path), TextOf("run", status));
  EXPECT_EQ(FilesOf(scratch.path()), std::vector<std::string>{"run.prom"});
  EXPECT_EQ(sp_run_metrics_write((scratch / "none/run.prom").c_str(), "run", &status, &err),
            SP_EIO);
  EXPECT_TRUE(Contains(err.message, "none/run.prom")) << err.message;
}

}  // namespace
