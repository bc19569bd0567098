// scratch.h - a temporary folder per test, and whole-file helpers.
#ifndef SP_TESTS_SCRATCH_H
#define SP_TESTS_SCRATCH_H

#include <string>

namespace sp_test {

// Made under $TMPDIR or /tmp, removed with everything in it by the destructor.
class Scratch {
 public:
  Scratch();
  ~Scratch();
  Scratch(const Scratch &) = delete;
  Scratch &operator=(const Scratch &) = delete;
  const std::string &path() const { return path_; }
  std::string operator/(const std::string &name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// These throw std::runtime_error on failure, so that a test cannot go on with nothing.
void WriteFile(const std::string &path, const std::string &bytes);
std::string ReadFile(const std::string &path);

// Runs a shell command; output is stdout and stderr together unless `command` redirects.
struct Result {
  int exit_code;  // 128 + signal when killed
  std::string output;
};
Result Run(const std::string &command);

}  // namespace sp_test
#endif
