#include "network_model.h"

#include <algorithm>
#include <numeric>
#include <stdexcept>

#include "checkpoint.h"
#include "list_loss.h"

namespace sp_test {

TrainTotals TotalsOf(const TrainSequences &batch) {
  TrainTotals totals{};
  for (const auto &targets : batch.targets)
    totals.targets += static_cast<double>(targets.size());
  for (const auto &ids : batch.ids)
    totals.positions += static_cast<double>(ids.size());
  totals.lists = static_cast<double>(batch.lists.size());
  totals.sequences = static_cast<double>(batch.ids.size());
  return totals;
}

// Sequences one after the other, as a batch has them.
struct NetworkModel::Packed {
  std::vector<uint32_t> row_start{0}, positions, target_row, list_start{0};
  std::vector<int32_t> ids, target_id;
  std::vector<uint64_t> item;
  sp_train_batch batch{};

  explicit Packed(const TrainSequences &from) {
    for (size_t s = 0; s < from.ids.size(); s++) {
      for (size_t t = 0; t < (from.targets.empty() ? 0 : from.targets[s].size()); t++) {
        target_row.push_back(row_start.back() + from.targets[s][t].first);
        target_id.push_back(from.targets[s][t].second);
      }
      ids.insert(ids.end(), from.ids[s].begin(), from.ids[s].end());
      for (size_t i = 0; i < from.ids[s].size(); i++)
        positions.push_back(static_cast<uint32_t>(i));
      row_start.push_back(static_cast<uint32_t>(ids.size()));
      item.push_back(s);
    }
    for (size_t size : from.lists)
      list_start.push_back(list_start.back() + static_cast<uint32_t>(size));
    batch.sequences = from.ids.size();
    batch.tokens = ids.size();
    batch.row_start = row_start.data();
    batch.ids = ids.data();
    batch.positions = positions.data();
    batch.item = item.data();
    batch.targets = target_row.size();
    batch.target_row = target_row.data();
    batch.target_id = target_id.data();
    batch.lists = from.lists.size();
    batch.list_start = list_start.data();
    batch.first_pass = from.first.data();
    batch.errors = from.errors.data();
    batch.teacher = from.teacher.data();
  }
};

void NetworkModel::Check(sp_status status) const {
  if (status != SP_OK)
    throw std::runtime_error(err_.message);
}

NetworkModel::NetworkModel(const std::string &directory, size_t tokens, size_t threads) {
  const sp_backend *backend = nullptr;
  const char *spec = nullptr;
  size_t opened = 0;
  Check(sp_backend_find("cpu", &backend, &spec, &err_));
  Check(backend->open(spec, SP_COMPUTE_F32, &device_, 1, &opened, &err_));
  sp_checkpoint *checkpoint = nullptr;
  Check(sp_checkpoint_open(directory.c_str(), &checkpoint, &err_));
  Check(sp_params_create(&checkpoint->config, checkpoint->has_mlm, checkpoint->has_cls,
                         &checkpoint->cls, &params_, &err_));
  std::vector<float> values(params_->count);
  char fresh[4096];
  Check(sp_params_load(params_, checkpoint, nullptr, values.data(), fresh, sizeof fresh, &err_));
  sp_checkpoint_close(checkpoint);
  const sp_network_limits limits{tokens, tokens, tokens, threads};
  Check(sp_network_create(device_, params_, &limits, &network_, &err_));
  Check(backend->train->upload(sp_network_trainer(network_), sp_network_values(network_),
                               values.data(), values.size() * sizeof(float), &err_));
  Check(sp_network_refresh(network_, &err_));
  TakeGradients();
}

NetworkModel::~NetworkModel() {
  sp_network_destroy(network_);
  sp_params_destroy(params_);
  if (device_)
    device_->backend->close(device_);
}

std::vector<float> NetworkModel::TakeGradients() {
  std::vector<float> out(params_->count);
  const sp_train_backend *ops = device_->backend->train;
  sp_trainer *trainer = sp_network_trainer(network_);
  size_t bytes = out.size() * sizeof(float);
  Check(ops->download(trainer, out.data(), sp_network_gradients(network_), bytes, &err_));
  Check(ops->fill_zero(trainer, sp_network_gradients(network_), bytes, &err_));
  return out;
}

double NetworkModel::ListLosses(const TrainSequences &batch, const TrainRun &run,
                                const TrainTotals &step, std::vector<float> *d_score) {
  std::vector<float> score(batch.ids.size());
  Check(sp_network_scores(network_, score.data(), &err_));
  double sum = 0;
  size_t at = 0;
  for (size_t n : batch.lists) {
    const float *first = &batch.first[at], *errors = &batch.errors[at];
    std::vector<double> d_l(n), d_distill(n);
    sp_list_loss loss{};
    if (run.objective == "mwer")
      loss = sp_mwer(first, &score[at], errors, n, run.beta, d_l.data());
    else if (run.objective == "mwed")
      loss = sp_mwed(first, &score[at], errors, n, run.beta, run.detach, d_l.data());
    sp_list_loss distill = sp_distill(&score[at], &batch.teacher[at], n, d_distill.data());
    sum += loss.value + (run.distill_weight != 0 ? run.distill_weight * distill.value : 0);
    for (size_t i = 0; i < n; i++)
      (*d_score)[at + i] =
          static_cast<float>((d_l[i] + run.distill_weight * d_distill[i]) / step.lists);
    at += n;
  }
  return sum / step.lists;
}

double NetworkModel::Penalty(const Packed &packed, const TrainRun &run, const TrainTotals &step,
                             std::vector<float> *d_a) {
  size_t layers = params_->config.layers, reach = 0;
  for (size_t l = 0; l < layers; l++)
    reach = std::max(reach, sp_lookahead_reach(&params_->config.lookahead, l));
  std::vector<float> a(layers * packed.batch.tokens * reach);
  d_a->assign(a.size(), 0);
  Check(sp_network_soft_masks(network_, a.data(), &err_));
  sp_penalty_rule rule{};
  if (!sp_penalty_parse(run.penalty.c_str(), &rule.kind))
    throw std::runtime_error("no penalty " + run.penalty);
  rule.lambda = run.weight;
  rule.backlog = {run.costs[0], run.costs[1], run.costs[2], run.costs[3]};
  sp_penalty_sums sums{};
  for (size_t s = 0; s < packed.batch.sequences; s++) {
    size_t first = packed.row_start[s];
    sp_soft_masks masks{packed.row_start[s + 1] - first,
                        layers,
                        reach,
                        &params_->config.lookahead,
                        a.data() + first * reach,
                        packed.batch.tokens};
    Check(sp_penalty_add(&rule, &masks, run.average, step.positions, step.sequences, &sums,
                         d_a->data() + first * reach, &err_));
  }
  return sums.value;
}

TrainLosses NetworkModel::Add(const TrainSequences &batch, const TrainRun &run,
                              const TrainTotals &step) {
  const Packed packed(batch);
  const bool mlm = run.objective == "mlm";
  const sp_network_pass pass{true, mlm ? static_cast<float>(1 / step.targets) : 0,
                             static_cast<float>(run.tau), false};
  Check(sp_network_forward(network_, &packed.batch, &pass, &err_));
  TrainLosses out{};
  std::vector<float> loss(packed.batch.targets), d_score(batch.ids.size()), d_a;
  if (mlm) {
    Check(sp_network_losses(network_, loss.data(), &err_));
    out.loss = std::accumulate(loss.begin(), loss.end(), 0.0) / step.targets;
  } else {
    out.loss = ListLosses(batch, run, step, &d_score);
  }
  if (params_->config.lookahead.policy == SP_MASK_DYNAMIC)
    out.penalty = Penalty(packed, run, step, &d_a);
  Check(sp_network_backward(network_, mlm ? nullptr : d_score.data(),
                            d_a.empty() ? nullptr : d_a.data(), &err_));
  return out;
}

TrainLosses NetworkModel::Run(const TrainSequences &batch, const TrainRun &run,
                              std::vector<float> *gradients) {
  TakeGradients();
  TrainLosses out = Add(batch, run, TotalsOf(batch));
  *gradients = TakeGradients();
  return out;
}

}  // namespace sp_test
