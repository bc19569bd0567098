#include "measure.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "bf16.h"
#include "checked.h"
#include "clock.h"
#include "lanes.h"
#include "thread.h"

/* ---- the workload ---- */

static uint64_t next_random(uint64_t *state) { /* splitmix64 */
  uint64_t z = (*state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

static enum sp_status add_random_hyp(struct sp_workload *w, size_t n, uint64_t *state,
                                     struct sp_error *err) {
  struct sp_hyp hyp = {.text = SP_TEXT_LITERAL("")};
  struct sp_utt utt = {.id = SP_TEXT_LITERAL("x"), .hyps = &hyp, .n_hyps = 1};
  int32_t *ids = malloc(n * sizeof *ids);
  uint32_t *word = malloc(n * sizeof *word);
  size_t vocab = sp_tokenizer_get_info(w->context.tokenizer)->vocab_size;
  enum sp_status status = ids && word ? SP_OK : sp_fail_memory(err, n * sizeof *ids);
  for (size_t i = 0; status == SP_OK && i < n; i++) {
    ids[i] = (int32_t)(next_random(state) % vocab);
    word[i] = (uint32_t)i;
  }
  if (status == SP_OK) {
    status = sp_job_add(&w->job, &utt, err);
  }
  if (status == SP_OK) {
    struct sp_tokens tokens = {.ids = ids, .word = word, .n = n};
    status = sp_job_set_tokens(&w->job, &w->job.hyps[w->job.n_hyps - 1], &tokens, err);
  }
  free(ids);
  free(word);
  return status;
}

static enum sp_status make_random(struct sp_workload *w, size_t length, size_t hyps,
                                  struct sp_error *err) {
  uint64_t state = 1;
  if (length < 3 || length - 2 > w->context.max_tokens) {
    return sp_fail(err, SP_EUSAGE, "a length must be from 3 to %zu for this model",
                   w->context.max_tokens + 2);
  }
  for (size_t h = 0; h < hyps; h++) {
    SP_TRY(add_random_hyp(w, length - 2, &state, err));
  }
  return sp_job_plan(&w->job, &w->settings, &w->context, err);
}

static enum sp_status read_into(struct sp_workload *w, struct sp_archive *archive,
                                struct sp_error *err) {
  uint64_t limit = w->settings.options->limit;
  for (uint64_t u = 0; !limit || u < limit; u++) {
    struct sp_utt utt;
    bool found;
    SP_TRY(sp_archive_next(archive, &utt, &found, err));
    if (!found) {
      return SP_OK;
    }
    SP_TRY(sp_job_add(&w->job, &utt, err));
  }
  return SP_OK;
}

static enum sp_status read_archive(struct sp_workload *w, struct sp_error *err) {
  const struct sp_score_options *options = w->settings.options;
  struct sp_archive *archive;
  struct sp_text_rule rule = {0};
  struct sp_case_look look = {0};
  SP_TRY(sp_archive_open_with(options->archives, options->n_archives, &w->settings.archive,
                              &archive, err));
  enum sp_status status = read_into(w, archive, err);
  sp_archive_close(archive);
  SP_TRY(status);
  for (size_t h = 0; h < w->job.n_hyps; h++) {
    sp_case_look_at(&look, w->job.hyps[h].text);
  }
  enum sp_letter_case letter_case = sp_case_resolve(&w->settings, &w->context, &look);
  SP_TRY(sp_text_rule_init(&rule, &w->settings, &w->context, letter_case, err));
  status = sp_job_prepare(&w->job, &w->settings, &w->context, &rule, err);
  sp_text_rule_release(&rule);
  return status;
}

enum sp_status sp_workload_open(const struct sp_score_options *options, size_t length, size_t hyps,
                                struct sp_workload *out, struct sp_error *err) {
  *out = (struct sp_workload){0};
  SP_TRY(sp_settings_resolve(options, &out->settings, err));
  SP_TRY(sp_context_open(&out->settings, &out->context, err));
  sp_job_begin(&out->job, 0);
  enum sp_status status = length ? make_random(out, length, hyps, err) : read_archive(out, err);
  if (status == SP_OK && out->job.n_batches == 0) {
    status = sp_fail(err, SP_EINPUT, "there is nothing to score");
  }
  if (status != SP_OK) {
    sp_workload_close(out);
  }
  return status;
}

void sp_workload_close(struct sp_workload *workload) {
  sp_job_release(&workload->job);
  sp_context_close(&workload->context);
}

enum sp_status sp_workload_replan(struct sp_workload *workload, unsigned savings,
                                  struct sp_error *err) {
  workload->settings.savings = savings;
  return sp_job_plan(&workload->job, &workload->settings, &workload->context, err);
}

/* ---- the products alone ---- */

struct product {
  struct sp_linear *linear[SP_MAX_DEVICES];
  size_t count; /* times a batch */
  bool scored;  /* runs at scored rows */
};

struct sp_products {
  struct sp_workload *workload;
  struct product product[9];
  size_t n;
  size_t widest_in, widest_out;
};

enum { vocab_columns = 2048 }; /* a product of the vocabulary head is this wide */

static float random_weight(uint64_t *state) {
  return (float)(next_random(state) >> 40) * 0x1p-24f - 0.5f;
}

static enum sp_status create_linears(struct sp_products *p, struct product *product,
                                     const float *weight, const float *bias, size_t n, size_t k,
                                     bool out_res, struct sp_error *err) {
  const struct sp_context *context = &p->workload->context;
  enum sp_row_kind rows = product->scored ? SP_ROWS_SCORED : SP_ROWS_TOKENS;
  for (size_t i = 0; i < context->n_devices; i++) {
    struct sp_device *device = context->devices[i];
    SP_TRY(device->backend->linear_create(device, weight, bias, n, k, SP_ACT_NONE, rows, out_res,
                                          &product->linear[i], err));
  }
  return SP_OK;
}

static enum sp_status add_product(struct sp_products *p, size_t n, size_t k, size_t count,
                                  bool scored, bool out_res, struct sp_error *err) {
  float *weight = calloc(sp_mul_sat(n, k), sizeof *weight);
  float *bias = calloc(n, sizeof *bias);
  uint64_t state = n * 31 + k;
  enum sp_status status = weight && bias ? SP_OK : sp_fail_memory(err, n * k * sizeof *weight);
  for (size_t i = 0; status == SP_OK && i < n * k; i++) {
    weight[i] = random_weight(&state);
  }
  struct product *product = &p->product[p->n++];
  product->count = count;
  product->scored = scored;
  if (status == SP_OK) {
    status = create_linears(p, product, weight, bias, n, k, out_res, err);
  }
  p->widest_in = sp_max_size(p->widest_in, k);
  p->widest_out = sp_max_size(p->widest_out, n);
  free(weight);
  free(bias);
  return status;
}

static enum sp_status add_products(struct sp_products *p, struct sp_error *err) {
  const struct sp_model_config *c = &p->workload->context.config;
  size_t d = c->hidden, f = c->ffn, inner = c->layers - 1;
  size_t columns = sp_min_size(c->vocab_size, vocab_columns);
  size_t chunks = (c->vocab_size + columns - 1) / columns;
  SP_TRY(add_product(p, 3 * d, d, inner, false, false, err));
  SP_TRY(add_product(p, d, d, inner, false, true, err));
  SP_TRY(add_product(p, f, d, inner, false, false, err));
  SP_TRY(add_product(p, d, f, inner, false, true, err));
  SP_TRY(add_product(p, 2 * d, d, 1, false, false, err));
  SP_TRY(add_product(p, d, d, 3, true, true, err)); /* q, o, transform */
  SP_TRY(add_product(p, f, d, 1, true, false, err));
  SP_TRY(add_product(p, d, f, 1, true, true, err));
  return add_product(p, columns, d, chunks, true, true, err);
}

enum sp_status sp_products_create(struct sp_workload *workload, struct sp_products **out,
                                  struct sp_error *err) {
  *out = NULL;
  struct sp_products *products = calloc(1, sizeof *products);
  if (!products) {
    return sp_fail_memory(err, sizeof *products);
  }
  products->workload = workload;
  enum sp_status status = add_products(products, err);
  if (status != SP_OK) {
    sp_products_destroy(products);
    return status;
  }
  *out = products;
  return SP_OK;
}

void sp_products_destroy(struct sp_products *products) {
  if (!products) {
    return;
  }
  const struct sp_context *context = &products->workload->context;
  for (size_t i = 0; i < products->n; i++) {
    for (size_t d = 0; d < context->n_devices; d++) {
      context->devices[d]->backend->linear_destroy(products->product[i].linear[d]);
    }
  }
  free(products);
}

/* ---- a round ---- */

struct round {
  struct sp_workload *workload;
  struct sp_products *products;
  atomic_size_t next;
  atomic_size_t started; /* threads, which take devices in turn */
  pthread_mutex_t mutex;
  pthread_cond_t change;
  size_t ready, done; /* threads that have their buffers; that have no batch left */
  bool go;
  enum sp_status status;
  struct sp_error error;
};

/* One thread's buffers: lanes, or rows for the products. */
struct runner {
  size_t which; /* device */
  struct sp_device *device;
  struct sp_lanes *lanes;
  struct sp_stream *stream;
  void *in, *out;
  struct sp_arena arena;
  struct sp_batch batch;
};

/* Rows to multiply: a device that reads only zeros would be faster than it is. */
static enum sp_status fill_rows(struct runner *r, size_t elements, struct sp_error *err) {
  enum { block = 1 << 16 };
  size_t bytes = r->device->act_bytes;
  uint64_t state = 7;
  void *data = malloc(block * sizeof(float));
  if (!data) {
    return sp_fail_memory(err, block * sizeof(float));
  }
  for (size_t i = 0; i < block; i++) {
    float value = random_weight(&state);
    if (r->device->compute == SP_COMPUTE_BF16) {
      ((uint16_t *)data)[i] = sp_bf16_from_f32(value);
    } else {
      ((float *)data)[i] = value;
    }
  }
  enum sp_status status = SP_OK;
  for (size_t at = 0; status == SP_OK && at < elements; at += block) {
    size_t now = sp_min_size(block, elements - at);
    status =
        r->device->backend->upload(r->stream, (char *)r->in + at * bytes, data, now * bytes, err);
  }
  if (status == SP_OK) {
    status = r->device->backend->finish(r->stream, err);
  }
  free(data);
  return status;
}

static enum sp_status init_runner(struct runner *r, struct round *round, struct sp_error *err) {
  struct sp_context *context = &round->workload->context;
  r->which = atomic_fetch_add(&round->started, 1) % context->n_devices;
  r->device = context->devices[r->which];
  if (!round->products) {
    return sp_lanes_create(&round->workload->settings, context, r->which, &r->lanes, err);
  }
  const struct sp_backend *b = r->device->backend;
  size_t rows = sp_round_up(context->limits.tokens, r->device->row_quantum);
  size_t in = rows * round->products->widest_in, out = rows * round->products->widest_out;
  if (!sp_batch_init(&r->batch, &context->limits, &r->arena)) {
    return sp_fail_memory(err, context->limits.targets * sizeof(uint32_t));
  }
  SP_TRY(b->stream_create(r->device, &r->stream, err));
  SP_TRY(b->alloc(r->device, in * r->device->act_bytes, &r->in, err));
  SP_TRY(b->alloc(r->device, out * r->device->res_bytes, &r->out, err));
  return fill_rows(r, in, err);
}

static void release_runner(struct runner *r) {
  sp_lanes_destroy(r->lanes);
  if (r->in) {
    r->device->backend->free(r->device, r->in);
  }
  if (r->out) {
    r->device->backend->free(r->device, r->out);
  }
  if (r->stream) {
    r->device->backend->stream_destroy(r->stream);
  }
  sp_arena_release(&r->arena);
}

static enum sp_status run_products(struct runner *r, struct round *round, size_t which,
                                   struct sp_error *err) {
  struct sp_workload *w = round->workload;
  const struct sp_backend *b = r->device->backend;
  sp_batch_fill(&r->batch, &w->job.plan, w->job.batches[which], true);
  for (size_t i = 0; i < round->products->n; i++) {
    const struct product *product = &round->products->product[i];
    size_t rows = product->scored ? r->batch.rows : r->batch.tokens;
    for (size_t time = 0; time < product->count; time++) {
      SP_TRY(b->linear(r->stream, product->linear[r->which], r->in, NULL, rows, r->out, err));
    }
  }
  return SP_OK;
}

/* Takes batches until none is left; the lanes are kept filled. */
static enum sp_status run_batches(struct runner *r, struct round *round, struct sp_error *err) {
  struct sp_job *job = &round->workload->job, *ended;
  size_t n = job->n_batches, i, last;
  while ((i = atomic_fetch_add(&round->next, 1)) < n) {
    if (round->products) {
      SP_TRY(run_products(r, round, i, err));
      continue;
    }
    if (!sp_lanes_have_room(r->lanes)) {
      SP_TRY(sp_lanes_end(r->lanes, &ended, &last, err));
    }
    SP_TRY(sp_lanes_begin(r->lanes, job, i, err));
  }
  while (r->lanes && sp_lanes_are_busy(r->lanes)) {
    SP_TRY(sp_lanes_end(r->lanes, &ended, &last, err));
  }
  return round->products ? r->device->backend->finish(r->stream, err) : SP_OK;
}

/* Says that this thread has its buffers and waits for the clock to start. */
static void wait_for_go(struct round *round) {
  pthread_mutex_lock(&round->mutex);
  round->ready++;
  pthread_cond_broadcast(&round->change);
  while (!round->go) {
    pthread_cond_wait(&round->change, &round->mutex);
  }
  pthread_mutex_unlock(&round->mutex);
}

static void say_done(struct round *round, enum sp_status status, const struct sp_error *err) {
  pthread_mutex_lock(&round->mutex);
  round->done++;
  if (status != SP_OK) {
    round->status = status;
    round->error = *err;
  }
  pthread_cond_broadcast(&round->change);
  pthread_mutex_unlock(&round->mutex);
}

static void *run_round(void *argument) {
  struct round *round = argument;
  struct runner runner = {0};
  struct sp_error err = {0};
  enum sp_status status = init_runner(&runner, round, &err);
  wait_for_go(round);
  if (status == SP_OK) {
    status = run_batches(&runner, round, &err);
  }
  say_done(round, status, &err);
  release_runner(&runner);
  return NULL;
}

/* Starts the clock when all threads are ready, stops it when all are done. */
static double time_round(struct round *round, size_t threads) {
  pthread_mutex_lock(&round->mutex);
  while (round->ready < threads) {
    pthread_cond_wait(&round->change, &round->mutex);
  }
  double start = sp_clock_seconds();
  round->go = true;
  pthread_cond_broadcast(&round->change);
  while (round->done < threads) {
    pthread_cond_wait(&round->change, &round->mutex);
  }
  double seconds = sp_clock_seconds() - start;
  pthread_mutex_unlock(&round->mutex);
  return seconds;
}

enum sp_status sp_workload_round(struct sp_workload *workload, struct sp_products *products,
                                 double *seconds, struct sp_error *err) {
  const struct sp_context *context = &workload->context;
  size_t n = sp_context_on_host(context) ? workload->settings.threads : context->n_devices;
  size_t started = 0;
  struct round round = {.workload = workload,
                        .products = products,
                        .mutex = PTHREAD_MUTEX_INITIALIZER,
                        .change = PTHREAD_COND_INITIALIZER};
  pthread_t *threads = calloc(n, sizeof *threads);
  if (!threads) {
    return sp_fail_memory(err, n * sizeof *threads);
  }
  while (started < n && sp_thread_start(&threads[started], run_round, &round) == 0) {
    started++;
  }
  *seconds = time_round(&round, started);
  for (size_t i = 0; i < started; i++) {
    pthread_join(threads[i], NULL);
  }
  free(threads);
  if (started < n) {
    return sp_fail(err, SP_EDEVICE, "cannot start %zu threads", n);
  }
  if (round.status != SP_OK && err) {
    *err = round.error;
  }
  if (round.status == SP_OK && !products) {
    sp_job_sum_nodes(&workload->job, context);
  }
  return round.status;
}
