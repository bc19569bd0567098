/* random_model - writes a model directory with random weights:
 *
 *   random_model --layers 12 --hidden 768 --heads 12 --ffn 3072 --vocab 30522 --positions 512 \
 *     --arch mlm --dtype f32 --seed 1 OUT
 *
 * Every member of struct sp_random_model is an option, with dashes for underscores. */
#include <stdio.h>
#include <string.h>

#include "random_model.h"

enum { name_bytes = 32 };

/* "--no-prefix" is the member no_prefix; empty for what is no option. */
static void member_name(const char *argument, char out[name_bytes]) {
  out[0] = '\0';
  if (strncmp(argument, "--", 2) != 0) {
    return;
  }
  snprintf(out, name_bytes, "%s", argument + 2);
  for (char *at = out; *at; at++) {
    *at = *at == '-' ? '_' : *at;
  }
}

/* The directory, or NULL when the arguments are wrong. */
static const char *parse(int argc, char **argv, struct sp_random_model *model) {
  const char *directory = NULL;
  for (int i = 1; i < argc; i++) {
    char name[name_bytes];
    member_name(argv[i], name);
    if (!name[0] && !directory) {
      directory = argv[i];
      continue;
    }
    const char *value = sp_random_model_needs_value(name) && i + 1 < argc ? argv[++i] : NULL;
    if (!sp_random_model_set(model, name, value)) {
      fprintf(stderr, "random_model: %s: no such option, or no value for it\n", argv[i]);
      return NULL;
    }
  }
  return directory;
}

int main(int argc, char **argv) {
  struct sp_random_model model = sp_random_model_default();
  struct sp_error err = {0};
  const char *directory = parse(argc, argv, &model);
  if (!directory || model.hidden == 0 || model.shards == 0) {
    fprintf(stderr, "usage: random_model [--layers N] [--hidden N] .. OUT\n");
    return 2;
  }
  if (sp_random_model_write(&model, directory, &err) != SP_OK) {
    fprintf(stderr, "random_model: %s\n", err.message);
    return 1;
  }
  return 0;
}
