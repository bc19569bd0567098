#include "training.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "checkpoint.h"
#include "random_model.h"
#include "scratch.h"

namespace {

using sp_test::ReadFile;
using sp_test::Scratch;
using sp_test::WriteFile;

// What a run told.
struct Events {
  std::vector<sp_train_step> steps;
  std::vector<sp_train_eval> evals;
  std::vector<std::string> notes;
  uint64_t stop_after = 0;  // 0: never

  sp_train_events Table() {
    sp_train_events table{};
    table.arg = this;
    table.step = [](void *arg, const sp_train_step *s) {
      static_cast<Events *>(arg)->steps.push_back(*s);
    };
    table.eval = [](void *arg, const sp_train_eval *e) {
      static_cast<Events *>(arg)->evals.push_back(*e);
    };
    table.note = [](void *arg, const char *text) {
      static_cast<Events *>(arg)->notes.push_back(text);
    };
    table.stop = [](void *arg) {
      auto *self = static_cast<Events *>(arg);
      return self->stop_after != 0 && self->steps.size() >= self->stop_after;
    };
    return table;
  }
};

class Training : public testing::Test {
 protected:
  void SetUp() override {
    options_ = sp_random_model_default();
    options_.hidden = 24;
    options_.ffn = 40;
    options_.vocab = 120;
    options_.positions = 24;
    ASSERT_EQ(sp_random_model_write(&options_, (scratch_ / "model").c_str(), &err_), SP_OK)
        << err_.message;
    WriteFile(scratch_ / "text.txt", Sentences());
    WriteFile(scratch_ / "lists.jsonl", Lists());
    Begin(SP_OBJECTIVE_MLM);
  }

  // Every second word follows from the one before, so that there is something to learn.
  static std::string Sentences() {
    std::string text;
    for (int i = 0; i < 200; i++) {
      for (int w = 0; w < 4; w++) {
        int word = (i * 7 + w * 5) % 11;
        text += (w ? " w" : "w") + std::to_string(60 + word) + " w" + std::to_string(80 + word);
      }
      text += "\n";
    }
    return text;
  }
  static std::string Lists() {
    std::string lines;
    for (int i = 0; i < 40; i++) {
      std::string right = "w" + std::to_string(60 + i % 11) + " w" + std::to_string(80 + i % 11);
      std::string wrong = "w" + std::to_string(60 + i % 11) + " w" + std::to_string(100 + i % 5);
      lines += "{\"id\":\"s" + std::to_string(i) + "\",\"ref\":\"" + right +
               "\",\"hyps\":[{\"text\":\"" + wrong + "\",\"score\":-1.0},{\"text\":\"" + right +
               "\",\"score\":-1.5},{\"text\":\"" + wrong + " w110\",\"score\":-2.5}]}\n";
    }
    return lines;
  }

  void Begin(sp_objective objective) {
    sp_train_settings_init(&settings_, objective);
    model_ = scratch_ / "model";
    file_ = scratch_ / (objective == SP_OBJECTIVE_MLM ? "text.txt" : "lists.jsonl");
    files_ = {file_.c_str()};
    settings_.model = model_.c_str();
    settings_.device = "cpu:built-in";
    settings_.threads = 1;
    settings_.data.files = files_.data();
    settings_.data.n_files = 1;
    settings_.data.holdout_every = 10;
    settings_.step_tokens = settings_.batch_tokens = 200;
    settings_.steps = 12;
    settings_.warmup = 2;
    settings_.rate = 3e-3;
    settings_.eval_every = 4;
    settings_.save_every = 3;
  }
  sp_status Run(const std::string &name) {
    out_ = scratch_ / name;
    settings_.out = out_.c_str();
    sp_train_events table = events_.Table();
    return sp_training_run(&settings_, &table, &summary_, &err_);
  }
  sp_status RunAnew(const std::string &name) {
    events_ = Events();
    return Run(name);
  }
  std::string Weights(const std::string &name) {
    return ReadFile(scratch_ / (name + "/model/model.safetensors"));
  }
  void ExpectRefused(sp_status status, sp_status want, const std::vector<std::string> &parts) {
    EXPECT_EQ(status, want) << err_.message;
    for (const std::string &part : parts)
      EXPECT_NE(std::string(err_.message).find(part), std::string::npos)
          << part << " not in: " << err_.message;
  }

  Scratch scratch_;
  sp_random_model options_{};
  sp_train_settings settings_{};
  sp_train_summary summary_{};
  sp_error err_{};
  Events events_;
  std::string model_, file_, out_;
  std::vector<const char *> files_;
};

TEST_F(Training, LearnsWhatFollowsFromWhat) {
  settings_.steps = 60;
  ASSERT_EQ(Run("out"), SP_OK) << err_.message;
  ASSERT_EQ(events_.steps.size(), 60u);
  EXPECT_LT(events_.evals.back().loss, events_.evals.front().loss);
  EXPECT_LT(events_.steps.back().loss, 0.7 * events_.steps.front().loss);
  EXPECT_EQ(summary_.step, 60u);
  EXPECT_GT(summary_.data.holdout_items, 0u);
}

TEST_F(Training, WritesAModelThatOpens) {
  ASSERT_EQ(Run("out"), SP_OK) << err_.message;
  sp_checkpoint *model = nullptr;
  ASSERT_EQ(sp_checkpoint_open((scratch_ / "out/model").c_str(), &model, &err_), SP_OK)
      << err_.message;
  EXPECT_TRUE(model->has_mlm);
  EXPECT_EQ(model->config.hidden, 24u);
  sp_checkpoint_close(model);
}

TEST_F(Training, StoppedAndResumedEndsInTheSameBytes) {
  ASSERT_EQ(Run("whole"), SP_OK) << err_.message;
  auto whole = events_.steps;
  events_ = Events();
  events_.stop_after = 7;
  ExpectRefused(Run("parts"), SP_EINTERRUPTED, {"step 7"});
  ASSERT_EQ(RunAnew("parts"), SP_OK) << err_.message;
  EXPECT_EQ(summary_.resumed_from, 7u);
  ASSERT_EQ(events_.steps.size(), 5u);
  for (size_t i = 0; i < 5; i++)
    EXPECT_EQ(events_.steps[i].loss, whole[7 + i].loss) << i;
  EXPECT_EQ(Weights("whole"), Weights("parts"));
  EXPECT_EQ(ReadFile(scratch_ / "whole/train.json"), ReadFile(scratch_ / "parts/train.json"));
}

// As after SIGKILL: what was done since the last checkpoint is done again.
TEST_F(Training, KilledBetweenCheckpointsGoesOnFromTheLast) {
  ASSERT_EQ(Run("whole"), SP_OK) << err_.message;
  std::filesystem::copy(scratch_ / "whole", scratch_ / "killed",
                        std::filesystem::copy_options::recursive);
  std::filesystem::remove(scratch_ / "killed/_SUCCESS");
  std::filesystem::remove(scratch_ / "killed/state-00000012.sptrain");
  std::filesystem::remove_all(scratch_ / "killed/model");
  std::ofstream(scratch_ / "killed/steps.jsonl", std::ios::app) << "{\"step\":13,";
  ASSERT_EQ(RunAnew("killed"), SP_OK) << err_.message;
  EXPECT_EQ(summary_.resumed_from, 9u);
  EXPECT_EQ(Weights("whole"), Weights("killed"));
  std::string log = ReadFile(scratch_ / "killed/steps.jsonl");
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 12 + 3);
}

TEST_F(Training, ThreadsNeverChangeAResult) {
  for (const char *device : {"cpu:built-in", "cpu"}) {
    for (bool bf16 : {false, true}) {
      std::string name = std::string(device) + (bf16 ? " bf16" : " f32");
      settings_.device = device;
      settings_.bf16 = bf16;
      settings_.threads = 1;
      ASSERT_EQ(Run(name + " one"), SP_OK) << err_.message;
      settings_.threads = 3;
      ASSERT_EQ(Run(name + " three"), SP_OK) << err_.message;
      EXPECT_EQ(Weights(name + " one"), Weights(name + " three")) << name;
    }
  }
}

// Sums of one batch and of three are the same numbers in another order.
TEST_F(Training, AccumulatedBatchesTrainTheSameModel) {
  settings_.steps = 1;
  settings_.data.join_share = 0;
  settings_.batch_tokens = settings_.step_tokens = 180;
  ASSERT_EQ(Run("one"), SP_OK) << err_.message;
  double norm = events_.steps[0].norm, loss = events_.steps[0].loss;
  uint64_t tokens = events_.steps[0].tokens;
  settings_.batch_tokens = 60;
  ASSERT_EQ(RunAnew("three"), SP_OK) << err_.message;
  ASSERT_EQ(events_.steps[0].tokens, tokens) << "the batches hold the same sentences";
  EXPECT_TRUE(std::fabs(events_.steps[0].loss - loss) <= 1e-5 * loss);
  EXPECT_TRUE(std::fabs(events_.steps[0].norm - norm) <= 1e-4 * norm);
}

// One layer, one token type, a decoder of its own, fewer words than rows of it, layers that may not look.
TEST_F(Training, UnusualShapesAreTrained) {
  std::string words = ReadFile(scratch_ / "model/vocab.txt"), fewer = scratch_ / "fewer.txt";
  WriteFile(fewer, words.substr(0, words.find("w117\n")));
  options_.type_vocab = 1;
  options_.decoder = SP_RANDOM_UNTIED;
  options_.vocab_file = fewer.c_str();
  for (const char *rule : {"full", "causal", "dynamic:2"}) {
    options_.layers = 1;
    ASSERT_EQ(sp_random_model_write(&options_, (scratch_ / "model").c_str(), &err_), SP_OK);
    settings_.lookahead = rule;
    ASSERT_EQ(RunAnew(std::string("one ") + rule), SP_OK) << rule << ": " << err_.message;
    EXPECT_LT(events_.evals.back().loss, events_.evals.front().loss) << rule;
  }
  options_.layers = 2;
  ASSERT_EQ(sp_random_model_write(&options_, (scratch_ / "model").c_str(), &err_), SP_OK);
  for (const char *rule : {"dynamic:0,2", "dynamic:2,0", "layerwise:0,1"}) {
    settings_.lookahead = rule;
    ASSERT_EQ(RunAnew(std::string("two ") + rule), SP_OK) << rule << ": " << err_.message;
    EXPECT_LT(events_.evals.back().loss, events_.evals.front().loss) << rule;
  }
}

TEST_F(Training, AnotherSeedIsAnotherModel) {
  ASSERT_EQ(Run("one"), SP_OK) << err_.message;
  settings_.seed = settings_.data.seed = 2;
  ASSERT_EQ(Run("two"), SP_OK) << err_.message;
  EXPECT_NE(Weights("one"), Weights("two"));
}

TEST_F(Training, AFinishedRunIsLeftAlone) {
  ASSERT_EQ(Run("out"), SP_OK) << err_.message;
  std::string before = Weights("out");
  ASSERT_EQ(RunAnew("out"), SP_OK) << err_.message;
  EXPECT_TRUE(events_.steps.empty());
  EXPECT_EQ(summary_.step, 12u);
  EXPECT_EQ(Weights("out"), before);
}

TEST_F(Training, RefusesAnotherRunsDirectory) {
  ASSERT_EQ(Run("out"), SP_OK) << err_.message;
  settings_.rate = 1e-3;
  ExpectRefused(RunAnew("out"), SP_EIDENTITY, {"another training run", "'rate'"});
  settings_.rate = 3e-3;
  WriteFile(file_, Sentences() + "w67 w68\n");
  ExpectRefused(RunAnew("out"), SP_EIDENTITY, {"'files'"});
}

TEST_F(Training, ALossThatIsNotFiniteEndsTheRunWithItsBatch) {
  settings_.rate = 1e30;
  settings_.clip = 0;
  settings_.warmup = 0;
  settings_.save_every = 1;
  ExpectRefused(Run("out"), SP_EMODEL, {"step ", "text.txt:", "heckpoint"});
  EXPECT_FALSE(std::filesystem::exists(scratch_ / "out/_SUCCESS"));
  bool kept = false;
  for (const auto &entry : std::filesystem::directory_iterator(out_))
    kept |= entry.path().extension() == ".sptrain";
  EXPECT_TRUE(kept);
}

// The update is made of a finite gradient: only the look at the held-out part tells.
TEST_F(Training, AHeldOutLossThatIsNotFiniteIsNeverTheBest) {
  settings_.rate = 1e30;
  settings_.clip = 0;
  settings_.warmup = 0;
  settings_.eval_every = 1;
  ExpectRefused(Run("out"), SP_EMODEL, {"step 1", "held-out loss"});
  EXPECT_FALSE(std::filesystem::exists(scratch_ / "out/model"));
  EXPECT_TRUE(events_.evals.empty());
}

TEST_F(Training, ALostLogGoesOnWithoutHoles) {
  events_.stop_after = 7;
  ExpectRefused(Run("out"), SP_EINTERRUPTED, {"step 7"});
  std::filesystem::remove(scratch_ / "out/steps.jsonl");
  ASSERT_EQ(RunAnew("out"), SP_OK) << err_.message;
  std::string log = ReadFile(scratch_ / "out/steps.jsonl");
  EXPECT_EQ(log.find('\0'), std::string::npos);
  EXPECT_EQ(log.find("{"), 0u);
}

// Heads and words are not seen in the number of parameters.
TEST_F(Training, RefusesAnotherConfigOrVocabulary) {
  std::string config = scratch_ / "config.json", vocab = scratch_ / "words/vocab.txt";
  std::string directory = scratch_ / "words";
  std::filesystem::create_directory(directory);
  WriteFile(config, ReadFile(scratch_ / "model/config.json"));
  WriteFile(vocab, ReadFile(scratch_ / "model/vocab.txt"));
  settings_.model = nullptr;
  settings_.config = config.c_str();
  settings_.vocab = directory.c_str();
  ASSERT_EQ(Run("out"), SP_OK) << err_.message;
  std::string text = ReadFile(config), words = ReadFile(vocab);
  std::string edited = text, key = "\"layer_norm_eps\": ";
  ASSERT_NE(edited.find(key), std::string::npos);
  WriteFile(config, edited.insert(edited.find(key) + key.size(), "1"));
  ExpectRefused(RunAnew("out"), SP_EIDENTITY, {"'config_and_vocabulary'"});
  WriteFile(config, text);
  size_t at = words.find("w61\nw62\n");
  ASSERT_NE(at, std::string::npos);
  WriteFile(vocab, words.replace(at, 8, "w62\nw61\n"));
  ExpectRefused(RunAnew("out"), SP_EIDENTITY, {"'config_and_vocabulary'"});
}

TEST_F(Training, StopsEarlyWithoutABetterLoss) {
  settings_.rate = 1e-12; /* nothing moves */
  settings_.steps = 400;
  settings_.eval_every = 1;
  settings_.patience = 3;
  ASSERT_EQ(Run("out"), SP_OK) << err_.message;
  EXPECT_TRUE(summary_.early);
  EXPECT_LT(summary_.step, 400u);
}

TEST_F(Training, ErrorsOfSettingsNameTheOption) {
  settings_.config = "x";
  ExpectRefused(Run("a"), SP_EUSAGE, {"--model DIR", "--config FILE"});
  settings_.config = nullptr;
  settings_.init_layers = "0,9";
  ExpectRefused(Run("b"), SP_EUSAGE, {"--init-layers", "0 to 1"});
  settings_.init_layers = nullptr;
  settings_.lookahead = "dynamic";
  ExpectRefused(Run("c"), SP_EUSAGE, {"dynamic:4"});
  settings_.lookahead = "layerwise:1,2,3";
  ExpectRefused(Run("d"), SP_EUSAGE, {"2 layers"});
  settings_.lookahead = nullptr;
  settings_.init_layers = "";
  ExpectRefused(Run("b"), SP_EUSAGE, {"--init-layers ''"});
  settings_.init_layers = nullptr;
  settings_.lookahead_cells = "span";
  ExpectRefused(Run("b"), SP_EUSAGE, {"--lookahead-cells", "schedulers"});
  settings_.lookahead_cells = nullptr;
  settings_.penalty.kind = SP_PENALTY_NAIVE;
  ExpectRefused(Run("b"), SP_EUSAGE, {"--penalty naive", "schedulers"});
  settings_.penalty.kind = SP_PENALTY_NONE;
  settings_.beta2 = 1;
  ExpectRefused(Run("b"), SP_EUSAGE, {"--beta2", "below 1"});
  settings_.beta2 = 0.999;
  settings_.data.max_tokens = 25;
  ExpectRefused(Run("e"), SP_EUSAGE, {"--max-tokens", "24"});
}

TEST_F(Training, AHeadThatSeesNoTextIsRefused) {
  Begin(SP_OBJECTIVE_MWER);
  settings_.steps = 1;
  settings_.lookahead = "causal";
  ExpectRefused(Run("a"), SP_EUSAGE, {"causal", "--cls last"});
  settings_.cls_row = "last";
  EXPECT_EQ(Run("b"), SP_OK) << err_.message;
}

TEST_F(Training, AMissingDirectoryAboveIsTold) {
  ExpectRefused(Run("no/such"), SP_EIO, {"no/such"});
}

TEST_F(Training, LayersComeFromTheModel) {
  settings_.init_layers = "1,0,1";
  settings_.steps = 1;
  ASSERT_EQ(Run("out"), SP_OK) << err_.message;
  sp_checkpoint *model = nullptr;
  ASSERT_EQ(sp_checkpoint_open((scratch_ / "out/model").c_str(), &model, &err_), SP_OK)
      << err_.message;
  EXPECT_EQ(model->config.layers, 3u);
  sp_checkpoint_close(model);
}

TEST_F(Training, MwerLowersWordErrors) {
  Begin(SP_OBJECTIVE_MWER);
  settings_.steps = 60;
  settings_.rate = 3e-3;
  ASSERT_EQ(Run("out"), SP_OK) << err_.message;
  ASSERT_FALSE(events_.notes.empty());
  EXPECT_NE(events_.notes[0].find("classifier"), std::string::npos) << events_.notes[0];
  const sp_train_eval &last = events_.evals.back();
  EXPECT_TRUE(last.first_wer == 0.5) << last.first_wer;
  EXPECT_TRUE(last.oracle_wer == 0) << last.oracle_wer;
  EXPECT_TRUE(last.wer < 0.25) << last.wer;
}

// As in the loss, a hypothesis without a first-pass score takes no part.
TEST_F(Training, WordErrorsAreOfWhatTheFirstPassScored) {
  Begin(SP_OBJECTIVE_MWER);
  std::string lists;
  for (int i = 0; i < 40; i++)
    lists +=
        "{\"id\":\"s" + std::to_string(i) +
        "\",\"ref\":\"w67 w68\",\"hyps\":[{\"text\":\"w70\"},{\"text\":\"w67 w68\",\"score\":-1},"
        "{\"text\":\"w70 w68\",\"score\":-2}]}\n";
  WriteFile(file_, lists);
  settings_.steps = 1;
  settings_.beta = 1e-9;
  ASSERT_EQ(Run("out"), SP_OK) << err_.message;
  ASSERT_FALSE(events_.evals.empty());
  EXPECT_TRUE(events_.evals[0].first_wer == 0) << events_.evals[0].first_wer;
  EXPECT_TRUE(events_.evals[0].wer == 0) << events_.evals[0].wer;
}

// Rates are of one word at least: what stands for an empty reference is an error all the same.
TEST_F(Training, WordErrorsOfRatesCountForEmptyReferencesToo) {
  Begin(SP_OBJECTIVE_MWER);
  settings_.steps = 1;
  settings_.data.error_rates = true;
  settings_.data.holdout_every = 0;
  std::string held = scratch_ / "held.jsonl";
  WriteFile(held,
            "{\"id\":\"none\",\"ref\":\"\",\"hyps\":[{\"text\":\"w67\",\"score\":-1},"
            "{\"text\":\"w67 w68\",\"score\":-2}]}\n"
            "{\"id\":\"one\",\"ref\":\"w67\",\"hyps\":[{\"text\":\"w67\",\"score\":-1}]}\n");
  const char *holdout[] = {held.c_str()};
  settings_.data.holdout = holdout;
  settings_.data.n_holdout = 1;
  ASSERT_EQ(RunAnew("rates"), SP_OK) << err_.message;
  EXPECT_TRUE(events_.evals.back().first_wer == 1) << events_.evals.back().first_wer;
}

TEST_F(Training, MwedRunsAndSkipsListsWithoutErrors) {
  Begin(SP_OBJECTIVE_MWED);
  std::string lists = Lists();
  lists +=
      "{\"id\":\"perfect\",\"ref\":\"w67\",\"hyps\":[{\"text\":\"w67\",\"score\":-1},"
      "{\"text\":\"w67\",\"score\":-2}]}\n";
  WriteFile(file_, lists);
  settings_.data.holdout_every = 0;
  settings_.steps = 0;
  settings_.epochs = 2;
  ASSERT_EQ(Run("out"), SP_OK) << err_.message;
  EXPECT_GE(summary_.skipped, 1u);
}

// Soft masks settle, and what is written is their rounded form.
TEST_F(Training, SchedulersAreTrainedAndWritten) {
  settings_.lookahead = "dynamic:3,2";
  settings_.penalty.kind = SP_PENALTY_NAIVE;
  settings_.penalty.lambda = 1;
  settings_.steps = 60;
  settings_.rate = 1e-2;
  ASSERT_EQ(Run("out"), SP_OK) << err_.message;
  const sp_train_eval &first = events_.evals.front(), &last = events_.evals.back();
  EXPECT_LT(last.lookahead, first.lookahead) << "the penalty is felt";
  EXPECT_GT(last.settled, 0.5);
  EXPECT_TRUE(last.best) << "whatever its loss: it is what the penalty made";
  EXPECT_EQ(summary_.best_step, 60u);
  sp_checkpoint *model = nullptr;
  ASSERT_EQ(sp_checkpoint_open((scratch_ / "out/model").c_str(), &model, &err_), SP_OK)
      << err_.message;
  const sp_lookahead &rule = model->config.lookahead;
  EXPECT_EQ(rule.policy, SP_MASK_DYNAMIC);
  EXPECT_EQ(sp_lookahead_reach(&rule, 0), 3u);
  EXPECT_EQ(sp_lookahead_reach(&rule, 1), 2u);
  EXPECT_EQ(model->layers[0].n_scheduler, 1u);
  sp_checkpoint_close(model);
}

}  // namespace
