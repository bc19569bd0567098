#include "run_manifest.h"

#include <gtest/gtest.h>

#include "run_fixture.h"

namespace {

using sp_test::Contains;
using sp_test::FilesOf;
using sp_test::MakeManifest;
using sp_test::ReadFile;
using sp_test::Scratch;
using sp_test::WriteFile;

class RunManifest : public ::testing::Test {
 protected:
  sp_status Read(json_t **out, bool *found) {
    err = {};
    return sp_run_manifest_read(run_.path().c_str(), out, found, &err);
  }
  Scratch run_;
  sp_error err{};
};

TEST_F(RunManifest, RoundTrip) {
  json_t *manifest = MakeManifest(3, 10, 25, 100), *read = nullptr;
  ASSERT_SP_OK(sp_run_manifest_write(run_.path().c_str(), manifest, &err));
  bool found = false;
  ASSERT_SP_OK(Read(&read, &found));
  EXPECT_TRUE(found);
  EXPECT_TRUE(json_equal(read, manifest));
  std::string text = ReadFile(run_ / "run.json");
  EXPECT_EQ(text.rfind("{\n  \"identity\": {\n    \"shards\": 3,\n    \"shard_utts\": 10,", 0), 0u)
      << text;
  EXPECT_EQ(text.back(), '\n');
  EXPECT_EQ(FilesOf(run_.path()), (std::vector<std::string>{"run.json"}));
  json_decref(read);
  json_decref(manifest);
}

TEST_F(RunManifest, OpenMembersAreFilled) {
  json_t *open = json_pack("{s:{s:n, s:s, s:n}, s:{s:n}}", "identity", "device_type", "dtype",
                           "f32", "backend", "info", "signature");
  json_t *from =
      json_pack("{s:{s:s, s:s, s:s, s:s}, s:{s:s}}", "identity", "device_type", "cpu x", "dtype",
                "bf16", "backend", "cpu", "mask", "full", "info", "signature", "s");
  json_t *filled = json_pack("{s:{s:s, s:s, s:s}, s:{s:s}}", "identity", "device_type", "cpu x",
                             "dtype", "f32", "backend", "cpu", "info", "signature", "s");
  json_t *without = json_object();
  EXPECT_TRUE(sp_run_manifest_is_open(open));
  EXPECT_FALSE(sp_run_manifest_is_open(from));
  EXPECT_FALSE(sp_run_manifest_is_open(without)) << "an older run that does not tell";
  sp_run_manifest_fill(from, open);
  EXPECT_FALSE(sp_run_manifest_is_open(from)) << "null is no value to take";
  sp_run_manifest_fill(open, without);
  EXPECT_TRUE(sp_run_manifest_is_open(open));
  sp_run_manifest_fill(open, from);
  EXPECT_TRUE(json_equal(open, filled));
  for (json_t *value : {open, from, filled, without})
    json_decref(value);
}

TEST_F(RunManifest, PublishingLeavesOneThatIsThere) {
  json_t *first = sp_test::MakeManifest(3, 4, 10, 20),
         *second = sp_test::MakeManifest(5, 2, 10, 20);
  ASSERT_SP_OK(sp_run_manifest_publish(run_.path().c_str(), first, &err));
  const std::string bytes = ReadFile(run_ / "run.json");
  ASSERT_SP_OK(sp_run_manifest_publish(run_.path().c_str(), second, &err));
  EXPECT_EQ(ReadFile(run_ / "run.json"), bytes);
  EXPECT_EQ(sp_test::FilesOf(run_.path()), std::vector<std::string>{"run.json"});
  ASSERT_SP_OK(sp_run_manifest_write(run_.path().c_str(), second, &err));
  EXPECT_NE(ReadFile(run_ / "run.json"), bytes);
  json_decref(first);
  json_decref(second);
}

TEST_F(RunManifest, AbsentIsNoError) {
  json_t *read = nullptr;
  bool found = true;
  ASSERT_SP_OK(Read(&read, &found));
  EXPECT_FALSE(found);
  EXPECT_EQ(read, nullptr);
}

TEST_F(RunManifest, RefusesAnotherShape) {
  const char *bad[] = {
      "",
      "{",
      "[]",
      "{}",
      "{\"identity\":{},\"info\":{}}",
      "{\"identity\":{\"shards\":1,\"shard_utts\":1},\"info\":{\"utts\":1}}",
      "{\"identity\":{\"shards\":1,\"shard_utts\":1},\"info\":{\"utts\":1,\"hyps\":\"1\"}}",
      "{\"identity\":{\"shards\":1,\"shard_utts\":1},\"info\":{\"utts\":1.0,\"hyps\":1}}",
      "{\"identity\":{\"shards\":-1,\"shard_utts\":1},\"info\":{\"utts\":1,\"hyps\":1}}",
      "{\"identity\":{\"shards\":1,\"shard_utts\":0},\"info\":{\"utts\":1,\"hyps\":1}}",
      "{\"identity\":{\"shards\":99999999,\"shard_utts\":1},\"info\":{\"utts\":1,\"hyps\":1}}",
      R"({"identity":{"shards":1,"shards":1,"shard_utts":1},"info":{"utts":1,"hyps":0}})",
      "{\"identity\":[],\"info\":{\"utts\":1,\"hyps\":1}}",
      "{\"identity\":{\"shards\":1,\"shard_utts\":1},\"info\":{\"utts\":1,\"hyps\":1}} x",
  };
  for (const char *text : bad) {
    WriteFile(run_ / "run.json", text);
    json_t *read = nullptr;
    bool found;
    EXPECT_EQ(Read(&read, &found), SP_EDAMAGED) << text;
    EXPECT_EQ(read, nullptr) << text;
    EXPECT_TRUE(Contains(err.message, run_ / "run.json")) << err.message;
  }
}

TEST_F(RunManifest, AFullDiskKeepsTheOldOne) {
  json_t *manifest = MakeManifest(3, 10, 25, 100), *other = MakeManifest(4, 10, 35, 100);
  ASSERT_SP_OK(sp_run_manifest_write(run_.path().c_str(), manifest, &err));
  std::string before = ReadFile(run_ / "run.json");
  sp_status status;
  {
    sp_test::FileSizeLimit full(20);
    status = sp_run_manifest_write(run_.path().c_str(), other, &err);
  }
  EXPECT_EQ(status, SP_EIO);
  EXPECT_EQ(ReadFile(run_ / "run.json"), before);
  EXPECT_EQ(FilesOf(run_.path()).size(), 1u);
  json_decref(manifest);
  json_decref(other);
}

std::string Compare(const char *theirs_text, const char *ours_text, sp_status wanted) {
  json_t *theirs = json_loads(theirs_text, 0, nullptr), *ours = json_loads(ours_text, 0, nullptr);
  sp_error err{};
  EXPECT_TRUE(theirs && ours);
  EXPECT_EQ(sp_run_identity_compare(theirs, ours, "RUN", &err), wanted) << err.message;
  json_decref(theirs);
  json_decref(ours);
  return err.message;
}

TEST(RunIdentity, EqualWhateverTheOrder) {
  Compare("{\"a\":1,\"b\":{\"c\":[1,2]}}", "{\"b\":{\"c\":[1,2]},\"a\":1}", SP_OK);
  Compare("{\"identity\":{\"a\":1},\"info\":{\"x\":1}}", "{\"identity\":{\"a\":1},\"info\":{}}",
          SP_OK);
}

TEST(RunIdentity, NamesEveryDifference) {
  EXPECT_EQ(Compare("{\"dtype\":\"f32\",\"limit\":null,\"same\":1}",
                    "{\"dtype\":\"bf16\",\"same\":1,\"limit\":5}", SP_EIDENTITY),
            "RUN belongs to another run (use another --out): dtype: the run has \"f32\", this "
            "command \"bf16\"; limit: the run has null, this command 5");
  EXPECT_EQ(Compare("{\"a\":1,\"gone\":2}", "{\"a\":1,\"fresh\":true}", SP_EIDENTITY),
            "RUN belongs to another run (use another --out): fresh: the run has none, this command "
            "true; gone: the run has 2, this command none");
  EXPECT_EQ(Compare("{\"identity\":{\"in\":[{\"h\":\"00\"},{\"h\":\"11\"}]}}",
                    "{\"identity\":{\"in\":[{\"h\":\"00\"},{\"h\":\"22\"}]}}", SP_EIDENTITY),
            "RUN belongs to another run (use another --out): in.1.h: the run has \"11\", this "
            "command \"22\"");
  EXPECT_EQ(Compare("{\"in\":[1]}", "{\"in\":[1,2]}", SP_EIDENTITY),
            "RUN belongs to another run (use another --out): in: the run has [1], this command "
            "[1,2]");
}

TEST(RunIdentity, TellsTypesApart) {
  Compare("{\"a\":1}", "{\"a\":1.0}", SP_EIDENTITY);
  Compare("{\"a\":1}", "{\"a\":\"1\"}", SP_EIDENTITY);
  Compare("{\"a\":true}", "{\"a\":false}", SP_EIDENTITY);
  Compare("{\"a\":{}}", "{\"a\":[]}", SP_EIDENTITY);
}

TEST(RunIdentity, LongListsAreCut) {
  std::string theirs = "{\"x\":0", ours = "{\"x\":1";
  for (int k = 0; k < 20; k++) {
    std::string member = ",\"m" + std::to_string(k) + "\":\"" + std::string(500, 'a' + k % 26);
    theirs += member + "1\"";
    ours += member + "2\"";
  }
  std::string message = Compare((theirs + "}").c_str(), (ours + "}").c_str(), SP_EIDENTITY);
  EXPECT_TRUE(Contains(message, "x: the run has 0, this command 1")) << message;
  EXPECT_LT(message.size(), sizeof(sp_error::message));
}

}  // namespace
