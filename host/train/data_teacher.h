/* data_teacher.h - scores of a teacher, read in step with the archive that it scored; private to data*.c. */
#ifndef SP_TRAIN_DATA_TEACHER_H
#define SP_TRAIN_DATA_TEACHER_H

#include "archive.h"
#include "score_run.h"

struct sp_data_teacher {
  struct sp_score_run *run;
  enum sp_method method;
  struct sp_buf scores; /* float, of the last list */
};

/* Opens a finished run; `method` is a score's key, NULL: the run's only one. SP_EUSAGE when the run does
 * not have it, or has several. */
SP_MUST_CHECK enum sp_status sp_data_teacher_open(struct sp_data_teacher *teacher, const char *path,
                                                  const char *method, struct sp_error *err);
void sp_data_teacher_close(struct sp_data_teacher *teacher);

/* *scores (utt->n_hyps) of the next list, which must be that of `utt`, else SP_EINPUT; `place` is where
 * it stands.  NaN where the teacher gave null, and where it scored a text that it had cut. Valid until
 * the next call. */
SP_MUST_CHECK enum sp_status sp_data_teacher_next(struct sp_data_teacher *teacher,
                                                  const struct sp_utt *utt, const char *place,
                                                  const float **scores, struct sp_error *err);
/* SP_EINPUT when it goes on. */
SP_MUST_CHECK enum sp_status sp_data_teacher_finish(struct sp_data_teacher *teacher,
                                                    struct sp_error *err);

#endif
