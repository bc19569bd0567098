/* archive_lines.h - formats that give a line to a hypothesis; private to formats/.
 *
 * Lines of one utterance stand one after the other.  A format says whose a line is, and adds it to
 * the utterance; the grouping is done here. */
#ifndef SP_FORMATS_ARCHIVE_LINES_H
#define SP_FORMATS_ARCHIVE_LINES_H

#include "archive_reader.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sp_line_format {
  /* Whose line it is: points into the line or lives as long as the utterance.  An id without data
   * passes the line over. */
  enum sp_status (*id)(struct sp_reader *reader, struct sp_text line, struct sp_text *id,
                       struct sp_error *err);
  /* Adds a line, which lives as long as the utterance, to *utt. */
  enum sp_status (*add)(struct sp_reader *reader, struct sp_text line, struct sp_utt *utt,
                        struct sp_error *err);
};

/* Reads lines up to the first of another utterance, at most SP_RECORD_CEILING bytes of them. */
SP_MUST_CHECK enum sp_status sp_lines_next(struct sp_reader *reader,
                                           const struct sp_line_format *format, struct sp_utt *utt,
                                           bool *found, struct sp_error *err);

/* Appends an empty hypothesis to *utt. */
SP_MUST_CHECK enum sp_status sp_lines_add_hyp(struct sp_reader *reader, struct sp_utt *utt,
                                              struct sp_hyp **hyp, struct sp_error *err);
/* Sets the reference, or compares it with the one that is there. */
SP_MUST_CHECK enum sp_status sp_lines_set_ref(struct sp_reader *reader, struct sp_utt *utt,
                                              struct sp_text ref, struct sp_error *err);

/* Cuts what stands before the first `mark` off *rest, and the mark; all of it without one, and
 * false. */
bool sp_text_cut(struct sp_text *rest, struct sp_text mark, struct sp_text *head);
/* As above, at the first space or tab. */
bool sp_text_cut_word(struct sp_text *rest, struct sp_text *head);

#ifdef __cplusplus
}
#endif
#endif
