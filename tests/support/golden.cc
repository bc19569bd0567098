#include "golden.h"

#include <jansson.h>

#include <memory>
#include <stdexcept>

#include "random_model.h"

namespace sp_test {
namespace {

struct Releaser {
  void operator()(json_t *value) const { json_decref(value); }
};

[[noreturn]] void Fail(const std::string &what) { throw std::runtime_error("golden: " + what); }

json_t *Get(json_t *object, const char *key) {
  json_t *value = json_object_get(object, key);
  if (!value) Fail(std::string(key) + " is missing");
  return value;
}

std::string Text(json_t *value) {
  if (json_is_string(value)) return json_string_value(value);
  if (json_is_integer(value)) return std::to_string(json_integer_value(value));
  if (!json_is_true(value)) Fail("a text, a whole number or true is needed");
  return "";
}

template <class T>
std::vector<T> Numbers(json_t *value) {
  if (json_is_number(value)) return {static_cast<T>(json_number_value(value))};
  std::vector<T> out;
  size_t i;
  json_t *item;
  if (!json_is_array(value)) Fail("numbers are needed");
  json_array_foreach(value, i, item) {
    if (!json_is_number(item)) Fail("a number is needed");
    out.push_back(static_cast<T>(json_number_value(item)));
  }
  return out;
}

GoldenCase ReadCase(json_t *json) {
  GoldenCase out;
  const char *key;
  json_t *value;
  json_object_foreach(json, key, value) {
    const std::string name = key;
    if (name == "text") {
      out.text = Text(value);
    } else if (name == "ids") {
      out.ids = Numbers<int32_t>(value);
    } else if (name == "word") {
      out.word = Numbers<uint32_t>(value);
    } else {
      out.scores[name] = Numbers<double>(value);
    }
  }
  if (out.ids.empty() || out.ids.size() != out.word.size()) Fail("ids and word differ in number");
  return out;
}

std::map<std::string, Deviation> ReadDeviations(json_t *json) {
  std::map<std::string, Deviation> out;
  const char *method;
  json_t *value;
  json_object_foreach(json, method, value) {
    const std::vector<double> numbers = Numbers<double>(value);
    if (numbers.size() != 2) Fail("a deviation is two numbers");
    out[method] = {numbers[0], numbers[1]};
  }
  return out;
}

GoldenModel ReadModel(json_t *json) {
  GoldenModel out;
  out.name = Text(Get(json, "name"));
  if (json_object_get(json, "path")) out.path = Text(Get(json, "path"));
  out.random = RandomOptions(json_object_get(json, "random"));
  const char *key;
  json_t *value;
  size_t i;
  json_array_foreach(Get(json, "methods"), i, value) out.methods.push_back(Text(value));
  json_array_foreach(Get(json, "cases"), i, value) out.cases.push_back(ReadCase(value));
  if (out.cases.empty()) Fail(out.name + " has no cases");
  json_object_foreach(Get(json, "deviation"), key, value) out.deviation[key] = ReadDeviations(value);
  return out;
}

}  // namespace

std::vector<GoldenModel> ReadGoldens(const std::string &path) {
  json_error_t fault;
  std::unique_ptr<json_t, Releaser> root(
      json_load_file(path.c_str(), JSON_REJECT_DUPLICATES, &fault));
  if (!root) Fail(path + ": " + fault.text);
  std::vector<GoldenModel> out;
  size_t i;
  json_t *model;
  json_array_foreach(Get(root.get(), "models"), i, model) out.push_back(ReadModel(model));
  return out;
}

bool IsSteady(const GoldenCase &one, const std::string &method, size_t i) {
  auto steady = one.scores.find(method + "_steady");
  return steady == one.scores.end() || steady->second.at(i) != 0;
}

std::map<std::string, std::string> RandomOptions(json_t *object) {
  std::map<std::string, std::string> out;
  const char *key;
  json_t *value;
  json_object_foreach(object, key, value) {
    if (!json_is_false(value)) out[key] = Text(value);
  }
  return out;
}

void WriteRandomModel(const std::map<std::string, std::string> &options,
                      const std::string &directory) {
  sp_random_model model = sp_random_model_default();
  for (const auto &[name, value] : options) {
    const char *text = sp_random_model_needs_value(name.c_str()) ? value.c_str() : nullptr;
    if (!sp_random_model_set(&model, name.c_str(), text)) Fail("unknown option " + name);
  }
  sp_error err{};
  if (sp_random_model_write(&model, directory.c_str(), &err) != SP_OK) Fail(err.message);
}

std::string GoldenModelDirectory(const GoldenModel &model, const std::string &source_dir,
                                 const std::string &scratch_dir) {
  if (!model.path.empty()) return source_dir + "/" + model.path;
  WriteRandomModel(model.random, scratch_dir);
  return scratch_dir;
}

}  // namespace sp_test
