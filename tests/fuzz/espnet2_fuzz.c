/* espnet2_fuzz.c - any bytes as the files of an ESPnet2 group: 0xff separates ref.text, then text
 * and score of each list. */
#include <string.h>

#include "archive_drain.h"
#include "archive_espnet2.h"

enum { most_lists = 4 };

static enum sp_status ignore(void *context, struct sp_source *source, struct sp_error *err) {
  struct sp_file_digest digest;
  (void)context;
  return sp_source_digest(source, &digest, err);
}

/* The bytes up to the next separator, as a source; NULL when there are none left. */
static struct sp_source *cut(struct sp_text *left) {
  struct sp_source *source = NULL;
  if (left->len == 0) {
    return NULL;
  }
  const char *end = memchr(left->data, 0xff, left->len);
  size_t len = end ? (size_t)(end - left->data) : left->len;
  if (sp_source_open_memory("fuzz", (struct sp_text){left->data, len}, &source, NULL) != SP_OK) {
    return NULL;
  }
  left->data += len + (end != NULL);
  left->len -= len + (end != NULL);
  return source;
}

static bool add_lists(struct sp_espnet2 *reader, struct sp_text left) {
  for (int k = 0; k < most_lists; k++) {
    struct sp_source *text = cut(&left);
    if (!text) {
      return k > 0;
    }
    if (sp_espnet2_add_list(reader, text, cut(&left), NULL) != SP_OK) {
      return false;
    }
  }
  return true;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
  struct sp_error err;
  struct sp_espnet2 *reader = NULL;
  struct sp_text left = {(const char *)data, size};
  struct sp_utt utt;
  bool found = true;
  if (sp_espnet2_create(ignore, NULL, &reader, &err) != SP_OK) {
    return 0;
  }
  struct sp_source *refs = cut(&left);
  sp_espnet2_set_refs(reader, refs);
  bool ready = add_lists(reader, left);
  while (ready && found && sp_espnet2_next(reader, &utt, &found, &err) == SP_OK) {
    if (found) {
      drain_utt(&utt);
    }
  }
  sp_espnet2_close(reader);
  return 0;
}
