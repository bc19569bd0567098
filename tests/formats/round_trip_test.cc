// Random utterances go to a format and back; what both hold is the same, the rest was counted.
#include <gtest/gtest.h>

#include <random>

#include "archive_copy.h"
#include "scratch.h"

namespace {

using sp_test::Copied;
using sp_test::CopyArchive;
using sp_test::ReadFile;
using sp_test::Scratch;
using sp_test::WriteFile;

// What random records may have, so that a format loses nothing of them.
struct Shape {
  const char *format;
  bool many, empty_lists, refs, scores, every_score, components, ranks, fields, utt_fields,
      any_text;
  bool number_ids, equal_lists;
};

const Shape kShapes[] = {
    {"jsonl", true, true, true, true, false, true, true, true, true, true, false, false},
    {"mlm", true, true, true, true, false, true, true, true, true, true, false, false},
    {"espnet1", true, false, true, true, false, true, true, true, true, true, false, false},
    {"nemo", true, true, true, true, false, false, false, false, true, true, false, false},
    {"hyporadise", true, true, true, true, false, true, false, false, true, true, false, false},
    {"moses", true, false, false, true, true, true, false, false, false, false, true, false},
    {"fairseq", true, false, true, true, true, false, false, false, false, false, true, false},
    {"tsv", true, false, true, true, false, false, false, false, false, false, false, false},
    {"nemo-tsv", true, false, false, true, true, false, false, false, false, false, true, true},
    {"kaldi", true, false, false, false, false, false, false, false, false, false, false, false},
    {"espnet2", true, false, false, true, true, false, false, false, false, false, false, false},
    {"trn", false, false, false, false, false, false, false, false, false, false, false, false},
    {"kaldi-text", false, false, false, false, false, false, false, false, false, false, false,
     false},
    {"text", false, false, false, false, false, false, false, false, false, false, true, false},
};

class Records {
 public:
  Records(const Shape &shape, unsigned seed) : shape_(shape), random_(seed) {}

  // Own lines, spelt as our writer spells them.
  std::string Lines() {
    std::string lines;
    int n = 1 + Below(20);
    for (int u = 0; u < n; u++)
      lines += Line(u);
    return lines;
  }

 private:
  int Below(int n) {
    return static_cast<int>(random_() % static_cast<unsigned>(n));
  }

  std::string Text() {
    static const char *const plain[] = {"a", "b", "'", "é", "日", "😀", "x y", "9", ".", "|", " "};
    static const char *const wild[] = {"\\n", "\\t", "\\u0000", "\\\"", "\\\\", "(", "|||", "{"};
    std::string text;
    for (int i = Below(12); i > 0; i--) {
      text += shape_.any_text && Below(4) == 0 ? wild[Below(8)] : plain[Below(11)];
    }
    bool tripled = !shape_.any_text && text.find("|||") != std::string::npos;
    return tripled ? "a" : text;
  }

  std::string Number() {
    static const char *const numbers[] = {"-1", "-8.7506", "0", "1e-07", "-0.1", "3e+22"};
    return numbers[Below(6)];
  }

  std::string Hyp() {
    std::string hyp = "{\"text\":\"" + Text() + "\"";
    if (shape_.scores && (shape_.every_score || Below(4) > 0))
      hyp += ",\"score\":" + Number();
    if (shape_.ranks && Below(2))
      hyp += ",\"i\":" + std::to_string(Below(9));
    if (shape_.ranks && Below(2))
      hyp += ",\"total\":" + Number();
    if (shape_.components && Below(2))
      hyp += ",\"ctc\":" + Number() + ",\"LM:0\":" + Number();
    if (shape_.components && Below(2))
      hyp += ",\"LM:1\":" + Number();
    if (shape_.fields && Below(2))
      hyp += ",\"flag\":[null,{\"a\":\"" + Text() + "\"}]";
    return hyp + "}";
  }

  std::string Line(int u) {
    std::string id = std::to_string(u + 1);
    std::string line = "{\"id\":\"" + (shape_.number_ids ? id : "utt-" + id) + "\"";
    int n = shape_.many ? Below(6) + (shape_.empty_lists ? 0 : 1) : 1;
    if (shape_.refs && Below(3))
      line += ",\"ref\":\"" + Text() + "\"";
    if (shape_.utt_fields && Below(2))
      line += ",\"meta\":{\"k\":[1,2.5,true]}";
    line += ",\"hyps\":[";
    for (int h = 0; h < (shape_.equal_lists ? 3 : n); h++)
      line += (h ? "," : "") + Hyp();
    return line + "]}\n";
  }

  Shape shape_;
  std::mt19937 random_;
};

sp_archive_options Input(const std::string &format) {
  sp_archive_options options = {};
  EXPECT_EQ(sp_archive_format_parse(format.c_str(), &options.format, nullptr), SP_OK);
  options.beam_size = format == "nemo-tsv" ? 3 : 0;
  return options;
}

sp_archive_writer_options Output(const std::string &format) {
  sp_archive_writer_options options = {};
  EXPECT_EQ(sp_archive_output_parse(format.c_str(), &options.format, nullptr), SP_OK);
  return options;
}

// The same components in another order are the same.
std::string Canonical(const std::string &lines, const std::string &format) {
  if (format != "hyporadise")
    return lines;
  std::string out = lines;
  for (size_t at; (at = out.find(",\"LM:1\":")) != std::string::npos;) {
    size_t end = out.find_first_of(",}", at + 1);
    out.erase(at, end - at);
  }
  return out;
}

TEST(RoundTrip, LosesNothingThatBothHold) {
  for (const Shape &shape : kShapes) {
    for (unsigned seed = 0; seed < 40; seed++) {
      Scratch scratch;
      std::string name = shape.format;
      std::string lines = Records(shape, seed).Lines();
      WriteFile(scratch / "in", lines);
      sp_archive_writer_options output = Output(name);
      output.strict = true;
      Copied there = CopyArchive(scratch / "in", Input("jsonl"), scratch / "x", output);
      ASSERT_EQ(there.status, SP_OK) << name << " seed " << seed << ": " << there.message;
      Copied back = CopyArchive(scratch / "x", Input(name), scratch / "out", Output("jsonl"));
      ASSERT_EQ(back.status, SP_OK) << name << " seed " << seed << ": " << back.message;
      ASSERT_EQ(Canonical(ReadFile(scratch / "out"), name), Canonical(lines, name))
          << name << " seed " << seed;
    }
  }
}

// One line to a format: the status, and what is lost.
Copied Put(const Scratch &scratch, const std::string &line,
           const sp_archive_writer_options &output) {
  WriteFile(scratch / "in", line);
  return CopyArchive(scratch / "in", Input("jsonl"), scratch / "x", output);
}

TEST(Writer, RefusesWhatWouldBreakTheFormat) {
  const std::pair<const char *, const char *> cases[] = {
      {"tsv", R"({"id":"a","hyps":[{"text":"x\ty"}]})"},
      {"tsv", R"({"id":"a","hyps":[{"text":"x\ny"}]})"},
      {"nemo-tsv", R"({"id":"1","hyps":[{"text":"x\ty","score":1}]})"},
      {"nemo-tsv", R"({"id":"1","hyps":[{"text":"x"}]})"},
      {"moses", R"({"id":"1","hyps":[{"text":"x ||| y","score":1}]})"},
      {"moses", R"({"id":"1","hyps":[{"text":"x","score":1,"a b":2}]})"},
      {"fairseq", R"({"id":"1","hyps":[{"text":"x\r","score":1}]})"},
      {"trn", R"-({"id":"a","hyps":[{"text":"x (y)"}]})-"},
      {"trn", R"({"id":"a b","hyps":[{"text":"x"}]})"},
      {"trn", R"({"id":"a","hyps":[{"text":"{ x"}]})"},
      {"trn", R"({"id":"a","hyps":[{"text":";; x"}]})"},
      {"kaldi", R"({"id":"a b","hyps":[{"text":"x"}]})"},
      {"kaldi-text", R"({"id":"a b","hyps":[{"text":"x"}]})"},
      {"text", R"({"id":"a","hyps":[{"text":"x\u0000"}]})"},
      {"text", "{\"id\":\"1\",\"hyps\":[{\"text\":\"\xef\xbb\xbfx\"}]}"},
      {"espnet1", R"({"id":"a","hyps":[{"text":"\u2581x"}]})"},
      {"espnet2", R"({"id":"a b","hyps":[{"text":"x"}]})"},
  };
  for (const auto &c : cases) {
    Scratch scratch;
    Copied put = Put(scratch, c.second, Output(c.first));
    EXPECT_EQ(put.status, SP_EINPUT) << c.first << " " << c.second;
    EXPECT_EQ(put.message.rfind("utterance ", 0), 0u) << put.message;
  }
}

TEST(Writer, CountsWhatItDrops) {
  const char *line =
      R"({"id":"a","ref":"r","wav":1,"hyps":[{"text":"x","score":-1,"ctc":2},{"text":"y"}]})";
  Scratch scratch;
  Copied put = Put(scratch, line, Output("trn"));
  ASSERT_EQ(put.status, SP_OK) << put.message;
  std::map<std::string, uint64_t> expected = {{"references", 1},
                                              {"fields wav", 1},
                                              {"hypotheses beyond the first", 1},
                                              {"first-pass scores", 1},
                                              {"components ctc", 1}};
  EXPECT_EQ(put.losses, expected);
  sp_archive_writer_options strict = Output("trn");
  strict.strict = true;
  put = Put(scratch, line, strict);
  EXPECT_EQ(put.status, SP_EINPUT);
  EXPECT_NE(put.message.find("references"), std::string::npos) << put.message;
}

TEST(Writer, CompressesByName) {
  for (std::string name : {"x.zst", "x.gz"}) {
    Scratch scratch;
    std::string line = "{\"id\":\"a\",\"hyps\":[{\"text\":\"x\"}]}\n";
    WriteFile(scratch / "in", line);
    ASSERT_EQ(CopyArchive(scratch / "in", Input("jsonl"), scratch / name, Output("jsonl")).status,
              SP_OK);
    EXPECT_NE(ReadFile(scratch / name), line);
    ASSERT_EQ(CopyArchive(scratch / name, Input("jsonl"), scratch / "out", Output("jsonl")).status,
              SP_OK);
    EXPECT_EQ(ReadFile(scratch / "out"), line);
  }
}

TEST(Kaldi, TablesGoThereAndBackAsCosts) {
  Scratch scratch;
  std::string line =
      "{\"id\":\"a-b\",\"hyps\":[{\"text\":\"x\",\"score\":-1.5,\"lm\":2},{\"text\":\"\",\"score\":"
      "0,\"lm\":-3}]}\n";
  std::string tables = "score=" + (scratch / "s") + ",lm=" + (scratch / "l");
  sp_archive_writer_options output = Output("kaldi");
  output.tables = tables.c_str();
  output.costs = output.strict = true;
  ASSERT_EQ(Put(scratch, line, output).status, SP_OK);
  EXPECT_EQ(ReadFile(scratch / "s"), "a-b-1 1.5\na-b-2 0\n");
  sp_archive_options input = Input("kaldi");
  input.tables = tables.c_str();
  input.costs = true;
  ASSERT_EQ(CopyArchive(scratch / "x", input, scratch / "out", Output("jsonl")).status, SP_OK);
  EXPECT_EQ(ReadFile(scratch / "out"), line);
  WriteFile(scratch / "l", "a-b-1 0.5 -2.5 \na-b-3 1\n");  // a value a word; then another id
  Copied copied = CopyArchive(scratch / "x", input, scratch / "out", Output("jsonl"));
  EXPECT_EQ(copied.status, SP_EINPUT);
  EXPECT_EQ(copied.message.rfind(scratch / "l:2: ", 0), 0u) << copied.message;
}

TEST(HfRegression, HasFourColumns) {
  Scratch scratch;
  sp_archive_writer_options output = Output("hf-regression");
  output.label = "pll";
  Copied put = Put(scratch,
                   R"({"id":"a","hyps":[{"i":0,"pll":-31.5,"n":27,"text":"x"},)"
                   R"({"i":1,"pll":null,"n":0,"flag":"empty","text":""}]})",
                   output);
  ASSERT_EQ(put.status, SP_OK) << put.message;
  EXPECT_EQ(ReadFile(scratch / "x"),
            "{\"id\":\"a\",\"text\":\"x\",\"label\":-31.5,\"n_tokens\":27}\n");
  EXPECT_EQ(put.losses["hypotheses without a label"], 1u);
}

}  // namespace
