#include "safetensors_writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checked.h"
#include "score_line.h"
#include "sink.h"

#define START "{\"__metadata__\":{\"format\":\"pt\",\"writer\":\"secondpass\"}"

enum { length_bytes = 8 };

struct sp_safetensors_writer {
  struct sp_sink *sink;
  size_t left; /* bytes of tensors to come */
};

static enum sp_status add_entry(struct sp_buf *header, const struct sp_tensor_spec *spec,
                                size_t *end, struct sp_error *err) {
  static const char *const dtypes[] = {
      [SP_F32] = "F32", [SP_F16] = "F16", [SP_BF16] = "BF16", [SP_F64] = "F64", [SP_I64] = "I64"};
  size_t begin = *end, bytes = sp_dtype_bytes(spec->dtype);
  SP_TRY(sp_buf_append(header, ",", 1, err));
  SP_TRY(sp_json_string_write(header, (struct sp_text){spec->name, strlen(spec->name)}, err));
  SP_TRY(sp_buf_printf(header, err, ":{\"dtype\":\"%s\",\"shape\":[", dtypes[spec->dtype]));
  for (size_t i = 0; i < spec->rank; i++) {
    bytes = sp_mul_sat(bytes, spec->shape[i]);
    SP_TRY(sp_buf_printf(header, err, "%s%zu", i ? "," : "", spec->shape[i]));
  }
  if (!sp_add_size(begin, bytes, end) || *end > SIZE_MAX / 2) {
    return sp_fail(err, SP_EMODEL, "tensor %s does not fit into a file", spec->name);
  }
  return sp_buf_printf(header, err, "],\"data_offsets\":[%zu,%zu]}", begin, *end);
}

static enum sp_status make_header(const struct sp_tensor_spec *specs, size_t count,
                                  struct sp_buf *header, size_t *end, struct sp_error *err) {
  SP_TRY(sp_buf_append(header, START, strlen(START), err));
  for (size_t i = 0; i < count; i++) {
    SP_TRY(add_entry(header, &specs[i], end, err));
  }
  SP_TRY(sp_buf_append(header, "}", 1, err));
  int pad = (int)(sp_round_up(header->len, length_bytes) - header->len);
  return pad ? sp_buf_printf(header, err, "%*s", pad, "") : SP_OK;
}

static enum sp_status put_header(struct sp_sink *sink, const struct sp_buf *header,
                                 struct sp_error *err) {
  unsigned char length[length_bytes];
  for (int i = 0; i < length_bytes; i++) {
    length[i] = (unsigned char)((uint64_t)header->len >> (8 * i));
  }
  SP_TRY(sp_sink_write(sink, length, sizeof length, err));
  return sp_sink_write(sink, header->data, header->len, err);
}

enum sp_status sp_safetensors_create(const char *path, const struct sp_tensor_spec *specs,
                                     size_t count, struct sp_safetensors_writer **out,
                                     struct sp_error *err) {
  struct sp_buf header = {0};
  struct sp_safetensors_writer *writer = calloc(1, sizeof *writer);
  enum sp_status status;
  if (!writer) {
    return sp_fail_memory(err, sizeof *writer);
  }
  SP_TRY_GOTO(make_header(specs, count, &header, &writer->left, err), release_header);
  SP_TRY_GOTO(sp_sink_open(path, &writer->sink, err), release_header);
  status = put_header(writer->sink, &header, err);
release_header:
  sp_buf_release(&header);
  if (status != SP_OK) {
    sp_safetensors_abandon(writer);
    return status;
  }
  *out = writer;
  return SP_OK;
}

enum sp_status sp_safetensors_put(struct sp_safetensors_writer *writer, const void *data,
                                  size_t len, struct sp_error *err) {
  if (len > writer->left) {
    return sp_fail(err, SP_EMODEL, "%zu bytes beyond the tensors", len - writer->left);
  }
  writer->left -= len;
  return sp_sink_write(writer->sink, data, len, err);
}

enum sp_status sp_safetensors_finish(struct sp_safetensors_writer *writer, struct sp_error *err) {
  if (writer->left > 0) {
    size_t left = writer->left;
    sp_safetensors_abandon(writer);
    return sp_fail(err, SP_EMODEL, "%zu bytes of tensors are missing", left);
  }
  struct sp_sink *sink = writer->sink;
  free(writer);
  return sp_sink_close(sink, err);
}

void sp_safetensors_abandon(struct sp_safetensors_writer *writer) {
  if (writer) {
    sp_sink_discard(writer->sink);
    free(writer);
  }
}

bool sp_safetensors_is_ours(const char *path) {
  char head[length_bytes + sizeof START - 1];
  FILE *file = fopen(path, "rbe");
  bool ours = file && fread(head, 1, sizeof head, file) == sizeof head &&
              memcmp(head + length_bytes, START, sizeof START - 1) == 0;
  if (file) {
    fclose(file);
  }
  return ours;
}
