// archive_read.h - reads a whole archive into plain C++ values.
#ifndef SP_TESTS_FORMATS_ARCHIVE_READ_H
#define SP_TESTS_FORMATS_ARCHIVE_READ_H

#include <optional>
#include <string>
#include <vector>

#include "archive.h"

namespace sp_test {

struct Hyp {
  std::string text;
  std::optional<double> score;
  bool operator==(const Hyp &other) const {
    return text == other.text && score == other.score;
  }
};

struct Utt {
  std::string id;
  std::optional<std::string> ref;
  std::vector<Hyp> hyps;
  std::string place;
};

struct Archive {
  sp_status status = SP_OK;
  std::string message;
  sp_archive_format format = SP_FORMAT_AUTO;
  std::vector<Utt> utts;
  std::vector<std::pair<std::string, sp_file_digest>> files;
};

inline std::string String(sp_text text) {
  return std::string(text.data, text.len);
}

inline Utt Copy(const sp_utt &utt, const char *place) {
  Utt copy{String(utt.id), std::nullopt, {}, place};
  if (utt.has_ref)
    copy.ref = String(utt.ref);
  for (size_t i = 0; i < utt.n_hyps; i++) {
    const sp_hyp &hyp = utt.hyps[i];
    copy.hyps.push_back({String(hyp.text), std::nullopt});
    if (hyp.has_score)
      copy.hyps.back().score = hyp.score;
  }
  return copy;
}

// Reads at most `limit` utterances, then the list of files.
inline void ReadOpen(sp_archive *archive, size_t limit, Archive *out, sp_error *err) {
  out->format = sp_archive_get_format(archive);
  bool found = true;
  while (out->status == SP_OK && found && out->utts.size() < limit) {
    sp_utt utt;
    out->status = sp_archive_next(archive, &utt, &found, err);
    if (out->status == SP_OK && found)
      out->utts.push_back(Copy(utt, sp_archive_place(archive)));
  }
  const sp_archive_file *files;
  size_t n_files;
  if (out->status == SP_OK)
    out->status = sp_archive_files(archive, &files, &n_files, err);
  for (size_t i = 0; out->status == SP_OK && i < n_files; i++) {
    out->files.emplace_back(files[i].path, files[i].digest);
  }
}

inline Archive ReadPaths(const std::vector<std::string> &paths,
                         sp_archive_format format = SP_FORMAT_AUTO, size_t limit = SIZE_MAX) {
  Archive out;
  std::vector<const char *> names;
  for (const std::string &path : paths)
    names.push_back(path.c_str());
  sp_archive *archive = nullptr;
  sp_error err = {};
  out.status = sp_archive_open(names.data(), names.size(), format, &archive, &err);
  if (out.status == SP_OK)
    ReadOpen(archive, limit, &out, &err);
  sp_archive_close(archive);
  out.message = err.message;
  return out;
}

// The bytes as a file named "mem".
inline Archive ReadBytes(const std::string &bytes, sp_archive_format format = SP_FORMAT_AUTO) {
  Archive out;
  sp_source *source = nullptr;
  sp_archive *archive = nullptr;
  sp_error err = {};
  out.status = sp_source_open_memory("mem", {bytes.data(), bytes.size()}, &source, &err);
  if (out.status == SP_OK)
    out.status = sp_archive_open_source(source, format, &archive, &err);
  if (out.status == SP_OK)
    ReadOpen(archive, SIZE_MAX, &out, &err);
  sp_archive_close(archive);
  out.message = err.message;
  return out;
}

}  // namespace sp_test
#endif
