#include "score_table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "json_fast.h"

#define USED_BIT (1u << 31)
#define TOKENS_BIT (1u << 30)
#define TOKENS_MASK (TOKENS_BIT - 1)

struct entry {
  XXH128_hash_t key; /* of id and rank; all zero: a free slot */
  float value;       /* NaN: null */
  uint32_t tokens;   /* TOKENS_BIT and a count, USED_BIT */
};

struct sp_score_table {
  struct entry *slots; /* (capacity), a power of two, at most three quarters full */
  size_t capacity;
  struct sp_score_table_counts counts;
};

/* One entry on its way from the file into the table. */
struct record {
  struct sp_text id;
  uint32_t rank;
  bool has_rank, has_value, has_tokens;
  double value; /* NaN: null */
  uint32_t n_tokens;
};

struct parser {
  struct sp_source *source;
  struct sp_json *json;
  struct sp_score_table *table;
  const char *name;
  bool costs;
};

static enum sp_status fail_line(const struct parser *parser, struct sp_error *err,
                                const char *reason) {
  return sp_fail(err, SP_EINPUT, "%s:%llu: %s", sp_source_path(parser->source),
                 (unsigned long long)sp_source_line_number(parser->source), reason);
}

/* The rank is hashed too: as the seed it would only be added to ids of 4 to 8 bytes, and then two of
 * different ids and ranks meet. */
static XXH128_hash_t key_of(struct sp_text id, uint32_t rank) {
  XXH128_hash_t of_id = XXH3_128bits(id.data, id.len);
  const uint64_t parts[] = {of_id.low64, of_id.high64, rank};
  XXH128_hash_t key = XXH3_128bits(parts, sizeof parts);
  key.low64 |= key.low64 == 0 && key.high64 == 0;
  return key;
}

/* The slot of the key, or the free one where it belongs. */
static struct entry *find_slot(struct entry *slots, size_t capacity, XXH128_hash_t key) {
  size_t at = key.low64 & (capacity - 1);
  while ((slots[at].key.low64 | slots[at].key.high64) != 0 && !XXH128_isEqual(slots[at].key, key)) {
    at = (at + 1) & (capacity - 1);
  }
  return &slots[at];
}

static enum sp_status grow(struct sp_score_table *table, struct sp_error *err) {
  size_t capacity = table->capacity ? 2 * table->capacity : 1024;
  struct entry *slots = calloc(capacity, sizeof *slots);
  if (!slots) {
    return sp_fail_memory(err, capacity * sizeof *slots);
  }
  for (size_t i = 0; i < table->capacity; i++) {
    const struct entry *old = &table->slots[i];
    if ((old->key.low64 | old->key.high64) != 0) {
      *find_slot(slots, capacity, old->key) = *old;
    }
  }
  free(table->slots);
  table->slots = slots;
  table->capacity = capacity;
  return SP_OK;
}

static enum sp_status add_record(struct parser *parser, const struct record *record,
                                 struct sp_error *err) {
  struct sp_score_table *table = parser->table;
  if (record->id.len == 0 || !record->has_rank || !record->has_value) {
    return fail_line(parser, err, "an entry needs id, i and a value");
  }
  if (fabs(record->value) > 1e38) {
    return fail_line(parser, err, "the value is beyond 1e38");
  }
  if (table->counts.entries == SP_SCORE_TABLE_CEILING) {
    return fail_line(parser, err, "too many scores for one file; split the archive");
  }
  if (4 * (table->counts.entries + 1) > 3 * table->capacity) {
    SP_TRY(grow(table, err));
  }
  XXH128_hash_t key = key_of(record->id, record->rank);
  struct entry *slot = find_slot(table->slots, table->capacity, key);
  if ((slot->key.low64 | slot->key.high64) != 0) {
    return fail_line(parser, err, "this id and i came before");
  }
  double value = parser->costs ? -record->value : record->value;
  *slot = (struct entry){key, (float)value, record->n_tokens};
  slot->tokens |= record->has_tokens ? TOKENS_BIT : 0;
  table->counts.entries++;
  table->counts.nulls += isnan(value);
  table->counts.positive += value > 0;
  table->counts.negative += value < 0;
  return SP_OK;
}

static bool whole_number(double number, uint32_t below, uint32_t *out) {
  if (!(number >= 0 && number < below && number == floor(number))) {
    return false;
  }
  *out = (uint32_t)number;
  return true;
}

/* The value of a text column: a number, or null as "null" or nothing. */
static bool text_value(struct sp_text text, double *out) {
  if (text.len == 0 || sp_text_equal(text, SP_TEXT_LITERAL("null"))) {
    *out = NAN;
    return true;
  }
  return sp_number_parse(text, out);
}

static bool text_count(struct sp_text text, uint32_t below, uint32_t *out) {
  double number;
  return text.len > 0 && text.data[0] != '-' && sp_number_parse(text, &number) &&
         whole_number(number, below, out);
}

static enum sp_status read_tsv(struct parser *parser, struct sp_text line, struct sp_error *err) {
  struct sp_text columns[4];
  size_t n = 0;
  for (bool more = true; more && n < 4; n++) {
    const char *tab = memchr(line.data, '\t', line.len);
    size_t len = tab ? (size_t)(tab - line.data) : line.len;
    columns[n] = (struct sp_text){line.data, len};
    more = tab != NULL;
    line = (struct sp_text){line.data + len + more, line.len - len - more};
  }
  if (n < 3 || line.len > 0) {
    return fail_line(parser, err, "not id, i, value and maybe n, parted by tabs");
  }
  bool header = sp_source_line_number(parser->source) == 1 &&
                sp_text_equal(columns[0], SP_TEXT_LITERAL("id")) &&
                sp_text_equal(columns[1], SP_TEXT_LITERAL("i"));
  if (header) {
    return SP_OK;
  }
  struct record record = {.id = columns[0], .has_rank = true, .has_value = true};
  if (!text_count(columns[1], UINT32_MAX, &record.rank)) {
    return fail_line(parser, err, "i is no whole number");
  }
  if (!text_value(columns[2], &record.value)) {
    return fail_line(parser, err, "the value is no finite number");
  }
  record.has_tokens = n > 3 && columns[3].len > 0;
  if (record.has_tokens && !text_count(columns[3], TOKENS_BIT, &record.n_tokens)) {
    return fail_line(parser, err, "n is no whole number");
  }
  return add_record(parser, &record, err);
}

static bool json_count(struct sp_json_value value, uint32_t below, uint32_t *out) {
  double number;
  return sp_json_number(value, &number) && whole_number(number, below, out);
}

static bool json_value(struct sp_json_value value, double *out) {
  if (sp_json_type_of(value) == SP_JSON_NULL) {
    *out = NAN;
    return true;
  }
  return sp_json_number(value, out);
}

/* One member of an entry; members that mean nothing here are passed over. */
static enum sp_status read_member(struct parser *parser, struct sp_text key,
                                  struct sp_json_value value, struct record *record,
                                  struct sp_error *err) {
  struct sp_text name = {parser->name, strlen(parser->name)};
  if (sp_text_equal(key, SP_TEXT_LITERAL("i"))) {
    if (record->has_rank || !json_count(value, UINT32_MAX, &record->rank)) {
      return fail_line(parser, err, "i comes twice or is no whole number");
    }
    record->has_rank = true;
  } else if (sp_text_equal(key, SP_TEXT_LITERAL("n"))) {
    if (record->has_tokens || !json_count(value, TOKENS_BIT, &record->n_tokens)) {
      return fail_line(parser, err, "n comes twice or is no whole number");
    }
    record->has_tokens = true;
  } else if (sp_text_equal(key, SP_TEXT_LITERAL("value")) || sp_text_equal(key, name)) {
    if (record->has_value || !json_value(value, &record->value)) {
      return fail_line(parser, err, "the value comes twice or is neither a number nor null");
    }
    record->has_value = true;
  }
  return SP_OK;
}

static enum sp_status read_hyps(struct parser *parser, struct sp_json_value list, struct sp_text id,
                                struct sp_error *err) {
  struct sp_json_cursor items, members;
  struct sp_json_value item, value;
  struct sp_text key;
  if (!sp_json_array_begin(list, &items)) {
    return fail_line(parser, err, "hyps is not an array");
  }
  while (sp_json_array_next(&items, &item)) {
    struct record record = {.id = id};
    if (!sp_json_object_begin(item, &members)) {
      return fail_line(parser, err, "a hypothesis is not an object");
    }
    while (sp_json_object_next(&members, &key, &value)) {
      SP_TRY(read_member(parser, key, value, &record, err));
    }
    SP_TRY(add_record(parser, &record, err));
  }
  return SP_OK;
}

static enum sp_status read_json(struct parser *parser, struct sp_text line, struct sp_error *err) {
  struct sp_json_value root, value, hyps;
  struct sp_json_cursor members;
  struct sp_text key;
  struct record record = {0};
  bool has_id = false, has_hyps = false;
  SP_TRY(sp_json_parse(parser->json, line, sp_source_path(parser->source),
                       sp_source_line_number(parser->source), &root, err));
  if (!sp_json_object_begin(root, &members)) {
    return fail_line(parser, err, "the line is not a JSON object");
  }
  while (sp_json_object_next(&members, &key, &value)) {
    if (sp_text_equal(key, SP_TEXT_LITERAL("id"))) {
      if (has_id || !sp_json_string(parser->json, value, &record.id)) {
        return fail_line(parser, err, "id comes twice or is not a string");
      }
      has_id = true;
    } else if (sp_text_equal(key, SP_TEXT_LITERAL("hyps"))) {
      if (has_hyps) {
        return fail_line(parser, err, "hyps comes twice");
      }
      has_hyps = true;
      hyps = value;
    } else {
      SP_TRY(read_member(parser, key, value, &record, err));
    }
  }
  if (has_hyps && (record.id.len == 0 || record.has_rank || record.has_value)) {
    return fail_line(parser, err, "a line of hyps needs an id, and i and value within hyps");
  }
  return has_hyps ? read_hyps(parser, hyps, record.id, err) : add_record(parser, &record, err);
}

static enum sp_status read_lines(struct parser *parser, struct sp_error *err) {
  struct sp_text line;
  bool found = true, json = false, decided = false;
  SP_TRY(sp_source_skip_bom(parser->source, err));
  for (;;) {
    SP_TRY(sp_source_line(parser->source, SP_RECORD_CEILING, &line, &found, err));
    if (!found) {
      return SP_OK;
    }
    if (line.len == 0) {
      continue;
    }
    json = decided ? json : line.data[0] == '{';
    decided = true;
    SP_TRY(json ? read_json(parser, line, err) : read_tsv(parser, line, err));
  }
}

enum sp_status sp_score_table_read(struct sp_source *source, const char *name, bool costs,
                                   struct sp_score_table **out, struct sp_error *err) {
  struct parser parser = {.source = source,
                          .json = sp_json_create(),
                          .table = calloc(1, sizeof *parser.table),
                          .name = name,
                          .costs = costs};
  *out = NULL;
  enum sp_status status = parser.json && parser.table ? read_lines(&parser, err)
                                                      : sp_fail_memory(err, sizeof *parser.table);
  sp_json_destroy(parser.json);
  if (status != SP_OK) {
    sp_score_table_destroy(parser.table);
    return status;
  }
  *out = parser.table;
  return SP_OK;
}

void sp_score_table_destroy(struct sp_score_table *table) {
  if (table) {
    free(table->slots);
    free(table);
  }
}

bool sp_score_table_find(struct sp_score_table *table, struct sp_text id, uint32_t rank,
                         struct sp_second *out) {
  if (table->capacity == 0) {
    return false;
  }
  struct entry *slot = find_slot(table->slots, table->capacity, key_of(id, rank));
  if ((slot->key.low64 | slot->key.high64) == 0) {
    return false;
  }
  table->counts.used += !(slot->tokens & USED_BIT);
  slot->tokens |= USED_BIT;
  *out = (struct sp_second){.value = slot->value,
                            .has_tokens = (slot->tokens & TOKENS_BIT) != 0,
                            .n_tokens = slot->tokens & TOKENS_MASK};
  return true;
}

struct sp_score_table_counts sp_score_table_get_counts(const struct sp_score_table *table) {
  return table->counts;
}
