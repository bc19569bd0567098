/* run.json, compared with itself and with another, and joined with itself; the same bytes as a _SUCCESS file. */
#include <stdlib.h>
#include <string.h>

#include "run_merge.h"
#include "run_success.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

/* Two runs of one manifest are joined to one that reads back, or have too many shards. */
static void join(json_t *manifest) {
  json_t *both[] = {manifest, manifest}, *joined, *again;
  const char *const names[] = {"A", "B"};
  struct sp_error err;
  enum sp_status status = sp_run_merge_manifests(both, names, 2, &joined, &err);
  if (status == SP_EUSAGE) {
    return;
  }
  char *text = status == SP_OK ? json_dumps(joined, JSON_COMPACT) : NULL;
  if (!text || sp_run_manifest_parse((struct sp_text){text, strlen(text)}, "run.json", &again,
                                     &err) != SP_OK) {
    abort();
  }
  free(text);
  json_decref(again);
  json_decref(joined);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
  struct sp_text text = {(const char *)data, size};
  struct sp_error err;
  json_t *manifest;
  (void)sp_run_success_is_whole(text);
  if (sp_run_manifest_parse(text, "run.json", &manifest, &err) != SP_OK) {
    return 0;
  }
  if (sp_run_identity_compare(manifest, manifest, "RUN", &err) != SP_OK) {
    abort();
  }
  json_t *other = json_pack("{s:{s:i,s:{s:s},s:[i,i]}}", "identity", "shards", -1, "model", "hash",
                            "00", "limits", 1, 2);
  if (other && sp_run_identity_compare(manifest, other, "RUN", &err) != SP_EIDENTITY) {
    abort();
  }
  json_decref(other);
  join(manifest);
  json_decref(manifest);
  return 0;
}
