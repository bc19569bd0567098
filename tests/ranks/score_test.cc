// `score` under mpirun: the bytes of a lone run, one voice, one exit code.
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>
#include <thread>
#include <utility>

#include "mpirun.h"

namespace {

using sp_test::Integer;
using sp_test::Json;
using sp_test::Mpirun;
using sp_test::ParseJson;
using sp_test::Program;
using sp_test::ReadFile;
using sp_test::Said;
using sp_test::Shell;
using sp_test::String;
using sp_test::WriteFile;

// Name to bytes of the shards.
std::map<std::string, std::string> Shards(const std::string &run) {
  std::map<std::string, std::string> shards;
  for (const auto &entry : std::filesystem::directory_iterator(run)) {
    std::string name = entry.path().filename();
    if (name.rfind("scores-", 0) == 0)
      shards[name] = ReadFile(entry.path());
  }
  return shards;
}

size_t Times(const std::string &text, const std::string &part) {
  size_t n = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1))
    n++;
  return n;
}

class RanksScore : public sp_test::Workplace {
 protected:
  static std::string Ranks(int n, const std::string &arguments) {
    return "-n " + std::to_string(n) + " $SP " + arguments;
  }
  void ExpectSame(const std::string &run, const std::string &want) {
    auto got = Shards(Path(run)), expected = Shards(Path(want));
    EXPECT_EQ(got.size(), expected.size());
    for (const auto &[name, bytes] : expected)
      EXPECT_TRUE(got[name] == bytes) << name;
    Said verified = Program("verify " + Path(run));
    EXPECT_EQ(verified.code, 0) << verified.out << verified.err;
  }
};

TEST_F(RanksScore, TheBytesAreThoseOfALoneRun) {
  const std::string shards = "--shard-utts 3";
  ASSERT_EQ(Program(Score("alone", shards)).code, 0);
  for (int n : {1, 2, 4}) {
    std::string run = "run" + std::to_string(n);
    Said said = Mpirun(Ranks(n, Score(run, shards + " --json")));
    ASSERT_EQ(said.code, 0) << said.out << said.err;
    Json json = ParseJson(said.out);  // one object, of one rank
    EXPECT_EQ(Integer(json, "exit_code"), 0);
    EXPECT_EQ(Integer(json, "shards"), 14);
    EXPECT_EQ(Integer(json, "counts.hyps"), 120);
    ExpectSame(run, "alone");
  }
}

TEST_F(RanksScore, TheSampleScoresAsAlone) {
  const std::string data = SP_SOURCE_DIR "/bench/data/";
  const std::string score =
      "score --dtype f32 --limit 24 --shard-utts 2 --model " + data + "model --out ";
  ASSERT_EQ(Program(score + Path("alone") + " " + data + "dev-clean-200.jsonl.zst").code, 0);
  Said said = Mpirun(Ranks(2, score + Path("run") + " " + data + "dev-clean-200.jsonl.zst"));
  ASSERT_EQ(said.code, 0) << said.err;
  EXPECT_EQ(Times(said.err, "is complete"), 1u) << said.err;
  ExpectSame("run", "alone");
}

TEST_F(RanksScore, OneRankReadsTheModel) {
  const std::string shards = "--shard-utts 3 ", elsewhere = Path("nowhere");
  ASSERT_EQ(Program(Score("alone", shards)).code, 0);
  std::string score = Score("run", shards), without = score;
  without.replace(without.find(Path("model")), Path("model").size(), elsewhere);
  ASSERT_FALSE(std::filesystem::exists(elsewhere));
  Said said = Mpirun(Ranks(1, score) + " : " + Ranks(2, without));
  ASSERT_EQ(said.code, 0) << said.err;
  ExpectSame("run", "alone");
}

TEST_F(RanksScore, AModelThatIsNoneEndsAllRanks) {
  std::string score = Score("run");
  score.replace(score.find(Path("model")), Path("model").size(), Path("nowhere"));
  Said said = Mpirun(Ranks(3, score));
  EXPECT_EQ(said.code, 4) << said.err;
  EXPECT_EQ(Times(said.err, "nowhere is not a model directory"), 1u) << said.err;
  EXPECT_EQ(Times(said.err, "rank 0 of 3 (node "), 1u) << said.err;
}

TEST_F(RanksScore, ADeviceThatOneRankLacksEndsAllRanks) {
  Said said = Mpirun(Ranks(2, Score("run")) + " : " + Ranks(1, Score("run", "--device tpu")));
  EXPECT_EQ(said.code, 2) << said.err;
  EXPECT_EQ(Times(said.err, "rank 2 of 3 (node "), 1u) << said.err;
  EXPECT_EQ(Times(said.err, "unknown device 'tpu'"), 1u) << said.err;
  EXPECT_FALSE(std::filesystem::exists(Path("run/run.json")));
}

// Each its own directory, as on disks of the nodes: new, and with an old run of the same bytes in it.
TEST_F(RanksScore, RanksThatDoNotSeeTheRunOfRank0End) {
  const std::string shards = "--shard-utts 3 --lease 1";
  std::string score = Score("o", shards);
  std::string each = "-n 2 sh -c '\"$SP\" " +
                     score.replace(score.find(Path("o")), Path("o").size(),
                                   Path("o") + "$OMPI_COMM_WORLD_RANK$PMI_RANK") +
                     "'";
  for (bool old : {false, true}) {
    if (old) {
      ASSERT_EQ(Program(Score("o1", "--shard-utts 3 --part 0/2")).code, 0);
    }
    Said said = Mpirun(each, "export SP; ");
    EXPECT_EQ(said.code, 6) << said.err;
    EXPECT_EQ(Times(said.err, "rank 1 of 2 (node "), 1u) << said.err;
    EXPECT_EQ(Times(said.err, "does not see the run that rank 0 made in " + Path("o1")), 1u)
        << said.err;
    EXPECT_EQ(std::filesystem::exists(Path("o1")), old);
    EXPECT_FALSE(std::filesystem::exists(Path("o0/_SUCCESS")));
  }
}

TEST_F(RanksScore, AStreamIsRefused) {
  Said said = Mpirun(Ranks(2, Score("-")));
  EXPECT_EQ(said.code, 2);
  EXPECT_NE(said.err.find("mpirun or srun started 2 processes"), std::string::npos) << said.err;
  EXPECT_EQ(said.out, "");
}

TEST_F(RanksScore, StandardInputIsRefused) {
  Said said = Mpirun(Ranks(2, "score --model " + Path("model") + " --out " + Path("run") + " -"));
  EXPECT_EQ(said.code, 2);
  EXPECT_NE(said.err.find("standard input goes to one of the 2 processes"), std::string::npos)
      << said.err;
}

// A job script may have set them for torchrun; ranks draw from their counter.
TEST_F(RanksScore, RankAndWorldSizeMakeNoParts) {
  Said said = Mpirun("-n 1 env RANK=0 WORLD_SIZE=2 $SP " + Score("run", "--shard-utts 3") +
                     " : -n 1 env RANK=1 WORLD_SIZE=2 $SP " + Score("run", "--shard-utts 3"));
  EXPECT_EQ(said.code, 0) << said.err;
  EXPECT_EQ(said.err.find("this is part"), std::string::npos) << said.err;
  EXPECT_EQ(Times(said.err, "is complete"), 1u) << said.err;
}

TEST_F(RanksScore, BadInputIsToldOnce) {
  WriteFile(Path("dev.jsonl"), Archive(3) + "{\"id\": broken\n");
  Said said = Mpirun(Ranks(2, Score("run", "--json")));
  EXPECT_EQ(said.code, 3) << said.err;
  EXPECT_EQ(Integer(ParseJson(said.out), "exit_code"), 3);
  EXPECT_EQ(Times(said.err, "dev.jsonl:4"), 1u) << said.err;
}

// Runs longer than it takes to act on its first shard.
class RanksStopped : public RanksScore {
 protected:
  void SetUp() override {
    RanksScore::SetUp();
    WriteFile(Path("dev.jsonl"), Archive(2000));
    ASSERT_EQ(Program(Score("alone", shards_)).code, 0);
  }
  std::string UntilAShardIsDone() const {
    return "until ls " + Path("run") + "/*.done >/dev/null 2>&1; do sleep 0.01; done; ";
  }
  void ExpectUnfinishedThenResumedBy(int ranks) {
    EXPECT_FALSE(std::filesystem::exists(Path("run/_SUCCESS")));
    Said said = Mpirun(Ranks(ranks, Score("run", shards_)));
    ASSERT_EQ(said.code, 0) << said.err;
    EXPECT_NE(said.err.find("were done already"), std::string::npos) << said.err;
    ExpectSame("run", "alone");
  }
  const std::string shards_ = "--shard-utts 10 --lease 2 --threads 1";
};

TEST_F(RanksStopped, AKilledRankEndsTheJobWhichIsResumed) {
  std::string killed = "sh -c \"(" + UntilAShardIsDone() + "kill -KILL \\$\\$) & exec $SP " +
                       Score("run", shards_) + "\"";
  char node[256] = "";
  ASSERT_EQ(gethostname(node, sizeof node - 1), 0);
  for (const char *who : {"rank 0", "rank 2"}) {
    std::filesystem::remove_all(Path("run"));
    std::string rest = Ranks(2, Score("run", shards_)), one = "-n 1 " + killed;
    Said said = Mpirun(who[5] == '0' ? one + " : " + rest : rest + " : " + one);
    EXPECT_EQ(said.code, 128 + SIGKILL) << who << said.err;
    EXPECT_NE(said.err.find(who), std::string::npos) << who << said.err;
    EXPECT_NE(said.err.find(node), std::string::npos) << who << said.err;
    ExpectUnfinishedThenResumedBy(2);
  }
}

TEST_F(RanksStopped, AnInterruptedJobEndsAlikeAndIsResumed) {
  Said said = Shell(std::string(sp_test::MpiEnvironment()) + "'" SP_MPIEXEC "' " +
                    Ranks(2, Score("run", shards_ + " --json")) + " & p=$!; " +
                    UntilAShardIsDone() + "kill -USR1 $p; wait $p");
  EXPECT_EQ(said.code, 130) << said.err;
  EXPECT_EQ(Integer(ParseJson(said.out), "exit_code"), 130);
  EXPECT_EQ(Times(said.err, "the same command resumes it"), 1u) << said.err;
  ExpectUnfinishedThenResumedBy(1);
}

TEST_F(RanksScore, GpusOfANodeAreDealtToItsRanks) {
  const std::string shards = "--shard-utts 1 --dtype f32 --json --device cuda";
  WriteFile(Path("dev.jsonl"), Archive(4));
  auto fake = [&](int n, const std::string &run, const std::string &options) {
    return Mpirun("-n " + std::to_string(n) + " '" SP_FAKE_BINARY "' " + Score(run, options),
                  "export SP_FAKE_CUDA_DEVICES=3; ");
  };
  Said alone = fake(1, "alone", shards), two = fake(2, "two", shards);
  ASSERT_EQ(alone.code, 0) << alone.err;
  ASSERT_EQ(two.code, 0) << two.err;
  EXPECT_EQ(Integer(ParseJson(alone.out), "devices"), 3);
  EXPECT_EQ(Integer(ParseJson(two.out), "devices"), 3);  // 0 and 2 of rank 0, 1 of rank 1
  ExpectSame("two", "alone");
}

// As `srun --gpus-per-task=2` has it: each rank its own two, which it sees under the same numbers.
TEST_F(RanksScore, GpusThatOnlyOneRankSeesAreItsOwn) {
  const std::string options = "--shard-utts 1 --dtype f32 --json --device cuda";
  WriteFile(Path("dev.jsonl"), Archive(4));
  auto one = [&](const char *first) {
    return std::string("-n 1 env SP_FAKE_CUDA_DEVICES=2 SP_FAKE_CUDA_FIRST=") + first + " '" +
           SP_FAKE_BINARY + "' " + Score("run", options);
  };
  Said said = Mpirun(one("0") + " : " + one("2"));
  ASSERT_EQ(said.code, 0) << said.err;
  EXPECT_EQ(Integer(ParseJson(said.out), "devices"), 4);
}

// Ranks with fake GPUs, each of which has its own: weights go from rank 0's to all others.
class RanksShare : public RanksScore {
 protected:
  void SetUp() override {
    RanksScore::SetUp();
    WriteFile(Path("dev.jsonl"), Archive(4));
    ASSERT_EQ(Shell("SP_FAKE_CUDA_DEVICES=1 '" SP_FAKE_BINARY "' " + Score("alone", options_)).code,
              0);
  }
  // Rank `rank` alone, with `devices` GPUs; ranks after the first have no model.
  std::string One(int rank, int devices, const std::string &environment = "") {
    std::string score = Score("run", options_ + " --json"), model = Path("model");
    if (rank > 0)
      score.replace(score.find(model), model.size(), Path("nowhere"));
    return std::string(rank ? " : " : "") +
           "-n 1 env SP_FAKE_CUDA_DEVICES=" + std::to_string(devices) +
           " SP_FAKE_CUDA_FIRST=" + std::to_string(rank * 4) +
           " SP_FAKE_CUDA_REPORT=" + Path("report" + std::to_string(rank)) + " " + environment +
           " '" SP_FAKE_BINARY "' " + score;
  }
  // A number of rank `rank`'s report.
  size_t Count(int rank, const std::string &name) {
    std::string report = "\n" + ReadFile(Path("report" + std::to_string(rank)));
    size_t at = report.find("\n" + name + " ");
    return at == std::string::npos ? 0 : strtoull(&report[at + name.size() + 2], nullptr, 10);
  }
  const std::string options_ = "--shard-utts 1 --dtype bf16 --device cuda";
};

TEST_F(RanksShare, NcclBringsTheWeightsToEveryGpu) {
  for (auto [ranks, devices] : {std::pair{2, 1}, {4, 1}, {2, 2}, {4, 2}}) {
    std::filesystem::remove_all(Path("run"));
    std::string job;
    for (int rank = 0; rank < ranks; rank++)
      job += One(rank, devices);
    Said said = Mpirun(job);
    ASSERT_EQ(said.code, 0) << said.err;
    EXPECT_EQ(Times(said.err, "NCCL"), 0u) << said.err;
    EXPECT_EQ(Integer(ParseJson(said.out), "devices"), ranks * devices);
    size_t chunks = Count(0, "job_broadcasts") / static_cast<size_t>(devices);
    EXPECT_GT(chunks, 0u);
    for (int rank = 0; rank < ranks; rank++) {
      EXPECT_EQ(Count(rank, "job_broadcasts"), chunks * static_cast<size_t>(devices)) << rank;
      EXPECT_EQ(Count(rank, "live"), 0u) << rank;
    }
    ExpectSame("run", "alone");
  }
}

TEST_F(RanksShare, MpiDoesItWhereNcclDoesNotOnOneRank) {
  for (const char *fault : {"start", "never", "broadcast", "stuck"}) {
    std::filesystem::remove_all(Path("run"));
    std::string seconds = "SP_FAKE_NCCL_SECONDS=3 ";
    Said said = Mpirun(One(0, 1, seconds) + One(1, 2, seconds + "SP_FAKE_NCCL_FAULT=" + fault) +
                       One(2, 1, seconds));
    ASSERT_EQ(said.code, 0) << fault << said.err;
    EXPECT_EQ(Times(said.err, "warning"), 1u) << fault << said.err;
    EXPECT_EQ(Times(said.err, "warning: rank 0 of 3 (node "), 1u) << fault << said.err;
    EXPECT_EQ(Times(said.err, " of 3, the weights go through the hosts: "), 1u) << said.err;
    ExpectSame("run", "alone");
  }
}

TEST_F(RanksShare, RanksOfOneGpuDoWithoutNccl) {
  Said said = Mpirun("-n 2 '" SP_FAKE_BINARY "' " + Score("run", options_));
  ASSERT_EQ(said.code, 0) << said.err;
  EXPECT_EQ(Times(said.err, "ranks share a GPU, which NCCL does not do"), 1u) << said.err;
  ExpectSame("run", "alone");
}

TEST_F(RanksShare, AGpuWithoutRoomEndsAllRanks) {
  Said said = Mpirun(One(0, 1) + One(1, 1, "SP_FAKE_CUDA_MEMORY=70000") + One(2, 1));
  EXPECT_EQ(said.code, 5) << said.err;
  EXPECT_EQ(Times(said.err, "rank 1 of 3 (node "), 1u) << said.err;
  EXPECT_EQ(Times(said.err, "cuda:0: out of memory: "), 1u) << said.err;
  EXPECT_FALSE(std::filesystem::exists(Path("run")));
}

// Rank 1 loses its GPU 0 in its first shards: with another it goes on, without one the job ends by an error and is
// resumed.  How many calls come before is not known: fewer and fewer, until the loss is in the run.
TEST_F(RanksShare, AGpuLostInARunIsToldWithRankAndNode) {
  WriteFile(Path("dev.jsonl"), Archive(16));
  std::filesystem::remove_all(Path("alone"));
  ASSERT_EQ(Shell("SP_FAKE_CUDA_DEVICES=1 '" SP_FAKE_BINARY "' " + Score("alone", options_)).code,
            0);
  for (int gpus : {2, 1}) {
    const std::string what = gpus == 2 ? "cuda:0 failed and is left out" : "no device is left";
    std::filesystem::remove_all(Path("run"));
    ASSERT_EQ(Mpirun(One(0, 1) + One(1, gpus)).code, 0);
    Said said;
    const size_t calls = Count(1, "calls") / static_cast<size_t>(gpus);
    for (size_t k = calls; k > calls / 6 && !Times(said.err, what); k -= calls / 6) {
      std::filesystem::remove_all(Path("run"));
      said = Mpirun(One(0, 1) + One(1, gpus, "SP_FAKE_CUDA_LOSE=0:" + std::to_string(k)));
    }
    EXPECT_EQ(said.code, gpus == 2 ? 0 : 5) << said.err;
    EXPECT_GE(Times(said.err, what), 1u) << said.err;
    EXPECT_EQ(Times(said.err, "warning: rank 1 of 2 (node "), 1u) << said.err;
    if (gpus == 1) {
      EXPECT_EQ(Times(said.err, "secondpass: rank 1 of 2 (node "), 1u) << said.err;
      ASSERT_EQ(Mpirun(One(0, 1) + One(1, 1)).code, 0);
    }
    ExpectSame("run", "alone");
  }
}

TEST_F(RanksShare, OtherGpusAreRefused) {
  Said said = Mpirun(One(0, 1) + One(1, 1, "SP_FAKE_CUDA_NAMES=Other"));
  EXPECT_EQ(said.code, 5) << said.err;
  EXPECT_EQ(Times(said.err, "rank 1 of 2 (node "), 1u) << said.err;
  EXPECT_EQ(Times(said.err, "devices of one run must be of one type"), 1u) << said.err;
}

TEST_F(RanksScore, CudaIsNotStartedWhereItIsNotAskedFor) {
  Said said = Mpirun("-n 2 '" SP_FAKE_BINARY "' " + Score("run", "--shard-utts 9"),
                     "export SP_FAKE_CUDA_REPORT=" + Path("report") + "; ");
  EXPECT_EQ(said.code, 0) << said.err;
  if (std::filesystem::exists(Path("report"))) {
    EXPECT_NE(ReadFile(Path("report")).find("calls 0\n"), std::string::npos);
  }
}

// Rank 0 is in MPI_Init, where it waits for rank 1, which is not started yet.
TEST_F(RanksScore, AStopDuringTheStartIsAnInterruption) {
  const std::string pid = Path("pid"), go = Path("go"), score = Score("run");
  std::string first = "-n 1 sh -c 'echo $$ >" + pid + ".new; mv " + pid + ".new " + pid +
                      "; exec \"$SP\" " + score + "'";
  std::string second = "-n 1 sh -c 'trap \"\" USR1; until [ -e " + go +
                       " ]; do sleep 0.05; done; exec \"$SP\" " + score + "'";
  const sp_test::Scratch scratch;
  const std::string ranks = sp_test::OneApplication(first + " : " + second, scratch);
  const std::string until = "; do sleep 0.05; kill -0 $p || break; done; ";
  Said said = Shell(std::string(sp_test::MpiEnvironment()) + "export SP; timeout -k 5 100 '" +
                    SP_MPIEXEC "' " + ranks + " & p=$!; until [ -e " + pid + " ]" + until +
                    "until grep -q secondpass /proc/$(cat " + pid +
                    ")/comm && grep -q '^SigBlk:.*[2367abef]..$' /proc/$(cat " + pid + ")/status" +
                    until + "kill -USR1 $(cat " + pid + "); sleep 0.2; touch " + go + "; wait $p");
  EXPECT_EQ(said.code, 130) << said.err;
  EXPECT_EQ(Times(said.err, "interrupted before it began; the same command resumes it"), 1u)
      << said.err;
}

// A rank of Hydra, as the environment has it, but no Hydra to talk to.
TEST_F(RanksScore, ALauncherOfAnotherMpiIsNoticed) {
  Said said = Shell(std::string(sp_test::MpiEnvironment()) +
                    "PMI_SIZE=2 PMI_RANK=0 timeout 60 $SP " + Score("run"));
  EXPECT_EQ(said.code, 5) << said.err;
  EXPECT_EQ(Times(said.err, "the launcher started 2 processes, but "), 1u) << said.err;
  EXPECT_EQ(Times(said.err, "sees this one alone"), 1u) << said.err;
  EXPECT_FALSE(std::filesystem::exists(Path("run")));
}

TEST_F(RanksScore, RanksBoundToAPartOfTheNodeAreWarnedOf) {
  if (std::thread::hardware_concurrency() < 2) {
    GTEST_SKIP() << "one processor";
  }
  const std::string score = Score("run", "--shard-utts 9");
  Said bound = Mpirun("-n 2 taskset -c 0 $SP " + score);
  EXPECT_EQ(bound.code, 0) << bound.err;
  EXPECT_EQ(Times(bound.err, "bound to 1 of "), 1u) << bound.err;
  EXPECT_EQ(Times(bound.err, "mpirun --bind-to none"), 1u) << bound.err;
  EXPECT_EQ(Times(Mpirun(Ranks(2, score)).err, "bound to"), 0u);
}

TEST_F(RanksScore, AWrongOptionIsToldOnce) {
  const std::string wrong = Score("run", "--leaze 3"), right = Score("run");
  for (const std::string &ranks : {Ranks(3, wrong), Ranks(1, right) + " : " + Ranks(2, wrong)}) {
    Said said = Mpirun(ranks);
    EXPECT_EQ(said.code, 2) << said.err;
    EXPECT_EQ(Times(said.err, "unknown option --leaze; did you mean --lease?"), 1u) << said.err;
  }
  Said said = Mpirun(Ranks(3, "score --out " + Path("run")));
  EXPECT_EQ(said.code, 2) << said.err;
  EXPECT_EQ(Times(said.err, "--model DIR is missing"), 1u) << said.err;
}

}  // namespace
