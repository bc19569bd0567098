#include "weights_args.h"

#include <string.h>

#include "output.h"

static enum sp_status check_weights_alone(const struct sp_join_args *join, const char *weight,
                                          struct sp_error *err) {
  const char *other = weight              ? "weight"
                      : join->first       ? "first"
                      : join->combine     ? "combine"
                      : join->length_norm ? "length-norm"
                      : join->bonus       ? "insertion-bonus"
                                          : NULL;
  return other ? sp_fail(err, SP_EUSAGE, "--%s does not go with --weights, which says it", other)
               : SP_OK;
}

enum sp_status sp_weights_args_read(const struct sp_join_args *join, const char *weight,
                                    const char *weights, struct sp_weights_file *out,
                                    struct sp_error *err) {
  if (weights) {
    SP_TRY(check_weights_alone(join, weight, err));
    return sp_weights_file_read(weights, out, err);
  }
  if (!weight) {
    return sp_fail(err, SP_EUSAGE, "--weight NAME=W or --weights FILE is missing");
  }
  struct sp_combination *combination = &out->combination;
  *out = (struct sp_weights_file){0};
  SP_TRY(sp_join_args_combination(join, combination, err));
  if (join->bonus) {
    struct sp_text bonus = {join->bonus, strlen(join->bonus)};
    SP_TRY(sp_parse_weight(bonus, "insertion-bonus", &combination->bonus, err));
  }
  return sp_named_weights_parse(weight, "weight", &combination->second, err);
}

void sp_weights_args_say(const struct sp_weights_file *file, size_t k,
                         const struct sp_weights_origin *scores, const char *path) {
  const char *name = file->combination.second.items[k].name, *mask = file->masks[k];
  if (strcmp(scores->model_hash, file->model_hashes[k]) != 0) {
    sp_say("%s: the weight of %s was tuned for another model than that of %s", path, name,
           scores->path);
  }
  if (*mask && *scores->mask && strcmp(scores->mask, mask) != 0) {
    sp_say("%s: the weight of %s was tuned under the mask %s, but %s was scored under %s", path,
           name, mask, scores->path, scores->mask);
  }
}
