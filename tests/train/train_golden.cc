#include "train_golden.h"

#include <jansson.h>

#include <cmath>
#include <cstdlib>
#include <limits>
#include <memory>
#include <stdexcept>

#include "golden.h"

namespace sp_test {
namespace {

struct Releaser {
  void operator()(json_t *value) const {
    json_decref(value);
  }
};

json_t *Get(json_t *object, const char *key) {
  json_t *value = json_object_get(object, key);
  if (!value)
    throw std::runtime_error(std::string("train goldens: ") + key + " is missing");
  return value;
}

// Of an array, each item by `read`.
template <class Read>
auto Each(json_t *array, Read read) {
  std::vector<decltype(read(array))> out;
  size_t i;
  json_t *item;
  json_array_foreach(array, i, item) out.push_back(read(item));
  return out;
}

float NumberOrNone(json_t *value) {
  return json_is_null(value) ? std::numeric_limits<float>::quiet_NaN()
                             : static_cast<float>(json_number_value(value));
}
int32_t Whole(json_t *value) {
  return static_cast<int32_t>(json_integer_value(value));
}

TrainSequences ReadSequences(json_t *json) {
  TrainSequences out;
  out.ids = Each(Get(json, "ids"), [](json_t *ids) { return Each(ids, Whole); });
  if (json_object_get(json, "targets")) {
    out.targets = Each(Get(json, "targets"), [](json_t *of_one) {
      return Each(of_one, [](json_t *pair) {
        return std::make_pair(static_cast<uint32_t>(Whole(json_array_get(pair, 0))),
                              Whole(json_array_get(pair, 1)));
      });
    });
    return out;
  }
  out.lists =
      Each(Get(json, "lists"), [](json_t *size) { return static_cast<size_t>(Whole(size)); });
  out.first = Each(Get(json, "first"), NumberOrNone);
  out.errors = Each(Get(json, "errors"), NumberOrNone);
  out.teacher = Each(Get(json, "teacher"), NumberOrNone);
  return out;
}

TrainRun ReadRun(json_t *json, json_t *defaults) {
  auto get = [&](const char *key) {
    json_t *own = json_object_get(json, key);
    return own ? own : Get(defaults, key);
  };
  auto number = [&](const char *key) { return json_number_value(get(key)); };
  TrainRun run{};
  run.objective = json_string_value(get("objective"));
  run.penalty = json_string_value(get("penalty"));
  run.beta = number("beta");
  run.distill_weight = number("distill_weight");
  run.tau = number("tau");
  run.detach = json_is_true(get("detach"));
  run.weight = number("weight");
  run.average = number("average");
  for (size_t i = 0; i < 4; i++)
    run.costs[i] = json_number_value(json_array_get(get("costs"), i));
  run.loss = json_number_value(Get(json, "loss"));
  run.penalty_value = json_number_value(Get(json, "penalty_value"));
  run.gradients =
      Each(Get(json, "gradients"), [](json_t *tensor) { return Each(tensor, json_number_value); });
  return run;
}

TrainGolden ReadGolden(json_t *json, json_t *defaults) {
  TrainGolden out;
  out.name = json_string_value(Get(json, "name"));
  out.random = RandomOptions(Get(json, "random"));
  out.text = ReadSequences(Get(Get(json, "batches"), "text"));
  out.lists = ReadSequences(Get(Get(json, "batches"), "lists"));
  out.tensors =
      Each(Get(json, "tensors"), [](json_t *name) { return std::string(json_string_value(name)); });
  out.runs = Each(Get(json, "runs"), [&](json_t *run) { return ReadRun(run, defaults); });
  return out;
}

std::string AsText(json_t *value) {
  if (json_is_string(value))
    return json_string_value(value);
  return json_is_number(value) ? std::to_string(json_number_value(value)) : "";
}

std::string Lines(json_t *array) {
  std::string out;
  for (const std::string &line : Each(array, [](json_t *item) {
         std::unique_ptr<char, decltype(&std::free)> text(json_dumps(item, JSON_COMPACT),
                                                          std::free);
         return std::string(text.get()) + "\n";
       }))
    out += line;
  return out;
}

TrainedGolden ReadTrained(json_t *json) {
  TrainedGolden out;
  out.name = json_string_value(Get(json, "name"));
  out.random = RandomOptions(Get(json, "random"));
  const char *key;
  json_t *value;
  json_object_foreach(Get(json, "run"), key, value) out.run[key] = AsText(value);
  out.archive = Lines(Get(json, "archive"));
  auto rows = [](json_t *row) { return Each(row, json_number_value); };
  out.losses = Each(Get(json, "losses"), rows);
  out.changes = Each(Get(json, "changes"), rows);
  out.tensors = Each(Get(json, "tensors"), AsText);
  return out;
}

std::unique_ptr<json_t, Releaser> Load(const std::string &path) {
  json_error_t fault;
  std::unique_ptr<json_t, Releaser> root(
      json_load_file(path.c_str(), JSON_REJECT_DUPLICATES, &fault));
  if (!root)
    throw std::runtime_error(path + ": " + fault.text);
  return root;
}

}  // namespace

std::vector<TrainGolden> ReadTrainGoldens(const std::string &path) {
  auto root = Load(path);
  json_t *defaults = Get(root.get(), "defaults");
  return Each(Get(root.get(), "models"),
              [&](json_t *model) { return ReadGolden(model, defaults); });
}

std::vector<TrainedGolden> ReadTrainedGoldens(const std::string &path) {
  return Each(Get(Load(path).get(), "models"), ReadTrained);
}

std::vector<double> SummaryOf(const float *gradient, size_t count) {
  const uint64_t factors[] = {2654435761u, 2246822519u};
  double square = 0, sums[2] = {0, 0};
  for (size_t i = 0; i < count; i++) {
    square += static_cast<double>(gradient[i]) * gradient[i];
    for (int k = 0; k < 2; k++)
      sums[k] += ((i + 1) * factors[k] & 0x80000000u) != 0 ? -gradient[i] : gradient[i];
  }
  std::vector<double> out{std::sqrt(square), sums[0], sums[1]};
  for (size_t j = 0; j < 4; j++)
    out.push_back(gradient[j * (count - 1) / 3]);
  return out;
}

}  // namespace sp_test
