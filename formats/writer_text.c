/* writer_text.c - the output formats of one text an utterance: trn, Kaldi text, plain text. */
#include <string.h>

#include "writer_format.h"

/* The reference when it was asked for, else the best hypothesis. */
static enum sp_status choose_text(const struct sp_archive_writer *w, const struct sp_utt *utt,
                                  struct sp_text *text, struct sp_error *err) {
  if (w->options.refs && !utt->has_ref) {
    return sp_writer_fail(utt, err, "it has no reference");
  }
  *text = w->options.refs   ? utt->ref
          : utt->n_hyps > 0 ? utt->hyps[0].text
                            : (struct sp_text){"", 0};
  return sp_writer_check(utt, w->options.refs ? "reference" : "text", *text, "", err);
}

static enum sp_status put_text(struct sp_archive_writer *w, const struct sp_utt *utt,
                               struct sp_error *err) {
  struct sp_text text;
  SP_TRY(choose_text(w, utt, &text, err));
  SP_TRY(sp_writer_drop_id(w, utt, err));
  SP_TRY(sp_writer_bytes(w, text, err));
  return sp_writer_raw(w, "\n", err);
}

static enum sp_status put_kaldi_text(struct sp_archive_writer *w, const struct sp_utt *utt,
                                     struct sp_error *err) {
  struct sp_text text;
  SP_TRY(choose_text(w, utt, &text, err));
  SP_TRY(sp_writer_check(utt, "id", utt->id, " ", err));
  SP_TRY(sp_writer_bytes(w, utt->id, err));
  SP_TRY(sp_writer_raw(w, text.len > 0 ? " " : "", err));
  SP_TRY(sp_writer_bytes(w, text, err));
  return sp_writer_raw(w, "\n", err);
}

/* Whether braces stand only in alternations "{ a / b }", as words of their own, which a transcript
 * may have. */
static bool has_good_braces(struct sp_text text) {
  bool inside = false, slash = false;
  for (size_t at = 0; at < text.len;) {
    size_t end = at;
    while (end < text.len && text.data[end] != ' ') {
      end++;
    }
    struct sp_text word = {text.data + at, end - at};
    bool braces =
        word.len > 0 && (memchr(word.data, '{', word.len) || memchr(word.data, '}', word.len));
    if (sp_text_equal(word, SP_TEXT_LITERAL("{")) && !inside) {
      inside = true;
      slash = false;
    } else if (sp_text_equal(word, SP_TEXT_LITERAL("}")) && inside && slash) {
      inside = false;
    } else if (braces) {
      return false;
    } else {
      slash = slash || sp_text_equal(word, SP_TEXT_LITERAL("/"));
    }
    at = end + 1;
  }
  return !inside;
}

static enum sp_status put_trn(struct sp_archive_writer *w, const struct sp_utt *utt,
                              struct sp_error *err) {
  struct sp_text text;
  SP_TRY(choose_text(w, utt, &text, err));
  SP_TRY(sp_writer_check(utt, w->options.refs ? "reference" : "text", text, "()", err));
  SP_TRY(sp_writer_check(utt, "id", utt->id, "() ", err));
  if (!has_good_braces(text)) {
    return sp_writer_fail(utt, err, "its text has braces that are no alternation '{ a / b }'");
  }
  if (text.len > 1 && memcmp(text.data, ";;", 2) == 0) {
    return sp_writer_fail(utt, err, "its text begins with ';;', which begins a comment there");
  }
  SP_TRY(sp_writer_bytes(w, text, err));
  SP_TRY(sp_writer_raw(w, text.len > 0 ? " (" : "(", err));
  SP_TRY(sp_writer_bytes(w, utt->id, err));
  return sp_writer_raw(w, ")\n", err);
}

const struct sp_writer_format sp_writer_text = {.holds = SP_HOLDS_ONE_TEXT, .put = put_text};
const struct sp_writer_format sp_writer_kaldi_text = {.holds = SP_HOLDS_ONE_TEXT,
                                                      .put = put_kaldi_text};
const struct sp_writer_format sp_writer_trn = {.holds = SP_HOLDS_ONE_TEXT, .put = put_trn};
