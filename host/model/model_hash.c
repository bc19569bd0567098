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

#include "file.h"

enum { block_bytes = 1 << 20 };

struct hasher {
  XXH3_state_t *state;
  char *block; /* (block_bytes) */
};

static enum sp_status hash_descriptor(struct hasher *hasher, int fd, const char *path,
                                      struct sp_error *err) {
  uint64_t size = 0;
  for (;;) {
    ssize_t got = read(fd, hasher->block, block_bytes);
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0) {
      return sp_fail_errno(err, SP_EIO, "cannot read %s", path);
    }
    if (got == 0) {
      break;
    }
    XXH3_128bits_update(hasher->state, hasher->block, (size_t)got);
    size += (uint64_t)got;
  }
  unsigned char text[8];
  for (int i = 0; i < 8; i++) {
    text[i] = (unsigned char)(size >> (8 * i));
  }
  XXH3_128bits_update(hasher->state, text, sizeof text);
  return SP_OK;
}

static enum sp_status hash_file(struct hasher *hasher, const char *path, struct sp_error *err) {
  const char *slash = strrchr(path, '/');
  const char *name = slash ? slash + 1 : path;
  XXH3_128bits_update(hasher->state, name, strlen(name) + 1);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    return sp_fail_errno(err, SP_EIO, "cannot open %s", path);
  }
  enum sp_status status = hash_descriptor(hasher, fd, path, err);
  close(fd);
  return status;
}

static enum sp_status hash_where_present(struct hasher *hasher, const char *directory,
                                         const char *const *names, size_t count,
                                         struct sp_error *err) {
  struct sp_buf path = {0};
  enum sp_status status = SP_OK;
  for (size_t i = 0; i < count && status == SP_OK; i++) {
    sp_buf_clear(&path);
    SP_TRY_GOTO(sp_buf_printf(&path, err, "%s/%s", directory, names[i]), release_path);
    if (!sp_buf_cstr(&path)) {
      status = sp_fail_memory(err, path.len + 1);
    } else if (sp_file_exists(path.data)) {
      status = hash_file(hasher, path.data, err);
    }
  }
release_path:
  sp_buf_release(&path);
  return status;
}

static enum sp_status hash_all(struct hasher *hasher, const char *directory,
                               const struct sp_safetensors *tensors, struct sp_error *err) {
  static const char *const before[] = {"config.json", "model.safetensors.index.json"};
  static const char *const after[] = {"vocab.txt", "tokenizer.json", "tokenizer_config.json",
                                      "added_tokens.json", "special_tokens_map.json"};
  SP_TRY(hash_where_present(hasher, directory, before, 2, err));
  for (size_t i = 0; i < sp_safetensors_file_count(tensors); i++) {
    SP_TRY(hash_file(hasher, sp_safetensors_file_path(tensors, i), err));
  }
  return hash_where_present(hasher, directory, after, 5, err);
}

enum sp_status sp_model_hash(const char *directory, const struct sp_safetensors *tensors,
                             char out[33], struct sp_error *err) {
  struct hasher hasher = {XXH3_createState(), malloc(block_bytes)};
  enum sp_status status = SP_OK;
  if (!hasher.state || !hasher.block) {
    status = sp_fail_memory(err, block_bytes);
    goto release;
  }
  XXH3_128bits_reset(hasher.state);
  SP_TRY_GOTO(hash_all(&hasher, directory, tensors, err), release);
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

enum sp_status sp_model_stamp(const char *directory, uint64_t *out, struct sp_error *err) {
  DIR *folder = opendir(directory);
  *out = 0;
  if (!folder) { /* the config's reader has the better message */
    return errno == ENOENT || errno == ENOTDIR
               ? SP_OK
               : sp_fail_errno(err, SP_EIO, "cannot read the directory %s", directory);
  }
  for (struct dirent *entry; (entry = readdir(folder));) {
    if (is_model_file(entry->d_name)) {
      *out += stamp_of(dirfd(folder), entry->d_name); /* in any order */
    }
  }
  closedir(folder);
  return SP_OK;
}
