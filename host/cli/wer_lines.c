#include "wer_lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "output.h"
#include "utf8.h"

static enum sp_status open_one(const char *path, FILE **out, struct sp_error *err) {
  *out = !path ? NULL : strcmp(path, "-") == 0 ? stdout : fopen(path, "w");
  return path && !*out ? sp_fail_errno(err, SP_EIO, "cannot write %s", path) : SP_OK;
}

enum sp_status sp_wer_lines_open(const struct sp_wer_args *args, struct sp_wer_lines *out,
                                 struct sp_error *err) {
  *out = (struct sp_wer_lines){.per_utt_path = args->per_utt, .align_path = args->align};
  const char *end = args->per_utt ? strrchr(args->per_utt, '.') : NULL;
  out->json_lines = end && strcmp(end, ".jsonl") == 0;
  SP_TRY(open_one(args->per_utt, &out->per_utt, err));
  enum sp_status status = open_one(args->align, &out->align, err);
  if (status == SP_OK && out->per_utt && !out->json_lines) {
    fputs(
        "id\tref\tcorrect\tsub\tdel\tins\terrors\tchar_ref\tchar_errors\thyps\toracle_rank\t"
        "oracle_errors\tworst_errors\tother_errors\n",
        out->per_utt);
  }
  return status;
}

static enum sp_status close_one(FILE *file, const char *path, struct sp_error *err) {
  if (!file || file == stdout) {
    return SP_OK; /* standard output is checked at the end of the program */
  }
  bool lost = ferror(file) != 0;
  errno = 0;
  lost |= fclose(file) != 0;
  if (lost && errno == 0) {
    errno = EIO;
  }
  return lost ? sp_fail_errno(err, SP_EIO, "cannot write %s", path) : SP_OK;
}

enum sp_status sp_wer_lines_close(struct sp_wer_lines *lines, struct sp_error *err) {
  enum sp_status first = close_one(lines->per_utt, lines->per_utt_path, err);
  enum sp_status second = close_one(lines->align, lines->align_path, first == SP_OK ? err : NULL);
  *lines = (struct sp_wer_lines){0};
  return first == SP_OK ? second : first;
}

static void write_tsv(FILE *file, struct sp_text id, const struct sp_wer_utt *utt,
                      size_t n_others) {
  const struct sp_edit_counts *u = &utt->units;
  fprintf(file, "%.*s\t%llu\t%u\t%u\t%u\t%u\t%llu\t%llu\t%llu\t%zu\t%zu\t%llu\t%llu\t", (int)id.len,
          id.data, (unsigned long long)utt->n_ref, u->correct, u->substitutions, u->deletions,
          u->insertions, (unsigned long long)sp_edit_errors(u),
          (unsigned long long)sp_edit_reference(&utt->chars),
          (unsigned long long)sp_edit_errors(&utt->chars), utt->n_hyps,
          utt->n_hyps ? utt->oracle_rank + 1 : 0, (unsigned long long)sp_edit_errors(&utt->oracle),
          (unsigned long long)sp_edit_errors(&utt->worst));
  for (size_t i = 0; i < n_others; i++) {
    fprintf(file, "%s%llu", i ? "," : "", (unsigned long long)sp_edit_errors(&utt->others[i]));
  }
  putc('\n', file);
}

static enum sp_status write_json(FILE *file, struct sp_text id, const struct sp_wer_utt *utt,
                                 size_t n_others, struct sp_error *err) {
  const struct sp_edit_counts *u = &utt->units;
  json_t *object = json_object(), *others = json_array();
  json_object_set_new(object, "id", json_stringn(id.data, id.len));
  sp_json_set_count(object, "ref", utt->n_ref);
  sp_json_set_count(object, "correct", u->correct);
  sp_json_set_count(object, "sub", u->substitutions);
  sp_json_set_count(object, "del", u->deletions);
  sp_json_set_count(object, "ins", u->insertions);
  sp_json_set_count(object, "errors", sp_edit_errors(u));
  sp_json_set_count(object, "char_ref", sp_edit_reference(&utt->chars));
  sp_json_set_count(object, "char_errors", sp_edit_errors(&utt->chars));
  sp_json_set_count(object, "hyps", utt->n_hyps);
  sp_json_set_count(object, "oracle_rank", utt->n_hyps ? utt->oracle_rank + 1 : 0);
  sp_json_set_count(object, "oracle_errors", sp_edit_errors(&utt->oracle));
  sp_json_set_count(object, "worst_errors", sp_edit_errors(&utt->worst));
  for (size_t i = 0; i < n_others; i++) {
    json_array_append_new(others, json_integer((json_int_t)sp_edit_errors(&utt->others[i])));
  }
  json_object_set_new(object, "other_errors", others);
  char *text = json_dumps(object, JSON_COMPACT);
  json_decref(object);
  if (!text) {
    return sp_fail_memory(err, 0);
  }
  fprintf(file, "%s\n", text);
  free(text);
  return SP_OK;
}

/* Code points; CJK and its like are two columns wide, which is not looked at. */
static size_t width(struct sp_text text) {
  size_t n = 0;
  for (size_t i = 0; i < text.len; n++) {
    uint32_t code;
    i += sp_utf8_decode((const unsigned char *)text.data + i, text.len - i, &code);
  }
  return n;
}

/* One row of an alignment: 'R' references, 'H' hypotheses, 'E' the letters of errors. */
static void write_row(FILE *file, struct sp_wer *wer, const struct sp_wer_utt *utt, char row) {
  size_t i = 0, j = 0;
  fputs(row == 'R' ? "REF: " : row == 'H' ? "HYP: " : "     ", file);
  for (size_t k = 0; k < utt->n_ops; k++) {
    char op = utt->ops[k];
    struct sp_text gap = {"*", 1}, ref = gap, hyp = gap;
    char ref_copy[4]; /* of a character: its text is valid until the next is asked for */
    if (op != SP_INSERTION) {
      ref = sp_wer_unit_text(wer, utt->ref[i++]);
      if (ref.len <= sizeof ref_copy) {
        memcpy(ref_copy, ref.data, ref.len);
        ref.data = ref_copy;
      }
    }
    if (op != SP_DELETION) {
      hyp = sp_wer_unit_text(wer, utt->hyp[j++]);
    }
    char letter = op == SP_CORRECT ? ' ' : op;
    struct sp_text shown = row == 'R' ? ref : row == 'H' ? hyp : (struct sp_text){&letter, 1};
    size_t wide = width(ref) > width(hyp) ? width(ref) : width(hyp);
    fprintf(file, "%.*s", (int)shown.len, shown.data);
    fprintf(file, "%*s", (int)(wide - width(shown) + (k + 1 < utt->n_ops)), "");
  }
  putc('\n', file);
}

static void write_alignment(FILE *file, struct sp_wer *wer, struct sp_text id,
                            const struct sp_wer_utt *utt) {
  const struct sp_edit_counts *u = &utt->units;
  fprintf(file, "%.*s: %u correct, %u sub, %u del, %u ins\n", (int)id.len, id.data, u->correct,
          u->substitutions, u->deletions, u->insertions);
  write_row(file, wer, utt, 'R');
  write_row(file, wer, utt, 'H');
  write_row(file, wer, utt, 'E');
  putc('\n', file);
}

enum sp_status sp_wer_lines_write(struct sp_wer_lines *lines, struct sp_wer *wer, struct sp_text id,
                                  const struct sp_wer_utt *utt, size_t n_others,
                                  struct sp_error *err) {
  if (lines->per_utt && lines->json_lines) {
    SP_TRY(write_json(lines->per_utt, id, utt, n_others, err));
  } else if (lines->per_utt) {
    write_tsv(lines->per_utt, id, utt, n_others);
  }
  if (lines->align && sp_edit_errors(&utt->units) > 0) {
    write_alignment(lines->align, wer, id, utt);
  }
  return SP_OK;
}
