#include "run_watch.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

struct sp_watch_entry {
  char id[SP_WORKER_ID];
  uint64_t hash; /* of its file, as it has been .. */
  double since;  /* .. from this look on */
};

void sp_watch_release(struct sp_watch *watch) {
  free(watch->seen);
  watch->seen = NULL;
  watch->n_seen = watch->room = 0;
}

/* The worker's place in a table of `room` places, or the free one that it would get. */
static struct sp_watch_entry *place_of(struct sp_watch_entry *table, size_t room, const char *id) {
  size_t at = (size_t)XXH64(id, strlen(id), 0) & (room - 1);
  while (table[at].id[0] && strcmp(table[at].id, id) != 0) {
    at = (at + 1) & (room - 1);
  }
  return &table[at];
}

/* Half of the places stay free, so that a directory full of workers is no longer looked through than read. */
static enum sp_status make_room(struct sp_watch *watch, struct sp_error *err) {
  if (2 * watch->n_seen < watch->room) {
    return SP_OK;
  }
  size_t room = watch->room ? 2 * watch->room : 16;
  struct sp_watch_entry *table = calloc(room, sizeof *table);
  if (!table) {
    return sp_fail_memory(err, room * sizeof *table);
  }
  for (size_t k = 0; k < watch->room; k++) {
    if (watch->seen[k].id[0]) {
      *place_of(table, room, watch->seen[k].id) = watch->seen[k];
    }
  }
  free(watch->seen);
  watch->seen = table;
  watch->room = room;
  return SP_OK;
}

/* *fresh: it was not there before. */
static enum sp_status find(struct sp_watch *watch, const char *id, struct sp_watch_entry **out,
                           bool *fresh, struct sp_error *err) {
  SP_TRY(make_room(watch, err));
  *out = place_of(watch->seen, watch->room, id);
  *fresh = (*out)->id[0] == '\0';
  if (*fresh) {
    snprintf((*out)->id, sizeof(*out)->id, "%s", id);
    watch->n_seen++;
  }
  return SP_OK;
}

enum sp_status sp_watch_look(struct sp_watch *watch, const char *id,
                             const struct sp_worker_look *look, double asked, bool *gone,
                             struct sp_error *err) {
  struct sp_watch_entry *entry = NULL;
  bool fresh;
  *gone = false;
  SP_TRY(find(watch, id, &entry, &fresh, err));
  if (fresh || entry->hash != look->hash) {
    entry->hash = look->hash;
    entry->since = watch->clock(watch->context);
  }
  double lease = fmax(watch->lease, look->worker.lease);
  *gone = look->gone || asked - entry->since >= lease;
  return SP_OK;
}

enum sp_status sp_watch_worker(struct sp_watch *watch, const char *id, bool *gone,
                               struct sp_error *err) {
  struct sp_worker_look look;
  *gone = false;
  double asked =
      watch->clock(watch->context); /* a pause during the look must not count against it */
  SP_TRY(sp_worker_look_at(watch->run, id, &look, err));
  return sp_watch_look(watch, id, &look, asked, gone, err);
}
