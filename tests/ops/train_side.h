// train_side.h - one opened trainer and its arrays: a test runs the same calls on several of them.
//
// The first failure stays: later calls do nothing, and what is read back is empty. Memory that is
// taken holds NaN in every type, so that an op that reads surplus rows or leaves some of its output
// unwritten is seen.
#ifndef SP_TESTS_TRAIN_SIDE_H
#define SP_TESTS_TRAIN_SIDE_H

#include <cstring>
#include <string>
#include <vector>

#include "backend.h"
#include "bf16.h"
#include "train.h"

namespace sp_test {

class TrainSide {
 public:
  TrainSide(const sp_backend &backend, const char *spec, sp_compute compute,
            const sp_train_limits &limits)
      : backend_(backend), train_(*backend.train) {
    size_t opened = 0;
    Do(backend_.open(spec, compute, &device_, 1, &opened, &err_));
    bf16_ = compute == SP_COMPUTE_BF16;
    if (ok())
      Do(train_.open(device_, &limits, &trainer_, &err_));
  }
  ~TrainSide() {
    for (sp_train_weight *weight : weights_)
      train_.weight_destroy(weight);
    for (void *data : arrays_)
      backend_.free(device_, data);
    train_.close(trainer_);
    backend_.close(device_);
  }
  TrainSide(const TrainSide &) = delete;
  TrainSide &operator=(const TrainSide &) = delete;

  bool ok() const {
    return status_ == SP_OK;
  }
  sp_status status() const {
    return status_;
  }
  const char *message() const {
    return err_.message;
  }
  const sp_train_backend &table() const {
    return train_;
  }
  sp_trainer *trainer() const {
    return trainer_;
  }
  sp_device *device() const {
    return device_;
  }
  sp_error *err() {
    return &err_;
  }
  bool bf16() const {
    return bf16_;
  }

  // side.Do(side.table().op(side.trainer(), &args, side.err())).
  template <typename Args>
  void Run(sp_status (*op)(sp_trainer *, const Args *, sp_error *), const Args &args) {
    if (ok())
      Do(op(trainer_, &args, &err_));
  }
  void Do(sp_status status) {
    if (ok())
      status_ = status;
  }

  // Rows of `bytes` bytes, with the surplus rows.
  void *Room(size_t rows, size_t bytes) {
    size_t quantum = ok() && device_->row_quantum > 0 ? device_->row_quantum : 1;
    size_t all = (rows + quantum - 1) / quantum * quantum * bytes;
    void *data = nullptr;
    if (ok())
      Do(backend_.alloc(device_, all > 0 ? all : 1, &data, &err_));
    if (!ok())
      return nullptr;
    arrays_.push_back(data);
    std::vector<char> nothing(all, '\xff');
    Do(train_.upload(trainer_, data, nothing.data(), all, &err_));
    return data;
  }
  template <typename T>
  T *Up(const std::vector<T> &values, size_t rows = 1) {
    size_t bytes = values.size() * sizeof(T);
    void *data = Room(rows, bytes / rows);
    if (ok())
      Do(train_.upload(trainer_, data, values.data(), bytes, &err_));
    return static_cast<T *>(data);
  }
  void *UpAct(const std::vector<float> &values, size_t rows = 1) {
    if (!bf16_)
      return Up(values, rows);
    std::vector<uint16_t> halves;
    for (float x : values)
      halves.push_back(sp_bf16_from_f32(x));
    return Up(halves, rows);
  }
  float *Floats(size_t rows, size_t width = 1) {
    return static_cast<float *>(Room(rows, width * sizeof(float)));
  }
  void *Act(size_t rows, size_t width) {
    return Room(rows, width * (bf16_ ? 2 : 4));
  }

  // Appends what was computed.
  void Down(const float *from, size_t n, std::vector<float> *out) {
    std::vector<float> values(n);
    if (ok())
      Do(train_.download(trainer_, values.data(), from, n * sizeof(float), &err_));
    if (ok())
      out->insert(out->end(), values.begin(), values.end());
  }
  void DownAct(const void *from, size_t n, std::vector<float> *out) {
    if (!bf16_) {
      Down(static_cast<const float *>(from), n, out);
      return;
    }
    std::vector<uint16_t> halves(n);
    if (ok())
      Do(train_.download(trainer_, halves.data(), from, n * 2, &err_));
    for (size_t i = 0; i < n && ok(); i++)
      out->push_back(sp_bf16_to_f32(halves[i]));
  }

  // Of the compute type, or f32.
  sp_train_weight *Weight(const std::vector<float> &master, size_t n, size_t k, bool f32 = false) {
    sp_train_weight *weight = nullptr;
    const float *data = Up(master, n);
    if (ok())
      Do(train_.weight_create(trainer_, f32 || !bf16_ ? SP_COMPUTE_F32 : SP_COMPUTE_BF16, data, n,
                              k, &weight, &err_));
    if (ok())
      weights_.push_back(weight);
    if (ok())
      Do(train_.weight_refresh(trainer_, weight, &err_));
    return weight;
  }

 private:
  const sp_backend &backend_;
  const sp_train_backend &train_;
  sp_device *device_ = nullptr;
  sp_trainer *trainer_ = nullptr;
  bool bf16_ = false;
  sp_status status_ = SP_OK;
  sp_error err_{};
  std::vector<void *> arrays_;
  std::vector<sp_train_weight *> weights_;
};

}  // namespace sp_test
#endif
