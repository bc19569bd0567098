/* Score lines: nothing crashes; what is taken can be written again and read to the same. */
#include <stdlib.h>
#include <string.h>

#include "score_line.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static bool same_bits(const float *a, const float *b) {
  return memcmp(a, b, sizeof *a) == 0 || (*a != *a && *b != *b);
}

static bool same_latency(const struct sp_latency_stats *a, const struct sp_latency_stats *b) {
  bool same = !a == !b;
  for (int m = 0; same && a && m < SP_LATENCY_MEMBERS; m++) {
    float of_a = (float)a->value[m], of_b = (float)b->value[m];
    same = same_bits(&of_a, &of_b);
  }
  return same;
}

/* Without the per-token lists, which the reader does not keep. */
static void write_and_read_again(const struct sp_score_line *line) {
  struct sp_score_parser *parser;
  struct sp_score_line again;
  struct sp_buf text = {0};
  if (sp_score_parser_create(&parser, NULL) != SP_OK ||
      sp_score_line_write(&text, line->id, line->hyps, line->n_hyps, (1u << SP_METHOD_COUNT) - 1,
                          NULL) != SP_OK ||
      (line->latency && sp_score_line_add_latency(&text, line->latency, NULL) != SP_OK) ||
      sp_score_parse(parser, (struct sp_text){text.data, text.len - 1}, &again, NULL) != SP_OK ||
      !sp_text_equal(line->id, again.id) || line->n_hyps != again.n_hyps ||
      line->n_tokens != again.n_tokens || !same_latency(line->latency, again.latency)) {
    abort();
  }
  for (size_t k = 0; k < line->n_hyps; k++) {
    if (!same_latency(line->hyps[k].latency, again.hyps[k].latency)) {
      abort();
    }
    for (int m = 0; m < SP_METHOD_COUNT; m++) {
      if (!same_bits(&line->hyps[k].score[m], &again.hyps[k].score[m])) {
        abort();
      }
    }
  }
  sp_buf_release(&text);
  sp_score_parser_destroy(parser);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
  struct sp_score_parser *parser;
  struct sp_score_line line;
  struct sp_error err;
  struct sp_buf padded = {0};
  if (sp_score_parser_create(&parser, &err) == SP_OK) {
    if (sp_buf_append(&padded, data, size, &err) == SP_OK &&
        sp_score_parse(parser, (struct sp_text){padded.data, padded.len}, &line, &err) == SP_OK) {
      write_and_read_again(&line);
    }
    sp_score_parser_destroy(parser);
  }
  sp_buf_release(&padded);
  return 0;
}
