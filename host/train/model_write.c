#include "model_write.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bf16.h"
#include "checked.h"
#include "file.h"
#include "model_config.h"
#include "model_directory.h"
#include "run_files.h"
#include "safetensors_writer.h"
#include "tokenizer.h"

enum { block_numbers = 1 << 14 };

/* ---- files ---- */

static enum sp_status put_file(const char *directory, const char *name, struct sp_text bytes,
                               struct sp_error *err) {
  struct sp_buf path = {0};
  enum sp_status status = sp_run_path(&path, directory, name, err);
  if (status == SP_OK) {
    status = sp_file_replace(path.data, bytes.data, bytes.len, err);
  }
  sp_buf_release(&path);
  return status;
}

static enum sp_status copy_file(const char *from, const char *directory, const char *name,
                                struct sp_error *err) {
  struct sp_text bytes;
  SP_TRY(sp_file_map(from, SP_EMODEL, &bytes, err));
  enum sp_status status = put_file(directory, name, bytes, err);
  sp_file_unmap(bytes);
  return status;
}

static enum sp_status copy_where_present(const char *from, const char *directory, const char *name,
                                         struct sp_error *err) {
  struct sp_buf path = {0};
  enum sp_status status = sp_run_path(&path, from, name, err);
  if (status == SP_OK && sp_file_exists(path.data)) {
    status = copy_file(path.data, directory, name, err);
  }
  sp_buf_release(&path);
  return status;
}

static bool holds(const char *directory, const char *name) {
  struct sp_buf path = {0};
  bool there = sp_run_path(&path, directory, name, NULL) == SP_OK && sp_file_exists(path.data);
  sp_buf_release(&path);
  return there;
}

/* ---- tokenizer ---- */

/* What the vocabulary alone tells us, told to readers that would guess. */
static enum sp_status put_tokenizer_config(const char *directory,
                                           const struct sp_tokenizer_info *info,
                                           const struct sp_model_config *config,
                                           struct sp_error *err) {
  struct sp_buf text = {0};
  enum sp_status status;
  SP_TRY_GOTO(sp_buf_printf(&text, err,
                            "{\n  \"tokenizer_class\": \"BertTokenizer\",\n"
                            "  \"do_lower_case\": %s,\n  \"model_max_length\": %zu,\n"
                            "  \"unk_token\": \"[UNK]\",\n  \"sep_token\": \"[SEP]\",\n"
                            "  \"pad_token\": \"[PAD]\",\n  \"cls_token\": \"[CLS]\",\n"
                            "  \"mask_token\": \"[MASK]\"\n}\n",
                            info->lowercase ? "true" : "false", config->max_positions),
              release);
  status = put_file(directory, "tokenizer_config.json", (struct sp_text){text.data, text.len}, err);
release:
  sp_buf_release(&text);
  return status;
}

/* `from` is a directory, or a vocabulary file. */
static enum sp_status put_tokenizer(const char *directory, const char *from,
                                    const struct sp_model_config *config, struct sp_error *err) {
  struct sp_tokenizer *tokenizer = NULL;
  if (!sp_file_is_directory(from)) {
    SP_TRY(copy_file(from, directory, "vocab.txt", err));
  }
  for (size_t i = 0; i < SP_TOKENIZER_FILES && sp_file_is_directory(from); i++) {
    SP_TRY(copy_where_present(from, directory, sp_tokenizer_files[i], err));
  }
  SP_TRY(sp_tokenizer_open(directory, &tokenizer, err));
  const struct sp_tokenizer_info *info = sp_tokenizer_get_info(tokenizer);
  enum sp_status status =
      sp_model_check_vocabulary(config, from, info->source, info->vocab_size, err);
  if (status == SP_OK && !holds(directory, "tokenizer_config.json") &&
      !holds(directory, "tokenizer.json")) {
    status = put_tokenizer_config(directory, info, config, err);
  }
  sp_tokenizer_close(tokenizer);
  return status;
}

/* ---- weights ---- */

static enum sp_status put_numbers(struct sp_safetensors_writer *to, const float *values,
                                  size_t count, enum sp_dtype dtype, struct sp_error *err) {
  uint16_t block[block_numbers];
  if (dtype == SP_F32) {
    return sp_safetensors_put(to, values, count * sizeof *values, err);
  }
  for (size_t first = 0; first < count; first += block_numbers) {
    size_t now = sp_min_size(block_numbers, count - first);
    for (size_t i = 0; i < now; i++) {
      block[i] = sp_bf16_from_f32(values[first + i]);
    }
    SP_TRY(sp_safetensors_put(to, block, now * sizeof *block, err));
  }
  return SP_OK;
}

/* The decoder's bias has two names; transformers looks for both where the decoder is not tied. */
static struct sp_param bias_copy(const struct sp_params *params) {
  struct sp_param copy = {.name = "cls.predictions.bias", .rank = 1};
  copy.shape[0] = copy.count = params->decoder.n;
  copy.offset = params->decoder.bias;
  return copy;
}

static struct sp_tensor_spec spec_of(const struct sp_param *tensor, enum sp_dtype dtype) {
  return (struct sp_tensor_spec){.name = tensor->name,
                                 .dtype = dtype,
                                 .rank = tensor->rank,
                                 .shape = {tensor->shape[0], tensor->shape[1]}};
}

static enum sp_status put_tensors(const char *path, const struct sp_model_content *content,
                                  const struct sp_param *const *tensors, size_t count,
                                  struct sp_tensor_spec *specs, struct sp_error *err) {
  struct sp_safetensors_writer *to = NULL;
  enum sp_status status;
  for (size_t i = 0; i < count; i++) {
    specs[i] = spec_of(tensors[i], content->dtype);
  }
  SP_TRY(sp_safetensors_create(path, specs, count, &to, err));
  for (size_t i = 0; i < count; i++) {
    SP_TRY_GOTO(put_numbers(to, content->values + tensors[i]->offset, tensors[i]->count,
                            content->dtype, err),
                abandon);
  }
  return sp_safetensors_finish(to, err);
abandon:
  sp_safetensors_abandon(to);
  return status;
}

static enum sp_status put_weights(const char *directory, const struct sp_model_content *content,
                                  struct sp_error *err) {
  const struct sp_params *params = content->params;
  const struct sp_param bias = bias_copy(params);
  size_t count = params->n_tensors;
  struct sp_buf path = {0};
  const struct sp_param **tensors = malloc((count + 1) * sizeof *tensors);
  struct sp_tensor_spec *specs = malloc((count + 1) * sizeof *specs);
  enum sp_status status = tensors && specs ? sp_run_path(&path, directory, SP_MODEL_WEIGHTS, err)
                                           : sp_fail_memory(err, (count + 1) * sizeof *specs);
  if (status == SP_OK) {
    for (size_t i = 0; i < count; i++) {
      tensors[i] = &params->tensor[i];
    }
    tensors[count] = &bias;
    count += params->has_mlm && !params->config.tied;
    status = put_tensors(path.data, content, tensors, count, specs, err);
  }
  free(specs);
  free(tensors);
  sp_buf_release(&path);
  return status;
}

static enum sp_status put_all(const char *directory, const struct sp_model_content *content,
                              struct sp_error *err) {
  struct sp_buf config = {0};
  enum sp_status status;
  SP_TRY_GOTO(
      sp_model_config_print(content->params, content->dtype, content->config_from, &config, err),
      release);
  SP_TRY_GOTO(put_file(directory, "config.json", (struct sp_text){config.data, config.len}, err),
              release);
  SP_TRY_GOTO(put_tokenizer(directory, content->tokenizer_from, &content->params->config, err),
              release);
  if (content->readme) {
    struct sp_text text = {content->readme, strlen(content->readme)};
    SP_TRY_GOTO(put_file(directory, "README.md", text, err), release);
  }
  status = put_weights(directory, content, err);
release:
  sp_buf_release(&config);
  return status;
}

static enum sp_status replace(char *directory, const char *temporary,
                              const struct sp_model_content *content, struct sp_error *err) {
  SP_TRY(sp_model_directory_prepare(directory, temporary, err));
  enum sp_status status = put_all(temporary, content, err);
  if (status != SP_OK) {
    enum sp_status removed = sp_model_directory_remove(temporary, NULL);
    (void)removed; /* the first failure is what counts */
    return status;
  }
  return sp_model_directory_swap(temporary, directory, err);
}

enum sp_status sp_model_write(const char *directory, const struct sp_model_content *content,
                              struct sp_error *err) {
  size_t len = strlen(directory);
  char *name = NULL, *temporary = NULL;
  enum sp_status status;
  if (!content->params->has_mlm && !content->params->has_cls) {
    return sp_fail(err, SP_EUSAGE, "%s: a model without a head is not written", directory);
  }
  while (len > 1 && directory[len - 1] == '/') {
    len--;
  }
  name = strndup(directory, len);
  if (!name || asprintf(&temporary, "%s.tmp.%ld", name, (long)getpid()) < 0) {
    temporary = NULL;
    status = sp_fail_memory(err, len);
  } else {
    status = replace(name, temporary, content, err);
  }
  free(temporary);
  free(name);
  return status;
}
