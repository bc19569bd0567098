/* writer_espnet2.c - an ESPnet2 decoding directory: {k}best_recog/text and score, and ref.text.
 *
 * It is made as DIR.tmp.PID and renamed in the end. All files of a list have the same utterances, so
 * the first utterance decides whether there are scores and references. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "writer_format.h"

enum { most_lists = 400 }; /* two open files each */

struct list {
  struct sp_sink *text, *score;
};

struct directory {
  char *path, *temporary;
  struct sp_sink *refs;
  struct list lists[most_lists];
  size_t n_lists; /* directories made */
  bool with_scores, with_refs, made;
};

static enum sp_status start(struct sp_archive_writer *w, const char *path, struct sp_error *err) {
  struct directory *d = calloc(1, sizeof *d);
  if (!d) {
    return sp_fail_memory(err, sizeof *d);
  }
  w->state = d;
  if (strcmp(path, "-") == 0) {
    return sp_fail(err, SP_EUSAGE, "espnet2 is a directory; it cannot go to standard output");
  }
  if (sp_file_exists(path)) {
    return sp_fail(err, SP_EIO, "%s exists already; an espnet2 directory is made anew", path);
  }
  d->path = strdup(path);
  if (!d->path || asprintf(&d->temporary, "%s.tmp.%ld", path, (long)getpid()) < 0) {
    d->temporary = NULL;
    return sp_fail_memory(err, 0);
  }
  SP_TRY(sp_file_make_directory(d->temporary, err));
  d->made = true;
  return SP_OK;
}

/* TEMPORARY/{k}best_recog/name, or TEMPORARY/name for k 0. */
static enum sp_status format_path(const struct directory *d, size_t k, const char *name,
                                  struct sp_buf *out, struct sp_error *err) {
  sp_buf_clear(out);
  SP_TRY(k > 0 ? sp_buf_printf(out, err, "%s/%zubest_recog%s%s", d->temporary, k, *name ? "/" : "",
                               name)
               : sp_buf_printf(out, err, "%s/%s", d->temporary, name));
  return sp_buf_cstr(out) ? SP_OK : sp_fail_memory(err, out->len);
}

static enum sp_status open_file(const struct directory *d, size_t k, const char *name,
                                struct sp_sink **out, struct sp_error *err) {
  struct sp_buf path = {0};
  enum sp_status status = format_path(d, k, name, &path, err);
  status = status == SP_OK ? sp_sink_open(path.data, out, err) : status;
  sp_buf_release(&path);
  return status;
}

static enum sp_status add_list(struct directory *d, const struct sp_utt *utt,
                               struct sp_error *err) {
  struct sp_buf path = {0};
  size_t k = d->n_lists + 1;
  if (d->n_lists == most_lists) {
    return sp_writer_fail(utt, err, "it has more than %d hypotheses", most_lists);
  }
  enum sp_status status = format_path(d, k, "", &path, err);
  status = status == SP_OK ? sp_file_make_directory(path.data, err) : status;
  sp_buf_release(&path);
  SP_TRY(status);
  struct list *list = &d->lists[d->n_lists++];
  SP_TRY(open_file(d, k, "text", &list->text, err));
  return d->with_scores ? open_file(d, k, "score", &list->score, err) : SP_OK;
}

/* "id value" to a file. */
static enum sp_status put_pair(struct sp_archive_writer *w, struct sp_sink *sink, struct sp_text id,
                               struct sp_text value, struct sp_error *err) {
  sp_buf_clear(&w->buf);
  SP_TRY(sp_writer_bytes(w, id, err));
  SP_TRY(sp_writer_raw(w, " ", err));
  SP_TRY(sp_writer_bytes(w, value, err));
  SP_TRY(sp_writer_raw(w, "\n", err));
  SP_TRY(sp_sink_write(sink, w->buf.data, w->buf.len, err));
  sp_buf_clear(&w->buf);
  return SP_OK;
}

static enum sp_status put_score(struct sp_archive_writer *w, struct sp_sink *sink,
                                const struct sp_utt *utt, double score, struct sp_error *err) {
  sp_buf_clear(&w->buf);
  SP_TRY(sp_writer_bytes(w, utt->id, err));
  SP_TRY(sp_writer_raw(w, " ", err));
  SP_TRY(sp_writer_score(w, score, err));
  SP_TRY(sp_writer_raw(w, "\n", err));
  SP_TRY(sp_sink_write(sink, w->buf.data, w->buf.len, err));
  sp_buf_clear(&w->buf);
  return SP_OK;
}

static enum sp_status put_ref(struct sp_archive_writer *w, struct directory *d,
                              const struct sp_utt *utt, struct sp_error *err) {
  if (!d->with_refs) {
    return sp_writer_lose(w, utt, "references, as the first utterance has none",
                          (struct sp_text){0}, utt->has_ref, err);
  }
  if (!utt->has_ref) {
    return sp_writer_fail(utt, err, "it has no reference, which all need as the first one has one");
  }
  SP_TRY(sp_writer_check(utt, "reference", utt->ref, "", err));
  return put_pair(w, d->refs, utt->id, utt->ref, err);
}

static enum sp_status put_hyp(struct sp_archive_writer *w, struct directory *d,
                              const struct sp_utt *utt, size_t rank, struct sp_error *err) {
  const struct sp_hyp *hyp = &utt->hyps[rank];
  SP_TRY(sp_writer_check(utt, "text", hyp->text, "", err));
  if (rank == d->n_lists) {
    SP_TRY(add_list(d, utt, err));
  }
  SP_TRY(put_pair(w, d->lists[rank].text, utt->id, hyp->text, err));
  if (!d->with_scores) {
    return sp_writer_lose(w, utt, "first-pass scores, as the first hypothesis has none",
                          (struct sp_text){0}, hyp->has_score, err);
  }
  return put_score(w, d->lists[rank].score, utt, hyp->score, err);
}

static enum sp_status put(struct sp_archive_writer *w, const struct sp_utt *utt,
                          struct sp_error *err) {
  struct directory *d = w->state;
  SP_TRY(sp_writer_check(utt, "id", utt->id, " ", err));
  if (!w->begun) {
    d->with_scores = utt->hyps[0].has_score;
    d->with_refs = utt->has_ref;
    SP_TRY(d->with_refs ? open_file(d, 0, "ref.text", &d->refs, err) : SP_OK);
  }
  if (d->with_scores) {
    SP_TRY(sp_writer_need_scores(utt, err));
  }
  SP_TRY(put_ref(w, d, utt, err));
  for (size_t i = 0; i < utt->n_hyps; i++) {
    SP_TRY(put_hyp(w, d, utt, i, err));
  }
  return SP_OK;
}

static enum sp_status close_sink(struct sp_sink **sink, struct sp_error *err) {
  struct sp_sink *closing = *sink;
  *sink = NULL;
  return closing ? sp_sink_close(closing, err) : SP_OK;
}

static enum sp_status finish(struct sp_archive_writer *w, struct sp_error *err) {
  struct directory *d = w->state;
  if (d->n_lists == 0) {
    static const struct sp_utt nobody = {.id = SP_TEXT_LITERAL("1")};
    SP_TRY(add_list(d, &nobody, err)); /* an archive without utterances has one empty list */
  }
  for (size_t i = 0; i < d->n_lists; i++) {
    SP_TRY(close_sink(&d->lists[i].text, err));
    SP_TRY(close_sink(&d->lists[i].score, err));
  }
  SP_TRY(close_sink(&d->refs, err));
  SP_TRY(sp_file_rename(d->temporary, d->path, err));
  d->made = false;
  return SP_OK;
}

/* Removes the files that were published in the temporary directory, and it. */
static void remove_all(const struct directory *d) {
  static const char *const names[] = {"text", "score", ""};
  struct sp_buf path = {0};
  for (size_t k = 1; k <= d->n_lists; k++) {
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
      if (format_path(d, k, names[i], &path, NULL) == SP_OK) {
        remove(path.data);
      }
    }
  }
  if (format_path(d, 0, "ref.text", &path, NULL) == SP_OK) {
    remove(path.data);
  }
  rmdir(d->temporary);
  sp_buf_release(&path);
}

static void stop(struct sp_archive_writer *w) {
  struct directory *d = w->state;
  if (!d) {
    return;
  }
  for (size_t i = 0; i < d->n_lists; i++) {
    sp_sink_discard(d->lists[i].text);
    sp_sink_discard(d->lists[i].score);
  }
  sp_sink_discard(d->refs);
  if (d->made) {
    remove_all(d);
  }
  free(d->path);
  free(d->temporary);
  free(d);
}

const struct sp_writer_format sp_writer_espnet2 = {
    .holds = SP_HOLDS_LISTS | SP_HOLDS_REF | SP_HOLDS_SCORE,
    .own_files = true,
    .start = start,
    .put = put,
    .finish = finish,
    .stop = stop};
