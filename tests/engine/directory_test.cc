// directory_test.cc - what of a run directory may be removed, and what of it only seems to be harmed.
#include <gtest/gtest.h>
#include <jansson.h>

#include <filesystem>

#include "run_files.h"
#include "scratch.h"
#include "shard.h"

#define _Atomic /* C alone has it; the layout is the same */
extern "C" {
#include "directory.h"
}
#undef _Atomic

namespace {

namespace fs = std::filesystem;

class Directory : public testing::Test {
 protected:
  void SetUp() override {
    sp_shard_writer *writer = nullptr;
    const std::string line = "{\"id\":\"u\",\"hyps\":[]}\n";
    ASSERT_EQ(sp_shard_writer_create(path_.c_str(), 0, 1, &writer, &err_), SP_OK) << err_.message;
    ASSERT_EQ(sp_shard_writer_append(writer, {line.data(), line.size()}, {"u", 1}, 0, 0, &err_),
              SP_OK)
        << err_.message;
    ASSERT_EQ(sp_shard_writer_publish(writer, &err_), SP_OK) << err_.message;
    sp_test::WriteFile(Name(SP_RUN_SUCCESS), "seal");
  }
  std::string Name(const std::string &name) const {
    return path_ + "/" + name;
  }
  void RemoveCut() {
    sp_directory directory{};
    directory.path = path_.c_str();
    directory.shards = 1;
    sp_directory_remove_cut(&directory, 0);
  }
  // Of the shard's file, its marker, and the seal.
  std::vector<bool> There() const {
    return {fs::exists(Name(kFile)), fs::exists(Name(kMarker)), fs::exists(Name(SP_RUN_SUCCESS))};
  }

  static constexpr const char *kFile = "scores-00000-of-00001.jsonl.zst";
  static constexpr const char *kMarker = "scores-00000-of-00001.done";
  sp_test::Scratch scratch_;
  const std::string path_ = scratch_.path();
  sp_error err_{};
};

TEST_F(Directory, AWholeShardIsNotRemoved) {
  RemoveCut();
  EXPECT_EQ(There(), (std::vector<bool>{true, true, true}));
}

TEST_F(Directory, AShardOfAnotherSizeIsRemovedWithItsMarkerAndTheSeal) {
  fs::resize_file(Name(kFile), fs::file_size(Name(kFile)) - 1);
  RemoveCut();
  EXPECT_EQ(There(), (std::vector<bool>{false, false, false}));
}

// A client of a network file system may not see it yet.
TEST_F(Directory, AShardThatIsNotToBeSeenKeepsItsMarker) {
  fs::remove(Name(kFile));
  RemoveCut();
  EXPECT_EQ(There(), (std::vector<bool>{false, true, true}));
}

TEST_F(Directory, AShardWithoutAMarkerIsUnfinishedAndStays) {
  fs::remove(Name(kMarker));
  fs::resize_file(Name(kFile), 1);
  RemoveCut();
  EXPECT_EQ(There(), (std::vector<bool>{true, false, true}));
}

}  // namespace
