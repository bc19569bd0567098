// engine_fixture.h - small models and archives, runs of the engine, and their lines as text.
#ifndef SP_TESTS_ENGINE_FIXTURE_H
#define SP_TESTS_ENGINE_FIXTURE_H

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "random_model.h"
#include "scratch.h"
#include "secondpass.h"

namespace sp_test {

// Two layers, 32 wide, with both heads: all four methods.
sp_random_model TinyModel();
// Writes the model into `directory` and returns it.
std::string MakeModel(const std::string &directory, const sp_random_model &model = TinyModel());

struct Utt {
  std::string id;
  std::vector<std::string> hyps;
};
using Archive = std::vector<Utt>;

// Texts that the made vocabulary spells, from a fixed seed; some are equal, empty, too long for
// TinyModel, or hold special tokens.
Archive MakeArchive(size_t utts, unsigned seed = 1);
std::string ToJsonl(const Archive &archive);

// The caller's options, with strings that live as long.
struct Job {
  std::string model, out, methods = "pll", dtype = "f32", device, without, eos, on_long,
                          letter_case, cls_sign, format, mask;
  std::vector<std::string> archives;
  size_t threads = 2, shard_utts = 0, batch_tokens = 0;
  uint64_t limit = 0;
  bool per_token = false, with_text = false, force_mask = false, latency = false;
  double capacity = 0, node_cost = 0, key_cost = 0;
  size_t part = 0, parts = 0;
  bool prepare = false;
  double lease = 0, grace = 0;
  bool own_share = false;
  const sp_ranks *ranks = nullptr;
  std::function<void(const sp_progress &)> on_progress;
  std::function<sp_status(const std::string &, sp_error *)> on_line;  // default: keeps the lines
  volatile int stop = 0;
};

struct Outcome {
  sp_status status;
  std::string message;
  sp_score_summary summary;
  std::vector<std::string> warnings;
  std::string lines;  // of a stream
};
Outcome Score(Job &job);
// By the ranks of the room, a thread each, of which each tells the others how it ended.
class RankRoom;
std::vector<Outcome> ScoreRanks(const Job &job, RankRoom &room);

struct Planned {
  sp_status status;
  std::string message;
  sp_plan_summary summary;
  std::vector<std::string> warnings;
};
Planned Plan(Job &job);

struct Described {
  sp_status status;
  std::string message;
  sp_described_summary summary;
};
Described PlanFrom(Job &job, const sp_describe &describe);

// All score lines of a run directory, in archive order; fails the test when a shard is unreadable.
std::string LinesOf(const std::string &run);
// Name to bytes of every file, the hidden ones too.
std::map<std::string, std::string> FilesOf(const std::string &folder);
size_t CountEnding(const std::string &folder, const std::string &suffix);
// Names the files that differ, and not their bytes.
testing::AssertionResult SameFiles(const std::map<std::string, std::string> &got,
                                   const std::map<std::string, std::string> &expected);

// (id, rank) to member to value; a number is written with 17 digits, so that equal texts are equal
// bits.
using Members = std::map<std::string, std::string>;
using ScoreTable = std::map<std::pair<std::string, size_t>, Members>;
ScoreTable ToTable(const std::string &lines);
// Shows the first hypothesis that differs.
testing::AssertionResult SameScores(const ScoreTable &got, const ScoreTable &expected);
// The table without the members that `methods` does not list; "i", "n" and "flag" stay.
ScoreTable OnlyMethods(const ScoreTable &table, const std::vector<std::string> &methods);

}  // namespace sp_test
#endif
