/* help.h - what help and man pages say alike of the tables. */
#ifndef SP_CLI_HELP_H
#define SP_CLI_HELP_H

#include "options.h"

#define SP_OPTION_TEXT 1024
/* What an option does, its choices and its default, as one line. */
void sp_option_text(const struct sp_opt *option, char *out, size_t capacity);

/* Every exit code once, ascending, with all that it means. */
void sp_exit_codes_each(void (*each)(void *context, int code, const char *meaning), void *context);

#endif
