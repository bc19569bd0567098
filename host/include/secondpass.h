/* secondpass.h - the public interface of secondpass (C11 and C++17).
 *
 * secondpass rescores N-best lists with BERT-type encoders: an archive of hypotheses and a Hugging
 * Face model directory go in, natural-log scores (higher is better) come out.
 *
 * Flow       fill struct sp_score_options, call sp_score_run (or sp_plan_run, which scores nothing).
 * Ownership  strings in options stay the caller's and are not kept after the call.
 * Errors     every fallible function returns a status and fills the caller's `err` (NULL is allowed).
 *            The library never prints, exits or aborts.
 * Threads    calls are independent; each makes and joins its own threads.
 */
#ifndef SECONDPASS_H
#define SECONDPASS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SP_VERSION "0.1.0"

/* name, exit code of the command line, what it means.  Codes are stable: only appended to. */
#define SP_STATUS_MAP(X)                                                      \
  X(SP_OK, 0, "success")                                                      \
  X(SP_EUSAGE, 2, "wrong option or argument")                                 \
  X(SP_EIDENTITY, 2, "the run directory belongs to another run")              \
  X(SP_EINPUT, 3, "bad input")                                                \
  X(SP_EDAMAGED, 3, "a run directory is incomplete or damaged")               \
  X(SP_EMODEL, 4, "bad or unsupported model")                                 \
  X(SP_EDEVICE, 5, "device error or out of memory")                           \
  X(SP_EIO, 6, "input or output failed")                                      \
  X(SP_ELOCK, 6, "another process works on the run directory")                \
  X(SP_ESHARD, 7, "shards are missing or failed")                             \
  X(SP_EINTERRUPTED, 130, "interrupted; the run can be resumed")              \
  X(SP_EBEYOND, 1, "a comparison is beyond its thresholds")

enum sp_status {
#define X(name, exit_code, text) name,
  SP_STATUS_MAP(X)
#undef X
};

/* Caller-owned message of a failure.  `message` names the fact: file, line or offset, tensor. */
struct sp_error {
  enum sp_status status;
  char message[1024];
};

/* Static strings; never NULL. */
const char *sp_status_text(enum sp_status status);
/* The process exit code that the command line uses for a status. */
int sp_status_exit_code(enum sp_status status);

/* ---- the main job: archives on disk ------------------------------------------------------------ */

/* Counts of an archive and of what its scoring takes. */
struct sp_counts {
  uint64_t utts, hyps;
  uint64_t tokens;          /* tokens of all hypotheses, without [CLS] and [SEP] */
  uint64_t duplicate_hyps;  /* equal to an earlier one of the shard; 0 without `dedupe` */
  uint64_t empty_lists;     /* utterances without hypotheses */
  uint64_t empty, too_long, truncated, no_vocab; /* hypotheses with that flag */
  uint64_t not_finite;      /* the same, of the shards that this call scored */
  uint64_t unknown_tokens;  /* [UNK] among the tokens */
  uint64_t special_in_text; /* special tokens that stood in the text itself */
  uint64_t without_ref, without_score;
  uint64_t copies;          /* masked copies (plain passes for cls, maskless) of the hypotheses
                               that are not duplicates */
  uint64_t sequences;       /* of these, distinct: what is computed */
  uint64_t sequence_tokens; /* their tokens, [CLS] and [SEP] included */
  uint64_t scored_rows;     /* rows that reach a head */
  uint64_t nodes;           /* positions computed, all layers together; equal ones once where they are told */
  uint64_t plain_nodes;     /* the same where every sequence is computed as it stands */
  double flops;             /* of the matrix products of the sequences, with the savings in force */
};

struct sp_ranks;

struct sp_progress {
  uint64_t utts_done, utts_total, hyps_done, hyps_total, tokens_done, tokens_total;
  uint64_t hyps_resumed;    /* of hyps_done, found in shards of an earlier process */
  double seconds;           /* since scoring began */
  bool validating;          /* the first pass: totals are not known yet */
};

/* What the user says; a NULL string or a zero number stands for the default. */
struct sp_score_options {
  const char *model;              /* model directory */
  const char *const *archives;    /* (n_archives) files, directories or "-" */
  size_t n_archives;
  const char *format;             /* "auto" */
  const char *tsv;                /* of format tsv: columns, "id=1,text=2,score=3,ref=4" */
  size_t beam_size;               /* of format nemo-tsv: lines of an utterance */
  const char *methods;            /* "pll"; pll, pll_l2r, cls, maskless, comma-separated */
  const char *out;                /* run directory, or "-": lines go to `sink` */
  const char *device;             /* "cpu", "cuda" (all GPUs), "cuda:0,2", "auto" */
  const char *dtype;              /* "auto", "f32", "bf16" */
  const char *on_long;            /* "null", "error", "truncate" */
  const char *letter_case;        /* "auto", "keep", "lower" */
  const char *eos;                /* text appended to every hypothesis; none */
  const char *without;            /* savings switched off, comma-separated: head,trim,pack,dedupe,nodes */
  const char *mask;               /* "model": the config's; full, causal, layerwise:R[,R..],
                                     chunked:C, dynamic */
  bool force_mask;                /* also a mask that the model was not trained with */
  const char *cls_sign;           /* "auto", "logprob", "cost": what the CLS head was trained as */
  size_t threads;                 /* 0: one a processor this process may use; beside GPUs, which
                                     have a thread each, those that read, prepare and write */
  size_t shard_utts;              /* 0: about 100,000 tokens a shard, in huge archives more */
  size_t batch_tokens;            /* 0: chosen from the model; never changes a score */
  uint64_t limit;                 /* 0: all; else the first `limit` utterances */
  bool per_token, with_text;
  bool latency;                   /* measure the latency of every hypothesis, without [MASK]s */
  /* What computational latency is computed from, in one unit; host/model/latency.h has the formulas.
   * Each at least 0; a node_cost of 0 is 1, and a capacity of 0 is layers * node_cost a token period. */
  double capacity, node_cost, key_cost, scheduler_cost;
  bool allow_mixed;               /* resume a run whose device type differs */
  /* Many workers on one run directory; with parts = 0 and no ranks this process wants it alone. */
  size_t part, parts;             /* this worker has part `part` (from 0) of `parts` */
  bool own_share;                 /* ends with its share; else it helps parts at work then */
  bool prepare;                   /* validates, and makes the run directory that parts are to score: no device
                                     is opened, and nothing scored */
  double lease;                   /* seconds after which a silent worker is taken for gone; 0: 60 */
  double grace;                   /* seconds after `stop` in which shards under work may be finished; 0: they
                                     are dropped */
  const struct sp_ranks *ranks;   /* of a job of many processes (host/engine/ranks.h); NULL: none */
  /* progress and warn are called from the caller's thread; sink from the engine's threads, one call
   * at a time, maybe while progress runs. Each may be NULL. */
  void (*progress)(void *context, const struct sp_progress *progress);
  void (*warn)(void *context, const char *message);
  enum sp_status (*sink)(void *context, const char *data, size_t len, struct sp_error *err);
  /* sp_plan_run names here each hypothesis that is empty, too_long, truncated, no_vocab, or a
   * duplicate of an earlier one of its shard; `id` is not terminated. */
  void (*name)(void *context, const char *what, const char *id, size_t id_len, uint32_t rank);
  void *context;
  const volatile int *stop;       /* set by a signal handler: finish early; to 2 or more: without grace */
};

#define SP_MASK_TEXT 160 /* a longer one is cut */

/* Latencies of all outputs of all hypotheses, in tokens, [CLS] and [SEP] left out; NaN where there
 * is none. An output is clipped when the end of its sentence cut what it depends on. */
struct sp_latency_summary {
  bool measured;
  double mean, p50, p90, p99, max; /* of outputs that are not clipped; percentiles by nearest rank */
  double emission_mean;            /* of the same, when outputs are handed on in order */
  double clipped_mean;
  uint64_t clipped, outputs;
  double upl_mean, upl_max;        /* user-perceived, of hypotheses, in token periods */
  double capacity, node_cost, key_cost, scheduler_cost;
};

struct sp_score_summary {
  struct sp_counts counts;
  char signature[320];            /* what decides the scores, in one line */
  char format[16], dtype[8], device_type[160], letter_case[8], model_hash[33];
  char mask[SP_MASK_TEXT];        /* what rows see: "layerwise:2 cls:last,bound" */
  bool mask_forced;               /* the model was trained with another */
  size_t threads, shards, shard_utts;
  size_t devices, devices_lost;   /* that computed; of these, that failed on the way */
  bool on_host;                   /* the device is the processors themselves */
  size_t shards_resumed;          /* found done */
  uint64_t hyps_resumed;
  uint64_t hyps_scored;           /* by this call, or by all ranks of its job */
  bool already_complete;          /* nothing was left to do */
  size_t shards_open;             /* of other parts, not done when this worker ended .. */
  bool open_is_most;              /* .. or not seen done by it: others went on with over 64, or in a run of over 1,024 */
  size_t shards_taken_over;       /* from workers that were gone */
  size_t shards_helped;           /* scored here, of the shares of other parts */
  size_t shards_late;             /* scored here, but another had published them: equal bytes, dropped */
  double read_seconds, score_seconds, total_seconds;
  uint64_t raw_bytes, zst_bytes;  /* of all shards; 0 when streaming, or while shards are open */
  struct sp_latency_summary latency; /* of the whole run, resumed shards included */
};

/* Scores archives into a run directory or a sink.
 * Errors  SP_EUSAGE, SP_EIDENTITY, SP_EINPUT, SP_EMODEL, SP_EDEVICE, SP_EIO, SP_ELOCK, SP_ESHARD,
 *         SP_EINTERRUPTED.  Nothing is written before the whole input was validated (a sink gets
 *         lines as the input is read); finished shards stay and are found by the next call with equal options.
 * `summary` is filled as far as the run came, also on failure. */
enum sp_status sp_score_run(const struct sp_score_options *options,
                            struct sp_score_summary *summary, struct sp_error *err);

/* What sp_score_run would do, without scoring: reads the archive and the model. */
struct sp_plan_summary {
  struct sp_counts counts;
  char format[16], dtype[8], device_type[160], letter_case[8], model_hash[33];
  char mask[SP_MASK_TEXT];
  bool mask_forced;
  bool nodes_bound;               /* schedulers decide which nodes are equal: counts.nodes, scored_rows
                                     and flops are the most that they can come to */
  size_t threads, devices, shards, shard_utts, batch_tokens, max_tokens;
  bool on_host;                   /* the device is the processors themselves */
  uint64_t longest_tokens;        /* of one hypothesis */
  double measured_flops;          /* FLOP/s of one thread, or of one GPU, measured now on real
                                     batches */
  double estimated_seconds;       /* counts.flops / (measured_flops * threads, or GPUs) */
  uint64_t memory_bytes;          /* of the host, about: workspaces of all threads, and weights on_host */
  uint64_t device_bytes;          /* of each GPU, about: workspaces and weights; 0 on_host */
};
enum sp_status sp_plan_run(const struct sp_score_options *options, struct sp_plan_summary *summary,
                           struct sp_error *err);

/* The same for an archive that is only described (FORMATS.md, "Described archives"). */
struct sp_describe {
  const char *path;               /* of the description */
  size_t devices;                 /* that are to score; 0: those of the options */
  double device_flops;            /* effective FLOP/s of one; 0: measured here, on the options' device */
};
struct sp_described_summary {
  struct sp_plan_summary plan;    /* with device_flops no device is opened: device_type, dtype and
                                     measured_flops are empty, memory is what is beside the engine */
  bool at_most;                   /* the texts decide which copies or nodes are equal */
  size_t devices;
  double device_flops;            /* of one device: all threads of this machine where it computes */
  double read_seconds;            /* of the pass that validates, by the options' threads, at the speed of this machine */
  double score_seconds;           /* counts.flops by all devices, none of them ever idle */
  uint64_t sample_utts;           /* generated, and read, tokenized and written for what is measured */
  uint64_t archive_bytes;         /* 0: the description does not tell */
  uint64_t scores_raw_bytes, scores_zst_bytes; /* score lines, and as shards */
  uint64_t markers_bytes, run_plan_bytes, success_bytes; /* of the other files of the run directory */
  uint64_t run_bytes, run_files;
  /* Most host memory of the worker that validates: its ids; what it keeps of shards; both beside
   * plan.memory_bytes make head_bytes. */
  uint64_t head_ids_bytes, head_shards_bytes, head_bytes;
  uint64_t head_spilled_bytes;    /* ids in $TMPDIR */
};
/* Reads the description and the model; SP_EINPUT also where a count passes 2^63. */
enum sp_status sp_plan_described(const struct sp_score_options *options,
                                 const struct sp_describe *describe,
                                 struct sp_described_summary *summary, struct sp_error *err);

#ifdef __cplusplus
}
#endif
#endif
