#include "json_members.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace {

struct Split {
  sp_status status;
  std::vector<std::string> members;
  std::vector<uint64_t> lines;
  std::string message;
};

Split SplitAll(const std::string &doc, char open = '{', size_t ceiling = 1 << 20) {
  sp_source *source = nullptr;
  sp_json_members *members = nullptr;
  sp_error err = {};
  Split out{sp_source_open_memory("f", {doc.data(), doc.size()}, &source, &err), {}, {}, ""};
  if (out.status == SP_OK)
    out.status = sp_json_members_create(source, open, ceiling, &members, &err);
  bool found = true;
  while (out.status == SP_OK && found) {
    sp_text member;
    uint64_t line;
    out.status = sp_json_members_next(members, &member, &line, &found, &err);
    if (out.status != SP_OK || !found)
      break;
    out.members.emplace_back(member.data, member.len);
    out.lines.push_back(line);
  }
  sp_json_members_destroy(members);
  sp_source_close(source);
  out.message = err.message;
  return out;
}

TEST(JsonMembers, SplitsObjects) {
  Split out =
      SplitAll("\n{ \"a\":{\"x\":[1,\"]}\"]},\n\"b\\\"\" : \"s\\\\\",\n\n\"c\": 12 ,\"d\":[\n]}\n");
  EXPECT_EQ(out.status, SP_OK) << out.message;
  EXPECT_EQ(out.members,
            (std::vector<std::string>{"{\"a\":{\"x\":[1,\"]}\"]}}", "{\"b\\\"\" : \"s\\\\\"}",
                                      "{\"c\": 12}", "{\"d\":[\n]}"}));
  EXPECT_EQ(out.lines, (std::vector<uint64_t>{2, 3, 5, 5}));
}

TEST(JsonMembers, SplitsArrays) {
  Split out = SplitAll("[{\"a\":1}, 2,\"x\" ,null]", '[');
  EXPECT_EQ(out.status, SP_OK) << out.message;
  EXPECT_EQ(out.members, (std::vector<std::string>{"{\"a\":1}", "2", "\"x\"", "null"}));
}

TEST(JsonMembers, EmptyDocuments) {
  EXPECT_EQ(SplitAll(" { } ").status, SP_OK);
  EXPECT_TRUE(SplitAll("{}").members.empty());
  EXPECT_EQ(SplitAll("[]", '[').status, SP_OK);
}

// Members of all lengths around the block size, so that the window moves and grows at every place.
TEST(JsonMembers, AreWholeAcrossBlocks) {
  std::string doc = "{";
  std::vector<std::string> expected;
  for (int i = 0; i < 40; i++) {
    std::string body(static_cast<size_t>(i) * 16411, i % 2 ? '\\' : 'x');
    if (body.size() % 2 && i % 2)
      body.pop_back();
    std::string member = "\"k" + std::to_string(i) + "\":[\"" + body + "\"]";
    doc += (i ? "," : "") + member;
    expected.push_back("{" + member + "}");
  }
  Split out = SplitAll(doc + "}");
  EXPECT_EQ(out.status, SP_OK) << out.message;
  EXPECT_TRUE(out.members == expected);
}

TEST(JsonMembers, RefusesWhatIsBroken) {
  struct {
    const char *doc, *message;
  } cases[] = {
      {"", "f:1: the file is empty"},
      {"\n\n[1]", "f:3: a JSON object is expected"},
      {"{\n\"a\":1", "f:2: the file ends early"},
      {"{\"a\":1,\n}", "f:2: a key in quotes is expected"},
      {"{\"a\"\n1}", "f:2: ':' is expected after a key"},
      {"{\"a\":\n}", "f:2: a value is expected"},
      {"{\"a\":1\n\"b\":2}", "f:2: a comma or the end is expected"},
      {"{\"a\":1}\n\n,", "f:3: something follows the end of the JSON document"},
      {"{\n\"a\":{\n\"b\n\"}}", "f:3: a line break inside a string (a quote is missing)"},
      {"{\n\"a\":{\n\"b\"", "f:3: the file ends inside a value (its member begins on line 2)"},
      {"{\n\"a", "f:2: the file ends inside a string (its member begins on line 2)"},
  };
  for (const auto &c : cases) {
    Split out = SplitAll(c.doc);
    EXPECT_EQ(out.status, SP_EINPUT) << c.doc;
    EXPECT_EQ(out.message, c.message);
  }
}

TEST(JsonMembers, CeilingHoldsForAMember) {
  std::string small = "{\"a\":\"" + std::string(900, 'x') + "\"}";
  std::string large = "{\"b\":1,\"a\":\"" + std::string(3 << 20, 'x') + "\"}";
  EXPECT_EQ(SplitAll(small, '{', 1000).status, SP_OK);
  EXPECT_EQ(SplitAll(small, '{', 800).status, SP_EINPUT);
  EXPECT_EQ(SplitAll(large).message, "f:1: a member is longer than 1048576 bytes");
}

}  // namespace
