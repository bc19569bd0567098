// status from end to end: of prepared, running, stopped and complete runs, watching, and metrics.
#include <cmath>

#include "program.h"
#include "prometheus.h"

namespace sp_test {
namespace {

class StatusTest : public Workplace {
 protected:
  void SetUp() override {
    Workplace::SetUp();
    ASSERT_EQ(Program(Score("run", "--shard-utts 8")).code, 0);
  }
  // As a killed process leaves it: without the seal and two of five shards.
  void Reopen() {
    ASSERT_EQ(Shell("cd " + Path("run") + "; rm _SUCCESS scores-0000[13]-of-*").code, 0);
  }
};

TEST_F(StatusTest, ACompleteRun) {
  Said said = Program("status " + Path("run"));
  EXPECT_EQ(said.code, 0) << said.err;
  for (const char *part : {": complete\n", "5 of 5 done, 0 running, 0 stale, 0 open\n",
                           "40 of 40\n", "120 of 120\n", "100.0 %\n"}) {
    EXPECT_NE(said.out.find(part), std::string::npos) << said.out;
  }
  EXPECT_EQ(said.out.find("time left"), std::string::npos) << said.out;
  Said watched = Program("status --watch " + Path("run"));
  EXPECT_EQ(watched.code, 0);
  EXPECT_EQ(watched.out.find("\033"), std::string::npos) << "no terminal, no control sequences";
  EXPECT_NE(watched.out.find("complete: 100.0 %  5 of 5 shards done"), std::string::npos)
      << watched.out;
}

TEST_F(StatusTest, AStoppedRun) {
  Reopen();
  Said said = Program("status " + Path("run"));
  EXPECT_EQ(said.code, 0) << said.err;
  EXPECT_NE(said.out.find(": stopped\n"), std::string::npos) << said.out;
  EXPECT_NE(said.out.find("3 of 5 done, 0 running, 0 stale, 2 open\n"), std::string::npos);
  EXPECT_NE(said.out.find("24 of 40\n"), std::string::npos) << said.out;
}

TEST_F(StatusTest, APreparedRun) {
  const std::string status = "status --metrics " + Path("m.prom") + " " + Path("later");
  ASSERT_EQ(Program(Score("later", "--shard-utts 8 --prepare")).code, 0);
  Said said = Program(status);
  EXPECT_EQ(said.code, 0) << said.err;
  EXPECT_NE(said.out.find(": prepared\n"), std::string::npos) << said.out;
  EXPECT_NE(said.out.find("0 of 5 done, 0 running, 0 stale, 5 open\n"), std::string::npos);
  Metrics metrics = ReadMetrics(ReadFile(Path("m.prom")));
  EXPECT_EQ(metrics.At("secondpass_run_stage", {{"stage", "prepared"}}), 1);
  EXPECT_EQ(metrics.At("secondpass_run_stage", {{"stage", "stopped"}}), 0);
  Json json = ParseJson(Program(status + " --json").out);
  EXPECT_EQ(String(json, "stage"), "prepared");
  EXPECT_TRUE(json_is_false(Member(json, "complete")));
  ASSERT_EQ(Program(Score("later", "--shard-utts 8 --part 0/2 --own-share")).code, 0);
  EXPECT_EQ(String(ParseJson(Program(status + " --json").out), "stage"), "stopped");
}

TEST_F(StatusTest, TheObject) {
  Reopen();
  Json json = ParseJson(Program("status --json " + Path("run")).out);
  EXPECT_EQ(String(json, "command"), "status");
  EXPECT_EQ(String(json, "run"), Path("run"));
  EXPECT_EQ(String(json, "stage"), "stopped");
  EXPECT_TRUE(json_is_false(Member(json, "complete")));
  EXPECT_EQ(Integer(json, "shards"), 5);
  EXPECT_EQ(Integer(json, "shards_done"), 3);
  EXPECT_EQ(Integer(json, "shards_running"), 0);
  EXPECT_EQ(Integer(json, "shards_stale"), 0);
  EXPECT_EQ(Integer(json, "shards_open"), 2);
  EXPECT_EQ(Integer(json, "utts_done"), 24);
  EXPECT_EQ(Integer(json, "utts_total"), 40);
  EXPECT_EQ(Integer(json, "hyps_done"), 72);
  EXPECT_EQ(Integer(json, "hyps_total"), 120);
  EXPECT_TRUE(json_is_null(Member(json, "seconds_left")));
  EXPECT_EQ(json_array_size(Member(json, "workers")), 0u);
  ASSERT_EQ(Program(Score("run", "--shard-utts 8")).code, 0);
  json = ParseJson(Program("status --json " + Path("run")).out);
  EXPECT_TRUE(json_is_true(Member(json, "complete")));
  EXPECT_EQ(json_number_value(Member(json, "percent")), 100);
  EXPECT_EQ(json_number_value(Member(json, "seconds_left")), 0);
}

TEST_F(StatusTest, AProcessAtWork) {
  Reopen();
  Said said =
      Shell("exec 9>>" + Path("run/.lock") + "; flock 9; printf '{\"host\":\"%s\",\"pid\":77," +
            "\"start\":\"2025-01-31T23:59:59Z\"}\\n' \"$(uname -n)\" >&9\n" + "$SP status --json " +
            Path("run") + "\n$SP status " + Path("run"));
  ASSERT_EQ(said.code, 0) << said.err;
  size_t end = said.out.find('\n') + 1;
  Json json = ParseJson(said.out.substr(0, end));
  EXPECT_EQ(String(json, "stage"), "running");
  json_t *worker = json_array_get(Member(json, "workers"), 0);
  EXPECT_EQ(json_integer_value(json_object_get(worker, "pid")), 77);
  EXPECT_TRUE(json_is_true(json_object_get(worker, "alone")));
  EXPECT_TRUE(json_is_false(json_object_get(worker, "gone")));
  std::string table = said.out.substr(end);
  EXPECT_NE(table.find(" 77 alone "), std::string::npos) << table;
  EXPECT_NE(table.find("time left"), std::string::npos) << table;
}

TEST_F(StatusTest, WatchesUntilTheRunIsComplete) {
  Reopen();
  Said said =
      Shell("$SP status --watch --every 0.05 --metrics " + Path("m.prom") + " " + Path("run") +
            " & watch=$!\nwhile kill -0 $watch && [ ! -e " + Path("m.prom") +
            " ]; do sleep 0.02; done\n$SP " + Score("run", "--shard-utts 8 --progress none") +
            " >/dev/null 2>&1\nwait $watch");
  EXPECT_EQ(said.code, 0) << said.err;
  size_t first = said.out.find("stopped:  60.1 %  3 of 5 shards done");
  size_t last = said.out.find("complete: 100.0 %  5 of 5 shards done");
  EXPECT_NE(first, std::string::npos) << said.out;
  EXPECT_NE(last, std::string::npos) << said.out;
  EXPECT_LT(first, last);
  Metrics metrics = ReadMetrics(ReadFile(Path("m.prom")));
  EXPECT_EQ(metrics.At("secondpass_shards", {{"run", Path("run")}, {"state", "done"}}), 5);
  EXPECT_EQ(metrics.At("secondpass_run_stage", {{"stage", "complete"}}), 1);
}

TEST_F(StatusTest, AWorkerThatIsKilledLeavesStaleShards) {
  WriteFile(Path("dev.jsonl"), Archive(24000));  // it must be at work when it is killed
  const std::string status = "$SP status --json " + Path("parts");
  Said said =
      Shell("$SP " + Score("parts", "--part 0/1 --shard-utts 100 --progress none") +
            " & worker=$!\nuntil " + status +
            " 2>/dev/null | grep -q '\"shards_running\":[1-9]'; do kill -0 $worker || exit 99; " +
            "sleep 0.02; done\nkill -9 $worker; wait $worker\n" + status);
  ASSERT_EQ(said.code, 0) << said.err;
  Json json = ParseJson(said.out);
  EXPECT_EQ(String(json, "stage"), "stopped");
  EXPECT_EQ(Integer(json, "shards"), 240);
  EXPECT_EQ(Integer(json, "shards_running"), 0);
  EXPECT_GE(Integer(json, "shards_stale"), 1);
  EXPECT_EQ(
      Integer(json, "shards_done") + Integer(json, "shards_stale") + Integer(json, "shards_open"),
      240);
  json_t *worker = json_array_get(Member(json, "workers"), 0);
  EXPECT_STREQ(json_string_value(json_object_get(worker, "part")), "0/1");
  EXPECT_TRUE(json_is_true(json_object_get(worker, "gone")));
  EXPECT_EQ(json_array_size(json_object_get(worker, "shards")),
            static_cast<size_t>(Integer(json, "shards_stale")));
}

TEST_F(StatusTest, MetricsOfARunThatIsNotComplete) {
  Reopen();
  Said said = Program("status --metrics " + Path("m.prom") + " " + Path("run"));
  ASSERT_EQ(said.code, 0) << said.err;
  Metrics metrics = ReadMetrics(ReadFile(Path("m.prom")));
  EXPECT_EQ(metrics.At("secondpass_shards", {{"state", "open"}}), 2);
  EXPECT_EQ(metrics.At("secondpass_hypotheses_done_total"), 72);
  EXPECT_EQ(metrics.At("secondpass_hypotheses"), 120);
  EXPECT_TRUE(std::isnan(metrics.At("secondpass_remaining_seconds")));
  said = Program("status --metrics " + Path("none/m.prom") + " " + Path("run"));
  EXPECT_EQ(said.code, 6);
  EXPECT_NE(said.err.find("none/m.prom"), std::string::npos) << said.err;
}

TEST_F(StatusTest, WhatIsNoRun) {
  for (const char *name : {"none", "model", "dev.jsonl"}) {
    Said said = Program("status " + Path(name));
    EXPECT_EQ(said.code, 3) << name;
    EXPECT_NE(said.err.find(Path(name) + " is no run directory"), std::string::npos) << said.err;
    EXPECT_EQ(Program("status --watch " + Path(name)).code, 3) << name;
  }
  Json json = ParseJson(Program("status --json " + Path("none")).out);
  EXPECT_EQ(Integer(json, "exit_code"), 3);
}

TEST_F(StatusTest, OnATerminalThePictureIsRedrawn) {
  Said said = Shell("TERM=xterm script -qec \"$SP status --watch " + Path("run") + "\" /dev/null");
  if (said.code == 127)
    GTEST_SKIP() << "script(1) is not installed";
  EXPECT_EQ(said.out.rfind("\033[H\033[J", 0), 0u) << said.out;
  EXPECT_NE(said.out.find(": complete"), std::string::npos);
}

}  // namespace
}  // namespace sp_test
