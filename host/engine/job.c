#include "job.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "checked.h"
#include "job_latency.h"

void sp_job_release(struct sp_job *job) {
  sp_arena_release(&job->texts);
  sp_arena_release(&job->tokens);
  sp_plan_release(&job->plan);
  sp_latency_counts_release(&job->latency);
  free(job->utts);
  free(job->hyps);
  *job = (struct sp_job){0};
}

void sp_job_begin(struct sp_job *job, size_t index) {
  sp_arena_clear(&job->texts);
  sp_arena_clear(&job->tokens);
  sp_latency_counts_clear(&job->latency);
  job->index = index;
  job->n_utts = job->n_hyps = job->n_batches = 0;
  job->n_tokens = 0;
  job->counts = (struct sp_counts){0};
}

/* Room for one more element of an array of `size`-byte elements. */
static enum sp_status grow(void **array, size_t count, size_t *room, size_t size,
                           struct sp_error *err) {
  if (count < *room) {
    return SP_OK;
  }
  size_t wanted = sp_max_size(64, *room * 2);
  void *grown = realloc(*array, sp_mul_sat(wanted, size));
  if (!grown) {
    return sp_fail_memory(err, sp_mul_sat(wanted, size));
  }
  *array = grown;
  *room = wanted;
  return SP_OK;
}

static enum sp_status copy_text(struct sp_arena *arena, struct sp_text from, struct sp_text *to,
                                struct sp_error *err) {
  *to = (struct sp_text){sp_arena_copy(arena, from.data, from.len), from.len};
  return to->data ? SP_OK : sp_fail_memory(err, from.len);
}

enum sp_status sp_job_add(struct sp_job *job, const struct sp_utt *utt, struct sp_error *err) {
  SP_TRY(grow((void **)&job->utts, job->n_utts, &job->utts_room, sizeof *job->utts, err));
  struct sp_job_utt *to = &job->utts[job->n_utts];
  *to = (struct sp_job_utt){.first_hyp = job->n_hyps, .n_hyps = utt->n_hyps};
  SP_TRY(copy_text(&job->texts, utt->id, &to->id, err));
  job->counts.without_ref += !utt->has_ref;
  job->counts.empty_lists += utt->n_hyps == 0;
  for (size_t h = 0; h < utt->n_hyps; h++) {
    SP_TRY(grow((void **)&job->hyps, job->n_hyps, &job->hyps_room, sizeof *job->hyps, err));
    struct sp_job_hyp *hyp = &job->hyps[job->n_hyps++];
    *hyp = (struct sp_job_hyp){0};
    job->counts.without_score += !utt->hyps[h].has_score;
    SP_TRY(copy_text(&job->texts, utt->hyps[h].text, &hyp->text, err));
  }
  job->n_utts++;
  return SP_OK;
}

/* ---- prepare ---- */

enum sp_status sp_job_set_tokens(struct sp_job *job, struct sp_job_hyp *hyp,
                                 const struct sp_tokens *tokens, struct sp_error *err) {
  int32_t *ids = sp_arena_alloc(&job->tokens, tokens->n, sizeof *ids);
  uint32_t *word = sp_arena_alloc(&job->tokens, tokens->n, sizeof *word);
  if (!ids || !word) {
    return sp_fail_memory(err, tokens->n * (sizeof *ids + sizeof *word));
  }
  memcpy(ids, tokens->ids, tokens->n * sizeof *ids);
  memcpy(word, tokens->word, tokens->n * sizeof *word);
  hyp->ids = ids;
  hyp->word = word;
  hyp->n = (uint32_t)tokens->n;
  job->n_tokens += tokens->n;
  return SP_OK;
}

static enum sp_status tokenize(struct sp_job *job, struct sp_text_rule *rule,
                               struct sp_error *err) {
  for (size_t u = 0; u < job->n_utts; u++) {
    const struct sp_job_utt *utt = &job->utts[u];
    for (size_t h = utt->first_hyp; h < utt->first_hyp + utt->n_hyps; h++) {
      struct sp_job_hyp *hyp = &job->hyps[h];
      struct sp_tokens tokens;
      SP_TRY(sp_text_rule_apply(rule, hyp->text, &tokens, &hyp->flag, err));
      sp_count_hyp(&job->counts, &tokens, hyp->flag);
      if (hyp->flag == SP_FLAG_TOO_LONG && rule->on_long == SP_LONG_ERROR) {
        return sp_fail(err, SP_EINPUT,
                       "utterance %.*s, hypothesis %zu: %zu tokens, the model takes %zu "
                       "(--on-long null|truncate goes on)",
                       (int)sp_min_size(utt->id.len, 200), utt->id.data, h - utt->first_hyp + 1,
                       tokens.n, rule->max_tokens);
      }
      if (hyp->flag == SP_FLAG_NONE || hyp->flag == SP_FLAG_TRUNCATED) {
        SP_TRY(sp_job_set_tokens(job, hyp, &tokens, err));
      }
    }
  }
  return SP_OK;
}

static enum sp_status plan_hyps(struct sp_job *job, const struct sp_plan_rule *rule,
                                struct sp_error *err) {
  struct sp_plan_hyp *hyps = sp_arena_alloc(&job->tokens, job->n_hyps, sizeof *hyps);
  size_t n = 0;
  if (!hyps) {
    return sp_fail_memory(err, job->n_hyps * sizeof *hyps);
  }
  for (size_t u = 0; u < job->n_utts; u++) {
    const struct sp_job_utt *utt = &job->utts[u];
    for (size_t h = utt->first_hyp; h < utt->first_hyp + utt->n_hyps; h++) {
      struct sp_job_hyp *hyp = &job->hyps[h];
      if (hyp->n > 0) {
        hyp->plan_hyp = (uint32_t)n;
        hyps[n++] = (struct sp_plan_hyp){hyp->ids, hyp->word, hyp->n, (uint32_t)u};
      }
    }
  }
  SP_TRY(sp_plan_build(&job->plan, hyps, n, rule, err));
  job->counts.duplicate_hyps = n - job->plan.bases;
  return SP_OK;
}

static void count_plan(struct sp_job *job, const struct sp_context *context, unsigned savings) {
  const struct sp_plan *plan = &job->plan;
  double sum_sq = 0;
  for (size_t s = 0; s < plan->sequences; s++) {
    double len = sp_plan_base_len(plan, plan->sequence[s].base);
    sum_sq += len * len;
  }
  job->counts.utts = job->n_utts;
  job->counts.copies = plan->copies;
  job->counts.sequences = plan->sequences;
  job->counts.sequence_tokens = plan->tokens;
  job->counts.scored_rows = plan->rows;
  job->counts.plain_nodes = (context->config.layers - 1) * plan->tokens + plan->rows;
  job->counts.flops = sp_forward_flops(&context->config, savings, (double)plan->tokens, sum_sq,
                                       (double)plan->rows, (double)(plan->rows - plan->cls_rows));
}

/* A node that is told from others costs a little more than one of a packed sequence: its keys are
 * gathered, and shared by fewer queries.  On a CPU 2 to 8 % more were measured. */
static bool pays_by_nodes(const struct sp_job *job, const struct sp_nodes_rule *rule) {
  return 1.1 * sp_nodes_bound(&job->plan, rule) < (double)job->counts.plain_nodes;
}

/* Room for what the batches leave. */
static enum sp_status take_results(struct sp_job *job, const struct sp_context *context,
                                   bool traces, struct sp_error *err) {
  size_t words = traces ? sp_mul_sat(context->config.layers, job->plan.traced) : 0;
  job->logp = sp_arena_alloc(&job->tokens, job->plan.targets, sizeof *job->logp);
  job->cls = sp_arena_alloc(&job->tokens, job->plan.cls_rows, sizeof *job->cls);
  job->batch_nodes = sp_arena_calloc(&job->tokens, job->n_batches, sizeof *job->batch_nodes);
  job->bits = sp_arena_alloc(&job->tokens, words, sizeof *job->bits);
  if (!job->logp || !job->cls || !job->batch_nodes || !job->bits) {
    return sp_fail_memory(err, sp_max_size(job->plan.targets, words) * sizeof *job->logp);
  }
  return SP_OK;
}

enum sp_status sp_job_plan(struct sp_job *job, const struct sp_settings *settings,
                           const struct sp_context *context, struct sp_error *err) {
  const struct sp_tokenizer_info *info = sp_tokenizer_get_info(context->tokenizer);
  bool may = sp_context_tells_nodes(context, settings);
  bool traces = sp_context_traces(context, settings);
  struct sp_nodes_rule nodes = sp_context_nodes_rule(context);
  struct sp_plan_rule plan_rule = {.methods = settings->methods,
                                   .dedupe = (settings->savings & SP_SAVING_DEDUPE) != 0,
                                   .keep_lists = may,
                                   .trace = traces,
                                   .cls_last = context->lookahead.cls_last,
                                   .cls = info->cls,
                                   .sep = info->sep,
                                   .mask = info->mask};
  SP_TRY(plan_hyps(job, &plan_rule, err));
  count_plan(job, context, settings->savings);
  job->by_nodes = may && pays_by_nodes(job, &nodes);
  job->batches = job->by_nodes
                     ? sp_nodes_cut(&job->plan, &nodes, &job->n_batches)
                     : sp_plan_cut(&job->plan, &context->limits,
                                   (settings->savings & SP_SAVING_PACK) != 0, &job->n_batches);
  if (!job->batches) {
    return sp_fail_memory(err, job->plan.sequences * sizeof *job->batches);
  }
  return take_results(job, context, traces, err);
}

void sp_job_sum_nodes(struct sp_job *job, const struct sp_context *context) {
  double nodes = 0, rows = 0;
  job->counts.nodes = job->counts.plain_nodes;
  if (!job->by_nodes) {
    return;
  }
  for (size_t b = 0; b < job->n_batches; b++) {
    nodes += (double)job->batch_nodes[b].nodes;
    rows += (double)job->batch_nodes[b].mlm_rows;
  }
  job->counts.nodes = (uint64_t)nodes;
  job->counts.scored_rows = (uint64_t)rows + job->plan.cls_rows;
  job->counts.flops = sp_forward_node_flops(&context->config, nodes, rows);
}

struct sp_nodes_rule sp_job_count_rule(const struct sp_context *context,
                                       struct sp_lookahead *room) {
  struct sp_nodes_rule rule = sp_context_nodes_rule(context);
  *room = context->lookahead;
  if (room->policy == SP_MASK_DYNAMIC) { /* whatever its schedulers decide is within their reach */
    room->policy = SP_MASK_LAYERWISE;
  }
  rule.lookahead = room;
  return rule;
}

void sp_job_count(struct sp_job *job, const struct sp_context *context, struct sp_nodes *nodes) {
  for (size_t b = 0; job->by_nodes && b < job->n_batches; b++) {
    struct sp_node_inputs inputs;
    struct sp_node_level level;
    sp_nodes_begin(nodes, &job->plan, job->batches[b], &inputs);
    for (size_t l = 0; l < context->config.layers; l++) {
      sp_nodes_next(nodes, NULL, &level);
    }
    job->batch_nodes[b] = sp_nodes_get_counts(nodes);
  }
  sp_job_sum_nodes(job, context);
}

const uint32_t *sp_job_bits(const struct sp_job *job, const struct sp_context *context,
                            const struct sp_job_hyp *hyp) {
  const struct sp_plan *plan = &job->plan;
  if (!plan->base_trace || hyp->n == 0) {
    return NULL;
  }
  uint32_t sequence = plan->base_trace[plan->hyp_base[hyp->plan_hyp]];
  return job->bits + context->config.layers * plan->sequence[sequence].trace;
}

enum sp_status sp_job_prepare(struct sp_job *job, const struct sp_settings *settings,
                              const struct sp_context *context, struct sp_text_rule *rule,
                              struct sp_error *err) {
  SP_TRY(tokenize(job, rule, err));
  return sp_job_plan(job, settings, context, err);
}

/* ---- lines ---- */

static float sum_scores(const struct sp_job *job, const uint32_t *result, uint32_t n) {
  double sum = 0;
  for (uint32_t i = 0; i < n; i++) {
    sum += job->logp[result[i]];
  }
  return (float)sum;
}

/* Fills score->score[m] and, where asked, score->logp[m]. */
static enum sp_status fill_method(const struct sp_job *job, const struct sp_job_hyp *hyp,
                                  enum sp_method m, bool negate_cls, bool per_token,
                                  struct sp_arena *arena, struct sp_hyp_score *score,
                                  struct sp_error *err) {
  uint32_t base = job->plan.hyp_base[hyp->plan_hyp];
  const uint32_t *result = job->plan.result + job->plan.result_first[m][base];
  if (m == SP_CLS) {
    float value = job->cls[result[0]];
    score->score[m] = negate_cls ? -value : value;
  } else {
    score->score[m] = sum_scores(job, result, hyp->n);
  }
  if (m != SP_CLS && per_token) {
    float *logp = sp_arena_alloc(arena, hyp->n, sizeof *logp);
    if (!logp) {
      return sp_fail_memory(err, hyp->n * sizeof *logp);
    }
    for (uint32_t i = 0; i < hyp->n; i++) {
      logp[i] = job->logp[result[i]];
    }
    score->logp[m] = logp;
  }
  return SP_OK;
}

static enum sp_status fill_tokens(const struct sp_context *context, const struct sp_job_hyp *hyp,
                                  struct sp_arena *arena, struct sp_hyp_score *score,
                                  struct sp_error *err) {
  struct sp_text *tokens = sp_arena_alloc(arena, hyp->n, sizeof *tokens);
  if (!tokens) {
    return sp_fail_memory(err, hyp->n * sizeof *tokens);
  }
  for (uint32_t i = 0; i < hyp->n; i++) {
    tokens[i] = sp_tokenizer_piece(context->tokenizer, hyp->ids[i]);
  }
  score->tokens = tokens;
  return SP_OK;
}

static enum sp_status fill_score(struct sp_job *job, const struct sp_settings *settings,
                                 const struct sp_context *context, struct sp_job_hyp *hyp,
                                 struct sp_arena *arena, struct sp_hyp_score *score,
                                 struct sp_error *err) {
  bool per_token = settings->options->per_token;
  bool finite = true;
  for (int m = 0; m < SP_METHOD_COUNT; m++) {
    score->score[m] = NAN;
    if (hyp->n == 0 || !(settings->methods >> m & 1u)) {
      continue;
    }
    SP_TRY(fill_method(job, hyp, (enum sp_method)m, context->negate_cls, per_token, arena, score,
                       err));
    finite = finite && isfinite(score->score[m]);
  }
  if (!finite) {
    hyp->flag = SP_FLAG_NOT_FINITE;
    job->counts.not_finite++;
  }
  score->n_tokens = hyp->n;
  score->flag = hyp->flag;
  score->text = settings->options->with_text ? &hyp->text : NULL;
  return per_token ? fill_tokens(context, hyp, arena, score, err) : SP_OK;
}

/* Memory that is used for one utterance after the other. */
struct line_room {
  struct sp_arena arena;
  struct sp_buf line;
  struct sp_latency_counts hyp, list;
};

/* Latency of each hypothesis that has tokens, and of all of them. */
static enum sp_status measure_latency(const struct sp_job *job, const struct sp_context *context,
                                      const struct sp_settings *settings,
                                      const struct sp_job_utt *utt, struct line_room *room,
                                      struct sp_hyp_score *scores, struct sp_error *err) {
  sp_latency_counts_clear(&room->list);
  struct sp_latency_stats *stats = sp_arena_alloc(&room->arena, utt->n_hyps, sizeof *stats);
  if (!stats) {
    return sp_fail_memory(err, utt->n_hyps * sizeof *stats);
  }
  for (size_t h = 0; h < utt->n_hyps; h++) {
    const struct sp_job_hyp *hyp = &job->hyps[utt->first_hyp + h];
    if (hyp->n == 0) {
      continue;
    }
    sp_latency_counts_clear(&room->hyp);
    SP_TRY(sp_job_measure_latency(job, settings, context, hyp, &room->hyp, err));
    SP_TRY(sp_latency_counts_add(&room->list, &room->hyp, err));
    stats[h] = sp_latency_stats_of(&room->hyp);
    scores[h].latency = &stats[h];
  }
  return SP_OK;
}

static enum sp_status write_utt(struct sp_job *job, const struct sp_settings *settings,
                                const struct sp_context *context, const struct sp_job_utt *utt,
                                struct line_room *room, uint64_t *tokens, struct sp_error *err) {
  struct sp_arena *scratch = &room->arena;
  bool latency = settings->options->latency;
  sp_arena_clear(scratch);
  sp_buf_clear(&room->line);
  *tokens = 0;
  struct sp_hyp_score *scores = sp_arena_calloc(scratch, utt->n_hyps, sizeof *scores);
  if (!scores) {
    return sp_fail_memory(err, utt->n_hyps * sizeof *scores);
  }
  for (size_t h = 0; h < utt->n_hyps; h++) {
    scores[h].rank = (uint32_t)h;
    SP_TRY(fill_score(job, settings, context, &job->hyps[utt->first_hyp + h], scratch, &scores[h],
                      err));
    *tokens += scores[h].n_tokens;
  }
  if (latency) {
    SP_TRY(measure_latency(job, context, settings, utt, room, scores, err));
  }
  SP_TRY(sp_score_line_write(&room->line, utt->id, scores, utt->n_hyps, settings->methods, err));
  if (!latency) {
    return SP_OK;
  }
  struct sp_latency_stats of_list = sp_latency_stats_of(&room->list);
  SP_TRY(sp_score_line_add_latency(&room->line, &of_list, err));
  return sp_latency_counts_add(&job->latency, &room->list, err);
}

enum sp_status sp_job_write(struct sp_job *job, const struct sp_settings *settings,
                            const struct sp_context *context, sp_job_line_fn each,
                            void *context_of_each, struct sp_error *err) {
  struct line_room room = {0};
  enum sp_status status = SP_OK;
  sp_job_sum_nodes(job, context);
  for (size_t u = 0; status == SP_OK && u < job->n_utts; u++) {
    const struct sp_job_utt *utt = &job->utts[u];
    uint64_t tokens;
    status = write_utt(job, settings, context, utt, &room, &tokens, err);
    if (status == SP_OK) {
      status = each(context_of_each, (struct sp_text){room.line.data, room.line.len}, utt->id, utt->n_hyps,
                    tokens, err);
    }
  }
  sp_arena_release(&room.arena);
  sp_buf_release(&room.line);
  sp_latency_counts_release(&room.hyp);
  sp_latency_counts_release(&room.list);
  return status;
}

void sp_counts_add(struct sp_counts *a, const struct sp_counts *b) {
  a->utts += b->utts;
  a->hyps += b->hyps;
  a->tokens += b->tokens;
  a->duplicate_hyps += b->duplicate_hyps;
  a->empty_lists += b->empty_lists;
  a->empty += b->empty;
  a->too_long += b->too_long;
  a->truncated += b->truncated;
  a->no_vocab += b->no_vocab;
  a->not_finite += b->not_finite;
  a->unknown_tokens += b->unknown_tokens;
  a->special_in_text += b->special_in_text;
  a->without_ref += b->without_ref;
  a->without_score += b->without_score;
  a->copies += b->copies;
  a->sequences += b->sequences;
  a->sequence_tokens += b->sequence_tokens;
  a->scored_rows += b->scored_rows;
  a->nodes += b->nodes;
  a->plain_nodes += b->plain_nodes;
  a->flops += b->flops;
}
