#include "random_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "checked.h"
#include "file.h"
#include "random_tensors.h"

enum { block_elements = 1 << 14 };

struct sp_random_model sp_random_model_default(void) {
  return (struct sp_random_model){.layers = 2,
                                  .hidden = 32,
                                  .heads = 2,
                                  .ffn = 64,
                                  .vocab = 100,
                                  .positions = 64,
                                  .type_vocab = 2,
                                  .seed = 1,
                                  .scheduler_percent = 50,
                                  .shards = 1,
                                  .act = "gelu",
                                  .eps = "1e-12"};
}

uint64_t sp_fnv1a(uint64_t hash, const void *data, size_t len) {
  const unsigned char *bytes = data;
  for (size_t i = 0; i < len; i++) {
    hash = (hash ^ bytes[i]) * 0x100000001b3u;
  }
  return hash;
}

static enum sp_status write_config(const struct sp_random_model *model, struct sp_buf *text,
                                   struct sp_error *err) {
  SP_TRY(sp_buf_printf(
      text, err,
      "{\n  \"architectures\": [\"%s\"],\n  \"model_type\": \"bert\",\n  \"vocab_size\": %zu,\n"
      "  \"hidden_size\": %zu,\n  \"num_hidden_layers\": %zu,\n  \"num_attention_heads\": %zu,\n",
      model->arch == SP_RANDOM_MLM ? "BertForMaskedLM" : "BertForSequenceClassification",
      model->vocab, model->hidden, model->layers, model->heads));
  SP_TRY(sp_buf_printf(text, err,
                       "  \"intermediate_size\": %zu,\n  \"max_position_embeddings\": %zu,\n"
                       "  \"type_vocab_size\": %zu,\n  \"hidden_act\": \"%s\",\n"
                       "  \"layer_norm_eps\": %s,\n  \"tie_word_embeddings\": %s",
                       model->ffn, model->positions, model->type_vocab, model->act, model->eps,
                       model->decoder == SP_RANDOM_UNTIED ? "false" : "true"));
  if (model->config_extra) {
    SP_TRY(sp_buf_printf(text, err, ",\n  %s", model->config_extra));
  }
  return sp_buf_printf(text, err, "\n}\n");
}

static enum sp_status make_vocab(const struct sp_random_model *model, struct sp_buf *text,
                                 struct sp_error *err) {
  static const char *const special[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
  for (size_t i = 0; i < model->vocab; i++) {
    if (i < 5) {
      SP_TRY(sp_buf_printf(text, err, "%s\n", special[i]));
    } else if (i < 57) {
      SP_TRY(sp_buf_printf(text, err, "%s%c\n", i < 31 ? "" : "##", (char)('a' + (i - 5) % 26)));
    } else if (i == 57) {
      SP_TRY(sp_buf_printf(text, err, "'\n"));
    } else {
      SP_TRY(sp_buf_printf(text, err, "w%zu\n", i));
    }
  }
  return SP_OK;
}

static enum sp_status write_vocab(const struct sp_random_model *model, struct sp_buf *text,
                                  struct sp_error *err) {
  return model->vocab_file ? sp_file_read(model->vocab_file, text, err)
                           : make_vocab(model, text, err);
}

/* The header of the tensors [first, last), padded to a multiple of eight bytes. */
static enum sp_status write_header(const struct sp_random_model *model,
                                   const struct sp_random_tensor *items, size_t count,
                                   struct sp_buf *text, struct sp_error *err) {
  size_t begin = 0;
  SP_TRY(sp_buf_printf(text, err, "{\"__metadata__\":{\"format\":\"pt\"}"));
  for (size_t i = 0; i < count; i++) {
    const struct sp_random_tensor *tensor = &items[i];
    size_t end = begin + sp_random_tensor_count(tensor) * sp_random_tensor_size(model, tensor);
    SP_TRY(sp_buf_printf(text, err, ",\"%s\":{\"dtype\":\"%s\",\"shape\":[%zu", tensor->name,
                         sp_random_tensor_dtype(model, tensor), tensor->shape[0]));
    if (tensor->rank == 2) {
      SP_TRY(sp_buf_printf(text, err, ",%zu", tensor->shape[1]));
    }
    SP_TRY(sp_buf_printf(text, err, "],\"data_offsets\":[%zu,%zu]}", begin, end));
    begin = end;
  }
  SP_TRY(sp_buf_printf(text, err, "}"));
  int pad = (int)(sp_round_up(text->len, 8) - text->len);
  return pad ? sp_buf_printf(text, err, "%*s", pad, "") : SP_OK;
}

static bool put_tensor(FILE *file, const struct sp_random_model *model,
                       const struct sp_random_tensor *tensor, unsigned char *block) {
  size_t total = sp_random_tensor_count(tensor), size = sp_random_tensor_size(model, tensor);
  for (size_t first = 0; first < total; first += block_elements) {
    size_t count = sp_min_size(block_elements, total - first);
    sp_random_tensor_fill(model, tensor, first, count, block);
    if (fwrite(block, size, count, file) != count) {
      return false;
    }
  }
  return true;
}

static bool put_all(FILE *file, const struct sp_random_model *model,
                    const struct sp_random_tensor *items, size_t count, const struct sp_buf *header,
                    unsigned char *block) {
  unsigned char length[8];
  for (int i = 0; i < 8; i++) {
    length[i] = (unsigned char)((uint64_t)header->len >> (8 * i));
  }
  bool good =
      fwrite(length, 1, 8, file) == 8 && fwrite(header->data, 1, header->len, file) == header->len;
  for (size_t i = 0; i < count && good; i++) {
    good = put_tensor(file, model, &items[i], block);
  }
  return good;
}

static enum sp_status write_tensors(const struct sp_random_model *model, const char *path,
                                    const struct sp_random_tensor *items, size_t count,
                                    struct sp_error *err) {
  struct sp_buf header = {0};
  unsigned char *block = malloc(8 * block_elements);
  FILE *file = NULL;
  enum sp_status status;
  SP_TRY_GOTO(write_header(model, items, count, &header, err), release);
  file = fopen(path, "wb");
  bool good = block && file && put_all(file, model, items, count, &header, block);
  if ((file && fclose(file) != 0) || !good) {
    status = sp_fail_errno(err, SP_EIO, "cannot write %s", path);
  }
release:
  free(block);
  sp_buf_release(&header);
  return status;
}

/* One shard with its members of the index. Tensors are dealt out in runs of equal number. */
static enum sp_status write_shard(const struct sp_random_model *model, const char *directory,
                                  const struct sp_random_tensors *list, size_t shard,
                                  struct sp_buf *index, struct sp_error *err) {
  size_t first = list->count * shard / model->shards;
  size_t last = list->count * (shard + 1) / model->shards;
  char path[4096], name[64] = "model.safetensors";
  if (model->shards > 1) {
    snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", shard + 1, model->shards);
  }
  for (size_t i = first; i < last; i++) {
    SP_TRY(sp_buf_printf(index, err, "%s\n    \"%s\": \"%s\"", i ? "," : "", list->items[i].name,
                         name));
  }
  snprintf(path, sizeof path, "%s/%s", directory, name);
  return write_tensors(model, path, list->items + first, last - first, err);
}

static enum sp_status write_text(const struct sp_random_model *model, const char *directory,
                                 const char *name,
                                 enum sp_status (*make)(const struct sp_random_model *,
                                                        struct sp_buf *, struct sp_error *),
                                 struct sp_error *err) {
  struct sp_buf text = {0};
  char path[4096];
  enum sp_status status;
  snprintf(path, sizeof path, "%s/%s", directory, name);
  SP_TRY_GOTO(make(model, &text, err), release_text);
  status = sp_file_replace(path, text.data, text.len, err);
release_text:
  sp_buf_release(&text);
  return status;
}

static enum sp_status write_weights(const struct sp_random_model *model, const char *directory,
                                    const struct sp_random_tensors *list, struct sp_error *err) {
  struct sp_buf index = {0};
  char path[4096];
  enum sp_status status;
  SP_TRY(sp_buf_printf(&index, err, "{\n  \"metadata\": {},\n  \"weight_map\": {"));
  for (size_t i = 0; i < model->shards; i++) {
    SP_TRY_GOTO(write_shard(model, directory, list, i, &index, err), release_index);
  }
  SP_TRY_GOTO(sp_buf_printf(&index, err, "\n  }\n}\n"), release_index);
  if (model->shards > 1) {
    snprintf(path, sizeof path, "%s/model.safetensors.index.json", directory);
    status = sp_file_replace(path, index.data, index.len, err);
  }
release_index:
  sp_buf_release(&index);
  return status;
}

enum sp_status sp_random_model_write(const struct sp_random_model *model, const char *directory,
                                     struct sp_error *err) {
  struct sp_random_tensors list;
  SP_TRY(sp_file_make_directory(directory, err));
  SP_TRY(write_text(model, directory, "config.json", write_config, err));
  SP_TRY(write_text(model, directory, "vocab.txt", write_vocab, err));
  sp_random_tensors_list(model, &list);
  enum sp_status status = list.failed ? sp_fail_memory(err, list.capacity * 2 * sizeof *list.items)
                                      : write_weights(model, directory, &list, err);
  free(list.items);
  return status;
}
