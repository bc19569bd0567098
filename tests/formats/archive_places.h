// archive_places.h - reads an archive as texts, with its places.
#ifndef SP_TESTS_FORMATS_ARCHIVE_PLACES_H
#define SP_TESTS_FORMATS_ARCHIVE_PLACES_H

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "archive_read.h"

namespace sp_test {

// All that an utterance is, and the place that messages would name.
inline std::string Dump(const sp_utt &utt, const char *place) {
  std::string out = std::string(place) + " id=" + String(utt.id);
  auto add_fields = [&out](const sp_field *fields, size_t n) {
    for (size_t i = 0; i < n; i++)
      out += " " + String(fields[i].name) + ":" + String(fields[i].json);
  };
  if (utt.has_ref)
    out += " ref=" + String(utt.ref);
  add_fields(utt.fields, utt.n_fields);
  for (size_t i = 0; i < utt.n_hyps; i++) {
    const sp_hyp &hyp = utt.hyps[i];
    out += "\n" + String(hyp.text) + "|" + (hyp.has_score ? std::to_string(hyp.score) : "none");
    for (size_t c = 0; c < hyp.n_components; c++)
      out += " " + String(hyp.components[c].name) + "=" + std::to_string(hyp.components[c].value);
    add_fields(hyp.fields, hyp.n_fields);
  }
  return out;
}

struct CloseArchive {
  void operator()(sp_archive *archive) const {
    sp_archive_close(archive);
  }
};
using Opened = std::unique_ptr<sp_archive, CloseArchive>;

inline Opened Open(const std::vector<std::string> &paths, const sp_archive_options &options) {
  std::vector<const char *> names;
  for (const std::string &path : paths)
    names.push_back(path.c_str());
  sp_archive *archive = nullptr;
  sp_error err = {};
  EXPECT_EQ(sp_archive_open_with(names.data(), names.size(), &options, &archive, &err), SP_OK)
      << err.message;
  return Opened(archive);
}

// The next utterance; "END" behind the last one, and a failure's message.
inline std::string Next(sp_archive *archive) {
  sp_utt utt;
  sp_error err = {};
  bool found = false;
  if (sp_archive_next(archive, &utt, &found, &err) != SP_OK)
    return std::string("FAILED ") + err.message;
  return found ? Dump(utt, sp_archive_place(archive)) : "END";
}

struct Told {
  sp_place place;
  std::string utt;
};

// A whole reading, with all places; END or the failure comes last, without one.
inline std::vector<Told> ReadWhole(sp_archive *archive) {
  std::vector<Told> all;
  sp_place place = {};
  for (;;) {
    std::string utt = Next(archive);
    if (!sp_archive_tell(archive, &place))
      return all.push_back({{}, utt}), all;
    all.push_back({place, utt});
  }
}

inline std::string SeekAndRead(sp_archive *archive, const sp_place &place) {
  sp_error err = {};
  if (sp_archive_seek(archive, &place, &err) != SP_OK)
    return std::string("FAILED ") + err.message;
  return Next(archive);
}

}  // namespace sp_test
#endif
