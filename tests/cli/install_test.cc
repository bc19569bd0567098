// What `cmake --install` puts beside the program.
#include <gtest/gtest.h>

#include <filesystem>

#include "tables.h"

namespace sp_test {
namespace {

TEST(Install, PutsPagesAndScriptsWhereShellsAndManLook) {
  std::filesystem::path build = std::filesystem::path(SP_BINARY).parent_path();
  Json env = ParseJson(Program("env --json").out);
  if (String(env, "build.sanitizers") != "none")
    GTEST_SKIP() << "not made with sanitizers";
  if (!HaveTool("cmake") || !std::filesystem::exists(build / "cmake_install.cmake")) {
    GTEST_SKIP() << "the program was carried here; its build folder was not";
  }
  Scratch scratch;
  Said said = Shell("cmake --install '" + build.string() + "' --prefix '" + scratch.path() + "'");
  ASSERT_EQ(said.code, 0) << said.err;
  EXPECT_EQ(ReadFile(scratch / "share/man/man1/secondpass-bench-io.1"),
            Program("man bench io").out);
  EXPECT_EQ(ReadFile(scratch / "share/bash-completion/completions/secondpass"),
            Program("completion bash").out);
  EXPECT_EQ(ReadFile(scratch / "share/zsh/site-functions/_secondpass"),
            Program("completion zsh").out);
  EXPECT_EQ(ReadFile(scratch / "share/fish/vendor_completions.d/secondpass.fish"),
            Program("completion fish").out);
}

}  // namespace
}  // namespace sp_test
