/* Any bytes as a .safetensors file: refused, or every tensor lies inside them. */
#include <stdlib.h>

#include "safetensors_file.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void check(bool holds) {
  if (!holds) {
    abort();
  }
}

static void read_ends(const struct sp_tensor *tensor) {
  size_t element = sp_dtype_bytes(tensor->dtype);
  float value = 0.0f;
  if (element == 0 || tensor->dtype == SP_I64 || tensor->bytes == 0) {
    return;
  }
  sp_tensor_to_f32(tensor, 0, 1, &value);
  sp_tensor_to_f32(tensor, tensor->bytes / element - 1, 1, &value);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
  char path[] = "input";
  struct sp_arena arena = {.ceiling = (size_t)256 << 20};
  struct sp_tensor_file file = {.path = path, .data = (const char *)data, .size = size};
  struct sp_error err = {0};
  size_t total = 0;
  if (sp_tensor_file_parse(&file, &arena, &err) == SP_OK) {
    for (size_t i = 0; i < file.n_tensors; i++) {
      const char *begin = file.tensors[i].data;
      check(begin >= file.data && begin + file.tensors[i].bytes <= file.data + size);
      total += file.tensors[i].bytes;
      read_ends(&file.tensors[i]);
    }
    check(total <= size);
  } else {
    check(err.status == SP_EMODEL || err.status == SP_EDEVICE);
  }
  sp_arena_release(&arena);
  return 0;
}
