// runtime.cc - the functions of cudart that the glue calls.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "machine.h"

using namespace sp_fake_cuda;

namespace {

// New memory holds NaN in every type; the rest of a large one is left as it comes.
constexpr size_t kPoisonBytes = size_t{4} << 20;
constexpr size_t kAlignment = 256;

cudaError_t Allocate(const char *call, void **data, size_t bytes, int device) {
  Machine &m = TheMachine();
  if (m.allocation_forbidden)
    return Mistake(std::string(call) + " after the start");
  m.late += m.devices[static_cast<size_t>(CurrentDevice())].launched;
  cudaError_t error = Begin(call, device == kHost ? CurrentDevice() : device);
  if (error != cudaSuccess)
    return error;
  if (device != kHost) {
    size_t &used = m.devices[static_cast<size_t>(device)].used;
    if (bytes > m.options.memory - used)
      return SetError(cudaErrorMemoryAllocation);
    used += bytes;
  }
  size_t whole = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  char *memory = static_cast<char *>(aligned_alloc(kAlignment, whole));
  memset(memory, 0xff, std::min(whole, kPoisonBytes));
  m.memory[memory] = Allocation{bytes, device};
  *data = memory;
  return cudaSuccess;
}

// Gives the memory back whatever the call returns: it may report what failed before.
cudaError_t Release(const char *call, void *data, bool pinned) {
  Machine &m = TheMachine();
  if (!data)
    return cudaSuccess;
  auto found = m.memory.find(static_cast<char *>(data));
  if (found == m.memory.end() || (found->second.device == kHost) != pinned)
    return Mistake(std::string(call) + " of what is no allocation");
  int device = pinned ? CurrentDevice() : found->second.device;
  if (!pinned)
    m.devices[static_cast<size_t>(device)].used -= found->second.bytes;
  cudaError_t error = DrainDevice(device);
  free(data);
  m.memory.erase(found);
  cudaError_t counted = Begin(call, device);
  return error != cudaSuccess ? error : counted;
}

cudaError_t BeginWork(const char *call, cudaStream_t stream) {
  if (!IsLive(stream))
    return Mistake(std::string(call) + " on a stream that is none");
  if (stream->device != CurrentDevice())
    return Mistake(std::string(call) + " on another device's stream");
  return Begin(call, stream->device);
}

// Bytes of `height` rows that lie `pitch` apart.
size_t Span(size_t pitch, size_t width, size_t height) {
  return height == 0 ? 0 : (height - 1) * pitch + width;
}

void CopyRows(void *to, size_t to_pitch, const void *from, size_t from_pitch, size_t width,
              size_t height) {
  for (size_t r = 0; r < height; r++) {
    memcpy(static_cast<char *>(to) + r * to_pitch, static_cast<const char *>(from) + r * from_pitch,
           width);
  }
}

// Whether the copy's two sides are what `kind` says.
bool SidesFit(const void *to, size_t to_bytes, const void *from, size_t from_bytes,
              cudaMemcpyKind kind, int device) {
  bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  return (to_device ? IsDeviceMemory(to, to_bytes, device) : IsHostMemory(to, to_bytes)) &&
         (from_device ? IsDeviceMemory(from, from_bytes, device) : IsHostMemory(from, from_bytes));
}

cudaError_t Upload(void *to, const void *from, size_t bytes, cudaStream_t stream) {
  if (IsPinned(from)) {  // read when the copy runs, as the device would
    Queue(stream, [=]() {
      if (!SidesFit(to, bytes, from, bytes, cudaMemcpyHostToDevice, stream->device))
        return Mistake("a copy's memory was given back before it ran");
      memcpy(to, from, bytes);
      return cudaSuccess;
    });
    return cudaSuccess;
  }
  std::vector<char> kept(static_cast<const char *>(from), static_cast<const char *>(from) + bytes);
  Queue(stream, [=]() {
    if (!IsDeviceMemory(to, bytes, stream->device))
      return Mistake("a copy's memory was given back before it ran");
    memcpy(to, kept.data(), bytes);
    return cudaSuccess;
  });
  return cudaSuccess;
}

}  // namespace

extern "C" {

const char *cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorInvalidValue:
      return "invalid argument";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorInvalidConfiguration:
      return "invalid configuration argument";
    case cudaErrorNoDevice:
      return "no CUDA-capable device is detected";
    case cudaErrorInvalidDevice:
      return "invalid device ordinal";
    case cudaErrorIllegalAddress:
      return "an illegal memory access was encountered";
    case cudaErrorLaunchFailure:
      return "unspecified launch failure";
    default:
      return "unknown error";
  }
}

cudaError_t cudaGetLastError(void) {
  return TakeError();
}

cudaError_t cudaGetDeviceCount(int *count) {
  Machine &m = TheMachine();
  Lock lock(m.mutex);
  cudaError_t error = Begin("cudaGetDeviceCount", kHost);
  *count = static_cast<int>(m.devices.size());
  return error != cudaSuccess ? error : SetError(*count ? cudaSuccess : cudaErrorNoDevice);
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *properties, int device) {
  Machine &m = TheMachine();
  Lock lock(m.mutex);
  if (device < 0 || static_cast<size_t>(device) >= m.devices.size())
    return SetError(cudaErrorInvalidDevice);
  cudaError_t error = Begin("cudaGetDeviceProperties", kHost);
  *properties = cudaDeviceProp{};
  snprintf(properties->name, sizeof properties->name, "%s",
           m.devices[static_cast<size_t>(device)].name.c_str());
  properties->uuid.bytes[0] = static_cast<char>(m.options.first + device);
  properties->totalGlobalMem = m.options.memory;
  properties->major = m.options.major;
  properties->multiProcessorCount = 4;
  return error;
}

cudaError_t cudaSetDevice(int device) {
  Machine &m = TheMachine();
  Lock lock(m.mutex);
  if (device < 0 || static_cast<size_t>(device) >= m.devices.size())
    return SetError(cudaErrorInvalidDevice);
  SetCurrentDevice(device);
  return Begin("cudaSetDevice", device);
}

cudaError_t cudaMemGetInfo(size_t *available, size_t *total) {
  Machine &m = TheMachine();
  Lock lock(m.mutex);
  *total = m.options.memory;
  *available = *total - m.devices[static_cast<size_t>(CurrentDevice())].used;
  return Begin("cudaMemGetInfo", CurrentDevice());
}

cudaError_t cudaMalloc(void **data, size_t bytes) {
  Lock lock(TheMachine().mutex);
  return Allocate("cudaMalloc", data, bytes, CurrentDevice());
}

cudaError_t cudaHostAlloc(void **data, size_t bytes, unsigned) {
  Lock lock(TheMachine().mutex);
  return Allocate("cudaHostAlloc", data, bytes, kHost);
}

cudaError_t cudaFree(void *data) {
  Lock lock(TheMachine().mutex);
  return Release("cudaFree", data, false);
}

cudaError_t cudaFreeHost(void *data) {
  Lock lock(TheMachine().mutex);
  return Release("cudaFreeHost", data, true);
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags) {
  Machine &m = TheMachine();
  Lock lock(m.mutex);
  if (flags != cudaStreamNonBlocking)
    return Mistake("a stream that waits for the default stream");
  cudaError_t error = Begin("cudaStreamCreateWithFlags", CurrentDevice());
  if (error == cudaSuccess) {
    m.streams.push_back(std::unique_ptr<CUstream_st>(new CUstream_st{CurrentDevice(), true, {}}));
    *stream = m.streams.back().get();
  }
  return error;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  Lock lock(TheMachine().mutex);
  if (!IsLive(stream))
    return Mistake("cudaStreamDestroy of a stream that is none");
  Drain(stream);
  stream->live = false;
  return Begin("cudaStreamDestroy", stream->device);
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  Lock lock(TheMachine().mutex);
  cudaError_t error = BeginWork("cudaStreamSynchronize", stream);
  return error != cudaSuccess ? error : Drain(stream);
}

cudaError_t cudaStreamQuery(cudaStream_t stream) {
  Lock lock(TheMachine().mutex);
  cudaError_t error = BeginWork("cudaStreamQuery", stream);
  return error != cudaSuccess ? error : DrainReady(stream);
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  Lock lock(TheMachine().mutex);
  cudaError_t error = BeginWork("cudaMemcpyAsync", stream);
  if (error != cudaSuccess)
    return error;
  if (!SidesFit(to, bytes, from, bytes, kind, stream->device))
    return Mistake("cudaMemcpyAsync with memory of the wrong side, freed, or beyond its end");
  if (kind == cudaMemcpyHostToDevice)
    return Upload(to, from, bytes, stream);
  Queue(stream, [=]() {
    if (!SidesFit(to, bytes, from, bytes, kind, stream->device))
      return Mistake("a copy's memory was given back before it ran");
    memcpy(to, from, bytes);
    return cudaSuccess;
  });
  bool waits = kind == cudaMemcpyDeviceToHost && !IsPinned(to);
  return waits ? Drain(stream) : cudaSuccess;
}

cudaError_t cudaMemcpy2DAsync(void *to, size_t to_pitch, const void *from, size_t from_pitch,
                              size_t width, size_t height, cudaMemcpyKind kind,
                              cudaStream_t stream) {
  Lock lock(TheMachine().mutex);
  cudaError_t error = BeginWork("cudaMemcpy2DAsync", stream);
  if (error != cudaSuccess)
    return error;
  auto fits = [=]() {
    return width <= to_pitch && width <= from_pitch &&
           SidesFit(to, Span(to_pitch, width, height), from, Span(from_pitch, width, height), kind,
                    stream->device);
  };
  if (kind != cudaMemcpyDeviceToDevice || !fits())
    return Mistake("cudaMemcpy2DAsync with memory of the wrong side, freed, or beyond its end");
  Queue(stream, [=]() {
    if (!fits())
      return Mistake("a copy's memory was given back before it ran");
    CopyRows(to, to_pitch, from, from_pitch, width, height);
    return cudaSuccess;
  });
  return cudaSuccess;
}

cudaError_t cudaMemcpyPeerAsync(void *to, int to_device, const void *from, int from_device,
                                size_t bytes, cudaStream_t stream) {
  Machine &m = TheMachine();
  Lock lock(m.mutex);
  cudaError_t error = BeginWork("cudaMemcpyPeerAsync", stream);
  if (error != cudaSuccess)
    return error;
  m.peer_copies++;
  Queue(stream, [=]() {
    if (!IsDeviceMemory(to, bytes, to_device) || !IsDeviceMemory(from, bytes, from_device))
      return Mistake("cudaMemcpyPeerAsync with another device's memory, or beyond its end");
    memcpy(to, from, bytes);
    return cudaSuccess;
  });
  return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void *data, int value, size_t bytes, cudaStream_t stream) {
  Lock lock(TheMachine().mutex);
  cudaError_t error = BeginWork("cudaMemsetAsync", stream);
  if (error != cudaSuccess)
    return error;
  Queue(stream, [=]() {
    if (!IsDeviceMemory(data, bytes, stream->device))
      return Mistake("cudaMemsetAsync of no device memory, or beyond its end");
    memset(data, value, bytes);
    return cudaSuccess;
  });
  return cudaSuccess;
}

}  // extern "C"
