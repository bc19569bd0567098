/* report_facts.c - run.json as a list for people. */
#include <stdlib.h>
#include <string.h>

#include "checked.h"
#include "report_data.h"
#include "run_manifest.h"

void sp_report_facts_release(struct sp_report_facts *facts) {
  for (size_t i = 0; i < facts->n; i++) {
    free(facts->items[i].name);
    free(facts->items[i].value);
  }
  free(facts->items);
  *facts = (struct sp_report_facts){0};
}

static enum sp_status add_fact(struct sp_report_facts *facts, const char *name, const json_t *value,
                               struct sp_error *err) {
  size_t bytes = sp_mul_sat(facts->n + 1, sizeof *facts->items);
  struct sp_report_fact *items = realloc(facts->items, bytes);
  if (!items) {
    return sp_fail_memory(err, bytes);
  }
  facts->items = items;
  struct sp_report_fact fact = {strdup(name),
                                json_is_string(value)
                                    ? strdup(json_string_value(value))
                                    : json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(9))};
  items[facts->n++] = fact;
  return fact.name && fact.value ? SP_OK : sp_fail_memory(err, strlen(name));
}

static enum sp_status add_object(struct sp_report_facts *facts, json_t *object,
                                 struct sp_error *err) {
  const char *name;
  json_t *value;
  json_object_foreach(object, name, value) {
    SP_TRY(add_fact(facts, name, value, err));
  }
  return SP_OK;
}

const char *sp_report_fact_find(const struct sp_report_facts *facts, const char *name) {
  for (size_t i = 0; i < facts->n; i++) {
    if (strcmp(facts->items[i].name, name) == 0) {
      return facts->items[i].value;
    }
  }
  return NULL;
}

enum sp_status sp_report_facts_read(const char *run, struct sp_report_facts *facts,
                                    struct sp_error *err) {
  json_t *manifest = NULL;
  bool found;
  SP_TRY(sp_run_manifest_read(run, &manifest, &found, err));
  if (!found) {
    return sp_fail(err, SP_EINPUT, "%s is no run directory: it has no run.json", run);
  }
  enum sp_status status = add_object(facts, json_object_get(manifest, "info"), err);
  if (status == SP_OK) {
    status = add_object(facts, json_object_get(manifest, "identity"), err);
  }
  json_decref(manifest);
  return status;
}
