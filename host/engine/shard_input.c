#include "shard_input.h"

#include "plan_hash.h"

/* Content hash of what is read. */
struct hashing {
  uint64_t ordinal, hash;
};

static enum sp_status hash_utt(void *context, const struct sp_utt *utt, struct sp_error *err) {
  struct hashing *hashing = context;
  (void)err;
  hashing->hash += sp_plan_hash(utt, hashing->ordinal++);
  return SP_OK;
}

/* Utterances before a shard: all but the last shard are of one size. */
static uint64_t first_of(const struct sp_shard_input *input, size_t shard) {
  return shard * input->plan[0].utts;
}

static enum sp_status reopen(struct sp_shard_input *input, struct sp_error *err) {
  struct sp_run *run = input->run;
  sp_archive_close(run->archive);
  run->archive = NULL;
  SP_TRY(sp_archive_open_with(input->reframed->paths, input->reframed->n, &input->options,
                              &run->archive, err));
  input->next = 0;
  return SP_OK;
}

/* Whether going on from where the archive stands is as near as the beginning of the shard's frame. */
static bool lies_ahead(const struct sp_shard_input *input, size_t shard) {
  if (!input->run->archive || input->next > shard || input->next == input->shards) {
    return false;
  }
  const struct sp_plan_shard *here = &input->plan[input->next], *there = &input->plan[shard];
  return input->next == shard || !there->has_place ||
         (here->has_place && here->place.file == there->place.file &&
          here->place.stored == there->place.stored &&
          !sp_reframed_has(input->reframed, there->place.file));
}

static enum sp_status go_to(struct sp_shard_input *input, size_t shard, struct sp_error *err) {
  const struct sp_plan_shard *there = &input->plan[shard];
  uint64_t read;
  bool ahead = lies_ahead(input, shard);
  if (!input->run->archive || (!ahead && !there->has_place)) {
    SP_TRY(reopen(input, err));
  }
  if (!ahead && there->has_place) {
    input->next = shard;
    return sp_archive_seek(input->run->archive, &there->place, err);
  }
  uint64_t between = first_of(input, shard) - first_of(input, input->next);
  input->next = shard;
  return sp_run_read(input->run, NULL, between, &read, NULL, NULL, err);
}

static enum sp_status read_shard(struct sp_shard_input *input, size_t shard, struct sp_job *job,
                                 struct sp_error *err) {
  const struct sp_plan_shard *there = &input->plan[shard];
  struct hashing hashing = {.ordinal = first_of(input, shard)};
  uint64_t read;
  SP_TRY(go_to(input, shard, err));
  input->next = shard + 1;
  SP_TRY(sp_run_read(input->run, job, there->utts, &read, hash_utt, &hashing, err));
  if (read != there->utts) {
    return sp_fail(err, SP_EINPUT, "it ends early");
  }
  return hashing.hash == there->xxh64
             ? SP_OK
             : sp_fail(err, SP_EINPUT, "ids or texts of the %llu utterances up to there differ",
                       (unsigned long long)read);
}

enum sp_status sp_shard_input_read(struct sp_shard_input *input, size_t shard, struct sp_job *job,
                                   struct sp_error *err) {
  struct sp_error why;
  enum sp_status status = read_shard(input, shard, job, &why);
  if (status == SP_EIO && sp_reframed_drop_lost(input->reframed)) {
    sp_archive_close(input->run->archive);
    input->run->archive = NULL;
    sp_job_begin(job, shard);
    status = read_shard(input, shard, job, &why);
  }
  if (status == SP_EINPUT) {
    const char *place = input->run->archive ? sp_archive_place(input->run->archive) : "the archive";
    return sp_fail(
        err, status,
        "%s: the input changed since it was validated, shard %zu of %zu is not scored: %s", place,
        shard, input->shards, why.message);
  }
  if (status != SP_OK && err) {
    *err = why;
  }
  return status;
}

bool sp_shard_input_is_forward(const struct sp_plan_shard *plan, const uint32_t *shards, size_t n,
                               const struct sp_reframed *reframed) {
  double bytes = 0;
  for (size_t k = 0; k < n; k++) {
    const struct sp_plan_shard *there = &plan[shards ? shards[k] : k];
    if (!there->has_place) {
      return true;
    }
    bool near = reframed && sp_reframed_has(reframed, there->place.file);
    bytes += near ? 0 : (double)there->place.raw;
  }
  return n > 0 && bytes / (double)n > SP_SEEK_BYTES;
}
