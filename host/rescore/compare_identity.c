#include "compare.h"

/* False when out of memory. */
static bool note(json_t *list, const char *member, json_t *a, json_t *b) {
  if (a == b || (a && b && json_equal(a, b))) {
    return true;
  }
  json_t *entry =
      json_pack("{s:s, s:o, s:o}", "member", member, "a", a ? json_incref(a) : json_null(), "b",
                b ? json_incref(b) : json_null());
  return entry && json_array_append_new(list, entry) == 0;
}

json_t *sp_compare_identity(const json_t *a, const json_t *b) {
  json_t *list = json_array(), *value;
  json_t *ours = json_object_get(a, "identity"), *theirs = json_object_get(b, "identity");
  const char *member;
  bool ok = list != NULL;
  json_object_foreach(ours, member, value) {
    ok = ok && note(list, member, value, json_object_get(theirs, member));
  }
  json_object_foreach(theirs, member, value) {
    ok = ok && (json_object_get(ours, member) || note(list, member, NULL, value));
  }
  ok = ok && note(list, "version", json_object_get(json_object_get(a, "info"), "version"),
                  json_object_get(json_object_get(b, "info"), "version"));
  if (!ok) {
    json_decref(list);
    return NULL;
  }
  return list;
}
