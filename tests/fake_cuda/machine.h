// machine.h - the state behind the fake runtime; private to this folder.
#ifndef SP_TESTS_FAKE_MACHINE_H
#define SP_TESTS_FAKE_MACHINE_H

#include <cuda_runtime_api.h>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "fake_cuda.h"

// A stream: what is queued on it runs at the next wait.
struct CUstream_st {
  int device;
  bool live;
  std::deque<std::function<cudaError_t()>> work;
};

namespace sp_fake_cuda {

constexpr int kHost = -1;  // "device" of pinned memory

struct Allocation {
  size_t bytes;
  int device;
};

struct Device {
  std::string name;
  size_t used = 0;
  uint64_t calls = 0;
  bool launched = false;  // a kernel
  cudaError_t lost = cudaSuccess;
};

// All of it under `mutex`, work included: one piece at a time.
struct Machine {
  std::recursive_mutex mutex;
  Options options;
  std::vector<Device> devices;
  std::map<char *, Allocation> memory;
  std::vector<std::unique_ptr<CUstream_st>> streams;  // the dead ones as well
  std::set<const void *> objects;                     // handles of the libraries
  uint64_t calls = 0, work = 0, done = 0, broadcasts = 0, job_broadcasts = 0, transfers = 0,
           peer_copies = 0, mistakes = 0, late = 0;
  bool allocation_forbidden = false;
  std::string failed_call;
};

Machine &TheMachine();
using Lock = std::lock_guard<std::recursive_mutex>;

// The calling thread's current device and last error.
int CurrentDevice();
void SetCurrentDevice(int device);
cudaError_t SetError(cudaError_t error);
cudaError_t TakeError();

// Counts a call that works on `device` (kHost: on none). What it returns, the call returns; but a
// function that gives something back does that first.
cudaError_t Begin(const char *call, int device);
// A mistake of the caller's: ends the program, or fails the call.
cudaError_t Mistake(const std::string &what);

// Whether [data, + bytes) lies in one live allocation of the device, or of host memory that is not
// a device's.
bool IsDeviceMemory(const void *data, size_t bytes, int device);
bool IsHostMemory(const void *data, size_t bytes);
bool IsPinned(const void *data);

bool IsLive(const CUstream_st *stream);
void Queue(CUstream_st *stream, std::function<cudaError_t()> work);
// Runs what is queued. An error loses the device. To wait for what other processes may never do is a
// mistake.
cudaError_t Drain(CUstream_st *stream);
// Runs it as far as it goes: cudaErrorNotReady, and there is more.
cudaError_t DrainReady(CUstream_st *stream);
cudaError_t DrainDevice(int device);
// Runs it up to the piece that sets *done.
cudaError_t DrainUntil(CUstream_st *stream, const bool *done);

void AddObject(const void *object);
bool DropObject(const void *object);  // false: it was none

}  // namespace sp_fake_cuda
#endif
