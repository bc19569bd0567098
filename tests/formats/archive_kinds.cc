#include "archive_kinds.h"

#include <filesystem>
#include <random>

#include "packed.h"

namespace sp_test {

std::string Number(size_t n) {
  return std::to_string(n);
}

std::string Words(size_t u) {
  std::mt19937 random(static_cast<uint32_t>(u));
  std::string out = "word" + std::to_string(u);
  for (size_t n = 20 + random() % 20; n > 0; n--)
    out += " " + std::to_string(random());
  return out;
}

std::string Jsonl(size_t u) {
  return "{\"id\":\"u" + Number(u) + "\",\"ref\":\"r\",\"wav\":" + Number(u) +
         ",\"hyps\":[{\"text\":\"" + Words(u) + "\",\"score\":-" + Number(u) +
         ".5,\"ctc\":2},{\"text\":\"\"}]}\r\n" + (u % 7 == 0 ? " \t\n\n" : "");
}

namespace {

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

}  // namespace

sp_archive_options Options(sp_archive_format format, const char *tsv, size_t beam) {
  sp_archive_options options = {};
  options.format = format;
  options.tsv = tsv;
  options.beam_size = beam;
  return options;
}

const std::vector<Kind> kKinds = {
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

const std::vector<Kind> kDocuments = {
    {"mlm", Mlm, Options(SP_FORMAT_AUTO), "{\n", ",\n", "}\n"},
    {"mlm_in_one_line", MlmInOneLine, Options(SP_FORMAT_MLM), "{", ",", "}"},
    {"espnet1", Espnet1, Options(SP_FORMAT_ESPNET1), "{ \"utts\" :{", " , ", "\n}\n}"},
    {"hyporadise", Hyporadise, Options(SP_FORMAT_HYPORADISE), "[", ",", "]\n"},
};

const std::vector<Packing> kPackings = {
    {"plain", [](const std::string &raw) { return raw; }},
    {"bom", [](const std::string &raw) { return "\xef\xbb\xbf" + raw; }},
    {"gz", Gzip},
    {"gz-members", [](const std::string &raw) { return InPieces(raw, 5000, Gzip); }},
    {"zst", Zstd},
    {"zst-frames", [](const std::string &raw) { return InPieces(raw, 40000, Zstd); }},
    {"zst-small-frames", [](const std::string &raw) { return InPieces(raw, 700, Zstd); }},
};

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

}  // namespace sp_test
