#include "data_teacher.h"

#include <math.h>
#include <string.h>

#include "checked.h"

static enum sp_status choose_method(struct sp_data_teacher *teacher, const char *wanted,
                                    struct sp_error *err) {
  const struct sp_score_run_info *info = sp_score_run_get_info(teacher->run);
  for (size_t i = 0; i < info->n_methods; i++) {
    if (wanted && strcmp(sp_method_key(info->methods[i]), wanted) == 0) {
      teacher->method = info->methods[i];
      return SP_OK;
    }
  }
  if (wanted) {
    return sp_fail(err, SP_EUSAGE, "%s has no score '%s'", info->path, wanted);
  }
  if (info->n_methods > 1) {
    return sp_fail(err, SP_EUSAGE, "%s has several scores; say which one the teacher's is",
                   info->path);
  }
  teacher->method = info->methods[0];
  return SP_OK;
}

enum sp_status sp_data_teacher_open(struct sp_data_teacher *teacher, const char *path,
                                    const char *method, struct sp_error *err) {
  *teacher = (struct sp_data_teacher){0};
  SP_TRY(sp_score_run_open(path, &teacher->run, err));
  return choose_method(teacher, method, err);
}

void sp_data_teacher_close(struct sp_data_teacher *teacher) {
  sp_score_run_close(teacher->run);
  sp_buf_release(&teacher->scores);
  *teacher = (struct sp_data_teacher){0};
}

static enum sp_status check_line(const struct sp_data_teacher *teacher,
                                 const struct sp_score_line *line, const struct sp_utt *utt,
                                 const char *place, struct sp_error *err) {
  const char *path = sp_score_run_get_info(teacher->run)->path;
  int shown = (int)sp_min_size(utt->id.len, 200);
  if (!sp_text_equal(line->id, utt->id)) {
    return sp_fail(err, SP_EINPUT, "%s: %s has scores of '%.*s' where the data has '%.*s'", place,
                   path, (int)sp_min_size(line->id.len, 200), line->id.data, shown, utt->id.data);
  }
  bool fits = line->n_hyps == utt->n_hyps;
  for (size_t i = 0; fits && i < line->n_hyps; i++) {
    fits = line->hyps[i].rank == i;
  }
  return fits ? SP_OK
              : sp_fail(err, SP_EINPUT, "%s: '%.*s' has %zu hypotheses, in %s it has %zu others",
                        place, shown, utt->id.data, utt->n_hyps, path, line->n_hyps);
}

enum sp_status sp_data_teacher_next(struct sp_data_teacher *teacher, const struct sp_utt *utt,
                                    const char *place, const float **scores, struct sp_error *err) {
  struct sp_score_line line;
  bool found;
  SP_TRY(sp_score_run_next(teacher->run, &line, &found, err));
  if (!found) {
    return sp_fail(err, SP_EINPUT, "%s: %s ends before '%.*s'", place,
                   sp_score_run_get_info(teacher->run)->path, (int)sp_min_size(utt->id.len, 200),
                   utt->id.data);
  }
  SP_TRY(check_line(teacher, &line, utt, place, err));
  sp_buf_clear(&teacher->scores);
  SP_TRY(sp_buf_reserve(&teacher->scores, line.n_hyps * sizeof(float), err));
  float *out = (float *)teacher->scores.data;
  for (size_t i = 0; i < line.n_hyps; i++) {
    bool whole = line.hyps[i].flag == SP_FLAG_NONE;
    out[i] = whole ? line.hyps[i].score[teacher->method] : NAN;
  }
  *scores = out;
  return SP_OK;
}

enum sp_status sp_data_teacher_finish(struct sp_data_teacher *teacher, struct sp_error *err) {
  struct sp_score_line line;
  bool found;
  SP_TRY(sp_score_run_next(teacher->run, &line, &found, err));
  return !found ? SP_OK
                : sp_fail(err, SP_EINPUT, "%s goes on with '%.*s', where the data ends",
                          sp_score_run_get_info(teacher->run)->path,
                          (int)sp_min_size(line.id.len, 200), line.id.data);
}
