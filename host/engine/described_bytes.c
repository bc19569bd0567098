#include "described_bytes.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <zstd.h>

#include "checked.h"
#include "mix.h"
#include "run_files.h"
#include "run_plan.h"
#include "shard_format.h"

/* ---- bytes of score lines ---- */

struct frames {
  struct sp_buf raw, packed;
  uint64_t raw_bytes, zst_bytes;
};

static enum sp_status pack_frame(struct frames *frames, struct sp_error *err) {
  sp_buf_clear(&frames->packed);
  SP_TRY(sp_buf_reserve(&frames->packed, ZSTD_compressBound(frames->raw.len), err));
  size_t got = ZSTD_compress(frames->packed.data, frames->packed.capacity, frames->raw.data,
                             frames->raw.len, SP_ZSTD_LEVEL);
  if (ZSTD_isError(got)) {
    return sp_fail(err, SP_EIO, "zstd: %s", ZSTD_getErrorName(got));
  }
  frames->zst_bytes += got;
  frames->raw_bytes += frames->raw.len;
  sp_buf_clear(&frames->raw);
  return SP_OK;
}

static enum sp_status add_line(void *context, struct sp_text line, struct sp_text id, uint64_t hyps,
                               uint64_t tokens, struct sp_error *err) {
  struct frames *frames = context;
  (void)id, (void)hyps, (void)tokens;
  if (frames->raw.len > 0 && frames->raw.len + line.len > SP_FRAME_RAW) {
    SP_TRY(pack_frame(frames, err));
  }
  return sp_buf_append(&frames->raw, line.data, line.len, err);
}

/* Exponentially distributed, as log-probabilities are about, from the golden ratio's multiples. */
static float draw(size_t k) {
  const double golden = 0.61803398874989485, mean = 2.5;
  double u = fmod((double)(k + 1) * golden, 1);
  return (float)(mean * log(u > 0 ? u : golden));
}

static void draw_scores(struct sp_job *job, const struct sp_settings *settings,
                        const struct sp_context *context) {
  for (size_t k = 0; k < job->plan.targets; k++) {
    job->logp[k] = draw(k);
  }
  for (size_t k = 0; k < job->plan.cls_rows; k++) {
    job->cls[k] = draw(k);
  }
  if (sp_context_traces(context, settings)) {
    memset(job->bits, 0, context->config.layers * job->plan.traced * sizeof *job->bits);
  }
}

static enum sp_status weigh_lines(struct sp_job *job, const struct sp_settings *settings,
                                  const struct sp_context *context, struct sp_described_summary *s,
                                  struct sp_error *err) {
  struct frames frames = {0};
  draw_scores(job, settings, context);
  enum sp_status status = sp_job_write(job, settings, context, add_line, &frames, err);
  if (status == SP_OK) {
    status = pack_frame(&frames, err);
  }
  double times = (double)s->plan.counts.utts / (double)job->n_utts;
  s->scores_raw_bytes = (uint64_t)((double)frames.raw_bytes * times);
  s->scores_zst_bytes = (uint64_t)((double)frames.zst_bytes * times);
  sp_buf_release(&frames.raw);
  sp_buf_release(&frames.packed);
  return status;
}

/* ---- the other files ---- */

static size_t marker_name_bytes(size_t shards) {
  char name[64];
  return (size_t)snprintf(name, sizeof name, SP_SHARD_PREFIX "%05zu-of-%05zu" SP_SHARD_DONE, shards,
                          shards);
}

/* The k-th of shards that differ by a few per cent, as real ones do. */
static struct sp_plan_shard drawn_shard(const struct sp_described_summary *s, uint64_t k) {
  double times = 1 + 0.05 * (sp_unit64(sp_mix64(k)) - 0.5), shards = (double)s->plan.shards;
  uint64_t utts = s->plan.shard_utts, line = s->archive_bytes / s->plan.counts.utts + 1;
  return (struct sp_plan_shard){
      .place = {.stored = (uint64_t)((double)(k * utts * line) * times / 4),
                .raw = sp_mix64(k + 1) % SP_FRAME_RAW,
                .line = k * utts,
                .records = k * utts},
      .has_place = true,
      .utts = utts,
      .hyps = utts * (s->plan.counts.hyps / s->plan.counts.utts),
      .tokens = (uint64_t)((double)s->plan.counts.tokens / shards * times),
      .cost = s->plan.counts.flops / shards * times,
      .xxh64 = sp_mix64(k + 2)};
}

/* Lines of up to 4,096 drawn shards. */
static enum sp_status measure_plan(const struct sp_described_summary *s, uint64_t *bytes,
                                   struct sp_error *err) {
  enum { drawn = 4096 };
  size_t n = sp_min_size(drawn, s->plan.shards);
  struct frames frames = {0};
  enum sp_status status = SP_OK;
  for (size_t k = 0; k < n && status == SP_OK; k++) {
    struct sp_plan_shard shard = drawn_shard(s, k);
    status = sp_run_plan_line(&shard, k, &frames.raw, err);
  }
  if (status == SP_OK) {
    status = pack_frame(&frames, err);
  }
  *bytes = (uint64_t)((double)frames.zst_bytes / (double)n * (double)s->plan.shards);
  sp_buf_release(&frames.raw);
  sp_buf_release(&frames.packed);
  return status;
}

/* The marker of a mean shard. */
static enum sp_status measure_marker(const struct sp_described_summary *s, uint32_t id_bytes,
                                     uint64_t *bytes, struct sp_error *err) {
  uint64_t shards = s->plan.shards;
  struct sp_buf id = {0}, text = {0};
  enum sp_status status;
  SP_TRY_GOTO(sp_buf_printf(&id, err, "%0*d", (int)id_bytes, 0), release);
  if (!sp_buf_cstr(&id)) {
    status = sp_fail_memory(err, id.len);
    goto release;
  }
  struct sp_shard_done done = {.utts = s->plan.shard_utts,
                               .hyps = s->plan.counts.hyps / shards,
                               .tokens = s->plan.counts.tokens / shards,
                               .raw_bytes = s->scores_raw_bytes / shards,
                               .zst_bytes = s->scores_zst_bytes / shards,
                               .first_id = id.data,
                               .last_id = id.data};
  status = sp_shard_done_text(&done, &text, err);
  *bytes = text.len;
release:
  sp_buf_release(&id);
  sp_buf_release(&text);
  return status;
}

enum sp_status sp_described_weigh(struct sp_job *job, const struct sp_settings *settings,
                                  const struct sp_context *context, uint32_t id_bytes,
                                  struct sp_described_summary *s, struct sp_error *err) {
  enum { line = 16 + 2 + 1, manifest = 4096 }; /* hash, two spaces, line end; run.json, about */
  uint64_t shards = s->plan.shards, marker = 0;
  SP_TRY(weigh_lines(job, settings, context, s, err));
  SP_TRY(measure_marker(s, id_bytes, &marker, err));
  SP_TRY(measure_plan(s, &s->run_plan_bytes, err));
  s->markers_bytes = shards * marker;
  s->success_bytes = (shards + 2) * (line + marker_name_bytes(s->plan.shards));
  s->run_bytes =
      s->scores_zst_bytes + s->markers_bytes + s->success_bytes + s->run_plan_bytes + manifest;
  s->run_files = 2 * shards + 3;
  return SP_OK;
}
