// program.h - runs the built program and keeps what it says on either stream.
#ifndef SP_TESTS_CLI_PROGRAM_H
#define SP_TESTS_CLI_PROGRAM_H

#include <gtest/gtest.h>
#include <jansson.h>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <string>

#include "random_model.h"
#include "scratch.h"

namespace sp_test {

struct Said {
  int code;
  std::string out, err;
};

// Runs a shell command in which $SP stands for the program; both streams are kept apart.
inline Said Shell(const std::string &command) {
  Scratch scratch;
  std::string script = "SP='" SP_BINARY "'\n{ " + command + "\n} >" + (scratch / "out") + " 2>" +
                       (scratch / "err") + " </dev/null";
  int code = Run(script).exit_code;
  return {code, ReadFile(scratch / "out"), ReadFile(scratch / "err")};
}

inline Said Program(const std::string &arguments) { return Shell("$SP " + arguments); }

struct JsonFree {
  void operator()(json_t *json) const { json_decref(json); }
};
using Json = std::unique_ptr<json_t, JsonFree>;

// Exactly one line that is one JSON value.
inline Json ParseJson(const std::string &line) {
  json_error_t error;
  if (line.empty() || line.find('\n') != line.size() - 1) {
    throw std::runtime_error("not one line: " + line);
  }
  Json json(json_loadb(line.data(), line.size(), JSON_REJECT_DUPLICATES, &error));
  if (!json) throw std::runtime_error(std::string(error.text) + ": " + line);
  return json;
}

// A member by a dotted path; the test fails when it is absent.
inline json_t *Member(const Json &json, const std::string &path) {
  json_t *at = json.get();
  for (size_t from = 0; at && from <= path.size();) {
    size_t dot = std::min(path.find('.', from), path.size());
    at = json_object_get(at, path.substr(from, dot - from).c_str());
    from = dot + 1;
  }
  if (!at) throw std::runtime_error("no member " + path);
  return at;
}
inline json_int_t Integer(const Json &json, const std::string &path) {
  json_t *member = Member(json, path);
  if (!json_is_integer(member)) throw std::runtime_error(path + " is no integer");
  return json_integer_value(member);
}
inline std::string String(const Json &json, const std::string &path) {
  json_t *member = Member(json, path);
  if (!json_is_string(member)) throw std::runtime_error(path + " is no string");
  return json_string_value(member);
}

// A folder with a small random model and an archive of 40 utterances, 3 hypotheses each.
class Workplace : public ::testing::Test {
 protected:
  void SetUp() override {
    struct sp_random_model model = sp_random_model_default();
    struct sp_error err = {};
    ASSERT_EQ(sp_random_model_write(&model, (scratch_ / "model").c_str(), &err), SP_OK)
        << err.message;
    WriteFile(scratch_ / "dev.jsonl", Archive(40));
  }

  static std::string Archive(int utts) {
    static const char *const words[] = {"stew", "turnips", "and", "carrots", "he", "hoped", "be"};
    std::string lines;
    for (int u = 0; u < utts; u++) {
      lines += "{\"id\":\"utt-" + std::to_string(u) + "\",\"hyps\":[";
      for (int h = 0; h < 3; h++) {
        std::string text;
        for (int w = 0; w < 3 + (u + h) % 4; w++) {
          text += std::string(w ? " " : "") + words[(u * 5 + h * 3 + w) % 7];
        }
        lines += std::string(h ? "," : "") + "{\"text\":\"" + text + "\",\"score\":-" +
                 std::to_string(h + 1) + ".5}";
      }
      lines += "]}\n";
    }
    return lines;
  }

  std::string Path(const std::string &name) const { return scratch_ / name; }
  // "score --model .. --out RUN <options> ARCHIVE"
  std::string Score(const std::string &run, const std::string &options = "") const {
    return "score --model " + Path("model") + " --threads 2 --out " +
           (run == "-" ? run : Path(run)) + " " + options + " " + Path("dev.jsonl");
  }

  Scratch scratch_;
};

}  // namespace sp_test
#endif
