// `masks`: pictures read back and counted, JSON against the graph, cones against a search, and what users
// get wrong.
#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <vector>

#include "latency.h"
#include "mask_graph.h"
#include "pictures.h"
#include "program.h"

namespace sp_test {
namespace {

const std::map<std::string, Pixel> kColours = {{"absent", {0xf7, 0xf8, 0xf9}},
                                               {"past", {0xa6, 0xce, 0xe8}},
                                               {"ahead", {0xd5, 0x5e, 0x00}},
                                               {"self", {0x00, 0x5b, 0x94}}};

// The bits of one layer as --json says them.
using Rows = std::vector<std::vector<bool>>;

std::vector<bool> FromRanges(json_t *ranges, size_t len) {
  std::vector<bool> row(len);
  for (size_t r = 0; r < json_array_size(ranges); r++) {
    json_t *range = json_array_get(ranges, r);
    size_t from = json_integer_value(json_array_get(range, 0));
    size_t to = json_integer_value(json_array_get(range, 1));
    EXPECT_LE(from, to);
    EXPECT_LT(to, len);
    EXPECT_TRUE(r == 0 || !row.at(from - 1)) << "runs that touch are one";
    for (size_t j = from; j <= to; j++)
      row.at(j) = true;
  }
  return row;
}

std::vector<Rows> LayersOf(json_t *utterance) {
  std::vector<Rows> layers;
  size_t len = json_array_size(json_object_get(utterance, "tokens"));
  json_t *masks = json_object_get(utterance, "masks");
  for (size_t l = 0; l < json_array_size(masks); l++) {
    json_t *rows = json_object_get(json_array_get(masks, l), "rows");
    EXPECT_EQ(json_array_size(rows), len);
    layers.emplace_back();
    for (size_t i = 0; i < json_array_size(rows); i++)
      layers.back().push_back(FromRanges(json_array_get(rows, i), len));
  }
  return layers;
}

// What output `position` depends on, level by level from the inputs.
std::vector<std::set<size_t>> Reached(const std::vector<Rows> &layers, size_t position) {
  std::vector<std::set<size_t>> levels(layers.size() + 1);
  std::function<void(size_t, size_t)> visit = [&](size_t level, size_t i) {
    if (!levels[level].insert(i).second || level == 0)
      return;
    for (size_t j = 0; j < layers[level - 1].size(); j++)
      if (j == i || layers[level - 1][i][j])
        visit(level - 1, j);
  };
  visit(layers.size(), position);
  return levels;
}

class MasksTest : public Workplace {
 protected:
  std::string Masks(const std::string &rest, const std::string &model = "model") const {
    return "masks --model " + Path(model) + " " + rest;
  }
  Json Run(const std::string &rest, const std::string &model = "model") const {
    Said said = Program(Masks("--json " + rest, model));
    EXPECT_EQ(said.code, 0) << said.err;
    return ParseJson(said.out);
  }
  void MakeDynamic(size_t percent) {
    sp_random_model model = sp_random_model_default();
    sp_error err{};
    model.layers = 3;
    model.scheduler = "2";
    model.scheduler_percent = percent;
    model.config_extra = "\"lookahead\":{\"policy\":\"dynamic\",\"max\":2}";
    ASSERT_EQ(sp_random_model_write(&model, Path("dynamic").c_str(), &err), SP_OK) << err.message;
  }
  std::vector<Element> Svg(const std::string &name) const {
    return ParseXml(ReadFile(Path(name)));
  }
  static void Expect(const Said &said, int code, const std::string &part) {
    EXPECT_EQ(said.code, code) << said.err;
    EXPECT_EQ(said.out, "");
    EXPECT_NE(said.err.find(part), std::string::npos) << said.err;
  }
  bool Exists(const std::string &name) const {
    return std::filesystem::exists(Path(name));
  }
};

json_t *First(const Json &json) {
  return json_array_get(Member(json, "utterances"), 0);
}

// Cells by kind: runs of squares over the size of one.
std::map<std::string, int> CountCells(const std::vector<Element> &svg) {
  std::map<std::string, int> cells;
  int side = Select(svg, "rect", "self").at(0).Number("width");
  for (const auto &colour : kColours)
    for (const Element &rect : Select(svg, "rect", colour.first)) {
      EXPECT_EQ(rect.Number("height"), side);
      EXPECT_EQ(rect.Number("width") % side, 0);
      cells[colour.first] += rect.Number("width") / side;
    }
  return cells;
}

TEST_F(MasksTest, PicturesHaveTheCellsOfTheMask) {
  const std::map<std::string, std::function<int(int, int)>> ahead = {
      {"causal", [](int, int) { return 0; }},
      {"full", [](int i, int n) { return n - 1 - i; }},
      {"layerwise:2", [](int i, int n) { return std::min(2, n - 1 - i); }},
      {"chunked:3", [](int i, int n) { return std::min(2 - i % 3, n - 1 - i); }}};
  for (const auto &mask : ahead) {
    Json json = Run("--text 'abcdefgh ij' --mask " + mask.first + " --out " + Path("p"));
    int n = static_cast<int>(json_array_size(json_object_get(First(json), "tokens"))), see = 0;
    ASSERT_EQ(n, 12);
    for (int i = 0; i < n; i++)
      see += mask.second(i, n);
    std::map<std::string, int> cells = CountCells(Svg("p/text.masks.svg"));
    EXPECT_EQ(cells["self"], 2 * n) << mask.first;
    EXPECT_EQ(cells["past"], n * (n - 1)) << mask.first;
    EXPECT_EQ(cells["ahead"], 2 * see) << mask.first;
    EXPECT_EQ(cells["absent"], 2 * n * n - 2 * n - n * (n - 1) - 2 * see) << mask.first;
  }
}

TEST_F(MasksTest, ThePngHasTheColoursOfTheSvg) {
  Run("--text 'abcdefgh ij' --mask layerwise:2 --out " + Path("p"));
  std::vector<Element> svg = Svg("p/text.masks.svg");
  Picture png = DecodePng(ReadFile(Path("p/text.masks.png")));
  EXPECT_EQ(static_cast<int>(png.width), svg.at(0).Number("width"));
  EXPECT_EQ(static_cast<int>(png.height), svg.at(0).Number("height"));
  int side = Select(svg, "rect", "self").at(0).Number("width");
  for (const auto &colour : kColours)
    for (const Element &rect : Select(svg, "rect", colour.first))
      for (int at = side / 2; at < rect.Number("width"); at += side)
        EXPECT_EQ(png.At(rect.Number("x") + at, rect.Number("y") + side / 2), colour.second)
            << colour.first;
  Run("--text 'abcdefgh ij' --mask layerwise:2 --cone 5 --out " + Path("p"));
  svg = Svg("p/text.cone.svg");
  png = DecodePng(ReadFile(Path("p/text.cone.png")));
  EXPECT_EQ(static_cast<int>(png.width), svg.at(0).Number("width"));
  std::vector<Element> others = Select(svg, "line", "node-other");
  ASSERT_FALSE(others.empty());
  for (const Element &node : others)
    EXPECT_EQ(png.At(node.Number("x1"), node.Number("y1")), (Pixel{0xd0, 0xd5, 0xdb}));
}

TEST_F(MasksTest, PicturesSayWhatTheyShow) {
  Said said = Program(
      Masks("--id utt-3 --hyp 1 --mask layerwise:1 --out " + Path("p") + " " + Path("dev.jsonl")));
  ASSERT_EQ(said.code, 0) << said.err;
  for (const char *what : {"masks", "cone"}) {
    std::vector<std::string> texts;
    for (const Element &text :
         Select(Svg(std::string("p/utt-3-hyp1.") + what + ".svg"), "text", ""))
      texts.push_back(text.text);
    EXPECT_EQ(texts.at(0).rfind("utt-3, hypothesis 1: ", 0), 0u) << texts.at(0);
    EXPECT_EQ(texts.at(1), "model model, mask layerwise:1 (not the model's own)");
    for (const char *label : {"[CLS]", "[SEP]", "layer 0", "layer 1"})
      EXPECT_TRUE(std::count(texts.begin(), texts.end(), label)) << label;
  }
  EXPECT_NE(said.out.find(Path("p/utt-3-hyp1.masks.svg") + "\n"), std::string::npos);
  EXPECT_NE(said.out.find(Path("p/lookahead.png") + "\n"), std::string::npos);
  EXPECT_NE(said.out.find("utt-3"), std::string::npos);
}

TEST_F(MasksTest, JsonIsTheGraph) {
  for (const char *mask : {"full", "causal", "layerwise:3", "layerwise:0,2", "chunked:4"}) {
    Json json = Run(std::string("--text 'abc defgh ij' --mask ") + mask);
    EXPECT_EQ(String(json, "mask"), mask);
    EXPECT_EQ(Integer(json, "layers"), 2);
    std::vector<Rows> layers = LayersOf(First(json));
    size_t len = layers.at(0).size();
    sp_lookahead rule{};
    sp_mask_graph graph{};
    sp_latency latency{};
    sp_error err{};
    ASSERT_EQ(sp_lookahead_parse(mask, &rule, &err), SP_OK);
    ASSERT_EQ(sp_mask_graph_create(&rule, 2, len, nullptr, &graph, &err), SP_OK);
    ASSERT_EQ(sp_latency_create(&graph, &latency, &err), SP_OK);
    for (size_t l = 0; l < 2; l++)
      for (size_t i = 0; i < len; i++)
        for (size_t j = 0; j < len; j++)
          ASSERT_EQ(layers[l][i][j], sp_mask_graph_sees(&graph, l, i, j)) << mask;
    for (size_t i = 0; i < len; i++) {
      EXPECT_EQ(json_integer_value(json_array_get(json_object_get(First(json), "latency"), i)),
                json_int_t(sp_latency_of(&latency, 2, i)));
      EXPECT_EQ(json_is_true(json_array_get(json_object_get(First(json), "clipped"), i)),
                sp_latency_is_clipped(&latency, 2, i));
    }
    sp_latency_release(&latency);
    sp_mask_graph_release(&graph);
  }
}

TEST_F(MasksTest, DynamicMasksAreTheSchedulers) {
  MakeDynamic(100);
  Json own = Run("--text 'abc defgh ij'", "dynamic");
  Json fixed = Run("--text 'abc defgh ij' --mask layerwise:2", "dynamic");
  EXPECT_EQ(String(own, "mask"), "dynamic:2");
  EXPECT_TRUE(json_is_false(Member(own, "mask_forced")));
  EXPECT_TRUE(json_is_true(Member(fixed, "mask_forced")));
  EXPECT_EQ(LayersOf(First(own)), LayersOf(First(fixed)));
  MakeDynamic(0);
  EXPECT_EQ(LayersOf(First(Run("--text 'abc defgh ij'", "dynamic"))),
            LayersOf(First(Run("--text 'abc defgh ij' --mask causal", "dynamic"))));
}

TEST_F(MasksTest, ConesAreWhatASearchReaches) {
  MakeDynamic(40);
  size_t len = 12;
  for (size_t position = 0; position < len; position++) {
    Json json = Run("--text 'abcdefgh ij' --cone " + std::to_string(position), "dynamic");
    std::vector<Rows> layers = LayersOf(First(json));
    ASSERT_EQ(layers.at(0).size(), len);
    json_t *cone = json_object_get(First(json), "cone");
    EXPECT_EQ(json_integer_value(json_object_get(cone, "output")), json_int_t(position));
    std::vector<std::set<size_t>> reached = Reached(layers, position);
    for (size_t l = 0; l <= 3; l++) {
      std::vector<bool> level = FromRanges(json_array_get(json_object_get(cone, "levels"), l), len);
      for (size_t j = 0; j < len; j++)
        EXPECT_EQ(level[j], reached[l].count(j) > 0) << l << " " << j;
    }
    if (json_is_false(json_array_get(json_object_get(First(json), "clipped"), position))) {
      EXPECT_EQ(json_integer_value(json_object_get(cone, "latency")),
                json_int_t(*reached[0].rbegin() - position));
    }
  }
}

TEST_F(MasksTest, AConeHasItsEdgesAndAPath) {
  Run("--text 'abcdefgh ij' --mask layerwise:1 --cone 5 --out " + Path("p"));
  std::vector<Element> svg = Svg("p/text.cone.svg");
  // levels: output 5; 0 to 6; 0 to 7: edges from row i of a layer to 0 .. i + 1
  EXPECT_EQ(Select(svg, "line", "node").size(), 1u + 7 + 8);
  EXPECT_EQ(Select(svg, "line", "node-other").size(), 3 * 12u - 16);
  EXPECT_EQ(Select(svg, "line", "edge-ahead").size(), 1u + 7);
  EXPECT_EQ(Select(svg, "line", "edge-past").size(), 6u + 1 + 2 + 3 + 4 + 5 + 6 + 7);
  EXPECT_EQ(Select(svg, "line", "path").size(), 2u);
  EXPECT_EQ(Select(svg, "line", "latency").size(), 1u);
  bool said = false;
  for (const Element &text : Select(svg, "text", ""))
    said |= text.text == "output 5 '##e': latency 2, it waits for input 7 '##g'";
  EXPECT_TRUE(said);
}

// Waits of layerwise:3 over two layers at 10 tokens: 6 as long as no cut row is below, less at the end.
TEST_F(MasksTest, TheRowAndTheConeAgreeWithScore) {
  Said said = Program(Masks("--text 'abcdefgh ij' --mask layerwise:3 --force-mask"));
  ASSERT_EQ(said.code, 0) << said.err;
  EXPECT_NE(said.out.find("hypothesis 0, 10 tokens, latency mean 6, max 6 (5 outputs); "
                          "clipped: mean 3 (5 outputs)\n"),
            std::string::npos)
      << said.out;
  WriteFile(Path("one.jsonl"),
            "{\"id\":\"u\",\"hyps\":[{\"text\":\"abcdefgh ij\",\"score\":-1}]}\n");
  Said scored =
      Program("score --latency --json --method maskless --mask layerwise:3 --force-mask --model " +
              Path("model") + " --out " + Path("run") + " " + Path("one.jsonl"));
  ASSERT_EQ(scored.code, 0) << scored.err;
  Json summary = ParseJson(scored.out);
  EXPECT_EQ(json_number_value(Member(summary, "latency.mean")), 6);
  EXPECT_EQ(json_number_value(Member(summary, "latency.max")), 6);
  EXPECT_EQ(json_number_value(Member(summary, "latency.clipped_mean")), 3);
  EXPECT_EQ(json_number_value(Member(summary, "latency.clipped")), 5);
  Json json = Run("--text 'abcdefgh ij' --mask layerwise:3");
  json_t *cone = json_object_get(First(json), "cone");
  EXPECT_EQ(json_integer_value(json_object_get(cone, "output")), 3) << "of 1 to 5, the middle";
  EXPECT_EQ(json_integer_value(json_object_get(cone, "latency")), 6);
}

TEST_F(MasksTest, ClippedOutputsAreCalledThat) {
  Said said = Program(Masks("--text a --mask layerwise:3"));
  EXPECT_NE(said.out.find("1 token, latency, all clipped: mean 1 (1 output)\n"), std::string::npos)
      << said.out;
  auto caption = [&](const char *cone) {
    Run(std::string("--text 'abcdefgh ij' --mask layerwise:3 --out ") + Path("p") + cone);
    return Select(Svg("p/text.cone.svg"), "text", "").at(2).text;
  };
  EXPECT_EQ(caption("").find("clipped"), std::string::npos) << caption("");
  EXPECT_NE(caption(" --cone 9").find("latency 2 (clipped), it waits for"), std::string::npos)
      << caption(" --cone 9");
}

TEST_F(MasksTest, TheHistogramCountsEveryToken) {
  Json json = Run("--limit 7 --mask layerwise:2 --out " + Path("p") + " " + Path("dev.jsonl"));
  json_int_t tokens = 0, rows = 0, cut = 0;
  for (size_t u = 0; u < 7; u++)
    tokens +=
        json_array_size(json_object_get(json_array_get(Member(json, "utterances"), u), "tokens")) -
        2;
  json_t *layer = json_array_get(Member(json, "lookahead"), 1);
  for (size_t r = 0; r < 3; r++) {
    rows += json_integer_value(json_array_get(json_object_get(layer, "rows"), r));
    cut += json_integer_value(json_array_get(json_object_get(layer, "cut"), r));
  }
  EXPECT_EQ(rows + cut, tokens);
  EXPECT_EQ(cut, 7) << "the last token of each";
  EXPECT_NEAR(json_real_value(json_object_get(layer, "mean")), 2 - 7.0 / tokens, 1e-6);
  std::vector<Element> svg = Svg("p/lookahead.svg");
  EXPECT_EQ(Select(svg, "rect", "rows").size(), 2u);
  EXPECT_EQ(Select(svg, "rect", "rows-cut").size(), 2u);
  Picture png = DecodePng(ReadFile(Path("p/lookahead.png")));
  EXPECT_GT(png.Count({0xd5, 0x5e, 0x00}), 1000u);
}

TEST_F(MasksTest, UtterancesAreChosen) {
  std::string archive = " " + Path("dev.jsonl");
  auto ids = [&](const std::string &rest) {
    Json json = Run(rest + archive);
    std::string all;
    for (size_t u = 0; u < json_array_size(Member(json, "utterances")); u++) {
      json_t *one = json_array_get(Member(json, "utterances"), u);
      all += std::string(json_string_value(json_object_get(one, "id"))) + "/" +
             std::to_string(json_integer_value(json_object_get(one, "i"))) + " ";
    }
    return all;
  };
  EXPECT_EQ(ids(""), "utt-0/0 ");
  EXPECT_EQ(ids("--limit 3 --hyp 2"), "utt-0/2 utt-1/2 utt-2/2 ");
  EXPECT_EQ(ids("--id utt-20,utt-4,utt-20"), "utt-4/0 utt-20/0 ");
  EXPECT_EQ(ids("--limit 4000").size(), ids("--limit 40").size());
  Said said = Shell("cat " + Path("dev.jsonl") + " | $SP " + Masks("--id utt-39 -"));
  EXPECT_EQ(said.code, 0) << said.err;
  EXPECT_NE(said.out.find("utt-39"), std::string::npos);
  Json json = Run("--layer 1 --mask layerwise:1,0" + archive);
  json_t *masks = json_object_get(First(json), "masks");
  ASSERT_EQ(json_array_size(masks), 1u);
  EXPECT_EQ(json_integer_value(json_object_get(json_array_get(masks, 0), "layer")), 1);
}

TEST_F(MasksTest, OneFormIsEnough) {
  EXPECT_EQ(Program(Masks("--text ab --svg --out " + Path("s"))).code, 0);
  EXPECT_EQ(Program(Masks("--text ab --png --out " + Path("s") + "/")).code, 0);
  for (const char *name : {"s/text.masks", "s/text.cone", "s/lookahead"}) {
    EXPECT_TRUE(Exists(std::string(name) + ".svg")) << name;
    EXPECT_TRUE(Exists(std::string(name) + ".png")) << name;
  }
  EXPECT_EQ(Program(Masks("--text ab --png --out " + Path("one"))).code, 0);
  EXPECT_FALSE(Exists("one/text.masks.svg"));
  EXPECT_EQ(Program(Masks("--text ab")).code, 0);
}

TEST_F(MasksTest, EqualArgumentsGiveEqualBytes) {
  MakeDynamic(50);
  for (const char *folder : {"a", "b"})
    ASSERT_EQ(Program(Masks("--text 'abcdefgh ij' --out " + Path(folder), "dynamic")).code, 0);
  for (const char *name : {"text.masks.svg", "text.masks.png", "text.cone.png", "lookahead.png"})
    EXPECT_EQ(ReadFile(Path("a/") + name), ReadFile(Path("b/") + name)) << name;
}

TEST_F(MasksTest, NamesOfFilesAreTame) {
  WriteFile(
      Path("odd.jsonl"),
      "{\"id\":\"../a b\",\"hyps\":[{\"text\":\"ab\",\"score\":-1}]}\n"
      "{\"id\":\"../a/b\",\"hyps\":[{\"text\":\"a <b> & \\\"c\\\"\",\"score\":-1}]}\n"
      "{\"id\":\"\xc3\xa9\xc3\xa9\",\"hyps\":[{\"text\":\"\xc3\xa9t\xc3\xa9\",\"score\":-1}]}\n");
  Json json = Run("--limit 3 --out " + Path("p") + " " + Path("odd.jsonl"));
  EXPECT_EQ(json_array_size(Member(json, "files")), 14u);
  for (const char *name : {"p/___a_b.masks.svg", "p/___a_b-2.masks.svg", "p/____.masks.svg"})
    EXPECT_TRUE(Exists(name)) << name;
  EXPECT_EQ(Select(Svg("p/___a_b-2.masks.svg"), "text", "").at(0).text,
            "../a/b, hypothesis 0: a <b> & \"c\"");
}

TEST_F(MasksTest, LongTextsHaveBoundedPictures) {
  sp_random_model model = sp_random_model_default();
  sp_error err{};
  model.layers = 12;
  model.positions = 2048;
  ASSERT_EQ(sp_random_model_write(&model, Path("long").c_str(), &err), SP_OK) << err.message;
  for (size_t tokens : {60, 200, 700, 2046}) {
    std::string text;
    for (size_t i = 0; i < tokens; i++)
      text += "a ";
    Said said =
        Program(Masks("--text '" + text + "' --mask chunked:30 --out " + Path("p"), "long"));
    ASSERT_EQ(said.code, 0) << said.err;
    std::string note;
    for (const char *name : {"p/text.masks", "p/text.cone", "p/lookahead"}) {
      std::vector<Element> svg = Svg(std::string(name) + ".svg");
      EXPECT_LE(svg.at(0).Number("width"), 4000) << name << tokens;
      EXPECT_LE(svg.at(0).Number("height"), 4000) << name << tokens;
      EXPECT_LT(std::filesystem::file_size(Path(std::string(name) + ".svg")), 12u << 20);
      for (const Element &one : Select(svg, "text", ""))
        note += one.text + "\n";
      DecodePng(ReadFile(Path(std::string(name) + ".png")));
    }
    EXPECT_EQ(note.find("too small for tokens") != std::string::npos,
              tokens == 200 || tokens == 700)
        << note;
    EXPECT_EQ(note.find("a square is 3 x 3 positions") != std::string::npos, tokens == 2046)
        << note;
    EXPECT_EQ(note.find("outermost edges") != std::string::npos, tokens < 2046) << tokens;
    EXPECT_EQ(note.find("too many nodes for edges") != std::string::npos, tokens == 2046) << tokens;
  }
}

TEST_F(MasksTest, WhatIsMissingIsNamed) {
  Expect(Program("masks --text ab"), 2, "--model");
  Expect(Program(Masks("")), 2, "--text");
  Expect(Program(Masks("--text ab " + Path("dev.jsonl"))), 2, "--text");
  Expect(Program(Masks("--text ab --id x")), 2, "--id");
  Expect(Program(Masks("--text ab --hyp 1")), 2, "--hyp");
  Expect(Program(Masks("--id utt-1 --limit 3 " + Path("dev.jsonl"))), 2, "--limit");
  Expect(Program(Masks("--id , " + Path("dev.jsonl"))), 2, "--id");
  Expect(Program(Masks(Path("none.jsonl"))), 6, "none.jsonl");
  Expect(Program("masks --text ab --model " + Path("none")), 4, "none");
}

TEST_F(MasksTest, WhatDoesNotFitIsRefused) {
  std::string archive = " " + Path("dev.jsonl"), out = " --out " + Path("x");
  Expect(Program(Masks("--id utt-1,utt-99" + archive + out)), 2, "no utterance utt-99");
  Expect(Program(Masks("--hyp 3" + archive + out)), 2, "utt-0 has 3 hypotheses");
  WriteFile(Path("short.jsonl"),
            "{\"id\":\"u\",\"hyps\":[{\"text\":\"ab\",\"score\":-1}]}\n"
            "{\"id\":\"v\",\"hyps\":[]}\n");
  Expect(Program(Masks("--id u --hyp 1 " + Path("short.jsonl"))), 2, "u has 1 hypothesis,");
  Expect(Program(Masks("--id v " + Path("short.jsonl"))), 3, "v has no hypotheses");
  Expect(Program(Masks("--layer 2" + archive + out)), 2, "--layer 2: layers from 0 to 1");
  Expect(Program(Masks("--layer 0,x" + archive + out)), 2, "--layer x");
  Expect(Program(Masks("--layer 0, " + archive + out)), 2, "--layer");
  Expect(Program(Masks("--mask layerwise:x" + archive + out)), 2, "layerwise:x");
  Expect(Program(Masks("--mask layerwise:1,2,3" + archive + out)), 2, "3 layers");
  Expect(Program(Masks("--mask dynamic" + archive + out)), 4, "schedulers");
  EXPECT_FALSE(Exists("x"));
  Expect(Program(Masks("--text abc --cone 5" + out)), 2, "positions of this text from 0 to 4");
  Expect(Program(Masks("--text abc --cone -1" + out)), 2, "--cone -1");
  Expect(Program(Masks("--text abc --cone 1,2" + out)), 2, "--cone 1,2");
  Expect(Program(Masks("--text ' '" + out)), 3, "empty");
  std::string text;
  for (int i = 0; i < 63; i++)
    text += "a ";
  Expect(Program(Masks("--text '" + text + "'" + out)), 3, "too_long");
  Expect(Program(Masks("--text \"$(printf '\\377')\"")), 2, "UTF-8");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(Path("x")),
                          std::filesystem::directory_iterator{}),
            0)
      << "nothing is drawn before the arguments are known to fit";
}

TEST_F(MasksTest, ADirectoryThatCannotBeWrittenIsSaid) {
  WriteFile(Path("file"), "");
  Expect(Program(Masks("--text ab --out " + Path("file"))), 6, "file");
  Expect(Program(Masks("--text ab --out " + Path("none/deep"))), 6, "none");
}

TEST_F(MasksTest, AFailureIsAnObjectToo) {
  Said said = Program(Masks("--json --text ' '"));
  EXPECT_EQ(said.code, 3);
  Json json = ParseJson(said.out);
  EXPECT_EQ(Integer(json, "exit_code"), 3);
  EXPECT_EQ(String(json, "command"), "masks");
}

}  // namespace
}  // namespace sp_test
