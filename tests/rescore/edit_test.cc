// Word errors against distances counted by hand.
#include "edit.h"

#include <gtest/gtest.h>

#include <cstring>

#include "units.h"

namespace sp_test {
namespace {

sp_text Text(const char *s) {
  return {s, strlen(s)};
}

class EditTest : public ::testing::Test {
 protected:
  void SetUp() override {
    sp_error err{};
    ASSERT_EQ(sp_units_create(SP_UNIT_WORD, &units_, &err), SP_OK);
    ASSERT_EQ(sp_edit_create(&edit_, &err), SP_OK);
  }
  void TearDown() override {
    sp_units_destroy(units_);
    sp_edit_destroy(edit_);
  }
  size_t Distance(const char *ref, const char *hyp) {
    const uint32_t *a, *b;
    size_t n, m, errors = SIZE_MAX;
    sp_error err{};
    sp_units_clear(units_);
    EXPECT_EQ(sp_units_split(units_, Text(ref), &a, &n, &err), SP_OK);
    EXPECT_EQ(sp_units_split(units_, Text(hyp), &b, &m, &err), SP_OK);
    EXPECT_EQ(sp_edit_set_reference(edit_, a, n, &err), SP_OK);
    EXPECT_EQ(sp_edit_distance(edit_, b, m, &errors, &err), SP_OK);
    return errors;
  }
  sp_units *units_ = nullptr;
  sp_edit *edit_ = nullptr;
};

TEST_F(EditTest, CountsWords) {
  EXPECT_EQ(Distance("", ""), 0u);
  EXPECT_EQ(Distance("a b c", ""), 3u);
  EXPECT_EQ(Distance("", " a\tb "), 2u);
  EXPECT_EQ(Distance("a b c", "a b c"), 0u);
  EXPECT_EQ(Distance("a b c d", "b c d e"), 2u);
  EXPECT_EQ(Distance("the cat sat", "a cat sat down"), 2u);
}

}  // namespace
}  // namespace sp_test
