// Which model directories open, as what, and with what message the others are refused.
#include <gtest/gtest.h>

#include "scratch.h"
#include "tokenizer.h"

using namespace sp_test;

namespace {

const char kVocab[] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n##b\n";

class Load : public testing::Test {
 protected:
  void TearDown() override {
    sp_tokenizer_close(tokenizer_);
  }
  void Put(const std::string &name, const std::string &bytes) {
    WriteFile(scratch_ / name, bytes);
  }
  enum sp_status Open() {
    sp_tokenizer_close(tokenizer_);
    err_ = {};
    return sp_tokenizer_open(scratch_.path().c_str(), &tokenizer_, &err_);
  }
  // Opens, expecting success.
  const struct sp_tokenizer_info &Info() {
    EXPECT_EQ(Open(), SP_OK) << err_.message;
    static const struct sp_tokenizer_info none = {};
    return tokenizer_ ? *sp_tokenizer_get_info(tokenizer_) : none;
  }
  void Refused(const std::string &part) {
    EXPECT_EQ(Open(), SP_EMODEL);
    EXPECT_EQ(tokenizer_, nullptr);
    EXPECT_NE(std::string(err_.message).find(part), std::string::npos) << err_.message;
  }
  std::string Piece(int32_t id) {
    struct sp_text piece = sp_tokenizer_piece(tokenizer_, id);
    return std::string(piece.data, piece.len);
  }
  // "id id .."
  std::string Ids(const std::string &text) {
    struct sp_encoder *encoder = nullptr;
    struct sp_tokens tokens = {};
    EXPECT_EQ(sp_encoder_create(tokenizer_, false, &encoder, nullptr), SP_OK);
    EXPECT_EQ(sp_encode(encoder, {text.data(), text.size()}, &tokens, nullptr), SP_OK);
    std::string ids;
    for (size_t i = 0; i < tokens.n; i++) {
      ids += (i ? " " : "") + std::to_string(tokens.ids[i]);
    }
    sp_encoder_destroy(encoder);
    return ids;
  }

  Scratch scratch_;
  struct sp_tokenizer *tokenizer_ = nullptr;
  struct sp_error err_ = {};
};

// tokenizer.json with `changes` put in place of `what`.
std::string Json(const std::string &what = "", const std::string &change = "") {
  std::string json =
      R"({"added_tokens": [{"id": 0, "content": "[UNK]", "single_word": false, "lstrip": false,
          "rstrip": false, "normalized": false, "special": true}],
          "normalizer": {"type": "BertNormalizer", "clean_text": true,
          "handle_chinese_chars": true, "strip_accents": null, "lowercase": true},
          "pre_tokenizer": {"type": "BertPreTokenizer"},
          "model": {"type": "WordPiece", "unk_token": "[UNK]",
          "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
          "vocab": {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "a": 3, "##b": 4}}})";
  size_t at = what.empty() ? json.npos : json.find(what);
  if (at != json.npos) {
    json.replace(at, what.size(), change);
  } else if (!what.empty()) {
    ADD_FAILURE() << "no " << what;
  }
  return json;
}

TEST_F(Load, VocabAlone) {
  Put("vocab.txt", kVocab);
  const struct sp_tokenizer_info &info = Info();
  EXPECT_STREQ(info.kind, "WordPiece");
  EXPECT_STREQ(info.source, "vocab.txt");
  EXPECT_EQ(info.vocab_size, 7u);
  EXPECT_EQ(info.pad, 0);
  EXPECT_EQ(info.unk, 1);
  EXPECT_EQ(info.cls, 2);
  EXPECT_EQ(info.sep, 3);
  EXPECT_EQ(info.mask, 4);
  EXPECT_TRUE(info.lowercase && info.strip_accents && info.split_cjk && info.clean_text);
  EXPECT_FALSE(info.lowercase_from_config);
  EXPECT_EQ(info.max_length, 0u);
  EXPECT_EQ(Piece(6), "##b");
  EXPECT_EQ(Piece(7), "");
  EXPECT_EQ(Piece(-1), "");
  EXPECT_EQ(Ids("ab \xc3\x81"), "5 6 5");
}

TEST_F(Load, CaseComesFromTheVocabularyWithoutAConfig) {
  Put("vocab.txt", std::string(kVocab) + "##\xc3\x89\n");
  EXPECT_FALSE(Info().lowercase);
  EXPECT_FALSE(Info().strip_accents);
  Put("tokenizer_config.json", R"({"do_lower_case": true})");
  EXPECT_TRUE(Info().lowercase);
  EXPECT_TRUE(Info().strip_accents);
  EXPECT_TRUE(Info().lowercase_from_config);
}

TEST_F(Load, ConfigSettings) {
  Put("vocab.txt", kVocab);
  Put("tokenizer_config.json",
      R"({"tokenizer_class": "BertTokenizerFast", "do_lower_case": false, "strip_accents": true,
          "tokenize_chinese_chars": false, "model_max_length": 192, "never_split": [],
          "do_basic_tokenize": true, "mask_token": null})");
  const struct sp_tokenizer_info &info = Info();
  EXPECT_FALSE(info.lowercase);
  EXPECT_TRUE(info.strip_accents);
  EXPECT_FALSE(info.split_cjk);
  EXPECT_EQ(info.max_length, 192u);
  EXPECT_EQ(info.mask, 4);
  Put("tokenizer_config.json", R"({"model_max_length": 1000000000000000019884624838656})");
  EXPECT_EQ(Info().max_length, 0u);
}

TEST_F(Load, LinesAreTrimmedAndTheLastOfEqualPiecesCounts) {
  Put("vocab.txt", "[UNK]\r\n[CLS]\r\n[SEP] \r\na\n\na\xe3\x80\x80\nz");
  EXPECT_EQ(Info().vocab_size, 7u);
  EXPECT_EQ(Ids("a z q"), "5 6 0");
  EXPECT_EQ(Piece(3), "a");
  EXPECT_EQ(Piece(4), "");
}

TEST_F(Load, BadVocabularies) {
  Put("vocab.txt", std::string("[CLS]\n[S\0EP]\n", 13));
  Refused("vocab.txt line 2: a NUL byte");
  Put("vocab.txt", "[CLS]\n[SEP]\n\xff\n");
  Refused("vocab.txt line 3: not UTF-8");
  Put("vocab.txt", "");
  Refused("vocab.txt is empty");
  Put("vocab.txt", "[UNK]\n[SEP]\n");
  Refused("no '[CLS]'");
  Put("vocab.txt", "[UNK]\n[CLS]\n");
  Refused("no '[SEP]'");
}

TEST_F(Load, MissingMaskPadAndUnkAreLeftToTheUser) {
  Put("vocab.txt", "[CLS]\n[SEP]\na\n");
  const struct sp_tokenizer_info &info = Info();
  EXPECT_EQ(info.mask, -1);
  EXPECT_EQ(info.pad, -1);
  EXPECT_EQ(info.unk, -1);
}

TEST_F(Load, NamesOfSpecialTokens) {
  Put("vocab.txt", "<unk>\n<s>\n</s>\n<mask>\na\n");
  Put("tokenizer_config.json",
      R"({"unk_token": "<unk>", "cls_token": {"content": "<s>", "lstrip": false}})");
  Put("special_tokens_map.json",
      R"({"sep_token": "</s>", "mask_token": {"content": "<mask>"}, "cls_token": "a"})");
  const struct sp_tokenizer_info &info = Info();
  EXPECT_EQ(info.cls, 1);
  EXPECT_EQ(info.sep, 2);
  EXPECT_EQ(info.mask, 3);
  EXPECT_EQ(info.unk, 0);
  EXPECT_EQ(Ids("a<mask>a q"), "4 3 4 0");
}

TEST_F(Load, AddedTokens) {
  Put("vocab.txt", kVocab);
  Put("added_tokens.json", R"({"[B]": 8, "[A]": 7})");
  EXPECT_EQ(Info().vocab_size, 9u);
  EXPECT_EQ(Ids("[a]a[B]"), "7 5 8");  // not special, so looked for in the normalised text
  EXPECT_EQ(Piece(7), "[A]");
  Put("added_tokens.json", R"({"[A]": 8})");
  Refused("added token '[A]' has id 8, the next free one is 7");
  Put("added_tokens.json", R"({"a": 3})");
  Refused("added token 'a' has id 3, the vocabulary says 5");
  Put("added_tokens.json", "{}");
  Put("tokenizer_config.json", R"({"additional_special_tokens": ["[NO]"]})");
  Refused("'[NO]' is not in the vocabulary");
  Put("tokenizer_config.json",
      R"({"added_tokens_decoder": {"4": {"content": "[MASK]", "single_word": true}}})");
  Refused("single_word is not supported");
}

TEST_F(Load, OtherTokenizersAreRefusedByName) {
  Refused("has no vocab.txt and no tokenizer.json");
  Put("spiece.model", "x");
  Refused("SentencePiece");
  Put("tokenizer_config.json", R"({"tokenizer_class": "T5Tokenizer"})");
  Refused("T5Tokenizer");
  Put("vocab.txt", kVocab);
  for (const char *name : {"BertJapaneseTokenizer", "RobertaTokenizer", "GPT2Tokenizer",
                           "XLMRobertaTokenizerFast", "AlbertTokenizer"}) {
    Put("tokenizer_config.json", std::string(R"({"tokenizer_class": ")") + name + "\"}");
    Refused(name);
  }
  Put("tokenizer_config.json", "{}");
  Put("config.json", R"({"tokenizer_class": "BertJapaneseTokenizer"})");
  Refused("BertJapaneseTokenizer");
}

TEST_F(Load, ByteLevelBpeIsNamed) {
  Put("vocab.json", "{}");
  Put("merges.txt", "");
  Refused("byte-level BPE");
}

TEST_F(Load, SettingsThatTokenizeOtherwiseAreRefused) {
  Put("vocab.txt", kVocab);
  const char *const bad[][2] = {{R"({"do_basic_tokenize": false})", "do_basic_tokenize"},
                                {R"({"never_split": ["a"]})", "never_split"},
                                {R"({"word_tokenizer_type": "mecab"})", "word_tokenizer_type"},
                                {R"({"split_special_tokens": true})", "split_special_tokens"},
                                {R"({"do_lower_case": 1})", "do_lower_case"},
                                {R"({"tokenizer_class": 1})", "tokenizer_class"},
                                {R"({"cls_token": 5})", "added token without a content"},
                                {"{\n\n x", "tokenizer_config.json line 3"},
                                {"[]", "not a JSON object"}};
  for (const auto &pair : bad) {
    Put("tokenizer_config.json", pair[0]);
    Refused(pair[1]);
  }
}

TEST_F(Load, TokenizerJson) {
  Put("tokenizer.json", Json());
  const struct sp_tokenizer_info &info = Info();
  EXPECT_STREQ(info.source, "tokenizer.json");
  EXPECT_EQ(info.vocab_size, 5u);
  EXPECT_TRUE(info.lowercase && info.strip_accents && info.lowercase_from_config);
  EXPECT_EQ(Ids("AB q"), "3 4 0");
  Put("tokenizer_config.json", R"({"tokenizer_class": "PreTrainedTokenizerFast",
      "do_lower_case": false})");
  EXPECT_TRUE(Info().lowercase);
  Put("tokenizer_config.json", R"({"tokenizer_class": "BertTokenizer", "do_lower_case": false})");
  EXPECT_FALSE(Info().lowercase);
}

TEST_F(Load, TokenizerJsonWithoutANormalizer) {
  std::string json = Json();
  size_t at = json.find("{\"type\": \"BertNormalizer\""), end = json.find('}', at);
  Put("tokenizer.json", json.replace(at, end - at + 1, "null"));
  const struct sp_tokenizer_info &info = Info();
  EXPECT_FALSE(info.lowercase || info.strip_accents || info.split_cjk || info.clean_text);
}

TEST_F(Load, TokenizerJsonOfOtherKindsIsRefused) {
  const char *const bad[][3] = {
      {"WordPiece", "BPE", "model BPE"},
      {"BertNormalizer", "NFC", "normalizer NFC"},
      {"BertPreTokenizer", "Metaspace", "pre_tokenizer Metaspace"},
      {"\"##\"", "\"@@\"", "continuing_subword_prefix '@@'"},
      {"_word\": 100", "_word\": 0", "max_input_chars_per_word"},
      {"\"lowercase\": true", "\"lower\": 1", "no lowercase"},
      {"\"##b\": 4", "\"##b\": 5", "ids are not 0 to 4"},
      {"\"##b\": 4", "\"##b\": 3", "ids are not 0 to 4"},
      {"\"id\": 0", "\"id\": 3", "added token '[UNK]' has id 3, the vocabulary says 0"},
      {"\"unk_token\": \"[UNK]\"", "\"unk_token\": 1", "no unk_token"}};
  for (const auto &change : bad) {
    Put("tokenizer.json", Json(change[0], change[1]));
    Refused(change[2]);
  }
}

TEST_F(Load, VocabIsPreferredButGenericClassesNeedTheJson) {
  Put("vocab.txt", kVocab);
  Put("tokenizer.json", Json());
  EXPECT_STREQ(Info().source, "vocab.txt");
  Put("tokenizer_config.json", R"({"tokenizer_class": "PreTrainedTokenizerFast"})");
  EXPECT_STREQ(Info().source, "tokenizer.json");
}

TEST_F(Load, EmbeddedModel) {
  ASSERT_EQ(sp_tokenizer_open(SP_SOURCE_DIR "/bench/data/model", &tokenizer_, &err_), SP_OK)
      << err_.message;
  const struct sp_tokenizer_info *info = sp_tokenizer_get_info(tokenizer_);
  EXPECT_EQ(info->vocab_size, 8192u);
  EXPECT_TRUE(info->lowercase);
  EXPECT_EQ(info->max_length, 192u);
  EXPECT_EQ(Piece(info->mask), "[MASK]");
}

}  // namespace
