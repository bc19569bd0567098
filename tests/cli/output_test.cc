// When output may be coloured: on a terminal that understands it, unless NO_COLOR says no.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <memory>

// functions are named as the structs they return, which C++ takes for a shadow
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
extern "C" {
#include "output.h"
}
#pragma GCC diagnostic pop

namespace sp_test {
namespace {

struct Close {
  void operator()(FILE *stream) const {
    fclose(stream);
  }
};
using Stream = std::unique_ptr<FILE, Close>;

class ColourTest : public ::testing::Test {
 protected:
  void SetUp() override {
    int fd = posix_openpt(O_RDWR | O_NOCTTY);
    ASSERT_GE(fd, 0) << "no terminal can be had here";
    master_.reset(fdopen(fd, "r+"));
    ASSERT_EQ(grantpt(fd), 0);
    ASSERT_EQ(unlockpt(fd), 0);
    terminal_.reset(fopen(ptsname(fd), "r+"));
    ASSERT_TRUE(terminal_) << "no terminal can be had here";
    setenv("TERM", "xterm-256color", 1);
    unsetenv("NO_COLOR");
  }

  Stream master_, terminal_;
};

TEST_F(ColourTest, IsForTerminals) {
  Stream file(fopen("/dev/null", "w"));
  EXPECT_TRUE(sp_use_colour(terminal_.get()));
  EXPECT_FALSE(sp_use_colour(file.get()));
}

TEST_F(ColourTest, NoColorTurnsItOffUnlessEmpty) {
  setenv("NO_COLOR", "0", 1);
  EXPECT_FALSE(sp_use_colour(terminal_.get())) << "whatever its value";
  EXPECT_TRUE(sp_is_terminal(terminal_.get())) << "a progress line is no colour";
  setenv("NO_COLOR", "", 1);
  EXPECT_TRUE(sp_use_colour(terminal_.get()));
}

TEST_F(ColourTest, ADumbTerminalHasNone) {
  setenv("TERM", "dumb", 1);
  EXPECT_FALSE(sp_use_colour(terminal_.get()));
  unsetenv("TERM");
  EXPECT_FALSE(sp_use_colour(terminal_.get()));
}

}  // namespace
}  // namespace sp_test
