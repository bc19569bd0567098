// nccl_ranks.cc - communicators of many processes: non-blocking, as the glue must have them.
//
// A broadcast is queued when its communicator is looked at after the group, as if a thread of NCCL's had done
// it meanwhile; who waits for the stream without looking finds it empty.
#include <cstring>
#include <memory>

#include "nccl_group.h"

using namespace sp_fake_cuda;

int sp_fake_nccl_seconds = 60;

namespace {

bool HasFault(const ncclComm *comm, NcclFault fault) {
  const Options &options = TheMachine().options;
  return options.nccl_fault == fault &&
         (options.nccl_fault_device < 0 || options.nccl_fault_device == comm->device);
}

// All that is left of a broadcast when it is on a stream: the communicator may be aborted before.
struct Piece {
  std::shared_ptr<World> world;
  std::shared_ptr<bool> aborted;
  GroupBroadcast call;
  size_t number;
  int rank, device;
  bool stuck, arrived;
};

cudaError_t Advance(Piece *piece) {
  const GroupBroadcast &call = piece->call;
  bool root = piece->rank == call.root;
  if (*piece->aborted)
    return cudaSuccess;
  if (piece->stuck)
    return cudaErrorNotReady;
  if (!IsDeviceMemory(root ? call.from : call.to, call.bytes, piece->device))
    return Mistake("ncclBroadcast of memory that was given back before it ran");
  if (!piece->arrived) {
    piece->arrived = true;
    if (!piece->world->Arrive(piece->number, call.bytes))
      return Mistake("ncclBroadcast of unequal sizes in two processes");
    if (root)
      piece->world->Leave(piece->number, call.from, call.bytes);
  }
  if (!piece->world->IsOver(piece->number))
    return cudaErrorNotReady;
  if (!root)
    piece->world->Fetch(piece->number, call.to, call.bytes);
  return cudaSuccess;
}

// What the last group left.
ncclResult_t Launch(ncclComm *comm) {
  for (const GroupBroadcast &call : comm->pending) {
    if (HasFault(comm, NcclFault::kBroadcast))
      return ncclRemoteError;
    if (!IsLive(call.stream) || call.stream->device != comm->device) {
      (void)Mistake("ncclBroadcast on another device's stream");
      return ncclInvalidUsage;
    }
    auto piece = std::make_shared<Piece>(Piece{comm->world, comm->aborted, call, comm->broadcasts++,
                                               comm->rank, comm->device,
                                               HasFault(comm, NcclFault::kStuck), false});
    TheMachine().job_broadcasts++;
    Queue(call.stream, [piece]() { return Advance(piece.get()); });
  }
  comm->pending.clear();
  return ncclSuccess;
}

ncclResult_t State(ncclComm *comm) {
  if (comm->state != ncclSuccess)
    return comm->state;
  if (!comm->world->IsComplete())
    return ncclInProgress;
  return comm->world->SharesDevices() ? ncclInvalidUsage : Launch(comm);
}

}  // namespace

namespace sp_fake_cuda {

ncclResult_t JoinWorld(ncclComm *comm) {
  if (HasFault(comm, NcclFault::kStart) || !comm->world->Exists())
    return comm->state = ncclSystemError;
  if (HasFault(comm, NcclFault::kNever))
    return ncclInProgress;
  if (!comm->world->Join(static_cast<uint64_t>(TheMachine().options.first + comm->device))) {
    (void)Mistake("ncclCommInitRankConfig of a rank that is taken, or that there is not");
    return comm->state = ncclInvalidUsage;
  }
  return ncclInProgress;
}

ncclResult_t Broadcast(ncclComm *comm, const GroupBroadcast &call) {
  if (!comm->ready) {
    (void)Mistake("ncclBroadcast on a communicator that was not seen to be ready");
    return ncclInvalidUsage;
  }
  comm->ready = false;
  comm->pending.push_back(call);
  return ncclInProgress;
}

}  // namespace sp_fake_cuda

extern "C" {

ncclResult_t ncclGetUniqueId(ncclUniqueId *id) {
  Lock lock(TheMachine().mutex);
  cudaError_t error = Begin("ncclGetUniqueId", kHost);
  return error == cudaSuccess && World::Create(id) ? ncclSuccess : ncclSystemError;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t *out, int ranks, ncclUniqueId id, int rank,
                                    ncclConfig_t *config) {
  Lock lock(TheMachine().mutex);
  if (config->magic != 0xcafebeef || config->blocking != 0 || !IsGrouping()) {
    (void)Mistake("a communicator of many processes that blocks, or that is made outside a group");
    return ncclInvalidUsage;
  }
  cudaError_t error = Begin("ncclCommInitRankConfig", CurrentDevice());
  if (error != cudaSuccess)
    return ncclUnhandledCudaError;
  ncclComm *comm = new ncclComm(CurrentDevice(), rank);
  comm->world = std::make_shared<World>(id, ranks, rank);
  comm->aborted = std::make_shared<bool>(false);
  AddObject(comm);
  AddToGroup(comm);
  *out = comm;
  return ncclInProgress;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t *state) {
  Lock lock(TheMachine().mutex);
  cudaError_t error = Begin("ncclCommGetAsyncError", kHost);
  if (error != cudaSuccess)
    return ncclUnhandledCudaError;
  *state = State(comm);
  if (*state == ncclSuccess)
    comm->ready = true;
  else if (*state != ncclInProgress)
    comm->state = *state;
  return ncclSuccess;
}

}  // extern "C"
