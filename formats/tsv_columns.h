/* tsv_columns.h - which column of a tab-separated file holds what: "id=1,text=3,score=5,ref=2".
 *
 * Columns count from 1.  `text` is needed; `id`, `score` and `ref` are known names, any other names
 * a component of the first-pass score.  The word `header` says that the first line of a file is no
 * record.  Lines of equal ids, one after the other, are one utterance; without an id column every
 * line is one. */
#ifndef SP_FORMATS_TSV_COLUMNS_H
#define SP_FORMATS_TSV_COLUMNS_H

#include "buf.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SP_TSV_DEFAULT "id=1,text=2,score=3,ref=4"
#define SP_TSV_COLUMNS 64 /* the last column that can be named */

struct sp_tsv_columns {
  char *spec;                                    /* owned; the names point into it */
  size_t id, text, score, ref;                   /* 0: none */
  struct sp_text components[SP_TSV_COLUMNS + 1]; /* of each column; empty: none */
  size_t last;                                   /* the last column that has a meaning */
  bool header;
};

/* `spec` NULL stands for SP_TSV_DEFAULT. SP_EUSAGE says what is wrong with it. */
SP_MUST_CHECK enum sp_status sp_tsv_columns_parse(const char *spec, struct sp_tsv_columns *out,
                                                  struct sp_error *err);
void sp_tsv_columns_release(struct sp_tsv_columns *columns);

#ifdef __cplusplus
}
#endif
#endif
