#include <string.h>

#include "tokenizer_build.h"
#include "utf8.h"
#include "utf8_valid.h"

/* Unicode white space, as the oracle trims it; the table of a tokenizer is not at hand here. */
static bool is_space(uint32_t code) {
  return (code >= 9 && code <= 13) || code == ' ' || code == 0x85 || code == 0xa0 ||
         code == 0x1680 || (code >= 0x2000 && code <= 0x200a) || code == 0x2028 || code == 0x2029 ||
         code == 0x202f || code == 0x205f || code == 0x3000;
}

/* Drops white space at the end of valid UTF-8. */
static struct sp_text trim_end(struct sp_text line) {
  while (line.len > 0) {
    size_t at = line.len - 1;
    while (at > 0 && ((unsigned char)line.data[at] & 0xc0) == 0x80) {
      at--;
    }
    uint32_t code;
    sp_utf8_decode((const unsigned char *)line.data + at, line.len - at, &code);
    if (!is_space(code)) {
      break;
    }
    line.len = at;
  }
  return line;
}

enum sp_status sp_vocab_read_lines(const char *directory, struct sp_text file,
                                   struct sp_vocab *vocab, struct sp_error *err) {
  size_t number = 0;
  for (size_t at = 0; at < file.len;) {
    const char *start = file.data + at;
    const char *newline = memchr(start, '\n', file.len - at);
    struct sp_text line = {start, newline ? (size_t)(newline - start) : file.len - at};
    at += line.len + 1;
    number++;
    if (memchr(line.data, '\0', line.len)) {
      return sp_fail(err, SP_EMODEL, "%s/vocab.txt line %zu: a NUL byte", directory, number);
    }
    if (!sp_utf8_valid(line)) {
      return sp_fail(err, SP_EMODEL, "%s/vocab.txt line %zu: not UTF-8", directory, number);
    }
    SP_TRY(sp_vocab_add(vocab, trim_end(line), err));
  }
  if (number == 0) {
    return sp_fail(err, SP_EMODEL, "%s/vocab.txt is empty", directory);
  }
  return SP_OK;
}
