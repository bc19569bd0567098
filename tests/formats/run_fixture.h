// run_fixture.h - small runs, written by the product's own writers.
#ifndef SP_TESTS_FORMATS_RUN_FIXTURE_H
#define SP_TESTS_FORMATS_RUN_FIXTURE_H

#include <gtest/gtest.h>
#include <jansson.h>
#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "run_manifest.h"
#include "score_line.h"
#include "scratch.h"
#include "shard.h"

namespace sp_test {

#define ASSERT_SP_OK(call) ASSERT_EQ((call), SP_OK) << err.message
#define EXPECT_SP_OK(call) EXPECT_EQ((call), SP_OK) << err.message

inline sp_text Text(const std::string &s) {
  return {s.data(), s.size()};
}

inline bool Contains(const std::string &text, const std::string &part) {
  return text.find(part) != std::string::npos;
}

struct Line {
  std::string id, text;  // text ends in "\n"
  uint64_t hyps, tokens;
};

// A line of `hyps` hypotheses with scores that depend on the seed alone.
inline Line MakeLine(const std::string &id, size_t hyps, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<sp_hyp_score> scores(hyps);
  uint64_t tokens = 0;
  for (size_t k = 0; k < hyps; k++) {
    scores[k].rank = static_cast<uint32_t>(k);
    scores[k].n_tokens = random() % 40;
    scores[k].score[SP_PLL] = -static_cast<float>(random() % 1000000) / 7777.0f;
    tokens += scores[k].n_tokens;
  }
  sp_buf out{};
  sp_error err{};
  EXPECT_SP_OK(sp_score_line_write(&out, Text(id), scores.data(), hyps, 1u << SP_PLL, &err));
  Line line{id, std::string(out.data, out.len), hyps, tokens};
  sp_buf_release(&out);
  return line;
}

inline std::vector<Line> MakeLines(const std::string &prefix, size_t utts, size_t hyps) {
  std::vector<Line> lines;
  for (size_t u = 0; u < utts; u++) {
    lines.push_back(MakeLine(prefix + std::to_string(u), hyps, static_cast<uint32_t>(u)));
  }
  return lines;
}

inline std::string Joined(const std::vector<Line> &lines) {
  std::string all;
  for (const Line &line : lines)
    all += line.text;
  return all;
}

inline sp_status WriteShard(const std::string &run, size_t index, size_t count,
                            const std::vector<Line> &lines, sp_error *err) {
  sp_shard_writer *writer = nullptr;
  SP_TRY(sp_shard_writer_create(run.c_str(), index, count, &writer, err));
  for (const Line &line : lines) {
    sp_status status =
        sp_shard_writer_append(writer, Text(line.text), Text(line.id), line.hyps, line.tokens, err);
    if (status != SP_OK) {
      sp_shard_writer_abandon(writer);
      return status;
    }
  }
  return sp_shard_writer_publish(writer, err);
}

// For sp_shard_read: adds the line to the string.
inline sp_status CollectLine(void *all, sp_text line, sp_error *) {
  static_cast<std::string *>(all)->append(line.data, line.len).append("\n");
  return SP_OK;
}

inline std::string ShardPath(const std::string &run, size_t index, size_t count,
                             const char *suffix) {
  sp_buf path{};
  sp_error err{};
  EXPECT_SP_OK(sp_shard_path(&path, run.c_str(), index, count, suffix, &err));
  std::string out = path.data;
  sp_buf_release(&path);
  return out;
}

inline json_t *MakeManifest(size_t shards, size_t shard_utts, size_t utts, size_t hyps) {
  return json_pack("{s:{s:I,s:I,s:s,s:[{s:s,s:s}]},s:{s:I,s:I,s:s}}", "identity", "shards",
                   static_cast<json_int_t>(shards), "shard_utts",
                   static_cast<json_int_t>(shard_utts), "dtype", "f32", "inputs", "name", "a.jsonl",
                   "xxh128", "00ff", "info", "utts", static_cast<json_int_t>(utts), "hyps",
                   static_cast<json_int_t>(hyps), "version", "0.1.0");
}

// A finished run of `shards` shards of `utts` utterances with `hyps` hypotheses each.
inline void BuildRun(const std::string &run, size_t shards, size_t utts, size_t hyps) {
  sp_error err{};
  std::filesystem::create_directory(run);
  json_t *manifest = MakeManifest(shards, utts, shards * utts, shards * utts * hyps);
  EXPECT_SP_OK(sp_run_manifest_write(run.c_str(), manifest, &err));
  json_decref(manifest);
  for (size_t k = 0; k < shards; k++) {
    EXPECT_SP_OK(
        WriteShard(run, k, shards, MakeLines("utt-" + std::to_string(k) + "-", utts, hyps), &err));
  }
  EXPECT_SP_OK(sp_run_success_write(run.c_str(), shards, &err));
}

inline std::vector<std::string> FilesOf(const std::string &folder) {
  std::vector<std::string> names;
  for (const auto &entry : std::filesystem::directory_iterator(folder)) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

// As WriteFile, to a new file: overwriting the old one makes some file systems wait for the disk.
inline void RenewFile(const std::string &path, const std::string &bytes) {
  std::filesystem::remove(path);
  WriteFile(path, bytes);
}

// While it lives, no file of this process grows beyond `bytes`: a full disk as far as write(2)
// says.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : handler_(signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &before_);
    rlimit limit{bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &before_);
    signal(SIGXFSZ, handler_);
  }

 private:
  void (*handler_)(int);
  rlimit before_;
};

}  // namespace sp_test
#endif
