#include "compare.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "archive.h"
#include "checked.h"
#include "score_run.h"
#include "utf8_valid.h"

/* The values of one method in both runs. */
struct series {
  struct sp_compare_method result;     /* its summaries are filled by get_result */
  struct sp_difference *hyps, *tokens; /* tokens: NULL without */
};

struct sp_compare {
  struct sp_score_run *a, *b;
  struct sp_archive *archive; /* NULL without */
  bool partly;                /* the runs have the archive's beginning only */
  bool any_total;             /* some hypothesis has one */
  struct sp_combination combination;
  struct sp_linear linear;
  enum sp_method used[sp_max_weights];   /* (combination.second.n) */
  struct series series[SP_METHOD_COUNT]; /* (result.n_methods) */
  struct sp_compare_result result;
};

/* At most 200 bytes of an id, for printf's %.*s. */
static int shown(struct sp_text id) {
  return (int)sp_min_size(id.len, 200);
}

static const char *path_of(const struct sp_score_run *run) {
  return sp_score_run_get_info(run)->path;
}

/* ---- opening ---- */

static const json_t *identity_member(const struct sp_score_run *run, const char *key) {
  return json_object_get(json_object_get(sp_score_run_manifest(run), "identity"), key);
}

static bool has_method(const struct sp_score_run *run, enum sp_method method) {
  const struct sp_score_run_info *info = sp_score_run_get_info(run);
  for (size_t i = 0; i < info->n_methods; i++) {
    if (info->methods[i] == method) {
      return true;
    }
  }
  return false;
}

static enum sp_status open_series(struct sp_compare *compare, struct sp_error *err) {
  bool per_token = json_is_true(identity_member(compare->a, "per_token")) &&
                   json_is_true(identity_member(compare->b, "per_token"));
  for (int m = 0; m < SP_METHOD_COUNT; m++) {
    enum sp_method method = (enum sp_method)m;
    if (!has_method(compare->a, method) || !has_method(compare->b, method)) {
      continue;
    }
    struct series *series = &compare->series[compare->result.n_methods++];
    series->result.method = method;
    series->result.has_tokens = per_token && sp_method_token_key(method);
    SP_TRY(sp_difference_create(&series->hyps, err));
    if (series->result.has_tokens) {
      SP_TRY(sp_difference_create(&series->tokens, err));
    }
  }
  if (per_token) {
    sp_score_run_keep_logp(compare->a);
    sp_score_run_keep_logp(compare->b);
  }
  return compare->result.n_methods > 0
             ? SP_OK
             : sp_fail(err, SP_EINPUT, "%s and %s have no method in common", path_of(compare->a),
                       path_of(compare->b));
}

static enum sp_status find_method(const struct sp_compare *compare, const char *name,
                                  enum sp_method *method, struct sp_error *err) {
  for (size_t i = 0; i < compare->result.n_methods; i++) {
    *method = compare->series[i].result.method;
    if (strcmp(sp_method_key(*method), name) == 0) {
      return SP_OK;
    }
  }
  return sp_fail(err, SP_EUSAGE, "the combination uses '%s', which %s and %s do not both have",
                 name, path_of(compare->a), path_of(compare->b));
}

static enum sp_status open_totals(struct sp_compare *compare,
                                  const struct sp_compare_options *options, struct sp_error *err) {
  struct sp_combination *combination = &compare->combination;
  *combination = options->combination;
  if (combination->second.n == 0) {
    *combination = (struct sp_combination){.second = {.items = {{.value = 1}}, .n = 1}};
    strcpy(combination->second.items[0].name, sp_method_key(compare->series[0].result.method));
  }
  SP_TRY(sp_combination_check(combination, err));
  sp_combination_linear(combination, &compare->linear);
  for (size_t k = 0; k < combination->second.n; k++) {
    SP_TRY(find_method(compare, combination->second.items[k].name, &compare->used[k], err));
  }
  if (options->n_paths == 0) {
    return SP_OK;
  }
  compare->result.has_totals = true;
  compare->partly = json_integer_value(identity_member(compare->a, "limit")) > 0;
  return sp_archive_open_with(options->paths, options->n_paths, &options->archive,
                              &compare->archive, err);
}

enum sp_status sp_compare_open(const struct sp_compare_options *options, struct sp_compare **out,
                               struct sp_error *err) {
  struct sp_compare *compare = calloc(1, sizeof *compare);
  enum sp_status status;
  *out = NULL;
  if (!compare) {
    return sp_fail_memory(err, sizeof *compare);
  }
  SP_TRY_GOTO(sp_score_run_open(options->a, &compare->a, err), close);
  SP_TRY_GOTO(sp_score_run_open(options->b, &compare->b, err), close);
  SP_TRY_GOTO(open_series(compare, err), close);
  SP_TRY_GOTO(open_totals(compare, options, err), close);
  *out = compare;
  return SP_OK;
close:
  sp_compare_close(compare);
  return status;
}

void sp_compare_close(struct sp_compare *compare) {
  if (compare) {
    for (size_t m = 0; m < SP_METHOD_COUNT; m++) {
      sp_difference_destroy(compare->series[m].hyps);
      sp_difference_destroy(compare->series[m].tokens);
    }
    sp_archive_close(compare->archive);
    sp_score_run_close(compare->a);
    sp_score_run_close(compare->b);
    free(compare);
  }
}

const json_t *sp_compare_manifest(const struct sp_compare *compare, bool of_b) {
  return sp_score_run_manifest(of_b ? compare->b : compare->a);
}

const struct sp_combination *sp_compare_combination(const struct sp_compare *compare) {
  return &compare->combination;
}

/* ---- in step ---- */

static enum sp_status check_same_utt(const struct sp_compare *compare,
                                     const struct sp_score_line *a, const struct sp_score_line *b,
                                     struct sp_error *err) {
  uint64_t number = compare->result.utts + 1;
  if (!sp_text_equal(a->id, b->id)) {
    return sp_fail(err, SP_EINPUT,
                   "utterance %" PRIu64
                   " is %.*s in %s, %.*s in %s: not of one archive, or in "
                   "another order",
                   number, shown(a->id), a->id.data, path_of(compare->a), shown(b->id), b->id.data,
                   path_of(compare->b));
  }
  if (a->n_hyps != b->n_hyps) {
    return sp_fail(
        err, SP_EINPUT, "utterance %" PRIu64 ", %.*s, has %zu hypotheses in %s, %zu in %s", number,
        shown(a->id), a->id.data, a->n_hyps, path_of(compare->a), b->n_hyps, path_of(compare->b));
  }
  for (size_t i = 0; i < a->n_hyps; i++) {
    if (a->hyps[i].rank != b->hyps[i].rank) {
      return sp_fail(err, SP_EINPUT,
                     "utterance %" PRIu64
                     ", %.*s, has its hypotheses in another order in %s than "
                     "in %s",
                     number, shown(a->id), a->id.data, path_of(compare->a), path_of(compare->b));
    }
  }
  return SP_OK;
}

static enum sp_status read_lines(struct sp_compare *compare, struct sp_score_line *a,
                                 struct sp_score_line *b, bool *found, struct sp_error *err) {
  bool in_b;
  SP_TRY(sp_score_run_next(compare->a, a, found, err));
  SP_TRY(sp_score_run_next(compare->b, b, &in_b, err));
  if (*found != in_b) {
    struct sp_text id = in_b ? b->id : a->id;
    return sp_fail(err, SP_EINPUT, "%s ends before utterance %" PRIu64 ", %.*s, of %s",
                   path_of(in_b ? compare->a : compare->b), compare->result.utts + 1, shown(id),
                   id.data, path_of(in_b ? compare->b : compare->a));
  }
  return *found ? check_same_utt(compare, a, b, err) : SP_OK;
}

/* The archive's utterance of that line; line NULL: the end. */
static enum sp_status read_utt(struct sp_compare *compare, const struct sp_score_line *line,
                               struct sp_utt *utt, struct sp_error *err) {
  bool found;
  if (!line && compare->partly) {
    return SP_OK;
  }
  SP_TRY(sp_archive_next(compare->archive, utt, &found, err));
  if (!line) {
    return !found ? SP_OK
                  : sp_fail(err, SP_EINPUT, "%s: the runs end before %.*s",
                            sp_archive_place(compare->archive), shown(utt->id), utt->id.data);
  }
  if (!found) {
    return sp_fail(err, SP_EINPUT, "the archive ends before utterance %.*s of the runs",
                   shown(line->id), line->id.data);
  }
  bool same = sp_text_equal(line->id, utt->id) && line->n_hyps == utt->n_hyps;
  for (size_t i = 0; same && i < line->n_hyps; i++) {
    same = line->hyps[i].rank < utt->n_hyps;
  }
  return same ? SP_OK
              : sp_fail(err, SP_EINPUT,
                        "%s: the archive has %.*s (%zu hypotheses) where the runs have %.*s (%zu)",
                        sp_archive_place(compare->archive), shown(utt->id), utt->id.data,
                        utt->n_hyps, shown(line->id), line->id.data, line->n_hyps);
}

/* ---- values ---- */

static void set_place(struct sp_compare_place *place, struct sp_text id, uint32_t rank, float a,
                      float b) {
  id.len = sp_min_size(id.len, sizeof place->id - 1);
  id.len = sp_utf8_valid_prefix(id);
  memcpy(place->id, id.data, id.len);
  place->id[id.len] = '\0';
  place->rank = rank;
  place->a = a;
  place->b = b;
}

static bool add_tokens(struct series *series, const struct sp_hyp_score *a,
                       const struct sp_hyp_score *b) {
  enum sp_method m = series->result.method;
  bool any = false, grew;
  if (!series->tokens || !a->logp[m] || !b->logp[m] || a->n_tokens != b->n_tokens) {
    return false;
  }
  for (uint32_t t = 0; t < a->n_tokens; t++) {
    any |= sp_difference_add(series->tokens, a->logp[m][t], b->logp[m][t], &grew);
  }
  return any;
}

/* True when anything differs. */
static bool add_hyp(struct sp_compare *compare, struct sp_text id, const struct sp_hyp_score *a,
                    const struct sp_hyp_score *b) {
  struct sp_compare_result *result = &compare->result;
  bool any = a->n_tokens != b->n_tokens || a->flag != b->flag;
  result->counts_differ += a->n_tokens != b->n_tokens;
  result->flags_differ += a->flag != b->flag;
  for (size_t i = 0; i < result->n_methods; i++) {
    struct series *series = &compare->series[i];
    enum sp_method m = series->result.method;
    bool grew;
    any |= sp_difference_add(series->hyps, a->score[m], b->score[m], &grew);
    if (grew) {
      set_place(&series->result.furthest, id, a->rank, a->score[m], b->score[m]);
    }
    any |= add_tokens(series, a, b);
  }
  return any;
}

/* ---- best hypotheses ---- */

/* The best so far of a list. */
struct best {
  double total;
  uint32_t rank;
  bool found;
};

static void offer(struct best *best, double total, uint32_t rank) {
  bool later = rank > best->rank;
  bool better = isnan(total)         ? isnan(best->total) && !later
                : isnan(best->total) ? true
                                     : total > best->total || (total == best->total && !later);
  if (!best->found || better) {
    *best = (struct best){total, rank, true};
  }
}

static uint32_t best_score(const struct sp_score_line *line, enum sp_method method) {
  struct best best = {0};
  for (size_t i = 0; i < line->n_hyps; i++) {
    offer(&best, line->hyps[i].score[method], line->hyps[i].rank);
  }
  return best.rank;
}

static enum sp_status best_total(struct sp_compare *compare, const struct sp_utt *utt,
                                 const struct sp_score_line *line, uint32_t *rank,
                                 struct sp_error *err) {
  struct best best = {0};
  for (size_t i = 0; i < line->n_hyps; i++) {
    const struct sp_hyp_score *hyp = &line->hyps[i];
    struct sp_second second[sp_max_weights];
    double x[sp_max_weights + 2];
    for (size_t k = 0; k < compare->combination.second.n; k++) {
      second[k] = (struct sp_second){hyp->score[compare->used[k]], true, hyp->n_tokens};
    }
    SP_TRY(sp_features(&compare->combination, &utt->hyps[hyp->rank], second, x, err));
    double total = sp_total(&compare->linear, x);
    compare->any_total |= !isnan(total);
    offer(&best, total, hyp->rank);
  }
  *rank = best.rank;
  return SP_OK;
}

static enum sp_status rank_utt(struct sp_compare *compare, const struct sp_score_line *a,
                               const struct sp_score_line *b, struct sp_compare_utt *out,
                               struct sp_error *err) {
  struct sp_utt utt;
  uint32_t best_a, best_b;
  SP_TRY(read_utt(compare, a, &utt, err));
  SP_TRY(best_total(compare, &utt, a, &best_a, err));
  SP_TRY(best_total(compare, &utt, b, &best_b, err));
  compare->result.changed_best += best_a != best_b;
  struct sp_text empty = {"", 0};
  out->has_ref = utt.has_ref;
  out->ref = utt.ref;
  out->fields = utt.fields;
  out->n_fields = utt.n_fields;
  out->best_a = utt.n_hyps > 0 ? utt.hyps[best_a].text : empty;
  out->best_b = utt.n_hyps > 0 ? utt.hyps[best_b].text : empty;
  return SP_OK;
}

static enum sp_status finish_archive(struct sp_compare *compare, struct sp_error *err) {
  struct sp_utt beyond;
  const struct sp_archive_file *files;
  size_t n_files;
  SP_TRY(read_utt(compare, NULL, &beyond, err));
  SP_TRY(sp_archive_files(compare->archive, &files, &n_files, err));
  for (size_t i = 0; i < n_files; i++) {
    const char *hash = files[i].digest.xxh128;
    compare->result.other_input |=
        !sp_score_run_read_file(compare->a, hash) || !sp_score_run_read_file(compare->b, hash);
  }
  return compare->any_total || compare->result.hyps == 0
             ? SP_OK
             : sp_fail(err, SP_EINPUT,
                       "no hypothesis has a total: does the archive lack the first pass's score?");
}

enum sp_status sp_compare_next(struct sp_compare *compare, struct sp_compare_utt *utt, bool *found,
                               struct sp_error *err) {
  struct sp_score_line a, b;
  bool any = false;
  SP_TRY(read_lines(compare, &a, &b, found, err));
  if (!*found) {
    return compare->archive ? finish_archive(compare, err) : SP_OK;
  }
  *utt = (struct sp_compare_utt){.id = a.id};
  for (size_t i = 0; i < a.n_hyps; i++) {
    any |= add_hyp(compare, a.id, &a.hyps[i], &b.hyps[i]);
  }
  for (size_t i = 0; i < compare->result.n_methods; i++) {
    struct sp_compare_method *method = &compare->series[i].result;
    method->changed_best += best_score(&a, method->method) != best_score(&b, method->method);
  }
  if (compare->archive) {
    SP_TRY(rank_utt(compare, &a, &b, utt, err));
  }
  compare->result.utts++;
  compare->result.hyps += a.n_hyps;
  compare->result.differing_utts += any;
  return SP_OK;
}

void sp_compare_get_result(const struct sp_compare *compare, struct sp_compare_result *out) {
  *out = compare->result;
  for (size_t i = 0; i < out->n_methods; i++) {
    const struct series *series = &compare->series[i];
    struct sp_compare_method *method = &out->methods[i];
    *method = series->result;
    sp_difference_summarize(series->hyps, &method->hyps);
    if (series->tokens) {
      sp_difference_summarize(series->tokens, &method->tokens);
    }
    if (!out->has_totals && method->changed_best > out->changed_best) {
      out->changed_best = method->changed_best;
    }
  }
}
