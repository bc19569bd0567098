#include "names.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "scratch.h"

namespace {

using sp_test::Scratch;
using sp_test::WriteFile;

// A file of empty tensors with these names.
std::string Empty(const std::vector<std::string> &names) {
  std::string header = "{";
  for (const std::string &name : names) {
    header += (header.size() > 1 ? ",\"" : "\"") + name +
              R"(":{"dtype":"F32","shape":[0],"data_offsets":[0,0]})";
  }
  header += "}";
  std::string out;
  for (int i = 0; i < 8; i++) out += static_cast<char>(header.size() >> (8 * i));
  return out + header;
}

class Names : public testing::Test {
 protected:
  void Open(const std::vector<std::string> &names) {
    WriteFile(scratch_ / "x", Empty(names));
    ASSERT_EQ(sp_safetensors_open_file((scratch_ / "x").c_str(), &file_, &err_), SP_OK)
        << err_.message;
    ASSERT_EQ(sp_names_init(&names_, file_, &arena_, &err_), SP_OK);
  }
  void TearDown() override {
    sp_names_release(&names_);
    sp_arena_release(&arena_);
    sp_safetensors_close(file_);
  }
  std::string Get(const char *name) {
    const sp_tensor *tensor = nullptr;
    EXPECT_EQ(sp_names_get(&names_, &tensor, &err_, "%s", name), SP_OK);
    return tensor ? tensor->name : "";
  }
  std::vector<std::string> Extra() {
    const char *const *list = nullptr;
    size_t count = 0;
    EXPECT_EQ(sp_names_extra(&names_, &arena_, &list, &count, &err_), SP_OK);
    return {list, list + count};
  }
  Scratch scratch_;
  sp_error err_{};
  sp_safetensors *file_ = nullptr;
  sp_arena arena_{};
  sp_names names_{};
};

TEST_F(Names, ThePrefixComesFromTheWordEmbeddings) {
  Open({"bert.embeddings.word_embeddings.weight", "x"});
  EXPECT_STREQ(names_.prefix, "bert.");
}

TEST_F(Names, ThePrefixMayBeMissing) {
  Open({"embeddings.word_embeddings.weight", "x"});
  EXPECT_STREQ(names_.prefix, "");
}

TEST_F(Names, AnotherPrefixCountsAsBerts) {
  Open({"roberta.embeddings.word_embeddings.weight"});
  EXPECT_STREQ(names_.prefix, "bert.");
}

TEST_F(Names, GammaAndBetaStandForALayerNormOnly) {
  Open({"a.LayerNorm.gamma", "a.LayerNorm.beta", "a.dense.gamma", "b.LayerNorm.weight",
        "b.LayerNorm.gamma"});
  EXPECT_EQ(Get("a.LayerNorm.weight"), "a.LayerNorm.gamma");
  EXPECT_EQ(Get("a.LayerNorm.bias"), "a.LayerNorm.beta");
  EXPECT_EQ(Get("a.dense.weight"), "");
  EXPECT_EQ(Get("b.LayerNorm.weight"), "b.LayerNorm.weight");
  EXPECT_EQ(Extra(), (std::vector<std::string>{"a.dense.gamma", "b.LayerNorm.gamma"}));
  EXPECT_FALSE(sp_names_has(&names_, "a.dense.weight"));
  EXPECT_TRUE(sp_names_has(&names_, "a.LayerNorm.weight"));
}

TEST_F(Names, EveryTensorIsFoundAndMarked) {
  std::vector<std::string> all;
  for (int i = 0; i < 100; i++) all.push_back("t" + std::to_string(i));
  Open(all);
  for (const std::string &name : all) EXPECT_EQ(Get(name.c_str()), name);
  EXPECT_TRUE(Extra().empty());
  EXPECT_EQ(sp_names_check(&names_, "DIR", &err_), SP_OK);
}

TEST_F(Names, MissingOnesAreNamedTogether) {
  Open({"a"});
  for (const char *name : {"b", "c", "a"}) Get(name);
  EXPECT_EQ(sp_names_check(&names_, "DIR", &err_), SP_EMODEL);
  EXPECT_STREQ(err_.message, "DIR: 2 tensors are missing: b, c");
}

TEST_F(Names, TenMissingOnesAreShown) {
  Open({"a"});
  for (int i = 0; i < 12; i++) Get(("m" + std::to_string(i)).c_str());
  EXPECT_EQ(sp_names_check(&names_, "DIR", &err_), SP_EMODEL);
  EXPECT_STREQ(err_.message,
               "DIR: 12 tensors are missing: m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, and more");
}

}  // namespace
