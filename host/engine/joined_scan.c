#include "joined_scan.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "checked.h"
#include "file.h"

/* utts, hyps and tokens stand in info itself. */
#define COUNT(member) \
  { #member, offsetof(struct sp_counts, member) }
static const struct {
  const char *name;
  size_t offset;
} kept[] = {COUNT(empty_lists),     COUNT(empty),       COUNT(too_long),
            COUNT(truncated),       COUNT(no_vocab),    COUNT(unknown_tokens),
            COUNT(special_in_text), COUNT(without_ref), COUNT(without_score)};
#undef COUNT
enum { n_kept = sizeof kept / sizeof *kept };

json_t *sp_scan_counts_json(const struct sp_counts *counts) {
  json_t *object = json_object();
  for (size_t i = 0; i < n_kept; i++) {
    uint64_t count = *(const uint64_t *)((const char *)counts + kept[i].offset);
    json_object_set_new(object, kept[i].name, json_integer((json_int_t)count));
  }
  return object;
}

static uint64_t count_of(const json_t *object, const char *name) {
  json_int_t value = json_integer_value(json_object_get(object, name));
  return value > 0 ? (uint64_t)value : 0;
}

static void take_counts(const json_t *info, struct sp_counts *counts) {
  const json_t *object = json_object_get(info, "counts"); /* older runs have none */
  counts->utts = count_of(info, "utts");
  counts->hyps = count_of(info, "hyps");
  counts->tokens = count_of(info, "tokens");
  for (size_t i = 0; i < n_kept; i++) {
    *(uint64_t *)((char *)counts + kept[i].offset) = count_of(object, kept[i].name);
  }
}

static enum sp_status add_file(struct sp_scan *scan, const char *path, uint64_t bytes,
                               const char *xxh128, struct sp_error *err) {
  struct sp_scan_file *file = &scan->files[scan->n_files];
  *file = (struct sp_scan_file){.path = strdup(path), .digest.bytes = bytes};
  if (!file->path) {
    return sp_fail_memory(err, strlen(path));
  }
  if (xxh128 && strlen(xxh128) < sizeof file->digest.xxh128) {
    memcpy(file->digest.xxh128, xxh128, strlen(xxh128) + 1);
  }
  scan->n_files++;
  return SP_OK;
}

/* Own file i, whose size is looked at. */
static enum sp_status join_file(const char *path, const json_t *input, struct sp_scan *scan,
                                struct sp_error *err) {
  struct stat info;
  if (stat(path, &info) != 0) {
    return sp_fail_errno(err, SP_EIO, "cannot open %s", path);
  }
  return add_file(scan, path, (uint64_t)info.st_size,
                  json_string_value(json_object_get(input, "xxh128")), err);
}

/* Which files a directory has is the run's to say; what they hold is checked shard by shard. */
static enum sp_status join_directories(const json_t *inputs, const json_t *paths,
                                       struct sp_scan *scan, struct sp_error *err) {
  size_t i;
  json_t *input;
  json_array_foreach((json_t *)inputs, i, input) {
    const char *path = json_string_value(json_array_get(paths, i));
    SP_TRY(add_file(scan, path ? path : "?", count_of(input, "bytes"),
                    json_string_value(json_object_get(input, "xxh128")), err));
  }
  return SP_OK;
}

static enum sp_status join_files(const struct sp_score_options *options, const json_t *manifest,
                                 struct sp_scan *scan, struct sp_error *err) {
  const json_t *inputs = json_object_get(json_object_get(manifest, "identity"), "inputs");
  size_t room = sp_max_size(json_array_size(inputs), options->n_archives);
  scan->files = calloc(room, sizeof *scan->files);
  if (!scan->files) {
    return sp_fail_memory(err, sp_mul_sat(room, sizeof *scan->files));
  }
  if (sp_file_is_directory(options->archives[0])) {
    const json_t *paths = json_object_get(json_object_get(manifest, "info"), "archives");
    return join_directories(inputs, paths, scan, err);
  }
  for (size_t i = 0; i < options->n_archives; i++) {
    SP_TRY(join_file(options->archives[i], json_array_get(inputs, i), scan, err));
  }
  return SP_OK;
}

/* Formats and cases that the options leave to the archive are as the run has them. */
static enum sp_status join_choices(const struct sp_settings *settings,
                                   const struct sp_context *context, const json_t *identity,
                                   struct sp_scan *scan, struct sp_error *err) {
  const char *format = json_string_value(json_object_get(identity, "format"));
  const char *letter_case = json_string_value(json_object_get(identity, "case"));
  if (!format || !letter_case) {
    return sp_fail(err, SP_EDAMAGED, "the manifest of %s tells no format or case",
                   settings->options->out);
  }
  struct sp_case_look look = {0};
  scan->format = settings->archive.format;
  scan->letter_case = settings->letter_case != SP_CASE_AUTO
                          ? sp_case_resolve(settings, context, &look)
                      : strcmp(letter_case, sp_letter_case_name(SP_CASE_LOWER)) == 0 ? SP_CASE_LOWER
                                                                                     : SP_CASE_KEEP;
  return scan->format == SP_FORMAT_AUTO ? sp_archive_format_parse(format, &scan->format, err)
                                        : SP_OK;
}

enum sp_status sp_scan_join(const struct sp_settings *settings, const struct sp_context *context,
                            const json_t *manifest, struct sp_scan *out, struct sp_error *err) {
  *out = (struct sp_scan){0};
  take_counts(json_object_get(manifest, "info"), &out->counts);
  SP_TRY(join_choices(settings, context, json_object_get(manifest, "identity"), out, err));
  return join_files(settings->options, manifest, out, err);
}
