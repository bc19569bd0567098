#include "nccl_world.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>
#include <vector>

namespace sp_fake_cuda {

namespace {
constexpr int kRanks = 64;
constexpr size_t kBroadcasts = 4096;

// Files whose world never came to be.
struct Leftovers {
  std::mutex mutex;
  std::vector<std::string> paths;
  ~Leftovers() {
    for (const std::string &path : paths)
      unlink(path.c_str());
  }
} leftovers;
}  // namespace

// At the begin of the file; the bytes follow, as they come. A new file's are zeros.
struct World::Shared {
  std::atomic<int> joined;
  std::atomic<bool> taken[kRanks];
  uint64_t devices[kRanks];
  uint64_t end;  // of the bytes so far: the root's
  struct {
    std::atomic<int> arrived;
    std::atomic<uint64_t> size;  // and one; 0: nobody is there yet
    std::atomic<bool> sent;
    uint64_t at;
  } broadcasts[kBroadcasts];
};

bool World::Create(ncclUniqueId *id) {
  const char *directory = getenv("TMPDIR");
  memset(id, 0, sizeof *id);
  snprintf(id->internal, sizeof id->internal, "%s/fake-nccl-XXXXXX",
           directory && strlen(directory) < 80 ? directory : "/tmp");
  int file = mkstemp(id->internal);
  bool made = file >= 0 && ftruncate(file, sizeof(Shared)) == 0;
  if (file >= 0) {
    std::lock_guard<std::mutex> hold(leftovers.mutex);
    leftovers.paths.push_back(id->internal);
    close(file);
  }
  return made;
}

World::World(const ncclUniqueId &id, int ranks, int rank)
    : ranks_(ranks), rank_(rank), path_(id.internal) {
  file_ = open(id.internal, O_RDWR | O_CLOEXEC);
  void *mapped = file_ < 0
                     ? MAP_FAILED
                     : mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED, file_, 0);
  if (mapped != MAP_FAILED)
    shared_ = static_cast<Shared *>(mapped);
}

World::~World() {
  if (shared_)
    munmap(shared_, sizeof(Shared));
  if (file_ >= 0)
    close(file_);
  if (rank_ == 0)
    unlink(path_.c_str());
}

bool World::Join(uint64_t device) {
  if (rank_ < 0 || rank_ >= ranks_ || ranks_ > kRanks || shared_->taken[rank_].exchange(true))
    return false;
  shared_->devices[rank_] = device;
  shared_->joined++;
  return true;
}

bool World::IsComplete() const {
  return shared_->joined == ranks_;
}

bool World::SharesDevices() const {
  for (int i = 0; i < ranks_; i++) {
    for (int j = 0; j < i; j++) {
      if (shared_->devices[i] == shared_->devices[j])
        return true;
    }
  }
  return false;
}

bool World::Arrive(size_t number, size_t bytes) {
  if (number >= kBroadcasts)
    return false;
  auto &one = shared_->broadcasts[number];
  uint64_t nobody = 0;
  bool alike = one.size.compare_exchange_strong(nobody, bytes + 1) || nobody == bytes + 1;
  one.arrived++;
  return alike;
}

void World::Leave(size_t number, const void *from, size_t bytes) {
  auto &one = shared_->broadcasts[number];
  one.at = sizeof(Shared) + shared_->end;
  shared_->end += bytes;
  if (pwrite(file_, from, bytes, static_cast<off_t>(one.at)) != static_cast<ssize_t>(bytes))
    abort();
  one.sent = true;
}

bool World::IsOver(size_t number) const {
  const auto &one = shared_->broadcasts[number];
  return one.sent && one.arrived == ranks_;
}

void World::Fetch(size_t number, void *to, size_t bytes) const {
  const auto &one = shared_->broadcasts[number];
  if (pread(file_, to, bytes, static_cast<off_t>(one.at)) != static_cast<ssize_t>(bytes))
    abort();
}

}  // namespace sp_fake_cuda
