/* text_rules.c - our rules file: one statement a line (FORMATS.md, "Rules file"). */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "text_steps.h"
#include "unicode_class.h"
#include "utf8_valid.h"

struct parser {
  struct sp_text_steps *steps;
  const char *path;
  unsigned long long line;
  const char *name;
  uint32_t hash;
};

static enum sp_status fail(const struct parser *parser, struct sp_error *err, const char *format,
                           ...) SP_PRINTF(3, 4);
static enum sp_status fail(const struct parser *parser, struct sp_error *err, const char *format,
                           ...) {
  char reason[256];
  va_list args;
  va_start(args, format);
  vsnprintf(reason, sizeof reason, format, args);
  va_end(args);
  return sp_fail(err, SP_EINPUT, "%s:%llu: %s", parser->path, parser->line, reason);
}

/* Cuts a bare word off the front; empty at the end. */
static struct sp_text cut_word(struct sp_text *rest) {
  *rest = sp_rules_trim(*rest);
  struct sp_text word = {rest->data, 0};
  while (word.len < rest->len && !sp_is_ascii_space((unsigned char)word.data[word.len])) {
    word.len++;
  }
  rest->data += word.len;
  rest->len -= word.len;
  return word;
}

static bool is(struct sp_text word, const char *text) {
  return sp_text_equal(word, (struct sp_text){text, strlen(text)});
}

/* Cuts "a \"quoted\" string" off the front, without quotes and escapes; from the arena. */
static enum sp_status cut_string(struct parser *parser, struct sp_text *rest, struct sp_text *out,
                                 struct sp_error *err) {
  *rest = sp_rules_trim(*rest);
  if (rest->len == 0 || rest->data[0] != '"') {
    return fail(parser, err, "a string in double quotes is missing");
  }
  char *copy = sp_arena_alloc(&parser->steps->arena, rest->len, 1);
  if (!copy) {
    return sp_fail_memory(err, rest->len);
  }
  size_t n = 0, i = 1;
  for (; i < rest->len && rest->data[i] != '"'; i++) {
    if (rest->data[i] == '\\') {
      i++;
      if (i == rest->len || !strchr("\"\\", rest->data[i])) {
        return fail(parser, err, "only \\\" and \\\\ may follow a backslash in a string");
      }
    }
    copy[n++] = rest->data[i];
  }
  if (i >= rest->len) {
    return fail(parser, err, "a string has no closing quote");
  }
  *out = (struct sp_text){copy, n};
  rest->data += i + 1;
  rest->len -= i + 1;
  return SP_OK;
}

static enum sp_status cut_pair(struct parser *parser, struct sp_text *rest, struct sp_text *from,
                               struct sp_text *to, struct sp_error *err) {
  SP_TRY(cut_string(parser, rest, from, err));
  if (!is(cut_word(rest), "=>")) {
    return fail(parser, err, "=> is missing between two strings");
  }
  SP_TRY(cut_string(parser, rest, to, err));
  return sp_rules_trim(*from).len > 0 ? SP_OK : fail(parser, err, "the left side is empty");
}

static enum sp_status parse_punctuation(struct parser *parser, struct sp_text *rest,
                                        struct sp_error *err) {
  struct sp_text_step step = {.kind = SP_STEP_PUNCTUATION};
  struct sp_text how = cut_word(rest);
  if (is(how, "space")) {
    step.to = SP_TEXT_LITERAL(" ");
  } else if (is(how, "delete")) {
    step.to = SP_TEXT_LITERAL("");
  } else {
    return fail(parser, err, "punctuation: space or delete must follow");
  }
  struct sp_text word = cut_word(rest);
  if (is(word, "keep")) {
    SP_TRY(cut_string(parser, rest, &step.from, err));
  } else if (word.len > 0) {
    return fail(parser, err, "punctuation: only keep \"..\" may follow");
  }
  return sp_text_steps_add(parser->steps, step, err);
}

static bool is_name(struct sp_text word) {
  static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
  for (size_t i = 0; i < word.len; i++) {
    if (!memchr(letters, word.data[i], sizeof letters - 1)) {
      return false;
    }
  }
  return word.len > 0 && word.len <= 64;
}

static enum sp_status parse_profile(struct parser *parser, struct sp_text *rest,
                                    struct sp_error *err) {
  struct sp_text name = cut_word(rest), version = cut_word(rest);
  if (parser->name) {
    return fail(parser, err, "profile is given twice");
  }
  if (!is_name(name) || !is_name(version) || version.data[0] != 'v') {
    return fail(parser, err, "profile NAME vVERSION: letters, digits, _ . - only");
  }
  char text[160];
  int wide = snprintf(text, sizeof text, "%.*s.%.*s@%08x", (int)name.len, name.data,
                      (int)version.len, version.data, (unsigned)parser->hash);
  parser->name = sp_arena_copy(&parser->steps->arena, text, (size_t)wide);
  return parser->name ? SP_OK : sp_fail_memory(err, sizeof text);
}

static enum sp_status parse_statement(struct parser *parser, struct sp_text *rest,
                                      struct sp_error *err) {
  struct sp_text word = cut_word(rest), from, to;
  if (is(word, "profile")) {
    return parse_profile(parser, rest, err);
  }
  if (!parser->name) {
    return fail(parser, err, "the first statement must be: profile NAME vVERSION");
  }
  if (is(word, "lower") || is(word, "upper")) {
    struct sp_text_step step = {.kind = is(word, "lower") ? SP_STEP_LOWER : SP_STEP_UPPER};
    return sp_text_steps_add(parser->steps, step, err);
  }
  if (is(word, "punctuation")) {
    return parse_punctuation(parser, rest, err);
  }
  if (is(word, "replace")) {
    SP_TRY(cut_pair(parser, rest, &from, &to, err));
    struct sp_text_step step = {.kind = SP_STEP_REPLACE, .from = from, .to = to};
    return sp_text_steps_add(parser->steps, step, err);
  }
  if (is(word, "word")) {
    SP_TRY(cut_pair(parser, rest, &from, &to, err));
    return sp_text_steps_add_word(parser->steps, from, to, false, err);
  }
  return fail(parser, err, "'%.*s' is none of profile, lower, upper, punctuation, replace and word",
              (int)(word.len < 40 ? word.len : 40), word.data);
}

static enum sp_status parse_line(struct parser *parser, struct sp_text line, struct sp_error *err) {
  if (memchr(line.data, '\0', line.len) || !sp_utf8_valid(line)) {
    return fail(parser, err, "a NUL byte or invalid UTF-8: this is not a rules file");
  }
  struct sp_text rest = sp_rules_trim(line);
  if (rest.len == 0 || rest.data[0] == '#') {
    return SP_OK;
  }
  SP_TRY(parse_statement(parser, &rest, err));
  rest = sp_rules_trim(rest);
  return rest.len == 0 || rest.data[0] == '#' ? SP_OK
                                              : fail(parser, err, "more than one statement");
}

enum sp_status sp_rules_parse(struct sp_text bytes, const char *path, struct sp_text_steps *steps,
                              const char **name, struct sp_error *err) {
  struct parser parser = {
      .steps = steps, .path = path, .hash = (uint32_t)(XXH64(bytes.data, bytes.len, 0) >> 32)};
  struct sp_text line;
  while (sp_rules_line(&bytes, &line)) {
    parser.line++;
    SP_TRY(parse_line(&parser, line, err));
  }
  if (!parser.name) {
    return fail(&parser, err, "no statement: profile NAME vVERSION is missing");
  }
  *name = parser.name;
  return SP_OK;
}
