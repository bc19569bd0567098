// scores_fixture.h - finished runs with given scores, and archives to join them with.
#ifndef SP_TESTS_RESCORE_SCORES_FIXTURE_H
#define SP_TESTS_RESCORE_SCORES_FIXTURE_H

#include <gtest/gtest.h>
#include <jansson.h>

#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "run_manifest.h"
#include "score_line.h"
#include "scratch.h"
#include "shard.h"

namespace sp_test {

// An utterance of a run: pll of each hypothesis, NaN for null; n is 10 (i + 1).
struct ScoredUtt {
  std::string id;
  std::vector<float> pll;
};

inline std::string ScoreLine(const ScoredUtt &utt, unsigned methods) {
  std::vector<sp_hyp_score> hyps(utt.pll.size());
  for (size_t i = 0; i < hyps.size(); i++) {
    hyps[i] = sp_hyp_score{};
    hyps[i].rank = static_cast<uint32_t>(i);
    hyps[i].n_tokens = static_cast<uint32_t>(10 * (i + 1));
    hyps[i].score[SP_PLL] = utt.pll[i];
    hyps[i].score[SP_CLS] = utt.pll[i] / 2;
    hyps[i].flag = std::isnan(utt.pll[i]) ? SP_FLAG_TOO_LONG : SP_FLAG_NONE;
  }
  sp_buf out{};
  sp_error err{};
  EXPECT_EQ(sp_score_line_write(&out, {utt.id.data(), utt.id.size()}, hyps.data(), hyps.size(),
                                methods, &err),
            SP_OK);
  std::string line(out.data, out.len);
  sp_buf_release(&out);
  return line;
}

// A run of two shards (the first has one utterance), or of one when there is one utterance.
inline void BuildScoredRun(const std::string &run, const std::vector<ScoredUtt> &utts,
                           const std::string &methods = "pll", const char *model = "0123abcd",
                           bool close = true) {
  sp_error err{};
  std::filesystem::create_directory(run);
  size_t shards = utts.size() > 1 ? 2 : 1, hyps = 0;
  for (const ScoredUtt &utt : utts)
    hyps += utt.pll.size();
  unsigned bits = 1u << SP_PLL | (methods == "pll,cls" ? 1u << SP_CLS : 0);
  json_t *manifest = json_pack(
      "{s:{s:I,s:I,s:s,s:s},s:{s:I,s:I,s:s}}", "identity", "shards",
      static_cast<json_int_t>(shards), "shard_utts", static_cast<json_int_t>(1), "method",
      methods.c_str(), "model_hash", model, "info", "utts", static_cast<json_int_t>(utts.size()),
      "hyps", static_cast<json_int_t>(hyps), "signature", (methods + "|m:" + model).c_str());
  ASSERT_EQ(sp_run_manifest_write(run.c_str(), manifest, &err), SP_OK) << err.message;
  json_decref(manifest);
  for (size_t shard = 0; shard < shards; shard++) {
    sp_shard_writer *writer = nullptr;
    ASSERT_EQ(sp_shard_writer_create(run.c_str(), shard, shards, &writer, &err), SP_OK);
    size_t from = shard == 0 ? 0 : 1, to = shards == 2 && shard == 0 ? 1 : utts.size();
    for (size_t u = from; u < to; u++) {
      std::string line = ScoreLine(utts[u], bits);
      ASSERT_EQ(sp_shard_writer_append(writer, {line.data(), line.size()},
                                       {utts[u].id.data(), utts[u].id.size()}, utts[u].pll.size(),
                                       0, &err),
                SP_OK);
    }
    ASSERT_EQ(sp_shard_writer_publish(writer, &err), SP_OK) << err.message;
  }
  if (close) {
    ASSERT_EQ(sp_run_success_write(run.c_str(), shards, &err), SP_OK) << err.message;
  }
}

// A line of an archive whose hypotheses score -1, -2, ..
inline std::string ArchiveLine(const std::string &id, const std::string &ref,
                               const std::vector<std::string> &texts) {
  std::string line = "{\"id\":\"" + id + "\",\"ref\":\"" + ref + "\",\"hyps\":[";
  for (size_t i = 0; i < texts.size(); i++) {
    line += std::string(i ? "," : "") + "{\"text\":\"" + texts[i] + "\",\"score\":-" +
            std::to_string(i + 1) + "}";
  }
  return line + "]}\n";
}

}  // namespace sp_test
#endif
