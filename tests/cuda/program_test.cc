// The program on fake devices, from end to end: scores, memory, and failure of every call.
#include <jansson.h>

#include <cmath>
#include <map>
#include <set>
#include <sstream>

#include "cuda_fixture.h"

namespace {

using sp_test::ReadFile;
using sp_test::Result;
using sp_test::WriteFile;

// Exit codes of the program.
enum { kOk = 0, kDevice = 5 };

class ProgramTest : public ::testing::Test {
 protected:
  // `words` a hypothesis; two utterances with two hypotheses each, or one of each.
  void Make(const sp_random_model &model, bool tiny) {
    sp_error err{};
    ASSERT_EQ(sp_random_model_write(&model, (scratch_ / "model").c_str(), &err), SP_OK)
        << err.message;
    WriteFile(scratch_ / "a.jsonl",
              tiny ? "{\"id\":\"u1\",\"hyps\":[{\"text\":\"a b\",\"score\":-1}]}\n"
                   : "{\"id\":\"u1\",\"hyps\":[{\"text\":\"he hoped for stew\",\"score\":-1},"
                     "{\"text\":\"he hoped four stew\",\"score\":-2}]}\n"
                     "{\"id\":\"u2\",\"hyps\":[{\"text\":\"turnips and carrots\",\"score\":-1},"
                     "{\"text\":\"turnip\",\"score\":-2}]}\n");
  }
  static sp_random_model Tiny() {
    sp_random_model model = sp_random_model_default();
    model.layers = 1;
    model.hidden = 16;
    model.heads = 1;
    model.ffn = 16;
    model.vocab = 60;
    model.positions = 8;
    return model;
  }

  static sp_random_model Dynamic(sp_random_model model) {
    model.layers = 2;
    model.scheduler = "2";
    model.config_extra = "\"lookahead\": {\"policy\": \"dynamic\", \"max\": 2}";
    return model;
  }

  Result Score(const std::string &environment, const std::string &options,
               const std::string &out = "-") {
    return sp_test::Run(environment + " SP_FAKE_CUDA_REPORT=" + (scratch_ / "report") +
                        " '" SP_BINARY "' score --threads 1 --model " + (scratch_ / "model") +
                        " --out " + (out == "-" ? out : scratch_ / out) + " " + options + " " +
                        (scratch_ / "a.jsonl") + " 2>" + (scratch_ / "err"));
  }
  std::string Errors() const {
    return ReadFile(scratch_ / "err");
  }
  std::string Report(const std::string &name) const {
    std::istringstream lines(ReadFile(scratch_ / "report"));
    for (std::string key, value; lines >> key && std::getline(lines, value);) {
      if (key == name)
        return value.empty() ? value : value.substr(1);
    }
    return "";
  }
  uint64_t Count(const std::string &name) const {
    return strtoull(Report(name).c_str(), nullptr, 10);
  }

  // Every number of every hypothesis: "u1 0 pll" to its value.
  static std::map<std::string, double> Numbers(const std::string &lines) {
    std::map<std::string, double> numbers;
    std::istringstream in(lines);
    for (std::string line; std::getline(in, line);) {
      json_t *json = json_loads(line.c_str(), 0, nullptr), *hyp, *value;
      EXPECT_NE(json, nullptr) << line;
      size_t i;
      const char *key;
      json_array_foreach(json_object_get(json, "hyps"), i, hyp) {
        json_object_foreach(hyp, key, value) {
          numbers[std::string(json_string_value(json_object_get(json, "id"))) + " " +
                  std::to_string(i) + " " + key] = json_number_value(value);
        }
      }
      json_decref(json);
    }
    return numbers;
  }
  void ExpectClose(const std::string &got, const std::string &want, double tolerance) {
    std::map<std::string, double> a = Numbers(got), b = Numbers(want);
    ASSERT_EQ(a.size(), b.size());
    ASSERT_GE(a.size(), 3u);
    for (const auto &[name, value] : b) {
      ASSERT_TRUE(a.count(name)) << name;
      EXPECT_TRUE(std::fabs(a[name] - value) <= tolerance * (1 + std::fabs(value)))
          << name << " is " << a[name] << ", want " << value;
    }
  }

  sp_test::Scratch scratch_;
};

TEST_F(ProgramTest, ScoresAsTheCpuDoes) {
  sp_random_model model = sp_random_model_default();
  model.arch = SP_RANDOM_BOTH;
  model.pooler = true;
  Make(model, false);
  const std::string all = " --method pll,pll_l2r,cls,maskless --per-token";
  Result cpu = Score("", "--device cpu --dtype f32" + all);
  ASSERT_EQ(cpu.exit_code, kOk) << Errors();
  Result f32 = Score("", "--device cuda --dtype f32" + all);
  ASSERT_EQ(f32.exit_code, kOk) << Errors();
  ExpectClose(f32.output, cpu.output, 3e-6);
  Result bf16 = Score("", "--device cuda --dtype bf16" + all);
  ASSERT_EQ(bf16.exit_code, kOk) << Errors();
  ExpectClose(bf16.output, cpu.output, 2e-2);
  EXPECT_NE(bf16.output, f32.output);
  EXPECT_EQ(Count("live"), 0u);
  Result automatic = Score("", "--device auto --dtype bf16" + all);
  EXPECT_EQ(automatic.output, bf16.output);
}

TEST_F(ProgramTest, ActivationsAndHeadSizesOfOtherModels) {
  for (const char *act : {"gelu_new", "relu"}) {
    sp_random_model model = sp_random_model_default();
    model.act = act;
    model.hidden = 26;
    model.heads = 2;
    model.ffn = 37;
    Make(model, true);
    Result cpu = Score("", "--device cpu --dtype f32");
    ASSERT_EQ(cpu.exit_code, kOk) << Errors();
    Result f32 = Score("", "--device cuda --dtype f32");
    ASSERT_EQ(f32.exit_code, kOk) << Errors();
    ExpectClose(f32.output, cpu.output, 3e-6);
    Result bf16 = Score("", "--device cuda --dtype bf16");
    ASSERT_EQ(bf16.exit_code, kOk) << Errors();
    ExpectClose(bf16.output, cpu.output, 2e-2);
  }
}

// The same bits for any batch limit, without the savings, and on any of the devices.
TEST_F(ProgramTest, BitsDoNotDependOnBatchesAndDevices) {
  Make(sp_random_model_default(), false);
  for (const char *dtype : {"f32", "bf16"}) {
    const std::string base = std::string("--dtype ") + dtype;
    Result want = Score("", base + " --device cuda");
    ASSERT_EQ(want.exit_code, kOk) << Errors();
    EXPECT_EQ(Score("", base + " --device cuda --batch-tokens 64").output, want.output);
    EXPECT_EQ(Score("", base + " --device cuda --without dedupe").output, want.output);
    EXPECT_EQ(Score("SP_FAKE_CUDA_DEVICES=3", base + " --device cuda:2").output, want.output);
    EXPECT_EQ(Score("SP_FAKE_CUDA_DEVICES=3", base + " --device cuda").output, want.output);
    EXPECT_EQ(Count("live"), 0u);
  }
}

// As the CPU does; and the same bits by distinct nodes, plainly, in other batches, and where the
// schedulers came from another device.
TEST_F(ProgramTest, SchedulersDecideWhatIsSeen) {
  Make(Dynamic(sp_random_model_default()), false);
  const std::string all = " --method pll,pll_l2r,maskless --per-token";
  Result cpu = Score("", "--device cpu --dtype f32" + all);
  ASSERT_EQ(cpu.exit_code, kOk) << Errors();
  for (const char *dtype : {"f32", "bf16"}) {
    const std::string base = "--dtype " + std::string(dtype) + all + " --device ";
    Result want = Score("", base + "cuda");
    ASSERT_EQ(want.exit_code, kOk) << Errors();
    if (std::string(dtype) == "f32")
      ExpectClose(want.output, cpu.output, 3e-6);
    EXPECT_NE(want.output, Score("", base + "cuda --mask full --force-mask").output);
    EXPECT_EQ(Score("", base + "cuda --without nodes").output, want.output);
    EXPECT_EQ(Score("", base + "cuda --without trim").output, want.output);
    EXPECT_EQ(Score("", base + "cuda --batch-tokens 64").output, want.output);
    EXPECT_EQ(Score("SP_FAKE_CUDA_DEVICES=3", base + "cuda:0,2").output, want.output);
    EXPECT_EQ(Count("live"), 0u);
  }
}

TEST_F(ProgramTest, NothingIsAllocatedAfterTheStart) {
  for (const sp_random_model &model :
       {sp_random_model_default(), Dynamic(sp_random_model_default())}) {
    Make(model, false);
    for (const char *options : {"--batch-tokens 64", "--batch-tokens 64 --without nodes"}) {
      ASSERT_EQ(Score("", std::string("--device cuda ") + options).exit_code, kOk) << Errors();
      EXPECT_EQ(Count("late"), 0u);
      EXPECT_GT(Count("work"), 100u);  // several batches
    }
  }
}

TEST_F(ProgramTest, WithoutADeviceItSaysSo) {
  Make(Tiny(), true);
  EXPECT_EQ(Score("SP_FAKE_CUDA_DEVICES=0", "--device cuda").exit_code, kDevice);
  EXPECT_NE(Errors().find("no usable CUDA device"), std::string::npos) << Errors();
  EXPECT_EQ(Score("SP_FAKE_CUDA_DEVICES=0", "--device auto").exit_code, kOk) << Errors();
}

// What becomes of a run of which one call, or one piece of work, fails; and its second try.
class TortureTest : public ProgramTest, public ::testing::WithParamInterface<int> {
 protected:
  static constexpr int kParts = 4;

  // Files of a run that scoring decides.
  std::string Bytes(const std::string &run) {
    return sp_test::Run("cd " + (scratch_ / run) + " && cat scores-* 2>/dev/null | cksum").output;
  }
  void Try(const std::string &setting, uint64_t k, const std::string &want) {
    const std::string run = "run";
    sp_test::Run("rm -rf " + (scratch_ / run));
    Result result = Score(setting, options_, run);
    const std::string errors = Errors();
    ASSERT_TRUE(result.exit_code == kOk || result.exit_code == kDevice)
        << setting << " exits " << result.exit_code << ": " << errors;
    ASSERT_EQ(Count("live"), 0u) << setting << ": " << errors;
    ASSERT_EQ(Count("bytes"), 0u) << setting;
    const std::string failed = Report("failed");
    if (result.exit_code == kDevice) {
      failures_++;
      EXPECT_TRUE(errors.find("cuda:") != std::string::npos ||
                  errors.find("CUDA") != std::string::npos)
          << setting << ": " << errors;
    }
    bool again = result.exit_code == kOk || resumed_.insert(failed).second || k % 8 == 0;
    if (again) {
      ASSERT_EQ(Score("", options_, run).exit_code, kOk) << setting << ": " << Errors();
      ASSERT_EQ(Bytes(run), want) << setting << ", " << failed;
    }
  }

  const std::string options_ = "--device cuda --dtype bf16";
  int failures_ = 0;
  std::set<std::string> resumed_;  // names of calls whose failure was followed by a second try
};

TEST_P(TortureTest, EveryCall) {
  Make(Tiny(), true);
  ASSERT_EQ(Score("", options_, "whole").exit_code, kOk) << Errors();
  const std::string want = Bytes("whole");
  const uint64_t calls = Count("calls");
  ASSERT_GT(calls, 100u);
  for (uint64_t k = 1 + static_cast<uint64_t>(GetParam()); k <= calls + kParts; k += kParts) {
    Try("SP_FAKE_CUDA_FAIL_CALL=" + std::to_string(k), k, want);
    if (HasFatalFailure())
      return;
  }
  EXPECT_GT(failures_, 50);
}

TEST_P(TortureTest, EveryPieceOfWork) {
  Make(Tiny(), true);
  ASSERT_EQ(Score("", options_, "whole").exit_code, kOk) << Errors();
  const std::string want = Bytes("whole");
  const uint64_t work = Count("work");
  ASSERT_GT(work, 10u);
  for (uint64_t k = 1 + static_cast<uint64_t>(GetParam()); k <= work; k += kParts) {
    Try("SP_FAKE_CUDA_FAIL_WORK=" + std::to_string(k), k, want);
    if (HasFatalFailure())
      return;
  }
  EXPECT_GT(failures_, 2);
}

// By distinct nodes the host reads bits between layers, and queues the next layer by them.
TEST_P(TortureTest, EveryCallOfDistinctNodes) {
  sp_random_model model = Dynamic(Tiny());
  model.positions = 16;
  Make(model, true);
  WriteFile(scratch_ / "a.jsonl",
            "{\"id\":\"u1\",\"hyps\":[{\"text\":\"a b c d e f g h i j\",\"score\":-1}]}\n");
  ASSERT_EQ(Score("", options_ + " --without nodes", "plain").exit_code, kOk) << Errors();
  const uint64_t plain = Count("work");
  ASSERT_EQ(Score("", options_, "whole").exit_code, kOk) << Errors();
  const std::string want = Bytes("whole");
  const uint64_t calls = Count("calls"), work = Count("work");
  ASSERT_NE(work, plain) << "this is to go by distinct nodes";
  EXPECT_EQ(want, Bytes("plain"));
  for (uint64_t k = 1 + static_cast<uint64_t>(GetParam()); k <= calls; k += kParts) {
    Try("SP_FAKE_CUDA_FAIL_CALL=" + std::to_string(k), k, want);
    if (k <= work)
      Try("SP_FAKE_CUDA_FAIL_WORK=" + std::to_string(k), k, want);
    if (HasFatalFailure())
      return;
  }
  EXPECT_GT(failures_, 50);
}

TEST_P(TortureTest, TheDeviceIsLostAtACall) {
  Make(Tiny(), true);
  ASSERT_EQ(Score("", options_, "whole").exit_code, kOk) << Errors();
  const std::string want = Bytes("whole");
  const uint64_t calls = Count("calls");
  for (uint64_t k = 1 + 5 * static_cast<uint64_t>(GetParam()); k <= calls; k += 5 * kParts) {
    Try("SP_FAKE_CUDA_LOSE=0:" + std::to_string(k), k, want);
    if (HasFatalFailure())
      return;
  }
}

// Whichever of two is lost, and whenever: the run ends well, or can be taken up again.
TEST_P(TortureTest, OneOfTwoDevicesIsLost) {
  Make(sp_random_model_default(), false);
  const std::string two = "SP_FAKE_CUDA_DEVICES=2 ";
  ASSERT_EQ(Score(two, options_, "whole").exit_code, kOk) << Errors();
  const std::string want = Bytes("whole");
  const uint64_t calls = Count("calls") / 2;
  for (uint64_t k = 1 + 31 * static_cast<uint64_t>(GetParam()); k <= calls; k += 31 * kParts) {
    Try(two + "SP_FAKE_CUDA_LOSE=" + std::to_string(k % 2) + ":" + std::to_string(k), k, want);
    if (HasFatalFailure())
      return;
  }
}

INSTANTIATE_TEST_SUITE_P(Part, TortureTest, ::testing::Range(0, 4));

}  // namespace
