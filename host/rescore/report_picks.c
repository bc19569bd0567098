#include "report_picks.h"

#include <stdlib.h>

#include "checked.h"

enum sp_status sp_points_create(struct sp_points *points, size_t room, struct sp_error *err) {
  *points = (struct sp_points){.heap = calloc(room + 1, sizeof *points->heap), .room = room};
  return points->heap ? SP_OK : sp_fail_memory(err, sp_mul_sat(room, sizeof *points->heap));
}

void sp_points_release(struct sp_points *points) {
  free(points->heap);
  *points = (struct sp_points){0};
}

static void swap(struct sp_point *a, struct sp_point *b) {
  struct sp_point kept = *a;
  *a = *b;
  *b = kept;
}

static void sift_up(struct sp_point *heap, size_t at) {
  for (size_t up; at > 0 && heap[up = (at - 1) / 2].key < heap[at].key; at = up) {
    swap(&heap[up], &heap[at]);
  }
}

static void sift_down(struct sp_point *heap, size_t n) {
  for (size_t at = 0, child; (child = 2 * at + 1) < n; at = child) {
    child += child + 1 < n && heap[child + 1].key > heap[child].key;
    if (heap[at].key >= heap[child].key) {
      return;
    }
    swap(&heap[at], &heap[child]);
  }
}

void sp_points_add(struct sp_points *points, const struct sp_point *point) {
  if (points->n < points->room) {
    points->heap[points->n] = *point;
    sift_up(points->heap, points->n++);
  } else if (points->n > 0 && point->key < points->heap[0].key) {
    points->heap[0] = *point;
    sift_down(points->heap, points->n);
  }
}

static int compare_keys(const void *a, const void *b) {
  uint64_t x = ((const struct sp_point *)a)->key, y = ((const struct sp_point *)b)->key;
  return x < y ? -1 : x > y;
}

void sp_points_finish(struct sp_points *points) {
  qsort(points->heap, points->n, sizeof *points->heap, compare_keys);
}

enum sp_status sp_examples_create(struct sp_examples *examples, size_t room, struct sp_error *err) {
  *examples =
      (struct sp_examples){.items = calloc(room + 1, sizeof *examples->items), .room = room};
  return examples->items ? SP_OK : sp_fail_memory(err, sp_mul_sat(room, sizeof *examples->items));
}

void sp_examples_release(struct sp_examples *examples) {
  for (size_t i = 0; examples->items && i <= examples->room; i++) {
    sp_buf_release(&examples->items[i].text);
  }
  free(examples->items);
  *examples = (struct sp_examples){0};
}

bool sp_examples_wants(const struct sp_examples *examples, uint64_t gain) {
  return examples->n < examples->room ||
         (examples->n > 0 && gain > examples->items[examples->n - 1].gain);
}

/* The slot behind the last example is written, then moved to its place. */
enum sp_status sp_examples_add(struct sp_examples *examples, uint64_t gain, uint64_t rank,
                               const struct sp_text texts[4], struct sp_error *err) {
  size_t at = examples->n, bytes = 0;
  for (int i = 0; i < 4; i++) {
    bytes = sp_add_size(bytes, texts[i].len, &bytes) ? bytes : SIZE_MAX;
  }
  if (bytes > SP_EXAMPLE_CEILING || !sp_examples_wants(examples, gain)) {
    return SP_OK;
  }
  struct sp_example added = {
      gain, rank, texts[0].len, texts[1].len, texts[2].len, texts[3].len, examples->items[at].text};
  sp_buf_clear(&added.text);
  enum sp_status status = SP_OK;
  for (int i = 0; i < 4 && status == SP_OK; i++) {
    status = sp_buf_append(&added.text, texts[i].data, texts[i].len, err);
  }
  examples->items[at].text = added.text;
  SP_TRY(status);
  for (; at > 0 && examples->items[at - 1].gain < gain; at--) {
    examples->items[at] = examples->items[at - 1];
  }
  examples->items[at] = added;
  examples->n += examples->n < examples->room;
  return SP_OK;
}

struct sp_text sp_example_text(const struct sp_example *example, int which) {
  const size_t lengths[] = {example->id, example->ref, example->before, example->after};
  size_t from = 0;
  for (int i = 0; i < which; i++) {
    from += lengths[i];
  }
  return (struct sp_text){example->text.data + from, lengths[which]};
}
