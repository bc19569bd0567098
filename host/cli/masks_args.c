#include "masks_args.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "score_args.h"
#include "tsv_columns.h"

#define FIELD(member) offsetof(struct sp_masks_args, member)

static const struct sp_opt which[] = {
    {.name = "model",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(options.model),
     .argument = "DIR",
     .help = "Hugging Face model directory, read offline"},
    {.name = "mask",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(options.mask),
     .argument = "MASK",
     .choices = "model,full,causal,dynamic",
     .fallback = "model, what its config says",
     .help = "as for score, but never to be forced: any mask can be drawn of any model, dynamic of "
             "those "
             "with schedulers: layerwise:R[,R..], chunked:C, or one of"},
    {.name = "force-mask",
     .kind = SP_OPT_FLAG,
     .offset = FIELD(options.force_mask),
     .help = "taken as score takes it, and not needed"},
    {.name = "id",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(ids),
     .argument = "ID[,..]",
     .help = "utterances to draw",
     .fallback = "the first one"},
    {.name = "limit",
     .kind = SP_OPT_U64,
     .offset = FIELD(options.limit),
     .argument = "N",
     .min = 1,
     .max = 10000,
     .fallback = "1",
     .help = "the first N utterances, in place of --id"},
    {.name = "hyp",
     .kind = SP_OPT_SIZE,
     .offset = FIELD(hyp),
     .argument = "I",
     .min = 0,
     .max = UINT32_MAX,
     .fallback = "0, the first pass's best",
     .help = "original rank of the hypothesis, from 0"},
    {.name = "text",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(text),
     .argument = "TEXT",
     .help = "a text to draw in place of an archive"},
    SP_FORMAT_OPTION(FIELD(options.format)),
    {.name = "tsv",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(options.tsv),
     .argument = "COLUMNS",
     .fallback = SP_TSV_DEFAULT,
     .help = "columns of tsv archives, from 1"},
    SP_BEAM_SIZE_OPTION(FIELD(options.beam_size)),
    {.name = "case",
     .kind = SP_OPT_CHOICE,
     .offset = FIELD(options.letter_case),
     .argument = "HOW",
     .choices = "auto,keep,lower",
     .fallback = "auto",
     .help = "as for score"},
    {.name = "eos",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(options.eos),
     .argument = "TEXT",
     .fallback = "none",
     .help = "text appended to every hypothesis, as for score"},
};

static const struct sp_opt work[] = {
    {.name = "device",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(options.device),
     .argument = "NAME",
     .fallback = "cpu",
     .help = "where the schedulers of a dynamic mask are computed, as for score"},
    SP_DTYPE_OPTION(FIELD(options.dtype), "type of the matrix products below them"),
};

static const struct sp_opt output[] = {
    {.name = "out",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(out),
     .argument = "DIR",
     .help = "directory for the pictures, made when absent; equal names are replaced"},
    {.name = "svg",
     .kind = SP_OPT_FLAG,
     .offset = FIELD(svg),
     .help = "SVG pictures only, unless --png is given too"},
    {.name = "png",
     .kind = SP_OPT_FLAG,
     .offset = FIELD(png),
     .help = "PNG pictures only, unless --svg is given too"},
    {.name = "layer",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(layers),
     .argument = "L[,..]",
     .fallback = "all",
     .help = "layers whose masks are shown, from 0 as in the names of tensors"},
    {.name = "cone",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(cone),
     .argument = "POSITION",
     .fallback = "the unclipped token that waits longest",
     .help = "output whose dependency cone is shown, [CLS] being 0"},
    {.name = "json",
     .kind = SP_OPT_FLAG,
     .offset = FIELD(json),
     .help = "print tokens, masks, latencies and cones as one JSON object (FORMATS.md)"},
};

static const struct sp_opt_group which_group = {"What is drawn", which,
                                                sizeof which / sizeof *which};
static const struct sp_opt_group work_group = {"How it is computed", work,
                                               sizeof work / sizeof *work};
static const struct sp_opt_group output_group = {"Output", output, sizeof output / sizeof *output};
const struct sp_opt_group *const sp_masks_groups[] = {&which_group, &work_group, &output_group,
                                                      NULL};

enum sp_status sp_masks_next_number(const char *option, const char *what, size_t end,
                                    const char **rest, size_t *out, struct sp_error *err) {
  char *stop = NULL;
  unsigned long long value = isdigit((unsigned char)**rest) ? strtoull(*rest, &stop, 10) : 0;
  if (!stop || (*stop != '\0' && *stop != ',') || value >= end) {
    return sp_fail(err, SP_EUSAGE, "--%s %.*s: %s from 0 to %zu are taken", option,
                   (int)strcspn(*rest, ","), *rest, what, end - 1);
  }
  *out = (size_t)value;
  *rest = *stop ? stop + 1 : NULL;
  return SP_OK;
}
