#include "simt_memory.h"

#include <algorithm>
#include <cstring>

#include "simt.cuh"

namespace sp_simt {

void SharedMemory::Resize(size_t bytes, size_t threads) {
  bytes_.resize(bytes);
  cells_.resize((bytes + 1) / 2);
  warp_time_.resize((threads + 31) / 32);
  copies_.resize(threads);
  groups_.resize(threads);
}

void SharedMemory::Clear() {
  std::fill(bytes_.begin(), bytes_.end(), static_cast<unsigned char>(0xa5));
  std::fill(cells_.begin(), cells_.end(), Cell{});
  std::fill(warp_time_.begin(), warp_time_.end(), 0);
  std::fill(groups_.begin(), groups_.end(), 0);
  for (std::vector<Copy> &copies : copies_)
    copies.clear();
  block_time_ = 0;
}

bool SharedMemory::Ordered(size_t before, Time time, size_t thread) const {
  if (before == thread || time.block < block_time_)
    return true;
  return before / 32 == thread / 32 && time.warp < warp_time_[thread / 32];
}

void SharedMemory::CheckWrite(size_t thread, size_t cell) const {
  const Cell &c = cells_[cell];
  if (c.copying)
    Fail("a write to shared byte %zu, which an asynchronous copy is writing", cell * 2);
  if (c.written && !Ordered(c.writer, c.write_time, thread))
    Fail("race: a write to shared byte %zu, which thread %u wrote since the last barrier", cell * 2,
         c.writer);
  bool ordered = true;
  if (c.readers == Readers::kThread) {
    ordered = Ordered(c.reader, c.read_time, thread);
  } else if (c.readers == Readers::kWarp) {
    bool same = c.reader / 32u == thread / 32 && c.read_time.warp < warp_time_[thread / 32];
    ordered = c.read_time.block < block_time_ || same;
  } else if (c.readers == Readers::kMany) {
    ordered = c.read_time.block < block_time_;
  }
  if (!ordered)
    Fail("race: a write to shared byte %zu, which thread %u read since the last barrier", cell * 2,
         c.reader);
}

void SharedMemory::NoteRead(size_t thread, Cell *cell) {
  bool old = cell->readers == Readers::kNone || cell->read_time.block < block_time_;
  if (old || (cell->readers == Readers::kThread && cell->reader == thread)) {
    cell->readers = Readers::kThread;
  } else if (cell->readers != Readers::kMany) {
    cell->readers = cell->reader / 32u == thread / 32 ? Readers::kWarp : Readers::kMany;
  }
  cell->reader = static_cast<uint16_t>(thread);
  cell->read_time = TimeOf(thread);
}

unsigned char *SharedMemory::Read(size_t thread, size_t at, size_t bytes) {
  for (size_t i = at / 2; i < (at + bytes + 1) / 2; i++) {
    Cell *cell = &cells_[i];
    if (cell->copying)
      Fail("a read of shared byte %zu before the wait for its asynchronous copy", i * 2);
    if (!cell->written)
      Fail("a read of shared byte %zu, which nothing has written", i * 2);
    if (!Ordered(cell->writer, cell->write_time, thread))
      Fail("race: a read of shared byte %zu, which thread %u wrote since the last barrier", i * 2,
           cell->writer);
    NoteRead(thread, cell);
  }
  return bytes_.data() + at;
}

unsigned char *SharedMemory::Write(size_t thread, size_t at, size_t bytes) {
  for (size_t i = at / 2; i < (at + bytes + 1) / 2; i++) {
    CheckWrite(thread, i);
    Cell *cell = &cells_[i];
    cell->written = true;
    cell->writer = static_cast<uint16_t>(thread);
    cell->write_time = TimeOf(thread);
    cell->readers = Readers::kNone;
  }
  return bytes_.data() + at;
}

void SharedMemory::BeginCopy(size_t thread, size_t at, const void *from) {
  Copy copy{at, groups_[thread], {}};
  if (from)
    memcpy(copy.data, from, sizeof copy.data);
  for (size_t i = at / 2; i < at / 2 + 8; i++) {
    CheckWrite(thread, i);
    cells_[i].copying = true;
  }
  copies_[thread].push_back(copy);
}

void SharedMemory::FinishCopies(size_t thread, size_t pending) {
  std::vector<Copy> &copies = copies_[thread];
  size_t closed = groups_[thread];
  auto first_left = std::find_if(copies.begin(), copies.end(),
                                 [&](const Copy &copy) { return copy.group + pending >= closed; });
  for (auto copy = copies.begin(); copy != first_left; ++copy) {
    for (size_t i = copy->at / 2; i < copy->at / 2 + 8; i++)
      cells_[i].copying = false;
    memcpy(Write(thread, copy->at, 16), copy->data, 16);
  }
  copies.erase(copies.begin(), first_left);
}

}  // namespace sp_simt
