// Places: a reading that begins at any utterance gives what a whole reading gives from there on.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "archive_copy.h"
#include "archive_read.h"
#include "packed.h"
#include "scratch.h"

namespace {

using sp_test::Gzip;
using sp_test::InPieces;
using sp_test::Scratch;
using sp_test::String;
using sp_test::WriteFile;
using sp_test::Zstd;

constexpr size_t kUtts = 240;

// All that an utterance is, and the place that messages would name.
std::string Dump(const sp_utt &utt, const char *place) {
  std::string out = std::string(place) + " id=" + String(utt.id);
  auto add_fields = [&out](const sp_field *fields, size_t n) {
    for (size_t i = 0; i < n; i++)
      out += " " + String(fields[i].name) + ":" + String(fields[i].json);
  };
  if (utt.has_ref)
    out += " ref=" + String(utt.ref);
  add_fields(utt.fields, utt.n_fields);
  for (size_t i = 0; i < utt.n_hyps; i++) {
    const sp_hyp &hyp = utt.hyps[i];
    out += "\n" + String(hyp.text) + "|" + (hyp.has_score ? std::to_string(hyp.score) : "none");
    for (size_t c = 0; c < hyp.n_components; c++)
      out += " " + String(hyp.components[c].name) + "=" + std::to_string(hyp.components[c].value);
    add_fields(hyp.fields, hyp.n_fields);
  }
  return out;
}

struct Close {
  void operator()(sp_archive *archive) const {
    sp_archive_close(archive);
  }
};
using Archive = std::unique_ptr<sp_archive, Close>;

Archive Open(const std::vector<std::string> &paths, const sp_archive_options &options) {
  std::vector<const char *> names;
  for (const std::string &path : paths)
    names.push_back(path.c_str());
  sp_archive *archive = nullptr;
  sp_error err = {};
  EXPECT_EQ(sp_archive_open_with(names.data(), names.size(), &options, &archive, &err), SP_OK)
      << err.message;
  return Archive(archive);
}

// The next utterance; "END" behind the last one, and a failure's message.
std::string Next(sp_archive *archive) {
  sp_utt utt;
  sp_error err = {};
  bool found = false;
  if (sp_archive_next(archive, &utt, &found, &err) != SP_OK)
    return std::string("FAILED ") + err.message;
  return found ? Dump(utt, sp_archive_place(archive)) : "END";
}

struct Told {
  sp_place place;
  std::string utt;
};

// A whole reading, with all places; END or the failure comes last, without one.
std::vector<Told> ReadWhole(sp_archive *archive) {
  std::vector<Told> all;
  sp_place place = {};
  for (;;) {
    std::string utt = Next(archive);
    if (!sp_archive_tell(archive, &place))
      return all.push_back({{}, utt}), all;
    all.push_back({place, utt});
  }
}

std::string SeekAndRead(sp_archive *archive, const sp_place &place) {
  sp_error err = {};
  if (sp_archive_seek(archive, &place, &err) != SP_OK)
    return std::string("FAILED ") + err.message;
  return Next(archive);
}

std::string Words(size_t u) {
  std::mt19937 random(static_cast<uint32_t>(u));
  std::string out = "word" + std::to_string(u);
  for (size_t n = 20 + random() % 20; n > 0; n--)
    out += " " + std::to_string(random());
  return out;
}

std::string Number(size_t n) {
  return std::to_string(n);
}

std::string Jsonl(size_t u) {
  return "{\"id\":\"u" + Number(u) + "\",\"ref\":\"r\",\"wav\":" + Number(u) +
         ",\"hyps\":[{\"text\":\"" + Words(u) + "\",\"score\":-" + Number(u) +
         ".5,\"ctc\":2},{\"text\":\"\"}]}\r\n" + (u % 7 == 0 ? " \t\n\n" : "");
}

std::string Nemo(size_t u) {
  return "{\"audio_filepath\":\"" + Number(u) + ".wav\",\"text\":\"r\",\"d\":1,\"beams\":[[\"" +
         Words(u) + "\",-1.5],[\"x\",null]]}\n" + (u % 5 == 0 ? "\n" : "");
}

std::string Text(size_t u) {
  return u % 9 == 4 ? "\n" : Words(u) + "\n";
}

std::string Trn(size_t u) {
  return (u % 4 == 0 ? ";; a comment\n\n" : "") + Words(u) + " (spk_" + Number(u) + ")\n";
}

std::string KaldiText(size_t u) {
  return (u % 4 == 1 ? "  \n" : "") + ("u" + Number(u)) + " " + Words(u) + "\n";
}

std::string Moses(size_t u) {
  std::string out;
  for (size_t k = 0; k <= u % 4; k++)
    out +=
        Number(u) + " ||| " + Words(u + k) + " ||| LM= -1." + Number(k) + " TM= -2 -3 ||| -4.5\n";
  return out;
}

std::string Kaldi(size_t u) {
  std::string out;
  for (size_t k = 1 + u % 3; k > 0; k--)
    out += "a-" + Number(u) + "-" + Number(k) + " " + Words(u + k) + "\n";
  return out;
}

std::string Tsv(size_t u) {
  std::string out = u % 6 == 0 ? "\n" : "";
  for (size_t k = 0; k <= u % 3; k++)
    out += "u" + Number(u) + "\t" + Words(u + k) + "\t-" + Number(k) + "\tref " + Number(u) + "\n";
  return out;
}

std::string TsvWithoutIds(size_t u) {
  return Words(u) + "\t-" + Number(u) + "\n";
}

std::string NemoTsv(size_t u) {
  return Words(u) + "\t-1\n" + Words(u + 1) + "\t-2\n\t-3\n";
}

std::string Fairseq(size_t u) {
  std::string n = Number(u), out = u % 3 == 0 ? "2026-01-01 | INFO | a log line\n" : "";
  out += "S-" + n + "\tsource\nT-" + n + "\tref\n";
  for (size_t k = 0; k <= u % 2; k++)
    out += "H-" + n + "\t-0.5\t" + Words(u + k) + "\nD-" + n + "\t-0.5\tplain\nP-" + n +
           "\t-0.1 -0.2\n";
  return out + (u % 5 == 0 ? "another\n" : "");
}

// ---- members of documents ----

std::string MlmOf(size_t u, const char *space) {
  return "\"u \\\" " + Number(u) + "\":" + space +
         "{\"hyp_2\":{\"score\":null,\"text\":\"}],{\"}," + space +
         "\"ref\":\"r\",\"hyp_1\":{\"score\":-1,\"text\":\"" + Words(u) + "\"}}";
}

std::string Mlm(size_t u) {
  return MlmOf(u, u % 3 == 0 ? "\n\n  " : " ");
}

std::string MlmInOneLine(size_t u) {
  return MlmOf(u, "");
}

std::string Espnet1(size_t u) {
  return std::string(u % 2 == 0 ? "\n" : "") + "\"u" + Number(u) +
         "\":{\"output\":[{\"name\":\"target1[1]\",\"text\":\"r\",\"rec_text\":\"" + Words(u) +
         " <eos>\",\"score\":-3.5}],\"x\":{\"y\":[" + Number(u) + "]}}";
}

std::string Hyporadise(size_t u) {
  std::string id = u % 2 == 0 ? "" : "\"id\":\"u" + Number(u) + "\",";
  return "{" + id + "\"input\":[\"" + Words(u) +
         "\",\"x\"],\"am_score\":[-1,-2],\"output\":\"r\"}" + (u % 5 == 0 ? " \n" : "");
}

struct Kind {
  const char *name;
  std::string (*lines)(size_t utt);
  sp_archive_options options;
  const char *header, *between = "", *footer = "";
};

sp_archive_options Options(sp_archive_format format, const char *tsv = nullptr, size_t beam = 0) {
  sp_archive_options options = {};
  options.format = format;
  options.tsv = tsv;
  options.beam_size = beam;
  return options;
}

const Kind kKinds[] = {
    {"jsonl", Jsonl, Options(SP_FORMAT_AUTO), ""},
    {"nemo", Nemo, Options(SP_FORMAT_AUTO), ""},
    {"text", Text, Options(SP_FORMAT_AUTO), ""},
    {"trn", Trn, Options(SP_FORMAT_TRN), ""},
    {"kaldi_text", KaldiText, Options(SP_FORMAT_KALDI_TEXT), ""},
    {"moses", Moses, Options(SP_FORMAT_AUTO), ""},
    {"kaldi", Kaldi, Options(SP_FORMAT_KALDI), ""},
    {"tsv", Tsv, Options(SP_FORMAT_TSV), ""},
    {"tsv_header", Tsv, Options(SP_FORMAT_TSV, "id=1,text=2,lm=3,header"), "id\ttext\tlm\n"},
    {"tsv_numbers", TsvWithoutIds, Options(SP_FORMAT_TSV, "text=1,score=2"), ""},
    {"tsv_numbers_header", TsvWithoutIds, Options(SP_FORMAT_TSV, "text=1,header"), "text\tx\n"},
    {"nemo_tsv", NemoTsv, Options(SP_FORMAT_NEMO_TSV, nullptr, 3), ""},
    {"fairseq", Fairseq, Options(SP_FORMAT_FAIRSEQ), ""},
};

const Kind kDocuments[] = {
    {"mlm", Mlm, Options(SP_FORMAT_AUTO), "{\n", ",\n", "}\n"},
    {"mlm_in_one_line", MlmInOneLine, Options(SP_FORMAT_MLM), "{", ",", "}"},
    {"espnet1", Espnet1, Options(SP_FORMAT_ESPNET1), "{ \"utts\" :{", " , ", "\n}\n}"},
    {"hyporadise", Hyporadise, Options(SP_FORMAT_HYPORADISE), "[", ",", "]\n"},
};

struct Packing {
  const char *name;
  std::function<std::string(const std::string &)> pack;
};

const Packing kPackings[] = {
    {"plain", [](const std::string &raw) { return raw; }},
    {"bom", [](const std::string &raw) { return "\xef\xbb\xbf" + raw; }},
    {"gz", Gzip},
    {"gz-members", [](const std::string &raw) { return InPieces(raw, 5000, Gzip); }},
    {"zst", Zstd},
    {"zst-frames", [](const std::string &raw) { return InPieces(raw, 40000, Zstd); }},
    {"zst-small-frames", [](const std::string &raw) { return InPieces(raw, 700, Zstd); }},
};

// kUtts utterances in `n` files of unlike sizes.
std::vector<std::string> WriteFiles(const Scratch &scratch, const Kind &kind,
                                    const Packing &packing, size_t n) {
  std::vector<std::string> paths;
  size_t u = 0;
  for (size_t file = 0; file < n; file++) {
    std::string raw = kind.header;
    for (size_t first = u, end = kUtts * (file + 1) * (file + 1) / (n * n); u < end; u++)
      raw += (u > first ? kind.between : "") + kind.lines(u);
    raw += kind.footer;
    paths.push_back(scratch / (packing.name + std::to_string(file)));
    WriteFile(paths.back(), packing.pack(raw));
  }
  return paths;
}

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
  Archive first = Open(paths, options), second = Open(paths, options);
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

TEST_P(Places, GoForward) {
  for (const Packing &packing : kPackings) {
    Scratch scratch;
    Archive archive = Open(WriteFiles(scratch, GetParam(), packing, 2), GetParam().options);
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

// A group of lists for every count, with scores and a list more for every second utterance.
size_t WriteGroups(const std::string &dir, const std::vector<size_t> &counts, bool refs,
                   std::string (*pack)(const std::string &)) {
  std::string ref = "never\tx\n";
  size_t u = 0;
  for (size_t group = 0; group < counts.size(); group++) {
    std::string text[2], score[2], path = dir + "/output." + Number(group + 1);
    for (size_t end = u + counts[group]; u < end; u++) {
      std::string id = "u" + Number(u);
      text[0] += id + " " + Words(u) + "\n";
      text[1] += u % 2 == 0 ? id + " second " + Words(u) + "\n" : "";
      score[0] += id + " tensor(-" + Number(u) + ".5)\n";
      score[1] += u % 2 == 0 ? id + " -7\n" : "";
      ref += "u" + Number(u) + " ref " + Number(u) + "\n" + (u % 3 == 0 ? "between x\n" : "");
    }
    for (size_t k = 0; k < 2; k++) {
      std::string list = path + "/" + Number(k + 1) + "best_recog";
      std::filesystem::create_directories(list);
      WriteFile(list + "/text", pack(text[k]));
      WriteFile(list + "/score", pack(score[k]));
    }
  }
  if (refs)
    WriteFile(dir + "/ref.text", pack(ref));
  return u;
}

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
    Archive archive = Open({path}, Options(SP_FORMAT_JSONL));
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
  sp_test::Copied copied = sp_test::CopyArchive(scratch / "in", Options(SP_FORMAT_JSONL),
                                                scratch / "out.jsonl.zst", output);
  ASSERT_EQ(copied.status, SP_OK) << copied.message;
  Archive archive = Open({scratch / "out.jsonl.zst"}, Options(SP_FORMAT_JSONL));
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
      Archive archive = Open(paths, options);
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
    std::string bytes = sp_test::ReadFile(path);
    std::fill_n(bytes.begin(), whole[200].place.stored, 'x');
    WriteFile(path, bytes);
    Archive archive = Open({path}, options);
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
  Archive archive = Open({scratch / "a"}, options);
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
      Archive archive = Open(paths, c.kind->options);
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
  Archive archive = Open({scratch_ / "a"}, Options(SP_FORMAT_JSONL));
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
      Archive archive = Open({scratch_ / "a"}, Options(SP_FORMAT_JSONL));
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
    Archive archive;
    size_t given = 0;
    for (uint64_t at = 0; at < raw.size(); at++) {
      archive = Open({scratch / "a"}, options);
      std::string read = SeekAndRead(archive.get(), {0, at, 0, 0, 0});
      if (read.rfind("FAILED", 0) == 0)
        EXPECT_EQ(read.rfind("FAILED " + (scratch / "a"), 0), 0u) << read;
      else
        given++;
    }
    EXPECT_GE(given, 2u);
    EXPECT_LE(given, raw.size() / 4) << kind.name;
    for (uint64_t far : {uint64_t{raw.size()}, uint64_t{INT64_MAX}, UINT64_MAX}) {
      archive = Open({scratch / "a"}, options);
      EXPECT_EQ(SeekAndRead(archive.get(), {0, far, 0, 0, 0}),
                "FAILED " + (scratch / "a") +
                    ": ends before the place that is wanted: not the file it was");
    }
  }
}

TEST(ArchiveSeek, HostilePlacesInDirectories) {
  Scratch scratch;
  WriteGroups(scratch / "a", {4, 3}, true, Zstd);
  auto read = [&](const sp_place &place) {
    Archive archive = Open({scratch / "a"}, Options(SP_FORMAT_AUTO));
    return SeekAndRead(archive.get(), place);
  };
  std::string list = scratch / "a/output.2/1best_recog/text";
  for (uint64_t far : {uint64_t{4}, uint64_t{1} << 40, UINT64_MAX}) {
    EXPECT_EQ(read({0, far, 0, 0, 0}),
              "FAILED group " + Number(far + 1) + " of the directory is wanted, which has 2");
    EXPECT_EQ(
        read({0, 1, far, 0, 0}),
        "FAILED " + list + ": has no utterance at the place that is wanted: not the file it was");
  }
  std::string late = read({0, 1, 0, UINT64_MAX, 0});
  EXPECT_NE(late.find("no reference for utterance u4"), std::string::npos) << late;
}

TEST(ArchiveSeek, DirectoriesHaveNoDigestsOrStampsAfterwards) {
  Scratch scratch;
  WriteGroups(scratch / "a", {4, 3}, true, Zstd);
  Archive archive = Open({scratch / "a"}, Options(SP_FORMAT_AUTO));
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
  Archive archive = Open({scratch / "a"}, options);
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
  Archive archive = Open({"-"}, Options(SP_FORMAT_TEXT));
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
  Archive archive = Open({scratch / "a"}, Options(SP_FORMAT_TEXT));
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
  Archive archive = Open({scratch / "a", scratch / "b"}, Options(SP_FORMAT_TEXT));
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
  Archive archive(opened);
  sp_place second = {};
  std::string first = Next(opened), two = Next(opened);
  ASSERT_TRUE(sp_archive_tell(opened, &second));
  EXPECT_EQ(SeekAndRead(opened, second), two);
  EXPECT_EQ(ReadWhole(opened).back().utt, "END");
  EXPECT_EQ(sp_archive_seek(opened, &second, &err), SP_EUSAGE);
  EXPECT_STREQ(err.message, "mem was read to its end and is closed");
}

}  // namespace
