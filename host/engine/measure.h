/* measure.h - a fixed workload that is scored again and again: what `bench` times.
 *
 * The workload is prepared once (tokens, plan, batches); a round scores all of it on all threads
 * or devices.
 * Times are of rounds, from device-resident weights to scores in memory. */
#ifndef SP_ENGINE_MEASURE_H
#define SP_ENGINE_MEASURE_H

#include "context.h"
#include "job.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sp_workload {
  struct sp_settings settings;
  struct sp_context context;
  struct sp_job job;
};

/* Opens the model and prepares either `hyps` random hypotheses that are `length` tokens long with
 * [CLS] and [SEP] (length > 2), or the first options->limit utterances of options->archives. */
SP_MUST_CHECK enum sp_status sp_workload_open(const struct sp_score_options *options,
                                              size_t length, size_t hyps,
                                              struct sp_workload *out, struct sp_error *err);
void sp_workload_close(struct sp_workload *workload);

/* Plans the same hypotheses anew with other savings. */
SP_MUST_CHECK enum sp_status sp_workload_replan(struct sp_workload *workload, unsigned savings,
                                                struct sp_error *err);

/* The model's matrix products alone, on the row counts of the workload's batches: no bias epilogue
 * beyond what a product has, no activation, nothing between them.  The workload is planned without the
 * saving `nodes`, whose levels have row counts of their own. */
struct sp_products;
SP_MUST_CHECK enum sp_status sp_products_create(struct sp_workload *workload,
                                                struct sp_products **out, struct sp_error *err);
void sp_products_destroy(struct sp_products *products);

/* Wall seconds of one round: scoring, or with `products` those alone; on settings.threads threads, or
 * on one a device. */
SP_MUST_CHECK enum sp_status sp_workload_round(struct sp_workload *workload,
                                               struct sp_products *products, double *seconds,
                                               struct sp_error *err);

#ifdef __cplusplus
}
#endif
#endif
