/* score_line.h - one line of a score shard: {"id":..,"hyps":[{"i":0,"pll":-3.5,"n":2},..]}.
 *
 * FORMATS.md describes the line byte by byte. Scores are natural logs, higher is better; a score
 * that could not be computed is null with a flag. Floats print shortest so that fp32 round-trips. */
#ifndef SP_FORMATS_SCORE_LINE_H
#define SP_FORMATS_SCORE_LINE_H

#include "latency_counts.h"

#ifdef __cplusplus
extern "C" {
#endif

/* enum, key of the score, key of its per-token values (NULL: has none) */
#define SP_METHOD_MAP(X)                        \
  X(SP_PLL, "pll", "logp")                      \
  X(SP_PLL_L2R, "pll_l2r", "logp_l2r")          \
  X(SP_CLS, "cls", NULL)                        \
  X(SP_MASKLESS, "maskless", "logp_maskless")

enum sp_method {
#define X(name, key, token_key) name,
  SP_METHOD_MAP(X)
#undef X
      SP_METHOD_COUNT
};

const char *sp_method_key(enum sp_method method);
const char *sp_method_token_key(enum sp_method method);

/* Why a hypothesis has no score, or an impaired one. SP_FLAG_TRUNCATED comes with a score. */
#define SP_FLAG_MAP(X)                                                              \
  X(SP_FLAG_NONE, "")                                                               \
  X(SP_FLAG_EMPTY, "empty")         /* no token: nothing to score */                \
  X(SP_FLAG_TOO_LONG, "too_long")   /* longer than the model allows */              \
  X(SP_FLAG_NO_VOCAB, "no_vocab")   /* a word the vocabulary lacks, and no [UNK] */ \
  X(SP_FLAG_TRUNCATED, "truncated") /* scored up to the model's limit */            \
  X(SP_FLAG_NOT_FINITE, "not_finite") /* the model gave NaN or infinity */

enum sp_flag {
#define X(name, text) name,
  SP_FLAG_MAP(X)
#undef X
      SP_FLAG_COUNT
};

const char *sp_flag_name(enum sp_flag flag);

struct sp_hyp_score {
  uint32_t rank;                            /* "i": zero-based original rank */
  uint32_t n_tokens;                        /* "n": scored tokens */
  enum sp_flag flag;
  float score[SP_METHOD_COUNT];             /* read where `methods` has the bit; NaN prints null */
  const struct sp_text *tokens;             /* (n_tokens) with --per-token, else NULL */
  const float *logp[SP_METHOD_COUNT];       /* (n_tokens) each, or NULL */
  const struct sp_text *text;               /* with --with-text, else NULL */
  const struct sp_latency_stats *latency;   /* with --latency, else NULL */
};

/* Appends the line with its "\n". `methods` is a bit set (1u << enum sp_method). */
SP_MUST_CHECK enum sp_status sp_score_line_write(struct sp_buf *out, struct sp_text id,
                                                 const struct sp_hyp_score *hyps, size_t n_hyps,
                                                 unsigned methods, struct sp_error *err);

/* Puts the latency of all hypotheses together at the end of the line that was just written. */
SP_MUST_CHECK enum sp_status sp_score_line_add_latency(struct sp_buf *line,
                                                       const struct sp_latency_stats *latency,
                                                       struct sp_error *err);

/* Appends a JSON string with quotes. `text` must be valid UTF-8. */
SP_MUST_CHECK enum sp_status sp_json_string_write(struct sp_buf *out, struct sp_text text,
                                                  struct sp_error *err);

/* What a reader gets of a line. Everything is valid until the parser's next line. */
struct sp_score_line {
  struct sp_text id;
  /* (n_hyps); missing scores are NaN; tokens and text are NULL, logp too unless it is kept */
  const struct sp_hyp_score *hyps;
  size_t n_hyps;
  uint64_t n_tokens; /* sum of n */
  const struct sp_latency_stats *latency; /* of all hypotheses; NULL where the line has none */
};

struct sp_score_parser;
SP_MUST_CHECK enum sp_status sp_score_parser_create(struct sp_score_parser **out,
                                                    struct sp_error *err);
void sp_score_parser_destroy(struct sp_score_parser *parser);
/* From the next line on per-token values are handed out too, NaN for null. */
void sp_score_parser_keep_logp(struct sp_score_parser *parser);
/* `line` without "\n", followed by SP_BUF_PADDING readable bytes. SP_EDAMAGED with the reason. */
SP_MUST_CHECK enum sp_status sp_score_parse(struct sp_score_parser *parser, struct sp_text line,
                                            struct sp_score_line *out, struct sp_error *err);

#ifdef __cplusplus
}
#endif
#endif
