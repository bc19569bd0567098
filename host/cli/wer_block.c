#include "wer_block.h"

#include <string.h>

/* What stands behind "kind:", or NULL. */
static const char *argument(const char *how, const char *kind) {
  size_t len = strlen(kind);
  return how && strncmp(how, kind, len) == 0 && how[len] == ':' && how[len + 1] != '\0'
             ? how + len + 1
             : NULL;
}

enum sp_status sp_wer_block_check(const char *how, struct sp_error *err) {
  if (!how || strcmp(how, "speaker") == 0 || strcmp(how, "utterance") == 0 ||
      argument(how, "prefix") || argument(how, "field")) {
    return SP_OK;
  }
  return sp_fail(err, SP_EUSAGE,
                 "--block-by: '%s' is none of speaker, prefix:SEP, field:NAME and utterance", how);
}

bool sp_wer_block_wanted(const char *how) {
  return how && strcmp(how, "utterance") != 0;
}

enum sp_status sp_wer_blocks_open(const char *how, struct sp_wer_blocks *out,
                                  struct sp_error *err) {
  *out = (struct sp_wer_blocks){.how = how};
  if (argument(how, "field")) {
    out->json = sp_json_create();
    return out->json ? SP_OK : sp_fail_memory(err, 0);
  }
  return SP_OK;
}

void sp_wer_blocks_close(struct sp_wer_blocks *blocks) {
  sp_json_destroy(blocks->json);
  sp_buf_release(&blocks->room);
}

static enum sp_status read_value(struct sp_wer_blocks *blocks, const struct sp_field *field,
                                 struct sp_text *name, struct sp_error *err) {
  struct sp_json_value value;
  SP_TRY(sp_json_parse_copy(blocks->json, field->json, &blocks->room, "field", 1, &value, err));
  enum sp_json_type type = sp_json_type_of(value);
  if (type != SP_JSON_NULL &&
      (type != SP_JSON_STRING || !sp_json_string(blocks->json, value, name))) {
    *name = field->json;
  }
  return SP_OK;
}

enum sp_status sp_wer_blocks_find(struct sp_wer_blocks *blocks, struct sp_text id,
                                  const struct sp_field *fields, size_t n_fields,
                                  struct sp_text *name, struct sp_error *err) {
  const char *prefix = argument(blocks->how, "prefix"), *field = argument(blocks->how, "field");
  const char *separator = prefix ? prefix : "-";
  *name = (struct sp_text){id.data, 0};
  if (field) {
    struct sp_text wanted = {field, strlen(field)};
    const struct sp_field *hit = sp_field_find(fields, n_fields, wanted);
    return hit ? read_value(blocks, hit, name, err) : SP_OK;
  }
  if (!blocks->how || sp_wer_block_wanted(blocks->how)) {
    const char *hit = memmem(id.data, id.len, separator, strlen(separator));
    name->len = hit ? (size_t)(hit - id.data) : 0;
  }
  return SP_OK;
}
