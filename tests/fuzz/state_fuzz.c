/* Any bytes as the state of a training run, as they are and with a right hash behind them: refused, or every
 * array filled from inside them. */
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "state_file.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

enum { numbers = 2 };

static void check(bool holds) {
  if (!holds) {
    abort();
  }
}

static void parse(const char *data, size_t size) {
  float param[numbers] = {1, 1}, m[numbers] = {1, 1}, v[numbers] = {1, 1};
  struct sp_train_arrays arrays = {param, m, v, numbers};
  struct sp_error err = {0};
  json_t *facts = NULL;
  if (sp_state_file_parse((struct sp_text){data, size}, "input", 3, &arrays, &facts, &err) ==
      SP_OK) {
    check(json_is_object(facts) && size > sizeof param * 3 + 16);
    check(memcmp(v, data + size - 16 - sizeof v, sizeof v) == 0);
  } else {
    check(err.status == SP_EDAMAGED || err.status == SP_EMODEL);
    check(facts == NULL && param[0] == 1 && v[1] == 1);
  }
  json_decref(facts);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
  XXH128_canonical_t hash;
  char *hashed = malloc(size + sizeof hash);
  parse((const char *)data, size);
  if (hashed) {
    XXH128_canonicalFromHash(&hash, XXH3_128bits(data, size));
    memcpy(hashed, data, size);
    memcpy(hashed + size, &hash, sizeof hash);
    parse(hashed, size + sizeof hash);
  }
  free(hashed);
  return 0;
}
