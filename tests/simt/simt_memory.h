// simt_memory.h - a block's shared memory with an account of who touched it, for the emulator.
#ifndef SP_TESTS_SIMT_MEMORY_H
#define SP_TESTS_SIMT_MEMORY_H

#include <cstddef>
#include <cstdint>
#include <vector>

namespace sp_simt {

void OrderWarp();  // within a WarpAction: sp_sync_warp of that warp

// Every function that checks calls Fail, which does not return. Accounts are kept for pairs of
// bytes. Two accesses are ordered by a barrier of the block between them, or one of the warp where
// both threads are of it.
class SharedMemory {
 public:
  void Resize(size_t bytes, size_t threads);
  void Clear();  // a new block: nothing is written, no copy is under way
  size_t size() const {
    return bytes_.size();
  }

  unsigned char *Read(size_t thread, size_t at, size_t bytes);
  unsigned char *Write(size_t thread, size_t at, size_t bytes);
  void OrderThreads() {
    block_time_++;
  }
  void OrderWarp(size_t warp) {
    warp_time_[warp]++;
  }

  void BeginCopy(size_t thread, size_t at, const void *from);
  void Commit(size_t thread) {
    groups_[thread]++;
  }
  void FinishCopies(size_t thread, size_t pending);
  size_t CopiesOf(size_t thread) const {
    return copies_[thread].size();
  }

 private:
  enum class Readers : uint8_t { kNone, kThread, kWarp, kMany };
  struct Time {
    uint32_t block, warp;
  };
  struct Cell {
    bool written, copying;
    Readers readers;
    uint16_t writer, reader;
    Time write_time, read_time;
  };
  struct Copy {
    size_t at, group;
    unsigned char data[16];
  };

  Time TimeOf(size_t thread) const {
    return Time{block_time_, warp_time_[thread / 32]};
  }
  // Whether what `before` did at `time` is ordered before what `thread` does now.
  bool Ordered(size_t before, Time time, size_t thread) const;
  void CheckWrite(size_t thread, size_t cell) const;
  void NoteRead(size_t thread, Cell *cell);

  std::vector<unsigned char> bytes_;
  std::vector<Cell> cells_;
  uint32_t block_time_ = 0;
  std::vector<uint32_t> warp_time_;
  std::vector<std::vector<Copy>> copies_;  // by thread
  std::vector<size_t> groups_;             // by thread: copies' groups that are closed
};

}  // namespace sp_simt
#endif
