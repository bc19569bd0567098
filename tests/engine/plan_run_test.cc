// plan_run_test.cc - a plan's counts against counting by hand, and against what a run reports.
#include <cstring>
#include <map>
#include <set>

#include "engine_fixture.h"
#include "tokenizer.h"

namespace {

using namespace sp_test;

using Ids = std::vector<int32_t>;

struct Encoded {
  Ids ids;
  std::vector<uint32_t> word;
};

// What a shard's hypotheses need, one set of everything.
struct Counts {
  uint64_t tokens = 0, duplicates = 0, copies = 0, sequences = 0, sequence_tokens = 0, rows = 0;
  bool operator==(const Counts &o) const {
    return tokens == o.tokens && duplicates == o.duplicates && copies == o.copies &&
           sequences == o.sequences && sequence_tokens == o.sequence_tokens && rows == o.rows;
  }
};

std::ostream &operator<<(std::ostream &out, const Counts &c) {
  return out << "tokens " << c.tokens << " duplicates " << c.duplicates << " copies " << c.copies
             << " sequences " << c.sequences << " sequence tokens " << c.sequence_tokens << " rows "
             << c.rows;
}

class PlanRun : public testing::Test {
 protected:
  void SetUp() override {
    model_ = MakeModel(scratch_ / "model");
    archive_ = MakeArchive(60, 9);
    WriteFile(scratch_ / "a.jsonl", ToJsonl(archive_));
    sp_error err{};
    ASSERT_EQ(sp_tokenizer_open(model_.c_str(), &tokenizer_, &err), SP_OK) << err.message;
    ASSERT_EQ(sp_encoder_create(tokenizer_, false, &encoder_, &err), SP_OK) << err.message;
  }
  void TearDown() override {
    sp_encoder_destroy(encoder_);
    sp_tokenizer_close(tokenizer_);
  }
  Job MakeJob() {
    Job job;
    job.model = model_;
    job.archives = {scratch_ / "a.jsonl"};
    job.shard_utts = 13;
    return job;
  }
  Encoded Encode(const std::string &text) {
    sp_tokens tokens;
    sp_error err{};
    EXPECT_EQ(sp_encode(encoder_, {text.data(), text.size()}, &tokens, &err), SP_OK);
    return {{tokens.ids, tokens.ids + tokens.n}, {tokens.word, tokens.word + tokens.n}};
  }

  // By definition: every masked copy written out; sets tell which are equal.
  Counts CountShard(size_t first, size_t last, const std::set<std::string> &methods, bool dedupe) {
    const sp_tokenizer_info *info = sp_tokenizer_get_info(tokenizer_);
    Counts counts;
    std::set<Ids> texts;
    std::map<Ids, std::set<std::pair<size_t, bool>>> rows; /* position, of the cls head */
    auto add = [&](const Ids &sequence, const std::vector<size_t> &positions, bool cls) {
      counts.copies++;
      if (!dedupe) {
        counts.sequences++;
        counts.sequence_tokens += sequence.size();
        counts.rows += positions.size();
      } else {
        for (size_t position : positions)
          rows[sequence].insert({position, cls});
      }
    };
    for (size_t u = first; u < last; u++) {
      for (const std::string &text : archive_[u].hyps) {
        Encoded encoded = Encode(text);
        size_t n = encoded.ids.size();
        if (n == 0 || n > 62)
          continue;
        counts.tokens += n;
        bool known = !texts.insert(encoded.ids).second;
        counts.duplicates += known && dedupe;
        if (known && dedupe)
          continue; /* its copies are the equal text's */
        Ids plain{info->cls};
        plain.insert(plain.end(), encoded.ids.begin(), encoded.ids.end());
        plain.push_back(info->sep);
        for (size_t t = 0; t < n; t++) {
          Ids one = plain, rest = plain;
          one[t + 1] = info->mask;
          for (size_t j = t; j < n && encoded.word[j] == encoded.word[t]; j++) {
            rest[j + 1] = info->mask;
          }
          if (methods.count("pll"))
            add(one, {t + 1}, false);
          if (methods.count("pll_l2r"))
            add(rest, {t + 1}, false);
        }
        std::vector<size_t> all;
        for (size_t t = 1; t <= n; t++)
          all.push_back(t);
        if (methods.count("maskless"))
          add(plain, all, false);
        if (methods.count("cls"))
          add(plain, {0}, true);
      }
    }
    for (const auto &[sequence, places] : rows) {
      counts.sequences++;
      counts.sequence_tokens += sequence.size();
      counts.rows += places.size();
    }
    return counts;
  }

  Counts CountAll(const std::set<std::string> &methods, bool dedupe) {
    Counts sum;
    for (size_t first = 0; first < archive_.size(); first += 13) {
      Counts c = CountShard(first, std::min(first + 13, archive_.size()), methods, dedupe);
      sum.tokens += c.tokens;
      sum.duplicates += c.duplicates;
      sum.copies += c.copies;
      sum.sequences += c.sequences;
      sum.sequence_tokens += c.sequence_tokens;
      sum.rows += c.rows;
    }
    return sum;
  }

  Scratch scratch_;
  std::string model_;
  Archive archive_;
  sp_tokenizer *tokenizer_ = nullptr;
  sp_encoder *encoder_ = nullptr;
};

Counts Of(const sp_counts &c) {
  return {c.tokens, c.duplicate_hyps, c.copies, c.sequences, c.sequence_tokens, c.scored_rows};
}

// Copies are those of distinct texts: a hypothesis that equals an earlier one adds none.
TEST_F(PlanRun, CountsAreThoseOfCountingByHand) {
  const std::vector<std::set<std::string>> sets = {
      {"pll"},      {"pll_l2r"},        {"cls"},
      {"maskless"}, {"pll", "pll_l2r"}, {"pll", "pll_l2r", "cls", "maskless"}};
  for (const auto &methods : sets) {
    for (bool dedupe : {true, false}) {
      Job job = MakeJob();
      job.methods = "";
      for (const std::string &m : methods)
        job.methods += (job.methods.empty() ? "" : ",") + m;
      job.without = dedupe ? "" : "dedupe";
      Planned planned = Plan(job);
      ASSERT_EQ(planned.status, SP_OK) << planned.message;
      EXPECT_EQ(Of(planned.summary.counts), CountAll(methods, dedupe)) << job.methods << dedupe;
    }
  }
}

TEST_F(PlanRun, PromisesWhatARunReports) {
  Job job = MakeJob();
  job.methods = "pll,cls";
  Planned planned = Plan(job);
  ASSERT_EQ(planned.status, SP_OK) << planned.message;
  const sp_plan_summary &plan = planned.summary;
  job.out = scratch_ / "run";
  Outcome outcome = Score(job);
  ASSERT_EQ(outcome.status, SP_OK) << outcome.message;
  const sp_score_summary &run = outcome.summary;
  EXPECT_EQ(memcmp(&plan.counts, &run.counts, offsetof(sp_counts, flops)), 0);
  EXPECT_NEAR(plan.counts.flops / run.counts.flops, 1, 1e-12); /* shards are added in any order */
  EXPECT_EQ(plan.shards, run.shards);
  EXPECT_EQ(plan.shards, 5u);
  EXPECT_EQ(plan.shard_utts, run.shard_utts);
  EXPECT_STREQ(plan.format, run.format);
  EXPECT_STREQ(plan.dtype, run.dtype);
  EXPECT_STREQ(plan.device_type, run.device_type);
  EXPECT_STREQ(plan.letter_case, run.letter_case);
  EXPECT_STREQ(plan.model_hash, run.model_hash);
  EXPECT_EQ(plan.max_tokens, 62u);
  EXPECT_EQ(plan.longest_tokens, 80u);
  EXPECT_GT(plan.counts.duplicate_hyps, 5u);
  EXPECT_GT(plan.counts.empty + plan.counts.too_long + plan.counts.empty_lists, 3u);
  EXPECT_GT(plan.measured_flops, 0);
  EXPECT_GT(plan.estimated_seconds, 0);
  EXPECT_GT(plan.memory_bytes, 0u);
}

TEST_F(PlanRun, MemoryCountsTheNodesOfEveryThread) {
  Job job = MakeJob();
  job.mask = "causal";
  job.force_mask = true;
  job.batch_tokens = 4096;
  uint64_t taken[2][2];
  for (size_t threads : {1u, 3u}) {
    for (const char *without : {"", "nodes"}) {
      job.threads = threads;
      job.without = without;
      Planned planned = Plan(job);
      ASSERT_EQ(planned.status, SP_OK) << planned.message;
      taken[threads / 3][*without != 0] = planned.summary.memory_bytes;
    }
  }
  EXPECT_GT(taken[0][0], taken[0][1] + 4096 * 100) << "tables and rows of 4096 nodes";
  EXPECT_EQ(taken[1][0] - taken[1][1], 3 * (taken[0][0] - taken[0][1]));
}

TEST_F(PlanRun, WritesNothing) {
  Job job = MakeJob();
  job.out = scratch_ / "run";
  auto before = FilesOf(scratch_.path());
  EXPECT_EQ(Plan(job).status, SP_OK);
  EXPECT_TRUE(SameFiles(FilesOf(scratch_.path()), before));
}

TEST_F(PlanRun, ALimitIsKept) {
  Job job = MakeJob();
  job.limit = 14;
  Planned planned = Plan(job);
  ASSERT_EQ(planned.status, SP_OK) << planned.message;
  EXPECT_EQ(planned.summary.counts.utts, 14u);
  EXPECT_EQ(planned.summary.shards, 2u);
}

TEST_F(PlanRun, AllNullsTakeNoTime) {
  WriteFile(scratch_ / "a.jsonl", ToJsonl({{"u", {"", " "}}, {"v", {}}}));
  Job job = MakeJob();
  Planned planned = Plan(job);
  ASSERT_EQ(planned.status, SP_OK) << planned.message;
  EXPECT_EQ(planned.summary.counts.sequences, 0u);
  EXPECT_EQ(planned.summary.estimated_seconds, 0);
}

TEST_F(PlanRun, BadInputIsNamed) {
  WriteFile(scratch_ / "a.jsonl", ToJsonl(archive_) + "{\"id\":\"x\",\"hyps\":[{\"text\":1}]}\n");
  Job job = MakeJob();
  Planned planned = Plan(job);
  EXPECT_EQ(planned.status, SP_EINPUT);
  EXPECT_NE(planned.message.find("a.jsonl:61"), std::string::npos) << planned.message;
}

}  // namespace
