// simt.h - the emulator's side of cuda/ops/simt.cuh, which says what each name means.
//
// A launch runs its blocks one after the other on the calling OS thread. A block's threads are
// fibers, which run until a barrier or a warp function; so a launch is repeatable, and a kernel
// that depends on the order of threads shows it under SetReverse.
//
// What it finds ends the launch with cudaErrorLaunchFailure and a message that names the kernel,
// the block and the thread:
//   shared memory   out of an allocation's bounds; reading bytes that nothing has written; wide
//                   accesses that are not aligned; two threads at the same bytes, one of them
//                   writing, with no barrier between that orders them
//   barriers        threads of a block at different barriers, or gone; lanes of a warp at different
//                   warp functions, or gone
//   copies          sp_cp_async data touched before its thread waited for it; a kernel that ends
//                   with copies under way
//   launches        shapes that no GPU takes
// Global memory is the host's: the address sanitizer guards it.
//
// Kernels include it through simt.cuh, hosts include simt_host.h.
#ifndef SP_TESTS_SIMT_H
#define SP_TESTS_SIMT_H

#include <cuda_runtime_api.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <tuple>
#include <type_traits>

#include "simt_host.h"

namespace sp_simt {

// A place in a kernel's source.
struct Site {
  const char *file;
  int line;
  static constexpr Site Here(const char *file = __builtin_FILE(), int line = __builtin_LINE()) {
    return Site{file, line};
  }
};

// What the running thread sees.
struct Coordinates {
  uint3 thread_index, block_index;
  dim3 block_dim, grid_dim;
};
extern __thread const Coordinates *now;

cudaError_t RunGrid(const char *kernel, dim3 grid, dim3 block, size_t shared_bytes,
                    const std::function<void()> &body);

// ---- what kernels do, as the emulator sees it ----

enum class Access { kRead, kWrite };

// Checks an access of the running thread to its block's shared memory, and returns the bytes.
unsigned char *Shared(size_t at, size_t bytes, Access access);
// The end of the launch.
[[noreturn]] void Fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
void CheckAllocation(size_t at, size_t bytes, size_t alignment);
void CheckAligned(const char *what, size_t address, size_t alignment);
void CheckBounds(int64_t at, size_t bytes, int64_t low, int64_t high);

void SyncThreads(Site site);
void CopyAsync(size_t at, const void *from);  // null: zeros
void CommitCopies();
void WaitCopies(int pending);

// All lanes give their operand; `act` then sees the 32 of them, and every lane goes on.
using WarpAction = void (*)(void *const operands[32]);
void WarpAct(const char *what, WarpAction act, void *operand, Site site);
// Within a WarpAction: as Shared, for that lane.
const unsigned char *SharedOfLane(int lane, size_t at, size_t bytes);

template <typename T>
T ReadShared(size_t at) {
  T value;
  std::memcpy(&value, Shared(at, sizeof(T), Access::kRead), sizeof(T));
  return value;
}

}  // namespace sp_simt

// ---- the names of simt.cuh ----

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define threadIdx (sp_simt::now->thread_index)
#define blockIdx (sp_simt::now->block_index)
#define blockDim (sp_simt::now->block_dim)
#define gridDim (sp_simt::now->grid_dim)

#define SP_DEVICE [[maybe_unused]] static inline
#define SP_DEVICE_MEMBER
#define SP_WHERE , sp_simt::Site site = sp_simt::Site::Here()
#define SP_HERE , site
#define SP_UNROLL
#define SP_UNROLL_BY(n)

#define SP_LAUNCH(kernel, grid, block, shared_bytes, stream, ...) \
  sp_launch(#kernel, (kernel), (grid), (block), (shared_bytes), (stream), __VA_ARGS__)

template <typename... Parameters, typename... Arguments>
cudaError_t sp_launch(const char *name, void (*kernel)(Parameters...), dim3 grid, dim3 block,
                      size_t shared_bytes, cudaStream_t stream, Arguments... arguments) {
  std::tuple<std::decay_t<Parameters>...> values(static_cast<Parameters>(arguments)...);
  auto run = [=]() {
    return sp_simt::RunGrid(name, grid, block, shared_bytes, [&]() { std::apply(kernel, values); });
  };
  return sp_simt_submit ? sp_simt_submit(stream, name, run) : run();
}

// ---- shared memory ----

// An element of shared memory: reads and writes are checked.
template <typename T>
class SharedRef {
 public:
  using Value = std::remove_const_t<T>;
  explicit SharedRef(size_t at) : at_(at) {}
  SharedRef(const SharedRef &) = default;
  operator Value() const {
    return sp_simt::ReadShared<Value>(at_);
  }
  SharedRef &operator=(const Value &value) {
    static_assert(!std::is_const_v<T>, "the element is const");
    std::memcpy(sp_simt::Shared(at_, sizeof(T), sp_simt::Access::kWrite), &value, sizeof(T));
    return *this;
  }
  SharedRef &operator=(const SharedRef &other) {
    return *this = static_cast<Value>(other);
  }
  SharedRef &operator+=(const Value &value) {
    return *this = static_cast<Value>(*this) + value;
  }
  SharedRef &operator*=(const Value &value) {
    return *this = static_cast<Value>(*this) * value;
  }
  SharedRef &operator|=(const Value &value) {
    return *this = static_cast<Value>(*this) | value;
  }

 private:
  size_t at_;
};

template <typename T>
class SharedPtr {
  static_assert(sizeof(T) % 2 == 0, "the emulator keeps account of pairs of bytes");

 public:
  SharedPtr() = default;
  SharedPtr(int64_t at, int64_t low, int64_t high) : at_(at), low_(low), high_(high) {}
  operator SharedPtr<const T>() const {
    return SharedPtr<const T>(at_, low_, high_);
  }

  SharedRef<T> operator[](int64_t i) const {
    int64_t at = at_ + i * Size();
    sp_simt::CheckBounds(at, sizeof(T), low_, high_);
    return SharedRef<T>(static_cast<size_t>(at));
  }
  SharedRef<T> operator*() const {
    return (*this)[0];
  }
  SharedPtr operator+(int64_t n) const {
    return SharedPtr(at_ + n * Size(), low_, high_);
  }
  SharedPtr operator-(int64_t n) const {
    return *this + -n;
  }
  SharedPtr &operator+=(int64_t n) {
    return *this = *this + n;
  }
  SharedPtr &operator-=(int64_t n) {
    return *this = *this - n;
  }
  SharedPtr &operator++() {
    return *this += 1;
  }
  int64_t operator-(const SharedPtr &other) const {
    return (at_ - other.at_) / Size();
  }
  bool operator==(const SharedPtr &other) const {
    return at_ == other.at_;
  }
  bool operator!=(const SharedPtr &other) const {
    return at_ != other.at_;
  }
  bool operator<(const SharedPtr &other) const {
    return at_ < other.at_;
  }
  bool operator<=(const SharedPtr &other) const {
    return at_ <= other.at_;
  }

  template <typename U>
  SharedPtr<U> Cast() const {
    return SharedPtr<U>(at_, low_, high_);
  }
  // The checked place of a wide access.
  size_t Place(const char *what, size_t bytes) const {
    sp_simt::CheckBounds(at_, bytes, low_, high_);
    sp_simt::CheckAligned(what, static_cast<size_t>(at_), bytes);
    return static_cast<size_t>(at_);
  }

 private:
  static constexpr int64_t Size() {
    return static_cast<int64_t>(sizeof(T));
  }
  int64_t at_ = 0, low_ = 0, high_ = 0;  // bytes; the allocation's bounds
};

template <typename T>
SharedPtr<T> sp_shared(size_t byte_offset, size_t count) {
  sp_simt::CheckAllocation(byte_offset, count * sizeof(T), alignof(T));
  int64_t at = static_cast<int64_t>(byte_offset);
  return SharedPtr<T>(at, at, at + static_cast<int64_t>(count * sizeof(T)));
}

template <typename U, typename T>
SharedPtr<U> sp_shared_cast(SharedPtr<T> p) {
  return p.template Cast<U>();
}

// ---- barriers and warps ----

inline void sp_sync_threads(sp_simt::Site site = sp_simt::Site::Here()) {
  sp_simt::SyncThreads(site);
}
void sp_sync_warp(sp_simt::Site site = sp_simt::Site::Here());

template <typename T>
struct ShuffleOperand {
  T value, result;
  int argument;
};

template <typename T>
T sp_shfl_xor(T v, int mask, sp_simt::Site site = sp_simt::Site::Here()) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8, "CUDA shuffles 4 or 8 bytes");
  using Operand = ShuffleOperand<T>;
  Operand operand{v, v, mask};
  sp_simt::WarpAct(
      "sp_shfl_xor",
      [](void *const lanes[32]) {
        for (int i = 0; i < 32; i++) {
          Operand *mine = static_cast<Operand *>(lanes[i]);
          mine->result = static_cast<Operand *>(lanes[(i ^ mine->argument) & 31])->value;
        }
      },
      &operand, site);
  return operand.result;
}

template <typename T>
T sp_shfl(T v, int lane, sp_simt::Site site = sp_simt::Site::Here()) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8, "CUDA shuffles 4 or 8 bytes");
  using Operand = ShuffleOperand<T>;
  Operand operand{v, v, lane};
  sp_simt::WarpAct(
      "sp_shfl",
      [](void *const lanes[32]) {
        for (int i = 0; i < 32; i++) {
          Operand *mine = static_cast<Operand *>(lanes[i]);
          mine->result = static_cast<Operand *>(lanes[mine->argument & 31])->value;
        }
      },
      &operand, site);
  return operand.result;
}

uint32_t sp_ballot(bool p, sp_simt::Site site = sp_simt::Site::Here());

// ---- wide loads and stores ----

namespace sp_simt {

template <typename V>
V LoadWide(const void *p) {
  CheckAligned("a wide load", reinterpret_cast<size_t>(p), sizeof(V));
  V v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
template <typename V, typename T>
V LoadWide(SharedPtr<T> p) {
  return ReadShared<V>(p.Place("a wide load", sizeof(V)));
}
template <typename V>
void StoreWide(void *p, V v) {
  CheckAligned("a wide store", reinterpret_cast<size_t>(p), sizeof(V));
  std::memcpy(p, &v, sizeof v);
}
template <typename V, typename T>
void StoreWide(SharedPtr<T> p, V v) {
  size_t at = p.Place("a wide store", sizeof(V));
  std::memcpy(Shared(at, sizeof(V), Access::kWrite), &v, sizeof v);
}

}  // namespace sp_simt

template <typename P>
uint4 sp_load16(P p) {
  return sp_simt::LoadWide<uint4>(p);
}
template <typename P>
uint2 sp_load8(P p) {
  return sp_simt::LoadWide<uint2>(p);
}
template <typename P>
uint32_t sp_load4(P p) {
  return sp_simt::LoadWide<uint32_t>(p);
}
template <typename P>
void sp_store16(P p, uint4 v) {
  sp_simt::StoreWide<uint4>(p, v);
}
template <typename P>
void sp_store8(P p, uint2 v) {
  sp_simt::StoreWide<uint2>(p, v);
}
template <typename P>
void sp_store4(P p, uint32_t v) {
  sp_simt::StoreWide<uint32_t>(p, v);
}

// ---- asynchronous copies ----

template <typename T, typename S>
void sp_cp_async16(SharedPtr<T> dst, const S *src, bool valid) {
  static_assert(std::is_same_v<T, S>, "source and destination differ in type");
  size_t at = dst.Place("a copy's destination", 16);
  if (valid)
    sp_simt::CheckAligned("a copy's source", reinterpret_cast<size_t>(src), 16);
  sp_simt::CopyAsync(at, valid ? src : nullptr);
}

inline void sp_cp_async_commit() {
  sp_simt::CommitCopies();
}

template <int kPending>
void sp_cp_async_wait() {
  sp_simt::WaitCopies(kPending);
}

// ---- tensor cores ----

namespace sp_simt {
void LoadMatrices(int count, bool transposed, uint32_t *r, size_t row, Site site);
}

inline void sp_ldmatrix_x4(uint32_t r[4], SharedPtr<sp_bf16> row,
                           sp_simt::Site site = sp_simt::Site::Here()) {
  sp_simt::LoadMatrices(4, false, r, row.Place("a matrix row", 16), site);
}
inline void sp_ldmatrix_x4_trans(uint32_t r[4], SharedPtr<sp_bf16> row,
                                 sp_simt::Site site = sp_simt::Site::Here()) {
  sp_simt::LoadMatrices(4, true, r, row.Place("a matrix row", 16), site);
}
inline void sp_ldmatrix_x2(uint32_t r[2], SharedPtr<sp_bf16> row,
                           sp_simt::Site site = sp_simt::Site::Here()) {
  sp_simt::LoadMatrices(2, false, r, row.Place("a matrix row", 16), site);
}
inline void sp_ldmatrix_x2_trans(uint32_t r[2], SharedPtr<sp_bf16> row,
                                 sp_simt::Site site = sp_simt::Site::Here()) {
  sp_simt::LoadMatrices(2, true, r, row.Place("a matrix row", 16), site);
}

void sp_mma_bf16(float d[4], const uint32_t a[4], const uint32_t b[2],
                 sp_simt::Site site = sp_simt::Site::Here());

// ---- numbers ----

inline float sp_float_of(uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}
inline uint32_t sp_bits_of(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}
uint32_t sp_pack_bf16(float low, float high);
inline float sp_exp(float x) {
  return expf(x);
}
inline float sp_exp2(float x) {
  return exp2f(x);
}
inline float sp_log(float x) {
  return logf(x);
}
inline float sp_erf(float x) {
  return erff(x);
}
inline float sp_rcp(float x) {
  return 1.0f / x;
}

inline uint2 make_uint2(unsigned x, unsigned y) {
  return uint2{x, y};
}
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) {
  return uint4{x, y, z, w};
}
inline float2 make_float2(float x, float y) {
  return float2{x, y};
}
inline float4 make_float4(float x, float y, float z, float w) {
  return float4{x, y, z, w};
}

#endif
