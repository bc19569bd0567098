// network_model.h - a model on a device with what training needs of it: losses and gradients of sequences.
#ifndef SP_TESTS_NETWORK_MODEL_H
#define SP_TESTS_NETWORK_MODEL_H

#include <string>
#include <vector>

#include "latency_loss.h"
#include "network.h"
#include "train_golden.h"

namespace sp_test {

// What a step has in all, where a batch is a part of it.
struct TrainTotals {
  double targets, lists, positions, sequences;
};
TrainTotals TotalsOf(const TrainSequences &batch);

struct TrainLosses {
  double loss, penalty;
};

class NetworkModel {
 public:
  // The whole model below `directory`, in f32, with room for `tokens`. Throws std::runtime_error, as all
  // others do.
  NetworkModel(const std::string &directory, size_t tokens, size_t threads = 1);
  ~NetworkModel();
  NetworkModel(const NetworkModel &) = delete;
  NetworkModel &operator=(const NetworkModel &) = delete;
  const sp_params &params() const {
    return *params_;
  }
  // Loss and penalty of a batch as a part of a step; the gradients of loss + weight * penalty are added.
  TrainLosses Add(const TrainSequences &batch, const TrainRun &run, const TrainTotals &step);
  // The same of a batch alone, with its gradients.
  TrainLosses Run(const TrainSequences &batch, const TrainRun &run, std::vector<float> *gradients);
  std::vector<float> TakeGradients();  // and makes them zero

 private:
  struct Packed;
  double ListLosses(const TrainSequences &batch, const TrainRun &run, const TrainTotals &step,
                    std::vector<float> *d_score);
  double Penalty(const Packed &packed, const TrainRun &run, const TrainTotals &step,
                 std::vector<float> *d_a);
  void Check(sp_status status) const;

  sp_error err_{};
  sp_device *device_ = nullptr;
  sp_params *params_ = nullptr;
  sp_network *network_ = nullptr;
};

}  // namespace sp_test
#endif
