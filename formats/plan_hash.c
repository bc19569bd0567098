#include "plan_hash.h"

#include <xxhash.h>

uint64_t sp_plan_hash_id(struct sp_text id, uint64_t ordinal) {
  return XXH3_64bits_withSeed(id.data, id.len, ordinal);
}

uint64_t sp_plan_hash_text(struct sp_text text, uint64_t before) {
  return XXH3_64bits_withSeed(text.data ? text.data : "", text.len, before);
}

uint64_t sp_plan_hash(const struct sp_utt *utt, uint64_t ordinal) {
  uint64_t hash = sp_plan_hash_id(utt->id, ordinal);
  for (size_t h = 0; h < utt->n_hyps; h++) {
    hash = sp_plan_hash_text(utt->hyps[h].text, hash);
  }
  return hash;
}
