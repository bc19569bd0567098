#include "id_set.h"

#include <gtest/gtest.h>

#include <numeric>
#include <random>

#include "run_fixture.h"

namespace {

using sp_test::FilesOf;
using sp_test::Scratch;
using sp_test::Text;

struct Outcome {
  int told_at = -1;  // position of the id that add called a duplicate
  uint64_t first = 0, second = 0;
};

Outcome Feed(const std::vector<std::string> &ids, size_t memory, const std::string &directory) {
  sp_id_set *set = nullptr;
  sp_error err{};
  Outcome outcome;
  EXPECT_SP_OK(sp_id_set_create(memory, directory.c_str(), &set, &err));
  for (size_t k = 0; k < ids.size(); k++) {
    bool duplicate;
    EXPECT_SP_OK(sp_id_set_add(set, Text(ids[k]), &duplicate, &err));
    if (duplicate && outcome.told_at < 0)
      outcome.told_at = static_cast<int>(k);
  }
  EXPECT_SP_OK(sp_id_set_finish(set, &outcome.first, &outcome.second, &err));
  EXPECT_TRUE(FilesOf(directory).empty());
  sp_id_set_destroy(set);
  return outcome;
}

std::vector<std::string> Ids(size_t count) {
  std::vector<std::string> ids;
  for (size_t k = 0; k < count; k++)
    ids.push_back("utt-" + std::to_string(k));
  return ids;
}

constexpr size_t kTiny = 1;  // the least table, a run every 768 ids

TEST(IdSet, NoIdAndOneId) {
  Scratch scratch;
  for (size_t count : {0, 1}) {
    Outcome outcome = Feed(Ids(count), kTiny, scratch.path());
    EXPECT_EQ(outcome.told_at, -1);
    EXPECT_EQ(outcome.first, outcome.second);
  }
}

TEST(IdSet, TwoHundredThousandDistinct) {
  Scratch scratch;
  for (size_t memory : {kTiny, size_t{1} << 20, SP_ID_SET_MEMORY}) {
    Outcome outcome = Feed(Ids(200000), memory, scratch.path());
    EXPECT_EQ(outcome.told_at, -1) << memory;
    EXPECT_EQ(outcome.first, outcome.second) << memory;
  }
}

TEST(IdSet, InMemoryADuplicateIsToldAtOnce) {
  Scratch scratch;
  std::vector<std::string> ids = Ids(200000);
  ids[150000] = ids[7];
  Outcome outcome = Feed(ids, SP_ID_SET_MEMORY, scratch.path());
  EXPECT_EQ(outcome.told_at, 150000);
  EXPECT_EQ(outcome.first, 7u);
  EXPECT_EQ(outcome.second, 150000u);
}

TEST(IdSet, SpilledADuplicateIsToldByFinish) {
  Scratch scratch;
  const std::pair<size_t, size_t> pairs[] = {
      {0, 199999}, {7, 150000}, {766, 800}, {100000, 199998}};
  for (auto [first, second] : pairs) {
    std::vector<std::string> ids = Ids(200000);
    ids[second] = ids[first];
    Outcome outcome = Feed(ids, kTiny, scratch.path());
    EXPECT_EQ(outcome.told_at, -1);
    EXPECT_EQ(outcome.first, first);
    EXPECT_EQ(outcome.second, second);
  }
}

TEST(IdSet, WithinOneRunADuplicateIsToldAtOnceAfterSpillingToo) {
  Scratch scratch;
  std::vector<std::string> ids = Ids(2000);
  ids[1999] = ids[1998];
  Outcome outcome = Feed(ids, kTiny, scratch.path());
  EXPECT_EQ(outcome.told_at, 1999);
  EXPECT_EQ(outcome.first, 1998u);
  EXPECT_EQ(outcome.second, 1999u);
}

TEST(IdSet, EmptyAndBinaryIdsAreIds) {
  Scratch scratch;
  EXPECT_EQ(
      Feed({"", std::string(1, '\0'), std::string(2, '\0'), "a"}, kTiny, scratch.path()).told_at,
      -1);
  EXPECT_EQ(Feed({"", "b", ""}, kTiny, scratch.path()).told_at, 2);
}

TEST(IdSet, ADiskThatCannotTakeTheRunsIsAnIoError) {
  Scratch scratch;
  sp_error err{};
  for (bool missing : {true, false}) {
    sp_id_set *set = nullptr;
    std::string directory = missing ? scratch / "missing" : scratch.path();
    sp_test::FileSizeLimit limit(10000);
    ASSERT_SP_OK(sp_id_set_create(kTiny, directory.c_str(), &set, &err));
    sp_status status = SP_OK;
    for (const std::string &id : Ids(2000)) {
      bool duplicate;
      status = status == SP_OK ? sp_id_set_add(set, Text(id), &duplicate, &err) : status;
    }
    EXPECT_EQ(status, SP_EIO);
    EXPECT_TRUE(sp_test::Contains(err.message, directory)) << err.message;
    sp_id_set_destroy(set);
  }
}

// What is promised of memory: a table is doubled while two fit, and then spills.
TEST(IdSet, BytesAreBounded) {
  uint64_t spilled = 1;
  const uint64_t first = 2048 * 24;  // 1,024 slots and as many spare ones
  EXPECT_EQ(sp_id_set_bytes(0, SP_ID_SET_MEMORY, &spilled), first);
  EXPECT_EQ(sp_id_set_bytes(768, SP_ID_SET_MEMORY, &spilled), first);
  EXPECT_EQ(spilled, 0u);
  EXPECT_EQ(sp_id_set_bytes(769, SP_ID_SET_MEMORY, &spilled), first + 3072 * 24) << "both at once";
  EXPECT_EQ(sp_id_set_bytes(769, kTiny, &spilled), first);
  EXPECT_EQ(spilled, 769u * 24);
  for (uint64_t ids : {12582912ull, 12582913ull, 1000000000ull, 100000000000ull}) {
    EXPECT_LE(sp_id_set_bytes(ids, SP_ID_SET_MEMORY, &spilled), SP_ID_SET_MEMORY) << ids;
    EXPECT_EQ(spilled, ids == 12582912 ? 0 : ids * 24) << ids;
  }
}

}  // namespace
