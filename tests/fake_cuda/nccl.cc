// nccl.cc - the functions of NCCL that the glue calls: broadcasts run when their group ends.
#include <nccl.h>

#include <cstring>
#include <functional>
#include <vector>

#include "machine.h"

using namespace sp_fake_cuda;

struct ncclComm {
  int device;
};

namespace {

struct Broadcast {
  const void *from;
  void *to;
  size_t bytes;
  int root;
  ncclComm_t comm;
  cudaStream_t stream;
};

thread_local bool grouping;
thread_local std::vector<Broadcast> group;

ncclResult_t Result(cudaError_t error) {
  return error == cudaSuccess ? ncclSuccess : ncclUnhandledCudaError;
}

// Rank r is the group's r-th call.
cudaError_t RunGroup(const std::vector<Broadcast> &calls) {
  for (const Broadcast &call : calls) {
    const Broadcast &root = calls[static_cast<size_t>(call.root)];
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

ncclResult_t Drop(const char *call, ncclComm_t comm) {
  Lock lock(TheMachine().mutex);
  if (!DropObject(comm))
    return Result(Mistake(std::string(call) + " of what is no communicator"));
  delete comm;
  return Result(Begin(call, kHost));
}

}  // namespace

extern "C" {

const char *ncclGetErrorString(ncclResult_t result) {
  return result == ncclSuccess ? "no error" : "unhandled cuda error (fake)";
}

ncclResult_t ncclCommInitAll(ncclComm_t *comms, int devices, const int *ordinals) {
  Machine &m = TheMachine();
  Lock lock(m.mutex);
  cudaError_t error = Begin("ncclCommInitAll", kHost);
  if (error != cudaSuccess || m.options.nccl_fails)
    return ncclSystemError;
  for (int i = 0; i < devices; i++) {
    comms[i] = new ncclComm{ordinals[i]};
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
  return Result(error);
}

ncclResult_t ncclGroupEnd(void) {
  Lock lock(TheMachine().mutex);
  std::vector<Broadcast> calls;
  calls.swap(group);
  grouping = false;
  cudaError_t error = Begin("ncclGroupEnd", kHost);
  return Result(error != cudaSuccess ? error : RunGroup(calls));
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
    group.push_back(Broadcast{from, to, count, root, comm, stream});
  return Result(error);
}

}  // extern "C"
