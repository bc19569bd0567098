// synthetic.h - texts and a vocabulary made as tests/golden/tokens/oracle.py makes them.
#ifndef SP_TESTS_SYNTHETIC_H
#define SP_TESTS_SYNTHETIC_H

#include <cstdint>
#include <string>
#include <vector>

#include "normalize.h"
#include "tokenizer_build.h"

namespace sp_test {

// xorshift64*.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint32_t Below(uint32_t n);

 private:
  uint64_t state_;
};

std::string Utf8(uint32_t code);
std::vector<std::string> SyntheticPieces();
std::string RandomText(Random *random);

// A setting of oracle.py by its name.
struct sp_normalizer Setting(const std::string &name, const struct sp_unicode *unicode);

// Normalised words of a text, each followed by \x1f but the last, then \x1e.
std::string WordStream(const struct sp_normalizer &normalizer, const std::string &text);

// A tokenizer from the contents of vocab.txt and tokenizer_config.json ("" for none).
class Tokenizer {
 public:
  Tokenizer(const std::string &vocab, const std::string &config, bool lower_first = false);
  ~Tokenizer();
  Tokenizer(const Tokenizer &) = delete;
  Tokenizer &operator=(const Tokenizer &) = delete;
  // Throws std::runtime_error on failure.
  struct sp_tokens Encode(const std::string &text);
  // "id:word id:word .."
  std::string Line(const std::string &text);
  const struct sp_tokenizer *get() const {
    return tokenizer_;
  }

 private:
  struct sp_tokenizer *tokenizer_ = nullptr;
  struct sp_encoder *encoder_ = nullptr;
};

// Joins pieces as vocab.txt has them.
std::string VocabFile(const std::vector<std::string> &pieces);
// tokenizer_config.json of a setting of oracle.py.
std::string ConfigOf(const std::string &setting);

// Blocks of golden hashes, by setting.
struct Hashes {
  std::string setting;
  std::vector<std::string> hashes;
};
std::vector<Hashes> ReadHashes(const std::string &name);

}  // namespace sp_test
#endif
