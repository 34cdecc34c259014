// Parameters that can be held as they are now while later calls write them.
#pragma once

#include <list>
#include <memory>
#include <vector>

#include "core/backend.h"

namespace vgg {

class HostMemory;
class VersionedParameters;

/**
 * The parameters as they were when they were held. Nothing is copied before a later call writes a
 * parameter that this has not dropped. On the device's thread alone, but for destruction.
 */
class HeldParameters {
 public:
  explicit HeldParameters(std::shared_ptr<VersionedParameters> parameters);

  /** Elements [first, first + count). Throws Error kMissingParameter, kOutOfMemory. */
  void read(int index, size_t first, size_t count, float* to) const;
  /** This one will not be read again. */
  void drop(int index);

 private:
  friend class VersionedParameters;
  enum class State : std::uint8_t {
    kCurrent,  // not written since
    kMissing,  // had no value then
    kCopied,
    kDropped
  };
  struct Entry {
    State state = State::kCurrent;
    std::shared_ptr<const HostMemory> copy;
  };

  std::shared_ptr<VersionedParameters> parameters_;
  std::vector<Entry> entries_;
};

/** On the device's thread alone, but for construction and destruction. */
class VersionedParameters : public std::enable_shared_from_this<VersionedParameters> {
 public:
  explicit VersionedParameters(std::shared_ptr<Parameters> current)
      : current_(std::move(current)) {}

  /** What graphs read. */
  [[nodiscard]] const std::shared_ptr<Parameters>& current() const { return current_; }

  std::shared_ptr<HeldParameters> hold();

  // The same calls as in Parameters. If a holder's old values cannot be copied, they throw Error
  // kOutOfMemory and write nothing.
  void write(const std::vector<ParameterWrite>& writes);
  void fill(int index, float value);
  void fillNormal(int index, float standardDeviation, uint64_t seed, uint32_t stream);

 private:
  /** Gives whoever holds the value of `index` a copy of it. */
  void preserve(int index);

  std::shared_ptr<Parameters> current_;
  std::list<std::weak_ptr<HeldParameters>> held_;
};

}  // namespace vgg
