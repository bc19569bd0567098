#include "train_plot.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "canvas.h"
#include "file.h"
#include "run_files.h"
#include "source.h"

enum {
  WIDTH = 900,
  HEIGHT = 480,
  LEFT = 70,
  RIGHT = 20,
  TOP = 40,
  BOTTOM = 50,
  LINE_CEILING = 65536
};

static const struct sp_colour INK = {40, 40, 40}, FAINT = {225, 225, 225}, POINT = {176, 196, 222},
                              MEAN = {31, 90, 160}, HELD_OUT = {200, 80, 20};

struct curve {
  double *step, *loss; /* (n) */
  size_t n, room;
};

struct plot {
  struct curve train, held_out;
  double steps, low, high; /* what the axes span */
};

static enum sp_status add(struct curve *c, double step, double loss, struct sp_error *err) {
  if (c->n == c->room) {
    size_t room = c->room ? 2 * c->room : 256;
    double *steps = realloc(c->step, room * sizeof *steps);
    c->step = steps ? steps : c->step;
    double *losses = realloc(c->loss, room * sizeof *losses);
    c->loss = losses ? losses : c->loss;
    if (!steps || !losses) {
      return sp_fail_memory(err, room * sizeof *steps);
    }
    c->room = room;
  }
  c->step[c->n] = step;
  c->loss[c->n++] = loss;
  return SP_OK;
}

static enum sp_status read_line(struct plot *p, struct sp_text line, const char *path,
                                struct sp_error *err) {
  json_error_t fault;
  json_t *object = json_loadb(line.data, line.len, 0, &fault);
  json_t *step = json_object_get(object, "step"), *loss = json_object_get(object, "loss");
  enum sp_status status = SP_OK;
  if (!json_is_integer(step) || (!json_is_number(loss) && !json_is_null(loss))) {
    status = sp_fail(err, SP_EDAMAGED, "%s: a line is not one of a training run", path);
  } else if (json_is_number(loss)) {
    bool held_out = json_is_true(json_object_get(object, "eval"));
    status = add(held_out ? &p->held_out : &p->train, (double)json_integer_value(step),
                 json_number_value(loss), err);
  }
  json_decref(object);
  return status;
}

static enum sp_status read_steps(struct plot *p, const char *path, struct sp_error *err) {
  struct sp_source *source;
  SP_TRY(sp_source_open(path, &source, err));
  enum sp_status status;
  struct sp_text line;
  bool found;
  while ((status = sp_source_line(source, LINE_CEILING, &line, &found, err)) == SP_OK && found) {
    SP_TRY_GOTO(read_line(p, line, path, err), done);
  }
done:
  sp_source_close(source);
  return status;
}

/* The mean of the last steps, a thirtieth of all. */
static void smooth(const struct curve *from, double *out) {
  size_t window = from->n / 30 + 1;
  double sum = 0;
  for (size_t i = 0; i < from->n; i++) {
    sum += from->loss[i];
    if (i >= window) {
      sum -= from->loss[i - window];
    }
    out[i] = sum / (double)(i < window ? i + 1 : window);
  }
}

static void span(struct plot *p, const double *mean) {
  p->low = INFINITY;
  p->high = -INFINITY;
  for (size_t i = 0; i < p->train.n; i++) {
    p->low = fmin(p->low, mean[i]);
    p->high = fmax(p->high, mean[i]);
    p->steps = fmax(p->steps, p->train.step[i]);
  }
  for (size_t i = 0; i < p->held_out.n; i++) {
    p->low = fmin(p->low, p->held_out.loss[i]);
    p->high = fmax(p->high, p->held_out.loss[i]);
  }
  double most = fmax(fabs(p->low), fabs(p->high));
  double margin = fmax(0.05 * (p->high - p->low), most > 0 ? 1e-3 * most : 1);
  p->low -= margin;
  p->high += margin;
}

static int x_of(const struct plot *p, double step) {
  return LEFT + (int)lrint((WIDTH - LEFT - RIGHT) * step / (p->steps > 0 ? p->steps : 1));
}
static int y_of(const struct plot *p, double loss) {
  double share = fmin(fmax((loss - p->low) / (p->high - p->low), 0), 1);
  return HEIGHT - BOTTOM - (int)lrint((HEIGHT - TOP - BOTTOM) * share);
}

/* 1, 2 or 5 times a power of ten, so that about six ticks fit. */
static double tick_of(double range) {
  double base = pow(10, floor(log10(range / 6)));
  double parts = range / 6 / base;
  return base * (parts > 5 ? 10 : parts > 2 ? 5 : parts > 1 ? 2 : 1);
}

static void draw_axes(struct sp_canvas *canvas, const struct plot *p) {
  struct sp_text_style y_style = {.size = 2, .anchor = SP_ANCHOR_END, .colour = INK};
  struct sp_text_style x_style = {.size = 2, .anchor = SP_ANCHOR_MIDDLE, .colour = INK};
  double tick = tick_of(p->high - p->low);
  for (double y = ceil(p->low / tick) * tick; y <= p->high; y += tick) {
    sp_canvas_line(canvas, LEFT, y_of(p, y), WIDTH - RIGHT, y_of(p, y), 1, FAINT, "grid");
    sp_canvas_words(canvas, LEFT - 6, y_of(p, y) + 6, &y_style, "%.4g", y);
  }
  double stride = tick_of(p->steps > 0 ? p->steps : 1);
  for (double x = 0; x <= p->steps; x += stride) {
    sp_canvas_words(canvas, x_of(p, x), HEIGHT - BOTTOM + 22, &x_style, "%.10g", x);
  }
  sp_canvas_line(canvas, LEFT, TOP, LEFT, HEIGHT - BOTTOM, 1, INK, "axis");
  sp_canvas_line(canvas, LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM, 1, INK, "axis");
}

static void draw_curve(struct sp_canvas *canvas, const struct plot *p, const double *step,
                       const double *loss, size_t n, int width, struct sp_colour colour,
                       const char *kind) {
  for (size_t i = 1; i < n; i++) {
    sp_canvas_line(canvas, x_of(p, step[i - 1]), y_of(p, loss[i - 1]), x_of(p, step[i]),
                   y_of(p, loss[i]), width, colour, kind);
  }
}

static void draw(struct sp_canvas *canvas, const struct plot *p, const double *mean) {
  draw_axes(canvas, p);
  size_t stride = p->train.n / 4000 + 1; /* so many points can be told apart */
  for (size_t i = 0; i < p->train.n; i += stride) {
    int x = x_of(p, p->train.step[i]), y = y_of(p, p->train.loss[i]);
    sp_canvas_line(canvas, x, y, x, y, 2, POINT, "step");
  }
  draw_curve(canvas, p, p->train.step, mean, p->train.n, 2, MEAN, "training");
  draw_curve(canvas, p, p->held_out.step, p->held_out.loss, p->held_out.n, 3, HELD_OUT, "held-out");
  for (size_t i = 0; i < p->held_out.n; i++) {
    int x = x_of(p, p->held_out.step[i]), y = y_of(p, p->held_out.loss[i]);
    sp_canvas_line(canvas, x, y, x, y, 7, HELD_OUT, "held-out");
  }
  struct sp_text_style style = {.size = 2, .anchor = SP_ANCHOR_END, .colour = MEAN, .bold = true};
  sp_canvas_words(canvas, WIDTH - RIGHT, 20, &style, "training loss, moving mean");
  style.colour = HELD_OUT;
  if (p->held_out.n > 0) {
    sp_canvas_words(canvas, WIDTH - RIGHT, 40, &style, "held-out loss");
  }
}

static enum sp_status write_plot(struct plot *p, const double *mean, const char *path,
                                 struct sp_error *err) {
  struct sp_canvas canvas;
  struct sp_buf svg = {0};
  sp_canvas_init(&canvas, WIDTH, HEIGHT, err);
  span(p, mean);
  draw(&canvas, p, mean);
  enum sp_status status = sp_canvas_svg(&canvas, SP_TEXT_LITERAL("loss by step"), &svg, err);
  if (status == SP_OK) {
    status = sp_file_replace(path, svg.data, svg.len, err);
  }
  sp_buf_release(&svg);
  sp_canvas_release(&canvas);
  return status;
}

enum sp_status sp_train_plot(const char *directory, const char *path, struct sp_error *err) {
  struct plot plot = {0};
  struct sp_buf steps = {0};
  double *mean = NULL;
  enum sp_status status;
  SP_TRY_GOTO(sp_run_path(&steps, directory, "steps.jsonl", err), done);
  SP_TRY_GOTO(read_steps(&plot, steps.data, err), done);
  if (plot.train.n == 0) {
    status = sp_fail(err, SP_EDAMAGED, "%s has no step to draw", steps.data);
    goto done;
  }
  mean = malloc(plot.train.n * sizeof *mean);
  if (!mean) {
    status = sp_fail_memory(err, plot.train.n * sizeof *mean);
    goto done;
  }
  smooth(&plot.train, mean);
  status = write_plot(&plot, mean, path, err);
done:
  free(mean);
  free(plot.train.step);
  free(plot.train.loss);
  free(plot.held_out.step);
  free(plot.held_out.loss);
  sp_buf_release(&steps);
  return status;
}
