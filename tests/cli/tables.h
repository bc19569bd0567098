// tables.h - commands and options as help names them, the other view of the program's tables.
#ifndef SP_TESTS_CLI_TABLES_H
#define SP_TESTS_CLI_TABLES_H

#include <sstream>
#include <string>
#include <vector>

#include "program.h"

namespace sp_test {

// The words behind `begin` at the starts of the lines of `text`.
inline std::vector<std::string> WordsBehind(const std::string &begin, const std::string &text) {
  std::vector<std::string> words;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind(begin, 0) == 0) {
      size_t end = line.find(' ', begin.size());
      words.push_back(line.substr(begin.size(), end - begin.size()));
    }
  }
  return words;
}

// "", "score", "bench", "bench io", ..: `command` and all below it.
inline std::vector<std::string> CommandsBelow(const std::string &command = "") {
  std::vector<std::string> all = {command};
  std::string help = Program("help " + command).out;
  size_t list = help.find("\nCommands\n");
  if (list == std::string::npos)
    return all;
  size_t from = list + 1, end = help.find("\n\n", from);
  std::istringstream lines(help.substr(from, end - from));
  std::string line;
  std::getline(lines, line);
  while (std::getline(lines, line)) {
    // "  bench io     reading, .."
    size_t stop = std::min(line.find("  ", 2), line.size());
    for (const std::string &below : CommandsBelow(line.substr(2, stop - 2)))
      all.push_back(below);
  }
  return all;
}

// "model", "method", .. of a command.
inline std::vector<std::string> OptionsOf(const std::string &command) {
  return WordsBehind("  --", Program("help " + command).out);
}

inline bool HaveTool(const std::string &name) {
  return Shell("command -v " + name).code == 0;
}

}  // namespace sp_test
#endif
