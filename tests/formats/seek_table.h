// seek_table.h - a second reader of our zstd files: through their seek tables.
#ifndef SP_TESTS_FORMATS_SEEK_TABLE_H
#define SP_TESTS_FORMATS_SEEK_TABLE_H

#include <gtest/gtest.h>
#include <xxhash.h>
#include <zstd.h>

#include <string>
#include <vector>

namespace sp_test {

inline uint32_t Le32(const std::string &bytes, size_t at) {
  uint32_t value = 0;
  for (size_t k = 0; k < 4; k++) {
    value |= static_cast<uint32_t>(static_cast<unsigned char>(bytes[at + k])) << (8 * k);
  }
  return value;
}

struct Frame {
  std::string raw;
};

// A second reader, after the seekable format's description: from the end of the file to the frames.
inline std::vector<Frame> ReadThroughSeekTable(const std::string &file) {
  std::vector<Frame> frames;
  size_t size = file.size();
  EXPECT_EQ(Le32(file, size - 4), 0x8F92EAB1u);
  EXPECT_EQ(static_cast<unsigned char>(file[size - 5]), 0x80);
  uint32_t count = Le32(file, size - 9);
  size_t table = size - 9 - size_t{12} * count - 8;
  EXPECT_EQ(Le32(file, table), 0x184D2A5Eu);
  EXPECT_EQ(Le32(file, table + 4), size - table - 8);
  size_t at = 0;
  for (uint32_t k = 0; k < count; k++) {
    size_t entry = table + 8 + size_t{12} * k;
    uint32_t packed = Le32(file, entry), raw_bytes = Le32(file, entry + 4);
    std::string raw(raw_bytes, '\0');
    EXPECT_EQ(ZSTD_getFrameContentSize(file.data() + at, packed), raw_bytes);
    EXPECT_EQ(ZSTD_decompress(raw.data(), raw_bytes, file.data() + at, packed), raw_bytes);
    EXPECT_EQ(static_cast<uint32_t>(XXH64(raw.data(), raw_bytes, 0)), Le32(file, entry + 8));
    frames.push_back({raw});
    at += packed;
  }
  EXPECT_EQ(at, table);
  return frames;
}

}  // namespace sp_test
#endif
