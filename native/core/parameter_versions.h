// Parameters that can be held (kept at their current values) while later calls write them.
#pragma once

#include <list>
#include <memory>
#include <vector>

#include "core/backend.h"

namespace vgg {

class HostMemory;
class VersionedParameters;

/**
 * The parameters with the values that they had when they were held. A value is copied only when a
 * later call writes a parameter that this object has not dropped. Only the device's thread uses it,
 * except for destruction.
 */
class HeldParameters {
 public:
  explicit HeldParameters(std::shared_ptr<VersionedParameters> parameters);

  /** Reads elements [first, first + count). Throws Error kMissingParameter, kOutOfMemory. */
  void read(int index, size_t first, size_t count, float* to) const;
  /** Declares that this parameter will not be read again. */
  void drop(int index);

 private:
  friend class VersionedParameters;
  enum class State : std::uint8_t {
    kCurrent,  // not written since
    kMissing,  // had no value when it was held
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

/** Only the device's thread uses it, except for construction, `current` and destruction. */
class VersionedParameters : public std::enable_shared_from_this<VersionedParameters> {
 public:
  explicit VersionedParameters(std::shared_ptr<Parameters> current)
      : current_(std::move(current)) {}

  /** Returns the parameters that graphs read. */
  [[nodiscard]] const std::shared_ptr<Parameters>& current() const { return current_; }

  std::shared_ptr<HeldParameters> hold();

  // The same calls as in Parameters. If a holder's old values cannot be copied, they throw Error
  // kOutOfMemory and write nothing.
  void write(const std::vector<ParameterWrite>& writes);
  void fill(int index, float value);
  void fillNormal(int index, float standardDeviation, uint64_t seed, uint32_t stream);

 private:
  /** Copies the value of `index` for every holder that still reads it. */
  void preserve(int index);

  std::shared_ptr<Parameters> current_;
  std::list<std::weak_ptr<HeldParameters>> held_;
};

}  // namespace vgg
