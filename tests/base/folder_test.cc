// A folder on disk and in memory answers alike.
#include "folder.h"

#include <gtest/gtest.h>

#include <string>

#include "file.h"
#include "scratch.h"

namespace {

class FolderTest : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    sp_test::WriteFile(scratch_ / "some", "some bytes");
    sp_test::WriteFile(scratch_ / "none", "");
    folder_ = sp_folder_at(scratch_.path().c_str());
    if (GetParam()) {
      folder_.in_memory = true;
      folder_.files = files_;
      folder_.n_files = 2;
    }
  }
  void TearDown() override {
    sp_buf_release(&bytes_);
  }

  sp_test::Scratch scratch_;
  const sp_folder_file files_[2] = {{"some", SP_TEXT_LITERAL("some bytes")},
                                    {"none", SP_TEXT_LITERAL("")}};
  sp_folder folder_{};
  sp_buf bytes_{};
  sp_error err_{};
};

TEST_P(FolderTest, HasWhatItHas) {
  EXPECT_TRUE(sp_folder_has(&folder_, "some"));
  EXPECT_TRUE(sp_folder_has(&folder_, "none"));
  EXPECT_FALSE(sp_folder_has(&folder_, "other"));
}

TEST_P(FolderTest, ReadsAfterWhatIsThere) {
  ASSERT_EQ(sp_buf_append(&bytes_, "> ", 2, &err_), SP_OK);
  ASSERT_EQ(sp_folder_read(&folder_, "some", &bytes_, &err_), SP_OK) << err_.message;
  ASSERT_EQ(sp_folder_read(&folder_, "none", &bytes_, &err_), SP_OK) << err_.message;
  EXPECT_EQ(std::string(bytes_.data, bytes_.len), "> some bytes");
}

TEST_P(FolderTest, MapsTheSameBytes) {
  sp_text some, none;
  ASSERT_EQ(sp_folder_map(&folder_, "some", SP_EMODEL, &some, &err_), SP_OK) << err_.message;
  ASSERT_EQ(sp_folder_map(&folder_, "none", SP_EMODEL, &none, &err_), SP_OK) << err_.message;
  EXPECT_EQ(std::string(some.data, some.len), "some bytes");
  EXPECT_EQ(none.len, 0u);
  if (!GetParam())
    sp_file_unmap(some);
}

TEST_P(FolderTest, NamesTheFileThatIsMissing) {
  const std::string want = "cannot open " + (scratch_ / "other") + ": No such file or directory";
  sp_text mapped;
  EXPECT_EQ(sp_folder_read(&folder_, "other", &bytes_, &err_), SP_EIO);
  EXPECT_EQ(err_.message, want);
  EXPECT_EQ(sp_folder_map(&folder_, "other", SP_EMODEL, &mapped, &err_), SP_EIO);
  EXPECT_EQ(err_.message, want);
}

TEST_P(FolderTest, KeepsTheCeiling) {
  bytes_.ceiling = 10;
  EXPECT_EQ(sp_folder_read(&folder_, "some", &bytes_, &err_), SP_OK) << err_.message;
  sp_buf_release(&bytes_);
  bytes_.ceiling = 9;
  EXPECT_EQ(sp_folder_read(&folder_, "some", &bytes_, &err_), SP_EINPUT);
  EXPECT_EQ(err_.message, (scratch_ / "some") + " is larger than 9 bytes");
}

INSTANTIATE_TEST_SUITE_P(Places, FolderTest, ::testing::Bool(), [](const auto &at) {
  return std::string(at.param ? "InMemory" : "OnDisk");
});

}  // namespace
