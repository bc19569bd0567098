// Claims over file operations that fail, and over answers that are lost, as they are between a client and a
// server.  The functions below stand before the system's for the whole program and pass calls on.
#include <dlfcn.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdarg>

#include "claims_fixture.h"
#include "file.h"
#include "run_files.h"
#include "run_merge.h"
#include "run_scan.h"

namespace {

enum Operation { kOpen, kLink, kRename, kUnlink, kMkdir, kFlock, kWrite, kRead, kFsync };

// Which call fails or loses its answer; counts down over all kinds, or over one.
thread_local struct {
  long until = -1;         // calls before it; -1: none
  int kind = -1;           // of these alone; -1: all
  int error = EIO;         // what it says
  bool performed = false;  // but it was done
} fault;

bool Fails(Operation kind) {
  if (fault.until < 0 || (fault.kind >= 0 && fault.kind != kind)) {
    return false;
  }
  return fault.until-- == 0;
}

template <class Function>
Function Real(const char *name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

template <class... Arguments>
int Pass(Operation kind, const char *name, Arguments... arguments) {
  auto real = Real<int (*)(Arguments...)>(name);
  if (!Fails(kind)) {
    return real(arguments...);
  }
  if (fault.performed) {
    real(arguments...);
  }
  errno = fault.error;
  return -1;
}

}  // namespace

extern "C" {
int open(const char *path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
  va_end(arguments);
  if (Fails(kOpen)) {
    errno = fault.error;
    return -1;
  }
  return Real<int (*)(const char *, int, ...)>("open")(path, flags, mode);
}
int link(const char *from, const char *to) noexcept {
  return Pass(kLink, "link", from, to);
}
int rename(const char *from, const char *to) noexcept {
  return Pass(kRename, "rename", from, to);
}
int unlink(const char *path) noexcept {
  return Pass(kUnlink, "unlink", path);
}
int mkdir(const char *path, mode_t mode) noexcept {
  return Pass(kMkdir, "mkdir", path, mode);
}
int flock(int fd, int operation) noexcept {
  return Pass(kFlock, "flock", fd, operation);
}
int fsync(int fd) {
  return Pass(kFsync, "fsync", fd);
}
ssize_t read(int fd, void *data, size_t len) {
  if (Fails(kRead)) {
    errno = fault.error;
    return -1;
  }
  return Real<ssize_t (*)(int, void *, size_t)>("read")(fd, data, len);
}
ssize_t write(int fd, const void *data, size_t len) {
  if (Fails(kWrite)) {
    errno = fault.error;
    return -1;
  }
  return Real<ssize_t (*)(int, const void *, size_t)>("write")(fd, data, len);
}
}

namespace {

using namespace sp_test;

class ClaimsFaults : public ::testing::Test {
 protected:
  void TearDown() override {
    fault = {};
  }
  sp_claim Take(const Claims &claims, size_t shard) {
    sp_claim claim;
    bool took_over;
    EXPECT_SP_OK(sp_claims_take(claims.get(), shard, &claim, &took_over, &err));
    return claim;
  }
  Scratch run_;
  double clock_ = 0;
  sp_error err{};
};

void Lose(Operation kind, int answer) {
  fault.kind = kind;
  fault.error = answer;
  fault.performed = true;
  fault.until = 0;
}

void FailOnce(Operation kind, int error) {
  fault.kind = kind;
  fault.error = error;
  fault.performed = false;
  fault.until = 0;
}

// The first request was served, its answer lost; the second meets what the first has done.
TEST_F(ClaimsFaults, ALostAnswerOfLinkIsASuccess) {
  Claims a, b;
  ASSERT_SP_OK(OpenClaims(run_.path(), &clock_, &a, &err));
  ASSERT_SP_OK(OpenClaims(run_.path(), &clock_, &b, &err));
  size_t shard = 0;
  for (int answer : {EEXIST, EIO, ESTALE}) {
    Lose(kLink, answer);
    EXPECT_EQ(Take(a, shard), SP_CLAIM_MINE) << strerror(answer);
    EXPECT_EQ(fault.until, -1) << "link was called";
    EXPECT_EQ(Take(b, shard), SP_CLAIM_HELD);
    EXPECT_EQ(FilesOf(run_ / ".claims").size(), 2 + ++shard) << "no generation is left over";
  }
  sp_run_lock lock;
  Scratch alone;
  Lose(kLink, EEXIST);
  ASSERT_SP_OK(sp_run_lock_take(alone.path().c_str(), &lock, &err));
  EXPECT_EQ(FilesOf(alone.path()), std::vector<std::string>{".lock"});
  sp_run_lock_release(alone.path().c_str(), &lock);
}

TEST_F(ClaimsFaults, ALostAnswerOfRenameIsASuccess) {
  Claims a;
  Lose(kRename, ENOENT);
  ASSERT_SP_OK(OpenClaims(run_.path(), &clock_, &a, &err));
  EXPECT_EQ(FilesOf(run_ / ".claims"),
            std::vector<std::string>{"worker-" + std::string(sp_claims_id(a.get()))});
  Lose(kRename, ENOENT);
  EXPECT_SP_OK(WriteShard(run_.path(), 0, 1, MakeLines("u", 2, 2), &err));
}

TEST_F(ClaimsFaults, ALinkThatFailsIsTold) {
  Claims a;
  ASSERT_SP_OK(OpenClaims(run_.path(), &clock_, &a, &err));
  sp_claim claim;
  bool took_over;
  FailOnce(kLink, EDQUOT);
  EXPECT_EQ(sp_claims_take(a.get(), 0, &claim, &took_over, &err), SP_EIO);
  EXPECT_TRUE(Contains(err.message, "00000.1")) << err.message;
  EXPECT_EQ(FilesOf(run_ / ".claims").size(), 1u) << "nothing half made";
  EXPECT_EQ(Take(a, 0), SP_CLAIM_MINE);
}

TEST_F(ClaimsFaults, WhereThereAreNoLocksOnlyTheLeaseCounts) {
  Claims a, b;
  FailOnce(kFlock, ENOLCK);
  ASSERT_SP_OK(OpenClaims(run_.path(), &clock_, &a, &err));
  ASSERT_SP_OK(OpenClaims(run_.path(), &clock_, &b, &err));
  EXPECT_EQ(Take(a, 0), SP_CLAIM_MINE);
  EXPECT_EQ(Take(b, 0), SP_CLAIM_HELD) << "free for everybody, but it could not be locked";
  clock_ += sp_test::kLease + 0.1;
  EXPECT_EQ(Take(b, 0), SP_CLAIM_MINE);
}

// What another host removed or replaced after this one had looked its name up.
TEST_F(ClaimsFaults, AStaleFileIsReadAgain) {
  const std::string path = run_ / "run.json";
  WriteFile(path, "bytes");
  for (Operation kind : {kOpen, kRead}) {
    for (bool twice : {false, true}) {
      sp_buf text{};
      bool found = false;
      FailOnce(kind, ESTALE);
      sp_status status = sp_run_file_read(path.c_str(), 100, &text, &found, &err);
      EXPECT_EQ(status, SP_OK) << kind << ": " << err.message;
      EXPECT_TRUE(found);
      EXPECT_EQ(std::string(text.data, text.len), "bytes");
      EXPECT_EQ(fault.until, -1) << "the call was made";
      sp_buf_release(&text);
      if (twice) {
        std::filesystem::remove(path);
        FailOnce(kind, ESTALE);
        EXPECT_SP_OK(sp_run_file_read(path.c_str(), 100, &text, &found, &err));
        EXPECT_FALSE(found);
        WriteFile(path, "bytes");
      }
    }
  }
  fault = {};
  bool found = true;
  sp_buf text{};
  FailOnce(kOpen, ENOENT); /* though it was seen before */
  EXPECT_SP_OK(sp_run_file_read(path.c_str(), 100, &text, &found, &err));
  EXPECT_FALSE(found);
  FailOnce(kRead, EIO);
  EXPECT_EQ(sp_run_file_read(path.c_str(), 100, &text, &found, &err), SP_EIO);
  sp_buf_release(&text);
}

TEST_F(ClaimsFaults, AStaleLinkIsJudgedByWhatIsThere) {
  bool existed = false;
  WriteFile(run_ / "mine", "x");
  FailOnce(kLink, ESTALE);
  EXPECT_EQ(sp_file_link((run_ / "mine").c_str(), (run_ / "name").c_str(), &existed, &err), SP_EIO);
  WriteFile(run_ / "name", "others'");
  FailOnce(kLink, ESTALE);
  EXPECT_SP_OK(sp_file_link((run_ / "mine").c_str(), (run_ / "name").c_str(), &existed, &err));
  EXPECT_TRUE(existed);
}

// Its temporary file was swept by who completed the run while this one slept.
TEST_F(ClaimsFaults, AStaleShardIsNoFailureWhereItIsPublished) {
  const auto lines = MakeLines("u", 2, 2);
  FailOnce(kFsync, ESTALE);
  EXPECT_EQ(WriteShard(run_.path(), 0, 1, lines, &err), SP_EIO) << "it is still there";
  for (bool published : {false, true}) {
    sp_shard_writer *writer = nullptr;
    bool late = false;
    ASSERT_SP_OK(sp_shard_writer_create(run_.path().c_str(), 0, 1, &writer, &err));
    for (const auto &line : lines) {
      ASSERT_SP_OK(sp_shard_writer_append(writer, Text(line.text), Text(line.id), line.hyps,
                                          line.tokens, &err));
    }
    ASSERT_SP_OK(sp_run_sweep(run_.path().c_str(), &err));
    if (published) {
      ASSERT_SP_OK(WriteShard(run_.path(), 0, 1, lines, &err));
    }
    FailOnce(kFsync, ESTALE);
    EXPECT_EQ(sp_shard_writer_publish_late(writer, &late, &err), published ? SP_OK : SP_EIO);
    EXPECT_EQ(late, published);
  }
}

// A shard that is met when the copy gets its name must be the shard: here it is not even to be seen.
TEST_F(ClaimsFaults, ACopyThatMeetsAnotherIsComparedWithIt) {
  char elsewhere[] = "/dev/shm/secondpass-faults-XXXXXX";
  struct stat one {
  }, other{};
  if (!mkdtemp(elsewhere)) {
    GTEST_SKIP() << "there is no second file system";
  }
  const std::string from = std::string(elsewhere) + "/run", out = run_ / "out";
  BuildRun(from, 1, 2, 2);
  const char *runs[] = {from.c_str()};
  sp_merge_rules rules{};
  rules.runs = runs;
  rules.n_runs = 1;
  rules.out = out.c_str();
  sp_merge_summary summary{};
  bool differs = stat(elsewhere, &other) == 0 && stat(run_.path().c_str(), &one) == 0 &&
                 one.st_dev != other.st_dev;
  sp_status status = SP_OK;
  for (long call = 0; differs && status == SP_OK && call < 9; call++) { /* the lock is linked too */
    std::filesystem::remove_all(out);
    FailOnce(kLink, EEXIST);
    fault.until = call;
    status = sp_run_merge(&rules, &summary, &err);
    bool struck = fault.until < 0;
    fault = {};
    EXPECT_EQ(std::filesystem::exists(out + "/_SUCCESS"), status == SP_OK);
    if (status == SP_OK) {
      sp_run_totals totals{};
      EXPECT_SP_OK(sp_run_verify(out.c_str(), &totals, &err)) << "link " << call;
    }
    if (!struck) {
      break;
    }
  }
  std::filesystem::remove_all(elsewhere);
  if (!differs) {
    GTEST_SKIP() << "there is no second file system";
  }
}

size_t OpenDescriptors() {
  return FilesOf("/proc/self/fd").size();
}

sp_status NotDone(void *, bool *done, sp_error *) {
  *done = false;
  return SP_OK;
}

// A worker's whole life beside one that is gone; statuses are no matter here.
void Live(const std::string &run, double *clock) {
  sp_error err{};
  Claims claims;
  sp_claim claim;
  bool took_over, mine;
  if (OpenClaims(run, clock, &claims, &err) != SP_OK) {
    return;
  }
  auto ignore = [](sp_status) {};
  ignore(sp_claims_elect(claims.get(), SP_CLAIM_PLAN, NotDone, nullptr, &mine, &err));
  sp_claims_done(claims.get(), SP_CLAIM_PLAN);
  for (size_t shard = 0; shard < 3; shard++) {
    ignore(sp_claims_take(claims.get(), shard, &claim, &took_over, &err));
    ignore(sp_claims_beat(claims.get(), 1, 1, &err));
    *clock += sp_test::kLease + 1;
  }
  ignore(sp_claims_take(claims.get(), 0, &claim, &took_over, &err));
  sp_claims_drop(claims.get(), 1);
  sp_claims_done(claims.get(), 2);
  ignore(sp_claims_sweep(claims.get(), &err));
  sp_claim_list list;
  if (sp_claims_list(run.c_str(), 3, &list, &err) == SP_OK) {
    sp_claim_list_release(&list);
  }
  sp_run_lock lock;
  if (sp_run_lock_take(run.c_str(), &lock, &err) == SP_OK) {
    sp_run_lock_release(run.c_str(), &lock);
  }
}

// Whichever call fails, nothing leaks, nothing stays held, and the next worker gets every shard.
TEST_F(ClaimsFaults, AnyCallMayFail) {
  size_t before = OpenDescriptors();
  for (int error : {EIO, EACCES, ENOENT, EEXIST}) {
    long call = 0;
    for (bool struck = true; struck; call++) {
      std::filesystem::remove_all(run_ / ".claims");
      std::filesystem::remove(run_ / ".lock");
      Remote remote(run_.path(), "elsewhere-4711-0");
      remote.Claim("00000.1");
      fault = {};
      fault.error = error;
      fault.until = call;
      Live(run_.path(), &clock_);
      struck = fault.until < 0;
      fault = {};
      ASSERT_EQ(OpenDescriptors(), before) << "call " << call << ", " << strerror(error);
      Claims next;
      ASSERT_SP_OK(OpenClaims(run_.path(), &clock_, &next, &err));
      for (size_t shard = 0; shard < 3; shard++) {
        sp_claim claim = Take(next, shard);
        clock_ += sp_test::kLease + 1;
        if (claim == SP_CLAIM_HELD) {
          claim = Take(next, shard);
        }
        ASSERT_EQ(claim, SP_CLAIM_MINE)
            << "shard " << shard << ", call " << call << ", " << strerror(error);
      }
    }
    EXPECT_GT(call, 50) << "the calls are counted";
  }
}

}  // namespace
