/* progress.h - how far a run is, on standard error.
 *
 * Modes      tty    one line, rewritten: percent and time left by tokens, hypotheses/s
 *            plain  the same as a message every 10 s, for logs
 *            json   {"schema":1,"event":"progress",..} every second
 * No colours are used. A tty line is not drawn while the process is in the background.
 * Threads    calls must not overlap (the engine calls back one at a time). */
#ifndef SP_CLI_PROGRESS_H
#define SP_CLI_PROGRESS_H

#include <jansson.h>

#include "status.h"

enum sp_progress_mode { SP_PROGRESS_NONE, SP_PROGRESS_TTY, SP_PROGRESS_PLAIN, SP_PROGRESS_JSON };

struct sp_progress_view {
  enum sp_progress_mode mode;
  double next;            /* when the next line is due */
  double scoring_since;   /* 0: scoring has not begun */
  uint64_t tokens_before; /* done when scoring began: resumed, not computed now */
  bool drawn;             /* a tty line is on the screen */
};

/* The row of --progress in a table of options. */
#define SP_PROGRESS_OPTION(at)                                                                     \
  {                                                                                                \
    .name = "progress", .kind = SP_OPT_CHOICE, .offset = (at), .argument = "HOW",                  \
    .choices = "auto,tty,plain,json,none", .fallback = "auto: tty on a terminal, else plain",      \
    .help = "on standard error: tty rewrites one line, plain prints one line every 10 s, json one " \
            "object a second"                                                                      \
  }

/* `name` is a value of --progress; NULL is auto. */
void sp_progress_init(struct sp_progress_view *view, const char *name);
void sp_progress_show(struct sp_progress_view *view, const struct sp_progress *progress);
/* A line of another kind of work: `text` for people, `object` (its reference is taken) for --progress
 * json; shown when the next line is due. */
void sp_progress_line(struct sp_progress_view *view, const char *text, json_t *object);
/* Takes a tty line off the screen, so that a message can be printed. */
void sp_progress_clear(struct sp_progress_view *view);

/* The text of a line: "12.3 %  1,234 of 10,000 hypotheses (200 resumed)  350 hyps/s  3 min 20 s
 * left". */
void sp_progress_text(const struct sp_progress_view *view, const struct sp_progress *progress,
                      double now, char *out, size_t capacity);

#endif
