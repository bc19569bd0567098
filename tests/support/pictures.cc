#include "pictures.h"

#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace sp_test {
namespace {

[[noreturn]] void Fault(const std::string &what, size_t at) {
  throw std::runtime_error(what + " at byte " + std::to_string(at));
}

class XmlParser {
 public:
  explicit XmlParser(const std::string &text) : text_(text) {}

  std::vector<Element> Parse() {
    while (at_ < text_.size()) {
      if (text_[at_] == '<')
        Tag();
      else
        Text();
    }
    if (!open_.empty())
      Fault("no end of " + open_.back(), at_);
    return elements_;
  }

 private:
  static bool IsName(char c) {
    return isalnum(static_cast<unsigned char>(c)) || strchr(":-_", c);
  }

  std::string Name() {
    size_t from = at_;
    while (at_ < text_.size() && text_[at_] && IsName(text_[at_]))
      at_++;
    if (at_ == from)
      Fault("a name is missing", at_);
    return text_.substr(from, at_ - from);
  }

  char Take() {
    if (at_ >= text_.size())
      Fault("the document ends", at_);
    return text_[at_++];
  }

  void Expect(char c) {
    if (Take() != c)
      Fault(std::string("no ") + c, at_ - 1);
  }

  // Characters up to one of `ends`, entities resolved.
  std::string Characters(const char *ends) {
    static const std::map<std::string, std::string> entities = {
        {"lt", "<"}, {"gt", ">"}, {"amp", "&"}, {"quot", "\""}, {"#39", "'"}};
    std::string out;
    while (at_ < text_.size() && !(text_[at_] && strchr(ends, text_[at_]))) {
      unsigned char c = static_cast<unsigned char>(Take());
      if (c == '&') {
        size_t end = text_.find(';', at_);
        if (end == std::string::npos || !entities.count(text_.substr(at_, end - at_)))
          Fault("no such entity", at_);
        out += entities.at(text_.substr(at_, end - at_));
        at_ = end + 1;
      } else if (c == '<' || (c < 0x20 && !strchr("\t\n\r", c)) || c == 0) {
        Fault("a character that XML has not", at_ - 1);
      } else {
        out += static_cast<char>(c);
      }
    }
    if (out.find("\xef\xbf\xbe") != std::string::npos ||
        out.find("\xef\xbf\xbf") != std::string::npos)
      Fault("a code point that XML has not", at_);
    return out;
  }

  void Text() {
    std::string text = Characters("<");
    if (open_.empty() && text.find_first_not_of(" \n") != std::string::npos)
      Fault("text outside the document's element", at_);
    if (!elements_.empty() && elements_.back().text.empty())
      elements_.back().text = text;
  }

  void EndTag() {
    at_++;
    std::string name = Name();
    if (open_.empty() || open_.back() != name)
      Fault("/" + name + " closes nothing", at_);
    open_.pop_back();
    Expect('>');
  }

  void Tag() {
    at_++;
    if (at_ < text_.size() && text_[at_] == '/') {
      EndTag();
      return;
    }
    if (open_.empty() && !elements_.empty())
      Fault("a second element of the document", at_);
    Element element;
    element.name = Name();
    while (at_ < text_.size() && text_[at_] == ' ') {
      at_++;
      std::string name = Name();
      Expect('=');
      Expect('"');
      if (!element.attributes.emplace(name, Characters("\"")).second)
        Fault(name + " twice", at_);
      Expect('"');
    }
    bool empty = at_ < text_.size() && text_[at_] == '/';
    at_ += empty;
    Expect('>');
    if (!empty)
      open_.push_back(element.name);
    elements_.push_back(element);
  }

  const std::string &text_;
  size_t at_ = 0;
  std::vector<std::string> open_;
  std::vector<Element> elements_;
};

uint32_t U32(const std::string &bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; i++)
    value = value << 8 | static_cast<uint8_t>(bytes.at(at + i));
  return value;
}

// The data of the chunks, as type and bytes.
std::vector<std::pair<std::string, std::string>> Chunks(const std::string &bytes) {
  std::vector<std::pair<std::string, std::string>> chunks;
  for (size_t at = 8; at < bytes.size();) {
    size_t len = U32(bytes, at);
    if (len > bytes.size() || at + 12 + len > bytes.size())
      Fault("a chunk is cut", at);
    std::string body = bytes.substr(at + 4, 4 + len);
    uLong crc = crc32(0, reinterpret_cast<const Bytef *>(body.data()), body.size());
    if (crc != U32(bytes, at + 8 + len))
      Fault("the checksum of " + body.substr(0, 4) + " is wrong", at);
    chunks.emplace_back(body.substr(0, 4), body.substr(4));
    at += 12 + len;
  }
  return chunks;
}

void Unfilter(const std::string &rows, Picture *out) {
  size_t width = out->width * 3;
  for (size_t y = 0; y < out->height; y++) {
    int filter = rows[y * (width + 1)];
    if (filter != 0 && filter != 2)
      Fault("a filter that this reader does not know", y);
    for (size_t x = 0; x < width; x++) {
      uint8_t above = filter == 2 && y > 0 ? out->At(x / 3, y - 1)[x % 3] : 0;
      out->pixels[y * out->width + x / 3][x % 3] =
          static_cast<uint8_t>(rows[y * (width + 1) + 1 + x] + above);
    }
  }
}

}  // namespace

std::vector<Element> ParseXml(const std::string &document) {
  return XmlParser(document).Parse();
}

std::vector<Element> Select(const std::vector<Element> &elements, const std::string &name,
                            const std::string &kind) {
  std::vector<Element> out;
  std::copy_if(elements.begin(), elements.end(), std::back_inserter(out),
               [&](const Element &e) { return e.name == name && e.Kind() == kind; });
  return out;
}

size_t Picture::Count(const Pixel &pixel) const {
  return static_cast<size_t>(std::count(pixels.begin(), pixels.end(), pixel));
}

Picture DecodePng(const std::string &bytes) {
  if (bytes.compare(0, 8, "\x89PNG\r\n\x1a\n") != 0)
    throw std::runtime_error("no PNG signature");
  auto chunks = Chunks(bytes);
  if (chunks.size() != 3 || chunks[0].first != "IHDR" || chunks[1].first != "IDAT" ||
      chunks[2].first != "IEND" || !chunks[2].second.empty())
    throw std::runtime_error("not the chunks of a PNG");
  const std::string &header = chunks[0].second;
  if (header.size() != 13 || header.substr(8) != std::string("\x08\x02\0\0\0", 5))
    throw std::runtime_error("not 8-bit RGB");
  Picture out;
  out.width = U32(header, 0);
  out.height = U32(header, 4);
  std::string rows(out.height * (out.width * 3 + 1), '\0');
  uLongf len = rows.size();
  int code =
      uncompress(reinterpret_cast<Bytef *>(&rows[0]), &len,
                 reinterpret_cast<const Bytef *>(chunks[1].second.data()), chunks[1].second.size());
  if (code != Z_OK || len != rows.size())
    throw std::runtime_error("the pixels do not decompress");
  out.pixels.resize(out.width * out.height);
  Unfilter(rows, &out);
  return out;
}

}  // namespace sp_test
