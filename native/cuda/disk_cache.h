// Keeps in files what takes long to compute: cuDNN's plans, cuBLASLt's algorithms and compiled
// kernels.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace vgg::cuda {

/** One file per key. A damaged or foreign file counts as absent. A folder that cannot be written to
 * is no error. */
class DiskCache {
 public:
  /** The folder is UTF-8. With "" nothing is kept. */
  explicit DiskCache(std::string folder) : folder_(std::move(folder)) {}

  [[nodiscard]] std::optional<std::string> read(const std::string& key) const;
  void write(const std::string& key, const std::string& value) const;

 private:
  [[nodiscard]] std::filesystem::path pathOf(const std::string& key) const;

  std::string folder_;
};

/** FNV-1a, 64 bits (Fowler, Noll, Vo). */
uint64_t hash(const std::string& text, uint64_t seed = 0xcbf29ce484222325);

}  // namespace vgg::cuda
