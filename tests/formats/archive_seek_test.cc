// Seeking: what is read for it, what it tells, and places that are not where they should be.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "archive_copy.h"
#include "archive_kinds.h"
#include "archive_places.h"
#include "packed.h"

namespace {

using namespace sp_test;

// ---- what lies before is not read ----

TEST(ArchiveSeek, DoesNotReadWhatLiesBefore) {
  Scratch scratch;
  for (bool plain : {true, false}) {
    std::string raw, path = scratch / "a";
    for (size_t u = 0; u < 400; u++)
      raw += Jsonl(u);
    std::string stored = plain ? raw : InPieces(raw, 40000, Zstd);
    WriteFile(path, stored);
    std::vector<Told> whole = ReadWhole(Open({path}, Options(SP_FORMAT_JSONL)).get());
    size_t u = 399, second = 1;  // the file's beginning tells how it is packed
    while (whole[second].place.stored == 0)
      second++;
    ASSERT_LT(whole[second].place.stored, whole[u].place.stored);
    for (size_t at = whole[second].place.stored; at < whole[u].place.stored; at++)
      stored[at] = 'x';
    WriteFile(path, stored);
    Opened archive = Open({path}, Options(SP_FORMAT_JSONL));
    EXPECT_EQ(SeekAndRead(archive.get(), whole[u].place), whole[u].utt);
    EXPECT_EQ(Next(archive.get()), "END");
    archive = Open({path}, Options(SP_FORMAT_JSONL));
    EXPECT_EQ(SeekAndRead(archive.get(), whole[second].place).rfind("FAILED", 0), 0u);
  }
}

// What `convert` writes.
TEST(ArchiveSeek, OurOwnFilesNeedNoMoreThanAFrame) {
  Scratch scratch;
  std::string raw;
  for (size_t u = 0; u < 20000; u++)
    raw += Jsonl(u);
  WriteFile(scratch / "in", raw);
  sp_archive_writer_options output = {};
  output.format = SP_FORMAT_JSONL;
  Copied copied =
      CopyArchive(scratch / "in", Options(SP_FORMAT_JSONL), scratch / "out.jsonl.zst", output);
  ASSERT_EQ(copied.status, SP_OK) << copied.message;
  Opened archive = Open({scratch / "out.jsonl.zst"}, Options(SP_FORMAT_JSONL));
  std::vector<Told> whole = ReadWhole(archive.get());
  ASSERT_EQ(whole.size(), 20001u);
  std::set<uint64_t> frames;
  size_t first_lines = 0;
  for (size_t u = 0; u < 20000; u++) {
    EXPECT_LT(whole[u].place.raw, 2u << 20);
    first_lines += whole[u].place.raw == 0;
    frames.insert(whole[u].place.stored);
  }
  EXPECT_GE(frames.size(), 3u);
  EXPECT_EQ(first_lines, frames.size());  // lines that begin a frame are told so
  for (size_t u = 19999; u > 3000; u -= 3000)
    EXPECT_EQ(SeekAndRead(archive.get(), whole[u].place), whole[u].utt);
}

TEST(ArchiveSeek, LeavesOtherDocumentsAlone) {
  for (const Kind &kind : kDocuments) {
    for (const Packing &packing : kPackings) {
      Scratch scratch;
      std::vector<std::string> paths = WriteFiles(scratch, kind, packing, 5);
      std::vector<Told> whole = ReadWhole(Open(paths, kind.options).get());
      ASSERT_EQ(whole.size(), kUtts + 1);
      const Told &wanted = whole[120];
      for (size_t file = 0; file < 5; file++)
        if (file != wanted.place.file)
          WriteFile(paths[file], "x");
      sp_archive_options options = kind.options;
      options.format = options.format == SP_FORMAT_AUTO ? SP_FORMAT_MLM : options.format;
      Opened archive = Open(paths, options);
      EXPECT_EQ(SeekAndRead(archive.get(), wanted.place), wanted.utt) << kind.name << packing.name;
      EXPECT_EQ(SeekAndRead(archive.get(), whole[0].place).rfind("FAILED", 0), 0u);
    }
  }
}

// One document: only what stands at the place and behind it is read.
TEST(ArchiveSeek, LeavesTheBeginningOfADocumentAlone) {
  for (const Kind &kind : kDocuments) {
    Scratch scratch;
    std::string path = WriteFiles(scratch, kind, kPackings[0], 1)[0];
    sp_archive_options options = kind.options;
    options.format = options.format == SP_FORMAT_AUTO ? SP_FORMAT_MLM : options.format;
    std::vector<Told> whole = ReadWhole(Open({path}, options).get());
    ASSERT_EQ(whole.size(), kUtts + 1);
    std::string bytes = ReadFile(path);
    std::fill_n(bytes.begin(), whole[200].place.stored, 'x');
    WriteFile(path, bytes);
    Opened archive = Open({path}, options);
    EXPECT_EQ(SeekAndRead(archive.get(), whole[200].place), whole[200].utt);
    for (size_t u = 201; u <= kUtts; u++)
      EXPECT_EQ(Next(archive.get()), whole[u].utt);
    EXPECT_EQ(SeekAndRead(archive.get(), whole[100].place).rfind("FAILED", 0), 0u);
  }
}

TEST(ArchiveSeek, LeavesOtherGroupsAlone) {
  Scratch scratch;
  WriteGroups(scratch / "a", {40, 5, 30}, true, Zstd);
  sp_archive_options options = Options(SP_FORMAT_ESPNET2);
  std::vector<Told> whole = ReadWhole(Open({scratch / "a"}, options).get());
  ASSERT_EQ(whole.size(), 76u);
  for (const char *group : {"output.1", "output.3"})
    WriteFile(scratch / "a" + ("/" + std::string(group)) + "/1best_recog/text", "bad\n");
  Opened archive = Open({scratch / "a"}, options);
  EXPECT_EQ(SeekAndRead(archive.get(), whole[43].place), whole[43].utt);
  EXPECT_EQ(SeekAndRead(archive.get(), whole[41].place), whole[41].utt);
  EXPECT_EQ(SeekAndRead(archive.get(), whole[3].place).rfind("FAILED", 0), 0u);
}

// ---- messages ----

TEST(ArchiveSeek, FailuresAreToldAsInAWholeReading) {
  struct Case {
    const Kind *kind;
    const char *bad;
  } cases[] = {{&kKinds[0], "{\"id\":1}\n"}, {&kKinds[2], "a\xff\n"},
               {&kKinds[5], "x ||| y\n"},    {&kKinds[6], "nothing\n"},
               {&kKinds[11], "no tab\n"},    {&kKinds[12], "H-77\tx\ty\n"}};
  for (const Case &c : cases) {
    for (const Packing &packing : kPackings) {
      Scratch scratch;
      std::string raw;
      for (size_t u = 0; u < 50; u++)
        raw += c.kind->lines(u);
      WriteFile(scratch / "good", packing.pack(raw));
      WriteFile(scratch / "bad", packing.pack(raw + c.bad + raw));
      std::vector<std::string> paths = {scratch / "good", scratch / "bad"};
      std::vector<Told> whole = ReadWhole(Open(paths, c.kind->options).get());
      size_t last = whole.size() - 2;
      ASSERT_GE(last, 98u);
      ASSERT_NE(whole.back().utt.find(scratch / "bad:"), std::string::npos) << whole.back().utt;
      Opened archive = Open(paths, c.kind->options);
      EXPECT_EQ(SeekAndRead(archive.get(), whole[last].place), whole[last].utt);
      EXPECT_EQ(Next(archive.get()), whole.back().utt) << c.kind->name << " " << packing.name;
    }
  }
}

// ---- other files than those that were told of ----

class OtherFiles : public ::testing::Test {
 protected:
  void Write(const std::string &stored) {
    stored_ = stored;
    WriteFile(scratch_ / "a", stored);
    whole_ = ReadWhole(Open({scratch_ / "a"}, Options(SP_FORMAT_JSONL)).get());
  }
  static std::string Raw() {
    std::string raw;
    for (size_t u = 0; u < 400; u++)
      raw += Jsonl(u + 1);
    return raw;
  }
  // Of the place of utterance `u` in other bytes.
  std::string ReadIn(const std::string &stored, size_t u) {
    WriteFile(scratch_ / "a", stored);
    return SeekAndRead(Open({scratch_ / "a"}, Options(SP_FORMAT_JSONL)).get(), whole_[u].place);
  }
  void ExpectEndsBefore(const std::string &read) {
    EXPECT_EQ(read, "FAILED " + (scratch_ / "a") +
                        ": ends before the place that is wanted: not the file it was");
  }
  Scratch scratch_;
  std::string stored_;
  std::vector<Told> whole_;
};

TEST_F(OtherFiles, ThatEndTooEarly) {
  Write(Raw());
  uint64_t at = whole_[300].place.stored;
  ExpectEndsBefore(ReadIn(stored_.substr(0, at), 300));
  ExpectEndsBefore(ReadIn(stored_.substr(0, at - 3000), 300));
  ExpectEndsBefore(ReadIn(stored_.substr(0, at), 399));
  Write(InPieces(Raw(), 40000, Zstd));
  at = whole_[300].place.stored;
  ASSERT_GT(at, 0u);
  ExpectEndsBefore(ReadIn(stored_.substr(0, at), 300));
  Write(Gzip(Raw()));
  std::string shorter = Gzip(Raw().substr(0, 20000));
  ExpectEndsBefore(ReadIn(shorter, 399));
  EXPECT_NE(ReadIn(stored_.substr(0, stored_.size() / 4), 399).find("ends early"),
            std::string::npos);
}

TEST_F(OtherFiles, WithoutAFrameThere) {
  for (auto pack : {Zstd, Gzip}) {
    Write(InPieces(Raw(), 40000, pack));
    size_t before = whole_[300].place.stored - 1;
    ASSERT_GT(before, 40000u / 4);  // not in the first frame, which is read to open the file
    std::string read = ReadIn(stored_.substr(0, before) + stored_.substr(before + 1), 300);
    EXPECT_NE(read.find("data is corrupt at or after byte offset"), std::string::npos) << read;
  }
}

TEST_F(OtherFiles, ThatAreNotThere) {
  Write(Raw());
  Opened archive = Open({scratch_ / "a"}, Options(SP_FORMAT_JSONL));
  sp_place place = whole_[3].place;
  place.file = 1;
  EXPECT_EQ(SeekAndRead(archive.get(), place),
            "FAILED file 2 of the archive is wanted, which has 1");
  place.file = UINT64_MAX;
  EXPECT_EQ(SeekAndRead(archive.get(), place).rfind("FAILED file", 0), 0u);
}

TEST_F(OtherFiles, HostilePlaces) {
  for (const std::string &stored : {Raw(), Zstd(Raw()), Gzip(Raw())}) {
    Write(stored);
    for (uint64_t far : {uint64_t{1} << 40, uint64_t{INT64_MAX}, UINT64_MAX}) {
      Opened archive = Open({scratch_ / "a"}, Options(SP_FORMAT_JSONL));
      sp_place place = whole_[3].place;
      place.stored = far;
      ExpectEndsBefore(SeekAndRead(archive.get(), place));
      archive = Open({scratch_ / "a"}, Options(SP_FORMAT_JSONL));
      place = whole_[3].place;
      place.raw = far;
      ExpectEndsBefore(SeekAndRead(archive.get(), place));
    }
  }
}

// A place that leads into the middle of a document gives an utterance, its end or a failure.
TEST(ArchiveSeek, HostilePlacesInDocuments) {
  for (const Kind &kind : kDocuments) {
    Scratch scratch;
    std::string raw = kind.header + kind.lines(0) + kind.between + kind.lines(1) + kind.footer;
    WriteFile(scratch / "a", raw);
    sp_archive_options options = kind.options;
    options.format = options.format == SP_FORMAT_AUTO ? SP_FORMAT_MLM : options.format;
    Opened archive;
    size_t given = 0;
    for (uint64_t at = 0; at < raw.size(); at++) {
      archive = Open({scratch / "a"}, options);
      std::string read = SeekAndRead(archive.get(), {0, at, 0, 0, 0, 0});
      if (read.rfind("FAILED", 0) == 0)
        EXPECT_EQ(read.rfind("FAILED " + (scratch / "a"), 0), 0u) << read;
      else
        given++;
    }
    EXPECT_GE(given, 2u);
    EXPECT_LE(given, raw.size() / 4) << kind.name;
    for (uint64_t far : {uint64_t{raw.size()}, uint64_t{INT64_MAX}, UINT64_MAX}) {
      archive = Open({scratch / "a"}, options);
      EXPECT_EQ(SeekAndRead(archive.get(), {0, far, 0, 0, 0, 0}),
                "FAILED " + (scratch / "a") +
                    ": ends before the place that is wanted: not the file it was");
    }
  }
}

TEST(ArchiveSeek, HostilePlacesInDirectories) {
  Scratch scratch;
  WriteGroups(scratch / "a", {4, 3}, true, Zstd);
  auto read = [&](const sp_place &place) {
    Opened archive = Open({scratch / "a"}, Options(SP_FORMAT_AUTO));
    return SeekAndRead(archive.get(), place);
  };
  std::string list = scratch / "a/output.2/1best_recog/text";
  for (uint64_t far : {uint64_t{4}, uint64_t{1} << 40, UINT64_MAX}) {
    EXPECT_EQ(read({0, far, 0, 0, 0, 0}),
              "FAILED group " + Number(far + 1) + " of the directory is wanted, which has 2");
    EXPECT_EQ(
        read({0, 1, far, 0, 0, 0}),
        "FAILED " + list + ": has no utterance at the place that is wanted: not the file it was");
  }
  std::string late = read({0, 1, 0, UINT64_MAX, 0, 0});
  EXPECT_NE(late.find("no reference for utterance u4"), std::string::npos) << late;
}

TEST(ArchiveSeek, DirectoriesHaveNoDigestsOrStampsAfterwards) {
  Scratch scratch;
  WriteGroups(scratch / "a", {4, 3}, true, Zstd);
  Opened archive = Open({scratch / "a"}, Options(SP_FORMAT_AUTO));
  std::vector<Told> whole = ReadWhole(archive.get());
  uint64_t stamps[20] = {};
  EXPECT_EQ(sp_archive_opened(archive.get(), stamps, 20), 9u);
  EXPECT_EQ(SeekAndRead(archive.get(), whole[5].place), whole[5].utt);
  EXPECT_EQ(ReadWhole(archive.get()).back().utt, "END");
  EXPECT_EQ(sp_archive_opened(archive.get(), stamps, 20), 0u);
  const sp_archive_file *files;
  size_t n;
  sp_error err = {};
  EXPECT_EQ(sp_archive_files(archive.get(), &files, &n, &err), SP_EUSAGE);
}

// ---- where it cannot be had ----

TEST(ArchiveSeek, ScoreTablesAreReadFromTheirStart) {
  Scratch scratch;
  WriteFile(scratch / "a", "u-1 x\nv-1 y\n");
  WriteFile(scratch / "s", "u-1 1\nv-1 2\n");
  std::string tables = "score=" + (scratch / "s");
  sp_archive_options options = Options(SP_FORMAT_KALDI);
  options.tables = tables.c_str();
  Opened archive = Open({scratch / "a"}, options);
  EXPECT_NE(Next(archive.get()), "END");
  sp_place place = {};
  sp_error err = {};
  EXPECT_FALSE(sp_archive_tell(archive.get(), &place));
  EXPECT_EQ(sp_archive_seek(archive.get(), &place, &err), SP_EUSAGE);
}

TEST(ArchiveSeek, StandardInputHasNoPlaces) {
  int ends[2], kept = dup(STDIN_FILENO);
  ASSERT_EQ(pipe(ends), 0);
  ASSERT_EQ(write(ends[1], "a\nb\n", 4), 4);
  close(ends[1]);
  dup2(ends[0], STDIN_FILENO);
  close(ends[0]);
  Opened archive = Open({"-"}, Options(SP_FORMAT_TEXT));
  sp_place place = {};
  sp_error err = {};
  EXPECT_NE(Next(archive.get()), "END");
  EXPECT_FALSE(sp_archive_tell(archive.get(), &place));
  EXPECT_EQ(sp_archive_seek(archive.get(), &place, &err), SP_EUSAGE);
  dup2(kept, STDIN_FILENO);
  close(kept);
}

TEST(ArchiveSeek, ThereIsNoPlaceBeforeTheFirstAndBehindTheLast) {
  Scratch scratch;
  WriteFile(scratch / "a", "one\ntwo\n");
  Opened archive = Open({scratch / "a"}, Options(SP_FORMAT_TEXT));
  sp_place place = {};
  EXPECT_FALSE(sp_archive_tell(archive.get(), &place));
  ASSERT_EQ(ReadWhole(archive.get()).size(), 3u);
  EXPECT_FALSE(sp_archive_tell(archive.get(), &place));
}

// ---- digests and stamps ----

TEST(ArchiveSeek, ThereAreNoDigestsAfterwards) {
  Scratch scratch;
  WriteFile(scratch / "a", "one\ntwo\n");
  WriteFile(scratch / "b", "three\nfour\n");
  Opened archive = Open({scratch / "a", scratch / "b"}, Options(SP_FORMAT_TEXT));
  std::vector<Told> whole = ReadWhole(archive.get());
  uint64_t stamps[3] = {};
  EXPECT_EQ(sp_archive_opened(archive.get(), stamps, 3), 2u);
  uint64_t of_a = stamps[0], of_b = stamps[1];
  EXPECT_EQ(SeekAndRead(archive.get(), whole[2].place), whole[2].utt);
  EXPECT_EQ(sp_archive_opened(archive.get(), stamps, 3), 2u);
  EXPECT_EQ(stamps[0], 0u);
  EXPECT_EQ(stamps[1], of_b);
  EXPECT_EQ(SeekAndRead(archive.get(), whole[1].place), whole[1].utt);
  EXPECT_EQ(sp_archive_opened(archive.get(), stamps, 3), 1u);
  EXPECT_EQ(stamps[0], of_a);
  const sp_archive_file *files;
  size_t n;
  sp_error err = {};
  EXPECT_EQ(sp_archive_files(archive.get(), &files, &n, &err), SP_EUSAGE);
  EXPECT_NE(std::string(err.message).find("has no digest"), std::string::npos) << err.message;
}

TEST(ArchiveSeek, AnOpenSourceCanBeSoughtUntilItsEnd) {
  std::string bytes = "one\ntwo\nthree\n";
  sp_source *source = nullptr;
  sp_archive *opened = nullptr;
  sp_error err = {};
  ASSERT_EQ(sp_source_open_memory("mem", {bytes.data(), bytes.size()}, &source, &err), SP_OK);
  ASSERT_EQ(sp_archive_open_source(source, SP_FORMAT_TEXT, &opened, &err), SP_OK);
  Opened archive(opened);
  sp_place second = {};
  std::string first = Next(opened), two = Next(opened);
  ASSERT_TRUE(sp_archive_tell(opened, &second));
  EXPECT_EQ(SeekAndRead(opened, second), two);
  EXPECT_EQ(ReadWhole(opened).back().utt, "END");
  EXPECT_EQ(sp_archive_seek(opened, &second, &err), SP_EUSAGE);
  EXPECT_STREQ(err.message, "mem was read to its end and is closed");
}

}  // namespace
