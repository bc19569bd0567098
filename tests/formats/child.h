// child.h - processes of a test.
#ifndef SP_TESTS_FORMATS_CHILD_H
#define SP_TESTS_FORMATS_CHILD_H

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <functional>

namespace sp_test {

// A child process; it must not return into the tests.
class Child {
 public:
  explicit Child(const std::function<int()> &body) : pid_(fork()) {
    if (pid_ == 0) {
      _exit(body());
    }
  }
  ~Child() {
    if (pid_ > 0) {
      End(SIGKILL);
    }
  }
  Child(const Child &) = delete;
  Child &operator=(const Child &) = delete;
  pid_t pid() const {
    return pid_;
  }
  void Signal(int signal) const {
    kill(pid_, signal);
  }
  // Waits for its end: the exit code, 128 + signal when killed. A signal of 0: it ends by itself.
  int End(int signal = 0) {
    int status = 0;
    if (signal) {
      kill(pid_, signal);
    }
    EXPECT_EQ(waitpid(pid_, &status, 0), pid_);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

 private:
  pid_t pid_;
};

// Waits for a file that another process makes.
inline bool Await(const std::string &path) {
  for (int k = 0; k < 60000 && !std::filesystem::exists(path); k++) {
    usleep(1000);
  }
  return std::filesystem::exists(path);
}

}  // namespace sp_test
#endif
