#include "model_share.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "checked.h"
#include "config.h"
#include "file.h"
#include "model_hash.h"
#include "safetensors.h"

enum { max_files = 1 << 16, name_bytes = 256 };

/* What goes over before the bytes. */
struct sp_model_share_file {
  char name[name_bytes];
  uint64_t bytes, head; /* the file's; the first of them, which go over */
};

/* All that readers of models ask for beside the weights; the last row only tells them what they cannot
 * read. */
static const char *const small_files[] = {"config.json",
                                          "model.safetensors.index.json",
                                          "vocab.txt",
                                          "tokenizer.json",
                                          "tokenizer_config.json",
                                          "added_tokens.json",
                                          "special_tokens_map.json",
                                          "bpe.codes",
                                          "spiece.model",
                                          "sentencepiece.bpe.model",
                                          "tokenizer.model",
                                          "merges.txt",
                                          "vocab.json"};
enum { n_small = sizeof small_files / sizeof *small_files };

static enum sp_status make_room(struct sp_model_share *share, size_t n, struct sp_error *err) {
  share->files = calloc(n, sizeof *share->files);
  share->sent = calloc(n, sizeof *share->sent);
  if (!share->files || !share->sent) {
    return sp_fail_memory(err, sp_mul_sat(n, sizeof *share->files + sizeof *share->sent));
  }
  return SP_OK;
}

/* ---- rank 0: what is on disk ---- */

/* At most `head` bytes of it go over. */
static enum sp_status add(struct sp_model_share *share, const struct sp_folder *disk,
                          const char *name, size_t head, struct sp_error *err) {
  struct sp_model_share_file *sent = &share->sent[share->n];
  struct sp_folder_file *file = &share->files[share->n];
  size_t len = strlen(name);
  if (len >= sizeof sent->name) {
    return sp_fail(err, SP_EMODEL, "%s/%s: the name is too long", disk->path, name);
  }
  SP_TRY(sp_folder_map(disk, name, SP_EMODEL, &file->bytes, err));
  memcpy(sent->name, name, len + 1);
  sent->bytes = file->bytes.len;
  sent->head = sp_min_size(head, file->bytes.len);
  file->name = sent->name;
  share->n++;
  return SP_OK;
}

static enum sp_status add_files(struct sp_model_share *share, const struct sp_folder *disk,
                                const struct sp_safetensors *tensors, struct sp_error *err) {
  size_t weights = sp_safetensors_file_count(tensors);
  SP_TRY(make_room(share, n_small + weights, err));
  for (size_t i = 0; i < n_small; i++) {
    if (sp_folder_has(disk, small_files[i])) {
      SP_TRY(add(share, disk, small_files[i], SIZE_MAX, err));
    }
  }
  for (size_t i = 0; i < weights; i++) {
    size_t head = share->values ? SIZE_MAX : sp_safetensors_file_head(tensors, i);
    SP_TRY(add(share, disk, strrchr(sp_safetensors_file_path(tensors, i), '/') + 1, head, err));
  }
  return SP_OK;
}

static enum sp_status map_all(struct sp_model_share *share, const struct sp_folder *disk,
                              struct sp_error *err) {
  struct sp_model_config config; /* its reader knows what is no model directory */
  struct sp_safetensors *tensors;
  share->mapped = true;
  SP_TRY(sp_model_config_read(disk, &config, err));
  SP_TRY(sp_safetensors_open_in(disk, &tensors, err));
  enum sp_status status = add_files(share, disk, tensors, err);
  sp_safetensors_close(tensors);
  return status;
}

/* ---- both sides ---- */

static enum sp_status send_table(const struct sp_ranks *ranks, struct sp_model_share *share,
                                 struct sp_error *err) {
  uint64_t n = share->n;
  SP_TRY(ranks->broadcast(ranks->context, &n, sizeof n, err));
  if (ranks->rank > 0) {
    if (n > max_files) {
      return sp_fail(err, SP_EDEVICE, "rank 0 announces %llu files of a model",
                     (unsigned long long)n);
    }
    SP_TRY(make_room(share, (size_t)n + 1, err));
    share->n = (size_t)n;
  }
  return ranks->broadcast(ranks->context, share->sent, share->n * sizeof *share->sent, err);
}

static bool is_whole(const struct sp_model_share_file *sent) {
  return sent->head >= sent->bytes;
}

/* Room for a file's head at the begin of addresses for all of it; NULL: there is none. */
static char *map_head(size_t bytes, size_t head) {
  void *data = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED) {
    return NULL;
  }
  if (mprotect(data, head, PROT_READ | PROT_WRITE) != 0) {
    munmap(data, bytes);
    return NULL;
  }
  return data;
}

static enum sp_status receive(const struct sp_ranks *ranks, struct sp_folder_file *file,
                              struct sp_model_share_file *sent, struct sp_error *err) {
  size_t bytes = (size_t)sent->bytes;
  char *data = is_whole(sent) ? malloc(bytes + 1) : map_head(bytes, (size_t)sent->head);
  if (!data) {
    return sp_fail_memory(err, bytes);
  }
  sent->name[name_bytes - 1] = '\0';
  *file = (struct sp_folder_file){sent->name, {data, bytes}};
  return ranks->broadcast(ranks->context, data, (size_t)sent->head, err);
}

static enum sp_status send_bytes(const struct sp_ranks *ranks, struct sp_model_share *share,
                                 struct sp_error *err) {
  for (size_t i = 0; i < share->n; i++) {
    struct sp_folder_file *file = &share->files[i];
    if (ranks->rank > 0) {
      SP_TRY(receive(ranks, file, &share->sent[i], err));
    } else {
      void *data = (void *)(uintptr_t)file->bytes.data; /* rank 0's are only read */
      SP_TRY(ranks->broadcast(ranks->context, data, (size_t)share->sent[i].head, err));
    }
  }
  return SP_OK;
}

static enum sp_status share_files(const struct sp_ranks *ranks, const struct sp_folder *disk,
                                  struct sp_model_share *share, struct sp_error *err) {
  if (ranks->rank == 0) {
    SP_TRY(sp_model_stamp(disk, &share->stamp, err));
    SP_TRY(map_all(share, disk, err));
  }
  SP_TRY(send_table(ranks, share, err));
  SP_TRY(send_bytes(ranks, share, err));
  return sp_model_share_check(share, err);
}

enum sp_status sp_model_share_open(const struct sp_ranks *ranks, const char *directory, bool values,
                                   struct sp_model_share *out, struct sp_error *err) {
  struct sp_folder disk = sp_folder_at(directory);
  *out = (struct sp_model_share){.folder = disk, .values = values};
  if (!ranks || ranks->count < 2) {
    return SP_OK;
  }
  enum sp_status status = share_files(ranks, &disk, out, err);
  out->folder.in_memory = true;
  out->folder.files = out->files;
  out->folder.n_files = out->n;
  if (status != SP_OK) {
    sp_model_share_close(out);
  }
  return status;
}

enum sp_status sp_model_share_check(const struct sp_model_share *share, struct sp_error *err) {
  struct sp_folder disk = sp_folder_at(share->folder.path);
  return share->mapped ? sp_model_check_stamp(&disk, share->stamp, err) : SP_OK;
}

void sp_model_share_close(struct sp_model_share *share) {
  for (size_t i = 0; i < share->n; i++) {
    if (share->mapped || !is_whole(&share->sent[i])) {
      sp_file_unmap(share->files[i].bytes);
    } else {
      free((void *)(uintptr_t)share->files[i].bytes.data);
    }
  }
  free(share->files);
  free(share->sent);
  *share = (struct sp_model_share){0};
}
