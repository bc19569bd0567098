#include "scan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "checked.h"
#include "clock.h"
#include "id_set.h"
#include "job.h"
#include "scan_team.h"

/* What one pass carries along. */
struct scanner {
  const struct sp_settings *settings;
  const struct sp_context *context;
  struct sp_archive *archive;
  struct sp_id_set *ids;
  struct sp_scan_team *team;
  uint64_t read; /* utterances that were given to the team */
  double start, last_told;
  bool folded;          /* nothing that came back has failed */
  struct sp_scan *scan; /* of utterances that came back */
};

enum sp_status sp_scan_add_id(struct sp_id_set *ids, struct sp_archive *archive, struct sp_text id,
                              struct sp_error *err) {
  bool duplicate;
  SP_TRY(sp_id_set_add(ids, id, &duplicate, err));
  if (duplicate) {
    return sp_fail(err, SP_EINPUT, "%s: the id '%.*s' occurs twice", sp_archive_place(archive),
                   (int)sp_min_size(id.len, 200), id.data);
  }
  return SP_OK;
}

enum sp_status sp_scan_finish_ids(struct sp_id_set *ids, struct sp_error *err) {
  uint64_t first, second;
  SP_TRY(sp_id_set_finish(ids, &first, &second, err));
  if (first != second) {
    return sp_fail(err, SP_EINPUT, "utterances %llu and %llu of the archive have the same id",
                   (unsigned long long)first + 1, (unsigned long long)second + 1);
  }
  return SP_OK;
}

/* A pipe can be read only once, and opening it again may wait for ever. */
static enum sp_status refuse_pipes(const struct sp_score_options *options, const char *const *paths,
                                   size_t n_paths, struct sp_error *err) {
  bool alone = options->parts == 0 && !options->ranks && !options->prepare;
  for (size_t i = 0; i < n_paths; i++) {
    struct stat info;
    if (stat(paths[i], &info) == 0 && (S_ISFIFO(info.st_mode) || S_ISSOCK(info.st_mode))) {
      return sp_fail(err, SP_EUSAGE, "%s is a pipe, but the archive is read twice: give %s",
                     paths[i],
                     alone ? "it as standard input ('-')" : "a file, which all workers can read");
    }
  }
  return SP_OK;
}

/* The letter case is decided from the first utterances, in a reading of their own. */
static enum sp_status look_at_case(const struct sp_settings *settings,
                                   const struct sp_context *context, const char *const *paths,
                                   size_t n_paths, struct sp_scan *scan, struct sp_error *err) {
  struct sp_archive *archive;
  struct sp_case_look look = {0};
  SP_TRY(sp_archive_open_with(paths, n_paths, &settings->archive, &archive, err));
  enum sp_status status = SP_OK;
  uint64_t limit = settings->options->limit;
  uint64_t utts = limit && limit < SP_CASE_LOOK_UTTS ? limit : SP_CASE_LOOK_UTTS;
  for (uint64_t u = 0; status == SP_OK && u < utts; u++) {
    struct sp_utt utt;
    bool found;
    status = sp_archive_next(archive, &utt, &found, err);
    if (status != SP_OK || !found) {
      break;
    }
    for (size_t h = 0; h < utt.n_hyps; h++) {
      sp_case_look_at(&look, utt.hyps[h].text);
    }
  }
  sp_archive_close(archive);
  scan->letter_case = sp_case_resolve(settings, context, &look);
  return status;
}

/* ---- what comes back from the team ---- */

static enum sp_status fold(struct scanner *s, const struct sp_scan_batch *batch,
                           struct sp_error *err) {
  struct sp_scan *scan = s->scan;
  if (batch->status != SP_OK) {
    return sp_fail(err, batch->status, "%s", batch->err.message);
  }
  sp_counts_add(&scan->counts, &batch->counts);
  scan->longest_tokens = sp_max_size(scan->longest_tokens, batch->longest_tokens);
  scan->look_seconds += batch->seconds;
  for (size_t u = 0; u < batch->n; u++) {
    SP_TRY(sp_marks_add(&scan->marks, &batch->utts[u].mark, err));
  }
  return SP_OK;
}

/* Adds up the oldest batch that is out; *found is false where none is, or without `wait` none ready. */
static enum sp_status collect(struct scanner *s, bool wait, bool *found, struct sp_error *err) {
  const struct sp_scan_batch *batch = sp_scan_team_collect(s->team, wait);
  *found = batch != NULL;
  if (!batch) {
    return SP_OK;
  }
  enum sp_status status = fold(s, batch, err);
  s->folded = status == SP_OK;
  sp_scan_team_release(s->team);
  return status;
}

/* The team gets all that was read so far, and what is ready is added up: with `wait` all of it. */
static enum sp_status settle(struct scanner *s, bool wait, struct sp_error *err) {
  const struct sp_scan_batch *open = sp_scan_team_open(s->team);
  bool found = true;
  if (open && open->n > 0) {
    sp_scan_team_submit(s->team);
  }
  while (found) {
    SP_TRY(collect(s, wait, &found, err));
  }
  return SP_OK;
}

static enum sp_status tell_progress(struct scanner *s, struct sp_error *err) {
  const struct sp_score_options *options = s->settings->options;
  double now = sp_clock_seconds();
  if (!options->progress || now - s->last_told <= 0.1) {
    return SP_OK;
  }
  SP_TRY(settle(s, false, err));
  struct sp_progress progress = {.utts_done = s->scan->counts.utts,
                                 .hyps_done = s->scan->counts.hyps,
                                 .tokens_done = s->scan->counts.tokens,
                                 .seconds = now - s->start,
                                 .validating = true};
  options->progress(options->context, &progress);
  s->last_told = now;
  return SP_OK;
}

/* ---- reading ---- */

/* The open batch, with room for the utterance. */
static enum sp_status open_batch(struct scanner *s, const struct sp_utt *utt, const char *where,
                                 struct sp_scan_batch **out, struct sp_error *err) {
  struct sp_scan_batch *open = sp_scan_team_open(s->team);
  if (open && !sp_scan_batch_fits(open, utt, where)) {
    sp_scan_team_submit(s->team);
    open = sp_scan_team_open(s->team);
  }
  while (!open) {
    bool found;
    SP_TRY(collect(s, true, &found, err));
    open = sp_scan_team_open(s->team);
  }
  *out = open;
  return SP_OK;
}

static enum sp_status read_utt(struct scanner *s, const struct sp_utt *utt, struct sp_error *err) {
  const bool may_fail = s->settings->on_long == SP_LONG_ERROR;
  const char *where = may_fail ? sp_archive_place(s->archive) : NULL;
  struct sp_scan_batch *batch;
  struct sp_place place;
  bool has_place = sp_archive_tell(s->archive, &place);
  SP_TRY(open_batch(s, utt, where, &batch, err));
  SP_TRY(sp_scan_batch_add(batch, utt, s->read++, has_place ? &place : NULL, where, err));
  return batch->bytes > SP_SCAN_BATCH_BYTES ? settle(s, true, err)
                                            : SP_OK; /* a long one is alone */
}

static enum sp_status read_all(struct scanner *s, struct sp_error *err) {
  uint64_t limit = s->settings->options->limit;
  for (;;) {
    struct sp_utt utt;
    bool found;
    if (sp_stop_wanted(s->settings->options)) {
      return sp_fail(err, SP_EINTERRUPTED, "interrupted while the input was being validated");
    }
    SP_TRY(sp_archive_next(s->archive, &utt, &found, err));
    if (!found) {
      return SP_OK;
    }
    SP_TRY(sp_scan_add_id(s->ids, s->archive, utt.id, err));
    if (limit == 0 || s->read < limit) { /* what lies beyond is validated, not counted */
      SP_TRY(read_utt(s, &utt, err));
      SP_TRY(tell_progress(s, err));
    }
  }
}

/* Where reading fails, a text before that place may be at fault, and comes first. */
static enum sp_status scan_all(struct scanner *s, struct sp_error *err) {
  struct sp_error why;
  s->start = s->last_told = sp_clock_seconds();
  s->folded = true;
  enum sp_status status = read_all(s, err);
  if (status == SP_EINTERRUPTED || !s->folded) {
    return status;
  }
  enum sp_status earlier = settle(s, true, &why);
  if (earlier != SP_OK) {
    return sp_fail(err, earlier, "%s", why.message);
  }
  return status == SP_OK ? sp_scan_finish_ids(s->ids, err) : status;
}

static enum sp_status keep_files(struct scanner *s, struct sp_error *err) {
  const struct sp_archive_file *files;
  size_t n;
  SP_TRY(sp_archive_files(s->archive, &files, &n, err));
  s->scan->files = calloc(n ? n : 1, sizeof *s->scan->files);
  if (!s->scan->files) {
    return sp_fail_memory(err, n * sizeof *s->scan->files);
  }
  for (size_t i = 0; i < n; i++) {
    struct sp_scan_file *file = &s->scan->files[i];
    *file = (struct sp_scan_file){.path = strdup(files[i].path), .digest = files[i].digest};
    if (!file->path) {
      return sp_fail_memory(err, strlen(files[i].path));
    }
    s->scan->n_files++;
  }
  return SP_OK;
}

static void take_facts(struct scanner *s, double seconds) {
  struct sp_scan_team_facts facts = sp_scan_team_tell(s->team);
  s->scan->threads = facts.threads;
  s->scan->read_seconds = seconds - facts.caller_seconds;
}

enum sp_status sp_scan_archive(const struct sp_settings *settings, const struct sp_context *context,
                               const char *const *paths, size_t n_paths, struct sp_scan *out,
                               struct sp_error *err) {
  struct scanner s = {.settings = settings, .context = context, .scan = out};
  enum sp_status status;
  *out = (struct sp_scan){0};
  sp_marks_init(&out->marks, settings->options->shard_utts);
  SP_TRY_GOTO(refuse_pipes(settings->options, paths, n_paths, err), release);
  SP_TRY_GOTO(look_at_case(settings, context, paths, n_paths, out, err), release);
  SP_TRY_GOTO(sp_scan_team_create(settings, context, out->letter_case, &s.team, err), release);
  SP_TRY_GOTO(sp_id_set_create(SP_ID_SET_MEMORY, NULL, &s.ids, err), release);
  SP_TRY_GOTO(sp_archive_open_with(paths, n_paths, &settings->archive, &s.archive, err), release);
  out->format = sp_archive_get_format(s.archive);
  double start = sp_clock_thread_seconds();
  SP_TRY_GOTO(scan_all(&s, err), release);
  take_facts(&s, sp_clock_thread_seconds() - start);
  status = keep_files(&s, err);
release:
  sp_scan_team_destroy(s.team);
  sp_archive_close(s.archive);
  sp_id_set_destroy(s.ids);
  return status;
}

void sp_scan_release(struct sp_scan *scan) {
  for (size_t i = 0; i < scan->n_files; i++) {
    free(scan->files[i].path);
  }
  free(scan->files);
  sp_marks_release(&scan->marks);
  *scan = (struct sp_scan){0};
}

size_t sp_scan_shard_utts(const struct sp_settings *settings, const struct sp_scan *scan) {
  if (settings->options->shard_utts) {
    return settings->options->shard_utts;
  }
  double mean =
      (double)scan->counts.tokens / (double)scan->counts.utts; /* at least one utterance */
  double tokens = fmin(fmax((double)scan->counts.tokens / SP_SHARDS_WANTED, SP_SHARD_TOKENS),
                       SP_SHARD_TOKENS_MOST);
  double wanted = mean > 0 ? tokens / mean : SP_SHARD_TOKENS;
  return sp_marks_round_up(&scan->marks, wanted < 1 ? 1 : (size_t)wanted);
}

enum sp_status sp_scan_check_unchanged(const struct sp_scan *scan, struct sp_archive *archive,
                                       struct sp_error *err) {
  const struct sp_archive_file *files;
  size_t n;
  SP_TRY(sp_archive_files(archive, &files, &n, err));
  for (size_t i = 0; i < n; i++) {
    if (n != scan->n_files || files[i].digest.bytes != scan->files[i].digest.bytes ||
        strcmp(files[i].digest.xxh128, scan->files[i].digest.xxh128) != 0) {
      return sp_fail(err, SP_EINPUT, "%s: the file changed while it was being scored",
                     files[i].path);
    }
  }
  return SP_OK;
}

enum sp_status sp_scan_check_untouched(const struct sp_scan *scan, const struct sp_archive *archive,
                                       struct sp_error *err) {
  uint64_t *opened = malloc((scan->n_files + 1) * sizeof *opened);
  if (!opened) {
    return sp_fail_memory(err, (scan->n_files + 1) * sizeof *opened);
  }
  size_t n = sp_archive_opened(archive, opened, scan->n_files);
  enum sp_status status = SP_OK;
  for (size_t i = 0; i < scan->n_files && status == SP_OK; i++) {
    const struct sp_scan_file *file = &scan->files[i];
    if (sp_source_stamp(file->path) != file->digest.stamp ||
        (i < n && opened[i] && opened[i] != file->digest.stamp)) {
      status =
          sp_fail(err, SP_EINPUT, "%s: the file changed while it was being scored", file->path);
    }
  }
  free(opened);
  return status;
}
