/* settings.h - what the user said, resolved and checked. */
#ifndef SP_ENGINE_SETTINGS_H
#define SP_ENGINE_SETTINGS_H

#include "archive.h"
#include "cpus.h"
#include "lookahead.h"
#include "score_line.h"

#ifdef __cplusplus
extern "C" {
#endif

enum sp_on_long { SP_LONG_NULL, SP_LONG_ERROR, SP_LONG_TRUNCATE };
enum sp_letter_case { SP_CASE_AUTO, SP_CASE_KEEP, SP_CASE_LOWER };
enum sp_cls_sign { SP_SIGN_AUTO, SP_SIGN_LOGPROB, SP_SIGN_COST };

#define SP_COST_CEILING 1e12 /* of what latency is computed from */

struct sp_settings {
  const struct sp_score_options *options; /* the caller's; paths, callbacks, numbers */
  struct sp_archive_options archive; /* how the archives are read */
  unsigned methods; /* bits 1u << enum sp_method */
  enum sp_on_long on_long;
  enum sp_letter_case letter_case;
  enum sp_cls_sign cls_sign;
  unsigned savings; /* enum sp_saving of forward.h */
  const char *mask_text;    /* --mask as it was said; NULL: the model's own */
  struct sp_lookahead mask; /* its policy and reach */
  bool force_mask;
  bool trace; /* keep what dynamic lookahead decides on the unmasked texts */
  bool dtype_auto;
  enum sp_compute compute; /* when not auto */
  struct sp_text eos;      /* empty: none */
  size_t threads;
};

/* SP_EUSAGE names the option and what it takes. `options` must outlive the settings. */
SP_MUST_CHECK enum sp_status sp_settings_resolve(const struct sp_score_options *options,
                                                 struct sp_settings *out, struct sp_error *err);

/* Asks for a mask as --mask and --force-mask do; `text` must outlive the settings, NULL is "model". */
SP_MUST_CHECK enum sp_status sp_settings_set_mask(struct sp_settings *settings, const char *text,
                                                  bool force, struct sp_error *err);

const char *sp_on_long_name(enum sp_on_long on_long);
const char *sp_letter_case_name(enum sp_letter_case letter_case);
const char *sp_compute_name(enum sp_compute compute);

/* Names of the savings, in the order of their bits. */
extern const char *const sp_saving_names[];

/* 0: go on; 1: stop, within the grace where there is some; more: at once. */
static inline int sp_stop_wanted(const struct sp_score_options *options) {
  return options->stop ? *options->stop : 0;
}

static inline void sp_warn(const struct sp_score_options *options, const char *message) {
  if (options->warn) {
    options->warn(options->context, message);
  }
}

#ifdef __cplusplus
}
#endif
#endif
