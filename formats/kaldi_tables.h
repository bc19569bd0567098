/* kaldi_tables.h - Kaldi score tables read in step with an N-best text; private to formats/.
 *
 * A line is "utt-n value", or "utt-n v1 v2 .." with a value a word, which are summed.  The lines
 * have the ids of the text, in its order. */
#ifndef SP_FORMATS_KALDI_TABLES_H
#define SP_FORMATS_KALDI_TABLES_H

#include "source.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sp_kaldi_tables;

/* `spec` is "NAME=FILE,NAME=FILE"; the files are opened. */
SP_MUST_CHECK enum sp_status sp_kaldi_tables_open(const char *spec, struct sp_kaldi_tables **out,
                                                  struct sp_error *err);
/* NULL is fine. */
void sp_kaldi_tables_close(struct sp_kaldi_tables *tables);

size_t sp_kaldi_tables_count(const struct sp_kaldi_tables *tables);
struct sp_text sp_kaldi_tables_name(const struct sp_kaldi_tables *tables, size_t index);
/* The next value of table `index`, which must be that of `key`, "utt-n". */
SP_MUST_CHECK enum sp_status sp_kaldi_tables_read(struct sp_kaldi_tables *tables, size_t index,
                                                  struct sp_text key, double *value,
                                                  struct sp_error *err);
/* SP_EINPUT when a table has lines left. */
SP_MUST_CHECK enum sp_status sp_kaldi_tables_end(struct sp_kaldi_tables *tables,
                                                 struct sp_error *err);

/* Cuts the next "NAME=FILE" off *rest, a comma-separated list; *more is false at its end. Both parts
 * point into the list. */
SP_MUST_CHECK enum sp_status sp_named_file_cut(const char *option, const char **rest,
                                               struct sp_text *name, struct sp_text *file,
                                               bool *more, struct sp_error *err);

#ifdef __cplusplus
}
#endif
#endif
