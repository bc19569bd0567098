// fake_cuda.h - a CUDA runtime on host memory, for tests of the glue in cuda/.
//
// It implements what the glue calls of cudart, cuBLASLt and NCCL, with any number of devices.
// Kernels run on the SIMT emulator. Work on a stream is queued, and runs when somebody waits for it: what
// reads a result without waiting reads nothing, and what gives memory back too early is found.
//
// Every call of a function that can fail counts: the k-th can be made to fail. A device can be lost
// from one of its calls on: that call and every later one gives the same error, as after a fault.
//
// Mistakes of the glue end the program with a message: copies beyond an allocation, with freed or
// another device's memory, with memory of the wrong side; objects used after their end or twice
// destroyed; allocation while it is forbidden.
//
// Programs (secondpass_fake) are set up by the environment:
//   SP_FAKE_CUDA_DEVICES=N     devices (1)
//   SP_FAKE_CUDA_FIRST=N       which of the host's GPUs the first of them is (0)
//   SP_FAKE_CUDA_NAMES=A,B     their names, the last for all that follow
//   SP_FAKE_CUDA_FAIL_CALL=K   the K-th call fails
//   SP_FAKE_CUDA_LOSE=D:K      device D is lost from its K-th call on
//   SP_FAKE_CUDA_FAIL_WORK=K   the K-th queued piece of work fails when it runs
//   SP_FAKE_CUDA_DIVIDED_SUMS=1  split-K may be asked for
//   SP_FAKE_CUDA_MEMORY=BYTES  of each device (2^30)
//   SP_FAKE_NCCL_FAULT=F       "start", "never", "broadcast", "stuck": NcclFault, of all its devices
//   SP_FAKE_NCCL_SECONDS=N     the glue's limit for NCCL (60)
//   SP_FAKE_CUDA_REPORT=FILE   at exit: "calls N", "live N", "bytes N", "work N", "late N" (allocations
//                              on a device after its first kernel), "job_broadcasts N", "failed NAME", a
//                              line each
#ifndef SP_TESTS_FAKE_CUDA_H
#define SP_TESTS_FAKE_CUDA_H

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace sp_fake_cuda {

// Of communicators of many processes: they cannot start; they wait for ever; a broadcast fails; it never
// ends.
enum class NcclFault { kNone, kStart, kNever, kBroadcast, kStuck };

struct Options {
  int devices = 1, first = 0;
  std::vector<std::string> names = {"Fake GPU"};
  int major = 9;                    // of the compute capability
  size_t memory = size_t{1} << 30;  // of each device
  uint64_t fail_call = 0;           // counted from 1; 0: none
  uint64_t fail_work = 0;
  int lose_device = -1;
  uint64_t lose_at = 0;
  bool refuse_unaligned = false;  // cuBLASLt has no bf16 algorithm for widths off 8
  bool refuse_all = false;        // nor any other
  bool nccl_fails = false;        // ncclCommInitAll does
  NcclFault nccl_fault = NcclFault::kNone;
  int nccl_fault_device = -1;  // -1: all of the machine
  int nccl_seconds = 60;
  bool divided_sums = false;  // cuBLASLt may be asked for split-K: only to be timed
  bool tolerant = false;      // mistakes are counted, and the call fails
};

// Forgets everything and starts anew; nothing may be running.
void Reset(const Options &options);
uint64_t Calls();          // so far
uint64_t Work();           // pieces of work that were queued
std::string FailedCall();  // the name of the call that was made to fail; empty: none yet
size_t LiveObjects();      // allocations, streams, handles, communicators
size_t LiveBytes();        // of device and pinned memory
void ForbidAllocation(bool forbid);
uint64_t LateAllocations();  // on a device, after its first kernel
uint64_t Broadcasts();       // ncclBroadcast calls
uint64_t JobBroadcasts();    // those of them that began with other processes
uint64_t Transfers();        // ncclSend and ncclRecv calls
uint64_t PeerCopies();
uint64_t Mistakes();  // of a tolerant machine

}  // namespace sp_fake_cuda
#endif
