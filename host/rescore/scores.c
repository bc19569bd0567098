#include "scores.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "arena.h"
#include "checked.h"
#include "file.h"
#include "score_run.h"
#include "score_table.h"

enum { max_runs = 64 };

/* Runs of successive archives. */
struct chain {
  struct sp_score_run *runs[max_runs];
  size_t n, at;
  struct sp_score_line line; /* of the utterance under work */
  struct chain *next;
};

/* What stands behind a column: a method of a chain, or a table. */
struct origin {
  struct chain *chain;
  enum sp_method method;
  struct sp_score_table *table;
};

struct sp_scores {
  struct sp_score_column columns[sp_max_weights];
  struct origin origins[sp_max_weights];
  size_t n;
  size_t wanted[sp_max_weights]; /* (n_wanted) columns */
  size_t n_wanted;
  struct chain *chains; /* a list; memory is the arena's */
  struct sp_arena arena;
  struct sp_second *second; /* (capacity) */
  size_t capacity;
  enum sp_missing missing;
};

static char *copy_text(struct sp_scores *scores, struct sp_text text) {
  return sp_arena_copy(&scores->arena, text.data, text.len);
}

static enum sp_status add_column(struct sp_scores *scores, const char *name, const char *suffix,
                                 const struct sp_score_column *facts, struct origin origin,
                                 struct sp_error *err) {
  char full[2 * sp_score_name_max + 2];
  size_t len = strlen(name);
  memcpy(full, name, len);
  if (*suffix) {
    full[len++] = '.';
    memcpy(full + len, suffix, strlen(suffix));
    len += strlen(suffix);
  }
  full[len] = '\0';
  if (!sp_score_name_valid((struct sp_text){full, len})) {
    return sp_fail(err, SP_EUSAGE, "--scores: the name '%s' is too long", full);
  }
  for (size_t k = 0; k < scores->n; k++) {
    if (strcmp(scores->columns[k].name, full) == 0) {
      return sp_fail(err, SP_EUSAGE, "--scores: %s and %s are both called %s; write NAME=%s",
                     scores->columns[k].path, facts->path, full, facts->path);
    }
  }
  if (scores->n == sp_max_weights) {
    return sp_fail(err, SP_EUSAGE, "--scores: more than %d scores", (int)sp_max_weights);
  }
  scores->columns[scores->n] = *facts;
  memcpy(scores->columns[scores->n].name, full, len + 1);
  scores->origins[scores->n++] = origin;
  return SP_OK;
}

static enum sp_status add_run(struct chain *chain, const char *path, struct sp_error *err) {
  if (chain->n == max_runs) {
    return sp_fail(err, SP_EUSAGE, "--scores: more than %d runs in one chain", (int)max_runs);
  }
  SP_TRY(sp_score_run_open(path, &chain->runs[chain->n], err));
  chain->n++;
  const struct sp_score_run_info *first = sp_score_run_get_info(chain->runs[0]);
  const struct sp_score_run_info *info = sp_score_run_get_info(chain->runs[chain->n - 1]);
  if (strcmp(first->signature, info->signature) != 0 || first->n_methods != info->n_methods ||
      memcmp(first->methods, info->methods, sizeof first->methods) != 0) {
    return sp_fail(err, SP_EUSAGE,
                   "--scores: %s and %s were not scored alike and cannot be joined by '+' (%s; %s)",
                   first->path, info->path, first->signature, info->signature);
  }
  return SP_OK;
}

/* `paths` is one directory, or several parted by '+'. `name` is NULL when the methods name the
 * scores. */
static enum sp_status add_chain(struct sp_scores *scores, const char *name, char *paths,
                                struct sp_error *err) {
  struct chain *chain = sp_arena_calloc(&scores->arena, 1, sizeof *chain);
  if (!chain) {
    return sp_fail_memory(err, sizeof *chain);
  }
  chain->next = scores->chains;
  scores->chains = chain;
  if (sp_file_is_directory(paths)) {
    SP_TRY(add_run(chain, paths, err));
  } else {
    char *rest;
    for (char *path = strtok_r(paths, "+", &rest); path; path = strtok_r(NULL, "+", &rest)) {
      SP_TRY(add_run(chain, path, err));
    }
  }
  const struct sp_score_run_info *info = sp_score_run_get_info(chain->runs[0]);
  struct sp_score_column facts = {.is_run = true,
                                  .path = info->path,
                                  .model_hash = info->model_hash,
                                  .signature = info->signature};
  for (size_t m = 0; m < info->n_methods; m++) {
    const char *key = sp_method_key(info->methods[m]);
    bool both = name && info->n_methods > 1;
    struct origin origin = {.chain = chain, .method = info->methods[m]};
    SP_TRY(add_column(scores, name ? name : key, both ? key : "", &facts, origin, err));
  }
  return SP_OK;
}

/* *is_cost: what --score-sign says of the name. */
static enum sp_status read_sign(const char *signs, const char *name, bool *is_cost, bool *said,
                                struct sp_error *err) {
  size_t len = strlen(name);
  *is_cost = *said = false;
  for (const char *rest = signs ? signs : ""; *rest;) {
    size_t wide = strcspn(rest, ",");
    if (wide > len && strncmp(rest, name, len) == 0 && rest[len] == '=') {
      struct sp_text value = {rest + len + 1, wide - len - 1};
      *is_cost = sp_text_equal(value, SP_TEXT_LITERAL("cost"));
      *said = true;
      if (!*is_cost && !sp_text_equal(value, SP_TEXT_LITERAL("logprob"))) {
        return sp_fail(err, SP_EUSAGE, "--score-sign: '%.*s' is neither cost nor logprob",
                       (int)value.len, value.data);
      }
    }
    rest += wide + (rest[wide] == ',');
  }
  return SP_OK;
}

static enum sp_status read_table(const char *path, const char *name, bool is_cost,
                                 struct sp_score_table **table, struct sp_file_digest *digest,
                                 struct sp_error *err) {
  struct sp_source *source;
  SP_TRY(sp_source_open(path, &source, err));
  enum sp_status status = sp_score_table_read(source, name, is_cost, table, err);
  if (status == SP_OK) {
    status = sp_source_digest(source, digest, err);
  }
  sp_source_close(source);
  return status;
}

static enum sp_status add_file(struct sp_scores *scores, const char *name, const char *path,
                               const char *signs, struct sp_error *err) {
  struct sp_file_digest digest;
  struct origin origin = {0};
  char signature[64];
  bool said;
  struct sp_score_column facts = {.path = path, .model_hash = ""};
  SP_TRY(read_sign(signs, name, &facts.is_cost, &said, err));
  enum sp_status status = read_table(path, name, facts.is_cost, &origin.table, &digest, err);
  if (status == SP_OK) {
    int wide = snprintf(signature, sizeof signature, "xxh128:%s", digest.xxh128);
    struct sp_score_table_counts counts = sp_score_table_get_counts(origin.table);
    facts.positive = counts.positive;
    facts.negative = counts.negative;
    facts.signature = copy_text(scores, (struct sp_text){signature, (size_t)wide});
    status = facts.signature ? add_column(scores, name, "", &facts, origin, err)
                             : sp_fail_memory(err, sizeof signature);
  }
  if (status != SP_OK) {
    sp_score_table_destroy(origin.table);
  }
  return status;
}

/* Every member of the path is a directory, or none is. */
static bool names_runs(const char *path) {
  size_t len = strcspn(path, "+");
  char first[4096];
  if (sp_file_is_directory(path)) {
    return true;
  }
  if (path[len] != '+' || len >= sizeof first) {
    return false;
  }
  memcpy(first, path, len);
  first[len] = '\0';
  return sp_file_is_directory(first);
}

static enum sp_status add_item(struct sp_scores *scores, struct sp_text item, const char *signs,
                               struct sp_error *err) {
  const char *equals = memchr(item.data, '=', item.len);
  struct sp_text before = {item.data, equals ? (size_t)(equals - item.data) : 0};
  bool named = equals && sp_score_name_valid(before);
  char *name = named ? copy_text(scores, before) : NULL;
  size_t skip = named ? before.len + 1 : 0;
  char *path = copy_text(scores, (struct sp_text){item.data + skip, item.len - skip});
  if (!path || (named && !name)) {
    return sp_fail_memory(err, item.len);
  }
  if (*path == '\0') {
    return sp_fail(err, SP_EUSAGE, "--scores: a path is missing");
  }
  if (names_runs(path)) {
    bool is_cost, said = false;
    if (named) {
      SP_TRY(read_sign(signs, name, &is_cost, &said, err));
    }
    return said ? sp_fail(err, SP_EUSAGE,
                          "--score-sign: %s comes from a run, whose scores are log probabilities",
                          name)
                : add_chain(scores, name, path, err);
  }
  if (!named) {
    struct stat info;
    return stat(path, &info) == 0
               ? sp_fail(err, SP_EUSAGE, "--scores: %s is no run directory; write NAME=%s", path,
                         path)
               : sp_fail_errno(err, SP_EIO, "cannot open %s", path);
  }
  return add_file(scores, name, path, signs, err);
}

/* Every name that --score-sign mentions is a score. */
static enum sp_status check_signs(const struct sp_scores *scores, const char *signs,
                                  struct sp_error *err) {
  for (const char *rest = signs ? signs : ""; *rest;) {
    size_t wide = strcspn(rest, ","), len = strcspn(rest, "=,");
    bool known = false;
    for (size_t k = 0; k < scores->n && rest[len] == '='; k++) {
      const struct sp_score_column *column = &scores->columns[k];
      known |=
          !column->is_run && strlen(column->name) == len && strncmp(column->name, rest, len) == 0;
    }
    if (!known) {
      return sp_fail(err, SP_EUSAGE,
                     "--score-sign: '%.*s' is not NAME=cost or NAME=logprob of a file", (int)wide,
                     rest);
    }
    rest += wide + (rest[wide] == ',');
  }
  return SP_OK;
}

static enum sp_status open_items(struct sp_scores *scores, const struct sp_scores_options *options,
                                 struct sp_error *err) {
  const char *rest = options->spec;
  for (bool more = true; more;) {
    struct sp_text item = {rest, strcspn(rest, ",")};
    SP_TRY(add_item(scores, item, options->sign, err));
    more = rest[item.len] == ',';
    rest += item.len + more;
  }
  return check_signs(scores, options->sign, err);
}

enum sp_status sp_scores_open(const struct sp_scores_options *options, struct sp_scores **out,
                              struct sp_error *err) {
  struct sp_scores *scores = calloc(1, sizeof *scores);
  *out = NULL;
  if (!scores) {
    return sp_fail_memory(err, sizeof *scores);
  }
  scores->missing = options->missing;
  enum sp_status status = open_items(scores, options, err);
  if (status != SP_OK) {
    sp_scores_close(scores);
    return status;
  }
  *out = scores;
  return SP_OK;
}

void sp_scores_close(struct sp_scores *scores) {
  if (!scores) {
    return;
  }
  for (struct chain *chain = scores->chains; chain; chain = chain->next) {
    for (size_t r = 0; r < chain->n; r++) {
      sp_score_run_close(chain->runs[r]);
    }
  }
  for (size_t k = 0; k < scores->n; k++) {
    sp_score_table_destroy(scores->origins[k].table);
  }
  free(scores->second);
  sp_arena_release(&scores->arena);
  free(scores);
}

size_t sp_scores_count(const struct sp_scores *scores) {
  return scores->n;
}

const struct sp_score_column *sp_scores_column(const struct sp_scores *scores, size_t column) {
  return &scores->columns[column];
}

static bool chain_read_file(const struct chain *chain, const char *xxh128) {
  for (size_t r = 0; r < chain->n; r++) {
    if (sp_score_run_read_file(chain->runs[r], xxh128)) {
      return true;
    }
  }
  return false;
}

void sp_scores_compare_inputs(struct sp_scores *scores, const struct sp_archive_file *files,
                              size_t n_files) {
  for (size_t k = 0; k < scores->n; k++) {
    for (size_t i = 0; i < n_files && scores->origins[k].chain; i++) {
      scores->columns[k].other_input |=
          !chain_read_file(scores->origins[k].chain, files[i].digest.xxh128);
    }
  }
}

static enum sp_status fail_unknown(const struct sp_scores *scores, const char *name,
                                   struct sp_error *err) {
  char list[512] = "";
  size_t used = 0;
  for (size_t k = 0; k < scores->n; k++) {
    const char *known = scores->columns[k].name;
    if (used + strlen(known) + 3 < sizeof list) {
      used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", used ? ", " : "", known);
    }
  }
  return sp_fail(err, SP_EUSAGE, "there is no score named %s; --scores has %s", name, list);
}

enum sp_status sp_scores_select(struct sp_scores *scores, const struct sp_named_weights *wanted,
                                struct sp_error *err) {
  scores->n_wanted = 0;
  for (size_t w = 0; w < wanted->n; w++) {
    size_t k = 0;
    while (k < scores->n && strcmp(scores->columns[k].name, wanted->items[w].name) != 0) {
      k++;
    }
    if (k == scores->n) {
      return fail_unknown(scores, wanted->items[w].name, err);
    }
    scores->wanted[scores->n_wanted++] = k;
  }
  return SP_OK;
}

/* At most 200 bytes of an id, for printf's %.*s. */
static int shown(struct sp_text id) {
  return (int)sp_min_size(id.len, 200);
}

static enum sp_status next_line(struct chain *chain, bool *found, struct sp_error *err) {
  *found = false;
  while (chain->at < chain->n) {
    SP_TRY(sp_score_run_next(chain->runs[chain->at], &chain->line, found, err));
    if (*found) {
      return SP_OK;
    }
    chain->at++;
  }
  return SP_OK;
}

static const char *path_of(const struct chain *chain) {
  size_t at = sp_min_size(chain->at, chain->n - 1);
  return sp_score_run_get_info(chain->runs[at])->path;
}

static enum sp_status step_chain(struct chain *chain, const struct sp_utt *utt,
                                 struct sp_error *err) {
  bool found;
  SP_TRY(next_line(chain, &found, err));
  if (!found) {
    return sp_fail(err, SP_EINPUT, "%s ends before utterance %.*s of the archive", path_of(chain),
                   shown(utt->id), utt->id.data);
  }
  const struct sp_score_line *line = &chain->line;
  if (!sp_text_equal(line->id, utt->id)) {
    return sp_fail(err, SP_EINPUT,
                   "%s has %.*s where the archive has %.*s: it was made from another archive, or "
                   "one in another order",
                   path_of(chain), shown(line->id), line->id.data, shown(utt->id), utt->id.data);
  }
  if (line->n_hyps != utt->n_hyps) {
    return sp_fail(err, SP_EINPUT, "%s: utterance %.*s has %zu hypotheses, in the archive %zu",
                   path_of(chain), shown(utt->id), utt->id.data, line->n_hyps, utt->n_hyps);
  }
  for (size_t i = 0; i < line->n_hyps; i++) {
    if (line->hyps[i].rank >= utt->n_hyps) {
      return sp_fail(err, SP_EINPUT, "%s: utterance %.*s has no hypothesis %lu", path_of(chain),
                     shown(utt->id), utt->id.data, (unsigned long)line->hyps[i].rank);
    }
  }
  return SP_OK;
}

static void take_line(struct sp_scores *scores, size_t wanted, const struct origin *origin) {
  const struct sp_score_line *line = &origin->chain->line;
  struct sp_score_column *column = &scores->columns[scores->wanted[wanted]];
  for (size_t i = 0; i < line->n_hyps; i++) {
    const struct sp_hyp_score *hyp = &line->hyps[i];
    double value = hyp->score[origin->method];
    column->hyps++;
    column->nulls += isnan(value);
    scores->second[hyp->rank * scores->n_wanted + wanted] =
        (struct sp_second){.value = value, .has_tokens = true, .n_tokens = hyp->n_tokens};
  }
}

static enum sp_status take_entries(struct sp_scores *scores, size_t wanted,
                                   const struct origin *origin, const struct sp_utt *utt,
                                   struct sp_error *err) {
  struct sp_score_column *column = &scores->columns[scores->wanted[wanted]];
  for (size_t i = 0; i < utt->n_hyps; i++) {
    struct sp_second *out = &scores->second[i * scores->n_wanted + wanted];
    if (!sp_score_table_find(origin->table, utt->id, (uint32_t)i, out)) {
      if (scores->missing == SP_MISSING_ERROR) {
        return sp_fail(err, SP_EINPUT,
                       "%s has no score for utterance %.*s, i %zu; --missing null ranks such "
                       "hypotheses last",
                       column->path, shown(utt->id), utt->id.data, i);
      }
      *out = (struct sp_second){.value = NAN};
      column->missing++;
    }
    column->hyps++;
    column->nulls += isnan(out->value);
  }
  return SP_OK;
}

enum sp_status sp_scores_next(struct sp_scores *scores, const struct sp_utt *utt,
                              const struct sp_second **second, struct sp_error *err) {
  size_t cells = sp_mul_sat(utt->n_hyps, scores->n_wanted);
  if (cells > scores->capacity) {
    size_t bytes = sp_mul_sat(cells, sizeof *scores->second);
    struct sp_second *grown = realloc(scores->second, bytes);
    if (!grown) {
      return sp_fail_memory(err, bytes);
    }
    scores->second = grown;
    scores->capacity = cells;
  }
  for (struct chain *chain = scores->chains; chain; chain = chain->next) {
    SP_TRY(step_chain(chain, utt, err));
  }
  for (size_t w = 0; w < scores->n_wanted; w++) {
    const struct origin *origin = &scores->origins[scores->wanted[w]];
    if (origin->chain) {
      take_line(scores, w, origin);
    } else {
      SP_TRY(take_entries(scores, w, origin, utt, err));
    }
  }
  *second = scores->second;
  return SP_OK;
}

enum sp_status sp_scores_finish(struct sp_scores *scores, bool partly, struct sp_error *err) {
  for (struct chain *chain = scores->chains; chain && !partly; chain = chain->next) {
    bool found;
    SP_TRY(next_line(chain, &found, err));
    if (found) {
      return sp_fail(err, SP_EINPUT, "%s goes on with %.*s where the archive ends", path_of(chain),
                     shown(chain->line.id), chain->line.id.data);
    }
  }
  for (size_t k = 0; k < scores->n; k++) {
    if (scores->origins[k].table) {
      struct sp_score_table_counts counts = sp_score_table_get_counts(scores->origins[k].table);
      scores->columns[k].surplus = counts.entries - counts.used;
    }
  }
  return SP_OK;
}
