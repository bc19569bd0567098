#include "wordpiece_train.h"

#include <stdlib.h>
#include <string.h>

#include "checked.h"
#include "normalize.h"
#include "pair_merges.h"
#include "utf8.h"
#include "vocab.h"
#include "word_counts.h"
#include "words.h"

#define MAX_PIECES ((size_t)1 << 24)

static const char *const special_tokens[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};

struct sp_wordpiece_trainer {
  struct sp_wordpiece_training training;
  struct sp_unicode unicode;
  struct sp_normalizer normalizer;
  struct sp_buf normal, spare;
  struct sp_word_counts words;
  struct sp_wordpiece_learned learned;
  /* of finish */
  struct sp_word_counts pieces; /* index: id */
  uint64_t *frequency;          /* (SP_CODE_POINTS) of each character */
  uint8_t *kept;                /* (SP_CODE_POINTS) 1: in the alphabet; 2: it continues words too */
  struct sp_pair_merges merges;
};

enum sp_status sp_wordpiece_trainer_create(const struct sp_wordpiece_training *training,
                                           struct sp_wordpiece_trainer **out,
                                           struct sp_error *err) {
  struct sp_wordpiece_trainer *t = calloc(1, sizeof *t);
  *out = NULL;
  if (!t) {
    return sp_fail_memory(err, sizeof *t);
  }
  t->training = *training;
  t->normalizer = (struct sp_normalizer){.unicode = &t->unicode,
                                         .clean_text = true,
                                         .split_cjk = training->split_cjk,
                                         .strip_accents = training->strip_accents,
                                         .lowercase = training->lowercase};
  sp_word_counts_init(&t->words, SP_WORD_COUNTS_MAX);
  sp_word_counts_init(&t->pieces, MAX_PIECES);
  sp_pair_merges_init(&t->merges);
  enum sp_status status = sp_unicode_init(&t->unicode, err);
  if (status != SP_OK) {
    sp_wordpiece_trainer_destroy(t);
    return status;
  }
  *out = t;
  return SP_OK;
}

void sp_wordpiece_trainer_destroy(struct sp_wordpiece_trainer *t) {
  if (t) {
    sp_unicode_release(&t->unicode);
    sp_buf_release(&t->normal);
    sp_buf_release(&t->spare);
    sp_word_counts_release(&t->words);
    sp_word_counts_release(&t->pieces);
    free(t->frequency);
    free(t->kept);
    sp_pair_merges_release(&t->merges);
    free(t);
  }
}

static size_t count_characters(struct sp_text text) {
  size_t n = 0;
  for (size_t i = 0; i < text.len; i++) {
    n += ((unsigned char)text.data[i] & 0xc0) != 0x80;
  }
  return n;
}

enum sp_status sp_wordpiece_trainer_add(struct sp_wordpiece_trainer *t, struct sp_text text,
                                        struct sp_error *err) {
  SP_TRY(sp_normalize(&t->normalizer, text, &t->normal, &t->spare, err));
  struct sp_word_cursor cursor = {&t->unicode, t->normal.data, t->normal.data + t->normal.len, 0};
  struct sp_word word;
  while (sp_next_word(&cursor, &word)) {
    if (word.text.len > SP_WORDPIECE_LONGEST &&
        count_characters(word.text) > SP_WORDPIECE_LONGEST) {
      t->learned.too_long++;
      continue;
    }
    SP_TRY(sp_word_counts_add(&t->words, word.text, word.hash, 1, NULL, err));
  }
  return SP_OK;
}

/* ---- pieces ---- */

static enum sp_status put_piece(struct sp_wordpiece_trainer *t, struct sp_text piece, uint32_t *id,
                                struct sp_error *err) {
  uint64_t hash = 0;
  size_t index;
  for (size_t i = 0; i < piece.len; i++) {
    hash = sp_vocab_hash_byte(hash, (unsigned char)piece.data[i]);
  }
  SP_TRY(sp_word_counts_add(&t->pieces, piece, hash, 1, &index, err));
  *id = (uint32_t)index;
  return SP_OK;
}

/* The piece of one character that starts or continues a word. */
static enum sp_status put_character(struct sp_wordpiece_trainer *t, uint32_t code, bool continues,
                                    uint32_t *id, struct sp_error *err) {
  char text[6] = "##";
  size_t mark = continues ? 2 : 0, len = mark + sp_utf8_encode(code, text + mark);
  return put_piece(t, (struct sp_text){text, len}, id, err);
}

/* ---- alphabet ---- */

/* Calls for every character of word i that is in the alphabet: *at moves on; false at the end. */
static bool next_character(const struct sp_wordpiece_trainer *t, struct sp_text word, size_t *at,
                           uint32_t *code) {
  while (*at < word.len) {
    *at += sp_utf8_decode((const unsigned char *)word.data + *at, word.len - *at, code);
    if (!t->kept || t->kept[*code]) {
      return true;
    }
  }
  return false;
}

struct ranked {
  uint64_t frequency;
  uint32_t code;
};

static int by_frequency(const void *a, const void *b) {
  const struct ranked *x = a, *y = b;
  if (x->frequency != y->frequency) {
    return x->frequency > y->frequency ? -1 : 1;
  }
  return (x->code > y->code) - (x->code < y->code);
}

static void count_frequencies(struct sp_wordpiece_trainer *t) {
  for (size_t w = 0; w < t->words.n; w++) {
    struct sp_text word = sp_word_counts_text(&t->words, w);
    uint32_t code;
    for (size_t at = 0; next_character(t, word, &at, &code);) {
      t->frequency[code] += sp_word_count_at(&t->words, w)->count;
    }
  }
}

/* Marks the most frequent characters in `kept`. */
static enum sp_status choose_alphabet(struct sp_wordpiece_trainer *t, struct sp_error *err) {
  struct sp_buf all = {0};
  enum sp_status status = SP_OK;
  for (uint32_t code = 0; status == SP_OK && code < SP_CODE_POINTS; code++) {
    struct ranked ranked = {t->frequency[code], code};
    if (ranked.frequency > 0) {
      status = sp_buf_append(&all, &ranked, sizeof ranked, err);
    }
  }
  struct ranked *ranked = (struct ranked *)all.data;
  size_t n = all.len / sizeof *ranked, limit = t->training.alphabet ? t->training.alphabet : n;
  t->kept = calloc(SP_CODE_POINTS, 1);
  if (status == SP_OK && !t->kept) {
    status = sp_fail_memory(err, SP_CODE_POINTS);
  }
  if (status == SP_OK) {
    qsort(ranked, n, sizeof *ranked, by_frequency);
    t->learned.characters = sp_min_size(n, limit);
    t->learned.dropped_characters = n - t->learned.characters;
    for (size_t i = 0; i < t->learned.characters; i++) {
      t->kept[ranked[i].code] = 1;
    }
  }
  sp_buf_release(&all);
  return status;
}

static void mark_continuations(struct sp_wordpiece_trainer *t) {
  for (size_t w = 0; w < t->words.n; w++) {
    struct sp_text word = sp_word_counts_text(&t->words, w);
    uint32_t code;
    bool continues = false;
    for (size_t at = 0; next_character(t, word, &at, &code); continues = true) {
      t->kept[code] |= continues ? 2 : 0;
    }
  }
}

static enum sp_status put_alphabet(struct sp_wordpiece_trainer *t, struct sp_error *err) {
  size_t n = sizeof special_tokens / sizeof *special_tokens;
  uint32_t id;
  for (size_t i = 0; i < n; i++) {
    SP_TRY(put_piece(t, (struct sp_text){special_tokens[i], strlen(special_tokens[i])}, &id, err));
  }
  for (unsigned continues = 0; continues < 2; continues++) {
    for (uint32_t code = 0; code < SP_CODE_POINTS; code++) {
      if (t->kept[code] & (1u << continues)) {
        SP_TRY(put_character(t, code, continues, &id, err));
        t->learned.continuations += continues;
      }
    }
  }
  if (t->pieces.n > t->training.size) {
    return sp_fail(err, SP_EUSAGE,
                   "%zu pieces have no room for the special tokens and the characters of the text, "
                   "which take %zu",
                   t->training.size, t->pieces.n);
  }
  return SP_OK;
}

/* ---- merges ---- */

static enum sp_status spell_words(struct sp_wordpiece_trainer *t, struct sp_error *err) {
  for (size_t w = 0; w < t->words.n; w++) {
    struct sp_text word = sp_word_counts_text(&t->words, w);
    uint32_t symbols[SP_WORDPIECE_LONGEST], code;
    size_t n = 0;
    for (size_t at = 0; next_character(t, word, &at, &code); n++) {
      SP_TRY(put_character(t, code, n > 0, &symbols[n], err));
    }
    SP_TRY(sp_pair_merges_add(&t->merges, symbols, n, sp_word_count_at(&t->words, w)->count, err));
  }
  return sp_pair_merges_begin(&t->merges, err);
}

/* "th" and "##e" are "the". The result may be a piece already, made of other parts. */
static enum sp_status put_merged(struct sp_wordpiece_trainer *t, const struct sp_pair *pair,
                                 uint32_t *id, struct sp_error *err) {
  struct sp_text first = sp_word_counts_text(&t->pieces, pair->a);
  struct sp_text second = sp_word_counts_text(&t->pieces, pair->b);
  sp_buf_clear(&t->spare);
  SP_TRY(sp_buf_append(&t->spare, first.data, first.len, err));
  SP_TRY(sp_buf_append(&t->spare, second.data + 2, second.len - 2, err));
  return put_piece(t, (struct sp_text){t->spare.data, t->spare.len}, id, err);
}

static enum sp_status merge_pairs(struct sp_wordpiece_trainer *t, struct sp_error *err) {
  uint64_t least = t->training.min_frequency > 0 ? t->training.min_frequency : 1;
  struct sp_pair best;
  while (t->pieces.n < t->training.size && sp_pair_merges_best(&t->merges, &best) &&
         best.count >= least) {
    uint32_t id;
    SP_TRY(put_merged(t, &best, &id, err));
    SP_TRY(sp_pair_merges_apply(&t->merges, &best, id, err));
    t->learned.merges++;
  }
  return SP_OK;
}

static enum sp_status write_pieces(struct sp_wordpiece_trainer *t, struct sp_buf *vocab,
                                   struct sp_error *err) {
  for (size_t i = 0; i < t->pieces.n; i++) {
    struct sp_text piece = sp_word_counts_text(&t->pieces, i);
    SP_TRY(sp_buf_append(vocab, piece.data, piece.len, err));
    SP_TRY(sp_buf_append(vocab, "\n", 1, err));
  }
  return SP_OK;
}

enum sp_status sp_wordpiece_trainer_finish(struct sp_wordpiece_trainer *t, struct sp_buf *vocab,
                                           struct sp_wordpiece_learned *learned,
                                           struct sp_error *err) {
  if (t->words.n == 0) {
    return sp_fail(err, SP_EINPUT, "the text has no words");
  }
  t->frequency = calloc(SP_CODE_POINTS, sizeof *t->frequency);
  if (!t->frequency) {
    return sp_fail_memory(err, SP_CODE_POINTS * sizeof *t->frequency);
  }
  count_frequencies(t);
  SP_TRY(choose_alphabet(t, err));
  mark_continuations(t);
  SP_TRY(put_alphabet(t, err));
  SP_TRY(spell_words(t, err));
  SP_TRY(merge_pairs(t, err));
  t->learned.pieces = t->pieces.n;
  t->learned.words = t->words.words;
  t->learned.distinct = t->words.n;
  t->learned.floor = t->words.floor;
  *learned = t->learned;
  return write_pieces(t, vocab, err);
}
