#include "score_ids.h"

#include <stdexcept>

#include "batch.h"
#include "forward.h"
#include "plan.h"
#include "tokenizer.h"

namespace sp_test {
namespace {

void Check(sp_status status, const sp_error &err) {
  if (status != SP_OK)
    throw std::runtime_error(err.message);
}

sp_method MethodOf(const std::string &name) {
  for (int m = 0; m < SP_METHOD_COUNT; m++) {
    if (name == sp_method_key(static_cast<sp_method>(m)))
      return static_cast<sp_method>(m);
  }
  throw std::runtime_error("no method " + name);
}

// Destroyed in the order that the backend asks for.
struct Run {
  sp_plan plan{};
  sp_batch batch{};
  sp_arena arena{};
  sp_forward *forward = nullptr;
  sp_nodes *nodes = nullptr;
  ~Run() {
    sp_forward_destroy(forward);
    sp_nodes_destroy(nodes);
    sp_arena_release(&arena);
    sp_plan_release(&plan);
  }
};

void RunPlain(Run *run, const sp_forward_rule &rule, std::vector<float> *logp,
              std::vector<float> *cls) {
  const bool pack = rule.savings & SP_SAVING_PACK;
  sp_error err{};
  size_t n_batches = 0;
  sp_batch_range *ranges = sp_plan_cut(&run->plan, &rule.limits, pack, &n_batches);
  if (!ranges || !sp_batch_init(&run->batch, &rule.limits, &run->arena))
    throw std::runtime_error("out of memory");
  for (size_t b = 0; b < n_batches; b++) {
    sp_batch_fill(&run->batch, &run->plan, ranges[b], pack);
    Check(sp_forward_run(run->forward, &run->batch, logp->data() + run->batch.first_target,
                         cls->data() + run->batch.first_cls, nullptr, &err),
          err);
  }
}

void RunNodes(Run *run, const sp_forward_rule &rule, size_t layers, std::vector<float> *logp,
              std::vector<float> *cls) {
  const sp_nodes_rule nodes_rule{&rule.lookahead, layers, rule.limits, rule.mask_id};
  sp_error err{};
  Check(sp_nodes_create(&nodes_rule, &run->nodes, &err), err);
  size_t n_batches = 0;
  sp_batch_range *ranges = sp_nodes_cut(&run->plan, &nodes_rule, &n_batches);
  if (!ranges)
    throw std::runtime_error("out of memory");
  for (size_t b = 0; b < n_batches; b++) {
    sp_node_inputs inputs;
    uint32_t row = run->plan.sequence[ranges[b].first].row_first;
    sp_nodes_begin(run->nodes, &run->plan, ranges[b], &inputs);
    Check(sp_forward_begin_nodes(run->forward, run->nodes, &inputs, &err), err);
    Check(sp_forward_end(run->forward, logp->data() + run->plan.row_target[row],
                         cls->data() + run->plan.row_cls[row], nullptr, &err),
          err);
  }
}

Scores Collect(const sp_plan &plan, size_t hyp, size_t tokens,
               const std::vector<std::string> &methods, const std::vector<float> &logp,
               const std::vector<float> &cls) {
  Scores out;
  uint32_t base = plan.hyp_base[hyp];
  for (const std::string &name : methods) {
    sp_method method = MethodOf(name);
    const uint32_t *result = plan.result + plan.result_first[method][base];
    for (size_t i = 0; i < (method == SP_CLS ? 1 : tokens); i++) {
      out[name].push_back(method == SP_CLS ? cls.at(result[i]) : logp.at(result[i]));
    }
  }
  return out;
}

}  // namespace

struct ScoringModel::Parts {
  sp_tokenizer *tokenizer = nullptr;
  sp_device *device = nullptr;
  sp_weights *weights = nullptr;
  ~Parts() {
    sp_weights_destroy(weights);
    if (device)
      device->backend->close(device);
    sp_tokenizer_close(tokenizer);
  }
};

ScoringModel::ScoringModel(const std::string &directory, const char *device, sp_compute compute,
                           bool with_mlm, bool with_cls)
    : parts_(new Parts) {
  sp_error err{};
  sp_checkpoint *checkpoint = nullptr;
  const sp_backend *backend = nullptr;
  const char *spec = nullptr;
  sp_status status = sp_tokenizer_open(directory.c_str(), &parts_->tokenizer, &err);
  if (status == SP_OK)
    status = sp_backend_find(device, &backend, &spec, &err);
  size_t opened = 0;
  if (status == SP_OK)
    status = backend->open(spec, compute, &parts_->device, 1, &opened, &err);
  if (status == SP_OK)
    status = sp_checkpoint_open(directory.c_str(), &checkpoint, &err);
  if (status == SP_OK) {
    status =
        sp_weights_create(parts_->device, checkpoint, with_mlm, with_cls, &parts_->weights, &err);
    sp_checkpoint_close(checkpoint);
  }
  if (status != SP_OK) {
    delete parts_;
    throw std::runtime_error(directory + ": " + err.message);
  }
}

ScoringModel::~ScoringModel() {
  delete parts_;
}

const sp_weights *ScoringModel::weights() const { return parts_->weights; }
const sp_tokenizer_info *ScoringModel::tokenizer() const {
  return sp_tokenizer_get_info(parts_->tokenizer);
}

bool ScoringModel::HasDevice(const char *device) {
  sp_error err{};
  const sp_backend *backend = nullptr;
  const char *spec = nullptr;
  sp_device *device_opened = nullptr;
  size_t opened = 0;
  sp_status status = sp_backend_find(device, &backend, &spec, &err);
  if (status == SP_OK)
    status = backend->open(spec, SP_COMPUTE_F32, &device_opened, 1, &opened, &err);
  if (status == SP_OK)
    backend->close(device_opened);
  if (status != SP_OK && status != SP_EUSAGE)
    throw std::runtime_error(err.message);
  return status == SP_OK;
}

std::vector<Scores> ScoringModel::Score(const std::vector<GoldenCase> &cases,
                                        const std::vector<std::string> &methods,
                                        const sp_lookahead &lookahead,
                                        unsigned savings) const {
  const sp_tokenizer_info *info = sp_tokenizer_get_info(parts_->tokenizer);
  const sp_batch_limits limits{1024, SP_PLAN_MAX_TARGETS * 1024};
  sp_plan_rule rule{};
  rule.dedupe = (savings & SP_SAVING_DEDUPE) != 0;
  rule.cls_last = lookahead.cls_last;
  rule.keep_lists = savings == SP_SAVING_ALL && sp_nodes_fits(&lookahead);
  rule.cls = info->cls;
  rule.sep = info->sep;
  rule.mask = info->mask;
  std::vector<sp_plan_hyp> hyps;
  sp_error err{};
  Run run;
  for (const std::string &name : methods)
    rule.methods |= 1u << MethodOf(name);
  for (const GoldenCase &one : cases) {
    hyps.push_back({one.ids.data(), one.word.data(), static_cast<uint32_t>(one.ids.size()), 0});
  }
  Check(sp_plan_build(&run.plan, hyps.data(), hyps.size(), &rule, &err), err);
  const sp_forward_rule forward_rule{limits, savings, lookahead, false, info->mask, info->pad};
  Check(sp_forward_create(parts_->weights, &forward_rule, &run.forward, &err), err);
  std::vector<float> logp(run.plan.targets), cls(run.plan.cls_rows);
  if (rule.keep_lists)
    RunNodes(&run, forward_rule, parts_->weights->config.layers, &logp, &cls);
  else
    RunPlain(&run, forward_rule, &logp, &cls);
  std::vector<Scores> out;
  for (size_t h = 0; h < cases.size(); h++) {
    out.push_back(Collect(run.plan, h, cases[h].ids.size(), methods, logp, cls));
  }
  return out;
}

const sp_lookahead &ScoringModel::lookahead() const {
  return parts_->weights->config.lookahead;
}

std::vector<uint32_t> ScoringModel::Bits(const GoldenCase &one) const {
  const sp_tokenizer_info *info = sp_tokenizer_get_info(parts_->tokenizer);
  const sp_batch_limits limits{1024, SP_PLAN_MAX_TARGETS * 1024};
  const size_t len = one.ids.size() + 2;
  sp_plan_hyp hyp{};
  hyp.ids = one.ids.data();
  hyp.word = one.word.data();
  hyp.n = static_cast<uint32_t>(one.ids.size());
  sp_plan_rule rule{};
  rule.methods = 1u << SP_MASKLESS;
  rule.cls = info->cls;
  rule.sep = info->sep;
  rule.mask = info->mask;
  sp_error err{};
  Run run;
  Check(sp_plan_build(&run.plan, &hyp, 1, &rule, &err), err);
  size_t n_batches = 0;
  sp_batch_range *ranges = sp_plan_cut(&run.plan, &limits, true, &n_batches);
  if (!ranges || n_batches != 1 || !sp_batch_init(&run.batch, &limits, &run.arena)) {
    throw std::runtime_error("no batch of one text");
  }
  const sp_forward_rule traced{limits, SP_SAVING_ALL, lookahead(), true, info->mask, info->pad};
  Check(sp_forward_create(parts_->weights, &traced, &run.forward, &err), err);
  sp_batch_fill(&run.batch, &run.plan, ranges[0], true);
  std::vector<float> logp(run.plan.targets);
  std::vector<uint32_t> bits(parts_->weights->config.layers * len);
  Check(sp_forward_run(run.forward, &run.batch, logp.data(), nullptr, bits.data(), &err), err);
  for (size_t at = 0; at < bits.size(); at++) {
    size_t ahead = len - 1 - at % len;
    bits[at] &= ahead < 32 ? (1u << ahead) - 1 : UINT32_MAX;
  }
  return bits;
}

}  // namespace sp_test
