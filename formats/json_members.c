#include "json_members.h"

#include <stdlib.h>
#include <string.h>

#include "checked.h"

enum { block = 32 * 1024 };

enum place { before_open, after_open, after_member, after_close };

struct sp_json_members {
  struct sp_source *source;
  size_t ceiling;
  struct sp_buf window;
  size_t at;    /* the next byte to look at */
  size_t start; /* what lies before it is no longer needed */
  size_t block; /* the last read begins here */
  uint64_t line, member_line;
  struct sp_source_place member_place;
  bool end; /* the source has nothing more */
  bool is_object;
  const char *inside; /* the key of the one member of the document; NULL: the document itself */
  enum place place;
  size_t patched_at; /* the byte overwritten by the last member's "}", 0: none */
  char patched;
};

enum sp_status sp_json_members_create(struct sp_source *source, char open, size_t ceiling,
                                      struct sp_json_members **out, struct sp_error *err) {
  struct sp_json_members *m = calloc(1, sizeof *m);
  if (!m) {
    return sp_fail_memory(err, sizeof *m);
  }
  m->source = source;
  m->is_object = open == '{';
  m->ceiling = sp_min_size(ceiling, SP_BUF_CEILING);
  m->window.ceiling = m->ceiling + 2 * block;
  m->line = 1;
  *out = m;
  return SP_OK;
}

enum sp_status sp_json_members_create_inside(struct sp_source *source, const char *key, char open,
                                             size_t ceiling, struct sp_json_members **out,
                                             struct sp_error *err) {
  SP_TRY(sp_json_members_create(source, open, ceiling, out, err));
  (*out)->inside = key;
  return SP_OK;
}

void sp_json_members_destroy(struct sp_json_members *members) {
  if (members) {
    sp_buf_release(&members->window);
    free(members);
  }
}

static enum sp_status fail_here(const struct sp_json_members *m, const char *reason,
                                struct sp_error *err) {
  return sp_fail(err, SP_EINPUT, "%s:%llu: %s", sp_source_path(m->source),
                 (unsigned long long)m->line, reason);
}

static enum sp_status fail_long(const struct sp_json_members *m, struct sp_error *err) {
  return sp_fail(err, SP_EINPUT, "%s:%llu: a member is longer than %zu bytes",
                 sp_source_path(m->source), (unsigned long long)m->member_line, m->ceiling);
}

static enum sp_status fail_inside(const struct sp_json_members *m, const char *what,
                                  struct sp_error *err) {
  return sp_fail(err, SP_EINPUT,
                 "%s:%llu: the file ends inside a %s (its member begins on line %llu)",
                 sp_source_path(m->source), (unsigned long long)m->line, what,
                 (unsigned long long)m->member_line);
}

/* Appends a block to the window; offsets move when the room has to come from what lies before
 * `start`. */
static enum sp_status fill(struct sp_json_members *m, struct sp_error *err) {
  struct sp_buf *window = &m->window;
  if (m->start > 0 && window->capacity - window->len < block) {
    memmove(window->data, window->data + m->start, window->len - m->start);
    window->len -= m->start;
    m->at -= m->start;
    m->start = 0;
  }
  if (m->at - m->start > m->ceiling) {
    return fail_long(m, err);
  }
  SP_TRY(sp_buf_reserve(window, block, err));
  size_t got = 0;
  m->block = window->len;
  SP_TRY(sp_source_read(m->source, window->data + window->len, block, &got, err));
  window->len += got;
  m->end = got == 0;
  return SP_OK;
}

/* The byte at `at`, or -1 at the end. */
static enum sp_status look(struct sp_json_members *m, int *byte, struct sp_error *err) {
  while (m->at == m->window.len && !m->end) {
    SP_TRY(fill(m, err));
  }
  *byte = m->at < m->window.len ? (unsigned char)m->window.data[m->at] : -1;
  return SP_OK;
}

/* Goes to the next byte that is not white space. */
static enum sp_status look_past_space(struct sp_json_members *m, int *byte, struct sp_error *err) {
  for (;;) {
    SP_TRY(look(m, byte, err));
    if (*byte != ' ' && *byte != '\t' && *byte != '\n' && *byte != '\r') {
      return SP_OK;
    }
    m->line += *byte == '\n';
    m->at++;
    if (m->place != after_member) {
      m->start = m->at - 1; /* one byte before a member is kept, for its "{" */
    }
  }
}

static bool is_escaped(const char *data, size_t from, size_t at) {
  size_t run = 0;
  while (at - run > from && data[at - run - 1] == '\\') {
    run++;
  }
  return run % 2 == 1;
}

/* From an opening quote to behind the closing one. */
static enum sp_status pass_string(struct sp_json_members *m, struct sp_error *err) {
  size_t body = ++m->at - m->start; /* relative: the window may move */
  for (;;) {
    const char *data = m->window.data;
    size_t left = m->window.len - m->at;
    const char *quote = memchr(data + m->at, '"', left);
    size_t span = quote ? (size_t)(quote - data) - m->at : left;
    if (memchr(data + m->at, '\n', span)) {
      return fail_here(m, "a line break inside a string (a quote is missing)", err);
    }
    m->at += span;
    if (quote) {
      m->at++;
      if (!is_escaped(data, m->start + body, m->at - 1)) {
        return SP_OK;
      }
      continue;
    }
    if (m->end) {
      return fail_inside(m, "string", err);
    }
    SP_TRY(fill(m, err));
  }
}

/* From an opening bracket to behind the one that closes it; kinds are not told apart here. */
static enum sp_status pass_group(struct sp_json_members *m, struct sp_error *err) {
  size_t depth = 0;
  do {
    int byte;
    SP_TRY(look(m, &byte, err));
    if (byte == '"') {
      SP_TRY(pass_string(m, err));
      continue;
    }
    if (byte < 0) {
      return fail_inside(m, "value", err);
    }
    depth += byte == '{' || byte == '[';
    depth -= byte == '}' || byte == ']';
    m->line += byte == '\n';
    m->at++;
  } while (depth > 0);
  return SP_OK;
}

static enum sp_status pass_value(struct sp_json_members *m, struct sp_error *err) {
  int byte;
  SP_TRY(look_past_space(m, &byte, err));
  if (byte == '{' || byte == '[') {
    return pass_group(m, err);
  }
  if (byte == '"') {
    return pass_string(m, err);
  }
  size_t wide = 0;
  for (; byte >= 0 && !strchr(",}] \t\r\n", byte); wide++) {
    m->at++;
    SP_TRY(look(m, &byte, err));
  }
  return wide > 0 ? SP_OK
                  : fail_here(m, byte < 0 ? "the file ends early" : "a value is expected", err);
}

static enum sp_status pass_string_key(struct sp_json_members *m, struct sp_error *err) {
  int byte;
  SP_TRY(look(m, &byte, err));
  if (byte != '"') {
    return fail_here(m, byte < 0 ? "the file ends early" : "a key in quotes is expected", err);
  }
  return pass_string(m, err);
}

static enum sp_status pass_colon(struct sp_json_members *m, struct sp_error *err) {
  int byte;
  SP_TRY(look_past_space(m, &byte, err));
  if (byte != ':') {
    return fail_here(m, "':' is expected after a key", err);
  }
  m->at++;
  return SP_OK;
}

/* Passes {"key": of a document whose only member is walked. */
static enum sp_status pass_outer(struct sp_json_members *m, struct sp_error *err) {
  int byte;
  SP_TRY(look_past_space(m, &byte, err));
  if (byte != '{') {
    return fail_here(m, byte < 0 ? "the file is empty" : "a JSON object is expected", err);
  }
  m->at++;
  SP_TRY(look_past_space(m, &byte, err));
  m->start = m->at - 1;
  SP_TRY(pass_string_key(m, err));
  struct sp_text key = {m->window.data + m->start + 2, m->at - m->start - 3};
  if (!sp_text_equal(key, (struct sp_text){m->inside, strlen(m->inside)})) {
    return sp_fail(err, SP_EINPUT, "%s:%llu: the first member is not \"%s\"",
                   sp_source_path(m->source), (unsigned long long)m->line, m->inside);
  }
  return pass_colon(m, err);
}

/* Passes the bracket or comma before the next member; *more tells whether there is one. */
static enum sp_status pass_separator(struct sp_json_members *m, bool *more, struct sp_error *err) {
  int byte;
  *more = true;
  if (m->place == before_open && m->inside) {
    SP_TRY(pass_outer(m, err));
  }
  SP_TRY(look_past_space(m, &byte, err));
  if (m->place == before_open) {
    if (byte != (m->is_object ? '{' : '[')) {
      return fail_here(m,
                       byte < 0       ? "the file is empty"
                       : m->is_object ? "a JSON object is expected"
                                      : "a JSON array is expected",
                       err);
    }
    m->place = after_open;
    m->at++;
    SP_TRY(look_past_space(m, &byte, err));
    *more = byte != (m->is_object ? '}' : ']');
  } else {
    *more = byte == ',';
    m->at += *more;
    if (*more) {
      m->place = after_open;
      return look_past_space(m, &byte, err);
    }
  }
  if (!*more && byte != (m->is_object ? '}' : ']')) {
    return fail_here(m, byte < 0 ? "the file ends early" : "a comma or the end is expected", err);
  }
  return SP_OK;
}

static enum sp_status pass_end(struct sp_json_members *m, struct sp_error *err) {
  int byte;
  m->at++;
  m->place = after_close;
  SP_TRY(look_past_space(m, &byte, err));
  if (m->inside) {
    if (byte != '}') {
      return fail_here(m, byte < 0 ? "the file ends early" : "the document has another member",
                       err);
    }
    m->at++;
    SP_TRY(look_past_space(m, &byte, err));
  }
  return byte < 0 ? SP_OK : fail_here(m, "something follows the end of the JSON document", err);
}

/* Makes the member that ends at `at` an object of its own, in place. */
static struct sp_text wrap(struct sp_json_members *m) {
  char *data = m->window.data;
  data[m->start] = '{';
  m->patched_at = m->at;
  m->patched = data[m->at];
  data[m->at] = '}';
  return (struct sp_text){data + m->start, m->at - m->start + 1};
}

enum sp_status sp_json_members_next(struct sp_json_members *members, struct sp_text *member,
                                    uint64_t *line, bool *found, struct sp_error *err) {
  struct sp_json_members *m = members;
  bool more = false;
  *found = false;
  if (m->patched_at > 0) {
    m->window.data[m->patched_at] = m->patched;
    m->patched_at = 0;
  }
  if (m->place == after_close) {
    return SP_OK;
  }
  SP_TRY(pass_separator(m, &more, err));
  if (!more) {
    return pass_end(m, err);
  }
  m->start = m->at - 1;
  m->place = after_member;
  *line = m->member_line = m->line;
  m->member_place = sp_source_read_place(m->source, m->at - m->block);
  m->member_place.line = m->line - 1;
  if (m->is_object) {
    SP_TRY(pass_string_key(m, err));
    SP_TRY(pass_colon(m, err));
  }
  SP_TRY(pass_value(m, err));
  if (m->at - m->start > m->ceiling) {
    return fail_long(m, err);
  }
  *member = m->is_object ? wrap(m)
                         : (struct sp_text){m->window.data + m->start + 1, m->at - m->start - 1};
  *found = true;
  return SP_OK;
}

struct sp_source_place sp_json_members_place(const struct sp_json_members *members) {
  return members->member_place;
}

enum sp_status sp_json_members_seek(struct sp_json_members *members,
                                    const struct sp_source_place *place, struct sp_error *err) {
  struct sp_json_members *m = members;
  SP_TRY(sp_source_seek(m->source, place, err));
  sp_buf_clear(&m->window);
  SP_TRY(sp_buf_append(&m->window, ",", 1, err)); /* as if read on from a member before */
  m->at = m->start = m->patched_at = 0;
  m->line = place->line + 1;
  m->end = false;
  m->place = after_member;
  return SP_OK;
}
