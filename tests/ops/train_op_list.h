// train_op_list.h - every op of a training table on small random data: the same calls for any
// device.
#ifndef SP_TESTS_TRAIN_OP_LIST_H
#define SP_TESTS_TRAIN_OP_LIST_H

#include "train_side.h"

namespace sp_test {

// Each appends all that it computed, one output after the other; `parts` are the outputs' sizes, so
// that an error is judged by the size of its own output.
struct TrainOutputs {
  std::vector<float> values;
  std::vector<size_t> parts;
};
struct TrainOp {
  const char *name;
  void (*run)(TrainSide &side, TrainOutputs *out);
};
const std::vector<TrainOp> &TrainOps();

// That all of them keep to.
sp_train_limits TrainOpLimits();

}  // namespace sp_test
#endif
