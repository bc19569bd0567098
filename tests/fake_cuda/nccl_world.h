// nccl_world.h - what communicators that are made with one unique id have in common, in any number of
// processes and threads of this machine: a file which the id names.
//
// Ranks come; when all are there, broadcasts begin: each rank arrives, the root leaves its bytes, and it is
// over for a rank when the bytes are there and everybody has arrived.  Nothing here waits.
#ifndef SP_TESTS_FAKE_NCCL_WORLD_H
#define SP_TESTS_FAKE_NCCL_WORLD_H

#include <nccl.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>

namespace sp_fake_cuda {

class World {
 public:
  static bool Create(ncclUniqueId *id);
  World(const ncclUniqueId &id, int ranks, int rank);
  ~World();  // rank 0's takes the file away
  World(const World &) = delete;
  World &operator=(const World &) = delete;

  bool Exists() const {
    return shared_ != nullptr;
  }
  // False: the rank is taken, or out of range.
  bool Join(uint64_t device);
  bool IsComplete() const;  // all ranks are there
  bool SharesDevices() const;
  // Of broadcast `number`: false when the ranks' sizes differ.
  bool Arrive(size_t number, size_t bytes);
  void Leave(size_t number, const void *from, size_t bytes);
  bool IsOver(size_t number) const;
  void Fetch(size_t number, void *to, size_t bytes) const;

 private:
  struct Shared;
  Shared *shared_ = nullptr;
  int file_ = -1, ranks_, rank_;
  std::string path_;
};

}  // namespace sp_fake_cuda
#endif
