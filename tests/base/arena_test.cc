#include "arena.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <string>
#include <vector>

namespace {

struct Arena : sp_arena {
  explicit Arena(size_t limit = 0) : sp_arena{} {
    ceiling = limit;
  }
  ~Arena() {
    sp_arena_release(this);
  }
};

TEST(Arena, AlignsAndNeverOverlaps) {
  Arena arena;
  std::mt19937 random(7);
  struct Piece {
    unsigned char *data;
    size_t bytes;
    unsigned char mark;
  };
  std::vector<Piece> pieces;
  for (int i = 0; i < 3000; i++) {
    size_t bytes = random() % (i % 50 == 0 ? 200000 : 300);
    auto *data = static_cast<unsigned char *>(sp_arena_alloc(&arena, bytes, 1));
    ASSERT_NE(data, nullptr);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(data) % (bytes >= 64 ? 64 : 16), 0u) << bytes;
    unsigned char mark = static_cast<unsigned char>(i);
    memset(data, mark, bytes);
    pieces.push_back({data, bytes, mark});
  }
  for (const Piece &piece : pieces) {
    for (size_t i = 0; i < piece.bytes; i++)
      ASSERT_EQ(piece.data[i], piece.mark);
  }
}

TEST(Arena, RefusesSizesThatOverflow) {
  Arena arena;
  EXPECT_EQ(sp_arena_alloc(&arena, SIZE_MAX / 2, 3), nullptr);
  EXPECT_EQ(sp_arena_alloc(&arena, SIZE_MAX, 1), nullptr);
  EXPECT_EQ(sp_arena_alloc(&arena, SIZE_MAX - 64, 1), nullptr);
  EXPECT_EQ(sp_arena_calloc(&arena, SIZE_MAX / 4, 8), nullptr);
  EXPECT_EQ(sp_arena_copy(&arena, "", SIZE_MAX), nullptr);
  EXPECT_NE(sp_arena_alloc(&arena, 1, 1), nullptr);
}

TEST(Arena, CountZeroGivesAPointer) {
  Arena arena;
  EXPECT_NE(sp_arena_alloc(&arena, 0, 8), nullptr);
  EXPECT_NE(sp_arena_calloc(&arena, 0, 8), nullptr);
}

TEST(Arena, StaysUnderItsCeiling) {
  const size_t ceiling = 1 << 20;
  Arena arena(ceiling);
  size_t got = 0;
  while (sp_arena_alloc(&arena, 10000, 1))
    got += 10000;
  EXPECT_LE(arena.total_bytes, ceiling);
  EXPECT_GE(got, ceiling * 9 / 10); /* the last chunk shrinks to what is left */
  EXPECT_EQ(sp_arena_alloc(&arena, ceiling, 1), nullptr);
}

TEST(Arena, ClearKeepsTheLargestChunkSoThatEqualWorkAllocatesNothing) {
  Arena arena;
  size_t kept = 0;
  for (int round = 0; round < 5; round++) {
    for (int i = 0; i < 40; i++)
      ASSERT_NE(sp_arena_alloc(&arena, 4000, 1), nullptr);
    sp_arena_clear(&arena);
    if (round >= 2) {
      EXPECT_EQ(arena.total_bytes, kept);
    }
    kept = arena.total_bytes;
  }
  EXPECT_GE(kept, 160000u);
  sp_arena_release(&arena);
  EXPECT_EQ(arena.total_bytes, 0u);
  EXPECT_EQ(arena.chunk, nullptr);
  sp_arena_clear(&arena);
  EXPECT_NE(sp_arena_alloc(&arena, 1, 1), nullptr);
}

TEST(Arena, CallocIsZeroAlsoInReusedMemory) {
  Arena arena;
  memset(sp_arena_alloc(&arena, 50000, 1), 0xff, 50000);
  sp_arena_clear(&arena);
  auto *data = static_cast<unsigned char *>(sp_arena_calloc(&arena, 25000, 2));
  for (int i = 0; i < 50000; i++)
    ASSERT_EQ(data[i], 0);
}

TEST(Arena, CopyTerminates) {
  Arena arena;
  memset(sp_arena_alloc(&arena, 1000, 1), 0xff, 1000);
  sp_arena_clear(&arena);
  EXPECT_STREQ(sp_arena_copy(&arena, "abcd", 3), "abc");
  EXPECT_STREQ(sp_arena_copy(&arena, nullptr, 0), "");
  EXPECT_EQ(std::string(sp_arena_copy(&arena, "a\0b", 3), 4), std::string("a\0b\0", 4));
}

}  // namespace
