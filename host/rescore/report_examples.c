/* report_examples.c - the utterances that rescoring changed most, word by word. */
#include <string.h>

#include "report_parts.h"

struct aligner {
  struct sp_markup *to;
  struct sp_units *units;
  struct sp_edit *edit;
  enum sp_unit unit;
};

static void word(struct aligner *aligner, uint32_t id, const char *element, const char *css) {
  struct sp_markup *to = aligner->to;
  if (css) {
    sp_markup_put(to, "<%s class=\"%s\">", element, css);
  }
  sp_markup_text(to, sp_units_text(aligner->units, id));
  sp_markup_put(to, css ? "</%s>" : "", element);
  sp_markup_put(to, "%s", aligner->unit == SP_UNIT_CHAR ? "" : " ");
}

/* A hypothesis against the reference: what is deleted is the reference's. */
static enum sp_status line(struct aligner *aligner, const char *title, struct sp_text text,
                           const uint32_t *ref, struct sp_error *err) {
  const uint32_t *hyp;
  size_t n, n_ops, i = 0, j = 0;
  const char *ops;
  SP_TRY(sp_units_split(aligner->units, text, &hyp, &n, err));
  SP_TRY(sp_edit_align(aligner->edit, hyp, n, &ops, &n_ops, err));
  sp_markup_put(aligner->to, "<dt>%s</dt><dd>", title);
  for (size_t k = 0; k < n_ops; k++) {
    switch (ops[k]) {
      case SP_SUBSTITUTION:
        word(aligner, hyp[j], "u", "s");
        break;
      case SP_DELETION:
        word(aligner, ref[i], "del", "d");
        break;
      case SP_INSERTION:
        word(aligner, hyp[j], "ins", "i");
        break;
      default:
        word(aligner, hyp[j], "span", NULL);
    }
    i += ops[k] != SP_INSERTION;
    j += ops[k] != SP_DELETION;
  }
  sp_markup_put(aligner->to, "</dd>\n");
  return SP_OK;
}

static enum sp_status example(struct aligner *aligner, const struct sp_example *example,
                              bool improved, struct sp_error *err) {
  struct sp_markup *to = aligner->to;
  const uint32_t *ref;
  size_t n_ref;
  sp_units_clear(aligner->units);
  SP_TRY(sp_units_split(aligner->units, sp_example_text(example, 1), &ref, &n_ref, err));
  SP_TRY(sp_edit_set_reference(aligner->edit, ref, n_ref, err));
  sp_markup_put(to, "<div class=\"utt\"><p><code>");
  sp_markup_text(to, sp_example_text(example, 0));
  sp_markup_put(to, "</code> <span class=\"soft\">%s %s %s; was rank %s</span></p>\n<dl>\n",
                sp_grouped(example->gain).text, example->gain == 1 ? "error" : "errors",
                improved ? "fewer" : "more", sp_grouped(example->rank + 1).text);
  sp_markup_put(to, "<dt>reference</dt><dd>");
  for (size_t i = 0; i < n_ref; i++) {
    word(aligner, ref[i], "span", NULL);
  }
  sp_markup_put(to, "</dd>\n");
  SP_TRY(line(aligner, "first pass", sp_example_text(example, 2), ref, err));
  SP_TRY(line(aligner, "rescored", sp_example_text(example, 3), ref, err));
  sp_markup_put(to, "</dl></div>\n");
  return SP_OK;
}

static enum sp_status list(struct aligner *aligner, const struct sp_examples *examples,
                           bool improved, struct sp_error *err) {
  sp_markup_put(aligner->to, "<h3>Most %s utterances</h3>\n", improved ? "improved" : "harmed");
  if (examples->n == 0) {
    sp_markup_put(aligner->to, "<p class=\"says\">None.</p>\n");
  }
  for (size_t i = 0; i < examples->n; i++) {
    SP_TRY(example(aligner, &examples->items[i], improved, err));
  }
  return SP_OK;
}

static enum sp_status all(struct aligner *aligner, const struct sp_report_run *run,
                          struct sp_error *err) {
  SP_TRY(sp_units_create(aligner->unit, &aligner->units, err));
  SP_TRY(sp_edit_create(&aligner->edit, err));
  SP_TRY(list(aligner, &run->improved, true, err));
  return list(aligner, &run->harmed, false, err);
}

void sp_report_examples(struct sp_markup *to, const struct sp_report *report,
                        const struct sp_report_run *run) {
  struct aligner aligner = {.to = to, .unit = report->options.unit};
  sp_markup_put(to,
                "<section class=\"examples\">\n<p class=\"says legend\">Against the reference: <u "
                "class=\"s\">underlined</u> words are substituted, <del class=\"d\">struck</del> "
                "ones of the reference are missing, <ins class=\"i\">caret</ins> marks an "
                "insertion. Texts as normalised for counting.</p>\n");
  if (to->status == SP_OK) {
    enum sp_status status = all(&aligner, run, to->err);
    to->status = to->status == SP_OK ? status : to->status;
  }
  sp_markup_put(to, "</section>\n");
  sp_units_destroy(aligner.units);
  sp_edit_destroy(aligner.edit);
}
