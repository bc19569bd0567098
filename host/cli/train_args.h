/* train_args.h - what `train` takes on the command line. */
#ifndef SP_CLI_TRAIN_ARGS_H
#define SP_CLI_TRAIN_ARGS_H

#include "options.h"
#include "training.h"

/* As given; numbers that are not: -1, or UINT64_MAX. Strings point into argv. */
struct sp_train_args {
  const char *objective, *model, *config, *vocab, *init_layers, *lookahead, *cells, *cls, *out;
  const char *data, *holdout, *teacher, *holdout_teacher, *teacher_method, *format, *only_ids;
  const char *device, *dtype, *decay, *penalty, *mask_split, *save_dtype, *progress, *plot;
  bool error_rates, detach, distill_sum, json;
  size_t threads, max_hyps, max_tokens, step_tokens, batch_tokens, keep;
  uint64_t holdout_every, steps, warmup, seed, eval_every, patience, save_every;
  double epochs, rate, end_rate, weight_decay, clip, beta1, beta2, adam_eps;
  double join_share, mask_rate, beta, distill_weight, tau_start, tau_end, penalty_weight;
  double capacity, node_cost, key_cost;
};

extern const struct sp_opt_group sp_train_what, sp_train_data, sp_train_update, sp_train_loss,
    sp_train_masks, sp_train_output;

/* Comma-separated paths. */
struct sp_train_paths {
  char *text;         /* owned: the paths, NUL between */
  const char **items; /* (n) owned */
  size_t n;
};
struct sp_train_lists {
  struct sp_train_paths data, holdout, teacher, holdout_teacher;
};

/* Settings from arguments; `lists` holds what they point to, and is released by the caller, also on
 * failure. Operands are further data files. */
SP_MUST_CHECK enum sp_status sp_train_args_resolve(const struct sp_train_args *args,
                                                   const struct sp_operands *operands,
                                                   struct sp_train_lists *lists,
                                                   struct sp_train_settings *out,
                                                   struct sp_error *err);
void sp_train_lists_release(struct sp_train_lists *lists);

#endif
