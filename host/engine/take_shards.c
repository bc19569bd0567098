/* take_shards.c - which shard is next: of the own share the longest first, others' work never twice.
 *
 * A shard that another worker has is left and looked at again in the end, until it is done or its worker is
 * gone. Ranks of one job draw numbers of the order from their counter instead of going through it. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "checked.h"
#include "clock.h"
#include "run_scan.h"
#include "worker.h"

void sp_worker_name(struct sp_worker *w) {
  const struct sp_score_options *options = sp_worker_options(w);
  size_t used = 0;
  if (options->prepare) {
    snprintf(w->name, sizeof w->name, "prepare");
  } else if (options->parts > 0) {
    used = (size_t)snprintf(w->name, sizeof w->name, "%zu/%zu", options->part, options->parts);
  }
  if (options->ranks && used < sizeof w->name) {
    snprintf(w->name + used, sizeof w->name - used, "%srank %zu of %zu", used ? ", " : "",
             options->ranks->rank, options->ranks->count);
  }
}

/* ---- what is done ---- */

static bool is_open(const struct sp_worker *w, size_t shard) {
  return w->d->state[shard] == SP_SHARD_OPEN || w->d->state[shard] == SP_SHARD_CUT;
}

static enum sp_status note_name(void *worker, const char *name, struct sp_error *err) {
  struct sp_worker *w = worker;
  size_t shard;
  bool marker;
  (void)err;
  if (sp_run_shard_name(name, w->d->shards, &shard, &marker) && marker &&
      w->d->state[shard] == SP_SHARD_OPEN) {
    w->d->state[shard] = SP_SHARD_FOUND;
  }
  return SP_OK;
}

enum sp_status sp_worker_count_open(struct sp_worker *w, size_t *open, struct sp_error *err) {
  *open = 0;
  SP_TRY(sp_run_scan(w->d->path, note_name, w, err));
  for (size_t i = 0; i < w->d->shards; i++) {
    *open += w->d->state[i] != SP_SHARD_FOUND && w->d->state[i] != SP_SHARD_MADE &&
             w->d->state[i] != SP_SHARD_LATE;
  }
  return SP_OK;
}

/* ---- the share ---- */

/* Of ranks of one job each looks at its part of what no ticket settled. */
static bool looks_at(const struct sp_worker *w, size_t k) {
  const struct sp_ranks *ranks = sp_worker_options(w)->ranks;
  return !ranks || k % ranks->count == ranks->rank;
}

static int by_index(const void *a, const void *b) {
  const uint32_t *x = a, *y = b;
  return (*x > *y) - (*x < *y);
}

static enum sp_status deal(struct sp_worker *w, struct sp_error *err) {
  const struct sp_score_options *options = sp_worker_options(w);
  size_t parts = options->parts ? options->parts : 1;
  SP_TRY(sp_shares_make(w->plan, w->d->shards, options->parts ? options->part : 0, parts,
                        &w->shares, err));
  bool forward = sp_shard_input_is_forward(w->plan, w->shares.order, w->shares.n, &w->reframed);
  if (options->ranks) { /* who draw numbers of one order */
    SP_TRY(options->ranks->broadcast(options->ranks->context, &forward, sizeof forward, err));
  }
  if (forward && sp_has_other_workers(options) && (!options->ranks || options->ranks->rank == 0)) {
    sp_warn(options,
            "the archive cannot be entered in its middle: every worker reads it from its start up "
            "to what it scores; 'secondpass convert' writes one that can be");
  }
  if (forward) {
    qsort(w->shares.order, w->shares.n, sizeof *w->shares.order, by_index);
  }
  return SP_OK;
}

static void expect(struct sp_worker *w, size_t shard) {
  struct sp_progress *progress = &w->d->run->progress;
  progress->utts_total += w->plan[shard].utts;
  progress->hyps_total += w->plan[shard].hyps;
  progress->tokens_total += w->plan[shard].tokens;
}

static void count_done(struct sp_worker *w, size_t shard) {
  struct sp_progress *progress = &w->d->run->progress;
  progress->utts_done += w->plan[shard].utts;
  progress->hyps_done += w->plan[shard].hyps;
  progress->tokens_done += w->plan[shard].tokens;
}

static enum sp_status ignore(void *context, size_t shard, const struct sp_shard_done *done,
                             struct sp_error *err) {
  (void)context, (void)shard, (void)done, (void)err;
  return SP_OK;
}

/* What the directory's list says is done is looked at once: each rank looks at its part of it. */
static enum sp_status look_at_listed(struct sp_worker *w, struct sp_error *err) {
  size_t n = 0;
  uint32_t *listed = calloc(w->shares.n + 1, sizeof *listed);
  if (!listed) {
    return sp_fail_memory(err, w->shares.n * sizeof *listed);
  }
  for (size_t k = 0; k < w->shares.n; k++) {
    if (looks_at(w, k) && w->d->state[w->shares.order[k]] == SP_SHARD_FOUND) {
      listed[n++] = w->shares.order[k];
    }
  }
  enum sp_status status = sp_directory_look_many(w->d, listed, n, ignore, NULL, err);
  free(listed);
  return status;
}

static size_t count_cut(const struct sp_worker *w, uint64_t *hyps) {
  size_t cut = 0;
  *hyps = 0;
  for (size_t i = 0; i < w->d->shards; i++) {
    if (w->d->state[i] == SP_SHARD_CUT) {
      cut++;
      *hyps += w->plan[i].hyps;
    }
  }
  return cut;
}

/* A rank takes what it did not look at for done; what others found cut there is not. */
static enum sp_status leave_out_cut(struct sp_worker *w, struct sp_error *err) {
  const struct sp_ranks *ranks = sp_worker_options(w)->ranks;
  struct sp_score_summary *summary = w->d->run->summary;
  uint64_t hyps;
  size_t cut = count_cut(w, &hyps);
  double all[] = {(double)cut, (double)hyps};
  if (!ranks) {
    return SP_OK;
  }
  SP_TRY(ranks->sum(ranks->context, all, sizeof all / sizeof *all, err));
  summary->shards_resumed -= sp_min_size(summary->shards_resumed, (size_t)all[0] - cut);
  summary->hyps_resumed -= sp_min_size(summary->hyps_resumed, (uint64_t)all[1] - hyps);
  return SP_OK;
}

static enum sp_status find_done(struct sp_worker *w, struct sp_error *err) {
  struct sp_score_summary *summary = w->d->run->summary;
  SP_TRY(look_at_listed(w, err));
  for (size_t k = 0; k < w->shares.n; k++) {
    size_t shard = w->shares.order[k];
    if (w->d->state[shard] == SP_SHARD_FOUND) {
      summary->shards_resumed++;
      summary->hyps_resumed += w->plan[shard].hyps;
      count_done(w, shard);
    }
  }
  SP_TRY(leave_out_cut(w, err));
  w->d->run->progress.hyps_resumed = summary->hyps_resumed;
  return SP_OK;
}

/* Ranks do about as much each of what is left. */
static void expect_part(struct sp_progress *progress, size_t ranks) {
  progress->utts_total = progress->utts_done + (progress->utts_total - progress->utts_done) / ranks;
  progress->hyps_total = progress->hyps_done + (progress->hyps_total - progress->hyps_done) / ranks;
  progress->tokens_total =
      progress->tokens_done + (progress->tokens_total - progress->tokens_done) / ranks;
}

enum sp_status sp_worker_share(struct sp_worker *w, struct sp_error *err) {
  struct sp_progress *progress = &w->d->run->progress;
  SP_TRY(deal(w, err));
  progress->utts_total = progress->hyps_total = progress->tokens_total = 0;
  for (size_t k = 0; k < w->shares.n; k++) {
    expect(w, w->shares.order[k]);
  }
  SP_TRY(sp_run_scan(w->d->path, note_name, w, err));
  SP_TRY(find_done(w, err));
  if (sp_worker_options(w)->ranks) {
    expect_part(progress, sp_worker_options(w)->ranks->count);
  }
  return SP_OK;
}

/* ---- shards under work ---- */

static enum sp_status take_off(struct sp_worker *w, size_t shard, struct sp_error *err) {
  if (w->n_flying == w->flying_room) {
    size_t room = sp_max_size(16, w->flying_room * 2);
    size_t *grown = realloc(w->flying, sp_mul_sat(room, sizeof *grown));
    if (!grown) {
      return sp_fail_memory(err, sp_mul_sat(room, sizeof *grown));
    }
    w->flying = grown;
    w->flying_room = room;
  }
  w->flying[w->n_flying++] = shard;
  w->d->state[shard] = SP_SHARD_TAKEN;
  return SP_OK;
}

void sp_worker_collect(struct sp_worker *w) {
  for (size_t i = w->n_flying; i-- > 0;) {
    size_t shard = w->flying[i];
    if (w->d->state[shard] != SP_SHARD_TAKEN) {
      w->flying[i] = w->flying[--w->n_flying];
      w->collected++;
      sp_claims_done(w->claims, shard);
    }
  }
}

/* A sp_pool_drop_fn. */
static void drop(void *worker, size_t shard) {
  struct sp_worker *w = worker;
  for (size_t i = w->n_flying; i-- > 0;) {
    if (w->flying[i] == shard) {
      w->flying[i] = w->flying[--w->n_flying];
    }
  }
  w->d->state[shard] = SP_SHARD_OPEN;
  sp_claims_drop(w->claims, shard);
}

static enum sp_status finish(void *worker, struct sp_job *job, struct sp_error *err) {
  return sp_directory_finish(((struct sp_worker *)worker)->d, job, err);
}

static enum sp_status start_pool(struct sp_worker *w, struct sp_error *err) {
  struct sp_run *run = w->d->run;
  struct sp_pool_rules rules = {.settings = run->settings,
                                .context = run->context,
                                .letter_case = w->d->scan.letter_case,
                                .finish = finish,
                                .tick = sp_worker_tick,
                                .callback_context = w};
  w->input = (struct sp_shard_input){.run = run,
                                     .options = run->settings->archive,
                                     .reframed = &w->reframed,
                                     .plan = w->plan,
                                     .shards = w->d->shards,
                                     .next = w->d->shards};
  if (w->plan[0]
          .has_place) { /* from the start on, the archive decides as it did when it was validated */
    w->input.options.format = w->d->scan.format;
  }
  return sp_pool_create(&rules, &run->pool, err);
}

static enum sp_status need_job(struct sp_worker *w, struct sp_error *err) {
  if (!w->d->run->pool) {
    SP_TRY(start_pool(w, err));
  }
  return w->job ? SP_OK : sp_pool_take(w->d->run->pool, 0, &w->job, err);
}

static enum sp_status feed(struct sp_worker *w, size_t shard, struct sp_error *err) {
  SP_TRY(take_off(w, shard, err));
  if (w->helps) {
    expect(w, shard);
  }
  sp_job_begin(w->job, shard);
  SP_TRY(sp_shard_input_read(&w->input, shard, w->job, err));
  sp_pool_submit(w->d->run->pool, w->job);
  w->job = NULL;
  sp_worker_collect(w);
  return SP_OK;
}

/* ---- taking ---- */

/* Shards under work that keep the devices busy: two each, and where shards are so short that reading and
 * preparing them shows, as many as were done a second. */
static size_t busy_shards(const struct sp_worker *w) {
  double seconds = sp_clock_seconds() - w->d->run->start;
  double a_second = seconds > 0 ? (double)w->collected / seconds : 0;
  return sp_max_size(2 * w->d->run->context->n_devices, (size_t)fmin(a_second, 1e6));
}

static enum sp_status look(struct sp_worker *w, size_t shard, struct sp_error *err) {
  SP_TRY(sp_directory_look(w->d, shard, NULL, err));
  if (w->d->state[shard] == SP_SHARD_FOUND && !w->helps) {
    count_done(w, shard);
  }
  return SP_OK;
}

/* Leaves it open when another has it. What looks cut may be on its way here, so that it is scored again
 * only when it still does so `later`. */
static enum sp_status try_shard(struct sp_worker *w, size_t shard, bool later,
                                struct sp_error *err) {
  enum sp_claim claim;
  bool took_over;
  if (sp_stop_wanted(sp_worker_options(w))) {
    return sp_fail(err, SP_EINTERRUPTED, "interrupted");
  }
  SP_TRY(need_job(w, err)); /* may wait: before the look */
  SP_TRY(look(w, shard, err));
  if (!is_open(w, shard) || (w->d->state[shard] == SP_SHARD_CUT && !later)) {
    return SP_OK;
  }
  SP_TRY(sp_claims_take(w->claims, shard, &claim, &took_over, err));
  if (claim != SP_CLAIM_MINE) {
    return SP_OK;
  }
  SP_TRY(sp_run_look_afresh(w->d->path, err));
  SP_TRY(look(w, shard, err)); /* its last worker may have published it just before */
  if (!is_open(w, shard)) {
    sp_claims_done(w->claims, shard);
    return SP_OK;
  }
  if (w->d->state[shard] == SP_SHARD_CUT) {
    sp_directory_remove_cut(w->d, shard);
  }
  w->d->run->summary->shards_taken_over += took_over;
  return feed(w, shard, err);
}

/* Ranks near the end of the order, and parts, take no more than keeps their devices busy, so that all end
 * together: what a worker has claimed nobody else can do. */
static enum sp_status wait_for_turn(struct sp_worker *w, bool few, struct sp_error *err) {
  size_t busy = busy_shards(w);
  while (few && w->n_flying >= busy) {
    SP_TRY(sp_pool_wait(w->d->run->pool, err));
    sp_worker_collect(w);
  }
  return SP_OK;
}

enum sp_status sp_worker_take_other(struct sp_worker *w, size_t shard, bool *taken,
                                    struct sp_error *err) {
  *taken = false;
  if (!is_open(w, shard)) {
    return SP_OK;
  }
  SP_TRY(wait_for_turn(w, true, err));
  w->helps = true;
  enum sp_status status = try_shard(w, shard, false, err);
  w->helps = false;
  *taken = status == SP_OK && !is_open(w, shard) && w->d->state[shard] != SP_SHARD_FOUND;
  return status;
}

static enum sp_status draw_all(struct sp_worker *w, struct sp_error *err) {
  const struct sp_ranks *ranks = sp_worker_options(w)->ranks;
  uint64_t ticket = 0;
  for (;;) {
    SP_TRY(need_job(w, err));
    SP_TRY(wait_for_turn(w, w->shares.n < ticket + 4 * busy_shards(w) * ranks->count, err));
    SP_TRY(ranks->ticket(ranks->context, &ticket, err));
    if (ticket >= w->shares.n) {
      return SP_OK;
    }
    if (is_open(w, w->shares.order[ticket])) {
      SP_TRY(try_shard(w, w->shares.order[ticket], false, err));
    }
  }
}

/* Once through the share; *left counts what is still open. What this rank found cut, no other knows of. */
static enum sp_status go_through(struct sp_worker *w, bool later, size_t *left,
                                 struct sp_error *err) {
  *left = 0;
  for (size_t k = 0; k < w->shares.n; k++) {
    size_t shard = w->shares.order[k];
    if (is_open(w, shard) && (looks_at(w, k) || w->d->state[shard] == SP_SHARD_CUT)) {
      SP_TRY(wait_for_turn(w, sp_worker_may_help(w), err));
      SP_TRY(try_shard(w, shard, later, err));
      *left += is_open(w, shard);
    }
  }
  return SP_OK;
}

static enum sp_status wait_seconds(struct sp_worker *w, double seconds, struct sp_error *err) {
  double until = sp_clock_seconds() + seconds;
  do {
    SP_TRY(sp_pool_wait(w->d->run->pool, err));
  } while (sp_clock_seconds() < until);
  return SP_OK;
}

/* Looks again at the shards of the share that others have. One list spares many looks. */
static enum sp_status look_again(struct sp_worker *w, double pause, size_t *left,
                                 struct sp_error *err) {
  enum { names_a_look = 16 };
  size_t open;
  SP_TRY(wait_seconds(w, pause, err));
  if (*left > w->d->shards / names_a_look) {
    SP_TRY(sp_worker_count_open(w, &open, err));
  }
  return go_through(w, true, left, err);
}

static enum sp_status drain(struct sp_worker *w, struct sp_error *err) {
  SP_TRY(w->d->run->pool ? sp_pool_drain(w->d->run->pool, err) : SP_OK);
  sp_worker_collect(w);
  return SP_OK;
}

/* Until nothing is left of the share that others have, nor of theirs to help with. */
static enum sp_status take_others(struct sp_worker *w, size_t left, struct sp_error *err) {
  const double longest = fmin(5, sp_worker_lease(w) / 4);
  size_t helped;
  bool again = true;
  for (double pause = 0.05; again; pause = fmin(1.5 * pause, longest)) {
    SP_TRY(sp_worker_help(w, &helped, err));
    if (left > 0) {
      SP_TRY(look_again(w, helped > 0 ? 0 : pause, &left, err));
    }
    again = left > 0 || helped > 0;
    if (!again) {
      SP_TRY(drain(w, err));
      SP_TRY(sp_worker_await_silent(w, &again, err));
    }
  }
  return SP_OK;
}

static enum sp_status take_all(struct sp_worker *w, struct sp_error *err) {
  size_t left;
  if (sp_worker_options(w)->ranks) {
    SP_TRY(draw_all(w, err));
    return drain(w, err);
  }
  SP_TRY(go_through(w, false, &left, err));
  return take_others(w, left, err);
}

static bool has_work(const struct sp_worker *w) {
  for (size_t k = 0; k < w->shares.n; k++) {
    if (is_open(w, w->shares.order[k])) {
      return true;
    }
  }
  return false;
}

/* What was begun is finished within the time of grace. */
static enum sp_status wind_down(struct sp_worker *w, enum sp_status status, struct sp_error *err) {
  const double grace = sp_worker_options(w)->grace;
  if (status == SP_EINTERRUPTED && grace > 0 && w->d->run->pool) {
    status = sp_pool_wind_down(w->d->run->pool, grace, drop, err);
  }
  sp_worker_collect(w);
  return status;
}

enum sp_status sp_worker_take_shards(struct sp_worker *w, struct sp_error *err) {
  bool work = has_work(w);
  if (!work && !sp_worker_may_help(w)) {
    return SP_OK;
  }
  if (work) {
    SP_TRY(start_pool(w, err));
  }
  return wind_down(w, take_all(w, err), err);
}

/* Rank 0's list is everybody's; of what is listed, but cut, only the rank knows that looked at it. */
static enum sp_status any_open(struct sp_worker *w, bool *any, struct sp_error *err) {
  const struct sp_ranks *ranks = sp_worker_options(w)->ranks;
  uint64_t hyps;
  size_t open = count_cut(w, &hyps);
  if (ranks->rank == 0) {
    SP_TRY(sp_worker_count_open(w, &open, err));
  }
  double all = (double)open;
  SP_TRY(ranks->sum(ranks->context, &all, 1, err));
  *any = all > 0;
  return SP_OK;
}

static enum sp_status take_left(struct sp_worker *w, struct sp_error *err) {
  size_t left;
  if (!w->d->run->pool) {
    SP_TRY(start_pool(w, err));
  }
  SP_TRY(sp_worker_count_open(w, &left, err));
  SP_TRY(go_through(w, false, &left, err));
  return take_others(w, left, err);
}

enum sp_status sp_worker_take_rest(struct sp_worker *w, struct sp_error *err) {
  bool any;
  SP_TRY(any_open(w, &any, err));
  return any ? wind_down(w, take_left(w, err), err) : SP_OK;
}
