// fiber.h - threads of execution that one OS thread switches between, for the emulator's blocks.
#ifndef SP_TESTS_SIMT_FIBER_H
#define SP_TESTS_SIMT_FIBER_H

#include <cstddef>
#include <memory>

namespace sp_simt {

// A stack of its own that runs one function after the other, each to its end. Sanitizers are told.
class Fiber {
 public:
  Fiber();
  ~Fiber();
  Fiber(const Fiber &) = delete;
  Fiber &operator=(const Fiber &) = delete;

  // From outside of fibers: begins `body(argument)`, or goes on where it paused; comes back when it
  // pauses or ends. No exception may leave the body.
  void Resume(void (*body)(void *), void *argument);
  // From inside the running fiber.
  static void Pause();

 private:
  struct Machine;
  static void Main();
  void Begin();
  std::unique_ptr<Machine> machine_;
};

}  // namespace sp_simt
#endif
