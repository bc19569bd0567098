/* run_stream.c - one pass: work units of SP_CASE_LOOK_UTTS utterances, lines in archive order. */
#include "clock.h"
#include "id_set.h"
#include "run.h"

/* State of the one pass. */
struct stream {
  struct sp_run *run;
  struct sp_id_set *ids;
  struct sp_case_look look;
};

static enum sp_status see_utt(void *context, const struct sp_utt *utt, struct sp_error *err) {
  struct stream *stream = context;
  for (size_t h = 0; h < utt->n_hyps && !stream->run->pool; h++) {
    sp_case_look_at(&stream->look, utt->hyps[h].text);
  }
  return sp_scan_add_id(stream->ids, stream->run->archive, utt->id, err);
}

static enum sp_status put_line(void *context, struct sp_text line, struct sp_text id, uint64_t hyps,
                               uint64_t tokens, struct sp_error *err) {
  const struct sp_score_options *options = context;
  (void)id, (void)hyps, (void)tokens;
  return options->sink(options->context, line.data, line.len, err);
}

static enum sp_status finish_job(void *context, struct sp_job *job, struct sp_error *err) {
  struct sp_run *run = context;
  const struct sp_score_options *options = run->settings->options;
  SP_TRY(sp_job_write(job, run->settings, run->context, put_line, (void *)options, err));
  return sp_latency_counts_add(&run->latency, &job->latency, err);
}

/* The first unit is read before there is a pool, since it decides the letter case. */
static enum sp_status start_pool(struct stream *stream, enum sp_letter_case *letter_case,
                                 struct sp_error *err) {
  struct sp_run *run = stream->run;
  *letter_case = sp_case_resolve(run->settings, run->context, &stream->look);
  struct sp_pool_rules rules = {.settings = run->settings,
                                .context = run->context,
                                .letter_case = *letter_case,
                                .ordered = true,
                                .finish = finish_job,
                                .tick = sp_run_tick,
                                .callback_context = run};
  return sp_pool_create(&rules, &run->pool, err);
}

/* Reads unit after unit; `first` is the one read before the pool was there. */
static enum sp_status feed(struct stream *stream, struct sp_job *first, uint64_t left,
                           struct sp_error *err) {
  struct sp_run *run = stream->run;
  uint64_t unit =
      run->settings->options->shard_utts ? run->settings->options->shard_utts : SP_CASE_LOOK_UTTS;
  struct sp_job *job;
  uint64_t read = first->n_utts;
  SP_TRY(sp_pool_take(run->pool, 0, &job, err));
  struct sp_job swap = *job;
  *job = *first;
  *first = swap;
  sp_pool_submit(run->pool, job);
  for (size_t index = 1; read > 0 && left > 0; index++) {
    SP_TRY(sp_pool_take(run->pool, index, &job, err));
    SP_TRY(sp_run_read(run, job, left < unit ? left : unit, &read, see_utt, stream, err));
    left -= read;
    sp_pool_submit(run->pool, job);
  }
  SP_TRY(sp_scan_finish_ids(stream->ids, err));
  return sp_pool_drain(run->pool, err);
}

static enum sp_status stream_all(struct stream *stream, struct sp_job *first,
                                 struct sp_error *err) {
  struct sp_run *run = stream->run;
  const struct sp_score_options *options = run->settings->options;
  uint64_t left = options->limit ? options->limit : UINT64_MAX;
  uint64_t read;
  enum sp_letter_case letter_case;
  SP_TRY(sp_id_set_create(SP_ID_SET_MEMORY, NULL, &stream->ids, err));
  SP_TRY(sp_archive_open_with(options->archives, options->n_archives, &run->settings->archive,
                         &run->archive, err));
  SP_TRY(sp_run_read(run, first, left < SP_CASE_LOOK_UTTS ? left : SP_CASE_LOOK_UTTS, &read,
                     see_utt, stream, err));
  if (read == 0) {
    return sp_fail(err, SP_EINPUT, "the archive holds no utterance");
  }
  SP_TRY(start_pool(stream, &letter_case, err));
  sp_run_describe(run, sp_archive_get_format(run->archive), letter_case);
  return feed(stream, first, left - read, err);
}

enum sp_status sp_run_stream(struct sp_run *run, struct sp_error *err) {
  struct stream stream = {.run = run};
  struct sp_job first = {0};
  if (!run->settings->options->sink) {
    return sp_fail(err, SP_EUSAGE, "--out - needs a sink for its lines");
  }
  run->start = sp_clock_seconds();
  sp_job_begin(&first, 0);
  enum sp_status status = stream_all(&stream, &first, err);
  if (run->pool) {
    sp_run_tell(run, true);
    run->summary->counts = sp_pool_get_counts(run->pool);
    run->summary->hyps_scored = run->summary->counts.hyps;
    run->summary->devices_lost = sp_pool_get_lost(run->pool);
  }
  run->summary->score_seconds = sp_clock_seconds() - run->start;
  sp_job_release(&first);
  sp_id_set_destroy(stream.ids);
  return status;
}
