// fake_parts.h - what the files of the fake devices share: their objects, and the run that goes on.
#ifndef SP_TESTS_FAKE_PARTS_H
#define SP_TESTS_FAKE_PARTS_H

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "backend.h"
#include "cpu.h"
#include "fake_devices.h"

namespace sp_test {

struct FakeWeight;
using FakeBlocks = std::map<const char *, size_t>;  // bytes of each address

struct FakeDevice {
  sp_device base;  // first: the contract's view
  size_t index;
  std::shared_ptr<sp_device> cpu;     // all devices compute on one
  std::vector<FakeWeight *> weights;  // in the order of their making, for share_weights
  std::atomic<bool> dead{false};
  std::mutex mutex;  // of what follows
  FakeBlocks memory, pinned;
};

struct FakeWeight {
  FakeDevice *device;
  const char *kind;
  std::vector<size_t> shape;
  std::shared_ptr<void> inner;  // the CPU's; those that it was shared with have the same
};

inline FakeDevice *Fake(sp_device *device) {
  return reinterpret_cast<FakeDevice *>(device);
}

// ---- fake_devices.cc ----

constexpr size_t kMostFakes = 16;
extern FakeOrders orders;
extern std::atomic<size_t> batches[kMostFakes];
extern std::atomic<long> alive;

sp_status Die(FakeDevice *device, sp_error *err, const char *what);
// Every call of the contract that may fail comes through here.
sp_status Enter(FakeDevice *device, sp_error *err);
// Whether one block has all of the bytes.
bool Holds(FakeDevice *device, const FakeBlocks FakeDevice::*blocks, const void *data,
           size_t bytes);

// ---- fake_weights.cc, fake_streams.cc: their part of the table ----

void AddWeights(sp_backend *backend);
void AddStreams(sp_backend *backend);

}  // namespace sp_test
#endif
