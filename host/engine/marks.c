#include "marks.h"

#include <stdlib.h>

#include "checked.h"
#include "run_files.h"

void sp_marks_init(struct sp_marks *marks, size_t shard_utts) {
  *marks = (struct sp_marks){.block = shard_utts ? shard_utts : 1, .fixed = shard_utts > 0};
}

void sp_marks_release(struct sp_marks *marks) {
  free(marks->mark);
  *marks = (struct sp_marks){0};
}

bool sp_marks_begin_next(const struct sp_marks *marks) {
  return marks->n == 0 || marks->mark[marks->n - 1].utts == marks->block;
}

static void add(struct sp_plan_shard *to, const struct sp_plan_shard *more) {
  to->utts += more->utts;
  to->hyps += more->hyps;
  to->tokens += more->tokens;
  to->cost += more->cost;
  to->xxh64 += more->xxh64; /* modulo 2^64, plan_hash.h */
}

void sp_marks_merge(struct sp_marks *marks, size_t shard_utts) {
  size_t step = shard_utts / marks->block, n = 0;
  for (size_t i = 0; i < marks->n; i++) {
    if (i % step == 0) {
      marks->mark[n++] = marks->mark[i];
    } else {
      add(&marks->mark[n - 1], &marks->mark[i]);
    }
  }
  marks->n = n;
  marks->block = shard_utts;
}

/* Room for one more mark. */
static enum sp_status grow(struct sp_marks *marks, struct sp_error *err) {
  if (!marks->fixed && marks->n == SP_MARKS) {
    sp_marks_merge(marks, marks->block * 2);
  }
  if (marks->n == SP_SHARDS_CEILING) {
    return sp_fail(err, SP_EUSAGE, "--shard-utts %llu makes more than %d shards; give more",
                   (unsigned long long)marks->block, SP_SHARDS_CEILING);
  }
  if (marks->n < marks->room) {
    return SP_OK;
  }
  size_t room = sp_max_size(256, marks->room * 2);
  struct sp_plan_shard *grown = realloc(marks->mark, sp_mul_sat(room, sizeof *grown));
  if (!grown) {
    return sp_fail_memory(err, sp_mul_sat(room, sizeof *grown));
  }
  marks->mark = grown;
  marks->room = room;
  return SP_OK;
}

enum sp_status sp_marks_add(struct sp_marks *marks, const struct sp_plan_shard *utt,
                            struct sp_error *err) {
  if (!sp_marks_begin_next(marks)) {
    add(&marks->mark[marks->n - 1], utt);
    return SP_OK;
  }
  SP_TRY(grow(marks, err));
  marks->mark[marks->n++] = *utt;
  return SP_OK;
}

size_t sp_marks_round_up(const struct sp_marks *marks, size_t shard_utts) {
  return sp_round_up(shard_utts, marks->block);
}
