#include "hyp_source.h"

#include <stdlib.h>

#include "text_words.h"

struct sp_hyp_source {
  struct sp_archive *archive;
};

void sp_hyp_source_close(struct sp_hyp_source *source) {
  if (source) {
    sp_archive_close(source->archive);
    free(source);
  }
}

static enum sp_status open_archive(struct sp_hyp_source *out, const char *const *paths,
                                   size_t n_paths, const struct sp_archive_options *options,
                                   struct sp_error *err) {
  struct sp_archive_options with_ids = *options;
  with_ids.texts_have_ids = true;
  SP_TRY(sp_archive_open_with(paths, n_paths, &with_ids, &out->archive, err));
  return sp_archive_get_format(out->archive) != SP_FORMAT_TEXT
             ? SP_OK
             : sp_fail(err, SP_EUSAGE,
                       "%s: plain text has no utterance ids to find references by; give trn, Kaldi "
                       "text or archives",
                       paths[0]);
}

enum sp_status sp_hyp_source_open(const char *const *paths, size_t n_paths,
                                  const struct sp_archive_options *options,
                                  struct sp_hyp_source **out, struct sp_error *err) {
  struct sp_hyp_source *source = calloc(1, sizeof *source);
  if (!source) {
    return sp_fail_memory(err, sizeof *source);
  }
  enum sp_status status = open_archive(source, paths, n_paths, options, err);
  if (status != SP_OK) {
    sp_hyp_source_close(source);
    return status;
  }
  *out = source;
  return SP_OK;
}

static enum sp_status refuse_markup(struct sp_hyp_source *source, struct sp_text text,
                                    struct sp_error *err) {
  size_t at = 0;
  for (;;) {
    struct sp_text word = sp_next_word(text, false, &at);
    if (word.len == 0) {
      return SP_OK;
    }
    if (word.len == 1 && memchr("{}@", word.data[0], 3)) {
      return sp_fail(err, SP_EINPUT, "%s: %s", sp_hyp_source_place(source),
                     word.data[0] == '@' ? "sclite's empty word @ is not read; leave it out"
                                         : "sclite's alternations { a / b } are not read");
    }
  }
}

enum sp_status sp_hyp_source_next(struct sp_hyp_source *source, struct sp_utt *utt, bool *found,
                                  struct sp_error *err) {
  SP_TRY(sp_archive_next(source->archive, utt, found, err));
  return *found && sp_archive_get_format(source->archive) == SP_FORMAT_TRN
             ? refuse_markup(source, utt->hyps[0].text, err)
             : SP_OK;
}

const char *sp_hyp_source_place(struct sp_hyp_source *source) {
  return sp_archive_place(source->archive);
}

bool sp_hyp_source_is_text(const struct sp_hyp_source *source) {
  enum sp_archive_format format = sp_archive_get_format(source->archive);
  return format == SP_FORMAT_TRN || format == SP_FORMAT_KALDI_TEXT;
}
