#include "score_ids.h"

#include <algorithm>
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

// What a run leaves: in the plan's numbering, bits traced sequence by sequence.
struct Results {
  std::vector<float> logp, cls;
  std::vector<uint32_t> bits;
};

// Traced bits of a packed batch, layer by layer over all its tokens.
void KeepBits(const Run &run, sp_batch_range range, size_t layers,
              const std::vector<uint32_t> &of_batch, std::vector<uint32_t> *to) {
  for (uint32_t s = 0; s < range.count; s++) {
    const sp_sequence &seq = run.plan.sequence[range.first + s];
    const size_t len = sp_plan_base_len(&run.plan, seq.base);
    for (size_t l = 0; seq.trace != UINT32_MAX && l < layers; l++) {
      auto from = of_batch.begin() +
                  static_cast<long>(l * run.batch.tokens + run.batch.token_start[s]);
      std::copy(from, from + static_cast<long>(len),
                to->begin() + static_cast<long>(layers * seq.trace + l * len));
    }
  }
}

void RunPlain(Run *run, const sp_forward_rule &rule, size_t layers, Results *out) {
  const bool pack = rule.savings & SP_SAVING_PACK;
  sp_error err{};
  size_t n_batches = 0;
  sp_batch_range *ranges = sp_plan_cut(&run->plan, &rule.limits, pack, &n_batches);
  if (!ranges || !sp_batch_init(&run->batch, &rule.limits, &run->arena))
    throw std::runtime_error("out of memory");
  std::vector<uint32_t> bits(rule.trace ? layers * rule.limits.tokens : 0);
  for (size_t b = 0; b < n_batches; b++) {
    sp_batch_fill(&run->batch, &run->plan, ranges[b], pack);
    Check(sp_forward_run(run->forward, &run->batch, out->logp.data() + run->batch.first_target,
                         out->cls.data() + run->batch.first_cls, bits.data(), &err),
          err);
    if (rule.trace)
      KeepBits(*run, ranges[b], layers, bits, &out->bits);
  }
}

void RunNodes(Run *run, const sp_forward_rule &rule, size_t layers, Results *out) {
  const sp_nodes_rule nodes_rule{&rule.lookahead, layers, rule.limits, rule.mask_id};
  sp_error err{};
  Check(sp_nodes_create(&nodes_rule, &run->nodes, &err), err);
  size_t n_batches = 0;
  sp_batch_range *ranges = sp_nodes_cut(&run->plan, &nodes_rule, &n_batches);
  if (!ranges)
    throw std::runtime_error("out of memory");
  size_t traced = 0;
  for (size_t b = 0; b < n_batches; b++) {
    sp_node_inputs inputs;
    uint32_t row = run->plan.sequence[ranges[b].first].row_first;
    sp_nodes_begin(run->nodes, &run->plan, ranges[b], &inputs);
    do {
      Check(sp_forward_begin_nodes(run->forward, run->nodes, &inputs, &err), err);
      Check(sp_forward_end(run->forward, out->logp.data() + run->plan.row_target[row],
                           out->cls.data() + run->plan.row_cls[row], nullptr, &err),
            err);
    } while (sp_nodes_again(run->nodes, &inputs));
    size_t words = 0;
    for (uint32_t s = ranges[b].first; s < ranges[b].first + ranges[b].count; s++) {
      const sp_sequence &seq = run->plan.sequence[s];
      words += seq.trace != UINT32_MAX ? layers * sp_plan_base_len(&run->plan, seq.base) : 0;
    }
    std::copy_n(sp_nodes_trace(run->nodes), words, out->bits.begin() + static_cast<long>(traced));
    traced += words;
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
                                        const sp_lookahead &lookahead, unsigned savings) const {
  ScoreRule rule;
  rule.lookahead = lookahead;
  rule.savings = savings;
  return Score(cases, methods, rule, nullptr);
}

std::vector<Scores> ScoringModel::Score(const std::vector<GoldenCase> &cases,
                                        const std::vector<std::string> &methods,
                                        const ScoreRule &how,
                                        std::vector<std::vector<uint32_t>> *bits) const {
  const sp_tokenizer_info *info = sp_tokenizer_get_info(parts_->tokenizer);
  const size_t layers = parts_->weights->config.layers;
  const sp_batch_limits limits{
      how.tokens, std::max(how.tokens, parts_->weights->config.max_positions) * SP_PLAN_MAX_TARGETS};
  sp_plan_rule rule{};
  rule.dedupe = (how.savings & SP_SAVING_DEDUPE) != 0;
  rule.cls_last = how.lookahead.cls_last;
  rule.keep_lists = how.savings == SP_SAVING_ALL && sp_nodes_fits(&how.lookahead);
  rule.trace = how.trace;
  rule.cls = info->cls;
  rule.sep = info->sep;
  rule.mask = info->mask;
  std::vector<sp_plan_hyp> hyps;
  sp_error err{};
  Run run;
  for (const std::string &name : methods)
    rule.methods |= 1u << MethodOf(name);
  for (const GoldenCase &one : cases) {
    hyps.push_back({one.ids.data(), one.word.data(), static_cast<uint32_t>(one.ids.size()),
                    static_cast<uint32_t>(hyps.size() / 4)});
  }
  Check(sp_plan_build(&run.plan, hyps.data(), hyps.size(), &rule, &err), err);
  const sp_forward_rule forward_rule{limits,    how.savings, how.lookahead, how.trace,
                                     info->mask, info->pad};
  Check(sp_forward_create(parts_->weights, &forward_rule, &run.forward, &err), err);
  Results results{std::vector<float>(run.plan.targets), std::vector<float>(run.plan.cls_rows),
                  std::vector<uint32_t>(how.trace ? layers * run.plan.traced : 0)};
  if (rule.keep_lists)
    RunNodes(&run, forward_rule, layers, &results);
  else
    RunPlain(&run, forward_rule, layers, &results);
  std::vector<Scores> out;
  for (size_t h = 0; h < cases.size(); h++) {
    size_t len = cases[h].ids.size() + 2;
    out.push_back(Collect(run.plan, h, cases[h].ids.size(), methods, results.logp, results.cls));
    if (how.trace) {
      uint32_t sequence = run.plan.base_trace[run.plan.hyp_base[h]];
      auto at = results.bits.begin() +
                static_cast<long>(layers * run.plan.sequence[sequence].trace);
      bits->emplace_back(at, at + static_cast<long>(layers * len));
    }
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
