// nccl.cc - the functions of NCCL that the glue calls; what a group holds is queued when it ends.
// Communicators of many processes are in nccl_ranks.cc.
#include <nccl.h>

#include <cstring>
#include <functional>
#include <memory>
#include <vector>

#include "nccl_group.h"

using namespace sp_fake_cuda;

namespace {

// One end of a transfer.
struct Transfer {
  bool sends;
  const void *from;
  void *to;
  size_t bytes;
  int peer;
  cudaStream_t stream;
  int rank, device;  // the communicator's, which may end before the work
  bool matched;
};

// What travels: taken when the sender's stream gets there.
struct Parcel {
  bool sent = false;
  std::vector<char> data;
};

thread_local bool grouping, failed;  // a group that failed runs nothing
thread_local std::vector<GroupBroadcast> group;
thread_local std::vector<ncclComm *> joining;
thread_local std::vector<Transfer> transfers;

ncclResult_t Result(cudaError_t error) {
  return error == cudaSuccess ? ncclSuccess : ncclUnhandledCudaError;
}

// Rank r is the group's r-th call.
cudaError_t RunGroup(const std::vector<GroupBroadcast> &calls) {
  for (const GroupBroadcast &call : calls) {
    const GroupBroadcast &root = calls[static_cast<size_t>(call.root)];
    if (call.bytes != root.bytes || !IsDeviceMemory(root.from, root.bytes, root.comm->device) ||
        !IsDeviceMemory(call.to, call.bytes, call.comm->device) ||
        call.stream->device != call.comm->device)
      return Mistake("ncclBroadcast with unequal sizes or another device's memory");
    if (&call != &root) {
      Queue(call.stream, [=]() {
        memmove(call.to, root.from, call.bytes);
        return cudaSuccess;
      });
    }
  }
  return cudaSuccess;
}

bool HasMemory(const Transfer &t) {
  return t.stream->device == t.device && IsDeviceMemory(t.sends ? t.from : t.to, t.bytes, t.device);
}

// Queues the one end; the receiver's stream waits for it.
cudaError_t Send(const Transfer &send, const Transfer &receive, std::shared_ptr<Parcel> parcel) {
  if (send.bytes != receive.bytes || !HasMemory(send) || !HasMemory(receive))
    return Mistake("ncclSend and ncclRecv of unequal sizes, or of another device's memory");
  Queue(send.stream, [=]() {
    if (!HasMemory(send))
      return Mistake("ncclSend of memory that was given back before it ran");
    const char *from = static_cast<const char *>(send.from);
    parcel->data.assign(from, from + send.bytes);
    parcel->sent = true;
    return cudaSuccess;
  });
  return cudaSuccess;
}

cudaError_t Receive(const Transfer &send, const Transfer &receive, const Parcel &parcel) {
  cudaError_t error = DrainUntil(send.stream, &parcel.sent);
  if (error != cudaSuccess || !parcel.sent)
    return error != cudaSuccess ? error : cudaErrorLaunchFailure;
  if (!HasMemory(receive))
    return Mistake("ncclRecv to memory that was given back before it ran");
  memcpy(receive.to, parcel.data.data(), receive.bytes);
  return cudaSuccess;
}

// Every send with the first receive that it fits; all sends go first, so that no two streams wait
// for each other.
cudaError_t RunTransfers(std::vector<Transfer> calls) {
  std::vector<std::function<void()>> receives;
  for (Transfer &send : calls) {
    for (Transfer &receive : calls) {
      if (!send.sends || receive.sends || receive.matched || receive.rank != send.peer ||
          receive.peer != send.rank)
        continue;
      auto parcel = std::make_shared<Parcel>();
      cudaError_t error = Send(send, receive, parcel);
      if (error != cudaSuccess)
        return error;
      Transfer from = send, to = receive;
      receives.push_back([=]() { Queue(to.stream, [=]() { return Receive(from, to, *parcel); }); });
      send.matched = receive.matched = true;
      break;
    }
  }
  for (const Transfer &call : calls) {
    if (!call.matched)
      return Mistake("ncclSend or ncclRecv without its other end would hang");
  }
  for (const auto &receive : receives)
    receive();
  return cudaSuccess;
}

ncclResult_t Add(const char *name, const Transfer &transfer) {
  Lock lock(TheMachine().mutex);
  if (!grouping)
    return Result(
        Mistake(std::string(name) + " of one thread's devices outside a group would hang"));
  TheMachine().transfers++;
  cudaError_t error = Begin(name, transfer.device);
  failed = failed || error != cudaSuccess;
  if (error == cudaSuccess)
    transfers.push_back(transfer);
  return Result(error);
}

// One after the other; what is under way is the best that can be said of it.
ncclResult_t EndOfRanks(const std::vector<ncclComm *> &comms,
                        const std::vector<GroupBroadcast> &calls) {
  ncclResult_t result = ncclSuccess;
  for (ncclComm *comm : comms) {
    ncclResult_t joined = JoinWorld(comm);
    result = result == ncclSuccess || result == ncclInProgress ? joined : result;
  }
  for (const GroupBroadcast &call : calls) {
    ncclResult_t begun = Broadcast(call.comm, call);
    result = result == ncclSuccess || result == ncclInProgress ? begun : result;
  }
  return result;
}

ncclResult_t Drop(const char *call, ncclComm_t comm) {
  Lock lock(TheMachine().mutex);
  if (!DropObject(comm))
    return Result(Mistake(std::string(call) + " of what is no communicator"));
  if (comm->aborted)
    *comm->aborted = true;
  delete comm;
  return Result(Begin(call, kHost));
}

}  // namespace

namespace sp_fake_cuda {

bool IsGrouping() {
  return grouping;
}
void AddToGroup(ncclComm *comm) {
  joining.push_back(comm);
}

}  // namespace sp_fake_cuda

extern "C" {

const char *ncclGetErrorString(ncclResult_t result) {
  switch (result) {
    case ncclSuccess:
      return "no error";
    case ncclSystemError:
      return "unhandled system error (fake)";
    case ncclInvalidUsage:
      return "invalid usage (fake)";
    case ncclRemoteError:
      return "remote process exited or there was a network error (fake)";
    default:
      return "unhandled cuda error (fake)";
  }
}

const char *ncclGetLastError(ncclComm_t) {
  return "";
}

ncclResult_t ncclCommInitAll(ncclComm_t *comms, int devices, const int *ordinals) {
  Machine &m = TheMachine();
  Lock lock(m.mutex);
  cudaError_t error = Begin("ncclCommInitAll", kHost);
  if (error != cudaSuccess || m.options.nccl_fails)
    return ncclSystemError;
  for (int i = 0; i < devices; i++) {
    comms[i] = new ncclComm(ordinals[i], i);
    AddObject(comms[i]);
  }
  return ncclSuccess;
}

ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  return Drop("ncclCommDestroy", comm);
}

ncclResult_t ncclCommAbort(ncclComm_t comm) {
  return Drop("ncclCommAbort", comm);
}

ncclResult_t ncclGroupStart(void) {
  Lock lock(TheMachine().mutex);
  cudaError_t error = Begin("ncclGroupStart", kHost);
  grouping = error == cudaSuccess;
  failed = false;
  return Result(error);
}

ncclResult_t ncclGroupEnd(void) {
  Lock lock(TheMachine().mutex);
  std::vector<GroupBroadcast> calls, of_ranks;
  std::vector<Transfer> both;
  std::vector<ncclComm *> comms;
  for (const GroupBroadcast &call : group)
    (call.comm->world ? of_ranks : calls).push_back(call);
  group.clear();
  both.swap(transfers);
  comms.swap(joining);
  grouping = false;
  cudaError_t error = Begin("ncclGroupEnd", kHost);
  if (failed)
    return ncclUnhandledCudaError;
  if (error == cudaSuccess && (!comms.empty() || !of_ranks.empty()))
    return EndOfRanks(comms, of_ranks);
  if (error == cudaSuccess)
    error = RunGroup(calls);
  return Result(error != cudaSuccess ? error : RunTransfers(both));
}

ncclResult_t ncclBroadcast(const void *from, void *to, size_t count, ncclDataType_t, int root,
                           ncclComm_t comm, cudaStream_t stream) {
  Machine &m = TheMachine();
  Lock lock(m.mutex);
  m.broadcasts++;
  if (!grouping)
    return Result(Mistake("ncclBroadcast of one thread's devices outside a group would hang"));
  cudaError_t error = Begin("ncclBroadcast", comm->device);
  if (error == cudaSuccess)
    group.push_back(GroupBroadcast{from, to, count, root, comm, stream});
  return Result(error);
}

ncclResult_t ncclSend(const void *from, size_t count, ncclDataType_t type, int peer,
                      ncclComm_t comm, cudaStream_t stream) {
  size_t bytes = count * (type == ncclFloat ? sizeof(float) : 1);
  return Add("ncclSend",
             Transfer{true, from, nullptr, bytes, peer, stream, comm->rank, comm->device, false});
}

ncclResult_t ncclRecv(void *to, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
  size_t bytes = count * (type == ncclFloat ? sizeof(float) : 1);
  return Add("ncclRecv",
             Transfer{false, nullptr, to, bytes, peer, stream, comm->rank, comm->device, false});
}

}  // extern "C"
