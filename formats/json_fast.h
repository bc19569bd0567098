/* json_fast.h - a C face for simdjson's DOM: records are parsed fast and without allocation.
 *
 * Flow       sp_json_create; for each record sp_json_parse, then walk its values; sp_json_destroy.
 * Lifetime   values, cursors and strings are valid until the next parse with the same parser.
 * Strings    are unescaped, valid UTF-8, and may hold NUL.
 * Threads    one parser a thread. */
#ifndef SP_FORMATS_JSON_FAST_H
#define SP_FORMATS_JSON_FAST_H

#include "buf.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sp_json;

enum sp_json_type {
  SP_JSON_NULL,
  SP_JSON_BOOL,
  SP_JSON_NUMBER,
  SP_JSON_STRING,
  SP_JSON_ARRAY,
  SP_JSON_OBJECT
};

/* Handles, passed by value. */
struct sp_json_value {
  uint64_t opaque[2];
};
struct sp_json_cursor {
  uint64_t opaque[4];
};

/* NULL when out of memory. */
struct sp_json *sp_json_create(void);
void sp_json_destroy(struct sp_json *json);

/* `doc` must be followed by SP_BUF_PADDING readable bytes.  When it is not one JSON value the
 * result is SP_EINPUT with "path:line: reason", the line counted on from `line`, that of the first
 * byte. */
SP_MUST_CHECK enum sp_status sp_json_parse(struct sp_json *json, struct sp_text doc,
                                           const char *path, uint64_t line,
                                           struct sp_json_value *root, struct sp_error *err);

/* As above, of a text that has no room behind it: it is copied to `room`, which must live as long. */
SP_MUST_CHECK enum sp_status sp_json_parse_copy(struct sp_json *json, struct sp_text doc,
                                                struct sp_buf *room, const char *path,
                                                uint64_t line, struct sp_json_value *root,
                                                struct sp_error *err);

enum sp_json_type sp_json_type_of(struct sp_json_value value);
/* False when the value is of another type. A string with half of a surrogate pair is none. */
bool sp_json_string(const struct sp_json *json, struct sp_json_value value, struct sp_text *out);
bool sp_json_number(struct sp_json_value value, double *out);
/* Appends the value as JSON on one line, without spaces; numbers read back to the same. SP_EINPUT
 * when a string inside holds half of a surrogate pair. */
SP_MUST_CHECK enum sp_status sp_json_write(const struct sp_json *json, struct sp_json_value value,
                                           struct sp_buf *out, struct sp_error *err);

/* Walks an array (sp_json_array_begin must have returned true), in order. */
bool sp_json_array_begin(struct sp_json_value array, struct sp_json_cursor *cursor);
bool sp_json_array_next(struct sp_json_cursor *cursor, struct sp_json_value *value);
/* Walks an object's members in the order of the text; equal keys all come. */
bool sp_json_object_begin(struct sp_json_value object, struct sp_json_cursor *cursor);
bool sp_json_object_next(struct sp_json_cursor *cursor, struct sp_text *key,
                         struct sp_json_value *value);

/* A decimal number, all of `text`, in the C locale ("-4.06", "-4.", "1e-5"); false when it is none,
 * or not finite. */
bool sp_number_parse(struct sp_text text, double *out);

#ifdef __cplusplus
}
#endif
#endif
