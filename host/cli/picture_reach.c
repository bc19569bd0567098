/* picture_reach.c - the histogram of lookahead by layer. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "checked.h"
#include "picture_parts.h"

enum { names = 110, means = 160, span = 1000, widest_bar = 80, highest = 1400, highest_strip = 90 };

enum sp_status sp_reach_counts_init(struct sp_reach_counts *counts, size_t layers, size_t n,
                                    struct sp_error *err) {
  *counts = (struct sp_reach_counts){.layers = layers, .n = n};
  counts->rows = calloc(sp_mul_sat(layers, n), sizeof *counts->rows);
  counts->cut = calloc(sp_mul_sat(layers, n), sizeof *counts->cut);
  if (!counts->rows || !counts->cut) {
    sp_reach_counts_release(counts);
    return sp_fail_memory(err, sp_mul_sat(layers, n));
  }
  return SP_OK;
}

void sp_reach_counts_release(struct sp_reach_counts *counts) {
  free(counts->rows);
  free(counts->cut);
  *counts = (struct sp_reach_counts){0};
}

/* The farthest position that a row sees, itself when it is that or lies before. */
static size_t farthest(const struct sp_mask_graph *graph, size_t layer, size_t i) {
  const uint64_t *row = sp_mask_graph_row(graph, layer, i);
  for (size_t w = graph->words; w-- > i / 64;) {
    if (row[w]) {
      return sp_max_size(i, w * 64 + 63 - (size_t)__builtin_clzll(row[w]));
    }
  }
  return i;
}

void sp_reach_counts_add(struct sp_reach_counts *counts, const struct sp_mask_graph *graph) {
  for (size_t l = 0; l < graph->layers; l++) {
    for (size_t i = 1; i + 1 < graph->len; i++) {
      bool cut = graph->cut && (graph->cut[l * graph->words + i / 64] >> i % 64 & 1);
      (cut ? counts->cut : counts->rows)[l * counts->n + farthest(graph, l, i) - i]++;
    }
  }
}

static uint64_t count_at(const struct sp_reach_counts *counts, size_t layer, size_t distance) {
  size_t at = layer * counts->n + distance;
  return counts->rows[at] + counts->cut[at];
}

double sp_reach_mean(const struct sp_reach_counts *counts, size_t layer) {
  double sum = 0, rows = 0;
  for (size_t r = 0; r < counts->n; r++) {
    double count = (double)count_at(counts, layer, r);
    sum += (double)r * count;
    rows += count;
  }
  return rows > 0 ? sum / rows : NAN;
}

struct drawing {
  const struct sp_reach_counts *counts;
  struct sp_canvas *canvas;
  size_t merge; /* distances of a bar */
  size_t bars;
  int bar, strip; /* pixels */
  uint64_t most;  /* rows of the highest bar */
};

/* The largest distance that occurs. */
static size_t largest(const struct sp_reach_counts *counts) {
  size_t most = 0;
  for (size_t l = 0; l < counts->layers; l++) {
    for (size_t r = counts->n; r-- > most + 1;) {
      if (count_at(counts, l, r)) {
        most = r;
      }
    }
  }
  return most;
}

static void sum_bar(const struct drawing *d, size_t layer, size_t bar, uint64_t *rows,
                    uint64_t *cut) {
  size_t end = sp_min_size((bar + 1) * d->merge, d->counts->n);
  *rows = *cut = 0;
  for (size_t r = bar * d->merge; r < end; r++) {
    *rows += d->counts->rows[layer * d->counts->n + r];
    *cut += d->counts->cut[layer * d->counts->n + r];
  }
}

static void measure(struct drawing *d) {
  size_t values = largest(d->counts) + 1;
  d->merge = (values + span / 8 - 1) / (span / 8);
  d->bars = (values + d->merge - 1) / d->merge;
  d->bar = (int)sp_min_size(widest_bar, span / d->bars);
  d->strip = (int)sp_max_size(8, sp_min_size(highest_strip, highest / d->counts->layers));
  for (size_t l = 0; l < d->counts->layers; l++) {
    for (size_t b = 0; b < d->bars; b++) {
      uint64_t rows, cut;
      sum_bar(d, l, b, &rows, &cut);
      d->most = rows + cut > d->most ? rows + cut : d->most;
    }
  }
}

/* Cut rows stand on whole ones; what is there at all has a pixel. */
static void draw_bar(const struct drawing *d, size_t layer, size_t bar, int x, int base) {
  uint64_t rows, cut;
  sum_bar(d, layer, bar, &rows, &cut);
  if (rows + cut == 0) {
    return;
  }
  bool numbers = d->strip >= 40 && d->bar >= 40;
  int room = d->strip - (numbers ? 22 : (d->strip + 9) / 10);
  int high = (int)ceil((double)(rows + cut) / (double)d->most * room);
  int whole = (int)((double)rows / (double)(rows + cut) * high + 0.5);
  sp_canvas_rect(d->canvas, x + 1, base - whole, d->bar - 1, whole, SP_COLOUR_AHEAD, "rows");
  sp_canvas_rect(d->canvas, x + 1, base - high, d->bar - 1, high - whole, SP_COLOUR_CUT,
                 "rows-cut");
  if (numbers) {
    struct sp_text_style style = sp_picture_style(1, SP_ANCHOR_MIDDLE);
    style.colour = SP_COLOUR_SOFT;
    sp_canvas_words(d->canvas, x + d->bar / 2, base - high - 4, &style, "%llu",
                    (unsigned long long)(rows + cut));
  }
}

static void draw_strip(const struct drawing *d, size_t layer, int x, int base) {
  struct sp_text_style style = sp_picture_style(d->strip >= 18 ? 2 : 1, SP_ANCHOR_START);
  for (size_t b = 0; b < d->bars; b++) {
    draw_bar(d, layer, b, x + (int)b * d->bar, base);
  }
  sp_canvas_rect(d->canvas, x, base, (int)d->bars * d->bar + 1, 1, SP_COLOUR_SOFT, NULL);
  sp_canvas_words(d->canvas, SP_PICTURE_MARGIN, base - 1, &style, "layer %zu", layer);
  double mean = sp_reach_mean(d->counts, layer);
  if (!isnan(mean)) {
    long hundredths = lround(mean * 100);
    sp_canvas_words(d->canvas, x + (int)d->bars * d->bar + 16, base - 1, &style, "mean %ld.%02ld",
                    hundredths / 100, hundredths % 100);
  }
}

static void draw_axis(const struct drawing *d, int x, int y) {
  struct sp_text_style style = sp_picture_style(2, SP_ANCHOR_MIDDLE);
  size_t step = sp_picture_step(d->bars, (int)d->bars * d->bar, 50);
  for (size_t b = 0; b < d->bars; b += step) {
    sp_canvas_words(d->canvas, x + (int)b * d->bar + d->bar / 2, y + 22, &style, "%zu",
                    b * d->merge);
  }
  style.anchor = SP_ANCHOR_START;
  sp_canvas_words(d->canvas, x + (int)d->bars * d->bar + 16, y + 22, &style, "tokens ahead");
}

void sp_picture_reach(const struct sp_picture *picture, const struct sp_reach_counts *counts,
                      struct sp_canvas *canvas, struct sp_error *err) {
  static const struct sp_legend legend[] = {{SP_COLOUR_AHEAD, "whole rows"},
                                            {SP_COLOUR_CUT, "cut by the end of the sequence"}};
  struct drawing d = {.counts = counts, .canvas = canvas};
  char facts[200], note[64] = "";
  measure(&d);
  int width = names + (int)d.bars * d.bar + means, x = SP_PICTURE_MARGIN + names;
  int base = SP_PICTURE_HEAD + (int)counts->layers * d.strip;
  sp_canvas_init(canvas,
                 2 * SP_PICTURE_MARGIN + (width < SP_PICTURE_LEAST ? SP_PICTURE_LEAST : width),
                 base + 30 + SP_PICTURE_MARGIN, err);
  if (d.merge > 1) {
    snprintf(note, sizeof note, "; a bar is %zu distances", d.merge);
  }
  snprintf(facts, sizeof facts, "rows by the farthest token that they see ahead%s", note);
  sp_picture_head(canvas, picture, facts, legend, sizeof legend / sizeof *legend);
  for (size_t l = 0; l < counts->layers; l++) {
    draw_strip(&d, l, x, SP_PICTURE_HEAD + (int)(l + 1) * d.strip);
  }
  draw_axis(&d, x, base);
}
