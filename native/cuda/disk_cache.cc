#include "cuda/disk_cache.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "core/path.h"
#include "core/system.h"

namespace vgg::cuda {
namespace {

constexpr const char* kHeader = "vgg-cudnn cache 1";

std::string hex(uint64_t number) {
  std::array<char, 17> digits{};
  std::snprintf(digits.data(), digits.size(), "%016llx", static_cast<unsigned long long>(number));
  return digits.data();
}

/** Returns the head of a file: its kind, its key, and the length and hash of the value after it. */
std::string headOf(const std::string& key, const std::string& value) {
  return std::string(kHeader) + "\n" + key + "\n" + std::to_string(value.size()) + " " +
         hex(hash(value)) + "\n";
}

/** Renames a file over another one. Returns whether it did. Windows refuses while another process
 * reads the other file, and reading takes milliseconds. */
bool replaceFile(const std::filesystem::path& from, const std::filesystem::path& to) {
  constexpr int kMaxTries = 10;
  constexpr std::chrono::milliseconds kPause{10};
  std::error_code failure;
  for (int tries = 0; tries < kMaxTries; ++tries) {
    if (tries > 0) std::this_thread::sleep_for(kPause);
    std::filesystem::rename(from, to, failure);
    if (failure != std::errc::permission_denied && failure != std::errc::device_or_resource_busy)
      break;
  }
  return !failure;
}

/** Returns the file of a key in a folder, which is UTF-8. */
std::filesystem::path pathOf(const std::string& folder, const std::string& key) {
  return pathFromUtf8(folder) / (hex(hash(key)) + hex(hash(key, ~uint64_t{0})));
}

/** Returns the value in a file that `write` wrote for this key. */
std::optional<std::string> valueIn(const std::filesystem::path& path, const std::string& key) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream all;
  if (!in || !(all << in.rdbuf())) return std::nullopt;
  const std::string file = all.str();
  const size_t start = std::string(kHeader).size() + key.size() + 2;
  const size_t end = file.find('\n', start < file.size() ? start : 0);
  if (end == std::string::npos) return std::nullopt;
  std::string value = file.substr(end + 1);
  if (file.substr(0, end + 1) != headOf(key, value)) return std::nullopt;
  return value;
}

}  // namespace

uint64_t hash(const std::string& text, uint64_t seed) {
  uint64_t state = seed;
  for (const char c : text) state = (state ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return state;
}

void DiskCache::alsoRead(const std::string& folder) {
  const std::lock_guard lock(others_->mutex);
  std::vector<std::string>& folders = others_->folders;
  if (std::find(folders.begin(), folders.end(), folder) == folders.end()) folders.push_back(folder);
}

std::vector<std::string> DiskCache::readFolders() const {
  std::vector<std::string> folders;
  if (!folder_.empty()) folders.push_back(folder_);
  const std::lock_guard lock(others_->mutex);
  folders.insert(folders.end(), others_->folders.begin(), others_->folders.end());
  return folders;
}

std::optional<std::string> DiskCache::read(const std::string& key) const {
  for (const std::string& folder : readFolders()) {
    if (std::optional<std::string> value = valueIn(pathOf(folder, key), key)) return value;
  }
  return std::nullopt;
}

void DiskCache::write(const std::string& key, const std::string& value) const {
  if (folder_.empty()) return;
  static std::atomic<int> counter{0};
  std::error_code failure;
  std::filesystem::create_directories(pathFromUtf8(folder_), failure);
  // A whole file is renamed, because another process may read or write the same key.
  const std::filesystem::path path = pathOf(folder_, key);
  std::filesystem::path temporary = path;
  temporary += "." + std::to_string(processId()) + "." + std::to_string(counter++);
  std::ofstream out(temporary, std::ios::binary);
  out << headOf(key, value) << value;
  out.close();
  if (!out || !replaceFile(temporary, path)) std::filesystem::remove(temporary, failure);
}

}  // namespace vgg::cuda
