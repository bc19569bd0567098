// prometheus.h - a strict reader of Prometheus' text exposition format 0.0.4, for tests.
//
// Refuses what `promtool check metrics` and node_exporter's textfile collector refuse: families that
// are not together or come twice, samples without HELP and TYPE, names out of the alphabet, bad
// escapes, labels or label sets that come twice, counters without _total, timestamps, no last line end.
#ifndef SP_TESTS_PROMETHEUS_H
#define SP_TESTS_PROMETHEUS_H

#include <cstdlib>
#include <map>
#include <set>
#include <stdexcept>
#include <string>

namespace sp_test {

struct Metrics {
  using Labels = std::map<std::string, std::string>;
  std::map<std::string, std::string> types;                // by family
  std::map<std::string, std::map<Labels, double>> values;  // by family, then by labels

  // The value of the only sample whose labels include these.
  double At(const std::string &family, const Labels &some = {}) const {
    const double *found = nullptr;
    auto samples = values.find(family);
    if (samples == values.end())
      throw std::runtime_error("no family " + family);
    for (const auto &[labels, value] : samples->second) {
      bool fits = true;
      for (const auto &[name, wanted] : some) {
        auto label = labels.find(name);
        fits = fits && label != labels.end() && label->second == wanted;
      }
      if (fits && found)
        throw std::runtime_error("several samples of " + family);
      if (fits)
        found = &value;
    }
    if (!found)
      throw std::runtime_error("no such sample of " + family);
    return *found;
  }
};

class MetricsReader {
 public:
  explicit MetricsReader(const std::string &text) : text_(text) {}

  Metrics Read() {
    if (text_.empty() || text_.back() != '\n')
      Fail("no line end at the end");
    while (at_ < text_.size()) {
      line_++;
      if (Skip("# HELP ")) {
        Help();
      } else if (Skip("# TYPE ")) {
        Type();
      } else {
        Sample();
      }
    }
    for (const auto &[family, type] : metrics_.types) {
      if (metrics_.values.count(family) == 0)
        Fail(family + " has no sample");
    }
    return metrics_;
  }

 private:
  [[noreturn]] void Fail(const std::string &why) const {
    throw std::runtime_error("line " + std::to_string(line_) + ": " + why);
  }
  bool Skip(const std::string &word) {
    bool there = text_.compare(at_, word.size(), word) == 0;
    at_ += there ? word.size() : 0;
    return there;
  }
  void Expect(const std::string &word) {
    if (!Skip(word))
      Fail("'" + word + "' expected");
  }
  char Next() const {
    return text_[at_];
  }

  std::string Name(bool colon) {
    size_t from = at_;
    auto fits = [&](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (colon && c == ':') ||
             (at_ > from && c >= '0' && c <= '9');
    };
    while (fits(Next()))
      at_++;
    if (at_ == from)
      Fail("a name expected");
    return text_.substr(from, at_ - from);
  }
  std::string Rest() {
    size_t from = at_;
    at_ = text_.find('\n', at_);
    return text_.substr(from, at_++ - from);
  }

  void Help() {
    family_ = Name(true);
    Expect(" ");
    if (Rest().empty())
      Fail("no help");
    if (!helped_.insert(family_).second)
      Fail(family_ + " comes twice");
  }
  void Type() {
    std::string name = Name(true);
    Expect(" ");
    std::string type = Rest();
    if (name != family_ || metrics_.types.count(name))
      Fail("TYPE does not follow its HELP");
    if (type != "gauge" && type != "counter")
      Fail("type " + type);
    bool total = name.size() > 6 && name.compare(name.size() - 6, 6, "_total") == 0;
    if (total != (type == "counter"))
      Fail(name + " is a " + type);
    metrics_.types[name] = type;
  }

  std::string Value() {
    std::string value;
    Expect("\"");
    while (Next() != '"') {
      char c = Next();
      if (c == '\n')
        Fail("a line end in a label");
      at_++;
      if (c == '\\') {
        char escaped = Next();
        if (escaped != '\\' && escaped != '"' && escaped != 'n')
          Fail("bad escape");
        c = escaped == 'n' ? '\n' : escaped;
        at_++;
      }
      value += c;
    }
    at_++;
    return value;
  }
  void Sample() {
    if (Name(true) != family_ || !metrics_.types.count(family_))
      Fail("a sample out of its family");
    Metrics::Labels labels;
    if (Skip("{")) {
      do {
        std::string name = Name(false);
        Expect("=");
        if (name.rfind("__", 0) == 0)
          Fail("a reserved label");
        if (!labels.emplace(name, Value()).second)
          Fail("label " + name + " comes twice");
      } while (Skip(","));
      Expect("}");
    }
    Expect(" ");
    std::string number = Rest();
    char *end = nullptr;
    double value = std::strtod(number.c_str(), &end);
    if (number.empty() || *end != '\0')
      Fail("no number, or more than one: " + number);
    if (!metrics_.values[family_].emplace(labels, value).second)
      Fail("a sample comes twice");
  }

  const std::string text_;
  size_t at_ = 0, line_ = 0;
  std::string family_;
  std::set<std::string> helped_;
  Metrics metrics_;
};

// Throws std::runtime_error with the line.
inline Metrics ReadMetrics(const std::string &text) {
  return MetricsReader(text).Read();
}

}  // namespace sp_test
#endif
