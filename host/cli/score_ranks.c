#include "score_ranks.h"

#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "cpus.h"
#include "output.h"
#include "spool.h"

/* Nothing is asked for them, which would start CUDA, unless --device leaves them open. */
static void find_gpus(const char *device, struct sp_node_gpus *gpus) {
  size_t count;
  const struct sp_backend *const *backends = sp_backend_list(&count);
  *gpus = (struct sp_node_gpus){.count = 1};
  for (size_t i = 0; sp_node_device_is_open(device) && i < count; i++) {
    if (backends[i]->identify) {
      gpus->n = backends[i]->identify(gpus->gpus, SP_MAX_DEVICES);
    }
  }
  sp_node_gpus_sort(gpus);
}

static enum sp_status share_node(struct sp_score_ranks *job, struct sp_score_options *options,
                                 struct sp_error *err) {
  struct sp_node_gpus gpus;
  find_gpus(options->device, &gpus);
  SP_TRY(sp_ranks_group(job->ranks, sp_node_gpus_key(&gpus), &gpus.rank, &gpus.count, err));
  options->device = sp_node_device(&gpus, options->device, job->device);
  if (options->threads == 0) {
    options->threads = sp_node_threads(job->ranks, sp_usable_cpus());
  }
  return SP_OK;
}

static enum sp_status check_options(const struct sp_score_options *options, struct sp_error *err) {
  if (options->prepare) {
    return sp_fail(err, SP_EUSAGE,
                   "--prepare is the work of one process, but mpirun or srun started %zu",
                   sp_ranks_launched());
  }
  if (options->out && strcmp(options->out, "-") == 0) {
    return sp_fail(err, SP_EUSAGE,
                   "--out - is one stream of lines, but mpirun or srun started %zu "
                   "processes; they score into a run directory together: --out RUN",
                   sp_ranks_launched());
  }
  return sp_spool_is_needed(options)
             ? sp_fail(err, SP_EUSAGE,
                       "standard input goes to one of the %zu processes that mpirun or "
                       "srun started; give archives in files",
                       sp_ranks_launched())
             : SP_OK;
}

/* Processes that do not find each other would score the same run, each for itself. */
static enum sp_status check_count(const struct sp_ranks *ranks, struct sp_error *err) {
  return ranks->count > 1
             ? SP_OK
             : sp_fail(err, SP_EDEVICE,
                       "the launcher started %zu processes, but %s, which the program was built "
                       "with, sees this one alone: start it with the mpirun of that MPI (srun: "
                       "--mpi=pmix), or every process by itself with --part i/n",
                       sp_ranks_launched(), sp_ranks_library());
}

/* Open MPI binds a rank to one core, or to a part of the node, unless it is told not to. */
static void warn_if_bound(const struct sp_score_ranks *job) {
  size_t allowed = sp_allowed_cpus();
  struct sp_error text;
  if (job->ranks->rank == 0 && getenv("OMPI_COMM_WORLD_SIZE") &&
      sp_node_is_bound(job->ranks, allowed)) {
    sp_fail(&text, SP_OK, "bound to %zu of %zu processors: mpirun --bind-to none",
            job->ranks->local_cpus, allowed);
    sp_score_ranks_warn(job, text.message);
  }
}

enum sp_status sp_score_ranks_open(struct sp_score_ranks *job, struct sp_score_options *options,
                                   enum sp_status status, struct sp_error *err) {
  struct sp_error why;
  *job = (struct sp_score_ranks){0};
  if (sp_ranks_launched() < 2) {
    return status;
  }
  if (status == SP_OK) {
    status = check_options(options, err);
  }
  enum sp_status opened = sp_ranks_open(&job->ranks, &why);
  if (opened == SP_OK) {
    opened = check_count(job->ranks, &why);
  }
  if (opened != SP_OK) {
    return status != SP_OK ? status : sp_fail(err, opened, "%s", why.message);
  }
  SP_TRY(sp_score_ranks_agree(job, status, err));
  SP_TRY(share_node(job, options, err));
  warn_if_bound(job);
  options->ranks = job->ranks;
  return SP_OK;
}

bool sp_score_ranks_speaks(const struct sp_score_ranks *job) {
  return !job->ranks || job->ranks->rank == 0;
}

void sp_score_ranks_warn(const struct sp_score_ranks *job, const char *message) {
  if (job->ranks) {
    sp_say("warning: rank %zu of %zu (node %s): %s", job->ranks->rank, job->ranks->count,
           job->ranks->node, message);
  } else {
    sp_say("warning: %s", message);
  }
}

enum sp_status sp_score_ranks_agree(const struct sp_score_ranks *job, enum sp_status status,
                                    struct sp_error *err) {
  return job->ranks ? job->ranks->agree(job->ranks->context, status, err) : status;
}

void sp_score_ranks_close(struct sp_score_ranks *job, enum sp_status status, struct sp_error *err) {
  if (!job->ranks) {
    return;
  }
  bool alone = sp_ranks_get_state(job->ranks) == SP_RANKS_BROKEN;
  if (status != SP_OK && (alone || sp_score_ranks_speaks(job))) {
    sp_say("%s", err->message);
  }
  err->message[0] = '\0';
  sp_ranks_close(job->ranks);
  job->ranks = NULL;
}
