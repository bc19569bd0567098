// The fake devices themselves, their memory, and the registry that has them.
#include <algorithm>
#include <cstring>

#include "fake_parts.h"

namespace sp_test {

FakeOrders orders;
std::atomic<size_t> batches[kMostFakes];
std::atomic<long> alive;

namespace {
std::atomic<size_t> calls[kMostFakes];
}

sp_status Die(FakeDevice *device, sp_error *err, const char *what) {
  device->dead = true;
  return sp_fail(err, SP_EDEVICE, "%s of %s failed as ordered", what, device->base.name);
}

sp_status Enter(FakeDevice *device, sp_error *err) {
  size_t call = ++calls[device->index];
  auto order = orders.fail_call.find(device->index);
  bool fails = order != orders.fail_call.end() && call >= order->second;
  return fails || device->dead ? Die(device, err, "a call") : SP_OK;
}

bool Holds(FakeDevice *device, const FakeBlocks FakeDevice::*blocks, const void *data,
           size_t bytes) {
  std::lock_guard<std::mutex> hold(device->mutex);
  const char *at = static_cast<const char *>(data);
  auto next = (device->*blocks).upper_bound(at);
  if (next == (device->*blocks).begin())
    return false;
  --next;
  return at + bytes <= next->first + next->second;
}

namespace {

// ---- memory ----

template <FakeBlocks FakeDevice::*blocks>
sp_status Alloc(sp_device *base, size_t bytes, void **out, sp_error *err) {
  FakeDevice *device = Fake(base);
  SP_TRY(Enter(device, err));
  SP_TRY(sp_cpu_backend.alloc(device->cpu.get(), bytes, out, err));
  alive++;
  std::lock_guard<std::mutex> hold(device->mutex);
  (device->*blocks)[static_cast<char *>(*out)] = bytes;
  return SP_OK;
}

template <FakeBlocks FakeDevice::*blocks>
void Free(sp_device *base, void *data) {
  FakeDevice *device = Fake(base);
  {
    std::lock_guard<std::mutex> hold(device->mutex);
    EXPECT_EQ((device->*blocks).erase(static_cast<char *>(data)), 1u);
  }
  sp_cpu_backend.free(device->cpu.get(), data);
  alive--;
}

// ---- devices ----

size_t List(char (*lines)[SP_DEVICE_LINE], size_t room) {
  size_t n = std::min(room, orders.devices);
  for (size_t i = 0; i < n; i++)
    snprintf(lines[i], SP_DEVICE_LINE, "fake:%zu", i);
  return n;
}

sp_backend given_backend;  // as ordered

// The one that computes, also of ranks that are threads.
sp_status OpenCpu(sp_compute compute, std::shared_ptr<sp_device> *out, sp_error *err) {
  static std::mutex mutex;
  static std::weak_ptr<sp_device> open[2];
  std::lock_guard<std::mutex> hold(mutex);
  *out = open[compute].lock();
  if (!*out) {
    sp_device *cpu;
    size_t opened;
    SP_TRY(sp_cpu_backend.open("", compute, &cpu, 1, &opened, err));
    out->reset(cpu, sp_cpu_backend.close);
    open[compute] = *out;
  }
  return SP_OK;
}

sp_status Open(const char *, sp_compute compute, sp_device **out, size_t room, size_t *n,
               sp_error *err) {
  std::shared_ptr<sp_device> cpu;
  SP_TRY(OpenCpu(compute, &cpu, err));
  *n = std::min(room, orders.devices);
  for (size_t i = 0; i < *n; i++) {
    auto *device = new FakeDevice;
    device->base = *cpu;
    device->base.backend = &given_backend;
    device->base.host_memory = false;
    device->base.lanes = orders.lanes;
    snprintf(device->base.name, sizeof device->base.name, "fake:%zu", i);
    device->index = i;
    device->cpu = cpu;
    out[i] = &device->base;
    alive++;
  }
  return SP_OK;
}

void Close(sp_device *device) {
  if (!device)
    return;
  delete Fake(device);
  alive--;
}

size_t BatchTokens(const sp_device *, size_t) {
  return orders.batch_tokens;
}

}  // namespace

void GiveOrders(const FakeOrders &given) {
  orders = given;
  given_backend = {};
  given_backend.name = "fake";
  given_backend.list = List;
  given_backend.open = Open;
  given_backend.close = Close;
  given_backend.batch_tokens = BatchTokens;
  given_backend.alloc = Alloc<&FakeDevice::memory>;
  given_backend.free = Free<&FakeDevice::memory>;
  given_backend.alloc_host = Alloc<&FakeDevice::pinned>;
  given_backend.free_host = Free<&FakeDevice::pinned>;
  AddWeights(&given_backend);
  AddStreams(&given_backend);
  for (size_t i = 0; i < kMostFakes; i++)
    calls[i] = batches[i] = 0;
}

FakeDeeds Deeds() {
  FakeDeeds deeds;
  for (size_t i = 0; i < kMostFakes; i++) {
    deeds.calls[i] = calls[i];
    deeds.batches[i] = batches[i];
  }
  return deeds;
}

long Alive() {
  return alive;
}

}  // namespace sp_test

// The registry of these tests; that of the program is not linked.
extern "C" const sp_backend *const *sp_backend_list(size_t *count) {
  static const sp_backend *const list[] = {&sp_cpu_backend, &sp_test::given_backend};
  *count = 2;
  return list;
}

extern "C" sp_status sp_backend_find(const char *device, const sp_backend **out, const char **spec,
                                     sp_error *err) {
  *spec = "";
  if (strcmp(device, "fake") == 0) {
    *out = &sp_test::given_backend;
    return SP_OK;
  }
  if (strcmp(device, "cpu") == 0 || strcmp(device, "auto") == 0) {
    *out = &sp_cpu_backend;
    return SP_OK;
  }
  return sp_fail(err, SP_EUSAGE, "unknown device '%s'", device);
}
