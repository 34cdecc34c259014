// Keeps in files what takes long to compute: cuDNN's plans, cuBLASLt's algorithms and compiled
// kernels.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace vgg::cuda {

/** One file per key. A damaged or foreign file counts as absent. A folder that cannot be written to
 * is no error. Copies share their folders. */
class DiskCache {
 public:
  /** The folder is UTF-8. With "" nothing is kept. */
  explicit DiskCache(std::string folder) : folder_(std::move(folder)) {}

  /** Lets `read` look into another folder for what the first does not have. Nothing is written to
   * it. May be called while another thread reads. */
  void alsoRead(const std::string& folder);

  [[nodiscard]] std::optional<std::string> read(const std::string& key) const;
  void write(const std::string& key, const std::string& value) const;

 private:
  struct Others {
    std::mutex mutex;
    std::vector<std::string> folders;
  };

  [[nodiscard]] std::vector<std::string> readFolders() const;

  std::string folder_;
  std::shared_ptr<Others> others_ = std::make_shared<Others>();
};

/** FNV-1a, 64 bits (Fowler, Noll, Vo). */
uint64_t hash(const std::string& text, uint64_t seed = 0xcbf29ce484222325);

}  // namespace vgg::cuda
