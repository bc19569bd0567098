// RUN/plan.jsonl.zst: what is written is read, and nothing else is.
#include "run_plan.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cmath>
#include <cstdlib>
#include <memory>

#include "run_fixture.h"
#include "seek_table.h"
#include "sink.h"

namespace {

using sp_test::Contains;
using sp_test::FilesOf;
using sp_test::ReadFile;
using sp_test::ReadThroughSeekTable;
using sp_test::Scratch;
using sp_test::WriteFile;

struct Shards {
  sp_status status;
  std::string message;
  bool found = false;
  std::vector<sp_plan_shard> shards;
};

Shards ReadPlan(const std::string &run, size_t n) {
  Shards out;
  sp_plan_shard *shards = nullptr;
  sp_error err{};
  out.status = sp_run_plan_read(run.c_str(), n, &shards, &out.found, &err);
  out.message = err.message;
  if (out.status == SP_OK && out.found)
    out.shards.assign(shards, shards + n);
  free(shards);
  return out;
}

Shards ParsePlan(const std::string &lines, size_t n) {
  Shards out;
  sp_plan_shard *shards = nullptr;
  sp_error err{};
  out.status = sp_run_plan_parse(sp_test::Text(lines), "plan", n, &shards, &err);
  out.message = err.message;
  if (out.status == SP_OK)
    out.shards.assign(shards, shards + n);
  EXPECT_EQ(out.status == SP_OK, shards != nullptr);
  free(shards);
  return out;
}

// Shards of 10 utterances, 4 of a file.
std::vector<sp_plan_shard> MakeShards(size_t n, bool places) {
  std::vector<sp_plan_shard> shards(n);
  for (size_t i = 0; i < n; i++) {
    sp_plan_shard &shard = shards[i];
    shard = {};
    shard.has_place = places;
    if (places)
      shard.place = {i / 4, i % 4 / 2 * 1000, i % 2 * 77, i % 4 * 12, i * 10, 0};
    shard.utts = 10;
    shard.hyps = 50 + i;
    shard.tokens = 1000 * i;
    shard.cost = 1e12 / static_cast<double>(3 + i);
    shard.xxh64 = 0x0123456789abcdefu * i;
  }
  return shards;
}

void ExpectEqual(const std::vector<sp_plan_shard> &a, const std::vector<sp_plan_shard> &b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); i++) {
    EXPECT_EQ(a[i].has_place, b[i].has_place);
    EXPECT_EQ(a[i].place.file, b[i].place.file);
    EXPECT_EQ(a[i].place.stored, b[i].place.stored);
    EXPECT_EQ(a[i].place.raw, b[i].place.raw);
    EXPECT_EQ(a[i].place.line, b[i].place.line);
    EXPECT_EQ(a[i].place.records, b[i].place.records);
    EXPECT_EQ(a[i].utts, b[i].utts);
    EXPECT_EQ(a[i].hyps, b[i].hyps);
    EXPECT_EQ(a[i].tokens, b[i].tokens);
    EXPECT_EQ(a[i].cost, b[i].cost);
    EXPECT_EQ(a[i].xxh64, b[i].xxh64);
  }
}

std::string Lines(const std::vector<sp_plan_shard> &shards) {
  sp_buf out{};
  sp_error err{};
  for (size_t i = 0; i < shards.size(); i++)
    EXPECT_SP_OK(sp_run_plan_line(&shards[i], i, &out, &err));
  std::string lines(out.data ? out.data : "", out.len);
  sp_buf_release(&out);
  return lines;
}

TEST(RunPlan, IsReadAsItWasWritten) {
  for (size_t n : {0u, 1u, 9u, 60000u}) {
    for (bool places : {true, false}) {
      Scratch run;
      sp_error err{};
      std::vector<sp_plan_shard> shards = MakeShards(n, places);
      ASSERT_SP_OK(sp_run_plan_write(run.path().c_str(), shards.data(), n, &err));
      EXPECT_EQ(FilesOf(run.path()), std::vector<std::string>{"plan.jsonl.zst"});
      Shards read = ReadPlan(run.path(), n);
      ASSERT_EQ(read.status, SP_OK) << read.message;
      EXPECT_TRUE(read.found);
      ExpectEqual(read.shards, shards);
    }
  }
}

TEST(RunPlan, LinesAreAsDescribed) {
  std::vector<sp_plan_shard> shards = MakeShards(2, true);
  shards[0].cost = 0.5;
  shards[1].cost = 3;
  shards[1].xxh64 = 0xab;
  EXPECT_EQ(Lines(shards),
            R"({"shard":0,"file":0,"stored":0,"raw":0,"line":0,"records":0,"utts":10,"hyps":50,)"
            R"("tokens":0,"cost":0.5,"xxh64":"0000000000000000"})"
            "\n"
            R"({"shard":1,"file":0,"stored":0,"raw":77,"line":12,"records":10,"utts":10,"hyps":51,)"
            R"("tokens":1000,"cost":3,"xxh64":"00000000000000ab"})"
            "\n");
  shards.resize(1);
  shards[0].has_place = false;
  EXPECT_EQ(Lines(shards), R"({"shard":0,"utts":10,"hyps":50,"tokens":0,"cost":0.5,)"
                           R"("xxh64":"0000000000000000"})"
                           "\n");
  Scratch run;
  sp_error err{};
  ASSERT_SP_OK(sp_run_plan_write(run.path().c_str(), shards.data(), 1, &err));
  auto frames = ReadThroughSeekTable(ReadFile(run / "plan.jsonl.zst"));
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(frames[0].raw, Lines(shards));
}

TEST(RunPlan, NoneIsNotFound) {
  Scratch run;
  Shards read = ReadPlan(run.path(), 3);
  EXPECT_EQ(read.status, SP_OK);
  EXPECT_FALSE(read.found);
}

TEST(RunPlan, TheNumberOfShardsIsThatOfTheRun) {
  Scratch run;
  sp_error err{};
  std::vector<sp_plan_shard> shards = MakeShards(5, true);
  ASSERT_SP_OK(sp_run_plan_write(run.path().c_str(), shards.data(), 5, &err));
  std::string path = run / "plan.jsonl.zst";
  Shards read = ReadPlan(run.path(), 4);
  EXPECT_EQ(read.status, SP_EDAMAGED);
  EXPECT_EQ(read.message, path + ":5: more lines than the run has shards");
  read = ReadPlan(run.path(), 6);
  EXPECT_EQ(read.status, SP_EDAMAGED);
  EXPECT_EQ(read.message, path + " has 5 lines, but the run 6 shards");
}

TEST(RunPlan, EveryDamageOfALineIsNamed) {
  const std::string good = Lines(MakeShards(8, true));
  ASSERT_EQ(ParsePlan(good, 8).status, SP_OK);
  const char *no_line = "no line of a plan", *not_next = "not the line of the shard that is next";
  struct {
    const char *from, *to, *fault;
  } cases[] = {
      {"{\"shard\":2,", "{\"shard\":3,", not_next},
      {"{\"shard\":2,", "{\"shard\":02,", not_next},
      {"{\"shard\":2,", " {\"shard\":2,", no_line},
      {"{\"shard\":2,\"file\":0,", "{\"shard\":2,", no_line},
      {"\"file\":0,\"stored\":1000,\"raw\":0", "\"stored\":1000,\"file\":0,\"raw\":0", no_line},
      {"\"stored\":1000,\"raw\":0,\"line\":24", "\"stored\":1000,\"raw\":-1,\"line\":24", no_line},
      {"\"stored\":1000,\"raw\":0,\"line\":24", "\"stored\":1000,\"raw\":00,\"line\":24", not_next},
      {"\"stored\":1000,\"raw\":0,\"line\":24", "\"stored\":1000,\"raw\":,\"line\":24", no_line},
      {"\"line\":24", "\"line\":9223372036854775808", no_line},
      {"\"line\":24", "\"line\":99999999999999999999999", no_line},
      {"\"line\":24", "\"line\":11", "its place is not behind that of the shard before"},
      {"\"stored\":1000,\"raw\":0,\"line\":24", "\"stored\":0,\"raw\":77,\"line\":24",
       "its place is not behind that of the shard before"},
      {"\"records\":20,\"utts\":10", "\"records\":21,\"utts\":10",
       "its records are not the utterances of the shards before"},
      {"\"records\":20,\"utts\":10", "\"records\":20,\"utts\":0", "a shard without utterances"},
      {"\"records\":20,\"utts\":10", "\"records\":20,\"utts\":9223372036854775807",
       "more utterances than can be counted"},
      {"\"file\":0,\"stored\":1000,\"raw\":0,\"line\":24,\"records\":20,", "",
       "one shard has a place, another has none"},
      {"\"cost\":2e+11,", "\"cost\":2.0e+11,", not_next},
      {"\"cost\":2e+11,", "\"cost\":-2,", no_line},
      {"\"cost\":2e+11,", "\"cost\":null,", no_line},
      {"\"cost\":2e+11,", "\"cost\":1e999,", no_line},
      {"\"cost\":2e+11,", "\"cost\":,", no_line},
      {"02468acf13579bde\"}", "02468ACF13579BDE\"}", not_next},
      {"02468acf13579bde\"}", "02468acf13579bdg\"}", no_line},
      {"02468acf13579bde\"}", " 2468acf13579bde\"}", not_next},
      {"02468acf13579bde\"}", "02468acf\"}", no_line},
      {"02468acf13579bde\"}", "02468acf13579bde\"} ", not_next},
      {"02468acf13579bde\"}", "02468acf13579bde\",\"more\":1}", not_next},
  };
  for (const auto &c : cases) {
    std::string bad = good;
    size_t at = bad.find(c.from);
    ASSERT_NE(at, std::string::npos) << c.from;
    bad.replace(at, strlen(c.from), c.to);
    Shards read = ParsePlan(bad, 8);
    EXPECT_EQ(read.status, SP_EDAMAGED) << c.to;
    EXPECT_EQ(read.message, std::string("plan:3: ") + c.fault) << c.to;
  }
}

TEST(RunPlan, DamageBetweenLinesIsNamed) {
  const std::string good = Lines(MakeShards(3, true));
  size_t first = good.find('\n') + 1, second = good.find('\n', first) + 1;
  struct {
    std::string lines, message;
  } cases[] = {
      {good.substr(first), "plan:1: not the line of the shard that is next"},
      {good.substr(0, first) + good.substr(second),
       "plan:2: not the line of the shard that is next"},
      {good.substr(0, first) + good.substr(0, first) + good.substr(first),
       "plan:2: not the line of the shard that is next"},
      {good.substr(0, first) + "\n" + good.substr(first), "plan:2: no line of a plan"},
      {good + "\n", "plan:4: more lines than the run has shards"},
      {good.substr(0, good.size() - 1), "plan:3: the last line has no end"},
      {good.substr(0, second), "plan has 2 lines, but the run 3 shards"},
      {"", "plan has 0 lines, but the run 3 shards"},
  };
  for (const auto &c : cases) {
    Shards read = ParsePlan(c.lines, 3);
    EXPECT_EQ(read.status, SP_EDAMAGED) << c.message;
    EXPECT_EQ(read.message, c.message);
  }
}

TEST(RunPlan, EveryByteOfTheFileMatters) {
  Scratch run;
  sp_error err{};
  std::vector<sp_plan_shard> shards = MakeShards(6, true);
  ASSERT_SP_OK(sp_run_plan_write(run.path().c_str(), shards.data(), 6, &err));
  std::string path = run / "plan.jsonl.zst", good = ReadFile(path);
  size_t silent = 0;
  for (size_t at = 0; at < good.size(); at++) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 0x21);
    sp_test::RenewFile(path, bad);
    Shards read = ReadPlan(run.path(), 6);
    if (read.status == SP_OK) { /* a bit without a meaning to zstd */
      ExpectEqual(read.shards, shards);
      silent++;
      continue;
    }
    EXPECT_EQ(read.status, SP_EDAMAGED) << at;
    EXPECT_TRUE(Contains(read.message, path)) << read.message;
  }
  EXPECT_LT(silent, good.size() / 25);
  for (size_t keep = 0; keep < good.size(); keep += 3) {
    sp_test::RenewFile(path, good.substr(0, keep));
    EXPECT_EQ(ReadPlan(run.path(), 6).status, SP_EDAMAGED) << keep;
  }
}

TEST(RunPlan, AWriterThatFailsLeavesWhatWasThere) {
  Scratch run;
  sp_error err{};
  std::vector<sp_plan_shard> shards = MakeShards(3000, true);
  ASSERT_SP_OK(sp_run_plan_write(run.path().c_str(), shards.data(), 5, &err));
  sp_status status;
  {
    sp_test::FileSizeLimit full(1000);
    status = sp_run_plan_write(run.path().c_str(), shards.data(), 3000, &err);
  }
  EXPECT_EQ(status, SP_EIO);
  EXPECT_TRUE(Contains(err.message, run / "plan.jsonl.zst")) << err.message;
  EXPECT_EQ(FilesOf(run.path()), std::vector<std::string>{"plan.jsonl.zst"});
  EXPECT_EQ(ReadPlan(run.path(), 5).status, SP_OK);
  EXPECT_EQ(sp_run_plan_write((run / "none").c_str(), shards.data(), 5, &err), SP_EIO);
}

ino_t Inode(const std::string &path) {
  struct stat info {};
  EXPECT_EQ(stat(path.c_str(), &info), 0);
  return info.st_ino;
}

TEST(RunPlan, WhatIsPublishedStaysUnlessItIsAnother) {
  Scratch run;
  sp_error err{};
  const std::string path = run / "plan.jsonl.zst";
  const std::vector<sp_plan_shard> shards = MakeShards(3000, true);
  auto publish = [&](size_t n) {
    EXPECT_SP_OK(sp_run_plan_publish(run.path().c_str(), shards.data(), n, &err));
    EXPECT_EQ(FilesOf(run.path()), std::vector<std::string>{"plan.jsonl.zst"});
    Shards read = ReadPlan(run.path(), n);
    ASSERT_EQ(read.status, SP_OK) << read.message;
    ExpectEqual(read.shards, {shards.begin(), shards.begin() + static_cast<ptrdiff_t>(n)});
  };
  publish(3000);
  const ino_t first = Inode(path);
  publish(3000);
  EXPECT_EQ(Inode(path), first);
  for (size_t n : {2999, 3000, 1})
    publish(n);
  WriteFile(path, ReadFile(path).substr(0, 20));
  publish(1);
  EXPECT_EQ(sp_run_plan_publish((run / "none").c_str(), shards.data(), 5, &err), SP_EIO);
}

// A plan whose run.json is gone, and the beginning of one.
TEST(RunPlan, BelongsToARunDirectory) {
  Scratch run;
  sp_error err{};
  std::vector<sp_plan_shard> shards = MakeShards(2, false);
  ASSERT_SP_OK(sp_run_plan_write(run.path().c_str(), shards.data(), 2, &err));
  WriteFile(run / "plan.jsonl.zst.tmp.77", "x");
  EXPECT_SP_OK(sp_run_check_empty(run.path().c_str(), SP_RUN_MANIFEST, &err));
  EXPECT_SP_OK(sp_run_sweep(run.path().c_str(), &err));
  EXPECT_EQ(FilesOf(run.path()), std::vector<std::string>{"plan.jsonl.zst"});
  WriteFile(run / "plan.jsonl.zst.bak", "x");
  EXPECT_EQ(sp_run_check_empty(run.path().c_str(), SP_RUN_MANIFEST, &err), SP_EIDENTITY);
  EXPECT_TRUE(Contains(err.message, "plan.jsonl.zst.bak")) << err.message;
  sp_test::BuildRun(run / "whole", 2, 3, 1);
  ASSERT_SP_OK(sp_run_plan_write((run / "whole").c_str(), shards.data(), 2, &err));
  sp_run_totals totals{};
  EXPECT_SP_OK(sp_run_verify((run / "whole").c_str(), &totals, &err));
}

}  // namespace
