/* model_directory.h - one model directory takes another's place; private to model_write.c.
 *
 * The new one is written beside the old as DIRECTORY.tmp.PID.  What is removed are files of a model by their
 * names, never a file that is none.
 *
 * Flow       prepare; write; swap, or remove. */
#ifndef SP_TRAIN_MODEL_DIRECTORY_H
#define SP_TRAIN_MODEL_DIRECTORY_H

#include "status.h"

#define SP_MODEL_WEIGHTS "model.safetensors"

enum { SP_TOKENIZER_FILES = 5 };
extern const char *const sp_tokenizer_files[SP_TOKENIZER_FILES];

/* Makes `temporary`, and removes what killed processes left.  SP_EUSAGE when `directory` (without a slash at
 * its end, left as it was) holds anything but a model that training wrote. */
SP_MUST_CHECK enum sp_status sp_model_directory_prepare(char *directory, const char *temporary,
                                                        struct sp_error *err);
/* Gives the synced directory its name and removes the old one.  A reader sees one or the other, whole: the
 * two names are exchanged.  On a file system that cannot (no RENAME_EXCHANGE) there is none of that name
 * between two renames; a kill there leaves both under temporary names. */
SP_MUST_CHECK enum sp_status sp_model_directory_swap(const char *temporary, const char *directory,
                                                     struct sp_error *err);
/* Removes the model's files and the directory. */
SP_MUST_CHECK enum sp_status sp_model_directory_remove(const char *directory, struct sp_error *err);

#endif
