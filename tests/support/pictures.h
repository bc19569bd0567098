// pictures.h - reads pictures back: SVG as elements, PNG as pixels. Both throw at the first fault.
#ifndef SP_TESTS_PICTURES_H
#define SP_TESTS_PICTURES_H

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace sp_test {

struct Element {
  std::string name, text;  // of the text, what stands right behind the start tag, unescaped
  std::map<std::string, std::string> attributes;
  int Number(const std::string &attribute) const {
    return std::stoi(attributes.at(attribute));
  }
  // Its class; "" without.
  std::string Kind() const {
    auto at = attributes.find("class");
    return at == attributes.end() ? "" : at->second;
  }
};

// The elements of a well-formed XML document without comments and instructions, in document order.
std::vector<Element> ParseXml(const std::string &document);
// Those of them with that name and class.
std::vector<Element> Select(const std::vector<Element> &elements, const std::string &name,
                            const std::string &kind);

using Pixel = std::array<uint8_t, 3>;
struct Picture {
  size_t width = 0, height = 0;
  std::vector<Pixel> pixels;  // (height, width)
  const Pixel &At(size_t x, size_t y) const {
    return pixels.at(y * width + x);
  }
  size_t Count(const Pixel &pixel) const;
};

// An 8-bit RGB PNG, every chunk's length and checksum looked at.
Picture DecodePng(const std::string &bytes);

}  // namespace sp_test
#endif
