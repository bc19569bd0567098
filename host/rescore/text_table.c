#include "text_table.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "checked.h"

enum { first_slots = 1024 };

#define TABLE_CEILING ((size_t)1 << 36)

struct entry {
  size_t at; /* the id in `bytes`, the text behind it */
  uint32_t id_len, text_len;
  uint32_t hash; /* lower half */
  bool used;
};

struct sp_text_table {
  struct entry *entries; /* (n) */
  size_t n, capacity;
  uint32_t *slots; /* (mask + 1) number of the entry + 1; 0: free */
  size_t mask;
  struct sp_buf bytes;
};

enum sp_status sp_text_table_create(struct sp_text_table **out, struct sp_error *err) {
  struct sp_text_table *table = calloc(1, sizeof *table);
  uint32_t *slots = calloc(first_slots, sizeof *slots);
  if (!table || !slots) {
    free(table);
    free(slots);
    return sp_fail_memory(err, first_slots * sizeof *slots);
  }
  *table = (struct sp_text_table){.slots = slots, .mask = first_slots - 1};
  table->bytes.ceiling = TABLE_CEILING;
  *out = table;
  return SP_OK;
}

void sp_text_table_destroy(struct sp_text_table *table) {
  if (table) {
    free(table->entries);
    free(table->slots);
    sp_buf_release(&table->bytes);
    free(table);
  }
}

size_t sp_text_table_count(const struct sp_text_table *table) {
  return table->n;
}

struct sp_text sp_text_table_id(const struct sp_text_table *table, size_t index) {
  const struct entry *entry = &table->entries[index];
  return (struct sp_text){table->bytes.data + entry->at, entry->id_len};
}

bool sp_text_table_used(const struct sp_text_table *table, size_t index) {
  return table->entries[index].used;
}

/* The slot of that id: of its entry, or free for it. */
static uint32_t *find_slot(const struct sp_text_table *table, struct sp_text id, uint64_t hash) {
  for (size_t at = hash & table->mask;; at = (at + 1) & table->mask) {
    uint32_t *slot = &table->slots[at];
    if (*slot == 0) {
      return slot;
    }
    if (table->entries[*slot - 1].hash == (uint32_t)hash &&
        sp_text_equal(sp_text_table_id(table, *slot - 1), id)) {
      return slot;
    }
  }
}

static enum sp_status grow_slots(struct sp_text_table *table, struct sp_error *err) {
  size_t count = (table->mask + 1) * 2;
  uint32_t *slots = calloc(count, sizeof *slots);
  if (!slots) {
    return sp_fail_memory(err, count * sizeof *slots);
  }
  for (size_t i = 0; i < table->n; i++) {
    struct sp_text id = sp_text_table_id(table, i);
    size_t at = XXH3_64bits(id.data, id.len) & (count - 1);
    while (slots[at]) {
      at = (at + 1) & (count - 1);
    }
    slots[at] = (uint32_t)i + 1;
  }
  free(table->slots);
  table->slots = slots;
  table->mask = count - 1;
  return SP_OK;
}

static enum sp_status make_room(struct sp_text_table *table, struct sp_error *err) {
  if (table->n >= UINT32_MAX - 1) {
    return sp_fail(err, SP_EINPUT, "more than %u utterances", UINT32_MAX - 1);
  }
  if (table->n < table->capacity) {
    return SP_OK;
  }
  size_t capacity = sp_max_size(first_slots, table->capacity * 2);
  size_t bytes = sp_mul_sat(capacity, sizeof *table->entries);
  struct entry *entries = realloc(table->entries, bytes);
  if (!entries) {
    return sp_fail_memory(err, bytes);
  }
  table->entries = entries;
  table->capacity = capacity;
  return SP_OK;
}

enum sp_status sp_text_table_add(struct sp_text_table *table, struct sp_text id,
                                 struct sp_text text, size_t *index, bool *existed,
                                 struct sp_error *err) {
  uint64_t hash = XXH3_64bits(id.data, id.len);
  uint32_t *slot = find_slot(table, id, hash);
  *existed = *slot != 0;
  *index = *existed ? *slot - 1 : table->n;
  if (*existed) {
    return SP_OK;
  }
  SP_TRY(make_room(table, err));
  size_t at = table->bytes.len;
  SP_TRY(sp_buf_append(&table->bytes, id.data, id.len, err));
  SP_TRY(sp_buf_append(&table->bytes, text.data, text.len, err));
  table->entries[table->n] =
      (struct entry){at, (uint32_t)id.len, (uint32_t)text.len, (uint32_t)hash, false};
  *slot = (uint32_t)++table->n;
  return 2 * table->n > table->mask ? grow_slots(table, err) : SP_OK;
}

bool sp_text_table_use(struct sp_text_table *table, struct sp_text id, struct sp_text *text) {
  uint32_t slot = *find_slot(table, id, XXH3_64bits(id.data, id.len));
  if (slot == 0) {
    return false;
  }
  struct entry *entry = &table->entries[slot - 1];
  entry->used = true;
  *text = (struct sp_text){table->bytes.data + entry->at + entry->id_len, entry->text_len};
  return true;
}
