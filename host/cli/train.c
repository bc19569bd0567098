/* train.c - `secondpass train`: data and a model, or its config, in; a trained model out. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "output.h"
#include "progress.h"
#include "score_args.h"
#include "train_args.h"
#include "train_plot.h"

struct train_io {
  struct sp_progress_view view;
  const volatile int *stop;
};

static json_t *step_json(const struct sp_train_step *s) {
  return json_pack("{s:i, s:s, s:I, s:I, s:I, s:o, s:o, s:o, s:o}", "schema", 1, "event", "step",
                   "step", (json_int_t)s->step, "steps", (json_int_t)s->steps, "epoch",
                   (json_int_t)s->epoch, "loss", sp_json_real(s->loss), "rate",
                   sp_json_real(s->rate), "tokens_per_second", sp_json_real(s->tokens_per_second),
                   "seconds_left", sp_json_real(s->eta));
}

static void on_step(void *arg, const struct sp_train_step *s) {
  struct train_io *io = arg;
  char text[256];
  snprintf(
      text, sizeof text, "%5.1f %%  step %s of %s  loss %.4f  rate %.3g  %.0f tokens/s  %s left",
      100.0 * (double)s->step / (double)s->steps, sp_number(s->step).text, sp_number(s->steps).text,
      s->loss, s->rate, s->tokens_per_second, sp_duration(s->eta).text);
  sp_progress_line(&io->view, text + strspn(text, " "), step_json(s));
}

/* What of masks or words an evaluation has to tell. */
static void eval_text(const struct sp_train_eval *e, char *out, size_t room) {
  out[0] = '\0';
  if (isfinite(e->wer)) {
    snprintf(out, room, ", WER %.2f %% (first pass %.2f, best possible %.2f)", 100 * e->wer,
             100 * e->first_wer, 100 * e->oracle_wer);
  }
  size_t used = strlen(out);
  if (e->lookahead > 0 || e->latency > 0) {
    snprintf(out + used, room - used,
             ", rounded masks %.4f: latency %.2f, lookahead %.2f a row; %.1f %% of cells settled",
             e->rounded, e->latency, e->lookahead, 100 * e->settled);
  }
}

static void on_eval(void *arg, const struct sp_train_eval *e) {
  struct train_io *io = arg;
  char more[256];
  eval_text(e, more, sizeof more);
  sp_progress_clear(&io->view);
  if (io->view.mode != SP_PROGRESS_NONE && io->view.mode != SP_PROGRESS_JSON) {
    sp_say("step %s, epoch %s: held-out loss %.4f%s%s", sp_number(e->step).text,
           sp_number(e->epoch).text, e->loss, e->best ? " (best)" : "", more);
  }
}

static void on_note(void *arg, const char *text) {
  struct train_io *io = arg;
  sp_progress_clear(&io->view);
  sp_say("%s", text);
}

static bool on_stop(void *arg) {
  const struct train_io *io = arg;
  return *io->stop != 0;
}

static json_t *summary_json(const struct sp_train_summary *s, const char *out,
                            enum sp_status status, const struct sp_error *err) {
  json_t *object = sp_json_begin("train", status, err);
  const struct {
    const char *key;
    uint64_t value;
  } counts[] = {{"step", s->step},
                {"resumed_from", s->resumed_from},
                {"best_step", s->best_step},
                {"parameters", s->parameters},
                {"tokens", s->tokens},
                {"lists_skipped", s->skipped},
                {"items", s->data.items},
                {"data_tokens", s->data.tokens},
                {"data_hyps", s->data.hyps},
                {"holdout_items", s->data.holdout_items},
                {"holdout_tokens", s->data.holdout_tokens},
                {"holdout_hyps", s->data.holdout_hyps},
                {"cut", s->data.cut},
                {"left_out", s->data.left_out},
                {"without_ref", s->data.without_ref},
                {"teacher_null", s->data.teacher_null}};
  json_object_set_new(object, "out", sp_json_text(out));
  for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
    sp_json_set_count(object, counts[i].key, counts[i].value);
  }
  json_object_set_new(object, "best_loss", sp_json_real(s->best_loss));
  json_object_set_new(object, "early", json_boolean(s->early));
  return object;
}

static void say_counts(const struct sp_train_data_counts *d) {
  const struct {
    uint64_t count;
    const char *fact;
  } facts[] = {{d->cut, "longer than the model allows: cut"},
               {d->left_out, "empty or longer than the model allows: left out"},
               {d->without_ref, "without a reference: left out"},
               {d->teacher_null, "without a teacher score"}};
  if (d->lowered) {
    sp_say("the texts are all upper case and the vocabulary is cased: they were lowered");
  }
  for (size_t i = 0; i < sizeof facts / sizeof *facts; i++) {
    if (facts[i].count > 0) {
      sp_say("%s %s", sp_number(facts[i].count).text, facts[i].fact);
    }
  }
}

static void say_summary(const struct sp_train_summary *s, const char *out) {
  if (s->resumed_from == s->step) {
    sp_say("%s is complete already", out);
    return;
  }
  say_counts(&s->data);
  sp_say("trained %s parameters for %s, %s tokens%s", sp_number(s->parameters).text,
         sp_count_of(s->step, "step", "steps").text, sp_number(s->tokens).text,
         s->early ? "; stopped early" : "");
  if (isfinite(s->best_loss)) {
    sp_say("%s/model is the model of step %s, held-out loss %.4f", out,
           sp_number(s->best_step).text, s->best_loss);
  } else {
    sp_say("%s/model is the model of the last step; nothing was held out", out);
  }
}

static enum sp_status train(const struct sp_train_args *args, const struct sp_train_settings *s,
                            struct sp_error *err) {
  struct train_io io = {.stop = sp_stop_on_signals()};
  struct sp_train_events events = {
      .arg = &io, .step = on_step, .eval = on_eval, .note = on_note, .stop = on_stop};
  struct sp_train_summary summary = {.best_loss = NAN};
  sp_progress_init(&io.view, args->progress);
  enum sp_status status = sp_training_run(s, &events, &summary, err);
  sp_progress_clear(&io.view);
  if (status == SP_OK && args->plot) {
    status = sp_train_plot(s->out, args->plot, err);
  }
  if (args->json && status != SP_EUSAGE) {
    struct sp_error lost;
    json_t *object = summary_json(&summary, s->out, status, err);
    enum sp_status printed = sp_json_print(object, stdout, status == SP_OK ? err : &lost);
    return status == SP_OK ? printed : status;
  }
  if (status == SP_OK) {
    say_summary(&summary, s->out);
  }
  return status;
}

static enum sp_status run_train(const void *values, const struct sp_operands *operands,
                                struct sp_error *err) {
  const struct sp_train_args *args = values;
  struct sp_train_lists lists = {0};
  struct sp_train_settings settings;
  enum sp_status status = sp_train_args_resolve(args, operands, &lists, &settings, err);
  if (status == SP_OK) {
    status = train(args, &settings, err);
  }
  sp_train_lists_release(&lists);
  return status;
}

static const struct sp_opt_group *const groups[] = {&sp_train_what,
                                                    &sp_train_data,
                                                    &sp_train_update,
                                                    &sp_train_loss,
                                                    &sp_train_masks,
                                                    &sp_train_output,
                                                    NULL};

const struct sp_command sp_command_train = {
    .name = "train",
    .summary = "trains a teacher, a student, or a lookahead",
    .example =
        "secondpass train --objective mlm --config config.json --vocab vocab --data text.zst \\\n"
        "  --holdout-every 1000 --steps 20000 --out teacher\n"
        "secondpass train --objective distill --model teacher/model --init-layers 0,3 \\\n"
        "  --data text.zst --teacher pll-run --holdout-every 100 --out student\n"
        "secondpass train --objective mwer --model student/model --data dev.jsonl --out mwer",
    .usage =
        "--objective NAME --model DIR|--config FILE --data FILE[,..] --out DIR [OPTIONS] "
        "[DATA...]",
    .description =
        "mlm is the masked-language-model objective of BERT. distill regresses the score of a cls "
        "head "
        "on scores that `score` wrote. mwer and mwed train it on N-best lists with references, "
        "scores "
        "added to the first pass as the loss needs them (RescoreBERT). Any of them trains a model "
        "with a scheduler (--lookahead dynamic:R): soft masks inside the softmax, pushed to 0 and "
        "1, "
        "and rounded in the model that is written.\n"
        "All input is checked before the first update. A run that was stopped or killed is resumed "
        "by "
        "the same command and ends in the same bytes; equal seeds, device types and device counts "
        "train equal models. A loss that is not finite ends the run with the step and its batch; "
        "checkpoints stay.\n"
        "OUT/model opens in Hugging Face transformers and in every command here. OUT/steps.jsonl "
        "has "
        "a line a step. Dropout is not used, whatever the config says.",
    .groups = groups,
    .values_bytes = sizeof(struct sp_train_args),
    .max_operands = SIZE_MAX,
    .run = run_train,
};
