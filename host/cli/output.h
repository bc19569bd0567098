/* output.h - what the program says: data on standard output, messages on standard error.
 *
 * Tables and JSON go through stdio and are checked once by sp_stdout_close; score lines go through
 * struct sp_stream_out, which tells a closed pipe from a failed write. */
#ifndef SP_CLI_OUTPUT_H
#define SP_CLI_OUTPUT_H

#include <jansson.h>
#include <stdio.h>

#include "buf.h"

/* One message: "secondpass: ..." and a line end. */
void sp_say(const char *format, ...) SP_PRINTF(1, 2);

/* One row of a table on standard output. */
void sp_row(const char *label, const char *format, ...) SP_PRINTF(2, 3);

/* A stream that a person looks at and whose terminal takes control sequences. */
bool sp_is_terminal(FILE *stream);
/* Whether what is written to `stream` may be coloured: on such a terminal, unless NO_COLOR is set
 * and not empty (no-color.org). */
bool sp_use_colour(FILE *stream);

/* Flushes standard output: SP_EIO when anything written to it was lost. */
SP_MUST_CHECK enum sp_status sp_stdout_close(struct sp_error *err);

/* 1234567 as "1,234,567". */
struct sp_number {
  char text[32];
};
struct sp_number sp_number(uint64_t value);
/* The same with its noun: "1 shard", "2 shards". */
struct sp_phrase {
  char text[96];
};
struct sp_phrase sp_count_of(uint64_t value, const char *one, const char *many);
/* Seconds as "0.42 s", "12.3 s", "3 min 20 s", "5 h 02 min". */
struct sp_number sp_duration(double seconds);
/* Bytes as "512 bytes", "1.5 MiB". */
struct sp_number sp_bytes(uint64_t bytes);

/* Unbuffered data to a descriptor. */
struct sp_stream_out {
  int fd;
  bool closed; /* the reader went away (EPIPE) */
};
SP_MUST_CHECK enum sp_status sp_stream_write(struct sp_stream_out *out, const void *data,
                                             size_t len, struct sp_error *err);

/* A JSON string; bytes that are not UTF-8 become "?". */
json_t *sp_json_text(const char *text);
/* A JSON number; null when not finite. */
json_t *sp_json_real(double value);

void sp_json_set_count(json_t *object, const char *key, uint64_t value);

/* The object that every --json begins with:
 * {"schema":1,"command":..,"exit_code":..,"error":null or the message}. */
json_t *sp_json_begin(const char *command, enum sp_status status, const struct sp_error *err);
/* With --json a failure is an object too, for commands whose object has nothing more to say then:
 * unless `status` is SP_OK or SP_EUSAGE, prints it on standard output. Returns `status`. */
SP_MUST_CHECK enum sp_status sp_json_failure(bool json, const char *command, enum sp_status status,
                                             const struct sp_error *err);
/* Prints one line and drops the reference. */
SP_MUST_CHECK enum sp_status sp_json_print(json_t *object, FILE *to, struct sp_error *err);

#endif
