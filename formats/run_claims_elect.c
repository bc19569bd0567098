/* run_claims_elect.c - one worker for what only one must do. */
#include <math.h>

#include "run_claims_state.h"
#include "run_files.h"
#include "run_scan.h"

static const double first_pause = 0.05, longest_pause = 2.0; /* seconds */

static enum sp_status check_mine(struct sp_claims *claims, size_t job, sp_claims_is_done_fn is_done,
                                 void *context, bool *mine, struct sp_error *err) {
  bool done;
  enum sp_status status = sp_run_look_afresh(claims->run, err);
  if (status == SP_OK) {
    status = is_done(context, &done, err);
  }
  if (status != SP_OK) {
    sp_claims_drop(claims, job);
    return status;
  }
  if (done) {
    sp_claims_done(claims, job);
  }
  *mine = !done;
  return SP_OK;
}

enum sp_status sp_claims_elect(struct sp_claims *claims, size_t job, sp_claims_is_done_fn is_done,
                               void *context, bool *mine, struct sp_error *err) {
  struct sp_watch *watch = &claims->watch;
  double pause = first_pause, since = NAN;
  *mine = false;
  for (;;) {
    bool done, took_over;
    enum sp_claim claim;
    SP_TRY(is_done(context, &done, err));
    if (done) {
      return SP_OK;
    }
    SP_TRY(sp_claims_take(claims, job, &claim, &took_over, err));
    if (claim == SP_CLAIM_MINE) {
      return check_mine(claims, job, is_done, context, mine, err);
    }
    if (claim == SP_CLAIM_DONE) { /* what it made is there, seen or not */
      SP_TRY(sp_run_look_afresh(claims->run, err));
    }
    double now = watch->clock(watch->context);
    since = claim == SP_CLAIM_DONE && isnan(since) ? now : since;
    if (now - since > 2.0 * watch->lease) {
      return sp_fail(
          err, SP_EIO,
          "%s: another worker has made the run, but its files are not to be seen; if they were "
          "removed, remove %s/" SP_RUN_CLAIMS " too",
          claims->run, claims->run);
    }
    if (!claims->pause(watch->context, pause)) {
      return sp_fail(err, SP_EINTERRUPTED, "interrupted while another worker had the work on %s",
                     claims->run);
    }
    pause = fmin(pause * 1.5, fmin(longest_pause, watch->lease / 8.0));
  }
}
