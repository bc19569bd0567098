#include "engine_fixture.h"

#include <jansson.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <random>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "rank_threads.h"
#include "shard.h"

namespace sp_test {
namespace {

namespace fs = std::filesystem;

struct Releaser {
  void operator()(json_t *value) const {
    json_decref(value);
  }
};
using Json = std::unique_ptr<json_t, Releaser>;

std::string Dump(const json_t *value) {
  char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(17));
  if (!text)
    throw std::runtime_error("json_dumps");
  std::string out = text;
  free(text);
  return out;
}

std::string RandomText(std::mt19937 &random) {
  std::string text;
  size_t words = 1 + random() % 9;
  for (size_t w = 0; w < words; w++) {
    if (w > 0)
      text += ' ';
    size_t letters = 1 + random() % 5;
    for (size_t l = 0; l < letters; l++)
      text += static_cast<char>('a' + random() % 26);
    if (random() % 8 == 0)
      text += "'s";
    if (random() % 16 == 0)
      text += " w77";
  }
  return text;
}

std::string OddText(std::mt19937 &random, size_t which) {
  switch (which) {
    case 0:
      return "";
    case 1:
      return "a [MASK] " + RandomText(random);
    case 2:
      return RandomText(random) + " \xe2\x82\xac x";
    case 3: {
      std::string longer;
      for (int i = 0; i < 40; i++)
        longer += "ab ";
      return longer;
    }
    default:
      return "[MASK] [MASK] b";
  }
}

struct Call {
  Job *job;
  Outcome *outcome;
};

void TellProgress(void *context, const sp_progress *progress) {
  Call *call = static_cast<Call *>(context);
  if (call->job->on_progress)
    call->job->on_progress(*progress);
}

void TellWarning(void *context, const char *message) {
  static_cast<Call *>(context)->outcome->warnings.push_back(message);
}

sp_status TakeLine(void *context, const char *data, size_t len, sp_error *err) {
  Call *call = static_cast<Call *>(context);
  std::string line(data, len);
  if (call->job->on_line)
    return call->job->on_line(line, err);
  call->outcome->lines += line;
  return SP_OK;
}

const char *OrNull(const std::string &text) {
  return text.empty() ? nullptr : text.c_str();
}

sp_score_options ToOptions(Job &job, const std::vector<const char *> &archives, Call *call) {
  sp_score_options options{};
  options.model = job.model.c_str();
  options.archives = archives.data();
  options.n_archives = archives.size();
  options.format = OrNull(job.format);
  options.methods = OrNull(job.methods);
  options.out = OrNull(job.out);
  options.device = OrNull(job.device);
  options.dtype = OrNull(job.dtype);
  options.on_long = OrNull(job.on_long);
  options.letter_case = OrNull(job.letter_case);
  options.eos = OrNull(job.eos);
  options.without = OrNull(job.without);
  options.cls_sign = OrNull(job.cls_sign);
  options.mask = OrNull(job.mask);
  options.force_mask = job.force_mask;
  options.threads = job.threads;
  options.shard_utts = job.shard_utts;
  options.batch_tokens = job.batch_tokens;
  options.limit = job.limit;
  options.per_token = job.per_token;
  options.with_text = job.with_text;
  options.latency = job.latency;
  options.capacity = job.capacity;
  options.node_cost = job.node_cost;
  options.key_cost = job.key_cost;
  options.part = job.part;
  options.parts = job.parts;
  options.prepare = job.prepare;
  options.lease = job.lease;
  options.grace = job.grace;
  options.own_share = job.own_share;
  options.ranks = job.ranks;
  options.progress = TellProgress;
  options.warn = TellWarning;
  options.sink = TakeLine;
  options.context = call;
  options.stop = &job.stop;
  return options;
}

std::vector<const char *> Pointers(const std::vector<std::string> &texts) {
  std::vector<const char *> out;
  for (const std::string &text : texts)
    out.push_back(text.c_str());
  return out;
}

sp_status AppendLine(void *context, sp_text line, sp_error *) {
  static_cast<std::string *>(context)->append(line.data, line.len).append("\n");
  return SP_OK;
}

}  // namespace

sp_random_model TinyModel() {
  sp_random_model model = sp_random_model_default();
  model.arch = SP_RANDOM_BOTH;
  model.pooler = true;
  return model;
}

std::string MakeModel(const std::string &directory, const sp_random_model &model) {
  sp_error err{};
  if (sp_random_model_write(&model, directory.c_str(), &err) != SP_OK) {
    throw std::runtime_error(err.message);
  }
  return directory;
}

Archive MakeArchive(size_t utts, unsigned seed) {
  std::mt19937 random(seed);
  Archive archive;
  std::vector<std::string> seen{"a"};
  for (size_t u = 0; u < utts; u++) {
    Utt utt{"utt-" + std::to_string(u), {}};
    size_t hyps = u % 11 == 5 ? 0 : 1 + random() % 5;
    for (size_t h = 0; h < hyps; h++) {
      size_t kind = random() % 10;
      std::string text = kind < 6   ? RandomText(random)
                         : kind < 9 ? seen[random() % seen.size()]
                                    : OddText(random, random() % 5);
      seen.push_back(text);
      utt.hyps.push_back(text);
    }
    archive.push_back(utt);
  }
  return archive;
}

std::string ToJsonl(const Archive &archive) {
  std::string out;
  for (const Utt &utt : archive) {
    Json line(json_pack("{s:s, s:[]}", "id", utt.id.c_str(), "hyps"));
    for (const std::string &text : utt.hyps) {
      json_array_append_new(
          json_object_get(line.get(), "hyps"),
          json_pack("{s:s#}", "text", text.data(), static_cast<int>(text.size())));
    }
    out += Dump(line.get()) + "\n";
  }
  return out;
}

Outcome Score(Job &job) {
  Outcome outcome{};
  sp_error err{};
  Call call{&job, &outcome};
  std::vector<const char *> archives = Pointers(job.archives);
  sp_score_options options = ToOptions(job, archives, &call);
  outcome.status = sp_score_run(&options, &outcome.summary, &err);
  outcome.message = err.message;
  return outcome;
}

std::vector<Outcome> ScoreRanks(const Job &job, RankRoom &room) {
  std::vector<Job> jobs(room.Count(), job);
  std::vector<Outcome> outcomes(room.Count());
  std::vector<std::thread> threads;
  for (size_t i = 0; i < room.Count(); i++) {
    jobs[i].ranks = room.Table(i);
    threads.emplace_back([&, i] {
      sp_error err{};
      outcomes[i] = Score(jobs[i]);
      sp_fail(&err, outcomes[i].status, "%s", outcomes[i].message.c_str());
      outcomes[i].status = jobs[i].ranks->agree(jobs[i].ranks->context, outcomes[i].status, &err);
      outcomes[i].message = err.message;
    });
  }
  for (std::thread &thread : threads)
    thread.join();
  return outcomes;
}

Planned Plan(Job &job) {
  Outcome outcome{};
  Planned planned{};
  sp_error err{};
  Call call{&job, &outcome};
  std::vector<const char *> archives = Pointers(job.archives);
  sp_score_options options = ToOptions(job, archives, &call);
  planned.status = sp_plan_run(&options, &planned.summary, &err);
  planned.message = err.message;
  planned.warnings = outcome.warnings;
  return planned;
}

Described PlanFrom(Job &job, const sp_describe &describe) {
  Outcome outcome{};
  Described described{};
  sp_error err{};
  Call call{&job, &outcome};
  sp_score_options options = ToOptions(job, {}, &call);
  described.status = sp_plan_described(&options, &describe, &described.summary, &err);
  described.message = err.message;
  return described;
}

std::string LinesOf(const std::string &run) {
  std::vector<std::string> shards;
  for (const auto &entry : fs::directory_iterator(run)) {
    const std::string name = entry.path().filename();
    if (name.rfind("scores-", 0) == 0 && entry.path().extension() == ".zst")
      shards.push_back(entry.path());
  }
  std::sort(shards.begin(), shards.end());
  std::string lines;
  for (const std::string &shard : shards) {
    sp_error err{};
    EXPECT_EQ(sp_shard_read(shard.c_str(), AppendLine, &lines, nullptr, &err), SP_OK)
        << err.message;
  }
  return lines;
}

std::map<std::string, std::string> FilesOf(const std::string &folder) {
  std::map<std::string, std::string> files;
  for (const auto &entry : fs::directory_iterator(folder)) {
    files[entry.path().filename()] = entry.is_directory() ? "/" : ReadFile(entry.path());
  }
  return files;
}

size_t CountEnding(const std::string &folder, const std::string &suffix) {
  size_t count = 0;
  for (const auto &[name, bytes] : FilesOf(folder)) {
    count += name.size() >= suffix.size() &&
             name.compare(name.size() - suffix.size(), suffix.size(), suffix) == 0;
  }
  return count;
}

testing::AssertionResult SameFiles(const std::map<std::string, std::string> &got,
                                   const std::map<std::string, std::string> &expected) {
  std::string differ;
  for (const auto &[name, bytes] : expected) {
    auto found = got.find(name);
    if (found == got.end())
      differ += " -" + name;
    if (found != got.end() && found->second != bytes)
      differ += " " + name;
  }
  for (const auto &[name, bytes] : got) {
    if (expected.count(name) == 0)
      differ += " +" + name;
  }
  return differ.empty() ? testing::AssertionSuccess()
                        : testing::AssertionFailure() << "these files differ:" << differ;
}

testing::AssertionResult SameScores(const ScoreTable &got, const ScoreTable &expected) {
  if (got.size() != expected.size()) {
    return testing::AssertionFailure() << got.size() << " and not " << expected.size() << " hyps";
  }
  for (const auto &[key, members] : expected) {
    auto found = got.find(key);
    if (found == got.end() || found->second != members) {
      return testing::AssertionFailure()
             << key.first << " " << key.second << ": "
             << testing::PrintToString(found == got.end() ? Members{} : found->second)
             << "\nand not " << testing::PrintToString(members);
    }
  }
  return testing::AssertionSuccess();
}

ScoreTable ToTable(const std::string &lines) {
  ScoreTable table;
  std::istringstream in(lines);
  for (std::string text; std::getline(in, text);) {
    Json line(json_loads(text.c_str(), JSON_REJECT_DUPLICATES, nullptr));
    if (!line)
      throw std::runtime_error("no JSON: " + text);
    const std::string id = json_string_value(json_object_get(line.get(), "id"));
    size_t rank;
    json_t *hyp;
    json_array_foreach(json_object_get(line.get(), "hyps"), rank, hyp) {
      const char *key;
      json_t *value;
      Members members;
      json_object_foreach(hyp, key, value) members[key] = Dump(value);
      if (!table.emplace(std::make_pair(id, rank), members).second) {
        throw std::runtime_error("twice: " + text);
      }
    }
  }
  return table;
}

ScoreTable OnlyMethods(const ScoreTable &table, const std::vector<std::string> &methods) {
  ScoreTable out = table;
  for (auto &[key, members] : out) {
    for (const char *method : {"pll", "pll_l2r", "cls", "maskless"}) {
      if (std::find(methods.begin(), methods.end(), method) == methods.end()) {
        members.erase(method);
      }
    }
  }
  return out;
}

}  // namespace sp_test
