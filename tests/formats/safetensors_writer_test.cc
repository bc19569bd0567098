#include "safetensors_writer.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "file.h"
#include "scratch.h"

namespace {

using sp_test::ReadFile;
using sp_test::Scratch;
using sp_test::WriteFile;

class SafetensorsWriter : public testing::Test {
 protected:
  sp_status Create(const std::vector<sp_tensor_spec> &specs) {
    return sp_safetensors_create(path_.c_str(), specs.data(), specs.size(), &writer_, &err_);
  }
  sp_status Put(const std::string &bytes) {
    return sp_safetensors_put(writer_, bytes.data(), bytes.size(), &err_);
  }
  Scratch scratch_;
  std::string path_ = scratch_ / "model.safetensors";
  sp_error err_{};
  sp_safetensors_writer *writer_ = nullptr;
};

TEST_F(SafetensorsWriter, OurReaderTakesIt) {
  const std::vector<sp_tensor_spec> specs = {{"z \"quoted\" \xc3\xa4", SP_F32, 2, {1, 2}},
                                             {"empty", SP_F32, 2, {0, 7}},
                                             {"a", SP_BF16, 1, {3}},
                                             {"scalar", SP_F64, 0, {}},
                                             {"i", SP_I64, 1, {1}}};
  ASSERT_EQ(Create(specs), SP_OK) << err_.message;
  const std::string bytes = "abcdefghABCDEF0123456789876543";
  ASSERT_EQ(Put(bytes.substr(0, 11)), SP_OK);  // in any pieces
  EXPECT_FALSE(sp_file_exists(path_.c_str()));
  ASSERT_EQ(Put(bytes.substr(11)), SP_OK);
  ASSERT_EQ(sp_safetensors_finish(writer_, &err_), SP_OK) << err_.message;
  sp_safetensors *file = nullptr;
  ASSERT_EQ(sp_safetensors_open_file(path_.c_str(), &file, &err_), SP_OK) << err_.message;
  ASSERT_EQ(sp_safetensors_count(file), specs.size());
  size_t at = 0;
  for (const sp_tensor_spec &spec : specs) {
    const sp_tensor *tensor = sp_safetensors_find(file, spec.name);
    ASSERT_TRUE(tensor) << spec.name;
    EXPECT_EQ(tensor->dtype, spec.dtype);
    EXPECT_EQ(tensor->rank, spec.rank);
    EXPECT_EQ(std::string(static_cast<const char *>(tensor->data), tensor->bytes),
              bytes.substr(at, tensor->bytes));
    at += tensor->bytes;
  }
  EXPECT_EQ(at, bytes.size());
  sp_safetensors_close(file);
  const std::string all = ReadFile(path_);
  EXPECT_EQ(all[0] % 8, 0);
  EXPECT_NE(all.find("\"format\":\"pt\""), std::string::npos);
  EXPECT_TRUE(sp_safetensors_is_ours(path_.c_str()));
}

TEST_F(SafetensorsWriter, BytesMustBeTheTensors) {
  ASSERT_EQ(Create({{"a", SP_F32, 1, {2}}}), SP_OK);
  EXPECT_EQ(Put("123456789"), SP_EMODEL);
  EXPECT_TRUE(strstr(err_.message, "1 bytes beyond")) << err_.message;
  ASSERT_EQ(Put("1234567"), SP_OK);
  EXPECT_EQ(sp_safetensors_finish(writer_, &err_), SP_EMODEL);
  EXPECT_TRUE(strstr(err_.message, "1 bytes of tensors are missing")) << err_.message;
  EXPECT_EQ(sp_test::Run("ls " + scratch_.path()).output, "");
}

TEST_F(SafetensorsWriter, SizesThatOverflowAreRefused) {
  EXPECT_EQ(Create({{"a", SP_F32, 2, {SIZE_MAX / 8, 4}}}), SP_EMODEL);
  EXPECT_EQ(Create({{"a", SP_F32, 1, {SIZE_MAX / 12}}, {"b", SP_F32, 1, {SIZE_MAX / 8}}}),
            SP_EMODEL);
  EXPECT_TRUE(strstr(err_.message, "tensor b")) << err_.message;
  EXPECT_EQ(sp_test::Run("ls " + scratch_.path()).output, "");
}

TEST_F(SafetensorsWriter, OthersAreNotOurs) {
  EXPECT_FALSE(sp_safetensors_is_ours(path_.c_str()));
  WriteFile(path_, std::string("\2\0\0\0\0\0\0\0{}", 10));
  EXPECT_FALSE(sp_safetensors_is_ours(path_.c_str()));
}

}  // namespace
