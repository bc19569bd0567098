/* masks_files.h - the picture files of `secondpass masks`. */
#ifndef SP_CLI_MASKS_FILES_H
#define SP_CLI_MASKS_FILES_H

#include <jansson.h>

#include "masks_args.h"
#include "picture.h"

struct sp_masks_files {
  const char *directory; /* NULL: nothing is written */
  bool svg, png;
  json_t *paths; /* array of those written, in order */
};

/* Makes the directory; SP_EIO unless it can be written to. Release also on failure. */
SP_MUST_CHECK enum sp_status sp_masks_files_init(struct sp_masks_files *files,
                                                 const struct sp_masks_args *args,
                                                 struct sp_error *err);
void sp_masks_files_release(struct sp_masks_files *files);

/* A name's part made of an id: what may trouble a shell or a file system is "_"; a name that was given
 * before gets a number. `out` has SP_MASKS_NAME bytes. */
#define SP_MASKS_NAME 160
void sp_masks_files_name(const struct sp_masks_files *files, struct sp_text id, size_t hyp,
                         char *out);

/* Writes NAME.WHAT.svg and .png of a canvas, as far as they are wanted. */
SP_MUST_CHECK enum sp_status sp_masks_files_write(struct sp_masks_files *files,
                                                  const struct sp_canvas *canvas, const char *name,
                                                  const char *what, struct sp_text title,
                                                  struct sp_error *err);

#endif
