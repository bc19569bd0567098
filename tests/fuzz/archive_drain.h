/* archive_drain.h - reads an archive to its end, touching every byte that is handed out, and once more from
 * the place of one of its utterances, and from one that is nobody's. */
#ifndef SP_TESTS_FUZZ_ARCHIVE_DRAIN_H
#define SP_TESTS_FUZZ_ARCHIVE_DRAIN_H

#include <math.h>
#include <stdlib.h>

#include "archive.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static inline size_t drain_sum(struct sp_text text) {
  size_t sum = 0;
  for (size_t i = 0; i < text.len; i++) {
    sum += (unsigned char)text.data[i];
  }
  return sum;
}

static inline size_t drain_fields(const struct sp_field *fields, size_t n) {
  size_t sum = 0;
  for (size_t i = 0; i < n; i++) {
    sum += drain_sum(fields[i].name) + drain_sum(fields[i].json);
  }
  return sum;
}

static inline size_t drain_members(const struct sp_hyp *hyp) {
  size_t sum = drain_fields(hyp->fields, hyp->n_fields);
  for (size_t i = 0; i < hyp->n_components; i++) {
    sum += drain_sum(hyp->components[i].name);
    if (!isfinite(hyp->components[i].value) || hyp->components[i].name.len == 0) {
      abort();
    }
  }
  return sum;
}

/* What every reader promises of an utterance; a broken promise ends the fuzzer. */
static inline size_t drain_utt(const struct sp_utt *utt) {
  size_t sum = drain_sum(utt->id) + (utt->has_ref ? drain_sum(utt->ref) : 0) +
               drain_fields(utt->fields, utt->n_fields);
  for (size_t i = 0; i < utt->n_hyps; i++) {
    sum += drain_sum(utt->hyps[i].text) + drain_members(&utt->hyps[i]);
    if (!isfinite(utt->hyps[i].score) || !isfinite(utt->hyps[i].total)) {
      abort();
    }
  }
  if (utt->id.len == 0 || sum == 0) {
    abort();
  }
  return sum;
}

struct drain_place {
  struct sp_place place;
  size_t sum; /* of the utterance there; 0: none */
};

/* The utterance at a place is the one that stood there. */
static inline void drain_from(const struct drain_place *at, struct sp_text bytes,
                              const struct sp_archive_options *options) {
  struct sp_error err;
  struct sp_source *source = NULL;
  struct sp_archive *archive = NULL;
  struct sp_utt utt;
  bool found;
  if (sp_source_open_memory("fuzz", bytes, &source, &err) != SP_OK ||
      sp_archive_open_source_with(source, options, &archive, &err) != SP_OK ||
      sp_archive_seek(archive, &at->place, &err) != SP_OK ||
      sp_archive_next(archive, &utt, &found, &err) != SP_OK || !found ||
      drain_utt(&utt) != at->sum) {
    abort();
  }
  sp_archive_close(archive);
}

/* A place that nobody told gives utterances, the end or a failure. */
static inline void drain_astray(struct sp_text bytes, const struct sp_archive_options *options) {
  struct sp_error err;
  struct sp_source *source = NULL;
  struct sp_archive *archive = NULL;
  struct sp_utt utt;
  bool found = true;
  size_t len = bytes.len;
  struct sp_place place = {.stored = len > 8 ? (unsigned char)bytes.data[len / 2] % len : 0,
                           .raw = len % 5};
  if (sp_source_open_memory("fuzz", bytes, &source, &err) != SP_OK ||
      sp_archive_open_source_with(source, options, &archive, &err) != SP_OK) {
    return;
  }
  enum sp_status status = sp_archive_seek(archive, &place, &err);
  while (status == SP_OK && found) {
    status = sp_archive_next(archive, &utt, &found, &err);
    if (status == SP_OK && found) {
      drain_utt(&utt);
    }
  }
  sp_archive_close(archive);
}

static inline void drain_with(const unsigned char *data, size_t size,
                              const struct sp_archive_options *options) {
  struct sp_error err;
  struct sp_source *source = NULL;
  struct sp_archive *archive = NULL;
  struct sp_utt utt;
  bool found;
  struct sp_text bytes = {(const char *)data, size};
  if (sp_source_open_memory("fuzz", bytes, &source, &err) != SP_OK ||
      sp_archive_open_source_with(source, options, &archive, &err) != SP_OK) {
    return;
  }
  struct drain_place at = {.sum = 0};
  for (size_t n = 0; sp_archive_next(archive, &utt, &found, &err) == SP_OK && found; n++) {
    size_t sum = drain_utt(&utt);
    if (n <= size % 8 && sp_archive_tell(archive, &at.place)) {
      at.sum = sum;
    }
  }
  sp_archive_close(archive);
  if (at.sum > 0) {
    drain_from(&at, bytes, options);
  }
  drain_astray(bytes, options);
}

static inline void drain_archive(const unsigned char *data, size_t size,
                                 enum sp_archive_format format) {
  struct sp_archive_options options = {.format = format};
  drain_with(data, size, &options);
}

#endif
