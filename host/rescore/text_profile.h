/* text_profile.h - how texts are normalised before they are compared: named, versioned profiles.
 *
 * A profile is for evaluation only; what prepares text for a model is another matter. Its name goes
 * into every result, because error rates under different profiles are not comparable.
 *
 *   none          the text as it is
 *   librispeech   librispeech.v1: letters to lower case; typographic apostrophes to '; a punctuation
 *                 character, and an apostrophe with no letter or digit beside it, to a space
 *   rules:FILE    what FILE says (FORMATS.md, "Rules file")
 *   glm:FILE      a NIST global mapping file (FORMATS.md, "GLM")
 * Several are joined by commas and applied in that order: "librispeech,glm:en.glm".
 *
 * Flow     open, apply to any number of texts, close.
 * Errors   SP_EUSAGE for an unknown profile; SP_EINPUT with "path:line: reason" for what a file says;
 *          SP_EIO.
 * Threads  one a thread. */
#ifndef SP_RESCORE_TEXT_PROFILE_H
#define SP_RESCORE_TEXT_PROFILE_H

#include "buf.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sp_text_profile;

SP_MUST_CHECK enum sp_status sp_text_profile_open(const char *spec, struct sp_text_profile **out,
                                                  struct sp_error *err);
/* NULL is fine. */
void sp_text_profile_close(struct sp_text_profile *profile);

/* Name and version: "none", "librispeech.v1", "house.v3@1f2e3d4c" of a rules file with the first
 * half of the XXH64 of its bytes, "glm:en.glm@..". Lives until close. */
const char *sp_text_profile_name(const struct sp_text_profile *profile);

/* *out is valid until the next call. */
SP_MUST_CHECK enum sp_status sp_text_profile_apply(struct sp_text_profile *profile,
                                                   struct sp_text text, struct sp_text *out,
                                                   struct sp_error *err);

#ifdef __cplusplus
}
#endif
#endif
