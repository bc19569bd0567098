#include "masks_files.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "checked.h"
#include "file.h"
#include "output.h"

enum sp_status sp_masks_files_init(struct sp_masks_files *files, const struct sp_masks_args *args,
                                   struct sp_error *err) {
  bool both = args->svg == args->png;
  struct sp_buf probe = {0};
  *files = (struct sp_masks_files){
      .directory = args->out, .svg = both || args->svg, .png = both || args->png};
  files->paths = json_array();
  if (!args->out) {
    return SP_OK;
  }
  SP_TRY(sp_file_make_directory(args->out, err));
  enum sp_status status = sp_buf_printf(&probe, err, "%s/x", args->out);
  if (status == SP_OK) {
    status = sp_file_check_parent(probe.data, err);
  }
  sp_buf_release(&probe);
  return status;
}

void sp_masks_files_release(struct sp_masks_files *files) {
  json_decref(files->paths);
  *files = (struct sp_masks_files){0};
}

/* Whether a file of that name was written. */
static bool is_taken(const struct sp_masks_files *files, const char *name) {
  size_t i, len = strlen(name), from = strlen(files->directory) + 1;
  json_t *path;
  json_array_foreach(files->paths, i, path) {
    const char *file = json_string_value(path);
    if (strlen(file) > from + len && strncmp(file + from, name, len) == 0 &&
        file[from + len] == '.') {
      return true;
    }
  }
  return false;
}

void sp_masks_files_name(const struct sp_masks_files *files, struct sp_text id, size_t hyp,
                         char *out) {
  enum { longest = 100 };
  size_t len = sp_min_size(id.len, longest);
  for (size_t i = 0; i < len; i++) {
    char c = id.data[i];
    bool plain = isascii((unsigned char)c) && (isalnum((unsigned char)c) || strchr("-_+=@", c));
    out[i] = plain ? c : '_';
  }
  if (hyp > 0) {
    len += (size_t)snprintf(out + len, 24, "-hyp%zu", hyp);
  }
  out[len] = '\0';
  for (size_t n = 2; files->directory && is_taken(files, out); n++) {
    snprintf(out + len, 24, "-%zu", n);
  }
}

static enum sp_status write_one(struct sp_masks_files *files, const struct sp_buf *picture,
                                const char *name, const char *what, const char *ending,
                                struct sp_error *err) {
  struct sp_buf path = {0};
  enum sp_status status = sp_buf_printf(&path, err, "%s/%s%s%s.%s", files->directory, name,
                                        *name ? "." : "", what, ending);
  if (status == SP_OK) {
    status = sp_file_replace(path.data, picture->data, picture->len, err);
  }
  if (status == SP_OK) {
    json_array_append_new(files->paths, sp_json_text(path.data));
  }
  sp_buf_release(&path);
  return status;
}

enum sp_status sp_masks_files_write(struct sp_masks_files *files, const struct sp_canvas *canvas,
                                    const char *name, const char *what, struct sp_text title,
                                    struct sp_error *err) {
  struct sp_buf picture = {0};
  enum sp_status status = canvas->status;
  if (status == SP_OK && files->svg) {
    status = sp_canvas_svg(canvas, title, &picture, err);
    status = status == SP_OK ? write_one(files, &picture, name, what, "svg", err) : status;
  }
  sp_buf_clear(&picture);
  if (status == SP_OK && files->png) {
    status = sp_canvas_png(canvas, &picture, err);
    status = status == SP_OK ? write_one(files, &picture, name, what, "png", err) : status;
  }
  sp_buf_release(&picture);
  return status;
}
