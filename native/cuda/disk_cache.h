// Keeps results that take long to compute in files: plans of cuDNN, algorithms of cuBLASLt,
// compiled kernels.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace vgg::cuda {

/** One file per key. A damaged or foreign file counts as absent. A folder that cannot be written is
 * no error. */
class DiskCache {
 public:
  /** "" keeps nothing. */
  explicit DiskCache(std::string folder) : folder_(std::move(folder)) {}

  [[nodiscard]] std::optional<std::string> read(const std::string& key) const;
  void write(const std::string& key, const std::string& value) const;

 private:
  [[nodiscard]] std::string pathOf(const std::string& key) const;

  std::string folder_;
};

/** FNV-1a, 64 bits (Fowler, Noll, Vo). */
uint64_t hash(const std::string& text, uint64_t seed = 0xcbf29ce484222325);

}  // namespace vgg::cuda
