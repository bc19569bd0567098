#include "progress.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "clock.h"
#include "output.h"

static const double intervals[] = {
    [SP_PROGRESS_TTY] = 0.2, [SP_PROGRESS_PLAIN] = 10, [SP_PROGRESS_JSON] = 1};

void sp_progress_init(struct sp_progress_view *view, const char *name) {
  *view = (struct sp_progress_view){0};
  if (!name || strcmp(name, "auto") == 0) {
    view->mode = sp_is_terminal(stderr) ? SP_PROGRESS_TTY : SP_PROGRESS_PLAIN;
  } else if (strcmp(name, "none") != 0) {
    view->mode = strcmp(name, "tty") == 0    ? SP_PROGRESS_TTY
                 : strcmp(name, "json") == 0 ? SP_PROGRESS_JSON
                                             : SP_PROGRESS_PLAIN;
  }
  /* the first plain line waits its turn: a short run prints none */
  view->next = view->mode == SP_PROGRESS_PLAIN ? sp_clock_seconds() + intervals[view->mode] : 0;
}

/* Seconds of work that are left, judged by the tokens of this process; NaN when nothing tells. */
static double seconds_left(const struct sp_progress_view *view, const struct sp_progress *progress,
                           double now) {
  if (progress->validating || progress->tokens_done <= view->tokens_before) {
    return NAN;
  }
  double done = (double)(progress->tokens_done - view->tokens_before);
  double left = (double)progress->tokens_total - (double)progress->tokens_done;
  return (now - view->scoring_since) * left / done;
}

static double percent(const struct sp_progress *progress) {
  return progress->tokens_total
             ? 100.0 * (double)progress->tokens_done / (double)progress->tokens_total
             : 0.0;
}

static double hyps_per_second(const struct sp_progress_view *view,
                              const struct sp_progress *progress, double now) {
  double seconds = now - view->scoring_since;
  double hyps = (double)progress->hyps_done - (double)progress->hyps_resumed;
  return seconds > 0 && hyps > 0 ? hyps / seconds : 0;
}

void sp_progress_text(const struct sp_progress_view *view, const struct sp_progress *progress,
                      double now, char *out, size_t capacity) {
  if (progress->validating) {
    snprintf(out, capacity, "reading: %s utterances, %s hypotheses",
             sp_number(progress->utts_done).text, sp_number(progress->hyps_done).text);
    return;
  }
  char resumed[64] = "", left[64] = "";
  if (progress->hyps_resumed > 0) {
    snprintf(resumed, sizeof resumed, " (%s resumed)", sp_number(progress->hyps_resumed).text);
  }
  double seconds = seconds_left(view, progress, now);
  if (isfinite(seconds)) {
    snprintf(left, sizeof left, "  %s left", sp_duration(seconds).text);
  }
  snprintf(out, capacity, "%5.1f %%  %s of %s hypotheses%s  %.0f hyps/s%s", percent(progress),
           sp_number(progress->hyps_done).text, sp_number(progress->hyps_total).text, resumed,
           hyps_per_second(view, progress, now), left);
}

static size_t terminal_columns(void) {
  struct winsize size;
  bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return known ? size.ws_col : 80;
}

/* A background process that writes may be stopped by the terminal. */
static bool in_background(void) {
  pid_t group = tcgetpgrp(STDERR_FILENO);
  return group > 0 && group != getpgrp();
}

static void draw(struct sp_progress_view *view, const char *text) {
  if (in_background()) {
    return;
  }
  /* one column stays free, so that no terminal wraps the line */
  fprintf(stderr, "\r%.*s\033[K", (int)(terminal_columns() - 1), text);
  fflush(stderr);
  view->drawn = true;
}

/* A progress line that is lost must not end the run. */
static void print_object(json_t *object) {
  struct sp_error ignored;
  if (object && sp_json_print(object, stderr, &ignored) != SP_OK) {
    clearerr(stderr);
  }
}

static void show_tty(struct sp_progress_view *view, const struct sp_progress *progress,
                     double now) {
  char text[256];
  sp_progress_text(view, progress, now, text, sizeof text);
  draw(view, text);
}

static void show_json(const struct sp_progress_view *view, const struct sp_progress *progress,
                      double now) {
  json_t *object = json_pack(
      "{s:i, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o}", "schema", 1,
      "event", "progress", "phase", progress->validating ? "validating" : "scoring", "utts_done",
      (json_int_t)progress->utts_done, "utts_total", (json_int_t)progress->utts_total, "hyps_done",
      (json_int_t)progress->hyps_done, "hyps_total", (json_int_t)progress->hyps_total,
      "hyps_resumed", (json_int_t)progress->hyps_resumed, "tokens_done",
      (json_int_t)progress->tokens_done, "tokens_total", (json_int_t)progress->tokens_total,
      "percent", sp_json_real(percent(progress)), "seconds", sp_json_real(progress->seconds),
      "seconds_left", sp_json_real(seconds_left(view, progress, now)), "hyps_per_second",
      sp_json_real(progress->validating ? 0 : hyps_per_second(view, progress, now)));
  print_object(object);
}

static void show_plain(const struct sp_progress_view *view, const struct sp_progress *progress,
                       double now) {
  char text[256];
  sp_progress_text(view, progress, now, text, sizeof text);
  sp_say("%s", text + strspn(text, " "));
}

void sp_progress_show(struct sp_progress_view *view, const struct sp_progress *progress) {
  if (view->mode == SP_PROGRESS_NONE) {
    return;
  }
  double now = sp_clock_seconds();
  bool last = !progress->validating && progress->tokens_done >= progress->tokens_total;
  if (!progress->validating && view->scoring_since == 0) {
    view->scoring_since = now;
    view->tokens_before = progress->tokens_done;
  }
  if (now < view->next && !(last && view->mode == SP_PROGRESS_JSON)) {
    return;
  }
  view->next = now + intervals[view->mode];
  if (view->mode == SP_PROGRESS_TTY) {
    show_tty(view, progress, now);
  } else if (view->mode == SP_PROGRESS_JSON) {
    show_json(view, progress, now);
  } else {
    show_plain(view, progress, now);
  }
}

void sp_progress_line(struct sp_progress_view *view, const char *text, json_t *object) {
  double now = sp_clock_seconds();
  if (view->mode == SP_PROGRESS_NONE || now < view->next) {
    json_decref(object);
    return;
  }
  view->next = now + intervals[view->mode];
  if (view->mode == SP_PROGRESS_JSON) {
    print_object(object);
    return;
  }
  json_decref(object);
  if (view->mode == SP_PROGRESS_TTY) {
    draw(view, text);
  } else {
    sp_say("%s", text);
  }
}

void sp_progress_clear(struct sp_progress_view *view) {
  if (view->drawn) {
    fputs("\r\033[K", stderr);
    fflush(stderr);
    view->drawn = false;
  }
}
