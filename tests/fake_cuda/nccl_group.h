// nccl_group.h - communicators, and the group that the calling thread fills; private to nccl*.cc.
#ifndef SP_TESTS_FAKE_NCCL_GROUP_H
#define SP_TESTS_FAKE_NCCL_GROUP_H

#include <nccl.h>

#include <memory>
#include <vector>

#include "machine.h"
#include "nccl_world.h"

namespace sp_fake_cuda {

struct GroupBroadcast {
  const void *from;
  void *to;
  size_t bytes;
  int root;
  ncclComm_t comm;
  cudaStream_t stream;
};

bool IsGrouping();
void AddToGroup(ncclComm *comm);  // joins its world when the group ends

// nccl_ranks.cc: what a group does when it ends.
ncclResult_t JoinWorld(ncclComm *comm);
ncclResult_t Broadcast(ncclComm *comm, const GroupBroadcast &call);

}  // namespace sp_fake_cuda

struct ncclComm {
  ncclComm(int device_, int rank_) : device(device_), rank(rank_) {}
  int device, rank;
  // Of many processes; else NULL and nothing.
  std::shared_ptr<sp_fake_cuda::World> world;
  std::shared_ptr<bool> aborted;
  ncclResult_t state = ncclSuccess;  // an error stays
  bool ready = false;                // it was looked at since it was used
  std::vector<sp_fake_cuda::GroupBroadcast> pending;
  size_t broadcasts = 0;
};

#endif
