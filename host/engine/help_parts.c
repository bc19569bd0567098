/* help_parts.c - what a part does when nothing is left of its own share that it could claim: it takes shards of
 * parts that are at work now, from the end of their shares (shares.h).
 *
 * Who is at work is told by claims.  One list of RUN/.claims names the shards that are under work; they are
 * put together by the part that they would be of if all parts were of this one's number, and the parts are
 * visited in an order that each helper draws.  In each the first shards by cost are most likely its owner's, so
 * that reading who holds one of those finds it.  A part is helped while its worker is alive and has a shard of its
 * own under work, or died with one since this worker began.  One that has not begun, or was gone by then, keeps its
 * share for when it starts.
 *
 * That a worker died shows at once on its own host, elsewhere a lease after it fell silent.  Whoever ends while
 * others are at work leaves it to them; the last waits that long. */
#include <stdio.h>
#include <stdlib.h>

#include "checked.h"
#include "clock.h"
#include "worker.h"

enum {
  most_readings = 4, /* of who holds a shard, to find the owner of a part */
  most_visits = 4,   /* of parts that have nothing left, before a round is given up */
  most_parts = 10000000
};

/* A shard under work: first by the part that is visited first, then by place in the whole order. */
struct sighting {
  uint64_t draw;
  uint32_t part, place;
};

struct round {
  struct sighting *seen; /* (n) */
  size_t n;
  uint64_t salt;
};

static int by_visit(const void *left, const void *right) {
  const struct sighting *a = left, *b = right;
  if (a->draw != b->draw) {
    return a->draw < b->draw ? -1 : 1;
  }
  return (a->place > b->place) - (a->place < b->place);
}

/* Where each shard stands in the whole order; both are made once. */
static enum sp_status find_places(struct sp_worker *w, struct sp_error *err) {
  if (w->place) {
    return SP_OK;
  }
  SP_TRY(sp_shares_make(w->plan, w->d->shards, 0, 1, &w->all, err));
  w->place = calloc(w->all.n, sizeof *w->place);
  if (!w->place) {
    return sp_fail_memory(err, w->all.n * sizeof *w->place);
  }
  for (size_t k = 0; k < w->all.n; k++) {
    w->place[w->all.order[k]] = (uint32_t)k;
  }
  return SP_OK;
}

enum sp_status sp_worker_list_held(struct sp_worker *w, struct sp_error *err) {
  free(w->held);
  w->held = NULL;
  w->n_held = 0;
  return sp_claims_held(w->claims, w->d->shards, &w->held, &w->n_held, err);
}

static enum sp_status look_around(struct sp_worker *w, struct round *round, struct sp_error *err) {
  const struct sp_score_options *options = sp_worker_options(w);
  SP_TRY(sp_worker_list_held(w, err));
  SP_TRY(find_places(w, err));
  round->seen = calloc(w->n_held + 1, sizeof *round->seen);
  if (!round->seen) {
    return sp_fail_memory(err, w->n_held * sizeof *round->seen);
  }
  for (size_t k = 0; k < w->n_held; k++) {
    uint32_t place = w->place[w->held[k]];
    size_t part = sp_shares_part(place, options->parts);
    if (part != options->part) {
      round->seen[round->n++] =
          (struct sighting){sp_shares_draw(part, round->salt), (uint32_t)part, place};
    }
  }
  qsort(round->seen, round->n, sizeof *round->seen, by_visit);
  return SP_OK;
}

static bool parse_part(const char *text, size_t *part, size_t *parts) {
  int end = 0;
  return sscanf(text, "%8zu/%8zu%n", part, parts, &end) == 2 && end > 0 &&
         (text[end] == '\0' || text[end] == ',') && *parts <= most_parts && *part < *parts;
}

/* A part to help, and how much of its share lies behind what its worker has under work. */
struct owner {
  bool found;
  size_t part, parts, behind;
};

/* The part whose worker holds one of its own shards, of sightings first .. end. */
static enum sp_status find_owner(struct sp_worker *w, const struct round *round, size_t first,
                                 size_t end, struct owner *out, struct sp_error *err) {
  *out = (struct owner){0};
  for (size_t k = first; k < end && k < first + most_readings && !out->found; k++) {
    struct sp_claim_worker holder;
    enum sp_claim_life life;
    size_t place = round->seen[k].place;
    SP_TRY(sp_claims_holder(w->claims, w->all.order[place], &holder, &life, err));
    out->found = (life == SP_LIFE_AT_WORK || life == SP_LIFE_DIED) &&
                 parse_part(holder.part, &out->part, &out->parts) &&
                 sp_shares_part(place, out->parts) == out->part;
    out->behind = out->found ? place / out->parts : 0; /* one of each deal is the part's */
  }
  return SP_OK;
}

/* Goes once from the end of the share to its front, farther with each step; what is taken, and what others
 * turn out to have, leaves the copy of the share. */
static enum sp_status probe(struct sp_worker *w, struct sp_shares *share, uint64_t salt,
                            bool *taken, struct sp_error *err) {
  size_t at;
  *taken = false;
  for (unsigned step = 0; !*taken && sp_shares_probe(share->n, step, salt, &at); step++) {
    SP_TRY(sp_worker_take_other(w, share->order[at], taken, err));
    share->n--;
    for (size_t k = at; k < share->n; k++) {
      share->order[k] = share->order[k + 1];
    }
  }
  return SP_OK;
}

/* Until nothing is open of what the owner had before it. */
static enum sp_status help_part(struct sp_worker *w, const struct owner *owner, uint64_t salt,
                                size_t *taken, struct sp_error *err) {
  struct sp_shares share;
  SP_TRY(sp_shares_of(&w->all, owner->part, owner->parts, &share, err));
  enum sp_status status = SP_OK;
  if (!sp_shard_input_is_forward(w->plan, share.order, share.n, &w->reframed)) {
    struct sp_shares rest = {share.order + owner->behind, share.n - owner->behind};
    while (rest.n > 0 && status == SP_OK) {
      bool one;
      status = probe(w, &rest, salt++, &one, err);
      *taken += one;
    }
  }
  sp_shares_release(&share);
  return status;
}

/* Where all is under work from the first sighting on nothing is open: of parts of this one's number. */
static bool may_be_open(const struct sp_worker *w, const struct sighting *seen, size_t n) {
  size_t parts = sp_worker_options(w)->parts;
  return sp_shares_count(w->all.n, seen->part, parts) > seen->place / parts + n;
}

/* Those that may have something open, or the others. */
static enum sp_status visit_parts(struct sp_worker *w, const struct round *round, bool open,
                                  size_t most, size_t *taken, struct sp_error *err) {
  size_t visits = 0;
  for (size_t first = 0, end; first < round->n && *taken == 0 && visits < most; first = end) {
    struct owner owner;
    for (end = first; end < round->n && round->seen[end].part == round->seen[first].part;) {
      end++;
    }
    if (may_be_open(w, &round->seen[first], end - first) != open) {
      continue;
    }
    SP_TRY(find_owner(w, round, first, end, &owner, err));
    if (owner.found) {
      visits++;
      SP_TRY(help_part(w, &owner, round->salt, taken, err));
    }
  }
  return SP_OK;
}

bool sp_worker_may_help(const struct sp_worker *w) {
  const struct sp_score_options *options = sp_worker_options(w);
  return !options->ranks && options->parts > 1 && !options->own_share;
}

enum sp_status sp_worker_help(struct sp_worker *w, size_t *taken, struct sp_error *err) {
  const struct sp_score_options *options = sp_worker_options(w);
  struct round round = {.salt = sp_shares_draw(options->part, w->rounds++)};
  *taken = 0;
  if (!sp_worker_may_help(w)) {
    return SP_OK;
  }
  enum sp_status status = look_around(w, &round, err);
  if (status == SP_OK) {
    status = visit_parts(w, &round, true, most_visits, taken, err);
  }
  if (status == SP_OK && *taken == 0) { /* it may be of parts of another number */
    status = visit_parts(w, &round, false, 1, taken, err);
  }
  free(round.seen);
  return status;
}

/* Of shards that others had under work when they were listed last: how a few of their holders fare. */
static enum sp_status look_at_holders(struct sp_worker *w, bool *at_work, bool *silent, bool *died,
                                      struct sp_error *err) {
  enum { looks = 8 };
  const size_t n = sp_min_size(w->n_held, looks);
  *at_work = *silent = *died = false;
  for (size_t k = 0; k < n && !*at_work; k++) {
    struct sp_claim_worker holder;
    enum sp_claim_life life;
    SP_TRY(sp_claims_holder(w->claims, w->held[k * w->n_held / n], &holder, &life, err));
    *at_work = life == SP_LIFE_AT_WORK;
    *silent |= life == SP_LIFE_SILENT;
    *died |= life == SP_LIFE_DIED;
  }
  return SP_OK;
}

enum sp_status sp_worker_others_work(struct sp_worker *w, bool *at_work, struct sp_error *err) {
  bool silent, died;
  return look_at_holders(w, at_work, &silent, &died, err);
}

enum sp_status sp_worker_await_silent(struct sp_worker *w, bool *again, struct sp_error *err) {
  const double lease = sp_worker_lease(w), now = sp_clock_seconds();
  bool at_work, silent, died;
  *again = false;
  if (!sp_worker_may_help(w)) {
    return SP_OK;
  }
  SP_TRY(look_at_holders(w, &at_work, &silent, &died, err));
  if (at_work) {
    return SP_OK;
  }
  if (silent && w->await_until == 0) {
    w->await_until = now + 1.25 * lease;
  }
  *again = silent ? now < w->await_until : died && w->await_until > 0;
  w->await_until = silent ? w->await_until : 0;
  return !*again || !silent || sp_worker_pause(w, lease / 8)
             ? SP_OK
             : sp_fail(err, SP_EINTERRUPTED, "interrupted");
}
