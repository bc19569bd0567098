// workers_fixture.h - workers of one run directory, and inputs that they share.
#ifndef SP_TESTS_ENGINE_WORKERS_FIXTURE_H
#define SP_TESTS_ENGINE_WORKERS_FIXTURE_H

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cctype>
#include <cstring>
#include <filesystem>
#include <set>
#include <thread>

#include "engine_fixture.h"

namespace sp_test {

class Workers : public testing::Test {
 protected:
  void SetUp() override {
    model_ = MakeModel(scratch_ / "model");
    WriteFile(scratch_ / "a.jsonl", ToJsonl(MakeArchive(120)));
  }
  Job MakeJob(const std::string &run, size_t part = 0, size_t parts = 0) {
    Job job;
    job.model = model_;
    job.archives = {scratch_ / "a.jsonl"};
    job.out = scratch_ / run;
    job.methods = "pll,cls";
    job.threads = 1;
    job.shard_utts = 5;
    job.part = part;
    job.parts = parts;
    job.lease = 2;
    return job;
  }
  std::map<std::string, std::string> Alone(Job job) {
    job.out = scratch_ / "whole";
    job.parts = 0;
    std::filesystem::remove_all(job.out);
    Outcome outcome = Score(job);
    EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
    return FilesOf(job.out);
  }
  // All at once, each in a thread.
  std::vector<Outcome> Together(std::vector<Job> &jobs) {
    std::vector<Outcome> outcomes(jobs.size());
    std::vector<std::thread> threads;
    for (size_t i = 0; i < jobs.size(); i++)
      threads.emplace_back([&, i] { outcomes[i] = Score(jobs[i]); });
    for (std::thread &thread : threads)
      thread.join();
    for (const Outcome &outcome : outcomes)
      EXPECT_EQ(outcome.status, SP_OK) << outcome.message;
    return outcomes;
  }
  // Runs the job in a process that kills itself as soon as `when` says so of its progress; false when it
  // came to its end before.
  static bool Killed(Job &job, const std::function<bool(const sp_progress &)> &when) {
    pid_t child = fork();
    if (child == 0) {
      job.on_progress = [&](const sp_progress &progress) {
        if (when(progress))
          kill(getpid(), SIGKILL);
      };
      _exit(Score(job).status == SP_OK ? 0 : 1);
    }
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
  }
  size_t Done(const std::string &run) {
    return CountEnding(scratch_ / run, ".done");
  }
  // How many shards are claimed and not done.
  size_t UnderWork(const std::string &run) {
    const std::filesystem::path folder = scratch_ / run;
    std::error_code none;
    std::set<std::string> done;
    size_t n = 0;
    for (const auto &entry : std::filesystem::directory_iterator(folder, none)) {
      const std::string name = entry.path().filename();
      if (entry.path().extension() == ".done")
        done.insert(name.substr(strlen("scores-"), name.find("-of-") - strlen("scores-")));
    }
    for (const auto &entry : std::filesystem::directory_iterator(folder / ".claims", none)) {
      const std::string name = entry.path().filename();
      n += isdigit(static_cast<unsigned char>(name[0])) &&
           !done.count(name.substr(0, name.find('.')));
    }
    return n;
  }
  // Makes an archive of so many utterances, and of twice as many until `meets` says that it met the run in its
  // middle, however fast this machine is. Their number; 0, which fails the test, where it never does.
  size_t Meet(size_t utts, const std::function<bool(size_t utts)> &meets) {
    for (const size_t most = 64 * utts; utts <= most; utts *= 2) {
      std::filesystem::remove_all(scratch_ / "run");
      WriteFile(scratch_ / "a.jsonl", ToJsonl(MakeArchive(utts)));
      if (meets(utts))
        return utts;
    }
    ADD_FAILURE() << "no run is met in its middle, not even of " << utts / 2 << " utterances";
    return 0;
  }
  // Kills one that has scored something, and leaves shards under work.
  bool KilledInItsMiddle(Job &job) {
    return Killed(job,
                  [](const sp_progress &progress) {
                    return !progress.validating && progress.hyps_done > 0;
                  }) &&
           UnderWork("run") > 0;
  }

  // No worker, and no claim of a shard.
  testing::AssertionResult NobodyClaims(const std::string &run) {
    const std::string claims = (scratch_ / run) + "/.claims";
    if (!std::filesystem::exists(claims))
      return testing::AssertionSuccess();
    for (const auto &[name, bytes] : FilesOf(claims)) {
      if (name.rfind("plan.", 0) != 0)
        return testing::AssertionFailure() << name << " is left";
    }
    return testing::AssertionSuccess();
  }

  Scratch scratch_;
  std::string model_;
};

// Utterances from..to of an archive as mlm-scoring JSON.
inline std::string ToMlm(const Archive &archive, size_t from, size_t to) {
  std::string out = "{";
  for (size_t u = from; u < to; u++) {
    out += (u > from ? ",\"" : "\"") + archive[u].id + "\":{";
    for (size_t k = 0; k < archive[u].hyps.size(); k++)
      out += (k ? ",\"hyp_" : "\"hyp_") + std::to_string(k + 1) + "\":{\"score\":-1,\"text\":\"" +
             archive[u].hyps[k] + "\"}";
    out += "}";
  }
  return out + "}";
}

// n groups of 10 utterances with 2 lists, and references.
inline void WriteEspnet2(const std::string &dir, size_t n) {
  std::string refs;
  for (size_t group = 0; group < n; group++) {
    for (std::string k : {"1", "2"}) {
      std::string text,
          list = dir + "/output." + std::to_string(group + 1) + "/" + k + "best_recog";
      for (size_t u = 10 * group; u < 10 * group + 10; u++) {
        text += "utt-" + std::to_string(u) + " ab " + std::string(1 + u % 9, 'c') + k + "\n";
        refs += k == "1" ? "utt-" + std::to_string(u) + " ab\n" : "";
      }
      std::filesystem::create_directories(list);
      WriteFile(list + "/text", text);
    }
  }
  WriteFile(dir + "/ref.text", refs);
}

}  // namespace sp_test
#endif
