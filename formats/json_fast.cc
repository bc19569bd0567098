#include "json_fast.h"

#include <simdjson.h>

#include <charconv>
#include <cmath>
#include <cstring>
#include <new>
#include <string_view>
#include <type_traits>

#include "fault.h"
#include "utf8_valid.h"

namespace dom = simdjson::dom;

struct sp_json {
  dom::parser parser;
  bool escapes;  // the document has a backslash: strings are checked once they are unescaped
};

static_assert(simdjson::SIMDJSON_PADDING <= SP_BUF_PADDING, "simdjson reads behind our buffers");

namespace {

// Our handles carry simdjson's small value types bit by bit.
template <typename To, typename From>
To Carry(const From &from) {
  static_assert(std::is_trivially_copyable_v<To> && std::is_trivially_copyable_v<From>);
  To to{};
  std::memcpy(static_cast<void *>(&to), &from,
              sizeof(To) < sizeof(From) ? sizeof(To) : sizeof(From));
  return to;
}

static_assert(sizeof(dom::element) <= sizeof(sp_json_value));

template <typename Iterator>
struct Range {
  Iterator at, end;
};
template <typename Group>
using RangeOf = Range<typename Group::iterator>;

// A range lives in the cursor itself: copied out and back, each step would wait for the stores of the one before.
template <typename Group>
void Begin(const Group &group, sp_json_cursor *cursor) {
  static_assert(sizeof(RangeOf<Group>) <= sizeof(sp_json_cursor) &&
                alignof(RangeOf<Group>) <= alignof(sp_json_cursor) &&
                std::is_trivially_destructible_v<RangeOf<Group>>);
  ::new (static_cast<void *>(cursor)) RangeOf<Group>{group.begin(), group.end()};
}

template <typename Group>
RangeOf<Group> &RangeIn(sp_json_cursor *cursor) {
  return *std::launder(reinterpret_cast<RangeOf<Group> *>(cursor));
}

sp_text Text(std::string_view view) {
  return {view.data(), view.size()};
}

// What the message shows of the bytes at fault: a few of them, all printable.
void Snippet(sp_text doc, size_t offset, char (&out)[25]) {
  size_t used = 0;
  for (size_t i = offset; i < doc.len && used + 1 < sizeof out; i++) {
    unsigned char byte = static_cast<unsigned char>(doc.data[i]);
    out[used++] = byte >= 0x20 && byte < 0x7f ? static_cast<char>(byte) : '?';
  }
  out[used] = '\0';
}

sp_status Refuse(sp_text doc, const char *path, uint64_t line, simdjson::error_code code,
                 sp_error *err) {
  size_t offset = 0;
  const char *reason = sp_json_fault(doc, &offset);
  if (!reason) {
    reason =
        code == simdjson::NUMBER_ERROR ? "a number is out of range" : simdjson::error_message(code);
    return sp_fail(err, SP_EINPUT, "%s:%llu: %s", path, static_cast<unsigned long long>(line),
                   reason);
  }
  for (size_t i = 0; i < offset; i++) {
    line += doc.data[i] == '\n';
  }
  char snippet[25];
  Snippet(doc, offset, snippet);
  return sp_fail(err, SP_EINPUT, *snippet ? "%s:%llu: %s, at '%s'" : "%s:%llu: %s", path,
                 static_cast<unsigned long long>(line), reason, snippet);
}

}  // namespace

sp_json *sp_json_create(void) {
  return new (std::nothrow) sp_json();
}

void sp_json_destroy(sp_json *json) {
  delete json;
}

sp_status sp_json_parse(sp_json *json, sp_text doc, const char *path, uint64_t line,
                        sp_json_value *root, sp_error *err) {
  dom::element element;
  simdjson::error_code code = json->parser.parse(doc.data, doc.len, false).get(element);
  if (code == simdjson::MEMALLOC) {
    return sp_fail_memory(err, doc.len);
  }
  if (code != simdjson::SUCCESS) {
    return Refuse(doc, path, line, code, err);
  }
  json->escapes = std::memchr(doc.data, '\\', doc.len) != nullptr;
  *root = Carry<sp_json_value>(element);
  return SP_OK;
}

sp_status sp_json_parse_copy(sp_json *json, sp_text doc, sp_buf *room, const char *path,
                             uint64_t line, sp_json_value *root, sp_error *err) {
  sp_buf_clear(room);
  SP_TRY(sp_buf_append(room, doc.data, doc.len, err));
  return sp_json_parse(json, {room->data, room->len}, path, line, root, err);
}

enum sp_json_type sp_json_type_of(sp_json_value value) {
  switch (Carry<dom::element>(value).type()) {
    case dom::element_type::ARRAY:
      return SP_JSON_ARRAY;
    case dom::element_type::OBJECT:
      return SP_JSON_OBJECT;
    case dom::element_type::STRING:
      return SP_JSON_STRING;
    case dom::element_type::BOOL:
      return SP_JSON_BOOL;
    case dom::element_type::NULL_VALUE:
      return SP_JSON_NULL;
    default:
      return SP_JSON_NUMBER;
  }
}

bool sp_json_string(const sp_json *json, sp_json_value value, sp_text *out) {
  std::string_view view;
  if (Carry<dom::element>(value).get_string().get(view) != simdjson::SUCCESS) {
    return false;
  }
  *out = Text(view);
  return !json->escapes || sp_utf8_valid(*out);
}

bool sp_json_number(sp_json_value value, double *out) {
  return Carry<dom::element>(value).get_double().get(*out) == simdjson::SUCCESS &&
         std::isfinite(*out);
}

sp_status sp_json_write(const sp_json *json, sp_json_value value, sp_buf *out, sp_error *err) {
  try {
    std::string text = simdjson::minify(Carry<dom::element>(value));
    if (json->escapes && !sp_utf8_valid({text.data(), text.size()})) {
      return sp_fail(err, SP_EINPUT, "holds half of a surrogate pair");
    }
    return sp_buf_append(out, text.data(), text.size(), err);
  } catch (const std::bad_alloc &) {
    return sp_fail_memory(err, 0);
  }
}

bool sp_json_array_begin(sp_json_value array, sp_json_cursor *cursor) {
  dom::array group;
  if (Carry<dom::element>(array).get_array().get(group) != simdjson::SUCCESS) {
    return false;
  }
  Begin(group, cursor);
  return true;
}

bool sp_json_array_next(sp_json_cursor *cursor, sp_json_value *value) {
  auto &range = RangeIn<dom::array>(cursor);
  if (!(range.at != range.end)) {
    return false;
  }
  *value = Carry<sp_json_value>(*range.at);
  ++range.at;
  return true;
}

bool sp_json_object_begin(sp_json_value object, sp_json_cursor *cursor) {
  dom::object group;
  if (Carry<dom::element>(object).get_object().get(group) != simdjson::SUCCESS) {
    return false;
  }
  Begin(group, cursor);
  return true;
}

bool sp_json_object_next(sp_json_cursor *cursor, sp_text *key, sp_json_value *value) {
  auto &range = RangeIn<dom::object>(cursor);
  if (!(range.at != range.end)) {
    return false;
  }
  *key = Text(range.at.key());
  *value = Carry<sp_json_value>(range.at.value());
  ++range.at;
  return true;
}

bool sp_number_parse(sp_text text, double *out) {
  if (text.len == 0) {
    return false;
  }
  const char *end = text.data + text.len;
  double value;
  auto [stop, code] = std::from_chars(text.data, end, value);
  if (code != std::errc() || stop != end || !std::isfinite(value)) {
    return false;
  }
  *out = value;
  return true;
}
