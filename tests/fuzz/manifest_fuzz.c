/* run.json, compared with itself and with another; the same bytes as a _SUCCESS file. */
#include <stdlib.h>

#include "run_manifest.h"
#include "run_success.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

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
  json_decref(manifest);
  return 0;
}
