#include "machine.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sstream>

#include "nccl.h"
#include "simt_host.h"

namespace sp_fake_cuda {
namespace {

thread_local int current_device;
thread_local cudaError_t last_error;

uint64_t NumberFrom(const char *name, uint64_t fallback) {
  const char *text = getenv(name);
  return text ? strtoull(text, nullptr, 10) : fallback;
}

NcclFault FaultFrom(const char *name) {
  const std::pair<const char *, NcclFault> faults[] = {{"start", NcclFault::kStart},
                                                       {"never", NcclFault::kNever},
                                                       {"broadcast", NcclFault::kBroadcast},
                                                       {"stuck", NcclFault::kStuck}};
  for (const auto &[text, fault] : faults) {
    if (name && strcmp(name, text) == 0)
      return fault;
  }
  return NcclFault::kNone;
}

Options OptionsFromEnvironment() {
  Options options;
  options.devices = static_cast<int>(NumberFrom("SP_FAKE_CUDA_DEVICES", 1));
  options.first = static_cast<int>(NumberFrom("SP_FAKE_CUDA_FIRST", 0));
  options.fail_call = NumberFrom("SP_FAKE_CUDA_FAIL_CALL", 0);
  options.fail_work = NumberFrom("SP_FAKE_CUDA_FAIL_WORK", 0);
  options.divided_sums = NumberFrom("SP_FAKE_CUDA_DIVIDED_SUMS", 0) != 0;
  options.memory = NumberFrom("SP_FAKE_CUDA_MEMORY", options.memory);
  options.nccl_fault = FaultFrom(getenv("SP_FAKE_NCCL_FAULT"));
  options.nccl_seconds = static_cast<int>(NumberFrom("SP_FAKE_NCCL_SECONDS", 60));
  if (const char *names = getenv("SP_FAKE_CUDA_NAMES")) {
    options.names.clear();
    std::istringstream list(names);
    for (std::string name; std::getline(list, name, ',');)
      options.names.push_back(name);
  }
  if (const char *lose = getenv("SP_FAKE_CUDA_LOSE")) {
    char *rest;
    options.lose_device = static_cast<int>(strtol(lose, &rest, 10));
    options.lose_at = *rest == ':' ? strtoull(rest + 1, nullptr, 10) : 1;
  }
  return options;
}

void Report() {
  const char *path = getenv("SP_FAKE_CUDA_REPORT");
  FILE *file = path ? fopen(path, "w") : nullptr;
  if (file) {
    fprintf(
        file,
        "calls %llu\nlive %zu\nbytes %zu\nwork %llu\nlate %llu\njob_broadcasts %llu\nfailed %s\n",
        static_cast<unsigned long long>(Calls()), LiveObjects(), LiveBytes(),
        static_cast<unsigned long long>(Work()), static_cast<unsigned long long>(LateAllocations()),
        static_cast<unsigned long long>(JobBroadcasts()), FailedCall().c_str());
    fclose(file);
  }
}

// The emulator's launches: queued like any other work.
cudaError_t Launch(cudaStream_t stream, const char *, std::function<cudaError_t()> run) {
  Lock lock(TheMachine().mutex);
  if (!IsLive(stream))
    return Mistake("a launch on a stream that is none");
  if (stream->device != CurrentDevice())
    return Mistake("a launch on another device's stream");
  cudaError_t error = Begin("launch", stream->device);
  TheMachine().devices[static_cast<size_t>(stream->device)].launched = true;
  if (error == cudaSuccess)
    Queue(stream, std::move(run));
  return error;
}

void Start(Machine *machine, const Options &options) {
  machine->options = options;
  sp_fake_nccl_seconds = options.nccl_seconds;
  for (int d = 0; d < options.devices; d++) {
    Device device;
    size_t name = std::min(static_cast<size_t>(d), options.names.size() - 1);
    device.name = options.names[name];
    machine->devices.push_back(device);
  }
  sp_simt_submit = Launch;
}

Machine *NewMachine() {
  Machine *machine = new Machine;  // never deleted: the report reads it at exit
  Start(machine, OptionsFromEnvironment());
  atexit(Report);
  return machine;
}

}  // namespace

Machine &TheMachine() {
  static Machine *machine = NewMachine();
  return *machine;
}

void Reset(const Options &options) {
  Machine &m = TheMachine();
  Lock lock(m.mutex);
  for (auto &[data, allocation] : m.memory)
    free(data);
  m.memory.clear();
  m.streams.clear();
  m.objects.clear();
  m.devices.clear();
  m.calls = m.work = m.done = m.broadcasts = m.job_broadcasts = m.transfers = m.peer_copies =
      m.mistakes = m.late = 0;
  m.allocation_forbidden = false;
  m.failed_call.clear();
  current_device = 0;
  last_error = cudaSuccess;
  Start(&m, options);
}

uint64_t Calls() {
  Lock lock(TheMachine().mutex);
  return TheMachine().calls;
}
uint64_t Work() {
  Lock lock(TheMachine().mutex);
  return TheMachine().work;
}
std::string FailedCall() {
  Lock lock(TheMachine().mutex);
  return TheMachine().failed_call;
}
uint64_t Broadcasts() {
  Lock lock(TheMachine().mutex);
  return TheMachine().broadcasts;
}
uint64_t JobBroadcasts() {
  Lock lock(TheMachine().mutex);
  return TheMachine().job_broadcasts;
}
uint64_t Transfers() {
  Lock lock(TheMachine().mutex);
  return TheMachine().transfers;
}
uint64_t PeerCopies() {
  Lock lock(TheMachine().mutex);
  return TheMachine().peer_copies;
}
uint64_t LateAllocations() {
  Lock lock(TheMachine().mutex);
  return TheMachine().late;
}
uint64_t Mistakes() {
  Lock lock(TheMachine().mutex);
  return TheMachine().mistakes;
}

size_t LiveObjects() {
  Machine &m = TheMachine();
  Lock lock(m.mutex);
  size_t n = m.memory.size() + m.objects.size();
  for (const auto &stream : m.streams)
    n += stream->live;
  return n;
}

size_t LiveBytes() {
  Machine &m = TheMachine();
  Lock lock(m.mutex);
  size_t bytes = 0;
  for (const auto &[data, allocation] : m.memory)
    bytes += allocation.bytes;
  return bytes;
}

void ForbidAllocation(bool forbid) {
  Lock lock(TheMachine().mutex);
  TheMachine().allocation_forbidden = forbid;
}

int CurrentDevice() {
  return current_device;
}
void SetCurrentDevice(int device) {
  current_device = device;
}

cudaError_t SetError(cudaError_t error) {
  if (error != cudaSuccess)
    last_error = error;
  return error;
}

cudaError_t TakeError() {
  cudaError_t error = last_error;
  last_error = cudaSuccess;
  return error;
}

cudaError_t Begin(const char *call, int device) {
  Machine &m = TheMachine();
  m.calls++;
  if (device >= 0) {
    Device &d = m.devices[static_cast<size_t>(device)];
    d.calls++;
    if (device == m.options.lose_device && d.calls >= m.options.lose_at)
      d.lost = cudaErrorIllegalAddress;
    if (d.lost != cudaSuccess)
      return SetError(d.lost);
  }
  if (m.calls == m.options.fail_call) {
    m.failed_call = call;
    return SetError(strcmp(call, "cudaMalloc") == 0 || strcmp(call, "cudaHostAlloc") == 0
                        ? cudaErrorMemoryAllocation
                        : cudaErrorUnknown);
  }
  return cudaSuccess;
}

cudaError_t Mistake(const std::string &what) {
  fprintf(stderr, "fake_cuda: %s\n", what.c_str());
  if (!TheMachine().options.tolerant)
    abort();
  TheMachine().mistakes++;
  return SetError(cudaErrorInvalidValue);
}

namespace {

// The allocation that begins at or before `data`, if `data` lies within.
const Allocation *Find(const void *data, size_t bytes) {
  Machine &m = TheMachine();
  char *at = static_cast<char *>(const_cast<void *>(data));
  auto next = m.memory.upper_bound(at);
  if (next == m.memory.begin())
    return nullptr;
  auto found = std::prev(next);
  size_t offset = static_cast<size_t>(at - found->first);
  bool inside = offset <= found->second.bytes && bytes <= found->second.bytes - offset;
  return inside ? &found->second : nullptr;
}

bool Touches(const void *data, size_t bytes) {
  Machine &m = TheMachine();
  char *at = static_cast<char *>(const_cast<void *>(data));
  auto next = m.memory.lower_bound(at);
  bool ahead = next != m.memory.end() && next->first < at + bytes;
  if (next == m.memory.begin())
    return ahead;
  auto before = std::prev(next);
  return ahead || before->first + before->second.bytes > at;
}

}  // namespace

bool IsDeviceMemory(const void *data, size_t bytes, int device) {
  const Allocation *found = Find(data, bytes);
  return found && found->device == device;
}

bool IsPinned(const void *data) {
  const Allocation *found = Find(data, 1);
  return found && found->device == kHost;
}

bool IsHostMemory(const void *data, size_t bytes) {
  const Allocation *found = Find(data, bytes);
  return found ? found->device == kHost : !Touches(data, bytes);
}

bool IsLive(const CUstream_st *stream) {
  for (const auto &one : TheMachine().streams) {
    if (one.get() == stream)
      return one->live;
  }
  return false;
}

void Queue(CUstream_st *stream, std::function<cudaError_t()> work) {
  TheMachine().work++;
  stream->work.push_back(std::move(work));
}

cudaError_t DrainUntil(CUstream_st *stream, const bool *done) {
  Machine &m = TheMachine();
  Device &device = m.devices[static_cast<size_t>(stream->device)];
  while (!stream->work.empty() && device.lost == cudaSuccess && !*done) {
    std::function<cudaError_t()> work = std::move(stream->work.front());
    stream->work.pop_front();
    cudaError_t error = ++m.done == m.options.fail_work ? cudaErrorLaunchFailure : work();
    if (error == cudaErrorNotReady) {
      m.done--;
      stream->work.push_front(std::move(work));
      return error;
    }
    device.lost = error;
  }
  if (device.lost != cudaSuccess)
    stream->work.clear();
  return device.lost;
}

cudaError_t DrainReady(CUstream_st *stream) {
  const bool never = false;
  return SetError(DrainUntil(stream, &never));
}

cudaError_t Drain(CUstream_st *stream) {
  cudaError_t error = DrainReady(stream);
  return error == cudaErrorNotReady ? Mistake("waiting for ranks that may never come") : error;
}

cudaError_t DrainDevice(int device) {
  cudaError_t first = cudaSuccess;
  for (const auto &stream : TheMachine().streams) {
    if (stream->live && stream->device == device && first == cudaSuccess)
      first = Drain(stream.get());
  }
  return first;
}

void AddObject(const void *object) {
  TheMachine().objects.insert(object);
}

bool DropObject(const void *object) {
  return TheMachine().objects.erase(object) > 0;
}

}  // namespace sp_fake_cuda
