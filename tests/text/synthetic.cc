#include "synthetic.h"

#include <fstream>
#include <sstream>
#include <stdexcept>

#include "utf8.h"
#include "vocab.h"
#include "words.h"

namespace sp_test {

uint32_t Random::Below(uint32_t n) {
  state_ ^= state_ >> 12;
  state_ ^= state_ << 25;
  state_ ^= state_ >> 27;
  return static_cast<uint32_t>(((state_ * 0x2545F4914F6CDD1DULL) >> 33) % n);
}

std::string Utf8(uint32_t code) {
  char bytes[4];
  return std::string(bytes, sp_utf8_encode(code, bytes));
}

std::vector<std::string> SyntheticPieces() {
  static const uint32_t ranges[][2] = {
      {0x21, 0x7E},     {0xA1, 0x24F},    {0x250, 0x2FF},   {0x370, 0x3FF},   {0x400, 0x52F},
      {0x5D0, 0x5EA},   {0x621, 0x64A},   {0x904, 0x950},   {0xE01, 0xE4E},   {0x1100, 0x11FF},
      {0x1E00, 0x1EFF}, {0x2010, 0x2040}, {0x3001, 0x30FF}, {0x4E00, 0x4E7F}, {0x1D157, 0x1D172}};
  std::vector<std::string> pieces = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
  for (const auto &range : ranges) {
    for (uint32_t c = range[0]; c <= range[1]; c++) {
      pieces.push_back(Utf8(c));
      pieces.push_back("##" + Utf8(c));
    }
  }
  Random random(88172645463325252ULL);
  for (int i = 0; i < 4000; i++) {
    std::string piece = random.Below(2) ? "##" : "";
    for (uint32_t n = 2 + random.Below(5); n > 0; n--) {
      piece += "etaoinshrdlu"[random.Below(12)];
    }
    pieces.push_back(piece);
  }
  return pieces;
}

std::string RandomText(Random *random) {
  static const uint32_t ranges[][3] = {
      {30, 0x61, 0x7A},      {8, 0x41, 0x5A},       {10, 0x20, 0x20},      {6, 0x21, 0x7E},
      {3, 0x00, 0x1F},       {6, 0xA0, 0x24F},      {10, 0x300, 0x36F},    {3, 0x370, 0x52F},
      {2, 0x591, 0x6ED},     {3, 0x900, 0xDFF},     {2, 0x1DC0, 0x1DFF},   {2, 0x1E00, 0x1FFF},
      {2, 0x2000, 0x206F},   {2, 0x3000, 0x30FF},   {2, 0x4E00, 0x9FFF},   {1, 0xF900, 0xFFFD},
      {2, 0xAC00, 0xD7A3},   {1, 0xA8E0, 0xABED},   {2, 0x1D157, 0x1D172}, {1, 0x16FE0, 0x16FF1},
      {1, 0x11000, 0x1123F}, {1, 0x10000, 0x10FFFF}};
  static const char *const special[] = {"[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"};
  std::string text;
  for (uint32_t n = 1 + random->Below(40); n > 0; n--) {
    uint32_t pick = random->Below(103);
    if (pick >= 100) {
      text += special[random->Below(5)];
      continue;
    }
    for (const auto &range : ranges) {
      if (pick < range[0]) {
        text += Utf8(range[1] + random->Below(range[2] - range[1] + 1));
        break;
      }
      pick -= range[0];
    }
  }
  return text;
}

struct sp_normalizer Setting(const std::string &name, const struct sp_unicode *unicode) {
  static const struct {
    const char *name;
    bool clean, cjk, strip, lower, lower_first;
  } settings[] = {{"uncased", true, true, true, true, false},
                  {"cased", true, true, false, false, false},
                  {"lower", true, true, false, true, false},
                  {"strip", true, true, true, false, false},
                  {"no-cjk", true, false, true, true, false},
                  {"no-clean", false, true, true, true, false},
                  {"nothing", false, false, false, false, false},
                  {"lower-first", true, true, false, false, true}};
  for (const auto &s : settings) {
    if (name == s.name) {
      return {unicode, s.clean, s.cjk, s.strip, s.lower, s.lower_first};
    }
  }
  throw std::runtime_error("no setting " + name);
}

std::string WordStream(const struct sp_normalizer &normalizer, const std::string &text) {
  struct sp_buf out = {}, spare = {};
  struct sp_error err = {};
  std::string stream;
  if (sp_normalize(&normalizer, {text.data(), text.size()}, &out, &spare, &err) != SP_OK) {
    throw std::runtime_error(err.message);
  }
  struct sp_word_cursor cursor = {normalizer.unicode, out.data, out.data + out.len, 1};
  struct sp_word word;
  while (sp_next_word(&cursor, &word)) {
    stream += (stream.empty() ? "" : "\x1f") + std::string(word.text.data, word.text.len);
  }
  sp_buf_release(&out);
  sp_buf_release(&spare);
  return stream + "\x1e";
}

Tokenizer::Tokenizer(const std::string &vocab, const std::string &config, bool lower_first) {
  struct sp_tokenizer_files files = {};
  struct sp_error err = {};
  files.directory = "model";
  files.vocab = {vocab.data(), vocab.size()};
  if (!config.empty()) {
    files.config = {config.data(), config.size()};
  }
  if (sp_tokenizer_build(&files, &tokenizer_, &err) != SP_OK) {
    throw std::runtime_error(err.message);
  }
  if (sp_encoder_create(tokenizer_, lower_first, &encoder_, &err) != SP_OK) {
    sp_tokenizer_close(tokenizer_);
    throw std::runtime_error(err.message);
  }
}

Tokenizer::~Tokenizer() {
  sp_encoder_destroy(encoder_);
  sp_tokenizer_close(tokenizer_);
}

struct sp_tokens Tokenizer::Encode(const std::string &text) {
  struct sp_tokens tokens;
  struct sp_error err = {};
  if (sp_encode(encoder_, {text.data(), text.size()}, &tokens, &err) != SP_OK) {
    throw std::runtime_error(err.message);
  }
  return tokens;
}

std::string Tokenizer::Line(const std::string &text) {
  struct sp_tokens tokens = Encode(text);
  std::string line;
  for (size_t i = 0; i < tokens.n; i++) {
    line += (i ? " " : "") + std::to_string(tokens.ids[i]) + ":" + std::to_string(tokens.word[i]);
  }
  return line;
}

std::string VocabFile(const std::vector<std::string> &pieces) {
  std::string file;
  for (const std::string &piece : pieces) {
    file += piece + "\n";
  }
  return file;
}

std::string ConfigOf(const std::string &setting) {
  struct sp_normalizer normalizer = Setting(setting, nullptr);
  auto json = [](bool value) { return std::string(value ? "true" : "false"); };
  return "{\"tokenizer_class\": \"BertTokenizer\", \"do_lower_case\": " +
         json(normalizer.lowercase) + ", \"strip_accents\": " + json(normalizer.strip_accents) +
         ", \"tokenize_chinese_chars\": " + json(normalizer.split_cjk) + "}";
}

std::vector<Hashes> ReadHashes(const std::string &name) {
  std::ifstream in(std::string(SP_SOURCE_DIR "/tests/golden/tokens/") + name);
  std::vector<Hashes> all;
  std::string line;
  while (std::getline(in, line)) {
    std::istringstream fields(line);
    std::string field;
    // A line of hashes has 8 digits a field; a setting stands alone.
    bool hashes = line.size() >= 8 && line.find_first_not_of("0123456789abcdef ") == line.npos;
    if (!hashes) {
      all.push_back({line, {}});
    }
    while (hashes && fields >> field) {
      all.at(all.size() - 1).hashes.push_back(field);
    }
  }
  return all;
}

}  // namespace sp_test
