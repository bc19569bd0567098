/* replay.c - feeds every file of a corpus folder to a fuzz target; fails when the folder is empty. */
#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "buf.h"
#include "file.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static bool replay(const char *folder, const char *name) {
  struct sp_buf path = {0}, bytes = {0};
  struct sp_error err = {0};
  bool ok = sp_buf_printf(&path, &err, "%s/%s", folder, name) == SP_OK && sp_buf_cstr(&path) &&
            sp_file_read(path.data, &bytes, &err) == SP_OK;
  if (ok) {
    LLVMFuzzerTestOneInput((const unsigned char *)bytes.data, bytes.len);
  } else {
    fprintf(stderr, "%s\n", err.message);
  }
  sp_buf_release(&path);
  sp_buf_release(&bytes);
  return ok;
}

int main(int argc, char **argv) {
  DIR *folder = argc == 2 ? opendir(argv[1]) : NULL;
  int count = 0;
  bool ok = folder != NULL;
  for (struct dirent *entry; ok && (entry = readdir(folder));) {
    if (entry->d_name[0] != '.') {
      ok = replay(argv[1], entry->d_name);
      count++;
    }
  }
  if (folder) {
    closedir(folder);
  }
  printf("%d files\n", count);
  return ok && count > 0 ? 0 : 1;
}
