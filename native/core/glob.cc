#include "core/glob.h"

#include <algorithm>
#include <sstream>
#include <string_view>

#include "core/path.h"
#include "core/system.h"

namespace vgg {
namespace {

using std::filesystem::path;

bool isDigit(char c) { return c >= '0' && c <= '9'; }

/** Returns the digits at the start of a text, without leading zeros, and removes them from it. */
std::string_view takeNumber(std::string_view& text) {
  size_t end = 0;
  while (end < text.size() && isDigit(text[end])) ++end;
  size_t start = 0;
  while (start + 1 < end && text[start] == '0') ++start;
  const std::string_view number = text.substr(start, end - start);
  text.remove_prefix(end);
  return number;
}

/** Whether version `a` is higher than `b`: runs of digits are compared as numbers. */
bool isHigher(std::string_view a, std::string_view b) {
  while (!a.empty() && !b.empty()) {
    if (isDigit(a.front()) && isDigit(b.front())) {
      const std::string_view x = takeNumber(a);
      const std::string_view y = takeNumber(b);
      if (x.size() != y.size()) return x.size() > y.size();
      if (x != y) return x > y;
    } else {
      if (a.front() != b.front()) return a.front() > b.front();
      a.remove_prefix(1);
      b.remove_prefix(1);
    }
  }
  return a.size() > b.size();
}

bool isMatch(std::string_view name, std::string_view part, size_t star) {
  const std::string_view head = part.substr(0, star);
  const std::string_view tail = part.substr(star + 1);
  return name.size() >= head.size() + tail.size() && name.starts_with(head) &&
         name.ends_with(tail) && !(star == 0 && name.starts_with('.'));
}

bool isFolder(const path& file) {
  std::error_code failure;
  return std::filesystem::is_directory(file, failure);
}

/** Appends the folders that match one part with a *. */
void addMatches(const path& folder, const std::string& part, std::vector<path>& found) {
  std::vector<std::string> names;
  for (std::string& name : namesIn(folder)) {
    if (isMatch(name, part, part.find('*')) && isFolder(folder / pathFromUtf8(name)))
      names.push_back(std::move(name));
  }
  std::sort(names.begin(), names.end(), isHigher);
  for (const std::string& name : names) found.push_back(folder / pathFromUtf8(name));
}

}  // namespace

std::vector<path> globFolders(const path& root, const std::string& pattern) {
  std::vector<path> found{root};
  std::istringstream parts(pattern);
  for (std::string part; std::getline(parts, part, '/');) {
    std::vector<path> next;
    for (const path& folder : found) {
      if (part.find('*') != std::string::npos) {
        addMatches(folder, part, next);
      } else if (path below = folder / pathFromUtf8(part); isFolder(below)) {
        next.push_back(std::move(below));
      }
    }
    found = std::move(next);
  }
  return found;
}

}  // namespace vgg
