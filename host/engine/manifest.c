#include "manifest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "job_latency.h"
#include "joined_scan.h"
#include "shard.h"
#include "utf8_valid.h"

/* Raised whenever the same input and options may give other scores than before. */
enum { score_version = 1 };

static void list_methods(unsigned methods, char *out, size_t capacity) {
  out[0] = '\0';
  for (int m = 0; m < SP_METHOD_COUNT; m++) {
    if (methods >> m & 1u) {
      size_t used = strlen(out);
      snprintf(out + used, capacity - used, "%s%s", used ? "," : "",
               sp_method_key((enum sp_method)m));
    }
  }
}

/* A path as JSON takes it: bytes that are no UTF-8 become '?'. NULL when out of memory. */
static json_t *path_json(const char *path) {
  char *copy = strdup(path);
  if (!copy) {
    return NULL;
  }
  size_t len = strlen(copy);
  for (size_t at = 0; at < len; at++) {
    at += sp_utf8_valid_prefix((struct sp_text){copy + at, len - at});
    if (at < len) {
      copy[at] = '?';
    }
  }
  json_t *json = json_string(copy);
  free(copy);
  return json;
}

/* The mask, with a hash in the place of what makes it long: 512 layers may differ. */
static void mask_signature(const struct sp_context *context, char *out, size_t capacity) {
  enum { longest = 40 };
  char text[SP_LOOKAHEAD_TEXT];
  size_t len = sp_lookahead_print(&context->lookahead, text, sizeof text);
  const char *forced = context->mask_forced ? " forced" : "";
  if (len <= longest) {
    snprintf(out, capacity, "%.*s%s", longest, text, forced);
  } else {
    snprintf(out, capacity, "%s#%08x%s", sp_lookahead_policy_name(context->lookahead.policy),
             (unsigned)XXH32(text, len, 0), forced);
  }
}

void sp_manifest_signature(const struct sp_settings *settings, const struct sp_context *context,
                           enum sp_letter_case letter_case, char *out, size_t capacity) {
  const struct sp_tokenizer_info *tokenizer = sp_tokenizer_get_info(context->tokenizer);
  char methods[64], mask[64];
  struct sp_text eos = {settings->eos.data, settings->eos.len > 16 ? 16 : settings->eos.len};
  eos.len = sp_utf8_valid_prefix(eos); /* no half of a character */
  list_methods(settings->methods, methods, sizeof methods);
  mask_signature(context, mask, sizeof mask);
  snprintf(out, capacity, "%s|m:%.8s|tok:%s-%s|case:%s|eos:%.*s|mask:%s|long:%s|dt:%s|dev:%s|v:%s",
           methods, context->model_hash, tokenizer->kind,
           tokenizer->lowercase ? "uncased" : "cased", sp_letter_case_name(letter_case),
           (int)eos.len, eos.len ? eos.data : "", mask, sp_on_long_name(settings->on_long),
           sp_compute_name(context->devices[0]->compute), context->devices[0]->type, SP_VERSION);
}

static json_t *list_inputs(const struct sp_scan *scan, bool paths) {
  json_t *list = json_array();
  for (size_t i = 0; i < scan->n_files; i++) {
    const struct sp_scan_file *file = &scan->files[i];
    json_array_append_new(
        list, paths ? path_json(file->path)
                    : json_pack("{s:I, s:s}", "bytes", (json_int_t)file->digest.bytes, "xxh128",
                                file->digest.xxh128));
  }
  return list;
}

/* What computes; null where that is left to the first worker that scores (run_manifest.h). */
static const char *compute_of(const struct sp_settings *settings, const struct sp_device *device) {
  return device                 ? sp_compute_name(device->compute)
         : settings->dtype_auto ? NULL
                                : sp_compute_name(settings->compute);
}

static json_t *make_identity(const struct sp_settings *settings, const struct sp_context *context,
                             const struct sp_scan *scan, size_t shard_utts, size_t shards) {
  const struct sp_score_options *options = settings->options;
  const struct sp_device *device = context->n_devices > 0 ? context->devices[0] : NULL;
  char methods[64], mask[SP_LOOKAHEAD_TEXT];
  list_methods(settings->methods, methods, sizeof methods);
  sp_lookahead_print(&context->lookahead, mask, sizeof mask);
  json_t *eos =
      settings->eos.len ? json_stringn(settings->eos.data, settings->eos.len) : json_null();
  json_t *identity = json_pack(
      "{s:i, s:s, s:o, s:s, s:s, s:s?, s:s?, s:s?, s:s, s:o, s:s, s:s, s:b, s:b, s:b, s:I, s:I, "
      "s:I, s:s}",
      "score_version", score_version, "model_hash", context->model_hash, "inputs",
      list_inputs(scan, false), "format", sp_archive_format_name(scan->format), "method", methods,
      "dtype", compute_of(settings, device), "backend",
      device ? device->backend->name : context->asked_backend, "device_type",
      device ? device->type : NULL, "mask", mask, "eos", eos, "case", sp_letter_case_name(scan->letter_case),
      "on_long", sp_on_long_name(settings->on_long), "cls_negated", context->negate_cls,
      "per_token", options->per_token, "with_text", options->with_text, "limit",
      (json_int_t)options->limit, "shard_utts", (json_int_t)shard_utts, "shards",
      (json_int_t)shards, "output", "jsonl.zst");
  /* what few runs have is there only when it was given */
  if (context->mask_forced) {
    json_object_set_new(identity, "force_mask", json_true());
  }
  if (options->tsv) {
    json_object_set_new(identity, "tsv", json_string(options->tsv));
  }
  if (options->beam_size > 0) {
    json_object_set_new(identity, "beam_size", json_integer((json_int_t)options->beam_size));
  }
  if (options->latency) {
    struct sp_latency_costs costs = sp_latency_costs_of(settings, context);
    json_object_set_new(identity, "latency",
                        json_pack("{s:f, s:f, s:f, s:f}", "capacity", costs.capacity, "node_cost",
                                  costs.node, "key_cost", costs.key, "scheduler_cost",
                                  costs.scheduler));
  }
  return identity;
}

json_t *sp_manifest_make(const struct sp_settings *settings, const struct sp_context *context,
                         const struct sp_scan *scan, size_t shard_utts, size_t shards,
                         const char *signature) {
  json_t *info = json_pack("{s:s, s:s?, s:o, s:o, s:I, s:I, s:I, s:o, s:i}", "version", SP_VERSION,
                           "signature", signature, "model", path_json(settings->options->model),
                           "archives", list_inputs(scan, true), "utts",
                           (json_int_t)scan->counts.utts, "hyps", (json_int_t)scan->counts.hyps,
                           "tokens", (json_int_t)scan->counts.tokens, "counts",
                           sp_scan_counts_json(&scan->counts), "zstd_level", SP_ZSTD_LEVEL);
  json_t *identity = make_identity(settings, context, scan, shard_utts, shards);
  return json_pack("{s:o, s:o}", "identity", identity, "info", info);
}
