// The goldens are whole, and every model that they name can be made and opened.
#include "golden.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "checkpoint.h"
#include "scratch.h"

namespace {

const std::string kFolder = SP_SOURCE_DIR "/tests/golden/";

TEST(Goldens, EveryCaseHasEveryMethod) {
  for (const char *name : {"scores_small.json", "scores_variants.json", "scores_base.json"}) {
    for (const sp_test::GoldenModel &model : sp_test::ReadGoldens(kFolder + name)) {
      for (const sp_test::GoldenCase &one : model.cases) {
        for (const std::string &method : model.methods) {
          ASSERT_TRUE(one.scores.count(method)) << model.name << " " << method;
          const std::vector<double> &scores = one.scores.at(method);
          EXPECT_EQ(scores.size(), method == "cls" ? 1 : one.ids.size()) << model.name;
          for (double score : scores) EXPECT_TRUE(std::isfinite(score)) << model.name;
        }
      }
    }
  }
}

TEST(Goldens, EveryModelOpens) {
  for (const char *name : {"scores_small.json", "scores_variants.json"}) {
    for (const sp_test::GoldenModel &model : sp_test::ReadGoldens(kFolder + name)) {
      sp_test::Scratch scratch;
      const std::string directory =
          sp_test::GoldenModelDirectory(model, SP_SOURCE_DIR, scratch / "model");
      sp_checkpoint *checkpoint = nullptr;
      sp_error err{};
      ASSERT_EQ(sp_checkpoint_open(directory.c_str(), &checkpoint, &err), SP_OK)
          << model.name << ": " << err.message;
      for (const std::string &method : model.methods) {
        EXPECT_TRUE(method == "cls" ? checkpoint->has_cls : checkpoint->has_mlm) << model.name;
      }
      for (const sp_test::GoldenCase &one : model.cases) {
        EXPECT_LE(one.ids.size() + 2, checkpoint->config.max_positions) << model.name;
        for (int32_t id : one.ids) {
          EXPECT_GE(id, 0);
          EXPECT_LT(static_cast<size_t>(id), checkpoint->config.vocab_size) << model.name;
        }
      }
      sp_checkpoint_close(checkpoint);
    }
  }
}

}  // namespace
