/* node_share.h - what a rank takes of its node where the user leaves it open. */
#ifndef SP_RANKS_NODE_SHARE_H
#define SP_RANKS_NODE_SHARE_H

#include "backend.h"
#include "ranks.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SP_NODE_DEVICE 256

/* The GPUs that a process sees. Numbers differ from process to process where a container or a scheduler shows
 * each only its own, and so does what CUDA_VISIBLE_DEVICES says; identities do not. */
struct sp_node_gpus {
  struct sp_device_identity gpus[SP_MAX_DEVICES]; /* (n), after sort by id */
  size_t n;
  size_t rank, count; /* of the ranks of the node that see the same ones */
};

/* Whether --device leaves the GPUs open: "cuda", "auto". */
bool sp_node_device_is_open(const char *asked);
/* Puts them into an order that is the same for all who see them. */
void sp_node_gpus_sort(struct sp_node_gpus *gpus);
/* Of sorted GPUs: equal for the same ones; 0 for none. */
uint64_t sp_node_gpus_key(const struct sp_node_gpus *gpus);

/* The device of a rank, as --device takes it.  Where that is open and there are GPUs, those who see the same n
 * GPUs have a share each: those with place g % count == rank, or with more ranks than GPUs the one with
 * place rank % n.  Who alone sees its GPUs has them all.  Every other text, a list of GPUs among
 * them, stands as asked.  Returns `asked` or `out`. */
const char *sp_node_device(const struct sp_node_gpus *gpus, const char *asked,
                           char out[SP_NODE_DEVICE]);

/* Threads of a rank that may use `usable` processors: all of them, unless the ranks of the node have
 * fewer together than that would take. */
size_t sp_node_threads(const struct sp_ranks *ranks, size_t usable);

/* Whether the ranks of this node leave half or more of the processors idle that they could be given. */
bool sp_node_is_bound(const struct sp_ranks *ranks, size_t allowed);

#ifdef __cplusplus
}
#endif
#endif
