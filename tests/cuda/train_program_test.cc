// `train --device cuda` on fake devices, from end to end: the CPU's losses, equal bits, failing calls.
#include <jansson.h>

#include <cmath>
#include <filesystem>
#include <sstream>

#include "cuda_fixture.h"

namespace {

using sp_test::ReadFile;
using sp_test::Result;
using sp_test::WriteFile;

enum { kOk = 0, kDevice = 5 };

class TrainProgram : public ::testing::Test {
 protected:
  void SetUp() override {
    sp_random_model model = sp_random_model_default();
    model.hidden = 16;
    model.heads = 2;
    model.ffn = 32;
    model.vocab = 80;
    model.positions = 16;
    sp_error err{};
    ASSERT_EQ(sp_random_model_write(&model, (scratch_ / "model").c_str(), &err), SP_OK)
        << err.message;
    std::string text, lists;
    for (int i = 0; i < 12; i++) {
      std::string words = "w" + std::to_string(60 + i) + " a w" + std::to_string(62 + i % 5);
      text += words + "\n";
      lists += "{\"id\":\"u" + std::to_string(i) + "\",\"ref\":\"" + words +
               "\",\"hyps\":[{\"text\":\"" + words + "\",\"score\":-2},{\"text\":\"b " + words +
               "\",\"score\":-1}]}\n";
    }
    WriteFile(scratch_ / "text.txt", text);
    WriteFile(scratch_ / "lists.jsonl", lists);
  }

  Result Train(const std::string &environment, const std::string &options, const std::string &out) {
    return sp_test::Run(environment + " SP_FAKE_CUDA_REPORT=" + (scratch_ / "report") +
                        " '" SP_BINARY "' train --threads 1 --progress none --model " +
                        (scratch_ / "model") + " --steps 3 --step-tokens 64 --batch-tokens 32 " +
                        "--warmup 0 --save-every 1 --out " + (scratch_ / out) + " " + options);
  }
  std::string Mlm() const {
    return "--objective mlm --data " + (scratch_ / "text.txt");
  }
  std::string Mwer() const {
    return "--objective mwer --lookahead dynamic:2 --cls last --penalty naive --data " +
           (scratch_ / "lists.jsonl");
  }
  std::vector<double> Losses(const std::string &out) const {
    std::istringstream lines(ReadFile(scratch_ / (out + "/steps.jsonl")));
    std::vector<double> losses;
    for (std::string line; std::getline(lines, line);) {
      json_t *json = json_loads(line.c_str(), 0, nullptr);
      losses.push_back(json_number_value(json_object_get(json, "loss")));
      losses.push_back(json_number_value(json_object_get(json, "norm")));
      json_decref(json);
    }
    return losses;
  }
  void ExpectClose(const std::string &got, const std::string &want, double tolerance) {
    std::vector<double> a = Losses(got), b = Losses(want);
    ASSERT_EQ(a.size(), 6u);
    ASSERT_EQ(b.size(), 6u);
    for (size_t i = 0; i < 6; i++)
      EXPECT_TRUE(std::fabs(a[i] - b[i]) <= tolerance * (1e-3 + std::fabs(b[i])))
          << i << ": " << a[i] << ", want " << b[i];
  }
  std::string Weights(const std::string &out) const {
    return ReadFile(scratch_ / (out + "/model/model.safetensors"));
  }

  sp_test::Scratch scratch_;
};

TEST_F(TrainProgram, LosesWhatTheCpuLoses) {
  for (const std::string &job : {Mlm(), Mwer()}) {
    std::string cpu = job == Mlm() ? "cpu-mlm" : "cpu-mwer", gpu = job == Mlm() ? "mlm" : "mwer";
    Result a = Train("", job + " --device cpu --dtype f32", cpu);
    ASSERT_EQ(a.exit_code, kOk) << a.output;
    Result b = Train("", job + " --device cuda --dtype f32", gpu);
    ASSERT_EQ(b.exit_code, kOk) << b.output;
    ExpectClose(gpu, cpu, 1e-4);
    Result c = Train("", job + " --device cuda --dtype bf16", gpu + "-bf16");
    ASSERT_EQ(c.exit_code, kOk) << c.output;
    ExpectClose(gpu + "-bf16", cpu, 5e-2);
  }
}

TEST_F(TrainProgram, SeveralDevicesRepeatTheirBitsAndLoseTheSame) {
  Result one = Train("", Mlm() + " --device cuda --dtype f32", "one");
  ASSERT_EQ(one.exit_code, kOk) << one.output;
  for (const char *out : {"two", "again"}) {
    Result two = Train("SP_FAKE_CUDA_DEVICES=2", Mlm() + " --device cuda --dtype f32", out);
    ASSERT_EQ(two.exit_code, kOk) << two.output;
  }
  EXPECT_EQ(Weights("two"), Weights("again"));
  ExpectClose("two", "one", 1e-4);
}

// Whatever call fails: exit 5, and the same command goes on to the same bytes.
TEST_F(TrainProgram, AFailingCallEndsTheRunThatGoesOn) {
  ASSERT_EQ(Train("", Mlm() + " --device cuda --dtype f32", "whole").exit_code, kOk);
  size_t failed = 0;
  for (int k = 3; k < 1200; k += 131) {
    std::string out = "failed-" + std::to_string(k);
    Result first = Train("SP_FAKE_CUDA_FAIL_CALL=" + std::to_string(k),
                         Mlm() + " --device cuda --dtype f32", out);
    ASSERT_TRUE(first.exit_code == kOk || first.exit_code == kDevice) << k << first.output;
    failed += first.exit_code == kDevice;
    Result second = Train("", Mlm() + " --device cuda --dtype f32", out);
    ASSERT_EQ(second.exit_code, kOk) << k << second.output;
    EXPECT_EQ(Weights(out), Weights("whole")) << k;
  }
  EXPECT_GE(failed, 3u);
}

}  // namespace
