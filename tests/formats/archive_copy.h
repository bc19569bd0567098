// archive_copy.h - reads an archive and writes it in another format.
#ifndef SP_TESTS_FORMATS_ARCHIVE_COPY_H
#define SP_TESTS_FORMATS_ARCHIVE_COPY_H

#include <map>
#include <string>

#include "archive_writer.h"

namespace sp_test {

struct Copied {
  sp_status status;
  std::string message;
  std::map<std::string, uint64_t> losses;
};

inline sp_status CopyOpen(sp_archive *archive, sp_archive_writer *writer, Copied *out,
                          sp_error *err) {
  sp_status status = SP_OK;
  bool found = true;
  while (status == SP_OK && found) {
    sp_utt utt;
    status = sp_archive_next(archive, &utt, &found, err);
    if (status == SP_OK && found)
      status = sp_archive_writer_put(writer, &utt, err);
  }
  const sp_loss *losses;
  size_t n = sp_archive_writer_losses(writer, &losses);
  for (size_t i = 0; i < n; i++)
    out->losses[losses[i].what] = losses[i].count;
  if (status == SP_OK)
    return sp_archive_writer_close(writer, err);
  sp_archive_writer_discard(writer);
  return status;
}

inline Copied CopyArchive(const std::string &from, const sp_archive_options &input,
                          const std::string &to, const sp_archive_writer_options &output) {
  Copied out = {};
  sp_error err = {};
  sp_archive *archive = nullptr;
  sp_archive_writer *writer = nullptr;
  const char *path = from.c_str();
  out.status = sp_archive_open_with(&path, 1, &input, &archive, &err);
  if (out.status == SP_OK)
    out.status = sp_archive_writer_open_with(to.c_str(), &output, &writer, &err);
  if (out.status == SP_OK)
    out.status = CopyOpen(archive, writer, &out, &err);
  sp_archive_close(archive);
  out.message = err.message;
  return out;
}

}  // namespace sp_test
#endif
