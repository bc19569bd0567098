#include "status.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <string>

#include "utf8_valid.h"

namespace {

std::string Message(const std::string &text) {
  sp_error err{};
  EXPECT_EQ(sp_fail(&err, SP_EINPUT, "%s", text.c_str()), SP_EINPUT);
  EXPECT_EQ(err.status, SP_EINPUT);
  return err.message;
}

bool IsValid(const std::string &text) {
  return sp_utf8_valid({text.data(), text.size()});
}

std::string Repeat(const std::string &text, size_t times) {
  std::string out;
  for (size_t i = 0; i < times; i++)
    out += text;
  return out;
}

TEST(Status, EscapesControlCharacters) {
  EXPECT_EQ(Message("a\x1b[2Jb\n\r\t\x01\x7f"), "a\\x1b[2Jb\\x0a\\x0d\\x09\\x01\\x7f");
  EXPECT_EQ(Message("caf\xc3\xa9 100% \\"), "caf\xc3\xa9 100% \\");
}

TEST(Status, KeepsAMessageThatJustFits) {
  EXPECT_EQ(Message(std::string(1023, 'x')), std::string(1023, 'x'));
  EXPECT_EQ(Message(std::string(5000, 'x')), std::string(1023, 'x'));
}

TEST(Status, CutsAtAWholeCharacterWhereverTheCutFalls) {
  for (const char *piece : {"\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x99\x82"}) {
    for (size_t before = 0; before < 8; before++) {
      std::string message = Message(std::string(before, 'x') + Repeat(piece, 1000));
      EXPECT_TRUE(IsValid(message)) << piece << " after " << before;
      EXPECT_GE(message.size(), 1020u);
      /* an escape grows while it is copied, so that this cut falls elsewhere */
      message = Message("\n" + std::string(before, 'x') + Repeat(piece, 1000));
      EXPECT_TRUE(IsValid(message)) << piece << " after an escape and " << before;
      EXPECT_GE(message.size(), 1016u);
    }
  }
}

TEST(Status, NeverCutsAnEscapeInTwo) {
  for (size_t before = 0; before < 4; before++) {
    std::string message = Message(std::string(before, 'x') + std::string(1000, '\n'));
    EXPECT_EQ((message.size() - before) % 4, 0u);
    EXPECT_GE(message.size(), 1020u);
  }
}

TEST(Status, AddsTheReasonOfErrno) {
  sp_error err{};
  errno = ENOENT;
  EXPECT_EQ(sp_fail_errno(&err, SP_EIO, "cannot open %s", "x"), SP_EIO);
  EXPECT_STREQ(err.message, "cannot open x: No such file or directory");
}

TEST(Status, MemoryIsADeviceErrorWithItsSize) {
  sp_error err{};
  EXPECT_EQ(sp_fail_memory(&err, 4096), SP_EDEVICE);
  EXPECT_NE(std::string(err.message).find("4096"), std::string::npos);
}

TEST(Status, TakesNoErrorStruct) {
  errno = EACCES;
  EXPECT_EQ(sp_fail(nullptr, SP_EMODEL, "%d", 1), SP_EMODEL);
  EXPECT_EQ(sp_fail_errno(nullptr, SP_EIO, "x"), SP_EIO);
  EXPECT_EQ(sp_fail_memory(nullptr, 1), SP_EDEVICE);
}

TEST(Status, ExitCodesAreTheContract) {
  const struct {
    sp_status status;
    int exit_code;
  } expected[] = {{SP_OK, 0},       {SP_EUSAGE, 2}, {SP_EIDENTITY, 2},     {SP_EINPUT, 3},
                  {SP_EDAMAGED, 3}, {SP_EMODEL, 4}, {SP_EDEVICE, 5},       {SP_EIO, 6},
                  {SP_ELOCK, 6},    {SP_ESHARD, 7}, {SP_EINTERRUPTED, 130}};
  for (const auto &e : expected) {
    EXPECT_EQ(sp_status_exit_code(e.status), e.exit_code) << sp_status_text(e.status);
    EXPECT_STRNE(sp_status_text(e.status), "unknown status");
  }
  EXPECT_STREQ(sp_status_text(static_cast<sp_status>(99)), "unknown status");
  EXPECT_NE(sp_status_exit_code(static_cast<sp_status>(99)), 0);
}

sp_status TryTwice(sp_status first, int *reached) {
  SP_TRY(first);
  ++*reached;
  return SP_OK;
}

sp_status TryGoto(sp_status first, int *undone) {
  sp_status status;
  SP_TRY_GOTO(first, undo);
  return status;
undo:
  ++*undone;
  return status;
}

TEST(Status, TryPassesTheStatusOn) {
  int reached = 0, undone = 0;
  EXPECT_EQ(TryTwice(SP_EIO, &reached), SP_EIO);
  EXPECT_EQ(reached, 0);
  EXPECT_EQ(TryTwice(SP_OK, &reached), SP_OK);
  EXPECT_EQ(reached, 1);
  EXPECT_EQ(TryGoto(SP_ELOCK, &undone), SP_ELOCK);
  EXPECT_EQ(TryGoto(SP_OK, &undone), SP_OK);
  EXPECT_EQ(undone, 1);
}

}  // namespace
