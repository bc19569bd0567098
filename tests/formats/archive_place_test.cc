// Places: a reading that begins at any utterance gives what a whole reading gives from there on.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

#include "archive_kinds.h"
#include "archive_places.h"
#include "packed.h"

namespace {

using namespace sp_test;

// Seeks in the given order, reads two utterances at each, and keeps the places told there.
void ExpectEqual(sp_archive *archive, const std::vector<Told> &whole,
                 const std::vector<size_t> &order, std::vector<Told> *again) {
  for (size_t u : order) {
    ASSERT_EQ(SeekAndRead(archive, whole[u].place), whole[u].utt);
    sp_place place = {};
    ASSERT_TRUE(sp_archive_tell(archive, &place));
    EXPECT_EQ(place.file, whole[u].place.file);
    EXPECT_EQ(place.line, whole[u].place.line);
    EXPECT_EQ(place.records, u);
    (*again)[u].place = place;
    if (u % 2 == 0) {
      ASSERT_EQ(Next(archive), whole[u + 1].utt);
    }
  }
}

// From the start to the end, in any order, from the end of a whole reading, and by places told there.
void ExpectPlaces(const std::vector<std::string> &paths, const sp_archive_options &options,
                  size_t n) {
  Opened first = Open(paths, options), second = Open(paths, options);
  std::vector<Told> whole = ReadWhole(first.get());
  ASSERT_EQ(whole.size(), n + 1);
  ASSERT_EQ(whole.back().utt, "END");
  std::vector<Told> again = whole;
  std::vector<size_t> order(n);
  for (size_t u = 0; u < n; u++)
    order[u] = u;
  ExpectEqual(second.get(), whole, order, &again);
  std::shuffle(order.begin(), order.end(), std::mt19937(5));
  ExpectEqual(first.get(), whole, order, &again);  // which had come to its end
  order.resize(std::min(n, size_t{40}));
  ExpectEqual(second.get(), std::vector<Told>(again), order, &again);
}

class Places : public ::testing::TestWithParam<Kind> {};

TEST_P(Places, GiveWhatAWholeReadingGives) {
  for (const Packing &packing : kPackings) {
    for (size_t n_files : {1u, 3u}) {
      SCOPED_TRACE(packing.name + std::string(" in files: ") + std::to_string(n_files));
      Scratch scratch;
      ExpectPlaces(WriteFiles(scratch, GetParam(), packing, n_files), GetParam().options, kUtts);
    }
  }
}

// Counted from the file's first byte.
TEST_P(Places, OffsetsArePlacesToo) {
  for (const Packing &packing : kPackings) {
    SCOPED_TRACE(packing.name);
    Scratch scratch;
    Opened archive = Open(WriteFiles(scratch, GetParam(), packing, 2), GetParam().options);
    std::vector<Told> whole = ReadWhole(archive.get());
    for (size_t u = whole.size() - 1; u-- > 0;) {
      sp_place place = whole[u].place;
      place.stored = 0;
      place.raw = place.offset;
      ASSERT_EQ(SeekAndRead(archive.get(), place), whole[u].utt) << u;
    }
  }
}

TEST_P(Places, GoForward) {
  for (const Packing &packing : kPackings) {
    Scratch scratch;
    Opened archive = Open(WriteFiles(scratch, GetParam(), packing, 2), GetParam().options);
    std::vector<Told> whole = ReadWhole(archive.get());
    std::set<uint64_t> starts;
    for (size_t u = 0; u + 1 < whole.size(); u++) {
      const sp_place &place = whole[u].place;
      EXPECT_EQ(place.records, u);
      starts.insert(place.stored + (place.file << 40));
      if (u == 0 || whole[u - 1].place.file != place.file)
        continue;
      const sp_place &last = whole[u - 1].place;
      EXPECT_LE(last.line, place.line);
      EXPECT_LT(std::pair(last.stored, last.raw), std::pair(place.stored, place.raw));
    }
    std::string name = packing.name;
    size_t exact = name == "plain" || name == "bom" ? kUtts : 2;
    if (exact == kUtts || name == "gz" || name == "zst") {
      EXPECT_EQ(starts.size(), exact) << name;
    } else {
      EXPECT_GT(starts.size(), 2u) << name;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, Places, ::testing::ValuesIn(kKinds),
                         [](const auto &kind) { return std::string(kind.param.name); });
INSTANTIATE_TEST_SUITE_P(Documents, Places, ::testing::ValuesIn(kDocuments),
                         [](const auto &kind) { return std::string(kind.param.name); });

TEST(PlacesOfDirectories, GiveWhatAWholeReadingGives) {
  for (auto pack : {Zstd, Gzip}) {
    for (bool refs : {true, false}) {
      Scratch scratch;
      size_t n = WriteGroups(scratch / "a", {40, 1, 30}, refs, pack);
      sp_archive_options options = Options(SP_FORMAT_AUTO);
      ExpectPlaces({scratch / "a"}, options, n);
      n += WriteGroups(scratch / "b", {9}, !refs, [](const std::string &raw) { return raw; });
      ExpectPlaces({scratch / "a", scratch / "b"}, options, n);
    }
  }
}

TEST(PlacesOfDirectories, GoForward) {
  Scratch scratch;
  WriteGroups(scratch / "a", {40, 1, 30}, true, Zstd);
  std::vector<Told> whole = ReadWhole(Open({scratch / "a"}, Options(SP_FORMAT_AUTO)).get());
  for (size_t u = 0; u + 1 < whole.size(); u++) {
    const sp_place &place = whole[u].place;
    EXPECT_EQ(place.stored, u < 40 ? 0u : u < 41 ? 1u : 2u);
    EXPECT_EQ(place.raw == 0, u == 0 || u == 40 || u == 41);
    EXPECT_GE(place.raw, place.raw == 0 ? 0 : whole[u - 1].place.raw + Words(u - 1).size());
    EXPECT_EQ(place.records, u);
    EXPECT_GE(place.line, u == 0 ? 0 : whole[u - 1].place.line + 1) << u;
  }
}

}  // namespace
