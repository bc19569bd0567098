#include "sample_archive.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "mix.h"

struct writer {
  const struct sp_description *description;
  struct sp_text *words; /* (n_words) */
  size_t n_words;
  struct sp_buf text;
};

/* Pieces that are tokenized to themselves, cased or not. */
static bool is_word(struct sp_text piece) {
  for (size_t i = 0; i < piece.len; i++) {
    if (piece.data[i] < 'a' || piece.data[i] > 'z') {
      return false;
    }
  }
  return piece.len > 0;
}

static enum sp_status find_words(struct writer *w, const struct sp_context *context,
                                 struct sp_error *err) {
  const struct sp_tokenizer_info *info = sp_tokenizer_get_info(context->tokenizer);
  w->words = calloc(info->vocab_size + 1, sizeof *w->words);
  if (!w->words) {
    return sp_fail_memory(err, info->vocab_size * sizeof *w->words);
  }
  for (size_t id = 0; id < info->vocab_size; id++) {
    struct sp_text piece = sp_tokenizer_piece(context->tokenizer, (int32_t)id);
    if (is_word(piece)) {
      w->words[w->n_words++] = piece;
    }
  }
  return w->n_words ? SP_OK
                    : sp_fail(err, SP_EMODEL,
                              "%s has no word of the letters a to z, which texts could be made of",
                              info->source);
}

/* {"text":"w w w","score":-1.5}: word `position` is the list's own, or the hypothesis's in one place. */
static enum sp_status write_hyp(struct writer *w, uint64_t u, uint32_t h, uint32_t n,
                                struct sp_error *err) {
  SP_TRY(sp_buf_printf(&w->text, err, "%s{\"text\":\"", h ? "," : ""));
  for (uint32_t position = 0; position < n; position++) {
    uint64_t seed = sp_mix64(u * 0x9e3779b97f4a7c15u + position + 1);
    if (h > 0 && position == h % n) {
      seed = sp_mix64(seed + h);
    }
    struct sp_text word = w->words[seed % w->n_words];
    SP_TRY(sp_buf_append(&w->text, " ", position > 0, err));
    SP_TRY(sp_buf_append(&w->text, word.data, word.len, err));
  }
  return sp_buf_printf(&w->text, err, "\",\"score\":-%u.%04u}", n / 4 + h / 2,
                       (unsigned)(sp_mix64(u + h) % 10000));
}

static enum sp_status pad(struct writer *w, size_t begun, struct sp_error *err) {
  static const char open[] = ",\"x\":\"";
  size_t have = w->text.len - begun + sizeof open + 2, want = w->description->utt_bytes;
  if (have >= want) {
    return SP_OK;
  }
  SP_TRY(sp_buf_append(&w->text, open, sizeof open - 1, err));
  SP_TRY(sp_buf_reserve(&w->text, want - have, err));
  memset(w->text.data + w->text.len, 'x', want - have);
  w->text.len += want - have;
  return sp_buf_append(&w->text, "\"", 1, err);
}

static enum sp_status write_utt(struct writer *w, uint64_t u, struct sp_error *err) {
  size_t begun = w->text.len;
  uint32_t n = sp_description_length(w->description, u);
  SP_TRY(sp_buf_printf(&w->text, err, "{\"id\":\"%0*" PRIu64 "\",\"hyps\":[",
                       (int)w->description->id_bytes, u));
  for (uint32_t h = 0; h < w->description->hyps; h++) {
    SP_TRY(write_hyp(w, u, h, n, err));
  }
  SP_TRY(sp_buf_append(&w->text, "]", 1, err));
  SP_TRY(pad(w, begun, err));
  return sp_buf_append(&w->text, "}\n", 2, err);
}

static enum sp_status flush(struct writer *w, struct sp_sample *out, struct sp_error *err) {
  out->bytes += w->text.len;
  SP_TRY(sp_file_write_all(out->fd, w->text.data, w->text.len, "a temporary file", err));
  sp_buf_clear(&w->text);
  return SP_OK;
}

static enum sp_status write_all(struct writer *w, uint64_t utts, struct sp_sample *out,
                                struct sp_error *err) {
  const char *directory = getenv("TMPDIR");
  SP_TRY(sp_file_temporary(directory && *directory ? directory : "/tmp", "secondpass-sample",
                           &out->fd, err));
  snprintf(out->path, sizeof out->path, "/proc/self/fd/%d", out->fd);
  for (; out->utts < utts; out->utts++) {
    SP_TRY(write_utt(w, out->utts, err));
    if (w->text.len >= (size_t)1 << 20) {
      SP_TRY(flush(w, out, err));
    }
  }
  return flush(w, out, err);
}

enum sp_status sp_sample_make(const struct sp_description *description,
                              const struct sp_context *context, uint64_t utts,
                              struct sp_sample *out, struct sp_error *err) {
  struct writer writer = {.description = description};
  *out = (struct sp_sample){.fd = -1};
  enum sp_status status = find_words(&writer, context, err);
  if (status == SP_OK) {
    status = write_all(&writer, utts, out, err);
  }
  free(writer.words);
  sp_buf_release(&writer.text);
  return status;
}

void sp_sample_close(struct sp_sample *sample) {
  if (sample->fd >= 0) {
    close(sample->fd);
  }
  sample->fd = -1;
}
