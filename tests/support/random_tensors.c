#include "random_tensors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bf16.h"

/* Squares of the factors, times the inputs. */
enum { dense_scale = 24085, word_scale = 96340, type_scale = 6021, small_factor = 6 };
static const int64_t one = (int64_t)1 << 22;

static int64_t factor_for(size_t scale, size_t inputs) {
  int64_t root = 1;
  while (root < 128 && (size_t)((root + 1) * (root + 1)) <= scale / inputs) {
    root++;
  }
  return root;
}

static struct sp_random_tensor *add(struct sp_random_tensors *list, size_t rows, size_t cols) {
  if (list->count == list->capacity) {
    size_t capacity = list->capacity ? 2 * list->capacity : 64;
    void *grown = realloc(list->items, capacity * sizeof *list->items);
    list->failed = list->failed || !grown;
    if (!grown) {
      return NULL;
    }
    list->items = grown;
    list->capacity = capacity;
  }
  struct sp_random_tensor *tensor = &list->items[list->count++];
  *tensor = (struct sp_random_tensor){.rank = cols ? 2 : 1, .shape = {rows, cols}};
  return tensor;
}

/* The name in the file may lack "bert." and have the older names of a LayerNorm. */
static void set_names(const struct sp_random_model *model, struct sp_random_tensor *tensor,
                      const char *base, const char *tail) {
  const char *shown = model->no_prefix && strncmp(base, "bert.", 5) == 0 ? base + 5 : base;
  size_t len = strlen(base);
  bool norm = len >= 9 && strcmp(base + len - 9, "LayerNorm") == 0;
  const char *shown_tail = tail;
  if (model->gamma_beta && norm) {
    shown_tail = strcmp(tail, "weight") == 0 ? "gamma" : "beta";
  }
  snprintf(tensor->canon, sizeof tensor->canon, "%s.%s", base, tail);
  snprintf(tensor->name, sizeof tensor->name, "%s.%s", shown, shown_tail);
}

static void add_weight(const struct sp_random_model *model, struct sp_random_tensors *list,
                       const char *base, size_t rows, size_t cols, size_t scale) {
  struct sp_random_tensor *tensor = add(list, rows, cols);
  if (tensor) {
    set_names(model, tensor, base, "weight");
    tensor->factor = factor_for(scale, cols);
  }
}

static void add_vector(const struct sp_random_model *model, struct sp_random_tensors *list,
                       const char *base, const char *tail, size_t rows, int64_t offset) {
  struct sp_random_tensor *tensor = add(list, rows, 0);
  if (tensor) {
    set_names(model, tensor, base, tail);
    tensor->factor = small_factor;
    tensor->offset = offset;
  }
}

static void add_linear(const struct sp_random_model *model, struct sp_random_tensors *list,
                       const char *base, size_t rows, size_t cols) {
  add_weight(model, list, base, rows, cols, dense_scale);
  add_vector(model, list, base, "bias", rows, 0);
}

static void add_norm(const struct sp_random_model *model, struct sp_random_tensors *list,
                     const char *base) {
  add_vector(model, list, base, "weight", model->hidden, one);
  add_vector(model, list, base, "bias", model->hidden, 0);
}

static void add_embeddings(const struct sp_random_model *model, struct sp_random_tensors *list) {
  size_t hidden = model->hidden;
  add_weight(model, list, "bert.embeddings.word_embeddings", model->vocab, hidden, word_scale);
  add_weight(model, list, "bert.embeddings.position_embeddings", model->positions, hidden,
             dense_scale);
  add_weight(model, list, "bert.embeddings.token_type_embeddings", model->type_vocab, hidden,
             type_scale);
  add_norm(model, list, "bert.embeddings.LayerNorm");
}

static const char *layer_name(char out[SP_RANDOM_NAME_BYTES], size_t layer, const char *name) {
  snprintf(out, SP_RANDOM_NAME_BYTES, "bert.encoder.layer.%zu.%s", layer, name);
  return out;
}

/* What `scheduler` says of a layer: "2" of all, "2,0,3" of each. */
static size_t scheduler_outputs(const char *text, size_t layer) {
  while (layer-- > 0 && strchr(text, ',')) {
    text = strchr(text, ',') + 1;
  }
  return strtoull(text, NULL, 10);
}

/* A logit's deviation is about 1.4, and a normal's quantile about log(p / (1 - p)) / 1.702. */
static int64_t scheduler_offset(size_t percent) {
  if (percent == 0 || percent >= 100) {
    return percent == 0 ? -one : one;
  }
  double odds = (double)percent / (double)(100 - percent);
  return (int64_t)floor(0.5 + 1024 * 0.8226 * log(odds)) * 4096;
}

static void add_scheduler(const struct sp_random_model *model, struct sp_random_tensors *list,
                          size_t i) {
  char name[SP_RANDOM_NAME_BYTES];
  size_t outputs = model->scheduler ? scheduler_outputs(model->scheduler, i) : 0;
  size_t inputs = model->scheduler_hidden ? model->scheduler_hidden : model->hidden;
  if (outputs == 0) {
    return;
  }
  if (model->scheduler_hidden) {
    add_linear(model, list, layer_name(name, i, "lookahead.hidden"), inputs, model->hidden);
  }
  add_linear(model, list, layer_name(name, i, "lookahead.dense"), outputs, inputs);
  if (list->failed) {
    return;
  }
  struct sp_random_tensor *weight = &list->items[list->count - 2], *bias = weight + 1;
  bias->offset = scheduler_offset(model->scheduler_percent);
  if (model->scheduler_percent == 0 || model->scheduler_percent >= 100) {
    weight->factor = bias->factor = 0;
  }
}

static void add_layer(const struct sp_random_model *model, struct sp_random_tensors *list,
                      size_t i) {
  static const char *const square[] = {"attention.self.query", "attention.self.key",
                                       "attention.self.value", "attention.output.dense"};
  char name[SP_RANDOM_NAME_BYTES];
  size_t hidden = model->hidden;
  for (size_t j = 0; j < 4; j++) {
    add_linear(model, list, layer_name(name, i, square[j]), hidden, hidden);
  }
  add_norm(model, list, layer_name(name, i, "attention.output.LayerNorm"));
  add_linear(model, list, layer_name(name, i, "intermediate.dense"), model->ffn, hidden);
  add_linear(model, list, layer_name(name, i, "output.dense"), hidden, model->ffn);
  add_norm(model, list, layer_name(name, i, "output.LayerNorm"));
}

static void add_mlm_head(const struct sp_random_model *model, struct sp_random_tensors *list) {
  add_linear(model, list, "cls.predictions.transform.dense", model->hidden, model->hidden);
  add_norm(model, list, "cls.predictions.transform.LayerNorm");
  add_vector(model, list, "cls.predictions", "bias", model->vocab, 0);
  if (model->decoder != SP_RANDOM_TIED) {
    add_weight(model, list, "cls.predictions.decoder", model->vocab, model->hidden, word_scale);
  }
  if (model->decoder == SP_RANDOM_UNTIED) {
    add_vector(model, list, "cls.predictions.decoder", "bias", model->vocab, 0);
  }
  if (model->decoder == SP_RANDOM_COPY && !list->failed) {
    struct sp_random_tensor *decoder = &list->items[list->count - 1];
    snprintf(decoder->canon, sizeof decoder->canon, "bert.embeddings.word_embeddings.weight");
  }
}

static void add_cls_head(const struct sp_random_model *model, struct sp_random_tensors *list) {
  char name[SP_RANDOM_NAME_BYTES];
  size_t hidden = model->hidden, before = model->classifier_hidden;
  if (model->pooler) {
    add_linear(model, list, "bert.pooler.dense", hidden, hidden);
  }
  for (size_t i = 0; i < before; i++) {
    snprintf(name, sizeof name, before == 1 ? "classifier.dense" : "classifier.%zu", 2 * i);
    add_linear(model, list, name, hidden, hidden);
  }
  snprintf(name, sizeof name, "classifier.%zu", 2 * before);
  add_linear(model, list,
             before == 0   ? "classifier"
             : before == 1 ? "classifier.out_proj"
                           : name,
             1, hidden);
}

static void add_extra(const struct sp_random_model *model, struct sp_random_tensors *list) {
  add_linear(model, list, "cls.seq_relationship", 2, model->hidden);
  if (model->arch == SP_RANDOM_MLM) {
    add_linear(model, list, "bert.pooler.dense", model->hidden, model->hidden);
  }
  struct sp_random_tensor *tensor = add(list, 1, model->positions);
  if (tensor) {
    set_names(model, tensor, "bert.embeddings", "position_ids");
    tensor->positions = true;
  }
}

void sp_random_tensors_list(const struct sp_random_model *model, struct sp_random_tensors *list) {
  *list = (struct sp_random_tensors){0};
  add_embeddings(model, list);
  for (size_t i = 0; i < model->layers; i++) {
    add_layer(model, list, i);
    add_scheduler(model, list, i);
  }
  if (model->arch != SP_RANDOM_CLS) {
    add_mlm_head(model, list);
  }
  if (model->arch != SP_RANDOM_MLM) {
    add_cls_head(model, list);
  }
  if (model->extra) {
    add_extra(model, list);
  }
}

size_t sp_random_tensor_count(const struct sp_random_tensor *tensor) {
  return tensor->shape[0] * (tensor->rank == 2 ? tensor->shape[1] : 1);
}

size_t sp_random_tensor_size(const struct sp_random_model *model,
                             const struct sp_random_tensor *tensor) {
  return tensor->positions ? 8 : model->dtype == SP_RANDOM_F32 ? 4 : 2;
}

const char *sp_random_tensor_dtype(const struct sp_random_model *model,
                                   const struct sp_random_tensor *tensor) {
  static const char *const names[] = {
      [SP_RANDOM_F32] = "F32", [SP_RANDOM_BF16] = "BF16", [SP_RANDOM_F16] = "F16"};
  return tensor->positions ? "I64" : names[model->dtype];
}

static uint64_t mix(uint64_t x) {
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
  x = (x ^ x >> 27) * 0x94d049bb133111ebu;
  return x ^ x >> 31;
}

static float value_at(const struct sp_random_tensor *tensor, uint64_t start, size_t i) {
  uint64_t h = mix(start + ((uint64_t)i + 1) * 0x9e3779b97f4a7c15u);
  int64_t n = (int64_t)((h & 0xffff) + (h >> 16 & 0xffff) + (h >> 32 & 0xffff) + (h >> 48));
  return (float)(tensor->offset + tensor->factor * (n - 131070)) * 0x1p-22f;
}

/* Round to nearest, ties to even, of a finite value below 65504; subnormals too. */
static uint16_t f16_from_f32(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  uint32_t sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
  uint32_t exponent = magnitude >> 23;
  if (exponent < 102) {
    return (uint16_t)sign;
  }
  uint32_t drop = exponent < 113 ? 126 - exponent : 13;
  uint32_t fraction =
      exponent < 113 ? (magnitude & 0x7fffffu) | 0x800000u : magnitude - ((uint32_t)112 << 23);
  uint32_t half = (uint32_t)1 << (drop - 1);
  uint32_t rounded = (fraction + half - 1 + (fraction >> drop & 1)) >> drop;
  return (uint16_t)(sign | rounded);
}

static void put_little(unsigned char *out, uint64_t bits, size_t bytes) {
  for (size_t i = 0; i < bytes; i++) {
    out[i] = (unsigned char)(bits >> (8 * i));
  }
}

void sp_random_tensor_fill(const struct sp_random_model *model,
                           const struct sp_random_tensor *tensor, size_t first, size_t count,
                           unsigned char *out) {
  uint64_t start = mix(model->seed) ^ sp_fnv1a(SP_FNV_START, tensor->canon, strlen(tensor->canon));
  size_t size = sp_random_tensor_size(model, tensor);
  for (size_t i = first; i < first + count; i++, out += size) {
    float value = value_at(tensor, start, i);
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if (tensor->positions) {
      put_little(out, i, 8);
    } else if (model->dtype == SP_RANDOM_F32) {
      put_little(out, bits, 4);
    } else {
      bool brain = model->dtype == SP_RANDOM_BF16;
      put_little(out, brain ? sp_bf16_from_f32(value) : f16_from_f32(value), 2);
    }
  }
}
