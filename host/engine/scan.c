#include "scan.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "checked.h"
#include "clock.h"
#include "id_set.h"

/* What one pass carries along. */
struct scanner {
  const struct sp_settings *settings;
  const struct sp_context *context;
  struct sp_archive *archive;
  struct sp_id_set *ids;
  struct sp_text_rule rule;
  struct sp_scan *scan;
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
static enum sp_status refuse_pipes(const char *const *paths, size_t n_paths, struct sp_error *err) {
  for (size_t i = 0; i < n_paths; i++) {
    struct stat info;
    if (stat(paths[i], &info) == 0 && (S_ISFIFO(info.st_mode) || S_ISSOCK(info.st_mode))) {
      return sp_fail(err, SP_EUSAGE,
                     "%s is a pipe, but the archive is read twice: give it as standard input ('-')",
                     paths[i]);
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

static enum sp_status scan_hyp(struct scanner *s, const struct sp_hyp *hyp, size_t rank,
                               struct sp_error *err) {
  struct sp_tokens tokens;
  enum sp_flag flag;
  SP_TRY(sp_text_rule_apply(&s->rule, hyp->text, &tokens, &flag, err));
  s->scan->longest_tokens = sp_max_size(s->scan->longest_tokens, tokens.n);
  s->scan->counts.without_score += !hyp->has_score;
  if (flag == SP_FLAG_TOO_LONG && s->settings->on_long == SP_LONG_ERROR) {
    return sp_fail(err, SP_EINPUT,
                   "%s: hypothesis %zu has %zu tokens, the model takes %zu (--on-long "
                   "null|truncate goes on)",
                   sp_archive_place(s->archive), rank + 1, tokens.n, s->context->max_tokens);
  }
  sp_count_hyp(&s->scan->counts, &tokens, flag);
  return SP_OK;
}

static enum sp_status scan_utt(struct scanner *s, const struct sp_utt *utt, struct sp_error *err) {
  SP_TRY(sp_scan_add_id(s->ids, s->archive, utt->id, err));
  s->scan->counts.utts++;
  s->scan->counts.without_ref += !utt->has_ref;
  s->scan->counts.empty_lists += utt->n_hyps == 0;
  for (size_t h = 0; h < utt->n_hyps; h++) {
    SP_TRY(scan_hyp(s, &utt->hyps[h], h, err));
  }
  return SP_OK;
}

static void tell_progress(const struct scanner *s, double start, double *last) {
  const struct sp_score_options *options = s->settings->options;
  double now = sp_clock_seconds();
  if (options->progress && now - *last > 0.1) {
    struct sp_progress progress = {.utts_done = s->scan->counts.utts,
                                   .hyps_done = s->scan->counts.hyps,
                                   .tokens_done = s->scan->counts.tokens,
                                   .seconds = now - start,
                                   .validating = true};
    options->progress(options->context, &progress);
    *last = now;
  }
}

static enum sp_status scan_all(struct scanner *s, struct sp_error *err) {
  uint64_t limit = s->settings->options->limit;
  double start = sp_clock_seconds(), last = start;
  for (;;) {
    struct sp_utt utt;
    bool found;
    if (sp_stop_wanted(s->settings->options)) {
      return sp_fail(err, SP_EINTERRUPTED, "interrupted while the input was being validated");
    }
    SP_TRY(sp_archive_next(s->archive, &utt, &found, err));
    if (!found) {
      return sp_scan_finish_ids(s->ids, err);
    }
    if (limit && s->scan->counts.utts == limit) { /* what lies beyond is validated, not counted */
      SP_TRY(sp_scan_add_id(s->ids, s->archive, utt.id, err));
      continue;
    }
    SP_TRY(scan_utt(s, &utt, err));
    tell_progress(s, start, &last);
  }
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

enum sp_status sp_scan_archive(const struct sp_settings *settings, const struct sp_context *context,
                               const char *const *paths, size_t n_paths, struct sp_scan *out,
                               struct sp_error *err) {
  struct scanner s = {.settings = settings, .context = context, .scan = out};
  enum sp_status status;
  *out = (struct sp_scan){0};
  SP_TRY_GOTO(refuse_pipes(paths, n_paths, err), release);
  SP_TRY_GOTO(look_at_case(settings, context, paths, n_paths, out, err), release);
  SP_TRY_GOTO(sp_text_rule_init(&s.rule, settings, context, out->letter_case, err), release);
  SP_TRY_GOTO(sp_id_set_create(SP_ID_SET_MEMORY, NULL, &s.ids, err), release);
  SP_TRY_GOTO(sp_archive_open_with(paths, n_paths, &settings->archive, &s.archive, err), release);
  out->format = sp_archive_get_format(s.archive);
  SP_TRY_GOTO(scan_all(&s, err), release);
  status = keep_files(&s, err);
release:
  sp_archive_close(s.archive);
  sp_id_set_destroy(s.ids);
  sp_text_rule_release(&s.rule);
  return status;
}

void sp_scan_release(struct sp_scan *scan) {
  for (size_t i = 0; i < scan->n_files; i++) {
    free(scan->files[i].path);
  }
  free(scan->files);
  *scan = (struct sp_scan){0};
}

size_t sp_scan_shard_utts(const struct sp_settings *settings, const struct sp_scan *scan) {
  if (settings->options->shard_utts) {
    return settings->options->shard_utts;
  }
  double mean =
      (double)scan->counts.tokens / (double)scan->counts.utts; /* at least one utterance */
  double wanted = mean > 0 ? SP_SHARD_TOKENS / mean : SP_SHARD_TOKENS;
  return wanted < 1 ? 1 : (size_t)wanted;
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
        (i < n && opened[i] != file->digest.stamp)) {
      status =
          sp_fail(err, SP_EINPUT, "%s: the file changed while it was being scored", file->path);
    }
  }
  free(opened);
  return status;
}
