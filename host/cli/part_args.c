#include "part_args.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mpi_ranks.h"
#include "output.h"
#include "score_args.h"

#define FIELD(member) offsetof(struct sp_score_args, part.member)
enum { parts_ceiling = 10000000, seconds_ceiling = 604800 };

static const struct sp_opt part_options[] = {
    {.name = "part",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(part),
     .argument = "I/N",
     .choices = "none",
     .fallback =
         "told by the environment: SLURM_ARRAY_TASK_ID with _MIN, _MAX and _STEP, "
         "JOB_COMPLETION_INDEX with JOB_COMPLETIONS, RANK with WORLD_SIZE, SLURM_PROCID with "
         "SLURM_STEP_NUM_TASKS in a step of srun (the tasks of an array's steps share its "
         "parts); else the whole run, which no other process may work on then",
     .help =
         "score part I, from 0, of N of a run directory that others work on too; any mix of parts, "
         "at one time or later, with other N too, completes the run. To go without a part that the "
         "environment tells"},
    {.name = "own-share",
     .kind = SP_OPT_FLAG,
     .offset = FIELD(own_share),
     .help =
         "with parts: end when the own share is done; otherwise a part then takes open shards of "
         "parts that are at work, from the end of theirs, so that none waits for the slowest"},
    {.name = "prepare",
     .kind = SP_OPT_FLAG,
     .offset = offsetof(struct sp_score_args, options.prepare),
     .help =
         "check the archives, make the run directory and score nothing: parts that begin later "
         "find it "
         "made. Needs no device; which one computes is said by the first part that scores, but for "
         "--device and --dtype where they are given here"},
    {.name = "lease",
     .kind = SP_OPT_REAL,
     .offset = FIELD(lease),
     .argument = "SECONDS",
     .min = 1,
     .max = seconds_ceiling,
     .fallback = "60",
     .help = "with parts: how long a worker may give no sign of life before others do its shards"},
    {.name = "grace",
     .kind = SP_OPT_REAL,
     .offset = FIELD(grace),
     .argument = "SECONDS",
     .max = seconds_ceiling,
     .zero = true,
     .fallback = "0",
     .help =
         "after SIGTERM, SIGINT or SIGUSR1: finish the shards under work that can be done in this "
         "time, and drop the others at once"},
};
const struct sp_opt_group sp_score_part = {"Many workers, and preemption", part_options,
                                           sizeof part_options / sizeof *part_options};

static bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/* Decimal digits alone, up to the end or to `end`. */
static bool parse_number(const char *text, char end, uint64_t *out, const char **rest) {
  char *stop;
  errno = 0;
  *out = is_digit(*text) ? strtoull(text, &stop, 10) : 0;
  if (!is_digit(*text) || errno != 0 || *stop != end) {
    return false;
  }
  *rest = stop;
  return true;
}

static enum sp_status parse_part(const char *text, struct sp_score_options *options,
                                 struct sp_error *err) {
  uint64_t part, parts;
  const char *rest;
  if (!parse_number(text, '/', &part, &rest) || !parse_number(rest + 1, '\0', &parts, &rest) ||
      parts == 0 || parts > parts_ceiling) {
    return sp_fail(err, SP_EUSAGE,
                   "--part takes I/N, such as 0/4 for the first of four, or none; not '%s'", text);
  }
  if (part >= parts) {
    return sp_fail(
        err, SP_EUSAGE, "--part %s: parts count from 0, so that the last of %llu is %llu/%llu",
        text, (unsigned long long)parts, (unsigned long long)parts - 1, (unsigned long long)parts);
  }
  options->part = (size_t)part;
  options->parts = (size_t)parts;
  return SP_OK;
}

/* ---- what launchers tell ---- */

/* *found false: it is not set, or empty. */
static enum sp_status variable(const char *name, uint64_t *value, bool *found,
                               struct sp_error *err) {
  const char *text = getenv(name), *rest;
  *found = text && *text;
  if (*found && (!parse_number(text, '\0', value, &rest) || *value > INT64_MAX)) {
    return sp_fail(err, SP_EUSAGE, "%s is '%s', which is no number; --part none does without it",
                   name, text);
  }
  return SP_OK;
}

/* One that has to be there because another one is. */
static enum sp_status needed(const char *name, const char *because, const char *advice,
                             uint64_t *value, struct sp_error *err) {
  bool found;
  SP_TRY(variable(name, value, &found, err));
  return found ? SP_OK
               : sp_fail(err, SP_EUSAGE, "%s is set, but %s is not: %s, or give --part I/N or none",
                         because, name, advice);
}

static enum sp_status take(uint64_t part, uint64_t parts, const char *from,
                           struct sp_score_options *options, struct sp_error *err) {
  if (part >= parts || parts > parts_ceiling) {
    return sp_fail(err, SP_EUSAGE,
                   "%s tells part %llu of %llu, counted from 0; --part none does "
                   "without it",
                   from, (unsigned long long)part, (unsigned long long)parts);
  }
  options->part = (size_t)part;
  options->parts = (size_t)parts;
  sp_say("this is part %zu/%zu, by %s; --part none scores the whole", options->part, options->parts,
         from);
  return SP_OK;
}

/* Tasks that srun started without MPI are parts; inside a part, parts of it. */
static enum sp_status take_of_step(uint64_t part, uint64_t parts, const char *outer,
                                   struct sp_score_options *options, struct sp_error *err) {
  size_t task, tasks;
  char from[64];
  if (!sp_ranks_plain_step(&task, &tasks) || parts > parts_ceiling) {
    return outer ? take(part, parts, outer, options, err) : SP_OK;
  }
  snprintf(from, sizeof from, "%s%sSLURM_PROCID", outer ? outer : "", outer ? " and " : "");
  return take(part * tasks + task, parts * tasks, from, options, err);
}

/* Ids from MIN to MAX in steps; a list of any ids has no order to go by. */
static enum sp_status from_slurm(struct sp_score_options *options, bool *found,
                                 struct sp_error *err) {
  static const char name[] = "SLURM_ARRAY_TASK_ID", advice[] = "sbatch --array sets it";
  uint64_t id, low, high, step = 1, count;
  bool has_step, has_count;
  SP_TRY(variable(name, &id, found, err));
  if (!*found) {
    return SP_OK;
  }
  SP_TRY(needed("SLURM_ARRAY_TASK_MIN", name, advice, &low, err));
  SP_TRY(needed("SLURM_ARRAY_TASK_MAX", name, advice, &high, err));
  SP_TRY(variable("SLURM_ARRAY_TASK_STEP", &step, &has_step, err));
  SP_TRY(variable("SLURM_ARRAY_TASK_COUNT", &count, &has_count, err));
  step = step > 0 ? step : 1;
  uint64_t parts = high >= low ? (high - low) / step + 1 : 0;
  if (id < low || id > high || (id - low) % step != 0 || (has_count && count != parts)) {
    return sp_fail(err, SP_EUSAGE,
                   "the ids of this Slurm array are not evenly spaced from SLURM_ARRAY_TASK_MIN to "
                   "_MAX: give --part I/N or none");
  }
  return take_of_step((id - low) / step, parts, name, options, err);
}

static enum sp_status from_pair(const char *part, const char *parts, const char *advice,
                                struct sp_score_options *options, bool *found,
                                struct sp_error *err) {
  uint64_t index, count;
  SP_TRY(variable(part, &index, found, err));
  if (!*found) {
    return SP_OK;
  }
  SP_TRY(needed(parts, part, advice, &count, err));
  return take(index, count, part, options, err);
}

static enum sp_status from_environment(struct sp_score_options *options, struct sp_error *err) {
  bool found;
  SP_TRY(from_slurm(options, &found, err));
  if (!found) {
    SP_TRY(from_pair("JOB_COMPLETION_INDEX", "JOB_COMPLETIONS",
                     "set it in the job's template to its completions", options, &found, err));
  }
  if (!found &&
      sp_ranks_launched() < 2) { /* ranks of one job draw from one counter, not from parts */
    const char *size = getenv("WORLD_SIZE"); /* RANK alone may be anybody's */
    return size && *size ? from_pair("RANK", "WORLD_SIZE", "torchrun sets it", options, &found, err)
                         : take_of_step(0, 1, NULL, options, err);
  }
  return SP_OK;
}

/* ---- all together ---- */

static bool is_none(const struct sp_part_args *args) {
  return args->part && strcmp(args->part, "none") == 0;
}

/* The combinations with --prepare that mean nothing. It takes what the commands that score are given. */
static enum sp_status check_prepare(const struct sp_part_args *args, bool stream, bool spooled,
                                    struct sp_error *err) {
  const char *fault =
      stream    ? "makes a run directory, which --out - is not"
      : spooled ? "goes with archives in files, which parts read again; not with standard input"
      : args->part && !is_none(args) ? "is done once for all parts: leave --part out"
                                     : NULL;
  return fault ? sp_fail(err, SP_EUSAGE, "--prepare %s", fault) : SP_OK;
}

static bool reads_standard_input(const struct sp_score_options *options) {
  for (size_t i = 0; i < options->n_archives; i++) {
    if (strcmp(options->archives[i], "-") == 0) {
      return true;
    }
  }
  return false;
}

enum sp_status sp_part_args_resolve(const struct sp_part_args *args,
                                    struct sp_score_options *options, struct sp_error *err) {
  bool stream = strcmp(options->out, "-") == 0, spooled = reads_standard_input(options);
  options->lease = args->lease;
  options->grace = args->grace;
  options->own_share = args->own_share;
  if (options->prepare) {
    return check_prepare(args, stream, spooled, err);
  }
  if (stream && args->grace > 0) {
    return sp_fail(err, SP_EUSAGE,
                   "--grace goes with a run directory, whose shards can be finished; "
                   "not with --out -");
  }
  if (is_none(args) || (!args->part && (stream || spooled))) {
    return SP_OK;
  }
  if (!args->part) {
    return from_environment(options, err);
  }
  if (stream || spooled) {
    return sp_fail(err, SP_EUSAGE, "--part goes with %s",
                   stream ? "a run directory, which others can share; not with --out -"
                          : "archives in files, which others can read; not with standard input");
  }
  return parse_part(args->part, options, err);
}
