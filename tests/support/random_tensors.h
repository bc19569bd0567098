/* random_tensors.h - which tensors a random model has, and their values; private to the writer. */
#ifndef SP_TESTS_RANDOM_TENSORS_H
#define SP_TESTS_RANDOM_TENSORS_H

#include "random_model.h"

enum { SP_RANDOM_NAME_BYTES = 128 };

struct sp_random_tensor {
  char name[SP_RANDOM_NAME_BYTES];  /* in the file */
  char canon[SP_RANDOM_NAME_BYTES]; /* decides the values */
  size_t rank, shape[2];
  int64_t factor, offset;
  bool positions; /* I64: 0, 1, 2, .. */
};

struct sp_random_tensors {
  struct sp_random_tensor *items;
  size_t count, capacity;
  bool failed; /* out of memory */
};

/* In the order of the file. Release with free(list->items). */
void sp_random_tensors_list(const struct sp_random_model *model, struct sp_random_tensors *list);

size_t sp_random_tensor_count(const struct sp_random_tensor *tensor);
/* Bytes of one element. */
size_t sp_random_tensor_size(const struct sp_random_model *model,
                             const struct sp_random_tensor *tensor);
const char *sp_random_tensor_dtype(const struct sp_random_model *model,
                                   const struct sp_random_tensor *tensor);
/* `count` elements from `first` on, as the file has them. */
void sp_random_tensor_fill(const struct sp_random_model *model,
                           const struct sp_random_tensor *tensor, size_t first, size_t count,
                           unsigned char *out);

#endif
