// source_dir.h - where the tree is: as it was compiled, or as a program that was carried to another
// machine is told.
#ifndef SP_TESTS_SOURCE_DIR_H
#define SP_TESTS_SOURCE_DIR_H

#include <cstdlib>
#include <string>

namespace sp_test {

inline std::string SourceDir() {
  const char *given = getenv("SP_SOURCE_DIR");
  return given ? given : SP_SOURCE_DIR;
}

}  // namespace sp_test
#endif
