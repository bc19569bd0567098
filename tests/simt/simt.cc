#include "simt.cuh"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <memory>
#include <vector>

#include "fiber.h"
#include "simt_memory.h"

cudaError_t (*sp_simt_submit)(cudaStream_t stream, const char *kernel,
                              std::function<cudaError_t()> run);

namespace sp_simt {

__thread const Coordinates *now;

namespace {

// What sm_80 takes.
constexpr size_t kMaxShared = 163 * 1024;
constexpr unsigned kMaxThreads = 1024;

struct Stop {};  // thrown through a kernel that has failed

enum class State { kReady, kAtWarp, kAtThreads, kDone };

struct Lane {
  Coordinates where;
  State state;
  bool inside;       // its fiber is within the kernel
  Site site;         // of the last barrier or warp function
  const char *what;  // its name
  WarpAction act;
  void *operand;
};

// A launch under way, in this OS thread.
struct Launch {
  const char *kernel;
  const std::function<void()> *body;
  size_t threads;
  std::vector<Lane> lanes;
  SharedMemory memory;
  Lane *running = nullptr;  // null in the scheduler
  size_t acting = 0;        // the lane that a WarpAction works for
  bool failed = false;
};

thread_local Launch *launch;
thread_local std::vector<std::unique_ptr<Fiber>> fibers;  // made once, used by every launch
thread_local std::string failure;
thread_local bool reverse_order;

size_t NumberOf(const Lane *lane) {
  return static_cast<size_t>(lane - launch->lanes.data());
}

size_t InOrder(size_t i, size_t n) {
  return reverse_order ? n - 1 - i : i;
}

std::string Describe(const Lane &lane) {
  const uint3 &b = lane.where.block_index;
  std::string text = std::string(launch->kernel) + ", block (" + std::to_string(b.x) + ", " +
                     std::to_string(b.y) + ", " + std::to_string(b.z) + "), thread " +
                     std::to_string(NumberOf(&lane));
  if (lane.site.file)
    text += std::string(", last at ") + lane.site.file + ":" + std::to_string(lane.site.line);
  return text;
}

[[noreturn]] void FailLane(const Lane &lane, const std::string &what) {
  if (!launch->failed) {
    failure = what + " (" + Describe(lane) + ")";
    fprintf(stderr, "simt: %s\n", failure.c_str());
    launch->failed = true;
  }
  throw Stop{};
}

void Wait(State state, const char *what, Site site) {
  Lane *lane = launch->running;
  lane->state = state;
  lane->what = what;
  lane->site = site;
  Fiber::Pause();
  if (launch->failed)
    throw Stop{};
}

void RunBody(void *) {
  launch->running->inside = true;
  try {
    (*launch->body)();
    size_t thread = NumberOf(launch->running);
    if (launch->memory.CopiesOf(thread) > 0)
      Fail("it ends with asynchronous copies under way");
  } catch (const Stop &) {
  }
  launch->running->state = State::kDone;
  launch->running->inside = false;
}

void RunLane(size_t number) {
  Lane *lane = &launch->lanes[number];
  lane->state = State::kReady;
  launch->running = lane;
  now = &lane->where;
  fibers[number]->Resume(RunBody, nullptr);
  launch->running = nullptr;
  if (launch->failed)
    throw Stop{};
}

// The warp's lanes stand at one warp function; anything else is an error.
void ActOnWarp(Lane *lanes) {
  void *operands[32];
  for (size_t i = 0; i < 32; i++) {
    const Lane &lane = lanes[i];
    if (lane.state == State::kDone) {
      FailLane(lane,
               std::string("this lane has ended while others of its warp are at ") + lanes[0].what);
    }
    if (lane.state != lanes[0].state || lane.act != lanes[0].act ||
        lane.site.line != lanes[0].site.line || strcmp(lane.site.file, lanes[0].site.file) != 0) {
      FailLane(lane, std::string("divergent warp: this lane is at ") + lane.what +
                         ", the first lane at " + lanes[0].what + ", " + lanes[0].site.file + ":" +
                         std::to_string(lanes[0].site.line));
    }
    operands[i] = lane.operand;
  }
  launch->acting = NumberOf(lanes);
  lanes[0].act(operands);
  for (size_t i = 0; i < 32; i++)
    lanes[i].state = State::kReady;
}

// Runs a warp until all of its lanes have ended or are at a barrier of the block.
void RunWarp(size_t first) {
  Lane *lanes = &launch->lanes[first];
  for (;;) {
    for (size_t i = 0; i < 32; i++) {
      size_t lane = InOrder(i, 32);
      if (lanes[lane].state == State::kReady)
        RunLane(first + lane);
    }
    auto at_warp = [](const Lane &lane) { return lane.state == State::kAtWarp; };
    if (std::none_of(lanes, lanes + 32, at_warp))
      return;
    if (!at_warp(lanes[0])) {  // the messages compare with the first lane
      const Lane *other = std::find_if(lanes, lanes + 32, at_warp);
      FailLane(*other, std::string("divergent warp: this lane is at ") + other->what +
                           ", the first lane " +
                           (lanes[0].state == State::kDone ? "has ended" : "at sp_sync_threads"));
    }
    ActOnWarp(lanes);
  }
}

// All threads have ended, or stand at one barrier, which then opens. False at the end.
bool OpenBarrier() {
  std::vector<Lane> &lanes = launch->lanes;
  bool ended = lanes[0].state == State::kDone;
  for (const Lane &lane : lanes) {
    if ((lane.state == State::kDone) != ended)
      FailLane(lane, std::string("divergent barrier: this thread ") +
                         (ended ? "waits and the first one has ended"
                                : "has ended and the first one waits"));
    if (!ended &&
        (lane.site.line != lanes[0].site.line || strcmp(lane.site.file, lanes[0].site.file) != 0))
      FailLane(lane, std::string("divergent barrier: the first thread is at ") +
                         lanes[0].site.file + ":" + std::to_string(lanes[0].site.line));
  }
  for (Lane &lane : lanes)
    lane.state = ended ? State::kDone : State::kReady;
  launch->memory.OrderThreads();
  return !ended;
}

void RunBlock(uint3 block) {
  for (Lane &lane : launch->lanes) {
    lane.where.block_index = block;
    lane.state = State::kReady;
    lane.site = Site{nullptr, 0};
  }
  launch->memory.Clear();
  do {
    for (size_t i = 0; i < launch->threads / 32; i++)
      RunWarp(InOrder(i, launch->threads / 32) * 32);
  } while (OpenBarrier());
}

// After a failure: fibers that wait are resumed once more, and leave their kernel.
void LeaveFibers() {
  for (size_t i = 0; i < launch->threads; i++) {
    Lane *lane = &launch->lanes[i];
    if (lane->inside) {
      launch->running = lane;
      now = &lane->where;
      fibers[i]->Resume(RunBody, nullptr);
    }
  }
  launch->running = nullptr;
}

void RunBlocks(dim3 grid) {
  size_t blocks = static_cast<size_t>(grid.x) * grid.y * grid.z;
  for (size_t i = 0; i < blocks; i++) {
    size_t b = InOrder(i, blocks);
    RunBlock(uint3{static_cast<unsigned>(b % grid.x), static_cast<unsigned>(b / grid.x % grid.y),
                   static_cast<unsigned>(b / grid.x / grid.y)});
  }
}

bool CheckShape(const char *kernel, dim3 grid, dim3 block, size_t shared_bytes) {
  bool good = grid.x > 0 && grid.y > 0 && grid.z > 0 && grid.x <= 0x7fffffffu && grid.y <= 65535 &&
              grid.z <= 65535 && block.x > 0 && block.x <= kMaxThreads && block.x % 32 == 0 &&
              block.y == 1 && block.z == 1 && shared_bytes <= kMaxShared;
  if (!good) {
    failure = std::string(kernel) + ": grid (" + std::to_string(grid.x) + ", " +
              std::to_string(grid.y) + ", " + std::to_string(grid.z) + "), block (" +
              std::to_string(block.x) + ", " + std::to_string(block.y) + ", " +
              std::to_string(block.z) + ") or " + std::to_string(shared_bytes) +
              " bytes of shared memory cannot be launched";
    fprintf(stderr, "simt: %s\n", failure.c_str());
  }
  return good;
}

}  // namespace

const std::string &Failure() {
  return failure;
}

void ClearFailure() {
  failure.clear();
}

void SetReverse(bool reverse) {
  reverse_order = reverse;
}

cudaError_t RunGrid(const char *kernel, dim3 grid, dim3 block, size_t shared_bytes,
                    const std::function<void()> &body) {
  if (!CheckShape(kernel, grid, block, shared_bytes))
    return cudaErrorInvalidConfiguration;
  Launch mine;
  mine.kernel = kernel;
  mine.body = &body;
  mine.threads = block.x;
  mine.lanes.resize(block.x);
  mine.memory.Resize(shared_bytes, block.x);
  for (unsigned i = 0; i < block.x; i++)
    mine.lanes[i].where = Coordinates{uint3{i, 0, 0}, uint3{0, 0, 0}, block, grid};
  while (fibers.size() < block.x)
    fibers.push_back(std::make_unique<Fiber>());
  Launch *before = launch;
  launch = &mine;
  try {
    RunBlocks(grid);
  } catch (const Stop &) {
    LeaveFibers();
  }
  launch = before;
  now = nullptr;
  return mine.failed ? cudaErrorLaunchFailure : cudaSuccess;
}

// ---- what kernels call ----

void Fail(const char *format, ...) {
  char text[256];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  FailLane(launch->running ? *launch->running : launch->lanes[launch->acting], text);
}

void CheckAligned(const char *what, size_t address, size_t alignment) {
  if (address % alignment != 0)
    Fail("%s of %zu bytes at an address that is %zu bytes past a multiple", what, alignment,
         address % alignment);
}

void CheckBounds(int64_t at, size_t bytes, int64_t low, int64_t high) {
  if (at < low || at + static_cast<int64_t>(bytes) > high) {
    Fail("shared memory out of bounds: bytes [%lld, +%zu) of an allocation [%lld, %lld)",
         static_cast<long long>(at), bytes, static_cast<long long>(low),
         static_cast<long long>(high));
  }
}

void CheckAllocation(size_t at, size_t bytes, size_t alignment) {
  CheckAligned("a shared allocation", at, alignment);
  if (bytes > launch->memory.size() || at > launch->memory.size() - bytes) {
    Fail("shared memory out of bounds: allocation [%zu, +%zu) of a launch with %zu bytes", at,
         bytes, launch->memory.size());
  }
}

unsigned char *Shared(size_t at, size_t bytes, Access access) {
  size_t thread = NumberOf(launch->running);
  return access == Access::kRead ? launch->memory.Read(thread, at, bytes)
                                 : launch->memory.Write(thread, at, bytes);
}

const unsigned char *SharedOfLane(int lane, size_t at, size_t bytes) {
  size_t first = launch->acting;
  launch->acting = first + static_cast<size_t>(lane);  // failures name this lane
  const unsigned char *data = launch->memory.Read(launch->acting, at, bytes);
  launch->acting = first;
  return data;
}

void SyncThreads(Site site) {
  Wait(State::kAtThreads, "sp_sync_threads", site);
}

void CopyAsync(size_t at, const void *from) {
  launch->memory.BeginCopy(NumberOf(launch->running), at, from);
}

void CommitCopies() {
  launch->memory.Commit(NumberOf(launch->running));
}

void WaitCopies(int pending) {
  launch->memory.FinishCopies(NumberOf(launch->running), static_cast<size_t>(pending));
}

void WarpAct(const char *what, WarpAction act, void *operand, Site site) {
  launch->running->act = act;
  launch->running->operand = operand;
  Wait(State::kAtWarp, what, site);
}

void OrderWarp() {
  launch->memory.OrderWarp(launch->acting / 32);
}

}  // namespace sp_simt
