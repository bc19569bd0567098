/* wer.c - `secondpass wer`: error rates with intervals, and tests between systems. */
#include "wer.h"

#include <stdlib.h>
#include <string.h>

#include "checked.h"
#include "commands.h"
#include "output.h"
#include "wer_block.h"
#include "wer_inputs.h"
#include "wer_lines.h"
#include "wer_report.h"

/* All that the run holds. */
struct run {
  struct sp_wer_args args;
  struct sp_wer_inputs *inputs;
  struct sp_text_profile *profile;
  struct sp_wer *wer;
  struct sp_wer_blocks blocks;
  struct sp_wer_lines lines;
  struct sp_wer_report report;
};

static enum sp_status open_run(struct run *run, const struct sp_operands *operands,
                               struct sp_error *err) {
  SP_TRY(sp_text_profile_open(run->args.normalize, &run->profile, err));
  SP_TRY(sp_wer_inputs_open(&run->args, operands, &run->inputs, err));
  SP_TRY(sp_wer_create(sp_wer_args_unit(&run->args), run->profile,
                       1 + sp_wer_inputs_others(run->inputs), &run->wer, err));
  SP_TRY(sp_wer_blocks_open(run->args.block_by, &run->blocks, err));
  return sp_wer_lines_open(&run->args, &run->lines, err);
}

static enum sp_status add_one(struct run *run, const struct sp_wer_input *input,
                              struct sp_error *err) {
  struct sp_wer_utt utt;
  struct sp_text block;
  SP_TRY(sp_wer_blocks_find(&run->blocks, input->id, input->fields, input->n_fields, &block, err));
  if (block.len == 0 && sp_wer_block_wanted(run->args.block_by)) {
    return sp_fail(err, SP_EINPUT, "%s: utterance %.*s has no block: --block-by %s",
                   sp_wer_inputs_place(run->inputs), (int)sp_min_size(input->id.len, 200),
                   input->id.data, run->args.block_by);
  }
  struct sp_error reason;
  enum sp_status status = sp_wer_add(run->wer, input->ref, input->hyps, input->n_hyps,
                                     input->others, block, &utt, &reason);
  if (status != SP_OK) {
    return sp_fail(err, status, "%s: utterance %.*s: %s", sp_wer_inputs_place(run->inputs),
                   (int)sp_min_size(input->id.len, 200), input->id.data, reason.message);
  }
  return sp_wer_lines_write(&run->lines, run->wer, input->id, &utt,
                            sp_wer_inputs_others(run->inputs), err);
}

static enum sp_status add_all(struct run *run, struct sp_error *err) {
  struct sp_wer_input input;
  bool found = true;
  for (;;) {
    SP_TRY(sp_wer_inputs_next(run->inputs, &input, &found, err));
    if (!found) {
      break;
    }
    SP_TRY(add_one(run, &input, err));
  }
  SP_TRY(sp_wer_inputs_finish(run->inputs, err));
  return sp_wer_get_totals(run->wer, 0)->utts > 0
             ? SP_OK
             : sp_fail(err, SP_EINPUT, "there are no utterances to compare");
}

static enum sp_status make_report(struct run *run, const struct sp_operands *operands,
                                  struct sp_error *err) {
  size_t n = sp_wer_inputs_others(run->inputs);
  const char **names = calloc(n + 1, sizeof *names);
  if (!names) {
    return sp_fail_memory(err, n * sizeof *names);
  }
  for (size_t i = 0; i < n; i++) {
    names[i] = sp_wer_inputs_name(run->inputs, i);
  }
  const char *name = run->args.hyp ? run->args.hyp : operands->items[0];
  enum sp_status status = sp_wer_report_make(
      run->wer, &run->args, name, sp_text_profile_name(run->profile), names, n, &run->report, err);
  free(names);
  return status;
}

static enum sp_status work(struct run *run, const struct sp_operands *operands,
                           struct sp_error *err) {
  SP_TRY(sp_wer_args_check(&run->args, operands, err));
  SP_TRY(open_run(run, operands, err));
  SP_TRY(add_all(run, err));
  SP_TRY(sp_wer_lines_close(&run->lines, err));
  return make_report(run, operands, err);
}

static enum sp_status show(const struct run *run, enum sp_status status, struct sp_error *err) {
  if (!run->args.json) {
    if (status == SP_OK) {
      sp_wer_report_print(&run->report);
    }
    return status;
  }
  struct sp_error lost;
  json_t *object = sp_json_begin("wer", status, err);
  if (status == SP_OK) {
    sp_wer_report_json(&run->report, object);
  }
  enum sp_status printed = sp_json_print(object, stdout, status == SP_OK ? err : &lost);
  return status == SP_OK ? printed : status;
}

static enum sp_status run_wer(const void *values, const struct sp_operands *operands,
                              struct sp_error *err) {
  struct run run = {.args = *(const struct sp_wer_args *)values};
  enum sp_status status = show(&run, work(&run, operands, err), err);
  struct sp_error lost;
  if (sp_wer_lines_close(&run.lines, &lost) != SP_OK && status == SP_OK) {
    *err = lost;
    status = lost.status;
  }
  sp_wer_report_release(&run.report);
  sp_wer_destroy(run.wer);
  sp_wer_blocks_close(&run.blocks);
  sp_wer_inputs_close(run.inputs);
  sp_text_profile_close(run.profile);
  return status;
}

static const struct sp_opt_group *const groups[] = {
    &sp_wer_inputs_group, &sp_archive_input, &sp_wer_count_group, &sp_wer_output_group, NULL};

const struct sp_command sp_command_wer = {
    .name = "wer",
    .summary = "error rates with intervals, and tests between systems",
    .example =
        "secondpass wer dev.jsonl.zst\n"
        "secondpass wer --ref ref.trn --hyp new.trn --against old.trn\n"
        "secondpass wer --unit char --normalize librispeech --ref text --hyp hyp.txt",
    .usage = "[OPTIONS] HYP...",
    .description =
        "HYP is archives, or files of trn (words (id)) or Kaldi text (id words); --format and the "
        "options beside it are of HYP, and the other files' formats are told from the content. "
        "Of a list the first hypothesis is the answer; lists also give the oracle, the best "
        "hypothesis of each, and the anti-oracle. Substitutions, deletions and insertions are "
        "counted as sclite counts them.\n"
        "Intervals are percentile bootstrap, by utterance and by block where there are blocks; "
        "--against adds the matched-pair test (MAPSSWE, two-tailed), the interval of the "
        "difference, HYP minus the other, and the share of replicates in which HYP is better.\n"
        "Every utterance must be on every side: else the ids are named, exit code 3.",
    .groups = groups,
    .values_bytes = sizeof(struct sp_wer_args),
    .max_operands = SIZE_MAX,
    .run = run_wer,
};
