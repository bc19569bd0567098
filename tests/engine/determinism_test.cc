// determinism_test.cc - whatever is changed about how a run is computed, its scores keep every bit.
// Compiled again for a GPU (SP_TEST_DEVICE) by tests/gpu.
#include <algorithm>
#include <filesystem>
#include <random>
#include <set>

#include "backend.h"
#include "engine_fixture.h"
#include "source_dir.h"

#ifndef SP_TEST_DEVICE
#define SP_TEST_DEVICE "cpu"
#endif

namespace {

using namespace sp_test;

const char kAllMethods[] = "pll,pll_l2r,cls,maskless";

// The savings of a set, as --without takes them.
std::string SavingsOf(unsigned set) {
  const char *names[] = {"head", "trim", "pack", "dedupe", "nodes"};
  std::string out;
  for (unsigned i = 0; i < 5; i++) {
    if (set >> i & 1)
      out += (out.empty() ? "" : ",") + std::string(names[i]);
  }
  return out;
}

class Determinism : public testing::TestWithParam<const char *> {
 protected:
  void SetUp() override {
    const sp_backend *backend = nullptr;
    const char *spec;
    char line[1][SP_DEVICE_LINE];
    sp_error err{};
    ASSERT_EQ(sp_backend_find(SP_TEST_DEVICE, &backend, &spec, &err), SP_OK) << err.message;
    if (backend->list(line, 1) == 0)
      GTEST_SKIP() << "no " SP_TEST_DEVICE " here";
    model_ = MakeModel(scratch_ / "model");
    archive_ = MakeArchive(30);
    WriteFile(scratch_ / "a.jsonl", ToJsonl(archive_));
  }

  Job MakeJob(const std::string &run) {
    Job job;
    job.model = model_;
    job.archives = {scratch_ / "a.jsonl"};
    job.out = scratch_ / run;
    job.methods = kAllMethods;
    job.dtype = GetParam();
    job.device = SP_TEST_DEVICE;
    job.shard_utts = 7;
    job.per_token = true;
    return job;
  }

  // Runs the job and gives the files of its directory, which is removed.
  std::map<std::string, std::string> Files(Job job) {
    Outcome outcome = Score(job);
    EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
    std::map<std::string, std::string> files = FilesOf(job.out);
    std::filesystem::remove_all(job.out);
    return files;
  }

  ScoreTable Table(Job job) {
    Outcome outcome = Score(job);
    EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
    ScoreTable table = ToTable(LinesOf(job.out));
    std::filesystem::remove_all(job.out);
    return table;
  }

  Scratch scratch_;
  std::string model_;
  Archive archive_;
};

INSTANTIATE_TEST_SUITE_P(Types, Determinism, testing::Values("f32", "bf16"),
                         [](const auto &type) { return std::string(type.param); });

// What the other tests compare is worth comparing: many different finite scores.
TEST_P(Determinism, ScoresDiffer) {
  std::set<std::string> values;
  size_t hyps = 0, nulls = 0;
  for (const auto &[key, members] : Table(MakeJob("run"))) {
    hyps++;
    for (const char *method : {"pll", "pll_l2r", "cls", "maskless"}) {
      nulls += members.at(method) == "null";
      values.insert(members.at(method));
    }
  }
  EXPECT_GT(hyps, 60u);
  EXPECT_LT(nulls, hyps);
  EXPECT_GT(values.size(), 150u);
}

TEST_P(Determinism, AnyNumberOfThreads) {
  auto expected = Files(MakeJob("run"));
  EXPECT_EQ(expected.count("_SUCCESS"), 1u);
  for (size_t threads : {1u, 3u, 8u}) {
    Job job = MakeJob("run");
    job.threads = threads;
    EXPECT_TRUE(SameFiles(Files(job), expected)) << threads;
  }
}

TEST_P(Determinism, AnyBatchLimit) {
  auto expected = Files(MakeJob("run"));
  for (size_t tokens : {1u, 65u, 100u, 257u, 1000u, 100000u}) {
    Job job = MakeJob("run");
    job.batch_tokens = tokens;
    EXPECT_TRUE(SameFiles(Files(job), expected)) << tokens;
  }
}

TEST_P(Determinism, WithoutAnySavings) {
  auto expected = Files(MakeJob("run"));
  for (unsigned left_out = 1; left_out < 32; left_out++) {
    Job job = MakeJob("run");
    job.without = SavingsOf(left_out);
    job.batch_tokens = left_out % 2 ? 0 : 200;
    EXPECT_TRUE(SameFiles(Files(job), expected)) << job.without;
  }
}

TEST_P(Determinism, AnyShardSize) {
  ScoreTable expected = Table(MakeJob("run"));
  for (size_t utts : {1u, 10u, 29u, 30u, 1000u}) {
    Job job = MakeJob("run");
    job.shard_utts = utts;
    EXPECT_TRUE(SameScores(Table(job), expected)) << utts;
  }
}

TEST_P(Determinism, AnyArchiveOrder) {
  ScoreTable expected = Table(MakeJob("run"));
  std::mt19937 random(3);
  for (int round = 0; round < 3; round++) {
    std::shuffle(archive_.begin(), archive_.end(), random);
    WriteFile(scratch_ / "b.jsonl", ToJsonl(archive_));
    Job job = MakeJob("run");
    job.archives = {scratch_ / "b.jsonl"};
    job.without = round == 2 ? "dedupe" : "";
    EXPECT_TRUE(SameScores(Table(job), expected)) << round;
  }
}

TEST_P(Determinism, AHypothesisByItselfScoresTheSame) {
  ScoreTable expected = Table(MakeJob("run")), got;
  for (size_t u = 0; u < archive_.size(); u += 6) {
    for (size_t h = 0; h < archive_[u].hyps.size(); h++) {
      WriteFile(scratch_ / "b.jsonl", ToJsonl({{archive_[u].id, {archive_[u].hyps[h]}}}));
      Job job = MakeJob("run");
      job.archives = {scratch_ / "b.jsonl"};
      Members alone = Table(job).at({archive_[u].id, 0});
      alone["i"] = std::to_string(h);
      EXPECT_EQ(alone, expected.at({archive_[u].id, h}));
    }
  }
}

TEST_P(Determinism, MethodsAloneAndTogether) {
  const std::vector<std::vector<std::string>> sets = {{"pll"},
                                                      {"pll_l2r"},
                                                      {"cls"},
                                                      {"maskless"},
                                                      {"pll", "pll_l2r"},
                                                      {"pll", "cls"},
                                                      {"pll_l2r", "maskless"},
                                                      {"cls", "maskless"},
                                                      {"maskless", "pll", "cls"}};
  Job all = MakeJob("run");
  all.per_token = false;
  ScoreTable expected = Table(all);
  for (const auto &methods : sets) {
    Job job = all;
    job.methods = "";
    for (const std::string &m : methods)
      job.methods += (job.methods.empty() ? "" : ",") + m;
    ScoreTable want = OnlyMethods(expected, methods);
    EXPECT_TRUE(SameScores(Table(job), want)) << job.methods;
    job.without = "dedupe,pack";
    EXPECT_TRUE(SameScores(Table(job), want)) << job.methods << " without dedupe, pack";
  }
}

TEST_P(Determinism, EverythingAtOnce) {
  std::mt19937 random(5);
  ScoreTable expected = Table(MakeJob("run"));
  const char *without[] = {"",       "head",      "trim",        "pack",
                           "dedupe", "trim,pack", "pack,dedupe", "nodes"};
  for (int round = 0; round < 8; round++) {
    std::shuffle(archive_.begin(), archive_.end(), random);
    WriteFile(scratch_ / "b.jsonl", ToJsonl(archive_));
    Job job = MakeJob("run");
    job.archives = {scratch_ / "b.jsonl"};
    job.threads = 1 + random() % 4;
    job.batch_tokens = 1 + random() % 600;
    job.shard_utts = 1 + random() % 31;
    job.without = without[random() % 8];
    EXPECT_TRUE(SameScores(Table(job), expected)) << round;
  }
}

// ---- under masks ----

// A mask and what else the runs have in common; batches go by distinct nodes.
struct Masked {
  const char *mask;       // forced; NULL: the model's
  const char *lookahead;  // of the model; NULL: none
  const char *scheduler;
  bool latency;
};

const Masked kMasked[] = {
    {"causal", nullptr, nullptr, false},
    {"layerwise:1", nullptr, nullptr, true},
    {nullptr, R"("lookahead": {"policy": "dynamic", "max": 2})", "2", false},
    {nullptr,
     R"("lookahead": {"policy": "dynamic", "max": 3, "layers": [0, 3], "left": 6, "cls": "last"})",
     "0,3", true}};

#ifdef __SANITIZE_THREAD__
constexpr unsigned kMaskedStep = 11;  // sets of savings between two that are tried
#else
constexpr unsigned kMaskedStep = 1;
#endif

class UnderMasks : public Determinism {
 protected:
  Job MaskedJob(const Masked &masked) {
    sp_random_model model = TinyModel();
    model.config_extra = masked.lookahead;
    model.scheduler = masked.scheduler;
    model.scheduler_percent = 30;
    Job job = MakeJob("run");
    job.model = MakeModel(scratch_ / ("masked-" + std::to_string(&masked - kMasked)), model);
    job.mask = masked.mask ? masked.mask : "";
    job.force_mask = masked.mask != nullptr;
    job.latency = masked.latency;
    return job;
  }
};

INSTANTIATE_TEST_SUITE_P(Types, UnderMasks, testing::Values("f32", "bf16"),
                         [](const auto &type) { return std::string(type.param); });

TEST_P(UnderMasks, AnyThreadsBatchLimitAndSavings) {
  std::mt19937 random(7);
  for (const Masked &masked : kMasked) {
    Job job = MaskedJob(masked);
    job.out = "-";
    Outcome expected = Score(job);
    ASSERT_EQ(expected.status, SP_OK) << expected.message;
    EXPECT_LT(expected.summary.counts.nodes, expected.summary.counts.plain_nodes);
    for (unsigned left_out = 0; left_out < 32; left_out += kMaskedStep) {
      Job other = job;
      const size_t limits[] = {0, 1, 150, 1 + random() % 700};
      other.without = SavingsOf(left_out);
      other.threads = 1 + random() % 4;
      other.batch_tokens = limits[random() % 4];
      Outcome outcome = Score(other);
      EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
      EXPECT_TRUE(outcome.lines == expected.lines)
          << outcome.summary.mask << " without " << other.without << " at " << other.batch_tokens;
    }
  }
}

TEST_P(UnderMasks, AnyOrderAndShards) {
  std::mt19937 random(9);
  for (const Masked &masked : kMasked) {
    Job job = MaskedJob(masked);
    ScoreTable expected = Table(job);
    Archive archive = archive_;
    for (int round = 0; round < (kMaskedStep > 1 ? 1 : 4); round++) {
      std::shuffle(archive.begin(), archive.end(), random);
      WriteFile(scratch_ / "b.jsonl", ToJsonl(archive));
      Job other = job;
      other.archives = {scratch_ / "b.jsonl"};
      other.threads = 1 + random() % 4;
      other.shard_utts = 1 + random() % 31;
      other.batch_tokens = random() % 500;
      other.without = SavingsOf(random() % 2 * 16);
      EXPECT_TRUE(SameScores(Table(other), expected)) << &masked - kMasked << ", " << round;
    }
  }
}

// A hypothesis alone has no node in common with another.
TEST_P(UnderMasks, AHypothesisByItselfScoresTheSame) {
  for (const Masked &masked : kMasked) {
    ScoreTable expected = Table(MaskedJob(masked));
    for (size_t u = 0; u < archive_.size(); u += 9 * kMaskedStep) {
      for (size_t h = 0; h < archive_[u].hyps.size(); h++) {
        WriteFile(scratch_ / "b.jsonl", ToJsonl({{archive_[u].id, {archive_[u].hyps[h]}}}));
        Job job = MaskedJob(masked);
        job.archives = {scratch_ / "b.jsonl"};
        Members alone = Table(job).at({archive_[u].id, 0});
        alone["i"] = std::to_string(h);
        EXPECT_EQ(alone, expected.at({archive_[u].id, h}));
      }
    }
  }
}

// Sizes that no vector divides.
TEST_P(Determinism, OddSizes) {
  sp_random_model odd = TinyModel();
  odd.hidden = 37;
  odd.heads = 1;
  odd.ffn = 53;
  odd.vocab = 131;
  Job job = MakeJob("run");
  job.model = MakeModel(scratch_ / "odd", odd);
  auto expected = Files(job);
  job.threads = 3;
  job.batch_tokens = 77;
  EXPECT_TRUE(SameFiles(Files(job), expected));
  job.without = "head,pack,dedupe";
  EXPECT_TRUE(SameFiles(Files(job), expected));
}

// Real texts, which share many words, under the embedded model.
TEST_P(Determinism, TheSampleArchive) {
  Job job = MakeJob("run");
  job.model = SourceDir() + "/bench/data/model";
  job.archives = {SourceDir() + "/bench/data/dev-clean-200.jsonl.zst"};
  job.methods = "pll,maskless";
  job.limit = 2;
  job.shard_utts = 1;
  auto expected = Files(job);
  job.threads = 3;
  job.batch_tokens = 300;
  job.without = "trim,dedupe";
  EXPECT_TRUE(SameFiles(Files(job), expected));
}

}  // namespace
