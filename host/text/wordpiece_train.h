/* wordpiece_train.h - a WordPiece vocabulary from text, as Hugging Face's WordPieceTrainer makes it.
 *
 * Words are those of BERT: normalised and parted as the tokenizer does; words of over
 * SP_WORDPIECE_LONGEST characters, which it never spells, are passed over.  Pieces are, in this order:
 *   1. [PAD] [UNK] [CLS] [SEP] [MASK]
 *   2. the `alphabet` most frequent characters (of equal ones the smaller code points), by code point;
 *      others are left out of the words
 *   3. "##" and such a character, where it continues a word, by code point
 *   4. merges of the most frequent pair of neighbours, while it comes `min_frequency` times and there is
 *      room: "th" and "##e" give "the"
 * Ties     of equally frequent pairs the one whose first piece, then whose second, has the smaller id is
 *          merged first, as there; but there the order of 3. is that of a hash table, which is why two
 *          of its own runs may differ where counts are equal.  Ours is a function of the text alone
 * Memory   word counts (word_counts.h) and about 100 bytes a different word for the merges. */
#ifndef SP_TEXT_WORDPIECE_TRAIN_H
#define SP_TEXT_WORDPIECE_TRAIN_H

#include "buf.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SP_WORDPIECE_LONGEST 100

struct sp_wordpiece_training {
  size_t size;            /* pieces, special tokens included */
  uint64_t min_frequency; /* of a merge; 0 is as 1 */
  size_t alphabet;        /* characters; 0: all */
  bool lowercase, strip_accents, split_cjk;
};

struct sp_wordpiece_learned {
  size_t pieces, characters, continuations,
      merges;                  /* pieces is fewer than asked for when text ends */
  uint64_t words, distinct;    /* of the text */
  uint64_t dropped_characters; /* different characters beyond the alphabet */
  uint64_t too_long;           /* words that were passed over */
  uint64_t floor;              /* of word_counts.h: 0 where counts are exact */
};

struct sp_wordpiece_trainer;

SP_MUST_CHECK enum sp_status sp_wordpiece_trainer_create(
    const struct sp_wordpiece_training *training, struct sp_wordpiece_trainer **out,
    struct sp_error *err);
/* NULL is fine. */
void sp_wordpiece_trainer_destroy(struct sp_wordpiece_trainer *trainer);
/* Counts the words of a text, which is valid UTF-8. */
SP_MUST_CHECK enum sp_status sp_wordpiece_trainer_add(struct sp_wordpiece_trainer *trainer,
                                                      struct sp_text text, struct sp_error *err);
/* After the last text, once: appends the pieces to `vocab`, one a line.  SP_EINPUT when there was no word,
 * SP_EUSAGE when the alphabet alone takes more than `size`. */
SP_MUST_CHECK enum sp_status sp_wordpiece_trainer_finish(struct sp_wordpiece_trainer *trainer,
                                                         struct sp_buf *vocab,
                                                         struct sp_wordpiece_learned *learned,
                                                         struct sp_error *err);

#ifdef __cplusplus
}
#endif
#endif
