#include "suggest.h"

#include <stdint.h>
#include <string.h>

enum { max_word = 63 };

static size_t min3(size_t a, size_t b, size_t c) {
  size_t low = a < b ? a : b;
  return low < c ? low : c;
}

static size_t distance_between(struct sp_text x, struct sp_text y) {
  const char *a = x.data, *b = y.data;
  size_t la = x.len, lb = y.len;
  if (la > max_word || lb > max_word) {
    return SIZE_MAX;
  }
  /* rows i-2, i-1 and i of the usual table; a swap looks two rows back */
  size_t rows[3][max_word + 1];
  for (size_t j = 0; j <= lb; j++) {
    rows[0][j] = j;
  }
  for (size_t i = 1; i <= la; i++) {
    size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];
    row[0] = i;
    for (size_t j = 1; j <= lb; j++) {
      row[j] = min3(above[j] + 1, row[j - 1] + 1, above[j - 1] + (a[i - 1] != b[j - 1]));
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
          above2[j - 2] + 1 < row[j]) {
        row[j] = above2[j - 2] + 1;
      }
    }
  }
  return rows[la % 3][lb];
}

void sp_suggestion_offer(struct sp_suggestion *suggestion, struct sp_text candidate) {
  struct sp_text word = suggestion->word;
  size_t distance = distance_between(word, candidate);
  bool begins = word.len >= 2 && word.len <= candidate.len &&
                memcmp(word.data, candidate.data, word.len) == 0;
  if (begins) {
    distance = 1;
  }
  if (distance > (candidate.len + 2) / 3) {
    return;
  }
  if (suggestion->best.len == 0 || distance < suggestion->distance) {
    suggestion->best = candidate;
    suggestion->distance = distance;
  }
}
