// fake_devices.h - accelerators that are none: the CPU backend behind the contract's other side.
//
// A fake device has memory of its own (it takes host pointers for nothing but pinned copies), queues
// its ops and runs them when it is waited for, and fails, is slow or lies when told to.  The program
// of these tests has a registry of its own, which knows "cpu", "fake" and "auto".
#ifndef SP_TESTS_FAKE_DEVICES_H
#define SP_TESTS_FAKE_DEVICES_H

#include <cstddef>
#include <map>
#include <set>

namespace sp_test {

// What the devices of the next run do, said as On(2).Lanes(3).FailsAtCall(1, 40). Devices count from
// 0, calls from 1.
struct FakeOrders {
  size_t devices = 1, lanes = 2, batch_tokens = 0;
  bool share = false;
  std::map<size_t, size_t> fail_call, fail_finish;
  std::map<size_t, unsigned> delay_us;
  std::set<size_t> lying;

  FakeOrders &Lanes(size_t n) {
    lanes = n;
    return *this;
  }
  FakeOrders &Share(bool yes = true) {  // the backend has share_weights
    share = yes;
    return *this;
  }
  FakeOrders &BatchTokens(size_t n) {  // what the backend asks for
    batch_tokens = n;
    return *this;
  }
  FakeOrders &FailsAtCall(size_t device, size_t call) {  // and at all later ones
    fail_call[device] = call;
    return *this;
  }
  FakeOrders &FailsAtBatch(size_t device, size_t batch) {  // when its results are waited for
    fail_finish[device] = batch;
    return *this;
  }
  FakeOrders &Slow(size_t device, unsigned us_of_a_batch) {
    delay_us[device] = us_of_a_batch;
    return *this;
  }
  FakeOrders &Lies(size_t device) {  // what comes from it is wrong
    lying.insert(device);
    return *this;
  }
};
inline FakeOrders On(size_t devices) {
  FakeOrders orders;
  orders.devices = devices;
  return orders;
}

// What they did since the orders were given.
struct FakeDeeds {
  std::map<size_t, size_t> calls, batches;
};

// No run may be going on.
void GiveOrders(const FakeOrders &orders);
FakeDeeds Deeds();
// Devices, weights, streams and blocks of memory that were not given back.
long Alive();

}  // namespace sp_test
#endif
