// latency_test.cc - what --latency adds to lines, markers and the summary.
#include "latency.h"

#include <jansson.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <sstream>

#include "engine_fixture.h"
#include "measure.h"
#include "replay.h"

namespace {

using namespace sp_test;
namespace fs = std::filesystem;

class LatencyRun : public testing::Test {
 protected:
  void SetUp() override {
    model_ = MakeModel(scratch_ / "model");
    WriteFile(scratch_ / "a.jsonl", ToJsonl(MakeArchive(60)));
  }
  Job MakeJob(const std::string &run, const std::string &mask) {
    Job job;
    job.model = model_;
    job.archives = {scratch_ / "a.jsonl"};
    job.out = run == "-" ? run : scratch_ / run;
    job.methods = "maskless";
    job.shard_utts = 7;
    job.latency = true;
    job.mask = mask;
    job.force_mask = !mask.empty();
    return job;
  }
  static Outcome Done(Job job) {
    Outcome outcome = Score(job);
    EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
    return outcome;
  }
  static void ExpectSame(const sp_latency_summary &a, const sp_latency_summary &b) {
    EXPECT_EQ(a.mean, b.mean);
    EXPECT_EQ(a.p99, b.p99);
    EXPECT_EQ(a.emission_mean, b.emission_mean);
    EXPECT_EQ(a.outputs, b.outputs);
    EXPECT_EQ(a.clipped, b.clipped);
    EXPECT_EQ(a.upl_mean, b.upl_mean);
    EXPECT_EQ(a.upl_max, b.upl_max);
  }

  Scratch scratch_;
  std::string model_;
};

// Two layers that look two positions ahead: 4, and clipped for the last three of a text of n tokens.
TEST_F(LatencyRun, LinesSayWhatTheMaskAsksFor) {
  Outcome outcome = Done(MakeJob("-", "layerwise:2"));
  std::istringstream lines(outcome.lines);
  uint64_t outputs = 0, clipped = 0;
  size_t hyps = 0;
  for (std::string line; std::getline(lines, line);) {
    json_t *json = json_loads(line.c_str(), 0, nullptr);
    ASSERT_TRUE(json) << line;
    uint64_t of_list = 0;
    size_t h;
    json_t *hyp;
    json_array_foreach(json_object_get(json, "hyps"), h, hyp) {
      json_int_t n = json_integer_value(json_object_get(hyp, "n"));
      json_t *latency = json_object_get(hyp, "latency");
      ASSERT_EQ(latency != nullptr, n > 0) << line;
      if (!latency)
        continue;
      json_int_t cut = std::min<json_int_t>(n, 3);
      EXPECT_EQ(json_integer_value(json_object_get(latency, "outputs")), n);
      EXPECT_EQ(json_integer_value(json_object_get(latency, "clipped")), cut);
      json_t *mean = json_object_get(latency, "mean");
      if (n > cut)
        EXPECT_EQ(json_number_value(mean), 4.0);
      else
        EXPECT_TRUE(json_is_null(mean));
      of_list += static_cast<uint64_t>(n);
      clipped += static_cast<uint64_t>(cut);
      hyps++;
    }
    EXPECT_EQ(json_integer_value(json_object_get(json_object_get(json, "latency"), "outputs")),
              static_cast<json_int_t>(of_list));
    outputs += of_list;
    json_decref(json);
  }
  const sp_latency_summary &got = outcome.summary.latency;
  EXPECT_GT(hyps, 100u);
  EXPECT_TRUE(got.measured);
  EXPECT_EQ(got.outputs, outputs);
  EXPECT_EQ(got.clipped, clipped);
  EXPECT_EQ(got.mean, 4.0);
  EXPECT_EQ(got.p50, 4.0);
  EXPECT_EQ(got.capacity, 2.0) << "a node a layer";
}

TEST_F(LatencyRun, MasksAgainstTheory) {
  sp_latency_summary causal = Done(MakeJob("-", "causal")).summary.latency;
  EXPECT_EQ(causal.mean, 0);
  EXPECT_EQ(causal.clipped, 0u);
  EXPECT_EQ(causal.upl_max, 0) << "a node a layer and period is just enough";
  sp_latency_summary chunked = Done(MakeJob("-", "chunked:3")).summary.latency;
  EXPECT_EQ(chunked.max, 2);
  EXPECT_GT(chunked.mean, 0.5);
  sp_latency_summary full = Done(MakeJob("-", "full")).summary.latency;
  EXPECT_EQ(full.clipped, 0u);
  EXPECT_GT(full.mean, chunked.mean);
  EXPECT_GT(full.upl_mean, 1) << "everything is released at the end";
}

TEST_F(LatencyRun, TheSummaryIsTheSameStreamedResumedAndComplete) {
  sp_latency_summary streamed = Done(MakeJob("-", "layerwise:1")).summary.latency;
  Job job = MakeJob("run", "layerwise:1");
  sp_latency_summary whole = Done(job).summary.latency;
  EXPECT_EQ(streamed.outputs, whole.outputs);
  EXPECT_EQ(streamed.mean, whole.mean);
  EXPECT_NEAR(streamed.upl_mean, whole.upl_mean, 1e-12);
  auto files = FilesOf(job.out);
  fs::remove(job.out + "/_SUCCESS");
  fs::remove(job.out + "/scores-00002-of-00009.done");
  Outcome resumed = Done(job);
  EXPECT_EQ(resumed.summary.shards_resumed, 8u);
  ExpectSame(resumed.summary.latency, whole);
  EXPECT_TRUE(SameFiles(FilesOf(job.out), files));
  Outcome complete = Done(job);
  EXPECT_TRUE(complete.summary.already_complete);
  ExpectSame(complete.summary.latency, whole);
}

TEST_F(LatencyRun, ItIsPartOfTheIdentity) {
  Job job = MakeJob("run", "causal");
  Done(job);
  Job without = MakeJob("run", "causal");
  without.latency = false;
  EXPECT_EQ(Score(without).status, SP_EIDENTITY);
  job.capacity = 3;
  Outcome other = Score(job);
  EXPECT_EQ(other.status, SP_EIDENTITY);
  EXPECT_NE(other.message.find("latency"), std::string::npos) << other.message;
}

TEST_F(LatencyRun, ScoresStayAsTheyAre) {
  Job without = MakeJob("-", "layerwise:1");
  without.latency = false;
  ScoreTable expected = ToTable(Done(without).lines);
  ScoreTable got = ToTable(Done(MakeJob("-", "layerwise:1")).lines);
  for (auto &[key, members] : got)
    members.erase("latency");
  EXPECT_TRUE(SameScores(got, expected));
}

// Latencies of every hypothesis with tokens, by masks that a streamed pass makes for itself.
std::vector<sp_latency_stats> Replayed(const Job &job) {
  std::vector<sp_latency_stats> out;
  const char *archive = job.archives[0].c_str();
  sp_score_options options{};
  options.model = job.model.c_str();
  options.archives = &archive;
  options.n_archives = 1;
  options.methods = "maskless";
  options.dtype = job.dtype.c_str();
  options.threads = 1;
  sp_workload w;
  sp_replay *replay = nullptr;
  sp_error err{};
  EXPECT_EQ(sp_workload_open(&options, 0, 0, &w, &err), SP_OK) << err.message;
  const sp_tokenizer_info *info = sp_tokenizer_get_info(w.context.tokenizer);
  EXPECT_EQ(sp_replay_create(w.context.weights[0], &w.context.lookahead, w.context.max_tokens + 2,
                             &replay, &err),
            SP_OK);
  for (size_t h = 0; h < w.job.n_hyps; h++) {
    const sp_job_hyp &hyp = w.job.hyps[h];
    if (hyp.n == 0)
      continue;
    std::vector<int32_t> ids{info->cls};
    ids.insert(ids.end(), hyp.ids, hyp.ids + hyp.n);
    ids.push_back(info->sep);
    size_t nodes;
    sp_latency latency;
    sp_backlog backlog;
    sp_latency_counts counts{};
    sp_latency_costs costs = sp_latency_default_costs(w.context.config.layers);
    EXPECT_EQ(sp_replay_begin(replay, ids.data(), ids.size(), nullptr, &err), SP_OK);
    EXPECT_EQ(sp_replay_step(replay, ids.size(), &nodes, &err), SP_OK) << err.message;
    const sp_mask_graph *masks = sp_replay_masks(replay);
    EXPECT_EQ(sp_latency_create(masks, &latency, &err), SP_OK);
    EXPECT_EQ(sp_latency_backlog(masks, &latency, nullptr, &costs, &backlog, &err), SP_OK);
    EXPECT_EQ(sp_latency_count(&latency, backlog.upl, &counts, &err), SP_OK);
    out.push_back(sp_latency_stats_of(&counts));
    sp_latency_counts_release(&counts);
    sp_latency_release(&latency);
  }
  sp_replay_destroy(replay);
  sp_workload_close(&w);
  return out;
}

TEST_F(LatencyRun, DynamicMasksAreThoseOfTheUnmaskedPass) {
  sp_random_model model = TinyModel();
  model.scheduler = "3";
  model.scheduler_percent = 25;
  model.config_extra = R"("lookahead": {"policy": "dynamic", "max": 3})";
  model_ = MakeModel(scratch_ / "dynamic", model);
  for (const char *dtype : {"f32", "bf16"}) {
    Job job = MakeJob("-", "");
    job.dtype = dtype;
    std::vector<sp_latency_stats> expected = Replayed(job);
    double spread = 0;
    for (const char *methods : {"maskless", "pll", "pll,pll_l2r,cls"}) {
      job.methods = methods;
      std::istringstream lines(Done(job).lines);
      size_t at = 0;
      for (std::string line; std::getline(lines, line);) {
        json_t *json = json_loads(line.c_str(), 0, nullptr), *hyp;
        size_t h;
        json_array_foreach(json_object_get(json, "hyps"), h, hyp) {
          json_t *latency = json_object_get(hyp, "latency");
          if (!latency)
            continue;
          ASSERT_LT(at, expected.size());
          const sp_latency_stats &want = expected[at++];
          for (int m = 0; m < SP_LATENCY_MEMBERS; m++) {
            json_t *got = json_object_get(latency, sp_latency_key(sp_latency_member(m)));
            if (std::isnan(want.value[m]))
              EXPECT_TRUE(json_is_null(got)) << line;
            else
              EXPECT_EQ(static_cast<float>(json_number_value(got)),
                        static_cast<float>(want.value[m]))
                  << methods << " " << sp_latency_key(sp_latency_member(m)) << " " << line;
          }
          spread = std::max(spread, std::fabs(want.value[SP_LATENCY_MEAN] - 2));
        }
        json_decref(json);
      }
      EXPECT_EQ(at, expected.size());
    }
    EXPECT_GT(spread, 0.2) << "all alike: the masks are not dynamic";
  }
}

TEST_F(LatencyRun, CostsScale) {
  Job job = MakeJob("-", "layerwise:2");
  sp_latency_summary one = Done(job).summary.latency;
  job.node_cost = 4;
  sp_latency_summary four = Done(job).summary.latency;
  EXPECT_EQ(four.capacity, 8);
  EXPECT_NEAR(four.upl_mean, one.upl_mean, 1e-12);
  job.capacity = 1e9;
  EXPECT_EQ(Done(job).summary.latency.upl_max, 0);
  job.capacity = 8;
  job.key_cost = 1;
  EXPECT_GT(Done(job).summary.latency.upl_mean, four.upl_mean);
}

TEST_F(LatencyRun, CostsNeedTheOptionAndANumber) {
  Job job = MakeJob("-", "causal");
  job.latency = false;
  job.capacity = 2;
  Outcome outcome = Score(job);
  EXPECT_EQ(outcome.status, SP_EUSAGE);
  EXPECT_EQ(outcome.message, "--capacity needs --latency");
  for (double bad : {-1.0, std::nan(""), 1e13}) {
    job = MakeJob("-", "causal");
    job.key_cost = bad;
    EXPECT_EQ(Score(job).status, SP_EUSAGE) << bad;
  }
}

}  // namespace
