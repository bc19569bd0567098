// archive_kinds.h - made archives of every format, packed in every way.
#ifndef SP_TESTS_FORMATS_ARCHIVE_KINDS_H
#define SP_TESTS_FORMATS_ARCHIVE_KINDS_H

#include <functional>
#include <string>
#include <vector>

#include "archive.h"
#include "scratch.h"

namespace sp_test {

constexpr size_t kUtts = 240;

std::string Number(size_t n);
// "wordN" and some dozens of numbers, from N alone.
std::string Words(size_t u);
// The lines of utterance u.
std::string Jsonl(size_t u);

struct Kind {
  const char *name;
  std::string (*lines)(size_t utt);
  sp_archive_options options;
  const char *header, *between = "", *footer = "";
};
extern const std::vector<Kind> kKinds;      // of lines
extern const std::vector<Kind> kDocuments;  // of members of one value

sp_archive_options Options(sp_archive_format format, const char *tsv = nullptr, size_t beam = 0);

struct Packing {
  const char *name;
  std::function<std::string(const std::string &)> pack;
};
extern const std::vector<Packing> kPackings;

// kUtts utterances in `n` files of unlike sizes.
std::vector<std::string> WriteFiles(const Scratch &scratch, const Kind &kind,
                                    const Packing &packing, size_t n);
// A group of lists for every count, with scores and a list more for every second utterance.
// Returns the number of utterances.
size_t WriteGroups(const std::string &dir, const std::vector<size_t> &counts, bool refs,
                   std::string (*pack)(const std::string &));

}  // namespace sp_test
#endif
