#include "model_hash.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

enum { block_bytes = 1 << 20 };

struct hasher {
  XXH3_state_t *state;
  char *block; /* (block_bytes) */
};

static enum sp_status hash_descriptor(struct hasher *hasher, int fd, const char *path,
                                      uint64_t *size, struct sp_error *err) {
  for (;;) {
    ssize_t got = read(fd, hasher->block, block_bytes);
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0) {
      return sp_fail_errno(err, SP_EIO, "cannot read %s", path);
    }
    if (got == 0) {
      return SP_OK;
    }
    XXH3_128bits_update(hasher->state, hasher->block, (size_t)got);
    *size += (uint64_t)got;
  }
}

static enum sp_status hash_on_disk(struct hasher *hasher, const char *path, uint64_t *size,
                                   struct sp_error *err) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    return sp_fail_errno(err, SP_EIO, "cannot open %s", path);
  }
  enum sp_status status = hash_descriptor(hasher, fd, path, size, err);
  close(fd);
  return status;
}

static enum sp_status hash_in_memory(struct hasher *hasher, const struct sp_folder *folder,
                                     const char *name, uint64_t *size, struct sp_error *err) {
  struct sp_text bytes;
  SP_TRY(sp_folder_map(folder, name, SP_EMODEL, &bytes, err));
  XXH3_128bits_update(hasher->state, bytes.data, bytes.len);
  *size = bytes.len;
  return SP_OK;
}

static enum sp_status hash_bytes(struct hasher *hasher, const struct sp_folder *folder,
                                 const char *name, uint64_t *size, struct sp_error *err) {
  if (folder->in_memory) {
    return hash_in_memory(hasher, folder, name, size, err);
  }
  struct sp_buf path = {0};
  enum sp_status status = sp_folder_path(folder, name, &path, err);
  if (status == SP_OK) {
    status = hash_on_disk(hasher, path.data, size, err);
  }
  sp_buf_release(&path);
  return status;
}

static enum sp_status hash_file(struct hasher *hasher, const struct sp_folder *folder,
                                const char *name, struct sp_error *err) {
  uint64_t size = 0;
  unsigned char text[8];
  XXH3_128bits_update(hasher->state, name, strlen(name) + 1);
  SP_TRY(hash_bytes(hasher, folder, name, &size, err));
  for (int i = 0; i < 8; i++) {
    text[i] = (unsigned char)(size >> (8 * i));
  }
  XXH3_128bits_update(hasher->state, text, sizeof text);
  return SP_OK;
}

static enum sp_status hash_where_present(struct hasher *hasher, const struct sp_folder *folder,
                                         const char *const *names, size_t count,
                                         struct sp_error *err) {
  for (size_t i = 0; i < count; i++) {
    if (sp_folder_has(folder, names[i])) {
      SP_TRY(hash_file(hasher, folder, names[i], err));
    }
  }
  return SP_OK;
}

static enum sp_status hash_all(struct hasher *hasher, const struct sp_folder *folder,
                               const struct sp_safetensors *tensors, struct sp_error *err) {
  static const char *const before[] = {"config.json", "model.safetensors.index.json"};
  static const char *const after[] = {"vocab.txt", "tokenizer.json", "tokenizer_config.json",
                                      "added_tokens.json", "special_tokens_map.json"};
  SP_TRY(hash_where_present(hasher, folder, before, 2, err));
  for (size_t i = 0; i < sp_safetensors_file_count(tensors); i++) {
    const char *path = sp_safetensors_file_path(tensors, i);
    SP_TRY(hash_file(hasher, folder, strrchr(path, '/') + 1, err));
  }
  return hash_where_present(hasher, folder, after, 5, err);
}

enum sp_status sp_model_hash(const struct sp_folder *folder, const struct sp_safetensors *tensors,
                             char out[33], struct sp_error *err) {
  struct hasher hasher = {XXH3_createState(), malloc(block_bytes)};
  enum sp_status status = SP_OK;
  if (!hasher.state || !hasher.block) {
    status = sp_fail_memory(err, block_bytes);
    goto release;
  }
  XXH3_128bits_reset(hasher.state);
  SP_TRY_GOTO(hash_all(&hasher, folder, tensors, err), release);
  XXH128_hash_t hash = XXH3_128bits_digest(hasher.state);
  snprintf(out, 33, "%016llx%016llx", (unsigned long long)hash.high64,
           (unsigned long long)hash.low64);
release:
  XXH3_freeState(hasher.state);
  free(hasher.block);
  return status;
}

static bool is_model_file(const char *name) {
  static const char *const endings[] = {".json", ".txt", ".safetensors"};
  const char *dot = strrchr(name, '.');
  for (size_t i = 0; dot && i < sizeof endings / sizeof *endings; i++) {
    if (strcmp(dot, endings[i]) == 0) {
      return true;
    }
  }
  return false;
}

static uint64_t stamp_of(int folder, const char *name) {
  struct stat info;
  if (fstatat(folder, name, &info, 0) != 0) {
    return 0;
  }
  uint64_t facts[] = {(uint64_t)info.st_dev, (uint64_t)info.st_ino, (uint64_t)info.st_size,
                      (uint64_t)info.st_mtim.tv_sec, (uint64_t)info.st_mtim.tv_nsec};
  return XXH3_64bits_withSeed(facts, sizeof facts, XXH3_64bits(name, strlen(name)));
}

enum sp_status sp_model_stamp(const struct sp_folder *folder, uint64_t *out, struct sp_error *err) {
  *out = 0;
  if (folder->in_memory) {
    return SP_OK;
  }
  DIR *entries = opendir(folder->path);
  if (!entries) { /* the config's reader has the better message */
    return errno == ENOENT || errno == ENOTDIR
               ? SP_OK
               : sp_fail_errno(err, SP_EIO, "cannot read the directory %s", folder->path);
  }
  for (struct dirent *entry; (entry = readdir(entries));) {
    if (is_model_file(entry->d_name)) {
      *out += stamp_of(dirfd(entries), entry->d_name); /* in any order */
    }
  }
  closedir(entries);
  return SP_OK;
}

enum sp_status sp_model_check_stamp(const struct sp_folder *folder, uint64_t stamp,
                                    struct sp_error *err) {
  uint64_t now;
  SP_TRY(sp_model_stamp(folder, &now, err));
  return now == stamp ? SP_OK
                      : sp_fail(err, SP_EMODEL, "%s: the model changed while it was being read",
                                folder->path);
}
