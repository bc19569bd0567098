#include "fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <new>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SP_FIBER_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define SP_FIBER_TSAN 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define SP_FIBER_ASAN 1
#endif
#ifdef __SANITIZE_THREAD__
#define SP_FIBER_TSAN 1
#endif

#ifdef SP_FIBER_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef SP_FIBER_TSAN
#include <sanitizer/tsan_interface.h>
#endif
#ifndef __x86_64__
#include <ucontext.h>
#endif

namespace sp_simt {

namespace {

#if defined(SP_FIBER_ASAN) || defined(SP_FIBER_TSAN)
constexpr size_t kStackBytes = 512 * 1024;  // sanitizers make frames large
#else
constexpr size_t kStackBytes = 128 * 1024;
#endif
constexpr size_t kGuardBytes = 4096;

// One side of a switch: where it stopped, and what sanitizers keep for it.
struct Side {
#ifdef __x86_64__
  void *stack_pointer = nullptr;
#else
  ucontext_t context;
#endif
  const void *stack = nullptr;
  size_t stack_bytes = 0;
  void *asan = nullptr;
  void *tsan = nullptr;
};

}  // namespace

struct Fiber::Machine {
  Side outside, inside;
  char *memory = nullptr;  // the guard page, then the stack
  void (*body)(void *) = nullptr;
  void *argument = nullptr;
  bool started = false;
};

// __thread and not thread_local: no wrapper function, a switch costs nanoseconds.
static __thread Fiber *running;

#ifdef __x86_64__
// Keeps the callee's registers on the old stack and takes them from the new one. A system call for
// signal masks, as swapcontext makes, would be most of the emulator's time.
extern "C" void sp_simt_switch_stacks(void **keep, void *to);
asm(".text\n"
    ".globl sp_simt_switch_stacks\n"
    ".type sp_simt_switch_stacks, @function\n"
    "sp_simt_switch_stacks:\n"
    "  pushq %rbp\n  pushq %rbx\n  pushq %r12\n  pushq %r13\n  pushq %r14\n  pushq %r15\n"
    "  movq %rsp, (%rdi)\n"
    "  movq %rsi, %rsp\n"
    "  popq %r15\n  popq %r14\n  popq %r13\n  popq %r12\n  popq %rbx\n  popq %rbp\n"
    "  ret\n"
    ".size sp_simt_switch_stacks, . - sp_simt_switch_stacks\n");
#endif

static void switch_sides(Side *from, Side *to) {
#ifdef SP_FIBER_ASAN
  __sanitizer_start_switch_fiber(&from->asan, to->stack, to->stack_bytes);
#endif
#ifdef SP_FIBER_TSAN
  __tsan_switch_to_fiber(to->tsan, 0);
#endif
#ifdef __x86_64__
  sp_simt_switch_stacks(&from->stack_pointer, to->stack_pointer);
#else
  swapcontext(&from->context, &to->context);
#endif
#ifdef SP_FIBER_ASAN
  // `from` goes on here; the side that came back says where its stack is.
  __sanitizer_finish_switch_fiber(from->asan, &to->stack, &to->stack_bytes);
#endif
}

Fiber::Fiber() : machine_(new Machine) {
  Machine &m = *machine_;
  void *memory = mmap(nullptr, kGuardBytes + kStackBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED || mprotect(memory, kGuardBytes, PROT_NONE) != 0)
    throw std::bad_alloc();
  m.memory = static_cast<char *>(memory);
  m.inside.stack = m.memory + kGuardBytes;
  m.inside.stack_bytes = kStackBytes;
  Begin();
}

Fiber::~Fiber() {
  Machine &m = *machine_;
#ifdef SP_FIBER_ASAN
  __asan_unpoison_memory_region(m.inside.stack, kStackBytes);
#endif
#ifdef SP_FIBER_TSAN
  __tsan_destroy_fiber(m.inside.tsan);
#endif
  munmap(m.memory, kGuardBytes + kStackBytes);
}

// Makes the stack look as if Main had been switched away from at its first instruction.
void Fiber::Begin() {
  Machine &m = *machine_;
#ifdef SP_FIBER_TSAN
  m.inside.tsan = __tsan_create_fiber(0);
#endif
#ifdef __x86_64__
  // Six registers, the address to return to, and no caller above it.
  void **top = reinterpret_cast<void **>(m.memory + kGuardBytes + kStackBytes);
  *--top = nullptr;
  *--top = reinterpret_cast<void *>(&Fiber::Main);
  for (int i = 0; i < 6; i++)
    *--top = nullptr;
  m.inside.stack_pointer = top;
#else
  getcontext(&m.inside.context);
  m.inside.context.uc_stack.ss_sp = m.memory + kGuardBytes;
  m.inside.context.uc_stack.ss_size = kStackBytes;
  m.inside.context.uc_link = nullptr;
  makecontext(&m.inside.context, &Fiber::Main, 0);
#endif
}

void Fiber::Main() {
  Machine &m = *running->machine_;
#ifdef SP_FIBER_ASAN
  __sanitizer_finish_switch_fiber(nullptr, &m.outside.stack, &m.outside.stack_bytes);
#endif
  for (;;) {
    m.body(m.argument);
    m.started = false;
    switch_sides(&m.inside, &m.outside);
  }
}

void Fiber::Resume(void (*body)(void *), void *argument) {
  Machine &m = *machine_;
  if (!m.started) {
    m.body = body;
    m.argument = argument;
    m.started = true;
  }
#ifdef SP_FIBER_TSAN
  m.outside.tsan = __tsan_get_current_fiber();
#endif
  Fiber *before = running;
  running = this;
  Side *inside = &m.inside;
  const void *stack = inside->stack;
  switch_sides(&m.outside, inside);
  inside->stack = stack;
  inside->stack_bytes = kStackBytes;
  running = before;
}

void Fiber::Pause() {
  Machine &m = *running->machine_;
  switch_sides(&m.inside, &m.outside);
}

}  // namespace sp_simt
