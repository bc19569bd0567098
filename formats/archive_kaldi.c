/* archive_kaldi.c - Kaldi N-best text, "utt-n words", as lattice-to-nbest, nbest-to-linear and
 * int2sym.pl leave it.
 *
 * The id is what stands before the last '-', n runs from 1.  Files sorted by LC_ALL=C have utt-10
 * before utt-2, so the lines of an utterance come in any order. */
#include <string.h>

#include "archive_lines.h"
#include "kaldi_tables.h"

/* Cuts "utt-n"; false when there is no n from 1, or it is written in another way. */
static bool split_key(struct sp_text key, struct sp_text *id, size_t *n) {
  const char *dash = key.len > 0 ? memrchr(key.data, '-', key.len) : NULL;
  if (!dash) {
    return false;
  }
  *id = (struct sp_text){key.data, (size_t)(dash - key.data)};
  size_t digits = key.len - id->len - 1;
  *n = 0;
  for (size_t i = 1; i <= digits; i++) {
    if (dash[i] < '0' || dash[i] > '9' || digits > 9) {
      return false;
    }
    *n = *n * 10 + (size_t)(dash[i] - '0');
  }
  return digits > 0 && dash[1] != '0';
}

static enum sp_status line_id(struct sp_reader *reader, struct sp_text line, struct sp_text *id,
                              struct sp_error *err) {
  struct sp_text key;
  size_t n;
  sp_text_cut_word(&line, &key);
  return split_key(key, id, &n)
             ? SP_OK
             : sp_reader_fail(reader, err,
                              "the first word is no utt-n with n from 1; for text without n-best "
                              "lists say --format kaldi-text");
}

static enum sp_status read_tables(struct sp_reader *reader, struct sp_text key, struct sp_hyp *hyp,
                                  struct sp_error *err) {
  for (size_t t = 0; t < sp_kaldi_tables_count(reader->tables); t++) {
    struct sp_text name = sp_kaldi_tables_name(reader->tables, t);
    double value;
    SP_TRY(sp_kaldi_tables_read(reader->tables, t, key, &value, err));
    if (sp_text_equal(name, SP_TEXT_LITERAL("score"))) {
      hyp->score = value;
      hyp->has_score = true;
    } else {
      SP_TRY(sp_reader_add_component(reader, hyp, name, value, err));
    }
  }
  return SP_OK;
}

/* The rank is kept in `i` until all are there. */
static enum sp_status add(struct sp_reader *reader, struct sp_text line, struct sp_utt *utt,
                          struct sp_error *err) {
  struct sp_text key, id;
  struct sp_hyp *hyp;
  size_t n = 0;
  sp_text_cut_word(&line, &key);
  split_key(key, &id, &n);
  SP_TRY(sp_lines_add_hyp(reader, utt, &hyp, err));
  hyp->text = line;
  hyp->rank = (uint32_t)(n - 1);
  return read_tables(reader, key, hyp, err);
}

/* Puts every hypothesis in its place by swaps: each swap places one for good. */
static enum sp_status order(struct sp_reader *reader, struct sp_utt *utt, struct sp_error *err) {
  struct sp_hyp *hyps = reader->hyps;
  for (size_t i = 0; i < utt->n_hyps;) {
    size_t to = hyps[i].rank;
    if (to == i) {
      i++;
      continue;
    }
    if (to >= utt->n_hyps) {
      return sp_reader_fail(reader, err, "of %zu hypotheses one is number %zu", utt->n_hyps,
                            to + 1);
    }
    if (hyps[to].rank == to) {
      return sp_reader_fail(reader, err, "hypothesis %zu is given twice", to + 1);
    }
    struct sp_hyp moved = hyps[to];
    hyps[to] = hyps[i];
    hyps[i] = moved;
  }
  for (size_t i = 0; i < utt->n_hyps; i++) {
    hyps[i].rank = 0;
  }
  return SP_OK;
}

static enum sp_status next(struct sp_reader *reader, struct sp_utt *utt, bool *found,
                           struct sp_error *err) {
  static const struct sp_line_format lines = {line_id, add};
  SP_TRY(sp_lines_next(reader, &lines, utt, found, err));
  return *found ? order(reader, utt, err) : SP_OK;
}

const struct sp_reader_format sp_reader_kaldi = {.next = next};
