/* archive_detect.h - tells an archive's format from its first bytes; private to formats/. */
#ifndef SP_FORMATS_ARCHIVE_DETECT_H
#define SP_FORMATS_ARCHIVE_DETECT_H

#include "archive.h"
#include "json_fast.h"

/* Looks ahead in `source` without consuming anything; SP_FORMAT_AUTO when it is blank.  SP_EINPUT when
 * the file is JSON of another kind, or packed in a way that is not read. */
SP_MUST_CHECK enum sp_status sp_archive_detect(struct sp_source *source, struct sp_json *json,
                                               enum sp_archive_format *out, struct sp_error *err);
/* Of what is text: trn when its first line that is neither blank nor a comment (;;) ends in "(id)",
 * with white space or nothing before it, or when there is no such line; else Kaldi text. */
SP_MUST_CHECK enum sp_status sp_archive_detect_ids(struct sp_source *source,
                                                   enum sp_archive_format *out,
                                                   struct sp_error *err);

#endif
