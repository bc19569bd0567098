#include <fcntl.h>
#include <gtest/gtest.h>
#include <jansson.h>
#include <unistd.h>

#include <deque>

#include "child.h"
#include "run_fixture.h"
#include "run_manifest.h"

namespace {

using sp_test::Child;
using sp_test::Contains;
using sp_test::FilesOf;
using sp_test::ReadFile;
using sp_test::Scratch;
using sp_test::WriteFile;

class RunLock : public ::testing::Test {
 protected:
  sp_status Take(sp_run_lock *lock) {
    err = {};
    return sp_run_lock_take(run_.path().c_str(), lock, &err);
  }
  void Release(sp_run_lock *lock) {
    sp_run_lock_release(run_.path().c_str(), lock);
  }
  Scratch run_;
  sp_error err{};
};

std::string HostName() {
  char host[256] = "";
  gethostname(host, sizeof host - 1);
  return host;
}

TEST_F(RunLock, TakenAndReleased) {
  sp_run_lock lock;
  ASSERT_SP_OK(Take(&lock));
  json_t *owner = json_loads(ReadFile(run_ / ".lock").c_str(), 0, nullptr);
  ASSERT_TRUE(owner);
  EXPECT_EQ(json_integer_value(json_object_get(owner, "pid")), getpid());
  EXPECT_EQ(json_string_value(json_object_get(owner, "host")), HostName());
  EXPECT_TRUE(json_is_string(json_object_get(owner, "start")));
  json_decref(owner);
  Release(&lock);
  EXPECT_EQ(lock.fd, -1);
  EXPECT_TRUE(FilesOf(run_.path()).empty());
  Release(&lock);
}

TEST_F(RunLock, ALiveOneIsRefused) {
  sp_run_lock lock, other;
  ASSERT_SP_OK(Take(&lock));
  EXPECT_EQ(Take(&other), SP_ELOCK);
  EXPECT_EQ(other.fd, -1);
  EXPECT_TRUE(Contains(err.message, "process " + std::to_string(getpid()))) << err.message;
  EXPECT_TRUE(Contains(err.message, HostName())) << err.message;
  EXPECT_TRUE(Contains(err.message, run_.path())) << err.message;
  Release(&other);
  EXPECT_EQ(Take(&other), SP_ELOCK) << "releasing what was not taken must not unlock";
  Release(&lock);
  EXPECT_SP_OK(Take(&other));
  Release(&other);
}

TEST_F(RunLock, ADeadProcessesLockIsTakenOver) {
  sp_run_lock lock;
  Child child([&] { return Take(&lock) == SP_OK ? 7 : 1; });
  const std::string pid = std::to_string(child.pid());
  ASSERT_EQ(child.End(), 7);
  ASSERT_TRUE(Contains(ReadFile(run_ / ".lock"), pid));
  ASSERT_SP_OK(Take(&lock));
  EXPECT_TRUE(Contains(ReadFile(run_ / ".lock"), "\"pid\":" + std::to_string(getpid()) + ","));
  Release(&lock);
}

TEST_F(RunLock, AnotherHostsLockIsRefusedWithAHint) {
  WriteFile(run_ / ".lock", "{\"host\":\"elsewhere.example\",\"pid\":42,\"start\":\"x\"}\n");
  sp_run_lock lock;
  EXPECT_EQ(Take(&lock), SP_ELOCK);
  EXPECT_TRUE(Contains(err.message, "process 42 on host elsewhere.example")) << err.message;
  EXPECT_TRUE(Contains(err.message, "remove " + run_.path() + "/.lock")) << err.message;
  EXPECT_TRUE(Contains(ReadFile(run_ / ".lock"), "elsewhere.example"));
  std::filesystem::remove(run_ / ".lock");
  EXPECT_SP_OK(Take(&lock));
  Release(&lock);
}

TEST_F(RunLock, ALockThatNamesNobodyIsTakenOver) {
  for (const char *text : {"", "{\"host\":\"else", "{}", "[1]", "{\"host\":3,\"pid\":\"x\"}"}) {
    WriteFile(run_ / ".lock", text);
    sp_run_lock lock;
    EXPECT_SP_OK(Take(&lock)) << text;
    Release(&lock);
  }
}

TEST_F(RunLock, ARemovedLockIsNotUnlinkedFromItsNewHolder) {
  sp_run_lock old_one, new_one, third;
  ASSERT_SP_OK(Take(&old_one));
  std::filesystem::remove(run_ / ".lock");
  ASSERT_SP_OK(Take(&new_one));
  Release(&old_one);
  EXPECT_EQ(Take(&third), SP_ELOCK);
  Release(&new_one);
}

TEST_F(RunLock, TheDirectoryMustBeThere) {
  sp_run_lock lock;
  EXPECT_EQ(sp_run_lock_take((run_ / "missing").c_str(), &lock, &err), SP_EIO);
  EXPECT_EQ(lock.fd, -1);
}

TEST_F(RunLock, AFullDiskIsAnIoErrorAndHoldsNothing) {
  sp_run_lock lock;
  sp_status status;
  {
    sp_test::FileSizeLimit full(5);
    status = Take(&lock);
  }
  EXPECT_EQ(status, SP_EIO);
  EXPECT_EQ(lock.fd, -1);
  EXPECT_SP_OK(Take(&lock));
  Release(&lock);
}

// Inside the lock a process makes a file that must not be there yet; 1 means that two were inside.
int Contend(const std::string &run) {
  int entered = 0;
  for (int k = 0; k < 200000 && entered < 25; k++) {
    sp_run_lock lock;
    sp_error err{};
    sp_status status = sp_run_lock_take(run.c_str(), &lock, &err);
    if (status == SP_ELOCK) {
      usleep(200);
      continue;
    }
    if (status != SP_OK)
      return 2;
    int fd = open((run + "/inside").c_str(), O_CREAT | O_EXCL | O_WRONLY, 0666);
    if (fd < 0)
      return 1;
    close(fd);
    unlink((run + "/inside").c_str());
    sp_run_lock_release(run.c_str(), &lock);
    entered++;
  }
  return entered == 25 ? 0 : 3;
}

TEST_F(RunLock, NeverTwoHolders) {
  std::deque<Child> children;
  for (int k = 0; k < 4; k++)
    children.emplace_back([&] { return Contend(run_.path()); });
  for (Child &child : children)
    EXPECT_EQ(child.End(), 0);
}

TEST(RunSweep, RemovesWhatKilledProcessesLeftAndNothingElse) {
  Scratch run;
  sp_error err{};
  const std::vector<std::string> keep = {".lock",
                                         "_SUCCESS",
                                         "notes.tmp.12",
                                         "notes.tmp.txt",
                                         "run.json",
                                         "scores-00000-of-00001.done",
                                         "scores-00000-of-00001.jsonl.zst"};
  for (const std::string &name : keep)
    WriteFile(run / name, "x");
  for (const char *name : {".tmp-scores-00000-of-00001.12.00ff", "run.json.tmp.12",
                           "_SUCCESS.tmp.9", "scores-00000-of-00001.done.tmp.77"}) {
    WriteFile(run / name, "x");
  }
  ASSERT_SP_OK(sp_run_sweep(run.path().c_str(), &err));
  EXPECT_EQ(FilesOf(run.path()), keep);
  EXPECT_EQ(sp_run_sweep((run / "missing").c_str(), &err), SP_EIO);
}

}  // namespace
