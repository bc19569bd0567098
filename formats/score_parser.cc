#include <simdjson.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <new>
#include <optional>
#include <string_view>
#include <vector>

#include "score_line.h"

static_assert(simdjson::SIMDJSON_PADDING <= SP_BUF_PADDING, "lines are followed by enough bytes");

namespace {
/* Where the per-token values of a hypothesis begin in `logp`, for each method. */
using Starts = std::array<size_t, SP_METHOD_COUNT>;
constexpr size_t kNone = SIZE_MAX;
}  // namespace

struct sp_score_parser {
  simdjson::dom::parser json;
  bool keeps_logp = false;
  std::vector<float> logp; /* of the line */
  std::vector<Starts> starts;
  std::vector<sp_hyp_score> hyps;
  std::vector<std::optional<sp_latency_stats>> latency; /* (n_hyps) */
  sp_latency_stats list_latency;
  std::vector<uint32_t> ranks; /* scratch of the uniqueness check */
};

namespace {

namespace dom = simdjson::dom;

enum sp_status Damaged(sp_error *err, const char *reason) {
  return sp_fail(err, SP_EDAMAGED, "%s", reason);
}

bool ReadU32(dom::element value, uint32_t *out) {
  uint64_t wide;
  if (value.get_uint64().get(wide) || wide > UINT32_MAX) {
    return false;
  }
  *out = static_cast<uint32_t>(wide);
  return true;
}

/* A number in the range of float, or null, which gives NaN. Through double and on to float every
 * text of sp_float_text comes back bit for bit (tried for all floats). */
bool ReadFloat(dom::element value, float *out) {
  double wide;
  if (value.is_null()) {
    *out = std::numeric_limits<float>::quiet_NaN();
    return true;
  }
  if (value.get_double().get(wide)) {
    return false;
  }
  *out = static_cast<float>(wide);
  return std::isfinite(*out);
}

bool ReadFlag(dom::element value, sp_flag *out) {
  std::string_view text;
  if (value.get_string().get(text)) {
    return false;
  }
  for (int flag = SP_FLAG_NONE + 1; flag < SP_FLAG_COUNT; flag++) {
    if (text == sp_flag_name(static_cast<sp_flag>(flag))) {
      *out = static_cast<sp_flag>(flag);
      return true;
    }
  }
  return false;
}

/* Length of an array of strings or of floats, which go to `keep` (NULL: nowhere); false when it is
 * something else. */
bool ReadList(dom::element value, bool strings, std::vector<float> *keep, size_t *length) {
  dom::array list;
  if (value.get_array().get(list)) {
    return false;
  }
  *length = 0;
  for (dom::element item : list) {
    float number;
    if (strings ? !item.is_string() : !ReadFloat(item, &number)) {
      return false;
    }
    if (keep) {
      keep->push_back(number);
    }
    ++*length;
  }
  return true;
}

/* All members of a latency and no other, each once. */
bool ReadLatency(dom::element value, sp_latency_stats *out) {
  dom::object members;
  if (value.get_object().get(members)) {
    return false;
  }
  unsigned seen = 0;
  for (dom::key_value_pair member : members) {
    int m = 0;
    while (m < SP_LATENCY_MEMBERS && member.key != sp_latency_key(static_cast<sp_latency_member>(m))) {
      m++;
    }
    if (m == SP_LATENCY_MEMBERS || seen >> m & 1u) {
      return false;
    }
    seen |= 1u << m;
    uint64_t count;
    float number;
    if (sp_latency_is_count(static_cast<sp_latency_member>(m))) {
      if (member.value.get_uint64().get(count) || count >> 53) {
        return false;
      }
      out->value[m] = static_cast<double>(count);
    } else if (ReadFloat(member.value, &number)) {
      out->value[m] = number;
    } else {
      return false;
    }
  }
  return seen == (1u << SP_LATENCY_MEMBERS) - 1;
}

/* One hypothesis while its members are read. */
struct HypReader {
  sp_hyp_score *hyp;
  std::vector<float> *logp; /* NULL: per-token values are not kept */
  std::optional<sp_latency_stats> latency{};
  Starts starts{};
  unsigned seen = 0; /* a bit each member, so that none comes twice */
  bool has_list = false;
  size_t list_length = 0;

  enum Member {
    kRank,
    kTokens,
    kFlag,
    kText,
    kTokenTexts,
    kLatency,
    kScore,
    kLogp = kScore + SP_METHOD_COUNT
  };

  bool List(dom::element value, bool strings) {
    size_t length;
    if (!ReadList(value, strings, strings ? nullptr : logp, &length) ||
        (has_list && length != list_length)) {
      return false;
    }
    has_list = true;
    list_length = length;
    return true;
  }

  bool Once(int member) {
    bool first = !(seen >> member & 1u);
    seen |= 1u << member;
    return first;
  }

  bool Read(std::string_view key, dom::element value) {
    if (key == "i") {
      return Once(kRank) && ReadU32(value, &hyp->rank);
    }
    if (key == "n") {
      return Once(kTokens) && ReadU32(value, &hyp->n_tokens);
    }
    if (key == "flag") {
      return Once(kFlag) && ReadFlag(value, &hyp->flag);
    }
    if (key == "text") {
      return Once(kText) && value.is_string();
    }
    if (key == "tokens") {
      return Once(kTokenTexts) && List(value, true);
    }
    if (key == "latency") {
      return Once(kLatency) && ReadLatency(value, &latency.emplace());
    }
    return ReadMethod(key, value);
  }

  bool ReadMethod(std::string_view key, dom::element value) {
    for (int m = 0; m < SP_METHOD_COUNT; m++) {
      const char *token_key = sp_method_token_key(static_cast<sp_method>(m));
      if (key == sp_method_key(static_cast<sp_method>(m))) {
        return Once(kScore + m) && ReadFloat(value, &hyp->score[m]);
      }
      if (token_key && key == token_key) {
        starts[m] = logp ? logp->size() : kNone;
        return Once(kLogp + m) && List(value, false);
      }
    }
    return false;
  }

  bool Complete() const {
    const unsigned needed = 1u << kRank | 1u << kTokens;
    return (seen & needed) == needed && (!has_list || list_length == hyp->n_tokens);
  }
};

enum sp_status ReadHyp(sp_score_parser *parser, dom::element element, sp_hyp_score *hyp,
                       sp_error *err) {
  dom::object members;
  if (element.get_object().get(members)) {
    return Damaged(err, "a hypothesis is not an object");
  }
  std::fill(std::begin(hyp->score), std::end(hyp->score), std::numeric_limits<float>::quiet_NaN());
  HypReader reader{hyp, parser->keeps_logp ? &parser->logp : nullptr};
  reader.starts.fill(kNone);
  for (dom::key_value_pair member : members) {
    if (!reader.Read(member.key, member.value)) {
      return sp_fail(err, SP_EDAMAGED,
                     "member \"%.*s\" of a hypothesis is unknown, doubled or wrong",
                     static_cast<int>(std::min<size_t>(member.key.size(), 40)), member.key.data());
    }
  }
  parser->starts.push_back(reader.starts);
  parser->latency.push_back(reader.latency);
  return reader.Complete() ? SP_OK
                           : Damaged(err,
                                     "a hypothesis lacks \"i\" or \"n\", or its lists have "
                                     "another length than \"n\"");
}

/* Once the line's values stay where they are. */
void PointAtValues(sp_score_parser *parser) {
  for (size_t h = 0; h < parser->hyps.size(); h++) {
    parser->hyps[h].latency = parser->latency[h] ? &*parser->latency[h] : nullptr;
    for (int m = 0; m < SP_METHOD_COUNT; m++) {
      size_t start = parser->starts[h][m];
      parser->hyps[h].logp[m] = start == kNone ? nullptr : parser->logp.data() + start;
    }
  }
}

enum sp_status CheckRanks(sp_score_parser *parser, sp_error *err) {
  parser->ranks.clear();
  for (const sp_hyp_score &hyp : parser->hyps) {
    parser->ranks.push_back(hyp.rank);
  }
  std::sort(parser->ranks.begin(), parser->ranks.end());
  if (std::adjacent_find(parser->ranks.begin(), parser->ranks.end()) != parser->ranks.end()) {
    return Damaged(err, "two hypotheses have the same \"i\"");
  }
  return SP_OK;
}

enum sp_status ReadHyps(sp_score_parser *parser, dom::element value, sp_score_line *out,
                        sp_error *err) {
  dom::array list;
  if (value.get_array().get(list)) {
    return Damaged(err, "\"hyps\" is not a list");
  }
  parser->hyps.clear();
  parser->logp.clear();
  parser->starts.clear();
  parser->latency.clear();
  out->n_tokens = 0;
  for (dom::element element : list) {
    sp_hyp_score hyp{};
    SP_TRY(ReadHyp(parser, element, &hyp, err));
    out->n_tokens += hyp.n_tokens;
    parser->hyps.push_back(hyp);
  }
  PointAtValues(parser);
  out->hyps = parser->hyps.data();
  out->n_hyps = parser->hyps.size();
  return CheckRanks(parser, err);
}

enum sp_status ReadId(dom::element value, sp_text *out, sp_error *err) {
  std::string_view id;
  /* An escaped half of a surrogate pair is JSON, but no text. */
  if (value.get_string().get(id) || !simdjson::validate_utf8(id.data(), id.size())) {
    return Damaged(err, "\"id\" is not a string of valid Unicode");
  }
  *out = {id.data(), id.size()};
  return SP_OK;
}

enum sp_status ReadLine(sp_score_parser *parser, sp_text line, sp_score_line *out, sp_error *err) {
  dom::object members;
  simdjson::error_code wrong =
      parser->json.parse(reinterpret_cast<const uint8_t *>(line.data), line.len, false)
          .get_object()
          .get(members);
  if (wrong == simdjson::MEMALLOC) {
    return sp_fail_memory(err, line.len);
  }
  if (wrong) {
    return sp_fail(err, SP_EDAMAGED, "not a JSON object: %s", simdjson::error_message(wrong));
  }
  int ids = 0, lists = 0;
  out->latency = nullptr;
  for (dom::key_value_pair member : members) {
    if (member.key == "id" && ids++ == 0) {
      SP_TRY(ReadId(member.value, &out->id, err));
    } else if (member.key == "hyps" && lists++ == 0) {
      SP_TRY(ReadHyps(parser, member.value, out, err));
    } else if (member.key == "latency" && !out->latency &&
               ReadLatency(member.value, &parser->list_latency)) {
      out->latency = &parser->list_latency;
    } else {
      return sp_fail(err, SP_EDAMAGED, "member \"%.*s\" is unknown, doubled or wrong",
                     static_cast<int>(std::min<size_t>(member.key.size(), 40)), member.key.data());
    }
  }
  return ids == 1 && lists == 1 ? SP_OK : Damaged(err, "\"id\" or \"hyps\" is missing");
}

}  // namespace

enum sp_status sp_score_parser_create(struct sp_score_parser **out, struct sp_error *err) {
  *out = new (std::nothrow) sp_score_parser;
  return *out ? SP_OK : sp_fail_memory(err, sizeof(sp_score_parser));
}

void sp_score_parser_destroy(struct sp_score_parser *parser) {
  delete parser;
}

void sp_score_parser_keep_logp(struct sp_score_parser *parser) {
  parser->keeps_logp = true;
}

enum sp_status sp_score_parse(struct sp_score_parser *parser, struct sp_text line,
                              struct sp_score_line *out, struct sp_error *err) {
  try {
    return ReadLine(parser, line, out, err);
  } catch (const std::bad_alloc &) {
    return sp_fail_memory(err, line.len);
  }
}
