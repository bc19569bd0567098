/* encode_tool - tokenizes texts from stdin, for comparison with the oracle.
 *
 *   encode_tool MODEL_DIR [--lower-first] [--repeat N] < FRAMES
 *
 * A frame is a text's length in bytes (4 bytes, little-endian) and the text, so that any byte can
 * be fed. Each gives one line "id:word id:word ..", "-" when the text cannot be spelled. With
 * --repeat nothing is printed but the speed over N rounds, by the time that the processor gave us.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tokenizer.h"

struct options {
  const char *model;
  bool lower_first;
  long repeat;
};

static bool parse(int argc, char **argv, struct options *options) {
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "--lower-first") == 0) {
      options->lower_first = true;
    } else if (strcmp(argv[i], "--repeat") == 0 && i + 1 < argc) {
      options->repeat = atol(argv[++i]);
    } else if (!options->model) {
      options->model = argv[i];
    } else {
      return false;
    }
  }
  return options->model != NULL;
}

static bool read_all(struct sp_buf *in) {
  size_t got = 1;
  while (got > 0) {
    if (sp_buf_reserve(in, 1 << 16, NULL) != SP_OK) {
      return false;
    }
    got = fread(in->data + in->len, 1, 1 << 16, stdin);
    in->len += got;
  }
  return !ferror(stdin);
}

/* The frame at *at; false at the end, or when it is cut off. */
static bool next_frame(const struct sp_buf *in, size_t *at, struct sp_text *text) {
  if (in->len - *at < 4) {
    return false;
  }
  const unsigned char *head = (const unsigned char *)in->data + *at;
  size_t len = head[0] | (size_t)head[1] << 8 | (size_t)head[2] << 16 | (size_t)head[3] << 24;
  if (len > in->len - *at - 4) {
    return false;
  }
  *text = (struct sp_text){in->data + *at + 4, len};
  *at += 4 + len;
  return true;
}

static void print(const struct sp_tokens *tokens) {
  if (tokens->no_vocab) {
    putchar('-');
  }
  for (size_t i = 0; i < tokens->n; i++) {
    printf("%s%d:%u", i ? " " : "", tokens->ids[i], tokens->word[i]);
  }
  putchar('\n');
}

static enum sp_status encode_all(struct sp_encoder *encoder, const struct sp_buf *in, bool quiet,
                                 size_t *texts, struct sp_error *err) {
  struct sp_text text;
  struct sp_tokens tokens;
  for (size_t at = 0; next_frame(in, &at, &text);) {
    SP_TRY(sp_encode(encoder, text, &tokens, err));
    (*texts)++;
    if (!quiet) {
      print(&tokens);
    }
  }
  return SP_OK;
}

static double cpu_seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static enum sp_status run(const struct options *options, const struct sp_buf *in,
                          struct sp_error *err) {
  struct sp_tokenizer *tokenizer;
  struct sp_encoder *encoder = NULL;
  size_t texts = 0;
  enum sp_status status;
  SP_TRY(sp_tokenizer_open(options->model, &tokenizer, err));
  SP_TRY_GOTO(sp_encoder_create(tokenizer, options->lower_first, &encoder, err), close);
  double start = cpu_seconds();
  for (long i = 0; i < options->repeat || i == 0; i++) {
    SP_TRY_GOTO(encode_all(encoder, in, options->repeat > 0, &texts, err), close);
  }
  if (options->repeat > 0) {
    printf("%.0f texts/s a core\n", (double)texts / (cpu_seconds() - start));
  }
close:
  sp_encoder_destroy(encoder);
  sp_tokenizer_close(tokenizer);
  return status;
}

int main(int argc, char **argv) {
  struct options options = {0};
  struct sp_buf in = {0};
  struct sp_error err = {0};
  if (!parse(argc, argv, &options)) {
    fprintf(stderr, "usage: encode_tool MODEL_DIR [--lower-first] [--repeat N] < FRAMES\n");
    return 2;
  }
  enum sp_status status = read_all(&in) ? run(&options, &in, &err)
                                        : sp_fail(&err, SP_EIO, "cannot read standard input");
  sp_buf_release(&in);
  if (status != SP_OK) {
    fprintf(stderr, "%s\n", err.message);
  }
  return sp_status_exit_code(status);
}
