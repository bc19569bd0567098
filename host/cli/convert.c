/* convert.c - `secondpass convert`: N-best archives from one format to another. */
#include <stdio.h>
#include <string.h>

#include "archive_args.h"
#include "archive_writer.h"
#include "commands.h"
#include "id_set.h"
#include "output.h"
#include "scan.h"
#include "score_args.h"

struct convert_args {
  struct sp_archive_args input; /* first: see archive_args.h */
  struct sp_archive_writer_options output;
  const char *to, *out, *to_sign;
  uint64_t limit;
  bool json;
};

struct conversion {
  const struct convert_args *args;
  struct sp_archive *archive;
  struct sp_archive_writer *writer;
  struct sp_id_set *ids;
  const volatile int *stop;
  uint64_t utts, hyps;
  char from[16];
  json_t *losses; /* what was dropped, and how often */
};

static const char *missing_option(const struct convert_args *args,
                                  const struct sp_operands *operands) {
  return !args->to ? "--to FORMAT" : !args->out ? "--out FILE" : !operands->n ? "an ARCHIVE" : NULL;
}

static enum sp_status open_both(struct conversion *c, const struct sp_operands *operands,
                                struct sp_error *err) {
  struct sp_archive_options input;
  struct sp_archive_writer_options output = c->args->output;
  SP_TRY(sp_archive_args_resolve(&c->args->input, &input, err));
  SP_TRY(sp_archive_output_parse(c->args->to, &output.format, err));
  output.costs = c->args->to_sign && strcmp(c->args->to_sign, "cost") == 0;
  SP_TRY(sp_id_set_create(SP_ID_SET_MEMORY, NULL, &c->ids, err));
  SP_TRY(sp_archive_open_with(operands->items, operands->n, &input, &c->archive, err));
  return sp_archive_writer_open_with(c->args->out, &output, &c->writer, err);
}

/* The writer knows the utterance, the archive where it stands. */
static enum sp_status put(struct conversion *c, const struct sp_utt *utt, struct sp_error *err) {
  struct sp_error fault;
  enum sp_status status = sp_archive_writer_put(c->writer, utt, &fault);
  if (status == SP_EINPUT) {
    return sp_fail(err, status, "%s: %s", sp_archive_place(c->archive), fault.message);
  }
  return status == SP_OK ? SP_OK : sp_fail(err, status, "%s", fault.message);
}

static enum sp_status convert_all(struct conversion *c, struct sp_error *err) {
  uint64_t limit = c->args->limit ? c->args->limit : UINT64_MAX;
  while (c->utts < limit) {
    struct sp_utt utt;
    bool found;
    if (*c->stop) {
      return sp_fail(err, SP_EINTERRUPTED, "interrupted; nothing was written");
    }
    SP_TRY(sp_archive_next(c->archive, &utt, &found, err));
    if (!found) {
      break;
    }
    SP_TRY(sp_scan_add_id(c->ids, c->archive, utt.id, err));
    SP_TRY(put(c, &utt, err));
    c->utts++;
    c->hyps += utt.n_hyps;
  }
  return sp_scan_finish_ids(c->ids, err);
}

/* Kept before the writer goes. */
static void keep_losses(struct conversion *c) {
  const struct sp_loss *losses;
  size_t n = c->writer ? sp_archive_writer_losses(c->writer, &losses) : 0;
  for (size_t i = 0; i < n; i++) {
    json_object_set_new(c->losses, losses[i].what, json_integer((json_int_t)losses[i].count));
  }
}

static enum sp_status convert(struct conversion *c, const struct sp_operands *operands,
                              struct sp_error *err) {
  enum sp_status status = open_both(c, operands, err);
  if (status == SP_OK) {
    snprintf(c->from, sizeof c->from, "%s",
             sp_archive_format_name(sp_archive_get_format(c->archive)));
    status = convert_all(c, err);
  }
  keep_losses(c);
  if (status == SP_OK) {
    status = sp_archive_writer_close(c->writer, err);
  } else {
    sp_archive_writer_discard(c->writer);
  }
  sp_archive_close(c->archive);
  sp_id_set_destroy(c->ids);
  return status;
}

/* One line names all that was dropped. */
static void warn_losses(const struct conversion *c) {
  const char *what;
  json_t *count;
  char text[1500] = "";
  size_t used = 0;
  json_object_foreach(c->losses, what, count) {
    used += (size_t)snprintf(text + used, sizeof text - used, "%s%s %s", used ? ", " : "",
                             sp_number((uint64_t)json_integer_value(count)).text, what);
    if (used + 200 > sizeof text) {
      snprintf(text + used, sizeof text - used, " and more");
      break;
    }
  }
  if (used > 0) {
    sp_say("warning: %s has no place for, and lacks now: %s", c->args->to, text);
  }
}

static enum sp_status print_json(const struct conversion *c, enum sp_status status,
                                 struct sp_error *err) {
  bool to_stdout = strcmp(c->args->out, "-") == 0;
  json_t *object = sp_json_begin("convert", status, err);
  json_object_set_new(object, "format", sp_json_text(c->from));
  json_object_set_new(object, "to", sp_json_text(c->args->to));
  json_object_set_new(object, "out", sp_json_text(c->args->out));
  json_object_set_new(object, "utts", json_integer((json_int_t)c->utts));
  json_object_set_new(object, "hyps", json_integer((json_int_t)c->hyps));
  json_object_set(object, "losses", c->losses);
  struct sp_error lost;
  enum sp_status printed =
      sp_json_print(object, to_stdout ? stderr : stdout, status == SP_OK ? err : &lost);
  return status == SP_OK ? printed : status;
}

static enum sp_status run_convert(const void *values, const struct sp_operands *operands,
                                  struct sp_error *err) {
  struct conversion c = {.args = values, .stop = sp_stop_on_signals()};
  const char *missing = missing_option(c.args, operands);
  if (missing) {
    return sp_fail(err, SP_EUSAGE, "%s is missing; usage: secondpass convert %s", missing,
                   sp_command_convert.usage);
  }
  c.losses = json_object();
  enum sp_status status = convert(&c, operands, err);
  if (status == SP_OK) {
    warn_losses(&c);
  }
  if (c.args->json) {
    status = print_json(&c, status, err);
  } else if (status == SP_OK && strcmp(c.args->out, "-") != 0) {
    sp_say("%s: %s of %s, %s to %s", c.args->out,
           sp_count_of(c.hyps, "hypothesis", "hypotheses").text,
           sp_count_of(c.utts, "utterance", "utterances").text, c.from, c.args->to);
  }
  json_decref(c.losses);
  return status;
}

#define FIELD(member) offsetof(struct convert_args, member)

static const struct sp_opt output[] = {
    {.name = "to",
     .kind = SP_OPT_CHOICE,
     .offset = FIELD(to),
     .argument = "NAME",
     .choices = sp_archive_outputs,
     .help = "format of the output"},
    {.name = "out",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(out),
     .argument = "FILE|-",
     .help = "where it goes: a file, compressed when its name ends in .zst or .gz; a new directory "
             "for espnet2; - for standard output"},
    SP_LIMIT_OPTION(FIELD(limit), "the first N utterances only"),
    {.name = "strict",
     .kind = SP_OPT_FLAG,
     .offset = FIELD(output.strict),
     .help = "refuse what the output has no place for, instead of dropping it with a warning"},
    {.name = "refs",
     .kind = SP_OPT_FLAG,
     .offset = FIELD(output.refs),
     .help = "with trn, kaldi-text and text: write the references, not the first hypotheses"},
    {.name = "to-sign",
     .kind = SP_OPT_CHOICE,
     .offset = FIELD(to_sign),
     .argument = "SIGN",
     .choices = "logprob,cost",
     .fallback = "logprob",
     .help = "write scores negated, as costs"},
    {.name = "to-tsv",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(output.tsv),
     .argument = "COLUMNS",
     .fallback = "as --tsv",
     .help = "columns of the output with tsv"},
    {.name = "to-kaldi-scores",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(output.tables),
     .argument = "NAME=FILE,..",
     .help = "with kaldi: score tables that are written beside the text"},
    {.name = "label",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(output.label),
     .argument = "NAME",
     .fallback = "score",
     .help =
         "with hf-regression: the score that is learnt, score, total or a component such as pll"},
    {.name = "json",
     .kind = SP_OPT_FLAG,
     .offset = FIELD(json),
     .help = "print the counts, and what was dropped, as one JSON object on standard output (on "
             "standard error with --out -)"},
};
static const struct sp_opt_group output_group = {"Output", output, sizeof output / sizeof *output};
static const struct sp_opt_group *const groups[] = {&sp_archive_input, &output_group, NULL};

const struct sp_command sp_command_convert = {
    .name = "convert",
    .summary = "converts N-best archives between formats",
    .example =
        "secondpass convert nbest.json --to jsonl --out nbest.jsonl.zst\n"
        "secondpass convert --format kaldi --kaldi-scores lm=lmwt --sign cost words --to jsonl "
        "--out -\n"
        "secondpass convert nbest.jsonl.zst --refs --to trn --out ref.trn\n"
        "secondpass cat run | secondpass convert - --to hf-regression --label pll --out t.jsonl",
    .usage = "--to FORMAT --out FILE|- [OPTIONS] ARCHIVE...",
    .description =
        "The output appears when it is whole, and replaces what had its name. What its format has "
        "no place for is dropped, counted and named in one warning, or refused with --strict. A "
        "text or an id that would break the format is refused with its place.\n"
        "jsonl, mlm and espnet1 hold all there is. The order of utterances and hypotheses is "
        "kept.\n"
        "The last example needs a run that was scored with --with-text.",
    .groups = groups,
    .values_bytes = sizeof(struct convert_args),
    .max_operands = SIZE_MAX,
    .run = run_convert,
};
