/* font.h - a bitmap font of our own: printable ASCII in 5 x 8 dots; private to host/draw. */
#ifndef SP_DRAW_FONT_H
#define SP_DRAW_FONT_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { SP_FONT_COLUMNS = 5, SP_FONT_ROWS = 8 };

/* (SP_FONT_ROWS) rows from the top, SP_GLYPH_RISE of them above the baseline; the highest of a row's
 * SP_FONT_COLUMNS bits is its leftmost dot. A box for what the font does not have. */
const uint8_t *sp_font_glyph(uint32_t code);

#ifdef __cplusplus
}
#endif
#endif
