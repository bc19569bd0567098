/* text_glm.c - a NIST global mapping file, the subset of FORMATS.md, "GLM". */
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
  bool case_sensitive, has_rules;
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

/* Text before the first `mark`, trimmed; *rest is what follows it. False without one. */
static bool cut_at(struct sp_text text, const char *mark, struct sp_text *before,
                   struct sp_text *rest) {
  size_t len = strlen(mark);
  const char *hit = text.len ? memmem(text.data, text.len, mark, len) : NULL;
  if (!hit) {
    return false;
  }
  *before = sp_rules_trim((struct sp_text){text.data, (size_t)(hit - text.data)});
  *rest = sp_rules_trim((struct sp_text){hit + len, text.len - (size_t)(hit - text.data) - len});
  return true;
}

/* [words] without the brackets; bare words as they are. */
static bool unbracket(struct sp_text *text) {
  if (text->len > 0 && text->data[0] == '[') {
    if (text->len < 2 || text->data[text->len - 1] != ']') {
      return false;
    }
    text->data++;
    text->len -= 2;
    *text = sp_rules_trim(*text);
  }
  for (size_t i = 0; i < text->len; i++) {
    if (strchr("[]{}/", text->data[i])) {
      return false;
    }
  }
  return true;
}

static bool starts(struct sp_text text, const char *word, struct sp_text *rest) {
  size_t len = strlen(word);
  if (text.len < len || memcmp(text.data, word, len) != 0) {
    return false;
  }
  *rest = sp_rules_trim((struct sp_text){text.data + len, text.len - len});
  return true;
}

/* = "value" or "value". */
static bool header_value(struct sp_text rest, struct sp_text *value) {
  if (rest.len > 0 && rest.data[0] == '=') {
    rest = sp_rules_trim((struct sp_text){rest.data + 1, rest.len - 1});
  }
  if (rest.len < 2 || rest.data[0] != '"' || rest.data[rest.len - 1] != '"') {
    return false;
  }
  *value = (struct sp_text){rest.data + 1, rest.len - 2};
  return true;
}

static enum sp_status parse_header(struct parser *parser, struct sp_text line,
                                   struct sp_error *err) {
  struct sp_text rest, value = {0};
  line = sp_rules_trim(line);
  if (starts(line, "name", &rest) || starts(line, "desc", &rest) ||
      starts(line, "max_nrules", &rest)) {
    return SP_OK;
  }
  if (starts(line, "format", &rest) && header_value(rest, &value) &&
      sp_text_equal(value, SP_TEXT_LITERAL("NIST1"))) {
    return SP_OK;
  }
  if (starts(line, "copy_no_hit", &rest) && header_value(rest, &value) &&
      sp_text_equal(value, SP_TEXT_LITERAL("T"))) {
    return SP_OK;
  }
  if (starts(line, "case_sensitive", &rest) && header_value(rest, &value) && value.len == 1 &&
      strchr("TF", value.data[0])) {
    if (parser->has_rules) {
      return fail(parser, err, "case_sensitive must stand before the first rule");
    }
    parser->case_sensitive = value.data[0] == 'T';
    return SP_OK;
  }
  return fail(parser, err, "this header is not supported: * %.*s",
              (int)(line.len < 80 ? line.len : 80), line.data);
}

/* " / [ ] __ [ ]" behind a rule: what stands around the words. Only blank contexts are supported. */
static enum sp_status check_context(const struct parser *parser, struct sp_text context,
                                    struct sp_error *err) {
  struct sp_text left, right;
  if (!cut_at(context, "__", &left, &right) || !unbracket(&left) || !unbracket(&right)) {
    return fail(parser, err, "the context of a rule must be: / [ ] __ [ ]");
  }
  return left.len == 0 && right.len == 0
             ? SP_OK
             : fail(parser, err, "rules with a context of words are not supported");
}

/* {[A] / [B]}: the left side A may also be read as B; both texts get B. */
static enum sp_status parse_alternation(const struct parser *parser, struct sp_text from,
                                        struct sp_text inside, struct sp_text *to,
                                        struct sp_error *err) {
  struct sp_text first, second, third;
  if (!cut_at(inside, "/", &first, &second) || !unbracket(&first)) {
    return fail(parser, err, "{ } without two alternatives");
  }
  if (cut_at(second, "/", &third, &third)) {
    return fail(parser, err, "more than two alternatives are not supported");
  }
  if (!unbracket(&second)) {
    return fail(parser, err, "an alternative is neither [words] nor words");
  }
  if (!sp_text_equal(first, from)) {
    return fail(parser, err,
                "the first of two alternatives must be the left side itself: others are not "
                "supported");
  }
  *to = second;
  return SP_OK;
}

static enum sp_status parse_right(const struct parser *parser, struct sp_text from,
                                  struct sp_text right, struct sp_text *to, struct sp_error *err) {
  struct sp_text context = {0}, inside;
  if (right.len > 0 && right.data[0] == '{') {
    if (!cut_at(right, "}", &inside, &context)) {
      return fail(parser, err, "{ without }");
    }
    inside.data++;
    inside.len--;
    SP_TRY(parse_alternation(parser, from, inside, to, err));
    if (context.len > 0 && !starts(context, "/", &context)) {
      return fail(parser, err, "only a context may follow }");
    }
  } else if (!cut_at(right, "/", to, &context)) {
    *to = right;
  }
  SP_TRY(context.len > 0 ? check_context(parser, context, err) : SP_OK);
  if (!unbracket(to)) {
    return fail(parser, err, "the right side is neither [words] nor words");
  }
  return to->len == 0 || to->data[0] != '('
             ? SP_OK
             : fail(parser, err, "optionally deletable words are not supported");
}

static enum sp_status parse_rule(struct parser *parser, struct sp_text line, struct sp_error *err) {
  struct sp_text from, right, to;
  if (!cut_at(line, "=>", &from, &right) || !unbracket(&from) || from.len == 0) {
    return fail(parser, err, "not a rule: [words] => [words] / [ ] __ [ ]");
  }
  SP_TRY(parse_right(parser, from, right, &to, err));
  if (!parser->has_rules && !parser->case_sensitive) {
    SP_TRY(sp_text_steps_add(parser->steps, (struct sp_text_step){.kind = SP_STEP_LOWER}, err));
  }
  parser->has_rules = true;
  return sp_text_steps_add_word(parser->steps, from, to, !parser->case_sensitive, err);
}

static enum sp_status parse_line(struct parser *parser, struct sp_text line, struct sp_error *err) {
  struct sp_text code, comment;
  if (memchr(line.data, '\0', line.len) || !sp_utf8_valid(line)) {
    return fail(parser, err, "a NUL byte or invalid UTF-8: this is not a GLM");
  }
  code = cut_at(line, ";;", &code, &comment) ? code : sp_rules_trim(line);
  if (code.len == 0) {
    return SP_OK;
  }
  return code.data[0] == '*'
             ? parse_header(parser, (struct sp_text){code.data + 1, code.len - 1}, err)
             : parse_rule(parser, code, err);
}

enum sp_status sp_glm_parse(struct sp_text bytes, const char *path, struct sp_text_steps *steps,
                            const char **name, struct sp_error *err) {
  struct parser parser = {.steps = steps, .path = path};
  struct sp_text rest = bytes, line;
  while (sp_rules_line(&rest, &line)) {
    parser.line++;
    SP_TRY(parse_line(&parser, line, err));
  }
  const char *slash = strrchr(path, '/');
  char text[160];
  int wide = snprintf(text, sizeof text, "glm:%.120s@%08x", slash ? slash + 1 : path,
                      (unsigned)(XXH64(bytes.data, bytes.len, 0) >> 32));
  *name = sp_arena_copy(&steps->arena, text, (size_t)wide);
  return *name ? SP_OK : sp_fail_memory(err, sizeof text);
}
