#include "safetensors.h"

#include <gtest/gtest.h>
#include <jansson.h>

#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "scratch.h"

namespace {

using sp_test::Scratch;
using sp_test::WriteFile;

std::string Pack(const std::string &header, const std::string &data) {
  std::string out;
  for (int i = 0; i < 8; i++) out += static_cast<char>(header.size() >> (8 * i));
  return out + header + data;
}

template <class T>
std::string Bytes(const std::vector<T> &values) {
  return {reinterpret_cast<const char *>(values.data()), values.size() * sizeof(T)};
}

struct Closer {
  void operator()(sp_safetensors *file) const { sp_safetensors_close(file); }
};
using Handle = std::unique_ptr<sp_safetensors, Closer>;

Handle OpenDirectory(const std::string &path, sp_error *err) {
  sp_safetensors *file = nullptr;
  return Handle(sp_safetensors_open(path.c_str(), &file, err) == SP_OK ? file : nullptr);
}

Handle OpenFile(const std::string &path, sp_error *err) {
  sp_safetensors *file = nullptr;
  return Handle(sp_safetensors_open_file(path.c_str(), &file, err) == SP_OK ? file : nullptr);
}

std::vector<float> Widen(const sp_tensor *tensor, size_t first, size_t count) {
  std::vector<float> out(count, NAN);
  sp_tensor_to_f32(tensor, first, count, out.data());
  return out;
}

TEST(Safetensors, ReadsNamesShapesAndEveryFloatType) {
  Scratch scratch;
  // The header lists them out of order, the odd length leaves the data unaligned.
  std::string header =
      R"({"z":{"dtype":"F64","shape":[2],"data_offsets":[22,38]},)"
      R"("__metadata__":{"format":"pt"},)"
      R"("a":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},)"
      R"("h":{"dtype":"F16","shape":[4],"data_offsets":[8,16]},)"
      R"("e":{"dtype":"F32","shape":[0,7],"data_offsets":[16,16]},)"
      R"("b":{"dtype":"BF16","shape":[3],"data_offsets":[16,22]},)"
      R"("s":{"dtype":"I64","shape":[],"data_offsets":[38,46]},)"
      R"("q":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[46,47]}})";
  header += std::string(header.size() % 2 == 0 ? 1 : 2, ' ');
  std::string data = Bytes<float>({1.5f, -2.25f}) +
                     Bytes<uint16_t>({0x3c00, 0xc000, 0x0001, 0x7bff}) +
                     Bytes<uint16_t>({0x3f80, 0xc000, 0x0001}) + Bytes<double>({0.1, -3e20}) +
                     Bytes<int64_t>({7}) + "x";
  WriteFile(scratch / "model.safetensors", Pack(header, data));
  sp_error err{};
  Handle file = OpenDirectory(scratch.path(), &err);
  ASSERT_TRUE(file) << err.message;
  ASSERT_EQ(sp_safetensors_count(file.get()), 7u);
  std::vector<std::string> names;
  for (size_t i = 0; i < 7; i++) names.push_back(sp_safetensors_at(file.get(), i)->name);
  EXPECT_EQ(names, (std::vector<std::string>{"a", "b", "e", "h", "q", "s", "z"}));

  const sp_tensor *a = sp_safetensors_find(file.get(), "a");
  ASSERT_TRUE(a);
  EXPECT_EQ(a->rank, 2u);
  EXPECT_EQ(a->shape[0], 1u);
  EXPECT_EQ(a->shape[1], 2u);
  EXPECT_EQ(a->bytes, 8u);
  EXPECT_EQ(Widen(a, 0, 2), (std::vector<float>{1.5f, -2.25f}));
  EXPECT_EQ(Widen(a, 1, 1), (std::vector<float>{-2.25f}));
  EXPECT_EQ(Widen(sp_safetensors_find(file.get(), "h"), 0, 4),
            (std::vector<float>{1.0f, -2.0f, 0x1p-24f, 65504.0f}));
  EXPECT_EQ(Widen(sp_safetensors_find(file.get(), "b"), 0, 3),
            (std::vector<float>{1.0f, -2.0f, 0x1p-133f}));
  EXPECT_EQ(Widen(sp_safetensors_find(file.get(), "z"), 0, 2), (std::vector<float>{0.1f, -3e20f}));
  EXPECT_EQ(sp_safetensors_find(file.get(), "s")->rank, 0u);
  EXPECT_EQ(sp_safetensors_find(file.get(), "s")->dtype, SP_I64);
  EXPECT_EQ(sp_safetensors_find(file.get(), "q")->dtype, SP_OTHER_DTYPE);
  EXPECT_STREQ(sp_safetensors_find(file.get(), "q")->dtype_text, "F8_E4M3");
  EXPECT_EQ(sp_safetensors_find(file.get(), "zz"), nullptr);
  EXPECT_EQ(sp_safetensors_find(file.get(), ""), nullptr);
}

TEST(Safetensors, WidensEveryHalf) {
  Scratch scratch;
  std::vector<uint16_t> all(65536);
  for (size_t i = 0; i < all.size(); i++) all[i] = static_cast<uint16_t>(i);
  WriteFile(scratch / "x", Pack(R"({"h":{"dtype":"F16","shape":[65536],"data_offsets":[0,131072]}})",
                                Bytes(all)));
  sp_error err{};
  Handle file = OpenFile(scratch / "x", &err);
  ASSERT_TRUE(file) << err.message;
  std::vector<float> wide = Widen(sp_safetensors_find(file.get(), "h"), 0, 65536);
  for (unsigned i = 0; i < 65536; i++) {
    int exponent = i >> 10 & 31, fraction = i & 1023;
    double magnitude = exponent == 0    ? std::ldexp(fraction, -24)
                       : exponent == 31 ? (fraction ? NAN : INFINITY)
                                        : std::ldexp(1024 + fraction, exponent - 25);
    if (std::isnan(magnitude)) {
      EXPECT_TRUE(std::isnan(wide[i])) << i;
    } else {
      EXPECT_EQ(wide[i], static_cast<float>(i >> 15 ? -magnitude : magnitude)) << i;
    }
    EXPECT_EQ(std::signbit(wide[i]), i >> 15 != 0) << i;
  }
}

TEST(Safetensors, AHeaderWithoutTensorsIsGood) {
  Scratch scratch;
  WriteFile(scratch / "x", Pack("{}", ""));
  sp_error err{};
  Handle file = OpenFile(scratch / "x", &err);
  ASSERT_TRUE(file) << err.message;
  EXPECT_EQ(sp_safetensors_count(file.get()), 0u);
  EXPECT_EQ(sp_safetensors_find(file.get(), "a"), nullptr);
}

TEST(Safetensors, EveryDefectIsNamed) {
  const std::string folder = SP_SOURCE_DIR "/tests/golden/bad/model/";
  json_error_t fault;
  json_t *expected = json_load_file((folder + "expected.json").c_str(), 0, &fault);
  ASSERT_TRUE(expected) << fault.text;
  size_t count = 0;
  const char *name;
  json_t *message;
  json_object_foreach(expected, name, message) {
    if (!strstr(name, ".safetensors")) continue;
    sp_error err{};
    sp_safetensors *file = nullptr;
    EXPECT_EQ(sp_safetensors_open_file((folder + name).c_str(), &file, &err), SP_EMODEL) << name;
    EXPECT_TRUE(strstr(err.message, json_string_value(message))) << name << ": " << err.message;
    EXPECT_TRUE(strstr(err.message, name)) << "the file is not named: " << err.message;
    count++;
  }
  json_decref(expected);
  EXPECT_GE(count, 30u);
}

TEST(Safetensors, AFileThatCannotBeReadIsNamed) {
  Scratch scratch;
  sp_error err{};
  EXPECT_FALSE(OpenFile(scratch / "none", &err));
  EXPECT_EQ(err.status, SP_EIO);
  EXPECT_FALSE(OpenFile(scratch.path(), &err));
  EXPECT_EQ(err.status, SP_EMODEL);
  EXPECT_TRUE(strstr(err.message, "not a regular file")) << err.message;
}

const char kOne[] = R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
const char kTwo[] = R"({"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";

class Shards : public testing::Test {
 protected:
  void SetUp() override {
    WriteFile(scratch_ / "1.safetensors", Pack(kOne, Bytes<float>({1})));
    WriteFile(scratch_ / "2.safetensors", Pack(kTwo, Bytes<float>({2})));
  }
  Handle Open(const std::string &map) {
    WriteFile(scratch_ / "model.safetensors.index.json", R"({"weight_map":)" + map + "}");
    return OpenDirectory(scratch_.path(), &err_);
  }
  Scratch scratch_;
  sp_error err_{};
};

TEST_F(Shards, AreReadAsOne) {
  Handle set = Open(R"({"b":"2.safetensors","a":"1.safetensors"})");
  ASSERT_TRUE(set) << err_.message;
  ASSERT_EQ(sp_safetensors_count(set.get()), 2u);
  EXPECT_EQ(Widen(sp_safetensors_find(set.get(), "a"), 0, 1)[0], 1.0f);
  EXPECT_EQ(Widen(sp_safetensors_find(set.get(), "b"), 0, 1)[0], 2.0f);
  ASSERT_EQ(sp_safetensors_file_count(set.get()), 2u);
  EXPECT_EQ(sp_safetensors_file_path(set.get(), 0), scratch_ / "1.safetensors");
  EXPECT_EQ(sp_safetensors_file_path(set.get(), 1), scratch_ / "2.safetensors");
}

TEST_F(Shards, ASingleFileIsPreferred) {
  WriteFile(scratch_ / "model.safetensors", Pack(kOne, Bytes<float>({3})));
  Handle set = Open(R"({"b":"2.safetensors","a":"1.safetensors"})");
  ASSERT_TRUE(set) << err_.message;
  EXPECT_EQ(sp_safetensors_count(set.get()), 1u);
}

TEST_F(Shards, DefectsAreNamed) {
  const struct {
    const char *map, *message;
  } cases[] = {
      {R"({})", "weight_map is missing or empty"},
      {R"(3)", "weight_map is missing or empty"},
      {R"({"a":3})", "not a file of this directory"},
      {R"({"a":"../1.safetensors"})", "not a file of this directory"},
      {R"({"a":"sub/1.safetensors"})", "not a file of this directory"},
      {R"({"a":"/etc/passwd"})", "not a file of this directory"},
      {R"({"a":""})", "not a file of this directory"},
      {R"({"a":".."})", "not a file of this directory"},
      {R"({"a":"9.safetensors"})", "is missing"},
      {R"({"a":"2.safetensors"})", "tensor a is not in 2.safetensors"},
      {R"({"a":"1.safetensors","c":"2.safetensors"})", "tensor c is not in 2.safetensors"},
      {R"({"a":"2.safetensors","b":"1.safetensors"})", "is not in"},
      {R"({"a":"1.safetensors","a":"1.safetensors"})", "duplicate"},
  };
  for (const auto &one : cases) {
    EXPECT_FALSE(Open(one.map)) << one.map;
    EXPECT_EQ(err_.status, SP_EMODEL) << one.map;
    EXPECT_TRUE(strstr(err_.message, one.message)) << one.map << ": " << err_.message;
  }
}

TEST_F(Shards, ATensorInTwoShardsIsRefused) {
  WriteFile(scratch_ / "2.safetensors", Pack(kOne, Bytes<float>({2})));
  EXPECT_FALSE(Open(R"({"a":"1.safetensors","b":"2.safetensors"})"));
  EXPECT_TRUE(strstr(err_.message, "tensor a is in two shards")) << err_.message;
}

TEST(Safetensors, ADirectoryWithoutWeightsSaysWhatToDo) {
  Scratch scratch;
  sp_error err{};
  EXPECT_FALSE(OpenDirectory(scratch.path(), &err));
  EXPECT_EQ(err.status, SP_EMODEL);
  EXPECT_TRUE(strstr(err.message, "no model.safetensors")) << err.message;
  WriteFile(scratch / "pytorch_model.bin", "x");
  EXPECT_FALSE(OpenDirectory(scratch.path(), &err));
  EXPECT_TRUE(strstr(err.message, "convert it once: python3")) << err.message;
}

}  // namespace
