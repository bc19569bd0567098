/* picture_parts.h - what the pictures of `secondpass masks` share. */
#ifndef SP_CLI_PICTURE_PARTS_H
#define SP_CLI_PICTURE_PARTS_H

#include "picture.h"

/* Told apart with all kinds of colour blindness and in print without colours (after Okabe and Ito). */
#define SP_COLOUR_INK ((struct sp_colour){0x1b, 0x1f, 0x24})
#define SP_COLOUR_SOFT ((struct sp_colour){0x59, 0x62, 0x6e})
#define SP_COLOUR_LINE ((struct sp_colour){0xd0, 0xd5, 0xdb})
#define SP_COLOUR_SELF ((struct sp_colour){0x00, 0x5b, 0x94})
#define SP_COLOUR_PAST ((struct sp_colour){0xa6, 0xce, 0xe8})
#define SP_COLOUR_AHEAD ((struct sp_colour){0xd5, 0x5e, 0x00})
#define SP_COLOUR_CUT ((struct sp_colour){0xf3, 0xc0, 0x98})
#define SP_COLOUR_ABSENT ((struct sp_colour){0xf7, 0xf8, 0xf9})

enum {
  SP_PICTURE_MARGIN = 24,
  SP_PICTURE_HEAD = 110,  /* height of title and legend */
  SP_PICTURE_LEAST = 760, /* width that they need */
  SP_PIECE_POINTS = 12    /* of a token's label, at most */
};

/* An entry of the legend: a square of its colour and words. */
struct sp_legend {
  struct sp_colour colour;
  const char *words;
};

/* Heading, model and policy, a line of facts, and the legend. */
void sp_picture_head(struct sp_canvas *canvas, const struct sp_picture *picture, const char *facts,
                     const struct sp_legend *legend, size_t n);

/* Style of size `size`, ink. */
struct sp_text_style sp_picture_style(int size, enum sp_anchor anchor);
/* Baseline of text whose middle shall be at y. */
static inline int sp_picture_baseline(int y, int size) {
  return y + SP_GLYPH_RISE * size / 2;
}

/* Positions between labelled ones, 1, 2 or 5 times a power of ten, so that labels are `least` pixels
 * apart where a position takes pixels / positions. */
size_t sp_picture_step(size_t positions, int pixels, int least);

/* Characters of the longest label. */
int sp_picture_label_points(const struct sp_masks_view *view);

#endif
