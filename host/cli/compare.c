/* compare.c - `secondpass compare`: two score runs of one archive, and thresholds for a nightly job. */
#include "compare.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "checked.h"
#include "commands.h"
#include "compare_report.h"
#include "output.h"
#include "signature.h"
#include "utf8_valid.h"
#include "wer_block.h"

/* All that the command holds. */
struct gate {
  struct sp_compare_args args;
  struct sp_compare_limits limits;
  struct sp_history history;
  struct sp_compare *compare;
  struct sp_text_profile *profile;
  struct sp_wer *wer;
  struct sp_wer_blocks blocks;
  struct sp_compare_report report;
};

/* ---- opening ---- */

/* `list` parted at its commas; *paths (*n) is one allocation, the strings behind the pointers. */
static enum sp_status split_paths(const char *list, const char ***paths, size_t *n,
                                  struct sp_error *err) {
  size_t len = strlen(list), most = 1;
  for (const char *c = list; *c; c++) {
    most += *c == ',';
  }
  *paths = malloc(most * sizeof **paths + len + 1);
  *n = 0;
  if (!*paths) {
    return sp_fail_memory(err, len);
  }
  char *copy = memcpy(*paths + most, list, len + 1), *rest = NULL;
  for (char *path = strtok_r(copy, ",", &rest); path; path = strtok_r(NULL, ",", &rest)) {
    (*paths)[(*n)++] = path;
  }
  return *n > 0 ? SP_OK : sp_fail(err, SP_EUSAGE, "--archive: '%s' names no file", list);
}

static enum sp_status open_compare(struct gate *gate, struct sp_error *err) {
  const char **paths = NULL;
  struct sp_compare_options options = {.a = gate->report.a, .b = gate->report.b};
  enum sp_status status = sp_compare_args_combination(&gate->args, &options.combination, err);
  if (status == SP_OK) {
    status = sp_archive_args_resolve(&gate->args.wer.archive, &options.archive, err);
  }
  if (status == SP_OK && gate->args.archive) {
    status = split_paths(gate->args.archive, &paths, &options.n_paths, err);
    options.paths = paths;
  }
  if (status == SP_OK) {
    status = sp_compare_open(&options, &gate->compare, err);
  }
  free(paths);
  return status;
}

static const char *signature_of(const struct sp_compare *compare, bool of_b) {
  const json_t *info = json_object_get(sp_compare_manifest(compare, of_b), "info");
  const char *text = json_string_value(json_object_get(info, "signature"));
  return text ? text : "";
}

static enum sp_status describe_runs(struct gate *gate, struct sp_error *err) {
  struct sp_compare_report *report = &gate->report;
  report->signature_a = signature_of(gate->compare, false);
  report->signature_b = signature_of(gate->compare, true);
  report->identity = sp_compare_identity(sp_compare_manifest(gate->compare, false),
                                         sp_compare_manifest(gate->compare, true));
  if (!report->identity) {
    return sp_fail_memory(err, 0);
  }
  if (gate->args.archive) {
    SP_TRY(
        sp_rescore_signature(sp_compare_combination(gate->compare), NULL, &report->ranking, err));
  }
  SP_TRY(sp_run_speed_read(gate->args.summary_a, report->signature_a, &report->speed_a, err));
  return sp_run_speed_read(gate->args.summary_b, report->signature_b, &report->speed_b, err);
}

static enum sp_status open_gate(struct gate *gate, struct sp_error *err) {
  if (gate->args.history) {
    SP_TRY(sp_history_read(gate->args.history, gate->args.last, &gate->history, err));
  }
  SP_TRY(open_compare(gate, err));
  SP_TRY(describe_runs(gate, err));
  if (!gate->args.archive) {
    return SP_OK;
  }
  SP_TRY(sp_wer_blocks_open(gate->args.wer.block_by, &gate->blocks, err));
  SP_TRY(sp_text_profile_open(gate->args.wer.normalize, &gate->profile, err));
  return sp_wer_create(sp_wer_args_unit(&gate->args.wer), gate->profile, 2, &gate->wer, err);
}

/* ---- comparing ---- */

/* The new run is the first system: an improvement is its. */
static enum sp_status add_wer(struct gate *gate, const struct sp_compare_utt *utt,
                              struct sp_error *err) {
  struct sp_wer_utt unused;
  struct sp_text block;
  if (!gate->wer || !utt->has_ref) {
    gate->report.without_ref += gate->wer != NULL;
    return SP_OK;
  }
  SP_TRY(sp_wer_blocks_find(&gate->blocks, utt->id, utt->fields, utt->n_fields, &block, err));
  if (block.len == 0 && sp_wer_block_wanted(gate->args.wer.block_by)) {
    return sp_fail(err, SP_EINPUT, "utterance %.*s has no block: --block-by %s",
                   (int)sp_min_size(utt->id.len, 200), utt->id.data, gate->args.wer.block_by);
  }
  return sp_wer_add(gate->wer, utt->ref, &utt->best_b, 1, &utt->best_a, block, &unused, err);
}

static enum sp_status compare_all(struct gate *gate, struct sp_error *err) {
  for (;;) {
    struct sp_compare_utt utt;
    bool found;
    SP_TRY(sp_compare_next(gate->compare, &utt, &found, err));
    if (!found) {
      sp_compare_get_result(gate->compare, &gate->report.result);
      if (gate->report.result.other_input) {
        sp_say("a run scored other files than those of --archive; their texts may differ");
      }
      return SP_OK;
    }
    SP_TRY(add_wer(gate, &utt, err));
  }
}

static enum sp_status report_wer(struct gate *gate, struct sp_error *err) {
  struct sp_compare_report *report = &gate->report;
  if (!gate->wer || sp_wer_get_totals(gate->wer, 0)->utts == 0) {
    return gate->args.max_wer_increase
               ? sp_fail(err, SP_EINPUT, "--max-wer-increase: the archive has no references")
               : SP_OK;
  }
  SP_TRY(sp_wer_report_make(gate->wer, &gate->args.wer, report->b,
                            sp_text_profile_name(gate->profile), &report->a, 1, &report->wer, err));
  report->has_wer = true;
  return SP_OK;
}

/* ---- history ---- */

static void copy_signature(const char *from, char *to) {
  struct sp_text text = {from, sp_min_size(strlen(from), sp_history_max_signature)};
  text.len = sp_utf8_valid_prefix(text);
  memcpy(to, from, text.len);
  to[text.len] = '\0';
}

static enum sp_status hold_against_history(struct gate *gate, struct sp_error *err) {
  struct sp_compare_report *report = &gate->report;
  struct sp_history_line *line = &report->line;
  const struct sp_history *history = &gate->history;
  time_t now = time(NULL);
  struct tm utc;
  if (!gate->args.history) {
    return SP_OK;
  }
  gmtime_r(&now, &utc);
  strftime(line->date, sizeof line->date, "%Y-%m-%dT%H:%M:%SZ", &utc);
  copy_signature(report->signature_a, line->signature_a);
  copy_signature(report->signature_b, line->signature_b);
  report->has_history = true;
  report->history_lines = history->n;
  report->signature_changed =
      history->n > 0 && strcmp(history->lines[history->n - 1].signature_b, line->signature_b) != 0;
  SP_TRY(sp_compare_numbers(report, err));
  return sp_history_drift(history, line, &report->drifts, &report->n_drifts, err);
}

static enum sp_status work(struct gate *gate, const struct sp_operands *operands,
                           struct sp_error *err) {
  struct sp_compare_report *report = &gate->report;
  report->a = operands->items[0];
  report->b = operands->items[1];
  SP_TRY(sp_compare_args_check(&gate->args, operands, &gate->limits, err));
  SP_TRY(open_gate(gate, err));
  SP_TRY(compare_all(gate, err));
  SP_TRY(report_wer(gate, err));
  SP_TRY(hold_against_history(gate, err));
  SP_TRY(sp_compare_judge(report, &gate->limits, gate->args.fail_on_drift, err));
  report->line.exit_code = report->beyond.len > 0;
  return gate->args.history ? sp_history_append(gate->args.history, &report->line, err) : SP_OK;
}

/* ---- the answer ---- */

/* SP_EBEYOND with the reasons, SP_OK when there are none. */
static enum sp_status verdict(const struct sp_buf *beyond, struct sp_error *err) {
  struct sp_buf text = {0};
  enum sp_status status = SP_OK;
  const char *at = beyond->data, *end = at + beyond->len;
  for (const char *stop; at && at < end && status == SP_OK; at = stop + 1) {
    stop = memchr(at, '\n', (size_t)(end - at));
    status = sp_buf_printf(&text, err, "%s%.*s", text.len ? "; " : "", (int)(stop - at), at);
  }
  if (status == SP_OK && text.len > 0) {
    status = sp_buf_cstr(&text) ? sp_fail(err, SP_EBEYOND, "beyond the thresholds: %s", text.data)
                                : sp_fail_memory(err, text.len);
  }
  sp_buf_release(&text);
  return status;
}

static enum sp_status show(const struct gate *gate, enum sp_status status, struct sp_error *err) {
  bool compared = status == SP_OK;
  if (compared) {
    status = verdict(&gate->report.beyond, err);
  }
  if (!gate->args.wer.json) {
    if (compared) {
      sp_compare_report_print(&gate->report);
    }
    return status;
  }
  struct sp_error lost;
  json_t *object = sp_json_begin("compare", status, err);
  if (compared) {
    sp_compare_report_json(&gate->report, object);
  }
  enum sp_status printed = sp_json_print(object, stdout, status == SP_OK ? err : &lost);
  return status == SP_OK ? printed : status;
}

static enum sp_status run_compare(const void *values, const struct sp_operands *operands,
                                  struct sp_error *err) {
  struct gate *gate = calloc(1, sizeof *gate);
  if (!gate) {
    return sp_fail_memory(err, sizeof *gate);
  }
  gate->args = *(const struct sp_compare_args *)values;
  enum sp_status status = show(gate, work(gate, operands, err), err);
  sp_compare_report_release(&gate->report);
  sp_wer_destroy(gate->wer);
  sp_wer_blocks_close(&gate->blocks);
  sp_text_profile_close(gate->profile);
  sp_compare_close(gate->compare);
  sp_history_release(&gate->history);
  free(gate);
  return status;
}

static const struct sp_opt_group *const groups[] = {
    &sp_compare_gate_group,    &sp_compare_ranking_group,
    &sp_archive_input,         &sp_wer_count_group,
    &sp_compare_history_group, &sp_compare_speed_group,
    &sp_compare_output_group,  NULL};

const struct sp_command sp_command_compare = {
    .name = "compare",
    .summary = "compares the scores of two runs: a gate for nightly jobs",
    .example =
        "secondpass compare golden tonight --history nights.jsonl\n"
        "secondpass compare f32 bf16 --max-diff 0.5 --archive dev.jsonl.zst --weight pll=0.35 \\\n"
        "    --max-changed-best 1 --max-wer-increase 0.05",
    .usage = "[OPTIONS] RUN_A RUN_B",
    .description =
        "Reads two finished runs of the same utterances in step: how many values differ bit by "
        "bit, "
        "largest difference and its quantiles, nulls that appeared or vanished, other best "
        "hypotheses, and how the runs themselves differ (model, dtype, device type ..). With "
        "--archive the lists are ranked as `rescore` ranks them, and references give the error "
        "rates of both with MAPSSWE and bootstrap. RUN_A is what is compared with, RUN_B what is "
        "new.\n"
        "Exit code 0: within all thresholds; 1: beyond one, the message says which; 3: the runs "
        "are "
        "not of the same utterances in the same order, or are damaged; 7: one is not complete.\n"
        "Quantiles are at most 0.1 % above the true ones. In a history a number drifts when it "
        "lies "
        "outside mean +- 3 standard deviations of at least 3 earlier values, or when at least 5 "
        "values, tonight's the last, rise or fall all along.",
    .groups = groups,
    .values_bytes = sizeof(struct sp_compare_args),
    .min_operands = 2,
    .max_operands = 2,
    .run = run_compare,
};
