#include "run_merge.h"

#include <dirent.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <memory>

#include "child.h"
#include "run_fixture.h"
#include "run_plan.h"

namespace {

using sp_test::Child;
using sp_test::Contains;
using sp_test::FilesOf;
using sp_test::Joined;
using sp_test::Line;
using sp_test::MakeLines;
using sp_test::ReadFile;
using sp_test::RenewFile;
using sp_test::Scratch;
using sp_test::ShardPath;
using sp_test::WriteFile;
using sp_test::WriteShard;

struct JsonFree {
  void operator()(json_t *json) const {
    json_decref(json);
  }
};
using Json = std::unique_ptr<json_t, JsonFree>;

Json Parse(const std::string &text) {
  Json json(json_loads(text.c_str(), JSON_REJECT_DUPLICATES, nullptr));
  EXPECT_TRUE(json) << text;
  return json;
}

std::string Dump(const json_t *json) {
  char *text = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);
  std::string out = text ? text : "";
  free(text);
  return out;
}

std::string MemberText(const Json &json, const char *object, const char *key) {
  return Dump(json_object_get(json_object_get(json.get(), object), key));
}

ino_t InodeOf(const std::string &path) {
  struct stat info {};
  EXPECT_EQ(stat(path.c_str(), &info), 0) << path;
  return info.st_ino;
}

sp_status CollectLine(void *context, sp_text line, sp_error *) {
  *static_cast<std::string *>(context) += std::string(line.data, line.len) + "\n";
  return SP_OK;
}

std::string HostName() {
  char host[256] = "";
  gethostname(host, sizeof host - 1);
  return host;
}

class RunMerge : public ::testing::Test {
 protected:
  std::string Path(const std::string &name) const {
    return scratch_ / name;
  }

  // A finished run; the ids of its utterances begin with `name`. `sizes`: utterances of its shards.
  std::string Build(const std::string &name, const std::vector<size_t> &sizes,
                    const char *dtype = "f32", const char *folder = nullptr) {
    std::string run = (folder ? std::string(folder) + "/" : scratch_.path() + "/") + name;
    std::filesystem::create_directory(run);
    json_int_t utts = 0, most = 1;
    for (size_t size : sizes) {
      utts += static_cast<json_int_t>(size);
      most = std::max(most, static_cast<json_int_t>(size));
    }
    json_t *manifest = json_pack(
        "{s:{s:s,s:[{s:i,s:s}],s:i,s:I,s:I},s:{s:s,s:[s],s:I,s:I,s:I}}", "identity", "dtype", dtype,
        "inputs", "bytes", 7, "xxh128", name.c_str(), "limit", 0, "shard_utts", most, "shards",
        static_cast<json_int_t>(sizes.size()), "info", "version", "0.1.0", "archives",
        (name + ".jsonl").c_str(), "utts", utts, "hyps", 2 * utts, "tokens", 5 * utts);
    EXPECT_SP_OK(sp_run_manifest_write(run.c_str(), manifest, &err));
    json_decref(manifest);
    for (size_t k = 0; k < sizes.size(); k++) {
      auto lines = MakeLines(name + "-" + std::to_string(k) + "-", sizes[k], 2);
      text_ += Joined(lines);
      EXPECT_SP_OK(WriteShard(run, k, sizes.size(), lines, &err));
    }
    EXPECT_SP_OK(sp_run_success_write(run.c_str(), sizes.size(), &err));
    return run;
  }

  sp_status Merge(const std::vector<std::string> &runs, const std::string &out) {
    std::vector<const char *> names;
    for (const std::string &run : runs)
      names.push_back(run.c_str());
    sp_merge_rules rules{};
    rules.runs = names.data();
    rules.n_runs = names.size();
    rules.out = out.c_str();
    err = {};
    return sp_run_merge(&rules, &summary_, &err);
  }
  void Refused(sp_status wanted, const std::vector<std::string> &runs, const std::string &out,
               const std::vector<std::string> &parts) {
    EXPECT_EQ(Merge(runs, out), wanted) << err.message;
    for (const std::string &part : parts)
      EXPECT_TRUE(Contains(err.message, part)) << err.message;
  }
  void ExpectWhole(const std::string &run, size_t shards, const std::string &lines) {
    sp_run_totals totals{};
    ASSERT_SP_OK(sp_run_verify(run.c_str(), &totals, &err));
    EXPECT_EQ(totals.shards, shards);
    std::string read;
    for (size_t k = 0; k < shards; k++) {
      ASSERT_SP_OK(sp_shard_read(ShardPath(run, k, shards, ".jsonl.zst").c_str(), CollectLine,
                                 &read, nullptr, &err));
    }
    EXPECT_EQ(read, lines);
  }

  Scratch scratch_;
  sp_error err{};
  sp_merge_summary summary_{};
  std::string text_;  // the lines of all that was built
};

TEST_F(RunMerge, ShardsFollowOneAnotherUnderNewNumbers) {
  std::string a = Build("a", {3, 3, 1}), b = Build("b", {5}), c = Build("c", {2, 1});
  ASSERT_SP_OK(Merge({a, b, c}, Path("out")));
  ExpectWhole(Path("out"), 6, text_);
  EXPECT_EQ(summary_.totals.shards, 6u);
  EXPECT_EQ(summary_.totals.utts, 15u);
  EXPECT_EQ(summary_.totals.hyps, 30u);
  EXPECT_EQ(summary_.linked, 6u);
  EXPECT_EQ(summary_.copied + summary_.found, 0u);
  EXPECT_FALSE(summary_.has_plan);
  EXPECT_EQ(FilesOf(Path("out")).size(), 2u + 12u) << "nothing but shards, run.json and _SUCCESS";
  for (const char *suffix : {".jsonl.zst", ".done"}) {
    EXPECT_EQ(InodeOf(ShardPath(Path("out"), 3, 6, suffix)), InodeOf(ShardPath(b, 0, 1, suffix)));
  }
}

TEST_F(RunMerge, TheManifestSaysWhatItIsMadeOf) {
  std::string a = Build("a", {3, 3, 1}), b = Build("b", {5});
  ASSERT_SP_OK(Merge({a, b}, Path("out")));
  Json run = Parse(ReadFile(Path("out/run.json")));
  EXPECT_EQ(MemberText(run, "identity", "dtype"), "\"f32\"");
  EXPECT_EQ(MemberText(run, "identity", "shards"), "4");
  EXPECT_EQ(MemberText(run, "identity", "shard_utts"), "5");
  EXPECT_EQ(MemberText(run, "identity", "inputs"),
            R"([{"bytes":7,"xxh128":"a"},{"bytes":7,"xxh128":"b"}])");
  EXPECT_EQ(MemberText(run, "identity", "merged"),
            R"([{"files":1,"limit":0,"shard_utts":3,"shards":3},)"
            R"({"files":1,"limit":0,"shard_utts":5,"shards":1}])");
  EXPECT_EQ(MemberText(run, "info", "utts"), "12");
  EXPECT_EQ(MemberText(run, "info", "hyps"), "24");
  EXPECT_EQ(MemberText(run, "info", "tokens"), "60");
  EXPECT_EQ(MemberText(run, "info", "archives"), R"(["a.jsonl","b.jsonl"])");
  EXPECT_EQ(MemberText(run, "info", "version"), "\"0.1.0\"");
}

TEST_F(RunMerge, AJoinedRunIsJoinedAgain) {
  std::string a = Build("a", {2, 1}), b = Build("b", {1}), c = Build("c", {4});
  ASSERT_SP_OK(Merge({a, b}, Path("ab")));
  ASSERT_SP_OK(Merge({Path("ab"), c}, Path("abc")));
  ExpectWhole(Path("abc"), 4, text_);
  ASSERT_SP_OK(Merge({a, b, c}, Path("once")));
  EXPECT_EQ(ReadFile(Path("abc/run.json")), ReadFile(Path("once/run.json")));
}

TEST_F(RunMerge, ARunWithoutUtterancesAddsNothing) {
  std::string a = Build("a", {2}), none = Build("none", {}), empty = Build("empty", {0});
  ASSERT_SP_OK(Merge({a, none, empty}, Path("out")));
  ExpectWhole(Path("out"), 2, text_);
}

TEST(RunMergeManifests, WhatDiffersStandsSideBySideOrGoes) {
  auto manifest = [](const char *info) {
    return Parse(std::string(R"({"identity":{"shards":1,"shard_utts":9,"limit":3},"info":)") +
                 info + "}");
  };
  Json a = manifest(
      R"({"utts":1,"hyps":2,"tokens":3,"version":"1","level":3,"x":1,"y":[1],"counts":{"empty":4}})");
  Json b = manifest(R"({"utts":10,"hyps":20,"version":"2","level":3,"x":2,"z":1})");
  Json c = manifest(
      R"({"utts":100,"hyps":200,"tokens":300,"version":"1","level":3,"x":1,"counts":{"empty":5}})");
  json_t *all[] = {a.get(), b.get(), c.get()};
  const char *const names[] = {"a", "b", "c"};
  json_t *out = nullptr;
  sp_error err{};
  ASSERT_SP_OK(sp_run_merge_manifests(all, names, 3, &out, &err));
  Json joined(out);
  EXPECT_EQ(
      Dump(json_object_get(out, "info")),
      R"({"utts":111,"hyps":222,"tokens":303,"version":"1 + 2","level":3,"counts":{"empty":9}})");
  EXPECT_EQ(MemberText(joined, "identity", "limit"), "9");
  EXPECT_EQ(MemberText(joined, "identity", "inputs"), "[]");
}

TEST(RunMergeManifests, HostileCountsDoNotWrapAround) {
  Json a = Parse(R"({"identity":{"shards":9000000,"shard_utts":9223372036854775807,"limit":-5},)"
                 R"("info":{"utts":9223372036854775807,"hyps":1}})");
  json_t *all[] = {a.get(), a.get()};
  const char *const names[] = {"a", "b"};
  json_t *out = nullptr;
  sp_error err{};
  EXPECT_EQ(sp_run_merge_manifests(all, names, 2, &out, &err), SP_EUSAGE);
  EXPECT_TRUE(Contains(err.message, "18000000 shards")) << err.message;
  EXPECT_EQ(out, nullptr);
  json_object_set_new(json_object_get(a.get(), "identity"), "shards", json_integer(1));
  ASSERT_SP_OK(sp_run_merge_manifests(all, names, 2, &out, &err));
  Json joined(out);
  EXPECT_EQ(MemberText(joined, "info", "utts"), "9223372036854775807");
  EXPECT_EQ(MemberText(joined, "identity", "limit"), "0");
}

// ---- what is refused ----

TEST_F(RunMerge, RunsThatWereNotScoredAlike) {
  std::string a = Build("a", {2}), b = Build("b", {2}), c = Build("c", {2}, "bf16");
  Refused(SP_EIDENTITY, {a, b, c}, Path("out"),
          {a + " and " + c, "dtype: the first has \"f32\", the other \"bf16\""});
  EXPECT_FALSE(Contains(err.message, "inputs")) << err.message;
  EXPECT_FALSE(std::filesystem::exists(Path("out")));
}

TEST_F(RunMerge, AnUtteranceInTwoRuns) {
  std::string a = Build("a", {2, 3}), b = Build("b", {2}), again = Build("x", {});
  std::filesystem::remove_all(again);
  std::filesystem::copy(b, again);
  Refused(SP_EINPUT, {a, b, again}, Path("out"),
          {again + "/scores-00000-of-00001.jsonl.zst: line 1", "b-0-0 occurs twice",
           "it is utterance 1 of " + b + " too"});
  EXPECT_FALSE(std::filesystem::exists(Path("out")));
}

TEST_F(RunMerge, AnUtteranceTwiceInARun) {
  std::string a = Build("a", {2}), b = Build("b", {2, 2});
  for (const char *suffix : {".jsonl.zst", ".done"}) {
    std::filesystem::copy_file(ShardPath(b, 0, 2, suffix), ShardPath(b, 1, 2, suffix),
                               std::filesystem::copy_options::overwrite_existing);
  }
  ASSERT_SP_OK(sp_run_success_write(b.c_str(), 2, &err));
  Refused(SP_EDAMAGED, {a, b}, Path("out"), {"b-0-0 occurs twice in the run"});
}

TEST_F(RunMerge, WhatIsNoCompleteRun) {
  std::string a = Build("a", {2}), b = Build("b", {2, 2});
  std::filesystem::create_directory(Path("empty"));
  WriteFile(Path("file"), "x");
  Refused(SP_EDAMAGED, {a, Path("none")}, Path("out"), {Path("none")});
  Refused(SP_EDAMAGED, {a, Path("empty")}, Path("out"), {Path("empty") + " is no run directory"});
  Refused(SP_EDAMAGED, {a, Path("file")}, Path("out"), {Path("file")});
  std::filesystem::remove(b + "/_SUCCESS");
  Refused(SP_ESHARD, {a, b}, Path("out"), {b, "not closed"});
  std::filesystem::remove(ShardPath(b, 1, 2, ".done"));
  Refused(SP_ESHARD, {a, b}, Path("out"), {b + ": 1 of 2 shards are missing"});
  EXPECT_FALSE(std::filesystem::exists(Path("out")));
}

TEST_F(RunMerge, AHarmedRun) {
  std::string a = Build("a", {2}), b = Build("b", {40});
  std::string path = ShardPath(b, 0, 1, ".jsonl.zst"), bytes = ReadFile(path);
  bytes[bytes.size() / 2] ^= 1;
  RenewFile(path, bytes);
  Refused(SP_EDAMAGED, {a, b}, Path("out"), {path});
  EXPECT_FALSE(std::filesystem::exists(Path("out")));
}

TEST_F(RunMerge, ARunTwiceOrIntoItself) {
  std::string a = Build("a", {2}), b = Build("b", {2});
  std::filesystem::create_directory_symlink(a, Path("link"));
  Refused(SP_EUSAGE, {a, b, Path("link")}, Path("out"), {a + " and " + Path("link")});
  Refused(SP_EUSAGE, {a, b}, b + "/", {"--out " + b + "/ is one of the runs"});
}

TEST_F(RunMerge, ATargetThatIsSomethingElse) {
  std::string a = Build("a", {2}), b = Build("b", {2}), other = Build("other", {4});
  WriteFile(Path("file"), "x");
  std::filesystem::create_directory(Path("mine"));
  WriteFile(Path("mine/thesis.tex"), "x");
  Refused(SP_EIO, {a, b}, Path("file"), {Path("file") + " is no directory"});
  Refused(SP_EIO, {a, b}, Path("no/such/place"), {Path("no/such")});
  Refused(SP_EIDENTITY, {a, b}, Path("mine"), {"not empty ('thesis.tex')"});
  Refused(SP_EIDENTITY, {a, b}, other, {other + " belongs to another run", "merged"});
  EXPECT_EQ(FilesOf(Path("mine")).size(), 1u);
  sp_run_lock lock;
  std::filesystem::create_directory(Path("out"));
  ASSERT_SP_OK(sp_run_lock_take(Path("out").c_str(), &lock, &err));
  Refused(SP_ELOCK, {a, b}, Path("out"), {"process " + std::to_string(getpid())});
  sp_run_lock_release(Path("out").c_str(), &lock);
  EXPECT_SP_OK(Merge({a, b}, Path("out")));
}

TEST_F(RunMerge, AShardOfOtherBytesInTheWay) {
  std::string a = Build("a", {2}), b = Build("b", {2});
  ASSERT_SP_OK(Merge({a, b}, Path("out")));
  std::string path = ShardPath(Path("out"), 1, 2, ".jsonl.zst"),
              own = ReadFile(ShardPath(b, 0, 1, ".jsonl.zst"));
  RenewFile(path, own + "x");
  Refused(SP_ESHARD, {a, b}, Path("out"), {path + " is there already and differs", "remove it"});
  EXPECT_EQ(ReadFile(ShardPath(b, 0, 1, ".jsonl.zst")), own) << "the source is never written";
  std::filesystem::remove(path);
  ASSERT_SP_OK(Merge({a, b}, Path("out")));
  ExpectWhole(Path("out"), 2, text_);
}

// ---- copies, and going on ----

// A folder on another file system than the scratch's, or "".
std::string OtherFileSystem(const std::string &here) {
  struct stat one {
  }, other{};
  bool differs = stat("/dev/shm", &other) == 0 && stat(here.c_str(), &one) == 0 &&
                 one.st_dev != other.st_dev && access("/dev/shm", W_OK) == 0;
  char name[] = "/dev/shm/secondpass-merge-XXXXXX";
  return differs && mkdtemp(name) ? name : "";
}

TEST_F(RunMerge, OverFileSystemsShardsAreCopied) {
  std::string elsewhere = OtherFileSystem(scratch_.path());
  if (elsewhere.empty())
    GTEST_SKIP() << "there is no second file system";
  std::string a = Build("a", {3, 2}), b = Build("b", {4}, "f32", elsewhere.c_str());
  EXPECT_SP_OK(Merge({a, b}, Path("out")));
  EXPECT_EQ(summary_.linked, 2u);
  EXPECT_EQ(summary_.copied, 1u);
  ExpectWhole(Path("out"), 3, text_);
  std::filesystem::remove(Path("out/_SUCCESS"));
  EXPECT_SP_OK(Merge({a, b}, Path("out")));
  EXPECT_EQ(summary_.found, 3u) << "the copy is told by its bytes";
  std::filesystem::remove_all(elsewhere);
  ExpectWhole(Path("out"), 3, text_);
}

TEST_F(RunMerge, ACopyThatMeetsAFullDiskLeavesNothing) {
  std::string elsewhere = OtherFileSystem(scratch_.path());
  if (elsewhere.empty())
    GTEST_SKIP() << "there is no second file system";
  std::string a = Build("a", {1}), b = Build("b", {400}, "f32", elsewhere.c_str());
  {
    sp_test::FileSizeLimit limit(4096);
    EXPECT_EQ(Merge({a, b}, Path("out")), SP_EIO) << err.message;
  }
  for (const std::string &name : FilesOf(Path("out"))) {
    EXPECT_FALSE(Contains(name, ".tmp.")) << name;
  }
  EXPECT_SP_OK(Merge({a, b}, Path("out")));
  std::filesystem::remove_all(elsewhere);
  ExpectWhole(Path("out"), 2, text_);
}

TEST_F(RunMerge, AShardThatIsASymbolicLinkIsFollowed) {
  std::string a = Build("a", {2}), b = Build("b", {2});
  std::string path = ShardPath(b, 0, 1, ".jsonl.zst");
  std::filesystem::rename(path, Path("moved"));
  std::filesystem::create_symlink("../moved", path);
  ASSERT_SP_OK(Merge({a, b}, Path("out")));
  EXPECT_FALSE(std::filesystem::is_symlink(ShardPath(Path("out"), 1, 2, ".jsonl.zst")));
  ExpectWhole(Path("out"), 2, text_);
}

TEST_F(RunMerge, WhatAKilledMergeLeftIsFinished) {
  std::string a = Build("a", {3, 1}), b = Build("b", {2});
  ASSERT_SP_OK(Merge({a, b}, Path("whole")));
  std::vector<std::string> files = FilesOf(Path("whole"));
  for (size_t without = 0; without < files.size(); without++) {
    for (bool alone : {true, false}) {  // the file, or it and all that is written after it
      std::filesystem::remove_all(Path("out"));
      std::filesystem::create_directory(Path("out"));
      for (size_t k = 0; k < files.size(); k++) {
        bool kept = alone ? k != without : files[k] == "run.json" || k < without;
        if (kept && files[without] != "run.json") {
          std::filesystem::create_hard_link(Path("whole/" + files[k]), Path("out/" + files[k]));
        }
      }
      if (std::filesystem::exists(Path("out/run.json"))) {
        WriteFile(Path("out/scores-00001-of-00003.jsonl.zst.tmp.4711"), "half");
      }
      WriteFile(Path("out/.lock"), R"({"host":")" + HostName() + R"(","pid":1})");
      ASSERT_SP_OK(Merge({a, b}, Path("out"))) << files[without];
      ExpectWhole(Path("out"), 3, text_);
      EXPECT_EQ(FilesOf(Path("out")), files) << files[without];
    }
  }
}

TEST_F(RunMerge, KilledAtAnyMomentItGoesOn) {
  std::vector<std::string> runs;
  for (int k = 0; k < 4; k++)
    runs.push_back(Build("run" + std::to_string(k), {5, 5, 5, 2}));
  useconds_t delay = 0;
  for (int kill_number = 0; kill_number < 20; kill_number++, delay += 700) {
    Child child([&] { return Merge(runs, Path("out")) == SP_OK ? 0 : 1; });
    usleep(delay);
    int end = child.End(SIGKILL);
    EXPECT_TRUE(end == 0 || end == 128 + SIGKILL) << kill_number << ": " << end;
  }
  ASSERT_SP_OK(Merge(runs, Path("out")));
  ExpectWhole(Path("out"), 16, text_);
}

// ---- the plan ----

std::vector<sp_plan_shard> PlanOf(const std::vector<size_t> &sizes, double cost) {
  std::vector<sp_plan_shard> plan;
  uint64_t records = 0;
  for (size_t size : sizes) {
    sp_plan_shard shard{};
    shard.has_place = true;
    shard.place.raw = 10 * records;
    shard.place.line = records;
    shard.place.records = records;
    shard.utts = size;
    shard.hyps = 2 * size;
    shard.tokens = 5 * size;
    shard.cost = cost * static_cast<double>(size);
    shard.xxh64 = 1000 + records;
    plan.push_back(shard);
    records += size;
  }
  return plan;
}

TEST_F(RunMerge, ThePlansAreJoinedWhenAllHaveOne) {
  const std::vector<size_t> first = {3, 3, 1}, second = {5, 2};
  std::string a = Build("a", first), b = Build("b", second);
  auto plan_a = PlanOf(first, 10), plan_b = PlanOf(second, 7);
  ASSERT_SP_OK(sp_run_plan_write(a.c_str(), plan_a.data(), plan_a.size(), &err));
  ASSERT_SP_OK(Merge({a, b}, Path("half")));
  EXPECT_FALSE(summary_.has_plan);
  EXPECT_FALSE(std::filesystem::exists(Path("half/" SP_RUN_PLAN)));
  ASSERT_SP_OK(sp_run_plan_write(b.c_str(), plan_b.data(), plan_b.size(), &err));
  ASSERT_SP_OK(Merge({a, b}, Path("out")));
  EXPECT_TRUE(summary_.has_plan);
  sp_plan_shard *plan = nullptr;
  bool found = false;
  ASSERT_SP_OK(sp_run_plan_read(Path("out").c_str(), 5, &plan, &found, &err));
  ASSERT_TRUE(found);
  EXPECT_EQ(plan[2].place.file, 0u);
  EXPECT_EQ(plan[2].place.records, 6u);
  EXPECT_EQ(plan[3].place.file, 1u);
  EXPECT_EQ(plan[3].place.records, 7u);
  EXPECT_EQ(plan[4].place.records, 12u);
  EXPECT_EQ(plan[4].place.line, 5u);
  EXPECT_EQ(plan[4].xxh64, 1005u);
  EXPECT_EQ(plan[3].cost, 35.0);
  free(plan);
  ExpectWhole(Path("out"), 5, text_);
}

// verify reads no plan; joined to others' it would be one that nobody can read.
TEST_F(RunMerge, AHarmedPlanIsNamed) {
  std::string a = Build("a", {3, 1}), b = Build("b", {2});
  auto plan_a = PlanOf({3, 2}, 10), plan_b = PlanOf({2}, 7);
  ASSERT_SP_OK(sp_run_plan_write(a.c_str(), plan_a.data(), plan_a.size(), &err));
  ASSERT_SP_OK(sp_run_plan_write(b.c_str(), plan_b.data(), plan_b.size(), &err));
  Refused(SP_EDAMAGED, {a, b}, Path("out"), {a + "/" SP_RUN_PLAN, "5 utterances", "the run has 4"});
  EXPECT_FALSE(std::filesystem::exists(Path("out/" SP_RUN_PLAN)));
}

}  // namespace
