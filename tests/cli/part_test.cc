// Parts of a run from the command line and from launchers; signals with and without a grace.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "program.h"

namespace sp_test {
namespace {

class PartTest : public Workplace {
 protected:
  // The command line under these variables, and no others of a launcher.
  Said Under(const std::string &variables, const std::string &arguments) {
    return Shell(
        "env -u SLURM_ARRAY_TASK_ID -u JOB_COMPLETION_INDEX -u RANK -u WORLD_SIZE -u "
        "SLURM_PROCID " +
        variables + " $SP " + arguments);
  }
  std::string Part(const std::string &part, const std::string &more = "") {
    return Score("run", "--shard-utts 4 --lease 1 --method maskless --part " + part + " " + more);
  }
  // What is said of which part the variables make, or why they make none.
  void Expect(const std::string &variables, int code, const std::string &words) {
    std::filesystem::remove_all(Path("run"));
    Said said = Under(variables, Score("run", "--shard-utts 4 --lease 1 --method maskless"));
    EXPECT_EQ(said.code, code) << variables << ": " << said.err;
    EXPECT_NE(said.err.find(words), std::string::npos) << variables << ": " << said.err;
  }
};

TEST_F(PartTest, PartsCompleteARunAndSayWhatIsLeft) {
  ASSERT_EQ(Under("", Score("whole", "--shard-utts 4 --method maskless")).code, 0);
  Said first = Under("", Part("0/2"));
  EXPECT_EQ(first.code, 0) << first.err;
  EXPECT_NE(first.err.find("part 0/2 of " + Path("run") +
                           " is done; left to other parts: 5 shards of 10"),
            std::string::npos)
      << first.err;
  EXPECT_EQ(first.err.find("is complete"), std::string::npos) << first.err;
  EXPECT_EQ(Program("verify " + Path("run")).code, 7);
  Said second = Under("", Part("1/2", "--own-share --json"));
  EXPECT_EQ(second.code, 0) << second.err;
  Json json = ParseJson(second.out);
  EXPECT_EQ(String(json, "part"), "1/2");
  EXPECT_EQ(Integer(json, "shards_open"), 0);
  EXPECT_EQ(Integer(json, "shards_taken_over"), 0);
  EXPECT_EQ(Integer(json, "shards_late"), 0);
  EXPECT_EQ(Integer(json, "shards_helped"), 0);
  EXPECT_EQ(Integer(json, "hyps_scored"), 60);
  EXPECT_EQ(Program("verify " + Path("run")).code, 0);
  EXPECT_EQ(Program("cat " + Path("run")).out, Program("cat " + Path("whole")).out);
}

TEST_F(PartTest, WhoHasTheRunAloneHasNoPart) {
  Json json = ParseJson(Under("", Score("run", "--json")).out);
  EXPECT_TRUE(json_is_null(Member(json, "part")));
}

TEST_F(PartTest, ASlurmArrayIsRead) {
  const std::string range = "SLURM_ARRAY_TASK_MIN=10 SLURM_ARRAY_TASK_MAX=16 ";
  Expect("SLURM_ARRAY_TASK_ID=12 SLURM_ARRAY_TASK_STEP=2 SLURM_ARRAY_TASK_COUNT=4 " + range, 0,
         "this is part 1/4, by SLURM_ARRAY_TASK_ID; --part none scores the whole");
  Expect("SLURM_ARRAY_TASK_ID=16 " + range, 0, "this is part 6/7,");
  Expect("SLURM_ARRAY_TASK_ID=3 SLURM_ARRAY_TASK_MIN=3 SLURM_ARRAY_TASK_MAX=3", 0,
         "this is part 0/1,");
  Expect("SLURM_ARRAY_TASK_ID=12 SLURM_ARRAY_TASK_COUNT=3 " + range, 2, "not evenly spaced");
  Expect("SLURM_ARRAY_TASK_ID=13 SLURM_ARRAY_TASK_STEP=2 " + range, 2, "not evenly spaced");
  Expect("SLURM_ARRAY_TASK_ID=9 " + range, 2, "not evenly spaced");
  Expect("SLURM_ARRAY_TASK_ID=12", 2,
         "SLURM_ARRAY_TASK_ID is set, but SLURM_ARRAY_TASK_MIN is not");
  Expect("SLURM_ARRAY_TASK_ID=x " + range, 2, "SLURM_ARRAY_TASK_ID is 'x', which is no number");
}

TEST_F(PartTest, AnIndexedJobIsRead) {
  Expect("JOB_COMPLETION_INDEX=2 JOB_COMPLETIONS=5", 0,
         "this is part 2/5, by JOB_COMPLETION_INDEX;");
  Expect("JOB_COMPLETION_INDEX=2", 2, "JOB_COMPLETION_INDEX is set, but JOB_COMPLETIONS is not");
  Expect("JOB_COMPLETION_INDEX=5 JOB_COMPLETIONS=5", 2, "tells part 5 of 5, counted from 0");
  Expect("JOB_COMPLETION_INDEX=1 JOB_COMPLETIONS=-5", 2, "JOB_COMPLETIONS is '-5'");
}

// srun without PMI; the shell of a batch script or of salloc is no step.
TEST_F(PartTest, AStepOfSrunIsRead) {
  const std::string step = "SLURM_PROCID=2 SLURM_STEP_NUM_TASKS=4 ";
  Expect(step + "SLURM_STEP_ID=0", 0, "this is part 2/4, by SLURM_PROCID; --part none scores");
  Expect(step + "SLURM_STEPID=17", 0, "this is part 2/4,");
  Expect(step + "SLURM_STEP_ID=0 RANK=1 WORLD_SIZE=3", 0, "this is part 1/3, by RANK;");
  Expect(step +
             "SLURM_STEP_ID=0 SLURM_ARRAY_TASK_ID=12 SLURM_ARRAY_TASK_MIN=10 "
             "SLURM_ARRAY_TASK_MAX=12",
         0, "this is part 10/12, by SLURM_ARRAY_TASK_ID and SLURM_PROCID;");
  for (const char *none : {"SLURM_PROCID=0 SLURM_NTASKS=4", "SLURM_PROCID=0 SLURM_STEP_NUM_TASKS=4",
                           "SLURM_PROCID=0 SLURM_STEP_NUM_TASKS=1 SLURM_STEP_ID=0",
                           "SLURM_PROCID=0 SLURM_STEP_NUM_TASKS=4 SLURM_STEP_ID=4294967291",
                           "SLURM_PROCID=0 SLURM_STEP_NUM_TASKS=4 SLURM_STEP_ID=4294967290"}) {
    Expect(none, 0, "is complete: 10 shards");
  }
}

TEST_F(PartTest, TorchrunIsRead) {
  Expect("RANK=1 WORLD_SIZE=3", 0, "this is part 1/3, by RANK;");
  Expect("RANK=captain", 0, "is complete: 10 shards");
  Expect("WORLD_SIZE=3", 0, "is complete: 10 shards");
}

TEST_F(PartTest, TheOptionCountsMoreThanTheEnvironment) {
  Said said = Under("RANK=1 WORLD_SIZE=3", Part("none"));
  EXPECT_EQ(said.code, 0);
  EXPECT_NE(said.err.find("is complete: 10 shards"), std::string::npos) << said.err;
  std::filesystem::remove_all(Path("run"));
  said = Under("RANK=1 WORLD_SIZE=3", Part("0/5"));
  EXPECT_NE(said.err.find("part 0/5 of"), std::string::npos) << said.err;
  EXPECT_EQ(said.err.find("this is part"), std::string::npos) << said.err;
}

TEST_F(PartTest, AStreamHasNoParts) {
  Said said = Under("RANK=1 WORLD_SIZE=3", Score("-", "--method maskless"));
  EXPECT_EQ(said.code, 0) << said.err;
  EXPECT_EQ(std::count(said.out.begin(), said.out.end(), '\n'), 40);
  said = Shell("$SP score --model " + Path("model") + " --part 0/2 --out " + Path("run") + " - <" +
               Path("dev.jsonl"));
  EXPECT_EQ(said.code, 2);
  EXPECT_NE(said.err.find("not with standard input"), std::string::npos) << said.err;
  said = Program(Score("-", "--part 0/2"));
  EXPECT_EQ(said.code, 2);
  EXPECT_NE(said.err.find("not with --out -"), std::string::npos) << said.err;
  said = Program(Score("-", "--grace 5"));
  EXPECT_EQ(said.code, 2);
  EXPECT_NE(said.err.find("--grace goes with a run directory"), std::string::npos) << said.err;
}

TEST_F(PartTest, SlipsAreNamed) {
  for (const char *slip : {"1", "1/", "/2", "a/2", "1/b", "1/2/3", "-1/2", "+0/2", "1/0", " 0/2",
                           "0x0/2", "0/99999999999999999999"}) {
    Said said = Program(Score("run", std::string("--part '") + slip + "'"));
    EXPECT_EQ(said.code, 2) << slip;
    EXPECT_NE(said.err.find(std::string("not '") + slip + "'"), std::string::npos) << said.err;
  }
  Said said = Program(Score("run", "--part 4/4"));
  EXPECT_EQ(said.code, 2);
  EXPECT_NE(said.err.find("parts count from 0, so that the last of 4 is 3/4"), std::string::npos)
      << said.err;
  for (const char *lease : {"0", "0.9", "-1", "nan"}) {
    said = Program(Score("run", std::string("--lease ") + lease));
    EXPECT_EQ(said.code, 2) << lease;
    EXPECT_NE(said.err.find("is not a number from 1 to 604800"), std::string::npos) << said.err;
  }
  EXPECT_EQ(Program(Score("run", "--grace -1")).code, 2);
  EXPECT_FALSE(std::filesystem::exists(Path("run")));
}

TEST_F(PartTest, APreparedRunIsThereForParts) {
  const std::string same = "--shard-utts 4 --method maskless ";
  ASSERT_EQ(Under("", Score("whole", same)).code, 0);
  // what the environment tells of parts does not matter
  Said said = Under("RANK=1 WORLD_SIZE=3", Score("run", same + "--prepare"));
  EXPECT_EQ(said.code, 0) << said.err;
  EXPECT_EQ(said.out, "");
  EXPECT_NE(
      said.err.find(Path("run") + " is prepared: 120 hypotheses of 40 utterances in 10 shards"),
      std::string::npos)
      << said.err;
  EXPECT_NE(said.err.find("to be scored: 10 shards; the same command with --part I/N"),
            std::string::npos)
      << said.err;
  Said status = Program("status --json " + Path("run"));
  EXPECT_NE(status.out.find("\"shards_open\":10"), std::string::npos) << status.out;
  said = Under("", Score("run", same + "--prepare --json --device cuda --lease 9"));
  EXPECT_EQ(said.code, 0) << said.err;
  Json json = ParseJson(said.out);
  EXPECT_TRUE(json_is_true(Member(json, "prepared")));
  EXPECT_TRUE(json_is_null(Member(json, "device_type")));
  EXPECT_EQ(Integer(json, "shards_open"), 10);
  EXPECT_EQ(Program("verify " + Path("run")).code, 7);
  said = Under("", Score("run", "--shard-utts 5 --method pll --part 0/2"));
  EXPECT_EQ(said.code, 2);
  EXPECT_NE(said.err.find("method: the run has \"maskless\""), std::string::npos) << said.err;
  EXPECT_NE(said.err.find("shard_utts: the run has 4"), std::string::npos) << said.err;
  for (const char *part : {"1/2", "0/2"})
    EXPECT_EQ(Under("", Part(part)).code, 0);
  EXPECT_EQ(Program("verify " + Path("run")).code, 0);
  EXPECT_EQ(ReadFile(Path("run/run.json")), ReadFile(Path("whole/run.json")));
  EXPECT_EQ(Program("cat " + Path("run")).out, Program("cat " + Path("whole")).out);
  said = Under("", Score("run", same + "--prepare"));
  EXPECT_EQ(said.code, 0);
  EXPECT_NE(said.err.find("is complete already"), std::string::npos) << said.err;
}

TEST_F(PartTest, PreparingTakesWhatScoringIsGiven) {
  Said said = Under("", Score("run", "--prepare --part none --grace 9 --lease 30 --own-share"));
  EXPECT_EQ(said.code, 0) << said.err;
  EXPECT_TRUE(std::filesystem::exists(Path("run/plan.jsonl.zst")));
}

TEST_F(PartTest, PreparingIsNoPart) {
  const std::pair<std::string, const char *> slips[] = {
      {Score("run", "--prepare --part 0/2"), "--prepare is done once for all parts"},
      {Score("-", "--prepare"), "--prepare makes a run directory, which --out - is not"},
      {"score --model " + Path("model") + " --prepare --out " + Path("run") + " - <" +
           Path("dev.jsonl"),
       "--prepare goes with archives in files"}};
  for (const auto &[command, words] : slips) {
    Said said = Under("", command);
    EXPECT_EQ(said.code, 2) << command;
    EXPECT_NE(said.err.find(words), std::string::npos) << said.err;
  }
  EXPECT_FALSE(std::filesystem::exists(Path("run")));
}

// What device it is to be is only told, but told right.
TEST_F(PartTest, PreparingForADeviceThatCannotBe) {
  const std::pair<const char *, const char *> slips[] = {
      {"abacus", "unknown device 'abacus'"},
      {"auto:1", "unknown device 'auto:1'"},
      {"cpu:nonsense", "no CPU kernels 'nonsense'"},
      {"cuda:nonsense", "'cuda:nonsense' is no list of numbers"},
      {"cuda:0,", "'cuda:0,' is no list of numbers"},
      {"cuda:1,1", "'cuda:1,1' names device 1 twice"}};
  for (const auto &[device, words] : slips) {
    Said said = Under("", Score("run", std::string("--prepare --device ") + device));
    EXPECT_EQ(said.code, 2) << device;
    EXPECT_NE(said.err.find(words), std::string::npos) << said.err;
    EXPECT_FALSE(std::filesystem::exists(Path("run"))) << device;
  }
  // of other machines, or of none that runs the tests
  for (const char *device : {"auto", "cpu:built-in", "cpu:avx512", "cuda", "cuda:0,63"}) {
    Said said = Under("", Score("run", std::string("--prepare --device ") + device));
    EXPECT_EQ(said.code, 0) << said.err;
    std::filesystem::remove_all(Path("run"));
  }
}

// A signal when the first shard is done, then the commands in `then`.
class PreemptionTest : public PartTest {
 protected:
  Said Preempted(const std::string &options, const std::string &signal, const std::string &then) {
    WriteFile(Path("dev.jsonl"), Archive(6000));
    return Shell("$SP " + Score("run", "--shard-utts 30 --threads 1 " + options) + " &\npid=$!\n" +
                 "while kill -0 $pid 2>/dev/null && ! ls " + Path("run") +
                 " 2>/dev/null | grep -q done; do sleep 0.01; done\nkill -" + signal + " $pid\n" +
                 then + "\nwait $pid");
  }
  void ExpectWholeShards() {
    for (const auto &entry : std::filesystem::directory_iterator(Path("run")))
      EXPECT_NE(entry.path().filename().string().rfind(".tmp", 0), 0u) << entry.path();
    if (std::filesystem::exists(Path("run/.claims"))) { /* with the mark that the run is made */
      for (const auto &entry : std::filesystem::directory_iterator(Path("run/.claims")))
        EXPECT_EQ(entry.path().filename().string().rfind("plan.", 0), 0u) << entry.path();
    }
    EXPECT_FALSE(std::filesystem::exists(Path("run/_SUCCESS")));
  }
};

TEST_F(PreemptionTest, SigusrStopsAsSigtermDoes) {
  for (const char *options : {"", "--part 0/1", "--grace 30", "--part 0/1 --grace 30"}) {
    std::filesystem::remove_all(Path("run"));
    Said said = Preempted(options, "USR1", "");
    EXPECT_EQ(said.code, 130) << options << ": " << said.err;
    EXPECT_NE(said.err.find("the same command resumes it"), std::string::npos) << said.err;
    ExpectWholeShards();
  }
}

// Slurm sends one signal to warn, and SIGTERM later.
TEST_F(PreemptionTest, ASecondSignalEndsTheGraceInOrder) {
  WriteFile(Path("dev.jsonl"), Archive(40000));
  Said said = Shell("$SP " +
                    Score("run",
                          "--shard-utts 40000 --without dedupe --threads 1 --batch-tokens 64 "
                          "--method pll,pll_l2r --part 0/1 --grace 3000") +
                    " &\npid=$!\nwhile kill -0 $pid 2>/dev/null && ! ls " + Path("run") +
                    "/.claims 2>/dev/null | grep -q '^00000'; do sleep 0.01; done\nsleep 0.5\n"
                    "kill -USR1 $pid\nsleep 2.5\nkill -TERM $pid\nwait $pid");
  EXPECT_EQ(said.code, 130) << said.err;
  ExpectWholeShards();
}

}  // namespace
}  // namespace sp_test
