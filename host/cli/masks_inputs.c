#include "masks_inputs.h"

#include <stdlib.h>
#include <string.h>

#include "archive.h"
#include "checked.h"
#include "output.h"
#include "utf8_valid.h"

struct reading {
  const struct sp_masks_args *args;
  struct sp_masks_inputs *out;
  struct sp_archive *archive;
  struct sp_text *ids; /* (n_ids) wanted; those found have no length any more */
  size_t n_ids, left;  /* of them, or of the limit, still to be found */
  uint64_t read;
};

void sp_masks_inputs_release(struct sp_masks_inputs *inputs) {
  free(inputs->items);
  sp_arena_release(&inputs->arena);
  *inputs = (struct sp_masks_inputs){0};
}

static enum sp_status add(struct sp_masks_inputs *out, struct sp_text id, struct sp_text text,
                          struct sp_error *err) {
  if (out->n == out->room) {
    size_t room = sp_max_size(8, out->room * 2);
    struct sp_masks_input *grown = realloc(out->items, room * sizeof *grown);
    if (!grown) {
      return sp_fail_memory(err, room * sizeof *grown);
    }
    out->items = grown;
    out->room = room;
  }
  struct sp_masks_input *to = &out->items[out->n];
  to->id = (struct sp_text){sp_arena_copy(&out->arena, id.data, id.len), id.len};
  to->text = (struct sp_text){sp_arena_copy(&out->arena, text.data, text.len), text.len};
  if (!to->id.data || !to->text.data) {
    return sp_fail_memory(err, id.len + text.len);
  }
  out->n++;
  return SP_OK;
}

/* What --id names, or how many from the start. */
static enum sp_status begin(struct reading *r, struct sp_error *err) {
  const char *rest = r->args->ids;
  r->left = r->args->options.limit ? (size_t)r->args->options.limit : 1;
  if (!rest) {
    return SP_OK;
  }
  r->ids = malloc(sp_mul_sat(strlen(rest) + 1, sizeof *r->ids));
  if (!r->ids) {
    return sp_fail_memory(err, strlen(rest) * sizeof *r->ids);
  }
  for (struct sp_text id = sp_choice_next(&rest); id.len; id = sp_choice_next(&rest)) {
    r->ids[r->n_ids++] = id;
  }
  r->left = r->n_ids;
  return r->n_ids ? SP_OK : sp_fail(err, SP_EUSAGE, "--id names no utterance");
}

static bool is_wanted(struct reading *r, struct sp_text id) {
  if (!r->args->ids) {
    return r->left > 0;
  }
  bool wanted = false;
  for (size_t i = 0; i < r->n_ids; i++) {
    if (r->ids[i].len && sp_text_equal(r->ids[i], id)) {
      r->ids[i].len = 0;
      r->left--;
      wanted = true;
    }
  }
  return wanted;
}

static enum sp_status read_utt(struct reading *r, const struct sp_utt *utt, struct sp_error *err) {
  for (size_t h = 0; r->read < SP_CASE_LOOK_UTTS && h < utt->n_hyps; h++) {
    sp_case_look_at(&r->out->look, utt->hyps[h].text);
  }
  r->read++;
  if (!is_wanted(r, utt->id)) {
    return SP_OK;
  }
  r->left -= r->args->ids ? 0 : 1;
  if (utt->n_hyps == 0) {
    return sp_fail(err, SP_EINPUT, "utterance %.*s has no hypotheses",
                   (int)sp_min_size(utt->id.len, 200), utt->id.data);
  }
  if (r->args->hyp >= utt->n_hyps) {
    return sp_fail(err, SP_EUSAGE, "utterance %.*s has %s, there is none of rank %zu",
                   (int)sp_min_size(utt->id.len, 200), utt->id.data,
                   sp_count_of(utt->n_hyps, "hypothesis", "hypotheses").text, r->args->hyp);
  }
  return add(r->out, utt->id, utt->hyps[r->args->hyp].text, err);
}

static enum sp_status read_archive(struct reading *r, const struct sp_operands *operands,
                                   struct sp_error *err) {
  const struct sp_score_options *options = &r->args->options;
  struct sp_archive_options how = {.tsv = options->tsv, .beam_size = options->beam_size};
  SP_TRY(sp_archive_format_parse(options->format ? options->format : "auto", &how.format, err));
  SP_TRY(begin(r, err));
  SP_TRY(sp_archive_open_with(operands->items, operands->n, &how, &r->archive, err));
  for (bool found = true; found && (r->left > 0 || r->read < SP_CASE_LOOK_UTTS);) {
    struct sp_utt utt;
    SP_TRY(sp_archive_next(r->archive, &utt, &found, err));
    if (found) {
      SP_TRY(read_utt(r, &utt, err));
    }
  }
  for (size_t i = 0; i < r->n_ids; i++) {
    if (r->ids[i].len) {
      return sp_fail(err, SP_EUSAGE, "--id: the archive has no utterance %.*s",
                     (int)sp_min_size(r->ids[i].len, 200), r->ids[i].data);
    }
  }
  return r->read > 0 ? SP_OK : sp_fail(err, SP_EINPUT, "the archive has no utterances");
}

static enum sp_status read_text(const struct sp_masks_args *args, struct sp_masks_inputs *out,
                                struct sp_error *err) {
  struct sp_text text = {args->text, strlen(args->text)};
  if (args->ids || args->options.limit || args->hyp) {
    return sp_fail(err, SP_EUSAGE, "--%s goes with an archive, not with --text",
                   args->ids   ? "id"
                   : args->hyp ? "hyp"
                               : "limit");
  }
  if (!sp_utf8_valid(text)) {
    return sp_fail(err, SP_EUSAGE, "--text takes valid UTF-8");
  }
  sp_case_look_at(&out->look, text);
  return add(out, SP_TEXT_LITERAL("text"), text, err);
}

enum sp_status sp_masks_inputs_read(const struct sp_masks_args *args,
                                    const struct sp_operands *operands, struct sp_masks_inputs *out,
                                    struct sp_error *err) {
  *out = (struct sp_masks_inputs){0};
  if ((args->text != NULL) == (operands->n > 0)) {
    return sp_fail(err, SP_EUSAGE, "give either an ARCHIVE or --text TEXT");
  }
  if (args->text) {
    return read_text(args, out, err);
  }
  if (args->ids && args->options.limit) {
    return sp_fail(err, SP_EUSAGE, "give either --id or --limit");
  }
  struct reading r = {.args = args, .out = out};
  enum sp_status status = read_archive(&r, operands, err);
  sp_archive_close(r.archive);
  free(r.ids);
  return status;
}
