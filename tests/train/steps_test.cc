// steps_test.cc - whole runs of some steps against torch.optim.AdamW in float64: data, losses, rates,
// clipping, updates, and the model that is written.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "checkpoint.h"
#include "golden.h"
#include "scratch.h"
#include "train_golden.h"
#include "training.h"

namespace {

using sp_test::TrainedGolden;

class Tensors {
 public:
  explicit Tensors(const std::string &directory) {
    sp_error err{};
    EXPECT_EQ(sp_checkpoint_open(directory.c_str(), &checkpoint_, &err), SP_OK) << err.message;
  }
  ~Tensors() {
    sp_checkpoint_close(checkpoint_);
  }
  Tensors(const Tensors &) = delete;
  Tensors &operator=(const Tensors &) = delete;
  // Of an F32 file; empty: no such tensor.
  std::vector<float> Get(const std::string &name) const {
    const sp_tensor *tensor = sp_safetensors_find(checkpoint_->tensors, name.c_str());
    std::vector<float> out(tensor ? tensor->bytes / sizeof(float) : 0);
    if (tensor)
      sp_tensor_to_f32(tensor, 0, tensor->bytes / sizeof(float), out.data());
    return out;
  }

 private:
  sp_checkpoint *checkpoint_ = nullptr;
};

sp_train_settings SettingsOf(const TrainedGolden &golden) {
  sp_train_settings s{};
  sp_train_settings_init(
      &s, golden.run.at("objective") == "mwer" ? SP_OBJECTIVE_MWER : SP_OBJECTIVE_MWED);
  s.device = "cpu";
  s.threads = 1;
  s.steps = static_cast<uint64_t>(golden.Number("steps"));
  s.warmup = static_cast<uint64_t>(golden.Number("warmup"));
  s.rate = golden.Number("rate");
  s.end_rate = golden.Number("end_rate");
  s.beta1 = golden.Number("beta1");
  s.beta2 = golden.Number("beta2");
  s.eps = golden.Number("eps");
  s.weight_decay = golden.Number("weight_decay");
  s.clip = golden.Number("clip");
  s.beta = golden.Number("beta");
  s.distill_weight = 0;
  s.tau_start = golden.Number("tau");
  s.tau_end = golden.Number("tau_end");
  s.latency_momentum = golden.Number("momentum");
  EXPECT_TRUE(sp_penalty_parse(golden.run.at("penalty").c_str(), &s.penalty.kind));
  s.penalty.lambda = golden.Number("weight");
  return s;
}

class Steps : public testing::TestWithParam<size_t> {};

TEST_P(Steps, AreThoseOfPyTorch) {
  const TrainedGolden golden =
      sp_test::ReadTrainedGoldens(SP_SOURCE_DIR "/tests/golden/train_steps.json")[GetParam()];
  sp_test::Scratch scratch;
  const std::string model = scratch / "model", file = scratch / "lists.jsonl",
                    out = scratch / "out";
  sp_test::WriteRandomModel(golden.random, model);
  sp_test::WriteFile(file, golden.archive);
  sp_train_settings settings = SettingsOf(golden);
  const char *files[] = {file.c_str()};
  settings.model = model.c_str();
  settings.out = out.c_str();
  settings.data.files = files;
  settings.data.n_files = 1;
  settings.step_tokens = settings.batch_tokens = 4096;  // all of it in every step

  std::vector<sp_train_step> steps;
  sp_train_events events{};
  events.arg = &steps;
  events.step = [](void *arg, const sp_train_step *step) {
    static_cast<std::vector<sp_train_step> *>(arg)->push_back(*step);
  };
  sp_train_summary summary{};
  sp_error err{};
  ASSERT_EQ(sp_training_run(&settings, &events, &summary, &err), SP_OK) << err.message;

  ASSERT_EQ(steps.size(), golden.losses.size());
  for (size_t i = 0; i < steps.size(); i++) {
    EXPECT_NEAR(steps[i].loss, golden.losses[i][0], 2e-5) << i;
    EXPECT_NEAR(steps[i].norm, golden.losses[i][1], 1e-4 * golden.losses[i][1]) << i;
  }
  const Tensors before(model), after(out + "/model");
  size_t compared = 0;
  for (size_t t = 0; t < golden.tensors.size(); t++) {
    std::vector<float> change = after.Get(golden.tensors[t]), was = before.Get(golden.tensors[t]);
    if (change.empty())
      continue;  // the head of masked tokens, which this run leaves out
    ASSERT_EQ(change.size(), was.size());
    for (size_t i = 0; i < change.size(); i++)
      change[i] -= was[i];
    const std::vector<double> got = sp_test::SummaryOf(change.data(), change.size()),
                              &want = golden.changes[t];
    // Floats of about 1 hold a change to 6e-8.
    const double limit = 2e-3 * want[0] + 1e-7 * std::sqrt(static_cast<double>(change.size()));
    for (size_t k = 0; k < want.size(); k++)
      EXPECT_TRUE(std::fabs(got[k] - want[k]) <= (k == 1 || k == 2 ? 4 : 1) * limit)
          << golden.tensors[t] << " [" << k << "]: " << got[k] << " and " << want[k];
    compared++;
  }
  EXPECT_GE(compared, 37u);
}

INSTANTIATE_TEST_SUITE_P(Models, Steps, testing::Range(size_t{0}, size_t{2}));

}  // namespace
