/* tokenizer.h - BERT's tokenizer: normalisation, pre-tokenization, WordPiece.
 *
 * Token ids equal those of Hugging Face tokenizers (BertNormalizer, BertPreTokenizer, WordPiece, the
 * pinned version in tests/golden) for every input; its tables are frozen in unicode_bert.inc, so that
 * they do not depend on any library's Unicode version.
 * A tokenizer is immutable and shared by threads; an encoder is one thread's scratch and cache. */
#ifndef SP_TEXT_TOKENIZER_H
#define SP_TEXT_TOKENIZER_H

#include "folder.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sp_tokenizer;

/* Reads DIR/vocab.txt, or else DIR/tokenizer.json (WordPiece), with tokenizer_config.json where it
 * exists. Anything that would tokenize otherwise (SentencePiece, byte-level BPE,
 * BertJapaneseTokenizer, unknown normalizers) is SP_EMODEL and named. */
SP_MUST_CHECK enum sp_status sp_tokenizer_open(const char *directory, struct sp_tokenizer **out,
                                               struct sp_error *err);
/* The same of a folder. */
SP_MUST_CHECK enum sp_status sp_tokenizer_open_in(const struct sp_folder *folder,
                                                  struct sp_tokenizer **out, struct sp_error *err);
void sp_tokenizer_close(struct sp_tokenizer *tokenizer);

struct sp_tokenizer_info {
  const char *kind;        /* "WordPiece" */
  const char *source;      /* "vocab.txt" or "tokenizer.json" */
  size_t vocab_size;       /* pieces in the vocabulary */
  int32_t cls, sep, mask, pad, unk; /* ids; -1 where the vocabulary has none (pad, unk) */
  bool lowercase;          /* resolved: config, or a vocabulary without an upper-case piece */
  bool lowercase_from_config;
  bool strip_accents, split_cjk, clean_text;
  size_t max_length;       /* model_max_length of the config, 0 when it says none (or absurd) */
};
const struct sp_tokenizer_info *sp_tokenizer_get_info(const struct sp_tokenizer *tokenizer);

/* The piece of an id, as the vocabulary has it ("##ing"); empty for an id outside it. */
struct sp_text sp_tokenizer_piece(const struct sp_tokenizer *tokenizer, int32_t id);

struct sp_encoder;
/* `lower_first`: lower the text (full Unicode mapping, special tokens in it excepted) before the
 * tokenizer sees it (--case lower). The tokenizer must outlive the encoder. */
SP_MUST_CHECK enum sp_status sp_encoder_create(const struct sp_tokenizer *tokenizer,
                                               bool lower_first, struct sp_encoder **out,
                                               struct sp_error *err);
void sp_encoder_destroy(struct sp_encoder *encoder);

/* Tokens of one text, without [CLS] and [SEP]. Arrays are valid until the next call. */
struct sp_tokens {
  const int32_t *ids;   /* (n) */
  const uint32_t *word; /* (n) word of each token, counted from 0: a word is a pre-tokenizer's piece
                           ("don't" is 3), a special token in the text one of its own */
  size_t n;
  size_t n_unk;         /* of these, [UNK] */
  size_t n_special;     /* special tokens that stood in the text itself */
  bool no_vocab;        /* a word cannot be spelled and there is no [UNK]: n is 0 */
};

/* `text` must be valid UTF-8 (archives validate it); an invalid byte counts as U+FFFD, which the
 * normaliser drops. Fails only when out of memory. */
SP_MUST_CHECK enum sp_status sp_encode(struct sp_encoder *encoder, struct sp_text text,
                                       struct sp_tokens *out, struct sp_error *err);

#ifdef __cplusplus
}
#endif
#endif
