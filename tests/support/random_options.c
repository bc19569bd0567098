/* Options of a random model by their names, for the program and for golden files. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "random_model.h"

enum kind { number, text, truth, choice };

struct option {
  const char *name;
  enum kind kind;
  size_t offset;
  const char *choices[4];
};

#define FIELD(field) offsetof(struct sp_random_model, field)

static const struct option options[] = {
    {"layers", number, FIELD(layers), {0}},
    {"hidden", number, FIELD(hidden), {0}},
    {"heads", number, FIELD(heads), {0}},
    {"ffn", number, FIELD(ffn), {0}},
    {"vocab", number, FIELD(vocab), {0}},
    {"positions", number, FIELD(positions), {0}},
    {"type_vocab", number, FIELD(type_vocab), {0}},
    {"seed", number, FIELD(seed), {0}},
    {"arch", choice, FIELD(arch), {"mlm", "cls", "both"}},
    {"dtype", choice, FIELD(dtype), {"f32", "bf16", "f16"}},
    {"decoder", choice, FIELD(decoder), {"tied", "copy", "untied"}},
    {"pooler", truth, FIELD(pooler), {0}},
    {"classifier_hidden", number, FIELD(classifier_hidden), {0}},
    {"scheduler", text, FIELD(scheduler), {0}},
    {"scheduler_hidden", number, FIELD(scheduler_hidden), {0}},
    {"scheduler_percent", number, FIELD(scheduler_percent), {0}},
    {"gamma_beta", truth, FIELD(gamma_beta), {0}},
    {"no_prefix", truth, FIELD(no_prefix), {0}},
    {"extra", truth, FIELD(extra), {0}},
    {"shards", number, FIELD(shards), {0}},
    {"act", text, FIELD(act), {0}},
    {"eps", text, FIELD(eps), {0}},
    {"config_extra", text, FIELD(config_extra), {0}},
    {"vocab_file", text, FIELD(vocab_file), {0}},
};

_Static_assert(sizeof(size_t) == sizeof(uint64_t), "seed is set as the sizes are");
_Static_assert(sizeof(enum sp_random_heads) == sizeof(unsigned), "choices are set as unsigned");

static bool set_choice(const struct option *option, const char *value, char *field) {
  for (unsigned i = 0; i < 4 && option->choices[i]; i++) {
    if (strcmp(option->choices[i], value) == 0) {
      memcpy(field, &i, sizeof i);
      return true;
    }
  }
  return false;
}

static bool set_number(const char *value, char *field) {
  char *end;
  size_t parsed = strtoull(value, &end, 10);
  memcpy(field, &parsed, sizeof parsed);
  return *value >= '0' && *value <= '9' && *end == '\0';
}

static bool set_value(struct sp_random_model *model, const struct option *option,
                      const char *value) {
  char *field = (char *)model + option->offset;
  switch (option->kind) {
    case number:
      return set_number(value, field);
    case text:
      memcpy(field, &value, sizeof value);
      return true;
    case choice:
      return set_choice(option, value, field);
    default:
      *(bool *)field = true;
      return true;
  }
}

static const struct option *find(const char *name) {
  for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
    if (strcmp(options[i].name, name) == 0) {
      return &options[i];
    }
  }
  return NULL;
}

bool sp_random_model_needs_value(const char *name) {
  const struct option *option = find(name);
  return option && option->kind != truth;
}

bool sp_random_model_set(struct sp_random_model *model, const char *name, const char *value) {
  const struct option *option = find(name);
  return option && (value || option->kind == truth) && set_value(model, option, value);
}
