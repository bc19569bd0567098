#include "unicode_class.h"

#include <stddef.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

struct range {
  uint32_t first, last;
};

static bool in_ranges(const struct range *ranges, size_t n, uint32_t code) {
  for (size_t i = 0; i < n && ranges[i].first <= code; i++) {
    if (code <= ranges[i].last) {
      return true;
    }
  }
  return false;
}

bool sp_is_cjk(uint32_t code) {
  static const struct range ranges[] = {
      {0x2e80, 0x2fdf},                     /* radicals */
      {0x3005, 0x3007},                     /* iteration mark, closing mark, zero */
      {0x3021, 0x3029},                     /* Hangzhou numerals */
      {0x3038, 0x303b},   {0x3041, 0x309f}, /* hiragana */
      {0x30a1, 0x30fa},                     /* katakana, without the middle dot */
      {0x30fc, 0x30ff},   {0x31f0, 0x31ff}, /* katakana extensions */
      {0x3400, 0x4dbf},   {0x4e00, 0x9fff}, /* unified ideographs */
      {0xf900, 0xfaff},   {0xff66, 0xff9f}, /* compatibility; half-width katakana */
      {0x1aff0, 0x1b16f},                   /* kana supplements */
      {0x20000, 0x323af},                   /* ideographs of planes 2 and 3 */
  };
  return code >= 0x2e80 && in_ranges(ranges, COUNT(ranges), code);
}

bool sp_is_punctuation(uint32_t code) {
  static const struct range ranges[] = {
      {0x21, 0x2f},     {0x3a, 0x40},     {0x5b, 0x60},     {0x7b, 0x7e},     {0xa1, 0xa9},
      {0xab, 0xb1},     {0xb4, 0xb4},     {0xb6, 0xb8},     {0xbb, 0xbb},     {0xbf, 0xbf},
      {0xd7, 0xd7},     {0xf7, 0xf7},     {0x2010, 0x2027}, {0x2030, 0x205e}, {0x20a0, 0x20cf},
      {0x2100, 0x214f}, {0x2190, 0x2bff}, {0x2e00, 0x2e7f}, {0x3001, 0x3004}, {0x3008, 0x3020},
      {0x3030, 0x3030}, {0x303d, 0x303d}, {0x30a0, 0x30a0}, {0x30fb, 0x30fb}, {0xfe10, 0xfe1f},
      {0xfe30, 0xfe6f}, {0xff01, 0xff0f}, {0xff1a, 0xff20}, {0xff3b, 0xff40}, {0xff5b, 0xff65},
  };
  return in_ranges(ranges, COUNT(ranges), code);
}

/* Capital letters first .. last, every `step`-th, and how far their small ones are. */
struct letters {
  uint32_t first, last, step, distance;
};

static const struct letters letters[] = {
    {'A', 'Z', 1, 32},     {0xc0, 0xd6, 1, 32},    {0xd8, 0xde, 1, 32},    {0x100, 0x12e, 2, 1},
    {0x132, 0x136, 2, 1},  {0x139, 0x147, 2, 1},   {0x14a, 0x176, 2, 1},   {0x179, 0x17d, 2, 1},
    {0x1cd, 0x1db, 2, 1},  {0x1de, 0x1ee, 2, 1},   {0x1f8, 0x21e, 2, 1},   {0x222, 0x232, 2, 1},
    {0x386, 0x386, 1, 38}, {0x388, 0x38a, 1, 37},  {0x38c, 0x38c, 1, 64},  {0x38e, 0x38f, 1, 63},
    {0x391, 0x3a1, 1, 32}, {0x3a3, 0x3ab, 1, 32},  {0x400, 0x40f, 1, 80},  {0x410, 0x42f, 1, 32},
    {0x460, 0x480, 2, 1},  {0x48a, 0x4be, 2, 1},   {0x4c1, 0x4cd, 2, 1},   {0x4d0, 0x52e, 2, 1},
    {0x531, 0x556, 1, 48}, {0x1e00, 0x1e94, 2, 1}, {0x1ea0, 0x1efe, 2, 1}, {0xff21, 0xff3a, 1, 32},
};

uint32_t sp_to_lower(uint32_t code) {
  if (code == 0x178) {
    return 0xff;
  }
  for (size_t i = 0; i < COUNT(letters) && letters[i].first <= code; i++) {
    if (code <= letters[i].last && (code - letters[i].first) % letters[i].step == 0) {
      return code + letters[i].distance;
    }
  }
  return code;
}

uint32_t sp_to_upper(uint32_t code) {
  if (code == 0xff) {
    return 0x178;
  }
  for (size_t i = 0; i < COUNT(letters); i++) {
    uint32_t capital = code - letters[i].distance;
    if (capital >= letters[i].first && capital <= letters[i].last &&
        (capital - letters[i].first) % letters[i].step == 0) {
      return capital;
    }
  }
  return code;
}
