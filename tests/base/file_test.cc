#include "file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <string>

#include "scratch.h"

namespace {

namespace fs = std::filesystem;
using sp_test::ReadFile;
using sp_test::Scratch;
using sp_test::WriteFile;

size_t EntriesOf(const std::string &folder) {
  return static_cast<size_t>(
      std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

// While it lives, no file of this process grows beyond `bytes`: write(2) says EFBIG.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : handler_(signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &before_);
    rlimit limit{bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &before_);
    signal(SIGXFSZ, handler_);
  }

 private:
  void (*handler_)(int);
  rlimit before_;
};

TEST(File, ReadAppendsTheBytes) {
  Scratch scratch;
  std::string bytes(200001, 'x');
  bytes[5] = '\0';
  WriteFile(scratch / "a", bytes);
  sp_buf buf{};
  sp_error err{};
  ASSERT_EQ(sp_buf_append(&buf, "head", 4, &err), SP_OK);
  ASSERT_EQ(sp_file_read((scratch / "a").c_str(), &buf, &err), SP_OK) << err.message;
  EXPECT_EQ(std::string(buf.data, buf.len), "head" + bytes);
  sp_buf_release(&buf);
}

TEST(File, ReadIsBoundedByTheCeiling) {
  Scratch scratch;
  WriteFile(scratch / "a", std::string(300000, 'x'));
  sp_buf buf{};
  buf.ceiling = 200000;
  sp_error err{};
  EXPECT_EQ(sp_file_read((scratch / "a").c_str(), &buf, &err), SP_EINPUT);
  sp_buf_release(&buf);
}

TEST(File, ReadNamesTheFileThatItCannotOpen) {
  Scratch scratch;
  sp_buf buf{};
  sp_error err{};
  EXPECT_EQ(sp_file_read((scratch / "none").c_str(), &buf, &err), SP_EIO);
  EXPECT_EQ(std::string(err.message),
            "cannot open " + (scratch / "none") + ": No such file or directory");
  EXPECT_EQ(sp_file_read(scratch.path().c_str(), &buf, &err), SP_EIO) << "a directory";
  sp_buf_release(&buf);
}

TEST(File, WriteAllGoesOnAfterShortWrites) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  std::string bytes(1 << 20, 'p'), got;
  pid_t child = fork();
  if (child == 0) { /* reads slowly, so that a full pipe cuts the writes */
    close(ends[1]);
    char piece[1000];
    size_t total = 0;
    for (ssize_t n; (n = read(ends[0], piece, sizeof piece)) > 0;)
      total += static_cast<size_t>(n);
    _exit(total == 1 << 20 ? 0 : 1);
  }
  close(ends[0]);
  sp_error err{};
  EXPECT_EQ(sp_file_write_all(ends[1], bytes.data(), bytes.size(), "pipe", &err), SP_OK);
  close(ends[1]);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

TEST(File, ReplaceWritesOverAndLeavesNothingElse) {
  Scratch scratch;
  sp_error err{};
  const std::string path = scratch / "a";
  ASSERT_EQ(sp_file_replace(path.c_str(), "one", 3, &err), SP_OK) << err.message;
  EXPECT_EQ(ReadFile(path), "one");
  ASSERT_EQ(sp_file_replace(path.c_str(), "", 0, &err), SP_OK) << err.message;
  EXPECT_EQ(ReadFile(path), "");
  EXPECT_EQ(EntriesOf(scratch.path()), 1u);
}

TEST(File, MakeLeavesAFileThatIsThere) {
  Scratch scratch;
  sp_error err{};
  const std::string path = scratch / "a";
  ASSERT_EQ(sp_file_make(path.c_str(), "first", 5, &err), SP_OK) << err.message;
  EXPECT_EQ(ReadFile(path), "first");
  ASSERT_EQ(sp_file_make(path.c_str(), "other", 5, &err), SP_OK) << err.message;
  EXPECT_EQ(ReadFile(path), "first");
  EXPECT_EQ(EntriesOf(scratch.path()), 1u);
  EXPECT_EQ(sp_file_make((scratch / "none/a").c_str(), "x", 1, &err), SP_EIO);
}

TEST(File, ReplaceThatFailsKeepsTheOldFileAndNothingElse) {
  Scratch scratch;
  const std::string path = scratch / "a", longer(5000, 'x');
  WriteFile(path, "old");
  sp_error err{};
  {
    FileSizeLimit limit(1000);
    EXPECT_EQ(sp_file_replace(path.c_str(), longer.data(), longer.size(), &err), SP_EIO);
  }
  EXPECT_NE(std::string(err.message).find(path), std::string::npos) << err.message;
  EXPECT_EQ(ReadFile(path), "old");
  EXPECT_EQ(EntriesOf(scratch.path()), 1u);
  fs::create_directory(scratch / "folder");
  EXPECT_EQ(sp_file_replace((scratch / "folder").c_str(), "x", 1, &err), SP_EIO);
  EXPECT_EQ(EntriesOf(scratch.path()), 2u) << "a failed rename leaves its temporary file";
  EXPECT_EQ(sp_file_replace((scratch / "no/a").c_str(), "x", 1, &err), SP_EIO);
}

// Process ids are not unique where containers share a file system: with one id, nothing may be in the way.
TEST(File, ReplaceMeetsNoTemporaryFileOfAnEqualProcessId) {
  Scratch scratch;
  sp_error err{};
  const std::string path = scratch / "a", alike = path + ".tmp." + std::to_string(getpid());
  WriteFile(alike, "another's");
  ASSERT_EQ(sp_file_replace(path.c_str(), "one", 3, &err), SP_OK) << err.message;
  EXPECT_EQ(ReadFile(alike), "another's");
  EXPECT_NE(sp_random_bits(), sp_random_bits());
}

TEST(File, LinkSaysWhoWasFirst) {
  Scratch scratch;
  sp_error err{};
  bool existed;
  const std::string name = scratch / "name", first = scratch / "1", second = scratch / "2";
  WriteFile(first, "1");
  WriteFile(second, "2");
  ASSERT_EQ(sp_file_link(first.c_str(), name.c_str(), &existed, &err), SP_OK) << err.message;
  EXPECT_FALSE(existed);
  ASSERT_EQ(sp_file_link(second.c_str(), name.c_str(), &existed, &err), SP_OK) << err.message;
  EXPECT_TRUE(existed);
  EXPECT_EQ(ReadFile(name), "1");
  // As after an answer that was lost: the file has its second name already.
  ASSERT_EQ(sp_file_link(first.c_str(), name.c_str(), &existed, &err), SP_OK) << err.message;
  EXPECT_FALSE(existed);
  fs::remove(second);
  ASSERT_EQ(sp_file_link(second.c_str(), name.c_str(), &existed, &err), SP_OK) << err.message;
  EXPECT_TRUE(existed) << "swept by who saw that the name was there";
  fs::remove(name);
  EXPECT_EQ(sp_file_link(second.c_str(), name.c_str(), &existed, &err), SP_EIO);
}

TEST(File, IsNamedUntilAnotherTakesTheName) {
  Scratch scratch;
  const std::string path = scratch / "a";
  WriteFile(path, "x");
  int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  EXPECT_TRUE(sp_file_is_named(fd, path.c_str()));
  fs::rename(path, scratch / "b");
  EXPECT_FALSE(sp_file_is_named(fd, path.c_str()));
  WriteFile(path, "x");
  EXPECT_FALSE(sp_file_is_named(fd, path.c_str()));
  fs::remove(path);
  fs::create_symlink(scratch / "b", path);
  EXPECT_FALSE(sp_file_is_named(fd, path.c_str())) << "a link is another file";
  close(fd);
}

TEST(File, ReplaceTakesANameWithoutAFolder) {
  Scratch scratch;
  const fs::path before = fs::current_path();
  fs::current_path(scratch.path());
  sp_error err{};
  sp_status status = sp_file_replace("plain", "x", 1, &err);
  fs::current_path(before);
  EXPECT_EQ(status, SP_OK) << err.message;
  EXPECT_EQ(ReadFile(scratch / "plain"), "x");
}

TEST(File, PublishNeverWritesOver) {
  Scratch scratch;
  sp_error err{};
  bool existed = true;
  WriteFile(scratch / "t1", "first");
  WriteFile(scratch / "t2", "second");
  ASSERT_EQ(sp_file_publish((scratch / "t1").c_str(), (scratch / "a").c_str(), &existed, &err),
            SP_OK);
  EXPECT_FALSE(existed);
  ASSERT_EQ(sp_file_publish((scratch / "t2").c_str(), (scratch / "a").c_str(), &existed, &err),
            SP_OK);
  EXPECT_TRUE(existed);
  EXPECT_EQ(ReadFile(scratch / "a"), "first");
  EXPECT_EQ(EntriesOf(scratch.path()), 1u) << "the temporary files are gone";
}

TEST(File, PublishOfNothingFails) {
  Scratch scratch;
  sp_error err{};
  bool existed = true;
  EXPECT_EQ(sp_file_publish((scratch / "no").c_str(), (scratch / "a").c_str(), &existed, &err),
            SP_EIO);
  EXPECT_FALSE(existed);
}

TEST(File, MakeDirectoryTakesAnExistingOneButNoFile) {
  Scratch scratch;
  sp_error err{};
  EXPECT_EQ(sp_file_make_directory((scratch / "d").c_str(), &err), SP_OK) << err.message;
  EXPECT_EQ(sp_file_make_directory((scratch / "d").c_str(), &err), SP_OK) << err.message;
  EXPECT_TRUE(sp_file_exists((scratch / "d").c_str()));
  WriteFile(scratch / "f", "");
  EXPECT_EQ(sp_file_make_directory((scratch / "f").c_str(), &err), SP_EIO);
  EXPECT_EQ(sp_file_make_directory((scratch / "no/d").c_str(), &err), SP_EIO);
  EXPECT_FALSE(sp_file_exists((scratch / "no").c_str()));
}

TEST(File, SyncsTheFolderOfAPath) {
  Scratch scratch;
  sp_error err{};
  EXPECT_EQ(sp_file_sync_directory_of((scratch / "a").c_str(), &err), SP_OK) << err.message;
  EXPECT_EQ(sp_file_sync_directory_of("/a", &err), SP_OK) << err.message;
  EXPECT_EQ(sp_file_sync_directory_of("a", &err), SP_OK) << err.message;
  EXPECT_EQ(sp_file_sync_directory_of((scratch / "no/a").c_str(), &err), SP_EIO);
}

}  // namespace
