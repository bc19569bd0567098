// packed.h - bytes as other programs compress them.
#ifndef SP_TESTS_FORMATS_PACKED_H
#define SP_TESTS_FORMATS_PACKED_H

#include <gtest/gtest.h>
#include <zlib.h>
#include <zstd.h>

#include <string>

namespace sp_test {

inline std::string Zstd(const std::string &raw) {
  std::string out(ZSTD_compressBound(raw.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), raw.data(), raw.size(), 1));
  return out;
}

inline std::string Gzip(const std::string &raw) {
  z_stream stream = {};
  EXPECT_EQ(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(deflateBound(&stream, raw.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef *>(const_cast<char *>(raw.data()));
  stream.avail_in = static_cast<uInt>(raw.size());
  stream.next_out = reinterpret_cast<Bytef *>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

// A frame or member for every `step` bytes, wherever that cuts.
inline std::string InPieces(const std::string &raw, size_t step,
                            std::string (*pack)(const std::string &)) {
  std::string out;
  for (size_t at = 0; at < raw.size(); at += step)
    out += pack(raw.substr(at, step));
  return out;
}

}  // namespace sp_test
#endif
