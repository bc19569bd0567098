/* Scores made elsewhere, JSONL and TSV: nothing crashes; counts add up. */
#include <stdlib.h>

#include "score_table.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
  struct sp_source *source;
  struct sp_score_table *table;
  struct sp_error err;
  struct sp_text bytes = {(const char *)data, size};
  if (sp_source_open_memory("fuzz", bytes, &source, &err) != SP_OK) {
    return 0;
  }
  if (sp_score_table_read(source, "llm", size % 2 == 0, &table, &err) == SP_OK) {
    struct sp_second second;
    sp_score_table_find(table, SP_TEXT_LITERAL("a"), 0, &second);
    sp_score_table_find(table, SP_TEXT_LITERAL("a"), 0, &second);
    struct sp_score_table_counts counts = sp_score_table_get_counts(table);
    if (counts.used > 1 || counts.nulls + counts.positive + counts.negative > counts.entries) {
      abort();
    }
    sp_score_table_destroy(table);
  }
  sp_source_close(source);
  return 0;
}
